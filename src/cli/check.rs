//! `tonegate check`: everything `serve` would do before it listens.

use clap::Args;
use serde_json::json;

use crate::app;
use crate::config::Settings;

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    settings: super::Config,
    /// Print the JSON schema of a settings file instead, for editors
    #[arg(long, conflicts_with_all = ["config", "env_file"])]
    schema: bool,
    /// Print what would run, or what is wrong, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    if flags.schema {
        println!("{}", Settings::schema());
        return Ok(());
    }
    let read = flags.settings.read();
    let checked = read.and_then(|settings| {
        app::check(&settings)?;
        Ok(settings)
    });
    if flags.json {
        let told = match &checked {
            Ok(settings) => json!({
                "ok": true,
                "settings": settings.describe().lines().collect::<Vec<_>>(),
                "notices": settings.notices,
            }),
            Err(error) => json!({"ok": false, "error": format!("{error:#}")}),
        };
        println!("{told}");
        return checked.map(drop);
    }
    let settings = checked?;
    print!("{}", settings.describe());
    for notice in &settings.notices {
        println!("note      {notice}");
    }
    println!("ok");
    Ok(())
}
