//! Makes a case's messages, sends them, waits for what comes back.

use super::cases::{Case, Expected, find};
use super::scenes;
use crate::clock::{StoryClock, local};
use crate::compose::{Composer, Letterhead};
use crate::facts::{Facts, FactsError, Keys};
use crate::http::HttpError;
use crate::parcel::{APPREC, Failure, Opener, Parcel, ParcelError, Receipt, envelope, pack};
use amqp::client::{Client, ClientError, ClientReceiver, Received};
use amqp::port::{Message, Settlement};
use edi::apprec::{AppRec, Status};
use edi::message::Header;
use edi::xml::XmlDoc;
use jiff::Timestamp;
use nation::history::{Analysis, Value};
use nation::story::content::{BLOKK_DISCHARGE, Report};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use xmlsec::cms::{self, Cipher, KeyTransport};
use xmlsec::key::Identity;

pub(super) const ORGANISATION: u32 = 8_900_900;
pub(super) const SENDER: u32 = 8_900_901;
pub(super) const RESULTS: u32 = 8_900_008;
const DOCUMENTS: u32 = 8_900_009;
const SOMEBODY_ELSE: u32 = 8_900_101;
/// The person that accepted cases are about.
pub(super) const PERSON: &str = "id-long";
pub(super) const ANSWER: Duration = Duration::from_secs(20);
/// Silence has lasted long enough.
const SILENCE: Duration = Duration::from_secs(3);
/// Messages for others that are held meanwhile.
const HELD: usize = 50;

/// Why a case was not sent.
#[derive(Debug, thiserror::Error)]
pub enum BadError {
    /// No such case.
    #[error("there is no case {0}")]
    NoCase(String),
    /// Facts that are not there.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// Clock or HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] ClientError),
    /// A message that could not be made.
    #[error(transparent)]
    Parcel(#[from] ParcelError),
    /// The nation.
    #[error("the nation could not be made: {0}")]
    Nation(String),
    /// The case's own preparation went wrong.
    #[error("{0}")]
    Setup(String),
    /// Something else was seen than what the table says; an [`Answer`] to those who ask.
    #[error("{0}")]
    Otherwise(String),
}

impl From<cms::SealError> for BadError {
    fn from(error: cms::SealError) -> Self {
        Self::Parcel(error.into())
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The link was refused, with the broker's words.
    LinkRefused(String),
    /// A message on the error queue.
    ErrorQueue(Failure),
    /// A receipt.
    Receipt(Receipt),
    /// The bus itself did not take it.
    NotTaken(String),
    /// Nothing.
    Silence,
    /// Everything that the table says was seen.
    AsTold,
    /// Something else was seen.
    Otherwise(String),
}

impl Answer {
    /// In a few words, English.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::LinkRefused(why) => format!("link refused: {why}"),
            Self::ErrorQueue(f) => format!("error queue, {}: {}", f.condition, f.description),
            Self::Receipt(r) => {
                let errors: Vec<String> = r
                    .errors
                    .iter()
                    .map(|(code, words)| format!("{code} {words}"))
                    .collect();
                format!("AppRec {} {}", r.status, errors.join("; "))
            }
            Self::NotTaken(why) => format!("not taken: {why}"),
            Self::Silence => "no answer".to_owned(),
            Self::AsTold => "seen as it must be".to_owned(),
            Self::Otherwise(what) => what.clone(),
        }
    }

    /// The same in bokmål; what the hub itself said stays as it said it.
    #[must_use]
    pub fn words_nb(&self) -> String {
        match self {
            Self::LinkRefused(why) => format!("lenken avvist: {why}"),
            Self::ErrorQueue(f) => format!("feilkø, {}: {}", f.condition, f.description),
            Self::NotTaken(why) => format!("ikke tatt imot: {why}"),
            Self::Silence => "ikke noe svar".to_owned(),
            Self::AsTold => "sett slik det skal være".to_owned(),
            Self::Receipt(_) | Self::Otherwise(_) => self.words(),
        }
    }

