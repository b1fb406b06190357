//! `tonegate doctor`: everything that an edge with these settings needs of others, tried from this
//! machine before the first call.
//!
//! All checks run side by side, each within a time of its own. What is asked is asked by the edge's own
//! clients. Nothing that anybody else holds is changed: `store` writes a key of its own for a moment,
//! `voice` spends one connection of each upstream's quota.
//!
//! Nobody's text is printed but our own: no secret, and nothing that a peer says beyond numbers and words
//! from closed lists.

mod admin;
mod azure;
mod frames;
mod idle;
mod machine;
mod places;
mod public;
mod reach;
mod report;
mod store;
mod tokens;
mod voice;
mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::time::timeout;

use self::public::Public;
use self::report::{Finding, Group, Report, Verdict};
use self::witness::Admin;
use super::admin::within_reach;
use crate::config::{self, Roots, Settings, Sources};
use crate::listener::witness::HOLD_MAX;
use crate::metrics::{self, Metrics};
use crate::secret::Secret;

/// One group of checks takes no longer, `--idle` aside: each has shorter times of its own.
const GROUP: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    settings: super::Config,
    /// Where ACS and clients find the edge: wss://host[:port][/path]. Default: media of [acs]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// What the certificate there must lead to, PEM. Default: the system's roots, as ACS has them
    #[arg(long, value_name = "FILE")]
    public_roots: Option<PathBuf>,
    /// The admin listener of this machine's edge. Default: that of the settings
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Only these groups of checks
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    only: Vec<Group>,
    /// Keep a quiet connection for so long, through the public address and to each upstream, and see
    /// whether it lives; at most 15m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    idle: Option<Duration>,
    /// Print each finding as a JSON line
    #[arg(long)]
    json: bool,
    /// Exit with 1 for warnings, too
    #[arg(long)]
    strict: bool,
}

/// What the admin listener of an edge with these settings shows, if it speaks TLS.
fn admin_chain(settings: &Settings) -> Option<String> {
    let identity = settings.live.identity.as_ref();
    let identity = identity.filter(|_| settings.admin_speaks_tls());
    identity.map(|identity| identity.chain_pem.clone())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let fits = (Duration::from_secs(1)..=HOLD_MAX).contains(&duration);
    let whole = Duration::from_secs(duration.as_secs());
    fits.then_some(whole)
        .ok_or("must be at least 1s and at most 15m".to_owned())
}

/// What is asked of all checks.
struct Asked {
    settings: Settings,
    public: Option<Public>,
    public_roots: Roots,
    /// `None`: the settings leave its port to the system.
    admin: Option<Admin>,
    idle: Option<Duration>,
    metrics: metrics::Shared,
    only: Vec<Group>,
}

impl Asked {
    fn new(flags: &Flags, settings: Settings) -> anyhow::Result<Asked> {
        let public_roots = match &flags.public_roots {
            None => Roots::System,
            Some(path) => Roots::Pem(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            ),
        };
        let media = settings.live.acs.as_ref().and_then(|acs| acs.media.clone());
        let public = match flags.public_url.clone().or(media) {
            None => None,
            Some(text) => Some(
                Public::read(&text, &public_roots)
                    .context("the public URL must be like wss://host[:port][/path]")?,
            ),
        };
        let token = config::admin_token(&flags.settings.variables(&mut Sources::default())?);
        let token = token.map(Secret::new);
        let own = settings.boot.admin;
        let own = (own.port() != 0).then(|| within_reach(own));
        let admin = flags.admin.or(own).map(|address| Admin {
            address,
            // As where it listens; an address that is on loopback may be that of a listener beyond it, too.
            chain: admin_chain(&settings),
            token,
        });
        Ok(Asked {
            public,
            public_roots,
            admin,
            idle: flags.idle,
            metrics: Arc::new(Metrics::new()),
            only: flags.only.clone(),
            settings,
        })
    }

    /// Whether any of these is wanted.
    fn wants(&self, groups: &[Group]) -> bool {
        self.only.is_empty() || groups.iter().any(|group| self.only.contains(group))
    }

    /// Runs checks of these groups, if they are wanted; what was found of those.
    async fn run(
        &self,
        groups: &[Group],
        checks: impl Future<Output = Vec<Finding>>,
    ) -> Vec<Finding> {
        if !self.wants(groups) {
            return Vec::new();
        }
        let limit = GROUP + self.idle.unwrap_or_default();
        let found = timeout(limit, Box::pin(checks)).await;
        let mut found = found.unwrap_or_else(|_| {
            let text = format!("The checks took more than {} s.", limit.as_secs());
            let fix = "Try them one group at a time, with --only.";
            vec![Finding::fail(groups[0], "all", (text, fix))]
        });
        found.retain(|finding| self.wants(&[finding.group()]));
        found
    }

    /// All checks, side by side.
    async fn check(&self) -> Vec<Finding> {
        let settings = &self.settings;
        let metrics = &self.metrics;
        let places = places::places(settings);
        let machine = async { vec![machine::descriptors(settings)] };
        let own = async {
            let name = self
                .public
                .as_ref()
                .map(|public| public.place.host.as_str());
            let live = &settings.live;
            let own = (live.identity.as_ref(), &live.server_certificates[..]);
            machine::certificate(own, name, &self.public_roots)
        };
        // Nobody's quota is spent where nothing would be told of it.
        let voice: &[Group] = match self.idle {
            Some(_) => &[Group::Voice, Group::Idle],
            None => &[Group::Voice],
        };
        let groups = tokio::join!(
            self.run(&[Group::Settings], async { machine::settings(settings) }),
            self.run(&[Group::Machine], machine),
            self.run(&[Group::Certificate], own),
            self.run(&[Group::Dns], reach::names(&places)),
            self.run(&[Group::Tls], reach::connections(&places)),
            self.run(&[Group::Clock], async { vec![reach::clock(&places).await] }),
            self.run(&[Group::Issuers], tokens::issuers(settings, metrics)),
            self.run(&[Group::Identity], tokens::identities(settings, metrics)),
            self.run(&[Group::Store], store::check(settings, metrics)),
            self.run(voice, voice::check(settings, self.idle, metrics)),
            self.run(&[Group::Azure], azure::check(settings, metrics)),
            self.run(&[Group::Public], public::check(self)),
            self.run(&[Group::Idle], idle::check(self)),
            self.run(&[Group::Admin], admin::check(self)),
        );
        let (a, b, c, d, e, f, g, h, i, j, k, l, m, n) = groups;
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n].concat()
    }
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let findings = match flags.settings.read() {
        Err(error) => {
            let told = format!("{error:#}").replace('\n', " ");
            let text = format!("They cannot be read: {}.", told.trim_end_matches('.'));
            let fix = "Correct them until `tonegate check` says ok; nothing else was looked at.";
            vec![Finding::fail(Group::Settings, "settings", (text, fix))]
        }
        Ok(settings) => {
            let asked = Asked::new(flags, settings)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let findings = runtime.block_on(asked.check());
            // A look-up that hangs is not waited for.
            runtime.shutdown_background();
            findings
        }
    };
    let report = Report::new(findings);
    match flags.json {
        true => print!("{}", report.lines()),
        false => print!("{}", report.text()),
    }
    let (failed, warned) = (report.count(Verdict::Fail), report.count(Verdict::Warn));
    if failed > 0 {
        bail!("{failed} of the checks failed");
    }
    if flags.strict && warned > 0 {
        bail!("{warned} of the checks warned");
    }
    Ok(())
}
