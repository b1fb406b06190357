//! Environment variables: the only place that reads them.

use std::collections::BTreeMap;

/// Variables: those of the process, and below them those of a file.
#[derive(Clone, Default)]
pub struct Environment {
    of_process: bool,
    more: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of the process.
    pub fn process() -> Environment {
        Environment {
            of_process: true,
            more: BTreeMap::new(),
        }
    }

    /// These variables and no others.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Environment {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Environment {
            of_process: false,
            more: variables.into_iter().map(own).collect(),
        }
    }

    /// A variable that is set and not empty: Azure's own tools take an empty one for none.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    fn raw(&self, name: &str) -> Option<String> {
        let of_process = self.of_process.then(|| std::env::var(name).ok()).flatten();
        of_process.or_else(|| self.more.get(name).cloned())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment(***)")
    }
}

/// Replaces every `${NAME}` in `text`; `$${` stands for a literal `${`. `Ok(None)`: there is
/// nothing to replace. The error names the variable, never its value.
pub(super) fn expand(text: &str, variables: &Environment) -> Result<Option<String>, String> {
    expand_with(text, |name| variables.raw(name))
}

/// The log filter of the process, if the operator set one: `TONEGATE_LOG`, as in
/// `tonegate=debug`.
pub fn log_filter() -> Option<String> {
    std::env::var("TONEGATE_LOG").ok()
}

fn expand_with(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &after[2..];
            continue;
        }
        out.push_str(before);
        let Some((name, tail)) = after[2..].split_once('}') else {
            return Err("a `${` has no `}`".to_owned());
        };
        let value =
            lookup(name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
        out.push_str(&value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_escapes_and_complains() {
        let lookup = |name: &str| (name == "KEY").then(|| "v".to_owned());
        let expand = |text| expand_with(text, lookup);
        assert_eq!(expand("plain $5"), Ok(None));
        assert_eq!(expand("a${KEY}b${KEY}"), Ok(Some("avbv".to_owned())));
        assert_eq!(expand("$${KEY}"), Ok(Some("${KEY}".to_owned())));
        assert!(expand("${NO}").unwrap_err().contains("NO"));
        assert!(expand("${KEY").is_err());
    }
}
