//! What the checks found, and how it is told: a line each, in groups, with what to do beneath it.

use serde_json::{Value, json};

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// It works, and may not for long, or not for everybody.
    Warn,
    Fail,
    Skipped,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
            Verdict::Skipped => "skipped",
        }
    }
}

/// Checks that belong together, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Group {
    Settings,
    Machine,
    Dns,
    Tls,
    Clock,
    Certificate,
    Issuers,
    Identity,
    Store,
    Voice,
    Azure,
    Public,
    Idle,
    Admin,
}

impl Group {
    fn title(self) -> &'static str {
        match self {
            Group::Settings => "settings",
            Group::Machine => "machine",
            Group::Dns => "dns",
            Group::Tls => "tls",
            Group::Clock => "clock",
            Group::Certificate => "certificate",
            Group::Issuers => "issuers",
            Group::Identity => "identity",
            Group::Store => "store",
            Group::Voice => "voice",
            Group::Azure => "azure",
            Group::Public => "public",
            Group::Idle => "idle",
            Group::Admin => "admin",
        }
    }
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    group: Group,
    about: String,
    pub(super) verdict: Verdict,
    text: String,
    /// One sentence: what to do.
    fix: Option<String>,
}

impl Finding {
    fn new(group: Group, about: impl Into<String>, verdict: Verdict, text: String) -> Finding {
        Finding {
            group,
            about: about.into(),
            verdict,
            text,
            fix: None,
        }
    }

    pub(super) fn ok(group: Group, about: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding::new(group, about, Verdict::Ok, text.into())
    }

    /// `why` it was not looked at.
    pub(super) fn skipped(
        group: Group,
        about: impl Into<String>,
        why: impl Into<String>,
    ) -> Finding {
        Finding::new(group, about, Verdict::Skipped, why.into())
    }

    pub(super) fn warn(
        group: Group,
        about: impl Into<String>,
        (text, fix): (impl Into<String>, impl Into<String>),
    ) -> Finding {
        Finding {
            fix: Some(fix.into()),
            ..Finding::new(group, about, Verdict::Warn, text.into())
        }
    }

    pub(super) fn fail(
        group: Group,
        about: impl Into<String>,
        (text, fix): (impl Into<String>, impl Into<String>),
    ) -> Finding {
        Finding {
            fix: Some(fix.into()),
            ..Finding::new(group, about, Verdict::Fail, text.into())
        }
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    fn json(&self) -> Value {
        json!({
            "group": self.group.title(),
            "about": self.about,
            "verdict": self.verdict.word().to_ascii_lowercase(),
            "text": self.text,
            "fix": self.fix,
        })
    }
}

/// All lines.
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn new(mut findings: Vec<Finding>) -> Report {
        // Within a group they stay as they came.
        findings.sort_by_key(|finding| finding.group as usize);
        Report(findings)
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        let all = self.0.iter();
        all.filter(|finding| finding.verdict == verdict).count()
    }

    fn sum(&self) -> String {
        let words = [
            (Verdict::Ok, "ok"),
            (Verdict::Warn, "warned of"),
            (Verdict::Fail, "failed"),
            (Verdict::Skipped, "skipped"),
        ];
        let counts = words.map(|(verdict, word)| format!("{} {word}", self.count(verdict)));
        counts.join(", ")
    }

    /// For people: groups, columns, and no colour anywhere.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut group = None;
        // Names longer than that stand out of their column.
        let widths = self.0.iter().map(|finding| finding.about.chars().count());
        let width = widths.filter(|width| *width <= 34).max().unwrap_or(0);
        for finding in &self.0 {
            if group != Some(finding.group) {
                group = Some(finding.group);
                text += finding.group.title();
                text.push('\n');
            }
            let (word, about) = (finding.verdict.word(), &finding.about);
            text += &format!("  {word:<7}  {about:<width$}  {}\n", finding.text);
            if let Some(fix) = &finding.fix {
                text += &format!("  {:<7}  {:<width$}  {fix}\n", "", "->");
            }
        }
        text + &format!("\n{}\n", self.sum())
    }

    /// For programs: a JSON line each, and one that sums up.
    pub(super) fn lines(&self) -> String {
        let mut lines: String = self.0.iter().map(|it| format!("{}\n", it.json())).collect();
        let sum = json!({
            "ok": self.count(Verdict::Ok),
            "warn": self.count(Verdict::Warn),
            "fail": self.count(Verdict::Fail),
            "skipped": self.count(Verdict::Skipped),
        });
        lines += &format!("{sum}\n");
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_in_their_order_with_a_fix_beneath_what_needs_one() {
        let report = Report::new(vec![
            Finding::fail(Group::Voice, "voice", ("It said no.", "Ask it nicely.")),
            Finding::ok(Group::Dns, "a.example", "192.0.2.1"),
            Finding::skipped(Group::Dns, "192.0.2.7", "a number"),
        ]);
        let text = "dns\n  ok       a.example  192.0.2.1\n  skipped  192.0.2.7  a number\nvoice\n  \
                    FAIL     voice      It said no.\n           ->         Ask it nicely.\n\n\
                    1 ok, 0 warned of, 1 failed, 1 skipped\n";
        assert_eq!(report.text(), text);
        let lines = report.lines();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[2]["fix"], "Ask it nicely.");
        assert_eq!(lines[3]["fail"], 1);
    }
}
