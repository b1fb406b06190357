//! `POST /drain`: the edge takes no new sessions, and ends when those that run have had their time.
//!
//! It cannot be called off: clients and load balancers were told, and nobody is kept beyond what they were
//! told. A second one can only make the time shorter.

use std::time::Duration;

use http::{Response, StatusCode, request};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Body, document, read, wrong};
use crate::listener::doors::Doors;

/// `{"grace": "30s"}`
const BODY_MAX: usize = 256;
/// Whoever wants the sessions to take longer than a day wants no drain.
const GRACE_MAX: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    grace: Option<String>,
}

pub(super) async fn answer(doors: &Doors, head: &request::Parts, body: Incoming) -> Response<Body> {
    let body = match read(head, body, BODY_MAX).await {
        Ok(body) => body,
        Err(wrong) => return *wrong,
    };
    let grace = match grace(&body) {
        Ok(grace) => grace,
        Err(detail) => return wrong(StatusCode::BAD_REQUEST, detail),
    };
    let first = doors.drain.begin(grace);
    let left = doors.drain.left().unwrap_or_default();
    tracing::info!(
        left_s = left.as_secs(),
        first,
        "drain ordered by an operator"
    );
    document(
        StatusCode::ACCEPTED,
        &json!({
            "stage": doors.drain.stage().word(),
            "begun": first,
            "left_s": left.as_secs_f64().ceil() as u64,
            "sessions": doors.registry.len(),
        }),
    )
}

/// As it is written; `None`: as the settings have it. The error names the field.
fn grace(body: &[u8]) -> Result<Option<Duration>, String> {
    let written: Written = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Some(text) = written.grace else {
        return Ok(None);
    };
    let grace = humantime::parse_duration(&text).ok();
    let grace = grace.filter(|grace| *grace <= GRACE_MAX);
    grace
        .map(Some)
        .ok_or("grace: must be 0s to 24h, like 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b18_a_grace_is_read_or_its_mistake_is_named() {
        let read = |text: &str| grace(text.as_bytes());
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"grace": "0s"}"#), Ok(Some(Duration::ZERO)));
        assert_eq!(
            read(r#"{"grace": "90s"}"#),
            Ok(Some(Duration::from_secs(90)))
        );
        for (text, named) in [
            ("", "EOF"),
            (r#"{"grace": "25h"}"#, "grace:"),
            (r#"{"grace": "soon"}"#, "grace:"),
            (r#"{"grace": 30}"#, "expected a string"),
            (r#"{"garce": "30s"}"#, "garce"),
            (r#"{"grace": "1s"} x"#, "trailing"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(named), "{text}: {told}");
        }
    }
}
