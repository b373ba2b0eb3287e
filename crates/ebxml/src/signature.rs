//! The signature over envelope and attachments (spec messaging §5.2): made as the norm says, judged by what it covers.
//!
//! A valid value is not enough: blocks for another SOAP actor are left out by the filter of the norm, so a second header
//! could be slipped in unsigned. What is read must therefore be covered, and nothing may come along that is not.

use xmlsec::c14n::Method;
use xmlsec::dsig::{
    self, DsigError, External, Hash, Place, Request, Rules, SignError, Signer, SigningKey, Target,
    Transform,
};
use xmlsec::key::Identity;
use xmlsec::x509::Certificate;
use xmlsec::xml::{Document, NodeId};

use crate::envelope::AckReference;
use crate::finding::{Code, Finding, Level};
use crate::names::{EB, SOAP};

const PLACE: &str = "/SOAP:Envelope/SOAP:Header/ds:Signature";

/// An attachment as signed: its content id, and its content as decoded.
#[derive(Debug, Clone, Copy)]
pub struct Attached<'a> {
    /// Content id without angle brackets.
    pub content_id: &'a str,
    /// Content.
    pub content: &'a [u8],
}

/// A signature that holds and covers the whole message.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Certificate of the signer.
    pub certificate: Certificate,
    /// Its references, for the acknowledgment.
    pub references: Vec<AckReference>,
    /// Remarks: SHA-1, more than one certificate, fewer transforms than the norm has.
    pub remarks: Vec<Finding>,
}

fn fault(rule: u16, text: impl Into<String>) -> Finding {
    Finding::new(rule, Level::Error, Code::SecurityFailure, PLACE, text)
}

