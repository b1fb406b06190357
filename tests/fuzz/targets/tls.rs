//! A TLS session against rustls' own buffered one: whatever is said, cut, missing, doubled or made up, in a
//! handshake or behind it.
//!
//! Nothing here is secret or by chance: keys, signatures and random numbers are the same each time, so that
//! an input does the same each time. In a quarter of the inputs nothing is encrypted either: what somebody makes up
//! is then read as if the peer had said it.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError,
};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup, aws_lc_rs,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{
    ClientConfig, ClientConnection, Connection as Peer, ConnectionTrafficSecrets, ContentType,
    DigitallySignedStruct, Error, NamedGroup, PeerMisbehaved, ProtocolVersion, ServerConfig,
    ServerConnection, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, Tls13CipherSuite,
};
use tonegate::buffer::{Queue, give_queue};
use tonegate::tls::{Read, Session};

/// A leg reads so much at a time, besides what has begun.
const CHUNK: usize = 16 * 1024;
/// Most that a session keeps, and most of a client that is not asked for certificates.
const BEGUN_MAX: usize = 48 * 1024;
const BEGUN_MAX_OF_STRANGERS: usize = 5 + 18 * 1024;
/// An input asks for no more.
const STEPS: usize = 64;
/// New keys that a peer may ask for: rustls takes no more than 32 while we say nothing.
const UPDATES_MAX: usize = 16;
const SAID_MAX: usize = 128 * 1024;

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

/// All that there is no choice of.
#[derive(Debug)]
struct Fixed;

impl SecureRandom for Fixed {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        buffer.fill(0x42);
        Ok(())
    }
}

impl SupportedKxGroup for Fixed {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Fixed))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Fixed {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        if theirs.len() != 32 {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&[7; 32][..]))
    }

    fn pub_key(&self) -> &[u8] {
        &[9; 32]
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl SigningKey for Fixed {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signs = offered.contains(&SCHEME);
        signs.then(|| Box::new(Fixed) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Fixed {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(b"signed".to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chain = vec![CertificateDer::from(&b"certificate"[..])];
        Some(Arc::new(CertifiedKey::new(chain, Arc::new(Fixed))))
    }
}

impl ServerCertVerifier for Fixed {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SCHEME]
    }
}

/// What seals nothing: a record's text, and what it is.
struct Open;

impl Tls13AeadAlgorithm for Open {
    fn encrypter(&self, _: AeadKey, _: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Open)
    }

    fn decrypter(&self, _: AeadKey, _: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Open)
    }

    fn key_len(&self) -> usize {
        16
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

impl MessageEncrypter for Open {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        _: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[u8::from(message.typ)]);
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + 1
    }
}

impl MessageDecrypter for Open {
    fn decrypt<'a>(
        &mut self,
        message: InboundOpaqueMessage<'a>,
        _: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        message.into_tls13_unpadded_message()
    }
}

/// How a session is, by the first byte of an input.
#[derive(Clone, Copy)]
struct Kind {
    server: bool,
    old: bool,
    sealed: bool,
    /// The handshake is done before anybody interferes.
    shaken: bool,
}

type Configs = (Arc<ClientConfig>, Arc<ServerConfig>);

static OLD: LazyLock<Configs> = LazyLock::new(|| {
    let suite = aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    configs(suite, &rustls::version::TLS12)
});
static SEALED: LazyLock<Configs> = LazyLock::new(|| {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    configs(suite, &rustls::version::TLS13)
});
static OPEN: LazyLock<Configs> = LazyLock::new(|| {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let SupportedCipherSuite::Tls13(suite) = suite else {
        panic!("a suite of TLS 1.3")
    };
    let suite = Box::leak(Box::new(Tls13CipherSuite {
        common: rustls::crypto::CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: u64::MAX,
        },
        aead_alg: &Open,
        quic: None,
        ..*suite
    }));
    let suite = SupportedCipherSuite::Tls13(suite);
    configs(suite, &rustls::version::TLS13)
});

