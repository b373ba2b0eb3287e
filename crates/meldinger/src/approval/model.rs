//! What is kept: registered systems, and runs with everything that was seen in them. Plain values; the rules read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::standard::{Case, Direction, SendCase, Standard};
use crate::port::Transport;

/// A vendor's system in one version, with the message handler it uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Id; the key of its record.
    #[serde(default)]
    pub id: String,
    /// Level-1 HER-id of the vendor's organisation.
    pub organisation: u32,
    /// Name of the organisation, as the address register had it.
    pub organisation_name: String,
    /// HER-id under which the system is tried, level 2.
    pub her_id: u32,
    /// Name of the system.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Name of the message handler.
    pub msh_name: String,
    /// Its version.
    pub msh_version: String,
    /// When it was registered, clock of rules, microseconds since 1970.
    pub registered_at_us: i64,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// "Testing pågår".
    #[default]
    Testing,
    /// "OK": approved and published.
    Ok,
}

/// One thing found wrong, with its rule and its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The criterion it counts against.
    pub criterion: String,
    /// Rule: standard and element, or the validator's.
    pub rule: String,
    /// Line in the document, from 1; 0 when it concerns the whole.
    #[serde(default)]
    pub line: u32,
    /// Column, from 1; 0 when it concerns the whole.
    #[serde(default)]
    pub column: u32,
    /// Path of the element.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub element: String,
    /// Norwegian text; never quotes identifiers, names or clinical content.
    pub nb: String,
    /// English text.
    pub en: String,
}

/// One message of the battery as it was handed to the exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// MsgId in the document.
    pub msg_id: String,
    /// GenDate in the document.
    pub gen_date: String,
    /// Function (8279).
    pub function: String,
    /// When, clock of rules.
    pub at_us: i64,
    /// Tracks of the transport messages; empty until they were taken.
    #[serde(default)]
    pub tracks: Vec<String>,
    /// HER-id of level 2 that the document names as receiver.
    pub addressed_to: u32,
}

/// A receipt that came back, as far as the rules need it. Its content is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenReceipt {
    /// Its track.
    pub track: String,
    /// When it came, clock of rules.
    pub at_us: i64,
    /// 8258, when it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Codes of list 8221.
    #[serde(default)]
    pub codes: Vec<String>,
    /// What is wrong with it.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// A case of a receiving run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseRun {
    /// Which.
    pub case: Case,
    /// How often it was sent.
    pub attempts: u32,
    /// The latest attempt.
    pub sent: Sent,
    /// What came back about the latest attempt.
    #[serde(default)]
    pub receipts: Vec<SeenReceipt>,
}

/// A message of the vendor, judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Its track.
    pub track: String,
    /// When it came, clock of rules.
    pub at_us: i64,
    /// Its MsgId; empty when it could not be read.
    #[serde(default)]
    pub msg_id: String,
    /// Function (8279) of the envelope.
    pub function: String,
    /// Key of the document over its versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_key: Option<String>,
    /// What it shows.
    #[serde(default)]
    pub cases: Vec<SendCase>,
    /// What is wrong with it.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// What the vendor itself says of a criterion that the hub cannot see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Yes or no.
    pub answer: bool,
    /// In the vendor's own words.
    #[serde(default)]
    pub remark: String,
    /// When, clock of rules.
    #[serde(default)]
    pub at_us: i64,
}

/// One approval run: standard × direction × transport of one system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Id; the key of its record.
    #[serde(default)]
    pub id: String,
    /// The system as it was when the run began.
    pub system: System,
    /// Standard.
    pub standard: Standard,
    /// Direction.
    pub direction: Direction,
    /// Transport.
    pub transport: Transport,
    /// Status.
    #[serde(default)]
    pub status: Status,
    /// When it began, clock of rules.
    pub started_at_us: i64,
    /// When it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at_us: Option<i64>,
    /// Cases of a receiving run.
    #[serde(default)]
    pub cases: Vec<CaseRun>,
    /// Receipts that answer nothing that was sent.
    #[serde(default)]
    pub strays: Vec<SeenReceipt>,
    /// Messages of a sending run.
    #[serde(default)]
    pub judged: Vec<Judged>,
    /// Self-declarations by criterion.
    #[serde(default)]
    pub declared: BTreeMap<String, Declared>,
    /// The report of an approved run, as it was when it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<serde_json::Value>,
}

