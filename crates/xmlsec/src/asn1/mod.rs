//! A small reader and writer for ASN.1 in DER, and a normaliser from BER.
//!
//! CMS needs the exact bytes of its parts (what was signed, which issuer was named), and foreign tools
//! stream in BER; so this reader hands out slices instead of values. Only low tag numbers exist here, as in every
//! structure of the RFCs we implement.

mod ber;
mod read;
pub(crate) mod write;

pub use ber::to_der;
pub(crate) use read::{Reader, Tlv};

/// Universal tags used by the structures here (identifier octets, constructed bit included).
pub(crate) mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const ENUMERATED: u8 = 0x0a;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const BMP_STRING: u8 = 0x1e;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;

    /// `[n]` primitive (IMPLICIT over a primitive type).
    pub const fn context(n: u8) -> u8 {
        0x80 | n
    }

    /// `[n]` constructed (EXPLICIT, or IMPLICIT over a constructed type).
    pub const fn context_constructed(n: u8) -> u8 {
        0xa0 | n
    }
}

/// What a structure from the network may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest accepted input in bytes.
    pub max_bytes: usize,
    /// Deepest nesting of constructed values.
    pub max_depth: usize,
    /// Most values in one input.
    pub max_values: usize,
}

impl Default for Limits {
    /// 64 MiB (a 35 MB business message with its base64 and its envelope), 24 levels, 262 144 values
    /// (a stream of that size cut in pieces of 256 bytes).
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_depth: 24,
            max_values: 1 << 18,
        }
    }
}

/// Input that is not the ASN.1 expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Asn1Error {
    /// Offset in the (normalised) input, in bytes.
    pub at: usize,
    /// What was expected or wrong there.
    pub what: &'static str,
}

impl Asn1Error {
    pub(crate) fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}
