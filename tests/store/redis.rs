//! What is in Redis, seen by another program: names, types, ends, rights, round trips.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use tonegate::config::{self, KeyForms, Layout, Rate};
use tonegate::ids::{CallId, ForeignId, PhoneNumber};
use tonegate::label::Label;
use tonegate::metrics::Metrics;
use tonegate::secret::Secret;
use tonegate::sim::certificate::Authority;
use tonegate::store::{Attempt, Enter, Entered, Facts, Needs, Store, Tried, Unavailable};

use crate::server::{Cluster, Monitor, Server, acl_line};
use crate::under::{Call, HOUR, Running, at, eventually, prefixed, secured, settings};

fn single(server: &Server) -> config::Store {
    settings(at(Layout::Single, &[server]))
}

/// The seed's examples, by the commands that a stranger would type.
#[tokio::test]
async fn a15_the_guides_examples_open_as_another_cloud_writes_them() {
    let server = Server::plain(&[]);
    let running = Running::up(&single(&server)).await;
    let store = &*running.store;
    server.tell(&["SET", "pstn:+15551234567:823", "1", "EX", "3600"]);
    server.tell(&["HSET", "sip:abc-xyz-123", "tenant", "blue"]);
    server.tell(&["RPUSH", "acs:call_connection_id:abc123", "1"]);
    let facts = Facts {
        ani: PhoneNumber::new("+15551234567"),
        sip: ForeignId::new("abc-xyz-123"),
        connection: ForeignId::new("abc123"),
        correlation: None,
    };
    let call = || Call {
        facts: facts.clone(),
        ..Call::new()
    };
    for needs in [
        Needs::SipKey { consume: true },
        Needs::ApiKey { consume: true },
    ] {
        for wanted in [call().authorised(false), Entered::NoKey] {
            let call = call();
            call.note(store).await;
            assert_eq!(call.enter(store, needs).await, wanted, "{needs:?}");
        }
    }
    for wanted in [Tried::Opened(None), Tried::Wrong] {
        let call = call();
        call.note(store).await;
        call.enter(store, Needs::Dialled).await;
        let key = call.key(store, "823");
        let tried = store.try_code(&call.attempt(&key, 1)).await.unwrap();
        assert_eq!(tried, wanted);
    }
}

#[tokio::test]
async fn a15_a_key_opens_whatever_the_type_of_its_value_on_one_server_and_in_a_cluster() {
    let (server, cluster) = (Server::plain(&[]), Cluster::start());
    let of_cluster = settings(at(Layout::Cluster, &[&cluster.nodes[1]]));
    for (cli, settings) in [(&server, single(&server)), (&cluster.nodes[0], of_cluster)] {
        let running = Running::up(&settings).await;
        let store = &*running.store;
        let values: [&[&str]; 6] = [
            &["SET", "", "x"],
            &["HSET", "", "f", "x"],
            &["RPUSH", "", "x"],
            &["SADD", "", "x"],
            &["ZADD", "", "1", "x"],
            &["XADD", "", "*", "f", "x"],
        ];
        for value in values {
            let call = Call::dialled(store).await;
            let key = call.key(store, "823");
            let mut command = value.to_vec();
            command[1] = key.expose();
            cli.tell(&command);
            let tried = store.try_code(&call.attempt(&key, 1)).await.unwrap();
            assert_eq!(tried, Tried::Opened(None), "{}", value[0]);
            assert_eq!(cli.tell(&["EXISTS", key.expose()]), "0", "{}", value[0]);
        }
    }
}

#[tokio::test]
async fn a16_a_hashed_key_opens_and_says_nothing() {
    let server = Server::plain(&[]);
    let hashed = config::Store {
        keys: KeyForms {
            prefix: "env1:".to_owned(),
            hmac: Some(Secret::new("0123456789abcdef0123456789abcdef".to_owned())),
            ..KeyForms::default()
        },
        ..single(&server)
    };
    let running = Running::up(&hashed).await;
    let store = &*running.store;
    // What the command of the README prints.
    let name = "env1:67818b0d6b3821eb9230cbc62586dc40f8e63110f4e97173781185b99aa12c18";
    server.tell(&["SET", name, "1", "EX", "3600"]);
    let mut call = Call::new();
    call.facts.ani = PhoneNumber::new("+15551234567");
    call.note(store).await;
    call.enter(store, Needs::Dialled).await;
    let key = call.key(store, "823");
    let tried = store.try_code(&call.attempt(&key, 1)).await.unwrap();
    assert_eq!(tried, Tried::Opened(None));
    let names = server.tell(&["KEYS", "*"]);
    assert!(
        names.lines().all(|name| name.starts_with("env1:")),
        "{names}"
    );
    assert!(!names.contains("823"), "{names}");
}