fn configs(
    suite: SupportedCipherSuite,
    version: &'static rustls::SupportedProtocolVersion,
) -> Configs {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![suite],
        kx_groups: vec![&Fixed],
        secure_random: &Fixed,
        ..aws_lc_rs::default_provider()
    });
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .expect("a version with a suite")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Fixed))
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version with a suite")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Fixed));
    (Arc::new(client), Arc::new(server))
}

impl Kind {
    fn of(byte: u8) -> Kind {
        Kind {
            server: byte & 1 != 0,
            old: byte & 2 != 0,
            sealed: byte & 6 != 0,
            shaken: byte & 8 != 0,
        }
    }

    fn configs(self) -> Configs {
        let configs = match (self.old, self.sealed) {
            (true, _) => &OLD,
            (false, true) => &SEALED,
            (false, false) => &OPEN,
        };
        LazyLock::force(configs).clone()
    }

    fn session(self) -> Session {
        let (client, server) = self.configs();
        let session = match self.server {
            true => Session::server(server, false),
            false => Session::client(client, name()),
        };
        session.expect("a session")
    }

    fn peer(self) -> Peer {
        let (client, server) = self.configs();
        let mut peer = match self.server {
            true => ClientConnection::new(client, name()).map(Peer::from),
            false => ServerConnection::new(server).map(Peer::from),
        }
        .expect("a peer");
        peer.set_buffer_limit(None);
        peer
    }

    fn begun_max(self) -> usize {
        match self.server {
            true => BEGUN_MAX_OF_STRANGERS,
            false => BEGUN_MAX,
        }
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

/// A session as a leg has it.
struct Leg {
    kind: Kind,
    session: Session,
    queue: Option<Queue>,
    plain: Vec<u8>,
    /// Why it failed.
    failed: Option<String>,
}

impl Leg {
    fn new(kind: Kind) -> Leg {
        let mut leg = Leg {
            kind,
            session: kind.session(),
            queue: None,
            plain: Vec::new(),
            failed: None,
        };
        leg.read(&[]);
        leg
    }

    /// Reads these bytes, by no more than a leg reads at a time.
    fn read(&mut self, wire: &[u8]) {
        let pieces = wire.chunks(CHUNK).chain(wire.is_empty().then_some(wire));
        for piece in pieces {
            let stood = self.session.standing();
            let said = self.queued();
            let mut buffer = vec![0xaa; self.session.begun()];
            buffer.extend_from_slice(piece);
            let before = self.plain.len();
            let plain = &mut self.plain;
            let each = |chunk: &[u8]| plain.extend_from_slice(chunk);
            let read = self.session.open(&mut buffer, &mut self.queue, each);
            match (&stood, &read) {
                (Ok(Read::Open), Ok(read)) => assert_eq!(self.session.standing().ok(), Some(*read)),
                (Ok(Read::End), Ok(Read::End)) => assert_eq!(self.plain.len(), before),
                (Ok(Read::Open), Err(error)) => {
                    self.failed = Some(error.to_string());
                    assert!(self.session.standing().is_err());
                }
                (Err(_), Err(_)) => {
                    assert_eq!((self.plain.len(), self.queued()), (before, said));
                }
                (stood, read) => panic!("{stood:?} and then {read:?}"),
            }
            let begun = self.session.begun();
            assert!(begun <= self.kind.begun_max(), "{begun} have begun");
            if !matches!(read, Ok(Read::Open)) {
                assert_eq!(begun, 0);
            }
        }
    }

    /// Whether these have been queued.
    fn says(&mut self, prefix: &[u8], bytes: &[u8]) -> bool {
        let stands = self.session.standing().is_ok();
        let said = self.queued();
        let sealed = self.session.seal(prefix, bytes, &mut self.queue).is_ok();
        assert_eq!(stands, sealed);
        let length = prefix.len() + bytes.len();
        assert_eq!(sealed && length > 0, self.queued() > said);
        assert!(!sealed || self.queued() >= said + length);
        sealed
    }

    fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    fn take(&mut self) -> Vec<u8> {
        let taken = self.queue.take().map(|queue| {
            let wire = queue.to_vec();
            give_queue(queue);
            wire
        });
        taken.unwrap_or_default()
    }
}

/// What is left of an input.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn word(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_le_bytes([
            self.byte()?,
            self.byte()?,
        ])))
    }

    /// So many, or as many as there are.
    fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// Two ends of a stream, with somebody in between.
