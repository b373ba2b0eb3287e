//! The same over ebXML: a vendor with a message handler of its own fetches the battery from its mailbox, acknowledges, and answers by mail.

use bytes::Bytes;
use ebxml::envelope::{Kind, Party};
use ebxml::{Code, Finding, Level, payload, signal};
use mail::port::{Delivered, Identity, Post as _};
use meldinger::edge::ebxml::{MessageHandler, PostOffice};

use super::*;
use crate::ebxml::{Draft, acknowledgment, address, envelope, read, signal_mail};

struct Vendor {
    handler: MessageHandler,
    office: PostOffice,
    known: Vec<String>,
}

impl Vendor {
    fn of(scheme: &Scheme) -> Self {
        let exchange = scheme.world.exchange.clone();
        let handler = MessageHandler::new(exchange, "hub.example", None);
        Self {
            office: PostOffice::new(handler.clone()),
            handler,
            known: Vec::new(),
        }
    }

    async fn send(&self, mail: &[u8]) {
        let mail = Bytes::copy_from_slice(mail);
        let taken = self.office.deliver(None, "", &address(HUB), mail).await;
        assert_eq!(taken, Delivered::Kept);
    }

    /// What the hub has sent, fetched and removed.
    async fn fetch(&self) -> Vec<::ebxml::package::Received> {
        tokio::task::block_in_place(|| self.handler.send_due().unwrap());
        let who = Identity {
            user: "vaar-epj".to_owned(),
        };
        let letters = self.office.open(&who).await;
        let removed = letters.iter().map(|one| (one.id, one.token)).collect();
        assert!(self.office.close(removed, Vec::new()).await);
        letters.iter().map(|letter| read(&letter.mail)).collect()
    }

    /// Takes what has come and answers it; how many messages there were that are no signals.
    async fn round(&mut self, scheme: &Scheme) -> usize {
        let mut messages = 0;
        for received in self.fetch().await {
            assert_eq!(received.findings, []);
            let header = &received.envelope.header;
            let Kind::Payload { .. } = received.envelope.kind else {
                assert_eq!(header.action, "Acknowledgment");
                continue;
            };
            messages += 1;
            let keys = [PKI.epj.encryption.clone()];
            let opened = payload::open(&received.attachments[0].content, &keys).unwrap();
            if header.action == "APPREC" {
                self.send(&acknowledgment(&received, &PKI.epj.signing, EPJ, HUB))
                    .await;
                continue;
            }
            let road = edi::check::Transport::Ebxml;
            match decide(&opened.content, road, Manner::Right, &mut self.known) {
                Decision::Unreadable => {
                    let wrong = Finding::new(0, Level::Error, Code::OtherXml, "", "no XML");
                    let list = signal::error_list(header, &[wrong], &new_id(), 0);
                    self.send(&signal_mail(&list, &PKI.epj.signing, EPJ, HUB))
                        .await;
                }
                decision => {
                    self.send(&acknowledgment(&received, &PKI.epj.signing, EPJ, HUB))
                        .await;
                    if let Decision::Receipt {
                        header: about,
                        status,
                        errors,
                    } = decision
                    {
                        let xml = super::receipt(&about, status, errors, Manner::Right);
                        self.send(&apprec(header, &xml)).await;
                    }
                }
            }
        }
        scheme.work();
        messages
    }
}

/// A receipt in its envelope: the service of what it answers, roles turned (HISD 1209).
fn apprec(about: &::ebxml::envelope::MessageHeader, xml: &str) -> Vec<u8> {
    let mut envelope = envelope(EPJ_SERVICE, TEST_PARTY, "EPIKRISE");
    let header = &mut envelope.header;
    header.from = Party::her(EPJ_SERVICE, "EPIKRISEreceiver");
    header.to = Party::her(TEST_PARTY, "EPIKRISEsender");
    header.action = "APPREC".to_owned();
    header.conversation_id.clone_from(&about.conversation_id);
    header.ref_to_message_id = Some(about.message_id.clone());
    let draft = Draft {
        envelope,
        content: xml.as_bytes().to_vec(),
        ..Draft::note()
    };
    draft.mail()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_approved() {
    let scheme = scheme().await;
    let mut vendor = Vendor::of(&scheme);
    let started = scheme.start_over(Transport::Ebxml, Direction::Receive, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap().to_owned();
    let cases = started["cases"].as_array().unwrap();
    assert!(cases.iter().all(|case| case["case"] != "receipt"));
    let messages = vendor.round(&scheme).await;
    assert_eq!(messages, cases.len() + 1, "one of them twice");
    // What is left are the hub's acknowledgments of the receipts.
    assert_eq!(vendor.round(&scheme).await, 0);

    let report = scheme.report(&id);
    assert_eq!(states(&report, "failed"), [] as [&str; 0], "{report:#}");
    let waiting = states(&report, "waiting");
    assert!(
        waiting.iter().all(|id| id.starts_with("R-D")),
        "{waiting:?}"
    );
    let broken = report["cases"].as_array().unwrap().iter();
    let broken = broken.clone().find(|c| c["case"] == "not_well_formed");
    assert_eq!(
        broken.unwrap()["conditions"],
        serde_json::json!(["OtherXml"])
    );
    scheme.declare_all(&report);
    let done = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id)).unwrap();
    assert_eq!(
        (&done["status"], &done["transport"]),
        (&"ok".into(), &"ebxml".into())
    );
    let published = tokio::task::block_in_place(|| scheme.approvals.approved()).unwrap();
    assert_eq!(published.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_approved() {
    let scheme = scheme().await;
    let mut vendor = Vendor::of(&scheme);
    let started = scheme.start_over(Transport::Ebxml, Direction::Send, Standard::Epikrise12);
    let id = started["id"].as_str().unwrap().to_owned();
    for (state, patient, more) in [
        ("N", FNR, ""),
        ("M", FNR, ""),
        ("C", FNR, ""),
        ("N", DNR, ""),
        ("N", FNR, PDF),
    ] {
        let content = letter(&new_id(), state, patient, more).into_bytes();
        let draft = Draft {
            envelope: envelope(EPJ_SERVICE, TEST_PARTY, "EPIKRISE"),
            content,
            ..Draft::note()
        };
        vendor.send(&draft.mail()).await;
    }
    scheme.work();
    let waiting = |report: &Value| -> Vec<String> {
        let all = states(report, "waiting").into_iter();
        all.filter(|id| !id.starts_with("S-D")).collect()
    };
    let report = scheme.report(&id);
    assert_eq!(states(&report, "failed"), [] as [&str; 0], "{report:#}");
    assert_eq!(waiting(&report), ["S-T01"], "no receipt is fetched yet");
    assert_eq!(vendor.round(&scheme).await, 5);
    let report = scheme.report(&id);
    assert_eq!(waiting(&report), [] as [&str; 0], "{report:#}");
    scheme.declare_all(&report);
    let done = tokio::task::block_in_place(|| scheme.approvals.finish(EPJ, &id)).unwrap();
    assert_eq!(done["status"], "ok");
}
