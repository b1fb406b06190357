//! Which trace a request belongs to, as far as whoever asks is believed.

use http::{HeaderMap, HeaderName};

use crate::config::Believes;
use crate::metrics::Metrics;
use crate::trace::{State, Trace, Traced};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// What is known of traces when a request comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing {
    pub believes: Believes,
    /// The part of traces that begin here which is kept.
    pub sample: f64,
}

impl Tracing {
    /// The trace that goes on, or one that begins here. What is malformed names nothing, and then what
    /// stands beside it counts for nothing either (W3C Trace Context, 3.2.2 and 3.3).
    pub(super) fn of(self, headers: &HeaderMap, by_hop: bool, metrics: &Metrics) -> Traced {
        let mut named = headers.get_all(PARENT).iter();
        let (first, second) = (named.next(), named.next());
        let believed = match self.believes {
            Believes::Hops => by_hop,
            Believes::Anyone => true,
        };
        let (result, trace) = match first {
            None => ("begun", None),
            Some(_) if !believed => ("unbelieved", None),
            Some(_) if second.is_some() => ("malformed", None),
            Some(one) => match Trace::continued(one.as_bytes()) {
                Some(trace) => ("continued", Some(trace)),
                None => ("malformed", None),
            },
        };
        metrics.traced(result);
        match trace {
            Some(trace) => Traced {
                trace,
                state: State::read(headers.get_all(STATE).iter().map(|line| line.as_bytes())),
            },
            None => Traced {
                trace: self.begin(),
                state: None,
            },
        }
    }

    /// Which traces are kept their own names decide: whoever takes part would come to the same.
    fn begin(self) -> Trace {
        let trace = Trace::begin(false);
        let [.., a, b, c, d] = trace.id.to_bytes();
        let drawn = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        Trace {
            sampled: drawn < self.sample,
            ..trace
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NAMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(believes: Believes, by_hop: bool, headers: &[(&str, &str)]) -> (Traced, String) {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            all.append(name, HeaderValue::from_str(value).unwrap());
        }
        let metrics = Metrics::new();
        let tracing = Tracing {
            believes,
            sample: 0.0,
        };
        let traced = tracing.of(&all, by_hop, &metrics);
        let page = metrics.render();
        let counted = page.lines().find_map(|line| {
            let line = line.strip_prefix("tonegate_traces_total{result=\"")?;
            line.strip_suffix("\"} 1").map(str::to_owned)
        });
        (traced, counted.unwrap())
    }

    #[test]
    fn a40_only_whom_the_settings_believe_names_a_trace() {
        let named = [
            ("traceparent", NAMED),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ];
        for (believes, by_hop, expected) in [
            (Believes::Hops, true, "continued"),
            (Believes::Hops, false, "unbelieved"),
            (Believes::Anyone, false, "continued"),
            (Believes::Anyone, true, "continued"),
        ] {
            let (traced, counted) = of(believes, by_hop, &named);
            assert_eq!(counted, expected);
            let continued = expected == "continued";
            let id = traced.trace.id.to_string();
            assert_eq!(id == "4bf92f3577b34da6a3ce929d0e0e4736", continued);
            assert_eq!(traced.trace.sampled, continued);
            let state = traced.state.as_ref().map(State::as_str);
            assert_eq!(state, continued.then_some("a=1,b=2"));
        }
        assert_eq!(of(Believes::Anyone, true, &[]).1, "begun");
    }

    #[test]
    fn a40_what_is_malformed_begins_a_trace_and_leaves_its_state_behind() {
        for bad in [
            &[("traceparent", NAMED), ("traceparent", NAMED)][..],
            &[("traceparent", "00-xyz")],
            &[("traceparent", "")],
        ] {
            let mut headers = bad.to_vec();
            headers.push(("tracestate", "a=1"));
            let (traced, counted) = of(Believes::Anyone, false, &headers);
            assert_eq!((counted.as_str(), traced.state), ("malformed", None));
            assert_eq!(traced.trace.parent, None);
        }
        // A state without a parent belongs to nothing.
        let (traced, counted) = of(Believes::Anyone, false, &[("tracestate", "a=1")]);
        assert_eq!((counted.as_str(), traced.state), ("begun", None));
    }

    #[test]
    fn a40_the_part_of_traces_that_is_kept_is_the_one_of_the_settings() {
        let kept = |sample| {
            let tracing = Tracing {
                sample,
                ..Tracing::default()
            };
            (0..400).filter(|_| tracing.begin().sampled).count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 400));
        assert!((100..300).contains(&kept(0.5)));
    }
}
