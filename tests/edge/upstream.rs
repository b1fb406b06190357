//! What an upstream may do before its `101`, and what the client is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonegate::sim::certificate::{Authority, Identity};
use tonegate::sim::frame;
use tonegate::sim::voice_live::connection::Ending;
use tonegate::sim::voice_live::record::Record;
use tonegate::sim::voice_live::scenario::Scenario;
use tonegate::sim::voice_live::{Options, VoiceLive};

use crate::harness::{KEY, Refused, UPSTREAM_KEY, Wish, World, request, text, within};

/// Deadlines that a test can wait for.
fn impatient() -> Wish {
    Wish {
        upstream: "connect = \"500ms\"\ntotal = \"700ms\"".to_owned(),
        ..Wish::default()
    }
}

/// Asks for a model and is refused in full form; the failure is counted for the upstream and the
/// refusal for the route.
async fn fails(world: &World, model: &str, status: u16, reason: &str) -> Refused {
    let dials = format!("tonegate_upstream_dials_total{{upstream=\"voice\",result=\"{reason}\"}}");
    let requests = format!("tonegate_requests_total{{route=\"browser\",result=\"{reason}\"}}");
    let before = (world.count(&dials), world.count(&requests));
    let refused = world
        .refused(&format!("/ws?model={model}"), &[("api-key", KEY)])
        .await;
    assert_eq!(refused.status, status, "{model}: {}", refused.body);
    refused.is(status, reason);
    says_nothing_of_the_upstream(&refused);
    let after = (world.count(&dials), world.count(&requests));
    assert_eq!(after, (before.0 + 1, before.1 + 1), "{model}");
    refused
}

/// No word, header, address or status of the upstream.
fn says_nothing_of_the_upstream(refused: &Refused) {
    let all = format!("{}{}", refused.head, refused.body).to_lowercase();
    let upstreams_words = [
        "scenario",
        "apim",
        "elsewhere",
        "localhost",
        "127.0.0.1",
        "voice",
        "location",
        "unexpected",
        "certificate",
        "os error",
        &UPSTREAM_KEY.to_lowercase(),
    ];
    for word in upstreams_words {
        assert!(!all.contains(word), "{word} in {all}");
    }
}

#[tokio::test]
async fn b16_s02_every_refusal_of_the_upstream_has_its_own_word() {
    let world = World::usual().await;
    let cases = [
        (401, 502, "upstream_unauthorized"),
        (403, 502, "upstream_unauthorized"),
        (429, 503, "upstream_busy"),
        (503, 503, "upstream_busy"),
        (200, 502, "upstream_refused"),
        (302, 502, "upstream_refused"),
        (404, 502, "upstream_refused"),
        (500, 502, "upstream_refused"),
    ];
    for (answered, status, reason) in cases {
        let refused = fails(&world, &format!("sim-refuse-{answered}"), status, reason).await;
        let shown = answered == status || !refused.body.contains(&answered.to_string());
        assert!(shown, "the upstream's {answered} shows: {}", refused.body);
        let seen = world.upstream_saw(|seen| seen.ending.is_some()).await;
        assert_eq!(seen.ending, Some(Ending::Refused(answered)));
        assert_eq!(seen.received.bytes, 0);
    }
    // One attempt each: a redirect was not followed, and nothing was tried again.
    assert_eq!(world.upstream_total(), cases.len() as u64);
    world.still_serves().await;
    world.settles().await;
}

#[tokio::test]
async fn s23_an_upstream_that_takes_too_long_is_504_within_the_deadline() {
    let world = World::with(impatient()).await;
    for model in ["sim-hang", "sim-drip"] {
        let began = Instant::now();
        fails(&world, model, 504, "upstream_timeout").await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(650), "{model} {took:?}");
        assert!(took < Duration::from_secs(5), "{model} {took:?}");
    }
    world.still_serves().await;
    world.settles().await;
}

#[tokio::test]
async fn s02_s23_a_101_that_breaks_the_rules_is_no_tunnel() {
    let world = World::usual().await;
    for model in [
        "sim-bad-accept",
        "sim-extension",
        "sim-before",
        "sim-endless-head",
    ] {
        fails(&world, model, 502, "upstream_refused").await;
    }
    world.still_serves().await;
    world.settles().await;
}

#[tokio::test]
async fn s23_nobody_listening_is_told_as_unreachable() {
    let world = World::usual().await;
    world.stop_upstream().await;
    for _ in 0..3 {
        fails(&world, "sim-echo", 502, "upstream_unreachable").await;
    }
    world.metrics_say("tonegate_connections 0").await;
    assert_eq!(world.edge().sessions(), 0);
}

