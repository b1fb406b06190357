//! What is asked, and how it is refused.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use http::{StatusCode, request};

use super::certificate::Certificate;
use crate::config::Route;
use crate::error::Reason;

/// A refusal. The detail is one fixed sentence for the problem document and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub reason: Reason,
    pub detail: &'static str,
    /// When asking again may help, where that is known.
    pub retry_after: Option<Duration>,
    /// What is wrong with a token, in the words of RFC 6750, section 3.1.
    pub challenge: Option<&'static str>,
    /// The status, where it is not that of the reason.
    pub status: Option<StatusCode>,
}

impl Denied {
    pub(super) fn new(reason: Reason, detail: &'static str) -> Denied {
        Denied {
            reason,
            detail,
            retry_after: None,
            challenge: None,
            status: None,
        }
    }

    pub(super) fn invalid_token(detail: &'static str) -> Denied {
        Denied {
            challenge: Some("error=\"invalid_token\""),
            ..Denied::new(Reason::Unauthenticated, detail)
        }
    }
}

/// A request, and when and from where it came.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub route: &'a Route,
    pub head: &'a request::Parts,
    /// The client's address.
    pub peer: IpAddr,
    /// A hop that speaks HTTP brought the request: its identity headers are believed.
    pub by_hop: bool,
    /// What whoever connects has proved in the TLS handshake. Where that is a hop that speaks HTTP,
    /// it is the hop's and not the client's, and does not count.
    pub certificate: Option<&'a Certificate>,
    pub now: Now,
}

/// The time by both clocks: that of the world, which tokens go by, and the steady one.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub wall: SystemTime,
    pub steady: Instant,
}

impl Now {
    pub fn read() -> Now {
        Now {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }
}
