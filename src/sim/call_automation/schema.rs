//! What the body of each request must look like, member by member.
//!
//! Owns the shapes, which are those of Microsoft's REST specification as the official SDK for
//! Python writes it (1.6.0). What the real service would ignore, a member that it does not know, is
//! refused here. Refuses to know calls.

use serde_json::Value;

/// The largest request that is read.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// The longest name of a member that is repeated to whoever sent it.
const NAME_MAX: usize = 128;

/// What a member holds.
enum Kind {
    /// Text that is not empty.
    Text,
    /// A URL with one of these schemes and a host.
    Url(&'static [&'static str]),
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
    Object(&'static [Member]),
    /// One object at least.
    List(&'static [Member]),
}

/// A member of an object.
pub(super) struct Member {
    name: &'static str,
    kind: Kind,
    needed: bool,
}

const fn needs(name: &'static str, kind: Kind) -> Member {
    let needed = true;
    Member { name, kind, needed }
}

const fn may(name: &'static str, kind: Kind) -> Member {
    let needed = false;
    Member { name, kind, needed }
}

/// Callbacks go over TLS; plain text is for loopback, where the simulators are.
const CALLBACK: Kind = Kind::Url(&["https", "http"]);
const CLOUD: Kind = Kind::Word(&["public", "dod", "gcch"]);
const PHONE: &[Member] = &[
    needs("value", Kind::Text),
    may("isAnonymous", Kind::Bool),
    may("assertedId", Kind::Text),
];
const USER: &[Member] = &[needs("id", Kind::Text)];
const TEAMS_APP: &[Member] = &[needs("appId", Kind::Text), may("cloud", CLOUD)];
const IDENTIFIER: &[Member] = &[
    may(
        "kind",
        Kind::Word(&[
            "unknown",
            "communicationUser",
            "phoneNumber",
            "microsoftTeamsUser",
            "microsoftTeamsApp",
            "teamsExtensionUser",
        ]),
    ),
    needs("rawId", Kind::Text),
    may("communicationUser", Kind::Object(USER)),
    may("phoneNumber", Kind::Object(PHONE)),
    may(
        "microsoftTeamsUser",
        Kind::Object(&[
            needs("userId", Kind::Text),
            may("isAnonymous", Kind::Bool),
            may("cloud", CLOUD),
        ]),
    ),
    may("microsoftTeamsApp", Kind::Object(TEAMS_APP)),
];
const MEDIA: &[Member] = &[
    needs("transportType", Kind::Word(&["websocket"])),
    needs("audioChannelType", Kind::Word(&["mixed", "unmixed"])),
    needs("transportUrl", Kind::Url(&["wss", "ws"])),
    needs("contentType", Kind::Word(&["audio"])),
    may("startMediaStreaming", Kind::Bool),
    may("enableBidirectional", Kind::Bool),
    may("audioFormat", Kind::Word(&["pcm16KMono", "pcm24KMono"])),
    may("enableDtmfTones", Kind::Bool),
];
const INTELLIGENCE: &[Member] = &[may("cognitiveServicesEndpoint", Kind::Url(&["https"]))];

pub(super) const ANSWER: &[Member] = &[
    needs("incomingCallContext", Kind::Text),
    needs("callbackUri", CALLBACK),
    may("operationContext", Kind::Text),
    may("callIntelligenceOptions", Kind::Object(INTELLIGENCE)),
    may("answeredBy", Kind::Object(USER)),
    may("mediaStreamingOptions", Kind::Object(MEDIA)),
];
pub(super) const CREATE: &[Member] = &[
    needs("targets", Kind::List(IDENTIFIER)),
    needs("callbackUri", CALLBACK),
    may("sourceCallerIdNumber", Kind::Object(PHONE)),
    may("sourceDisplayName", Kind::Text),
    may("source", Kind::Object(USER)),
    may("operationContext", Kind::Text),
    may("callIntelligenceOptions", Kind::Object(INTELLIGENCE)),
    may("mediaStreamingOptions", Kind::Object(MEDIA)),
    may("teamsAppSource", Kind::Object(TEAMS_APP)),
];
pub(super) const REDIRECT: &[Member] = &[
    needs("incomingCallContext", Kind::Text),
    needs("target", Kind::Object(IDENTIFIER)),
];
pub(super) const REJECT: &[Member] = &[
    needs("incomingCallContext", Kind::Text),
    may(
        "callRejectReason",
        Kind::Word(&["none", "busy", "forbidden"]),
    ),
];
pub(super) const STREAMING: &[Member] = &[
    may("operationCallbackUri", CALLBACK),
    may("operationContext", Kind::Text),
];
pub(super) const START_DTMF: &[Member] = &[
    needs("targetParticipant", Kind::Object(IDENTIFIER)),
    may("operationContext", Kind::Text),
];
pub(super) const STOP_DTMF: &[Member] = &[
    needs("targetParticipant", Kind::Object(IDENTIFIER)),
    may("operationContext", Kind::Text),
    may("operationCallbackUri", CALLBACK),
];

/// What is wrong with a body, and at which member: `mediaStreamingOptions.audioFormat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub what: &'static str,
    /// The path of the member.
    pub member: String,
}

