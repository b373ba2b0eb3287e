//! The rules of judging, as functions from values to values: what a receipt must be, what a case must be answered with, what a sent
//! message shows, and where every criterion of a run stands.

use edi::apprec::{self, AppRec, ErrorCode, Version};
use edi::check::{Checked, Rule, Severity};
use edi::message::Header;
use edi::xml::{Elem, XmlDoc};
use serde::Serialize;
use uuid::Uuid;

use super::criteria::{Criterion, Kind};
use super::model::{CaseRun, Finding, Judged, MAX_FINDINGS, Run, SeenReceipt, Sent};
use super::standard::{Case, SendCase, Standard};

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
    fn add(&mut self, criterion: &str, rule: &str, place: Option<(&XmlDoc, &Elem)>, nb: &str, en: &str) {
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

/// A receipt that could not be opened or read: the condition says why.
#[must_use]
pub fn sealed_receipt(track: &str, at_us: i64, condition: &str) -> SeenReceipt {
    let mut findings = Findings(Vec::new());
    let is_content = matches!(
        condition,
        "transport:not-well-formed-xml"
            | "transport:xml-not-interpretable"
            | "transport:invalid-encoding"
            | "transport:unsupported-message"
    );
    let (criterion, nb, en) = match condition {
        "abuse:spoofing-attack" => (
            "R-A04",
            "Avsenderen i kvitteringen er ikke avsenderen i konvolutten.",
            "The sender in the receipt is not the sender in the envelope.",
        ),
        _ if is_content => (
            "R-A02",
            "Kvitteringen kunne ikke leses.",
            "The receipt could not be read.",
        ),
        _ => (
            "R-A05",
            "Kvitteringen kunne ikke åpnes, eller signaturen gjelder ikke.",
            "The receipt could not be opened, or its signature does not hold.",
        ),
    };
    findings.add(criterion, condition, None, nb, en);
    SeenReceipt {
        track: track.to_owned(),
        at_us,
        findings: findings.0,
        ..SeenReceipt::default()
    }
}

/// A receipt that was read, against what it should answer; `sent` is absent when it answers nothing that was sent.
#[must_use]
pub fn receipt(
    checked: &Checked,
    standard: Standard,
    between: Between,
    sent: Option<&Sent>,
) -> SeenReceipt {
    let mut findings = Findings(Vec::new());
    for finding in checked.findings.iter().filter(|f| f.severity == Severity::Error) {
        let criterion = match finding.rule_id {
            Rule::Sender | Rule::Receiver | Rule::Address => "R-A04",
            Rule::MsgId => "R-A08",
            Rule::Receipt => "R-A06",
            _ => "R-A02",
        };
        findings.validator(criterion, finding);
    }
    let mut seen = SeenReceipt::default();
    let (Some(doc), Some(root)) = (checked.doc.as_ref(), checked.message()) else {
        seen.findings = findings.0;
        return seen;
    };
    let Ok(apprec) = AppRec::read_elem(root) else {
        findings.add(
            "R-A02",
            "HIS 80415",
            Some((doc, root)),
            "Dokumentet er ingen fullstendig applikasjonskvittering.",
            "The document is no complete application receipt.",
        );
        seen.findings = findings.0;
        return seen;
    };
    seen.status = Some(apprec.status.code().to_owned());
    seen.codes = apprec
        .errors
        .iter()
        .take(10)
        .map(|error| error.code().chars().take(10).collect())
        .collect();
    let at = |path: &[&str]| root.descend(path).map(|e| (doc, e)).or(Some((doc, root)));
    version(&mut findings, root, &apprec, standard.receipt_version(), &at);
    outcome(&mut findings, &apprec, &at);
    if Uuid::try_parse(apprec.id.trim()).is_err() {
        findings.add(
            "R-A08",
            "HIS 80415 Id",
            at(&["Id"]),
            "Id er ingen UUID.",
            "Id is no UUID.",
        );
    }
    parties(&mut findings, checked.header.as_ref(), between, &at);
    references(&mut findings, &apprec, sent, &at);
    seen.findings = findings.0;
    seen
}

type Place<'a> = Option<(&'a XmlDoc, &'a Elem)>;

fn version<'a>(
    findings: &mut Findings,
    root: &Elem,
    apprec: &AppRec,
    wanted: Version,
    at: &impl Fn(&[&str]) -> Place<'a>,
) {
    let namespace = match wanted {
        Version::V1_0 => apprec::NS_1_0,
        Version::V1_1 => apprec::NS,
    };
    if &*root.ns != namespace {
        findings.add(
            "R-A01",
            "HIS 80415",
            at(&[]),
            "Kvitteringen har en annen versjon (navnerom) enn meldingen skal ha.",
            "The receipt has another version (namespace) than the message asks for.",
        );
    } else if apprec.mig_version.trim() != wanted.mig_version() {
        findings.add(
            "R-A01",
            "HIS 80415 MIGversion",
            at(&["MIGversion"]),
            "MIGversion hører ikke til navnerommet.",
            "MIGversion does not belong to the namespace.",
        );
    }
}

