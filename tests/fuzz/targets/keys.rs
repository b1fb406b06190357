//! Names of session keys: no two inputs build one, and none of them is one of our own or has what Redis
//! reads as more than a name.

use std::sync::{Arc, OnceLock};

use tonegate::config::Settings;
use tonegate::ids::{ForeignId, PhoneNumber};
use tonegate::metrics::Metrics;
use tonegate::store::Store;

const OWN: [&str; 18] = [
    "call:",
    "live:",
    "tries:",
    "spent:",
    "fails:",
    "used:",
    "event:",
    "tones:",
    "handoff:",
    "reference:",
    "quiet:",
    "scope:",
    "person:",
    "orders:",
    "running:",
    "running-of:",
    "pace:",
    "limit:",
];

/// Legible, behind a prefix, and hashed.
fn stores() -> &'static [Store; 3] {
    static STORES: OnceLock<[Store; 3]> = OnceLock::new();
    STORES.get_or_init(|| {
        [
            "",
            "prefix = \"env1:\"\n",
            "hmac = \"0123456789abcdef0123456789abcdef\"\n",
        ]
        .map(|lines| {
            let text = format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nplain_text = true\n[store]\n{lines}\
                 [upstreams.v]\nkind = \"voice-live\"\nresource = \"res\"\ncredential = {{ key = \"k\" }}\n\
                 [[routes]]\nname = \"r\"\nkind = \"voice-live\"\npaths = [\"/ws\"]\n\
                 admit = [\"anyone\"]\nmodels = [\"m\"]\nupstreams = [\"v\"]\n"
            );
            let settings = Settings::read_text("fuzz", &text).expect("good settings");
            Store::new(&settings.boot.store, Arc::new(Metrics::new())).expect("a store")
        })
    })
}

/// What a call may bring, as far as it is taken: which kind of key, and its parts.
#[derive(Debug, PartialEq, Eq)]
enum Brought<'a> {
    Pstn(PhoneNumber, &'a str),
    Sip(ForeignId),
    Api(ForeignId),
}

impl Brought<'_> {
    fn of(bytes: &[u8]) -> Option<Brought<'_>> {
        let (kind, rest) = bytes.split_first()?;
        let text = std::str::from_utf8(rest).ok()?;
        match kind % 3 {
            0 => {
                let (ani, code) = text.split_once(' ')?;
                Some(Brought::Pstn(PhoneNumber::new(ani)?, code))
            }
            1 => ForeignId::new(text).map(Brought::Sip),
            _ => ForeignId::new(text).map(Brought::Api),
        }
    }

    fn key(&self, store: &Store) -> Option<String> {
        let keys = store.keys();
        let key = match self {
            Brought::Pstn(ani, code) => keys.pstn(ani, code)?,
            Brought::Sip(id) => keys.sip(id),
            Brought::Api(id) => keys.api(id),
        };
        Some(key.expose().to_owned())
    }
}

/// Two things that calls bring, one a line.
pub fn run(data: &[u8]) {
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let (Some(one), Some(other)) = (lines.next(), lines.next()) else {
        return;
    };
    let (Some(one), Some(other)) = (Brought::of(one), Brought::of(other)) else {
        return;
    };
    for store in stores() {
        let (Some(a), Some(b)) = (one.key(store), other.key(store)) else {
            continue;
        };
        assert_eq!(a == b, one == other, "two inputs, one key");
        for key in [&a, &b] {
            assert!(key.len() <= 300);
            let bare = key.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(bare && !key.contains(['{', '}', '*', '?', '[', ']', '\\', '"', '\'']));
            assert!(
                !OWN.iter().any(|own| key.starts_with(own)),
                "one of our own"
            );
        }
    }
}
