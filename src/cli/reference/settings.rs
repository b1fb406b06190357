//! The settings, as their JSON schema says.
//!
//! A description ends with `Default: …` where there is one; that is a column of its own.

use std::fmt::Write as _;

use anyhow::{Context as _, anyhow};
use serde_json::{Map, Value};

use super::{anchor, cell};

/// How deep tables lie in tables; the schema has no circles, and this says so.
const DEEP: usize = 6;

const HEAD: &str = r#"# Settings

What a settings file may hold, in TOML. Unknown keys are errors, and `tonegate check` says what else is wrong.
[`every-setting.toml`](every-setting.toml) has all of it in one file, to copy from. Names in capitals are yours to
choose. `${NAME}` in a text is the environment variable of that name, a literal `${` is written `$${`. Paths are
relative to the file that names them.

A duration is a text such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`; a size one such as `"64KiB"` or `"16MiB"`, or a number
of bytes; a rate one such as `"10/s"`, `"60/m"`, `"100/h"`, `"600/d"` or `"100/90s"`.
"#;

pub(super) fn text(schema: &str) -> anyhow::Result<String> {
    let root: Value = serde_json::from_str(schema)?;
    let mut page = Page {
        definitions: root["$defs"].as_object().cloned().unwrap_or_default(),
        text: HEAD.to_owned(),
    };
    page.table("", &root, "", 0)?;
    page.text.truncate(page.text.trim_end().len());
    Ok(page.text)
}

struct Page {
    definitions: Map<String, Value>,
    text: String,
}

/// A table inside another one: what its own heading is, what it says, and what is meant by it.
struct Inner {
    name: String,
    schema: Value,
    says: String,
}

impl Page {
    /// One table with a row for each key, and then the tables in it.
    fn table(
        &mut self,
        name: &str,
        schema: &Value,
        says: &str,
        depth: usize,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(depth < DEEP, "{name} has a table in itself");
        let keys = schema["properties"].as_object();
        let keys = keys.with_context(|| format!("{name} has no keys"))?;
        if !name.is_empty() {
            let level = if depth == 1 { "##" } else { "###" };
            writeln!(self.text, "\n{level} {name}")?;
            if !says.is_empty() {
                writeln!(self.text, "\n{says}")?;
            }
        }
        self.text += "\n| key | type | default | |\n| --- | --- | --- | --- |\n";
        let needed = schema["required"].as_array().cloned().unwrap_or_default();
        let mut below = Vec::new();
        for (key, one) in keys {
            let told = one["description"].as_str();
            let told = told.ok_or_else(|| anyhow!("{name} {key} has no description"))?;
            // A line may end anywhere.
            let told = &cell(told);
            let (says, usual) = match told.split_once("Default: ") {
                Some((says, usual)) => (says.trim(), usual.trim().trim_end_matches('.')),
                None if needed.contains(&Value::from(key.as_str())) => {
                    (told.as_str(), "must be set")
                }
                None => (told.as_str(), ""),
            };
            let kind = match self.inner(name, key, one) {
                Some(inner) => {
                    let kind = format!("[{}](#{})", inner.name, anchor(&inner.name));
                    below.push(Inner {
                        says: says.to_owned(),
                        ..inner
                    });
                    kind
                }
                None => self.kind(one),
            };
            writeln!(self.text, "| `{key}` | {kind} | {usual} | {says} |")?;
        }
        for inner in below {
            self.table(&inner.name, &inner.schema, &inner.says, depth + 1)?;
        }
        Ok(())
    }

    /// What a reference points to, and what an optional value is when it is there.
    fn variants(&self, schema: &Value) -> Vec<Value> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or(name);
            return self
                .definitions
                .get(name)
                .into_iter()
                .flat_map(|one| self.variants(one))
                .collect();
        }
        for way in ["anyOf", "oneOf", "allOf"] {
            if let Some(all) = schema[way].as_array() {
                return all.iter().flat_map(|one| self.variants(one)).collect();
            }
        }
        if schema["type"] == "null" {
            return Vec::new();
        }
        vec![schema.clone()]
    }

    /// The table that a key holds, if it holds one: alone, one of a list, or one for each name.
    fn inner(&self, outer: &str, key: &str, schema: &Value) -> Option<Inner> {
        let path = outer.trim_matches(['[', ']']);
        let path = if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        };
        for one in self.variants(schema) {
            if one["properties"].is_object() {
                return Some(Inner {
                    name: format!("[{path}]"),
                    schema: one,
                    says: String::new(),
                });
            }
            for (below, name) in [
                ("items", format!("[[{path}]]")),
                ("additionalProperties", format!("[{path}.NAME]")),
            ] {
                let all = self.variants(&one[below]);
                if let Some(one) = all.into_iter().find(|one| one["properties"].is_object()) {
                    return Some(Inner {
                        name,
                        schema: one,
                        says: String::new(),
                    });
                }
            }
        }
        None
    }

    /// What a value is, in words.
    fn kind(&self, schema: &Value) -> String {
        let variants = self.variants(schema);
        let mut kinds: Vec<String> = variants.iter().map(|one| self.one_kind(one)).collect();
        kinds.dedup();
        kinds.join(" or ")
    }

    fn one_kind(&self, schema: &Value) -> String {
        if let Some(words) = schema["enum"].as_array() {
            let words = words
                .iter()
                .filter_map(Value::as_str)
                .map(|word| format!("`\"{word}\"`"));
            return words.collect::<Vec<_>>().join(", ");
        }
        if let Some(title) = schema["title"].as_str() {
            // Examples of the usual ones stand at the head of the page.
            let (what, _) = title.split_once(" such as").unwrap_or((title, ""));
            return cell(&uncapped(what));
        }
        let of = |key: &str| self.kind(&schema[key]);
        let kinds: Vec<&str> = match schema["type"].as_array() {
            Some(all) => all.iter().filter_map(Value::as_str).collect(),
            None => schema["type"].as_str().into_iter().collect(),
        };
        let kinds = kinds
            .into_iter()
            .filter(|kind| *kind != "null")
            .map(|kind| match kind {
                "boolean" => "`true`, `false`".to_owned(),
                "integer" => whole(schema),
                "string" => "text".to_owned(),
                "array" => format!("list of {}", of("items")),
                "object" if schema["additionalProperties"].is_object() => {
                    format!("table, by name: {}", of("additionalProperties"))
                }
                other => other.to_owned(),
            });
        kinds.collect::<Vec<_>>().join(" or ")
    }
}

