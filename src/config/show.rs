//! Settings as `tonegate check` prints them: what would run, without secrets.

use std::fmt::Write as _;

use bytesize::ByteSize;
use humantime::format_duration;

use super::{Admit, Place, Roots, Settings};

/// One line per thing, names first; secrets appear as `***`.
pub(super) fn describe(settings: &Settings) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write(settings, &mut out);
    out
}

fn write(settings: &Settings, out: &mut String) -> std::fmt::Result {
    let boot = &settings.boot;
    let scheme = if boot.identity.is_some() {
        "TLS 1.2 and 1.3"
    } else {
        "plain text"
    };
    writeln!(out, "listen    {} ({scheme})", boot.listen)?;
    writeln!(out, "admin     {} (plain text)", boot.admin)?;
    writeln!(out, "workers   {}", boot.workers)?;
    let limits = &settings.live.limits;
    writeln!(
        out,
        "limits    connections {}, sessions {}, client message {}, upstream message {}",
        limits.connections,
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
    clients(settings, out)?;
    upstreams(settings, out)
}

fn clients(settings: &Settings, out: &mut String) -> std::fmt::Result {
    for key in &settings.live.keys {
        let sessions = key
            .sessions
            .map_or_else(|| "no limit".to_owned(), |n| n.to_string());
        let models = match key.models.as_slice() {
            [] => "all models of the route".to_owned(),
            models => join(models),
        };
        writeln!(
            out,
            "key       {}: sha256 ***, {models}, sessions {sessions}",
            key.name
        )?;
    }
    Ok(())
}

fn upstreams(settings: &Settings, out: &mut String) -> std::fmt::Result {
    for upstream in &settings.live.upstreams {
        let (scheme, roots) = match &upstream.roots {
            None => ("ws", "plain text"),
            Some(Roots::System) => ("wss", "roots of the system"),
            Some(Roots::Pem(_)) => ("wss", "roots from a file"),
        };
        writeln!(
            out,
            "upstream  {}: {scheme}://{}:{}/voice-live/realtime?api-version={}, key ***, {roots}, \
             connect {}, total {}",
            upstream.name,
            upstream.host,
            upstream.port,
            upstream.api_version,
            format_duration(upstream.connect),
            format_duration(upstream.total),
        )?;
    }
    for route in &settings.live.routes {
        let admit: Vec<_> = route.admit.iter().map(|way| way.word()).collect();
        let accept: Vec<_> = route.accept.iter().map(|place| place.word()).collect();
        writeln!(
            out,
            "route     {}: {} admits {} (from {}), origins {}, models {}, to {}",
            route.name,
            route.paths.join(" "),
            admit.join(" or "),
            accept.join(" or "),
            if route.origins.is_empty() {
                "none".to_owned()
            } else {
                route.origins.join(", ")
            },
            join(&route.models),
            join(&route.upstreams),
        )?;
    }
    Ok(())
}

fn join(labels: &[crate::label::Label]) -> String {
    let names: Vec<_> = labels.iter().map(|label| label.as_str()).collect();
    names.join(", ")
}

impl Admit {
    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Admit::Key => "key",
            Admit::Anyone => "anyone",
        }
    }
}

impl Place {
    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Place::Header => "header",
            Place::Query => "query",
        }
    }
}
