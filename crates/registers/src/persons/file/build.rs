//! Makes a read form. Rows are written as they come; indexes are gathered in memory and written at the end.
//!
//! What is in which index is decided here and nowhere else: an address above "unclassified", or of a person above it, is in
//! no address posting. Its row stands in one list of graded rows that says nothing about where; a search with a legal
//! basis looks through those rows one by one (spec/grunndata.md §3.7, rules 4 and 5; spec/privacy.md §7.5).

use super::index::{Lists, WordGatherer};
use super::{
    Checksum, HEADER_BYTES, Header, PIECE, ROW_ALIGN, ReadFile, SECTIONS, Section, Span, Stamp,
    checksum, mark, row_checksum,
};
use crate::kernel::period::Moment;
use crate::persons::codes::ProtectionLevel;
use crate::persons::row::{Row, tag};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A read form in the making. Dropped without [`Builder::finish`], it leaves nothing that could be taken for one.
pub struct Builder {
    out: BufWriter<File>,
    part: PathBuf,
    path: PathBuf,
    now: Moment,
    length: u64,
    offsets: Vec<u32>,
    numbers: Vec<(u64, u32)>,
    ids: Vec<(u64, u32)>,
    births: Vec<(u32, u32)>,
    names: WordGatherer,
    /// Words of texts seen before: names repeat.
    known: HashMap<String, Vec<u32>>,
    streets: WordGatherer,
    marks: Vec<(u32, u32)>,
    graded: Vec<u32>,
}

