//! Feilmakeren: what is wrong on purpose, and the answer it must get (spec/story.md §7).
//!
//! Sender is `vaar-epj`, whose queues a vendor may be reading too: a case attaches to them only while it waits, and gives
//! back what is not an answer to it. The cases that are accepted concern one identifier person and use the same report
//! number each time, so repeating them changes nothing.

mod cases;
mod scenes;
mod wire;

pub use cases::{CASES, Case, Expected};
pub use wire::{Answer, BadError, Observed};

use crate::clock::StoryClock;
use crate::compose::Composer;
use crate::facts::Facts;
use crate::http::Http;
use crate::steps::World;
use nation::{Nation, Params};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// After the start, and then this often.
const EVERY: Duration = Duration::from_secs(3_600);
const FIRST: Duration = Duration::from_secs(20 * 60);

/// Sends one case against a running hub and says what came back.
///
/// # Errors
/// [`BadError`]: no such case, or the hub is not reached.
pub async fn run(facts: &Facts, id: &str) -> Result<Observed, BadError> {
    let facts = Arc::new(facts.clone());
    let http = Http::new(&facts.ca_pem)?;
    let clock = StoryClock::new(http, &facts.base);
    let params = Params {
        seed: facts.seed,
        anchor: facts.anchor,
        ..Params::default()
    };
    // Only its fixed people are needed; they are the same in a nation of any size.
    let nation = Nation::generate(&params).map_err(|e| BadError::Nation(e.to_string()))?;
    let composer = Composer::new(facts.clone(), Arc::new(nation));
    clock.read().await?;
    wire::perform(&facts, &composer, &clock, id).await
}

/// The same among the other actors.
///
/// # Errors
/// [`BadError`].
pub async fn run_in(world: &World, id: &str) -> Result<Observed, BadError> {
    wire::perform(&world.facts, &world.composer, &world.clock, id).await
}

/// What came of the cases, newest of each.
#[derive(Clone, Debug, Default)]
pub struct Results(Arc<Mutex<BTreeMap<&'static str, Observed>>>);

impl Results {
    /// Notes one.
    pub fn note(&self, observed: &Observed) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(observed.case, observed.clone());
    }

    /// All cases with their newest outcome, for pages.
    #[must_use]
    pub fn view(&self) -> Value {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        CASES
            .iter()
            .map(|case| row(case, held.get(case.id)))
            .collect()
    }
}

fn row(case: &Case, seen: Option<&Observed>) -> Value {
    json!({
        "id": case.id,
        "wrong": case.wrong,
        "wrong_en": case.wrong_en,
        "expected": case.expected.words(),
        "expected_nb": case.expected.words_nb(),
        "observed": seen.map(|o| o.answer.words()),
        "observed_nb": seen.map(|o| o.answer.words_nb()),
        "as_expected": seen.map(|o| o.is_as_expected),
        "at": seen.map(|o| o.at.to_string()),
    })
}

/// Feilmakeren on call. Cheap to clone.
#[derive(Clone)]
pub struct OnCall {
    world: Arc<World>,
    results: Results,
}

impl OnCall {
    pub(crate) fn new(world: Arc<World>, results: Results) -> Self {
        Self { world, results }
    }

    /// Sends one case now; its row with what came back.
    ///
    /// # Errors
    /// [`BadError`].
    pub async fn send(&self, id: &str) -> Result<Value, BadError> {
        let case = cases::find(id).ok_or_else(|| BadError::NoCase(id.to_owned()))?;
        self.world.clock.read().await?;
        let observed = run_in(&self.world, case.id).await?;
        self.results.note(&observed);
        Ok(row(case, Some(&observed)))
    }
}

/// Every case once an hour.
pub async fn hourly(world: Arc<World>, results: Results, mut stopped: watch::Receiver<bool>) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        pause = EVERY;
        for case in CASES {
            if *stopped.borrow() {
                return;
            }
            match run_in(&world, case.id).await {
                Ok(observed) => {
                    if !observed.is_as_expected {
                        tracing::warn!(
                            case = case.id,
                            answer = observed.answer.words(),
                            "a bad case was answered otherwise"
                        );
                    }
                    results.note(&observed);
                }
                Err(error) => tracing::debug!(case = case.id, %error, "a bad case was not sent"),
            }
        }
    }
}
