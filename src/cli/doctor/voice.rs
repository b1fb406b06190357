//! A session with each upstream, as it would begin for a caller: dialled as the edge dials, with the
//! credential of the settings, as far as `session.created`, and closed with 1000. It spends one
//! connection each. With `--idle` the connection is kept quiet for so long first.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::frames::{Heard, Talk};
use super::report::{Finding, Group};
use crate::config::{self, Live, Route, Service, Settings};
use crate::error::Reason;
use crate::ids::SessionId;
use crate::metrics;
use crate::upstream::{About, Ask, Caller, Dialled, Failure, Generation, Upstream, Want};

/// From the `101` to `session.created`, which comes at once from every service there is.
const CREATED: Duration = Duration::from_secs(5);
/// From a ping to its pong.
const PONG: Duration = Duration::from_secs(5);

pub(super) async fn check(
    settings: &Settings,
    idle: Option<Duration>,
    metrics: &metrics::Shared,
) -> Vec<Finding> {
    let upstreams = settings.live.upstreams.iter();
    let checks = upstreams.map(|upstream| one(&settings.live, upstream, idle, metrics));
    let findings: Vec<Finding> = join_all(checks).await.into_iter().flatten().collect();
    if findings.is_empty() {
        let why = "there are no upstreams";
        return vec![Finding::skipped(Group::Voice, "upstreams", why)];
    }
    findings
}

async fn one(
    live: &Live,
    settings: &config::Upstream,
    idle: Option<Duration>,
    metrics: &metrics::Shared,
) -> Vec<Finding> {
    let about = settings.name.to_string();
    let skipped = |why: &str| vec![Finding::skipped(Group::Voice, about.clone(), why)];
    if matches!(settings.service, Service::Http(_)) {
        return skipped("a private application: doctor connects, and asks it nothing");
    }
    let Some(route) = route(live, settings) else {
        return skipped("no route leads to it");
    };
    let credential = &settings.credential;
    let own = credential.key.is_some() || credential.identity.is_some() || credential.none;
    if !own {
        return skipped("it takes callers' own tokens only; try it with a client");
    }
    let Some(ask) = ask(route, settings) else {
        return skipped("its route names neither a model nor an agent");
    };
    let upstream = match Upstream::new(settings.clone(), metrics.clone()) {
        Ok(upstream) => upstream,
        Err(error) => {
            let fix = "Correct roots and credential of the upstream.";
            let told = (format!("It cannot be dialled: {error}."), fix.to_owned());
            return vec![Finding::fail(Group::Voice, about, told)];
        }
    };
    let session = converse(&upstream, settings, (&ask, route), idle);
    match upstream.identity() {
        None => session.await,
        Some(identity) => tokio::select! {
            findings = session => findings,
            () = identity.run() => unreachable!("tokens are fetched for ever"),
        },
    }
}

fn route<'a>(live: &'a Live, upstream: &config::Upstream) -> Option<&'a Route> {
    let leads = |route: &&Route| route.upstreams.contains(&upstream.name);
    let mut routes = live.routes.iter().filter(leads);
    let asks = |route: &&Route| !route.models.is_empty() || !route.agents.is_empty();
    routes.clone().find(asks).or_else(|| routes.next())
}

/// What the first caller would get who asks for nothing.
fn ask(route: &Route, upstream: &config::Upstream) -> Option<Ask> {
    let model = route.models.first().cloned();
    let about = match &upstream.service {
        Service::Relay(_) => About::Relay {
            model,
            parameters: Vec::new(),
        },
        Service::VoiceLive(_) | Service::Http(_) => match model {
            Some(model) => About::Model(model),
            None => About::Agent {
                generation: Generation::Name,
                agent: route.agents.first()?.clone(),
                project: route.projects.first()?.clone(),
                more: Vec::new(),
            },
        },
    };
    Some(Ask {
        about,
        transport: Default::default(),
        api_version: None,
    })
}

async fn converse(
    upstream: &Upstream,
    settings: &config::Upstream,
    (ask, route): (&Ask, &Route),
    idle: Option<Duration>,
) -> Vec<Finding> {
    let about = settings.name.to_string();
    let want = Want {
        ask,
        token: None,
        caller: Caller {
            route: &route.name,
            session: SessionId::random(),
            way: "doctor",
            tenant: None,
            subject: None,
        },
        through: None,
        traced: None,
        part: None,
    };
    let dialled = upstream.dial(want, std::future::ready(true)).await;
    let dialled = match dialled {
        Ok(dialled) => dialled,
        Err(failure) => {
            let told = of_failure(&failure, settings, ask);
            return vec![Finding::fail(Group::Voice, about, told)];
        }
    };
    let Dialled {
        stream,
        early,
        took,
        ..
    } = dialled;
    let mut talk = Talk::new(stream, &early);
    let speaks = matches!(settings.service, Service::VoiceLive(_));
    if speaks && let Err(told) = created(&mut talk).await {
        return vec![Finding::fail(Group::Voice, about, told)];
    }
    let mut findings = Vec::new();
    let mut alive = true;
    if let Some(idle) = idle {
        let (finding, lives) = quiet(&mut talk, &about, idle).await;
        findings.push(finding);
        alive = lives;
    }
    if alive {
        talk.goodbye().await;
    }
    let said = if speaks {
        "session.created came"
    } else {
        "101 came"
    };
    let text = format!(
        "{ask}: {said}, upgrade in {}, closed with 1000; this spent one connection",
        super::reach::millis(took)
    );
    findings.insert(0, Finding::ok(Group::Voice, about, text));
    findings
}

