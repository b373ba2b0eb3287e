//! MsgHead 1.2 (hodemelding): the common head around most business documents.
//!
//! Source: HIS 80601:2006, messaging.md §1. The business document is the first [`Document`]; the rest are
//! attachments. Payloads are kept as trees here and read by their own modules.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::fk1::{self, Address, Ident, TeleCom};
use crate::value::{Coded, Field, ReadError, Time, Ts, XmlValue, record};
use crate::xml::{At, Elem, Node, Ns, XmlDoc, to_xml};

/// Namespace of MsgHead 1.2.
pub const NS: &str = "http://www.kith.no/xmlstds/msghead/2006-05-24";
/// The only value of `MIGversion`.
pub const MIG_VERSION: &str = "v1.2 2006-05-24";
/// Namespace of the container for binary attachments.
pub const BASE64_NS: &str = "http://www.kith.no/xmlstds/base64container";

record! {
    /// The whole message.
    MsgHead {
        /// Who, to whom, about whom.
        info: MsgInfo = "MsgInfo",
        /// The business document and its attachments.
        documents: Vec<Document> = "Document",
    }
    /// Message information.
    MsgInfo {
        /// Message type (8279), equal to the ebXML Action and the AMQP subject.
        kind: Coded = "Type",
        /// Always [`MIG_VERSION`].
        mig_version: String = "MIGversion",
        /// When the message was made; the 96-hour clock for the receipt starts here.
        gen_date: Time = "GenDate",
        /// UUID, compared without regard to case, never used again for other content.
        msg_id: String = "MsgId",
        /// 8213: `P` production, `T` training, `D` debugging.
        processing_status: Option<Coded> = "ProcessingStatus",
        /// 8115.
        priority: Option<Coded> = "RequestedPriority",
        /// 7304: `J` receipt wanted, `F` only on error, `N` none.
        ack: Option<Coded> = "Ack",
        /// Which messages this one answers.
        conversation: Option<ConversationRef> = "ConversationRef",
        /// The sender.
        sender: Party = "Sender",
        /// The primary receiver.
        receiver: Party = "Receiver",
        /// Copy receivers.
        other_receivers: Vec<OtherReceiver> = "OtherReceiver",
        /// The patient.
        patient: Option<Patient> = "Patient",
    }
    /// References to earlier messages.
    ConversationRef {
        /// MsgId of the message answered.
        parent: Option<String> = "RefToParent",
        /// MsgId of the first message of the thread.
        conversation: Option<String> = "RefToConversation",
    }
    /// Sender or receiver.
    Party {
        /// How it wants to be reached (8235).
        com_method: Option<Coded> = "ComMethod",
        /// The organisation, level 1.
        organisation: Organisation = "Organisation",
    }
    /// A copy receiver.
    OtherReceiver {
        /// How it wants to be reached (8235).
        com_method: Option<Coded> = "ComMethod",
        /// Role (8112).
        role: Coded = "RoleReceiver",
        /// An organisation, or …
        organisation: Option<Organisation> = "Organisation",
        /// … the patient, or …
        patient: Option<Patient> = "Patient",
        /// … another person, or …
        person: Option<fk1::Person> = "Person",
        /// … health personnel.
        professional: Option<HealthcareProfessional> = "HealthcareProfessional",
    }
    /// An organisation with at most one unit and one person below it.
    Organisation {
        /// Name. The standard allows an empty organisation, and it occurs.
        name: Option<String> = "OrganisationName",
        /// Kind (9040).
        kind: Option<Coded> = "TypeOrganisation",
        /// HER-id, organisation number and others (9051).
        idents: Vec<Ident> = "Ident",
        /// Address.
        address: Option<Address> = "Address",
        /// Telephone numbers.
        telecoms: Vec<TeleCom> = "TeleCom",
        /// Service or department, level 2.
        unit: Option<Box<Organisation>> = "Organisation",
        /// Person, level 2.
        professional: Option<HealthcareProfessional> = "HealthcareProfessional",
    }
    /// Health personnel as party.
    HealthcareProfessional {
        /// Profession (9060).
        profession: Option<Coded> = "TypeHealthcareProfessional",
        /// Role towards the patient (9034).
        role_to_patient: Option<Coded> = "RoleToPatient",
        /// Family name.
        family_name: Option<String> = "FamilyName",
        /// Middle name.
        middle_name: Option<String> = "MiddleName",
        /// Given name.
        given_name: Option<String> = "GivenName",
        /// Birth date.
        birth_date: Option<Time> = "DateOfBirth",
        /// Administrative sex (3101).
        sex: Option<Coded> = "Sex",
        /// Nationality (9043).
        nationality: Option<Coded> = "Nationality",
        /// HER-id, HPR number and others (8116).
        idents: Vec<Ident> = "Ident",
        /// Address.
        address: Option<Address> = "Address",
        /// Telephone numbers.
        telecoms: Vec<TeleCom> = "TeleCom",
    }
    /// The patient.
    Patient {
        /// Family name.
        family_name: Option<String> = "FamilyName",
        /// Middle name.
        middle_name: Option<String> = "MiddleName",
        /// Given name.
        given_name: Option<String> = "GivenName",
        /// Birth date.
        birth_date: Option<Time> = "DateOfBirth",
        /// Administrative sex (3101).
        sex: Option<Coded> = "Sex",
        /// Nationality (9043).
        nationality: Option<Coded> = "Nationality",
        /// Identifiers (8116).
        idents: Vec<Ident> = "Ident",
        /// Address.
        address: Option<Address> = "Address",
        /// Telephone numbers.
        telecoms: Vec<TeleCom> = "TeleCom",
    }
    /// A document of the message.
    Document {
        /// 4702: `H` main document, `V` attachment.
        connection: Option<Coded> = "DocumentConnection",
        /// Kind of content.
        content_type: Option<Coded> = "ContentType",
        /// Description of the content.
        content_description: Option<String> = "ContentDescription",
        /// Category of content.
        content_category: Option<Coded> = "ContentCategory",
        /// Consent (3109).
        consent: Option<Coded> = "Consent",
        /// Remark.
        annotation: Option<String> = "Annotation",
        /// Period covered, from.
        from: Option<Ts> = "FromDate",
        /// Period covered, to.
        to: Option<Ts> = "ToDate",
        /// OID of the document.
        oid: Option<String> = "OidRef",
        /// Reference to an enquiry.
        enquiry_ref: Option<String> = "EnquiryRefId",
        /// The content.
        reference: RefDoc = "RefDoc",
    }
    /// A document's content, inside or by reference. The same shape is used by svarrapport and epikrise.
    RefDoc {
        /// When it was issued.
        issue_date: Option<Ts> = "IssueDate",
        /// 8114: `XML`, `A` attachment, `REF`.
        msg_type: Coded = "MsgType",
        /// Identifier.
        id: Option<String> = "Id",
        /// Media type of an attachment.
        mime_type: Option<String> = "MimeType",
        /// Description, often a file name.
        description: Option<String> = "Description",
        /// 1204.
        compression: Option<Coded> = "Compression",
        /// Where the content is, when it is not inside.
        file_reference: Option<String> = "FileReference",
        /// The content.
        content: Option<Content> = "Content",
    }
}

