//! The bot gateway, as `tonegate check` prints it.

use std::fmt::Write as _;
use std::time::Duration;

use humantime::format_duration;

use super::upstream::token;
use crate::config::{Assertion, Bot, BotRoute, Graph, Live, Roots, ServiceOrigin};

pub(super) fn all(live: &Live, out: &mut String) -> std::fmt::Result {
    if let Some(of) = &live.assertion {
        assertion(of, out)?;
    }
    if let Some(of) = &live.graph {
        graph(of, out)?;
    }
    if let Some(of) = &live.bot {
        bot(of, out)?;
    }
    Ok(())
}

fn assertion(assertion: &Assertion, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "assertion {} signs with ***, {} published, good for {}",
        assertion.issuer,
        match assertion.keys.len() {
            1 => "1 key is".to_owned(),
            count => format!("{count} keys are"),
        },
        format_duration(assertion.life),
    )
}

fn graph(graph: &Graph, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "graph     https://{}:{}, {}, {}, timeout {}, total {}",
        graph.host,
        graph.port,
        token(&graph.identity),
        roots(&graph.roots),
        format_duration(graph.timeout),
        format_duration(graph.total),
    )
}

fn bot(bot: &Bot, out: &mut String) -> std::fmt::Result {
    let tenant = match &bot.tenant {
        Some(tenant) => format!("of the tenant {tenant}"),
        None => "of any tenant".to_owned(),
    };
    writeln!(
        out,
        "bot       {} {tenant}, {}, {}, timeout {}, total {}",
        bot.app_id,
        token(&bot.identity),
        roots(&bot.roots),
        format_duration(bot.timeout),
        format_duration(bot.total),
    )?;
    let services: Vec<_> = bot.services.iter().map(origin).collect();
    let keeps = match bot.keep {
        Duration::ZERO => "keeps no references".to_owned(),
        keep => format!("keeps references for {}", format_duration(keep)),
    };
    writeln!(out, "          sends to {}, {keeps}", services.join(", "))
}

/// What a route of a bot has of its own.
pub(super) fn route(route: &BotRoute, out: &mut String) -> std::fmt::Result {
    let words = |words: &[String]| match words {
        [] => "none".to_owned(),
        some => format!("{some:?}"),
    };
    writeln!(
        out,
        "          bot, asserts to {}, refusal {}, quiet {}, speak {}",
        route.assert.as_deref().unwrap_or("nobody"),
        if route.refusal.is_some() {
            "yes"
        } else {
            "none"
        },
        words(&route.quiet),
        words(&route.speak),
    )
}

fn origin(of: &ServiceOrigin) -> String {
    let scheme = if of.secure { "https" } else { "http" };
    format!("{scheme}://{}:{}", of.host, of.port)
}

fn roots(roots: &Roots) -> &'static str {
    match roots {
        Roots::System => "roots of the system",
        Roots::Pem(_) => "roots from a file",
    }
}
