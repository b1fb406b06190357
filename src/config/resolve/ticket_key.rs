//! `[[tickets.keys]]`: keys that sign tickets, each for one algorithm.

use std::path::Path;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use zeroize::Zeroizing;

use super::Problems;
use crate::config::TicketKey;
use crate::config::file;
use crate::secret::Digest;

/// RFC 7518, section 3.2: a key of HS256 is no shorter than its hash.
const SECRET_MIN: usize = 32;
/// An RSA key of 2048 bits as SubjectPublicKeyInfo, in bytes; one of 1024 has 162.
const RSA_MIN: usize = 290;
/// Of its modulus alone.
const MODULUS_MIN: usize = 256;
/// Bytes of a key file that are looked at: the longest keys have a few KiB.
const FILE_MAX: usize = 64 * 1024;

/// A key, and what tells it from others; what is wrong with it is told.
pub(super) fn key(
    at: &str,
    written: &file::TicketKey,
    problems: &mut Problems,
) -> Option<(TicketKey, Digest)> {
    let id = problems.label(at, &written.id);
    let issuer = written.issuer.as_deref().unwrap_or("tickets");
    let issuer = problems.label(&format!("{at}.issuer"), issuer);
    let algorithm = match written.algorithm.as_deref() {
        Some("HS256") => Algorithm::HS256,
        Some("ES256") => Algorithm::ES256,
        Some("EdDSA") => Algorithm::EdDSA,
        Some("RS256") => Algorithm::RS256,
        Some(_) | None => {
            let what = "must be \"HS256\" (with a secret), \"ES256\", \"EdDSA\" or \"RS256\"";
            problems.add(format!("{at}.algorithm"), what);
            return None;
        }
    };
    let given = [
        written.secret.is_some(),
        written.secret_file.is_some(),
        written.public_key.is_some(),
        written.private_key.is_some(),
    ];
    if given.iter().filter(|is| **is).count() != 1 {
        let what = "must have one of secret, secret_file, public_key and private_key";
        problems.add(at, what);
        return None;
    }
    if written.own && written.public_key.is_some() {
        let what = "the edge's own key must be one that signs: secret, secret_file or private_key";
        problems.add(format!("{at}.own"), what);
    }
    if !written.own && written.private_key.is_some() {
        let what = "has a use with own = true only: of others' keys public_key is enough";
        problems.add(format!("{at}.private_key"), what);
    }
    let symmetric = written.secret.is_some() || written.secret_file.is_some();
    if symmetric != (algorithm == Algorithm::HS256) {
        let what = "a secret is for HS256, and HS256 for a secret: whoever has a public key could \
                    sign with it else";
        problems.add(format!("{at}.algorithm"), what);
        return None;
    }
    let (verifier, signer, print) = match (&written.public_key, &written.private_key) {
        (Some(path), _) => {
            let (key, print) = public(&format!("{at}.public_key"), path, algorithm, problems)?;
            (key, None, print)
        }
        (None, Some(path)) => private(&format!("{at}.private_key"), path, algorithm, problems)?,
        (None, None) => secret(at, written, problems)?,
    };
    let key = TicketKey {
        id: id?,
        issuer: issuer?,
        algorithm,
        verifier,
        signer,
        own: written.own,
    };
    Some((key, print))
}

/// What verifies, what signs if it is there, and what tells the key from others.
type Pair = (DecodingKey, Option<EncodingKey>, Digest);

/// The text as it is, but for line ends behind it, which editors and shells add.
fn secret(at: &str, written: &file::TicketKey, problems: &mut Problems) -> Option<Pair> {
    let (at, text) = match (&written.secret, &written.secret_file) {
        (Some(text), _) => (format!("{at}.secret"), text.clone()),
        (None, path) => {
            let at = format!("{at}.secret_file");
            let text = problems.read(&at, path.as_ref()?)?;
            (at, text)
        }
    };
    let text = Zeroizing::new(text);
    let secret = text.trim_end_matches(['\r', '\n']).as_bytes();
    let first = secret.first();
    if secret.len() < SECRET_MIN || secret.iter().all(|byte| Some(byte) == first) {
        let what = "must be at least 32 random bytes, such as `openssl rand -base64 48` prints";
        problems.add(at, what);
        return None;
    }
    Some((
        DecodingKey::from_secret(secret),
        Some(EncodingKey::from_secret(secret)),
        Digest::of_bytes(secret),
    ))
}

