use std::fmt;
use std::sync::Arc;

use super::certificate::Certificate;
use super::crl::Crl;

/// Longest chain from a certificate to a root, both counted.
const MAX_CHAIN: usize = 6;

/// What a certificate is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A message signature: key usage nonRepudiation.
    MessageSignature,
    /// Receiving encrypted messages: keyEncipherment (the norm's text says dataEncipherment; either will do).
    MessageEncryption,
    /// Anything.
    Any,
}

/// Whether a certificate counts when no current revocation list covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationPolicy {
    /// Unknown is a fault.
    Required,
    /// Unknown passes: for sandboxes without a reachable list.
    WhenKnown,
}

/// One thing wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// After its last day.
    #[error("it expired at {not_after_unix_s} (Unix time)")]
    Expired {
        /// Last second of validity since 1970.
        not_after_unix_s: i64,
    },
    /// Before its first day.
    #[error("it is not valid before {not_before_unix_s} (Unix time)")]
    NotYetValid {
        /// First second of validity since 1970.
        not_before_unix_s: i64,
    },
    /// The key usage does not allow it.
    #[error("its key usage does not include {needed}")]
    WrongUsage {
        /// Name of the key usage of RFC 5280.
        needed: &'static str,
    },
    /// No chain to a trusted authority.
    #[error("its issuer ({issuer}) is not trusted here")]
    UntrustedIssuer {
        /// Issuer as named in the certificate.
        issuer: String,
    },
    /// On a revocation list.
    #[error("it was revoked at {revoked_at_unix_s} (Unix time)")]
    Revoked {
        /// Revocation time in seconds since 1970.
        revoked_at_unix_s: i64,
    },
    /// No current revocation list covers it.
    #[error("no current revocation list of its issuer is available")]
    RevocationUnknown,
}

/// All faults of one certificate; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFaults(Vec<CertificateFault>);

impl CertificateFaults {
    /// The faults, in the order checked.
    #[must_use]
    pub fn all(&self) -> &[CertificateFault] {
        &self.0
    }

    /// The error condition of the AMQP profile (spec messaging §4.5): several faults are `invalid-certificate`.
    #[must_use]
    pub fn condition(&self) -> &'static str {
        match self.0.as_slice() {
            [CertificateFault::Expired { .. } | CertificateFault::NotYetValid { .. }] => {
                "transport:expired-certificate"
            }
            [CertificateFault::Revoked { .. } | CertificateFault::RevocationUnknown] => {
                "transport:revoked-certificate"
            }
            _ => "transport:invalid-certificate",
        }
    }

    /// Only the revocation status could not be found out: trying again later may help.
    #[must_use]
    pub fn is_only_revocation_unknown(&self) -> bool {
        self.0 == [CertificateFault::RevocationUnknown]
    }
}

impl fmt::Display for CertificateFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CertificateFaults {}

/// Trusted roots and the revocation lists known for their certificates. Clones share the lists.
#[derive(Debug, Clone, Default)]
pub struct TrustStore {
    roots: Vec<Certificate>,
    crls: Vec<Arc<Crl>>,
}

impl TrustStore {
    /// Trusts these authorities and nothing else.
    #[must_use]
    pub fn new(roots: Vec<Certificate>) -> Self {
        Self {
            roots,
            crls: Vec::new(),
        }
    }

    /// The trusted authorities.
    #[must_use]
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// Trusts one more authority.
    pub fn add_root(&mut self, root: Certificate) {
        if !self.roots.contains(&root) {
            self.roots.push(root);
        }
    }

    /// Adds a revocation list, replacing an older one of the same issuer.
    pub fn add_crl(&mut self, crl: impl Into<Arc<Crl>>) {
        let crl = crl.into();
        self.crls.retain(|known| !crl.same_issuer(known));
        self.crls.push(crl);
    }

