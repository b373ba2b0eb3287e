//! The rules of judging, as functions from values to values: what a receipt must be, what a case must be answered with, what a sent
//! message shows, and where every criterion of a run stands.

mod messages;
mod receipts;

pub use messages::{message, unreadable};
pub use receipts::{receipt, sealed_receipt};

use edi::xml::{Elem, XmlDoc};
use serde::Serialize;

use super::criteria::{Criterion, Kind};
use super::model::{CaseRun, Finding, Judged, MAX_FINDINGS, Run};
use super::standard::{Case, SendCase};

/// What may come back for a case. Nothing of it: no answer may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// A positive receipt is right.
    pub positive: bool,
    /// A negative receipt with one of these codes is right.
    pub negative: &'static [&'static str],
    /// An error on the transport, without receipt, is right.
    pub transport_error: bool,
}

impl Expect {
    /// Any answer is wrong.
    #[must_use]
    pub fn nothing(self) -> bool {
        !self.positive && self.negative.is_empty() && !self.transport_error
    }
}

/// What a case must be answered with (spec/messaging.md §1.1, §2).
#[must_use]
pub fn expect(case: Case) -> Expect {
    let of = |positive, negative, transport_error| Expect {
        positive,
        negative,
        transport_error,
    };
    match case {
        Case::Normal
        | Case::Change
        | Case::Cancel
        | Case::SeveralIds
        | Case::DNumber
        | Case::UnknownCode
        | Case::Duplicate => of(true, &[], false),
        Case::NoPatientId => of(false, &["E30", "E35", "E36"], false),
        // Who keeps documents by identifier alone may ask for one.
        Case::BirthDateOnly => of(true, &["E30", "E35"], false),
        Case::WrongPatientId => of(false, &["E31", "E36"], false),
        Case::Attachment => of(true, &["T10", "T99", "X99"], false),
        Case::TooBig => of(true, &["T01", "T02", "T10", "T99", "X99"], true),
        Case::BadMsgId => of(false, &["E10"], false),
        Case::WrongAddressee => of(false, &["E10", "E21"], true),
        Case::WrongNamespace => of(false, &["T01", "T02", "T10", "T99"], true),
        Case::NotWellFormed => of(false, &["T01", "T02"], true),
        Case::Receipt => of(false, &[], false),
    }
}

/// Between whom a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// The vendor's HER-id, level 2.
    pub vendor: u32,
    /// The hub's test party, level 2.
    pub hub: u32,
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        criterion: &str,
        rule: &str,
        place: Option<(&XmlDoc, &Elem)>,
        nb: &str,
        en: &str,
    ) {
        if self.0.len() >= MAX_FINDINGS {
            return;
        }
        let (line, column, element) = place.map_or((0, 0, String::new()), |(doc, e)| {
            (e.at.line, e.at.column, doc.path(e.at))
        });
        self.0.push(Finding {
            criterion: criterion.to_owned(),
            rule: rule.to_owned(),
            line,
            column,
            element,
            nb: nb.to_owned(),
            en: en.to_owned(),
        });
    }

    fn validator(&mut self, criterion: &str, finding: &edi::check::Finding) {
        if self.0.len() < MAX_FINDINGS {
            self.0.push(Finding {
                criterion: criterion.to_owned(),
                rule: finding.rule.clone(),
                line: finding.line,
                column: finding.column,
                element: finding.element.clone(),
                nb: finding.text_nb.clone(),
                en: finding.text_en.clone(),
            });
        }
    }
}
/// What the exchange knows of a message now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackFacts {
    /// The receiver's side has taken it.
    pub fetched: bool,
    /// It was answered with an error on the transport.
    pub condition: Option<String>,
    /// The hub could not send it.
    pub not_sent: Option<String>,
    /// The sender has fetched its receipt.
    pub receipt_fetched: bool,
}

/// Where a criterion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Met.
    Passed,
    /// Not met.
    Failed,
    /// Not shown yet, not answered yet, or not declared yet.
    Waiting,
}

/// A criterion of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Which.
    pub criterion: &'static Criterion,
    /// Where it stands.
    pub state: State,
    /// Why not.
    pub findings: Vec<Finding>,
}

