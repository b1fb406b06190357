//! What routes of calls have of their own, and what of other routes they have not.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::gate::{flow, rates};
use super::route::{At, Known};
use super::{gateway, page, session_api, sessions, ticket, web};
use crate::config::file;
use crate::config::{
    Bridge, CALL_SECRET, Dtmf, Enter, IssuerKind, Kind, Phone, Place, Refuse, Route, RouteKind,
    VoiceSession, Way,
};

/// The kind of a route; what is wrong with it is told.
pub(super) fn kind(at: &mut At<'_>, known: &Known<'_>) -> Option<RouteKind> {
    let kind = match at.written.kind.as_deref() {
        Some("voice-live") => RouteKind::VoiceLive,
        Some("relay") => RouteKind::Relay,
        Some("acs-media") => return Some(RouteKind::AcsMedia(Arc::new(phone(at, known)))),
        Some("event-grid") => web::event_grid(at, known)?,
        Some("acs-callback") => RouteKind::AcsCallback,
        Some("call-api") => web::call_api(at, known)?,
        Some("session-api") => session_api::session_api(at)?,
        Some("http") => gateway::http(at, known),
        Some("bot") => gateway::bot(at, known),
        Some("notify") => RouteKind::Notify,
        Some("tickets") => ticket::desk(at, known)?,
        Some("sessions") => sessions::sessions(at),
        Some("page") => page::page(at),
        Some(_) | None => {
            at.add(
                "kind",
                "must be \"voice-live\", \"relay\", \"acs-media\", \"event-grid\", \
                 \"acs-callback\", \"call-api\", \"session-api\", \"sessions\", \"http\", \"bot\", \"notify\", \
                 \"tickets\" or \"page\"",
            );
            return None;
        }
    };
    let written = at.written;
    for (key, is_written) in [
        ("gate", written.gate.is_some()),
        ("session", written.session.is_some()),
        ("greet", written.greet.is_some()),
        ("mask_tones", written.mask_tones.is_some()),
        ("hang_up", written.hang_up.is_some()),
    ] {
        if is_written {
            at.add(key, "has a use with kind = \"acs-media\" only");
        }
    }
    Some(kind)
}

fn phone(at: &mut At<'_>, known: &Known<'_>) -> Phone {
    let nothing = file::Gate::default();
    let written = at.written.gate.as_ref().unwrap_or(&nothing);
    let flow = flow(at, written);
    let (per_ani, per_route) = rates(&flow);
    Phone {
        flow,
        bridge: bridge(at, known),
        attempts_per_ani: written.attempts_per_ani.or(per_ani),
        attempts_per_route: written.attempts_per_route.or(per_route),
        hang_up: hang_up(at, known),
    }
}

/// Where there is nothing to hang up with, nothing is hung up.
fn hang_up(at: &mut At<'_>, known: &Known<'_>) -> bool {
    let can = known.file.acs.is_some();
    if at.written.hang_up == Some(true) && !can {
        at.add("hang_up", "needs [acs], which says how calls are hung up");
    }
    at.written.hang_up.unwrap_or(can)
}

/// What is done with media follows from where it goes; upstreams of two kinds are refused with
/// those of all routes.
fn bridge(at: &mut At<'_>, known: &Known<'_>) -> Bridge {
    let written = at.written;
    let first = written.upstreams.iter().find_map(|name| {
        let mut all = known.upstreams.iter();
        all.find(|upstream| upstream.name.as_str() == name)
    });
    match first.map(|upstream| upstream.service.kind()) {
        Some(Kind::Relay) => {
            for (key, is_written) in [
                ("session", written.session.is_some()),
                ("greet", written.greet.is_some()),
                ("mask_tones", written.mask_tones.is_some()),
            ] {
                if is_written {
                    let what = "has a use with upstreams of kind \"voice-live\" only: to others \
                                the call goes on as it is";
                    at.add(key, what);
                }
            }
            Bridge::Verbatim
        }
        Some(Kind::VoiceLive | Kind::Http) | None => Bridge::VoiceLive(Arc::new(VoiceSession {
            session: session(at, written),
            greet: written.greet.unwrap_or(false),
            mask_tones: written.mask_tones.unwrap_or(false),
        })),
    }
}

