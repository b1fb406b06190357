//! The whole edge, through real sockets: an edge with settings, before a simulated Voice Live,
//! and a caller that speaks frame by frame.
//!
//! One file per behaviour, named as the behaviour. Names of tests begin with the ID of the feature
//! or the row of the threat model that they prove (B07, S16), where there is one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod child;
mod harness;
mod heard;
mod program;
mod tape;

mod acs_sdk;
mod admin;
mod admission;
mod audited;
mod autobahn;
mod beside;
mod binary;
mod bot;
mod bounds;
mod browser;
mod call_control;
mod calls_admission;
mod certificates;
mod close;
mod connector;
mod demo;
mod deployed;
mod doctor;
mod drain;
mod easyauth;
mod endings;
mod explained;
mod gateway;
mod hand_over;
mod handover;
mod heads;
mod hops;
mod hostile;
mod identity;
mod issuer;
mod keys;
mod limits;
mod listener;
mod lock;
mod logged;
mod metrics;
mod modes;
mod nginx;
mod noise;
mod observe;
mod pacing;
mod page;
mod panics;
mod phone;
mod places;
mod processes;
mod proxy;
mod references;
mod refuse;
mod relay;
mod reload;
mod request;
mod revoke;
mod samples;
mod scanners;
mod sdk;
mod sessions;
mod shared;
mod soak;
mod socket;
mod supervisor;
mod targets;
mod telemetry;
mod tickets;
mod tls;
mod tokens;
mod upstream;
mod variables;
