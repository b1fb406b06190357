//! A simulated service that finds personal data: Azure AI Language and Presidio's analyzer, as far as
//! they are asked for it.
//!
//! It is strict: what their documentation does not know, or is more than they take, is refused and
//! written down. Owns the words that it finds, and what it was asked. Refuses to know what is done
//! with that.

use super::answer::Answer;
use super::certificate::Identity;
use super::issuer::provider::Provider;
use super::service::{Lost, Service, one};
use super::token;
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What tokens for Azure's AI services are made out to.
pub const AUDIENCE: &str = "https://cognitiveservices.azure.com";

/// Azure's limits of one synchronous request.
const DOCUMENTS_MAX: usize = 5;
const TEXT_MAX: usize = 5120;

/// The most questions kept, the oldest forgotten first. Arbitrary: more than a test makes.
const ASKED_MAX: usize = 4096;

/// More than a client should take.
const HUGE: usize = 8 << 20;

/// How it is set up.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with this identity, which must be good for `localhost`, or plain TCP.
    pub identity: Option<Identity>,
    /// What Azure's side takes in `Ocp-Apim-Subscription-Key`.
    pub key: String,
    /// Who signs the tokens that it takes instead, and in which tenant.
    pub tokens: Option<(Arc<Provider>, String)>,
    /// What it finds, wherever it stands.
    pub names: Vec<String>,
}

/// What becomes of one question that was sound, instead of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused with this status.
    Status(u16),
    /// It is redirected there.
    Redirect(String),
    /// It is answered when [`Desk::release`] says so.
    Held,
    /// The connection ends without an answer.
    Lost,
    /// The answer is this text.
    Text(String),
    /// Everything is said to lie that much further behind.
    Shifted(usize),
    /// The last of several texts is left out.
    Short,
    /// Azure could not look at one of them.
    Unseen,
    /// The answer is one behind more blanks than anybody should take.
    Huge,
}

/// A bound service, not yet accepting.
pub struct Detector {
    service: Service,
    desk: Arc<Desk>,
}

/// What all connections share.
pub struct Desk {
    base: String,
    key: String,
    tokens: Option<(Arc<Provider>, String)>,
    names: Vec<String>,
    state: Mutex<State>,
    asked: Notify,
    released: Notify,
}

#[derive(Default)]
struct State {
    troubles: VecDeque<Trouble>,
    asked: VecDeque<Vec<String>>,
    violations: Vec<&'static str>,
}

/// A sound question.
struct Ask {
    /// Id and text; Presidio's have no id.
    texts: Vec<(String, String)>,
    azure: bool,
}

impl Detector {
    /// Binds the socket; nothing is accepted until [`Self::serve`].
    pub async fn bind(options: Options) -> io::Result<Self> {
        let service = Service::bind(options.listen, options.identity.as_ref()).await?;
        let desk = Desk {
            base: service.base(),
            key: options.key,
            tokens: options.tokens,
            names: options.names,
            state: Mutex::default(),
            asked: Notify::new(),
            released: Notify::new(),
        };
        Ok(Self {
            service,
            desk: Arc::new(desk),
        })
    }

    /// What it finds and was asked.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let desk = self.desk;
        let answer = move |head, body| {
            let desk = Arc::clone(&desk);
            async move { desk.answer(head, body).await }
        };
        self.service.serve(shutdown, answer).await;
    }
}

impl Desk {
    /// `https://localhost:PORT`, `http` without TLS.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What goes wrong with the next sound questions, in this order.
    pub fn then(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.state().troubles.extend(troubles);
    }

