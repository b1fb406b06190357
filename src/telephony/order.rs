//! What whoever has a call made asks for: one member, the number to call. Pure.
//!
//! Strict, for a request that means something else than it says calls a stranger. What is wrong is
//! told in fixed words: neither the number nor anything else of the body is said back.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Refused;
use crate::error::Reason;
use crate::ids::PhoneNumber;

/// A call that is asked for.
#[derive(Debug)]
pub struct Order {
    pub to: PhoneNumber,
}

const NO_OBJECT: &str = "the body is not a JSON object such as {\"to\": \"+15551234567\"}";
const UNKNOWN: &str = "the body has a member that is not known; to is the only one";
const TWICE: &str = "to stands twice";
const MISSING: &str = "to is missing";
const NO_NUMBER: &str = "to must be a number in E.164 form, such as \"+15551234567\"";

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Order, Refused> {
    let read: Result<Read, _> = serde_json::from_slice(body);
    let read = read.map_or(Err(NO_OBJECT), |Read(read)| read);
    read.map_err(|detail| Refused::new(Reason::BadRequest, detail))
}

struct Read(Result<Order, &'static str>);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Read, D::Error> {
        from.deserialize_map(Members).map(Read)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Result<Order, &'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self::Value, M::Error> {
        let (mut to, mut wrong) = (None, None);
        while let Some(name) = members.next_key::<String>()? {
            if name != "to" {
                members.next_value::<IgnoredAny>()?;
                wrong = wrong.or(Some(UNKNOWN));
                continue;
            }
            let value: Value = members.next_value()?;
            if to.replace(value).is_some() {
                wrong = wrong.or(Some(TWICE));
            }
        }
        if let Some(wrong) = wrong {
            return Ok(Err(wrong));
        }
        let Some(to) = to else {
            return Ok(Err(MISSING));
        };
        let to = to.as_str().and_then(PhoneNumber::new);
        Ok(to.map(|to| Order { to }).ok_or(NO_NUMBER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(body: &str) -> &'static str {
        read(body.as_bytes()).unwrap_err().detail
    }

    #[test]
    fn a14_a_body_names_one_number_and_nothing_else() {
        let order = read(br#"{"to": "+15551234567"}"#).unwrap();
        assert_eq!(order.to.expose(), "+15551234567");
        assert_eq!(format!("{order:?}"), "Order { to: PhoneNumber(_) }");
        let spelt = read(br#" { "t\u006f" : "\u002b15551234567" } "#).unwrap();
        assert_eq!(spelt.to, order.to);
        for (body, wrong) in [
            ("", NO_OBJECT),
            ("null", NO_OBJECT),
            ("[]", NO_OBJECT),
            ("\"+15551234567\"", NO_OBJECT),
            ("{", NO_OBJECT),
            ("{\"to\": \"+15551234567\"} x", NO_OBJECT),
            ("{\"to\": \"+15551234567\"}{}", NO_OBJECT),
            ("{to: \"+15551234567\"}", NO_OBJECT),
            ("{}", MISSING),
            ("{\"To\": \"+15551234567\"}", UNKNOWN),
            ("{\"to\": \"+15551234567\", \"from\": \"+1\"}", UNKNOWN),
            ("{\"x\": 1}", UNKNOWN),
            (
                "{\"to\": \"+15551234567\", \"to\": \"+15551234567\"}",
                TWICE,
            ),
            ("{\"to\": null, \"to\": \"+15551234567\"}", TWICE),
            ("{\"to\": \"+15551234567\", \"t\\u006f\": \"+1\"}", TWICE),
        ] {
            assert_eq!(detail(body), wrong, "{body}");
        }
    }

    #[test]
    fn a14_a_number_is_canonical_or_none() {
        for bad in [
            "null",
            "15551234567",
            "[\"+15551234567\"]",
            "{\"value\": \"+15551234567\"}",
            "\"\"",
            "\"15551234567\"",
            "\"0015551234567\"",
            "\"+0155512345\"",
            "\"+1 555 1234567\"",
            "\"+1-555-123-4567\"",
            "\"tel:+15551234567\"",
            "\"+1555123456789012\"",
            "\"+1555123456x\"",
            "\"+15551234567\\n\"",
            "\"＋15551234567\"",
            "\"4:+15551234567\"",
            "\"sip:a@b.example\"",
        ] {
            assert_eq!(detail(&format!("{{\"to\": {bad}}}")), NO_NUMBER, "{bad}");
        }
    }

    #[test]
    fn s36_no_detail_says_anything_of_the_body() {
        for detail in [NO_OBJECT, UNKNOWN, TWICE, MISSING, NO_NUMBER] {
            let read = read(b"{\"to\": \"+4930123\", \"CANARY\": 1}").unwrap_err();
            assert!(!read.detail.contains("CANARY") && !detail.contains("4930"));
        }
    }
}
