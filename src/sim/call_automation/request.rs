//! Judges the form of a request, more strictly than the service does.
//!
//! Owns routes, versions, headers and the shape of bodies. Refuses to know calls.

use super::answer::Answer;
use super::credential::{Covered, Shown, Trust, one};
use super::date;
use super::record::Violation;
use super::schema::{self, Member};
use http::{HeaderMap, Method, Uri};
use serde_json::Value;

/// The versions of the REST interface that there are.
pub const VERSIONS: [&str; 7] = [
    "2023-03-06",
    "2023-10-15",
    "2024-04-15",
    "2024-09-15",
    "2025-05-15",
    "2025-06-15",
    "2026-03-12",
];

const ROOT: &str = "/calling/callConnections";

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Answer,
    Redirect,
    Reject,
    Get,
    HangUp,
    Terminate,
    StartMedia,
    StopMedia,
    StartDtmf,
    StopDtmf,
}

impl Operation {
    /// As a printed line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Answer => "answer",
            Self::Redirect => "redirect",
            Self::Reject => "reject",
            Self::Get => "get",
            Self::HangUp => "hang up",
            Self::Terminate => "terminate",
            Self::StartMedia => "start media streaming",
            Self::StopMedia => "stop media streaming",
            Self::StartDtmf => "start continuous dtmf recognition",
            Self::StopDtmf => "stop continuous dtmf recognition",
        }
    }

    fn at(method: &Method, path: &str) -> Result<(Self, Option<String>), Violation> {
        let rest = path.strip_prefix(ROOT).ok_or(Violation::Path)?;
        let (operation, id, expected) = match rest {
            "" => (Self::Create, None, Method::POST),
            ":answer" => (Self::Answer, None, Method::POST),
            ":redirect" => (Self::Redirect, None, Method::POST),
            ":reject" => (Self::Reject, None, Method::POST),
            rest => {
                let rest = rest.strip_prefix('/').ok_or(Violation::Path)?;
                let (id, action) = rest.split_once(':').unwrap_or((rest, ""));
                if id.is_empty() || id.contains('/') {
                    return Err(Violation::Path);
                }
                let (operation, expected) = match action {
                    "" if method == Method::DELETE => (Self::HangUp, Method::DELETE),
                    "" => (Self::Get, Method::GET),
                    "terminate" => (Self::Terminate, Method::POST),
                    "startMediaStreaming" => (Self::StartMedia, Method::POST),
                    "stopMediaStreaming" => (Self::StopMedia, Method::POST),
                    "startContinuousDtmfRecognition" => (Self::StartDtmf, Method::POST),
                    "stopContinuousDtmfRecognition" => (Self::StopDtmf, Method::POST),
                    _ => return Err(Violation::Path),
                };
                (operation, Some(id.to_owned()), expected)
            }
        };
        if method != expected {
            return Err(Violation::Method);
        }
        Ok((operation, id))
    }

    fn members(self) -> Option<&'static [Member]> {
        match self {
            Self::Create => Some(schema::CREATE),
            Self::Answer => Some(schema::ANSWER),
            Self::Redirect => Some(schema::REDIRECT),
            Self::Reject => Some(schema::REJECT),
            Self::StartMedia | Self::StopMedia => Some(schema::STREAMING),
            Self::StartDtmf => Some(schema::START_DTMF),
            Self::StopDtmf => Some(schema::STOP_DTMF),
            Self::Get | Self::HangUp | Self::Terminate => None,
        }
    }

    /// Whether Microsoft's specification has repeatability headers for it.
    fn repeatable(self) -> bool {
        match self {
            Self::Create | Self::Answer | Self::Redirect | Self::Reject | Self::Terminate => true,
            Self::Get
            | Self::HangUp
            | Self::StartMedia
            | Self::StopMedia
            | Self::StartDtmf
            | Self::StopDtmf => false,
        }
    }
}

/// A request as it came.
pub(super) struct Raw<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) tls: bool,
    /// Where the simulator listens.
    pub(super) port: u16,
}

/// A sound request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) operation: Operation,
    pub(super) connection: Option<String>,
    pub(super) shown: Shown,
    /// `Repeatability-Request-ID` and when it was first sent, seconds since 1970.
    pub(super) repeatability: Option<(String, i64)>,
    pub(super) body: Value,
}

