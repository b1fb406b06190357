//! The Redis of the settings: whether the edge gets in, may do all that its scripts do, how fast that is,
//! and whether what it writes stays.

use std::time::Duration;

use super::report::{Finding, Group};
use crate::config::{Engine, Layout, Redis, Settings};
use crate::metrics;
use crate::store::{Examined, Node, Store};

/// The oldest that the scripts were written for.
const VERSION_LEAST: u32 = 6;
/// Clocks of edges and store are compared where places end: half of what a place waits for its renewal.
const SKEW_WARN_MS: u64 = 2_000;

pub(super) async fn check(settings: &Settings, metrics: &metrics::Shared) -> Vec<Finding> {
    let Engine::Redis(redis) = &settings.boot.store.engine else {
        let why = "the store is the memory of one edge: nothing is shared, and nothing outlives it";
        return vec![Finding::skipped(Group::Store, "redis", why)];
    };
    let examined = Store::examine(&settings.boot.store, metrics.clone()).await;
    match examined {
        None => Vec::new(),
        Some(Err(why)) => vec![Finding::fail(Group::Store, "connect", unreached(why))],
        Some(Ok(examined)) => tell(redis, &examined),
    }
}

fn unreached(why: &str) -> (String, &'static str) {
    let fix = match why {
        "it refuses the credential" => {
            "Set username and password of [store] to a user of that Redis (`ACL LIST` shows them), or \
             with managed_identity give the identity a data access policy there."
        }
        "its certificate is not valid for us" | "the TLS handshake failed" => {
            "See the line of the store under tls; roots of [store] must name the authority of its \
             certificate."
        }
        "it is no cluster" => {
            "Use redis:// or rediss:// in url of [store]: that server is no cluster."
        }
        "no sentinel is reached" | "the sentinels know no primary that is reached" => {
            "Look at the sentinels and at sentinelServiceName in url of [store]."
        }
        "it refuses what a new connection asks" => {
            "Give the user the rights of the README (+client|id, +info, +ping), in a cluster +cluster, \
             behind sentinels +role."
        }
        _ => "See the line of the store under dns and tls.",
    };
    (format!("No connection: {why}."), fix)
}

fn tell(redis: &Redis, found: &Examined) -> Vec<Finding> {
    let layout = match redis.layout {
        Layout::Single => "one server",
        Layout::Cluster => "a cluster",
        Layout::Sentinel { .. } => "behind sentinels",
    };
    let mut findings = vec![match found.cluster_broken {
        false => Finding::ok(
            Group::Store,
            "connect",
            format!("the credential is taken; {layout}"),
        ),
        true => {
            let text = "The cluster does not serve all its slots.";
            let fix = "Look at `CLUSTER INFO` and `CLUSTER NODES` of that Redis.";
            Finding::fail(Group::Store, "connect", (text, fix))
        }
    }];
    findings.push(rights(found));
    findings.push(ends(found));
    findings.push(speed(redis, found));
    for node in &found.servers {
        findings.extend(server(node));
    }
    findings.push(clock(found));
    findings
}

fn rights(found: &Examined) -> Finding {
    if found.commands.is_empty() && found.keys.is_empty() {
        let text = "all commands of the scripts, on all kinds of keys";
        return Finding::ok(Group::Store, "rights", text);
    }
    let commands = found.commands.iter().map(|name| format!("+{name}"));
    let keys = found.keys.iter().map(|kind| format!("~{kind}*"));
    let lacks: Vec<String> = commands.chain(keys).collect();
    let text = format!("The user lacks rights: {}.", lacks.join(" "));
    let fix = "Give it those of the line `user tonegate` in the README (with `prefix` before each kind \
               of key).";
    Finding::fail(Group::Store, "rights", (text, fix))
}

fn ends(found: &Examined) -> Finding {
    match found.expires {
        Some(true) => Finding::ok(Group::Store, "ttl", "a key that is given an end has one"),
        Some(false) => {
            let text = "A key that was given an end has none.";
            let fix = "Look at what stands before that Redis: the edge's keys would stay for ever.";
            Finding::fail(Group::Store, "ttl", (text, fix))
        }
        None => {
            let why = "the user may not set, look at and delete a key; see rights";
            Finding::skipped(Group::Store, "ttl", why)
        }
    }
}

