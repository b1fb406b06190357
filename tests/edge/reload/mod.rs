//! Settings that change while the edge lives: what is bad changes nothing, what is good changes whoever
//! comes, and whoever is there goes on.

mod certificates;
mod kept;
mod load;
mod process;
mod refused;
mod watched;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tonegate::app::{Edge, Source};
use tonegate::config::{Environment, Settings};
use tonegate::listener::reload::{Loaded, NotLoaded};
use tonegate::secret::Digest;

use crate::harness::{Caller, Wish, World, text};

/// So seldom that only what a test asks for happens.
const NEVER: Duration = Duration::from_secs(3600);
const TARGET: &str = "/ws?model=sim-echo";
const OTHER: &str = "the-other-key-5Tv";

/// A world whose settings are files that are read anew.
struct Operator {
    world: World,
}

impl Operator {
    async fn usual() -> Operator {
        Operator::with(Wish::default()).await
    }

    async fn with(wish: Wish) -> Operator {
        let variables = wish.variables.clone();
        let variables = variables.map_or_else(Environment::process, |some| {
            Environment::of(some.iter().map(|(name, value)| (*name, value.as_str())))
        });
        Operator::over(World::with(wish).await, &variables, NEVER)
    }

    /// Puts an edge that reads its files anew in the place of the one that was there.
    fn over(mut world: World, variables: &Environment, watch: Duration) -> Operator {
        let file = world.folder.join("edge.toml");
        drop(world.edge.take());
        let edge = start(&file, variables, watch);
        world.port = edge.public().port();
        world.edge = Some(edge);
        Operator { world }
    }

    async fn reload(&self) -> Result<Loaded, NotLoaded> {
        self.world.edge().reload().now().await
    }

    /// Writes the settings otherwise, of what they were at first.
    fn write(&self, change: impl FnOnce(&str) -> String) {
        let text = change(&self.world.settings);
        fs::write(self.world.folder.join("edge.toml"), text).unwrap();
    }

    /// Writes them with something in the place of something else.
    fn replace(&self, from: &str, to: &str) {
        assert!(self.world.settings.contains(from), "{from}");
        self.write(|text| text.replacen(from, to, 1));
    }

    /// Lets another key in, and the usual one no more.
    fn change_key(&self) {
        let digest = |key: &str| Digest::of(key).to_hex();
        self.replace(&digest(crate::harness::KEY), &digest(OTHER));
    }

    async fn enters(&self, key: &str) -> Result<Caller, u16> {
        let asked = self.world.ask(TARGET, &[("api-key", key)]).await;
        asked.map_err(|refused| refused.status)
    }

    /// Loads made so far, by result.
    fn loads(&self, result: &str) -> u64 {
        let series = format!("tonegate_settings_loads_total{{result=\"{result}\"}} ");
        self.world.count(&series)
    }

    fn says(&self, line: &str) -> bool {
        let page = self.world.edge().metrics_page();
        page.lines().any(|other| other == line)
    }
}

fn start(file: &Path, variables: &Environment, watch: Duration) -> Edge {
    let (file, variables) = (file.to_owned(), variables.clone());
    let read = move |sources: &mut _| {
        let read = Settings::read_noting(std::slice::from_ref(&file), &variables, sources);
        read.map_err(|error| error.to_string())
    };
    let (settings, source) = Source::open(Box::new(read)).unwrap();
    Edge::start_from(&settings, source.watched_every(watch)).unwrap()
}

/// It still talks, both ways.
async fn talks(caller: &mut Caller, word: &str) {
    caller.send(text(word)).await;
    assert_eq!(caller.next().await, Some(text(word)));
}
