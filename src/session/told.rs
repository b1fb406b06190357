//! What is told of a session: a line when it starts, one when it ends, and what a call adds to the
//! counters. No digit, no number of a caller, nothing that a peer sent.

use std::time::{Duration, SystemTime};

use super::call::Call;
use super::{Books, Session};
use crate::admission::Calling;
use crate::audit::{self, Closed, Entry, Known};
use crate::error::{Reason, Side};
use crate::gate::State;
use crate::ids::{ContactId, ForeignId};
use crate::metrics::{Role, Span};
use crate::relay::{CallEnding, Ending, GateEnding};
use crate::trace::{Trace, TraceId};

impl Session {
    pub(super) fn log_start(&self, upgrade: Duration, dial: Option<Duration>) {
        let call = self.call.as_ref().map(|call| &call.calling);
        tracing::info!(
            session = %self.id,
            trace_id = self.trace_id().map(tracing::field::display),
            route = %self.route,
            subject = %self.holder.subject,
            model = self.ask.about.model().map(tracing::field::display),
            agent = self.ask.about.agent().map(tracing::field::display),
            client = %self.peer,
            call = call.map(|call| tracing::field::display(&call.call)),
            connection = connection(call).map(tracing::field::display),
            correlation = correlation(call).map(tracing::field::display),
            contact = self.contact().map(tracing::field::display),
            gate = self.call.as_ref().and_then(|call| call.gate_word()),
            upstream = self.upstream_name.as_ref().map(tracing::field::display),
            upgrade_ms = milliseconds(upgrade),
            dial_ms = dial.map(milliseconds),
            "session started"
        );
    }

    /// The gate has opened, and the call has somebody to talk to.
    pub(super) fn log_gate(&self, call: &Call, after: Duration, dial: Duration) {
        tracing::info!(
            session = %self.id,
            trace_id = self.trace_id().map(tracing::field::display),
            route = %self.route,
            call = %call.calling.call,
            connection = connection(Some(&call.calling)).map(tracing::field::display),
            correlation = correlation(Some(&call.calling)).map(tracing::field::display),
            contact = call.contact.id().map(tracing::field::display),
            upstream = self.upstream_name.as_ref().map(tracing::field::display),
            connected_ms = milliseconds(after),
            dial_ms = milliseconds(dial),
            "gate opened"
        );
    }

    pub(super) fn log_end(&self, ending: &Ending, duration: Duration) {
        let call = self.call.as_ref().map(|call| &call.calling);
        let (connection, correlation) = (connection(call), correlation(call));
        let times = &ending.timings;
        let told = ending.call.unwrap_or_default();
        let gate = told.gate;
        let digits = gate.map(|gate| gate.pressed);
        let failure = told.failure;
        tracing::info!(
            session = %self.id,
            trace_id = self.trace_id().map(tracing::field::display),
            route = %self.route,
            subject = %self.holder.subject,
            model = self.ask.about.model().map(tracing::field::display),
            agent = self.ask.about.agent().map(tracing::field::display),
            client = %self.peer,
            call = call.map(|call| tracing::field::display(&call.call)),
            connection = connection.map(tracing::field::display),
            correlation = correlation.map(tracing::field::display),
            contact = self.contact().map(tracing::field::display),
            gate = gate.map(|gate| gate.state.word()),
            gate_ms = gate.map(|gate| milliseconds(gate.after)),
            gate_failed = gate.map(|gate| gate.failed),
            digits_in_band = digits.map(|digits| digits.in_band),
            digits_message = digits.map(|digits| digits.message),
            digits_callback = digits.map(|digits| digits.callback),
            upstream = self.upstream_name.as_ref().map(tracing::field::display),
            upstream_error = failure.as_ref().and_then(|f| f.code.as_ref()).map(|c| c.as_str()),
            ended_by = %ending.by,
            reason = %ending.reason,
            violation = ending.violation.map(tracing::field::display),
            duration_ms = milliseconds(duration),
            client_close = ending.client_close,
            upstream_close = ending.upstream_close,
            up_messages = ending.up.messages,
            up_bytes = ending.up.bytes,
            up_audio_messages = ending.up.audio_messages,
            up_dtmf_keys = ending.up.keys,
            down_messages = ending.down.messages,
            down_bytes = ending.down.bytes,
            down_audio_messages = ending.down.audio_messages,
            first_audio_ms = times.first_audio.map(milliseconds),
            up_gap_ms = some(times.gaps[0]),
            down_gap_ms = some(times.gaps[1]),
            silence_ms = some(times.silence),
            client_blocked_ms = some(times.blocked[0]),
            upstream_blocked_ms = some(times.blocked[1]),
            "session ended"
        );
    }

    pub(super) fn trace_id(&self) -> Option<TraceId> {
        self.traced.as_ref().map(|traced| traced.trace.id)
    }

    /// For whom another cloud handed the call over.
    fn contact(&self) -> Option<&ContactId> {
        self.call.as_ref()?.contact.id()
    }

