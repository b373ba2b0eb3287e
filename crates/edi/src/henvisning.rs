//! Henvisning 2.0 (referral), in MsgHead 1.2.
//!
//! Source: henvisning 2.0 standard (`henvisning/2017-11-30`) with components from PLO
//! (`poKomponent/2017-11-30`), messaging.md §3.

use crate::fk1;
use crate::svarrapport::{Interval, Modifier, NumResult};
use crate::value::{Coded, Quantity, ReadError, Time, XmlValue, record, root};
use crate::xml::{Elem, Ns};

/// Namespace of version 2.0.
pub const NS: &str = "http://ehelse.no/xmlstds/henvisning/2017-11-30";
/// Namespace of the shared components.
pub const PO_NS: &str = "http://ehelse.no/xmlstds/po/poKomponent/2017-11-30";

/// Declares parts whose element is in the shared components' namespace.
macro_rules! in_po {
    ($($name:ident),* $(,)?) => { $(
        impl Po for $name {}
    )* };
}

/// Marks a part whose own element stands in [`PO_NS`].
trait Po: XmlValue {}

/// A part of the referral that belongs to the shared components.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared<T>(
    /// The part.
    pub T,
);

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
impl<T> From<T> for Shared<T> {
    fn from(v: T) -> Self {
        Self(v)
    }
}
impl<T: Po> XmlValue for Shared<T> {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        T::read(e).map(Self)
    }
    fn write(&self, e: &mut Elem) {
        e.ns = Ns::from(PO_NS);
        self.0.write(e);
    }
}

in_po!(
    Supplement,
    Relative,
    AttachedUnit,
    ContactProfessional,
    Responsible,
    SentDocument,
    ContentKind,
    AssistedCommunication,
    IndividualPlan,
    ContactPerson,
    MedicationReview,
);

