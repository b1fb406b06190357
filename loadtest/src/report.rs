//! What a run found, what of it was too much, and how both are told: a JSON line or a table.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Counted by the connections' tasks. All of them run on one thread: relaxed is enough.
#[derive(Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub received: AtomicU64,
    /// Messages that came back other than they were sent, or out of order.
    pub changed: AtomicU64,
    /// Connections that ended before they should.
    pub broken: AtomicU64,
}

impl Counts {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// One direction at a time: an echo was relayed twice.
    pub fn relayed(&self) -> u64 {
        self.sent.load(Relaxed) + self.received.load(Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.sent
            .load(Relaxed)
            .saturating_sub(self.received.load(Relaxed))
    }

    pub fn json(&self) -> Value {
        json!({
            "sent": self.sent.load(Relaxed),
            "received": self.received.load(Relaxed),
            "lost": self.lost(),
            "changed": self.changed.load(Relaxed),
            "broken": self.broken.load(Relaxed),
        })
    }
}

/// Microseconds up to a minute, to three digits.
pub struct Times(Mutex<Histogram<u64>>);

impl Times {
    pub fn new() -> Times {
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3);
        Times(Mutex::new(
            histogram.expect("the bounds are constants that fit"),
        ))
    }

    pub fn record(&self, took: Duration) {
        self.with(|histogram| histogram.saturating_record(took.as_micros() as u64));
    }

    pub fn json(&self) -> Value {
        self.with(|histogram| {
            json!({
                "p50": histogram.value_at_quantile(0.5),
                "p90": histogram.value_at_quantile(0.9),
                "p99": histogram.value_at_quantile(0.99),
                "p999": histogram.value_at_quantile(0.999),
                "max": histogram.max(),
                "count": histogram.len(),
            })
        })
    }