fn outcome<'a>(findings: &mut Findings, apprec: &AppRec, at: &impl Fn(&[&str]) -> Place<'a>) {
    let known = apprec
        .errors
        .iter()
        .filter(|error| ErrorCode::parse(error.code()).is_some())
        .count();
    let (nb, en) = match (apprec.status.code(), apprec.errors.len()) {
        ("1", 0) => return,
        ("1", _) => (
            "Positiv kvittering med feilkode.",
            "Positive receipt with an error code.",
        ),
        ("2", 0) => (
            "Negativ kvittering uten feilkode.",
            "Negative receipt without error code.",
        ),
        ("2", all) if known == all => return,
        ("2", _) => (
            "Feilkoden står ikke i kodeverk 8221.",
            "The error code is not in code list 8221.",
        ),
        _ => (
            "Status skal være 1 eller 2 for denne meldingen.",
            "Status must be 1 or 2 for this message.",
        ),
    };
    findings.add("R-A06", "HIS 80415 Status", at(&["Status"]), nb, en);
}

fn parties<'a>(
    findings: &mut Findings,
    header: Option<&Header>,
    between: Between,
    at: &impl Fn(&[&str]) -> Place<'a>,
) {
    let Some(header) = header else { return };
    if header.sender.routing_her_id() != Some(between.vendor) {
        findings.add(
            "R-A04",
            "HIS 80415 Sender",
            at(&["Sender"]),
            "Avsenderen av kvitteringen er ikke den som mottok meldingen.",
            "The receipt's sender is not the one that received the message.",
        );
    }
    if header.receiver.routing_her_id() != Some(between.hub) {
        findings.add(
            "R-A04",
            "HIS 80415 Receiver",
            at(&["Receiver"]),
            "Mottakeren av kvitteringen er ikke den som sendte meldingen.",
            "The receipt's receiver is not the one that sent the message.",
        );
    }
}

fn references<'a>(
    findings: &mut Findings,
    apprec: &AppRec,
    sent: Option<&Sent>,
    at: &impl Fn(&[&str]) -> Place<'a>,
) {
    let Some(sent) = sent else {
        findings.add(
            "R-A03",
            "HIS 80415 OriginalMsgId/Id",
            at(&["OriginalMsgId", "Id"]),
            "Kvitteringen viser til en MsgId som ikke er sendt i denne testen.",
            "The receipt refers to a MsgId that was not sent in this run.",
        );
        return;
    };
    if apprec.original.msg_type.code() != sent.function {
        findings.add(
            "R-A03",
            "HIS 80415 OriginalMsgId/MsgType",
            at(&["OriginalMsgId", "MsgType"]),
            "Typen er ikke den opprinnelige meldingens.",
            "The type is not that of the original message.",
        );
    }
    let same_time = apprec.original.issue_date.text.trim() == sent.gen_date
        || matches!(
            (apprec.original.issue_date.instant(), edi::value::Time::from(sent.gen_date.as_str()).instant()),
            (Some(named), Some(made)) if named == made
        );
    if !same_time {
        findings.add(
            "R-A03",
            "HIS 80415 OriginalMsgId/IssueDate",
            at(&["OriginalMsgId", "IssueDate"]),
            "Tiden er ikke den opprinnelige meldingens GenDate.",
            "The time is not the original message's GenDate.",
        );
    }
}

