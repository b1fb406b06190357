//! The query of a request: whatever stands there, the upstream is asked by the settings' own host and path,
//! for a model of the list, and by no name twice.

use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};
use tonegate::admission::{Admission, Now, Request, Told};
use tonegate::config::{Live, Settings};
use tonegate::ids::SessionId;
use tonegate::metrics::Metrics;
use tonegate::upstream::Upstream;

const SETTINGS: &str = r#"
[server]
listen = "127.0.0.1:0"
plain_text = true
[upstreams.voice]
kind = "voice-live"
resource = "the-resource"
credential = { key = "the-edges-own-key" }
[[routes]]
name = "open"
kind = "voice-live"
paths = ["/ws"]
admit = ["anyone"]
accept = ["header", "query"]
models = ["gpt-realtime", "gpt-4o"]
upstreams = ["voice"]
"#;

struct Edge {
    runtime: Runtime,
    live: Live,
    admission: Admission,
    upstream: Upstream,
}

fn edge() -> &'static Edge {
    static EDGE: OnceLock<Edge> = OnceLock::new();
    EDGE.get_or_init(|| {
        let live = Settings::read_text("fuzz", SETTINGS)
            .expect("good settings")
            .live;
        let metrics = Arc::new(Metrics::new());
        let settings = live.upstreams[0].clone();
        Edge {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            admission: Admission::new(&live, &metrics).expect("an admission"),
            upstream: Upstream::new(settings, metrics).expect("an upstream"),
            live,
        }
    })
}

/// The query, as far as a target can have it.
pub fn run(data: &[u8]) {
    let edge = edge();
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(request) = http::Request::builder()
        .uri(format!("/ws?{query}"))
        .body(())
    else {
        return;
    };
    let (head, ()) = request.into_parts();
    let route = &edge.live.routes[0];
    let asked = Request {
        route,
        head: &head,
        peer: [192, 0, 2, 1].into(),
        by_hop: false,
        certificate: None,
        now: Now::read(),
    };
    let mut told = Told::nobody();
    let decided = edge
        .runtime
        .block_on(edge.admission.decide(asked, &mut told));
    let Ok(grant) = decided else {
        return;
    };
    let session = SessionId::random();
    let preview = edge.upstream.preview(grant.want(&route.name, session));
    goes_where_the_settings_say(&preview);
}

fn goes_where_the_settings_say(preview: &str) {
    let (url, credential) = preview.split_once(" with ").expect("what it is asked with");
    assert!(!credential.contains("the-edges-own-key"));
    assert!(
        url.bytes()
            .all(|byte| (0x21..0x7F).contains(&byte) && byte != b'#'),
        "{url}"
    );
    let base = "wss://the-resource.services.ai.azure.com/voice-live/realtime?";
    let query = url.strip_prefix(base).unwrap_or_else(|| panic!("{url}"));
    let mut names = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("{url}"));
        assert!(!names.contains(&name), "{name} twice: {url}");
        names.push(name);
        match name {
            "model" => assert!(["gpt-realtime", "gpt-4o"].contains(&value), "{url}"),
            "api-version" => assert!(value.starts_with("20"), "{url}"),
            _ => panic!("{name} goes on: {url}"),
        }
    }
    assert_eq!(names.len(), 2, "{url}");
}
