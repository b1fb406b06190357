//! What `tonegate doctor` wants to know of a Redis: whether the edge gets in, may do there what its
//! scripts do, how fast that is, and whether what it writes stays.
//!
//! Nobody's key is read or written. One key of doctor's own, below `call:`, lives for ten seconds at the
//! most and is deleted before; of all others it is asked only whether keys of that kind may be touched,
//! by names that nobody has.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{
    ClientLike as _, EventInterface as _, KeysInterface as _, LuaInterface as _,
};
use fred::types::config::{Options, Server};
use fred::types::{ClusterHash, CustomCommand, Expiration, InfoKind};
use tokio::time::{Instant, timeout};

use super::connect::{self, Connected};
use super::told::cause;
use super::{Task, Unusable};
use crate::config::{self, Layout};
use crate::ids::{CallId, ForeignId, SessionId};
use crate::label::Label;
use crate::metrics;
use crate::secret::Digest;
use crate::store::Keys;

/// From nothing to a connection, a token for the edge included.
const CONNECT: Duration = Duration::from_secs(8);
/// Questions whose time is taken.
const PINGS: usize = 50;
/// So long the key of doctor's own may live, in ms, whatever becomes of doctor.
const SCRATCH_MS: i64 = 10_000;

/// What is known of a server; of a cluster, of each.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub version: Option<String>,
    /// `master`, `slave`.
    pub role: Option<String>,
    /// `maxmemory_policy`, and whether there is a limit at all.
    pub eviction: Option<String>,
    pub limited: bool,
    /// Whether what it holds outlives it; `None`: it does not say.
    pub kept: Option<bool>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Examined {
    pub servers: Vec<Node>,
    /// Commands that the edge's scripts use and its user may not, in lower case.
    pub commands: Vec<String>,
    /// Kinds of keys that its user may not touch, by what their names begin with.
    pub keys: Vec<String>,
    /// Whether a key that was given an end has one.
    pub expires: Option<bool>,
    /// Half of the pings took no longer, and all but one in a hundred.
    pub half: Duration,
    pub most: Duration,
    /// By how much its clock is ahead of ours, in ms, and how sure that is.
    pub ahead_ms: Option<(i64, u64)>,
    /// `cluster_state` is not `ok`.
    pub cluster_broken: bool,
}

/// Looks at the Redis of the settings.
///
/// # Errors
/// Why there is no connection: a fixed text.
pub(in crate::store) async fn examine(
    settings: &config::Redis,
    keys: &Keys,
    metrics: metrics::Shared,
) -> Result<Examined, &'static str> {
    let connected = connect::client(settings, metrics);
    let Connected { client, identity } = connected.map_err(|error| match error {
        Unusable::Peer(_) => "its roots or its identity cannot be used",
        Unusable::Client => "its settings cannot be used together",
    })?;
    let work = async {
        let _task = connect(&client).await?;
        look(&client, settings, keys).await
    };
    let Some(identity) = identity else {
        return work.await;
    };
    tokio::select! {
        found = work => found,
        () = identity.run() => unreachable!("tokens are fetched for ever"),
    }
}

/// Connects, or says why the first try failed.
async fn connect(client: &Client) -> Result<Task, &'static str> {
    let mut errors = client.error_rx();
    let task = Task(client.connect());
    let connected = async {
        tokio::select! {
            biased;
            error = errors.recv() => Err(error.map_or("the connection failed", |(it, _)| cause(&it))),
            done = client.wait_for_connect() => done.map_err(|error| cause(&error)),
        }
    };
    let connected = timeout(CONNECT, connected).await;
    connected.unwrap_or(Err("it took too long"))?;
    Ok(task)
}

async fn look(
    client: &Client,
    settings: &config::Redis,
    keys: &Keys,
) -> Result<Examined, &'static str> {
    let is_cluster = matches!(settings.layout, Layout::Cluster);
    let mut servers = Vec::new();
    let nodes: Vec<Option<Server>> = match is_cluster {
        true => client.active_connections().into_iter().map(Some).collect(),
        false => vec![None],
    };
    for node in nodes {
        servers.push(server(client, node).await);
    }
    let (half, most) = pings(client).await.ok_or("it does not answer PING")?;
    let call = CallId::new(&format!("doctor-{}", SessionId::random()));
    let call = call.ok_or("a key cannot be named")?;
    let scratch = keys.call(&call);
    let commands = commands(client, &scratch).await;
    let expires = expires(client, &scratch).await;
    Ok(Examined {
        servers,
        commands,
        keys: kinds(client, keys, &call).await,
        expires,
        half,
        most,
        ahead_ms: clock(client).await,
        cluster_broken: is_cluster && !cluster_is_whole(client).await,
    })
}

