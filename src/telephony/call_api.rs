//! Calls that are made for whoever asks.

use http::Method;

use super::{Refused, Reply, Telephony};
use crate::admission::Grant;
use crate::error::Reason;
use crate::ids::CallId;
use crate::label::Label;

pub struct CallRoute {
    pub name: Label,
}

impl Telephony {
    pub async fn take_call_order(
        &self,
        route: &CallRoute,
        grant: &Grant,
        (method, item): (&Method, Option<CallId>),
        body: &[u8],
    ) -> Result<Reply, Refused> {
        let _ = (route, grant, method, item, body);
        Err(Refused::new(Reason::Internal, "not yet"))
    }
}
