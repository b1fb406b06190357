//! Against rustls' buffered API as the peer; against OpenSSL in `tests/openssl.rs`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use rustls::crypto::{CipherSuiteCommon, CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection as Peer, Error, InvalidMessage,
    RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite,
};
use std::sync::{Arc, LazyLock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;
use crate::buffer::{Queue, READ_BUFFER, give_queue};
use crate::sim::certificate::Authority;

type Version = &'static rustls::SupportedProtocolVersion;

const VERSIONS: [Version; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];
/// Plain text of a full record.
const RECORD: usize = 16 * 1024;
const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// Which side the session under test is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Server,
}

static NAMED: LazyLock<(String, crate::sim::certificate::Identity)> = LazyLock::new(|| {
    let authority = Authority::new("unit");
    (authority.pem(), authority.issue(&["localhost"]).unwrap())
});

fn configs(version: Version) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    configs_with(version, aws_lc_rs::default_provider())
}

fn configs_with(
    version: Version,
    provider: CryptoProvider,
) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let provider = Arc::new(provider);
    let (root, identity) = &*NAMED;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    (Arc::new(client), Arc::new(server))
}

/// A session, the other side, and what was opened.
struct Pair {
    ours: Session,
    peer: Peer,
    queue: Option<Queue>,
    plain: Vec<u8>,
}

impl Pair {
    fn begin(side: Side, configs: (Arc<ClientConfig>, Arc<ServerConfig>)) -> Pair {
        let (client, server) = configs;
        let name = ServerName::try_from("localhost").unwrap();
        let (ours, peer) = match side {
            Side::Client => (
                Session::client(client, name).unwrap(),
                Peer::from(ServerConnection::new(server).unwrap()),
            ),
            Side::Server => (
                Session::server(server, false).unwrap(),
                Peer::from(ClientConnection::new(client, name).unwrap()),
            ),
        };
        let mut pair = Pair {
            ours,
            peer,
            queue: None,
            plain: Vec::new(),
        };
        pair.open(&[]).unwrap();
        pair
    }

    /// One whose handshake is done, in pieces of so many bytes.
    fn new(side: Side, version: Version, piece: usize) -> Pair {
        Pair::done(Pair::begin(side, configs(version)), piece)
    }

    fn done(mut pair: Pair, piece: usize) -> Pair {
        for _ in 0..10 {
            pair.hears();
            let wire = pair.says();
            for piece in wire.chunks(piece) {
                pair.open(piece).unwrap();
            }
        }
        assert!(!pair.ours.known().is_handshaking() && !pair.peer.is_handshaking());
        assert_eq!(pair.ours.begun(), 0);
        pair
    }

    /// Reads `wire` as a leg does.
    fn open(&mut self, wire: &[u8]) -> std::io::Result<Read> {
        let begun = self.ours.begun();
        let mut buffer = vec![0xaa; begun];
        buffer.extend_from_slice(wire);
        let plain = &mut self.plain;
        let each = |chunk: &[u8]| plain.extend_from_slice(chunk);
        self.ours.open(&mut buffer, &mut self.queue, each)
    }

    fn seal(&mut self, bytes: &[u8]) {
        self.ours.seal(&[], bytes, &mut self.queue).unwrap();
    }

