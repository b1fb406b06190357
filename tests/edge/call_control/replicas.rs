//! Two edges on one Redis: the event comes to one, the media to the other, callbacks to either.

use serde_json::json;
use tonegate::sim::acs::record::Ending;
use tonegate::sim::call_automation::grid::{Caller, Schema};

use super::control::{BY_CALLBACK, Control, told, tone};
use crate::harness::within;
use crate::phone::server::Server;
use crate::phone::world::ANI;

#[tokio::test]
async fn a03_a06_an_event_on_one_edge_media_on_another_and_callbacks_on_either() {
    let redis = Server::plain(&[]);
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let control = Control::of(BY_CALLBACK, &store, true).await;
    let [first, second] = control.ports;
    let other = control.second.as_ref().unwrap();
    let both_up = || control.phone.world.edge().store().is_up() && other.store().is_up();
    control.phone.eventually("the store", |_| both_up()).await;
    control.phone.stores(ANI, "823").await;
    // The same event to both: one of them takes it.
    let event = [control
        .desk
        .incoming(&Caller::default())
        .event(Schema::EventGrid)];
    let at = [first, second].map(|port| control.subscription(Schema::EventGrid, port));
    let (one, two) = tokio::join!(
        control.desk.deliver_once(&at[0], &event, 0),
        control.desk.deliver_once(&at[1], &event, 0),
    );
    assert_eq!((one, two), (Some(200), Some(200)));
    assert_eq!(control.answers(), 1);
    let line = within("the call", control.desk.nth_line(1)).await;
    within("the media", line.streams()).await;
    assert_eq!(
        (control.phone.world.edge().sessions(), other.sessions()),
        (1, 0)
    );
    // Callbacks go to the second edge, the socket is the first one's.
    assert!(line.callback_url().contains(&format!(":{second}/")));
    within("the edge's ear", line.listens()).await;
    let last = json!([tone(&line, 3, "three"), tone(&line, 2, "two")]);
    assert_eq!(line.callback(&last).await, Some(200));
    // One of them to the edge that has the session.
    let headers = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\n",
        control.phone.token()
    );
    let path = line.callback_url().rsplit_once("/acs/").unwrap().1;
    let body = json!([tone(&line, 1, "eight")]).to_string();
    let request = super::control::post(&format!("/acs/{path}"), &headers, &body);
    assert_eq!(control.asks(&request).await.status, 200);
    control.opened(1).await;
    // The end, told to the edge that has not the session, reaches the other one.
    let over = json!([told(&line, "CallDisconnected", json!({}))]);
    assert_eq!(line.callback(&over).await, Some(200));
    let media = within("the end", line.media_ended()).await;
    let closed = Ending::Closed {
        code: Some(1000),
        reason: "hung_up".to_owned(),
    };
    assert_eq!(media.ending, Some(closed));
    control.phone.ended("client", "hung_up", 1).await;
    drop(redis);
}
