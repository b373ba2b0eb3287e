//! What a message is, and its head in one shape.
//!
//! [`identify`] tells kind, version and head of any bytes; [`Header`] gives sender, receiver, patient and
//! identifiers of MsgHead messages, of the older messages with their own head and of receipts in the same form,
//! so that transport and checks need not know the differences (messaging.md §1-§3).

use serde::Serialize;

use crate::catalogue;
use crate::value::{Coded, Time, XmlValue};
use crate::xml::{At, Elem, XmlDoc, XmlError};
use crate::{apprec, msghead};

pub use crate::catalogue::{Head, MessageKind, Standing, Support};

/// What some bytes are.
#[derive(Debug, Clone, Serialize)]
pub struct Identified {
    /// The kind of business document.
    pub kind: MessageKind,
    /// Its version as people name it, such as `1.4`; for e-prescription the message number with its date.
    pub version: Option<String>,
    /// The kind of head around it.
    pub head: Head,
    /// Namespace of the root element.
    pub root_namespace: String,
    /// Namespace of the business document inside MsgHead.
    pub payload_namespace: Option<String>,
    /// Message type (8279), such as `SVAR_LAB`.
    pub document_type: Option<String>,
    /// `P`, `T`, `D` (8213) or `TEST` (8323) when the message says so.
    pub processing_status: Option<String>,
    /// How far this program goes with it.
    pub support: Support,
    /// How its version stands in the sector's reference list.
    pub standing: Standing,
    /// Why it could not be read as XML.
    #[serde(skip)]
    pub error: Option<XmlError>,
}

impl Identified {
    fn new(kind: MessageKind, head: Head, support: Support) -> Self {
        Self {
            kind,
            version: None,
            head,
            root_namespace: String::new(),
            payload_namespace: None,
            document_type: None,
            processing_status: None,
            support,
            standing: Standing::NotListed,
            error: None,
        }
    }
}

/// Tells what the bytes are. Never fails: what cannot be told is [`MessageKind::Unknown`].
pub fn identify(bytes: &[u8]) -> Identified {
    if is_cms(bytes) {
        return Identified::new(MessageKind::Cms, Head::None, Support::Wrapper);
    }
    match XmlDoc::parse(bytes) {
        Ok(doc) => identify_doc(&doc),
        Err(e) => {
            let mut out = Identified::new(MessageKind::Unknown, Head::None, Support::Unknown);
            out.error = Some(e);
            out
        }
    }
}

/// Tells what a document is.
pub fn identify_doc(doc: &XmlDoc) -> Identified {
    identify_elem(core(&doc.root))
}

/// Tells what the message element is.
pub fn identify_elem(root: &Elem) -> Identified {
    let payload = payload_of(root);
    let business = payload.unwrap_or(root);
    let row = catalogue::find(&business.ns, &business.name)
        .or_else(|| catalogue::find(&root.ns, &root.name));
    let mut out = match row {
        Some(found) => {
            let mut out = Identified::new(found.kind, found.head, found.support);
            out.version = found.version;
            out
        }
        None => Identified::new(MessageKind::Unknown, Head::None, Support::Unknown),
    };
    if &*root.ns == msghead::NS {
        out.head = Head::MsgHead;
        // A head without a payload that we know is still a MsgHead message.
        if out.kind == MessageKind::Unknown {
            out.kind = MessageKind::OtherInMsgHead;
            out.support = Support::Recognised;
        }
    }
    out.standing = catalogue::versions::standing(&business.ns);
    out.root_namespace = root.ns.to_string();
    out.payload_namespace = payload.map(|p| p.ns.to_string());
    let header = Header::from_elem(root);
    out.document_type = header
        .as_ref()
        .and_then(|h| h.document_type.as_ref())
        .map(|c| c.code().to_owned());
    out.processing_status = header.and_then(|h| h.processing_status);
    out
}

/// The message inside a wrapper that is not ours to judge (NAV's "fellesformat"), or the root itself.
pub fn core(root: &Elem) -> &Elem {
    if &*root.name == "EI_fellesformat" {
        root.child("MsgHead").unwrap_or(root)
    } else {
        root
    }
}