    /// What the peer has for us.
    fn says(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.peer.wants_write() {
            self.peer.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn writes(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.peer.set_buffer_limit(None);
        self.peer.writer().write_all(bytes).unwrap();
        self.says()
    }

    fn wire(&mut self) -> Vec<u8> {
        let wire = self.queue.take().map(|queue| {
            let wire = queue.to_vec();
            give_queue(queue);
            wire
        });
        wire.unwrap_or_default()
    }

    /// The peer reads all that is queued for it.
    fn hears(&mut self) -> Vec<u8> {
        self.try_hear().unwrap()
    }

    fn try_hear(&mut self) -> Result<Vec<u8>, Error> {
        let wire = self.wire();
        let (mut wire, mut heard) = (&wire[..], Vec::new());
        let mut processed = Ok(());
        while !wire.is_empty() && processed.is_ok() {
            if self.peer.read_tls(&mut wire).unwrap() == 0 {
                break;
            }
            processed = self.peer.process_new_packets().map(drop);
            let _ = self.peer.reader().read_to_end(&mut heard);
        }
        processed.map(|()| heard)
    }

    fn crosses_both_ways(&mut self) {
        let wire = self.writes(b"there");
        self.plain.clear();
        assert_eq!(self.open(&wire).unwrap(), Read::Open);
        assert_eq!(self.plain, b"there");
        self.seal(b"and back");
        assert_eq!(self.hears(), b"and back");
    }
}

/// Of every error of a session: what rustls says of it.
fn of_rustls(error: &std::io::Error) -> &Error {
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    error.get_ref().unwrap().downcast_ref().unwrap()
}

#[test]
fn handshakes_are_done_however_they_are_cut() {
    for side in SIDES {
        for version in VERSIONS {
            for piece in [1, 2, 5, 6, 100, 1000, READ_BUFFER] {
                Pair::new(side, version, piece).crosses_both_ways();
            }
        }
    }
}

#[test]
fn records_are_opened_wherever_they_are_cut() {
    for side in SIDES {
        for version in VERSIONS {
            let mut pair = Pair::new(side, version, READ_BUFFER);
            let mut length = 1;
            for cut in 0.. {
                let (first, second) = (vec![1; 30], vec![2; 40]);
                let mut wire = pair.writes(&first);
                wire.extend(pair.writes(&second));
                if cut > wire.len() {
                    length = cut;
                    break;
                }
                pair.plain.clear();
                assert_eq!(pair.open(&wire[..cut]).unwrap(), Read::Open);
                assert!(pair.ours.begun() <= cut);
                // Something of ours may go out between the halves.
                pair.seal(b"meanwhile");
                assert_eq!(pair.hears(), b"meanwhile");
                assert_eq!(pair.open(&wire[cut..]).unwrap(), Read::Open);
                assert_eq!(pair.plain, [first, second].concat(), "{side:?} {cut}");
                assert_eq!(pair.ours.begun(), 0);
            }
            assert!(length > 100);
        }
    }
}

#[test]
fn what_came_before_a_bad_record_is_handed_on_and_nothing_after() {
    for side in SIDES {
        for version in VERSIONS {
            let mut pair = Pair::new(side, version, READ_BUFFER);
            let mut wire = pair.writes(b"good");
            let good = wire.len();
            wire.extend(pair.writes(b"bad"));
            wire.extend(pair.writes(b"never heard of"));
            wire[good + 9] ^= 1;
            let error = pair.open(&wire).unwrap_err();
            assert_eq!(of_rustls(&error), &Error::DecryptError);
            assert_eq!(pair.plain, b"good");
            assert_eq!(pair.ours.begun(), 0);
            let alert = pair.wire();
            assert!(!alert.is_empty());
            // Nothing more goes in or out.
            let more = pair.writes(b"more");
            assert!(pair.open(&more).is_err() && pair.ours.standing().is_err());
            assert!(pair.ours.seal(&[], b"x", &mut pair.queue).is_err());
            assert!(pair.ours.close(&mut pair.queue).is_err());
            assert_eq!((pair.wire().len(), &pair.plain[..]), (0, &b"good"[..]));
            let mut alert = &alert[..];
            pair.peer.read_tls(&mut alert).unwrap();
            assert_eq!(
                pair.peer.process_new_packets().unwrap_err(),
                Error::AlertReceived(AlertDescription::BadRecordMac)
            );
            assert!(alert.is_empty(), "one alert");
        }
    }
}

#[test]
fn what_is_no_record_ends_the_session_with_an_alert() {
    let cases: [(&[u8], InvalidMessage); 4] = [
        (b"GET / HTTP/1.1\r\n", InvalidMessage::InvalidContentType),
        (
            // One byte longer than the longest.
            &[0x17, 3, 3, 0x48, 0x01],
            InvalidMessage::MessageTooLarge,
        ),
        (&[0x16, 3, 3, 0, 0], InvalidMessage::InvalidEmptyPayload),
        (
            &[0x17, 9, 9, 0, 1, 0],
            InvalidMessage::UnknownProtocolVersion,
        ),
    ];
    for side in SIDES {
        for version in VERSIONS {
            for (bytes, wrong) in &cases {
                let mut pair = Pair::new(side, version, READ_BUFFER);
                let mut wire = pair.writes(b"good");
                wire.extend_from_slice(bytes);
                let error = pair.open(&wire).unwrap_err();
                assert_eq!(of_rustls(&error), &Error::InvalidMessage(*wrong));
                assert_eq!(pair.plain, b"good");
                assert!(matches!(pair.try_hear(), Err(Error::AlertReceived(_))));
            }
        }
    }
}

#[test]
fn plain_text_after_the_handshake_is_no_message() {
    // An alert, a ClientHello to begin anew, application data, and a change of cipher.
    let cases: [&[u8]; 4] = [
        &[0x15, 3, 3, 0, 2, 1, 0],
        &[0x16, 3, 3, 0, 5, 1, 0, 0, 1, 0],
        &[0x17, 3, 3, 0, 3, b'a', b'b', b'c'],
        &[0x14, 3, 3, 0, 1, 1],
    ];
    for side in SIDES {
        for version in VERSIONS {
            for bytes in cases {
                let mut pair = Pair::new(side, version, READ_BUFFER);
                pair.crosses_both_ways();
                pair.plain.clear();
                let opened = pair.open(bytes);
                assert!(opened.is_err(), "{side:?} {version:?} {bytes:?} {opened:?}");
                assert!(pair.plain.is_empty());
            }
        }
    }
}

#[test]
fn a_record_has_at_most_what_the_standard_allows_and_none_keeps_more() {
    for side in SIDES {
        for version in VERSIONS {
            let mut pair = Pair::new(side, version, READ_BUFFER);
            let bytes = vec![7; 3 * 16 * 1024];
            let wire = pair.writes(&bytes);
            // In reads of every size around a record's.
            for piece in [16 * 1024, 16 * 1024 + 21, 16 * 1024 + 29, 20_000, 48 * 1024] {
                pair.plain.clear();
                let wire = if piece == 16 * 1024 {
                    wire.clone()
                } else {
                    pair.writes(&bytes)
                };
                for piece in wire.chunks(piece) {
                    pair.open(piece).unwrap();
                    assert!(pair.ours.begun() < 16 * 1024 + 2048 + 5);
                }
                assert!(pair.plain == bytes);
                assert_eq!(pair.ours.begun(), 0);
            }
            pair.seal(&bytes);
            assert!(pair.hears() == bytes);
            // The longest that may be announced, and then is not a record at all.
            let mut lie = vec![0x17, 3, 3, 0x47, 0xff];
            lie.resize(5 + 0x47ff, 0);
            assert_eq!(pair.open(&lie[..lie.len() - 1]).unwrap(), Read::Open);
            assert_eq!(pair.ours.begun(), lie.len() - 1);
            let error = pair.open(&[0]).unwrap_err();
            let expected = [Error::DecryptError, Error::PeerSentOversizedRecord];
            assert!(expected.contains(of_rustls(&error)), "{error}");
            assert_eq!(pair.ours.begun(), 0);
        }
    }
}

/// A ClientHello of 60,000 bytes, as it says, in records of 1,000. How many bytes of it a server keeps until
/// it has enough, where every so many of them are read at a time.
fn kept_of_an_endless_hello(certificates: bool, piece: usize) -> usize {
    let mut wire = vec![0x16, 3, 1, 0x03, 0xe8, 1, 0, 0xea, 0x60];
    wire.resize(1005, 0);
    while wire.len() < 60_000 {
        let end = wire.len() + 1005;
        wire.extend([0x16, 3, 3, 0x03, 0xe8]);
        wire.resize(end, 0);
    }
    let (_, server) = configs(VERSIONS[1]);
    let mut session = Session::server(server, certificates).unwrap();
    let (before, mut kept, mut queue) = (too_long(), 0, None);
    for piece in wire.chunks(piece) {
        let mut buffer = vec![0; session.begun()];
        buffer.extend_from_slice(piece);
        if session.open(&mut buffer, &mut queue, |_| ()).is_err() {
            assert!(session.standing().is_err());
            assert_eq!(session.begun(), 0);
            assert!(too_long() > before, "it is counted");
            return kept;
        }
        kept = session.begun();
    }
    panic!("it kept {kept} bytes");
}

#[test]
fn s22_a_message_of_a_handshake_that_does_not_end_is_not_kept() {
    // One record and what of another one came with its last byte, but for who may show certificates.
    for (certificates, most) in [(false, 5 + 18 * 1024), (true, READ_BUFFER - 16 * 1024)] {
        for piece in [100, 1000, 1005, 16 * 1024] {
            let kept = kept_of_an_endless_hello(certificates, piece);
            let expected = most.saturating_sub(piece)..=most;
            assert!(expected.contains(&kept), "{certificates} {piece}: {kept}");
        }
    }
}

#[test]
fn s22_each_byte_of_a_handshake_that_dribbles_costs_one_record_at_the_most() {
    // A message that claims to be longer than a record, in records of 16 KB.
    let record = [
        &[0x16, 3, 1, 0x40, 0][..],
        &[1, 0, 0xff, 0xff],
        &[1; 0x3ffc],
    ]
    .concat();
    let more = [&[0x16, 3, 1, 0x40, 0][..], &[1; 0x4000]].concat();
    let (_, server) = configs(VERSIONS[1]);
    let mut session = Session::server(server, false).unwrap();
    let (mut most, mut queue, mut ended) = (0, None, 0);
    for byte in record.iter().chain(&more).chain(&more) {
        most = most.max(session.begun());
        let mut buffer = vec![0; session.begun()];
        buffer.push(*byte);
        if session.open(&mut buffer, &mut queue, |_| ()).is_err() {
            break;
        }
        ended += 1;
    }
    assert!(most <= 5 + 18 * 1024, "{most}");
    assert!((record.len()..2 * record.len()).contains(&ended), "{ended}");
}

#[test]
fn a10_a_client_that_may_show_certificates_may_show_long_ones() {
    for version in VERSIONS {
        let clients = Authority::new("clients");
        let shown = clients.issue_client(&["a.example"], None).unwrap();
        let certificates = |pem: &str| -> Vec<_> {
            let all = CertificateDer::pem_slice_iter(pem.as_bytes());
            all.map(Result::unwrap).collect()
        };
        let roots = |pem: &str| {
            let mut roots = RootCertStore::empty();
            roots.add(certificates(pem).remove(0)).unwrap();
            Arc::new(roots)
        };
        let key = |pem: &str| PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        // Each certificate again and again: two records are not enough for them.
        let chain = certificates(&shown.chain_pem);
        let long: Vec<_> = chain.iter().cycle().take(100).cloned().collect();
        let length: usize = long.iter().map(|one| one.len()).sum();
        assert!(
            (2 * RECORD..READ_BUFFER - RECORD).contains(&length),
            "{length}"
        );
        let (root, identity) = &*NAMED;
        let client = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots(root))
            .with_client_auth_cert(long, key(&shown.key_pem))
            .unwrap();
        let verifier = WebPkiClientVerifier::builder(roots(&clients.pem()));
        let server = ServerConfig::builder_with_protocol_versions(&[version])
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(certificates(&identity.chain_pem), key(&identity.key_pem))
            .unwrap();
        let mut session = Session::server(Arc::new(server), true).unwrap();
        let mut peer = ClientConnection::new(Arc::new(client), name()).unwrap();
        let (mut queue, mut most) = (None, 0);
        while peer.is_handshaking() || session.known().is_handshaking() {
            let mut wire = Vec::new();
            while peer.wants_write() {
                peer.write_tls(&mut wire).unwrap();
            }
            for piece in wire.chunks(1400) {
                let mut buffer = vec![0; session.begun()];
                buffer.extend_from_slice(piece);
                session.open(&mut buffer, &mut queue, |_| ()).unwrap();
                most = most.max(session.begun());
            }
            let said = queue.take().map(|queue| queue.to_vec()).unwrap_or_default();
            let mut said = &said[..];
            while !said.is_empty() {
                peer.read_tls(&mut said).unwrap();
                peer.process_new_packets().unwrap();
            }
        }
        assert!(most > 2 * RECORD, "{version:?} {most}");
        assert_eq!(session.known().peer_certificates().unwrap().len(), 100);
    }
}

#[test]
fn prefix_and_bytes_are_one_record() {
    for side in SIDES {
        for version in VERSIONS {
            let mut pair = Pair::new(side, version, READ_BUFFER);
            for (prefix, bytes) in [
                (&b"head"[..], &b"body"[..]),
                (b"", b"body"),
                (b"head", b""),
                (&[1; 131], &[2; 16_000]),
            ] {
                pair.ours.seal(prefix, bytes, &mut pair.queue).unwrap();
                let wire = pair.queue.as_ref().unwrap();
                let length = usize::from(u16::from_be_bytes([wire[3], wire[4]]));
                assert_eq!(wire.len(), 5 + length);
                assert!(pair.hears() == [prefix, bytes].concat());
            }
            pair.ours.seal(&[], &[], &mut pair.queue).unwrap();
            assert_eq!(pair.wire().len(), 0, "nothing is no record");
            // Longer than one record, and than the room of any queue.
            let long = vec![3; 5 * READ_BUFFER];
            pair.ours.seal(b"head", &long, &mut pair.queue).unwrap();
            assert!(pair.hears() == [b"head", &long[..]].concat());
        }
    }
}

#[test]
fn keys_are_changed_when_the_peer_changes_its_own() {
    for side in SIDES {
        let mut pair = Pair::new(side, &rustls::version::TLS13, READ_BUFFER);
        for cut in [1, 5, 7, 20] {
            pair.peer.refresh_traffic_keys().unwrap();
            let update = pair.says();
            assert_eq!(pair.open(&update[..cut]).unwrap(), Read::Open);
            pair.seal(b"before");
            assert_eq!(pair.hears(), b"before");
            assert_eq!(pair.open(&update[cut..]).unwrap(), Read::Open);
            assert_eq!(pair.ours.begun(), 0);
            // Ours goes with what is said next; after that both ways have new keys.
            for _ in 0..3 {
                pair.crosses_both_ways();
            }
        }
    }
}

/// A provider whose one cipher for a version wears out after so many records.
fn worn_after(version: Version, limit: u64) -> CryptoProvider {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: limit,
    };
    let suite = if version == &rustls::version::TLS13 {
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = suite.tls13().unwrap();
        SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
            common: common(&suite.common),
            quic: None,
            ..*suite
        })))
    } else {
        let suite = aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
        let SupportedCipherSuite::Tls12(suite) = suite else {
            panic!("a suite of TLS 1.2")
        };
        SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
            common: common(&suite.common),
            ..*suite
        })))
    };
    CryptoProvider {
        cipher_suites: vec![suite],
        ..aws_lc_rs::default_provider()
    }
}