struct Between {
    ours: Leg,
    peer: Peer,
    /// From the peer to us.
    wire: Vec<u8>,
    /// All of it that we were given.
    given: Vec<u8>,
    /// Somebody has interfered.
    touched: bool,
    said: Vec<u8>,
    sealed: Vec<u8>,
    heard: Vec<u8>,
    /// Who has said goodbye: we, the peer.
    goodbye: [bool; 2],
    /// New keys that the peer asked for.
    updates: usize,
}

impl Between {
    fn new(kind: Kind) -> Between {
        let mut between = Between {
            ours: Leg::new(kind),
            peer: kind.peer(),
            wire: Vec::new(),
            given: Vec::new(),
            touched: false,
            said: Vec::new(),
            sealed: Vec::new(),
            heard: Vec::new(),
            goodbye: [false; 2],
            updates: 0,
        };
        between.peer_says(&[]);
        if kind.shaken {
            between.quiet();
            assert!(!between.ours.session.known().is_handshaking());
            assert!(!between.peer.is_handshaking());
        }
        between
    }

    fn peer_says(&mut self, bytes: &[u8]) {
        if !self.goodbye[1] {
            match self.peer.writer().write_all(bytes) {
                Ok(()) => self.said.extend_from_slice(bytes),
                // It has heard something that we did not say.
                Err(error) => assert!(self.touched, "{error}"),
            }
        }
        self.peer_sends();
    }

    fn peer_sends(&mut self) {
        while self.peer.wants_write() {
            self.peer.write_tls(&mut self.wire).expect("a vector");
        }
    }

    fn peer_hears(&mut self) {
        let wire = self.ours.take();
        let mut wire = &wire[..];
        while !wire.is_empty() {
            if self.peer.read_tls(&mut wire).unwrap_or(0) == 0 {
                break;
            }
            let processed = self.peer.process_new_packets();
            let _ = self.peer.reader().read_to_end(&mut self.heard);
            if let Err(error) = processed {
                assert!(self.touched, "{error}");
                break;
            }
        }
        self.peer_sends();
    }

    fn deliver(&mut self, count: usize) {
        let piece: Vec<u8> = self.wire.drain(..count.min(self.wire.len())).collect();
        self.given.extend_from_slice(&piece);
        self.ours.read(&piece);
    }

    /// Until nobody has anything to say.
    fn quiet(&mut self) {
        for _ in 0..10 {
            self.peer_hears();
            self.deliver(usize::MAX);
        }
    }

    /// Somebody changes what is under way.
    fn touch(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if cfg!(debug_assertions) && self.goodbye[0] {
            return;
        }
        self.touched = true;
        change(&mut self.wire);
    }

