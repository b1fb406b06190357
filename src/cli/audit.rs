//! `tonegate audit verify`: whether the records of an audit are all there and as they were written.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::audit::{self, Noted};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Judge the files of one audit that was written with chain = true, in whatever order they are named
    Verify(Flags),
}

#[derive(Args)]
pub(super) struct Flags {
    /// Files of records; those before the latest end in .1, .2 and so on
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Number and SHA-256 of a record that must be there, as the log of the edge told them; may be
    /// given several times
    #[arg(long, value_name = "SEQ:SHA256")]
    noted: Vec<String>,
    /// The records may begin anew in between, as on standard output with each start of the edge;
    /// files are then taken in the order in which they are named
    #[arg(long)]
    restarts: bool,
    /// Print the finding as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<()> {
    let Verb::Verify(flags) = verb;
    let wrong = || anyhow!("--noted must be a number and a SHA-256, such as 120:9f86d081…");
    let noted: Option<Vec<Noted>> = flags.noted.iter().map(|text| Noted::parse(text)).collect();
    let verified = audit::verify(&flags.files, &noted.ok_or_else(wrong)?, flags.restarts)?;
    let (first, last) = verified.seq;
    if flags.json {
        let told = json!({
            "records": verified.records,
            "first": first,
            "last": last,
            "sha256": verified.last,
            "unchained": verified.unchained,
            "repaired": verified.repaired,
            "torn": verified.torn,
        });
        println!("{told}");
        return Ok(());
    }
    println!("records   {} ({first} to {last})", verified.records);
    println!("last      {last}:{}", verified.last);
    if verified.unchained > 0 {
        println!(
            "note      {} records before the chain begins",
            verified.unchained
        );
    }
    if verified.repaired > 0 {
        println!("note      {} repairs after a crash", verified.repaired);
    }
    if verified.torn {
        println!("note      the last line is not whole: being written, or cut by a crash");
    }
    println!("ok");
    Ok(())
}
