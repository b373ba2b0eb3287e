//! The story's clock, asked for and moved over HTTP like anybody would (spec/story.md §1).

use crate::http::{Http, HttpError};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::json;
use std::sync::atomic::{AtomicI64, Ordering};

/// The story's clock as seen from outside.
#[derive(Debug)]
pub struct StoryClock {
    http: Http,
    url: String,
    /// Story time minus real time, milliseconds, as last told.
    offset_ms: AtomicI64,
}

impl StoryClock {
    /// A clock that has not been asked yet.
    #[must_use]
    pub fn new(http: Http, base: &str) -> Self {
        Self {
            http,
            url: format!("{base}/demo/clock"),
            offset_ms: AtomicI64::new(0),
        }
    }

    /// Asks the hub.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn read(&self) -> Result<Timestamp, HttpError> {
        let answer = self.http.get_json(&self.url).await?;
        self.note(&answer)
    }

    fn note(&self, answer: &serde_json::Value) -> Result<Timestamp, HttpError> {
        let told = answer.get("now").and_then(serde_json::Value::as_str);
        let now: Timestamp = told
            .and_then(|t| t.parse().ok())
            .ok_or_else(|| HttpError::unexpected(&self.url, "no time in the answer"))?;
        let offset = now.as_millisecond() - Timestamp::now().as_millisecond();
        self.offset_ms.store(offset, Ordering::Relaxed);
        Ok(now)
    }

    /// Moves the clock forward to this moment; answers when everything due until then has run. A moment that has passed changes nothing.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn advance_to(&self, to: Timestamp) -> Result<(), HttpError> {
        let now = self.read().await?;
        let by_ms = to.as_millisecond() - now.as_millisecond();
        if by_ms <= 0 {
            return Ok(());
        }
        let by = format!("PT{}.{:03}S", by_ms / 1_000, by_ms % 1_000);
        let answer = self
            .http
            .post_json(&self.url, &json!({ "advance": by }))
            .await?;
        self.note(&answer).map(|_| ())
    }

    /// Now in the story, by what the hub last told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let real = Timestamp::now().as_millisecond();
        let offset = self.offset_ms.load(Ordering::Relaxed);
        Timestamp::from_millisecond(real.saturating_add(offset)).unwrap_or_default()
    }
}

/// A local time in Norway as an instant.
#[must_use]
pub fn instant(local: DateTime) -> Timestamp {
    local
        .to_zoned(edi::value::norway())
        .or_else(|_| local.to_zoned(TimeZone::UTC))
        .map(|zoned| zoned.timestamp())
        .unwrap_or_default()
}

/// An instant as local time in Norway.
#[must_use]
pub fn local(at: Timestamp) -> DateTime {
    at.to_zoned(edi::value::norway()).datetime()
}
