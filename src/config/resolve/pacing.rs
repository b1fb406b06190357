//! `connects` and `session_cap` of an upstream: how many sessions a minute a service takes, and how
//! long it lets one last.

use std::time::Duration;

use super::Problems;
use crate::config::file;
use crate::config::{Kind, Pacing, Rate, SessionCap};

const MINUTE: Duration = Duration::from_secs(60);

/// What a resource of Voice Live takes, as its quotas said in January 2026.
const CONNECTS: Rate = Rate {
    count: 30,
    per: MINUTE,
};
/// All turns of a window are kept, each of some hundred bytes.
const CONNECTS_MAX: u32 = 10_000;
/// Clients and ACS wait no longer for a 101 that comes to nothing; so long is `total`, too.
const QUEUE_WAIT: Duration = Duration::from_secs(10);
/// Whoever waits holds a socket and a place among the sessions.
const QUEUE: usize = 256;
const QUEUE_MAX: usize = 10_000;
/// A session of Voice Live, and of OpenAI's realtime API, lasts an hour and no longer.
const CAP: Duration = Duration::from_secs(3600);
/// Enough for the goodbye, which takes five seconds at the most, and for clocks that do not run alike.
const MARGIN: Duration = Duration::from_secs(15);
const NOTICE: Duration = MINUTE;

/// How new connections are paced. An Azure resource has its quota; behind a URL there may be anything.
pub(super) fn pacing(
    at: &str,
    written: &file::Upstream,
    kind: Kind,
    problems: &mut Problems,
) -> Option<Pacing> {
    let usual = (kind == Kind::VoiceLive && written.resource.is_some()).then_some(CONNECTS);
    let Some(connects) = written.connects.or(usual) else {
        for (key, is_written) in [
            ("queue", written.queue.is_some()),
            ("queue_wait", written.queue_wait.is_some()),
        ] {
            if is_written {
                problems.add(format!("{at}.{key}"), "has a use with connects only");
            }
        }
        return None;
    };
    if kind == Kind::Http {
        problems.add(format!("{at}.connects"), "has no use with kind = \"http\"");
    }
    let hour = Duration::from_secs(3600);
    if connects.count > CONNECTS_MAX || connects.per < Duration::from_secs(1) || connects.per > hour
    {
        let what = format!("must be at most {CONNECTS_MAX} in 1s to 1h, such as \"30/m\"");
        problems.add(format!("{at}.connects"), what);
    }
    let queue = written.queue.unwrap_or(QUEUE);
    if queue > QUEUE_MAX {
        problems.add(
            format!("{at}.queue"),
            format!("must be at most {QUEUE_MAX}"),
        );
    }
    let queue_wait = written.queue_wait.unwrap_or(QUEUE_WAIT);
    if queue_wait > Duration::from_secs(300) {
        problems.add(format!("{at}.queue_wait"), "must be at most 5m");
    }
    Some(Pacing {
        connects,
        queue,
        queue_wait,
    })
}

