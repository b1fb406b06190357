//! Who reports to whom, of a Graph that is strict, slow, away or wrong: all of them, or nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonegate::bot::roles::{Role, Roles};
use tonegate::config::{self, RolesBy};
use tonegate::error::Reason;
use tonegate::ids::EntraId;
use tonegate::metrics::Metrics;
use tonegate::sim::graph::{
    AUDIENCE, Desk, Graph as Simulated, Options, PERMISSION, Report, Trouble,
};
use tonegate::sim::platform;
use tonegate::store::Store;
use tonegate::upstream::graph::{Failure, Graph, Kind, Reports};

use super::peers::{CANARY, Peers, Trap, counted};
use crate::harness::within;

const MANAGER: usize = 0xaaaa;

fn id(number: usize) -> String {
    format!("{number:08x}-1111-4222-8333-0123456789ab")
}

fn person(number: usize) -> EntraId {
    EntraId::new(&id(number)).unwrap()
}

fn users(count: usize) -> impl Iterator<Item = Report> {
    (1..=count).map(|number| Report::User(id(number)))
}

fn reports(count: usize) -> Reports {
    (1..=count).map(person).collect()
}

/// A directory of two on a page, and an edge that asks it.
struct World {
    desk: Arc<Desk>,
    graph: Graph,
    metrics: Arc<Metrics>,
    peers: Peers,
}

impl World {
    async fn usual() -> World {
        World::with("", PERMISSION).await
    }

    async fn with(lines: &str, role: &str) -> World {
        let roles = |options: &mut platform::Options| options.roles = vec![role.to_owned()];
        let peers = Peers::new(AUDIENCE, false, roles).await;
        World::before(peers, 2, lines, &[]).await
    }

    async fn before(peers: Peers, page: usize, lines: &str, variables: &[(&str, &str)]) -> World {
        let simulated = Simulated::bind(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            identity: Some(peers.identity()),
            provider: peers.provider.clone(),
            tenant: platform::Options::loopback().tenant,
            page,
        });
        let simulated = simulated.await.unwrap();
        let desk = simulated.desk();
        tokio::spawn(simulated.serve(peers.stop.clone()));
        let table = format!(
            "[graph]\nmanaged_identity = true\nbase = \"{}\"\nscope = \"{AUDIENCE}/.default\"\n\
             roots = \"ca.pem\"\n{lines}\n",
            desk.base()
        );
        let settings = peers.settings(&table, variables).live.graph.unwrap();
        let metrics = Arc::new(Metrics::new());
        let graph = Graph::new(settings, metrics.clone()).unwrap();
        peers.run(graph.identity());
        desk.employ(&id(MANAGER), users(5));
        World {
            desk,
            graph,
            metrics,
            peers,
        }
    }

    async fn ask(&self) -> Result<Reports, Failure> {
        within("a list", self.graph.direct_reports(&person(MANAGER))).await
    }

    /// There is no list, for this reason, which was counted; nothing that Graph said is told.
    async fn fails(&self, kind: Kind) {
        let failure = self.ask().await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(!format!("{failure:?}").contains(CANARY));
        let series = "tonegate_graph_lookups_total";
        let line = format!("{series}{{result=\"{}\"}} 1", kind.word());
        counted(&self.metrics, &line);
        self.was_sound();
    }

    fn asked(&self) -> usize {
        self.desk.asked().len()
    }

    fn was_sound(&self) {
        assert_eq!(self.desk.violations(), [""; 0]);
        assert_eq!(self.peers.platform.asked().refused, [""; 0]);
    }
}

#[tokio::test]
async fn c12_a_page_that_fails_makes_no_list() {
    let lost = || Trouble::Lost;
    for (troubles, kind) in [
        (vec![Trouble::Status(403)], Kind::Forbidden),
        (vec![Trouble::Status(404)], Kind::NotFound),
        (vec![Trouble::Status(400)], Kind::Refused),
        (vec![Trouble::Status(204)], Kind::Refused),
        (
            vec![Trouble::Text("{\"value\":[".to_owned())],
            Kind::Malformed,
        ),
        (
            vec![Trouble::Text("{\"error\":{}}".to_owned())],
            Kind::Malformed,
        ),
        (vec![Trouble::Huge], Kind::Malformed),
        (vec![lost(), lost(), lost()], Kind::Unreachable),
        (
            vec![
                Trouble::Status(500),
                Trouble::Status(502),
                Trouble::Status(500),
            ],
            Kind::Failed,
        ),
    ] {
        let world = World::usual().await;
        let count = troubles.len();
        // The second page of three.
        world.desk.then([Trouble::Held(Duration::ZERO)]);
        world.desk.then(troubles);
        world.fails(kind).await;
        assert_eq!(world.asked(), 1 + count, "{kind:?}");
    }
}