    /// Has a gate's verdict recorded; a caller who left before had none.
    pub(super) fn record_gate(&mut self, call: &Call, gate: &GateEnding) {
        let Some(place) = self.books.as_mut().and_then(|books| books.gate.take()) else {
            return;
        };
        let refused = match gate.state {
            State::Pending => return,
            State::Authorised => None,
            State::Rejected | State::Expired => Some(gate.reason.unwrap_or(Reason::GateExpired)),
        };
        place.record(|| Entry::gate(&self.audited(Some(call)), refused));
    }

    /// Has the end recorded; `None`: it was cut.
    pub(super) fn record_end(&mut self, ending: Option<&Ending>, duration: Duration) {
        let Some(Books { end, .. }) = self.books.take() else {
            return;
        };
        let closed = Closed {
            reason: ending.map_or(Reason::Internal, |ending| ending.reason),
            by: ending.map_or(Side::Edge, |ending| ending.by),
            duration,
            bytes: ending.map(|ending| [ending.up.bytes, ending.down.bytes]),
        };
        end.record(|| Entry::closed(&self.audited(self.call.as_deref()), closed));
    }

    /// The session, as the audit names it.
    fn audited(&self, call: Option<&Call>) -> audit::Session {
        audit::Session {
            session: self.id,
            route: self.route.clone(),
            known: Known {
                who: Some((&self.holder.subject).into()),
                call: call.map(|call| (&call.calling).into()),
                message: None,
            },
            client: self.peer.into(),
            trace: self.trace_id(),
        }
    }

    /// Adds a gate to the counters, as soon as it is decided.
    pub(super) fn count_gate(&self, gate: &GateEnding) {
        let (metrics, route) = (&self.metrics, &self.route);
        metrics.gate_ended(route, gate_result(gate.state), gate.after);
        for (feed, count) in [
            ("in_band", gate.pressed.in_band),
            ("message", gate.pressed.message),
            ("callback", gate.pressed.callback),
        ] {
            metrics.gate_digits(route, feed, count);
        }
    }

    /// Tells of the session as a whole: from its `101` to its ending.
    pub(super) fn span_end(&self, ending: &Ending, duration: Duration) {
        let trace = self.traced.as_ref().map(|traced| traced.trace);
        self.metrics.span(trace, |trace| Span {
            result: ending.reason.word(),
            failed: ending.by != Side::Client,
            ..self.span("session", Role::Server, trace, duration)
        });
    }

    /// Tells of its gate: from the `101` to the verdict.
    pub(super) fn span_gate(&self, gate: &GateEnding) {
        let trace = self.traced.as_ref().map(|traced| traced.trace.child());
        self.metrics.span(trace, |trace| Span {
            ended: SystemTime::now() - self.started.elapsed().saturating_sub(gate.after),
            result: gate_result(gate.state),
            ..self.span("gate", Role::Internal, trace, gate.after)
        });
    }

    fn span(&self, name: &'static str, role: Role, trace: Trace, took: Duration) -> Span {
        Span {
            route: Some(self.route.clone()),
            upstream: self.upstream_name.clone(),
            session: Some(self.id),
            ..Span::done(name, role, trace, took)
        }
    }

    /// Counts the limit that ended it, if one did.
    pub(super) fn count_limit(&self, ending: &Ending) {
        let limit = match (ending.reason, ending.by) {
            (Reason::TooLarge, Side::Client) => "client_message",
            (Reason::TooLarge, Side::Upstream | Side::Edge) => "upstream_message",
            (Reason::Idle, _) => "idle",
            (Reason::MaxDuration, _) => "session",
            (Reason::LeaseExpired, _) => return self.route_metrics.lease_expired.increment(1),
            _ => return,
        };
        self.metrics.limit_hit(limit);
    }

    /// Adds a call to the counters.
    pub(super) fn count_call(&self, told: &CallEnding) {
        let (metrics, route) = (&self.metrics, &self.route);
        let drops = &told.drops;
        for (kind, count) in [
            ("unknown", drops.unknown),
            ("unreadable", drops.unreadable),
            ("other_participant", drops.other_participant),
            ("pending", drops.pending),
            ("late", drops.late),
            ("unheard", drops.unheard),
            ("cancelled", drops.cancelled),
            ("prompt", drops.prompts),
        ] {
            metrics.call_drops(route, kind, count);
        }
    }
}

impl Call {
    fn gate_word(&self) -> Option<&'static str> {
        self.terms().gate.map(|_| State::Pending.word())
    }
}

/// ACS' names for a call, by which its own logs are found.
fn connection(call: Option<&Calling>) -> Option<&ForeignId> {
    call?.connection.as_ref()
}

fn correlation(call: Option<&Calling>) -> Option<&ForeignId> {
    call?.correlation.as_ref()
}

/// What became of a gate, for the metric.
fn gate_result(state: State) -> &'static str {
    match state {
        State::Pending => "left",
        State::Authorised | State::Rejected | State::Expired => state.word(),
    }
}

/// Milliseconds, if there are any.
fn some(duration: Duration) -> Option<f64> {
    (!duration.is_zero()).then(|| milliseconds(duration))
}

/// Milliseconds with three decimals at the most, as logs show durations.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
