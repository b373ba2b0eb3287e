use std::fmt;
use std::sync::Arc;

use der::Decode as _;
use der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, KeyUsage as PkixKeyUsage,
    SubjectKeyIdentifier,
};

use crate::algorithm::{AlgorithmId, PublicKey, verify};
use crate::asn1::{Asn1Error, Reader, tag};
use crate::pem::{self, PemError};

/// Largest accepted certificate in bytes.
const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

/// Bytes that are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not the structure of RFC 5280.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
    /// Over 64 KiB.
    #[error("the certificate is larger than 64 KiB")]
    TooLarge,
    /// Broken PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
}

impl From<Asn1Error> for CertificateError {
    fn from(error: Asn1Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The key usages that messages and chains ask for (RFC 5280 §4.2.1.3). Without the extension all are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyUsage {
    /// Signatures other than on certificates, such as TLS client authentication.
    pub digital_signature: bool,
    /// Signatures that bind the organisation: messages.
    pub non_repudiation: bool,
    /// Encrypting the key of a message.
    pub key_encipherment: bool,
    /// Encrypting content directly; the wording of the national norm.
    pub data_encipherment: bool,
    /// Signing certificates.
    pub key_cert_sign: bool,
    /// Signing revocation lists.
    pub crl_sign: bool,
}

/// One X.509 v3 certificate, parsed once and cheap to clone. Equal when the bytes are equal.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    der: Vec<u8>,
    tbs: Vec<u8>,
    serial: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_der: Vec<u8>,
    spki: Vec<u8>,
    subject: String,
    issuer: String,
    common_name: Option<String>,
    organisation_number: Option<String>,
    not_before_unix_s: i64,
    not_after_unix_s: i64,
    key_usage: Option<KeyUsage>,
    is_ca: bool,
    path_length: Option<u8>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    crl_urls: Vec<String>,
}

impl Certificate {
    /// Reads one DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge);
        }
        let parsed = x509_cert::Certificate::from_der(bytes)
            .map_err(|error| CertificateError::Malformed(error.to_string()))?;
        let raw = RawParts::read(bytes)?;
        let malformed = |error: der::Error| CertificateError::Malformed(error.to_string());
        let tbs = parsed.tbs_certificate();
        let key_usage =
            tbs.get_extension::<PkixKeyUsage>()
                .map_err(malformed)?
                .map(|(_, usage)| KeyUsage {
                    digital_signature: usage.digital_signature(),
                    non_repudiation: usage.non_repudiation(),
                    key_encipherment: usage.key_encipherment(),
                    data_encipherment: usage.data_encipherment(),
                    key_cert_sign: usage.key_cert_sign(),
                    crl_sign: usage.crl_sign(),
                });
        let basic = tbs
            .get_extension::<BasicConstraints>()
            .map_err(malformed)?
            .map(|(_, basic)| basic);
        let subject_key_id = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .map_err(malformed)?;
        let authority_key_id = tbs
            .get_extension::<AuthorityKeyIdentifier>()
            .map_err(malformed)?;
        let inner = Inner {
            tbs: raw.tbs.to_vec(),
            serial: raw.serial.to_vec(),
            issuer_der: raw.issuer.to_vec(),
            subject_der: raw.subject.to_vec(),
            spki: raw.spki.to_vec(),
            subject: tbs.subject().to_string(),
            issuer: tbs.issuer().to_string(),
            common_name: attribute(tbs.subject(), "2.5.4.3"),
            organisation_number: organisation_number(tbs.subject()),
            not_before_unix_s: unix_s(tbs.validity().not_before),
            not_after_unix_s: unix_s(tbs.validity().not_after),
            key_usage,
            is_ca: basic.as_ref().is_some_and(|basic| basic.ca),
            path_length: basic.and_then(|basic| basic.path_len_constraint),
            subject_key_id: subject_key_id.map(|(_, id)| id.0.as_bytes().to_vec()),
            authority_key_id: authority_key_id
                .and_then(|(_, id)| id.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            crl_urls: crl_urls(tbs),
            der: bytes.to_vec(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Reads the first `CERTIFICATE` block of a PEM text.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        Self::from_der(&pem::decode("CERTIFICATE", text)?)
    }

    /// The bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.inner.der
    }

    /// The bytes as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.inner.der)
    }

