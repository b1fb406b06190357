//! Settings as `tonegate check` prints them: what would run, without secrets.

mod admin;
mod bot;
mod issuer;
mod limits;
mod pacing;
mod phone;
mod pii;
mod ticket;
mod upstream;

use std::fmt::Write as _;

use bytesize::ByteSize;
use humantime::{format_duration, format_rfc3339_seconds};

use super::{
    Boot, Dtmf, Enter, Kind, Mark, Rate, Refuse, Route, RouteKind, RouteLimits, Settings, Speak,
    Way,
};

/// One line per thing, names first; secrets appear as `***`.
pub(super) fn describe(settings: &Settings) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write(settings, &mut out);
    out
}

fn write(settings: &Settings, out: &mut String) -> std::fmt::Result {
    let boot = &settings.boot;
    let scheme = match &settings.live.identity {
        Some(identity) if identity.client_roots.is_some() => {
            "TLS 1.2 and 1.3, clients are asked for a certificate"
        }
        Some(_) => "TLS 1.2 and 1.3",
        None => "plain text",
    };
    writeln!(out, "listen    {} ({scheme})", boot.listen)?;
    for certificate in &settings.live.server_certificates {
        let name = &certificate.name;
        writeln!(
            out,
            "          certificate {name} for who asks for its names, key ***"
        )?;
    }
    writeln!(
        out,
        "admin     {} ({})",
        boot.admin,
        admin::access(settings)
    )?;
    process(boot, out)?;
    let limits = &settings.live.limits;
    writeln!(
        out,
        "limits    connections {} (unadmitted {}, per address {}), sessions {}, client message {}, \
         upstream message {}",
        limits.connections,
        limits.unadmitted,
        limits.unadmitted_per_address,
        limits.sessions,
        ByteSize::b(limits.client_message).display().iec(),
        ByteSize::b(limits.upstream_message).display().iec(),
    )?;
    writeln!(
        out,
        "          handshake {}, ping {}, idle {}, session {}",
        format_duration(limits.handshake),
        format_duration(limits.ping),
        format_duration(limits.idle),
        format_duration(limits.session),
    )?;
    limits::limits(limits, out)?;
    boot.store.describe(out)?;
    if let Some(audit) = &boot.audit {
        audit.describe(out)?;
    }
    pii::log(&boot.log_pii, out)?;
    boot.telemetry.describe(out)?;
    hops(settings, out)?;
    clients(settings, out)?;
    issuer::issuers(&settings.live.issuers, out)?;
    ticket::tickets(settings.live.tickets.as_ref(), out)?;
    phone::calls(settings.live.calls.as_ref(), out)?;
    phone::acs(settings.live.acs.as_ref(), out)?;
    bot::all(&settings.live, out)?;
    pii::detectors(&settings.live.pii_detectors, out)?;
    upstream::upstreams(settings, out)?;
    settings
        .live
        .routes
        .iter()
        .try_for_each(|item| route(item, out))
}

/// The process: its threads, how it ends, and who takes its place.
fn process(boot: &Boot, out: &mut String) -> std::fmt::Result {
    write!(out, "workers   {}", boot.workers)?;
    if !boot.batch.is_zero() {
        write!(out, ", frames gather for {}", format_duration(boot.batch))?;
    }
    writeln!(out)?;
    let handover = boot.handover.as_ref();
    let handover = handover.map_or("no handover".to_owned(), |path| {
        format!("handover at {}", path.display())
    });
    writeln!(
        out,
        "drain     delay {}, grace {}, {handover}",
        format_duration(boot.drain_delay),
        format_duration(boot.grace),
    )
}

