//! `POST /witness?hold=SECONDS` and `GET /witness/WORD`: what reaches the edge of a request of `tonegate
//! doctor`.

use std::time::Instant;

use http::{Response, StatusCode, request};

use super::answer::{Body, document};
use crate::listener::doors::Doors;

pub(super) fn answer(doors: &Doors, head: &request::Parts) -> Response<Body> {
    let (status, told) = doors.witness.answer(head, Instant::now());
    if status == StatusCode::TOO_MANY_REQUESTS {
        doors.metrics.limit_hit("witness");
    }
    document(status, &told)
}