record! {
    /// The referral.
    Henvisning {
        /// 7309: `N` new, `M` change, `C` cancel.
        serv_type: Coded = "ServType",
        /// When it was issued.
        issue_date: Time = "IssueDate",
        /// Payment category (4101).
        payment: Option<Coded> = "PaymentCat",
        /// Comment.
        comment: Option<String> = "ReqComment",
        /// The referral's identifier: the key of all its versions.
        document_id: String = "DocumentId",
        /// Right to health services (8246).
        basis: Option<Coded> = "BasisForHealthServices",
        /// More about the patient.
        supplement: Option<Shared<Supplement>> = "TilleggsopplysningPasient",
        /// Relatives.
        relatives: Vec<Shared<Relative>> = "ParorendeForesatt",
        /// Units around the patient.
        units: Vec<Shared<AttachedUnit>> = "TilknyttetEnhet",
        /// Health personnel around the patient.
        professionals: Vec<Shared<ContactProfessional>> = "KontaktpersonHelsepersonell",
        /// Who is responsible for the referral.
        responsible: Vec<Shared<Responsible>> = "AnsvarForRapport",
        /// Documents sent elsewhere.
        sent_documents: Vec<Shared<SentDocument>> = "SendtDokument",
        /// What the referral asks for (8455).
        content_kind: Shared<ContentKind> = "TypeInnholdIMelding",
        /// Interpreter and similar needs.
        communication: Vec<Shared<AssistedCommunication>> = "InfoAssistertKommunikasjon",
        /// Individual plan.
        plan: Option<Shared<IndividualPlan>> = "OpplysningerOmIndividuellPlan",
        /// Other contacts.
        contacts: Vec<Shared<ContactPerson>> = "PasientrelatertKontaktperson",
        /// Review of medicines.
        review: Option<Shared<MedicationReview>> = "Legemiddelgjennomgang",
        /// Precautions.
        precautions: Vec<PatientPrecaution> = "PatientPrecaution",
        /// Clinical information (8233): `CAVE`, `MEDB`, `FUNN`, …
        info: Vec<InfItem> = "InfItem",
        /// Reasons in words (8231): `PROB`, …
        reasons: Vec<Text> = "ReasonAsText",
        /// Referral diagnoses, the main one first.
        diagnoses: Vec<Diagnosis> = "Diagnosis",
        /// The service wanted, with urgency.
        service: ReqServ = "ReqServ",
        /// Comments.
        comments: Vec<Text> = "Comment",
        /// Assessment, when the referral is passed on.
        assessment: Option<Assessment> = "VurderingAvHenvisning",
        /// Packages of care.
        packages: Vec<Package> = "Pakkeforlop",
        /// Consents.
        consents: Vec<Consent> = "Consent",
    }
    /// Text under a heading with codes.
    Text {
        /// Heading.
        heading: Option<Coded> = "Heading",
        /// Text.
        text: Option<String> = "TextResultValue",
        /// Codes (reasons).
        codes: Vec<Coded> = "TextCode",
        /// Codes (comments).
        comment_codes: Vec<Coded> = "CodedComment",
    }
    /// A precaution.
    PatientPrecaution {
        /// Text.
        text: String = "Precaution",
        /// From.
        start: Option<Time> = "StartDateTime",
        /// To.
        end: Option<Time> = "EndDateTime",
    }
    /// Clinical information.
    InfItem {
        /// A result, or …
        result: Option<ResultItem> = "ResultItem",
        /// … a medicine, or …
        medication: Option<Medication> = "Medication",
        /// … an observation.
        observation: Option<Observation> = "Observation",
        /// Kind (8233).
        kind: Coded = "Type",
        /// From.
        start: Option<Time> = "StartDateTime",
        /// To.
        end: Option<Time> = "EndDateTime",
        /// First known.
        origin_date: Option<Time> = "OrgDate",
    }
    /// A medicine.
    Medication {
        /// ATC (7180) or other.
        drug: Coded = "DrugId",
        /// Comment.
        comment: Option<String> = "Comment",
        /// Status of the medication.
        status: Coded = "Status",
        /// Duration.
        duration: Option<Quantity> = "IntendedDuration",
        /// Amount supplied.
        supplied: Option<Quantity> = "QuantitySupplied",
        /// Amount per unit.
        unit_dose: Option<Quantity> = "UnitDose",
        /// Dosage in words.
        dosage: Option<String> = "DosageText",
    }
    /// An observation in words.
    Observation {
        /// Text.
        description: Option<String> = "Description",
        /// Comment.
        comment: Option<String> = "Comment",
    }
    /// A result.
    ResultItem {
        /// A text, or …
        text: Option<TextResult> = "TextResult",
        /// … an interval, or …
        interval: Option<Interval> = "Interval",
        /// … a date, or …
        date: Option<DateResult> = "DateResult",
        /// … a number.
        number: Option<NumResult> = "NumResult",
        /// 7309.
        serv_type: Option<Coded> = "ServType",
        /// When.
        examined: Option<Time> = "InvDate",
        /// Comment.
        comment: Option<String> = "Comment",
        /// 8244.
        deviation: Option<Coded> = "DevResultInd",
        /// What was examined.
        investigation: ClinInv = "ClinInv",
    }
    /// A text result.
    TextResult {
        /// The result.
        result: Option<TextValue> = "Result",
    }
    /// A text with heading and code.
    TextValue {
        /// Heading.
        heading: Option<Coded> = "Heading",
        /// Text.
        text: Option<String> = "TextResultValue",
        /// Code.
        code: Option<Coded> = "TextCode",
    }
    /// A date result.
    DateResult {
        /// The date.
        value: Time = "DateResultValue",
    }
    /// What was examined.
    ClinInv {
        /// Code.
        id: Coded = "Id",
        /// Specifications.
        specs: Vec<Coded> = "Spec",
    }
    /// A referral diagnosis.
    Diagnosis {
        /// ICPC-2 (7170) or ICD-10 (7110).
        concept: Coded = "Concept",
        /// Modifiers.
        modifiers: Vec<Modifier> = "Modifier",
    }
    /// The service wanted.
    ReqServ {
        /// 7309.
        serv_type: Coded = "ServType",
        /// Wanted date.
        date: Option<Time> = "ReqDate",
        /// Urgency (8304); `0` is immediate help.
        priority: Coded = "Priority",
        /// Comment.
        comment: Option<String> = "Comment",
    }
    /// Assessment of the referral.
    Assessment {
        /// Dates.
        dates: Vec<AssessmentDate> = "DatoMottakOgVurdering",
        /// Details.
        details: Option<AssessmentDetails> = "Opplysninger",
    }
    /// A date of the assessment.
    AssessmentDate {
        /// Which.
        kind: Coded = "TypeDato",
        /// The date.
        date: Time = "Dato",
    }
    /// Details of the assessment.
    AssessmentDetails {
        /// Free choice of hospital.
        free_choice: Option<bool> = "FrittSykehusvalg",
        /// End of waiting.
        waiting_end: Option<Coded> = "VentetidSluttkode",
        /// Identifier of the course.
        course_id: String = "ForlopsId",
        /// Right to health care.
        right_to_care: bool = "RettTilHelsehjelp",
        /// Outcome.
        outcome: Coded = "UtfallAvVurdering",
    }
    /// A package of care.
    Package {
        /// Code.
        code: Coded = "Pakkeforlopskode",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// A consent.
    Consent {
        /// Status.
        status: Coded = "ConsentStatus",
        /// Date.
        date: Option<Time> = "ConsentDate",
        /// Remark.
        remark: Option<String> = "Merknad",
        /// By whom.
        given_by: Option<String> = "GivenBy",
    }
    /// More about the patient.
    Supplement {
        /// Marital status.
        marital_status: Option<Coded> = "SivilStatus",
        /// Lives alone.
        lives_alone: Option<bool> = "BorAlene",
        /// Language.
        language: Option<Coded> = "Sprak",
        /// Has municipal services.
        municipal_services: Option<bool> = "MottarKommunaleTjenester",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// A relative.
    Relative {
        /// Kinship.
        kinship: Option<Coded> = "Slektskap",
        /// Caring role.
        care: Option<Coded> = "Omsorgsfunksjon",
        /// Year of birth of a minor.
        minor_birth_year: Option<String> = "FodselsarMindrearigParorende",
        /// Next of kin.
        next_of_kin: Option<bool> = "NarmesteParorende",
        /// Who.
        person: fk1::Person = "Referanseperson",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// A unit around the patient.
    AttachedUnit {
        /// The unit.
        unit: fk1::Organisation = "Kontaktenhet",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// Health personnel around the patient.
    ContactProfessional {
        /// Who.
        person: fk1::HealthcareProfessional = "Kontaktperson",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// Who is responsible for the referral.
    Responsible {
        /// Who.
        person: fk1::HealthcareProfessional = "AnsvarligRapport",
        /// Approved.
        approved: Option<Time> = "GodkjentDato",
        /// Relation (8254).
        relation: Option<Coded> = "TypeRelasjon",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// A document sent elsewhere.
    SentDocument {
        /// Which.
        kind: Coded = "Opplysning",
        /// Sent or not.
        sent: bool = "JaNei",
        /// When.
        date: Option<Time> = "DatoSendt",
        /// Kind of receiver.
        receiver_kind: Option<Coded> = "TypeMottaker",
        /// Receiver.
        receiver: Option<String> = "NavnMottaker",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// What the referral asks for.
    ContentKind {
        /// 8455: `10` examination or treatment, `11` advice.
        kind: Coded = "TypeInnhold",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// Needs for communication.
    AssistedCommunication {
        /// The needs.
        needs: Shared<CommunicationNeeds> = "AssistertKommunikasjon",
    }
    /// Interpreter, hearing and sight.
    CommunicationNeeds {
        /// Who needs an interpreter.
        person: Option<fk1::Person> = "PersonTolkebehov",
        /// Hearing impairment.
        hearing: Option<bool> = "Horselsvikt",
        /// Sight impairment.
        sight: Option<bool> = "Synsvikt",
        /// Language.
        language: Option<Coded> = "BehovTolkSprak",
        /// Preferred interpreter.
        interpreter: Option<fk1::Person> = "PreferertTolk",
        /// No longer needed since.
        ended: Option<Time> = "BehovOpphortDato",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// Individual plan.
    IndividualPlan {
        /// There is one.
        exists: Option<bool> = "IndividuellPlanForeligger",
        /// There is a coordinator.
        coordinator: Option<bool> = "KoordinatorOppnevnt",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// Another contact.
    ContactPerson {
        /// Position.
        position: Option<String> = "StillingRolle",
        /// Workplace.
        workplace: Option<String> = "Arbeidssted",
        /// Who.
        person: fk1::Person = "Referanseperson",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
    /// Review of medicines.
    MedicationReview {
        /// Reviewed.
        reviewed: Option<Time> = "DatoLegemiddelgjennomgang",
        /// Reconciled.
        reconciled: Option<Time> = "DatoSamstemming",
        /// Remark.
        remark: Option<String> = "Merknad",
    }
}

impl Po for CommunicationNeeds {}

root! { Henvisning, "Henvisning", NS, NS, "henvisning 2.0" }
