//! One event as one line of JSON: time, level, and its fields as they stand in the source.
//!
//! What a session tells at its start and its end has forty fields, so this writes them where they end up,
//! without a serializer in between.

use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The form of the log's lines.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let level = event.metadata().level().as_str();
        write!(out, "{{\"timestamp\":\"{now}\",\"level\":\"{level}\"")?;
        let mut fields = Fields {
            out: &mut out,
            written: Ok(()),
        };
        event.record(&mut fields);
        fields.written?;
        out.write_str("}\n")
    }
}

/// Writes the fields of an event behind what is there.
struct Fields<'a, W> {
    out: &'a mut W,
    written: fmt::Result,
}

impl<W: Write> Fields<'_, W> {
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut W) -> fmt::Result) {
        if self.written.is_ok() {
            self.written = named(self.out, field.name()).and_then(|()| value(self.out));
        }
    }
}

/// Names of fields are identifiers of the source: nothing in them must be escaped.
fn named(out: &mut impl Write, name: &str) -> fmt::Result {
    out.write_str(",\"")?;
    out.write_str(name)?;
    out.write_str("\":")
}

impl<W: Write> Visit for Fields<'_, W> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |out| {
            out.write_str(if value { "true" } else { "false" })
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |out| write!(out, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |out| write!(out, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for the others.
        self.field(field, |out| match value.is_finite() {
            true => write!(out, "{value:?}"),
            false => out.write_str("null"),
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |out| {
            out.write_char('"')?;
            Escaped(&mut *out).write_str(value)?;
            out.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |out| {
            out.write_char('"')?;
            write!(Escaped(&mut *out), "{value:?}")?;
            out.write_char('"')
        });
    }
}

/// Writes text as it stands within quotes in JSON (RFC 8259, section 7): no text ends its string, or its
/// line.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(must_be_escaped) {
            // What must be is ASCII, so both halves are text.
            let (clean, from) = rest.split_at(at);
            self.0.write_str(clean)?;
            match from.as_bytes()[0] {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                control => write!(self.0, "\\u{control:04x}")?,
            }
            rest = &from[1..];
        }
        self.0.write_str(rest)
    }
}

fn must_be_escaped(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    /// What is written of what `tell` tells.
    fn written(tell: impl FnOnce()) -> String {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Json)
            .with_writer(lines.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, tell);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_its_time_its_level_and_its_fields_in_their_order() {
        let before = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let line = written(|| {
            tracing::warn!(
                route = %"voice",
                none = None::<u64>,
                count = 3_u32,
                less = -4,
                big = u64::MAX,
                yes = true,
                ms = 1.5,
                whole = 2.0,
                never = f64::NAN,
                shown = ?Some("a\"b"),
                "it is {}", "so"
            );
        });
        let after = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let parsed: Value = serde_json::from_str(&line).unwrap();
        let time = parsed["timestamp"].as_str().unwrap();
        assert!(before.as_str() <= time && time <= after.as_str(), "{line}");
        let expected = concat!(
            r#","level":"WARN","message":"it is so","route":"voice","count":3,"less":-4,"#,
            r#""big":18446744073709551615,"yes":true,"ms":1.5,"whole":2.0,"never":null,"#,
            r#""shown":"Some(\"a\\\"b\")"}"#,
            "\n"
        );
        assert_eq!(line, format!("{{\"timestamp\":\"{time}\"{expected}"));
    }

    #[test]
    fn s36_no_text_ends_its_string_or_its_line() {
        let all: String = (0..=0x2FF_u32).filter_map(char::from_u32).collect();
        let line = written(|| tracing::info!(by_display = %all, by_debug = ?all, by_itself = all));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let parsed: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["by_display"], json!(all));
        assert_eq!(parsed["by_itself"], json!(all));
        assert_eq!(parsed["by_debug"], json!(format!("{all:?}")));
    }

    proptest! {
        #[test]
        fn s36_any_text_is_read_as_it_was(text in "\\PC*|[\\x00-\\x7f]*", more in "[\"\\\\\\n\u{1f}a]*") {
            let line = written(|| tracing::info!(%text, more, "told"));
            let parsed: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&parsed["text"], &json!(text));
            prop_assert_eq!(&parsed["more"], &json!(more));
            prop_assert_eq!(line.matches('\n').count(), 1);
        }
    }
}
