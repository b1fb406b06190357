//! Before the gate has opened the upstream hears nothing, and never any of what opened it: samples
//! compared with those that the caller sent.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::audio::SampleRate;
use tonegate::dtmf::Setting;
use tonegate::dtmf::tone::Pace as Keys;
use tonegate::sim::acs::line::{FRAME, Heard, Keying, Talker};
use tonegate::sim::acs::{Channel, Options};

use super::world::{ANI, Phone, find, keys_in, same, signed, speech};

/// Silence before the first key, as the simulated caller has it.
const LEAD: f64 = 0.107;

struct Case {
    what: &'static str,
    keying: Keying,
    channel: Channel,
    rate: SampleRate,
}

fn cases() -> Vec<Case> {
    let mixed = Channel::Mixed { named: true };
    let case = |what, keying, channel, rate| Case {
        what,
        keying,
        channel,
        rate,
    };
    let long = Keys {
        tone: 0.5,
        gap: 0.1,
        ..Keying::both().pace
    };
    vec![
        case("both", Keying::both(), mixed, SampleRate::Hz24000),
        case("both at 16 kHz", Keying::both(), mixed, SampleRate::Hz16000),
        case(
            "tones, of nobody",
            Keying::tones(),
            Channel::Mixed { named: false },
            SampleRate::Hz24000,
        ),
        case(
            "tones, unmixed",
            Keying::tones(),
            Channel::Unmixed,
            SampleRate::Hz16000,
        ),
        // The store has answered long before the key goes up.
        case(
            "long keys",
            Keying {
                pace: long,
                ..Keying::both()
            },
            mixed,
            SampleRate::Hz24000,
        ),
        // The message says what is dialled long before the tone is heard.
        case(
            "messages far ahead",
            Keying {
                message: Some(-5),
                ..Keying::both()
            },
            mixed,
            SampleRate::Hz24000,
        ),
        case(
            "what leaked of tones",
            Keying {
                tone: Heard::First(Duration::from_millis(15)),
                ..Keying::messages()
            },
            mixed,
            SampleRate::Hz24000,
        ),
        case(
            "messages alone",
            Keying::messages(),
            mixed,
            SampleRate::Hz24000,
        ),
    ]
}

#[tokio::test]
async fn a20_the_upstream_hears_no_sample_of_the_code_and_all_that_comes_after_it() {
    let runs = cases().into_iter().map(async |case| {
        // One line each: the latest connection of the upstream is this call's.
        let phone = Phone::usual().await;
        phone.stores(ANI, "823").await;
        let Case {
            what,
            keying,
            channel,
            rate,
        } = case;
        let options = Options {
            channel,
            rate,
            ..Options::default()
        };
        let call = phone.rings(&phone.dial(&signed("c1")), options).await;
        let (before, after) = (speech(0.4, rate), speech(0.8, rate));
        call.hand.say(Talker::Caller, &before).unwrap();
        call.dials("823", &keying);
        call.until("two keys", |record| record.keys() == 2).await;
        assert_eq!(
            phone.world.upstream_total(),
            0,
            "{what}: dialled for nobody yet"
        );
        // Longer than the second that is waited for where no key is heard going up.
        call.hand
            .pause(Talker::Caller, Duration::from_millis(1400))
            .unwrap();
        call.hand.say(Talker::Caller, &after).unwrap();
        call.hand
            .pause(Talker::Caller, Duration::from_millis(200))
            .unwrap();
        call.until("the voice", |record| {
            find(&after, record.sent(Talker::Caller)).is_some()
        })
        .await;
        let seen = phone
            .world
            .upstream_saw(|seen| {
                let heard = phone.audio(seen);
                find(&after[..after.len() / 2], &heard).is_some()
            })
            .await;
        call.hand.hang_up();
        let record = call.ended().await;
        let heard = phone.audio(&seen);
        let sent = record.sent(Talker::Caller);
        // It is one stretch of what was said, sample for sample, with nothing missing in it.
        let voice_sent = find(&after, sent).unwrap();
        let voice_heard = find(&after[..after.len() / 2], &heard).unwrap();
        let from = voice_sent - voice_heard;
        same(what, &heard, &sent[from..from + heard.len()]);
        // It begins behind the end of the last key.
        let said = find(&before, sent).unwrap();
        let frame = rate.samples_in(FRAME) as usize;
        let keys_from = said + before.len().next_multiple_of(frame);
        let tone = match keying.tone {
            Heard::Whole => keying.pace.tone,
            Heard::First(part) => part.as_secs_f64(),
            Heard::Nothing => 0.0,
        };
        let last = LEAD + 2.0 * (keying.pace.tone + keying.pace.gap) + tone;
        let key_up = keys_from + (last * f64::from(rate.hz())).ceil() as usize;
        assert!(
            from >= key_up,
            "{what}: {} samples too early",
            key_up - from
        );
        let quiet = &heard[..voice_heard];
        assert!(quiet.iter().all(|sample| *sample == 0), "{what}");
        for setting in [Setting::Standard, Setting::Lenient] {
            assert_eq!(keys_in(quiet, rate, setting), "", "{what}");
        }
        assert_eq!(keys_in(&heard, rate, Setting::Standard), "", "{what}");
        if keying.tone == Heard::Whole {
            assert_eq!(
                keys_in(sent, rate, Setting::Standard),
                "823",
                "{what}: the test is deaf"
            );
        }
        assert!(phone.dropped("pending") > 0);
        seen.id
    });
    assert_eq!(join_all(runs).await.len(), 8);
}

/// Neither an entry that was wrong, nor what was said between.
#[tokio::test]
async fn a20_what_was_said_between_wrong_codes_is_not_kept_for_later() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let rate = SampleRate::Hz24000;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let between = speech(0.6, rate);
    call.dials("111", &Keying::both());
    call.hand.say(Talker::Caller, &between).unwrap();
    call.dials("823", &Keying::both());
    let seen = phone.upstream_got(Duration::from_millis(300), rate).await;
    call.hand.hang_up();
    let record = call.ended().await;
    let heard = phone.audio(&seen);
    assert!(heard.iter().all(|sample| *sample == 0));
    assert!(find(&between, record.sent(Talker::Caller)).is_some());
}
