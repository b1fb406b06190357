//! Whom somebody may see: themselves, and whoever reports to them (C10 to C15).
//!
//! Whoever has reports is a manager, everybody else an engineer; who reports to whom Graph says, or the
//! customer. What was found is kept in the store for a short while, for all replicas. Nothing that
//! is not known is guessed: without an answer nobody sees anybody.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Refused;
use crate::config::{self, RolesBy};
use crate::error::Reason;
use crate::ids::EntraId;
use crate::store::{About, Note, Store};
use crate::upstream::Unusable;
use crate::upstream::directory::{Directory, Entry};
use crate::upstream::graph::{Failure, Graph, Kind};
use crate::upstream::identity::Identity;

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Engineer,
    Manager,
}

impl Role {
    /// As assertions and the audit have it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Engineer => "engineer",
            Role::Manager => "manager",
        }
    }
}

/// Who somebody is, and whom they may see.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub role: Role,
    /// Who they are where ids are compared: to Entra, or to the customer.
    pub id: String,
    /// Themselves among them.
    pub sees: BTreeSet<String>,
}

/// It says who somebody is, and who reports to them.
impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Standing {
    fn of(id: String, reports: impl IntoIterator<Item = String>) -> Standing {
        let mut sees: BTreeSet<String> = reports.into_iter().collect();
        sees.remove(&id);
        let role = match sees.is_empty() {
            true => Role::Engineer,
            false => Role::Manager,
        };
        sees.insert(id.clone());
        Standing { role, id, sees }
    }

    fn of_entry(entry: Entry) -> Standing {
        Standing::of(entry.id, entry.reports)
    }

    pub fn may_see(&self, id: &str) -> bool {
        self.sees.contains(id)
    }
}

/// Who is asked.
enum By {
    Graph(Arc<Graph>),
    Directory(Box<Directory>),
    Store,
}

/// Knows whom people may see.
pub struct Roles {
    by: By,
    cache: Duration,
    store: Arc<Store>,
}

impl Roles {
    /// `None`: that is for applications to decide.
    pub fn new(
        settings: Option<&config::Roles>,
        graph: Option<&Arc<Graph>>,
        store: &Arc<Store>,
    ) -> Result<Option<Roles>, Unusable> {
        let Some(settings) = settings else {
            return Ok(None);
        };
        let by = match (&settings.by, graph) {
            (RolesBy::Graph, Some(graph)) => By::Graph(graph.clone()),
            // The settings were judged: with this there is a Graph.
            (RolesBy::Graph, None) => return Ok(None),
            (RolesBy::Directory(directory), _) => {
                By::Directory(Box::new(Directory::new(directory.clone())?))
            }
            (RolesBy::Store, _) => By::Store,
        };
        Ok(Some(Roles {
            by,
            cache: settings.cache,
            store: store.clone(),
        }))
    }

    /// The edge's own identity at Graph, if that is asked; whoever owns this must run it.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        match &self.by {
            By::Graph(graph) => Some(graph.identity()),
            By::Directory(_) | By::Store => None,
        }
    }

    /// Who is asked, where that is Graph.
    pub fn graph(&self) -> Option<&Arc<Graph>> {
        match &self.by {
            By::Graph(graph) => Some(graph),
            By::Directory(_) | By::Store => None,
        }
    }

    /// Whether the store alone knows them.
    pub fn are_in_the_store(&self) -> bool {
        matches!(self.by, By::Store)
    }

    /// Whether ids are those of Entra.
    pub fn is_by_entra(&self) -> bool {
        matches!(self.by, By::Graph(_))
    }

    /// Who somebody is.
    ///
    /// # Errors
    /// `forbidden`: nobody knows them. Others: whoever knows cannot be asked.
    pub async fn standing(&self, tenant: &EntraId, person: &EntraId) -> Result<Standing, Refused> {
        let about = |note| About {
            note,
            tenant,
            person,
        };
        if let By::Store = &self.by {
            // It is the store that knows, so there is nothing to keep.
            let entry = self.store.note(about(Note::Person)).await;
            let entry = entry.map_err(|_| STORE)?.ok_or(NOBODY)?;
            let entry = Entry::read(entry.as_bytes()).ok_or(UNREADABLE)?;
            return Ok(Standing::of_entry(entry));
        }
        if let Some(kept) = self.kept(about(Note::Scope)).await {
            return Ok(kept);
        }
        let standing = match &self.by {
            By::Graph(graph) => {
                let reports = graph.direct_reports(person).await.map_err(of_graph)?;
                Standing::of(person.to_string(), reports.iter().map(EntraId::to_string))
            }
            By::Directory(directory) => {
                let entry = directory.look_up(tenant, person).await;
                let entry = entry.map_err(|failure| Refused {
                    reason: failure.reason(),
                    detail: "who reports to whom cannot be asked of the directory",
                })?;
                Standing::of_entry(entry.ok_or(NOBODY)?)
            }
            By::Store => return Err(NOBODY),
        };
        self.keep(about(Note::Scope), &standing).await;
        Ok(standing)
    }

    /// What was found a short while ago. What cannot be read, or not now, is found anew.
    async fn kept(&self, about: About<'_>) -> Option<Standing> {
        if self.cache.is_zero() {
            return None;
        }
        match self.store.note(about).await {
            Ok(kept) => serde_json::from_str(&kept?).ok(),
            Err(error) => {
                tracing::debug!(%error, "whom somebody may see was asked for anew");
                None
            }
        }
    }

    async fn keep(&self, about: About<'_>, standing: &Standing) {
        if self.cache.is_zero() {
            return;
        }
        let text = serde_json::to_string(standing).expect("texts can be written as JSON");
        // Whoever comes next asks again.
        if let Err(error) = self.store.put_note(about, &text, self.cache).await {
            tracing::debug!(%error, "whom somebody may see was not kept");
        }
    }
}

/// Whom Graph does not know is nobody; of others it is not known.
fn of_graph(failure: Failure) -> Refused {
    match failure.kind {
        Kind::NotFound => NOBODY,
        Kind::Unreachable
        | Kind::Timeout
        | Kind::Unauthorized
        | Kind::Forbidden
        | Kind::Busy
        | Kind::Failed
        | Kind::Refused
        | Kind::Malformed
        | Kind::TooMany => Refused {
            reason: failure.reason(),
            detail: "who reports to whom cannot be asked of Graph",
        },
    }
}

const NOBODY: Refused = Refused {
    reason: Reason::Forbidden,
    detail: "nobody knows whom this person may see",
};
const UNREADABLE: Refused = Refused {
    reason: Reason::Internal,
    detail: "what the store says of this person cannot be read",
};
const STORE: Refused = Refused {
    reason: Reason::StoreUnavailable,
    detail: "the session store does not answer",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_whoever_has_reports_manages_them_and_nobody_else() {
        let names = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let engineer = Standing::of("me".to_owned(), Vec::new());
        assert_eq!(engineer.role, Role::Engineer);
        assert!(engineer.may_see("me") && !engineer.may_see("other"));
        let manager = Standing::of("boss".to_owned(), names(&["a", "b"]));
        assert_eq!(manager.role, Role::Manager);
        for (id, sees) in [
            ("boss", true),
            ("a", true),
            ("b", true),
            ("c", false),
            ("", false),
        ] {
            assert_eq!(manager.may_see(id), sees, "{id}");
        }
        assert_eq!(format!("{manager:?}"), "Standing { role: Manager, .. }");
        // Whoever reports to themselves is nobody's manager.
        assert_eq!(
            Standing::of("me".to_owned(), names(&["me"])).role,
            Role::Engineer
        );
    }
}
