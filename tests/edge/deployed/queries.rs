//! What rules and dashboard ask for is what the edge counts: families, labels, and words of labels.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tokio::process::Command;
use tonegate::metrics::{FAMILIES, Family, Kind, labels_of};

use super::{deployed, files};
use crate::harness::within;
use crate::program::{python, root};

/// Labels that Prometheus adds, and the one of buckets.
const OTHERS: [&str; 3] = ["instance", "job", "le"];

/// The family of a series, and how its name ends.
fn family(series: &str) -> Option<(&'static Family, &str)> {
    FAMILIES.iter().find_map(|family| {
        let end = series.strip_prefix(family.name)?;
        let fits = match family.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"].contains(&end),
            Kind::Counter | Kind::Gauge => end.is_empty(),
        };
        fits.then_some((family, end))
    })
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Names at the beginning of a text.
fn name(text: &str) -> &str {
    &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())]
}

/// Whether a word may stand in a label.
fn may_be(family: &Family, label: &str, word: &str) -> bool {
    let values = labels_of(family.name)
        .iter()
        .find(|(name, _)| *name == label);
    values.map_or_else(
        || OTHERS.contains(&label),
        |(_, values)| values.have(word, |_| false),
    )
}

/// What no series of a family can have of `label="value"`, apart by commas.
fn wrong_matchers(family: &Family, matchers: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for matcher in matchers.split(", ").filter(|matcher| !matcher.is_empty()) {
        let label = name(matcher);
        let value = matcher.split('"').nth(1).unwrap_or("");
        let known = OTHERS.contains(&label)
            || labels_of(family.name)
                .iter()
                .any(|(name, _)| *name == label);
        // What begins so is a variable of the dashboard.
        let words = value.split('|').filter(|word| !word.starts_with('$'));
        let strange = words.filter(|word| !may_be(family, label, word));
        if known {
            wrong.extend(strange.map(|word| format!("{} has no {label}={word}", family.name)));
        } else {
            wrong.push(format!("{} has no label {label}", family.name));
        }
    }
    wrong
}

/// What is wrong with an expression; the families that it names are added to `seen`.
fn wrong_in(text: &str, seen: &mut BTreeSet<&'static str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut labels: BTreeSet<&str> = OTHERS.into();
    for (at, _) in text.match_indices("tonegate_") {
        if text[..at].ends_with(is_part) {
            continue;
        }
        let series = name(&text[at..]);
        let Some((family, end)) = family(series) else {
            wrong.push(format!("{series} is not counted"));
            continue;
        };
        seen.insert(family.name);
        labels.extend(labels_of(family.name).iter().map(|(label, _)| *label));
        let before = text[..at].trim_end();
        let counts = family.kind == Kind::Counter || !end.is_empty();
        let after = text[at + series.len()..].trim_start();
        let matchers = after
            .strip_prefix('{')
            .map_or("", |rest| rest.split('}').next().unwrap());
        let beyond = after.strip_prefix('{').map_or(after, |rest| {
            rest.split_once('}').map_or("", |(_, beyond)| beyond)
        });
        let grows = before.ends_with("rate(") || before.ends_with("increase(");
        // Or it is asked whether it is there at all.
        let is_there = beyond.trim_start().starts_with("unless") || before.ends_with("unless");
        let is_taken_well =
            (grows && beyond.starts_with('[')) || is_there || before.ends_with("label_values(");
        if counts && !is_taken_well {
            wrong.push(format!(
                "{series} is a number that grows, and is taken as it is"
            ));
        }
        wrong.extend(wrong_matchers(family, matchers));
    }
    // What is grouped by, and what is shown of labels.
    let shown = |begins: &'static str, ends: &'static [char]| {
        text.split(begins)
            .skip(1)
            .filter_map(move |rest| rest.split(ends).next())
    };
    let grouped = shown("by (", &[')']).flat_map(|list| list.split(", "));
    let told = shown("$labels.", &[' ', '}']);
    for label in grouped.chain(told) {
        if !labels.contains(label) {
            wrong.push(format!("nothing here has the label {label}"));
        }
    }
    wrong
}

/// What was recorded under which name, and alerts by theirs: name and text of each rule.
fn rules() -> Vec<(String, String)> {
    let mut rules = Vec::new();
    for file in ["rules.yml", "alerts.yml"] {
        let text = deployed(&format!("prometheus/{file}"));
        for piece in text.split("\n      - ").skip(1) {
            let head = piece.lines().next().unwrap();
            let name = head.split_once(": ").unwrap().1;
            rules.push((name.to_owned(), piece.to_owned()));
        }
    }
    rules
}

/// All queries of the dashboard, with what a series is called.
fn queries(dashboard: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = target["legendFormat"].as_str().unwrap();
            let labels = legend
                .split("{{")
                .skip(1)
                .map(|rest| rest.split("}}").next().unwrap());
            let labels: String = labels.map(|label| format!(" $labels.{label} ")).collect();
            all.push(format!("{}{labels}", target["expr"].as_str().unwrap()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            all.push(query.to_owned());
        }
    }
    all
}