#[test]
fn keys_that_wear_out_are_changed_by_us() {
    for side in SIDES {
        let version = &rustls::version::TLS13;
        let configs = configs_with(version, worn_after(version, 8));
        let mut pair = Pair::done(Pair::begin(side, configs), READ_BUFFER);
        for round in 0..50 {
            pair.crosses_both_ways();
            // Several records at once, of which one is the last for its keys.
            let long = vec![round; 40_000];
            pair.seal(&long);
            assert!(pair.hears() == long, "{side:?} {round}");
            let answer = pair.says();
            assert_eq!(pair.open(&answer).unwrap(), Read::Open);
        }
    }
}

#[test]
fn where_keys_cannot_be_changed_the_session_ends() {
    for side in SIDES {
        let version = &rustls::version::TLS12;
        let configs = configs_with(version, worn_after(version, 8));
        let mut pair = Pair::done(Pair::begin(side, configs), READ_BUFFER);
        let mut sealed = 0;
        while pair.ours.seal(&[], b"x", &mut pair.queue).is_ok() {
            sealed += 1;
            assert!(sealed < 10);
        }
        assert!(sealed > 3);
        assert!(pair.ours.standing().is_err());
        assert_eq!(pair.hears().len(), sealed);
        let io = pair.peer.process_new_packets().unwrap();
        assert!(io.peer_has_closed(), "it said goodbye");
    }
}

