//! The story's messages as documents: content of `nation::story::content`, addresses of facts.json, people of the nation.

use crate::clock::instant;
use crate::facts::{Facts, FactsError};
use codes::ident::Sex;
use edi::fk1::{self, Ident};
use edi::hcp::{CopyDest, HcProf, Hcp, Inst};
use edi::msghead::{
    self, Document, HealthcareProfessional, MsgHead, MsgInfo, Organisation, Patient,
};
use edi::value::{Coded, Rich};
use edi::{dialogmelding, epikrise, henvisning, svarrapport};
use jiff::civil::DateTime;
use nation::Nation;
use nation::history::Value;
use nation::model::Person;
use nation::story::content::{Discharge, Referral, Report};
use std::sync::Arc;
use uuid::Uuid;

/// Who sends what to whom, when.
#[derive(Clone, Debug)]
pub struct Letterhead<'a> {
    /// MsgId.
    pub msg_id: &'a str,
    /// Local time of the story.
    pub at: DateTime,
    /// Sender, level 2.
    pub from: u32,
    /// Receiver, level 2.
    pub to: u32,
    /// Copy receivers, level 2.
    pub copies: &'a [u32],
}

/// Makes documents.
#[derive(Clone)]
pub struct Composer {
    facts: Arc<Facts>,
    nation: Arc<Nation>,
}

/// A name in parts and the HPR number.
struct Worker {
    given: String,
    family: String,
    hpr: Option<u32>,
}

impl Worker {
    fn full(&self) -> String {
        format!("{} {}", self.given, self.family)
    }
}

fn list(number: u32, code: &str) -> Coded {
    let display = codes::lists::display(&codes::oid::list(number), code).unwrap_or(code);
    Coded::cv(code, number, display)
}

fn simple(number: u32, code: &str) -> Coded {
    let display = codes::lists::display(&codes::oid::list(number), code).unwrap_or(code);
    Coded::cs(code, display)
}

fn sex(person: &Person) -> Coded {
    match person.sex {
        Sex::Male => Coded::cs("1", "Mann"),
        _ => Coded::cs("2", "Kvinne"),
    }
}

impl Composer {
    /// For this nation and these addresses.
    #[must_use]
    pub fn new(facts: Arc<Facts>, nation: Arc<Nation>) -> Self {
        Self { facts, nation }
    }

    /// The nation.
    #[must_use]
    pub fn nation(&self) -> &Nation {
        &self.nation
    }

    /// A fixed person of the nation.
    ///
    /// # Errors
    /// [`FactsError::Missing`].
    pub fn person(&self, key: &str) -> Result<&Person, FactsError> {
        let found = self.nation.person_by_key(key);
        found.ok_or_else(|| FactsError::Missing(format!("person {key}")))
    }

    fn worker(&self, her_id: u32) -> Option<Worker> {
        let found = self.nation.fixed_practitioners().iter().find(|p| {
            let mut at = p.workplaces.iter();
            at.any(|w| w.her_id.is_some_and(|h| h.0 == her_id))
        })?;
        Some(Worker {
            given: found.name.given.clone(),
            family: found.name.family.clone(),
            hpr: found.hpr.map(|h| h.0),
        })
    }

    fn practitioner(&self, key: &str) -> Option<Worker> {
        let found = self.nation.practitioner_by_key(key)?;
        Some(Worker {
            given: found.name.given.clone(),
            family: found.name.family.clone(),
            hpr: found.hpr.map(|h| h.0),
        })
    }

    /// The doctor who answers for a letter of a department in the story.
    fn responsible(&self, her_id: u32) -> Option<Worker> {
        self.worker(her_id).or_else(|| match her_id {
            8_900_301 => self.practitioner("saether"),
            8_900_401 => self.practitioner("lien"),
            _ => None,
        })
    }

    fn is_person(&self, her_id: u32) -> Result<bool, FactsError> {
        let organisation = self.facts.organisation_of(her_id)?;
        let party = organisation.parties.iter().find(|p| p.her_id == her_id);
        Ok(party.is_some_and(|p| p.kind == "person"))
    }

