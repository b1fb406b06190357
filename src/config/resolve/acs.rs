//! `[acs]`: whose calls the edge controls, what it shows, and what calls are answered with.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Problems;
use super::credential;
use super::upstream::port;
use crate::config::bot::is_loopback;
use crate::config::env::Environment;
use crate::config::file::{self, File};
use crate::config::{ACS_SCOPE, Acs, AcsAudio, AcsCredential, Channels, Streaming};
use crate::secret::Secret;

/// The newest that Azure's own library 1.6.0 asks for.
const API_VERSION: &str = "2026-03-12";
const TIMEOUT: Duration = Duration::from_secs(5);
/// A call rings for 30 s, and its event may be some of them old.
const TOTAL: Duration = Duration::from_secs(15);
const TOTAL_MAX: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 3;
const ATTEMPTS_MAX: u32 = 10;
/// Access keys have 64 bytes or more; a shorter one than its hash is none.
const KEY_MIN: usize = 32;

/// `None`: the edge controls no calls, or something is wrong with how, which has been told.
pub(super) fn acs(file: &File, variables: &Environment, problems: &mut Problems) -> Option<Acs> {
    let written = file.acs.as_ref()?;
    let place = place(written, problems);
    let credential = credential(written, variables, problems);
    let roots = problems.roots("acs", written.roots.as_deref());
    let api_version = written.api_version.as_deref().unwrap_or(API_VERSION);
    let api_version = problems.label("acs.api_version", api_version);
    let callbacks = base("callbacks", "https", written.callbacks.as_ref(), problems);
    let media = base("media", "wss", written.media.as_ref(), problems);
    let streaming = streaming(written, problems);
    let (timeout, total, attempts) = bounds(written, problems);
    let Place { secure, host, port } = place?;
    if !secure && written.roots.is_some() {
        problems.add("acs.roots", "has a use with https:// only");
    }
    Some(Acs {
        host,
        port,
        roots: match secure {
            true => Some(roots?),
            false => None,
        },
        credential: credential?,
        api_version: api_version?,
        callbacks,
        media,
        streaming,
        timeout,
        total,
        attempts,
    })
}

