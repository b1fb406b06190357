//! Whose tokens the edge verifies, and who gives it tokens of its own.

use std::time::Duration;

use futures_util::future::join_all;
use humantime::format_duration;

use super::report::{Finding, Group};
use crate::admission::{Admission, KeysFailed};
use crate::config::pii::DetectorCredential;
use crate::config::{AcsCredential, Engine, IdentitySource, Login, ManagedIdentity, Settings};
use crate::label::Label;
use crate::metrics;
use crate::upstream::fetch;
use crate::upstream::identity::Identity;

/// The published keys of all issuers.
pub(super) async fn issuers(settings: &Settings, metrics: &metrics::Shared) -> Vec<Finding> {
    let keys = match Admission::new(&settings.live, metrics) {
        Ok(admission) => admission.issuer_keys(),
        // The settings have said why.
        Err(_) => Vec::new(),
    };
    if keys.is_empty() {
        let why = "there are no issuers of tokens";
        return vec![Finding::skipped(Group::Issuers, "issuers", why)];
    }
    let checks = keys.iter().map(|keys| async move {
        let about = keys.issuer().to_string();
        match keys.attempt().await {
            Ok(count) => {
                let text = format!("keys that can verify: {count}");
                Finding::ok(Group::Issuers, about, text)
            }
            Err(failed) => {
                let told = of_keys(&failed, &about);
                Finding::fail(Group::Issuers, about, told)
            }
        }
    });
    join_all(checks).await
}

fn of_keys(failed: &KeysFailed, issuer: &str) -> (String, String) {
    let at = format!("[issuers.{issuer}]");
    let text = format!("Its keys cannot be had: {failed}.");
    let fix = match failed {
        KeysFailed::Fetch(fetch::Failed::Status(_)) => {
            format!("Correct metadata or jwks of {at}: the document is not there.")
        }
        KeysFailed::Fetch(_) => "See the lines under dns and tls for its host.".to_owned(),
        KeysFailed::Metadata | KeysFailed::Place => {
            format!("Correct metadata of {at}: it must be an OpenID provider document.")
        }
        KeysFailed::Issuer => format!(
            "Make issuer (or tenants and authority) of {at} and the `issuer` of that document the same, \
             to the letter."
        ),
        KeysFailed::NoKeys => format!(
            "Look whether that is the right document: it must have keys for signatures, with a kid, of \
             the algorithms of {at}."
        ),
    };
    (text, fix)
}

/// Tokens for the edge itself, one of each identity that the settings name.
pub(super) async fn identities(settings: &Settings, metrics: &metrics::Shared) -> Vec<Finding> {
    let all = all(settings);
    if all.is_empty() {
        let why = "no credential of the settings is a token";
        return vec![Finding::skipped(Group::Identity, "tokens", why)];
    }
    let checks = all.into_iter().map(|(by, settings)| async move {
        let name = Label::new("doctor").expect("it is a label");
        let source = settings.source.clone();
        let scope = settings.scope.clone();
        let attempt = match Identity::new(name, settings, metrics.clone()) {
            Ok(identity) => identity.attempt().await,
            Err(error) => Err(error.to_string()),
        };
        match attempt {
            Ok(lasts) => {
                let lasts = format_duration(Duration::from_secs(lasts.as_secs()));
                let text = format!("a token for {scope}, good for {lasts}");
                Finding::ok(Group::Identity, by, text)
            }
            Err(why) => {
                let text = format!("There is no token for {scope}: {why}.");
                Finding::fail(Group::Identity, by, (text, of_source(&source)))
            }
        }
    });
    join_all(checks).await
}

fn of_source(source: &IdentitySource) -> &'static str {
    match source {
        IdentitySource::Imds { .. } => {
            "Assign a managed identity to this machine (of several, name one by client_id), or run \
             doctor where the edge runs: off Azure there is no metadata service."
        }
        IdentitySource::AppService { .. } => {
            "Switch on the identity of the app (of several, name one by client_id), and run doctor \
             inside it."
        }
        IdentitySource::Workload { .. } => {
            "Look at the federated credential of the application in Entra: issuer, subject \
             (system:serviceaccount:NAMESPACE:NAME) and audience must be those of the service account."
        }
        IdentitySource::Federated { .. } => {
            "Look at the federated credential of the application in Entra: its subject must be the \
             object id of this managed identity, its audience api://AzureADTokenExchange."
        }
        IdentitySource::Application { .. } => {
            "Look at application id, tenant and secret in [bot]: the secret may have ended (Entra: \
             Certificates & secrets)."
        }
    }
}

fn all(settings: &Settings) -> Vec<(String, ManagedIdentity)> {
    let live = &settings.live;
    let mut all = Vec::new();
    for upstream in &live.upstreams {
        if let Some(identity) = &upstream.credential.identity {
            all.push((format!("upstreams.{}", upstream.name), identity.clone()));
        }
    }
    if let Engine::Redis(redis) = &settings.boot.store.engine
        && let Login::Token { identity, .. } = &redis.login
    {
        all.push(("store".to_owned(), identity.clone()));
    }
    if let Some(acs) = &live.acs
        && let AcsCredential::Identity(identity) = &acs.credential
    {
        all.push(("acs".to_owned(), identity.clone()));
    }
    if let Some(graph) = &live.graph {
        all.push(("graph".to_owned(), graph.identity.clone()));
    }
    if let Some(bot) = &live.bot {
        all.push(("bot (connector)".to_owned(), bot.identity.clone()));
    }
    for detector in &live.pii_detectors {
        if let DetectorCredential::Identity(identity) = &detector.credential {
            all.push((format!("pii_detectors.{}", detector.name), identity.clone()));
        }
    }
    all
}
