//! The battery: messages made for a receiving run, each marked as a test, about synthetic persons only.
//!
//! A message is the ordinary one of its standard with the one thing changed that its case is about, so that what a receiver
//! does with it says something about that thing.

mod bodies;

use codes::ident::{Nin, NinKind};
use edi::apprec::{AppRec, Status};
use edi::message::{Endpoint, Header, PartyId};
use edi::value::Coded;
use jiff::Timestamp;
use jiff::civil::Date;
use registers::directory::{PartyKind, Person, Sex};

use super::standard::{Case, Standard};

/// A synthetic person that the battery is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestPatient {
    /// National identifier.
    pub nin: String,
    /// Its kind (8116): `FNR` or `DNR`.
    pub kind: &'static str,
    /// Family name.
    pub family_name: String,
    /// Given name.
    pub given_name: String,
    /// Birth date.
    pub born: Date,
    /// Administrative sex (3101).
    pub sex: &'static str,
}

impl TestPatient {
    /// From the person register. Only a person with a synthetic number, a birth date and a sex, who lives.
    #[must_use]
    pub fn of(person: &Person) -> Option<Self> {
        let nin = Nin::parse(&person.nin).ok()?;
        if !nin.is_synthetic() || person.died.is_some() {
            return None;
        }
        Some(Self {
            kind: match nin.kind() {
                NinKind::Fnr => "FNR",
                NinKind::Dnr => "DNR",
                _ => return None,
            },
            nin: person.nin.clone(),
            family_name: person.name.family.clone(),
            given_name: person.name.given.clone(),
            born: person.born?,
            sex: match person.sex {
                Sex::Male => "1",
                Sex::Female => "2",
            },
        })
    }

    /// The identifier with its last digit changed: nobody can have it.
    pub(super) fn broken_nin(&self) -> String {
        let mut text = self.nin.clone();
        let last = text.pop().and_then(|digit| digit.to_digit(10));
        let other = (last.unwrap_or_default() + 1) % 10;
        text.push_str(&other.to_string());
        text
    }
}

/// A party as messages name it: level 1 and what is below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartyName {
    /// Name of level 1.
    pub organisation: String,
    /// HER-id of level 1.
    pub organisation_her_id: u32,
    /// Organisation number.
    pub orgnr: String,
    /// Name of level 2.
    pub name: String,
    /// HER-id of level 2; that of level 1 when there is nothing below.
    pub her_id: u32,
    /// Level 2 is a person.
    pub is_person: bool,
}

impl PartyName {
    /// A party of the address register.
    pub(super) fn of(directory: &dyn registers::Directory, her_id: u32) -> Option<Self> {
        let party = directory.party(her_id)?;
        let above = party
            .parent_her_id
            .and_then(|parent| directory.party(parent))
            .unwrap_or_else(|| party.clone());
        Some(Self {
            organisation: above.name,
            organisation_her_id: above.her_id,
            orgnr: above.orgnr,
            name: party.name,
            her_id,
            is_person: party.kind == PartyKind::Person,
        })
    }

    fn endpoint(&self) -> Endpoint {
        let party = |name: &str, her_id: u32, orgnr: Option<&str>| {
            let mut ids = vec![("HER".to_owned(), her_id.to_string())];
            ids.extend(orgnr.map(|orgnr| ("ENH".to_owned(), orgnr.to_owned())));
            PartyId {
                name: name.to_owned(),
                ids,
                ..PartyId::default()
            }
        };
        let below =
            (self.her_id != self.organisation_her_id).then(|| party(&self.name, self.her_id, None));
        let (unit, person) = if self.is_person {
            (None, below)
        } else {
            (below, None)
        };
        Endpoint {
            organisation: party(
                &self.organisation,
                self.organisation_her_id,
                Some(&self.orgnr),
            ),
            unit,
            person,
        }
    }
}

/// What one message is made of.
pub struct Recipe<'a> {
    /// Standard.
    pub standard: Standard,
    /// Case.
    pub case: Case,
    /// MsgId.
    pub msg_id: &'a str,
    /// When it is made.
    pub at: Timestamp,
    /// Key of the document over its versions.
    pub document_key: &'a str,
    /// The hub's party.
    pub from: &'a PartyName,
    /// Whom the document names as receiver.
    pub to: &'a PartyName,
    /// Whom it is about.
    pub patient: &'a TestPatient,
    /// Size of the attachment that is too big, bytes.
    pub too_big_bytes: usize,
}

