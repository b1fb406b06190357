//! The binary: flags in, a verb run, an exit code out.
//!
//! The allocator is the system's: measured with a thousand idle sessions, mimalloc held 33 KiB each
//! where this one holds 28, and gave no more back after they had closed.

use std::process::ExitCode;

fn main() -> ExitCode {
    tonegate::cli::run()
}
