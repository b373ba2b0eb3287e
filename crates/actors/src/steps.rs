//! What happens in a step of the story, and what its actor sees afterwards. Words are for operators: no names of
//! patients, no findings.

use crate::clock::StoryClock;
use crate::compose::{Composer, Letterhead};
use crate::epj::{Doctor, EpjError, Fhir, audience};
use crate::facts::{Facts, FactsError};
use crate::http::{Http, HttpError};
use crate::party::{Office, SendError};
use crate::portal::Session;
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use nation::story::content;
use nation::story::{Action, Step, steps};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How long a receipt may take. The hub's own receivers answer within two seconds.
const RECEIPT: Duration = Duration::from_secs(20);

/// What was seen, in two languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Bokmål.
    pub nb: String,
    /// English.
    pub en: String,
}

impl Observed {
    /// In both languages.
    pub fn new(nb: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            nb: nb.into(),
            en: en.into(),
        }
    }

    fn and(&mut self, nb: impl AsRef<str>, en: impl AsRef<str>) {
        for (text, more) in [(&mut self.nb, nb.as_ref()), (&mut self.en, en.as_ref())] {
            if !text.is_empty() {
                text.push_str(". ");
            }
            text.push_str(more);
        }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Something is not in facts.json or the nation.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// A page did not answer as it must.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A doctor's own system did not get in.
    #[error(transparent)]
    Epj(#[from] EpjError),
    /// It went another way than the story.
    #[error("{0}")]
    Otherwise(String),
}

fn otherwise<T>(what: impl Into<String>) -> Result<T, StepError> {
    Err(StepError::Otherwise(what.into()))
}

/// What later steps need of earlier ones.
#[derive(Debug, Default)]
struct Memory {
    /// Step → MsgId.
    msg_ids: BTreeMap<&'static str, String>,
    /// The letter as it was sent.
    letter: Option<String>,
}

/// Everything the story's people have at hand.
pub struct World {
    /// facts.json.
    pub facts: Arc<Facts>,
    /// Documents.
    pub composer: Composer,
    /// HTTP.
    pub http: Http,
    /// The story's clock.
    pub clock: Arc<StoryClock>,
    /// Organisations on the bus, by level-1 HER-id.
    pub offices: BTreeMap<u32, Office>,
    memory: Mutex<Memory>,
}

/// One performance of the story: which one, and on what day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Performance {
    /// 0 the first time; later ones have numbers of their own.
    pub round: u32,
    /// The story's day.
    pub day: Date,
}

impl Performance {
    /// A laboratory's number, distinct per performance.
    fn number(self, number: &str) -> String {
        match self.round {
            0 => number.to_owned(),
            round => format!("{number}-{}", round + 1),
        }
    }
}

impl World {
    /// With these organisations.
    #[must_use]
    pub fn new(
        facts: Arc<Facts>,
        composer: Composer,
        http: Http,
        clock: Arc<StoryClock>,
        offices: BTreeMap<u32, Office>,
    ) -> Self {
        Self {
            facts,
            composer,
            http,
            clock,
            offices,
            memory: Mutex::default(),
        }
    }

    fn memory<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets the last performance.
    pub fn forget(&self) {
        self.memory(|m| *m = Memory::default());
    }

    /// The organisation that acts for a party.
    ///
    /// # Errors
    /// [`FactsError::Missing`] when it is none of the actors.
    pub fn office(&self, her_id: u32) -> Result<&Office, FactsError> {
        let organisation = self.facts.organisation_of(her_id)?;
        let found = self.offices.get(&organisation.her_id);
        found.ok_or_else(|| FactsError::Missing(format!("actor for HER-id {her_id}")))
    }

    fn name(&self, her_id: u32) -> String {
        let name = self.facts.party_name(her_id).unwrap_or_default();
        match self.facts.organisation_of(her_id) {
            Ok(o) if o.name != name => format!("{name} ({her_id}), {}", o.name),
            _ => format!("{name} ({her_id})"),
        }
    }

