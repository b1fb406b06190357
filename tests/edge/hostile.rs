//! Peers that break RFC 6455 or try to (rows 16 and 17 of the threat model). What arrived upstream
//! is judged by its bytes.

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;
use tonegate::sim::frame::{self, Frame};

use crate::harness::{Caller, Wish, World, binary, ended, text};
use crate::tape::Tape;

const KEY: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A client's frame with any first bytes: header, key, payload (masked with it).
fn raw(header: &[u8], payload: &[u8]) -> Vec<u8> {
    let masked = payload
        .iter()
        .zip(KEY.iter().cycle())
        .map(|(byte, key)| byte ^ key);
    let mut bytes = header.to_vec();
    bytes.extend(KEY);
    bytes.extend(masked);
    bytes
}

/// Frames that no client may send after a whole message.
fn bad_frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut bad = vec![
        ("unmasked", vec![0x81, 0x03, b'b', b'a', b'd']),
        ("unmasked and empty", vec![0x81, 0x00]),
        ("unmasked ping", vec![0x89, 0x00]),
        ("rsv1", raw(&[0xc1, 0x83], b"bad")),
        ("rsv2", raw(&[0xa1, 0x83], b"bad")),
        ("rsv3", raw(&[0x91, 0x83], b"bad")),
        ("rsv1 on a control frame", raw(&[0xc9, 0x80], b"")),
        ("fragmented ping", raw(&[0x09, 0x83], b"bad")),
        ("fragmented close", raw(&[0x08, 0x82], &[0x03, 0xe8])),
        ("ping of 126", raw(&[0x89, 0xfe, 0, 126], &[b'x'; 126])),
        (
            "pong of 65536",
            raw(&[0x8a, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], b""),
        ),
        ("stray continuation", raw(&[0x80, 0x83], b"bad")),
        ("stray first continuation", raw(&[0x00, 0x83], b"bad")),
        ("5 in 16 bits", raw(&[0x81, 0xfe, 0, 5], b"badly")),
        ("125 in 16 bits", raw(&[0x82, 0xfe, 0, 125], &[0; 125])),
        (
            "5 in 64 bits",
            raw(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5], b"badly"),
        ),
        (
            "65535 in 64 bits",
            raw(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], b""),
        ),
        (
            "top bit of 64",
            raw(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 3], b"bad"),
        ),
        (
            "all bits of 64",
            raw(&[0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255], b""),
        ),
        ("close of one byte", raw(&[0x88, 0x81], &[0x03])),
        ("close with a bad code", raw(&[0x88, 0x82], &[0x03, 0xed])),
        (
            "close that is not UTF-8",
            raw(&[0x88, 0x84], &[0x03, 0xe8, 0xc3, 0x28]),
        ),
    ];
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        bad.push(("reserved opcode", raw(&[0x80 | opcode, 0x83], b"bad")));
    }
    bad
}

