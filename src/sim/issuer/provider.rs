//! The issuer as tests hold it: its keys, how it behaves, and what it was asked.
//!
//! Owns all state that outlives a connection, and the bounds on it. Refuses to know sockets.

use super::behaviour::Behaviour;
use super::connector::Connector;
use super::document::Document;
use super::mint::{Algorithm, KeyChoice, Mint, merge};
use super::ring::{Named, Ring};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;

/// The most keys published besides the signing ones, the oldest forgotten first. Above what any
/// verifier should be ready to hold, so that a test can overfill one.
const BESIDES_MAX: usize = 4096;

/// How many targets that nobody should ask for are kept, the oldest forgotten first, and how much
/// of each. Arbitrary: more than a test looks at.
const OTHERS_MAX: usize = 256;
const OTHER_CHARACTERS_MAX: usize = 512;

/// An issuer's keys, manners and memory.
pub struct Provider {
    base: String,
    state: Mutex<State>,
    counts: watch::Sender<Counts>,
    /// Keys that nobody can know, made when first asked for.
    unpublished: OnceLock<Ring>,
}

struct State {
    ring: Ring,
    besides: VecDeque<Value>,
    metadata: Behaviour,
    keys: Behaviour,
    metadata_dress: Value,
    keys_dress: Value,
    others: VecDeque<String>,
    /// Made when first asked for: most tests have no bot.
    connector: Option<Connector>,
}

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for metadata.
    pub metadata: u64,
    /// Requests for keys.
    pub keys: u64,
    /// Requests that were neither, nor for a token: nothing of it should ever be asked.
    pub other: u64,
    /// Connections accepted, TLS or not yet.
    pub connections: u64,
}

impl Provider {
    pub(super) fn new(base: String) -> Self {
        Self {
            base,
            state: Mutex::new(State {
                ring: Ring::generate(),
                besides: VecDeque::new(),
                metadata: Behaviour::Normal,
                keys: Behaviour::Normal,
                metadata_dress: Value::Null,
                keys_dress: Value::Null,
                others: VecDeque::new(),
                connector: None,
            }),
            counts: watch::Sender::new(Counts::default()),
            unpublished: OnceLock::new(),
        }
    }

    /// Where it is, without a slash at the end: `https://localhost:PORT`, `http` without TLS.
    #[must_use]
    pub fn base(&self) -> String {
        self.base.clone()
    }

    /// Makes a new RSA key the signing one. The old one stays published.
    pub fn rotate(&self) {
        let fresh = Named::rsa();
        let mut state = self.state();
        let former = state.ring.rotate(fresh);
        push(&mut state.besides, former, BESIDES_MAX);
    }

    /// Takes back every key but those that sign now, one of each kind.
    pub fn retire(&self) {
        self.state().besides.clear();
    }

    /// Publishes a key as it is, sound or not, besides those that sign.
    pub fn publish(&self, jwk: Value) {
        push(&mut self.state().besides, jwk, BESIDES_MAX);
    }

    /// Merges these members over every signing key that is published; null removes a member, and
    /// a null in place of the object undoes it all.
    pub fn dress_keys(&self, members: Value) {
        self.state().keys_dress = members;
    }

    /// The same for every answer with metadata.
    pub fn dress_metadata(&self, members: Value) {
        self.state().metadata_dress = members;
    }

    /// Makes a new key the one that the Bot Connector signs with. The old one stays published, with
    /// the members that it was dressed with.
    pub fn rotate_connector(&self) {
        let fresh = Named::rsa();
        self.state().connector().rotate(fresh);
    }

    /// Takes back every key of the Bot Connector but the one that signs now.
    pub fn retire_connector(&self) {
        self.state().connector().retire();
    }

    /// Merges these members over the Bot Connector's signing key as it is published, until it is
    /// rotated; null removes a member.
    pub fn dress_connector_key(&self, members: Value) {
        self.state().connector().dress(members);
    }

    /// How every document is answered from now on.
    pub fn set(&self, behaviour: Behaviour) {
        self.set_metadata(behaviour.clone());
        self.set_keys(behaviour);
    }

    /// How metadata are answered from now on.
    pub fn set_metadata(&self, behaviour: Behaviour) {
        self.state().metadata = behaviour;
    }

    /// How keys are answered from now on.
    pub fn set_keys(&self, behaviour: Behaviour) {
        self.state().keys = behaviour;
    }

    /// What was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until `holds` is true of what was asked. The caller sets the deadline.
    pub async fn until(&self, holds: impl Fn(Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        let reached = counts.wait_for(|counts| holds(*counts)).await;
        reached.expect("the provider owns the sender, and we borrow the provider");
    }

    /// Targets of the requests that were neither for metadata, nor for keys, nor for a token,
    /// oldest first.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        self.state().others.iter().cloned().collect()
    }

