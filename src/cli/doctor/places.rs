//! All places that an edge with these settings would dial.

use http::Uri;

use crate::config::pii::DetectorCredential;
use crate::config::{
    AcsCredential, Engine, IdentitySource, KeySource, Live, Login, ManagedIdentity, RolesBy, Roots,
    RouteKind, Settings,
};
use crate::upstream::look::Place;

/// A place, and who dials it, as the settings call that.
#[derive(Clone, Debug)]
pub(super) struct Dialled {
    pub(super) by: String,
    pub(super) place: Place,
    /// A document there that anybody may have.
    pub(super) document: Option<String>,
}

impl Dialled {
    pub(super) fn at(&self) -> String {
        let Place { host, port, .. } = &self.place;
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }
}

/// Those of the settings, each once.
pub(super) fn places(settings: &Settings) -> Vec<Dialled> {
    let live = &settings.live;
    let mut all = Vec::new();
    upstreams(live, &mut all);
    issuers(live, &mut all);
    store(settings, &mut all);
    azure(live, &mut all);
    others(live, &mut all);
    let mut places: Vec<Dialled> = Vec::new();
    for one in all {
        let same = |other: &&mut Dialled| {
            other.at() == one.at() && other.place.roots.is_some() == one.place.roots.is_some()
        };
        match places.iter_mut().find(same) {
            // Two that are dialled with other roots or certificates are not judged alike.
            Some(other) if alike(&other.place, &one.place) => {
                if !other.by.split(", ").any(|by| by == one.by) {
                    other.by = format!("{}, {}", other.by, one.by);
                }
                other.document = other.document.take().or(one.document);
            }
            _ => places.push(one),
        }
    }
    places
}

fn alike(one: &Place, other: &Place) -> bool {
    let roots = match (&one.roots, &other.roots) {
        (Some(Roots::Pem(one)), Some(Roots::Pem(other))) => one == other,
        (Some(Roots::System), Some(Roots::System)) | (None, None) => true,
        _ => false,
    };
    roots && one.client.is_none() && other.client.is_none() && one.http == other.http
}

fn dialled(by: impl Into<String>, host: &str, port: u16, roots: Option<&Roots>) -> Dialled {
    Dialled {
        by: by.into(),
        place: Place {
            host: host.to_owned(),
            port,
            roots: roots.cloned(),
            client: None,
            http: true,
        },
        document: None,
    }
}

fn upstreams(live: &Live, all: &mut Vec<Dialled>) {
    for upstream in &live.upstreams {
        let by = format!("upstreams.{}", upstream.name);
        let roots = upstream.roots.as_ref();
        let mut place = dialled(by.clone(), &upstream.host, upstream.port, roots);
        place.place.client.clone_from(&upstream.client);
        all.push(place);
        if let Some(own) = &upstream.credential.identity {
            identity(&format!("{by}.credential"), own, all);
        }
    }
}

fn issuers(live: &Live, all: &mut Vec<Dialled>) {
    for issuer in &live.issuers {
        let (KeySource::Metadata(url) | KeySource::Jwks(url)) = &issuer.keys;
        let by = format!("issuers.{}", issuer.name);
        if let Some(mut place) = of_url(by, url, Some(&issuer.roots)) {
            let target = url.parse::<Uri>().ok();
            let target = target.and_then(|uri| uri.path_and_query().map(ToString::to_string));
            place.document = target;
            all.push(place);
        }
    }
}

fn store(settings: &Settings, all: &mut Vec<Dialled>) {
    let Engine::Redis(redis) = &settings.boot.store.engine else {
        return;
    };
    for (host, port) in &redis.servers {
        let mut place = dialled("store", host, *port, redis.roots.as_ref());
        place.place.http = false;
        all.push(place);
    }
    if let Login::Token { identity: own, .. } = &redis.login {
        identity("store", own, all);
    }
}

fn azure(live: &Live, all: &mut Vec<Dialled>) {
    if let Some(acs) = &live.acs {
        all.push(dialled("acs", &acs.host, acs.port, acs.roots.as_ref()));
        if let AcsCredential::Identity(own) = &acs.credential {
            identity("acs", own, all);
        }
    }
    if let Some(graph) = &live.graph {
        all.push(dialled(
            "graph",
            &graph.host,
            graph.port,
            Some(&graph.roots),
        ));
        identity("graph", &graph.identity, all);
    }
    if let Some(bot) = &live.bot {
        for service in &bot.services {
            let roots = service.secure.then_some(&bot.roots);
            all.push(dialled("bot", &service.host, service.port, roots));
        }
        identity("bot", &bot.identity, all);
    }
}

fn others(live: &Live, all: &mut Vec<Dialled>) {
    for detector in &live.pii_detectors {
        let by = format!("pii_detectors.{}", detector.name);
        let roots = detector.roots.as_ref();
        all.push(dialled(by.clone(), &detector.host, detector.port, roots));
        if let DetectorCredential::Identity(own) = &detector.credential {
            identity(&by, own, all);
        }
    }
    if let Some(roles) = &live.roles
        && let RolesBy::Directory(directory) = &roles.by
    {
        let roots = directory.roots.as_ref();
        all.push(dialled("roles", &directory.host, directory.port, roots));
    }
    for route in &live.routes {
        if let RouteKind::SessionApi(api) = &route.kind
            && let Some(hook) = &api.webhook
        {
            let by = format!("routes.{}.webhook", route.name);
            all.push(dialled(by, &hook.host, hook.port, hook.roots.as_ref()));
        }
    }
}

/// Who gives tokens for the edge itself.
fn identity(by: &str, identity: &ManagedIdentity, all: &mut Vec<Dialled>) {
    let by_identity = format!("{by} (tokens)");
    match &identity.source {
        IdentitySource::Imds { base } => all.extend(of_url(by_identity, base, None)),
        IdentitySource::AppService { endpoint, .. } => {
            all.extend(of_url(by_identity, endpoint, None));
        }
        IdentitySource::Workload {
            authority, roots, ..
        }
        | IdentitySource::Application {
            authority, roots, ..
        } => all.extend(of_url(by_identity, authority, Some(roots))),
        IdentitySource::Federated {
            own,
            authority,
            roots,
            ..
        } => {
            all.extend(of_url(by_identity, authority, Some(roots)));
            self::identity(by, own, all);
        }
    }
}

/// The host of a URL. Those of the settings have been judged, so there is one.
fn of_url(by: String, url: &str, roots: Option<&Roots>) -> Option<Dialled> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let usual = if roots.is_some() { 443 } else { 80 };
    Some(dialled(by, host, uri.port_u16().unwrap_or(usual), roots))
}
