//! A Redis that does not let the edge in, or not do its work, or throws it away.

use std::path::PathBuf;

use super::{changed, doctor};
use crate::phone::redis::{PASSWORD, Redis};
use crate::phone::server::{Server, acl_line};
use crate::phone::world::Phone;
use tonegate::sim::certificate::Authority;

/// A world with this Redis for a store; nobody calls there.
async fn before(lines: &str) -> (Phone, PathBuf) {
    let phone = Phone::usual().await;
    let store = format!("[store]\n{lines}\ntimeout = \"5s\"\n");
    let file = changed(&phone.world, &[("[store]\n", &store)]);
    (phone, file)
}

async fn tried(lines: &str) -> super::Seen {
    let (_phone, file) = before(lines).await;
    doctor(&file, &["--only", "store,tls"]).await
}

fn tls(server: &Server, password: &str) -> String {
    format!(
        "url = \"rediss://localhost:{}\"\nroots = \"{}\"\nusername = \"tonegate\"\n\
         password = \"{password}\"",
        server.port,
        server.roots().unwrap().display()
    )
}

#[tokio::test]
async fn u9_a_redis_that_refuses_the_password_or_a_right_is_told_which() {
    let authority = Authority::new("Redis of doctor");
    let line = acl_line();
    let server = Server::tls(&authority, &line);
    let seen = tried(&tls(&server, "another-canary")).await;
    seen.fails(
        ("store", "connect"),
        "it refuses the credential",
        "`ACL LIST`",
    );
    // Rights that are taken away from the user of the README, one after another.
    for (taken, lacks) in [
        ("-zadd -xinfo", "The user lacks rights: +xinfo +zadd."),
        ("-set", "The user lacks rights: +set."),
        ("-eval", "The user lacks rights: +eval."),
        ("-evalsha", "The user lacks rights: +evalsha."),
    ] {
        let mut rights = vec!["ACL", "SETUSER", "tonegate"];
        rights.extend(taken.split(' '));
        assert_eq!(server.tell(&rights), "OK");
        let seen = tried(&tls(&server, PASSWORD)).await;
        seen.fails(("store", "rights"), lacks, "`user tonegate` in the README");
        let mut back = vec!["ACL", "SETUSER", "tonegate"];
        let given = taken.replace('-', "+").replace("+xinfo", "+xinfo|stream");
        back.extend(given.split(' '));
        assert_eq!(server.tell(&back), "OK");
    }
    // Kinds of keys that it may not touch.
    let mut keys = vec!["ACL", "SETUSER", "tonegate", "resetkeys"];
    let words = line.split(' ').filter(|word| word.starts_with('~'));
    keys.extend(words.filter(|word| !["~limit:*", "~sip:*"].contains(word)));
    assert_eq!(server.tell(&keys), "OK");
    let seen = tried(&tls(&server, PASSWORD)).await;
    seen.fails(
        ("store", "rights"),
        "The user lacks rights: ~limit:* ~sip:*.",
        "`prefix`",
    );
    assert_eq!(server.tell(&["KEYS", "*"]), "", "nothing stays");
}

#[tokio::test]
async fn u9_a_redis_that_throws_keys_away_or_is_a_replica_is_told_of() {
    let server = Server::plain(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let lines = |server: &Server| format!("url = \"redis://127.0.0.1:{}\"", server.port);
    let about = ("store", "eviction");
    let seen = tried(&lines(&server)).await;
    let says = "With maxmemory-policy allkeys-lru it throws session keys and revocations away";
    seen.fails(about, says, "maxmemory-policy to noeviction");
    // Whatever has an end is all there is.
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    let seen = tried(&lines(&server)).await;
    seen.fails(about, "volatile-ttl", "noeviction");
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    let seen = tried(&lines(&server)).await;
    seen.is("warn", about, "nothing is thrown away yet");
    let of = server.port.to_string();
    let replica = Server::plain(&["--replicaof", &format!("127.0.0.1 {of}")]);
    let seen = tried(&lines(&replica)).await;
    seen.fails(("store", "server"), "a replica", "Name the primary");
}

#[tokio::test]
async fn u9_redis_behind_sentinels_and_in_a_cluster_is_looked_at_too() {
    let watched = Redis::watched();
    let seen = tried(&watched.lines()).await;
    seen.is("ok", ("store", "connect"), "behind sentinels");
    seen.is("ok", ("store", "rights"), "all commands");
    let cluster = Redis::cluster();
    let seen = tried(&cluster.lines()).await;
    seen.is("ok", ("store", "connect"), "a cluster");
    let servers = |it: &&serde_json::Value| {
        it["group"] == "store"
            && it["about"]
                .as_str()
                .is_some_and(|it| it.starts_with("server "))
    };
    assert_eq!(
        seen.findings.iter().filter(servers).count(),
        3,
        "{}",
        seen.text
    );
    let single = Server::plain(&[]);
    let lines = format!("url = \"redis-cluster://127.0.0.1:{}\"", single.port);
    let seen = tried(&lines).await;
    seen.fails(("store", "connect"), "it is no cluster", "Use redis://");
}

#[tokio::test]
async fn u9_a_redis_that_is_away_or_speaks_old_tls_is_told_of() {
    let old = super::peers::answers(None, vec![0x15, 3, 1, 0, 2, 2, 0x46]).await;
    let closed = crate::phone::server::free_port();
    let seen = tried(&format!("url = \"redis://127.0.0.1:{closed}\"")).await;
    seen.fails(("store", "connect"), "No connection: ", "under dns and tls");
    let seen = tried(&format!(
        "url = \"rediss://localhost:{old}\"\nroots = \"ca.pem\""
    ))
    .await;
    seen.fails(
        ("tls", &old.to_string()),
        "1.2 or 1.3",
        "Have it speak TLS 1.2 or 1.3",
    );
    seen.fails(("store", "connect"), "No connection: ", "under dns and tls");
}