async fn server(client: &Client, node: Option<Server>) -> Node {
    let name = node.as_ref().map(ToString::to_string).unwrap_or_default();
    let options = Options {
        cluster_node: node,
        ..Options::default()
    };
    let client = client.with_options(&options);
    let mut text = String::new();
    for kind in [
        InfoKind::Server,
        InfoKind::Replication,
        InfoKind::Memory,
        InfoKind::Persistence,
    ] {
        let part: Result<String, Error> = client.info(Some(kind)).await;
        text += &part.unwrap_or_default();
        text.push('\n');
    }
    let field = |name: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        // It stands on an operator's screen.
        let value: String = value
            .trim()
            .chars()
            .filter(|c| plain(*c))
            .take(40)
            .collect();
        Some(value)
    };
    let aof = field("aof_enabled").map(|on| on == "1");
    let saved = field("rdb_last_save_time").is_some_and(|_| {
        // Of a server that never saves the time is that of its start, and nothing was saved since.
        field("rdb_saves").is_some_and(|count| count != "0")
    });
    Node {
        name,
        version: field("redis_version"),
        role: field("role"),
        eviction: field("maxmemory_policy"),
        limited: field("maxmemory").is_none_or(|bytes| bytes != "0"),
        kept: aof.map(|aof| aof || saved),
    }
}

/// The median and the 99th percentile of so many pings.
async fn pings(client: &Client) -> Option<(Duration, Duration)> {
    let mut took = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let begun = Instant::now();
        let answer: Result<String, Error> = client.ping(None).await;
        answer.ok()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let at = |of: usize| took[(took.len() * of / 100).min(took.len() - 1)];
    Some((at(50), at(99)))
}

/// How each command of the scripts is tried; `%` stands for the key. What it comes to does not matter:
/// a key of another type is an error of the command, and no right.
const TRIED: &[&[&str]] = &[
    &["SET", "%", "1", "PX", "10000"],
    &["GET", "%"],
    &["DEL", "%"],
    &["EXISTS", "%"],
    &["HDEL", "%", "x"],
    &["HGET", "%", "x"],
    &["HGETALL", "%"],
    &["HLEN", "%"],
    &["HMGET", "%", "x"],
    &["HSET", "%", "x", "1"],
    &["INCRBY", "%", "1"],
    &["PEXPIRE", "%", "10000"],
    &["PTTL", "%"],
    &["SADD", "%", "x"],
    &["SCARD", "%"],
    &["SISMEMBER", "%", "x"],
    &["SREM", "%", "x"],
    &["TIME"],
    &["XADD", "%", "*", "x", "1"],
    &["XDEL", "%", "1-1"],
    &["XINFO", "STREAM", "%"],
    &["XLEN", "%"],
    &["XRANGE", "%", "-", "+"],
    &["XREVRANGE", "%", "+", "-"],
    &["ZADD", "%", "1", "x"],
    &["ZCARD", "%"],
    &["ZRANGE", "%", "0", "0"],
    &["ZRANGEBYSCORE", "%", "1", "2"],
    &["ZREM", "%", "x"],
    &["ZREMRANGEBYSCORE", "%", "1", "2"],
    &["ZSCORE", "%", "x"],
];

