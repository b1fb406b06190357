//! Every reason there is, provoked through real sockets: the same word in the answer or the close
//! frames, in the metric and in the log; and whatever it took is given back.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tonegate::error::{Reason, Side};
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::{Opening, Options};
use tonegate::sim::connector::Trouble;
use tonegate::sim::frame::{Frame, TEXT};
use tonegate::sim::issuer::behaviour::Behaviour;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::voice_live::connection::Connection;
use tonegate::sim::voice_live::scenario::Scenario;

use crate::bot::notify;
use crate::bot::world::Bot;
use crate::child::Child;
use crate::harness::{Caller, KEY, Wish, read_answer, request, within};
use crate::phone::world::{CONNECTION, Line, Phone, Ringing, signed};
use crate::revoke::post;
use crate::tokens::{AUDIENCE, Issued, TENANT};

/// What a request shows.
type Shown<'a> = (&'a str, &'a str);

const KEYED: Shown<'_> = ("api-key", KEY);

/// An edge as a process whose log tells everything.
struct Edge {
    issued: Issued,
    child: Child,
    told: HashSet<Reason>,
}

impl Edge {
    /// With room for one session, at the key and at the edge.
    async fn narrow(limits: &str) -> Edge {
        Edge::with(Wish {
            limits: format!("sessions = 1\n{limits}"),
            key: "limits = { sessions = 1 }".to_owned(),
            upstream: "connect = \"500ms\"\ntotal = \"700ms\"".to_owned(),
            ..Wish::default()
        })
        .await
    }

    async fn with(wish: Wish) -> Edge {
        let mut issued = Issued::with(wish, AUDIENCE, "leeway = \"0s\"").await;
        let child = Child::start(&mut issued.world, "export TONEGATE_LOG=tonegate=debug");
        Edge {
            issued,
            child,
            told: HashSet::new(),
        }
    }

