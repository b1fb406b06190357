//! A24: what the second look finds, and what becomes of it.

use super::*;
use proptest::prelude::*;

/// `8 3 #` at 1 s, 1.6 s and 2.2 s; the 2 between them was missed.
fn short(gate: &mut Gate) -> Look {
    wants(gate, Duration::ZERO);
    for (key, at) in [('8', 1000), ('3', 1600), ('#', 2200)] {
        gate.press(Feed::InBand, digit(key), ms(at));
    }
    let Some(Want::Look(look)) = gate.poll(ms(2200)) else {
        unreachable!("the entry is short");
    };
    look
}

fn found(keys: &[(char, u64)]) -> Found {
    let mut found = Found::nothing();
    keys.iter()
        .for_each(|&(key, at)| found.add(digit(key), ms(at)));
    found
}

fn looking() -> config::Gate {
    config::Gate {
        second_look: true,
        ..pstn()
    }
}

#[test]
fn a24_a_short_entry_is_looked_for_once_in_the_same_attempt() {
    let mut gate = Gate::new(&looking());
    let look = short(&mut gate);
    assert_eq!((look.from, look.to), (ms(0), ms(2200)));
    assert_eq!(wants(&mut gate, ms(2210)), Vec::<String>::new());
    // Keys wait meanwhile, and a look has no pause.
    assert_eq!(gate.press(Feed::InBand, digit('4'), ms(2300)), Press::New);
    assert_eq!(gate.wake_at(), Some(DEADLINE));
    gate.look_again(
        &found(&[('8', 1002), ('2', 1301), ('3', 1598), ('#', 2201)]),
        ms(2310),
    );
    assert_eq!(wants(&mut gate, ms(2310)), ["try 1 823"]);
    assert_eq!(gate.failed(), 0);
    // Nothing is looked at that was not asked for.
    gate.look_again(&found(&[('9', 1000)]), ms(2320));
    gate.answer(1, Answer::Opened, ms(2330));
    assert_eq!(gate.state(), State::Authorised);
}

#[test]
fn a24_what_does_not_make_a_code_fails_without_the_store() {
    let table: &[&[(char, u64)]] = &[
        &[],
        &[('8', 1000), ('3', 1600)],
        // Too many.
        &[('8', 1000), ('2', 1300), ('5', 1450), ('3', 1600)],
        // The same keys, far off: two more presses.
        &[('8', 1600), ('3', 1050)],
        // Not a digit.
        &[('8', 1000), ('A', 1300), ('3', 1600)],
        &[('8', 1000), ('*', 1300), ('3', 1600), ('#', 2200)],
    ];
    for keys in table {
        let mut gate = Gate::new(&looking());
        short(&mut gate);
        gate.look_again(&found(keys), ms(2250));
        assert_eq!(wants(&mut gate, ms(2250)), ["retry"], "{keys:?}");
        assert_eq!((gate.failed(), gate.state()), (1, State::Pending));
        // The next one is looked for as well, and not what was before.
        let at = dial(&mut gate, Feed::InBand, "82#", ms(4000));
        let Some(Want::Look(look)) = gate.poll(at) else {
            unreachable!("the entry is short");
        };
        assert_eq!(look.from, ms(2200) + AFTER_KEY);
        assert_eq!(look.to, ms(4600));
    }
}

#[test]
fn a24_keys_that_only_messages_told_stay() {
    let mut gate = Gate::new(&looking());
    wants(&mut gate, Duration::ZERO);
    gate.press(Feed::Message, digit('8'), ms(1200));
    gate.press(Feed::Message, digit('3'), ms(1800));
    gate.press(Feed::Message, digit('#'), ms(2200));
    assert!(matches!(gate.poll(ms(2200)), Some(Want::Look(_))));
    // The tone of 8 began before its message came, that of 3 was not there.
    gate.look_again(&found(&[('8', 1000), ('2', 1150)]), ms(2210));
    assert_eq!(wants(&mut gate, ms(2210)), ["try 1 823"]);
}

