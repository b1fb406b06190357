//! A private application, and an edge before it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tonegate::sim::head;

use crate::harness::{KEY, Wish, World, within};

/// One request as the application saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let value = all.next()?.to_str().unwrap();
        assert!(all.next().is_none(), "{name} stands twice");
        Some(value)
    }
}

/// What `/invoke` answers.
pub const INVOKED: &[u8] = br#"{"task": {"type":"message","value":"done"}}"#;

/// Answers by path: `/app/echo` says the body back, `/app/status/N` answers N, and so on.
#[derive(Default)]
pub struct App {
    seen: Mutex<Vec<Seen>>,
    /// What is answered whatever is asked, as a path without `/app`.
    plays: Mutex<Option<&'static str>>,
    /// What is answered under a path, instead of the usual.
    says: Mutex<HashMap<String, (u16, String)>>,
    /// What `/app/pieces` waits for between its pieces.
    pub next: Notify,
    /// How many answers were dropped before their end.
    pub dropped: Arc<Notify>,
}

impl App {
    /// Listens; with `tls` as given.
    pub async fn start(tls: Option<TlsAcceptor>) -> (Arc<App>, SocketAddr) {
        let app = Arc::new(App::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = app.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (app, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => app.serve(socket).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                app.serve(socket).await;
                            }
                        }
                    }
                });
            }
        });
        (app, address)
    }

    /// Answers as if this had been asked for, from now on.
    pub fn plays(&self, path: &'static str) {
        *self.plays.lock().unwrap() = Some(path);
    }

    /// Under this path this is the answer from now on.
    pub fn says(&self, path: &str, status: u16, body: &str) {
        let said = (status, body.to_owned());
        self.says.lock().unwrap().insert(path.to_owned(), said);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that came.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1);
        seen.remove(0)
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self: Arc<App>, io: S) {
        let service = service_fn(|request| self.clone().answer(request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        let _ = connection.with_upgrades().await;
    }

    async fn answer(
        self: Arc<App>,
        mut request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, std::io::Error>>, Infallible> {
        let upgrade = request.headers().contains_key("upgrade");
        let upgraded = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        self.seen.lock().unwrap().push(Seen {
            method: head.method,
            target: head.uri.to_string(),
            headers: head.headers.clone(),
            body: body.clone(),
        });
        let whole = |text: Bytes| Full::from(text).map_err(|never| match never {}).boxed();
        if let Some(upgraded) = upgraded {
            tokio::spawn(async move {
                if let Ok(io) = upgraded.await {
                    echo(TokioIo::new(io)).await;
                }
            });
            let key = &head.headers["sec-websocket-key"];
            let accept =
                tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            let mut response = Response::builder()
                .status(101)
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-accept", accept);
            if let Some(name) = head.headers.get("sec-websocket-protocol") {
                response = response.header("sec-websocket-protocol", name);
            }
            return Ok(response.body(whole(Bytes::new())).unwrap());
        }
        let path = head.uri.path().to_owned();
        let said = self.says.lock().unwrap().get(&path).cloned();
        if let Some((status, body)) = said {
            let response = Response::builder().status(status);
            return Ok(response.body(whole(body.into())).unwrap());
        }
        let response = Response::builder()
            .header("x-app", "yes")
            .header("set-cookie", "a=b")
            .header("keep-alive", "timeout=5")
            .header("alt-svc", "h2=\":8443\"");
        let played = *self.plays.lock().unwrap();
        let path = played.unwrap_or(path.strip_prefix("/app").unwrap_or_default());
        Ok(match path {
            "/pieces" => response.body(self.pieces()).unwrap(),
            "/cut" => response.body(self.cut()).unwrap(),
            "/large" => response.body(whole(vec![b'x'; 5 << 20].into())).unwrap(),
            "/endless" => response.body(self.endless()).unwrap(),
            "/slow" => {
                self.next.notified().await;
                response.body(whole(Bytes::from_static(b"done"))).unwrap()
            }
            "/hang" => std::future::pending().await,
            "/invoke" => {
                let json = response.header("content-type", "application/json");
                json.body(whole(Bytes::from_static(INVOKED))).unwrap()
            }
            path => match path.strip_prefix("/status/") {
                Some(status) => response.status(status).body(whole(Bytes::new())).unwrap(),
                None => response.body(whole(body)).unwrap(),
            },
        })
    }

    /// One piece, and when it is asked for the next the end of the connection.
    fn cut(self: &Arc<App>) -> BoxBody<Bytes, std::io::Error> {
        let app = self.clone();
        let pieces = stream::iter([true, false]).then(move |first| {
            let app = app.clone();
            async move {
                if first {
                    return Ok(Frame::data(Bytes::from_static(b"half")));
                }
                app.next.notified().await;
                Err(std::io::Error::other("cut"))
            }
        });
        BodyExt::boxed(StreamBody::new(pieces))
    }

    /// More than anybody takes.
    fn endless(self: &Arc<App>) -> BoxBody<Bytes, std::io::Error> {
        let told = Told(self.dropped.clone());
        let pieces = stream::repeat_with(move || {
            let _ = &told;
            Ok(Frame::data(Bytes::from(vec![b'x'; 64 * 1024])))
        });
        BodyExt::boxed(StreamBody::new(pieces))
    }

    /// Three pieces, each when it is asked for.
    fn pieces(self: &Arc<App>) -> BoxBody<Bytes, std::io::Error> {
        let (app, told) = (self.clone(), Told(self.dropped.clone()));
        let pieces = stream::iter(["one", "two", "three"]).then(move |piece| {
            let app = app.clone();
            let _ = &told;
            async move {
                app.next.notified().await;
                Ok(Frame::data(Bytes::from_static(piece.as_bytes())))
            }
        });
        BodyExt::boxed(StreamBody::new(pieces))
    }
}

/// Tells that an answer was dropped.
struct Told(Arc<Notify>);
impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Says frames back, unmasked, as a server does.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(io: S) {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.send(message).await.is_err() {
            break;
        }
    }
    let _ = socket.close(None).await;
}

/// An edge whose routes lead to `address`; `route` is added to the route, `upstream` to the upstream.
pub async fn before(address: SocketAddr, route: &str, upstream: &str) -> World {
    before_with(address, (route, upstream), "").await
}

/// The same with more tables.
pub async fn before_with(
    address: SocketAddr,
    (route, upstream): (&str, &str),
    more: &str,
) -> World {
    let port = address.port();
    World::with(Wish {
        more: format!(
            "[upstreams.app]\nkind = \"http\"\nurl = \"http://127.0.0.1:{port}/app\"\n\
             credential = {{ none = true }}\nidentity_headers = true\n{upstream}\n\
             [[routes]]\nname = \"api\"\npaths = [\"/*\", \"/api/*\"]\nkind = \"http\"\n\
             admit = [\"key\"]\nupstreams = [\"app\"]\n{route}\n{more}"
        ),
        ..Wish::default()
    })
    .await
}

/// An answer, its body as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// It ended as it had said.
    pub whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        head::parse(self.head.as_bytes())
            .unwrap()
            .one(name)
            .map(str::to_owned)
    }

    pub fn reason(&self) -> String {
        let document: Value = serde_json::from_slice(&self.body).unwrap();
        document["reason"].as_str().unwrap().to_owned()
    }
}

