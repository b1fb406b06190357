//! The works that are counted, and the fences between which they are.

use std::fmt::Display;
use std::hint::black_box;

use bytes::BytesMut;
use tokio::runtime::Runtime;
use tonegate::audio::SampleRate;
use tonegate::config::Dtmf;
use tonegate::dtmf::{Detector, Setting, Width};
use tonegate::tap::Tap;
use tonegate::ws::Role;

use super::works::carry::{Rig, runtime};
use super::works::follow::{READ, follow};
use super::works::hear::{frame, hear, sounds};
use super::works::message::{
    KEY, PLAIN, appends, audio_data, delta, interrupted_answers, stream, text,
};
use super::works::translate::{down, interrupted, open, up};

/// Messages in a stream.
const MESSAGES: usize = 64;
/// Times that a work is done between its fences.
const TIMES: usize = 4;

/// A loop of the test's own: what it takes tells an optimised build from another.
pub(super) const LOOP: [&str; 2] = ["itself", "loop"];

/// Callgrind ends a part of its count whenever this is called.
#[inline(never)]
fn fence() {
    black_box(());
}

/// Does all works, each once beforehand, and tells what was counted: for each part a line, in order.
/// Parts without a name are what lies between.
pub(super) fn run() {
    println!("\npart"); // up to the first fence
    for group in [itself, detector, scan, tap, bridge, relay] {
        group();
    }
}

/// Counts `work`, which does `each` things at once.
fn count(group: &str, name: impl Display, each: usize, mut work: impl FnMut()) {
    work();
    fence();
    for _ in 0..TIMES {
        work();
    }
    fence();
    println!("part\t{group}\t{name}\t{}\npart", each * TIMES);
}

fn itself() {
    let [group, name] = LOOP;
    count(group, name, 1000, || {
        for i in 0..1000_u32 {
            black_box(i);
        }
    });
}

/// A frame of 20 ms.
fn detector() {
    for rate in SampleRate::ALL {
        let hz = rate.hz();
        for (sound, audio) in sounds(rate) {
            let frames = audio.len() / frame(rate);
            if ["noise", "silence", "key held"].contains(&sound) {
                let mut detector = Detector::new(rate, Setting::Standard);
                count("detector", format!("{hz} Hz, {sound}"), frames, || {
                    hear(&mut detector, &audio, rate);
                });
            }
            if sound == "noise" {
                let mut detector = Detector::with_width(rate, Setting::Standard, Width::Plain);
                count(
                    "detector",
                    format!("{hz} Hz, {sound}, plain"),
                    frames,
                    || {
                        hear(&mut detector, &audio, rate);
                    },
                );
            }
        }
    }
}

/// A frame.
fn scan() {
    for (role, key, says) in [
        (Role::Client, KEY, "masked"),
        (Role::Server, PLAIN, "unmasked"),
    ] {
        for (length, message) in [("5 bytes", "hello".to_owned()), ("1 KB", text(1024))] {
            let stream = repeated(&message, key);
            let one = stream.len() / MESSAGES;
            for (read, reads) in [(one, "one a read"), (READ, "in a burst")] {
                let name = format!("{length} {says}, {reads}");
                count("scan", name, MESSAGES, || {
                    assert_eq!(follow(black_box(&stream), read, role, None), MESSAGES);
                });
            }
        }
    }
}

/// A message, the finding of its frame with it.
fn tap() {
    let appends = appends(MESSAGES);
    let appends = stream(appends.iter().map(String::as_str), KEY);
    let text = repeated(&text(1024), KEY);
    let delta = repeated(&delta(), PLAIN);
    let mut looking = Tap::default();
    looking.set_glance(true);
    let client = [
        ("counted", Tap::default()),
        ("listened to", Tap::on_client()),
        ("looked at", looking),
    ];
    for (how, mut tap) in client {
        for (name, stream) in [("append of 20 ms", &appends), ("text of 1 KB", &text)] {
            count("tap", format!("{name}, {how}"), MESSAGES, || {
                follow(black_box(stream), READ, Role::Client, Some(&mut tap));
            });
        }
        assert_eq!(tap.counts().unheard, 0);
    }
    let service = [
        ("counted", Tap::default()),
        ("read for formats", Tap::on_service()),
    ];
    for (how, mut tap) in service {
        count("tap", format!("delta of 200 ms, {how}"), MESSAGES, || {
            follow(black_box(&delta), READ, Role::Server, Some(&mut tap));
        });
    }
}

/// A message.
fn bridge() {
    let said = repeated(&audio_data(), KEY);
    let mut out = Vec::new();
    for (how, mask_tones) in [("", false), (", tones masked", true)] {
        let mut bridge = open(mask_tones);
        count("bridge", format!("up 20 ms{how}"), MESSAGES, || {
            up(&mut bridge, black_box(&said), &mut out);
        });
        assert_eq!(bridge.counts().up.dropped, 0);
    }
    let said = repeated(&delta(), PLAIN);
    let mut bridge = open(false);
    count("bridge", "down 200 ms", MESSAGES, || {
        down(&mut bridge, black_box(&said), &mut out);
    });
    assert_eq!(bridge.counts().down.dropped, 0);
    let answers = interrupted_answers();
    let said = stream(answers.iter().map(String::as_str), PLAIN);
    let mut bridge = open(false);
    count("bridge", "answers interrupted", answers.len(), || {
        interrupted(&mut bridge, black_box(&said), &mut out);
    });
    let counts = bridge.counts().down;
    assert!(counts.interrupted > 0 && counts.dropped == counts.audio);
}

/// A message, with what the pipes and the peers at their ends take.
fn relay() {
    let runtime = runtime();
    let text = text(1024);
    let alone = |key| [stream([text.as_str()], key)];
    let burst = |key| [stream(vec![text.as_str(); 16], key)];
    let mut rig = runtime.block_on(Rig::forwarded(Dtmf::Off));
    cross(
        &runtime,
        "up 1 KB, one a wake",
        1,
        &alone(KEY),
        async |batch| {
            rig.up(batch, batch.len()).await;
        },
    );
    cross(
        &runtime,
        "up 1 KB, bursts of 16",
        16,
        &burst(KEY),
        async |batch| {
            rig.up(batch, batch.len()).await;
        },
    );
    cross(
        &runtime,
        "down 1 KB, one a wake",
        1,
        &alone(PLAIN),
        async |batch| {
            rig.down(batch, batch.len()).await;
        },
    );
    cross(
        &runtime,
        "down 1 KB, bursts of 16",
        16,
        &burst(PLAIN),
        async |batch| {
            rig.down(batch, batch.len()).await;
        },
    );
    let mut rig = runtime.block_on(Rig::forwarded(Dtmf::Observe));
    let one = |append: &String| stream([append.as_str()], KEY);
    let appends: Vec<BytesMut> = appends(MESSAGES).iter().map(one).collect();
    let name = "up append of 20 ms, listened to";
    cross(&runtime, name, 1, &appends, async |batch| {
        rig.up(batch, batch.len()).await;
    });
}

/// Counts the crossing of [`MESSAGES`] messages, `each` of them in a batch.
fn cross(
    runtime: &Runtime,
    name: &str,
    each: usize,
    batches: &[BytesMut],
    mut way: impl AsyncFnMut(&BytesMut),
) {
    count("relay", name, MESSAGES, || {
        runtime.block_on(async {
            for batch in batches.iter().cycle().take(MESSAGES / each) {
                way(batch).await;
            }
        });
    });
}

fn repeated(message: &str, key: Option<[u8; 4]>) -> BytesMut {
    stream(std::iter::repeat_n(message, MESSAGES), key)
}
