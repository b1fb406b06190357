//! The works under callgrind: this program again, whose parts are told apart by its fences.
//!
//! Callgrind writes a file at each fence, with what was counted since the one before; its start, and
//! what the works need beforehand, are parts of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// libc copies 2 KB and more by one instruction, of which callgrind counts one for each byte. So it is
/// to copy as it does below that: by loads and stores.
const TUNABLES: &str =
    "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000";

/// By group and name: instructions, for each thing that the work does.
pub(super) type Counts = BTreeMap<String, BTreeMap<String, f64>>;

/// What the program told of itself, and what was counted.
pub(super) struct Counted {
    pub(super) cpu: Vec<String>,
    pub(super) counts: Counts,
}

/// A folder that goes when nobody needs it any more.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("tonegate-instructions-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Its name and version.
pub(super) fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Runs the test `name` of this program, which does the works.
pub(super) fn count(name: &str) -> Counted {
    let folder = Folder::new();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*counted*fence*"])
        .arg(format!(
            "--callgrind-out-file={}",
            folder.0.join("part").display()
        ))
        .arg(std::env::current_exe().unwrap())
        // Nothing beside it, and nothing of it kept back.
        .args([
            "--exact",
            name,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        // Nothing of whoever runs it.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "the works failed under callgrind\n{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Counted {
        cpu: cpu(&told),
        counts: join(&told, &folder.0),
    }
}

fn cpu(told: &str) -> Vec<String> {
    let line = told.lines().find_map(|line| line.strip_prefix("cpu\t"));
    let features = line.expect("the works tell of the processor").split(' ');
    features.map(str::to_owned).collect()
}

/// Gives each part that has a name its count.
fn join(told: &str, folder: &Path) -> Counts {
    let parts: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("part"))
        .collect();
    // The last part ends with the program, not with a fence, and has the file without a number.
    let files = fs::read_dir(folder).unwrap().count();
    assert_eq!(files, parts.len(), "callgrind did not see each fence");
    let mut counts = Counts::new();
    for (at, part) in parts.iter().enumerate() {
        let fields: Vec<&str> = part.split('\t').collect();
        let [_, group, name, things] = fields[..] else {
            continue;
        };
        let file = folder.join(format!("part.{}", at + 1));
        let sum = summary(&fs::read_to_string(file).unwrap());
        let things: f64 = things.parse().unwrap();
        let group = counts.entry(group.to_owned()).or_default();
        // A tenth of an instruction tells enough.
        let each = (sum as f64 / things * 10.0).round() / 10.0;
        let before = group.insert(name.to_owned(), each);
        assert_eq!(before, None, "two works of the name {name:?}");
    }
    counts
}

/// The sum of all that a file of callgrind's says.
fn summary(file: &str) -> u64 {
    let line = file.lines().find_map(|line| line.strip_prefix("summary: "));
    let sum = line.expect("a file of callgrind's has a summary").parse();
    sum.expect("it is one number")
}

#[test]
fn a_file_of_callgrinds_is_read() {
    let file = "# callgrind format\nversion: 1\npart: 3\n\nevents: Ir\nsummary: 4711\n\nfn=(1) f\n0 4711\n";
    assert_eq!(summary(file), 4711);
}
