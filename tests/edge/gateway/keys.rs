//! Issuers change their keys, and strangers make keys up, while people are at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;

use super::app::{App, send};
use crate::harness::Wish;
use crate::tokens::{AUDIENCE, Issued};

async fn office() -> (Arc<Issued>, Arc<App>) {
    let (app, at) = App::start(None).await;
    let wish = Wish {
        more: format!(
            "[upstreams.app]\nkind = \"http\"\nurl = \"http://{at}/app\"\n\
             credential = {{ none = true }}\n\
             [[routes]]\nname = \"api\"\npaths = [\"/api/*\"]\nkind = \"http\"\n\
             admit = [\"users\"]\nupstreams = [\"app\"]\n"
        ),
        ..Wish::default()
    };
    (Arc::new(Issued::with(wish, AUDIENCE, "").await), app)
}

/// A token that was not shown before.
fn fresh(issued: &Issued) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    issued.token(|mint| mint.claims["jti"] = json!(number.to_string()))
}

async fn status(issued: &Issued, token: &str) -> u16 {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let answer = send(&issued.world, "GET /api/cases", &headers, b"").await;
    answer.status
}

#[tokio::test]
async fn c05_an_issuer_changes_its_key_under_load_and_nobody_is_refused() {
    let (issued, app) = office().await;
    let old = fresh(&issued);
    assert_eq!(status(&issued, &old).await, 200);
    let before = issued.provider.counts().keys;
    let sent = Arc::new(AtomicUsize::new(0));
    let wave = |kept: Option<String>| {
        let (issued, sent) = (issued.clone(), sent.clone());
        let caller = move |number: usize| {
            let (issued, sent, kept) = (issued.clone(), sent.clone(), kept.clone());
            async move {
                for turn in 0..8 {
                    if sent.fetch_add(1, Ordering::Relaxed) == 24 {
                        issued.provider.rotate();
                    }
                    // Every second one was signed before, as long as both keys are published.
                    let token = match (turn % 2, &kept) {
                        (1, Some(kept)) => kept.clone(),
                        _ => fresh(&issued),
                    };
                    assert_eq!(status(&issued, &token).await, 200, "{number} {turn}");
                }
            }
        };
        join_all((0..8).map(caller))
    };
    wave(Some(old.clone())).await;
    // One, and one for those who came while it was under way and may have missed the new key.
    let fetched = issued.provider.counts().keys - before;
    assert!((1..=2).contains(&fetched), "{fetched}");
    // The overlap is over.
    issued.provider.retire();
    wave(None).await;
    assert_eq!(app.seen().len(), 1 + 64 + 64);
}

#[tokio::test]
async fn c05_sixty_unknown_keys_under_load_cost_three_fetches_and_no_request() {
    let (issued, app) = office().await;
    assert_eq!(status(&issued, &fresh(&issued)).await, 200);
    let before = issued.provider.counts().keys;
    let caller = |number: usize| {
        let issued = issued.clone();
        async move {
            for turn in 0..10 {
                let kid = format!("made-up-{number}-{turn}");
                let strange = issued.token(|mint| mint.header = json!({ "kid": kid }));
                let refused = status(&issued, &strange).await;
                assert!(matches!(refused, 401 | 503), "{refused}");
                assert_eq!(
                    status(&issued, &fresh(&issued)).await,
                    200,
                    "{number} {turn}"
                );
            }
        }
    };
    join_all((0..6).map(caller)).await;
    let fetched = issued.provider.counts().keys - before;
    assert!((1..=3).contains(&fetched), "{fetched}");
    assert_eq!(app.seen().len(), 1 + 60);
}
