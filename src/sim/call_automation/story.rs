//! The life of a call: what is told and dialled, in which order.
//!
//! Owns the steps. Refuses to know requests, which only begin and end them.

use super::connection::{Origin, Phase};
use super::event::{failure, result, streaming};
use super::line::Line;
use super::manner::{Begins, First, Outcome};
use super::record::Event;
use crate::sim::acs::record::Ending;
use crate::sim::acs::{self, Call, Dial};
use crate::sim::client::Error;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How many seconds the token of a media stream is good: a day.
const MEDIA_LIFETIME: i64 = 86_400;

/// How long a media stream that was told its end may take. The caller itself lingers for 5 s.
const MEDIA_END: Duration = Duration::from_secs(10);

/// How long dialling may take.
const DIAL: Duration = Duration::from_secs(30);

const OK: u16 = 200;

/// Begins a call whose request is about to be answered.
pub(super) async fn begin(line: &Line) {
    let own = line.clone();
    match line.connection.begins {
        Begins::After(pause) => {
            line.desk.spawn(async move {
                sleep(pause).await;
                live(&own).await;
            });
        }
        Begins::Before(at_most) => {
            line.desk.spawn(async move { live(&own).await });
            let settled = line.connection.until(|state| state.settled);
            // The answer goes out in any case.
            let _ = timeout(at_most, settled).await;
        }
    }
}

async fn live(line: &Line) {
    let connection = &line.connection;
    match connection.outcome {
        Outcome::Connects => {}
        Outcome::Rings => return connection.with(|state| state.settled = true),
        Outcome::Fails(code, sub_code) => return fail(line, code, sub_code).await,
    }
    let connects = connection.with(|state| {
        let connects = state.phase == Phase::Connecting;
        if connects {
            state.phase = Phase::Connected;
        }
        connects
    });
    if !connects {
        return;
    }
    let connected = line.told("CallConnected", None, result(OK, 0, ""));
    let media = connection.media.as_ref().is_some_and(|m| m.at_once);
    match connection.first {
        First::Callback => {
            line.post(vec![connected], None).await;
            if media {
                stream(line, "subscriptionStarted", None).await;
            }
            connection.with(|state| state.settled = true);
        }
        First::Socket => {
            let mut together = vec![connected];
            if media {
                let came = dial(line).await;
                together.push(outcome(line, came, "subscriptionStarted", None));
            }
            connection.with(|state| state.settled = true);
            line.post(together, None).await;
        }
    }
}

async fn fail(line: &Line, code: u16, sub_code: u32) {
    let gone = line.connection.with(|state| {
        state.settled = true;
        std::mem::replace(&mut state.phase, Phase::Gone) == Phase::Gone
    });
    if gone {
        return;
    }
    let told = line.told(
        failed(line),
        None,
        result(code, sub_code, "the call failed"),
    );
    line.post(vec![told], None).await;
    line.desk.happened(Event::Ended(line.connection.id.clone()));
}

fn failed(line: &Line) -> &'static str {
    match line.connection.origin {
        Origin::Answered => "AnswerFailed",
        Origin::Created => "CreateCallFailed",
    }
}

/// What may go to a callback URL of its own, and under a context of its own.
pub(super) struct Aside {
    pub(super) url: Option<String>,
    pub(super) context: Option<String>,
}

impl Aside {
    fn url(aside: Option<&Self>) -> Option<&str> {
        aside?.url.as_deref()
    }

    fn context(aside: Option<&Self>) -> Option<&str> {
        aside?.context.as_deref()
    }
}

/// Dials the media stream and tells what came of it.
pub(super) async fn stream(line: &Line, details: &str, aside: Option<&Aside>) {
    let came = dial(line).await;
    let told = outcome(line, came, details, aside);
    line.post(vec![told], Aside::url(aside)).await;
}

fn outcome(
    line: &Line,
    came: Result<(), Option<u16>>,
    details: &str,
    aside: Option<&Aside>,
) -> super::event::Told {
    let context = Aside::context(aside);
    match came {
        Ok(()) => {
            let more = streaming("mediaStreamingStarted", details, result(OK, 0, ""));
            line.told("MediaStreamingStarted", context, more)
        }
        Err(status) => {
            // 8581 is documented for a stream URL that is of no use.
            let result = result(400, 8581, "the media stream could not be set up");
            let more = streaming("mediaStreamingFailed", failure(status), result);
            line.told("MediaStreamingFailed", context, more)
        }
    }
}