    /// A party as MsgHead writes it.
    fn party(&self, her_id: u32) -> Result<msghead::Party, FactsError> {
        let organisation = self.facts.organisation_of(her_id)?;
        let top = Organisation::new(
            &organisation.name,
            organisation.her_id,
            Some(&organisation.orgnr),
        );
        let organisation = if self.is_person(her_id)? {
            let who = self.worker(her_id);
            let hpr = who.as_ref().and_then(|w| w.hpr);
            let idents = [("HER", Some(her_id)), ("HPR", hpr)];
            top.with_professional(HealthcareProfessional {
                family_name: who.as_ref().map(|w| w.family.clone()),
                given_name: who.as_ref().map(|w| w.given.clone()),
                idents: idents
                    .into_iter()
                    .filter_map(|(kind, id)| Some(Ident::person(kind, id?)))
                    .collect(),
                ..HealthcareProfessional::default()
            })
        } else if organisation.her_id == her_id {
            top
        } else {
            let name = self.facts.party_name(her_id).unwrap_or_default();
            top.with_unit(Organisation::new(name, her_id, None))
        };
        Ok(msghead::Party {
            organisation,
            ..msghead::Party::default()
        })
    }

    /// A party as the messages with an own head write it.
    fn inst(&self, her_id: u32) -> Result<Inst, FactsError> {
        let organisation = self.facts.organisation_of(her_id)?;
        let top = Inst::new(&organisation.name, organisation.her_id);
        let name = self.facts.party_name(her_id).unwrap_or_default();
        Ok(if self.is_person(her_id)? {
            let who = self.worker(her_id);
            let full = who.as_ref().map_or_else(|| name.to_owned(), Worker::full);
            top.with_person(&full, her_id, who.and_then(|w| w.hpr))
        } else if organisation.her_id == her_id {
            top
        } else {
            top.with_dept(name, her_id)
        })
    }

    fn head(
        &self,
        head: &Letterhead<'_>,
        kind: Coded,
        person: &Person,
        payload: edi::xml::Elem,
    ) -> Result<String, FactsError> {
        let info = MsgInfo {
            kind,
            mig_version: msghead::MIG_VERSION.to_owned(),
            gen_date: instant(head.at).into(),
            msg_id: head.msg_id.to_owned(),
            ack: Some(Coded::cs("J", "Ja")),
            sender: self.party(head.from)?,
            receiver: self.party(head.to)?,
            patient: Some(patient(person)),
            ..MsgInfo::default()
        };
        let message = MsgHead {
            info,
            documents: vec![Document::payload(payload)],
            ..MsgHead::default()
        };
        Ok(message.to_xml())
    }

    /// A referral (henvisning 2.0 in MsgHead 1.2). `document_id` is the key of all its versions.
    ///
    /// # Errors
    /// A party or person that does not exist.
    pub fn referral(
        &self,
        head: &Letterhead<'_>,
        document_id: Uuid,
        person: &Person,
        content: &Referral,
    ) -> Result<String, FactsError> {
        let who = self.worker(head.from);
        let responsible = who.map(|who| {
            henvisning::Responsible {
                person: fk1::HealthcareProfessional {
                    family_name: Some(who.family),
                    given_name: Some(who.given),
                    idents: who
                        .hpr
                        .map(|hpr| Ident::person("HPR", hpr))
                        .into_iter()
                        .collect(),
                    ..fk1::HealthcareProfessional::default()
                },
                relation: Some(Coded::cv("HHE", 8254, "Henvisende helsepersonell")),
                ..henvisning::Responsible::default()
            }
            .into()
        });
        let observed = |kind: Coded, text: &str| henvisning::InfItem {
            observation: Some(henvisning::Observation {
                description: Some(text.to_owned()),
                ..henvisning::Observation::default()
            }),
            kind,
            ..henvisning::InfItem::default()
        };
        let medicine =
            |text: &&str| observed(Coded::cv("MEDB", 8233, "Legemiddelopplysning"), text);
        let mut info: Vec<henvisning::InfItem> = content.medicines.iter().map(medicine).collect();
        let cave = Coded::cv("CAVE", 8233, "Cave-opplysninger");
        info.push(observed(cave, content.cave));
        let payload = henvisning::Henvisning {
            serv_type: Coded::cs("N", "Ny"),
            issue_date: instant(head.at).into(),
            document_id: document_id.to_string(),
            responsible: responsible.into_iter().collect(),
            content_kind: henvisning::ContentKind {
                kind: list(8455, "10"),
                ..henvisning::ContentKind::default()
            }
            .into(),
            info,
            reasons: content
                .information
                .iter()
                .map(|(code, text)| henvisning::Text {
                    heading: Some(list(8231, code)),
                    text: Some((*text).to_owned()),
                    ..henvisning::Text::default()
                })
                .collect(),
            diagnoses: vec![henvisning::Diagnosis {
                concept: list(7170, content.icpc),
                ..henvisning::Diagnosis::default()
            }],
            service: henvisning::ReqServ {
                serv_type: Coded::cs("N", "Ny"),
                priority: simple(8304, content.priority),
                ..henvisning::ReqServ::default()
            },
            ..henvisning::Henvisning::default()
        };
        let kind = Coded::cs("HENVISNING_NYTILSTAND", "Henvisning ny tilstand");
        self.head(head, kind, person, payload.to_elem())
    }

