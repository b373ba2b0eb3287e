//! Messages to a receiver that the hub runs: B06 to B11, B24, B25, B27, B35, and that everything is one commit.

use amqp::port::Message;
use edi::apprec::{AppRec, ErrorCode};
use edi::errorqueue::{ErrorCondition, TransportError};
use meldinger::receivers::Answer;
use meldinger::rules::track::StepKind;
use meldinger::view::{MessageDetail, MessageFilter, Viewer};
use meldinger::{HandleError, Outcome};
use store::Commit;
use xmlsec::asn1::Limits;
use xmlsec::cms;
use xmlsec::x509::{RevocationPolicy, Usage};

use crate::world::*;

const QUEUE: &str = "/exchange/NHNTestServiceBus/8900000_async";

async fn answer(world: &World, message: Message) -> (Vec<Message>, Vec<Message>) {
    world.send("vaar-epj", QUEUE, message).await;
    assert_eq!(world.work(), 1);
    (
        world.drain("vaar-epj", "8900900_async").await,
        world.drain("vaar-epj", "8900900_error").await,
    )
}

async fn condition(world: &World, message: Message) -> String {
    let (receipts, errors) = answer(world, message).await;
    assert!(receipts.is_empty());
    assert_eq!(errors.len(), 1);
    error_of(&errors[0]).0
}

/// Opens a receipt as the vendor would.
fn read(receipt: &Message) -> AppRec {
    let opened = cms::open(
        &receipt.body,
        std::slice::from_ref(&PKI.epj.encryption),
        Limits::default(),
    )
    .unwrap();
    let signer = opened.signer_certificate().unwrap();
    trust()
        .check(
            signer,
            Usage::MessageSignature,
            &[],
            PKI.now_s,
            RevocationPolicy::Required,
        )
        .unwrap();
    AppRec::read_doc(&edi::xml::XmlDoc::parse(&opened.content).unwrap()).unwrap()
}

