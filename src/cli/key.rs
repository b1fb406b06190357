//! `tonegate key`: makes an API key; the edge keeps its digest only.

use anyhow::{anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::json;

use crate::label::Label;
use crate::secret::Digest;

#[derive(Args)]
pub(super) struct Flags {
    /// Name of the key, as it appears in logs
    name: String,
    /// Print the name, the key and its digest as JSON
    #[arg(long)]
    json: bool,
}

/// 32 random bytes: nothing to guess.
const BYTES: usize = 32;

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    ensure!(
        Label::new(&flags.name).is_some(),
        "the name must be 1 to 64 characters of a-z A-Z 0-9 . _ -"
    );
    let key = random_key()?;
    if flags.json {
        let digest = Digest::of(&key).to_hex();
        println!(
            "{}",
            json!({"name": flags.name, "key": key, "sha256": digest})
        );
        return Ok(());
    }
    println!("# Give this to the client; it is shown once and stored nowhere:");
    println!("#   {key}");
    println!("[[keys]]");
    println!("name   = \"{}\"", flags.name);
    let digest = Digest::of(&key).to_hex();
    println!("sha256 = \"{digest}\"");
    println!("# or, in a .env file:");
    println!("#   TONEGATE_KEY_SHA256={digest}");
    Ok(())
}

/// A fresh key in URL-safe base64, so that it can stand in a query as it is.
pub(super) fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("the system has no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
