//! API keys, found by digest.

use std::collections::HashMap;
use std::time::SystemTime;

use super::Denied;
use crate::config::ApiKey;
use crate::error::Reason;
use crate::label::Label;
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

    /// The key that `secret` is, if it has not ended and opens `route`.
    pub(super) fn find(
        &self,
        secret: &Secret,
        route: &Label,
        now: SystemTime,
    ) -> Result<&ApiKey, Denied> {
        let digest = Digest::of(secret.expose());
        let key = self
            .by_digest
            .get(&digest)
            .filter(|key| key.digest.is(&digest))
            .ok_or(Denied::new(Reason::Unauthenticated, "the key is not known"))?;
        // The clock is the edge's own, and so is the date: there is no leeway.
        if key.expires.is_some_and(|end| now >= end) {
            return Err(Denied::new(Reason::Unauthenticated, "the key has ended"));
        }
        if !key.routes.is_empty() && !key.routes.contains(route) {
            return Err(Denied::new(
                Reason::Forbidden,
                "the key does not open this route",
            ));
        }
        Ok(key)
    }
}
