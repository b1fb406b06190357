//! What reaches the edge of a request that `tonegate doctor` sends to its public address.
//!
//! Proxies in front change requests, and nobody sees that from outside. So doctor asks the admin
//! listener for a word that nobody can guess, sends it along once, and asks the admin listener what the
//! edge saw: names of headers, and digests of the few values that matter. The answer that the request
//! itself gets is what anybody's would be; without a word from the admin listener nothing is kept and
//! nothing is done.
//!
//! With its word the request may also be kept waiting for as long as the admin listener was told, in
//! order to find out who between doctor and edge ends connections that are idle.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::ids::SessionId;
use crate::secret::Digest;

/// Carries the word.
pub const WITNESS: HeaderName = HeaderName::from_static("x-tonegate-witness");
/// Whose values are told as digests: what ACS sends, and admission hangs on.
pub const WATCHED: [HeaderName; 3] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-ms-call-connection-id"),
    HeaderName::from_static("x-ms-call-correlation-id"),
];

/// Words that are out at a time: doctor needs two, and more than one person may run it.
const AWAITED_MAX: usize = 8;
/// From the word to its request, and from there to the question what became of it.
const LIFE: Duration = Duration::from_secs(60);
/// The longest wait: beyond it no box that is in use cuts an idle connection.
pub const HOLD_MAX: Duration = Duration::from_secs(900);

/// Requests that are awaited.
#[derive(Default)]
pub struct Witness(Mutex<Vec<Awaited>>);

struct Awaited {
    word: Digest,
    until: Instant,
    hold: Duration,
    seen: Option<Value>,
}

impl Witness {
    /// A new word, with which one request may come that then waits so long; `None`: too many are out.
    fn expect(&self, hold: Duration, now: Instant) -> Option<String> {
        let mut awaited = self.awaited(now);
        if awaited.len() == AWAITED_MAX {
            return None;
        }
        let word = SessionId::random().to_string();
        awaited.push(Awaited {
            word: Digest::of(&word),
            until: now + LIFE + hold,
            hold,
            seen: None,
        });
        Some(word)
    }

    /// Notes a request that has a word, and waits as long as it is to wait.
    pub(super) async fn heed<B>(&self, request: &Request<B>) {
        let hold = self.note(request, Instant::now());
        if !hold.is_zero() {
            tokio::time::sleep(hold).await;
        }
    }

    /// Notes a request that has a word; how long it is to wait for its answer.
    fn note<B>(&self, request: &Request<B>, now: Instant) -> Duration {
        let Some(word) = request.headers().get(WITNESS) else {
            return Duration::ZERO;
        };
        let word = Digest::of_bytes(word.as_bytes());
        let mut awaited = self.awaited(now);
        let ours = awaited.iter_mut().find(|it| it.word.is(&word));
        match ours.filter(|it| it.seen.is_none()) {
            None => Duration::ZERO,
            Some(ours) => {
                ours.seen = Some(seen(request));
                ours.hold
            }
        }
    }

    /// What the request of this word was like. The outer `None`: there is no such word; the inner one:
    /// it has not come.
    fn told(&self, word: &str, now: Instant) -> Option<Option<Value>> {
        let word = Digest::of(word);
        let awaited = self.awaited(now);
        let ours = awaited.iter().find(|it| it.word.is(&word))?;
        Some(ours.seen.clone())
    }

    /// Those that are still awaited.
    fn awaited(&self, now: Instant) -> MutexGuard<'_, Vec<Awaited>> {
        // What is written under the lock is written whole.
        let mut awaited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.retain(|it| now < it.until);
        awaited
    }

    /// Answers `POST /witness?hold=SECONDS` and `GET /witness/WORD` of whoever may ask the admin listener.
    pub(super) fn answer(&self, head: &Parts, now: Instant) -> (StatusCode, Value) {
        let word = head.uri.path().strip_prefix("/witness/");
        match (&head.method, word) {
            (&Method::POST, None) => {
                let hold = hold(head.uri.query());
                let Some(hold) = hold.filter(|hold| *hold <= HOLD_MAX) else {
                    let what = "hold must be a number of seconds, at most 900";
                    return (StatusCode::BAD_REQUEST, json!({ "detail": what }));
                };
                match self.expect(hold, now) {
                    Some(word) => (StatusCode::OK, json!({ "word": word })),
                    None => {
                        let what = "too many requests are awaited; wait a minute";
                        (StatusCode::TOO_MANY_REQUESTS, json!({ "detail": what }))
                    }
                }
            }
            (&Method::GET, Some(word)) => match self.told(word, now) {
                Some(seen) => (StatusCode::OK, json!({ "seen": seen })),
                None => {
                    let what = "no such request is awaited";
                    (StatusCode::NOT_FOUND, json!({ "detail": what }))
                }
            },
            _ => {
                let what = "POST /witness, then GET /witness/WORD";
                (StatusCode::METHOD_NOT_ALLOWED, json!({ "detail": what }))
            }
        }
    }
}

