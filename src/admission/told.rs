//! What each check found, for `tonegate explain`. On the way of a real request nobody listens, and
//! nothing is written down: the checks are the same.

use super::Denied;

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub passed: bool,
    pub text: String,
}

/// Hears the checks as they are made.
#[derive(Debug, Default)]
pub struct Told(Option<Vec<Finding>>);

impl Told {
    /// Nobody listens.
    pub fn nobody() -> Told {
        Told(None)
    }

    /// Everything is kept.
    pub fn somebody() -> Told {
        Told(Some(Vec::new()))
    }

    /// What was heard, in order.
    pub fn findings(self) -> Vec<Finding> {
        self.0.unwrap_or_default()
    }

    /// Passes on what `check` came to; `say` puts a good result into words, without secrets.
    pub(super) fn hear<T>(
        &mut self,
        check: &'static str,
        result: Result<T, Denied>,
        say: impl FnOnce(&T) -> String,
    ) -> Result<T, Denied> {
        if let Some(findings) = &mut self.0 {
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