    /// The texts of sound questions, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Vec<String>> {
        self.state().asked.iter().cloned().collect()
    }

    /// Waits for one more question.
    pub async fn next(&self) {
        self.asked.notified().await;
    }

    /// Lets one question go that is held, or the next one that would be.
    pub fn release(&self) {
        self.released.notify_one();
    }

    /// Rules that were broken.
    #[must_use]
    pub fn violations(&self) -> Vec<&'static str> {
        self.state().violations.clone()
    }

    /// A panic elsewhere leaves a state that is still worth reading.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, head: Parts, body: Bytes) -> Result<Answer, Lost> {
        let ask = match self.judge(&head, &body) {
            Ok(ask) => ask,
            Err((status, violation)) => {
                self.state().violations.push(violation);
                return Ok(Answer::refusal(status, "InvalidRequest", violation));
            }
        };
        let trouble = {
            let mut state = self.state();
            if state.asked.len() == ASKED_MAX {
                state.asked.pop_front();
            }
            let texts = ask.texts.iter().map(|(_, text)| text.clone());
            state.asked.push_back(texts.collect());
            state.troubles.pop_front()
        };
        self.asked.notify_one();
        let refusal = |status| Answer::refusal(status, "Trouble", "canary of the detector");
        match trouble {
            None => Ok(self.told(&ask, 0)),
            Some(Trouble::Status(status)) => Ok(refusal(status)),
            Some(Trouble::Redirect(location)) => Ok(refusal(307).with("location", location)),
            Some(Trouble::Held) => {
                self.released.notified().await;
                Ok(self.told(&ask, 0))
            }
            Some(Trouble::Lost) => Err(Lost),
            Some(Trouble::Text(text)) => Ok(Answer::text(200, text)),
            Some(Trouble::Shifted(further)) => Ok(self.told(&ask, further)),
            Some(Trouble::Short) => {
                let texts = ask.texts.split_last().map_or(&[][..], |(_, all)| all);
                let texts = texts.to_vec();
                Ok(self.told(&Ask { texts, ..ask }, 0))
            }
            Some(Trouble::Unseen) => Ok(Answer::new(
                200,
                json!({"kind": "PiiEntityRecognitionResults", "results": {
                    "documents": [], "modelVersion": "2025-02-01",
                    "errors": [{"id": "0", "error": {"code": "InvalidDocument"}}],
                }}),
            )),
            Some(Trouble::Huge) => {
                let mut text = " ".repeat(HUGE);
                text.push_str("[]");
                Ok(Answer::text(200, text))
            }
        }
    }

    fn judge(&self, head: &Parts, body: &[u8]) -> Result<Ask, (u16, &'static str)> {
        if head.method != Method::POST {
            return Err((405, "only POST is allowed here"));
        }
        let host = self.base.split_once("//").map(|(_, host)| host);
        if one(head, "host") != host {
            return Err((400, "one Host is needed, this one's"));
        }
        if one(head, "accept") != Some("application/json") {
            return Err((400, "JSON must be accepted"));
        }
        let kind = one(head, "content-type").unwrap_or_default();
        if kind.split(';').next() != Some("application/json") {
            return Err((415, "JSON must be sent"));
        }
        let asked: Value = serde_json::from_slice(body).map_err(|_| (400, "it is no JSON"))?;
        match head.uri.path_and_query().map(|target| target.as_str()) {
            Some("/language/:analyze-text?api-version=2024-11-01") => {
                self.judge_credential(head)?;
                azure(&asked).map_err(|why| (400, why))
            }
            Some("/analyze") => presidio(&asked).map_err(|why| (400, why)),
            _ => Err((404, "nothing is here")),
        }
    }

    fn judge_credential(&self, head: &Parts) -> Result<(), (u16, &'static str)> {
        let shown = one(head, "authorization").and_then(|shown| shown.strip_prefix("Bearer "));
        match (&self.tokens, shown) {
            (Some((provider, tenant)), Some(token)) => {
                let claims = token::verify(provider, tenant, &[AUDIENCE], token);
                claims.map(drop).map_err(|why| (401, why))
            }
            (None, None) if one(head, "ocp-apim-subscription-key") == Some(&self.key) => Ok(()),
            _ => Err((401, "the credential is another one")),
        }
    }

    /// What is found, `further` behind where it is.
    fn told(&self, ask: &Ask, further: usize) -> Answer {
        if !ask.azure {
            let texts = ask.texts.iter();
            let found = texts.flat_map(|(_, text)| self.places(text));
            let found = found.map(|(start, length)| {
                json!({
                    "analysis_explanation": null, "entity_type": "PERSON", "score": 0.85,
                    "start": start + further, "end": start + further + length,
                })
            });
            return Answer::new(200, found.collect());
        }
        let documents = ask.texts.iter().map(|(id, text)| {
            let entity = |(start, length): (usize, usize)| {
                let found: String = text.chars().skip(start).take(length).collect();
                json!({
                    "text": found, "category": "Person", "confidenceScore": 0.98,
                    "offset": start + further, "length": length,
                })
            };
            let entities: Value = self.places(text).into_iter().map(entity).collect();
            json!({"id": id, "redactedText": "*", "warnings": [], "entities": entities})
        });
        let documents: Value = documents.collect();
        Answer::new(
            200,
            json!({"kind": "PiiEntityRecognitionResults", "results": {
                "documents": documents, "errors": [], "modelVersion": "2025-02-01",
            }}),
        )
    }

    /// Where names stand in a text, in characters.
    fn places(&self, text: &str) -> Vec<(usize, usize)> {
        let each = self.names.iter().flat_map(|name| {
            let places = text.match_indices(name.as_str());
            places.map(|(at, name)| (text[..at].chars().count(), name.chars().count()))
        });
        each.collect()
    }
}

