//! Measurements. Every figure is reported beside a raw loop of the same shape, made in the same run on the same machine:
//! only the share of that loop says anything.
//!
//! `store` measures the record store in this process, `registers` the person register; `persons`, `ar`, `fhir` and `helseid`
//! drive a running server over HTTP; `amqp` the message bus, `ebxml` the message handler. The load generator ([`load`]) is our own and deliberately thin: kept-alive sockets, one
//! request at a time on each, no client library.

pub mod amqp;
pub mod ar;
pub mod ebxml;
pub mod fhir;
pub mod helseid;
pub mod link;
pub mod load;
pub mod persons;
pub mod registers;
mod served;
pub mod store;

use clap::Subcommand;

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// Durable commits, point reads and recovery of the record store.
    Store(store::Options),
    /// The FHIR server over HTTP: read, create, search, $everything, transactions, growth.
    Fhir(fhir::Options),
    /// HelseID over HTTP: tokens, introspection, an API that checks token and proof; npm `oidc-provider` beside it.
    Helseid(helseid::Options),
    /// The person service over HTTP: look-ups with Bearer and DPoP, bulk, searches.
    Persons(persons::Options),
    /// The address register over HTTP: look-ups by HER-id over SOAP and REST.
    Ar(ar::Options),
    /// The message bus over AMQP: in and out, backlog, memory of links.
    Amqp(amqp::Options),
    /// The ebXML message handler over HTTP and mail: signed, encrypted, acknowledged.
    Ebxml(ebxml::Options),
    /// The person register at national size: import, look-ups, bulk, searches, a day's changes.
    Registers(registers::Options),
}

/// Measures. `server`: the `helsenav` program to start where one is needed.
///
/// # Errors
/// When the server cannot be started or answers wrongly.
pub fn run(bench: &Bench, server: Option<&std::path::Path>) -> anyhow::Result<()> {
    match bench {
        Bench::Store(options) => store::run(options),
        Bench::Fhir(options) => fhir::run(options, server),
        Bench::Helseid(options) => helseid::run(options, server),
        Bench::Persons(options) => persons::run(options),
        Bench::Ar(options) => ar::run(options),
        Bench::Amqp(options) => amqp::run(options),
        Bench::Ebxml(options) => ebxml::run(options),
        Bench::Registers(options) => registers::run(options),
    }
}

/// How this program is called for one measurement: the arguments up to its name, for a child process of the same kind.
fn own_arguments(measurement: &str) -> Vec<String> {
    let mut arguments: Vec<String> = std::env::args()
        .skip(1)
        .take_while(|a| a != measurement)
        .collect();
    arguments.push(measurement.to_owned());
    arguments
}
