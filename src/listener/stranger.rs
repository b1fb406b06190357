//! Whoever is connected and not admitted yet: bounded in all and by address, apart from sessions.

use std::sync::{Arc, Mutex, PoisonError};

use crate::admission::{Address, Permit, Slot, Slots};

/// A connection's place among those that nobody has been admitted on. It is given up with the
/// grant, not with the session: a slow upstream must not make strangers of those who were let in.
///
/// A hop has many clients, so its connections have a place in all only, until the client's address
/// is known: from the PROXY header, or from the head of the request.
#[derive(Clone)]
pub(super) struct Stranger {
    place: Arc<Mutex<Option<Place>>>,
    addresses: Slots<Address>,
    per_address: usize,
}

struct Place {
    _in_all: Permit,
    of_address: Option<Slot<Address>>,
}

impl Stranger {
    /// Not counted at any address yet; `per_address` is the bound of each.
    pub(super) fn new(in_all: Permit, addresses: Slots<Address>, per_address: usize) -> Stranger {
        let place = Place {
            _in_all: in_all,
            of_address: None,
        };
        Stranger {
            place: Arc::new(Mutex::new(Some(place))),
            addresses,
            per_address,
        }
    }

    /// With nothing to give up.
    #[cfg(test)]
    pub(super) fn of_a_test() -> Stranger {
        Stranger {
            place: Arc::default(),
            addresses: Slots::default(),
            per_address: 1,
        }
    }

    /// Counts the connection at an address; `false` if there are too many of it.
    pub(super) fn count_at(&self, address: Address) -> bool {
        let mut place = self.lock();
        let Some(place) = place.as_mut() else {
            return true;
        };
        place.of_address = self.addresses.take(address, self.per_address);
        place.of_address.is_some()
    }

    /// Somebody was admitted on the connection.
    pub(super) fn admitted(&self) {
        let place = self.lock().take();
        drop(place);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Place>> {
        // Nothing panics while it is held, and a poisoned place would be the same place.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
