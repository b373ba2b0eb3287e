//! An organisation that sends with ebXML over mail instead of the bus (spec/messaging.md §5): the message by SMTP; from its mailbox, by POP3,
//! the signed acknowledgment, then the receipt, which it acknowledges in turn. Its own message handler, on plain sockets, as a small
//! system in the sector has one.

use crate::facts::{Facts, FactsError, Keys, MailUser};
use crate::parcel::APPREC;
use ebxml::envelope::{
    AckReference, AckRequested, Envelope, Kind, ManifestReference, MessageHeader, Party,
};
use ebxml::mime::Limits;
use ebxml::msh::{self, Outcome};
use ebxml::package::{MailFields, Outgoing, Received, encrypted_attachment};
use ebxml::payload::{self, Form};
use ebxml::{names, signal};
use edi::apprec::AppRec;
use edi::xml::XmlDoc;
use jiff::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;
use xmlsec::dsig::Signer;
use xmlsec::x509::{Certificate, RevocationPolicy, TrustStore, Usage};

/// Longest wait for one line of a server.
const LINE: Duration = Duration::from_secs(20);
/// Longest line that is read, bytes.
const MAX_LINE: usize = 8 << 10;
/// Largest mail that is read, bytes.
const MAX_MAIL: usize = 4 << 20;
/// How often the mailbox is looked into.
const EVERY: Duration = Duration::from_millis(500);

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum MailroomError {
    /// An address or key is not there.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The connection broke.
    #[error("mail: {0}")]
    Io(#[from] std::io::Error),
    /// The server said something else than expected.
    #[error("mail: expected {expected}, got {got}")]
    Said {
        /// Beginning of the line.
        expected: &'static str,
        /// Its first characters.
        got: String,
    },
    /// The message could not be made.
    #[error("the message could not be made: {0}")]
    Making(String),
    /// Refused by the receiver's message handler, or no answer in time.
    #[error("{0}")]
    Outcome(&'static str),
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `eb:MessageId`.
    pub message_id: String,
    /// Status of the receipt (8258).
    pub status: String,
}

/// The mail room of one organisation.
pub struct Mailroom {
    facts: Arc<Facts>,
    keys: Keys,
    trust: TrustStore,
    user: MailUser,
    smtp: SocketAddr,
    pop3: SocketAddr,
}

/// A message under way.
struct Sent {
    message_id: String,
    msg_id: String,
    references: Vec<AckReference>,
    is_acknowledged: bool,
    status: Option<String>,
}

impl Mailroom {
    /// Opens it. Slow (key derivation of PKCS #12): not on a thread that others wait for.
    ///
    /// # Errors
    /// [`FactsError`] when there is no mail, login or key.
    pub fn open(facts: Arc<Facts>, her_id: u32) -> Result<Self, FactsError> {
        let mail = facts.mail.as_ref();
        let mail = mail.ok_or_else(|| FactsError::Missing("mail".to_owned()))?;
        let user = mail.users.iter().find(|user| user.her_id == her_id);
        let user = user.ok_or_else(|| FactsError::Missing(format!("mail user of {her_id}")))?;
        Ok(Self {
            keys: facts.organisation_of(her_id)?.keys()?,
            trust: facts.trust()?,
            user: user.clone(),
            smtp: mail.smtp,
            pop3: mail.pop3,
            facts,
        })
    }

    /// Sends a document and waits, so long at most, until it is acknowledged and receipted.
    ///
    /// # Errors
    /// [`MailroomError`].
    pub async fn send(
        &self,
        function: &str,
        (from, to): (u32, u32),
        msg_id: &str,
        xml: &str,
        at: Timestamp,
        longest: Duration,
    ) -> Result<Delivery, MailroomError> {
        let receiver = self.facts.organisation_of(to)?;
        let certificate = receiver.encryption_certificate()?;
        let making = |error: &dyn std::fmt::Display| MailroomError::Making(error.to_string());
        let sealed =
            payload::seal(xml.as_bytes(), &certificate, Form::Mime).map_err(|e| making(&e))?;
        let message_id = Uuid::new_v4().to_string();
        let envelope = envelope(function, from, to, &message_id, at);
        let attachment = encrypted_attachment("payload-1", sealed);
        let outgoing = Outgoing::sign(&envelope, vec![attachment], &self.keys.signing)
            .map_err(|e| making(&e))?;
        let hub = self.address_of(receiver.her_id)?;
        let mail = self.mail(&outgoing, &hub, function, None, at);
        let own = Received::from_mail(&mail, &Limits::default()).map_err(|e| making(&e.1))?;
        let references = own.check_signature(Signer::Carried);
        let mut sent = Sent {
            message_id,
            msg_id: msg_id.to_owned(),
            references: references.map_err(|e| making(&e.text))?.references,
            is_acknowledged: false,
            status: None,
        };
        self.post(&hub, &mail).await?;
        let until = Instant::now() + longest;
        while Instant::now() < until {
            for mail in self.fetch().await? {
                self.read(&mail, &mut sent, at).await?;
            }
            if let (true, Some(status)) = (sent.is_acknowledged, &sent.status) {
                return Ok(Delivery {
                    message_id: sent.message_id,
                    status: status.clone(),
                });
            }
            sleep(EVERY).await;
        }
        Err(MailroomError::Outcome(if sent.is_acknowledged {
            "acknowledged, but no receipt came in time"
        } else {
            "no acknowledgment came in time"
        }))
    }

    fn address_of(&self, her_id: u32) -> Result<String, FactsError> {
        let users = self.facts.mail.iter().flat_map(|mail| &mail.users);
        let found = users.into_iter().find(|user| user.her_id == her_id);
        found
            .map(|user| user.address.clone())
            .ok_or_else(|| FactsError::Missing(format!("mail address of {her_id}")))
    }

    fn mail(
        &self,
        outgoing: &Outgoing,
        to: &str,
        subject: &str,
        about: Option<&str>,
        at: Timestamp,
    ) -> Vec<u8> {
        outgoing.mail(&MailFields {
            from: &self.user.address,
            to,
            subject,
            message_id: &format!("{}@{}.invalid", Uuid::new_v4(), self.user.username),
            in_reply_to: about,
            at_us: at.as_microsecond(),
        })
    }

    /// One mail of the mailbox. What is not signed by an organisation we know is passed over.
    async fn read(&self, mail: &[u8], sent: &mut Sent, at: Timestamp) -> Result<(), MailroomError> {
        let Ok(received) = Received::from_mail(mail, &Limits::default()) else {
            return Ok(());
        };
        let Some(references) = self.checked(&received) else {
            return Ok(());
        };
        if msh::about(&received.envelope) == Some(sent.message_id.as_str()) {
            match msh::outcome(&received.envelope, &sent.references) {
                Some(Outcome::Accepted) => sent.is_acknowledged = true,
                Some(Outcome::Refused) => {
                    return Err(MailroomError::Outcome("refused with an error list"));
                }
                _ => {}
            }
        }
        let Kind::Payload { manifest, .. } = &received.envelope.kind else {
            return Ok(());
        };
        // Whatever it is about, it is acknowledged: otherwise it would come again.
        let header = &received.envelope.header;
        let id = Uuid::new_v4().to_string();
        let answer = signal::acknowledgment(header, references, &id, at.as_microsecond());
        let signed = Outgoing::sign(&answer, Vec::new(), &self.keys.signing)
            .map_err(|error| MailroomError::Making(error.to_string()))?;
        if let Some(to) = &received.mail.from {
            let about = received.mail.message_id.as_deref();
            let mail = self.mail(&signed, to, names::ACKNOWLEDGMENT, about, at);
            self.post(to, &mail).await?;
        }
        if header.action != APPREC {
            return Ok(());
        }
        let sealed = manifest
            .first()
            .and_then(|reference| received.attachment(&reference.href));
        let keys = std::slice::from_ref(&self.keys.encryption);
        let opened = sealed.and_then(|sealed| payload::open(&sealed.content, keys).ok());
        let document = opened.and_then(|opened| XmlDoc::parse(&opened.content).ok());
        if let Some(receipt) = document.and_then(|document| AppRec::read_doc(&document).ok())
            && receipt.original.id.eq_ignore_ascii_case(&sent.msg_id)
        {
            sent.status = Some(receipt.status.code().to_owned());
        }
        Ok(())
    }

    /// The references of a signature that holds, by a certificate of the organisation that the envelope names.
    fn checked(&self, received: &Received) -> Option<Vec<AckReference>> {
        let checked = received.check_signature(Signer::Carried).ok()?;
        let from = received.envelope.header.from.her_id()?;
        let is_theirs = self.is_of(&checked.certificate, from);
        is_theirs.then_some(checked.references)
    }

    fn is_of(&self, certificate: &Certificate, her_id: u32) -> bool {
        // Certificates live on the real clock, not on the story's.
        let now_s = Timestamp::now().as_second();
        let usage = Usage::MessageSignature;
        let policy = RevocationPolicy::WhenKnown;
        let owner = self.facts.organisation_of(her_id);
        self.trust
            .check(certificate, usage, &[], now_s, policy)
            .is_ok()
            && owner.is_ok_and(|owner| certificate.organisation_number() == Some(&owner.orgnr))
    }

    async fn post(&self, to: &str, mail: &[u8]) -> Result<(), MailroomError> {
        let mut wire = Wire::open(self.smtp).await?;
        wire.answer("220").await?;
        wire.say(&format!("EHLO {}.invalid", self.user.username), "250")
            .await?;
        wire.say(&format!("MAIL FROM:<{}>", self.user.address), "250")
            .await?;
        wire.say(&format!("RCPT TO:<{to}>"), "250").await?;
        wire.say("DATA", "354").await?;
        for line in mail.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                wire.write(b".").await?;
            }
            wire.write(line).await?;
        }
        wire.say(".", "250").await?;
        wire.say("QUIT", "221").await
    }

    /// Everything in the mailbox, which is empty afterwards.
    async fn fetch(&self) -> Result<Vec<Vec<u8>>, MailroomError> {
        const MOST: usize = 50;
        let mut wire = Wire::open(self.pop3).await?;
        wire.answer("+OK").await?;
        wire.say(&format!("USER {}", self.user.username), "+OK")
            .await?;
        wire.say(&format!("PASS {}", self.user.password), "+OK")
            .await?;
        wire.write(b"STAT\r\n").await?;
        let stat = wire.line().await?;
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let count = stat.split(' ').nth(1).and_then(|n| n.parse().ok());
        let count: usize = count.ok_or_else(|| said("+OK", stat.as_bytes()))?;
        let mut mails = Vec::new();
        for number in 1..=count.min(MOST) {
            wire.say(&format!("RETR {number}"), "+OK").await?;
            mails.push(wire.mail().await?);
            wire.say(&format!("DELE {number}"), "+OK").await?;
        }
        wire.say("QUIT", "+OK").await?;
        Ok(mails)
    }
}

