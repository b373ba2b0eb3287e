//! An open read form.

use super::build::high_bits;
use super::index::{Group, Lists, Numbers, Words};
use super::{
    Checksum, FileError, HEADER_BYTES, Header, PIECE, ROW_ALIGN, ROW_HEAD, Section, Stamp,
    row_checksum,
};
use crate::kernel::identifiers::Packed;
use crate::kernel::{EntryId, EntryNo};
use crate::persons::row::{MAX_ROW_BYTES, Row};
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A row of usual length is read onto the stack.
const USUAL_ROW: usize = 1_024;

/// An open read form. Reads take no lock.
pub struct ReadFile {
    indexes: Arc<Indexes>,
    resident: OnceLock<Vec<u8>>,
}

/// What is in memory of a read form whether its rows are or not.
pub struct Indexes {
    file: File,
    stamp: Stamp,
    entries: u32,
    rows_start: u64,
    rows_length: u64,
    offsets: Vec<u32>,
    numbers: Numbers,
    ids: Numbers,
    /// Birth dates ([`crate::persons::document::Birth::key`]) to rows.
    pub births: Lists,
    /// Folded words of names to rows.
    pub words: Words,
    /// Folded street names to rows; unclassified addresses only.
    pub streets: Words,
    /// Other marks of rows ([`super::mark`]); of addresses, unclassified ones only.
    pub marks: Lists,
    /// Rows with an address that is in no posting.
    pub graded: Vec<u32>,
}

impl ReadFile {
    /// Opens a file and reads its indexes.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be used.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path)?;
        let mut head = vec![0; HEADER_BYTES];
        file.read_exact_at(&mut head, 0)
            .map_err(|_| FileError::Unfit("the header is cut short"))?;
        let header = Header::decode(&head)?;
        let length = file.metadata()?.len();
        if header
            .spans
            .iter()
            .any(|s| s.start.saturating_add(s.length) > length)
        {
            return Err(FileError::Unfit("it is cut short"));
        }
        let sections = Sections {
            file: &file,
            header: &header,
        };
        let offsets = sections.u32s(Section::Offsets)?;
        let rows = header.span(Section::Rows);
        let consistent = offsets.len() == header.entries as usize + 1
            && offsets.is_sorted()
            && offsets.last().map(|end| u64::from(*end) * ROW_ALIGN) == Some(rows.length);
        if !consistent {
            return Err(FileError::Unfit("its rows do not add up"));
        }
        let indexes = Indexes {
            stamp: header.stamp,
            entries: header.entries,
            rows_start: rows.start,
            rows_length: rows.length,
            offsets,
            numbers: Numbers::new(
                sections.u64s(Section::NumberKeys)?,
                sections.u32s(Section::NumberRows)?,
                Group::Digits,
            ),
            ids: Numbers::new(
                sections.u64s(Section::IdKeys)?,
                sections.u32s(Section::IdRows)?,
                Group::HighBits,
            ),
            births: Lists {
                keys: sections.u32s(Section::BirthKeys)?,
                starts: sections.u32s(Section::BirthStarts)?,
                rows: sections.u32s(Section::BirthRows)?,
            },
            words: Words {
                text: sections.bytes(Section::WordText)?,
                ends: sections.u32s(Section::WordEnds)?,
                starts: sections.u32s(Section::WordStarts)?,
                rows: sections.u32s(Section::WordRows)?,
            },
            streets: Words {
                text: sections.bytes(Section::StreetText)?,
                ends: sections.u32s(Section::StreetEnds)?,
                starts: sections.u32s(Section::StreetStarts)?,
                rows: sections.u32s(Section::StreetRows)?,
            },
            marks: Lists {
                keys: sections.u32s(Section::MarkKeys)?,
                starts: sections.u32s(Section::MarkStarts)?,
                rows: sections.u32s(Section::MarkRows)?,
            },
            graded: sections.u32s(Section::Graded)?,
            file,
        };
        Ok(Self {
            indexes: Arc::new(indexes),
            resident: OnceLock::new(),
        })
    }

    /// The same file with its rows on disk only.
    #[must_use]
    pub fn without_rows(&self) -> Self {
        Self {
            indexes: Arc::clone(&self.indexes),
            resident: OnceLock::new(),
        }
    }

    /// Whether the rows are in memory.
    #[must_use]
    pub fn is_resident(&self) -> bool {
        self.resident.get().is_some()
    }

    /// What it was made from.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.entries
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Number of identifiers.
    #[must_use]
    pub fn number_count(&self) -> usize {
        self.numbers.len()
    }

    /// Length of all rows, bytes.
    #[must_use]
    pub fn rows_bytes(&self) -> u64 {
        self.rows_length
    }

    /// Reads all rows into memory: look-ups then need no call to the system. Call from a background thread; reads go on
    /// meanwhile. Costs [`ReadFile::rows_bytes`] of memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn make_resident(&self) -> Result<(), FileError> {
        if self.resident.get().is_none() {
            let length = usize::try_from(self.rows_length)
                .map_err(|_| FileError::Unfit("it is larger than memory"))?;
            let mut rows = vec![0; length];
            self.file.read_exact_at(&mut rows, self.rows_start)?;
            // Another thread may have been faster.
            let _ = self.resident.set(rows);
        }
        Ok(())
    }

    /// Hands a row to `read`; `None` when there is no such row.
    ///
    /// # Errors
    /// When the row is damaged or cannot be read.
    pub fn with<R>(
        &self,
        no: EntryNo,
        read: impl FnOnce(Row<'_>) -> R,
    ) -> Result<Option<R>, FileError> {
        let at = no.0 as usize;
        let Some((from, to)) = self.offsets.get(at).zip(self.offsets.get(at + 1)) else {
            return Ok(None);
        };
        let start = u64::from(*from) * ROW_ALIGN;
        let length = usize::try_from(u64::from(to - from) * ROW_ALIGN)
            .ok()
            .filter(|n| *n <= MAX_ROW_BYTES + 64)
            .ok_or(FileError::Damaged { row: no.0 })?;
        if let Some(rows) = self.resident.get() {
            let start = usize::try_from(start).map_err(|_| FileError::Damaged { row: no.0 })?;
            let bytes = rows.get(start..start + length).unwrap_or_default();
            return checked(no, bytes, read);
        }
        let mut usual = [0u8; USUAL_ROW];
        let mut long = Vec::new();
        let bytes = match usual.get_mut(..length) {
            Some(bytes) => bytes,
            None => {
                long.resize(length, 0);
                &mut long[..]
            }
        };
        self.file.read_exact_at(bytes, self.rows_start + start)?;
        checked(no, bytes, read)
    }

    /// Rows that have or had the identifier.
    #[must_use]
    pub fn by_number(&self, number: Packed) -> &[u32] {
        self.numbers.rows(number.0)
    }

    /// The row of a public id.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn by_id(&self, id: EntryId) -> Result<Option<EntryNo>, FileError> {
        // The upper half of a random id is nearly always enough; the row itself decides.
        for row in self.ids.rows(high_bits(id.0)) {
            if self.with(EntryNo(*row), |r| r.id())?.flatten() == Some(id) {
                return Ok(Some(EntryNo(*row)));
            }
        }
        Ok(None)
    }
}

