//! Whether a name in a request is one that the route names, however it is spelled.
//!
//! A name is its ASCII letters, case aside, and digits. `_`, `-`, blanks and what cannot be seen are
//! nothing; every other sign divides it, as `.`, `[` and `]` divide paths in forms, and as control
//! bytes end names for those who read C strings. A route's name is found if it is one part, or
//! several that follow each other: PHP reads `engineer.id` as `engineer_id`.
//!
//! A letter or digit beyond ASCII may stand for any one: case mapping takes `ſ` for `s`, `ı` for `i`
//! and the Kelvin sign for `k`, code pages take letters with accents for those without, and others
//! only look alike. At least half of a name is ASCII, or full-width forms of it.

use std::borrow::Cow;

use crate::bot::body::Denied;
use crate::config::rewrite::FieldName;

/// How a name in a request stands to one of the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    None,
    /// Its value is what the route means: `engineerId`, `user[engineer_id]`, `engineer_id[]`.
    Whole,
    /// Its value is a part of what the route means: `engineer_id[$ne]`, `engineer_id.0`.
    Inside,
}

/// A name in a request, taken apart once for all names of the route.
pub(super) enum Spelling<'a> {
    /// Letters and digits of ASCII and what joins them: one part.
    Plain(&'a str),
    Parted {
        letters: Vec<u8>,
        /// Where parts begin, the first one at 0.
        parts: Vec<usize>,
    },
}

/// A letter or a digit beyond ASCII.
const ANY: u8 = 0xff;

impl<'a> Spelling<'a> {
    pub(super) fn of(name: &'a str) -> Spelling<'a> {
        let joins = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ');
        if name.bytes().all(joins) {
            return Spelling::Plain(name);
        }
        let mut letters = Vec::with_capacity(name.len());
        let mut parts = vec![0];
        let mut divided = false;
        for character in name.chars() {
            let letter = match plain(character) {
                c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase() as u8,
                '_' | '-' | ' ' => continue,
                c if c.is_ascii() => {
                    divided = true;
                    continue;
                }
                c if c.is_alphanumeric() => ANY,
                _ => continue,
            };
            if divided && !letters.is_empty() {
                parts.push(letters.len());
            }
            divided = false;
            letters.push(letter);
        }
        Spelling::Parted { letters, parts }
    }

    pub(super) fn stands_to(&self, name: &FieldName) -> Match {
        let wanted = name.folded();
        let (letters, parts) = match self {
            Spelling::Plain(text) => {
                let letters = text.bytes().filter(u8::is_ascii_alphanumeric);
                let same = letters
                    .map(|byte| byte.to_ascii_lowercase())
                    .eq(wanted.iter().copied());
                return if same { Match::Whole } else { Match::None };
            }
            Spelling::Parted { letters, parts } => (letters, parts),
        };
        let mut found = Match::None;
        for &from in parts {
            let to = from + wanted.len();
            let part = letters.get(from..to);
            if !part.is_some_and(|letters| is_like(letters, wanted)) {
                continue;
            }
            if to < letters.len() && parts.binary_search(&to).is_ok() {
                return Match::Inside;
            }
            if to == letters.len() {
                found = Match::Whole;
            }
        }
        found
    }
}

/// A full-width form is what it is the form of.
fn plain(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        _ => character,
    }
}

fn is_like(letters: &[u8], wanted: &[u8]) -> bool {
    let mut any = 0;
    for (letter, wanted) in letters.iter().zip(wanted) {
        if *letter == ANY {
            any += 1;
        } else if letter != wanted {
            return false;
        }
    }
    any * 2 <= wanted.len()
}

/// Decodes a name of a query or of a form, once (WHATWG URL, 5.1).
///
/// Only what everybody decodes alike is taken: `%` with two digits behind it, UTF-8. What some decode
/// once more is refused if it then is one of `names`.
pub(super) fn decode<'a, 'n>(
    raw: &'a str,
    names: impl Iterator<Item = &'n FieldName> + Clone,
) -> Result<Cow<'a, str>, Denied> {
    if !raw.contains(['%', '+']) {
        return Ok(Cow::Borrowed(raw));
    }
    let (bytes, whole) = undo(raw);
    let once = String::from_utf8(bytes).ok().filter(|_| whole);
    let once = once.ok_or(Denied::bad("the name of a parameter is encoded wrongly"))?;
    refuse_hidden(&once, names)?;
    Ok(Cow::Owned(once))
}

