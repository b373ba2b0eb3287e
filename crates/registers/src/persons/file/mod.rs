//! The read form on disk: compact rows and the indexes over them, made from the log and makeable again at any time.
//!
//! ```text
//! header 4096 bytes | rows | offsets | identifiers | ids | births | name words | streets | marks | graded
//! ```
//!
//! Row number = entry number. Rows stay in the file and are read from there (or from memory, when they were made
//! resident); the indexes are read into memory at opening. A file is written beside the old one, flushed, given its header
//! last, and moved into place: a torn one has no valid header. Every section and every row has a checksum.
//!
//! Deterministic: the same entries give the same bytes.

pub mod build;
pub mod index;
pub mod read;

pub use build::Builder;
pub use read::ReadFile;

use super::row::In;
use crate::kernel::kept::{Checksum, checksum};
use std::io;

const MAGIC: &[u8; 8] = b"HNPERSON";
const HEADER_BYTES: usize = 4_096;
/// Version of the file's form; together with [`super::row::FORM`] it decides whether a file can be read.
const FORM: u32 = 1;
/// Rows begin at multiples of this, so that 32 bits are enough for 16 GiB of rows.
const ROW_ALIGN: u64 = 4;
/// Sections are written and read in pieces of so many bytes: a second copy of a whole one would be a tenth of a gigabyte.
const PIECE: usize = 64 << 10;
/// Before a row: its checksum.
const ROW_HEAD: usize = 4;

/// Keys of the list of marks: each kind of mark has a range of its own.
pub mod mark {
    use crate::persons::codes::PersonStatus;

    /// Lives in this municipality.
    #[must_use]
    pub fn municipality(number: u16) -> u32 {
        number.into()
    }

    /// Lives under this postcode.
    #[must_use]
    pub fn postcode(code: u16) -> u32 {
        100_000 + u32::from(code)
    }

    /// Lives in this basic statistical unit (eight digits).
    #[must_use]
    pub fn basic_unit(unit: u32) -> u32 {
        1_000_000_000 + unit.min(99_999_999)
    }

    /// Has this status; only for those that are rare.
    #[must_use]
    pub fn status(status: PersonStatus) -> u32 {
        200_000 + u32::from(status.code())
    }

    /// Most persons are resident or dead: a list of them would be longer than useful.
    #[must_use]
    pub fn is_rare(status: PersonStatus) -> bool {
        !matches!(status, PersonStatus::Resident | PersonStatus::Deceased)
    }
}

/// Which state of which store a file was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Incarnation of the store.
    pub incarnation: u128,
    /// Place in the feed up to which everything is in the file.
    pub seq: u64,
    /// Number of the last event then.
    pub events: u64,
}

/// Why a file cannot be used. It is made again then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Not there, or not readable.
    #[error("read form: {0}")]
    Io(#[from] io::Error),
    /// Another program's, another form's, or torn.
    #[error("read form: {0}")]
    Unfit(&'static str),
    /// A row does not match its checksum.
    #[error("read form: row {row} is damaged")]
    Damaged {
        /// Its number.
        row: u32,
    },
}

/// Where the sections are, in order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Section {
    Rows,
    Offsets,
    NumberKeys,
    NumberRows,
    IdKeys,
    IdRows,
    BirthKeys,
    BirthStarts,
    BirthRows,
    WordText,
    WordEnds,
    WordStarts,
    WordRows,
    StreetText,
    StreetEnds,
    StreetStarts,
    StreetRows,
    MarkKeys,
    MarkStarts,
    MarkRows,
    Graded,
}

const SECTIONS: usize = 21;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u64,
    length: u64,
    checksum: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    stamp: Stamp,
    entries: u32,
    spans: [Span; SECTIONS],
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORM.to_le_bytes());
        bytes.extend_from_slice(&super::row::FORM.to_le_bytes());
        bytes.extend_from_slice(&self.stamp.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.stamp.seq.to_le_bytes());
        bytes.extend_from_slice(&self.stamp.events.to_le_bytes());
        bytes.extend_from_slice(&self.entries.to_le_bytes());
        for span in &self.spans {
            for value in [span.start, span.length, span.checksum] {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        bytes.resize(HEADER_BYTES - 8, 0);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let cut = FileError::Unfit("the header is cut short");
        let Some((content, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(cut);
        };
        let mut input = In::new(content);
        if input.take(8) != Some(MAGIC) {
            return Err(FileError::Unfit("no header: it was not finished"));
        }
        if checksum(content) != u64::from_le_bytes(*sum) {
            return Err(FileError::Unfit("the header is damaged"));
        }
        fn fixed<const N: usize>(input: &mut In<'_>) -> Result<[u8; N], FileError> {
            input
                .take(N)
                .and_then(|b| b.first_chunk::<N>().copied())
                .ok_or(FileError::Unfit("the header is cut short"))
        }
        let forms = (
            u32::from_le_bytes(fixed(&mut input)?),
            u32::from_le_bytes(fixed(&mut input)?),
        );
        if forms != (FORM, super::row::FORM) {
            return Err(FileError::Unfit("it was made by another version"));
        }
        let stamp = Stamp {
            incarnation: u128::from_le_bytes(fixed(&mut input)?),
            seq: u64::from_le_bytes(fixed(&mut input)?),
            events: u64::from_le_bytes(fixed(&mut input)?),
        };
        let entries = u32::from_le_bytes(fixed(&mut input)?);
        let mut spans = [Span::default(); SECTIONS];
        for span in &mut spans {
            *span = Span {
                start: u64::from_le_bytes(fixed(&mut input)?),
                length: u64::from_le_bytes(fixed(&mut input)?),
                checksum: u64::from_le_bytes(fixed(&mut input)?),
            };
        }
        Ok(Self {
            stamp,
            entries,
            spans,
        })
    }

    fn span(&self, section: Section) -> Span {
        self.spans
            .get(section as usize)
            .copied()
            .unwrap_or_default()
    }
}

/// The half of it that stands before a row.
fn row_checksum(bytes: &[u8]) -> u32 {
    let sum = checksum(bytes);
    let [a, b, c, d, e, f, g, h] = sum.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}

#[cfg(test)]
mod tests;