    pub(super) fn is(&self, expected: Expected) -> bool {
        match (expected, self) {
            (Expected::LinkRefused { condition }, Self::LinkRefused(why)) => {
                let why = why.to_lowercase();
                let squeezed: String = why.chars().filter(char::is_ascii_alphanumeric).collect();
                why.contains(condition) || squeezed.contains(&condition.replace('-', ""))
            }
            (Expected::ErrorQueue { condition, names }, Self::ErrorQueue(f)) => {
                f.condition == condition
                    && (f.data.contains(names) || f.description.contains(names))
            }
            (Expected::Rejected { code }, Self::Receipt(r)) => {
                r.status == "2" && r.errors.iter().any(|(c, _)| c == code)
            }
            (Expected::Accepted, Self::Receipt(r)) => r.is_ok(),
            (Expected::Silence, Self::Silence) | (Expected::Seen { .. }, Self::AsTold) => true,
            _ => false,
        }
    }
}

/// A case and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Which.
    pub case: &'static str,
    /// What came.
    pub answer: Answer,
    /// Whether that is the answer of the table.
    pub is_as_expected: bool,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// When, real time.
    pub at: Timestamp,
}

/// What a case has at hand.
pub(super) struct Bench<'a> {
    pub(super) facts: &'a Arc<Facts>,
    pub(super) composer: &'a Composer,
    pub(super) clock: &'a StoryClock,
    pub(super) keys: Arc<Keys>,
}

/// A report to be made.
pub(super) struct ReportOf<'a> {
    pub(super) person: &'a str,
    pub(super) number: &'a str,
    pub(super) msg_id: &'a str,
    pub(super) at: Timestamp,
    /// Service type of list 7309.
    pub(super) service_type: &'static str,
    pub(super) analyses: Vec<Analysis>,
}

/// What to send, and by what to know the answer.
struct Attempt {
    /// Sent first, and answered with a receipt, before the attempt itself.
    before: Option<Parcel>,
    parcel: Parcel,
    msg_id: String,
}

/// Sends a case and waits for its answer.
pub(super) async fn perform(
    facts: &Arc<Facts>,
    composer: &Composer,
    clock: &StoryClock,
    id: &str,
) -> Result<Observed, BadError> {
    let case = find(id).ok_or_else(|| BadError::NoCase(id.to_owned()))?;
    let bench = Bench {
        facts,
        composer,
        clock,
        keys: Arc::new(keys_of(facts, ORGANISATION).await?),
    };
    let user = facts.bus_user(ORGANISATION)?;
    let mut client = Client::connect(facts.bus()?, &user.username, &user.password, None).await?;
    let began = Instant::now();
    let answer = if case.id == "B01" {
        match client.sender("4711_async", &link("sender")).await {
            Err(ClientError::Link(why)) => Ok(Answer::LinkRefused(why)),
            Err(other) => Err(other.into()),
            // Some servers attach first and refuse then.
            Ok(mut link) => match tokio::time::timeout(SILENCE, link.ended()).await {
                Ok(why) => Ok(Answer::LinkRefused(why.to_string())),
                Err(_) => Ok(Answer::Silence),
            },
        }
    } else {
        bench.exchange(&mut client, case).await
    };
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let _ = client.close().await;
    let answer = answer?;
    Ok(Observed {
        case: case.id,
        is_as_expected: answer.is(case.expected),
        answer,
        took_ms,
        at: Timestamp::now(),
    })
}

/// The keys of an organisation: derived from a password, some hundred milliseconds of work.
pub(super) async fn keys_of(facts: &Facts, her_id: u32) -> Result<Keys, BadError> {
    let organisation = facts.organisation_of(her_id)?.clone();
    let keys = tokio::task::spawn_blocking(move || organisation.keys()).await;
    Ok(keys.map_err(|e| BadError::Setup(e.to_string()))??)
}

pub(super) fn link(kind: &str) -> String {
    format!("{kind}-link-{}", Uuid::new_v4())
}

