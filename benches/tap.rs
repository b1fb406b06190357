//! What does it cost to look at what passes, beside finding the frames alone? Counted, as on every
//! route; heard, as on a route that observes keys: audio unmasked, decoded, listened to.
//!
//! Appends are noise, the dearest to listen to. Text is what is no audio, and to be told from it by
//! its first bytes. A delta is the service's, of whose messages only what it says of formats matters.

mod works;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tonegate::tap::Tap;
use tonegate::ws::Role;

use works::follow::{READ, follow};
use works::message::{KEY, PLAIN, appends, delta, stream, text};

/// Messages of a round: of appends some 130 KiB, more than a first-level cache.
const MESSAGES: usize = 100;

fn tap(criterion: &mut Criterion) {
    let appends = appends(MESSAGES);
    let text = vec![text(1360); MESSAGES];
    let delta = vec![delta(); MESSAGES];
    let looking = || {
        let mut tap = Tap::on_client();
        tap.set_glance(true);
        tap
    };
    for (name, messages, role, heard) in [
        ("tap/append of 20 ms", appends, Role::Client, true),
        ("tap/text of 1360 bytes", text, Role::Client, true),
        ("tap/delta of 200 ms", delta, Role::Server, false),
    ] {
        let key = if role == Role::Client { KEY } else { PLAIN };
        let stream = stream(messages.iter().map(String::as_str), key);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(MESSAGES as u64));
        group.bench_function("found", |bench| {
            bench.iter(|| follow(black_box(&stream), READ, role, None));
        });
        let mut taps = vec![("counted", Tap::default())];
        if heard {
            taps.push(("listened to", Tap::on_client()));
            taps.push(("listened to and looked at", looking()));
        } else {
            taps.push(("read for formats", Tap::on_service()));
        }
        for (name, mut tap) in taps {
            follow(&stream, READ, role, Some(&mut tap));
            let counts = tap.counts();
            assert!(counts.messages == MESSAGES as u64 && counts.unheard == 0);
            group.bench_function(name, |bench| {
                bench.iter(|| follow(black_box(&stream), READ, role, Some(&mut tap)));
            });
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = works::brief(); targets = tap }
criterion_main!(benches);