/// The business document inside MsgHead.
pub fn payload_of(root: &Elem) -> Option<&Elem> {
    if &*root.ns != msghead::NS {
        return None;
    }
    let document = root.child("Document").or_else(|| {
        root.child("PatientReport")
            .and_then(|r| r.child("Document"))
    })?;
    document.descend(&["RefDoc", "Content"])?.elems().next()
}

/// Whether the bytes are CMS (DER or PEM, possibly as bare base64): signed or enveloped data (RFC 5652).
pub fn is_cms(bytes: &[u8]) -> bool {
    // 1.2.840.113549.1.7, whatever follows: content types of CMS.
    const OID: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
    let head = bytes.get(..bytes.len().min(32)).unwrap_or_default();
    if head.first() == Some(&0x30) && head.windows(OID.len()).any(|w| w == OID) {
        return true;
    }
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"-----BEGIN CMS") || text.starts_with(b"-----BEGIN PKCS7") {
        return true;
    }
    use base64::{Engine, prelude::BASE64_STANDARD};
    let start: Vec<u8> = text
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .take(40)
        .collect();
    start.starts_with(b"MI")
        && BASE64_STANDARD
            .decode(&start)
            .is_ok_and(|der| der.windows(OID.len()).any(|w| w == OID))
}

/// One name in an address: an organisation, a unit or a person with its identifiers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartyId {
    /// Name.
    pub name: String,
    /// Kind (`HER`, `ENH`, `HPR` …) and identifier, in the order sent.
    pub ids: Vec<(String, String)>,
    /// Where it stands.
    #[serde(skip)]
    pub at: At,
}

impl PartyId {
    /// The HER-id, if there is one and it is a number.
    pub fn her_id(&self) -> Option<u32> {
        self.id("HER").and_then(|id| id.parse().ok())
    }

    /// An identifier by kind.
    pub fn id(&self, kind: &str) -> Option<&str> {
        self.ids
            .iter()
            .find(|(k, _)| k == kind)
            .map(|(_, id)| id.as_str())
    }
}

/// A sender or receiver: level 1, and the service or person below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Level 1: the organisation.
    pub organisation: PartyId,
    /// Level 2: a service or department.
    pub unit: Option<PartyId>,
    /// Level 2: a person.
    pub person: Option<PartyId>,
}

impl Endpoint {
    /// The HER-id that transport uses: level 2 if it has one, else level 1.
    pub fn routing_her_id(&self) -> Option<u32> {
        [
            self.unit.as_ref(),
            self.person.as_ref(),
            Some(&self.organisation),
        ]
        .into_iter()
        .flatten()
        .find_map(PartyId::her_id)
    }

    /// All HER-ids, level 2 first.
    pub fn her_ids(&self) -> Vec<u32> {
        [
            self.unit.as_ref(),
            self.person.as_ref(),
            Some(&self.organisation),
        ]
        .into_iter()
        .flatten()
        .filter_map(PartyId::her_id)
        .collect()
    }

