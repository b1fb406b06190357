//! What a wake has brought that somebody may want to time. Without times: nothing here knows a clock.

use crate::wire::voice_live::Kind;

/// Something that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Audio, of the caller where that can be told.
    Audio,
    /// Audio that ACS takes for the caller's silence.
    Silence,
    /// Audio of somebody else in the call.
    Others,
    /// The client begins to speak.
    Speech,
    /// It has ended, or was committed: an answer is due.
    Said,
    /// The answer that speaks is cancelled by the client.
    Cancel,
    /// An answer begins.
    Begun,
    /// An answer is over.
    Over,
    /// What was to be played is not to be played.
    Stop,
}

impl Mark {
    /// What of a message by its kind is timed.
    #[inline]
    pub(super) fn of(kind: Kind) -> Option<Mark> {
        Some(match kind {
            Kind::Audio => Mark::Audio,
            Kind::Speech => Mark::Speech,
            Kind::Said => Mark::Said,
            Kind::Cancel => Mark::Cancel,
            Kind::Begun => Mark::Begun,
            Kind::Over => Mark::Over,
            Kind::Other => return None,
        })
    }
}

/// Marks of one wake that are kept: it brings 64 KiB at the most, which are a few messages. Of more,
/// the last ones are left out; a wake is so short that no time would tell them apart.
const MARKS: usize = 8;

/// The marks of one direction since they were last taken, in order; the same one twice is one.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    list: [Mark; MARKS],
    length: u8,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks {
            list: [Mark::Audio; MARKS],
            length: 0,
        }
    }
}

impl Marks {
    #[inline]
    pub fn add(&mut self, mark: Mark) {
        let length = usize::from(self.length);
        if (length > 0 && self.list[length - 1] == mark) || length == MARKS {
            return;
        }
        self.list[length] = mark;
        self.length += 1;
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All of them, once.
    #[inline]
    pub fn take(&mut self) -> Marks {
        let taken = *self;
        self.length = 0;
        taken
    }

    pub fn list(&self) -> &[Mark] {
        &self.list[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a40_marks_are_kept_in_order_bounded_and_taken_once() {
        let mut marks = Marks::default();
        assert!(marks.is_empty());
        for mark in [Mark::Audio, Mark::Audio, Mark::Speech, Mark::Audio] {
            marks.add(mark);
        }
        let taken = marks.take();
        assert_eq!(taken.list(), [Mark::Audio, Mark::Speech, Mark::Audio]);
        assert!(marks.is_empty() && marks.take().list().is_empty());
        for n in 0..100 {
            marks.add([Mark::Begun, Mark::Over][n % 2]);
        }
        assert_eq!(marks.take().list().len(), MARKS);
    }
}
