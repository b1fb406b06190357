//! What a call must have to be let in: what its flow needs, and nobody who contradicts.

use crate::ids::ForeignId;
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

/// Whether nobody contradicts; what the record lacks is taken from the others.
pub(super) fn agree(facts: &mut Facts, enter: &Enter<'_>) -> bool {
    fn take<T: Clone + PartialEq>(known: &mut Option<T>, said: Option<&T>) -> bool {
        match (&*known, said) {
            (Some(known), Some(said)) => known == said,
            (None, Some(said)) => {
                *known = Some(said.clone());
                true
            }
            (_, None) => true,
        }
    }
    let ids = |id: Option<&ForeignId>, known: &mut Option<ForeignId>| take(known, id);
    if let Some(signed) = enter.signed {
        let same = take(&mut facts.ani, signed.ani.as_ref())
            && ids(signed.sip.as_ref(), &mut facts.sip)
            && ids(signed.connection.as_ref(), &mut facts.connection);
        if !same {
            return false;
        }
        // Two correlations of one connection are no contradiction: the first is the record's.
        ids(signed.correlation.as_ref(), &mut facts.correlation);
    }
    let same = ids(enter.connection, &mut facts.connection);
    ids(enter.correlation, &mut facts.correlation);
    same
}
