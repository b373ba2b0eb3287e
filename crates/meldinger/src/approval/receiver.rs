//! The hub's test party as receiver: it reads what vendors send to it and the receipts that come back, and notes both in their runs.
//! Whoever sends without a run is answered by the validator's rules all the same (spec/messaging.md §9.2, addressed recipient).

use edi::apprec::Status;
use edi::check::{Envelope, Transport as CheckTransport, Verdict};
use edi::errorqueue::TransportError;
use store::Commit;

use super::Approvals;
use super::judge::{self, Between};
use super::model::{Judged, Run, SeenReceipt};
use super::records::Stored;
use super::standard::{Case, Direction};
use crate::port::Transport;
use crate::receivers::{Answer, HandleError, HubReceiver, Notice, OpenedMessage, Outcome};
use crate::rules::envelope::APPREC;
use crate::rules::track::Track;

/// Runs of one HER-id that are looked through.
const MAX_RUNS: usize = 50;

/// The receiver.
pub(super) struct TestParty(pub Approvals);

fn retry(error: impl std::fmt::Display) -> HandleError {
    tracing::error!(%error, "the approval's records are not available");
    HandleError::Retry("the approval's records are not available".to_owned())
}

impl TestParty {
    fn open_runs(
        &self,
        her_id: u32,
        direction: Direction,
    ) -> Result<Vec<Stored<Run>>, HandleError> {
        let mut runs = self
            .0
            .inner
            .records
            .open_runs(her_id, direction)
            .map_err(retry)?;
        runs.truncate(MAX_RUNS);
        Ok(runs)
    }

    /// The newest open sending run that this is meant for: of its transport, with its standard by namespace or function.
    fn sending_run(
        &self,
        from: u32,
        transport: Transport,
        function: &str,
        namespace: Option<&str>,
    ) -> Result<Option<Stored<Run>>, HandleError> {
        let mut runs = self.open_runs(from, Direction::Send)?;
        runs.retain(|stored| stored.value.transport == transport);
        let by_namespace = runs
            .iter()
            .position(|stored| Some(stored.value.standard.namespace()) == namespace);
        let by_function = || {
            runs.iter()
                .position(|stored| stored.value.standard.functions().contains(&function))
        };
        Ok(by_namespace
            .or_else(by_function)
            .map(|place| runs.swap_remove(place)))
    }

    fn note_judged(&self, mut stored: Stored<Run>, judged: Judged) -> Commit {
        if stored.value.note_judged(judged) {
            self.0.inner.records.change_run(&stored)
        } else {
            Commit::default()
        }
    }

    /// A receipt: of the run in which the message it names was sent; else noted where somebody waits for one.
    fn receipt(
        &self,
        track: &Track,
        opened: Result<&OpenedMessage, &TransportError>,
    ) -> Result<Commit, HandleError> {
        let mut runs = self.open_runs(track.from, Direction::Receive)?;
        let approvals = &self.0.inner;
        let original = match opened {
            Ok(opened) => opened.header.ref_to_parent.clone(),
            Err(_) => None,
        };
        let original = original.map(|id| id.trim().to_owned()).unwrap_or_default();
        let named = runs
            .iter()
            .position(|stored| stored.value.case_of(&original).is_some());
        // One that names nothing known counts against the newest run of its transport.
        let place = named.or_else(|| {
            runs.iter()
                .position(|stored| stored.value.transport == track.transport)
        });
        let Some(place) = place else {
            return Ok(Commit::default());
        };
        let mut stored = runs.swap_remove(place);
        let run = &mut stored.value;
        let mut case = run.case_of(&original);
        let receipt = match opened {
            Err(error) => {
                judge::sealed_receipt(&track.id, track.received_at_us, error.condition.as_str())
            }
            Ok(opened) => {
                let checked = (approvals.check)(&opened.content, None);
                let between = Between {
                    vendor: run.system.her_id,
                    hub: approvals.config.her_id,
                };
                let sent = case.and_then(|case| run.case(case)).map(|case| &case.sent);
                let read = judge::receipt(&checked, run.standard, between, sent);
                SeenReceipt {
                    track: track.id.clone(),
                    at_us: track.received_at_us,
                    ..read
                }
            }
        };
        let mut receipt = receipt;
        if case.is_none() && is_of_unreadable(run, &receipt) {
            // Who could not read the message cannot name it.
            receipt
                .findings
                .retain(|finding| finding.criterion != "R-A03");
            case = Some(Case::NotWellFormed);
        }
        Ok(if run.note_receipt(case, receipt) {
            approvals.records.change_run(&stored)
        } else {
            Commit::default()
        })
    }
}