    /// Name for a human, lowest level first.
    pub fn label(&self) -> String {
        let names = [
            self.unit.as_ref(),
            self.person.as_ref(),
            Some(&self.organisation),
        ];
        names
            .into_iter()
            .flatten()
            .map(|p| p.name.as_str())
            .filter(|n| !n.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// An identifier of the patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientIdent {
    /// Kind (8116): `FNR`, `DNR`, `FHN`, …
    pub kind: String,
    /// The identifier.
    pub id: String,
    /// Where it stands.
    pub at: At,
}

/// What a message says about who the patient is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientRef {
    /// Name in one string, or family name.
    pub family_name: Option<String>,
    /// Given name, where names are split.
    pub given_name: Option<String>,
    /// Birth date.
    pub birth_date: Option<Time>,
    /// Sex (3101).
    pub sex: Option<String>,
    /// Identifiers that are not empty.
    pub ids: Vec<PatientIdent>,
    /// Where the patient stands.
    pub at: At,
}

impl PatientRef {
    /// The national identifier: fnr, D-number or common help number.
    pub fn national_id(&self) -> Option<&PatientIdent> {
        ["FNR", "DNR", "FHN"]
            .iter()
            .find_map(|k| self.ids.iter().find(|i| i.kind == *k))
    }
}

/// The head of a message, whatever its shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Message type (8279).
    pub document_type: Option<Coded>,
    /// MsgId as sent; compare without regard to case.
    pub msg_id: String,
    /// Where the MsgId stands.
    pub msg_id_at: At,
    /// When it was made.
    pub gen_date: Time,
    /// `P`, `T`, `D` (8213), or `TEST` (8323) in messages with their own head.
    pub processing_status: Option<String>,
    /// Receipt wanted (7304).
    pub ack: Option<String>,
    /// MsgId of the message this one answers.
    pub ref_to_parent: Option<String>,
    /// MsgId of the first message of the thread.
    pub ref_to_conversation: Option<String>,
    /// The sender.
    pub sender: Endpoint,
    /// The primary receiver.
    pub receiver: Endpoint,
    /// Copy receivers.
    pub copies: Vec<Endpoint>,
    /// The patient.
    pub patient: Option<PatientRef>,
    /// Key of the business document over its versions: ServProvId, DocumentId or the requisition's Id.
    pub document_key: Option<String>,
    /// 7309: `N`, `M`, `C`, `A`, `H`.
    pub serv_type: Option<String>,
}

impl Header {
    /// The head of a document, or `None` when its root is no message that we know.
    pub fn from_doc(doc: &XmlDoc) -> Option<Self> {
        Self::from_elem(core(&doc.root))
    }

    /// The head of a message element.
    pub fn from_elem(root: &Elem) -> Option<Self> {
        match (&*root.name, &*root.ns) {
            ("MsgHead", msghead::NS) => Some(Self::from_msghead(root)),
            ("AppRec", apprec::NS | apprec::NS_1_0) => Some(Self::from_apprec(root)),
            ("Message", _) => Self::from_own_head(root),
            _ => None,
        }
    }

    /// Whether `her` is the primary or a copy receiver.
    pub fn is_addressed_to(&self, her: u32) -> bool {
        std::iter::once(&self.receiver)
            .chain(&self.copies)
            .any(|e| e.her_ids().contains(&her))
    }

    fn from_msghead(root: &Elem) -> Self {
        let empty = Elem::new(&root.ns, "MsgInfo");
        let info = root.child("MsgInfo").unwrap_or(&empty);
        let party = |name| {
            info.descend(&[name, "Organisation"])
                .map(endpoint)
                .unwrap_or_default()
        };
        let payload = payload_of(root);
        Self {
            document_type: coded(info, "Type"),
            msg_id: info.child_text("MsgId").unwrap_or_default(),
            msg_id_at: info.child("MsgId").map_or(info.at, |e| e.at),
            gen_date: text_time(info, "GenDate"),
            processing_status: code(info, "ProcessingStatus"),
            ack: code(info, "Ack"),
            ref_to_parent: info
                .child("ConversationRef")
                .and_then(|c| c.child_text("RefToParent")),
            ref_to_conversation: info
                .child("ConversationRef")
                .and_then(|c| c.child_text("RefToConversation")),
            sender: party("Sender"),
            receiver: party("Receiver"),
            copies: info
                .all("OtherReceiver")
                .filter_map(|o| o.child("Organisation"))
                .map(endpoint)
                .collect(),
            patient: info.child("Patient").map(msghead_patient),
            document_key: payload.and_then(|p| p.child_text("DocumentId")),
            serv_type: payload.and_then(|p| code(p, "ServType")),
        }
    }

