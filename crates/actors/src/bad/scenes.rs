//! Cases that are more than a message and its answer: what becomes of a message later, as its parties, operators and the
//! person see it.
//!
//! The receiver is «Din EPJ AS» where somebody has to receive badly: no actor works its queues. Time is shown by messages
//! that say they were made days ago, so that a running demo's clock stays where it is.

use super::cases::Expected;
use super::wire::{
    ANSWER, Answer, BadError, Bench, Ears, ORGANISATION, PERSON, RESULTS, ReportOf, SENDER,
    changed, keys_of, link, number,
};
use crate::clock::local;
use crate::compose::Letterhead;
use crate::facts::Keys;
use crate::http::Http;
use crate::parcel::{APPREC, Parcel, pack};
use crate::portal::Session;
use amqp::client::{Client, Received};
use amqp::port::Settlement;
use edi::apprec::{AppRec, ErrorCode, Status};
use edi::message::Header;
use edi::value::Coded;
use edi::xml::XmlDoc;
use jiff::{SignedDuration, Timestamp};
use nation::history::Analysis;
use nation::story::content::BLOKK_REFERRAL;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Who sends where «Din EPJ AS» receives: a GP's surgery.
const SURGERY: u32 = 8_900_100;
const DOCTOR: u32 = 8_900_101;
const HOSPITAL_DEPARTMENT: u32 = 8_900_301;
const DISCONTINUED: &str = "45909949630";
const POLL: Duration = Duration::from_millis(100);
/// Deliveries that fail before a message becomes a dead letter (spec/messaging.md §4.5).
const FAILURES: usize = 10;

/// Plays a case.
pub(super) async fn play(
    bench: &Bench<'_>,
    client: &mut Client,
    ears: &mut Ears,
    id: &str,
) -> Result<Answer, BadError> {
    let http = Http::new(&bench.facts.ca_pem)?;
    let operator = Session::operator(&http, bench.facts).await?;
    let mut scene = Scene {
        bench,
        client,
        ears,
        http,
        operator,
    };
    let played = match id {
        "B22" => scene.discontinued_number().await,
        "B28" => scene.marked_as_test().await,
        "B30" => scene.nobody_answers().await,
        "B31" => scene.rejected().await,
        "B32" => scene.receiver_crashes().await,
        "B33" => scene.correction_first().await,
        "B34" => scene.cancelled_first().await,
        other => Err(BadError::NoCase(other.to_owned())),
    };
    scene.operator.leave().await;
    match played {
        Ok(()) => Ok(Answer::AsTold),
        Err(BadError::Otherwise(what)) => Ok(Answer::Otherwise(what)),
        Err(error) => Err(error),
    }
}

struct Scene<'s, 'b> {
    bench: &'s Bench<'b>,
    client: &'s mut Client,
    ears: &'s mut Ears,
    http: Http,
    operator: Session,
}

/// Somebody else on the bus.
struct Other {
    client: Client,
    keys: Keys,
}

fn otherwise<T>(what: impl Into<String>) -> Result<T, BadError> {
    Err(BadError::Otherwise(what.into()))
}

fn state(detail: &Value) -> &str {
    detail
        .pointer("/state/code")
        .and_then(Value::as_str)
        .unwrap_or("unknown")
}

fn has_note(detail: &Value, word: &str) -> bool {
    let steps = detail.get("steps").and_then(Value::as_array);
    steps.into_iter().flatten().any(|step| {
        let text = step.get("text").and_then(Value::as_str);
        text.is_some_and(|text| text.contains(word))
    })
}

impl Scene<'_, '_> {
    fn now(&self) -> Timestamp {
        self.bench.clock.now()
    }

    /// Sends as «Din EPJ AS»; the message-id.
    async fn send(&mut self, parcel: Parcel) -> Result<String, BadError> {
        send(self.client, parcel).await
    }

