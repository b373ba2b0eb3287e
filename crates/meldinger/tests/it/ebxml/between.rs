//! Mail between two others: untouched, and followed by what its receiver says.

use ebxml::{msh, signal};
use mail::port::Delivered;
use meldinger::port::{Road, Transport};
use meldinger::rules::track::State;

use super::{Draft, acknowledgment, exchange, read, signal_mail};
use crate::world::{EPJ, EPJ_SERVICE, HEART, HOSPITAL, PKI};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_passed_on_byte_for_byte_and_the_signal_moves_it() {
    let hub = exchange().await;
    let draft = Draft::between();
    let mail = draft.mail();
    assert_eq!(hub.deliver(HOSPITAL, &mail).await, Delivered::Kept);
    let fetched = hub.fetch("nordlys").await;
    assert_eq!(fetched.len(), 1);
    assert_eq!(fetched[0], mail);
    let track = hub.track(draft.id());
    assert_eq!(
        (track.transport, track.road),
        (Transport::Ebxml, Road::Mail)
    );
    assert_eq!((track.from, track.to), (EPJ_SERVICE, HEART));
    let before = track.state;

    // Not by the sender itself, not about something else.
    let received = read(&mail);
    let own = acknowledgment(&received, &PKI.epj.signing, HOSPITAL, EPJ);
    assert_eq!(hub.deliver(EPJ, &own).await, Delivered::Kept);
    let other = read(&Draft::between().mail());
    let mut mixed = signal::acknowledgment(
        &received.envelope.header,
        other
            .check_signature(xmlsec::dsig::Signer::Carried)
            .unwrap()
            .references,
        "m@x",
        0,
    );
    mixed.header.timestamp = signal::stamp(1);
    hub.deliver(
        EPJ,
        &signal_mail(&mixed, &PKI.hospital.signing, HOSPITAL, EPJ),
    )
    .await;
    assert_eq!(hub.track(draft.id()).state, before);
    // They were passed on all the same.
    assert_eq!(hub.fetch("vaar-epj").await.len(), 2);

    let real = acknowledgment(&received, &PKI.hospital.signing, HOSPITAL, EPJ);
    assert_eq!(hub.deliver(EPJ, &real).await, Delivered::Kept);
    let signal = hub.only("vaar-epj").await;
    assert_eq!(msh::about(&signal.envelope), Some(draft.id()));
    assert_ne!(hub.track(draft.id()).state, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_list_by_the_receiver_fails_it() {
    let hub = exchange().await;
    let draft = Draft::between();
    let mail = draft.mail();
    hub.deliver(HOSPITAL, &mail).await;
    let received = read(&mail);
    let finding = ebxml::Finding::new(
        0,
        ebxml::Level::Error,
        ebxml::Code::NotSupported,
        "",
        "not here",
    );
    let list = signal::error_list(&received.envelope.header, &[finding], "e@x", 0);
    hub.deliver(
        EPJ,
        &signal_mail(&list, &PKI.hospital.signing, HOSPITAL, EPJ),
    )
    .await;
    assert!(matches!(hub.track(draft.id()).state, State::Failed { .. }));
    assert_eq!(hub.fetch("vaar-epj").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_of_an_error_list_fails_the_message() {
    let hub = exchange().await;
    for code in ebxml::Code::ALL {
        let draft = Draft::between();
        let mail = draft.mail();
        hub.deliver(HOSPITAL, &mail).await;
        let finding = ebxml::Finding::new(0, ebxml::Level::Error, code, "", "no");
        let about = read(&mail).envelope.header;
        let list = signal::error_list(&about, &[finding], &crate::world::new_id(), 0);
        let list = signal_mail(&list, &PKI.hospital.signing, HOSPITAL, EPJ);
        hub.deliver(EPJ, &list).await;
        let condition = code.as_str().to_owned();
        assert_eq!(hub.track(draft.id()).state, State::Failed { condition });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_sent_again_is_passed_on_again_and_is_one_message() {
    let hub = exchange().await;
    let draft = Draft::between();
    let outgoing = draft.outgoing();
    hub.deliver(HOSPITAL, &draft.mail_of(&outgoing)).await;
    hub.deliver(HOSPITAL, &draft.mail_of(&outgoing)).await;
    assert_eq!(hub.fetch("nordlys").await.len(), 2);
    hub.track(draft.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proves_nothing_is_passed_on_without_a_track() {
    let hub = exchange().await;
    let forged = Draft {
        signer: &PKI.hospital.signing,
        ..Draft::between()
    };
    let mails = [forged.mail(), b"From: a@b\r\n\r\nhei\r\n".to_vec()];
    for mail in &mails {
        assert_eq!(hub.deliver(HOSPITAL, mail).await, Delivered::Kept);
    }
    assert_eq!(hub.fetch("nordlys").await, mails.map(bytes::Bytes::from));
    let found = hub
        .world
        .view(|exchange| exchange.by_transport_id(forged.id()).unwrap());
    assert!(found.is_empty());
}
