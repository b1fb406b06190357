//! The self-check: what a client sees, checked against what the simulator saw.

use std::time::{Duration, Instant};

use super::stage::Stage;
use super::{Show, phone};
use crate::sim::client::turn::Pace;
use crate::sim::client::{Client, Error};

/// Seconds of speech in the conversation, spoken as fast as it was recorded.
const SPEECH: f64 = 1.0;
/// What the caller presses after it has spoken.
const KEYS: &str = "823#";
/// The books must be closed this soon after the client has gone.
const BOOKS_WAIT: Duration = Duration::from_secs(3);

/// Runs every step; false as soon as one fails, which has been shown then.
pub(super) async fn all(stage: &Stage, show: &mut Show) -> bool {
    if !refusal(stage, show).await || !page(stage, show).await {
        return false;
    }
    let Some(messages_up) = conversation(stage, show).await else {
        return false;
    };
    phone::all(stage, show).await && books(stage, show, messages_up).await
}

/// A caller without a key is refused before the upgrade, and the upstream hears nothing of it.
async fn refusal(stage: &Stage, show: &Show) -> bool {
    const STEP: &str = "refusal";
    let answer = Client::connect(&url(stage), &[], Some(&stage.roots_pem)).await;
    match answer {
        Err(Error::Refused(refused)) if refused.status == 401 => {}
        Err(error) => {
            show.failed(STEP, &format!("expected HTTP 401 without a key: {error}"));
            return false;
        }
        Ok(_) => {
            show.failed(STEP, "a client without a key was let in");
            return false;
        }
    }
    if stage.record.totals().total != 0 {
        show.failed(STEP, "the upstream saw a client without a key");
        return false;
    }
    show.passed(
        STEP,
        Instant::now(),
        "a client without a key got HTTP 401, and the upstream saw nothing",
    );
    true
}

/// The page for people is there, with the policy that keeps scripts of others out.
async fn page(stage: &Stage, show: &Show) -> bool {
    const STEP: &str = "page";
    let answer = Client::connect(&stage.page(), &[], Some(&stage.roots_pem)).await;
    let Err(Error::Refused(answer)) = answer else {
        show.failed(STEP, "the page is no answer to a request");
        return false;
    };
    let has_policy = answer.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-security-policy") && value.contains("script-src 'self'")
    });
    if answer.status != 200 || !has_policy || !answer.body.starts_with(b"<!doctype html>") {
        let what = format!("expected the page, got HTTP {}", answer.status);
        show.failed(STEP, &what);
        return false;
    }
    let detail = format!("{} shows what follows, for people", stage.page());
    show.passed(STEP, Instant::now(), &detail);
    true
}

/// A client with a key talks to the upstream. Returns the messages that it sent.
async fn conversation(stage: &Stage, show: &Show) -> Option<u64> {
    let headers = [("api-key", stage.key.as_str())];
    let connected = Client::connect(&url(stage), &headers, Some(&stage.roots_pem)).await;
    let (mut client, times) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            show.failed("admission", &error.to_string());
            return None;
        }
    };
    let Some((security, secured)) = client.security().zip(times.tls) else {
        show.failed("TLS", "the connection is not encrypted");
        return None;
    };
    let group = security.group.as_deref().unwrap_or("resumed");
    show.passed(
        "TLS",
        secured,
        &format!("{}, {}, {group}", security.version, security.cipher),
    );
    show.passed(
        "admission",
        times.upgrade,
        "key \"demo\" admitted, upstream dialled over TLS, 101 sent",
    );
    client.set_pace(Pace::RealTime);
    let turn = match client.converse(SPEECH).await {
        Ok(turn) => turn,
        Err(error) => {
            show.failed("conversation", &error.to_string());
            return None;
        }
    };
    show.passed(
        "first audio",
        turn.first_audio,
        "the answer begins, as soon as the caller had paused",
    );
    show.passed(
        "conversation",
        turn.done,
        &format!(
            "{} messages up, {} down; {} bytes of audio came back exactly as spoken",
            turn.messages_sent, turn.messages_received, turn.audio_received
        ),
    );
    let sent = turn.messages_sent + keys(&mut client, show).await?;
    goodbye(client, stage, show).await.then_some(sent)
}

/// The caller presses keys in the middle of the call. Returns the messages that took.
async fn keys(client: &mut Client, show: &Show) -> Option<u64> {
    match client.press(KEYS).await {
        Ok(turn) => {
            let pressed = KEYS.len();
            let detail = format!("{pressed} pressed in the audio, which came back unchanged");
            show.passed("keys", turn.done, &detail);
            Some(turn.messages_sent)
        }
        Err(error) => {
            show.failed("keys", &error.to_string());
            None
        }
    }
}

async fn goodbye(client: Client, stage: &Stage, show: &Show) -> bool {
    const STEP: &str = "goodbye";
    let mut socket = client.into_socket();
    if let Err(error) = socket.close(None).await {
        show.failed(STEP, &error.to_string());
        return false;
    }
    let told = tokio::time::timeout(
        BOOKS_WAIT,
        stage.record.until(|record| {
            record
                .last()
                .is_some_and(|seen| seen.close_received.is_some())
        }),
    );
    if told.await.is_err() {
        show.failed(STEP, "the client's close frame did not reach the upstream");
        return false;
    }
    show.passed(
        STEP,
        Instant::now(),
        "the client's close frame reached the upstream",
    );
    true
}

/// The edge's own books agree with what the client counted, and nothing is left open.
async fn books(stage: &Stage, show: &Show, messages_up: u64) -> bool {
    const STEP: &str = "metrics";
    let heard = KEYS.len();
    let lines = [
        format!("tonegate_messages_total{{route=\"browser\",direction=\"up\"}} {messages_up}\n"),
        format!("tonegate_dtmf_keys_total{{route=\"browser\"}} {heard}\n"),
        "tonegate_gates_total{route=\"phone\",result=\"authorised\"} 1\n".to_owned(),
        "tonegate_gates_total{route=\"phone\",result=\"rejected\"} 1\n".to_owned(),
    ];
    let agrees = |page: String| lines.iter().all(|line| page.contains(line));
    let closed = tokio::time::timeout(BOOKS_WAIT, async {
        while stage.sessions() != 0 || !agrees(stage.metrics_page()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    if closed.await.is_err() {
        show.failed(
            STEP,
            "the edge counted something else, or a session is left",
        );
        return false;
    }
    show.passed(
        STEP,
        Instant::now(),
        &format!("{messages_up} messages, {heard} keys and both gates counted, no session left"),
    );
    true
}

fn url(stage: &Stage) -> String {
    format!("wss://localhost:{}/ws", stage.public.port())
}
