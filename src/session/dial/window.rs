//! The turns that this edge has taken itself, and when the next one may come free.
//!
//! They are counted whatever the store says: one that was restarted with nothing in it has forgotten
//! them. While it is away an edge goes by them alone, and has its share of the turns.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::{TURNS_TOLD, Turn};

/// One that is out.
#[derive(Clone, Copy, Debug)]
struct Out {
    turn: Turn,
    over: Instant,
    /// The store knows of it.
    told: bool,
}

/// Turns of one quota.
#[derive(Debug, Default)]
pub(super) struct Window {
    out: Vec<Out>,
    shut: Option<Instant>,
    forecast: Forecast,
}

/// What the store said of turns of all edges.
#[derive(Debug, Default)]
struct Forecast {
    /// How many there are, of all edges, or of this one while the store is away.
    count: u32,
    /// How many are out.
    out: u32,
    /// When the next ones come free, soonest first.
    free_at: Vec<Instant>,
}

impl Window {
    fn prune(&mut self, now: Instant) {
        self.out.retain(|out| out.over > now);
        let forecast = &mut self.forecast;
        let before = forecast.free_at.len();
        forecast.free_at.retain(|free| *free > now);
        let over = u32::try_from(before - forecast.free_at.len()).unwrap_or(u32::MAX);
        forecast.out = forecast.out.saturating_sub(over);
    }

    /// Whether an edge that may have so many turns has one.
    pub(super) fn is_free(&mut self, count: u32, now: Instant) -> bool {
        self.prune(now);
        let shut = self.shut.is_some_and(|until| until > now);
        !shut && self.out.len() < count as usize
    }

    /// Those that this edge has out.
    pub(super) fn taken(&mut self, now: Instant) -> usize {
        self.prune(now);
        self.out.len()
    }

    /// How long nobody connects.
    pub(super) fn shut_for(&self, now: Instant) -> Option<Duration> {
        let left = self.shut?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// One was taken, and lasts so long if nothing more is heard of it.
    pub(super) fn take(&mut self, turn: Turn, over: Instant, told: bool) {
        match self.out.iter_mut().find(|out| out.turn == turn) {
            Some(out) => (out.over, out.told) = (over, told),
            None => self.out.push(Out { turn, over, told }),
        }
    }

    /// It counts until then.
    pub(super) fn note(&mut self, turn: Turn, over: Instant) {
        if let Some(out) = self.out.iter_mut().find(|out| out.turn == turn) {
            out.over = over;
        }
    }

    pub(super) fn give_back(&mut self, turn: Turn) {
        self.out.retain(|out| out.turn != turn);
    }

    /// Nobody connects until then.
    pub(super) fn shut(&mut self, until: Instant) {
        self.shut = self.shut.max(Some(until));
    }

    /// What the store does not know of, and how long it still lasts.
    pub(super) fn untold(&self, now: Instant) -> Vec<(Turn, Duration)> {
        let untold = self.out.iter().filter(|out| !out.told && out.over > now);
        let untold = untold.map(|out| (out.turn, out.over - now));
        untold.take(TURNS_TOLD).collect()
    }

    /// The store has answered, and knows of these; of so many, so many are out in all edges. One that
    /// knows of fewer than this edge has taken has forgotten some.
    pub(super) fn told(&mut self, known: &[(Turn, Duration)], (out, count): (u32, u32)) {
        (self.forecast.out, self.forecast.count) = (out, count);
        for own in &mut self.out {
            own.told |= known.iter().any(|(turn, _)| *turn == own.turn);
        }
        if (out as usize) < self.out.iter().filter(|own| own.told).count() {
            for own in &mut self.out {
                own.told = false;
            }
        }
    }

    /// The store has no turn for anybody, and these come free next.
    pub(super) fn forecast(&mut self, free_at: Vec<Instant>) {
        self.forecast.free_at = free_at;
    }

    /// This edge may have so many, and nobody has said more than it knows itself.
    pub(super) fn forecast_own(&mut self, count: u32, most: usize) {
        let mut free_at: Vec<_> = self.out.iter().map(|out| out.over).collect();
        free_at.sort_unstable();
        free_at.truncate(most);
        let out = u32::try_from(self.out.len()).unwrap_or(u32::MAX);
        self.forecast = Forecast {
            count,
            out,
            free_at,
        };
    }

    /// When the turn behind `ahead` others comes free, where each counts for `per`.
    pub(super) fn due(&self, ahead: usize, per: Duration, now: Instant) -> Instant {
        let count = self.forecast.count.max(1) as usize;
        let (round, at) = (ahead / count, ahead % count);
        let free = count.saturating_sub(self.forecast.out as usize);
        let first = match at.checked_sub(free) {
            None => Some(now),
            Some(at) => self.forecast.free_at.get(at).copied(),
        };
        // Of what nobody has told the end is a window away at the most.
        let first = first.unwrap_or(now + per).max(now);
        let rounds = u32::try_from(round).unwrap_or(u32::MAX);
        let due = first + per.saturating_mul(rounds).min(FAR);
        due.max(self.shut.unwrap_or(due))
    }
}

/// Nobody is told to come again later than in a day.
const FAR: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn u8_a_turn_is_free_again_when_it_is_over_and_not_while_all_are_shut() {
        let (mut window, now) = (Window::default(), Instant::now());
        let (one, two) = (Turn::random(), Turn::random());
        assert!(window.is_free(2, now));
        window.take(one, now + 70 * SECOND, true);
        window.take(two, now + 70 * SECOND, true);
        // The same again is no other one.
        window.take(two, now + 70 * SECOND, true);
        assert!(!window.is_free(2, now));
        assert!(window.is_free(3, now));
        window.note(one, now + 61 * SECOND);
        assert!(!window.is_free(2, now + 60 * SECOND));
        assert!(window.is_free(2, now + 61 * SECOND));
        window.give_back(two);
        assert!(window.is_free(1, now + 61 * SECOND));
        window.shut(now + 65 * SECOND);
        window.shut(now + 63 * SECOND);
        assert!(!window.is_free(9, now + 64 * SECOND));
        assert!(window.is_free(9, now + 65 * SECOND));
    }

