//! The issuer's keys: one of each kind that a token may be signed with.
//!
//! Owns making them, showing them as JWKs (RFC 7517) and signing, all by hand over aws-lc-rs: a
//! token library here would forgive the product's own, if both were the same. Refuses to know
//! headers and claims.

use super::mint::Algorithm;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What a signature cannot fail for: a fresh key, a known algorithm and bytes in memory.
const SIGNS: &str = "a fresh key signs whatever it is given";

/// What a key cannot fail for.
const RANDOM: &str = "the system's random source works, or nothing here does";

/// One key of each kind.
pub(super) struct Ring {
    rsa: Named<RsaKeyPair>,
    p256: Named<EcdsaKeyPair>,
    ed25519: Named<Ed25519KeyPair>,
}

/// A key and the name it is published under.
pub(super) struct Named<P> {
    kid: String,
    pair: P,
}

impl Ring {
    /// Fresh keys.
    pub(super) fn generate() -> Self {
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(RANDOM);
        let ed25519 = Ed25519KeyPair::generate().expect(RANDOM);
        Self {
            rsa: Named::rsa(),
            p256: Named::new(p256),
            ed25519: Named::new(ed25519),
        }
    }

    /// Signs with this RSA key from now on. Returns the JWK of the one before.
    pub(super) fn rotate(&mut self, fresh: Named<RsaKeyPair>) -> Value {
        std::mem::replace(&mut self.rsa, fresh).jwk()
    }

    /// The name of the key that this algorithm signs with. What is not signed, or signed with a
    /// secret, goes by the name of the RSA key, as an attacker would have it.
    pub(super) fn kid(&self, algorithm: &Algorithm) -> &str {
        match algorithm {
            Algorithm::None
            | Algorithm::Hs256 { .. }
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Ps256 => &self.rsa.kid,
            Algorithm::Es256 => &self.p256.kid,
            Algorithm::EdDsa => &self.ed25519.kid,
        }
    }

    /// The public halves.
    pub(super) fn jwks(&self) -> [Value; 3] {
        [self.rsa.jwk(), self.p256.jwk(), self.ed25519.jwk()]
    }

    /// The public half of the RSA key.
    pub(super) fn rsa_jwk(&self) -> Value {
        self.rsa.jwk()
    }

    /// The RSA key as a SubjectPublicKeyInfo in PEM (RFC 7468, section 13), as `openssl` writes it.
    pub(super) fn rsa_pem(&self) -> String {
        let public = self.rsa.pair.public_key();
        let der: PublicKeyX509Der<'_> = public.as_der().expect("a valid RSA key has its DER");
        let text = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|&byte| char::from(byte)));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// The signature of `input` as a JWS carries it (RFC 7518, section 3).
    pub(super) fn sign(&self, algorithm: &Algorithm, input: &[u8]) -> Vec<u8> {
        match algorithm {
            Algorithm::None => Vec::new(),
            Algorithm::Hs256 { secret } => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, input).as_ref().to_vec()
            }
            Algorithm::Rs256 => self.rsa.sign(&RSA_PKCS1_SHA256, input),
            Algorithm::Rs384 => self.rsa.sign(&RSA_PKCS1_SHA384, input),
            Algorithm::Ps256 => self.rsa.sign(&RSA_PSS_SHA256, input),
            Algorithm::Es256 => {
                let signature = self.p256.pair.sign(&SystemRandom::new(), input);
                signature.expect(SIGNS).as_ref().to_vec()
            }
            Algorithm::EdDsa => self.ed25519.pair.sign(input).as_ref().to_vec(),
        }
    }
}

impl<P: KeyPair> Named<P> {
    /// Twenty bytes of the key's digest: names look as Entra's do.
    fn new(pair: P) -> Self {
        let whole = digest(&SHA256, pair.public_key().as_ref());
        Self {
            kid: URL_SAFE_NO_PAD.encode(&whole.as_ref()[..20]),
            pair,
        }
    }
}

impl Named<RsaKeyPair> {
    /// A fresh key, which takes a tenth of a second.
    pub(super) fn rsa() -> Self {
        Self::new(RsaKeyPair::generate(KeySize::Rsa2048).expect(RANDOM))
    }

    fn jwk(&self) -> Value {
        let (modulus, exponent) = rsa_parts(self.pair.public_key().as_ref());
        json!({
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "e": URL_SAFE_NO_PAD.encode(exponent),
        })
    }

    fn sign(&self, padding: &'static dyn RsaEncoding, input: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(padding, &SystemRandom::new(), input, &mut signature)
            .expect(SIGNS);
        signature
    }
}

impl Named<EcdsaKeyPair> {
    fn jwk(&self) -> Value {
        // An uncompressed point: 4, then both coordinates (SEC 1, section 2.3.3).
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC",
            "use": "sig",
            "kid": self.kid,
            "alg": "ES256",
            "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

impl Named<Ed25519KeyPair> {
    fn jwk(&self) -> Value {
        json!({
            "kty": "OKP",
            "use": "sig",
            "kid": self.kid,
            "alg": "EdDSA",
            "crv": "Ed25519",
            "x": URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref()),
        })
    }
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1). At 2048 bits, whose first
/// bit is set, and with the exponent 65537 there is one layout in DER.
fn rsa_parts(der: &[u8]) -> (&[u8], &[u8]) {
    const SEQUENCE_AND_MODULUS: [u8; 9] = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
    const EXPONENT: [u8; 2] = [0x02, 0x03];
    let parts = der
        .strip_prefix(&SEQUENCE_AND_MODULUS)
        .and_then(|rest| rest.split_at_checked(256))
        .and_then(|(modulus, rest)| Some((modulus, rest.strip_prefix(&EXPONENT)?)));
    parts.expect("a fresh 2048-bit key with the exponent 65537")
}
