//! What another cloud asks for when it hands a call over, read strictly: whoever mistypes a name, or
//! says something twice, is told so, and never gets half of what was meant. Pure.

use std::fmt;
use std::time::Duration;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

use crate::config::CODE_DIGITS;
use crate::ids::{ForeignId, PhoneNumber};
use crate::secret::{Digest, Secret};

/// The context as it is kept: room for what an agent should know of a caller, and no more.
const CONTEXT_MAX: usize = 4096;

/// The fields there are, and what is said where one stands twice.
const FIELDS: [(&str, &str); 6] = [
    ("flow", "the field flow stands twice"),
    ("ani", "the field ani stands twice"),
    ("code", "the field code stands twice"),
    ("sip_id", "the field sip_id stands twice"),
    ("ttl", "the field ttl stands twice"),
    ("context", "the field context stands twice"),
];
const UNKNOWN: &str = "a field is none of flow, ani, code, sip_id, ttl and context";
const NO_OBJECT: &str = "the body is no JSON object";
const CONTEXT_TWICE: &str = "a name in context stands twice";

/// What is asked for.
pub(super) struct Asked {
    pub(super) opens: Opens,
    pub(super) ttl: Option<Duration>,
    /// A JSON object, its names in order.
    pub(super) context: Option<String>,
}

/// What is to open the call.
pub(super) enum Opens {
    /// The caller's number with a code, which the edge draws where none is said.
    Pstn {
        ani: PhoneNumber,
        code: Option<Secret>,
    },
    /// The id of the SIP call, or an alias that is dialled.
    Sip(ForeignId),
}

impl Asked {
    /// Of all that is said; the same however it is written.
    pub(super) fn content(&self) -> Digest {
        let (flow, first, second) = match &self.opens {
            Opens::Pstn { ani, code } => (
                "pstn",
                ani.expose(),
                code.as_ref().map_or("", Secret::expose),
            ),
            Opens::Sip(id) => ("sip", id.as_str(), ""),
        };
        let ttl = self.ttl.map_or(0, |ttl| ttl.as_millis());
        let context = self.context.as_deref().unwrap_or_default();
        Digest::of(&format!("{flow}\0{first}\0{second}\0{ttl}\0{context}"))
    }
}

/// Reads a body; the error is for whoever wrote it and says nothing that stood there.
pub(super) fn read(body: &[u8]) -> Result<Asked, &'static str> {
    let mut wrong = None;
    let mut from = serde_json::Deserializer::from_slice(body);
    let fields = Fields(&mut wrong).deserialize(&mut from);
    let fields = fields.and_then(|fields| from.end().map(|()| fields));
    match fields {
        Ok(fields) => judge(fields),
        Err(_) => Err(wrong.unwrap_or(NO_OBJECT)),
    }
}

fn judge(
    [flow, ani, code, sip_id, ttl, context]: [Option<Value>; 6],
) -> Result<Asked, &'static str> {
    let opens = match flow.as_ref().and_then(Value::as_str) {
        Some("pstn") if sip_id.is_some() => return Err("sip_id has no use with flow \"pstn\""),
        Some("pstn") => Opens::Pstn {
            ani: number(ani.as_ref())?,
            code: code.as_ref().map(self::code).transpose()?,
        },
        Some("sip") if ani.is_some() => return Err("ani has no use with flow \"sip\""),
        Some("sip") if code.is_some() => return Err("code has no use with flow \"sip\""),
        Some("sip") => Opens::Sip(id(sip_id.as_ref())?),
        Some(_) | None => return Err("flow must be \"pstn\" or \"sip\""),
    };
    Ok(Asked {
        opens,
        ttl: ttl.as_ref().map(self::ttl).transpose()?,
        context: context.as_ref().map(self::context).transpose()?,
    })
}

fn number(value: Option<&Value>) -> Result<PhoneNumber, &'static str> {
    let number = value.and_then(Value::as_str).and_then(PhoneNumber::new);
    number.ok_or("ani must be a number in E.164, with its plus")
}

