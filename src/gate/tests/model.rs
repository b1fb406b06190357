//! A19: every transition against a model: one feed, codes of two digits, two attempts. The model is a
//! page of plain text and milliseconds, without bounds, secrets or feeds.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

const ATTEMPTS: u32 = 2;
const LAST: u64 = 20_000;
const PAUSE: u64 = 2000;

#[derive(Clone, Debug)]
enum Op {
    Press(char),
    Answer(Answer, u32),
    Look(String),
    Release,
    Poll,
}

/// What waits for what.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Keys,
    HandOut,
    Answer,
    Look,
}

struct Model {
    state: State,
    reason: Option<Reason>,
    wait: Wait,
    entry: Vec<(char, u64)>,
    held: Vec<(char, u64)>,
    wants: Vec<String>,
    tries: u32,
    failed: u32,
    now: u64,
    last: Option<u64>,
}

impl Model {
    fn new() -> Model {
        Model {
            state: State::Pending,
            reason: None,
            wait: Wait::Keys,
            entry: Vec::new(),
            held: Vec::new(),
            wants: vec!["prompt".to_owned()],
            tries: 0,
            failed: 0,
            now: 0,
            last: None,
        }
    }

    fn apply(&mut self, op: &Op, at: u64) -> Vec<String> {
        self.pass(at);
        if self.state == State::Pending {
            match op {
                Op::Press(key) => {
                    self.last = Some(at);
                    self.held.push((*key, at));
                }
                Op::Answer(answer, number) => {
                    if self.wait == Wait::Answer && *number == self.tries {
                        self.wait = Wait::Keys;
                        match answer {
                            Answer::Opened => self.end(State::Authorised, None),
                            Answer::Wrong => self.fail(),
                            Answer::LockedOut => {
                                self.end(State::Rejected, Some(Reason::LockedOut));
                            }
                        }
                    }
                }
                Op::Look(found) if self.wait == Wait::Look => {
                    self.wait = Wait::Keys;
                    // All at the time of the entry's only key, whose label is among the found or not.
                    let own = self.entry[0].0;
                    let count = found.len() + usize::from(!found.contains(own));
                    if count == 2 {
                        let code: String = if found.contains(own) {
                            found.clone()
                        } else {
                            format!("{found}{own}")
                        };
                        self.ask(&code);
                    } else {
                        self.fail();
                    }
                }
                Op::Look(_) | Op::Release | Op::Poll => {}
            }
        } else if matches!(op, Op::Press(_)) && self.state == State::Authorised && !self.goes_on() {
            self.last = Some(at);
        }
        self.pass(at);
        if matches!(op, Op::Poll) {
            if self.wait == Wait::HandOut {
                self.wait = Wait::Answer;
            }
            return std::mem::take(&mut self.wants);
        }
        Vec::new()
    }

    /// Time passes, and what it allows to happen does.
    fn pass(&mut self, at: u64) {
        self.now = self.now.max(at);
        if self.state == State::Pending && self.now >= LAST {
            self.end(State::Expired, Some(Reason::GateExpired));
        }
        while self.state == State::Pending && self.wait == Wait::Keys {
            let over = self
                .entry
                .iter()
                .map(|key| key.1)
                .max()
                .map(|at| at + PAUSE);
            let until = self.held.first().map_or(self.now, |key| key.1);
            if over.is_some_and(|over| until >= over) {
                self.short();
            } else if self.held.is_empty() {
                break;
            } else {
                let (key, at) = self.held.remove(0);
                match key {
                    '*' => self.entry.clear(),
                    '#' if self.entry.is_empty() => {}
                    '#' => self.short(),
                    key => {
                        self.entry.push((key, at));
                        if self.entry.len() == 2 {
                            let code: String = self.entry.iter().map(|key| key.0).collect();
                            if code.contains('A') {
                                self.fail();
                            } else {
                                self.ask(&code);
                            }
                        }
                    }
                }
            }
        }
    }

    /// One key only.
    fn short(&mut self) {
        if self.entry[0].0 == 'A' {
            self.fail();
        } else {
            self.wait = Wait::Look;
            self.wants.push("look".to_owned());
        }
    }

    fn ask(&mut self, code: &str) {
        self.entry.clear();
        self.tries += 1;
        self.wait = Wait::HandOut;
        self.wants.push(format!("try {} {code}", self.tries));
    }

    fn fail(&mut self) {
        self.entry.clear();
        self.failed += 1;
        if self.failed == ATTEMPTS {
            self.end(State::Rejected, Some(Reason::CodeWrong));
        } else {
            self.wants.push("retry".to_owned());
        }
    }

