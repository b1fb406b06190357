//! A running session, as whoever operates the edge is shown it.
//!
//! It says who, as logs do: no number of a caller, no digit, nothing that a peer sent.

use std::sync::Arc;
use std::time::SystemTime;

use super::About;
use crate::admission::{Holder, Peer};
use crate::gate::State;
use crate::ids::SessionId;
use crate::label::Label;
use crate::relay::{Lease, Standing};

/// What its place in the registry is told when a session begins.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) kind: &'static str,
    pub(super) client: Peer,
    /// As soon as it has been dialled.
    pub(super) upstream: Option<Label>,
    pub(super) lease: Arc<Lease>,
    /// Digits are to open it first.
    pub(super) waits: bool,
}

/// A session that runs here.
#[derive(Clone, Debug)]
pub struct Live {
    pub id: SessionId,
    pub route: Label,
    /// Of the route, as the settings write it.
    pub kind: &'static str,
    pub holder: Arc<Holder>,
    pub started: SystemTime,
    pub client: Peer,
    /// `None`: a call whose gate has not opened.
    pub upstream: Option<Label>,
    /// When its lease ends; `None`: by itself it does not.
    pub lease: Option<SystemTime>,
    /// As of its last wake.
    pub standing: Standing,
}

impl Live {
    pub(super) fn of(id: SessionId, about: &About, begun: &Begun, standing: Standing) -> Live {
        Live {
            id,
            route: about.route.clone(),
            kind: begun.kind,
            holder: about.holder.clone(),
            started: about.started,
            client: begun.client,
            upstream: begun.upstream.clone(),
            lease: begun.lease.ends(),
            standing: Standing {
                // Before its first wake.
                gate: standing.gate.or(begun.waits.then_some(State::Pending)),
                ..standing
            },
        }
    }
}
