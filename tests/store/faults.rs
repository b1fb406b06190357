//! What goes wrong with a store, and that the edge comes through it without a restart.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonegate::config::{self, Layout, Login, Redis, Roots};
use tonegate::secret::Secret;
use tonegate::sim::certificate::Authority;
use tonegate::sim::platform::{Desk, Options, Platform};
use tonegate::store::{Entered, Needs, Tried, Unavailable};

use crate::server::{Cluster, Server, Watched, acl_line};
use crate::under::{Call, HOUR, Running, at, eventually, lines, secured, sentinels, settings};

fn impatient(redis: Redis) -> config::Store {
    settings(Redis {
        timeout: Duration::from_millis(300),
        ..redis
    })
}

/// A call that enters once the store answers again.
async fn enters(running: &Running, needs: Needs) -> Entered {
    let call = Call::new();
    eventually("an answer", async || {
        running.store.note_call(&call.id, &call.facts).await.ok()?;
        running.store.enter(&call.ask(needs)).await.ok()
    })
    .await
}

/// F4: a server that is frozen is no answer, in time; and later it is one again.
#[tokio::test]
async fn s31_a_frozen_server_is_no_answer_and_is_one_again_afterwards() {
    let server = Server::plain(&[]);
    let running = Running::up(&impatient(at(Layout::Single, &[&server]))).await;
    let store = &*running.store;
    let call = Call::dialled(store).await;
    let key = call.key(store, "823");
    server.tell(&["SET", key.expose(), "1", "EX", "60"]);
    server.signal("-STOP");
    let asked = store.try_code(&call.attempt(&key, 1)).await;
    assert_eq!(asked, Err(Unavailable::Timeout));
    // Two seconds without an answer, and the connection is given up.
    eventually("that it is seen", async || (!store.is_up()).then_some(())).await;
    let asked = store.try_code(&call.attempt(&key, 1)).await;
    assert_eq!(asked, Err(Unavailable::Unreachable));
    eventually("the metric", async || {
        let page = running.metrics.render();
        page.contains("tonegate_store_up 0").then_some(())
    })
    .await;
    server.signal("-CONT");
    // The try that had no answer was made meanwhile, or is made now: once.
    let tried = eventually("an answer", async || {
        store.try_code(&call.attempt(&key, 1)).await.ok()
    });
    assert_eq!(tried.await, Tried::Opened(None));
    assert_eq!(server.tell(&["EXISTS", key.expose()]), "0");
    assert_eq!(
        server.tell(&["HLEN", &format!("tries:{{{}}}", call.id)]),
        "1"
    );
}

/// Asks every few moments, as an edge does, until the store is found to be away.
async fn is_found_away_while_it_is_asked(running: &Running, call: &Call) {
    let store = &*running.store;
    eventually("that it is seen", async || {
        let asked = store.look(&call.id, call.owner).await;
        (!store.is_up() || asked == Err(Unavailable::Unreachable)).then_some(())
    })
    .await;
}

/// F8: fred counts from what was written last, so a connection in use would never be dead to it.
#[tokio::test]
async fn s31_a_frozen_server_is_found_also_while_it_is_asked() {
    let server = Server::plain(&[]);
    let running = Running::up(&impatient(at(Layout::Single, &[&server]))).await;
    let call = Call::dialled(&running.store).await;
    server.signal("-STOP");
    is_found_away_while_it_is_asked(&running, &call).await;
    server.signal("-CONT");
    enters(&running, Needs::Dialled).await;
}

#[tokio::test]
async fn s31_a_frozen_node_is_found_also_while_others_answer() {
    let cluster = Cluster::start();
    let nodes = &cluster.nodes;
    let running = Running::up(&impatient(at(Layout::Cluster, &[&nodes[0]]))).await;
    nodes[2].signal("-STOP");
    // Most of these are answered.
    eventually("that it is seen", async || {
        let call = Call::new();
        let asked = running.store.note_call(&call.id, &call.facts).await;
        (!running.store.is_up() || asked == Err(Unavailable::Unreachable)).then_some(())
    })
    .await;
    nodes[2].signal("-CONT");
    for _ in 0..20 {
        enters(&running, Needs::Dialled).await;
    }
}

