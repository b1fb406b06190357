//! Two processes, and nothing between them but one Redis, which is frozen, killed and started again
//! while many come: what one of them let in or shut out the other one knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tonegate::ids::random_guid;

use crate::child::Child;
use crate::gateway::app::{Answer, read};
use crate::harness::{Caller, Refused, Wish, within};
use crate::phone::redis::eventually;
use crate::phone::server::Server;
use crate::revoke::{is_closed, is_served, post, ready};
use crate::tickets::{ask_at, now, sign, tables, target};
use crate::tokens::{AUDIENCE, Issued, TENANT};

const ECHO: &str = "/ws?model=sim-echo";
const MINE: &str =
    "[[routes]]\nname = \"mine\"\npaths = [\"/mine\"]\nkind = \"sessions\"\nadmit = [\"users\"]\n";

/// What both together let in at a time.
const SESSIONS: usize = 6;
const CLIENTS: usize = 24;
/// How long each talks, so that the limit is in the way of the others.
const TALK: Duration = Duration::from_millis(30);
/// Whoever was refused comes again after this.
const AGAIN: Duration = Duration::from_millis(60);

struct Two {
    processes: [Child; 2],
    ports: [u16; 2],
    issued: Issued,
    redis: Arc<Server>,
}

impl Two {
    async fn start(sessions: usize) -> Two {
        // What it has answered it still knows after it was killed.
        let redis = Server::plain(&["--appendonly", "yes", "--appendfsync", "always"]);
        let store = format!(
            "[store]\nurl = \"redis://127.0.0.1:{}\"\ntimeout = \"500ms\"\n",
            redis.port
        );
        let wish = Wish {
            admit: "\"key\", \"ticket\", \"users\"".to_owned(),
            // A place that is not given back stays taken for longer than this test waits.
            limits: "replicas = 2\nlease = \"5m\"".to_owned(),
            route: format!("limits = {{ sessions = {sessions} }}"),
            more: format!("{}{MINE}{store}", tables()),
            tls: false,
            ..Wish::default()
        };
        let mut issued = Issued::with(wish, AUDIENCE, "leeway = \"0s\"").await;
        // Nobody is there but the two.
        let own = issued.world.edge.take().unwrap();
        tokio::task::spawn_blocking(move || own.stop())
            .await
            .unwrap();
        let mut start = || {
            let child = Child::start(&mut issued.world, "true");
            (child, issued.world.port)
        };
        let (first, second) = (start(), start());
        let two = Two {
            processes: [first.0, second.0],
            ports: [first.1, second.1],
            issued,
            redis: Arc::new(redis),
        };
        two.store_is("1").await;
        for process in &two.processes {
            ready(process.admin()).await;
        }
        two
    }

    /// Both know whether the store is there.
    async fn store_is(&self, up: &str) {
        for process in &self.processes {
            process
                .metrics_say(&format!("tonegate_store_up {up}"))
                .await;
        }
    }

    async fn restart(&self) {
        let redis = self.redis.clone();
        tokio::task::spawn_blocking(move || redis.restart())
            .await
            .unwrap();
    }

    async fn count(&self, series: &str) -> u64 {
        let [first, second] = &self.processes;
        first.count(series).await + second.count(series).await
    }

    /// What somebody shows for so many seconds.
    fn bearer(&self, person: &str, seconds: u64) -> String {
        let token = self.issued.token(|mint| {
            mint.claims["oid"] = json!(person);
            mint.claims["exp"] = json!(now() + seconds);
        });
        format!("Bearer {token}")
    }

    async fn asks(&self, at: usize, bearer: &str) -> Result<Caller, Refused> {
        ask_at(self.ports[at], ECHO, &[("Authorization", bearer)]).await
    }

    async fn enters(&self, at: usize, bearer: &str) -> Caller {
        let mut caller = self.asks(at, bearer).await.unwrap();
        is_served(&mut caller).await;
        caller
    }