/// A rejection for broken XML while the answer to broken XML is awaited.
fn is_of_unreadable(run: &Run, receipt: &SeenReceipt) -> bool {
    let is_rejection = receipt.status.as_deref() == Some("2")
        && receipt
            .codes
            .iter()
            .any(|code| code == "T01" || code == "T02");
    is_rejection
        && run
            .case(Case::NotWellFormed)
            .is_some_and(|case| case.receipts.is_empty() && !case.sent.tracks.is_empty())
}

impl HubReceiver for TestParty {
    fn her_id(&self) -> u32 {
        self.0.inner.config.her_id
    }

    fn handle(&self, message: &OpenedMessage) -> Result<Outcome, HandleError> {
        let approvals = &self.0.inner;
        let envelope = Envelope {
            from_her_id: message.from,
            to_her_id: message.to,
        };
        let checked = (approvals.check)(&message.content, Some(envelope));
        let track = approvals
            .exchange
            .facts(&message.track)
            .map_err(retry)?
            .unwrap_or_default();
        let namespace = checked
            .identified
            .payload_namespace
            .as_deref()
            .unwrap_or(&checked.identified.root_namespace);
        let stored = self.sending_run(
            message.from,
            track.transport,
            &message.subject,
            Some(namespace),
        )?;
        let effect = match stored {
            None => Commit::default(),
            Some(stored) => {
                let run = &stored.value;
                let judged = judge::message(&checked, run.standard, &message.subject, &run.judged);
                let judged = Judged {
                    track: message.track.clone(),
                    at_us: message.received_at_us,
                    ..judged
                };
                self.note_judged(stored, judged)
            }
        };
        let transport = match track.transport {
            Transport::Amqp | Transport::Hub => CheckTransport::Amqp,
            Transport::Ebxml => CheckTransport::Ebxml,
            Transport::Rest => CheckTransport::Api,
        };
        let answer = match checked.verdict(transport) {
            Verdict::Accept { .. } => Answer::Receipt {
                status: Status::Ok,
                errors: Vec::new(),
            },
            Verdict::Reject { errors, .. } => Answer::Receipt {
                status: Status::Rejected,
                errors,
            },
            Verdict::TransportError { error, .. } => Answer::TransportError(error),
            Verdict::Drop { .. } | Verdict::NotOpened => Answer::Nothing {
                reason: "nothing that is answered".to_owned(),
            },
        };
        Ok(Outcome {
            answer,
            effect,
            notes: Vec::new(),
        })
    }

    fn wants_notices(&self) -> bool {
        true
    }

    fn notice(&self, notice: &Notice<'_>) -> Result<Commit, HandleError> {
        let track = notice.track;
        if track.subject == APPREC {
            return self.receipt(track, notice.opened);
        }
        let Err(error) = notice.opened else {
            return Ok(Commit::default());
        };
        let stored = self.sending_run(track.from, track.transport, &track.subject, None)?;
        let Some(stored) = stored else {
            return Ok(Commit::default());
        };
        let judged =
            judge::unreadable(&track.subject, error.condition.as_str(), &error.description);
        let judged = Judged {
            track: track.id.clone(),
            at_us: track.received_at_us,
            ..judged
        };
        Ok(self.note_judged(stored, judged))
    }
}