impl Deref for ReadFile {
    type Target = Indexes;

    fn deref(&self) -> &Indexes {
        &self.indexes
    }
}

fn checked<R>(
    no: EntryNo,
    bytes: &[u8],
    read: impl FnOnce(Row<'_>) -> R,
) -> Result<Option<R>, FileError> {
    match bytes.split_first_chunk::<ROW_HEAD>() {
        Some((sum, row)) if row_checksum(row) == u32::from_le_bytes(*sum) => {
            Ok(Some(read(Row::new(row))))
        }
        _ => Err(FileError::Damaged { row: no.0 }),
    }
}

struct Sections<'a> {
    file: &'a File,
    header: &'a Header,
}

impl Sections<'_> {
    fn bytes(&self, section: Section) -> Result<Vec<u8>, FileError> {
        let mut all = Vec::with_capacity(self.length(section)?);
        self.pieces(section, |piece| all.extend_from_slice(piece))?;
        Ok(all)
    }

    fn u32s(&self, section: Section) -> Result<Vec<u32>, FileError> {
        let mut all = Vec::with_capacity(self.length(section)? / 4);
        self.pieces(section, |piece| {
            let values = piece.as_chunks::<4>().0.iter();
            all.extend(values.map(|b| u32::from_le_bytes(*b)));
        })?;
        Ok(all)
    }

    fn u64s(&self, section: Section) -> Result<Vec<u64>, FileError> {
        let mut all = Vec::with_capacity(self.length(section)? / 8);
        self.pieces(section, |piece| {
            let values = piece.as_chunks::<8>().0.iter();
            all.extend(values.map(|b| u64::from_le_bytes(*b)));
        })?;
        Ok(all)
    }

    fn length(&self, section: Section) -> Result<usize, FileError> {
        usize::try_from(self.header.span(section).length)
            .map_err(|_| FileError::Unfit("it is larger than memory"))
    }

    /// Hands on the bytes of a section piece by piece; in the end, whether they are what was written.
    fn pieces(&self, section: Section, mut take: impl FnMut(&[u8])) -> Result<(), FileError> {
        let span = self.header.span(section);
        let mut sum = Checksum::of_length(span.length);
        let mut piece = vec![0; PIECE];
        let (mut at, mut left) = (span.start, self.length(section)?);
        while left > 0 {
            let length = left.min(PIECE);
            let bytes = piece.get_mut(..length).unwrap_or_default();
            self.file.read_exact_at(bytes, at)?;
            sum.add(bytes);
            take(bytes);
            at += length as u64;
            left -= length;
        }
        if sum.value() == span.checksum {
            Ok(())
        } else {
            Err(FileError::Unfit("an index is damaged"))
        }
    }
}
