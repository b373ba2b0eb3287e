//! Sending: receipts of the hub's receivers and messages of the API's users, each until it is acknowledged or given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use ebxml::envelope::{
    AckRequested, Envelope, Kind, ManifestReference, MessageHeader, Party as EbParty,
};
use ebxml::package::{MailFields, Outgoing as Message, encrypted_attachment, sent_again};
use ebxml::payload::{self, Form};
use ebxml::{names, signal};
use uuid::Uuid;
use xmlsec::x509::Certificate;

use super::MessageHandler;
use super::addresses::address_of;
use super::checks::default_cpa;
use crate::exchange::ExchangeError;
use crate::port::{Ladder, Outgoing, Relay};
use crate::rules::envelope::{APPREC, organisation_of};
use crate::rules::track::Track;

/// Messages taken at a time.
const BATCH: usize = 20;
/// How often we look.
const EVERY: Duration = Duration::from_secs(1);

/// The thread that sends. Stops when dropped.
pub struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Starts it.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(handler: MessageHandler) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let work = move || {
            while !is_over.load(Ordering::Acquire) {
                if let Err(error) = handler.send_due() {
                    tracing::error!(%error, "ebXML messages not sent; they will be tried again");
                }
                std::thread::park_timeout(EVERY);
            }
        };
        let thread = std::thread::Builder::new()
            .name("ebxml-utsending".to_owned())
            .spawn(work)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// What goes out.
struct Prepared {
    message_id: String,
    relay: Relay,
}

impl MessageHandler {
    /// Sends what is due now; returns how many went out. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn send_due(&self) -> Result<usize, ExchangeError> {
        let mut sent = 0;
        for outgoing in self.exchange().outgoing_due(BATCH)? {
            let prepared = match &outgoing.prepared {
                Some(mail) => self.again(&outgoing, mail),
                None => self.prepare(&outgoing),
            };
            let Prepared { message_id, relay } = match prepared {
                Ok(prepared) => prepared,
                Err(why) => {
                    self.exchange().outgoing_given_up(&outgoing.track.id, why)?;
                    continue;
                }
            };
            let ladder = self.ladder(&outgoing.track);
            let is_out = self.exchange().outgoing_sent(
                &outgoing,
                &message_id,
                &relay.mail,
                Some(&relay),
                &ladder,
            )?;
            sent += usize::from(is_out);
        }
        Ok(sent)
    }

    /// By agreement: 4 times, every 12 hours, given up after 4 days, which is what every CPA of the registry says; otherwise the sector's.
    fn ladder(&self, track: &Track) -> Ladder {
        const HOUR_US: i64 = 3_600_000_000;
        let cpa_id = track.cpa_id.as_deref().unwrap_or_default();
        match self.agreement(cpa_id) {
            Some(Some(_)) => Ladder {
                interval_us: 12 * HOUR_US,
                retries: 4,
                give_up_us: 96 * HOUR_US,
            },
            _ => Ladder::default(),
        }
    }

    fn mail_id(&self, message_id: &str, attempt: u32) -> String {
        format!("{message_id}.{attempt}@{}", self.inner.host)
    }

    /// The same message once more.
    fn again(&self, outgoing: &Outgoing, mail: &Bytes) -> Result<Prepared, &'static str> {
        let track = &outgoing.track;
        let mail_id = self.mail_id(&track.message_id, outgoing.attempt);
        Ok(Prepared {
            message_id: track.message_id.clone(),
            relay: Relay {
                organisation: track.to_organisation,
                mail: Bytes::from(sent_again(mail, &mail_id, self.now_us())),
            },
        })
    }

    fn prepare(&self, outgoing: &Outgoing) -> Result<Prepared, &'static str> {
        let track = &outgoing.track;
        let directory = &self.exchange().inner.directory;
        let to = directory
            .party(track.to)
            .ok_or("the receiver is no longer in the address register")?;
        let from = directory
            .party(track.from)
            .ok_or("the sender is no longer in the address register")?;
        let (Some(from_address), Some(to_address)) = (address_of(&from), address_of(&to)) else {
            return Err("sender or receiver has no EDI address in the address register");
        };
        if self.inner.addresses.organisation(&to_address).is_none() {
            return Err("the receiver's EDI address has no mailbox here");
        }
        let certificate = to
            .encryption_certificate
            .as_deref()
            .ok_or("the receiver has no encryption certificate in the address register")?;
        let certificate = Certificate::from_der(certificate)
            .map_err(|_| "the receiver's encryption certificate cannot be read")?;
        let about = match &track.about {
            Some(about) => self.exchange().facts(about).ok().flatten(),
            None => None,
        };
        let form = match about
            .as_ref()
            .and_then(|about| detail(about, "payload_form"))
        {
            Some("bare") => Form::Bare,
            _ => Form::Mime,
        };
        let sealed = payload::seal(&outgoing.document, &certificate, form)
            .map_err(|_| "the payload could not be encrypted for the receiver")?;
        let message_id = Uuid::new_v4().to_string();
        let content_id = format!("payload-{message_id}");
        let envelope = envelope(
            track,
            about.as_ref(),
            &message_id,
            &content_id,
            schema_of(&outgoing.document),
            self.now_us(),
        );
        let attachment = encrypted_attachment(&content_id, sealed);
        let message = Message::sign(&envelope, vec![attachment], &self.signing_key())
            .map_err(|_| "the message could not be signed")?;
        let mail = message.mail(&MailFields {
            from: &from_address,
            to: &to_address,
            subject: &envelope.header.action,
            message_id: &self.mail_id(&message_id, outgoing.attempt),
            in_reply_to: None,
            at_us: self.now_us(),
        });
        Ok(Prepared {
            message_id,
            relay: Relay {
                organisation: organisation_of(&to),
                mail: Bytes::from(mail),
            },
        })
    }
}

