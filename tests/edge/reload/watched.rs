//! Files that are looked at again and again.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::harness::KEY;

const OFTEN: Duration = Duration::from_millis(20);

/// A folder as Kubernetes mounts one: files are links to files below `..data`, which is a link itself.
fn mount(world: &World, version: &str, settings: &str) {
    let mounted = world.folder.join("mounted");
    let data = mounted.join(format!("..{version}"));
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("edge.toml"), settings).unwrap();
    for name in ["ca.pem", "edge.pem", "edge.key"] {
        fs::copy(world.folder.join(name), data.join(name)).unwrap();
    }
    let link = mounted.join("..next");
    symlink(format!("..{version}"), &link).unwrap();
    fs::rename(link, mounted.join("..data")).unwrap();
    for name in ["edge.toml", "ca.pem", "edge.pem", "edge.key"] {
        let _ = symlink(format!("..data/{name}"), mounted.join(name));
    }
}

async fn until_refused(operator: &Operator, key: &str) {
    crate::harness::within("the new settings", async {
        while operator.enters(key).await.is_ok() {
            tokio::time::sleep(OFTEN).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a39_a_swapped_link_is_seen_and_so_is_a_certificate_alone() {
    let mut world = World::usual().await;
    let first = world.settings.clone();
    mount(&world, "1", &first);
    let edge = start(
        &world.folder.join("mounted/edge.toml"),
        &Environment::process(),
        OFTEN,
    );
    world.port = edge.public().port();
    world.edge = Some(edge);
    let operator = Operator { world };
    let mut caller = operator.enters(KEY).await.unwrap();
    let digest = |key: &str| Digest::of(key).to_hex();
    mount(
        &operator.world,
        "2",
        &first.replacen(&digest(KEY), &digest(OTHER), 1),
    );
    until_refused(&operator, KEY).await;
    drop(operator.enters(OTHER).await.unwrap());
    talks(&mut caller, "on").await;
    assert_eq!(operator.loads("loaded"), 1);
    // Settings that are the same with another certificate.
    let names = ["localhost", "127.0.0.1"];
    let new = operator.world.authority.issue(&names).unwrap();
    fs::write(operator.world.folder.join("edge.pem"), &new.chain_pem).unwrap();
    fs::write(operator.world.folder.join("edge.key"), &new.key_pem).unwrap();
    mount(
        &operator.world,
        "3",
        &first.replacen(&digest(KEY), &digest(OTHER), 1),
    );
    let loaded = "tonegate_settings_loads_total{result=\"loaded\"} 2";
    operator.world.metrics_say(loaded).await;
    operator
        .world
        .metrics_say("tonegate_settings_in_force 1")
        .await;
}

#[tokio::test]
async fn a39_a_bad_file_is_tried_once_and_a_mended_one_is_seen() {
    let operator = Operator::over(World::usual().await, &Environment::process(), OFTEN);
    operator.replace("[server]", "[server");
    let unusable = "tonegate_settings_loads_total{result=\"unusable\"} 1";
    operator.world.metrics_say(unusable).await;
    operator
        .world
        .metrics_say("tonegate_settings_in_force 0")
        .await;
    // Many looks later it was not tried again.
    tokio::time::sleep(20 * OFTEN).await;
    assert_eq!(operator.loads("unusable"), 1);
    drop(operator.enters(KEY).await.unwrap());
    operator.change_key();
    until_refused(&operator, KEY).await;
    operator
        .world
        .metrics_say("tonegate_settings_in_force 1")
        .await;
    assert_eq!(operator.loads("loaded"), 1);
}

#[tokio::test]
async fn a39_a_file_that_is_gone_is_no_change_to_nothing() {
    let operator = Operator::over(World::usual().await, &Environment::process(), OFTEN);
    let key = operator.world.folder.join("edge.key");
    let pem = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let unusable = "tonegate_settings_loads_total{result=\"unusable\"} 1";
    operator.world.metrics_say(unusable).await;
    drop(operator.enters(KEY).await.unwrap());
    // It comes back as it was.
    fs::write(&key, pem).unwrap();
    operator
        .world
        .metrics_say("tonegate_settings_in_force 1")
        .await;
    assert_eq!(
        (operator.loads("loaded"), operator.loads("unchanged")),
        (0, 1)
    );
}