    /// A request is refused with this status and for this reason, which is told once everywhere.
    async fn refuses(&mut self, (target, shown): (&str, Shown<'_>), reason: Reason, status: u16) {
        assert_eq!(reason.row().status, Some(status), "{reason}");
        let is_routed = target.starts_with("/ws?");
        let route = if is_routed { "browser" } else { "none" };
        let word = reason.word();
        let series = format!("tonegate_requests_total{{route=\"{route}\",result=\"{word}\"}}");
        let before = self.child.count(&series).await;
        let refused = self.issued.world.refused(target, &[shown]).await;
        refused.is(status, word);
        assert_eq!(self.child.count(&series).await, before + 1, "{reason}");
        self.logs_refusal(reason, status).await;
        self.told.insert(reason);
    }

    async fn logs_refusal(&self, reason: Reason, status: u16) {
        let line = |line: &Value| {
            line["message"] == "request refused"
                && line["reason"] == reason.word()
                && line["status"] == status
        };
        self.child
            .until("a refusal in the log", |child| child.logged(line) == 1)
            .await;
    }

    /// A session ends so; the reason is told once everywhere, and with this code to the sides that
    /// can still hear it.
    async fn ends(
        &mut self,
        (by, reason, code): (Side, Reason, u16),
        hear: &[Side],
        (model, shown): (&str, Shown<'_>),
        how: impl AsyncFnOnce(&mut Caller),
    ) {
        let word = reason.word();
        let series = format!(
            "tonegate_sessions_ended_total{{route=\"browser\",by=\"{by}\",reason=\"{word}\"}}"
        );
        let before = self.child.count(&series).await;
        let target = format!("/ws?model={model}");
        let mut caller = self.issued.world.ask(&target, &[shown]).await.unwrap();
        how(&mut caller).await;
        self.are_told(caller, (reason, code), hear).await;
        self.child
            .metrics_say(&format!("{series} {}", before + 1))
            .await;
        self.logs_ending(by, reason, before as usize + 1).await;
        self.told.insert(reason);
        self.gives_back().await;
    }

    async fn are_told(&self, mut caller: Caller, (reason, code): (Reason, u16), hear: &[Side]) {
        assert_eq!(reason.row().close, Some(code), "{reason}");
        let expected = (Some(code), reason.word().to_owned());
        if hear.contains(&Side::Client) {
            assert_eq!(caller.closed().await, expected);
        }
        drop(caller);
        if hear.contains(&Side::Upstream) {
            let told = |seen: &_| close_received(seen) == Some(expected.clone());
            self.issued.world.upstream_saw(told).await;
        }
    }

    async fn logs_ending(&self, by: Side, reason: Reason, times: usize) {
        let line = |line: &Value| {
            line["message"] == "session ended"
                && line["ended_by"] == by.word()
                && line["reason"] == reason.word()
        };
        self.child
            .until("an ending in the log", |child| child.logged(line) == times)
            .await;
    }

    /// The only place for a session is free again, at the key and at the edge.
    async fn gives_back(&self) {
        self.child.metrics_say("tonegate_connections 0").await;
        self.issued.world.still_serves().await;
        self.child.metrics_say("tonegate_connections 0").await;
    }
}

fn close_received(seen: &Connection) -> Option<(Option<u16>, String)> {
    seen.close_received.clone()
}

async fn refusals() -> HashSet<Reason> {
    let mut edge = Edge::narrow("").await;
    let echo = "/ws?model=sim-echo";
    for (target, shown, reason, status) in [
        ("/ws?model=", KEYED, Reason::BadRequest, 400),
        (echo, ("api-key", "wrong"), Reason::Unauthenticated, 401),
        ("/ws?model=gpt-5", KEYED, Reason::Forbidden, 403),
        ("/nowhere", KEYED, Reason::NotFound, 404),
    ] {
        edge.refuses((target, shown), reason, status).await;
    }
    edge.gives_back().await;
    let mut caller = edge.issued.world.call("sim-echo").await;
    edge.refuses((echo, KEYED), Reason::Busy, 503).await;
    caller.close(1000, "").await;
    caller.closed().await;
    for (model, reason, status) in [
        ("sim-refuse-500", Reason::UpstreamRefused, 502),
        ("sim-refuse-401", Reason::UpstreamUnauthorized, 502),
        ("sim-refuse-429", Reason::UpstreamBusy, 503),
        ("sim-hang", Reason::UpstreamTimeout, 504),
    ] {
        edge.gives_back().await;
        let target = format!("/ws?model={model}");
        edge.refuses((&target, KEYED), reason, status).await;
    }
    edge.gives_back().await;
    edge.issued.world.stop_upstream().await;
    edge.refuses((echo, KEYED), Reason::UpstreamUnreachable, 502)
        .await;
    edge.told
}

async fn endings() -> HashSet<Reason> {
    let both = &[Side::Client, Side::Upstream];
    let mut edge = Edge::narrow("").await;
    edge.ends(
        (Side::Client, Reason::Protocol, 1002),
        both,
        ("sim-sink", KEYED),
        async |caller| caller.send_raw(&[0x81, 0x01, b'x']).await,
    )
    .await;
    edge.ends(
        (Side::Client, Reason::TooLarge, 1009),
        both,
        ("sim-sink", KEYED),
        async |caller| {
            let message = caller.encode(&Frame::whole(TEXT, vec![b'x'; (1 << 20) + 1]));
            caller.send_raw(&message[..100]).await;
        },
    )
    .await;
    edge.ends(
        (Side::Upstream, Reason::UpstreamClosed, 1011),
        &[Side::Client],
        ("sim-eof", KEYED),
        async |_| {},
    )
    .await;
    edge.ends(
        (Side::Client, Reason::ClientClosed, 1000),
        both,
        ("sim-echo", KEYED),
        // Its own code and text cross; here they are those of the table.
        async |caller| caller.close(1000, "client_closed").await,
    )
    .await;
    edge.ends(
        (Side::Client, Reason::ClientLost, 1011),
        &[Side::Upstream],
        ("sim-echo", KEYED),
        // It is dropped, which resets.
        async |caller| caller.io.tcp().set_zero_linger().unwrap(),
    )
    .await;
    edge.told
}

/// What the edge ends by its own clock, which nobody has to provoke.
async fn by_the_clock(limits: &str, reason: Reason, code: u16) -> HashSet<Reason> {
    let mut edge = Edge::narrow(limits).await;
    let both = &[Side::Client, Side::Upstream];
    edge.ends(
        (Side::Edge, reason, code),
        both,
        ("sim-sink", KEYED),
        async |_| {},
    )
    .await;
    edge.told
}

/// One upgrade a minute, and the published keys of the issuer out of reach.
async fn sparing() -> HashSet<Reason> {
    let mut edge = Edge::with(Wish {
        route: "limits = { upgrades_per_identity = \"1/m\" }".to_owned(),
        ..Wish::default()
    })
    .await;
    let echo = "/ws?model=sim-echo";
    edge.issued.world.still_serves().await;
    edge.refuses((echo, KEYED), Reason::RateLimited, 429).await;
    // A key that may be new, for all that can be told now.
    let strange = |mint: &mut Mint| mint.header = json!({"kid": "strange"});
    let bearer = format!("Bearer {}", edge.issued.token(strange));
    edge.issued.provider.set_keys(Behaviour::Status(500));
    let shown = ("Authorization", bearer.as_str());
    edge.refuses((echo, shown), Reason::KeysUnavailable, 503)
        .await;
    edge.told
}

/// A session outlives its token by nothing.
async fn leased() -> HashSet<Reason> {
    let mut edge = Edge::narrow("").await;
    let end = SystemTime::now() + Duration::from_secs(3);
    let end = end.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = edge.issued.token(|mint| mint.claims["exp"] = json!(end));
    let bearer = format!("Bearer {token}");
    edge.ends(
        (Side::Edge, Reason::LeaseExpired, 4440),
        &[Side::Client, Side::Upstream],
        ("sim-sink", ("Authorization", &bearer)),
        async |_| {},
    )
    .await;
    edge.told
}

/// A token is taken back by its session, and does not enter again.
async fn revoked() -> HashSet<Reason> {
    let mut edge = Edge::narrow("").await;
    let token = edge.issued.token(|_| {});
    let bearer = format!("Bearer {token}");
    let shown = ("Authorization", bearer.as_str());
    let admin = edge.child.admin();
    edge.ends(
        (Side::Edge, Reason::Revoked, 4441),
        &[Side::Client, Side::Upstream],
        ("sim-sink", shown),
        async |_| {
            let order = json!({"tenant": TENANT});
            assert_eq!(post(admin, "/revoke", &order).await.0, 200);
        },
    )
    .await;
    let echo = "/ws?model=sim-echo";
    edge.refuses((echo, shown), Reason::Revoked, 403).await;
    edge.told
}

/// An order from outside: a session is closed, and a request that waits for its upstream refused.
/// The page of metrics has gone by then.
async fn draining() -> HashSet<Reason> {
    let edge = Edge::with(Wish::default()).await;
    let caller = edge.issued.world.call("sim-echo").await;
    let mut io = edge.issued.world.connect().await;
    let waiting = request("/ws?model=sim-hang", &[("api-key", KEY)]);
    io.write_all(waiting.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    edge.issued
        .world
        .upstream_saw(|seen| seen.scenario == Some(Scenario::Hang))
        .await;
    edge.child.terminate();
    let refused = read_answer(io).await.err().unwrap();
    refused.is(503, "draining");
    edge.are_told(caller, (Reason::Draining, 1001), &[Side::Client])
        .await;
    let record = &edge.issued.world.record;
    let told = Some((Some(1001), "draining".to_owned()));
    let is_told = || {
        record
            .connections()
            .iter()
            .any(|seen| close_received(seen) == told)
    };
    within("the upstream", record.until(|_| is_told())).await;
    edge.logs_refusal(Reason::Draining, 503).await;
    edge.logs_ending(Side::Edge, Reason::Draining, 1).await;
    HashSet::from([Reason::Draining])
}

/// Phone calls, whose gates end them, and an edge with room for one that tells everything.
struct Calls {
    phone: Phone,
    child: Child,
    told: HashSet<Reason>,
}

impl Calls {
    /// One attempt for a call, and one for a caller; ACS may say what becomes of calls.
    async fn narrow() -> Calls {
        let gate = "flow = \"pstn\", digits = 3, attempts = 1, attempts_per_ani = \"1/h\", \
                    deadline = \"1500ms\"";
        let callbacks = "[[routes]]\nname = \"callbacks\"\npaths = [\"/acs/callbacks/{call}\"]\n\
                         kind = \"acs-callback\"\nadmit = [\"phone\"]\n";
        Calls::with(Line {
            gate: gate.to_owned(),
            limits: "sessions = 2".to_owned(),
            more: callbacks.to_owned(),
            ..Line::default()
        })
        .await
    }

    async fn with(line: Line) -> Calls {
        let mut phone = Phone::with(line).await;
        Calls {
            child: phone.child(),
            phone,
            told: HashSet::new(),
        }
    }

    async fn rings(&self, call: &str, options: Options) -> Ringing {
        let dial = self.phone.dial(&signed(call));
        self.phone.rings(&dial, options).await
    }

    /// ACS says that the call is over.
    async fn is_over(&self, call: &str) {
        let body = json!([{
            "id": "1", "source": "calling/callConnections", "specversion": "1.0",
            "type": "Microsoft.Communication.CallDisconnected",
            "data": {"callConnectionId": CONNECTION},
        }])
        .to_string();
        let request = format!(
            "POST /acs/callbacks/{call} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.phone.token(),
            body.len()
        );
        let answer = self.phone.world.refused_bytes(request.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// The call is closed by this code and word, which is told once everywhere; then all that it
    /// took is given back, apart from what `left` other calls hold.
    async fn ends(&mut self, call: Ringing, (by, reason, code): (Side, Reason, u16), left: u64) {
        assert_eq!(reason.row().close, Some(code), "{reason}");
        call.closed(code, reason.word()).await;
        let series = format!(
            "tonegate_sessions_ended_total{{route=\"phone\",by=\"{by}\",reason=\"{reason}\"}} 1"
        );
        self.child.metrics_say(&series).await;
        let line = |line: &Value| {
            line["message"] == "session ended"
                && line["ended_by"] == by.word()
                && line["reason"] == reason.word()
        };
        self.child
            .until("an ending in the log", |child| child.logged(line) == 1)
            .await;
        for gauge in ["tonegate_sessions{route=\"phone\"}", "tonegate_connections"] {
            self.child.metrics_say(&format!("{gauge} {left}")).await;
        }
        self.told.insert(reason);
    }
}

async fn calls() -> HashSet<Reason> {
    let mut calls = Calls::narrow().await;
    let call = calls.rings("c1", Options::default()).await;
    call.dials("111", &Keying::both());
    let code_wrong = (Side::Client, Reason::CodeWrong, 4403);
    calls.ends(call, code_wrong, 0).await;
    let call = calls.rings("c2", Options::default()).await;
    call.dials("111", &Keying::both());
    let locked_out = (Side::Client, Reason::LockedOut, 4403);
    calls.ends(call, locked_out, 0).await;
    let call = calls.rings("c3", Options::default()).await;
    let expired = (Side::Edge, Reason::GateExpired, 4408);
    calls.ends(call, expired, 0).await;
    let metadata = json!({"kind": "AudioMetadata", "audioMetadata": {
        "encoding": "PCM", "sampleRate": 8000, "channels": 1,
    }});
    let options = Options {
        opening: Opening::Instead(metadata.to_string()),
        ..Options::default()
    };
    let call = calls.rings("c4", options).await;
    let mismatch = (Side::Client, Reason::FormatMismatch, 1003);
    calls.ends(call, mismatch, 0).await;
    let first = calls.rings("c5", Options::default()).await;
    let second = calls.rings("c5", Options::default()).await;
    let superseded = (Side::Edge, Reason::Superseded, 4409);
    calls.ends(first, superseded, 1).await;
    calls.is_over("c5").await;
    let hung_up = (Side::Client, Reason::HungUp, 1000);
    calls.ends(second, hung_up, 0).await;
    assert_eq!(calls.phone.world.upstream_total(), 0);
    calls.told
}

/// A store that was never there: no call may begin.
async fn storeless() -> HashSet<Reason> {
    let calls = Calls::with(Line {
        store: "url = \"redis://127.0.0.1:1\"".to_owned(),
        ..Line::default()
    })
    .await;
    let dial = calls.phone.dial(&signed("c1"));
    let (reason, word) = (Reason::StoreUnavailable, "store_unavailable");
    assert_eq!(calls.phone.refused(&dial).await, (503, word.to_owned()));
    assert_eq!((reason.row().status, reason.word()), (Some(503), word));
    let series = format!("tonegate_requests_total{{route=\"phone\",result=\"{word}\"}} 1");
    calls.child.metrics_say(&series).await;
    let line = |line: &Value| {
        line["message"] == "request refused" && line["reason"] == word && line["status"] == 503
    };
    let told = |child: &Child| child.logged(line) == 1;
    calls.child.until("a refusal in the log", told).await;
    calls.child.metrics_say("tonegate_connections 0").await;
    HashSet::from([reason])
}

/// People whom a bot may not write to.
async fn notices() -> HashSet<Reason> {
    let mut bot = notify::usual().await;
    let child = Child::start(&mut bot.world, "export TONEGATE_LOG=tonegate=debug");
    let mut told = HashSet::new();
    let mut refuses = async |bot: &Bot, reason: Reason, status: u16| {
        let word = reason.word();
        let answer = notify::notify(bot, &notify::text("hello")).await;
        assert_eq!((answer.status, answer.reason().as_str()), (status, word));
        assert_eq!(reason.row().status, Some(status));
        let series = format!("tonegate_requests_total{{route=\"notify\",result=\"{word}\"}} 1");
        child.metrics_say(&series).await;
        let line = |line: &Value| {
            line["message"] == "request refused"
                && line["reason"] == word
                && line["status"] == status
        };
        child
            .until("a refusal in the log", |child| child.logged(line) == 1)
            .await;
        told.insert(reason);
    };
    refuses(&bot, Reason::NoReference, 404).await;
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    let kept = "tonegate_bot_notes_total{note=\"reference\",result=\"ok\"} 1";
    child.metrics_say(kept).await;
    bot.desk.then([Trouble::Code(403, "MessageWritesBlocked")]);
    refuses(&bot, Reason::Blocked, 410).await;
    let wish = notify::says(&bot, "stop notifications");
    assert_eq!(bot.post(&wish).await.status, 200);
    refuses(&bot, Reason::OptedOut, 409).await;
    told
}

#[tokio::test]
async fn every_reason_is_told_by_one_word_everywhere_and_gives_back_what_it_took() {
    let mut told = refusals().await;
    told.extend(endings().await);
    told.extend(by_the_clock("idle = \"300ms\"", Reason::Idle, 1001).await);
    told.extend(by_the_clock("session = \"300ms\"", Reason::MaxDuration, 4450).await);
    told.extend(sparing().await);
    told.extend(leased().await);
    told.extend(revoked().await);
    told.extend(draining().await);
    told.extend(calls().await);
    told.extend(storeless().await);
    told.extend(notices().await);
    // What only a fault of the edge's own can bring about is tested beside `Session`.
    told.insert(Reason::Internal);
    for reason in Reason::ALL {
        assert!(told.contains(&reason), "nothing here provokes {reason}");
    }
}
