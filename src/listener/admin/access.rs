//! Who may ask the operator's listener.
//!
//! On loopback whoever is on this machine, unless a token is set; elsewhere only who shows the token. A
//! page in an operator's browser is nobody: it may not ask (`Origin`), nor may one whose name was made to
//! lead here (`Host`). With a token the name does not matter, for no page knows the token.

use std::net::SocketAddr;
use std::time::Instant;

use http::{HeaderValue, Response, StatusCode, header, request};

use super::answer::{Body, wrong};
use crate::admission::{is_brought, names_here};
use crate::log::Throttle;
use crate::metrics;
use crate::secret::Digest;

/// What a page asks of whoever wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// It says a word that a load balancer is told, too.
    Nothing,
    /// The token of a scraper, or more.
    Scrape,
    Operator,
}

/// Judges who asks.
#[derive(Default)]
pub(super) struct Access {
    warnings: Throttle,
}

/// Why somebody is not answered.
pub(super) struct Refused<'a> {
    status: StatusCode,
    word: &'static str,
    detail: &'static str,
    warnings: &'a Throttle,
}

impl Access {
    /// By the tokens of an operator and of a scraper, as the settings have them; without the first none
    /// is asked for.
    pub(super) fn judge(
        &self,
        head: &request::Parts,
        needs: Needs,
        [operator, scraper]: [Option<Digest>; 2],
    ) -> Result<(), Refused<'_>> {
        if needs == Needs::Nothing {
            return Ok(());
        }
        let refused = |status, word, detail| {
            Err(Refused {
                status,
                word,
                detail,
                warnings: &self.warnings,
            })
        };
        if is_of_a_page(head) {
            let detail = "no page of a browser may ask";
            return refused(StatusCode::FORBIDDEN, "origin", detail);
        }
        let Some(operator) = operator else {
            if is_brought(head) {
                let detail =
                    "a proxy has brought this; set server.admin_token for who asks through one";
                return refused(StatusCode::FORBIDDEN, "proxied", detail);
            }
            if names_here(head) {
                return Ok(());
            }
            let detail =
                "only this machine is answered: Host must be localhost or a loopback address";
            return refused(StatusCode::FORBIDDEN, "host", detail);
        };
        let Some(shown) = shown(head) else {
            let detail = "show the admin token: Authorization: Bearer TOKEN";
            return refused(StatusCode::UNAUTHORIZED, "no_token", detail);
        };
        // Both are compared, whatever the first says.
        let is_operator = operator.is(&shown);
        let is_scraper = scraper.is_some_and(|scraper| scraper.is(&shown));
        match (is_operator, is_scraper, needs) {
            (true, ..) | (_, true, Needs::Scrape) => Ok(()),
            (_, true, _) => {
                let detail = "the scrape token opens /metrics and nothing else";
                refused(StatusCode::FORBIDDEN, "scope", detail)
            }
            _ => {
                let detail = "this is not the admin token";
                refused(StatusCode::UNAUTHORIZED, "wrong_token", detail)
            }
        }
    }
}

/// Whether a browser asks on behalf of a page.
fn is_of_a_page(head: &request::Parts) -> bool {
    let site = head.headers.get("sec-fetch-site");
    let elsewhere = site.is_some_and(|site| site != "none" && site != "same-origin");
    head.headers.contains_key(header::ORIGIN) || elsewhere
}

/// The one bearer token that is shown.
fn shown(head: &request::Parts) -> Option<Digest> {
    let mut all = head.headers.get_all(header::AUTHORIZATION).into_iter();
    let only = all.next().filter(|_| all.next().is_none())?;
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| Digest::of(token.trim()))
}

impl Refused<'_> {
    /// Tells whoever asked, and counts.
    pub(super) fn answer(self, metrics: &metrics::Metrics, peer: SocketAddr) -> Response<Body> {
        metrics.admin_refused(self.word);
        if let Some(left_out) = self.warnings.pass(Instant::now()) {
            tracing::warn!(client = %peer, reason = self.word, left_out, "admin request refused");
        }
        let mut response = wrong(self.status, self.detail);
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"tonegate admin\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(tokens: [Option<Digest>; 2], needs: Needs, lines: &[(&str, &str)]) -> &'static str {
        let access = Access::default();
        let mut request = http::Request::builder().uri("/sessions");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        access
            .judge(&head, needs, tokens)
            .err()
            .map_or("ok", |refused| refused.word)
    }

    #[test]
    fn c17_on_loopback_this_machine_is_answered_and_no_page() {
        let none = [None; 2];
        let at = |lines: &[(&str, &str)]| judged(none, Needs::Operator, lines);
        assert_eq!(at(&[("host", "localhost:9464")]), "ok");
        assert_eq!(
            at(&[("host", "[::1]:9464"), ("sec-fetch-site", "none")]),
            "ok"
        );
        for host in [
            "evil.example:9464",
            "localhost.evil.example",
            "10.0.0.1:9464",
            "",
        ] {
            assert_eq!(at(&[("host", host)]), "host", "{host}");
        }
        assert_eq!(at(&[]), "host");
        // A proxy that leads here names this machine as its own.
        for brought in ["x-forwarded-for", "via", "forwarded"] {
            let lines = [("host", "localhost:9464"), (brought, "203.0.113.9")];
            assert_eq!(at(&lines), "proxied", "{brought}");
        }
        let here = ("host", "127.0.0.1:9464");
        for page in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:9464"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(at(&[here, page]), "origin", "{page:?}");
            assert_eq!(judged(none, Needs::Scrape, &[here, page]), "origin");
            assert_eq!(judged(none, Needs::Nothing, &[here, page]), "ok");
        }
    }

    #[test]
    fn c17_with_a_token_nobody_is_answered_without_it() {
        let digest = |token: &str| Some(Digest::of(token));
        let tokens = [digest("operator"), digest("scraper")];
        let at = |needs, lines: &[(&str, &str)]| judged(tokens, needs, lines);
        let [nothing, scrape, operator] = [Needs::Nothing, Needs::Scrape, Needs::Operator];
        let shows = |token| ("authorization", token);
        for (needs, token, told) in [
            (operator, "Bearer operator", "ok"),
            (operator, "bearer operator ", "ok"),
            (scrape, "Bearer operator", "ok"),
            (scrape, "Bearer scraper", "ok"),
            (operator, "Bearer scraper", "scope"),
            (operator, "Bearer operatoR", "wrong_token"),
            (scrape, "Bearer ", "wrong_token"),
            (operator, "Basic operator", "no_token"),
            (operator, "operator", "no_token"),
            (nothing, "Bearer x", "ok"),
        ] {
            let host = ("host", "edge.example.com");
            assert_eq!(at(needs, &[host, shows(token)]), told, "{needs:?} {token}");
        }
        let here = ("host", "localhost");
        assert_eq!(at(operator, &[here]), "no_token");
        assert_eq!(at(scrape, &[here]), "no_token");
        assert_eq!(at(nothing, &[]), "ok");
        let twice = [shows("Bearer operator"), shows("Bearer operator")];
        assert_eq!(at(operator, &twice), "no_token");
        let page = [shows("Bearer operator"), ("origin", "https://evil.example")];
        assert_eq!(at(operator, &page), "origin");
        // One without a scraper's token lets no empty one in.
        let tokens = [digest("operator"), None];
        assert_eq!(judged(tokens, scrape, &[shows("Bearer ")]), "wrong_token");
    }
}
