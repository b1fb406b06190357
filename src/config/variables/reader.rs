//! One variable at a time, read and judged; what is wrong is kept until all are read.

use toml::{Table, Value};

use crate::config::env::Environment;

pub(super) struct Reader<'a> {
    pub(super) variables: &'a Environment,
    pub(super) problems: Vec<String>,
    pub(super) notices: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name)
    }

    /// A value under one of two names; two different ones are a problem.
    pub(super) fn either(&mut self, old: &str, new: &str) -> Option<String> {
        let (first, second) = (self.get(old), self.get(new));
        if first.is_some() && second.is_some() && first != second {
            let text = format!("{old} and {new} say different things: remove one");
            self.problems.push(text);
        }
        first.or(second)
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.get(name).as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => {
                self.problems.push(format!("{name}: must be true or false"));
                false
            }
        }
    }

    /// A whole number from 1 to `most`. The old proxies took their default for a bad one; a limit
    /// that somebody set and that does not hold is worse than no start.
    pub(super) fn number(&mut self, name: &str, most: u32) -> Option<u32> {
        let text = self.get(name)?;
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let text = format!("{name}: must be a whole number from 1 to {most}");
            self.problems.push(text);
        }
        number
    }

    /// Each choice is what to add to a `.env` file.
    pub(super) fn missing(&mut self, what: &str, choices: &[&str]) {
        self.problems.push(to_add(what, choices));
    }

    /// What stands between commas.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let text = self.get(name).unwrap_or_default();
        let items = text.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// What is missing, with the lines to add. Their comments stand on lines of their own: docker takes
/// whatever is behind a value as part of it.
pub(super) fn to_add(what: &str, choices: &[&str]) -> String {
    let choices: Vec<_> = choices
        .iter()
        .map(|lines| format!("      {}", lines.replace('\n', "\n      ")))
        .collect();
    let choices = choices.join("\n    or\n");
    format!("{what}; add\n{choices}")
}

pub(super) fn put(table: &mut Table, key: &str, value: Value) {
    table.insert(key.to_owned(), value);
}

/// A text that is meant as it is, although the settings know `${NAME}`.
pub(super) fn literal(text: &str) -> Value {
    Value::String(text.replace("${", "$${"))
}

pub(super) fn texts(items: &[String]) -> Value {
    Value::Array(items.iter().map(|item| literal(item)).collect())
}

/// Whether this way in is admitted.
pub(super) fn admits(admit: &[String], way: &str) -> bool {
    admit.iter().any(|admitted| admitted == way)
}
