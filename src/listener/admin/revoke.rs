//! What an operator takes back through the admin listener, and what is taken back.

use std::time::{Duration, SystemTime};

use http::{Response, StatusCode, request};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Body, document, ok, wrong};
use crate::listener::doors::Doors;
use crate::session::Lifted;
use crate::store::{Lodged, NAME_MAX, Target, USUAL, Unavailable};

/// An order is one name and a duration.
const BODY_MAX: usize = 4 * NAME_MAX;
/// Who is to be shut out for good is better taken out of the settings, or out of the issuer.
const FOR_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// What is written by an operator: one of the names, and for how long.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    session: Option<String>,
    subject: Option<String>,
    tenant: Option<String>,
    key: Option<String>,
    certificate: Option<String>,
    call: Option<String>,
    credential: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

/// `POST /revoke`
pub(super) async fn revoke(doors: &Doors, head: &request::Parts, body: Incoming) -> Response<Body> {
    match named(head, body).await {
        Ok((target, lasts)) => take_back(doors, target, lasts.unwrap_or(USUAL)).await,
        Err(wrong) => *wrong,
    }
}

/// `POST /lift`
pub(super) async fn lift(doors: &Doors, head: &request::Parts, body: Incoming) -> Response<Body> {
    match named(head, body).await {
        Ok((_, Some(_))) => {
            let detail = "for: what is lifted is lifted for good";
            wrong(StatusCode::BAD_REQUEST, detail)
        }
        Ok((target, None)) => let_in(doors, target).await,
        Err(wrong) => *wrong,
    }
}

async fn named(
    head: &request::Parts,
    body: Incoming,
) -> Result<(Target, Option<Duration>), Box<Response<Body>>> {
    let body = answer::read(head, body, BODY_MAX).await?;
    read(&body).map_err(|detail| Box::new(wrong(StatusCode::BAD_REQUEST, detail)))
}

/// What is named, and for how long if that is said. The error names the field.
fn read(body: &[u8]) -> Result<(Target, Option<Duration>), String> {
    let written: Written = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let named = [
        ("session", written.session),
        ("subject", written.subject),
        ("tenant", written.tenant),
        ("key", written.key),
        ("certificate", written.certificate),
        ("call", written.call),
        ("credential", written.credential),
    ];
    let mut named = named
        .into_iter()
        .filter_map(|(kind, name)| Some((kind, name?)));
    let kinds = Target::KINDS.join(", ");
    let (kind, name) = named
        .next()
        .ok_or(format!("one of {kinds} must be named"))?;
    if let Some((other, _)) = named.next() {
        return Err(format!("{kind}, {other}: only one of {kinds} may be named"));
    }
    let target = Target::read(kind, &name).ok_or(format!("{kind}: {}", grammar(kind)))?;
    let lasts = written.lasts.map(|text| {
        let lasts = humantime::parse_duration(&text).ok();
        let fits = |lasts: &Duration| *lasts >= Duration::from_secs(1) && *lasts <= FOR_MAX;
        lasts
            .filter(fits)
            .ok_or("for: must be at least 1s and at most 366 days, like 24h")
    });
    Ok((target, lasts.transpose()?))
}

/// What a name of this kind is.
fn grammar(kind: &str) -> &'static str {
    match kind {
        "session" => "must be 24 hexadecimal digits, as logs show them",
        "subject" => "must be 1 to 1024 bytes, as logs show it: issuer:tenant/name",
        "tenant" => "must be 1 to 1024 bytes",
        "call" => "must be 1 to 64 characters of a-z A-Z 0-9 _ -",
        "credential" => "must be 64 hexadecimal digits: the SHA-256 of a token before its last dot",
        _ => "must be the name that the settings give it",
    }
}

