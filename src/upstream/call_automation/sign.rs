//! The signature of a request with the resource's access key: HMAC-SHA256 over the method, the
//! target, the date, the host and the digest of the body.
//!
//! "Sign an HTTP request" of the documentation of Azure Communication Services. Pure: the date is an
//! argument.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, Method, header};

use crate::secret::Secret;
use crate::upstream::credential::sensitive;

/// An access key, ready to sign.
pub(super) struct Key(hmac::Key);

/// What is signed.
pub(super) struct Signed<'a> {
    pub(super) method: &'a Method,
    /// Path and query, as they are sent.
    pub(super) target: &'a str,
    /// As in the `Host` header: with a port that is not the usual one.
    pub(super) host: &'a str,
    /// RFC 9110, section 5.6.7.
    pub(super) date: &'a str,
    pub(super) body: &'a [u8],
}

impl Key {
    /// `text` is base64, as the portal shows it.
    pub(super) fn new(text: &Secret) -> Option<Key> {
        let bytes = BASE64_STANDARD.decode(text.expose()).ok()?;
        let bytes = zeroize::Zeroizing::new(bytes);
        Some(Key(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The headers that carry the signature.
    pub(super) fn headers(&self, signed: &Signed<'_>) -> Option<[(HeaderName, HeaderValue); 3]> {
        let digest = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, signed.body));
        let Signed {
            method,
            target,
            host,
            date,
            ..
        } = signed;
        let text = format!("{method}\n{target}\n{date};{host};{digest}");
        let signature = BASE64_STANDARD.encode(hmac::sign(&self.0, text.as_bytes()));
        let credential = format!(
            "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"
        );
        Some([
            (DATE, HeaderValue::try_from(*date).ok()?),
            (DIGEST, HeaderValue::try_from(digest).ok()?),
            (header::AUTHORIZATION, sensitive(&credential)?),
        ])
    }
}

const DATE: HeaderName = HeaderName::from_static("x-ms-date");
const DIGEST: HeaderName = HeaderName::from_static("x-ms-content-sha256");

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "c2VjcmV0IGFjY2VzcyBrZXkgb2YgYSB0ZXN0IHJlc291cmNl";
    const DATE: &str = "Thu, 26 Nov 2026 04:30:00 GMT";

    /// Digest and signature.
    fn sign(target: &str, host: &str, body: &str) -> (String, String) {
        let key = Key::new(&Secret::new(KEY.to_owned())).unwrap();
        let signed = Signed {
            method: &Method::POST,
            target,
            host,
            date: DATE,
            body: body.as_bytes(),
        };
        let [date, digest, credential] = key.headers(&signed).unwrap();
        assert_eq!(
            (date.0.as_str(), date.1.to_str().unwrap()),
            ("x-ms-date", DATE)
        );
        assert_eq!(digest.0, "x-ms-content-sha256");
        assert!(credential.1.is_sensitive());
        let start = "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=";
        let text = credential.1.to_str().unwrap();
        (
            digest.1.to_str().unwrap().to_owned(),
            text.strip_prefix(start).unwrap().to_owned(),
        )
    }

    /// What azure-communication-callautomation 1.6.0 for Python put on the wire for the same key and
    /// clock (its transport replaced by one that prints, `get_current_utc_time` by a constant). By
    /// hand the last one is
    /// `printf 'POST\n%s\n%s;%s;%s' TARGET DATE HOST DIGEST | openssl dgst -sha256 -mac HMAC -macopt
    /// hexkey:$(base64 -d KEY | xxd -p -c 99) -binary | base64`.
    #[test]
    fn a05_signs_as_the_official_library_does() {
        let terminate = "/calling/callConnections/0800-ab:terminate?api-version=2026-03-12";
        let nothing = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let start = "/calling/callConnections/0800-ab:startMediaStreaming?api-version=2026-03-12";
        let acs = "x.communication.azure.com";
        for (target, host, body, digest, signature) in [
            (
                terminate,
                acs,
                "",
                nothing,
                "D4OGuIM5OaajuwMdK7iY2AVa+7oCbAHc4+YM38DDkDE=",
            ),
            (
                terminate,
                "127.0.0.1:8080",
                "",
                nothing,
                "Zb0swII9uUA6zJM1KwUzfLjSrgyrqYzJ15wkAMJz9QQ=",
            ),
            (
                start,
                acs,
                "{\"operationContext\": \"7f0c\"}",
                "6ee6z73eS3AwaPREBamMbg/hj02gQkS+KNGMRZfCGIg=",
                "qUZX23AVyXptVhA+EY92LmOcqGmAnucCVqejonbDvqI=",
            ),
        ] {
            let expected = (digest.to_owned(), signature.to_owned());
            assert_eq!(sign(target, host, body), expected, "{target}");
        }
    }

    #[test]
    fn a05_whatever_is_signed_changes_the_signature() {
        let (_, usual) = sign("/a?b", "h", "body");
        for (target, host, body) in [
            ("/a", "h", "body"),
            ("/a?b", "g", "body"),
            ("/a?b", "h", ""),
        ] {
            assert_ne!(sign(target, host, body).1, usual);
        }
    }
}
