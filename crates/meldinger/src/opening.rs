//! Opening a message that is addressed to the hub itself: decrypt, verify, check the signer, read the XML, compare the addresses.
//! The order is that of spec/story.md §7 and spec/messaging.md §11.6; the first check that fails answers.

use std::sync::PoisonError;

use amqp::port::Message;
use bytes::Bytes;
use edi::errorqueue::{ErrorCondition, TransportError};
use edi::message::{Endpoint, Header};
use edi::xml::{XmlDoc, XmlErrorKind};
use xmlsec::asn1::Limits;
use xmlsec::cms;
use xmlsec::x509::{Certificate, RevocationPolicy, Usage};

use crate::exchange::Exchange;
use crate::port::Road;
use crate::receivers::OpenedMessage;
use crate::rules::envelope::SIGNED_AND_ENVELOPED;
use crate::rules::track::{Alert, Track};

/// Why a message could not be opened.
pub(crate) enum OpenError {
    /// The sender is told.
    Refuse {
        error: TransportError,
        alert: Option<Alert>,
    },
    /// Trying again later may help.
    Retry(String),
}

fn refuse(condition: ErrorCondition, description: impl Into<String>) -> OpenError {
    OpenError::Refuse {
        error: TransportError::new(condition, description),
        alert: None,
    }
}

/// Opens a message addressed to a hub-run receiver. CPU-bound; runs on a worker thread.
pub(crate) fn open(
    exchange: &Exchange,
    track: &Track,
    message: &Message,
) -> Result<OpenedMessage, OpenError> {
    let (content, signer) = content(exchange, track, message)?;
    let (document, header) = read(&content, track.from)?;
    Ok(OpenedMessage {
        from: track.from,
        from_organisation: track.from_organisation,
        to: track.to,
        subject: track.subject.clone(),
        content: Bytes::from(content),
        document,
        header,
        signer,
        received_at_us: track.received_at_us,
        track: track.id.clone(),
    })
}

/// The document as tree with its head, if its sender is the one of the envelope.
pub(crate) fn read(content: &[u8], from: u32) -> Result<(XmlDoc, Header), OpenError> {
    let document = XmlDoc::parse(content).map_err(|error| {
        let description = error.to_string();
        match error.kind {
            XmlErrorKind::NotWellFormed => refuse(ErrorCondition::NotWellFormedXml, description),
            XmlErrorKind::TooLarge => refuse(ErrorCondition::XmlNotInterpretable, description),
            XmlErrorKind::Encoding => refuse(ErrorCondition::InvalidEncoding, description),
            XmlErrorKind::Forbidden => OpenError::Refuse {
                error: TransportError::new(
                    ErrorCondition::NotWellFormedXml,
                    format!("T01: {description}"),
                ),
                alert: Some(Alert::HostileXml),
            },
        }
    })?;
    let header = Header::from_doc(&document)
        .ok_or_else(|| refuse(ErrorCondition::UnsupportedMessage, "the document is none of the messages known here (MsgHead, AppRec, or a message with its own head)"))?;
    if !is_sender(&header.sender, from) {
        let body = header
            .sender
            .routing_her_id()
            .map_or_else(|| "none".to_owned(), |her_id| her_id.to_string());
        let mut error = TransportError::new(
            ErrorCondition::SpoofingAttack,
            format!(
                "the sender in the document (HER-id {body}) is not the sender in the envelope ({from})"
            ),
        );
        error.data = vec![from.to_string(), body];
        return Err(OpenError::Refuse {
            error,
            alert: Some(Alert::Spoofing),
        });
    }
    Ok((document, header))
}

impl Exchange {
    /// Reads a document that an adapter has opened, before it acknowledges it: well-formed, a head that is known, and sent by whom the envelope says.
    ///
    /// # Errors
    /// What is wrong, and whether it is a security event.
    pub fn read_document(
        content: &[u8],
        from: u32,
    ) -> Result<(XmlDoc, Header), (TransportError, Option<Alert>)> {
        read(content, from).map_err(|error| match error {
            OpenError::Refuse { error, alert } => (error, alert),
            OpenError::Retry(why) => (
                TransportError::new(ErrorCondition::InternalError, why),
                None,
            ),
        })
    }
}

