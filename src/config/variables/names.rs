//! The names of the variables: which there are, what each is called in a file of settings, and what
//! becomes of a name that nobody reads.

use crate::config::env::Environment;

use super::reader::Reader;

/// Every variable that means something here. The example shows them all.
const KNOWN: [&str; 40] = [
    "AGENT_ID",
    "ALLOWED_ORIGINS",
    "API_VERSION",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_AI_FOUNDRY_RESOURCE",
    "AZURE_CLIENT_ID",
    "AZURE_SPEECH_KEY",
    "FOUNDRY_AGENT_NAME",
    "FOUNDRY_API_KEY",
    "FOUNDRY_PROJECT_NAME",
    "FOUNDRY_RESOURCE_NAME",
    "MAX_CONNECTIONS",
    "MAX_FRAME_BYTES",
    "PORT",
    "PROJECT_NAME",
    "RATE_LIMIT_MAX_REQUESTS",
    "RATE_LIMIT_WINDOW_MS",
    "TONEGATE_ADDRESS",
    "TONEGATE_ADMIN",
    "TONEGATE_ADMIN_TOKEN",
    "TONEGATE_ADMIN_TOKEN_SHA256",
    "TONEGATE_ADMIT",
    "TONEGATE_AGENTS",
    "TONEGATE_API_VERSIONS",
    "TONEGATE_AUDIENCE",
    "TONEGATE_CERTIFICATE",
    "TONEGATE_KEY_SHA256",
    "TONEGATE_LOG",
    "TONEGATE_MANAGED_IDENTITY",
    "TONEGATE_MODELS",
    "TONEGATE_PASS",
    "TONEGATE_PLAIN_TEXT",
    "TONEGATE_PRIVATE_KEY",
    "TONEGATE_PROJECTS",
    "TONEGATE_SCRAPE_TOKEN_SHA256",
    "TONEGATE_TENANTS",
    "TONEGATE_UPSTREAM_ROOTS",
    "TONEGATE_UPSTREAM_URL",
    "TONEGATE_WEBRTC",
    "TRUST_PROXY",
];

/// What the platform sets where it gives the edge an identity; nobody writes these by hand.
const OF_PLATFORM: [&str; 6] = [
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
];

/// What a problem is called in a file of settings, and the variables that it may have come from. A
/// key that begins another stands behind it.
const ORIGINS: [(&str, &[&str]); 25] = [
    ("server.admin_token", &["TONEGATE_ADMIN_TOKEN_SHA256"]),
    ("server.scrape_token", &["TONEGATE_SCRAPE_TOKEN_SHA256"]),
    ("server.admin", &["TONEGATE_ADMIN"]),
    ("server.tls.certificate", &["TONEGATE_CERTIFICATE"]),
    ("server.tls.key", &["TONEGATE_PRIVATE_KEY"]),
    ("limits", &["MAX_CONNECTIONS", "MAX_FRAME_BYTES"]),
    ("keys.client.sha256", &["TONEGATE_KEY_SHA256"]),
    ("issuers.entra.tenants", &["TONEGATE_TENANTS"]),
    ("issuers.entra.audience", &["TONEGATE_AUDIENCE"]),
    ("hops.networks", &["TRUST_PROXY"]),
    ("hops.tenants", &["TONEGATE_TENANTS"]),
    (
        "upstreams.azure.resource",
        &["AZURE_AI_FOUNDRY_RESOURCE", "FOUNDRY_RESOURCE_NAME"],
    ),
    ("upstreams.azure.url", &["TONEGATE_UPSTREAM_URL"]),
    ("upstreams.azure.roots", &["TONEGATE_UPSTREAM_ROOTS"]),
    (
        "upstreams.azure.credential",
        &[
            "AZURE_SPEECH_KEY",
            "FOUNDRY_API_KEY",
            "TONEGATE_MANAGED_IDENTITY",
        ],
    ),
    ("upstreams.azure.api_version", &["API_VERSION"]),
    (
        "upstreams.azure",
        &[
            "AZURE_AI_FOUNDRY_RESOURCE",
            "FOUNDRY_RESOURCE_NAME",
            "TONEGATE_UPSTREAM_URL",
        ],
    ),
    ("routes.ws.admit", &["TONEGATE_ADMIT"]),
    // Of a route to one upstream this can be wrong: it takes nothing but tokens, of some audiences.
    (
        "routes.ws.upstreams",
        &["TONEGATE_ADMIT", "TONEGATE_AUDIENCE"],
    ),
    ("routes.ws.origins", &["ALLOWED_ORIGINS"]),
    ("routes.ws.models", &["TONEGATE_MODELS"]),
    (
        "routes.ws.agents",
        &["AGENT_ID", "FOUNDRY_AGENT_NAME", "TONEGATE_AGENTS"],
    ),
    (
        "routes.ws.projects",
        &["PROJECT_NAME", "FOUNDRY_PROJECT_NAME", "TONEGATE_PROJECTS"],
    ),
    ("routes.ws.pass", &["TONEGATE_PASS"]),
    ("routes.ws.api_versions", &["TONEGATE_API_VERSIONS"]),
];

