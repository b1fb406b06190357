//! The references in the repository are what the program prints.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tonegate::config::Settings;

use crate::program::root;

#[test]
fn b25_the_references_are_those_of_the_code() {
    for (subject, file) in [
        ("settings", "config/REFERENCE.md"),
        ("metrics", "deploy/reference/METRICS.md"),
        ("endings", "deploy/reference/ENDINGS.md"),
        ("cli", "deploy/reference/CLI.md"),
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tonegate"));
        let done = program.args(["reference", subject]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let told = String::from_utf8(done.stdout).unwrap();
        let written = fs::read_to_string(root().join(file)).unwrap_or_default();
        let differs = told.lines().zip(written.lines()).find(|(a, b)| a != b);
        assert!(
            told == written,
            "{file} is not what the code says, first in {differs:?}; write it anew: \
             cargo run --release -- reference {subject} > {file}"
        );
    }
}

/// Keys of the sample whose value is said to be the default, with the table that they are in.
fn defaults_of_the_sample(sample: &str) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    let mut table = String::new();
    for line in sample.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(heading) = line.strip_prefix('[') {
            table = heading
                .split(']')
                .next()
                .unwrap()
                .trim_matches('[')
                .to_owned();
            continue;
        }
        let Some((key, rest)) = line.split_once('=') else {
            continue;
        };
        let Some((value, said)) = rest.split_once(" # ") else {
            continue;
        };
        let ends = |rest: &str| rest.is_empty() || rest.starts_with([';', '.', ',']);
        if !said.trim().strip_prefix("default").is_some_and(ends) {
            continue;
        }
        let value = value.trim().trim_matches('"').to_owned();
        found.insert((table.clone(), key.trim().to_owned(), value));
    }
    found
}

/// The rows of the reference: table, key, default.
fn rows(reference: &str) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    let mut table = String::new();
    for line in reference.lines() {
        if let Some(heading) = line.strip_prefix("##") {
            let heading = heading.trim_start_matches(['#', ' ']);
            table = heading.trim_matches(['[', ']']).to_owned();
        }
        if let Some(row) = line.strip_prefix("| `") {
            let (key, rest) = row.split_once("` | ").unwrap();
            let cells: Vec<&str> = rest.split(" | ").collect();
            let usual = cells[1].split('`').nth(1).unwrap_or(cells[1]);
            found.insert((table.clone(), key.to_owned(), usual.trim().to_owned()));
        }
    }
    found
}

#[test]
fn b25_defaults_of_the_reference_are_those_of_the_sample() {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let sample = defaults_of_the_sample(&read("config/every-setting.toml"));
    assert!(sample.len() > 60, "{}", sample.len());
    let rows = rows(&read("config/REFERENCE.md"));
    assert!(rows.len() > 300, "{}", rows.len());
    let wrong: Vec<_> = sample
        .iter()
        .filter(|(table, key, value)| {
            // The sample names what others name as they like.
            let under = |named: &str| match named.split_once(".NAME") {
                Some((before, after)) => {
                    let rest = table
                        .strip_prefix(before)
                        .and_then(|rest| rest.strip_prefix('.'));
                    rest.is_some_and(|rest| after.is_empty() || rest.ends_with(after))
                }
                None => named == table.as_str(),
            };
            // What is unlike it in the list may be a default that hangs on something else.
            let usual: Vec<&str> = rows
                .iter()
                .filter(|(named, at, _)| under(named) && at == key)
                .map(|(_, _, usual)| usual.as_str())
                .collect();
            // What it is by itself hangs on the kind of issuer, or is told of the keys in it.
            let elsewhere = [
                ("audit", "rotate"),
                ("issuers.grid", "clients"),
                ("issuers.phone", "issuer"),
            ];
            if elsewhere.contains(&(table.as_str(), key.as_str())) {
                return false;
            }
            let words = |text: &str| text.replace(['[', ']', '"', ' '], "");
            !usual.iter().any(|usual| {
                words(usual) == words(value)
                    || (["[]", ""].contains(&value.as_str()) && !usual.contains('"'))
            })
        })
        .collect();
    assert_eq!(wrong, Vec::<&(String, String, String)>::new());
}

#[test]
fn b25_the_schema_says_of_every_setting_what_it_is() {
    let schema: Value = serde_json::from_str(&Settings::schema()).unwrap();
    let mut settings = 0;
    let roots = schema["$defs"]
        .as_object()
        .unwrap()
        .values()
        .chain([&schema]);
    for table in roots {
        for (key, one) in table["properties"].as_object().into_iter().flatten() {
            let says = one["description"].as_str();
            assert!(
                says.is_some_and(|says| says.ends_with('.')),
                "{key}: {says:?}"
            );
            settings += 1;
        }
    }
    assert!(settings > 300, "{settings}");
}
