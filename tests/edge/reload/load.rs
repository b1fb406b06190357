//! Loads under load: nobody is dropped, whatever changes beneath.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::harness::KEY;

/// Sessions at one frame a second, sessions at full rate, loads.
fn size() -> (usize, usize, usize) {
    match std::env::var("TONEGATE_SOAK") {
        Ok(value) if value != "0" => (1000, 100, 10),
        _ => (40, 4, 3),
    }
}

/// Talks until it is told to stop; each frame comes back. How many did; those that take their time are
/// counted in `sent` as well.
async fn goes_on(
    mut caller: Caller,
    pause: Duration,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> u64 {
    let mut frames = 0;
    while !stop.load(Ordering::Relaxed) {
        talks(&mut caller, &format!("frame {frames}")).await;
        frames += 1;
        match pause.is_zero() {
            // The others of this thread have their turn.
            true => tokio::task::yield_now().await,
            false => {
                sent.fetch_add(1, Ordering::Relaxed);
                sleep(pause).await;
            }
        }
    }
    talks(&mut caller, "the last").await;
    caller.close(1000, "").await;
    assert_eq!(caller.closed().await, (Some(1000), String::new()));
    frames
}

#[tokio::test]
async fn g14_a39_loads_and_certificate_swaps_under_load_drop_nobody() {
    let (slow, fast, loads) = size();
    raise_descriptors();
    let operator = Operator::with(Wish {
        limits: "unadmitted_per_address = 2000".to_owned(),
        ..Wish::default()
    })
    .await;
    let (stop, sent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::<AtomicU64>::default(),
    );
    let mut sessions = JoinSet::new();
    for n in 0..slow + fast {
        let caller = operator.enters(KEY).await.unwrap();
        let pause = Duration::from_secs(u64::from(n < slow));
        sessions.spawn(goes_on(caller, pause, stop.clone(), sent.clone()));
    }
    let (names, folder) = (["localhost", "127.0.0.1"], &operator.world.folder);
    for n in 1..=loads {
        let before = sent.load(Ordering::Relaxed);
        let identity = operator.world.authority.issue(&names).unwrap();
        fs::write(folder.join("edge.pem"), &identity.chain_pem).unwrap();
        fs::write(folder.join("edge.key"), &identity.key_pem).unwrap();
        // Every other one changes the upstream and the key, too.
        operator.write(|text| match n % 2 {
            0 => text.to_owned(),
            _ => text
                .replacen(
                    "roots = \"ca.pem\"\n",
                    "roots = \"ca.pem\"\nconnect = \"3s\"\n",
                    1,
                )
                .replacen(&Digest::of(KEY).to_hex(), &Digest::of(OTHER).to_hex(), 1),
        });
        let loaded = operator.reload().await.unwrap();
        assert_eq!((loaded.generation, loaded.is_new), (n as u64 + 1, true));
        let (in_force, gone) = if n % 2 == 0 {
            (KEY, OTHER)
        } else {
            (OTHER, KEY)
        };
        assert_eq!(operator.enters(gone).await.err(), Some(401));
        let mut newcomer = operator.enters(in_force).await.unwrap();
        talks(&mut newcomer, "new").await;
        drop(newcomer);
        // As many as there are that send one a second: each has sent one since.
        crate::harness::within("frames", async {
            while sent.load(Ordering::Relaxed) < before + slow as u64 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    let running = format!("tonegate_sessions{{route=\"browser\"}} {}", slow + fast);
    operator.world.metrics_say(&running).await;
    stop.store(true, Ordering::Relaxed);
    let mut ended = 0;
    while let Some(frames) = sessions.join_next().await {
        assert!(frames.unwrap() > 0);
        ended += 1;
    }
    assert_eq!(ended, slow + fast);
    operator.world.settles().await;
    let by_client = "tonegate_sessions_ended_total{route=\"browser\",by=\"client\",\
                     reason=\"client_closed\"} ";
    assert_eq!(operator.world.count(by_client), (slow + fast) as u64);
}

/// A session has four sockets here, where all of its ends are in one process.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
