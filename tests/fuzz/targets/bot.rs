//! Activities of a bot, and what becomes of bodies on their way to the application: an activity is read as
//! another parser reads it, a rewrite leaves every byte but the named ones, and a filter of personal data
//! changes texts and nothing else.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use tonegate::bot::pii::Filter;
use tonegate::bot::rewrite::{Rewrite, Values};
use tonegate::config::pii::{Pii, PiiKind};
use tonegate::config::rewrite::{Becomes, Field, FieldName};
use tonegate::wire::activity;

/// The first byte says what is done with the rest.
pub fn run(data: &[u8]) {
    let Some((what, body)) = data.split_first() else {
        return;
    };
    match what % 4 {
        0 => read(body),
        1 => rewrite(body),
        2 => filter(body),
        _ => filter_line(body),
    }
}

fn json() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers
}

fn read(body: &[u8]) {
    let Ok(activity) = activity::read(body) else {
        return;
    };
    let other: Value = serde_json::from_slice(body).expect("what is taken is JSON");
    assert_eq!(other["channelId"].as_str(), Some(&*activity.channel));
    assert_eq!(other["serviceUrl"].as_str(), Some(&*activity.service_url));
    assert_eq!(
        other["conversation"]["id"].as_str(),
        Some(&*activity.conversation)
    );
    assert_eq!(other["from"]["id"].as_str(), activity.from.as_deref());
    let user = activity.user.as_ref().map(|user| user.as_str());
    let said = other["from"]["aadObjectId"].as_str();
    assert!(user.is_none() || said.is_some_and(|said| Some(&*said.to_ascii_lowercase()) == user));
    let tenants = [
        (
            &activity.conversation_tenant,
            &other["conversation"]["tenantId"],
        ),
        (
            &activity.channel_tenant,
            &other["channelData"]["tenant"]["id"],
        ),
    ];
    for (ours, theirs) in tenants {
        let ours = ours.as_ref().map(|tenant| tenant.as_str());
        let theirs = theirs.as_str().map(str::to_ascii_lowercase);
        assert!(ours.is_none() || ours == theirs.as_deref());
    }
}

fn rewriter() -> &'static Rewrite {
    static REWRITE: OnceLock<Rewrite> = OnceLock::new();
    REWRITE.get_or_init(|| {
        Rewrite::new(&tonegate::config::rewrite::Rewrite {
            fields: vec![Field {
                name: FieldName::new("engineer_id").expect("a name"),
                becomes: Becomes::Stripped,
            }],
            ..Default::default()
        })
    })
}

/// A member is named, or so nearly that it is nobody's to say: what letters it has.
fn is_named(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    letters.to_lowercase().contains("ngineer")
}

/// Without what is named, at any depth.
fn without(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .filter(|(name, _)| !is_named(name))
            .map(|(name, value)| (name.clone(), without(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn names_exactly(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("engineer_id")
                || name.eq_ignore_ascii_case("engineerId")
                || names_exactly(value)
        }),
        Value::Array(items) => items.iter().any(names_exactly),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn rewrite(body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    let Ok(after) = rewriter().body(&json(), body.clone(), &Values::default()) else {
        return;
    };
    if body.is_empty() {
        return;
    }
    // What is taken out leaves the rest in its order.
    let mut rest = body.iter();
    assert!(
        after.iter().all(|byte| rest.any(|of| of == byte)),
        "a byte that was not there"
    );
    let (Ok(was), Ok(is)) = (
        serde_json::from_slice::<Value>(&body),
        serde_json::from_slice::<Value>(&after),
    ) else {
        // Halves of surrogate pairs are JSON, and no text of Rust's.
        return;
    };
    assert!(!names_exactly(&is), "an identity of the caller's goes on");
    assert_eq!(without(&was), without(&is), "what is not named has changed");
    if was == is && without(&was) == was {
        assert_eq!(body, after, "what is not named is not as it was written");
    }
    let again = rewriter().body(&json(), after.clone(), &Values::default());
    assert_eq!(
        again.expect("it was let through"),
        after,
        "there is more to take out"
    );
}

fn filters() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| {
        Filter::new(&Pii {
            kinds: PiiKind::ALL.to_vec(),
            ..Pii::default()
        })
    })
}

fn filter(body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    let Ok(filtered) = filters().body(&json(), body.clone()) else {
        return;
    };
    assert_eq!(filtered.replaced == 0, filtered.body == body);
    let values = [&body, &filtered.body].map(|body| serde_json::from_slice::<Value>(body));
    if let [Ok(was), Ok(is)] = &values {
        same_but_for_texts(was, is);
    }
    let again = filters()
        .body(&json(), filtered.body.clone())
        .expect("it was let through");
    assert_eq!(again.body, filtered.body, "there is more to take out");
}

fn same_but_for_texts(was: &Value, is: &Value) {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            assert!(was.keys().eq(is.keys()));
            was.values()
                .zip(is.values())
                .for_each(|(was, is)| same_but_for_texts(was, is));
        }
        (Value::Array(was), Value::Array(is)) => {
            assert_eq!(was.len(), is.len());
            was.iter()
                .zip(is)
                .for_each(|(was, is)| same_but_for_texts(was, is));
        }
        (Value::String(was), Value::String(is)) => {
            assert!(was == is || is.contains('['), "{was} {is}")
        }
        (was, is) => assert_eq!(was, is),
    }
}

fn filter_line(line: &[u8]) {
    let Ok(text) = std::str::from_utf8(line) else {
        return;
    };
    let once = filters().text(text);
    assert_eq!(filters().text(&once), once, "there is more to take out");
    if let Some(line) = filters().line(text)
        && serde_json::from_str::<Value>(text).is_ok()
    {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}
