//! Media URLs, signed with the secret of the settings, as whoever answers calls would sign them.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::admission::media_url::{Signed, Signer};
use crate::config::{Ani, Dialled, Flow, KnownBy, Route, Settings};
use crate::ids::{CallId, ForeignId, PhoneNumber};

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    settings: crate::cli::Config,
    /// Call that the URL is for: letters, digits, _ and -
    #[arg(long, value_name = "ID", value_parser = call, requires = "config")]
    call: Option<CallId>,
    /// The caller's number; a dialled code needs it where calls are known by their URL
    #[arg(long, value_name = "+NUMBER", value_parser = number, requires = "call")]
    ani: Option<PhoneNumber>,
    /// The id in the call's SIP headers; the flow "sip-header" needs it where calls are known by their
    /// URL
    #[arg(long, value_name = "ID", value_parser = foreign, requires = "call")]
    sip: Option<ForeignId>,
    /// ACS' connection id, which the upgrade must then name
    #[arg(long, value_name = "ID", value_parser = foreign, requires = "call")]
    connection: Option<ForeignId>,
    /// Route that it is for; needed where several have calls
    #[arg(long, value_name = "NAME", requires = "call")]
    route: Option<String>,
    /// Where ACS reaches the edge, such as wss://edge.example.com; the edge's own address if not said
    #[arg(long, value_name = "URL", requires = "call")]
    base: Option<String>,
}

fn call(text: &str) -> Result<CallId, &'static str> {
    CallId::new(text).ok_or("not 1 to 64 letters, digits, _ and -")
}

fn number(text: &str) -> Result<PhoneNumber, &'static str> {
    PhoneNumber::new(text).ok_or("not a number such as +15551234567")
}

fn foreign(text: &str) -> Result<ForeignId, &'static str> {
    ForeignId::new(text).ok_or("not 1 to 128 letters, digits and _ - . @ ~")
}

impl Flags {
    pub(super) fn call(&self) -> Option<&CallId> {
        self.call.as_ref()
    }

    /// The URL, which is a secret, for people to hand on.
    pub(super) fn sign(&self, call: &CallId, expires: Option<Duration>) -> anyhow::Result<String> {
        let settings = self.settings.read()?;
        let live = &settings.live;
        let signer = live.calls.as_ref().and_then(Signer::new);
        let signer = signer.context("there is no [calls] with a secret in the settings")?;
        let route = self.of(&live.routes)?;
        if live.calls.as_ref().map(|calls| calls.known_by) == Some(KnownBy::Url) {
            self.suffices(route)?;
        }
        let path = route.paths.first().context("the route has no path")?;
        let signed = Signed {
            route: Some(route.name.clone()),
            ani: self.ani.clone(),
            sip: self.sip.clone(),
            connection: self.connection.clone(),
            ..Signed::of(call.clone())
        };
        let base = match &self.base {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => own(&settings),
        };
        let life = expires.unwrap_or(route.limits.over(live.limits).session);
        let url = signer.url(&base, path, &signed, SystemTime::now(), life)?;
        Ok(url.expose().to_owned())
    }

    /// The route that was named, or the only one that has calls.
    fn of<'a>(&self, routes: &'a [Route]) -> anyhow::Result<&'a Route> {
        let calls = |route: &&Route| {
            let named = self.route.as_deref();
            route.kind.phone().is_some() && named.is_none_or(|name| route.name.as_str() == name)
        };
        let mut found = routes.iter().filter(calls);
        match (found.next(), found.next(), &self.route) {
            (Some(route), None, _) => Ok(route),
            (Some(one), Some(two), _) => {
                let names = [one, two].into_iter().chain(found);
                let names: Vec<&str> = names.map(|route| route.name.as_str()).collect();
                let names = names.join(", ");
                bail!("several routes have calls; say which with --route: {names}")
            }
            (None, _, Some(name)) => {
                bail!("no such route has calls (kind = \"acs-media\"): {name:?}")
            }
            (None, _, None) => bail!("no route has calls (kind = \"acs-media\")"),
        }
    }

    /// Whether the edge would take the URL: where calls are known by it, nothing else says what the
    /// flow looks up.
    fn suffices(&self, route: &Route) -> anyhow::Result<()> {
        let missing = match route.kind.phone().map(|phone| &phone.flow) {
            Some(Flow::Dialled(gate)) if self.ani.is_none() => match gate.dialled {
                Dialled::Pstn {
                    ani: Ani::Signalling | Ani::Shared,
                } => Some("who calls, with --ani"),
                Dialled::Pstn { ani: Ani::Digits } | Dialled::SipAlias => None,
            },
            Some(Flow::SipHeader { .. }) if self.sip.is_none() => Some("the SIP id, with --sip"),
            Some(Flow::Dialled(_) | Flow::SipHeader { .. } | Flow::Api { .. } | Flow::Open)
            | None => None,
        };
        match missing {
            Some(what) => bail!(
                "calls of route {} are known by their media URL; it must say {what}",
                route.name
            ),
            None => Ok(()),
        }
    }
}

/// The edge's own address, for tests on one machine.
fn own(settings: &Settings) -> String {
    let scheme = match settings.live.identity {
        Some(_) => "wss",
        None => "ws",
    };
    format!("{scheme}://localhost:{}", settings.boot.listen.port())
}
