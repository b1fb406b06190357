//! Fields in which requests say who somebody is: what becomes of them on the way inward, and which
//! ones say whom a request is about.
//!
//! Data, and the grammar of names; how they are found in requests is `bot/rewrite`'s.

use std::fmt;

use http::HeaderName;

/// Fields of one route, of either kind: each one is looked for in every name of every request.
pub const FIELDS_MAX: usize = 16;

/// The name of a field as the application spells it, such as `engineer_id`.
///
/// Two names are equal if they have the same letters and digits, case aside: `engineer_id`,
/// `engineerId` and `Engineer-Id` are one name, as frameworks take one for another.
#[derive(Clone)]
pub struct FieldName {
    written: Box<str>,
    folded: Box<[u8]>,
}

impl FieldName {
    /// Takes `written` if it is 2 to 64 characters of `a-z A-Z 0-9 _ -`, two of them letters or
    /// digits.
    pub fn new(written: &str) -> Option<FieldName> {
        let fits = written.len() <= 64
            && written
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let letters = written.bytes().filter(u8::is_ascii_alphanumeric);
        let folded: Box<[u8]> = letters.map(|byte| byte.to_ascii_lowercase()).collect();
        (fits && folded.len() >= 2).then(|| FieldName {
            written: written.into(),
            folded,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Its letters, in lower case, and digits.
    pub fn folded(&self) -> &[u8] {
        &self.folded
    }

    /// The header of that name: lower case, `-` for `_`.
    pub fn header(&self) -> Option<HeaderName> {
        let name = self.written.to_ascii_lowercase().replace('_', "-");
        HeaderName::from_bytes(name.as_bytes()).ok()
    }
}

impl PartialEq for FieldName {
    fn eq(&self, other: &FieldName) -> bool {
        self.folded == other.folded
    }
}

impl Eq for FieldName {}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

/// What becomes of a request's fields and headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    pub fields: Vec<Field>,
    /// Headers that go inward, beside those that say what is sent and what is taken.
    pub pass: Vec<HeaderName>,
}

/// A field that says who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: FieldName,
    pub becomes: Becomes,
}

/// What becomes of what the caller says there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It goes no further.
    Stripped,
    /// The edge's own knowledge stands there instead.
    Overwritten {
        with: Known,
        /// Where it stands even if the caller says nothing.
        add: Vec<Part>,
    },
}

/// What the edge knows of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The verified id of the user.
    User,
    Tenant,
    /// The id that the customer's own mapping has for the user.
    Mapped,
}

impl Known {
    pub const ALL: [Known; 3] = [Known::User, Known::Tenant, Known::Mapped];

    /// As the settings write it.
    pub fn word(self) -> &'static str {
        match self {
            Known::User => "user",
            Known::Tenant => "tenant",
            Known::Mapped => "mapped",
        }
    }
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Query,
    Header,
    /// The top level of a JSON object, or a form.
    Body,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Query, Part::Header, Part::Body];

    /// As the settings write it.
    pub fn word(self) -> &'static str {
        match self {
            Part::Query => "query",
            Part::Header => "header",
            Part::Body => "body",
        }
    }
}

/// Where a request says whom it is about, so that the scope of who asks can be held against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Parameters of the query, and fields of JSON and of forms.
    pub fields: Vec<FieldName>,
    pub paths: Vec<PathShape>,
    /// A request that names nobody is refused.
    pub required: bool,
}

/// A path with one segment that is an id: `/api/engineer/{id}/summary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathShape {
    pub segments: Vec<Segment>,
    /// It ends in `/*`: whatever follows belongs to it.
    pub below: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    Id,
}

