//! The edge's TLS against OpenSSL's own client and server, both versions: what another implementation does
//! with keys, padding, renegotiation and goodbyes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonegate::config::Roots;
use tonegate::sim::certificate::Authority;
use tonegate::tls::{Stream, accept, connect};
use tonegate::upstream::tls::client_config;

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// OpenSSL at work: what it has written so far, and where commands for it go.
struct OpenSsl {
    is_client: bool,
    process: Child,
    written: String,
}

impl OpenSsl {
    fn start(arguments: &[&str]) -> OpenSsl {
        // What it tells of its commands goes to the other output.
        let process = Command::new("sh")
            .args(["-c", "exec openssl \"$@\" 2>&1", "sh"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        OpenSsl {
            is_client: arguments[0] == "s_client",
            process,
            written: String::new(),
        }
    }

    async fn say(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().unwrap();
        input.write_all(line.as_bytes()).await.unwrap();
        input.flush().await.unwrap();
    }

    /// Waits until it writes this; what it wrote up to there is forgotten.
    async fn writes(&mut self, text: &str) {
        self.up_to(text).await;
    }

    /// The rest of a line.
    async fn line(&mut self) -> String {
        self.up_to("\n").await.trim().to_owned()
    }

    async fn up_to(&mut self, text: &str) -> String {
        let output = self.process.stdout.as_mut().unwrap();
        loop {
            if let Some(at) = self.written.find(text) {
                let rest = self.written.split_off(at + text.len());
                return std::mem::replace(&mut self.written, rest);
            }
            let mut more = [0; 4096];
            let count = timeout(Duration::from_secs(20), output.read(&mut more)).await;
            let count = count.unwrap_or_else(|_| panic!("no {text} in {}", self.written));
            let count = count.unwrap();
            assert!(count > 0, "no {text} in {}", self.written);
            self.written
                .push_str(&String::from_utf8_lossy(&more[..count]));
        }
    }
}

/// Files with an authority, a certificate and its key, and the same for rustls.
struct Files {
    ca: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

fn files(name: &str) -> Files {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("openssl-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new("openssl");
    let identity = authority.issue(&["localhost"]).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    Files {
        ca: file("ca.pem", &authority.pem()),
        chain: file("chain.pem", &identity.chain_pem),
        key: file("key.pem", &identity.key_pem),
        client: Arc::new(client_config(&Roots::Pem(authority.pem())).unwrap()),
        server: Arc::new(server),
    }
}

/// Our server, and OpenSSL's client of it.
async fn client(files: &Files, more: &[&str]) -> (OpenSsl, Stream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ca = files.ca.to_str().unwrap();
    let mut arguments = vec!["s_client", "-connect", &address, "-servername", "localhost"];
    arguments.extend(["-CAfile", ca, "-verify_return_error"]);
    arguments.extend(more);
    let openssl = OpenSsl::start(&arguments);
    let (socket, _) = listener.accept().await.unwrap();
    let stream = accept(files.server.clone(), false, socket).await.unwrap();
    (openssl, stream)
}

/// OpenSSL's server, and our client of it.
async fn server(files: &Files, more: &[&str]) -> (OpenSsl, Stream<TcpStream>) {
    let (chain, key) = (files.chain.to_str().unwrap(), files.key.to_str().unwrap());
    let mut arguments = vec!["s_server", "-accept", "127.0.0.1:0", "-naccept", "1"];
    arguments.extend(["-cert", chain, "-key", key]);
    arguments.extend(more);
    let mut openssl = OpenSsl::start(&arguments);
    openssl.writes("ACCEPT 127.0.0.1:").await;
    let port = openssl.line().await.parse().unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connect(files.client.clone(), name, stream).await.unwrap();
    (openssl, stream)
}

async fn reads(stream: &mut Stream<TcpStream>, expected: &str) {
    let mut got = vec![0; expected.len()];
    let read = timeout(Duration::from_secs(20), stream.read_exact(&mut got)).await;
    read.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

async fn writes(stream: &mut Stream<TcpStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// There and back, whoever is who.
async fn crosses(openssl: &mut OpenSsl, stream: &mut Stream<TcpStream>, text: &str) {
    openssl.say(&format!("there {text}\n")).await;
    reads(stream, &format!("there {text}\n")).await;
    writes(stream, &format!("and back {text}\n")).await;
    openssl.writes(&format!("and back {text}\n")).await;
}

/// OpenSSL's client says goodbye, which is the end; its server just goes, which is an error.
async fn goes(mut openssl: OpenSsl, mut stream: Stream<TcpStream>) {
    openssl.say("Q\n").await;
    let mut got = [0; 100];
    let read = timeout(Duration::from_secs(20), stream.read(&mut got)).await;
    match read.unwrap() {
        Ok(count) => assert!(count == 0 && openssl.is_client),
        Err(error) => assert!(
            error.kind() == std::io::ErrorKind::UnexpectedEof && !openssl.is_client,
            "{error}"
        ),
    }
}

/// Waits until a command has been heard: the client says so, and the server looks at its commands before
/// it looks at what arrives.
async fn heard(openssl: &mut OpenSsl, stream: &mut Stream<TcpStream>) {
    if openssl.is_client {
        openssl.writes("KEYUPDATE").await;
    } else {
        writes(stream, "heard\n").await;
        openssl.writes("heard\n").await;
    }
}

async fn talk(version: &str, openssl: &mut OpenSsl, stream: &mut Stream<TcpStream>) {
    crosses(openssl, stream, "one").await;
    if version == "-tls1_3" {
        for (command, name) in [("K\n", "two"), ("k\n", "three"), ("K\n", "four")] {
            openssl.say(command).await;
            heard(openssl, stream).await;
            crosses(openssl, stream, name).await;
        }
    }
    // Many records, in reads that cut them anywhere.
    let long = format!("{}\n", "x".repeat(100_000));
    tokio::join!(writes(stream, &long), openssl.writes("xxx\n"));
}

#[tokio::test]
async fn openssl_is_served() {
    let files = files("served");
    for version in VERSIONS {
        let (mut openssl, mut stream) = client(&files, &[version]).await;
        talk(version, &mut openssl, &mut stream).await;
        goes(openssl, stream).await;
    }
}

#[tokio::test]
async fn openssl_is_dialled() {
    let files = files("dialled");
    for version in VERSIONS {
        let (mut openssl, mut stream) = server(&files, &[version]).await;
        talk(version, &mut openssl, &mut stream).await;
        goes(openssl, stream).await;
    }
}

#[tokio::test]
async fn records_that_are_padded_to_the_longest_are_read() {
    let files = files("padded");
    let padded = ["-tls1_3", "-record_padding", "16384"];
    let (mut openssl, mut stream) = client(&files, &padded).await;
    talk("-tls1_3", &mut openssl, &mut stream).await;
    goes(openssl, stream).await;
    let (mut openssl, mut stream) = server(&files, &padded).await;
    talk("-tls1_3", &mut openssl, &mut stream).await;
    goes(openssl, stream).await;
}

/// Renegotiation is refused, and changes nothing for what came before; OpenSSL takes that for the end.
#[tokio::test]
async fn nobody_renegotiates() {
    let files = files("anew");
    let (mut openssl, mut stream) = client(&files, &["-tls1_2"]).await;
    crosses(&mut openssl, &mut stream, "one").await;
    openssl.say("R\n").await;
    ends(openssl, stream).await;
    let (mut openssl, mut stream) = server(&files, &["-tls1_2"]).await;
    crosses(&mut openssl, &mut stream, "one").await;
    openssl.say("R\n").await;
    ends(openssl, stream).await;
}

/// Nothing more arrives, and it ends.
async fn ends(openssl: OpenSsl, mut stream: Stream<TcpStream>) {
    let mut got = [0; 100];
    let answering = async {
        let read = stream.read(&mut got).await;
        // What was queued as an answer goes out with whatever comes next.
        let _ = stream.shutdown().await;
        read
    };
    let read = timeout(Duration::from_secs(20), answering).await.unwrap();
    assert!(!matches!(read, Ok(count) if count > 0), "{read:?}");
    drop(openssl);
}
