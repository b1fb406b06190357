//! What a call is asked for on the command line, and what follows from that.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::json;

use crate::audio::SampleRate;
use crate::audio::wav::Wav;
use crate::cli::demo::Show;
use crate::dtmf::Digit;
use crate::sim::acs::line::Keying;
use crate::sim::acs::{Channel, Dial, Options, guid};
use crate::sim::issuer::client as issuer;
use crate::sim::issuer::mint::Mint;
use crate::sim::signal;

#[derive(Args)]
#[command(
    group = ArgGroup::new("credential").args(["token", "issuer"]).required(true),
    after_long_help = EXAMPLE
)]
pub(in crate::cli) struct Flags {
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
    pub(super) unmixed: bool,
    /// Sample rate in Hz, 16000 or 24000
    #[arg(long, value_name = "HZ", default_value = "24000", value_parser = rate, help_heading = CALL)]
    pub(super) rate: SampleRate,

    /// Keys to press: 0-9 A-D * #, and a comma for a pause of 750 ms
    #[arg(
        long,
        value_name = "KEYS",
        default_value = "",
        hide_default_value = true,
        help_heading = CALLER
    )]
    pub(super) digits: String,
    /// How the edge is told of keys
    #[arg(long, value_enum, value_name = "HOW", default_value = "both", help_heading = CALLER)]
    pub(super) by: By,
    /// What the caller says after the keys, a WAV file at the call's rate; a second of a sound that
    /// voice detectors take for speech otherwise
    #[arg(long, value_name = "FILE", help_heading = CALLER)]
    wav: Option<PathBuf>,
    /// Say it again, half a second into the answer
    #[arg(long, help_heading = CALLER)]
    pub(super) barge_in: bool,
    /// Hang up after so many seconds, 600 at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..=600),
        help_heading = CALLER
    )]
    pub(super) seconds: u16,

    /// WAV file to write what the caller heard to, from the 101 to the end
    #[arg(long, value_name = "FILE", help_heading = TOLD)]
    pub(super) play_into: Option<PathBuf>,
    /// Print each step as a JSON line
    #[arg(long, help_heading = TOLD)]
    pub(super) json: bool,
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
pub(super) enum By {
    /// Tones in the audio
    Tones,
    /// DtmfData messages, the tones muted, as gateways do with telephone events
    Messages,
    /// Both, the message 60 ms after the tone began
    Both,
}

/// How long the service's tokens for media streams live.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

impl By {
    pub(super) fn keying(self) -> Keying {
        match self {
            By::Tones => Keying::tones(),
            By::Messages => Keying::messages(),
            By::Both => Keying::both(),
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            By::Tones => "in the audio",
            By::Messages => "in a message",
            By::Both => "in the audio and in a message",
        }
    }
}

impl Flags {
    /// How many keys will be pressed.
    pub(super) fn keys(&self) -> usize {
        self.digits.chars().filter(|&key| key != ',').count()
    }

    /// Not left to the command line's own judgement, which would print code and secret again.
    pub(super) fn judge(&self) -> anyhow::Result<()> {
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

    pub(super) fn options(&self) -> Options {
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

    pub(super) fn speech(&self, rate: SampleRate) -> anyhow::Result<Vec<i16>> {
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

    pub(super) async fn dial(&self, show: &Show) -> anyhow::Result<Dial> {
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
    pub(super) fn order(&self) -> serde_json::Value {
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
