//! The client of Microsoft Graph: who reports to somebody, all of them or nothing.
//!
//! A list that ends early would let a manager's access look smaller than it is, and a guess would
//! make it larger: whatever goes wrong is a [`Failure`], never a part of a list. Pages are followed
//! at the same place only, redirects never, and all of it within one deadline.
//!
//! Not here: keeping what was found, and asking once for many who want to know.

mod failure;
mod page;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::{Instant as Deadline, sleep};

use self::failure::Attempt;
use self::page::{Page, VERSION, follow};
use super::Unusable;
use super::again::{Pauses, Turns, retry_after};
use super::bearer::{self, Lost};
use super::fetch::{self, Asking};
use super::host::Host;
use super::identity::Identity;
use crate::config;
use crate::ids::EntraId;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;

pub use self::failure::{Failure, Kind};

/// The most that Graph gives at once.
const PAGE: usize = 999;
/// Pages and people of one list. Nobody leads more directly; a directory that says so is wrong, or
/// answers in circles.
const PAGES_MAX: usize = 20;
const REPORTS_MAX: usize = 5000;
/// A full page has some 120 KB.
const BODY_MAX: usize = 1 << 20;
/// Requests for one page.
const ATTEMPTS: u32 = 3;
/// Lists that are fetched at a time, each on one socket, and those that wait for that as well.
const SLOTS: usize = 64;
const PLACES: usize = 1024;
/// The name in the metrics of tokens, and in what cannot be used.
const NAME: &str = "graph";

/// Everybody who reports to somebody directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports(BTreeSet<EntraId>);

