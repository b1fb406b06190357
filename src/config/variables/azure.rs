//! What is behind `/ws`: where Azure is, and what it is shown.

use toml::{Table, Value};

use super::names::set;
use super::reader::{Reader, admits, literal, put};
use crate::ids::is_guid;

impl Reader<'_> {
    /// Writes the upstream; whether it is shown tokens, which agents take and nothing else.
    pub(super) fn upstream(&mut self, table: &mut Table, admit: &[String]) -> bool {
        let mut azure = Table::new();
        put(&mut azure, "kind", literal("voice-live"));
        self.address(&mut azure);
        if let Some(roots) = self.get("TONEGATE_UPSTREAM_ROOTS") {
            put(&mut azure, "roots", literal(&roots));
        }
        if let Some(version) = self.get("API_VERSION") {
            put(&mut azure, "api_version", literal(&version));
        }
        let credential = self.credential(admit);
        let tokens = ["caller", "managed_identity"];
        let shows_token = tokens.iter().any(|token| credential.contains_key(*token));
        put(&mut azure, "credential", Value::Table(credential));
        let upstreams = Table::from_iter([("azure".to_owned(), Value::Table(azure))]);
        put(table, "upstreams", Value::Table(upstreams));
        shows_token
    }

    fn address(&mut self, azure: &mut Table) {
        const RESOURCE: [&str; 2] = ["AZURE_AI_FOUNDRY_RESOURCE", "FOUNDRY_RESOURCE_NAME"];
        let resource = self.either(RESOURCE[0], RESOURCE[1]);
        match (resource, self.get("TONEGATE_UPSTREAM_URL")) {
            (None, None) => self.missing(
                "the Azure resource is not known",
                &["AZURE_AI_FOUNDRY_RESOURCE=my-resource"],
            ),
            (Some(resource), None) => put(azure, "resource", literal(&resource)),
            (resource, Some(url)) => {
                if resource.is_some() {
                    let names = set(&RESOURCE, self.variables).join(" and ");
                    self.problems.push(format!(
                        "TONEGATE_UPSTREAM_URL and {names} exclude each other: remove one"
                    ));
                }
                put(azure, "url", literal(&url));
            }
        }
    }

    fn credential(&mut self, admit: &[String]) -> Table {
        let mut credential = Table::new();
        if let Some(key) = self.either("AZURE_SPEECH_KEY", "FOUNDRY_API_KEY") {
            put(&mut credential, "key", literal(&key));
        }
        if admits(admit, "entra") {
            put(&mut credential, "caller", true.into());
        }
        if self.flag("TONEGATE_MANAGED_IDENTITY") {
            put(&mut credential, "managed_identity", true.into());
            // As azure-identity has it.
            match self.get("AZURE_CLIENT_ID") {
                Some(id) if is_guid(&id) => put(&mut credential, "client_id", literal(&id)),
                Some(_) => {
                    let text = "AZURE_CLIENT_ID: must be a GUID, as Azure shows the client id of \
                                the identity";
                    self.problems.push(text.to_owned());
                }
                None => {}
            }
        }
        if credential.is_empty() {
            let choices = ["AZURE_SPEECH_KEY=…", IDENTITY, CALLERS];
            self.missing("there is nothing to show Azure", &choices);
        }
        credential
    }
}

/// Ways to show Azure a token, as lines to add.
pub(super) const IDENTITY: &str =
    "# the identity that Azure gives to the edge\nTONEGATE_MANAGED_IDENTITY=true";
pub(super) const CALLERS: &str =
    "# callers' own tokens, and the ids of their tenants\nTONEGATE_ADMIT=entra\nTONEGATE_TENANTS=…";