impl Bench<'_> {
    async fn exchange(&self, client: &mut Client, case: &Case) -> Result<Answer, BadError> {
        let queue = |kind: &str| format!("{ORGANISATION}_{kind}");
        let mut ears = Ears {
            receipts: client
                .receiver(&queue("async"), &link("receiver"), 10)
                .await?,
            errors: client
                .receiver(&queue("error"), &link("receiver"), 10)
                .await?,
            opener: Opener::new(
                self.facts.clone(),
                Arc::new(self.facts.trust()?),
                self.keys.clone(),
            ),
            held: Vec::new(),
        };
        let answer = match case.expected {
            Expected::Seen { .. } => scenes::play(self, client, &mut ears, case.id).await,
            _ => self.send_and_hear(client, &mut ears, case).await,
        };
        ears.give_back().await;
        answer
    }

    async fn send_and_hear(
        &self,
        client: &mut Client,
        ears: &mut Ears,
        case: &Case,
    ) -> Result<Answer, BadError> {
        let attempt = self.attempt(case.id)?;
        let mut sender = client
            .sender(&attempt.parcel.queue, &link("sender"))
            .await?;
        if let Some(before) = attempt.before {
            let id = before.message_id();
            sender.send(before.message).await?;
            let first = ears.hear(&id, &attempt.msg_id, ANSWER).await?;
            if !first.is(Expected::Accepted) {
                let words = first.words();
                return Err(BadError::Setup(format!(
                    "the first message was not accepted: {words}"
                )));
            }
        }
        let id = attempt.parcel.message_id();
        match sender.send(attempt.parcel.message).await {
            Ok(Settlement::Accepted) => {}
            Ok(other) => return Ok(Answer::NotTaken(format!("{other:?}"))),
            // The link has told its limit, and our client library keeps it.
            Err(ClientError::Link(why)) if why.contains("message size exceeds") => {
                return Ok(Answer::LinkRefused(format!("message-size-exceeded: {why}")));
            }
            Err(ClientError::Link(why)) => return Ok(Answer::LinkRefused(why)),
            Err(other) => return Err(other.into()),
        }
        let longest = if case.expected == Expected::Silence {
            SILENCE
        } else {
            ANSWER
        };
        ears.hear(&id, &attempt.msg_id, longest).await
    }

    pub(super) fn head<'h>(&self, msg_id: &'h str, to: u32) -> Letterhead<'h> {
        Letterhead {
            msg_id,
            at: local(self.clock.now()),
            from: SENDER,
            to,
            copies: &[],
        }
    }

    /// A good report of this sender to the results service.
    fn report(
        &self,
        case: &str,
        msg_id: &str,
        analyses: Vec<Analysis>,
    ) -> Result<String, BadError> {
        self.report_of(ReportOf {
            person: PERSON,
            number: &format!("FEIL-{case}"),
            msg_id,
            at: self.clock.now(),
            service_type: "N",
            analyses,
        })
    }

    pub(super) fn report_of(&self, report: ReportOf<'_>) -> Result<String, BadError> {
        let head = Letterhead {
            at: local(report.at),
            ..self.head(report.msg_id, RESULTS)
        };
        let content = Report {
            number: "",
            service_type: report.service_type,
            status: "F",
            speciality: "CLIN",
            analyses: report.analyses,
            comment: None,
        };
        let person = self.composer.person(report.person)?;
        let at = head.at;
        Ok(self
            .composer
            .report(&head, person, report.number, at, &content, None)?)
    }

    /// A good letter of this sender to the document service.
    fn letter(&self, msg_id: &str) -> Result<String, BadError> {
        let head = self.head(msg_id, DOCUMENTS);
        let person = self.composer.person(PERSON)?;
        let at = head.at;
        let number = Uuid::new_v4();
        Ok(self
            .composer
            .discharge(&head, person, number, at, &BLOKK_DISCHARGE)?)
    }

    pub(super) fn pack(
        &self,
        signer: &Identity,
        subject: &str,
        to: u32,
        xml: &str,
    ) -> Result<Parcel, BadError> {
        let now = self.clock.now();
        Ok(pack(self.facts, signer, subject, (SENDER, to), now, xml)?)
    }

    /// An envelope around these bytes.
    fn enveloped(&self, to: u32, body: Vec<u8>) -> Result<Parcel, BadError> {
        let mut parcel = envelope(self.facts, "SVAR_LAB", SENDER, to, self.clock.now())?;
        parcel.message.body = body.into();
        Ok(parcel)
    }

    #[allow(clippy::too_many_lines, reason = "one arm per case of the table")]
    fn attempt(&self, id: &str) -> Result<Attempt, BadError> {
        let msg_id = Uuid::new_v4().to_string();
        let signing = &self.keys.signing;
        let good = self.report(id, &msg_id, haemoglobin())?;
        let nin = self.composer.person(PERSON)?.nin;
        let nin = nin.as_str();
        let results = |xml: &str| self.pack(signing, "SVAR_LAB", RESULTS, xml);
        let mut before = None;
        let mut known_as = msg_id.clone();
        let parcel = match id {
            "B02" => without(results(&good)?, "toHerId"),
            "B03" => with(results(&good)?, "toHerId", "4711"),
            "B04" => with(results(&good)?, "fromHerId", &SOMEBODY_ELSE.to_string()),
            "B05" => {
                let mut parcel = results(&good)?;
                parcel.message.properties.subject = Some("HENVISNING_X".to_owned());
                parcel
            }
            "B06" => self.pack(
                spare(self.keys.expired.as_ref())?,
                "SVAR_LAB",
                RESULTS,
                &good,
            )?,
            "B07" => self.pack(
                spare(self.keys.revoked.as_ref())?,
                "SVAR_LAB",
                RESULTS,
                &good,
            )?,
            "B08" => {
                let other = self
                    .facts
                    .organisation_of(SOMEBODY_ELSE)?
                    .encryption_certificate()?;
                let now_s = Timestamp::now().as_second();
                self.enveloped(RESULTS, cms::seal(good.as_bytes(), signing, &other, now_s)?)?
            }
            "B09" => self.enveloped(RESULTS, self.changed_after_signing(&good)?)?,
            "B10" => self.enveloped(RESULTS, b"dette er ikke CMS".to_vec())?,
            "B11" => results(&changed(&good, "</Message>", "</Melding>")?)?,
            "B12" => {
                let xml = changed(
                    &self.letter(&msg_id)?,
                    "<Type V=\"EPIKRISE\"",
                    "<Typ V=\"EPIKRISE\"",
                )?;
                self.pack(signing, "EPIKRISE", DOCUMENTS, &xml)?
            }
            "B13" => {
                let xml = self
                    .letter(&msg_id)?
                    .replace("epikrise/2012-02-15", "epikrise");
                self.pack(signing, "EPIKRISE", DOCUMENTS, &xml)?
            }
            "B14" => {
                "1234".clone_into(&mut known_as);
                results(&changed(&good, &msg_id, "1234")?)?
            }
            "B15" => results(&changed(&good, nin, "14896849818")?)?,
            "B16" => results(&changed(&good, nin, "14898649817")?)?,
            "B17" => results(&changed(&good, nin, "01815040178")?)?,
            "B18" => results(&changed(&good, nin, "")?)?,
            "B19" => {
                let unnumbered = changed(&good, nin, "")?;
                results(&without_sex(&unnumbered))?
            }
            "B20" => {
                let name = self.composer.person(PERSON)?.name.family.clone();
                results(&changed(&good, &name, "Annen")?)?
            }
            "B21" => results(&self.report_of(ReportOf {
                person: "sol-mann",
                number: "FEIL-B21",
                msg_id: &msg_id,
                at: self.clock.now(),
                service_type: "N",
                analyses: haemoglobin(),
            })?)?,
            "B23" => results(&self.report(id, &msg_id, odd_codes())?)?,
            "B24" => {
                before = Some(results(&good)?);
                results(&good)?
            }
            "B25" => {
                before = Some(results(&good)?);
                results(&changed(&good, "13.5", "13.6")?)?
            }
            "B26" => {
                let xml = changed(
                    &self.letter(&msg_id)?,
                    "</ServRprt>",
                    &format!("{PROGRAM}</ServRprt>"),
                )?;
                self.pack(signing, "EPIKRISE", DOCUMENTS, &xml)?
            }
            // What it would be as base64 inside a message; refused before anybody looks at it.
            "B26b" => self.enveloped(RESULTS, vec![b'A'; 40_000_000 / 3 * 4])?,
            "B27" => {
                let other = changed(&good, &format!(">{SENDER}<"), ">8900401<")?;
                results(&other)?
            }
            "B29" => self.pack(signing, APPREC, RESULTS, &self.stray_receipt(&good)?)?,
            "B35" => results(
                "<!DOCTYPE Message [<!ENTITY fil SYSTEM \"file:///etc/hostname\">]><Message>&fil;</Message>",
            )?,
            other => return Err(BadError::NoCase(other.to_owned())),
        };
        Ok(Attempt {
            before,
            parcel,
            msg_id: known_as,
        })
    }

    fn changed_after_signing(&self, xml: &str) -> Result<Vec<u8>, BadError> {
        let now_s = Timestamp::now().as_second();
        let mut signed = cms::sign(xml.as_bytes(), &self.keys.signing, Some(now_s))?;
        let wanted = b"<Message";
        let at = signed.windows(wanted.len()).position(|w| w == wanted);
        let byte = at.and_then(|at| signed.get_mut(at + 1));
        let byte = byte.ok_or_else(|| BadError::Setup("no content in SignedData".to_owned()))?;
        *byte = b'm';
        let receiver = self
            .facts
            .organisation_of(RESULTS)?
            .encryption_certificate()?;
        Ok(cms::envelope(
            &signed,
            &[&receiver],
            Cipher::Aes256Cbc,
            KeyTransport::Pkcs1,
        )?)
    }

    /// A receipt for a message that nobody sent, from the sender to the results service.
    fn stray_receipt(&self, xml: &str) -> Result<String, BadError> {
        let header = XmlDoc::parse(xml.as_bytes()).ok();
        let header = header.as_ref().and_then(Header::from_doc);
        let mut header = header.ok_or_else(|| BadError::Setup("no head".to_owned()))?;
        header.msg_id = Uuid::new_v4().to_string();
        std::mem::swap(&mut header.sender, &mut header.receiver);
        let me = header.receiver.clone();
        let id = Uuid::new_v4().to_string();
        let now = self.clock.now();
        Ok(AppRec::answer(&header, Status::Ok, Vec::new(), &id, now, &me).to_xml())
    }
}