    /// A message about a referral's state (dialogmelding 1.1 in MsgHead 1.2).
    ///
    /// # Errors
    /// A party or person that does not exist.
    pub fn referral_status(
        &self,
        head: &Letterhead<'_>,
        person: &Person,
        text: &str,
    ) -> Result<String, FactsError> {
        let who = self.responsible(head.from);
        let role = who.map(|who| dialogmelding::RollerRelatertNotat {
            role_to_patient: Some(list(9034, "3")),
            professional: Some(dialogmelding::HealthcareProfessional {
                family_name: Some(who.family),
                given_name: Some(who.given),
                idents: who
                    .hpr
                    .map(|hpr| Ident::person("HPR", hpr))
                    .into_iter()
                    .collect(),
                ..dialogmelding::HealthcareProfessional::default()
            }),
            ..dialogmelding::RollerRelatertNotat::default()
        });
        let payload = dialogmelding::Dialogmelding {
            notes: vec![dialogmelding::Notat {
                subject: Coded::cv("6", 7322, "Henvendelse om pasient"),
                subject_text: Some("Henvisning vurdert".to_owned()),
                text: Some(Rich::plain(text)),
                roles: role.into_iter().collect(),
                ..dialogmelding::Notat::default()
            }],
            ..dialogmelding::Dialogmelding::default()
        };
        let kind = Coded::cs("DIALOG_STATUS_HENVISNING", "Status på henvisning");
        self.head(head, kind, person, payload.to_elem())
    }

