//! `[graph]`: whom the edge asks who reports to whom, and with which token.

use std::time::Duration;

use super::Problems;
use super::acs::read;
use super::credential;
use crate::config::Graph;
use crate::config::env::Environment;
use crate::config::file::{self, File};

/// The public cloud; others have hosts of their own.
const BASE: &str = "https://graph.microsoft.com";
const TIMEOUT: Duration = Duration::from_secs(5);
/// A person waits meanwhile.
const TOTAL: Duration = Duration::from_secs(10);
const TOTAL_MAX: Duration = Duration::from_secs(60);

/// `None`: nobody is asked, or something is wrong with how, which has been told.
pub(super) fn graph(
    file: &File,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<Graph> {
    let written = file.graph.as_ref()?;
    let base = written.base.as_deref().unwrap_or(BASE);
    let place = read(base, "https").filter(|(place, path)| place.secure && path.is_empty());
    if place.is_none() {
        problems.add("graph.base", "must be https://host[:port], without a path");
    }
    let roots = problems.roots("graph", written.roots.as_deref());
    let timeout = written.timeout.unwrap_or(TIMEOUT);
    let total = written.total.unwrap_or(TOTAL);
    bounds("graph", timeout, total, problems);
    if !written.managed_identity {
        let what = "set managed_identity = true: Graph answers a token that the platform gives to \
                    the edge";
        problems.add("graph", what);
        return None;
    }
    // Each cloud's tokens are for its own Graph.
    let scope = || format!("{}/.default", base.trim_end_matches('/'));
    let asked = file::Credential {
        managed_identity: true,
        client_id: written.client_id.clone(),
        federated: written.federated.clone(),
        scope: Some(written.scope.clone().unwrap_or_else(scope)),
        roots: written.roots.clone().filter(|_| roots.is_some()),
        ..file::Credential::default()
    };
    let identity = credential::identity("graph", &asked, variables, problems);
    let (place, _) = place?;
    Some(Graph {
        host: place.host,
        port: place.port,
        roots: roots?,
        identity: identity?,
        timeout,
        total,
    })
}

/// One request within all of them, and all of them within what anybody waits.
pub(super) fn bounds(at: &str, timeout: Duration, total: Duration, problems: &mut Problems) {
    if timeout.is_zero() || timeout > total {
        problems.add(
            format!("{at}.timeout"),
            "must be more than 0 and at most total",
        );
    }
    if total > TOTAL_MAX {
        problems.add(format!("{at}.total"), "must be at most 60s");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IdentitySource, Roots};

    fn resolve(lines: &[&str]) -> Result<Graph, Vec<String>> {
        let variables =
            Environment::of([("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")]);
        let text = format!("[graph]\n{}\n", lines.join("\n"));
        let file = file::read_text("edge.toml", &text, &variables)
            .map_err(|error| vec![error.to_string()])?;
        let mut problems = Problems::default();
        match (
            graph(&file, &variables, &mut problems),
            problems.0.is_empty(),
        ) {
            (Some(graph), true) => Ok(graph),
            (_, _) => Err(problems.0),
        }
    }

    const IDENTITY: &str = "managed_identity = true";

    #[test]
    fn c12_a_managed_identity_is_enough_and_each_cloud_has_its_own_scope() {
        let graph = resolve(&[IDENTITY]).unwrap();
        assert_eq!(
            (graph.host.as_str(), graph.port),
            ("graph.microsoft.com", 443)
        );
        assert_eq!(graph.identity.scope, "https://graph.microsoft.com/.default");
        assert!(matches!(graph.roots, Roots::System));
        assert!(matches!(graph.identity.source, IdentitySource::Imds { .. }));
        assert_eq!((graph.timeout, graph.total), (TIMEOUT, TOTAL));
        let graph = resolve(&[IDENTITY, "base = \"https://graph.microsoft.us/\""]).unwrap();
        assert_eq!(graph.identity.scope, "https://graph.microsoft.us/.default");
        let lines = [
            IDENTITY,
            "base = \"https://localhost:8443\"",
            "scope = \"https://graph.microsoft.com/.default\"",
            "client_id = \"99999999-8888-7777-6666-555555555555\"",
            "timeout = \"1s\"",
            "total = \"1s\"",
        ];
        let graph = resolve(&lines).unwrap();
        assert_eq!((graph.host.as_str(), graph.port), ("localhost", 8443));
        assert!(graph.identity.client_id.is_some());
    }

    #[test]
    fn c12_an_application_that_trusts_the_identity_is_named_whole() {
        const APPLICATION: &str = "federated = { tenant = \"11111111-2222-3333-4444-55555555555A\", \
                                   client_id = \"99999999-8888-7777-6666-555555555555\" }";
        let id = "client_id = \"77777777-8888-7777-6666-555555555555\"";
        let graph = resolve(&[IDENTITY, id, APPLICATION]).unwrap();
        assert_eq!(graph.identity.scope, "https://graph.microsoft.com/.default");
        let IdentitySource::Federated {
            own,
            authority,
            tenant,
            client_id,
            ..
        } = graph.identity.source
        else {
            panic!("a federated identity was meant");
        };
        assert_eq!(own.scope, "api://AzureADTokenExchange/.default");
        assert!(own.client_id.unwrap().as_str().starts_with("77777777"));
        assert_eq!(authority, "https://login.microsoftonline.com");
        assert_eq!(tenant.as_str(), "11111111-2222-3333-4444-55555555555a");
        assert!(client_id.as_str().starts_with("99999999"));
        for (from, to, place) in [
            ("tenant = ", "client = ", "client"),
            ("99999999-", "", "graph.federated.client_id"),
            (
                "11111111-2222-3333-4444-55555555555A",
                "common",
                "graph.federated.tenant",
            ),
            (
                " }",
                ", authority = \"http://a\" }",
                "graph.federated.authority",
            ),
        ] {
            let wrong = APPLICATION.replace(from, to);
            let problems = resolve(&[IDENTITY, &wrong]).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(place), "{problems:?}");
        }
        let problems = resolve(&[IDENTITY, "federated = {}"]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn c12_every_mistake_is_told() {
        for (lines, place) in [
            (vec![], "graph: set managed_identity"),
            (vec![IDENTITY, "base = \"http://127.0.0.1\""], "graph.base"),
            (vec![IDENTITY, "base = \"https://x/v1.0\""], "graph.base"),
            (vec![IDENTITY, "base = \"https://a@x\""], "graph.base"),
            (vec![IDENTITY, "scope = \"x\""], "graph.scope"),
            (vec![IDENTITY, "client_id = \"x\""], "graph.client_id"),
            (vec![IDENTITY, "federated = true"], "federated"),
            (vec![IDENTITY, "roots = \"/no/such\""], "graph.roots"),
            (vec![IDENTITY, "timeout = \"0s\""], "graph.timeout"),
            (vec![IDENTITY, "timeout = \"11s\""], "graph.timeout"),
            (vec![IDENTITY, "total = \"61s\""], "graph.total"),
        ] {
            let problems = resolve(&lines).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(place), "{lines:?}: {problems:?}");
        }
    }
}
