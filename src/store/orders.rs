//! Orders to all edges: what was taken back, and what else all must hear of a session wherever it
//! runs.
//!
//! They stand in one log, each as long as it is in force, and every edge reads behind what it has read
//! already: nobody has to be told, so no message can be lost. Whoever begins reads all that is there.
//! The README says how an operator writes one by hand.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Engine, Store, Unavailable};
use crate::ids::{CallId, SessionId};
use crate::label::Label;
use crate::secret::Digest;

/// Orders in the log. Each edge keeps those in force in memory, some hundred bytes each, and one that
/// starts reads all of them; who takes more back than this takes a tenant or a key back.
pub const ORDERS_MAX: usize = 10_000;
/// Of these so many may be no revocations: what sessions do of their own accord must not leave a
/// revocation without room.
pub const NOTICES_MAX: usize = ORDERS_MAX / 2;
/// How long an order is in force that does not say.
pub const USUAL: Duration = Duration::from_secs(24 * 3600);
/// Longest name of what is taken back, in bytes.
pub const NAME_MAX: usize = 1024;
/// Lost revocations that are given back at a time.
pub const RESTORED_MAX: usize = 200;
/// Read at a time.
pub(super) const PAGE: usize = 500;
/// Any later time in ms since 1970 is more: who writes seconds by mistake is told.
const MS_MIN: u64 = 1_000_000_000_000;

/// What is taken back: whoever is this does not enter, and whose session is this is ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Session(SessionId),
    /// As logs show it.
    Subject(Box<str>),
    /// In lower case: two spellings of a GUID are one.
    Tenant(Box<str>),
    /// An API key, by its name in the settings.
    Key(Label),
    /// A client certificate, by its name in the settings.
    Certificate(Label),
    Call(CallId),
    /// A token, by what is signed in it.
    Credential(Digest),
}

impl Target {
    /// All kinds, by their words.
    pub const KINDS: [&'static str; 7] = [
        "session",
        "subject",
        "tenant",
        "key",
        "certificate",
        "call",
        "credential",
    ];

    /// Reads what `kind` names by `name`; `None` if it is of no kind, or not in its grammar.
    pub fn read(kind: &str, name: &str) -> Option<Target> {
        let printable = (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        if !printable {
            return None;
        }
        match kind {
            "session" => SessionId::from_hex(name).map(Target::Session),
            "subject" => Some(Target::Subject(name.into())),
            "tenant" => Some(Target::tenant(name)),
            "key" => Label::new(name).map(Target::Key),
            "certificate" => Label::new(name).map(Target::Certificate),
            "call" => CallId::new(name).map(Target::Call),
            "credential" => Digest::from_hex(name).map(Target::Credential),
            _ => None,
        }
    }

    /// A tenant in the one spelling that is compared.
    pub fn tenant(name: &str) -> Target {
        Target::Tenant(name.to_ascii_lowercase().into())
    }

    /// Its word among [`KINDS`](Target::KINDS), for metrics and logs.
    pub fn kind(&self) -> &'static str {
        let place = match self {
            Target::Session(_) => 0,
            Target::Subject(_) => 1,
            Target::Tenant(_) => 2,
            Target::Key(_) => 3,
            Target::Certificate(_) => 4,
            Target::Call(_) => 5,
            Target::Credential(_) => 6,
        };
        Target::KINDS[place]
    }

    /// What [`Target::read`] reads.
    pub fn name(&self) -> String {
        match self {
            Target::Session(id) => id.to_string(),
            Target::Subject(name) | Target::Tenant(name) => name.to_string(),
            Target::Key(name) | Target::Certificate(name) => name.to_string(),
            Target::Call(call) => call.to_string(),
            Target::Credential(digest) => digest.to_hex(),
        }
    }
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Revoke(Target),
    /// It is not taken back any more, by any order before this one.
    Lift(Target),
    /// The session has shown a new credential: it may last until `end`, unless that is taken back.
    Refresh {
        session: SessionId,
        end: SystemTime,
        /// By what is signed in it; `None`: it is no token.
        credential: Option<Digest>,
    },
    /// The session is to end; nothing is taken back.
    End {
        session: SessionId,
    },
}

