//! The fast path takes no more instructions than it did: a machine may be as noisy as it likes.
//!
//! Valgrind's callgrind counts the instructions of the works in `counted`, and `baseline` compares
//! them with `benches/instructions.toml`. It counts those of this program, which is built of the same
//! library and by the same profile as the edge, so nothing is compiled for it. Valgrind has no AVX-512:
//! what is counted of the detector is its AVX2 kernel, and the plain one.
//!
//! Counts say something of each other only when compiler, libc, valgrind and what the processor can
//! do are the same. Where they are not, that is told and the test passes, unless `TONEGATE_INSTRUCTIONS`
//! is `compare`, as in CI: then the tools have to be the baseline's. `renew` writes the baseline.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod baseline;
mod callgrind;
mod counted;
#[path = "../../benches/works/mod.rs"]
mod works;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use baseline::{Baseline, Incomparable, Taken};

/// What is to be done beside comparing what can be compared.
const WISH: &str = "TONEGATE_INSTRUCTIONS";
const RENEW: &str = "make instructions-baseline";

#[test]
fn no_work_takes_more_instructions_than_before() {
    let wish = std::env::var(WISH).unwrap_or_default();
    assert!(
        ["", "compare", "renew"].contains(&wish.as_str()),
        "{WISH} is `compare` or `renew`"
    );
    let valgrind = callgrind::version().expect("there is no valgrind: make tools");
    let counted = callgrind::count("works");
    let now = Baseline {
        taken: Taken {
            rustc: rustc(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            valgrind,
            libc: libc(),
            cpu: counted.cpu,
        },
        instructions: counted.counts,
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml");
    if wish == "renew" {
        assert!(
            !is_incremental(),
            "unset CARGO_INCREMENTAL: it optimises less"
        );
        now.write(&path);
        println!("{}", baseline::table(None, &now.instructions));
        return;
    }
    let before = Baseline::read(&path);
    if let Err(why) = comparable(&before, &now) {
        let (says, pinned) = match &why {
            Incomparable::Machine(says) => (says, false),
            Incomparable::Tools(says) => (says, is_pinned(&now.taken.rustc)),
        };
        println!("{}", baseline::table(None, &now.instructions));
        assert!(
            wish != "compare" || !pinned,
            "not comparable: {says}; {RENEW}"
        );
        return tell(&format!("instructions: not compared, as {says}"));
    }
    let verdict = baseline::compare(&before.instructions, &now.instructions);
    println!(
        "{}",
        baseline::table(Some(&before.instructions), &now.instructions)
    );
    for better in &verdict.better {
        tell(&format!(
            "instructions: fewer than before, so {RENEW}: {better}"
        ));
    }
    assert!(
        verdict.worse.is_empty(),
        "more than {} times the baseline (mend it, or say why and {RENEW}):\n{}",
        baseline::ALLOWED,
        verdict.worse.join("\n")
    );
}

fn comparable(before: &Baseline, now: &Baseline) -> Result<(), Incomparable> {
    if is_incremental() {
        let says = "CARGO_INCREMENTAL is set, by which less is optimised".to_owned();
        return Err(Incomparable::Tools(says));
    }
    baseline::comparable(before, now)
}

/// Everyone sees it, whatever is captured.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Not a test: what callgrind runs.
#[test]
#[ignore = "the other test runs it under callgrind"]
fn works() {
    println!("\ncpu\t{}", cpu().join(" "));
    counted::run();
}

/// What the processor can do, of what anything here asks for.
fn cpu() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detected {
            ($($feature:tt)*) => {
                [$(($feature, is_x86_feature_detected!($feature))),*]
            };
        }
        let features = detected!(
            "sse4.2" "popcnt" "pclmulqdq" "aes" "avx" "avx2" "bmi1" "bmi2" "fma" "lzcnt" "avx512f"
        );
        let here = features.into_iter().filter(|(_, here)| *here);
        here.map(|(feature, _)| feature).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// The version of the compiler, which it leaves in what it makes.
fn rustc() -> String {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let start = b"rustc version ";
    let version = memchr::memmem::find_iter(&program, start).find_map(|at| {
        let rest = &program[at + start.len()..];
        let end = memchr::memchr(0, &rest[..rest.len().min(100)])?;
        let version = std::str::from_utf8(&rest[..end]).ok()?;
        // What stands here is found as well.
        let is_one = version.starts_with(|c: char| c.is_ascii_digit());
        is_one.then(|| version.to_owned())
    });
    version.expect("the compiler leaves its version")
}

/// Whether it is the compiler that the package asks for.
fn is_pinned(rustc: &str) -> bool {
    let pinned = env!("CARGO_PKG_RUST_VERSION");
    let rest = rustc.strip_prefix(pinned);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_incremental() -> bool {
    option_env!("CARGO_INCREMENTAL").is_some_and(|set| set != "0")
}

fn libc() -> String {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8(output).unwrap().trim().to_owned()
}

#[test]
fn the_compiler_is_known() {
    assert!(rustc().contains('.'), "{}", rustc());
    assert!(is_pinned(concat!(
        env!("CARGO_PKG_RUST_VERSION"),
        ".7 (5d 2026-01-01)"
    )));
    assert!(!is_pinned(concat!(env!("CARGO_PKG_RUST_VERSION"), "1.0")));
    assert!(!is_pinned("0.9.0"));
}