async fn take_back(doors: &Doors, target: Target, lasts: Duration) -> Response<Body> {
    let until = SystemTime::now() + lasts;
    let named = (target.kind(), target.name());
    let revoked = doors.orders.revoke(target, until).await;
    let mut told = json!({
        "kind": named.0,
        "name": named.1,
        "until": time(until),
        "ended_here": revoked.ended,
        "written": revoked.written == Ok(Lodged::Written),
    });
    if let Some(why) = unwritten(revoked.written) {
        told["detail"] = json!(format!(
            "{why}: only this edge knows, and goes on trying to tell the others"
        ));
        return document(StatusCode::SERVICE_UNAVAILABLE, &told);
    }
    ok(&told)
}

async fn let_in(doors: &Doors, target: Target) -> Response<Body> {
    let mut told = json!({"kind": target.kind(), "name": target.name()});
    match doors.orders.lift(target).await {
        Lifted::Done => ok(&told),
        Lifted::Unknown => {
            told["detail"] = json!("nothing of that name is taken back");
            document(StatusCode::NOT_FOUND, &told)
        }
        Lifted::NotWritten(written) => {
            let why = unwritten(written).unwrap_or_default();
            told["detail"] = json!(format!("{why}: nothing was lifted"));
            document(StatusCode::SERVICE_UNAVAILABLE, &told)
        }
    }
}

/// Why other edges do not know.
fn unwritten(written: Result<Lodged, Unavailable>) -> Option<String> {
    match written {
        Ok(Lodged::Written) => None,
        Ok(Lodged::Full) => Some("too many orders are in force".to_owned()),
        Err(unavailable) => Some(unavailable.to_string()),
    }
}

/// `GET /revocations`
pub(super) fn list(doors: &Doors) -> Response<Body> {
    let mut all = doors.orders.revocations().list();
    all.sort_by_key(|(_, until)| *until);
    let all = all.iter();
    let all: Vec<Value> = all
        .map(|(target, until)| {
            json!({"kind": target.kind(), "name": target.name(), "until": time(*until)})
        })
        .collect();
    ok(&json!({"revocations": all}))
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a35_an_order_is_read_or_its_mistake_is_named() {
        let hour = Duration::from_secs(3600);
        let good = [
            (r#"{"subject": "users:t/anna"}"#, "subject", None),
            (r#"{"key": "kiosk", "for": "1h"}"#, "key", Some(hour)),
            (r#"{"for": "60m", "call": "7f0c"}"#, "call", Some(hour)),
            (r#"{"tenant": "T", "key": null}"#, "tenant", None),
        ];
        for (text, kind, lasts) in good {
            let (target, said) = read(text.as_bytes()).unwrap();
            assert_eq!((target.kind(), said), (kind, lasts), "{text}");
        }
        let long = format!(r#"{{"subject": "{}"}}"#, "x".repeat(NAME_MAX + 1));
        let bad = [
            ("", "EOF"),
            ("[]", "expected"),
            ("{}", "one of session, subject"),
            (r#"{"for": "1h"}"#, "one of session, subject"),
            (r#"{"sbuject": "a"}"#, "sbuject"),
            (r#"{"subject": 1}"#, "expected a string"),
            (
                r#"{"subject": "a", "subject": "b"}"#,
                "duplicate field `subject`",
            ),
            (r#"{"subject": "a", "key": "b"}"#, "subject, key:"),
            (r#"{"subject": ""}"#, "subject:"),
            (&long, "subject:"),
            (r#"{"session": "7f0c"}"#, "session:"),
            (r#"{"key": "a b"}"#, "key:"),
            (r#"{"call": "a/b"}"#, "call:"),
            (r#"{"credential": "7f"}"#, "credential:"),
            (r#"{"key": "a", "for": "0s"}"#, "for:"),
            (r#"{"key": "a", "for": "367d"}"#, "for:"),
            (r#"{"key": "a", "for": "soon"}"#, "for:"),
            (r#"{"key": "a"} x"#, "trailing"),
        ];
        for (text, named) in bad {
            let told = read(text.as_bytes()).unwrap_err();
            assert!(told.contains(named), "{text}: {told}");
        }
    }
}