    /// Microseconds; of no times at all there is none.
    pub fn p99(&self) -> f64 {
        self.with(|histogram| match histogram.len() {
            0 => f64::NAN,
            _ => histogram.value_at_quantile(0.99) as f64,
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Histogram<u64>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How results are told. Without either: a table where somebody reads along, JSON where a program does.
#[derive(clap::Args, Clone, Copy)]
pub struct Format {
    /// The result as one line of JSON, as always where the output is no terminal
    #[arg(long, global = true, conflicts_with = "table")]
    json: bool,
    /// The result as a table, as always on a terminal
    #[arg(long, global = true)]
    table: bool,
}

impl Format {
    fn is_table(self) -> bool {
        self.table || !self.json && std::io::stdout().is_terminal()
    }
}

/// The figures of a run, and what of them is wrong.
pub struct Report {
    line: Value,
    failed: Vec<String>,
}

impl Report {
    pub fn new(figures: Value) -> Report {
        Report {
            line: figures,
            failed: Vec::new(),
        }
    }

    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.line[name] = value.into();
    }

    pub fn merge(&mut self, more: Value) {
        if let (Some(line), Value::Object(more)) = (self.line.as_object_mut(), more) {
            line.extend(more);
        }
    }

    /// Fails the run for what no threshold allows.
    pub fn demand(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.failed.push(otherwise.into());
        }
    }

    /// Fails the run if `value` is more than the flag allows, or is no number: then nothing was
    /// measured that could be judged.
    pub fn at_most(&mut self, what: &str, value: f64, flag: &str, most: Option<f64>) {
        let Some(most) = most else { return };
        if value.is_nan() || value > most {
            let value = if value.is_nan() {
                "unknown, and not within".to_owned()
            } else {
                format!("{}, more than", number(value))
            };
            self.failed
                .push(format!("{what}: {value} --{flag} {}", number(most)));
        }
    }

    #[cfg(test)]
    pub fn failed(&self) -> &[String] {
        &self.failed
    }

    #[cfg(test)]
    pub fn line(&self) -> &Value {
        &self.line
    }

    /// Tells everything; what failed on stderr as well. True if nothing did.
    pub fn print(mut self, format: Format) -> bool {
        let ok = self.failed.is_empty();
        self.line["ok"] = json!(ok);
        self.line["failed"] = json!(self.failed);
        if format.is_table() {
            print!("{}", table(&self.line));
        } else {
            println!("{}", self.line);
        }
        for failed in &self.failed {
            eprintln!("tonegate-load: failed: {failed}");
        }
        ok
    }
}

/// What the figures are called where people read them, in this order.
const ROWS: [(&str, &str); 32] = [
    ("cpu_us_per_message", "CPU per relayed message, us"),
    ("cpu_ms_per_connection", "CPU per connection, ms"),
    ("cpu_ms_per_call", "CPU per call, ms"),
    ("cpu_us_per_frame_said", "CPU per frame said, us"),
    (
        "resident_kib_per_pair_before_burst",
        "memory before the burst, KiB/pair",
    ),
    ("resident_kib_per_pair", "memory, KiB/pair"),
    (
        "resident_kib_kept_per_pair",
        "kept after all closed, KiB/pair",
    ),
    ("resident_kept_share", "kept after all closed, share"),
    ("cores_at_rest", "cores at rest"),
    ("connections", "connections"),
    ("calls", "calls"),
    ("whole", "whole"),
    ("relayed", "messages relayed"),
    ("messages_per_second", "messages relayed a second"),
    ("made", "connections made"),
    ("connections_per_second", "connections a second"),
    ("resumed", "TLS sessions resumed"),
    ("sent", "sent"),
    ("received", "received"),
    ("frames_said", "frames said"),
    ("frames_heard", "frames heard"),
    ("messages_late", "own messages late"),
    ("frames_late", "own frames late"),
    ("connections_late", "own connections late"),
    ("lost", "lost"),
    ("changed", "changed"),
    ("leaked", "leaked"),
    ("broken", "broken"),
    ("refused", "refused, by HTTP status"),
    ("closed", "closed, by close code"),
    ("resident_kib_kept", "kept after all closed, KiB"),
    ("began_late", "began late"),
];
const TIMES: [(&str, &str); 5] = [
    ("connect_us", "to the 101, us"),
    ("gate_us", "last key to the agent, us"),
    ("round_trip_us", "round trip, us"),
    ("batch_us", "a batch's round trip, us"),
    ("lateness_us", "own lateness, us"),
];
const QUANTILES: [(&str, &str); 5] = [
    ("p50", "p50"),
    ("p90", "p90"),
    ("p99", "p99"),
    ("p999", "p99.9"),
    ("max", "max"),
];

fn table(line: &Value) -> String {
    let verdict = if line["ok"] == true { "ok" } else { "FAILED" };
    let mut text = format!("{}: {verdict}\n", line["mode"].as_str().unwrap_or_default());
    for failed in line["failed"].as_array().into_iter().flatten() {
        text += &format!("  failed: {}\n", failed.as_str().unwrap_or_default());
    }
    for (name, label) in ROWS {
        let told = match &line[name] {
            Value::Null => continue,
            Value::Number(value) => number(value.as_f64().unwrap_or(f64::NAN)),
            Value::Object(by) if by.is_empty() => continue,
            Value::Object(by) => {
                let each: Vec<String> = by.iter().map(|(of, n)| format!("{of}: {n}")).collect();
                each.join(", ")
            }
            other => other.to_string(),
        };
        text += &format!("  {label:34} {told:>12}\n");
    }
    let times: Vec<_> = TIMES
        .iter()
        .filter(|(name, _)| line[name].is_object())
        .collect();
    if !times.is_empty() {
        text += &format!("  {:28}", "");
        text += &QUANTILES.map(|(_, label)| format!("{label:>11}")).concat();
        text.push('\n');
    }
    for (name, label) in times {
        text += &format!("  {label:28}");
        for (quantile, _) in QUANTILES {
            let value = line[name][quantile].as_f64().unwrap_or(f64::NAN);
            text += &format!("{:>11}", number(value));
        }
        text.push('\n');
    }
    text
}

/// Three digits of what is small, all of what is a count, thousands apart.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    if value.abs() < 100.0 && value.fract() != 0.0 {
        let digits = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6);
        return format!("{value:.*}", digits as usize);
    }
    let digits = format!("{:.0}", value.abs());
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    if value < 0.0 {
        told.insert(0, '-');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_or_unknown_fails_the_run_by_its_flag() {
        let mut report = Report::new(json!({}));
        report.at_most("p99", 10.0, "max-p99-us", Some(10.0));
        report.at_most("p99", 1e9, "max-p99-us", None);
        assert!(report.failed().is_empty());
        report.at_most("p99", 1500.5, "max-p99-us", Some(1500.0));
        report.at_most("p99", f64::NAN, "max-p99-us", Some(10.0));
        report.demand(true, "held");
        report.demand(false, "did not hold");
        assert_eq!(
            report.failed(),
            [
                "p99: 1,500, more than --max-p99-us 1,500",
                "p99: unknown, and not within --max-p99-us 10",
                "did not hold"
            ]
        );
    }

    #[test]
    fn of_no_times_there_is_no_p99() {
        let times = Times::new();
        assert!(times.p99().is_nan());
        times.record(Duration::from_millis(3));
        assert!((times.p99() - 3000.0).abs() < 5.0, "{}", times.p99());
    }

    #[test]
    fn numbers_are_told_as_people_write_them() {
        for (value, told) in [
            (0.0, "0"),
            (0.001_234, "0.00123"),
            (12.345, "12.3"),
            (99.96, "100.0"),
            (7.0, "7"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(number(value), told, "{value}");
        }
    }

    #[test]
    fn the_table_has_every_figure_with_its_unit() {
        let times = json!({"p50": 1, "p90": 2, "p99": 3456, "p999": 4, "max": 5, "count": 9});
        let line = json!({
            "mode": "call", "ok": false, "failed": ["messages were lost"], "cpu_us_per_message": 12.34,
            "lost": 3, "refused": {"403": 2}, "closed": {}, "round_trip_us": times,
        });
        let told = table(&line);
        for part in [
            "call: FAILED\n",
            "  failed: messages were lost\n",
            "CPU per relayed message, us",
            " 12.3\n",
            "403: 2\n",
            "p99.9",
            "3,456",
        ] {
            assert!(told.contains(part), "{part} in\n{told}");
        }
        assert!(!told.contains("close code"), "{told}");
    }
}
