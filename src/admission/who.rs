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
    /// Of a tenant of Entra, on a route.
    Tenant(Label, Digest),
    /// Everybody, on all routes.
    All,
    /// Who has calls made on a route.
    Creator(Label, Digest),
}

impl Who {
    /// Its part of a name in the store: labels as they are, all else as digests.
    pub(super) fn part(&self) -> String {
        match self {
            Who::Route(name) | Who::Key(name) => name.to_string(),
            Who::Address(route, address) => format!("{route}:{}", address.digest().to_hex()),
            Who::Identity(route, digest)
            | Who::Tenant(route, digest)
            | Who::Creator(route, digest) => format!("{route}:{}", digest.to_hex()),
            Who::All => "all".to_owned(),
        }
    }
}
