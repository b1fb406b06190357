//! Phone calls: how they are known, what opens them, what becomes of their media.

use std::sync::Arc;
use std::time::Duration;

use super::Rate;
use crate::audio::wav::Wav;
use crate::secret::Secret;

/// `[calls]`: how media URLs are signed, and what makes a call known.
#[derive(Clone, Debug)]
pub struct Calls {
    /// What signs media URLs, 32 bytes at the least; the first signs, all verify.
    pub secrets: Vec<Secret>,
    pub known_by: KnownBy,
    pub spend: Spend,
    /// How long a verdict holds after the media socket has dropped.
    pub resume: Duration,
}

/// What makes a call one that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// Its record in the store, which whoever answers it writes; a socket that comes before its
    /// record waits for it.
    Record,
    /// The signed media URL alone, which says what the record would.
    Url,
}

/// What a token of ACS is good for once a socket was opened with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spend {
    /// For nothing more.
    #[default]
    Token,
    /// For a socket of another call. Whether ACS puts anything into its tokens that makes two of one
    /// second differ is not documented: where it does not, two calls that come at once have the same
    /// token, and the second would be refused.
    Call,
}

/// What a route does with the calls of ACS.
#[derive(Clone, Debug)]
pub struct Phone {
    pub flow: Flow,
    pub bridge: Bridge,
    /// Failed attempts of one caller, whatever the call; `None` where callers cannot be told apart
    /// or are not counted.
    pub attempts_per_ani: Option<Rate>,
    /// Failed attempts of all callers of the route together.
    pub attempts_per_route: Option<Rate>,
    /// Whether a call is hung up, through Call Automation, when the edge ends its session: without
    /// media it would go on in silence.
    pub hang_up: bool,
}

/// What proves that a call may go through.
#[derive(Clone, Debug)]
pub enum Flow {
    /// That it is known: token and call are enough.
    Open,
    /// The key `acs:call_connection_id:{id}`, looked up before the `101`; `consume`: once.
    Api { consume: bool },
    /// The key `sip:{id}`, the id from the call's SIP headers, looked up before the `101`.
    SipHeader { consume: bool },
    /// Digits, which open the gate after the `101`.
    Dialled(Arc<Gate>),
}

impl Flow {
    /// Whether the key is built of the number that signalling says.
    pub fn needs_ani(&self) -> bool {
        match self {
            Flow::Dialled(gate) => match gate.dialled {
                Dialled::Pstn {
                    ani: Ani::Signalling | Ani::Shared,
                } => true,
                Dialled::Pstn { ani: Ani::Digits } | Dialled::SipAlias => false,
            },
            Flow::Open | Flow::Api { .. } | Flow::SipHeader { .. } => false,
        }
    }

    /// Whether the key is built of the id in the call's SIP headers.
    pub fn needs_sip(&self) -> bool {
        matches!(self, Flow::SipHeader { .. })
    }

    /// Whether callbacks may tell of digits.
    pub fn hears_callbacks(&self) -> bool {
        matches!(self, Flow::Dialled(gate) if gate.feeds.callbacks)
    }
}

/// A gate that digits open.
#[derive(Clone, Debug)]
pub struct Gate {
    pub dialled: Dialled,
    pub length: CodeLength,
    pub feeds: Feeds,
    /// From the first frame to the verdict.
    pub deadline: Duration,
    /// From one digit to the next.
    pub between: Duration,
    /// Codes that one call may try.
    pub attempts: u32,
    /// Whether an entry that came out too short is looked for once more with the laxer setting.
    pub second_look: bool,
    /// Whether the key goes with its use.
    pub consume: bool,
    pub prompts: Prompts,
}

/// What the digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// The code in `pstn:{ani}:{code}`.
    Pstn { ani: Ani },
    /// The numeric alias in `sip:{id}`.
    SipAlias,
}

/// Where the caller's number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ani {
    /// The call record or the signed URL.
    Signalling,
    /// The same, but the trunk shows one number for all callers: attempts count by call and key.
    Shared,
    /// The caller dials it: number, `#`, code, `#`.
    Digits,
}

/// When an entry is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeLength {
    /// After so many digits, or with a `#` (which then is wrong if fewer came).
    Fixed(u8),
    /// With a `#`, or when the time between digits is over; more than this are no code.
    UpTo(u8),
}

/// Which feeds of digits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feeds {
    /// Tones in the audio, found by the detector.
    pub in_band: bool,
    /// `DtmfData` messages on the media socket (RFC 4733 events).
    pub messages: bool,
    /// Tone events of Call Automation.
    pub callbacks: bool,
}

/// What the caller hears meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    pub prompt: Option<Wav>,
    pub retry: Option<Wav>,
    pub goodbye: Option<Wav>,
}

/// How media goes on once the call may go through.
#[derive(Clone, Debug)]
pub enum Bridge {
    /// Translated to Voice Live's messages and back.
    VoiceLive(Arc<VoiceSession>),
    /// Frames of ACS go on as they are, to a relay upstream.
    Verbatim,
}

/// What Voice Live is told before media goes on.
#[derive(Clone, Debug)]
pub struct VoiceSession {
    /// The `session` of `session.update`, but for the audio formats, which follow from the call.
    pub session: serde_json::Map<String, serde_json::Value>,
    /// Whether the agent speaks first.
    pub greet: bool,
    /// Whether the model hears silence instead of keys.
    pub mask_tones: bool,
}
