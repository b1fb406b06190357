//! Tickets that the edge itself hands out: for whom, for what, and what becomes of them.

use super::bound::Door;
use super::*;
use crate::label::Label;

const OWN: &str = "[[tickets.keys]]\nid = \"edge\"\nalgorithm = \"HS256\"\nown = true\n\
     secret = \"the edge's own secret, that nobody else has\"\n";
const DESK: &str = "[[routes]]\nname = \"desk\"\nkind = \"tickets\"\npaths = [\"/tickets\"]\n\
     admit = [\"key\"]\norigins = [\"https://app.example.com\"]\nopens = [\"browser\"]\n";

fn door() -> Door {
    Door::of(&format!("{OWN}{ONE}"), TICKETS, DESK)
}

fn wish<'a>(door: &'a Door, model: Option<&'a Label>) -> Wish<'a> {
    Wish {
        route: door.route("browser"),
        model,
        agent: None,
        origin: Some(PAGE),
        life: Duration::from_secs(30),
    }
}

fn caller(door: &Door, key: &str) -> Grant {
    door.ask_at("desk", "/tickets", &[("api-key", key)], NOW)
        .unwrap()
}

#[test]
fn a32_a_ticket_of_the_edge_lets_the_same_one_in_as_was_admitted() {
    let door = door();
    let (who, model) = (caller(&door, "k-1"), Label::new("gpt-4o").unwrap());
    let (ticket, life) = door
        .admission
        .issue(&who, wish(&door, Some(&model)), at(NOW))
        .unwrap();
    assert_eq!(life, Duration::from_secs(30));
    let target = format!("/ws?ticket={}", ticket.expose());
    let from = [("Origin", PAGE)];
    let grant = door.ask(&target, &from).unwrap();
    // The same in log and limits, whatever was shown.
    assert_eq!(grant.subject().to_string(), "kiosk");
    assert!(grant.subject().digest().is(&who.subject().digest()));
    assert!(grant.ticket().is_some_and(|ticket| !ticket.observed));
    // It is bound to what it was asked for.
    assert_eq!(
        door.ask(&target, &[]).unwrap_err().reason,
        Reason::Forbidden
    );
    let other = format!("{target}&model=gpt-realtime");
    assert_eq!(
        door.ask(&other, &from).unwrap_err().reason,
        Reason::Forbidden
    );
    // And lives for its seconds.
    let late = door.ask_at("browser", &target, &from, NOW + 35);
    assert_eq!(late.unwrap_err().reason, Reason::Unauthenticated);
}

#[test]
fn a32_the_lists_of_a_key_hold_for_its_tickets() {
    let door = door();
    let who = caller(&door, "k-1");
    let issue = |model: &str| {
        let model = Label::new(model).unwrap();
        door.admission
            .issue(&who, wish(&door, Some(&model)), at(NOW))
            .map(drop)
    };
    assert_eq!(issue("gpt-realtime"), Ok(()));
    // On the route's list, and not on the key's; on none.
    assert_eq!(issue("gpt-5").unwrap_err().reason, Reason::Forbidden);
    assert_eq!(issue("gpt-6").unwrap_err().reason, Reason::Forbidden);
    // Whoever names none gets what the key may, also with the ticket.
    let (ticket, _) = door
        .admission
        .issue(&who, wish(&door, None), at(NOW))
        .unwrap();
    let from = [("Origin", PAGE)];
    let target = format!("/ws?ticket={}", ticket.expose());
    assert!(door.ask(&target, &from).is_ok());
    let off = door.ask(&format!("{target}&model=gpt-5"), &from);
    assert_eq!(off.unwrap_err().reason, Reason::Forbidden);
    // A key that does not open the route has no ticket for it.
    let other = caller(&door, "k-2");
    let none = door.admission.issue(&other, wish(&door, None), at(NOW));
    assert_eq!(none.unwrap_err().reason, Reason::Forbidden);
    // Nor has a page that the route does not list.
    let wish = Wish {
        origin: Some("https://evil.example"),
        ..wish(&door, None)
    };
    let none = door.admission.issue(&who, wish, at(NOW));
    assert_eq!(none.unwrap_err().reason, Reason::Forbidden);
}

#[test]
fn a32_only_the_edges_own_key_says_as_whom_somebody_was_admitted() {
    let door = door();
    let of = |caller: Value| with("caller", caller);
    let own = json!({"alg": "HS256", "kid": "edge"});
    let secret = "the edge's own secret, that nobody else has";
    let asks = |header: &Value, secret: &str, claims: &Value| {
        let ticket = signed_with(secret, header, claims);
        door.ask(&format!("/ws?ticket={}", ticket.expose()), &[])
    };
    let kiosk = || of(json!({"way": "key", "name": "kiosk"}));
    assert!(asks(&own, secret, &kiosk()).is_ok());
    let forged = asks(&header(), SECRET, &kiosk()).unwrap_err();
    assert_eq!(forged.reason, Reason::Unauthenticated);
    for (caller, reason) in [
        (
            json!({"way": "key", "name": "gone"}),
            Reason::Unauthenticated,
        ),
        (json!({"way": "key", "name": "other"}), Reason::Forbidden),
        (
            json!({"way": "certificate", "name": "gone"}),
            Reason::Unauthenticated,
        ),
        (
            json!({"way": "token", "issuer": "gone", "name": "u"}),
            Reason::Unauthenticated,
        ),
        (json!({"way": "anyone"}), Reason::Unauthenticated),
        (
            json!({"way": "key", "name": "kiosk", "more": 1}),
            Reason::Unauthenticated,
        ),
        (
            json!({"way": "key", "name": "a b"}),
            Reason::Unauthenticated,
        ),
        (json!({"name": "kiosk"}), Reason::Unauthenticated),
    ] {
        let refused = asks(&own, secret, &of(caller.clone()));
        assert_eq!(refused.unwrap_err().reason, reason, "{caller}");
    }
    let mut two = kiosk();
    two["sub"] = json!("u-1");
    let two = asks(&own, secret, &two);
    assert_eq!(two.unwrap_err().reason, Reason::Unauthenticated);
}

#[test]
fn a32_a_ticket_that_would_open_nothing_is_not_handed_out() {
    let wants = format!("{TICKETS}\nticket_claims = [\"origin\", \"model\"]");
    let door = Door::of(&format!("{OWN}{ONE}"), &wants, DESK);
    let who = caller(&door, "k-1");
    let model = Label::new("gpt-4o").unwrap();
    let asked = [
        (Some(PAGE), Some(&model), None),
        (None, Some(&model), Some(Reason::Forbidden)),
        (Some(PAGE), None, Some(Reason::BadRequest)),
    ];
    for (origin, model, refused) in asked {
        let wish = Wish {
            origin,
            ..wish(&door, model)
        };
        let issued = door.admission.issue(&who, wish, at(NOW));
        assert_eq!(issued.err().map(|denied| denied.reason), refused);
    }
}
