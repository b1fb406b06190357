//! One whole JSON text, read as RFC 8259 says and in no other way, piece by piece with places.
//!
//! What a lenient reader takes and this one does not (comments, `NaN`, single quotes, a comma at the
//! end) is refused, so that there is nothing that two readers could take for different fields. Two
//! things are left to them: which one of equal keys counts, and half a surrogate pair in a value.
//!
//! Not here: messages of the media path, which `wire` reads and which may be laxer, as nothing in
//! them is replaced.

use std::borrow::Cow;
use std::ops::Range;

use super::body::Denied;
use crate::wire::json::Reader;

/// Objects and lists inside one another: as deep as `serde_json` reads, and as a machine word has
/// bits.
pub(super) const DEPTH_MAX: u32 = 128;

/// What lies in the text next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// `{` or `[`, and where.
    Open { object: bool, at: usize },
    /// `}` or `]`, and where.
    Close { at: usize },
    /// A key, with its quotes.
    Key(Range<usize>),
    /// A string, with its quotes.
    Text(Range<usize>),
    /// A number, `true`, `false` or `null`.
    Other(Range<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ItemOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
    Nothing,
}

/// Walks over one text.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// What is open, innermost last: a bit each, set for an object.
    open: u128,
    depth: u32,
    expect: Expect,
}

const MALFORMED: Denied = Denied {
    reason: crate::error::Reason::BadRequest,
    detail: "the body is not JSON as RFC 8259 has it",
    status: None,
};
const DEEP: Denied = Denied {
    detail: "the body is nested too deep",
    ..MALFORMED
};
const HALF: Denied = Denied {
    detail: "a key holds half a surrogate pair",
    ..MALFORMED
};

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str) -> Walk<'a> {
        Walk {
            text,
            at: 0,
            open: 0,
            depth: 0,
            expect: Expect::Value,
        }
    }

    /// How many objects and lists are open.
    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// The next piece; `None` at the end of the text, which must be that of its one value.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Denied> {
        loop {
            let byte = self.peek();
            let object = self.open & 1 == 1;
            match (self.expect, byte) {
                (Expect::Nothing, None) => return Ok(None),
                (Expect::CommaOrEnd, Some(b',')) => {
                    self.at += 1;
                    self.expect = if object { Expect::Key } else { Expect::Value };
                }
                (Expect::CommaOrEnd | Expect::KeyOrEnd, Some(b'}')) if object => {
                    return Ok(Some(self.close()));
                }
                (Expect::CommaOrEnd | Expect::ItemOrEnd, Some(b']')) if !object => {
                    return Ok(Some(self.close()));
                }
                (Expect::Key | Expect::KeyOrEnd, Some(b'"')) => {
                    let key = self.string()?;
                    if self.peek() != Some(b':') {
                        return Err(MALFORMED);
                    }
                    self.at += 1;
                    self.expect = Expect::Value;
                    return Ok(Some(Piece::Key(key)));
                }
                (Expect::Value | Expect::ItemOrEnd, Some(byte)) => {
                    return self.value(byte).map(Some);
                }
                (
                    Expect::Value
                    | Expect::ItemOrEnd
                    | Expect::Key
                    | Expect::KeyOrEnd
                    | Expect::CommaOrEnd
                    | Expect::Nothing,
                    _,
                ) => return Err(MALFORMED),
            }
        }
    }

    /// Passes over the value behind a key: where it begins and ends.
    pub(super) fn skip(&mut self) -> Result<Range<usize>, Denied> {
        let depth = self.depth;
        self.peek();
        let from = self.at;
        loop {
            self.next()?.ok_or(MALFORMED)?;
            if self.depth == depth {
                return Ok(from..self.at);
            }
        }
    }

    /// The content of a string that is not a key: one with half a surrogate pair has none.
    pub(super) fn content(&self, quoted: Range<usize>) -> Option<Cow<'a, str>> {
        let raw = Reader::new(self.text[quoted].as_bytes()).string().ok()?;
        Some(match raw.unescape()? {
            Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
        })
    }

    /// The content of a key.
    pub(super) fn key(&self, quoted: Range<usize>) -> Result<Cow<'a, str>, Denied> {
        self.content(quoted).ok_or(HALF)
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn close(&mut self) -> Piece {
        let at = self.at;
        self.at += 1;
        self.open >>= 1;
        self.depth -= 1;
        self.valued();
        Piece::Close { at }
    }

    /// A value has ended.
    fn valued(&mut self) {
        self.expect = match self.depth {
            0 => Expect::Nothing,
            _ => Expect::CommaOrEnd,
        };
    }

    fn value(&mut self, byte: u8) -> Result<Piece, Denied> {
        let at = self.at;
        match byte {
            b'{' | b'[' => {
                if self.depth == DEPTH_MAX {
                    return Err(DEEP);
                }
                let object = byte == b'{';
                self.at += 1;
                self.depth += 1;
                self.open = self.open << 1 | u128::from(object);
                self.expect = match object {
                    true => Expect::KeyOrEnd,
                    false => Expect::ItemOrEnd,
                };
                Ok(Piece::Open { object, at })
            }
            b'"' => {
                let text = self.string()?;
                self.valued();
                Ok(Piece::Text(text))
            }
            _ => {
                let rest = &self.text.as_bytes()[at..];
                let of_scalar =
                    |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                let length = rest.iter().position(|b| !of_scalar(b));
                let scalar = &rest[..length.unwrap_or(rest.len())];
                if !matches!(scalar, b"true" | b"false" | b"null") && !is_number(scalar) {
                    return Err(MALFORMED);
                }
                self.at += scalar.len();
                self.valued();
                Ok(Piece::Other(at..self.at))
            }
        }
    }

    fn string(&mut self) -> Result<Range<usize>, Denied> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        let mut at = from + 1;
        loop {
            let rest = bytes.get(at..).ok_or(MALFORMED)?;
            let plain = memchr::memchr2(b'"', b'\\', rest).ok_or(MALFORMED)?;
            // No shortcut, so that the compiler makes vectors of it.
            if rest[..plain].iter().fold(false, |any, &b| any | (b < 0x20)) {
                return Err(MALFORMED);
            }
            at += plain + 1;
            if rest[plain] == b'"' {
                self.at = at;
                return Ok(from..at);
            }
            at += match rest.get(plain + 1).ok_or(MALFORMED)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
                b'u' => {
                    let digits = rest.get(plain + 2..plain + 6).ok_or(MALFORMED)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(MALFORMED);
                    }
                    5
                }
                _ => return Err(MALFORMED),
            };
        }
    }
}

