//! Whom a limit counts.

use super::network::Address;
use crate::label::Label;
use crate::secret::Digest;

/// One thing that a limit counts by. Identities are digests, so that a table holds no names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Route(Label),
    Key(Label),
    /// On a route.
    Address(Label, Address),
    Identity(Label, Digest),
    /// Who has calls made on a route.
    Creator(Label, Digest),
}
