//! A world in which telephones ring: an issuer of ACS' tokens, a store, a simulated Voice Live, an
//! edge with a route of calls, and callers who dial it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonegate::admission::media_url::{Signed, Signer};
use tonegate::audio::SampleRate;
use tonegate::config::{Calls, KnownBy, Spend};
use tonegate::dtmf::{Detector, Event, Setting};
use tonegate::ids::{CallId, ForeignId, PhoneNumber};
use tonegate::secret::Secret;
use tonegate::sim::acs::hand::Hand;
use tonegate::sim::acs::line::{Keying, Talker};
use tonegate::sim::acs::record::{Ending, Record};
use tonegate::sim::acs::{self, Dial, Options};
use tonegate::sim::certificate::Authority;
use tonegate::sim::client::Error;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{self, Issuer};
use tonegate::sim::signal;
use tonegate::sim::voice_live::connection::Connection;
use tonegate::store::Facts;

use crate::child::Child;
use crate::harness::{Wish, World, within};

/// The immutable id of a resource of ACS.
pub const RESOURCE: &str = "22222222-3333-4444-5555-666666666666";
pub const SECRET: &str = "what signs the media URLs of this test";
pub const ANI: &str = "+15551234567";
pub const CONNECTION: &str = "08002580-0000-0000-0000-000000000001";
pub const CORRELATION: &str = "998a5fa2-0000-0000-0000-000000000002";

/// What a test wants of its route of calls.
pub struct Line {
    /// What stands in `gate = { … }`.
    pub gate: String,
    /// Lines added to the route.
    pub route: String,
    /// `known_by` of `[calls]`.
    pub known_by: &'static str,
    /// Lines of `[calls]`.
    pub calls: String,
    /// Lines of `[store]`.
    pub store: String,
    /// The model of the route: a part that the simulator plays.
    pub model: &'static str,
    /// Name of the upstream, and more tables.
    pub upstream: &'static str,
    pub more: String,
    pub limits: String,
}

impl Default for Line {
    fn default() -> Line {
        Line {
            gate: "flow = \"pstn\", digits = 3, deadline = \"20s\"".to_owned(),
            route: String::new(),
            known_by: "url",
            calls: String::new(),
            store: String::new(),
            model: "gpt-realtime",
            upstream: "voice",
            more: String::new(),
            limits: String::new(),
        }
    }
}

/// The world of one test.
pub struct Phone {
    pub world: World,
    pub provider: Arc<Provider>,
    stop: CancellationToken,
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A call that was let in and runs by itself.
pub struct Ringing {
    pub hand: Hand,
    run: JoinHandle<Record>,
}

impl Ringing {
    /// What happened, when the media has ended.
    pub async fn ended(self) -> Record {
        within("the call's end", self.run).await.unwrap()
    }

    /// It ended by the edge's close frame with this code and reason.
    pub async fn closed(self, code: u16, reason: &str) -> Record {
        let record = self.ended().await;
        let ending = Ending::Closed {
            code: Some(code),
            reason: reason.to_owned(),
        };
        assert_eq!(record.ending, Some(ending));
        assert_eq!(record.violations, []);
        record
    }

    /// The caller presses keys.
    pub fn dials(&self, keys: &str, keying: &Keying) {
        self.hand.press(keys, keying).unwrap();
    }

    /// Waits until this is true of what happened.
    pub async fn until(&self, what: &str, holds: impl Fn(&Record) -> bool) {
        within(what, self.hand.until(holds)).await;
    }
}

impl Phone {
    pub async fn usual() -> Phone {
        Phone::with(Line::default()).await
    }

    pub async fn with(line: Line) -> Phone {
        Phone::beside(line, async |_, _| String::new()).await
    }

    /// The same beside other services, which sign as this issuer does and are of this authority;
    /// more tables come of them.
    pub async fn beside(
        mut line: Line,
        services: impl AsyncFnOnce(&Arc<Provider>, &Authority) -> String,
    ) -> Phone {
        let authority = Authority::new("test authority");
        let names = ["localhost", "127.0.0.1"];
        let issuer = Issuer::bind(issuer::Options {
            identity: Some(authority.issue(&names).unwrap()),
            ..issuer::Options::loopback()
        })
        .await
        .unwrap();
        let provider = issuer.provider();
        let stop = CancellationToken::new();
        tokio::spawn(issuer.serve(stop.clone()));
        line.more += &services(&provider, &authority).await;
        let more = settings(&line, &provider.base());
        let wish = Wish {
            more,
            limits: line.limits,
            keep_audio: 4 << 20,
            ..Wish::default()
        };
        let identity = authority.issue(&names).unwrap();
        let world = World::with_upstream_identity(wish, authority, identity).await;
        Phone {
            world,
            provider,
            stop,
        }
    }