/// Dials the media stream and lets it run by itself. An error is the status that it was refused
/// with, if there was one.
async fn dial(line: &Line) -> Result<(), Option<u16>> {
    let connection = &line.connection;
    let id = || connection.id.clone();
    let media = connection.media.clone().ok_or(None)?;
    let dial = Dial {
        url: media.url,
        roots_pem: line.desk.roots().map(str::to_owned),
        token: Some(line.desk.token(MEDIA_LIFETIME)),
        connection_id: Some(id()),
        correlation_id: Some(connection.parties.correlation.clone()),
        more: Vec::new(),
    };
    let options = acs::Options {
        rate: media.rate,
        channel: media.channel,
        ani: connection.parties.ani.clone(),
        ..line.desk.caller()
    };
    connection.with(|state| state.dialling = true);
    let dialled = timeout(DIAL, Call::dial(&dial, options)).await;
    let call = match dialled {
        Ok(Ok(call)) => call,
        Ok(Err(Error::Refused(refused))) => {
            connection.with(|state| state.dialling = false);
            let refused = Some(refused.status);
            line.desk.happened(Event::MediaRefused(id(), refused));
            return Err(refused);
        }
        Ok(Err(_)) | Err(_) => {
            connection.with(|state| state.dialling = false);
            line.desk.happened(Event::MediaRefused(id(), None));
            return Err(None);
        }
    };
    let hand = call.hand();
    let gone = connection.with(|state| {
        state.dialling = false;
        state.stopping = false;
        state.hand = Some(hand.clone());
        state.phase == Phase::Gone
    });
    if gone {
        hand.hang_up();
    }
    line.desk.happened(Event::MediaAccepted(id()));
    let own = line.clone();
    line.desk.spawn(async move { run(&own, call).await });
    Ok(())
}

/// The media stream, to its end, and what is told of an end that nobody here asked for.
async fn run(line: &Line, call: Call) {
    let connection = &line.connection;
    let own = call.hand();
    let record = call.run().await;
    let ending = record.ending.clone();
    let unasked = connection.with(|state| {
        state.last = Some(record);
        // A second stream may have taken its place.
        let current = state.hand.as_ref().is_some_and(|hand| hand.is(&own));
        if current {
            state.hand = None;
        }
        current && !state.stopping && state.phase == Phase::Connected
    });
    line.desk.happened(Event::MediaEnded(connection.id.clone()));
    if !unasked {
        return;
    }
    // Which of the two follows the edge's own close is not documented.
    let told = match ending {
        Some(
            Ending::Closed {
                code: Some(1000), ..
            }
            | Ending::HungUp,
        ) => {
            let result = result(OK, 0, "");
            let more = streaming("mediaStreamingStopped", "subscriptionStopped", result);
            line.told("MediaStreamingStopped", None, more)
        }
        Some(Ending::Closed { .. } | Ending::Vanished | Ending::Lost) | None => {
            let result = result(500, 8603, "the media stream ended");
            let details = "streamConnectionInterrupted";
            let more = streaming("mediaStreamingFailed", details, result);
            line.told("MediaStreamingFailed", None, more)
        }
    };
    line.post(vec![told], None).await;
}

/// Ends the media stream on request, and tells of it. Returns whether there was one.
async fn hush(line: &Line) -> bool {
    let hand = line.connection.with(|state| {
        state.stopping = true;
        state.hand.clone()
    });
    let Some(hand) = hand else { return false };
    hand.hang_up();
    let ended = line.connection.until(|state| state.hand.is_none());
    // An edge that does not let go is cut off by the stream itself.
    let _ = timeout(MEDIA_END, ended).await;
    true
}

/// Stops media streaming.
pub(super) async fn stop(line: &Line, aside: &Aside) {
    if hush(line).await {
        let more = streaming(
            "mediaStreamingStopped",
            "subscriptionStopped",
            result(OK, 0, ""),
        );
        let told = line.told("MediaStreamingStopped", Aside::context(Some(aside)), more);
        line.post(vec![told], Aside::url(Some(aside))).await;
    }
}

/// Ends the call, whoever wanted it: the media stream is closed, the edge is told. The first end
/// counts.
pub(super) async fn end(line: &Line) {
    let before = line.connection.with(|state| {
        state.settled = true;
        std::mem::replace(&mut state.phase, Phase::Gone)
    });
    let mut together = Vec::new();
    match before {
        Phase::Gone => return,
        Phase::Connecting if line.connection.origin == Origin::Created => {
            let result = result(487, 0, "the call was ended before it was taken up");
            together.push(line.told("CreateCallFailed", None, result));
        }
        Phase::Connecting | Phase::Connected => {
            if hush(line).await {
                let details = "subscriptionStopped";
                let more = streaming("mediaStreamingStopped", details, result(OK, 0, ""));
                together.push(line.told("MediaStreamingStopped", None, more));
            }
            together.push(line.told("CallDisconnected", None, result(OK, 0, "")));
        }
    }
    line.post(together, None).await;
    line.desk.happened(Event::Ended(line.connection.id.clone()));
}