#[tokio::test]
async fn c12_a_next_page_elsewhere_is_not_asked_for() {
    let trap = Trap::new().await;
    let path = format!("/v1.0/users/{}/directReports?$skiptoken=x", id(MANAGER));
    for link in [
        format!("https://localhost:{}{path}", trap.port),
        format!("http://localhost:{}{path}", trap.port),
        format!("https://127.0.0.1:{}{path}", trap.port),
        format!("https://evil.example{path}"),
        path.clone(),
        String::new(),
    ] {
        let world = World::usual().await;
        world.desk.then([Trouble::Next(link)]);
        world.fails(Kind::Malformed).await;
        assert_eq!(world.asked(), 1);
    }
    // At the same host, by another way.
    let world = World::usual().await;
    let other = format!("{}/beta/users", world.desk.base());
    world.desk.then([Trouble::Next(other)]);
    world.fails(Kind::Malformed).await;
    let world = World::usual().await;
    let there = format!("https://localhost:{}{path}", trap.port);
    world.desk.then([Trouble::Redirect(there)]);
    world.fails(Kind::Refused).await;
    assert_eq!(world.asked(), 1);
    trap.is_untouched().await;
}

#[tokio::test]
async fn c12_a_list_without_an_end_is_none() {
    let world = World::usual().await;
    let first = format!(
        "/v1.0/users/{}/directReports?$select=id&$top=999",
        id(MANAGER)
    );
    let circle = format!("{}{first}", world.desk.base());
    world.desk.then(vec![Trouble::Next(circle); 30]);
    world.fails(Kind::TooMany).await;
    assert_eq!(world.asked(), 20);
    let peers = Peers::new(AUDIENCE, false, |of| of.roles = vec![PERMISSION.to_owned()]).await;
    let world = World::before(peers, 999, "", &[]).await;
    world.desk.employ(&id(MANAGER), users(5000));
    assert_eq!(world.ask().await.unwrap().len(), 5000);
    world.desk.employ(&id(MANAGER), users(5001));
    world.fails(Kind::TooMany).await;
}

#[tokio::test]
async fn c12_three_pages_are_one_list_of_people() {
    let world = World::usual().await;
    let contact = [Report::Contact(id(99))];
    world
        .desk
        .employ(&id(MANAGER), contact.into_iter().chain(users(5)));
    let found = world.ask().await.unwrap();
    assert_eq!(found, reports(5));
    assert!(found.has(&person(5)) && !found.has(&person(99)) && !found.has(&person(MANAGER)));
    let first = format!(
        "/v1.0/users/{}/directReports?$select=id&$top=999",
        id(MANAGER)
    );
    let asked: Vec<_> = world.desk.asked().into_iter().map(|a| a.target).collect();
    let next = |skip| format!("{first}&$skiptoken=m~{skip}");
    assert_eq!(asked, [first.clone(), next(2), next(4)]);
    counted(
        &world.metrics,
        "tonegate_graph_lookups_total{result=\"ok\"} 1",
    );
    counted(&world.metrics, "tonegate_graph_lookup_seconds_count 1");
    let fetched = "tonegate_identity_token_fetches_total{upstream=\"graph\",result=\"ok\"} 1";
    counted(&world.metrics, fetched);
    world.was_sound();
}

#[tokio::test]
async fn c13_an_engineer_has_no_reports_and_a_stranger_is_not_found() {
    let world = World::usual().await;
    world.desk.employ(&id(7), []);
    let none = within("a list", world.graph.direct_reports(&person(7))).await;
    assert!(none.unwrap().is_empty());
    let stranger = within("no list", world.graph.direct_reports(&person(8))).await;
    assert_eq!(stranger.unwrap_err().kind, Kind::NotFound);
    assert_eq!(world.asked(), 2);
    world.was_sound();
}

#[tokio::test]
async fn c13_whom_graph_does_not_know_is_nobody() {
    let world = World::usual().await;
    let settings = world.peers.settings("", &[]);
    let store = Store::new(&settings.boot.store, world.metrics.clone()).unwrap();
    let roles = config::Roles {
        by: RolesBy::Graph,
        cache: Duration::ZERO,
    };
    let graph = Arc::new(world.graph);
    let roles = Roles::new(Some(&roles), Some(&graph), &Arc::new(store)).unwrap();
    let (roles, tenant) = (roles.unwrap(), person(1));
    let of = async |number| within("a standing", roles.standing(&tenant, &person(number))).await;
    assert_eq!(of(8).await.unwrap_err().reason, Reason::Forbidden);
    assert_eq!(of(MANAGER).await.unwrap().role, Role::Manager);
    world.desk.then([Trouble::Status(403)]);
    assert_ne!(of(MANAGER).await.unwrap_err().reason, Reason::Forbidden);
}

