//! What is missing, bad, or of no effect is told: all at once, by the names of the variables, with
//! what to do about it, and without what stands in them.

use std::fs;

use tonegate::secret::Digest;

use super::{Changes, TENANT, changed, check, enough, settings, world};
use crate::harness::{KEY, World};

#[test]
fn b17_what_is_missing_is_told_all_at_once_with_the_line_to_add() {
    let text = settings(&[]).unwrap_err();
    for line in [
        "5 problems",
        "\n      AZURE_AI_FOUNDRY_RESOURCE=my-resource",
        "\n      AZURE_SPEECH_KEY=…",
        "\n      # `tonegate key client` makes a key with its digest\n      TONEGATE_ADMIT=key\n      \
         TONEGATE_KEY_SHA256=…",
        "\n      TONEGATE_ADMIT=entra\n      TONEGATE_TENANTS=…",
        "\n      # everybody may use your resource\n      TONEGATE_ADMIT=anyone",
        "\n      TONEGATE_CERTIFICATE=tls.crt\n      TONEGATE_PRIVATE_KEY=tls.key",
        "\n      TONEGATE_PLAIN_TEXT=true",
        "\n      ALLOWED_ORIGINS=https://app.example.com",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    // Docker takes a comment behind a value as part of it.
    let lines = text.lines().filter(|line| line.starts_with("      "));
    let lines: Vec<_> = lines.map(str::trim).collect();
    assert!(lines.len() > 15, "{text}");
    for line in lines {
        assert!(line.starts_with('#') || !line.contains(' '), "{line}");
    }
    // What is there is judged all the same, under its own name.
    let text = settings(&[
        ("PORT", "80 80".to_owned()),
        ("TONEGATE_ADMIT", "key".to_owned()),
        ("TONEGATE_KEY_SHA256", "CANARY".to_owned()),
        ("AZURE_AI_FOUNDRY_RESOURCE", "a.evil".to_owned()),
    ])
    .unwrap_err();
    for named in [
        "PORT: ",
        "TONEGATE_KEY_SHA256: ",
        "AZURE_AI_FOUNDRY_RESOURCE: ",
        "TLS is not decided",
    ] {
        assert!(text.contains(named), "{named} is not in {text}");
    }
    assert!(
        !text.contains("CANARY") && !text.contains("keys.client"),
        "{text}"
    );
}

/// A value of [`enough`] that is bad, and what is told of it.
const BAD: &[(&str, &str, &str)] = &[
    ("PORT", "0", "PORT: "),
    ("PORT", "70000", "PORT: "),
    ("MAX_CONNECTIONS", "many", "MAX_CONNECTIONS: "),
    (
        "MAX_CONNECTIONS",
        "999001",
        "MAX_CONNECTIONS: must be a whole number from 1 to 999000",
    ),
    (
        "MAX_FRAME_BYTES",
        "67108865",
        "MAX_FRAME_BYTES: must be a whole number from 1 to 67108864",
    ),
    (
        "RATE_LIMIT_MAX_REQUESTS",
        "4294967296",
        "RATE_LIMIT_MAX_REQUESTS: must be a whole number from 1 to 4294967295",
    ),
    (
        "RATE_LIMIT_WINDOW_MS",
        "86400001",
        "RATE_LIMIT_WINDOW_MS: must be a whole number from 1 to 86400000",
    ),
    (
        "RATE_LIMIT_WINDOW_MS",
        "99999999999999999999",
        "RATE_LIMIT_WINDOW_MS: ",
    ),
    (
        "TONEGATE_ADMIN",
        "9464",
        "TONEGATE_ADMIN: must be an address",
    ),
    (
        "TONEGATE_ADMIN",
        "0.0.0.0:9464",
        "TONEGATE_ADMIN: is no loopback address, so that an admin token must be set",
    ),
    (
        "TONEGATE_UPSTREAM_ROOTS",
        "/no/such/file",
        "TONEGATE_UPSTREAM_ROOTS: ",
    ),
    ("TONEGATE_PASS", "everything", "TONEGATE_PASS: "),
    ("TONEGATE_API_VERSIONS", "a b", "TONEGATE_API_VERSIONS: "),
    ("MAX_FRAME_BYTES", "-1", "MAX_FRAME_BYTES: "),
    ("RATE_LIMIT_WINDOW_MS", "1m", "RATE_LIMIT_WINDOW_MS: "),
    ("RATE_LIMIT_MAX_REQUESTS", "0", "RATE_LIMIT_MAX_REQUESTS: "),
    ("TONEGATE_PLAIN_TEXT", "yes", "TONEGATE_PLAIN_TEXT: "),
    ("TONEGATE_ADMIT", "everyone", "TONEGATE_ADMIT: "),
    ("TONEGATE_ADDRESS", "localhost", "TONEGATE_ADDRESS: "),
    (
        "ALLOWED_ORIGINS",
        "http://a.example/page",
        "ALLOWED_ORIGINS: ",
    ),
    ("AGENT_ID", "asst_1", "AGENT_ID and PROJECT_NAME"),
    (
        "FOUNDRY_API_KEY",
        "another",
        "AZURE_SPEECH_KEY and FOUNDRY_API_KEY",
    ),
    ("TONEGATE_MODELS", "a&b", "TONEGATE_MODELS: "),
    ("TONEGATE_CERTIFICATE", "a.pem", "TONEGATE_CERTIFICATE"),
    ("TRUST_PROXY", "1", "TRUST_PROXY: "),
    ("TRUST_PROXY", "true", "TRUST_PROXY: "),
    ("TRUST_PROXY", "0.0.0.0/0", "TRUST_PROXY: "),
    ("TRUST_PROXY", "loopback", "TRUST_PROXY: "),
    (
        "TONEGATE_ADMIT",
        "easyauth",
        "TONEGATE_ADMIT: easyauth needs TRUST_PROXY with the networks of the platform's proxies",
    ),
];

#[tokio::test]
async fn b17_b23_a_bad_value_is_an_error_and_never_a_default() {
    let world = world().await;
    for &(name, value, told) in BAD {
        let mut variables = enough(&world);
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value.to_owned()));
        let text = settings(&variables)
            .map(|_| String::new())
            .unwrap_or_else(|text| text);
        assert!(text.contains(told), "{name}={value} gave: {text}");
        // Nothing is told in the words of a file.
        for word in ["routes.", "upstreams.", "[hops]", "[[keys]]", "usable"] {
            assert!(!text.contains(word), "{name}={value} gave: {text}");
        }
    }
}

