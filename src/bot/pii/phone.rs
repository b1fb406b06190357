//! Telephone numbers: international ones (E.164 with `+` or `00`), and national ones that are written
//! with separators: of North America, and of all countries that dial a leading 0.
//!
//! Not found: national numbers as one row of digits, which anything might be, and those without a
//! leading 0 (Spain, Italy's mobiles, India), unless they are written with their country's code.

use super::scan::{Found, Sign, Word, is_among_numbers, is_joined_after, is_joined_before};
use crate::config::pii::PiiKind;

/// E.164, 6.2.1; shorter ones are of no country that has more than a few lines.
const DIGITS_MIN: usize = 8;
const DIGITS_MAX: usize = 15;
const WORDS_MAX: usize = 9;
/// With the leading 0: Germany's have 12 at the most, and what has 8 may be a date.
const NATIONAL_MIN: usize = 9;
const NATIONAL_MAX: usize = 12;

pub(super) fn find(cells: &[u8], words: &[Word]) -> Option<Found> {
    let first = words.first().filter(|word| word.digits)?;
    let (from, to) = international(cells, words, first)
        .or_else(|| north_american(cells, words))
        .or_else(|| with_trunk(cells, words))?;
    Some(Found {
        from,
        to,
        kind: PiiKind::Phone,
    })
}

fn international(cells: &[u8], words: &[Word], first: &Word) -> Option<(usize, usize)> {
    let before = &cells[..first.from];
    let digits = &cells[first.from..first.to];
    let (from, prefix) = match before {
        // A difference, an offset of time.
        [.., before, b'+'] if before.is_ascii_alphanumeric() || *before == b'+' => return None,
        [.., b'(', b'+'] if first.gap.sign == Sign::Paren => (first.from - 2, 0),
        [.., b'+'] => (first.from - 1, 0),
        _ if digits.starts_with(b"00") && !is_joined_before(cells, first.from) => (first.from, 2),
        _ => return None,
    };
    let country = match digits.get(prefix) {
        Some(digit) => Some(digit),
        None => words
            .get(1)
            .filter(|_| digits.len() == 2)
            .map(|next| &cells[next.from]),
    };
    if !country.is_some_and(|digit| (b'1'..=b'9').contains(digit)) {
        return None;
    }
    let (count, used) = extent(words, DIGITS_MAX + prefix);
    let words = &words[..used];
    // Without its country's code apart, a row of digits with zeros in front might be anything.
    let apart = prefix == 0 || first.len() <= prefix + 3;
    if count < DIGITS_MIN + prefix || !apart || is_amount(words) {
        return None;
    }
    Some((from, words.last()?.to))
}

/// How many digits, and how many words, may belong to one number.
fn extent(words: &[Word], digits_max: usize) -> (usize, usize) {
    let (mut count, mut used) = (0, 0);
    for word in words.iter().take(WORDS_MAX) {
        if !word.digits || count + word.len() > digits_max {
            break;
        }
        count += word.len();
        used += 1;
        if word.gap.sign == Sign::Other {
            break;
        }
    }
    (count, used)
}

/// `12.345.678`: an amount, in groups of three with dots, whatever follows.
fn is_amount(words: &[Word]) -> bool {
    let dots = words.iter().take_while(|word| word.gap.sign == Sign::Dot);
    let groups = words.iter().skip(1).take(dots.count());
    groups.clone().count() > 0 && groups.clone().all(|word| word.len() == 3)
}

/// `(555) 123-4567`, `1-555-123-4567`: areas and exchanges begin with 2 to 9 (NANP).
fn north_american(cells: &[u8], words: &[Word]) -> Option<(usize, usize)> {
    let one = words.len() > 3 && words[0].len() == 1 && cells[words[0].from] == b'1';
    let skipped = usize::from(one);
    let number = words.get(skipped..skipped + 3)?;
    let fits = number
        .iter()
        .zip([3, 3, 4])
        .all(|(word, length)| word.digits && word.len() == length);
    let begins = |word: &Word| (b'2'..=b'9').contains(&cells[word.from]);
    if !fits || !begins(&number[0]) || !begins(&number[1]) {
        return None;
    }
    let parts = &words[..skipped + 3];
    edges(cells, parts)
}

/// `030 1234567`, `(0171) 123 45 67`, `020 7946 0958`, `01 23 45 67 89`.
fn with_trunk(cells: &[u8], words: &[Word]) -> Option<(usize, usize)> {
    let area = &cells[words[0].from..words[0].to];
    if !matches!(area, [b'0', b'1'..=b'9', ..]) {
        return None;
    }
    let of_two = |word: &Word| word.digits && word.len() == 2;
    if let Some(pairs) = words.get(..5).filter(|words| words.iter().all(of_two))
        && pairs[..4].iter().all(|word| word.gap == pairs[0].gap)
    {
        return edges(cells, pairs);
    }
    let (count, used) = extent(words, NATIONAL_MAX);
    let parts = &words[..used];
    let dotted = parts[..used.max(1) - 1]
        .iter()
        .any(|word| word.gap.sign == Sign::Dot);
    let lengths = (3..=6).contains(&area.len()) && parts[1..].iter().all(|word| word.len() > 1);
    if count < NATIONAL_MIN || used < 2 || dotted || !lengths || is_date(&words[1..]) {
        return None;
    }
    edges(cells, parts)
}

/// Where a national number lies, its first parenthesis included, if it stands for itself.
fn edges(cells: &[u8], parts: &[Word]) -> Option<(usize, usize)> {
    let (first, last) = (parts.first()?, parts.last()?);
    let gaps = &parts[..parts.len() - 1];
    if gaps.iter().any(|word| word.gap.sign == Sign::Other) {
        return None;
    }
    let paren = matches!(cells[..first.from], [.., b'(']);
    let closes = gaps.iter().any(|word| word.gap.sign == Sign::Paren);
    let from = first.from - usize::from(paren && closes);
    let blanks = gaps.iter().all(|word| word.gap.sign == Sign::Blank);
    if is_joined_before(cells, from)
        || is_joined_after(cells, last.to)
        || blanks && is_among_numbers(cells, from, last.to)
    {
        return None;
    }
    Some((from, last.to))
}

/// `01.02.2024`, `2024-02-01`, with what may follow.
fn is_date(words: &[Word]) -> bool {
    let Some([first, second, third]) = words.first_chunk::<3>() else {
        return false;
    };
    let lengths = (first.len(), second.len(), third.len());
    let alike = first.gap == second.gap && first.gap.tight;
    alike && matches!(lengths, (1 | 2, 1 | 2, 2 | 4) | (4, 1 | 2, 1 | 2))
}
