//! Cryptographic Message Syntax (RFC 5652): SignedData with its content inside, EnvelopedData, and the two together as messages use them.
//!
//! ```text
//! seal: content ──sign──▶ SignedData ──envelope──▶ EnvelopedData (what goes over the wire)
//! open: the same backwards; whether the signer is to be trusted is `x509::TrustStore`'s question
//! ```

mod enveloped;
mod error;
mod signed;
mod triple_des;

pub use enveloped::{Cipher, KeyTransport, envelope, open_envelope, open_legacy_envelope};
pub use error::{CmsError, SealError};
pub use signed::{Signed, Signer, sign, verify};

use crate::asn1::{Asn1Error, Limits, Reader, tag, write};
use crate::key::Identity;
use crate::x509::Certificate;

/// A message opened: its content, and who signed it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The business document, byte for byte.
    pub content: Vec<u8>,
    /// Who signed, first signer first; never empty. All their signatures hold.
    pub signers: Vec<Signer>,
    /// Every certificate that came along.
    pub certificates: Vec<Certificate>,
    /// Which of the receiver's keys opened it (index into the keys given).
    pub key_index: usize,
    /// The content cipher, for statistics and for warnings about old ones.
    pub cipher: Cipher,
}

impl Opened {
    /// The certificate of the first signer.
    #[must_use]
    pub fn signer_certificate(&self) -> Option<&Certificate> {
        self.signers.first().map(|signer| &signer.certificate)
    }
}

/// Signs `content` (SHA-256, certificate included, signed attributes) and encrypts it for `recipient` (AES-256-CBC, RSA PKCS #1 v1.5),
/// which is what the national clients produce and read.
///
/// `signing_time_unix_s` goes into the signed attributes.
///
/// # Errors
/// [`SealError`]: a key that cannot sign, a recipient without an RSA key.
pub fn seal(
    content: &[u8],
    signer: &Identity,
    recipient: &Certificate,
    signing_time_unix_s: i64,
) -> Result<Vec<u8>, SealError> {
    let signed = sign(content, signer, Some(signing_time_unix_s))?;
    envelope(
        &signed,
        &[recipient],
        Cipher::Aes256Cbc,
        KeyTransport::Pkcs1,
    )
}

/// Decrypts with the first of `keys` that the message is for, and verifies all signatures.
///
/// # Errors
/// [`CmsError`], each with its `transport:` condition. Everything between a wrong key and decrypted bytes that are not SignedData is one
/// and the same error, so that the answer tells an attacker nothing about the padding.
pub fn open(bytes: &[u8], keys: &[Identity], limits: Limits) -> Result<Opened, CmsError> {
    let opened = open_envelope(bytes, keys, limits)?;
    let signed = verify(&opened.content, limits).map_err(|error| match error {
        CmsError::NotCms(_) | CmsError::UnexpectedType { .. } => CmsError::DecryptionFailed,
        other => other,
    })?;
    Ok(Opened {
        content: signed.content,
        signers: signed.signers,
        certificates: signed.certificates,
        key_index: opened.key_index,
        cipher: opened.cipher,
    })
}

/// Reads `ContentInfo` and returns a reader over the content, which must be of `wanted` type.
fn content_info<'a>(
    der: &'a [u8],
    wanted: &[u8],
    name: &'static str,
) -> Result<Reader<'a>, CmsError> {
    let mut outer = Reader::new(der);
    let mut info = outer.sequence("ContentInfo")?;
    outer.end("bytes after ContentInfo")?;
    let kind = info.oid("content type")?;
    if kind != wanted {
        return Err(CmsError::UnexpectedType {
            wanted: name,
            found: crate::oid::dotted(kind),
        });
    }
    let mut explicit = info
        .expect(tag::context_constructed(0), "content")?
        .inside();
    Ok(explicit.sequence("content")?)
}

fn write_content_info(kind: &[u8], content: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::oid(kind), &write::explicit(0, content)])
}

/// How a signer or recipient names a certificate.
#[derive(Debug, Clone, Copy)]
enum CertificateId<'a> {
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    SubjectKeyId(&'a [u8]),
}

impl<'a> CertificateId<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Asn1Error> {
        if let Some(id) = reader.optional(tag::context(0))? {
            return Ok(Self::SubjectKeyId(id.content));
        }
        let mut fields = reader.sequence("issuer and serial number, or subject key identifier")?;
        let issuer = fields.expect(tag::SEQUENCE, "issuer")?.whole;
        let serial = fields.expect(tag::INTEGER, "serial number")?.content;
        Ok(Self::IssuerAndSerial { issuer, serial })
    }

    fn names(self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => {
                certificate.issuer_der() == issuer && certificate.serial() == serial
            }
            Self::SubjectKeyId(id) => certificate.subject_key_id() == Some(id),
        }
    }
}

fn write_issuer_and_serial(certificate: &Certificate) -> Vec<u8> {
    write::sequence(&[
        certificate.issuer_der(),
        &write::tlv(tag::INTEGER, certificate.serial()),
    ])
}
