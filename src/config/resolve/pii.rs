//! What is personal: on routes, in the log, and who is asked for what has no form.

use std::time::Duration;

use super::Problems;
use super::acs::read;
use super::credential;
use super::inward::field;
use super::route::{At, Known};
use crate::config::bot::is_loopback;
use crate::config::env::Environment;
use crate::config::file::{self, File};
use crate::config::pii::{DetectorCredential, DetectorKind, Pii, PiiDetector, PiiKind};
use crate::label::Label;

/// A person waits meanwhile.
const TOTAL: Duration = Duration::from_secs(5);
const TOTAL_MAX: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 32;
const AT_ONCE_MAX: usize = 1024;
const LANGUAGE: &str = "en";
/// The services have some hundred words for what they find.
const CATEGORIES_MAX: usize = 256;
/// What tokens for Azure's AI services are for.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// What is taken out of the bodies of a route.
pub(super) fn of_route(at: &mut At<'_>, known: &Known<'_>) -> Option<Pii> {
    let written = at.written.pii.as_ref()?;
    let mut pii = Pii {
        kinds: kinds(&written.kinds, |what| at.add("pii.kinds", what)),
        ..Pii::default()
    };
    if written.kinds.is_empty() {
        pii.kinds = PiiKind::DEFAULT.to_vec();
    }
    for name in &written.fields {
        pii.fields.extend(field(at, "pii.fields", name));
    }
    let Some(detector) = &written.detector else {
        return Some(pii);
    };
    if !known.file.pii_detectors.contains_key(detector) {
        let what = format!("there is no pii_detectors.{detector}");
        at.add("pii.detector", what);
    }
    if at.written.kind.as_deref() == Some("bot") && written.fields.is_empty() {
        let what = "must name the fields that a detector is to see, such as \"text\": it takes out \
                    whatever it finds, and an activity has names and times to be answered by";
        at.add("pii.fields", what);
    }
    pii.detector = Label::new(detector);
    Some(pii)
}

/// `[log]`: what is taken out of each line.
pub(super) fn log(file: &File, problems: &mut Problems) -> Vec<PiiKind> {
    let Some(log) = &file.log else {
        return Vec::new();
    };
    kinds(&log.pii, |what| problems.add("log.pii", what))
}

fn kinds(words: &[String], mut tell: impl FnMut(String)) -> Vec<PiiKind> {
    let mut kinds = Vec::new();
    for word in words {
        match PiiKind::ALL.into_iter().find(|kind| kind.word() == word) {
            Some(kind) => kinds.push(kind),
            None => {
                let known: Vec<_> = PiiKind::ALL.iter().map(|kind| kind.word()).collect();
                tell(format!("{word:?} must be one of {}", known.join(", ")));
            }
        }
    }
    kinds
}

/// `[pii_detectors.NAME]`; those in which nothing is wrong.
pub(super) fn detectors(
    file: &File,
    variables: &Environment,
    problems: &mut Problems,
) -> Vec<PiiDetector> {
    let written = file.pii_detectors.iter();
    written
        .filter_map(|(name, written)| detector(name, written, variables, problems))
        .collect()
}