impl Reports {
    pub fn has(&self, person: &EntraId) -> bool {
        self.0.contains(person)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &EntraId> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nobody reports: they manage nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<EntraId> for Reports {
    fn from_iter<I: IntoIterator<Item = EntraId>>(people: I) -> Reports {
        Reports(people.into_iter().collect())
    }
}

/// The directory of the edge's own tenant.
pub struct Graph {
    settings: config::Graph,
    host: Host,
    identity: Arc<Identity>,
    turns: Turns,
    /// For warnings that a list could not be had.
    warnings: Throttle,
    metrics: metrics::Shared,
}

impl Graph {
    /// Prepares to ask: roots loaded. Whoever owns it must run its identity.
    pub fn new(settings: config::Graph, metrics: metrics::Shared) -> Result<Graph, Unusable> {
        let name = Label::new(NAME).expect("it fits the grammar");
        let identity = Identity::new(name, settings.identity.clone(), metrics.clone())?;
        Ok(Graph {
            host: Host::new(&settings.host, settings.port, Some(&settings.roots))?,
            identity: Arc::new(identity),
            turns: Turns::new(SLOTS, PLACES),
            warnings: Throttle::default(),
            settings,
            metrics,
        })
    }

    /// The edge's own identity here; whoever owns this must run it.
    pub fn identity(&self) -> Arc<Identity> {
        self.identity.clone()
    }

    /// Everybody who reports to `person` directly, of all pages; counted, and told if it failed.
    pub async fn direct_reports(&self, person: &EntraId) -> Result<Reports, Failure> {
        let started = Instant::now();
        let deadline = Deadline::now() + self.settings.total;
        let found = match self.turns.take(deadline).await {
            Some(_turn) => self.pages(person, deadline).await,
            None => {
                self.metrics.limit_hit(NAME);
                let crowded = "too many other lists are being fetched";
                Err(Failure::new(Kind::Timeout, crowded))
            }
        };
        let result = found
            .as_ref()
            .err()
            .map_or("ok", |failure| failure.kind.word());
        self.metrics.graph_asked(result, started.elapsed());
        if let Err(failure) = &found {
            self.warn(failure);
        }
        found
    }

    fn warn(&self, failure: &Failure) {
        if let Some(left_out) = self.warnings.pass(Instant::now()) {
            tracing::warn!(
                result = failure.kind.word(),
                status = failure.status.map(|status| status.as_u16()),
                detail = failure.detail,
                left_out,
                "who reports to whom is not known"
            );
        }
    }

    async fn pages(&self, person: &EntraId, deadline: Deadline) -> Result<Reports, Failure> {
        let too_many = Failure::new(Kind::TooMany, "there are more reports than are taken");
        let first = format!("{VERSION}users/{person}/directReports?$select=id&$top={PAGE}");
        let mut target: Uri = first.parse().expect("a GUID needs no escaping");
        let mut reports = BTreeSet::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(&target, deadline).await?;
            reports.extend(page.users);
            if reports.len() > REPORTS_MAX {
                return Err(too_many);
            }
            let Some(link) = page.next else {
                return Ok(Reports(reports));
            };
            target = follow(&link, &self.settings.host, self.settings.port)?.into();
        }
        Err(too_many)
    }

    /// Asks until there is an answer that stays, attempts or time are used up.
    async fn page(&self, target: &Uri, deadline: Deadline) -> Result<Page, Failure> {
        let mut pauses = Pauses::new();
        let mut attempts = ATTEMPTS;
        loop {
            let until = deadline.min(Deadline::now() + self.settings.timeout);
            let attempt = match self.ask(target, until).await {
                Ok(page) => return Ok(page),
                Err(attempt) => attempt,
            };
            attempts -= 1;
            let failure = attempt.failure;
            let pause = pauses.next(attempt.after);
            if attempts == 0 || !failure.kind.is_passing() || Deadline::now() + pause >= deadline {
                return Err(failure);
            }
            sleep(pause).await;
        }
    }

    async fn ask(&self, target: &Uri, until: Deadline) -> Result<Page, Attempt> {
        let exchange = |token: HeaderValue| async move {
            let asking = Asking {
                method: Method::GET,
                headers: vec![(header::AUTHORIZATION, token)],
                ..Asking::default()
            };
            let wanted = |status| (status == StatusCode::OK).then_some(BODY_MAX);
            fetch::send(&self.host, target.clone(), asking, wanted, until).await
        };
        let answer = bearer::send(&self.identity, until, exchange).await;
        let answer = answer.map_err(|lost| match lost {
            Lost::NoToken => {
                Failure::new(Kind::Unauthorized, "there is no token for the edge itself")
            }
            Lost::Failed(failed) => failed.into(),
        })?;
        if answer.status == StatusCode::OK {
            let body = answer.body.map_err(Failure::from)?;
            return Ok(Page::read(&body)?);
        }
        Err(Attempt {
            failure: Failure::of_status(answer.status),
            after: answer
                .headers
                .get(header::RETRY_AFTER)
                .and_then(|value| retry_after(value, SystemTime::now())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IdentitySource, ManagedIdentity, Roots};
    use crate::metrics::Metrics;
    use std::time::Duration;

    /// Nothing is listening where it would ask.
    #[tokio::test]
    async fn c12_more_lists_than_there_are_places_are_not_fetched_and_counted() {
        let metrics = Arc::new(Metrics::new());
        let settings = config::Graph {
            host: "localhost".to_owned(),
            port: 1,
            roots: Roots::System,
            identity: ManagedIdentity {
                source: IdentitySource::Imds {
                    base: "http://127.0.0.1:1".to_owned(),
                },
                client_id: None,
                scope: "https://graph.microsoft.com/.default".to_owned(),
            },
            timeout: Duration::from_millis(50),
            total: Duration::from_millis(50),
        };
        let graph = Graph::new(settings, metrics.clone()).unwrap();
        let person = EntraId::new("0000000a-1111-4222-8333-0123456789ab").unwrap();
        let hit = r#"tonegate_limit_hits_total{limit="graph"}"#;
        let places = graph.turns.places.try_acquire_many(PLACES as u32).unwrap();
        let failure = graph.direct_reports(&person).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Timeout);
        assert!(metrics.render().contains(&format!("{hit} 1")));
        drop(places);
        // A place, and no slot in time.
        let slots = graph.turns.slots.try_acquire_many(SLOTS as u32).unwrap();
        assert!(graph.direct_reports(&person).await.is_err());
        assert!(metrics.render().contains(&format!("{hit} 2")));
        drop(slots);
        // A turn, and no token, as nobody fetches any.
        let failure = graph.direct_reports(&person).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Unauthorized);
        assert!(metrics.render().contains(&format!("{hit} 2")));
    }
}
