//! `tonegate call`: a telephone, with Azure Communication Services played.

mod steps;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::json;
use tokio::time::sleep;

use self::steps::{CODE_WRONG, GATE_EXPIRED, Step, step, word};
use super::demo::Show;
use super::serve::signalled;
use crate::audio::SampleRate;
use crate::audio::wav::Wav;
use crate::dtmf::Digit;
use crate::sim::acs::hand::Hand;
use crate::sim::acs::line::{Keying, Talker};
use crate::sim::acs::record::{Ending, Record};
use crate::sim::acs::{Call, Channel, Dial, Options, guid};
use crate::sim::client::Error;
use crate::sim::issuer::client as issuer;
use crate::sim::issuer::mint::Mint;
use crate::sim::signal;

#[derive(Args)]
#[command(
    group = ArgGroup::new("credential").args(["token", "issuer"]).required(true),
    after_long_help = EXAMPLE
)]
pub(super) struct Flags {
    /// Address of the media stream, whole, as a call is answered with it: wss://…/acs/media/{call}?s=…,
    /// which `tonegate token mint --call` prints
    #[arg(long, value_name = "URL")]
    url: String,
    /// Roots that the edge and the issuer are verified against, PEM; needed with wss and https
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,

    /// Token to show, or - to read it from standard input
    #[arg(long, value_name = "TOKEN", help_heading = TOKEN)]
    token: Option<String>,
    /// Have a simulated issuer make it: the base that `tonegate sim issuer` prints
    #[arg(
        long,
        value_name = "URL",
        requires = "audience",
        conflicts_with = "token",
        help_heading = TOKEN
    )]
    issuer: Option<String>,
    /// Whom that token is for: the immutable id of the ACS resource
    #[arg(
        long,
        value_name = "ID",
        requires = "issuer",
        conflicts_with = "token",
        help_heading = TOKEN
    )]
    audience: Option<String>,

    /// Number of the caller, as the participant of the audio has it; what signalling says is in the
    /// URL or in the call's record
    #[arg(long, value_name = "NUMBER", default_value = "+15551234567", help_heading = CALL)]
    ani: String,
    /// Id of the call's connection; a random one otherwise
    #[arg(long, value_name = "ID", help_heading = CALL)]
    connection_id: Option<String>,
    /// Id that all legs of the call share; a random one otherwise
    #[arg(long, value_name = "ID", help_heading = CALL)]
    correlation_id: Option<String>,
    /// A stream for each participant instead of one for all: the caller, and one who says nothing
    #[arg(long, help_heading = CALL)]
    unmixed: bool,
    /// Sample rate in Hz, 16000 or 24000
    #[arg(long, value_name = "HZ", default_value = "24000", value_parser = rate, help_heading = CALL)]
    rate: SampleRate,

    /// Keys to press: 0-9 A-D * #, and a comma for a pause of 750 ms
    #[arg(
        long,
        value_name = "KEYS",
        default_value = "",
        hide_default_value = true,
        help_heading = CALLER
    )]
    digits: String,
    /// How the edge is told of keys
    #[arg(long, value_enum, value_name = "HOW", default_value = "both", help_heading = CALLER)]
    by: By,
    /// What the caller says after the keys, a WAV file at the call's rate; a second of a sound that
    /// voice detectors take for speech otherwise
    #[arg(long, value_name = "FILE", help_heading = CALLER)]
    wav: Option<PathBuf>,
    /// Say it again, half a second into the answer
    #[arg(long, help_heading = CALLER)]
    barge_in: bool,
    /// Hang up after so many seconds, 600 at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..=600),
        help_heading = CALLER
    )]
    seconds: u16,

    /// WAV file to write what the caller heard to, from the 101 to the end
    #[arg(long, value_name = "FILE", help_heading = TOLD)]
    play_into: Option<PathBuf>,
    /// Print each step as a JSON line
    #[arg(long, help_heading = TOLD)]
    json: bool,
}

const TOKEN: &str = "Token of ACS, one of";
const CALL: &str = "The call";
const CALLER: &str = "What the caller does";
const TOLD: &str = "What is told";

const EXAMPLE: &str = "\
Exit code 0: audio came back after the last key, and nothing was wrong. 1: it did not go through.

A call to an edge whose settings trust a simulated issuer (`tonegate demo` prints one that works):

  tonegate call --url \"$(tonegate token mint --config edge.toml --call 7f0c --ani +15551234567)\" \\
    --issuer https://localhost:9000 --audience 22222222-3333-4444-5555-666666666666 \\
    --roots ca.pem --digits 823123 --barge-in";

