//! Starts the actors of a nation and holds them together.

use crate::background::{self, Traffic};
use crate::bad::{self, Results};
use crate::clock::StoryClock;
use crate::compose::Composer;
use crate::facts::{Facts, FactsError};
use crate::http::{Http, HttpError};
use crate::party::{Heartbeat, Office};
use crate::steps::World;
use crate::story::{Player, Progress};
use anyhow::{Context, Result};
use nation::Nation;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Organisation that is free for vendors: it has no actor, only Feilmakeren borrows it for a moment.
const FREE_FOR_VENDORS: u32 = 8_900_900;
const STOPPING: Duration = Duration::from_secs(3);

/// How the actors live.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pace at which the story plays by itself; `None` waits for [`Handle::play`].
    pub auto_pace: Option<f64>,
    /// The nation is new: nothing of the story has been played.
    pub is_first_start: bool,
    /// Where the story's place is kept between starts.
    pub kept_in: Option<PathBuf>,
    /// Ordinary traffic beside the story.
    pub background: bool,
    /// Feilmakeren sends every bad case once an hour.
    pub bad_cases_hourly: bool,
}

impl Default for Options {
    /// Waits to be told; no traffic of its own. What tests want.
    fn default() -> Self {
        Self {
            auto_pace: None,
            is_first_start: true,
            kept_in: None,
            background: false,
            bad_cases_hourly: false,
        }
    }
}

/// The actors at work.
pub struct Handle {
    world: Arc<World>,
    player: Player,
    results: Results,
    traffic: Traffic,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts everybody that facts.json gives keys to.
///
/// # Errors
/// Facts that are not usable. An unreachable hub is no error: actors keep trying.
pub async fn run(facts: Facts, nation: Arc<Nation>, options: Options) -> Result<Handle> {
    let facts = Arc::new(facts);
    let http = Http::new(&facts.ca_pem)?;
    let clock = Arc::new(StoryClock::new(http.clone(), &facts.base));
    let (stop, stopped) = watch::channel(false);
    let offices = start_offices(&facts, &clock, &stopped).await?;
    let composer = Composer::new(facts.clone(), nation);
    let world = Arc::new(World::new(facts, composer, http, clock.clone(), offices));
    let player = Player::new(world.clone(), options.auto_pace, options.kept_in.clone());
    let mut tasks = Vec::new();
    {
        let (player, stopped) = (player.clone(), stopped.clone());
        let has_past = !options.is_first_start;
        tasks.push(tokio::spawn(async move {
            if has_past && let Err(error) = player.pass_over_the_past().await {
                tracing::warn!(%error, "the story's clock does not answer");
            }
            player.live(stopped).await;
        }));
    }
    let results = Results::default();
    if options.bad_cases_hourly {
        let task = bad::hourly(world.clone(), results.clone(), stopped.clone());
        tasks.push(tokio::spawn(task));
    }
    let traffic = Traffic::default();
    if options.background {
        let task = background::live(world.clone(), player.clone(), traffic.clone(), stopped);
        tasks.push(tokio::spawn(task));
    }
    Ok(Handle {
        world,
        player,
        results,
        traffic,
        stop,
        tasks,
    })
}

async fn start_offices(
    facts: &Arc<Facts>,
    clock: &Arc<StoryClock>,
    stopped: &watch::Receiver<bool>,
) -> Result<BTreeMap<u32, Office>> {
    let trust = Arc::new(facts.trust()?);
    let (facts, clock, stopped) = (facts.clone(), clock.clone(), stopped.clone());
    // Keys are derived from passwords: some hundred milliseconds of work in all.
    let handle = tokio::runtime::Handle::current();
    let starting = move || -> Result<BTreeMap<u32, Office>, FactsError> {
        let _inside = handle.enter();
        facts
            .organisations
            .iter()
            .filter(|o| o.has_keys() && o.her_id != FREE_FOR_VENDORS)
            .map(|o| {
                let (facts, trust) = (facts.clone(), trust.clone());
                let office = Office::start(facts, o, trust, clock.clone(), stopped.clone())?;
                Ok((o.her_id, office))
            })
            .collect()
    };
    let offices = tokio::task::spawn_blocking(starting).await;
    Ok(offices.context("the actors could not be started")??)
}

impl Handle {
    /// Plays the story on to and including a step; see [`Player::play`].
    ///
    /// # Errors
    /// In words, when there is no such step.
    pub async fn play(&self, until: &str, pace: f64) -> Result<Value, String> {
        self.player.play(until, pace).await
    }

    /// The player, for those who want to hold on to it.
    #[must_use]
    pub fn player(&self) -> Player {
        self.player.clone()
    }

    /// What happens in the story, as it happens.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.player.progress()
    }

    /// State of every organisation.
    #[must_use]
    pub fn heartbeats(&self) -> Vec<Heartbeat> {
        self.world.offices.values().map(Office::heartbeat).collect()
    }

    /// Steps, organisations, bad cases.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut status = self.player.status();
        if let Some(members) = status.as_object_mut() {
            members.insert("actors".to_owned(), json!(self.heartbeats()));
            members.insert("bad_cases".to_owned(), self.results.view());
            members.insert("background_messages".to_owned(), json!(self.traffic.sent()));
        }
        status
    }

    /// Feilmakeren, for those who want to hold on to it.
    #[must_use]
    pub fn bad_cases(&self) -> bad::OnCall {
        bad::OnCall::new(self.world.clone(), self.results.clone())
    }

    /// Asks the story's clock.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn now(&self) -> Result<jiff::Timestamp, HttpError> {
        self.world.clock.read().await
    }

    /// Ends everybody; waits a moment for them.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = timeout(STOPPING, task).await;
        }
    }
}
