//! Finds servers that do not answer any more, whatever else is asked of them.
//!
//! A peer that is frozen, or gone without a word, keeps its connection: what is written to it waits for
//! answers until TCP gives up, which takes a quarter of an hour. fred looks only for how long nothing was
//! written, so that a connection in use would never be found. Answers come in the order of questions:
//! a `PING` without one in time is a server that answers nobody.

use std::time::Duration;

use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::ClientLike as _;
use fred::types::config::{Options, Server};
use futures_util::future::join_all;
use tokio::time::sleep;

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(500);
/// A server that has not answered within this time is taken for dead.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// Resolves when a server to which there is a connection has not answered for [`SILENCE`].
///
/// Cancel-safe: what was asked is answered to nobody.
pub(super) async fn silence(client: &Client, is_cluster: bool) {
    loop {
        sleep(EVERY).await;
        if !client.is_connected() {
            continue;
        }
        let servers: Vec<Option<Server>> = match is_cluster {
            true => client.active_connections().into_iter().map(Some).collect(),
            false => vec![None],
        };
        let asked = servers.into_iter().map(|server| is_silent(client, server));
        let silent = join_all(asked).await.contains(&true);
        // While it connects anew, questions wait for that.
        if silent && client.is_connected() {
            return;
        }
    }
}

async fn is_silent(client: &Client, server: Option<Server>) -> bool {
    let options = Options {
        timeout: Some(SILENCE),
        cluster_node: server,
        ..Options::default()
    };
    let answer: Result<String, _> = client.with_options(&options).ping(None).await;
    // Any other error is an answer, or one that fred acts upon.
    answer.is_err_and(|error| *error.kind() == ErrorKind::Timeout)
}
