//! The reader: once over the whole body for its grammar, once for what it says.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{Activity, Field, Flaw, Kind, Wrong};
use crate::ids::EntraId;
use crate::wire::json::{Raw, Reader, Unreadable};

/// Members of one object: an activity has some fifty, what channels add a few.
pub(super) const MEMBERS_MAX: usize = 512;
/// Ids: those of conversations in Teams have some 200 bytes.
pub(super) const ID_MAX: usize = 1024;
/// URLs of services have some 60 bytes.
pub(super) const URL_MAX: usize = 2048;
/// Words: types, channels, locales.
pub(super) const WORD_MAX: usize = 128;

/// A name, and what it is the name of.
type Name = (&'static str, Field);

const ACTIVITY: [Name; 11] = [
    ("type", Field::Type),
    ("id", Field::Id),
    ("channelId", Field::Channel),
    ("serviceUrl", Field::ServiceUrl),
    ("from", Field::From),
    ("conversation", Field::Conversation),
    ("channelData", Field::ChannelData),
    ("recipient", Field::Recipient),
    ("locale", Field::Locale),
    ("action", Field::Action),
    ("text", Field::Text),
];
const FROM: [Name; 2] = [("id", Field::FromId), ("aadObjectId", Field::User)];
const CONVERSATION: [Name; 3] = [
    ("id", Field::ConversationId),
    ("conversationType", Field::ConversationType),
    ("tenantId", Field::ConversationTenant),
];
const CHANNEL_DATA: [Name; 1] = [("tenant", Field::Tenant)];
const TENANT: [Name; 1] = [("id", Field::TenantId)];
const RECIPIENT: [Name; 1] = [("id", Field::RecipientId)];

/// Reads a body: one activity.
///
/// ```
/// use tonegate::wire::activity::{self, Kind};
///
/// let body = br#"{"type":"message","channelId":"msteams","conversation":{"id":"a:1"},
///     "serviceUrl":"https://smba.trafficmanager.net/amer/","text":"hello"}"#;
/// let activity = activity::read(body).unwrap();
/// assert_eq!(activity.kind, Kind::Message);
/// assert_eq!(activity.text().as_deref(), Some("hello"));
/// ```
pub fn read(body: &[u8]) -> Result<Activity<'_>, Wrong> {
    let text = std::str::from_utf8(body).map_err(|_| Wrong::Json)?;
    // The walk below judges of what it passes over only quotes and brackets.
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| Wrong::Json)?;
    let mut reader = Reader::new(body);
    if reader.peek() != Some(b'{') {
        return Err(Wrong::Field(Field::Activity, Flaw::Form));
    }
    let mut found = Found::default();
    found.object(&mut reader, Field::Activity, &ACTIVITY)?;
    let missing = |field| Wrong::Field(field, Flaw::Missing);
    Ok(Activity {
        kind: found.kind.ok_or(missing(Field::Type))?,
        id: found.id,
        channel: found.channel.ok_or(missing(Field::Channel))?,
        service_url: found.service_url.ok_or(missing(Field::ServiceUrl))?,
        from: found.from,
        user: found.user,
        conversation: found.conversation.ok_or(missing(Field::ConversationId))?,
        conversation_type: found.conversation_type,
        conversation_tenant: found.conversation_tenant,
        channel_tenant: found.channel_tenant,
        bot: found.bot,
        locale: found.locale,
        action: found.action,
        text: found.text,
    })
}

/// What was found so far.
#[derive(Default)]
struct Found<'a> {
    kind: Option<Kind>,
    id: Option<Cow<'a, str>>,
    channel: Option<Cow<'a, str>>,
    service_url: Option<Cow<'a, str>>,
    from: Option<Cow<'a, str>>,
    user: Option<EntraId>,
    conversation: Option<Cow<'a, str>>,
    conversation_type: Option<Cow<'a, str>>,
    conversation_tenant: Option<EntraId>,
    channel_tenant: Option<EntraId>,
    bot: Option<Cow<'a, str>>,
    locale: Option<Cow<'a, str>>,
    action: Option<Cow<'a, str>>,
    text: Option<Raw<'a>>,
}

