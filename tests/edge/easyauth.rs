//! Principals of App Service and Container Apps: they enter by a hop that speaks HTTP, and their
//! headers are nobody else's to write and nobody's to pass on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::binary::Served;
use crate::harness::{KEY, UPSTREAM_KEY, Wish, World};
use crate::hops::{HOP, HTTP, STRANGER, TARGET, ask, status};

type Headers<'a> = &'a [(&'a str, &'a str)];

pub const OID: &str = "aaaaaaaa-2222-3333-4444-555555555555";
pub const OTHER: &str = "bbbbbbbb-2222-3333-4444-555555555555";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const OBJECT: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";
pub const PRINCIPAL: &str = "X-MS-CLIENT-PRINCIPAL";
const ID: &str = "X-MS-CLIENT-PRINCIPAL-ID";

/// A route that nothing but both opens.
const BOTH: &str = r#"
[[routes]]
name = "both"
paths = ["/both"]
kind = "voice-live"
require = ["key", "easyauth"]
models = ["sim-echo"]
upstreams = ["voice"]
"#;

async fn admitting(admit: &str, route: &str, hops: &str) -> World {
    World::with(Wish {
        admit: admit.to_owned(),
        route: route.to_owned(),
        more: format!("{HTTP}{hops}\n{BOTH}"),
        ..Wish::default()
    })
    .await
}

fn document(oid: &str) -> Value {
    json!({
        "auth_typ": "aad",
        "claims": [
            {"typ": OBJECT, "val": oid},
            {"typ": "http://schemas.microsoft.com/identity/claims/tenantid", "val": TENANT},
            {"typ": "name", "val": "canary"},
        ],
        "name_typ": "name",
        "role_typ": "roles",
    })
}

fn encode(document: &Value) -> String {
    STANDARD.encode(document.to_string())
}

pub fn principal(oid: &str) -> String {
    encode(&document(oid))
}

#[tokio::test]
async fn a31_s14_a_principal_of_no_hop_is_nobody() {
    let world = admitting("\"easyauth\"", "", "").await;
    let good = principal(OID);
    let forwarded = ("X-Forwarded-For", HOP);
    for headers in [
        &[(PRINCIPAL, good.as_str())][..],
        &[
            (PRINCIPAL, &good),
            (ID, OID),
            ("X-MS-CLIENT-PRINCIPAL-IDP", "aad"),
        ],
        &[(PRINCIPAL, &good), forwarded],
        &[(PRINCIPAL, "garbage")],
        &[(PRINCIPAL, &good), (PRINCIPAL, &good)],
    ] {
        let refused = ask(&world, STRANGER, TARGET, headers).await.err().unwrap();
        refused.is(401, "unauthenticated");
    }
    // Names that are nearly the header's are other names, also from a hop.
    for name in [
        "x_ms_client_principal",
        "x-ms-client_principal",
        "ms-client-principal",
        ID,
    ] {
        let refused = ask(&world, HOP, TARGET, &[(name, &good)])
            .await
            .err()
            .unwrap();
        refused.is(401, "unauthenticated");
    }
    // Tokens of the platform enter nowhere: they are not for us.
    let tokens = [
        ("X-MS-TOKEN-AAD-ACCESS-TOKEN", "a.b.c"),
        ("X-MS-TOKEN-AAD-ID-TOKEN", "a.b.c"),
    ];
    assert_eq!(status(&world, HOP, &tokens).await, 401);
    assert_eq!(world.upstream_total(), 0);
    assert_eq!(status(&world, HOP, &[(PRINCIPAL, &good)]).await, 101);
    // Where the route does not ask for principals, nobody's is looked at.
    let world = admitting("\"key\"", "", "").await;
    assert_eq!(status(&world, HOP, &[(PRINCIPAL, &good)]).await, 401);
    let garbage = [("api-key", KEY), (PRINCIPAL, "garbage")];
    assert_eq!(status(&world, HOP, &garbage).await, 101);
}