#[tokio::test]
async fn b17_b23_the_bounds_themselves_are_good() {
    let world = world().await;
    let mut variables = enough(&world);
    variables.extend([
        ("MAX_CONNECTIONS", "999000".to_owned()),
        ("MAX_FRAME_BYTES", "67108864".to_owned()),
        ("RATE_LIMIT_MAX_REQUESTS", "4294967295".to_owned()),
        ("RATE_LIMIT_WINDOW_MS", "86400000".to_owned()),
        ("TONEGATE_ADMIN", "127.0.0.1:9999".to_owned()),
    ]);
    let settings = settings(&variables).unwrap();
    assert_eq!(settings.live.limits.connections, 1_000_000);
    assert_eq!(settings.boot.admin.port(), 9999);
}

/// What is wrong with [`enough`] when it is changed so, line by line.
fn problems(world: &World, changes: Changes<'_>) -> Vec<String> {
    let text = settings(&changed(world, changes)).err().unwrap_or_default();
    let problems = text.split("\n  - ").skip(1).map(str::to_owned);
    problems.collect()
}

#[tokio::test]
async fn b17_b23_what_is_set_for_a_way_that_nobody_enters_by_is_told() {
    let world = world().await;
    let key = ("TONEGATE_KEY_SHA256", "");
    let digest = "TONEGATE_KEY_SHA256: has no effect unless TONEGATE_ADMIT names key";
    let tenants = "TONEGATE_TENANTS: has no effect unless TONEGATE_ADMIT names entra or easyauth";
    let audience = "TONEGATE_AUDIENCE: has no effect unless TONEGATE_ADMIT names entra";
    let (ours, easyauth) = (("TONEGATE_TENANTS", TENANT), ("TONEGATE_ADMIT", "easyauth"));
    let whose = ("TONEGATE_AUDIENCE", "https://ai.azure.com");
    let hop = ("TRUST_PROXY", "10.0.0.0/8");
    let cases: [(Changes<'_>, &[&str]); 8] = [
        (&[("TONEGATE_ADMIT", "anyone")], &[digest]),
        (&[ours], &[tenants]),
        (&[whose, ours], &[tenants, audience]),
        (&[easyauth, key, whose, hop], &[audience]),
        (&[easyauth, ours, hop], &[digest]),
        (&[easyauth, key, ours, hop], &[]),
        (&[("TONEGATE_ADMIT", "entra"), key, ours, whose], &[]),
        (
            &[("TONEGATE_ADMIT", "key,entra,easyauth"), ours, whose, hop],
            &[],
        ),
    ];
    for (changes, expected) in cases {
        assert_eq!(problems(&world, changes), expected, "{changes:?}");
    }
    // A tenant that is none is told once, although two ways ask for it.
    let told = problems(
        &world,
        &[
            ("TONEGATE_ADMIT", "entra,easyauth"),
            ("TONEGATE_TENANTS", "ours"),
            key,
            hop,
        ],
    );
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("TONEGATE_TENANTS: \"ours\""),
        "{told:?}"
    );
    // Without tenants all may enter; that is told, and holds.
    let open = settings(&changed(&world, &[easyauth, key, hop])).unwrap();
    assert_eq!(open.notices.len(), 1, "{:?}", open.notices);
    assert!(open.notices[0].contains("admits everybody whom the platform signs in"));
    let closed = settings(&changed(&world, &[easyauth, key, ours, hop])).unwrap();
    assert_eq!(closed.notices, Vec::<String>::new());
    assert_eq!(closed.live.hops.unwrap().tenants, [TENANT]);
    // The tenants of entra are not for hops to say.
    let entra = settings(&changed(
        &world,
        &[("TONEGATE_ADMIT", "entra"), key, ours, hop],
    ));
    assert_eq!(
        entra.unwrap().live.hops.unwrap().tenants,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn b17_a_name_that_nobody_reads_is_told_and_what_it_resembles() {
    let world = world().await;
    for (name, told) in [
        (
            "TONEGATE_MODEL",
            "TONEGATE_MODEL is not known; did you mean TONEGATE_MODELS?",
        ),
        (
            "TONEGATE_PORT",
            "TONEGATE_PORT is not known; did you mean PORT?",
        ),
        ("TONEGATE_XYZ", "TONEGATE_XYZ is not known"),
    ] {
        assert_eq!(problems(&world, &[(name, "1")]), [told]);
    }
    // Other programs' variables stand in the same file.
    let others = [
        ("NODE_ENV", "production"),
        ("AZURE_SPEECH_REGION", "westeurope"),
        ("TONEGATE_LOG", "info"),
        ("TONEGATE_PORT", "tcp://10.0.0.1:443"),
        ("TONEGATE_SERVICE_HOST", "10.0.0.1"),
    ];
    let notices = settings(&changed(&world, &others)).unwrap().notices;
    assert_eq!(notices, Vec::<String>::new());
    let near = [("RATE_LIMIT_MAX_REQUEST", "5")];
    let notices = settings(&changed(&world, &near)).unwrap().notices;
    let told = "RATE_LIMIT_MAX_REQUEST has no effect; did you mean RATE_LIMIT_MAX_REQUESTS?";
    assert_eq!(notices, [told]);
}

#[tokio::test]
async fn b17_b23_problems_have_the_names_that_were_set_and_nothing_follows_from_them() {
    let world = world().await;
    let foundry = ("FOUNDRY_RESOURCE_NAME", "a.evil");
    let cases: [(Changes<'_>, &[&str]); 8] = [
        (
            &[foundry],
            &["TONEGATE_UPSTREAM_URL and FOUNDRY_RESOURCE_NAME exclude each other: remove one"],
        ),
        (
            &[foundry, ("TONEGATE_UPSTREAM_URL", "")],
            &[
                "FOUNDRY_RESOURCE_NAME: must be the name of an Azure resource: letters, digits and \
               hyphens",
            ],
        ),
        (
            &[("TONEGATE_UPSTREAM_URL", "ws://voice.example")],
            &["TONEGATE_UPSTREAM_URL: is plain text and not loopback; use wss://"],
        ),
        (
            &[("AZURE_SPEECH_KEY", ""), ("FOUNDRY_API_KEY", "a b")],
            &["FOUNDRY_API_KEY: the key must be visible ASCII characters and not empty"],
        ),
        (
            &[("TONEGATE_KEY_SHA256", "CANARY")],
            &[
                "TONEGATE_KEY_SHA256: must be 64 hexadecimal digits; `tonegate key NAME` makes a \
               key with its digest",
            ],
        ),
        // What stands there already is not to be added once more.
        (
            &[("TONEGATE_KEY_SHA256", "")],
            &[
                "the key that may enter is not known; add\n      # `tonegate key client` makes a key \
               with its digest\n      TONEGATE_KEY_SHA256=…",
            ],
        ),
        (
            &[("PROJECT_NAME", "support")],
            &["AGENT_ID and PROJECT_NAME belong together"],
        ),
        (
            &[
                ("TONEGATE_MANAGED_IDENTITY", "true"),
                ("AZURE_CLIENT_ID", "me"),
            ],
            &["AZURE_CLIENT_ID: must be a GUID, as Azure shows the client id of the identity"],
        ),
    ];
    for (changes, expected) in cases {
        assert_eq!(problems(&world, changes), expected, "{changes:?}");
    }
    // Without the identity it is another program's.
    let other = changed(&world, &[("AZURE_CLIENT_ID", "me")]);
    assert!(settings(&other).is_ok());
}

/// The `.env` of the old proxy's own guide. It showed agents a token of whoever was signed in to
/// Azure; a server has none, and the key is no help.
#[test]
fn b12_b17_the_old_guides_own_file_is_told_what_agents_take() {
    let old = [
        ("AZURE_AI_FOUNDRY_RESOURCE", "my-resource".to_owned()),
        ("AZURE_SPEECH_KEY", "secret".to_owned()),
        ("AGENT_ID", "asst_1".to_owned()),
        ("PROJECT_NAME", "support".to_owned()),
    ];
    let decided = [
        ("TONEGATE_ADMIT", "key".to_owned()),
        ("TONEGATE_KEY_SHA256", Digest::of(KEY).to_hex()),
        ("TONEGATE_PLAIN_TEXT", "true".to_owned()),
        ("ALLOWED_ORIGINS", "none".to_owned()),
    ];
    let advice = "\n  - AGENT_ID: Voice Live takes no key for agents; add\
                  \n      # the identity that Azure gives to the edge\
                  \n      TONEGATE_MANAGED_IDENTITY=true\
                  \n    or\
                  \n      # callers' own tokens, and the ids of their tenants\
                  \n      TONEGATE_ADMIT=entra\
                  \n      TONEGATE_TENANTS=…\
                  \n    or remove AGENT_ID and PROJECT_NAME";
    let whole = [&old[..], &decided].concat();
    let text = settings(&whole).unwrap_err();
    assert_eq!(text, format!("the settings have a problem:{advice}"));
    let text = settings(&old).unwrap_err();
    assert!(text.starts_with("the settings have 4 problems:"), "{text}");
    assert_eq!(text.matches(advice).count(), 1, "{text}");
    assert!(!text.contains("credential ="), "{text}");
    // All that was set has to go.
    let more = [
        ("FOUNDRY_AGENT_NAME", "helper".to_owned()),
        ("FOUNDRY_PROJECT_NAME", "support".to_owned()),
        ("TONEGATE_PROJECTS", "sales".to_owned()),
    ];
    let text = settings(&[&whole[..], &more].concat()).unwrap_err();
    for part in [
        "\n  - AGENT_ID and FOUNDRY_AGENT_NAME: Voice Live",
        "or remove AGENT_ID, FOUNDRY_AGENT_NAME, PROJECT_NAME, FOUNDRY_PROJECT_NAME and \
         TONEGATE_PROJECTS",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // Each way out is one.
    let identity = [("TONEGATE_MANAGED_IDENTITY", "true".to_owned())];
    assert!(settings(&[&whole[..], &identity].concat()).is_ok());
    let mut entra = whole.to_vec();
    entra.retain(|(name, _)| !matches!(*name, "TONEGATE_ADMIT" | "TONEGATE_KEY_SHA256"));
    entra.push(("TONEGATE_ADMIT", "entra".to_owned()));
    entra.push(("TONEGATE_TENANTS", TENANT.to_owned()));
    assert!(settings(&entra).is_ok());
    assert!(settings(&[&old[..2], &decided].concat()).is_ok());
}

#[tokio::test]
async fn b17_b26_the_process_goes_before_the_file_whatever_it_holds() {
    let world = world().await;
    let file = world.folder.join(".env");
    let lines = |variables: &[(&'static str, String)]| -> String {
        let lines = variables.iter().map(|(k, v)| format!("{k}={v}\n"));
        lines.collect::<Vec<_>>().concat()
    };
    fs::write(&file, lines(&enough(&world))).unwrap();
    let cases: [(&str, &[u8], &str); 7] = [
        // Not UTF-8 is not what the file says either.
        (
            "TONEGATE_MODELS",
            b"gpt\xff",
            "TONEGATE_MODELS: must be UTF-8",
        ),
        (
            "AZURE_SPEECH_KEY",
            b"CANARY\xff",
            "AZURE_SPEECH_KEY: must be UTF-8",
        ),
        (
            "AZURE_SPEECH_KEY",
            b"\"CANARY\"",
            "AZURE_SPEECH_KEY: stands in quotes",
        ),
        ("TONEGATE_MODEL", b"CANARY", "TONEGATE_MODEL is not known"),
        (
            "TONEGATE_LOG",
            b"tonegate=CANARY",
            "TONEGATE_LOG: must be a filter such as tonegate=debug",
        ),
        ("TONEGATE_LOG", b"\xff", "TONEGATE_LOG: "),
        ("PORT", b"", "0.0.0.0:8080"),
    ];
    for (name, value, told) in cases {
        let own = [(name, value), ("TONEGATE_ADDRESS", &b"0.0.0.0"[..])];
        let (good, printed) = check(&file, &own).await;
        assert_eq!(good, name == "PORT", "{name}: {printed}");
        assert!(printed.contains(told), "{name}: {printed}");
        assert!(!printed.contains("CANARY"), "{name}: {printed}");
    }
    // Of other programs' variables in the process nothing is told.
    let (good, printed) = check(&file, &[("RATE_LIMIT_MAX_REQUEST", b"5")]).await;
    assert!(good && !printed.contains("RATE_LIMIT"), "{printed}");
    // In the file the filter stands as well as in the process, which goes first.
    let log = ("TONEGATE_LOG", "tonegate=CANARY");
    fs::write(&file, lines(&changed(&world, &[log]))).unwrap();
    let (good, printed) = check(&file, &[]).await;
    assert!(!good && printed.contains("TONEGATE_LOG: "), "{printed}");
    let (good, printed) = check(&file, &[("TONEGATE_LOG", b"warn")]).await;
    assert!(good, "{printed}");
    // What dotenv and docker read differently is told with its line, never with its value.
    fs::write(&file, "PORT=8080\nAZURE_SPEECH_KEY=CANARY#1\n").unwrap();
    let (good, printed) = check(&file, &[]).await;
    assert!(
        !good && printed.contains("line 2: AZURE_SPEECH_KEY has a #"),
        "{printed}"
    );
    assert!(!printed.contains("CANARY"), "{printed}");
}
