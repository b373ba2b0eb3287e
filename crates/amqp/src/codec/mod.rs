//! The type system (AMQP 1.0 part 1): values read where they lie, and written in their shortest form.
//!
//! Reading borrows and is lazy: a list, map or array is a count and its bytes until somebody asks for the elements, so what nobody asks
//! for is passed over by its size and costs nothing. Nothing is trusted: every size and count is held against the bytes that are there.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub(crate) use decode::{Fields, Items, Reader, Value};
pub(crate) use encode::{Encode, ListWriter};

/// Deepest nesting of described values.
const MAX_DEPTH: u8 = 16;
/// Most elements of an array whose elements take no bytes.
const MAX_EMPTY_ELEMENTS: u32 = 1024;

/// Why bytes are no value, or not the one that belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Fewer bytes than a size says.
    #[error("the bytes end inside a value")]
    Cut,
    /// A constructor that AMQP does not have.
    #[error("{0:#04x} is no constructor of AMQP")]
    Constructor(u8),
    /// Not UTF-8.
    #[error("a text that is not UTF-8")]
    Text,
    /// Not a Unicode scalar value.
    #[error("a character that Unicode does not have")]
    Char,
    /// More elements than bytes, or half an entry of a map.
    #[error("a count that does not fit its size")]
    Count,
    /// Descriptions of descriptions.
    #[error("values nested too deep")]
    Depth,
    /// Another type than the field has.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A mandatory field is null or left out.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A described value that does not belong here.
    #[error("an unknown kind of described value")]
    Descriptor,
}
