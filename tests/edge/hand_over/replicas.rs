//! Two edges on one Redis: sessions are written at one, calls come to the other.

use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::sim::acs::line::Keying;

use super::world::{CONTACT, Centre, SIX, pstn, request};
use crate::phone::server::Server;
use crate::phone::world::Line;

#[tokio::test]
async fn a09_a10_a_session_is_written_at_one_edge_and_its_call_comes_to_the_other() {
    let redis = Server::plain(&[]);
    let line = Line {
        gate: SIX.to_owned(),
        store: format!("url = \"redis://127.0.0.1:{}\"", redis.port),
        ..Line::default()
    };
    let mut centre = Centre::of(line, "").await;
    let settings = centre.phone.world.folder.join("edge.toml");
    let other = Edge::start(&Settings::read(&[settings]).unwrap()).unwrap();
    let up = |centre: &Centre| centre.phone.world.edge().store().is_up() && other.store().is_up();
    crate::harness::within("the store", async {
        while !up(&centre) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let [first, second] = [centre.phone.world.port, other.public().port()];
    let token = centre.token();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let put = request("PUT", CONTACT, &bearer, Some(&pstn().to_string()));
    let written = centre.sends(put.as_bytes()).await;
    assert_eq!(written.status, 201, "{}", written.body);
    // The token is spent at the other edge, too.
    centre.phone.world.port = second;
    centre
        .sends(put.as_bytes())
        .await
        .is(401, "unauthenticated");
    let again = centre.asks("PUT", CONTACT, Some(&pstn())).await;
    assert_eq!((again.status, &again.body), (200, &written.body));
    let written = super::world::json_of(&written);
    let call = centre.arrives("c1").await;
    call.dials(written["code"].as_str().unwrap(), &Keying::messages());
    centre.phone.world.upstream_saw(|_| true).await;
    assert_eq!(
        (centre.phone.world.edge().sessions(), other.sessions()),
        (0, 1)
    );
    centre.phone.world.port = first;
    let opened = centre.is(CONTACT, "opened").await;
    assert_eq!(opened["call"], "c1");
    call.hand.hang_up();
    call.ended().await;
    centre.is(CONTACT, "ended").await;
    let told = centre.hears(2).await;
    assert_eq!(
        (&told[0]["outcome"], &told[1]["outcome"]),
        (&"opened".into(), &"ended".into())
    );
    assert_eq!(
        other
            .metrics_page()
            .matches("tonegate_webhooks_total{route=\"sessions\",result=\"sent\"} 2")
            .count(),
        1
    );
}
