//! `[store]`: which engine, where it is, what it is shown, and how keys are built.

use std::time::Duration;

use super::Problems;
use super::credential;
use super::template;
use crate::config::bot::is_loopback;
use crate::config::env::Environment;
use crate::config::file;
use crate::config::{Engine, Layout, Login, REDIS_SCOPE, Redis, Store};
use crate::ids::is_guid;
use crate::secret::Secret;

/// Beyond it nobody waits for a `101`.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// The longest that session keys of any known writer live.
const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// An edge reads what was taken back twice a second: a shorter time would refuse for one late answer.
const STALE_MIN: Duration = Duration::from_secs(2);
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);

pub(super) fn store(
    written: &file::Store,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<Store> {
    let usual = Store::default();
    let ttl = written.ttl.unwrap_or(usual.ttl);
    if !(Duration::from_secs(1)..=TTL_MAX).contains(&ttl) {
        problems.add("store.ttl", "must be at least 1s and at most 7 days");
    }
    let revocations_stale = written.revocations_stale.unwrap_or(usual.revocations_stale);
    if !(STALE_MIN..=STALE_MAX).contains(&revocations_stale) {
        problems.add(
            "store.revocations_stale",
            "must be at least 2s and at most 24h",
        );
    }
    let hmac = secret("store.hmac", written.hmac.as_ref(), problems);
    let keys = hmac.and_then(|hmac| template::key_forms(written, hmac, problems));
    let url = written.url.as_deref().unwrap_or("memory:");
    let engine = if url == "memory:" {
        only_for_redis(written, problems);
        Some(Engine::Memory)
    } else {
        redis(url, written, variables, problems).map(|redis| Engine::Redis(Box::new(redis)))
    };
    Some(Store {
        engine: engine?,
        ttl,
        require_ttl: written.require_ttl,
        revocations_stale,
        keys: keys?,
    })
}

fn only_for_redis(written: &file::Store, problems: &mut Problems) {
    for (key, is_written) in [
        ("username", written.username.is_some()),
        ("password", written.password.is_some()),
        ("sentinel_username", written.sentinel_username.is_some()),
        ("sentinel_password", written.sentinel_password.is_some()),
        ("managed_identity", written.managed_identity),
        ("client_id", written.client_id.is_some()),
        ("scope", written.scope.is_some()),
        ("roots", written.roots.is_some()),
        ("plain_text", written.plain_text),
        ("timeout", written.timeout.is_some()),
        ("revocations_stale", written.revocations_stale.is_some()),
    ] {
        if is_written {
            let what = "has a use with url = \"redis…\" only";
            problems.add(format!("store.{key}"), what);
        }
    }
}

fn redis(
    url: &str,
    written: &file::Store,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<Redis> {
    let timeout = written.timeout.unwrap_or(Duration::from_millis(300));
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        problems.add("store.timeout", "must be more than 0 and at most 10s");
    }
    let roots = problems.roots("store", written.roots.as_deref());
    // The text is not told: a password may stand in it.
    let place = match place(url) {
        Ok(place) => place,
        Err(problem) => {
            problems.add("store.url", problem);
            return None;
        }
    };
    let near = place.servers.iter().all(|(host, _)| is_loopback(host));
    if !place.secure && !near && !written.plain_text {
        problems.add(
            "store.url",
            "is plain text and not loopback; use rediss://, or write plain_text = true",
        );
    }
    if !place.secure && written.roots.is_some() {
        problems.add("store.roots", "has a use with rediss:// only");
    }
    let login = login(written, variables, problems)?;
    let layout = layout(&place, written, &login, problems)?;
    Some(Redis {
        layout,
        servers: place.servers,
        database: place.database,
        roots: place.secure.then_some(roots?),
        login,
        timeout,
    })
}

fn layout(
    place: &Place,
    written: &file::Store,
    login: &Login,
    problems: &mut Problems,
) -> Option<Layout> {
    let of_sentinels = [
        ("sentinel_username", &written.sentinel_username),
        ("sentinel_password", &written.sentinel_password),
    ];
    if place.kind != Kind::Sentinel {
        for (key, _) in of_sentinels.iter().filter(|(_, value)| value.is_some()) {
            let what = "has a use with redis-sentinel:// only";
            problems.add(format!("store.{key}"), what);
        }
    }
    match (place.kind, &place.service) {
        (Kind::Single, None) => Some(Layout::Single),
        (Kind::Cluster, None) => Some(Layout::Cluster),
        (Kind::Sentinel, Some(service)) => {
            // fred shows the sentinels what its provider gives, and they know no tokens.
            if matches!(login, Login::Token { .. }) {
                problems.add("store.managed_identity", "is of no use with sentinels");
            }
            Some(Layout::Sentinel {
                service: service.clone(),
                username: written.sentinel_username.clone(),
                password: secret(
                    "store.sentinel_password",
                    written.sentinel_password.as_ref(),
                    problems,
                )?,
            })
        }
        (Kind::Sentinel, None) => {
            let what = "lacks the name of the primary: ?sentinelServiceName=…";
            problems.add("store.url", what);
            None
        }
        (Kind::Single | Kind::Cluster, Some(_)) => {
            let what = "has a sentinelServiceName and no sentinels; use redis-sentinel://";
            problems.add("store.url", what);
            None
        }
    }
}

fn login(written: &file::Store, variables: &Environment, problems: &mut Problems) -> Option<Login> {
    let password = secret("store.password", written.password.as_ref(), problems)?;
    if !written.managed_identity {
        for (key, is_written) in [
            ("client_id", written.client_id.is_some()),
            ("scope", written.scope.is_some()),
        ] {
            if is_written {
                let what = "has a use with managed_identity = true only";
                problems.add(format!("store.{key}"), what);
            }
        }
    }
    match (password, &written.username, written.managed_identity) {
        (None, None, false) => Some(Login::Nothing),
        (None, Some(_), false) => {
            let what = "has a use with password or managed_identity = true only";
            problems.add("store.username", what);
            None
        }
        (Some(password), username, false) => Some(Login::Password {
            username: username.clone(),
            password,
        }),
        (Some(_), _, true) => {
            let what = "and managed_identity exclude each other";
            problems.add("store.password", what);
            None
        }
        (None, username, true) => {
            let Some(username) = username.as_ref().filter(|name| is_guid(name)) else {
                let what = "must be the object id of the identity, a GUID";
                problems.add("store.username", what);
                return None;
            };
            let asked = file::Credential {
                managed_identity: true,
                client_id: written.client_id.clone(),
                scope: Some(written.scope.clone().unwrap_or(REDIS_SCOPE.to_owned())),
                ..file::Credential::default()
            };
            Some(Login::Token {
                username: username.clone(),
                identity: credential::identity("store", &asked, variables, problems)?,
            })
        }
    }
}

/// The outer `None` is a problem that has been told.
fn secret(at: &str, written: Option<&String>, problems: &mut Problems) -> Option<Option<Secret>> {
    match written {
        Some(text) if text.is_empty() => {
            problems.add(at, "is empty");
            None
        }
        Some(text) => Some(Some(Secret::new(text.clone()))),
        None => Some(None),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Cluster,
    Sentinel,
}

/// What a URL says.
struct Place {
    kind: Kind,
    secure: bool,
    servers: Vec<(String, u16)>,
    database: u8,
    service: Option<String>,
}

/// The forms of URLs that fred and other clients read, without what is secret in them:
/// `redis[s][-cluster|-sentinel]://host[:port][/database][?node=host:port&sentinelServiceName=name]`.
fn place(text: &str) -> Result<Place, &'static str> {
    const SHAPE: &str = "must be memory:, or redis://, rediss://, redis-cluster://, \
        rediss-cluster://, redis-sentinel:// or rediss-sentinel:// with host[:port][/database]\
        [?node=host:port…]";
    let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
    let (secure, kind) = match scheme {
        "redis" => (false, Kind::Single),
        "rediss" => (true, Kind::Single),
        "redis-cluster" => (false, Kind::Cluster),
        "rediss-cluster" => (true, Kind::Cluster),
        "redis-sentinel" => (false, Kind::Sentinel),
        "rediss-sentinel" => (true, Kind::Sentinel),
        _ => return Err(SHAPE),
    };
    if rest.contains('@') {
        return Err("holds a credential; write username and password");
    }
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (first, database) = address.split_once('/').unwrap_or((address, ""));
    let usual = if kind == Kind::Sentinel { 26379 } else { 6379 };
    let mut servers = vec![server(first, Some(usual)).ok_or(SHAPE)?];
    let mut service = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "node" if kind != Kind::Single => {
                let what = "has a node that is not host:port";
                servers.push(server(&value, None).ok_or(what)?);
            }
            "sentinelServiceName" if service.is_none() && is_name(&value) => {
                service = Some(value.into_owned());
            }
            _ => return Err("has a parameter that has no use here, or that cannot be read"),
        }
    }
    let database = match database {
        "" => 0,
        _ if kind == Kind::Cluster => return Err("has a database, and a cluster has none"),
        number => number
            .parse()
            .map_err(|_| "has a database that is no number")?,
    };
    Ok(Place {
        kind,
        secure,
        servers,
        database,
        service,
    })
}

