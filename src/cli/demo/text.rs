//! The settings of the demo, as an operator would write them.

use std::fmt;

use crate::secret::Digest;

/// The immutable id of a resource of ACS that there is not.
pub(super) const RESOURCE: &str = "22222222-3333-4444-5555-666666666666";

/// What the settings are made of.
pub(super) struct Text {
    pub(super) listen: String,
    pub(super) admin: String,
    /// Of the key that the edge admits.
    pub(super) key: Digest,
    pub(super) upstream_port: u16,
    pub(super) upstream_key: String,
    /// Address of the simulated issuer.
    pub(super) issuer: String,
    /// Signs media URLs.
    pub(super) call_secret: String,
    /// Where the page's telephone is, and what it asks for.
    pub(super) telephone_port: u16,
    pub(super) telephone_key: String,
}

impl fmt::Display for Text {
    #[allow(clippy::too_many_lines, reason = "it is one text")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text {
            listen,
            admin,
            key,
            upstream_port,
            upstream_key,
            issuer,
            call_secret,
            telephone_port,
            telephone_key,
        } = self;
        let key = key.to_hex();
        let port = listen.rsplit(':').next().unwrap_or_default();
        let origins = format!(r#"["https://localhost:{port}", "https://127.0.0.1:{port}"]"#);
        write!(
            f,
            r#"# Written by `tonegate demo`; gone when it ends.
[server]
listen  = "{listen}"
admin   = "{admin}"
tls     = {{ certificate = "edge.pem", key = "edge.key" }}

[[keys]]
name   = "demo"
sha256 = "{key}"
routes = ["browser", "talk", "telephone", "sessions"]
limits = {{ sessions = 20 }}

[issuers.phone]
kind     = "acs"
audience = ["{RESOURCE}"]
metadata = "{issuer}/calling/.well-known/acsopenidconfiguration"  # not the real one
roots    = "ca.pem"

[calls]
secret   = "{call_secret}"
known_by = "url"

[upstreams.voice]
kind       = "voice-live"
url        = "wss://localhost:{upstream_port}"
credential = {{ key = "{upstream_key}" }}
roots      = "ca.pem"

[[routes]]
name   = "browser"
paths  = ["/ws", "/voice-live/realtime"]
kind   = "voice-live"
admit  = ["key"]
accept = ["header", "query"]
models = ["gpt-realtime"]
dtmf   = "observe"
upstreams = ["voice"]

# The page, which anybody on this machine may open, and what it uses: for that it wants the key.
[[routes]]
name  = "page"
paths = ["/page"]
kind  = "page"
admit = ["anyone"]
opens = ["talk", "telephone", "sessions"]

[[routes]]
name    = "talk"
paths   = ["/talk"]
kind    = "voice-live"
admit   = ["key"]
accept  = ["subprotocol", "query"]
origins = {origins}
refuse  = "close"
models  = ["gpt-realtime"]
dtmf    = "observe"
upstreams = ["voice"]

[[routes]]
name  = "sessions"
paths = ["/sessions"]
kind  = "sessions"
admit = ["key"]
see   = "all"

# A simulated caller, which the page has dial, press keys and hang up.
[upstreams.telephone]
kind       = "relay"
url        = "ws://127.0.0.1:{telephone_port}/"
credential = {{ key = "{telephone_key}" }}

[[routes]]
name    = "telephone"
paths   = ["/telephone"]
kind    = "relay"
admit   = ["key"]
accept  = ["subprotocol", "query"]
origins = {origins}
refuse  = "close"
subprotocols = ["phone.tonegate"]
upstreams = ["telephone"]

# To be quick to try: one attempt, and a code that opens more than one call.
[[routes]]
name    = "phone"
paths   = ["/acs/media/{{call}}"]
kind    = "acs-media"
require = ["phone", "call"]
gate    = {{ flow = "pstn", digits = 6, attempts = 1, attempts_per_ani = "60/m", consume = false }}
models  = ["gpt-realtime"]
upstreams = ["voice"]
"#
        )
    }
}
