//! Plain tables for people, without colour. What others wrote (the name in a token) must not move a
//! terminal's cursor: control characters are shown as a replacement.

use serde_json::Value;

/// Rows below a head, in columns as wide as they must be.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Table {
        let head = head.iter().map(|word| (*word).to_owned());
        Table {
            rows: vec![head.collect()],
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    pub(super) fn write(&self) -> String {
        let columns = self.rows[0].len();
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }
}

/// A text that does nothing to a terminal.
pub(super) fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A value as people read it; nothing is a dash.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A duration as people read it.
pub(super) fn lasted(milliseconds: &Value) -> String {
    let Some(milliseconds) = milliseconds.as_u64() else {
        return "-".to_owned();
    };
    let duration = if milliseconds < 10_000 {
        std::time::Duration::from_millis(milliseconds)
    } else {
        std::time::Duration::from_secs(milliseconds / 1000)
    };
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn c17_columns_are_as_wide_as_they_must_be_and_nothing_moves_the_cursor() {
        let mut table = Table::new(&["ID", "SUBJECT"]);
        table.row(["7".to_owned(), "users:\u{1b}[2Janna\n".to_owned()]);
        table.row(["1234".to_owned(), cell(&json!(null))]);
        let expected = "ID    SUBJECT\n7     users:\u{fffd}[2Janna\u{fffd}\n1234  -\n";
        assert_eq!(table.write(), expected);
        assert_eq!(lasted(&json!(1234)), "1s 234ms");
        assert_eq!(lasted(&json!(61_999)), "1m 1s");
    }
}