fn code(value: &Value) -> Result<Secret, &'static str> {
    let fits = |code: &&str| {
        let length = u8::try_from(code.len()).unwrap_or(u8::MAX);
        CODE_DIGITS.contains(&length) && code.bytes().all(|digit| digit.is_ascii_digit())
    };
    let code = value.as_str().filter(fits);
    code.map(|code| Secret::new(code.to_owned()))
        .ok_or("code must be 3 to 24 digits in quotes")
}

fn id(value: Option<&Value>) -> Result<ForeignId, &'static str> {
    let id = value.and_then(Value::as_str).and_then(ForeignId::new);
    id.ok_or("sip_id must be 1 to 128 characters of a-z A-Z 0-9 _ - . @ ~")
}

/// Seconds, or as the settings write durations.
fn ttl(value: &Value) -> Result<Duration, &'static str> {
    let ttl = match value {
        Value::Number(seconds) => seconds.as_u64().map(Duration::from_secs),
        Value::String(text) => humantime::parse_duration(text).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    ttl.filter(|ttl| *ttl >= Duration::from_secs(1))
        .ok_or("ttl must be whole seconds or a duration such as \"5m\", and 1s at the least")
}

fn context(value: &Value) -> Result<String, &'static str> {
    if !value.is_object() {
        return Err("context must be an object");
    }
    let text = value.to_string();
    if text.len() > CONTEXT_MAX {
        return Err("context exceeds 4096 bytes");
    }
    Ok(text)
}

/// Reads the fields, in the order of [`FIELDS`], and notes what is wrong with their names.
struct Fields<'a>(&'a mut Option<&'static str>);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = [Option<Value>; 6];

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = [Option<Value>; 6];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Self::Value = Default::default();
        while let Some(name) = map.next_key::<String>()? {
            let Some(at) = FIELDS.iter().position(|(known, _)| *known == name) else {
                // Read on: a body that is no JSON at all is that first.
                map.next_value::<IgnoredAny>()?;
                self.0.get_or_insert(UNKNOWN);
                continue;
            };
            let value = map.next_value_seed(Unique(&mut *self.0))?;
            if fields[at].replace(value).is_some() {
                self.0.get_or_insert(FIELDS[at].1);
            }
        }
        match self.0 {
            Some(_) => Err(A::Error::custom("")),
            None => Ok(fields),
        }
    }
}

