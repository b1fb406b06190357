//! A store under test, beside another one on the same servers, and what to ask it.

use std::any::Any;
use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonegate::config::{self, Engine, KeyForms, Layout, Login, Redis, Roots};
use tonegate::ids::{CallId, ForeignId, PhoneNumber, SessionId};
use tonegate::label::Label;
use tonegate::metrics::Metrics;
use tonegate::secret::{Digest, Secret};
use tonegate::sim::certificate::Authority;
use tonegate::store::{
    Attempt, Bind, Enter, Entered, Facts, GivenBack, Made, Needs, SessionKey, Store,
};

use crate::server::{Cluster, PATIENCE, Server, Shared, Watched, acl_line};

pub(crate) fn at(layout: Layout, servers: &[&Server]) -> Redis {
    let address = |server: &&Server| ("127.0.0.1".to_owned(), server.port);
    Redis {
        layout,
        servers: servers.iter().map(address).collect(),
        database: 0,
        roots: None,
        login: Login::Nothing,
        // Not the usual one: tests share two cores with the servers and with each other.
        timeout: Duration::from_secs(5),
    }
}

pub(crate) fn settings(redis: Redis) -> config::Store {
    config::Store {
        engine: Engine::Redis(Box::new(redis)),
        ..config::Store::default()
    }
}

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What was logged on this thread, which is the test's own.
pub(crate) fn lines() -> String {
    LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
}

struct OfThread;

impl Write for OfThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Before the first line of any test, so that no thread finds a line of which it was decided before
/// that nobody listens.
static LISTENING: LazyLock<()> = LazyLock::new(|| {
    tracing_subscriber::fmt().with_writer(|| OfThread).init();
});

/// A store whose connections last as long as this.
pub(crate) struct Running {
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn new(settings: &config::Store) -> Running {
        LazyLock::force(&LISTENING);
        let metrics = Arc::new(Metrics::new());
        let store = Arc::new(Store::new(settings, metrics.clone()).unwrap());
        let runs = Arc::clone(&store);
        let task = tokio::spawn(async move { runs.run().await });
        Running {
            store,
            metrics,
            task,
        }
    }

    pub(crate) async fn up(settings: &config::Store) -> Running {
        let running = Running::new(settings);
        eventually("the store's connection", async || {
            running.store.is_up().then_some(())
        })
        .await;
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Two stores on the same servers, as two edges have them; in memory they are one.
pub(crate) struct Under {
    pub(crate) running: Running,
    other: Option<Running>,
    _servers: Box<dyn Any + Send + Sync>,
}

static SINGLE: Shared<Server> = Shared::new();
static TLS: Shared<(Authority, Server)> = Shared::new();
static CLUSTER: Shared<Cluster> = Shared::new();
static WATCHED: Shared<Watched> = Shared::new();

impl Under {
    pub(crate) async fn memory() -> Under {
        Under {
            running: Running::new(&config::Store::default()),
            other: None,
            _servers: Box::new(()),
        }
    }

    pub(crate) async fn single() -> Under {
        let server = SINGLE.get(|| Server::plain(&[]));
        let settings = settings(at(Layout::Single, &[&server]));
        Under::two(&settings, Box::new(server)).await
    }

    /// Over TLS, as the user that the README names.
    pub(crate) async fn tls() -> Under {
        let servers = TLS.get(|| {
            let authority = Authority::new("Redis");
            let server = Server::tls(&authority, &acl_line());
            (authority, server)
        });
        let settings = settings(secured(&servers.1, &servers.0.pem()));
        Under::two(&settings, Box::new(servers)).await
    }

    pub(crate) async fn cluster() -> Under {
        let cluster = CLUSTER.get(Cluster::start);
        let settings = settings(at(Layout::Cluster, &[&cluster.nodes[0]]));
        Under::two(&settings, Box::new(cluster)).await
    }

    pub(crate) async fn sentinel() -> Under {
        let watched = WATCHED.get(Watched::start);
        let settings = settings(at(sentinels(), &[&watched.sentinel]));
        Under::two(&settings, Box::new(watched)).await
    }

    async fn two(settings: &config::Store, servers: Box<dyn Any + Send + Sync>) -> Under {
        Under {
            running: Running::up(settings).await,
            other: Some(Running::up(settings).await),
            _servers: servers,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.running.store
    }

    /// Another edge's view.
    pub(crate) fn other(&self) -> &Store {
        self.other
            .as_ref()
            .map_or(self.store(), |other| &other.store)
    }

    pub(crate) fn shared(&self) -> Arc<Store> {
        Arc::clone(&self.running.store)
    }
}

pub(crate) fn sentinels() -> Layout {
    Layout::Sentinel {
        service: "main".to_owned(),
        username: None,
        password: None,
    }
}

pub(crate) fn secured(server: &Server, roots: &str) -> Redis {
    Redis {
        servers: vec![("localhost".to_owned(), server.port)],
        roots: Some(Roots::Pem(roots.to_owned())),
        login: Login::Password {
            username: Some("tonegate".to_owned()),
            password: Secret::new("s3cret-of-the-test".to_owned()),
        },
        ..at(Layout::Single, &[server])
    }
}

/// Everything about one call, its names drawn so that no two tests meet.
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) owner: SessionId,
    pub(crate) token: Digest,
    pub(crate) facts: Facts,
    pub(crate) route: Label,
}

pub(crate) fn random_id() -> ForeignId {
    ForeignId::new(&SessionId::random().to_string()).unwrap()
}

pub(crate) fn random_ani() -> PhoneNumber {
    let hex = SessionId::random().to_string();
    let digit = |c: char| char::from_digit(c.to_digit(16).unwrap() % 10, 10).unwrap();
    let digits: String = hex.chars().take(13).map(digit).collect();
    PhoneNumber::new(&format!("+1{digits}")).unwrap()
}

impl Call {
    /// That nothing came of an upgrade of this session.
    pub(crate) fn given_back(&self, owner: SessionId) -> GivenBack<'_> {
        GivenBack {
            call: &self.id,
            token: self.token,
            owner,
            resume: Duration::from_millis(300),
        }
    }

