//! What the measured processes cost, read from /proc: CPU time of all their threads and resident
//! memory, children included.

use std::collections::HashMap;
use std::fs;

use crate::Result;

/// `roots` and everything below them, as far as it is there.
pub fn family(roots: &[u32]) -> Vec<u32> {
    let mut found = roots.to_vec();
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut at = 0;
    while at < found.len() {
        let children = parents
            .iter()
            .filter(|(pid, up)| *up == found[at] && !found.contains(pid));
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        at += 1;
    }
    found
}

/// An error that names the first of them that does not run: it costs nothing, and would pass every
/// threshold.
pub fn all_run(pids: &[u32]) -> Result<()> {
    let runs = |pid: u32| field(pid, 0).is_some_and(|state| state != "Z" && state != "X");
    match pids.iter().find(|pid| !runs(**pid)) {
        Some(pid) => Err(format!("process {pid} of --pid does not run").into()),
        None => Ok(()),
    }
}

fn parent(pid: u32) -> Option<u32> {
    field(pid, 1)?.parse().ok()
}

/// A field of stat, counted from the third; the second is a name in brackets that may hold anything.
fn field(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1;
    Some(fields.split_whitespace().nth(number)?.to_owned())
}

/// Nanoseconds that each thread was on a core (schedstat, first field), by where it stands below /proc.
#[derive(Default)]
pub struct Spent(HashMap<std::path::PathBuf, u64>);

impl Spent {
    pub fn of(pids: &[u32]) -> Spent {
        let tasks = pids
            .iter()
            .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        let spent = tasks.flatten().flatten().filter_map(|thread| {
            let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let spent = line.split_whitespace().next()?.parse().ok()?;
            Some((thread.path(), spent))
        });
        Spent(spent.collect())
    }

    /// Nanoseconds spent after `before`. A thread that has ended since counts for nothing, and not for
    /// less than that: what it had spent before was told then.
    pub fn since(&self, before: &Spent) -> u64 {
        let more = |(thread, now): (&std::path::PathBuf, &u64)| {
            now.saturating_sub(before.0.get(thread).copied().unwrap_or(0))
        };
        self.0.iter().map(more).sum()
    }
}

/// Resident kibibytes.
pub fn resident_kib(pids: &[u32]) -> u64 {
    let resident = |pid: &u32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    pids.iter().filter_map(resident).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_takes_nothing_away() {
        let spent = |of: &[(&str, u64)]| Spent(of.iter().map(|&(t, n)| (t.into(), n)).collect());
        let before = spent(&[("main", 100), ("resolver", 5_000)]);
        let now = spent(&[("main", 130), ("new", 7)]);
        assert_eq!(now.since(&before), 37);
        let own = Spent::of(&[std::process::id()]);
        assert!(own.since(&Spent::default()) > 0);
    }

    #[test]
    fn only_what_runs_can_be_watched() {
        assert!(all_run(&[std::process::id()]).is_ok());
        // Above what the kernel gives out.
        let error = all_run(&[std::process::id(), 4_194_305]).expect_err("nobody");
        assert_eq!(error.to_string(), "process 4194305 of --pid does not run");
        let mut child = std::process::Command::new("true").spawn().expect("a child");
        // Until somebody asks how it ended it is there, and does not run.
        while all_run(&[child.id()]).is_ok() {
            std::thread::yield_now();
        }
        assert!(field(child.id(), 0).is_some());
        child.wait().expect("an end");
    }
}
