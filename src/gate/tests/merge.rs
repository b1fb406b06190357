//! A22: three feeds, one row of presses.

use super::*;
use proptest::prelude::*;

const FEEDS: [Feed; 3] = Feed::ALL;

/// A gate that never has enough, to see what is counted.
fn open_end() -> config::Gate {
    config::Gate {
        deadline: Duration::from_secs(1000),
        attempts: 1000,
        ..settings(Dialled::SipAlias, CodeLength::UpTo(200))
    }
}

/// Reports in the order of their time; what is new, as text, and the entries that came of it.
fn counted(settings: &config::Gate, reports: &[(Feed, char, u64)]) -> (String, Vec<String>) {
    let mut reports = reports.to_vec();
    reports.sort_by_key(|report| report.2);
    let mut gate = Gate::new(settings);
    let (mut new, mut entries) = (String::new(), Vec::new());
    for (feed, key, at) in reports {
        if gate.press(feed, digit(key), ms(at)) == Press::New {
            new.push(key);
        }
        for want in wants(&mut gate, ms(at)) {
            if let Some((number, code)) = want.strip_prefix("try ").and_then(|t| t.split_once(' '))
            {
                entries.push(code.to_owned());
                gate.answer(number.parse().expect("a number"), Answer::Wrong, ms(at));
            }
        }
    }
    (new, entries)
}

