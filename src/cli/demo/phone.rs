//! The phone calls of the self-check: one that dials the code, one that dials another.
//!
//! How many digits are dialled is shown, not which.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Show;
use super::stage::{CALLER, Stage, WRONG_CODE};
use super::text::RESOURCE;
use crate::admission::media_url::{Signed, Signer};
use crate::audio::SampleRate;
use crate::dtmf::{Detector, Setting};
use crate::ids::{CallId, PhoneNumber};
use crate::sim::acs::hand::Hand;
use crate::sim::acs::line::{Keying, Talker};
use crate::sim::acs::record::{Ending, Event, Record};
use crate::sim::acs::{Call, Dial, Options, guid};
use crate::sim::client::Error;
use crate::sim::issuer::mint::Mint;
use crate::sim::issuer::provider::Provider;
use crate::sim::signal;

/// Everybody speaks in real time, and nothing takes longer than some seconds.
const WAIT: Duration = Duration::from_secs(10);
/// From the last key to the caller's first word: the key is up by then.
const BEFORE_SPEECH: Duration = Duration::from_millis(300);
/// How far into the answer the caller breaks in.
const BEFORE_BARGE_IN: Duration = Duration::from_millis(300);
/// How long a media URL is good.
const URL_LIFE: Duration = Duration::from_secs(600);
/// Who mistypes, so that the caller may go on trying.
const OTHER_CALLER: &str = "+15557654321";

