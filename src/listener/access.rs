//! One line for each request, whatever becomes of it; a session has lines of its own.

use http::StatusCode;

use super::doors::{Asked, Doors, Open};
use super::refusal::Refusal;
use crate::label::Label;
use crate::log::ACCESS;

/// One log line, where no application has answered.
pub(super) fn note_answer(doors: &Doors, asked: Asked<'_>, open: &Open, status: StatusCode) {
    let route = &open.route.name;
    asked.span_request(doors, Some(route), Ok(()));
    tracing::debug!(
        target: ACCESS,
        trace_id = asked.trace_id().map(tracing::field::display),
        %route,
        client = %asked.peer,
        status = status.as_u16(),
        took_ms = asked.accepted.elapsed().as_millis() as u64,
        "request answered"
    );
}

/// One counter, one record, one log line.
pub(super) fn note_refusal(
    doors: &Doors,
    asked: Asked<'_>,
    refusal: &Refusal,
    route: Option<&Label>,
) {
    doors.metrics.refused(route, refusal.reason);
    asked.decision.refused(refusal);
    asked.span_request(doors, route, Err(refusal.reason));
    tracing::debug!(
        target: ACCESS,
        trace_id = asked.trace_id().map(tracing::field::display),
        route = route.map(tracing::field::display),
        client = %asked.peer,
        reason = %refusal.reason,
        status = refusal.status.as_u16(),
        detail = refusal.detail,
        took_ms = asked.accepted.elapsed().as_millis() as u64,
        "request refused"
    );
}
