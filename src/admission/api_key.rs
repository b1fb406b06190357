//! API keys, found by digest.

use std::collections::HashMap;

use crate::config::ApiKey;
use crate::secret::{Digest, Secret};

/// All keys. A look-up takes the same steps whatever was presented: hash, find, compare in
/// constant time; how long it takes tells nothing about how close a guess was.
pub(super) struct Keys {
    by_digest: HashMap<Digest, ApiKey>,
}

impl Keys {
    pub(super) fn new(keys: &[ApiKey]) -> Keys {
        Keys {
            by_digest: keys.iter().map(|key| (key.digest, key.clone())).collect(),
        }
    }

    /// The key that `secret` is.
    pub(super) fn find(&self, secret: &Secret) -> Option<&ApiKey> {
        let digest = Digest::of(secret.expose());
        self.by_digest
            .get(&digest)
            .filter(|key| key.digest.is(&digest))
    }
}
