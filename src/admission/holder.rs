//! Whose a grant is: everything by which it may be taken back.

use super::identify::Entered;
use super::ticket::Ticket;
use super::{Calling, Subject};
use crate::ids::CallId;
use crate::label::Label;
use crate::secret::Digest;

/// Whose a grant is. A session shares it with its place in the registry.
#[derive(Debug)]
pub struct Holder {
    pub subject: Subject,
    /// The name of the API key that was shown, also beside a token.
    pub key: Option<Label>,
    /// The name of the client certificate that was shown.
    pub certificate: Option<Label>,
    /// The call that is streamed.
    pub call: Option<CallId>,
    /// Of what is signed in the token or the ticket that was shown, so that no other spelling of its signature is
    /// another token. Keys, certificates and principals have none: they serve many sessions.
    pub credential: Option<Digest>,
    /// The same of the token for which the edge had signed that ticket.
    pub parent: Option<Digest>,
}

impl Holder {
    pub(super) fn of(
        entered: &Entered<'_>,
        credential: Option<Digest>,
        call: Option<&Calling>,
    ) -> Holder {
        Holder {
            subject: entered.subject(),
            key: entered.key.map(|key| key.name.clone()),
            certificate: entered.certificate.map(|listed| listed.name.clone()),
            call: call.map(|calling| calling.call.clone()),
            credential,
            parent: entered.ticket.as_ref().and_then(Ticket::parent),
        }
    }

    /// The tenant of the token or the principal.
    pub fn tenant(&self) -> Option<&str> {
        self.subject.tenant()
    }
}
