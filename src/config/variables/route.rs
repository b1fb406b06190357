//! The route `/ws`: from which pages, how often, and what may be asked for there.

use std::collections::HashSet;
use std::time::Duration;

use toml::{Table, Value};

use super::azure::{CALLERS, IDENTITY};
use super::names::{listed, set};
use super::reader::{Reader, literal, put, texts, to_add};

/// Names of an agent and of its project that belong together.
const PAIRS: [(&str, &str); 2] = [
    ("AGENT_ID", "PROJECT_NAME"),
    ("FOUNDRY_AGENT_NAME", "FOUNDRY_PROJECT_NAME"),
];

impl Reader<'_> {
    pub(super) fn route(&mut self, table: &mut Table, admit: &[String], shows_token: bool) {
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
        self.agents(&mut route, shows_token);
        for (name, key) in [
            ("TONEGATE_API_VERSIONS", "api_versions"),
            ("TONEGATE_PASS", "pass"),
        ] {
            let list = self.list(name);
            put(&mut route, key, texts(&list));
        }
        let web_rtc = self.flag("TONEGATE_WEBRTC");
        put(&mut route, "web_rtc", web_rtc.into());
        self.rate(&mut route);
        put(&mut route, "upstreams", texts(&["azure".to_owned()]));
        put(table, "routes", Value::Array(vec![Value::Table(route)]));
    }

    fn rate(&mut self, route: &mut Table) {
        const DAY_MS: u32 = 24 * 3600 * 1000;
        let count = self.number("RATE_LIMIT_MAX_REQUESTS", u32::MAX);
        let window = self.number("RATE_LIMIT_WINDOW_MS", DAY_MS);
        if count.is_none() && window.is_none() {
            return;
        }
        // What is not set is as the successor had it.
        let window = Duration::from_millis(window.unwrap_or(60_000).into());
        let window = humantime::format_duration(window).to_string();
        let rate = format!("{}/{}", count.unwrap_or(100), window.replace(' ', ""));
        let limits = Table::from_iter([("upgrades_per_address".to_owned(), literal(&rate))]);
        put(route, "limits", Value::Table(limits));
    }

    fn origins(&mut self, route: &mut Table) {
        match self.list("ALLOWED_ORIGINS").as_slice() {
            [] => self.missing(
                "which pages may connect is not decided",
                &[
                    "ALLOWED_ORIGINS=https://app.example.com",
                    "# no browser connects\nALLOWED_ORIGINS=none",
                ],
            ),
            [none] if none == "none" => {}
            origins => put(route, "origins", texts(origins)),
        }
    }

    fn agents(&mut self, route: &mut Table, shows_token: bool) {
        let (mut agents, mut projects) = (Vec::new(), Vec::new());
        for (agent, project) in PAIRS {
            match (self.get(agent), self.get(project)) {
                (Some(agent), Some(project)) => {
                    agents.push(agent);
                    projects.push(project);
                }
                (None, None) => {}
                _ => {
                    let text = format!("{agent} and {project} belong together");
                    self.problems.push(text);
                }
            }
        }
        agents.extend(self.list("TONEGATE_AGENTS"));
        projects.extend(self.list("TONEGATE_PROJECTS"));
        if !agents.is_empty() && !shows_token {
            self.without_token();
            return;
        }
        if self.get(PAIRS[1].0).is_some() && self.get(PAIRS[1].1).is_some() {
            // As in the successor: who names no model gets the agent.
            put(route, "default", literal("agent"));
        }
        for list in [&mut agents, &mut projects] {
            let mut seen = HashSet::new();
            list.retain(|name| seen.insert(name.clone()));
        }
        put(route, "agents", texts(&agents));
        put(route, "projects", texts(&projects));
    }

    /// The old proxy showed its own token to agents whatever key it had.
    fn without_token(&mut self) {
        let agents = [PAIRS[0].0, PAIRS[1].0, "TONEGATE_AGENTS"];
        let projects = [PAIRS[0].1, PAIRS[1].1, "TONEGATE_PROJECTS"];
        let agents = set(&agents, self.variables);
        let both = [agents.clone(), set(&projects, self.variables)].concat();
        let what = format!(
            "{}: Voice Live takes no key for agents",
            listed(&agents, "and")
        );
        let choices = to_add(&what, &[IDENTITY, CALLERS]);
        let text = format!("{choices}\n    or remove {}", listed(&both, "and"));
        self.problems.push(text);
    }
}
