//! What the registry knows of a session.

use std::sync::Arc;
use std::time::SystemTime;

use crate::admission::{Grant, Holder};
use crate::label::Label;

/// What a session is, to whoever lists or ends it. What can be long is shared with the session.
#[derive(Clone, Debug)]
pub struct About {
    pub route: Label,
    /// Subject, key, certificate, call and credential.
    pub holder: Arc<Holder>,
    pub started: SystemTime,
}

impl About {
    /// Of a session that begins now.
    pub fn of(route: &Label, grant: &Grant) -> About {
        About {
            route: route.clone(),
            holder: grant.holder().clone(),
            started: SystemTime::now(),
        }
    }
}

#[cfg(test)]
impl About {
    /// Of whoever shows a token of the issuer `users` that names `name`.
    pub(super) fn of_a_test(name: &str) -> About {
        use crate::admission::Subject;
        use crate::secret::Digest;
        let label = |name| Label::new(name).unwrap();
        About {
            route: label("open"),
            holder: Arc::new(Holder {
                subject: Subject::Token {
                    issuer: label("users"),
                    tenant: None,
                    name: name.to_owned(),
                },
                key: None,
                certificate: None,
                call: None,
                credential: Some(Digest::of(name)),
                parent: None,
            }),
            started: SystemTime::now(),
        }
    }
}
