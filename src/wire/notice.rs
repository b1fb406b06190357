//! A message to somebody whom the bot has met: what a program of one's own posts to have it sent.
//!
//! ```json
//! {"tenant": "GUID", "person": "GUID", "text": "…"}
//! {"tenant": "GUID", "person": "GUID", "activity": {"type": "message", …}}
//! ```
//!
//! Ids of people stand in the body and not in the path, for paths are in the logs of whatever lies
//! between. Nothing of it can be formatted.
//!
//! Not here: whom it may be sent to, and sending it.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::ids::EntraId;

/// The longest text in bytes. Teams takes some 100 KB, with all that is around it.
const TEXT_MAX: usize = 64 * 1024;
/// The longest body: the largest activity, and its address.
const BODY_MAX: usize = 129 * 1024;

/// One message and whom it is for.
pub struct Notice {
    pub tenant: EntraId,
    pub person: EntraId,
    pub what: What,
}

/// What is to be said.
pub enum What {
    /// Plain text.
    Text(String),
    /// A message by the names of the protocol: cards, attachments.
    Activity(Map<String, Value>),
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notice(_)")
    }
}

/// Why a body is none. It holds nothing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the body exceeds 129 KiB")]
    Long,
    #[error("the body is no JSON object of tenant, person, and text or activity, each once")]
    Form,
    #[error("tenant and person must be ids of Entra")]
    Ids,
    #[error("the text must have 1 byte to 64 KiB")]
    Text,
    #[error("the activity must be a message")]
    Kind,
}

impl Wrong {
    /// One sentence, for a problem document.
    pub fn detail(self) -> &'static str {
        match self {
            Wrong::Long => "the body exceeds 129 KiB",
            Wrong::Form => {
                "the body is no JSON object of tenant, person, and text or activity, each once"
            }
            Wrong::Ids => "tenant and person must be ids of Entra",
            Wrong::Text => "the text must have 1 byte to 64 KiB",
            Wrong::Kind => "the activity must be a message",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tenant: String,
    person: String,
    text: Option<String>,
    activity: Option<Once>,
}

/// Reads a body. A member that stands twice, anywhere in it, makes it none: whoever wrote it meant one
/// of them.
pub fn read(body: &[u8]) -> Result<Notice, Wrong> {
    if body.len() > BODY_MAX {
        return Err(Wrong::Long);
    }
    let written: Written = serde_json::from_slice(body).map_err(|_| Wrong::Form)?;
    let id = |text: &str| EntraId::new(text).ok_or(Wrong::Ids);
    let what = match (written.text, written.activity) {
        (Some(text), None) => {
            if text.trim().is_empty() || text.len() > TEXT_MAX {
                return Err(Wrong::Text);
            }
            What::Text(text)
        }
        (None, Some(Once(Value::Object(members)))) => {
            let kind = members.get("type");
            if kind.is_some_and(|kind| kind != "message") {
                return Err(Wrong::Kind);
            }
            What::Activity(members)
        }
        (None | Some(_), None | Some(_)) => return Err(Wrong::Form),
    };
    Ok(Notice {
        tenant: id(&written.tenant)?,
        person: id(&written.person)?,
        what,
    })
}

/// A value in which no object has a member twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        deserializer.deserialize_any(Walk).map(Once)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Once(value))) = members.next_entry::<String, Once>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    const PERSON: &str = "0000000A-1111-4222-8333-0123456789AB";

    fn body(more: &str) -> String {
        format!("{{\"tenant\":\"{TENANT}\",\"person\":\"{PERSON}\"{more}}}")
    }

    fn wrong(body: &str) -> Wrong {
        match read(body.as_bytes()) {
            Ok(_) => panic!("{body}"),
            Err(wrong) => wrong,
        }
    }

    #[test]
    fn c24_a_notice_is_for_one_person_and_says_one_thing() {
        let notice = read(body(",\"text\":\"hello\"").as_bytes()).unwrap();
        assert_eq!(notice.tenant.as_str(), TENANT);
        assert_eq!(notice.person.as_str(), PERSON.to_lowercase());
        assert!(matches!(&notice.what, What::Text(text) if text == "hello"));
        assert_eq!(format!("{notice:?}"), "Notice(_)");
        let card =
            r#","activity":{"attachments":[{"content":{"a":[1,-2,2.5,null,true]}}],"text":"a"}"#;
        let What::Activity(members) = read(body(card).as_bytes()).unwrap().what else {
            panic!("it is an activity");
        };
        let expected =
            json!({"attachments": [{"content": {"a": [1, -2, 2.5, null, true]}}], "text": "a"});
        assert_eq!(Value::Object(members), expected);
    }

    #[test]
    fn c24_what_could_be_meant_in_two_ways_is_none() {
        for more in [
            "",
            ",\"text\":null",
            ",\"text\":7",
            ",\"text\":\"a\",\"text\":\"b\"",
            ",\"text\":\"a\",\"t\\u0065xt\":\"b\"",
            ",\"text\":\"a\",\"activity\":{}",
            ",\"text\":\"a\",\"person\":\"11111111-2222-3333-4444-555555555555\"",
            ",\"text\":\"a\",\"Person\":\"11111111-2222-3333-4444-555555555555\"",
            ",\"text\":\"a\",\"to\":\"b\"",
            ",\"activity\":[]",
            ",\"activity\":{\"text\":\"a\",\"text\":\"b\"}",
            ",\"activity\":{\"attachments\":[{\"content\":{\"a\":1,\"a\":2}}]}",
        ] {
            assert_eq!(wrong(&body(more)), Wrong::Form, "{more}");
        }
        assert_eq!(wrong(""), Wrong::Form);
        assert_eq!(wrong("[]"), Wrong::Form);
        let text = ",\"text\":\"a\"";
        assert_eq!(wrong(&(body(text) + "x")), Wrong::Form);
        for other in ["common", "", "*", "11111111-2222-3333-4444-55555555555"] {
            assert_eq!(wrong(&body(text).replace(TENANT, other)), Wrong::Ids);
            assert_eq!(wrong(&body(text).replace(PERSON, other)), Wrong::Ids);
        }
        let typed = ",\"activity\":{\"type\":\"typing\"}";
        assert_eq!(wrong(&body(typed)), Wrong::Kind);
    }

    #[test]
    fn c24_a_notice_has_its_bounds() {
        let text = |count: usize| body(&format!(",\"text\":\"{}\"", "a".repeat(count)));
        assert!(read(text(TEXT_MAX).as_bytes()).is_ok());
        for count in [0, TEXT_MAX + 1] {
            assert_eq!(wrong(&text(count)), Wrong::Text);
        }
        assert_eq!(wrong(&body(",\"text\":\" \\n\"")), Wrong::Text);
        assert_eq!(wrong(&text(BODY_MAX)), Wrong::Long);
        let deep = format!(
            ",\"activity\":{{\"a\":{}{}}}",
            "[".repeat(200),
            "]".repeat(200)
        );
        assert_eq!(wrong(&body(&deep)), Wrong::Form);
    }
}