#[tokio::test]
async fn a27_everything_that_is_written_has_an_end() {
    let (server, cluster) = (Server::plain(&[]), Cluster::start());
    let of_cluster = settings(at(Layout::Cluster, &[&cluster.nodes[0]]));
    let cases = [
        (vec![&server], single(&server), 9),
        (cluster.nodes.iter().collect(), of_cluster, 10),
    ];
    for (servers, settings, kinds) in cases {
        let running = Running::up(&prefixed(&settings, "e:")).await;
        let store = &*running.store;
        let route = Label::new("phone").unwrap();
        let rate = Rate {
            count: 5,
            per: Duration::from_secs(600),
        };
        let call = Call::dialled(store).await;
        let (right, wrong) = (call.key(store, "823"), call.key(store, "824"));
        store.put_key(&right, HOUR).await.unwrap();
        store
            .put_key(&store.keys().sip(call.sip()), HOUR)
            .await
            .unwrap();
        let attempt = |key, number, shared_ani| Attempt {
            per_ani: Some(rate),
            per_route: Some((&route, rate)),
            shared_ani,
            ..call.attempt(key, number)
        };
        for (key, number, shared, wanted) in [
            (&wrong, 1, false, Tried::Wrong),
            (&wrong, 2, true, Tried::Wrong),
            (&right, 3, false, Tried::Opened(None)),
        ] {
            let tried = store.try_code(&attempt(key, number, shared)).await.unwrap();
            assert_eq!(tried, wanted);
        }
        let by_api = Call::new();
        let made = by_api.make(store).await;
        assert!(by_api.bind(store, made.binding).await);
        store.connect_call(&by_api.id).await.unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for server in servers {
            for name in server.tell(&["KEYS", "*"]).lines() {
                let left: i64 = server.tell(&["PTTL", name]).parse().unwrap();
                assert!(
                    left > 0 && left <= 3_600_000,
                    "{name} is kept for {left} ms"
                );
                let kind = name.strip_prefix("e:").expect(name);
                let kind = match kind.strip_prefix("fails:") {
                    Some(of) => format!("fails:{}", of.split(':').next().unwrap()),
                    None => kind.split(':').next().unwrap().to_owned(),
                };
                // A counter says no code, and what was tried says none either.
                if kind.starts_with("fails") || kind == "tries" {
                    assert!(!name.contains(":823") && !name.contains(":824"), "{name}");
                }
                seen.insert(kind);
            }
        }
        // call, live, tries, spent, three counters, the SIP key, that of a call that was made; in a
        // cluster that one was used.
        assert_eq!(seen.len(), kinds, "{seen:?}");
    }
}

#[tokio::test]
async fn a27_a_key_without_an_end_can_be_refused() {
    let (server, cluster) = (Server::plain(&[]), Cluster::start());
    let of_cluster = settings(at(Layout::Cluster, &[&cluster.nodes[0]]));
    for (cli, settings) in [(&server, single(&server)), (&cluster.nodes[0], of_cluster)] {
        let strict = config::Store {
            require_ttl: true,
            ..settings
        };
        let running = Running::up(&strict).await;
        let store = &*running.store;
        let call = Call::new();
        call.note(store).await;
        let api = store.keys().api(call.connection());
        let needs = Needs::ApiKey { consume: true };
        cli.tell(&["SET", api.expose(), "1"]);
        assert_eq!(call.enter(store, needs).await, Entered::NoKey);
        cli.tell(&["EXPIRE", api.expose(), "60"]);
        assert_eq!(call.enter(store, needs).await, call.authorised(false));
        let call = Call::dialled(store).await;
        let key = call.key(store, "823");
        cli.tell(&["SET", key.expose(), "1"]);
        let tried = store.try_code(&call.attempt(&key, 1)).await.unwrap();
        assert_eq!(tried, Tried::Wrong);
        cli.tell(&["EXPIRE", key.expose(), "60"]);
        let tried = store.try_code(&call.attempt(&key, 2)).await.unwrap();
        assert_eq!(tried, Tried::Opened(None));
    }
}

