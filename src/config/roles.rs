//! `[roles]`: who says whom somebody may see.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Roots;

/// `[roles]`.
#[derive(Clone, Debug)]
pub struct Roles {
    pub by: RolesBy,
    /// How long it is believed what was found. Who reports to whom is a fact that changes.
    pub cache: Duration,
}

/// Who says it.
#[derive(Clone, Debug)]
pub enum RolesBy {
    /// Microsoft Graph: whoever has direct reports manages them. Ids are those of Entra.
    Graph,
    /// A directory of the customer's, over HTTP. Ids are its own.
    Directory(Directory),
    /// The same, written into the store by the customer.
    Store,
}

/// A directory of the customer's.
#[derive(Clone, Debug)]
pub struct Directory {
    pub host: String,
    pub port: u16,
    /// `None`: plain text, on loopback only.
    pub roots: Option<Roots>,
    /// Path and query, with `{tenant}` and `{person}` where these are to stand.
    pub path: String,
    /// What the edge shows it.
    pub credential: Option<(HeaderName, HeaderValue)>,
    pub timeout: Duration,
}
