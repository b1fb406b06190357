//! What it takes to enter a route, and where it may sit in a request.

use crate::label::Label;

/// What it takes to enter a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enter {
    /// Any of these.
    Any(Vec<Way>),
    /// All of these.
    All(Vec<Way>),
}

impl Enter {
    pub fn ways(&self) -> &[Way] {
        match self {
            Enter::Any(ways) | Enter::All(ways) => ways,
        }
    }
}

/// One way to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// One of the `[[keys]]`.
    Key,
    /// A token of this issuer.
    Issuer(Label),
    /// One of the `[[certificates]]`, proved in the TLS handshake.
    Certificate,
    /// Whom App Service or Container Apps signed in, as a hop says (EasyAuth).
    EasyAuth,
    /// A ticket, good for one session.
    Ticket,
    /// The secret of a call, in its signed media URL.
    Call,
    /// Whoever asks.
    Anyone,
}

/// Where a credential may sit in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer`, `api-key`.
    Header,
    /// `token`, `authorization`, `api-key`.
    Query,
    Cookie,
    /// `openai-insecure-api-key.KEY`, `authorization.bearer.TOKEN`, `bearer.TOKEN`.
    Subprotocol,
}

impl Way {
    /// The word in the settings.
    pub fn word(&self) -> &str {
        match self {
            Way::Key => "key",
            Way::Issuer(name) => name.as_str(),
            Way::Certificate => "certificate",
            Way::EasyAuth => "easyauth",
            Way::Ticket => "ticket",
            Way::Call => "call",
            Way::Anyone => "anyone",
        }
    }
}

impl Place {
    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Place::Header => "header",
            Place::Query => "query",
            Place::Cookie => "cookie",
            Place::Subprotocol => "subprotocol",
        }
    }
}