#[tokio::test]
async fn s25_no_credential_goes_to_an_upstream_that_is_not_proved() {
    let names = ["localhost", "127.0.0.1"];
    let authority = || Authority::new("test authority");
    let cases: Vec<(&str, Authority, Identity)> = {
        let (a, b, c, d) = (authority(), authority(), authority(), authority());
        let expired = a.issue_expired(&names).unwrap();
        let wrong_name = b.issue_wrong_name().unwrap();
        let self_signed = Identity::self_signed(&names).unwrap();
        // The same name of the authority, but another key.
        let other = authority().issue(&names).unwrap();
        vec![
            ("expired", a, expired),
            ("wrong name", b, wrong_name),
            ("self-signed", c, self_signed),
            ("another authority", d, other),
        ]
    };
    for (what, authority, identity) in cases {
        let world = World::with_upstream_identity(Wish::default(), authority, identity).await;
        fails(&world, "sim-echo", 502, "upstream_unreachable").await;
        let seen = world.upstream_saw(|seen| seen.ending.is_some()).await;
        assert_eq!(seen.ending, Some(Ending::NoTls), "{what}");
        assert!(seen.target.is_empty() && seen.headers.is_empty(), "{what}");
        assert_eq!(world.upstream_total(), 1, "{what}");
    }
}

#[tokio::test]
async fn s25_an_upstream_that_speaks_plain_text_gets_no_credential() {
    // The simulator waits for the rest of what it takes for a request.
    let world = World::with(Wish {
        upstream_plain: true,
        ..impatient()
    })
    .await;
    fails(&world, "sim-echo", 504, "upstream_timeout").await;
    let seen = world.upstream_saw(|seen| seen.ending.is_some()).await;
    assert!(seen.target.is_empty() && seen.headers.is_empty());
    // Others answer at once.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}", plain.local_addr().unwrap().port());
    let got = tokio::spawn(async move {
        let (mut tcp, _) = plain.accept().await.unwrap();
        let mut got = vec![0; 16];
        tcp.read_exact(&mut got).await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        let _ = tcp.read_to_end(&mut got).await;
        got
    });
    let world = world_before(
        Authority::new("test authority"),
        "first",
        table("first", &url),
    )
    .await;
    world.still_serves().await;
    let failed =
        "tonegate_upstream_dials_total{upstream=\"first\",result=\"upstream_unreachable\"}";
    assert_eq!(world.count(failed), 1);
    let got = within("what it got", got).await.unwrap();
    for secret in ["another-key", "GET ", "api-key"] {
        assert!(
            !got.windows(secret.len())
                .any(|part| part == secret.as_bytes()),
            "{secret}"
        );
    }
}

#[tokio::test]
async fn the_upstream_is_resumed_on_the_second_call() {
    let world = World::usual().await;
    let mut resumed = Vec::new();
    for _ in 0..3 {
        world.still_serves().await;
        let seen = world.upstream_saw(|seen| seen.security.is_some()).await;
        let security = seen.security.unwrap();
        assert_eq!(security.version, "TLSv1_3");
        resumed.push(security.resumed);
        world.settles().await;
    }
    assert_eq!(resumed, [false, true, true]);
}

/// Another simulated upstream, which plays one part for every model of the real service.
struct Other {
    record: Arc<Record>,
    table: String,
    _stop: DropGuard,
}

impl Other {
    async fn playing(authority: &Authority, name: &str, scenario: Scenario) -> Other {
        let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
        let server = VoiceLive::bind(Options {
            identity: Some(identity),
            api_key: Some("another-key".to_owned()),
            scenario,
            ..Options::loopback()
        })
        .await
        .unwrap();
        let (address, record) = (server.address(), server.record());
        let stop = CancellationToken::new();
        tokio::spawn(server.serve(stop.clone()));
        Other {
            record,
            table: table(name, &format!("wss://localhost:{}", address.port())),
            _stop: stop.drop_guard(),
        }
    }
}

fn table(name: &str, url: &str) -> String {
    format!(
        "[upstreams.{name}]\nkind = \"voice-live\"\nurl = \"{url}\"\nroots = \"ca.pem\"\n\
         credential = {{ key = \"another-key\" }}\nconnect = \"500ms\"\ntotal = \"700ms\"\n"
    )
}

async fn world_before(authority: Authority, first: &'static str, more: String) -> World {
    let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    let wish = Wish {
        upstreams_first: vec![first],
        more,
        ..Wish::default()
    };
    World::with_upstream_identity(wish, authority, identity).await
}