#[tokio::test]
async fn s31_a_server_that_was_killed_is_found_again_and_knows_its_scripts_no_more() {
    let server = Server::plain(&[]);
    let running = Running::up(&impatient(at(Layout::Single, &[&server]))).await;
    let call = Call::dialled(&running.store).await;
    server.kill();
    eventually("that it is seen", async || {
        (!running.store.is_up()).then_some(())
    })
    .await;
    let asked = running.store.look(&call.id, call.owner).await;
    assert_eq!(asked, Err(Unavailable::Unreachable));
    server.restart();
    assert!(matches!(
        enters(&running, Needs::Dialled).await,
        Entered::Pending(_)
    ));
    // What it knew is gone, and nobody makes it up.
    let key = call.key(&running.store, "823");
    let tried = running.store.try_code(&call.attempt(&key, 1)).await;
    assert_eq!(tried, Ok(Tried::NotOurs));
}

/// F5: down at first is no reason not to start.
#[tokio::test]
async fn s31_a_server_that_comes_later_is_found() {
    let server = Server::plain(&[]);
    server.kill();
    let running = Running::new(&impatient(at(Layout::Single, &[&server])));
    let call = Call::new();
    let asked = running.store.give_back(&call.given_back(call.owner)).await;
    assert_eq!(asked, Err(Unavailable::Unreachable));
    server.restart();
    assert!(matches!(
        enters(&running, Needs::Dialled).await,
        Entered::Pending(_)
    ));
}

/// More questions than may wait: the rest is refused at once and counted, and the client lives.
#[tokio::test]
async fn s31_so_many_questions_may_wait_and_no_more() {
    let server = Server::plain(&[]);
    let running = Running::up(&settings(Redis {
        timeout: Duration::from_millis(1500),
        ..at(Layout::Single, &[&server])
    }))
    .await;
    let call = Call::dialled(&running.store).await;
    server.signal("-STOP");
    let asking: Vec<_> = (0..4106)
        .map(|_| {
            let (store, id, owner) = (running.store.clone(), call.id.clone(), call.owner);
            tokio::spawn(async move { store.look(&id, owner).await })
        })
        .collect();
    let mut full = 0;
    for asked in asking {
        match asked.await.unwrap() {
            Err(Unavailable::Full) => full += 1,
            other => assert!(other.is_err(), "{other:?}"),
        }
    }
    assert_eq!(full, 10);
    let page = running.metrics.render();
    assert!(
        page.contains("tonegate_limit_hits_total{limit=\"store\"} 10"),
        "{page}"
    );
    server.signal("-CONT");
    assert!(matches!(
        enters(&running, Needs::Dialled).await,
        Entered::Pending(_)
    ));
}

/// F6: its own roots and no others; and what is wrong stands in the log, without what is secret.
#[tokio::test]
async fn a17_a_wrong_password_or_authority_is_no_store_and_a_clear_line() {
    let authority = Authority::new("Redis");
    let server = Server::tls(&authority, &acl_line());
    let right = secured(&server, &authority.pem());
    let plain = Server::plain(&[]);
    let cases = [
        (
            Redis {
                login: Login::Password {
                    username: Some("tonegate".to_owned()),
                    password: Secret::new("CANARY-password".to_owned()),
                },
                ..right.clone()
            },
            "it refuses the credential",
        ),
        (
            Redis {
                roots: Some(Roots::Pem(Authority::new("Other").pem())),
                ..right.clone()
            },
            "its certificate is not valid for us",
        ),
        (
            Redis {
                roots: None,
                ..right.clone()
            },
            "the connection failed or ended",
        ),
        (at(Layout::Cluster, &[&plain]), "it is no cluster"),
    ];
    for (redis, told) in cases {
        let running = Running::new(&settings(redis));
        eventually(told, async || lines().contains(told).then_some(())).await;
        assert!(!running.store.is_up());
        let asked = running
            .store
            .put_key(&Call::new().key(&running.store, "1"), HOUR)
            .await;
        assert_eq!(asked, Err(Unavailable::Unreachable));
        assert!(!lines().contains("CANARY"), "{}", lines());
    }
}

