//! Whether Call Automation and Graph take what the edge shows them. Neither is asked for anything that
//! exists: a `404` says that the credential is good.

use super::report::{Finding, Group};
use crate::config::{AcsCredential, Settings};
use crate::ids::{EntraId, ForeignId, random_guid};
use crate::metrics;
use crate::upstream::call_automation::{self, CallAutomation};
use crate::upstream::graph::{self, Graph};

pub(super) async fn check(settings: &Settings, metrics: &metrics::Shared) -> Vec<Finding> {
    let live = &settings.live;
    let (acs, graph) = tokio::join!(
        async {
            match &live.acs {
                None => None,
                Some(acs) => Some(call_automation(acs.clone(), metrics).await),
            }
        },
        async {
            match &live.graph {
                None => None,
                Some(graph) => Some(directory(graph.clone(), metrics).await),
            }
        }
    );
    let findings: Vec<Finding> = acs.into_iter().chain(graph).collect();
    if findings.is_empty() {
        let why = "there is neither [acs] nor [graph]";
        return vec![Finding::skipped(Group::Azure, "services", why)];
    }
    findings
}

async fn call_automation(settings: crate::config::Acs, metrics: &metrics::Shared) -> Finding {
    let about = "acs";
    let is_key = matches!(settings.credential, AcsCredential::Key(_));
    let fail = |text: String, fix: &str| Finding::fail(Group::Azure, about, (text, fix));
    let acs = match CallAutomation::new(settings, metrics.clone()) {
        Ok(acs) => acs,
        Err(error) => return fail(format!("It cannot be asked: {error}."), "Correct [acs]."),
    };
    let nobody = ForeignId::new(&random_guid()).expect("a GUID is one");
    let look = acs.look(&nobody);
    let looked = match acs.identity() {
        None => look.await,
        Some(identity) => tokio::select! {
            looked = look => looked,
            () = identity.run() => unreachable!("tokens are fetched for ever"),
        },
    };
    use call_automation::Kind;
    let Err(failure) = looked else {
        return Finding::ok(Group::Azure, about, "it takes the credential");
    };
    let status = failure
        .status
        .map(|status| format!(" ({})", status.as_u16()));
    let status = status.unwrap_or_default();
    match failure.kind {
        // A call of this name there is not; whoever may not ask is not told so.
        Kind::NotFound => Finding::ok(Group::Azure, about, "it takes the credential"),
        Kind::Unauthorized if is_key => fail(
            format!("It refuses the access key{status}."),
            "Set the key of [acs] to one of the resource's (portal: Keys); where access keys are \
             disabled, use managed_identity.",
        ),
        Kind::Unauthorized => fail(
            format!("It refuses the identity's token{status}."),
            "Give the identity the role Contributor on the Communication Services resource.",
        ),
        // It knew who asks before it judged what is asked.
        Kind::Refused if failure.status.is_some_and(|status| status == 400) => {
            Finding::ok(Group::Azure, about, "it takes the credential")
        }
        Kind::Unreachable
        | Kind::Timeout
        | Kind::Busy
        | Kind::Failed
        | Kind::Refused
        | Kind::Malformed => fail(
            format!(
                "It did not answer as it should{status}: {}.",
                failure.detail
            ),
            "See the lines under dns and tls, and whether url of [acs] is that of the resource.",
        ),
    }
}

async fn directory(settings: crate::config::Graph, metrics: &metrics::Shared) -> Finding {
    let about = "graph";
    let fail = |text: String, fix: &str| Finding::fail(Group::Azure, about, (text, fix));
    let graph = match Graph::new(settings, metrics.clone()) {
        Ok(graph) => graph,
        Err(error) => return fail(format!("It cannot be asked: {error}."), "Correct [graph]."),
    };
    let nobody = EntraId::new(&random_guid()).expect("a GUID is one");
    let identity = graph.identity();
    let asked = tokio::select! {
        asked = graph.direct_reports(&nobody) => asked,
        () = identity.run() => unreachable!("tokens are fetched for ever"),
    };
    use graph::Kind;
    let Err(failure) = asked else {
        return Finding::ok(Group::Azure, about, "it tells who reports to whom");
    };
    let status = failure
        .status
        .map(|status| format!(" ({})", status.as_u16()));
    let status = status.unwrap_or_default();
    match failure.kind {
        Kind::NotFound => Finding::ok(Group::Azure, about, "it tells who reports to whom"),
        Kind::Forbidden => fail(
            format!("The identity may not read the directory{status}."),
            "Grant its service principal the application permission User.Read.All of Microsoft Graph, \
             with admin consent; that takes minutes.",
        ),
        Kind::Unauthorized => fail(
            format!("It refuses the identity's token, or there is none{status}."),
            "See the lines under identity, and whether the identity is of the tenant that is asked about.",
        ),
        Kind::Unreachable
        | Kind::Timeout
        | Kind::Busy
        | Kind::Failed
        | Kind::Refused
        | Kind::Malformed
        | Kind::TooMany => fail(
            format!(
                "It did not answer as it should{status}: {}.",
                failure.detail
            ),
            "See the lines under dns and tls.",
        ),
    }
}
