//! Tickets, signed as a customer's backend would sign them, with a key of the settings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::admission::ticket::{Claims, sign};
use crate::config::{Settings, TicketKey, Tickets};
use crate::ids::random_guid;

/// How long a ticket lives if nothing else is said, where tickets may live so long.
const LIFE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    settings: crate::cli::Config,
    /// Id of the key of [tickets] that signs; the first one that can if not said
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Route that it is for
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Page that the session must be opened from, such as https://app.example.com
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Model that it is for
    #[arg(long, value_name = "NAME", conflicts_with = "agent")]
    model: Option<String>,
    /// Agent that it is for
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Call that it is for
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// Whose it is
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Tenant of whose it is
    #[arg(long, value_name = "TENANT", requires = "subject")]
    tenant: Option<String>,
    /// How long it lives; 30s if not said
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    /// How long the session may last; as long as the route's may if not said
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    session: Option<Duration>,
}

impl Flags {
    /// The ticket, which is a secret, for people to hand on.
    pub(super) fn sign(&self) -> anyhow::Result<String> {
        let settings = self.settings.read()?;
        let tickets = settings.live.tickets.as_ref();
        let tickets = tickets.context("there is no [tickets] in the settings")?;
        let key = self.key(tickets)?;
        self.would_open(&settings)?;
        let life = self.expires.unwrap_or(LIFE.min(tickets.max_age));
        if life < Duration::from_secs(1) || life > tickets.max_age {
            let most = humantime::format_duration(tickets.max_age);
            bail!("a ticket lives for at least 1s, and here for at most {most}");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = Claims {
            origin: self.origin.clone(),
            route: self.route.clone(),
            model: self.model.clone(),
            agent: self.agent.clone(),
            call: self.call.clone(),
            sub: self.subject.clone(),
            tid: self.tenant.clone(),
            session_exp: self.session.map(|session| now + session.as_secs()),
            ..Claims::of(
                &tickets.audience,
                (now, now + life.as_secs()),
                random_guid(),
            )
        };
        let ticket = sign(&claims, key).context("the key cannot sign")?;
        Ok(ticket.expose().to_owned())
    }

    fn key<'a>(&self, tickets: &'a Tickets) -> anyhow::Result<&'a TicketKey> {
        let signs = |key: &&TicketKey| key.signer.is_some();
        match &self.key {
            None => {
                let only = "only others have what the keys of the settings sign with";
                tickets.keys.iter().find(signs).context(only)
            }
            Some(id) => {
                let mut named = tickets.keys.iter().filter(|key| key.id.as_str() == id);
                let key = named.next();
                let key = key.with_context(|| format!("[tickets] has no key {id:?}"))?;
                let only = || format!("only others have what the key {id:?} signs with");
                key.signer.is_some().then_some(key).with_context(only)
            }
        }
    }

    /// A ticket for a route that takes none would be of no use.
    fn would_open(&self, settings: &Settings) -> anyhow::Result<()> {
        let Some(name) = &self.route else {
            return Ok(());
        };
        let mut routes = settings.live.routes.iter();
        match routes.find(|route| route.name.as_str() == name) {
            None => bail!("there is no route {name:?}"),
            Some(route) if !route.takes_tickets() => bail!("the route {name:?} takes no tickets"),
            Some(_) => Ok(()),
        }
    }
}
