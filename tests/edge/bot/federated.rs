//! An application that trusts the edge's managed identity: a token of the one is exchanged for a token of
//! the other, in whatever tenant that is.

use std::sync::Arc;
use std::time::Duration;

use tonegate::ids::EntraId;
use tonegate::metrics::Metrics;
use tonegate::sim::connector::{self, Connector as SimulatedConnector};
use tonegate::sim::graph::{self, Graph as SimulatedGraph, PERMISSION, Report};
use tonegate::sim::platform::{Desk, Options, Platform};
use tonegate::upstream::connector::{Connector, Reference};
use tonegate::upstream::graph::{Graph, Kind};

use super::peers::{Peers, counted};
use crate::harness::within;

const EXCHANGE: &str = "api://AzureADTokenExchange";
/// The managed identity.
const OWN: &str = "77777777-8888-7777-6666-555555555555";
const MANAGER: &str = "0000aaaa-1111-4222-8333-0123456789ab";
const REPORT: &str = "0000bbbb-1111-4222-8333-0123456789ab";

/// Entra, where `resource` has an application that trusts the identity of another platform.
struct Trusting {
    own: Arc<Desk>,
    own_port: u16,
    entra: Peers,
}

impl Trusting {
    async fn with(resource: &str, change: impl FnOnce(&mut Options)) -> Trusting {
        let own = Platform::bind(Options {
            resource: EXCHANGE.to_owned(),
            client_id: OWN.to_owned(),
            ..Options::loopback()
        });
        let own = own.await.unwrap();
        let (desk, own_port) = (own.desk(), own.address().port());
        let trusted = desk.clone();
        let entra = Peers::new(resource, true, |options| {
            options.trusts = Some(trusted);
            options.roles = vec![PERMISSION.to_owned()];
            change(options);
        });
        let entra = entra.await;
        tokio::spawn(own.serve(entra.stop.clone()));
        Trusting {
            own: desk,
            own_port,
            entra,
        }
    }

    fn authority(&self) -> String {
        format!("https://localhost:{}", self.entra.port)
    }

    /// The settings of these tables, on a virtual machine with the identity.
    fn settings(&self, tables: &str) -> tonegate::config::Settings {
        let imds = format!("http://127.0.0.1:{}", self.own_port);
        let imds = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str())];
        self.entra.settings(tables, &imds)
    }

    async fn graph(&self) -> (Arc<graph::Desk>, Graph, Arc<Metrics>) {
        let simulated = SimulatedGraph::bind(graph::Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            identity: Some(self.entra.identity()),
            provider: self.entra.provider.clone(),
            tenant: Options::loopback().tenant,
            page: 2,
        });
        let simulated = simulated.await.unwrap();
        let desk = simulated.desk();
        tokio::spawn(simulated.serve(self.entra.stop.clone()));
        desk.employ(MANAGER, [Report::User(REPORT.to_owned())]);
        let Options {
            tenant, client_id, ..
        } = Options::loopback();
        let settings = self.settings(&format!(
            "[graph]\nmanaged_identity = true\nclient_id = \"{OWN}\"\nroots = \"ca.pem\"\n\
             federated = {{ tenant = \"{tenant}\", client_id = \"{client_id}\", authority = \"{}\" }}\n\
             base = \"{}\"\nscope = \"{}/.default\"\n",
            self.authority(),
            desk.base(),
            graph::AUDIENCE,
        ));
        let metrics = Arc::new(Metrics::new());
        let graph = Graph::new(settings.live.graph.unwrap(), metrics.clone()).unwrap();
        (desk, graph, metrics)
    }

    fn was_sound(&self) {
        assert_eq!(self.own.asked().refused, [""; 0]);
        assert_eq!(self.entra.platform.asked().refused, [""; 0]);
    }
}

fn manager() -> EntraId {
    EntraId::new(MANAGER).unwrap()
}

#[tokio::test]
async fn c12_graph_is_shown_a_token_of_an_application_that_trusts_the_identity() {
    let trusting = Trusting::with(graph::AUDIENCE, |_| ()).await;
    let (desk, graph, metrics) = trusting.graph().await;
    trusting.entra.run(graph.identity());
    for _ in 0..2 {
        let reports = within("a list", graph.direct_reports(&manager())).await;
        let reports: Vec<_> = reports.unwrap().iter().map(EntraId::to_string).collect();
        assert_eq!(reports, [REPORT]);
    }
    assert_eq!(trusting.own.asked().given, ["imds"]);
    assert_eq!(trusting.entra.platform.asked().given, ["federated"]);
    assert_eq!(desk.violations(), [""; 0]);
    trusting.was_sound();
    let fetched = "tonegate_identity_token_fetches_total{upstream=\"graph\",result=\"ok\"} 1";
    counted(&metrics, fetched);
}

