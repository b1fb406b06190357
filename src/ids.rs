//! Identifiers: those that the edge makes up itself, and the form of Microsoft's.

use std::fmt;

/// Names one session in logs and in the registry: 96 random bits, so that it cannot be guessed
/// from another one and does not collide across replicas.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 12]);

impl SessionId {
    /// Draws a new one from the operating system's generator.
    ///
    /// # Panics
    /// If the system has no randomness to give; nothing that needs secrets could go on either.
    pub fn random() -> SessionId {
        let mut bytes = [0; 12];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system generator never fails after boot");
        SessionId(bytes)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a text is a GUID as Microsoft writes them: `11111111-2222-3333-4444-555555555555`.
pub fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_24_hex_digits_and_differs_each_time() {
        let (a, b) = (SessionId::random(), SessionId::random());
        assert_ne!(a, b);
        assert_eq!(a.to_string().len(), 24);
        assert!(a.to_string().bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
