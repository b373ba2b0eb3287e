//! What a run has come to, as its page and the interface show it.

use serde::Serialize;

use super::Approvals;
use super::battery::TestPatient;
use super::criteria::{Family, Kind, Words};
use super::judge::{self, State, TrackFacts};
use super::model::{Declared, Finding, Run, Status, System};
use super::standard::{Direction, SendCase};
use crate::port::Transport;
use crate::rules::track::{StepKind, Track};

/// A run among others.
#[derive(Debug, Clone, Serialize)]
pub struct RunLine {
    /// Id.
    pub id: String,
    /// System and message handler.
    pub system: System,
    /// Code of the standard.
    pub standard: &'static str,
    /// Its name.
    pub standard_name: &'static str,
    /// Direction.
    pub direction: Direction,
    /// Transport.
    pub transport: Transport,
    /// Status.
    pub status: Status,
    /// When it began, microseconds since 1970.
    pub started_at_us: i64,
    /// When it was approved.
    pub finished_at_us: Option<i64>,
    /// Criteria in all.
    pub all: usize,
    /// Of these met.
    pub met: usize,
    /// Of these not met.
    pub not_met: usize,
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The run.
    #[serde(flatten)]
    pub line: RunLine,
    /// HER-id of the hub's party.
    pub test_party: u32,
    /// Whether every criterion is met.
    pub passed: bool,
    /// Every criterion with where it stands.
    pub criteria: Vec<Line>,
    /// Cases of a receiving run.
    pub cases: Vec<CaseLine>,
    /// Messages of a sending run, newest first.
    pub messages: Vec<MessageLine>,
    /// Receipts that answer nothing.
    pub strays: usize,
    /// Synthetic persons that the vendor must have in its system.
    pub patients: Vec<Patient>,
}

/// A criterion.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Id.
    pub id: &'static str,
    /// Family.
    pub family: Family,
    /// Where it comes from.
    pub rule: &'static str,
    /// What is asked.
    pub words: Words,
    /// Where it stands.
    pub state: State,
    /// By the vendor itself, since the hub cannot see it.
    pub self_declared: bool,
    /// What the vendor has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
    /// Code of the case, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<&'static str>,
    /// Why it is not met.
    pub findings: Vec<Finding>,
}

/// A case of the battery.
#[derive(Debug, Clone, Serialize)]
pub struct CaseLine {
    /// Code.
    pub case: &'static str,
    /// How often it was sent.
    pub attempts: u32,
    /// MsgId of the latest attempt.
    pub msg_id: String,
    /// When it was sent, microseconds since 1970.
    pub sent_at_us: i64,
    /// Tracks of the messages: pages of the message browser.
    pub tracks: Vec<String>,
    /// Whether the receiver's side has taken all of it.
    pub fetched: bool,
    /// Errors on the transport.
    pub conditions: Vec<String>,
    /// Receipts: 8258 and codes of 8221.
    pub receipts: Vec<ReceiptLine>,
}

/// A receipt.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptLine {
    /// Its track.
    pub track: String,
    /// When it came.
    pub at_us: i64,
    /// 8258.
    pub status: Option<String>,
    /// Codes of list 8221.
    pub codes: Vec<String>,
}

/// A message of a sending run.
#[derive(Debug, Clone, Serialize)]
pub struct MessageLine {
    /// Its track.
    pub track: String,
    /// When it came.
    pub at_us: i64,
    /// MsgId.
    pub msg_id: String,
    /// Function (8279).
    pub function: String,
    /// What it shows.
    pub cases: Vec<SendCase>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// A synthetic person.
#[derive(Debug, Clone, Serialize)]
pub struct Patient {
    /// National identifier.
    pub nin: String,
    /// Kind (8116).
    pub kind: &'static str,
    /// Name.
    pub name: String,
    /// Birth date.
    pub born: String,
    /// 3101.
    pub sex: &'static str,
}

impl From<TestPatient> for Patient {
    fn from(patient: TestPatient) -> Self {
        Self {
            name: format!("{} {}", patient.given_name, patient.family_name),
            nin: patient.nin,
            kind: patient.kind,
            born: patient.born.to_string(),
            sex: patient.sex,
        }
    }
}

/// What the history of a message says for the rules.
#[must_use]
pub fn facts_of(track: &Track) -> TrackFacts {
    let mut facts = TrackFacts::default();
    for step in &track.steps {
        match &step.what {
            StepKind::Settled | StepKind::Acknowledged => facts.fetched = true,
            StepKind::ReceiptFetched => facts.receipt_fetched = true,
            StepKind::ErrorArrived { condition } | StepKind::TransportRefused { condition } => {
                facts.condition.get_or_insert_with(|| condition.clone());
            }
            StepKind::DeadLetter { .. } => {
                facts
                    .condition
                    .get_or_insert_with(|| "dead-letter".to_owned());
            }
            StepKind::GivenUp { condition } | StepKind::Refused { condition } => {
                facts.not_sent.get_or_insert_with(|| condition.clone());
            }
            _ => {}
        }
    }
    facts
}

impl Approvals {
    fn facts(&self, track: &str) -> TrackFacts {
        let found = self.inner.exchange.facts(track);
        found
            .ok()
            .flatten()
            .as_ref()
            .map(facts_of)
            .unwrap_or_default()
    }

