//! A webhook of the test's own: it writes down what is posted, and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::within;

/// A request as it came.
#[derive(Clone)]
pub struct Letter {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Letter {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An answer to come: status, headers, body.
pub type Next = (u16, Vec<(&'static str, String)>, String);

/// It listens while this lives.
pub struct Webhook {
    pub port: u16,
    letters: Arc<watch::Sender<Vec<Letter>>>,
    next: Arc<Mutex<VecDeque<Next>>>,
    stop: CancellationToken,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Webhook {
    pub async fn open() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = Webhook {
            port: listener.local_addr().unwrap().port(),
            letters: Arc::new(watch::Sender::new(Vec::new())),
            next: Arc::default(),
            stop: CancellationToken::new(),
        };
        let (letters, next) = (hook.letters.clone(), hook.next.clone());
        let accepting = async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (letters, next) = (letters.clone(), next.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (letters, next) = (letters.clone(), next.clone());
                        async move { Ok::<_, Infallible>(take(request, &letters, &next).await) }
                    });
                    // How a connection ends is its peer's business.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(tcp), service)
                        .await;
                });
            }
        };
        let stop = hook.stop.clone();
        tokio::spawn(stop.run_until_cancelled_owned(accepting));
        hook
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers the next request so, instead of with 200 and nothing.
    pub fn next(&self, status: u16, headers: Vec<(&'static str, String)>, body: &str) {
        let next = (status, headers, body.to_owned());
        self.next.lock().unwrap().push_back(next);
    }

    pub fn letters(&self) -> Vec<Letter> {
        self.letters.borrow().clone()
    }

    /// Waits until so many came; all of them.
    pub async fn came(&self, count: usize) -> Vec<Letter> {
        let mut letters = self.letters.subscribe();
        let came = letters.wait_for(|letters| letters.len() >= count);
        within("a letter", came).await.unwrap().clone()
    }
}

async fn take(
    request: Request<Incoming>,
    letters: &watch::Sender<Vec<Letter>>,
    next: &Mutex<VecDeque<Next>>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let letter = Letter {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    };
    let next = next.lock().unwrap().pop_front();
    letters.send_modify(|letters| letters.push(letter));
    let (status, headers, body) = next.unwrap_or((200, Vec::new(), String::new()));
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::from(body)).unwrap()
}