/// The answer was lost between the two rounds: the key is gone, and the call is not open yet.
#[tokio::test]
async fn a12_a_key_that_was_consumed_for_a_lost_answer_is_still_found_by_its_try() {
    let cluster = Cluster::start();
    let running = Running::up(&settings(at(Layout::Cluster, &[&cluster.nodes[0]]))).await;
    let store = &*running.store;
    let cli = &cluster.nodes[0];
    let call = Call::dialled(store).await;
    let key = call.key(store, "823");
    store.put_key(&key, HOUR).await.unwrap();
    let attempt = call.attempt(&key, 1);
    assert_eq!(store.try_code(&attempt).await.unwrap(), Tried::Opened(None));
    let live = format!("live:{{{}}}", call.id);
    cli.tell(&["DEL", &live]);
    let tries = format!("tries:{{{}}}", call.id);
    cli.tell(&["HSET", &tries, &format!("{}:1", call.owner), "reserved"]);
    let other = Call::dialled(store).await;
    let tried = store.try_code(&other.attempt(&key, 1)).await.unwrap();
    assert_eq!(tried, Tried::Wrong);
    assert_eq!(store.try_code(&attempt).await.unwrap(), Tried::Opened(None));
    assert_eq!(cli.tell(&["EXISTS", &live]), "1");
}

#[tokio::test]
async fn a18_a_decision_is_one_command_on_one_server() {
    let server = Server::plain(&[]);
    let running = Running::up(&single(&server)).await;
    let store = &*running.store;
    // The first time scripts are sent by their text.
    let call = Call::dialled(store).await;
    let key = call.key(store, "823");
    store.try_code(&call.attempt(&key, 1)).await.unwrap();
    store.put_key(&key, HOUR).await.unwrap();
    let route = Label::new("phone").unwrap();
    let rate = Rate {
        count: 5,
        per: HOUR,
    };
    let next = Call::new();
    next.note(store).await;
    let made = Call::new();
    let binding = made.make(store).await.binding;
    assert!(made.bind(store, binding).await);
    let monitor = server.listen();
    {
        let ask = Enter {
            binding: Some(binding),
            ..made.ask(Needs::ApiKey { consume: true })
        };
        let entered = store.enter(&ask).await.unwrap();
        assert!(matches!(entered, Entered::Authorised { .. }));
        assert_eq!(next.enter(store, Needs::Dialled).await, next.pending());
        let attempt = Attempt {
            per_ani: Some(rate),
            per_route: Some((&route, rate)),
            ..next.attempt(&key, 1)
        };
        assert_eq!(store.try_code(&attempt).await.unwrap(), Tried::Opened(None));
    }
    let heard = monitor.end();
    assert_eq!(heard.len(), 3, "{heard:#?}");
    assert!(
        heard.iter().all(|line| line.contains("\"EVALSHA\"")),
        "{heard:#?}"
    );
}

/// Reserve, consume, and where it opens one to write that: the commands between two answers go out
/// together, so these are two round trips, and three.
#[tokio::test]
async fn a18_a_decision_is_two_rounds_in_a_cluster() {
    let cluster = Cluster::start();
    let running = Running::up(&settings(at(Layout::Cluster, &[&cluster.nodes[0]]))).await;
    let store = &*running.store;
    let rate = Rate {
        count: 50,
        per: HOUR,
    };
    // Until every node has every script: which one a name belongs to is its hash.
    for _ in 0..40 {
        let call = Call::dialled(store).await;
        let key = call.key(store, "823");
        let attempt = Attempt {
            per_ani: Some(rate),
            ..call.attempt(&key, 1)
        };
        store.try_code(&attempt).await.unwrap();
    }
    let call = Call::new();
    call.note(store).await;
    let key = call.key(store, "823");
    let monitors: Vec<_> = cluster.nodes.iter().map(Server::listen).collect();
    {
        assert_eq!(call.enter(store, Needs::Dialled).await, call.pending());
        let attempt = Attempt {
            per_ani: Some(rate),
            ..call.attempt(&key, 1)
        };
        assert_eq!(store.try_code(&attempt).await.unwrap(), Tried::Wrong);
    }
    let heard: Vec<String> = monitors.into_iter().flat_map(Monitor::end).collect();
    // Spend and ask, then take over; reserve and count, then look the key up.
    assert_eq!(heard.len(), 6, "{heard:#?}");
    assert!(
        heard.iter().all(|line| line.contains("\"EVALSHA\"")),
        "{heard:#?}"
    );
}