fn spare(identity: Option<&Identity>) -> Result<&Identity, BadError> {
    identity.ok_or_else(|| FactsError::Missing("spare_p12".to_owned()).into())
}

pub(super) fn changed(text: &str, from: &str, to: &str) -> Result<String, BadError> {
    if !text.contains(from) {
        return Err(BadError::Setup(format!(
            "{} characters to change are not in the message",
            from.len()
        )));
    }
    Ok(text.replacen(from, to, 1))
}

/// The message without the patient's sex, which is the only `Sex` in it.
fn without_sex(xml: &str) -> String {
    let Some((before, after)) = xml.split_once("<Sex ") else {
        return xml.to_owned();
    };
    let rest = after.split_once("/>").map_or(after, |(_, rest)| rest);
    format!("{before}{rest}")
}

fn with(mut parcel: Parcel, name: &str, value: &str) -> Parcel {
    parcel.message.set_property(name, value);
    parcel
}

fn without(mut parcel: Parcel, name: &str) -> Parcel {
    parcel
        .message
        .application_properties
        .retain(|(key, _)| key != name);
    parcel
}

/// An attachment as base64: the first bytes of a program.
const PROGRAM: &str = "<RefDoc><MsgType V=\"A\" DN=\"Vedlegg\"/><MimeType>application/pdf</MimeType>\
    <Description>svar.exe</Description><Content><Base64Container xmlns=\"http://www.kith.no/xmlstds/base64container\">\
    TVqQAAMAAAAEAAAA</Base64Container></Content></RefDoc>";

