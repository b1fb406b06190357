//! Session keys of calls that another cloud hands over.

use http::Method;

use super::{Refused, Reply, Telephony};
use crate::admission::Grant;
use crate::error::Reason;
use crate::ids::CallId;
use crate::label::Label;

pub struct SessionRoute {
    pub name: Label,
}

impl Telephony {
    pub async fn take_session(
        &self,
        route: &SessionRoute,
        grant: &Grant,
        (method, item): (&Method, Option<CallId>),
        body: &[u8],
    ) -> Result<Reply, Refused> {
        let _ = (route, grant, method, item, body);
        Err(Refused::new(Reason::Internal, "not yet"))
    }
}
