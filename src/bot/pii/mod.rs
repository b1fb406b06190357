//! Personal data is taken out of texts on their way to a private application, and on their way to the
//! log: never out of frames.
//!
//! A closed list of kinds, each with a form or check digits of its own ([`PiiKind`]); what is found is
//! replaced by its kind in brackets, `[email]`, in the text as it lies: escapes around it, numbers,
//! blanks and keys stay as they are. One pass over each text, in time linear in it, without
//! backtracking; a text in which something was found is looked at again, until nothing is.
//!
//! What a detector elsewhere finds ([`Span`]) is taken out the same way; asking it is others' work.
//!
//! Not found, by name: what is written in words (`name at example dot com`), letters that look like
//! ASCII (of addresses, Cyrillic for Latin), percent-encoding, JSON within a string but for what
//! stands in it as it is, numbers that are no strings, keys, and what a person would know from the
//! sense of a text: names, streets, birthdays.

mod address;
mod card;
mod email;
mod line;
mod national;
mod phone;
mod scan;
mod span;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;

pub use self::span::{Misfit, Span, Unit};

use self::text::Text;
use super::body::{self, Body, Denied, Splices};
use super::json::{Piece, Walk};
use super::rewrite::is_named;
use crate::config::pii::{Pii, PiiKind};
use crate::config::rewrite::FieldName;

/// How often a text is looked at: what was replaced may have kept something apart.
const ROUNDS: usize = 8;

/// The filter of one route, or of the log.
#[derive(Clone, Debug)]
pub struct Filter {
    kinds: Kinds,
    fields: Vec<FieldName>,
}

/// A body without what was found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    pub body: Bytes,
    /// How much was replaced.
    pub replaced: usize,
}

impl Filter {
    pub fn new(settings: &Pii) -> Filter {
        Filter {
            kinds: Kinds::of(&settings.kinds),
            fields: settings.fields.clone(),
        }
    }

    /// The body without personal data; `headers` say what it is.
    ///
    /// # Errors
    /// 400: it is not what its type says. 413: it is longer than [`body::BODY_MAX`]. 415: it is
    /// neither JSON nor plain text, or compressed.
    pub fn body(&self, headers: &HeaderMap, body: Bytes) -> Result<Filtered, Denied> {
        let mut splices = Splices::default();
        let mut replaced = 0;
        let text = self.places(headers, &body, |text, place, escaped| {
            if let Some((scrubbed, count)) = self.scrub(&text[place.clone()], escaped) {
                splices.push(place, scrubbed);
                replaced += count;
            }
        })?;
        let changed = (!splices.is_empty()).then(|| Bytes::from(splices.apply(text)));
        Ok(Filtered {
            body: changed.unwrap_or(body),
            replaced,
        })
    }

    /// A text without personal data, such as one of a log line.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.scrub(text, false) {
            None => Cow::Borrowed(text),
            Some((scrubbed, _)) => Cow::Owned(scrubbed),
        }
    }

    /// The texts of a body, for a detector elsewhere; their order is that of [`Span::text`].
    ///
    /// # Errors
    /// As [`body`](Filter::body).
    pub fn texts(&self, headers: &HeaderMap, body: &Bytes) -> Result<Vec<String>, Denied> {
        let mut texts = Vec::new();
        self.places(headers, body, |text, place, escaped| {
            texts.push(span::content(&text[place], escaped));
        })?;
        Ok(texts)
    }

    /// The body without what a detector found in its [`texts`](Filter::texts): `[pii]` stands there.
    ///
    /// # Errors
    /// A span is not of these texts, or ends within a character: nothing may go on.
    pub fn without(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        spans: &[Span],
        unit: Unit,
    ) -> Result<Filtered, Misfit> {
        let mut places = Vec::new();
        let text = self.places(headers, &body, |_, place, escaped| {
            places.push((place, escaped))
        });
        let text = text.map_err(|_| Misfit)?;
        let splices = span::splices(text, &places, spans, unit)?;
        let replaced = splices.len();
        let changed = (replaced > 0).then(|| Bytes::from(splices.apply(text)));
        Ok(Filtered {
            body: changed.unwrap_or(body),
            replaced,
        })
    }

    /// Tells where each text of a body lies, without its quotes, and whether it has escapes.
    fn places<'b>(
        &self,
        headers: &HeaderMap,
        body: &'b Bytes,
        mut each: impl FnMut(&str, Range<usize>, bool),
    ) -> Result<&'b str, Denied> {
        match body::look(headers, body)? {
            Body::Json(text) => {
                self.strings(text, |place| each(text, place, true))?;
                Ok(text)
            }
            Body::Text(text) => {
                each(text, 0..text.len(), false);
                Ok(text)
            }
            Body::Empty(_) => Ok(""),
            Body::Form(_) => Err(body::unsupported(
                "the body must be application/json or text/plain, in UTF-8",
            )),
        }
    }

    fn strings(&self, text: &str, mut each: impl FnMut(Range<usize>)) -> Result<(), Denied> {
        let mut walk = Walk::new(text);
        // The depth of the object whose named member is looked at.
        let mut inside = None;
        while let Some(piece) = walk.next()? {
            match piece {
                Piece::Key(place) => {
                    let key = walk.key(place)?;
                    if inside.is_none() && is_named(&key, &self.fields) {
                        inside = Some(walk.depth());
                    }
                    continue;
                }
                Piece::Text(place) if self.fields.is_empty() || inside.is_some() => {
                    each(place.start + 1..place.end - 1);
                }
                Piece::Open { .. } => continue,
                Piece::Text(_) | Piece::Other(_) | Piece::Close { .. } => {}
            }
            if inside.is_some_and(|depth| walk.depth() <= depth) {
                inside = None;
            }
        }
        Ok(())
    }

    /// A text without what is found in it, and how much that is; `None`: nothing is.
    fn scrub(&self, raw: &str, escaped: bool) -> Option<(String, usize)> {
        let mut out: Option<(String, usize)> = None;
        for _ in 0..ROUNDS {
            let current = out.as_ref().map_or(raw, |(text, _)| text);
            let text = match escaped {
                true => Text::escaped(current),
                false => Text::plain(current),
            };
            let found = scan::find(&text.cells, self.kinds);
            if found.is_empty() {
                break;
            }
            let mut splices = Splices::default();
            for one in &found {
                let place = text.place(one.from)..text.place(one.to);
                splices.push(place, format!("[{}]", one.kind.word()));
            }
            let count = found.len() + out.as_ref().map_or(0, |(_, count)| *count);
            out = Some((splices.apply(current), count));
        }
        out
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(u16);

impl Kinds {
    fn of(kinds: &[PiiKind]) -> Kinds {
        Kinds(kinds.iter().fold(0, |all, &kind| all | 1 << kind as u16))
    }

    fn has(self, kind: PiiKind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    fn only_email(self) -> bool {
        self.0 & !(1 << PiiKind::Email as u16) == 0
    }
}
