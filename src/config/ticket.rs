//! `[tickets]`: who signs them, whom they are for, and how long they may live; and what routes have
//! to do with them.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use crate::label::Label;

/// How far the clock of whoever signs tickets may be from ours. A ticket lives for seconds, so it
/// cannot be much; clocks that follow a time server are milliseconds apart.
pub const TICKET_LEEWAY: Duration = Duration::from_secs(5);

/// `[tickets]`.
#[derive(Clone, Debug)]
pub struct Tickets {
    /// `aud`, to the letter. No issuer of tokens has it, so it tells tickets and tokens apart.
    pub audience: String,
    /// From `iat` to `exp`, at the most.
    pub max_age: Duration,
    /// 1 to 4, of different ids.
    pub keys: Vec<TicketKey>,
}

/// One key that signs tickets.
#[derive(Clone)]
pub struct TicketKey {
    /// `kid`.
    pub id: Label,
    /// Whose key it is: keys of one name are those of one signer while it changes them.
    pub issuer: Label,
    /// The only one that the key is used with.
    pub algorithm: Algorithm,
    pub verifier: DecodingKey,
    /// `None`: only others have what signs.
    pub signer: Option<EncodingKey>,
    /// It is the edge's own, and what it signs may say as whom somebody was admitted.
    pub own: bool,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey")
            .field("id", &self.id)
            .field("issuer", &self.issuer)
            .field("algorithm", &self.algorithm)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// What a route has to do with tickets, beside admitting them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTickets {
    /// They are judged, spent and counted, and nobody is refused for the lack of one.
    pub observe: bool,
    /// What each must be bound to.
    pub claims: Vec<TicketClaim>,
}

/// What a ticket may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketClaim {
    Origin,
    Route,
    /// Or the agent.
    Model,
    Call,
    Subject,
}

impl TicketClaim {
    pub const ALL: [TicketClaim; 5] = [
        TicketClaim::Origin,
        TicketClaim::Route,
        TicketClaim::Model,
        TicketClaim::Call,
        TicketClaim::Subject,
    ];

    /// As the ticket and the settings name it.
    pub fn word(self) -> &'static str {
        match self {
            TicketClaim::Origin => "origin",
            TicketClaim::Route => "route",
            TicketClaim::Model => "model",
            TicketClaim::Call => "call",
            TicketClaim::Subject => "sub",
        }
    }
}

/// What a route of kind `tickets` hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketDesk {
    /// Routes that its tickets open, at least one.
    pub opens: Vec<Label>,
    /// How long its tickets live.
    pub life: Duration,
}
