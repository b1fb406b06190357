//! Boxes in the middle that end connections which nobody speaks on: NAT, firewalls, load balancers.
//!
//! Towards us a request waits for its answer, which the running edge keeps back for so long: nothing but
//! TCP's own probes crosses meanwhile. Towards an upstream a session is opened and kept quiet.

use std::time::Duration;

use humantime::format_duration;
use tokio::time::Instant;

use super::Asked;
use super::frames::Heard;
use super::public::{Door, WAIT};
use super::report::{Finding, Group, Verdict};
use crate::upstream::look;

/// Keeps a request to the public address waiting for so long.
pub(super) async fn check(asked: &Asked) -> Vec<Finding> {
    let about = "public url";
    let skipped = |why: &str| vec![Finding::skipped(Group::Idle, about, why)];
    let Some(idle) = asked.idle else {
        return skipped("give --idle 300s: then a quiet connection is kept for so long, both ways");
    };
    let live = &asked.settings.live;
    let Some(public) = &asked.public else {
        return skipped("give --public-url");
    };
    let (Some(door), Some(admin)) = (Door::find(public, live), &asked.admin) else {
        return skipped("no route, or no admin listener, could keep a request waiting");
    };
    let word = match admin.word(idle).await {
        Ok(word) => word,
        Err(why) => return skipped(&why),
    };
    let headers: Vec<_> = super::witness::header(&word).into_iter().collect();
    let begun = Instant::now();
    let answer = look::upgrade(&public.place, &door.target, &headers, begun + idle + WAIT).await;
    let lasted = begun.elapsed();
    if admin.told(&word).await.is_none() {
        let text = "The edge of this machine did not see the request: another answers at the public \
                    address.";
        let fix = "If several edges share the address, try again; see the lines under public.";
        return vec![Finding::warn(Group::Idle, about, (text, fix))];
    }
    // What comes before the edge lets it go is not the edge's.
    if answer.is_ok() && lasted >= idle {
        return vec![told(about.to_owned(), idle, lasted, None).0];
    }
    vec![cut(
        about.to_owned(),
        lasted.min(idle),
        Some(live.limits.ping),
    )]
}

/// What became of a connection that was to be quiet for `idle`, and was given up after `lasted`; whether
/// it is still there.
pub(super) fn told(
    about: String,
    idle: Duration,
    lasted: Duration,
    ended: Option<Heard>,
) -> (Finding, bool) {
    let long = format_duration(idle);
    let short = whole(lasted);
    let finding = match ended {
        None => Finding::ok(
            Group::Idle,
            about,
            format!("quiet for {long}, and still there"),
        ),
        Some(Heard::Close(code)) => {
            let code = code.map_or_else(String::new, |code| format!(" with {code}"));
            let text = format!("It closed a quiet session{code} after {short}.");
            let fix = "That is the service's own clock: the edge's pings (limits.ping) keep sessions \
                       open only if they count for it.";
            Finding::warn(Group::Idle, about, (text, fix))
        }
        Some(_) => cut(about, lasted, None),
    };
    let lives = finding.verdict == Verdict::Ok;
    (finding, lives)
}

/// Something in between ended it. `ping` is how often the edge lets something cross.
pub(super) fn cut(about: String, lasted: Duration, ping: Option<Duration>) -> Finding {
    let short = whole(lasted);
    let text = format!("Something in between ended a quiet connection within {short}.");
    let harmless = ping.is_some_and(|ping| ping < lasted);
    let often = ping.map_or_else(String::new, |ping| format!(" ({})", format_duration(ping)));
    let fix = format!(
        "Raise the idle timeout of the load balancer, NAT gateway or firewall on the way, and keep \
         limits.ping{often} below it: calls that fall silent would be cut."
    );
    match harmless {
        true => Finding::warn(Group::Idle, about, (text, fix)),
        false => Finding::fail(Group::Idle, about, (text, fix)),
    }
}

fn whole(lasted: Duration) -> String {
    let seconds = lasted.as_secs() + u64::from(lasted.subsec_nanos() > 0);
    format_duration(Duration::from_secs(seconds.max(1))).to_string()
}
