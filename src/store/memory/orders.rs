//! The log of orders, kept in this process.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::Memory;
use crate::store::orders::{Cursor, Lodged, Order, Ordered, Orders, PAGE, Target};

/// The log.
#[derive(Default)]
pub(super) struct Log {
    pub(super) entries: VecDeque<Ordered>,
    last: Cursor,
}

impl Memory {
    pub(in crate::store) fn write_order(&self, order: &Order, until: SystemTime) -> Lodged {
        let mut state = self.state();
        let log = &mut state.orders;
        let now = SystemTime::now();
        let same = |entry: &Ordered| entry.order == *order && entry.until == until;
        if log.entries.iter().rev().take(16).any(same) {
            return Lodged::Written;
        }
        log.entries.retain(|entry| entry.until > now);
        if log.entries.len() >= order.room() {
            return Lodged::Full;
        }
        log.last = log.last.at(now);
        log.entries.push_back(Ordered {
            at: log.last,
            order: order.clone(),
            until,
        });
        Lodged::Written
    }

    pub(in crate::store) fn restore(&self, revoked: &[(Target, SystemTime)]) -> Lodged {
        for (target, until) in revoked {
            let known = |entry: &Ordered| {
                let same = matches!(&entry.order, Order::Revoke(known) if known == target);
                same && entry.until >= *until
            };
            if self.state().orders.entries.iter().any(known) {
                continue;
            }
            let order = Order::Revoke(target.clone());
            if self.write_order(&order, *until) == Lodged::Full {
                return Lodged::Full;
            }
        }
        Lodged::Written
    }

    pub(in crate::store) fn orders(&self, after: Cursor) -> Orders {
        let state = self.state();
        let log = &state.orders;
        // Places rise.
        let behind = log.entries.partition_point(|entry| entry.at <= after);
        let new = log.entries.range(behind..).take(PAGE);
        let orders: Vec<Ordered> = new.cloned().collect();
        Orders {
            read_to: orders.last().map_or(after, |last| last.at),
            last: log.last,
            more: orders.len() >= PAGE,
            malformed: 0,
            orders,
        }
    }
}
