//! Users of the message service, for whom the hub is the message handler, and addresses that several parties have.

use std::sync::Arc;

use ebxml::payload;
use mail::port::{Delivered, Post as _, Refusal};
use meldinger::port::{Kind, Road, Submission, Submitted, Transport};
use registers::directory::{Directory, Organisation, Party, Person, Practitioner};
use xmlsec::dsig::Signer;

use super::{Draft, Exchange, acknowledgment, address, envelope, exchange_with, read};
use crate::world::{
    EPJ, EPJ_SERVICE, GP, GP_DOCTOR, HEART, HOSPITAL, HUB, PKI, document_between, new_id,
};

const SERVICE: &str = "meldingstjener-api@hub.example";

/// The world's register, with the GP as a user of the message service and another organisation at the hospital's address.
struct Changed(Arc<dyn Directory>, fn(Party) -> Party);

/// The GP, through the message service.
fn doctor(mut party: Party) -> Party {
    if [GP, GP_DOCTOR].contains(&party.her_id) {
        party.edi_address = SERVICE.to_owned();
    }
    if party.her_id == GP_DOCTOR {
        party.encryption_certificate = Some(PKI.hub.encryption.certificate().der().to_vec());
        party.signing_certificate = Some(PKI.hub.signing.certificate().der().to_vec());
    }
    party
}

/// The same, and addresses that stand at several organisations.
fn shared(party: Party) -> Party {
    let mut party = doctor(party);
    match party.her_id {
        HEART => party.edi_address = SERVICE.to_owned(),
        EPJ_SERVICE | HOSPITAL => party.edi_address = "shared@x.example".to_owned(),
        _ => {}
    }
    party
}

impl Directory for Changed {
    fn party(&self, her_id: u32) -> Option<Party> {
        self.0.party(her_id).map(self.1)
    }
    crate::world::parties_only!();
    fn parties_of(&self, orgnr: &str) -> Vec<Party> {
        let all = self.0.parties_of(orgnr);
        all.into_iter().map(self.1).collect()
    }
    fn top_parties(&self) -> Vec<Party> {
        let all = self.0.top_parties();
        all.into_iter().map(self.1).collect()
    }
}

async fn exchange() -> Exchange {
    with(shared).await
}

async fn with(change: fn(Party) -> Party) -> Exchange {
    exchange_with(move |parts| {
        parts.directory = Arc::new(Changed(parts.directory.clone(), change));
    })
    .await
}

fn to_doctor() -> Draft {
    let content = document_between(&new_id(), "hei", (HOSPITAL, HEART), (GP, GP_DOCTOR));
    Draft {
        envelope: envelope(HEART, GP_DOCTOR, "DIALOG_NOTAT"),
        content: content.into_bytes(),
        signer: &PKI.hospital.signing,
        from: SERVICE.to_owned(),
        to: SERVICE.to_owned(),
        ..Draft::note()
    }
}

async fn deliver(hub: &Exchange, mail: &[u8]) -> Delivered {
    let mail = bytes::Bytes::copy_from_slice(mail);
    hub.office.deliver(None, "", SERVICE, mail).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_to_a_user_of_the_service_is_opened_for_it() {
    let hub = exchange().await;
    let draft = to_doctor();
    assert_eq!(deliver(&hub, &draft.mail()).await, Delivered::Kept);
    let found = hub
        .world
        .view(|exchange| exchange.inbox(GP_DOCTOR, None, 10).unwrap());
    assert_eq!(found.len(), 1);
    let track = &found[0].track;
    assert_eq!(
        (track.road, track.message_id.as_str()),
        (Road::Api, draft.id())
    );
    let document = hub.world.view(|exchange| exchange.document(track).unwrap());
    assert_eq!(document.unwrap(), draft.content);
    // Acknowledged into the sender's own mailbox, not into another that has the same address.
    let signal = hub.only("nordlys").await;
    assert_eq!(ebxml::msh::about(&signal.envelope), Some(draft.id()));
    assert!(hub.fetch("fjordglott").await.is_empty());
    assert!(hub.fetch("navet").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_cannot_open_reaches_nobody_else() {
    let hub = exchange().await;
    let mut draft = to_doctor();
    draft.envelope = envelope(HEART, GP, "DIALOG_NOTAT");
    assert_eq!(deliver(&hub, &draft.mail()).await, Delivered::Kept);
    let answer = hub.only("nordlys").await;
    assert_eq!(answer.envelope.header.action, "MessageError");
    for user in ["fjordglott", "vaar-epj", "navet"] {
        assert!(hub.fetch(user).await.is_empty(), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_two_organisations_leads_nowhere() {
    let hub = exchange().await;
    let accepts = |to: &str| hub.office.accepts(None, "", to);
    assert_eq!(accepts("shared@x.example"), Err(Refusal::UnknownRecipient));
    assert_eq!(accepts(SERVICE), Ok(()));
    assert_eq!(accepts(&address(EPJ)), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_the_service_go_out_signed_by_the_hub() {
    let hub = with(doctor).await;
    let msg_id = new_id();
    let document = document_between(&msg_id, "ut", (GP, GP_DOCTOR), (EPJ, EPJ_SERVICE));
    let submission = Submission {
        transport: Transport::Rest,
        road: Road::Handler,
        organisation: GP,
        transport_id: new_id(),
        from: GP_DOCTOR,
        to: EPJ_SERVICE,
        function: "DIALOG_NOTAT".to_owned(),
        content_type: "application/xml".to_owned(),
        sent_at_us: PKI.now_s * 1_000_000,
        msg_id: Some(msg_id),
        conversation: None,
        cpa_id: None,
        schema: None,
        system: None,
        details: vec![("application_name".to_owned(), "Din EPJ".to_owned())],
        kind: Kind::Business {
            expects_receipt: true,
        },
        body: document.clone().into(),
        fingerprint: None,
        answer: None,
    };
    let taken = hub.world.exchange.submit(submission).await.unwrap();
    let Submitted::Taken { track } = taken else {
        panic!("{taken:?}");
    };
    assert_eq!(hub.send_due(), 1);
    let mails = hub.fetch("vaar-epj").await;
    let sent = read(&mails[0]);
    assert_eq!(sent.findings, []);
    let header = &sent.envelope.header;
    assert_eq!(header.cpa_id, format!("{GP_DOCTOR}_{EPJ_SERVICE}"));
    assert_eq!(
        (header.service.as_str(), header.from.role.as_str()),
        ("S-DIALOG_NOTAT", "DIALOG_NOTATsender")
    );
    assert!(
        header
            .description
            .as_deref()
            .unwrap()
            .contains("\"fagsystem\":\"Din EPJ\"")
    );
    assert_eq!(sent.mail.from.as_deref(), Some(SERVICE));
    let hubs = [PKI.hub.signing.certificate().clone()];
    sent.check_signature(Signer::OneOf(&hubs)).unwrap();
    let keys = [PKI.epj.encryption.clone()];
    let opened = payload::open(&sent.attachments[0].content, &keys).unwrap();
    assert_eq!(opened.content, document.as_bytes());

    // Its acknowledgment comes to the service's address.
    let signal = acknowledgment(&sent, &PKI.epj.signing, EPJ, HUB);
    assert_eq!(deliver(&hub, &signal).await, Delivered::Kept);
    let facts = hub.world.view(|exchange| exchange.facts(&track).unwrap());
    assert!(facts.unwrap().next_attempt_us.is_none());
}