/// Messages of a sending run that are kept.
const MAX_JUDGED: usize = 40;
/// Receipts kept for one case, and receipts that answer nothing.
const MAX_RECEIPTS: usize = 8;
/// Findings kept of one message.
pub(super) const MAX_FINDINGS: usize = 12;

impl Run {
    /// Whether its index entries shall lead new messages to it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status == Status::Testing
    }

    /// The case that was sent with this MsgId.
    #[must_use]
    pub fn case_of(&self, msg_id: &str) -> Option<Case> {
        let found = self
            .cases
            .iter()
            .find(|run| run.sent.msg_id.eq_ignore_ascii_case(msg_id));
        found.map(|run| run.case)
    }

    /// A case.
    #[must_use]
    pub fn case(&self, case: Case) -> Option<&CaseRun> {
        self.cases.iter().find(|run| run.case == case)
    }

    /// Notes a receipt for a case, or one that answers nothing. One that was noted before is not noted again; false then.
    pub fn note_receipt(&mut self, case: Option<Case>, receipt: SeenReceipt) -> bool {
        let of_case = case.and_then(|case| self.cases.iter_mut().find(|run| run.case == case));
        let list = match of_case {
            Some(run) => &mut run.receipts,
            None => &mut self.strays,
        };
        if list.iter().any(|seen| seen.track == receipt.track) || list.len() >= MAX_RECEIPTS {
            return false;
        }
        list.push(receipt);
        true
    }

    /// Notes a message of the vendor. The oldest one that is nobody's latest proof goes when there are too many. False when it was noted before.
    pub fn note_judged(&mut self, judged: Judged) -> bool {
        if self.judged.iter().any(|seen| seen.track == judged.track) {
            return false;
        }
        self.judged.push(judged);
        if self.judged.len() > MAX_JUDGED {
            let latest: Vec<String> = SendCase::ALL
                .into_iter()
                .filter_map(|case| self.latest(case).map(|judged| judged.track.clone()))
                .collect();
            let spare = self
                .judged
                .iter()
                .position(|judged| !latest.contains(&judged.track));
            self.judged.remove(spare.unwrap_or_default());
        }
        true
    }

    /// The latest message that shows a case.
    #[must_use]
    pub fn latest(&self, case: SendCase) -> Option<&Judged> {
        self.judged
            .iter()
            .rev()
            .find(|judged| judged.cases.contains(&case))
    }
}

/// A line of the published list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approved {
    /// Name of the system.
    pub system: String,
    /// Its version.
    pub version: String,
    /// Message handler and version.
    pub msh: String,
    /// Vendor.
    pub vendor: String,
    /// Standard and version.
    pub standard: &'static str,
    /// Direction.
    pub direction: Direction,
    /// Transport.
    pub transport: Transport,
    /// When it was approved, microseconds since 1970.
    pub approved_at_us: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            id: "r".to_owned(),
            system: System::default(),
            standard: Standard::Epikrise12,
            direction: Direction::Send,
            transport: Transport::Amqp,
            status: Status::Testing,
            started_at_us: 0,
            finished_at_us: None,
            cases: Vec::new(),
            strays: Vec::new(),
            judged: Vec::new(),
            declared: BTreeMap::new(),
            report: None,
        }
    }

    #[test]
    fn the_only_proof_of_a_case_is_kept_whatever_comes_after() {
        let mut run = run();
        let message = |number: usize, cases: &[SendCase]| Judged {
            track: number.to_string(),
            cases: cases.to_vec(),
            ..Judged::default()
        };
        assert!(run.note_judged(message(0, &[SendCase::Cancel])));
        assert!(!run.note_judged(message(0, &[SendCase::Cancel])));
        for number in 1..200 {
            run.note_judged(message(number, &[SendCase::Normal]));
        }
        assert_eq!(run.judged.len(), MAX_JUDGED);
        assert_eq!(run.latest(SendCase::Cancel).unwrap().track, "0");
        assert_eq!(run.latest(SendCase::Normal).unwrap().track, "199");
        assert!(run.latest(SendCase::Change).is_none());
    }

    #[test]
    fn a_receipt_is_noted_once_and_not_without_end() {
        let mut run = run();
        let receipt = |track: usize| SeenReceipt {
            track: track.to_string(),
            ..SeenReceipt::default()
        };
        assert!(run.note_receipt(None, receipt(1)));
        assert!(!run.note_receipt(None, receipt(1)));
        for track in 0..100 {
            run.note_receipt(Some(Case::Normal), receipt(track));
        }
        // A case that was never sent: among those that answer nothing.
        assert_eq!(run.strays.len(), MAX_RECEIPTS);
    }
}
