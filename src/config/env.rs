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

    /// The variables of the process, and those of a `.env` file where the process has none.
    pub fn with_file(text: &str) -> Result<Environment, String> {
        Ok(Environment {
            of_process: true,
            more: parse(text)?,
        })
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

/// Reads `NAME=value` lines as Node's dotenv does: `export` before it, quotes around the value and a
/// comment behind it may stand there. Nothing is substituted: keys have dollar signs. The error
/// names the line and not what stands in it.
fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = i + 1;
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("line {number}: must be NAME=value"))?;
        let name = name.trim();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(plain) || name.as_bytes()[0].is_ascii_digit() {
            return Err(format!(
                "line {number}: the name must be letters, digits and _"
            ));
        }
        let value = value_of(value.trim()).ok_or_else(|| {
            format!("line {number}: {name} has a quote that does not end, or text behind it")
        })?;
        if variables.insert(name.to_owned(), value).is_some() {
            return Err(format!("line {number}: {name} stands twice"));
        }
    }
    Ok(variables)
}

fn value_of(text: &str) -> Option<String> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        // A comment begins behind white space; a # inside a value is part of it.
        let end = text
            .char_indices()
            .find(|&(at, c)| c == '#' && text[..at].ends_with(char::is_whitespace))
            .map_or(text.len(), |(at, _)| at);
        let end = if text.starts_with('#') { 0 } else { end };
        return Some(text[..end].trim_end().to_owned());
    };
    let (value, rest) = text[1..].split_once(quote)?;
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with('#')).then(|| value.to_owned())
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
    fn b17_b26_an_env_file_is_read_as_the_old_proxy_read_it() {
        let text = "\u{feff}# a comment\n\nPORT=8080\n export KEY = \"a#b $x\" # why\nEMPTY=\n\
                    HASH=a#b\nNOTE=a b # c\nSINGLE='x\"y'\r\nLATE= # nothing\nEQUALS=a=b==\n";
        let parsed = parse(text).unwrap();
        let expected = [
            ("EMPTY", ""),
            ("EQUALS", "a=b=="),
            ("HASH", "a#b"),
            ("KEY", "a#b $x"),
            ("LATE", ""),
            ("NOTE", "a b"),
            ("PORT", "8080"),
            ("SINGLE", "x\"y"),
        ];
        let parsed: Vec<_> = parsed
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(parsed, expected);
        for bad in [
            "CANARY",
            "A=1\nCANARY",
            "1A=CANARY",
            "A=\"CANARY",
            "A='CANARY' CANARY",
            "A=1\nA=CANARY",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(
                error.contains("line ") && !error.contains("CANARY"),
                "{error}"
            );
        }
    }

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
