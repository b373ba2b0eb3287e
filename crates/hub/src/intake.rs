//! Joins the message exchange with the services that take in messages: neither knows the other.

use meldinger::{Answer, HandleError, HubReceiver, OpenedMessage, Outcome};
use records::intake::{self, Receiver};
use std::sync::Arc;
use trust::Trust;

struct Adapter {
    trust: Arc<Trust>,
    receiver: Arc<dyn Receiver>,
    production: bool,
}

/// The services' receivers as the exchange wants them.
pub fn adapters(
    trust: Arc<Trust>,
    receivers: Vec<Arc<dyn Receiver>>,
    production: bool,
) -> Vec<Arc<dyn HubReceiver>> {
    receivers
        .into_iter()
        .map(|receiver| {
            Arc::new(Adapter {
                trust: trust.clone(),
                receiver,
                production,
            }) as Arc<dyn HubReceiver>
        })
        .collect()
}

impl HubReceiver for Adapter {
    fn her_id(&self) -> u32 {
        self.receiver.her_id()
    }

    fn handle(&self, message: &OpenedMessage) -> Result<Outcome, HandleError> {
        let retry = |error: store::StoreError| {
            tracing::error!(receiver = self.receiver.name(), %error, "intake failed, will be tried again");
            HandleError::Retry(format!(
                "{} could not take the message now",
                self.receiver.name()
            ))
        };
        let snapshot = self.trust.store().snapshot().map_err(retry)?;
        let opened = intake::OpenedMessage {
            from_her_id: message.from,
            to_her_id: message.to,
            subject: message.subject.clone(),
            content: message.content.clone(),
            signer_orgnr: message
                .signer
                .as_ref()
                .and_then(|c| c.organisation_number().map(str::to_owned)),
            now: self.trust.now(),
            production: self.production,
        };
        let intake = self.receiver.receive(&snapshot, &opened).map_err(retry)?;
        let outcome = match &intake.answer {
            intake::Answer::Receipt { .. } => "receipt",
            intake::Answer::TransportError(_) => "transport_error",
            intake::Answer::Nothing { .. } => "nothing",
        };
        metrics::counter!("helsenav_intake_total", "receiver" => self.receiver.name(), "answer" => outcome).increment(1);
        Ok(Outcome {
            answer: match intake.answer {
                intake::Answer::Receipt { status, errors } => Answer::Receipt { status, errors },
                intake::Answer::TransportError(error) => Answer::TransportError(error),
                intake::Answer::Nothing { reason } => Answer::Nothing { reason },
            },
            effect: intake.commit,
            notes: intake
                .notes
                .into_iter()
                .map(|n| format!("{}: {}", n.code, n.text_nb))
                .collect(),
        })
    }
}
