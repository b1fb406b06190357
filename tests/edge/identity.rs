//! The edge's own tokens, from stand-ins for Azure's platforms that azure-identity itself accepts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::platform::{Asked, Desk, Options, Platform};

use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, folder, within};
use crate::program::tool;
use crate::tokens::{Issued, TENANT, VOICE_LIVE};

/// A platform that gives tokens while this lives.
struct Given {
    desk: Arc<Desk>,
    port: u16,
    stop: CancellationToken,
}

impl Drop for Given {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Given {
    async fn with(options: Options) -> Given {
        let platform = Platform::bind(options).await.unwrap();
        let (desk, port) = (platform.desk(), platform.address().port());
        let stop = CancellationToken::new();
        tokio::spawn(platform.serve(stop.clone()));
        Given { desk, port, stop }
    }

    async fn usual() -> Given {
        Given::with(Options::loopback()).await
    }

    /// Of a virtual machine.
    fn imds(&self) -> Vec<(&'static str, String)> {
        let base = format!("http://127.0.0.1:{}", self.port);
        vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", base)]
    }

    async fn asked(&self, holds: impl Fn(&Asked) -> bool) -> Asked {
        within("the platform", async {
            while !holds(&self.desk.asked()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.desk.asked()
    }
}

fn wish(variables: Vec<(&'static str, String)>, token: usize) -> Wish {
    Wish {
        credential: "{ managed_identity = true }".to_owned(),
        upstream_token: Some(Desk::token(token)),
        variables: Some(variables),
        ..Wish::default()
    }
}

/// The edge of `world` admits a caller, who is served.
async fn serves(world: &World) {
    world.still_serves().await;
    world.settles().await;
}

#[tokio::test]
async fn b20_a_virtual_machines_token_is_fetched_once_and_shown_in_a_header() {
    let given = Given::usual().await;
    let world = World::with(wish(given.imds(), 1)).await;
    for _ in 0..3 {
        serves(&world).await;
    }
    let seen = world.upstream_saw(|_| true).await;
    let bearer = format!("Bearer {}", Desk::token(1));
    assert_eq!(seen.header("authorization").collect::<Vec<_>>(), [bearer]);
    assert_eq!(seen.header("api-key").count(), 0);
    assert!(!seen.target.contains("token"), "{}", seen.target);
    let asked = given.desk.asked();
    assert_eq!(asked.given, ["imds"]);
    assert!(asked.refused.is_empty(), "{:?}", asked.refused);
    let fetched = "tonegate_identity_token_fetches_total{upstream=\"voice\",result=\"ok\"} 1";
    world.metrics_say(fetched).await;
}

#[tokio::test]
async fn b20_app_service_is_asked_with_its_secret() {
    let given = Given::usual().await;
    let mut variables = given.imds();
    let endpoint = format!("http://127.0.0.1:{}/msi/token", given.port);
    variables.push(("IDENTITY_ENDPOINT", endpoint));
    variables.push(("IDENTITY_HEADER", Options::loopback().header));
    let id = Options::loopback().client_id;
    let credential = format!("{{ managed_identity = true, client_id = \"{id}\" }}");
    let world = World::with(Wish {
        credential,
        ..wish(variables, 1)
    })
    .await;
    serves(&world).await;
    let asked = given.desk.asked();
    assert_eq!(asked.given, ["app-service"]);
    assert!(asked.refused.is_empty(), "{:?}", asked.refused);
}

#[tokio::test]
async fn b20_a_service_account_is_exchanged_and_its_file_is_read_each_time() {
    let authority = Authority::new("test authority");
    let names = ["localhost", "127.0.0.1"];
    let options = Options {
        identity: Some(authority.issue(&names).unwrap()),
        lasts: Duration::from_secs(6),
        ..Options::loopback()
    };
    let (tenant, client) = (options.tenant.clone(), options.client_id.clone());
    let assertion = options.assertion.clone();
    let given = Given::with(options).await;
    let own = folder();
    let file = own.join("token");
    std::fs::write(&file, format!("{assertion}\n")).unwrap();
    let variables = vec![
        ("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string()),
        ("AZURE_TENANT_ID", tenant),
        ("AZURE_CLIENT_ID", client),
        (
            "AZURE_AUTHORITY_HOST",
            format!("https://localhost:{}/", given.port),
        ),
    ];
    let wish = Wish {
        credential: "{ managed_identity = true, roots = \"ca.pem\" }".to_owned(),
        ..wish(variables, 1)
    };
    let identity = authority.issue(&names).unwrap();
    let world = World::with_upstream_identity(wish, authority, identity).await;
    serves(&world).await;
    assert_eq!(given.desk.asked().given, ["workload"]);
    // What stands in the file at the next renewal counts, not what stood there at the start.
    std::fs::write(&file, "another.account").unwrap();
    let asked = given.asked(|asked| !asked.refused.is_empty()).await;
    assert_eq!(asked.refused[0], "a field of the form is wrong");
    std::fs::remove_dir_all(own).unwrap();
}

#[tokio::test]
async fn b20_a_refused_token_is_replaced_once_and_the_dial_repeated_once() {
    let given = Given::usual().await;
    // The upstream takes the second token only.
    let world = World::with(wish(given.imds(), 2)).await;
    given.asked(|asked| asked.given.len() == 1).await;
    serves(&world).await;
    assert_eq!(given.desk.asked().given.len(), 2);
    assert_eq!(world.upstream_total(), 2);
    serves(&world).await;
    assert_eq!(
        (given.desk.asked().given.len(), world.upstream_total()),
        (2, 3)
    );
}

#[tokio::test]
async fn b20_an_upstream_that_refuses_every_token_does_not_wear_the_platform_out() {
    let given = Given::usual().await;
    let world = World::with(wish(given.imds(), 99)).await;
    given.asked(|asked| asked.given.len() == 1).await;
    for _ in 0..5 {
        let refused = world.try_call("sim-echo").await.err().unwrap();
        refused.is(502, "upstream_unauthorized");
        assert!(!refused.body.contains("platform.token"), "{}", refused.body);
    }
    assert_eq!(given.desk.asked().given.len(), 2);
    // One try with the first token, and one each from then on but for the one repetition.
    assert_eq!(world.upstream_total(), 6);
}

#[tokio::test]
async fn b20_without_a_token_nobody_is_served_and_the_platform_is_asked_again() {
    let given = Given::usual().await;
    given.desk.fail(2);
    let world = World::with(wish(given.imds(), 1)).await;
    let refused = world.try_call("sim-echo").await.err().unwrap();
    refused.is(502, "upstream_unauthorized");
    assert_eq!(world.upstream_total(), 0);
    given.asked(|asked| asked.given.len() == 1).await;
    serves(&world).await;
    let failed = "tonegate_identity_token_fetches_total{upstream=\"voice\",result=\"failed\"} 2";
    world.metrics_say(failed).await;
}

#[tokio::test]
async fn b20_tokens_are_renewed_before_they_end_and_whoever_asks_never_waits() {
    let options = Options {
        lasts: Duration::from_secs(8),
        ..Options::loopback()
    };
    let given = Given::with(options).await;
    let world = World::with(wish(given.imds(), 2)).await;
    // Nobody asks; half its life later the first token has been replaced.
    given.asked(|asked| asked.given.len() == 2).await;
    serves(&world).await;
    assert_eq!(world.upstream_total(), 1);
}

#[tokio::test]
async fn b20_many_callers_wait_for_one_fetch() {
    let given = Given::usual().await;
    let world = World::with(wish(given.imds(), 1)).await;
    let calls = (0..20).map(|_| world.call("sim-echo"));
    let callers = futures_util::future::join_all(calls).await;
    assert_eq!(callers.len(), 20);
    assert_eq!(given.desk.asked().given.len(), 1);
}

#[tokio::test]
async fn b11_credentials_go_in_the_old_proxys_order_and_agents_get_no_key() {
    let given = Given::usual().await;
    let wish = Wish {
        credential: format!(
            "{{ caller = true, key = \"{UPSTREAM_KEY}\", managed_identity = true }}"
        ),
        upstream_takes_any: true,
        variables: Some(given.imds()),
        route: "agents = [\"helper\"]\nprojects = [\"support\"]\npass = [\"conversation-id\"]"
            .to_owned(),
        ..Wish::default()
    };
    let issued = Issued::with(wish, VOICE_LIVE, "").await;
    given.asked(|asked| asked.given.len() == 1).await;
    let mint = Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    let own = format!("Bearer {}", issued.provider.mint(&mint));
    let edges = format!("Bearer {}", Desk::token(1));
    let by_key = ("api-key", KEY);
    let by_token = ("Authorization", own.as_str());
    type Header<'a> = (&'a str, &'a str);
    // To Azure all callers with the edge's token are one, whose conversations are not anybody's.
    let target = "/ws?mode=agent&conversationId=conv_1";
    issued
        .world
        .refused(target, &[by_key])
        .await
        .is(403, "forbidden");
    let expected: [(&str, Header, Header); 5] = [
        (target, by_token, ("authorization", &own)),
        ("/ws", by_token, ("authorization", &own)),
        ("/ws", by_key, ("api-key", UPSTREAM_KEY)),
        ("/ws?mode=agent", by_token, ("authorization", &own)),
        ("/ws?mode=agent", by_key, ("authorization", &edges)),
    ];
    for (target, shown, (name, value)) in expected {
        let caller = issued.world.ask(target, &[shown]).await.unwrap();
        let seen = issued
            .world
            .upstream_saw(|seen| seen.scenario.is_some())
            .await;
        assert_eq!(seen.header(name).collect::<Vec<_>>(), [value], "{target}");
        let count = ["api-key", "authorization"].map(|name| seen.header(name).count());
        assert_eq!(count.iter().sum::<usize>(), 1, "{target}");
        drop(caller);
        issued.world.settles().await;
    }
}

/// A token that is revoked in the middle of a crowd: all of it waits for the one fetch.
#[tokio::test]
async fn b20_a_crowd_whose_token_is_refused_waits_for_one_new_one() {
    let given = Given::usual().await;
    let world = World::with(wish(given.imds(), 2)).await;
    given.asked(|asked| asked.given.len() == 1).await;
    let calls = (0..100).map(|_| world.try_call("sim-echo"));
    let answers = futures_util::future::join_all(calls).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!((answers.len(), refused), (100, 0));
    assert_eq!(given.desk.asked().given.len(), 2);
}

/// Each of the two connections is one that the upstream counts.
#[tokio::test]
async fn u8_b20_a_second_dial_with_a_new_token_has_a_turn_of_its_own() {
    let given = Given::usual().await;
    let mut wish = wish(given.imds(), 2);
    wish.upstream = "connects = \"2/m\"\nqueue_wait = \"0s\"".to_owned();
    let world = World::with(wish).await;
    given.asked(|asked| asked.given.len() == 1).await;
    drop(world.try_call("sim-echo").await.unwrap());
    assert_eq!(world.upstream_total(), 2);
    let taken = "tonegate_upstream_turns_total{upstream=\"voice\",result=\"taken\"}";
    assert_eq!(world.count(taken), 2);
    let refused = world.try_call("sim-echo").await.err().unwrap();
    refused.is(503, "upstream_busy");
    assert_eq!(world.upstream_total(), 2);
}

#[tokio::test]
async fn b20_the_same_token_again_is_not_tried_again() {
    let options = Options {
        repeats: true,
        ..Options::loopback()
    };
    let given = Given::with(options).await;
    let world = World::with(wish(given.imds(), 2)).await;
    given.asked(|asked| asked.given.len() == 1).await;
    let refused = world.try_call("sim-echo").await.err().unwrap();
    refused.is(502, "upstream_unauthorized");
    assert_eq!(given.desk.asked().given.len(), 2);
    assert_eq!(world.upstream_total(), 1);
}

/// The stand-ins are faithful as far as Microsoft's own library can tell.
#[tokio::test]
async fn b20_azure_identity_gets_its_tokens_from_the_same_stand_ins() {
    let plain = Given::usual().await;
    let authority = Authority::new("test authority");
    let secure = Given::with(Options {
        identity: Some(authority.issue(&["localhost", "127.0.0.1"]).unwrap()),
        ..Options::loopback()
    })
    .await;
    let own = folder();
    let (roots, file) = (own.join("ca.pem"), own.join("token"));
    let options = Options::loopback();
    std::fs::write(&roots, authority.pem()).unwrap();
    std::fs::write(&file, &options.assertion).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/identity.py");
    let run = Command::new(tool("voicelive-py/bin/python"))
        .arg(script)
        .args(["--plain", &format!("http://127.0.0.1:{}", plain.port)])
        .args(["--secure", &format!("https://localhost:{}", secure.port)])
        .args(["--header", &options.header])
        .args(["--tenant", &options.tenant, "--client", &options.client_id])
        .arg("--token-file")
        .arg(&file)
        .env("REQUESTS_CA_BUNDLE", &roots)
        .kill_on_drop(true)
        .output();
    let run = within("azure-identity", run).await.unwrap();
    let err = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{err}");
    let told: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(told["imds"], Desk::token(1), "{told}");
    assert_eq!(told["app-service"], Desk::token(2), "{told}");
    assert_eq!(told["workload"], Desk::token(1), "{told}");
    assert_eq!(plain.desk.asked().given, ["imds", "app-service"]);
    assert_eq!(secure.desk.asked().given, ["workload"]);
    for given in [&plain, &secure] {
        let refused = given.desk.asked().refused;
        assert!(refused.is_empty(), "{refused:?}");
    }
    std::fs::remove_dir_all(own).unwrap();
}
