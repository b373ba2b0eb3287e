//! Messages to the hub's own receivers, and their receipts on the way back.

use ebxml::envelope::Kind;
use ebxml::{msh, names, payload, signal};
use mail::port::{Delivered, Post as _, Refusal};
use meldinger::rules::track::State;
use xmlsec::dsig::Signer;

use super::{Draft, acknowledgment, address, exchange, read};
use crate::world::{EPJ, EPJ_SERVICE, HOSPITAL, HUB, PKI, RESULTS};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_is_acknowledged_handled_and_receipted() {
    for form in [payload::Form::Mime, payload::Form::Bare] {
        let hub = exchange().await;
        let draft = Draft {
            form,
            ..Draft::note()
        };
        let outgoing = draft.outgoing();
        assert_eq!(
            hub.deliver(HUB, &draft.mail_of(&outgoing)).await,
            Delivered::Kept
        );

        // The acknowledgment, signed by the hub, of exactly what was sent.
        let signal = hub.only("vaar-epj").await;
        assert_eq!(signal.findings, []);
        let hubs = [PKI.hub.signing.certificate().clone()];
        signal.check_signature(Signer::OneOf(&hubs)).unwrap();
        assert_eq!(msh::about(&signal.envelope), Some(draft.id()));
        let sent = read(&draft.mail_of(&outgoing))
            .check_signature(Signer::Carried)
            .unwrap();
        assert_eq!(
            msh::outcome(&signal.envelope, &sent.references),
            Some(msh::Outcome::Accepted)
        );
        assert!(matches!(signal.envelope.kind, Kind::Acknowledgment(_)));
        assert_eq!(signal.mail.from, Some(address(HUB)));

        // The receiver, and its receipt: same service, roles turned, in the form the sender uses.
        assert_eq!(hub.world.work(), 1);
        assert_eq!(hub.world.results.seen.lock().unwrap().len(), 1);
        assert_eq!(hub.send_due(), 1);
        let receipt = hub.only("vaar-epj").await;
        let header = &receipt.envelope.header;
        assert_eq!(receipt.findings, []);
        receipt.check_signature(Signer::OneOf(&hubs)).unwrap();
        assert_eq!(
            (header.service.as_str(), header.action.as_str()),
            ("S-DIALOG_NOTAT", "APPREC")
        );
        assert_eq!(header.from.role, "DIALOG_NOTATreceiver");
        assert_eq!(header.to.role, "DIALOG_NOTATsender");
        assert_eq!(header.from.her_id(), Some(RESULTS));
        assert_eq!(header.to.her_id(), Some(EPJ_SERVICE));
        assert_eq!(header.cpa_id, draft.envelope.header.cpa_id);
        assert_eq!(
            header.conversation_id,
            draft.envelope.header.conversation_id
        );
        assert_eq!(header.ref_to_message_id.as_deref(), Some(draft.id()));
        let keys = [PKI.epj.encryption.clone()];
        let opened = payload::open(&receipt.attachments[0].content, &keys).unwrap();
        assert_eq!(opened.form, form);
        let text = String::from_utf8(opened.content).unwrap();
        assert!(
            text.contains("<AppRec") && text.contains("Status V=\"1\""),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_sent_again_until_it_is_acknowledged() {
    let hub = exchange().await;
    hub.deliver(HUB, &Draft::note().mail()).await;
    hub.world.work();
    hub.send_due();
    let mut mails = hub.fetch("vaar-epj").await;
    let first = read(&mails.remove(1));
    assert_eq!(hub.send_due(), 0);
    hub.world.clock.advance(12 * 3_600_000_000 + 1_000_000);
    assert_eq!(hub.send_due(), 1);
    let second = hub.only("vaar-epj").await;
    assert_eq!(second.document.source(), first.document.source());
    assert_eq!(second.attachments, first.attachments);
    assert_ne!(second.mail.message_id, first.mail.message_id);

    // Somebody else's acknowledgment, and one of something else, do not count.
    let id = first.envelope.header.message_id.clone();
    let forged = acknowledgment(&first, &PKI.hospital.signing, EPJ, HUB);
    hub.deliver(HUB, &forged).await;
    let mut other = signal::acknowledgment(&first.envelope.header, Vec::new(), "a@b", 0);
    if let Kind::Acknowledgment(read) = &mut other.kind {
        read.references = first.check_signature(Signer::Carried).unwrap().references;
        for reference in &mut read.references {
            reference.xml = reference.xml.replace(&reference.digest, "AAAA");
        }
    }
    hub.deliver(HUB, &super::signal_mail(&other, &PKI.epj.signing, EPJ, HUB))
        .await;
    assert!(hub.track(&id).next_attempt_us.is_some());

    let real = acknowledgment(&first, &PKI.epj.signing, EPJ, HUB);
    assert_eq!(hub.deliver(HUB, &real).await, Delivered::Kept);
    assert!(hub.track(&id).next_attempt_us.is_none());
    hub.world.clock.advance(48 * 3_600_000_000);
    assert_eq!(hub.send_due(), 0);
    assert!(hub.fetch("vaar-epj").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_acknowledgment_it_is_given_up_after_three_days() {
    let hub = exchange().await;
    hub.deliver(HUB, &Draft::note().mail()).await;
    hub.world.work();
    let mut sent = 0;
    for _ in 0..80 {
        sent += hub.send_due();
        hub.world.clock.advance(3_600_000_000);
    }
    assert_eq!(sent, 6);
    let receipt = read(hub.fetch("vaar-epj").await.last().unwrap());
    let track = hub.track(&receipt.envelope.header.message_id);
    assert!(
        matches!(track.state, State::Failed { .. }),
        "{:?}",
        track.state
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agreement_says_how_often_and_how_long() {
    let hub = exchange().await;
    let mut draft = Draft::note();
    draft.envelope.header.cpa_id = super::AGREED.to_owned();
    hub.deliver(HUB, &draft.mail()).await;
    hub.world.work();
    let mut sent = Vec::new();
    for hour in 0..110 {
        if hub.send_due() > 0 {
            sent.push(hour);
        }
        hub.world.clock.advance(3_600_000_000);
    }
    assert_eq!(sent, [0, 12, 24, 36, 48]);
    let receipt = read(hub.fetch("vaar-epj").await.last().unwrap());
    assert_eq!(receipt.envelope.header.cpa_id, super::AGREED);
    let track = hub.track(&receipt.envelope.header.message_id);
    assert!(matches!(track.state, State::Failed { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_about_a_receipt_ends_its_sending() {
    let hub = exchange().await;
    hub.deliver(HUB, &Draft::note().mail()).await;
    hub.world.work();
    hub.send_due();
    let receipt = read(hub.fetch("vaar-epj").await.last().unwrap());
    let fault = ebxml::package::Outgoing::unsigned(signal::fault(signal::FaultCode::Client, "no"));
    let fields = ebxml::package::MailFields {
        from: &address(EPJ),
        to: &address(HUB),
        subject: "SOAP Fault",
        message_id: "f@x.example",
        in_reply_to: receipt.mail.message_id.as_deref(),
        at_us: 0,
    };
    assert_eq!(
        hub.deliver(HUB, &fault.mail(&fields)).await,
        Delivered::Kept
    );
    assert!(hub.fetch("vaar-epj").await.is_empty());
    let track = hub.track(&receipt.envelope.header.message_id);
    assert!(track.next_attempt_us.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_again_is_answered_again_and_handled_once() {
    let hub = exchange().await;
    let draft = Draft::note();
    let outgoing = draft.outgoing();
    for _ in 0..3 {
        assert_eq!(
            hub.deliver(HUB, &draft.mail_of(&outgoing)).await,
            Delivered::Kept
        );
    }
    let answers = hub.fetch("vaar-epj").await;
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    hub.world.work();
    assert_eq!(hub.world.results.seen.lock().unwrap().len(), 1);

    // Another content under the same id.
    let other = Draft {
        envelope: draft.envelope.clone(),
        ..Draft::note()
    };
    assert_eq!(hub.deliver(HUB, &other.mail()).await, Delivered::Kept);
    let answer = hub.only("vaar-epj").await;
    let Kind::Error(list) = &answer.envelope.kind else {
        panic!("{:?}", answer.envelope.kind);
    };
    assert_eq!(list.errors[0].code, ebxml::Code::Inconsistent);
    hub.world.work();
    assert_eq!(hub.world.results.seen.lock().unwrap().len(), 1);
    assert!(hub.track(draft.id()).alert.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warnings_are_told_and_the_message_is_accepted() {
    let hub = exchange().await;
    let mut draft = Draft::note();
    draft.envelope.header.duplicate_elimination = false;
    if let Kind::Payload { sync_reply, .. } = &mut draft.envelope.kind {
        *sync_reply = true;
    }
    draft.from = "somebody@else.example".to_owned();
    assert_eq!(hub.deliver(HUB, &draft.mail()).await, Delivered::Kept);
    let answer = hub.only("vaar-epj").await;
    assert_eq!(answer.envelope.header.action, names::MESSAGE_ERROR);
    assert_eq!(
        msh::outcome(&answer.envelope, &[]),
        Some(msh::Outcome::Accepted)
    );
    let Kind::Error(list) = &answer.envelope.kind else {
        panic!()
    };
    let texts: Vec<&str> = list
        .errors
        .iter()
        .filter_map(|error| error.description.as_deref())
        .collect();
    assert_eq!(texts.len(), 3);
    assert!(
        texts.iter().any(|text| text.contains("SyncReply")),
        "{texts:?}"
    );
    assert!(
        texts.iter().any(|text| text.contains("(rule 74)")),
        "{texts:?}"
    );
    assert!(
        texts.iter().any(|text| text.contains("(rule 261)")),
        "{texts:?}"
    );
    hub.world.work();
    assert_eq!(hub.world.results.seen.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_parties_get_mail_and_users_send_as_themselves() {
    let hub = exchange().await;
    let epj = mail::port::Identity {
        user: "vaar-epj".to_owned(),
    };
    let home = std::net::IpAddr::from([127, 0, 0, 1]);
    assert_eq!(
        hub.office.authenticate(home, "vaar-epj", "hemmelig"),
        Some(epj.clone())
    );
    assert_eq!(hub.office.authenticate(home, "vaar-epj", "galt"), None);
    let accepts = |who, from: &str, to: &str| hub.office.accepts(who, from, to);
    assert_eq!(accepts(None, "a@b", &address(HUB)), Ok(()));
    assert_eq!(accepts(None, "", &address(EPJ).to_uppercase()), Ok(()));
    assert_eq!(accepts(None, "a@b", "x@y"), Err(Refusal::UnknownRecipient));
    assert_eq!(
        accepts(Some(&epj), &address(EPJ), &address(HOSPITAL)),
        Ok(())
    );
    assert!(matches!(
        accepts(Some(&epj), &address(HOSPITAL), &address(HUB)),
        Err(Refusal::NotAllowed(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_removed_is_there_again() {
    let hub = exchange().await;
    hub.deliver(HUB, &Draft::note().mail()).await;
    let who = mail::port::Identity {
        user: "vaar-epj".to_owned(),
    };
    let letters = hub.office.open(&who).await;
    assert_eq!(letters.len(), 1);
    assert!(hub.office.open(&who).await.is_empty());
    hub.office
        .close(Vec::new(), vec![(letters[0].id, letters[0].token)])
        .await;
    let again = hub.office.open(&who).await;
    assert_eq!((again.len(), again[0].id), (1, letters[0].id));
    hub.office
        .close(vec![(again[0].id, again[0].token)], Vec::new())
        .await;
    assert!(hub.office.open(&who).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_to_be_kept_that_could_not_be_written() {
    let hub = exchange().await;
    let (note, between) = (Draft::note().mail(), Draft::between().mail());
    tokio::task::block_in_place(|| hub.world.store.close());
    assert_eq!(hub.deliver(HUB, &note).await, Delivered::TryLater);
    assert_eq!(hub.deliver(HOSPITAL, &between).await, Delivered::TryLater);
}
