use std::borrow::Cow;

use super::{
    CertificateId, CmsError, SealError, content_info, write_content_info, write_issuer_and_serial,
};
use crate::algorithm::{self, AlgorithmId, Digest, VerifyError};
use crate::asn1::{Asn1Error, Limits, Reader, tag, to_der, write};
use crate::key::Identity;
use crate::oid;
use crate::x509::Certificate;

const MAX_SIGNERS: usize = 8;
const MAX_CERTIFICATES: usize = 32;

/// A verified signature.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The signer's certificate, as it came in the message.
    pub certificate: Certificate,
    /// When the signer says it signed (seconds since 1970); a claim, not a proof.
    pub signing_time_unix_s: Option<i64>,
}

/// SignedData with every signature verified.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The content that was signed.
    pub content: Vec<u8>,
    /// Never empty.
    pub signers: Vec<Signer>,
    /// All certificates that came along.
    pub certificates: Vec<Certificate>,
}

/// Signs `content` and puts it inside: SHA-256 with RSA, the signer's certificate included.
///
/// With a signing time the signed attributes content type, message digest and signing time are made; without, the signature is over the content
/// itself (old receivers expect either form).
///
/// # Errors
/// [`SealError::Key`].
pub fn sign(
    content: &[u8],
    signer: &Identity,
    signing_time_unix_s: Option<i64>,
) -> Result<Vec<u8>, SealError> {
    let digest_algorithm = write::algorithm(oid::SHA256, &[]);
    let attributes = signing_time_unix_s.map(|at| signed_attributes(content, at));
    let value = signer
        .key()
        .sign_sha256(attributes.as_deref().unwrap_or(content))?;
    let attributes_field = attributes
        .map(|set| retag(&set, tag::context_constructed(0)))
        .unwrap_or_default();
    let signer_info = write::sequence(&[
        &write::integer(1),
        &write_issuer_and_serial(signer.certificate()),
        &digest_algorithm,
        &attributes_field,
        &write::algorithm(oid::RSA, &write::null()),
        &write::octets(&value),
    ]);
    let encapsulated = write::sequence(&[
        &write::oid(oid::DATA),
        &write::explicit(0, &write::octets(content)),
    ]);
    let signed_data = write::sequence(&[
        &write::integer(1),
        &write::set_of(vec![digest_algorithm.clone()]),
        &encapsulated,
        &write::tlv(tag::context_constructed(0), signer.certificate().der()),
        &write::set_of(vec![signer_info]),
    ]);
    Ok(write_content_info(oid::SIGNED_DATA, &signed_data))
}

fn signed_attributes(content: &[u8], at_unix_s: i64) -> Vec<u8> {
    let attribute = |kind: &[u8], value: Vec<u8>| {
        write::sequence(&[&write::oid(kind), &write::set_of(vec![value])])
    };
    let digest = Digest::Sha256.of(&[content]);
    write::set_of(vec![
        attribute(oid::CONTENT_TYPE, write::oid(oid::DATA)),
        attribute(oid::MESSAGE_DIGEST, write::octets(digest.as_ref())),
        attribute(oid::SIGNING_TIME, encode_time(at_unix_s)),
    ])
}

fn encode_time(at_unix_s: i64) -> Vec<u8> {
    use der::Encode as _;
    let since = std::time::Duration::from_secs(u64::try_from(at_unix_s).unwrap_or_default());
    let utc = der::asn1::UtcTime::from_unix_duration(since).and_then(|time| time.to_der());
    let general =
        || der::asn1::GeneralizedTime::from_unix_duration(since).and_then(|time| time.to_der());
    utc.or_else(|_| general()).unwrap_or_default()
}

/// The same content under another tag.
fn retag(tlv: &[u8], tag: u8) -> Vec<u8> {
    let mut out = tlv.to_vec();
    if let Some(first) = out.first_mut() {
        *first = tag;
    }
    out
}

