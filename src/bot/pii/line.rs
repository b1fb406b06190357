//! Lines of the log: one JSON object each, in which all texts are looked at and nothing else is.
//!
//! Numbers are the edge's own (durations, counts, statuses), and keys are names in its code. Its own
//! ids are longer than any kind of number, and its times are no numbers of anybody; the tests say so.

use std::borrow::Cow;

use super::Filter;
use crate::bot::body::Splices;
use crate::bot::json::{Piece, Walk};

impl Filter {
    /// A line without personal data, still JSON; `None`: it is none, so that nobody can tell.
    pub fn line<'a>(&self, line: &'a str) -> Option<Cow<'a, str>> {
        let mut walk = Walk::new(line);
        let Ok(Some(Piece::Open { object: true, .. })) = walk.next() else {
            return None;
        };
        let mut splices = Splices::default();
        while let Some(piece) = walk.next().ok()? {
            let Piece::Text(place) = piece else {
                continue;
            };
            let place = place.start + 1..place.end - 1;
            if let Some((scrubbed, _)) = self.scrub(&line[place.clone()], true) {
                splices.push(place, scrubbed);
            }
        }
        Some(match splices.is_empty() {
            true => Cow::Borrowed(line),
            false => Cow::Owned(splices.apply(line)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pii::{Pii, PiiKind};
    use crate::ids::{CallId, SessionId, random_guid};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn all() -> Filter {
        Filter::new(&Pii {
            kinds: PiiKind::ALL.to_vec(),
            ..Pii::default()
        })
    }

    fn left(line: &Value) -> Value {
        let line = format!("{line}\n");
        let left = all().line(&line).unwrap().into_owned();
        assert!(left.ends_with("}\n"), "{left}");
        serde_json::from_str(&left).unwrap()
    }

    #[test]
    fn c21_personal_data_is_taken_out_of_lines_that_stay_json() {
        let told = left(&json!({
            "timestamp": "2026-11-26T09:33:53.123456Z", "level": "INFO",
            "subject": "users/jo@example.com", "client": "203.0.113.7:51234",
            "hop": "[2001:db8::7]:443", "error": "no \"+1 (555) 123-4567\"\n of jo\u{40}example.com",
            "duration_ms": 4_111_111_111_111_111_u64, "session": "0011223344556677889900ff",
            "more": ["4111 1111 1111 1111", {"of": "219-09-9998"}],
        }));
        assert_eq!(
            told,
            json!({
                "timestamp": "2026-11-26T09:33:53.123456Z", "level": "INFO",
                "subject": "users/[email]", "client": "[ip]:51234",
                "hop": "[[ip]]:443", "error": "no \"[phone]\"\n of [email]",
                "duration_ms": 4_111_111_111_111_111_u64, "session": "0011223344556677889900ff",
                "more": ["[card]", {"of": "[ssn]"}],
            })
        );
        // As a serialiser might write it, too.
        let line = "{\"a\":\"jo\\u0040example.com \\\"x\\\"\"}\n";
        let told = all().line(line).unwrap();
        assert_eq!(told, "{\"a\":\"[email] \\\"x\\\"\"}\n");
    }

    #[test]
    fn c21_what_is_no_line_is_not_let_through() {
        for line in [
            "",
            "\n",
            "text jo@example.com\n",
            "\"jo@example.com\"\n",
            "[\"a\"]\n",
            "{\"a\":\"jo@example.com\"",
            "{\"a\":\"b\"}\n{\"a\":\"b\"}\n",
            "{\"a\":\"b\"} jo@example.com\n",
            "{\"a\":\"\\x\"}\n",
            "{a:1}\n",
        ] {
            assert_eq!(all().line(line), None, "{line:?}");
        }
        assert_eq!(all().line("{}\n").as_deref(), Some("{}\n"));
    }

    /// Ids and times in the fields of every kind of line (`session/told`, `listener`, `telephony`).
    fn own(time: &str, id: &str, call: &str, guid: &str) -> Value {
        json!({
            "timestamp": time, "level": "INFO", "message": "session ended",
            "session": id, "request": id, "route": "phone", "call": call, "connection": guid,
            "correlation": guid, "contact": guid, "tenant": guid, "sub_code": guid,
            "subject": format!("users/{guid}/{guid}"), "upstream": "voice-2024-11-01",
            "model": "gpt-4o-realtime-2024-12-17", "agent": "agent-0123456789",
            "detail": "the answer is no 101", "reason": "client_closed", "ended_by": "client",
            "violation": "a frame of 16777216 bytes", "signal": "SIGTERM", "left_out": 4_111_111,
            "duration_ms": 15_551_234_567_u64, "up_bytes": 4_111_111_111_111_111_u64,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn c21_times_and_the_edges_own_ids_are_no_personal_data(
            at in 0u64..4_102_444_800, micros in 0u32..1_000_000,
        ) {
            let seconds = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at);
            let text = humantime::format_rfc3339_seconds(seconds).to_string();
            let time = text.replace('Z', &format!(".{micros:06}Z"));
            let id = SessionId::random().to_string();
            let line = own(&time, &id, CallId::random().as_str(), &random_guid());
            prop_assert_eq!(left(&line), line);
        }

        /// Where a draw is of digits only, which is where it looks most like a number of somebody.
        #[test]
        fn c21_nor_are_ids_that_are_drawn_without_a_letter(
            id in "[0-9]{24}", call in "[0-9]{32}",
            guid in "[0-9]{8}-[0-9]{4}-4[0-9]{3}-[89][0-9]{3}-[0-9]{12}",
        ) {
            let line = own("2026-11-26T09:33:53.123456Z", &id, &call, &guid);
            prop_assert_eq!(left(&line), line);
        }
    }
}
