use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::read::{ID_MAX, MEMBERS_MAX, URL_MAX, WORD_MAX};
use super::*;

const USER: &str = "00000000-0000-4000-8000-000000000001";
const TENANT: &str = "00000000-0000-4000-8000-0000000000aa";

/// The example of PROTOCOLS 7.2.
fn message() -> Value {
    json!({
        "type": "message", "id": "1700000000000", "timestamp": "2026-05-04T10:00:00.0Z",
        "channelId": "msteams", "serviceUrl": "https://smba.trafficmanager.net/amer/",
        "from": {"id": "29:1abc", "name": "Sarah", "aadObjectId": USER},
        "conversation": {"id": "a:1xyz", "conversationType": "personal", "tenantId": TENANT},
        "recipient": {"id": "28:11111111-2222-3333-4444-555555555555", "name": "bot"},
        "channelData": {"tenant": {"id": TENANT}}, "locale": "en-US",
        "action": "remove", "text": "stop \"notifications\"\n\u{e9}", "value": null,
    })
}

/// Everything that was read, for comparison.
fn told(activity: &Activity<'_>) -> Vec<String> {
    let text = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or("-").to_owned();
    let id = |id: &Option<EntraId>| id.as_ref().map_or("-", EntraId::as_str).to_owned();
    vec![
        activity.kind.word().to_owned(),
        text(&activity.id),
        activity.channel.to_string(),
        activity.service_url.to_string(),
        text(&activity.from),
        id(&activity.user),
        activity.conversation.to_string(),
        text(&activity.conversation_type),
        id(&activity.conversation_tenant),
        id(&activity.channel_tenant),
        text(&activity.bot),
        text(&activity.locale),
        text(&activity.action),
        text(&activity.text()),
    ]
}

fn wrong(text: &str) -> Wrong {
    match read(text.as_bytes()) {
        Err(wrong) => wrong,
        Ok(_) => panic!("taken: {text}"),
    }
}

/// The example with a member put in or replaced, by a pointer to its object; `null` takes it away.
fn with(pointer: &str, name: &str, value: Value) -> String {
    let mut all = message();
    let object = all.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    object.insert(name.to_owned(), value);
    all.to_string()
}

/// The example with a second member of some name in an object, as no [`Value`] can hold it.
fn twice(pointer: &str, name: &str, value: &str, first: bool) -> String {
    let all = message();
    let object = all.pointer(pointer).unwrap().to_string();
    let member = format!("\"{name}\":{value}");
    let changed = match first {
        true => format!("{{{member},{}", &object[1..]),
        false => format!("{},{member}}}", &object[..object.len() - 1]),
    };
    let text = all.to_string();
    assert_eq!(text.matches(&object).count(), 1);
    text.replace(&object, &changed)
}

#[test]
fn c01_the_fields_are_read_and_nothing_of_it_is_printed() {
    let body = message().to_string();
    let activity = read(body.as_bytes()).unwrap();
    assert_eq!(
        told(&activity),
        [
            "message",
            "1700000000000",
            "msteams",
            "https://smba.trafficmanager.net/amer/",
            "29:1abc",
            USER,
            "a:1xyz",
            "personal",
            TENANT,
            TENANT,
            "28:11111111-2222-3333-4444-555555555555",
            "en-US",
            "remove",
            "stop \"notifications\"\n\u{e9}",
        ]
    );
    // What has no escapes is not copied.
    assert!(matches!(activity.service_url, Cow::Borrowed(_)));
    assert_eq!(format!("{activity:?}"), "Activity(message)");
}

#[test]
fn c01_what_is_absent_or_null_is_none_and_what_is_needed_is_named() {
    let least = r#"{"type":"typing","channelId":"c","serviceUrl":"u","conversation":{"id":"i"}}"#;
    let activity = read(least.as_bytes()).unwrap();
    assert_eq!(activity.kind, Kind::Other);
    assert!(activity.user.is_none() && activity.text().is_none() && activity.from.is_none());
    for (pointer, name) in [
        ("", "from"),
        ("", "channelData"),
        ("", "recipient"),
        ("", "text"),
        ("/from", "aadObjectId"),
        ("/channelData", "tenant"),
        ("/channelData/tenant", "id"),
        ("/conversation", "tenantId"),
    ] {
        assert!(
            read(with(pointer, name, Value::Null).as_bytes()).is_ok(),
            "{name}"
        );
    }
    for (pointer, name, field) in [
        ("", "type", Field::Type),
        ("", "channelId", Field::Channel),
        ("", "serviceUrl", Field::ServiceUrl),
        ("", "conversation", Field::ConversationId),
        ("/conversation", "id", Field::ConversationId),
    ] {
        let missing = Wrong::Field(field, Flaw::Missing);
        assert_eq!(wrong(&with(pointer, name, Value::Null)), missing);
    }
    assert_eq!(wrong("{}").to_string(), "type is missing");
    assert_eq!(wrong("{}").detail(), "type is missing");
}