    async fn at_both(&self, bearer: &str) -> [Caller; 2] {
        [self.enters(0, bearer).await, self.enters(1, bearer).await]
    }

    async fn is_shut_out(&self, bearer: &str) {
        for at in [0, 1] {
            let refused = self.asks(at, bearer).await.err().expect("let in");
            refused.is(403, "revoked");
        }
    }

    /// An operator shuts somebody out at one of the two.
    async fn revokes(&self, at: usize, person: &str) -> (u16, Value) {
        let order = json!({"subject": format!("users:{TENANT}/{person}")});
        post(self.processes[at].admin(), "/revoke", &order).await
    }

    /// Asks for something that is no session.
    async fn says(&self, at: usize, bearer: &str, line: &str) -> Answer {
        let mut io = TcpStream::connect(("127.0.0.1", self.ports[at]))
            .await
            .unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: edge.example.com\r\nConnection: close\r\n\
             Authorization: {bearer}\r\n\r\n"
        );
        io.write_all(head.as_bytes()).await.unwrap();
        within("an answer", read(&mut io, false)).await
    }
}

/// A ticket that nobody has, for as long as any may live.
fn ticket() -> String {
    let claims = json!({"aud": crate::tickets::AUDIENCE, "iat": now(), "exp": now() + 60,
        "jti": random_guid()});
    sign("one", crate::tickets::SECRET, &claims)
}

/// What clients have seen of both.
#[derive(Default)]
struct Seen {
    /// Sessions that run: fewer than the edges know of, as each counts from its 101 to its close.
    open: AtomicUsize,
    most: AtomicUsize,
    entered: [AtomicU64; 2],
    busy: [AtomicU64; 2],
    away: [AtomicU64; 2],
    stop: AtomicBool,
}

/// How a ticket was received.
enum Shown {
    Entered(Caller),
    Spent,
    /// 503, for want of a place or of the store.
    NotNow,
}

impl Seen {
    async fn show(&self, (at, port): (usize, u16), ticket: &str) -> Shown {
        let refused = match ask_at(port, &target(ticket), &[]).await {
            Ok(caller) => {
                let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(open, Ordering::SeqCst);
                self.entered[at].fetch_add(1, Ordering::SeqCst);
                return Shown::Entered(caller);
            }
            Err(refused) => refused,
        };
        match refused.status {
            401 => {
                refused.is(401, "unauthenticated");
                assert!(refused.body.contains("was used before"), "{}", refused.body);
                return Shown::Spent;
            }
            503 if refused.reason() == "busy" => {
                refused.is(503, "busy");
                self.busy[at].fetch_add(1, Ordering::SeqCst);
            }
            503 => {
                refused.is(503, "store_unavailable");
                self.away[at].fetch_add(1, Ordering::SeqCst);
            }
            other => panic!("{other}: {}", refused.body),
        }
        Shown::NotNow
    }