/// Where every criterion of a run stands. `facts` tells what the exchange knows of a track.
#[must_use]
pub fn run(run: &Run, facts: &dyn Fn(&str) -> TrackFacts) -> Vec<Judgement> {
    super::criteria::CRITERIA
        .iter()
        .filter(|criterion| criterion.direction == run.direction)
        .filter(|criterion| criterion.belongs_to(run.standard, |case| run.case(case).is_some()))
        .map(|criterion| {
            let (state, findings) = one(run, criterion, facts);
            Judgement {
                criterion,
                state,
                findings,
            }
        })
        .collect()
}

fn one(
    run: &Run,
    criterion: &'static Criterion,
    facts: &dyn Fn(&str) -> TrackFacts,
) -> (State, Vec<Finding>) {
    let all_receipts = || {
        let of_cases = run.cases.iter().flat_map(|case| &case.receipts);
        of_cases.chain(&run.strays)
    };
    match criterion.kind {
        Kind::Fetched => {
            let is_taken = |case: &CaseRun| {
                case.sent.tracks.len() >= case.case.messages()
                    && case.sent.tracks.iter().all(|track| {
                        let facts = facts(track);
                        facts.fetched || facts.condition.is_some()
                    })
            };
            let not_sent = run.cases.iter().flat_map(|case| {
                let tracks = case.sent.tracks.iter();
                tracks.filter_map(|track| facts(track).not_sent.map(|why| (case.case, why)))
            });
            let found: Vec<Finding> = not_sent
                .map(|(case, why)| {
                    let case = case.code();
                    simple(
                        criterion,
                        &format!("Navet kunne ikke levere meldingen ({case}): {why}."),
                        &format!("The hub could not deliver the message ({case}): {why}."),
                    )
                })
                .take(MAX_FINDINGS)
                .collect();
            if found.is_empty() {
                waiting_unless(run.cases.iter().all(is_taken))
            } else {
                (State::Failed, found)
            }
        }
        Kind::Receipts => {
            let found = all_receipts()
                .flat_map(|receipt| &receipt.findings)
                .filter(|finding| finding.criterion == criterion.id);
            let found: Vec<Finding> = found.take(MAX_FINDINGS).cloned().collect();
            judged(found, all_receipts().next().is_some())
        }
        Kind::OneReceipt => {
            let several = run.cases.iter().filter(|case| case.receipts.len() > 1);
            let found = several.map(|case| {
                simple(
                    criterion,
                    &format!("Flere kvitteringer for én melding ({}).", case.case.code()),
                    &format!("Several receipts for one message ({}).", case.case.code()),
                )
            });
            let found: Vec<Finding> = found.collect();
            judged(found, all_receipts().next().is_some())
        }
        Kind::Case(case) => match run.case(case) {
            Some(case) => case_state(criterion, case, facts),
            None => (State::Waiting, Vec::new()),
        },
        Kind::Messages => {
            let found = standing(run)
                .flat_map(|judged| &judged.findings)
                .filter(|finding| finding.criterion == criterion.id);
            let found: Vec<Finding> = found.take(MAX_FINDINGS).cloned().collect();
            judged(found, !run.judged.is_empty())
        }
        Kind::Shown(case) => match run.latest(case) {
            None => (State::Waiting, Vec::new()),
            Some(latest) => judged(latest.findings.clone(), true),
        },
        Kind::ReceiptsFetched => {
            let mut taken = run.judged.iter().filter(|judged| !judged.cases.is_empty());
            let is_fetched =
                !run.judged.is_empty() && taken.all(|judged| facts(&judged.track).receipt_fetched);
            waiting_unless(is_fetched)
        }
        Kind::Declared => match run.declared.get(criterion.id) {
            None => (State::Waiting, Vec::new()),
            Some(declared) if declared.answer => (State::Passed, Vec::new()),
            Some(_) => (State::Failed, Vec::new()),
        },
    }
}