fn speed(redis: &Redis, found: &Examined) -> Finding {
    let ms = |took: Duration| format!("{:.2} ms", took.as_secs_f64() * 1000.0);
    let text = format!(
        "ping: half within {}, 99 of 100 within {}; timeout {}",
        ms(found.half),
        ms(found.most),
        ms(redis.timeout)
    );
    let fix = "Put Redis into the edge's region and network, or raise timeout of [store].";
    let slow = (format!("It is slow: {text}."), fix);
    if found.half >= redis.timeout {
        Finding::fail(Group::Store, "latency", slow)
    } else if found.most >= redis.timeout / 2 {
        Finding::warn(Group::Store, "latency", slow)
    } else {
        Finding::ok(Group::Store, "latency", text)
    }
}

fn server(node: &Node) -> Vec<Finding> {
    let about = |what: &str| match node.name.is_empty() {
        true => what.to_owned(),
        false => format!("{what} {}", node.name),
    };
    let mut findings = Vec::new();
    let (version, role) = (node.version.as_deref(), node.role.as_deref());
    findings.push(match (version, role) {
        (None, _) => Finding::skipped(Group::Store, about("server"), "it does not say INFO"),
        (Some(version), _) if major(version) < VERSION_LEAST => {
            let text = format!("It is Redis {version}.");
            let fix = "Use Redis 6 or later: the edge's users and scripts need it.";
            Finding::fail(Group::Store, about("server"), (text, fix))
        }
        (Some(version), Some("slave")) => {
            let text =
                format!("It is Redis {version}, and a replica: nothing can be written there.");
            let fix = "Name the primary in url of [store], or its sentinels.";
            Finding::fail(Group::Store, about("server"), (text, fix))
        }
        (Some(version), role) => {
            let role = role.map_or("unknown", |_| "primary");
            let text = format!("Redis {version}, role {role}");
            Finding::ok(Group::Store, about("server"), text)
        }
    });
    findings.push(eviction(about("eviction"), node));
    findings.push(match node.kept {
        Some(true) => {
            let text = "what it holds is on a disk, too";
            Finding::ok(Group::Store, about("persistence"), text)
        }
        Some(false) => {
            let text = "It keeps nothing on a disk: a restart forgets session keys, and what was taken \
                        back.";
            let fix = "Switch on persistence (AOF), or have a replica take over.";
            Finding::warn(Group::Store, about("persistence"), (text, fix))
        }
        None => {
            let why = "it does not say INFO persistence";
            Finding::skipped(Group::Store, about("persistence"), why)
        }
    });
    findings
}

/// All that the edge and other clouds write has an end, so policies for keys that have one throw the same
/// away as those for all keys.
fn eviction(about: String, node: &Node) -> Finding {
    let fix = "Set maxmemory-policy to noeviction (Azure: Advanced settings; its default is volatile-lru).";
    match node.eviction.as_deref() {
        None => {
            let why = "it does not say INFO memory; maxmemory-policy must be noeviction";
            Finding::skipped(Group::Store, about, why)
        }
        Some("noeviction") => Finding::ok(Group::Store, about, "noeviction"),
        Some(policy) if node.limited => {
            let text = format!(
                "With maxmemory-policy {policy} it throws session keys and revocations away when its \
                 memory is full."
            );
            Finding::fail(Group::Store, about, (text, fix))
        }
        Some(policy) => {
            let text = format!(
                "maxmemory-policy is {policy}; without a maxmemory nothing is thrown away yet."
            );
            Finding::warn(Group::Store, about, (text, fix))
        }
    }
}

fn major(version: &str) -> u32 {
    let first = version.split('.').next().unwrap_or_default();
    first.parse().unwrap_or(0)
}

fn clock(found: &Examined) -> Finding {
    let Some((ahead, unsure)) = found.ahead_ms else {
        return Finding::skipped(Group::Store, "clock", "it does not say TIME");
    };
    let apart = ahead.unsigned_abs();
    if apart <= SKEW_WARN_MS + unsure {
        let text = format!("less than {} s from this machine's", SKEW_WARN_MS / 1000);
        return Finding::ok(Group::Store, "clock", text);
    }
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    let text = format!("Its clock is {apart} ms {word} this machine's.");
    let fix = "Have both machines keep time (chrony, systemd-timesyncd).";
    Finding::warn(Group::Store, "clock", (text, fix))
}
