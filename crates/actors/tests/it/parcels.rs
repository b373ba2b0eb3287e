//! Signed, encrypted, opened; and who may have signed.

use crate::nation_of::GIVEN;
use actors::parcel::{Failure, Opener, error_message, pack};
use edi::errorqueue::{ErrorCondition, TransportError};
use std::sync::Arc;

const DOCUMENT: &str = "<Message xmlns=\"http://www.kith.no/xmlstds/labsvar/2012-02-15\"><Type V=\"SVAR_LAB\"/></Message>";
const NOW: &str = "2026-11-23T09:20:00Z";

fn opener(her_id: u32) -> Opener {
    let facts = GIVEN.facts.clone();
    let keys = facts.organisation_of(her_id).unwrap().keys().unwrap();
    let trust = Arc::new(facts.trust().unwrap());
    Opener::new(facts, trust, Arc::new(keys))
}

fn packed(signer: u32, from: u32, to: u32) -> actors::parcel::Parcel {
    let keys = GIVEN.facts.organisation_of(signer).unwrap().keys().unwrap();
    let now = NOW.parse().unwrap();
    pack(
        &GIVEN.facts,
        &keys.signing,
        "SVAR_LAB",
        (from, to),
        now,
        DOCUMENT,
    )
    .unwrap()
}

#[test]
fn a_document_arrives_byte_for_byte() {
    let parcel = packed(8_900_400, 8_900_401, 8_900_101);
    assert_eq!(parcel.queue, "8900100_async");
    let property = |name: &str| parcel.message.property(name).unwrap();
    assert_eq!(property("fromHerId"), "8900401");
    assert_eq!(property("toHerId"), "8900101");
    assert_eq!(property("applicationTimeStamp"), NOW);
    assert!(
        !parcel.message.body.windows(8).any(|w| w == b"SVAR_LAB"),
        "the body is encrypted"
    );
    assert_eq!(
        opener(8_900_100).open(&parcel.message).unwrap(),
        DOCUMENT.as_bytes()
    );
}

#[test]
fn only_the_senders_own_signature_counts() {
    let parcel = packed(8_900_200, 8_900_401, 8_900_101);
    let error = opener(8_900_100).open(&parcel.message).unwrap_err();
    assert_eq!(error.condition, ErrorCondition::InvalidCertificate);
}

#[test]
fn nobody_else_opens_it_and_what_is_not_cms_is_said_to_be_so() {
    let mut parcel = packed(8_900_400, 8_900_401, 8_900_101);
    let unreadable = |parcel: &actors::parcel::Parcel| {
        opener(8_900_200)
            .open(&parcel.message)
            .unwrap_err()
            .condition
    };
    // All organisations of the test share one key pair; the certificate named in the envelope still differs.
    assert_eq!(unreadable(&parcel), ErrorCondition::DecryptionFailed);
    parcel.message.body = "hei".into();
    assert_eq!(unreadable(&parcel), ErrorCondition::InvalidCms);
}

#[test]
fn error_messages_go_back_and_are_never_answered() {
    let parcel = packed(8_900_400, 8_900_401, 8_900_101);
    let error = TransportError::new(ErrorCondition::InvalidSignature, "prøve");
    let now = NOW.parse().unwrap();
    let back = error_message(&GIVEN.facts, &parcel.message, &error, now).unwrap();
    assert_eq!(back.queue, "8900400_error");
    assert!(back.message.body.is_empty());
    assert_eq!(back.message.properties.reply_to, None);
    assert_eq!(
        back.message.property("fromHerId").as_deref(),
        Some("8900101")
    );
    let read = Failure::read(&back.message).unwrap();
    assert_eq!(read.original_message_id, parcel.message_id());
    assert_eq!(read.condition, "transport:invalid-signature");
    assert!(error_message(&GIVEN.facts, &back.message, &error, now).is_none());
}
