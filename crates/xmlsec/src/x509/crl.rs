use std::collections::HashMap;
use std::fmt;

use super::certificate::{Certificate, CertificateError, signed_by};
use crate::asn1::{Reader, tag};
use crate::pem;

/// Largest accepted list: 32 MiB, about a million entries.
const MAX_CRL_BYTES: usize = 32 << 20;

/// A certificate revocation list whose signature has been checked against its issuer.
pub struct Crl {
    issuer_der: Vec<u8>,
    this_update_unix_s: i64,
    next_update_unix_s: Option<i64>,
    revoked: HashMap<Vec<u8>, i64>,
    der: Vec<u8>,
}

impl Crl {
    /// Reads a DER list and verifies that `issuer` signed it and may do so.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] for anything else than a list of this issuer.
    pub fn from_der(bytes: &[u8], issuer: &Certificate) -> Result<Self, CertificateError> {
        let malformed =
            |what: &str| CertificateError::Malformed(format!("revocation list: {what}"));
        if bytes.len() > MAX_CRL_BYTES {
            return Err(malformed("larger than 32 MiB"));
        }
        let mut outer = Reader::new(bytes).sequence("revocation list")?;
        let tbs = outer.expect(tag::SEQUENCE, "tbsCertList")?;
        let mut fields = tbs.inside();
        fields.optional(tag::INTEGER)?;
        fields.expect(tag::SEQUENCE, "signature algorithm")?;
        let named = fields.expect(tag::SEQUENCE, "issuer")?.whole;
        let this_update = time(&mut fields)?;
        let next_update = matches!(fields.peek(), Some(tag::UTC_TIME | tag::GENERALIZED_TIME))
            .then(|| time(&mut fields))
            .transpose()?;
        let mut revoked = HashMap::new();
        if let Some(list) = fields.optional(tag::SEQUENCE)? {
            let mut entries = list.inside();
            while !entries.is_empty() {
                let mut entry = entries.sequence("revoked certificate")?;
                let serial = entry
                    .expect(tag::INTEGER, "serial number")?
                    .content
                    .to_vec();
                revoked.insert(serial, time(&mut entry)?);
            }
        }
        if named != issuer.subject_der() {
            return Err(malformed("issued by another authority"));
        }
        if issuer.key_usage().is_some_and(|usage| !usage.crl_sign)
            || !signed_by(bytes, tbs.whole, issuer)
        {
            return Err(malformed("the signature is not the issuer's"));
        }
        Ok(Self {
            issuer_der: named.to_vec(),
            this_update_unix_s: this_update,
            next_update_unix_s: next_update,
            revoked,
            der: bytes.to_vec(),
        })
    }

    /// Reads an `X509 CRL` PEM block.
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn from_pem(text: &str, issuer: &Certificate) -> Result<Self, CertificateError> {
        Self::from_der(&pem::decode("X509 CRL", text)?, issuer)
    }

    /// The bytes, for publishing.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The bytes as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("X509 CRL", &self.der)
    }

    /// How many certificates it revokes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether it revokes none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// When the certificate was revoked (seconds since 1970), if it is of this issuer and on the list.
    #[must_use]
    pub fn revoked_at_unix_s(&self, certificate: &Certificate) -> Option<i64> {
        (certificate.issuer_der() == self.issuer_der)
            .then(|| self.revoked.get(certificate.serial()).copied())
            .flatten()
    }

    /// The same for a serial number of its issuer, as encoded.
    pub(crate) fn revoked_serial_at_unix_s(&self, serial: &[u8]) -> Option<i64> {
        self.revoked.get(serial).copied()
    }

    /// When it was issued, seconds since 1970.
    #[must_use]
    pub fn this_update_unix_s(&self) -> i64 {
        self.this_update_unix_s
    }

    /// Until when it counts, seconds since 1970; none: it does not say.
    #[must_use]
    pub fn next_update_unix_s(&self) -> Option<i64> {
        self.next_update_unix_s
    }

    pub(crate) fn same_issuer(&self, other: &Self) -> bool {
        self.issuer_der == other.issuer_der
    }

    pub(crate) fn covers(&self, certificate: &Certificate) -> bool {
        certificate.issuer_der() == self.issuer_der
    }

    /// Whether it counts at a moment.
    #[must_use]
    pub fn is_current(&self, at_unix_s: i64) -> bool {
        self.this_update_unix_s <= at_unix_s
            && self.next_update_unix_s.is_none_or(|next| at_unix_s <= next)
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Crl({} revoked, from {})",
            self.revoked.len(),
            self.this_update_unix_s
        )
    }
}

fn time(reader: &mut Reader<'_>) -> Result<i64, CertificateError> {
    use der::Decode as _;
    let tlv = reader.any()?;
    let time = x509_cert::time::Time::from_der(tlv.whole)
        .map_err(|error| CertificateError::Malformed(error.to_string()))?;
    Ok(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
}