    /// Plays one step.
    ///
    /// # Errors
    /// [`StepError`].
    pub async fn play(
        &self,
        step: &'static Step,
        performance: Performance,
    ) -> Result<Observed, StepError> {
        match step.action {
            Action::Send {
                function,
                from,
                to,
                copies,
                content,
            } => {
                let head = (function, from, to, copies);
                self.send(step, performance, head, content).await
            }
            Action::Receipt { of } => self.see_receipt(of).await,
            Action::Prescribe => self.prescribe(),
            Action::Open {
                refused_basis,
                basis,
            } => self.open(step, refused_basis, basis).await,
            Action::Read { pages } => self.read(step, pages).await,
            Action::Block { practitioner } => self.block(step, practitioner).await,
            Action::TryEverything { elevated } => self.try_everything(step, elevated).await,
            Action::Nothing => Ok(Observed::new(
                "Skjer utenfor navet",
                "Happens outside the hub",
            )),
        }
    }

    async fn send(
        &self,
        step: &'static Step,
        performance: Performance,
        (function, from, to, copies): (&str, u32, u32, &[u32]),
        content: &str,
    ) -> Result<Observed, StepError> {
        let msg_id = Uuid::new_v4().to_string();
        let head = Letterhead {
            msg_id: &msg_id,
            at: step.when(performance.day),
            from,
            to,
            copies,
        };
        let xml = self.document(&head, step.person, performance, content)?;
        self.memory(|m| {
            m.msg_ids.insert(step.key, msg_id.clone());
            if content == "blokk.epikrise" {
                m.letter = Some(xml.clone());
            }
        });
        let office = self.office(from)?;
        let receivers: Vec<u32> = std::iter::once(to).chain(copies.iter().copied()).collect();
        for receiver in &receivers {
            office.send(function, from, *receiver, &xml).await?;
        }
        let names: Vec<String> = receivers.iter().map(|r| self.name(*r)).collect();
        let mut seen = Observed::new(
            format!(
                "{function} tatt imot av meldingsbussen for {}",
                names.join(" og ")
            ),
            format!(
                "{function} taken by the message bus for {}",
                names.join(" and ")
            ),
        );
        let is_answered_in_a_step = steps()
            .iter()
            .any(|s| matches!(s.action, Action::Receipt { of } if of == step.key));
        if is_answered_in_a_step {
            seen.and("Venter på kvittering", "Waiting for the receipt");
            return Ok(seen);
        }
        for receiver in receivers {
            self.expect_receipt(office, &msg_id, receiver, &mut seen)
                .await?;
        }
        Ok(seen)
    }

    async fn expect_receipt(
        &self,
        office: &Office,
        msg_id: &str,
        from: u32,
        seen: &mut Observed,
    ) -> Result<(), StepError> {
        let began = std::time::Instant::now();
        let name = self.name(from);
        let Some(receipt) = office.receipt(msg_id, from, RECEIPT).await else {
            return otherwise(format!(
                "{name} did not answer within {} s",
                RECEIPT.as_secs()
            ));
        };
        if !receipt.is_ok() {
            let codes: Vec<&str> = receipt
                .errors
                .iter()
                .map(|(code, _)| code.as_str())
                .collect();
            return otherwise(format!("{name} rejected the message: {}", codes.join(", ")));
        }
        let ms = began.elapsed().as_millis();
        seen.and(
            format!("{name}: mottatt og godkjent ({ms} ms)"),
            format!("{name}: received and accepted ({ms} ms)"),
        );
        Ok(())
    }

    async fn see_receipt(&self, of: &'static str) -> Result<Observed, StepError> {
        let Some(sent) = nation::story::step(of) else {
            return otherwise(format!("{of} is no step"));
        };
        let Action::Send { from, to, .. } = sent.action else {
            return otherwise(format!("{of} sends nothing"));
        };
        let Some(msg_id) = self.memory(|m| m.msg_ids.get(of).cloned()) else {
            return otherwise(format!("{of} was not played since the last start"));
        };
        let mut seen = Observed::default();
        self.expect_receipt(self.office(from)?, &msg_id, to, &mut seen)
            .await?;
        Ok(seen)
    }

