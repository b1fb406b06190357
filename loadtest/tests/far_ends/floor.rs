//! The bare forwarder: bytes in order and whole, ends that are what they look like, bounded memory.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::program::{FOLDER, Served, free};

/// Nobody here waits longer.
const PATIENCE: Duration = Duration::from_secs(10);

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")
}

fn patient(socket: TcpStream) -> TcpStream {
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn tls(socket: TcpStream) -> Tls {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(FOLDER.join("ca.pem")).expect("a certificate");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    StreamOwned::new(session, socket)
}

/// Bytes that no two places of have alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * at / 7 + at) as u8).collect()
}

/// Hears everything to the end, then answers: only a half-close gets there and back.
fn answers_at_the_end(listener: TcpListener, answer: Vec<u8>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut socket = patient(listener.accept().expect("a caller").0);
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).expect("an end");
        socket.write_all(&answer).expect("a reader");
        heard
    })
}

#[test]
fn half_a_close_is_forwarded_and_the_other_half_goes_on() {
    let (said, answer) = (bytes(3 << 20), bytes(5 << 20));
    let upstream = listener();
    let floor = Served::floor(upstream.local_addr().expect("an address"), false, false);
    let upstream = answers_at_the_end(upstream, answer.clone());
    let mut client = patient(TcpStream::connect(floor.address).expect("a socket"));
    client.write_all(&said).expect("a reader");
    client.shutdown(Shutdown::Write).expect("half a close");
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).expect("an end");
    assert!(heard == answer && upstream.join().expect("an upstream") == said);
}

#[test]
fn half_a_close_goes_through_tls_as_well() {
    let (said, answer) = (bytes(300_000), bytes(500_000));
    let upstream = listener();
    let floor = Served::floor(upstream.local_addr().expect("an address"), true, false);
    let upstream = answers_at_the_end(upstream, answer.clone());
    let mut client = tls(patient(
        TcpStream::connect(floor.address).expect("a socket"),
    ));
    client.write_all(&said).expect("a reader");
    client.conn.send_close_notify();
    client.flush().expect("a reader");
    let mut heard = Vec::new();
    // An end without close_notify would be an error here.
    client.read_to_end(&mut heard).expect("a proper end");
    assert!(heard == answer && upstream.join().expect("an upstream") == said);
}

#[test]
fn an_end_that_tls_did_not_announce_is_no_end_for_the_other_side() {
    let upstream = listener();
    let floor = Served::floor(upstream.local_addr().expect("an address"), true, false);
    let upstream = thread::spawn(move || {
        let mut socket = patient(upstream.accept().expect("a caller").0);
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).map_err(|error| error.kind())
    });
    let mut client = tls(patient(
        TcpStream::connect(floor.address).expect("a socket"),
    ));
    client.write_all(b"and then").expect("a reader");
    client.flush().expect("a reader");
    client.sock.shutdown(Shutdown::Write).expect("a cut");
    let heard = upstream.join().expect("an upstream");
    assert_eq!(heard, Err(ErrorKind::ConnectionReset));
}

#[test]
fn an_upstream_that_is_not_there_ends_the_call_and_nothing_else() {
    let floor = Served::floor(free(), false, false);
    for _ in 0..3 {
        let mut client = patient(TcpStream::connect(floor.address).expect("a socket"));
        // Nothing, or a reset; no timeout.
        match client.read(&mut [0; 16]) {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

#[test]
fn a_client_that_speaks_no_tls_is_refused() {
    let upstream = listener();
    let floor = Served::floor(upstream.local_addr().expect("an address"), true, false);
    let mut client = patient(TcpStream::connect(floor.address).expect("a socket"));
    client
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("a reader");
    let mut heard = Vec::new();
    if let Err(error) = client.read_to_end(&mut heard) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn whoever_does_not_read_holds_the_other_back_and_no_memory() {
    let upstream = listener();
    let floor = Served::floor(upstream.local_addr().expect("an address"), true, false);
    let mut client = tls(patient(
        TcpStream::connect(floor.address).expect("a socket"),
    ));
    client.write_all(b"first").expect("a reader");
    client.flush().expect("a reader");
    let mut slow = patient(upstream.accept().expect("a caller").0);
    slow.read_exact(&mut [0; 5]).expect("the first");
    let before = resident_kib(floor.pid());
    // Nobody reads: sockets fill up, then the client waits.
    client.sock.set_nonblocking(true).expect("a flag");
    let said = bytes(1 << 20);
    let mut taken: u64 = 0;
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut idle = 0;
    while idle < 20 {
        assert!(
            std::time::Instant::now() < deadline,
            "{taken} bytes and no end"
        );
        match client.write(&said[(taken % (1 << 20)) as usize..]) {
            Ok(count) => {
                taken += count as u64;
                idle = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                idle += 1;
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
    let grown = resident_kib(floor.pid()).saturating_sub(before);
    assert!(
        taken > 500_000 && grown < 1024,
        "{taken} bytes taken, {grown} KiB grown"
    );
    // And all of it comes, once somebody reads.
    let hear = thread::spawn(move || {
        let (mut heard, mut buffer) = (0_u64, vec![0; 1 << 16]);
        while heard < taken {
            let count = slow.read(&mut buffer).expect("more");
            let same = (heard..).zip(&buffer[..count]).all(|(at, byte)| {
                let at = (at % (1 << 20)) as usize;
                *byte == (at * at / 7 + at) as u8
            });
            assert!(same && count > 0, "at {heard}");
            heard += count as u64;
        }
    });
    client.sock.set_nonblocking(false).expect("a flag");
    client.flush().expect("a reader");
    hear.join().expect("every byte");
}
