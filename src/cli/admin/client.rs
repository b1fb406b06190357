//! Asks the admin listener of an edge.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

use crate::cli::exit::Exit;
use crate::secret::Secret;
use crate::upstream::{Host, Stream};

/// Longer than an edge waits for its store.
const WAIT: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// More than a list of all that can be in force.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// Longer than a tail of which nothing comes is silent.
const SILENT: Duration = Duration::from_secs(30);
/// More than a line of a tail has.
const LINE_MAX: usize = 64 * 1024;

/// Whoever asks one edge.
pub(in crate::cli) struct Client {
    runtime: Runtime,
    host: Host,
    place: String,
    token: Option<Secret>,
}

/// What the edge says.
pub(in crate::cli) struct Answer {
    pub(in crate::cli) status: StatusCode,
    pub(in crate::cli) told: Value,
}

impl Client {
    pub(super) fn new(host: Host, token: Option<Secret>) -> anyhow::Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Client {
            runtime,
            place: host.authority().to_str().unwrap_or_default().to_owned(),
            host,
            token,
        })
    }

    pub(in crate::cli) fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(&Method::GET, path, None)
    }

    pub(in crate::cli) fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let asked = async {
            let request = self.request(method, path, body)?;
            self.send(request, whole).await
        };
        self.runtime
            .block_on(async { timeout(WAIT, asked).await })
            .map_err(|_| self.unreachable("it does not answer"))?
    }

    /// Hands out the lines of a page as they come; what it says instead if it has none.
    pub(super) fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Option<Answer>> {
        self.runtime.block_on(async {
            let request = self.request(&Method::GET, path, None)?;
            let read = async |response: Response<Incoming>| {
                if response.status() != StatusCode::OK {
                    return whole(response).await.map(Some);
                }
                read_lines(response.into_body(), &mut each).await?;
                Ok(None)
            };
            self.send(request, read).await
        })
    }

    /// Waits before it asks again.
    pub(super) fn pause(&self, pause: Duration) {
        // A timer is made within the runtime.
        self.runtime
            .block_on(async { tokio::time::sleep(pause).await });
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.host.authority())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose());
            let mut value = http::HeaderValue::try_from(bearer)
                .map_err(|_| anyhow!("the admin token cannot stand in a header"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        Ok(request.body(Full::from(body))?)
    }

    async fn send<T>(
        &self,
        request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(Response<Incoming>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let stream = self.host.connect(Instant::now() + CONNECT).await;
        match stream.map_err(|failure| self.unreachable(failure.detail))? {
            Stream::Plain(io) => self.over(io, request, read).await,
            Stream::Tls(io) => self.over(io, request, read).await,
        }
    }

    async fn over<S, T>(
        &self,
        io: S,
        request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(Response<Incoming>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let gone = |_| self.unreachable("it does not speak HTTP as asked: http:// or https://?");
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(gone)?;
        let answer = async move {
            let response = sender.send_request(request).await.map_err(gone)?;
            read(response).await
        };
        // The connection ends with its only sender, and whatever ends it before that ends the answer.
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            _ = connection => answer.await,
        }
    }

    fn unreachable(&self, detail: &str) -> anyhow::Error {
        Exit::Unreachable(format!(
            "cannot ask the admin listener at {}: {detail}; is the edge running, and is --admin right?",
            self.place
        ))
        .into()
    }
}

async fn whole(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await;
    let body = body.map_err(|error| anyhow!("the answer was cut: {error}"))?;
    let told = serde_json::from_slice(&body.to_bytes());
    Ok(Answer {
        status: head.status,
        told: told.context("this is no edge's answer")?,
    })
}

async fn read_lines(
    mut body: Incoming,
    each: &mut impl FnMut(&[u8]) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut kept = Vec::new();
    loop {
        let frame = timeout(SILENT, body.frame()).await;
        let Some(frame) = frame.context("the edge has fallen silent")? else {
            return Ok(());
        };
        let data = frame.context("the edge ended the answer")?.into_data();
        kept.extend_from_slice(&data.unwrap_or_default());
        while let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = kept.drain(..=end).collect();
            if !each(&line)? {
                return Ok(());
            }
        }
        anyhow::ensure!(kept.len() <= LINE_MAX, "this is no edge's answer");
    }
}

/// What the edge says, if it is what was hoped for; else its own sentence, with the exit code for it.
pub(in crate::cli) fn succeeded(answer: Answer, hoped: StatusCode) -> anyhow::Result<Value> {
    let Answer { status, told } = answer;
    if status == hoped {
        return Ok(told);
    }
    Err(failed(status, &told))
}

pub(super) fn failed(status: StatusCode, told: &Value) -> anyhow::Error {
    let detail = told["detail"]
        .as_str()
        .unwrap_or("the edge did not say why");
    let lines: Vec<String> = detail.lines().map(super::table::plain).collect();
    let sentence = format!("{} ({})", lines.join("\n"), status.as_u16());
    match status {
        StatusCode::NOT_FOUND => Exit::NoSuch(sentence).into(),
        StatusCode::UNAUTHORIZED => Exit::NotAllowed(format!(
            "{sentence}; give it with --admin-token-file or TONEGATE_ADMIN_TOKEN"
        ))
        .into(),
        StatusCode::FORBIDDEN => Exit::NotAllowed(sentence).into(),
        _ => anyhow!(sentence),
    }
}
