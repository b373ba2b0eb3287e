//! AppRec (applikasjonskvittering): the receipt of the application for one message.
//!
//! Versions 1.1 and 1.0 are read and written. Sources: HIS 80415:2012 and HIS 80415:2004, messaging.md §2.

use serde::Serialize;

use crate::hcp::{AdditionalId, Address, Dept, HcPerson, HcProf};
use crate::message::{Endpoint, Header, Identified, MessageKind, PartyId};
use crate::value::{Coded, LIST_OID, ReadError, Time, XmlValue, record};
use crate::xml::{Elem, Ns, XmlDoc};

/// Namespace of version 1.1.
pub const NS: &str = "http://www.kith.no/xmlstds/apprec/2012-02-15";
/// Namespace of version 1.0.
pub const NS_1_0: &str = "http://www.kith.no/xmlstds/apprec/2004-11-21";
/// Value of `MIGversion` for version 1.1.
pub const MIG_VERSION: &str = "v1.1 2012-02-15";
/// Value of `MIGversion` for version 1.0.
pub const MIG_VERSION_1_0: &str = "1.0 2004-11-21";

record! {
    /// The receipt.
    AppRec {
        /// Always `APPREC`.
        msg_type: Coded = "MsgType",
        /// [`MIG_VERSION`] or [`MIG_VERSION_1_0`].
        mig_version: String = "MIGversion",
        /// Software that made it.
        software: Option<String> = "SoftwareName",
        /// Its version.
        software_version: Option<String> = "SoftwareVersion",
        /// When it was made.
        gen_date: Time = "GenDate",
        /// The receipt's own UUID.
        id: String = "Id",
        /// Who received the message and answers.
        sender: Party = "Sender",
        /// Who sent the message.
        receiver: Party = "Receiver",
        /// 8258: see [`Status`].
        status: Coded = "Status",
        /// Why it was rejected (8221), with our words in [`Coded::other`].
        errors: Vec<Coded> = "Error",
        /// The message that is answered.
        original: OriginalMsgId = "OriginalMsgId",
    }
    /// Sender or receiver of the receipt.
    Party {
        /// Role (8112 in 1.1; anything in 1.0).
        role: Option<Coded> = "Role",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// A provider.
    Hcp {
        /// An institution, or …
        inst: Option<Inst> = "Inst",
        /// … a person.
        prof: Option<HcProf> = "HCProf",
        /// Medical specialty.
        speciality: Option<Coded> = "MedSpeciality",
        /// Address.
        address: Option<Address> = "Address",
    }
    /// An institution. This standard has further identifiers before persons.
    Inst {
        /// Name.
        name: Option<String> = "Name",
        /// Identifier.
        id: Option<String> = "Id",
        /// Its kind (9051).
        type_id: Option<Coded> = "TypeId",
        /// Departments or services.
        depts: Vec<Dept> = "Dept",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
        /// Persons.
        persons: Vec<HcPerson> = "HCPerson",
    }
    /// The message that is answered.
    OriginalMsgId {
        /// Its type (8279).
        msg_type: Coded = "MsgType",
        /// Its GenDate.
        issue_date: Time = "IssueDate",
        /// Its MsgId.
        id: String = "Id",
    }
}

/// The outcome (8258).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// `1`: accepted.
    Ok,
    /// `2`: rejected; at least one error says why.
    Rejected,
    /// `3`: accepted in part; only for settlement claims.
    Partial,
}

impl Status {
    /// The code in list 8258.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ok => "1",
            Self::Rejected => "2",
            Self::Partial => "3",
        }
    }

    fn coded(self) -> Coded {
        Coded::cs(
            self.code(),
            match self {
                Self::Ok => "OK",
                Self::Rejected => "Avvist",
                Self::Partial => "OK, feil i delmelding",
            },
        )
    }
}

