//! Which road leads to a receiver (spec/messaging.md §6.3).

use registers::directory::Party;
use store::{Commit, CommitError, Direction, KeyRange};

use super::settings::Settings;
use crate::exchange::{ATTEMPTS, Exchange, ExchangeError};
use crate::port::Road;
use crate::rules::envelope::organisation_of;
use crate::rules::track::{State, StepKind, Track};
use crate::tracks::param;

/// How EDI addresses of the service's own users begin, in the address register.
pub(crate) const SERVICE_ADDRESS: &str = "meldingstjener-api@";

/// Most of a party's newest messages that are looked through when it moves to the interface.
const MAX_TAKEN_OVER: usize = 2_000;

/// Decides roads. Cheap to clone.
#[derive(Clone)]
pub struct Roads {
    exchange: Exchange,
    settings: Settings,
    hub: u32,
    has_handler: bool,
}

impl Roads {
    /// `has_handler`: the hub runs an ebXML message handler that empties [`Road::Handler`].
    #[must_use]
    pub fn new(exchange: &Exchange, has_handler: bool) -> Self {
        Self {
            exchange: exchange.clone(),
            settings: Settings::new(exchange),
            hub: exchange.inner.config.hub_her_id,
            has_handler,
        }
    }

    /// Whether a party reads its messages through the REST interface: its EDI address says so, it has set itself up (version
    /// 3), or it has asked for its messages before (version 2).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_api(&self, party: &Party) -> Result<bool, ExchangeError> {
        let address = party.edi_address.trim_start_matches("mailto:");
        Ok(address.starts_with(SERVICE_ADDRESS) || self.settings.get(party.her_id)?.is_some())
    }

    /// The road to a party for a message in clear.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn to(&self, party: &Party) -> Result<Road, ExchangeError> {
        if party.hub_run || organisation_of(party) == self.hub {
            return Ok(Road::Hub);
        }
        // Without a handler what is for others waits in the box until they come for it.
        if !self.has_handler || self.is_api(party)? {
            return Ok(Road::Api);
        }
        Ok(Road::Handler)
    }

    /// Notes that a party reads through version 2.
    pub(crate) fn reads(&self, her_id: u32, client: &str) -> Result<(), ExchangeError> {
        if self.settings.get(her_id)?.is_none() {
            self.settings.put_first(her_id, client)?;
            self.take_over(her_id)?;
        }
        Ok(())
    }

    /// A party has moved to the interface: what was sent to it by ebXML and nobody has acknowledged is put into its box.
    pub(crate) fn take_over(&self, her_id: u32) -> Result<(), ExchangeError> {
        let inner = &self.exchange.inner;
        let Some(party) = inner.directory.party(her_id) else {
            return Ok(());
        };
        let organisation = organisation_of(&party).to_be_bytes();
        let range = KeyRange::prefix(param::PARTY, &organisation);
        let newest = inner
            .tracks
            .scan(&range, Direction::Descending, None, MAX_TAKEN_OVER)?;
        for (_, stored) in newest {
            let id = stored.track.id.clone();
            let mut found = Some(stored);
            for _ in 0..ATTEMPTS {
                let Some(mut stored) = found.take().filter(|s| waits(&s.track, her_id)) else {
                    break;
                };
                let track = &mut stored.track;
                track.road = Road::Api;
                track.is_unread = true;
                track.next_attempt_us = None;
                track.state = State::Queued;
                track.queue = format!("api:{her_id}");
                let queue = track.queue.clone();
                track.step(inner.clock.now_us(), StepKind::Queued { queue }, "");
                let (expect, put) = inner.tracks.update(&stored);
                let commit = Commit {
                    expect: vec![expect],
                    put: vec![put],
                    ..Commit::default()
                };
                match inner.store.commit(commit) {
                    Ok(_) => break,
                    Err(CommitError::Refused { .. }) => found = inner.tracks.get(&id)?,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Whether a message to a party is on the way by ebXML, and nobody has acknowledged it.
fn waits(track: &Track, her_id: u32) -> bool {
    track.to == her_id
        && track.road == Road::Handler
        && matches!(track.state, State::Queued | State::Collected)
}