    fn end(&mut self, state: State, reason: Option<Reason>) {
        (self.state, self.reason) = (state, reason);
        self.wants.clear();
        if state != State::Authorised {
            self.wants.push("goodbye".to_owned());
        }
    }

    fn goes_on(&self) -> bool {
        self.state == State::Authorised && self.last.is_none_or(|last| self.now >= last + 1000)
    }

    fn wake_at(&self) -> Option<u64> {
        match self.state {
            State::Pending => {
                let over = self.entry.iter().map(|key| key.1 + PAUSE).max();
                let over = over.filter(|_| self.wait == Wait::Keys);
                Some(over.map_or(LAST, |over| over.min(LAST)))
            }
            State::Authorised => self
                .last
                .map(|last| last + 1000)
                .filter(|&at| at > self.now),
            State::Rejected | State::Expired => None,
        }
    }
}

fn ops() -> impl Strategy<Value = Vec<(Op, i64)>> {
    let op = prop_oneof![
        6 => proptest::sample::select("1233*#A".chars().collect::<Vec<_>>()).prop_map(Op::Press),
        4 => (
            prop_oneof![
                3 => Just(Answer::Wrong),
                1 => Just(Answer::Opened),
                1 => Just(Answer::LockedOut),
            ],
            0u32..4,
        ).prop_map(|(answer, number)| Op::Answer(answer, number)),
        2 => proptest::sample::select(vec!["", "1", "2", "12", "21", "123"])
            .prop_map(|found| Op::Look(found.to_owned())),
        1 => Just(Op::Release),
        4 => Just(Op::Poll),
    ];
    let step = prop_oneof![8 => 0i64..700, 2 => 700i64..2500, 1 => -300i64..0];
    proptest::collection::vec((op, step), 1..60)
}

/// What the second look found, all at the time of the entry's key.
fn found(keys: &str, at: Duration) -> Found {
    let mut found = Found::nothing();
    keys.chars().for_each(|key| found.add(digit(key), at));
    found
}

#[test]
fn a19_every_transition_is_the_model_s() {
    let settings = config::Gate {
        attempts: ATTEMPTS,
        deadline: ms(LAST),
        between: ms(PAUSE),
        second_look: true,
        ..settings(Dialled::SipAlias, CodeLength::Fixed(2))
    };
    let ends = RefCell::new(BTreeMap::new());
    let config = ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let run = |ops: Vec<(Op, i64)>| {
        let (mut gate, mut model) = (Gate::new(&settings), Model::new());
        let mut clock = 0i64;
        for (op, step) in ops {
            clock = (clock + step).max(0);
            let at = clock as u64;
            let looked_at = model.entry.first().map_or(0, |key| key.1);
            let mut got = Vec::new();
            match &op {
                Op::Press(key) => {
                    model.pass(at);
                    let press = gate.press(Feed::Message, digit(*key), ms(at));
                    prop_assert_eq!(press == Press::New, model.state == State::Pending);
                }
                Op::Answer(answer, number) => gate.answer(*number, *answer, ms(at)),
                Op::Look(keys) => gate.look_again(&found(keys, ms(looked_at)), ms(at)),
                Op::Release => gate.release(ms(at)),
                Op::Poll => got = wants(&mut gate, ms(at)),
            }
            let expected = model.apply(&op, at);
            prop_assert_eq!(got, expected);
            prop_assert_eq!(gate.state(), model.state);
            prop_assert_eq!(gate.reason(), model.reason);
            prop_assert_eq!(gate.failed(), model.failed);
            prop_assert_eq!(gate.wake_at(), model.wake_at().map(ms));
            prop_assert_eq!(gate.may_forward(ms(model.now)), model.goes_on());
        }
        let reason = gate.reason().map_or("none", |reason| reason.word());
        *ends
            .borrow_mut()
            .entry((gate.state().word(), reason))
            .or_insert(0) += 1;
        Ok(())
    };
    runner.run(&ops(), run).expect("the gate is the model");
    // Every way to end has been gone, many times.
    let ends = ends.into_inner();
    let names: Vec<_> = ends.keys().copied().collect();
    let expected = [
        ("authorised", "none"),
        ("expired", "gate_expired"),
        ("pending", "none"),
        ("rejected", "code_wrong"),
        ("rejected", "locked_out"),
    ];
    assert_eq!(names, expected);
    assert!(ends.values().all(|&count| count >= 200), "{ends:?}");
}
