//! Test and approval: an in-process vendor on the bus that does everything right is approved, and a sloppy one fails on exactly the criteria
//! that it breaks; a sending vendor is judged by what it sends. What was seen outlives a restart of the service.

mod over_ebxml;
mod over_rest;

use std::sync::Arc;

use amqp::port::Message;
use edi::apprec::{AppRec, ErrorCode, Status};
use edi::check::{Options, Severity, Verdict};
use edi::message::Header;
use edi::xml::XmlDoc;
use meldinger::approval::model::Declared;
use meldinger::approval::standard::{Case, Direction, SendCase, Standard};
use meldinger::approval::{ApprovalConfig, ApprovalError, Approvals, NewRun, NewSystem};
use meldinger::port::Transport;
use meldinger::receivers::Desk;
use meldinger::view::Viewer;
use registers::directory::{
    Directory, Organisation, Party, Person, PersonName, Practitioner, Protection, Sex,
};
use serde_json::Value;
use xmlsec::asn1::Limits;
use xmlsec::cms;

use crate::world::*;

const TEST_PARTY: u32 = 8_900_004;
const OWN: Viewer = Viewer::Party { organisation: EPJ };

/// The world's parties, the test party, and one synthetic person.
struct WithPersons(Arc<dyn Directory>);

impl Directory for WithPersons {
    fn party(&self, her_id: u32) -> Option<Party> {
        if her_id != TEST_PARTY {
            return self.0.party(her_id);
        }
        let like = self.0.party(RESULTS)?;
        Some(Party {
            her_id,
            name: "Meldingsvalidering".to_owned(),
            ..like
        })
    }
    fn story_persons(&self) -> Vec<Person> {
        vec![Person {
            nin: "14896849817".to_owned(),
            historic: Vec::new(),
            name: PersonName {
                given: "Kari".to_owned(),
                middle: None,
                family: "Lunde".to_owned(),
            },
            born: Some(jiff::civil::date(1968, 9, 14)),
            sex: Sex::Female,
            address: None,
            protection: Protection::default(),
            died: None,
            language: None,
            relations: Vec::new(),
            gp: None,
            story: Some("kari".to_owned()),
        }]
    }
    fn person(&self, nin: &str) -> Option<Person> {
        self.0.person(nin)
    }
    fn practitioner_by_hpr(&self, hpr: &str) -> Option<Practitioner> {
        self.0.practitioner_by_hpr(hpr)
    }
    fn practitioner_by_nin(&self, nin: &str) -> Option<Practitioner> {
        self.0.practitioner_by_nin(nin)
    }
    fn practitioners_of(&self, orgnr: &str, limit: usize) -> Vec<Practitioner> {
        self.0.practitioners_of(orgnr, limit)
    }
    fn parties_of(&self, orgnr: &str) -> Vec<Party> {
        self.0.parties_of(orgnr)
    }
    fn top_parties(&self) -> Vec<Party> {
        self.0.top_parties()
    }
    fn organisation(&self, orgnr: &str) -> Option<Organisation> {
        self.0.organisation(orgnr)
    }
    fn organisations(&self, limit: usize) -> Vec<Organisation> {
        self.0.organisations(limit)
    }
    fn search_persons(&self, query: &str, limit: usize) -> Vec<Person> {
        self.0.search_persons(query, limit)
    }
    fn practitioners(&self, limit: usize) -> Vec<Practitioner> {
        self.0.practitioners(limit)
    }
}

struct Scheme {
    world: World,
    approvals: Approvals,
    desk: Desk,
}

fn approvals(world: &World) -> Approvals {
    let check = Arc::new(|bytes: &[u8], envelope| {
        let options = Options {
            envelope,
            ..Options::default()
        };
        edi::check::run(bytes, &options)
    });
    let config = ApprovalConfig {
        too_big_bytes: 100_000,
        ..ApprovalConfig::default()
    };
    Approvals::new(&world.exchange, check, config).unwrap()
}

async fn scheme() -> Scheme {
    let world = world_with(|parts| {
        parts.directory = Arc::new(WithPersons(parts.directory.clone()));
    })
    .await;
    let approvals = tokio::task::block_in_place(|| approvals(&world));
    let desk = Desk::new(world.exchange.clone(), vec![approvals.receiver()]);
    Scheme {
        world,
        approvals,
        desk,
    }
}

