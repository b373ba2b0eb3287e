//! Svarrapport 1.4 (laboratory and radiology answers), with its own head.
//!
//! Source: svarrapport 1.4 standard (`labsvar/2012-02-15`), nilar.md §2. Everything that the projection to
//! DiagnosticReport and Observation needs is kept, with printed units and decimals. One report per message;
//! version 1.3 (several reports) is recognised by [`crate::message`] but not read.

use crate::hcp::{AdditionalId, Address, CopyDest, Hcp, Inst, Party};
use crate::msghead::RefDoc;
use crate::value::{Coded, Flag, Quantity, Rich, Ts, record, root};

/// Namespace of version 1.4.
pub const NS: &str = "http://www.kith.no/xmlstds/labsvar/2012-02-15";
/// Value of `MIGversion` for version 1.4.
pub const MIG_VERSION: &str = "v1.4 2012-02-15";

record! {
    /// The message.
    Message {
        /// Message type (8279): `SVAR_LAB`, `SVAR_KKL`, `SVAR_MBIO`, `SVAR_HIST`, `SVAR_CYT`, `SVAR_RTG`.
        kind: Coded = "Type",
        /// Version of the sender's implementation.
        msg_version: Option<String> = "MsgVersion",
        /// [`MIG_VERSION`].
        mig_version: String = "MIGversion",
        /// When the message was made.
        gen_date: Ts = "GenDate",
        /// UUID.
        msg_id: String = "MsgId",
        /// 8323: `APR`, `NAPR`, `TEST`; describes the envelope, not the report.
        status: Option<Coded> = "Status",
        /// The report.
        report: Option<ServReport> = "ServReport",
    }
    /// The report.
    ServReport {
        /// 7309: `N` new, `M` change, `C` cancel, `A` addition, `H` history.
        serv_type: Coded = "ServType",
        /// Date of the report.
        issue_date: Ts = "IssueDate",
        /// Date of approval.
        approved: Option<Ts> = "ApprDate",
        /// 7306: `S` registered, `P` preliminary, `F` final, `A` addition.
        status: Coded = "Status",
        /// Why it was cancelled.
        cancellation: Option<Coded> = "CancellationCode",
        /// Receipt wanted (7304).
        ack: Option<Coded> = "Ack",
        /// Discipline (8202), for example `CLIN`.
        discipline: Coded = "MsgDescr",
        /// The report's identifier at the service provider: the key of all its versions.
        report_id: String = "ServProvId",
        /// Comment.
        comment: Option<String> = "Comment",
        /// Coded comments.
        coded_comments: Vec<Coded> = "CodedComment",
        /// Attached documents.
        documents: Vec<RefDoc> = "RefDoc",
        /// The requests that are answered.
        requests: Vec<ServReq> = "ServReq",
        /// The patient with the results, or …
        patient: Option<Patient> = "Patient",
        /// … an animal, or …
        animal: Option<Animal> = "Animal",
        /// … a material.
        material: Option<Material> = "Material",
        /// The laboratory: the sender.
        provider: Party = "ServProvider",
        /// The requester: the receiver.
        requester: Party = "Requester",
        /// Who pays.
        payer: Option<PaymentResponsible> = "PaymentResponsible",
        /// Copy receivers.
        copies: Vec<CopyDest> = "CopyDest",
        /// The performing unit or person.
        performer: Option<RelServProv> = "RelServProv",
    }
    /// A request.
    ServReq {
        /// 7309.
        serv_type: Option<Coded> = "ServType",
        /// When it was issued.
        issue_date: Option<Ts> = "IssueDate",
        /// Payment category (4101).
        payment: Option<Coded> = "PaymentCat",
        /// Comment.
        comment: Option<String> = "ReqComment",
        /// 7304.
        ack: Option<Coded> = "Ack",
        /// Discipline (8202).
        discipline: Option<Coded> = "MsgDescr",
        /// The requester's identifier.
        id: String = "Id",
        /// Wanted priority of the answer (7303).
        priority: Option<Coded> = "RequestedPrioReport",
        /// When the laboratory received it.
        received: Option<Ts> = "ReceiptDate",
        /// The laboratory's identifier.
        id_by_provider: Option<String> = "IdByServProvider",
        /// Reservations (3108).
        reservations: Vec<Coded> = "Reservation",
        /// Reasons (8231).
        reasons: Vec<ReasonAsText> = "ReasonAsText",
        /// Comments.
        comments: Vec<Comment> = "Comment",
    }
    /// A comment with heading.
    Comment {
        /// Heading.
        heading: Option<Coded> = "Heading",
        /// Text.
        text: Option<String> = "TextResultValue",
        /// Code.
        code: Option<Coded> = "TextCode",
    }
    /// A reason for the request.
    ReasonAsText {
        /// Heading (8231).
        heading: Option<Coded> = "Heading",
        /// Text.
        text: Option<Rich> = "TextResultValue",
        /// Code.
        code: Option<Coded> = "TextCode",
    }
    /// Who pays.
    PaymentResponsible {
        /// Role.
        role: Option<Coded> = "Role",
        /// Kind of guarantor.
        kind: String = "TypeGuarantor",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// A unit or person with a relation to the report or a result.
    RelServProv {
        /// Role.
        role: Option<Coded> = "Role",
        /// Relation (8254).
        relation: Coded = "Relation",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// A provider responsible for the patient, for example the requester in person (`REK`).
    ResponsibleHcp {
        /// Role.
        role: Option<Coded> = "Role",
        /// Relation (8254).
        relation: Option<Coded> = "Relation",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// The patient and everything that was found.
    Patient {
        /// Right to health services (8246).
        basis: Option<Coded> = "BasisForHealthServices",
        /// Administrative sex (3101).
        sex: Option<Coded> = "Sex",
        /// Birth date.
        birth_date: Option<Ts> = "DateOfBirth",
        /// Date of death.
        death_date: Option<Ts> = "DateOfDeath",
        /// Name, usually `Family, Given`.
        name: Option<String> = "Name",
        /// The laboratory's patient number.
        id_by_provider: Option<String> = "IdByServProvider",
        /// The requester's patient number.
        id_by_requester: Option<String> = "IdByRequester",
        /// Official identifier.
        official_id: String = "OffId",
        /// Its kind (8116).
        official_id_type: Coded = "TypeOffId",
        /// Relation to the patient above.
        relation: Option<Coded> = "Relation",
        /// Who asked for the patient.
        responsible: Option<ResponsibleHcp> = "ResponsibleHcp",
        /// Where the patient is.
        location: Option<AdmLocation> = "AdmLocation",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
        /// Address.
        address: Option<Address> = "Address",
        /// Clinical information from the request.
        info: Vec<InfItem> = "InfItem",
        /// Samples and study products.
        subjects: Vec<AnalysedSubject> = "AnalysedSubject",
        /// Results.
        results: Vec<ResultItem> = "ResultItem",
        /// A related patient, for example a child in the womb.
        related: Option<Box<Patient>> = "Patient",
    }
    /// An animal.
    Animal {
        /// Sex.
        sex: Option<Coded> = "Sex",
        /// Name.
        name: Option<String> = "Name",
        /// Owner.
        owner: Option<String> = "NameOwner",
        /// Species.
        species: Option<String> = "Species",
        /// The laboratory's number.
        id_by_provider: Option<String> = "IdByServProvider",
        /// The requester's number.
        id_by_requester: Option<String> = "IdByRequester",
        /// Relation.
        relation: Option<Coded> = "Relation",
        /// Responsible.
        responsible: Option<ResponsibleHcp> = "ResponsibleHcp",
        /// Samples.
        subjects: Vec<AnalysedSubject> = "AnalysedSubject",
        /// Results.
        results: Vec<ResultItem> = "ResultItem",
        /// A related one.
        related: Option<Box<Animal>> = "Animal",
    }
    /// A material, such as water.
    Material {
        /// What was examined.
        what: Option<String> = "InvMaterial",
        /// The laboratory's number.
        id_by_provider: Option<String> = "IdByServProvider",
        /// The requester's number.
        id_by_requester: Option<String> = "IdByRequester",
        /// Relation.
        relation: Option<Coded> = "Relation",
        /// Responsible.
        responsible: Option<ResponsibleHcp> = "ResponsibleHcp",
        /// Samples.
        subjects: Vec<AnalysedSubject> = "AnalysedSubject",
        /// Results.
        results: Vec<ResultItem> = "ResultItem",
        /// A related one.
        related: Option<Box<Material>> = "Material",
    }
    /// Where a patient is.
    AdmLocation {
        /// Role.
        role: Option<Coded> = "Role",
        /// From.
        start: Option<Ts> = "StartDateTime",
        /// To.
        end: Option<Ts> = "EndDateTime",
        /// Kind of stay (8240).
        category: Option<Coded> = "AdmCat",
        /// The place.
        location: Location = "Location",
    }
    /// A place.
    Location {
        /// Kind.
        kind: Option<Coded> = "Type",
        /// Description.
        description: Option<String> = "Description",
        /// Parts of it.
        parts: Vec<SubLocation> = "SubLocation",
        /// Address.
        address: Option<Address> = "Address",
        /// Institution.
        inst: Inst = "Inst",
    }
    /// A part of a place.
    SubLocation {
        /// Kind.
        kind: Coded = "Type",
        /// Name.
        place: String = "Place",
    }
    /// Clinical information.
    InfItem {
        /// What was seen.
        observation: Observation = "Observation",
        /// Kind (8233).
        kind: Coded = "Type",
        /// From.
        start: Option<Ts> = "StartDateTime",
        /// To.
        end: Option<Ts> = "EndDateTime",
        /// First known.
        origin_date: Option<Ts> = "OrgDate",
    }
    /// A clinical observation in words.
    Observation {
        /// Text.
        description: Option<Rich> = "Description",
        /// Comment.
        comment: Option<String> = "Comment",
        /// Code.
        code: Option<Coded> = "CodedDescr",
    }
    /// A sample or study product.
    AnalysedSubject {
        /// Collection, or …
        sample: Option<CollectedSample> = "CollectedSample",
        /// … production.
        product: Option<CollectedStudyProduct> = "CollectedStudyProduct",
        /// 7309.
        serv_type: Option<Coded> = "ServType",
        /// Kind in words.
        kind: Option<String> = "Type",
        /// Kind as code (8351).
        kind_coded: Option<Coded> = "TypeCoded",
        /// The requester's number.
        id_by_requester: Option<String> = "IdByRequester",
        /// Preservation.
        preservation: Option<String> = "PreservMaterial",
        /// Comment.
        comment: Option<String> = "Comment",
        /// Body site.
        anatomical_origin: Option<String> = "AnatomicalOrigin",
        /// How many.
        number: Option<String> = "Number",
        /// Collected where (8263).
        collection_indicator: Option<Coded> = "SampleCollInd",
        /// Procedure of collection.
        collection_procedure: Option<Coded> = "SampleCollProc",
        /// Handling.
        handling: Vec<String> = "SampleHandling",
        /// The laboratory's number, to which results refer.
        id_by_provider: String = "IdByServProvider",
        /// Accredited.
        accredited: Option<Flag> = "Accredited",
        /// A part of the sample.
        part: Option<Box<AnalysedSubject>> = "AnalysedSubject",
        /// Treatment before the analysis.
        pretreatment: Option<Comment> = "Pretreatment",
        /// Who collected it.
        collector: Option<RelServProv> = "RelServProv",
    }
    /// Collection of a sample.
    CollectedSample {
        /// When.
        collected: Option<Ts> = "CollectedDate",
        /// The collector's comment.
        comment: Option<String> = "CollectorComment",
        /// The same, coded (8269).
        comment_coded: Vec<Coded> = "CollectorCommentCoded",
        /// Logistics.
        logistics: Option<String> = "Logistics",
    }
    /// Production of a study product.
    CollectedStudyProduct {
        /// Kind.
        kind: Option<String> = "Type",
        /// When.
        produced: Option<Ts> = "ProducedDate",
        /// Related product.
        related: Option<String> = "RefRelatedProd",
    }
    /// A result; may hold further results below it.
    ResultItem {
        /// A text or coded result, or …
        text: Option<TextResult> = "TextResult",
        /// … an interval, or …
        interval: Option<Interval> = "Interval",
        /// … a date, or …
        date: Option<DateResult> = "DateResult",
        /// … a number.
        number: Option<NumResult> = "NumResult",
        /// 8270: `N`, `M`, `C`, `A`, `H`.
        serv_type: Option<Coded> = "ServType",
        /// Reference ranges as printed.
        reference_ranges: Vec<RefInterval> = "RefInterval",
        /// What was examined.
        investigations: Vec<Investigation> = "Investigation",
        /// When it was examined.
        examined: Option<Ts> = "InvDate",
        /// Comment.
        comment: Option<String> = "Comment",
        /// 8244: `1` above, `2` below, `3` outside the reference range.
        deviation: Option<Coded> = "DevResultInd",
        /// Identifier; not unique in practice.
        id: Option<String> = "IdResultItem",
        /// Identifier of the result this one belongs to.
        belongs_to: Option<String> = "RefIdResultItem",
        /// 8245.
        status: Option<Coded> = "StatusInvestigation",
        /// When the status changed.
        status_changed: Option<Ts> = "StatusChangeDate",
        /// When it was described.
        described: Option<Ts> = "DescrDate",
        /// When it was countersigned.
        countersigned: Option<Ts> = "CounterSignDate",
        /// When it was validated medically.
        validated: Option<Ts> = "MedicalValidationDate",
        /// The samples it was found in ([`AnalysedSubject::id_by_provider`]).
        subjects: Vec<String> = "RefAnalysedSubject",
        /// Accredited.
        accredited: Option<Flag> = "Accredited",
        /// Who did it.
        performers: Vec<RelServProv> = "RelServProv",
        /// Diagnosis made from it.
        diagnosis: Option<DiagComment> = "DiagComment",
        /// Structured information.
        structured: Vec<StructuredInfo> = "StructuredInfo",
        /// Results below it.
        parts: Vec<ResultItem> = "ResultItem",
    }
    /// A text or coded result.
    TextResult {
        /// Heading.
        heading: Option<Coded> = "Heading",
        /// Text.
        text: Option<Rich> = "TextResultValue",
        /// Codes.
        codes: Vec<Coded> = "TextCode",
        /// Unit.
        unit: Option<String> = "Unit",
    }
    /// An interval result.
    Interval {
        /// Lower end.
        low: Option<Quantity> = "Low",
        /// Upper end.
        high: Option<Quantity> = "High",
    }
    /// A date result.
    DateResult {
        /// The date.
        value: Ts = "DateResultValue",
    }
    /// A numeric result.
    NumResult {
        /// 8239: `LT`, `GT` and so on.
        comparator: Option<Coded> = "ArithmeticComp",
        /// The number with its printed unit.
        value: Quantity = "NumResultValue",
    }
    /// A reference range.
    RefInterval {
        /// As printed.
        text: Option<String> = "Descr",
    }
    /// What was examined.
    Investigation {
        /// Codes: NLK (7280), local ones and others.
        ids: Vec<Coded> = "Id",
        /// Specifications, for example method or body site.
        specs: Vec<Coded> = "Spec",
        /// Comment.
        comment: Option<String> = "Comment",
    }
    /// A diagnosis made from a result.
    DiagComment {
        /// The diagnosis.
        concept: Coded = "Concept",
        /// Modifiers.
        modifiers: Vec<Modifier> = "Modifier",
    }
    /// A modifier of a diagnosis.
    Modifier {
        /// Which.
        name: Coded = "Name",
        /// Values.
        values: Vec<Coded> = "Value",
    }
    /// Structured information about a result.
    StructuredInfo {
        /// What it says.
        kind: Coded = "Type",
        /// Texts.
        texts: Vec<TextInfo> = "TextInfo",
        /// Whole numbers.
        integers: Vec<IntegerInfo> = "IntegerInfo",
        /// Quantities.
        quantities: Vec<PhysicalInfo> = "PhysicalInfo",
        /// Codes.
        codes: Vec<CodedInfo> = "CodedInfo",
        /// Flags.
        flags: Vec<BooleanInfo> = "BooleanInfo",
    }
    /// A text.
    TextInfo {
        /// The text.
        value: String = "Text",
    }
    /// A whole number.
    IntegerInfo {
        /// The number.
        value: String = "Integer",
    }
    /// A quantity.
    PhysicalInfo {
        /// The quantity.
        value: Quantity = "Quantity",
    }
    /// A code.
    CodedInfo {
        /// The code.
        value: Coded = "Code",
    }
    /// A flag.
    BooleanInfo {
        /// The flag.
        value: Flag = "Flag",
    }
}

impl ResultItem {
    /// A number with unit, range as printed and, if outside, the deviation (8244).
    pub fn number(
        code: Coded,
        value: &str,
        unit: &str,
        range: &str,
        deviation: Option<Coded>,
    ) -> Self {
        Self {
            number: Some(NumResult {
                value: Quantity::new(value, unit),
                ..NumResult::default()
            }),
            serv_type: Some(Coded::cs("N", "Ny")),
            reference_ranges: (!range.is_empty())
                .then(|| RefInterval {
                    text: Some(range.to_owned()),
                    ..RefInterval::default()
                })
                .into_iter()
                .collect(),
            investigations: vec![Investigation {
                ids: vec![code],
                ..Investigation::default()
            }],
            deviation,
            status: Some(Coded::cs("3", "Endelig")),
            ..Self::default()
        }
    }

    /// A text result.
    pub fn textual(code: Coded, text: &str) -> Self {
        Self {
            text: Some(TextResult {
                text: Some(Rich::plain(text)),
                ..TextResult::default()
            }),
            serv_type: Some(Coded::cs("N", "Ny")),
            investigations: vec![Investigation {
                ids: vec![code],
                ..Investigation::default()
            }],
            status: Some(Coded::cs("3", "Endelig")),
            ..Self::default()
        }
    }

    /// The first code of the first investigation.
    pub fn code(&self) -> Option<&Coded> {
        self.investigations.first()?.ids.first()
    }
}

root! { Message, "Message", NS, NS, "svarrapport 1.4" }
