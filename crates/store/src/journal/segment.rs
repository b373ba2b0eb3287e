//! Segment files: where entries wait, durable, until the sealer takes them. The files are [`super::groups`] whose series
//! is the segment's number.

use super::groups::{self, Cursor};
use super::{Appended, MAX_ENTRY_BYTES};
use crate::{AuditEntry, PersonKey, PersonRef};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

const FORMAT: u8 = 1;

/// Name of a segment file.
pub(super) fn file_name(number: u64) -> String {
    format!("segment-{number:016x}.jnl")
}

/// Number in the name of a segment file.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let hex = name.strip_prefix("segment-")?.strip_suffix(".jnl")?;
    (hex.len() == 16)
        .then(|| u64::from_str_radix(hex, 16).ok())
        .flatten()
}

/// A segment being written.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    number: u64,
    group: u64,
    bytes: u64,
}

impl Writer {
    /// Makes the file, and makes its name durable.
    pub(super) fn create(folder: &Path, number: u64, sync: bool) -> io::Result<Self> {
        let path = folder.join(file_name(number));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        if sync {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self {
            file,
            number,
            group: 0,
            bytes: 0,
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes one group; not durable before [`Writer::sync`].
    pub(super) fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let group = groups::frame(self.number, self.group, payload)?;
        self.file.write_all(&group)?;
        self.group += 1;
        self.bytes += group.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// What a segment file held.
#[derive(Debug, PartialEq)]
pub(super) struct Contents {
    /// Its entries.
    pub(super) entries: Vec<Appended>,
    /// Whether bytes of an unfinished flush followed.
    pub(super) torn: bool,
}

/// Reads a segment. `Err` = damage; says where.
pub(super) fn read(bytes: &[u8], segment: u64) -> Result<Contents, String> {
    let groups = groups::read(bytes, segment)?;
    let mut entries = Vec::new();
    for (number, payload) in groups.payloads.iter().enumerate() {
        let mut cursor = Cursor(payload);
        while !cursor.0.is_empty() {
            let entry = decode(&mut cursor)
                .ok_or_else(|| format!("group {number} holds an unknown entry"))?;
            entries.push(entry);
        }
    }
    Ok(Contents {
        entries,
        torn: groups.torn,
    })
}

/// Appends the binary form of an entry.
pub(super) fn encode(appended: &Appended, out: &mut Vec<u8>) {
    let entry = &appended.entry;
    out.push(FORMAT);
    out.extend_from_slice(entry.id.as_bytes());
    out.extend_from_slice(&appended.recorded_at.to_le_bytes());
    out.extend_from_slice(&entry.occurred_at.to_le_bytes());
    out.push(u8::from(entry.imported) | u8::from(entry.citizen_visible) << 1);
    put_bytes(out, entry.controller.as_bytes());
    put_len(out, entry.persons.len());
    for person in &entry.persons {
        match person {
            PersonRef::Key(key) => {
                out.push(0);
                out.extend_from_slice(&key.0.to_le_bytes());
            }
            PersonRef::Id { system, value } => {
                out.push(1);
                put_bytes(out, system.as_bytes());
                put_bytes(out, value.as_bytes());
            }
        }
    }
    put_len(out, entry.members.len());
    for (name, value) in &entry.members {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.to_string().as_bytes());
    }
}

fn put_len(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn decode(cursor: &mut Cursor<'_>) -> Option<Appended> {
    if cursor.u8()? != FORMAT {
        return None;
    }
    let id = uuid::Uuid::from_slice(cursor.take(16)?).ok()?;
    let recorded_at = i64::from_le_bytes(cursor.array()?);
    let occurred_at = i64::from_le_bytes(cursor.array()?);
    let flags = cursor.u8()?;
    let controller = text(cursor)?;
    let mut persons = Vec::new();
    for _ in 0..count(cursor)? {
        persons.push(match cursor.u8()? {
            0 => PersonRef::Key(PersonKey(cursor.u64()?)),
            1 => PersonRef::Id {
                system: text(cursor)?,
                value: text(cursor)?,
            },
            _ => return None,
        });
    }
    let mut members = BTreeMap::new();
    for _ in 0..count(cursor)? {
        let name = text(cursor)?;
        let length = count(cursor)?;
        members.insert(name, serde_json::from_slice(cursor.take(length)?).ok()?);
    }
    let entry = AuditEntry {
        id,
        persons,
        controller,
        occurred_at,
        imported: flags & 1 == 1,
        citizen_visible: flags & 2 == 2,
        members,
    };
    Some(Appended { entry, recorded_at })
}

fn count(cursor: &mut Cursor<'_>) -> Option<usize> {
    cursor.count(MAX_ENTRY_BYTES)
}

fn text(cursor: &mut Cursor<'_>) -> Option<String> {
    let n = count(cursor)?;
    String::from_utf8(cursor.take(n)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sample(n: u128) -> Appended {
        Appended {
            entry: AuditEntry {
                id: uuid::Uuid::from_u128(n),
                persons: vec![PersonRef::id("urn:s", "1"), PersonRef::Key(PersonKey(9))],
                controller: "PPS".to_owned(),
                occurred_at: -5,
                imported: true,
                citizen_visible: n.is_multiple_of(2),
                members: BTreeMap::from([("a".to_owned(), json!({"x": [1, "å"]}))]),
            },
            recorded_at: 17,
        }
    }

    fn file(groups: &[&[u128]]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (i, group) in groups.iter().enumerate() {
            let mut payload = Vec::new();
            group.iter().for_each(|n| encode(&sample(*n), &mut payload));
            bytes.extend(groups::frame(3, i as u64, &payload).unwrap());
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn names() {
        assert_eq!(number_of(&file_name(77)), Some(77));
        assert_eq!(number_of("segment-7.jnl"), None);
        assert_eq!(number_of("journal.db"), None);
    }

    #[test]
    fn every_cut_leaves_whole_groups() {
        let (bytes, ends) = file(&[&[1, 2], &[3], &[4, 5, 6]]);
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|e| **e <= cut).count();
            let expected: Vec<Appended> = (1..=[0, 2, 3, 6][whole])
                .map(|n| sample(n as u128))
                .collect();
            let contents = read(&bytes[..cut], 3).unwrap();
            assert_eq!(contents.entries, expected);
            assert_eq!(contents.torn, cut != 0 && !ends.contains(&cut));
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let (bytes, ends) = file(&[&[1], &[2]]);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            if at < ends[0] {
                assert!(read(&damaged, 3).is_err(), "byte {at}");
            } else {
                let contents = read(&damaged, 3).unwrap();
                assert!(contents.torn && contents.entries.len() == 1);
            }
        }
        assert!(
            read(&bytes, 4).unwrap().entries.is_empty(),
            "a segment of another number"
        );
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, 3);
            let _ = decode(&mut Cursor(&bytes));
            if let Ok(framed) = groups::frame(3, 0, &bytes) {
                let _ = read(&framed, 3);
            }
        }

        #[test]
        fn what_was_written_is_read(n in any::<u128>(), name in ".{0,20}", text in ".*", key in any::<u64>()) {
            let mut a = sample(n);
            a.entry.members.insert(name, json!(text));
            a.entry.persons.push(PersonRef::Key(PersonKey(key)));
            let mut payload = Vec::new();
            encode(&a, &mut payload);
            let bytes = groups::frame(1, 0, &payload).unwrap();
            prop_assert_eq!(read(&bytes, 1).unwrap().entries, vec![a]);
        }
    }
}
