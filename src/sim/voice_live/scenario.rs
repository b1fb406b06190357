//! The parts a simulated service can play, and their names.
//!
//! Owns the mapping from a `model` value to a part. Refuses to know how a part is played.

use crate::sim::frame;

/// What happens on one connection after, or instead of, its upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A faithful Voice Live that answers each turn with the turn's own audio.
    Conversation,
    /// Every frame comes back: opcode, FIN, fragmentation and payload.
    Echo,
    /// Counts and answers nothing.
    Sink,
    /// Sends pings, checks their pongs, then closes with 1000.
    Ping,
    /// A 4 MiB text message, the same in fragments, then the size of each message received.
    Large,
    /// 1 KiB text messages as fast as they go, until closed or 64 MiB.
    Flood,
    /// Reads 1 KiB each 50 ms.
    Slow,
    /// Answers 101 and never reads.
    Stall,
    /// Bytes after the 101 that are no frame a server may send.
    Garbage(Garbage),
    /// A text frame in the same write as its 101, then echo.
    Early,
    /// A frame before its 101.
    Before,
    /// `session.created`, then a close frame with this code, legal or not, and the reason `sim`.
    Close(u16),
    /// `session.created`, then a TCP reset.
    Reset,
    /// `session.created`, then the end of the stream without a close frame.
    Eof,
    /// This HTTP status instead of 101.
    Refuse(u16),
    /// Reads the request and never answers.
    Hang,
    /// A 101 of one byte each 200 ms, then echo.
    Drip,
    /// A 101 whose `Sec-WebSocket-Accept` answers another key.
    BadAccept,
    /// A 101 whose headers never end.
    EndlessHead,
    /// A 101 that claims permessage-deflate.
    Extension,
}

/// Kinds of invalid bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// A reserved opcode.
    Opcode,
    /// A masked frame, which a server may not send.
    Masked,
    /// A reserved bit.
    ReservedBit,
    /// A 63-bit length with its top bit set.
    Length,
}

/// The statuses that `sim-refuse-` takes.
const STATUSES: [u16; 8] = [200, 302, 401, 403, 404, 429, 500, 503];

impl Scenario {
    /// The part named by a `model` value: `Ok(None)` when the value names none, that is when it
    /// does not begin with `sim-`; `Err` when it begins so and is unknown.
    pub fn from_model(model: &str) -> Result<Option<Self>, UnknownScenario> {
        let Some(name) = model.strip_prefix("sim-") else {
            return Ok(None);
        };
        if let Some(code) = name.strip_prefix("close-raw-") {
            return Ok(Some(Self::Close(number(code)?)));
        }
        if let Some(code) = name.strip_prefix("close-") {
            let code = number(code)?;
            let legal = frame::may_be_sent(code);
            return legal
                .then_some(Some(Self::Close(code)))
                .ok_or(UnknownScenario);
        }
        if let Some(status) = name.strip_prefix("refuse-") {
            let status = number(status)?;
            let known = STATUSES.contains(&status);
            return known
                .then_some(Some(Self::Refuse(status)))
                .ok_or(UnknownScenario);
        }
        Ok(Some(match name {
            "conversation" => Self::Conversation,
            "echo" => Self::Echo,
            "sink" => Self::Sink,
            "ping" => Self::Ping,
            "large" => Self::Large,
            "flood" => Self::Flood,
            "slow" => Self::Slow,
            "stall" => Self::Stall,
            "garbage" | "garbage-opcode" => Self::Garbage(Garbage::Opcode),
            "garbage-masked" => Self::Garbage(Garbage::Masked),
            "garbage-rsv" => Self::Garbage(Garbage::ReservedBit),
            "garbage-length" => Self::Garbage(Garbage::Length),
            "early" => Self::Early,
            "before" => Self::Before,
            "reset" => Self::Reset,
            "eof" => Self::Eof,
            "hang" => Self::Hang,
            "drip" => Self::Drip,
            "bad-accept" => Self::BadAccept,
            "endless-head" => Self::EndlessHead,
            "extension" => Self::Extension,
            _ => return Err(UnknownScenario),
        }))
    }
}

/// A `model` that begins with `sim-` and names no scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no scenario of that name")]
pub struct UnknownScenario;

fn number(digits: &str) -> Result<u16, UnknownScenario> {
    digits.parse().map_err(|_| UnknownScenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_parts() {
        let cases = [
            ("gpt-realtime", Ok(None)),
            ("sim-echo", Ok(Some(Scenario::Echo))),
            (
                "sim-garbage-length",
                Ok(Some(Scenario::Garbage(Garbage::Length))),
            ),
            ("sim-close-4403", Ok(Some(Scenario::Close(4403)))),
            ("sim-close-1006", Err(UnknownScenario)),
            ("sim-close-raw-1006", Ok(Some(Scenario::Close(1006)))),
            ("sim-close-raw-70000", Err(UnknownScenario)),
            ("sim-refuse-429", Ok(Some(Scenario::Refuse(429)))),
            ("sim-refuse-101", Err(UnknownScenario)),
            ("sim-", Err(UnknownScenario)),
            ("sim-nothing", Err(UnknownScenario)),
        ];
        for (model, expected) in cases {
            assert_eq!(Scenario::from_model(model), expected, "{model}");
        }
    }
}
