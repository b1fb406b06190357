//! What is told of calls: a line and some numbers, and in none of them a digit or who called.

use futures_util::future::join_all;
use serde_json::Value;
use tonegate::sim::acs::Options;
use tonegate::sim::acs::line::Keying;

use super::world::{ANI, CONNECTION, CORRELATION, Line, Phone, signed};
use crate::child::Child;

/// Digits that stand in no time, id or size by chance.
const CODE: &str = "918273645546372819";
const OTHER: &str = "564738291198273645";

/// Whether a text has a digit of a code, or who dialled it: neither whole, nor in part, nor as the key
/// that is built of both.
fn tells(text: &str) -> bool {
    let parts = |code: &'static str| code.as_bytes().windows(8);
    let mut parts = parts(CODE)
        .chain(parts(OTHER))
        .map(|part| std::str::from_utf8(part).unwrap());
    text.contains(&ANI[1..]) || text.contains("pstn:") || parts.any(|part| text.contains(part))
}

/// Three calls that dial two wrong codes: by both feeds, by tones, by messages.
async fn rejected(phone: &Phone) {
    let fast = Keying {
        pace: tonegate::dtmf::tone::Pace {
            tone: 0.06,
            gap: 0.06,
            ..Keying::both().pace
        },
        message: Some(1),
        ..Keying::both()
    };
    let tones = Keying {
        message: None,
        ..fast
    };
    let calls = [fast, tones, Keying::messages()];
    let calls = calls.iter().enumerate().map(async |(number, keying)| {
        let dial = phone.dial(&signed(&format!("call-{number}")));
        let call = phone.rings(&dial, Options::default()).await;
        call.dials(&format!("{CODE}#{OTHER}#"), keying);
        call.closed(4403, "code_wrong").await;
    });
    join_all(calls).await;
}

#[tokio::test]
async fn a34_a40_s36_no_line_and_no_number_tells_a_digit_or_who_calls() {
    let gate = "flow = \"pstn\", max_digits = 24, attempts = 2, attempts_per_ani = \"9/h\"";
    let mut phone = Phone::with(Line {
        gate: gate.to_owned(),
        ..Line::default()
    })
    .await;
    // Everything that any part says.
    let child = Child::start(&mut phone.world, "export TONEGATE_LOG=trace");
    rejected(&phone).await;
    let ended = |line: &Value| {
        line["message"] == "session ended" && line["gate"] == "rejected" && line["gate_failed"] == 2
    };
    child
        .until("three endings", |child| child.logged(ended) == 3)
        .await;
    // How many digits, and of which feed, is told.
    let all = 2 * (CODE.len() as u64 + 1);
    for (in_band, message) in [(all, 0), (0, all)] {
        let digits = |line: &Value| {
            ended(line) && line["digits_in_band"] == in_band && line["digits_message"] == message
        };
        assert_eq!(child.logged(digits), 1, "{in_band} {message}");
    }
    // By these a call is found in the logs of others.
    let ids = |line: &Value| {
        line["call"] == "call-0"
            && line["connection"] == CONNECTION
            && line["correlation"] == CORRELATION
    };
    assert!(child.logged(ids) >= 1);
    assert_eq!(child.logged(|line| line["message"] == "session started"), 3);
    assert!(tells(&format!("x{}", &CODE[3..12])), "the test is blind");
    assert_eq!(child.logged(|line| tells(&line.to_string())), 0);
    let page = child.metrics_page().await;
    assert!(!tells(&page), "{page}");
    for line in [
        "tonegate_gates_total{route=\"phone\",result=\"rejected\"} 3",
        "tonegate_gate_seconds_count{route=\"phone\"} 3",
        "tonegate_sessions_ended_total{route=\"phone\",by=\"client\",reason=\"code_wrong\"} 3",
        "tonegate_store_operations_total{operation=\"try_code\",result=\"ok\"} 6",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
    }
}
