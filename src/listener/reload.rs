//! The settings in force, and how whoever may asks for them to be read anew. What that does, `app`
//! knows; here is what others see of it.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use crate::config::Settings;

/// Loads that wait for the one under way. Each of them would read the same files.
const ASKED_MAX: usize = 8;

/// One reading of the settings, with everything that was built of it.
#[derive(Clone, Debug)]
pub struct Generation {
    /// 1 for the settings that the process was started with.
    pub number: u64,
    pub loaded: SystemTime,
    /// [`Settings::describe`] shows them without secrets.
    pub settings: Arc<Settings>,
}

impl Generation {
    pub fn first(settings: &Settings) -> Generation {
        Generation {
            number: 1,
            loaded: SystemTime::now(),
            settings: Arc::new(settings.clone()),
        }
    }

    pub fn next(&self, settings: Settings) -> Generation {
        Generation {
            number: self.number + 1,
            loaded: SystemTime::now(),
            settings: Arc::new(settings),
        }
    }
}

/// What a load came to: this generation is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub generation: u64,
    /// Whether it is another one than before: files that are what they were make none.
    pub is_new: bool,
}

/// Why the settings that were in force still are. Texts hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLoaded {
    /// With the file and the key, if it is one of the settings.
    #[error("{0}")]
    Unusable(String),
    #[error("{} cannot change while the process lives; restart it, or undo that: nothing else of the \
             files is in force either", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    #[error("these settings come from no files that could be read anew")]
    NoFiles,
    #[error("too many loads wait for the one that is under way")]
    Busy,
    #[error("the edge is ending")]
    Ending,
}

impl NotLoaded {
    /// For metrics.
    pub fn word(&self) -> &'static str {
        match self {
            NotLoaded::Unusable(_) => "unusable",
            NotLoaded::NeedsRestart(_) => "needs_restart",
            NotLoaded::NoFiles | NotLoaded::Busy | NotLoaded::Ending => "not_read",
        }
    }
}

/// Somebody waits to be told what came of a load.
pub type Asked = oneshot::Sender<Result<Loaded, NotLoaded>>;

/// Asks for loads, which are made one after the other. Cloning shares it.
#[derive(Clone, Default)]
pub struct Reload(Option<mpsc::Sender<Asked>>);

impl Reload {
    /// What asks, and where it is heard.
    pub fn new() -> (Reload, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(ASKED_MAX);
        (Reload(Some(asks)), asked)
    }

    /// Reads the settings anew, all or nothing. Begins after this was asked, so what stands in the files
    /// by then is read.
    pub async fn now(&self) -> Result<Loaded, NotLoaded> {
        let Some(asks) = &self.0 else {
            return Err(NotLoaded::NoFiles);
        };
        let (tell, told) = oneshot::channel();
        asks.try_send(tell).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotLoaded::Busy,
            mpsc::error::TrySendError::Closed(_) => NotLoaded::Ending,
        })?;
        told.await.unwrap_or(Err(NotLoaded::Ending))
    }
}
