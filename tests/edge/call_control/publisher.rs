//! Microsoft's publisher of events before the edge itself: whatever shape it gives to a handshake or to
//! a call that rings, the edge takes it.

use serde_json::{Value, json};
use tokio::process::Command;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::call_automation::desk::Fate;
use tonegate::sim::call_automation::grid::{APPLICATION, Caller, ROLE, Schema};
use tonegate::sim::issuer::mint::Mint;

use super::control::{AUDIENCE, Control, EVENTS, PSTN};
use super::refused::validation;
use crate::harness::{KEY, PATIENCE, within};
use crate::phone::world::ANI;
use crate::program::{root, tells, tool};
use crate::tokens::TENANT;

const BOTH: [(Schema, &str); 2] = [
    (Schema::EventGrid, "event-grid"),
    (Schema::CloudEvents, "cloud-events"),
];

/// What the publisher shows, besides its own key.
enum Shows<'a> {
    /// Its own token.
    Token(&'a str),
    /// A secret, in a header or behind the URL.
    Header(&'a str),
    Query(&'a str),
}

impl Control {
    /// The publisher sends these events to the edge; what it tells.
    async fn published(&self, schema: &str, shows: Shows<'_>, events: &[Value]) -> Value {
        let mut url = format!("https://localhost:{}{EVENTS}", self.ports[0]);
        let mut shown = Vec::new();
        match shows {
            Shows::Token(token) => shown.extend(["--token".to_owned(), token.to_owned()]),
            Shows::Header(secret) => {
                shown.extend(["--header".to_owned(), format!("api-key: {secret}")]);
            }
            Shows::Query(secret) => url += &format!("?api-key={secret}"),
        }
        let mut publisher = Command::new(tool("callautomation-py/bin/python"));
        publisher
            .arg(root().join("tests/sdk/eventgrid.py"))
            .args(shown)
            .args(["--url", &url, "--schema", schema])
            .args(["--events", &json!(events).to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("REQUESTS_CA_BUNDLE", self.phone.world.folder.join("ca.pem"));
        tells(&mut publisher, PATIENCE).await
    }

    /// A token of Event Grid for this edge.
    fn grid_token(&self, change: impl FnOnce(Mint) -> Mint) -> String {
        let provider = &self.phone.provider;
        let mint = Mint::entra_v2(&provider.base(), TENANT, AUDIENCE)
            .with("azp", APPLICATION)
            .with("roles", json!([ROLE]))
            .without("scp");
        provider.mint(&change(mint))
    }
}

#[tokio::test]
async fn a03_a04_calls_that_the_official_publisher_says_ring_are_answered_in_both_schemas() {
    let control = Control::with(PSTN).await;
    for (number, (schema, name)) in BOTH.into_iter().enumerate() {
        control.phone.stores(ANI, "823").await;
        let caller = Caller {
            sip_headers: vec![("User-to-User".to_owned(), "abc".to_owned())],
            ..Caller::default()
        };
        let rings = control.desk.incoming(&caller);
        let token = control.grid_token(|mint| mint);
        let event = [rings.event(schema)];
        let told = control.published(name, Shows::Token(&token), &event).await;
        assert_eq!(
            (&told["status"], &told["sent"]),
            (&json!(200), &json!(1)),
            "{told}"
        );
        assert_eq!(rings.fate(), Some(Fate::Answered), "{name}");
        let line = within("the call", control.desk.nth_line(number + 1)).await;
        assert_eq!(line.correlation(), rings.correlation);
        within("the media", line.streams()).await;
        line.press("823", &Keying::both()).await.unwrap();
        control.opened(number as u64 + 1).await;
        within("hanging up", line.hang_up()).await;
    }
    assert_eq!(control.desk.record().violations(), []);
}

/// A batch, with an event in it that is known and one that nobody wants.
#[tokio::test]
async fn a03_a_batch_of_the_official_publisher_is_taken_event_by_event() {
    let control = Control::with(PSTN).await;
    for (number, (schema, name)) in BOTH.into_iter().enumerate() {
        let [first, second] =
            [(); 2].map(|()| control.desk.incoming(&Caller::default()).event(schema));
        let mut other = first.clone();
        let kind = if schema == Schema::EventGrid {
            "eventType"
        } else {
            "type"
        };
        other[kind] = json!("Microsoft.Communication.SMSReceived");
        other["id"] = json!("another");
        let events = [first.clone(), other, second, first];
        let told = control.published(name, Shows::Header(KEY), &events).await;
        assert_eq!(
            (&told["status"], &told["sent"]),
            (&json!(200), &json!(4)),
            "{told}"
        );
        assert_eq!(control.answers(), 2 * (number + 1));
        control
            .event_dropped("events", "duplicate", number as u64 + 1)
            .await;
    }
}

#[tokio::test]
async fn a04_the_official_publisher_gets_its_validation_answered() {
    let control = Control::with(PSTN).await;
    let validation: Value = serde_json::from_str(&validation()).unwrap();
    let events = validation.as_array().unwrap();
    for shows in [Shows::Header(KEY), Shows::Query(KEY)] {
        let told = control.published("event-grid", shows, events).await;
        assert_eq!(told["status"], 200, "{told}");
        let answer: Value = serde_json::from_str(told["answer"].as_str().unwrap()).unwrap();
        assert_eq!(answer, json!({"validationResponse": "512d38b6"}));
    }
}

#[tokio::test]
async fn a04_the_official_publisher_is_refused_with_what_it_must_not_show() {
    let control = Control::with(PSTN).await;
    let rings = control.desk.incoming(&Caller::default());
    let event = [rings.event(Schema::CloudEvents)];
    let other = control.grid_token(|mint| mint.with("azp", "00000000-0000-4000-8000-00000000000c"));
    let expired = control.grid_token(|mint| mint.with("exp", 1_700_000_000));
    let acs = control.phone.token();
    for (shows, status) in [
        (Shows::Header("wrong"), 401),
        (Shows::Query("wrong"), 401),
        (Shows::Token(&expired), 401),
        (Shows::Token(&acs), 401),
        (Shows::Token(&other), 403),
    ] {
        let told = control.published("cloud-events", shows, &event).await;
        assert_eq!(told["status"], status, "{told}");
        assert!(told["error"].is_string(), "{told}");
    }
    assert_eq!((control.answers(), rings.fate()), (0, Some(Fate::Rings)));
}