    /// Sends a report to the results service; it must be accepted.
    async fn report(&mut self, xml: &str, msg_id: &str) -> Result<String, BadError> {
        self.accepted("SVAR_LAB", RESULTS, xml, msg_id).await
    }

    /// Sends a document that must be accepted; the message-id.
    async fn accepted(
        &mut self,
        function: &str,
        to: u32,
        xml: &str,
        msg_id: &str,
    ) -> Result<String, BadError> {
        let signing = &self.bench.keys.signing;
        let parcel = self.bench.pack(signing, function, to, xml)?;
        let id = self.send(parcel).await?;
        let answer = self.ears.hear(&id, msg_id, ANSWER).await?;
        if answer.is(Expected::Accepted) {
            Ok(id)
        } else {
            otherwise(format!("{function} to {to}: {}", answer.words()))
        }
    }

    /// The message's page, once it is as wanted.
    async fn page(
        &self,
        message_id: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, BadError> {
        let deadline = Instant::now() + ANSWER;
        let mut place = None;
        let mut last = "not found".to_owned();
        loop {
            if place.is_none() {
                place = self.find(message_id).await?;
            }
            if let Some(id) = &place {
                let detail = self
                    .operator
                    .get(&format!("/api/drift/messages/{id}"))
                    .await?;
                if wanted(&detail) {
                    return Ok(detail);
                }
                state(&detail).clone_into(&mut last);
            }
            if Instant::now() > deadline {
                return otherwise(format!("{what}: the operator's page says {last}"));
            }
            sleep(POLL).await;
        }
    }

    /// The track of a message to or from «Din EPJ AS»; the newest are looked at first.
    async fn find(&self, message_id: &str) -> Result<Option<String>, BadError> {
        let path = format!("/api/drift/messages?her_id={ORGANISATION}");
        let list = self.operator.get(&path).await?;
        let rows = list.get("rows").and_then(Value::as_array);
        for row in rows.into_iter().flatten() {
            let Some(id) = row.get("id").and_then(Value::as_str) else {
                continue;
            };
            let detail = self
                .operator
                .get(&format!("/api/drift/messages/{id}"))
                .await?;
            let of = detail
                .pointer("/envelope/message_id")
                .and_then(Value::as_str);
            if of == Some(message_id) {
                return Ok(Some(id.to_owned()));
            }
        }
        Ok(None)
    }

    /// The surgery on the bus.
    async fn surgery(&self) -> Result<Other, BadError> {
        let facts = self.bench.facts;
        let user = facts.bus_user(SURGERY)?;
        Ok(Other {
            client: Client::connect(facts.bus()?, &user.username, &user.password, None).await?,
            keys: keys_of(facts, SURGERY).await?,
        })
    }

    /// The surgery sends a document made `hours` ago to «Din EPJ AS»; the message-id.
    async fn surgery_sends(
        &self,
        other: &mut Other,
        function: &str,
        xml: &str,
        at: Timestamp,
    ) -> Result<String, BadError> {
        let signing = &other.keys.signing;
        let parties = (DOCTOR, SENDER);
        let parcel = pack(self.bench.facts, signing, function, parties, at, xml)?;
        send(&mut other.client, parcel).await
    }

    async fn taken(&mut self, message_id: &str) -> Result<Received, BadError> {
        match self.ears.take(message_id, ANSWER).await? {
            Some(received) => Ok(received),
            None => otherwise(
                "the message did not come, or somebody else who reads these queues has it",
            ),
        }
    }

    /// A note about a referral, from the surgery.
    fn note(&self, msg_id: &str, at: Timestamp) -> Result<String, BadError> {
        let head = Letterhead {
            msg_id,
            at: local(at),
            from: DOCTOR,
            to: SENDER,
            copies: &[],
        };
        let person = self.bench.composer.person(PERSON)?;
        let text = "Henvisningen er mottatt.";
        Ok(self.bench.composer.referral_status(&head, person, text)?)
    }

    /// «Din EPJ AS» answers the surgery's document.
    async fn answer(
        &mut self,
        xml: &str,
        status: Status,
        errors: Vec<Coded>,
    ) -> Result<(), BadError> {
        let document = XmlDoc::parse(xml.as_bytes()).ok();
        let header = document.as_ref().and_then(Header::from_doc);
        let header = header.ok_or_else(|| BadError::Setup("no head".to_owned()))?;
        let id = Uuid::new_v4().to_string();
        let me = header.receiver.clone();
        let now = self.now();
        let receipt = AppRec::answer(&header, status, errors, &id, now, &me).to_xml();
        let signing = &self.bench.keys.signing;
        let parcel = self.bench.pack(signing, APPREC, DOCTOR, &receipt)?;
        self.send(parcel).await.map(|_| ())
    }

    /// B22.
    async fn discontinued_number(&mut self) -> Result<(), BadError> {
        const VALUE: &str = "12.7";
        let msg_id = Uuid::new_v4().to_string();
        let xml = self.bench.report_of(ReportOf {
            person: "reise",
            number: "FEIL-B22",
            msg_id: &msg_id,
            at: self.now(),
            service_type: "N",
            analyses: haemoglobin(VALUE),
        })?;
        let nin = self.bench.composer.person("reise")?.nin;
        let xml = changed(&xml, nin.as_str(), DISCONTINUED)?;
        let xml = changed(&xml, "V=\"FNR\"", "V=\"DNR\"")?;
        let id = self.report(&xml, &msg_id).await?;
        self.page(&id, "no remark about the number", |detail| {
            has_note(detail, "D-nummer")
        })
        .await?;
        if self.shown("reise").await?.1.iter().any(|v| v == VALUE) {
            Ok(())
        } else {
            otherwise("the result is not under the number that holds")
        }
    }

    /// B28: to the hospital's actor as MsgHead has it, to the hub's receiver as older heads have it.
    async fn marked_as_test(&mut self) -> Result<(), BadError> {
        let msg_id = Uuid::new_v4().to_string();
        let head = self.bench.head(&msg_id, HOSPITAL_DEPARTMENT);
        let person = self.bench.composer.person(PERSON)?;
        let composer = self.bench.composer;
        let referral = composer.referral(&head, Uuid::new_v4(), person, &BLOKK_REFERRAL)?;
        let close = format!("{msg_id}</MsgId>");
        let marked = format!("{close}<ProcessingStatus V=\"D\" DN=\"Avlusing\"/>");
        let referral = changed(&referral, &close, &marked)?;
        let function = "HENVISNING_NYTILSTAND";
        self.accepted(function, HOSPITAL_DEPARTMENT, &referral, &msg_id)
            .await?;

        let msg_id = Uuid::new_v4().to_string();
        let xml = self.bench.report_of(ReportOf {
            person: PERSON,
            number: "FEIL-B28",
            msg_id: &msg_id,
            at: self.now(),
            service_type: "N",
            analyses: haemoglobin("13.5"),
        })?;
        let close = format!("{msg_id}</MsgId>");
        let xml = changed(
            &xml,
            &close,
            &format!("{close}<Status V=\"TEST\" DN=\"Test\"/>"),
        )?;
        let id = self.report(&xml, &msg_id).await?;
        self.page(&id, "no remark about the marking", |detail| {
            has_note(detail, "8213")
        })
        .await?;
        Ok(())
    }

    /// B30.
    async fn nobody_answers(&mut self) -> Result<(), BadError> {
        let mut surgery = self.surgery().await?;
        let mut waiting = Vec::new();
        for (hours, wanted, level) in [
            (25, "collected", "waiting"),
            (49, "collected", "yellow"),
            (97, "overdue", "red"),
        ] {
            let made = self.now() - SignedDuration::from_hours(hours);
            let xml = self.note(&Uuid::new_v4().to_string(), made)?;
            let id = self
                .surgery_sends(&mut surgery, "DIALOG_STATUS_HENVISNING", &xml, made)
                .await?;
            let received = self.taken(&id).await?;
            self.ears.settle(&received, Settlement::Accepted).await?;
            waiting.push((id, xml, hours, wanted, level));
        }
        for (id, _, hours, wanted, level) in &waiting {
            let what = format!("after {hours} hours");
            self.page(id, &what, |detail| {
                let shown = detail.get("wait_level").and_then(Value::as_str);
                let human = detail.get("needs_human") == Some(&Value::Bool(*wanted == "overdue"));
                // An overdue message that was not fetched yet is overdue all the same.
                state(detail) == *wanted && shown == Some(*level) && human
            })
            .await?;
        }
        for (id, xml, hours, ..) in &waiting {
            self.answer(xml, Status::Ok, Vec::new()).await?;
            let what = format!("late AppRec after {hours} hours");
            self.page(id, &what, |detail| state(detail) == "accepted")
                .await?;
        }
        let _ = surgery.client.close().await;
        Ok(())
    }

    /// B31.
    async fn rejected(&mut self) -> Result<(), BadError> {
        let mut surgery = self.surgery().await?;
        let now = self.now();
        let msg_id = Uuid::new_v4().to_string();
        let head = Letterhead {
            msg_id: &msg_id,
            at: local(now),
            from: DOCTOR,
            to: SENDER,
            copies: &[],
        };
        let person = self.bench.composer.person(PERSON)?;
        let composer = self.bench.composer;
        let xml = composer.referral(&head, Uuid::new_v4(), person, &BLOKK_REFERRAL)?;
        let id = self
            .surgery_sends(&mut surgery, "HENVISNING_NYTILSTAND", &xml, now)
            .await?;
        let received = self.taken(&id).await?;
        self.ears.settle(&received, Settlement::Accepted).await?;
        let words = "Pasienten er ikke hos oss; ring eller send på nytt etter retting";
        self.answer(&xml, Status::Rejected, vec![ErrorCode::E35.error(words)])
            .await?;
        let is_rejected = |detail: &Value| {
            state(detail) == "rejected"
                && detail.pointer("/state/codes/0").and_then(Value::as_str) == Some("E35")
                && detail.get("needs_human") == Some(&Value::Bool(true))
                && detail.get("resend_rule").and_then(Value::as_str)
                    == Some("new_message_id_new_msg_id")
        };
        self.page(&id, "after the AppRec", is_rejected).await?;
        // The first one is final.
        self.answer(&xml, Status::Ok, Vec::new()).await?;
        let both = |detail: &Value| {
            let related = detail.get("related").and_then(Value::as_array);
            related.into_iter().flatten().count() >= 2
        };
        let detail = self.page(&id, "after a second AppRec", both).await?;
        let _ = surgery.client.close().await;
        if is_rejected(&detail) {
            Ok(())
        } else {
            otherwise(format!("a second AppRec changed it: {}", state(&detail)))
        }
    }

    /// B32.
    async fn receiver_crashes(&mut self) -> Result<(), BadError> {
        let mut surgery = self.surgery().await?;
        let now = self.now();
        let xml = self.note(&Uuid::new_v4().to_string(), now)?;
        let id = self
            .surgery_sends(&mut surgery, "DIALOG_STATUS_HENVISNING", &xml, now)
            .await?;
        let _ = surgery.client.close().await;
        for _ in 0..FAILURES {
            let received = self.taken(&id).await?;
            let crash = Settlement::Modified {
                delivery_failed: true,
                undeliverable_here: false,
            };
            self.ears.settle(&received, crash).await?;
        }
        let dead = self
            .page(&id, "after ten crashes", |detail| {
                let condition = detail.pointer("/state/condition").and_then(Value::as_str);
                condition == Some("dead-letter")
                    && detail.get("can_put_back") == Some(&Value::Bool(true))
            })
            .await?;
        let place = dead.get("id").and_then(Value::as_str).unwrap_or_default();
        self.operator
            .post(&format!("/api/drift/messages/{place}/put-back"), &json!({}))
            .await?;
        let received = self.taken(&id).await?;
        self.ears.settle(&received, Settlement::Accepted).await?;
        self.answer(&xml, Status::Ok, Vec::new()).await?;
        self.page(&id, "after it was put back", |detail| {
            state(detail) == "accepted"
        })
        .await?;
        Ok(())
    }

    /// B33.
    async fn correction_first(&mut self) -> Result<(), BadError> {
        const CORRECTED: &str = "14.3";
        const ORIGINAL: &str = "13.3";
        let now = self.now();
        let hour = SignedDuration::from_hours(1);
        for (at, service_type, value) in [(now, "M", CORRECTED), (now - hour, "N", ORIGINAL)] {
            let msg_id = Uuid::new_v4().to_string();
            let xml = self.bench.report_of(ReportOf {
                person: PERSON,
                number: "FEIL-B33",
                msg_id: &msg_id,
                at,
                service_type,
                analyses: haemoglobin(value),
            })?;
            self.report(&xml, &msg_id).await?;
        }
        let (_, values) = self.shown(PERSON).await?;
        let has = |value: &str| values.iter().any(|v| v == value);
        if has(CORRECTED) && !has(ORIGINAL) {
            Ok(())
        } else {
            otherwise("the person does not see the correction and only that")
        }
    }

    /// B34.
    async fn cancelled_first(&mut self) -> Result<(), BadError> {
        const GHOST: &str = "13.7";
        let (before, _) = self.shown(PERSON).await?;
        let now = self.now();
        let hour = SignedDuration::from_hours(1);
        // A number that no report has had.
        let number = format!("FEIL-B34-{}", Uuid::new_v4().simple());
        for (at, service_type) in [(now, "C"), (now - hour, "N")] {
            let msg_id = Uuid::new_v4().to_string();
            let xml = self.bench.report_of(ReportOf {
                person: PERSON,
                number: &number,
                msg_id: &msg_id,
                at,
                service_type,
                analyses: haemoglobin(GHOST),
            })?;
            self.report(&xml, &msg_id).await?;
        }
        let (after, values) = self.shown(PERSON).await?;
        if before == after && !values.iter().any(|v| v == GHOST) {
            Ok(())
        } else {
            otherwise(format!(
                "the person sees {after} reports instead of {before}"
            ))
        }
    }

    /// What a person sees of own results: how many reports, and every value.
    async fn shown(&self, person: &str) -> Result<(usize, Vec<String>), BadError> {
        let nin = self.bench.composer.person(person)?.nin;
        let page = Session::citizen(&self.http, self.bench.facts, nin.as_str()).await?;
        let list = page.get("/api/citizen/results").await?;
        let reports = list.get("reports").and_then(Value::as_array).cloned();
        let reports = reports.unwrap_or_default();
        let mut values = Vec::new();
        for report in &reports {
            let Some(id) = report.get("id").and_then(Value::as_str) else {
                continue;
            };
            let detail = page.get(&format!("/api/citizen/results/{id}")).await?;
            let results = detail.get("results").and_then(Value::as_array);
            let shown = results
                .into_iter()
                .flatten()
                .filter_map(|r| r.get("value").and_then(Value::as_str));
            values.extend(shown.map(str::to_owned));
        }
        page.leave().await;
        Ok((reports.len(), values))
    }
}

async fn send(client: &mut Client, parcel: Parcel) -> Result<String, BadError> {
    let id = parcel.message_id();
    let mut sender = client.sender(&parcel.queue, &link("sender")).await?;
    let outcome = sender.send(parcel.message).await?;
    sender.close().await;
    match outcome {
        Settlement::Accepted => Ok(id),
        other => otherwise(format!("the bus did not take it: {other:?}")),
    }
}

fn haemoglobin(value: &str) -> Vec<Analysis> {
    vec![number("NOR05172", value)]
}
