//! The log of orders in Redis: one stream, so one script does in a cluster, too.

use std::time::SystemTime;

use bytes::Bytes;

use super::Redis;
use crate::store::orders::{
    Cursor, Fields, Lodged, NAME_MAX, ORDERS_MAX, Order, Orders, PAGE, Target, USUAL,
};
use crate::store::{Keys, Unavailable};

/// Longest text before a name in what is lifted: `certificate:`.
const KIND_MAX: usize = 16;

impl Redis {
    pub(in crate::store) async fn write_order(
        &self,
        order: &Order,
        until: SystemTime,
        keys: &Keys,
    ) -> Result<Lodged, Unavailable> {
        let turn = self.turn()?;
        let fields = order.written(until);
        let args = [
            order.room().to_string(),
            super::ms(USUAL),
            fields.kind,
            fields.value,
            fields.until,
            fields.end,
        ];
        let told: String = turn.ask(&self.scripts.order, [keys.orders()], args).await?;
        lodged(&told)
    }

    pub(in crate::store) async fn restore(
        &self,
        revoked: &[(Target, SystemTime)],
        keys: &Keys,
    ) -> Result<Lodged, Unavailable> {
        let turn = self.turn()?;
        let mut args = vec![ORDERS_MAX.to_string(), super::ms(USUAL)];
        for (target, until) in revoked {
            let fields = Order::Revoke(target.clone()).written(*until);
            args.extend([fields.kind, fields.value, fields.until]);
        }
        let script = &self.scripts.restore;
        let told: String = turn.ask(script, [keys.orders()], args).await?;
        lodged(&told)
    }

    pub(in crate::store) async fn orders(
        &self,
        after: Cursor,
        keys: &Keys,
    ) -> Result<Orders, Unavailable> {
        let turn = self.turn()?;
        let args = [
            after.next().to_string(),
            PAGE.to_string(),
            (KIND_MAX + NAME_MAX).to_string(),
        ];
        // Bytes: what somebody writes by hand need be no text, and must not hide the others.
        let told: Vec<Bytes> = turn
            .ask(&self.scripts.orders, [keys.orders()], args)
            .await?;
        read(&told, after).ok_or(Unavailable::Malformed)
    }
}

fn lodged(told: &str) -> Result<Lodged, Unavailable> {
    match told {
        "written" => Ok(Lodged::Written),
        "full" => Ok(Lodged::Full),
        _ => Err(Unavailable::Malformed),
    }
}

/// The last place of the log, then entries of five texts each.
fn read(told: &[Bytes], after: Cursor) -> Option<Orders> {
    let (last, rest) = told.split_first()?;
    let (entries, odd) = rest.as_chunks::<5>();
    let mut orders = Orders {
        read_to: after,
        last: place(last)?,
        more: entries.len() >= PAGE,
        ..Orders::default()
    };
    for [at, kind, value, until, end] in entries {
        orders.read_to = place(at)?;
        let text = |bytes: &Bytes| std::str::from_utf8(bytes).map(str::to_owned).ok();
        let fields = || {
            Some(Fields {
                kind: text(kind)?,
                value: text(value)?,
                until: text(until)?,
                end: text(end)?,
            })
        };
        match fields().and_then(|fields| fields.read(orders.read_to)) {
            Some(ordered) => orders.orders.push(ordered),
            None => orders.malformed += 1,
        }
    }
    odd.is_empty().then_some(orders)
}

fn place(bytes: &Bytes) -> Option<Cursor> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
