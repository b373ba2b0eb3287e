//! SOAP 1.1 and 1.2 with WS-Addressing 1.0 and HTTP Basic, as the national registers speak it (spec/grunndata.md §1).
//!
//! A service is a [`Contract`] (what it takes and gives, in a compact text) and a [`Service`] (a function from a read
//! request to a value). From the contract requests are read, answers are written and the description (`?wsdl`) is served,
//! so the three cannot differ. It deliberately knows no register.
//!
//! Read first: [`contract`], [`serve::Host`], [`value::Object`], [`fault::Fault`].
//!
//! Invariants: a document type or an entity is refused, depth, size, nodes and list lengths are bounded; elements are
//! written in the order of the contract, all of them; a fault's text holds no value from the request (tests in `tests`).

pub mod contract;
pub mod fault;
pub mod lexical;
mod mtom;
pub mod read;
pub mod serve;
#[cfg(test)]
mod tests;
pub mod users;
pub mod value;
pub mod write;
pub mod wsdl;

pub use contract::Contract;
pub use fault::Fault;
pub use lexical::DateTime;
pub use read::{RequestLimits, Version};
pub use serve::{Call, Host, Mount, Reply, Service};
pub use users::{User, Users};
pub use value::{Object, Value};
pub use wsdl::Ports;