/// Tries all commands on one key, and says which are not permitted. The first gives the key its end; the
/// others wait for it, and behind each the key is as it was, or has an end anew.
const TRY: &str = "
local denied = {}
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    local said = string.lower(answer.err)
    if string.find(said, 'noperm') or string.find(said, 'permission') or string.find(said, \"can't run\") then
      return false
    end
  end
  return true
end
if not try('SET', KEYS[1], '1', 'PX', '10000') then return {'set'} end
for i = 1, #ARGV do
  local words = cjson.decode(ARGV[i])
  for j = 1, #words do if words[j] == '%' then words[j] = KEYS[1] end end
  redis.pcall('SET', KEYS[1], '1', 'PX', '10000')
  if not try(unpack(words)) then denied[#denied + 1] = string.lower(words[1]) end
  redis.pcall('PEXPIRE', KEYS[1], '10000')
end
redis.pcall('DEL', KEYS[1])
return denied
";

async fn commands(client: &Client, scratch: &str) -> Vec<String> {
    let tried = TRIED.iter().map(|words| format!("{words:?}"));
    let tried: Vec<String> = tried.collect();
    let denied: Result<Vec<String>, Error> =
        client.eval(TRY, vec![scratch.to_owned()], tried).await;
    let mut denied = match denied {
        Ok(denied) => denied,
        // That is said of the kind of its key.
        Err(error) if is_denied(&error) && error.details().contains("key") => Vec::new(),
        // Nothing else can be tried then.
        Err(_) => vec!["eval".to_owned()],
    };
    let by_name: Result<i64, Error> = client
        .evalsha(NO_SCRIPT, vec![scratch.to_owned()], Vec::<String>::new())
        .await;
    if by_name.is_err_and(|error| is_denied(&error)) {
        denied.push("evalsha".to_owned());
    }
    denied.sort_unstable();
    denied.dedup();
    denied
}

/// The name of no script.
const NO_SCRIPT: &str = "0000000000000000000000000000000000000000";

fn is_denied(error: &Error) -> bool {
    error.details().starts_with("NOPERM")
}

/// Whether a key that is written with an end has one; `None`: that cannot be asked.
async fn expires(client: &Client, scratch: &str) -> Option<bool> {
    let ends = Some(Expiration::PX(SCRATCH_MS));
    let set: Result<(), Error> = client.set(scratch, "1", ends, None, false).await;
    set.ok()?;
    let left: Result<i64, Error> = client.pttl(scratch).await;
    let gone: Result<i64, Error> = client.del(scratch).await;
    let left = left.ok()?;
    Some(gone.is_ok() && (1..=SCRATCH_MS).contains(&left))
}

/// Kinds of keys that may not be touched.
async fn kinds(client: &Client, keys: &Keys, call: &CallId) -> Vec<String> {
    let mut denied = BTreeSet::new();
    for (kind, name) in names(keys, call) {
        let there: Result<i64, Error> = client.exists(name).await;
        if there.is_err_and(|error| is_denied(&error)) {
            denied.insert(kind.to_owned());
        }
    }
    denied.into_iter().collect()
}

/// A name of each kind, which nobody has.
fn names(keys: &Keys, call: &CallId) -> Vec<(&'static str, String)> {
    let nobody = Digest::of(call.as_str());
    let mut names = vec![
        ("call:{", keys.call(call)),
        ("live:{", keys.live(call)),
        ("tries:{", keys.tries(call)),
        ("tones:{", keys.tones(call)),
        ("spent:", keys.spent(&nobody)),
        ("event:", keys.event(&nobody)),
        ("used:{", keys.used(call.as_str())),
        ("orders:", keys.orders()),
        ("running:{", keys.running(SessionId::random())),
        ("pace:{", keys.pace(call.as_str())[0].clone()),
        ("limit:", keys.limit(call.as_str())),
    ];
    if let Some(route) = Label::new("doctor") {
        names.push(("fails:", keys.fails_of_route(&route)));
    }
    if let Some(id) = ForeignId::new(call.as_str()) {
        names.push(("sip:", keys.sip(&id).expose().to_owned()));
        names.push(("acs:", keys.api(&id).expose().to_owned()));
    }
    names
}

/// How far its clock is ahead, in ms, and how far that may be off.
async fn clock(client: &Client) -> Option<(i64, u64)> {
    let command = CustomCommand::new_static("TIME", ClusterHash::Random, false);
    let begun = Instant::now();
    let time: Result<Vec<String>, Error> = client.custom(command, Vec::<String>::new()).await;
    let took = u64::try_from(begun.elapsed().as_millis()).ok()?;
    let [seconds, micros] = <[String; 2]>::try_from(time.ok()?).ok()?;
    let theirs = seconds.parse::<i64>().ok()? * 1000 + micros.parse::<i64>().ok()? / 1000;
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let ours = i64::try_from(ours.as_millis()).ok()?;
    Some((
        theirs - (ours - i64::try_from(took / 2).ok()?),
        took / 2 + 1,
    ))
}

async fn cluster_is_whole(client: &Client) -> bool {
    let command = CustomCommand::new_static("CLUSTER", ClusterHash::Random, false);
    let told: Result<String, Error> = client.custom(command, vec!["INFO"]).await;
    told.is_ok_and(|told| told.lines().any(|line| line.trim() == "cluster_state:ok"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever writes a script with another command has doctor try it, too.
    #[test]
    fn every_command_of_every_script_is_tried() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/redis");
        let mut used = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "lua") {
                let text = std::fs::read_to_string(path).unwrap();
                for (at, call) in text.match_indices("call('") {
                    let name = text[at + call.len()..].split('\'').next().unwrap();
                    used.insert(name.to_owned());
                }
            }
        }
        assert!(used.len() > 25, "{used:?}");
        let tried: BTreeSet<String> = TRIED.iter().map(|words| words[0].to_owned()).collect();
        assert_eq!(used, tried);
    }
}
