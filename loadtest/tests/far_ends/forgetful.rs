//! A server that gives no tickets: nothing can be resumed with it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::program::FOLDER;

/// Of the key in RFC 6455 section 1.3, which the callers show.
const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const GOODBYE: &[u8] = &[0x88, 2, 0x03, 0xE8];

/// Takes connections that say goodbye at once.
pub fn server() -> SocketAddr {
    let chain = CertificateDer::from_pem_file(FOLDER.join("leaf.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(FOLDER.join("leaf.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a pair");
    config.send_tls13_tickets = 0;
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let config = config.clone();
            thread::spawn(move || serve(config, socket));
        }
    });
    address
}

fn serve(config: Arc<ServerConfig>, socket: TcpStream) -> std::io::Result<()> {
    let session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    stream.write_all(SWITCHED)?;
    // A masked close frame with a code.
    stream.read_exact(&mut [0; 8])?;
    stream.write_all(GOODBYE)?;
    stream.conn.send_close_notify();
    stream.flush()
}
