//! The three flows: what opens each, and what does not.

use std::time::Duration;

use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::{Options, Pace};

use super::world::{ANI, Phone, signed};

#[tokio::test]
async fn a12_the_right_code_opens_the_gate_and_the_agent_speaks() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.hand.press("823", &Keying::both()).unwrap();
    call.until("keys", |record| record.keys() == 3).await;
    phone
        .world
        .upstream_saw(|seen| seen.appended.bytes > 0)
        .await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert_eq!(record.violations, []);
    phone
        .world
        .metrics_say(r#"tonegate_gates_total{route="phone",result="authorised"} 1"#)
        .await;
}

#[tokio::test]
async fn a12_a_wrong_code_closes_with_4403_and_nothing_is_dialled() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.hand.press("824,,825,,826", &Keying::both()).unwrap();
    call.closed(4403, "code_wrong").await;
    assert_eq!(phone.world.upstream_total(), 0);
    let _ = (Duration::ZERO, Pace::AtOnce);
}
