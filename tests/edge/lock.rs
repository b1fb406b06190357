//! The lock on the models through real sockets: what a client may name inside its session.

use tonegate::sim::frame::{self, Frame};

use crate::harness::{KEY, Wish, World, text};

async fn world() -> World {
    World::with(Wish {
        key: "models = [\"sim-echo\", \"gpt-4o\"]".to_owned(),
        ..Wish::default()
    })
    .await
}

#[tokio::test]
async fn b04_a_session_update_may_not_name_a_model_off_the_list() {
    let world = world().await;
    let other = [
        // On the route's list, but not on the key's.
        r#"{"type":"session.update","session":{"model":"gpt-realtime"}}"#,
        r#"{"type":"session.update","session":{"type":"realtime","model":"gpt-5"}}"#,
        r#"{"type":"session.update","model":"gpt-5"}"#,
        r#"{"type":"session.update","session":{"\u006dodel":"gpt-5"}}"#,
    ];
    for (i, message) in other.iter().enumerate() {
        let mut caller = world.call("sim-echo").await;
        caller.send(text("before")).await;
        assert_eq!(caller.next().await, Some(text("before")));
        if i % 2 == 0 {
            caller.send(text(message)).await;
        } else {
            let (first, second) = message.split_at(message.len() - 9);
            for (fin, opcode, part) in [
                (false, frame::TEXT, first),
                (true, frame::CONTINUATION, second),
            ] {
                let payload = part.to_owned().into();
                caller
                    .send(Frame {
                        fin,
                        opcode,
                        payload,
                    })
                    .await;
            }
        }
        assert_eq!(caller.closed().await, (Some(1008), "forbidden".to_owned()));
        let seen = world
            .upstream_saw(|seen| seen.close_received.is_some())
            .await;
        assert_eq!((seen.received.text, seen.received.continuation), (1, 0));
        assert_eq!(seen.close_received.unwrap().0, Some(1008));
    }
    let ended =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"client\",reason=\"forbidden\"} 4";
    world.metrics_say(ended).await;
    world.settles().await;
}

#[tokio::test]
async fn what_names_an_allowed_model_or_none_goes_through_unchanged() {
    let world = world().await;
    let mut caller = world.call("sim-echo").await;
    for message in [
        r#"{"type":"session.update","session":{"model":"gpt-4o","voice":"\u0061lloy"}}"#,
        r#"{"type":"session.update","session":{"input_audio_transcription":{"model":"whisper-1"}}}"#,
        "no JSON at all",
    ] {
        caller.send(text(message)).await;
        assert_eq!(caller.next().await, Some(text(message)));
    }
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;
}

#[tokio::test]
async fn a_route_that_says_so_looks_at_nothing() {
    let world = World::unlocked().await;
    let target = "/ws?model=sim-echo";
    let mut caller = world.ask(target, &[("api-key", KEY)]).await.unwrap();
    let other = text(r#"{"type":"session.update","session":{"model":"gpt-5"}}"#);
    caller.send(other.clone()).await;
    assert_eq!(caller.next().await, Some(other));
}
