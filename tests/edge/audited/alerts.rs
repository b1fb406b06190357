//! The alert on denials goes by what there is from the start; `deployed::queries` has the rest of the rules.

use std::fs;
use std::path::Path;

use tonegate::error::Reason;

use crate::harness::World;
use crate::phone::world::Phone;

const RULES: &str = "deploy/prometheus/alerts.yml";

#[tokio::test]
async fn c18_alerts_go_by_metrics_that_show_from_the_start() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    let rules = fs::read_to_string(rules).unwrap();
    let (_, rules) = rules.split_once("- alert: TonegateDenials\n").unwrap();
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
