//! `tonegate reference`: what there is to set, to count, to end with and to type, as Markdown.
//!
//! The files in the repository are written by it, and a test compares them.

mod endings;
mod line;
mod metrics;
mod settings;

use clap::{CommandFactory as _, Subcommand};

use crate::config::Settings;

#[derive(Subcommand)]
pub(super) enum Subject {
    /// Every setting of a file: type, default, meaning (config/REFERENCE.md)
    Settings,
    /// Every metric: type, labels, meaning (deploy/reference/METRICS.md)
    Metrics,
    /// Every ending: word, status, close code, whether to try again (deploy/reference/ENDINGS.md)
    Endings,
    /// Every verb with its flags, and the exit codes (deploy/reference/CLI.md)
    Cli,
}

pub(super) fn run(subject: &Subject) -> anyhow::Result<()> {
    let (word, text) = match subject {
        Subject::Settings => ("settings", settings::text(&Settings::schema())?),
        Subject::Metrics => ("metrics", metrics::text()),
        Subject::Endings => ("endings", endings::text()),
        Subject::Cli => ("cli", line::text(super::Line::command())),
    };
    println!("<!-- Written by `tonegate reference {word}`. Do not edit. -->\n{text}");
    Ok(())
}

/// A text for one cell of a table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// The place in a page that a heading makes, as GitHub names it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_found_by_its_anchor_and_a_cell_stays_one() {
        assert_eq!(anchor("[[tickets.keys]]"), "ticketskeys");
        assert_eq!(anchor("tonegate token check"), "tonegate-token-check");
        assert_eq!(cell("a | b\nc"), "a \\| b c");
    }
}
