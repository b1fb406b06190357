//! What the edge shows an upstream, and whose it is.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};

use super::ask::About;
use super::identity::{Identity, Token};
use super::{Failure, Unusable, Want};
use crate::config::{self, KeyHeader};
use crate::error::Reason;
use crate::metrics;
use crate::secret::Secret;

/// All credentials for one upstream.
pub(super) struct Wallet {
    caller: bool,
    /// The key, ready for its header.
    key: Option<(HeaderName, HeaderValue)>,
    identity: Option<Arc<Identity>>,
    none: bool,
}

/// A credential in its header.
pub(super) struct Shown {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    pub(super) whose: Whose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The caller's own token.
    Caller,
    /// The resource's key.
    Key,
    /// The edge's own token, of this number.
    Edge(u64),
}

/// The first credential that fits.
enum Choice<'a> {
    Caller(&'a Secret),
    Key(&'a (HeaderName, HeaderValue)),
    Edge(&'a Identity),
    Nothing,
}

impl Wallet {
    pub(super) fn new(
        settings: &config::Upstream,
        metrics: &metrics::Shared,
    ) -> Result<Wallet, Unusable> {
        let credential = &settings.credential;
        let unusable = || Unusable::Credential(settings.name.clone());
        let key = match &credential.key {
            None => None,
            Some(key) => Some(match credential.header {
                KeyHeader::ApiKey => (API_KEY, sensitive(key.expose()).ok_or_else(unusable)?),
                KeyHeader::Authorization => {
                    (header::AUTHORIZATION, bearer(key).ok_or_else(unusable)?)
                }
            }),
        };
        let identity = match &credential.identity {
            None => None,
            Some(identity) => {
                let name = settings.name.clone();
                let identity = Identity::new(name, identity.clone(), metrics.clone())?;
                Some(Arc::new(identity))
            }
        };
        Ok(Wallet {
            caller: credential.caller,
            key,
            identity,
            none: credential.none,
        })
    }

    pub(super) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.clone()
    }

    /// In the order of the old proxy: the caller's token, the key, a token for the edge itself.
    /// Agents take no key.
    fn choose<'a>(&'a self, want: Want<'a>) -> Choice<'a> {
        let key = self.key.as_ref();
        let key = key.filter(|_| !matches!(want.ask.about, About::Agent { .. }));
        match (want.token.filter(|_| self.caller), key, &self.identity) {
            (Some(token), ..) => Choice::Caller(token),
            (None, Some(key), _) => Choice::Key(key),
            (None, None, Some(identity)) => Choice::Edge(identity),
            (None, None, None) => Choice::Nothing,
        }
    }

    /// What this session shows. Waits if a token for the edge itself must be fetched first.
    pub(super) async fn show(&self, want: Want<'_>) -> Result<Option<Shown>, Failure> {
        let none = Failure::new(
            Reason::UpstreamUnauthorized,
            "there is no credential that it would take",
        );
        match self.choose(want) {
            Choice::Caller(token) => Ok(Some(Shown {
                name: header::AUTHORIZATION,
                value: bearer(token).ok_or(none)?,
                whose: Whose::Caller,
            })),
            Choice::Key((name, value)) => Ok(Some(Shown {
                name: name.clone(),
                value: value.clone(),
                whose: Whose::Key,
            })),
            Choice::Edge(identity) => identity.token().await.map(|token| Some(own(token))),
            Choice::Nothing if self.none => Ok(None),
            Choice::Nothing => Err(none),
        }
    }

    /// Another credential in place of one that was refused, if there can be one.
    pub(super) async fn another(&self, refused: &Shown) -> Option<Shown> {
        let Whose::Edge(number) = refused.whose else {
            return None;
        };
        let token = self.identity.as_ref()?.after(number).await?;
        // Platforms keep tokens themselves and may give the same one again, which needs no second
        // refusal.
        (token.header != refused.value).then(|| own(token))
    }

    /// What would be shown, for people.
    pub(super) fn preview(&self, want: Want<'_>) -> &'static str {
        match self.choose(want) {
            Choice::Caller(_) => "Authorization: Bearer *** (the caller's own)",
            Choice::Key((name, _)) if *name == API_KEY => "api-key: ***",
            Choice::Key(_) => "Authorization: Bearer *** (the key)",
            Choice::Edge(_) => "Authorization: Bearer *** (the edge's own)",
            Choice::Nothing if self.none => "no credential, as it asks for none",
            Choice::Nothing => "no credential, so nothing",
        }
    }
}

fn own(token: Token) -> Shown {
    Shown {
        name: header::AUTHORIZATION,
        value: token.header,
        whose: Whose::Edge(token.number),
    }
}

pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    let bearer = Secret::new(format!("Bearer {}", token.expose()));
    sensitive(bearer.expose())
}

/// A header's value that nothing prints.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

const API_KEY: HeaderName = HeaderName::from_static("api-key");
