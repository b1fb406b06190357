//! Who may enter: ordered checks that end in a [`Grant`], or in a [`Denied`].
//!
//! Nothing else can make a `Grant`, and the rest of the edge works for nobody without one. Any
//! doubt is a refusal. What is checked, in this order:
//!
//! 1. the network: where the client dials from (403)
//! 2. how often this address asked (429)
//! 3. the origin: a browser must come from a page that the route names (403)
//! 4. the query: known parameters once each, in their grammar (400)
//! 5. the credentials: lifted out of the request once, from the places the route accepts (400)
//! 6. who it is: the key by its digest, the token by its issuer's signature, the certificate by its
//!    digest or a name in it, the principal by the hop that brought it, a call's secret by our own
//!    signature (401, 403, 503)
//! 7. on routes of calls: whether token, URL and headers speak of one call (400, 403)
//! 8. whether any of that was taken back (401, 403), or cannot be known (503)
//! 9. on routes by which calls are handed over: whether the token is young, and has a name (401)
//! 10. what is asked for: the model or the agent, in the route's list and in the key's (403)
//! 11. whether the ticket, if one was shown, is for this (403)
//! 12. how often, how much is in use already, and for how long: by key, identity, tenant, address, route
//!     and in all (429, 503)
//!
//! What edges count together is asked of the store behind 2, for addresses, and then by
//! [`Admission::share`], for all else. What a call has in the store ([`Grant::call`]), and whether a
//! ticket was used before ([`Grant::ticket`]), is asked after that, before anything is dialled, and
//! an activity is held against the token of the Bot Connector when its body is there ([`Grant::bind`]).
//!
//! `tonegate explain` runs the same checks and tells what each found ([`Told`]).
//!
//! Not here: sockets, HTTP answers (`listener`), and limits of the whole edge.

mod api_key;
mod ask;
pub mod bot;
mod call;
mod certificate;
mod credential;
mod developer;
mod easyauth;
mod grant;
mod holder;
mod identify;
mod jwks;
mod jwt;
mod limit;
pub mod media_url;
mod minutes;
mod network;
mod once;
mod origin;
mod permits;
mod query;
mod rate;
mod request;
mod revocations;
mod shared;
mod slot;
mod subject;
pub mod ticket;
mod told;
mod who;
mod wish;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::ORIGIN;

pub use self::call::Calling;
pub use self::certificate::Certificate;
pub use self::credential::subprotocol;
pub use self::developer::{is_brought, names_here};
pub use self::grant::{Claim, Ends, Grant};
pub use self::holder::Holder;
pub use self::jwks::{Keys, KeysFailed, usable_keys};
pub use self::network::{Address, Peer};
pub use self::once::Once;
pub use self::permits::{Permit, Permits};
pub use self::query::is_credential;
pub use self::request::{Denied, Now, Request};
pub use self::revocations::{Overfull, Revocations};
pub use self::shared::{Reserved, Shares};
pub use self::slot::{Slot, Slots};
pub use self::subject::Subject;
pub use self::told::{Finding, Told};

use self::api_key::Keys as ApiKeys;
use self::ask::{allowed, ask};
use self::bot::Vouched;
use self::certificate::Certificates;
use self::credential::Shown;
use self::developer::Developer;
use self::identify::Entered;
use self::jwt::{Tokens, Verified};
use self::limit::Limits;
use self::media_url::Signer;
use self::query::Query;
use self::ticket::{Facts, Tickets};
use crate::config::{self, CallApi, KnownBy, Live, Model, Route, RouteKind, Spend};
use crate::label::Label;
use crate::metrics;
use crate::secret::Secret;
use crate::upstream::Unusable;

/// The checks, with what they need to know. Shared by all threads.
pub struct Admission {
    keys: ApiKeys,
    certificates: Certificates,
    tokens: Tokens,
    /// `None`: whoever shows nothing is nobody.
    developer: Option<Developer>,
    /// Tenants whose principals enter by `easyauth`; empty: all.
    tenants: Vec<String>,
    /// Of media URLs; `None`: no phone calls.
    signer: Option<Signer>,
    known_by: KnownBy,
    spend: Spend,
    /// `None`: nobody enters by a ticket.
    tickets: Option<Tickets>,
    metrics: metrics::Shared,
    revocations: Revocations,
    /// Bounds of all routes.
    usual: config::Limits,
    limits: Arc<Limits>,
    shares: Arc<Shares>,
}

/// A token that is good.
pub struct Examined {
    pub subject: Subject,
    /// When it ends, the leeway included.
    pub expires: SystemTime,
    /// It may be passed on to Voice Live.
    pub for_voice_live: bool,
}

