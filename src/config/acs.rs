//! `[acs]`: the resource whose calls the edge controls, and how it is asked.

use std::time::Duration;

use super::{ManagedIdentity, Rate, Roots};
use crate::ids::{NumberPrefix, PhoneNumber};
use crate::label::Label;
use crate::secret::Secret;

/// What tokens for Communication Services are for; with both slashes, as Azure's own libraries ask.
pub const ACS_SCOPE: &str = "https://communication.azure.com//.default";

/// `[acs]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acs {
    pub host: String,
    pub port: u16,
    /// `None`: plain text, on loopback only.
    pub roots: Option<Roots>,
    pub credential: AcsCredential,
    pub api_version: Label,
    /// What callback URLs begin with, as ACS reaches the edge: `https://host[:port][/path]`.
    pub callbacks: Option<String>,
    /// What media URLs begin with: `wss://host[:port][/path]`.
    pub media: Option<String>,
    pub streaming: Streaming,
    /// One request, from its connection to its answer.
    pub timeout: Duration,
    /// One operation with all its requests and what lies between them.
    pub total: Duration,
    /// Requests that one operation may take, 1 at the least.
    pub attempts: u32,
}

/// What the edge shows Communication Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcsCredential {
    /// The resource's access key, base64 as the portal shows it; it signs each request.
    Key(Secret),
    /// A token of Entra for the edge itself.
    Identity(ManagedIdentity),
}

/// What media streaming a call is answered or created with. It always goes both ways and brings
/// what was dialled as messages, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaming {
    pub audio: AcsAudio,
    pub channels: Channels,
    /// Whether media comes as soon as the call is connected; else when it is asked for.
    pub start: bool,
}

impl Default for Streaming {
    fn default() -> Streaming {
        Streaming {
            audio: AcsAudio::Pcm24KMono,
            channels: Channels::Mixed,
            start: true,
        }
    }
}

/// The form of audio on the media socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcsAudio {
    Pcm16KMono,
    /// Voice Live's own rate: nothing is to be resampled.
    Pcm24KMono,
}

impl AcsAudio {
    /// As ACS and the settings write it.
    pub fn word(self) -> &'static str {
        match self {
            AcsAudio::Pcm16KMono => "pcm16KMono",
            AcsAudio::Pcm24KMono => "pcm24KMono",
        }
    }
}

/// Whether all participants are one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    Mixed,
    /// A stream for each.
    Unmixed,
}

impl Channels {
    /// As ACS and the settings write it.
    pub fn word(self) -> &'static str {
        match self {
            Channels::Mixed => "mixed",
            Channels::Unmixed => "unmixed",
        }
    }
}

/// What a route of calls that are made does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallApi {
    /// The routes that ACS is told of when a call is made, as [`EventGrid`] has them.
    pub media: Label,
    pub callbacks: Label,
    /// The number of the resource, which whoever is called sees.
    pub source: PhoneNumber,
    /// Whom calls may be made to.
    pub destinations: Vec<NumberPrefix>,
    /// Calls that one identity may have made.
    pub calls_per_identity: Rate,
}

/// What a route of Event Grid does with its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGrid {
    /// The routes that ACS is told of when a call is answered: for its media, and for what becomes
    /// of it.
    pub media: Label,
    pub callbacks: Label,
    /// The SIP header that holds the call's id.
    pub sip_header: Option<String>,
    /// Publishers that may ask, as `WebHook-Request-Origin`, whether their events are wanted.
    pub webhook_origins: Vec<String>,
}
