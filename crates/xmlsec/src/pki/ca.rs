use aws_lc_rs::signature::EcdsaKeyPair;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, RsaKeySize, SanType,
    SerialNumber, date_time_ymd,
};

use crate::asn1::{tag, write};
use crate::key::{Identity, KeyError, PrivateKey};
use crate::oid;
use crate::x509::{Certificate, CertificateError, Crl};

/// `authorityInfoAccess` and `id-pkix-ocsp-nocheck`.
const AUTHORITY_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP_NO_CHECK: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

/// Why the authority could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// The certificate library refused.
    #[error("the certificate could not be made: {0}")]
    Making(String),
    /// A certificate that cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The stored key is not that of the stored certificate.
    #[error("the authority's key does not belong to its certificate")]
    Mismatch,
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Making(error.to_string())
    }
}

/// When a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before_unix_s: i64,
    /// Last second.
    pub not_after_unix_s: i64,
}

impl Validity {
    /// From `before` days before `now_unix_s` to `after` days after it.
    #[must_use]
    pub fn days_around(now_unix_s: i64, before: i64, after: i64) -> Self {
        Self {
            not_before_unix_s: now_unix_s - before * 86_400,
            not_after_unix_s: now_unix_s + after * 86_400,
        }
    }
}

/// What an organisation certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Key usage nonRepudiation (and nothing else, as the national profile has it).
    Signing,
    /// Key usage keyEncipherment and dataEncipherment.
    Encryption,
}

/// The holder of an organisation certificate.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Name, as CN and O.
    pub name: &'a str,
    /// Nine digits.
    pub organisation_number: &'a str,
}

/// A revoked certificate on a list.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// The certificate.
    pub certificate: Certificate,
    /// When, in seconds since 1970.
    pub at_unix_s: i64,
}

/// A fresh RSA-2048 key. Making one takes a good part of a second: make many in parallel.
pub struct RsaKey(KeyPair);

impl RsaKey {
    /// Makes one.
    ///
    /// # Errors
    /// [`PkiError::Making`].
    pub fn generate() -> Result<Self, PkiError> {
        Ok(Self(KeyPair::generate_rsa_for(
            &rcgen::PKCS_RSA_SHA256,
            RsaKeySize::_2048,
        )?))
    }
}

/// Key and chain for a TLS listener.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    /// The server's certificate, then the authority's, as PEM.
    pub chain_pem: String,
    /// PKCS #8 as PEM.
    pub key_pem: String,
}

/// The authority. Usable from several threads at once.
pub struct DemoCa {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    key_pem: String,
    places: Places,
}

/// Where an authority can be asked about its certificates: named in every certificate that it issues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// URL of the revocation list.
    pub crl: Option<String>,
    /// URL of the OCSP responder.
    pub ocsp: Option<String>,
    /// URL of the authority's own certificate.
    pub authority: Option<String>,
}

