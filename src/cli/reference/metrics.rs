//! The table of metric families.

use super::cell;
use crate::metrics::{FAMILIES, Kind, labels_of};

pub(super) fn text() -> String {
    let mut text = "# Metrics\n\n\
        What `/metrics` of the admin address shows. Labels are closed words, or names in the settings where no\n\
        words are told, never what a peer sent. A counter or gauge without labels is there from the start, others from their first use\n\
        on, but for those that alerts go by. Histograms have `_bucket`, `_sum` and `_count`.\n\n\
        | metric | type | labels | |\n\
        | --- | --- | --- | --- |\n"
        .to_owned();
    for family in &FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = labels_of(family.name).iter();
        let labels: Vec<String> = labels
            .map(|(label, values)| match values.told() {
                told if told.is_empty() => format!("`{label}`"),
                told => format!("`{label}`: {told}"),
            })
            .collect();
        text += &format!(
            "| `{}` | {kind} | {} | {} |\n",
            family.name,
            labels.join("; "),
            cell(family.help)
        );
    }
    text += "\nAlerts and recording rules that go by them are in [`deploy/prometheus`](../prometheus), a dashboard in\n\
        [`deploy/grafana`](../grafana).";
    text
}
