//! One whole JSON message, looked at where it lies.
//!
//! [`Reader`] walks over it member by member and hands out strings as [`Raw`], escapes as they are.
//! Whatever a strict parser takes is read as that parser reads it. What such a parser refuses may be
//! taken or refused: inside values that nobody asks for, only quotes and brackets are judged. There
//! is no recursion but that of the caller's own code, nothing is copied, and no input makes it panic.
//!
//! Not here: messages that come in pieces (`voice_live`'s finder), writing.

use std::borrow::Cow;
use std::fmt;

/// A message that is not JSON, not whole, or not what it says it is. It does not tell more, for what
/// it could tell is the peer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be read")]
pub struct Unreadable;

/// The content of a JSON string as it lies in the message, without its quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    text: &'a [u8],
    escaped: bool,
}

/// Audio and identities are strings too, so that only the length is told.
impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.text.len())
    }
}

impl<'a> Raw<'a> {
    /// Nothing.
    pub const EMPTY: Raw<'static> = Raw {
        text: &[],
        escaped: false,
    };

    /// The content with its escapes.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether there are escapes in it.
    pub fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// Whether it says `name`, escapes undone.
    pub fn is(&self, name: &[u8]) -> bool {
        self.compare(name, |a, b| a == b)
    }

    /// The same, ASCII letters in either case.
    pub fn is_in_any_case(&self, name: &[u8]) -> bool {
        self.compare(name, <[u8]>::eq_ignore_ascii_case)
    }

    fn compare(&self, name: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
        if self.escaped {
            self.unescape().is_some_and(|text| same(&text, name))
        } else {
            same(self.text, name)
        }
    }

    /// The content with its escapes undone. `None`: one of them is none (RFC 8259, 7), or half a
    /// surrogate pair.
    pub fn unescape(&self) -> Option<Cow<'a, [u8]>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.text));
        }
        let mut out = Vec::with_capacity(self.text.len());
        let mut rest = self.text;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let (character, behind) = escape(&rest[at + 1..])?;
            let mut utf8 = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            rest = behind;
        }
        out.extend_from_slice(rest);
        Some(Cow::Owned(out))
    }

    /// What `judge` makes of the content, escapes undone, which most names have none of.
    #[inline]
    pub(super) fn named<T>(&self, judge: impl Fn(&[u8]) -> T) -> Result<T, Unreadable> {
        if !self.escaped {
            return Ok(judge(self.text));
        }
        self.named_slowly(judge)
    }

    #[cold]
    fn named_slowly<T>(&self, judge: impl Fn(&[u8]) -> T) -> Result<T, Unreadable> {
        self.unescape().map(|text| judge(&text)).ok_or(Unreadable)
    }

    /// The content with its escapes undone, if it can stand in any JSON string as it is: ASCII
    /// without control characters, quotes and backslashes, as base64 is. `None`: it cannot.
    pub fn plain(&self) -> Option<Cow<'a, [u8]>> {
        let text = self.unescape()?;
        // No shortcut, so that the compiler makes vectors of it: 20 ns for 20 ms of audio. Above
        // 0x7f the byte is negative as a signed one.
        let mut fits = text.iter().fold(true, |fits, &b| fits & (b as i8 > 0x1f));
        if self.escaped {
            fits &= memchr::memchr2(b'"', b'\\', &text).is_none();
        }
        fits.then_some(text)
    }
}

/// Reads one escape behind its backslash: the character, and what follows.
fn escape(text: &[u8]) -> Option<(char, &[u8])> {
    let (&kind, rest) = text.split_first()?;
    let one = |character| Some((character, rest));
    match kind {
        b'"' | b'\\' | b'/' => one(char::from(kind)),
        b'b' => one('\u{8}'),
        b'f' => one('\u{c}'),
        b'n' => one('\n'),
        b'r' => one('\r'),
        b't' => one('\t'),
        b'u' => {
            let (first, rest) = unit(rest)?;
            if !(0xd800..0xdc00).contains(&first) {
                // The second half of a pair alone is no character.
                return Some((char::from_u32(u32::from(first))?, rest));
            }
            let (second, rest) = unit(rest.strip_prefix(b"\\u")?)?;
            let pair = char::decode_utf16([first, second]).next()?.ok()?;
            Some((pair, rest))
        }
        _ => None,
    }
}

/// Four hexadecimal digits.
fn unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let mut value = 0;
    for &digit in digits {
        value = value << 4 | char::from(digit).to_digit(16)? as u16;
    }
    Some((value, rest))
}

/// Objects and lists inside one another, as deep as a value that is skipped may go: as deep as
/// `serde_json` reads, and as a machine word has bits.
const DEPTH_MAX: u32 = 128;

