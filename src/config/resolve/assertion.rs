//! `[assertion]`: keys that sign for private apps. Whether they are keys is told by who signs.

use std::time::Duration;

use super::Problems;
use super::acs::read;
use crate::config::Assertion;
use crate::config::bot::is_loopback;
use crate::config::file::{self, File};
use crate::secret::Secret;

/// One that signs, the one before it, and room for two more clocks of whoever rolls them out.
const KEYS_MAX: usize = 4;
const LIFE: Duration = Duration::from_secs(60);
/// Shorter than clocks are apart, or longer than anybody needs to pass a request on.
const LIFE_BOUNDS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(300)];

/// `None`: nothing is signed, or something is wrong with how, which has been told.
pub(super) fn assertion(file: &File, problems: &mut Problems) -> Option<Assertion> {
    let written = file.assertion.as_ref()?;
    let keys = keys(written, problems);
    let issuer = issuer(written, problems);
    let life = written.life.unwrap_or(LIFE);
    let [min, max] = LIFE_BOUNDS;
    if !(min..=max).contains(&life) {
        problems.add("assertion.life", "must be at least 10s and at most 5m");
    }
    Some(Assertion {
        keys: keys?,
        issuer: issuer?,
        life,
    })
}

fn keys(written: &file::Assertion, problems: &mut Problems) -> Option<Vec<Secret>> {
    let paths = &written.keys;
    if paths.is_empty() || paths.len() > KEYS_MAX {
        let what = "must name 1 to 4 files, each a private key in PEM; the first one signs, all \
                    are published";
        problems.add("assertion.keys", what);
        return None;
    }
    let read = paths.iter().enumerate().map(|(i, path)| {
        let text = problems.read(&format!("assertion.keys.{i}"), path)?;
        Some(Secret::new(text))
    });
    // Each of them is read, and told if it cannot be.
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn issuer(written: &file::Assertion, problems: &mut Problems) -> Option<String> {
    let at = "assertion.issuer";
    let Some(issuer) = &written.issuer else {
        let what = "missing; who signs, such as \"https://edge.example.com\"";
        problems.add(at, what);
        return None;
    };
    let fits = read(issuer, "https").is_some_and(|(place, _)| {
        let plain = !place.secure && !is_loopback(&place.host);
        !plain && !issuer.ends_with('/')
    });
    if !fits {
        let what = "must be https://host[:port][/path], without a slash at its end";
        problems.add(at, what);
        return None;
    }
    Some(issuer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::Environment;

    fn resolve(lines: &[&str]) -> Result<Assertion, Vec<String>> {
        let text = format!("[assertion]\n{}\n", lines.join("\n"));
        let file = file::read_text("edge.toml", &text, &Environment::of([]))
            .map_err(|error| vec![error.to_string()])?;
        let mut problems = Problems::default();
        match (assertion(&file, &mut problems), problems.0.is_empty()) {
            (Some(assertion), true) => Ok(assertion),
            (_, _) => Err(problems.0),
        }
    }

    /// Any file will do: what stands in it is not read here.
    const KEYS: &str = "keys = [\"Cargo.toml\", \"Cargo.lock\"]";
    const ISSUER: &str = "issuer = \"https://edge.example.com\"";

    #[test]
    fn c25_keys_and_an_issuer_are_enough() {
        let assertion = resolve(&[KEYS, ISSUER]).unwrap();
        assert_eq!(assertion.keys.len(), 2);
        assert!(assertion.keys[0].expose().starts_with("[package]"));
        assert_eq!(assertion.issuer, "https://edge.example.com");
        assert_eq!(assertion.life, LIFE);
        assert!(!format!("{assertion:?}").contains("package"));
    }

    #[test]
    fn c25_every_mistake_is_told_and_no_path_is() {
        let five = "keys = [\"Cargo.toml\", \"a\", \"b\", \"c\", \"d\"]";
        for (lines, place) in [
            (vec![ISSUER], "assertion.keys:"),
            (vec!["keys = []", ISSUER], "assertion.keys:"),
            (vec![five, ISSUER], "assertion.keys:"),
            (
                vec!["keys = [\"Cargo.toml\", \"CANARY\"]", ISSUER],
                "assertion.keys.1:",
            ),
            (vec![KEYS], "assertion.issuer"),
            (vec![KEYS, "issuer = \"edge\""], "assertion.issuer"),
            (vec![KEYS, "issuer = \"https://a/\""], "assertion.issuer"),
            (vec![KEYS, "issuer = \"https://a?b\""], "assertion.issuer"),
            (vec![KEYS, "issuer = \"http://a\""], "assertion.issuer"),
            (vec![KEYS, ISSUER, "life = \"9s\""], "assertion.life"),
            (vec![KEYS, ISSUER, "life = \"301s\""], "assertion.life"),
        ] {
            let problems = resolve(&lines).unwrap_err().join("\n");
            assert!(problems.contains(place), "{lines:?}: {problems}");
            assert!(!problems.contains("CANARY"), "{problems}");
        }
    }
}