/// Checks the one signature of an envelope. SHA-1 passes with a remark (the norm of 2011 has it).
///
/// # Errors
/// What is wrong, by rule.
pub fn check(
    document: &Document,
    attachments: &[Attached<'_>],
    signer: Signer<'_>,
) -> Result<Checked, Finding> {
    let signature = the_signature(document)?;
    let line = document.line(signature);
    check_at(document, signature, attachments, signer).map_err(|found| found.at(line))
}

/// The one signature, child of the SOAP header.
fn the_signature(document: &Document) -> Result<NodeId, Finding> {
    let mut all = document
        .subtree(NodeId::DOCUMENT)
        .filter(|node| document.is(*node, dsig::NAMESPACE, "Signature"));
    let first = all.next().ok_or_else(|| {
        fault(
            45,
            "ds:Signature is missing: envelopes are signed, also those of signals",
        )
    })?;
    if all.next().is_some() {
        return Err(fault(52, "there is more than one ds:Signature"));
    }
    let header = document.only(document.root(), SOAP, "Header");
    if document.parent(first) != header {
        return Err(fault(0, "ds:Signature is not a child of the SOAP header"));
    }
    Ok(first)
}

fn check_at(
    document: &Document,
    signature: NodeId,
    attachments: &[Attached<'_>],
    signer: Signer<'_>,
) -> Result<Checked, Finding> {
    let references = crate::envelope::references_of(document, signature);
    let external: Vec<External<'_>> = references
        .iter()
        .filter_map(|reference| {
            let id = unescaped(reference.uri.strip_prefix("cid:")?);
            let found = attachments.iter().find(|one| one.content_id == id)?;
            Some(External {
                uri: &reference.uri,
                content: found.content,
            })
        })
        .collect();
    let mut rules = Rules::new(signer);
    rules.allow_sha1 = true;
    rules.external = &external;
    let verified = dsig::verify(document, signature, &rules).map_err(|error| of_error(&error))?;
    let header = document.only(document.root(), SOAP, "Header");
    let body = document.only(document.root(), SOAP, "Body");
    let blocks = header
        .into_iter()
        .flat_map(|header| document.elements(header))
        .filter(|node| *node != signature && !document.is(*node, EB, "SyncReply"));
    let is_covered = blocks
        .chain(body)
        .all(|node| verified.covers(document, node));
    if !is_covered || body.is_none() {
        let text =
            "the signature leaves out a part of the envelope that is not for another actor to read";
        return Err(fault(40, text));
    }
    let is_signed = |attachment: &Attached<'_>| {
        verified.parts.iter().any(|part| {
            part.uri
                .strip_prefix("cid:")
                .is_some_and(|id| unescaped(id) == attachment.content_id)
        })
    };
    if !attachments.iter().all(is_signed) {
        return Err(fault(
            34,
            "an attachment is not signed: each needs a ds:Reference with its cid:",
        ));
    }
    let mut remarks = Vec::new();
    let mut remark = |rule, level, text: &str| {
        remarks.push(Finding::new(
            rule,
            level,
            Code::SecurityFailure,
            PLACE,
            text,
        ));
    };
    if verified.uses_sha1() {
        remark(33, Level::Info, "signed with SHA-1");
    }
    if !verified.intermediates.is_empty() {
        let text = "ds:X509Data holds more than one certificate";
        remark(103, Level::Warning, text);
    }
    if transforms_of_envelope(document, signature) != 3 {
        let text = "the reference to the envelope has not the three transforms of the norm";
        remark(35, Level::Info, text);
    }
    Ok(Checked {
        certificate: verified.certificate,
        references,
        remarks,
    })
}

fn transforms_of_envelope(document: &Document, signature: NodeId) -> usize {
    document
        .subtree(signature)
        .find(|node| {
            document.is(*node, dsig::NAMESPACE, "Reference")
                && document.attribute(*node, "", "URI") == Some("")
        })
        .and_then(|reference| document.only(reference, dsig::NAMESPACE, "Transforms"))
        .map_or(0, |transforms| {
            document
                .named(transforms, dsig::NAMESPACE, "Transform")
                .count()
        })
}

fn of_error(error: &DsigError) -> Finding {
    let rule = match error {
        DsigError::Missing => 45,
        DsigError::Several => 52,
        DsigError::RefusedAlgorithm { kind, .. } => match *kind {
            "digest" => 33,
            "signature method" => 84,
            _ => 36,
        },
        DsigError::NoCertificate => 41,
        DsigError::UnreadableCertificate => 46,
        DsigError::OtherCertificate => 44,
        DsigError::Certificate(_) => 104,
        DsigError::NotCovered => 40,
        _ => 50,
    };
    fault(rule, error.to_string())
}

/// A content id in a URI: percent-encoding undone (RFC 2392).
pub(crate) fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = (*byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match hex {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Signs an envelope and its attachments: three transforms, canonical XML 1.0, SHA-256, signature last in the header.
///
/// # Errors
/// [`SignError`].
pub fn sign(
    envelope: &str,
    attachments: &[Attached<'_>],
    identity: &Identity,
) -> Result<String, SignError> {
    let document = Document::parse(envelope)?;
    let header = document
        .only(document.root(), SOAP, "Header")
        .ok_or(SignError::Place)?;
    let transforms = vec![
        Transform::Enveloped,
        Transform::EbXmlActors,
        Transform::Canonicalize(Method::INCLUSIVE),
    ];
    let uris: Vec<String> = attachments
        .iter()
        .map(|one| format!("cid:{}", one.content_id))
        .collect();
    let mut targets = vec![Target::Document(transforms)];
    targets.extend(
        uris.iter()
            .zip(attachments)
            .map(|(uri, one)| Target::External(uri, one.content)),
    );
    let request = Request {
        key: SigningKey::Rsa(identity.key()),
        certificates: std::slice::from_ref(identity.certificate()),
        canonicalization: Method::INCLUSIVE,
        hash: Hash::Sha256,
        targets: &targets,
    };
    dsig::sign(&document, Place::LastIn(header), &request)
}
