//! What the edge shows an upstream: the caller's token, a key, a token for itself.

use std::path::PathBuf;

use super::Problems;
use super::federated;
use super::upstream::port;
use crate::config::env::Environment;
use crate::config::file;
use crate::config::{Credential, IdentitySource, KeyHeader, Kind, ManagedIdentity};
use crate::ids::is_guid;
use crate::label::Label;
use crate::secret::Secret;

/// The metadata service of Azure's virtual machines; never reached through a proxy.
const IMDS: &str = "http://169.254.169.254";
/// Whom Azure's own libraries ask in the public cloud.
pub(super) const AUTHORITY: &str = "https://login.microsoftonline.com";
/// What tokens for Voice Live and for Azure OpenAI are for.
const SCOPE: &str = "https://ai.azure.com/.default";

pub(super) fn credential(
    at: &str,
    written: &file::Upstream,
    kind: Kind,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<Credential> {
    let at = format!("{at}.credential");
    let usual = file::Credential::default();
    let written = written.credential.as_ref().unwrap_or(&usual);
    let header = match written.header.as_deref() {
        None | Some("api-key") => KeyHeader::ApiKey,
        Some("authorization") => KeyHeader::Authorization,
        Some(other) => {
            let what = format!("{other:?} must be \"api-key\" or \"authorization\"");
            problems.add(format!("{at}.header"), what);
            return None;
        }
    };
    let key = key(&at, written, problems)?;
    let identity = match written.managed_identity {
        true => Some(identity(&at, written, variables, problems)?),
        false => {
            of_identity(&at, written, problems);
            None
        }
    };
    if written.header.is_some() && key.is_none() {
        problems.add(
            format!("{at}.header"),
            "has a use with key or key_file only",
        );
    }
    let any = written.caller || key.is_some() || identity.is_some();
    if any == written.none {
        problems.add(
            &at,
            match (written.none, kind) {
                (true, _) => "none = true excludes every other credential",
                (false, Kind::VoiceLive) => {
                    "set key = \"${NAME}\", key_file = \"…\", managed_identity = true or \
                     caller = true"
                }
                (false, Kind::Relay | Kind::Http) => {
                    "set key = \"${NAME}\", key_file = \"…\", managed_identity = true, \
                     caller = true, or none = true if the upstream asks for none"
                }
            },
        );
        return None;
    }
    if written.none && kind == Kind::VoiceLive {
        problems.add(&at, "Voice Live serves nobody without a credential");
    }
    Some(Credential {
        caller: written.caller,
        key,
        header,
        identity,
        none: written.none,
    })
}

/// The key, from the settings or from a file; the outer `None` is a problem that has been told.
pub(super) fn key(
    at: &str,
    written: &file::Credential,
    problems: &mut Problems,
) -> Option<Option<Secret>> {
    let text = match (&written.key, &written.key_file) {
        (Some(key), None) => key.clone(),
        (None, Some(path)) => {
            let text = problems.read(&format!("{at}.key_file"), path)?;
            text.trim_end().to_owned()
        }
        (None, None) => return Some(None),
        (Some(_), Some(_)) => {
            problems.add(at, "key and key_file exclude each other");
            return None;
        }
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = "the key must be visible ASCII characters and not empty";
        problems.add(at, what);
        return None;
    }
    Some(Some(Secret::new(text)))
}

fn of_identity(at: &str, written: &file::Credential, problems: &mut Problems) {
    for (key, is_written) in [
        ("client_id", written.client_id.is_some()),
        ("federated", written.federated.is_some()),
        ("scope", written.scope.is_some()),
        ("roots", written.roots.is_some()),
    ] {
        if is_written {
            let what = "has a use with managed_identity = true only";
            problems.add(format!("{at}.{key}"), what);
        }
    }
}

/// An identity that the platform gives to the edge; `at` is what is told to hold it.
pub(super) fn identity(
    at: &str,
    written: &file::Credential,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<ManagedIdentity> {
    let scope = written.scope.as_deref().unwrap_or(SCOPE);
    problems.scope(&format!("{at}.scope"), scope);
    let client_id = match &written.client_id {
        Some(id) if !is_guid(id) => {
            problems.add(format!("{at}.client_id"), "must be a GUID");
            return None;
        }
        Some(id) => Some(problems.label(&format!("{at}.client_id"), id)?),
        None => None,
    };
    let source = source(at, written, client_id.clone(), variables, problems)?;
    let own = ManagedIdentity {
        source,
        client_id,
        scope: scope.to_owned(),
    };
    let Some(federated) = &written.federated else {
        return Some(own);
    };
    let roots = problems.roots(at, written.roots.as_deref())?;
    let application = federated::application(at, federated, roots, problems)?;
    Some(own.exchanged(application))
}

/// Who gives tokens here: what the platform set says it, in the order of Azure's own libraries.
fn source(
    at: &str,
    written: &file::Credential,
    client_id: Option<Label>,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<IdentitySource> {
    let roots = problems.roots(at, written.roots.as_deref())?;
    if let Some(token_file) = variables.get("AZURE_FEDERATED_TOKEN_FILE") {
        let mut label = |name: &str| match variables.get(name) {
            Some(value) => problems.label(&format!("{at}: {name}"), &value),
            None => {
                let what = format!("AZURE_FEDERATED_TOKEN_FILE is set, and {name} is not");
                problems.add(at, what);
                None
            }
        };
        let tenant = label("AZURE_TENANT_ID");
        let client_id = client_id.or_else(|| label("AZURE_CLIENT_ID"));
        let (tenant, client_id) = tenant.zip(client_id)?;
        return Some(IdentitySource::Workload {
            authority: base("AZURE_AUTHORITY_HOST", AUTHORITY, at, variables, problems)?,
            tenant,
            client_id,
            token_file: PathBuf::from(token_file),
            roots,
        });
    }
    if let Some(endpoint) = variables.get("IDENTITY_ENDPOINT") {
        return app_service(at, endpoint, variables, problems);
    }
    let name = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
    let base = base(name, IMDS, at, variables, problems)?;
    Some(IdentitySource::Imds { base })
}

fn app_service(
    at: &str,
    endpoint: String,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<IdentitySource> {
    let Some(header) = variables.get("IDENTITY_HEADER") else {
        problems.add(at, "IDENTITY_ENDPOINT is set, and IDENTITY_HEADER is not");
        return None;
    };
    let uri: Result<http::Uri, _> = endpoint.parse();
    let fits = uri.is_ok_and(|uri| {
        let port = uri.authority().and_then(|authority| port(authority, 80));
        uri.scheme_str() == Some("http") && port.is_some() && uri.query().is_none()
    });
    if !fits || !header.bytes().all(|b| b.is_ascii_graphic()) {
        let what = "IDENTITY_ENDPOINT must be http://host[:port]/path, and IDENTITY_HEADER \
                    visible ASCII characters";
        problems.add(at, what);
        return None;
    }
    Some(IdentitySource::AppService {
        endpoint,
        header: Secret::new(header),
    })
}

/// A server's address out of a variable: the scheme of `usual`, a host, a port, and nothing else.
fn base(
    name: &str,
    usual: &str,
    at: &str,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<String> {
    let base = variables.get(name).unwrap_or_else(|| usual.to_owned());
    let scheme = usual.split_inclusive("//").next().unwrap_or_default();
    let base = bare(&base, scheme);
    if base.is_none() {
        problems.add(at, format!("{name} must be {scheme}host[:port]"));
    }
    base
}

/// A scheme, a host, a port, and nothing else; without a slash at the end.
fn bare(text: &str, scheme: &str) -> Option<String> {
    let base = text.trim_end_matches('/');
    let rest = base.strip_prefix(scheme)?;
    if rest.is_empty() || rest.contains(['/', '?', '#', '@']) {
        return None;
    }
    let uri: http::Uri = base.parse().ok()?;
    port(uri.authority()?, 80)?;
    Some(base.to_owned())
}

impl Problems {
    /// What tokens are asked for, if it is that.
    pub(super) fn scope(&mut self, at: &str, scope: &str) -> Option<String> {
        let fits = scope.strip_suffix("/.default").is_some_and(|resource| {
            !resource.is_empty() && resource.bytes().all(|b| b.is_ascii_graphic())
        });
        if !fits {
            let what = "must end in /.default, such as \"https://ai.azure.com/.default\"";
            self.add(at, what);
        }
        fits.then(|| scope.to_owned())
    }

    /// Where Entra gives tokens, if it is that.
    pub(super) fn authority(&mut self, at: &str, text: &str) -> Option<String> {
        let authority = bare(text, "https://");
        if authority.is_none() {
            self.add(at, "must be https://host[:port], without a path");
        }
        authority
    }
}
