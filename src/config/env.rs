//! Environment variables: the only place that reads them.

use std::collections::{BTreeMap, BTreeSet};

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
        // One that is not UTF-8 is set all the same, and no other stands in for it.
        let lossy = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        let of_process = self.of_process.then(|| std::env::var_os(name)).flatten();
        of_process
            .map(lossy)
            .or_else(|| self.more.get(name).cloned())
    }

    /// The names of all variables that are set, empty or not.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.more.keys().cloned().collect();
        if self.of_process {
            let of_process = std::env::vars_os().map(|(name, _)| name);
            names.extend(of_process.map(|name| name.to_string_lossy().into_owned()));
        }
        names
    }

    /// Those that do not come from the process.
    pub(super) fn names_of_file(&self) -> impl Iterator<Item = &str> {
        self.more.keys().map(String::as_str)
    }
}

/// What a verb that asks a running edge shows it.
pub fn admin_token(variables: &Environment) -> Option<String> {
    variables.get("TONEGATE_ADMIN_TOKEN")
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment(***)")
    }
}

/// Reads `NAME=value` lines. They mean what they mean to Node's dotenv: `export` before the name,
/// quotes around the value and a comment behind it may stand there, which docker alone takes as
/// they are. What dotenv reads in a way of its own, or dotenv and docker each in another, is
/// refused: a value must not change with whoever reads it. Nothing is substituted: keys have dollar
/// signs. The error names the line and not what stands in it.
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
        let value =
            value_of(value).map_err(|problem| format!("line {number}: {name} has {problem}"))?;
        if variables.insert(name.to_owned(), value).is_some() {
            return Err(format!("line {number}: {name} stands twice"));
        }
    }
    Ok(variables)
}

/// What stands behind the `=`; the error says what the value has.
fn value_of(written: &str) -> Result<String, &'static str> {
    let text = written.trim();
    if text.contains('\r') {
        return Err("a carriage return inside, where dotenv begins a line");
    }
    let quote = match text.chars().next() {
        Some('`') => return Err("a backtick before it, which is a quote to dotenv only"),
        Some(quote @ ('"' | '\'')) => quote,
        _ => return unquoted(written),
    };
    let (value, rest) = text[1..]
        .split_once(quote)
        .ok_or("a quote that does not end")?;
    if value.ends_with('\\') {
        return Err("a \\ before a quote, which dotenv may read on over");
    }
    if quote == '"' && (value.contains("\\n") || value.contains("\\r")) {
        return Err("a \\n or \\r in double quotes, which is an end of line to dotenv only");
    }
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err("text behind the quote that ends it");
    }
    Ok(value.to_owned())
}

/// A comment begins behind white space.
fn unquoted(written: &str) -> Result<String, &'static str> {
    let value = match written.split_once('#') {
        Some((value, _)) if value.ends_with(char::is_whitespace) => value,
        Some(_) => {
            return Err(
                "a # without white space before it, which begins a comment to dotenv and \
                        not to docker; put the value in quotes",
            );
        }
        None => written,
    };
    Ok(value.trim().to_owned())
}

/// Replaces every `${NAME}` in `text`; `$${` stands for a literal `${`. `Ok(None)`: there is
/// nothing to replace. The error names the variable, never its value.
pub(super) fn expand(text: &str, variables: &Environment) -> Result<Option<String>, String> {
    expand_with(text, |name| variables.raw(name))
}

/// The program that started this one and looks after it, such as systemd: what it has said in variables,
/// and what it is told.
pub mod supervisor {
    use std::io;
    use std::os::fd::RawFd;
    use std::time::Duration;

    use sd_notify::NotifyState;

    /// What a supervisor may be told.
    #[derive(Clone, Copy, Debug)]
    pub enum News<'a> {
        Ready,
        /// Settings are being read anew; `Ready` follows. The service manager wants to know when.
        Reloading,
        /// The end has begun, and takes so long at the most.
        Stopping(Duration),
        /// All that should make progress does.
        Well,
        /// For people.
        Status(&'a str),
    }

    /// Sockets that it has opened for this process, by name; there are none without a supervisor. From
    /// `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`.
    pub fn sockets() -> io::Result<Vec<(RawFd, String)>> {
        Ok(sd_notify::listen_fds_with_names()?.collect())
    }

    /// How long it waits for a word that all is well; `None`: it does not.
    pub fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }

    /// Tells it something; without a supervisor nobody hears it.
    pub fn tell(news: News<'_>) {
        let told = match news {
            News::Ready => sd_notify::notify(&[NotifyState::Ready]),
            News::Reloading => match NotifyState::monotonic_usec_now() {
                Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
                Err(error) => Err(error),
            },
            News::Stopping(most) => {
                let most = u32::try_from(most.as_micros()).unwrap_or(u32::MAX);
                let longer = NotifyState::ExtendTimeoutUsec(most);
                sd_notify::notify(&[NotifyState::Stopping, longer])
            }
            News::Well => sd_notify::notify(&[NotifyState::Watchdog]),
            News::Status(text) => sd_notify::notify(&[NotifyState::Status(text)]),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "the supervisor cannot be told");
        }
    }
}

/// The log filter, if the operator set one: `TONEGATE_LOG`, as in `tonegate=debug`.
pub fn log_filter(variables: &Environment) -> Option<String> {
    variables.get("TONEGATE_LOG")
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
    fn b17_b26_an_env_file_means_what_it_meant_to_dotenv_or_is_refused() {
        for (bad, line, told) in [
            ("CANARY", 1, "must be NAME=value"),
            ("A=1\nCANARY", 2, "must be NAME=value"),
            ("1A=CANARY", 1, "the name"),
            ("A=\"CANARY", 1, "A has a quote that does not end"),
            ("A='CANARY' CANARY", 1, "A has text behind the quote"),
            ("A=1\nA=CANARY", 2, "A stands twice"),
            // What dotenv takes for a comment and docker does not.
            ("A=CANARY#b", 1, "A has a # without"),
            ("A=#CANARY", 1, "A has a # without"),
            ("\nA=CANARY#b # c", 2, "A has a # without"),
            ("A=`CANARY`", 1, "A has a backtick"),
            ("A=\"CANARY\\nb\"", 1, "A has a \\n or"),
            ("A=\"CANARY\\rb\"", 1, "A has a \\n or"),
            ("A=\"CANARY\\\" # b\"", 1, "A has a \\ before a quote"),
            ("A='CANARY\\' # b'", 1, "A has a \\ before a quote"),
            ("A=CANARY\rB=CANARY", 1, "A has a carriage return"),
        ] {
            let error = parse(bad).unwrap_err();
            let start = format!("line {line}: {told}");
            assert!(error.starts_with(&start), "{start}: {error}");
            assert!(!error.contains("CANARY"), "{error}");
        }
        let text = "\u{feff}# a comment\n\nPORT=8080\n export KEY = \"a#b $x\" # why\nEMPTY=\n\
                    NOTE=a b # c#d\nSINGLE='x\"y\\n'\r\nLATE= # nothing\nEQUALS=a=b==\n\
                    SLASH=a\\nb\nTICK=a`b\n";
        let parsed = parse(text).unwrap();
        let expected = [
            ("EMPTY", ""),
            ("EQUALS", "a=b=="),
            ("KEY", "a#b $x"),
            ("LATE", ""),
            ("NOTE", "a b"),
            ("PORT", "8080"),
            ("SINGLE", "x\"y\\n"),
            ("SLASH", "a\\nb"),
            ("TICK", "a`b"),
        ];
        let parsed: Vec<_> = parsed
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(parsed, expected);
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
