//! The demonstration certificate authority, and PKCS #12 files to carry keys.
//!
//! For demos and tests only: its root is trusted by nobody else, and its key lies beside the data.

mod ca;
pub mod pkcs12;

pub use ca::{DemoCa, Names, PkiError, Purpose, Revoked, RsaKey, TlsIdentity, Validity};
