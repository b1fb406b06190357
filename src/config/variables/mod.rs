//! Settings from variables alone, under the names of the old Node proxy and of its successor.
//!
//! What those left open must be decided here: who may enter, a certificate or plain text, which
//! pages may connect. Everything that is missing is told at once, with the line to add. What comes
//! out is a table as a file would have it, judged like one.

mod azure;
mod doors;
mod reader;

use toml::Table;

use self::reader::Reader;
use super::env::Environment;

/// Told instead of the names that the settings have in a file.
const NAMES: [(&str, &str); 16] = [
    ("server.tls.certificate", "TONEGATE_CERTIFICATE"),
    ("server.tls.key", "TONEGATE_PRIVATE_KEY"),
    ("limits", "MAX_CONNECTIONS or MAX_FRAME_BYTES"),
    ("keys.client.sha256", "TONEGATE_KEY_SHA256"),
    ("issuers.entra.tenants", "TONEGATE_TENANTS"),
    ("issuers.entra.audience", "TONEGATE_AUDIENCE"),
    ("upstreams.azure.resource", "AZURE_AI_FOUNDRY_RESOURCE"),
    ("upstreams.azure.url", "TONEGATE_UPSTREAM_URL"),
    ("upstreams.azure.credential", "AZURE_SPEECH_KEY"),
    ("upstreams.azure.api_version", "API_VERSION"),
    ("hops.networks", "TRUST_PROXY"),
    ("routes.ws.admit", "TONEGATE_ADMIT"),
    ("routes.ws.origins", "ALLOWED_ORIGINS"),
    ("routes.ws.models", "TONEGATE_MODELS"),
    ("routes.ws.agents", "AGENT_ID or FOUNDRY_AGENT_NAME"),
    ("routes.ws.projects", "PROJECT_NAME or FOUNDRY_PROJECT_NAME"),
];

/// A table of settings, what is wrong or missing in it, and what whoever set the variables should
/// know.
pub(super) struct Written {
    pub(super) table: Table,
    pub(super) problems: Vec<String>,
    pub(super) notices: Vec<String>,
}

/// Writes the settings that the variables mean.
pub(super) fn write(variables: &Environment) -> Written {
    let mut reader = Reader {
        variables,
        problems: Vec::new(),
        notices: Vec::new(),
    };
    let mut table = Table::new();
    reader.server(&mut table);
    reader.hops(&mut table);
    reader.limits(&mut table);
    let admit = reader.admit(&mut table);
    reader.upstream(&mut table, &admit);
    reader.route(&mut table, &admit);
    if variables
        .get("APPLICATIONINSIGHTS_CONNECTION_STRING")
        .is_some()
    {
        let text = "APPLICATIONINSIGHTS_CONNECTION_STRING has no effect: Prometheus scrapes \
                    /metrics on 127.0.0.1:9464";
        reader.notices.push(text.to_owned());
    }
    Written {
        table,
        problems: reader.problems,
        notices: reader.notices,
    }
}

/// Problems that were found in the table, under the names of the variables that they came from. If
/// more is wrong already, what is missing has been told: then only what is there is judged.
pub(super) fn rename(
    found: Vec<String>,
    told: Vec<String>,
    variables: &Environment,
) -> Vec<String> {
    let mut problems = told;
    let complete = problems.is_empty();
    for problem in found {
        let named = NAMES.iter().find_map(|(key, name)| {
            let rest = problem.strip_prefix(key)?;
            rest.starts_with([':', '.'])
                .then(|| (*name, format!("{name}{rest}")))
        });
        match named {
            Some((name, text)) if complete || is_set(name, variables) => problems.push(text),
            None if complete => problems.push(problem),
            Some(_) | None => {}
        }
    }
    problems
}

fn is_set(names: &str, variables: &Environment) -> bool {
    names
        .split(" or ")
        .any(|name| variables.get(name).is_some())
}
