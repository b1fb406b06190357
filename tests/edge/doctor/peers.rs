//! Peers that are not as they should be, and boxes in the middle.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tonegate::sim::certificate::Identity;
use tonegate::sim::stream::{self, Stream};

/// Answers whatever is said with these bytes, over TLS with this identity or in plain text; its port.
pub async fn answers(identity: Option<&Identity>, bytes: Vec<u8>) -> u16 {
    let acceptor = identity.map(|identity| stream::acceptor(identity).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bytes = Arc::new(bytes);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, bytes) = (acceptor.clone(), bytes.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => say(tcp, &bytes).await,
                    Some(acceptor) => {
                        if let Ok(tls) = acceptor.accept(tcp).await {
                            say(tls, &bytes).await;
                        }
                    }
                }
            });
        }
    });
    port
}

async fn say(mut io: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    let mut asked = [0; 4096];
    if io.read(&mut asked).await.is_ok_and(|count| count > 0) {
        let _ = io.write_all(bytes).await;
        let _ = io.shutdown().await;
        while io.read(&mut asked).await.is_ok_and(|count| count > 0) {}
    }
}

/// Passes on to a port of loopback whoever comes.
pub async fn forwards(listener: TcpListener, to: u16) {
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        tokio::spawn(pipe(near, far, Duration::from_secs(20)));
    }
}

/// A TCP proxy before a port, which forgets a connection that was quiet for so long; its port.
pub async fn forgets(to: u16, quiet: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            tokio::spawn(pipe(near, far, quiet));
        }
    });
    port
}

/// Until either side ends, or nobody said anything for so long.
async fn pipe(
    mut near: impl AsyncRead + AsyncWrite + Unpin,
    mut far: impl AsyncRead + AsyncWrite + Unpin,
    quiet: Duration,
) {
    let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        let said = async {
            tokio::select! {
                count = near.read(&mut up) => (count, true),
                count = far.read(&mut down) => (count, false),
            }
        };
        let Ok((count, is_up)) = timeout(quiet, said).await else {
            return;
        };
        let Ok(count @ 1..) = count else {
            return;
        };
        let done = match is_up {
            true => far.write_all(&up[..count]).await.and(far.flush().await),
            false => near.write_all(&down[..count]).await.and(near.flush().await),
        };
        if done.is_err() {
            return;
        }
    }
}

/// A proxy that opens TLS before a port and rewrites the head of each request; its port.
pub async fn rewrites(
    to: u16,
    (identity, roots): (&Identity, &str),
    rewrite: impl Fn(String) -> String + Clone + Send + Sync + 'static,
) -> u16 {
    let acceptor = stream::acceptor(identity).unwrap();
    let connector = stream::connector(roots).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            let rewrite = rewrite.clone();
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(near).await else {
                    return;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match near.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = rewrite(String::from_utf8(head).unwrap());
                let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let name = "localhost".to_owned().try_into().unwrap();
                let far = connector.connect(name, far).await.unwrap();
                let mut far = Stream::Tls(Box::new(TlsStream::from(far)));
                far.write_all(head.as_bytes()).await.unwrap();
                far.flush().await.unwrap();
                pipe(near, far, Duration::from_secs(20)).await;
            });
        }
    });
    port
}

/// A head without the lines of these names, which are in lower case.
pub fn without(head: &str, names: &[&str]) -> String {
    let kept = |line: &&str| {
        let name = line.split(':').next().unwrap().to_ascii_lowercase();
        !names.contains(&name.as_str())
    };
    head.split_inclusive("\r\n").filter(kept).collect()
}