fn newest(world: &World, subject: &str) -> MessageDetail {
    let filter = MessageFilter {
        subject: Some(subject.to_owned()),
        ..MessageFilter::default()
    };
    let id = world
        .view(|exchange| exchange.messages(Viewer::Operator, &filter))
        .unwrap()
        .rows[0]
        .id
        .clone();
    world
        .view(|exchange| exchange.message(Viewer::Operator, &id))
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_message_is_handled_and_answered() {
    let world = world().await;
    let msg_id = new_id();
    let (receipts, errors) = answer(&world, result_message(&msg_id, "alt bra")).await;
    assert!(errors.is_empty());
    let receipt = &receipts[0];
    assert_eq!(receipt.properties.subject.as_deref(), Some("APPREC"));
    assert_eq!(
        receipt.property("X-MessageInfo-OriginalMsgId").as_deref(),
        Some(msg_id.as_str())
    );
    assert_eq!(
        (
            receipt.property("fromHerId").unwrap(),
            receipt.property("toHerId").unwrap()
        ),
        (RESULTS.to_string(), EPJ_SERVICE.to_string())
    );
    assert_eq!(
        receipt.properties.message_id,
        receipt.properties.correlation_id
    );
    let apprec = read(receipt);
    assert_eq!(
        (apprec.status.code(), apprec.original.id.as_str()),
        ("1", msg_id.as_str())
    );
    assert_eq!(world.results.seen.lock().unwrap().join(" "), msg_id);

    let detail = newest(&world, "DIALOG_NOTAT");
    assert_eq!(detail.row.state.code(), "accepted");
    assert_eq!(detail.envelope.msg_id.as_deref(), Some(msg_id.as_str()));
    let codes: Vec<String> = detail
        .steps
        .iter()
        .map(|step| {
            serde_json::to_value(&step.step).unwrap()["what"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        codes,
        [
            "received",
            "checked",
            "queued",
            "delivered",
            "opened",
            "handled",
            "receipt_sent",
            "receipt_fetched"
        ]
    );
    assert_eq!(newest(&world, "APPREC").row.state.code(), "done");
    // The document is there for the sender, byte for byte, and for nobody else.
    let text = document(&msg_id, "alt bra");
    let original = |viewer| {
        world
            .view(|exchange| exchange.original(viewer, &detail.row.id))
            .unwrap()
    };
    assert_eq!(original(Viewer::Party { organisation: EPJ }).unwrap(), text);
    assert_eq!(original(Viewer::Party { organisation: HUB }).unwrap(), text);
    assert_eq!(original(Viewer::Operator), None);
    assert_eq!(original(Viewer::Party { organisation: GP }), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn b06_to_b10_certificates_and_cms() {
    let world = world().await;
    let text = document(&new_id(), "x");
    let to_hub = |body: Vec<u8>| message("DIALOG_NOTAT", RESULTS, body);
    assert_eq!(
        condition(&world, to_hub(seal(&text, &PKI.expired))).await,
        "transport:expired-certificate",
        "B06"
    );
    assert_eq!(
        condition(&world, to_hub(seal(&text, &PKI.revoked))).await,
        "transport:revoked-certificate",
        "B07"
    );
    let for_other = cms::seal(
        text.as_bytes(),
        &PKI.epj.signing,
        PKI.hospital.encryption.certificate(),
        PKI.now_s,
    )
    .unwrap();
    assert_eq!(
        condition(&world, to_hub(for_other)).await,
        "transport:decryption-failed",
        "B08"
    );

    let mut signed = cms::sign(text.as_bytes(), &PKI.epj.signing, Some(PKI.now_s)).unwrap();
    let at = signed
        .windows(12)
        .position(|window| window == b"DIALOG_NOTAT")
        .unwrap();
    signed[at] ^= 1;
    let enveloped = cms::envelope(
        &signed,
        &[PKI.hub.encryption.certificate()],
        cms::Cipher::Aes256Cbc,
        cms::KeyTransport::Pkcs1,
    )
    .unwrap();
    assert_eq!(
        condition(&world, to_hub(enveloped)).await,
        "transport:invalid-signature",
        "B09"
    );
    assert_eq!(
        condition(&world, to_hub(text.clone().into_bytes())).await,
        "transport:invalid-cms-pkcs",
        "B10"
    );

    assert_eq!(
        condition(&world, to_hub(seal(&text, &PKI.hospital.signing))).await,
        "transport:invalid-certificate",
        "another organisation"
    );
    assert_eq!(
        condition(&world, to_hub(seal(&text, &PKI.epj.encryption))).await,
        "transport:invalid-certificate",
        "wrong key usage"
    );
    let mut clear = to_hub(text.into_bytes());
    clear.properties.content_type = Some("text/plain".to_owned());
    assert_eq!(
        condition(&world, clear).await,
        "transport:unsupported-message",
        "unprotected"
    );
    assert!(world.results.seen.lock().unwrap().is_empty());
    assert_eq!(newest(&world, "DIALOG_NOTAT").row.state.code(), "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_b27_b35_content_that_cannot_be_trusted() {
    let world = world().await;
    let sealed = |text: &str| message("DIALOG_NOTAT", RESULTS, seal(text, &PKI.epj.signing));
    assert_eq!(
        condition(&world, sealed("<MsgHead><a></MsgHead>")).await,
        "transport:not-well-formed-xml",
        "B11"
    );
    let laughs = "<!DOCTYPE m [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><m>&b;</m>";
    assert_eq!(
        condition(&world, sealed(laughs)).await,
        "transport:not-well-formed-xml",
        "B35"
    );
    let other = document_between(&new_id(), "x", (GP, GP_DOCTOR), (HUB, RESULTS));
    assert_eq!(
        condition(&world, sealed(&other)).await,
        "abuse:spoofing-attack",
        "B27"
    );
    assert_eq!(
        condition(&world, sealed("<ukjent/>")).await,
        "transport:unsupported-message"
    );
    let alerts = MessageFilter {
        alerts: true,
        ..MessageFilter::default()
    };
    assert_eq!(
        world
            .view(|exchange| exchange.messages(Viewer::Operator, &alerts))
            .unwrap()
            .rows
            .len(),
        2,
        "B27 and B35 are security events"
    );

    let wrong_receiver = document_between(&new_id(), "x", (EPJ, EPJ_SERVICE), (HOSPITAL, HEART));
    let (receipts, errors) = answer(&world, sealed(&wrong_receiver)).await;
    assert!(errors.is_empty());
    assert_eq!(read(&receipts[0]).errors[0].code(), "E10");
    let mut nobody = sealed(&document(&new_id(), "x"));
    nobody.set_property("toHerId", "8900009");
    assert_eq!(
        condition(&world, nobody).await,
        "transport:unsupported-message",
        "no service has registered for it"
    );
    assert!(world.results.seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b24_the_same_again_is_logged_and_b25_a_false_duplicate_is_refused() {
    let world = world().await;
    let msg_id = new_id();
    let (receipts, _) = answer(&world, result_message(&msg_id, "først")).await;
    assert_eq!(receipts.len(), 1);

    // B24: another transport message, another encryption, the same document, the MsgId in capitals or not.
    let (receipts, errors) = answer(&world, result_message(&msg_id, "først")).await;
    assert!(
        receipts.is_empty() && errors.is_empty(),
        "no second receipt, no error"
    );
    let detail = newest(&world, "DIALOG_NOTAT");
    assert_eq!(detail.row.state.code(), "dropped");
    assert!(
        detail
            .steps
            .iter()
            .any(|step| step.step.what == StepKind::Duplicate { same_content: true })
    );
    assert!(
        detail
            .related
            .iter()
            .any(|related| related.relation == "copy")
    );

    // B25.
    let (receipts, errors) = answer(&world, result_message(&msg_id.to_uppercase(), "endret")).await;
    assert!(receipts.is_empty());
    assert_eq!(error_of(&errors[0]).0, "transport:invalid-field-value");
    assert!(
        errors[0]
            .property("errorDescription")
            .unwrap()
            .contains("falsk duplikat")
    );
    let alerts = MessageFilter {
        alerts: true,
        ..MessageFilter::default()
    };
    let rows = world
        .view(|exchange| exchange.messages(Viewer::Operator, &alerts))
        .unwrap()
        .rows;
    assert_eq!(
        serde_json::to_value(&rows[0].alert).unwrap(),
        "false_duplicate"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn effect_and_receipt_are_one_commit() {
    let world = world().await;
    let repo = world.store.repo(meldinger::REPOSITORY).unwrap();
    let record = move |id: &str| store::Put {
        repo,
        rtype: "Effect".to_owned(),
        id: store::PutId::Given(id.to_owned()),
        op: store::Op::Create,
        body: "{}".into(),
        keys: Vec::new(),
        pack: 1,
        persons: Vec::new(),
        privacy: store::Privacy::default(),
        blobs: Vec::new(),
    };
    world.decide(move |opened| {
        Ok(Outcome::accepted(Commit {
            put: vec![record(&opened.header.msg_id)],
            ..Commit::default()
        }))
    });
    let msg_id = new_id();
    answer(&world, result_message(&msg_id, "x")).await;
    // The duplicate would write the same record again: it must not even try.
    let (receipts, errors) = answer(&world, result_message(&msg_id, "x")).await;
    assert!(receipts.is_empty() && errors.is_empty());

    // An effect that the store refuses for good leaves nothing behind, and the message is not lost.
    world.decide(move |_| {
        let gone = store::Expect::ClaimHeld {
            space: "x".to_owned(),
            key: vec![1],
            value: None,
            release: false,
        };
        Ok(Outcome::accepted(Commit {
            expect: vec![gone],
            ..Commit::default()
        }))
    });
    let refused = new_id();
    let (receipts, errors) = answer(&world, result_message(&refused, "y")).await;
    assert!(receipts.is_empty() && errors.is_empty());
    assert_eq!(newest(&world, "DIALOG_NOTAT").row.state.code(), "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receivers_own_answers() {
    let world = world().await;
    world.decide(|_| {
        let mut outcome = Outcome::rejected(ErrorCode::E31, "to sifre kan være byttet om");
        outcome.notes = vec!["navn avviker".to_owned()];
        Ok(outcome)
    });
    let (receipts, _) = answer(&world, result_message(&new_id(), "x")).await;
    let apprec = read(&receipts[0]);
    assert_eq!(
        (apprec.status.code(), apprec.errors[0].code()),
        ("2", "E31")
    );
    assert_eq!(
        apprec.errors[0].other.as_deref(),
        Some("to sifre kan være byttet om")
    );
    let detail = newest(&world, "DIALOG_NOTAT");
    assert_eq!(detail.row.state.code(), "rejected");
    assert!(detail.steps.iter().any(|step| step.step.what
        == StepKind::Note {
            text: "navn avviker".to_owned()
        }));
    let party = Viewer::Party { organisation: EPJ };
    assert_eq!(
        world
            .view(|exchange| exchange.original(party, &detail.row.id))
            .unwrap(),
        None,
        "what was rejected is not kept"
    );

    world.decide(|_| {
        let answer =
            Answer::TransportError(TransportError::new(ErrorCondition::SpoofingAttack, "x"));
        Ok(Outcome {
            answer,
            effect: Commit::default(),
            notes: Vec::new(),
        })
    });
    assert_eq!(
        condition(&world, result_message(&new_id(), "x")).await,
        "abuse:spoofing-attack"
    );

    let silent =
        document(&new_id(), "x").replace("<Ack V=\"J\" DN=\"Ja\"/>", "<Ack V=\"N\" DN=\"Nei\"/>");
    world.decide(|_| Ok(Outcome::accepted(Commit::default())));
    let (receipts, errors) = answer(
        &world,
        message("DIALOG_NOTAT", RESULTS, seal(&silent, &PKI.epj.signing)),
    )
    .await;
    assert!(
        receipts.is_empty() && errors.is_empty(),
        "Ack N wants no receipt"
    );
    assert_eq!(newest(&world, "DIALOG_NOTAT").row.state.code(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_here_is_tried_again_and_a_panic_is_trouble() {
    let world = world().await;
    world.decide(|_| Err(HandleError::Retry("the register is away".to_owned())));
    let (receipts, errors) = answer(&world, result_message(&new_id(), "x")).await;
    assert!(receipts.is_empty() && errors.is_empty());
    assert_eq!(world.work(), 0, "not before a minute has passed");
    let detail = newest(&world, "DIALOG_NOTAT");
    assert_eq!(
        (detail.row.state.code(), detail.envelope.failed_deliveries),
        ("queued", 1)
    );
    world.decide(|_| panic!("a fault in a receiver"));
    let (receipts, errors) = answer(&world, result_message(&new_id(), "y")).await;
    assert!(receipts.is_empty() && errors.is_empty());
    assert_eq!(newest(&world, "DIALOG_NOTAT").row.state.code(), "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn b29_receipts_to_the_hub_are_noted_and_dropped() {
    let world = world().await;
    let mut receipt = message("APPREC", RESULTS, "whatever");
    receipt.set_property("X-MessageInfo-OriginalMsgId", new_id());
    let (receipts, errors) = answer(&world, receipt).await;
    assert!(receipts.is_empty() && errors.is_empty());
    assert_eq!(newest(&world, "APPREC").row.state.code(), "dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_threads_do_the_same() {
    let world = world().await;
    let workers =
        meldinger::Workers::start(&world.exchange, vec![world.results.clone()], 2).unwrap();
    for _ in 0..20 {
        world
            .send("vaar-epj", QUEUE, result_message(&new_id(), "x"))
            .await;
    }
    let mut receipts = 0;
    for _ in 0..100 {
        receipts += world.drain("vaar-epj", "8900900_async").await.len();
        if receipts == 20 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(receipts, 20);
    tokio::task::block_in_place(|| drop(workers));
}
