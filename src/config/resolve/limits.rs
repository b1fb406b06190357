//! Limits of all routes, those that edges share, and what a session may send.

use std::time::Duration;

use super::Problems;
use super::route::At;
use crate::config::file::File;
use crate::config::{Limits, Route};

/// Each renews all places three times in it, and nobody waits longer for those of one that died.
const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(600);
/// More edges than any share is worth.
const REPLICAS_MAX: u32 = 1000;
/// The longest frame head is 14 bytes, and a message of 64 KiB must not take minutes.
const BYTES_MIN: u64 = 1024;

/// What of `[limits]` is about more than one edge, or about one session.
pub(super) fn limits(file: &File, problems: &mut Problems) -> Limits {
    let (set, usual) = (&file.limits, Limits::default());
    let store = file.store.url.as_deref();
    let has_redis = store.is_some_and(|url| url != "memory:");
    let shared = set.shared.unwrap_or(has_redis);
    if set.lease.is_some() && !shared {
        let what = "has a use where limits are shared: with a store that edges share, and without \
                    shared = false";
        problems.add("limits.lease", what);
    }
    // Turns to connect are shared whatever becomes of limits.
    if set.replicas.is_some() && !shared && !has_redis {
        let what = "has a use where edges share a store: with a url in [store]";
        problems.add("limits.replicas", what);
    }
    let replicas = set.replicas.unwrap_or(usual.replicas);
    if !(1..=REPLICAS_MAX).contains(&replicas) {
        problems.add("limits.replicas", "must be 1 to 1000");
    }
    let lease = set.lease.unwrap_or(usual.lease);
    if !LEASE.contains(&lease) {
        problems.add("limits.lease", "must be at least 3s and at most 10m");
    }
    let bytes_per_second = set.bytes_per_second.map(|size| size.0);
    for (key, what) in paces(bytes_per_second, set.frames_per_second) {
        problems.add(format!("limits.{key}"), what);
    }
    Limits {
        bytes_per_second,
        frames_per_second: set.frames_per_second,
        total_sessions: set.total_sessions,
        total_upgrades: set.total_upgrades,
        total_minutes: set.total_minutes,
        shared,
        replicas,
        lease,
        ..usual
    }
}

/// What is wrong with how much a session may send.
fn paces(bytes: Option<u64>, frames: Option<u32>) -> Vec<(&'static str, &'static str)> {
    let mut wrong = Vec::new();
    if bytes.is_some_and(|bytes| bytes < BYTES_MIN) {
        wrong.push(("bytes_per_second", "must be at least 1KiB"));
    }
    if frames == Some(0) {
        wrong.push(("frames_per_second", "must be at least 1"));
    }
    wrong
}