fn rate(text: &str) -> Result<SampleRate, &'static str> {
    let rate = text.parse().ok().and_then(SampleRate::from_hz);
    let rate = rate.filter(|rate| matches!(rate, SampleRate::Hz16000 | SampleRate::Hz24000));
    rate.ok_or("the rate must be 16000 or 24000")
}

/// How the edge is told of keys.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Tones in the audio
    Tones,
    /// DtmfData messages, the tones muted, as gateways do with telephone events
    Messages,
    /// Both, the message 60 ms after the tone began
    Both,
}

/// Silence between the keys and what is said: the edge forwards from the last key's end, or a
/// second after it.
const BEFORE_SPEECH: Duration = Duration::from_millis(1_500);

/// How long the service's tokens for media streams live.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How far into an answer a caller breaks in.
const BEFORE_BARGE_IN: Duration = Duration::from_millis(500);

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let show = Show::new(flags.json, "call");
    let called = runtime.block_on(call(flags, &show));
    show.verdict(called.is_ok());
    std::io::stdout().flush()?;
    called
}

/// Calls, and tells each step as it happens. An error if the call did not go through.
async fn call(flags: &Flags, show: &Show) -> anyhow::Result<()> {
    flags.judge()?;
    let options = flags.options();
    let speech = flags.speech(options.rate)?;
    let dial = flags.dial(show).await?;
    let call = match Call::dial(&dial, options.clone()).await {
        Ok(call) => call,
        Err(error) => {
            show.failed("101", &refusal(&error));
            bail!("the call did not go through: {error}");
        }
    };
    let hand = call.hand();
    let dialled = hand.look(|record| record.dialled);
    if let Some((security, secured)) = call.security().zip(dialled.tls) {
        let group = security.group.as_deref().unwrap_or("resumed");
        let detail = format!("{}, {}, {group}", security.version, security.cipher);
        show.passed("TLS", secured, &detail);
    }
    show.passed("101", dialled.upgrade, "the media stream was let in");
    if !flags.digits.is_empty() {
        hand.press(&flags.digits, &flags.by.keying())?;
        hand.pause(Talker::Caller, BEFORE_SPEECH)?;
    }
    hand.say(Talker::Caller, &speech)?;
    let record = follow(call, &hand, flags, &speech, show).await?;
    if let Some(path) = &flags.play_into {
        let (rate, samples) = (options.rate, record.heard.clone());
        std::fs::write(path, Wav { rate, samples }.write())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    verdict(&record, flags.keys())
}

/// Runs the call until it ends, hangs up when its time is over or on a signal.
async fn follow(
    call: Call,
    hand: &Hand,
    flags: &Flags,
    speech: &[i16],
    show: &Show,
) -> anyhow::Result<Record> {
    let mut running = std::pin::pin!(call.run());
    let mut over = std::pin::pin!(sleep(Duration::from_secs(flags.seconds.into())));
    let mut signal = std::pin::pin!(signalled());
    let (mut told, mut left, mut broke_in) = (0, false, false);
    loop {
        // Cancelled, `until` has forgotten nothing; the others live as long as the loop.
        let ended = tokio::select! {
            record = &mut running => Some(record),
            () = hand.until(|record| record.events.len() > told) => None,
            () = &mut over, if !left => {
                left = true;
                hand.hang_up();
                None
            }
            _ = &mut signal, if !left => {
                left = true;
                hand.hang_up();
                None
            }
        };
        let tell = |record: &Record| {
            for at in told..record.events.len() {
                let Step { name, ok, detail } = step(record, at, flags);
                if ok {
                    show.passed(name, record.events[at].0, &detail);
                } else {
                    show.failed(name, &detail);
                }
            }
            let all_keys = record.keys() == flags.keys();
            (record.events.len(), all_keys && record.answered().is_some())
        };
        let (seen, answered) = match &ended {
            Some(record) => tell(record),
            None => hand.look(tell),
        };
        told = seen;
        if let Some(record) = ended {
            return Ok(record);
        }
        if flags.barge_in && answered && !broke_in {
            broke_in = true;
            hand.pause(Talker::Caller, BEFORE_BARGE_IN)?;
            hand.say(Talker::Caller, speech)?;
        }
    }
}

/// Whether the call went through: audio came back after the last key, nothing was wrong.
fn verdict(record: &Record, keys: usize) -> anyhow::Result<()> {
    if let Some(Ending::Closed {
        code: Some(code @ (CODE_WRONG | GATE_EXPIRED)),
        reason,
    }) = &record.ending
    {
        bail!(
            "the call did not go through: the gate closed it with {code}{}",
            word(reason)
        );
    }
    let pressed = record.keys();
    ensure!(
        pressed == keys,
        "the call did not go through: it ended after {pressed} of {keys} keys"
    );
    ensure!(
        record.answered().is_some(),
        "the call did not go through: no audio came back{}",
        // What the caller cannot see from here, but may have brought about.
        if keys > 0 {
            "; a gate that allows more attempts waits on after a wrong code"
        } else {
            ""
        }
    );
    ensure!(
        record.ending != Some(Ending::Lost),
        "the call ended without a close frame"
    );
    let wrong = record.violations.len();
    ensure!(wrong == 0, "the edge broke the protocol {wrong} times");
    Ok(())
}

/// Why there was no 101. What the edge says of it is the other side's text, so it is shown quoted.
fn refusal(error: &Error) -> String {
    let Error::Refused(refused) = error else {
        return error.to_string();
    };
    let problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap_or_default();
    let told = |name: &str| problem[name].as_str().map(|text| format!(", {text:?}"));
    let [title, detail] = ["title", "detail"].map(|name| told(name).unwrap_or_default());
    format!("{error}{title}{detail}")
}

impl By {
    fn keying(self) -> Keying {
        match self {
            By::Tones => Keying::tones(),
            By::Messages => Keying::messages(),
            By::Both => Keying::both(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            By::Tones => "in the audio",
            By::Messages => "in a message",
            By::Both => "in the audio and in a message",
        }
    }
}

impl Flags {
    /// How many keys will be pressed.
    fn keys(&self) -> usize {
        self.digits.chars().filter(|&key| key != ',').count()
    }

    /// Not left to the command line's own judgement, which would print code and secret again.
    fn judge(&self) -> anyhow::Result<()> {
        let dialled = ["wss://", "ws://"]
            .iter()
            .any(|scheme| self.url.starts_with(scheme));
        ensure!(
            dialled,
            "the address of a media stream begins with wss:// or ws://"
        );
        let is_key = |key| key == ',' || Digit::from_char(key).is_some();
        ensure!(
            self.digits.chars().all(is_key),
            "keys are 0-9 A-D * # and a comma for a pause"
        );
        Ok(())
    }

    fn options(&self) -> Options {
        Options {
            rate: self.rate,
            ani: self.ani.clone(),
            channel: if self.unmixed {
                Channel::Unmixed
            } else {
                Channel::Mixed { named: true }
            },
            ..Options::default()
        }
    }

    fn speech(&self, rate: SampleRate) -> anyhow::Result<Vec<i16>> {
        let Some(path) = &self.wav else {
            let speech = signal::speech(1.0, rate.hz());
            let (pairs, _) = speech.as_chunks::<2>();
            return Ok(pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect());
        };
        let name = path.display();
        let file = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
        let wav = Wav::read(&file).with_context(|| format!("cannot use {name}"))?;
        let (its, hz) = (wav.rate.hz(), rate.hz());
        ensure!(its == hz, "{name} is at {its} Hz and the call at {hz} Hz");
        Ok(wav.samples)
    }

    async fn dial(&self, show: &Show) -> anyhow::Result<Dial> {
        let roots_pem = match &self.roots {
            Some(path) => Some(read(path)?),
            None => None,
        };
        let secured = |url: &Option<String>| url.as_ref().is_some_and(|u| u.starts_with("https:"));
        ensure!(
            roots_pem.is_some() || !(self.url.starts_with("wss:") || secured(&self.issuer)),
            "wss and https need --roots"
        );
        let token = match &self.issuer {
            Some(base) => {
                let minted = issuer::mint(base, &self.order(), roots_pem.as_deref()).await;
                // What it says of its source is in its words.
                let minted =
                    minted.map_err(|error| anyhow!("no token from the issuer: {error}"))?;
                show.passed("token", Instant::now(), "made by the simulated issuer");
                minted
            }
            None => self.shown()?,
        };
        let id = |given: &Option<String>| given.clone().or_else(|| Some(guid()));
        Ok(Dial {
            url: self.url.clone(),
            roots_pem,
            token: Some(token),
            connection_id: id(&self.connection_id),
            correlation_id: id(&self.correlation_id),
            more: Vec::new(),
        })
    }

    fn shown(&self) -> anyhow::Result<String> {
        let mut token = self.token.clone().unwrap_or_default();
        if token == "-" {
            token = std::io::read_to_string(std::io::stdin())
                .context("cannot read the token from standard input")?;
        }
        Ok(token.trim().to_owned())
    }

    /// A good token of ACS' for a media stream: a day long, and unlike any other. Times are the
    /// issuer's, by its own clock.
    fn order(&self) -> serde_json::Value {
        let good = Mint::acs(self.audience.as_deref().unwrap_or_default());
        let good = good.without("iat").without("nbf").without("exp");
        json!({
            "claims": good.with("jti", guid()).claims,
            "expires_in": TOKEN_LIFE.as_secs(),
        })
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
