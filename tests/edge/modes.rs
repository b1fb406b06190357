//! The URL and the headers that the upstream sees, for every mode and parameter of the old proxy and
//! of its successor.

use tonegate::config::Settings;
use tonegate::sim::frame;

use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, text};
use crate::tokens::{Issued, TENANT, VOICE_LIVE};

const ROUTE: &str = "agents = [\"asst_1\", \"helper\"]\nprojects = [\"support\", \"sales\"]\n\
    pass = [\"conversation-id\", \"agent-version\"]\nidentities = [\"id-1\"]\n\
    resources = [\"res-2\"]\napi_versions = [\"2025-10-01\"]\nweb_rtc = true";

async fn world() -> Issued {
    let wish = Wish {
        credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
        upstream_takes_any: true,
        route: ROUTE.to_owned(),
        ..Wish::default()
    };
    Issued::with(wish, VOICE_LIVE, "").await
}

/// A query, whether the caller shows a token (else a key), and the path and query upstream.
const GOLDEN: [(&str, bool, &str); 13] = [
    ("", false, "?api-version=2026-07-15&model=gpt-realtime"),
    (
        "model=gpt-4o",
        false,
        "?api-version=2026-07-15&model=gpt-4o",
    ),
    (
        "mode=standard&model=gpt-4o",
        true,
        "?api-version=2026-07-15&model=gpt-4o",
    ),
    (
        "mode=avatar&model=gpt-4o",
        false,
        "?api-version=2026-07-15&model=gpt-4o",
    ),
    (
        "apiVersion=2025-10-01",
        false,
        "?api-version=2025-10-01&model=gpt-realtime",
    ),
    (
        "api-version=2025-10-01&transport=websocket",
        false,
        "?api-version=2025-10-01&model=gpt-realtime",
    ),
    (
        "transport=webrtc",
        false,
        "/calls?api-version=2026-01-01-preview&model=gpt-realtime",
    ),
    (
        "mode=agent",
        true,
        "?api-version=2026-07-15&agent-id=asst_1&agent-project-name=support",
    ),
    (
        "mode=agent&agentId=asst_1&projectName=sales",
        true,
        "?api-version=2026-07-15&agent-id=asst_1&agent-project-name=sales",
    ),
    (
        "agentName=helper&projectName=support&agentVersion=3&conversationId=conv_9",
        true,
        "?api-version=2026-07-15&agent-name=helper&agent-project-name=support&agent-version=3&\
         conversation-id=conv_9",
    ),
    (
        "agent-name=helper&agent-authentication-identity-client-id=id-1",
        true,
        "?api-version=2026-07-15&agent-name=helper&agent-project-name=support&\
         agent-authentication-identity-client-id=id-1",
    ),
    (
        "agentName=helper&foundryResourceOverride=res-2",
        true,
        "?api-version=2026-07-15&agent-name=helper&agent-project-name=support&\
         foundry-resource-override=res-2",
    ),
    (
        "agentName=helper&transport=webrtc&apiVersion=2025-10-01",
        true,
        "/calls?api-version=2025-10-01&agent-name=helper&agent-project-name=support",
    ),
];

#[tokio::test]
async fn b06_b08_b11_b31_b32_golden_urls_and_headers_of_every_mode() {
    let issued = world().await;
    let mint =
        tonegate::sim::issuer::mint::Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    let bearer = format!("Bearer {}", issued.provider.mint(&mint));
    for (query, with_token, target) in GOLDEN {
        let (header, name, value) = if with_token {
            (
                ("Authorization", bearer.as_str()),
                "authorization",
                bearer.as_str(),
            )
        } else {
            (("api-key", KEY), "api-key", UPSTREAM_KEY)
        };
        let asked = issued.world.ask(&format!("/ws?{query}"), &[header]).await;
        let caller = asked.unwrap_or_else(|refused| panic!("{query}: {}", refused.body));
        let seen = issued
            .world
            .upstream_saw(|seen| seen.scenario.is_some())
            .await;
        assert_eq!(
            seen.target,
            format!("/voice-live/realtime{target}"),
            "{query}"
        );
        assert_eq!(seen.header(name).collect::<Vec<_>>(), [value], "{query}");
        let credentials = ["api-key", "authorization"].map(|name| seen.header(name).count());
        assert_eq!(credentials.iter().sum::<usize>(), 1, "{query}");
        assert!(seen.violations.is_empty(), "{query}: {:?}", seen.violations);
        drop(caller);
        issued.world.settles().await;
    }
}

