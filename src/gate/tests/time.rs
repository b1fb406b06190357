//! Deadlines, answers that come late or twice, keys that are held, and when media may go on.

use super::*;

/// A gate that has been prompted, with `keys` dialled by message from one second on.
fn dialled(settings: &config::Gate, keys: &str) -> (Gate, Duration) {
    let mut gate = Gate::new(settings);
    assert_eq!(wants(&mut gate, Duration::ZERO), ["prompt"]);
    let at = dial(&mut gate, Feed::Message, keys, ms(1000));
    (gate, at)
}

#[test]
fn a19_the_right_code_opens_and_nothing_else() {
    let (mut gate, at) = dialled(&pstn(), "823");
    assert_eq!(wants(&mut gate, at), ["try 1 823"]);
    assert_eq!(
        (gate.state(), gate.may_forward(at)),
        (State::Pending, false)
    );
    gate.answer(1, Answer::Opened, at);
    assert_eq!((gate.state(), gate.reason()), (State::Authorised, None));
    assert_eq!(wants(&mut gate, at), Vec::<String>::new());
}

#[test]
fn a19_attempts_are_used_up() {
    let (mut gate, mut at) = dialled(&pstn(), "823");
    for number in 1..=3 {
        assert_eq!(wants(&mut gate, at), [format!("try {number} 823")]);
        assert_eq!(gate.state(), State::Pending);
        gate.answer(number, Answer::Wrong, at);
        if number < 3 {
            assert_eq!(wants(&mut gate, at), ["retry"]);
            at = dial(&mut gate, Feed::Message, "823", at);
        }
    }
    assert_eq!(gate.state(), State::Rejected);
    assert_eq!(gate.reason(), Some(Reason::CodeWrong));
    assert_eq!(wants(&mut gate, at), ["goodbye"]);
    // A verdict is final.
    assert_eq!(gate.press(Feed::Message, digit('8'), at), Press::Ignored);
    gate.answer(3, Answer::Opened, at);
    gate.answer(4, Answer::Opened, at);
    assert_eq!(gate.state(), State::Rejected);
    assert_eq!(
        (gate.wake_at(), gate.may_forward(at + DEADLINE)),
        (None, false)
    );
}

#[test]
fn a29_a_locked_out_caller_is_rejected_at_once() {
    let (mut gate, at) = dialled(&pstn(), "823");
    wants(&mut gate, at);
    gate.answer(1, Answer::LockedOut, at);
    assert_eq!(gate.state(), State::Rejected);
    assert_eq!(gate.reason(), Some(Reason::LockedOut));
    assert_eq!(wants(&mut gate, at), ["goodbye"]);
}

#[test]
fn a19_the_deadline_expires_the_gate_whatever_is_outstanding() {
    for keys in ["", "82", "823"] {
        let (mut gate, _) = dialled(&pstn(), keys);
        let before = DEADLINE - ms(1);
        wants(&mut gate, ms(2000));
        if keys != "82" {
            assert_eq!(gate.wake_at(), Some(DEADLINE), "{keys}");
            assert_eq!(wants(&mut gate, before), Vec::<String>::new());
        }
        assert_eq!(gate.state(), State::Pending);
        // The answer of a store that was away comes with the deadline: too late.
        gate.answer(1, Answer::Opened, DEADLINE);
        assert_eq!(gate.state(), State::Expired, "{keys}");
        assert_eq!(gate.reason(), Some(Reason::GateExpired));
        assert_eq!(wants(&mut gate, DEADLINE), ["goodbye"]);
        gate.answer(1, Answer::Opened, before);
        assert_eq!(gate.state(), State::Expired);
    }
}

#[test]
fn a25_a_store_may_take_until_just_before_the_deadline() {
    let (mut gate, at) = dialled(&pstn(), "823");
    assert_eq!(wants(&mut gate, at), ["try 1 823"]);
    gate.answer(1, Answer::Opened, DEADLINE - ms(1));
    assert_eq!(gate.state(), State::Authorised);
}

#[test]
fn a19_a_try_that_is_not_handed_out_is_not_handed_out_after_the_deadline() {
    let (mut gate, _) = dialled(&pstn(), "823");
    assert_eq!(wants(&mut gate, DEADLINE), ["goodbye"]);
}

