//! Every ending has a cause, and both sides are told.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonegate::sim::frame::{self, Decoder, Frame, Sender};

use crate::harness::{KEY, Wish, World, ended, request, text, within};
use crate::tape::Tape;

#[tokio::test]
async fn b10_close_codes_and_reasons_of_the_client_reach_the_upstream() {
    let world = World::usual().await;
    let cases: &[(Option<u16>, &str)] = &[
        (Some(1000), ""),
        (Some(1001), "going"),
        (Some(1013), ""),
        (Some(3000), "library"),
        (Some(4321), "mine"),
        (Some(4999), "é"),
        (None, ""),
    ];
    for (code, reason) in cases {
        let mut caller = world.call("sim-echo").await;
        let close = match code {
            Some(code) => Frame::close(*code, reason),
            None => Frame::whole(frame::CLOSE, ""),
        };
        caller.send(close).await;
        assert_eq!(caller.closed().await, (*code, (*reason).to_owned()));
        let seen = world
            .upstream_saw(|seen| seen.close_received.is_some())
            .await;
        assert_eq!(seen.close_received, Some((*code, (*reason).to_owned())));
    }
    world.settles().await;
}

#[tokio::test]
async fn b10_close_codes_and_reasons_of_the_upstream_reach_the_client() {
    let world = World::usual().await;
    let mut caller = world.call("sim-close-4001").await;
    assert_eq!(caller.next().await.unwrap().opcode, frame::TEXT);
    let close = caller.next().await.unwrap();
    assert_eq!(close.close_parts(), (Some(4001), "sim".to_owned()));
    caller.send(close).await;
    assert_eq!(caller.next().await, None);
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(seen.close_received, Some((Some(4001), "sim".to_owned())));
    world
        .metrics_say(&ended("upstream", "upstream_closed"))
        .await;
    world.settles().await;
}

#[tokio::test]
async fn s16_forbidden_close_codes_never_cross() {
    for code in ["1005", "1006", "1015", "999", "5000"] {
        let world = World::usual().await;
        let mut caller = world.call(&format!("sim-close-raw-{code}")).await;
        assert_eq!(caller.closed().await, (Some(1002), "protocol".to_owned()));
        world.metrics_say(&ended("upstream", "protocol")).await;
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let world = World::usual().await;
        let mut caller = world.call("sim-echo").await;
        caller.send(Frame::close(code, "")).await;
        assert_eq!(caller.closed().await, (Some(1002), "protocol".to_owned()));
        let seen = world
            .upstream_saw(|seen| seen.close_received.is_some())
            .await;
        assert_eq!(seen.close_received.unwrap().0, Some(1002));
        world.metrics_say(&ended("client", "protocol")).await;
    }
}

#[tokio::test]
async fn an_upstream_that_vanishes_is_told_as_1011() {
    for model in ["sim-reset", "sim-eof"] {
        let world = World::usual().await;
        let mut caller = world.call(model).await;
        // What was sent before the cut arrives first.
        let first = caller.next().await.unwrap();
        assert_eq!(first.opcode, frame::TEXT, "{model}");
        let close = caller.closed().await;
        assert_eq!(close, (Some(1011), "upstream_closed".to_owned()), "{model}");
        world
            .metrics_say(&ended("upstream", "upstream_closed"))
            .await;
        world.settles().await;
    }
}

#[tokio::test]
async fn b11_a_client_that_vanishes_frees_the_upstream_with_1011() {
    let world = World::usual().await;
    let caller = world.call("sim-echo").await;
    caller.io.tcp().set_zero_linger().unwrap();
    drop(caller);
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    let close = seen.close_received.unwrap();
    assert_eq!(close, (Some(1011), "client_lost".to_owned()));
    world.metrics_say(&ended("client", "client_lost")).await;
    world.settles().await;
}

#[tokio::test]
async fn s24_what_was_sent_before_a_half_close_is_delivered_and_answered_by_a_close() {
    let world = World::usual().await;
    let mut caller = world.call("sim-sink").await;
    for i in 0..50 {
        caller.send(text(&format!("{i:0>1000}"))).await;
    }
    caller.io.shutdown().await.unwrap();
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(seen.received.text, 50);
    assert_eq!(seen.close_received.unwrap().0, Some(1011));
    world.settles().await;
}

