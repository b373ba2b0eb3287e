//! Questions to the hub's message handler: ping, and what became of a message.

use ebxml::envelope::{Envelope, Kind, MessageStatus, Service};
use ebxml::{names, signal};
use mail::port::Delivered;
use xmlsec::key::Identity;

use super::http::post;
use super::{Draft, Exchange, envelope, exchange, read, signal_mail};
use crate::world::{EPJ, EPJ_SERVICE, GP, GP_DOCTOR, HOSPITAL, HUB, PKI, RESULTS, new_id};

/// A question from a party to the hub's results receiver.
fn question(from: u32, service: Service) -> Envelope {
    let action = match &service {
        Service::Ping => names::PING,
        _ => names::STATUS_REQUEST,
    };
    let mut asked = envelope(from, RESULTS, action);
    asked.header.service = names::SIGNAL_SERVICE.to_owned();
    asked.header.service_type.clear();
    asked.kind = Kind::Service(service);
    asked
}

fn about(id: &str) -> Service {
    Service::StatusRequest {
        about: id.to_owned(),
    }
}

impl Exchange {
    async fn ask(&self, question: &Envelope, signer: &Identity, from: u32) -> Vec<Envelope> {
        let mail = signal_mail(question, signer, from, HUB);
        assert_eq!(self.deliver(HUB, &mail).await, Delivered::Kept);
        let user = if from == EPJ { "vaar-epj" } else { "nordlys" };
        let hubs = [PKI.hub.signing.certificate().clone()];
        let mails = self.fetch(user).await;
        let answers = mails.iter().map(|mail| {
            let answer = read(mail);
            let signer = xmlsec::dsig::Signer::OneOf(&hubs);
            answer.check_signature(signer).unwrap();
            answer.envelope
        });
        answers.collect()
    }

    /// What the EPJ is told of a message.
    async fn told(&self, id: &str) -> (MessageStatus, bool) {
        let question = question(EPJ_SERVICE, about(id));
        let mut answers = self.ask(&question, &PKI.epj.signing, EPJ).await;
        assert_eq!(answers.len(), 1);
        let answer = answers.remove(0);
        assert_eq!(answer.header.action, names::STATUS_RESPONSE);
        let Kind::Service(Service::StatusResponse(said)) = answer.kind else {
            panic!()
        };
        assert_eq!(said.about, id);
        (said.status.unwrap(), said.received.is_some())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_is_answered_with_a_pong() {
    let hub = exchange().await;
    let ping = question(EPJ_SERVICE, Service::Ping);
    let answers = hub.ask(&ping, &PKI.epj.signing, EPJ).await;
    let [pong] = answers.as_slice() else { panic!() };
    assert_eq!(pong.kind, Kind::Service(Service::Pong));
    let header = &pong.header;
    assert_eq!(header.action, names::PONG);
    assert_eq!(
        header.ref_to_message_id.as_deref(),
        Some(ping.header.message_id.as_str())
    );
    assert_eq!(
        (&header.from, &header.to),
        (&ping.header.to, &ping.header.from)
    );

    // The same over HTTP, in the response.
    let signed = ebxml::package::Outgoing::sign(&ping, Vec::new(), &PKI.epj.signing).unwrap();
    let (status, answer, _) = post(&hub, &signed.content_type(), signed.http_body()).await;
    assert_eq!(status, 200);
    assert_eq!(answer.unwrap().envelope.kind, Kind::Service(Service::Pong));
    // An answer is not answered, and nothing of all this is kept as a message.
    let pong = signal::pong(&ping.header, &new_id(), PKI.now_s * 1_000_000);
    let signed = ebxml::package::Outgoing::sign(&pong, Vec::new(), &PKI.epj.signing).unwrap();
    let (status, answer, _) = post(&hub, &signed.content_type(), signed.http_body()).await;
    assert_eq!((status.as_u16(), answer.is_some()), (204, false));
    let id = &ping.header.message_id;
    assert!(
        hub.world
            .view(|exchange| exchange.by_transport_id(id).unwrap().is_empty())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_not_signed_fills_nobodys_mailbox() {
    let hub = exchange().await;
    let ping = question(EPJ_SERVICE, Service::Ping);
    for signer in [&PKI.hospital.signing, &PKI.revoked, &PKI.expired] {
        assert!(hub.ask(&ping, signer, EPJ).await.is_empty());
    }
    // Over HTTP only the asker reads it: there it is said why.
    let forged = ebxml::package::Outgoing::sign(&ping, Vec::new(), &PKI.hospital.signing).unwrap();
    let (_, answer, _) = post(&hub, &forged.content_type(), forged.http_body()).await;
    let Kind::Error(list) = answer.unwrap().envelope.kind else {
        panic!()
    };
    assert_eq!(list.errors[0].code, ebxml::Code::SecurityFailure);
    assert!(hub.fetch("vaar-epj").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_a_message_is_told_to_its_sender_only() {
    use MessageStatus::{Forwarded, NotRecognized, Processed, Received};
    let hub = exchange().await;
    let note = Draft::note();
    assert_eq!(hub.told(note.id()).await, (NotRecognized, false));
    hub.deliver(HUB, &note.mail()).await;
    hub.fetch("vaar-epj").await;
    assert_eq!(hub.told(note.id()).await, (Received, true));
    hub.world.work();
    assert_eq!(hub.told(note.id()).await, (Processed, true));

    let between = Draft::between();
    hub.deliver(HOSPITAL, &between.mail()).await;
    assert_eq!(hub.told(between.id()).await, (Forwarded, true));

    let refused = Draft {
        signer: &PKI.revoked,
        ..Draft::note()
    };
    hub.deliver(HUB, &refused.mail()).await;
    hub.fetch("vaar-epj").await;
    assert_eq!(hub.told(refused.id()).await, (NotRecognized, false));
    assert_eq!(hub.told("").await, (NotRecognized, false));

    // Another party asks: it is not told that there is such a message.
    let stranger = question(GP_DOCTOR, about(note.id()));
    let signed =
        ebxml::package::Outgoing::sign(&stranger, Vec::new(), &PKI.hospital.signing).unwrap();
    let (_, answer, _) = post(&hub, &signed.content_type(), signed.http_body()).await;
    let said = answer.unwrap().envelope.kind;
    assert!(
        matches!(said, Kind::Error(_)),
        "{GP} did not sign: {said:?}"
    );
    let other = question(crate::world::HEART, about(note.id()));
    let signed = ebxml::package::Outgoing::sign(&other, Vec::new(), &PKI.hospital.signing).unwrap();
    let (_, answer, _) = post(&hub, &signed.content_type(), signed.http_body()).await;
    let Kind::Service(Service::StatusResponse(said)) = answer.unwrap().envelope.kind else {
        panic!()
    };
    assert_eq!(said.status, Some(NotRecognized));
}
