//! The address register (Adresseregisteret): communication parties with addresses, certificates and validity, on the
//! register kernel.
//!
//! Level 1 is an organisation; services and persons stand below it and inherit its addresses and certificates where they
//! have none of their own. A HER-id leads to one party for ever; a party that ends keeps its row with a closed period.
//!
//! Read first: [`record::PartyRecord`], [`rules`], [`register::Parties`]. Rules: spec/grunndata.md §7, spec/messaging.md §8.

pub mod record;
pub mod register;
pub mod rules;
pub mod search;

pub use record::{
    CertificateLine, CertificateUse, ElectronicAddress, PartyEvent, PartyEventKind, PartyRecord,
    PhysicalAddress,
};
pub use register::Parties;

#[cfg(test)]
mod tests;