#[test]
fn a19_only_the_answer_to_the_latest_try_counts_and_only_once() {
    let (mut gate, at) = dialled(&pstn(), "823");
    // Nothing was handed out yet.
    gate.answer(1, Answer::Opened, at);
    assert_eq!(gate.state(), State::Pending);
    assert_eq!(wants(&mut gate, at), ["try 1 823"]);
    for stranger in [0, 2, u32::MAX] {
        gate.answer(stranger, Answer::Opened, at);
        assert_eq!(gate.state(), State::Pending);
    }
    gate.answer(1, Answer::Wrong, at);
    gate.answer(1, Answer::Wrong, at);
    gate.answer(1, Answer::Opened, at);
    assert_eq!((gate.state(), gate.failed()), (State::Pending, 1));
    let at = dial(&mut gate, Feed::Message, "824", at);
    assert_eq!(wants(&mut gate, at), ["retry", "try 2 824"]);
    gate.answer(1, Answer::Opened, at);
    assert_eq!(gate.state(), State::Pending);
    gate.answer(2, Answer::Opened, at);
    assert_eq!(gate.state(), State::Authorised);
}

#[test]
fn a23_keys_pressed_while_an_answer_is_outstanding_are_held() {
    let (mut gate, at) = dialled(&pstn(), "823");
    assert_eq!(wants(&mut gate, at), ["try 1 823"]);
    let at = dial(&mut gate, Feed::Message, "#55*824", at);
    assert_eq!(wants(&mut gate, at), Vec::<String>::new());
    gate.answer(1, Answer::Wrong, at);
    assert_eq!(wants(&mut gate, at), ["retry", "try 2 824"]);
    // With pauses as they were.
    let slow = dial(&mut gate, Feed::Message, "8", at);
    let slow = dial(&mut gate, Feed::Message, "824", slow + BETWEEN);
    gate.answer(2, Answer::Wrong, slow);
    assert_eq!(
        wants(&mut gate, slow),
        ["retry", "goodbye"].map(String::from)[1..]
    );
    assert_eq!(gate.reason(), Some(Reason::CodeWrong));
}

#[test]
fn a23_what_is_held_is_bounded_and_the_rest_is_counted() {
    let (mut gate, at) = dialled(&pstn(), "823");
    wants(&mut gate, at);
    let mut kept = 0;
    for n in 0..100 {
        kept += usize::from(gate.press(Feed::Message, digit('1'), at + ms(n)) == Press::New);
    }
    assert_eq!((kept, gate.dropped()), (HELD_MAX, 100 - HELD_MAX as u64));
    gate.answer(1, Answer::Opened, at + ms(200));
    assert_eq!((gate.state(), gate.held.len()), (State::Authorised, 0));
}

#[test]
fn a23_a_pause_is_timed_from_the_last_key_and_needs_no_poll() {
    let mut gate = Gate::new(&pstn());
    wants(&mut gate, Duration::ZERO);
    gate.press(Feed::Message, digit('8'), ms(1000));
    gate.press(Feed::Message, digit('2'), ms(4000));
    assert_eq!(gate.wake_at(), Some(ms(4000) + BETWEEN));
    // Nobody polls, and the next key comes.
    gate.press(Feed::Message, digit('3'), ms(4000) + BETWEEN);
    assert_eq!(gate.failed(), 1);
    assert_eq!(gate.wake_at(), Some(ms(4000) + BETWEEN + BETWEEN));
    assert_eq!(wants(&mut gate, ms(4000) + BETWEEN), ["retry"]);
    // A key that was pressed before the last one's time does not end the pause sooner.
    gate.press(Feed::Message, digit('4'), ms(8000));
    assert_eq!(gate.wake_at(), Some(ms(4000) + BETWEEN + BETWEEN));
}

#[test]
fn media_goes_on_when_the_last_key_is_up() {
    let mut gate = Gate::new(&pstn());
    for (n, key) in "823".chars().enumerate() {
        gate.press(Feed::InBand, digit(key), ms(1000 + 300 * n as u64));
        gate.release(ms(1100 + 300 * n as u64).min(ms(1650)));
    }
    // Its release has been heard; the answer comes afterwards.
    assert_eq!(wants(&mut gate, ms(1700)), ["prompt", "try 1 823"]);
    assert!(!gate.may_forward(ms(1700)));
    gate.answer(1, Answer::Opened, ms(1700));
    assert!(gate.may_forward(ms(1700)));
    assert_eq!(gate.wake_at(), None);
}