#[test]
fn goodbyes_in_either_order() {
    for side in SIDES {
        for version in VERSIONS {
            // The peer's first, with data before it and some, which is void, behind it.
            let mut pair = Pair::new(side, version, READ_BUFFER);
            let mut wire = pair.writes(b"last");
            pair.peer.send_close_notify();
            wire.extend(pair.says());
            wire.extend_from_slice(b"\x17\x03\x03\x00\x04junk, and more of it");
            assert_eq!(pair.open(&wire).unwrap(), Read::End);
            assert_eq!((&pair.plain[..], pair.ours.begun()), (&b"last"[..], 0));
            assert_eq!(pair.open(&[]).unwrap(), Read::End);
            assert_eq!(pair.open(b"junk").unwrap(), Read::End);
            // We may go on, and then say goodbye, once.
            pair.seal(b"and ours");
            pair.ours.close(&mut pair.queue).unwrap();
            let said = pair.queue.as_ref().unwrap().len();
            pair.ours.close(&mut pair.queue).unwrap();
            assert_eq!(pair.queue.as_ref().unwrap().len(), said);
            assert_eq!(pair.hears(), b"and ours");
            assert!(pair.peer.process_new_packets().unwrap().peer_has_closed());
            // Ours first; the peer's data still arrives.
            let mut pair = Pair::new(side, version, READ_BUFFER);
            pair.seal(b"ours");
            pair.ours.close(&mut pair.queue).unwrap();
            assert_eq!(pair.hears(), b"ours");
            let wire = pair.writes(b"theirs");
            assert_eq!(pair.open(&wire).unwrap(), Read::Open);
            assert_eq!(pair.plain, b"theirs");
            pair.peer.send_close_notify();
            let wire = pair.says();
            assert_eq!(pair.open(&wire).unwrap(), Read::End);
            pair.ours.close(&mut pair.queue).unwrap();
            assert_eq!(pair.wire().len(), 0);
        }
    }
}