/// Sends a request with the right key.
pub async fn ask(world: &World, line: &str, headers: &str, body: &[u8]) -> Answer {
    send(world, line, &format!("api-key: {KEY}\r\n{headers}"), body).await
}

/// Sends a request as it is written; a body is announced.
pub async fn send(world: &World, line: &str, headers: &str, body: &[u8]) -> Answer {
    let length = match body {
        [] => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("{line} HTTP/1.1\r\nHost: edge.example.com\r\n{headers}{length}\r\n");
    let mut io = world.connect().await;
    io.write_all(head.as_bytes()).await.unwrap();
    io.write_all(body).await.unwrap();
    io.flush().await.unwrap();
    let is_head = line.starts_with("HEAD");
    within("an answer", read(&mut io, is_head)).await
}

/// Reads an answer to its end.
pub async fn read<S: AsyncRead + Unpin>(io: &mut S, is_head: bool) -> Answer {
    let mut buffer = BytesMut::new();
    let bytes = head::read(io, &mut buffer).await.unwrap();
    let head = String::from_utf8(bytes.to_vec()).unwrap();
    let parsed = head::parse(head.as_bytes()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length: Option<usize> = parsed
        .one("content-length")
        .map(|text| text.parse().unwrap());
    let chunked = parsed.one("transfer-encoding") == Some("chunked");
    let mut rest = buffer.to_vec();
    let _ = tokio::time::timeout(Duration::from_secs(10), io.read_to_end(&mut rest)).await;
    let (body, whole) = if chunked {
        unchunk(&rest)
    } else {
        let none = is_head || matches!(status, 204 | 304);
        let whole = none && rest.is_empty() || length == Some(rest.len());
        (rest, whole)
    };
    Answer {
        status,
        head,
        body,
        whole,
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let data = &rest[end + 2..];
        if size == 0 {
            return (body, data == b"\r\n");
        }
        if data.len() < size + 2 {
            break;
        }
        body.extend(&data[..size]);
        rest = &data[size + 2..];
    }
    (body, false)
}
