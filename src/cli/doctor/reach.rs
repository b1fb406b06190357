//! Whether each place is reached: its name, a connection, TLS with the roots of the settings; and what its
//! clock says of ours.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use humantime::format_duration;
use tokio::time::Instant;

use super::places::Dialled;
use super::report::{Finding, Group};
use crate::upstream::chain::Flaw;
use crate::upstream::look::{self, Fault, Seen};

/// All of one place; an edge gives up sooner.
const WAIT: Duration = Duration::from_secs(8);
/// A certificate that ends sooner is told of: whoever renews it wants a weekend.
const SOON_DAYS: u64 = 21;
/// Tokens are good for some minutes more or less, tickets for 5 s.
const SKEW_WARN: Duration = Duration::from_secs(4);
const SKEW_FAIL: Duration = Duration::from_secs(60);

/// Connections to all of them, side by side.
pub(super) async fn connections(places: &[Dialled]) -> Vec<Finding> {
    if places.is_empty() {
        let why = "these settings dial nobody";
        return vec![Finding::skipped(Group::Tls, "places", why)];
    }
    join_all(places.iter().map(connection)).await
}

/// Their names, each once.
pub(super) async fn names(places: &[Dialled]) -> Vec<Finding> {
    let hosts: BTreeSet<&str> = places.iter().map(|it| it.place.host.as_str()).collect();
    let hosts = hosts.iter().map(|host| async move {
        if host.parse::<IpAddr>().is_ok() {
            return Finding::ok(Group::Dns, *host, "an address, no name");
        }
        match look::addresses(host, 443, Instant::now() + WAIT).await {
            Ok(found) => {
                let found: BTreeSet<String> = found.iter().map(|it| it.ip().to_string()).collect();
                let found: Vec<String> = found.into_iter().collect();
                Finding::ok(Group::Dns, *host, found.join(", "))
            }
            Err(fault) => Finding::fail(Group::Dns, *host, of_fault(&fault, host, "")),
        }
    });
    let mut findings = join_all(hosts).await;
    if findings.is_empty() {
        let why = "these settings dial nobody";
        findings.push(Finding::skipped(Group::Dns, "names", why));
    }
    findings
}

async fn connection(dialled: &Dialled) -> Finding {
    let at = dialled.at();
    let seen = look::look(&dialled.place, Instant::now() + WAIT).await;
    match seen {
        Ok(seen) => good(&at, &dialled.by, &seen),
        Err(fault) => {
            let told = of_fault(&fault, &dialled.place.host, &dialled.by);
            Finding::fail(Group::Tls, at, told)
        }
    }
}

fn good(at: &str, by: &str, seen: &Seen) -> Finding {
    let tcp = millis(seen.connected);
    let Some(tls) = &seen.tls else {
        let text = format!("{by}: TCP in {tcp}, plain text");
        return Finding::ok(Group::Tls, at, text);
    };
    let both = format!("TCP in {tcp}, TLS {} in {}", tls.version, millis(tls.took));
    let text = format!(
        "{by}: {both}, certificate {}",
        until(tls.ends, SystemTime::now())
    );
    match tls.ends.and_then(|ends| days_left(ends, SystemTime::now())) {
        Some(days) if days < SOON_DAYS => {
            let text = format!("The certificate ends soon. {text}.");
            let fix = "Have whoever runs it renew the certificate before it ends.";
            Finding::warn(Group::Tls, at, (text, fix))
        }
        Some(_) | None => Finding::ok(Group::Tls, at, text),
    }
}

pub(super) fn millis(took: Duration) -> String {
    format!("{} ms", (took.as_micros() + 500) / 1000)
}

