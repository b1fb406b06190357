//! Tickets in media URLs, beside the token of ACS and the secret of the call.

use super::*;
use crate::phone::world::{Line, Phone, signed};

const ROUTE: &str = "[[routes]]\nname = \"ticketed\"\npaths = [\"/ticketed/{call}\"]\nkind = \"acs-media\"\n\
     require = [\"phone\", \"call\", \"ticket\"]\nticket_claims = [\"call\"]\ngate = { flow = \"open\" }\n\
     models = [\"gpt-realtime\"]\nupstreams = [\"voice\"]\n";

async fn phone() -> Phone {
    let line = Line {
        gate: "flow = \"open\"".to_owned(),
        route: "tickets = \"observe\"".to_owned(),
        more: format!("{ROUTE}{}", tables()),
        ..Line::default()
    };
    Phone::with(line).await
}

#[tokio::test]
async fn a43_a32_a_media_url_with_a_ticket_of_its_call_is_good_once() {
    let phone = phone().await;
    let mut dial = phone.dial(&signed("c1"));
    let url = dial.url.replace("/acs/media/", "/ticketed/");
    let with_ticket = |ticket: &str| format!("{url}&ticket={ticket}");
    let good = with_ticket(&with("call", "c1"));
    for (url, status) in [
        (url.clone(), 401),
        (with_ticket("garbage"), 401),
        (with_ticket(&ticket()), 403),
        (with_ticket(&with("call", "c2")), 403),
        (with_ticket(&with("call", "C1")), 403),
        (format!("{good}&ticket={}", with("call", "c1")), 400),
    ] {
        dial.url = url;
        assert_eq!(phone.refused(&dial).await.0, status, "{}", dial.url);
    }
    assert_eq!(phone.world.upstream_total(), 0);
    // None of that has spent the token of ACS, nor the ticket.
    dial.url = good;
    let call = phone.rings(&dial, Default::default()).await;
    phone.world.upstream_saw(|_| true).await;
    // ACS comes again, with a token of its own, and the same URL.
    dial.token = Some(phone.token());
    assert_eq!(
        phone.refused(&dial).await,
        (401, "unauthenticated".to_owned())
    );
    call.hand.hang_up();
    call.ended().await;
    assert_eq!(phone.world.upstream_total(), 1);
}

#[tokio::test]
async fn a43_calls_are_observed_and_nobody_is_refused() {
    let phone = phone().await;
    let count = |result: &str| {
        let series = format!("tonegate_tickets_total{{route=\"phone\",result=\"{result}\"}}");
        phone.world.count(&series)
    };
    let ticket = with("call", "c1");
    for (call, ticket, result) in [
        ("c1", None, "missing"),
        ("c1", Some(&ticket), "ok"),
        ("c1", Some(&ticket), "spent"),
        ("c2", Some(&ticket), "wrong_call"),
    ] {
        let mut dial = phone.dial(&signed(call));
        if let Some(ticket) = ticket {
            dial.url.push_str(&format!("&ticket={ticket}"));
        }
        let ringing = phone.rings(&dial, Default::default()).await;
        ringing.hand.hang_up();
        ringing.ended().await;
        assert_eq!(count(result), 1, "{result}");
    }
}
