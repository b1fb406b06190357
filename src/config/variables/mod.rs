//! Settings from variables alone, under the names of the old Node proxy and of its successor.
//!
//! What those left open must be decided here: who may enter, a certificate or plain text, which
//! pages may connect. Everything that is missing is told at once, with the line to add. What comes
//! out is a table as a file would have it, judged like one.

mod azure;
mod doors;
mod names;
mod reader;
mod route;

use toml::Table;

pub(super) use self::names::rename;
use self::reader::Reader;
use super::env::Environment;

/// A table of settings, what is wrong or missing in it, and what whoever set the variables should
/// know.
pub(super) struct Written {
    pub(super) table: Table,
    pub(super) problems: Vec<String>,
    pub(super) notices: Vec<String>,
}

/// Writes the settings that the variables mean.
pub(super) fn write(variables: &Environment) -> Written {
    let mut reader = Reader {
        variables,
        problems: Vec::new(),
        notices: Vec::new(),
    };
    let mut table = Table::new();
    reader.names();
    reader.server(&mut table);
    reader.limits(&mut table);
    let admit = reader.admit(&mut table);
    reader.hops(&mut table, &admit);
    let shows_token = reader.upstream(&mut table, &admit);
    reader.route(&mut table, &admit, shows_token);
    Written {
        table,
        problems: reader.problems,
        notices: reader.notices,
    }
}