    /// The edge as a process with a store of its own, whose log can be read. Calls go there from
    /// then on.
    pub fn child(&mut self) -> Child {
        Child::start(&mut self.world, "export TONEGATE_LOG=tonegate=debug")
    }

    /// So many gates have ended like this.
    pub async fn gates(&self, result: &str, count: u64) {
        let series = format!("tonegate_gates_total{{route=\"phone\",result=\"{result}\"}} {count}");
        self.world.metrics_say(&series).await;
    }

    /// So many sessions have ended like this.
    pub async fn ended(&self, by: &str, reason: &str, count: u64) {
        let series = format!(
            "tonegate_sessions_ended_total{{route=\"phone\",by=\"{by}\",reason=\"{reason}\"}} {count}"
        );
        self.world.metrics_say(&series).await;
    }

    /// Messages of this kind that went no further, so far.
    pub fn dropped(&self, kind: &str) -> u64 {
        self.world.count(&format!(
            "tonegate_call_messages_dropped_total{{route=\"phone\",kind=\"{kind}\"}}"
        ))
    }

    /// What the upstream got of a connection's audio.
    pub fn audio(&self, seen: &Connection) -> Vec<i16> {
        pcm(&self.world.record.audio(seen.id))
    }

    /// The upstream has got so much audio.
    pub async fn upstream_got(&self, audio: Duration, rate: SampleRate) -> Connection {
        let bytes = 2 * rate.samples_in(audio);
        self.world
            .upstream_saw(|seen| seen.appended.bytes >= bytes)
            .await
    }

    /// The session with the upstream is set up, after 100 ms of silence: what is said goes on at
    /// once.
    pub async fn is_set_up(&self, call: &Ringing, rate: SampleRate) {
        let silence = Duration::from_millis(100);
        call.hand.pause(Talker::Caller, silence).unwrap();
        // Where keys are masked the rest waits for what comes behind it.
        self.upstream_got(silence / 5, rate).await;
    }

    /// The edge has heard so many messages of the caller.
    pub async fn heard(&self, messages: u64) {
        let series = "tonegate_messages_total{route=\"phone\",direction=\"up\"}";
        self.eventually("the edge's ear", |phone| {
            phone.world.count(series) >= messages
        })
        .await;
    }