#[test]
fn a24_nobody_looks_where_there_is_nothing_to_look_at() {
    let mut off = looking();
    off.second_look = false;
    let mut deaf = looking();
    deaf.feeds.in_band = false;
    for settings in [off, deaf] {
        let mut gate = Gate::new(&settings);
        let at = dial(&mut gate, Feed::Message, "83#", ms(1000));
        assert_eq!(wants(&mut gate, at), ["prompt", "retry"]);
    }
    // Too long, or spoilt: nothing was missed.
    let mut gate = Gate::new(&looking());
    let at = dial(&mut gate, Feed::Message, "8A#", ms(1000));
    assert_eq!(wants(&mut gate, at), ["prompt", "retry"]);
}

#[test]
fn a24_the_last_attempt_is_looked_for_too_and_then_it_is_over() {
    let mut gate = Gate::new(&config::Gate {
        attempts: 1,
        ..looking()
    });
    short(&mut gate);
    gate.look_again(&Found::nothing(), ms(2250));
    assert_eq!(gate.reason(), Some(Reason::CodeWrong));
    assert_eq!(wants(&mut gate, ms(2250)), ["goodbye"]);
    // A look that takes until the deadline finds nothing any more.
    let mut gate = Gate::new(&looking());
    short(&mut gate);
    gate.look_again(&found(&[('2', 1300)]), DEADLINE);
    assert_eq!(gate.state(), State::Expired);
    assert_eq!(wants(&mut gate, DEADLINE), ["goodbye"]);
}

#[test]
fn a24_a_dialled_number_is_not_looked_at_again_only_the_code_is() {
    let mut gate = Gate::new(&config::Gate {
        second_look: true,
        ..settings(Dialled::Pstn { ani: Ani::Digits }, CodeLength::Fixed(3))
    });
    wants(&mut gate, Duration::ZERO);
    let at = dial(&mut gate, Feed::InBand, "4915#", ms(1000));
    let hash = at - PACE;
    let at = dial(&mut gate, Feed::InBand, "83#", at);
    let Some(Want::Look(look)) = gate.poll(at) else {
        unreachable!("the code is short");
    };
    assert_eq!(look.from, hash + AFTER_KEY);
    let two = (hash + PACE + ms(150)).as_millis() as u64;
    gate.look_again(&found(&[('2', two)]), at);
    assert_eq!(wants(&mut gate, at), ["try 1 +4915823"]);
}

proptest! {
    /// Whatever was missed of a code that is found whole, the code comes out; what the two looks
    /// have in common stands in one order.
    #[test]
    fn a24_the_looks_agree_in_order(
        keys in proptest::collection::vec((proptest::sample::select(vec!['1', '2', '3']), 93u64..400), 6),
        missed in proptest::array::uniform6(any::<bool>()),
        error in proptest::array::uniform6(0u64..20),
    ) {
        let mut gate = Gate::new(&config::Gate {
            second_look: true,
            ..settings(Dialled::SipAlias, CodeLength::Fixed(6))
        });
        let mut at = 1000;
        let (mut code, mut all, mut heard) = (String::new(), Found::nothing(), 0);
        for (i, (key, gap)) in keys.into_iter().enumerate() {
            at += gap;
            code.push(key);
            all.add(digit(key), ms(at + error[i] - 10));
            if !missed[i] {
                gate.press(Feed::InBand, digit(key), ms(at));
                heard += 1;
            }
        }
        prop_assume!(heard > 0);
        at += 200;
        gate.press(Feed::InBand, digit('#'), ms(at));
        let first = wants(&mut gate, ms(at)).pop();
        if heard < 6 {
            prop_assert_eq!(first, Some("look".to_owned()));
            gate.look_again(&all, ms(at));
            prop_assert_eq!(wants(&mut gate, ms(at)), [format!("try 1 {code}")]);
        } else {
            prop_assert_eq!(first, Some(format!("try 1 {code}")));
        }
    }
}