fn states(report: &Value, state: &str) -> Vec<String> {
    let criteria = report["criteria"].as_array().unwrap();
    let found = criteria.iter().filter(|line| line["state"] == state);
    found
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect()
}

impl Scheme {
    fn register(&self, name: &str) -> String {
        let new = NewSystem {
            her_id: EPJ_SERVICE,
            name: name.to_owned(),
            version: "1.0".to_owned(),
            msh_name: "Test-MSH".to_owned(),
            msh_version: "2".to_owned(),
        };
        let made = tokio::task::block_in_place(|| self.approvals.register(EPJ, &new));
        made.unwrap().id
    }

    fn start(&self, direction: Direction, standard: Standard) -> Value {
        self.start_over(Transport::Amqp, direction, standard)
    }

    fn start_over(&self, transport: Transport, direction: Direction, standard: Standard) -> Value {
        let new = NewRun {
            system: self.register("Journal"),
            standard,
            direction,
            transport,
        };
        tokio::task::block_in_place(|| self.approvals.start(EPJ, &new)).unwrap()
    }

    fn work(&self) {
        tokio::task::block_in_place(|| while self.desk.handle_waiting(100) > 0 {});
    }

    fn report(&self, id: &str) -> Value {
        tokio::task::block_in_place(|| self.approvals.report(OWN, id)).unwrap()
    }

    fn declare_all(&self, report: &Value) {
        let id = report["id"].as_str().unwrap();
        for line in report["criteria"].as_array().unwrap() {
            if line["self_declared"] == true {
                let declared = Declared {
                    answer: true,
                    remark: "Sett på skjermen.".to_owned(),
                    at_us: 0,
                };
                let criterion = line["id"].as_str().unwrap();
                tokio::task::block_in_place(|| {
                    self.approvals.declare(EPJ, id, criterion, &declared)
                })
                .unwrap();
            }
        }
    }

    /// Sends as the vendor to the test party.
    async fn send(&self, function: &str, xml: &str) {
        let sealed = seal(xml, &PKI.epj.signing);
        let message = message(function, TEST_PARTY, sealed);
        self.world.send("vaar-epj", "8900000_async", message).await;
    }
}

/// How a vendor answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Right,
    /// Answers duplicates again, refers to a wrong type, and takes what is addressed to others.
    Sloppy,
}

/// Reads the vendor's queue as its system would, and answers.
async fn answer_all(scheme: &Scheme, manner: Manner) -> usize {
    let mut known: Vec<String> = Vec::new();
    let mut answers = 0;
    for received in scheme
        .world
        .drain("vaar-epj", &format!("{EPJ}_async"))
        .await
    {
        let opened = cms::open(
            &received.body,
            std::slice::from_ref(&PKI.epj.encryption),
            Limits::default(),
        )
        .unwrap();
        let subject = received.properties.subject.clone().unwrap();
        if subject == "APPREC" {
            continue;
        }
        if let Some(reply) = answer(&received, &opened.content, manner, &mut known) {
            let queue = if reply.property("errorCondition").is_some() {
                "8900000_error"
            } else {
                "8900000_async"
            };
            scheme.world.send("vaar-epj", queue, reply).await;
            answers += 1;
        }
    }
    scheme.work();
    answers
}

/// What a vendor's system makes of a document.
enum Decision {
    Receipt {
        header: Box<Header>,
        status: Status,
        errors: Vec<edi::value::Coded>,
    },
    Unreadable,
    Nothing,
}

fn decide(
    content: &[u8],
    transport: edi::check::Transport,
    manner: Manner,
    known: &mut Vec<String>,
) -> Decision {
    let options = Options {
        envelope: Some(edi::check::Envelope {
            from_her_id: TEST_PARTY,
            to_her_id: EPJ_SERVICE,
        }),
        ..Options::default()
    };
    let checked = edi::check::run(content, &options);
    let verdict = match checked.verdict(transport) {
        Verdict::Reject { .. } if manner == Manner::Sloppy && is_for_another(content) => {
            Verdict::Accept { warnings: 0 }
        }
        verdict => verdict,
    };
    let (status, errors) = match verdict {
        Verdict::Accept { .. } => (Status::Ok, Vec::new()),
        Verdict::Reject { errors, .. } => (Status::Rejected, errors),
        Verdict::TransportError { .. } => return Decision::Unreadable,
        Verdict::Drop { .. } | Verdict::NotOpened => return Decision::Nothing,
    };
    let Some(header) = checked.header else {
        return Decision::Unreadable;
    };
    if known.contains(&header.msg_id) && manner == Manner::Right {
        return Decision::Nothing;
    }
    known.push(header.msg_id.clone());
    Decision::Receipt {
        header: Box::new(header),
        status,
        errors,
    }
}