/// What is so only because something else is wrong, which has been told.
const FOLLOWS: [&str; 2] = [
    "routes.ws.admit: ",
    "routes.ws.upstreams: there is no usable upstream",
];

/// Advice that a file could follow and variables cannot.
const OF_FILES: &str = ", or write plain_text = true";

/// Problems that were found in the table, under the names of the variables that they came from. If
/// more is wrong already, what is missing has been told: then only what is there is judged.
pub(in crate::config) fn rename(
    found: Vec<String>,
    told: Vec<String>,
    variables: &Environment,
) -> Vec<String> {
    let complete = told.is_empty();
    let mut problems = told;
    for problem in &found {
        if FOLLOWS.iter().any(|start| problem.starts_with(start)) {
            continue;
        }
        let origin = ORIGINS.iter().find_map(|(key, names)| {
            let rest = problem.strip_prefix(key)?;
            rest.starts_with([':', '.']).then_some((*names, rest))
        });
        let text = match origin {
            Some((names, rest)) => {
                let set = set(names, variables);
                if set.is_empty() && !complete {
                    continue;
                }
                let names = if set.is_empty() { names } else { &set };
                format!("{}{}", listed(names, "or"), rest.replace(OF_FILES, ""))
            }
            None if complete => problem.clone(),
            None => continue,
        };
        if !problems.contains(&text) {
            problems.push(text);
        }
    }
    // What follows from nothing that was told must not be lost.
    if problems.is_empty() { found } else { problems }
}

/// Those of the names that somebody has set.
pub(super) fn set<'a>(names: &[&'a str], variables: &Environment) -> Vec<&'a str> {
    let is_set = |name: &&&str| variables.get(name).is_some();
    names.iter().filter(is_set).copied().collect()
}

/// `A`, `A or B`, `A, B or C`.
pub(super) fn listed(names: &[&str], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

const OURS: &str = "TONEGATE_";

impl Reader<'_> {
    /// A name of ours that nobody reads was meant for something, and what somebody decided would
    /// not hold. Other names in a `.env` serve others, unless one is nearly a known one.
    pub(super) fn names(&mut self) {
        for name in self.variables.names() {
            let value = self.variables.get(&name).unwrap_or_default();
            if KNOWN.contains(&name.as_str()) {
                // Whatever is not UTF-8 has been replaced by this.
                if value.contains(char::REPLACEMENT_CHARACTER) {
                    self.problems.push(format!("{name}: must be UTF-8"));
                }
                if is_quoted(&value) {
                    let text =
                        format!("{name}: stands in quotes, which docker takes as part of it");
                    self.problems.push(text);
                }
            } else if name.to_ascii_uppercase().starts_with(OURS) && !of_cluster(&name, &value) {
                let meant = meant(&name).map(|meant| format!("; did you mean {meant}?"));
                let meant = meant.unwrap_or_default();
                self.problems.push(format!("{name} is not known{meant}"));
            }
        }
        let notices = self.variables.names_of_file().filter_map(|name| {
            let meant = resembled(name)?;
            // With that one beside it, it is something else: AZURE_SPEECH_REGION, say.
            let has_it = self.variables.get(meant).is_some();
            (!has_it).then(|| format!("{name} has no effect; did you mean {meant}?"))
        });
        let notices: Vec<_> = notices.collect();
        self.notices.extend(notices);
    }
}

/// Dotenv has taken quotes away; those that are left came through docker, and no value has its own.
fn is_quoted(value: &str) -> bool {
    let within = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    within('"') || within('\'')
}

/// Kubernetes tells every container of a service `tonegate` by variables of these names; they are
/// nobody's mistake.
fn of_cluster(name: &str, value: &str) -> bool {
    let port = name.split_once("_PORT_").map(|(_, rest)| rest);
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || port.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        || (name.ends_with("_PORT") && value.contains("://"))
}

/// Which known name one of ours was to be, as far as that can be seen. What all begin with says
/// nothing, and `TONEGATE_PORT` is PORT.
fn meant(name: &str) -> Option<&'static str> {
    const NEAR: f64 = 0.8;
    let upper = name.to_ascii_uppercase();
    let own = |name: &'static str| name.strip_prefix(OURS).unwrap_or(name);
    let wrong = upper.strip_prefix(OURS).unwrap_or(&upper);
    nearest(wrong, NEAR, own)
}