fn detector(
    name: &str,
    written: &file::PiiDetector,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<PiiDetector> {
    let at = format!("pii_detectors.{name}");
    let label = problems.label(&at, name);
    let of = |word: &str| DetectorKind::ALL.into_iter().find(|k| k.word() == word);
    let kind = written.kind.as_deref().and_then(of);
    if kind.is_none() {
        let what = "must be \"azure-language\" or \"presidio\"";
        problems.add(format!("{at}.kind"), what);
    }
    let place = written.url.as_deref().and_then(|url| read(url, "https"));
    match &place {
        Some((place, _)) if place.secure || is_loopback(&place.host) => {}
        Some(_) => problems.add(
            format!("{at}.url"),
            "is plain text and not loopback; use https://",
        ),
        None => problems.add(
            format!("{at}.url"),
            "must be https://host[:port][/path], such as \
             \"https://my-language.cognitiveservices.azure.com\"",
        ),
    }
    let total = written.total.unwrap_or(TOTAL);
    if total.is_zero() || total > TOTAL_MAX {
        problems.add(
            format!("{at}.total"),
            "must be more than 0 and at most 30s: a person waits",
        );
    }
    let at_once = written.at_once.unwrap_or(AT_ONCE);
    if !(1..=AT_ONCE_MAX).contains(&at_once) {
        let what = format!("must be 1 to {AT_ONCE_MAX}");
        problems.add(format!("{at}.at_once"), what);
    }
    let language = written.language.as_deref().unwrap_or(LANGUAGE);
    words(&at, language, &written.categories, problems);
    let roots = problems.roots(&at, written.roots.as_deref());
    let credential = shown(&at, written, (kind?, roots.is_some()), variables, problems);
    let (place, path) = place?;
    Some(PiiDetector {
        name: label?,
        kind: kind?,
        host: place.host,
        port: place.port,
        roots: place.secure.then_some(roots?),
        path,
        credential: credential?,
        language: language.to_owned(),
        categories: written.categories.clone(),
        total,
        at_once,
    })
}

/// What the service is told in its own words.
fn words(at: &str, language: &str, categories: &[String], problems: &mut Problems) {
    let fits = |text: &str, more: char| {
        (1..=64).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == more)
    };
    if !fits(language, '-') {
        problems.add(
            format!("{at}.language"),
            "must be a language such as \"en\" or \"pt-BR\"",
        );
    }
    for category in categories.iter().filter(|category| !fits(category, '_')) {
        let what = format!("{category:?} must be 1 to 64 characters of a-z A-Z 0-9 _");
        problems.add(format!("{at}.categories"), what);
    }
    if categories.len() > CATEGORIES_MAX {
        let what = format!("must be {CATEGORIES_MAX} at the most");
        problems.add(format!("{at}.categories"), what);
    }
}