fn detail<'a>(track: &'a Track, name: &str) -> Option<&'a str> {
    let found = track.details.iter().find(|(known, _)| known == name);
    found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// Namespace and version of the business document (HITS 1210).
fn schema_of(document: &[u8]) -> Option<(String, String)> {
    let known = edi::message::identify(document);
    let namespace = known.payload_namespace.unwrap_or(known.root_namespace);
    Some((namespace, known.version?)).filter(|(namespace, _)| !namespace.is_empty())
}

/// The envelope: a receipt under the service of what it answers with the roles turned (HISD 1209), else by the sender's wishes or the
/// function.
fn envelope(
    track: &Track,
    about: Option<&Track>,
    message_id: &str,
    content_id: &str,
    schema: Option<(String, String)>,
    at_us: i64,
) -> Envelope {
    let is_receipt = track.subject == APPREC;
    let function = match about {
        Some(about) if is_receipt => about.subject.as_str(),
        _ => track.subject.as_str(),
    };
    let source = if is_receipt { about } else { Some(track) };
    let of = |name| {
        source
            .and_then(|track| detail(track, name))
            .map(str::to_owned)
    };
    let service = of("service").unwrap_or_else(|| format!("S-{function}"));
    let sender = of("sender_role").unwrap_or_else(|| format!("{function}sender"));
    let receiver = of("receiver_role").unwrap_or_else(|| format!("{function}receiver"));
    let action = if is_receipt {
        APPREC.to_owned()
    } else {
        of("action").unwrap_or_else(|| function.to_owned())
    };
    let (from_role, to_role) = if is_receipt {
        (receiver, sender)
    } else {
        (sender, receiver)
    };
    let cpa_id = track.cpa_id.clone().filter(|id| !id.is_empty());
    let conversation = track.conversation.clone().filter(|id| !id.is_empty());
    Envelope {
        header: MessageHeader {
            from: EbParty::her(track.from, &from_role),
            to: EbParty::her(track.to, &to_role),
            cpa_id: cpa_id.unwrap_or_else(|| default_cpa(track.from, track.to)),
            conversation_id: conversation.unwrap_or_else(|| message_id.to_owned()),
            service_type: of("service_type").unwrap_or_else(|| "string".to_owned()),
            service,
            action,
            message_id: message_id.to_owned(),
            timestamp: signal::stamp(at_us),
            ref_to_message_id: about.map(|about| about.message_id.clone()),
            time_to_live: None,
            duplicate_elimination: true,
            description: Some(description(track)),
        },
        kind: Kind::Payload {
            ack_requested: Some(AckRequested {
                signed: true,
                actor: Some(names::TO_PARTY_MSH.to_owned()),
            }),
            sync_reply: false,
            manifest: vec![ManifestReference {
                href: format!("cid:{content_id}"),
                schema,
            }],
        },
    }
}

/// HITS 1210: the systems behind a message.
fn description(track: &Track) -> String {
    let mut systems = serde_json::Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            systems.insert(name.to_owned(), value.into());
        }
    };
    put("MSH-system", Some("Helsenav"));
    put("MSH-versjon", Some(env!("CARGO_PKG_VERSION")));
    put("fagsystem", detail(track, "application_name"));
    put("fagsystem-versjon", detail(track, "application_version"));
    put("mellomvare", detail(track, "middleware_name"));
    put("mellomvare-versjon", detail(track, "middleware_version"));
    serde_json::Value::Object(systems).to_string()
}
