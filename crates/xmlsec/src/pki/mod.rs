//! The demonstration certificate authority with its OCSP responder, and PKCS #12 files to carry keys.
//!
//! For demos and tests only: its root is trusted by nobody else, and its key lies beside the data.

mod ca;
pub mod ocsp;
pub mod pkcs12;

pub use ca::{DemoCa, Names, PkiError, Places, Purpose, Revoked, RsaKey, TlsIdentity, Validity};
