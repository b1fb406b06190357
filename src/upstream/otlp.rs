//! Tells a collector of spans: OTLP over HTTP, in its JSON form (OTLP 1.x, *JSON Protobuf encoding*).
//!
//! Many spans go in one request, and one request is under way at a time. A collector that does not take
//! them loses them, which is counted, and nobody but this waits for it.
//!
//! Not here: TLS and credentials. A collector beside the edge passes spans on as its operator likes.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;

use super::fetch::{Asking, Document};
use crate::config;
use crate::log::Throttle;
use crate::metrics::{self, Role, Span};

/// Spans of one request: some hundred kilobytes.
const BATCH: usize = 256;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);

/// Sends the spans of this process.
pub struct Collector {
    document: Document,
    spans: Receiver<Span>,
    metrics: metrics::Shared,
    warnings: Throttle,
}

impl Collector {
    /// `None`: it cannot be asked, or somebody has the spans already. Spans are kept from now on.
    pub fn new(otlp: &config::Otlp, metrics: &metrics::Shared) -> Option<Collector> {
        let document = Document::plain(&format!("{}/v1/traces", otlp.url))?.ok()?;
        Some(Collector {
            document,
            spans: metrics.keep_spans()?,
            metrics: Arc::clone(metrics),
            warnings: Throttle::default(),
        })
    }

    /// For as long as the edge lives.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = self.spans.recv().await {
            batch.push(first);
            sleep(GATHER).await;
            while batch.len() < BATCH {
                match self.spans.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(_) => break,
                }
            }
            self.send(&batch).await;
            batch.clear();
        }
    }

    async fn send(&self, batch: &[Span]) {
        let json = HeaderValue::from_static("application/json");
        let asking = Asking {
            method: Method::POST,
            headers: vec![(header::CONTENT_TYPE, json)],
            body: Bytes::from(request(batch).to_string()),
        };
        let result = match self.document.ask(asking).await {
            Ok(_) => "exported",
            Err(error) => {
                if let Some(left_out) = self.warnings.pass(Instant::now()) {
                    tracing::warn!(%error, left_out, "the collector took no spans");
                }
                "failed"
            }
        };
        self.metrics.spans_over(result, batch.len());
    }
}

/// `ExportTraceServiceRequest`.
fn request(batch: &[Span]) -> Value {
    let spans: Vec<Value> = batch.iter().map(span).collect();
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", name), text("service.version", version)] },
        "scopeSpans": [{ "scope": { "name": name, "version": version }, "spans": spans }],
    }] })
}

fn span(span: &Span) -> Value {
    let ended = span.ended.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = |time: Duration| time.as_nanos().to_string();
    let session = span.session.map(|id| id.to_string());
    let attributes: Vec<Value> = [
        (
            "tonegate.route",
            span.route.as_ref().map(|name| name.as_str()),
        ),
        (
            "tonegate.upstream",
            span.upstream.as_ref().map(|name| name.as_str()),
        ),
        ("tonegate.session", session.as_deref()),
        ("tonegate.result", Some(span.result)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(text(key, value?)))
    .collect();
    // SPAN_KIND_INTERNAL, SERVER, CLIENT; STATUS_CODE_UNSET, ERROR.
    let kind = match span.role {
        Role::Internal => 1,
        Role::Server => 2,
        Role::Client => 3,
    };
    let status = if span.failed { 2 } else { 0 };
    let mut told = json!({
        "traceId": span.trace.id.to_string(),
        "spanId": span.trace.span.to_string(),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": nanos(ended.saturating_sub(span.took)),
        "endTimeUnixNano": nanos(ended),
        "attributes": attributes,
        "status": { "code": status },
    });
    if let Some(parent) = span.trace.parent {
        told["parentSpanId"] = parent.to_string().into();
    }
    told
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
