//! How calls end.

use super::*;
use crate::sim::acs::read::Violation;
use crate::sim::acs::record::{Ending, Event, Record};
use crate::sim::client::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Runs a call beside what the edge does, once it has the first message.
async fn beside<F: Future<Output = ()>>(
    options: Options,
    edge: impl FnOnce(Accepted) -> F,
) -> Record {
    let (call, mut accepted) = stands(options).await;
    let done = async {
        assert_eq!(accepted.message().await.unwrap()["kind"], "AudioMetadata");
        edge(accepted).await;
    };
    tokio::join!(within(call.run()), done).0
}

#[tokio::test]
async fn the_edges_code_and_reason_are_kept_and_its_close_is_answered() {
    for options in [at_once(), Options::default()] {
        let record = beside(options, |mut edge| async move {
            let close = CloseFrame {
                code: 4403.into(),
                reason: "code_wrong".into(),
            };
            edge.socket.close(Some(close)).await.unwrap();
            // Frames on their way are passed over; then comes the answer, with the same code.
            let mut answer = within(edge.socket.next()).await.unwrap().unwrap();
            while answer.is_text() {
                answer = within(edge.socket.next()).await.unwrap().unwrap();
            }
            let Message::Close(Some(close)) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(u16::from(close.code), 4403);
        })
        .await;
        let closed = Ending::Closed {
            code: Some(4403),
            reason: "code_wrong".into(),
        };
        assert_eq!(record.ending, Some(closed.clone()));
        assert_eq!(record.events.last().unwrap().1, Event::Ended(closed));
        assert!(record.violations.is_empty());
        let told = record.summary();
        assert_eq!(
            (&told["close_code"], &told["close_reason_bytes"]),
            (&4403.into(), &10.into())
        );
    }
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_a_loss_and_a_bad_frame_a_violation() {
    let lost = beside(at_once(), |edge| async { drop(edge) }).await;
    assert_eq!((lost.ending, lost.violations), (Some(Ending::Lost), vec![]));
    // An opcode that is reserved; text that is no UTF-8.
    for bytes in [&[0x83, 0][..], &[0x81, 1, 0xff]] {
        let broken = beside(at_once(), |mut edge| async move {
            edge.socket.get_mut().write_all(bytes).await.unwrap();
            while within(edge.socket.next()).await.is_some_and(|m| m.is_ok()) {}
        })
        .await;
        assert_eq!(broken.ending, Some(Ending::Lost));
        assert_eq!(broken.violations, [Violation::Frame]);
    }
}

#[tokio::test]
async fn a_caller_may_vanish() {
    let (call, mut edge) = stands(Options::default()).await;
    let hand = call.hand();
    let gone = async {
        edge.message().await.unwrap();
        hand.vanish();
        loop {
            match within(edge.socket.next()).await {
                Some(Ok(Message::Text(_))) => {}
                Some(Err(_)) => break,
                other => panic!("{other:?}"),
            }
        }
    };
    let (record, ()) = tokio::join!(within(call.run()), gone);
    assert_eq!(
        (record.ending, record.close),
        (Some(Ending::Vanished), None)
    );
}

/// What a caller makes of this answer to its upgrade.
async fn answered(answer: impl FnOnce(&str) -> String) -> Error {
    let edge = Edge::bind().await;
    let answering = async {
        let mut tcp = edge.tcp().await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(tcp.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap();
        let accept = derive_accept_key(key.split('\r').next().unwrap().as_bytes());
        tcp.write_all(answer(&accept).as_bytes()).await.unwrap();
    };
    let dial = dial(&edge);
    let (called, ()) = tokio::join!(Call::dial(&dial, at_once()), answering);
    called.err().unwrap()
}

#[tokio::test]
async fn a_refusal_is_told_and_a_subprotocol_that_nobody_asked_for_is_none_of_ours() {
    let refused =
        answered(|_| "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\n{}".to_owned()).await;
    let Error::Refused(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!((refused.status, &refused.body[..]), (403, &b"{}"[..]));
    let odd = answered(|accept| {
        format!(
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: realtime\r\n\r\n"
        )
    })
    .await;
    assert!(matches!(odd, Error::Handshake), "{odd}");
}