impl PathShape {
    /// Reads a shape; the error says what is wrong with it.
    pub fn new(written: &str) -> Result<PathShape, &'static str> {
        let shape = "must be a path with one segment {id}, such as \"/api/engineer/{id}/summary\"";
        let path = written.strip_prefix('/').ok_or(shape)?;
        let (path, below) = match path.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let literal = |segment: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.~@".contains(&byte);
            let fits = !segment.is_empty() && segment.bytes().all(plain);
            (fits && !matches!(segment, "." | "..")).then(|| Segment::Literal(segment.to_owned()))
        };
        let segments = path.split('/').map(|segment| match segment {
            "{id}" => Some(Segment::Id),
            segment => literal(segment),
        });
        let segments: Vec<_> = segments.collect::<Option<_>>().ok_or(shape)?;
        let ids = segments.iter().filter(|segment| **segment == Segment::Id);
        if ids.count() != 1 {
            return Err(shape);
        }
        Ok(PathShape { segments, below })
    }
}

/// Headers that say how to read the message, or what is taken: they go inward as they came.
pub const PASSED: [&str; 19] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-correlation-id",
    "x-ms-client-request-id",
    "x-request-id",
];

/// Headers that never go inward, whatever the settings say: of one hop (RFC 9110, 7.6.1), of framing,
/// of who asks, of where a request is said to come from, and those that make an application take
/// a request for another one.
const NEVER: [&str; 41] = [
    "authorization",
    "cdn-loop",
    "cf-connecting-ip",
    "client-ip",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "fastly-client-ip",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "remote-user",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-api-key",
    "x-authorization",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forward-for",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-override-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-user",
];
/// The same, by how they begin.
const NEVER_PREFIXES: [&str; 12] = [
    "sec-websocket-",
    "x-amzn-oidc-",
    "x-appservice-",
    "x-arr-",
    "x-auth-request-",
    "x-azure-",
    "x-client-principal",
    "x-forwarded",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-original-",
    "x-tonegate-",
];

/// Whether a header may go inward at all. Spelled with other signs than `-` it is the same header, as
/// CGI and its heirs read it.
pub fn may_pass(name: &str) -> bool {
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || !a.is_ascii_alphanumeric() && b == b'-';
    let begins = |known: &str| {
        name.len() >= known.len() && name.bytes().zip(known.bytes()).all(|(a, b)| same(a, b))
    };
    let never = |known: &&str| name.len() == known.len() && begins(known);
    !NEVER.iter().any(never) && !NEVER_PREFIXES.iter().any(|known| begins(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_however_frameworks_spell_them() {
        let name = FieldName::new("engineer_id").unwrap();
        for same in ["engineerId", "Engineer-Id", "ENGINEERID", "_engineer__id_"] {
            assert_eq!(FieldName::new(same), Some(name.clone()), "{same}");
        }
        assert_ne!(FieldName::new("engineer_ids"), Some(name.clone()));
        assert_eq!(name.header().unwrap(), "engineer-id");
        for bad in ["", "a", "_", "a_", "a b", "é_id", "a.b", &"x".repeat(65)] {
            assert_eq!(FieldName::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_shape_has_one_id() {
        let shape = PathShape::new("/api/engineer/{id}/*").unwrap();
        assert!(shape.below);
        assert_eq!(shape.segments.len(), 3);
        assert_eq!(shape.segments[2], Segment::Id);
        for bad in [
            "",
            "/",
            "/a",
            "a/{id}",
            "/{id}/{id}",
            "/a//{id}",
            "/{ID}",
            "/a/{id}x",
            "/../{id}",
            "/a/%20/{id}",
            "/a/{id}/",
            "/*/{id}",
        ] {
            assert!(PathShape::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn c14_no_spelling_of_an_identity_header_may_pass() {
        for name in [
            "authorization",
            "Authorization",
            "cookie",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-user",
            "x-ms-client-principal",
            "x-ms-client-principal-id",
            "x_ms_client_principal_id",
            "x.ms.client.principal",
            "x-ms-token-aad-id-token",
            "X-Tonegate-User",
            "x_tonegate-user",
            "transfer_encoding",
            "x-original-url",
            "x-http-method-override",
        ] {
            assert!(!may_pass(name), "{name}");
        }
        assert!(PASSED.iter().all(|name| may_pass(name)));
        assert!(may_pass("idempotency-key") && may_pass("x-ms-version"));
        for name in NEVER.iter().chain(&PASSED) {
            assert_eq!(HeaderName::from_static(name).as_str(), *name);
        }
    }
}
