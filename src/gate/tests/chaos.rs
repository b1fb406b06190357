//! What holds whatever happens: any feeds, any order, any time.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Press(usize, u8),
    Release,
    Answer(u32, bool),
    Look(Vec<u8>),
    Poll,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0usize..3, 0u8..16).prop_map(|(feed, key)| Op::Press(feed, key)),
        2 => Just(Op::Release),
        3 => (0u32..5, any::<bool>()).prop_map(|(number, opened)| Op::Answer(number, opened)),
        1 => proptest::collection::vec(0u8..16, 0..90).prop_map(Op::Look),
        6 => Just(Op::Poll),
    ]
}

fn any_settings() -> impl Strategy<Value = config::Gate> {
    (
        0usize..3,
        1u8..6,
        any::<bool>(),
        any::<[bool; 4]>(),
        1u32..5,
    )
        .prop_map(
            |(dialled, length, fixed, [a, b, c, second_look], attempts)| config::Gate {
                feeds: Feeds {
                    in_band: a,
                    messages: b,
                    callbacks: c,
                },
                second_look,
                attempts,
                ..settings(
                    [
                        Dialled::SipAlias,
                        Dialled::Pstn { ani: Ani::Shared },
                        Dialled::Pstn { ani: Ani::Digits },
                    ][dialled],
                    if fixed {
                        CodeLength::Fixed(length)
                    } else {
                        CodeLength::UpTo(length)
                    },
                )
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a19_a_gate_opens_only_as_it_may(
        settings in any_settings(),
        ops in proptest::collection::vec((op(), -1500i64..2500), 1..120),
    ) {
        let mut gate = Gate::new(&settings);
        let keys: Vec<Digit> = Digit::all().collect();
        let (mut clock, mut latest) = (0i64, 0u64);
        let mut outstanding = None;
        let (mut tries, mut looks, mut wrong) = (0, 0, 0);
        let mut went_on = false;
        for (op, step) in ops {
            clock = (clock + step).max(0);
            let at = ms(clock as u64);
            latest = latest.max(clock as u64);
            let before = gate.state();
            match op {
                Op::Press(feed, key) => {
                    gate.press(Feed::ALL[feed], keys[usize::from(key)], at);
                    prop_assert!(gate.state() == before || gate.state() != State::Authorised);
                }
                Op::Release => gate.release(at),
                Op::Answer(number, opened) => {
                    let answer = if opened { Answer::Opened } else { Answer::Wrong };
                    gate.answer(number, answer, at);
                    let heard = before == State::Pending
                        && outstanding == Some(number)
                        && ms(latest) < settings.deadline;
                    if heard {
                        outstanding = None;
                        wrong += u32::from(!opened);
                    }
                    prop_assert_eq!(
                        gate.state() == State::Authorised,
                        before == State::Authorised || (heard && opened)
                    );
                }
                Op::Look(keys_found) => {
                    let mut found = Found::nothing();
                    for key in keys_found {
                        found.add(keys[usize::from(key)], at);
                    }
                    gate.look_again(&found, at);
                    prop_assert!(gate.state() == before || gate.state() != State::Authorised);
                }
                Op::Poll => {
                    let mut count = 0;
                    while let Some(want) = gate.poll(at) {
                        match want {
                            Want::Try(entry) => {
                                prop_assert_eq!(outstanding, None);
                                prop_assert_eq!(entry.number(), tries + 1);
                                prop_assert!(entry.code().expose().bytes().all(|b| b.is_ascii_digit()));
                                let length = entry.code().expose().len();
                                let fits = match settings.length {
                                    CodeLength::Fixed(n) => length == usize::from(n),
                                    CodeLength::UpTo(n) => (1..=usize::from(n)).contains(&length),
                                };
                                prop_assert!(fits);
                                let dials = settings.dialled == Dialled::Pstn { ani: Ani::Digits };
                                prop_assert_eq!(entry.ani().is_some(), dials);
                                outstanding = Some(entry.number());
                                tries += 1;
                            }
                            Want::Look(look) => {
                                prop_assert!(settings.second_look && settings.feeds.in_band);
                                prop_assert!(look.to < settings.deadline + BETWEEN);
                                looks += 1;
                            }
                            Want::Say(_) => {}
                        }
                        count += 1;
                        prop_assert!(count < 20);
                    }
                    // Who polled until nothing was wanted sleeps, and not in a circle.
                    if at >= ms(latest) {
                        prop_assert!(gate.wake_at().is_none_or(|wake| wake > at));
                    }
                }
            }
            if before != State::Pending {
                prop_assert_eq!(gate.state(), before, "a verdict is final");
            }
            prop_assert_eq!(gate.reason().is_some(), matches!(gate.state(), State::Rejected | State::Expired));
            prop_assert_eq!(gate.state() == State::Pending && ms(latest) >= settings.deadline, false);
            prop_assert!(tries <= settings.attempts && looks <= settings.attempts);
            prop_assert!(gate.failed() <= settings.attempts && gate.failed() >= wrong);
            prop_assert!(gate.held.len() <= HELD_MAX && gate.presses.len() <= 64);
            let goes_on = gate.may_forward(ms(latest));
            prop_assert!(goes_on || !went_on, "it said yes before");
            prop_assert!(!goes_on || gate.state() == State::Authorised);
            went_on = goes_on;
        }
    }
}