/// Error codes of AppRec: code list 8221.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[allow(missing_docs)] // the codes are documented by `ErrorCode::label`
pub enum ErrorCode {
    E10,
    E20,
    E21,
    E30,
    E31,
    E32,
    E33,
    E34,
    E35,
    E36,
    E53,
    E54,
    S01,
    S02,
    S03,
    S99,
    T01,
    T02,
    T10,
    T99,
    X99,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 21] = [
        Self::E10,
        Self::E20,
        Self::E21,
        Self::E30,
        Self::E31,
        Self::E32,
        Self::E33,
        Self::E34,
        Self::E35,
        Self::E36,
        Self::E53,
        Self::E54,
        Self::S01,
        Self::S02,
        Self::S03,
        Self::S99,
        Self::T01,
        Self::T02,
        Self::T10,
        Self::T99,
        Self::X99,
    ];

    /// The code as written.
    pub fn as_str(self) -> &'static str {
        self.pair().0
    }

    /// The code list's Norwegian text.
    pub fn label(self) -> &'static str {
        self.pair().1
    }

    /// Reads a code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == code)
    }

    fn pair(self) -> (&'static str, &'static str) {
        match self {
            Self::E10 => ("E10", "Ugyldig meldingsidentifikator"),
            Self::E20 => ("E20", "Lege finnes ikke"),
            Self::E21 => ("E21", "Mottaker finnes ikke"),
            Self::E30 => ("E30", "Pasientens fødselsnummer mangler"),
            Self::E31 => ("E31", "Pasientens fødselsnummer er feil"),
            Self::E32 => ("E32", "Pasientens navn mangler"),
            Self::E33 => ("E33", "Pasientens etternavn mangler"),
            Self::E34 => ("E34", "Pasientens fornavn mangler"),
            Self::E35 => ("E35", "Pasienten finnes ikke i mottakersystemet"),
            Self::E36 => ("E36", "Pasientopplysninger er utilstrekkelige"),
            Self::E53 => (
                "E53",
                "Pasientens fødselsnummer eller D-nummer finnes ikke registrert i Folkeregisteret",
            ),
            Self::E54 => (
                "E54",
                "Pasientens fødselsnummer er ikke registrert i mottagersystemet",
            ),
            Self::S01 => ("S01", "Feil på signatur"),
            Self::S02 => ("S02", "Ugyldig sertifikat"),
            Self::S03 => ("S03", "Tilbaketrukket sertifikat"),
            Self::S99 => ("S99", "Annen feil på signatur eller sertifikat"),
            Self::T01 => ("T01", "Ikke XML / ikke 'well formed' / uleselig"),
            Self::T02 => ("T02", "XML validerer ikke"),
            Self::T10 => ("T10", "Støtter ikke meldingsformatet"),
            Self::T99 => ("T99", "Annen feil på format"),
            Self::X99 => ("X99", "Annen feil"),
        }
    }

    /// The code as AppRec error with our own words, which the receiver must show.
    pub fn error(self, words: &str) -> Coded {
        Coded {
            value: Some(self.as_str().to_owned()),
            system: Some(format!("{LIST_OID}8221")),
            display: Some(self.label().to_owned()),
            other: (!words.is_empty()).then(|| words.to_owned()),
            ..Coded::default()
        }
    }
}

/// A version of the receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Version {
    /// 1.0, HIS 80415:2004.
    V1_0,
    /// 1.1, HIS 80415:2012.
    V1_1,
}

impl Version {
    /// The version that answers a message (messaging.md §2): the older documents are answered with the older receipt.
    pub fn for_message(id: &Identified) -> Self {
        let version = id.version.as_deref().unwrap_or_default();
        let is_older = match id.kind {
            MessageKind::Epikrise => version == "1.1" || version == "1.0",
            MessageKind::Henvisning => version == "1.0" || version == "0.9",
            MessageKind::Rekvisisjon => version != "1.6",
            MessageKind::Svarrapport => version != "1.4",
            MessageKind::Dialogmelding => version == "1.0",
            MessageKind::Plo => version.starts_with("1.5"),
            MessageKind::EResept
            | MessageKind::Legeerklaering
            | MessageKind::Sykmelding
            | MessageKind::Trekk
            | MessageKind::Behandlerkrav
            | MessageKind::Egenandel
            | MessageKind::Fastlege
            | MessageKind::Pasientliste => true,
            _ => false,
        };
        if is_older { Self::V1_0 } else { Self::V1_1 }
    }

    /// Value of `MIGversion`.
    pub fn mig_version(self) -> &'static str {
        match self {
            Self::V1_0 => MIG_VERSION_1_0,
            Self::V1_1 => MIG_VERSION,
        }
    }
}

impl AppRec {
    /// Reads a receipt from a document with it as root.
    ///
    /// # Errors
    /// [`ReadError`] when a part that it cannot exist without is missing, or it is another message.
    pub fn read_doc(doc: &XmlDoc) -> Result<Self, ReadError> {
        Self::read_elem(&doc.root)
    }

    /// Reads a receipt from its element.
    ///
    /// # Errors
    /// As [`Self::read_doc`].
    pub fn read_elem(e: &Elem) -> Result<Self, ReadError> {
        if &*e.name != "AppRec" || !matches!(&*e.ns, NS | NS_1_0) {
            return Err(ReadError::missing(e, "AppRec 1.0 or 1.1"));
        }
        XmlValue::read(e)
    }

