//! The client of a service that finds personal data by the sense of a text: names, streets, birthdays
//! (C21, second layer). Azure AI Language and the analyzer of Presidio are spoken.
//!
//! A part of an answer would let through what the rest would have named: whatever goes wrong is a
//! [`Failure`]. Nothing is asked twice, as a person waits; texts are neither kept nor told.
//!
//! Not here: which texts there are, and taking out what was found.

mod failure;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant as Deadline;

use self::wire::{per_question, question, read};
use super::Unusable;
use super::bearer::{self, Lost};
use super::credential::{bearer, sensitive};
use super::fetch::{self, Answer, Asking, Failed};
use super::host::Host;
use super::identity::Identity;
use crate::config::pii::{DetectorCredential, DetectorKind, PiiDetector};
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;

pub use self::failure::{Failure, Kind};

/// Texts of one body; what chats and bots are sent has some ten.
const TEXTS_MAX: usize = 50;
/// Characters of one text: what Azure takes at a time, which counts no more than we do.
const TEXT_MAX: usize = 5120;
/// Questions about one body at a time.
const SIDE_BY_SIDE: usize = 4;
/// The largest answer: five texts with all that was found in them, escaped, have some 300 KB.
const BODY_MAX: usize = 1 << 20;
/// In which Azure takes a key.
const SUBSCRIPTION_KEY: HeaderName = HeaderName::from_static("ocp-apim-subscription-key");

/// What was found: where in which text, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub text: usize,
    pub start: usize,
    pub length: usize,
}

/// One service.
pub struct Detector {
    settings: PiiDetector,
    host: Host,
    target: Uri,
    key: Option<(HeaderName, HeaderValue)>,
    identity: Option<Arc<Identity>>,
    slots: Semaphore,
    /// For warnings that it could not be asked.
    warnings: Throttle,
    metrics: metrics::Shared,
}

impl Detector {
    /// Prepares to ask: roots loaded. Whoever owns it must run its identity.
    pub fn new(settings: PiiDetector, metrics: metrics::Shared) -> Result<Detector, Unusable> {
        let unusable = || Unusable::Credential(settings.name.clone());
        let (mut key, mut identity) = (None, None);
        match &settings.credential {
            DetectorCredential::Nothing => {}
            DetectorCredential::Key(secret) => {
                let shown = match settings.kind {
                    DetectorKind::AzureLanguage => {
                        sensitive(secret.expose()).map(|value| (SUBSCRIPTION_KEY, value))
                    }
                    // It has no keys; what stands before it has.
                    DetectorKind::Presidio => {
                        bearer(secret).map(|value| (header::AUTHORIZATION, value))
                    }
                };
                key = Some(shown.ok_or_else(unusable)?);
            }
            DetectorCredential::Identity(own) => {
                let own = Identity::new(settings.name.clone(), own.clone(), metrics.clone())?;
                identity = Some(Arc::new(own));
            }
        }
        let target = format!("{}{}", settings.path, wire::path(settings.kind));
        let nowhere = |_| Unusable::Host(settings.host.clone());
        Ok(Detector {
            host: Host::new(&settings.host, settings.port, settings.roots.as_ref())?,
            target: target.parse().map_err(nowhere)?,
            key,
            identity,
            slots: Semaphore::new(settings.at_once),
            warnings: Throttle::default(),
            settings,
            metrics,
        })
    }

    pub fn name(&self) -> &Label {
        &self.settings.name
    }

    /// The edge's own identity here, if it has one; whoever owns this must run it.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.clone()
    }

    /// Everything that is found in the texts of one body; counted, and told if it failed.
    pub async fn look(&self, texts: &[String]) -> Result<Vec<Place>, Failure> {
        let blank = |text: &String| text.trim().is_empty();
        let asked: Vec<usize> = (0..texts.len()).filter(|&i| !blank(&texts[i])).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let started = Instant::now();
        let found = self.find(texts, &asked).await;
        let result = found
            .as_ref()
            .err()
            .map_or("ok", |failure| failure.kind.word());
        let name = &self.settings.name;
        self.metrics.pii_looked(name, result, started.elapsed());
        if let Err(failure) = &found {
            self.warn(failure);
        }
        found
    }

    fn warn(&self, failure: &Failure) {
        if let Some(left_out) = self.warnings.pass(Instant::now()) {
            tracing::warn!(
                detector = %self.settings.name,
                result = failure.kind.word(),
                status = failure.status.map(|status| status.as_u16()),
                detail = failure.detail,
                left_out,
                "what is personal is not known"
            );
        }
    }

    async fn find(&self, texts: &[String], asked: &[usize]) -> Result<Vec<Place>, Failure> {
        let long = |&i: &usize| texts[i].chars().nth(TEXT_MAX).is_some();
        if asked.len() > TEXTS_MAX || asked.iter().any(long) {
            self.metrics.limit_hit("pii_texts");
            let detail = "the body has more or longer texts than the detector is asked about";
            return Err(Failure::new(Kind::TooLarge, detail));
        }
        let deadline = Deadline::now() + self.settings.total;
        let questions: Vec<_> = asked.chunks(per_question(self.settings.kind)).collect();
        let (_slots, at_a_time) = self.slots(questions.len().min(SIDE_BY_SIDE))?;
        let questions = questions.into_iter();
        let answers: Vec<_> = questions
            .map(|which| self.ask(texts, which, deadline))
            .collect();
        let answers = stream::iter(answers).buffered(at_a_time);
        let places: Vec<Vec<Place>> = answers.try_collect().await?;
        Ok(places.concat())
    }

    /// As many slots as there are, up to what is wanted. Nobody queues: those who wait hold bodies.
    fn slots(&self, wanted: usize) -> Result<(SemaphorePermit<'_>, usize), Failure> {
        let some = (1..=wanted).rev().find_map(|count| {
            let slots = self.slots.try_acquire_many(u32::try_from(count).ok()?);
            Some((slots.ok()?, count))
        });
        some.ok_or_else(|| {
            self.metrics.limit_hit("pii_detector");
            let detail = "the detector of personal data has no room for another question";
            Failure::new(Kind::Busy, detail)
        })
    }

    async fn ask(
        &self,
        texts: &[String],
        which: &[usize],
        deadline: Deadline,
    ) -> Result<Vec<Place>, Failure> {
        let body = Bytes::from(question(&self.settings, texts, which));
        let answer = match &self.identity {
            None => self.send(self.key.clone(), body, deadline).await?,
            Some(identity) => {
                let exchange = |token| {
                    let shown = Some((header::AUTHORIZATION, token));
                    self.send(shown, body.clone(), deadline)
                };
                let answer = bearer::send(identity, deadline, exchange).await;
                answer.map_err(|lost| match lost {
                    Lost::NoToken => {
                        let detail = "there is no token to ask the detector of personal data with";
                        Failure::new(Kind::Unauthorized, detail)
                    }
                    Lost::Failed(failed) => failed.into(),
                })?
            }
        };
        if answer.status != StatusCode::OK {
            return Err(Failure::of_status(answer.status));
        }
        read(self.settings.kind, &answer.body?, texts, which)
    }

    async fn send(
        &self,
        shown: Option<(HeaderName, HeaderValue)>,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<Answer, Failed> {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        let asking = Asking {
            method: Method::POST,
            headers: shown
                .into_iter()
                .chain([(header::CONTENT_TYPE, json)])
                .collect(),
            body,
        };
        let wanted = |status| (status == StatusCode::OK).then_some(BODY_MAX);
        fetch::send(&self.host, self.target.clone(), asking, wanted, deadline).await
    }
}
