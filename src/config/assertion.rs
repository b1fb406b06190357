//! `[assertion]`: what the edge signs, so that a private app need not take a header's word.

use std::time::Duration;

use crate::secret::Secret;

/// `[assertion]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Private keys, PKCS#8 as PEM, 1 to 4: the first signs, all of them are published.
    pub keys: Vec<Secret>,
    /// `iss`, to the letter.
    pub issuer: String,
    /// From the signature to `exp`.
    pub life: Duration,
}