#[test]
fn c01_types_of_activities_are_told_apart_in_any_case() {
    for (name, kind) in [
        ("message", Kind::Message),
        ("Message", Kind::Message),
        ("INVOKE", Kind::Invoke),
        ("conversationUpdate", Kind::ConversationUpdate),
        ("installationupdate", Kind::InstallationUpdate),
        ("messageReaction", Kind::Other),
        ("message ", Kind::Other),
    ] {
        let body = with("", "type", json!(name));
        assert_eq!(read(body.as_bytes()).unwrap().kind, kind, "{name}");
    }
}

/// Objects that are read from, and names in them.
const READ: [(&str, &[(&str, Field)]); 6] = [
    (
        "",
        &[
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
        ],
    ),
    (
        "/from",
        &[("id", Field::FromId), ("aadObjectId", Field::User)],
    ),
    (
        "/conversation",
        &[
            ("id", Field::ConversationId),
            ("conversationType", Field::ConversationType),
            ("tenantId", Field::ConversationTenant),
        ],
    ),
    ("/channelData", &[("tenant", Field::Tenant)]),
    ("/channelData/tenant", &[("id", Field::TenantId)]),
    ("/recipient", &[("id", Field::RecipientId)]),
];

/// Spellings of a name that some parser takes for it.
fn spellings(name: &str) -> Vec<String> {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    let (first, rest) = name.split_at(1);
    let escaped = format!("\\u{:04x}{rest}", first.as_bytes()[0]);
    let all = [
        name.to_ascii_uppercase(),
        format!("{}{rest}", first.to_ascii_uppercase()),
        snake,
        name.replacen('s', "\u{17f}", 1),
        name.replacen('k', "\u{212a}", 1),
        format!("{name}_"),
        escaped,
    ];
    all.into_iter().filter(|other| other != name).collect()
}

#[test]
fn c14_s34_a_name_that_stands_twice_is_refused_in_every_object_and_spelling() {
    let mut tried = 0;
    for (pointer, names) in READ {
        for (name, field) in names {
            let refused = Wrong::Field(*field, Flaw::Twice);
            let value = message()
                .pointer(&format!("{pointer}/{name}"))
                .unwrap()
                .to_string();
            for value in [&value, "null", "7"] {
                for first in [true, false] {
                    // A wrong type is told first where it is met first.
                    let told = wrong(&twice(pointer, name, value, first));
                    let form = Wrong::Field(*field, Flaw::Form);
                    assert!(
                        told == refused || (value == "7" && told == form),
                        "{name} {told}"
                    );
                    for other in spellings(name) {
                        let told = wrong(&twice(pointer, &other, value, first));
                        let form = value == "7" && told == form;
                        assert!(told == refused || form, "{other} {told}");
                        tried += 1;
                    }
                }
            }
        }
        // Also of names that nobody reads here: somebody else may.
        let body = twice(pointer, "value", "1", true);
        let body = body.replacen("\"value\":1", "\"value\":1,\"Va_lue\":2", 1);
        assert!(
            matches!(wrong(&body), Wrong::Field(_, Flaw::Members)),
            "{body}"
        );
    }
    assert!(tried > 300, "{tried}");
    let python = with("", "from_property", json!({"id": "29:2"}));
    assert_eq!(wrong(&python), Wrong::Field(Field::From, Flaw::Twice));
}

#[test]
fn c22_only_an_installation_that_is_removed_is_a_farewell() {
    for (kind, action, is) in [
        ("installationUpdate", json!("remove"), true),
        ("installationUpdate", json!("remove-upgrade"), false),
        ("installationUpdate", json!("add"), false),
        ("installationUpdate", json!(null), false),
        ("message", json!("remove"), false),
    ] {
        let body = with("", "type", json!(kind)).replace("\"remove\"", &action.to_string());
        assert_eq!(
            read(body.as_bytes()).unwrap().is_farewell(),
            is,
            "{kind} {action}"
        );
    }
}

