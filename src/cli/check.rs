//! `tonegate check`: everything `serve` would do before it listens.

use crate::app;

pub(super) fn run(config: &super::Config) -> anyhow::Result<()> {
    let settings = config.read()?;
    app::check(&settings)?;
    print!("{}", settings.describe());
    for notice in &settings.notices {
        println!("note      {notice}");
    }
    println!("ok");
    Ok(())
}
