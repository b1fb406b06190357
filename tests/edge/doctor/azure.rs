//! Call Automation, Graph, and who gives the edge its tokens.

use std::path::PathBuf;

use super::doctor_in;
use crate::bot::peers::Peers;
use crate::call_control::client_service::ACCESS_KEY;
use tonegate::sim::call_automation::{self, CallAutomation};
use tonegate::sim::graph::{AUDIENCE, Graph, Options, PERMISSION};
use tonegate::sim::platform;

/// Settings with these tables, beside the peers' `ca.pem`.
fn settings(peers: &Peers, tables: &str) -> PathBuf {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{tables}\n\
         [upstreams.voice]\nkind = \"voice-live\"\nresource = \"my-resource\"\n\
         credential = {{ key = \"canary-of-the-key\" }}\n[[routes]]\nname = \"r\"\npaths = [\"/ws\"]\n\
         kind = \"voice-live\"\nadmit = [\"anyone\"]\nmodels = [\"m\"]\nupstreams = [\"voice\"]\n"
    );
    let file = peers.folder.join("edge.toml");
    std::fs::write(&file, text).unwrap();
    file
}

async fn tried(peers: &Peers, tables: &str) -> super::Seen {
    let imds = format!("http://127.0.0.1:{}", peers.port);
    let file = settings(peers, tables);
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str())];
    doctor_in(&file, &["--only", "azure,identity"], &variables).await
}

#[tokio::test]
async fn u9_graph_is_asked_for_nobody_and_says_whether_it_may_be() {
    for (role, verdict) in [(PERMISSION, "ok"), ("User.ReadBasic.All", "fail")] {
        let roles = |options: &mut platform::Options| options.roles = vec![role.to_owned()];
        let peers = Peers::new(AUDIENCE, false, roles).await;
        let graph = Graph::bind(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            identity: Some(peers.identity()),
            provider: peers.provider.clone(),
            tenant: platform::Options::loopback().tenant,
            page: 2,
        });
        let graph = graph.await.unwrap();
        let desk = graph.desk();
        tokio::spawn(graph.serve(peers.stop.clone()));
        let table = format!(
            "[graph]\nmanaged_identity = true\nbase = \"{}\"\nscope = \"{AUDIENCE}/.default\"\n\
             roots = \"ca.pem\"\n",
            desk.base()
        );
        let seen = tried(&peers, &table).await;
        let token = format!("a token for {AUDIENCE}/.default, good for 1day");
        seen.is("ok", ("identity", "graph"), &token);
        match verdict {
            "ok" => seen.is("ok", ("azure", "graph"), "it tells who reports to whom"),
            _ => seen.fails(
                ("azure", "graph"),
                "The identity may not read the directory (403).",
                "User.Read.All",
            ),
        }
        assert_eq!(desk.violations(), [""; 0]);
    }
}

#[tokio::test]
async fn u9_a_platform_without_a_token_is_told_of() {
    let peers = Peers::new("https://another.example", false, |_| {}).await;
    let table =
        "[graph]\nmanaged_identity = true\nbase = \"https://localhost:1\"\nroots = \"ca.pem\"\n";
    let seen = tried(&peers, table).await;
    seen.fails(
        ("identity", "graph"),
        "There is no token for https://localhost:1/.default: it answered with status 400",
        "Assign a managed identity",
    );
    seen.fails(("azure", "graph"), "or there is none", "under identity");
}

#[tokio::test]
async fn u9_call_automation_takes_the_key_or_says_that_it_does_not() {
    let peers = Peers::new("https://unused.example", false, |_| {}).await;
    let options = call_automation::Options::loopback(peers.provider.clone(), ACCESS_KEY);
    let service = CallAutomation::bind(options).await.unwrap();
    let desk = service.desk();
    tokio::spawn(service.serve(peers.stop.clone()));
    let endpoint = desk.endpoint();
    let table = |key: &str| format!("[acs]\nendpoint = \"{endpoint}\"\nkey = \"{key}\"\n");
    let seen = tried(&peers, &table(ACCESS_KEY)).await;
    seen.is("ok", ("azure", "acs"), "it takes the credential");
    let seen = tried(
        &peers,
        &table("Y2FuYXJ5IG9mIGFub3RoZXIga2V5IHRoYXQgaXMgbG9uZyBlbm91Z2g="),
    )
    .await;
    seen.fails(
        ("azure", "acs"),
        "It refuses the access key (401).",
        "portal: Keys",
    );
    assert!(!seen.text.contains("Y2FuYXJ5"));
    assert_eq!(desk.lines().len(), 0, "no call came of it");
}