/// Reads SignedData with its content inside and verifies every signature in it.
///
/// # Errors
/// [`CmsError`]; nothing about trust in the certificates is checked here.
pub fn verify(bytes: &[u8], limits: Limits) -> Result<Signed, CmsError> {
    if bytes.len() > limits.max_bytes {
        return Err(CmsError::TooLarge {
            max_bytes: limits.max_bytes,
        });
    }
    let der = to_der(bytes, limits)?;
    let parts = Parts::read(&der)?;
    let content = parts.content.ok_or(CmsError::NotSigned)?;
    if parts.signers.is_empty() {
        return Err(CmsError::NotSigned);
    }
    let certificates = parts
        .certificates
        .iter()
        .map(|der| {
            Certificate::from_der(der)
                .map_err(|error| CmsError::InvalidCertificate(error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let signers = parts
        .signers
        .iter()
        .map(|info| info.verify(&content, parts.content_type, &certificates))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Signed {
        content: content.into_owned(),
        signers,
        certificates,
    })
}

struct Parts<'a> {
    content_type: &'a [u8],
    content: Option<Cow<'a, [u8]>>,
    certificates: Vec<&'a [u8]>,
    signers: Vec<SignerInfo<'a>>,
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Result<Self, CmsError> {
        let mut fields = content_info(der, oid::SIGNED_DATA, "SignedData")?;
        fields.small_integer("SignedData version")?;
        fields.expect(tag::SET, "digest algorithms")?;
        let mut encapsulated = fields.sequence("encapsulated content")?;
        let content_type = encapsulated.oid("encapsulated content type")?;
        let content = encapsulated
            .optional(tag::context_constructed(0))?
            .map(|explicit| octets(&mut explicit.inside()))
            .transpose()?;
        let mut certificates = Vec::new();
        if let Some(set) = fields.optional(tag::context_constructed(0))? {
            let mut members = set.inside();
            while !members.is_empty() {
                let member = members.any()?;
                if certificates.len() == MAX_CERTIFICATES {
                    return Err(members.error("more than 32 certificates").into());
                }
                if member.tag == tag::SEQUENCE {
                    certificates.push(member.whole);
                }
            }
        }
        fields.optional(tag::context_constructed(1))?;
        let mut infos = fields.expect(tag::SET, "signer infos")?.inside();
        let mut signers = Vec::new();
        while !infos.is_empty() {
            if signers.len() == MAX_SIGNERS {
                return Err(infos.error("more than 8 signers").into());
            }
            signers.push(SignerInfo::read(&mut infos)?);
        }
        Ok(Self {
            content_type,
            content,
            certificates,
            signers,
        })
    }
}

fn octets<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, [u8]>, Asn1Error> {
    reader
        .expect(tag::OCTET_STRING, "OCTET STRING content")
        .map(|tlv| Cow::Borrowed(tlv.content))
}

struct SignerInfo<'a> {
    id: CertificateId<'a>,
    digest: AlgorithmId<'a>,
    /// The whole `[0]` field as encoded.
    attributes: Option<&'a [u8]>,
    algorithm: AlgorithmId<'a>,
    value: &'a [u8],
}

impl<'a> SignerInfo<'a> {
    fn read(infos: &mut Reader<'a>) -> Result<Self, Asn1Error> {
        let mut fields = infos.sequence("signer info")?;
        fields.small_integer("signer info version")?;
        let id = CertificateId::read(&mut fields)?;
        let digest = AlgorithmId::read(&mut fields, "digest algorithm")?;
        let attributes = fields
            .optional(tag::context_constructed(0))?
            .map(|tlv| tlv.whole);
        let algorithm = AlgorithmId::read(&mut fields, "signature algorithm")?;
        let value = fields.expect(tag::OCTET_STRING, "signature")?.content;
        Ok(Self {
            id,
            digest,
            attributes,
            algorithm,
            value,
        })
    }

    fn verify(
        &self,
        content: &[u8],
        content_type: &[u8],
        certificates: &[Certificate],
    ) -> Result<Signer, CmsError> {
        let invalid = |what: &str| CmsError::InvalidSignature(what.to_owned());
        let certificate = certificates
            .iter()
            .find(|certificate| self.id.names(certificate))
            .ok_or(CmsError::MissingCertificate)?;
        let digest = Digest::from_oid(self.digest.oid).ok_or_else(|| {
            CmsError::InvalidSignature(format!(
                "the digest {} is not accepted",
                oid::dotted(self.digest.oid)
            ))
        })?;
        let mut signing_time_unix_s = None;
        let message = match self.attributes {
            None => Cow::Borrowed(content),
            Some(field) => {
                let attributes = Attributes::read(field)?;
                if attributes.content_type != Some(content_type) {
                    return Err(invalid(
                        "the signed content type is not that of the content",
                    ));
                }
                if attributes.message_digest != Some(digest.of(&[content]).as_ref()) {
                    return Err(invalid(
                        "the content was changed after it was signed (message digest differs)",
                    ));
                }
                signing_time_unix_s = attributes.signing_time_unix_s;
                Cow::Owned(retag(field, tag::SET))
            }
        };
        algorithm::verify(self.algorithm, Some(digest), certificate.public_key_info(), &message, self.value).map_err(|error| match error {
            VerifyError::Mismatch if self.attributes.is_none() => invalid("the content was changed after it was signed, or signed with another key"),
            VerifyError::Mismatch => invalid("made with another key than that of the certificate, or its attributes were changed"),
            other @ VerifyError::Algorithm(_) => CmsError::InvalidSignature(other.to_string()),
        })?;
        Ok(Signer {
            certificate: certificate.clone(),
            signing_time_unix_s,
        })
    }
}

#[derive(Default)]
struct Attributes<'a> {
    content_type: Option<&'a [u8]>,
    message_digest: Option<&'a [u8]>,
    signing_time_unix_s: Option<i64>,
}

impl<'a> Attributes<'a> {
    fn read(field: &'a [u8]) -> Result<Self, CmsError> {
        let mut out = Self::default();
        let mut members = Reader::new(field).any()?.inside();
        while !members.is_empty() {
            let mut attribute = members.sequence("attribute")?;
            let kind = attribute.oid("attribute type")?;
            let mut values = attribute.expect(tag::SET, "attribute values")?.inside();
            let wanted = matches!(
                kind,
                oid::CONTENT_TYPE | oid::MESSAGE_DIGEST | oid::SIGNING_TIME
            );
            if !wanted {
                continue;
            }
            let value = values.any()?;
            let repeated = match kind {
                oid::CONTENT_TYPE => out.content_type.replace(value.content).is_some(),
                oid::MESSAGE_DIGEST => out.message_digest.replace(value.content).is_some(),
                _ => {
                    out.signing_time_unix_s = signing_time(value.whole);
                    false
                }
            };
            if repeated || !values.is_empty() {
                return Err(CmsError::InvalidSignature(
                    "a signed attribute occurs twice".to_owned(),
                ));
            }
        }
        Ok(out)
    }
}

fn signing_time(tlv: &[u8]) -> Option<i64> {
    use der::Decode as _;
    let time = x509_cert::time::Time::from_der(tlv).ok()?;
    i64::try_from(time.to_unix_duration().as_secs()).ok()
}
