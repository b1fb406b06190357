//! Addresses of machines: IPv4 in four numbers, IPv6 as RFC 4291, 2.2 has it.
//!
//! `1.2.3.4` may be a version as well: it is one behind a word that says so, behind `name/`, and with
//! a word joined to it.

use core::net::Ipv6Addr;

use super::scan::{Found, Sign, Word, is_joined_after, is_joined_before, word_before};
use super::text::is_word;
use crate::config::pii::PiiKind;

/// Longest address that is written out, with an IPv4 at its end.
const V6_MAX: usize = 45;
const VERSIONS: [&[u8]; 8] = [
    b"version",
    b"versions",
    b"ver",
    b"v",
    b"build",
    b"release",
    b"rev",
    b"firmware",
];

pub(super) fn find_v4(cells: &[u8], words: &[Word]) -> Option<Found> {
    let words = words.get(..4)?;
    let dotted = words[..3]
        .iter()
        .all(|word| word.gap.sign == Sign::Dot && word.gap.tight);
    if !dotted || !words.iter().all(|word| is_octet(cells, word)) {
        return None;
    }
    let (from, to) = (words[0].from, words[3].to);
    // A range of addresses has a dash, too.
    let joined = match (&cells[..from], &cells[to..]) {
        ([.., b'0'..=b'9', b'-'], _) => false,
        (_, [b'-', b'0'..=b'9', ..]) => is_joined_before(cells, from),
        _ => is_joined_before(cells, from) || is_joined_after(cells, to),
    };
    let version =
        matches!(cells[..from], [.., before, b'/'] if is_word(before) && !before.is_ascii_digit());
    let said = word_before(cells, from);
    let said = VERSIONS.iter().any(|word| said.eq_ignore_ascii_case(word));
    (!joined && !version && !said).then_some(Found {
        from,
        to,
        kind: PiiKind::Ip,
    })
}

fn is_octet(cells: &[u8], word: &Word) -> bool {
    let digits = &cells[word.from..word.to];
    let plain = word.digits && digits.len() <= 3 && (digits.len() == 1 || digits[0] != b'0');
    plain
        && digits
            .iter()
            .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
            < 256
}

pub(super) fn find_v6(cells: &[u8], found: &mut Vec<Found>) {
    let of_address = |b: &u8| b.is_ascii_hexdigit() || matches!(*b, b':' | b'.');
    let mut at = 0;
    // Two colons are needed; what lies before the first one is at most four digits.
    while let Some(colon) = memchr::memchr(b':', &cells[at..]).map(|colon| at + colon) {
        let digits = cells[at..colon]
            .iter()
            .rev()
            .take_while(|b| of_address(b))
            .count();
        let from = colon - digits;
        let length = cells[from..].iter().take_while(|b| of_address(b)).count();
        at = from + length;
        if let Some((first, last)) = address(cells, from, at) {
            found.push(Found {
                from: first,
                to: last,
                kind: PiiKind::Ip,
            });
        }
    }
}

/// The address in a row of what may be one.
fn address(cells: &[u8], mut from: usize, mut to: usize) -> Option<(usize, usize)> {
    let behind = cells.get(to).is_some_and(|&cell| is_word(cell));
    // A sign of the text around it.
    while matches!(cells[from..to], [b'.', ..] | [b':', ..]) && !cells[from..to].starts_with(b"::")
    {
        from += 1;
    }
    while matches!(cells[from..to], [.., b'.'] | [.., b':']) && !cells[from..to].ends_with(b"::") {
        to -= 1;
    }
    let before = from > 0 && is_word(cells[from - 1]);
    let text = &cells[from..to];
    let colons = memchr::memchr_iter(b':', text).take(2).count();
    if behind || before || colons < 2 || text.len() > V6_MAX {
        return None;
    }
    // Words of hexadecimal letters with colons between are names of code.
    let digit = text.iter().any(u8::is_ascii_digit);
    let address: Option<Ipv6Addr> = std::str::from_utf8(text).ok()?.parse().ok();
    (digit && address.is_some()).then_some((from, to))
}
