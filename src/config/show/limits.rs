//! Bounds of all routes and all edges together.

use std::fmt::Write as _;

use bytesize::ByteSize;
use humantime::format_duration;

use super::rate;
use crate::config::Limits;

pub(super) fn limits(limits: &Limits, out: &mut String) -> std::fmt::Result {
    let size = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
    let told = [
        (
            "sessions",
            limits.total_sessions.map(|most| most.to_string()),
        ),
        ("upgrades", limits.total_upgrades.map(rate)),
        ("minutes", limits.total_minutes.map(rate)),
    ];
    for (name, most) in told {
        if let Some(most) = most {
            writeln!(out, "          total {name} {most}")?;
        }
    }
    let told = [
        ("bytes", limits.bytes_per_second.map(size)),
        (
            "frames",
            limits.frames_per_second.map(|most| most.to_string()),
        ),
    ];
    for (name, most) in told {
        if let Some(most) = most {
            writeln!(out, "          {name} per second {most}")?;
        }
    }
    match limits.shared {
        true => writeln!(
            out,
            "          shared by {} in the store, lease {}",
            limits.replicas,
            format_duration(limits.lease),
        ),
        false => writeln!(
            out,
            "          each edge counts for itself, replicas {}",
            limits.replicas,
        ),
    }
}