fn hops(settings: &Settings, out: &mut String) -> std::fmt::Result {
    let Some(hops) = &settings.live.hops else {
        return writeln!(out, "hops      none: whoever connects is the client");
    };
    let tenants = match hops.tenants.as_slice() {
        [] => "any".to_owned(),
        tenants => tenants.join(" or "),
    };
    let speak = match hops.speak {
        Speak::Http => format!("X-Forwarded-For and EasyAuth (tenants {tenants})"),
        Speak::Proxy => "PROXY protocol".to_owned(),
    };
    let networks: Vec<_> = hops.networks.iter().map(ToString::to_string).collect();
    writeln!(out, "hops      {} speak {speak}", networks.join(", "))
}

fn clients(settings: &Settings, out: &mut String) -> std::fmt::Result {
    for key in &settings.live.keys {
        let sessions = key
            .sessions
            .map_or_else(|| "no limit".to_owned(), |n| n.to_string());
        let upgrades = key.upgrades.map_or_else(|| "no limit".to_owned(), rate);
        let ends = key.expires.map(format_rfc3339_seconds);
        let ends = ends.map_or_else(|| "never".to_owned(), |end| end.to_string());
        let minutes = key.minutes.map_or_else(|| "no limit".to_owned(), rate);
        writeln!(
            out,
            "key       {}: sha256 ***, routes {}, models {}, agents {}, sessions {sessions}, \
             upgrades {upgrades}, minutes {minutes}, ends {ends}",
            key.name,
            list(&key.routes, "all"),
            list(&key.models, "all of the route"),
            list(&key.agents, "all of the route"),
        )?;
    }
    for certificate in &settings.live.certificates {
        let mark = match &certificate.mark {
            Mark::Sha256(digest) => format!("sha256 {}", digest.to_hex()),
            Mark::Dns(name) => format!("dns {name}"),
        };
        writeln!(
            out,
            "cert      {}: {mark}, routes {}",
            certificate.name,
            list(&certificate.routes, "all"),
        )?;
    }
    Ok(())
}

fn route(route: &Route, out: &mut String) -> std::fmt::Result {
    let (words, or): (Vec<_>, _) = match &route.enter {
        Enter::Any(ways) => (ways.iter().map(Way::word).collect(), " or "),
        Enter::All(ways) => (ways.iter().map(Way::word).collect(), " and "),
    };
    let accept: Vec<_> = route.accept.iter().map(|place| place.word()).collect();
    writeln!(
        out,
        "route     {}: {} admits {} (from {}), models {}, to {}",
        route.name,
        route.paths.join(" "),
        words.join(or),
        accept.join(" or "),
        list(&route.models, "none"),
        list(&route.upstreams, "nowhere"),
    )?;
    asked(route, out)?;
    if let Some(calls) = route.kind.phone() {
        phone::phone(calls, out)?;
    }
    if let RouteKind::EventGrid(events) = &route.kind {
        phone::events(events, out)?;
    }
    if let RouteKind::CallApi(calls) = &route.kind {
        phone::made(calls, out)?;
    }
    if let RouteKind::SessionApi(api) = &route.kind {
        phone::sessions(api, out)?;
    }
    ticket::route(route, out)?;
    if let RouteKind::Sessions(see) = &route.kind {
        writeln!(out, "          sessions that run: sees {}", see.word())?;
    }
    if let RouteKind::Page(page) = &route.kind {
        let opens = list(&page.opens, "nothing");
        writeln!(out, "          a page for people, opens {opens}")?;
    }
    if let Some(bot) = route.kind.bot() {
        bot::route(bot, out)?;
    }
    pii::route(&route.kind, out)?;
    let none = || "none".to_owned();
    let origins = match route.origins.as_slice() {
        [] => none(),
        origins => origins.join(", "),
    };
    let without = if route.without_origin { "yes" } else { "no" };
    let refuse = match route.refuse {
        Refuse::Status => "status",
        Refuse::Close => "close",
    };
    writeln!(
        out,
        "          origins {origins}, without origin {without}, models locked {}, dtmf {}, \
         refuses by {refuse}{}",
        if route.lock_models { "yes" } else { "no" },
        route.dtmf.word(),
        if route.dial_early {
            ", dials early"
        } else {
            ""
        },
    )?;
    for (name, networks) in [("allow", &route.allow), ("deny", &route.deny)] {
        if !networks.is_empty() {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            writeln!(out, "          {name} {}", networks.join(", "))?;
        }
    }
    route_limits(&route.limits, out)
}