fn public(
    at: &str,
    path: &Path,
    algorithm: Algorithm,
    problems: &mut Problems,
) -> Option<(DecodingKey, Digest)> {
    let text = problems.read(at, path)?;
    let key = match text.trim_start().starts_with('{') {
        true => of_jwk(&text, algorithm),
        false => pem(&text, "PUBLIC KEY").and_then(|der| of_der(&der, algorithm)),
    };
    if key.is_none() {
        let what = format!(
            "is no public key for {algorithm:?}: PEM (PUBLIC KEY) or a JWK; ES256 takes P-256, EdDSA \
             Ed25519, RS256 2048 bits or more"
        );
        problems.add(at, what);
    }
    key
}

fn of_der(der: &[u8], algorithm: Algorithm) -> Option<(DecodingKey, Digest)> {
    let key = match algorithm {
        Algorithm::ES256 => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der).ok()?;
            DecodingKey::from_ec_der(der)
        }
        Algorithm::EdDSA => {
            ParsedPublicKey::new(&ED25519, der).ok()?;
            DecodingKey::from_ed_der(der)
        }
        Algorithm::RS256 => {
            (der.len() >= RSA_MIN).then_some(())?;
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok()?;
            DecodingKey::from_rsa_der(der)
        }
        // The settings name no others.
        Algorithm::HS256
        | Algorithm::HS384
        | Algorithm::HS512
        | Algorithm::ES384
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | _ => return None,
    };
    Some((key, Digest::of_bytes(der)))
}

/// A key by itself, as RFC 7517 writes it. What it says of its use must allow this one.
fn of_jwk(text: &str, algorithm: Algorithm) -> Option<(DecodingKey, Digest)> {
    let jwk: Jwk = serde_json::from_str(text).ok()?;
    let fits = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => {
            curve.curve == EllipticCurve::P256
        }
        (AlgorithmParameters::OctetKeyPair(pair), Algorithm::EdDSA) => {
            pair.curve == EllipticCurve::Ed25519
        }
        (AlgorithmParameters::RSA(rsa), Algorithm::RS256) => {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            modulus.iter().skip_while(|byte| **byte == 0).count() >= MODULUS_MIN
        }
        _ => false,
    };
    let named = match jwk.common.key_algorithm {
        None => true,
        Some(name) => Algorithm::try_from(name).is_ok_and(|named| named == algorithm),
    };
    let print = serde_json::to_string(&jwk.algorithm).ok()?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (fits && named).then(|| (key, Digest::of(&print)))
}

fn private(at: &str, path: &Path, algorithm: Algorithm, problems: &mut Problems) -> Option<Pair> {
    let text = Zeroizing::new(problems.read(at, path)?);
    let pair = pem(&text, "PRIVATE KEY").and_then(|der| {
        let (public, sign) = match algorithm {
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).ok()?;
                (
                    pair.public_key().as_ref().to_vec(),
                    EncodingKey::from_ec_der(&der),
                )
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8(&der).ok()?;
                (
                    pair.public_key().as_ref().to_vec(),
                    EncodingKey::from_ed_der(&der),
                )
            }
            Algorithm::HS256
            | Algorithm::HS384
            | Algorithm::HS512
            | Algorithm::ES384
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | Algorithm::RS256
            | _ => return None,
        };
        let (verify, print) = of_der(&public, algorithm)?;
        Some((verify, Some(sign), print))
    });
    if pair.is_none() {
        let what = format!(
            "is no private key for {algorithm:?}: PEM (PRIVATE KEY, which is PKCS#8), P-256 for ES256 \
             or Ed25519 for EdDSA"
        );
        problems.add(at, what);
    }
    pair
}

/// The only block of this name (RFC 7468).
fn pem(text: &str, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (begin, end) = (
        format!("-----BEGIN {name}-----"),
        format!("-----END {name}-----"),
    );
    let text = text.get(..FILE_MAX).unwrap_or(text);
    let (_, rest) = text.split_once(&begin)?;
    let (body, after) = rest.split_once(&end)?;
    if after.contains(&begin) {
        return None;
    }
    let body = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
    BASE64_STANDARD
        .decode(body.as_bytes())
        .ok()
        .map(Zeroizing::new)
}