    /// The name of the RSA key that signs now.
    #[must_use]
    pub fn kid(&self) -> String {
        self.state().ring.kid(&Algorithm::Rs256).to_owned()
    }

    /// The RSA key that signs now, as everybody may know it: `-----BEGIN PUBLIC KEY-----`.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.state().ring.rsa_pem()
    }

    /// The same of the key that the Bot Connector signs with.
    #[must_use]
    pub fn connector_pem(&self) -> String {
        self.state().connector().ring.rsa_pem()
    }

    /// The published keys of the Bot Connector.
    #[must_use]
    pub fn connector_keys_document(&self) -> Value {
        self.state().connector().keys()
    }

    /// The published keys. Those that sign come last: who takes the first one is wrong.
    #[must_use]
    pub fn keys_document(&self) -> Value {
        self.state().keys_document()
    }

    /// Makes a token, a compact JWS (RFC 7515, section 7.1).
    #[must_use]
    pub fn mint(&self, mint: &Mint) -> String {
        let mut header = Map::new();
        let kid = match mint.key {
            KeyChoice::Signing | KeyChoice::Unpublished => {
                self.state().ring.kid(&mint.algorithm).to_owned()
            }
            KeyChoice::Connector => {
                let mut state = self.state();
                state.connector().ring.kid(&mint.algorithm).to_owned()
            }
        };
        let mut usual = json!({ "typ": "JWT", "alg": mint.algorithm.name(), "kid": kid });
        if mint.key == KeyChoice::Connector {
            usual["x5t"] = kid.into();
        }
        merge(&mut header, &usual);
        merge(&mut header, &mint.header);
        let header = Value::Object(header).to_string();
        let claims = mint.claims.to_string();
        self.sign(
            header.as_bytes(),
            claims.as_bytes(),
            &mint.algorithm,
            mint.key,
        )
    }

    /// The same from any bytes, for tokens that no [`Mint`] can say: repeated members, what is no
    /// JSON, what is no text.
    #[must_use]
    pub fn sign(
        &self,
        header: &[u8],
        claims: &[u8],
        algorithm: &Algorithm,
        key: KeyChoice,
    ) -> String {
        let (header, claims) = (
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims),
        );
        let input = format!("{header}.{claims}");
        let signature = match key {
            KeyChoice::Signing => self.state().ring.sign(algorithm, input.as_bytes()),
            KeyChoice::Connector => {
                let mut state = self.state();
                state.connector().ring.sign(algorithm, input.as_bytes())
            }
            KeyChoice::Unpublished => {
                let ring = self.unpublished.get_or_init(Ring::generate);
                ring.sign(algorithm, input.as_bytes())
            }
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(super) fn connected(&self) {
        self.counts.send_modify(|counts| counts.connections += 1);
    }

    /// Counts a request that should not have been made.
    pub(super) fn refused(&self, target: &str) {
        let target = target.chars().take(OTHER_CHARACTERS_MAX).collect();
        push(&mut self.state().others, target, OTHERS_MAX);
        self.counts.send_modify(|counts| counts.other += 1);
    }

    /// Counts a request for a document, once it is settled what it gets: the document, and how it
    /// is answered.
    pub(super) fn asked(&self, document: Document<'_>) -> (Behaviour, Value) {
        let mut state = self.state();
        let settled = match document {
            Document::Metadata(issuer) => {
                let mut metadata = issuer.metadata(&self.base);
                dress(&mut metadata, &state.metadata_dress);
                (state.metadata.clone(), metadata)
            }
            Document::Keys => (state.keys.clone(), state.keys_document()),
            Document::ConnectorKeys => (state.keys.clone(), state.connector().keys()),
        };
        drop(state);
        self.counts.send_modify(|counts| match document {
            Document::Metadata(_) => counts.metadata += 1,
            Document::Keys | Document::ConnectorKeys => counts.keys += 1,
        });
        settled
    }

    /// A panic elsewhere leaves a state that is still worth reading.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn connector(&mut self) -> &mut Connector {
        self.connector.get_or_insert_with(Connector::generate)
    }

    fn keys_document(&self) -> Value {
        let mut keys: Vec<Value> = self.besides.iter().cloned().collect();
        for mut jwk in self.ring.jwks() {
            dress(&mut jwk, &self.keys_dress);
            keys.push(jwk);
        }
        json!({ "keys": keys })
    }
}

fn dress(value: &mut Value, members: &Value) {
    if let Value::Object(object) = value {
        merge(object, members);
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T, max: usize) {
    if list.len() == max {
        list.pop_front();
    }
    list.push_back(item);
}