    /// A laboratory report (svarrapport 1.4). `number` is the key of all its versions; results that differ from those of
    /// `before` are marked as changed.
    ///
    /// # Errors
    /// A party or person that does not exist.
    pub fn report(
        &self,
        head: &Letterhead<'_>,
        person: &Person,
        number: &str,
        collected: DateTime,
        content: &Report,
        before: Option<&Report>,
    ) -> Result<String, FactsError> {
        let items = content
            .analyses
            .iter()
            .enumerate()
            .map(|(index, analysis)| {
                let is_changed = before.is_some_and(|b| !b.analyses.contains(analysis));
                result_item(index, analysis, person.sex, is_changed)
            });
        let requester = self.inst(head.to)?;
        let patient = svarrapport::Patient {
            sex: Some(sex(person)),
            birth_date: Some(person.born.to_string().as_str().into()),
            name: Some(listed_name(person)),
            official_id: person.nin.as_str().to_owned(),
            official_id_type: simple(8116, "FNR"),
            responsible: Some(svarrapport::ResponsibleHcp {
                relation: Some(Coded::cs("REK", "Rekvirent")),
                hcp: requester.clone().into(),
                ..svarrapport::ResponsibleHcp::default()
            }),
            subjects: vec![svarrapport::AnalysedSubject {
                sample: Some(svarrapport::CollectedSample {
                    collected: Some(instant(collected).into()),
                    ..svarrapport::CollectedSample::default()
                }),
                kind: Some("Blod".to_owned()),
                id_by_provider: "1".to_owned(),
                ..svarrapport::AnalysedSubject::default()
            }],
            results: items.collect(),
            ..svarrapport::Patient::default()
        };
        let copies = head.copies.iter().map(|copy| {
            Ok(CopyDest {
                hcp: self.inst(*copy)?.into(),
                ..CopyDest::default()
            })
        });
        let signed_by = self.responsible(head.from).and_then(|w| {
            let hpr = w.hpr?;
            Some(svarrapport::RelServProv {
                relation: Coded::cs("AHP", "Ansvarlig helsepersonell"),
                hcp: HcProf::new(&w.full(), hpr).into(),
                ..svarrapport::RelServProv::default()
            })
        });
        let message = svarrapport::Message {
            kind: Coded::cs("SVAR_LAB", "Svarrapport-Laboratoriemedisin"),
            mig_version: svarrapport::MIG_VERSION.to_owned(),
            gen_date: instant(head.at).into(),
            msg_id: head.msg_id.to_owned(),
            report: Some(svarrapport::ServReport {
                serv_type: simple(7309, content.service_type),
                issue_date: instant(head.at).into(),
                status: simple(7306, content.status),
                ack: Some(Coded::cs("J", "Ja")),
                discipline: simple(8202, content.speciality),
                report_id: number.to_owned(),
                comment: content.comment.map(str::to_owned),
                requests: vec![svarrapport::ServReq {
                    id: format!("REK-{number}"),
                    ..svarrapport::ServReq::default()
                }],
                patient: Some(patient),
                provider: Hcp::from(self.inst(head.from)?).into(),
                requester: Hcp::from(requester).into(),
                copies: copies.collect::<Result<_, FactsError>>()?,
                performer: signed_by,
                ..svarrapport::ServReport::default()
            }),
            ..svarrapport::Message::default()
        };
        Ok(message.to_xml())
    }

    /// A discharge letter (epikrise 1.2). `number` is the key of all its versions.
    ///
    /// # Errors
    /// A party or person that does not exist.
    pub fn discharge(
        &self,
        head: &Letterhead<'_>,
        person: &Person,
        number: Uuid,
        began: DateTime,
        content: &Discharge,
    ) -> Result<String, FactsError> {
        let diagnosis = |(index, code): (usize, &&str)| {
            let kind = if index == 0 {
                Coded::cs("H", "Hoveddiagnose")
            } else {
                Coded::cs("B", "Bidiagnose")
            };
            epikrise::InfItem::diagnosis(kind, list(7110, code))
        };
        let medicine = |(atc, text): &(&str, &str)| epikrise::InfItem {
            medication: Some(epikrise::Medication {
                drug: list(7180, atc),
                status: Coded::cs("2", "Forskrevet"),
                dosage: Some((*text).to_owned()),
                ..epikrise::Medication::default()
            }),
            kind: Coded::cs("MEDB", "Legemiddelopplysning"),
            ..epikrise::InfItem::default()
        };
        let mut info: Vec<epikrise::InfItem> =
            content.icd.iter().enumerate().map(diagnosis).collect();
        info.extend(content.medicines.iter().map(medicine));
        let comment = |(heading, text): &(&str, &str)| epikrise::Comment {
            heading: Some(Coded::cs(heading_code(heading), heading)),
            text: Some(Rich::paragraphs(text.lines())),
            ..epikrise::Comment::default()
        };
        let event = epikrise::Event {
            reported: Some(epikrise::ReportedEvent {
                start: instant(began).into(),
                end: Some(instant(head.at).into()),
                ..epikrise::ReportedEvent::default()
            }),
            serv_type: Coded::cs("N", "Ny"),
            service: epikrise::Service {
                category: Some(simple(8240, content.care_mode)),
                ..epikrise::Service::default()
            },
            info,
            comments: content.sections.iter().map(comment).collect(),
            ..epikrise::Event::default()
        };
        let copies = head.copies.iter().map(|copy| {
            Ok(epikrise::CopyDest {
                hcp: self.inst(*copy)?.into(),
                ..epikrise::CopyDest::default()
            })
        });
        let author = self.responsible(head.from).and_then(|w| {
            let hpr = w.hpr?;
            Some(epikrise::RelatedProvider {
                relation: Coded::cs("AHP", "Ansvarlig helsepersonell"),
                hcp: epikrise::Hcp::person(&w.full(), hpr),
                ..epikrise::RelatedProvider::default()
            })
        });
        let message = epikrise::Message {
            kind: Some(Coded::cs("EPIKRISE", "Epikrise")),
            mig_version: epikrise::MIG_VERSION.to_owned(),
            gen_date: instant(head.at).into(),
            msg_id: head.msg_id.to_owned(),
            report: epikrise::ServRprt {
                serv_type: Coded::cs("N", "Ny"),
                issue_date: instant(head.at).into(),
                status: Coded::cs("F", "Endelig rapport"),
                ack: Some(Coded::cs("J", "Ja")),
                description: "Sykehusepikrise".to_owned(),
                report_id: Some(number.to_string()),
                events: vec![event],
                patient: epikrise::Patient {
                    sex: Some(sex(person)),
                    birth_date: Some(person.born.to_string().as_str().into()),
                    name: Some(listed_name(person)),
                    official_id: Some(person.nin.as_str().to_owned()),
                    official_id_type: Some(simple(8116, "FNR")),
                    ..epikrise::Patient::default()
                },
                provider: epikrise::Hcp::from(self.inst(head.from)?).into(),
                requester: epikrise::Hcp::from(self.inst(head.to)?).into(),
                copies: copies.collect::<Result<_, FactsError>>()?,
                related: author.into_iter().collect(),
                ..epikrise::ServRprt::default()
            },
            ..epikrise::Message::default()
        };
        Ok(message.to_xml())
    }
}

