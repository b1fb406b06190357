//! An activity of the Bot Framework, as the Bot Connector posts it (PROTOCOLS 7.2): what the edge
//! must know to tell who asks, and no more.
//!
//! The body goes on to a private app byte for byte, and the app reads it with another parser. So the
//! reader refuses whatever two parsers could read differently: text that is not strictly JSON, a
//! name that stands twice in an object that it reads from, and names that only some parsers take
//! for the ones read here. .NET and Go take names in any case, the Agents SDK for Python takes
//! `aad_object_id` for `aadObjectId`, and `from_property` for `from`. Everything else is tolerated:
//! members in any order, unknown ones, absent ones, `null`.
//!
//! Nothing of it can be formatted: what people write is no text for a log.
//!
//! Not here: who posted it, and whether it may be believed (`admission`).

mod read;

use std::borrow::Cow;
use std::fmt;

pub use self::read::read;

use super::json::Raw;
use crate::ids::EntraId;

/// One activity, borrowed from its body.
pub struct Activity<'a> {
    pub kind: Kind,
    pub id: Option<Cow<'a, str>>,
    /// `channelId`, such as `msteams`.
    pub channel: Cow<'a, str>,
    /// Where answers go. The connector's token must say the same.
    pub service_url: Cow<'a, str>,
    /// `from.id`: who sent it, in the words of the channel.
    pub from: Option<Cow<'a, str>>,
    /// `from.aadObjectId`: the same in Entra's.
    pub user: Option<EntraId>,
    /// `conversation.id`.
    pub conversation: Cow<'a, str>,
    /// `conversation.conversationType`: `personal`, `groupChat`, `channel`.
    pub conversation_type: Option<Cow<'a, str>>,
    /// `conversation.tenantId` and `channelData.tenant.id`: two words on one tenant.
    pub conversation_tenant: Option<EntraId>,
    pub channel_tenant: Option<EntraId>,
    /// `recipient.id`: the bot, in the words of the channel.
    pub bot: Option<Cow<'a, str>>,
    pub locale: Option<Cow<'a, str>>,
    /// `action`: what became of an installation.
    pub action: Option<Cow<'a, str>>,
    text: Option<Raw<'a>>,
}

impl<'a> Activity<'a> {
    /// Whether it says that the bot was removed, and not only to make room for another version of it.
    pub fn is_farewell(&self) -> bool {
        self.kind == Kind::InstallationUpdate && self.action.as_deref() == Some("remove")
    }

    /// What somebody wrote, for comparison with the few words that the edge itself obeys. `None`:
    /// nothing, or half a surrogate pair.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        read::utf8(self.text?)
    }
}

impl fmt::Debug for Activity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Activity({})", self.kind.word())
    }
}

/// What happened (`type`). Some SDKs compare it in any case, so it is read in any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody wrote.
    Message,
    /// Somebody pressed a button, and waits for the answer.
    Invoke,
    /// Somebody came into a conversation or left it.
    ConversationUpdate,
    /// The app was installed or removed.
    InstallationUpdate,
    Other,
}

impl Kind {
    fn of(name: &str) -> Kind {
        let known = [
            ("message", Kind::Message),
            ("invoke", Kind::Invoke),
            ("conversationUpdate", Kind::ConversationUpdate),
            ("installationUpdate", Kind::InstallationUpdate),
        ];
        let found = known
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(Kind::Other, |&(_, kind)| kind)
    }

    /// For logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Invoke => "invoke",
            Kind::ConversationUpdate => "conversation_update",
            Kind::InstallationUpdate => "installation_update",
            Kind::Other => "other",
        }
    }
}

/// Why a body is no activity. It holds nothing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the body is no JSON text")]
    Json,
    #[error("the body is nested too deeply")]
    Deep,
    #[error("{}", .0.sentence(*.1))]
    Field(Field, Flaw),
}

impl Wrong {
    /// One sentence, for a problem document.
    pub fn detail(self) -> &'static str {
        match self {
            Wrong::Json => "the body is no JSON text",
            Wrong::Deep => "the body is nested too deeply",
            Wrong::Field(field, flaw) => field.sentence(flaw),
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    Missing,
    /// Of a wrong type or form, too long, or with control characters.
    Form,
    /// There twice, or in another spelling that some parsers take for it.
    Twice,
    /// An object with a member that stands twice, or with too many.
    Members,
}

/// Names of fields and the sentences about them.
macro_rules! fields {
    ($($field:ident = $name:literal,)+) => {
        /// The fields that are read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`")] $field,)+
        }

        impl Field {
            fn sentence(self, flaw: Flaw) -> &'static str {
                match (self, flaw) {
                    $(
                        (Field::$field, Flaw::Missing) => concat!($name, " is missing"),
                        (Field::$field, Flaw::Form) => concat!($name, " is not of its form"),
                        (Field::$field, Flaw::Twice) => {
                            concat!($name, " stands twice, or in another spelling")
                        }
                        (Field::$field, Flaw::Members) => {
                            concat!($name, " has a member twice, or too many")
                        }
                    )+
                }
            }
        }
    };
}

fields! {
    Activity = "the activity",
    Type = "type",
    Id = "id",
    Channel = "channelId",
    ServiceUrl = "serviceUrl",
    From = "from",
    FromId = "from.id",
    User = "from.aadObjectId",
    Conversation = "conversation",
    ConversationId = "conversation.id",
    ConversationType = "conversation.conversationType",
    ConversationTenant = "conversation.tenantId",
    ChannelData = "channelData",
    Tenant = "channelData.tenant",
    TenantId = "channelData.tenant.id",
    Recipient = "recipient",
    RecipientId = "recipient.id",
    Locale = "locale",
    Action = "action",
    Text = "text",
}

#[cfg(test)]
mod tests;
