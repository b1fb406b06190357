//! Other people's JSON: a tolerant reader that looks at no more than it must.

pub mod voice_live;
