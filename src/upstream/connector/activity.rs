//! What is written to a conversation, and what is read of the connector's answers. Pure.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::Forbidden;
use super::reference::Reference;

/// The largest message; Teams takes some 100 KB.
const ACTIVITY_MAX: usize = 128 * 1024;
/// Longest id of an activity.
const ID_MAX: usize = 512;

/// A message that is yet to be addressed.
#[derive(Clone, Debug)]
pub struct Activity(Map<String, Value>);

impl Activity {
    /// A text that is shown as it is: nothing in it is markup.
    pub fn text(text: &str) -> Activity {
        let mut members = Map::new();
        members.insert("type".to_owned(), "message".into());
        members.insert("textFormat".to_owned(), "plain".into());
        members.insert("text".to_owned(), text.into());
        Activity(members)
    }

    /// An activity as JSON, by the names of the protocol; `None` if it is none or too large. Whom it
    /// is from and for, and where, is said by the [`Reference`], whatever stands there.
    pub fn read(json: &[u8]) -> Option<Activity> {
        if json.len() > ACTIVITY_MAX {
            return None;
        }
        Activity::of(serde_json::from_slice(json).ok()?)
    }

    /// The same of its members, whose length is for whoever read them to bound.
    pub fn of(mut members: Map<String, Value>) -> Option<Activity> {
        let kind = members.entry("type").or_insert_with(|| "message".into());
        kind.is_string().then_some(Activity(members))
    }

    /// As it goes to a conversation, in answer to an activity if it is one.
    pub(super) fn addressed(mut self, to: &Reference, answers: Option<&str>) -> Bytes {
        let mut set = |name: &str, value: Value| self.0.insert(name.to_owned(), value);
        set("channelId", to.channel().into());
        set("serviceUrl", to.service_url().into());
        set("conversation", json!({ "id": to.conversation() }));
        set("from", json!({ "id": to.bot() }));
        set(
            "recipient",
            json!({ "id": to.user(), "aadObjectId": to.person().as_str() }),
        );
        match answers {
            Some(activity) => set("replyToId", activity.into()),
            None => self.0.remove("replyToId"),
        };
        if let Some(locale) = to.locale() {
            self.0.entry("locale").or_insert_with(|| locale.into());
        }
        Value::Object(self.0).to_string().into()
    }
}

/// The path of a message, below that of the service.
pub(super) fn path(below: &str, to: &Reference, answers: Option<&str>) -> String {
    let conversation = escaped(to.conversation());
    let mut path = format!("{below}/v3/conversations/{conversation}/activities");
    if let Some(activity) = answers {
        path.push('/');
        path.push_str(&escaped(activity));
    }
    path
}

/// Whether an id of an activity can stand in a path.
pub(super) fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && ![".", ".."].contains(&text)
}

/// A step of a path: all but unreserved characters as their bytes (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut step = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                step.push(char::from(byte));
            }
            _ => step.push_str(&format!("%{byte:02X}")),
        }
    }
    step
}

/// The id that a message was given, if that can be read.
pub(super) fn sent(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Sent {
        id: String,
    }
    let sent: Sent = serde_json::from_slice(answer).ok()?;
    is_id(&sent.id).then_some(sent.id)
}

/// Why the bot may not write, as far as the answer says so by a code. Teams says it in several ways:
/// as the error's code, and as a subcode in JSON that is a text in JSON.
pub(super) fn why(answer: &[u8]) -> Option<Forbidden> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    code(&answer).or_else(|| code(&answer["error"]))
}

fn code(error: &Value) -> Option<Forbidden> {
    let of = |value: &Value| {
        ["code", "subCode", "errorSubCode"]
            .iter()
            .find_map(|name| Forbidden::of_code(value[*name].as_str()?))
    };
    of(error).or_else(|| {
        let inner: Value = serde_json::from_str(error["message"].as_str()?).ok()?;
        of(&inner)
    })
}

#[cfg(test)]
mod tests {
    use super::super::reference::tests::written;
    use super::*;

    fn reference() -> Reference {
        serde_json::from_value(written()).unwrap()
    }

