//! E-mail addresses, as people write them (RFC 5321, 4.1.2; RFC 6531 for letters beyond ASCII).
//!
//! Not found: local parts in quotes, hosts without a dot, `name at example dot com`.

use super::scan::Found;
use super::text::LETTER;
use crate::config::pii::PiiKind;

/// RFC 5321, 4.5.3.1.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;
/// What `icon@2x.png` ends in.
const FILES: [&[u8]; 8] = [
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js",
];

pub(super) fn find(cells: &[u8], found: &mut Vec<Found>) {
    let mut free = 0;
    for at in memchr::memchr_iter(b'@', cells) {
        let local = &cells[free.max(at.saturating_sub(LOCAL_MAX))..at];
        let Some(from) = local_part(local) else {
            continue;
        };
        let rest = &cells[at + 1..];
        let Some(length) = domain(&rest[..rest.len().min(DOMAIN_MAX)]) else {
            continue;
        };
        let to = at + 1 + length;
        found.push(Found {
            from: at - from,
            to,
            kind: PiiKind::Email,
        });
        free = to;
    }
}

/// The length of the local part that `before` ends in.
fn local_part(before: &[u8]) -> Option<usize> {
    let of_local = |b: &&u8| {
        b.is_ascii_alphanumeric()
            || matches!(**b, LETTER | b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
    };
    let length = before.iter().rev().take_while(of_local).count();
    let part = &before[before.len() - length..];
    // Signs at its start belong to the text around it.
    let signs = part
        .iter()
        .take_while(|b| matches!(b, b'.' | b'-' | b'\'' | b'%' | b'+'));
    let part = &part[signs.count()..];
    let ends = !matches!(part.last(), None | Some(b'.' | b'\''));
    ends.then_some(part.len())
}

/// The length of the domain that `rest` begins with: labels with dots between, the last one of which
/// begins with a letter.
fn domain(rest: &[u8]) -> Option<usize> {
    let of_label = |b: &u8| b.is_ascii_alphanumeric() || matches!(*b, LETTER | b'-');
    let mut fits = None;
    let (mut from, mut labels) = (0, 0);
    loop {
        let length = rest[from..].iter().take_while(|b| of_label(b)).count();
        let label = &rest[from..from + length];
        // A dash at its end belongs to the text behind it.
        let dashes = label.iter().rev().take_while(|&&b| b == b'-').count();
        let label = &label[..length - dashes];
        if label.first().is_none_or(|&b| b == b'-') {
            return fits;
        }
        labels += 1;
        let letter = label[0].is_ascii_alphabetic() || label[0] == LETTER;
        if labels > 1 && letter && (label.len() > 1 || label[0] == LETTER) {
            let file = FILES.iter().any(|file| label.eq_ignore_ascii_case(file));
            fits = (!file).then_some(from + label.len());
        }
        if dashes > 0 || rest.get(from + length) != Some(&b'.') {
            return fits;
        }
        from += length + 1;
    }
}
