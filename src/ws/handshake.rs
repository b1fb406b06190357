//! Both ends of the upgrade (RFC 6455, section 4), over `http` types and tungstenite's key rules.
//!
//! The server end answers a request that keeps every rule of section 4.2.1; the client end
//! believes a `101` only if it keeps every rule of section 4.1. No extension is ever agreed on:
//! permessage-deflate is declined by silence towards the client and never offered upstream.

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::{client, derive_accept_key, server};

/// Why an upgrade request cannot be answered with `101`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnUpgrade {
    Method,
    NotWebSocket,
    Version,
    Key,
    Body,
}

impl NotAnUpgrade {
    /// What is wrong, for the problem document and the log.
    pub fn sentence(self) -> &'static str {
        match self {
            NotAnUpgrade::Method => "the method must be GET",
            NotAnUpgrade::NotWebSocket => "this route speaks WebSocket only",
            NotAnUpgrade::Version => "Sec-WebSocket-Version must be 13",
            NotAnUpgrade::Key => "Sec-WebSocket-Key must be one value of 16 bytes in base64",
            NotAnUpgrade::Body => "an upgrade request must have no body",
        }
    }

    /// The status that fits: 405, 426 where another version or protocol is needed, else 400.
    pub fn status(self) -> StatusCode {
        match self {
            NotAnUpgrade::Method => StatusCode::METHOD_NOT_ALLOWED,
            NotAnUpgrade::NotWebSocket | NotAnUpgrade::Version => StatusCode::UPGRADE_REQUIRED,
            NotAnUpgrade::Key | NotAnUpgrade::Body => StatusCode::BAD_REQUEST,
        }
    }
}

/// Judges an upgrade request; the answer is its `101`.
///
/// Duplicates are refused here because tungstenite looks at the first header line only, and
/// an intermediary that looked at another one would disagree with us about what was asked.
pub fn accept<B>(request: &Request<B>) -> Result<Response<()>, NotAnUpgrade> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(NotAnUpgrade::Method);
    }
    if headers.contains_key(http::header::CONTENT_LENGTH)
        || headers.contains_key(http::header::TRANSFER_ENCODING)
    {
        return Err(NotAnUpgrade::Body);
    }
    let asks = has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, "websocket")
        && request.version() == Version::HTTP_11;
    if !asks {
        return Err(NotAnUpgrade::NotWebSocket);
    }
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(NotAnUpgrade::Version);
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(NotAnUpgrade::Key)?;
    // tungstenite wants single header lines; what matters of ours was judged above.
    let mut plain = Request::new(());
    let canonical = plain.headers_mut();
    canonical.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    canonical.insert(UPGRADE, HeaderValue::from_static("websocket"));
    canonical.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    canonical.insert(SEC_WEBSOCKET_KEY, key.clone());
    server::create_response_with_body(&plain, || ()).map_err(|_| NotAnUpgrade::Key)
}

/// The subprotocols that a request offers (RFC 6455, 4.1), in its order; `None` if the header is no
/// list of different tokens, or a longer one than anybody needs.
pub fn offered(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for line in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for name in line.to_str().ok()?.split(',').map(str::trim) {
            let token = !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b));
            if !token || names.contains(&name) || names.len() == OFFERED_MAX {
                return None;
            }
            names.push(name);
        }
    }
    Some(names)
}

/// Subprotocols that a request may offer. Clients in use offer one to four.
const OFFERED_MAX: usize = 16;

/// The upgrade headers of a request of ours; keep the key for [`verify`].
pub fn request_headers(headers: &mut HeaderMap) -> HeaderValue {
    let key = HeaderValue::from_str(&client::generate_key())
        .expect("a key is base64, which is always a legal header value");
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    key
}

/// Why a `101` is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUpgrade {
    #[error("the answer does not upgrade to WebSocket")]
    NotWebSocket,
    #[error("Sec-WebSocket-Accept does not belong to our key")]
    Accept,
    #[error("an extension was agreed on that was not offered")]
    Extension,
    #[error("a subprotocol was chosen that was not offered, or none where one was")]
    Subprotocol,
}

