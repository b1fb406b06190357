//! The grammar of an entry: which keys make a code.
//!
//! ```text
//! entry  = [ number "#" ] code          the number only where the caller dials it
//! number = 2*15 digits, no leading 0    E.164 without its plus
//! code   = n digits                     of fixed length: whole with the last one
//!        | 1*n digits ( "#" | pause )
//! ```
//!
//! `*` clears the whole entry, the number too. A `#` where nothing was dialled is none: the habit of
//! ending a code that had ended by itself is no attempt. Letters (A to D) stand in no code: they take a
//! place, and the entry is wrong. So is one that is too long or whose number is none; all of that
//! shows at its end only, so that the rest of it does not pass for the next entry, and nobody learns
//! which part was wrong.
//!
//! An entry ends as *short* if it has fewer digits than the fixed length, and nothing else is wrong:
//! then a key may have been missed, and [`replay`](super::replay) looks for it.

use std::time::Duration;

use zeroize::{Zeroize as _, Zeroizing};

use super::digits::{Key, Place};
use super::replay::Found;
use crate::config::{Ani, CodeLength, Dialled};
use crate::ids::PhoneNumber;

/// Digits of the longest number (E.164).
const NUMBER_MAX: usize = 15;
/// How far apart two looks at one press may be: as far as two feeds.
const SAME_PRESS: Duration = Duration::from_millis(500);

/// What a caller dialled for a code: half of a key. It cannot be formatted and is wiped.
#[derive(Clone)]
pub struct Code(Zeroizing<String>);

impl Code {
    /// The digits, for building the store's key and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A whole entry, to be tried at the store.
#[derive(Clone)]
pub struct Entry {
    number: u32,
    ani: Option<PhoneNumber>,
    code: Code,
}

impl Entry {
    pub(super) fn new(number: u32, whole: Whole) -> Entry {
        Entry {
            number,
            ani: whole.ani,
            code: whole.code,
        }
    }

    /// Which try of the call this is, from 1: the answer names it.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The caller's number, where the caller dials it.
    pub fn ani(&self) -> Option<&PhoneNumber> {
        self.ani.as_ref()
    }

    pub fn code(&self) -> &Code {
        &self.code
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(_)")
    }
}

/// What an entry of good form holds.
pub(super) struct Whole {
    ani: Option<PhoneNumber>,
    code: Code,
}

/// What an entry that ended amounts to.
pub(super) enum Form {
    Whole(Whole),
    /// A key may have been missed.
    Short,
    /// No code, whatever was missed.
    Wrong,
}

/// The entry that is being dialled.
#[derive(Debug)]
pub(super) struct Draft {
    dials_number: bool,
    length: CodeLength,
    /// The number, until its `#`; then the code.
    part: Part,
    number: Option<PhoneNumber>,
    number_ended: Option<Duration>,
    wrong: bool,
    /// Anything has been dialled.
    open: bool,
    first: Duration,
    last: Duration,
}

/// Digits, when each was pressed, and the numbers of these presses.
struct Part {
    digits: Zeroizing<Vec<u8>>,
    at: Vec<Duration>,
    numbers: Vec<u64>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Part(_)")
    }
}

impl Draft {
    pub(super) fn new(dialled: Dialled, length: CodeLength) -> Draft {
        // One more than a code may have shows that it is too long; a buffer that never grows leaves no
        // copies.
        let room = NUMBER_MAX.max(most(length)) + 1;
        Draft {
            dials_number: matches!(dialled, Dialled::Pstn { ani: Ani::Digits }),
            length,
            part: Part::with_room(room),
            number: None,
            number_ended: None,
            wrong: false,
            open: false,
            first: Duration::ZERO,
            last: Duration::ZERO,
        }
    }

    /// Takes the next key, or one that came before another of the entry; whether the entry ends with it.
    pub(super) fn take(&mut self, place: Place, key: Key) -> bool {
        let at = place.at;
        if key.0 == b'*' {
            self.clear();
            return false;
        }
        if key.0 == b'#' {
            return self.end_part(at);
        }
        if !self.open {
            (self.open, self.first, self.last) = (true, at, at);
        }
        self.last = self.last.max(at);
        self.wrong |= !key.is_digit();
        self.part.insert(place, key);
        self.is_code() && self.is_full()
    }

    /// When the pause after the last key is over, if anything was dialled.
    pub(super) fn pause_ends(&self, between: Duration) -> Option<Duration> {
        self.open.then(|| self.last.saturating_add(between))
    }

    /// Where a key that was missed may lie at the earliest: not before the number's end, else not more
    /// than a pause before the first one.
    pub(super) fn reaches_back(&self, between: Duration) -> Duration {
        self.number_ended
            .unwrap_or(self.first.saturating_sub(between))
    }

    /// What the entry amounts to. It stays, for the second look.
    pub(super) fn form(&self) -> Form {
        let code = &self.part.digits;
        if self.wrong || !self.is_code() || code.len() > most(self.length) {
            return Form::Wrong;
        }
        match self.length {
            CodeLength::Fixed(_) if !self.is_full() => Form::Short,
            CodeLength::UpTo(_) if code.is_empty() => Form::Wrong,
            CodeLength::Fixed(_) | CodeLength::UpTo(_) => {
                let mut text = Zeroizing::new(String::with_capacity(code.len()));
                text.extend(code.iter().map(|&digit| char::from(digit)));
                Form::Whole(Whole {
                    ani: self.number.clone(),
                    code: Code(text),
                })
            }
        }
    }