#[tokio::test]
async fn s29_the_user_of_the_readme_is_enough_and_may_nothing_else() {
    let authority = Authority::new("Redis");
    let server = Server::tls(&authority, &acl_line());
    let running = Running::up(&settings(secured(&server, &authority.pem()))).await;
    let store = &*running.store;
    let call = Call::dialled(store).await;
    let key = call.key(store, "823");
    store.put_key(&key, HOUR).await.unwrap();
    store.try_code(&call.attempt(&key, 1)).await.unwrap();
    store.look(&call.id, call.owner).await.unwrap();
    store.leave(&call.id, call.owner, HOUR).await.unwrap();
    let by_api = Call::new();
    let made = by_api.make(store).await;
    assert!(by_api.bind(store, made.binding).await);
    let ask = Enter {
        binding: Some(made.binding),
        ..by_api.ask(Needs::ApiKey { consume: true })
    };
    let entered = store.enter(&ask).await.unwrap();
    assert!(matches!(entered, Entered::Authorised { .. }), "{entered:?}");
    // What another cloud wrote as another type is no string to be read.
    let list = Call::new();
    list.note(store).await;
    server.tell(&["RPUSH", store.keys().api(list.connection()).expose(), "x"]);
    let needs = Needs::ApiKey { consume: false };
    assert_eq!(list.enter(store, needs).await, list.authorised(false));
    store.give_back(&call.given_back(call.owner)).await.unwrap();
    assert_eq!(server.tell(&["ACL", "LOG"]), "", "something was refused");
    for command in [
        vec!["KEYS", "*"],
        vec!["SCAN", "0"],
        vec!["FLUSHALL"],
        vec!["CONFIG", "GET", "*"],
        vec!["GET", "session:1"],
        vec!["SUBSCRIBE", "x"],
    ] {
        let mut dry = vec!["ACL", "DRYRUN", "tonegate"];
        dry.extend(&command);
        let said = server.tell(&dry);
        assert!(
            said.contains("has no permissions") || said.contains("no access"),
            "{command:?}: {said}"
        );
    }
    // Names that it has no right to are a refusal, and no answer.
    let elsewhere = prefixed(&settings(secured(&server, &authority.pem())), "other:");
    let running = Running::up(&elsewhere).await;
    let store = &*running.store;
    let asked = store.enter(&call.ask(Needs::Nothing)).await;
    assert_eq!(asked, Err(Unavailable::Refused));
    let put = store.put_key(&key, HOUR).await;
    assert_eq!(put, Ok(()), "a key by a name that it has a right to");
}

#[tokio::test]
async fn s30_a_record_that_is_none_of_ours_opens_nothing() {
    let server = Server::plain(&[]);
    let running = Running::up(&single(&server)).await;
    let store = &*running.store;
    let call = Call::new();
    let name = format!("call:{{{}}}", call.id);
    let enter = async || store.enter(&call.ask(Needs::Nothing)).await;
    server.tell(&["SET", &name, "x"]);
    assert_eq!(enter().await, Err(Unavailable::Refused));
    server.tell(&["DEL", &name]);
    server.tell(&["HSET", &name, "ani", "+1:555"]);
    assert_eq!(enter().await, Err(Unavailable::Malformed));
    let page = running.metrics.render();
    for wanted in [
        "tonegate_store_operations_total{operation=\"enter\",result=\"refused\"} 1",
        "tonegate_store_operations_total{operation=\"enter\",result=\"malformed\"} 1",
        "tonegate_store_up 1",
    ] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
}

/// Connections live on the runtime that keeps them, questions come from those of the workers.
#[test]
fn a17_questions_come_from_other_threads_than_the_connections() {
    let server = Server::plain(&[]);
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let metrics = Arc::new(Metrics::new());
    let store = Arc::new(Store::new(&single(&server), metrics).unwrap());
    let stop = CancellationToken::new();
    std::thread::scope(|scope| {
        let (admin, token) = (Arc::clone(&store), stop.clone());
        scope.spawn(move || runtime().block_on(token.run_until_cancelled(admin.run())));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let store = Arc::clone(&store);
                scope.spawn(move || {
                    runtime().block_on(async {
                        eventually("the store", async || store.is_up().then_some(())).await;
                        for _ in 0..50 {
                            Call::dialled(&store).await;
                        }
                    });
                })
            })
            .collect();
        let done = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        let done: Vec<_> = done.collect();
        stop.cancel();
        assert!(done.iter().all(Result::is_ok));
    });
    let clients = server.tell(&["CLIENT", "LIST"]);
    assert_eq!(
        clients.lines().count(),
        1,
        "only redis-cli is left: {clients}"
    );
}

/// Names of calls differ by more than what a pattern or a slot would make of them.
#[tokio::test]
async fn s29_two_edges_by_two_prefixes_do_not_meet() {
    let server = Server::plain(&[]);
    let one = Running::up(&prefixed(&single(&server), "blue:")).await;
    let two = Running::up(&prefixed(&single(&server), "green:")).await;
    let call = Call::new();
    call.note(&one.store).await;
    assert_eq!(
        call.enter(&two.store, Needs::Dialled).await,
        Entered::Unknown
    );
    assert_eq!(call.enter(&one.store, Needs::Dialled).await, call.pending());
    assert!(CallId::new("*").is_none());
}