#[tokio::test]
async fn b16_s16_an_unmasked_frame_ends_its_own_connection_alone() {
    let world = World::usual().await;
    let mut neighbour = world.call("sim-echo").await;
    let mut caller = world.call("sim-sink").await;
    caller.send_raw(&[0x81, 0x03, b'b', b'a', b'd']).await;
    assert_eq!(caller.closed().await, (Some(1002), "protocol".to_owned()));
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(
        seen.close_received,
        Some((Some(1002), "protocol".to_owned()))
    );
    assert_eq!((seen.received.text, seen.violations_total), (0, 0));
    drop(caller);
    neighbour.send(text("not disturbed")).await;
    assert_eq!(neighbour.next().await, Some(text("not disturbed")));
    neighbour.close(1000, "").await;
    assert_eq!(neighbour.closed().await.0, Some(1000));
    let ended =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"client\",reason=\"protocol\"} 1";
    world.metrics_say(ended).await;
    drop(neighbour);
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn s16_no_byte_of_a_bad_frame_reaches_the_upstream() {
    let mut tape = Tape::start().await;
    let world = tape.world().await;
    let frames = bad_frames();
    for (what, bad) in &frames {
        let mut caller = world.call("sim-echo").await;
        let good = caller.encode(&text("good"));
        caller.send_raw(&[&good[..], bad, &good].concat()).await;
        assert_eq!(
            caller.closed().await,
            (Some(1002), "protocol".to_owned()),
            "{what}"
        );
        drop(caller);
        assert_eq!(tape.before_close(1002).await, good, "{what}");
    }
    let series =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"client\",reason=\"protocol\"}";
    world
        .metrics_say(&format!("{series} {}", frames.len()))
        .await;
    world.settles().await;
}

#[tokio::test]
async fn s16_a_message_inside_another_is_refused() {
    let mut tape = Tape::start().await;
    let world = tape.world().await;
    for opcode in [frame::TEXT, frame::BINARY] {
        let mut caller = world.call("sim-echo").await;
        let first = raw(&[0x01, 0x85], b"first");
        let ping = raw(&[0x89, 0x82], b"ok");
        caller
            .send_raw(&[&first[..], &ping, &raw(&[0x80 | opcode, 0x83], b"bad")].concat())
            .await;
        assert_eq!(caller.closed().await, (Some(1002), "protocol".to_owned()));
        drop(caller);
        // A control frame between fragments is right and goes on.
        assert_eq!(tape.before_close(1002).await, [first, ping].concat());
    }
    world.settles().await;
}

#[tokio::test]
async fn s16_a_bad_frame_is_found_wherever_it_is_split() {
    let mut tape = Tape::start().await;
    let world = tape.world().await;
    let mut splits = 0;
    for (what, bad) in bad_frames() {
        // Those that are judged by more than their first two bytes.
        if !matches!(
            what,
            "5 in 64 bits" | "close with a bad code" | "rsv3" | "unmasked"
        ) {
            continue;
        }
        for at in 1..bad.len() {
            let mut caller = world.call("sim-echo").await;
            let good = caller.encode(&text("good"));
            caller.send_raw(&[&good[..], &bad[..at]].concat()).await;
            // What is good has arrived before the rest is sent: the edge has seen the first part.
            let seen = "tonegate_payload_bytes_total{route=\"browser\",direction=\"up\"}";
            world
                .metrics_say(&format!("{seen} {}", 4 * (splits + 1)))
                .await;
            // The edge may have ended it by then.
            let _ = caller.io.write_all(&bad[at..]).await;
            let _ = caller.io.flush().await;
            assert_eq!(
                caller.closed().await,
                (Some(1002), "protocol".to_owned()),
                "{what} {at}"
            );
            drop(caller);
            assert_eq!(tape.before_close(1002).await, good, "{what} split at {at}");
            splits += 1;
        }
    }
    assert!(splits > 30, "{splits}");
    world.settles().await;
}

#[tokio::test]
async fn s16_a_message_of_two_mebibytes_is_refused_at_its_header() {
    let mut tape = Tape::start().await;
    let world = tape.world().await;
    let sizes: [u64; 4] = [(1 << 20) + 1, 2 << 20, 1 << 32, 1 << 62];
    for size in sizes {
        let mut caller = world.call("sim-echo").await;
        let mut header = vec![0x82, 0xff];
        header.extend(size.to_be_bytes());
        // The answer comes at once: nothing of the payload is waited for.
        caller.send_raw(&raw(&header, b"")).await;
        assert_eq!(
            caller.closed().await,
            (Some(1009), "too_large".to_owned()),
            "{size}"
        );
        drop(caller);
        assert!(tape.before_close(1009).await.is_empty(), "{size}");
    }
    let mut caller = world.call("sim-echo").await;
    let all = caller.encode(&binary(vec![7; 2 << 20]));
    caller.send_raw(&all).await;
    assert_eq!(caller.closed().await, (Some(1009), "too_large".to_owned()));
    drop(caller);
    assert!(tape.before_close(1009).await.is_empty());
    let series =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"client\",reason=\"too_large\"}";
    world
        .metrics_say(&format!("{series} {}", sizes.len() + 1))
        .await;
    world.settles().await;
}

#[tokio::test]
async fn s17_fragments_are_added_up() {
    let mut tape = Tape::start().await;
    let world = tape.world().await;
    let mut caller = world.call("sim-echo").await;
    let part = |caller: &Caller, fin, opcode, size| {
        caller.encode(&Frame {
            fin,
            opcode,
            payload: vec![7; size].into(),
        })
    };
    // A message of exactly the limit passes, and the next one starts from nothing.
    let allowed = [
        part(&caller, true, frame::BINARY, 1 << 20),
        part(&caller, false, frame::BINARY, 1 << 19),
        part(&caller, true, frame::CONTINUATION, 1 << 19),
        part(&caller, false, frame::TEXT, (1 << 20) - 1),
        part(&caller, false, frame::CONTINUATION, 1),
        part(&caller, false, frame::CONTINUATION, 0),
    ]
    .concat();
    caller.send_raw(&allowed).await;
    let beyond = part(&caller, false, frame::CONTINUATION, 1);
    caller.send_raw(&beyond).await;
    assert_eq!(caller.closed().await, (Some(1009), "too_large".to_owned()));
    drop(caller);
    assert!(tape.before_close(1009).await == allowed);
    world.settles().await;
}

#[tokio::test]
async fn s17_a_message_of_the_upstream_beyond_its_limit_is_refused_on_both_sides() {
    let part = |fin, opcode, size| {
        let mut bytes = BytesMut::new();
        let payload = vec![7; size].into();
        let frame = Frame {
            fin,
            opcode,
            payload,
        };
        frame.encode(None, &mut bytes);
        bytes
    };
    let allowed = part(true, frame::BINARY, 64 << 10);
    let half = part(false, frame::BINARY, 32 << 10);
    let whole_beyond = part(true, frame::BINARY, (64 << 10) + 1);
    let half_beyond = part(true, frame::CONTINUATION, (32 << 10) + 1);
    // What may pass, and what breaks the limit: one frame, or fragments added up.
    let cases = [
        (allowed.clone(), whole_beyond),
        ([allowed, half].concat()[..].into(), half_beyond),
    ];
    for (good, beyond) in cases {
        let mut tape = Tape::saying(vec![[&good[..], &beyond].concat()]).await;
        let world = tape
            .world_with(Wish {
                limits: "upstream_message = \"64KiB\"".to_owned(),
                ..Wish::default()
            })
            .await;
        let mut caller = world.call("sim-echo").await;
        let mut got = BytesMut::new();
        while let Some(frame) = caller.next().await {
            frame.encode(None, &mut got);
        }
        let mut expected = BytesMut::from(&good[..]);
        Frame::close(1009, "too_large").encode(None, &mut expected);
        assert!(got == expected, "{} bytes", got.len());
        drop(caller);
        assert!(tape.before_close(1009).await.is_empty());
        world.metrics_say(&ended("upstream", "too_large")).await;
        world.settles().await;
    }
}

#[tokio::test]
async fn s16_garbage_of_the_upstream_never_reaches_the_client() {
    let world = World::usual().await;
    let kinds = ["opcode", "masked", "rsv", "length"];
    for kind in kinds {
        let mut caller = world.call(&format!("sim-garbage-{kind}")).await;
        let first = caller.next().await.unwrap();
        assert_eq!(
            first.opcode,
            frame::CLOSE,
            "{kind}: something came before the close"
        );
        assert_eq!(
            first.close_parts(),
            (Some(1002), "protocol".to_owned()),
            "{kind}"
        );
        caller.send(first).await;
        assert_eq!(caller.next().await, None);
    }
    let ended =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"upstream\",reason=\"protocol\"}";
    world.metrics_say(&format!("{ended} {}", kinds.len())).await;
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn s16_a_bad_frame_of_the_upstream_is_found_wherever_it_is_split() {
    let mut good = BytesMut::new();
    text("good").encode(None, &mut good);
    let bad: [&[u8]; 6] = [
        &[0x81, 0x83, 1, 2, 3, 4, b'b', b'a', b'd'],
        &[0x91, 0x03, b'b', b'a', b'd'],
        &[0x81, 0x7e, 0, 3, b'b', b'a', b'd'],
        &[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 3, b'b', b'a', b'd'],
        &[0x88, 0x02, 0x03, 0xed],
        &[0x80, 0x03, b'b', b'a', b'd'],
    ];
    let mut splits = 0;
    for bad in bad {
        for at in 0..bad.len() {
            let pieces = [&good[..], &bad[..at], &bad[at..]].map(<[u8]>::to_vec);
            let tape = Tape::saying(pieces.into()).await;
            let world = tape.world().await;
            let mut caller = world.call("sim-echo").await;
            assert_eq!(caller.next().await, Some(text("good")), "{bad:?} {at}");
            let close = caller.next().await.unwrap();
            let expected = Frame::close(1002, "protocol");
            assert_eq!(close, expected, "{bad:?} split at {at}");
            splits += 1;
        }
    }
    assert!(splits > 40, "{splits}");
}

#[tokio::test]
async fn s16_nothing_crosses_after_a_close_frame() {
    let mut tape = Tape::start().await;
    let world = tape.world().await;
    let mut caller = world.call("sim-echo").await;
    let good = caller.encode(&text("good"));
    let close = caller.encode(&Frame::close(4000, "mine"));
    let after = caller.encode(&text("after"));
    caller
        .send_raw(&[&good[..], &close, &after, &after].concat())
        .await;
    // And also in a segment of its own.
    let _ = caller.io.write_all(&after).await;
    let _ = caller.io.flush().await;
    drop(caller);
    assert_eq!(tape.bytes().await, [good, close].concat());
    world.settles().await;
}