    /// Puts in what the second look found. Both looks are at the same keys, so that as much of both as
    /// can be is one, in one order; the rest goes where its time is. Other keys in the midst of a code
    /// prove nothing.
    pub(super) fn complete(&mut self, found: &Found) {
        let found = found.digits();
        let common = self.part.common(found.keys());
        let mut both = Part::with_room(self.part.digits.capacity());
        let (mut i, mut j) = (0, 0);
        loop {
            let (pressed, steps) = match (self.part.get(i), found.keys().get(j).copied()) {
                (None, None) => break,
                (Some(mine), None) => (mine, [1, 0]),
                (None, Some(other)) => (other, [0, 1]),
                (Some(mine), Some(other)) if is_same(mine, other) => (mine, [1, 1]),
                (Some(mine), Some(other)) => {
                    // First goes what leaves more in common behind it, else what was earlier.
                    let left = [common[i + 1][j], common[i][j + 1]];
                    let mine_first = left[0] > left[1] || (left[0] == left[1] && mine.1 < other.1);
                    if mine_first {
                        (mine, [1, 0])
                    } else {
                        (other, [0, 1])
                    }
                }
            };
            let (key, at) = pressed;
            // Nothing is put before another one after this.
            let (number, before) = (0, None);
            both.insert(Place { number, at, before }, key);
            (i, j) = (i + steps[0], j + steps[1]);
        }
        self.part = both;
    }

    /// Nothing has been dialled any more.
    pub(super) fn clear(&mut self) {
        self.part.clear();
        self.number = None;
        self.number_ended = None;
        self.wrong = false;
        self.open = false;
    }

    /// A `#`: whether the entry ends with it.
    fn end_part(&mut self, at: Duration) -> bool {
        if self.part.digits.is_empty() {
            return false;
        }
        self.last = self.last.max(at);
        if self.is_code() {
            return true;
        }
        self.number = self.part.number();
        self.wrong |= self.number.is_none();
        self.number_ended = Some(at);
        self.part.clear();
        false
    }

    /// Whether the part under way is the code.
    fn is_code(&self) -> bool {
        !self.dials_number || self.number_ended.is_some()
    }

    /// Whether a code of fixed length has all its digits.
    fn is_full(&self) -> bool {
        match self.length {
            CodeLength::Fixed(_) => self.part.digits.len() >= most(self.length),
            CodeLength::UpTo(_) => false,
        }
    }
}

impl Part {
    fn with_room(room: usize) -> Part {
        Part {
            digits: Zeroizing::new(Vec::with_capacity(room)),
            at: Vec::with_capacity(room),
            numbers: Vec::with_capacity(room),
        }
    }

    /// Takes a key if there is room, which there is for more than a code may have.
    fn insert(&mut self, place: Place, key: Key) {
        let length = self.digits.len();
        if length < self.digits.capacity() {
            let later = |number: &u64| Some(*number) == place.before;
            let index = self.numbers.iter().position(later).unwrap_or(length);
            self.digits.insert(index, key.0);
            self.at.insert(index, place.at);
            self.numbers.insert(index, place.number);
        }
    }

    fn get(&self, i: usize) -> Option<(Key, Duration)> {
        Some((Key(*self.digits.get(i)?), *self.at.get(i)?))
    }

    /// How many keys the rest of this part from `i` on and the rest of `found` from `j` on have in
    /// common, in order: row `i`, column `j`.
    fn common(&self, found: &[(Key, Duration)]) -> Vec<Vec<usize>> {
        let mut common = vec![vec![0; found.len() + 1]; self.digits.len() + 1];
        for i in (0..self.digits.len()).rev() {
            for j in (0..found.len()).rev() {
                common[i][j] = if self.get(i).is_some_and(|mine| is_same(mine, found[j])) {
                    common[i + 1][j + 1] + 1
                } else {
                    common[i + 1][j].max(common[i][j + 1])
                };
            }
        }
        common
    }

    fn number(&self) -> Option<PhoneNumber> {
        if self.digits.len() > NUMBER_MAX {
            return None;
        }
        let mut text = Zeroizing::new(String::with_capacity(1 + NUMBER_MAX));
        text.push('+');
        text.extend(self.digits.iter().map(|&digit| char::from(digit)));
        PhoneNumber::new(&text)
    }

    fn clear(&mut self) {
        self.digits.zeroize();
        self.at.clear();
        self.numbers.clear();
    }
}

/// Whether two looks may have seen one press.
fn is_same(one: (Key, Duration), other: (Key, Duration)) -> bool {
    one.0 == other.0 && one.1.abs_diff(other.1) <= SAME_PRESS
}

/// Digits of the longest code; none has no digits.
fn most(length: CodeLength) -> usize {
    match length {
        CodeLength::Fixed(n) | CodeLength::UpTo(n) => usize::from(n.max(1)),
    }
}
