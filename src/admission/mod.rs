//! Who may enter: ordered checks that end in a [`Grant`], or in a [`Denied`].
//!
//! Nothing else can make a `Grant`, and the rest of the edge works for nobody without one. Any
//! doubt is a refusal. What is checked, in this order:
//!
//! 1. the origin: a browser must come from a page that the route names (403)
//! 2. the query: known parameters once each, in their grammar (400)
//! 3. the credential: lifted out of the request once, from the places the route accepts (400, 401)
//! 4. who it is: the key is found by its digest (401)
//! 5. what is asked for: the model, in the route's list and in the key's (403)
//! 6. how much is in use already: the key's sessions (503)
//!
//! Not here: sockets, HTTP answers (`listener`), and limits of the whole edge.

mod api_key;
mod credential;
mod origin;
mod slot;

use http::request;

use self::api_key::Keys;
use self::credential::Query;
pub use self::slot::Slot;
use self::slot::Slots;
use crate::config::{Admit, ApiKey, Model, Route};
use crate::error::Reason;
use crate::label::Label;

/// A refusal. The detail is one fixed sentence for the problem document and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub reason: Reason,
    pub detail: &'static str,
}

impl Denied {
    fn new(reason: Reason, detail: &'static str) -> Denied {
        Denied { reason, detail }
    }
}

/// Leave to open one session. Only [`Admission::decide`] makes one.
///
/// It holds the key's session slot; dropping it gives the slot back.
#[derive(Debug)]
pub struct Grant {
    subject: Subject,
    model: Model,
    /// Unknown parameters of the query, which go no further.
    dropped_parameters: u64,
    _slot: Option<Slot>,
}

impl Grant {
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn dropped_parameters(&self) -> u64 {
        self.dropped_parameters
    }
}

/// Who was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The holder of the key of this name.
    Key(Label),
    /// Whoever asked, on a route that says so.
    Anyone,
}

impl Subject {
    /// The word for logs.
    pub fn word(&self) -> &str {
        match self {
            Subject::Key(name) => name.as_str(),
            Subject::Anyone => "anyone",
        }
    }
}

/// The checks, with what they need to know. Shared by all threads.
pub struct Admission {
    keys: Keys,
    slots: Slots,
}

impl Admission {
    pub fn new(keys: &[ApiKey]) -> Admission {
        Admission {
            keys: Keys::new(keys),
            slots: Slots::default(),
        }
    }

    /// Decides on a request for `route`.
    pub fn decide(&self, route: &Route, request: &request::Parts) -> Result<Grant, Denied> {
        origin::check(&request.headers, &route.origins)?;
        let query = Query::parse(request.uri.query().unwrap_or(""))?;
        let credential = credential::lift(&request.headers, &query, &route.accept)?;
        // A credential that is shown must be good even where none is needed: who sends a wrong
        // one is better told than let in as somebody else.
        let key = match credential {
            Some(secret) if route.admit.contains(&Admit::Key) => Some(
                self.keys
                    .find(&secret)
                    .ok_or(Denied::new(Reason::Unauthenticated, "the key is not known"))?,
            ),
            None | Some(_) => None,
        };
        let subject = match key {
            Some(key) => Subject::Key(key.name.clone()),
            None if route.admit.contains(&Admit::Anyone) => Subject::Anyone,
            None => {
                return Err(Denied::new(
                    Reason::Unauthenticated,
                    "a key is needed, in a place that this route accepts",
                ));
            }
        };
        let model = model(route, key, query.model())?;
        let slot = match key {
            Some(key) => self.slots.take(key)?,
            None => None,
        };
        Ok(Grant {
            subject,
            model,
            dropped_parameters: query.dropped(),
            _slot: slot,
        })
    }
}

