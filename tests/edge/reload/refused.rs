//! What must change nothing.

use std::fs;

use tonegate::listener::reload::NotLoaded;

use super::*;
use crate::harness::KEY;

/// Nothing of a load is in force: the old key opens, the new one does not, and the metrics say so.
async fn is_as_before(operator: &Operator, caller: &mut Caller, result: &str, times: u64) {
    talks(caller, result).await;
    drop(operator.enters(KEY).await.unwrap());
    assert_eq!(operator.enters(OTHER).await.err(), Some(401), "{result}");
    assert_eq!(operator.loads(result), times);
    assert!(operator.says("tonegate_settings_in_force 0"));
    assert_eq!(operator.loads("loaded"), 0);
}

#[tokio::test]
async fn a39_a_bad_file_keeps_the_old_settings_and_says_where_it_is_bad() {
    let operator = Operator::usual().await;
    let mut caller = operator.enters(KEY).await.unwrap();
    let changes: [(&str, &str, &str); 4] = [
        ("[server]", "[server", "edge.toml"),
        ("[server]", "[server]\nadmim = 1", "did you mean `admin`?"),
        (
            "kind = \"voice-live\"\nadmit",
            "kind = \"voice-life\"\nadmit",
            "routes.browser.kind",
        ),
        (
            "edge.key",
            "nowhere.key",
            "server.tls.key: the file cannot be read",
        ),
    ];
    let mut times = 0;
    for (from, to, told) in changes {
        // Half of it is good: the key has changed, too.
        let text = operator.world.settings.clone();
        assert!(text.contains(from), "{from}");
        operator.change_key();
        let file = operator.world.folder.join("edge.toml");
        let other = fs::read_to_string(&file).unwrap();
        fs::write(&file, other.replacen(from, to, 1)).unwrap();
        match operator.reload().await {
            Err(NotLoaded::Unusable(text)) => {
                assert!(text.contains(told), "{told}: {text}");
                assert!(!text.contains(KEY) && !text.contains(OTHER), "{text}");
            }
            other => panic!("{from} -> {to}: {other:?}"),
        }
        times += 1;
        is_as_before(&operator, &mut caller, "unusable", times).await;
    }
    // What is put right is in force again, and nothing is new.
    operator.write(str::to_owned);
    let loaded = operator.reload().await.unwrap();
    assert!(!loaded.is_new && loaded.generation == 1, "{loaded:?}");
    assert!(operator.says("tonegate_settings_in_force 1"));
    assert_eq!(operator.loads("unchanged"), 1);
    operator.change_key();
    let loaded = operator.reload().await.unwrap();
    assert!(loaded.is_new && loaded.generation == 2, "{loaded:?}");
    assert_eq!(operator.enters(KEY).await.err(), Some(401));
    drop(operator.enters(OTHER).await.unwrap());
    talks(&mut caller, "still").await;
}

#[tokio::test]
async fn a39_what_needs_a_restart_is_refused_by_name_and_nothing_of_it_is_applied() {
    let operator = Operator::usual().await;
    let mut caller = operator.enters(KEY).await.unwrap();
    let port = operator.world.port;
    let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"");
    let changes: [(&str, &str, &[&'static str]); 5] = [
        ("listen = \"127.0.0.1:0\"", &server[9..], &["server.listen"]),
        ("workers = 2", "workers = 3", &["server.workers"]),
        ("[server]", "[store]\nttl = \"2h\"\n[server]", &["store"]),
        (
            "[server]",
            "[log]\npii = [\"email\"]\n[server]",
            &["log.pii"],
        ),
        (
            "[server]",
            "[audit]\nto = \"stdout\"\n[store]\nttl = \"2h\"\n[server]",
            &["store", "audit"],
        ),
    ];
    let mut times = 0;
    for (from, to, names) in changes {
        operator.change_key();
        let file = operator.world.folder.join("edge.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}: {text}");
        fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let refused = operator.reload().await.unwrap_err();
        assert_eq!(refused, NotLoaded::NeedsRestart(names.to_vec()), "{to}");
        assert!(refused.to_string().starts_with(&names.join(", ")));
        times += 1;
        is_as_before(&operator, &mut caller, "needs_restart", times).await;
    }
    // TLS cannot be given up either.
    operator.change_key();
    let file = operator.world.folder.join("edge.toml");
    let text = fs::read_to_string(&file).unwrap();
    let tls: String = text
        .lines()
        .filter(|line| !line.starts_with("tls = "))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_ne!(tls.lines().count(), text.lines().count());
    fs::write(&file, tls).unwrap();
    let refused = operator.reload().await.unwrap_err();
    assert_eq!(refused, NotLoaded::NeedsRestart(vec!["server.tls"]));
    is_as_before(&operator, &mut caller, "needs_restart", times + 1).await;
}

#[tokio::test]
async fn a39_whoever_has_no_files_is_told_so() {
    let world = World::usual().await;
    let told = world.edge().reload().now().await;
    assert_eq!(told, Err(NotLoaded::NoFiles));
    world.still_serves().await;
}
