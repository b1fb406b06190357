//! No digit is ever formatted: whatever is printed is the same for whatever was dialled.

use super::*;
use crate::dtmf::Record;

/// All that can be printed of a gate in every state, after `code` and then `more` were dialled.
fn printed(code: &str, more: &str) -> Vec<String> {
    let dialled = Dialled::Pstn { ani: Ani::Digits };
    let mut printed = Vec::new();
    for answer in [Answer::Opened, Answer::Wrong, Answer::LockedOut] {
        let mut gate = Gate::new(&config::Gate {
            second_look: true,
            ..settings(dialled, CodeLength::UpTo(6))
        });
        let at = dial(&mut gate, Feed::InBand, &format!("4{code}#{code}"), ms(100));
        printed.push(format!("{gate:?}"));
        let at = dial(&mut gate, Feed::Message, "#", at);
        printed.push(format!("{gate:?}"));
        let _prompt = gate.poll(at);
        let Some(Want::Try(entry)) = gate.poll(at) else {
            unreachable!("the entry is whole");
        };
        printed.push(format!("{entry:?} {:?}", entry.ani()));
        printed.push(format!("{:?}", Want::Try(entry)));
        let at = dial(&mut gate, Feed::Message, more, at);
        printed.push(format!("{gate:?}"));
        gate.answer(1, answer, at);
        printed.push(format!("{gate:?}"));
    }
    let mut found = Found::nothing();
    code.chars().for_each(|key| found.add(digit(key), ms(5)));
    printed.push(format!("{found:?}"));
    let mut draft = Draft::new(dialled, CodeLength::Fixed(9));
    code.bytes().for_each(|key| {
        let place = Place {
            number: 0,
            at: ms(7),
            before: None,
        };
        draft.take(place, Key(key));
    });
    printed.push(format!("{draft:?}"));
    let first = digit(code.chars().next().expect("a code"));
    let at = ms(3);
    printed.push(format!("{:?}", Heard::Down { digit: first, at }));
    let ani = crate::ids::PhoneNumber::new(&format!("+4{code}"));
    let mut ears = Ears::new(crate::audio::SampleRate::Hz8000, ani, true);
    let mut record = Record::new();
    let audio = crate::dtmf::tone::sequence(
        code,
        crate::audio::SampleRate::Hz8000,
        &crate::dtmf::tone::Pace::default(),
    )
    .expect("only keys");
    ears.hear(Some(&format!("4:+4{code}")), &audio, ms(900), |_| {});
    let mut detector = crate::dtmf::Detector::new(
        crate::audio::SampleRate::Hz8000,
        crate::dtmf::Setting::Standard,
    );
    detector.push_recorded(&audio, &mut record, |_| {});
    printed.push(format!("{ears:?} {record:?}"));
    printed
}

#[test]
fn s32_what_is_printed_does_not_depend_on_what_was_dialled() {
    let one = printed("7391", "5*26");
    assert_eq!(one, printed("2864", "9*07"));
    assert!(one.len() > 20 && one.iter().all(|text| !text.is_empty()));
    // And it does print: times and counts are no secrets.
    assert!(one[0].contains("Pending"), "{}", one[0]);
}

#[test]
fn s32_digits_are_wiped_with_the_verdict() {
    for answer in [Answer::Opened, Answer::LockedOut] {
        let mut gate = Gate::new(&pstn());
        let at = dial(&mut gate, Feed::InBand, "823", ms(100));
        gate.release(at);
        wants(&mut gate, at);
        let at = dial(&mut gate, Feed::InBand, "45", at);
        gate.release(at);
        assert_eq!((gate.held.len(), gate.presses.len()), (2, 5));
        gate.answer(1, answer, at);
        wants(&mut gate, at);
        assert_eq!((gate.held.len(), gate.presses.len()), (0, 0), "{answer:?}");
    }
}