#[test]
fn c17_c18_what_rules_and_dashboard_ask_for_is_counted() {
    let mut seen = BTreeSet::new();
    let rules = rules();
    assert!(rules.len() > 20);
    for (rule, text) in &rules {
        let (asks, says) = text.split_once("annotations:").unwrap_or((text, ""));
        // What it says names labels, and families as a person looks for them.
        let labels = says.split("$labels.").skip(1).map(name);
        let labels: String = labels.map(|label| format!(" $labels.{label} ")).collect();
        let wrong = wrong_in(&format!("{asks}{labels}"), &mut seen);
        assert_eq!(wrong, Vec::<String>::new(), "{rule}");
        for (at, _) in says.match_indices("tonegate_") {
            let named = name(&says[at..]);
            let known = FAMILIES.iter().any(|family| family.name == named);
            assert!(known, "{rule} speaks of {named}");
        }
    }
    let dashboard = deployed("grafana/tonegate.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() > 80, "{}", queries.len());
    let mut shown = BTreeSet::new();
    for query in &queries {
        let wrong = wrong_in(query, &mut shown);
        assert_eq!(wrong, Vec::<String>::new(), "{query}");
    }
    // What is recorded is what is asked for.
    let recorded: BTreeSet<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    let texts = rules.iter().map(|(_, text)| text).chain(&queries);
    for text in texts {
        for (at, _) in text.match_indices("tonegate:") {
            let name = name(&text[at..]);
            assert!(recorded.contains(name), "{name} is not recorded");
        }
    }
    // And whatever is counted can be seen.
    let unseen: Vec<&str> = FAMILIES
        .iter()
        .map(|family| family.name)
        .filter(|name| !shown.contains(name))
        .collect();
    assert_eq!(
        unseen,
        Vec::<&str>::new(),
        "give them a line in deploy/grafana/dashboard.py"
    );
}

#[test]
fn c17_a_query_that_asks_for_nothing_is_found() {
    let wrong = |text: &str| wrong_in(text, &mut BTreeSet::new()).len();
    let good = [
        "sum by (result) (rate(tonegate_requests_total{route!=\"none\", result=~\"busy|admitted\"}[5m]))",
        "rate(tonegate_limit_hits_total{limit=\"sessions\"}[5m])",
        "histogram_quantile(0.5, sum by (le) (rate(tonegate_gate_seconds_bucket{route=~\"$route\"}[5m])))",
        "tonegate_ready == 0",
    ];
    for text in good {
        assert_eq!(wrong(text), 0, "{text}");
        assert_eq!(
            wrong(&text.replace("tonegate_", "tonegate_no_")),
            1 + usize::from(text.contains("result")),
            "{text}"
        );
    }
    for bad in [
        "rate(tonegate_requests[5m])",
        "rate(tonegate_requests_total{result=\"denied\"}[5m])",
        "rate(tonegate_requests_total{outcome=\"busy\"}[5m])",
        "rate(tonegate_requests_total{upstream=~\"$upstream\"}[5m])",
        "sum by (reason) (rate(tonegate_requests_total[5m]))",
        "rate(tonegate_limit_hits_total{limit=\"seasons\"}[5m])",
        "tonegate_requests_total > 0",
        "rate(tonegate_gate_seconds[5m])",
        "tonegate_ready == 0 $labels.route ",
    ] {
        assert_eq!(wrong(bad), 1, "{bad}");
    }
}

#[tokio::test]
async fn c18_rules_are_good_and_each_alert_has_a_test_in_which_it_fires() {
    let tests = files(&root().join("tests/prometheus"));
    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules"]).args(&tests);
    let done = within("promtool", promtool.output()).await;
    let done = done.expect("promtool is missing: run `make tools`");
    let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{told}");
    let expected: String = tests
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for (rule, text) in rules() {
        if !text.starts_with("alert") {
            continue;
        }
        let fires = expected.contains(&format!("alertname=\"{rule}\""))
            || expected.contains(&format!("alertname: {rule}\n        exp_alerts"));
        assert!(fires, "no test in tests/prometheus sees {rule} fire");
        for field in ["severity: ", "summary: ", "description: "] {
            assert!(text.contains(field), "{rule} has no {field}");
        }
    }
}

#[tokio::test]
async fn c17_the_dashboard_is_the_one_that_its_script_writes() {
    let mut script = python();
    let done = script
        .arg(root().join("deploy/grafana/dashboard.py"))
        .output();
    let done = within("python3", done).await.unwrap();
    assert!(done.status.success());
    let file = deployed("grafana/tonegate.json");
    assert!(
        String::from_utf8(done.stdout).unwrap() == file,
        "write it anew: python3 deploy/grafana/dashboard.py > deploy/grafana/tonegate.json"
    );
    let dashboard: Value = serde_json::from_str(&file).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len());
    // No two lie on each other.
    let places: BTreeSet<String> = panels.iter().map(|p| p["gridPos"].to_string()).collect();
    assert_eq!(places.len(), panels.len());
}