#[test]
fn a_panic_of_whoever_reads_leaves_the_stream_as_it_is() {
    for version in VERSIONS {
        let mut pair = Pair::new(Side::Server, version, READ_BUFFER);
        let mut wire = pair.writes(b"first");
        let second = pair.writes(b"second");
        wire.extend_from_slice(&second[..10]);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let each = |_: &[u8]| panic!("on purpose");
            let _ = pair.ours.open(&mut wire, &mut pair.queue, each);
        }));
        assert!(panicked.is_err());
        assert_eq!(pair.ours.begun(), 10);
        pair.seal(b"still");
        assert_eq!(pair.hears(), b"still");
        assert_eq!(pair.open(&second[10..]).unwrap(), Read::Open);
        assert_eq!(pair.plain, b"second");
    }
}

#[test]
fn after_a_panic_what_was_read_whole_is_dropped_once_something_is_said() {
    for version in VERSIONS {
        for goodbye in [false, true] {
            let mut pair = Pair::new(Side::Server, version, READ_BUFFER);
            let mut wire = pair.writes(b"first");
            for more in [&b"second"[..], b"third"] {
                wire.extend(pair.writes(more));
            }
            if goodbye {
                pair.peer.send_close_notify();
                wire.extend(pair.says());
            }
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let each = |_: &[u8]| panic!("on purpose");
                let _ = pair.ours.open(&mut wire, &mut pair.queue, each);
            }));
            assert!(panicked.is_err() && pair.ours.begun() > 0);
            pair.seal(b"1011");
            assert_eq!(pair.hears(), b"1011");
            assert_eq!(pair.ours.begun(), 0);
            if goodbye {
                assert_eq!(pair.ours.standing().unwrap(), Read::End);
            } else {
                pair.crosses_both_ways();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is said in whatever portions, read in whatever pieces and taken by the socket in whatever
    /// bites: the same bytes come out, in order.
    #[test]
    fn any_cut_of_any_stream_comes_out_as_it_went_in(
        server in any::<bool>(),
        old in any::<bool>(),
        there in prop::collection::vec((1usize..20_000, any::<bool>()), 1..12),
        back in prop::collection::vec((0usize..150, 0usize..40_000), 1..12),
        pieces in prop::collection::vec(1usize..30_000, 1..20),
        bites in prop::collection::vec(1usize..20_000, 1..20),
    ) {
        let side = if server { Side::Server } else { Side::Client };
        let mut pair = Pair::new(side, VERSIONS[usize::from(!old)], READ_BUFFER);
        let mut byte = 0u8;
        let mut next = |count: usize| -> Vec<u8> {
            (0..count).map(|_| { byte = byte.wrapping_mul(5).wrapping_add(3); byte }).collect()
        };
        let (mut wire, mut said) = (Vec::new(), Vec::new());
        for (count, update) in there {
            let bytes = next(count);
            wire.extend(pair.writes(&bytes));
            if update && !old {
                pair.peer.refresh_traffic_keys().unwrap();
            }
            said.extend(bytes);
        }
        wire.extend(pair.says());
        let (mut left, mut answered, mut heard) = (&wire[..], Vec::new(), Vec::new());
        let (mut back, mut bites) = (back.into_iter(), bites.into_iter().cycle());
        for piece in pieces.into_iter().cycle() {
            let (piece, rest) = left.split_at(piece.min(left.len()));
            left = rest;
            pair.open(piece).unwrap();
            let Some((prefix, bytes)) = back.next() else {
                if left.is_empty() { break } else { continue }
            };
            let (prefix, bytes) = (next(prefix), next(bytes));
            pair.ours.seal(&prefix, &bytes, &mut pair.queue).unwrap();
            answered.extend(prefix);
            answered.extend(bytes);
            // The socket takes a bite and then waits.
            if let Some(queue) = &mut pair.queue {
                let bite = bites.next().unwrap().min(queue.len());
                let mut taken = &queue[..bite];
                while !taken.is_empty() {
                    pair.peer.read_tls(&mut taken).unwrap();
                    pair.peer.process_new_packets().unwrap();
                    let _ = pair.peer.reader().read_to_end(&mut heard);
                }
                queue.advance(bite);
                queue.settle();
            }
        }
        heard.extend(pair.hears());
        prop_assert!(heard == answered);
        prop_assert!(pair.plain == said);
        prop_assert_eq!(pair.ours.begun(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever somebody in between does to it: only what was said comes out, in order, up to where it was
    /// touched.
    #[test]
    fn nothing_comes_out_that_was_not_said(
        server in any::<bool>(),
        old in any::<bool>(),
        there in prop::collection::vec(1usize..3000, 1..8),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in any::<(bool, prop::sample::Index, prop::sample::Index)>(),
        pieces in prop::collection::vec(1usize..4000, 1..20),
    ) {
        let side = if server { Side::Server } else { Side::Client };
        let mut pair = Pair::new(side, VERSIONS[usize::from(!old)], READ_BUFFER);
        let (mut wire, mut said) = (Vec::new(), Vec::new());
        for (i, count) in there.into_iter().enumerate() {
            let bytes = vec![i as u8; count];
            wire.extend(pair.writes(&bytes));
            said.extend(bytes);
        }
        match cut {
            // A part is missing, or bits are changed.
            (true, one, other) => {
                let (one, other) = (one.index(wire.len()), other.index(wire.len()));
                wire.drain(one.min(other)..one.max(other));
            }
            (false, ..) => for (at, change) in changes {
                let at = at.index(wire.len());
                wire[at] ^= change;
            }
        }
        let mut left = &wire[..];
        for piece in pieces.into_iter().cycle() {
            let (piece, rest) = left.split_at(piece.min(left.len()));
            left = rest;
            let opened = pair.open(piece);
            prop_assert_eq!(opened.is_err(), pair.ours.standing().is_err());
            if opened.is_err() || left.is_empty() {
                break;
            }
        }
        prop_assert!(said.starts_with(&pair.plain));
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn streams_carry_both_ways_over_a_socket_that_takes_little() {
    for version in VERSIONS {
        for room in [1, 7, 300, 100_000] {
            let (client, server) = configs(version);
            let (near, far) = duplex(room);
            let bytes: Vec<u8> = (0..40_000u32).map(|i| i as u8).collect();
            let echoed = async {
                let mut stream = accept(server, false, far).await.unwrap();
                stream.write_all(b"x").await.unwrap();
                stream.flush().await.unwrap();
                let mut got = vec![0; 40_000];
                stream.read_exact(&mut got).await.unwrap();
                stream.write_all(&got).await.unwrap();
                stream.shutdown().await.unwrap();
                assert_eq!(stream.read(&mut got).await.unwrap(), 0, "a clean end");
            };
            let asked = async {
                let mut stream = connect(client, name(), near).await.unwrap();
                // With this the tickets are read, which the socket may have no room for.
                stream.read_exact(&mut [0]).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).await.unwrap();
                assert!(got == bytes);
                stream.shutdown().await.unwrap();
            };
            tokio::join!(echoed, asked);
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_off_is_an_error() {
    for version in VERSIONS {
        let (client, server) = configs(version);
        let (near, far) = duplex(100_000);
        let (one, other) = tokio::join!(accept(server, false, far), connect(client, name(), near));
        let (mut one, mut other) = (one.unwrap(), other.unwrap());
        other.write_all(b"all").await.unwrap();
        other.flush().await.unwrap();
        drop(other.into_parts().io);
        let mut got = [0; 10];
        assert_eq!(one.read(&mut got).await.unwrap(), 3);
        let error = one.read(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_handshake_that_fails_tells_the_peer_why() {
    for version in VERSIONS {
        let (client, server) = configs(version);
        let (near, far) = duplex(100_000);
        let other = ServerName::try_from("other.example").unwrap();
        let (served, asked) =
            tokio::join!(accept(server, false, far), connect(client, other, near));
        let error = asked.err().unwrap();
        assert!(matches!(of_rustls(&error), Error::InvalidCertificate(_)));
        let error = served.err().unwrap();
        assert!(
            matches!(of_rustls(&error), Error::AlertReceived(_)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_an_error() {
    let (client, server) = configs(VERSIONS[1]);
    let (near, far) = duplex(100_000);
    drop(near);
    let error = accept(server.clone(), false, far).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let (mut near, far) = duplex(100_000);
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = accept(server, false, far).await.err().unwrap();
    assert!(matches!(of_rustls(&error), Error::InvalidMessage(_)));
    let mut alert = [0; 7];
    near.read_exact(&mut alert).await.unwrap();
    assert_eq!((alert[0], alert[5]), (0x15, 2), "a fatal alert");
    let (near, mut far) = duplex(100_000);
    let answer = async { far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await };
    let (asked, answered) = tokio::join!(connect(client, name(), near), answer);
    answered.unwrap();
    assert!(matches!(
        of_rustls(&asked.err().unwrap()),
        Error::InvalidMessage(_)
    ));
}

#[tokio::test]
async fn what_was_read_ahead_goes_on_with_the_parts() {
    for version in VERSIONS {
        let (client, server) = configs(version);
        let (near, far) = duplex(100_000);
        let (one, other) = tokio::join!(accept(server, false, far), connect(client, name(), near));
        let (mut one, mut other) = (one.unwrap(), other.unwrap());
        other.write_all(b"head and early").await.unwrap();
        other.flush().await.unwrap();
        let mut head = [0; 4];
        one.read_exact(&mut head).await.unwrap();
        let parts = one.into_parts();
        assert_eq!(&parts.early[..], b" and early");
        assert!(parts.queue.is_none());
    }
}
