//! `[[certificates]]` and the roots that they must lead to.

use std::net::IpAddr;

use super::Problems;
use super::route::At;
use crate::config::file::File;
use crate::config::{Certificate, Mark, Route};
use crate::label::Label;
use crate::secret::Digest;

/// Longest name of a host (RFC 1035, section 2.3.4).
const DNS_MAX: usize = 253;

pub(super) fn certificates(file: &File, problems: &mut Problems) -> Vec<Certificate> {
    let mut certificates: Vec<Certificate> = Vec::new();
    if !file.certificates.is_empty() && !has_roots(file) {
        problems.add(
            "certificates",
            "have no use without server.tls.client_roots, a PEM file of who signs them",
        );
    }
    for written in &file.certificates {
        let at = format!("certificates.{}", written.name);
        let Some(name) = problems.label(&at, &written.name) else {
            continue;
        };
        let mark = match (written.sha256.as_deref(), written.dns.as_deref()) {
            (Some(hex), None) => sha256(&at, hex, problems),
            (None, Some(name)) => dns(&at, name, problems),
            (None, None) | (Some(_), Some(_)) => {
                problems.add(
                    &at,
                    "must have one of sha256, which is one certificate, and dns, which is whatever \
                     the roots sign for a name",
                );
                None
            }
        };
        if certificates.iter().any(|other| other.name == name) {
            problems.add(&at, "this name is taken by another certificate");
        }
        let Some(mark) = mark else {
            continue;
        };
        if let Some(other) = certificates.iter().find(|other| other.mark == mark) {
            problems.add(&at, format!("is the certificate that {} is", other.name));
        }
        certificates.push(Certificate {
            name,
            mark,
            routes: problems.labels(&format!("{at}.routes"), &written.routes),
        });
    }
    certificates
}

fn sha256(at: &str, hex: &str, problems: &mut Problems) -> Option<Mark> {
    let at = format!("{at}.sha256");
    let Some(digest) = Digest::from_hex(hex) else {
        problems.add(
            at,
            "must be 64 hexadecimal digits; `openssl x509 -in FILE -outform DER | sha256sum` prints \
             them",
        );
        return None;
    };
    if digest.is(&Digest::of("")) {
        problems.add(
            at,
            "is the digest of nothing: whatever made it had no certificate",
        );
    }
    Some(Mark::Sha256(digest))
}

fn dns(at: &str, name: &str, problems: &mut Problems) -> Option<Mark> {
    let of_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(of_label)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = name.len() <= DNS_MAX && name.split('.').all(is_label);
    if !is_name || name.parse::<IpAddr>().is_ok() {
        problems.add(
            format!("{at}.dns"),
            format!("{name:?} must be the name of a host, without wildcards"),
        );
        return None;
    }
    Some(Mark::Dns(name.to_ascii_lowercase()))
}

/// A certificate that names a route which is not there was meant to open something.
pub(super) fn routes(certificates: &[Certificate], routes: &[Route], problems: &mut Problems) {
    let is_there = |name: &&Label| routes.iter().any(|route| route.name == **name);
    for certificate in certificates {
        for name in certificate.routes.iter().filter(|name| !is_there(name)) {
            problems.add(
                format!("certificates.{}.routes", certificate.name),
                format!("there is no route {name}"),
            );
        }
    }
}

/// The PEM that certificates of clients must lead to.
pub(super) fn client_roots(file: &File, problems: &mut Problems) -> Option<String> {
    const AT: &str = "server.tls.client_roots";
    let path = file.server.tls.as_ref()?.client_roots.as_ref()?;
    if file.server.plain_text {
        problems.add(
            AT,
            "and plain_text = true exclude each other: without TLS nobody shows a certificate",
        );
    }
    if file.certificates.is_empty() {
        problems.add(AT, "has no use without [[certificates]]");
    }
    problems.read(AT, path)
}

