//! A private application: one request on a connection of its own, its answer as it comes.
//!
//! Nothing is sent twice: only where no connection came about is the next upstream asked. What goes
//! on was chosen by the caller, header by header; what comes back is the application's, but for
//! what is about the connection.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant as Deadline, Sleep, sleep_until, timeout_at};

use super::credential::{Shown, Whose};
use super::host::Stream;
use super::trace;
use super::{ANSWER_MAX, Failure, Upstream, Want, relay};
use crate::config::Service;
use crate::error::Reason;
use crate::label::Label;

/// What is asked of an application.
#[derive(Clone, Debug)]
pub struct Asking {
    pub method: Method,
    /// Path and query, judged; they go on as they are.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// How long an answer may take that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one piece to the next.
    pub idle: Duration,
    /// From its head to its end.
    pub whole: Duration,
}

/// Asks the first of `upstreams` that can be reached.
pub async fn ask_first(
    upstreams: &[Arc<Upstream>],
    want: Want<'_>,
    asking: &Asking,
    pace: Pace,
) -> Result<Response<Answer>, (Label, Failure)> {
    let mut last = None;
    for upstream in upstreams {
        match upstream.ask(want, asking, pace).await {
            Ok(response) => return Ok(response),
            Err((failure, Asked::Never)) => last = Some((upstream.name().clone(), failure)),
            // It may have been heard.
            Err((failure, Asked::Perhaps)) => return Err((upstream.name().clone(), failure)),
        }
    }
    Err(last.expect("a route without upstreams does not start"))
}

/// Whether a failed request may have reached the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Never,
    Perhaps,
}

impl Upstream {
    async fn ask(
        &self,
        want: Want<'_>,
        asking: &Asking,
        pace: Pace,
    ) -> Result<Response<Answer>, (Failure, Asked)> {
        let started = std::time::Instant::now();
        let total = Deadline::now() + self.settings.total;
        let asked = timeout_at(total, self.connect_and_ask(want, asking, pace)).await;
        let late = Failure::new(Reason::UpstreamTimeout, "no answer in time");
        let asked = asked.unwrap_or(Err((late, Asked::Perhaps)));
        match &asked {
            Ok(_) => self.metrics.dialled(self.name(), started.elapsed()),
            Err((failure, _)) => self.metrics.dial_failed(self.name(), failure.reason),
        }
        asked
    }

    async fn connect_and_ask(
        &self,
        want: Want<'_>,
        asking: &Asking,
        pace: Pace,
    ) -> Result<Response<Answer>, (Failure, Asked)> {
        let never = |failure| (failure, Asked::Never);
        let shown = self.wallet.show(want).await.map_err(never)?;
        let request = self.of_app(want, asking, shown.as_ref()).map_err(never)?;
        let deadline = Deadline::now() + self.settings.connect;
        let response = match self.host.connect(deadline).await.map_err(never)? {
            Stream::Plain(io) => exchange(io, request, pace).await,
            Stream::Tls(io) => exchange(io, request, pace).await,
        };
        let response = response.map_err(|failure| (failure, Asked::Perhaps))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let detail = "it answered 101 to no upgrade";
            return Err((
                Failure::new(Reason::UpstreamRefused, detail),
                Asked::Perhaps,
            ));
        }
        // Whom it does not know then is the edge, and no caller could mend that.
        let ours = shown.is_some_and(|shown| shown.whose != Whose::Caller);
        if ours && response.status() == StatusCode::UNAUTHORIZED {
            let failure = Failure {
                status: Some(response.status()),
                ..Failure::new(Reason::UpstreamUnauthorized, "it refused the credential")
            };
            return Err((failure, Asked::Perhaps));
        }
        Ok(response)
    }

    fn of_app(
        &self,
        want: Want<'_>,
        asking: &Asking,
        shown: Option<&Shown>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let Service::Http(app) = &self.settings.service else {
            return Err(Failure::new(
                Reason::UpstreamRefused,
                "it is no application",
            ));
        };
        let target: Result<Uri, _> = format!("{}{}", app.base, asking.target).parse();
        let malformed = |_| Failure::new(Reason::UpstreamRefused, "the target is malformed");
        let mut request = Request::new(Full::new(asking.body.clone()));
        *request.uri_mut() = target.map_err(malformed)?;
        *request.method_mut() = asking.method.clone();
        let headers = request.headers_mut();
        headers.extend(asking.headers.clone());
        for (name, value) in &app.headers {
            headers.insert(name.clone(), value.clone());
        }
        if app.identity_headers {
            relay::identify(headers, &want.caller);
        }
        if let Some(shown) = shown {
            headers.insert(shown.name.clone(), shown.value.clone());
        }
        trace::tell(headers, want);
        headers.insert(header::HOST, self.host.authority().clone());
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }
}

async fn exchange<S>(
    io: S,
    request: Request<Full<Bytes>>,
    pace: Pace,
) -> Result<Response<Answer>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refused = |detail| Failure::new(Reason::UpstreamRefused, detail);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(io))
        .await
        .map_err(|_| refused("the connection ended before the request"))?;
    let mut connection: Running = Box::pin(async move {
        // What has been delivered before its end is still there after it.
        let _ = connection.await;
    });
    let mut answer = std::pin::pin!(sender.send_request(request));
    let mut over = false;
    let response = tokio::select! {
        biased;
        answer = &mut answer => answer,
        () = &mut connection => {
            over = true;
            answer.await
        }
    };
    let response = response.map_err(|_| refused("the answer is not HTTP, or none came"))?;
    let (mut head, body) = response.into_parts();
    strip(&mut head.headers);
    let now = Deadline::now();
    let answer = Answer {
        connection: (!over).then_some(connection),
        body,
        idle: pace.idle,
        end: now + pace.whole,
        timer: Box::pin(sleep_until((now + pace.idle).min(now + pace.whole))),
    };
    Ok(Response::from_parts(head, answer))
}

/// Takes away what is about the connection (RFC 9110, 7.6.1), and what only the edge may say.
fn strip(headers: &mut HeaderMap) {
    const OF_CONNECTION: [HeaderName; 8] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::PROXY_AUTHENTICATE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTION.into_iter().chain(named) {
        headers.remove(name);
    }
    // Another way to the application, which is private.
    headers.remove("alt-svc");
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of an answer. Whoever reads it drives the connection.
pub struct Answer {
    /// Until it has ended.
    connection: Option<Running>,
    body: Incoming,
    idle: Duration,
    end: Deadline,
    timer: Pin<Box<Sleep>>,
}

/// Why an answer was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    #[error("the application ended its answer too early")]
    Lost,
    #[error("the application took too long")]
    Late,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        if let Some(connection) = &mut this.connection
            && connection.as_mut().poll(cx).is_ready()
        {
            this.connection = None;
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let next = Deadline::now() + this.idle;
            this.timer.as_mut().reset(next.min(this.end));
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut::Lost)));
        }
        this.timer.as_mut().poll(cx).map(|()| Some(Err(Cut::Late)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(_)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c07_what_is_about_the_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Internal"),
            ("x-internal", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("alt-svc", "h2=\":8443\""),
            ("content-type", "text/plain"),
            ("set-cookie", "a=b"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "set-cookie"]);
    }
}