/// `readable`: what is wrong with the roots has not been told.
fn shown(
    at: &str,
    written: &file::PiiDetector,
    (kind, readable): (DetectorKind, bool),
    variables: &Environment,
    problems: &mut Problems,
) -> Option<DetectorCredential> {
    let of_identity = [
        ("client_id", written.client_id.is_some()),
        ("scope", written.scope.is_some()),
    ];
    for (key, _) in of_identity.iter().filter(|(_, is_written)| *is_written) {
        if !written.managed_identity {
            let what = "has a use with managed_identity = true only";
            problems.add(format!("{at}.{key}"), what);
        }
    }
    let asked = file::Credential {
        key: written.key.clone(),
        key_file: written.key_file.clone(),
        managed_identity: written.managed_identity,
        client_id: written.client_id.clone(),
        scope: Some(written.scope.clone().unwrap_or_else(|| SCOPE.to_owned())),
        roots: written.roots.clone().filter(|_| readable),
        ..file::Credential::default()
    };
    let key = credential::key(at, &asked, problems)?;
    match (key, written.managed_identity) {
        (Some(_), true) => {
            problems.add(at, "key and managed_identity exclude each other");
            None
        }
        (Some(key), false) => Some(DetectorCredential::Key(key)),
        (None, true) => {
            let identity = credential::identity(at, &asked, variables, problems);
            identity.map(DetectorCredential::Identity)
        }
        (None, false) if kind == DetectorKind::AzureLanguage => {
            let what = "set key = \"${NAME}\", key_file = \"…\" or managed_identity = true: Azure \
                        answers nobody else";
            problems.add(at, what);
            None
        }
        (None, false) => Some(DetectorCredential::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [log]
        pii = ["email", "ip"]
        [[keys]]
        name = "kiosk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [pii_detectors.language]
        kind = "azure-language"
        url = "https://my-language.cognitiveservices.azure.com/"
        key = "secret-of-language"
        [upstreams.app]
        kind = "http"
        url = "http://127.0.0.1:8080"
        credential = { none = true }
        [[routes]]
        name = "api"
        paths = ["/api/*"]
        kind = "http"
        admit = ["key"]
        upstreams = ["app"]
        pii = { detector = "language" }
    "#;
    const KEY: &str = "key = \"secret-of-language\"";

    fn read(from: &str, to: &str) -> Result<Settings, String> {
        assert!(GOOD.contains(from), "{from}");
        let settings = Settings::read_text("edge.toml", &GOOD.replacen(from, to, 1));
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn c21_a_detector_has_defaults_and_its_key_is_not_shown() {
        let settings = read("[server]", "[server]").unwrap();
        let one = &settings.live.pii_detectors[0];
        assert_eq!((one.port, one.path.as_str()), (443, ""));
        assert_eq!((one.total, one.at_once), (TOTAL, AT_ONCE));
        assert_eq!((one.language.as_str(), one.categories.len()), (LANGUAGE, 0));
        assert_eq!(settings.boot.log_pii, [PiiKind::Email, PiiKind::Ip]);
        let pii = settings.live.routes[0].kind.http().unwrap().pii.clone();
        assert_eq!(pii.unwrap().detector, Label::new("language"));
        let shown = settings.describe();
        assert!(shown.contains("azure-language"), "{shown}");
        assert!(shown.contains("email, ip"), "{shown}");
        assert!(!shown.contains("secret-of-language"), "{shown}");
        let debug = format!("{settings:?}");
        assert!(!debug.contains("secret-of-language"), "{debug}");
        // Of Presidio nothing is asked, and it may stand beside the edge.
        let local = "kind = \"presidio\"\nurl = \"http://127.0.0.1:5002/a/\"";
        let from = "kind = \"azure-language\"\n        url = \
                    \"https://my-language.cognitiveservices.azure.com/\"\n        key = \
                    \"secret-of-language\"";
        let settings = read(from, local).unwrap();
        let one = &settings.live.pii_detectors[0];
        assert!(one.roots.is_none() && one.path == "/a");
        assert!(matches!(one.credential, DetectorCredential::Nothing));
        let settings = read(KEY, "managed_identity = true").unwrap();
        let one = &settings.live.pii_detectors[0].credential;
        assert!(matches!(one, DetectorCredential::Identity(own) if own.scope == SCOPE));
    }

    #[test]
    fn c21_every_mistake_is_told() {
        let more = |line: &str| format!("{KEY}\n{line}");
        for (from, to, place) in [
            ("\"azure-language\"", "\"comprehend\"", "kind"),
            ("https://my", "http://my", "url"),
            ("https://my", "ftp://my", "url"),
            ("azure.com/\"", "azure.com/?a=b\"", "url"),
            (KEY, "", "pii_detectors.language: set key"),
            (KEY, "key = \"\"", "the key must be visible"),
            (KEY, "key_file = \"/no/such\"", "language.key_file"),
            (KEY, &more("managed_identity = true"), "exclude each other"),
            (KEY, &more("client_id = \"x\""), "language.client_id"),
            (KEY, &more("scope = \"x\""), "language.scope"),
            (KEY, &more("roots = \"/no/such\""), "language.roots"),
            (KEY, &more("language = \"\""), "language.language"),
            (KEY, &more("language = \"e n\""), "language.language"),
            (KEY, &more("categories = [\"a b\"]"), "language.categories"),
            (KEY, &more("total = \"0s\""), "language.total"),
            (KEY, &more("total = \"31s\""), "language.total"),
            (KEY, &more("at_once = 0"), "language.at_once"),
            (KEY, &more("at_once = 1025"), "language.at_once"),
            (
                "detector = \"language\"",
                "detector = \"other\"",
                "routes.api.pii.detector",
            ),
            ("\"email\", \"ip\"", "\"name\"", "log.pii"),
        ] {
            let told = read(from, to).map(drop).unwrap_err();
            assert!(told.contains(place), "{to}: {told}");
            assert!(!told.contains("secret-of-language"), "{told}");
        }
        let bot = GOOD.replace(
            "kind = \"http\"\n        admit",
            "kind = \"bot\"\n        admit",
        );
        let told = Settings::read_text("edge.toml", &bot).unwrap_err();
        assert!(told.to_string().contains("routes.api.pii.fields"), "{told}");
    }
}