    #[test]
    fn c24_whom_a_message_is_for_is_said_by_the_reference() {
        let forged = json!({
            "type": "message",
            "text": "hello",
            "attachments": [{"contentType": "x"}],
            "from": {"id": "28:another"},
            "recipient": {"id": "29:another"},
            "conversation": {"id": "another"},
            "serviceUrl": "https://evil.example/",
            "channelId": "another",
            "replyToId": "another",
        });
        let activity = Activity::read(forged.to_string().as_bytes()).unwrap();
        let body = activity.addressed(&reference(), None);
        let said: Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({
            "type": "message",
            "text": "hello",
            "attachments": [{"contentType": "x"}],
            "channelId": "msteams",
            "serviceUrl": "https://smba.trafficmanager.net/amer/",
            "conversation": {"id": "a:1xyz"},
            "from": {"id": "28:99999999-8888-7777-6666-555555555555"},
            "recipient": {"id": "29:1abc", "aadObjectId": "0000000a-1111-4222-8333-0123456789ab"},
            "locale": "en-US",
        });
        assert_eq!(said, expected);
        let body = Activity::text("no").addressed(&reference(), Some("170"));
        let said: Value = serde_json::from_slice(&body).unwrap();
        let of = |name: &str| said[name].as_str().unwrap();
        assert_eq!(
            [of("type"), of("text"), of("textFormat")],
            ["message", "no", "plain"]
        );
        assert_eq!(of("replyToId"), "170");
    }

    #[test]
    fn c24_what_is_no_activity_is_none() {
        for text in ["", "[]", "7", "{", r#"{"type":7}"#] {
            assert!(Activity::read(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(Activity::read(b"{}").unwrap().0["type"], "message");
        let large = format!(r#"{{"text":"{}"}}"#, "a".repeat(ACTIVITY_MAX));
        assert!(Activity::read(large.as_bytes()).is_none());
    }

    #[test]
    fn c24_ids_are_one_step_of_a_path_each() {
        let mut odd = written();
        odd["conversation"] = json!("19:a/../b@thread.tacv2;messageid=1?x=y#\u{e9}%2F");
        let odd: Reference = serde_json::from_value(odd).unwrap();
        assert_eq!(
            path("/amer", &odd, Some("1/2")),
            "/amer/v3/conversations/19%3Aa%2F..%2Fb%40thread.tacv2%3Bmessageid%3D1%3Fx%3Dy%23%C3%A9\
             %252F/activities/1%2F2"
        );
        assert_eq!(
            path("", &reference(), None),
            "/v3/conversations/a%3A1xyz/activities"
        );
        assert!(is_id("1700000000000") && !is_id("") && !is_id(".."));
        assert!(!is_id(&"1".repeat(ID_MAX + 1)));
    }

    #[test]
    fn c24_teams_says_in_several_ways_why_a_bot_may_not_write() {
        let blocked = Some(Forbidden::WritesBlocked);
        let nested = "{\"errorCode\":209,\"message\":\"{\\r\\n  \\\"subCode\\\": \
                      \\\"MessageWritesBlocked\\\",\\r\\n  \\\"details\\\": \\\"Thread is blocked from \
                      message writes.\\\",\\r\\n  \\\"errorCode\\\": null,\\r\\n  \
                      \\\"errorSubCode\\\": null\\r\\n}\"}";
        for (text, expected) in [
            (nested, blocked),
            (
                r#"{"error":{"code":"MessageWritesBlocked","message":"Thread is blocked."}}"#,
                blocked,
            ),
            (
                r#"{"error":{"code":"Forbidden","message":"{\"subCode\":\"MessageWritesBlocked\"}"}}"#,
                blocked,
            ),
            (
                r#"{"error":{"code":"BotNotInConversationRoster","message":"x"}}"#,
                Some(Forbidden::NotInRoster),
            ),
            (
                r#"{"error":{"code":"ForbiddenOperationException","message":"x"}}"#,
                Some(Forbidden::NotInstalled),
            ),
            // What stands in a sentence counts for nothing.
            (
                r#"{"error":{"code":"x","message":"MessageWritesBlocked"}}"#,
                None,
            ),
            (r#"{"error":"MessageWritesBlocked"}"#, None),
            (r#"{"message":"MessageWritesBlocked"}"#, None),
            ("MessageWritesBlocked", None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(why(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn c24_the_id_of_a_message_is_read_if_it_is_one() {
        assert_eq!(sent(br#"{"id":"1:abc"}"#).as_deref(), Some("1:abc"));
        for text in ["", "{}", r#"{"id":7}"#, r#"{"id":""}"#, "[]"] {
            assert_eq!(sent(text.as_bytes()), None, "{text}");
        }
    }
}