#[test]
fn media_waits_while_the_last_key_is_down() {
    let (mut gate, _) = dialled(&pstn(), "82");
    gate.press(Feed::InBand, digit('3'), ms(2000));
    assert_eq!(wants(&mut gate, ms(2050)), ["try 1 823"]);
    gate.answer(1, Answer::Opened, ms(2060));
    assert!(!gate.may_forward(ms(2060)));
    // The message of the same key comes late, and says nothing of its end.
    assert_eq!(
        gate.press(Feed::Message, digit('3'), ms(2200)),
        Press::Ignored
    );
    assert!(!gate.may_forward(ms(5000)));
    gate.release(ms(5100));
    assert!(gate.may_forward(ms(5100)));
    // Once it has said yes it does not say no.
    assert_eq!(
        gate.press(Feed::InBand, digit('5'), ms(5200)),
        Press::Ignored
    );
    assert!(gate.may_forward(ms(5200)));
}

#[test]
fn media_waits_a_second_where_nobody_tells_of_the_end() {
    let (mut gate, at) = dialled(&pstn(), "823");
    let last = at - PACE;
    wants(&mut gate, at);
    gate.answer(1, Answer::Opened, at);
    assert_eq!(gate.wake_at(), Some(last + PRESS));
    assert!(!gate.may_forward(last + PRESS - ms(1)));
    assert!(gate.may_forward(last + PRESS));
    assert_eq!(wants(&mut gate, last + PRESS), Vec::<String>::new());
    assert_eq!(gate.wake_at(), None);
    // A key that never goes up does not hold the call for ever.
    let (mut gate, _) = dialled(&pstn(), "82");
    gate.press(Feed::InBand, digit('3'), ms(2000));
    wants(&mut gate, ms(2050));
    gate.answer(1, Answer::Opened, ms(2060));
    assert_eq!(gate.wake_at(), Some(ms(2000) + LONG_PRESS));
    assert!(gate.may_forward(ms(2000) + LONG_PRESS));
}

#[test]
fn media_waits_for_the_end_of_the_needless_hash_too() {
    let (mut gate, _) = dialled(&pstn(), "82");
    gate.press(Feed::InBand, digit('3'), ms(2000));
    wants(&mut gate, ms(2050));
    gate.release(ms(2100));
    // The hash is down before the store has answered, and another before media went on.
    gate.press(Feed::InBand, digit('#'), ms(2300));
    gate.answer(1, Answer::Opened, ms(2310));
    assert!(!gate.may_forward(ms(2310)));
    gate.press(Feed::InBand, digit('#'), ms(2500));
    gate.release(ms(2600));
    assert!(gate.may_forward(ms(2600)));
}

#[test]
fn times_may_jump_back() {
    let mut gate = Gate::new(&pstn());
    let mut seen = 0;
    for at in [0, 9000, 1, 29_999, 0, 3, 30_000, 5, u64::MAX] {
        let at = ms(at);
        gate.release(at);
        gate.press(Feed::InBand, digit('1'), at);
        gate.press(Feed::Callback, digit('*'), at);
        gate.answer(1, Answer::Wrong, at);
        gate.look_again(&Found::nothing(), at);
        gate.may_forward(at);
        gate.wake_at();
        seen += wants(&mut gate, at).len();
    }
    assert_eq!(gate.state(), State::Expired);
    assert!(seen >= 2);
    let mut gate = Gate::new(&config::Gate {
        deadline: Duration::MAX,
        between: Duration::MAX,
        second_look: true,
        ..pstn()
    });
    for at in [Duration::MAX - ms(1), Duration::ZERO, Duration::MAX - ms(2)] {
        gate.press(Feed::InBand, digit('1'), at);
        gate.press(Feed::InBand, digit('#'), at);
        wants(&mut gate, at);
        gate.look_again(&Found::nothing(), at);
    }
    assert_eq!(gate.state(), State::Rejected);
}

#[test]
fn words_are_closed_sets() {
    assert_eq!(
        Feed::ALL.map(Feed::word),
        ["in_band", "message", "callback"]
    );
    let words = ["pending", "authorised", "rejected", "expired"];
    assert_eq!(State::ALL.map(State::word), words);
}
