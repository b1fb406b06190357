//! What a session shows beside its call.

use crate::store::{Enter, Facts, Keys, Needs, SessionKey};

/// What must be there for a call to be opened.
pub(super) enum Wanted {
    Nothing,
    Gate,
    /// A session key, if it can be named, and whether it goes with its use.
    Key(Option<SessionKey>, bool),
}

pub(super) fn wanted(enter: &Enter<'_>, facts: &Facts, keys: &Keys) -> Wanted {
    match enter.needs {
        Needs::Nothing => Wanted::Nothing,
        Needs::Dialled => Wanted::Gate,
        Needs::ApiKey { consume } => Wanted::Key(enter.asking().map(|id| keys.api(id)), consume),
        Needs::SipKey { consume } => {
            Wanted::Key(facts.sip.as_ref().map(|id| keys.sip(id)), consume)
        }
    }
}