    /// Waits until this is so.
    pub async fn eventually(&self, what: &str, holds: impl Fn(&Phone) -> bool) {
        within(what, async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// A good token of ACS; each is another one.
    pub fn token(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.provider.mint(&Mint::acs(RESOURCE).with("jti", count))
    }

    /// The media URL of a call, as whoever answers it would sign it.
    pub fn url(&self, signed: &Signed) -> String {
        self.brief_url(signed, Duration::from_secs(600))
    }

    /// One that is good for so long.
    pub fn brief_url(&self, signed: &Signed, life: Duration) -> String {
        let base = format!("wss://localhost:{}", self.world.port);
        let url = signer().url(&base, "/acs/media/{call}", signed, SystemTime::now(), life);
        url.unwrap().expose().to_owned()
    }

    /// Whom ACS dials for a call, with a token of its own.
    pub fn dial(&self, signed: &Signed) -> Dial {
        Dial {
            url: self.url(signed),
            roots_pem: Some(self.world.authority.pem()),
            token: Some(self.token()),
            connection_id: Some(CONNECTION.to_owned()),
            correlation_id: Some(CORRELATION.to_owned()),
            more: Vec::new(),
        }
    }

    /// A call that is let in.
    pub async fn rings(&self, dial: &Dial, options: Options) -> Ringing {
        let call = within("the 101", acs::Call::dial(dial, options))
            .await
            .unwrap();
        let hand = call.hand();
        Ringing {
            hand,
            run: tokio::spawn(call.run()),
        }
    }

    /// A call that is refused: its status and reason.
    pub async fn refused(&self, dial: &Dial) -> (u16, String) {
        match within("an answer", acs::Call::dial(dial, Options::default())).await {
            Ok(_) => panic!("let in"),
            Err(Error::Refused(refused)) => {
                let body: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
                (refused.status, body["reason"].as_str().unwrap().to_owned())
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Another cloud stores the key of a code.
    pub async fn stores(&self, ani: &str, code: &str) {
        let store = self.world.edge().store();
        let key = store.keys().pstn(&PhoneNumber::new(ani).unwrap(), code);
        let hour = Duration::from_secs(3600);
        store.put_key(&key.unwrap(), hour).await.unwrap();
    }

    /// Whoever answers the call writes down what signalling said.
    pub async fn notes(&self, call: &str, facts: &Facts) {
        let call = CallId::new(call).unwrap();
        self.world
            .edge()
            .store()
            .note_call(&call, facts)
            .await
            .unwrap();
    }
}

fn signer() -> Signer {
    Signer::new(&Calls {
        secrets: vec![Secret::new(SECRET.to_owned())],
        known_by: KnownBy::Url,
        spend: Spend::Token,
        resume: Duration::ZERO,
    })
    .unwrap()
}

/// What a URL is signed for: a call of the usual caller.
pub fn signed(call: &str) -> Signed {
    Signed {
        ani: PhoneNumber::new(ANI),
        ..Signed::of(CallId::new(call).unwrap())
    }
}

pub fn id(text: &str) -> ForeignId {
    ForeignId::new(text).unwrap()
}

fn settings(line: &Line, issuer: &str) -> String {
    // An orchestrator has no models; all other upstreams here are Voice Live.
    let models = if line.more.contains("kind = \"relay\"") {
        String::new()
    } else {
        format!("models = [\"{}\"]", line.model)
    };
    format!(
        "[store]\n{}\n[calls]\nsecret = \"{SECRET}\"\nknown_by = \"{}\"\n{}\n\
         [issuers.phone]\nkind = \"acs\"\naudience = [\"{RESOURCE}\"]\n\
         metadata = \"{issuer}/calling/.well-known/acsopenidconfiguration\"\nroots = \"ca.pem\"\n\
         [[routes]]\nname = \"phone\"\npaths = [\"/acs/media/{{call}}\"]\nkind = \"acs-media\"\n\
         require = [\"phone\", \"call\"]\ngate = {{ {} }}\n{models}\nupstreams = [\"{}\"]\n{}\n{}\n",
        line.store, line.known_by, line.calls, line.gate, line.upstream, line.route, line.more,
    )
}

/// PCM16 as samples.
pub fn pcm(bytes: &[u8]) -> Vec<i16> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    assert!(rest.is_empty(), "half a sample");
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// The samples in a message's base64.
pub fn decoded(base64: &str) -> Vec<i16> {
    pcm(&STANDARD.decode(base64).unwrap())
}

/// Something that is said: no two stretches of it are alike, and none is silent.
pub fn speech(seconds: f64, rate: SampleRate) -> Vec<i16> {
    pcm(&signal::speech(seconds, rate.hz()))
}

/// Fails where the first difference is, without printing all of it.
pub fn same(what: &str, left: &[i16], right: &[i16]) {
    let differs = left
        .iter()
        .zip(right)
        .position(|(left, right)| left != right);
    assert_eq!(differs, None, "{what}: the first sample that differs");
    assert_eq!(left.len(), right.len(), "{what}: samples");
}

/// Where these samples begin in those.
pub fn find(needle: &[i16], hay: &[i16]) -> Option<usize> {
    let first = needle.first()?;
    (0..=hay.len().checked_sub(needle.len())?)
        .find(|&at| hay[at] == *first && hay[at..].starts_with(needle))
}

/// Keys that our own detector hears.
pub fn keys_in(samples: &[i16], rate: SampleRate, setting: Setting) -> String {
    let mut detector = Detector::new(rate, setting);
    let mut keys = String::new();
    let quiet = vec![0; rate.hz() as usize / 10];
    for samples in [samples, &quiet] {
        detector.push(samples, |event| {
            if let Event::KeyDown { digit, .. } = event {
                keys.push(digit.as_char());
            }
        });
    }
    keys
}
