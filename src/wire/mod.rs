//! Other people's JSON: tolerant readers that look at no more than they must, exact writers.

pub mod acs;
pub mod activity;
pub mod cloud_event;
pub mod json;
pub mod kind;
pub mod notice;
pub mod voice_live;
