//! Which trace a request belongs to: W3C Trace Context, level 1.
//!
//! A trace is a name that several processes give to one thing, so that what each tells of it can be put
//! side by side. Here it opens nothing and decides nothing.
//!
//! Not here: headers (`listener`, `upstream`), whose word is believed (`listener`).

use std::fmt;
use std::sync::Arc;

/// Longest `tracestate` that goes on, and most members: what the recommendation asks for at the least
/// (3.3.1.5) and at the most (3.3.1.1).
const STATE_MAX: usize = 512;
const MEMBERS_MAX: usize = 32;

/// Names a trace: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Names one part of a trace: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

const DIGITS: &[u8; 16] = b"0123456789abcdef";

macro_rules! id {
    ($id:ident, $length:literal) => {
        impl $id {
            /// Draws a new one from the operating system's generator; all zeros is none.
            ///
            /// # Panics
            /// If the system has no randomness to give; nothing that needs secrets could go on either.
            pub fn random() -> $id {
                let mut bytes = [0; $length];
                while bytes == [0; $length] {
                    aws_lc_rs::rand::fill(&mut bytes)
                        .expect("the system generator never fails after boot");
                }
                $id(bytes)
            }

            /// Reads lower-case hexadecimal digits; all zeros is none.
            fn from_hex(text: &[u8]) -> Option<$id> {
                let mut bytes = [0; $length];
                if text.len() != 2 * bytes.len() {
                    return None;
                }
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = octet(pair)?;
                }
                (bytes != [0; $length]).then_some($id(bytes))
            }

            pub fn to_bytes(self) -> [u8; $length] {
                self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $length];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

/// Two lower-case hexadecimal digits.
fn octet(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let [high, low] = pair else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// The part of a trace that is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub id: TraceId,
    pub span: SpanId,
    /// What it is part of; `None`: the trace begins here.
    pub parent: Option<SpanId>,
    /// Whoever began it wants it kept.
    pub sampled: bool,
}

impl Trace {
    /// A trace of its own.
    pub fn begin(sampled: bool) -> Trace {
        Trace {
            id: TraceId::random(),
            span: SpanId::random(),
            parent: None,
            sampled,
        }
    }

    /// What `traceparent` names goes on here. `None`: it is none, and may not be used in part.
    ///
    /// Versions above 0 are read as far as this one goes; 255 is none.
    pub fn continued(traceparent: &[u8]) -> Option<Trace> {
        const LENGTH: usize = 55;
        let (known, more) = traceparent.split_at_checked(LENGTH)?;
        let dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        let version = octet(&known[..2])?;
        let whole = match version {
            0 => more.is_empty(),
            255 => false,
            _ => more.is_empty() || more[0] == b'-',
        };
        if !dashes || !whole {
            return None;
        }
        Some(Trace {
            id: TraceId::from_hex(&known[3..35])?,
            parent: Some(SpanId::from_hex(&known[36..52])?),
            span: SpanId::random(),
            sampled: octet(&known[53..])? & 1 == 1,
        })
    }

    /// A part of this part.
    pub fn child(&self) -> Trace {
        Trace {
            span: SpanId::random(),
            parent: Some(self.span),
            ..*self
        }
    }

    /// As whoever takes part next is told of it. Flags that are not known are not passed on (3.2.2.5).
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", self.id, self.span)
    }
}

/// What others who take part say of it to each other: passed on as it is, and looked at by nobody here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State(Arc<str>);

impl State {
    /// The lines of `tracestate`, joined. `None`: there is none, or none that may go on: it is left out
    /// whole, as the recommendation allows where it cannot be read.
    pub fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<State> {
        let mut joined = String::new();
        for line in lines {
            let line = std::str::from_utf8(line).ok()?;
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(line);
            if joined.len() > STATE_MAX {
                return None;
            }
        }
        let members: Vec<&str> = joined
            .split(',')
            .map(|member| member.trim_matches([' ', '\t']))
            .filter(|member| !member.is_empty())
            .collect();
        let fine = (1..=MEMBERS_MAX).contains(&members.len()) && members.iter().all(is_member);
        fine.then(|| State(members.join(",").into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `key=value`, as 3.3.1.3 has it: keys of lower-case letters, digits, `_-*/@`; values of what can be
/// printed, without `,` and `=`.
fn is_member(member: &&str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    let in_key = |b: u8| {
        b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let starts = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let in_value = |b: u8| matches!(b, 0x20..=0x7e) && b != b'=' && b != b',';
    key.len() <= 256
        && key.as_bytes().first().is_some_and(starts)
        && key.bytes().all(in_key)
        && (1..=256).contains(&value.len())
        && value.bytes().all(in_value)
}

/// A trace, and what goes on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    pub trace: Trace,
    pub state: Option<State>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a40_a_trace_that_is_named_goes_on_under_its_name() {
        let trace = Trace::continued(NAMED.as_bytes()).unwrap();
        assert_eq!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent.unwrap().to_string(), "00f067aa0ba902b7");
        assert!(trace.sampled && Some(trace.span) != trace.parent);
        let child = trace.child();
        assert_eq!(
            (child.id, child.parent, child.sampled),
            (trace.id, Some(trace.span), true)
        );
        let told = child.traceparent();
        assert_eq!(told.len(), 55);
        assert_eq!(
            Trace::continued(told.as_bytes()).unwrap().parent,
            Some(child.span)
        );
        // Other flags go no further; another version is read as far as it is known.
        for (name, sampled) in [
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
                false,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe",
                false,
            ),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
                true,
            ),
            (
                "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be",
                true,
            ),
        ] {
            let trace = Trace::continued(name.as_bytes()).unwrap();
            assert_eq!(trace.sampled, sampled, "{name}");
            let flags = if sampled { "-01" } else { "-00" };
            assert!(trace.traceparent().ends_with(flags), "{name}");
        }
    }

    #[test]
    fn a40_what_is_no_traceparent_names_nothing() {
        let good = NAMED.as_bytes();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] = b'g';
            assert_eq!(Trace::continued(&bad), None, "byte {at}");
            assert_eq!(Trace::continued(&good[..at]), None, "length {at}");
        }
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "",
        ] {
            assert_eq!(Trace::continued(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a40_a_tracestate_goes_on_whole_or_not_at_all() {
        let read = |lines: &[&str]| State::read(lines.iter().map(|line| line.as_bytes()));
        let state = read(&["rojo=00f067aa0ba902b7 , congo=t61rcWkgMzE", "1a@vendor=x y"]).unwrap();
        assert_eq!(
            state.as_str(),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,1a@vendor=x y"
        );
        let many = |n: usize| {
            let members: Vec<String> = (0..n).map(|i| format!("k{i}=v")).collect();
            members.join(",")
        };
        assert!(read(&[&many(32)]).is_some());
        let long = |n: usize| format!("a={},b={}", "x".repeat(256), "y".repeat(n - 261));
        assert!(read(&[&long(512)]).is_some());
        for bad in [
            many(33),
            long(513),
            String::new(),
            ",".to_owned(),
            "Upper=1".to_owned(),
            "novalue".to_owned(),
            "a=".to_owned(),
            "a=b=c".to_owned(),
            "a=b\u{7f}".to_owned(),
            "a=\u{e9}".to_owned(),
            "_a=b".to_owned(),
        ] {
            assert_eq!(read(&[&bad]), None, "{bad}");
        }
        assert_eq!(read(&[&long(500), "more=than fits"]), None);
        assert_eq!(State::read([&b"a=\xff"[..]].into_iter()), None);
    }

    #[test]
    fn a40_ids_are_drawn_anew() {
        let [one, two] = [Trace::begin(false), Trace::begin(false)];
        assert!(one.id != two.id && one.span != two.span);
        assert_eq!((one.parent, one.sampled), (None, false));
    }
}
