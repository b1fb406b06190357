//! The simulators: what the demo, the tests and the load test talk to when there is no Azure.
//!
//! They are independent peers on purpose. Nothing here shares a frame reader, a handshake or a
//! message parser with the product, so a misreading of RFC 6455 or of the Voice Live wire on our
//! side cannot be mirrored here and pass unseen; only the generator of tones is the product's own. For the same reason they are strict: what a real
//! service would merely tolerate is written down as a [`voice_live::connection::Violation`].
//!
//! Only `cli`, tests, benches and the load test import this module. It opens sockets, therefore it
//! may be started only by them; `app` never sees it.
//!
//! Reading order: [`certificate`] makes throw-away identities, [`stream`] is one connection with
//! or without TLS, `accept` takes them in, [`head`] and [`frame`] are the two layers on it,
//! [`signal`] is something to say, [`voice_live`] is the service with its record, [`client`] is who
//! calls it, [`issuer`] is where callers' tokens come from, and [`platform`] those for the edge
//! itself. [`acs`] is who calls by telephone: the media stream of a call; by a [`telephone`] a person
//! makes such calls. [`call_automation`] is the
//! service that is asked to answer and to make calls, and through which they ring. [`connector`] is
//! where bots write to, [`graph`] knows who reports to whom, and [`pii`] finds names in texts.

mod accept;
pub mod acs;
mod answer;
pub mod call_automation;
pub mod certificate;
pub mod client;
pub mod connector;
pub mod frame;
pub mod graph;
pub mod head;
pub mod issuer;
pub mod pii;
pub mod platform;
mod service;
pub mod signal;
pub mod stream;
pub mod telephone;
mod token;
pub mod voice_live;

#[cfg(test)]
mod tests;
