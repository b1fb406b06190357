//! What was counted before, and what is made of a difference.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::callgrind::Counts;
use super::counted::LOOP;

/// More than this times the baseline is a regression; less than its inverse an improvement that the
/// baseline should know of, or it would hide the next regression.
pub(super) const ALLOWED: f64 = 1.05;

/// Instructions that two builds of the same code may differ by, as the compiler inlines here what it inlined
/// there before something else was changed: of the smallest works more than a twentieth.
const SLACK: f64 = 32.0;

/// What counts depend on beside the code that is counted.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Taken {
    pub(super) rustc: String,
    pub(super) target: String,
    pub(super) valgrind: String,
    pub(super) libc: String,
    /// What the processor can do under valgrind, which has no AVX-512.
    pub(super) cpu: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    pub(super) taken: Taken,
    pub(super) instructions: Counts,
}

const HEAD: &str = "\
# Instructions that callgrind counts, for each frame or message; a frame of the detector's is 20 ms.
# `make instructions-baseline` writes this file: never by hand. `make test` compares.

";

impl Baseline {
    pub(super) fn read(path: &Path) -> Baseline {
        let text = fs::read_to_string(path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(super) fn write(&self, path: &Path) {
        let text = toml::to_string(self).unwrap();
        fs::write(path, format!("{HEAD}{text}")).unwrap();
    }
}

/// Why two counts say nothing of each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incomparable {
    /// Another machine: the code that ran is another.
    Machine(String),
    /// Built or counted by other tools.
    Tools(String),
}

/// Whether what is counted `now` may be compared.
pub(super) fn comparable(before: &Baseline, now: &Baseline) -> Result<(), Incomparable> {
    let (was, is) = (&before.taken, &now.taken);
    let differs = |what, was: &dyn std::fmt::Debug, is: &dyn std::fmt::Debug| {
        format!("{what} is {is:?}, and {was:?} in the baseline")
    };
    if was.target != is.target {
        let says = differs("the target", &was.target, &is.target);
        return Err(Incomparable::Machine(says));
    }
    if was.cpu != is.cpu {
        return Err(Incomparable::Machine(differs(
            "the processor",
            &was.cpu,
            &is.cpu,
        )));
    }
    for (what, was, is) in [
        ("rustc", &was.rustc, &is.rustc),
        ("valgrind", &was.valgrind, &is.valgrind),
        ("libc", &was.libc, &is.libc),
    ] {
        if was != is {
            return Err(Incomparable::Tools(differs(what, was, is)));
        }
    }
    let turn = |of: &Baseline| of.instructions.get(LOOP[0])?.get(LOOP[1]).copied();
    if turn(before) != turn(now) {
        let says = format!(
            "a turn of a loop takes {:?} instructions, and {:?} in the baseline: the profile is another",
            turn(now),
            turn(before)
        );
        return Err(Incomparable::Tools(says));
    }
    Ok(())
}

/// What became of the counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Any of these fails.
    pub(super) worse: Vec<String>,
    /// These want a new baseline.
    pub(super) better: Vec<String>,
}

/// Compares work by work.
pub(super) fn compare(before: &Counts, now: &Counts) -> Verdict {
    let mut verdict = Verdict::default();
    for (group, works) in now {
        for (name, &now) in works {
            let Some(&before) = before.get(group).and_then(|works| works.get(name)) else {
                let says = format!("{group}/{name}: {now} instructions, and no baseline");
                verdict.worse.push(says);
                continue;
            };
            let ratio = now / before;
            let says = format!(
                "{group}/{name}: {now} instructions, {before} in the baseline, {ratio:.3} times as many"
            );
            if (now - before).abs() <= SLACK {
                continue;
            }
            if ratio > ALLOWED {
                verdict.worse.push(says);
            } else if ratio < 1.0 / ALLOWED {
                verdict.better.push(says);
            }
        }
    }
    for (group, works) in before {
        for name in works.keys() {
            if now.get(group).is_none_or(|works| !works.contains_key(name)) {
                let says = format!("{group}/{name}: in the baseline, and not counted any more");
                verdict.worse.push(says);
            }
        }
    }
    verdict
}

