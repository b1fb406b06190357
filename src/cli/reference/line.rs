//! The command line, as clap knows it.

use clap::{Arg, Command};

use super::cell;
use crate::cli::EXITS;

pub(super) fn text(mut program: Command) -> String {
    // Without this, verbs of verbs do not know their whole name.
    program.build();
    let mut text = "# Command line\n\n\
        Results go to standard output, log lines and mistakes to standard error.\n\n\
        | exit code | means |\n| --- | --- |\n"
        .to_owned();
    for (code, means) in EXITS {
        text += &format!("| {code} | {means} |\n");
    }
    for verb in program.get_subcommands() {
        tell(verb, &mut text);
    }
    text.truncate(text.trim_end().len());
    text
}

/// One verb, and the verbs below it.
fn tell(verb: &Command, text: &mut String) {
    if verb.get_name() == "help" || verb.is_hide_set() {
        return;
    }
    let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
    let about = verb
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    *text += &format!("\n## {name}\n\n{}.\n", cell(&about));
    let args: Vec<&Arg> = verb
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()))
        .collect();
    if !args.is_empty() {
        *text += "\n| | |\n| --- | --- |\n";
    }
    for arg in args {
        *text += &format!("| {} | {} |\n", written(arg), meant(arg));
    }
    for below in verb.get_subcommands() {
        tell(below, text);
    }
}

/// How an argument is typed.
fn written(arg: &Arg) -> String {
    let takes = arg.get_action().takes_values();
    let names = arg.get_value_names().unwrap_or_default();
    let value = names.iter().map(|name| name.as_str()).collect::<Vec<_>>();
    let value = value.join(" ");
    let mut ways: Vec<String> = arg
        .get_short()
        .map(|c| format!("-{c}"))
        .into_iter()
        .collect();
    ways.extend(arg.get_long().map(|long| format!("--{long}")));
    let Some(last) = ways.last_mut() else {
        return format!("`{value}`");
    };
    if takes {
        let glue = if arg.is_require_equals_set() {
            "="
        } else {
            " "
        };
        *last += &format!("{glue}{value}");
    }
    ways.iter()
        .map(|way| format!("`{way}`"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What it is for, with its default and what it may be.
fn meant(arg: &Arg) -> String {
    let mut text = cell(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    let usual: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|v| v.to_string_lossy())
        .collect();
    if !usual.is_empty() && arg.get_action().takes_values() {
        text += &format!(" (`{}` unless it is given)", usual.join(" "));
    }
    let words: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !words.is_empty() {
        text += &format!(": {}", words.join(", "));
    }
    text
}
