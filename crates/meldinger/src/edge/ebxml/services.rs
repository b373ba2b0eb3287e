//! Questions to the hub's message handler itself: is it there, and what became of a message (ebMS 2.0 §7 and §8).
//!
//! Only who has signed is answered by mail, and only about its own messages: an unsigned question would fill another's mailbox, and an
//! answer about others' messages would tell that they exist.

use ebxml::envelope::{Envelope, MessageStatus, Service, StatusResponse};
use ebxml::finding::{Level, heaviest};
use ebxml::package::{Received, Via};
use ebxml::signal;
use uuid::Uuid;

use super::MessageHandler;
use super::checks::Judged;
use super::receive::Reply;
use crate::exchange::ExchangeError;
use crate::port::Road;
use crate::rules::envelope::organisation_of;
use crate::rules::track::{State, Step, StepKind, Track};

impl MessageHandler {
    /// Answers a question. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn serve(
        &self,
        received: &Received,
        asked: &Service,
        judged: &Judged,
        via: Via,
    ) -> Result<Reply, ExchangeError> {
        if matches!(asked, Service::Pong | Service::StatusResponse(_)) {
            return Ok(Reply::Nothing);
        }
        let is_sound = heaviest(&judged.findings) < Some(Level::Error);
        let from = judged.from.as_ref().filter(|_| judged.checked.is_some());
        let Some(from) = from.filter(|_| is_sound) else {
            metrics::counter!("meldinger_ebxml_unproven_total").increment(1);
            return Ok(match via {
                Via::Mail => Reply::Nothing,
                // The response reaches nobody but who asked.
                Via::Http => self.errors(received, &judged.findings),
            });
        };
        let header = &received.envelope.header;
        let id = Uuid::new_v4().to_string();
        let now = self.now_us();
        let answer: Envelope = match asked {
            Service::StatusRequest { about } => {
                let response = self.status_of(about, organisation_of(from))?;
                signal::status_response(header, response, &id, now)
            }
            _ => signal::pong(header, &id, now),
        };
        Ok(self.reply(&answer))
    }

    fn status_of(&self, about: &str, asks: u32) -> Result<StatusResponse, ExchangeError> {
        let found = if about.is_empty() {
            Vec::new()
        } else {
            self.exchange().by_transport_id(about)?
        };
        let own = found
            .into_iter()
            .filter(|track| track.from_organisation == asks)
            .find_map(|track| Some((status(&track)?, track.received_at_us)));
        Ok(match own {
            Some((status, received_at_us)) => StatusResponse {
                about: about.to_owned(),
                status: Some(status),
                received: Some(signal::stamp(received_at_us)),
            },
            None => StatusResponse {
                about: about.to_owned(),
                status: Some(MessageStatus::NotRecognized),
                received: None,
            },
        })
    }
}

/// What the words of ebMS say of a message; nothing for one that was never taken.
fn status(track: &Track) -> Option<MessageStatus> {
    let was_refused = |step: &Step| matches!(step.what, StepKind::Refused { .. });
    match (&track.state, track.road) {
        (State::Dropped { .. }, _) => None,
        // Answered with an error list: it is not here.
        (State::Failed { .. }, _) if track.steps.iter().any(was_refused) => None,
        (_, Road::Mail) => Some(MessageStatus::Forwarded),
        (State::Queued, _) => Some(MessageStatus::Received),
        _ => Some(MessageStatus::Processed),
    }
}