impl Recipe<'_> {
    fn serv_type(&self) -> Coded {
        match self.case {
            Case::Change => Coded::cs("M", "Endring"),
            Case::Cancel => Coded::cs("C", "Kansellering"),
            _ => Coded::cs("N", "Ny"),
        }
    }

    /// The words of the document: what is tried, and that it is a test.
    fn words(&self) -> String {
        let what = match self.case {
            Case::Change => "Endret dokument: skal erstatte det forrige.",
            Case::Cancel => "Kansellering: dokumentet skal ikke lenger gjelde.",
            Case::Attachment | Case::TooBig => "Vedlegg følger.",
            _ => "Vanlig innhold.",
        };
        format!("TEST. Melding fra godkjenningstesten, uten virkelige opplysninger. {what}")
    }

    fn attachment(&self) -> Option<Vec<u8>> {
        match self.case {
            Case::Attachment => Some(pdf(0)),
            Case::TooBig => Some(pdf(self.too_big_bytes)),
            _ => None,
        }
    }

    /// Kind and identifier of the patient, or nothing.
    fn patient_id(&self) -> Option<(&'static str, String)> {
        match self.case {
            Case::NoPatientId | Case::BirthDateOnly => None,
            Case::WrongPatientId => Some((self.patient.kind, self.patient.broken_nin())),
            _ => Some((self.patient.kind, self.patient.nin.clone())),
        }
    }

    /// Birth date and sex, where the case lets them be known.
    fn demographics(&self) -> Option<(String, Coded)> {
        let name = if self.patient.sex == "1" {
            "Mann"
        } else {
            "Kvinne"
        };
        (self.case != Case::NoPatientId).then(|| {
            (
                self.patient.born.to_string(),
                Coded::cs(self.patient.sex, name),
            )
        })
    }

    /// The document as bytes.
    #[must_use]
    pub fn make(&self) -> Vec<u8> {
        if self.case == Case::Receipt {
            return self.receipt().into_bytes();
        }
        let text = match self.standard {
            Standard::Epikrise12 => self.letter(),
            Standard::Svarrapport14 => self.answer_report(),
            Standard::Henvisning20 => self.referral(),
            Standard::Dialogmelding11 => self.dialogue(),
            Standard::Dialogmelding10 => self
                .dialogue()
                .replace(edi::dialogmelding::NS, edi::dialogmelding::NS_1_0),
        };
        let ns = self.standard.namespace();
        match self.case {
            Case::WrongNamespace => {
                let kept = ns.rsplit_once('/').map_or(ns, |(kept, _)| kept);
                text.replace(ns, &format!("{kept}/1999-01-01")).into_bytes()
            }
            Case::NotWellFormed => {
                let mut bytes = text.into_bytes();
                bytes.truncate(bytes.len().saturating_sub(12));
                bytes
            }
            _ => text.into_bytes(),
        }
    }

    /// A receipt for a message that nobody has sent.
    fn receipt(&self) -> String {
        let original = Header {
            document_type: Some(Coded::cs(self.standard.function(), self.standard.name())),
            msg_id: self.document_key.to_owned(),
            gen_date: self.at.into(),
            sender: self.to.endpoint(),
            receiver: self.from.endpoint(),
            ..Header::default()
        };
        let me = self.from.endpoint();
        AppRec::answer(&original, Status::Ok, Vec::new(), self.msg_id, self.at, &me)
            .in_version(self.standard.receipt_version())
            .to_xml()
    }
}

/// A one-page PDF with at least this many bytes.
fn pdf(at_least: usize) -> Vec<u8> {
    let text = "BT /F1 18 Tf 72 760 Td (TEST - vedlegg fra godkjenningstesten) Tj ET";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut out = "%PDF-1.4\n".to_owned();
    if at_least > out.len() {
        // Comments are part of the format; their lines are kept short.
        let line = format!("%{}\n", "0".repeat(126));
        while out.len() < at_least {
            out.push_str(&line);
        }
    }
    let mut places = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", number + 1));
    }
    let table = out.len();
    out.push_str(&format!(
        "xref\n0 {}\n0000000000 65535 f \n",
        places.len() + 1
    ));
    for place in &places {
        out.push_str(&format!("{place:010} 00000 n \n"));
    }
    out.push_str(&format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n",
        places.len() + 1
    ));
    out.into_bytes()
}

#[cfg(test)]
mod tests;
