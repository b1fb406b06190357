//! After a session that the edge ended: the call is hung up. ACS does not do that when its media
//! socket is closed; the caller would go on in silence.

use std::sync::Arc;

use super::call::Call;
use crate::error::Reason;
use crate::ids::{CallId, ForeignId, SessionId};
use crate::store::Still;
use crate::upstream::call_automation::CallAutomation;

/// A call that is to be hung up, when its session has given everything back.
pub(super) struct HangUp {
    automation: Arc<CallAutomation>,
    connection: ForeignId,
    call: CallId,
    session: SessionId,
}

impl HangUp {
    /// Does it, within the bounds of Call Automation, which counts it and warns if it failed.
    pub(super) async fn run(self) {
        let hung_up = self.automation.hang_up(&self.connection).await;
        tracing::info!(
            session = %self.session,
            call = %self.call,
            connection = %self.connection,
            result = hung_up.err().map_or("ok", |failure| failure.kind.word()),
            "call hung up"
        );
    }
}

impl Call {
    /// What is left to do when its session has ended for `reason`; to be asked before the session
    /// leaves the call.
    pub(super) async fn hang_up(&self, session: SessionId, reason: Reason) -> Option<HangUp> {
        let automation = self.hang_up.as_ref().filter(|_| is_left_alone(reason))?;
        let call = &self.calling.call;
        // ACS may have come again meanwhile, and then the call has somebody. A store that is away
        // has told nobody so.
        if let Ok(Still::Superseded) = self.store.look(call, session).await {
            return None;
        }
        let said = self.calling.connection.as_ref();
        let Some(connection) = said.or(self.facts.connection.as_ref()) else {
            tracing::warn!(%session, %call, "call not hung up: ACS did not say its connection");
            return None;
        };
        Some(HangUp {
            automation: automation.clone(),
            connection: connection.clone(),
            call: call.clone(),
            session,
        })
    }
}

/// Whether a call whose session ended so is still there, and nobody to hear it.
fn is_left_alone(reason: Reason) -> bool {
    match reason {
        // ACS closed the socket, or it was lost and ACS may come again; another session has the
        // call; another edge may take it; it is over.
        Reason::ClientClosed
        | Reason::ClientLost
        | Reason::Superseded
        | Reason::Draining
        | Reason::HungUp => false,
        // The edge closed the socket, of itself or because the upstream is gone.
        Reason::CodeWrong
        | Reason::LockedOut
        | Reason::GateExpired
        | Reason::FormatMismatch
        | Reason::Idle
        | Reason::MaxDuration
        | Reason::LeaseExpired
        | Reason::Revoked
        | Reason::Protocol
        | Reason::TooLarge
        | Reason::UpstreamUnreachable
        | Reason::UpstreamRefused
        | Reason::UpstreamUnauthorized
        | Reason::UpstreamBusy
        | Reason::UpstreamTimeout
        | Reason::UpstreamClosed
        | Reason::StoreUnavailable
        | Reason::Internal => true,
        // They end requests, and no session of a call.
        Reason::BadRequest
        | Reason::Unauthenticated
        | Reason::Forbidden
        | Reason::NotFound
        | Reason::NoReference
        | Reason::OptedOut
        | Reason::Blocked
        | Reason::Busy
        | Reason::RateLimited
        | Reason::KeysUnavailable => false,
    }
}
