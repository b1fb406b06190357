//! A strict stand-in for Call Automation: it takes nothing that is not signed, and answers what the
//! test says.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonegate::sim::certificate::Identity;

use crate::harness::within;

/// The resource's access key.
pub const ACCESS_KEY: &str = "c2VjcmV0IGFjY2VzcyBrZXkgb2YgYSB0ZXN0IHJlc291cmNl";
/// What only the service says; nothing of ours repeats it.
pub const CANARY: &str = "canary-of-the-service";

/// What the service does about one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status, one more header, body.
    Say(u16, Option<(&'static str, String)>, String),
    /// The connection ends without an answer.
    Cut,
    /// Nothing comes.
    Hang,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        let body = format!(r#"{{"error":{{"code":"1","message":"{CANARY}"}}}}"#);
        Reply::Say(status, None, body)
    }

    pub fn later(status: u16, after: &str) -> Reply {
        let header = Some(("retry-after", after.to_owned()));
        Reply::Say(status, header, String::new())
    }

    pub fn code(status: u16, code: &str) -> Reply {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"{CANARY}"}}}}"#);
        Reply::Say(status, None, body)
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub line: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Heard {
    pub fn header(&self, name: &str) -> &str {
        let all: Vec<_> = self.headers.get_all(name).iter().collect();
        let [value] = all[..] else {
            panic!("{name}: {} values", all.len());
        };
        value.to_str().unwrap()
    }
}

#[derive(Default)]
struct Books {
    heard: Vec<Heard>,
    script: VecDeque<Reply>,
}

/// Who may ask.
#[derive(Clone, Copy)]
pub enum Trust {
    /// Whoever signs with the key.
    Key,
    /// Whoever shows a token; the test looks at it.
    Token,
}

/// A service that listens while this lives.
pub struct Service {
    pub port: u16,
    books: Arc<Mutex<Books>>,
    run: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.run.abort();
    }
}

impl Service {
    pub async fn usual() -> Service {
        Service::with(Trust::Key, None).await
    }

    pub async fn with(trust: Trust, identity: Option<&Identity>) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let books = Arc::new(Mutex::new(Books::default()));
        let tls = identity.map(acceptor);
        let kept = books.clone();
        let run = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
                let (books, tls) = (kept.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(socket, books, trust).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                serve(stream, books, trust).await;
                            }
                        }
                    }
                });
            }
        });
        Service { port, books, run }
    }

    /// What it does next, in this order; then it does what is asked.
    pub fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.books().script.extend(replies);
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.books().heard.clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.line).collect()
    }

    pub async fn hears(&self, count: usize) -> Vec<Heard> {
        within("the service", async {
            while self.heard().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.heard()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve<S>(io: S, books: Arc<Mutex<Books>>, trust: Trust)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let books = books.clone();
        async move { answer(request, &books, trust).await }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
    // A test that cuts it has its reason to.
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    books: &Mutex<Books>,
    trust: Trust,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let heard = Heard {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    judge(&heard, trust);
    let reply = {
        let mut books = books.lock().unwrap();
        books.heard.push(heard.clone());
        books.script.pop_front()
    };
    match reply {
        None => Ok(usual(&heard)),
        Some(Reply::Say(status, header, body)) => {
            let mut response = Response::builder().status(status);
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body)).unwrap())
        }
        Some(Reply::Cut) => Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Reply::Hang) => std::future::pending().await,
    }
}

/// A request that the real one would not take ends its connection, and the test.
fn judge(heard: &Heard, trust: Trust) {
    let credential = heard.header("authorization");
    match trust {
        Trust::Token => {
            assert!(credential.starts_with("Bearer "));
            assert!(!heard.headers.contains_key("x-ms-date"));
        }
        Trust::Key => {
            let date = heard.header("x-ms-date");
            let said = httpdate::parse_http_date(date).unwrap();
            let now = SystemTime::now();
            let apart = now.duration_since(said).unwrap_or_default();
            assert!(apart < Duration::from_secs(60), "{apart:?}");
            let content = STANDARD.encode(digest::digest(&digest::SHA256, heard.body.as_bytes()));
            assert_eq!(heard.header("x-ms-content-sha256"), content);
            let (method, target) = heard.line.split_once(' ').unwrap();
            let host = heard.header("host");
            let text = format!("{method}\n{target}\n{date};{host};{content}");
            let key = STANDARD.decode(ACCESS_KEY).unwrap();
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
            let signed = "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=";
            assert_eq!(credential, format!("{signed}{signature}"));
        }
    }
    if !heard.body.is_empty() {
        assert_eq!(heard.header("content-type"), "application/json");
    }
    assert_eq!(heard.header("accept"), "application/json");
}

/// The interface's own success.
fn usual(heard: &Heard) -> Response<Full<Bytes>> {
    let target = heard.line.split_once('?').unwrap().0;
    let connected = format!(
        r#"{{"callConnectionId":"0800-ab","serverCallId":"aHR0cHM6","callConnectionState":"connecting","correlationId":"3c2f","more":"{CANARY}"}}"#
    );
    let (status, body) = match target {
        "POST /calling/callConnections:answer" => (StatusCode::OK, connected),
        "POST /calling/callConnections" => (StatusCode::CREATED, connected),
        _ if target.ends_with(":terminate") => (StatusCode::NO_CONTENT, String::new()),
        _ if target.ends_with("MediaStreaming") => (StatusCode::ACCEPTED, String::new()),
        _ if target.ends_with("ContinuousDtmfRecognition") => (StatusCode::OK, String::new()),
        other => panic!("{other}"),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