#[tokio::test]
async fn when_the_first_upstream_fails_the_second_serves() {
    let cases = [
        (Scenario::Refuse(500), "upstream_refused"),
        (Scenario::Refuse(401), "upstream_unauthorized"),
        (Scenario::Refuse(429), "upstream_busy"),
        (Scenario::BadAccept, "upstream_refused"),
        (Scenario::Hang, "upstream_timeout"),
    ];
    for (scenario, reason) in cases {
        let authority = Authority::new("test authority");
        let other = Other::playing(&authority, "first", scenario).await;
        let world = world_before(authority, "first", other.table.clone()).await;
        let mut caller = world.call("gpt-realtime").await;
        let created = caller.next().await.unwrap();
        assert_eq!(created.opcode, frame::TEXT);
        // Each got its own key.
        let first = other.record.last().unwrap();
        assert_eq!(first.header("api-key").collect::<Vec<_>>(), ["another-key"]);
        let second = world.upstream_saw(|seen| seen.scenario.is_some()).await;
        assert_eq!(second.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
        let failed =
            format!("tonegate_upstream_dials_total{{upstream=\"first\",result=\"{reason}\"}}");
        assert_eq!(world.count(&failed), 1, "{scenario:?}");
        let served = "tonegate_upstream_dials_total{upstream=\"voice\",result=\"ok\"}";
        assert_eq!(world.count(served), 1, "{scenario:?}");
        caller.close(1000, "").await;
        caller.closed().await;
        drop(caller);
        world.settles().await;
        within(
            "the first",
            other.record.until(|record| record.totals().open == 0),
        )
        .await;
    }
}

#[tokio::test]
async fn an_upstream_that_works_is_the_only_one_that_is_dialled() {
    let authority = Authority::new("test authority");
    let other = Other::playing(&authority, "first", Scenario::Conversation).await;
    let world = world_before(authority, "first", other.table.clone()).await;
    let caller = world.call("gpt-realtime").await;
    assert_eq!(other.record.totals().total, 1);
    assert_eq!(world.upstream_total(), 0);
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn an_upstream_where_nobody_listens_is_passed_over() {
    let authority = Authority::new("test authority");
    // A port that was just free and that nobody else is given while the socket is bound.
    let bound = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}", bound.local_addr().unwrap().port());
    let world = world_before(authority, "first", table("first", &url)).await;
    world.still_serves().await;
    let failed =
        "tonegate_upstream_dials_total{upstream=\"first\",result=\"upstream_unreachable\"}";
    assert_eq!(world.count(failed), 1);
    // When none is left, the last one's word counts.
    world
        .refused("/ws?model=sim-refuse-429", &[("api-key", KEY)])
        .await
        .is(503, "upstream_busy");
    world.settles().await;
}

/// Twenty callers that go while the upstream keeps silent; `early` is sent with the request.
async fn connect_and_abort(early: &[u8]) {
    const CALLERS: u64 = 20;
    let world = World::with(Wish {
        upstream: "connect = \"30s\"\ntotal = \"60s\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut callers = Vec::new();
    let mut bytes = request("/ws?model=sim-hang", &[("api-key", KEY)]).into_bytes();
    bytes.extend_from_slice(early);
    for _ in 0..CALLERS {
        let mut io = world.connect().await;
        io.write_all(&bytes).await.unwrap();
        io.flush().await.unwrap();
        callers.push(io);
    }
    within(
        "the attempts",
        world.record.until(|record| {
            let all = record.connections();
            let hang = all
                .iter()
                .filter(|seen| seen.ending == Some(Ending::AsPlayed));
            hang.count() as u64 == CALLERS
        }),
    )
    .await;
    assert_eq!(world.record.totals().open, CALLERS);
    drop(callers);
    world.settles().await;
    let lost =
        |route| format!("tonegate_requests_total{{route=\"{route}\",result=\"client_lost\"}}");
    assert_eq!(world.count(&lost("browser")), CALLERS);
    assert_eq!(world.count(&lost("none")), 0);
    assert_eq!(world.upstream_total(), CALLERS);
    world.still_serves().await;
}

#[tokio::test]
async fn twenty_callers_that_abort_leave_no_upstream_attempt() {
    connect_and_abort(b"").await;
}

#[tokio::test]
async fn twenty_callers_that_abort_after_early_frames_leave_no_upstream_attempt() {
    let mut early = bytes::BytesMut::new();
    text("impatient").encode(Some([1, 2, 3, 4]), &mut early);
    connect_and_abort(&early).await;
}