    fn from_apprec(root: &Elem) -> Self {
        let party = |name| {
            root.descend(&[name, "HCP"])
                .map(hcp_endpoint)
                .unwrap_or_default()
        };
        Self {
            document_type: coded(root, "MsgType"),
            msg_id: root.child_text("Id").unwrap_or_default(),
            msg_id_at: root.child("Id").map_or(root.at, |e| e.at),
            gen_date: text_time(root, "GenDate"),
            sender: party("Sender"),
            receiver: party("Receiver"),
            ref_to_parent: root.child("OriginalMsgId").and_then(|o| o.child_text("Id")),
            ..Self::default()
        }
    }

    /// Svarrapport, epikrise, requisition and referral 1.x: the sender's role depends on the body (messaging.md §1.1).
    fn from_own_head(root: &Elem) -> Option<Self> {
        let (body, sender, receiver) =
            if let Some(b) = root.child("ServReport").or_else(|| root.child("ServRprt")) {
                (b, "ServProvider", "Requester")
            } else if let Some(b) = root.child("ServReq") {
                (b, "Requester", "ServProvider")
            } else if root.child("MsgId").is_some() {
                (root, "ServProvider", "Requester")
            } else {
                return None;
            };
        let party = |name| {
            body.descend(&[name, "HCP"])
                .map(hcp_endpoint)
                .unwrap_or_default()
        };
        let stamp = root.child("GenDate").map(|e| Time {
            text: e
                .attr("V")
                .map_or_else(|| e.text().trim().to_owned(), |v| v.trim().to_owned()),
            at: e.at,
        });
        Some(Self {
            document_type: coded(root, "Type").or_else(|| legacy_type(root, body)),
            msg_id: root.child_text("MsgId").unwrap_or_default(),
            msg_id_at: root.child("MsgId").map_or(root.at, |e| e.at),
            gen_date: stamp.unwrap_or_default(),
            processing_status: code(root, "Status").filter(|s| s == "TEST"),
            ack: code(body, "Ack"),
            sender: party(sender),
            receiver: party(receiver),
            copies: body
                .all("CopyDest")
                .filter_map(|c| c.child("HCP"))
                .map(hcp_endpoint)
                .collect(),
            patient: body.child("Patient").map(own_head_patient),
            document_key: body
                .child_text("ServProvId")
                .or_else(|| body.child_text("Id")),
            serv_type: code(body, "ServType"),
            ..Self::default()
        })
    }
}

/// Messages with their own head need not carry a type (8279): it follows from root and discipline (messaging.md §3.2).
fn legacy_type(root: &Elem, body: &Elem) -> Option<Coded> {
    let discipline = code(body, "MsgDescr").unwrap_or_default();
    let (code, name) = match (
        catalogue::find(&root.ns, &root.name)?.kind,
        discipline.as_str(),
    ) {
        (MessageKind::Epikrise, _) => ("EPIKRISE", "Epikrise"),
        (MessageKind::Henvisning, _) => ("HENVISNING", "Henvisning"),
        (MessageKind::Svarrapport, "CLIN") => ("SVAR_KKL", "Svarrapport-Klinisk kjemi"),
        (MessageKind::Svarrapport, "MBIO") => ("SVAR_MBIO", "Svarrapport-Mikrobiologi"),
        (MessageKind::Svarrapport, "HIST") => ("SVAR_HIST", "Svarrapport-Histologi"),
        (MessageKind::Svarrapport, "CYTO") => ("SVAR_CYT", "Svarrapport-Cytologi"),
        (MessageKind::Svarrapport, "RTG" | "CT" | "MR" | "UL" | "MA" | "SCI") => {
            ("SVAR_RTG", "Svarrapport-Radiologi")
        }
        (MessageKind::Svarrapport, _) => ("SVAR_LAB", "Svarrapport-Laboratoriemedisin"),
        _ => return None,
    };
    Some(Coded::cs(code, name))
}

fn coded(parent: &Elem, name: &str) -> Option<Coded> {
    Coded::read(parent.child(name)?)
        .ok()
        .filter(|c| !c.code().is_empty())
}

fn code(parent: &Elem, name: &str) -> Option<String> {
    coded(parent, name).map(|c| c.code().to_owned())
}

