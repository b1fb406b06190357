//! Finds what is to be replaced in one text: words with what stands between them, looked at in order.
//!
//! Each word is looked at with a bounded number of those behind it, so that the time is linear in the
//! text. Finders are independent of each other; where two find what overlaps, all of it goes.

use super::text::{LETTER, is_word};
use super::{Kinds, address, card, email, national, phone};
use crate::config::pii::PiiKind;

/// Cells that are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: PiiKind,
}

/// A word: letters, digits and `_`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) from: usize,
    pub(super) to: usize,
    /// It is of ASCII digits only.
    pub(super) digits: bool,
    /// There is one in it.
    number: bool,
    /// What stands between it and the next one.
    pub(super) gap: Gap,
}

impl Word {
    pub(super) fn len(&self) -> usize {
        self.to - self.from
    }
}

/// What stands between two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) sign: Sign,
    /// There are no blanks in it.
    pub(super) tight: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// One blank or two, and nothing else.
    Blank,
    Dash,
    Dot,
    Slash,
    /// Parentheses, and perhaps a dash.
    Paren,
    /// Anything else: what stands there belongs to nothing together.
    Other,
}

/// Words that a finder may look at: the longest is a card that is spelled digit by digit.
const AHEAD: usize = 20;
/// Words that are kept at a time.
const WINDOW: usize = 256;

/// Everything that is found, in order and apart from each other.
pub(super) fn find(cells: &[u8], kinds: Kinds) -> Vec<Found> {
    let mut found = Vec::new();
    if kinds.has(PiiKind::Email) {
        email::find(cells, &mut found);
    }
    // No shortcut, so that the compiler makes vectors of it: most texts have no digit.
    let any = cells.iter().fold(false, |any, b| any | b.is_ascii_digit());
    if kinds.has(PiiKind::Ip) && any {
        address::find_v6(cells, &mut found);
    }
    if any && !kinds.only_email() {
        words(cells, kinds, &mut found);
    }
    join(found)
}

fn words(cells: &[u8], kinds: Kinds, found: &mut Vec<Found>) {
    let mut window: Vec<Word> = Vec::with_capacity(WINDOW);
    let (mut at, mut from, mut passed) = (0, 0, 0);
    loop {
        if window.len() - at < AHEAD {
            window.drain(..at);
            at = 0;
            while window.len() < WINDOW
                && let Some(word) = next_word(cells, from)
            {
                from = word.to;
                window.push(word);
            }
        }
        let Some(word) = window.get(at) else {
            return;
        };
        if word.from >= passed
            && let Some(one) = longest(cells, &window[at..], kinds)
        {
            found.push(one);
            passed = one.to;
        }
        at += 1;
    }
}

fn longest(cells: &[u8], words: &[Word], kinds: Kinds) -> Option<Found> {
    // Every kind has a digit in one of its first three words.
    if !words.iter().take(3).any(|word| word.number) {
        return None;
    }
    let chosen = |kind| kinds.has(kind).then_some(words);
    let all = [
        chosen(PiiKind::Card).and_then(|words| card::find(cells, words)),
        chosen(PiiKind::Phone).and_then(|words| phone::find(cells, words)),
        chosen(PiiKind::Ip).and_then(|words| address::find_v4(cells, words)),
        national::find(cells, words, kinds),
    ];
    // Of two as long the first.
    let all = all.into_iter().flatten().rev();
    all.max_by_key(|found| found.to)
}

fn next_word(cells: &[u8], from: usize) -> Option<Word> {
    let from = from + cells[from..].iter().position(|&cell| is_word(cell))?;
    let length = cells[from..].iter().position(|&cell| !is_word(cell));
    let to = length.map_or(cells.len(), |length| from + length);
    let count = cells[from..to]
        .iter()
        .filter(|cell| cell.is_ascii_digit())
        .count();
    Some(Word {
        from,
        to,
        digits: count == to - from,
        number: count > 0,
        gap: gap(&cells[to..]),
    })
}

/// Reads the gap at the start of `cells`: at most four of them.
fn gap(cells: &[u8]) -> Gap {
    const LONGEST: usize = 4;
    let length = cells
        .iter()
        .take(LONGEST + 1)
        .position(|&cell| is_word(cell));
    let other = Gap {
        sign: Sign::Other,
        tight: false,
    };
    let Some(between) = length.map(|length| &cells[..length]) else {
        return other;
    };
    let sign = match between.trim_ascii() {
        b"" if between.len() <= 2 && between.iter().all(|&b| b == b' ') => Sign::Blank,
        // With a blank only before it, it belongs to the number behind it.
        b"-" if between.starts_with(b"-") || between.ends_with(b" ") => Sign::Dash,
        b"." => Sign::Dot,
        b"/" => Sign::Slash,
        b"(" | b")" | b")-" | b")(" | b") (" | b")/" => Sign::Paren,
        _ => return other,
    };
    let lines = between.iter().any(|b| matches!(b, b'\n' | b'\r' | b'\t'));
    if lines {
        return other;
    }
    Gap {
        sign,
        tight: !between.contains(&b' '),
    }
}

/// Sorts what was found, and makes one of what overlaps; the longest says what it is.
fn join(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|found| (found.from, usize::MAX - found.to));
    let mut out: Vec<Found> = Vec::with_capacity(found.len());
    let mut longest = 0;
    for one in found {
        match out.last_mut() {
            Some(last) if one.from < last.to => {
                if one.to - one.from > longest {
                    longest = one.to - one.from;
                    last.kind = one.kind;
                }
                last.to = last.to.max(one.to);
            }
            Some(_) | None => {
                longest = one.to - one.from;
                out.push(one);
            }
        }
    }
    out
}

/// Whether what begins at `from` goes on from a word before it, by a dash or a dot: `a716-446655440000`
/// is no number.
pub(super) fn is_joined_before(cells: &[u8], from: usize) -> bool {
    match cells[..from] {
        [.., before, b'-' | b'.'] => is_word(before),
        _ => false,
    }
}

/// The same behind it; a dot with a letter behind it is the end of a sentence.
pub(super) fn is_joined_after(cells: &[u8], to: usize) -> bool {
    match cells[to..] {
        [b'-', after, ..] => is_word(after),
        [b'.', after, ..] => after.is_ascii_digit(),
        _ => false,
    }
}

/// Whether a number stands before or behind, one blank away: then nobody knows where one ends.
pub(super) fn is_among_numbers(cells: &[u8], from: usize, to: usize) -> bool {
    let before = matches!(cells[..from], [.., b'0'..=b'9', b' ']);
    before || matches!(cells[to..], [b' ', b'0'..=b'9', ..])
}

/// The word before `from`, if blanks or one of `:=#` stand between: where it lies.
pub(super) fn word_before(cells: &[u8], from: usize) -> &[u8] {
    const LONGEST: usize = 10;
    let before = &cells[..from];
    let end = before
        .iter()
        .rposition(|b| !matches!(b, b' ' | b':' | b'=' | b'#' | b'.'));
    let before = &before[..end.map_or(0, |end| end + 1)];
    let letters = before.iter().rev().take(LONGEST);
    let length = letters
        .take_while(|b| b.is_ascii_alphabetic() || **b == LETTER)
        .count();
    &before[before.len() - length..]
}
