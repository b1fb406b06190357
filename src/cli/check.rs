//! `tonegate check`: everything `serve` would do before it listens.

use clap::Args;

use crate::app;
use crate::config::Settings;

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    settings: super::Config,
    /// Print the JSON schema of a settings file instead, for editors
    #[arg(long, conflicts_with_all = ["config", "env_file"])]
    schema: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    if flags.schema {
        println!("{}", Settings::schema());
        return Ok(());
    }
    let settings = flags.settings.read()?;
    app::check(&settings)?;
    print!("{}", settings.describe());
    for notice in &settings.notices {
        println!("note      {notice}");
    }
    println!("ok");
    Ok(())
}