#[tokio::test]
async fn c12_each_renewal_shows_a_token_of_its_own() {
    let lasts = |options: &mut Options| options.lasts = Duration::from_secs(2);
    let trusting = Trusting::with(graph::AUDIENCE, lasts).await;
    let (_, graph, _) = trusting.graph().await;
    trusting.entra.run(graph.identity());
    let given = trusting.entra.given(|asked| asked.given.len() >= 2).await;
    assert!(given.given.iter().all(|service| *service == "federated"));
    // The simulated Entra takes none but the last that the identity was given.
    assert!(trusting.own.asked().given.len() >= 2);
    trusting.was_sound();
}

#[tokio::test]
async fn c12_without_the_identitys_own_token_the_application_is_not_asked_for_one() {
    let trusting = Trusting::with(graph::AUDIENCE, |_| ()).await;
    let (desk, graph, metrics) = trusting.graph().await;
    trusting.own.fail(1);
    trusting.entra.run(graph.identity());
    let failure = within("a failure", graph.direct_reports(&manager())).await;
    assert_eq!(failure.unwrap_err().kind, Kind::Unauthorized);
    let asked = trusting.entra.platform.asked();
    assert_eq!((asked.given.len(), asked.refused.len()), (0, 0));
    let failed = "tonegate_identity_token_fetches_total{upstream=\"graph\",result=\"failed\"} 1";
    counted(&metrics, failed);
    assert_eq!(desk.asked().len(), 0);
    // A second later it is asked again, and all is well.
    trusting.entra.given(|asked| asked.given.len() == 1).await;
    let reports = within("a list", graph.direct_reports(&manager())).await;
    assert_eq!(reports.unwrap().len(), 1);
}

#[tokio::test]
async fn c12_an_application_that_trusts_somebody_else_gives_no_token() {
    let other = Platform::bind(Options::loopback()).await.unwrap().desk();
    let trusting = Trusting::with(graph::AUDIENCE, |options| options.trusts = Some(other)).await;
    let (desk, graph, _) = trusting.graph().await;
    trusting.entra.run(graph.identity());
    let failure = within("a failure", graph.direct_reports(&manager())).await;
    assert_eq!(failure.unwrap_err().kind, Kind::Unauthorized);
    let asked = trusting.entra.platform.asked();
    assert_eq!(asked.refused, ["a field of the form is wrong"]);
    assert_eq!((asked.given.len(), desk.asked().len()), (0, 0));
}

#[tokio::test]
async fn c22_a_bots_registration_trusts_a_managed_identity() {
    let trusting = Trusting::with(connector::AUDIENCE, |_| ()).await;
    let Options {
        tenant, client_id, ..
    } = Options::loopback();
    let simulated = SimulatedConnector::bind(connector::Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        identity: Some(trusting.entra.identity()),
        provider: trusting.entra.provider.clone(),
        tenant: tenant.clone(),
        app_id: client_id.clone(),
        prefix: "/amer".to_owned(),
    });
    let simulated = simulated.await.unwrap();
    let desk = simulated.desk();
    tokio::spawn(simulated.serve(trusting.entra.stop.clone()));
    desk.open(super::connector::CONVERSATION);
    let settings = trusting.settings(&format!(
        "[bot]\napp_id = \"{client_id}\"\ntenant = \"{tenant}\"\nmanaged_identity = true\n\
         client_id = \"{OWN}\"\nfederated = true\nauthority = \"{}\"\nroots = \"ca.pem\"\n\
         service_urls = [\"{}\"]\n",
        trusting.authority(),
        desk.base(),
    ));
    let bot = Connector::new(settings.live.bot.unwrap(), Arc::new(Metrics::new())).unwrap();
    trusting.entra.run(bot.identity());
    let to: Reference = super::connector::at(&desk.service_url());
    let sent = within("a reply", bot.reply(&to, Some("1700000000000"), "No.")).await;
    sent.unwrap();
    assert_eq!(trusting.own.asked().given, ["imds"]);
    assert_eq!(trusting.entra.platform.asked().given, ["federated"]);
    assert_eq!((desk.taken().len(), desk.violations().len()), (1, 0));
    trusting.was_sound();
}
