//! Where a credential may sit in a request, and the query it may sit in.
//!
//! The credential is lifted out once; nothing after this sees it. One secret in two accepted
//! places is one credential, two different ones are a mistake or an attack, and refused.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Denied;
use crate::config::{Model, Place};
use crate::error::Reason;
use crate::secret::{Digest, Secret};

/// The query of a request: what is known of it, judged.
pub(super) struct Query {
    model: Option<Model>,
    key: Option<Secret>,
    dropped: u64,
}

impl Query {
    /// Reads a query string. A known parameter that stands twice or breaks its grammar is refused;
    /// unknown ones are counted and go nowhere.
    pub(super) fn parse(text: &str) -> Result<Query, Denied> {
        let mut query = Query {
            model: None,
            key: None,
            dropped: 0,
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "model" => {
                    let model = Model::new(&value)
                        .ok_or(bad("the parameter model is not the name of a model"))?;
                    if query.model.replace(model).is_some() {
                        return Err(bad("the parameter model stands twice"));
                    }
                }
                "api-key" => {
                    let key = Secret::new(value.into_owned());
                    if query.key.replace(key).is_some() {
                        return Err(bad("the parameter api-key stands twice"));
                    }
                }
                _ => query.dropped += 1,
            }
        }
        Ok(query)
    }

    pub(super) fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The one credential that the accepted places hold, if any.
pub(super) fn lift(
    headers: &HeaderMap,
    query: &Query,
    accept: &[Place],
) -> Result<Option<Secret>, Denied> {
    let mut found: Option<Secret> = None;
    for place in accept {
        let secrets = match place {
            Place::Header => [from_header(headers)?, from_authorization(headers)?],
            Place::Query => [query.key.clone(), None],
        };
        for secret in secrets.into_iter().flatten() {
            match &found {
                Some(other) if !same(other, &secret) => {
                    return Err(bad("two different credentials were given"));
                }
                Some(_) => {}
                None => found = Some(secret),
            }
        }
    }
    Ok(found)
}

fn from_header(headers: &HeaderMap) -> Result<Option<Secret>, Denied> {
    single(
        headers,
        "api-key",
        "the header api-key stands twice or is not text",
    )
    .map(|value| value.map(|text| Secret::new(text.to_owned())))
}

/// `Authorization: Bearer …`; other schemes are not for us and count as none.
fn from_authorization(headers: &HeaderMap) -> Result<Option<Secret>, Denied> {
    let value = single(
        headers,
        AUTHORIZATION.as_str(),
        "the header Authorization stands twice or is not text",
    )?;
    Ok(value.and_then(|text| {
        let (scheme, credential) = text.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| Secret::new(credential.to_owned()))
    }))
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
    wrong: &'static str,
) -> Result<Option<&'a str>, Denied> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| bad(wrong)),
        (Some(_), Some(_)) => Err(bad(wrong)),
    }
}

fn same(a: &Secret, b: &Secret) -> bool {
    Digest::of(a.expose()).is(&Digest::of(b.expose()))
}

fn bad(detail: &'static str) -> Denied {
    Denied::new(Reason::BadRequest, detail)
}
