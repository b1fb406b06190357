//! The lease of a session: until when it may last by what was shown, and who may have it last longer.
//!
//! A session ends with the first of the credentials that it was opened with. Whoever shows one later
//! that names the same subject puts off the end of that one; the others end when they end. The longest
//! duration of a session stands above all.

use std::sync::Arc;
use std::time::SystemTime;

use metrics::Counter;

use crate::admission::Grant;
use crate::ids::SessionId;
use crate::label::Label;
use crate::metrics::Route;
use crate::relay::Lease;
use crate::secret::Digest;
use crate::store::Running;

/// A session that runs here, as it is told of, and its lease.
#[derive(Clone)]
pub struct Leased {
    told: Running,
    lease: Arc<Lease>,
    /// Counts how often it is put off.
    extended: Counter,
}

/// What a refresh came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The lease ends later than before.
    pub changed: bool,
    /// When it ends; `None`: by itself it does not.
    pub lease: Option<SystemTime>,
    /// What was shown has been taken back.
    pub revoked: bool,
}

impl Leased {
    /// A session that begins now, and lasts until `longest` at the most.
    pub fn new(
        id: SessionId,
        (route, metrics): (&Label, &Route),
        grant: &Grant,
        longest: SystemTime,
    ) -> Leased {
        let ends = grant.ends();
        Leased {
            told: Running {
                id,
                route: route.clone(),
                subject: grant.subject().to_string(),
                digest: grant.subject().digest(),
                person: grant.person().cloned(),
                call: grant.call().map(|calling| calling.call.clone()),
                started: SystemTime::now(),
                lease: ends.first(),
                of_others: ends.of_others,
                longest,
            },
            lease: Arc::new(Lease::until(ends.first())),
            extended: metrics.lease_extended.clone(),
        }
    }

    pub fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }

    /// As things are.
    pub fn told(&self) -> Running {
        Running {
            lease: self.lease.ends(),
            ..self.told.clone()
        }
    }

    /// Whose it is; what is told of its lease here is as old as the session.
    pub fn whose(&self) -> &Running {
        &self.told
    }

    /// Whether the lease has another end than was told.
    pub(super) fn differs(&self, told: &Running) -> bool {
        self.lease.ends() != told.lease
    }

    pub(super) fn is_of(&self, subject: &Digest) -> bool {
        self.told.digest.is(subject)
    }

    pub(super) fn put_off(&self, end: Option<SystemTime>) -> bool {
        let later = self.lease.extend(self.told.lease_with(end));
        if later {
            self.extended.increment(1);
        }
        later
    }
}

#[cfg(test)]
impl Leased {
    /// Of a session of this subject that ends then.
    pub(super) fn of_a_test(id: SessionId, subject: &str, end: SystemTime) -> Leased {
        Leased {
            told: Running {
                id,
                route: Label::new("open").unwrap(),
                subject: subject.to_owned(),
                digest: Digest::of(subject),
                person: None,
                call: None,
                started: SystemTime::now(),
                lease: Some(end),
                of_others: None,
                longest: end + std::time::Duration::from_secs(3600),
            },
            lease: Arc::new(Lease::until(Some(end))),
            extended: Counter::noop(),
        }
    }
}
