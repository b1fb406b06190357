//! What the README and the samples say is what the program does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tonegate::audit::FIELDS;
use tonegate::config::{
    Ani, CodeLength, Dialled, Engine, Environment, Flow, RouteKind, See, Settings,
};
use tonegate::error::Reason;
use tonegate::ids::SessionId;
use tonegate::sim::certificate::Authority;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn the_table_of_endings_is_the_one_in_the_code() {
    let show = |code: Option<u16>| code.map_or("–".to_owned(), |code| code.to_string());
    let text = readme();
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| reason |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(rows.len(), Reason::ALL.len());
    for (line, reason) in rows.iter().zip(Reason::ALL) {
        let row = reason.row();
        let start = format!(
            "| `{}` | {} | {} |",
            row.word,
            show(row.status),
            show(row.close)
        );
        assert!(
            line.starts_with(&start),
            "{line}\nshould begin with {start}"
        );
    }
}

#[test]
fn b13_the_schema_of_the_audit_is_the_one_in_the_code() {
    let text = readme();
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| field |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let fields = FIELDS.map(|(name, events, says)| format!("| `{name}` | {events} | {says} |"));
    assert_eq!(rows, fields);
}

#[test]
fn the_sample_shows_every_setting_and_its_default() {
    let sample = fs::read_to_string(root().join("config/every-setting.toml")).unwrap();
    let read = |name: &str| fs::read_to_string(root().join("src/config/file").join(name)).unwrap();
    let file = [
        "table.rs",
        "bot.rs",
        "credential.rs",
        "limits.rs",
        "route.rs",
        "store.rs",
        "telemetry.rs",
        "ticket.rs",
        "upstream.rs",
    ]
    .map(read)
    .concat();
    // It is set, or the name of a table, also in a comment; a word in a sentence shows nothing.
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let set = sample.split('=').filter_map(|before| {
        let before = before.trim_end_matches(' ');
        before.rsplit(|c| !is_part(c)).next()
    });
    let tables = sample.lines().filter_map(|line| {
        let line = line.trim_start_matches(['#', ' ']);
        line.strip_prefix('[')
    });
    let tables = tables.flat_map(|line| line.split(|c| !is_part(c)));
    let words: BTreeSet<&str> = set.chain(tables).collect();
    let mut fields = 0;
    for line in file.lines() {
        let Some(field) = line.strip_prefix("    pub ") else {
            continue;
        };
        let Some((name, _)) = field.split_once(": ") else {
            continue;
        };
        assert!(words.contains(name), "{name} is not in the sample");
        fields += 1;
    }
    assert!(fields > 30);
    let usual = tonegate::config::Limits::default();
    for said in [
        format!("connections      = {}", usual.connections),
        format!("sessions         = {}", usual.sessions),
        format!("client_message   = \"{}MiB\"", usual.client_message >> 20),
        format!("upstream_message = \"{}MiB\"", usual.upstream_message >> 20),
        format!("handshake        = \"{}s\"", usual.handshake.as_secs()),
        format!("ping             = \"{}s\"", usual.ping.as_secs()),
        format!("idle             = \"{}m\"", usual.idle.as_secs() / 60),
        format!("session          = \"{}m\"", usual.session.as_secs() / 60),
    ] {
        assert!(sample.contains(&said), "{said} is not in the sample");
    }
}