    /// A run in a list: where the approved stands as it stood.
    pub(super) fn line_of(&self, run: &Run) -> RunLine {
        let kept = |name: &str| {
            let report = run.report.as_ref()?;
            usize::try_from(report.get(name)?.as_u64()?).ok()
        };
        match (kept("met"), kept("all")) {
            (Some(met), Some(all)) => line(run, all, met, 0),
            _ => self.report_of(run).line,
        }
    }

    /// The report as it is now.
    pub(super) fn report_of(&self, run: &Run) -> Report {
        let judgements = judge::run(run, &|track| self.facts(track));
        let count = |state| judgements.iter().filter(|j| j.state == state).count();
        let (met, not_met) = (count(State::Passed), count(State::Failed));
        let passed = met == judgements.len();
        let line = line(run, judgements.len(), met, not_met);
        let criteria = judgements
            .into_iter()
            .map(|judgement| Line {
                id: judgement.criterion.id,
                family: judgement.criterion.family,
                rule: judgement.criterion.rule,
                words: judgement.criterion.words,
                state: judgement.state,
                self_declared: judgement.criterion.kind == Kind::Declared,
                declared: run.declared.get(judgement.criterion.id).cloned(),
                case: match judgement.criterion.kind {
                    Kind::Case(case) => Some(case.code()),
                    Kind::Shown(case) => Some(case.code()),
                    _ => None,
                },
                findings: judgement.findings,
            })
            .collect();
        Report {
            line,
            test_party: self.her_id(),
            passed,
            criteria,
            cases: run.cases.iter().map(|case| self.case_line(case)).collect(),
            messages: messages(run),
            strays: run.strays.len(),
            patients: match run.direction {
                Direction::Receive => self.patients().into_iter().map(Patient::from).collect(),
                Direction::Send => Vec::new(),
            },
        }
    }

    fn case_line(&self, run: &super::model::CaseRun) -> CaseLine {
        let facts: Vec<TrackFacts> = run.sent.tracks.iter().map(|t| self.facts(t)).collect();
        CaseLine {
            case: run.case.code(),
            attempts: run.attempts,
            msg_id: run.sent.msg_id.clone(),
            sent_at_us: run.sent.at_us,
            tracks: run.sent.tracks.clone(),
            fetched: facts.len() >= run.case.messages() && facts.iter().all(|facts| facts.fetched),
            conditions: facts
                .into_iter()
                .filter_map(|facts| facts.condition)
                .collect(),
            receipts: run
                .receipts
                .iter()
                .map(|receipt| ReceiptLine {
                    track: receipt.track.clone(),
                    at_us: receipt.at_us,
                    status: receipt.status.clone(),
                    codes: receipt.codes.clone(),
                })
                .collect(),
        }
    }
}

fn messages(run: &Run) -> Vec<MessageLine> {
    run.judged
        .iter()
        .rev()
        .map(|judged| MessageLine {
            track: judged.track.clone(),
            at_us: judged.at_us,
            msg_id: judged.msg_id.clone(),
            function: judged.function.clone(),
            cases: judged.cases.clone(),
            findings: judged.findings.clone(),
        })
        .collect()
}

fn line(run: &Run, all: usize, met: usize, not_met: usize) -> RunLine {
    RunLine {
        id: run.id.clone(),
        system: run.system.clone(),
        standard: run.standard.code(),
        standard_name: run.standard.name(),
        direction: run.direction,
        transport: run.transport,
        status: run.status,
        started_at_us: run.started_at_us,
        finished_at_us: run.finished_at_us,
        all,
        met,
        not_met,
    }
}
