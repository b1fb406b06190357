//! The edge as a process, which hears SIGHUP and looks at its files by itself.

use rustix::process::{Signal, kill_process};

use super::*;
use crate::child::Child;
use crate::harness::{KEY, within};

fn hang_up(child: &Child) {
    kill_process(child.id(), Signal::HUP).unwrap();
}

async fn until_refused(operator: &Operator, key: &str) {
    within("the new settings", async {
        while operator.enters(key).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a39_sighup_reads_the_settings_anew_and_a_bad_file_ends_nobody() {
    let mut operator = Operator {
        world: World::usual().await,
    };
    let child = Child::start(&mut operator.world, "true");
    let mut caller = operator.enters(KEY).await.unwrap();
    operator.replace("[server]", "[server");
    hang_up(&child);
    let is_error = |line: &serde_json::Value| {
        let error = line["error"].as_str().unwrap_or_default();
        line["level"] == "ERROR" && error.contains("edge.toml: line 1") && line["in_force"] == 1
    };
    child
        .until("the error", |child| child.logged(is_error) == 1)
        .await;
    talks(&mut caller, "unmoved").await;
    operator.change_key();
    hang_up(&child);
    until_refused(&operator, KEY).await;
    drop(operator.enters(OTHER).await.unwrap());
    talks(&mut caller, "on").await;
    // By itself it finds what changes, too.
    operator.write(str::to_owned);
    until_refused(&operator, OTHER).await;
    drop(operator.enters(KEY).await.unwrap());
    talks(&mut caller, "and on").await;
    let told = |line: &serde_json::Value| line["result"] == "loaded" && line["why"].is_string();
    assert_eq!(child.logged(told), 2);
    child.terminate();
}
