//! Judges what an issuer is asked, more strictly than a real one would.
//!
//! Owns the form of a request. Refuses to know what is answered. Whoever verifies tokens needs GET
//! without a body and one Host; everything else is a fault of his that a real issuer would hide.

use super::answer::Answer;
use super::document::Document;
use crate::sim::head::Head;

/// Where tokens are made.
const MINT: &str = "/mint";

/// The largest order for a token: several times the largest token that anybody takes.
pub(super) const ORDER_MAX: usize = 64 * 1024;

/// What a sound request is after.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    /// A document.
    Document(Document<'a>),
    /// A token; so many bytes of body say which.
    Token(usize),
}

/// The request target, or the whole first line where it has none.
pub(super) fn target(head: &Head) -> &str {
    let mut words = head.start.split(' ');
    words.nth(1).unwrap_or(&head.start)
}

/// What is asked for, or how it is refused.
pub(super) fn judge(head: &Head) -> Result<Ask<'_>, Answer> {
    let words: Vec<&str> = head.start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else {
        return Err(Answer::refusal(400, "not an HTTP/1.1 request"));
    };
    if head.one("host").is_none_or(str::is_empty) {
        return Err(Answer::refusal(400, "one Host is needed"));
    }
    if head.all("transfer-encoding").next().is_some() {
        return Err(Answer::refusal(411, "a body needs its length beforehand"));
    }
    let length = length(head)?;
    if target == MINT {
        if method != "POST" {
            let refusal = Answer::refusal(405, "only POST is allowed here");
            return Err(refusal.with("Allow", "POST"));
        }
        let length = length.ok_or_else(|| Answer::refusal(411, "an order has a length"))?;
        if length > ORDER_MAX {
            return Err(Answer::refusal(413, "the order is too long"));
        }
        return Ok(Ask::Token(length));
    }
    let document = Document::at(target).ok_or_else(|| Answer::refusal(404, "nothing is here"))?;
    if method != "GET" {
        return Err(Answer::refusal(405, "only GET is allowed here").with("Allow", "GET"));
    }
    if length.is_some_and(|length| length > 0) {
        return Err(Answer::refusal(400, "a GET has no body"));
    }
    Ok(Ask::Document(document))
}

fn length(head: &Head) -> Result<Option<usize>, Answer> {
    if head.all("content-length").next().is_none() {
        return Ok(None);
    }
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = head.one("content-length").filter(digits);
    let length = length.and_then(|text| text.parse().ok());
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(Answer::refusal(400, "one Content-Length at the most")),
    }
}