fn patient(person: &Person) -> Patient {
    Patient {
        family_name: Some(person.name.family.clone()),
        middle_name: person.name.middle.clone(),
        given_name: Some(person.name.given.clone()),
        birth_date: Some(person.born.to_string().as_str().into()),
        sex: Some(sex(person)),
        idents: vec![Ident::person("FNR", person.nin.as_str())],
        ..Patient::default()
    }
}

fn listed_name(person: &Person) -> String {
    let given = match &person.name.middle {
        Some(middle) => format!("{} {middle}", person.name.given),
        None => person.name.given.clone(),
    };
    format!("{}, {given}", person.name.family)
}

/// The code of list 8231 for a heading of the story's letters.
fn heading_code(heading: &str) -> &'static str {
    match heading {
        "Henvisningsårsak" => "BG",
        "Aktuelt" => "FO",
        "Funn" | "Undersøkelser" => "FU",
        "Vurdering" => "VU",
        "Behandling og plan" => "UTRED",
        "Informasjon" => "IP",
        _ => "SVU",
    }
}

fn result_item(
    index: usize,
    analysis: &nation::history::Analysis,
    sex: Sex,
    is_changed: bool,
) -> svarrapport::ResultItem {
    let known = codes::lab::analyte(analysis.code);
    let name = known.map_or(analysis.code, |a| a.short_name);
    let code = Coded::cv(analysis.code, 7280, name);
    let range = known.and_then(|a| match sex {
        Sex::Male => a.range_men.or(a.range),
        _ => a.range,
    });
    let mut item = match &analysis.value {
        Value::Number(value, comparator) => {
            let unit = known.and_then(|a| a.unit).unwrap_or_default();
            let deviation = analysis.deviation.map(|d| simple(8244, d));
            let mut item = svarrapport::ResultItem::number(
                code,
                value,
                unit,
                range.unwrap_or_default(),
                deviation,
            );
            if let Some(number) = &mut item.number {
                number.comparator = comparator.map(|c| simple(8239, c));
            }
            item
        }
        Value::Text(text) => svarrapport::ResultItem::textual(code, text),
    };
    if is_changed {
        item.serv_type = Some(Coded::cs("M", "Endring"));
    }
    item.id = Some((index + 1).to_string());
    item.subjects = vec!["1".to_owned()];
    item
}