/// A whole number with its bounds, where they say something.
fn whole(schema: &Value) -> String {
    match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
        (Some(least), Some(most)) => format!("whole number, {least} to {most}"),
        _ => "whole number".to_owned(),
    }
}

fn uncapped(title: &str) -> String {
    let mut rest = title.chars();
    rest.next().map_or(String::new(), |first| {
        first.to_lowercase().chain(rest).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_schema_says_is_in_the_table() {
        let schema = r##"{"$defs":{"T":{"type":"object","required":["b"],"properties":{
            "b":{"type":["integer","null"],"description":"How many. Default:\n`3`."},
            "c":{"type":"string","enum":["x","y"],"description":"Which."}}}},
            "properties":{"t":{"anyOf":[{"$ref":"#/$defs/T"},{"type":"null"}],"description":"Tables | more."},
            "n":{"type":"object","additionalProperties":{"$ref":"#/$defs/T"},"description":"Named."}}}"##;
        let told = text(schema).unwrap();
        for line in [
            "| `n` | [[n.NAME]](#nname) |  | Named. |",
            "| `t` | [[t]](#t) |  | Tables \\| more. |",
            "## [t]",
            "| `b` | whole number | `3` | How many. |",
            "| `c` | `\"x\"`, `\"y\"` |  | Which. |",
        ] {
            assert!(told.lines().any(|l| l == line), "{line} is not in\n{told}");
        }
        let silent = schema.replace("\"description\":\"Which.\"", "\"a\":1");
        let problem = text(&silent).err().unwrap().to_string();
        assert!(problem.contains("c has no description"), "{problem}");
    }
}
