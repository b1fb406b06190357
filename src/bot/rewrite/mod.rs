//! What becomes of a request before a private application sees it: nobody is who he says he is.
//!
//! A route names the fields in which its application reads an identity, such as `engineer_id`. In the
//! query, in headers, in JSON at any depth and in forms each of them is taken out, or says what the
//! edge knows of who asks, in every spelling that some framework takes for it (`name`). What is not
//! named goes on byte for byte: numbers, blanks and the order of keys are nobody's to mend. What two
//! readers could read differently is refused.
//!
//! [`Names`] finds whom a request is about, by the same rules, for whoever judges whether that may be.
//!
//! Not here, as no name tells of it: fields named in values (JSON Patch, `{"name":"engineer_id"}`,
//! JSON in a string), multipart bodies (refused), messages of WebSockets. Cookies and credentials
//! never go inward at all.

mod form;
mod header;
mod json;
mod name;
mod names;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

pub use self::names::{Id, Names, Request};

use self::name::{Match, Spelling};
use super::body::{self, Body, Denied, Kind};
use crate::config::rewrite::{self as config, Becomes, Field, FieldName, Known, Part};
use crate::error::Reason;

/// How often one request may name an identity: each one costs as much as the id is long.
const OFTEN_MAX: usize = 1024;
const OFTEN: Denied = Denied {
    reason: Reason::BadRequest,
    detail: "the request names an identity more than 1024 times",
    status: None,
};
/// Longest id that is written: object ids have 36 characters.
const VALUE_MAX: usize = 256;

/// What the edge knows of who asks.
#[derive(Clone, Copy, Default)]
pub struct Values<'a> {
    /// The verified id of the user.
    pub user: Option<&'a str>,
    pub tenant: Option<&'a str>,
    /// The id that the customer's own mapping has for the user.
    pub mapped: Option<&'a str>,
}

/// Rewrites the requests of one route.
#[derive(Clone, Debug)]
pub struct Rewrite {
    fields: Vec<Field>,
    pass: Vec<HeaderName>,
}

/// What is done about one field in one request.
#[derive(Clone, Copy)]
struct Edit<'a> {
    name: &'a FieldName,
    /// `None`: it is taken out.
    value: Option<&'a str>,
    add: &'a [Part],
}

/// What becomes of a parameter or a member.
enum Fate<'a> {
    Stays,
    Goes,
    /// It says this.
    Says(&'a Edit<'a>),
}

impl Rewrite {
    pub fn new(settings: &config::Rewrite) -> Rewrite {
        Rewrite {
            fields: settings.fields.clone(),
            pass: settings.pass.clone(),
        }
    }

    /// The query as it goes on; the caller's and the result are without `?`, and may be empty.
    ///
    /// # Errors
    /// 400: a name that is read in two ways. 403: the edge does not know what must stand there.
    pub fn query(&self, raw: &str, values: &Values<'_>) -> Result<String, Denied> {
        let edits = self.edits(values)?;
        if edits.is_empty() {
            return Ok(raw.to_owned());
        }
        form::rewrite(raw, &edits, Part::Query).map(|query| query.into_owned())
    }

    /// The headers that go on: those that the route passes, and ids that the route adds. None of them
    /// is of one hop, says how long the body is, or who asks.
    ///
    /// # Errors
    /// 400: the message is to be read in two ways. 403: as [`query`](Rewrite::query).
    pub fn headers(&self, from: &HeaderMap, values: &Values<'_>) -> Result<HeaderMap, Denied> {
        header::rewrite(from, &self.pass, &self.edits(values)?)
    }

    /// The body as it goes on; `headers` are the caller's.
    ///
    /// # Errors
    /// 400: it is not what its type says. 413: it is longer than [`body::BODY_MAX`]. 415: fields of
    /// its type cannot be found. 403: as [`query`](Rewrite::query).
    pub fn body(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        values: &Values<'_>,
    ) -> Result<Bytes, Denied> {
        let edits = self.edits(values)?;
        if edits.is_empty() {
            return Ok(body);
        }
        let changed = match body::look(headers, &body)? {
            Body::Json(text) => json::rewrite(text, &edits)?,
            Body::Form(text) => changed(form::rewrite(text, &edits, Part::Body)?),
            // What the application takes for no fields at all might have some added.
            Body::Empty(Some(Kind::Form)) => changed(form::rewrite("", &edits, Part::Body)?),
            Body::Empty(Some(Kind::Json)) if edits.iter().any(|e| e.add.contains(&Part::Body)) => {
                json::rewrite("{}", &edits)?
            }
            Body::Empty(_) => None,
            Body::Text(_) => return Err(body::UNSUPPORTED),
        };
        Ok(changed.map_or(body, Bytes::from))
    }

    /// What is done about each field. What the edge does not know is a refusal, whatever the caller
    /// says: the application would go by its default.
    fn edits<'a>(&'a self, values: &Values<'a>) -> Result<Vec<Edit<'a>>, Denied> {
        let edits = self.fields.iter().map(|field| {
            let (value, add) = match &field.becomes {
                Becomes::Stripped => (None, &[][..]),
                Becomes::Overwritten { with, add } => (Some(values.of(*with)?), &add[..]),
            };
            Ok(Edit {
                name: &field.name,
                value,
                add,
            })
        });
        edits.collect()
    }
}

impl<'a> Values<'a> {
    fn of(&self, known: Known) -> Result<&'a str, Denied> {
        let value = match known {
            Known::User => self.user,
            Known::Tenant => self.tenant,
            Known::Mapped => self.mapped,
        };
        let unknown = "the edge knows no id of who asks that the application would understand";
        let value = value.ok_or(Denied::new(Reason::Forbidden, unknown))?;
        // It stands in headers, too.
        let visible = value.bytes().all(|byte| byte.is_ascii_graphic());
        if value.is_empty() || value.len() > VALUE_MAX || !visible {
            let unfit = "the id of who asks cannot stand in a request";
            return Err(Denied::new(Reason::Forbidden, unfit));
        }
        Ok(value)
    }
}

/// Whether a name is one of `fields`, in some spelling, or names a part of one.
pub(super) fn is_named(name: &str, fields: &[FieldName]) -> bool {
    if fields.is_empty() {
        return false;
    }
    let spelling = Spelling::of(name);
    fields
        .iter()
        .any(|field| spelling.stands_to(field) != Match::None)
}

/// A part of a field's value is never worth more than none, and what could be two fields is neither.
fn fate<'a>(edits: &'a [Edit<'a>], name: &str) -> Fate<'a> {
    let spelling = Spelling::of(name);
    let mut fate = Fate::Stays;
    for edit in edits {
        fate = match (spelling.stands_to(edit.name), &fate, edit.value) {
            (Match::None, _, _) => continue,
            (Match::Whole, Fate::Stays, Some(_)) => Fate::Says(edit),
            (Match::Whole, Fate::Says(other), value) if other.value == value => continue,
            (Match::Whole | Match::Inside, _, _) => return Fate::Goes,
        };
    }
    fate
}

fn changed(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    }
}
