//! Whom a request is about: the one id that it names, where its route says that it does.
//!
//! The application must read the id that was judged and no other one. So it stands in the route's own
//! spelling, in a form that every decoder reads alike, and wherever else the request names somebody
//! it is the same one. Anything else is refused.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

use super::form;
use super::name::{Match, Spelling};
use crate::bot::body::{self, Body, Denied};
use crate::bot::json::{Piece, Walk};
use crate::config::rewrite::{self as config, FieldName, PathShape, Segment};
use crate::error::Reason;

/// Longest id.
const ID_MAX: usize = 128;

pub(super) const SPELLED: Denied = Denied {
    reason: Reason::BadRequest,
    detail: "the request names somebody in a spelling that is not the route's",
    status: None,
};
pub(super) const NO_ID: Denied = Denied {
    detail: "the request names somebody by what is no id",
    ..SPELLED
};
const SEVERAL: Denied = Denied {
    detail: "the request names several people, or one twice in one place",
    ..SPELLED
};
const PATH: Denied = Denied {
    detail: "the path is one that is read in two ways",
    ..SPELLED
};
const NOBODY: Denied = Denied {
    reason: Reason::Forbidden,
    detail: "the request does not say whom it is about",
    status: None,
};

/// An id as a request names it: 1 to 128 characters of `a-z A-Z 0-9 . _ - @ : ~`, in the caller's own
/// case. Whom it is an id of, only the application knows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(String);

impl Id {
    fn new(text: &str) -> Result<Id, Denied> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:~".contains(&byte);
        let fits = (1..=ID_MAX).contains(&text.len()) && text.bytes().all(plain);
        // As a segment of a path these lead elsewhere.
        let fits = fits && !matches!(text, "." | "..");
        fits.then(|| Id(text.to_owned())).ok_or(NO_ID)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It says which people somebody asks about.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(***)")
    }
}

/// A request as it goes on.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// As it stands in the request line, without the query.
    pub path: &'a str,
    /// Without its `?`; empty: none.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
}

/// Where the requests of one route name somebody.
#[derive(Clone, Debug)]
pub struct Names {
    fields: Vec<FieldName>,
    paths: Vec<PathShape>,
    required: bool,
}

impl Names {
    pub fn new(settings: &config::Names) -> Names {
        Names {
            fields: settings.fields.clone(),
            paths: settings.paths.clone(),
            required: settings.required,
        }
    }

    /// Whom the request is about; `None`: it does not say, and need not.
    ///
    /// # Errors
    /// 400: it says it in a way that is read in two ways, or says several. 403: it does not say, and
    /// the route requires it. 413, 415: the body cannot be looked into.
    pub fn find(&self, request: &Request<'_>) -> Result<Option<Id>, Denied> {
        let mut found: Option<Id> = None;
        let mut note = |ids: Vec<String>| {
            if ids.len() > 1 {
                return Err(SEVERAL);
            }
            for id in ids {
                let id = Id::new(&id)?;
                if found.as_ref().is_some_and(|other| *other != id) {
                    return Err(SEVERAL);
                }
                found = Some(id);
            }
            Ok(())
        };
        if !self.paths.is_empty() {
            note(self.path(request.path)?)?;
        }
        if !self.fields.is_empty() {
            note(form::values(request.query, &self.fields)?)?;
            match body::look(request.headers, request.body)? {
                Body::Json(text) => note(self.json(text)?)?,
                Body::Form(text) => note(form::values(text, &self.fields)?)?,
                Body::Text(_) => return Err(body::UNSUPPORTED),
                Body::Empty(_) => {}
            }
        }
        if found.is_none() && self.required {
            return Err(NOBODY);
        }
        Ok(found)
    }

    /// The ids in a path, one for each shape that it has.
    fn path(&self, raw: &str) -> Result<Vec<String>, Denied> {
        let segments = segments(raw)?;
        let mut found: Vec<String> = Vec::new();
        for shape in &self.paths {
            if let Some(id) = shape_of(shape, &segments)
                && !found.contains(id)
            {
                found.push(id.clone());
            }
        }
        Ok(found)
    }

    fn json(&self, text: &str) -> Result<Vec<String>, Denied> {
        let mut walk = Walk::new(text);
        let mut found = Vec::new();
        while let Some(piece) = walk.next()? {
            let Piece::Key(place) = piece else {
                continue;
            };
            let key = walk.key(place)?;
            let spelling = Spelling::of(&key);
            let named = |name: &&FieldName| spelling.stands_to(name) != Match::None;
            let Some(name) = self.fields.iter().find(named) else {
                continue;
            };
            if key != name.as_str() {
                return Err(SPELLED);
            }
            found.push(match walk.next()? {
                Some(Piece::Text(place)) => walk.content(place).ok_or(NO_ID)?.into_owned(),
                // A whole number; others have more than one spelling.
                Some(Piece::Other(place)) if is_whole(&text[place.clone()]) => {
                    text[place].to_owned()
                }
                _ => return Err(NO_ID),
            });
        }
        Ok(found)
    }
}

fn is_whole(number: &str) -> bool {
    number.len() <= 18 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The segments of a path, decoded. Paths that servers tidy up before they look at them are refused:
/// what is tidy has one reading.
fn segments(raw: &str) -> Result<Vec<String>, Denied> {
    let path = raw.strip_prefix('/').ok_or(PATH)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let segments = path.split('/').map(|segment| {
        let plus = segment.replace('+', "%2B");
        let (bytes, whole) = super::name::undo(&plus);
        let decoded = String::from_utf8(bytes)
            .ok()
            .filter(|_| whole)
            .ok_or(PATH)?;
        let odd = decoded.contains(['/', '\\', ';', '%', '?', '#']);
        let odd = odd || decoded.chars().any(char::is_control);
        if odd || matches!(decoded.as_str(), "" | "." | "..") {
            return Err(PATH);
        }
        Ok(decoded)
    });
    segments.collect()
}

/// The id in a path of that shape. Literals are compared more laxly than any server does: rather one
/// path too many is judged.
fn shape_of<'a>(shape: &PathShape, segments: &'a [String]) -> Option<&'a String> {
    let fits = match shape.below {
        true => segments.len() >= shape.segments.len(),
        false => segments.len() == shape.segments.len(),
    };
    let mut id = None;
    for (wanted, segment) in shape.segments.iter().zip(segments) {
        match wanted {
            Segment::Id => id = Some(segment),
            Segment::Literal(literal) if is_like(segment, literal) => {}
            Segment::Literal(_) => return None,
        }
    }
    id.filter(|_| fits)
}

/// Whether letters and digits are the same, case aside; those beyond ASCII may stand for any.
fn is_like(segment: &str, literal: &str) -> bool {
    let letters = segment.chars().filter(|c| c.is_alphanumeric());
    let mut wanted = literal.chars().filter(char::is_ascii_alphanumeric);
    let mut letters = letters.map(|letter| match wanted.next() {
        Some(wanted) => !letter.is_ascii() || letter.eq_ignore_ascii_case(&wanted),
        None => false,
    });
    letters.all(|same| same) && wanted.next().is_none()
}
