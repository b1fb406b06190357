//! Two sockets of one call at a time: the later one has it, however long either takes to be let in.

use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tonegate::sim::acs::Options;

use super::world::{Line, Phone, signed};
use crate::harness::within;

#[tokio::test]
async fn a09_the_later_socket_keeps_the_call_though_the_upstream_answers_the_earlier_one_last() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let phone = Phone::with(Line {
        gate: "flow = \"open\"".to_owned(),
        upstream: "orchestrator",
        more: format!(
            "[upstreams.orchestrator]\nkind = \"relay\"\nurl = \"ws://localhost:{port}/acs\"\n\
             credential = {{ none = true }}\n"
        ),
        ..Line::default()
    })
    .await;
    let accept = async || within("a dial", listener.accept()).await.unwrap().0;
    let (first, second) = (phone.dial(&signed("c1")), phone.dial(&signed("c1")));
    let earlier = phone.rings(&first, Options::default());
    let later = async {
        let held = accept().await;
        let (later, upstream) = tokio::join!(phone.rings(&second, Options::default()), async {
            accept_async(accept().await).await.unwrap()
        });
        // Now that the later one has the call the earlier one is answered.
        let answered = accept_async(held).await;
        (later, upstream, answered)
    };
    let (earlier, (later, _upstream, _answered)) = tokio::join!(earlier, later);
    earlier.closed(4409, "superseded").await;
    later.hand.look(|record| assert_eq!(record.ending, None));
    later.hand.hang_up();
    later.ended().await;
}
