//! Mails made here: signals, faults, and what is passed on.

use bytes::Bytes;
use ebxml::envelope::Envelope;
use ebxml::package::{MailFields, Outgoing};
use registers::directory::Party;
use uuid::Uuid;

use super::MessageHandler;
use super::addresses::address_of;
use crate::exchange::ExchangeError;
use crate::port::{Relay, TransportOutcome};
use crate::rules::envelope::organisation_of;

impl MessageHandler {
    /// A signal, signed; nothing when it could not be (which only a broken key does).
    pub(super) fn signed(&self, envelope: &Envelope) -> Option<Outgoing> {
        match Outgoing::sign(envelope, Vec::new(), &self.signing_key()) {
            Ok(signed) => Some(signed),
            Err(error) => {
                tracing::error!(%error, "a signal could not be signed");
                None
            }
        }
    }

    /// A message as mail from one party to the other, for the receiver's mailbox.
    pub(super) fn mail_to(
        &self,
        from: &Party,
        to: &Party,
        outgoing: &Outgoing,
        subject: &str,
        in_reply_to: Option<&str>,
    ) -> Option<Relay> {
        let mail = outgoing.mail(&MailFields {
            from: &address_of(from)?,
            to: &address_of(to)?,
            subject,
            message_id: &format!("{}@{}", Uuid::new_v4(), self.inner.host),
            in_reply_to,
            at_us: self.now_us(),
        });
        Some(Relay {
            organisation: organisation_of(to),
            mail: Bytes::from(mail),
        })
    }

    /// A fault as mail; nothing when the address is not one of ours.
    pub(super) fn fault_mail(
        &self,
        from: &str,
        to: &str,
        fault: &Outgoing,
        in_reply_to: Option<&str>,
    ) -> Option<Relay> {
        let organisation = self.inner.addresses.organisation(to)?;
        let mail = fault.mail(&MailFields {
            from,
            to,
            subject: "SOAP Fault",
            message_id: &format!("{}@{}", Uuid::new_v4(), self.inner.host),
            in_reply_to,
            at_us: self.now_us(),
        });
        Some(Relay {
            organisation,
            mail: Bytes::from(mail),
        })
    }

    /// Puts a mail that is no message of its own into a mailbox. Blocks.
    pub(super) fn put(&self, relay: &Relay) -> Result<(), ExchangeError> {
        let outcome = TransportOutcome::Acknowledged;
        // About no message: nothing but the mail is written.
        self.exchange()
            .transport_receipt("", 0, 0, &outcome, Some(relay))
            .map(|_| ())
    }
}
