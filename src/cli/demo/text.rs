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
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text {
            listen,
            admin,
            key,
            upstream_port,
            upstream_key,
            issuer,
            call_secret,
        } = self;
        let key = key.to_hex();
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

# To be quick to try: one attempt, and a code that opens more than one call.
[[routes]]
name    = "phone"
paths   = ["/acs/media/{{call}}"]
kind    = "acs-media"
require = ["phone", "call"]
gate    = {{ flow = "pstn", digits = 6, attempts = 1, consume = false }}
models  = ["gpt-realtime"]
upstreams = ["voice"]
"#
        )
    }
}