fn server(text: &str, usual: Option<u16>) -> Option<(String, u16)> {
    let authority: http::uri::Authority = text.parse().ok()?;
    let written = authority.as_str().len() > authority.host().len();
    let usual = usual.filter(|_| !written);
    let port = authority.port_u16().filter(|&port| port > 0).or(usual)?;
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The name of a primary, as Redis' own configuration allows them.
fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyForms, Piece, Template};

    fn resolve(text: &str) -> Result<Store, Vec<String>> {
        let variables = Environment::of([("IDENTITY_ENDPOINT", "http://127.0.0.1:1/x")]);
        resolve_in(text, &variables)
    }

    fn resolve_in(text: &str, variables: &Environment) -> Result<Store, Vec<String>> {
        let text = format!("[store]\n{text}\n");
        let file = file::read_text("edge.toml", &text, variables).map_err(|e| {
            let text = e.to_string();
            vec![text]
        })?;
        let mut problems = Problems::default();
        let store = store(&file.store, variables, &mut problems);
        match (store, problems.0.is_empty()) {
            (Some(store), true) => Ok(store),
            (_, _) => Err(problems.0),
        }
    }

    fn redis(text: &str) -> Redis {
        match resolve(text).unwrap().engine {
            Engine::Redis(redis) => *redis,
            Engine::Memory => panic!("a Redis was meant: {text}"),
        }
    }

    /// What is written, and the key that is told.
    const MISTAKES: &[(&str, &str)] = &[
        ("url = \"CANARY\"", "store.url"),
        ("url = \"http://h\"", "store.url"),
        ("url = \"redis://user:CANARY@localhost\"", "store.url"),
        ("url = \"redis://CANARY@localhost\"", "store.url"),
        ("url = \"redis://localhost:x\"", "store.url"),
        ("url = \"redis://localhost:0\"", "store.url"),
        ("url = \"redis://localhost/CANARY\"", "store.url"),
        ("url = \"redis://\"", "store.url"),
        ("url = \"redis://localhost?node=a:1\"", "store.url"),
        ("url = \"redis://localhost?password=CANARY\"", "store.url"),
        ("url = \"redis://10.0.0.1\"", "store.url"),
        ("url = \"redis-cluster://localhost/1\"", "store.url"),
        ("url = \"redis-cluster://localhost?node=a\"", "store.url"),
        ("url = \"redis-cluster://localhost?node=a:1\"", "store.url"),
        ("url = \"redis-sentinel://localhost\"", "store.url"),
        (
            "url = \"redis://localhost?sentinelServiceName=m\"",
            "store.url",
        ),
        (
            "url = \"redis-sentinel://localhost?sentinelServiceName=a%20b\"",
            "store.url",
        ),
        (
            "url = \"redis-sentinel://localhost?sentinelServiceName=m&sentinelPassword=CANARY\"",
            "store.url",
        ),
        ("password = \"CANARY\"", "store.password"),
        ("timeout = \"1s\"", "store.timeout"),
        (
            "url = \"redis://localhost\"\ntimeout = \"0s\"",
            "store.timeout",
        ),
        (
            "url = \"redis://localhost\"\ntimeout = \"11s\"",
            "store.timeout",
        ),
        (
            "url = \"redis://localhost\"\npassword = \"\"",
            "store.password",
        ),
        (
            "url = \"redis://localhost\"\nusername = \"u\"",
            "store.username",
        ),
        (
            "url = \"redis://localhost\"\nroots = \"system\"",
            "store.roots",
        ),
        (
            "url = \"redis://localhost\"\nsentinel_password = \"CANARY\"",
            "store.sentinel_password",
        ),
        ("url = \"redis://localhost\"\nscope = \"s\"", "store.scope"),
        (
            "url = \"redis://localhost\"\nclient_id = \"s\"",
            "store.client_id",
        ),
        (
            "url = \"redis://localhost\"\nmanaged_identity = true",
            "store.username",
        ),
        (
            "url = \"redis://localhost\"\nmanaged_identity = true\nusername = \"u\"",
            "store.username",
        ),
        (
            "url = \"redis://localhost\"\nmanaged_identity = true\npassword = \"CANARY\"",
            "store.password",
        ),
        (
            "url = \"redis://localhost\"\nmanaged_identity = true\n\
             username = \"11111111-2222-3333-4444-555555555555\"",
            // The variables name half of an identity service.
            "store: IDENTITY_ENDPOINT",
        ),
        ("ttl = \"0s\"", "store.ttl"),
        ("ttl = \"8d\"", "store.ttl"),
        ("revocations_stale = \"30s\"", "store.revocations_stale"),
        (
            "url = \"redis://localhost\"\nrevocations_stale = \"1s\"",
            "store.revocations_stale",
        ),
        (
            "url = \"redis://localhost\"\nrevocations_stale = \"25h\"",
            "store.revocations_stale",
        ),
        ("prefix = \"a{b}\"", "store.prefix"),
        ("prefix = \"a*\"", "store.prefix"),
        ("hmac = \"CANARY\"", "store.hmac"),
        ("hmac = \"\"", "store.hmac"),
        ("pstn = \"pstn:{ani}\"", "store.pstn"),
        ("pstn = \"pstn:{ani}{code}\"", "store.pstn"),
        ("pstn = \"pstn:{ani}0{code}\"", "store.pstn"),
        ("pstn = \"pstn:{ani}:{code}:{code}\"", "store.pstn"),
        ("pstn = \"pstn:{ani}:{id}:{code}\"", "store.pstn"),
        ("pstn = \"{ani}:{code}\"", "store.pstn"),
        ("pstn = \"p {ani}:{code}\"", "store.pstn"),
        ("sip = \"{id}\"", "store.sip"),
        ("sip = \"sip:\"", "store.sip"),
        ("sip = \"sip:{id}}\"", "store.sip"),
        ("sip = \"sip:{id\"", "store.sip"),
        ("sip = \"pstn:x:{id}\"", "store.sip"),
        ("api = \"live:{id}\"", "store.api"),
        ("api = \"handoff:{id}\"", "store.api"),
        ("sip = \"orders:{id}\"", "store.sip"),
        ("sip = \"reference:{id}\"", "store.sip"),
        ("sip = \"quiet:{id}\"", "store.sip"),
        ("sip = \"scope:{id}\"", "store.sip"),
        ("sip = \"person:{id}\"", "store.sip"),
        ("api = \"c{id}\"", "store.api"),
        ("ttk = \"1h\"", "ttk"),
    ];

    #[test]
    fn a17_every_mistake_is_told_by_its_key_and_without_its_value() {
        for &(text, key) in MISTAKES {
            let told = resolve(text).expect_err(text).join("\n");
            assert!(told.contains(key), "{text}\n{told}");
            assert!(!told.contains("CANARY"), "{told}");
        }
    }

    #[test]
    fn a17_urls_are_read_as_other_clients_read_them() {
        let single = redis("url = \"redis://localhost/3\"");
        assert_eq!(single.servers, [("localhost".to_owned(), 6379)]);
        assert_eq!((single.database, single.roots.is_none()), (3, true));
        assert_eq!(single.timeout, Duration::from_millis(300));
        let secure = redis("url = \"rediss://r.example:6380\"\npassword = \"p\"");
        assert_eq!(secure.servers, [("r.example".to_owned(), 6380)]);
        assert!(secure.roots.is_some() && matches!(secure.layout, Layout::Single));
        let address = redis("url = \"redis://[::1]:7000\"");
        assert_eq!(address.servers, [("::1".to_owned(), 7000)]);
        let cluster = redis("url = \"rediss-cluster://a.example?node=b.example:7001\"");
        let nodes = [
            ("a.example".to_owned(), 6379),
            ("b.example".to_owned(), 7001),
        ];
        assert_eq!(cluster.servers, nodes);
        assert!(matches!(cluster.layout, Layout::Cluster));
        let far = "url = \"redis-sentinel://10.0.0.1?sentinelServiceName=main\"\nplain_text = true";
        let sentinel = redis(far);
        assert_eq!(sentinel.servers, [("10.0.0.1".to_owned(), 26379)]);
        assert!(matches!(sentinel.layout, Layout::Sentinel { service, .. } if service == "main"));
    }

    #[test]
    fn a17_a_token_of_entra_is_for_redis() {
        let text = "url = \"rediss://r.example:10000\"\nmanaged_identity = true\n\
                    username = \"11111111-2222-3333-4444-555555555555\"";
        let store = resolve_in(text, &Environment::of([])).unwrap();
        let Engine::Redis(redis) = store.engine else {
            panic!("a Redis was meant");
        };
        let Login::Token { username, identity } = redis.login else {
            panic!("a token was meant");
        };
        assert_eq!(username, "11111111-2222-3333-4444-555555555555");
        assert_eq!(identity.scope, REDIS_SCOPE);
    }

    #[test]
    fn a15_what_is_not_written_is_as_the_guide_has_it() {
        let store = resolve("").unwrap();
        assert!(matches!(store.engine, Engine::Memory));
        assert_eq!(store.ttl, Duration::from_secs(3600));
        let usual = KeyForms::default();
        for (text, template) in [
            ("pstn:{ani}:{code}", &usual.pstn),
            ("sip:{id}", &usual.sip),
            ("acs:call_connection_id:{id}", &usual.api),
        ] {
            let words: Vec<&str> = template.0.iter().map(Piece::word).collect();
            assert_eq!(words.concat(), text);
        }
        let written = "pstn = \"pstn:{ani}:{code}\"\nsip = \"sip:{id}\"\n\
                       api = \"acs:call_connection_id:{id}\"";
        let words = |template: Template| template.0.iter().map(|p| p.word().to_owned()).collect();
        let again: Vec<String> = [resolve(written).unwrap().keys]
            .into_iter()
            .flat_map(|keys| [keys.pstn, keys.sip, keys.api])
            .map(|template| {
                let words: Vec<String> = words(template);
                words.concat()
            })
            .collect();
        assert_eq!(again.len(), 3);
        assert_eq!(again[0], "pstn:{ani}:{code}");
        let turned = resolve("pstn = \"p:{code}-{ani}:x\"").unwrap().keys.pstn;
        assert_eq!(turned.0.len(), 5);
    }
}
