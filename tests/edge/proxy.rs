//! Hops that speak the PROXY protocol: the client is whom the header names, from nobody else, and
//! not a byte behind the header is lost.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tonegate::sim::stream::{self, Stream};

use crate::binary::Served;
use crate::harness::{KEY, Wish, World, read_answer, request, text, within};
use crate::hops::{HOP, STRANGER, TARGET};

const PROXY: &str = "[hops]\nnetworks = [\"127.0.0.2\"]\nspeak = \"proxy\"\n";
const FAILURES: &str = "tonegate_proxy_header_failures_total";

/// The clients' networks are let in, the hop itself is not.
const CLIENTS: &str = "allow = [\"203.0.113.0/24\", \"2001:db8::/64\"]";

async fn behind_hops(tls: bool, limits: &str, route: &str) -> World {
    World::with(Wish {
        tls,
        limits: limits.to_owned(),
        route: route.to_owned(),
        more: PROXY.to_owned(),
        ..Wish::default()
    })
    .await
}

/// A header of version 1.
fn v1(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (kind, edge) = match client {
        SocketAddr::V4(_) => ("TCP4", "192.0.2.1"),
        SocketAddr::V6(_) => ("TCP6", "2001:db8:ffff::1"),
    };
    format!(
        "PROXY {kind} {} {edge} {} 443\r\n",
        client.ip(),
        client.port()
    )
    .into_bytes()
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 with some bytes behind the addresses.
fn v2(client: &str, more: &[u8]) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, mut block) = match client {
        SocketAddr::V4(v4) => (0x11, [v4.ip().octets(), [192, 0, 2, 1]].concat()),
        SocketAddr::V6(v6) => (0x21, [v6.ip().octets(), [1; 16]].concat()),
    };
    block.extend(client.port().to_be_bytes());
    block.extend([1, 187]);
    block.extend(more);
    raw_v2(0x21, family, &block)
}

fn raw_v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

/// A connection whose first write takes a header along, in one piece.
struct Led(TcpStream, Vec<u8>);

