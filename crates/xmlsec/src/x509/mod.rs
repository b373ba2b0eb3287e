//! Certificates: what stands in them, and whether to trust them.

mod certificate;
mod crl;
mod trust;

pub(crate) use certificate::hex;
pub use certificate::{Certificate, CertificateError, KeyUsage};
pub use crl::Crl;
pub use trust::{CertificateFault, CertificateFaults, RevocationPolicy, TrustStore, Usage};