fn hold(query: Option<&str>) -> Option<Duration> {
    let Some(query) = query else {
        return Some(Duration::ZERO);
    };
    let seconds = query.strip_prefix("hold=")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Names, and digests of what is watched: nothing from which a credential could be had.
fn seen<B>(request: &Request<B>) -> Value {
    let headers = request.headers();
    let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    let query = request.uri().query().unwrap_or("");
    json!({
        "names": names,
        "query": Digest::of(query).to_hex(),
        "values": digests(headers),
    })
}

fn digests(headers: &HeaderMap) -> Value {
    let mut digests = Map::new();
    for name in WATCHED {
        let mut all = headers.get_all(&name).iter();
        if let (Some(value), None) = (all.next(), all.next()) {
            let digest = Digest::of_bytes(value.as_bytes()).to_hex();
            digests.insert(name.as_str().to_owned(), digest.into());
        }
    }
    Value::Object(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, target: &str) -> Request<()> {
        let request = Request::builder().method(method).uri(target);
        request
            .header(header::HOST, "localhost:9464")
            .body(())
            .unwrap()
    }

    fn answer(
        witness: &Witness,
        method: Method,
        target: &str,
        now: Instant,
    ) -> (StatusCode, Value) {
        witness.answer(&ask(method, target).into_parts().0, now)
    }

    fn with(word: &str) -> Request<()> {
        let mut request = ask(Method::GET, "/ws?s=the-secret");
        let headers = request.headers_mut();
        headers.insert(WITNESS, word.parse().unwrap());
        headers.insert(header::AUTHORIZATION, "Bearer the-token".parse().unwrap());
        request
    }

    fn word(witness: &Witness, target: &str, now: Instant) -> String {
        let (status, told) = answer(witness, Method::POST, target, now);
        assert_eq!(status, StatusCode::OK);
        told["word"].as_str().unwrap().to_owned()
    }

    #[test]
    fn s16_nothing_is_kept_or_waits_for_a_word_that_the_admin_listener_did_not_give() {
        let (witness, now) = (Witness::default(), Instant::now());
        assert_eq!(witness.note(&with("guessed"), now), Duration::ZERO);
        let (status, _) = answer(&witness, Method::GET, "/witness/guessed", now);
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(witness.awaited(now).is_empty());
    }

    #[test]
    fn s16_a_word_is_good_for_one_request_and_tells_names_and_digests_only() {
        let (witness, now) = (Witness::default(), Instant::now());
        let word = word(&witness, "/witness?hold=7", now);
        let told = |now| answer(&witness, Method::GET, &format!("/witness/{word}"), now);
        assert_eq!(told(now).1["seen"], Value::Null);
        assert_eq!(witness.note(&with(&word), now), Duration::from_secs(7));
        let seen = told(now).1;
        let names = seen["seen"]["names"].as_array().unwrap();
        assert!(names.contains(&"authorization".into()), "{names:?}");
        let digest = Digest::of("Bearer the-token").to_hex();
        assert_eq!(seen["seen"]["values"]["authorization"], digest);
        for canary in ["the-token", "the-secret"] {
            assert!(!seen.to_string().contains(canary));
        }
        // A second one neither waits nor changes anything.
        let mut again = with(&word);
        again.headers_mut().remove(header::AUTHORIZATION);
        assert_eq!(witness.note(&again, now), Duration::ZERO);
        assert_eq!(told(now).1, seen);
        let later = now + LIFE + Duration::from_secs(8);
        assert_eq!(told(later).0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn s16_words_that_are_out_and_their_waits_are_bounded() {
        let (witness, now) = (Witness::default(), Instant::now());
        for bad in [
            "/witness?hold=901",
            "/witness?hold=-1",
            "/witness?hold",
            "/witness?x=1",
        ] {
            let (status, _) = answer(&witness, Method::POST, bad, now);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        }
        for _ in 0..AWAITED_MAX {
            word(&witness, "/witness", now);
        }
        let (status, _) = answer(&witness, Method::POST, "/witness", now);
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        word(&witness, "/witness", now + LIFE);
        let (status, _) = answer(&witness, Method::DELETE, "/witness", now);
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
}
