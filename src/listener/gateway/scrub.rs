//! Personal data is taken out of a body in two layers: what has a form here, and in what that left
//! whatever a detector elsewhere finds, if the route names one.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::bot::pii::{Filter, Misfit, Span, Unit};
use crate::config::pii::Pii;
use crate::error::Reason;
use crate::listener::refusal::Refusal;
use crate::upstream::pii_detector::{Detector, Failure};

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::new(failure.reason(), failure.detail)
    }
}

impl From<Misfit> for Refusal {
    fn from(_: Misfit) -> Refusal {
        let detail = "what the detector of personal data found does not fit the body";
        Refusal::new(Reason::UpstreamRefused, detail)
    }
}

/// Both layers of one route.
pub(super) struct Scrub {
    filter: Filter,
    detector: Option<Arc<Detector>>,
}

impl Scrub {
    /// `None`: the detector that the route names is not there.
    pub(super) fn new(pii: &Pii, detectors: &[Arc<Detector>]) -> Option<Scrub> {
        let detector = match &pii.detector {
            Some(name) => Some(detectors.iter().find(|of| of.name() == name)?.clone()),
            None => None,
        };
        Some(Scrub {
            filter: Filter::new(pii),
            detector,
        })
    }

    /// The body without personal data. Where a layer cannot say what is personal, nothing goes on.
    pub(super) async fn body(&self, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refusal> {
        let body = self.filter.body(headers, body)?.body;
        let Some(detector) = &self.detector else {
            return Ok(body);
        };
        let texts = self.filter.texts(headers, &body)?;
        let places = detector.look(&texts).await?;
        let spans: Vec<_> = places
            .into_iter()
            .map(|place| Span {
                text: place.text,
                start: place.start,
                length: place.length,
            })
            .collect();
        let filtered = self
            .filter
            .without(headers, body, &spans, Unit::CodePoint)?;
        Ok(filtered.body)
    }
}