/// The messages that count: the latest of each case, and the last that came, so that what was mended counts no more.
fn standing(run: &Run) -> impl Iterator<Item = &Judged> {
    let mut latest: Vec<&Judged> = SendCase::ALL
        .into_iter()
        .filter_map(|case| run.latest(case))
        .chain(run.judged.last())
        .collect();
    latest.sort_by(|a, b| a.track.cmp(&b.track));
    latest.dedup_by(|a, b| a.track == b.track);
    latest.into_iter()
}

fn waiting_unless(is_done: bool) -> (State, Vec<Finding>) {
    let state = if is_done {
        State::Passed
    } else {
        State::Waiting
    };
    (state, Vec::new())
}

fn judged(findings: Vec<Finding>, has_proof: bool) -> (State, Vec<Finding>) {
    let state = match (findings.is_empty(), has_proof) {
        (false, _) => State::Failed,
        (true, true) => State::Passed,
        (true, false) => State::Waiting,
    };
    (state, findings)
}

fn simple(criterion: &Criterion, nb: &str, en: &str) -> Finding {
    Finding {
        criterion: criterion.id.to_owned(),
        rule: criterion.rule.to_owned(),
        nb: nb.to_owned(),
        en: en.to_owned(),
        ..Finding::default()
    }
}

fn case_state(
    criterion: &Criterion,
    case: &CaseRun,
    facts: &dyn Fn(&str) -> TrackFacts,
) -> (State, Vec<Finding>) {
    let wanted = expect(case.case);
    let tracks: Vec<TrackFacts> = case.sent.tracks.iter().map(|track| facts(track)).collect();
    let conditions: Vec<&String> = tracks.iter().filter_map(|t| t.condition.as_ref()).collect();
    let mut findings = Vec::new();
    for receipt in &case.receipts {
        let codes = receipt.codes.join(", ");
        let is_right = match receipt.status.as_deref() {
            Some("1") => wanted.positive,
            Some("2") => receipt
                .codes
                .iter()
                .any(|code| wanted.negative.contains(&code.as_str())),
            // What could not be read is said by the criteria of receipts.
            None => !wanted.nothing(),
            Some(_) => false,
        };
        if !is_right {
            let status = receipt.status.as_deref().unwrap_or("-");
            findings.push(simple(
                criterion,
                &format!(
                    "Kvittert med status {status} ({codes}); ventet {}.",
                    words(wanted).0
                ),
                &format!(
                    "Answered with status {status} ({codes}); expected {}.",
                    words(wanted).1
                ),
            ));
        }
    }
    if !wanted.transport_error {
        findings.extend(conditions.iter().map(|condition| {
            simple(
                criterion,
                &format!(
                    "Feil på transportnivå ({condition}); ventet {}.",
                    words(wanted).0
                ),
                &format!(
                    "Error on the transport ({condition}); expected {}.",
                    words(wanted).1
                ),
            )
        }));
    }
    let answers = case.receipts.len() + conditions.len();
    if answers > 1 {
        findings.push(simple(
            criterion,
            "Mer enn ett svar.",
            "More than one answer.",
        ));
    }
    let all_fetched = tracks.len() >= case.case.messages()
        && tracks
            .iter()
            .all(|track| track.fetched || track.condition.is_some());
    let has_proof = if wanted.nothing() || case.case == Case::Duplicate {
        all_fetched && (wanted.nothing() || answers > 0)
    } else {
        answers > 0
    };
    judged(findings, has_proof)
}

fn words(wanted: Expect) -> (String, String) {
    if wanted.nothing() {
        return ("ingen kvittering".to_owned(), "no receipt".to_owned());
    }
    let mut nb = Vec::new();
    let mut en = Vec::new();
    if wanted.positive {
        nb.push("status 1".to_owned());
        en.push("status 1".to_owned());
    }
    if !wanted.negative.is_empty() {
        let codes = wanted.negative.join(", ");
        nb.push(format!("status 2 med {codes}"));
        en.push(format!("status 2 with {codes}"));
    }
    if wanted.transport_error {
        nb.push("feil på transportnivå".to_owned());
        en.push("a transport error".to_owned());
    }
    (nb.join(" eller "), en.join(" or "))
}

#[cfg(test)]
mod tests;