impl Builder {
    /// Begins a file that will stand at `path`. `now` decides what is current.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, now: Moment) -> io::Result<Self> {
        let part = path.with_extension("part");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        out.write_all(&[0; HEADER_BYTES])?;
        Ok(Self {
            out,
            part,
            path: path.to_owned(),
            now,
            length: 0,
            offsets: vec![0],
            numbers: Vec::new(),
            ids: Vec::new(),
            births: Vec::new(),
            names: WordGatherer::default(),
            known: HashMap::new(),
            streets: WordGatherer::default(),
            marks: Vec::new(),
            graded: Vec::new(),
        })
    }

    /// Makes room for as much as an earlier file has.
    pub fn expect(&mut self, earlier: &ReadFile) {
        fn room<T>(list: &mut Vec<T>, before: usize) {
            list.reserve_exact(before + before / 64);
        }
        room(&mut self.offsets, earlier.len() as usize);
        room(&mut self.numbers, earlier.number_count());
        room(&mut self.ids, earlier.len() as usize);
        room(&mut self.births, earlier.births.rows.len());
        room(&mut self.marks, earlier.marks.rows.len());
        self.names.expect(earlier.words.rows.len());
        self.streets.expect(earlier.streets.rows.len());
    }

    /// Number of rows so far, which is the number of the next row.
    #[must_use]
    pub fn rows(&self) -> u32 {
        u32::try_from(self.offsets.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Adds the next row.
    ///
    /// # Errors
    /// When the file cannot be written or would be too large.
    pub fn push(&mut self, row: Row<'_>) -> io::Result<()> {
        let number = self.rows();
        self.index(number, row);
        let bytes = row.bytes();
        self.out
            .write_all(&row_checksum_padded(bytes).to_le_bytes())?;
        self.out.write_all(bytes)?;
        let length = u64::try_from(bytes.len()).map_err(too_large)? + 4;
        let padded = length.next_multiple_of(ROW_ALIGN);
        self.out.write_all(
            [0u8; 4]
                .get(..usize::try_from(padded - length).unwrap_or(0))
                .unwrap_or_default(),
        )?;
        self.length += padded;
        self.offsets
            .push(u32::try_from(self.length / ROW_ALIGN).map_err(too_large)?);
        Ok(())
    }

    fn index(&mut self, number: u32, row: Row<'_>) {
        if let Some(id) = row.id() {
            add(&mut self.ids, (high_bits(id.0), number));
        }
        for held in row.identifiers() {
            add(&mut self.numbers, (held.value.number.0, number));
        }
        // A person merged into another is found by number and id, and by nothing else.
        if row.merged_into().is_some() {
            return;
        }
        for held in row.births() {
            add(&mut self.births, (held.value.key(), number));
        }
        for held in row.names() {
            let name = held.value;
            for text in [Some(name.given), name.middle, Some(name.family)]
                .into_iter()
                .flatten()
            {
                self.name(text, number);
            }
        }
        for held in row.status() {
            if mark::is_rare(held.value) {
                add(&mut self.marks, (mark::status(held.value), number));
            }
        }
        self.index_addresses(number, row);
    }

    fn name(&mut self, text: String, number: u32) {
        let names = &mut self.names;
        let places = self.known.entry(text).or_insert_with_key(|text| {
            let words = codes::fold::words(text);
            words.iter().map(|word| names.place(word)).collect()
        });
        for place in places.iter() {
            names.add(*place, number);
        }
    }

    fn index_addresses(&mut self, number: u32, row: Row<'_>) {
        let level = row.protection_at(self.now);
        let mut graded = false;
        for kind in [tag::RESIDENTIAL, tag::PRESENT, tag::SHARED] {
            for held in row.addresses(kind, self.now) {
                if level.max(held.value.grading) > ProtectionLevel::Unclassified {
                    graded = true;
                    continue;
                }
                let municipality = mark::municipality(held.value.municipality);
                let postcode = mark::postcode(held.value.postcode);
                let unit = held.value.basic_unit.map(mark::basic_unit);
                for mark in [Some(municipality), Some(postcode), unit]
                    .into_iter()
                    .flatten()
                {
                    add(&mut self.marks, (mark, number));
                }
                let street = crate::persons::search::rules::spaced(&held.value.street);
                if !street.is_empty() {
                    let place = self.streets.place(&street);
                    self.streets.add(place, number);
                }
            }
        }
        if graded {
            self.graded.push(number);
        }
    }

    /// Writes the indexes, flushes everything, writes the header and moves the file into place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self, stamp: Stamp) -> io::Result<()> {
        let entries = self.rows();
        let mut spans = Spans {
            at: HEADER_BYTES as u64 + self.length,
            spans: [Span::default(); SECTIONS],
        };
        spans.put(
            Section::Rows,
            Span {
                start: HEADER_BYTES as u64,
                length: self.length,
                checksum: 0,
            },
        );
        let out = &mut self.out;
        spans.u32s(out, Section::Offsets, &std::mem::take(&mut self.offsets))?;
        let numbers = sorted(std::mem::take(&mut self.numbers));
        spans.u64s(out, Section::NumberKeys, numbers.iter().map(|n| n.0))?;
        spans.numbers(out, Section::NumberRows, numbers.iter().map(|n| n.1))?;
        drop(numbers);
        let ids = sorted(std::mem::take(&mut self.ids));
        spans.u64s(out, Section::IdKeys, ids.iter().map(|n| n.0))?;
        spans.numbers(out, Section::IdRows, ids.iter().map(|n| n.1))?;
        drop(ids);
        let births = Lists::of(std::mem::take(&mut self.births));
        spans.u32s(out, Section::BirthKeys, &births.keys)?;
        spans.u32s(out, Section::BirthStarts, &births.starts)?;
        spans.u32s(out, Section::BirthRows, &births.rows)?;
        drop(births);
        drop(std::mem::take(&mut self.known));
        let words = std::mem::take(&mut self.names).finish();
        spans.bytes(out, Section::WordText, &words.text)?;
        spans.u32s(out, Section::WordEnds, &words.ends)?;
        spans.u32s(out, Section::WordStarts, &words.starts)?;
        spans.u32s(out, Section::WordRows, &words.rows)?;
        let words = std::mem::take(&mut self.streets).finish();
        spans.bytes(out, Section::StreetText, &words.text)?;
        spans.u32s(out, Section::StreetEnds, &words.ends)?;
        spans.u32s(out, Section::StreetStarts, &words.starts)?;
        spans.u32s(out, Section::StreetRows, &words.rows)?;
        let marks = Lists::of(std::mem::take(&mut self.marks));
        spans.u32s(out, Section::MarkKeys, &marks.keys)?;
        spans.u32s(out, Section::MarkStarts, &marks.starts)?;
        spans.u32s(out, Section::MarkRows, &marks.rows)?;
        spans.u32s(out, Section::Graded, &self.graded)?;
        self.out.flush()?;
        let file = self.out.get_ref();
        file.sync_data()?;
        let header = Header {
            stamp,
            entries,
            spans: spans.spans,
        };
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        std::fs::rename(&self.part, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        // Finished, it is not there any more; broken off, it is of no use.
        let _ = std::fs::remove_file(&self.part);
    }
}

/// Key of a public id in the index: its upper half.
pub(super) fn high_bits(id: u128) -> u64 {
    u64::try_from(id >> 64).unwrap_or(u64::MAX)
}

/// Checksum of a row as it is read back: with its padding.
fn row_checksum_padded(bytes: &[u8]) -> u32 {
    let padded = bytes.len().next_multiple_of(4);
    if padded == bytes.len() {
        return row_checksum(bytes);
    }
    let mut copy = Vec::with_capacity(padded);
    copy.extend_from_slice(bytes);
    copy.resize(padded, 0);
    row_checksum(&copy)
}

fn sorted(mut pairs: Vec<(u64, u32)>) -> Vec<(u64, u32)> {
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Adds to a long list, which grows by an eighth and not to twice its length.
pub(super) fn add<T>(list: &mut Vec<T>, one: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(1_024));
    }
    list.push(one);
}

