//! A call's record as scripts are told and tell it.

use super::{Turn, ms};
use crate::ids::{ContactId, ForeignId, PhoneNumber};
use crate::store::{Enter, Entered, Facts, Keys, Needs, Unavailable};

/// The word for what is needed, and whether the key goes with its use.
pub(super) fn need(needs: Needs) -> (&'static str, bool) {
    match needs {
        Needs::Nothing => ("nothing", false),
        Needs::Dialled => ("dialled", false),
        Needs::ApiKey { consume } => ("api", consume),
        Needs::SipKey { consume } => ("sip", consume),
    }
}

pub(super) fn flag(is_set: bool) -> String {
    if is_set { "1" } else { "0" }.to_owned()
}

/// The first eleven arguments of `enter` and `admit`.
pub(super) fn arguments(turn: &Turn<'_>, enter: &Enter<'_>, keys: &Keys) -> Vec<String> {
    let id = |id: Option<&ForeignId>| id.map_or_else(String::new, ToString::to_string);
    let said = Facts::default();
    let signed = enter.signed.unwrap_or(&said);
    let ani = signed.ani.as_ref().map(PhoneNumber::expose);
    let sip_key = signed.sip.as_ref().map(|id| keys.sip(id));
    vec![
        enter.owner.to_string(),
        ms(turn.redis.policy.ttl),
        id(enter.connection),
        id(enter.correlation),
        flag(enter.makes && enter.signed.is_some()),
        ani.unwrap_or_default().to_owned(),
        id(signed.sip.as_ref()),
        id(signed.connection.as_ref()),
        id(signed.correlation.as_ref()),
        sip_key.map_or_else(String::new, |key| key.expose().to_owned()),
        binding(enter),
    ]
}

/// What the media URL of a call that was made binds it to; nothing for all others.
pub(super) fn binding(enter: &Enter<'_>) -> String {
    enter
        .binding
        .map_or_else(String::new, |binding| binding.to_hex())
}

/// What `enter` or `admit` answered: a word, the facts, the name of the SIP key, and for which contact
/// the call was opened.
pub(super) struct Answer {
    pub(super) word: String,
    pub(super) facts: Facts,
    pub(super) sip_key: Option<String>,
    pub(super) contact: Option<ContactId>,
}

/// How many texts an answer has.
pub(super) const ANSWER: usize = 7;

/// Reads an answer; a record that does not fit the grammars is not ours.
pub(super) fn answer(told: Vec<String>) -> Result<Answer, Unavailable> {
    let told: [String; ANSWER] = told.try_into().map_err(|_| Unavailable::Malformed)?;
    let [word, ani, sip, connection, correlation, sip_key, contact] = told;
    let id = |text: &str| match text {
        "" => Ok(None),
        text => ForeignId::new(text).map(Some).ok_or(Unavailable::Malformed),
    };
    let ani = match ani.as_str() {
        "" => None,
        text => Some(PhoneNumber::new(text).ok_or(Unavailable::Malformed)?),
    };
    let facts = Facts {
        ani,
        sip: id(&sip)?,
        connection: id(&connection)?,
        correlation: id(&correlation)?,
    };
    Ok(Answer {
        word,
        facts,
        sip_key: (!sip_key.is_empty()).then_some(sip_key),
        contact: ContactId::new(&contact),
    })
}

impl Answer {
    pub(super) fn entered(self) -> Result<Entered, Unavailable> {
        let Answer {
            word,
            facts,
            contact,
            ..
        } = self;
        match word.as_str() {
            "pending" => Ok(Entered::Pending(facts)),
            "authorised" => Ok(Entered::Authorised {
                facts,
                resumed: false,
                contact,
            }),
            "resumed" => Ok(Entered::Authorised {
                facts,
                resumed: true,
                contact,
            }),
            "spent" => Ok(Entered::Spent),
            "unknown" => Ok(Entered::Unknown),
            "other" => Ok(Entered::OtherConnection),
            "no_key" => Ok(Entered::NoKey),
            _ => Err(Unavailable::Malformed),
        }
    }
}

/// The fields of a record that say what signalling said; never none, as an empty hash is no record.
pub(super) fn fields(facts: &Facts, keys: &Keys) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            fields.push(name.to_owned());
            fields.push(value.to_owned());
        }
    };
    field("ani", facts.ani.as_ref().map(PhoneNumber::expose));
    field("sip", facts.sip.as_ref().map(ForeignId::as_str));
    field(
        "connection",
        facts.connection.as_ref().map(ForeignId::as_str),
    );
    field(
        "correlation",
        facts.correlation.as_ref().map(ForeignId::as_str),
    );
    let sip_key = facts.sip.as_ref().map(|id| keys.sip(id));
    field("sip_key", sip_key.as_ref().map(|key| key.expose()));
    field("noted", Some("1"));
    fields
}
