//! Every condition of the error queue (spec/messaging.md §4.5) is reached by a message, and each tells the sender under its own message-id.

use amqp::port::Message;
use edi::errorqueue::ErrorCondition;
use meldinger::HandleError;
use xmlsec::cms;
use xmlsec::key::Identity;

use crate::world::*;

fn sealed_bytes(content: &[u8], signer: &Identity) -> Vec<u8> {
    cms::seal(content, signer, PKI.hub.encryption.certificate(), PKI.now_s).unwrap()
}

fn enveloped(signed: &[u8]) -> Vec<u8> {
    let receivers = [PKI.hub.encryption.certificate()];
    let (cipher, transport) = (cms::Cipher::Aes256Cbc, cms::KeyTransport::Pkcs1);
    cms::envelope(signed, &receivers, cipher, transport).unwrap()
}

fn signed() -> Vec<u8> {
    let text = document(&new_id(), "x");
    cms::sign(text.as_bytes(), &PKI.epj.signing, Some(PKI.now_s)).unwrap()
}

/// The signer names a certificate that did not come along: its serial number stands once in the certificate and once, later, with the signer.
fn without_certificate() -> Vec<u8> {
    let mut bytes = signed();
    let serial = PKI.epj.signing.certificate().serial();
    let at = bytes
        .windows(serial.len())
        .rposition(|window| window == serial)
        .unwrap();
    bytes[at + serial.len() - 1] ^= 1;
    enveloped(&bytes)
}

fn tampered() -> Vec<u8> {
    let mut bytes = signed();
    let at = bytes
        .windows(12)
        .position(|window| window == b"DIALOG_NOTAT")
        .unwrap();
    bytes[at] ^= 1;
    enveloped(&bytes)
}

fn for_another() -> Vec<u8> {
    cms::seal(
        document(&new_id(), "x").as_bytes(),
        &PKI.epj.signing,
        PKI.hospital.encryption.certificate(),
        PKI.now_s,
    )
    .unwrap()
}

/// What reaches each condition; nothing for those that are never sent.
fn reach(condition: ErrorCondition) -> Option<Message> {
    use ErrorCondition as C;
    let to_hub = |body: Vec<u8>| message("DIALOG_NOTAT", RESULTS, body);
    let good = || result_message(&new_id(), "x");
    let content = |bytes: &[u8]| to_hub(sealed_bytes(bytes, &PKI.epj.signing));
    let by = |signer: &Identity| to_hub(sealed_bytes(document(&new_id(), "x").as_bytes(), signer));
    Some(match condition {
        C::RequiredFieldMissing => {
            let mut message = good();
            message.properties.subject = None;
            message
        }
        C::InvalidFieldValue => {
            let mut message = good();
            message.properties.reply_to = Some("4711_async".to_owned());
            message
        }
        C::MissingCertificate => to_hub(without_certificate()),
        C::ExpiredCertificate => by(&PKI.expired),
        C::InvalidCertificate => by(&PKI.epj.encryption),
        C::RevokedCertificate => by(&PKI.revoked),
        C::UnverifiedCertificate => {
            let mut message = good();
            message.set_property("fromHerId", EPJ_BARE.to_string());
            message
        }
        C::InvalidCms => to_hub(b"no CMS".to_vec()),
        C::DecryptionFailed => to_hub(for_another()),
        C::InvalidSignature => to_hub(tampered()),
        C::InvalidEncoding => content(b"<MsgHead>\xff</MsgHead>"),
        C::XmlNotInterpretable => {
            let deep = format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000));
            content(deep.as_bytes())
        }
        C::NotWellFormedXml => content(b"<MsgHead><a></MsgHead>"),
        C::UnsupportedMessage => content(b"<ukjent/>"),
        C::InternalError => good(),
        C::SpoofingAttack => {
            let other = document_between(&new_id(), "x", (GP, GP_DOCTOR), (HUB, RESULTS));
            content(other.as_bytes())
        }
        // Defined, but the message is tried again instead.
        C::RevokedCertificateOffline => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_condition_is_reached_and_tells_which_message() {
    for condition in ErrorCondition::ALL {
        let Some(message) = reach(condition) else {
            continue;
        };
        let world = world_with(|parts| parts.config.retry_ms = 0).await;
        if condition == ErrorCondition::InternalError {
            world.decide(|_| Err(HandleError::Retry("something is away".to_owned())));
        }
        let id = message.properties.message_id.as_ref().unwrap().as_text();
        world.send("vaar-epj", "8900000_async", message).await;
        // At most ten attempts, then nothing is left.
        for _ in 0..12 {
            world.work();
        }
        let errors = world.drain("vaar-epj", "8900900_error").await;
        assert_eq!(errors.len(), 1, "{condition}");
        let (said, _, about) = error_of(&errors[0]);
        assert_eq!((said.as_str(), about), (condition.as_str(), id));
        assert!(
            world.drain("vaar-epj", "8900900_async").await.is_empty(),
            "{condition}: no receipt beside the error"
        );
        assert!(
            world.results.seen.lock().unwrap().is_empty()
                || condition == ErrorCondition::InternalError
        );
    }
}
