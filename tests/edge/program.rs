//! Other people's programs, and our scripts around them: found, run, and what they tell.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `make tools` installs. Without it the test fails: what is not run proves nothing.
pub fn tool(path: &str) -> PathBuf {
    let tool = root().join(".tools").join(path);
    assert!(
        tool.exists(),
        "{} is missing: run `make tools`",
        tool.display()
    );
    tool
}

/// The interpreter of the scripts that need no package.
pub fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a program to its end, which must be a success; what it printed.
pub async fn ends_well(command: &mut Command, patience: Duration) -> String {
    let run = command.kill_on_drop(true).output();
    let Output {
        status,
        stdout,
        stderr,
    } = timeout(patience, run)
        .await
        .expect("a program took too long")
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    out.into_owned()
}

/// The same of a program whose last line is JSON.
pub async fn tells(command: &mut Command, patience: Duration) -> Value {
    let out = ends_well(command, patience).await;
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}