#[tokio::test]
async fn a17_behind_a_sentinel_the_replica_that_takes_over_is_found() {
    let watched = Watched::start();
    let running = Running::up(&impatient(at(sentinels(), &[&watched.sentinel]))).await;
    let call = Call::dialled(&running.store).await;
    watched.primary.kill();
    assert!(matches!(
        enters(&running, Needs::Dialled).await,
        Entered::Pending(_)
    ));
    let role = watched.replica.tell(&["ROLE"]);
    assert!(role.starts_with("master"), "{role}");
    // What the replica had of the call is still there.
    let looked = running.store.look(&call.id, call.owner).await;
    assert!(looked.is_ok(), "{looked:?}");
}

#[tokio::test]
async fn a17_a_slot_that_moves_is_followed_and_a_node_that_is_away_comes_back() {
    let cluster = Cluster::start();
    let nodes = &cluster.nodes;
    let running = Running::up(&impatient(at(Layout::Cluster, &[&nodes[0]]))).await;
    let ids: Vec<String> = nodes
        .iter()
        .map(|node| node.tell(&["CLUSTER", "MYID"]))
        .collect();
    // A call whose slot is the first node's, and goes to the second.
    let (call, slot) = loop {
        let call = Call::new();
        let slot = nodes[0].tell(&["CLUSTER", "KEYSLOT", call.id.as_str()]);
        if slot.parse::<u16>().unwrap() <= 5460 {
            break (call, slot);
        }
    };
    for node in [&nodes[1], &nodes[0], &nodes[2]] {
        node.tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]);
    }
    call.note(&running.store).await;
    let name = format!("call:{{{}}}", call.id);
    assert_eq!(
        nodes[1].tell(&["CLUSTER", "COUNTKEYSINSLOT", &slot]),
        "1",
        "{name}"
    );
    nodes[2].kill();
    eventually("that a node is missed", async || {
        let call = Call::new();
        running.store.note_call(&call.id, &call.facts).await.err()
    })
    .await;
    nodes[2].restart();
    for _ in 0..20 {
        let entered = enters(&running, Needs::Dialled).await;
        assert!(matches!(entered, Entered::Pending(_)), "{entered:?}");
    }
}

/// A connection that begins shows the token that is good then.
#[tokio::test]
async fn a17_a_token_of_the_platform_is_the_password_and_is_renewed() {
    let user = "11111111-2222-3333-4444-555555555555";
    let options = Options {
        resource: "https://redis.azure.com".to_owned(),
        // Half of it later there is another one.
        lasts: Duration::from_secs(8),
        ..Options::loopback()
    };
    let platform = Platform::bind(options).await.unwrap();
    let base = format!("http://{}", platform.address());
    let stop = CancellationToken::new();
    tokio::spawn(platform.serve(stop.clone()));
    let _stop = stop.drop_guard();
    let authority = Authority::new("Redis");
    let acl = acl_line().replace("user tonegate", &format!("user {user}"));
    let acl = acl.replace("s3cret-of-the-test", &Desk::token(1));
    let server = Server::tls(&authority, &acl);
    let redis = Redis {
        login: Login::Token {
            username: user.to_owned(),
            identity: config::ManagedIdentity {
                source: config::IdentitySource::Imds { base },
                client_id: None,
                scope: config::REDIS_SCOPE.to_owned(),
            },
        },
        ..secured(&server, &authority.pem())
    };
    let running = Running::up(&settings(redis)).await;
    let entered = enters(&running, Needs::Dialled).await;
    assert!(matches!(entered, Entered::Pending(_)));
    let clients = server.tell(&["CLIENT", "LIST"]);
    assert!(clients.contains(&format!("user={user}")), "{clients}");
    // From now on the first token is none any more, as at its end.
    let later: Vec<String> = (2..20)
        .map(|number| format!(">{}", Desk::token(number)))
        .collect();
    let mut command = vec!["ACL", "SETUSER", user, "resetpass"];
    command.extend(later.iter().map(String::as_str));
    server.tell(&command);
    server.tell(&["CLIENT", "KILL", "USER", user]);
    let told = "it refuses the credential";
    eventually(told, async || lines().contains(told).then_some(())).await;
    let entered = enters(&running, Needs::Dialled).await;
    assert!(matches!(entered, Entered::Pending(_)));
    assert!(!lines().contains(&Desk::token(1)), "{}", lines());
}
