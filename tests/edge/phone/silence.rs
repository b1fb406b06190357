//! Before the gate has opened the upstream hears nothing, and never any of what opened it: samples
//! compared with those that the caller sent.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::audio::SampleRate;
use tonegate::dtmf::Setting;
use tonegate::dtmf::tone::Pace as Keys;
use tonegate::sim::acs::line::{FRAME, Heard, Keying, Talker};
use tonegate::sim::acs::{Channel, Options};

use super::spandsp::keys_heard;
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

impl Case {
    /// A call in which something is said, the code is dialled, and something is said again. What the
    /// caller sent, and what the upstream got.
    async fn run(&self) -> (Vec<i16>, Vec<i16>) {
        // One line each: the latest connection of the upstream is this call's.
        let phone = Phone::usual().await;
        phone.stores(ANI, "823").await;
        let options = Options {
            channel: self.channel,
            rate: self.rate,
            ..Options::default()
        };
        let call = phone.rings(&phone.dial(&signed("c1")), options).await;
        let after = self.after();
        let say = |samples: &[i16]| call.hand.say(Talker::Caller, samples).unwrap();
        let pause = |ms| {
            let length = Duration::from_millis(ms);
            call.hand.pause(Talker::Caller, length).unwrap();
        };
        say(&self.before());
        call.dials("823", &self.keying);
        call.until("two keys", |record| record.keys() == 2).await;
        assert_eq!(phone.world.upstream_total(), 0, "{}: too early", self.what);
        // Longer than the second that is waited for where no key is heard going up.
        pause(1400);
        say(&after);
        pause(200);
        let is_said = |sent: &[i16]| find(&after, sent).is_some();
        call.until("the voice", |record| is_said(record.sent(Talker::Caller)))
            .await;
        let seen = phone
            .world
            .upstream_saw(|seen| find(&after[..after.len() / 2], &phone.audio(seen)).is_some())
            .await;
        call.hand.hang_up();
        let record = call.ended().await;
        phone.ended("client", "client_closed", 1).await;
        assert!(phone.dropped("pending") > 0);
        (record.sent(Talker::Caller).to_vec(), phone.audio(&seen))
    }

    fn before(&self) -> Vec<i16> {
        speech(0.4, self.rate)
    }

    fn after(&self) -> Vec<i16> {
        speech(0.8, self.rate)
    }

    /// Where the last key goes up, in samples from the frame in which the first is dialled.
    fn key_up(&self) -> usize {
        let tone = match self.keying.tone {
            Heard::Whole => self.keying.pace.tone,
            Heard::First(part) => part.as_secs_f64(),
            Heard::Nothing => 0.0,
        };
        let pace = &self.keying.pace;
        let last = LEAD + 2.0 * (pace.tone + pace.gap) + tone;
        (last * f64::from(self.rate.hz())).ceil() as usize
    }

    /// What the upstream got is one stretch of what was said, sample for sample, from somewhere
    /// behind the last key on.
    async fn judge(&self, sent: &[i16], heard: &[i16]) {
        let (what, rate) = (self.what, self.rate);
        let (before, after) = (self.before(), self.after());
        let voice_sent = find(&after, sent).unwrap();
        let voice_heard = find(&after[..after.len() / 2], heard).unwrap();
        let from = voice_sent - voice_heard;
        same(what, heard, &sent[from..from + heard.len()]);
        let frame = rate.samples_in(FRAME) as usize;
        let said = find(&before, sent).unwrap() + before.len().next_multiple_of(frame);
        let key_up = said + self.key_up();
        assert!(from >= key_up, "{what}: too early by {}", key_up - from);
        let quiet = &heard[..voice_heard];
        assert!(quiet.iter().all(|sample| *sample == 0), "{what}");
        for setting in [Setting::Standard, Setting::Lenient] {
            assert_eq!(keys_in(quiet, rate, setting), "", "{what}");
        }
        assert_eq!(keys_in(heard, rate, Setting::Standard), "", "{what}");
        assert_eq!(keys_heard(heard, rate).await, 0, "{what}: by spandsp");
        if self.keying.tone == Heard::Whole {
            assert_eq!(keys_heard(sent, rate).await, 3, "{what}: spandsp is deaf");
            let keys = keys_in(sent, rate, Setting::Standard);
            assert_eq!(keys, "823", "{what}: the test is deaf");
        }
    }
}

#[tokio::test]
async fn a20_the_upstream_hears_no_sample_of_the_code_and_all_that_comes_after_it() {
    let cases = cases();
    let runs = cases.iter().map(async |case| {
        let (sent, heard) = case.run().await;
        case.judge(&sent, &heard).await;
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