/// What stands inside `Content`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The elements, as sent.
    pub elems: Vec<Elem>,
    /// Where it stands.
    pub at: At,
}

impl XmlValue for Content {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(Self {
            elems: e.elems().cloned().collect(),
            at: e.at,
        })
    }
    fn write(&self, e: &mut Elem) {
        e.children
            .extend(self.elems.iter().cloned().map(Node::Elem));
    }
}

impl Content {
    /// A structured payload.
    pub fn xml(payload: Elem) -> Self {
        Self {
            elems: vec![payload],
            at: At::default(),
        }
    }

    /// A binary attachment.
    pub fn binary(bytes: &[u8]) -> Self {
        let e = Elem::new(&Ns::from(BASE64_NS), "Base64Container")
            .with_text(BASE64_STANDARD.encode(bytes));
        Self::xml(e)
    }

    /// The bytes of a binary attachment; `None` when it is not one or its base64 is broken.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let e = self.elems.iter().find(|e| &*e.name == "Base64Container")?;
        let compact: String = e.text().split_ascii_whitespace().collect();
        BASE64_STANDARD.decode(compact).ok()
    }
}

impl Document {
    /// The business document.
    pub fn payload(payload: Elem) -> Self {
        Self {
            connection: Some(Coded::cs("H", "Hoveddokument")),
            reference: RefDoc {
                msg_type: Coded::cs("XML", "XML-instans"),
                content: Some(Content::xml(payload)),
                ..RefDoc::default()
            },
            ..Self::default()
        }
    }