#[test]
fn s34_another_spelling_alone_is_refused_too() {
    for (pointer, names) in READ {
        for (name, field) in names {
            for other in spellings(name).iter().filter(|other| !other.contains('\\')) {
                let mut all = message();
                let object = all.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
                let value = object.remove(*name).unwrap();
                object.insert(other.clone(), value);
                let told = wrong(&all.to_string());
                assert_eq!(told, Wrong::Field(*field, Flaw::Twice), "{other}");
            }
        }
    }
}

#[test]
fn s34_wrong_types_and_forms_name_their_field() {
    let long = |length: usize| json!("x".repeat(length));
    for (pointer, names) in READ {
        for (name, field) in names {
            let object = message()
                .pointer(&format!("{pointer}/{name}"))
                .unwrap()
                .is_object();
            for value in [json!(7), json!(true), json!(["x"]), json!("x"), json!({})] {
                let fits = match object {
                    true => value.is_object(),
                    false => value.is_string(),
                };
                if !fits {
                    let told = wrong(&with(pointer, name, value.clone()));
                    assert_eq!(told, Wrong::Field(*field, Flaw::Form), "{name} {value}");
                }
            }
            if !object && *field != Field::Text {
                for bad in ["", "a\u{0}", "a\r\nb", "a\u{7f}", "a\u{85}"] {
                    let told = wrong(&with(pointer, name, json!(bad)));
                    assert_eq!(told, Wrong::Field(*field, Flaw::Form), "{name} {bad:?}");
                }
            }
        }
    }
    for (pointer, name, most) in [
        ("", "id", ID_MAX),
        ("", "serviceUrl", URL_MAX),
        ("", "channelId", WORD_MAX),
        ("/conversation", "id", ID_MAX),
    ] {
        assert!(
            read(with(pointer, name, long(most)).as_bytes()).is_ok(),
            "{name}"
        );
        assert!(matches!(
            wrong(&with(pointer, name, long(most + 1))),
            Wrong::Field(..)
        ));
    }
    for id in [
        "x",
        "00000000-0000-4000-8000-00000000000",
        &format!("{{{USER}}}"),
    ] {
        let told = wrong(&with("/from", "aadObjectId", json!(id)));
        assert_eq!(told, Wrong::Field(Field::User, Flaw::Form));
    }
    let upper = with("/from", "aadObjectId", json!(USER.to_uppercase()));
    let body = read(upper.as_bytes()).unwrap();
    assert_eq!(body.user.unwrap().as_str(), USER);
}

#[test]
fn s34_what_is_not_strictly_json_is_refused_wherever_it_stands() {
    let good = message().to_string();
    let hidden = |odd: &str| good.replacen("\"value\":null", &format!("\"value\":{odd}"), 1);
    for odd in [
        // A tolerant parser sees comments here, and another `from` between them.
        r#"[/*"*/],"from":{"id":"29:evil"},"x":[/*"*/]"#,
        "[1,]",
        "{\"a\":1,}",
        "'x'",
        "NaN",
        "01",
        "+1",
        "[1 2]",
        "{a:1}",
        "nul",
        "\"a\tb\"",
        "\"\\x\"",
        "// x\n1",
    ] {
        assert_eq!(wrong(&hidden(odd)), Wrong::Json, "{odd}");
    }
    assert!(read(hidden("[1.5e-3, -0, {\"\": [true, false, null]}]").as_bytes()).is_ok());
    for bad in [
        String::new(),
        format!("{good} x"),
        format!("{good}{good}"),
        format!("\u{feff}{good}"),
        good[..good.len() - 1].to_owned(),
    ] {
        assert_eq!(wrong(&bad), Wrong::Json);
    }
    for other in ["[]", "7", "null", "\"x\""] {
        assert_eq!(wrong(other), Wrong::Field(Field::Activity, Flaw::Form));
    }
    let mut bytes = good.clone().into_bytes();
    let at = good.find("Sarah").unwrap();
    bytes[at] = 0xff;
    assert_eq!(read(&bytes).err(), Some(Wrong::Json));
    // Half a surrogate pair is no text, in a name as in an id.
    let half = good.replacen("29:1abc", "29:\\ud800", 1);
    assert_eq!(wrong(&half), Wrong::Field(Field::FromId, Flaw::Form));
    assert_eq!(
        wrong(&good.replacen("\"name\"", "\"\\ud800\"", 1)),
        Wrong::Json
    );
}