impl Order {
    /// Its word in the log, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Order::Revoke(target) => target.kind(),
            Order::Lift(_) => "lift",
            Order::Refresh { .. } => "refresh",
            Order::End { .. } => "end",
        }
    }

    /// The fields of its entry.
    pub(super) fn written(&self, until: SystemTime) -> Fields {
        let (value, end) = match self {
            Order::Revoke(target) => (target.name(), String::new()),
            Order::Lift(target) => {
                let value = format!("{}:{}", target.kind(), target.name());
                (value, String::new())
            }
            Order::Refresh {
                session,
                end,
                credential,
            } => {
                let credential = credential.map(|digest| format!(":{}", digest.to_hex()));
                let value = format!("{session}{}", credential.unwrap_or_default());
                (value, ms(*end).to_string())
            }
            Order::End { session } => (session.to_string(), String::new()),
        };
        Fields {
            kind: self.kind().to_owned(),
            value,
            until: ms(until).to_string(),
            end,
        }
    }

    /// How many there may be, with this one, before it is refused.
    pub(super) fn room(&self) -> usize {
        match self {
            Order::Revoke(_) | Order::Lift(_) => ORDERS_MAX,
            Order::Refresh { .. } | Order::End { .. } => NOTICES_MAX,
        }
    }
}

/// An entry of the log as it is written; what it lacks is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) kind: String,
    pub(super) value: String,
    pub(super) until: String,
    pub(super) end: String,
}

impl Fields {
    /// The order that stands there. `None`: whoever wrote it by hand made a mistake.
    pub(super) fn read(&self, at: Cursor) -> Option<Ordered> {
        let until = match self.until.as_str() {
            "" => at.time()?.checked_add(USUAL)?,
            until => time(until)?,
        };
        let session = || SessionId::from_hex(&self.value);
        let order = match self.kind.as_str() {
            "refresh" => {
                // Entries without a credential are those of keys and of older edges.
                let (session, credential) = match self.value.split_once(':') {
                    Some((session, digest)) => (session, Some(Digest::from_hex(digest)?)),
                    None => (self.value.as_str(), None),
                };
                Order::Refresh {
                    session: SessionId::from_hex(session)?,
                    end: time(&self.end)?,
                    credential,
                }
            }
            "end" => Order::End {
                session: session()?,
            },
            "lift" => {
                let (kind, name) = self.value.split_once(':')?;
                Order::Lift(Target::read(kind, name)?)
            }
            kind => Order::Revoke(Target::read(kind, &self.value)?),
        };
        Some(Ordered { at, order, until })
    }
}

/// Milliseconds since 1970, as the log has times.
pub(super) fn ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(text: &str) -> Option<SystemTime> {
    let ms = text.parse().ok().filter(|&ms| ms >= MS_MIN)?;
    UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

/// An order that stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    pub at: Cursor,
    pub order: Order,
    /// In force before this.
    pub until: SystemTime,
}

/// A place in the log: Redis' id of an entry, the time in ms and a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    ms: u64,
    number: u64,
}

impl Cursor {
    /// Before all entries.
    pub const START: Cursor = Cursor { ms: 0, number: 0 };

    /// The first place behind this one.
    pub(super) fn next(self) -> Cursor {
        match self.number.checked_add(1) {
            Some(number) => Cursor { number, ..self },
            None => Cursor {
                ms: self.ms.saturating_add(1),
                number: 0,
            },
        }
    }

    /// The first place of this time, or behind `self` where that is later.
    pub(super) fn at(self, time: SystemTime) -> Cursor {
        let first = Cursor {
            ms: ms(time),
            number: 0,
        };
        first.max(self.next())
    }

    fn time(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.ms))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

impl FromStr for Cursor {
    type Err = Unavailable;