impl Admission {
    pub fn new(live: &Live, metrics: &metrics::Shared) -> Result<Admission, Unusable> {
        let limits = Arc::new(Limits::new(metrics.clone()));
        Ok(Admission {
            keys: ApiKeys::new(&live.keys),
            certificates: Certificates::new(&live.certificates),
            tokens: Tokens::new(&live.issuers, metrics)?,
            developer: Developer::of(live),
            tenants: live
                .hops
                .as_ref()
                .map_or_else(Vec::new, |hops| hops.tenants.clone()),
            signer: live.calls.as_ref().and_then(Signer::new),
            known_by: live
                .calls
                .as_ref()
                .map_or(KnownBy::Record, |calls| calls.known_by),
            spend: live
                .calls
                .as_ref()
                .map(|calls| calls.spend)
                .unwrap_or_default(),
            tickets: live.tickets.as_ref().map(Tickets::new),
            metrics: metrics.clone(),
            revocations: Revocations::default(),
            usual: live.limits,
            shares: Arc::new(Shares::alone(limits.clone(), metrics.clone())),
            limits,
        })
    }

    /// The same in the place of what was before: what was counted counts on, and of issuers that are
    /// asked for the same keys in the same way the keys stay.
    pub fn after(self, before: &Admission) -> Admission {
        let limits = before.limits.clone();
        let counts_alike = |usual: &config::Limits| (usual.shared, usual.replicas, usual.lease);
        let shares = match counts_alike(&before.usual) == counts_alike(&self.usual) {
            true => before.shares.clone(),
            // Sessions of before keep their places where they have them.
            false => Arc::new(Shares::alone(limits.clone(), self.metrics.clone())),
        };
        Admission {
            tokens: self.tokens.after(&before.tokens),
            shares,
            limits,
            ..self
        }
    }

    /// What sessions hold of limits that edges share; whoever owns the admission must run it.
    pub fn shares(&self) -> Arc<Shares> {
        self.shares.clone()
    }

    /// The same, and what is taken back does not enter.
    pub fn heed(self, revocations: &Revocations) -> Admission {
        Admission {
            revocations: revocations.clone(),
            ..self
        }
    }

    /// The published keys of all issuers; whoever owns the admission must run them.
    pub fn issuer_keys(&self) -> Vec<Arc<Keys>> {
        self.tokens.keys().collect()
    }

    /// Forgets who asked long ago. To be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        self.limits.sweep(now);
    }

    /// What a token of `issuer` says, if it is good; for people.
    pub async fn examine(
        &self,
        issuer: &Label,
        token: &Secret,
        now: SystemTime,
    ) -> Result<Examined, Denied> {
        let verified = self.tokens.verify(token, &[issuer], now).await?;
        let entered = Entered {
            token: Some(verified.clone()),
            ..Entered::default()
        };
        Ok(Examined {
            subject: entered.subject(),
            expires: verified.expires,
            for_voice_live: verified.for_voice_live,
        })
    }

    /// Judges a request that asks for nothing but leave to ask, and carries no credential: where it
    /// comes from and how often.
    pub fn glance(&self, asked: Request<'_>) -> Result<(), Denied> {
        network::check(asked.peer, &asked.route.allow, &asked.route.deny)?;
        self.limits.of_address(asked)
    }

    /// Whether whoever was let in may have another call made, which counts it.
    pub fn may_call(&self, asked: Request<'_>, calls: &CallApi, who: &Grant) -> Result<(), Denied> {
        let (route, creator) = (&asked.route.name, who.subject().digest());
        let now = asked.now.steady;
        self.limits
            .of_calls(route, creator, calls.calls_per_identity, now)
    }

    /// Decides on a request.
    pub async fn decide(&self, asked: Request<'_>, told: &mut Told) -> Result<Grant, Denied> {
        let Request { route, head, .. } = asked;
        let mut query = self.approached(asked, told)?;
        let shown = credential::lift(asked, &query, self.tickets.as_ref());
        let shown = told.hear("credential", shown, Shown::describe)?;
        // Guesses count for all edges, whatever comes of them; the tables of this one came first.
        let counted = self.shares.count_address(wish::of_address(asked));
        let (counted, entered) = tokio::join!(counted, self.identify(asked, &shown));
        counted?;
        let entered = entered.map_err(|denied| {
            let denied = self.as_the_connector_is_told(denied, route);
            ask::in_old_words(denied, route, &query, &shown)
        });
        let entered = told.hear("identity", entered, |entered| entered.subject().to_string())?;
        told.recognise(|| entered.subject());
        let call = match route.kind.phone() {
            Some(phone) => {
                let rules = (self.known_by, self.spend);
                let call = Calling::of(asked, phone, rules, &shown, &entered);
                let call = told.hear("call", call, Calling::describe)?;
                told.recognise_call(&call);
                Some(call)
            }
            None => None,
        };
        let holder = self.held(asked, &shown, &entered, call.as_ref()).await;
        let holder = told.hear_refusal("revoked", holder)?;
        let once = match once::judge(&route.kind, &entered, asked.now.wall) {
            Ok(None) => None,
            once => told.hear("once", once, |_| {
                "young, and good for one request".to_owned()
            })?,
        };
        let ask = self
            .fill(route, &entered, &mut query)
            .and_then(|()| ask(route, &entered, &query));
        let ask = told.hear("ask", ask, |ask| format!("{ask}"))?;
        let facts = Facts {
            origin: head.headers.get(ORIGIN).map(|origin| origin.as_bytes()),
            route: &route.name,
            ask: &ask,
            named: query.names_something(),
            call: call.as_ref().map(|call| &call.call),
            beside: None,
        };
        self.bound(route, &entered, facts, told)?;
        let wishes = wish::of_session(asked, &entered, &self.usual);
        let slots = self.limits.of_session(&wishes, asked.now.steady);
        let slots = told.hear("limits", slots, |slots| {
            format!("{} slots taken", slots.len())
        })?;
        let ticket = self.to_be_spent(asked, (&shown, &entered), facts, told);
        let token = entered.token.as_ref();
        let token = token.filter(|token| goes_on(&route.kind, token));
        Ok(Grant {
            holder,
            person: entered.person(),
            ask,
            token: token.and(shown.bearer),
            call,
            vouched: self.vouched(route, &entered),
            once,
            ticket,
            locked: route.lock_models.then(|| locked(route, &entered)),
            ends: entered.ends(),
            dropped_parameters: query.dropped(route),
            wishes,
            _reserved: None,
            _slots: slots,
        })
    }

    /// Whose the grant will be, unless something of that is taken back.
    async fn held(
        &self,
        asked: Request<'_>,
        shown: &Shown<'_>,
        entered: &Entered<'_>,
        call: Option<&Calling>,
    ) -> Result<Arc<Holder>, Denied> {
        let token = entered.token.as_ref().and(shown.bearer.as_ref());
        let credential = token.or(entered.ticket.as_ref().and(shown.ticket.as_ref()));
        let holder = Holder::of(entered, credential.map(jwt::signed), call);
        self.revocations.begun().await;
        self.revocations.judge(&holder, asked.now)?;
        Ok(Arc::new(holder))
    }
}

