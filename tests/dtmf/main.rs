//! The detector against the standards, against speech and against itself.
//!
//! `cargo test --release --test dtmf -- --nocapture` prints the figures. `TONEGATE_SOAK=1` makes
//! every count ten times larger, `TONEGATE_SEED=n` draws other keys, phases and noise.

mod grade;
mod line;
mod mitel;
mod second;
mod stream;
mod suite;
mod talkoff;
