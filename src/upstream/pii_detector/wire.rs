//! What is said to a detector, and how its answer is read: all of it, or not at all. Pure.
//!
//! Azure AI Language: `POST …/language/:analyze-text`, up to five documents at a time (its limits of
//! synchronous requests). Presidio: `POST …/analyze`, one text at a time, which all its versions take;
//! it counts in characters, as Python does.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Place;
use super::failure::{Failure, Kind, MALFORMED};
use crate::config::pii::{DetectorKind, PiiDetector};

/// The newest version that is no preview.
const AZURE: &str = "/language/:analyze-text?api-version=2024-11-01";
const PRESIDIO: &str = "/analyze";
/// Documents in one request of Azure's.
const DOCUMENTS_MAX: usize = 5;

/// Path and query, behind what the settings put before them.
pub(super) fn path(kind: DetectorKind) -> &'static str {
    match kind {
        DetectorKind::AzureLanguage => AZURE,
        DetectorKind::Presidio => PRESIDIO,
    }
}

/// Texts that fit one question.
pub(super) fn per_question(kind: DetectorKind) -> usize {
    match kind {
        DetectorKind::AzureLanguage => DOCUMENTS_MAX,
        DetectorKind::Presidio => 1,
    }
}

/// A question about some of the texts, at most as many as fit.
pub(super) fn question(settings: &PiiDetector, texts: &[String], which: &[usize]) -> String {
    let categories = &settings.categories;
    let language = &settings.language;
    let (mut question, at, key) = match settings.kind {
        DetectorKind::AzureLanguage => {
            let document =
                |&i: &usize| json!({"id": i.to_string(), "language": language, "text": texts[i]});
            let documents: Vec<Value> = which.iter().map(document).collect();
            let question = json!({
                "kind": "PiiEntityRecognition",
                "parameters": {
                    "modelVersion": "latest",
                    "loggingOptOut": true,
                    "stringIndexType": "UnicodeCodePoint",
                },
                "analysisInput": {"documents": documents},
            });
            (question, "/parameters", "piiCategories")
        }
        DetectorKind::Presidio => {
            let text: String = which.iter().map(|&i| texts[i].as_str()).collect();
            (json!({"text": text, "language": language}), "", "entities")
        }
    };
    if !categories.is_empty()
        && let Some(of) = question.pointer_mut(at)
    {
        of[key] = json!(categories);
    }
    question.to_string()
}

/// Azure's answer, as far as it is read: what it repeats of the texts is not.
#[derive(Deserialize)]
struct Analysis {
    kind: String,
    results: Results,
}