/// The model to ask for: the client's choice or the route's first, and allowed by both lists.
fn model(route: &Route, key: Option<&ApiKey>, asked: Option<&Model>) -> Result<Model, Denied> {
    let of_key =
        |model: &Model| key.is_none_or(|key| key.models.is_empty() || key.models.contains(model));
    match asked {
        None => route.models.iter().find(|model| of_key(model)).cloned(),
        Some(asked) => (route.models.contains(asked) && of_key(asked)).then(|| asked.clone()),
    }
    .ok_or(Denied::new(
        Reason::Forbidden,
        "the model is not allowed here",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;
    use crate::secret::Digest;
    use http::Request;

    fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    fn admission() -> Admission {
        let key = |name, secret, models: &[&str], sessions| ApiKey {
            name: label(name),
            digest: Digest::of(secret),
            models: models.iter().map(|m| label(m)).collect(),
            sessions,
        };
        Admission::new(&[
            key("kiosk", "k-1", &[], Some(2)),
            key("small", "k-2", &["gpt-4o"], None),
        ])
    }

    fn route(admit: &[Admit], accept: &[Place]) -> Route {
        Route {
            name: label("browser"),
            paths: vec!["/ws".to_owned()],
            admit: admit.to_vec(),
            accept: accept.to_vec(),
            origins: vec!["https://app.example.com".to_owned()],
            models: vec![label("gpt-realtime"), label("gpt-4o")],
            upstreams: vec![label("voice")],
        }
    }

    fn decide(
        admission: &Admission,
        route: &Route,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Grant, Denied> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        admission.decide(route, &parts)
    }

    const BOTH: [Place; 2] = [Place::Header, Place::Query];

    #[test]
    fn what_must_not_enter_does_not() {
        let admission = admission();
        let route = route(&[Admit::Key], &BOTH);
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Reason);
        let cases: &[Case<'_>] = &[
            ("/ws", &[], Reason::Unauthenticated),
            ("/ws", &[("api-key", "wrong")], Reason::Unauthenticated),
            ("/ws", &[("api-key", "k-1 ")], Reason::Unauthenticated),
            ("/ws", &[("api-key", "K-1")], Reason::Unauthenticated),
            ("/ws", &[("api-key", "")], Reason::Unauthenticated),
            ("/ws?api-key=", &[], Reason::Unauthenticated),
            ("/ws?api-key=k", &[], Reason::Unauthenticated),
            ("/ws?token=k-1", &[], Reason::Unauthenticated),
            ("/ws", &[("x-api-key", "k-1")], Reason::Unauthenticated),
            (
                "/ws",
                &[("authorization", "Basic k-1")],
                Reason::Unauthenticated,
            ),
            (
                "/ws",
                &[("api-key", "k-1"), ("api-key", "k-1")],
                Reason::BadRequest,
            ),
            (
                "/ws",
                &[("api-key", "k-1"), ("api-key", "x")],
                Reason::BadRequest,
            ),
            ("/ws?api-key=k-1&api-key=k-1", &[], Reason::BadRequest),
            ("/ws?api-key=k-2", &[("api-key", "k-1")], Reason::BadRequest),
            (
                "/ws",
                &[("api-key", "k-1"), ("authorization", "Bearer k-2")],
                Reason::BadRequest,
            ),
            (
                "/ws?model=a&model=a",
                &[("api-key", "k-1")],
                Reason::BadRequest,
            ),
            ("/ws?model=", &[("api-key", "k-1")], Reason::BadRequest),
            (
                "/ws?model=gpt-4o%26agent-id%3Devil",
                &[("api-key", "k-1")],
                Reason::BadRequest,
            ),
            (
                "/ws?model=gpt-4o%0d%0a",
                &[("api-key", "k-1")],
                Reason::BadRequest,
            ),
            ("/ws?model=gpt-5", &[("api-key", "k-1")], Reason::Forbidden),
            (
                "/ws?model=gpt-realtime",
                &[("api-key", "k-2")],
                Reason::Forbidden,
            ),
            ("/ws?model=GPT-4o", &[("api-key", "k-2")], Reason::Forbidden),
        ];
        for (target, headers, reason) in cases {
            let denied = decide(&admission, &route, target, headers).unwrap_err();
            assert_eq!(denied.reason, *reason, "{target} {headers:?}");
        }
    }

    #[test]
    fn a_key_counts_only_in_the_places_of_the_route() {
        let admission = admission();
        let header = route(&[Admit::Key], &[Place::Header]);
        let query = route(&[Admit::Key], &[Place::Query]);
        let in_header: &[(&str, &str)] = &[("api-key", "k-1")];
        assert!(decide(&admission, &header, "/ws", in_header).is_ok());
        assert!(decide(&admission, &query, "/ws?api-key=k-1", &[]).is_ok());
        assert!(decide(&admission, &header, "/ws?api-key=k-1", &[]).is_err());
        assert!(decide(&admission, &query, "/ws", in_header).is_err());
        let bearer: &[(&str, &str)] = &[("authorization", "bearer k-1")];
        assert!(decide(&admission, &header, "/ws", bearer).is_ok());
        // The Node SDK sends the same key twice, in the header and in the query.
        let both = route(&[Admit::Key], &BOTH);
        let grant = decide(&admission, &both, "/ws?api-key=k-1", in_header).unwrap();
        assert_eq!(grant.subject(), &Subject::Key(label("kiosk")));
    }

    #[test]
    fn the_model_is_the_clients_choice_or_the_first_allowed() {
        let admission = admission();
        let route = route(&[Admit::Key], &BOTH);
        let model = |target: &str, key: &str| {
            let grant = decide(&admission, &route, target, &[("api-key", key)]);
            grant.unwrap().model().to_string()
        };
        assert_eq!(model("/ws", "k-1"), "gpt-realtime");
        assert_eq!(model("/ws?model=gpt-4o", "k-1"), "gpt-4o");
        assert_eq!(model("/ws", "k-2"), "gpt-4o");
        let target = "/ws?x=1&model=gpt%2D4o&y=2&x=3";
        let grant = decide(&admission, &route, target, &[("api-key", "k-1")]).unwrap();
        assert_eq!(
            (grant.model().as_str(), grant.dropped_parameters()),
            ("gpt-4o", 3)
        );
    }

    #[test]
    fn anyone_enters_only_where_it_is_written() {
        let admission = admission();
        let open = route(&[Admit::Anyone], &[Place::Header]);
        assert_eq!(
            decide(&admission, &open, "/ws", &[]).unwrap().subject(),
            &Subject::Anyone
        );
        let either = route(&[Admit::Key, Admit::Anyone], &[Place::Header]);
        assert!(decide(&admission, &either, "/ws", &[]).is_ok());
        assert!(decide(&admission, &either, "/ws", &[("api-key", "wrong")]).is_err());
    }

    #[test]
    fn sessions_of_a_key_are_limited_and_come_back() {
        let admission = admission();
        let route = route(&[Admit::Key], &BOTH);
        let enter = || decide(&admission, &route, "/ws", &[("api-key", "k-1")]);
        let first = enter().unwrap();
        let _second = enter().unwrap();
        assert_eq!(enter().unwrap_err().reason, Reason::Busy);
        drop(first);
        assert!(enter().is_ok());
    }
}
