//! Where a conversation is, and with whom: what is kept of a first contact, so that the bot can write
//! of its own accord later (C22). Pure.

use serde::{Deserialize, Serialize};

use crate::ids::EntraId;

/// Longest text of each kind. Those of Teams have some 200 characters.
const TEXT_MAX: usize = 512;

/// A conversation with one person, as a verified activity told of it.
///
/// It is written as JSON, for the store, and judged again when it is read. That its service may be
/// written to is for whoever does: the list of those may have changed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Reference {
    service_url: String,
    channel: String,
    conversation: String,
    bot: String,
    user: String,
    person: EntraId,
    tenant: EntraId,
    locale: Option<String>,
}

/// What an activity says of it, by the names of the protocol.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    pub service_url: String,
    pub channel_id: String,
    /// `conversation.id`.
    pub conversation: String,
    /// `recipient.id`: the bot, as the channel names it.
    pub bot: String,
    /// `from.id`: the person, as the channel names them.
    pub user: String,
    /// `from.aadObjectId`.
    pub aad_object_id: String,
    pub tenant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// What a reference cannot be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part of the conversation reference is missing, too long, or has another form")]
pub struct Odd;

impl TryFrom<Written> for Reference {
    type Error = Odd;

    fn try_from(written: Written) -> Result<Reference, Odd> {
        let id = |text: &str| EntraId::new(text).ok_or(Odd);
        let (person, tenant) = (id(&written.aad_object_id)?, id(&written.tenant_id)?);
        let texts = [
            &written.service_url,
            &written.channel_id,
            &written.conversation,
            &written.bot,
            &written.user,
        ];
        let fits = |text: &str| {
            let long = text.is_empty() || text.len() > TEXT_MAX;
            !long && !text.chars().any(char::is_control)
        };
        // As a step of a path these would lead upwards, escaped or not.
        let steps = [".", ".."].contains(&written.conversation.as_str());
        let texts = texts.into_iter().chain(&written.locale);
        if steps || !texts.into_iter().all(|text| fits(text)) {
            return Err(Odd);
        }
        Ok(Reference {
            service_url: written.service_url,
            channel: written.channel_id,
            conversation: written.conversation,
            bot: written.bot,
            user: written.user,
            person,
            tenant,
            locale: written.locale,
        })
    }
}

impl From<Reference> for Written {
    fn from(reference: Reference) -> Written {
        Written {
            service_url: reference.service_url,
            channel_id: reference.channel,
            conversation: reference.conversation,
            bot: reference.bot,
            user: reference.user,
            aad_object_id: reference.person.to_string(),
            tenant_id: reference.tenant.to_string(),
            locale: reference.locale,
        }
    }
}

impl Reference {
    pub fn service_url(&self) -> &str {
        &self.service_url
    }

    pub fn channel(&self) -> &str {
        &self.channel
    }

    pub fn conversation(&self) -> &str {
        &self.conversation
    }

    /// As the channel names it.
    pub fn bot(&self) -> &str {
        &self.bot
    }

    /// As the channel names them.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Who it is: messages are for them and nobody else.
    pub fn person(&self) -> &EntraId {
        &self.person
    }

    pub fn tenant(&self) -> &EntraId {
        &self.tenant
    }

    pub fn locale(&self) -> Option<&str> {
        self.locale.as_deref()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(in super::super) fn written() -> Value {
        json!({
            "serviceUrl": "https://smba.trafficmanager.net/amer/",
            "channelId": "msteams",
            "conversation": "a:1xyz",
            "bot": "28:99999999-8888-7777-6666-555555555555",
            "user": "29:1abc",
            "aadObjectId": "0000000A-1111-4222-8333-0123456789AB",
            "tenantId": "11111111-2222-3333-4444-555555555555",
            "locale": "en-US",
        })
    }

    #[test]
    fn c22_a_reference_survives_the_store() {
        let reference: Reference = serde_json::from_value(written()).unwrap();
        assert_eq!(
            reference.person().as_str(),
            "0000000a-1111-4222-8333-0123456789ab"
        );
        let text = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<Reference>(&text).unwrap(), reference);
        let mut more = written();
        more["of a later version"] = json!(1);
        more.as_object_mut().unwrap().remove("locale");
        let reference: Reference = serde_json::from_value(more).unwrap();
        assert_eq!(reference.locale(), None);
        assert!(
            !serde_json::to_string(&reference)
                .unwrap()
                .contains("locale")
        );
    }

    #[test]
    fn c22_what_has_another_form_is_no_reference() {
        let long = "a".repeat(TEXT_MAX + 1);
        for (name, value) in [
            ("serviceUrl", json!("")),
            ("serviceUrl", json!(long)),
            ("channelId", json!("ms\nteams")),
            ("conversation", json!("")),
            ("conversation", json!(".")),
            ("conversation", json!("..")),
            ("conversation", json!(["a"])),
            ("bot", json!(null)),
            ("user", json!("\u{7f}")),
            ("aadObjectId", json!("eng-001")),
            ("tenantId", json!("common")),
            ("locale", json!(long)),
        ] {
            let mut odd = written();
            odd[name] = value;
            let read = serde_json::from_value::<Reference>(odd);
            assert!(read.is_err(), "{name}");
        }
    }
}
