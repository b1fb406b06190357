//! `tonegate check`: everything `serve` would do before it listens.

use std::path::PathBuf;

use crate::app;
use crate::config::Settings;

pub(super) fn run(paths: &[PathBuf]) -> anyhow::Result<()> {
    let settings = Settings::read(paths)?;
    app::check(&settings)?;
    print!("{}", settings.describe());
    println!("ok");
    Ok(())
}
