//! Identifiers, code systems and small reference tables of the Norwegian health sector.
//!
//! **What it is.** Values and tables that every other crate needs in order to read a message: person, organisation and
//! personnel identifiers with their check rules, the OIDs that name them, the national code lists that messages and
//! pages use, search folding of names, and our own tables of places and names.
//!
//! **What it deliberately does not know.** FHIR resources, message formats, storage, the network, the clock. Nothing
//! here looks anything up outside the program: a valid [`ident::Nin`] is well formed, not known to exist.
//!
//! **Read first.** [`ident::Nin`] (national identity numbers), [`ident::Orgnr`], [`lists::lookup`], [`oid`],
//! [`lab::analyte`], [`fold::fold`].
//!
//! **Invariants.** An identifier type can only be made through its `parse` (or its `nth`/`build` generator), so holding
//! one means that its rule was checked. `Debug` of a person identifier never prints the number. Tables are parsed once,
//! on first use; a malformed row would be skipped at run time, and the tests make sure that there is none.
//!
//! **Where the rules come from.** The national identifier rules (tax administration: 1964 control digits and the 2032
//! relaxation; D-number series extension of 2021; Felles hjelpenummer), the Brønnøysund modulus-11 rule for
//! organisation numbers, RFC 9562 for message ids, the Volven code lists named in each table's first line.

pub mod fold;
pub mod ident;
pub mod lab;
pub mod lists;
pub mod names;
pub mod oid;
pub mod places;
mod tsv;
