//! Routes that show people a page.

use crate::label::Label;

/// What a page for people has to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Routes that it uses: those to talk on, and those that tell of sessions; at least one.
    pub opens: Vec<Label>,
}