type Told = (String, String);

/// Waits for `session.created`.
async fn created(talk: &mut Talk) -> Result<(), Told> {
    let until = Instant::now() + CREATED;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let heard = timeout(left, talk.hear()).await;
        let (text, fix) = match heard {
            Err(_) => (
                format!(
                    "No session.created came within {} s of the upgrade.",
                    CREATED.as_secs()
                ),
                "Look whether the address is that of Voice Live and nothing in between keeps frames \
                 back; ask Azure if it is.",
            ),
            Ok(Heard::Text(text)) => {
                let message: Value = serde_json::from_slice(&text).unwrap_or_default();
                match message["type"].as_str() {
                    Some("session.created") => return Ok(()),
                    Some("error") => (
                        "It sent an error instead of session.created.".to_owned(),
                        "Look whether the resource has the model, in its region, and this api_version.",
                    ),
                    Some(_) | None => continue,
                }
            }
            Ok(Heard::Pong) => continue,
            Ok(Heard::Close(code)) => (
                match code {
                    Some(code) => format!("It closed with {code} before session.created."),
                    None => "It closed before session.created.".to_owned(),
                },
                "Look at the quota of the resource, and whether it has the model.",
            ),
            Ok(Heard::End) => (
                "The connection ended before session.created.".to_owned(),
                "Look for a proxy in between that lets upgrades through and no frames.",
            ),
            Ok(Heard::Broken) => (
                "What came behind the upgrade is no WebSocket.".to_owned(),
                "Look for a proxy in between that answers upgrades itself.",
            ),
        };
        return Err((text, fix.to_owned()));
    }
}

/// Says nothing for so long, and then looks who is there; whether anybody is.
async fn quiet(talk: &mut Talk, about: &str, idle: Duration) -> (Finding, bool) {
    let about = format!("upstream {about}");
    let begun = Instant::now();
    let spoken = loop {
        let left = idle.saturating_sub(begun.elapsed());
        match timeout(left, talk.hear()).await {
            Err(_) => break None,
            Ok(Heard::Text(_) | Heard::Pong) => {}
            Ok(end) => break Some(end),
        }
    };
    let ended = match spoken {
        Some(end) => Some(end),
        None if !talk.ping().await => Some(Heard::End),
        None => pong(talk).await,
    };
    super::idle::told(about, idle, begun.elapsed(), ended)
}

/// `None`: it answers.
async fn pong(talk: &mut Talk) -> Option<Heard> {
    let answered = async {
        loop {
            match talk.hear().await {
                Heard::Pong => return None,
                Heard::Text(_) => {}
                end @ (Heard::Close(_) | Heard::End | Heard::Broken) => return Some(end),
            }
        }
    };
    timeout(PONG, answered).await.unwrap_or(Some(Heard::End))
}

/// What is wrong, and what to do, in a sentence each.
fn of_failure(failure: &Failure, settings: &config::Upstream, ask: &Ask) -> Told {
    let name = &settings.name;
    let status = failure.status.map(|status| status.as_u16());
    let identity = settings.credential.identity.is_some() && settings.credential.key.is_none();
    let (text, fix) = match (status, failure.reason) {
        (Some(401), _) if identity => (
            "It refused the identity's token (401).".to_owned(),
            format!(
                "Give the identity the roles Cognitive Services User and Azure AI User on the resource, \
                 and look at scope in [upstreams.{name}.credential]."
            ),
        ),
        (Some(401), _) => (
            "It refused the key (401).".to_owned(),
            format!(
                "Set the key of [upstreams.{name}.credential] to one of the resource's (portal: Keys and \
                 Endpoint), and see that it is the key of this resource."
            ),
        ),
        (Some(403), _) => (
            "It knows who asks, and forbids it (403).".to_owned(),
            "Look at the resource's network rules (is this machine's address, or its private endpoint, \
             let in?), at disabled local authentication, and at role assignments, which take minutes."
                .to_owned(),
        ),
        (Some(404), _) => (
            "It knows no such path, version or deployment (404).".to_owned(),
            format!("Look at url, api_version and model of [upstreams.{name}]: {ask} was asked for."),
        ),
        (Some(429 | 503), _) | (_, Reason::UpstreamBusy) => (
            format!("It is at capacity ({}).", status.unwrap_or(429)),
            format!(
                "Wait, have the quota of the resource raised, or lower [upstreams.{name}.pacing] so that \
                 edges wait for their turn."
            ),
        ),
        (Some(status), _) => (
            format!("It answered {status} instead of 101."),
            format!("Look at url of [upstreams.{name}]: something else may answer there."),
        ),
        (None, Reason::UpstreamUnauthorized) => (
            format!("Nothing was dialled: {}.", failure.detail),
            "See the lines under identity; the platform must give the edge a token.".to_owned(),
        ),
        (None, Reason::UpstreamTimeout) => (
            format!("It took too long: {}.", failure.detail),
            "See the lines under dns and tls; what is dropped without a word looks like this.".to_owned(),
        ),
        (None, _) => (
            format!("The handshake failed: {}.", failure.detail),
            "See the lines under dns and tls for the same place.".to_owned(),
        ),
    };
    (text, fix)
}
