//! Whether a route can be entered at all, and whether what its upstreams are shown fits who enters.

use super::route::{At, Known};
use crate::config::{Enter, Kind, Pass, Route, RouteKind, Upstream, VOICE_LIVE_AUDIENCES, Way};
use crate::label::Label;

/// Agents take tokens only, and an agent is found in a project.
pub(super) fn agents(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    if route.kind.upstream() != Some(Kind::VoiceLive) {
        return;
    }
    if route.agents.is_empty() {
        if !route.projects.is_empty() {
            at.add("projects", "has no use without agents");
        }
        return;
    }
    if route.projects.is_empty() {
        at.add("projects", "missing; agents are found in a project");
    }
    let upstreams = || {
        let all = known.upstreams.iter();
        all.filter(|upstream| route.upstreams.contains(&upstream.name))
    };
    if let Some(upstream) = upstreams().find(|upstream| !upstream.credential.serves_agents()) {
        at.add(
            "agents",
            format!(
                "Voice Live takes no key for agents; set credential = {{ caller = true }} or \
                 {{ managed_identity = true }} for the upstream {}",
                upstream.name
            ),
        );
    }
    // Whoever has to bring a token of his own for the first must not become the edge on the second.
    let alike = |shows: fn(&Upstream) -> bool| {
        let mut all = upstreams().map(shows);
        let first = all.next();
        all.all(|other| Some(other) == first)
    };
    let caller: fn(&Upstream) -> bool = |upstream| upstream.credential.caller;
    let identity: fn(&Upstream) -> bool = |upstream| upstream.credential.identity.is_some();
    if !alike(caller) || !alike(identity) {
        at.add(
            "upstreams",
            "must be alike in caller and managed_identity where agents are: on another upstream a \
             caller would be somebody else",
        );
    }
    if route.pass.contains(&Pass::Conversation) && !upstreams().all(caller) {
        at.add(
            "pass",
            "\"conversation-id\" needs upstreams with caller = true: to Azure all callers would be \
             the edge, and could go on with each other's conversations",
        );
    }
}

/// A route that nobody can enter was meant for somebody.
pub(super) fn openable(at: &mut At<'_>, route: &Route) {
    // What a hop says of the client sits in headers of its own, a certificate in the handshake.
    let placeless = |way: &Way| matches!(way, Way::Anyone | Way::EasyAuth | Way::Certificate);
    let without_place = match &route.enter {
        Enter::Any(ways) => ways.iter().any(placeless),
        Enter::All(ways) => ways.iter().all(placeless),
    };
    let nowhere = at.written.accept.as_ref().is_some_and(Vec::is_empty);
    if nowhere && !without_place {
        at.add(
            "accept",
            "names no place for a credential, so nobody could enter",
        );
    }
    if !route.without_origin && route.origins.is_empty() {
        at.add(
            "origins",
            "missing; with without_origin = false and no origins nobody could enter",
        );
    }
    // A token of ACS is shown to nobody.
    let tokens = route.kind.phone().is_none()
        && route
            .enter
            .ways()
            .iter()
            .any(|way| matches!(way, Way::Issuer(_)));
    let agents = route.kind.upstream() == Some(Kind::VoiceLive) && !route.agents.is_empty();
    if agents && !tokens && !route.own_token && !route.enter.ways().is_empty() {
        at.add(
            "agents",
            "need the caller's token, but admit names no issuer whose tokens may enter",
        );
    }
}

/// Where nothing but the caller's token can be shown upstream, every way in must bring one that
/// Voice Live takes.
pub(super) fn callers(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let takes = |name: &Label| {
        let issuer = known.issuers.iter().find(|issuer| issuer.name == *name);
        // Whom a relay's upstream takes tokens of is for whoever set it up to know.
        issuer.is_some_and(|issuer| {
            let ours = |audience: &String| VOICE_LIVE_AUDIENCES.contains(&audience.as_str());
            match route.kind {
                RouteKind::Relay | RouteKind::Http(_) | RouteKind::Bot(_) => true,
                RouteKind::VoiceLive => issuer.audience.iter().all(ours),
                RouteKind::AcsMedia(_)
                | RouteKind::EventGrid(_)
                | RouteKind::AcsCallback
                | RouteKind::CallApi(_)
                | RouteKind::Notify
                | RouteKind::Tickets(_)
                | RouteKind::Sessions(_)
                | RouteKind::Page(_)
                | RouteKind::SessionApi(_) => false,
            }
        })
    };
    let brings = |way: &Way| matches!(way, Way::Issuer(name) if takes(name));
    let ways = route.enter.ways();
    let enough = match route.enter {
        Enter::Any(_) => ways.iter().all(brings),
        Enter::All(_) => ways.iter().any(brings),
    };
    let only = known.upstreams.iter().find(|upstream| {
        let credential = &upstream.credential;
        let alone = credential.key.is_none() && credential.identity.is_none();
        route.upstreams.contains(&upstream.name) && credential.caller && alone
    });
    if let (Some(upstream), false) = (only, enough || ways.is_empty()) {
        at.add(
            "upstreams",
            format!(
                "{} is shown the caller's own token and nothing else, so callers may enter with \
                 a token only{}",
                upstream.name,
                match route.kind {
                    RouteKind::AcsMedia(_) => ", and a call brings none of its own".to_owned(),
                    RouteKind::Relay
                    | RouteKind::Http(_)
                    | RouteKind::Bot(_)
                    | RouteKind::EventGrid(_)
                    | RouteKind::AcsCallback
                    | RouteKind::CallApi(_)
                    | RouteKind::Notify
                    | RouteKind::Tickets(_)
                    | RouteKind::Sessions(_)
                    | RouteKind::Page(_)
                    | RouteKind::SessionApi(_) => String::new(),
                    RouteKind::VoiceLive => format!(
                        ", of an issuer whose audience is {} or {}",
                        VOICE_LIVE_AUDIENCES[0], VOICE_LIVE_AUDIENCES[2]
                    ),
                }
            ),
        );
    }
}
