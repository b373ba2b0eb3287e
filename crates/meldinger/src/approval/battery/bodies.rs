//! The ordinary message of each standard, with room for what a case changes.

use edi::fk1::{self, Ident};
use edi::hcp::{AdditionalId, Hcp, Inst};
use edi::msghead::{
    Content, Document, HealthcareProfessional, MsgHead, MsgInfo, Organisation, Party, Patient,
    RefDoc,
};
use edi::value::{Coded, Rich};
use edi::{dialogmelding, epikrise, henvisning, svarrapport};

use super::{PartyName, Recipe};
use crate::approval::standard::Case;

/// A further identifier of the patient, such as a record number at the sender.
const RECORD_NUMBER: &str = "TEST-2026-0001";

impl PartyName {
    fn msghead(&self) -> Party {
        let top = Organisation::new(
            &self.organisation,
            self.organisation_her_id,
            Some(&self.orgnr),
        );
        let organisation = if self.her_id == self.organisation_her_id {
            top
        } else if self.is_person {
            let (given, family) = self.name.rsplit_once(' ').unwrap_or(("", &self.name));
            top.with_professional(HealthcareProfessional {
                family_name: Some(family.to_owned()),
                given_name: (!given.is_empty()).then(|| given.to_owned()),
                idents: vec![Ident::person("HER", self.her_id)],
                ..HealthcareProfessional::default()
            })
        } else {
            top.with_unit(Organisation::new(&self.name, self.her_id, None))
        };
        Party {
            organisation,
            ..Party::default()
        }
    }

    fn inst(&self, with_orgnr: bool) -> Inst {
        let top = Inst::new(&self.organisation, self.organisation_her_id);
        let top = if with_orgnr {
            top.with_id("ENH", &self.orgnr)
        } else {
            top
        };
        if self.her_id == self.organisation_her_id {
            top
        } else if self.is_person {
            top.with_person(&self.name, self.her_id, None)
        } else {
            top.with_dept(&self.name, self.her_id)
        }
    }
}