fn text_time(parent: &Elem, name: &str) -> Time {
    parent
        .child(name)
        .map(|e| Time {
            text: e.text().trim().to_owned(),
            at: e.at,
        })
        .unwrap_or_default()
}

fn ids_of(e: &Elem) -> Vec<(String, String)> {
    let pair = |i: &Elem, kind: &str| Some((code(i, kind)?, i.child_text("Id")?));
    e.all("Ident").filter_map(|i| pair(i, "TypeId")).collect()
}

/// MsgHead organisation with what is below it.
fn endpoint(org: &Elem) -> Endpoint {
    let party = |e: &Elem| PartyId {
        name: e.child_text("OrganisationName").unwrap_or_default(),
        ids: ids_of(e),
        at: e.at,
    };
    let unit = org.child("Organisation");
    let person = org
        .child("HealthcareProfessional")
        .or_else(|| unit.and_then(|u| u.child("HealthcareProfessional")))
        .map(|e| PartyId {
            name: [
                e.child_text("GivenName"),
                e.child_text("MiddleName"),
                e.child_text("FamilyName"),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
            ids: ids_of(e),
            at: e.at,
        });
    Endpoint {
        organisation: party(org),
        unit: unit.map(party),
        person,
    }
}

/// HCP structure: Inst, Inst/Dept, Inst/HCPerson, or a person alone.
fn hcp_endpoint(hcp: &Elem) -> Endpoint {
    let party = |e: &Elem| {
        let own = code(e, "TypeId").zip(e.child_text("Id"));
        let more = e
            .all("AdditionalId")
            .filter_map(|a| Some((code(a, "Type")?, a.child_text("Id")?)));
        PartyId {
            name: e.child_text("Name").unwrap_or_default(),
            ids: own.into_iter().chain(more).collect(),
            at: e.at,
        }
    };
    match (hcp.child("Inst"), hcp.child("HCProf")) {
        (Some(inst), _) => Endpoint {
            organisation: party(inst),
            unit: inst.child("Dept").map(party),
            person: inst.child("HCPerson").map(party),
        },
        (None, Some(prof)) => Endpoint {
            organisation: party(prof),
            ..Endpoint::default()
        },
        (None, None) => Endpoint {
            organisation: PartyId {
                at: hcp.at,
                ..PartyId::default()
            },
            ..Endpoint::default()
        },
    }
}

fn msghead_patient(e: &Elem) -> PatientRef {
    PatientRef {
        family_name: e.child_text("FamilyName"),
        given_name: e.child_text("GivenName"),
        birth_date: Some(text_time(e, "DateOfBirth")).filter(|t| !t.text.is_empty()),
        sex: code(e, "Sex"),
        ids: e
            .all("Ident")
            .filter_map(|i| {
                Some(PatientIdent {
                    kind: code(i, "TypeId")?,
                    id: i.child_text("Id")?,
                    at: i.child("Id")?.at,
                })
            })
            .collect(),
        at: e.at,
    }
}

fn own_head_patient(e: &Elem) -> PatientRef {
    let own = e.child_text("OffId").map(|id| PatientIdent {
        kind: code(e, "TypeOffId").unwrap_or_else(|| "FNR".to_owned()),
        id,
        at: e.child("OffId").map_or(e.at, |o| o.at),
    });
    let more = e.all("AdditionalId").filter_map(|a| {
        Some(PatientIdent {
            kind: code(a, "Type")?,
            id: a.child_text("Id")?,
            at: a.at,
        })
    });
    PatientRef {
        family_name: e.child_text("Name"),
        given_name: None,
        birth_date: e
            .child("DateOfBirth")
            .and_then(|b| {
                b.attr("V").map(|v| Time {
                    text: v.trim().to_owned(),
                    at: b.at,
                })
            })
            .filter(|t| !t.text.is_empty()),
        sex: code(e, "Sex"),
        ids: own.into_iter().chain(more).collect(),
        at: e.at,
    }
}
