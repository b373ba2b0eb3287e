//! The story's player: which step comes when, at what pace, and what became of it.
//!
//! The story's clock only moves forward. Between two steps it is pushed on, a second at a time, as fast as the pace
//! says; a pace of 0 jumps. A performance is never resumed into the past: what was due before this start is marked as
//! earlier, and playing again takes the next day.

use crate::clock::{instant, local};
use crate::http::HttpError;
use crate::steps::{Observed, Performance, World, day_for};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use nation::story::{Step, steps};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// Lives of the story that nobody plays yet; their steps are passed over and named.
pub const OTHER_LIVES: [&str; 7] = [
    "hjerte", "allergi", "seksten", "barn", "skjult", "diabetes", "reise",
];
/// Plays the whole story anew, on the next day.
pub const AGAIN: &str = "again";
/// Everything.
pub const END: &str = "end";
/// Nights and the early morning go this much faster.
const NIGHT_FACTOR: f64 = 10.0;
/// How often the clock is pushed.
const SLICE: Duration = Duration::from_secs(1);
/// How long before the first step the day's own pace begins.
const BEFORE_FIRST: SignedDuration = SignedDuration::from_mins(30);

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not yet.
    Waiting,
    /// Now.
    Running,
    /// As told.
    Done,
    /// Otherwise than told; `observed` says how.
    Failed,
    /// Not built in this version.
    PassedOver,
    /// Was due before this start of the actors.
    Earlier,
}

impl StepState {
    fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// One step's course.
#[derive(Debug, Clone)]
struct Course {
    step: &'static Step,
    state: StepState,
    observed: Observed,
    finished: Option<Timestamp>,
}

impl Course {
    fn new(step: &'static Step) -> Self {
        Self {
            step,
            state: StepState::Waiting,
            observed: Observed::default(),
            finished: None,
        }
    }
}

/// Something happened to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Key of the step.
    pub key: &'static str,
    /// Its state now.
    pub state: StepState,
    /// What was seen.
    pub observed: Observed,
}

struct Plan {
    performance: Performance,
    /// The clock has been read and the day chosen.
    is_placed: bool,
    courses: Vec<Course>,
    /// Pace at which the story plays by itself.
    auto: Option<f64>,
    /// Play on to this index at this pace, whatever `auto` says.
    rush: Option<(usize, f64)>,
}

/// What is kept between starts, when there is a place for it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    round: u32,
    day: Date,
    steps: Vec<KeptStep>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptStep {
    key: String,
    state: StepState,
    observed: Observed,
    finished: Option<Timestamp>,
}

/// Plays the story. Cheap to clone.
#[derive(Clone)]
pub struct Player {
    world: Arc<World>,
    plan: Arc<Mutex<Plan>>,
    changed: Arc<Notify>,
    progress: watch::Sender<Option<Progress>>,
    kept_in: Option<PathBuf>,
}