#[tokio::test]
async fn a_client_cut_inside_a_frame_ends_the_upstream_without_inventing_bytes() {
    let world = World::unlocked().await;
    let mut caller = world.call("sim-sink").await;
    let frame = caller.encode(&text(&"half".repeat(1000)));
    caller.send_raw(&frame[..2000]).await;
    caller.io.shutdown().await.unwrap();
    let seen = world.upstream_saw(|seen| seen.ending.is_some()).await;
    assert_eq!((seen.received.text, seen.close_received), (0, None));
    world.metrics_say(&ended("client", "client_lost")).await;
    world.settles().await;
}

#[tokio::test]
async fn frames_of_the_upstream_still_arrive_while_it_answers_a_close() {
    let world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    // The echo answers in order: these are on their way back when the close goes out.
    for i in 0..200 {
        caller.send(text(&format!("{i}"))).await;
    }
    caller.close(1000, "done").await;
    for i in 0..200 {
        assert_eq!(caller.next().await, Some(text(&format!("{i}"))));
    }
    assert_eq!(caller.closed().await, (Some(1000), "done".to_owned()));
}

#[tokio::test]
async fn a_peer_that_never_answers_a_close_is_cut_after_a_second() {
    let world = World::usual().await;
    let mut caller = world.call("sim-stall").await;
    let began = Instant::now();
    caller.close(4000, "no answer").await;
    // The edge answers in the upstream's stead when its patience is over.
    assert_eq!(caller.closed().await, (Some(4000), String::new()));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    world.metrics_say(&ended("client", "client_closed")).await;
    world
        .metrics_say("tonegate_sessions{route=\"browser\"} 0")
        .await;
}

#[tokio::test]
async fn b04_a_session_that_only_says_goodbye_takes_no_place_and_no_time() {
    let world = World::with(Wish {
        limits: "sessions = 1".to_owned(),
        key: "limits = { sessions = 1 }".to_owned(),
        ..Wish::default()
    })
    .await;
    // Its upstream never answers, and it stays itself: only the edge's clock ends the goodbye.
    let mut caller = world.call("sim-stall").await;
    let sessions = "tonegate_sessions{route=\"browser\"}";
    world.metrics_say(&format!("{sessions} 1")).await;
    caller.close(1000, "").await;
    world.metrics_say(&format!("{sessions} 0")).await;
    assert_eq!(world.count("tonegate_connections "), 1);
    world.still_serves().await;
    world.metrics_say("tonegate_connections 0").await;
    assert_eq!(
        world.count("tonegate_session_seconds_bucket{route=\"browser\",le=\"1\"}"),
        2
    );
}

