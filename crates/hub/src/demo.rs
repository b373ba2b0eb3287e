//! Demo control from outside (DESIGN §4): the story clock and the story itself. Absent outside demo mode.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Clock, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;

/// Plays the story; given by the binary, so that the hub knows no actors.
pub trait StoryDriver: Send + Sync {
    /// Plays on to and including `until` (story key and row, e.g. `blokk.11`, or `end`); answers when it is done.
    fn play(
        &self,
        until: String,
        pace: f64,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;
    /// Steps with their states, for the timeline page.
    fn status(&self) -> Value;
    /// Sends one message that is wrong on purpose (`B01` …); what is wrong, what must come back and what came.
    fn bad_case(&self, id: String) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;
}

/// What the demo routes need.
#[derive(Clone)]
pub struct Demo {
    /// The rules' clock.
    pub clock: Clock,
    /// Keeps the offset; called after every move.
    pub keep_offset: Arc<dyn Fn(i64) -> Result<(), String> + Send + Sync>,
    /// Runs everything that is due by now.
    pub run_due: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// The story.
    pub story: Arc<dyn StoryDriver>,
    /// facts.json, as served and as written to the data folder.
    pub facts: Arc<Value>,
    /// Keeps the traces of recent decisions.
    pub trust: Arc<trust::Trust>,
}

const MAX_ADVANCE_US: i64 = 20 * 366 * 86_400_000_000;

/// `/demo/clock`, `/demo/story`, `/demo/facts.json`.
pub fn router(demo: Demo) -> Router {
    Router::new()
        .route("/demo/clock", get(now).post(advance))
        .route("/demo/story", get(status))
        .route("/demo/story", post(play))
        .route("/demo/bad/{case}", post(bad_case))
        .route("/demo/facts.json", get(facts))
        .route("/demo/explain/{event}", get(explain))
        .with_state(demo)
}

fn now_of(demo: &Demo) -> Value {
    let now = jiff::Timestamp::from_microsecond(demo.clock.now_us()).unwrap_or_default();
    json!({ "now": now.to_string(), "offset_seconds": demo.clock.offset_us() / 1_000_000 })
}

async fn now(State(demo): State<Demo>) -> Json<Value> {
    Json(now_of(&demo))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance: String,
}

async fn advance(
    State(demo): State<Demo>,
    Json(body): Json<Advance>,
) -> Result<Json<Value>, Problem> {
    edge::blocking(move || demo.advance(&body.advance).map(Json)).await?
}

impl Demo {
    /// Moves the clock forward by an ISO 8601 duration and runs everything due until then. Blocking.
    pub fn advance(&self, duration: &str) -> Result<Value, Problem> {
        let how = "give a duration as ISO 8601, e.g. {\"advance\":\"PT96H\"}";
        let span: jiff::Span = duration.parse().map_err(|_| Problem::bad_request(how))?;
        let by = span
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .map_err(|_| Problem::bad_request(how))?
            .as_micros();
        let by = i64::try_from(by)
            .ok()
            .filter(|by| (0..=MAX_ADVANCE_US).contains(by));
        let Some(by) = by else {
            return Err(Problem::bad_request(
                "the clock moves forward only, at most 20 years",
            ));
        };
        let offset = self.clock.advance(by.unsigned_abs());
        (self.keep_offset)(offset)
            .and_then(|()| (self.run_due)())
            .map_err(|error| {
                tracing::error!(%error, "moving the clock failed");
                Problem::internal()
            })?;
        Ok(now_of(self))
    }
}

async fn explain(
    State(demo): State<Demo>,
    axum::extract::Path(event): axum::extract::Path<uuid::Uuid>,
) -> Result<Json<Value>, Problem> {
    let traces = demo.trust.traces(event);
    if traces.is_empty() {
        Err(Problem::not_found())
    } else {
        Ok(Json(json!({ "event": event, "decisions": traces })))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    #[serde(default)]
    pace: f64,
    until: String,
}

async fn play(State(demo): State<Demo>, Json(body): Json<Play>) -> Result<Json<Value>, Problem> {
    demo.story
        .play(body.until, body.pace)
        .await
        .map(Json)
        .map_err(Problem::bad_request)
}

async fn bad_case(
    State(demo): State<Demo>,
    axum::extract::Path(case): axum::extract::Path<String>,
) -> Result<Json<Value>, Problem> {
    let case = case.chars().take(8).collect();
    demo.story
        .bad_case(case)
        .await
        .map(Json)
        .map_err(Problem::bad_request)
}

async fn status(State(demo): State<Demo>) -> Json<Value> {
    Json(demo.story.status())
}

async fn facts(State(demo): State<Demo>) -> Json<Value> {
    Json((*demo.facts).clone())
}