/// Which criterion of sending a rule of the validator counts against.
fn criterion_of(rule: Rule) -> &'static str {
    match rule {
        Rule::Encoding | Rule::WellFormed | Rule::NoDoctype | Rule::Size => "S-X01",
        Rule::NotOpened | Rule::Ebxml => "S-E01",
        Rule::Known | Rule::Version => "S-X02",
        Rule::MsgId => "S-X04",
        Rule::NationalId
        | Rule::NationalIdKnown
        | Rule::PatientId
        | Rule::PatientData
        | Rule::PatientAgrees => "S-P01",
        Rule::Sender | Rule::Receiver | Rule::Address => "S-A01",
        Rule::Attachment => "S-B01",
        Rule::Structure
        | Rule::Codes
        | Rule::Processing
        | Rule::Time
        | Rule::Type
        | Rule::Receipt
        | Rule::Business => "S-X03",
    }
}

/// Judges one message of the vendor: what it shows, and what is wrong with it. `before` are those of the run that came earlier.
#[must_use]
pub fn message(checked: &Checked, standard: Standard, function: &str, before: &[Judged]) -> Judged {
    let mut findings = Findings(Vec::new());
    for finding in checked.findings.iter().filter(|f| f.severity == Severity::Error) {
        findings.validator(criterion_of(finding.rule_id), finding);
    }
    let mut judged = Judged {
        function: function.to_owned(),
        ..Judged::default()
    };
    let (Some(doc), Some(header), Some(root)) =
        (checked.doc.as_ref(), checked.header.as_ref(), checked.message())
    else {
        judged.findings = findings.0;
        return judged;
    };
    judged.msg_id = header.msg_id.chars().take(100).collect();
    judged.document_key = header
        .document_key
        .as_ref()
        .map(|key| key.chars().take(100).collect());
    let identified = &checked.identified;
    let namespace = identified
        .payload_namespace
        .as_deref()
        .unwrap_or(&identified.root_namespace);
    if namespace != standard.namespace() {
        findings.add(
            "S-X02",
            standard.name(),
            Some((doc, root)),
            "Dokumentets navnerom er ikke standardens.",
            "The document's namespace is not that of the standard.",
        );
    }
    let named = header.document_type.as_ref().map(edi::value::Coded::code);
    if named != Some(function) {
        findings.add(
            "S-E01",
            "HISD 1209",
            Some((doc, root)),
            "Funksjonen i konvolutten er en annen enn dokumentets type.",
            "The envelope's function is another than the document's type.",
        );
    }
    if !standard.functions().contains(&function) {
        findings.add(
            "S-E01",
            "8279",
            None,
            "Funksjonen hører ikke til standarden.",
            "The function does not belong to the standard.",
        );
    }
    let is_used = before.iter().any(|earlier| {
        !earlier.msg_id.is_empty() && earlier.msg_id.eq_ignore_ascii_case(&judged.msg_id)
    });
    if is_used {
        findings.add(
            "S-X04",
            "HIS 80601 MsgId",
            None,
            "MsgId er brukt før.",
            "MsgId was used before.",
        );
    }
    let refers_back = before
        .iter()
        .any(|earlier| judged.document_key.is_some() && earlier.document_key == judged.document_key);
    judged.cases = shown(root, header, refers_back, before);
    if matches!(header.serv_type.as_deref(), Some("M" | "C")) && !refers_back {
        let criterion = if header.serv_type.as_deref() == Some("M") {
            "S-C02"
        } else {
            "S-C03"
        };
        findings.add(
            criterion,
            "7309",
            Some((doc, root)),
            "Det er ikke sendt noe dokument med denne nøkkelen tidligere i testen.",
            "No document with this key was sent earlier in the run.",
        );
        let case = if criterion == "S-C02" {
            SendCase::Change
        } else {
            SendCase::Cancel
        };
        judged.cases.push(case);
    }
    judged.findings = findings.0;
    judged
}

