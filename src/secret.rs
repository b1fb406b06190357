//! Secrets as types that cannot be printed by accident.
//!
//! A [`Secret`] has no `Display`, its `Debug` says nothing, and its memory is wiped when it goes.
//! A [`Digest`] is what the edge keeps of a client's API key: enough to recognise it, useless
//! to whoever reads the settings.

use std::fmt;

use aws_lc_rs::digest;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A credential of ours or of a peer, in the clear.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The secret itself. The caller must put it on a wire or into a digest, nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// In a time that does not depend on where two differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Draws a code of so many decimal digits, each as likely as any other.
///
/// # Panics
/// If the system has no randomness to give; nothing that needs secrets could go on either.
pub fn random_digits(count: u8) -> Secret {
    let mut digits = Zeroizing::new(String::with_capacity(usize::from(count)));
    while digits.len() < usize::from(count) {
        let mut byte = [0];
        aws_lc_rs::rand::fill(&mut byte).expect("the system generator never fails after boot");
        // The rest of 256 would make some digits likelier than others.
        if byte[0] < 250 {
            digits.push(char::from(b'0' + byte[0] % 10));
        }
    }
    Secret(digits)
}

/// The SHA-256 of an API key, or of a certificate.
///
/// A fast hash is right here: keys are random and long, so there is nothing to guess that a slow
/// hash would protect, and a slow one would let strangers burn our processor.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a key as a client presents it.
    pub fn of(key: &str) -> Digest {
        Digest::of_bytes(key.as_bytes())
    }

    /// The same of what is no text.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        let digest = digest::digest(&digest::SHA256, bytes);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Digest(bytes)
    }

    /// Reads 64 hexadecimal digits, as the settings write it.
    pub fn from_hex(text: &str) -> Option<Digest> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(Digest(bytes))
    }

    /// Equality whose duration does not depend on where two digests differ.
    pub fn is(&self, other: &Digest) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// 64 hexadecimal digits, for the settings.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_formatted() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert!(!format!("{:?}", Digest::of("hunter2")).contains("f52f"));
    }

    #[test]
    fn a09_a_code_is_drawn_of_digits_that_are_all_as_likely() {
        let mut seen = [0_u32; 10];
        for _ in 0..2000 {
            let code = random_digits(6);
            assert_eq!(code.expose().len(), 6);
            for digit in code.expose().bytes() {
                seen[usize::from(digit - b'0')] += 1;
            }
        }
        // 1200 each; seven times the deviation of such a count.
        assert!(
            seen.iter().all(|count| count.abs_diff(1200) < 230),
            "{seen:?}"
        );
    }

    #[test]
    fn digest_is_sha_256_and_survives_hex() {
        // FIPS 180-2, appendix B.1.
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of("abc").to_hex(), hex);
        let read = Digest::from_hex(hex).expect("64 digits");
        assert!(read.is(&Digest::of("abc")));
        assert!(!read.is(&Digest::of("abd")));
        for bad in ["", &hex[1..], &hex.replace('b', "g"), &format!("{hex}0")] {
            assert!(Digest::from_hex(bad).is_none(), "{bad:?}");
        }
    }
}
