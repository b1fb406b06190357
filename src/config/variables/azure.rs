//! What is behind `/ws`: the upstream, and the route to it.

use std::time::Duration;

use toml::{Table, Value};

use super::reader::{Reader, literal, put, texts};

impl Reader<'_> {
    pub(super) fn upstream(&mut self, table: &mut Table, admit: &[String]) {
        let mut azure = Table::new();
        put(&mut azure, "kind", literal("voice-live"));
        let resource = self.either("AZURE_AI_FOUNDRY_RESOURCE", "FOUNDRY_RESOURCE_NAME");
        match (resource, self.get("TONEGATE_UPSTREAM_URL")) {
            (None, None) => self.missing(
                "the Azure resource is not known",
                &["AZURE_AI_FOUNDRY_RESOURCE=my-resource"],
            ),
            (resource, url) => {
                for (key, text) in [("resource", resource), ("url", url)] {
                    if let Some(text) = text {
                        put(&mut azure, key, literal(&text));
                    }
                }
            }
        }
        if let Some(roots) = self.get("TONEGATE_UPSTREAM_ROOTS") {
            put(&mut azure, "roots", literal(&roots));
        }
        if let Some(version) = self.get("API_VERSION") {
            put(&mut azure, "api_version", literal(&version));
        }
        let mut credential = Table::new();
        let key = self.either("AZURE_SPEECH_KEY", "FOUNDRY_API_KEY");
        if let Some(key) = key {
            put(&mut credential, "key", literal(&key));
        }
        if admit.iter().any(|way| way == "entra") {
            put(&mut credential, "caller", true.into());
        }
        if self.flag("TONEGATE_MANAGED_IDENTITY") {
            put(&mut credential, "managed_identity", true.into());
            // As azure-identity has it.
            if let Some(id) = self.get("AZURE_CLIENT_ID") {
                put(&mut credential, "client_id", literal(&id));
            }
        }
        if credential.is_empty() {
            self.missing(
                "there is nothing to show Azure",
                &[
                    "AZURE_SPEECH_KEY=…",
                    "TONEGATE_MANAGED_IDENTITY=true  # the identity that Azure gives to the edge",
                    "TONEGATE_ADMIT=entra  # callers' own tokens are shown",
                ],
            );
        }
        put(&mut azure, "credential", Value::Table(credential));
        let upstreams = Table::from_iter([("azure".to_owned(), Value::Table(azure))]);
        put(table, "upstreams", Value::Table(upstreams));
    }

    pub(super) fn route(&mut self, table: &mut Table, admit: &[String]) {
        let mut route = Table::new();
        put(&mut route, "name", literal("ws"));
        put(&mut route, "kind", literal("voice-live"));
        put(&mut route, "paths", texts(&["/ws".to_owned()]));
        put(&mut route, "admit", texts(admit));
        let places = ["header", "query", "subprotocol"].map(str::to_owned);
        put(&mut route, "accept", texts(&places));
        // The old clients are browsers, which see a close code but no status.
        put(&mut route, "refuse", literal("close"));
        let mut models = self.list("TONEGATE_MODELS");
        if models.is_empty() {
            models.push("gpt-realtime".to_owned());
        }
        put(&mut route, "models", texts(&models));
        self.origins(&mut route);
        self.agents(&mut route);
        for (name, key) in [
            ("TONEGATE_API_VERSIONS", "api_versions"),
            ("TONEGATE_PASS", "pass"),
        ] {
            let list = self.list(name);
            put(&mut route, key, texts(&list));
        }
        let web_rtc = self.flag("TONEGATE_WEBRTC");
        put(&mut route, "web_rtc", web_rtc.into());
        let (count, window) = (
            self.number("RATE_LIMIT_MAX_REQUESTS"),
            self.number("RATE_LIMIT_WINDOW_MS"),
        );
        if count.is_some() || window.is_some() {
            // What is not set is as the successor had it.
            let window = Duration::from_millis(window.unwrap_or(60_000).unsigned_abs());
            let window = humantime::format_duration(window).to_string();
            let rate = format!("{}/{}", count.unwrap_or(100), window.replace(' ', ""));
            let limits = ("upgrades_per_address".to_owned(), literal(&rate));
            put(
                &mut route,
                "limits",
                Value::Table(Table::from_iter([limits])),
            );
        }
        put(&mut route, "upstreams", texts(&["azure".to_owned()]));
        put(table, "routes", Value::Array(vec![Value::Table(route)]));
    }

    fn origins(&mut self, route: &mut Table) {
        match self.list("ALLOWED_ORIGINS").as_slice() {
            [] => self.missing(
                "which pages may connect is not decided",
                &[
                    "ALLOWED_ORIGINS=https://app.example.com",
                    "ALLOWED_ORIGINS=none  # no browser connects",
                ],
            ),
            [none] if none == "none" => {}
            origins => put(route, "origins", texts(origins)),
        }
    }

    fn agents(&mut self, route: &mut Table) {
        let pairs = [
            ("AGENT_ID", "PROJECT_NAME"),
            ("FOUNDRY_AGENT_NAME", "FOUNDRY_PROJECT_NAME"),
        ];
        let (mut agents, mut projects) = (Vec::new(), Vec::new());
        for (agent, project) in pairs {
            let (agent_name, project_name) = (self.get(agent), self.get(project));
            if agent_name.is_some() != project_name.is_some() {
                let text = format!("{agent} and {project} belong together");
                self.problems.push(text);
            }
            agents.extend(agent_name);
            projects.extend(project_name);
        }
        if self.get("FOUNDRY_AGENT_NAME").is_some() {
            // As in the successor: who names no model gets the agent.
            put(route, "default", literal("agent"));
        }
        agents.extend(self.list("TONEGATE_AGENTS"));
        projects.extend(self.list("TONEGATE_PROJECTS"));
        for list in [&mut agents, &mut projects] {
            let mut seen = std::collections::HashSet::new();
            list.retain(|name| seen.insert(name.clone()));
        }
        put(route, "agents", texts(&agents));
        put(route, "projects", texts(&projects));
    }
}
