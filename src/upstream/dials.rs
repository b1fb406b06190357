//! What came of dialling an upstream lately, for whoever asks why sessions do not begin.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Failure, Upstream};

/// What came of dialling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dials {
    pub total: u64,
    pub failures: u64,
    /// Whether the last one failed; `None`: there was none.
    pub last_failed: Option<bool>,
    /// The last that succeeded, and how long it took.
    pub ok: Option<(SystemTime, Duration)>,
    /// The last that failed.
    pub failed: Option<(SystemTime, Failure)>,
}

/// The same while it changes: a dial is a rare thing beside what crosses.
#[derive(Debug, Default)]
pub(super) struct Latest(Mutex<Dials>);

impl Latest {
    pub(super) fn succeeded(&self, took: Duration) {
        let mut dials = self.lock();
        dials.total += 1;
        dials.last_failed = Some(false);
        dials.ok = Some((SystemTime::now(), took));
    }

    pub(super) fn failed(&self, failure: Failure) {
        let mut dials = self.lock();
        dials.total += 1;
        dials.failures += 1;
        dials.last_failed = Some(true);
        dials.failed = Some((SystemTime::now(), failure));
    }

    pub(super) fn told(&self) -> Dials {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Dials> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operator is shown of it.
impl Upstream {
    /// As the settings write it.
    pub fn kind(&self) -> &'static str {
        self.settings.service.kind().word()
    }

    /// Where it is, without a path: credentials may be in one.
    pub fn address(&self) -> &str {
        self.host.authority().to_str().unwrap_or_default()
    }

    /// What came of dialling it.
    pub fn dials(&self) -> Dials {
        self.dials.told()
    }
}