/// Whether a route's limits of sessions have sessions to limit.
pub(super) fn check(at: &mut At<'_>, route: &Route) {
    let limits = &route.limits;
    for (key, what) in paces(limits.bytes_per_second, limits.frames_per_second) {
        at.add(&format!("limits.{key}"), what);
    }
    let begins = match route.kind.http() {
        Some(http) => http.web_socket,
        None => !route.kind.has_bodies(),
    };
    let of_sessions = [
        ("minutes", limits.minutes.is_some()),
        ("minutes_per_address", limits.minutes_per_address.is_some()),
        (
            "minutes_per_identity",
            limits.minutes_per_identity.is_some(),
        ),
        ("minutes_per_tenant", limits.minutes_per_tenant.is_some()),
        ("bytes_per_second", limits.bytes_per_second.is_some()),
        ("frames_per_second", limits.frames_per_second.is_some()),
    ];
    for (key, is_written) in of_sessions {
        if is_written && !begins {
            at.add(
                &format!("limits.{key}"),
                "has a use where sessions begin: this route answers requests",
            );
        }
    }
    let tenants = [
        ("sessions_per_tenant", limits.sessions_per_tenant.is_some()),
        ("upgrades_per_tenant", limits.upgrades_per_tenant.is_some()),
        ("minutes_per_tenant", limits.minutes_per_tenant.is_some()),
    ];
    let of_call = [(
        "minutes_per_identity",
        limits.minutes_per_identity.is_some(),
    )];
    let no_tenant = tenants.map(|(key, is_written)| (key, is_written, "its token names no tenant"));
    let nobody = of_call.map(|(key, is_written)| (key, is_written, "each is somebody of its own"));
    for (key, is_written, why) in no_tenant.into_iter().chain(nobody) {
        if is_written && route.kind.phone().is_some() {
            let what = format!("has no use for calls: {why}");
            at.add(&format!("limits.{key}"), what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Rate, Settings};

    fn read(limits: &str, route: &str, store: &str) -> Result<Settings, String> {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[limits]\n{limits}\n[store]\n{store}\n\
             [[keys]]\nname = \"kiosk\"\n\
             sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
             limits = {{ minutes = \"30/h\" }}\n\
             [upstreams.voice]\nkind = \"voice-live\"\nresource = \"r-1\"\n\
             credential = {{ key = \"k\" }}\n\
             [[routes]]\nname = \"browser\"\npaths = [\"/ws\"]\nkind = \"voice-live\"\n\
             admit = [\"key\"]\nmodels = [\"m\"]\nupstreams = [\"voice\"]\n\
             limits = {{ {route} }}\n"
        );
        Settings::read_text("edge.toml", &text).map_err(|error| error.to_string())
    }

    const REDIS: &str = "url = \"redis://127.0.0.1:6379\"";

    #[test]
    fn a43_limits_are_shared_where_edges_share_a_store_unless_it_is_said() {
        for (limits, store, shared) in [
            ("", "", false),
            ("", REDIS, true),
            ("shared = false", REDIS, false),
            ("shared = true", "", true),
        ] {
            let settings = read(limits, "", store).unwrap();
            assert_eq!(settings.live.limits.shared, shared, "{limits} {store}");
            let line = match shared {
                true => "shared by 1 in the store, lease 30s",
                false => "each edge counts for itself",
            };
            assert!(settings.describe().contains(line));
        }
    }

    #[test]
    fn u8_how_many_edges_share_turns_is_said_also_where_each_counts_its_limits() {
        let limits = "shared = false\nreplicas = 3";
        let settings = read(limits, "", REDIS).unwrap();
        let usual = settings.live.limits;
        assert_eq!((usual.shared, usual.replicas), (false, 3));
        let line = "each edge counts for itself, replicas 3";
        assert!(settings.describe().contains(line));
        // Of its own turns nobody has a part.
        for limits in [limits, "replicas = 3"] {
            let told = read(limits, "", "").err().unwrap_or_default();
            assert!(told.contains("limits.replicas: "), "{told}");
        }
    }

    #[test]
    fn a43_what_is_limited_is_read_and_shown() {
        let limits = "replicas = 3\nlease = \"9s\"\ntotal_sessions = 9\ntotal_upgrades = \"5/s\"\n\
                      total_minutes = \"600/d\"\nbytes_per_second = \"64KiB\"\nframes_per_second = 200";
        let route = "sessions_per_tenant = 2, upgrades_per_tenant = \"1/s\", minutes = \"7/h\", \
                     minutes_per_address = \"6/h\", \
                     minutes_per_identity = \"8/h\", minutes_per_tenant = \"9/h\", \
                     bytes_per_second = \"128KiB\"";
        let settings = read(limits, route, REDIS).unwrap();
        let usual = settings.live.limits;
        let day = Duration::from_secs(24 * 3600);
        let minutes = Some(Rate {
            count: 600,
            per: day,
        });
        assert_eq!((usual.replicas, usual.total_minutes), (3, minutes));
        // What a route says goes before what is said for all.
        let over = settings.live.routes[0].limits.over(usual);
        assert_eq!(over.bytes_per_second, Some(128 << 10));
        assert_eq!(over.frames_per_second, Some(200));
        let told = settings.describe();
        for line in [
            "total sessions 9",
            "total upgrades 5 in 1s",
            "total minutes 600 in 1day",
            "frames per second 200",
            "shared by 3 in the store, lease 9s",
            "sessions per tenant 2",
            "minutes per address 6 in 1h",
            "minutes per identity 8 in 1h",
            "bytes per second 128.0 KiB",
            "minutes 30 in 1h",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
    }

    #[test]
    fn a43_what_cannot_be_meant_is_told_by_its_key() {
        for (limits, route, store, key) in [
            ("replicas = 2", "", "", "limits.replicas"),
            ("shared = false\nlease = \"9s\"", "", REDIS, "limits.lease"),
            ("replicas = 0", "", REDIS, "limits.replicas"),
            ("lease = \"1s\"", "", REDIS, "limits.lease"),
            ("bytes_per_second = 9", "", "", "limits.bytes_per_second"),
            ("frames_per_second = 0", "", "", "limits.frames_per_second"),
            (
                "",
                "frames_per_second = 0",
                "",
                "routes.browser.limits.frames_per_second",
            ),
            (
                "",
                "bytes_per_second = 1",
                "",
                "routes.browser.limits.bytes_per_second",
            ),
        ] {
            let told = read(limits, route, store).err().unwrap_or_default();
            assert!(told.contains(&format!("{key}: ")), "{key}: {told}");
        }
    }
}
