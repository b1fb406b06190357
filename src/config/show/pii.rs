//! What is personal, as `tonegate check` prints it.

use std::fmt::Write as _;

use humantime::format_duration;

use super::upstream::token;
use crate::config::pii::{DetectorCredential, PiiDetector, PiiKind};
use crate::config::{Roots, RouteKind};

/// What is taken out of the log.
pub(super) fn log(of: &[PiiKind], out: &mut String) -> std::fmt::Result {
    match of {
        [] => Ok(()),
        of => writeln!(out, "log       without {}", kinds(of)),
    }
}

pub(super) fn detectors(detectors: &[PiiDetector], out: &mut String) -> std::fmt::Result {
    for of in detectors {
        let (scheme, roots) = match &of.roots {
            None => ("http", "plain text"),
            Some(Roots::System) => ("https", "roots of the system"),
            Some(Roots::Pem(_)) => ("https", "roots from a file"),
        };
        let credential = match &of.credential {
            DetectorCredential::Nothing => "no credential".to_owned(),
            DetectorCredential::Key(_) => "key ***".to_owned(),
            DetectorCredential::Identity(identity) => token(identity),
        };
        let categories = match of.categories.as_slice() {
            [] => "its own categories".to_owned(),
            some => some.join(", "),
        };
        writeln!(
            out,
            "detector  {}: {} at {scheme}://{}:{}{}, {credential}, {roots}, language {}, \
             {categories}, total {}, at once {}",
            of.name,
            of.kind.word(),
            of.host,
            of.port,
            of.path,
            of.language,
            format_duration(of.total),
            of.at_once,
        )?;
    }
    Ok(())
}

/// What is taken out of the bodies of a route.
pub(super) fn route(kind: &RouteKind, out: &mut String) -> std::fmt::Result {
    let of_http = kind.http().and_then(|http| http.pii.as_ref());
    let of_bot = kind.bot().and_then(|bot| bot.pii.as_ref());
    let Some(pii) = of_http.or(of_bot) else {
        return Ok(());
    };
    let fields: Vec<_> = pii
        .fields
        .iter()
        .map(|field| format!("{field:?}"))
        .collect();
    writeln!(
        out,
        "          bodies without {}, in {}, then what {} finds",
        kinds(&pii.kinds),
        if fields.is_empty() {
            "all texts".to_owned()
        } else {
            fields.join(", ")
        },
        pii.detector.as_ref().map_or("nobody", |name| name.as_str()),
    )
}

fn kinds(kinds: &[PiiKind]) -> String {
    let words: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
    words.join(", ")
}