/// Refuses a decoded name that hides one of `names` below further encodings.
fn refuse_hidden<'n>(
    once: &str,
    names: impl Iterator<Item = &'n FieldName> + Clone,
) -> Result<(), Denied> {
    const LAYERS_MAX: usize = 8;
    let mut layer = once.to_owned();
    for _ in 0..LAYERS_MAX {
        if !layer.contains('%') {
            return Ok(());
        }
        let (bytes, _) = undo(&layer);
        let next = String::from_utf8_lossy(&bytes).into_owned();
        if next == layer {
            return Ok(());
        }
        let spelling = Spelling::of(&next);
        if names
            .clone()
            .any(|name| spelling.stands_to(name) != Match::None)
        {
            return Err(Denied::bad("the name of a parameter is encoded twice"));
        }
        layer = next;
    }
    Err(Denied::bad("the name of a parameter is encoded too often"))
}

/// Undoes one layer, `%u0065` of older servers included; and whether it was well formed: what is not
/// stays as it is, as lenient decoders have it.
pub(super) fn undo(raw: &str) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(raw.len());
    let mut whole = true;
    let mut rest = raw.as_bytes();
    let number = |digits: Option<&[u8]>| {
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            out.push(if byte == b'+' { b' ' } else { byte });
            continue;
        }
        if let Some(value) = number(behind.get(..2)) {
            out.push(value as u8);
            rest = &behind[2..];
            continue;
        }
        whole = false;
        let wide = behind.strip_prefix(b"u").or(behind.strip_prefix(b"U"));
        let wide = wide.and_then(|digits| number(digits.get(..4)));
        match wide.and_then(char::from_u32) {
            Some(character) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &behind[5..];
            }
            None => out.push(byte),
        }
    }
    (out, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> FieldName {
        FieldName::new("engineer_id").unwrap()
    }

    fn found(text: &str) -> Match {
        Spelling::of(text).stands_to(&name())
    }

    #[test]
    fn c14_every_spelling_is_found() {
        for text in [
            "engineer_id",
            "engineerId",
            "EngineerID",
            "ENGINEER-ID",
            "engineer id",
            " engineer_id",
            "engineer_id ",
            "__engineer__id",
            "engineer_id[]",
            "engineer_id[][]",
            "engineer.id",
            "engineer[id",
            "user.engineer_id",
            "user[engineer_id]",
            "a[0].engineerId",
            "$engineer_id",
            "engineer_id\0",
            "?engineer_id",
            "engineer\u{200b}_id",
            "\u{feff}engineer_id",
            "engineer\u{a0}id",
            "engineer\u{2010}id",
            "ｅｎｇｉｎｅｅｒ＿ｉｄ",
            "engıneer_ıd",
            "engineer_іd",
            "ENGİNEER_İD",
            "éngineer_id",
            "engineer;id",
            "engi\u{301}neer_id",
            "a=engineer_id",
        ] {
            assert_eq!(found(text), Match::Whole, "{text:?}");
        }
        for text in [
            "engineer_id[$ne]",
            "engineer_id[0]",
            "engineer_id.0",
            "engineer_id\0x",
            "engineer_id=x",
            "engineer.id.x",
            "a[engineer_id][b]",
            "engineer_id[engineer_id]",
            "engineer_id&x",
        ] {
            assert_eq!(found(text), Match::Inside, "{text:?}");
        }
        let service = FieldName::new("user_key").unwrap();
        for text in ["uſer_key", "user_\u{212a}ey"] {
            assert_eq!(Spelling::of(text).stands_to(&service), Match::Whole);
        }
    }

    #[test]
    fn other_names_are_others() {
        for text in [
            "",
            "engineer",
            "id",
            "engineer_ids",
            "the_engineer_id",
            "engineerid2",
            "engineer_i",
            "engineer_identity",
            "my_engineer.id",
            "名前",
            "エンジニアの番号です",
            "[]",
            "éééééééééé",
            "engineer.ids",
            "x.engineer.xid",
        ] {
            assert_eq!(found(text), Match::None, "{text:?}");
        }
    }

    #[test]
    fn c14_names_are_decoded_once_and_hide_nothing_below_that() {
        let name = name();
        let decode = |raw| decode(raw, std::iter::once(&name));
        for (raw, text) in [
            ("message", "message"),
            ("engineer%5Fid", "engineer_id"),
            ("%65ngineer_id", "engineer_id"),
            ("a+b%20c", "a b c"),
            ("100%25", "100%"),
            ("%C3%A9", "é"),
            ("a%2541", "a%41"),
        ] {
            assert_eq!(decode(raw).as_deref(), Ok(text), "{raw}");
        }
        for raw in [
            "%",
            "a%",
            "a%6",
            "a%zz",
            "a%+1",
            "%u0065ngineer_id",
            "%C1%A5ngineer_id",
            "%FF",
            "engineer%255Fid",
            "engineer%25255Fid",
            "%2565ngineer_id",
            "%25u0065ngineer_id",
            "engineer%255fid%255b%255d",
            "engineer_id%2500%25",
            "%25252525252525252525252525",
        ] {
            assert!(decode(raw).is_err(), "{raw}");
        }
    }
}
