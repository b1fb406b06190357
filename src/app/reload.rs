//! Settings that change while the edge lives.
//!
//! All of them are read anew when somebody asks ([`Reload`]) or when something else stands in one of the
//! files that they were read from. Then everything is prepared beside what is in force: the settings
//! are judged, all parts are built, keys and certificates are held against each other, new issuers and
//! identities are asked for what they give. What fails there changes nothing. What is ready takes the
//! place of what was, in one step that cannot fail. One load is made after the other.
//!
//! [`Reload`]: crate::listener::reload::Reload

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::build;
use super::parts::Parts;
use crate::config::{Settings, Sources};
use crate::listener::Public;
use crate::listener::doors::Doors;
use crate::listener::reload::{Asked, Loaded, NotLoaded};
use crate::listener::tls;
use crate::metrics::{self, Work};
use crate::panics::contained;

/// How often it is looked whether the files are what they were.
const WATCH: Duration = Duration::from_secs(2);
/// How long a load waits for the keys of new issuers and for tokens of new identities. One fetch takes
/// no longer. Who cannot be asked by then is asked on, as after a start.
const FETCH_WAIT: Duration = Duration::from_secs(11);

/// Reads settings, and notes the files that it has read. The error is for the operator.
pub type Read = Box<dyn FnMut(&mut Sources) -> Result<Settings, String> + Send>;

/// Where settings come from, again and again.
pub struct Source {
    read: Read,
    /// What was read for what is in force.
    in_force: Sources,
    watch: Duration,
}

impl Source {
    /// Reads them for the first time.
    pub fn open(mut read: Read) -> Result<(Settings, Source), String> {
        let mut in_force = Sources::default();
        let settings = read(&mut in_force)?;
        let watch = WATCH;
        let source = Source {
            read,
            in_force,
            watch,
        };
        Ok((settings, source))
    }

    /// The same, looked at more or less often.
    pub fn watched_every(self, watch: Duration) -> Source {
        Source { watch, ..self }
    }
}

/// Makes loads.
pub(super) struct Loader {
    source: Source,
    asked: mpsc::Receiver<Asked>,
    public: Arc<Public>,
    parts: Arc<Parts>,
    /// What was read when it was tried last, and what stood then in the files of what is in force.
    tried: Sources,
    /// What was found to be otherwise, and is tried if it is still so at the next look: whoever writes a
    /// file may not be done.
    seen: Option<Sources>,
    metrics: metrics::Shared,
}

impl Loader {
    pub(super) fn new(
        source: Source,
        asked: mpsc::Receiver<Asked>,
        (public, parts): (Arc<Public>, Arc<Parts>),
    ) -> Loader {
        Loader {
            tried: source.in_force.clone(),
            source,
            asked,
            metrics: public.doors.now().metrics.clone(),
            public,
            parts,
            seen: None,
        }
    }

    /// Loads whenever it is asked or something changes, for ever.
    pub(super) async fn run(&mut self) {
        let mut look = interval(self.source.watch);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // There is always a generation that could ask.
                Some(tell) = self.asked.recv() => {
                    let came_to = self.load("asked for").await;
                    // Whoever asked may not have waited.
                    let _ = tell.send(came_to);
                }
                _ = look.tick() => {
                    if self.has_changed() {
                        // It is logged and counted.
                        let _ = self.load("files changed").await;
                    }
                }
            }
        }
    }

    /// Whether the files are not what was tried last, and were the same a look ago.
    fn has_changed(&mut self) -> bool {
        let now = self.tried.look();
        if now == self.tried {
            self.seen = None;
            return false;
        }
        self.metrics.settings_in_force(false);
        let is_still_so = self.seen.as_ref() == Some(&now);
        self.seen = Some(now);
        is_still_so
    }

    /// Reads everything anew, and puts it in force if all of it can be used.
    async fn load(&mut self, why: &'static str) -> Result<Loaded, NotLoaded> {
        let before = self.public.doors.now();
        let mut sources = Sources::default();
        let metrics = self.metrics.clone();
        let load = self.load_from(&before, &mut sources);
        let came_to = contained(&metrics, Work::Upkeep, load).await;
        let came_to = came_to.unwrap_or_else(|| {
            let text = "the edge failed to read them, which is a mistake of its own";
            Err(NotLoaded::Unusable(text.to_owned()))
        });
        self.tried = sources.clone();
        self.seen = None;
        self.metrics.settings_in_force(came_to.is_ok());
        match &came_to {
            Ok(Loaded { generation, is_new }) => {
                let result = if *is_new { "loaded" } else { "unchanged" };
                self.metrics.settings_load(result);
                self.source.in_force = sources;
                tracing::info!(why, generation, result, "settings read");
            }
            Err(error) => {
                self.metrics.settings_load(error.word());
                // What would be good may come back in a file that was not read this time.
                self.tried.add(self.source.in_force.look());
                tracing::error!(
                    why,
                    %error,
                    in_force = before.generation.number,
                    "settings not loaded: those that were in force still are, all of them"
                );
            }
        }
        came_to
    }

    async fn load_from(
        &mut self,
        before: &Arc<Doors>,
        sources: &mut Sources,
    ) -> Result<Loaded, NotLoaded> {
        let settings = (self.source.read)(sources).map_err(NotLoaded::Unusable)?;
        let number = before.generation.number;
        if *sources == self.source.in_force {
            return Ok(Loaded {
                generation: number,
                is_new: false,
            });
        }
        let fixed = before.generation.settings.needs_restart(&settings);
        if !fixed.is_empty() {
            return Err(NotLoaded::NeedsRestart(fixed));
        }
        let next = build::next(settings, before);
        let (doors, tls) = next.map_err(|failed| NotLoaded::Unusable(failed.to_string()))?;
        // New issuers and identities are asked now, so that nobody has to wait for them.
        let fetched = timeout(FETCH_WAIT, self.parts.begin(&doors)).await;
        if fetched.is_err() {
            tracing::warn!("not all that is new could be fetched in time; it goes on");
        }
        self.commit(doors, tls);
        Ok(Loaded {
            generation: number + 1,
            is_new: true,
        })
    }

    /// From now on whoever comes is served by these. Nothing here can fail.
    fn commit(&self, doors: Doors, tls: Option<tls::Prepared>) {
        let settings = doors.generation.settings.clone();
        let limits = &settings.live.limits;
        self.metrics.settings_loaded(doors.generation.loaded);
        for notice in &settings.notices {
            tracing::warn!("{notice}");
        }
        if let Some(tls) = tls {
            tls.commit();
        }
        self.public.connections.set(limits.connections);
        self.public.unadmitted.set(limits.unadmitted);
        doors.sessions.set(limits.sessions);
        self.public.doors.put(doors);
        super::warn_of_routes(&settings);
    }
}
