//! Counts and times of requests, with the handles of the metrics kept: looking one up by its labels for every request costs
//! more than the counting.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Metrics of one repository.
pub(super) struct Meters {
    repository: String,
    known: RwLock<HashMap<(&'static str, u16), Pair>>,
}

#[derive(Clone)]
struct Pair {
    requests: metrics::Counter,
    seconds: metrics::Histogram,
}

impl Meters {
    pub(super) fn new(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            known: RwLock::default(),
        }
    }

    /// One request answered.
    pub(super) fn count(&self, interaction: &'static str, status: u16, seconds: f64) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let pair = known.get(&(interaction, status)).cloned();
        drop(known);
        let pair = pair.unwrap_or_else(|| self.learn(interaction, status));
        pair.requests.increment(1);
        pair.seconds.record(seconds);
    }

    fn learn(&self, interaction: &'static str, status: u16) -> Pair {
        let repository = self.repository.clone();
        let pair = Pair {
            requests: metrics::counter!("helsenav_fhir_requests_total", "repository" => repository.clone(), "interaction" => interaction, "status" => status.to_string()),
            seconds: metrics::histogram!("helsenav_fhir_request_seconds", "repository" => repository, "interaction" => interaction),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert((interaction, status), pair.clone());
        pair
    }
}