#[test]
fn a22_one_key_on_any_number_of_feeds_counts_once() {
    let report = |feeds: &[Feed], lag: u64| -> Vec<_> {
        let lagging = feeds.iter().zip([0, lag, 2 * lag]);
        lagging
            .map(|(&feed, lag)| (feed, '8', 1000 + lag))
            .collect()
    };
    let mut seen = 0;
    for (a, b, c) in [
        (0, 1, 2),
        (1, 0, 2),
        (2, 0, 1),
        (2, 1, 0),
        (0, 2, 1),
        (1, 2, 0),
    ] {
        let order = [FEEDS[a], FEEDS[b], FEEDS[c]];
        for count in 1..=3 {
            for lag in [0, 40, 250] {
                let reports = report(&order[..count], lag);
                assert_eq!(counted(&open_end(), &reports).0, "8", "{reports:?}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 54);
}

#[test]
fn a22_two_presses_count_twice_on_any_number_of_feeds() {
    for count in 1..=3 {
        for (gap, lag) in [(93, 0), (93, 60), (93, 240), (400, 200), (2000, 200)] {
            let reports: Vec<_> = [1000, 1000 + gap]
                .into_iter()
                .flat_map(|at| {
                    let feeds = FEEDS[..count].iter().zip([0, lag, 2 * lag]);
                    feeds.map(move |(&feed, lag)| (feed, '3', at + lag))
                })
                .collect();
            assert_eq!(counted(&open_end(), &reports).0, "33", "{reports:?}");
        }
    }
}

#[test]
fn a22_beyond_its_window_a_report_is_a_press() {
    // A tone from 1 s on, and another report of the same key.
    let two = |length: u64, feed, at| {
        let mut gate = Gate::new(&open_end());
        gate.press(Feed::InBand, digit('3'), ms(1000));
        gate.release(ms(1000 + length));
        gate.press(feed, digit('3'), ms(at))
    };
    for (length, feed, at, expected) in [
        (100, Feed::Message, 1600, Press::Same),
        (100, Feed::Message, 1601, Press::New),
        (100, Feed::Callback, 4100, Press::Same),
        (100, Feed::Callback, 4101, Press::New),
        // Who presses for long, and a gateway that tells of it afterwards.
        (1500, Feed::Message, 2600, Press::Same),
        (1500, Feed::Message, 3001, Press::New),
        (100, Feed::Message, 500, Press::Same),
        (100, Feed::Message, 499, Press::New),
    ] {
        assert_eq!(two(length, feed, at), expected, "{length} {feed:?} {at}");
    }
    // The slow feed first: half a second is half a second.
    let report = [(Feed::Callback, '3', 1000), (Feed::InBand, '3', 1501)];
    assert_eq!(counted(&open_end(), &report).0, "33");
    // While the tone goes on, but not for ever, nor when the next one has begun.
    let mut gate = Gate::new(&open_end());
    gate.press(Feed::InBand, digit('3'), ms(1000));
    assert_eq!(gate.press(Feed::Message, digit('3'), ms(4000)), Press::Same);
    gate.press(Feed::InBand, digit('4'), ms(5000));
    assert_eq!(gate.press(Feed::Callback, digit('3'), ms(5001)), Press::New);
    assert_eq!(
        gate.press(Feed::Message, digit('4'), ms(15_501)),
        Press::New
    );
}

#[test]
fn a22_what_comes_late_from_before_a_star_does_not_count() {
    use Feed::{InBand, Message};
    // The tone of 2 was missed; its message comes when the tone of * is through.
    let missed = [
        (InBand, '8', 1000),
        (Message, '8', 1200),
        (InBand, '*', 1350),
        (Message, '2', 1400),
        (Message, '*', 1600),
        (InBand, '4', 1700),
        (Message, '4', 1900),
        (InBand, '#', 2500),
    ];
    assert_eq!(
        counted(&open_end(), &missed),
        ("8*4#".into(), vec!["4".into()])
    );
    // The same, and the key after the star is the one that was missed before it.
    let twin = [
        (InBand, '8', 1000),
        (Message, '8', 1200),
        (InBand, '*', 1350),
        (InBand, '2', 1390),
        (Message, '2', 1400),
        (Message, '*', 1600),
        (Message, '2', 1700),
        (InBand, '#', 2500),
    ];
    assert_eq!(
        counted(&open_end(), &twin),
        ("8*2#".into(), vec!["2".into()])
    );
    // A feed that does not know stars is heard again soon.
    let deaf = [
        (InBand, '*', 1000),
        (Message, '4', 1400),
        (InBand, '4', 1410),
        (Message, '5', 1600),
        (InBand, '#', 2500),
    ];
    assert_eq!(
        counted(&open_end(), &deaf),
        ("*45#".into(), vec!["45".into()])
    );
}

#[test]
fn a22_what_comes_late_from_a_tried_entry_does_not_count() {
    use Feed::{Callback, InBand};
    let mut reports = Vec::new();
    for (n, key) in "823#824#".chars().enumerate() {
        reports.push((InBand, key, 1000 + 200 * n as u64));
        if n != 1 {
            reports.push((Callback, key, 3500 + 200 * n as u64));
        }
    }
    // The tone of this one was missed.
    reports.retain(|&(feed, key, at)| !(feed == InBand && key == '3' && at == 1400));
    let (new, entries) = counted(&open_end(), &reports);
    assert_eq!(new, "82#824#");
    assert_eq!(entries, ["82", "824"]);
}

/// Codes of three digits, of feeds of which one misses a key that another tells of later.
#[test]
fn a22_a_key_that_a_faster_feed_missed_stands_where_it_was_pressed() {
    use Feed::{Callback, InBand, Message};
    let entries = |reports: &[(Feed, char, u64)]| counted(&pstn(), reports).1;
    let missed = [
        (InBand, '8', 1000),
        (InBand, '3', 1600),
        (Callback, '8', 3000),
        (Callback, '2', 3300),
        (Callback, '3', 3600),
    ];
    assert_eq!(entries(&missed), ["823"]);
    // Two of them, in an entry whose first key the faster feed has heard.
    let more = [
        (Message, '8', 1000),
        (Message, '4', 1300),
        (InBand, '8', 1350),
        (InBand, '2', 1400),
        (InBand, '4', 1500),
    ];
    assert_eq!(entries(&more), ["824"]);
    // The slower feed has told of nothing yet: nobody knows that it lags.
    let begins = [
        (InBand, '8', 1000),
        (InBand, '2', 1300),
        (Callback, '3', 1900),
    ];
    assert_eq!(entries(&begins), ["823"]);
    // It has, and it will tell no more of what came since then.
    let overtaken = [
        (Message, '8', 1000),
        (Callback, '8', 1100),
        (Message, '2', 1300),
        (Callback, '3', 4301),
    ];
    assert_eq!(entries(&overtaken), ["823"]);
    // The first key of the second entry, which is behind the end of the first.
    let second = [
        (InBand, '8', 1000),
        (InBand, '2', 1300),
        (InBand, '4', 1600),
        (Callback, '8', 1700),
        (Callback, '2', 1800),
        (Callback, '4', 1900),
        (InBand, '2', 2500),
        (InBand, '3', 2800),
        (Callback, '8', 3300),
        (Callback, '2', 3400),
        (Callback, '3', 3500),
    ];
    assert_eq!(entries(&second), ["824", "823"]);
}

/// A gate that asks whether 824 is right, and has heard more keys since then.
fn asking(more: &str) -> Gate {
    let mut gate = Gate::new(&pstn());
    let keys = "824".chars().chain(more.chars());
    for (at, key) in (1000..).step_by(200).zip(keys) {
        gate.press(Feed::InBand, digit(key), ms(at));
    }
    assert_eq!(wants(&mut gate, ms(2300)), ["prompt", "try 1 824"]);
    gate
}

/// The same while the first entry is being tried, so that keys are held, those of a third among them.
#[test]
fn a22_a_missed_key_stands_where_it_was_pressed_also_among_those_that_are_held() {
    let mut gate = asking("837");
    for (at, key) in (2400..).step_by(100).zip("8248237".chars()) {
        gate.press(Feed::Callback, digit(key), ms(at));
    }
    gate.answer(1, Answer::Wrong, ms(3200));
    assert_eq!(wants(&mut gate, ms(3200)), ["retry", "try 2 823"]);
    gate.answer(2, Answer::Wrong, ms(3300));
    dial(&mut gate, Feed::InBand, "46", ms(3400));
    assert_eq!(wants(&mut gate, ms(3700)), ["retry", "try 3 746"]);
}

/// An end that was missed ends what was told before it was, whatever of that came after it.
#[test]
fn a22_an_end_that_is_told_late_stands_where_it_was_told() {
    let mut gate = asking("82");
    for (at, key) in (2400..).step_by(100).zip("8248*".chars()) {
        gate.press(Feed::Callback, digit(key), ms(at));
    }
    gate.answer(1, Answer::Wrong, ms(3000));
    dial(&mut gate, Feed::InBand, "823", ms(4000));
    assert_eq!(wants(&mut gate, ms(5000)), ["retry", "try 2 823"]);
}

#[test]
fn a22_a_feed_that_is_off_is_not_heard() {
    for off in FEEDS {
        let mut settings = open_end();
        match off {
            Feed::InBand => settings.feeds.in_band = false,
            Feed::Message => settings.feeds.messages = false,
            Feed::Callback => settings.feeds.callbacks = false,
        }
        let mut gate = Gate::new(&settings);
        for feed in FEEDS {
            let expected = if feed == off {
                Press::Ignored
            } else {
                Press::New
            };
            let key = char::from(b'1' + feed as u8);
            assert_eq!(gate.press(feed, digit(key), ms(1000)), expected);
        }
    }
}

#[test]
fn the_row_is_bounded_and_a_flood_only_spoils_its_own() {
    let mut gate = Gate::new(&open_end());
    for n in 0..10_000 {
        gate.press(Feed::Message, digit('7'), ms(n));
    }
    assert!(gate.presses.len() <= 64 && gate.held.len() <= HELD_MAX);
    assert_eq!(
        gate.press(Feed::Message, digit('#'), ms(10_000)),
        Press::New
    );
    assert_eq!(wants(&mut gate, ms(10_000)), ["prompt", "retry"]);
}

/// Keys with their times and what each feed makes of them: `None` where it is lost.
#[derive(Clone, Debug)]
struct Line {
    keys: Vec<(char, u64)>,
    reports: Vec<(Feed, char, u64)>,
}

/// `lossy`: the slower feeds may lose keys.
fn line(lossy: bool) -> impl Strategy<Value = Line> {
    let key = (
        proptest::sample::select("1233344#*".chars().collect::<Vec<_>>()),
        93u64..900,
        proptest::array::uniform3(0u64..30),
        proptest::array::uniform2(0u8..10),
    );
    (
        proptest::collection::vec(key, 1..40),
        1u64..450,
        1u64..2900,
        proptest::array::uniform2(any::<bool>()),
    )
        .prop_map(move |(keys, lag, slow, present)| {
            let mut at = 1000;
            let mut line = Line {
                keys: Vec::new(),
                reports: Vec::new(),
            };
            // A feed tells keys in their order, however late.
            let mut last = [0; 3];
            for (key, gap, jitter, lost) in keys {
                at += gap;
                line.keys.push((key, at));
                for (i, (feed, lag)) in FEEDS.into_iter().zip([0, lag, slow]).enumerate() {
                    let is_lost = i > 0 && (!present[i - 1] || (lossy && lost[i - 1] == 0));
                    if !is_lost {
                        last[i] = (at + lag + jitter[i]).max(last[i]);
                        line.reports.push((feed, key, last[i]));
                    }
                }
            }
            line
        })
}

/// Different keys in some order, which of them but the first the fast feed missed, from key to key,
/// and how slow the other feed is.
fn gaps() -> impl Strategy<Value = (Vec<char>, Vec<bool>, u64, u64)> {
    let keys = Just("0123456789".chars().collect::<Vec<_>>()).prop_shuffle();
    let missed = proptest::collection::vec(any::<bool>(), 10);
    (keys, missed, 93u64..250, 0u64..2900)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the fast feed misses, and however slow the other is.
    #[test]
    fn a22_a_slow_feed_that_tells_all_mends_what_a_fast_one_missed(
        (keys, missed, pace, lag) in gaps(),
    ) {
        let settings = settings(Dialled::SipAlias, CodeLength::Fixed(10));
        let mut reports = Vec::new();
        for (n, key) in keys.iter().enumerate() {
            let at = 1000 + pace * n as u64;
            if n == 0 || !missed[n] {
                reports.push((Feed::InBand, *key, at));
            }
            reports.push((Feed::Callback, *key, at + lag));
        }
        let truth: String = keys.iter().collect();
        prop_assert_eq!(counted(&settings, &reports).1, vec![truth]);
    }

    /// Whatever the lag of the others, and whatever keys repeat: each press counts once, in order.
    #[test]
    fn a22_feeds_that_tell_all_keys_merge_into_the_keys(line in line(false)) {
        let truth: String = line.keys.iter().map(|key| key.0).collect();
        prop_assert_eq!(counted(&open_end(), &line.reports).0, truth);
    }

    /// And so while one hears all, at once, and the others lose some.
    #[test]
    fn a22_a_slower_feed_may_lose_keys(line in line(true)) {
        let truth: String = line.keys.iter().map(|key| key.0).collect();
        prop_assert_eq!(counted(&open_end(), &line.reports).0, truth);
    }
}