pub(super) fn number(code: &'static str, value: &str) -> Analysis {
    Analysis {
        code,
        value: Value::Number(value.to_owned(), None),
        deviation: None,
    }
}

fn haemoglobin() -> Vec<Analysis> {
    vec![number("NOR05172", "13.5")]
}

fn odd_codes() -> Vec<Analysis> {
    vec![
        number("NPU99999", "1.0"),
        number("LOKAL-1", "2.0"),
        number("NPU10984", "3.0"),
    ]
}

/// Listens on the sender's queues; what is for others waits.
pub(super) struct Ears {
    receipts: ClientReceiver,
    errors: ClientReceiver,
    opener: Opener,
    held: Vec<(bool, Received)>,
}

impl Ears {
    pub(super) async fn hear(
        &mut self,
        message_id: &str,
        msg_id: &str,
        longest: Duration,
    ) -> Result<Answer, BadError> {
        let deadline = Instant::now() + longest;
        while self.held.len() < HELD {
            let (is_error, received) = {
                let (receipts, errors) = (&mut self.receipts, &mut self.errors);
                let next = async {
                    tokio::select! {
                        r = receipts.recv() => (false, r),
                        r = errors.recv() => (true, r),
                    }
                };
                match timeout_at(deadline, next).await {
                    Ok((is_error, received)) => (is_error, received?),
                    Err(_) => break,
                }
            };
            let answer = if is_error {
                Failure::read(&received.message)
                    .filter(|f| f.original_message_id == message_id)
                    .map(Answer::ErrorQueue)
            } else {
                self.receipt_in(&received.message, msg_id)
            };
            match answer {
                Some(answer) => {
                    self.queue(is_error).accept(&received).await?;
                    return Ok(answer);
                }
                None => self.held.push((is_error, received)),
            }
        }
        Ok(Answer::Silence)
    }