    /// One thing that an input has done.
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 12 {
            0 => {
                let count = input.word()?;
                if self.said.len() + count <= SAID_MAX {
                    self.peer_says(&vec![count as u8; count]);
                }
            }
            1 => {
                let count = usize::from(input.byte()?);
                self.deliver(count);
            }
            2 => {
                let count = input.word()?;
                self.deliver(count);
            }
            what @ 3..8 => self.tamper(what, input)?,
            8 => {
                let (prefix, count) = (usize::from(input.byte()?), input.word()?);
                self.say(prefix, count);
            }
            9 => self.peer_hears(),
            10 => self.say_goodbye(),
            _ => {
                let goodbye = input.byte()? % 2 == 0;
                self.peer_ends_or_renews(goodbye);
            }
        }
        Some(())
    }

    /// Changes what is on its way to us.
    fn tamper(&mut self, what: u8, input: &mut Input<'_>) -> Option<()> {
        match what {
            3 => {
                let (at, change) = (input.word()?, input.byte()?);
                self.touch(|wire| {
                    let length = wire.len().max(1);
                    if let Some(byte) = wire.get_mut(at % length) {
                        *byte ^= change;
                    }
                });
            }
            4 => {
                let (at, count) = (input.word()?, usize::from(input.byte()?));
                self.touch(|wire| {
                    let from = at.min(wire.len());
                    wire.drain(from..(from + count).min(wire.len()));
                });
            }
            5 => {
                let (at, count) = (input.word()?, usize::from(input.byte()?));
                self.touch(|wire| {
                    let from = at.min(wire.len());
                    let again = wire[from..(from + count).min(wire.len())].to_vec();
                    wire.extend(again);
                });
            }
            6 => {
                let count = usize::from(input.byte()?);
                let bytes = input.bytes(count);
                self.touch(|wire| wire.extend_from_slice(bytes));
            }
            _ => {
                // A record as it goes behind the handshake, if nothing seals it.
                let (what, count) = (input.byte()?, usize::from(input.byte()?));
                let bytes = input.bytes(count);
                let length = (bytes.len() + 1) as u16;
                self.touch(|wire| {
                    wire.extend([0x17, 3, 3]);
                    wire.extend(length.to_be_bytes());
                    wire.extend_from_slice(bytes);
                    wire.push(what);
                });
            }
        }
        Some(())
    }

    /// We say something of this length.
    fn say(&mut self, prefix: usize, count: usize) {
        let done = !self.ours.session.known().is_handshaking();
        if done && !self.goodbye[0] && self.sealed.len() + count <= SAID_MAX {
            let (prefix, bytes) = (vec![1; prefix], vec![2; count]);
            if self.ours.says(&prefix, &bytes) {
                self.sealed.extend(prefix);
                self.sealed.extend(bytes);
            }
        }
    }

    fn say_goodbye(&mut self) {
        // Rustls takes its own goodbye for an alert that was fatal, and asserts, where that is compiled, that no
        // other one follows: of what is wrong after that a fuzzer would find nothing else.
        let asserts = cfg!(debug_assertions) && self.touched;
        if !self.ours.session.known().is_handshaking() && !asserts {
            let stands = self.ours.session.standing().is_ok();
            let closed = self.ours.session.close(&mut self.ours.queue);
            assert_eq!(closed.is_ok(), stands);
            self.goodbye[0] = true;
        }
    }

    /// The peer says goodbye, or asks for new keys; neither before the handshake is done.
    fn peer_ends_or_renews(&mut self, goodbye: bool) {
        if self.peer.is_handshaking() {
        } else if goodbye {
            self.peer.send_close_notify();
            self.goodbye[1] = true;
        } else if self.updates < UPDATES_MAX {
            self.updates += 1;
            let _ = self.peer.refresh_traffic_keys();
        }
        self.peer_sends();
    }

    /// What must be so, whatever was done.
    fn judge(mut self) {
        let Leg { kind, .. } = self.ours;
        if !self.touched {
            assert_eq!(self.ours.failed, None);
            self.quiet();
            assert!(self.ours.plain == self.said, "what was said was not heard");
            assert!(self.heard == self.sealed, "what we said was not heard");
            assert_eq!(self.ours.session.begun(), 0);
        } else if kind.sealed {
            assert!(self.said.starts_with(&self.ours.plain), "heard, never said");
            assert!(
                self.sealed.starts_with(&self.heard),
                "heard of us, never said"
            );
        }
        self.is_the_same_however_it_is_cut();
    }

    /// The same bytes, read as they come from a socket that has them all.
    fn is_the_same_however_it_is_cut(&self) {
        let mut whole = Leg::new(self.ours.kind);
        whole.read(&self.given);
        let is_bound = |leg: &Leg| {
            let failed = leg.failed.as_ref();
            failed.is_some_and(|failed| failed.contains("too long") || failed.contains("TooMany"))
        };
        // What has begun is bounded where it has to be kept; requests of new keys, by rustls, as long as we say
        // nothing, as the other one does not.
        if is_bound(&whole) || is_bound(&self.ours) {
            return;
        }
        assert_eq!(
            whole.failed, self.ours.failed,
            "it depends on how it is cut"
        );
        assert!(
            whole.plain == self.ours.plain,
            "it depends on how it is cut"
        );
    }
}

/// The first byte says who is who, the others what is done.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(kind) = input.byte() else { return };
    let mut between = Between::new(Kind::of(kind));
    for _ in 0..STEPS {
        if between.step(&mut input).is_none() {
            break;
        }
    }
    between.judge();
}