/// Whether routes can admit certificates; else why not is told.
pub(super) fn is_usable(at: &mut At<'_>, key: &str, file: &File) -> bool {
    let (listed, roots) = (!file.certificates.is_empty(), has_roots(file));
    if !listed {
        at.add(
            key,
            "asks for a certificate, but there are no [[certificates]]",
        );
    } else if !roots {
        at.add(
            key,
            "asks for a certificate, but server.tls has no client_roots, so clients are not asked \
             for any",
        );
    }
    listed && roots
}

fn has_roots(file: &File) -> bool {
    let tls = file.server.tls.as_ref();
    tls.is_some_and(|tls| tls.client_roots.is_some())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Settings, Way};
    use crate::ids::SessionId;

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        tls = { certificate = "some.pem", key = "some.pem", client_roots = "some.pem" }
        [[certificates]]
        name = "lambda"
        dns = "Lambda.example.com"
        routes = ["browser"]
        [[certificates]]
        name = "sbc"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [upstreams.voice]
        kind = "voice-live"
        resource = "my-resource"
        credential = { key = "upstream-secret" }
        [[routes]]
        name = "browser"
        paths = ["/ws"]
        kind = "voice-live"
        admit = ["certificate"]
        models = ["gpt-realtime"]
        upstreams = ["voice"]
    "#;

    const ROOTS: &str = ", client_roots = \"some.pem\"";
    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const LAMBDA: &str = "dns = \"Lambda.example.com\"";

    /// Reads a text whose PEM files are there; what is in them is looked at when the edge starts.
    fn read(text: &str) -> Result<Settings, String> {
        let folder = std::env::temp_dir().join(format!("tonegate-mtls-{}", SessionId::random()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("some.pem"), "some").unwrap();
        fs::write(folder.join("edge.toml"), text).unwrap();
        let settings = Settings::read(&[folder.join("edge.toml")]);
        fs::remove_dir_all(&folder).unwrap();
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn a10_certificates_are_read_as_they_are_meant() {
        let settings = read(GOOD).unwrap();
        let identity = settings.live.identity.as_ref().unwrap();
        assert_eq!(identity.client_roots.as_deref(), Some("some"));
        let [lambda, sbc] = &settings.live.certificates[..] else {
            panic!("two certificates");
        };
        assert_eq!(lambda.mark, Mark::Dns("lambda.example.com".to_owned()));
        assert_eq!(lambda.routes, [Label::new("browser").unwrap()]);
        assert_eq!(sbc.mark, Mark::Sha256(Digest::from_hex(HEX).unwrap()));
        assert!(sbc.routes.is_empty());
        let route = &settings.live.routes[0];
        assert_eq!(route.enter.ways(), [Way::Certificate]);
        let shown = settings.describe();
        for told in [
            "clients are asked for a certificate",
            "cert      lambda: dns lambda.example.com, routes browser",
            &format!("cert      sbc: sha256 {HEX}, routes all"),
            "admits certificate ",
        ] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        // A certificate sits in no place of a request.
        let nowhere = GOOD.replace("models =", "accept = []\nmodels =");
        assert!(read(&nowhere).is_ok());
        // Off unless it is set.
        let (before, rest) = GOOD.split_once("[[certificates]]").unwrap();
        let (_, after) = rest.split_once("[upstreams").unwrap();
        let off = format!("{before}[upstreams{after}").replace(ROOTS, "");
        let off = off.replace("\"certificate\"]", "\"anyone\"]");
        let off = read(&off).unwrap();
        assert!(off.live.identity.as_ref().unwrap().client_roots.is_none());
        assert!(!off.describe().contains("certificate"));
    }

    #[test]
    fn a10_every_mistake_about_certificates_names_its_key() {
        let twice = |line: &str| format!("{LAMBDA}\n[[certificates]]\n{line}");
        let other = twice("name = \"other\"\ndns = \"lambda.EXAMPLE.com\"");
        let named = twice("name = \"lambda\"\ndns = \"other.example.com\"");
        let require = "require = [\"certificate\", \"easyauth\"]";
        let hops = "[hops]\nnetworks = [\"10.0.0.0/8\"]\nspeak = \"http\"\n[server]";
        let cases: &[(&str, &str, &str)] = &[
            (ROOTS, "", "certificates: have no use"),
            (ROOTS, "", "routes.browser.admit: asks for a certificate"),
            (
                "tls = {",
                "#",
                "routes.browser.admit: asks for a certificate",
            ),
            (
                "listen =",
                "plain_text = true\nlisten =",
                "server.tls.client_roots: and plain_text",
            ),
            (
                ROOTS,
                ", client_roots = \"none.pem\"",
                "server.tls.client_roots: the file cannot be read",
            ),
            (LAMBDA, "", "certificates.lambda: must have one of"),
            (
                LAMBDA,
                &format!("{LAMBDA}\nsha256 = \"{HEX}\""),
                "certificates.lambda: must have one of",
            ),
            (LAMBDA, &other, "certificates.other: is the certificate"),
            (LAMBDA, &named, "certificates.lambda: this name is taken"),
            ("\"sbc\"", "\"lambda\"", "certificates.lambda: this name"),
            ("\"sbc\"", "\"s b c\"", "certificates.s b c: "),
            (HEX, "ba78", "certificates.sbc.sha256: must be 64"),
            (HEX, EMPTY, "certificates.sbc.sha256: is the digest of"),
            (
                "routes = [\"browser\"]",
                "routes = [\"nowhere\"]",
                "certificates.lambda.routes: there is no route nowhere",
            ),
            (
                "admit = [\"certificate\"]",
                "admit = [\"certificates\"]",
                "\"certificate\"",
            ),
        ];
        for (from, to, told) in cases {
            assert!(GOOD.contains(from), "{from}");
            let problems = read(&GOOD.replace(from, to)).map(drop).unwrap_err();
            assert!(problems.contains(told), "{from} -> {to}: {problems}");
        }
        let both = GOOD.replace("admit = [\"certificate\"]", require);
        let both = read(&both.replace("[server]", hops)).map(drop).unwrap_err();
        assert!(both.contains("routes.browser.require: "), "{both}");
        // An issuer by that name would make two things of one word.
        let issuer = "[issuers.certificate]\nkind = \"oidc\"\nissuer = \"https://a.example\"\n\
                      audience = [\"a\"]\n[[routes]]";
        let issuer = read(&GOOD.replace("[[routes]]", issuer)).map(drop);
        let issuer = issuer.unwrap_err();
        assert!(issuer.contains("issuers.certificate: "), "{issuer}");
        // Roots of nothing.
        let (before, rest) = GOOD.split_once("[[certificates]]").unwrap();
        let (_, after) = rest.split_once("[upstreams").unwrap();
        let none = read(&format!("{before}[upstreams{after}")).map(drop);
        let none = none.unwrap_err();
        assert!(
            none.contains("client_roots: has no use") && none.contains("no [[certificates]]"),
            "{none}"
        );
    }

    #[test]
    fn a10_a_name_is_that_of_a_host_and_no_pattern() {
        for name in [
            "",
            ".",
            "*.example.com",
            "*",
            "a..example.com",
            ".example.com",
            "example.com.",
            "a b.example.com",
            "-a.example.com",
            "a-.example.com",
            "münchen.example.com",
            "spiffe://example.com/lambda",
            "127.0.0.1",
            "::1",
            &format!("{}.example.com", "x".repeat(64)),
            &"abcdefgh.".repeat(30),
        ] {
            let text = GOOD.replace("Lambda.example.com", name);
            let told = read(&text).map(drop).unwrap_err();
            assert!(told.contains("certificates.lambda.dns: "), "{name}: {told}");
        }
        for name in ["lambda", "xn--mnchen-3ya.example.com", "_svc.1.example"] {
            assert!(read(&GOOD.replace("Lambda.example.com", name)).is_ok());
        }
    }
}