    /// The document with this message-id, to be settled by the case.
    pub(super) async fn take(
        &mut self,
        message_id: &str,
        longest: Duration,
    ) -> Result<Option<Received>, BadError> {
        let deadline = Instant::now() + longest;
        while self.held.len() < HELD {
            let received = match timeout_at(deadline, self.receipts.recv()).await {
                Ok(received) => received?,
                Err(_) => break,
            };
            let id = received.message.properties.message_id.as_ref();
            if id.is_some_and(|id| id.as_text() == message_id) {
                return Ok(Some(received));
            }
            self.held.push((false, received));
        }
        Ok(None)
    }

    /// Settles what was taken.
    pub(super) async fn settle(
        &self,
        received: &Received,
        how: Settlement,
    ) -> Result<(), BadError> {
        Ok(self.receipts.settle(received, how).await?)
    }

    fn receipt_in(&self, message: &Message, msg_id: &str) -> Option<Answer> {
        let content = self.opener.open(message).ok()?;
        let document = XmlDoc::parse(&content).ok()?;
        let from = message.property("fromHerId")?.parse().ok()?;
        let receipt = Receipt::read(&document, from)?;
        (receipt.original == msg_id).then_some(Answer::Receipt(receipt))
    }

    fn queue(&self, is_error: bool) -> &ClientReceiver {
        if is_error {
            &self.errors
        } else {
            &self.receipts
        }
    }

    /// Gives back what was for others.
    async fn give_back(self) {
        for (is_error, received) in &self.held {
            let _ = self
                .queue(*is_error)
                .settle(received, Settlement::Released)
                .await;
        }
        self.receipts.close().await;
        self.errors.close().await;
    }
}
