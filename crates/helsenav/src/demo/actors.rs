//! The story's driver: runs the actors against the running hub.

use anyhow::Result;
use edge::Clock;
use hub::demo::StoryDriver;
use nation::Nation;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Keeps the story's place between starts, in the data folder.
pub(crate) const STORY_FILE: &str = "story.json";

/// Drives the story.
pub(crate) struct Driver {
    nation: Arc<Nation>,
    anchor: jiff::civil::Date,
    pace: f64,
    kept_in: Option<PathBuf>,
    /// `None` until the actors have started.
    player: watch::Sender<Option<actors::story::Player>>,
    handle: Arc<Mutex<Option<actors::Handle>>>,
}

impl Driver {
    /// A driver that waits for the facts.
    pub(crate) fn new(nation: Arc<Nation>, anchor: jiff::civil::Date, pace: f64) -> Self {
        Self {
            nation,
            anchor,
            pace,
            kept_in: None,
            player: watch::Sender::new(None),
            handle: Arc::default(),
        }
    }

    /// The same, remembering the story's place in this file.
    pub(crate) fn keeping(mut self, file: PathBuf) -> Self {
        self.kept_in = Some(file);
        self
    }

    /// Starts the actors; plays the story by itself when asked. The actors get facts.json and nothing of the hub: they
    /// ask for the clock over HTTP like everybody.
    pub(crate) fn start(
        &self,
        facts: &Value,
        _clock: Clock,
        plays: bool,
        is_first: bool,
    ) -> Result<()> {
        let facts = actors::Facts::from_value(facts)?;
        let options = actors::Options {
            auto_pace: plays.then_some(self.pace),
            is_first_start: is_first,
            kept_in: self.kept_in.clone(),
            background: plays,
            bad_cases_hourly: plays,
        };
        let (nation, player, handle) = (
            self.nation.clone(),
            self.player.clone(),
            self.handle.clone(),
        );
        tokio::spawn(async move {
            match actors::run(facts, nation, options).await {
                Ok(started) => {
                    player.send_replace(Some(started.player()));
                    *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
                }
                Err(error) => tracing::error!(%error, "the actors could not be started"),
            }
        });
        Ok(())
    }

    /// Ends them.
    pub(crate) async fn stop(&self) {
        let handle = self
            .handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(handle) = handle {
            handle.stop().await;
        }
    }
}

impl StoryDriver for Driver {
    fn play(
        &self,
        until: String,
        pace: f64,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>> {
        let mut player = self.player.subscribe();
        Box::pin(async move {
            let player = player.wait_for(Option::is_some).await;
            let player = player.ok().and_then(|p| p.clone());
            let player = player.ok_or("the actors are not running")?;
            player.play(&until, pace).await
        })
    }

    fn bad_case(&self, id: String) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let cases = handle.as_ref().map(actors::Handle::bad_cases);
        Box::pin(async move {
            let cases = cases.ok_or("the actors are not running yet")?;
            cases.send(&id).await.map_err(|error| error.to_string())
        })
    }

    fn status(&self) -> Value {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        match handle.as_ref() {
            Some(handle) => handle.status(),
            None => json!({ "day": self.anchor.to_string(), "steps": [], "is_starting": true }),
        }
    }
}