/// Walks over one message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8]) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    /// Reads the object that comes next. `each` gets its keys, and must read or skip the value of
    /// each.
    #[inline]
    pub fn members(
        &mut self,
        mut each: impl FnMut(&mut Reader<'a>, Raw<'a>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            each(self, key)?;
            match self.token()? {
                b',' => {}
                b'}' => return Ok(()),
                _ => return Err(Unreadable),
            }
        }
    }

    /// Reads the list that comes next. `each` must read or skip each of its values.
    pub fn items(
        &mut self,
        mut each: impl FnMut(&mut Reader<'a>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.token()? {
                b',' => {}
                b']' => return Ok(()),
                _ => return Err(Unreadable),
            }
        }
    }

    /// The first byte of what comes next, which stays.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            // White space is none of what is above the space: one comparison for most.
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// The string that comes next.
    #[inline]
    pub fn string(&mut self) -> Result<Raw<'a>, Unreadable> {
        self.expect(b'"')?;
        let rest = self.text.get(self.at..).ok_or(Unreadable)?;
        let at = find_end(rest)?;
        let (text, behind) = rest.split_at(at);
        if behind.first() == Some(&b'"') {
            self.at += at + 1;
            return Ok(Raw {
                text,
                escaped: false,
            });
        }
        self.escaped_string(rest, at)
    }

    /// The string at the start of `rest`, whose first backslash is at `from`.
    #[cold]
    fn escaped_string(&mut self, rest: &'a [u8], mut from: usize) -> Result<Raw<'a>, Unreadable> {
        loop {
            // What follows a backslash ends nothing.
            from += 2;
            let behind = rest.get(from..).ok_or(Unreadable)?;
            from += memchr::memchr2(b'"', b'\\', behind).ok_or(Unreadable)?;
            if rest[from] == b'"' {
                self.at += from + 1;
                return Ok(Raw {
                    text: &rest[..from],
                    escaped: true,
                });
            }
        }
    }

    /// The string that comes next; `None`, and it is skipped, if something else does.
    #[inline]
    pub fn string_or_skip(&mut self) -> Result<Option<Raw<'a>>, Unreadable> {
        if self.peek() == Some(b'"') {
            return self.string().map(Some);
        }
        self.skip()?;
        Ok(None)
    }

    /// The number or the word that comes next; `None`, and it is skipped, if something else does.
    #[inline]
    pub fn scalar_or_skip(&mut self) -> Result<Option<&'a [u8]>, Unreadable> {
        match self.peek() {
            Some(b'"' | b'{' | b'[') => self.skip().map(|()| None),
            _ => self.scalar().map(Some),
        }
    }

    /// Passes over the value that comes next.
    pub fn skip(&mut self) -> Result<(), Unreadable> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.scalar().map(drop),
        }
    }

    /// Passes over the value that comes next and returns it as it lies.
    pub fn value(&mut self) -> Result<&'a [u8], Unreadable> {
        self.peek();
        let from = self.at;
        self.skip()?;
        Ok(&self.text[from..self.at])
    }

    /// Whether nothing but white space is left.
    pub fn end(&mut self) -> Result<(), Unreadable> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Unreadable),
        }
    }

    #[inline]
    fn token(&mut self) -> Result<u8, Unreadable> {
        let byte = self.peek().ok_or(Unreadable)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.token()? == byte {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }

    #[inline]
    fn scalar(&mut self) -> Result<&'a [u8], Unreadable> {
        let rest = &self.text[self.at..];
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let length = rest.iter().position(|b| !is_part(b)).unwrap_or(rest.len());
        self.at += length;
        if length == 0 {
            return Err(Unreadable);
        }
        Ok(&rest[..length])
    }

    fn skip_nested(&mut self) -> Result<(), Unreadable> {
        // What is open, innermost last: a bit each, set for an object.
        let (mut open, mut depth) = (0u128, 0);
        loop {
            match self.peek().ok_or(Unreadable)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                bracket @ (b'{' | b'[') => {
                    if depth == DEPTH_MAX {
                        return Err(Unreadable);
                    }
                    open = open << 1 | u128::from(bracket == b'{');
                    depth += 1;
                }
                bracket @ (b'}' | b']') => {
                    if (open & 1 == 1) != (bracket == b'}') {
                        return Err(Unreadable);
                    }
                    open >>= 1;
                    depth -= 1;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Bytes of a string that are looked at one word at a time: most keys and values are shorter, and
/// the call of a search costs more than they do.
const SHORT: usize = 32;

/// Where the first quote or backslash is.
#[inline]
fn find_end(text: &[u8]) -> Result<usize, Unreadable> {
    const ONES: u64 = u64::MAX / 255;
    if let Some(short) = text.first_chunk::<SHORT>() {
        for (at, word) in short.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            // The lowest bit set marks the first zero byte (Hacker's Delight, 6-1).
            let zeros = |x: u64| x.wrapping_sub(ONES) & !x;
            let quote = zeros(word ^ (ONES * b'"' as u64));
            let found = (quote | zeros(word ^ (ONES * b'\\' as u64))) & (ONES << 7);
            if found != 0 {
                return Ok(at * 8 + found.trailing_zeros() as usize / 8);
            }
        }
    }
    memchr::memchr2(b'"', b'\\', text).ok_or(Unreadable)
}

/// Keeps what a member says; said twice, nobody knows which one counts to whom.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Unreadable> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(text: &str) -> Raw<'_> {
        Raw {
            text: text.as_bytes(),
            escaped: text.contains('\\'),
        }
    }

    #[test]
    fn escapes_are_undone_as_the_rfc_says_or_not_at_all() {
        for (text, plain) in [
            ("abc", "abc"),
            (r"\u002B\/\u002f", "+//"),
            (r#"\"\\\b\f\n\r\t"#, "\"\\\u{8}\u{c}\n\r\t"),
            (r"\u00e9\ud83d\ude00\u0000", "é😀\0"),
        ] {
            assert_eq!(
                raw(text).unescape().as_deref(),
                Some(plain.as_bytes()),
                "{text}"
            );
            assert!(raw(text).is(plain.as_bytes()));
        }
        for text in [
            r"\x",
            r"\",
            r"\u00",
            r"\u00zz",
            r"\ud83d",
            r"\ud83dx",
            r"\ud83d\n",
            r"\ude00",
            r"\ud83d\u0041",
            r"\u+123",
        ] {
            assert_eq!(raw(text).unescape(), None, "{text}");
            assert!(!raw(text).is(text.as_bytes()));
        }
        assert!(raw(r"\u006bIND").is_in_any_case(b"kind"));
        assert!(!raw(r"\u006bIND").is(b"kind"));
    }

    #[test]
    fn a01_what_could_leave_the_string_it_is_put_into_is_not_plain() {
        assert_eq!(
            raw(r"AA\u002B\/A=").plain().as_deref(),
            Some(&b"AA+/A="[..])
        );
        assert!(matches!(raw("AA+/").plain(), Some(Cow::Borrowed(b"AA+/"))));
        for text in [
            r#"\""#, r"\\", r"\u0022", r"\u005c", r"\n", r"\u00e9", "é", "\u{1f}", "a\nb", r"\q",
        ] {
            assert_eq!(raw(text).plain(), None, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_and_brackets_must_match() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let skip = |text: &str| {
            let mut reader = Reader::new(text.as_bytes());
            reader.skip().and_then(|()| reader.end())
        };
        assert_eq!(skip(&nested(128)), Ok(()));
        assert_eq!(skip(&nested(129)), Err(Unreadable));
        assert_eq!(skip(&"[".repeat(1 << 20)), Err(Unreadable));
        for text in [
            "[}",
            "{]",
            "[{]}",
            "[",
            "{\"a\":[}",
            "[\"]",
            "",
            ",",
            "]",
            "\"a",
            "\"a\\",
        ] {
            assert_eq!(skip(text), Err(Unreadable), "{text}");
        }
        for text in [
            "[]",
            "{}",
            "[{\"]\":\"}\\\"\"},[]]",
            "-1.5e3",
            "null",
            "\"a\"",
        ] {
            assert_eq!(skip(text), Ok(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_what_serde_reads(text in "\\PC{0,20}", wide in any::<bool>()) {
            let mut quoted = serde_json::to_string(&text).unwrap();
            if wide {
                // Every character in its longest form.
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
                quoted = format!("\"{}\"", units.collect::<String>());
            }
            let found = Reader::new(quoted.as_bytes()).string().unwrap();
            prop_assert!(found.unescape().is_some_and(|undone| *undone == *text.as_bytes()));
            prop_assert!(found.is(text.as_bytes()));
        }

        #[test]
        fn the_end_of_a_string_is_where_the_search_finds_it(
            text in proptest::collection::vec(prop_oneof![
                8 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0x21u8..0x24, 1 => 0xa1u8..0xa4,
            ], 0..50),
        ) {
            prop_assert_eq!(find_end(&text).ok(), memchr::memchr2(b'"', b'\\', &text));
        }

        #[test]
        fn never_panics(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "[\\[\\]{}\",:\\\\ un0a1d8]{0,60}".prop_map(String::into_bytes),
        ]) {
            let mut reader = Reader::new(&bytes);
            while reader.skip().is_ok() {}
            let mut reader = Reader::new(&bytes);
            let _ = reader.members(|reader, key| {
                let _ = key.plain();
                reader.skip()
            });
            let _ = Reader { text: &bytes, at: 0 }.string();
        }
    }
}
