//! Bodies that are looked into on their way to a private application: what they are, how a part of
//! one is replaced without touching the rest, and why one is refused.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::error::Reason;

/// Longest body that is looked into. Whoever reads it has a bound of its own; this one holds whatever
/// that is.
pub const BODY_MAX: usize = 16 * 1024 * 1024;

/// Why a request goes no further. The detail is one fixed sentence for the problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Denied {
    pub reason: Reason,
    pub detail: &'static str,
    /// Where it says more than the reason.
    pub status: Option<StatusCode>,
}

impl Denied {
    pub(super) fn new(reason: Reason, detail: &'static str) -> Denied {
        Denied {
            reason,
            detail,
            status: None,
        }
    }

    /// 400
    pub(super) fn bad(detail: &'static str) -> Denied {
        Denied::new(Reason::BadRequest, detail)
    }
}

/// 415
pub(super) const fn unsupported(detail: &'static str) -> Denied {
    Denied {
        reason: Reason::BadRequest,
        detail,
        status: Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// The type is one in which fields cannot be found.
pub(super) const UNSUPPORTED: Denied =
    unsupported("the body must be application/json or application/x-www-form-urlencoded, in UTF-8");

/// A body that can be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Json(&'a str),
    Form(&'a str),
    /// `text/plain`
    Text(&'a str),
    /// There is none; the kind is what it would be.
    Empty(Option<Kind>),
}

/// What a body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Form,
    Text,
}

/// Judges what a body is, as every application would: one `Content-Type`, in UTF-8, uncompressed.
///
/// `application/…+json` is none of these: such formats may name fields in values, as JSON Patch and
/// SCIM do.
pub(super) fn look<'a>(headers: &HeaderMap, bytes: &'a Bytes) -> Result<Body<'a>, Denied> {
    let kind = kind(headers);
    if bytes.is_empty() {
        return Ok(Body::Empty(kind.unwrap_or(None)));
    }
    let kind = kind?;
    if bytes.len() > BODY_MAX {
        let detail = "the body exceeds 16 MiB";
        return Err(Denied::new(Reason::TooLarge, detail));
    }
    let Some(kind) = kind else {
        return Err(unsupported("a body needs a Content-Type"));
    };
    let coded = headers.get_all(CONTENT_ENCODING).iter();
    if coded
        .into_iter()
        .any(|coding| !coding.is_empty() && coding != "identity")
    {
        return Err(unsupported("the body must have no Content-Encoding"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Denied::bad("the body is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(Denied::bad("the body begins with a byte order mark"));
    }
    Ok(match kind {
        Kind::Json => Body::Json(text),
        Kind::Form => Body::Form(text),
        Kind::Text => Body::Text(text),
    })
}

/// What the headers say a body is; `None`: they do not say.
fn kind(headers: &HeaderMap) -> Result<Option<Kind>, Denied> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Denied::bad("Content-Type stands twice"));
    }
    let unknown = UNSUPPORTED;
    let mut parts = value.to_str().map_err(|_| unknown)?.split(';');
    let name = parts.next().unwrap_or_default().trim_ascii();
    let kind = match name.to_ascii_lowercase().as_str() {
        "application/json" => Kind::Json,
        "application/x-www-form-urlencoded" => Kind::Form,
        "text/plain" => Kind::Text,
        _ => return Err(unknown),
    };
    let mut seen = false;
    for parameter in parts {
        let (name, value) = parameter.split_once('=').ok_or(unknown)?;
        let value = value.trim_ascii();
        let plain = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        let utf8 = plain.unwrap_or(value).eq_ignore_ascii_case("utf-8");
        let charset = name.trim_ascii().eq_ignore_ascii_case("charset");
        if !charset || !utf8 || seen {
            return Err(unknown);
        }
        seen = true;
    }
    Ok(Some(kind))
}

/// Parts of a text that are replaced, in the order in which they lie there.
#[derive(Default)]
pub(super) struct Splices {
    parts: Vec<(Range<usize>, String)>,
}

/// What is put in is nobody's business, and what is taken out even less.
impl fmt::Debug for Splices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Splices({})", self.parts.len())
    }
}

impl Splices {
    /// `with` is to stand for what lies in `at`, which begins at or behind the end of the one before.
    pub(super) fn push(&mut self, at: Range<usize>, with: String) {
        debug_assert!(
            self.parts
                .last()
                .is_none_or(|(last, _)| last.end <= at.start)
        );
        self.parts.push((at, with));
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The text with its parts replaced.
    pub(super) fn apply(&self, text: &str) -> String {
        let more: usize = self.parts.iter().map(|(_, with)| with.len()).sum();
        let mut out = String::with_capacity(text.len() + more);
        let mut from = 0;
        for (at, with) in &self.parts {
            out.push_str(&text[from..at.start]);
            out.push_str(with);
            from = at.end;
        }
        out.push_str(&text[from..]);
        out
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use http::HeaderValue;

    pub(in crate::bot) fn typed(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        headers
    }

    #[test]
    fn c14_what_a_body_is_has_one_answer() {
        let body = Bytes::from_static(b"{}");
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert_eq!(look(&typed(good), &body), Ok(Body::Json("{}")), "{good}");
        }
        for bad in [
            "",
            "text/html",
            "multipart/form-data; boundary=x",
            "application/json-patch+json",
            "application/vnd.api+json",
            "application/json; charset=utf-16",
            "application/json; charset=utf-7",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; boundary=x",
            "application/json;",
            "application/json, application/x-www-form-urlencoded",
            "application/xml",
            "application/graphql",
        ] {
            let denied = look(&typed(bad), &body).unwrap_err();
            assert_eq!(
                denied.status,
                Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
                "{bad}"
            );
        }
        let denied = look(&HeaderMap::new(), &body).unwrap_err();
        assert_eq!(denied.status, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        let mut twice = typed("application/json");
        twice.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert_eq!(look(&twice, &body).unwrap_err().reason, Reason::BadRequest);
        for coding in ["gzip", "identity, gzip", "br"] {
            let mut headers = typed("application/json");
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(coding));
            let denied = look(&headers, &body).unwrap_err();
            assert_eq!(denied.status, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
    }

    #[test]
    fn c14_a_body_that_is_not_plain_utf_8_is_refused() {
        let json = typed("application/json");
        for body in [
            &b"\xef\xbb\xbf{}"[..],
            b"\xff\xfe{\0}\0",
            b"{\"engineer\xc1\x9fid\":1}",
            b"{\"a\":\"\xed\xa0\x80\"}",
        ] {
            assert!(look(&json, &Bytes::from_static(body)).is_err(), "{body:?}");
        }
        assert_eq!(
            look(&HeaderMap::new(), &Bytes::new()),
            Ok(Body::Empty(None))
        );
        let large = Bytes::from(vec![b' '; BODY_MAX + 1]);
        assert_eq!(look(&json, &large).unwrap_err().reason, Reason::TooLarge);
    }
}