fn too_large<E>(_: E) -> io::Error {
    io::Error::other("more rows than a read form holds")
}

struct Spans {
    at: u64,
    spans: [Span; SECTIONS],
}

impl Spans {
    fn put(&mut self, section: Section, span: Span) {
        if let Some(place) = self.spans.get_mut(section as usize) {
            *place = span;
        }
    }

    fn bytes(&mut self, out: &mut impl Write, section: Section, bytes: &[u8]) -> io::Result<()> {
        out.write_all(bytes)?;
        let length = u64::try_from(bytes.len()).map_err(too_large)?;
        let span = Span {
            start: self.at,
            length,
            checksum: checksum(bytes),
        };
        self.put(section, span);
        self.at += length;
        Ok(())
    }

    fn u32s(&mut self, out: &mut impl Write, section: Section, values: &[u32]) -> io::Result<()> {
        self.numbers(out, section, values.iter().copied())
    }

    fn numbers(
        &mut self,
        out: &mut impl Write,
        section: Section,
        values: impl ExactSizeIterator<Item = u32>,
    ) -> io::Result<()> {
        self.pieces(out, section, values.map(u32::to_le_bytes))
    }

    fn u64s(
        &mut self,
        out: &mut impl Write,
        section: Section,
        values: impl ExactSizeIterator<Item = u64>,
    ) -> io::Result<()> {
        self.pieces(out, section, values.map(u64::to_le_bytes))
    }

    fn pieces<const N: usize>(
        &mut self,
        out: &mut impl Write,
        section: Section,
        values: impl ExactSizeIterator<Item = [u8; N]>,
    ) -> io::Result<()> {
        let length = u64::try_from(values.len() * N).map_err(too_large)?;
        let mut sum = Checksum::of_length(length);
        let mut piece = Vec::with_capacity(PIECE);
        for value in values {
            piece.extend_from_slice(&value);
            if piece.len() >= PIECE {
                sum.add(&piece);
                out.write_all(&piece)?;
                piece.clear();
            }
        }
        sum.add(&piece);
        out.write_all(&piece)?;
        let span = Span {
            start: self.at,
            length,
            checksum: sum.value(),
        };
        self.put(section, span);
        self.at += length;
        Ok(())
    }
}
