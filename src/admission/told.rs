//! What each check found, for `tonegate explain`. On the way of a real request nobody listens but the
//! audit, which keeps whom they have recognised: the checks are the same.

use super::{Calling, Denied, Subject};
use crate::audit::Known;

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub passed: bool,
    pub text: String,
}

/// Hears the checks as they are made.
#[derive(Debug, Default)]
pub struct Told {
    findings: Option<Vec<Finding>>,
    known: Option<Known>,
}

impl Told {
    /// Nobody listens.
    pub fn nobody() -> Told {
        Told::default()
    }

    /// Whom the checks have recognised is kept, also where they refuse.
    pub fn audit() -> Told {
        Told {
            known: Some(Known::default()),
            ..Told::default()
        }
    }

    /// Everything is kept.
    pub fn somebody() -> Told {
        Told {
            findings: Some(Vec::new()),
            ..Told::default()
        }
    }

    /// What was heard, in order.
    pub fn findings(self) -> Vec<Finding> {
        self.findings.unwrap_or_default()
    }

    /// Whom the checks have recognised.
    pub fn known(self) -> Known {
        self.known.unwrap_or_default()
    }

    pub(super) fn recognise(&mut self, subject: impl FnOnce() -> Subject) {
        if let Some(known) = &mut self.known {
            known.who = Some((&subject()).into());
        }
    }

    pub(super) fn recognise_call(&mut self, calling: &Calling) {
        if let Some(known) = &mut self.known {
            known.call = Some(calling.into());
        }
    }

    /// Passes on what `check` came to, and tells only what it refused: what a store says is not asked
    /// where somebody has requests explained.
    pub(super) fn hear_refusal<T>(
        &mut self,
        check: &'static str,
        result: Result<T, Denied>,
    ) -> Result<T, Denied> {
        match result {
            Ok(value) => Ok(value),
            Err(_) => self.hear(check, result, |_| String::new()),
        }
    }

    /// Passes on what `check` came to; `say` puts a good result into words, without secrets.
    pub(super) fn hear<T>(
        &mut self,
        check: &'static str,
        result: Result<T, Denied>,
        say: impl FnOnce(&T) -> String,
    ) -> Result<T, Denied> {
        if let Some(findings) = &mut self.findings {
            let (passed, text) = match &result {
                Ok(value) => (true, say(value)),
                Err(denied) => (false, format!("{}: {}", denied.reason, denied.detail)),
            };
            findings.push(Finding {
                check,
                passed,
                text,
            });
        }
        result
    }
}
