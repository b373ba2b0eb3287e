//! Tracks that were just written: most messages are settled within moments, and their track is then not read again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::tracks::Stored;

/// Tracks remembered, a kilobyte or two each.
const MOST: usize = 4_096;

/// The newest version written here of some tracks. Somebody else may have written a newer one: who changes a track expects
/// the version it was given, and reads anew when that is refused.
#[derive(Default)]
pub(crate) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<String, Stored>,
    order: VecDeque<String>,
}

impl Recent {
    /// Remembers a track as written.
    pub fn put(&self, mut stored: Stored) {
        // What that version added has been counted with it.
        stored.track.news.clear();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let id = stored.track.id.clone();
        if inner.by_id.insert(id.clone(), stored).is_none() {
            inner.order.push_back(id);
        }
        // Ids of tracks that were taken meanwhile stand here as well.
        while inner.order.len() > MOST {
            if let Some(oldest) = inner.order.pop_front() {
                inner.by_id.remove(&oldest);
            }
        }
    }

    /// Takes a track out: it is about to change.
    pub fn take(&self, id: &str) -> Option<Stored> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_id.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::track::Track;
    use store::Vno;

    fn stored(id: usize, vno: u32) -> Stored {
        let track = Track {
            id: id.to_string(),
            ..Track::default()
        };
        Stored {
            track,
            vno: Vno(vno),
        }
    }

    #[test]
    fn the_newest_is_given_once_and_the_oldest_are_forgotten() {
        let recent = Recent::default();
        recent.put(stored(1, 1));
        recent.put(stored(1, 2));
        assert_eq!(recent.take("1").map(|stored| stored.vno), Some(Vno(2)));
        assert!(recent.take("1").is_none());
        for n in 0..MOST + 10 {
            recent.put(stored(n, 1));
        }
        assert!(recent.take("0").is_none());
        assert!(recent.take(&(MOST + 9).to_string()).is_some());
        let inner = recent.inner.lock().unwrap();
        assert!(inner.by_id.len() <= MOST && inner.order.len() <= MOST);
    }
}