/// All counts for people, beside the baseline where it can be compared.
pub(super) fn table(before: Option<&Counts>, now: &Counts) -> String {
    let mut table = String::new();
    for (group, works) in now {
        for (name, now) in works {
            let before = before.and_then(|before| before.get(group)?.get(name));
            let ratio = before.map_or(String::new(), |before| format!("{:.3}", now / before));
            let name = format!("{group}/{name}");
            writeln!(table, "{name:<48} {now:>10.1} {ratio:>8}").unwrap();
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(works: &[(&str, f64)]) -> Counts {
        let works = works.iter().map(|&(name, count)| (name.to_owned(), count));
        Counts::from([("scan".to_owned(), works.collect())])
    }

    fn baseline() -> Baseline {
        Baseline {
            taken: Taken {
                rustc: "1.95.0".into(),
                target: "x86_64-linux".into(),
                valgrind: "valgrind-3.19.0".into(),
                libc: "glibc 2.36".into(),
                cpu: vec!["avx2".into()],
            },
            instructions: Counts::from([(LOOP[0].to_owned(), [(LOOP[1].to_owned(), 3.0)].into())]),
        }
    }

    #[test]
    fn more_than_a_twentieth_is_a_regression_and_is_told_with_both_figures() {
        let before = counts(&[
            ("a", 1e3),
            ("b", 1e3),
            ("c", 1e3),
            ("d", 1e3),
            ("e", 1e2),
            ("f", 1e2),
        ]);
        let now = counts(&[
            ("a", 1050.0),
            ("b", 1051.0),
            ("c", 953.0),
            ("d", 952.0),
            ("e", 132.0),
            ("f", 68.0),
        ]);
        let verdict = compare(&before, &now);
        let worse = "scan/b: 1051 instructions, 1000 in the baseline, 1.051 times as many";
        let better = "scan/d: 952 instructions, 1000 in the baseline, 0.952 times as many";
        assert_eq!(verdict.worse, [worse]);
        assert_eq!(verdict.better, [better]);
    }

    #[test]
    fn a_work_without_a_baseline_fails_and_so_does_a_baseline_without_a_work() {
        let verdict = compare(&counts(&[("old", 1.0)]), &counts(&[("new", 1.0)]));
        assert_eq!(verdict.worse.len(), 2, "{verdict:?}");
        assert_eq!(compare(&Counts::new(), &Counts::new()), Verdict::default());
    }

    #[test]
    fn other_tools_and_other_machines_are_told_apart_from_the_same() {
        assert_eq!(comparable(&baseline(), &baseline()), Ok(()));
        let changes: [fn(&mut Baseline); 4] = [
            |now| now.taken.rustc.push('1'),
            |now| now.taken.valgrind.push('1'),
            |now| now.taken.libc.push('1'),
            |now| now.instructions.clear(),
        ];
        for change in changes {
            let mut now = baseline();
            change(&mut now);
            let compared = comparable(&baseline(), &now);
            assert!(
                matches!(compared, Err(Incomparable::Tools(_))),
                "{compared:?}"
            );
        }
        let changes: [fn(&mut Baseline); 2] = [
            |now| now.taken.target.push('1'),
            |now| now.taken.cpu.clear(),
        ];
        for change in changes {
            let mut now = baseline();
            change(&mut now);
            let compared = comparable(&baseline(), &now);
            assert!(
                matches!(compared, Err(Incomparable::Machine(_))),
                "{compared:?}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let name = format!("tonegate-baseline-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        baseline().write(&path);
        let read = Baseline::read(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(read.taken, baseline().taken);
        assert_eq!(read.instructions, baseline().instructions);
    }
}