/// For people, without the time of day.
fn day(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

pub(super) fn days_left(ends: SystemTime, now: SystemTime) -> Option<u64> {
    Some(ends.duration_since(now).ok()?.as_secs() / 86_400)
}

/// Until when a certificate is good.
pub(super) fn until(ends: Option<SystemTime>, now: SystemTime) -> String {
    match ends.and_then(|ends| Some((ends, days_left(ends, now)?))) {
        Some((ends, days)) => format!("good until {} ({days} days)", day(ends)),
        None => "good".to_owned(),
    }
}

pub(super) fn ends_soon(ends: Option<SystemTime>) -> bool {
    let days = ends.and_then(|ends| days_left(ends, SystemTime::now()));
    days.is_some_and(|days| days < SOON_DAYS)
}

/// What is wrong, and what to do, in a sentence each; `by` is who dials, in the settings.
pub(super) fn of_fault(fault: &Fault, host: &str, by: &str) -> (String, String) {
    let by = if by.is_empty() { "the settings" } else { by };
    let (text, fix) = match fault {
        Fault::Name => (
            format!("The name {host} does not resolve."),
            "Correct the name in the settings, or have the machine's DNS (a private zone, where the \
             service has a private endpoint) know it."
                .to_owned(),
        ),
        Fault::Late(what) => (
            format!("{} took too long.", capital(what)),
            "Open the way in firewall, NSG and route table: what is dropped without a word looks like \
             this."
                .to_owned(),
        ),
        Fault::Refused => (
            "Nobody listens there, or the connection was refused.".to_owned(),
            format!("Start what should listen there, or correct host and port of {by}."),
        ),
        Fault::Old => (
            "It speaks no TLS that the edge does, 1.2 or 1.3.".to_owned(),
            "Have it speak TLS 1.2 or 1.3; the edge never speaks less.".to_owned(),
        ),
        Fault::Client => (
            "It wants a client certificate, and does not take what it was shown.".to_owned(),
            format!("Set certificate and key of {by} to a pair that it trusts."),
        ),
        Fault::NoTls => (
            "What it says is no TLS.".to_owned(),
            format!("Correct the port of {by}, or its scheme if it is meant to be plain text."),
        ),
        Fault::Cut => (
            "It ended the connection too early.".to_owned(),
            "Look whether a proxy or firewall stands in between, and at the log of whoever should \
             answer."
                .to_owned(),
        ),
        Fault::Tls => (
            "The TLS handshake failed.".to_owned(),
            "Look at the log of whoever should answer there: no cipher or group may be common to both."
                .to_owned(),
        ),
        Fault::Place => (
            "It cannot be dialled as it is written.".to_owned(),
            format!("Correct host and roots of {by}."),
        ),
        Fault::Certificate(flaw) => of_flaw(flaw, host, by),
    };
    (text, fix)
}

fn of_flaw(flaw: &Flaw, host: &str, by: &str) -> (String, String) {
    let roots = format!("set roots of {by} to the PEM file of the authority that signed it");
    match flaw {
        Flaw::SelfSigned => (
            "Its certificate vouches for itself: no authority stands behind it.".to_owned(),
            format!(
                "If this is the peer you mean, {roots}; if not, something stands in between and \
                 opens TLS."
            ),
        ),
        Flaw::Alone => (
            "Its certificate leads to no root that is trusted, and it sends no intermediate."
                .to_owned(),
            format!("Have it send its intermediates, or {roots}."),
        ),
        Flaw::Issuer => (
            "Its certificate leads to another authority than those that are trusted.".to_owned(),
            format!("Here {roots}; with roots unset, add that authority to the system's."),
        ),
        Flaw::Ended(ends) => {
            let when = ends.map_or_else(String::new, |ends| format!(" on {}", day(ends)));
            (
                format!("Its certificate ended{when}."),
                "Renew it; if it is not so old, set this machine's clock.".to_owned(),
            )
        }
        Flaw::NotYet => (
            "Its certificate is not good yet.".to_owned(),
            "Set this machine's clock, or wait until the certificate begins.".to_owned(),
        ),
        Flaw::Name => (
            format!("Its certificate is not for the name {host}."),
            format!(
                "Dial it by a name that its certificate has (host of {by}), or have it get one for {host}."
            ),
        ),
        Flaw::Other => (
            "Its certificate is not one that can be trusted.".to_owned(),
            "Get another: it may be revoked, for another purpose, or malformed.".to_owned(),
        ),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// Whoever tells the time first, of a few.
async fn first_date(peers: &[&Dialled]) -> Option<(String, SystemTime, Duration, SystemTime)> {
    let asked = peers.iter().take(3).map(|peer| async move {
        let target = peer.document.as_deref().unwrap_or("/");
        let date = look::date(&peer.place, target, Instant::now() + WAIT).await;
        let (date, took) = date.ok().flatten()?;
        Some((peer.place.host.clone(), date, took, SystemTime::now()))
    });
    join_all(asked).await.into_iter().flatten().next()
}

/// Compares our clock with that of a peer. Those that are asked for a document anyway come first; one
/// answer is enough.
pub(super) async fn clock(places: &[Dialled]) -> Finding {
    let about = "clock";
    let speaks = |it: &&Dialled| it.place.http && it.place.roots.is_some();
    let (documents, bare): (Vec<_>, Vec<_>) = places
        .iter()
        .filter(speaks)
        .partition(|it| it.document.is_some());
    let told = match first_date(&documents).await {
        Some(told) => Some(told),
        None => first_date(&bare).await,
    };
    let Some((host, date, took, now)) = told else {
        let why = "no TLS peer that answers HTTP told the time";
        return Finding::skipped(Group::Clock, about, why);
    };
    // A date has whole seconds, cut off, and is as old as half the way.
    let theirs = date + Duration::from_millis(500) + took / 2;
    let (apart, word) = match now.duration_since(theirs) {
        Ok(apart) => (apart, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let apart_text = format_duration(Duration::from_secs(apart.as_secs()));
    if apart < SKEW_WARN {
        let text = format!("less than {} from {host}", format_duration(SKEW_WARN));
        return Finding::ok(Group::Clock, about, text);
    }
    let text = format!(
        "This machine's clock is {apart_text} {word} that of {host}; up to {} is tolerated.",
        format_duration(SKEW_WARN)
    );
    let fix = "Have chrony or systemd-timesyncd set the clock (`timedatectl set-ntp true`): tokens and \
               tickets would be refused as ended, or as not good yet.";
    match apart > SKEW_FAIL {
        true => Finding::fail(Group::Clock, about, (text, fix)),
        false => Finding::warn(Group::Clock, about, (text, fix)),
    }
}