/// What follows from the call, or from the route's own lists, is not for the session to say.
const NOT_OF_SESSION: [(&str, &str); 5] = [
    ("input_audio_format", "follows from the call"),
    ("output_audio_format", "follows from the call"),
    ("input_audio_sampling_rate", "follows from the call"),
    ("audio", "follows from the call"),
    ("model", "is named by models"),
];

fn session(at: &mut At<'_>, written: &file::Route) -> Map<String, Value> {
    let mut session = Map::new();
    for (key, value) in written.session.iter().flatten() {
        let at_key = format!("session.{key}");
        if let Some((_, why)) = NOT_OF_SESSION.iter().find(|(name, _)| name == key) {
            at.add(&at_key, why);
            continue;
        }
        match json(value) {
            Some(value) => drop(session.insert(key.clone(), value)),
            None => at.add(&at_key, "holds a number that JSON has not"),
        }
    }
    session
}

fn json(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => Value::Number(serde_json::Number::from_f64(*number)?),
        toml::Value::Boolean(is) => (*is).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(values) => values.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        toml::Value::Table(table) => {
            let member = |(key, value): (&String, _)| Some((key.clone(), json(value)?));
            Value::Object(table.iter().map(member).collect::<Option<_>>()?)
        }
    })
}

/// Whoever streams a call shows a token of ACS and the call's secret, both and nothing else.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    if route.kind.phone().is_some() {
        required(at, route, known);
        useless(at, route);
    }
}

fn required(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let acs = |way: &Way| match way {
        Way::Issuer(name) => known
            .issuers
            .iter()
            .find(|issuer| issuer.name == *name)
            // What is wrong with it has been told.
            .is_none_or(|issuer| matches!(issuer.kind, IssuerKind::Acs { .. })),
        Way::Key | Way::Certificate | Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone => {
            false
        }
    };
    let enough = match &route.enter {
        // A ticket in the media URL may be asked for beside them.
        Enter::All(ways) => {
            let both = ways.iter().filter(|way| **way != Way::Ticket).count() == 2;
            both && ways.contains(&Way::Call) && ways.iter().any(acs)
        }
        Enter::Any(_) => false,
    };
    if !enough {
        at.add(
            "require",
            "must name an issuer of kind \"acs\" and \"call\", such as [\"phone\", \"call\"]: the \
             token says that ACS dials, the call's secret which call it is",
        );
    }
    if known.file.calls.is_none() {
        at.add("require", "\"call\" needs [calls], which signs media URLs");
    }
}

