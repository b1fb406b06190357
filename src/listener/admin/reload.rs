//! `POST /reload`: the settings are read anew, all of them or nothing.

use http::{Response, StatusCode, request};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::{Body, ok, read, wrong};
use crate::listener::doors::Doors;
use crate::listener::reload::NotLoaded;

/// `{}`
const BODY_MAX: usize = 256;

pub(super) async fn answer(doors: &Doors, head: &request::Parts, body: Incoming) -> Response<Body> {
    let body = match read(head, body, BODY_MAX).await {
        Ok(body) => body,
        Err(wrong) => return *wrong,
    };
    let empty = serde_json::from_slice::<Value>(&body);
    if !empty.is_ok_and(|body| body == json!({})) {
        return wrong(StatusCode::BAD_REQUEST, "the body must be {}");
    }
    match doors.reload.now().await {
        Ok(loaded) => ok(&json!({"generation": loaded.generation, "is_new": loaded.is_new})),
        Err(refused) => {
            let status = match refused {
                NotLoaded::Unusable(_) => StatusCode::UNPROCESSABLE_ENTITY,
                NotLoaded::NeedsRestart(_) | NotLoaded::NoFiles => StatusCode::CONFLICT,
                NotLoaded::Busy | NotLoaded::Ending => StatusCode::SERVICE_UNAVAILABLE,
            };
            wrong(status, refused.to_string())
        }
    }
}