/// The first example in `language` of a section.
fn example(section: &str, language: &str) -> String {
    let text = readme();
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let (_, rest) = section.split_once(&format!("\n```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

#[test]
fn a10_the_settings_of_handing_over_are_read_as_they_are_meant() {
    let text = readme();
    let (_, rest) = text.split_once("\n### Handing a call over\n").unwrap();
    let (_, rest) = rest.split_once("\n```toml\n").unwrap();
    let example = rest.split_once("\n```").unwrap().0;
    let file = std::env::temp_dir().join(format!("tonegate-{}.toml", SessionId::random()));
    fs::write(
        &file,
        format!("[server]\nlisten = \"127.0.0.1:0\"\n{example}"),
    )
    .unwrap();
    let secret = [("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    let settings = Settings::read_in(std::slice::from_ref(&file), &Environment::of(secret));
    fs::remove_file(&file).unwrap();
    let settings = settings.unwrap();
    let RouteKind::SessionApi(api) = &settings.live.routes[0].kind else {
        panic!("another kind");
    };
    // What the text says of defaults.
    let times = [api.token_life, api.ttl].map(|time| time.as_secs());
    assert!(api.single_use && times == [300, 300]);
    assert_eq!((api.digits, api.commas), (6, 3));
    assert_eq!(api.webhook.as_ref().map(|hook| hook.attempts), Some(5));
}

#[test]
fn u9_the_settings_and_the_claims_of_tickets_are_those_of_the_code() {
    let text = readme();
    let (_, section) = text.split_once("\n### Tickets\n").unwrap();
    let (_, rest) = section.split_once("\n```toml\n").unwrap();
    let example = rest.split_once("\n```").unwrap().0;
    let folder = std::env::temp_dir().join(format!("tonegate-readme-{}", SessionId::random()));
    fs::create_dir(&folder).unwrap();
    for (name, secret) in [("ticket", "a"), ("edge", "the")] {
        let text = format!("{secret} secret of tickets that is long enough\n");
        fs::write(folder.join(format!("{name}.secret")), text).unwrap();
    }
    let file = folder.join("edge.toml");
    fs::write(
        &file,
        format!("[server]\nlisten = \"127.0.0.1:0\"\n{example}"),
    )
    .unwrap();
    let settings = Settings::read(std::slice::from_ref(&file));
    fs::remove_dir_all(&folder).unwrap();
    let live = settings.unwrap().live;
    // What the text says of defaults.
    let tickets = live.tickets.unwrap();
    assert_eq!(tickets.max_age.as_secs(), 60);
    assert_eq!(tonegate::config::TICKET_LEEWAY.as_secs(), 5);
    let RouteKind::Tickets(desk) = &live.routes[1].kind else {
        panic!("another kind");
    };
    assert_eq!(desk.life.as_secs(), 30);
    // Every claim that means something has its place in the table.
    let claims = fs::read_to_string(root().join("src/admission/ticket/claims.rs")).unwrap();
    let (_, fields) = claims.split_once("pub struct Claims {").unwrap();
    let (fields, _) = fields.split_once("\n}").unwrap();
    let names = fields
        .lines()
        .filter_map(|line| line.strip_prefix("    pub "));
    let names: Vec<&str> = names.map(|line| line.split_once(':').unwrap().0).collect();
    assert_eq!(names.len(), 14);
    let table: Vec<&str> = section
        .lines()
        .skip_while(|line| !line.starts_with("| claim of a ticket |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').nth(1).unwrap())
        .collect();
    let told: Vec<&str> = table
        .iter()
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let ordered = |names: &[&str]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(ordered(&told), ordered(&names));
    // And every result of the metric has its word.
    for outcome in tonegate::admission::ticket::Outcome::ALL {
        assert!(
            text.contains(&format!("`{}`", outcome.word())),
            "{}",
            outcome.word()
        );
    }
}

#[test]
fn a12_the_settings_of_phone_calls_are_read_as_they_are_meant() {
    let folder = std::env::temp_dir().join(format!("tonegate-readme-{}", SessionId::random()));
    fs::create_dir(&folder).unwrap();
    let identity = Authority::new("readme").issue(&["localhost"]).unwrap();
    fs::write(folder.join("tls.crt"), &identity.chain_pem).unwrap();
    fs::write(folder.join("tls.key"), &identity.key_pem).unwrap();
    let file = folder.join("edge.toml");
    fs::write(&file, example("Phone calls", "toml")).unwrap();
    let variables = Environment::of([
        ("AZURE_SPEECH_KEY", "k"),
        ("REDIS_PASSWORD", "p"),
        ("CALL_SECRET", "0123456789abcdef0123456789abcdef"),
    ]);
    let settings = Settings::read_in(&[file], &variables);
    fs::remove_dir_all(&folder).unwrap();
    let settings = settings.unwrap();
    assert!(matches!(settings.boot.store.engine, Engine::Redis(_)));
    let phones: Vec<_> = settings.live.routes.iter().collect();
    let [route] = phones[..] else {
        panic!("one route");
    };
    let Flow::Dialled(gate) = &route.kind.phone().unwrap().flow else {
        panic!("nothing is dialled");
    };
    let signalling = Dialled::Pstn {
        ani: Ani::Signalling,
    };
    assert_eq!(gate.dialled, signalling);
    assert_eq!(gate.length, CodeLength::Fixed(6));
    // What the text says of defaults.
    assert_eq!((gate.attempts, gate.consume), (3, true));
    assert_eq!((gate.deadline.as_secs(), gate.between.as_secs()), (30, 5));
    assert_eq!(settings.live.calls.unwrap().resume.as_secs(), 30);
}

#[test]
fn c01_the_settings_of_a_bot_are_read_as_they_are_meant() {
    let folder = std::env::temp_dir().join(format!("tonegate-readme-{}", SessionId::random()));
    fs::create_dir(&folder).unwrap();
    let identity = Authority::new("readme").issue(&["localhost"]).unwrap();
    fs::write(folder.join("edge.pem"), &identity.chain_pem).unwrap();
    fs::write(folder.join("edge.key"), &identity.key_pem).unwrap();
    fs::write(folder.join("assertion.pem"), &identity.key_pem).unwrap();
    let file = folder.join("edge.toml");
    let text = example("A bot behind the edge", "toml");
    fs::write(&file, format!("[server]\nlisten = \"127.0.0.1:0\"\n{text}")).unwrap();
    let settings = Settings::read_in(&[file], &Environment::of([("BOT_SECRET", "s")]));
    fs::remove_dir_all(&folder).unwrap();
    let live = settings.unwrap().live;
    // What the text says of defaults.
    let bot = live.bot.unwrap();
    assert_eq!(bot.keep.as_secs(), 30 * 24 * 3600);
    assert_eq!(live.assertion.unwrap().life.as_secs(), 60);
    let route = live.routes[0].kind.bot().unwrap();
    assert_eq!(route.quiet, ["stop notifications"]);
    assert_eq!(route.speak, ["start notifications"]);
    assert_eq!(live.issuers[0].leeway.as_secs(), 300);
}

#[test]
fn c14_the_settings_of_a_private_application_are_read_as_they_are_meant() {
    let file = std::env::temp_dir().join(format!("tonegate-{}.toml", SessionId::random()));
    let text = example("Private applications", "toml");
    fs::write(&file, format!("[server]\nlisten = \"127.0.0.1:0\"\n{text}")).unwrap();
    let settings = Settings::read(std::slice::from_ref(&file));
    fs::remove_file(&file).unwrap();
    let live = settings.unwrap().live;
    // What the text says of defaults.
    assert_eq!(live.roles.unwrap().cache.as_secs(), 120);
    let http = live.routes[0].kind.http().unwrap();
    assert_eq!(http.rewrite.fields.len(), 2);
    let names = http.names.as_ref().unwrap();
    assert_eq!((names.fields.len(), names.paths.len()), (1, 1));
    assert!(http.scope && !names.required && !http.web_socket);
    let kinds: Vec<_> = http.pii.as_ref().unwrap().kinds.iter().collect();
    let kinds: Vec<_> = kinds.into_iter().map(|kind| kind.word()).collect();
    assert_eq!(kinds, ["email", "phone", "card", "ip"]);
}

#[test]
fn c21_the_settings_of_personal_data_are_read_as_they_are_meant() {
    let text = readme();
    let (_, rest) = text.split_once("\n### Personal data\n").unwrap();
    let (_, rest) = rest.split_once("\n```toml\n").unwrap();
    let detector = rest.split_once("\n```").unwrap().0;
    let text = example("Private applications", "toml");
    let named = text.replace("pii       = {}", "pii = { detector = \"names\" }");
    assert_ne!(named, text);
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n{named}\n{detector}\n");
    let file = std::env::temp_dir().join(format!("tonegate-{}.toml", SessionId::random()));
    fs::write(&file, text).unwrap();
    let settings = Settings::read_in(std::slice::from_ref(&file), &Environment::of([]));
    fs::remove_file(&file).unwrap();
    let settings = settings.unwrap();
    assert_eq!(settings.boot.log_pii.len(), 3);
    // What the text says of defaults.
    let names = &settings.live.pii_detectors[0];
    assert_eq!((names.total.as_secs(), names.at_once), (5, 32));
    assert_eq!(names.language, "en");
}

#[test]
fn c13_the_settings_of_sessions_that_run_are_read_as_they_are_meant() {
    let text = example("Sessions that run", "toml");
    let read = |text: &str| {
        let users = "[issuers.users]\nkind = \"entra\"\naudience = [\"api://edge\"]\n\
                     tenants = [\"11111111-2222-3333-4444-555555555555\"]\n";
        let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n{users}{text}\n");
        Settings::read_text("edge.toml", &text)
    };
    let sees = |text: &str| {
        let live = read(text).unwrap().live;
        let RouteKind::Sessions(see) = live.routes[0].kind else {
            panic!("another kind");
        };
        (see, live.routes[0].paths.clone())
    };
    let (see, paths) = sees(&text);
    assert_eq!((see, paths), (See::Own, vec!["/sessions".to_owned()]));
    // What the text says of defaults, and of who may see all.
    let (line, rest) = text.split_once("see     = \"own\"").unwrap();
    assert_eq!(sees(&format!("{line}# {rest}")).0, See::Own);
    let all = text.replace("\"own\"", "\"all\"");
    assert_ne!(all, text);
    let wrong = read(&all).err().unwrap().to_string();
    assert!(wrong.contains("see"), "{wrong}");
}

#[test]
fn u8_the_settings_of_pacing_are_read_as_they_are_meant() {
    let text = example("Pacing", "toml");
    let read = |text: &str| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{text}\n\
             credential = {{ key = \"k\" }}\n\
             [[routes]]\nname = \"browser\"\npaths = [\"/ws\"]\nkind = \"voice-live\"\n\
             admit = [\"anyone\"]\nmodels = [\"m\"]\nupstreams = [\"voice\"]\n"
        );
        let settings = Settings::read_text("edge.toml", &text).unwrap();
        let upstream = &settings.live.upstreams[0];
        (upstream.pacing.unwrap(), upstream.cap.unwrap())
    };
    let (pacing, cap) = read(&text);
    assert_eq!(
        (pacing.connects.count, pacing.connects.per.as_secs()),
        (100, 60)
    );
    // What the text says of defaults is what is there without it.
    let usual: Vec<&str> = text.lines().filter(|l| !l.contains("default")).collect();
    assert_eq!(usual.len(), 3);
    let (usual, usual_cap) = read(&usual.join("\n"));
    assert_eq!(
        (usual.connects.count, usual.connects.per.as_secs()),
        (30, 60)
    );
    assert_eq!(
        (pacing.queue, pacing.queue_wait),
        (usual.queue, usual.queue_wait)
    );
    assert_eq!(cap, usual_cap);
}

#[test]
fn s36_the_log_line_of_a_call_is_of_this_program_and_tells_no_digit() {
    let line: Value = serde_json::from_str(&example("Phone calls", "json")).unwrap();
    let told = fs::read_to_string(root().join("src/session/told.rs")).unwrap();
    let names: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert!(names.len() > 20);
    for name in names {
        let of_all_lines = ["timestamp", "level", "message"].contains(&name.as_str());
        assert!(
            of_all_lines || told.contains(&format!("{name} = ")),
            "{name}"
        );
    }
    assert_eq!(line["gate"], "authorised");
    let counts = ["digits_in_band", "digits_message", "digits_callback"];
    for count in counts.map(|name| line[name].as_u64().unwrap()) {
        assert!(count < 10, "that would be more than a number of digits");
    }
    assert!(!line.to_string().contains("+1555"));
}

#[test]
fn every_dependency_has_its_line() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let text = readme();
    let told: BTreeSet<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| package |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| {
            line.split('|')
                .nth(1)
                .unwrap()
                .split('`')
                .skip(1)
                .step_by(2)
        })
        .collect();
    let needed: BTreeSet<&str> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(told, needed);
}