/// Which known name one that is not ours is nearly.
fn resembled(name: &str) -> Option<&'static str> {
    const NEAR: f64 = 0.92;
    let upper = name.to_ascii_uppercase();
    let known = KNOWN.contains(&name) || OF_PLATFORM.contains(&name);
    if known || upper.starts_with(OURS) {
        return None;
    }
    nearest(&upper, NEAR, |name| name)
}

fn nearest(
    wrong: &str,
    near: f64,
    part: impl Fn(&'static str) -> &'static str,
) -> Option<&'static str> {
    let known = KNOWN
        .iter()
        .map(|&name| (strsim::jaro_winkler(wrong, part(name)), name));
    let nearest = known.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest
        .filter(|(similarity, _)| *similarity >= near)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b17_what_was_meant_is_guessed_where_it_can_be() {
        for (wrong, expected) in [
            ("TONEGATE_FOO", None),
            ("TONEGATE_", None),
            ("TONEGATE_MODEL", Some("TONEGATE_MODELS")),
            ("tonegate_models", Some("TONEGATE_MODELS")),
            ("TONEGATE_PORT", Some("PORT")),
            ("TONEGATE_API_VERSION", Some("API_VERSION")),
            ("TONEGATE_ALLOWED_ORIGIN", Some("ALLOWED_ORIGINS")),
            ("TONEGATE_KEY_SHA", Some("TONEGATE_KEY_SHA256")),
        ] {
            assert_eq!(meant(wrong), expected, "{wrong}");
        }
        for (other, expected) in [
            ("DATABASE_URL", None),
            ("NODE_ENV", None),
            ("AZURE_CLIENT_SECRET", None),
            ("AZURE_TENANT_ID", None),
            ("PORT", None),
            ("RATE_LIMIT_MAX_REQUEST", Some("RATE_LIMIT_MAX_REQUESTS")),
            ("ALLOWED_ORIGIN", Some("ALLOWED_ORIGINS")),
            ("max_connections", Some("MAX_CONNECTIONS")),
        ] {
            assert_eq!(resembled(other), expected, "{other}");
        }
    }

    #[test]
    fn b17_variables_of_a_cluster_are_nobodys_mistake() {
        for (name, value, expected) in [
            ("TONEGATE_PORT", "8080", false),
            ("TONEGATE_PORT_RANGE", "1", false),
            ("TONEGATE_SERVICE", "x", false),
            ("TONEGATE_SERVICE_HOST", "10.0.0.1", true),
            ("TONEGATE_SERVICE_PORT", "443", true),
            ("TONEGATE_SERVICE_PORT_HTTPS", "443", true),
            ("TONEGATE_PORT", "tcp://10.0.0.1:443", true),
            ("TONEGATE_PORT_443_TCP", "tcp://10.0.0.1:443", true),
            ("TONEGATE_PORT_443_TCP_ADDR", "10.0.0.1", true),
            ("TONEGATE_ADMIN_SERVICE_HOST", "10.0.0.1", true),
        ] {
            assert_eq!(of_cluster(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn b17_a_problem_has_the_name_that_was_set_and_no_followers() {
        let rename = |found: &[&str], told: &[&str], set: &[(&str, &str)]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let variables = Environment::of(set.iter().copied());
            rename(owned(found), owned(told), &variables)
        };
        let foundry = [("FOUNDRY_RESOURCE_NAME", "a.evil")];
        let found = [
            "upstreams.azure.resource: bad",
            "upstreams.azure: set resource",
            "upstreams.azurelike: other",
            "hops.tenants: bad",
            "issuers.entra.tenants: bad",
            "routes.ws.admit: asks for a key",
            "routes.ws.upstreams: there is no usable upstream \"azure\"",
        ];
        let all = [
            "FOUNDRY_RESOURCE_NAME: bad",
            "FOUNDRY_RESOURCE_NAME: set resource",
            "upstreams.azurelike: other",
            "TONEGATE_TENANTS: bad",
        ];
        assert_eq!(rename(&found, &[], &foundry), all);
        // If something has been told already, only what is there is judged.
        assert_eq!(
            rename(&found, &["told"], &foundry),
            ["told", all[0], all[1]]
        );
        assert_eq!(
            rename(&["upstreams.azure.credential: bad"], &[], &[]),
            ["AZURE_SPEECH_KEY, FOUNDRY_API_KEY or TONEGATE_MANAGED_IDENTITY: bad"]
        );
        // A follower that follows nothing is all there is to tell.
        assert_eq!(rename(&found[5..6], &[], &[]), [found[5]]);
    }
}