/// The document inside, and who signed it.
fn content(
    exchange: &Exchange,
    track: &Track,
    message: &Message,
) -> Result<(Vec<u8>, Option<Certificate>), OpenError> {
    let config = &exchange.inner.config;
    if track.road == Road::Hub {
        // The adapter has decrypted it and verified its signature by the rules of its transport.
        return Ok((message.body.to_vec(), None));
    }
    match track.content_type.as_str() {
        SIGNED_AND_ENVELOPED => {}
        "text/plain" if config.accept_clear_text => return Ok((message.body.to_vec(), None)),
        other => {
            let description =
                format!("content type {other} is not taken here; send {SIGNED_AND_ENVELOPED}");
            return Err(refuse(ErrorCondition::UnsupportedMessage, description));
        }
    }
    let keys = exchange
        .inner
        .keys
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .decryption
        .clone();
    let opened = cms::open(&message.body, &keys, Limits::default()).map_err(|error| {
        let condition =
            ErrorCondition::parse(error.condition()).unwrap_or(ErrorCondition::InvalidCms);
        refuse(condition, error.to_string())
    })?;
    let signer = opened.signer_certificate().cloned().ok_or_else(|| {
        refuse(
            ErrorCondition::InvalidSignature,
            "the message is not signed",
        )
    })?;
    check_signer(
        exchange,
        track.from,
        &signer,
        &opened.certificates,
        config.revocation,
    )?;
    Ok((opened.content, Some(signer)))
}

/// Whether a certificate counts as the signature of `from`: trusted, valid, not revoked, of its organisation.
pub(crate) fn check_signer(
    exchange: &Exchange,
    from: u32,
    signer: &Certificate,
    others: &[Certificate],
    revocation: RevocationPolicy,
) -> Result<(), OpenError> {
    let trust = exchange.trust();
    let now_s = exchange.real_now_us() / 1_000_000;
    if let Err(faults) = trust.check(signer, Usage::MessageSignature, others, now_s, revocation) {
        if faults.is_only_revocation_unknown() {
            return Err(OpenError::Retry(
                "the revocation list of the signer's issuer is not available".to_owned(),
            ));
        }
        let condition =
            ErrorCondition::parse(faults.condition()).unwrap_or(ErrorCondition::InvalidCertificate);
        let mut error = TransportError::new(
            condition,
            format!(
                "the signer's certificate (serial {}) is not accepted: {faults}",
                signer.serial_hex()
            ),
        );
        error.data = vec![signer.thumbprint_sha1()];
        return Err(OpenError::Refuse { error, alert: None });
    }
    let party = exchange.inner.directory.party(from);
    // What the address register has under the sender; a service has its organisation's where it has none of its own.
    let registered = party
        .as_ref()
        .and_then(|party| party.signing_certificate.as_deref());
    if registered.is_none_or(|der| Certificate::from_der(der).is_err()) {
        let description = format!(
            "the address register has no signing certificate of HER-id {from} that can be read"
        );
        return Err(refuse(ErrorCondition::UnverifiedCertificate, description));
    }
    let registered = registered == Some(signer.der());
    let same_organisation = party
        .as_ref()
        .is_some_and(|party| signer.organisation_number() == Some(party.orgnr.as_str()));
    if registered || same_organisation {
        return Ok(());
    }
    let mut error = TransportError::new(
        ErrorCondition::InvalidCertificate,
        format!("signed with a certificate of another organisation than that of HER-id {from}"),
    );
    error.data = vec![signer.thumbprint_sha1()];
    Err(OpenError::Refuse { error, alert: None })
}

/// The envelope's sender is the level-2 sender of the document, or its level-1 sender where it has no other (spec/messaging.md §1.1). A
/// document without any HER-id of its sender claims nothing here; the content rules answer it.
fn is_sender(sender: &Endpoint, from: u32) -> bool {
    let below: Vec<u32> = [&sender.unit, &sender.person]
        .into_iter()
        .flatten()
        .filter_map(edi::message::PartyId::her_id)
        .collect();
    if below.is_empty() {
        sender
            .organisation
            .her_id()
            .is_none_or(|her_id| her_id == from)
    } else {
        below.contains(&from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edi::message::PartyId;

    #[test]
    fn the_lowest_level_of_the_document_counts() {
        let party = |her: &str| PartyId {
            ids: vec![("HER".to_owned(), her.to_owned())],
            ..PartyId::default()
        };
        let organisation_only = Endpoint {
            organisation: party("1"),
            ..Endpoint::default()
        };
        let with_unit = Endpoint {
            unit: Some(party("2")),
            ..organisation_only.clone()
        };
        let with_person = Endpoint {
            person: Some(party("3")),
            ..organisation_only.clone()
        };
        let both = Endpoint {
            person: Some(party("3")),
            ..with_unit.clone()
        };
        let table = [
            (&organisation_only, 1, true),
            (&organisation_only, 2, false),
            (&with_unit, 2, true),
            (&with_unit, 1, false),
            (&with_person, 3, true),
            (&both, 2, true),
            (&both, 3, true),
            (&both, 1, false),
        ];
        for (endpoint, from, expected) in table {
            assert_eq!(
                is_sender(endpoint, from),
                expected,
                "{from} in {:?}",
                endpoint.her_ids()
            );
        }
        assert!(is_sender(&Endpoint::default(), 1));
    }
}
