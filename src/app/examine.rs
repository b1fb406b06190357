//! What is asked of an edge that does not run: whether its settings can be used, and what would become of a
//! request, a token, a ticket.

use std::net::IpAddr;
use std::time::SystemTime;

use futures_util::future::join_all;
use tokio::runtime;

use super::Failed;
use super::build::doors;
use crate::admission::ticket::Examined as ExaminedTicket;
use crate::admission::{Denied, Examined};
use crate::audit;
use crate::config::Settings;
use crate::label::Label;
use crate::listener;
use crate::listener::doors::Doors;
use crate::listener::explain::Explained;
use crate::secret::Secret;

/// Builds everything that `serve` would build, without listening.
pub fn check(settings: &Settings) -> Result<(), Failed> {
    audit::check(settings.boot.audit.as_ref())?;
    doors(settings)?;
    Ok(())
}

/// What would become of a request with this head from `peer`, without anything being dialled but
/// the issuers of tokens.
pub fn explain(settings: &Settings, head: &[u8], peer: IpAddr) -> Result<Explained, Failed> {
    let mut doors = doors(settings)?;
    doors.admission.count_alone();
    alone(&doors, listener::explain::explain(&doors, head, peer))
}

/// Whether a token of `issuer` is good, and what it says.
pub fn examine(
    settings: &Settings,
    issuer: &Label,
    token: &Secret,
) -> Result<Result<Examined, Denied>, Failed> {
    let doors = doors(settings)?;
    let now = SystemTime::now();
    alone(&doors, doors.admission.examine(issuer, token, now))
}

/// Whether a ticket is good, but for its use, and what it says.
pub fn examine_ticket(
    settings: &Settings,
    ticket: &Secret,
) -> Result<Result<ExaminedTicket, Denied>, Failed> {
    let doors = doors(settings)?;
    Ok(doors.admission.examine_ticket(ticket, SystemTime::now()))
}

/// Runs one future to its end while the keys of issuers are fetched.
fn alone<T>(doors: &Doors, work: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = work => done,
            () = issuer_keys(doors) => unreachable!("keys are fetched for ever"),
        }
    });
    runtime.shutdown_background();
    Ok(done)
}

/// Keeps the published keys of all token issuers fresh.
async fn issuer_keys(doors: &Doors) {
    let keys = doors.admission.issuer_keys();
    join_all(keys.iter().map(|keys| keys.run())).await;
    // There are no issuers.
    std::future::pending().await
}