/// Whether `value` is an object of these members and no others.
pub(super) fn check(value: &Value, members: &[Member]) -> Result<(), Fault> {
    object(value, members, "")
}

fn object(value: &Value, members: &[Member], path: &str) -> Result<(), Fault> {
    let fault = |what, name: &str| {
        let name: String = name.chars().take(NAME_MAX).collect();
        let dot = if path.is_empty() || name.is_empty() {
            ""
        } else {
            "."
        };
        let member = format!("{path}{dot}{name}");
        Fault { what, member }
    };
    let Value::Object(object) = value else {
        return Err(fault("not an object", ""));
    };
    let known = |name: &String| members.iter().any(|member| member.name == name);
    if let Some(name) = object.keys().find(|name| !known(name)) {
        return Err(fault("unknown member", name));
    }
    for member in members {
        let Some(value) = object.get(member.name) else {
            if member.needed {
                return Err(fault("missing member", member.name));
            }
            continue;
        };
        kind(value, &member.kind, &fault("", member.name).member)?;
    }
    Ok(())
}

fn kind(value: &Value, kind: &Kind, path: &str) -> Result<(), Fault> {
    let sound = match kind {
        Kind::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Kind::Bool => value.is_boolean(),
        Kind::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
        Kind::Url(schemes) => value.as_str().is_some_and(|text| is_url(text, schemes)),
        Kind::Object(members) => return object(value, members, path),
        Kind::List(members) => match value.as_array() {
            Some(list) if !list.is_empty() => {
                return list.iter().try_for_each(|one| object(one, members, path));
            }
            _ => false,
        },
    };
    let member = path.to_owned();
    let what = "not a value that this member may have";
    sound.then_some(()).ok_or(Fault { what, member })
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let scheme = uri.scheme_str().is_some_and(|one| schemes.contains(&one));
    scheme && uri.host().is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "incomingCallContext": "c",
            "callbackUri": "https://edge.example.org/acs/callbacks/7f0c",
            "operationContext": "7f0c",
            "mediaStreamingOptions": {
                "transportType": "websocket",
                "transportUrl": "wss://edge.example.org/acs/media/7f0c",
                "contentType": "audio",
                "audioChannelType": "mixed",
                "startMediaStreaming": true,
                "enableBidirectional": true,
                "audioFormat": "pcm24KMono",
                "enableDtmfTones": true,
            },
        })
    }

    #[test]
    fn a05_every_member_is_needed_known_and_of_its_kind() {
        check(&good(), ANSWER).unwrap();
        let media = "mediaStreamingOptions";
        let cases = [
            (None, "callbackUri", Value::Null, "callbackUri"),
            (
                None,
                "callbackUri",
                json!("edge.example.org"),
                "callbackUri",
            ),
            (None, "callbackUri", json!("wss://a/b"), "callbackUri"),
            (
                None,
                "incomingCallContext",
                json!(""),
                "incomingCallContext",
            ),
            (None, "incomingCallContext", json!(7), "incomingCallContext"),
            (None, "callbackUrl", json!("https://a/b"), "callbackUrl"),
            (None, media, json!([]), media),
            (
                Some(media),
                "transportUrl",
                json!("https://a/b"),
                "mediaStreamingOptions.transportUrl",
            ),
            (
                Some(media),
                "audioFormat",
                json!("Pcm24KMono"),
                "mediaStreamingOptions.audioFormat",
            ),
            (
                Some(media),
                "enableDtmfTones",
                json!("true"),
                "mediaStreamingOptions.enableDtmfTones",
            ),
            (
                Some(media),
                "transportType",
                Value::Null,
                "mediaStreamingOptions.transportType",
            ),
            (
                Some(media),
                "sampleRate",
                json!(24000),
                "mediaStreamingOptions.sampleRate",
            ),
        ];
        let mut refused = 0;
        for (within, name, value, member) in cases {
            let mut body = good();
            let object = match within {
                Some(within) => &mut body[within],
                None => &mut body,
            };
            if value.is_null() {
                object.as_object_mut().unwrap().remove(name);
            } else {
                object[name] = value;
            }
            assert_eq!(check(&body, ANSWER).unwrap_err().member, member);
            refused += 1;
        }
        assert_eq!(refused, 12);
        assert!(check(&json!([good()]), ANSWER).is_err());
        let nobody = json!({"targets": [], "callbackUri": "https://a/b"});
        assert_eq!(check(&nobody, CREATE).unwrap_err().member, "targets");
    }
}
