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
        opens(key, route, now)
    }

    /// The key of this name, whose holder was admitted before, if it opens `route`.
    pub(super) fn named(
        &self,
        name: &Label,
        route: &Label,
        now: SystemTime,
    ) -> Result<&ApiKey, Denied> {
        let key = self.by_digest.values().find(|key| key.name == *name);
        let gone = "the key that was shown for the ticket is known no more";
        opens(key.ok_or(Denied::invalid_token(gone))?, route, now)
    }
}

fn opens<'a>(key: &'a ApiKey, route: &Label, now: SystemTime) -> Result<&'a ApiKey, Denied> {
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
