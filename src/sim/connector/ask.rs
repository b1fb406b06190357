//! Judges a message, more strictly than the connector would.
//!
//! Owns its form and its token. Refuses to know the conversations.

use super::{AUDIENCE, Desk};
use crate::sim::service::one;
use crate::sim::token;
use http::Method;
use http::request::Parts;
use serde_json::Value;

/// The largest message, as Teams has it.
const BODY_MAX: usize = 100 * 1024;

/// A sound message.
pub(super) struct Ask {
    pub(super) conversation: String,
    pub(super) answers: Option<String>,
    pub(super) body: Value,
    pub(super) token: u64,
}

/// The message, or the status and the rule that was broken.
pub(super) fn judge(desk: &Desk, head: &Parts, body: &[u8]) -> Result<Ask, (u16, &'static str)> {
    let options = &desk.options;
    if head.method != Method::POST {
        return Err((405, "only POST is allowed here"));
    }
    let here = desk.base.split_once("//").map(|(_, host)| host);
    let by_address = here.map(|host| host.replace("localhost", "127.0.0.1"));
    let host = one(head, "host");
    if host.is_none() || host != here && host != by_address.as_deref() {
        return Err((400, "one Host is needed, this one's"));
    }
    let shown = one(head, "authorization").ok_or((401, "one Authorization is needed"))?;
    let shown = shown.strip_prefix("Bearer ").ok_or((401, "no Bearer"))?;
    let claims = token::verify(&options.provider, &options.tenant, &[AUDIENCE], shown);
    let claims = claims.map_err(|why| (401, why))?;
    if claims["appid"] != options.app_id.as_str() {
        return Err((401, "no registration was found for this bot"));
    }
    if head.uri.query().is_some() {
        return Err((400, "there is a query"));
    }
    let (conversation, answers) =
        place(head.uri.path(), &options.prefix).ok_or((404, "nothing is here"))?;
    let kind = one(head, "content-type").unwrap_or_default();
    if kind.split(';').next() != Some("application/json") {
        return Err((415, "JSON is needed"));
    }
    if body.len() > BODY_MAX {
        return Err((413, "the message is too large"));
    }
    let body = serde_json::from_slice(body).map_err(|_| (400, "the body is no JSON"))?;
    addressed(&body, &conversation, answers.as_deref()).map_err(|why| (400, why))?;
    Ok(Ask {
        conversation,
        answers,
        body,
        token: claims["uti"].as_u64().unwrap_or_default(),
    })
}

/// Conversation and activity.
fn place(path: &str, prefix: &str) -> Option<(String, Option<String>)> {
    let rest = path.strip_prefix(prefix)?;
    let rest = rest.strip_prefix("/v3/conversations/")?;
    let mut steps = rest.split('/');
    let conversation = plain(steps.next()?)?;
    if steps.next() != Some("activities") {
        return None;
    }
    let answers = match steps.next() {
        Some(step) => Some(plain(step)?),
        None => None,
    };
    steps.next().is_none().then_some((conversation, answers))
}

/// A step of a path without its escapes (RFC 3986, section 2.1). Nothing is escaped that need not be.
fn plain(step: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = step.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let byte = u8::try_from(digit()? * 16 + digit()?).ok()?;
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    return None;
                }
                byte
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty()).then_some(text)
}

/// Whether it says of itself where it goes, from whom, and to whom.
fn addressed(body: &Value, conversation: &str, answers: Option<&str>) -> Result<(), &'static str> {
    if body["type"] != "message" {
        return Err("it is no message");
    }
    if body["conversation"]["id"] != conversation {
        return Err("it is for another conversation");
    }
    for name in ["from", "recipient"] {
        if body[name]["id"].as_str().is_none_or(str::is_empty) {
            return Err("nobody is named in from or recipient");
        }
    }
    if body["channelId"].as_str().is_none_or(str::is_empty) {
        return Err("no channel is named");
    }
    match (body["replyToId"].as_str(), answers) {
        (None, None) => Ok(()),
        (Some(said), Some(answers)) if said == answers => Ok(()),
        (_, _) => Err("it answers another activity"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_is_one_conversation_and_at_the_most_one_activity() {
        let found = |path: &str| place(path, "/amer");
        let start = "/amer/v3/conversations";
        assert_eq!(
            found(&format!("{start}/a%3A1%2F2/activities")),
            Some(("a:1/2".to_owned(), None))
        );
        let activity = found(&format!("{start}/a/activities/%C3%A9~"));
        assert_eq!(activity, Some(("a".to_owned(), Some("\u{e9}~".to_owned()))));
        for path in [
            "/v3/conversations/a/activities".to_owned(),
            format!("{start}/a"),
            format!("{start}/a/members"),
            format!("{start}//activities"),
            format!("{start}/a/activities/"),
            format!("{start}/a/activities/1/2"),
            format!("{start}/%61/activities"),
            format!("{start}/%2/activities"),
            format!("{start}/%FF/activities"),
        ] {
            assert_eq!(found(&path), None, "{path}");
        }
    }

    #[test]
    fn a_message_says_where_it_goes() {
        let good = json!({
            "type": "message", "channelId": "msteams", "conversation": {"id": "a"},
            "from": {"id": "28:b"}, "recipient": {"id": "29:c"}, "replyToId": "1",
        });
        assert_eq!(addressed(&good, "a", Some("1")), Ok(()));
        assert!(addressed(&good, "b", Some("1")).is_err());
        assert!(addressed(&good, "a", None).is_err());
        assert!(addressed(&good, "a", Some("2")).is_err());
        for name in ["type", "channelId", "from", "recipient", "conversation"] {
            let mut odd = good.clone();
            odd[name] = json!("");
            assert!(addressed(&odd, "a", Some("1")).is_err(), "{name}");
        }
    }
}
