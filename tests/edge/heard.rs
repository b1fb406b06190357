//! What the edges of this process log, for tests that listen to it, and that make it panic.
//!
//! A log is the one thing of everybody's that an edge calls wherever anything happens: a test whose log
//! panics at a line of its choice makes the edge panic there, and the edge has no switch for it.

use std::fmt::Debug;
use std::sync::{Mutex, Once};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Warnings of the edges in this process, all fields as texts, as far as they are of the latest thousand.
static WARNINGS: Mutex<Vec<Value>> = Mutex::new(Vec::new());
static TRAPS: Mutex<Vec<Trap>> = Mutex::new(Vec::new());
static BEGUN: Once = Once::new();

/// What all panics here say; nobody may be told.
pub const WORDS: &str = "a-callers-own-words-4711";

/// A line of the log at which the edge panics.
struct Trap {
    message: &'static str,
    /// What one of its fields begins with: tests run beside each other.
    field: (&'static str, String),
    /// How often.
    times: usize,
}

/// Panics where this is logged, so often.
pub fn trap(message: &'static str, field: (&'static str, &str), times: usize) {
    listen();
    let field = (field.0, field.1.to_owned());
    TRAPS.lock().unwrap().push(Trap {
        message,
        field,
        times,
    });
}

/// How often it still will.
pub fn left(message: &'static str, value: &str) -> usize {
    let traps = TRAPS.lock().unwrap();
    let mut of_it = traps
        .iter()
        .filter(|trap| trap.message == message && trap.field.1 == value);
    of_it.next().map_or(0, |trap| trap.times)
}

/// Warnings so far for which this is true.
pub fn warned(is: impl Fn(&Value) -> bool) -> bool {
    WARNINGS.lock().unwrap().iter().any(is)
}

/// Keeps what is warned of from now on, and panics where it is to.
pub fn listen() {
    BEGUN.call_once(|| {
        let warnings = Ear.with_filter(LevelFilter::WARN);
        // These modules and no others: what is not looked at is not slowed down.
        let trapped = |metadata: &Metadata<'_>| {
            let module = metadata.module_path().unwrap_or_default();
            metadata.is_event()
                && *metadata.level() <= Level::DEBUG
                && [
                    "tonegate::session",
                    "tonegate::listener",
                    "tonegate::admission::jwks",
                    "tonegate::telephony",
                    "tonegate::session::orders",
                ]
                .iter()
                .any(|of| module.starts_with(of))
        };
        tracing_subscriber::registry()
            .with(warnings)
            .with(Traps.with_filter(filter_fn(trapped)))
            .init();
    });
}

struct Ear;

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut warnings = WARNINGS.lock().unwrap();
        if warnings.len() == 1000 {
            warnings.remove(0);
        }
        warnings.push(fields.0.into_iter().collect());
    }
}

struct Traps;

impl<S: Subscriber> Layer<S> for Traps {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let sprung = TRAPS.lock().unwrap().iter_mut().any(|trap| {
            let (name, value) = &trap.field;
            let is = fields
                .0
                .iter()
                .any(|(of, said)| of == name && said.starts_with(value.as_str()));
            let message = fields
                .0
                .iter()
                .any(|(of, said)| *of == "message" && said == trap.message);
            let sprung = is && message && trap.times > 0;
            trap.times -= usize::from(sprung);
            sprung
        });
        // Not under the lock, which would be poisoned by it.
        assert!(!sprung, "{WORDS}");
    }
}

#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}
