//! The rules for Prometheus in `deploy/`: they are good, they fire when they should, and go by what
//! there is.

use std::fs;
use std::path::Path;

use tokio::process::Command;
use tonegate::error::Reason;
use tonegate::metrics::FAMILIES;

use crate::harness::{World, within};
use crate::phone::world::Phone;

const RULES: &str = "deploy/prometheus/alerts.yml";

async fn promtool(args: [&str; 3]) {
    let mut promtool = Command::new("promtool");
    promtool.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    let done = within("promtool", promtool.output()).await;
    let done = done.expect("promtool is missing: run `make tools`");
    let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{told}");
}

#[tokio::test]
async fn c18_so_many_denials_in_a_window_are_one_alert() {
    promtool(["check", "rules", RULES]).await;
    promtool(["test", "rules", "tests/prometheus/alerts.yml"]).await;
}

#[tokio::test]
async fn c18_alerts_go_by_metrics_that_show_from_the_start() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    let rules = fs::read_to_string(rules).unwrap();
    let named: Vec<&str> = rules
        .match_indices("tonegate_")
        .map(|(at, _)| {
            let rest = &rules[at..];
            rest.split(['{', '[', ' ']).next().unwrap()
        })
        .collect();
    assert_eq!(named.len(), 5, "{named:?}");
    for name in named {
        assert!(FAMILIES.iter().any(|family| family.name == name), "{name}");
    }
    let (_, words) = rules.split_once("result=~\"").unwrap();
    let words = words.split('"').next().unwrap().split('|');
    let phone = Phone::usual().await;
    let page = phone.world.edge().metrics_page();
    let shows = |series: &str| page.lines().any(|line| line == format!("{series} 0"));
    for word in words {
        assert!(
            Reason::ALL.iter().any(|reason| reason.word() == word),
            "{word}"
        );
        for route in ["browser", "phone"] {
            let series = format!("tonegate_requests_total{{route=\"{route}\",result=\"{word}\"}}");
            assert!(shows(&series), "{series} is not in:\n{page}");
        }
    }
    assert!(shows(
        "tonegate_gates_total{route=\"phone\",result=\"rejected\"}"
    ));
    assert!(shows("tonegate_insecure_dev"), "{page}");
    let world = World::usual().await;
    assert!(
        !world
            .edge()
            .metrics_page()
            .contains("tonegate_gates_total{")
    );
    assert!(!world.edge().metrics_page().contains("tonegate_audit_"));
}