impl<'a> Found<'a> {
    /// Reads an object of which some members are known. `null` is none.
    fn object(&mut self, reader: &mut Reader<'a>, of: Field, known: &[Name]) -> Result<(), Wrong> {
        match reader.peek() {
            Some(b'{') => {}
            Some(b'n') => return pass(reader),
            _ => return Err(Wrong::Field(of, Flaw::Form)),
        }
        let mut names = Vec::new();
        // What the walk itself finds no way through is nested more deeply than it goes.
        let mut wrong = Wrong::Deep;
        let walked = reader.members(|reader, name| {
            let mut member = || {
                let name = utf8(name).ok_or(Wrong::Json)?;
                if names.len() == MEMBERS_MAX {
                    return Err(Wrong::Field(of, Flaw::Members));
                }
                let bare = bare(&name);
                let meant = meant(of, known, &bare);
                names.push(bare);
                match (meant, known.iter().any(|(known, _)| *known == name)) {
                    (Some(field), true) => self.take(reader, field),
                    (Some(field), false) => Err(Wrong::Field(field, Flaw::Twice)),
                    (None, _) => pass(reader),
                }
            };
            member().map_err(|error| {
                wrong = error;
                Unreadable
            })
        });
        walked.map_err(|Unreadable| wrong)?;
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(match meant(of, known, &pair[0]) {
                Some(field) => Wrong::Field(field, Flaw::Twice),
                None => Wrong::Field(of, Flaw::Members),
            }),
            None => Ok(()),
        }
    }

    fn take(&mut self, reader: &mut Reader<'a>, field: Field) -> Result<(), Wrong> {
        match field {
            Field::Activity => {}
            Field::From => self.object(reader, field, &FROM)?,
            Field::Conversation => self.object(reader, field, &CONVERSATION)?,
            Field::ChannelData => self.object(reader, field, &CHANNEL_DATA)?,
            Field::Tenant => self.object(reader, field, &TENANT)?,
            Field::Recipient => self.object(reader, field, &RECIPIENT)?,
            Field::Type => self.kind = word(reader, field)?.map(|name| Kind::of(&name)),
            Field::Id => self.id = text(reader, field, ID_MAX)?,
            Field::Channel => self.channel = word(reader, field)?,
            Field::ServiceUrl => self.service_url = text(reader, field, URL_MAX)?,
            Field::FromId => self.from = text(reader, field, ID_MAX)?,
            Field::User => self.user = id(reader, field)?,
            Field::ConversationId => self.conversation = text(reader, field, ID_MAX)?,
            Field::ConversationType => self.conversation_type = word(reader, field)?,
            Field::ConversationTenant => self.conversation_tenant = id(reader, field)?,
            Field::TenantId => self.channel_tenant = id(reader, field)?,
            Field::RecipientId => self.bot = text(reader, field, ID_MAX)?,
            Field::Locale => self.locale = word(reader, field)?,
            Field::Action => self.action = word(reader, field)?,
            Field::Text => self.text = string(reader, field)?,
        }
        Ok(())
    }
}

/// The field for which some parser takes a name, bare of its spelling.
fn meant(of: Field, known: &[Name], bare: &str) -> Option<Field> {
    if of == Field::Activity && bare == "fromproperty" {
        return Some(Field::From);
    }
    let found = known
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(bare));
    found.map(|&(_, field)| field)
}

/// A name as the most tolerant parser compares it: without regard to case, also of the letters that
/// Unicode folds into ASCII (`ſ`, the Kelvin sign), and without underscores.
fn bare(name: &str) -> String {
    let lower = name.chars().flat_map(char::to_uppercase);
    let lower = lower.flat_map(char::to_lowercase);
    lower.filter(|character| *character != '_').collect()
}

/// A text that is not empty, has so many bytes at the most and no control characters.
fn text<'a>(
    reader: &mut Reader<'a>,
    field: Field,
    most: usize,
) -> Result<Option<Cow<'a, str>>, Wrong> {
    let Some(raw) = string(reader, field)? else {
        return Ok(None);
    };
    let fits = |text: &Cow<'a, str>| {
        (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
    };
    let text = utf8(raw).filter(fits);
    text.map(Some).ok_or(Wrong::Field(field, Flaw::Form))
}

fn word<'a>(reader: &mut Reader<'a>, field: Field) -> Result<Option<Cow<'a, str>>, Wrong> {
    text(reader, field, WORD_MAX)
}

fn id(reader: &mut Reader<'_>, field: Field) -> Result<Option<EntraId>, Wrong> {
    let id = word(reader, field)?.map(|text| EntraId::new(&text));
    id.map(|id| id.ok_or(Wrong::Field(field, Flaw::Form)))
        .transpose()
}

/// A string; `null` is none.
fn string<'a>(reader: &mut Reader<'a>, field: Field) -> Result<Option<Raw<'a>>, Wrong> {
    match reader.peek() {
        Some(b'"') => reader.string().map(Some).map_err(|Unreadable| Wrong::Json),
        Some(b'n') => pass(reader).map(|()| None),
        _ => Err(Wrong::Field(field, Flaw::Form)),
    }
}

fn pass(reader: &mut Reader<'_>) -> Result<(), Wrong> {
    reader.skip().map_err(|Unreadable| Wrong::Deep)
}

/// What a string says, escapes undone.
pub(super) fn utf8(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    match raw.unescape()? {
        Cow::Borrowed(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
        Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
    }
}