/// RFC 8259, 6.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest[0] == b'0' {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent = match exponent.split_first() {
            Some((b'+' | b'-', digits)) => digits,
            Some(_) | None => exponent,
        };
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

/// `text` as a JSON string, with its quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn takes(text: &str) -> bool {
        let mut walk = Walk::new(text);
        loop {
            match walk.next() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// What some reader or other takes.
    const LENIENT: &[&str] = &[
        "",
        " ",
        "{",
        "}",
        "[}",
        "{]",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,]",
        "{\"a\" 1}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1}{}",
        "{} x",
        "[1 2]",
        "{\"a\"}",
        "{1:2}",
        "{\"a\":1}//",
        "/**/{}",
        "{\"a\":NaN}",
        "Infinity",
        "-Infinity",
        "undefined",
        "True",
        "01",
        "1.",
        ".1",
        "+1",
        "0x1",
        "1e",
        "1e+",
        "--1",
        "-",
        "1_0",
        "\"\t\"",
        "\"\n\"",
        "\"\\x41\"",
        "\"\\u00\"",
        "\"\\u00zz\"",
        "\"\\'\"",
        "\"\\",
        "\"a",
        "\u{feff}{}",
        "\u{a0}{}",
        "{}\0",
        "\u{c}1",
        "nul",
        "tru e",
        "[1]]",
        "{\"\\ud800\":1",
    ];

    #[test]
    fn c14_what_a_lenient_reader_takes_is_refused() {
        for text in LENIENT {
            assert!(!takes(text), "{text:?}");
        }
        for text in [
            "{}",
            "[]",
            " [ ] ",
            "0",
            "-0",
            "1e400",
            "-1.50E-7",
            "\"\"",
            "\"\\ud800\"",
            "null",
            "{\"a\":[{\"b\":[]}],\"a\":\"\\u0000\"}\r\n\t ",
        ] {
            assert!(takes(text), "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(takes(&nested(128)));
        assert!(!takes(&nested(129)));
        assert!(!takes(&"[".repeat(1 << 20)));
        assert!(!takes(&"{\"a\":".repeat(1 << 18)));
    }

    #[test]
    fn a_key_with_half_a_pair_has_no_content() {
        let text = r#"{"a\ud800":"\ud800"}"#;
        let mut walk = Walk::new(text);
        walk.next().unwrap();
        let Some(Piece::Key(key)) = walk.next().unwrap() else {
            panic!("no key");
        };
        assert!(walk.key(key).is_err());
        assert_eq!(&text[walk.skip().unwrap()], "\"\\ud800\"");
    }

    /// A text that is JSON, or that was before it was cut or changed.
    fn nearly() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\"a\""),
            Just("\"\\u0061\""),
            Just("1"),
            Just("-0.5e1"),
            Just("true"),
            Just(" "),
            Just("\"a\":"),
            Just("\"é\\n\":1,"),
            Just("00"),
        ];
        proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn takes_what_serde_takes(text in prop_oneof![nearly(), "\\PC{0,12}"]) {
            // Numbers of any size are JSON; `RawValue` does not turn them into one.
            let serde = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(takes(&text), serde, "{}", text);
        }
    }
}