fn answer(
    received: &Message,
    content: &[u8],
    manner: Manner,
    known: &mut Vec<String>,
) -> Option<Message> {
    match decide(content, edi::check::Transport::Amqp, manner, known) {
        Decision::Receipt {
            header,
            status,
            errors,
        } => {
            let xml = receipt(&header, status, errors, manner);
            let sealed = seal(&xml, &PKI.epj.signing);
            Some(message("APPREC", TEST_PARTY, sealed))
        }
        Decision::Unreadable => {
            let mut reply = message("EPIKRISE", TEST_PARTY, Vec::new());
            reply.set_property("errorCondition", "transport:not-well-formed-xml");
            reply.set_property("errorDescription", "kan ikke leses");
            let id = received.properties.message_id.as_ref().unwrap().as_text();
            reply.set_property("originalMessageId", id);
            reply.set_property("receiverTimeStamp", now_text());
            Some(reply)
        }
        Decision::Nothing => None,
    }
}

fn is_for_another(content: &[u8]) -> bool {
    let doc = XmlDoc::parse(content).unwrap();
    !Header::from_doc(&doc).unwrap().is_addressed_to(EPJ_SERVICE)
}

fn receipt(
    header: &Header,
    status: Status,
    errors: Vec<edi::value::Coded>,
    manner: Manner,
) -> String {
    let now = jiff::Timestamp::now();
    let me = edi::message::Endpoint {
        organisation: edi::message::PartyId {
            name: "Din EPJ AS".to_owned(),
            ids: vec![("HER".to_owned(), EPJ.to_string())],
            ..Default::default()
        },
        unit: Some(edi::message::PartyId {
            name: "Allmennlege".to_owned(),
            ids: vec![("HER".to_owned(), EPJ_SERVICE.to_string())],
            ..Default::default()
        }),
        person: None,
    };
    let errors = match (status, errors.is_empty()) {
        (Status::Rejected, true) => vec![ErrorCode::X99.error("")],
        _ => errors,
    };
    let mut answer = AppRec::answer(header, status, errors, &new_id(), now, &me);
    if manner == Manner::Sloppy {
        answer.original.msg_type = edi::value::Coded::cs("DIALOG_NOTAT", "Notat");
    }
    answer.to_xml()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_does_everything_right_is_approved() {
    let scheme = scheme().await;
    let started = scheme.start(Direction::Receive, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap().to_owned();
    assert_eq!(started["status"], "testing");
    assert_eq!(states(&started, "passed"), [] as [&str; 0]);
    // The register has nobody with a D-number, so that case is not asked for.
    assert!(!started.to_string().contains("R-C07"));

    let answers = answer_all(&scheme, Manner::Right).await;
    let cases = started["cases"].as_array().unwrap().len();
    assert_eq!(
        answers,
        cases - 1,
        "every message but the receipt, the duplicate once"
    );
    let report = scheme.report(&id);
    assert_eq!(states(&report, "failed"), [] as [&str; 0], "{report:#}");
    assert!(
        states(&report, "waiting")
            .iter()
            .all(|id| id.starts_with("R-D"))
    );

    // Not before everything is said.
    let early = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id));
    assert!(matches!(early, Err(ApprovalError::NotNow(_))));
    scheme.declare_all(&report);
    let done = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id)).unwrap();
    assert_eq!(
        (&done["status"], &done["passed"]),
        (&"ok".into(), &true.into())
    );

    let published = tokio::task::block_in_place(|| scheme.approvals.approved()).unwrap();
    assert_eq!(published.len(), 1);
    assert_eq!(
        (published[0].system.as_str(), published[0].standard),
        ("Journal", "Epikrise 1.2")
    );
    // What is approved stays as it was, also for a service that is started anew.
    let again = tokio::task::block_in_place(|| approvals(&scheme.world));
    let read = tokio::task::block_in_place(|| again.report(OWN, &id)).unwrap();
    assert_eq!(read, done);
    let late = tokio::task::block_in_place(|| again.send_again(EPJ, &id, Case::Normal));
    assert!(matches!(late, Err(ApprovalError::NotNow(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sloppy_vendor_fails_on_what_it_breaks() {
    let scheme = scheme().await;
    let started = scheme.start(Direction::Receive, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap().to_owned();
    answer_all(&scheme, Manner::Sloppy).await;
    let report = scheme.report(&id);
    assert_eq!(
        states(&report, "failed"),
        ["R-A03", "R-A07", "R-C13", "R-C14"],
        "{report:#}"
    );
    let wrong = report["criteria"].as_array().unwrap();
    let wrong = wrong.iter().find(|line| line["id"] == "R-A03").unwrap();
    let finding = &wrong["findings"][0];
    assert!(finding["line"].as_u64().unwrap() > 0);
    assert!(
        finding["element"]
            .as_str()
            .unwrap()
            .ends_with("/OriginalMsgId/MsgType")
    );

    // Mended and tried again: only the latest attempt of a case counts.
    let resent =
        tokio::task::block_in_place(|| scheme.approvals.send_again(EPJ, &id, Case::WrongAddressee))
            .unwrap();
    let line = resent["cases"].as_array().unwrap();
    let line = line
        .iter()
        .find(|line| line["case"] == "wrong_addressee")
        .unwrap();
    assert_eq!(
        (
            &line["attempts"],
            line["receipts"].as_array().unwrap().len()
        ),
        (&2.into(), 0)
    );
    answer_all(&scheme, Manner::Right).await;
    assert!(!states(&scheme.report(&id), "failed").contains(&"R-C13".to_owned()));
    // An approval needs all of it.
    let done = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id));
    assert!(matches!(done, Err(ApprovalError::NotNow(_))));
    let published = tokio::task::block_in_place(|| scheme.approvals.approved()).unwrap();
    assert!(published.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_its_own_organisations() {
    let scheme = scheme().await;
    let started = scheme.start(Direction::Send, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap();
    let other = Viewer::Party {
        organisation: HOSPITAL,
    };
    tokio::task::block_in_place(|| {
        let approvals = &scheme.approvals;
        assert!(matches!(
            approvals.report(other, id),
            Err(ApprovalError::NotFound)
        ));
        assert!(matches!(
            approvals.finish(HOSPITAL, id),
            Err(ApprovalError::NotFound)
        ));
        assert!(
            approvals.runs(other).unwrap().is_empty()
                && approvals.systems(other).unwrap().is_empty()
        );
        assert_eq!(approvals.runs(Viewer::Operator).unwrap().len(), 1);
        approvals.report(Viewer::Operator, id).unwrap();
        // Nobody registers another organisation's party.
        let new = NewSystem {
            her_id: HEART,
            name: "Journal".to_owned(),
            version: "1".to_owned(),
            msh_name: "M".to_owned(),
            msh_version: "1".to_owned(),
        };
        assert!(matches!(
            approvals.register(EPJ, &new),
            Err(ApprovalError::Invalid(_))
        ));
        let nameless = NewSystem {
            her_id: EPJ_SERVICE,
            name: " ".to_owned(),
            ..new
        };
        assert!(matches!(
            approvals.register(EPJ, &nameless),
            Err(ApprovalError::Invalid(_))
        ));
    });
}

/// A letter of the vendor to the test party.
fn letter(msg_id: &str, state: &str, patient: &str, more: &str) -> String {
    let at = "2026-11-23T13:50:00+01:00";
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Message xmlns="http://www.kith.no/xmlstds/epikrise/2012-02-15"><Type V="EPIKRISE" DN="Epikrise"/><MIGversion>v1.2 2012-02-15</MIGversion>
<GenDate V="{at}"/><MsgId>{msg_id}</MsgId><ServRprt><ServType V="{state}" DN="x"/><IssueDate V="{at}"/><Status V="F" DN="Endelig rapport"/>
<Ack V="J" DN="Ja"/><MsgDescr>Poliklinisk epikrise</MsgDescr><ServProvId>journal-1</ServProvId>
<Event><ReportedEvent><StartDateTime V="{at}"/></ReportedEvent><ServType V="N" DN="Ny"/><Service><AdmCat V="3" DN="Poliklinisk omsorg"/></Service>
<Comment><Heading V="VU" DN="Vurdering"/><TextResultValue>Test.</TextResultValue></Comment></Event>
<Patient><Sex V="2" DN="Kvinne"/><DateOfBirth V="1968-09-14"/><Name>Lunde, Kari</Name>{patient}</Patient>
<ServProvider><HCP><Inst><Name>Din EPJ AS</Name><Id>{EPJ}</Id><TypeId V="HER" DN="HER-id"/><Dept><Name>Allmennlege</Name><Id>{EPJ_SERVICE}</Id><TypeId V="HER" DN="HER-id"/></Dept></Inst></HCP></ServProvider>
<Requester><HCP><Inst><Name>Helsenav drift</Name><Id>{HUB}</Id><TypeId V="HER" DN="HER-id"/><Dept><Name>Meldingsvalidering</Name><Id>{TEST_PARTY}</Id><TypeId V="HER" DN="HER-id"/></Dept></Inst></HCP></Requester>{more}
</ServRprt></Message>"#
    )
}

const FNR: &str = r#"<OffId>14896849817</OffId><TypeOffId V="FNR" DN="Fødselsnummer"/>"#;
const DNR: &str = r#"<OffId>54896849800</OffId><TypeOffId V="DNR" DN="D-nummer"/>"#;
const PDF: &str = r#"<RefDoc><MsgType V="A" DN="Vedlegg"/><MimeType>application/pdf</MimeType><Description>a.pdf</Description><Content><Base64Container xmlns="http://www.kith.no/xmlstds/base64container">JVBERi0xLjQK</Base64Container></Content></RefDoc>"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_judged_by_what_it_sends() {
    let scheme = scheme().await;
    let started = scheme.start(Direction::Send, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap().to_owned();
    // First a message with a wrong check digit and one that nobody can read.
    let wrong = FNR.replace("14896849817", "14896849818");
    scheme
        .send("EPIKRISE", &letter(&new_id(), "N", &wrong, ""))
        .await;
    scheme.work();
    let report = scheme.report(&id);
    assert_eq!(states(&report, "failed"), ["S-P01", "S-C01"], "{report:#}");
    scheme.send("EPIKRISE", "<Message><a></Message>").await;
    scheme.work();
    assert!(states(&scheme.report(&id), "failed").contains(&"S-X01".to_owned()));

    for (state, patient, more) in [
        ("N", FNR, ""),
        ("M", FNR, ""),
        ("C", FNR, ""),
        ("N", DNR, ""),
        ("N", FNR, PDF),
    ] {
        scheme
            .send("EPIKRISE", &letter(&new_id(), state, patient, more))
            .await;
    }
    scheme.work();
    let report = scheme.report(&id);
    assert_eq!(states(&report, "failed"), [] as [&str; 0], "{report:#}");
    let waiting: Vec<String> = states(&report, "waiting")
        .into_iter()
        .filter(|id| !id.starts_with("S-D"))
        .collect();
    assert_eq!(waiting, ["S-T01"], "the receipts were not fetched yet");
    for case in [
        SendCase::Change,
        SendCase::Cancel,
        SendCase::Attachment,
        SendCase::OtherId,
    ] {
        let shown = report["messages"].as_array().unwrap().iter();
        let mut shown =
            shown.filter(|m| m["cases"].as_array().unwrap().contains(&case.code().into()));
        assert!(shown.next().is_some(), "{case:?}");
    }
    // Each was answered: five good ones, one rejected, and the unreadable one on the error queue.
    assert_eq!(
        scheme.world.drain("vaar-epj", "8900900_async").await.len(),
        6
    );
    assert_eq!(
        scheme.world.drain("vaar-epj", "8900900_error").await.len(),
        1
    );
    scheme.declare_all(&report);
    let done = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id)).unwrap();
    assert_eq!(done["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_run_the_test_party_still_answers() {
    let scheme = scheme().await;
    scheme
        .send("EPIKRISE", &letter(&new_id(), "N", FNR, ""))
        .await;
    scheme.work();
    assert_eq!(
        scheme.world.drain("vaar-epj", "8900900_async").await.len(),
        1
    );
    let checked = edi::check::run(letter("x", "N", FNR, "").as_bytes(), &Options::default());
    assert!(
        checked
            .findings
            .iter()
            .any(|f| f.severity == Severity::Error)
    );
}