/// A step that failed, and what it expected.
struct Failed(&'static str, String);

/// Makes both calls; false as soon as a step fails, which has been shown then.
pub(super) async fn all(stage: &Stage, show: &Show) -> bool {
    let done = async {
        right(stage, show).await?;
        wrong(stage, show).await
    };
    match done.await {
        Ok(()) => true,
        Err(Failed(step, what)) => {
            show.failed(step, &what);
            false
        }
    }
}

/// The caller dials the code, talks to the agent, interrupts it and hangs up.
async fn right(stage: &Stage, show: &Show) -> Result<(), Failed> {
    let before = stage.record.totals().total;
    let (hand, running) = ring(stage, "demo-right", CALLER).await?;
    let upgrade = hand.look(|record| record.dialled.upgrade);
    let detail = "a simulated ACS showed its token and a signed media URL, 101 sent";
    show.passed("phone call", upgrade, detail);
    let last = dial_code(&hand, stage.code.expose()).await?;
    if stage.record.totals().total != before {
        return fail("code", "the upstream was dialled before the code");
    }
    let detail = format!(
        "{} keys pressed, in the audio and in messages",
        stage.code.expose().len()
    );
    show.passed("code", last, &detail);
    let dialled = stage
        .record
        .until(|record| record.totals().total == before + 1);
    within("gate", "the upstream was not dialled", dialled).await?;
    let (opened, ms) = (Instant::now(), last.elapsed().as_millis());
    let detail =
        format!("opened {ms} ms after the last key began; only now was the upstream dialled");
    show.passed("gate", opened, &detail);
    talk(&hand, show).await?;
    hand.hang_up();
    let record = ended(running, "hang-up").await?;
    if record.ending != Some(Ending::HungUp) || !record.violations.is_empty() {
        return fail("hang-up", "the edge ended the call, or broke the protocol");
    }
    let seconds = heard(stage, &record).await?;
    let detail = format!(
        "the agent had heard {seconds:.1} s of the call, exactly as spoken and nothing of the code"
    );
    show.passed("hang-up", Instant::now(), &detail);
    Ok(())
}

/// A turn that is answered, and one in the midst of the answer.
async fn talk(hand: &Hand, show: &Show) -> Result<(), Failed> {
    let speech = speech(1.0);
    say(hand, BEFORE_SPEECH, &speech)?;
    let answered = hand.until(|record| record.answered().is_some());
    within("answer", "no audio came back", answered).await?;
    let answered = hand.look(Record::answered).unwrap_or_else(Instant::now);
    let detail = "the agent begins to speak, as soon as the caller had paused";
    show.passed("answer", answered, detail);
    // The caller's first words were told of with one, too.
    let before = hand.look(|record| record.stops().len());
    say(hand, BEFORE_BARGE_IN, &speech)?;
    let stopped = hand.until(|record| record.stops().len() > before);
    within("barge-in", "the agent was not interrupted", stopped).await?;
    let (at, ms, dropped) = hand.look(|record| {
        let mut events = record.events.iter().rev();
        let stop = events.find_map(|(at, event)| {
            let Event::Stop { dropped } = event else {
                return None;
            };
            Some((*at, dropped.as_millis()))
        });
        let (at, dropped) = stop.unwrap_or((Instant::now(), 0));
        let spoke = events.find(|(_, event)| *event == Event::Spoke);
        let ms = spoke.map_or(0, |(spoke, _)| at.duration_since(*spoke).as_millis());
        (at, ms, dropped)
    });
    let detail =
        format!("the caller broke in, StopAudio after {ms} ms dropped {dropped} ms of the answer");
    show.passed("barge-in", at, &detail);
    Ok(())
}

/// Checks what the upstream got against what was said: all of it from some moment behind the last
/// key on, and no key. Returns its seconds.
async fn heard(stage: &Stage, record: &Record) -> Result<f64, Failed> {
    const STEP: &str = "hang-up";
    let closed = stage.record.until(|record| {
        record
            .last()
            .is_some_and(|seen| seen.close_received.is_some())
    });
    within(STEP, "the upstream was not told", closed).await?;
    let Some(seen) = stage.record.last() else {
        return fail(STEP, "the upstream saw no call");
    };
    let said = record.sent(Talker::Caller);
    let bytes: Vec<u8> = said.iter().flat_map(|s| s.to_le_bytes()).collect();
    let from = usize::try_from(seen.appended.bytes)
        .ok()
        .and_then(|length| bytes.len().checked_sub(length));
    let Some(from) = from.filter(|from| *from < bytes.len()) else {
        return fail(STEP, "the agent heard nothing, or more than was said");
    };
    let sha256 = digest(&SHA256, &bytes[from..]);
    let sha256: String = sha256.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    if sha256 != seen.appended.sha256 {
        return fail(STEP, "the agent heard something else than was said");
    }
    let behind = &said[from / 2..];
    let rate = Options::default().rate;
    if keys_in(behind, rate) != 0 || keys_in(said, rate) == 0 {
        return fail(STEP, "the agent heard the code, or nobody did");
    }
    Ok(behind.len() as f64 / f64::from(rate.hz()))
}

fn keys_in(samples: &[i16], rate: SampleRate) -> usize {
    let mut detector = Detector::new(rate, Setting::Standard);
    let mut keys = 0;
    detector.push(samples, |event| {
        keys += usize::from(matches!(event, crate::dtmf::Event::KeyDown { .. }));
    });
    keys
}

/// Another caller dials what is no code.
async fn wrong(stage: &Stage, show: &Show) -> Result<(), Failed> {
    const STEP: &str = "wrong code";
    let before = stage.record.totals().total;
    let (hand, running) = ring(stage, "demo-wrong", OTHER_CALLER).await?;
    let last = dial_code(&hand, WRONG_CODE).await?;
    let record = ended(running, STEP).await?;
    let expected = Ending::Closed {
        code: Some(4403),
        reason: "code_wrong".to_owned(),
    };
    if record.ending != Some(expected) {
        return fail(STEP, "it was not closed with 4403");
    }
    if stage.record.totals().total != before {
        return fail(STEP, "the upstream was dialled");
    }
    let closed = record.events.last().map_or(last, |(at, _)| *at);
    let ms = closed.duration_since(last).as_millis();
    let detail = format!(
        "closed with 4403 code_wrong {ms} ms after the last key began; no upstream was dialled"
    );
    show.passed(STEP, closed, &detail);
    Ok(())
}

/// What calls are made with.
#[derive(Clone)]
pub(super) struct Exchange {
    /// Where the edge listens.
    pub(super) port: u16,
    pub(super) roots_pem: String,
    /// Whose tokens the edge takes for those of ACS.
    pub(super) issuer: Arc<Provider>,
    /// Signs media URLs.
    pub(super) signer: Arc<Signer>,
}

impl Exchange {
    /// Has ACS dial the edge for a call.
    pub(super) async fn dial(&self, call: &str, ani: &str) -> Result<Call, Error> {
        let call = CallId::new(call).ok_or(Error::Unusable("the call has no id"))?;
        let signed = Signed {
            ani: PhoneNumber::new(ani),
            ..Signed::of(call)
        };
        let base = format!("wss://localhost:{}", self.port);
        let now = SystemTime::now();
        let url = self
            .signer
            .url(&base, "/acs/media/{call}", &signed, now, URL_LIFE)
            .map_err(|_| Error::Unusable("the media URL cannot be signed"))?;
        let dial = Dial {
            url: url.expose().to_owned(),
            roots_pem: Some(self.roots_pem.clone()),
            token: Some(self.issuer.mint(&Mint::acs(RESOURCE).with("jti", guid()))),
            connection_id: Some(guid()),
            correlation_id: Some(guid()),
            more: Vec::new(),
        };
        let options = Options {
            ani: ani.to_owned(),
            ..Options::default()
        };
        Call::dial(&dial, options).await
    }
}

/// What callers say, at the rate of the calls.
fn speech(seconds: f64) -> Vec<i16> {
    let speech = signal::speech(seconds, Options::default().rate.hz());
    let (pairs, _) = speech.as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// Has ACS dial the edge for a call of the self-check.
async fn ring(stage: &Stage, call: &str, ani: &str) -> Result<(Hand, JoinHandle<Record>), Failed> {
    let call = stage.exchange.dial(call, ani).await;
    let call = call.map_err(|error| Failed("phone call", error.to_string()))?;
    Ok((call.hand(), tokio::spawn(call.run())))
}

/// Presses the keys; when the last one was.
async fn dial_code(hand: &Hand, keys: &str) -> Result<Instant, Failed> {
    let pressed = hand.press(keys, &Keying::both());
    pressed.map_err(|unsaid| Failed("code", unsaid.to_string()))?;
    let all = hand.until(|record| record.keys() == keys.len());
    within("code", "the keys were not pressed", all).await?;
    Ok(hand.look(Record::last_key).unwrap_or_else(Instant::now))
}

fn say(hand: &Hand, after: Duration, speech: &[i16]) -> Result<(), Failed> {
    hand.pause(Talker::Caller, after)
        .and_then(|()| hand.say(Talker::Caller, speech))
        .map_err(|unsaid| Failed("answer", unsaid.to_string()))
}

async fn ended(running: JoinHandle<Record>, step: &'static str) -> Result<Record, Failed> {
    let record = within(step, "the call did not end", running).await?;
    record.map_err(|_| Failed(step, "the caller broke down".to_owned()))
}

async fn within<T>(
    step: &'static str,
    otherwise: &str,
    work: impl Future<Output = T>,
) -> Result<T, Failed> {
    let done = timeout(WAIT, work).await;
    done.map_err(|_| Failed(step, otherwise.to_owned()))
}

fn fail<T>(step: &'static str, what: &str) -> Result<T, Failed> {
    Err(Failed(step, what.to_owned()))
}