    /// When a certificate was revoked (seconds since 1970), by the lists known here.
    #[must_use]
    pub fn revoked_at_unix_s(&self, certificate: &Certificate) -> Option<i64> {
        self.crls
            .iter()
            .find_map(|crl| crl.revoked_at_unix_s(certificate))
    }

    /// Checks validity, usage, chain and revocation at a moment; `intermediates` are the certificates that came along.
    ///
    /// # Errors
    /// All faults found.
    pub fn check(
        &self,
        certificate: &Certificate,
        usage: Usage,
        intermediates: &[Certificate],
        at_unix_s: i64,
        revocation: RevocationPolicy,
    ) -> Result<(), CertificateFaults> {
        let mut faults = Vec::new();
        faults.extend(validity_fault(certificate, at_unix_s));
        faults.extend(usage_fault(certificate, usage));
        match self.chain(certificate, intermediates, at_unix_s) {
            None => faults.push(CertificateFault::UntrustedIssuer {
                issuer: certificate.issuer().to_owned(),
            }),
            Some(chain) => faults.extend(
                chain
                    .iter()
                    .find_map(|link| self.revocation_fault(link, at_unix_s, revocation)),
            ),
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(CertificateFaults(faults))
        }
    }

    /// The certificates from this one up to, but without, a trusted root.
    fn chain(
        &self,
        certificate: &Certificate,
        intermediates: &[Certificate],
        at_unix_s: i64,
    ) -> Option<Vec<Certificate>> {
        if self.roots.contains(certificate) {
            return Some(Vec::new());
        }
        let mut chain = vec![certificate.clone()];
        while chain.len() < MAX_CHAIN {
            let last = chain.last()?;
            let below = chain.len() - 1;
            let may_issue = |issuer: &&Certificate| {
                issuer.is_ca()
                    && issuer.key_usage().is_none_or(|usage| usage.key_cert_sign)
                    && issuer
                        .path_length()
                        .is_none_or(|most| usize::from(most) >= below)
                    && validity_fault(issuer, at_unix_s).is_none()
                    && last.is_issued_by(issuer)
            };
            if self.roots.iter().any(|root| may_issue(&root)) {
                return Some(chain);
            }
            let next = intermediates
                .iter()
                .filter(|candidate| !chain.contains(candidate))
                .find(may_issue)?
                .clone();
            chain.push(next);
        }
        None
    }

    fn revocation_fault(
        &self,
        certificate: &Certificate,
        at_unix_s: i64,
        policy: RevocationPolicy,
    ) -> Option<CertificateFault> {
        if let Some(revoked_at_unix_s) = self.revoked_at_unix_s(certificate) {
            return Some(CertificateFault::Revoked { revoked_at_unix_s });
        }
        let known = self
            .crls
            .iter()
            .any(|crl| crl.covers(certificate) && crl.is_current(at_unix_s));
        (policy == RevocationPolicy::Required && !known)
            .then_some(CertificateFault::RevocationUnknown)
    }
}

fn validity_fault(certificate: &Certificate, at_unix_s: i64) -> Option<CertificateFault> {
    let (not_before_unix_s, not_after_unix_s) = (
        certificate.not_before_unix_s(),
        certificate.not_after_unix_s(),
    );
    if at_unix_s < not_before_unix_s {
        Some(CertificateFault::NotYetValid { not_before_unix_s })
    } else if at_unix_s > not_after_unix_s {
        Some(CertificateFault::Expired { not_after_unix_s })
    } else {
        None
    }
}

fn usage_fault(certificate: &Certificate, usage: Usage) -> Option<CertificateFault> {
    let present = certificate.key_usage()?;
    let (allowed, needed) = match usage {
        Usage::MessageSignature => (present.non_repudiation, "nonRepudiation"),
        Usage::MessageEncryption => (
            present.key_encipherment || present.data_encipherment,
            "keyEncipherment",
        ),
        Usage::Any => (true, ""),
    };
    (!allowed).then_some(CertificateFault::WrongUsage { needed })
}