/// How long a session may last there.
pub(super) fn cap(
    at: &str,
    written: &file::Upstream,
    kind: Kind,
    problems: &mut Problems,
) -> Option<SessionCap> {
    let usual = (kind == Kind::VoiceLive).then_some(CAP);
    let Some(lasts) = written.session_cap.or(usual) else {
        for (key, is_written) in [
            ("session_margin", written.session_margin.is_some()),
            ("session_notice", written.session_notice.is_some()),
        ] {
            if is_written {
                problems.add(format!("{at}.{key}"), "has a use with session_cap only");
            }
        }
        return None;
    };
    let margin = written.session_margin.unwrap_or(MARGIN);
    if lasts <= margin {
        let told = humantime::format_duration(margin);
        let what = format!("must be more than session_margin, which is {told}");
        problems.add(format!("{at}.session_cap"), what);
    }
    Some(SessionCap {
        lasts,
        margin,
        notice: written.session_notice.unwrap_or(NOTICE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, Upstream};

    fn read(lines: &str) -> Result<Upstream, String> {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nplain_text = true\n\
             [upstreams.x]\ncredential = {{ key = \"k\" }}\n{lines}\n\
             [upstreams.y]\nkind = \"relay\"\nurl = \"wss://y.example.com\"\n\
             credential = {{ none = true }}\n[[routes]]\nname = \"r\"\nkind = \"relay\"\n\
             paths = [\"/r\"]\nadmit = [\"anyone\"]\nupstreams = [\"y\"]\n"
        );
        match Settings::read_text("edge.toml", &text) {
            Ok(settings) => Ok(settings.live.upstreams[0].clone()),
            Err(error) => Err(error.to_string()),
        }
    }

    const RESOURCE: &str = "kind = \"voice-live\"\nresource = \"my-resource\"\n";
    const URL: &str = "kind = \"voice-live\"\nurl = \"wss://voice.example.com\"\n";
    const RELAY: &str = "kind = \"relay\"\nurl = \"wss://relay.example.com/v1\"\n";
    const APP: &str = "kind = \"http\"\nurl = \"https://app.example.com\"\n";

    #[test]
    fn u8_a_resource_has_the_quota_and_the_hour_of_azure() {
        let seconds = Duration::from_secs;
        let upstream = read(RESOURCE).unwrap();
        let pacing = Pacing {
            connects: CONNECTS,
            queue: 256,
            queue_wait: seconds(10),
        };
        assert_eq!(upstream.pacing, Some(pacing));
        let cap = upstream.cap.unwrap();
        assert_eq!(cap.lasts, seconds(3600));
        assert_eq!(cap.ends(), (seconds(3585), seconds(3525)));
        let upstream = read(URL).unwrap();
        assert_eq!(upstream.pacing, None);
        assert_eq!(upstream.cap, Some(cap));
        for other in [RELAY, APP] {
            let upstream = read(other).unwrap();
            assert_eq!((upstream.pacing, upstream.cap), (None, None), "{other}");
        }
    }

    #[test]
    fn u8_what_is_written_goes_before_the_usual() {
        let seconds = Duration::from_secs;
        let lines = "connects = \"100/90s\"\nqueue = 7\nqueue_wait = \"45s\"\n\
            session_cap = \"30m\"\nsession_margin = \"1m\"\nsession_notice = \"2m\"";
        for kind in [RESOURCE, RELAY] {
            let upstream = read(&format!("{kind}{lines}")).unwrap();
            let pacing = upstream.pacing.unwrap();
            let rate = Rate {
                count: 100,
                per: seconds(90),
            };
            assert_eq!(pacing.connects, rate);
            assert_eq!((pacing.queue, pacing.queue_wait), (7, seconds(45)));
            let ends = upstream.cap.unwrap().ends();
            assert_eq!(ends, (seconds(29 * 60), seconds(27 * 60)));
        }
        // One that is shorter than its notice is told of at once.
        let short = read(&format!("{RELAY}session_cap = \"20s\"")).unwrap();
        assert_eq!(short.cap.unwrap().ends(), (seconds(5), seconds(0)));
    }

    #[test]
    fn u8_what_has_no_use_or_no_bound_is_told() {
        for (kind, line, at) in [
            (
                URL,
                "queue = 7",
                "upstreams.x.queue: has a use with connects only",
            ),
            (RELAY, "queue_wait = \"1s\"", "upstreams.x.queue_wait"),
            (
                APP,
                "connects = \"5/m\"",
                "upstreams.x.connects: has no use",
            ),
            (
                RELAY,
                "connects = \"10001/m\"",
                "upstreams.x.connects: must be at most 10000",
            ),
            (RELAY, "connects = \"5/500ms\"", "upstreams.x.connects"),
            (RELAY, "connects = \"5/2h\"", "upstreams.x.connects"),
            (
                RELAY,
                "connects = \"5/m\"\nqueue = 10001",
                "upstreams.x.queue: must be at most",
            ),
            (
                RELAY,
                "connects = \"5/m\"\nqueue_wait = \"6m\"",
                "upstreams.x.queue_wait",
            ),
            (
                RELAY,
                "session_margin = \"1s\"",
                "upstreams.x.session_margin",
            ),
            (
                RELAY,
                "session_notice = \"1s\"",
                "upstreams.x.session_notice",
            ),
            (
                URL,
                "session_cap = \"15s\"",
                "upstreams.x.session_cap: must be more than",
            ),
            (URL, "session_margin = \"1h\"", "upstreams.x.session_cap"),
        ] {
            let told = read(&format!("{kind}{line}")).unwrap_err();
            assert!(told.contains(at), "{line}: {told}");
        }
    }

    #[test]
    fn u8_two_upstreams_of_one_resource_have_one_quota() {
        let quota = |lines: &str| read(lines).unwrap().quota();
        assert_eq!(quota(RESOURCE), "my-resource.services.ai.azure.com:443");
        assert_eq!(quota(RELAY), "x");
    }
}