/// What is asked for, or the rule that is broken.
pub(super) fn judge(raw: &Raw<'_>, trust: &Trust) -> Result<Ask, Violation> {
    let (operation, connection) = Operation::at(raw.method, raw.uri.path())?;
    host(raw)?;
    let target = raw
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let covered = Covered {
        method: raw.method,
        target,
        headers: raw.headers,
        body: raw.body,
        tls: raw.tls,
    };
    let shown = trust.verify(&covered).map_err(Violation::Credential)?;
    query(raw.uri.query().unwrap_or_default())?;
    let repeatability = repeatability(raw.headers, operation)?;
    Ok(Ask {
        operation,
        connection,
        shown,
        repeatability,
        body: body(raw, operation)?,
    })
}

fn host(raw: &Raw<'_>) -> Result<(), Violation> {
    let ours = [
        format!("localhost:{}", raw.port),
        format!("127.0.0.1:{}", raw.port),
        format!("[::1]:{}", raw.port),
    ];
    let host = one(raw.headers, "host").ok_or(Violation::Host)?;
    let named = ours.iter().any(|one| one.eq_ignore_ascii_case(host));
    named.then_some(()).ok_or(Violation::Host)
}

fn query(query: &str) -> Result<(), Violation> {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let [(name, value)] = &pairs[..] else {
        return Err(Violation::Query("one api-version, and nothing else"));
    };
    if name != "api-version" {
        return Err(Violation::Query("one api-version, and nothing else"));
    }
    if !VERSIONS.contains(&&**value) {
        return Err(Violation::Query("no such api-version"));
    }
    Ok(())
}

/// OASIS "Repeatable Requests" 1.0: both headers or none.
fn repeatability(
    headers: &HeaderMap,
    operation: Operation,
) -> Result<Option<(String, i64)>, Violation> {
    let names = ["repeatability-request-id", "repeatability-first-sent"];
    let [id, first] = names.map(|name| headers.contains_key(name).then(|| one(headers, name)));
    let wrong = |what| Err(Violation::Repeatability(what));
    match (id, first) {
        (None, None) => Ok(None),
        (None, Some(_)) => wrong("a first date without an id"),
        (Some(_), None) => wrong("an id without a first date"),
        (Some(id), Some(first)) => {
            if !operation.repeatable() {
                return wrong("the operation has no such headers");
            }
            let Some(id) = id.filter(|id| is_guid(id)) else {
                return wrong("the id is no GUID");
            };
            let Some(first) = first.and_then(date::read) else {
                return wrong("the first date has another form");
            };
            Ok(Some((id.to_ascii_lowercase(), first)))
        }
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn body(raw: &Raw<'_>, operation: Operation) -> Result<Value, Violation> {
    let Some(members) = operation.members() else {
        if !raw.body.is_empty() {
            return Err(Violation::Content("a body where none may be"));
        }
        return Ok(Value::Null);
    };
    let kind = one(raw.headers, "content-type").unwrap_or_default();
    let mut parts = kind.split(';').map(str::trim);
    let json = parts.next() == Some("application/json");
    if !json || !parts.all(|part| part.eq_ignore_ascii_case("charset=utf-8")) {
        return Err(Violation::Content("the content type is not JSON's"));
    }
    let body: Value =
        serde_json::from_slice(raw.body).map_err(|_| Violation::Content("the body is no JSON"))?;
    schema::check(&body, members).map_err(Violation::Body)?;
    Ok(body)
}

impl Violation {
    /// How it is refused. The codes of 401 and of calls that are not there are ACS'; the others
    /// are ours, as the service documents none.
    pub(super) fn answer(&self) -> Answer {
        let bad = |code, message: &str| Answer::refusal(400, code, message);
        match self {
            Self::Path => Answer::refusal(404, "NotFound", "nothing is here"),
            Self::Method => Answer::refusal(405, "MethodNotAllowed", "the method is not allowed"),
            Self::Host => bad("BadHost", "the host is another one"),
            Self::Query(what) => bad("UnsupportedApiVersionValue", what),
            Self::Credential(what) => Answer::refusal(401, "Denied", what),
            Self::Repeatability(what) => {
                bad("BadRepeatability", what).with("Repeatability-Result", "rejected")
            }
            Self::Content(what) => bad("BadRequest", what),
            Self::Body(fault) => bad("BadRequest", &format!("{}: {}", fault.member, fault.what)),
            Self::State(what) => bad("8501", what),
        }
    }
}