#[tokio::test]
async fn c12_an_identity_without_the_permission_learns_nothing() {
    let world = World::with("", "User.ReadBasic.All").await;
    world.fails(Kind::Forbidden).await;
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn c12_a_busy_graph_is_asked_again_when_it_says() {
    for status in [429, 503] {
        let world = World::usual().await;
        world.desk.then([Trouble::Later(status, 1)]);
        let begun = Instant::now();
        assert_eq!(world.ask().await.unwrap(), reports(5));
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!(world.asked(), 4);
        world.was_sound();
    }
    // Later than anybody waits.
    let world = World::usual().await;
    world.desk.then([Trouble::Later(429, 3600)]);
    world.fails(Kind::Busy).await;
    assert_eq!(world.asked(), 1);
    let world = World::usual().await;
    world.desk.then(vec![Trouble::Later(429, 0); 9]);
    world.fails(Kind::Busy).await;
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn c12_what_may_pass_is_asked_again() {
    for trouble in [500, 502, 504]
        .map(Trouble::Status)
        .into_iter()
        .chain([Trouble::Lost])
    {
        let world = World::usual().await;
        world.desk.then([trouble]);
        assert_eq!(world.ask().await.unwrap(), reports(5));
        assert_eq!(world.asked(), 4);
    }
}

#[tokio::test]
async fn c12_a_silent_graph_is_given_up() {
    let world = World::with("timeout = \"100ms\"\ntotal = \"400ms\"", PERMISSION).await;
    world
        .desk
        .then(vec![Trouble::Held(Duration::from_secs(60)); 9]);
    world.peers.given(|asked| asked.given.len() == 1).await;
    let begun = Instant::now();
    world.fails(Kind::Timeout).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Slow pages are bounded together, too.
    let world = World::with("timeout = \"300ms\"\ntotal = \"400ms\"", PERMISSION).await;
    world
        .desk
        .then(vec![Trouble::Held(Duration::from_millis(200)); 9]);
    world.fails(Kind::Timeout).await;
}

#[tokio::test]
async fn c09_a_refused_token_is_replaced_once() {
    let world = World::usual().await;
    world.desk.then([Trouble::Status(401)]);
    assert_eq!(world.ask().await.unwrap(), reports(5));
    let tokens: Vec<_> = world.desk.asked().into_iter().map(|a| a.token).collect();
    assert_eq!(tokens, [1, 2, 2, 2]);
    let world = World::usual().await;
    world.desk.then(vec![Trouble::Status(401); 9]);
    world.fails(Kind::Unauthorized).await;
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn c09_without_a_token_nobody_is_asked() {
    let peers = Peers::new(AUDIENCE, false, |_| {}).await;
    peers.platform.fail(1000);
    let world = World::before(peers, 2, "", &[]).await;
    let failure = world.ask().await.unwrap_err();
    assert_eq!(failure.kind, Kind::Unauthorized);
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn c09_a_service_account_asks_as_well() {
    let roles = |options: &mut platform::Options| options.roles = vec![PERMISSION.to_owned()];
    let peers = Peers::new(AUDIENCE, true, roles).await;
    let usual = platform::Options::loopback();
    let file = peers.folder.join("token");
    std::fs::write(&file, &usual.assertion).unwrap();
    let authority = format!("https://localhost:{}", peers.port);
    let file = file.display().to_string();
    let variables = [
        ("AZURE_FEDERATED_TOKEN_FILE", file.as_str()),
        ("AZURE_TENANT_ID", &usual.tenant),
        ("AZURE_CLIENT_ID", &usual.client_id),
        ("AZURE_AUTHORITY_HOST", &authority),
    ];
    let world = World::before(peers, 2, "", &variables).await;
    assert_eq!(world.ask().await.unwrap(), reports(5));
    assert_eq!(world.peers.platform.asked().given, ["workload"]);
    world.was_sound();
}

#[tokio::test]
async fn c12_a_graph_without_a_certificate_for_us_is_told_nothing() {
    let world = World::with("", PERMISSION).await;
    let other = tonegate::sim::certificate::Authority::new("another");
    std::fs::write(world.peers.folder.join("ca.pem"), other.pem()).unwrap();
    let table = format!(
        "[graph]\nmanaged_identity = true\nbase = \"{}\"\nroots = \"ca.pem\"\n\
         scope = \"{AUDIENCE}/.default\"\n",
        world.desk.base()
    );
    let settings = world.peers.settings(&table, &[]).live.graph.unwrap();
    let graph = Graph::new(settings, world.metrics.clone()).unwrap();
    world.peers.run(graph.identity());
    let refused = within("no list", graph.direct_reports(&person(MANAGER))).await;
    assert_eq!(refused.unwrap_err().kind, Kind::Unreachable);
    assert_eq!(world.asked(), 0);
}
