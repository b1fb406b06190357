//! So many at a time in all: a number that a reload may change while some are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What there is, and how much of it is taken. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Permits(Arc<State>);

#[derive(Debug)]
struct State {
    most: AtomicUsize,
    taken: AtomicUsize,
}

/// One of them; dropping it gives it back.
#[derive(Debug)]
pub struct Permit(Arc<State>);

impl Permits {
    pub fn new(most: usize) -> Permits {
        Permits(Arc::new(State {
            most: AtomicUsize::new(most),
            taken: AtomicUsize::new(0),
        }))
    }

    /// `None`: all are taken.
    pub fn take(&self) -> Option<Permit> {
        let most = self.0.most.load(Ordering::Relaxed);
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = &self.0.taken;
        let took = taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        took.is_ok().then(|| Permit(self.0.clone()))
    }

    /// From now on there are so many. Of what is taken beyond that nothing is taken back.
    pub fn set(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    pub fn has_room(&self) -> bool {
        self.taken() < self.0.most.load(Ordering::Relaxed)
    }

    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Acquire)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a39_a_lowered_number_is_for_who_comes_and_a_raised_one_at_once() {
        let permits = Permits::new(3);
        let mut held: Vec<_> = (0..3).filter_map(|_| permits.take()).collect();
        assert!(held.len() == 3 && permits.take().is_none() && !permits.has_room());
        permits.set(1);
        // Two must go before there is room for one.
        for left in [2, 1] {
            held.pop();
            assert!(permits.take().is_none(), "with {left} taken");
        }
        held.pop();
        held.extend(permits.take());
        assert!(held.len() == 1 && permits.take().is_none());
        permits.set(2);
        assert!(permits.has_room());
        held.extend(permits.take());
        assert!(held.len() == 2 && permits.take().is_none());
        drop(held);
        assert_eq!(permits.taken(), 0);
    }

    #[test]
    fn counts_are_exact_over_many_threads() {
        let permits = Permits::new(10);
        let held: Vec<Permit> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            drop(permits.take());
                        }
                        (0..10).filter_map(|_| permits.take()).collect::<Vec<_>>()
                    })
                })
                .collect();
            let taken = takers.into_iter().flat_map(|taker| taker.join().unwrap());
            taken.collect()
        });
        assert_eq!((held.len(), permits.taken()), (10, 10));
        drop(held);
        assert_eq!(permits.taken(), 0);
    }
}
