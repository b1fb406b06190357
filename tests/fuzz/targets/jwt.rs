//! Tokens: nothing enters but the very tokens that the issuer signed, whatever is made of them.

use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};
use tonegate::admission::{Admission, Now, Request, Told};
use tonegate::config::{Live, Settings};
use tonegate::metrics::Metrics;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::{Algorithm, Mint};
use tonegate::sim::issuer::{Issuer, Options};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

struct Edge {
    runtime: Runtime,
    live: Live,
    admission: Admission,
    /// One of each algorithm.
    good: Vec<String>,
}

fn edge() -> &'static Edge {
    static EDGE: OnceLock<Edge> = OnceLock::new();
    EDGE.get_or_init(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let authority = Authority::new("fuzz");
        let options = Options {
            identity: Some(authority.issue(&["localhost"]).expect("an identity")),
            ..Options::loopback()
        };
        let issuer = runtime.block_on(Issuer::bind(options)).expect("a socket");
        let provider = issuer.provider();
        runtime.spawn(issuer.serve(Default::default()));
        let roots = std::env::temp_dir().join(format!("tonegate-fuzz-{}.pem", std::process::id()));
        std::fs::write(&roots, authority.pem()).expect("a file");
        let text = settings(&provider.base(), &roots);
        let live = Settings::read_text("fuzz", &text)
            .expect("good settings")
            .live;
        std::fs::remove_file(roots).expect("a file");
        let admission = Admission::new(&live, &Arc::new(Metrics::new())).expect("an admission");
        for keys in admission.issuer_keys() {
            runtime.spawn(async move { keys.run().await });
        }
        let good = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(|algorithm| {
            let mut mint = Mint::entra_v2(&provider.base(), TENANT, "api://edge");
            mint.algorithm = algorithm;
            provider.mint(&mint)
        });
        let edge = Edge {
            runtime,
            live,
            admission,
            good: good.to_vec(),
        };
        for token in &edge.good {
            assert!(edge.enters(token), "a good token");
        }
        edge
    })
}

fn settings(base: &str, roots: &std::path::Path) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nplain_text = true\n\
         [issuers.users]\nkind = \"entra\"\nauthority = \"{base}\"\ntenants = [\"{TENANT}\"]\n\
         audience = [\"api://edge\"]\nalgorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\n\
         roots = \"{}\"\n\
         [upstreams.v]\nkind = \"voice-live\"\nresource = \"res\"\ncredential = {{ key = \"k\" }}\n\
         [[routes]]\nname = \"r\"\npaths = [\"/ws\"]\nkind = \"voice-live\"\n\
         admit = [\"users\"]\nmodels = [\"m\"]\nupstreams = [\"v\"]\n\
         limits = {{ sessions = 1000000, sessions_per_address = 1000000, upgrades = \"100000000/s\" }}\n",
        roots.display(),
    )
}

impl Edge {
    fn enters(&self, token: &str) -> bool {
        let request = http::Request::builder().uri("/ws?model=m");
        let Ok(request) = request
            .header("authorization", format!("Bearer {token}"))
            .body(())
        else {
            return false;
        };
        let (head, ()) = request.into_parts();
        let asked = Request {
            route: &self.live.routes[0],
            head: &head,
            peer: [192, 0, 2, 1].into(),
            by_hop: false,
            certificate: None,
            now: Now::read(),
        };
        let mut told = Told::nobody();
        let decided = self.admission.decide(asked, &mut told);
        self.runtime.block_on(decided).is_ok()
    }
}

/// The first byte says what is made of which token: the rest of the input is the whole token, its header,
/// its claims, its signature, or what is changed in it.
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let edge = edge();
    let good = &edge.good[usize::from(how / 8) % edge.good.len()];
    let parts: Vec<&str> = good.split('.').collect();
    let told = base64url(rest);
    let token = match how % 8 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 | 5 => format!("{told}.{}.{}", parts[1], parts[2]),
        2 | 6 => format!("{}.{told}.{}", parts[0], parts[2]),
        3 => format!("{}.{}.{told}", parts[0], parts[1]),
        _ => changed(good, rest),
    };
    let entered = edge.enters(&token);
    assert_eq!(entered, edge.good.contains(&token), "{token}");
}

/// Pairs of a place and what is done to the byte there.
fn changed(token: &str, edits: &[u8]) -> String {
    let mut bytes = token.as_bytes().to_vec();
    for edit in edits.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        // Anything that a header may hold.
        bytes[at] = b'!' + edit[2] % 94;
    }
    String::from_utf8(bytes).expect("ASCII")
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = u32::from(three[0]) << 16
            | u32::from(three.get(1).copied().unwrap_or(0)) << 8
            | u32::from(three.get(2).copied().unwrap_or(0));
        for i in 0..=three.len() {
            let at = (word >> (18 - 6 * i)) & 63;
            text.push(char::from(LETTERS[at as usize]));
        }
    }
    text
}
