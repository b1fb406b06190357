//! Routes on which sessions that run are told of.

/// Whose sessions whoever enters may see, and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum See {
    /// The caller's own.
    Own,
    /// Those of whom `[roles]` lets the caller see, too: of people of the caller's tenant.
    Team,
    /// All: for whoever runs the edge.
    All,
}

impl See {
    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            See::Own => "own",
            See::Team => "team",
            See::All => "all",
        }
    }
}