/// Whether an object has these keys and no others.
fn has_only(of: &Value, keys: &[&str]) -> bool {
    of.as_object()
        .is_some_and(|of| of.keys().all(|key| keys.contains(&key.as_str())))
}

fn azure(asked: &Value) -> Result<Ask, &'static str> {
    let parameters = &asked["parameters"];
    let known = has_only(asked, &["kind", "parameters", "analysisInput"])
        && has_only(
            parameters,
            &[
                "modelVersion",
                "loggingOptOut",
                "stringIndexType",
                "piiCategories",
            ],
        )
        && has_only(&asked["analysisInput"], &["documents"]);
    if !known {
        return Err("a field is unknown");
    }
    if asked["kind"] != "PiiEntityRecognition" {
        return Err("another task is asked for");
    }
    if parameters["stringIndexType"] != "UnicodeCodePoint" {
        return Err("places are wanted in another unit");
    }
    if parameters["loggingOptOut"] != true {
        return Err("texts may be kept");
    }
    let documents = asked["analysisInput"]["documents"].as_array();
    let documents = documents.ok_or("there are no documents")?;
    if !(1..=DOCUMENTS_MAX).contains(&documents.len()) {
        return Err("there are too many documents, or none");
    }
    let mut texts: Vec<(String, String)> = Vec::new();
    for document in documents {
        let (Some(id), Some(text)) = (document["id"].as_str(), document["text"].as_str()) else {
            return Err("a document lacks its id or its text");
        };
        if !has_only(document, &["id", "language", "text"]) || document["language"] != "en" {
            return Err("a document is of another form or language");
        }
        if text.trim().is_empty() || text.chars().count() > TEXT_MAX {
            return Err("a text is empty or too long");
        }
        if texts.iter().any(|(other, _)| other == id) {
            return Err("an id stands twice");
        }
        texts.push((id.to_owned(), text.to_owned()));
    }
    Ok(Ask { texts, azure: true })
}

fn presidio(asked: &Value) -> Result<Ask, &'static str> {
    if !has_only(asked, &["text", "language", "entities"]) || asked["language"] != "en" {
        return Err("the question is of another form or language");
    }
    match asked["text"].as_str() {
        Some(text) if !text.is_empty() => Ok(Ask {
            texts: vec![(String::new(), text.to_owned())],
            azure: false,
        }),
        _ => Err("No text provided"),
    }
}