/// What may be asked for beside a model.
fn asked(route: &Route, out: &mut String) -> std::fmt::Result {
    if !route.agents.is_empty() {
        writeln!(
            out,
            "          agents {} in projects {}, identities {}, resources {}, pass {}, default {}",
            list(&route.agents, "none"),
            list(&route.projects, "none"),
            list(&route.identities, "none"),
            list(&route.resources, "none"),
            if route.pass.is_empty() {
                "none".to_owned()
            } else {
                let names: Vec<_> = route.pass.iter().map(|pass| pass.word()).collect();
                names.join(", ")
            },
            if route.agent_first { "agent" } else { "model" },
        )?;
    }
    if route.kind.upstream() == Some(Kind::Relay) {
        let parameters = route.parameters.iter().map(|parameter| {
            let values = list(&parameter.values, "any");
            format!("{} ({values})", parameter.name)
        });
        let parameters: Vec<_> = parameters.collect();
        let parameters = match parameters.as_slice() {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        writeln!(out, "          relay, parameters {parameters}")?;
    }
    if !route.api_versions.is_empty() || route.web_rtc {
        let web_rtc = if route.web_rtc { "yes" } else { "no" };
        let versions = list(&route.api_versions, "none");
        writeln!(
            out,
            "          api-version {versions}, WebRTC control {web_rtc}"
        )?;
    }
    Ok(())
}

fn route_limits(limits: &RouteLimits, out: &mut String) -> std::fmt::Result {
    let count = |limit: Option<usize>| limit.map(|limit| limit.to_string());
    let size = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
    let time = |duration| format_duration(duration).to_string();
    let told = [
        ("sessions", count(limits.sessions)),
        ("sessions per address", count(limits.sessions_per_address)),
        ("sessions per identity", count(limits.sessions_per_identity)),
        ("client message", limits.client_message.map(size)),
        ("upstream message", limits.upstream_message.map(size)),
        ("idle", limits.idle.map(time)),
        ("session", limits.session.map(time)),
        ("upgrades", limits.upgrades.map(rate)),
        (
            "upgrades per address",
            limits.upgrades_per_address.map(rate),
        ),
        (
            "upgrades per identity",
            limits.upgrades_per_identity.map(rate),
        ),
        ("upgrades per tenant", limits.upgrades_per_tenant.map(rate)),
        ("sessions per tenant", count(limits.sessions_per_tenant)),
        ("minutes", limits.minutes.map(rate)),
        ("minutes per address", limits.minutes_per_address.map(rate)),
        (
            "minutes per identity",
            limits.minutes_per_identity.map(rate),
        ),
        ("minutes per tenant", limits.minutes_per_tenant.map(rate)),
        ("bytes per second", limits.bytes_per_second.map(size)),
        (
            "frames per second",
            limits.frames_per_second.map(|frames| frames.to_string()),
        ),
    ];
    for (name, limit) in told {
        if let Some(limit) = limit {
            writeln!(out, "          {name} {limit}")?;
        }
    }
    Ok(())
}

fn rate(rate: Rate) -> String {
    format!("{} in {}", rate.count, format_duration(rate.per))
}

fn list(labels: &[crate::label::Label], empty: &str) -> String {
    if labels.is_empty() {
        return empty.to_owned();
    }
    let names: Vec<_> = labels.iter().map(|label| label.as_str()).collect();
    names.join(", ")
}

impl Dtmf {
    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Dtmf::Off => "off",
            Dtmf::Observe => "observe",
        }
    }
}
