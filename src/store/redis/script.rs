//! The scripts, and how Redis knows them: by the SHA-1 of their text.

use aws_lc_rs::digest;

/// One script.
pub(super) struct Script {
    pub(super) text: &'static str,
    pub(super) sha: String,
}

impl Script {
    fn new(text: &'static str) -> Script {
        let sha = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let sha = sha.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Script {
            text,
            sha: sha.collect(),
        }
    }
}

/// All of them.
pub(super) struct Scripts {
    pub(super) enter: Script,
    pub(super) admit: Script,
    pub(super) spend: Script,
    pub(super) unspend: Script,
    pub(super) take: Script,
    pub(super) try_code: Script,
    pub(super) reserve: Script,
    pub(super) count: Script,
    pub(super) uncount: Script,
    pub(super) settle: Script,
    pub(super) leave: Script,
    pub(super) hand_back: Script,
    pub(super) look: Script,
    pub(super) glance: Script,
    pub(super) note: Script,
    pub(super) known: Script,
    pub(super) end: Script,
    pub(super) press: Script,
    pub(super) tones: Script,
    pub(super) bind: Script,
    pub(super) connect: Script,
    pub(super) book: Script,
    pub(super) lay: Script,
    pub(super) laid: Script,
    pub(super) unbook: Script,
    pub(super) withdraw: Script,
    pub(super) forget: Script,
    pub(super) handed: Script,
    pub(super) begun: Script,
    pub(super) over: Script,
    pub(super) order: Script,
    pub(super) orders: Script,
    pub(super) restore: Script,
    pub(super) list: Script,
    pub(super) unlist: Script,
    pub(super) listed: Script,
    pub(super) take_turn: Script,
    pub(super) note_turn: Script,
    pub(super) limit_take: Script,
    pub(super) limit_keep: Script,
    pub(super) limit_free: Script,
}

impl Scripts {
    pub(super) fn new() -> Scripts {
        Scripts {
            enter: Script::new(concat!(
                include_str!("bound.lua"),
                include_str!("contact.lua"),
                include_str!("record.lua"),
                include_str!("enter.lua")
            )),
            admit: Script::new(concat!(
                include_str!("record.lua"),
                include_str!("admit.lua")
            )),
            spend: Script::new(include_str!("spend.lua")),
            unspend: Script::new(include_str!("unspend.lua")),
            take: Script::new(concat!(
                include_str!("bound.lua"),
                include_str!("contact.lua"),
                include_str!("take.lua")
            )),
            try_code: Script::new(concat!(
                include_str!("contact.lua"),
                include_str!("try.lua")
            )),
            reserve: Script::new(include_str!("reserve.lua")),
            count: Script::new(include_str!("count.lua")),
            uncount: Script::new(include_str!("uncount.lua")),
            settle: Script::new(include_str!("settle.lua")),
            leave: Script::new(include_str!("leave.lua")),
            hand_back: Script::new(include_str!("hand_back.lua")),
            look: Script::new(include_str!("look.lua")),
            glance: Script::new(include_str!("glance.lua")),
            note: Script::new(include_str!("note.lua")),
            known: Script::new(include_str!("known.lua")),
            end: Script::new(include_str!("end.lua")),
            press: Script::new(include_str!("press.lua")),
            tones: Script::new(include_str!("tones.lua")),
            bind: Script::new(include_str!("bind.lua")),
            connect: Script::new(include_str!("connect.lua")),
            book: Script::new(include_str!("book.lua")),
            lay: Script::new(include_str!("lay.lua")),
            laid: Script::new(include_str!("laid.lua")),
            unbook: Script::new(include_str!("unbook.lua")),
            withdraw: Script::new(include_str!("withdraw.lua")),
            forget: Script::new(include_str!("forget.lua")),
            handed: Script::new(include_str!("handed.lua")),
            begun: Script::new(include_str!("begun.lua")),
            over: Script::new(include_str!("over.lua")),
            order: Script::new(include_str!("order.lua")),
            orders: Script::new(include_str!("orders.lua")),
            restore: Script::new(include_str!("restore.lua")),
            list: Script::new(include_str!("list.lua")),
            unlist: Script::new(include_str!("unlist.lua")),
            listed: Script::new(include_str!("listed.lua")),
            take_turn: Script::new(include_str!("take_turn.lua")),
            note_turn: Script::new(include_str!("note_turn.lua")),
            limit_take: Script::new(include_str!("limit_take.lua")),
            limit_keep: Script::new(include_str!("limit_keep.lua")),
            limit_free: Script::new(include_str!("limit_free.lua")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An edge whose clock is fast would clear away what is in force for all others.
    #[test]
    fn a35_orders_are_cleared_away_by_the_server_s_clock_and_by_no_edge_s() {
        let scripts = Scripts::new();
        for script in [&scripts.order, &scripts.restore] {
            let now = script.text.lines().find(|line| line.contains("now ="));
            let now = now.expect("what has ended is found by a time");
            assert!(!now.contains("ARGV") && now.contains("time["), "{now}");
            assert!(script.text.contains("local time = redis.call('TIME')"));
        }
    }
}
