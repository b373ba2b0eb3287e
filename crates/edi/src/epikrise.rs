//! Epikrise 1.2 (discharge letter), with its own head.
//!
//! Source: epikrise 1.2 standard (`epikrise/2012-02-15`), documents.md §4, messaging.md §3. Version 1.1 is
//! recognised by [`crate::message`] but not read.

use crate::hcp::{AdditionalId, Address, CopyDestRole, Inst};
use crate::msghead::RefDoc;
use crate::svarrapport::{DateResult, Interval, Modifier, NumResult, SubLocation};
use crate::value::{Coded, Quantity, Rich, Ts, record, root};

/// Namespace of version 1.2.
pub const NS: &str = "http://www.kith.no/xmlstds/epikrise/2012-02-15";
/// Value of `MIGversion` for version 1.2.
pub const MIG_VERSION: &str = "v1.2 2012-02-15";

record! {
    /// The message.
    Message {
        /// Message type (8279), `EPIKRISE`.
        kind: Option<Coded> = "Type",
        /// Version of the sender's implementation.
        msg_version: Option<String> = "MsgVersion",
        /// [`MIG_VERSION`].
        mig_version: String = "MIGversion",
        /// When the message was made.
        gen_date: Ts = "GenDate",
        /// UUID.
        msg_id: String = "MsgId",
        /// 8323: `APR`, `NAPR`, `TEST`.
        status: Option<Coded> = "Status",
        /// The letter.
        report: ServRprt = "ServRprt",
    }
    /// The letter.
    ServRprt {
        /// 7309: `N` new, `M` change, `C` cancel.
        serv_type: Coded = "ServType",
        /// Date of the letter.
        issue_date: Ts = "IssueDate",
        /// Date of approval.
        approved: Option<Ts> = "ApprDate",
        /// 7306.
        status: Coded = "Status",
        /// Priority.
        priority: Option<Coded> = "Priority",
        /// Receipt wanted (7304).
        ack: Option<Coded> = "Ack",
        /// Kind of letter in words, such as `Sykehusepikrise`.
        description: String = "MsgDescr",
        /// The letter's identifier at the sender: the key of all its versions.
        report_id: Option<String> = "ServProvId",
        /// The referrals it answers.
        requests: Vec<ServReq> = "ServReq",
        /// Stays and contacts, done and planned.
        events: Vec<Event> = "Event",
        /// The patient.
        patient: Patient = "Patient",
        /// The sender.
        provider: Party = "ServProvider",
        /// Copy receivers.
        copies: Vec<CopyDest> = "CopyDest",
        /// The receiver.
        requester: Party = "Requester",
        /// Related personnel, for example the responsible doctor (`AHP`).
        related: Vec<RelatedProvider> = "RelServProvider",
        /// Attached documents.
        documents: Vec<RefDoc> = "RefDoc",
    }
    /// The referral that is answered.
    ServReq {
        /// 7309.
        serv_type: Coded = "ServType",
        /// When it was issued.
        issue_date: Ts = "IssueDate",
        /// When it was received.
        received: Option<Ts> = "ReceiptDate",
        /// Comment.
        comment: Option<String> = "ReqComment",
        /// Kind of referral (8455).
        description: Coded = "MsgDescr",
        /// Identifier.
        id: String = "Id",
        /// Reasons.
        reasons: Vec<Comment> = "ReasonAsText",
        /// Referral diagnoses.
        diagnoses: Vec<Concept> = "Diagnosis",
    }
    /// A coded condition with modifiers.
    Concept {
        /// The code.
        concept: Coded = "Concept",
        /// Modifiers.
        modifiers: Vec<Modifier> = "Modifier",
    }
    /// Text under a heading.
    Comment {
        /// Heading (8311, 8231).
        heading: Option<Coded> = "Heading",
        /// Text.
        text: Option<Rich> = "TextResultValue",
        /// Codes.
        codes: Vec<Coded> = "TextCode",
    }
    /// A stay or contact.
    Event {
        /// Planned, or …
        planned: Option<PlannedEvent> = "PlannedEvent",
        /// … done.
        reported: Option<ReportedEvent> = "ReportedEvent",
        /// 7309.
        serv_type: Coded = "ServType",
        /// Who is told.
        recipient: Option<Coded> = "Recipient",
        /// Priority.
        priority: Option<Coded> = "Priority",
        /// Where the patient went afterwards.
        outcome: Option<Coded> = "AdmOutcome",
        /// Expected duration.
        expected_duration: Option<Quantity> = "ExpDuration",
        /// Parts.
        parts: Vec<Event> = "Event",
        /// What kind of service.
        service: Service = "Service",
        /// Related personnel.
        related: Vec<RelatedProvider> = "RelServProvider",
        /// Other requests.
        requests: Vec<AssRequest> = "AssRequest",
        /// Places.
        places: Vec<EventLocation> = "EventLocation",
        /// Diagnoses, findings, medicines.
        info: Vec<InfItem> = "InfItem",
        /// Texts under headings (8311).
        comments: Vec<Comment> = "Comment",
        /// Coded comments.
        coded_comments: Vec<Concept> = "CodedComment",
    }
    /// A planned event.
    PlannedEvent {
        /// Stage of planning.
        stage: Option<Coded> = "PlanningStage",
        /// Status of the plan.
        status: Option<Coded> = "StatusOfPlan",
        /// Comment.
        comment: Option<String> = "PlanComment",
        /// Date of planning.
        planned: Option<Ts> = "PlanningDate",
        /// Date of the event.
        scheduled: Option<Ts> = "ScheduledDate",
        /// Who is told.
        advice_sent_to: Option<Coded> = "AdviceSentTo",
        /// Expected waiting.
        expected_delay: Option<Quantity> = "ExpectedDelay",
        /// Expected duration in words.
        duration_comment: Option<String> = "CommentExpDuration",
        /// Preparation.
        preparation: Option<String> = "Preparation",
        /// Advice.
        advice: Option<String> = "Advice",
        /// Transport.
        transport: Option<TransportArr> = "TransportArr",
    }
    /// Transport of the patient.
    TransportArr {
        /// Who arranges it.
        responsibility: Option<Coded> = "Responsibility",
        /// Status.
        status: Option<Coded> = "Status",
        /// What is needed.
        requirement: Option<Coded> = "TransportRequirement",
        /// Whether someone must come along.
        escort: Option<Coded> = "EscortRequired",
        /// Comment.
        comment: Option<String> = "Comment",
    }
    /// An event that took place.
    ReportedEvent {
        /// From.
        start: Ts = "StartDateTime",
        /// To.
        end: Option<Ts> = "EndDateTime",
    }
    /// A kind of service.
    Service {
        /// Service.
        id: Option<Coded> = "ServId",
        /// Medical specialty.
        specialty: Option<Coded> = "MedSpecialty",
        /// Kind of stay (8240): `1` overnight, `2` day, `3` outpatient.
        category: Option<Coded> = "AdmCat",
    }
    /// Another request.
    AssRequest {
        /// When.
        issue_date: Option<Ts> = "IssueDate",
        /// Kind.
        kind: Coded = "MsgType",
        /// Identifier.
        id: Option<String> = "Id",
    }
    /// A place of an event.
    EventLocation {
        /// Role.
        role: Option<Coded> = "Role",
        /// From.
        start: Option<Ts> = "StartDateTime",
        /// To.
        end: Option<Ts> = "EndDateTime",
        /// The place.
        location: Option<Location> = "Location",
    }
    /// A place.
    Location {
        /// Kind.
        kind: Option<Coded> = "Type",
        /// Description.
        description: Option<String> = "Description",
        /// Institution.
        inst: Option<Inst> = "Inst",
        /// Address.
        address: Option<Address> = "Address",
        /// Parts of it.
        parts: Vec<SubLocation> = "SubLocation",
    }
    /// A diagnosis, finding, medicine or other clinical information.
    InfItem {
        /// A result, or …
        result: Option<ResultItem> = "ResultItem",
        /// … a medicine, or …
        medication: Option<Medication> = "Medication",
        /// … an observation.
        observation: Option<Observation> = "Observation",
        /// Kind (8233): `H` main diagnosis, `B` other diagnosis, `MEDB` medicine, `CAVE`, …
        kind: Coded = "Type",
        /// From.
        start: Option<Ts> = "StartDateTime",
        /// To.
        end: Option<Ts> = "EndDateTime",
        /// First known.
        origin_date: Option<Ts> = "OrgDate",
    }
    /// A result.
    ResultItem {
        /// A text, or …
        text: Option<TextResult> = "TextResult",
        /// … an interval, or …
        interval: Option<Interval> = "Interval",
        /// … a number, or …
        number: Option<NumResult> = "NumResult",
        /// … a date.
        date: Option<DateResult> = "DateResult",
        /// 7309.
        serv_type: Option<Coded> = "ServType",
        /// When.
        examined: Option<Ts> = "InvDate",
        /// Comment.
        comment: Option<String> = "Comment",
        /// 8244.
        deviation: Option<Coded> = "DevResultInd",
        /// What was examined.
        investigation: ClinInv = "ClinInv",
        /// Diagnosis made from it.
        diagnosis: Option<Concept> = "DiagComment",
    }
    /// A text result.
    TextResult {
        /// The result.
        result: Option<Comment> = "Result",
    }
    /// What was examined.
    ClinInv {
        /// Code.
        id: Coded = "Id",
        /// Specifications.
        specs: Vec<Coded> = "Spec",
    }
    /// A medicine.
    Medication {
        /// ATC (7180) or other.
        drug: Coded = "DrugId",
        /// Dosage, coded.
        dosage_coded: Option<Coded> = "DosageCoded",
        /// Comment.
        comment: Option<String> = "Comment",
        /// Status of the medication.
        status: Coded = "Status",
        /// Form.
        form: Option<Coded> = "Form",
        /// Route.
        route: Option<Coded> = "RouteOfAdm",
        /// Duration.
        duration: Option<Quantity> = "IntendedDuration",
        /// Amount supplied.
        supplied: Option<Quantity> = "QuantitySupplied",
        /// Amount per unit.
        unit_dose: Option<Quantity> = "UnitDose",
        /// Dosage in words.
        dosage: Option<String> = "DosageText",
    }
    /// An observation.
    Observation {
        /// Text.
        description: Option<Rich> = "Description",
        /// Comment.
        comment: Option<String> = "Comment",
        /// Code, for example the diagnosis.
        code: Option<Concept> = "CodedDescr",
    }
    /// The patient.
    Patient {
        /// Administrative sex (3101).
        sex: Option<Coded> = "Sex",
        /// Birth date.
        birth_date: Option<Ts> = "DateOfBirth",
        /// Date of death.
        death_date: Option<Ts> = "DateOfDeath",
        /// Name, usually `Family, Given`.
        name: Option<String> = "Name",
        /// The sender's patient number.
        id_by_provider: Option<String> = "IdByServProvider",
        /// The receiver's patient number.
        id_by_requester: Option<String> = "IdByRequester",
        /// Official identifier.
        official_id: Option<String> = "OffId",
        /// Its kind (8116).
        official_id_type: Option<Coded> = "TypeOffId",
        /// Precautions.
        precautions: Vec<PatientPrecaution> = "PatientPrecaution",
        /// Relatives.
        relatives: Vec<PatientRelParty> = "PatientRelParty",
        /// Personnel around the patient, for example the GP (`FLE`).
        personnel: Vec<PatRelHcp> = "PatRelHCP",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
        /// Address.
        address: Option<Address> = "Address",
    }
    /// A precaution.
    PatientPrecaution {
        /// Text.
        text: String = "Precaution",
        /// From.
        start: Option<Ts> = "StartDateTime",
        /// To.
        end: Option<Ts> = "EndDateTime",
    }
    /// A relative.
    PatientRelParty {
        /// Relation.
        relation: Coded = "Relation",
        /// Name.
        name: Option<String> = "Name",
        /// Identifier.
        official_id: Option<String> = "RelPartyOffId",
        /// Address.
        address: Option<Address> = "Address",
    }
    /// Personnel around the patient.
    PatRelHcp {
        /// Relation (8254).
        relation: Coded = "Relation",
        /// From.
        start: Option<Ts> = "StartDateTime",
        /// To.
        end: Option<Ts> = "EndDateTime",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// Personnel with a relation to the letter or an event.
    RelatedProvider {
        /// Relation (8254).
        relation: Coded = "Relation",
        /// Role.
        role: Option<Coded> = "Role",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// Sender or receiver.
    Party {
        /// Role: `SPR`, `REQ`.
        role: Option<Coded> = "Role",
        /// How it wants to be reached (8235).
        com_method: Option<Coded> = "ComMethod",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// A copy receiver.
    CopyDest {
        /// Role.
        role: Option<Coded> = "Role",
        /// How the copy is sent.
        roles: Vec<CopyDestRole> = "CopyDestRole",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// A provider: an institution or a person. Like [`crate::hcp::Hcp`], with the spelling of this standard.
    Hcp {
        /// An institution, or …
        inst: Option<Inst> = "Inst",
        /// … a person.
        prof: Option<HcProf> = "HCProf",
        /// Medical specialty.
        specialty: Option<Coded> = "MedSpecialty",
        /// Address.
        address: Option<Address> = "Address",
    }
    /// A person outside an institution.
    HcProf {
        /// Profession (9060).
        kind: Option<Coded> = "Type",
        /// Position.
        position: Option<Coded> = "Position",
        /// Name.
        name: Option<String> = "Name",
        /// Qualifications.
        qualifications: Vec<Coded> = "Qual",
        /// Identifier.
        id: Option<String> = "Id",
        /// Its kind (8116).
        type_id: Option<Coded> = "TypeId",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
    }
}

impl From<Inst> for Hcp {
    fn from(inst: Inst) -> Self {
        Self {
            inst: Some(inst),
            ..Self::default()
        }
    }
}
impl From<Hcp> for Party {
    fn from(hcp: Hcp) -> Self {
        Self {
            hcp,
            ..Self::default()
        }
    }
}

impl Hcp {
    /// A person by HPR number.
    pub fn person(name: &str, hpr: u32) -> Self {
        let prof = HcProf {
            name: Some(name.to_owned()),
            id: Some(hpr.to_string()),
            type_id: Some(Coded::cs("HPR", "HPR-nummer")),
            ..HcProf::default()
        };
        Self {
            prof: Some(prof),
            ..Self::default()
        }
    }
}

impl InfItem {
    /// A coded diagnosis; `kind` from 8233, `H` for the main diagnosis.
    pub fn diagnosis(kind: Coded, code: Coded) -> Self {
        let code = Some(Concept {
            concept: code,
            ..Concept::default()
        });
        Self {
            observation: Some(Observation {
                code,
                ..Observation::default()
            }),
            kind,
            ..Self::default()
        }
    }
}

root! { Message, "Message", NS, NS, "epikrise 1.2" }