    /// The element, in the namespace of its version.
    pub fn to_elem(&self) -> Elem {
        let ns = if self.is_1_0() { NS_1_0 } else { NS };
        let mut e = Elem::new(&Ns::from(ns), "AppRec");
        XmlValue::write(self, &mut e);
        e
    }

    /// UTF-8 text, ready to be signed.
    pub fn to_xml(&self) -> String {
        crate::xml::to_xml(&self.to_elem())
    }

    /// The same receipt in a version.
    #[must_use]
    pub fn in_version(mut self, version: Version) -> Self {
        self.mig_version = version.mig_version().to_owned();
        self
    }
}

impl AppRec {
    /// The receipt for a message: addresses mirrored and swapped, reference to the original filled in.
    ///
    /// `me` is the party that answers (a copy receiver answers as `COP`). `errors` must be empty for
    /// [`Status::Ok`]; a rejection without errors gets `X99`, since the standard wants at least one.
    pub fn answer(
        original: &Header,
        status: Status,
        mut errors: Vec<Coded>,
        id: &str,
        now: jiff::Timestamp,
        me: &Endpoint,
    ) -> Self {
        if status == Status::Rejected && errors.is_empty() {
            errors.push(ErrorCode::X99.error(""));
        }
        let copy = me.routing_her_id() != original.receiver.routing_her_id();
        let my_role = if copy {
            Coded::cs("COP", "Kopimottaker")
        } else {
            Coded::cs("PRIM", "Primærmottaker")
        };
        Self {
            msg_type: Coded::cs("APPREC", "Applikasjonskvittering"),
            mig_version: MIG_VERSION.to_owned(),
            software: Some("Helsenav".to_owned()),
            software_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            gen_date: now.into(),
            id: id.to_owned(),
            sender: party(my_role, me),
            receiver: party(Coded::cs("AVS", "Avsender"), &original.sender),
            status: status.coded(),
            errors,
            original: OriginalMsgId {
                msg_type: Coded {
                    system: None,
                    other: None,
                    ..original.document_type.clone().unwrap_or_default()
                },
                issue_date: date_time(&original.gen_date),
                id: original.msg_id.clone(),
                ..OriginalMsgId::default()
            },
            ..Self::default()
        }
    }

    /// The outcome, if the code is known.
    pub fn outcome(&self) -> Option<Status> {
        [Status::Ok, Status::Rejected, Status::Partial]
            .into_iter()
            .find(|s| s.code() == self.status.code())
    }

    /// Whether it is version 1.0, by its MIGversion.
    pub fn is_1_0(&self) -> bool {
        self.mig_version.contains("2004-11-21")
    }
}

/// The original's time as `xs:dateTime`: the older heads allow a date alone.
fn date_time(sent: &Time) -> Time {
    let text = match (sent.text.contains('T'), sent.day()) {
        (false, Some(day)) => format!("{day}T00:00:00"),
        _ => sent.text.clone(),
    };
    Time {
        text,
        ..Time::default()
    }
}

/// Organisation → Inst, unit → Dept, person → HCPerson (messaging.md §2, address mirroring).
fn party(role: Coded, who: &Endpoint) -> Party {
    let split = |p: &PartyId| {
        let mut ids = p
            .ids
            .iter()
            .map(|(kind, id)| (Coded::cs(kind, crate::fk1::kind_name(kind)), id.clone()));
        let (type_id, id) = ids
            .next()
            .map(|(k, i)| (Some(k), Some(i)))
            .unwrap_or_default();
        let additional_ids = ids
            .map(|(kind, id)| AdditionalId {
                id,
                kind,
                ..AdditionalId::default()
            })
            .collect::<Vec<_>>();
        (
            (!p.name.is_empty()).then(|| p.name.clone()),
            id,
            type_id,
            additional_ids,
        )
    };
    let (name, id, type_id, additional_ids) = split(&who.organisation);
    let depts = who
        .unit
        .iter()
        .map(split)
        .map(|(name, id, type_id, additional_ids)| Dept {
            name,
            id,
            type_id,
            additional_ids,
            ..Dept::default()
        });
    let persons = who
        .person
        .iter()
        .map(split)
        .map(|(name, id, type_id, additional_ids)| HcPerson {
            name,
            id,
            type_id,
            additional_ids,
            ..HcPerson::default()
        });
    let inst = Inst {
        name,
        id,
        type_id,
        depts: depts.collect(),
        additional_ids,
        persons: persons.collect(),
        ..Inst::default()
    };
    Party {
        role: Some(role),
        hcp: Hcp {
            inst: Some(inst),
            ..Hcp::default()
        },
        ..Party::default()
    }
}
