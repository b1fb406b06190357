//! What is told of calls: a line and some numbers, and in none of them a digit or who called.

use futures_util::future::join_all;
use tonegate::sim::acs::Options;
use tonegate::sim::acs::line::Keying;

use super::world::{ANI, CONNECTION, Line, Phone, signed};
use crate::child::Child;

/// Digits that stand in no time, id or size by chance.
const CODE: &str = "918273645546372819";
const OTHER: &str = "564738291198273645";

#[tokio::test]
async fn a40_s36_no_line_and_no_number_tells_a_digit_or_who_calls() {
    let mut phone = Phone::with(Line {
        gate: "flow = \"pstn\", max_digits = 24, attempts = 2, \
               attempts_per_ani = \"9/h\""
            .to_owned(),
        ..Line::default()
    })
    .await;
    // Everything that any part says.
    let child = Child::start(&mut phone.world, "export TONEGATE_LOG=trace");
    let fast = Keying {
        pace: tonegate::dtmf::tone::Pace {
            tone: 0.06,
            gap: 0.06,
            ..Keying::both().pace
        },
        message: Some(1),
        ..Keying::both()
    };
    let calls = [
        fast,
        Keying {
            message: None,
            ..fast
        },
        Keying {
            ..Keying::messages()
        },
    ]
    .into_iter()
    .enumerate()
    .map(|(number, keying)| (format!("call-{number}"), keying));
    let calls: Vec<_> = calls.collect();
    let phone = &phone;
    join_all(calls.iter().map(async |(name, keying)| {
        let call = phone
            .rings(&phone.dial(&signed(name)), Options::default())
            .await;
        call.dials(&format!("{CODE}#{OTHER}#"), keying);
        call.closed(4403, "code_wrong").await;
    }))
    .await;
    let ended = |line: &serde_json::Value| {
        line["message"] == "session ended" && line["gate"] == "rejected" && line["gate_failed"] == 2
    };
    child
        .until("three endings", |child| child.logged(ended) == 3)
        .await;
    // How many digits, and of which feed, is told.
    let digits = |in_band: u64, message: u64| {
        move |line: &serde_json::Value| {
            line["message"] == "session ended"
                && line["digits_in_band"] == in_band
                && line["digits_message"] == message
        }
    };
    let all = 2 * (CODE.len() as u64 + 1);
    for (in_band, message) in [(all, 0), (0, all)] {
        assert_eq!(
            child.logged(digits(in_band, message)),
            1,
            "{in_band} {message}"
        );
    }
    assert!(child.logged(|line| line["connection"] == CONNECTION && line["call"] == "call-0") >= 1);
    let number = &ANI[1..];
    let holds = |text: &str| {
        // Neither whole, nor in part, nor as the key that is built of it.
        let parts = CODE
            .as_bytes()
            .windows(6)
            .chain(OTHER.as_bytes().windows(6));
        let mut parts = parts.map(|part| std::str::from_utf8(part).unwrap());
        text.contains(number) || text.contains("pstn:") || parts.any(|part| text.contains(part))
    };
    assert!(holds(&format!("x{}", &CODE[3..10])), "the test is blind");
    let told = child.logged(|line| {
        let text = line.to_string();
        let holds = holds(&text);
        if holds {
            eprintln!("{text}");
        }
        holds
    });
    assert_eq!(told, 0);
    assert_eq!(child.logged(|line| line["message"] == "session started"), 3);
    let page = child.metrics_page().await;
    assert!(!holds(&page), "{page}");
    for line in [
        "tonegate_gates_total{route=\"phone\",result=\"rejected\"} 3",
        "tonegate_gate_seconds_count{route=\"phone\"} 3",
        "tonegate_sessions_ended_total{route=\"phone\",by=\"client\",reason=\"code_wrong\"} 3",
        "tonegate_store_operations_total{operation=\"try_code\",result=\"ok\"} 6",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
    }
}
