//! Phone calls, as `tonegate check` prints them.

use std::fmt::Write as _;

use humantime::format_duration;

use super::rate;
use super::upstream::token;
use crate::audio::wav::Wav;
use crate::config::{
    Acs, AcsCredential, Ani, Bridge, CallApi, Calls, CodeLength, Dialled, EventGrid, Feeds, Flow,
    Gate, KnownBy, Phone, Roots, SessionApi, Spend,
};

pub(super) fn calls(calls: Option<&Calls>, out: &mut String) -> std::fmt::Result {
    let Some(calls) = calls else {
        return Ok(());
    };
    let known_by = match calls.known_by {
        KnownBy::Record => "their record in the store",
        KnownBy::Url => "their media URL",
    };
    let spent = match calls.spend {
        Spend::Token => "one socket a token",
        Spend::Call => "one socket a token and call",
    };
    let previous = if calls.secrets.len() > 1 {
        " (or the previous ***)"
    } else {
        ""
    };
    writeln!(
        out,
        "calls     media URLs signed with ***{previous}, known by {known_by}, {spent}, \
         resumed within {}",
        format_duration(calls.resume),
    )
}

pub(super) fn events(events: &EventGrid, out: &mut String) -> std::fmt::Result {
    let origins = match events.webhook_origins.as_slice() {
        [] => "nobody".to_owned(),
        origins => origins.join(", "),
    };
    writeln!(
        out,
        "          calls that ring are answered: media to {}, callbacks to {}, SIP id in {}; \
         validated for {origins}",
        events.media,
        events.callbacks,
        events.sip_header.as_deref().unwrap_or("no header"),
    )
}

pub(super) fn made(calls: &CallApi, out: &mut String) -> std::fmt::Result {
    let to: Vec<&str> = calls.destinations.iter().map(|to| to.as_str()).collect();
    writeln!(
        out,
        "          calls are made from {} to {}: media to {}, callbacks to {}; calls per identity {}",
        calls.source.expose(),
        to.join(" or "),
        calls.media,
        calls.callbacks,
        rate(calls.calls_per_identity),
    )
}

pub(super) fn sessions(api: &SessionApi, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "          calls are handed over: tokens of {} at the most{}, sessions wait {} ({} at the \
         most), codes of {} digits behind {} pauses",
        format_duration(api.token_life),
        if api.single_use { ", once each" } else { "" },
        format_duration(api.ttl),
        format_duration(api.ttl_max),
        api.digits,
        api.commas,
    )?;
    let Some(hook) = &api.webhook else {
        return writeln!(out, "          nobody is told what becomes of them");
    };
    let (scheme, roots) = match &hook.roots {
        None => ("http", "plain text"),
        Some(Roots::System) => ("https", "roots of the system"),
        Some(Roots::Pem(_)) => ("https", "roots from a file"),
    };
    // What stands behind the path may be a credential.
    let (path, query) = match hook.target.split_once('?') {
        Some((path, _)) => (path, "?***"),
        None => (hook.target.as_str(), ""),
    };
    writeln!(
        out,
        "          {scheme}://{}:{}{path}{query} is told, signed with ***, {roots}, timeout {}, attempts {}",
        hook.host,
        hook.port,
        format_duration(hook.timeout),
        hook.attempts,
    )
}

pub(super) fn acs(acs: Option<&Acs>, out: &mut String) -> std::fmt::Result {
    let Some(acs) = acs else {
        return Ok(());
    };
    let (scheme, roots) = match &acs.roots {
        None => ("http", "plain text"),
        Some(Roots::System) => ("https", "roots of the system"),
        Some(Roots::Pem(_)) => ("https", "roots from a file"),
    };
    let credential = match &acs.credential {
        AcsCredential::Key(_) => "signed with ***".to_owned(),
        AcsCredential::Identity(identity) => token(identity),
    };
    writeln!(
        out,
        "acs       {scheme}://{}:{}, {credential}, api version {}, {roots}, timeout {}, total {}, \
         attempts {}",
        acs.host,
        acs.port,
        acs.api_version,
        format_duration(acs.timeout),
        format_duration(acs.total),
        acs.attempts,
    )?;
    let base = |base: &Option<String>| base.clone().unwrap_or_else(|| "none".to_owned());
    writeln!(
        out,
        "          callbacks {}, media {}, audio {} {}, started {}",
        base(&acs.callbacks),
        base(&acs.media),
        acs.streaming.audio.word(),
        acs.streaming.channels.word(),
        if acs.streaming.start {
            "at once"
        } else {
            "when asked for"
        },
    )
}