fn envelope(function: &str, from: u32, to: u32, message_id: &str, at: Timestamp) -> Envelope {
    Envelope {
        header: MessageHeader {
            from: Party::her(from, &format!("{function}sender")),
            to: Party::her(to, &format!("{function}receiver")),
            cpa_id: format!("{}_{}", from.min(to), from.max(to)),
            conversation_id: message_id.to_owned(),
            service_type: "string".to_owned(),
            service: format!("S-{function}"),
            action: function.to_owned(),
            message_id: message_id.to_owned(),
            timestamp: signal::stamp(at.as_microsecond()),
            duplicate_elimination: true,
            description: Some(
                "{\"MSH-system\":\"Laboratoriets postrom\",\"MSH-versjon\":\"1\"}".to_owned(),
            ),
            ..MessageHeader::default()
        },
        kind: Kind::Payload {
            ack_requested: Some(AckRequested {
                signed: true,
                actor: Some(names::TO_PARTY_MSH.to_owned()),
            }),
            sync_reply: false,
            manifest: vec![ManifestReference {
                href: "cid:payload-1".to_owned(),
                schema: None,
            }],
        },
    }
}

fn said(expected: &'static str, line: &[u8]) -> MailroomError {
    let line = String::from_utf8_lossy(line);
    MailroomError::Said {
        expected,
        got: line.chars().take(100).collect(),
    }
}

