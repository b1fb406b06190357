//! Payment cards: the digits of an issuer's range, 13 to 19 of them, with Luhn's digit at the end
//! (ISO/IEC 7812-1, annex B).
//!
//! They stand as one number, in the groups that are printed on them, or digit by digit, as they are
//! spoken. One number in ten has Luhn's digit, so that ranges and groups keep others apart: numbers of
//! orders, times in milliseconds.

use super::scan::{Found, Sign, Word, is_joined_after, is_joined_before};
use crate::config::pii::PiiKind;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// As they are printed.
const GROUPS: [&[usize]; 6] = [
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 3, 3, 3],
    &[4, 4, 4, 1],
];

pub(super) fn find(cells: &[u8], words: &[Word]) -> Option<Found> {
    let first = words.first().filter(|word| word.digits)?;
    if is_joined_before(cells, first.from) {
        return None;
    }
    if (DIGITS_MIN..=DIGITS_MAX).contains(&first.len()) {
        return card(cells, &words[..1]);
    }
    if first.len() == 1 {
        return spoken(cells, words);
    }
    let mut groups = GROUPS.iter().filter(|groups| words.len() >= groups.len());
    groups.find_map(|groups| {
        let words = &words[..groups.len()];
        let fits = words
            .iter()
            .zip(*groups)
            .all(|(word, &length)| word.len() == length);
        let gaps = &words[..words.len() - 1];
        let parted = gaps.iter().all(|word| match word.gap.sign {
            Sign::Blank => true,
            Sign::Dash => word.gap.tight,
            Sign::Dot | Sign::Slash | Sign::Paren | Sign::Other => false,
        });
        (fits && parted).then(|| card(cells, words)).flatten()
    })
}

/// Digits that stand alone, and no other one beside them.
fn spoken(cells: &[u8], words: &[Word]) -> Option<Found> {
    let mut length = 0;
    for word in words {
        if word.len() != 1 || !word.digits {
            break;
        }
        length += 1;
        if !matches!(word.gap.sign, Sign::Blank | Sign::Dash) {
            break;
        }
    }
    let alone = !matches!(cells[..words[0].from], [.., b'0'..=b'9', b' ' | b'-']);
    ((DIGITS_MIN..=DIGITS_MAX).contains(&length) && alone)
        .then(|| card(cells, &words[..length]))
        .flatten()
}

fn card(cells: &[u8], words: &[Word]) -> Option<Found> {
    let (first, last) = (words.first()?, words.last()?);
    let mut number = [0; DIGITS_MAX];
    let mut length = 0;
    for word in words.iter().filter(|word| word.digits) {
        let digits = &cells[word.from..word.to];
        let place = number.get_mut(length..length + digits.len())?;
        place.copy_from_slice(digits);
        length += digits.len();
    }
    let whole = words.iter().all(|word| word.digits);
    let number = &number[..length];
    let fits = whole && !is_joined_after(cells, last.to) && is_issued(number) && luhn(number);
    fits.then_some(Found {
        from: first.from,
        to: last.to,
        kind: PiiKind::Card,
    })
}

/// Whether numbers of this length begin so, at some issuer or other.
fn is_issued(number: &[u8]) -> bool {
    let head = number[..4]
        .iter()
        .fold(0, |head, digit| head * 10 + u32::from(digit - b'0'));
    let length = number.len();
    match head {
        // Visa.
        4000..=4999 => matches!(length, 13 | 16 | 19),
        // Mastercard; Mir is 2200 to 2204.
        5100..=5599 | 2200..=2204 | 2221..=2720 => length == 16,
        // American Express.
        3400..=3499 | 3700..=3799 => length == 15,
        // Diners Club.
        3000..=3059 | 3095..=3099 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&length),
        // JCB.
        3528..=3589 => (16..=19).contains(&length),
        // UnionPay, RuPay.
        6200..=6299 | 8100..=8299 | 5080..=5089 => (16..=19).contains(&length),
        // Discover and others.
        6000..=6199 | 6300..=6999 => (13..=19).contains(&length) && length != 14,
        // Maestro.
        5000..=5099 | 5600..=5899 => (13..=19).contains(&length),
        _ => false,
    }
}

fn luhn(number: &[u8]) -> bool {
    let sum = number.iter().rev().enumerate().map(|(at, digit)| {
        let digit = u32::from(digit - b'0');
        match (at % 2, digit) {
            (0, digit) => digit,
            (_, digit @ 5..) => digit * 2 - 9,
            (_, digit) => digit * 2,
        }
    });
    sum.sum::<u32>() % 10 == 0
}
