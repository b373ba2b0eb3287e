//! What is wrong with a message, and how it is told.

use ebxml::envelope::{Kind, Party};
use ebxml::{Code, names, payload, signal};
use mail::port::Delivered;
use meldinger::rules::track::{Alert, State};

use super::{Draft, OF_OTHERS, OVER, address, exchange};
use crate::world::{EPJ, EPJ_SERVICE, HOSPITAL, HUB, PKI, RESULTS, document_between, new_id};

type Change = fn(&mut Draft);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_told_with_its_code_and_nothing_is_handled() {
    let table: [(&str, Change, Code, &str); 17] = [
        (
            "another's signature",
            |d| d.signer = &PKI.hospital.signing,
            Code::SecurityFailure,
            "another organisation",
        ),
        (
            "expired",
            |d| d.signer = &PKI.expired,
            Code::SecurityFailure,
            "(rule 105)",
        ),
        (
            "revoked",
            |d| d.signer = &PKI.revoked,
            Code::SecurityFailure,
            "not accepted",
        ),
        (
            "encrypted for another",
            |d| d.recipient = &PKI.hospital.encryption,
            Code::SecurityFailure,
            "(rule 263)",
        ),
        (
            "not XML",
            |d| d.content = b"<a".to_vec(),
            Code::OtherXml,
            "",
        ),
        (
            "no XML in the part",
            |d| d.content = b"hei".to_vec(),
            Code::OtherXml,
            "",
        ),
        (
            "neither XML nor MIME",
            |d| (d.form, d.content) = (payload::Form::Bare, b"hei".to_vec()),
            Code::SecurityFailure,
            "(rule 263)",
        ),
        (
            "another document",
            |d| d.content = b"<a/>".to_vec(),
            Code::NotSupported,
            "",
        ),
        (
            "another sender inside",
            |d| {
                d.content = document_between(&new_id(), "x", (HOSPITAL, 8_900_301), (HUB, RESULTS))
                    .into_bytes()
            },
            Code::SecurityFailure,
            "sender in the document",
        ),
        (
            "unknown receiver",
            |d| d.envelope.header.to = Party::her(1, "x"),
            Code::ValueNotRecognized,
            "(rule 30)",
        ),
        (
            "another's agreement",
            |d| d.envelope.header.cpa_id = "1_2".to_owned(),
            Code::Inconsistent,
            "(rule 110)",
        ),
        (
            "no such agreement",
            |d| d.envelope.header.cpa_id = new_id(),
            Code::Inconsistent,
            "(rule 110)",
        ),
        (
            "others' agreement",
            |d| d.envelope.header.cpa_id = OF_OTHERS.to_owned(),
            Code::Inconsistent,
            "(rule 111)",
        ),
        (
            "an agreement that is over",
            |d| d.envelope.header.cpa_id = OVER.to_owned(),
            Code::Inconsistent,
            "(rule 114)",
        ),
        (
            "too late",
            |d| d.envelope.header.time_to_live = Some("2020-01-01T00:00:00Z".to_owned()),
            Code::TimeToLiveExpired,
            "",
        ),
        (
            "no action",
            |d| d.envelope.header.action.clear(),
            Code::Inconsistent,
            "(rule 48)",
        ),
        (
            "two manifests' worth",
            |d| {
                if let Kind::Payload { manifest, .. } = &mut d.envelope.kind {
                    manifest[0].href = "cid:other".to_owned()
                }
            },
            Code::MimeProblem,
            "(rule 23)",
        ),
    ];
    let hub = exchange().await;
    for (name, change, code, text) in table {
        let mut draft = Draft::note();
        change(&mut draft);
        assert_eq!(
            hub.deliver(HUB, &draft.mail()).await,
            Delivered::Kept,
            "{name}"
        );
        let answer = hub.only("vaar-epj").await;
        assert_eq!(
            answer.envelope.header.action,
            names::MESSAGE_ERROR,
            "{name}"
        );
        assert_eq!(
            answer.envelope.header.ref_to_message_id.as_deref(),
            Some(draft.id()),
            "{name}"
        );
        let Kind::Error(list) = &answer.envelope.kind else {
            panic!("{name}")
        };
        let found = list.errors.iter().any(|error| {
            error.code == code
                && error
                    .description
                    .as_deref()
                    .is_some_and(|words| words.contains(text))
        });
        assert!(found, "{name}: {:?}", list.errors);
        let hubs = [PKI.hub.signing.certificate().clone()];
        answer
            .check_signature(xmlsec::dsig::Signer::OneOf(&hubs))
            .unwrap();
        let track = hub.track(draft.id());
        assert!(matches!(track.state, State::Failed { .. }), "{name}");
    }
    hub.world.work();
    assert!(hub.world.results.seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claiming_to_be_another_is_a_security_event() {
    let hub = exchange().await;
    let mut draft = Draft::note();
    draft.content =
        document_between(&new_id(), "x", (HOSPITAL, 8_900_301), (HUB, RESULTS)).into_bytes();
    hub.deliver(HUB, &draft.mail()).await;
    assert_eq!(hub.track(draft.id()).alert, Some(Alert::Spoofing));
    // Who signs for another does not make that other party to anything.
    let forged = Draft {
        signer: &PKI.hospital.signing,
        ..Draft::note()
    };
    hub.deliver(HUB, &forged.mail()).await;
    let track = hub.track(forged.id());
    assert_eq!((track.from, track.from_organisation), (EPJ_SERVICE, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_and_unencrypted_messages_are_refused() {
    let hub = exchange().await;
    let draft = Draft::note();
    let sealed = payload::seal(
        &draft.content,
        PKI.hub.encryption.certificate(),
        payload::Form::Mime,
    )
    .unwrap();
    let mut clear = ebxml::package::encrypted_attachment("payload-1", draft.content.clone());
    clear.content_type = "application/xml".to_owned();
    let outgoing =
        ebxml::package::Outgoing::sign(&draft.envelope, vec![clear], &PKI.epj.signing).unwrap();
    hub.deliver(HUB, &draft.mail_of(&outgoing)).await;
    let answer = hub.only("vaar-epj").await;
    let Kind::Error(list) = &answer.envelope.kind else {
        panic!()
    };
    assert!(
        list.errors[0]
            .description
            .as_deref()
            .unwrap()
            .contains("(rule 260)")
    );

    let mut unsigned = Draft::note();
    unsigned.envelope.header.message_id = new_id();
    let attachment = ebxml::package::encrypted_attachment("payload-1", sealed);
    let signed =
        ebxml::package::Outgoing::sign(&unsigned.envelope, vec![attachment], &PKI.epj.signing)
            .unwrap();
    let body = String::from_utf8(signed.http_body()).unwrap();
    let (before, rest) = body.split_once("<Signature ").unwrap();
    let (_, after) = rest.split_once("</Signature>").unwrap();
    let mail = format!(
        "From: {}\r\nTo: {}\r\nMessage-ID: <u@x>\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\nSOAPAction: \"ebXML\"\r\nContent-Type: {}\r\n\r\n{}{}",
        address(EPJ),
        address(HUB),
        signed.content_type(),
        before,
        after
    );
    hub.deliver(HUB, mail.as_bytes()).await;
    let answer = hub.only("vaar-epj").await;
    let Kind::Error(list) = &answer.envelope.kind else {
        panic!()
    };
    assert!(
        list.errors[0]
            .description
            .as_deref()
            .unwrap()
            .contains("(rule 45)")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_or_addressed_gets_a_fault() {
    let hub = exchange().await;
    let whole = String::from_utf8(Draft::note().mail()).unwrap();
    let mut nobody = Draft::note();
    nobody.envelope.header.from = Party::her(7, "x");
    let nobody = String::from_utf8(nobody.mail()).unwrap();
    let table = [
        (
            whole.replace("multipart/related", "multipart/mixed"),
            "Content-Type",
        ),
        (whole.strip_suffix("--\r\n").unwrap().to_owned(), "cut off"),
        (format!("From: {}\r\n\r\nhei", address(EPJ)), "Content-Type"),
        (nobody, "not in the address register"),
    ];
    for (mail, text) in table {
        assert_eq!(hub.deliver(HUB, mail.as_bytes()).await, Delivered::Kept);
        let mails = hub.fetch("vaar-epj").await;
        assert_eq!(mails.len(), 1);
        let fault = String::from_utf8(mails[0].to_vec()).unwrap();
        let (_, error) =
            *ebxml::package::Received::from_mail(&mails[0], &ebxml::mime::Limits::default())
                .unwrap_err();
        assert!(error.is_fault());
        assert!(fault.replace("=\r\n", "").contains(text), "{fault}");
    }
    // Faults, bounces and mail from nowhere are not answered.
    let fault = ebxml::package::Outgoing::unsigned(signal::fault(signal::FaultCode::Server, "no"));
    let draft = Draft::note();
    for mail in [
        String::from_utf8(draft.mail_of(&fault)).unwrap(),
        format!(
            "From: {}\r\nAuto-Submitted: auto-replied\r\n\r\nhei",
            address(EPJ)
        ),
        "From: who@where.example\r\n\r\nhei".to_owned(),
        "hei".to_owned(),
    ] {
        assert_eq!(hub.deliver(HUB, mail.as_bytes()).await, Delivered::Kept);
        for user in ["vaar-epj", "nordlys", "navet"] {
            assert!(hub.fetch(user).await.is_empty(), "{user}: {mail}");
        }
    }
}
