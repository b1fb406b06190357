//! The operator's listener: where it is, and who may ask there.

use std::net::{Ipv4Addr, SocketAddr};

use super::Problems;
use crate::config::file::{Server, TokenDigest};
use crate::secret::Digest;

pub(super) fn address(server: &Server, listen: SocketAddr, problems: &mut Problems) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 9464));
    let address = server.admin.unwrap_or(usual);
    if !address.ip().is_loopback() && server.admin_token.is_none() {
        problems.add(
            "server.admin",
            "is no loopback address, so that an admin token must be set (server.admin_token, or \
             TONEGATE_ADMIN_TOKEN_SHA256): whoever reaches it could end sessions",
        );
    }
    if !address.ip().is_loopback() && server.tls.is_none() && !server.plain_text {
        problems.add(
            "server.admin",
            "is no loopback address, and there is no server.tls: set plain_text = true if its token may \
             cross the network in plain text",
        );
    }
    if address.port() != 0 && address.port() == listen.port() {
        problems.add("server.admin", "has the port of server.listen");
    }
    address
}

/// Of an operator, and of a scraper.
pub(super) fn tokens(server: &Server, problems: &mut Problems) -> [Option<Digest>; 2] {
    let mut read = |key: &str, written: &Option<TokenDigest>| {
        let written = written.as_ref()?;
        let digest = Digest::from_hex(&written.sha256).filter(|digest| *digest != Digest::of(""));
        if digest.is_none() {
            let text =
                "must be 64 hexadecimal digits; `tonegate key NAME` makes a token with its digest";
            problems.add(format!("{key}.sha256"), text);
        }
        digest
    };
    let tokens = [
        read("server.admin_token", &server.admin_token),
        read("server.scrape_token", &server.scrape_token),
    ];
    match tokens {
        [None, Some(_)] if server.admin_token.is_none() => problems.add(
            "server.scrape_token",
            "opens nothing that is shut: without server.admin_token whoever is on this machine may scrape",
        ),
        [Some(admin), Some(scrape)] if admin == scrape => problems.add(
            "server.scrape_token",
            "is server.admin_token: whoever scrapes could end sessions",
        ),
        _ => {}
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    const REST: &str = r#"
        listen = "127.0.0.1:8443"
        [upstreams.voice]
        kind = "voice-live"
        url = "wss://voice.example.com"
        credential = { key = "k" }
        [[routes]]
        name = "open"
        kind = "voice-live"
        paths = ["/ws"]
        admit = ["anyone"]
        models = ["m"]
        upstreams = ["voice"]
    "#;

    fn read(lines: &str) -> Result<Settings, String> {
        let text = format!("[server]\n{lines}\n{REST}");
        Settings::read_text("edge.toml", &text).map_err(|error| error.to_string())
    }

    fn token(name: &str, of: &str) -> String {
        format!("{name} = {{ sha256 = \"{}\" }}", Digest::of(of).to_hex())
    }

    #[test]
    fn c17_what_other_machines_reach_asks_for_a_token_or_does_not_start() {
        let everywhere = "admin = \"0.0.0.0:9464\"\nplain_text = true";
        let told = read(everywhere).unwrap_err();
        assert!(
            told.contains("server.admin: ") && told.contains("server.admin_token"),
            "{told}"
        );
        let live = read(&format!("{everywhere}\n{}", token("admin_token", "t")))
            .unwrap()
            .live;
        assert!(live.admin_token.unwrap().is(&Digest::of("t")) && live.scrape_token.is_none());
        let told = read(&format!(
            "admin = \"0.0.0.0:9464\"\n{}",
            token("admin_token", "t")
        ));
        let told = told.unwrap_err();
        assert!(told.contains("plain text"), "{told}");
        let both = [token("admin_token", "t"), token("scrape_token", "s")].join("\n");
        let shown = read(&both).unwrap().describe();
        let hex = Digest::of("t").to_hex();
        assert!(
            shown.contains("with a token, another one for metrics"),
            "{shown}"
        );
        assert!(!shown.contains(&hex), "{shown}");
        assert!(read("").unwrap().live.admin_token.is_none());
    }

    #[test]
    fn c17_a_token_that_protects_nothing_is_a_mistake() {
        let bad = "{ sha256 = \"zz\" }";
        for (lines, named) in [
            (format!("admin_token = {bad}"), "server.admin_token.sha256"),
            (token("admin_token", ""), "server.admin_token.sha256"),
            (
                format!("{}\nscrape_token = {bad}", token("admin_token", "t")),
                "server.scrape_token.sha256",
            ),
            (token("scrape_token", "s"), "server.scrape_token"),
            (
                [token("admin_token", "t"), token("scrape_token", "t")].join("\n"),
                "server.scrape_token",
            ),
            ("admin_token = \"plain\"".to_owned(), "admin_token"),
            ("admin_token = {}".to_owned(), "sha256"),
        ] {
            let told = read(&lines).unwrap_err();
            assert!(told.contains(named), "{lines}: {told}");
        }
    }
}