#[tokio::test]
async fn s19_clients_that_go_on_sending_do_not_outlive_their_close() {
    let world = World::with(Wish {
        workers: 1,
        ..Wish::default()
    })
    .await;
    let mut floods = Vec::new();
    for _ in 0..4 {
        // The upstream never answers, so that only the edge's own clock ends this.
        let mut caller = world.call("sim-stall").await;
        caller.close(1000, "").await;
        floods.push(tokio::spawn(async move {
            let more = vec![0; 256 * 1024];
            let mut written = 0;
            while caller.io.write_all(&more).await.is_ok() {
                written += more.len();
            }
            written
        }));
    }
    world
        .metrics_say("tonegate_sessions{route=\"browser\"} 0")
        .await;
    for flood in floods {
        assert!(within("the end of a flood", flood).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_session_has_a_longest_duration() {
    let world = World::with(Wish {
        limits: "session = \"300ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    caller.send(text("hi")).await;
    assert_eq!(caller.next().await, Some(text("hi")));
    let close = caller.next().await.unwrap();
    assert_eq!(close.close_parts(), (Some(4450), "max_duration".to_owned()));
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(seen.close_received.unwrap().0, Some(4450));
    world.metrics_say(&ended("edge", "max_duration")).await;
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn a_session_without_messages_is_idle_and_pings_do_not_count() {
    let world = World::with(Wish {
        limits: "idle = \"400ms\"\nping = \"100ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-sink").await;
    let mut pings = 0;
    let close = loop {
        let frame = caller.next().await.unwrap();
        match frame.opcode {
            frame::PING => {
                pings += 1;
                caller.send(Frame::whole(frame::PONG, frame.payload)).await;
            }
            _ => break frame,
        }
    };
    assert_eq!(close.close_parts(), (Some(1001), "idle".to_owned()));
    assert!(pings > 0);
    // The answers were the edge's own business: the upstream got none of them.
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(seen.received.pong, 0);
    world.metrics_say(&ended("edge", "idle")).await;
}

#[tokio::test]
async fn s20_a_silent_client_is_pinged_and_then_lost() {
    let world = World::with(Wish {
        limits: "ping = \"150ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    let ping = caller.next().await.unwrap();
    assert_eq!(ping.opcode, frame::PING);
    // No answer.
    assert_eq!(
        caller.closed().await,
        (Some(1011), "client_lost".to_owned())
    );
    world.metrics_say(&ended("client", "client_lost")).await;
    world.settles().await;
}

#[tokio::test]
async fn s20_a_silent_upstream_is_pinged_and_then_lost() {
    let mut tape = Tape::start().await;
    let world = tape
        .world_with(Wish {
            limits: "ping = \"300ms\"".to_owned(),
            ..Wish::default()
        })
        .await;
    let mut caller = world.call("sim-echo").await;
    // The client answers its own pings all the while.
    let close = loop {
        let frame = caller.next().await.unwrap();
        match frame.opcode {
            frame::PING => caller.send(Frame::whole(frame::PONG, frame.payload)).await,
            _ => break frame,
        }
    };
    assert_eq!(close, Frame::close(1011, "upstream_closed"));
    drop(caller);
    // The decoder takes masked frames only. One ping, not answered, and then the end.
    let bytes = tape.bytes().await;
    let mut frames = Decoder::new(Sender::Client, BytesMut::from(&bytes[..]));
    let ping = frames.next_frame().unwrap().unwrap();
    assert_eq!(ping.opcode, frame::PING);
    let close = frames.next_frame().unwrap();
    assert_eq!(close, Some(Frame::close(1011, "upstream_closed")));
    assert!(frames.buffer().is_empty());
    world
        .metrics_say(&ended("upstream", "upstream_closed"))
        .await;
    world.settles().await;
}

#[tokio::test]
async fn s20_both_legs_are_pinged_and_who_answers_stays() {
    let world = World::with(Wish {
        limits: "ping = \"100ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    for _ in 0..10 {
        let ping = caller.next().await.unwrap();
        assert_eq!(ping.opcode, frame::PING, "a pong crossed");
        caller.send(Frame::whole(frame::PONG, ping.payload)).await;
    }
    let seen = world.upstream_saw(|seen| seen.received.ping >= 5).await;
    assert_eq!(seen.received.pong, 0, "a pong crossed");
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    caller.send(text("still here")).await;
    assert_eq!(caller.next().await, Some(text("still here")));
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn b18_stopping_the_edge_closes_sessions_with_1001() {
    let mut world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    let edge = world.edge.take().unwrap();
    let stopping = tokio::task::spawn_blocking(move || edge.stop());
    assert_eq!(caller.closed().await, (Some(1001), "draining".to_owned()));
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(seen.close_received.unwrap().0, Some(1001));
    drop(caller);
    within("the stop", stopping).await.unwrap();
}

#[tokio::test]
async fn b18_stopping_the_edge_does_not_wait_for_those_who_have_not_asked() {
    for tls in [true, false] {
        let mut world = World::with(Wish {
            tls,
            limits: "handshake = \"1m\"".to_owned(),
            ..Wish::default()
        })
        .await;
        let half = &request("/ws?model=sim-echo", &[("api-key", KEY)])[..90];
        let mut sockets = Vec::new();
        for bytes in ["", half] {
            let mut io = world.connect().await;
            io.write_all(bytes.as_bytes()).await.unwrap();
            io.flush().await.unwrap();
            sockets.push(io);
        }
        world.metrics_say("tonegate_connections 2").await;
        let edge = world.edge.take().unwrap();
        let began = Instant::now();
        let stopping = tokio::task::spawn_blocking(move || edge.stop());
        within("the stop", stopping).await.unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
        for io in &mut sockets {
            let mut rest = Vec::new();
            let _ = within("the end", io.read_to_end(&mut rest)).await;
            assert_eq!(rest, b"", "nothing was asked, and nothing is answered");
        }
    }
}
