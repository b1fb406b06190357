//! What is believed of the Bot Connector: whose people may talk to the bot, and which services it
//! may speak for.

use crate::ids::EntraId;

/// `[issuers.NAME]` of kind `bot`, as far as it is about activities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// Tenants whose people may talk to the bot.
    pub tenants: Vec<EntraId>,
    /// Whether the key that signs must be endorsed for a channel. If not, only those keys are held to
    /// their endorsements that have some.
    pub require_endorsements: bool,
    /// Whether tokens of Entra, too, must say which service sends them. The connector's own always
    /// must.
    pub require_service_url: bool,
    pub services: ServiceHosts,
}

/// Hosts of services that may send activities and be answered: one that answers go to gets the
/// bot's token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceHosts(Vec<ServiceHost>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ServiceHost {
    /// Lower case.
    name: String,
    /// Whether it is all hosts below this name, and not the one of this name.
    below: bool,
    /// `None`: that of https, unwritten.
    port: Option<u16>,
}

impl ServiceHosts {
    /// From `host`, `*.host` or either with `:port`; else what is none.
    pub fn new(written: &[String]) -> Result<ServiceHosts, &String> {
        let hosts = written
            .iter()
            .map(|text| ServiceHost::new(text).ok_or(text))
            .collect::<Result<_, _>>()?;
        Ok(ServiceHosts(hosts))
    }

    /// Whether an URL is that of one of them, in the one spelling that no two parsers read
    /// differently: `https://host[:port][/path]`, in lower case up to the path, without a user, a
    /// query, a fragment, an escape or a dot segment.
    ///
    /// ```
    /// use tonegate::config::ServiceHosts;
    ///
    /// let hosts = ServiceHosts::new(&["smba.trafficmanager.net".to_owned()]).unwrap();
    /// assert!(hosts.have("https://smba.trafficmanager.net/amer/"));
    /// assert!(!hosts.have("https://smba.trafficmanager.net.evil.example/"));
    /// ```
    pub fn have(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix("https://") else {
            return false;
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let of_path =
            |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:".contains(&byte);
        let plain = path.bytes().all(of_path)
            && path
                .split('/')
                .all(|segment| !matches!(segment, "." | ".."));
        let Some((host, port)) = host_and_port(authority) else {
            return false;
        };
        plain && self.0.iter().any(|listed| listed.is(host, port))
    }

    /// As the settings write them.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(ServiceHost::word).collect()
    }
}

impl ServiceHost {
    fn new(text: &str) -> Option<ServiceHost> {
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (name, port) = host_and_port(rest)?;
        // All of a top level is no list.
        (!below || name.contains('.')).then(|| ServiceHost {
            name: name.to_owned(),
            below,
            port,
        })
    }

    fn is(&self, host: &str, port: Option<u16>) -> bool {
        let named = match self.below {
            false => host == self.name,
            true => host
                .strip_suffix(&self.name)
                .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.')),
        };
        named && port == self.port
    }