impl AsyncWrite for Led {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let header = std::mem::take(&mut self.1);
        let all = [&header[..], bytes].concat();
        let written = Pin::new(&mut self.0).poll_write(cx, &all);
        if !header.is_empty() {
            // An empty socket takes so little at once.
            assert!(matches!(written, Poll::Ready(Ok(count)) if count == all.len()));
        }
        written.map_ok(|count| count - header.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl AsyncRead for Led {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

/// Asks through a hop that begins with `header`; the status of the answer. A caller that enters is
/// served first.
async fn status(world: &World, tls: bool, header: &[u8], headers: &[(&str, &str)]) -> u16 {
    let mut tcp = world.tcp(HOP).await;
    let asked = request(TARGET, &[&[("api-key", KEY)], headers].concat());
    let io = if tls {
        tcp.write_all(header).await.unwrap();
        let mut io = world.over(tcp).await;
        io.write_all(asked.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        io
    } else {
        // Header and head are one segment.
        let all = [header, asked.as_bytes()].concat();
        tcp.write_all(&all).await.unwrap();
        Stream::Plain(tcp)
    };
    match read_answer(io).await {
        Ok(mut caller) => {
            caller.send(text("in")).await;
            assert_eq!(caller.next().await, Some(text("in")));
            caller.close(1000, "").await;
            caller.closed().await;
            101
        }
        Err(refused) => refused.status,
    }
}

/// Whether the edge ends a connection without a word.
async fn closed(tcp: &mut TcpStream) {
    let read = within("the end", tcp.read(&mut [0; 99])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn b23_the_client_is_whom_the_header_names_in_both_versions_and_families() {
    for tls in [true, false] {
        let world = behind_hops(tls, "", CLIENTS).await;
        // A field as balancers of clouds add it, and as much of it as is taken.
        let field = [0xEE, 0, 5, 1, 1, 2, 3, 4];
        let most = [4; 536 - 16 - 12];
        for header in [
            v1("203.0.113.9:5000"),
            v1("[2001:db8::9]:5000"),
            v2("203.0.113.9:5000", &[]),
            v2("[2001:db8::9]:5000", &[]),
            v2("203.0.113.9:5000", &field),
            v2("[2001:db8::9]:5000", &field),
            v2("203.0.113.9:5000", &most),
        ] {
            assert_eq!(status(&world, tls, &header, &[]).await, 101, "{header:?}");
        }
        let dialled = world.upstream_total();
        for header in [
            v1("198.51.100.7:5000"),
            v2("198.51.100.7:5000", &[]),
            v2("[2001:db8:1::9]:5000", &[]),
            // Nobody is named: the hop itself, which is not let in.
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN 203.0.113.9 192.0.2.1 5000 443\r\n".to_vec(),
            raw_v2(0x20, 0, &[]),
            raw_v2(0x20, 0x11, &v2("203.0.113.9:5000", &[])[16..]),
            raw_v2(0x21, 0x12, &v2("203.0.113.9:5000", &[])[16..]),
        ] {
            assert_eq!(status(&world, tls, &header, &[]).await, 403, "{header:?}");
        }
        assert_eq!(world.upstream_total(), dialled);
        assert_eq!(world.count(FAILURES), 0);
        world.settles().await;
    }
}

#[tokio::test]
async fn b23_what_a_hop_has_sent_at_once_or_in_pieces_is_all_there() {
    let world = behind_hops(true, "", CLIENTS).await;
    for header in [
        v1("203.0.113.9:5000"),
        v2("[2001:db8::9]:5000", &[4, 0, 1, 0]),
    ] {
        // Header and ClientHello in one segment.
        let connector = stream::connector(&world.authority.pem()).unwrap();
        let name = "localhost".to_owned().try_into().unwrap();
        let led = Led(world.tcp(HOP).await, header.clone());
        let mut io = connector.connect(name, led).await.unwrap();
        let asked = request(TARGET, &[("api-key", KEY)]);
        io.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = [0; 13];
        within("an answer", io.read_exact(&mut answer))
            .await
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101 ");
        drop(io);
        // Byte by byte.
        let mut tcp = world.tcp(HOP).await;
        for byte in &header {
            tcp.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut io = world.over(tcp).await;
        io.write_all(asked.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        assert!(read_answer(io).await.is_ok());
    }
    // In plain text the frames of an impatient client, too.
    let world = behind_hops(false, "", CLIENTS).await;
    let mut tcp = world.tcp(HOP).await;
    let asked = request(TARGET, &[("api-key", KEY)]);
    let frame = [0x81, 0x85, 0, 0, 0, 0, b'e', b'a', b'r', b'l', b'y'];
    let header = v2("203.0.113.9:5000", &[]);
    let all = [&header[..], asked.as_bytes(), &frame].concat();
    tcp.write_all(&all).await.unwrap();
    let mut caller = read_answer(Stream::Plain(tcp)).await.unwrap();
    assert_eq!(caller.next().await, Some(text("early")));
}

#[tokio::test]
async fn b23_s14_a_header_of_no_hop_is_a_bad_client_and_names_nobody() {
    // To TLS it is no ClientHello.
    let world = behind_hops(true, "", "").await;
    let headers = [v1("203.0.113.9:5000"), v2("203.0.113.9:5000", &[])];
    for (round, header) in (1..).zip(&headers) {
        let mut tcp = world.tcp(STRANGER).await;
        tcp.write_all(header).await.unwrap();
        let mut answer = Vec::new();
        // At most an alert.
        let _ = within("the end", tcp.read_to_end(&mut answer)).await;
        assert!(answer.len() < 10, "{answer:?}");
        let failures = format!("tonegate_tls_handshake_failures_total {round}");
        world.metrics_say(&failures).await;
    }
    assert_eq!(world.count(FAILURES), 0);
    // To HTTP it is no head.
    let world = behind_hops(false, "", "").await;
    for header in &headers {
        let asked = request(TARGET, &[("api-key", KEY)]);
        let refused = world
            .refused_bytes(&[&header[..], asked.as_bytes()].concat())
            .await;
        refused.is(400, "bad_request");
    }
    assert_eq!((world.count(FAILURES), world.upstream_total()), (0, 0));
    // Without one it is as good a client as any.
    world.still_serves().await;
}

#[tokio::test]
async fn b23_s14_with_the_protocol_no_header_of_the_request_is_believed() {
    let world = behind_hops(true, "", CLIENTS).await;
    for named in [
        v1("198.51.100.7:5000"),
        raw_v2(0x20, 0, &[]),
        v1("127.0.0.2:5000"),
    ] {
        let spoofed = [("X-Forwarded-For", "203.0.113.9")];
        assert_eq!(status(&world, true, &named, &spoofed).await, 403);
    }
    // Nor is it looked at.
    let header = v1("203.0.113.9:5000");
    let garbage = [
        ("X-Forwarded-For", "garbage"),
        ("x-ms-client-principal", "!"),
    ];
    assert_eq!(status(&world, true, &header, &garbage).await, 101);
}

#[tokio::test]
async fn b23_a_hop_without_a_good_header_is_closed_and_counted() {
    let world = behind_hops(true, "", "").await;
    let too_long = v2("203.0.113.9:5000", &[4; 536 - 16 - 12 + 1]);
    let line = format!("PROXY UNKNOWN {}", "x".repeat(200));
    let cases = [
        request(TARGET, &[("api-key", KEY)]).into_bytes(),
        // A ClientHello without a header.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03".to_vec(),
        b"PROXY TCP4 203.0.113.9 192.0.2.1 5000\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::9 192.0.2.1 5000 443\r\n".to_vec(),
        b"PROXY TCP7 203.0.113.9 192.0.2.1 5000 443\r\n".to_vec(),
        b"proxy tcp4 203.0.113.9 192.0.2.1 5000 443\r\n".to_vec(),
        line.into_bytes(),
        raw_v2(0x11, 0x11, &[0; 12]),
        raw_v2(0x22, 0x11, &[0; 12]),
        raw_v2(0x21, 0x51, &[0; 12]),
        raw_v2(0x21, 0x21, &[0; 35]),
        // Told by its length alone.
        too_long[..16].to_vec(),
        too_long,
        [SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF]].concat(),
        vec![0; 600],
    ];
    for (round, bytes) in (1..).zip(&cases) {
        let mut tcp = world.tcp(HOP).await;
        tcp.write_all(bytes).await.unwrap();
        closed(&mut tcp).await;
        assert_eq!(world.count(FAILURES), round, "{bytes:?}");
    }
    // Cut anywhere, and nothing at all: the client went.
    let mut failures = cases.len();
    for header in [v1("203.0.113.9:5000"), v2("203.0.113.9:5000", &[])] {
        for cut in [0, 1, 5, 12, 15, 16, header.len() - 1] {
            let mut tcp = world.tcp(HOP).await;
            tcp.write_all(&header[..cut]).await.unwrap();
            tcp.shutdown().await.unwrap();
            closed(&mut tcp).await;
            failures += 1;
            world.metrics_say(&format!("{FAILURES} {failures}")).await;
        }
    }
    assert_eq!(world.count("tonegate_tls_handshake_failures_total"), 0);
    assert_eq!(world.upstream_total(), 0);
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn b23_s06_a_header_that_drips_ends_with_the_deadline_of_the_handshake() {
    let world = behind_hops(true, "handshake = \"1s\"", "").await;
    let begun = Instant::now();
    let mut drips = Vec::new();
    for header in [
        v1("203.0.113.9:5000"),
        v2("203.0.113.9:5000", &[4; 400]),
        Vec::new(),
    ] {
        let tcp = world.tcp(HOP).await;
        drips.push(tokio::spawn(drip(tcp, header)));
    }
    for drip in drips {
        drip.await.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    world.metrics_say(&format!("{FAILURES} 3")).await;
    // The header has no time of its own: what is left is for the handshake and the head.
    let mut tcp = world.tcp(HOP).await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(700)).await;
    tcp.write_all(&v1("203.0.113.9:5000")).await.unwrap();
    closed(&mut tcp).await;
    assert!(
        begun.elapsed() < Duration::from_millis(1600),
        "{:?}",
        begun.elapsed()
    );
    world
        .metrics_say("tonegate_tls_handshake_failures_total 1")
        .await;
    world.settles().await;
}

/// Sends one byte each 50 ms until the edge ends the connection.
async fn drip(mut tcp: TcpStream, bytes: Vec<u8>) {
    let mut bytes = bytes.into_iter();
    let mut end = [0; 9];
    loop {
        tokio::select! {
            read = tcp.read(&mut end) => {
                assert!(matches!(read, Ok(0) | Err(_)));
                return;
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                if let Some(byte) = bytes.next() {
                    let _ = tcp.write_all(&[byte]).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn b23_s42_clients_behind_a_hop_are_bounded_each_by_its_own_address() {
    let world = behind_hops(true, "unadmitted_per_address = 2", "").await;
    // Nobody is known yet: a hop may open as many as there are places in all.
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(world.tcp(HOP).await);
    }
    world.metrics_say("tonegate_connections 5").await;
    for tcp in &mut held[..2] {
        tcp.write_all(&v1("203.0.113.9:5000")).await.unwrap();
    }
    held[2].write_all(&v1("203.0.113.8:5000")).await.unwrap();
    // One address has two; which of these connections is the third, nobody can tell from here.
    let mut more = world.tcp(HOP).await;
    more.write_all(&v2("203.0.113.9:6000", &[])).await.unwrap();
    let hits = "tonegate_limit_hits_total{limit=\"unadmitted_per_address\"} 1";
    world.metrics_say(hits).await;
    world.metrics_say("tonegate_connections 5").await;
    for header in [v1("203.0.113.8:5000"), v1("203.0.113.7:5000")] {
        assert_eq!(status(&world, true, &header, &[]).await, 101);
    }
    assert_eq!(world.count(FAILURES), 0);
    drop((held, more));
    world.settles().await;
    assert_eq!(status(&world, true, &v1("203.0.113.9:1"), &[]).await, 101);
}

#[tokio::test]
async fn b23_limits_and_log_know_the_client_and_not_its_hop() {
    let route = "limits = { upgrades_per_address = \"1/h\" }";
    let mut world = behind_hops(true, "", route).await;
    let mut served = Served::start(&world, "tonegate=debug").await;
    world.port = served.port();
    for client in ["203.0.113.1:5000", "203.0.113.2:5000", "[2001:db8::1]:5000"] {
        assert_eq!(status(&world, true, &v2(client, &[]), &[]).await, 101);
        for message in ["session started", "session ended"] {
            let line = served.until(|line| line["message"] == message).await;
            assert_eq!(line["client"], client, "{line}");
        }
        assert_eq!(status(&world, true, &v1(client), &[]).await, 429);
        let line = served
            .until(|line| line["message"] == "request refused")
            .await;
        assert_eq!(line["client"], client, "{line}");
    }
    let mut tcp = world.tcp(HOP).await;
    tcp.write_all(b"canary").await.unwrap();
    closed(&mut tcp).await;
    let line = served
        .until(|line| line["message"] == "PROXY header failed")
        .await;
    assert!(line["hop"].as_str().unwrap().starts_with(HOP), "{line}");
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    assert!(!printed.contains("canary"));
}