#[test]
fn s34_depth_and_numbers_of_members_are_bounded() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let body = |depth: usize| {
        let good = message().to_string();
        good.replacen("\"value\":null", &format!("\"value\":{}", deep(depth)), 1)
    };
    assert!(read(body(127).as_bytes()).is_ok());
    assert_eq!(wrong(&body(129)), Wrong::Deep);
    assert_eq!(wrong(&body(200_000)), Wrong::Deep);
    for (pointer, _) in READ {
        let many = |count: usize| {
            let mut all = message();
            let object = all.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            for number in object.len()..count {
                object.insert(format!("m{number}"), json!(number));
            }
            all.to_string()
        };
        assert!(read(many(MEMBERS_MAX).as_bytes()).is_ok());
        let told = wrong(&many(MEMBERS_MAX + 1));
        assert!(matches!(told, Wrong::Field(_, Flaw::Members)), "{told}");
    }
}

/// A value written with its members in an order of `pick`'s choice, and white space between.
fn written(value: &Value, pick: &mut impl FnMut(usize) -> usize) -> String {
    let blank = |pick: &mut dyn FnMut(usize) -> usize| " \t\r\n"[..pick(5)].to_owned();
    let Value::Object(object) = value else {
        return value.to_string();
    };
    let mut members: Vec<(&String, &Value)> = object.iter().collect();
    let mut out = String::from("{");
    while !members.is_empty() {
        let (name, value) = members.remove(pick(members.len()));
        let comma = if members.is_empty() { "" } else { "," };
        let (before, behind) = (blank(pick), blank(pick));
        let value = written(value, pick);
        out.push_str(&format!(
            "{before}\"{name}\"{behind}:{before}{value}{behind}{comma}"
        ));
    }
    out.push('}');
    out
}

proptest! {
    #[test]
    fn order_white_space_and_unknown_members_do_not_matter(
        choices in proptest::collection::vec(any::<usize>(), 1..80),
        unknown in proptest::collection::btree_map("x[a-z]{1,6}", "\\PC{0,8}", 0..6),
        places in proptest::collection::vec(0usize..6, 6),
    ) {
        let mut all = message();
        for ((name, value), place) in unknown.iter().zip(&places) {
            let object = all.pointer_mut(READ[*place].0).unwrap().as_object_mut().unwrap();
            object.insert(name.clone(), json!({"nested": [value, {"id": value}]}));
        }
        let mut at = 0;
        let mut pick = |below: usize| {
            at += 1;
            choices[at % choices.len()] % below
        };
        let body = written(&all, &mut pick);
        let plain = message().to_string();
        let read_all = read(body.as_bytes());
        prop_assert!(read_all.is_ok(), "{body}");
        prop_assert_eq!(told(&read_all.unwrap()), told(&read(plain.as_bytes()).unwrap()));
    }

    #[test]
    fn what_is_read_is_what_serde_reads(
        texts in proptest::collection::vec("\\PC{1,12}", 6),
    ) {
        let mut all = message();
        all["id"] = json!(texts[0]);
        all["serviceUrl"] = json!(texts[1]);
        all["from"]["id"] = json!(texts[2]);
        all["conversation"]["id"] = json!(texts[3]);
        all["recipient"]["id"] = json!(texts[4]);
        all["text"] = json!(texts[5]);
        let body = all.to_string();
        if let Ok(activity) = read(body.as_bytes()) {
            let text = activity.text();
            prop_assert_eq!(activity.id.as_deref(), Some(&*texts[0]));
            prop_assert_eq!(&*activity.service_url, &*texts[1]);
            prop_assert_eq!(activity.from.as_deref(), Some(&*texts[2]));
            prop_assert_eq!(&*activity.conversation, &*texts[3]);
            prop_assert_eq!(activity.bot.as_deref(), Some(&*texts[4]));
            prop_assert_eq!(text.as_deref(), Some(&*texts[5]));
        } else {
            prop_assert!(texts[..5].iter().any(|text| text.chars().any(char::is_control)));
        }
    }

    #[test]
    fn never_panics(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}\",:\\\\ un0a1d8]{0,80}".prop_map(String::into_bytes),
        ],
        cut in 0usize..400,
        flip in any::<(usize, u8)>(),
    ) {
        let _ = read(&bytes);
        let mut good = message().to_string().into_bytes();
        let at = flip.0 % good.len();
        good[at] = flip.1;
        let _ = read(&good);
        let _ = read(&good[..cut.min(good.len())]);
    }
}

#[test]
fn an_empty_map_is_no_activity() {
    let none = Value::Object(Map::new()).to_string();
    assert_eq!(wrong(&none), Wrong::Field(Field::Type, Flaw::Missing));
}