#[derive(Deserialize)]
struct Results {
    documents: Vec<Document>,
    /// Texts that it did not look at.
    errors: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Document {
    id: String,
    entities: Vec<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    offset: usize,
    length: usize,
}

/// One of Presidio's findings.
#[derive(Deserialize)]
struct Finding {
    start: usize,
    end: usize,
}

/// What was found in the texts that were asked about.
pub(super) fn read(
    kind: DetectorKind,
    json: &[u8],
    texts: &[String],
    which: &[usize],
) -> Result<Vec<Place>, Failure> {
    match kind {
        DetectorKind::AzureLanguage => azure(json, texts, which),
        DetectorKind::Presidio => presidio(json, texts, which),
    }
}

fn azure(json: &[u8], texts: &[String], which: &[usize]) -> Result<Vec<Place>, Failure> {
    let analysis: Analysis = serde_json::from_slice(json).map_err(|_| MALFORMED)?;
    if analysis.kind != "PiiEntityRecognitionResults" {
        return Err(MALFORMED);
    }
    if !analysis.results.errors.is_empty() {
        let detail = "the detector of personal data did not look at all texts";
        return Err(Failure::new(Kind::Refused, detail));
    }
    let mut left = which.to_vec();
    let mut places = Vec::new();
    for document in analysis.results.documents {
        // Each of them once, and no others.
        let at = left.iter().position(|i| i.to_string() == document.id);
        let text = left.swap_remove(at.ok_or(MALFORMED)?);
        for entity in document.entities {
            places.push(place(texts, text, entity.offset, entity.length)?);
        }
    }
    left.is_empty().then_some(places).ok_or(MALFORMED)
}

fn presidio(json: &[u8], texts: &[String], which: &[usize]) -> Result<Vec<Place>, Failure> {
    let findings: Vec<Finding> = serde_json::from_slice(json).map_err(|_| MALFORMED)?;
    let &[text] = which else {
        return Err(MALFORMED);
    };
    let place = |found: Finding| {
        let length = found.end.checked_sub(found.start).ok_or(MALFORMED)?;
        place(texts, text, found.start, length)
    };
    findings.into_iter().map(place).collect()
}

/// A place that lies in its text and is one.
fn place(texts: &[String], text: usize, start: usize, length: usize) -> Result<Place, Failure> {
    let end = start.checked_add(length).ok_or(MALFORMED)?;
    let fits = length > 0 && end <= texts[text].chars().count();
    let place = Place {
        text,
        start,
        length,
    };
    fits.then_some(place).ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<String> {
        ["Jo Doe", "", "ask Jo 🙂"].map(str::to_owned).to_vec()
    }

    const AZURE_KIND: DetectorKind = DetectorKind::AzureLanguage;

    fn analysis(documents: &str, errors: &str) -> String {
        format!(
            r#"{{"kind":"PiiEntityRecognitionResults","results":{{"documents":{documents},
            "errors":{errors},"modelVersion":"2025-02-01"}}}}"#
        )
    }

    #[test]
    fn c21_what_azure_found_is_where_it_says() {
        let documents = r#"[
            {"id":"2","redactedText":"ask ** 🙂","warnings":[],"entities":[
                {"text":"Jo","category":"Person","offset":4,"length":2,"confidenceScore":0.9},
                {"text":"🙂","category":"Person","offset":7,"length":1,"confidenceScore":0.9}]},
            {"id":"0","redactedText":"Jo Doe","warnings":[],"entities":[]}]"#;
        let answer = analysis(documents, "[]");
        let places = read(AZURE_KIND, answer.as_bytes(), &texts(), &[0, 2]).unwrap();
        let place = |start, length| Place {
            text: 2,
            start,
            length,
        };
        assert_eq!(places, [place(4, 2), place(7, 1)]);
    }

    #[test]
    fn c21_an_answer_that_is_not_about_the_texts_is_none() {
        let found = |offset: &str| {
            format!(r#"[{{"id":"0","entities":[{{"offset":{offset},"length":2}}]}}]"#)
        };
        for (documents, errors, kind) in [
            ("[]".to_owned(), "[]", Kind::Malformed),
            (found("5"), "[]", Kind::Malformed),
            (found("-1"), "[]", Kind::Malformed),
            (found("1.5"), "[]", Kind::Malformed),
            (found("18446744073709551615"), "[]", Kind::Malformed),
            (found("0").replace(":2", ":0"), "[]", Kind::Malformed),
            (found("0").replace("\"0\"", "\"2\""), "[]", Kind::Malformed),
            (found("0").replace("\"0\"", "\"00\""), "[]", Kind::Malformed),
            (found("0").replace("\"0\"", "0"), "[]", Kind::Malformed),
            (
                found("0").replace("entities", "entity"),
                "[]",
                Kind::Malformed,
            ),
            (
                r#"[{"id":"0","entities":[]},{"id":"0","entities":[]}]"#.to_owned(),
                "[]",
                Kind::Malformed,
            ),
            (
                r#"[{"id":"0","entities":[]},{"id":"7","entities":[]}]"#.to_owned(),
                "[]",
                Kind::Malformed,
            ),
            ("[]".to_owned(), r#"[{"id":"0"}]"#, Kind::Refused),
            (found("0"), r#"[{"id":"1"}]"#, Kind::Refused),
            (found("0"), "null", Kind::Malformed),
        ] {
            let answer = analysis(&documents, errors);
            let failure = read(AZURE_KIND, answer.as_bytes(), &texts(), &[0]).unwrap_err();
            assert_eq!(failure.kind, kind, "{answer}");
        }
        let good = analysis(&found("0"), "[]");
        assert!(read(AZURE_KIND, good.as_bytes(), &texts(), &[0]).is_ok());
        for bad in [
            String::new(),
            "[]".to_owned(),
            good.replace("PiiEntity", "Entity"),
            good[..good.len() - 1].to_owned(),
            format!("{good}x"),
        ] {
            assert!(read(AZURE_KIND, bad.as_bytes(), &texts(), &[0]).is_err());
        }
    }

    #[test]
    fn c21_what_presidio_found_is_where_it_says() {
        let read = |json: &str| read(DetectorKind::Presidio, json.as_bytes(), &texts(), &[2]);
        let good = r#"[{"analysis_explanation":null,"start":4,"end":8,"entity_type":"PERSON","score":0.85}]"#;
        let place = Place {
            text: 2,
            start: 4,
            length: 4,
        };
        assert_eq!(read(good), Ok(vec![place]));
        assert_eq!(read("[]"), Ok(Vec::new()));
        for bad in [
            "",
            "{}",
            r#"{"error":"No text provided"}"#,
            r#"[{"start":4}]"#,
            r#"[{"start":4,"end":4}]"#,
            r#"[{"start":5,"end":4}]"#,
            r#"[{"start":4,"end":9}]"#,
            r#"[{"start":-1,"end":4}]"#,
            r#"[[{"start":4,"end":6}]]"#,
        ] {
            assert_eq!(read(bad).unwrap_err().kind, Kind::Malformed, "{bad}");
        }
    }
}
