//! `[graph]`: where the edge asks who reports to whom.

use std::time::Duration;

use super::{ManagedIdentity, Roots};

/// `[graph]`. There is no plain text here: what is shown is a token that reads a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    pub host: String,
    pub port: u16,
    pub roots: Roots,
    /// An application's: it has `User.Read.All`, or nothing is answered.
    pub identity: ManagedIdentity,
    /// One request, from its connection to its answer.
    pub timeout: Duration,
    /// All pages of one person, with what lies between them.
    pub total: Duration,
}