    /// The document of a step, as XML.
    fn document(
        &self,
        head: &Letterhead<'_>,
        person: &str,
        performance: Performance,
        content: &str,
    ) -> Result<String, StepError> {
        let at = |hour: i8, minute: i8| -> DateTime { performance.day.at(hour, minute, 0, 0) };
        let first = content::blokk_report();
        let number = performance.number(first.number);
        let person = self.composer.person(person)?;
        Ok(match content {
            "blokk.henvisning" => {
                self.composer
                    .referral(head, Uuid::new_v4(), person, &content::BLOKK_REFERRAL)?
            }
            "blokk.svar" => self
                .composer
                .report(head, person, &number, at(9, 10), &first, None)?,
            "blokk.rettelse" => {
                let correction = content::blokk_correction();
                self.composer
                    .report(head, person, &number, at(9, 10), &correction, Some(&first))?
            }
            "blokk.vurdert" => {
                self.composer
                    .referral_status(head, person, content::BLOKK_ASSESSED)?
            }
            "blokk.epikrise" => {
                let discharge = &content::BLOKK_DISCHARGE;
                self.composer
                    .discharge(head, person, Uuid::new_v4(), at(11, 45), discharge)?
            }
            other => return otherwise(format!("no content {other}")),
        })
    }

    async fn open(
        &self,
        step: &Step,
        refused_basis: Option<&str>,
        basis: &str,
    ) -> Result<Observed, StepError> {
        let doctor = self.facts.personnel(step.actor)?;
        let patient = self.facts.person(step.person)?;
        let mut seen = Observed::default();

        let mut own_system = Doctor::log_in(&self.http, &self.facts, doctor).await?;
        seen.and(
            "Logget inn gjennom HelseID (PAR, PKCE, DPoP)",
            "Logged in through HelseID (PAR, PKCE, DPoP)",
        );
        let token = own_system.token(audience::KJERNEJOURNAL).await?;
        if let Some(url) = self.search_of("provesvar", step.person, "DiagnosticReport") {
            if let Some(refused) = refused_basis {
                let answer = own_system.fhir(&token, &url, refused).await?;
                if !answer.is_absent() && answer.status != 403 {
                    return otherwise(format!("FHIR with {refused}: {}", answer.words()));
                }
            }
            let answer = own_system.fhir(&token, &url, basis).await?;
            if answer.is_absent() {
                seen.and("FHIR er ikke åpnet", "FHIR is not open");
            } else if answer.status == 200 {
                seen.and(
                    format!("FHIR med {basis}: {}", answer.words()),
                    format!("FHIR with {basis}: {} hits", answer.total.unwrap_or(0)),
                );
            } else {
                return otherwise(format!("FHIR with {basis}: {}", answer.words()));
            }
        }

        let portal = Session::personnel(&self.http, &self.facts, &doctor.pid).await?;
        let choice = portal
            .post("/api/personnel/choose", &json!({ "nin": patient.pid }))
            .await?;
        if let Some(refused) = refused_basis {
            if choice.get("exception") == Some(&Value::Bool(true)) {
                return otherwise(format!("the portal offers {refused}"));
            }
            let answer = self.open_with(&portal, refused, None).await?;
            if answer != "basis" {
                return otherwise(format!("the portal with {refused}: {answer}"));
            }
            seen.and(
                format!("{refused} ble avvist og tilbys ikke i portalen"),
                format!("{refused} was refused and is not offered by the portal"),
            );
        }
        let answer = portal
            .post("/api/personnel/open", &json!({ "basis": basis }))
            .await?;
        if answer.get("outcome").and_then(Value::as_str) != Some("summary") {
            return otherwise(format!("the portal with {basis}: {}", outcome(&answer)));
        }
        let rows = |panel: &str| {
            let rows = answer.pointer(&format!("/{panel}/rows"));
            rows.and_then(Value::as_array).map_or(0, Vec::len)
        };
        seen.and(
            format!(
                "Kjernejournal åpnet med {basis}: {} svar, {} dokumenter",
                rows("results"),
                rows("documents")
            ),
            format!(
                "Kjernejournal opened with {basis}: {} results, {} documents",
                rows("results"),
                rows("documents")
            ),
        );
        portal.leave().await;
        Ok(seen)
    }