    fn from_str(text: &str) -> Result<Cursor, Unavailable> {
        let parts = text.split_once('-');
        let read = |(ms, number): (&str, &str)| {
            Some(Cursor {
                ms: ms.parse().ok()?,
                number: number.parse().ok()?,
            })
        };
        parts.and_then(read).ok_or(Unavailable::Malformed)
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lodged {
    /// Every edge reads it.
    Written,
    /// There are too many orders in force.
    Full,
}

/// A part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// In their order; some may have ended already.
    pub orders: Vec<Ordered>,
    /// The last place that this part covers.
    pub read_to: Cursor,
    /// The last place that the log ever had; one that is gone has none. Where it lies before what was
    /// read earlier, the log is not the one that it was.
    pub last: Cursor,
    /// There may be more behind it.
    pub more: bool,
    /// Entries that are no orders.
    pub malformed: usize,
}

impl Store {
    /// Writes an order, which is in force until `until`. The same again is no second one, where
    /// nothing came in between.
    pub async fn write_order(
        &self,
        order: &Order,
        until: SystemTime,
    ) -> Result<Lodged, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => Ok(memory.write_order(order, until)),
                Engine::Redis(redis) => Box::pin(redis.write_order(order, until, &self.keys)).await,
            }
        };
        let lodged = self.count("write_order", work).await?;
        if lodged == Lodged::Full {
            self.metrics.limit_hit("orders");
        }
        Ok(lodged)
    }

    /// Writes those of these revocations that are not in the log, up to [`RESTORED_MAX`] of them.
    pub async fn restore(&self, revoked: &[(Target, SystemTime)]) -> Result<Lodged, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => Ok(memory.restore(revoked)),
                Engine::Redis(redis) => Box::pin(redis.restore(revoked, &self.keys)).await,
            }
        };
        let lodged = self.count("restore", work).await?;
        if lodged == Lodged::Full {
            self.metrics.limit_hit("orders");
        }
        Ok(lodged)
    }

    /// The orders behind a place in the log, up to 500 of them.
    pub async fn orders(&self, after: Cursor) -> Result<Orders, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => Ok(memory.orders(after)),
                Engine::Redis(redis) => Box::pin(redis.orders(after, &self.keys)).await,
            }
        };
        self.count("orders", work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Cursor {
        text.parse().unwrap()
    }

    fn fields(kind: &str, value: &str) -> Fields {
        Fields {
            kind: kind.to_owned(),
            value: value.to_owned(),
            ..Fields::default()
        }
    }

    #[test]
    fn a35_every_order_is_read_as_it_was_written() {
        let now = UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
        let session = SessionId::random();
        let end = now + Duration::from_secs(60);
        let label = |name| Label::new(name).unwrap();
        let mut orders: Vec<Order> = [
            Target::Session(session),
            Target::Subject("users:t/Anna \u{e9}".into()),
            Target::tenant("AAAA-b"),
            Target::Key(label("kiosk")),
            Target::Certificate(label("kiosk")),
            Target::Call(CallId::new("7f0c").unwrap()),
            Target::Credential(Digest::of("a.b")),
        ]
        .map(Order::Revoke)
        .into();
        let kinds: Vec<&str> = orders.iter().map(Order::kind).collect();
        assert_eq!(kinds, Target::KINDS);
        let lifts = orders.clone().into_iter().filter_map(|order| match order {
            Order::Revoke(target) => Some(Order::Lift(target)),
            Order::Lift(_) | Order::Refresh { .. } | Order::End { .. } => None,
        });
        let lifts: Vec<Order> = lifts.collect();
        orders.extend(lifts);
        orders.extend(
            [None, Some(Digest::of("a.b"))].map(|credential| Order::Refresh {
                session,
                end,
                credential,
            }),
        );
        orders.push(Order::End { session });
        for order in orders {
            let read = order.written(now).read(at("1-1")).unwrap();
            assert_eq!(read.order, order);
            assert_eq!((read.at, read.until), (at("1-1"), now));
        }
        assert_eq!(Target::tenant("AAAA-b").name(), "aaaa-b");
    }

    #[test]
    fn a35_what_an_operator_writes_is_in_force_for_a_day_unless_it_says() {
        let written = at("1800000000000-7");
        let read = fields("key", "kiosk").read(written).unwrap();
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(read.until, written.time().unwrap() + day);
        let until = Fields {
            until: "1800000000001".to_owned(),
            ..fields("key", "kiosk")
        };
        assert_eq!(ms(until.read(written).unwrap().until), 1_800_000_000_001);
    }

    #[test]
    fn a35_a_mistake_is_no_order() {
        let long = "x".repeat(NAME_MAX + 1);
        for (kind, value) in [
            ("", "x"),
            ("subject", ""),
            ("subject", &long),
            ("subject", "users:a\nb"),
            ("Subject", "users:a"),
            ("key", "a b"),
            ("call", "a:b"),
            ("session", "7f0c"),
            ("session", "zz0c7f0c7f0c7f0c7f0c7f0c"),
            ("credential", "7f0c"),
            ("refresh", "7f0c7f0c7f0c7f0c7f0c7f0c"),
            ("refresh", "7f0c7f0c7f0c7f0c7f0c7f0c:7f0c"),
            ("end", "7f0c"),
            ("lift", "users"),
            ("lift", "sbuject:users:a"),
            ("lift", "key:a b"),
        ] {
            assert_eq!(fields(kind, value).read(at("1-1")), None, "{kind} {value}");
        }
        // Seconds, words, and more than there is.
        for until in ["1800000000", "tomorrow", "-1", "99999999999999999999999"] {
            let wrong = Fields {
                until: until.to_owned(),
                ..fields("key", "kiosk")
            };
            assert_eq!(wrong.read(at("1-1")), None, "{until}");
        }
    }

    #[test]
    fn a35_a_place_in_the_log_is_redis_own_and_has_one_behind_it() {
        assert_eq!(at("5-7").to_string(), "5-7");
        assert_eq!(at("5-7").next(), at("5-8"));
        assert_eq!(at("5-18446744073709551615").next(), at("6-0"));
        assert!(at("5-8") < at("6-0") && Cursor::START < at("0-1"));
        for bad in ["", "5", "5-", "-7", "5-7-9", "a-b"] {
            assert_eq!(bad.parse::<Cursor>(), Err(Unavailable::Malformed), "{bad}");
        }
    }
}