    fn word(&self) -> String {
        let any = if self.below { "*." } else { "" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{any}{}{port}", self.name)
    }
}

/// A host in lower case, and its port if one is written.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, digits)) => {
            let plain =
                digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
            (host, Some(digits.parse().ok().filter(|_| plain)?))
        }
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let fits = host.len() <= 253 && host.split('.').all(is_label);
    fits.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hosts(written: &[&str]) -> ServiceHosts {
        let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
        ServiceHosts::new(&written).unwrap()
    }

    #[test]
    fn c03_only_the_very_host_is_on_the_list_and_nothing_that_looks_like_it() {
        let hosts = hosts(&[
            "smba.trafficmanager.net",
            "smba.infra.gcc.teams.microsoft.com",
        ]);
        for good in [
            "https://smba.trafficmanager.net",
            "https://smba.trafficmanager.net/",
            "https://smba.trafficmanager.net/amer/",
            "https://smba.trafficmanager.net/de/11111111-2222-3333-4444-555555555555/",
            "https://smba.infra.gcc.teams.microsoft.com/teams",
        ] {
            assert!(hosts.have(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///",
            "smba.trafficmanager.net",
            "//smba.trafficmanager.net/",
            "http://smba.trafficmanager.net/",
            "HTTPS://smba.trafficmanager.net/",
            " https://smba.trafficmanager.net/",
            "https:// smba.trafficmanager.net/",
            "https://smba.trafficmanager.net.evil.example/",
            "https://evil-smba.trafficmanager.net/",
            "https://evil.smba.trafficmanager.net/",
            "https://trafficmanager.net/",
            "https://smba.trafficmanager.ne/",
            "https://smba.trafficmanager.net./",
            "https://smba.trafficmanager.net..",
            "https://smba..trafficmanager.net/",
            "https://Smba.trafficmanager.net/",
            "https://SMBA.TRAFFICMANAGER.NET/",
            "https://smba.trafficmanager.net:443/",
            "https://smba.trafficmanager.net:/",
            "https://smba.trafficmanager.net:8443/",
            "https://smba.trafficmanager.net@evil.example/",
            "https://evil.example@smba.trafficmanager.net/",
            "https://user:secret@smba.trafficmanager.net/",
            "https://evil.example\\@smba.trafficmanager.net/",
            "https://smba.trafficmanager.net\\evil.example/",
            "https://evil.example/smba.trafficmanager.net",
            "https://evil.example#smba.trafficmanager.net/",
            "https://smba.trafficmanager.net#/",
            "https://smba.trafficmanager.net?x",
            "https://smba.trafficmanager.net/?x",
            "https://smba.trafficmanager.net/amer/#x",
            "https://smba.trafficmanager.net/../",
            "https://smba.trafficmanager.net/./amer",
            "https://smba.trafficmanager.net/%2e%2e/",
            "https://smba%2etrafficmanager.net/",
            "https://smba.trafficmanager.net/a b",
            "https://smba.trafficmanager.net/a\u{0}",
            "https://smba.trafficmanager.net/\u{e9}",
            "https://smba。trafficmanager。net/",
            "https://smbа.trafficmanager.net/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https:/smba.trafficmanager.net/",
            "https://\tsmba.trafficmanager.net/",
        ] {
            assert!(!hosts.have(bad), "{bad}");
        }
        assert!(!super::ServiceHosts(Vec::new()).have("https://smba.trafficmanager.net/"));
    }

    #[test]
    fn c03_patterns_are_whole_labels_and_ports_are_written_out() {
        let listed = hosts(&["*.botframework.com", "localhost:9443"]);
        assert_eq!(listed.words(), ["*.botframework.com", "localhost:9443"]);
        for (url, good) in [
            ("https://webchat.botframework.com/", true),
            ("https://a.b.botframework.com/", true),
            ("https://botframework.com/", false),
            ("https://.botframework.com/", false),
            ("https://evilbotframework.com/", false),
            ("https://webchat.botframework.com.evil.example/", false),
            ("https://webchat.botframework.com:443/", false),
            ("https://localhost:9443/teams", true),
            ("https://localhost/", false),
            ("https://localhost:9444/", false),
            ("https://localhost:09443/", false),
            ("https://localhost:+9443/", false),
            ("https://localhost:9443:9443/", false),
        ] {
            assert_eq!(listed.have(url), good, "{url}");
        }
        for wrong in [
            "",
            "*",
            "*.",
            "*.com",
            "a.*.b",
            "Host.example",
            "host.example.",
            "host.example/",
            "https://host.example",
            "host.example:",
            "host.example:0",
            "host.example:70000",
            "host example",
            "user@host.example",
            "**.host.example",
            ".host.example",
            "hé.example",
        ] {
            assert_eq!(
                ServiceHosts::new(&[wrong.to_owned()]),
                Err(&wrong.to_owned())
            );
        }
    }

    proptest! {
        /// Whatever is taken, another parser finds the very host of the list in it.
        #[test]
        fn c03_what_is_taken_another_parser_reads_the_same(
            before in "[a-z.@:/\\\\#?%A-Z0-9 -]{0,6}",
            behind in "[a-z.@:/\\\\#?%A-Z0-9 -]{0,12}",
        ) {
            let url = format!("https://{before}smba.trafficmanager.net{behind}");
            if hosts(&["smba.trafficmanager.net"]).have(&url) {
                let uri: http::Uri = url.parse().unwrap();
                prop_assert_eq!(uri.authority().unwrap().as_str(), "smba.trafficmanager.net");
                prop_assert_eq!(uri.scheme_str(), Some("https"));
            }
        }
    }
}
