//! What a detector elsewhere found: places in texts that it was asked about, as it counts them.

use std::ops::Range;

use super::text::Escaped;
use crate::bot::body::Splices;

/// What stands for whatever was found: the detector's own words for kinds are not a closed list.
const STAND_IN: &str = "[pii]";

/// A place in one of the texts of [`Filter::texts`](super::Filter::texts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub text: usize,
    pub start: usize,
    pub length: usize,
}

/// What a detector counts its places in (Azure's `stringIndexType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of UTF-8.
    Utf8,
    /// `UnicodeCodePoint`
    CodePoint,
    /// `Utf16CodeUnit`
    Utf16,
}

/// A detector's answer is not about what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the detector's answer does not fit the texts")]
pub struct Misfit;

/// The characters of a text, and where each one begins; half a surrogate pair is U+FFFD.
fn characters(raw: &str, escaped: bool) -> Box<dyn Iterator<Item = (usize, char)> + '_> {
    match escaped {
        true => {
            let each = Escaped { raw, at: 0 };
            Box::new(each.map(|(at, c)| (at, c.unwrap_or(char::REPLACEMENT_CHARACTER))))
        }
        false => Box::new(raw.char_indices()),
    }
}

pub(super) fn content(raw: &str, escaped: bool) -> String {
    characters(raw, escaped)
        .map(|(_, character)| character)
        .collect()
}

/// What is to be replaced in a body with texts at `places`.
pub(super) fn splices(
    body: &str,
    places: &[(Range<usize>, bool)],
    spans: &[Span],
    unit: Unit,
) -> Result<Splices, Misfit> {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|span| (span.text, span.start));
    let mut splices = Splices::default();
    for spans in spans.chunk_by(|a, b| a.text == b.text) {
        let (place, escaped) = places.get(spans[0].text).ok_or(Misfit)?;
        let raw = &body[place.clone()];
        for at in ranges(raw, *escaped, spans, unit)? {
            splices.push(
                place.start + at.start..place.start + at.end,
                STAND_IN.to_owned(),
            );
        }
    }
    Ok(splices)
}

/// Where the spans of one text lie in it as it is written; what overlaps or touches is one.
fn ranges(
    raw: &str,
    escaped: bool,
    spans: &[Span],
    unit: Unit,
) -> Result<Vec<Range<usize>>, Misfit> {
    let mut wanted: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        let end = span.start.checked_add(span.length).ok_or(Misfit)?;
        match wanted.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(end),
            Some(_) | None => wanted.push(span.start..end),
        }
    }
    wanted.retain(|range| !range.is_empty());
    // Every boundary that is asked for must be one of a character.
    let mut asked = wanted
        .iter()
        .flat_map(|range| [range.start, range.end])
        .peekable();
    let mut found = Vec::with_capacity(wanted.len() * 2);
    let mut count = 0;
    let ends = std::iter::once((raw.len(), '\0'));
    for (at, character) in characters(raw, escaped).chain(ends) {
        match asked.peek() {
            None => break,
            Some(&boundary) if boundary < count => return Err(Misfit),
            Some(&boundary) if boundary == count => {
                found.push(at);
                asked.next();
            }
            Some(_) => {}
        }
        count += match unit {
            Unit::Utf8 => character.len_utf8(),
            Unit::CodePoint => 1,
            Unit::Utf16 => character.len_utf16(),
        };
    }
    match asked.next() {
        None => Ok(found
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[from, to]| *from..*to)
            .collect()),
        Some(_) => Err(Misfit),
    }
}
