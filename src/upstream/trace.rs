//! Tells whoever is asked which trace that is part of.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Want;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Puts the trace into `headers`, as a part of its own, in place of what is there.
pub(super) fn tell(headers: &mut HeaderMap, want: Want<'_>) {
    headers.remove(PARENT);
    headers.remove(STATE);
    let traced = want.traced;
    let part = want
        .part
        .or_else(|| traced.map(|traced| traced.trace.child()));
    let parent = part.and_then(|part| HeaderValue::try_from(part.traceparent()).ok());
    headers.extend(parent.map(|value| (PARENT, value)));
    let state = traced.and_then(|traced| traced.state.as_ref());
    let state = state.and_then(|state| HeaderValue::from_str(state.as_str()).ok());
    headers.extend(state.map(|value| (STATE, value)));
}