    /// Comes until it is told to stop, each time with a new ticket, which it shows to both at once. The
    /// tickets that opened something.
    async fn comes(self: Arc<Self>, ends: [(usize, u16); 2]) -> Vec<String> {
        let mut spent = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            let ticket = ticket();
            let (one, other) =
                tokio::join!(self.show(ends[0], &ticket), self.show(ends[1], &ticket));
            let mut caller = match (one, other) {
                (Shown::Entered(_), Shown::Entered(_)) => panic!("one ticket has opened two"),
                (Shown::Entered(caller), _) | (_, Shown::Entered(caller)) => caller,
                (Shown::Spent, Shown::Spent) => panic!("spent, and nobody has used it"),
                _ => {
                    sleep(AGAIN).await;
                    continue;
                }
            };
            is_served(&mut caller).await;
            sleep(TALK).await;
            is_served(&mut caller).await;
            self.open.fetch_sub(1, Ordering::SeqCst);
            caller.close(1000, "").await;
            assert_eq!(caller.closed().await, (Some(1000), String::new()));
            // It has been used, at whichever of them, and whatever became of the store meanwhile.
            for end in ends {
                let again = self.show(end, &ticket).await;
                assert!(!matches!(again, Shown::Entered(_)), "it opens another one");
            }
            spent.push(ticket);
        }
        spent
    }

    /// Waits until both have more of these than now.
    async fn grows(&self, what: &str, of: impl Fn(&Seen) -> &[AtomicU64; 2]) {
        let counts = [0, 1].map(|at| &of(self)[at]);
        let before = counts.map(|count| count.load(Ordering::SeqCst));
        let more = async || {
            let mut both = counts.iter().zip(before);
            both.all(|(count, before)| count.load(Ordering::SeqCst) >= before + 3)
        };
        eventually(what, more).await;
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Places of sessions that the store knows of.
fn taken(two: &Two) -> String {
    two.redis.tell(&["ZCARD", "limit:route_sessions:browser"])
}

/// As many as may, with new tickets, in turn at both; nobody beyond them.
async fn all_places_are_free(two: &Two) {
    let seen = Seen::default();
    let mut callers = Vec::new();
    for i in 0..SESSIONS {
        match seen.show((i % 2, two.ports[i % 2]), &ticket()).await {
            Shown::Entered(caller) => callers.push(caller),
            Shown::Spent | Shown::NotNow => panic!("{i} of {SESSIONS} places are free"),
        }
    }
    for at in [0, 1] {
        let one_more = seen.show((at, two.ports[at]), &ticket()).await;
        assert!(matches!(one_more, Shown::NotNow));
        assert_eq!(seen.busy[at].load(Ordering::SeqCst), 1);
    }
    for mut caller in callers {
        is_served(&mut caller).await;
        caller.close(1000, "").await;
        caller.closed().await;
    }
}

#[tokio::test]
async fn a32_a43_s28_s31_tickets_and_places_of_two_processes_outlast_a_redis_that_dies() {
    let two = Two::start(SESSIONS).await;
    let by_share = "tonegate_limit_hits_total{limit=\"shared\"}";
    let seen = Arc::new(Seen::default());
    let load = (0..CLIENTS).map(|i| {
        let ends = [i % 2, (i + 1) % 2].map(|at| (at, two.ports[at]));
        tokio::spawn(Seen::comes(seen.clone(), ends))
    });
    let load: Vec<_> = load.collect();
    seen.grows("sessions", |seen| &seen.entered).await;
    seen.grows("want of places", |seen| &seen.busy).await;
    // Frozen: nobody enters who might have entered elsewhere.
    two.redis.signal("-STOP");
    let frozen = Instant::now();
    seen.grows("a store that says nothing", |seen| &seen.away)
        .await;
    sleep(Duration::from_secs(1).saturating_sub(frozen.elapsed())).await;
    two.redis.signal("-CONT");
    seen.grows("sessions after the pause", |seen| &seen.entered)
        .await;
    seen.grows("want of places after the pause", |seen| &seen.busy)
        .await;
    // Dead, and back with what it knew.
    two.redis.kill();
    seen.grows("a store that is gone", |seen| &seen.away).await;
    two.restart().await;
    seen.grows("sessions after the restart", |seen| &seen.entered)
        .await;
    seen.grows("want of places after the restart", |seen| &seen.busy)
        .await;
    seen.stop.store(true, Ordering::SeqCst);
    let mut spent = Vec::new();
    for client in load {
        spent.extend(within("a client's end", client).await.unwrap());
    }
    // Whose ticket was spent when the store went may have had a place of the edge's own share; each of
    // these may have been one too many, and there are no more than all shares are.
    let shares = usize::try_from(two.count(by_share).await).unwrap();
    let most = SESSIONS + shares.min(SESSIONS);
    assert!(seen.most() <= most, "{} at once, {shares}", seen.most());
    assert_eq!(seen.open.load(Ordering::SeqCst), 0);
    let entered: u64 = seen.entered.iter().map(|n| n.load(Ordering::SeqCst)).sum();
    assert_eq!(usize::try_from(entered).unwrap(), spent.len());
    // What opened something does so at neither of them any more, from before either fault or since.
    let few = spent.iter().step_by(spent.len().div_ceil(40));
    for (i, ticket) in few.enumerate() {
        let again = ask_at(two.ports[i % 2], &target(ticket), &[]).await;
        again.err().expect("let in").is(401, "unauthenticated");
    }
    // Places are given back by who had them: no lease has ended yet.
    eventually("an empty store", async || taken(&two) == "0").await;
    all_places_are_free(&two).await;
    eventually("an empty store again", async || taken(&two) == "0").await;
    for process in &two.processes {
        process
            .metrics_say("tonegate_sessions{route=\"browser\"} 0")
            .await;
    }
    let record = &two.issued.world.record;
    let all_closed = record.until(|record| record.totals().open == 0);
    within("the upstream's end", all_closed).await;
    // Nobody was dialled for but those who entered.
    let entered = spent.len() + SESSIONS;
    assert_eq!(two.issued.world.upstream_total(), entered as u64);
}

#[tokio::test]
async fn a35_b14_s31_two_processes_end_whom_one_was_told_of_and_go_on_with_whom_the_other_refreshed()
 {
    let two = Two::start(100).await;
    let [carl, anna, bob, dora] = [(); 4].map(|()| random_guid());
    // Both end in so many seconds; one of them shows a new token, where it does not run.
    let first = now() + 10;
    let old = two.bearer(&carl, 10);
    let mut refreshed = two.enters(0, &old).await;
    let mut ends = two.enters(0, &old).await;
    let id = refreshed.head.one("x-tonegate-session").unwrap().to_owned();
    let new = two.bearer(&carl, 120);
    let known = async || {
        let listed = two.says(1, &new, "GET /mine").await;
        assert_eq!(listed.status, 200, "{listed:?}");
        String::from_utf8(listed.body).unwrap().contains(&id)
    };
    eventually("what the other process runs", known).await;
    let line = format!("POST /mine/{id}/refresh");
    let answer = two.says(1, &new, &line).await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &told["state"]),
        (202, &json!("refreshing")),
        "{told}"
    );
    // While nothing is wrong.
    let doras = two.bearer(&dora, 600);
    let callers = two.at_both(&doras).await;
    let since = Instant::now();
    let (status, told) = two.revokes(1, &dora).await;
    assert_eq!((status, &told["written"]), (200, &json!(true)), "{told}");
    for caller in callers {
        is_closed(caller, since).await;
    }
    two.is_shut_out(&doras).await;
    // As soon as the store is back that was killed.
    let (annas, bobs) = (two.bearer(&anna, 600), two.bearer(&bob, 600));
    let callers = two.at_both(&annas).await;
    let mut stay = two.at_both(&bobs).await;
    two.redis.kill();
    two.store_is("0").await;
    two.restart().await;
    within("an order that is written", async {
        while let (status, told) = two.revokes(0, &anna).await
            && status != 200
        {
            assert_eq!((status, &told["written"]), (503, &json!(false)), "{told}");
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // The other one has its connection again by then, or soon.
    two.store_is("1").await;
    let since = Instant::now();
    for caller in callers {
        is_closed(caller, since).await;
    }
    for bearer in [&annas, &doras] {
        two.is_shut_out(bearer).await;
    }
    for caller in &mut stay {
        is_served(caller).await;
    }
    two.at_both(&bobs).await;
    // The lease that was put off holds, the other one does not.
    let closed = (Some(4440), "lease_expired".to_owned());
    assert_eq!(ends.closed().await, closed);
    eventually("the first end", async || now() > first + 1).await;
    is_served(&mut refreshed).await;
}
