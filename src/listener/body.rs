//! What an answer holds: a document of the edge's own, or what an application says, as it comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};

use super::pulse::Pulse;
use crate::admission::{Grant, Permit};
use crate::upstream::app::{Answer, Cut};

/// The body of an answer.
pub(super) enum Body {
    Whole(Full<Bytes>),
    Streamed(Box<Streamed>),
    Lines(Box<Lines>),
}

/// Lines of the edge's own, as they come.
pub(super) struct Lines {
    pub(super) lines: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    pub(super) pulse: Pulse,
    pub(super) _grant: Grant,
}

/// An application's answer, with what it holds until it has ended.
pub(super) struct Streamed {
    pub(super) answer: Answer,
    pub(super) pulse: Pulse,
    pub(super) _grant: Grant,
    pub(super) _permit: Permit,
}

impl Body {
    /// Whether its client still takes it, where that may last.
    pub(super) fn pulse(&self) -> Option<Pulse> {
        match self {
            Body::Whole(_) => None,
            Body::Streamed(streamed) => Some(streamed.pulse.clone()),
            Body::Lines(lines) => Some(lines.pulse.clone()),
        }
    }
}

impl From<Full<Bytes>> for Body {
    fn from(whole: Full<Bytes>) -> Body {
        Body::Whole(whole)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Body::Whole(whole) => Pin::new(whole)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Body::Streamed(streamed) => {
                streamed.pulse.beat();
                Pin::new(&mut streamed.answer).poll_frame(cx)
            }
            Body::Lines(lines) => {
                lines.pulse.beat();
                let line = lines.lines.as_mut().poll_next(cx);
                line.map(|line| line.map(|line| Ok(Frame::data(line))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(whole) => whole.is_end_stream(),
            Body::Streamed(streamed) => streamed.answer.is_end_stream(),
            Body::Lines(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(whole) => whole.size_hint(),
            Body::Streamed(streamed) => streamed.answer.size_hint(),
            Body::Lines(_) => SizeHint::default(),
        }
    }
}
