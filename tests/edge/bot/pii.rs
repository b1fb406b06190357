//! Personal data in activities: what has a form, and what a detector finds.

use serde_json::{Value, json};
use tonegate::config::pii::PiiDetector;
use tonegate::metrics::Metrics;
use tonegate::sim::pii::{AUDIENCE, Detector as Simulated, Options, Trouble};
use tonegate::sim::platform;
use tonegate::upstream::pii_detector::{Detector, Place};

use super::peers::Peers;
use super::world::*;
use crate::gateway::detector::service;

#[tokio::test]
async fn c21_what_people_write_to_the_bot_is_asked_about_and_nothing_else_of_it() {
    for kind in ["azure-language", "presidio"] {
        let (desk, _stop, more) = service(kind, "").await;
        let bot = Bot::with(Bots {
            route: "pii = { fields = [\"text\"], detector = \"names\" }".to_owned(),
            more,
            ..Bots::default()
        })
        .await;
        let mut written = bot.message();
        written["text"] = json!("I am Jo Doe, +1 (555) 123-4567");
        assert_eq!(bot.post(&written).await.status, 200, "{kind}");
        let heard: Value = serde_json::from_slice(&bot.app.only().body).unwrap();
        // Whose it is and where it is answered is as it was.
        let mut left = written.clone();
        left["text"] = json!("I am [pii], [phone]");
        assert_eq!(heard, left);
        assert_eq!(desk.asked().concat(), ["I am Jo Doe, [phone]"]);
        for (trouble, status) in [
            (Trouble::Status(503), 503),
            (Trouble::Lost, 502),
            (Trouble::Shifted(1000), 502),
        ] {
            desk.then([trouble]);
            assert_eq!(bot.post(&written).await.status, status, "{kind}");
        }
        assert_eq!(bot.app.seen().len(), 1);
        assert_eq!(desk.violations(), [""; 0]);
        bot.was_sound();
    }
}

/// A detector that takes the edge's own token, and what it finds in one text.
async fn with_token(peers: &Peers, table: &str) -> Option<Vec<Place>> {
    let settings = peers.settings(table, &[]).live.pii_detectors;
    let settings: PiiDetector = settings.into_iter().next().unwrap();
    let detector = Detector::new(settings, Metrics::new().into()).unwrap();
    peers.run(detector.identity().unwrap());
    detector.look(&["Hi, Jo Doe".to_owned()]).await.ok()
}

#[tokio::test]
async fn c21_a_detector_is_shown_a_token_of_the_platform() {
    let peers = Peers::new(AUDIENCE, false, |_| ()).await;
    let service = Simulated::bind(Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        identity: Some(peers.identity()),
        key: String::new(),
        tokens: Some((peers.provider.clone(), platform::Options::loopback().tenant)),
        names: vec!["Jo Doe".to_owned()],
    });
    let service = service.await.unwrap();
    let desk = service.desk();
    tokio::spawn(service.serve(peers.stop.clone()));
    let table = format!(
        "[pii_detectors.names]\nkind = \"azure-language\"\nurl = \"{}\"\nroots = \"ca.pem\"\n\
         managed_identity = true\ntotal = \"5s\"\n",
        desk.base()
    );
    let place = Place {
        text: 0,
        start: 4,
        length: 6,
    };
    assert_eq!(with_token(&peers, &table).await, Some(vec![place]));
    assert_eq!(desk.violations(), [""; 0]);
    // One for something else is none.
    let other = format!("{table}scope = \"https://graph.microsoft.com/.default\"\n");
    assert_eq!(with_token(&peers, &other).await, None);
}
