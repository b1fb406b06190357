//! Every label of every series is a closed word or a name of the settings. Every world that a test
//! builds is looked at when it ends, so that the widest run there is, is the whole suite.

use std::fs;
use std::path::Path;

use tonegate::metrics::{FAMILIES, LABELS};

use crate::harness::{KEY, World};

/// The labels of a series; values of ours have no quotes in them.
fn labels(series: &str) -> Vec<(&str, &str)> {
    let Some((_, inside)) = series.split_once('{') else {
        return Vec::new();
    };
    let inside = inside.strip_suffix('}').unwrap();
    let pairs = inside.split("\",").map(|pair| pair.trim_end_matches('"'));
    pairs.map(|pair| pair.split_once("=\"").unwrap()).collect()
}

/// What on a page is in no closed list, where `settings` name what has names.
pub fn strange(page: &str, settings: &str) -> Vec<String> {
    let is_name = |name: &str| {
        settings.contains(&format!("\"{name}\""))
            || [']', '.']
                .iter()
                .any(|end| settings.contains(&format!(".{name}{end}")))
    };
    let lines = page
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let is_strange = |line: &&str| {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let family = FAMILIES.iter().find(|family| {
            let rest = name.strip_prefix(family.name);
            rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        });
        let Some(family) = family else {
            return true;
        };
        let known = LABELS.iter().find(|(name, _)| *name == family.name);
        let known = known.map_or(&[][..], |(_, labels)| labels);
        let found: Vec<_> = labels(series)
            .into_iter()
            .filter(|(name, _)| *name != "le")
            .collect();
        found.len() != known.len()
            || known.iter().any(|(name, values)| {
                let value = found.iter().find(|(found, _)| found == name);
                !value.is_some_and(|(_, value)| values.have(value, is_name))
            })
    };
    lines.filter(is_strange).map(str::to_owned).collect()
}

#[test]
fn a40_what_is_in_no_list_is_found() {
    let settings = "[upstreams.voice]\n[[routes]]\nname = \"browser\"\n";
    let good = "# HELP tonegate_x y\ntonegate_connections 3\n\
        tonegate_sessions{route=\"browser\"} 1\n\
        tonegate_upstream_dials_total{upstream=\"voice\",result=\"upstream_timeout\"} 1\n\
        tonegate_session_seconds_bucket{route=\"browser\",le=\"+Inf\"} 1\n\
        tonegate_requests_total{route=\"none\",result=\"not_found\"} 1\n";
    assert_eq!(strange(good, settings), Vec::<String>::new());
    for bad in [
        "tonegate_unheard_of 1",
        "tonegate_connections{peer=\"192.0.2.1\"} 1",
        "tonegate_sessions 1",
        "tonegate_sessions{route=\"phone\"} 1",
        "tonegate_sessions{route=\"browser\",user=\"x\"} 1",
        "tonegate_requests_total{route=\"none\",result=\"/admin.php\"} 1",
        "tonegate_limit_hits_total{limit=\"unknown\"} 1",
        "tonegate_upstream_dials_total{upstream=\"none\",result=\"ok\"} 1",
        "tonegate_first_audio_seconds_count{route=\"browser\",stage=\"other\"} 1",
    ] {
        assert_eq!(strange(bad, settings), [bad], "{bad}");
    }
}

#[test]
fn a40_the_labels_of_each_family_are_those_of_the_readme() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let mut rows = 0;
    for line in readme
        .lines()
        .filter(|line| line.starts_with("| `tonegate_"))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let said: Vec<&str> = match cells[3] {
            "" => Vec::new(),
            names => names.split(", ").collect(),
        };
        let known = LABELS.iter().find(|(family, _)| *family == name);
        let known = known.map_or(&[][..], |(_, labels)| labels);
        let known: Vec<&str> = known.iter().map(|(label, _)| *label).collect();
        assert_eq!(said, known, "{name}");
        rows += 1;
    }
    assert_eq!(rows, FAMILIES.len());
    for (name, _) in LABELS {
        assert!(FAMILIES.iter().any(|family| family.name == *name), "{name}");
    }
}

/// Every name in the settings that is a limit counts under that name when it is hit.
#[test]
fn a41_every_limit_of_the_settings_has_a_number_of_its_own() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/file/limits.rs");
    let file = fs::read_to_string(file).unwrap();
    let (_, limits) = LABELS
        .iter()
        .find(|(name, _)| *name == "tonegate_limit_hits_total")
        .unwrap();
    let counts = |name: &str| limits[0].1.have(name, |_| false);
    // These end a session with a reason of its own, or are no limit but how others are counted.
    let others = ["ping", "shared", "replicas", "lease"];
    let mut table = "";
    let mut found = 0;
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("pub(in crate::config) struct ") {
            table = name.trim_end_matches(" {");
        }
        let Some(name) = line
            .strip_prefix("    pub ")
            .and_then(|line| line.split(':').next())
        else {
            continue;
        };
        let name = match (table, name) {
            ("KeyLimits", name) => format!("key_{name}"),
            ("RouteLimits", "sessions" | "minutes") => format!("route_{name}"),
            (_, name) => name.to_owned(),
        };
        assert!(counts(&name) || others.contains(&name.as_str()), "{name}");
        found += 1;
    }
    assert!(found > 30);
}

#[tokio::test]
async fn a41_what_a_session_ended_by_counts_as_the_limit_that_it_was() {
    use crate::harness::{Wish, text};
    let world = World::with(Wish {
        limits: "client_message = \"1KiB\"\nidle = \"1s\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    caller.send(text(&"x".repeat(2000))).await;
    let _ = caller.closed().await;
    let mut caller = world.call("sim-echo").await;
    let _ = caller.closed().await;
    for limit in ["client_message", "idle"] {
        let line = format!("tonegate_limit_hits_total{{limit=\"{limit}\"}} 1");
        world.metrics_say(&line).await;
    }
    let refused = world
        .refused("/ws?model=none-of-these", &[("api-key", KEY)])
        .await;
    assert_eq!(refused.status, 403);
    let page = world.edge().metrics_page();
    assert_eq!(strange(&page, &world.settings), Vec::<String>::new());
}