pub(super) struct Place {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

fn place(written: &file::Acs, problems: &mut Problems) -> Option<Place> {
    let Some(endpoint) = &written.endpoint else {
        let what = "missing; as the portal shows it, such as \
                    \"https://my-resource.communication.azure.com\"";
        problems.add("acs.endpoint", what);
        return None;
    };
    // The portal shows it with a slash at its end.
    let bare = endpoint.strip_suffix('/').unwrap_or(endpoint);
    let Some((place, path)) = read(bare, "https") else {
        problems.add("acs.endpoint", "must be https://host[:port]");
        return None;
    };
    if !path.is_empty() {
        problems.add(
            "acs.endpoint",
            "must be https://host[:port], without a path",
        );
    }
    if !place.secure && !is_loopback(&place.host) {
        problems.add(
            "acs.endpoint",
            "is plain text and not loopback; use https://",
        );
    }
    Some(place)
}

/// A URL of this scheme, or of the same without TLS; its path apart.
pub(super) fn read(text: &str, scheme: &str) -> Option<(Place, String)> {
    let uri: http::Uri = text.parse().ok()?;
    let said = uri.scheme_str()?;
    let secure = said == scheme;
    if !secure && Some(said) != scheme.strip_suffix('s') {
        return None;
    }
    if uri.query().is_some() || text.contains(['@', '#', '?']) {
        return None;
    }
    let authority = uri.authority()?;
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let usual = if secure { 443 } else { 80 };
    let port = port(authority, usual).filter(|_| !host.is_empty())?;
    let host = host.to_owned();
    let path = uri.path().trim_end_matches('/').to_owned();
    Some((Place { secure, host, port }, path))
}

/// What URLs that ACS is given begin with.
fn base(
    key: &str,
    scheme: &str,
    written: Option<&String>,
    problems: &mut Problems,
) -> Option<String> {
    let text = written?;
    let at = format!("acs.{key}");
    let Some((place, _)) = read(text, scheme) else {
        problems.add(at, format!("must be {scheme}://host[:port][/path]"));
        return None;
    };
    if !place.secure && !is_loopback(&place.host) {
        problems.add(
            &at,
            format!("is plain text and not loopback; use {scheme}://"),
        );
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn credential(
    written: &file::Acs,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<AcsCredential> {
    if !written.managed_identity {
        for (key, is_written) in [
            ("client_id", written.client_id.is_some()),
            ("scope", written.scope.is_some()),
        ] {
            if is_written {
                let what = "has a use with managed_identity = true only";
                problems.add(format!("acs.{key}"), what);
            }
        }
    }
    let ways = [
        written.key.is_some(),
        written.key_file.is_some(),
        written.managed_identity,
    ];
    if ways.into_iter().filter(|is| *is).count() != 1 {
        let what = "set one of key = \"${NAME}\", key_file = \"…\" and managed_identity = true";
        problems.add("acs", what);
        return None;
    }
    if written.managed_identity {
        let asked = file::Credential {
            managed_identity: true,
            client_id: written.client_id.clone(),
            scope: Some(written.scope.clone().unwrap_or(ACS_SCOPE.to_owned())),
            ..file::Credential::default()
        };
        let identity = credential::identity("acs", &asked, variables, problems)?;
        return Some(AcsCredential::Identity(identity));
    }
    let (at, text) = match (&written.key, &written.key_file) {
        (Some(key), _) => ("acs.key", key.clone()),
        (None, Some(path)) => ("acs.key_file", problems.read("acs.key_file", path)?),
        (None, None) => return None,
    };
    let key = Secret::new(text.trim_end().to_owned());
    let decoded = BASE64_STANDARD.decode(key.expose());
    if !decoded.is_ok_and(|bytes| bytes.len() >= KEY_MIN) {
        let what = "must be an access key as the portal shows it: base64 of 32 bytes or more";
        problems.add(at, what);
        return None;
    }
    Some(AcsCredential::Key(key))
}

fn streaming(written: &file::Acs, problems: &mut Problems) -> Streaming {
    let usual = Streaming::default();
    let audio = match written.audio_format.as_deref() {
        None => usual.audio,
        Some("pcm16KMono") => AcsAudio::Pcm16KMono,
        Some("pcm24KMono") => AcsAudio::Pcm24KMono,
        Some(other) => {
            let what = format!("{other:?} must be \"pcm24KMono\" or \"pcm16KMono\"");
            problems.add("acs.audio_format", what);
            usual.audio
        }
    };
    let channels = match written.channels.as_deref() {
        None => usual.channels,
        Some("mixed") => Channels::Mixed,
        Some("unmixed") => Channels::Unmixed,
        Some(other) => {
            let what = format!("{other:?} must be \"mixed\" or \"unmixed\"");
            problems.add("acs.channels", what);
            usual.channels
        }
    };
    Streaming {
        audio,
        channels,
        start: written.start_media.unwrap_or(usual.start),
    }
}

fn bounds(written: &file::Acs, problems: &mut Problems) -> (Duration, Duration, u32) {
    let timeout = written.timeout.unwrap_or(TIMEOUT);
    let total = written.total.unwrap_or(TOTAL);
    if timeout.is_zero() || timeout > total {
        problems.add("acs.timeout", "must be more than 0 and at most total");
    }
    if total > TOTAL_MAX {
        problems.add("acs.total", "must be at most 60s");
    }
    let attempts = written.attempts.unwrap_or(ATTEMPTS);
    if !(1..=ATTEMPTS_MAX).contains(&attempts) {
        problems.add("acs.attempts", "must be at least 1 and at most 10");
    }
    (timeout, total, attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Roots;

    const KEY: &str = "key = \"c2VjcmV0IGFjY2VzcyBrZXkgb2YgYSB0ZXN0IHJlc291cmNl\"";
    const ENDPOINT: &str = "endpoint = \"https://x.communication.azure.com/\"";

    fn resolve(lines: &[&str]) -> Result<Acs, Vec<String>> {
        let variables = Environment::of([("IDENTITY_ENDPOINT", "http://127.0.0.1:1/x")]);
        resolve_in(lines, &variables)
    }

    fn resolve_in(lines: &[&str], variables: &Environment) -> Result<Acs, Vec<String>> {
        let text = format!("[acs]\n{}\n", lines.join("\n"));
        let file = file::read_text("edge.toml", &text, variables)
            .map_err(|error| vec![error.to_string()])?;
        let mut problems = Problems::default();
        match (acs(&file, variables, &mut problems), problems.0.is_empty()) {
            (Some(acs), true) => Ok(acs),
            (_, _) => Err(problems.0),
        }
    }

    #[test]
    fn a05_a_key_and_an_endpoint_are_enough() {
        let acs = resolve(&[ENDPOINT, KEY]).unwrap();
        assert_eq!(acs.host, "x.communication.azure.com");
        assert_eq!((acs.port, acs.attempts), (443, 3));
        assert!(matches!(acs.roots, Some(Roots::System)));
        assert!(matches!(acs.credential, AcsCredential::Key(_)));
        assert_eq!(acs.api_version.as_str(), "2026-03-12");
        assert_eq!(acs.streaming, Streaming::default());
        assert_eq!((acs.timeout, acs.total), (TIMEOUT, TOTAL));
        assert_eq!((acs.callbacks, acs.media), (None, None));
        assert!(!format!("{:?}", acs.credential).contains("c2Vj"));
    }

    #[test]
    fn a05_everything_may_be_set() {
        let acs = resolve(&[
            "endpoint = \"http://127.0.0.1:8080\"",
            KEY,
            "api_version = \"2025-06-15\"",
            "callbacks = \"https://edge.example.com/voice/\"",
            "media = \"wss://edge.example.com:8443\"",
            "audio_format = \"pcm16KMono\"",
            "channels = \"unmixed\"",
            "start_media = false",
            "timeout = \"1s\"",
            "total = \"2s\"",
            "attempts = 1",
        ])
        .unwrap();
        assert!(acs.roots.is_none());
        assert_eq!((acs.host.as_str(), acs.port), ("127.0.0.1", 8080));
        let callbacks = acs.callbacks.unwrap();
        assert_eq!(callbacks, "https://edge.example.com/voice");
        assert_eq!(acs.media.unwrap(), "wss://edge.example.com:8443");
        let streaming = Streaming {
            audio: AcsAudio::Pcm16KMono,
            channels: Channels::Unmixed,
            start: false,
        };
        assert_eq!(acs.streaming, streaming);
        assert_eq!(acs.attempts, 1);
    }

    #[test]
    fn a05_a_token_of_the_platform_is_for_communication_services() {
        let variables =
            Environment::of([("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")]);
        let acs = resolve_in(&[ENDPOINT, "managed_identity = true"], &variables).unwrap();
        let AcsCredential::Identity(identity) = acs.credential else {
            panic!("a token was meant");
        };
        assert_eq!(identity.scope, "https://communication.azure.com//.default");
    }

    #[test]
    fn a05_every_mistake_is_told_and_no_key_is() {
        let good = [ENDPOINT, KEY];
        for (lines, place) in [
            (vec![KEY], "acs.endpoint"),
            (vec!["endpoint = \"ftp://x\"", KEY], "acs.endpoint"),
            (vec!["endpoint = \"http://x.example\"", KEY], "acs.endpoint"),
            (vec!["endpoint = \"https://x/y\"", KEY], "acs.endpoint"),
            (vec!["endpoint = \"https://a@x\"", KEY], "acs.endpoint"),
            (vec!["endpoint = \"https://x:0x\"", KEY], "acs.endpoint"),
            (vec![ENDPOINT], "acs: set one"),
            (
                vec![ENDPOINT, KEY, "managed_identity = true"],
                "acs: set one",
            ),
            (vec![ENDPOINT, "key = \"CANARY\""], "acs.key"),
            (vec![ENDPOINT, "key = \"Q0FOQVJZ\""], "acs.key"),
            (vec![ENDPOINT, "key_file = \"/no/such\""], "acs.key_file"),
            (vec![ENDPOINT, KEY, "scope = \"x/.default\""], "acs.scope"),
            (vec![ENDPOINT, KEY, "client_id = \"x\""], "acs.client_id"),
            (vec![ENDPOINT, KEY, "roots = \"/no/such\""], "acs.roots"),
            (
                vec![ENDPOINT, KEY, "api_version = \"a&b\""],
                "acs.api_version",
            ),
            (
                vec![ENDPOINT, KEY, "callbacks = \"http://x.example\""],
                "acs.callbacks",
            ),
            (
                vec![ENDPOINT, KEY, "callbacks = \"wss://x\""],
                "acs.callbacks",
            ),
            (vec![ENDPOINT, KEY, "media = \"wss://x?a=b\""], "acs.media"),
            (vec![ENDPOINT, KEY, "media = \"https://x\""], "acs.media"),
            (
                vec![ENDPOINT, KEY, "audio_format = \"opus\""],
                "acs.audio_format",
            ),
            (vec![ENDPOINT, KEY, "channels = \"two\""], "acs.channels"),
            (vec![ENDPOINT, KEY, "timeout = \"0s\""], "acs.timeout"),
            (vec![ENDPOINT, KEY, "timeout = \"16s\""], "acs.timeout"),
            (vec![ENDPOINT, KEY, "total = \"61s\""], "acs.total"),
            (vec![ENDPOINT, KEY, "attempts = 0"], "acs.attempts"),
            (vec![ENDPOINT, KEY, "attempts = 11"], "acs.attempts"),
        ] {
            let problems = resolve(&lines).unwrap_err().join("\n");
            assert!(problems.contains(place), "{lines:?}: {problems}");
            assert!(!problems.contains("CANARY") && !problems.contains("Q0FO"));
        }
        assert!(resolve(&good).is_ok());
    }
}