    /// Subject in RFC 4514 form.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.inner.subject
    }

    /// Issuer in RFC 4514 form.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// Common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.inner.common_name.as_deref()
    }

    /// Organisation number of the subject: `organizationIdentifier` (`NTRNO-…`, ETSI EN 319 412-1) or `serialNumber` of nine digits.
    /// The check digit is not verified here.
    #[must_use]
    pub fn organisation_number(&self) -> Option<&str> {
        self.inner.organisation_number.as_deref()
    }

    /// Serial number, big-endian, as encoded (a leading zero byte when the top bit is set).
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.inner.serial
    }

    /// Serial number in lower-case hexadecimal, as `openssl x509 -serial` shows it but for case.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        let start =
            usize::from(self.inner.serial.len() > 1 && self.inner.serial.first() == Some(&0));
        hex(self.inner.serial.get(start..).unwrap_or_default())
    }

    /// SHA-1 thumbprint in lower-case hexadecimal; a name for people and registers, not a security check.
    #[must_use]
    pub fn thumbprint_sha1(&self) -> String {
        hex(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            &self.inner.der,
        )
        .as_ref())
    }

    /// SHA-256 fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.inner.der);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        out
    }

    /// First second in which it is valid, since 1970.
    #[must_use]
    pub fn not_before_unix_s(&self) -> i64 {
        self.inner.not_before_unix_s
    }

    /// Last second in which it is valid, since 1970.
    #[must_use]
    pub fn not_after_unix_s(&self) -> i64 {
        self.inner.not_after_unix_s
    }

    /// The key-usage extension; `None` when absent, which allows every usage.
    #[must_use]
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.inner.key_usage
    }

    /// Whether it may issue certificates.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.inner.is_ca
    }

    /// Most intermediate certificates below this CA.
    #[must_use]
    pub fn path_length(&self) -> Option<u8> {
        self.inner.path_length
    }

    /// Subject key identifier.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.inner.subject_key_id.as_deref()
    }

    /// Where its issuer publishes revocations (http URLs).
    #[must_use]
    pub fn crl_urls(&self) -> &[String] {
        &self.inner.crl_urls
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_key_info(&self) -> &[u8] {
        &self.inner.spki
    }

    pub(crate) fn rsa_public_key(&self) -> Option<&[u8]> {
        PublicKey::read(&self.inner.spki)
            .filter(|key| key.is_rsa)
            .map(|key| key.bits)
    }

    pub(crate) fn issuer_der(&self) -> &[u8] {
        &self.inner.issuer_der
    }

    pub(crate) fn subject_der(&self) -> &[u8] {
        &self.inner.subject_der
    }

    /// Whether `issuer` carries the name and key id this certificate asks for and its key made the signature.
    pub(crate) fn is_issued_by(&self, issuer: &Self) -> bool {
        let names = self.inner.issuer_der == issuer.inner.subject_der;
        let ids = match (&self.inner.authority_key_id, &issuer.inner.subject_key_id) {
            (Some(wanted), Some(present)) => wanted == present,
            _ => true,
        };
        names && ids && self.signature_made_by(issuer)
    }

    fn signature_made_by(&self, issuer: &Self) -> bool {
        signed_by(&self.inner.der, &self.inner.tbs, issuer)
    }
}

/// Checks the outer signature of a certificate or CRL: `SEQUENCE { tbs, algorithm, BIT STRING }`.
pub(crate) fn signed_by(whole: &[u8], tbs: &[u8], issuer: &Certificate) -> bool {
    let parts = || -> Result<(AlgorithmId<'_>, &[u8]), Asn1Error> {
        let mut outer = Reader::new(whole).sequence("signed structure")?;
        outer.any()?;
        let algorithm = AlgorithmId::read(&mut outer, "signature algorithm")?;
        let bits = outer.expect(tag::BIT_STRING, "signature")?;
        Ok((algorithm, bits.content.get(1..).unwrap_or_default()))
    };
    parts().is_ok_and(|(algorithm, value)| {
        verify(algorithm, None, issuer.public_key_info(), tbs, value).is_ok()
    })
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.inner.der == other.inner.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Certificate({}, serial {})",
            self.inner.subject,
            self.serial_hex()
        )
    }
}

struct RawParts<'a> {
    tbs: &'a [u8],
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
}

impl<'a> RawParts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Asn1Error> {
        let mut outer = Reader::new(bytes).sequence("certificate")?;
        let tbs = outer.expect(tag::SEQUENCE, "tbsCertificate")?;
        let mut fields = tbs.inside();
        fields.optional(tag::context_constructed(0))?;
        let serial = fields.expect(tag::INTEGER, "serial number")?.content;
        fields.expect(tag::SEQUENCE, "signature algorithm")?;
        let issuer = fields.expect(tag::SEQUENCE, "issuer")?.whole;
        fields.expect(tag::SEQUENCE, "validity")?;
        let subject = fields.expect(tag::SEQUENCE, "subject")?.whole;
        let spki = fields.expect(tag::SEQUENCE, "subject public key")?.whole;
        Ok(Self {
            tbs: tbs.whole,
            serial,
            issuer,
            subject,
            spki,
        })
    }
}

fn unix_s(time: x509_cert::time::Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

fn attribute(name: &x509_cert::name::Name, dotted: &str) -> Option<String> {
    let wanted = der::oid::ObjectIdentifier::new(dotted).ok()?;
    let value = &name.iter().find(|attribute| attribute.oid == wanted)?.value;
    value
        .decode_as::<Utf8StringRef<'_>>()
        .map(|text| text.as_str().to_owned())
        .or_else(|_| {
            value
                .decode_as::<PrintableStringRef<'_>>()
                .map(|text| text.as_str().to_owned())
        })
        .ok()
}

fn organisation_number(subject: &x509_cert::name::Name) -> Option<String> {
    let nine_digits = |text: &str| {
        (text.len() == 9 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
    };
    attribute(subject, "2.5.4.97")
        .and_then(|id| id.strip_prefix("NTRNO-").and_then(nine_digits))
        .or_else(|| {
            attribute(subject, "2.5.4.5")
                .as_deref()
                .and_then(nine_digits)
        })
}

fn crl_urls(tbs: &x509_cert::TbsCertificate) -> Vec<String> {
    use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
    let Ok(Some((_, points))) = tbs.get_extension::<CrlDistributionPoints>() else {
        return Vec::new();
    };
    let names = points
        .0
        .into_iter()
        .filter_map(|point| match point.distribution_point {
            Some(DistributionPointName::FullName(names)) => Some(names),
            _ => None,
        });
    names
        .flatten()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(url) if url.as_str().starts_with("http") => {
                Some(url.as_str().to_owned())
            }
            _ => None,
        })
        .take(8)
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
