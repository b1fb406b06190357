//! Where clients connect, how many, and who may enter.

use std::net::{Ipv4Addr, SocketAddr};

use toml::{Table, Value};

use super::reader::{Reader, literal, put, texts};
use crate::config::VOICE_LIVE_AUDIENCES;

impl Reader<'_> {
    fn listen(&mut self) -> SocketAddr {
        const USUAL: u16 = 8080;
        let port = self.number("PORT").unwrap_or(USUAL.into());
        let port = u16::try_from(port).unwrap_or_else(|_| {
            self.problems.push("PORT: must be at most 65535".to_owned());
            USUAL
        });
        let address = self.get("TONEGATE_ADDRESS");
        let address = address.map_or(Ok(Ipv4Addr::UNSPECIFIED.into()), |text| text.parse());
        let address = address.unwrap_or_else(|_| {
            let text = "TONEGATE_ADDRESS: must be an IP address";
            self.problems.push(text.to_owned());
            Ipv4Addr::UNSPECIFIED.into()
        });
        SocketAddr::new(address, port)
    }

    pub(super) fn server(&mut self, table: &mut Table) {
        let mut server = Table::new();
        put(&mut server, "listen", literal(&self.listen().to_string()));
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
                put(&mut server, "tls", Value::Table(tls));
            }
            (None, None) if plain => put(&mut server, "plain_text", true.into()),
            (None, None) => self.missing(
                "TLS is not decided",
                &[
                    "TONEGATE_CERTIFICATE=tls.crt\nTONEGATE_PRIVATE_KEY=tls.key",
                    "TONEGATE_PLAIN_TEXT=true  # something in front terminates TLS",
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
        put(table, "server", Value::Table(server));
    }

    /// Express's setting names a number of proxies or any at all; both believe whoever connects.
    pub(super) fn hops(&mut self, table: &mut Table) {
        let networks = self.list("TRUST_PROXY");
        match networks.as_slice() {
            [] => return,
            [word] if matches!(word.as_str(), "false" | "0") => return,
            [word] if word == "true" || word.parse::<u32>().is_ok() => {
                let text = "TRUST_PROXY: would believe whoever connects; name the networks that \
                            your proxies are in, such as TRUST_PROXY=10.0.0.0/8";
                self.problems.push(text.to_owned());
                return;
            }
            _ => {}
        }
        let mut hops = Table::new();
        put(&mut hops, "networks", texts(&networks));
        put(&mut hops, "speak", literal("http"));
        put(table, "hops", Value::Table(hops));
    }

    pub(super) fn limits(&mut self, table: &mut Table) {
        let mut limits = Table::new();
        if let Some(sessions) = self.number("MAX_CONNECTIONS") {
            put(&mut limits, "sessions", sessions.into());
            // Probes and refusals get through when all sessions are taken.
            put(
                &mut limits,
                "connections",
                sessions.saturating_add(1000).into(),
            );
        }
        if let Some(bytes) = self.number("MAX_FRAME_BYTES") {
            put(&mut limits, "client_message", literal(&format!("{bytes}B")));
        }
        put(table, "limits", Value::Table(limits));
    }

    /// Who may enter, with what it takes to know them.
    pub(super) fn admit(&mut self, table: &mut Table) -> Vec<String> {
        const KEY: &str = "TONEGATE_ADMIT=key\nTONEGATE_KEY_SHA256=…  # `tonegate key client` makes \
                           a key with its digest";
        const ENTRA: &str = "TONEGATE_ADMIT=entra\nTONEGATE_TENANTS=…  # the ids of your tenants";
        const ANYONE: &str = "TONEGATE_ADMIT=anyone  # everybody may use your resource";
        let admit = self.list("TONEGATE_ADMIT");
        if admit.is_empty() {
            self.missing("who may enter is not decided", &[KEY, ENTRA, ANYONE]);
        }
        for way in &admit {
            match way.as_str() {
                "key" => match self.get("TONEGATE_KEY_SHA256") {
                    Some(digest) => {
                        let mut key = Table::new();
                        put(&mut key, "name", literal("client"));
                        put(&mut key, "sha256", literal(&digest));
                        put(table, "keys", Value::Array(vec![Value::Table(key)]));
                    }
                    None => self.missing("the key that may enter is not known", &[KEY]),
                },
                "entra" => {
                    let tenants = self.list("TONEGATE_TENANTS");
                    if tenants.is_empty() {
                        self.missing("whose tokens may enter is not known", &[ENTRA]);
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
                // What EasyAuth needs is judged with the route.
                "easyauth" | "anyone" => {}
                _ => {
                    let text = "TONEGATE_ADMIT: must be key, entra, easyauth or anyone, or some of \
                                them";
                    self.problems.push(text.to_owned());
                }
            }
        }
        admit
    }
}