impl Player {
    /// A player at the story's beginning, or where the last start left it. `auto` is the pace at which it plays by itself.
    #[must_use]
    pub fn new(world: Arc<World>, auto: Option<f64>, kept_in: Option<PathBuf>) -> Self {
        let day = world.facts.anchor;
        let mut plan = Plan {
            performance: Performance { round: 0, day },
            is_placed: false,
            courses: steps().into_iter().map(Course::new).collect(),
            auto,
            rush: None,
        };
        let kept = kept_in.as_ref().and_then(|path| std::fs::read(path).ok());
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        if let Some(kept) = kept {
            plan.performance = Performance {
                round: kept.round,
                day: kept.day,
            };
            plan.is_placed = true;
            for course in &mut plan.courses {
                if let Some(past) = kept.steps.iter().find(|s| s.key == course.step.key) {
                    course.state = past.state;
                    course.observed = past.observed.clone();
                    course.finished = past.finished;
                }
            }
        }
        Self {
            world,
            plan: Arc::new(Mutex::new(plan)),
            changed: Arc::new(Notify::new()),
            progress: watch::Sender::new(None),
            kept_in,
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens, as it happens; a slow reader sees the newest.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.subscribe()
    }

    /// Plays until told to stop. One task per player.
    pub async fn live(&self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let next = self.next_to_play();
            tokio::select! {
                () = self.step_on(next) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// The next step and the pace at which it is wanted.
    fn next_to_play(&self) -> Option<usize> {
        let plan = self.plan();
        let next = plan.courses.iter().position(|c| !c.state.is_over())?;
        plan.pace(next).map(|_| next)
    }

    async fn step_on(&self, next: Option<usize>) {
        let Some(index) = next else {
            self.wait_for_change().await;
            return;
        };
        match self.wait_until_due(index).await {
            Ok(true) => self.perform(index).await,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the story's clock does not answer");
                sleep(Duration::from_secs(5)).await;
            }
        }
    }

    async fn wait_for_change(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if self.next_to_play().is_none() {
            changed.await;
        }
    }

    /// Moves the clock on to a step's time; `false` when it is no longer wanted.
    async fn wait_until_due(&self, index: usize) -> Result<bool, HttpError> {
        let now = self.world.clock.read().await?;
        self.place(now);
        loop {
            let (pace, due, is_first) = {
                let plan = self.plan();
                let (Some(pace), Some(course)) = (plan.pace(index), plan.courses.get(index)) else {
                    return Ok(false);
                };
                (
                    pace,
                    instant(course.step.when(plan.performance.day)),
                    index == 0,
                )
            };
            let now = self.world.clock.now();
            let left = now.duration_until(due);
            if left <= SignedDuration::ZERO {
                return Ok(true);
            }
            if pace <= 0.0 {
                self.world.clock.advance_to(due).await?;
                continue;
            }
            let morning = due - SignedDuration::from_mins(125);
            if is_first && now < morning {
                self.world.clock.advance_to(morning).await?;
                continue;
            }
            let is_night =
                !(6..22).contains(&local(now).hour()) || (is_first && left > BEFORE_FIRST);
            let pace = if is_night { pace * NIGHT_FACTOR } else { pace };
            let real_s = (left.as_secs_f64() / pace).min(SLICE.as_secs_f64());
            let changed = self.changed.notified();
            tokio::select! {
                () = sleep(Duration::from_secs_f64(real_s)) => {}
                () = changed => continue,
            }
            if pace > 1.0 {
                let by = SignedDuration::try_from_secs_f64(real_s * pace).unwrap_or(left);
                self.world.clock.advance_to(now + by.min(left)).await?;
            }
        }
    }

    /// Chooses the performance's day, once: never one that has begun.
    fn place(&self, now: Timestamp) {
        let mut plan = self.plan();
        if !plan.is_placed {
            plan.performance.day = day_for(plan.performance.day, local(now));
            plan.is_placed = true;
        }
    }

    async fn perform(&self, index: usize) {
        let (step, performance) = {
            let mut plan = self.plan();
            let performance = plan.performance;
            let Some(course) = plan.courses.get_mut(index) else {
                return;
            };
            course.state = StepState::Running;
            (course.step, performance)
        };
        self.tell(step, StepState::Running, Observed::default());
        let (state, observed) = if step.built {
            match self.world.play(step, performance).await {
                Ok(observed) => (StepState::Done, observed),
                Err(error) => {
                    tracing::warn!(step = step.key, %error, "a step of the story went otherwise");
                    let words = error.to_string();
                    (StepState::Failed, Observed::new(words.clone(), words))
                }
            }
        } else {
            let passed = Observed::new("Ikke bygget ennå", "Not built yet");
            (StepState::PassedOver, passed)
        };
        {
            let mut plan = self.plan();
            if let Some(course) = plan.courses.get_mut(index) {
                course.state = state;
                course.observed = observed.clone();
                course.finished = Some(Timestamp::now());
            }
            if plan.rush.is_some_and(|(until, _)| index >= until) {
                plan.rush = None;
            }
        }
        self.keep();
        tracing::info!(step = step.key, state = ?state, "story");
        self.tell(step, state, observed);
        self.changed.notify_waiters();
    }

    fn tell(&self, step: &'static Step, state: StepState, observed: Observed) {
        self.progress.send_replace(Some(Progress {
            key: step.key,
            state,
            observed,
        }));
    }

    fn keep(&self) {
        let Some(path) = &self.kept_in else {
            return;
        };
        let kept = {
            let plan = self.plan();
            let done = plan.courses.iter().filter(|c| c.state.is_over());
            Kept {
                round: plan.performance.round,
                day: plan.performance.day,
                steps: done.map(keep_step).collect(),
            }
        };
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        let beside = path.with_extension("new");
        let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = written {
            tracing::warn!(%error, "the story's place could not be kept");
        }
    }

    /// Whether somebody waits for steps at full speed.
    #[must_use]
    pub fn is_rushing(&self) -> bool {
        self.plan().rush.is_some_and(|(_, pace)| pace <= 0.0)
    }

    /// Whether every step is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.plan().courses.iter().all(|c| c.state.is_over())
    }

    /// Marks what was due before now as earlier; for a start that finds a hub with a past and no kept place.
    ///
    /// # Errors
    /// [`HttpError`] when the clock does not answer.
    pub async fn pass_over_the_past(&self) -> Result<(), HttpError> {
        let now = self.world.clock.read().await?;
        let mut plan = self.plan();
        if !plan.is_placed {
            let day = plan.performance.day;
            for course in &mut plan.courses {
                if instant(course.step.when(day)) <= now {
                    course.state = StepState::Earlier;
                }
            }
            plan.is_placed = true;
        }
        Ok(())
    }

    /// Begins a new performance, on the next day that has not begun.
    fn begin_again(&self) {
        let mut plan = self.plan();
        let next = plan.performance.day.checked_add(1.day());
        plan.performance = Performance {
            round: plan.performance.round.saturating_add(1),
            day: next.unwrap_or(plan.performance.day),
        };
        plan.is_placed = false;
        plan.courses = steps().into_iter().map(Course::new).collect();
        drop(plan);
        self.world.forget();
    }

    /// Plays on to and including `until` (a step's key, [`END`], or [`AGAIN`]) and answers when that is done: the steps
    /// with their states, those passed over, those that went otherwise.
    ///
    /// # Errors
    /// In words, when there is no such step.
    pub async fn play(&self, until: &str, pace: f64) -> Result<Value, String> {
        if !pace.is_finite() || pace < 0.0 {
            return Err("pace must be 0 (as fast as possible) or more".to_owned());
        }
        let life = until.split('.').next().unwrap_or_default();
        if OTHER_LIVES.contains(&life) {
            return Ok(self.answer(until, None));
        }
        if until == AGAIN {
            if !self.is_over() {
                return Err("the story is still playing; play to \"end\" first".to_owned());
            }
            self.begin_again();
        }
        let target = {
            let mut plan = self.plan();
            let last = plan.courses.len().saturating_sub(1);
            let target = match until {
                END | AGAIN => Some(last),
                key => plan.courses.iter().position(|c| c.step.key == key),
            };
            let Some(target) = target else {
                return Err(format!(
                    "there is no step {until:?}; steps are blokk.1 to blokk.{}, {END:?} and {AGAIN:?}",
                    plan.courses.len()
                ));
            };
            if plan
                .courses
                .iter()
                .take(target + 1)
                .any(|c| !c.state.is_over())
            {
                let farther = plan.rush.map_or(target, |(other, _)| other.max(target));
                plan.rush = Some((farther, pace));
            }
            target
        };
        self.changed.notify_waiters();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_done = {
                let plan = self.plan();
                plan.courses
                    .iter()
                    .take(target + 1)
                    .all(|c| c.state.is_over())
            };
            if is_done {
                return Ok(self.answer(until, Some(target)));
            }
            changed.await;
        }
    }

