//! What is told of an upstream's own bounds.

use std::fmt::Write as _;

use humantime::format_duration;

use super::rate;
use crate::config::Upstream;

/// How its connections are paced, and how long a session lasts there.
pub(super) fn of(upstream: &Upstream, out: &mut String) -> std::fmt::Result {
    if let Some(pacing) = upstream.pacing {
        writeln!(
            out,
            "          connects {}, queue {} for at most {}",
            rate(pacing.connects),
            pacing.queue,
            format_duration(pacing.queue_wait),
        )?;
    }
    if let Some(cap) = upstream.cap {
        let (ends, notice) = cap.ends();
        writeln!(
            out,
            "          session cap {}, ended after {}, told of after {}",
            format_duration(cap.lasts),
            format_duration(ends),
            format_duration(notice),
        )?;
    }
    Ok(())
}
