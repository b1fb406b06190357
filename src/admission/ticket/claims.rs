//! What a ticket says.
//!
//! Types are strict, and a claim that stands twice is an error. A claim that is not known means nothing.

use serde::{Deserialize, Deserializer, Serialize};

use crate::admission::jwt::{seconds, some_seconds};
use crate::admission::{Grant, Subject};
use crate::ids::CallId;
use crate::label::Label;
use crate::secret::Digest;

/// The claims that mean something. The README prints them as a table for whoever signs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub aud: String,
    #[serde(deserialize_with = "seconds")]
    pub iat: u64,
    #[serde(deserialize_with = "seconds")]
    pub exp: u64,
    #[serde(
        default,
        deserialize_with = "some_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub nbf: Option<u64>,
    pub jti: String,
    /// The page that the session is opened from, as the browser names it.
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub origin: Option<String>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub route: Option<String>,
    /// The model or the agent, which is taken where the client names none.
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub model: Option<String>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub agent: Option<String>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub call: Option<String>,
    /// Whose it is, and in which tenant, by the signer's own names.
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub sub: Option<String>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub tid: Option<String>,
    /// When the session must end; the ticket's own end is that of entering.
    #[serde(
        default,
        deserialize_with = "some_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub session_exp: Option<u64>,
    /// As whom the edge had admitted whoever asked for it.
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub caller: Option<Caller>,
}

/// As whom somebody was admitted. Only the edge's own key may sign this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "lowercase", deny_unknown_fields)]
pub enum Caller {
    Key {
        #[serde(with = "text")]
        name: Label,
    },
    Certificate {
        #[serde(with = "text")]
        name: Label,
    },
    EasyAuth {
        tenant: String,
        name: String,
    },
    Token {
        #[serde(with = "text")]
        issuer: Label,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
        name: String,
        /// Entra names a person by it.
        #[serde(default)]
        person: bool,
        /// The token itself, by what is signed in it: the ticket is taken back with it.
        #[serde(default, with = "digest", skip_serializing_if = "Option::is_none")]
        credential: Option<Digest>,
    },
}

impl Caller {
    /// `None`: whom no ticket is for.
    pub(super) fn of(who: &Grant) -> Option<Caller> {
        match who.subject() {
            Subject::Key(name) => Some(Caller::Key { name: name.clone() }),
            Subject::Certificate(name) => Some(Caller::Certificate { name: name.clone() }),
            Subject::EasyAuth { tenant, name } => Some(Caller::EasyAuth {
                tenant: tenant.clone(),
                name: name.clone(),
            }),
            Subject::Token {
                issuer,
                tenant,
                name,
            } => Some(Caller::Token {
                issuer: issuer.clone(),
                tenant: tenant.clone(),
                name: name.clone(),
                person: who.person().is_some(),
                credential: who.holder().credential,
            }),
            Subject::Ticket { .. }
            | Subject::Holder(_)
            | Subject::Call { .. }
            | Subject::Developer { .. }
            | Subject::Anyone => None,
        }
    }

    /// The token for which the ticket was signed.
    pub(super) fn credential(&self) -> Option<Digest> {
        match self {
            Caller::Token { credential, .. } => *credential,
            Caller::Key { .. } | Caller::Certificate { .. } | Caller::EasyAuth { .. } => None,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        match self.clone() {
            Caller::Key { name } => Subject::Key(name),
            Caller::Certificate { name } => Subject::Certificate(name),
            Caller::EasyAuth { tenant, name } => Subject::EasyAuth { tenant, name },
            Caller::Token {
                issuer,
                tenant,
                name,
                ..
            } => Subject::Token {
                issuer,
                tenant,
                name,
            },
        }
    }
}

impl Claims {
    /// For `aud`, from `iat` to `exp`, by this name, and bound to nothing.
    pub fn of(aud: &str, (iat, exp): (u64, u64), jti: String) -> Claims {
        Claims {
            aud: aud.to_owned(),
            iat,
            exp,
            nbf: None,
            jti,
            origin: None,
            route: None,
            model: None,
            agent: None,
            call: None,
            sub: None,
            tid: None,
            session_exp: None,
            caller: None,
        }
    }

    pub(super) fn has_subject(&self) -> bool {
        self.sub.is_some() || self.caller.is_some()
    }

    /// The call, if it is the id of one.
    pub(super) fn call(&self) -> Option<Option<CallId>> {
        self.call.as_deref().map(CallId::new)
    }
}

/// What is there must be of its type: `null` is no way to leave something open.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A digest, in hexadecimal digits.
mod digest {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::secret::Digest;

    pub(super) fn serialize<S: Serializer>(of: &Option<Digest>, to: S) -> Result<S::Ok, S::Error> {
        match of {
            Some(digest) => to.serialize_str(&digest.to_hex()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Digest>, D::Error> {
        let text = String::deserialize(from)?;
        let digest = Digest::from_hex(&text).ok_or(D::Error::custom("no digest"))?;
        Ok(Some(digest))
    }
}

/// Names in their grammar.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::label::Label;

    pub(super) fn serialize<S: Serializer>(label: &Label, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(label.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Label, D::Error> {
        let text = String::deserialize(from)?;
        Label::new(&text).ok_or(D::Error::custom("no name"))
    }
}