/// The cases that a message shows, by its content.
fn shown(root: &Elem, header: &Header, refers_back: bool, before: &[Judged]) -> Vec<SendCase> {
    let mut cases = Vec::new();
    match header.serv_type.as_deref() {
        Some("M") if refers_back => cases.push(SendCase::Change),
        Some("C") if refers_back => cases.push(SendCase::Cancel),
        Some("M" | "C") => {}
        _ => cases.push(SendCase::Normal),
    }
    let is_attachment = |e: &Elem| {
        &*e.name == "RefDoc" && e.child("MsgType").and_then(|kind| kind.attr("V")) == Some("A")
    };
    if root.find(&is_attachment).is_some() {
        cases.push(SendCase::Attachment);
    }
    let has_fnr = header
        .patient
        .as_ref()
        .is_some_and(|patient| patient.ids.iter().any(|id| id.kind == "FNR"));
    if header.patient.is_some() && !has_fnr {
        cases.push(SendCase::OtherId);
    }
    let refers = |id: &Option<String>| {
        let id = id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        id.is_some_and(|id| {
            before
                .iter()
                .any(|earlier| earlier.msg_id.eq_ignore_ascii_case(id))
        })
    };
    if refers(&header.ref_to_parent) && refers(&header.ref_to_conversation) {
        cases.push(SendCase::Reply);
    }
    cases
}

/// A message of the vendor that could not be opened or read.
#[must_use]
pub fn unreadable(function: &str, condition: &str, description: &str) -> Judged {
    let criterion = match condition {
        "transport:not-well-formed-xml"
        | "transport:xml-not-interpretable"
        | "transport:invalid-encoding" => "S-X01",
        "transport:unsupported-message" => "S-X02",
        "abuse:spoofing-attack" => "S-A01",
        _ => "S-E01",
    };
    let mut findings = Findings(Vec::new());
    findings.add(
        criterion,
        condition,
        None,
        &format!("Meldingen kunne ikke tas imot: {description}"),
        &format!("The message could not be taken: {description}"),
    );
    Judged {
        function: function.to_owned(),
        findings: findings.0,
        ..Judged::default()
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
        .filter(|criterion| {
            criterion.belongs_to(run.standard, |case| run.case(case).is_some())
        })
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
    let state = if is_done { State::Passed } else { State::Waiting };
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
            Some("2") => receipt.codes.iter().any(|code| wanted.negative.contains(&code.as_str())),
            // What could not be read is said by the criteria of receipts.
            None => !wanted.nothing(),
            Some(_) => false,
        };
        if !is_right {
            let status = receipt.status.as_deref().unwrap_or("-");
            findings.push(simple(
                criterion,
                &format!("Kvittert med status {status} ({codes}); ventet {}.", words(wanted).0),
                &format!("Answered with status {status} ({codes}); expected {}.", words(wanted).1),
            ));
        }
    }
    if !wanted.transport_error {
        findings.extend(conditions.iter().map(|condition| {
            simple(
                criterion,
                &format!("Feil på transportnivå ({condition}); ventet {}.", words(wanted).0),
                &format!("Error on the transport ({condition}); expected {}.", words(wanted).1),
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
        && tracks.iter().all(|track| track.fetched || track.condition.is_some());
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
