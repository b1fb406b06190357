//! Where clients connect, how many, and who may enter.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use toml::{Table, Value};

use super::reader::{Reader, admits, literal, put, texts};
use crate::config::VOICE_LIVE_AUDIENCES;

impl Reader<'_> {
    fn listen(&mut self) -> SocketAddr {
        let port = self.number("PORT", u16::MAX.into());
        let port = port.and_then(|port| u16::try_from(port).ok());
        let address = self.get("TONEGATE_ADDRESS");
        let address = address.map_or(Ok(Ipv4Addr::UNSPECIFIED.into()), |text| text.parse());
        let address = address.unwrap_or_else(|_| {
            let text = "TONEGATE_ADDRESS: must be an IP address";
            self.problems.push(text.to_owned());
            Ipv4Addr::UNSPECIFIED.into()
        });
        SocketAddr::new(address, port.unwrap_or(8080))
    }

    /// Where metrics are served, if not where they usually are.
    fn admin(&mut self) -> Option<SocketAddr> {
        let text = self.get("TONEGATE_ADMIN")?;
        let address = text.parse().ok();
        if address.is_none() {
            let text = "TONEGATE_ADMIN: must be an address and a port, such as 127.0.0.1:9464";
            self.problems.push(text.to_owned());
        }
        address
    }

    pub(super) fn server(&mut self, table: &mut Table) {
        let mut server = Table::new();
        put(&mut server, "listen", literal(&self.listen().to_string()));
        let admin = self.admin().map(|address| address.to_string());
        if let Some(admin) = &admin {
            put(&mut server, "admin", literal(admin));
        }
        for (key, name) in [
            ("admin_token", "TONEGATE_ADMIN_TOKEN_SHA256"),
            ("scrape_token", "TONEGATE_SCRAPE_TOKEN_SHA256"),
        ] {
            if let Some(digest) = self.get(name) {
                let mut token = Table::new();
                put(&mut token, "sha256", literal(&digest));
                put(&mut server, key, Value::Table(token));
            }
        }
        if self.get("APPLICATIONINSIGHTS_CONNECTION_STRING").is_some() {
            let text = format!(
                "APPLICATIONINSIGHTS_CONNECTION_STRING has no effect: Prometheus scrapes /metrics \
                 on {}",
                admin.as_deref().unwrap_or("127.0.0.1:9464")
            );
            self.notices.push(text);
        }
        self.tls(&mut server);
        put(table, "server", Value::Table(server));
    }

    fn tls(&mut self, server: &mut Table) {
        let plain = self.flag("TONEGATE_PLAIN_TEXT");
        let pair = (
            self.get("TONEGATE_CERTIFICATE"),
            self.get("TONEGATE_PRIVATE_KEY"),
        );
        match pair {
            (Some(certificate), Some(key)) if !plain => {
                let mut tls = Table::new();
                put(&mut tls, "certificate", literal(&certificate));
                put(&mut tls, "key", literal(&key));
                put(server, "tls", Value::Table(tls));
            }
            (None, None) if plain => put(server, "plain_text", true.into()),
            (None, None) => self.missing(
                "TLS is not decided",
                &[
                    "TONEGATE_CERTIFICATE=tls.crt\nTONEGATE_PRIVATE_KEY=tls.key",
                    "# something in front terminates TLS\nTONEGATE_PLAIN_TEXT=true",
                ],
            ),
            (Some(_), Some(_)) => {
                let text = "TONEGATE_PLAIN_TEXT=true and TONEGATE_CERTIFICATE exclude each other";
                self.problems.push(text.to_owned());
            }
            _ => {
                let text = "TONEGATE_CERTIFICATE and TONEGATE_PRIVATE_KEY belong together";
                self.problems.push(text.to_owned());
            }
        }
    }

    /// Proxies in front, and what they may say. Express's setting names a number of proxies or any
    /// at all; both believe whoever connects.
    pub(super) fn hops(&mut self, table: &mut Table, admit: &[String]) {
        let signed_in = admits(admit, "easyauth");
        let tenants = self.list("TONEGATE_TENANTS");
        if signed_in && tenants.is_empty() {
            let text = "TONEGATE_ADMIT: easyauth admits everybody whom the platform signs in; \
                        TONEGATE_TENANTS names the tenants that may enter";
            self.notices.push(text.to_owned());
        }
        let networks = self.list("TRUST_PROXY");
        let problem = match networks.as_slice() {
            [] => signed_in.then_some(WITHOUT_HOPS),
            [word] if matches!(word.as_str(), "false" | "0") => signed_in.then_some(WITHOUT_HOPS),
            [word] if word == "true" || word.parse::<u32>().is_ok() => Some(
                "TRUST_PROXY: would believe whoever connects; name the networks that your proxies \
                 are in, such as TRUST_PROXY=10.0.0.0/8",
            ),
            _ => {
                let mut hops = Table::new();
                put(&mut hops, "networks", texts(&networks));
                put(&mut hops, "speak", literal("http"));
                if signed_in {
                    put(&mut hops, "tenants", texts(&tenants));
                }
                put(table, "hops", Value::Table(hops));
                None
            }
        };
        self.problems.extend(problem.map(str::to_owned));
    }

    pub(super) fn limits(&mut self, table: &mut Table) {
        // Probes and refusals get through when all sessions are taken.
        const OTHERS: u32 = 1000;
        // More sockets than any machine has descriptors for.
        const CONNECTIONS_MAX: u32 = 1_000_000;
        // A message waits in memory until it is whole, once for each session.
        const MESSAGE_MAX: u32 = 64 << 20;
        let mut limits = Table::new();
        if let Some(sessions) = self.number("MAX_CONNECTIONS", CONNECTIONS_MAX - OTHERS) {
            put(&mut limits, "sessions", sessions.into());
            put(&mut limits, "connections", (sessions + OTHERS).into());
        }
        if let Some(bytes) = self.number("MAX_FRAME_BYTES", MESSAGE_MAX) {
            put(&mut limits, "client_message", literal(&format!("{bytes}B")));
        }
        put(table, "limits", Value::Table(limits));
    }

    /// Who may enter, with what it takes to know them.
    pub(super) fn admit(&mut self, table: &mut Table) -> Vec<String> {
        let mut admit = self.list("TONEGATE_ADMIT");
        if admit.is_empty() {
            self.missing("who may enter is not decided", &[KEY, ENTRA, ANYONE]);
            return admit;
        }
        let ways = ["key", "entra", "easyauth", "anyone"];
        if !admit.iter().all(|way| ways.contains(&way.as_str())) {
            let text = "TONEGATE_ADMIT: must be key, entra, easyauth or anyone, or some of them";
            self.problems.push(text.to_owned());
        }
        let mut seen = HashSet::new();
        admit.retain(|way| seen.insert(way.clone()));
        if admits(&admit, "key") {
            self.key(table);
        }
        if admits(&admit, "entra") {
            self.entra(table);
        }
        for (name, ways) in [
            ("TONEGATE_KEY_SHA256", &["key"][..]),
            ("TONEGATE_TENANTS", &["entra", "easyauth"]),
            ("TONEGATE_AUDIENCE", &["entra"]),
        ] {
            if self.get(name).is_some() && !ways.iter().any(|way| admits(&admit, way)) {
                self.problems.push(format!(
                    "{name}: has no effect unless TONEGATE_ADMIT names {}",
                    ways.join(" or ")
                ));
            }
        }
        admit
    }

    fn key(&mut self, table: &mut Table) {
        let Some(digest) = self.get("TONEGATE_KEY_SHA256") else {
            // TONEGATE_ADMIT stands there already, and a name that stands twice is refused.
            let lines = "# `tonegate key client` makes a key with its digest\n\
                         TONEGATE_KEY_SHA256=…";
            self.missing("the key that may enter is not known", &[lines]);
            return;
        };
        let mut key = Table::new();
        put(&mut key, "name", literal("client"));
        put(&mut key, "sha256", literal(&digest));
        put(table, "keys", Value::Array(vec![Value::Table(key)]));
    }

    fn entra(&mut self, table: &mut Table) {
        let tenants = self.list("TONEGATE_TENANTS");
        if tenants.is_empty() {
            let lines = "# the ids of your tenants\nTONEGATE_TENANTS=…";
            self.missing("whose tokens may enter is not known", &[lines]);
        }
        let mut audience = self.list("TONEGATE_AUDIENCE");
        if audience.is_empty() {
            audience = VOICE_LIVE_AUDIENCES.map(str::to_owned).to_vec();
        }
        let mut entra = Table::new();
        put(&mut entra, "kind", literal("entra"));
        put(&mut entra, "tenants", texts(&tenants));
        put(&mut entra, "audience", texts(&audience));
        let issuers = Table::from_iter([("entra".to_owned(), Value::Table(entra))]);
        put(table, "issuers", Value::Table(issuers));
    }
}

const WITHOUT_HOPS: &str =
    "TONEGATE_ADMIT: easyauth needs TRUST_PROXY with the networks of the platform's proxies";

const KEY: &str = "# `tonegate key client` makes a key with its digest\nTONEGATE_ADMIT=key\n\
                   TONEGATE_KEY_SHA256=…";
const ENTRA: &str = "# the ids of your tenants\nTONEGATE_ADMIT=entra\nTONEGATE_TENANTS=…";
const ANYONE: &str = "# everybody may use your resource\nTONEGATE_ADMIT=anyone";
