//! A text as the finders see it: one byte for each character that can be seen.
//!
//! Full-width forms, digits of other scripts, wide and narrow blanks and the many dashes are what they
//! look like; what cannot be seen is not there. A text of plain ASCII is looked at where it lies.

use std::borrow::Cow;

/// A letter beyond ASCII.
pub(super) const LETTER: u8 = 0x80;
/// Any other character beyond ASCII, or half of one.
const SIGN: u8 = 0x81;

/// The characters of a text, and where they lie in it.
pub(super) struct Text<'a> {
    pub(super) cells: Cow<'a, [u8]>,
    /// Where each cell begins; `None`: at its own index.
    places: Option<Vec<usize>>,
    length: usize,
}

impl<'a> Text<'a> {
    /// A text as it is.
    pub(super) fn plain(text: &'a str) -> Text<'a> {
        if text.is_ascii() {
            return Text::ascii(text);
        }
        Text::gather(text, text.char_indices().map(|(at, c)| (at, Some(c))))
    }

    /// The content of a JSON string, escapes as they are; [`Walk`](crate::bot::json::Walk) has judged
    /// them.
    pub(super) fn escaped(raw: &'a str) -> Text<'a> {
        if raw.is_ascii() && !raw.contains('\\') {
            return Text::ascii(raw);
        }
        Text::gather(raw, Escaped { raw, at: 0 })
    }

    fn ascii(text: &'a str) -> Text<'a> {
        Text {
            cells: Cow::Borrowed(text.as_bytes()),
            places: None,
            length: text.len(),
        }
    }

    fn gather(text: &str, characters: impl Iterator<Item = (usize, Option<char>)>) -> Text<'a> {
        let mut cells = Vec::with_capacity(text.len());
        let mut places = Vec::with_capacity(text.len());
        for (at, character) in characters {
            if let Some(cell) = character.map_or(Some(SIGN), cell) {
                cells.push(cell);
                places.push(at);
            }
        }
        Text {
            cells: Cow::Owned(cells),
            places: Some(places),
            length: text.len(),
        }
    }

    /// Where a cell begins in the text, or where the text ends.
    pub(super) fn place(&self, cell: usize) -> usize {
        match &self.places {
            None => cell,
            Some(places) => places.get(cell).copied().unwrap_or(self.length),
        }
    }
}

/// The characters of a JSON string; `None`: half a surrogate pair.
pub(super) struct Escaped<'a> {
    pub(super) raw: &'a str,
    /// Where the next one begins.
    pub(super) at: usize,
}

impl Iterator for Escaped<'_> {
    type Item = (usize, Option<char>);

    fn next(&mut self) -> Option<(usize, Option<char>)> {
        let at = self.at;
        let rest = &self.raw[at..];
        let first = rest.chars().next()?;
        if first != '\\' {
            self.at += first.len_utf8();
            return Some((at, Some(first)));
        }
        let (length, character) = match rest.as_bytes().get(1) {
            Some(b'u') => match (unit(rest, 0), unit(rest, 6)) {
                (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                    let pair = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    (12, char::from_u32(pair))
                }
                (Some(unit), _) => (6, char::from_u32(unit)),
                (None, _) => (2, None),
            },
            Some(b'n') => (2, Some('\n')),
            Some(b't') => (2, Some('\t')),
            Some(b'r') => (2, Some('\r')),
            Some(b'b' | b'f') => (2, Some('\u{c}')),
            Some(other) => (2, Some(char::from(*other))),
            None => (1, None),
        };
        self.at = (at + length).min(self.raw.len());
        Some((at, character))
    }
}

/// The code unit of `\uXXXX` at `at`.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u32::from_str_radix(digits, 16).ok()
}

/// What a character looks like; `None`: like nothing.
fn cell(character: char) -> Option<u8> {
    let code = u32::from(character);
    Some(match character {
        '\0'..='\x7f' => code as u8,
        // Most letters of Europe.
        '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{52f}' if character.is_alphanumeric() => LETTER,
        // Full-width forms.
        '\u{ff01}'..='\u{ff5e}' => (code - 0xfee0) as u8,
        // Marks of direction, joiners, the soft hyphen, the byte order mark.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => return None,
        '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' => return None,
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => b' ',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => b'-',
        '\u{2024}' | '\u{3002}' | '\u{ff61}' => b'.',
        '\u{2044}' | '\u{2215}' => b'/',
        '\u{fe6b}' => b'@',
        // Digits of mathematics, five times ten.
        '\u{1d7ce}'..='\u{1d7ff}' => b'0' + ((code - 0x1d7ce) % 10) as u8,
        _ => match ZEROS
            .iter()
            .find(|&&zero| (zero..zero + 10).contains(&code))
        {
            Some(zero) => b'0' + (code - zero) as u8,
            None if character.is_alphanumeric() => LETTER,
            None => SIGN,
        },
    })
}

/// The digit 0 of scripts that are in wide use: Arabic and Persian, of India's, Thai.
const ZEROS: [u32; 12] = [
    0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50,
];

/// Whether a cell is of a word.
pub(super) fn is_word(cell: u8) -> bool {
    cell.is_ascii_alphanumeric() || matches!(cell, b'_' | LETTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn c21_characters_are_what_they_look_like() {
        for (raw, cells) in [
            ("a@b", "a@b"),
            (r"a\u0040b", "a@b"),
            (r"４１\uff11１－@＠．", "4111-@@."),
            ("4\u{200b}1\u{ad}1", "411"),
            ("4\u{a0}1\u{202f}1\u{2011}1", "4 1 1-1"),
            ("٤١\u{966}", "410"),
            (r"\ud835\udfcf\n\/\\", "1\n/\\"),
        ] {
            assert_eq!(&*Text::escaped(raw).cells, cells.as_bytes(), "{raw}");
        }
        let text = Text::escaped(r"é\ud800\u00e9😀x");
        assert_eq!(&*text.cells, [LETTER, SIGN, LETTER, SIGN, b'x']);
        assert_eq!(text.place(2), 8);
        assert_eq!(text.place(5), r"é\ud800\u00e9😀x".len());
    }

    proptest! {
        #[test]
        fn plain_and_escaped_are_one(text in "\\PC{0,20}", wide in any::<bool>()) {
            let mut quoted = serde_json::to_string(&text).unwrap();
            if wide {
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
                quoted = format!("\"{}\"", units.collect::<String>());
            }
            let raw = &quoted[1..quoted.len() - 1];
            let escaped = Text::escaped(raw);
            prop_assert_eq!(&escaped.cells, &Text::plain(&text).cells);
            let places: Vec<_> = (0..=escaped.cells.len()).map(|cell| escaped.place(cell)).collect();
            prop_assert!(places.is_sorted() && places.iter().all(|&at| raw.is_char_boundary(at)));
        }
    }
}
