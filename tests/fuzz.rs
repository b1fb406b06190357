//! The fuzz targets below `fuzz/`, as tests: each is fed its corpus, and what cheap mutations make of it.
//!
//! `make fuzz TARGET=head SECONDS=600` is the real thing. What it finds is minimised and put into the
//! corpus, so that it is tried here for ever. `TONEGATE_SOAK=1` makes it a hundred times as many mutations,
//! and no input may take longer than [`SLOW`].

#![allow(unreachable_pub, reason = "a test binary has no outside")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "fuzz/targets/bot.rs"]
mod bot;
#[path = "fuzz/targets/head.rs"]
mod head;
#[path = "fuzz/targets/json.rs"]
mod json;
#[path = "fuzz/targets/jwks.rs"]
mod jwks;
#[path = "fuzz/targets/jwt.rs"]
mod jwt;
#[path = "fuzz/targets/keys.rs"]
mod keys;
#[path = "fuzz/targets/query.rs"]
mod query;
#[path = "fuzz/targets/relay.rs"]
mod relay;
#[path = "fuzz/targets/tls.rs"]
mod tls;

const TARGETS: [&str; 9] = [
    "bot", "head", "json", "jwks", "jwt", "keys", "query", "relay", "tls",
];

/// In an optimised build one input of a few kilobytes takes no longer, twice in a row: on a machine that
/// has other things to do one of them may.
const SLOW: Duration = Duration::from_millis(1);
/// Longest input that is made.
const LENGTH: usize = 4096;

fn soaks() -> bool {
    std::env::var("TONEGATE_SOAK").is_ok_and(|value| value != "0")
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target)
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(target)).expect("a corpus");
    let mut inputs: Vec<_> = files
        .map(|file| {
            let file = file.expect("a file");
            let bytes = fs::read(file.path()).expect("an input");
            (file.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    inputs.sort_unstable();
    inputs
}

/// A small generator: the same mutations at every run (xorshift64*, Vigna 2016).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    /// Something like one of the inputs.
    fn mutate(&mut self, inputs: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].1.clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.next() as u8,
                2 => bytes.insert(at, self.next() as u8),
                3 => bytes.truncate(at),
                4 => {
                    // A piece of another one.
                    let other = &inputs[self.below(inputs.len())].1;
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(64)).min(other.len());
                    bytes.splice(at..at, other[from..to].iter().copied());
                }
                _ => {
                    let to = (at + self.below(32)).min(bytes.len());
                    let piece = bytes[at..to].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes.truncate(LENGTH);
        bytes
    }
}

/// Feeds a target its corpus and so many mutations; the input is told where it fails.
fn replay(target: &str, mutations: usize, run: fn(&[u8])) {
    struct Told<'a>(&'a str, &'a [u8]);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("input of {}: {:?}", self.0, String::from_utf8_lossy(self.1));
            }
        }
    }
    let feed = |name: &str, bytes: &[u8]| {
        let _told = Told(name, bytes);
        let begun = Instant::now();
        run(bytes);
        begun.elapsed()
    };
    let inputs = corpus(target);
    assert!(inputs.len() >= 3, "{target} has no corpus");
    for (name, bytes) in &inputs {
        feed(name, bytes);
    }
    let mut chance = Chance(0x746F_6E65_6761_7465);
    let mutations = if soaks() { 100 * mutations } else { mutations };
    for _ in 0..mutations {
        let input = chance.mutate(&inputs);
        let took = feed("a mutation", &input);
        if soaks() && took > SLOW {
            let again = (0..5).map(|_| feed("a mutation again", &input)).min();
            let _told = Told("a slow one", &input);
            assert!(again < Some(SLOW), "{target} takes {again:?}");
        }
    }
}

#[test]
fn g5_activities_and_what_becomes_of_them() {
    replay("bot", 3000, bot::run);
}

#[test]
fn g5_heads() {
    replay("head", 2000, head::run);
}

#[test]
fn g5_messages_of_acs_and_voice_live() {
    replay("json", 10_000, json::run);
}

#[test]
fn g5_published_keys() {
    replay("jwks", 1000, jwks::run);
}

#[test]
fn g5_tokens() {
    replay("jwt", 500, jwt::run);
}

#[test]
fn g5_names_of_session_keys() {
    replay("keys", 10_000, keys::run);
}

#[test]
fn g5_queries() {
    replay("query", 3000, query::run);
}

#[test]
fn g5_frames_both_ways() {
    replay("relay", 300, relay::run);
}

#[test]
fn g5_tls_sessions() {
    replay("tls", 2000, tls::run);
}

#[test]
fn g5_every_target_is_run_and_has_a_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("the manifest");
    for part in ["run", "targets"] {
        let mut names: Vec<String> = fs::read_dir(folder.join(part))
            .expect("a folder")
            .map(|file| file.expect("a file").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort_unstable();
        assert_eq!(names, TARGETS);
    }
    for target in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{target}\"\n")),
            "{target}"
        );
        let size: usize = corpus(target).iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(
            size <= 64 * 1024,
            "{target} has {size} bytes: minimise them"
        );
    }
}