    /// Opens the chosen patient; `summary`, or why not.
    async fn open_with(
        &self,
        portal: &Session,
        basis: &str,
        part: Option<&str>,
    ) -> Result<String, StepError> {
        let body = json!({ "basis": basis, "part": part });
        let answer = portal.post("/api/personnel/open", &body).await?;
        Ok(outcome(&answer))
    }

    /// The search for one person's resources of a type.
    fn search_of(&self, repository: &str, story: &str, kind: &str) -> Option<String> {
        let base = self.facts.fhir.get(repository)?;
        let id = self.facts.person(story).ok()?.fhir_id.get(repository)?;
        Some(format!("{base}/{kind}?patient={id}"))
    }

    /// The prescriptions stand in the discharge letter that was sent, as text.
    fn prescribe(&self) -> Result<Observed, StepError> {
        let medicines = content::BLOKK_DISCHARGE.medicines;
        let letter = self.memory(|m| m.letter.clone());
        if let Some(letter) = letter
            && let Some((code, _)) = medicines.iter().find(|(code, _)| !letter.contains(code))
        {
            return otherwise(format!("{code} does not stand in the letter"));
        }
        let texts: Vec<&str> = medicines.iter().map(|(_, text)| *text).collect();
        let texts = texts.join("; ");
        Ok(Observed::new(
            format!("Som tekst i epikrisen (e-resept finnes ikke ennå): {texts}"),
            format!("As text in the discharge letter (no e-prescription yet): {texts}"),
        ))
    }

    async fn read(&self, step: &Step, pages: &[&str]) -> Result<Observed, StepError> {
        let person = self.facts.person(step.person)?;
        let portal = Session::citizen(&self.http, &self.facts, &person.pid).await?;
        let mut seen = Observed::new("Logget inn", "Logged in");
        for page in pages {
            match *page {
                "provesvar" => read_results(&portal, &mut seen).await?,
                "dokumenter" => self.read_letters(&portal, &mut seen).await?,
                "logg" => self.read_refused(&portal, &mut seen).await?,
                other => return otherwise(format!("no page {other}")),
            }
        }
        portal.leave().await;
        Ok(seen)
    }

    async fn read_letters(&self, portal: &Session, seen: &mut Observed) -> Result<(), StepError> {
        let view = portal.get("/api/citizen/letters").await?;
        let letters = array(&view, "letters");
        let newest = letters
            .iter()
            .filter_map(|l| Some((number(l, "stored_at"), text(l, "id")?)));
        let Some((_, id)) = newest.max_by_key(|(at, _)| *at) else {
            return otherwise("no letters");
        };
        portal.get(&format!("/api/citizen/letters/{id}")).await?;
        let path = format!("/api/citizen/letters/{id}/original");
        let bytes = portal.bytes(&path).await?;
        let sent = self.memory(|m| m.letter.clone());
        match sent {
            Some(sent) if sent.as_bytes() != bytes => {
                otherwise("the original of the letter is not what was sent")
            }
            Some(_) => {
                seen.and(
                    format!("Brev lest ({} i listen); originalen er byte for byte det sykehuset sendte", letters.len()),
                    format!("Letter read ({} in the list); the original is byte for byte what the hospital sent", letters.len()),
                );
                Ok(())
            }
            None => {
                seen.and("Brev lest", "Letter read");
                Ok(())
            }
        }
    }

    async fn read_refused(&self, portal: &Session, seen: &mut Observed) -> Result<(), StepError> {
        let blocked = self.facts.personnel("moen")?;
        let view = portal.get("/api/citizen/log").await?;
        let visits = array(&view, "visits");
        let mut refused = visits.iter().filter(|v| {
            v.get("is_denied") == Some(&Value::Bool(true))
                && v.pointer("/head/name").and_then(Value::as_str) == Some(&blocked.name)
        });
        let Some(visit) = refused.next() else {
            return otherwise("no refused attempt with the blocked person's name in the log");
        };
        let count = visit.get("count").and_then(Value::as_u64).unwrap_or(0);
        seen.and(
            format!("Loggen viser {count} avviste forsøk av den som er blokkert, med navn"),
            format!("The log shows {count} refused attempts of the blocked person, by name"),
        );
        Ok(())
    }