/// Reads a value in which no name stands twice.
struct Unique<'a>(&'a mut Option<&'static str>);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Unique(&mut *self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Unique(&mut *self.0))?;
            if members.insert(name, value).is_some() {
                self.0.get_or_insert(CONTEXT_TWICE);
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrong(body: &str) -> &'static str {
        read(body.as_bytes())
            .err()
            .unwrap_or_else(|| panic!("taken: {body}"))
    }

    #[test]
    fn a09_a_body_says_what_opens_the_call() {
        let asked =
            read(br#"{"flow":"pstn","ani":"+15551234567","ttl":"5m","context":{"b":1,"a":[]}}"#);
        let asked = asked.unwrap();
        let Opens::Pstn { ani, code: None } = &asked.opens else {
            panic!("a number and no code");
        };
        assert_eq!(ani.expose(), "+15551234567");
        assert_eq!(asked.ttl, Some(Duration::from_secs(300)));
        assert_eq!(asked.context.as_deref(), Some(r#"{"a":[],"b":1}"#));
        let other =
            r#" {"ttl" : 300, "context":{"a":[],"b":1}, "ani":"+15551234567","flow":"pstn"} "#;
        let other = read(other.as_bytes()).unwrap();
        assert!(asked.content().is(&other.content()));
        for same in [
            r#"{"flow":"pstn","ani":"+15551234567"}"#,
            r#"{"flow":"pstn","ani":"+15551234567","code":"823","ttl":300,"context":{"b":1,"a":[]}}"#,
            r#"{"flow":"sip","sip_id":"+15551234567"}"#,
        ] {
            let other = read(same.as_bytes());
            assert!(other.is_err() || !asked.content().is(&other.unwrap().content()));
        }
        let sip = read(br#"{"flow":"sip","sip_id":"abc-xyz-123","ttl":1}"#).unwrap();
        assert!(matches!(sip.opens, Opens::Sip(id) if id.as_str() == "abc-xyz-123"));
    }

    #[test]
    fn a09_what_is_wrong_is_told_by_the_field() {
        let pstn = |more: &str| format!(r#"{{"flow":"pstn","ani":"+15551234567"{more}}}"#);
        let sip = |more: &str| format!(r#"{{"flow":"sip","sip_id":"a"{more}}}"#);
        let large = format!(r#","context":{{"a":"{}"}}"#, "x".repeat(CONTEXT_MAX));
        for (body, says) in [
            (String::new(), NO_OBJECT),
            ("[]".to_owned(), NO_OBJECT),
            ("\"pstn\"".to_owned(), NO_OBJECT),
            (pstn(",\"ttl\":"), NO_OBJECT),
            (format!("{} x", pstn("")), NO_OBJECT),
            ("{}".to_owned(), "flow must"),
            (r#"{"flow":"api"}"#.to_owned(), "flow must"),
            (r#"{"flow":1}"#.to_owned(), "flow must"),
            (r#"{"flow":"pstn"}"#.to_owned(), "ani must"),
            (
                r#"{"flow":"pstn","ani":"15551234567"}"#.to_owned(),
                "ani must",
            ),
            (r#"{"flow":"pstn","ani":"+1:2"}"#.to_owned(), "ani must"),
            (
                r#"{"flow":"pstn","ani":15551234567}"#.to_owned(),
                "ani must",
            ),
            (r#"{"flow":"pstn","ani":null}"#.to_owned(), "ani must"),
            (pstn(",\"code\":\"12\""), "code must"),
            (pstn(",\"code\":\"12a\""), "code must"),
            (pstn(",\"code\":823"), "code must"),
            (
                pstn(&format!(",\"code\":\"{}\"", "1".repeat(25))),
                "code must",
            ),
            (pstn(",\"sip_id\":\"a\""), "sip_id has no use"),
            (r#"{"flow":"sip"}"#.to_owned(), "sip_id must"),
            (r#"{"flow":"sip","sip_id":"a:b"}"#.to_owned(), "sip_id must"),
            (sip(",\"ani\":\"+15551234567\""), "ani has no use"),
            (sip(",\"code\":\"823\""), "code has no use"),
            (pstn(",\"ttl\":0"), "ttl must"),
            (pstn(",\"ttl\":-1"), "ttl must"),
            (pstn(",\"ttl\":1.5"), "ttl must"),
            (pstn(",\"ttl\":\"soon\""), "ttl must"),
            (pstn(",\"ttl\":\"500ms\""), "ttl must"),
            (pstn(",\"ttl\":null"), "ttl must"),
            (pstn(",\"context\":[]"), "context must"),
            (pstn(&large), "context exceeds"),
            (pstn(",\"context\":{\"a\":1,\"a\":1}"), CONTEXT_TWICE),
            (
                pstn(",\"context\":{\"a\":[{\"b\":1,\"b\":2}]}"),
                CONTEXT_TWICE,
            ),
            (pstn(",\"tll\":300"), UNKNOWN),
            (pstn(",\"ANI\":\"+1\""), UNKNOWN),
        ] {
            assert!(wrong(&body).starts_with(says), "{body}: {}", wrong(&body));
        }
        for (name, twice) in FIELDS {
            let body = format!("{{\"{name}\":1,\"{name}\":1}}");
            assert_eq!(wrong(&body), twice);
            let escaped = format!(
                "{{\"{name}\":1,\"\\u{:04x}{}\":1}}",
                name.as_bytes()[0],
                &name[1..]
            );
            assert_eq!(wrong(&escaped), twice);
        }
    }

    proptest! {
        /// Whatever is said, it is taken whole or refused, and what is taken fits a key.
        #[test]
        fn a16_no_body_makes_it_panic(body in "\\PC{0,60}", ani in "[+0-9a: ]{0,16}", code in "[0-9#]{0,26}") {
            let _ = read(body.as_bytes());
            let body = format!(r#"{{"flow":"pstn","ani":"{ani}","code":"{code}"}}"#);
            if let Ok(asked) = read(body.as_bytes())
                && let Opens::Pstn { ani, code } = asked.opens
            {
                prop_assert!(ani.expose().bytes().skip(1).all(|b| b.is_ascii_digit()));
                prop_assert!(code.unwrap().expose().bytes().all(|b| b.is_ascii_digit()));
            }
        }
    }
}
