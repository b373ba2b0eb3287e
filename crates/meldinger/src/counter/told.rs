//! What one version of a track tells the counter: as it was written just now, or read from the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use store::Seq;

use crate::port::{Schema, Transport};
use crate::rules::track::{News, Track};

/// Versions remembered, some hundred bytes each. Those forgotten are read from the log.
const MOST: usize = 32_768;

/// The part of a track that is counted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Told {
    #[serde(default)]
    pub transport: Transport,
    pub subject: String,
    pub from: u32,
    pub from_organisation: u32,
    pub to: u32,
    pub to_organisation: u32,
    pub bytes: u64,
    #[serde(default)]
    pub schema: Option<Schema>,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub news: Vec<News>,
}

impl From<&Track> for Told {
    fn from(track: &Track) -> Self {
        Self {
            transport: track.transport,
            subject: track.subject.clone(),
            from: track.from,
            from_organisation: track.from_organisation,
            to: track.to,
            to_organisation: track.to_organisation,
            bytes: track.bytes,
            schema: track.schema.clone(),
            system: track.system.clone(),
            news: track.news.clone(),
        }
    }
}

/// What was written by this process just now, by place in the log, so that the counter need not read it.
#[derive(Default)]
pub(crate) struct JustTold(Mutex<HashMap<u64, Told>>);

impl JustTold {
    pub fn put(&self, seq: Seq, told: Told) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The counter is far behind, or there is none.
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(seq.0, told);
    }

    pub fn take(&self, seq: Seq) -> Option<Told> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&seq.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::track::StepKind;

    #[test]
    fn the_log_tells_the_same_as_the_track() {
        let mut track = Track {
            subject: "DIALOG_NOTAT".to_owned(),
            from: 1,
            from_organisation: 2,
            to: 3,
            to_organisation: 4,
            bytes: 5,
            system: Some("EPJ 1.0".to_owned()),
            ..Track::default()
        };
        track.step(6, StepKind::Received { bytes: 5 }, "");
        track.fail("expired");
        assert!(!track.news.is_empty());
        let logged = serde_json::to_vec(&track).unwrap();
        let told: Told = serde_json::from_slice(&logged).unwrap();
        assert_eq!(told, Told::from(&track));
    }

    #[test]
    fn it_is_told_once_and_never_grows_without_end() {
        let told = Told::from(&Track::default());
        let just = JustTold::default();
        for seq in 0..MOST as u64 + 10 {
            just.put(Seq(seq), told.clone());
        }
        assert!(just.take(Seq(3)).is_none());
        assert_eq!(just.take(Seq(MOST as u64 + 5)), Some(told));
        assert!(just.take(Seq(MOST as u64 + 5)).is_none());
        assert!(just.0.lock().unwrap().len() <= MOST);
    }
}