    async fn block(&self, step: &Step, practitioner: &str) -> Result<Observed, StepError> {
        let person = self.facts.person(step.person)?;
        let whom = self.facts.personnel(practitioner)?;
        let portal = Session::citizen(&self.http, &self.facts, &person.pid).await?;
        let log = portal.get("/api/citizen/log").await?;
        let visits = array(&log, "visits");
        let named = visits.iter().find(|v| {
            v.get("can_block") == Some(&Value::Bool(true))
                && v.pointer("/head/name").and_then(Value::as_str) == Some(&whom.name)
        });
        let line = named.and_then(|v| v.pointer("/head/id"));
        let hpr = whom.hpr_number.clone().unwrap_or_default();
        let choice = match line {
            Some(id) => json!({ "log_line": id }),
            None => json!({ "hpr": hpr }),
        };
        let view = portal.post("/api/citizen/access/block", &choice).await?;
        let blocked = array(&view, "blocked");
        if !blocked
            .iter()
            .any(|b| text(b, "hpr").as_deref() == Some(&hpr))
        {
            return otherwise("the block does not stand in the settings");
        }
        portal.leave().await;
        let from = if line.is_some() {
            ("fra en linje i loggen", "from a line of the log")
        } else {
            (
                "fra søket; loggen viste ikke navnet",
                "from the search; the log did not show the name",
            )
        };
        Ok(Observed::new(
            format!(
                "Loggen hadde {} besøk. Blokkert overalt, valgt {}",
                visits.len(),
                from.0
            ),
            format!(
                "The log had {} visits. Blocked everywhere, chosen {}",
                visits.len(),
                from.1
            ),
        ))
    }

    async fn try_everything(&self, step: &Step, elevated: &str) -> Result<Observed, StepError> {
        let who = self.facts.personnel(step.actor)?;
        let patient = self.facts.person("blokk")?;
        let mut seen = Observed::default();
        let mut through: Vec<String> = Vec::new();

        let portal = Session::personnel(&self.http, &self.facts, &who.pid).await?;
        let nin = json!({ "nin": patient.pid });
        portal.post("/api/personnel/choose", &nin).await?;
        for (basis, part) in [("SAMTYKKE", None), (elevated, Some("results"))] {
            let answer = match self.open_with(&portal, basis, part).await {
                // A part that this hub spells otherwise is not a door left open.
                Err(StepError::Http(HttpError::Status { status: 400, .. })) => {
                    self.open_with(&portal, basis, None).await?
                }
                other => other?,
            };
            seen.and(
                format!("Portal, {basis}: {answer}"),
                format!("Portal, {basis}: {answer}"),
            );
            if answer != "blocked" {
                through.push(format!("portal, {basis}: {answer}"));
            }
        }
        portal.leave().await;

        let mut doctor = Doctor::log_in(&self.http, &self.facts, who).await?;
        for (name, answer) in self.fhir_attempts(&mut doctor, patient, elevated).await? {
            if answer.is_absent() {
                seen.and(format!("{name}: ikke åpnet"), format!("{name}: not open"));
                continue;
            }
            seen.and(
                format!("{name}: {}", answer.words()),
                format!(
                    "{name}: {} {}",
                    answer.status,
                    answer
                        .total
                        .map(|t| format!("total {t}"))
                        .unwrap_or_default()
                ),
            );
            if !answer.is_empty() {
                through.push(format!("{name}: {}", answer.words()));
            }
        }
        if through.is_empty() {
            Ok(seen)
        } else {
            otherwise(format!("not refused as it must be: {}", through.join("; ")))
        }
    }