pub(super) fn phone(phone: &Phone, out: &mut String) -> std::fmt::Result {
    let once = |consume: bool| if consume { ", good for one call" } else { "" };
    match &phone.flow {
        Flow::Open => writeln!(out, "          calls go through as soon as they are known")?,
        Flow::Api { consume } => writeln!(
            out,
            "          calls need the key of their connection{}",
            once(*consume)
        )?,
        Flow::SipHeader { consume } => writeln!(
            out,
            "          calls need the key of their SIP id{}",
            once(*consume)
        )?,
        Flow::Dialled(gate) => {
            writeln!(
                out,
                "          calls need a dialled {}{}",
                code(gate),
                once(gate.consume)
            )?;
            self::gate(gate, out)?;
        }
    }
    let limits = [
        ("per number", phone.attempts_per_ani),
        ("in all", phone.attempts_per_route),
    ];
    for (of, limit) in limits {
        if let Some(limit) = limit {
            writeln!(out, "          failed attempts {of} {}", rate(limit))?;
        }
    }
    if phone.hang_up {
        writeln!(out, "          calls are hung up when the edge ends them")?;
    }
    bridge(&phone.bridge, out)
}

fn code(gate: &Gate) -> String {
    let whose = match gate.dialled {
        Dialled::Pstn { ani } => match ani {
            Ani::Signalling => "code for the caller's number",
            Ani::Shared => "code for the one number of the trunk",
            Ani::Digits => "number and its code",
        },
        Dialled::SipAlias => "SIP id",
    };
    match gate.length {
        CodeLength::Fixed(digits) => format!("{whose}, {digits} digits"),
        CodeLength::UpTo(digits) => format!("{whose}, at most {digits} digits"),
    }
}

fn gate(gate: &Gate, out: &mut String) -> std::fmt::Result {
    let Feeds {
        in_band,
        messages,
        callbacks,
    } = gate.feeds;
    let feeds: Vec<&str> = [
        (in_band, "in_band"),
        (messages, "messages"),
        (callbacks, "callbacks"),
    ]
    .into_iter()
    .filter_map(|(counts, name)| counts.then_some(name))
    .collect();
    writeln!(
        out,
        "          deadline {}, between {}, attempts {}, second look {}, digits from {}",
        format_duration(gate.deadline),
        format_duration(gate.between),
        gate.attempts,
        if gate.second_look { "yes" } else { "no" },
        feeds.join(" or "),
    )?;
    let prompts = &gate.prompts;
    for (name, wav) in [
        ("prompt", &prompts.prompt),
        ("retry", &prompts.retry),
        ("goodbye", &prompts.goodbye),
    ] {
        if let Some(Wav { rate, samples }) = wav {
            let seconds = samples.len() as f64 / f64::from(rate.hz());
            writeln!(out, "          {name} of {seconds:.1}s at {} Hz", rate.hz())?;
        }
    }
    Ok(())
}

/// Settings of the session by name: instructions are long, and tools may hold secrets.
fn bridge(bridge: &Bridge, out: &mut String) -> std::fmt::Result {
    match bridge {
        Bridge::Verbatim => writeln!(out, "          media goes on as it is"),
        Bridge::VoiceLive(to) => {
            let keys: Vec<&str> = to.session.keys().map(String::as_str).collect();
            let keys = match keys.as_slice() {
                [] => "nothing".to_owned(),
                keys => keys.join(", "),
            };
            writeln!(
                out,
                "          media is bridged to Voice Live; session sets {keys}; greets {}, keys \
                 masked {}",
                if to.greet { "yes" } else { "no" },
                if to.mask_tones { "yes" } else { "no" },
            )
        }
    }
}