impl Admission {
    /// What is proved of activities: by the connector's token, or by whoever runs the edge for a
    /// developer.
    fn vouched(&self, route: &Route, entered: &Entered<'_>) -> Option<Arc<Vouched>> {
        match (&entered.token, &self.developer) {
            (Some(token), _) => token.vouched.clone(),
            (None, Some(developer)) if entered.developer.is_some() => developer.vouches(route),
            (None, _) => None,
        }
    }

    /// What is judged before anybody has shown anything.
    fn approached(&self, asked: Request<'_>, told: &mut Told) -> Result<Query, Denied> {
        let Request { route, head, .. } = asked;
        let text = |text: &str| text.to_owned();
        let network = network::check(asked.peer, &route.allow, &route.deny);
        told.hear("network", network, |()| text("allowed"))?;
        let asked_now = self.limits.of_address(asked);
        told.hear("rate", asked_now, |()| {
            text("within the limit of its address")
        })?;
        let is_own = matches!(route.kind, RouteKind::Page(_)) && origin::is_own(&head.headers);
        let origin = match is_own {
            true => Ok("that of the page itself"),
            false => origin::check(&head.headers, &route.origins, route.without_origin),
        };
        told.hear("origin", origin, |found| text(found))?;
        let query = Query::of(head.uri.query().unwrap_or(""), route);
        told.hear("query", query, |query| {
            format!("well formed, {} unknown", query.others.len())
        })
    }
}

/// Models that messages of the client may name: that of the ticket, if it is bound to one.
fn locked(route: &Route, entered: &Entered<'_>) -> Arc<[Model]> {
    let bound = entered.ticket.as_ref();
    let bound = bound.and_then(|ticket| Model::new(ticket.claims.model.as_deref()?));
    match bound {
        Some(model) => Arc::new([model]),
        None => allowed(route, entered.key),
    }
}

/// Whether a caller's token is shown upstream, where upstreams are shown callers' tokens.
fn goes_on(kind: &RouteKind, token: &Verified) -> bool {
    match kind {
        RouteKind::VoiceLive => token.for_voice_live,
        // Whom a relay's upstream takes tokens of is for whoever named it to know.
        RouteKind::Relay | RouteKind::Http(_) | RouteKind::Bot(_) => true,
        // What ACS shows us is for us: with it anybody could stream any call.
        RouteKind::AcsMedia(_)
        | RouteKind::EventGrid(_)
        | RouteKind::AcsCallback
        | RouteKind::CallApi(_)
        | RouteKind::Notify
        | RouteKind::Tickets(_)
        | RouteKind::Sessions(_)
        | RouteKind::Page(_)
        | RouteKind::SessionApi(_) => false,
    }
}

#[cfg(test)]
mod tests;
