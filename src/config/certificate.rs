//! `[[certificates]]`: clients that enter by what they prove in the TLS handshake.

use crate::label::Label;
use crate::secret::Digest;

/// A client whose certificate opens routes.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub name: Label,
    pub mark: Mark,
    /// Routes it opens; empty: all that admit certificates.
    pub routes: Vec<Label>,
}

/// What a certificate is known by, beside that it leads to one of the roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The SHA-256 of the leaf as DER: this one certificate, and none that follows it.
    Sha256(Digest),
    /// One of its dNSNames, to the letter, in lower case: whatever the roots sign for it.
    Dns(String),
}
