//! Upstreams, and what they are shown.

use std::fmt::Write as _;

use humantime::format_duration;

use super::pacing;
use crate::config::{
    Credential, IdentitySource, KeyHeader, ManagedIdentity, Roots, Service, Settings,
};

pub(super) fn upstreams(settings: &Settings, out: &mut String) -> std::fmt::Result {
    for upstream in &settings.live.upstreams {
        let (scheme, roots) = match &upstream.roots {
            None => ("ws", "plain text"),
            Some(Roots::System) => ("wss", "roots of the system"),
            Some(Roots::Pem(_)) => ("wss", "roots from a file"),
        };
        let target = match &upstream.service {
            Service::VoiceLive(versions) => {
                format!("/voice-live/realtime?api-version={}", versions.web_socket)
            }
            Service::Relay(to) => to.path.clone(),
            Service::Http(app) => format!("{}/", app.base),
        };
        writeln!(
            out,
            "upstream  {}: {scheme}://{}:{}{target}, {}, {roots}, connect {}, total {}",
            upstream.name,
            upstream.host,
            upstream.port,
            credential(&upstream.credential),
            format_duration(upstream.connect),
            format_duration(upstream.total),
        )?;
        pacing::of(upstream, out)?;
        if let Service::Relay(to) = &upstream.service {
            let names: Vec<_> = to.headers.iter().map(|(name, _)| name.as_str()).collect();
            writeln!(
                out,
                "          model in {}, subprotocol {}, headers {}, identity headers {}",
                to.model_parameter,
                to.subprotocol.as_deref().unwrap_or("none"),
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
                if to.identity_headers { "yes" } else { "no" },
            )?;
        }
    }
    Ok(())
}

/// In the order in which they are tried.
fn credential(credential: &Credential) -> String {
    let mut words = Vec::new();
    if credential.caller {
        words.push("the caller's token".to_owned());
    }
    if credential.key.is_some() {
        words.push(match credential.header {
            KeyHeader::ApiKey => "key *** in api-key".to_owned(),
            KeyHeader::Authorization => "key *** in Authorization".to_owned(),
        });
    }
    if let Some(identity) = &credential.identity {
        words.push(token(identity));
    }
    if words.is_empty() {
        words.push("no credential".to_owned());
    }
    words.join(", else ")
}

pub(super) fn token(identity: &ManagedIdentity) -> String {
    let who = match &identity.client_id {
        Some(id) => format!(" ({id})"),
        None => String::new(),
    };
    let from = match &identity.source {
        IdentitySource::Imds { .. } => "the metadata service",
        IdentitySource::AppService { .. } => "App Service",
        IdentitySource::Workload { .. } => "workload identity",
        IdentitySource::Federated { .. } => "Entra, which trusts the platform's identity",
        IdentitySource::Application { .. } => "Entra with the secret ***",
    };
    format!("a token of {from}{who} for {}", identity.scope)
}
