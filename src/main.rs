//! The binary: flags in, a verb run, an exit code out.
//!
//! The allocator is jemalloc, also for what is written in C. A handshake needs several times what its
//! session keeps, so that sessions come to lie far apart: of what a thousand had held glibc gave nothing
//! back after they had closed, jemalloc nine tenths; and after a burst of 16 KiB each held 30 KiB with
//! glibc, 22 with jemalloc. mimalloc does as well only if its environment says so. CPU per connection
//! and per message is the same with all of them, within what can be measured.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tonegate::cli::run()
}
