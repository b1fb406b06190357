//! `tonegate sessions`: what runs, how it ended, one as it goes on, and an end.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use serde_json::Value;

use super::client::failed;
use super::table::{Table, cell, lasted, plain};
use super::{Edge, get, print, succeeded};
use crate::ids::SessionId;

#[derive(Subcommand)]
pub(in crate::cli) enum Verb {
    /// List the sessions that run at an edge, and the latest that have ended there
    List(ListFlags),
    /// Show one session
    Show(One),
    /// End one session; whoever holds what opened it may open another (`tonegate revoke` shuts out)
    End(One),
    /// Look on at a session: kinds, lengths and times of its messages, never what they say
    Tail(One),
}

#[derive(Args)]
pub(in crate::cli) struct ListFlags {
    #[command(flatten)]
    edge: Edge,
    /// Only those that run, or only those that have ended
    #[arg(long, value_name = "STATE", value_parser = ["running", "ended"])]
    state: Option<String>,
    /// Only those of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only those of somebody, as logs show them
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only those that ended for this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Of each kind so many at the most; 100 if not said
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
}

#[derive(Args)]
pub(in crate::cli) struct One {
    #[command(flatten)]
    edge: Edge,
    /// Its id, as logs show it
    #[arg(value_name = "ID", value_parser = id)]
    id: SessionId,
}

fn id(text: &str) -> Result<SessionId, &'static str> {
    SessionId::from_hex(text).ok_or("not 24 hexadecimal digits, as logs show the id of a session")
}

pub(in crate::cli) fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::List(flags) => list(flags),
        Verb::Show(one) => show(one),
        Verb::End(one) => end(one),
        Verb::Tail(one) => tail(one),
    }
}

fn list(flags: &ListFlags) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("state", flags.state.clone()),
        ("route", flags.route.clone()),
        ("subject", flags.subject.clone()),
        ("reason", flags.reason.clone()),
        ("limit", flags.limit.map(|limit| limit.to_string())),
    ] {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    let told = get(&flags.edge, &format!("/sessions?{}", query.finish()))?;
    if flags.edge.json {
        return print(&format!("{told}\n"));
    }
    let mut table = Table::new(&[
        "ID", "STATE", "ROUTE", "SUBJECT", "CLIENT", "UPSTREAM", "GATE", "LASTED", "UP", "DOWN",
        "END",
    ]);
    for session in told["sessions"].as_array().into_iter().flatten() {
        let end = &session["end"];
        let end = match end["reason"].as_str() {
            Some(reason) => format!("{reason} by {}", cell(&end["ended_by"])),
            None => "-".to_owned(),
        };
        let of = |name: &str| cell(&session[name]);
        table.row([
            of("id"),
            of("state"),
            of("route"),
            of("subject"),
            of("client"),
            of("upstream"),
            of("gate"),
            lasted(&session["duration_ms"]),
            cell(&session["up"]["messages"]),
            cell(&session["down"]["messages"]),
            end,
        ]);
    }
    print(&table.write())
}

fn show(One { edge, id }: &One) -> anyhow::Result<()> {
    let told = get(edge, &format!("/sessions/{id}"))?;
    if edge.json {
        return print(&format!("{told}\n"));
    }
    let mut out = String::new();
    for name in [
        "id",
        "state",
        "route",
        "kind",
        "subject",
        "key",
        "certificate",
        "call",
        "client",
        "upstream",
        "gate",
        "keys",
        "since",
        "lease_ends",
    ] {
        out.push_str(&format!("{name:<11} {}\n", plain(&cell(&told[name]))));
    }
    out.push_str(&format!(
        "{:<11} {}\n",
        "lasted",
        lasted(&told["duration_ms"])
    ));
    for way in ["up", "down"] {
        let (messages, bytes) = (&told[way]["messages"], &told[way]["bytes"]);
        out.push_str(&format!("{way:<11} {messages} messages, {bytes} bytes\n"));
    }
    let end = &told["end"];
    if !end.is_null() {
        let of = |name: &str| cell(&end[name]);
        let (reason, by, at) = (of("reason"), of("ended_by"), of("at"));
        out.push_str(&format!("{:<11} {reason} by {by} at {at}\n", "end"));
        let (client, upstream) = (of("client_close"), of("upstream_close"));
        out.push_str(&format!(
            "{:<11} client {client}, upstream {upstream}\n",
            "closes"
        ));
    }
    print(&out)
}

fn end(One { edge, id }: &One) -> anyhow::Result<()> {
    let answer = edge
        .client()?
        .ask(&Method::DELETE, &format!("/sessions/{id}"), None)?;
    let told = succeeded(answer, StatusCode::ACCEPTED)?;
    if edge.json {
        return print(&format!("{told}\n"));
    }
    print(&format!(
        "ending  {} as {}\n",
        cell(&told["id"]),
        cell(&told["reason"])
    ))
}

fn tail(One { edge, id }: &One) -> anyhow::Result<()> {
    let mut over = false;
    let each = |line: &[u8]| {
        let text = std::str::from_utf8(line).context("this is no edge's answer")?;
        let told: Value = serde_json::from_str(text).context("this is no edge's answer")?;
        over |= told["event"] == "ended";
        if edge.json {
            print(text)?;
        } else if let Some(text) = written(&told) {
            print(&text)?;
        }
        Ok(!over)
    };
    let refused = edge
        .client()?
        .lines(&format!("/sessions/{id}/tail"), each)?;
    if let Some(refused) = refused {
        return Err(failed(refused.status, &refused.told));
    }
    if !over {
        bail!("the edge ended the tail before the session's end");
    }
    Ok(())
}

/// A line for people.
fn written(told: &Value) -> Option<String> {
    let at = told["at_ms"]
        .as_f64()
        .map_or(String::new(), |at| format!("{:.3}s", at / 1000.0));
    let what = match told["event"].as_str()? {
        "begin" => format!(
            "session {} of route {}, {}",
            cell(&told["id"]),
            cell(&told["route"]),
            cell(&told["state"])
        ),
        "message" => {
            let bytes = told["bytes"]
                .as_u64()
                .map_or("-".to_owned(), |bytes| format!("{bytes} B"));
            let gap = told["gap_ms"]
                .as_f64()
                .map_or(String::new(), |gap| format!("+{gap:.1} ms"));
            let direction = cell(&told["direction"]);
            format!(
                "{direction:<4}  {:<40}  {bytes:>9}  {gap}",
                cell(&told["type"])
            )
        }
        "keys" => format!("keys  {}", told["count"]),
        "gate" => format!("gate  {}", cell(&told["state"])),
        "lost" => format!("lost  {} lines: the reader was too slow", told["lines"]),
        "ended" => format!(
            "end   {} by {}",
            cell(&told["reason"]),
            cell(&told["ended_by"])
        ),
        _ => return None,
    };
    let line = plain(&format!("{at:>10}  {what}"));
    Some(format!("{}\n", line.trim_end()))
}