#[tokio::test]
async fn b12_b21_what_is_off_a_list_goes_nowhere() {
    let issued = world().await;
    let mint =
        tonegate::sim::issuer::mint::Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    let bearer = format!("Bearer {}", issued.provider.mint(&mint));
    for (query, status) in [
        ("model=gpt-5", 403),
        ("apiVersion=2026-04-10", 403),
        ("apiVersion=2025-10-01&api-version=2025-10-01", 400),
        ("transport=tcp", 400),
        ("transport=", 400),
        ("agentName=other", 403),
        ("agentName=helper&projectName=other", 403),
        ("agentName=helper&conversationId=a/b", 400),
        ("agentName=helper&conversation-id=a&conversationId=a", 400),
        (
            "agentName=helper&agent-authentication-identity-client-id=id-2",
            403,
        ),
        ("agentName=helper&foundryResourceOverride=evil", 403),
        (
            "agentName=helper&foundryResourceOverride=evil.example%2F",
            400,
        ),
    ] {
        let target = format!("/ws?{query}");
        let refused = issued
            .world
            .refused(&target, &[("Authorization", &bearer)])
            .await;
        assert_eq!(refused.status, status, "{query}: {}", refused.body);
    }
    assert_eq!(issued.world.upstream_total(), 0);
    // Where a route offers none of it, none of it goes on.
    let plain = World::usual().await;
    let target = "/ws?model=sim-echo&apiVersion=2025-10-01&conversationId=c&agentVersion=1&\
                  foundryResourceOverride=r&agentAuthenticationIdentityClientId=i";
    let caller = plain.ask(target, &[("api-key", KEY)]).await.unwrap();
    let seen = plain.upstream_saw(|seen| seen.scenario.is_some()).await;
    let expected = "/voice-live/realtime?api-version=2026-07-15&model=sim-echo";
    assert_eq!(seen.target, expected);
    drop(caller);
    let refused = plain
        .refused("/ws?transport=webrtc", &[("api-key", KEY)])
        .await;
    refused.is(403, "forbidden");
}

#[tokio::test]
async fn b10_the_large_frames_of_an_avatars_negotiation_cross() {
    let world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    let sdp = format!(
        r#"{{"type":"session.avatar.connect","client_sdp":"{}"}}"#,
        "v=0 ".repeat(24 * 1024)
    );
    assert!(sdp.len() > 64 * 1024);
    caller.send(text(&sdp)).await;
    let back = caller.next().await.unwrap();
    assert_eq!(back.opcode, frame::TEXT);
    assert!(back.payload == sdp.as_bytes());
}

/// Whom a caller is to Azure must not depend on which upstream had room.
#[test]
fn b11_upstreams_of_agents_are_alike() {
    let text = |first: &str, second: &str, pass: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\
             [issuers.users]\nkind = \"entra\"\ntenants = [\"{TENANT}\"]\n\
             audience = [\"{VOICE_LIVE}\"]\n\
             [upstreams.a]\nkind = \"voice-live\"\nresource = \"aa\"\ncredential = {{ {first} }}\n\
             [upstreams.b]\nkind = \"voice-live\"\nresource = \"bb\"\ncredential = {{ {second} }}\n\
             [[routes]]\nname = \"r\"\nkind = \"voice-live\"\npaths = [\"/ws\"]\n\
             admit = [\"users\"]\nagents = [\"x\"]\nprojects = [\"p\"]\npass = [{pass}]\n\
             upstreams = [\"a\", \"b\"]\n"
        )
    };
    let problems = |text: &str| match Settings::read_text("edge.toml", text) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    let (own, both) = (
        "managed_identity = true",
        "caller = true, managed_identity = true",
    );
    let (caller, passing) = ("caller = true", "\"conversation-id\"");
    for (first, second, pass) in [
        (caller, caller, passing),
        (own, own, "\"agent-version\""),
        (both, both, passing),
    ] {
        assert_eq!(
            problems(&text(first, second, pass)),
            "",
            "{first} | {second}"
        );
    }
    for (first, second, pass, named) in [
        (caller, own, "", "routes.r.upstreams"),
        (caller, both, "", "routes.r.upstreams"),
        (both, own, "", "routes.r.upstreams"),
        (own, own, passing, "routes.r.pass"),
        (caller, "key = \"k\"", "", "routes.r.agents"),
    ] {
        let told = problems(&text(first, second, pass));
        assert!(told.contains(named), "{first} | {second}: {told}");
    }
}
