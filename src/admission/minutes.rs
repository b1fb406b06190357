//! How long the sessions of each have lasted, in a window that begins with the first.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::rate::Wait;
use super::who::Who;
use crate::config::Rate;
use crate::store::minutes;

/// Who is remembered until the end of their window. Others then wait, and are not let in uncounted.
const WHO_MAX: usize = 65_536;

/// What this edge knows of it.
#[derive(Debug, Default)]
pub(super) struct Minutes(DashMap<Who, Window>);

#[derive(Debug)]
struct Window {
    ends: Instant,
    used: Duration,
}

impl Minutes {
    /// Whether somebody has minutes left, which begins a window for them.
    pub(super) fn ask(&self, who: Who, most: Rate, now: Instant) -> Result<(), Wait> {
        if self.0.len() >= WHO_MAX && !self.0.contains_key(&who) {
            return Err(Wait::Full);
        }
        let ends = now + most.per;
        let mut window = self.0.entry(who).or_insert(Window {
            ends,
            used: Duration::ZERO,
        });
        if window.ends <= now {
            *window = Window {
                ends,
                used: Duration::ZERO,
            };
        }
        match window.used < minutes(most) {
            true => Ok(()),
            false => Err(Wait::For(window.ends - now)),
        }
    }

    /// Adds what a session of somebody has lasted. In a table that is full they are not counted here:
    /// none that is let in is.
    pub(super) fn add(&self, who: &Who, most: Rate, lasted: Duration, now: Instant) {
        let ends = now + most.per;
        match self.0.entry(who.clone()) {
            Entry::Occupied(mut window) if window.get().ends > now => {
                window.get_mut().used += lasted;
            }
            Entry::Occupied(mut window) => {
                window.insert(Window { ends, used: lasted });
            }
            Entry::Vacant(free) => {
                free.insert(Window { ends, used: lasted });
            }
        }
    }

    /// Until when somebody has used so much, if they have.
    pub(super) fn used_up(&self, who: &Who, most: Duration, now: Instant) -> Option<Duration> {
        let window = self.0.get(who)?;
        let over = window.ends > now && window.used >= most;
        over.then(|| window.ends - now)
    }

    /// Forgets windows that have ended.
    pub(super) fn sweep(&self, now: Instant) {
        self.0.retain(|_, window| window.ends > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a43_minutes_are_used_up_until_their_window_ends() {
        let (all, start) = (Minutes::default(), Instant::now());
        let who = Who::Key(Label::new("k").unwrap());
        let most = Rate {
            count: 3,
            per: 10 * MINUTE,
        };
        assert_eq!(all.ask(who.clone(), most, start), Ok(()));
        all.add(&who, most, 2 * MINUTE, start + 2 * MINUTE);
        let at = start + 3 * MINUTE;
        assert_eq!(all.ask(who.clone(), most, at), Ok(()));
        assert_eq!(all.used_up(&who, 2 * MINUTE, at), Some(7 * MINUTE));
        all.add(&who, most, MINUTE, at);
        assert_eq!(all.ask(who.clone(), most, at), Err(Wait::For(7 * MINUTE)));
        assert_eq!(all.ask(Who::All, most, at), Ok(()));
        // The window began with the first, and its end is the end of it.
        let over = start + 10 * MINUTE;
        assert_eq!(all.used_up(&who, MINUTE, over), None);
        assert_eq!(all.ask(who.clone(), most, over), Ok(()));
        all.sweep(over + 11 * MINUTE);
        assert!(all.0.is_empty());
    }
}