/// Judges a `101` that answers a request made with `key`, in which one subprotocol was offered or
/// none.
pub fn verify<B>(
    response: &Response<B>,
    key: &HeaderValue,
    offered: Option<&str>,
) -> Result<(), BadUpgrade> {
    let headers = response.headers();
    let upgrades = response.status() == StatusCode::SWITCHING_PROTOCOLS
        && has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, "websocket");
    if !upgrades {
        return Err(BadUpgrade::NotWebSocket);
    }
    let expected = derive_accept_key(key.as_bytes());
    if only(headers, &SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept != expected.as_str()) {
        return Err(BadUpgrade::Accept);
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err(BadUpgrade::Extension);
    }
    let agreed = match offered {
        None => !headers.contains_key(SEC_WEBSOCKET_PROTOCOL),
        Some(name) => only(headers, &SEC_WEBSOCKET_PROTOCOL).is_some_and(|chosen| chosen == name),
    };
    if !agreed {
        return Err(BadUpgrade::Subprotocol);
    }
    Ok(())
}

/// Whether a comma-separated list, over all lines of the header, names `token` in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that stands exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3.
    fn request() -> Request<()> {
        Request::builder()
            .uri("/ws")
            .header("Connection", "keep-alive, Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap()
    }

    #[test]
    fn accepts_the_example_of_the_rfc_and_agrees_on_no_extension() {
        let mut request = request();
        request.headers_mut().insert(
            "Sec-WebSocket-Extensions",
            HeaderValue::from_static("permessage-deflate"),
        );
        let response = accept(&request).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(
            response.headers()["Sec-WebSocket-Accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert!(!response.headers().contains_key("Sec-WebSocket-Extensions"));
    }

    #[test]
    fn refuses_every_departure_with_its_own_word() {
        type Change = fn(&mut Request<()>);
        let cases: &[(Change, NotAnUpgrade)] = &[
            (|r| *r.method_mut() = Method::POST, NotAnUpgrade::Method),
            (
                |r| *r.version_mut() = Version::HTTP_10,
                NotAnUpgrade::NotWebSocket,
            ),
            (
                |r| drop(r.headers_mut().remove("Upgrade")),
                NotAnUpgrade::NotWebSocket,
            ),
            (
                |r| drop(r.headers_mut().remove("Connection")),
                NotAnUpgrade::NotWebSocket,
            ),
            (
                |r| set(r, "Sec-WebSocket-Version", "12"),
                NotAnUpgrade::Version,
            ),
            (
                |r| add(r, "Sec-WebSocket-Version", "8"),
                NotAnUpgrade::Version,
            ),
            (|r| set(r, "Sec-WebSocket-Key", "short"), NotAnUpgrade::Key),
            (
                |r| add(r, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                NotAnUpgrade::Key,
            ),
            (|r| set(r, "Content-Length", "0"), NotAnUpgrade::Body),
            (
                |r| set(r, "Transfer-Encoding", "chunked"),
                NotAnUpgrade::Body,
            ),
        ];
        for (change, expected) in cases {
            let mut request = request();
            change(&mut request);
            assert_eq!(accept(&request).unwrap_err(), *expected);
        }
    }

    fn set(request: &mut Request<()>, name: &'static str, value: &'static str) {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }

    fn add(request: &mut Request<()>, name: &'static str, value: &'static str) {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(name, value);
    }

    #[test]
    fn believes_only_a_101_that_answers_our_key() {
        let mut headers = HeaderMap::new();
        let key = request_headers(&mut headers);
        let good = || {
            Response::builder()
                .status(101)
                .header("Connection", "upgrade")
                .header("Upgrade", "WebSocket")
                .header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()))
        };
        assert_eq!(verify(&good().body(()).unwrap(), &key, None), Ok(()));
        let cases = [
            (good().status(200), BadUpgrade::NotWebSocket),
            (
                good().header("Sec-WebSocket-Accept", "x"),
                BadUpgrade::Accept,
            ),
            (
                good().header("Sec-WebSocket-Extensions", "permessage-deflate"),
                BadUpgrade::Extension,
            ),
            (
                good().header("Sec-WebSocket-Protocol", "realtime"),
                BadUpgrade::Subprotocol,
            ),
        ];
        for (response, expected) in cases {
            assert_eq!(
                verify(&response.body(()).unwrap(), &key, None),
                Err(expected)
            );
        }
        let other = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(
            verify(&good().body(()).unwrap(), &other, None),
            Err(BadUpgrade::Accept)
        );
    }
}