    /// An attachment.
    pub fn attachment(mime_type: &str, description: &str, bytes: &[u8]) -> Self {
        Self {
            connection: Some(Coded::cs("V", "Vedlegg")),
            reference: RefDoc {
                msg_type: Coded::cs("A", "Vedlegg"),
                mime_type: Some(mime_type.to_owned()),
                description: Some(description.to_owned()),
                content: Some(Content::binary(bytes)),
                ..RefDoc::default()
            },
            ..Self::default()
        }
    }
}

impl Organisation {
    /// An organisation with its HER-id and, if it has one, its organisation number.
    pub fn new(name: &str, her_id: u32, orgnr: Option<&str>) -> Self {
        let mut idents = vec![Ident::organisation("HER", her_id)];
        idents.extend(orgnr.map(|o| Ident::organisation("ENH", o)));
        Self {
            name: Some(name.to_owned()),
            idents,
            ..Self::default()
        }
    }

    /// The same with a service or department below it (address by service).
    #[must_use]
    pub fn with_unit(mut self, unit: Organisation) -> Self {
        self.unit = Some(Box::new(unit));
        self
    }

    /// The same with a person below it (address by person).
    #[must_use]
    pub fn with_professional(mut self, person: HealthcareProfessional) -> Self {
        self.professional = Some(person);
        self
    }
}

impl MsgHead {
    /// Reads a message; the root must be MsgHead 1.2.
    ///
    /// # Errors
    /// [`ReadError`] when a part that a message cannot exist without is missing.
    pub fn read_doc(doc: &XmlDoc) -> Result<Self, ReadError> {
        Self::read_elem(&doc.root)
    }

    /// Reads a message from its element.
    ///
    /// # Errors
    /// As [`MsgHead::read_doc`].
    pub fn read_elem(e: &Elem) -> Result<Self, ReadError> {
        if &*e.name != "MsgHead" || &*e.ns != NS {
            return Err(ReadError::missing(e, "MsgHead 1.2"));
        }
        let msg = Self::read(e)?;
        if msg.documents.is_empty() && e.child("PatientReport").is_none() {
            return Err(ReadError::missing(e, "Document"));
        }
        Ok(msg)
    }

    /// The business document: the content of the first document, if it is inside.
    pub fn payload(&self) -> Option<&Elem> {
        self.documents
            .first()?
            .reference
            .content
            .as_ref()?
            .elems
            .first()
    }

    /// The attachments: every document after the first.
    pub fn attachments(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().skip(1)
    }

    /// The message as a tree.
    pub fn to_elem(&self) -> Elem {
        let mut root = Elem::new(&Ns::from(NS), "MsgHead");
        let ns = root.ns.clone();
        self.info.write_field(&mut root, &ns, "MsgInfo");
        self.documents.write_field(&mut root, &ns, "Document");
        root
    }

    /// The message as UTF-8 text, ready to be signed.
    pub fn to_xml(&self) -> String {
        to_xml(&self.to_elem())
    }
}
