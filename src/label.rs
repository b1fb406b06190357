//! Names that may stand in metric labels and log fields: chosen by the operator, never by a peer.

use std::fmt;
use std::sync::Arc;

/// The name of a route, an upstream or a key, as the settings give it: 1 to 64 characters of
/// `a-z A-Z 0-9 _ - .`, so that it needs no escaping anywhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Arc<str>);

impl Label {
    /// Takes `name` if it fits the grammar.
    pub fn new(name: &str) -> Option<Label> {
        let fits = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        fits.then(|| Label(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared; what the metrics registry stores.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_names_and_refuses_what_would_need_escaping() {
        assert!(Label::new("browser-1.eu").is_some());
        for bad in ["", "a b", "a\"b", "a\nb", "é", &"x".repeat(65)] {
            assert!(Label::new(bad).is_none(), "{bad:?}");
        }
    }
}