/// What would have no effect, or another one than meant.
fn useless(at: &mut At<'_>, route: &Route) {
    let written = at.written;
    let useless = [
        (
            "accept",
            route.accept != [Place::Header],
            "ACS shows its token in Authorization only",
        ),
        ("cookie", written.cookie.is_some(), "ACS sends no cookie"),
        (
            "origins",
            !route.origins.is_empty(),
            "no web page streams a call",
        ),
        (
            "without_origin",
            !route.without_origin,
            "ACS sends no Origin",
        ),
        (
            "refuse",
            route.refuse == Refuse::Close,
            "ACS is told by status",
        ),
        (
            "dtmf",
            route.dtmf != Dtmf::Off,
            "its keys are for the gate to hear",
        ),
        (
            "dial_early",
            route.dial_early,
            "whether a call may begin, its gate or the store says first",
        ),
        (
            "lock_models",
            written.lock_models.is_some(),
            "no message of ACS names a model",
        ),
        (
            "subprotocols",
            written.subprotocols.is_some(),
            "ACS speaks none",
        ),
        ("web_rtc", route.web_rtc, "a call is no browser"),
        (
            "limits.sessions_per_identity",
            route.limits.sessions_per_identity.is_some(),
            "a call has one session, and a newer socket of it takes over",
        ),
    ];
    for (key, is_useless, why) in useless {
        if is_useless {
            at.add(
                key,
                format!("cannot be so with kind = \"acs-media\": {why}"),
            );
        }
    }
    if route
        .parameters
        .iter()
        .any(|parameter| parameter.name.as_str() == CALL_SECRET)
    {
        at.add(
            "parameters",
            "s holds the call's secret and goes no further",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::audio::SampleRate;
    use crate::audio::wav::Wav;
    use crate::config::{
        Ani, Bridge, CodeLength, Dialled, Feeds, Flow, KeySource, KnownBy, Phone, Rate, Settings,
    };

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [[keys]]
        name = "kiosk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [issuers.phone]
        kind = "acs"
        audience = ["55555555-2222-3333-4444-555555555555"]
        [issuers.users]
        kind = "oidc"
        issuer = "https://id.example"
        audience = ["api://edge"]
        [calls]
        secret = "a secret of media URLs, long enough"
        [upstreams.voice]
        kind = "voice-live"
        resource = "my-resource"
        credential = { key = "upstream-secret" }
        [upstreams.orchestrator]
        kind = "relay"
        url = "wss://orchestrator.example/acs"
        credential = { none = true }
        [[routes]]
        name = "browser"
        paths = ["/ws", "/acs/other/x"]
        kind = "voice-live"
        admit = ["key"]
        models = ["gpt-realtime"]
        upstreams = ["voice"]
        [[routes]]
        name = "phone"
        paths = ["/acs/media/{call}"]
        kind = "acs-media"
        require = ["phone", "call"]
        gate = { flow = "pstn", digits = 6 }
        models = ["gpt-realtime"]
        upstreams = ["voice"]
        #
    "#;

    const GATE: &str = "gate = { flow = \"pstn\", digits = 6 }";
    const REQUIRE: &str = "require = [\"phone\", \"call\"]";
    /// What is put there adds lines to the last route.
    const MORE: &str = "#\n";

    fn read(from: &str, to: &str) -> Result<Settings, String> {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replace(from, to);
        Settings::read_text("edge.toml", &text).map_err(|error| error.to_string())
    }

    fn phone(from: &str, to: &str) -> Phone {
        let settings = read(from, to).unwrap();
        let route = &settings.live.routes[1];
        Phone::clone(route.kind.phone().unwrap())
    }

    #[test]
    fn a01_a_route_of_calls_gets_its_defaults() {
        let settings = read(MORE, MORE).unwrap();
        let calls = settings.live.calls.as_ref().unwrap();
        assert_eq!(calls.secrets.len(), 1);
        assert_eq!(calls.known_by, KnownBy::Record);
        assert_eq!(calls.resume, Duration::from_secs(30));
        let issuer = &settings.live.issuers[0];
        let place = "https://acscallautomation.communication.azure.com/calling/.well-known/\
                     acsopenidconfiguration";
        assert_eq!(issuer.keys, KeySource::Metadata(place.to_owned()));
        let route = &settings.live.routes[1];
        assert!(!route.lock_models && route.subprotocols.is_empty());
        let phone = route.kind.phone().unwrap();
        let Flow::Dialled(gate) = &phone.flow else {
            panic!("{:?}", phone.flow);
        };
        let signalling = Dialled::Pstn {
            ani: Ani::Signalling,
        };
        assert_eq!(gate.dialled, signalling);
        assert_eq!(gate.length, CodeLength::Fixed(6));
        assert_eq!(
            (gate.attempts, gate.consume, gate.second_look),
            (3, true, true)
        );
        assert_eq!(gate.deadline, Duration::from_secs(30));
        let feeds = Feeds {
            in_band: true,
            messages: true,
            callbacks: false,
        };
        assert_eq!(gate.feeds, feeds);
        let rate = |count| {
            let per = Duration::from_secs(3600);
            Some(Rate { count, per })
        };
        assert_eq!(phone.attempts_per_ani, rate(5));
        assert_eq!(phone.attempts_per_route, rate(600));
        let Bridge::VoiceLive(to) = &phone.bridge else {
            panic!("{:?}", phone.bridge);
        };
        assert!(to.session.is_empty() && !to.greet && !to.mask_tones);
    }

    #[test]
    fn a02_each_flow_is_what_its_words_say() {
        for (written, consume) in [("", false), (", consume = true", true)] {
            let api = format!("gate = {{ flow = \"api\"{written} }}");
            assert!(matches!(phone(GATE, &api).flow, Flow::Api { consume: is } if is == consume));
            let sip = format!("gate = {{ flow = \"sip-header\"{written} }}");
            let sip = phone(GATE, &sip).flow;
            assert!(matches!(sip, Flow::SipHeader { consume: is } if is == consume));
        }
        let open = phone(GATE, "gate = { flow = \"open\" }");
        assert!(matches!(open.flow, Flow::Open));
        assert_eq!(
            (open.attempts_per_ani, open.attempts_per_route),
            (None, None)
        );
        let alias = phone(
            GATE,
            "gate = { flow = \"sip\", max_digits = 8, attempts = 1, consume = false, \
             deadline = \"1m\", between = \"2s\", second_look = false, feeds = [\"callbacks\"], \
             attempts_per_ani = \"2/m\", attempts_per_route = \"9/s\" }",
        );
        let Flow::Dialled(gate) = &alias.flow else {
            panic!("{:?}", alias.flow);
        };
        assert_eq!(gate.dialled, Dialled::SipAlias);
        assert_eq!(gate.length, CodeLength::UpTo(8));
        assert_eq!(
            (gate.attempts, gate.consume, gate.second_look),
            (1, false, false)
        );
        assert_eq!(gate.between, Duration::from_secs(2));
        assert!(gate.feeds.callbacks && !gate.feeds.in_band && !gate.feeds.messages);
        assert_eq!(alias.attempts_per_ani.map(|rate| rate.count), Some(2));
        assert_eq!(alias.attempts_per_route.map(|rate| rate.count), Some(9));
        // Where all callers have one number, it is not counted, and all together are sooner too many.
        let shared = "gate = { flow = \"pstn\", digits = 3, ani = \"shared\" }";
        let shared = phone(GATE, shared);
        assert_eq!(shared.attempts_per_ani, None);
        assert_eq!(shared.attempts_per_route.map(|rate| rate.count), Some(60));
    }

    #[test]
    fn a33_upstreams_decide_whether_media_is_bridged() {
        // Both routes name it; only that of calls is of any kind that has it.
        let relayed =
            GOOD.rsplit_once("models = [\"gpt-realtime\"]\n        upstreams = [\"voice\"]");
        let (before, after) = relayed.unwrap();
        let text = format!("{before}upstreams = [\"orchestrator\"]{after}");
        let settings = Settings::read_text("edge.toml", &text).unwrap();
        let phone = settings.live.routes[1].kind.phone().unwrap();
        assert!(matches!(phone.bridge, Bridge::Verbatim));
        assert!(settings.describe().contains("media goes on as it is"));
        for (key, value) in [
            ("session", "{ instructions = \"x\" }"),
            ("greet", "true"),
            ("mask_tones", "false"),
        ] {
            let text = text.replace(MORE, &format!("{key} = {value}\n"));
            let told = Settings::read_text("edge.toml", &text)
                .unwrap_err()
                .to_string();
            assert!(told.contains(&format!("routes.phone.{key}")), "{told}");
        }
        let both = format!("{before}upstreams = [\"orchestrator\", \"voice\"]{after}");
        let told = Settings::read_text("edge.toml", &both)
            .unwrap_err()
            .to_string();
        assert!(told.contains("routes.phone.upstreams"), "{told}");
    }

    #[test]
    fn the_session_goes_into_json_as_it_is_written() {
        let phone = phone(
            MORE,
            "greet = true\nmask_tones = true\n[routes.session]\ninstructions = \"Be kind.\"\n\
             temperature = 0.5\nmax_response_output_tokens = 7\nmodalities = [\"text\", \"audio\"]\n\
             turn_detection = { type = \"azure_semantic_vad\", create_response = true }\n",
        );
        let Bridge::VoiceLive(to) = phone.bridge else {
            panic!("{:?}", phone.bridge);
        };
        let json = serde_json::Value::Object(to.session.clone());
        let wanted = serde_json::json!({
            "instructions": "Be kind.", "temperature": 0.5, "max_response_output_tokens": 7,
            "modalities": ["text", "audio"],
            "turn_detection": {"type": "azure_semantic_vad", "create_response": true},
        });
        assert_eq!(json, wanted);
        assert!(to.greet && to.mask_tones);
    }

    /// A text of [`GOOD`], what stands there instead, and the key that the message names.
    const MISTAKES: &[(&str, &str, &str)] = &[
        // What it takes to enter is not for anybody to soften.
        (REQUIRE, "", "routes.phone.require"),
        (REQUIRE, "require = [\"phone\"]", "routes.phone.require"),
        (REQUIRE, "require = [\"call\"]", "routes.phone.require"),
        (
            REQUIRE,
            "require = [\"users\", \"call\"]",
            "routes.phone.require",
        ),
        (
            REQUIRE,
            "require = [\"phone\", \"call\", \"key\"]",
            "routes.phone.require",
        ),
        (
            REQUIRE,
            "require = [\"phone\", \"call\", \"call\"]",
            "routes.phone.require",
        ),
        (
            REQUIRE,
            "require = [\"key\", \"call\"]",
            "routes.phone.require",
        ),
        (
            REQUIRE,
            "admit = [\"phone\", \"call\"]",
            "routes.phone.require",
        ),
        (REQUIRE, "admit = [\"anyone\"]", "routes.phone.require"),
        (REQUIRE, "require = [\"anyone\"]", "routes.phone.require"),
        (
            "admit = [\"key\"]",
            "admit = [\"call\"]",
            "routes.browser.admit",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\", \"phone\"]",
            "routes.browser.admit",
        ),
        (
            "admit = [\"key\"]",
            "require = [\"phone\"]",
            "routes.browser.require",
        ),
        (
            "[calls]\n        secret = \"a secret of media URLs, long enough\"",
            "",
            "routes.phone.require",
        ),
        // Secrets.
        (
            "secret = \"a secret of media URLs, long enough\"",
            "",
            "calls.secret",
        ),
        (
            "a secret of media URLs, long enough",
            "31 bytes, which are one too few",
            "calls.secret",
        ),
        ("[calls]", "[calls]\nprevious = \"short\"", "calls.previous"),
        (
            "[calls]",
            "[calls]\nprevious = \"a secret of media URLs, long enough\"",
            "calls.previous",
        ),
        (
            "[calls]",
            "[calls]\nknown_by = \"header\"",
            "calls.known_by",
        ),
        ("[calls]", "[calls]\nspend = \"never\"", "calls.spend"),
        ("[calls]", "[calls]\nresume = \"11m\"", "calls.resume"),
        ("[calls]", "[calls]\nresumes = \"1m\"", "resumes"),
        // The issuer.
        (
            "kind = \"acs\"",
            "kind = \"acs\"\nscopes = [\"x\"]",
            "issuers.phone.scopes",
        ),
        (
            "kind = \"acs\"",
            "kind = \"acs\"\nroles = [\"x\"]",
            "issuers.phone.roles",
        ),
        (
            "kind = \"acs\"",
            "kind = \"acs\"\nclients = [\"x\"]",
            "issuers.phone.clients",
        ),
        (
            "kind = \"acs\"",
            "kind = \"acs\"\nissuer = \"\"",
            "issuers.phone.issuer",
        ),
        (
            "kind = \"acs\"",
            "kind = \"acs\"\nauthority = \"https://a.example\"",
            "issuers.phone",
        ),
        (
            "kind = \"acs\"",
            "kind = \"acs\"\nmetadata = \"http://a.example\"",
            "issuers.phone.metadata",
        ),
        (
            "[\"55555555-2222-3333-4444-555555555555\"]",
            "[\"/subscriptions/x/providers/y\"]",
            "issuers.phone.audience",
        ),
        // Paths.
        ("/acs/media/{call}", "/acs/media", "routes.phone.paths"),
        (
            "/acs/media/{call}",
            "/acs/media/{call}/x",
            "routes.phone.paths",
        ),
        (
            "/acs/media/{call}",
            "/acs/media/x{call}",
            "routes.phone.paths",
        ),
        (
            "/acs/media/{call}",
            "/acs/{call}/{call}",
            "routes.phone.paths",
        ),
        ("/acs/media/{call}", "/acs/media/{id}", "routes.phone.paths"),
        ("/acs/media/{call}", "/{call}", "routes.phone.paths"),
        ("/acs/media/{call}", "acs/{call}", "routes.phone.paths"),
        (
            "/acs/media/{call}",
            "/acs/other/{call}",
            "routes.phone.paths",
        ),
        (
            "[\"/acs/media/{call}\"]",
            "[\"/a/{call}\", \"/a/{call}\"]",
            "routes.phone.paths",
        ),
        ("[\"/ws\", ", "[\"/ws/{call}\", ", "routes.browser.paths"),
        // What ACS does not do, or what would let it in otherwise.
        (
            MORE,
            "accept = [\"header\", \"query\"]\n",
            "routes.phone.accept",
        ),
        (MORE, "accept = [\"query\"]\n", "routes.phone.accept"),
        (MORE, "accept = []\n", "routes.phone.accept"),
        (MORE, "cookie = \"x\"\n", "routes.phone.cookie"),
        (
            MORE,
            "origins = [\"https://a.example\"]\n",
            "routes.phone.origins",
        ),
        (
            MORE,
            "without_origin = false\n",
            "routes.phone.without_origin",
        ),
        (MORE, "refuse = \"close\"\n", "routes.phone.refuse"),
        (MORE, "dtmf = \"observe\"\n", "routes.phone.dtmf"),
        (MORE, "dial_early = true\n", "routes.phone.dial_early"),
        (MORE, "lock_models = true\n", "routes.phone.lock_models"),
        (
            MORE,
            "subprotocols = [\"x\"]\n",
            "routes.phone.subprotocols",
        ),
        (MORE, "web_rtc = true\n", "routes.phone.web_rtc"),
        (
            MORE,
            "limits = { sessions_per_identity = 1 }\n",
            "routes.phone.limits.sessions_per_identity",
        ),
        (
            MORE,
            "limits = { minutes_per_identity = \"9/d\" }\n",
            "routes.phone.limits.minutes_per_identity",
        ),
        (
            MORE,
            "limits = { sessions_per_tenant = 1 }\n",
            "routes.phone.limits.sessions_per_tenant",
        ),
        (MORE, "parameters = { s = [] }\n", "routes.phone.parameters"),
        // Other routes.
        (
            "admit = [\"key\"]",
            "admit = [\"key\"]\ngate = { flow = \"open\" }",
            "routes.browser.gate",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\"]\nsession = {}",
            "routes.browser.session",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\"]\ngreet = false",
            "routes.browser.greet",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\"]\nmask_tones = true",
            "routes.browser.mask_tones",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\"]\nhang_up = false",
            "routes.browser.hang_up",
        ),
        (MORE, "hang_up = true\n", "routes.phone.hang_up"),
        // The gate.
        (GATE, "", "routes.phone.gate"),
        (GATE, "gate = { digits = 6 }", "routes.phone.gate.flow"),
        (
            GATE,
            "gate = { flow = \"ptsn\", digits = 6 }",
            "routes.phone.gate.flow",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\" }",
            "routes.phone.gate.digits",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 2 }",
            "routes.phone.gate.digits",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", max_digits = 25 }",
            "routes.phone.gate.max_digits",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, max_digits = 8 }",
            "routes.phone.gate.max_digits",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, attempts = 0 }",
            "routes.phone.gate.attempts",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, attempts = 11 }",
            "routes.phone.gate.attempts",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, deadline = \"0s\" }",
            "routes.phone.gate.deadline",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, deadline = \"6m\" }",
            "routes.phone.gate.deadline",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, between = \"31s\" }",
            "routes.phone.gate.between",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, ani = \"guess\" }",
            "routes.phone.gate.ani",
        ),
        (
            GATE,
            "gate = { flow = \"sip\", digits = 6, ani = \"shared\" }",
            "routes.phone.gate.ani",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, ani = \"shared\", attempts_per_ani = \"5/h\" }",
            "routes.phone.gate.attempts_per_ani",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, feeds = [] }",
            "routes.phone.gate.feeds",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, feeds = [\"x\"] }",
            "routes.phone.gate.feeds",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, feeds = [\"messages\", \"messages\"] }",
            "routes.phone.gate.feeds",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, prompt = \"no.wav\" }",
            "routes.phone.gate.prompt",
        ),
        (
            GATE,
            "gate = { flow = \"pstn\", digits = 6, code = 1 }",
            "code",
        ),
        (
            GATE,
            "gate = { flow = \"open\", digits = 6 }",
            "routes.phone.gate.digits",
        ),
        (
            GATE,
            "gate = { flow = \"open\", consume = true }",
            "routes.phone.gate.consume",
        ),
        (
            GATE,
            "gate = { flow = \"api\", feeds = [\"messages\"] }",
            "routes.phone.gate.feeds",
        ),
        (
            GATE,
            "gate = { flow = \"api\", ani = \"shared\" }",
            "routes.phone.gate.ani",
        ),
        (
            GATE,
            "gate = { flow = \"sip-header\", attempts = 3 }",
            "routes.phone.gate.attempts",
        ),
        (
            GATE,
            "gate = { flow = \"sip-header\", attempts_per_route = \"1/s\" }",
            "routes.phone.gate.attempts_per_route",
        ),
        // The session.
        (
            MORE,
            "session = { input_audio_format = \"pcm16\" }\n",
            "routes.phone.session.input_audio_format",
        ),
        (
            MORE,
            "session = { input_audio_sampling_rate = 16000 }\n",
            "routes.phone.session.input_audio",
        ),
        (
            MORE,
            "session = { output_audio_format = \"pcm16\" }\n",
            "routes.phone.session.output_audio_format",
        ),
        (
            MORE,
            "session = { model = \"gpt-4o\" }\n",
            "routes.phone.session.model",
        ),
        (
            MORE,
            "session = { temperature = nan }\n",
            "routes.phone.session.temperature",
        ),
        (
            MORE,
            "session = { tools = [{ at = inf }] }\n",
            "routes.phone.session.tools",
        ),
        // An upstream that shows the caller's token would show ACS' to somebody else.
        (
            "credential = { key = \"upstream-secret\" }",
            "credential = { caller = true }",
            "routes.phone.upstreams",
        ),
    ];

    #[test]
    fn a02_every_mistake_names_its_key() {
        assert_eq!(read(MORE, MORE).err(), None);
        for (from, to, named) in MISTAKES {
            let told = read(from, to).err().unwrap_or_default();
            assert!(told.contains(named), "{from} -> {to} gave: {told}");
        }
        assert!(MISTAKES.len() > 80);
    }

    #[test]
    fn a05_calls_are_hung_up_where_there_is_something_to_hang_up_with() {
        assert!(!phone(MORE, MORE).hang_up);
        let acs = "[acs]\nendpoint = \"https://x.communication.azure.com\"\n\
                   key = \"c2VjcmV0IGFjY2VzcyBrZXkgb2YgYSB0ZXN0IHJlc291cmNl\"\n[calls]";
        assert!(phone("[calls]", acs).hang_up);
        let text = GOOD.replace("[calls]", acs);
        let text = text.replace(MORE, "hang_up = false\n");
        let settings = Settings::read_text("edge.toml", &text).unwrap();
        assert!(!settings.live.routes[1].kind.phone().unwrap().hang_up);
        let told = settings.describe();
        let said = "acs       https://x.communication.azure.com:443, signed with ***, api version \
                    2026-03-12";
        assert!(told.contains(said), "{told}");
        for text in [told, format!("{settings:?}")] {
            assert!(!text.contains("c2VjcmV0"), "{text}");
        }
    }

    #[test]
    fn no_message_and_no_description_holds_a_secret_of_calls() {
        let secrets = ["a secret of media URLs, long enough", "short-a5"];
        let wrong = read("[calls]", "[calls]\nprevious = \"short-a5\"").unwrap_err();
        let settings = read(
            "[calls]",
            "[calls]\nprevious = \"another secret of media URLs, short-a5\"",
        )
        .unwrap();
        for text in [wrong, settings.describe(), format!("{settings:?}")] {
            assert!(
                !secrets.iter().any(|secret| text.contains(secret)),
                "{text}"
            );
        }
        let told = settings.describe();
        for said in [
            "calls     media URLs signed with *** (or the previous ***), known by their record",
            "admits phone and call",
            "code for the caller's number, 6 digits, good for one call",
            "failed attempts per number 5 in 1h",
        ] {
            assert!(told.contains(said), "{said} is not in:\n{told}");
        }
    }

    #[test]
    fn prompts_are_read_beside_the_settings_and_judged() {
        let folder = std::env::temp_dir().join(format!("tonegate-wav-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let wav = |rate: SampleRate, seconds: usize| Wav {
            rate,
            samples: vec![1; rate.hz() as usize * seconds],
        };
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).unwrap();
        write("good.wav", wav(SampleRate::Hz16000, 2).write());
        write("long.wav", wav(SampleRate::Hz8000, 61).write());
        write("empty.wav", wav(SampleRate::Hz8000, 0).write());
        write("text.wav", b"ring ring".to_vec());
        let file = folder.join("edge.toml");
        let read = |key: &str, name: &str| {
            let gate = format!("gate = {{ flow = \"pstn\", digits = 6, {key} = \"{name}\" }}");
            std::fs::write(&file, GOOD.replace(GATE, &gate)).unwrap();
            Settings::read(std::slice::from_ref(&file)).map_err(|error| error.to_string())
        };
        let settings = read("prompt", "good.wav").unwrap();
        let told = settings.describe();
        assert!(told.contains("prompt of 2.0s at 16000 Hz"), "{told}");
        for key in ["prompt", "retry", "goodbye"] {
            for (name, said) in [
                ("long.wav", "at most 60s"),
                ("empty.wav", "some audio"),
                ("text.wav", "not a WAV file"),
                ("none.wav", "cannot be read"),
            ] {
                let told = read(key, name).unwrap_err();
                let key = format!("routes.phone.gate.{key}");
                assert!(told.contains(&key) && told.contains(said), "{told}");
                assert!(!told.contains(name), "{told}");
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
