//! Identifiers: those that the edge makes up itself, those that calls bring, and the form of
//! Microsoft's.
//!
//! What a call brings becomes part of keys in the store, so each has a grammar that holds no
//! separator: no two inputs can build one key.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

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

    /// Reads 24 hexadecimal digits, as logs show it.
    pub fn from_hex(text: &str) -> Option<SessionId> {
        let digits = text.as_bytes();
        if digits.len() != 24 {
            return None;
        }
        let mut bytes = [0; 12];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(SessionId(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It is in every line and every key: byte by byte through the formatter it is forty times dearer.
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one call in media URLs, in the store and in logs: 1 to 64 characters of `a-z A-Z 0-9 _ -`,
/// chosen by whoever answers the call.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallId(Box<str>);

impl CallId {
    /// Takes `text` if it fits the grammar.
    pub fn new(text: &str) -> Option<CallId> {
        CallId::fits(text).then(|| CallId(text.into()))
    }

    /// Draws one for a call that the edge answers: 128 random bits, for whoever knows it may at the
    /// most say what became of the call.
    ///
    /// # Panics
    /// If the system has no randomness to give, as [`SessionId::random`].
    pub fn random() -> CallId {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system generator never fails after boot");
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        CallId(text.into())
    }

    /// Whether `text` fits the grammar.
    pub fn fits(text: &str) -> bool {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What another cloud calls the call that it hands over, such as the ContactId of Amazon Connect: in
/// the grammar of a [`CallId`], and no call of ours.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContactId(CallId);

impl ContactId {
    /// Takes `text` if it fits the grammar.
    pub fn new(text: &str) -> Option<ContactId> {
        CallId::new(text).map(ContactId)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<CallId> for ContactId {
    /// The id that stands at the end of a path.
    fn from(id: CallId) -> ContactId {
        ContactId(id)
    }
}

impl fmt::Display for ContactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ContactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A telephone number in the one form that keys are built of: E.164 with its plus, 2 to 15 digits,
/// the first not 0. A person's, so it is not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(Box<str>);

impl PhoneNumber {
    /// Takes `text` if it is canonical: `+15551234567`. Spaces, `00`, `tel:` and the like are not
    /// guessed at: two spellings of one number would be two keys.
    pub fn new(text: &str) -> Option<PhoneNumber> {
        let digits = text.strip_prefix('+')?.as_bytes();
        let fits = (2..=15).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_digit)
            && digits[0] != b'0';
        fits.then(|| PhoneNumber(text.into()))
    }

    /// The number itself: for keys in the store, not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(_)")
    }
}

/// What telephone numbers begin with: a country, an area, or with the plus alone all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPrefix(Box<str>);

impl NumberPrefix {
    /// Takes `text` if a canonical number can begin so: `+`, `+1555`.
    pub fn new(text: &str) -> Option<NumberPrefix> {
        let digits = text.strip_prefix('+')?.as_bytes();
        let fits = digits.len() <= 15
            && digits.iter().all(u8::is_ascii_digit)
            && digits.first() != Some(&b'0');
        fits.then(|| NumberPrefix(text.into()))
    }

    pub fn begins(&self, number: &PhoneNumber) -> bool {
        number.expose().starts_with(&*self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An id that another system gave a call: ACS' connection and correlation ids, the id in a SIP
/// header. 1 to 128 characters of `a-z A-Z 0-9 _ - . @ ~`, so without the separator of keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ForeignId(Box<str>);

impl ForeignId {
    /// Takes `text` if it fits the grammar.
    pub fn new(text: &str) -> Option<ForeignId> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b'~')
            });
        fits.then(|| ForeignId(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ForeignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ForeignId {
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

/// The id of a person, an application or a tenant in Entra: a GUID, in lower case, so that two
/// spellings are one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntraId(Box<str>);

impl EntraId {
    /// Takes `text` if it is a GUID, in whatever case.
    pub fn new(text: &str) -> Option<EntraId> {
        is_guid(text).then(|| EntraId(text.to_ascii_lowercase().into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A random GUID (RFC 9562, version 4), for where Microsoft's interfaces want one.
///
/// # Panics
/// If the system has no randomness to give; nothing that needs secrets could go on either.
pub fn random_guid() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system generator never fails after boot");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |part: &[u8]| part.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let parts = [0..4, 4..6, 6..8, 8..10, 10..16].map(|part| hex(&bytes[part]));
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c01_an_id_of_entra_has_one_spelling() {
        let id = "0000000A-1111-4222-8333-0123456789AB";
        assert_eq!(EntraId::new(id), EntraId::new(&id.to_ascii_lowercase()));
        for not in [
            "",
            "0000000a-1111-4222-8333-0123456789a",
            "{0000000a-1111-4222-8333-0123456789ab}",
        ] {
            assert_eq!(EntraId::new(not), None);
        }
    }

    #[test]
    fn a16_what_calls_bring_holds_no_separator() {
        assert!(CallId::new("7f0c-AB_9").is_some());
        for bad in [
            "",
            "a:b",
            "a/b",
            "a.b",
            "{a}",
            "a b",
            "a\r\n",
            "é",
            &"x".repeat(65),
        ] {
            assert!(CallId::new(bad).is_none(), "{bad:?}");
        }
        assert!(PhoneNumber::new("+15551234567").is_some());
        for bad in [
            "15551234567",
            "+1",
            "+0155512345",
            "+1555 1234",
            "+1555:823",
            "+1234567890123456",
            "0015551234567",
            "+１５５５",
            "anonymous",
        ] {
            assert!(PhoneNumber::new(bad).is_none(), "{bad:?}");
        }
        assert!(ForeignId::new("abc-xyz-123").is_some());
        for bad in [
            "",
            "a:b",
            "a*b",
            "a b",
            "a\n",
            "[a]",
            "?",
            "{a}",
            &"x".repeat(129),
        ] {
            assert!(ForeignId::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a14_a_prefix_is_one_of_canonical_numbers() {
        let begins = |prefix: &str, number: &str| {
            let number = PhoneNumber::new(number).unwrap();
            NumberPrefix::new(prefix).unwrap().begins(&number)
        };
        assert!(begins("+1555", "+15551234567") && begins("+", "+4930123"));
        assert!(begins("+15551234567", "+15551234567"));
        assert!(!begins("+1556", "+15551234567") && !begins("+15551234567", "+1555123456"));
        for bad in [
            "",
            "1555",
            "+0",
            "+1 555",
            "+1555*",
            "00",
            "+1234567890123456",
        ] {
            assert_eq!(NumberPrefix::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_random_guid_is_one_and_another_each_time() {
        let (a, b) = (random_guid(), random_guid());
        assert_ne!(a, b);
        for guid in [a, b] {
            assert!(is_guid(&guid), "{guid}");
            assert_eq!(&guid[14..15], "4");
            assert!(matches!(&guid[19..20], "8" | "9" | "a" | "b"), "{guid}");
        }
    }

    #[test]
    fn is_24_hex_digits_and_differs_each_time() {
        let (a, b) = (SessionId::random(), SessionId::random());
        assert_ne!(a, b);
        assert_eq!(a.to_string().len(), 24);
        assert!(a.to_string().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(SessionId::from_hex(&a.to_string()), Some(a));
        for bad in [
            "",
            "7f0c",
            &a.to_string()[1..],
            &format!("{b}0"),
            &"g".repeat(24),
        ] {
            assert_eq!(SessionId::from_hex(bad), None, "{bad:?}");
        }
    }
}