    fn answer(&self, until: &str, target: Option<usize>) -> Value {
        let plan = self.plan();
        let told = plan.courses.iter().take(target.map_or(0, |t| t + 1));
        let told: Vec<&Course> = told.collect();
        let keys = |state| -> Vec<&str> {
            let these = told.iter().filter(|c| c.state == state);
            these.map(|c| c.step.key).collect()
        };
        let mut passed: Vec<String> = keys(StepState::PassedOver)
            .into_iter()
            .map(str::to_owned)
            .collect();
        match until {
            END | AGAIN => passed.extend(OTHER_LIVES.iter().map(|l| format!("{l}.*"))),
            _ if target.is_none() => passed.push(until.to_owned()),
            _ => {}
        }
        json!({
            "until": until,
            "now": self.world.clock.now().to_string(),
            "day": plan.performance.day.to_string(),
            "round": plan.performance.round,
            "steps": told.iter().map(|c| view(c, plan.performance.day)).collect::<Vec<_>>(),
            "passed_over": passed,
            "failed": keys(StepState::Failed),
        })
    }

    /// All steps with their states, for the timeline.
    #[must_use]
    pub fn status(&self) -> Value {
        let plan = self.plan();
        let day = plan.performance.day;
        json!({
            "day": day.to_string(),
            "round": plan.performance.round,
            "pace": plan.rush.map(|(_, pace)| pace).or(plan.auto),
            "is_playing": plan.courses.iter().any(|c| c.state == StepState::Running)
                || (plan.auto.is_some() && plan.courses.iter().any(|c| !c.state.is_over())),
            "is_over": plan.courses.iter().all(|c| c.state.is_over()),
            "steps": plan.courses.iter().map(|c| view(c, day)).collect::<Vec<_>>(),
            "passed_over": OTHER_LIVES,
        })
    }
}

impl Plan {
    fn pace(&self, index: usize) -> Option<f64> {
        match self.rush {
            Some((until, pace)) if index <= until => Some(pace),
            _ => self.auto,
        }
    }
}

fn keep_step(course: &Course) -> KeptStep {
    KeptStep {
        key: course.step.key.to_owned(),
        state: course.state,
        observed: course.observed.clone(),
        finished: course.finished,
    }
}

fn view(course: &Course, day: Date) -> Value {
    let step = course.step;
    let when = step.when(day);
    json!({
        "key": step.key,
        "person": step.person,
        "title": step.title,
        "title_en": step.title_en,
        "when": instant(when).to_string(),
        "local": when.to_string(),
        "kind": step.kind,
        "actor": step.actor,
        "built": step.built,
        "state": course.state,
        "observed": course.observed.nb,
        "observed_en": course.observed.en,
        "finished": course.finished.map(|t| t.to_string()),
    })
}