    #[test]
    fn u8_what_the_store_missed_or_forgot_is_told_again() {
        let (mut window, now) = (Window::default(), Instant::now());
        let turns: Vec<_> = (0..3).map(|_| Turn::random()).collect();
        window.take(turns[0], now + 60 * SECOND, true);
        window.take(turns[1], now + 60 * SECOND, false);
        let untold = window.untold(now);
        assert_eq!(untold, [(turns[1], 60 * SECOND)]);
        window.told(&untold, (2, 9));
        assert_eq!(window.untold(now), []);
        window.take(turns[2], now + 60 * SECOND, true);
        window.told(&[], (3, 9));
        assert_eq!(window.untold(now), []);
        // It was restarted.
        window.told(&[], (1, 9));
        assert_eq!(window.untold(now).len(), 3);
        assert_eq!(window.untold(now + 60 * SECOND), []);
    }

    #[test]
    fn u8_when_the_next_one_is_due_follows_from_the_place_and_the_turns_that_are_out() {
        let (mut window, now) = (Window::default(), Instant::now());
        let at = |seconds: u32| now + seconds * SECOND;
        let per = 60 * SECOND;
        window.told(&[], (3, 3));
        window.forecast(vec![at(5), at(20), at(40)]);
        for (ahead, due) in [(0, 5), (1, 20), (2, 40), (3, 65), (4, 80), (6, 125)] {
            assert_eq!(window.due(ahead, per, now), at(due), "{ahead}");
        }
        window.shut(at(30));
        assert_eq!(window.due(1, per, now), at(30));
        assert_eq!(window.due(2, per, now), at(40));
        // One is free; of the third nothing is known.
        let mut window = Window::default();
        window.told(&[], (2, 3));
        window.forecast(vec![at(5)]);
        for (ahead, due) in [(0, 0), (1, 5), (2, 60), (3, 60)] {
            assert_eq!(window.due(ahead, per, now), at(due), "{ahead}");
        }
    }
}
