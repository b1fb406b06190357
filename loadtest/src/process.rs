//! What the measured processes cost, read from /proc: CPU time of all their threads and resident
//! memory, children included.

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

/// Nanoseconds on a core, summed over the threads (schedstat, first field).
pub fn cpu_nanoseconds(pids: &[u32]) -> u64 {
    let mut sum = 0;
    for pid in pids {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let line = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            sum += line
                .split_whitespace()
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
        }
    }
    sum
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