    /// The paths of the inner FHIR repositories, one answer each.
    async fn fhir_attempts(
        &self,
        doctor: &mut Doctor,
        patient: &crate::facts::Person,
        elevated: &str,
    ) -> Result<Vec<(&'static str, Fhir)>, StepError> {
        let mut answers = Vec::new();
        let base = |name: &str| {
            let base = self.facts.fhir.get(name)?.clone();
            Some((base, patient.fhir_id.get(name)?.clone()))
        };
        let basis = "SAMTYKKE";
        if let Some((base, id)) = base("kjernejournal") {
            let token = doctor.token(audience::KJERNEJOURNAL).await?;
            let url = format!("{base}/Patient/{id}");
            answers.push(("FHIR read", doctor.fhir(&token, &url, basis).await?));
            let url = format!("{base}/AllergyIntolerance?patient={id}");
            answers.push(("kjernejournal", doctor.fhir(&token, &url, basis).await?));
            answers.push((
                "kjernejournal, forhøyet",
                doctor.fhir(&token, &url, elevated).await?,
            ));
        }
        if let Some((base, id)) = base("provesvar") {
            let token = doctor.token(audience::PROVESVAR).await?;
            let url = format!("{base}/DiagnosticReport/_search");
            let form = [("patient", id.as_str())];
            answers.push((
                "provesvar _search",
                doctor.search(&token, &url, basis, &form).await?,
            ));
            let url =
                format!("{base}/DiagnosticReport?patient={id}&_include=DiagnosticReport:result");
            answers.push(("_include", doctor.fhir(&token, &url, basis).await?));
        }
        if let Some((base, id)) = base("dokumenter") {
            let token = doctor.token(audience::DOKUMENTER).await?;
            let url = format!("{base}/DocumentReference?patient={id}");
            answers.push(("dokumenter", doctor.fhir(&token, &url, basis).await?));
        }
        Ok(answers)
    }
}

async fn read_results(portal: &Session, seen: &mut Observed) -> Result<(), StepError> {
    let view = portal.get("/api/citizen/results").await?;
    let reports = array(&view, "reports");
    let newest = reports.iter().max_by_key(|r| number(r, "stored_at"));
    let Some((newest, id)) = newest.and_then(|r| Some((r, text(r, "id")?))) else {
        return otherwise("no results");
    };
    portal.get(&format!("/api/citizen/results/{id}")).await?;
    let analyses = number(newest, "analyses");
    let amended = if newest.get("amended_at").is_some_and(|a| !a.is_null()) {
        ("rettet svar", "corrected report")
    } else {
        ("svar", "report")
    };
    seen.and(
        format!(
            "{} svar i listen; leste nyeste: {}, {analyses} analyser",
            reports.len(),
            amended.0
        ),
        format!(
            "{} reports in the list; read the newest: {}, {analyses} analyses",
            reports.len(),
            amended.1
        ),
    );
    Ok(())
}

/// `summary`, or the reason of a refusal.
fn outcome(answer: &Value) -> String {
    let reason = text(answer, "why").or_else(|| text(answer, "outcome"));
    reason.unwrap_or_else(|| "?".to_owned())
}

fn array(value: &Value, name: &str) -> Vec<Value> {
    let found = value.get(name).and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or(0)
}

/// The day on which a performance can begin: `first` or later, with its first step still to come.
#[must_use]
pub fn day_for(first: Date, now: DateTime) -> Date {
    let opening = nation::story::BLOKK.first().map(|s| s.at);
    let at = |day: Date| day.to_datetime(opening.unwrap_or_default());
    if at(first) >= now {
        return first;
    }
    let today = now.date().max(first);
    if at(today) >= now {
        today
    } else {
        today.checked_add(1.day()).unwrap_or(today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};

    #[test]
    fn a_performance_never_begins_in_the_past() {
        let d = date(2026, 11, 23);
        let table = [
            (date(2026, 11, 20).at(12, 0, 0, 0), d),
            (d.at(7, 0, 0, 0), d),
            (d.at(8, 5, 0, 0), d),
            (d.at(8, 6, 0, 0), date(2026, 11, 24)),
            (date(2027, 1, 5).at(7, 0, 0, 0), date(2027, 1, 5)),
            (date(2027, 1, 5).at(17, 0, 0, 0), date(2027, 1, 6)),
        ];
        for (now, expected) in table {
            assert_eq!(day_for(d, now), expected, "{now}");
        }
        assert_eq!(nation::story::BLOKK[0].at, time(8, 5, 0, 0));
    }

    #[test]
    fn later_performances_have_numbers_of_their_own() {
        let day = date(2026, 11, 23);
        let number = |round| Performance { round, day }.number("ISB-2026-000417");
        assert_eq!(number(0), "ISB-2026-000417");
        assert_eq!(number(1), "ISB-2026-000417-2");
    }
}
