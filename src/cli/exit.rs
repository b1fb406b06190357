//! What an exit code says, beyond done (0), did not work (1) and a wrong command line (2).

/// A failure with a code of its own; the text is one sentence, with what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Exit {
    #[error("{0}")]
    NoSuch(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    NotReady(String),
    #[error("{0}")]
    NotAllowed(String),
}

impl Exit {
    pub(super) fn code(&self) -> u8 {
        match self {
            Exit::NoSuch(_) => 3,
            Exit::Unreachable(_) => 4,
            Exit::NotReady(_) => 5,
            Exit::NotAllowed(_) => 6,
        }
    }

    /// For `--help`.
    pub(super) const HELP: &str = "\
Exit codes: 0 done, 1 it did not work, 2 the command line is wrong, 3 no such session or name, \
4 the edge's admin listener cannot be reached, 5 the edge is not ready, 6 the edge does not allow it \
(admin token)";
}