/// A line protocol.
struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    async fn open(address: SocketAddr) -> Result<Self, MailroomError> {
        let stream = timeout(LINE, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| late())??;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    async fn line(&mut self) -> Result<Vec<u8>, MailroomError> {
        let mut line = Vec::new();
        let mut bounded = tokio::io::AsyncReadExt::take(&mut self.stream, MAX_LINE as u64);
        let reading = timeout(LINE, bounded.read_until(b'\n', &mut line));
        reading.await.map_err(|_| late())??;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(line.to_vec()),
            None => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// An answer that begins so; SMTP's continuation lines are passed over.
    async fn answer(&mut self, expected: &'static str) -> Result<(), MailroomError> {
        loop {
            let line = self.line().await?;
            if !line.starts_with(expected.as_bytes()) {
                return Err(said(expected, &line));
            }
            if line.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }

    async fn say(&mut self, text: &str, expected: &'static str) -> Result<(), MailroomError> {
        self.write(format!("{text}\r\n").as_bytes()).await?;
        self.answer(expected).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), MailroomError> {
        let writing = timeout(LINE, self.stream.get_mut().write_all(bytes));
        Ok(writing.await.map_err(|_| late())??)
    }

    /// The lines up to the one with the dot.
    async fn mail(&mut self) -> Result<Vec<u8>, MailroomError> {
        let mut mail = Vec::new();
        loop {
            let line = self.line().await?;
            if line == b"." {
                return Ok(mail);
            }
            if mail.len() + line.len() > MAX_MAIL {
                return Err(MailroomError::Outcome("a mail is larger than expected"));
            }
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            mail.extend_from_slice(b"\r\n");
        }
    }
}

fn late() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut)
}
