//! Four bytes that nobody can foresee: masks of the frames that the edge itself sends (RFC 6455, 5.3),
//! and what its pings say.
//!
//! A bridged call needs a mask for each message, and asking the generator costs about as much as all
//! else that is done with one. So the generator of the thread is asked for many at once.

use std::cell::RefCell;

/// Words that are drawn at once: 1.3 seconds of one call.
const WORDS: usize = 64;

struct Drawn {
    words: [[u8; 4]; WORDS],
    left: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const {
        RefCell::new(Drawn {
            words: [[0; 4]; WORDS],
            left: 0,
        })
    };
}

pub(super) fn random() -> [u8; 4] {
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.left == 0 {
            let bytes = drawn.words.as_flattened_mut();
            aws_lc_rs::rand::fill(bytes).expect("the system generator never fails after boot");
            drawn.left = WORDS;
        }
        drawn.left -= 1;
        // None is given out twice, nor kept once it was.
        std::mem::take(&mut drawn.words[drawn.left])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn none_comes_twice_in_a_row_of_draws_nor_on_another_thread() {
        let some = || (0..3 * WORDS).map(|_| random()).collect::<Vec<_>>();
        let (here, there) = (some(), std::thread::spawn(some).join().unwrap());
        let all: HashSet<[u8; 4]> = here.into_iter().chain(there).collect();
        // Of 384 words of 32 bits two are equal once in 60,000 times, and three pairs never.
        assert!(all.len() > 6 * WORDS - 3, "{}", all.len());
    }
}