#[tokio::test]
async fn a31_s14_no_identity_header_goes_upstream_whoever_sends_it() {
    let world = admitting("\"key\", \"easyauth\"", "", "").await;
    let good = principal(OID);
    let identity = [
        (PRINCIPAL, good.as_str()),
        (ID, OID),
        ("X-MS-CLIENT-PRINCIPAL-NAME", "canary"),
        ("X-MS-CLIENT-PRINCIPAL-IDP", "aad"),
        ("X-MS-TOKEN-AAD-ACCESS-TOKEN", "canary"),
        ("X-MS-TOKEN-AAD-ID-TOKEN", "canary"),
        ("X-MS-TOKEN-AAD-REFRESH-TOKEN", "canary"),
        ("X-MS-TOKEN-AAD-EXPIRES-ON", "canary"),
        ("x_ms_client_principal", "canary"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil.example"),
        ("Connection", "x-ms-client-principal"),
    ];
    let by_key = [&[("api-key", KEY)][..], &identity].concat();
    for (from, headers) in [(HOP, &identity[..]), (HOP, &by_key), (STRANGER, &by_key)] {
        let caller = ask(&world, from, TARGET, headers).await.ok().unwrap();
        let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
        let mut names: Vec<_> = seen
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        names.sort();
        let ours = "api-key connection host sec-websocket-key sec-websocket-version traceparent \
                    upgrade user-agent";
        assert_eq!(names.join(" "), ours, "{from}");
        assert_eq!(seen.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
        drop(caller);
        world.settles().await;
    }
}

#[tokio::test]
async fn a31_what_is_no_principal_of_entra_does_not_enter() {
    let world = admitting("\"easyauth\", \"anyone\"", "", "").await;
    let change = |change: fn(&mut Value)| {
        let mut document = document(OID);
        change(&mut document);
        encode(&document)
    };
    let cases: [(String, u16); 12] = [
        ("garbage".to_owned(), 400),
        (String::new(), 400),
        (STANDARD.encode("{"), 400),
        (STANDARD.encode("{}"), 400),
        (document(OID).to_string(), 400),
        (change(|d| d["claims"][2]["typ"] = json!("oid")), 400),
        (
            change(|d| d["claims"][2]["val"] = json!("x".repeat(20_000))),
            400,
        ),
        (change(|d| d["auth_typ"] = json!("github")), 401),
        (change(|d| d["claims"] = json!([])), 401),
        (change(|d| d["claims"][0]["val"] = json!("somebody")), 401),
        (change(|d| d["claims"][0]["typ"] = json!("sub")), 401),
        (change(|d| d["claims"][1]["typ"] = json!("iss")), 401),
    ];
    for (header, expected) in &cases {
        let refused = ask(&world, HOP, TARGET, &[(PRINCIPAL, header)]).await;
        let refused = refused.err().unwrap();
        assert_eq!(refused.status, *expected, "{header}: {}", refused.body);
        assert!(!refused.body.contains("canary") && !refused.body.contains(OID));
    }
    let good = principal(OID);
    let two: [Headers<'_>; 3] = [
        &[(PRINCIPAL, &good), (PRINCIPAL, &good)],
        &[(PRINCIPAL, &good), (ID, OID), (ID, OID)],
        &[(PRINCIPAL, &good), (ID, OTHER)],
    ];
    for headers in two {
        assert_eq!(status(&world, HOP, headers).await, 400, "{headers:?}");
    }
    assert_eq!(world.upstream_total(), 0);
    // Good ones enter, and so does whoever shows none, as the route says.
    let upper = OID.to_uppercase();
    let enters: [Headers<'_>; 4] = [
        &[(PRINCIPAL, &good)],
        &[(PRINCIPAL, &good), (ID, &upper)],
        &[(PRINCIPAL, &good), (ID, "a-subject_that-is-no-guid")],
        &[],
    ];
    for headers in enters {
        assert_eq!(status(&world, HOP, headers).await, 101, "{headers:?}");
    }
}

#[tokio::test]
async fn a31_a_key_that_is_shown_is_judged_first_and_together_both_are() {
    let world = admitting("\"easyauth\", \"key\"", "", "").await;
    let (good, foreign) = (
        principal(OID),
        encode(&json!({"auth_typ": "x", "claims": []})),
    );
    let (key, wrong) = (("api-key", KEY), ("api-key", "wrong"));
    let bearer = ("Authorization", "Bearer wrong");
    let either: [(Headers<'_>, u16); 7] = [
        (&[wrong, (PRINCIPAL, &good)], 401),
        (&[bearer, (PRINCIPAL, &good)], 401),
        (&[(PRINCIPAL, &foreign)], 401),
        (&[key, (PRINCIPAL, "garbage")], 400),
        (&[key, (PRINCIPAL, &foreign)], 101),
        (&[key], 101),
        (&[(PRINCIPAL, &good)], 101),
    ];
    for (headers, expected) in either {
        assert_eq!(status(&world, HOP, headers).await, expected, "{headers:?}");
    }
    let both: [(&str, Headers<'_>, u16); 7] = [
        (HOP, &[key], 401),
        (HOP, &[(PRINCIPAL, &good)], 401),
        (HOP, &[wrong, (PRINCIPAL, &good)], 401),
        (HOP, &[key, (PRINCIPAL, &foreign)], 401),
        (STRANGER, &[key, (PRINCIPAL, &good)], 401),
        // One key is asked for: a second one beside it is a mistake or an attack.
        (HOP, &[key, bearer, (PRINCIPAL, &good)], 400),
        (HOP, &[key, (PRINCIPAL, &good)], 101),
    ];
    for (from, headers, expected) in both {
        let answer = ask(&world, from, "/both?model=sim-echo", headers).await;
        let told = answer.map_or_else(|refused| refused.status, |_| 101);
        assert_eq!(told, expected, "{from} {headers:?}");
    }
}

#[tokio::test]
async fn a31_tenants_that_are_listed_enter_and_no_others() {
    for (listed, expected) in [(TENANT, 101), (&TENANT.to_uppercase(), 101), (OTHER, 403)] {
        let hops = format!("tenants = [\"{listed}\"]");
        let world = admitting("\"easyauth\"", "", &hops).await;
        let headers = [(PRINCIPAL, principal(OID))];
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(status(&world, HOP, &headers).await, expected, "{listed}");
    }
}

#[tokio::test]
async fn a31_b23_a_principal_has_its_own_limits_and_its_own_line_in_the_log() {
    let route = "limits = { sessions_per_identity = 1 }";
    let mut world = admitting("\"easyauth\"", route, "").await;
    let mut served = Served::start(&world, "tonegate=debug").await;
    world.port = served.port();
    let (one, other) = (principal(OID), principal(OTHER));
    let first = ask(&world, HOP, TARGET, &[(PRINCIPAL, &one)])
        .await
        .ok()
        .unwrap();
    let line = served
        .until(|line| line["message"] == "session started")
        .await;
    assert_eq!(
        line["subject"],
        format!("easyauth:{TENANT}/{OID}"),
        "{line}"
    );
    // Written otherwise it is the same one.
    let upper = principal(&OID.to_uppercase());
    let refused = ask(&world, HOP, TARGET, &[(PRINCIPAL, &upper)]).await;
    refused.err().unwrap().is(503, "busy");
    assert_eq!(status(&world, HOP, &[(PRINCIPAL, &other)]).await, 101);
    drop(first);
    served
        .until(|line| {
            let subject = format!("easyauth:{TENANT}/{OID}");
            line["message"] == "session ended" && line["subject"] == subject
        })
        .await;
    assert_eq!(status(&world, HOP, &[(PRINCIPAL, &upper)]).await, 101);
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    // What else the platform tells of a person is nobody's business.
    assert!(!printed.contains("canary") && !printed.contains(&one));
}