    pub(crate) fn new() -> Call {
        Call {
            id: CallId::new(&SessionId::random().to_string()).unwrap(),
            owner: SessionId::random(),
            token: Digest::of(&SessionId::random().to_string()),
            route: Label::new("phone").unwrap(),
            facts: Facts {
                ani: Some(random_ani()),
                sip: Some(random_id()),
                connection: Some(random_id()),
                correlation: Some(random_id()),
            },
        }
    }

    /// The same call, dialled again: another session, another token.
    pub(crate) fn again(&self) -> Call {
        Call {
            id: self.id.clone(),
            facts: self.facts.clone(),
            ..Call::new()
        }
    }

    /// What whoever has it made writes down first; the connection is not known yet.
    pub(crate) async fn make(&self, store: &Store) -> Made {
        let made = Made {
            creator: Digest::of("whoever has it made"),
            binding: Digest::of(&SessionId::random().to_string()),
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_667_400_123),
        };
        let facts = Facts {
            ani: self.facts.ani.clone(),
            ..Facts::default()
        };
        store.make_call(&self.id, &facts, &made).await.unwrap();
        made
    }

    /// ACS has named the connection of a call that was made.
    pub(crate) async fn bind(&self, store: &Store, binding: Digest) -> bool {
        let bind = Bind {
            call: &self.id,
            binding,
            connection: self.connection(),
            correlation: self.facts.correlation.as_ref(),
        };
        store.bind_call(&bind).await.unwrap()
    }

    pub(crate) fn ani(&self) -> &PhoneNumber {
        self.facts.ani.as_ref().unwrap()
    }

    pub(crate) fn connection(&self) -> &ForeignId {
        self.facts.connection.as_ref().unwrap()
    }

    pub(crate) fn sip(&self) -> &ForeignId {
        self.facts.sip.as_ref().unwrap()
    }

    pub(crate) async fn note(&self, store: &Store) {
        store.note_call(&self.id, &self.facts).await.unwrap();
    }

    pub(crate) fn ask(&self, needs: Needs) -> Enter<'_> {
        Enter {
            call: &self.id,
            owner: self.owner,
            token: self.token,
            token_expires: SystemTime::now() + Duration::from_secs(60),
            connection: self.facts.connection.as_ref(),
            correlation: self.facts.correlation.as_ref(),
            route: &self.route,
            signed: None,
            binding: None,
            makes: true,
            needs,
        }
    }

    pub(crate) async fn enter(&self, store: &Store, needs: Needs) -> Entered {
        store.enter(&self.ask(needs)).await.unwrap()
    }

    pub(crate) fn pending(&self) -> Entered {
        Entered::Pending(self.facts.clone())
    }

    pub(crate) fn authorised(&self, resumed: bool) -> Entered {
        Entered::Authorised {
            facts: self.facts.clone(),
            resumed,
            contact: None,
        }
    }

    /// The call is known and waits for a code.
    pub(crate) async fn dialled(store: &Store) -> Call {
        let call = Call::new();
        call.note(store).await;
        assert_eq!(call.enter(store, Needs::Dialled).await, call.pending());
        call
    }

    pub(crate) fn key(&self, store: &Store, code: &str) -> SessionKey {
        store.keys().pstn(self.ani(), code).unwrap()
    }

    pub(crate) fn attempt<'a>(&'a self, key: &'a SessionKey, number: u32) -> Attempt<'a> {
        Attempt {
            call: &self.id,
            owner: self.owner,
            number,
            ani: self.facts.ani.as_ref(),
            key,
            consume: true,
            per_call: 3,
            per_ani: None,
            per_route: None,
            shared_ani: false,
        }
    }
}

pub(crate) fn prefixed(settings: &config::Store, prefix: &str) -> config::Store {
    config::Store {
        keys: KeyForms {
            prefix: prefix.to_owned(),
            ..KeyForms::default()
        },
        ..settings.clone()
    }
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