impl Recipe<'_> {
    fn test_status(&self) -> Option<Coded> {
        Some(Coded::cs("TEST", "Test"))
    }

    fn ack(&self) -> Option<Coded> {
        Some(Coded::cs("J", "Ja"))
    }

    /// A code, or one that is in no list when the case is about that.
    fn code_or_unknown(&self, code: Coded) -> Coded {
        if self.case == Case::UnknownCode {
            Coded {
                value: Some("TEST99".to_owned()),
                display: Some("Ukjent testkode".to_owned()),
                ..code
            }
        } else {
            code
        }
    }

    fn additional_ids(&self) -> Vec<AdditionalId> {
        let second = AdditionalId {
            id: RECORD_NUMBER.to_owned(),
            kind: Coded::cs("PNR", "Lokal pasientidentifikator"),
            ..AdditionalId::default()
        };
        let is_asked = self.case == Case::SeveralIds;
        is_asked.then_some(second).into_iter().collect()
    }

    fn ref_docs(&self) -> Vec<RefDoc> {
        let document = |bytes: Vec<u8>| RefDoc {
            msg_type: Coded::cs("A", "Vedlegg"),
            mime_type: Some("application/pdf".to_owned()),
            description: Some("test.pdf".to_owned()),
            content: Some(Content::binary(&bytes)),
            ..RefDoc::default()
        };
        self.attachment().map(document).into_iter().collect()
    }

    pub(super) fn letter(&self) -> String {
        use epikrise as e;
        let id = self.patient_id();
        let about = self.demographics();
        let event = e::Event {
            reported: Some(e::ReportedEvent {
                start: self.at.into(),
                ..e::ReportedEvent::default()
            }),
            serv_type: self.serv_type(),
            service: e::Service {
                category: Some(self.code_or_unknown(Coded::cs("3", "Poliklinisk omsorg"))),
                ..e::Service::default()
            },
            comments: vec![e::Comment {
                heading: Some(Coded::cs("VU", "Vurdering")),
                text: Some(Rich::plain(&self.words())),
                ..e::Comment::default()
            }],
            ..e::Event::default()
        };
        e::Message {
            kind: Some(Coded::cs("EPIKRISE", "Epikrise")),
            mig_version: e::MIG_VERSION.to_owned(),
            gen_date: self.at.into(),
            msg_id: self.msg_id.to_owned(),
            status: self.test_status(),
            report: e::ServRprt {
                serv_type: self.serv_type(),
                issue_date: self.at.into(),
                status: Coded::cs("F", "Endelig rapport"),
                ack: self.ack(),
                description: "Poliklinisk epikrise".to_owned(),
                report_id: Some(self.document_key.to_owned()),
                events: vec![event],
                patient: e::Patient {
                    sex: about.as_ref().map(|(_, sex)| sex.clone()),
                    birth_date: about.as_ref().map(|(born, _)| born.as_str().into()),
                    name: Some(format!(
                        "{}, {}",
                        self.patient.family_name, self.patient.given_name
                    )),
                    official_id_type: id.as_ref().map(|(kind, _)| kind_of(kind)),
                    official_id: id.map(|(_, id)| id),
                    additional_ids: self.additional_ids(),
                    ..e::Patient::default()
                },
                provider: e::Hcp::from(self.from.inst(self.case == Case::SeveralIds)).into(),
                requester: e::Hcp::from(self.to.inst(self.case == Case::SeveralIds)).into(),
                documents: self.ref_docs(),
                ..e::ServRprt::default()
            },
            ..e::Message::default()
        }
        .to_xml()
    }

    pub(super) fn answer_report(&self) -> String {
        use svarrapport as s;
        let (kind, id) = self
            .patient_id()
            .unwrap_or((self.patient.kind, String::new()));
        let about = self.demographics();
        let code = self.code_or_unknown(Coded::cv("NPU03230", 7280, "P-Kalium"));
        let patient = s::Patient {
            sex: about.as_ref().map(|(_, sex)| sex.clone()),
            birth_date: about.as_ref().map(|(born, _)| born.as_str().into()),
            name: Some(format!(
                "{}, {}",
                self.patient.family_name, self.patient.given_name
            )),
            official_id: id,
            official_id_type: kind_of(kind),
            additional_ids: self.additional_ids(),
            subjects: vec![s::AnalysedSubject {
                sample: Some(s::CollectedSample {
                    collected: Some(self.at.into()),
                    ..s::CollectedSample::default()
                }),
                kind: Some("Plasma".to_owned()),
                id_by_provider: "1".to_owned(),
                ..s::AnalysedSubject::default()
            }],
            results: vec![s::ResultItem {
                id: Some("1".to_owned()),
                subjects: vec!["1".to_owned()],
                ..s::ResultItem::number(code, "4.1", "mmol/L", "3,5 - 4,4", None)
            }],
            ..s::Patient::default()
        };
        s::Message {
            kind: Coded::cs("SVAR_KKL", "Svarrapport-Klinisk kjemi"),
            mig_version: s::MIG_VERSION.to_owned(),
            gen_date: self.at.into(),
            msg_id: self.msg_id.to_owned(),
            status: self.test_status(),
            report: Some(s::ServReport {
                serv_type: self.serv_type(),
                issue_date: self.at.into(),
                status: Coded::cs("F", "Endelig rapport"),
                ack: self.ack(),
                discipline: Coded::cs("CLIN", "Medisinsk biokjemi"),
                report_id: self.document_key.to_owned(),
                comment: Some(self.words()),
                documents: self.ref_docs(),
                requests: vec![s::ServReq {
                    id: format!("R-{}", self.document_key),
                    ..s::ServReq::default()
                }],
                patient: Some(patient),
                provider: Hcp::from(self.from.inst(self.case == Case::SeveralIds)).into(),
                requester: Hcp::from(self.to.inst(self.case == Case::SeveralIds)).into(),
                ..s::ServReport::default()
            }),
            ..s::Message::default()
        }
        .to_xml()
    }

    pub(super) fn referral(&self) -> String {
        use henvisning as h;
        let referral = h::Henvisning {
            serv_type: self.serv_type(),
            issue_date: self.at.into(),
            document_id: self.document_key.to_owned(),
            responsible: vec![
                h::Responsible {
                    person: fk1::HealthcareProfessional {
                        family_name: Some("Test".to_owned()),
                        given_name: Some("Henviser".to_owned()),
                        idents: vec![Ident::person("HER", self.from.her_id)],
                        ..fk1::HealthcareProfessional::default()
                    },
                    relation: Some(Coded::cv("HHE", 8254, "Henvisende helsepersonell")),
                    ..h::Responsible::default()
                }
                .into(),
            ],
            content_kind: h::ContentKind {
                kind: self.code_or_unknown(Coded::cv("10", 8455, "Utredning/behandling")),
                ..h::ContentKind::default()
            }
            .into(),
            info: vec![h::InfItem {
                observation: Some(h::Observation {
                    description: Some("Ingen kjente".into()),
                    ..h::Observation::default()
                }),
                kind: Coded::cv("CAVE", 8233, "Cave-opplysninger"),
                ..h::InfItem::default()
            }],
            reasons: vec![h::Text {
                heading: Some(Coded::cv("PROB", 8231, "Aktuell problemstilling")),
                text: Some(self.words().as_str().into()),
                ..h::Text::default()
            }],
            diagnoses: vec![h::Diagnosis {
                concept: Coded::cv("A97", 7170, "Administrativ kontakt/frisk"),
                ..h::Diagnosis::default()
            }],
            service: h::ReqServ {
                serv_type: self.serv_type(),
                priority: Coded::cs("14", "Innen to uker"),
                ..h::ReqServ::default()
            },
            ..h::Henvisning::default()
        };
        self.with_head(
            Coded::cs("HENVISNING_NYTILSTAND", "Henvisning ny tilstand"),
            referral.to_elem(),
        )
    }

    pub(super) fn dialogue(&self) -> String {
        use dialogmelding as d;
        let note = d::Notat {
            subject: self.code_or_unknown(Coded::cv("6", 7322, "Henvendelse om pasient")),
            subject_text: Some("TEST".to_owned()),
            text: Some(Rich::plain(&self.words())),
            ..d::Notat::default()
        };
        let message = d::Dialogmelding {
            notes: vec![note],
            ..d::Dialogmelding::default()
        };
        self.with_head(
            Coded::cs(self.standard.function(), self.standard.name()),
            message.to_elem(),
        )
    }

    fn with_head(&self, kind: Coded, payload: edi::xml::Elem) -> String {
        let about = self.demographics();
        let mut idents: Vec<Ident> = self
            .patient_id()
            .map(|(kind, id)| Ident::person(kind, id))
            .into_iter()
            .collect();
        if self.case == Case::SeveralIds {
            idents.push(Ident::person("PNR", RECORD_NUMBER));
        }
        let patient = Patient {
            family_name: Some(self.patient.family_name.clone()),
            given_name: Some(self.patient.given_name.clone()),
            birth_date: about.as_ref().map(|(born, _)| born.as_str().into()),
            sex: about.as_ref().map(|(_, sex)| sex.clone()),
            idents,
            ..Patient::default()
        };
        let mut documents = vec![Document::payload(payload)];
        documents.extend(
            self.attachment()
                .map(|bytes| Document::attachment("application/pdf", "test.pdf", &bytes)),
        );
        MsgHead {
            info: MsgInfo {
                kind,
                mig_version: edi::msghead::MIG_VERSION.to_owned(),
                gen_date: self.at.into(),
                msg_id: self.msg_id.to_owned(),
                processing_status: Some(Coded::cs("D", "Debugging")),
                ack: self.ack(),
                sender: self.from.msghead(),
                receiver: self.to.msghead(),
                patient: Some(patient),
                ..MsgInfo::default()
            },
            documents,
            ..MsgHead::default()
        }
        .to_xml()
    }
}

fn kind_of(kind: &str) -> Coded {
    let name = match kind {
        "DNR" => "D-nummer",
        _ => "Fødselsnummer",
    };
    Coded::cs(kind, name)
}
