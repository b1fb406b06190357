//! `tonegate status`, `upstreams`, `settings`, `drain`, `reload`.

use std::time::{Duration, Instant};

use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::table::{Table, cell, plain};
use super::{Edge, get, print, succeeded};
use crate::cli::exit::Exit;

/// What has no flags of its own.
#[derive(Args)]
pub(in crate::cli) struct Plain {
    #[command(flatten)]
    edge: Edge,
}

#[derive(Args)]
pub(in crate::cli) struct DrainFlags {
    #[command(flatten)]
    edge: Edge,
    /// How long sessions that run have left, such as 30s; as the settings say if not said
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
    /// Wait until the edge has ended
    #[arg(long)]
    wait: bool,
}

/// How often an edge that drains is asked whether it is still there.
const LOOK: Duration = Duration::from_millis(500);
/// Beyond what it has left an edge needs seconds to close what it has open.
const GOODBYE: Duration = Duration::from_secs(30);

/// Tells how the edge stands; that it is not ready has an exit code of its own.
pub(in crate::cli) fn status(Plain { edge }: &Plain) -> anyhow::Result<()> {
    let told = get(edge, "/status")?;
    if edge.json {
        print(&format!("{told}\n"))?;
    } else {
        let of = |name: &str| cell(&told[name]);
        let store = &told["store"];
        let up = if store["up"] == true { "up" } else { "down" };
        let revocations = &told["revocations"];
        let out = [
            ("version", of("version")),
            ("since", of("since")),
            (
                "settings",
                format!(
                    "generation {} of {}",
                    of("generation"),
                    of("settings_since")
                ),
            ),
            ("ready", of("ready")),
            ("stage", of("stage")),
            (
                "sessions",
                format!("{} of {}", of("sessions"), of("sessions_max")),
            ),
            (
                "connections",
                format!("{} of {}", of("connections"), of("connections_max")),
            ),
            ("store", format!("{}, {up}", cell(&store["engine"]))),
            (
                "revocations",
                format!(
                    "{} in force, read {} s ago",
                    revocations["in_force"],
                    cell(&revocations["age_s"])
                ),
            ),
        ];
        let lines = out
            .iter()
            .map(|(name, text)| format!("{name:<11} {}\n", plain(text)));
        print(&lines.collect::<String>())?;
    }
    match told["not_ready"].as_str() {
        Some(why) => Err(Exit::NotReady(format!("the edge is not ready: {}", plain(why))).into()),
        None => Ok(()),
    }
}

pub(in crate::cli) fn upstreams(Plain { edge }: &Plain) -> anyhow::Result<()> {
    let told = get(edge, "/upstreams")?;
    if edge.json {
        return print(&format!("{told}\n"));
    }
    let mut table = Table::new(&[
        "NAME",
        "KIND",
        "ADDRESS",
        "DIALS",
        "FAILED",
        "LAST",
        "WHY",
        "QUEUE",
        "THROTTLED",
        "TOKEN UNTIL",
    ]);
    for one in told["upstreams"].as_array().into_iter().flatten() {
        let failed = one["last_dial"] == "failed";
        let why = if failed {
            cell(&one["last_failure"]["detail"])
        } else {
            "-".to_owned()
        };
        let pacing = &one["pacing"];
        let throttled = pacing["throttled_s"].as_f64();
        table.row([
            cell(&one["name"]),
            cell(&one["kind"]),
            cell(&one["address"]),
            cell(&one["dials"]),
            cell(&one["failures"]),
            cell(&one["last_dial"]),
            why,
            cell(&pacing["queue"]),
            throttled.map_or("-".to_owned(), |left| format!("{left:.0}s")),
            cell(&one["identity"]["ends"]),
        ]);
    }
    print(&table.write())
}

/// As `tonegate check` shows them.
pub(in crate::cli) fn settings(Plain { edge }: &Plain) -> anyhow::Result<()> {
    let told = get(edge, "/settings")?;
    if edge.json {
        return print(&format!("{told}\n"));
    }
    let texts = |name: &str| -> Vec<String> {
        let all = told[name].as_array().into_iter().flatten();
        all.map(|text| plain(&cell(text))).collect()
    };
    let lines = texts("settings").into_iter();
    let notices = texts("notices").into_iter();
    let notices = notices.map(|notice| format!("note      {notice}"));
    let all = lines.chain(notices).map(|line| format!("{line}\n"));
    print(&all.collect::<String>())
}

pub(in crate::cli) fn drain(flags: &DrainFlags) -> anyhow::Result<()> {
    let edge = &flags.edge;
    let client = edge.client()?;
    let grace = flags
        .grace
        .map(|grace| humantime::format_duration(grace).to_string());
    let order = grace.map_or(json!({}), |grace| json!({"grace": grace}));
    let answer = client.ask(&Method::POST, "/drain", Some(&order))?;
    let told = succeeded(answer, StatusCode::ACCEPTED)?;
    if edge.json {
        print(&format!("{told}\n"))?;
    } else {
        let (sessions, left) = (&told["sessions"], &told["left_s"]);
        print(&format!(
            "draining  {sessions} sessions have {left} s at the most\n"
        ))?;
    }
    if !flags.wait {
        return Ok(());
    }
    let left = Duration::from_secs(told["left_s"].as_u64().unwrap_or_default());
    let until = Instant::now() + left + GOODBYE;
    loop {
        client.pause(LOOK);
        match client.get("/status") {
            Ok(_) if Instant::now() < until => {}
            Ok(_) => anyhow::bail!("the edge has not ended in time"),
            // Nobody is there any more.
            Err(error) if error.downcast_ref::<Exit>().is_some() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

pub(in crate::cli) fn reload(Plain { edge }: &Plain) -> anyhow::Result<()> {
    let answer = edge
        .client()?
        .ask(&Method::POST, "/reload", Some(&json!({})))?;
    let told: Value = succeeded(answer, StatusCode::OK)?;
    if edge.json {
        return print(&format!("{told}\n"));
    }
    let generation = &told["generation"];
    let what = if told["is_new"] == true {
        "reloaded"
    } else {
        "unchanged"
    };
    print(&format!("{what}  generation {generation}\n"))
}
