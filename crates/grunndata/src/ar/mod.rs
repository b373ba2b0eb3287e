//! The address register on the wire: SOAP `ICommunicationPartyService` in its generations of 2016 and 2025, the export,
//! and the CommunicationParty REST API.
//!
//! Data controller: the operator of the hub; everybody who may log in may read, parties are changed by their own
//! organisation. It deliberately knows nothing of how parties are kept (`registers::parties`).
//!
//! Read first: [`AddressRegister`], [`view`], [`service`]. Rules: spec/grunndata.md §1, §7; spec/messaging.md §8, §11.3.

mod certificates;
mod codes;
pub mod json;
mod packed;
mod reads;
mod ready;
pub mod rest;
mod search;
pub mod service;
mod slim;
mod statistics;
pub mod view;
mod writes;

pub use writes::with_queues;

use edge::soap::{DateTime, Fault};
use registers::Directory;
use registers::kernel::period::Moment;
use registers::organisations::Businesses;
use registers::organisations::resh::Resh;
use registers::parties::register::Held;
use registers::parties::{Parties, PartyRecord};
use std::sync::Arc;

/// In which form a party is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SOAP as described in 2016.
    Soap2016,
    /// SOAP as described in 2025.
    Soap2025,
    /// JSON.
    Rest,
}

/// Now on the clock of rules, microseconds since 1970 UTC.
pub type NowFn = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Where queues and certificates are said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Host of the bus, as addresses name it.
    pub bus_host: String,
    /// Namespace of the bus.
    pub bus_namespace: String,
    /// Host of the certificate directory.
    pub ldap_host: String,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            bus_host: "localhost".to_owned(),
            bus_namespace: "Helsenav".to_owned(),
            ldap_host: "ldap.helsenav.test".to_owned(),
        }
    }
}

/// What the edges of the address register stand on.
pub struct AddressRegister {
    /// The register.
    pub parties: Arc<Parties>,
    /// Organisations, for names and numbers of new parties.
    pub businesses: Arc<Businesses>,
    /// Units of the specialist health service.
    pub resh: Arc<Resh>,
    /// Personnel.
    pub directory: Arc<dyn Directory>,
    /// The clock of rules.
    pub now: NowFn,
    /// Hosts.
    pub places: Places,
}

impl AddressRegister {
    pub(crate) fn moment(&self) -> Moment {
        Moment((self.now)().div_euclid(1_000))
    }

    pub(crate) fn get(&self, her_id: i64) -> Result<Held, Fault> {
        u32::try_from(her_id)
            .ok()
            .and_then(|her_id| self.parties.get(her_id))
            .ok_or_else(unknown_her_id)
    }

    pub(crate) fn parent(&self, party: &PartyRecord) -> Option<Held> {
        self.parties.parent(party)
    }
}

/// The fault that clients compare with, to the letter (spec/grunndata.md §1).
pub(crate) fn unknown_her_id() -> Fault {
    Fault::generic(
        "InvalidHerIdSupplied",
        "Kommunikasjonspart med oppgitt HER-id eksisterer ikke.",
    )
}

/// Text of a code, when it is known.
pub(crate) fn code_text(list: u32, value: &str) -> Option<&'static str> {
    codes::text(list, value)
}

/// A moment on the wire.
pub(crate) fn time(at: Moment) -> DateTime {
    DateTime::of_instant(at.timestamp())
}

#[cfg(test)]
mod tests;
