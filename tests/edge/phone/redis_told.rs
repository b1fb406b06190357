//! What an edge tells of its store: numbers by operation and result, and in the log of a whole day
//! with it nothing of whom it served.

use rustix::process::Signal;
use serde_json::Value;

use super::redis::{
    Caller, PASSWORD, Redis, at_once, count, dial, dial_route, dials, eventually, opens, patient,
    phone, press, rings,
};
use super::server::{Server, acl_line};
use super::world::{Line, Phone};
use crate::binary::Served;
use crate::harness::within;
use tonegate::sim::certificate::Authority;

#[tokio::test]
async fn a17_questions_to_the_store_are_counted_by_kind_and_result() {
    let redis = Redis::own();
    let phone = phone(&redis, patient()).await;
    let edge = phone.world.edge();
    let asked = |operation: &str, result: &str| {
        let labels = format!("{{operation=\"{operation}\",result=\"{result}\"}}");
        count(edge, &format!("tonegate_store_operations_total{labels}"))
    };
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let call = dials(&phone, &caller, "824823").await;
    opens(&phone, 1).await;
    assert_eq!((asked("enter", "ok"), asked("try_code", "ok")), (1, 2));
    call.hand.hang_up();
    call.ended().await;
    eventually("the end", async || asked("leave", "ok") == 1).await;
    // A record of another type than the edge writes: the server will not, and nobody gets in.
    let odd = Caller::new();
    redis.tell(&["SET", &format!("call:{{{}}}", odd.call()), "1"]);
    let refused = phone.refused(&dial(&phone, phone.world.port, &odd)).await;
    assert_eq!(refused, (503, "store_unavailable".to_owned()));
    assert!(asked("enter", "refused") > 0);
    redis.server().signal("-STOP");
    let refused = phone
        .refused(&dial(&phone, phone.world.port, &Caller::new()))
        .await;
    assert_eq!(refused, (503, "store_unavailable".to_owned()));
    assert!(asked("enter", "timeout") > 0);
    redis.server().kill();
    phone.world.metrics_say("tonegate_store_up 0").await;
    let refused = phone
        .refused(&dial(&phone, phone.world.port, &Caller::new()))
        .await;
    assert_eq!(refused, (503, "store_unavailable".to_owned()));
    assert!(asked("enter", "unreachable") > 0);
    let sums = ["enter", "try_code", "leave"].map(|operation| {
        let series = format!("tonegate_store_seconds_count{{operation=\"{operation}\"}}");
        (count(edge, &series), operation)
    });
    assert!(sums.iter().all(|(count, _)| *count > 0), "{sums:?}");
}

/// What must stand nowhere.
fn absent(text: &str, callers: &[&Caller], codes: &[&str]) {
    for caller in callers {
        assert!(!text.contains(&caller.ani[1..]), "a number");
        assert!(!text.contains(&caller.sip), "the id of a SIP key");
        assert!(!text.contains("call_connection_id:"), "the name of a key");
        assert!(!text.contains("pstn:"), "the name of a key");
    }
    for code in codes {
        assert!(!text.contains(code), "a code");
    }
    assert!(!text.contains(PASSWORD), "the password of the store");
    assert!(!text.contains("eyJ"), "a token");
}

async fn ends(served: &mut Served, reason: &str) {
    let is = |line: &Value| line["message"] == "session ended" && line["reason"] == reason;
    served.until(is).await;
}

#[tokio::test]
async fn g15_the_log_of_all_that_goes_on_with_a_store_holds_nothing_of_whom_it_is_about() {
    let authority = Authority::new("Redis");
    let server = Server::tls(&authority, &acl_line());
    let redis = Redis::Tls(std::sync::Arc::new((authority, server)));
    let line = Line {
        gate: "flow = \"pstn\", digits = 9, attempts = 2, attempts_per_ani = \"3/h\"".to_owned(),
        ..patient()
    };
    let mut phone = phone(&redis, line).await;
    let mut served = Served::start(&phone.world, "trace").await;
    phone.world.port = served.port();
    let up = |line: &Value| line["message"] == "the store is connected";
    served.until(up).await;
    let (right, wrong) = ("918273645", "192837465");
    let [good, bad, api, sip, late] = [(); 5].map(|()| Caller::new());
    redis.tell(&["SET", &good.pstn(right), "1", "EX", "3600"]);
    let call = dials(&phone, &good, right).await;
    phone.world.upstream_saw(|_| true).await;
    call.hand.hang_up();
    call.ended().await;
    ends(&mut served, "client_closed").await;
    dials(&phone, &bad, &format!("{wrong}{wrong}"))
        .await
        .closed(4403, "code_wrong")
        .await;
    let again = Caller::of(&bad.ani);
    dials(&phone, &again, &format!("{wrong}{right}"))
        .await
        .closed(4403, "locked_out")
        .await;
    looked_up(&phone, &redis, &api, &sip).await;
    let waits = rings(&phone, phone.world.port, &late).await;
    redis.server().signal("-STOP");
    press(&waits, right);
    let away = |line: &Value| {
        line["message"]
            .as_str()
            .is_some_and(|m| m.contains("store is away"))
    };
    served.until(away).await;
    redis.server().signal("-CONT");
    served.until(up).await;
    redis.server().kill();
    served.until(away).await;
    is_refused(&phone, &Caller::new()).await;
    waits.hand.hang_up();
    waits.ended().await;
    let page = served.metrics_page().await;
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    // It was all told, so that there is something to look at.
    for word in [
        "\"gate\":\"authorised\"",
        "locked_out",
        "DEBUG",
        "request refused",
    ] {
        assert!(printed.contains(word), "{word}");
    }
    let callers = [&good, &bad, &again, &api, &sip, &late];
    absent(&printed, &callers, &[right, wrong]);
    absent(&page, &callers, &[right, wrong]);
}

/// Calls whose keys are looked up before the 101: without their keys, with them, and once more.
async fn looked_up(phone: &Phone, redis: &Redis, api: &Caller, sip: &Caller) {
    for (route, caller) in [("api", api), ("sip", sip)] {
        let dial = dial_route(phone, route, caller);
        phone.refused(&dial).await;
        let key = match route {
            "api" => format!("acs:call_connection_id:{}", caller.connection),
            _ => format!("sip:{}", caller.sip),
        };
        redis.tell(&["SET", &key, "1", "EX", "60"]);
        let call = phone.rings(&dial, at_once()).await;
        // The same token once more.
        assert_eq!(phone.refused(&dial).await.0, 401);
        call.hand.hang_up();
        call.ended().await;
    }
}

async fn is_refused(phone: &Phone, caller: &Caller) {
    let dial = dial(phone, phone.world.port, caller);
    let refused = within("an answer", phone.refused(&dial)).await;
    assert_eq!(refused, (503, "store_unavailable".to_owned()));
}
