//! A contact centre in another cloud, simulated: it signs its tokens, writes sessions, and hears
//! webhooks whose signatures it checks by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tonegate::sim::issuer::mint::Mint;

use crate::call_control::webhook::{Letter, Webhook};
use crate::harness::{Refused, read_answer, within};
use crate::phone::world::{Line, Phone, Ringing, signed};

pub const AUDIENCE: &str = "api://hand-over";
pub const SIX: &str = "flow = \"pstn\", digits = 6, deadline = \"20s\"";
/// What the webhooks are signed with, and the bytes it says.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// As Amazon Connect names contacts.
pub const CONTACT: &str = "4a573372-1f28-4e26-b97b-0c1d2e3f4a5b";

pub struct Centre {
    pub phone: Phone,
    pub hook: Webhook,
}

/// An answer to a request about a session.
pub type Answer = Refused;

impl Centre {
    pub async fn usual() -> Centre {
        Centre::with(SIX, "").await
    }

    /// With this gate, and these lines of the route of sessions.
    pub async fn with(gate: &str, more: &str) -> Centre {
        let line = Line {
            gate: gate.to_owned(),
            ..Line::default()
        };
        Centre::of(line, more).await
    }

    pub async fn of(line: Line, more: &str) -> Centre {
        let hook = Webhook::open().await;
        let url = hook.url("/hook?of=edge");
        let more = match more.contains("webhook") {
            true => more.to_owned(),
            false => format!("webhook = {{ url = \"{url}\", secret = \"{SECRET}\" }}\n{more}"),
        };
        let phone = Phone::beside(line, async |provider, _| tables(&provider.base(), &more)).await;
        Centre { phone, hook }
    }

    /// A good token of the centre, for one request.
    pub fn token(&self) -> String {
        self.mint(|mint| mint)
    }

    /// One that is changed.
    pub fn mint(&self, change: impl FnOnce(Mint) -> Mint) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let good = Mint::oidc(&self.phone.provider.base(), AUDIENCE)
            .with("sub", "contact-centre")
            .with("jti", format!("request-{count}"))
            .with("exp", now() + 120);
        self.phone.provider.mint(&change(good))
    }

    /// What a request is answered.
    pub async fn asks(&self, method: &str, contact: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Authorization: Bearer {}\r\n", self.token());
        let body = body.map(Value::to_string);
        let request = request(method, contact, &bearer, body.as_deref());
        self.sends(request.as_bytes()).await
    }

    /// Any bytes as the request.
    pub async fn sends(&self, request: &[u8]) -> Answer {
        let mut io = self.phone.world.connect().await;
        io.write_all(request).await.unwrap();
        io.flush().await.unwrap();
        read_answer(io).await.err().unwrap()
    }

    /// Hands the usual caller's call over; what the edge said.
    pub async fn hands_over(&self, contact: &str) -> Value {
        let answer = self.asks("PUT", contact, Some(&pstn())).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let location = format!("/sessions/{contact}");
        assert_eq!(answer.header("location"), Some(location));
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        json_of(&answer)
    }

    /// What is known of a session.
    pub async fn looks(&self, contact: &str) -> Value {
        let answer = self.asks("GET", contact, None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        json_of(&answer)
    }

    /// Looks until the session is in this state.
    pub async fn is(&self, contact: &str, state: &str) -> Value {
        within(state, async {
            loop {
                let known = self.looks(contact).await;
                if known["state"] == state {
                    return known;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// The call that was handed over arrives.
    pub async fn arrives(&self, call: &str) -> Ringing {
        let dial = self.phone.dial(&signed(call));
        self.phone.rings(&dial, Default::default()).await
    }

    /// What was told so far, when it is so much; each signed for the time when it was told.
    pub async fn hears(&self, count: usize) -> Vec<Value> {
        let letters = self.hook.came(count).await;
        letters.iter().map(checked).collect()
    }

    /// So many webhooks have come to this.
    pub async fn webhooks(&self, result: &str, count: u64) {
        let series =
            format!("tonegate_webhooks_total{{route=\"sessions\",result=\"{result}\"}} {count}");
        self.phone.world.metrics_say(&series).await;
    }
}

/// A letter's body, if its signature is good.
pub fn checked(letter: &Letter) -> Value {
    assert_eq!(letter.method, "POST");
    assert_eq!(letter.header("content-type"), "application/json");
    let (id, at) = (
        letter.header("webhook-id"),
        letter.header("webhook-timestamp"),
    );
    assert!(now().abs_diff(at.parse().unwrap()) < 60, "{at}");
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", &letter.body].concat();
    let wanted = format!("v1,{}", STANDARD.encode(hmac(&signed)));
    assert_eq!(letter.header("webhook-signature"), wanted);
    letter.json()
}

/// HMAC-SHA256 (RFC 2104) by hand, so that the edge's own is not checked by itself.
fn hmac(message: &[u8]) -> Vec<u8> {
    let secret = STANDARD
        .decode(SECRET.strip_prefix("whsec_").unwrap())
        .unwrap();
    let padded = |pad: u8| -> Vec<u8> {
        let mut block = [pad; 64];
        for (byte, key) in block.iter_mut().zip(&secret) {
            *byte ^= key;
        }
        block.to_vec()
    };
    let inner = digest(&SHA256, &[padded(0x36), message.to_vec()].concat());
    let outer = [padded(0x5c), inner.as_ref().to_vec()].concat();
    digest(&SHA256, &outer).as_ref().to_vec()
}

pub fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{}", answer.body))
}

/// What is asked for the usual caller.
pub fn pstn() -> Value {
    json!({"flow": "pstn", "ani": crate::phone::world::ANI})
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

pub fn request(method: &str, contact: &str, headers: &str, body: Option<&str>) -> String {
    let body = match body {
        Some(body) => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        None => "\r\n".to_owned(),
    };
    format!("{method} /sessions/{contact} HTTP/1.1\r\nHost: localhost\r\n{headers}{body}")
}

/// The tables of the centre; in the lines of its route `ISSUER` is where its issuer is.
pub fn tables(issuer: &str, more: &str) -> String {
    let more = more.replace("ISSUER", issuer);
    format!(
        "[issuers.centre]\nkind = \"oidc\"\nissuer = \"{issuer}\"\naudience = [\"{AUDIENCE}\"]\n\
         algorithms = [\"RS256\", \"ES256\"]\njwks = \"{issuer}/keys\"\nroots = \"ca.pem\"\n\
         leeway = \"5s\"\n\
         [[routes]]\nname = \"sessions\"\npaths = [\"/sessions\"]\nkind = \"session-api\"\n\
         {}{more}\n",
        if more.contains("admit =") || more.contains("require =") {
            ""
        } else {
            "admit = [\"centre\"]\n"
        }
    )
}