impl DemoCa {
    /// Makes a new authority with this common name, valid for twenty years.
    ///
    /// # Errors
    /// [`PkiError::Making`].
    pub fn new(name: &str, now_unix_s: i64) -> Result<Self, PkiError> {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let mut params = authority_params(name);
        set_validity(
            &mut params,
            Validity::days_around(now_unix_s, 365, 20 * 365),
        );
        params.serial_number = Some(random_serial()?);
        let certificate = Certificate::from_der(params.self_signed(&key)?.der())?;
        let key_pem = key.serialize_pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            key_pem,
            places: Places::default(),
        })
    }

    /// Takes up an authority made earlier by [`Self::new`].
    ///
    /// # Errors
    /// [`PkiError`] when certificate and key are not such a pair.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let certificate = Certificate::from_pem(certificate_pem)?;
        Identity::new(certificate.clone(), PrivateKey::from_pem(key_pem)?)
            .map_err(|_| PkiError::Mismatch)?;
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key_pem, &rcgen::PKCS_RSA_SHA256)?;
        let params = authority_params(certificate.common_name().unwrap_or_default());
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            key_pem: key_pem.to_owned(),
            places: Places::default(),
        })
    }

    /// Names these places in every certificate issued from now on.
    #[must_use]
    pub fn with_places(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The authority's key as PEM, to be stored guarded.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Issues an organisation certificate for `key`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn issue_organisation(
        &self,
        key: &RsaKey,
        holder: Names<'_>,
        purpose: Purpose,
        validity: Validity,
    ) -> Result<Identity, PkiError> {
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "NO");
        name.push(DnType::OrganizationName, holder.name);
        name.push(
            DnType::CustomDnType(vec![2, 5, 4, 97]),
            format!("NTRNO-{}", holder.organisation_number),
        );
        name.push(DnType::CommonName, holder.name);
        name.push(
            DnType::CustomDnType(vec![2, 5, 4, 5]),
            holder.organisation_number,
        );
        params.distinguished_name = name;
        params.key_usages = match purpose {
            Purpose::Signing => vec![KeyUsagePurpose::ContentCommitment],
            Purpose::Encryption => vec![
                KeyUsagePurpose::KeyEncipherment,
                KeyUsagePurpose::DataEncipherment,
            ],
        };
        let certificate = self.issue(params, &key.0, validity)?;
        Ok(Identity::new(
            certificate,
            PrivateKey::from_pkcs8_der(key.0.serialized_der())?,
        )?)
    }

    /// Issues a server certificate (ECDSA P-256) for host names and addresses.
    ///
    /// # Errors
    /// [`PkiError::Making`], such as for a host name that is not ASCII.
    pub fn issue_server(
        &self,
        hosts: &[&str],
        validity: Validity,
    ) -> Result<TlsIdentity, PkiError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(
            DnType::CommonName,
            hosts.first().copied().unwrap_or("localhost"),
        );
        params.distinguished_name = name;
        for host in hosts {
            params.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*host).try_into()?),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = self.issue(params, &key, validity)?;
        Ok(TlsIdentity {
            chain_pem: certificate.to_pem() + &self.certificate.to_pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Issues the certificate of an OCSP responder (ECDSA P-256): for nothing else, and not itself to be asked about (RFC 6960 §4.2.2.2).
    ///
    /// # Errors
    /// [`PkiError::Making`].
    pub fn issue_responder(
        &self,
        validity: Validity,
    ) -> Result<(Certificate, EcdsaKeyPair), PkiError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "OCSP responder");
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            OCSP_NO_CHECK,
            write::null(),
        )];
        let certificate = self.issue(params, &key, validity)?;
        let signing = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(signing, key.serialized_der())
            .map_err(|error| PkiError::Making(error.to_string()))?;
        Ok((certificate, key))
    }

    /// Makes a revocation list, valid until `next_update_unix_s`. `number` grows from list to list.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn crl(
        &self,
        revoked: &[Revoked],
        number: u64,
        this_update_unix_s: i64,
        next_update_unix_s: i64,
    ) -> Result<Crl, PkiError> {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(this_update_unix_s),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(next_update_unix_s),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|entry| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(entry.certificate.serial()),
                    revocation_time: date_time_ymd(1970, 1, 1) + since_1970(entry.at_unix_s),
                    reason_code: Some(RevocationReason::KeyCompromise),
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer)?;
        Ok(Crl::from_der(list.der(), &self.certificate)?)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        key: &KeyPair,
        validity: Validity,
    ) -> Result<Certificate, PkiError> {
        set_validity(&mut params, validity);
        params.serial_number = Some(random_serial()?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        if let Some(url) = &self.places.crl {
            params.crl_distribution_points = vec![CrlDistributionPoint {
                uris: vec![url.clone()],
            }];
        }
        params
            .custom_extensions
            .extend(authority_access(&self.places));
        Ok(Certificate::from_der(
            params.signed_by(key, &self.issuer)?.der(),
        )?)
    }
}

/// Authority information access (RFC 5280 §4.2.2.1): the responder, and the authority's certificate.
fn authority_access(places: &Places) -> Option<CustomExtension> {
    const URI: u8 = 6;
    let of = |method: &[u8], url: &Option<String>| {
        url.as_ref().map_or_else(Vec::new, |url| {
            let place = write::tlv(tag::context(URI), url.as_bytes());
            write::sequence(&[&write::oid(method), &place])
        })
    };
    let content = [
        of(oid::AD_OCSP, &places.ocsp),
        of(oid::AD_CA_ISSUERS, &places.authority),
    ]
    .concat();
    (!content.is_empty()).then(|| {
        CustomExtension::from_oid_content(AUTHORITY_ACCESS, write::tlv(tag::SEQUENCE, &content))
    })
}

/// The same parameters every time, so that a loaded authority signs under the same name and key id.
fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CountryName, "NO");
    distinguished.push(DnType::OrganizationName, "Helsenav demo");
    distinguished.push(DnType::CommonName, name);
    params.distinguished_name = distinguished;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(validity.not_before_unix_s);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(validity.not_after_unix_s);
}

/// rcgen speaks another time library; its epoch plus a duration avoids naming it.
fn since_1970(unix_s: i64) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(unix_s).unwrap_or_default())
}

fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PkiError::Making("no randomness".to_owned()))?;
    // Positive and of full length (RFC 5280 §4.1.2.2).
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
