//! The stream's bytes: `"HELSENAV-BACKUP 1\n"`, then frames
//! `raw length u32 | packed length u32 | crc32c(packed) u32 | packed` (little-endian, packed = zstd of at most 1 MiB).
//! Unpacked and joined, frames hold the header (length u32 and JSON), the items ([`super::wire`]), and an end marker: tag 0
//! and JSON with the counts per kind and the SHA-256 of everything before it. A frame of raw length 0 ends the stream.

use super::mirror::{self, MirrorEntry};
use super::{Header, Item, ItemKind, Sink, Source, wire};
use crate::journal::chain::b64;
use crate::journal::crc32c;
use crate::{Commit, CommitError, Committed, RepoId, Seq, StoreError};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;

const MAGIC: &[u8; 18] = b"HELSENAV-BACKUP 1\n";
const FRAME_BYTES: usize = 1 << 20;
const MAX_HEADER_BYTES: u32 = 1 << 20;
const LEVEL: i32 = 3;

/// What a stream held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Its head.
    pub header: Header,
    /// The restored store's newest seq (after [`read`]), or the header's (after [`write`]).
    pub seq: Seq,
    /// Items per kind.
    pub counts: BTreeMap<ItemKind, u64>,
}

#[derive(Serialize, Deserialize)]
struct End {
    counts: BTreeMap<ItemKind, u64>,
    sha256: String,
}

pub(super) fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => cut(),
        io::ErrorKind::InvalidData => StoreError::Corrupt(format!("backup stream: {error}")),
        _ => StoreError::Unavailable(format!("backup stream: {error}")),
    }
}

pub(super) fn cut() -> StoreError {
    StoreError::Corrupt("backup stream: it ends too early".to_owned())
}

/// Writes a backup of one state of the store.
pub fn write(source: &dyn Source, out: &mut dyn Write) -> Result<Summary, StoreError> {
    let header = source.header()?;
    out.write_all(MAGIC).map_err(failed)?;
    let mut frames = FrameWriter {
        out,
        buffer: Vec::new(),
        digest: Context::new(&SHA256),
    };
    let head = serde_json::to_vec(&header)
        .map_err(|e| StoreError::Invalid(format!("backup: header: {e}")))?;
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    frames.write_all(&length.to_le_bytes()).map_err(failed)?;
    frames.write_all(&head).map_err(failed)?;
    let mut counts = BTreeMap::new();
    let mut last = ItemKind::Repository;
    source.items(&header, &mut |item| {
        let kind = item.kind();
        if kind < last {
            return Err(StoreError::Invalid(format!(
                "backup: {kind:?} after {last:?}"
            )));
        }
        last = kind;
        *counts.entry(kind).or_default() += 1;
        wire::write(&item, &mut frames)
    })?;
    let sha256 = b64(frames.digest.clone().finish().as_ref());
    let end = serde_json::to_vec(&End {
        counts: counts.clone(),
        sha256,
    })
    .map_err(|e| StoreError::Invalid(format!("backup: end: {e}")))?;
    let length = u32::try_from(end.len()).unwrap_or(u32::MAX);
    frames.write_all(&[0]).map_err(failed)?;
    frames.write_all(&length.to_le_bytes()).map_err(failed)?;
    frames.write_all(&end).map_err(failed)?;
    frames.finish().map_err(failed)?;
    Ok(Summary {
        seq: header.seq,
        header,
        counts,
    })
}

/// Restores a backup into an empty store. A store that is not empty, and a stream that is damaged or cut, are refused; the
/// store is empty then.
pub fn read(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<Summary, StoreError> {
    let (header, mut stream) = open(input)?;
    load(&mut stream, header, sink)
}

/// What became of purges and settings made after the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorOutcome {
    /// All of them are played again: this many commits.
    Replayed(u64),
    /// No second place is configured, nor was one when the backup was made: whether there were any is not known.
    NotConfigured,
    /// There were, or may have been; they are lost, and whoever restores has accepted it.
    Lost,
}

/// What to do when purges and settings made after the backup cannot be played again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostSettings {
    /// Restore nothing, and say so.
    Refuse,
    /// Restore without them.
    Accept,
}

/// A restored store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its newest place.
    pub seq: Seq,
    /// What became of purges and settings made after the backup.
    pub settings: MirrorOutcome,
}

/// What a store does to play mirror entries again.
pub trait Replay: Sink {
    /// Number of a repository in the restored store.
    fn repository(&self, name: &str) -> Option<RepoId>;
    /// Commits without mirroring (the entry stands in the mirror already).
    fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError>;
}

/// Restores a backup and then plays the mirror's newer entries again. The mirror is read before anything is written: when
/// it is not configured any more, damaged or lacks entries that the backup knows of, nothing happens and
/// [`StoreError::SettingsLost`] says so, unless the loss is accepted (which is then logged).
///
/// When the backup was made without a mirror, entries with a later commit time are played; whether some are missing
/// cannot be known then. The engine goes on numbering after [`mirror::Mirror::last`] and the backup's number.
pub fn restore(
    input: &mut dyn Read,
    store: &mut dyn Replay,
    mirror: Option<&Path>,
    lost: LostSettings,
) -> Result<(Summary, MirrorOutcome), StoreError> {
    let (header, mut stream) = open(input)?;
    let had_mirror = header.mirror.is_some();
    let newer = match newer(&header, mirror) {
        Ok(newer) => newer,
        Err(StoreError::SettingsLost(_)) if lost == LostSettings::Accept => None,
        Err(error) => return Err(error),
    };
    let summary = load(&mut stream, header, store)?;
    let Some(entries) = newer else {
        tracing::warn!(
            "restored without a mirror: purges and settings made after the backup are lost"
        );
        return Ok((
            summary,
            match had_mirror || mirror.is_some() {
                true => MirrorOutcome::Lost,
                false => MirrorOutcome::NotConfigured,
            },
        ));
    };
    let count = entries.len() as u64;
    for entry in &entries {
        replay(store, entry)?;
    }
    tracing::info!(
        count,
        "purges and settings made after the backup were played again"
    );
    Ok((summary, MirrorOutcome::Replayed(count)))
}

/// The mirror's entries that the backup does not hold; `None` without a mirror then and now.
fn newer(header: &Header, mirror: Option<&Path>) -> Result<Option<Vec<MirrorEntry>>, StoreError> {
    let Some(folder) = mirror else {
        return match header.mirror {
            None => Ok(None),
            Some(_) => Err(StoreError::SettingsLost(
                "the backup was made with a mirror, and none is configured here".to_owned(),
            )),
        };
    };
    let after = header.mirror.unwrap_or(0);
    let mut entries = match mirror::read_after(folder, after) {
        Ok(entries) => entries,
        Err(StoreError::Corrupt(what) | StoreError::Unavailable(what)) => {
            return Err(StoreError::SettingsLost(what));
        }
        Err(error) => return Err(error),
    };
    if header.mirror.is_none() {
        entries.retain(|e| e.at > header.at);
    }
    Ok(Some(entries))
}

fn replay(store: &mut dyn Replay, entry: &MirrorEntry) -> Result<(), StoreError> {
    let commits = entry.to_commits(&|name| store.repository(name))?;
    for commit in commits {
        // Deleting or erasing what the backup never held is nothing to do.
        let may_be_moot = commit.put.iter().all(|p| p.op == crate::Op::Delete);
        match store.commit(commit) {
            Ok(_) => {}
            Err(CommitError::Refused { .. } | CommitError::Invalid(_)) if may_be_moot => {}
            Err(e) => {
                return Err(StoreError::Unavailable(format!(
                    "mirror entry {}: {e}",
                    entry.n
                )));
            }
        }
    }
    Ok(())
}

fn open(input: &mut dyn Read) -> Result<(Header, FrameReader<'_>), StoreError> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).map_err(failed)?;
    if magic != *MAGIC {
        let text = "not a Helsenav backup of format 1".to_owned();
        return Err(StoreError::Invalid(text));
    }
    let mut stream = FrameReader {
        input,
        frame: Vec::new(),
        at: 0,
        ended: false,
        digest: Context::new(&SHA256),
    };
    let length = u32::from_le_bytes(wire::array(&mut stream)?);
    if length > MAX_HEADER_BYTES {
        return Err(StoreError::Corrupt("backup stream: header".to_owned()));
    }
    let head = wire::bytes(&mut stream, u64::from(length))?;
    let header = serde_json::from_slice(&head)
        .map_err(|_| StoreError::Corrupt("backup stream: header".to_owned()))?;
    Ok((header, stream))
}

fn load<S: Sink + ?Sized>(
    stream: &mut FrameReader<'_>,
    header: Header,
    sink: &mut S,
) -> Result<Summary, StoreError> {
    if !sink.is_empty()? {
        return Err(StoreError::Invalid(
            "a backup is restored into an empty store only".to_owned(),
        ));
    }
    let loaded = sink
        .begin(&header)
        .and_then(|()| load_items(stream, &mut |item| sink.item(item)))
        .and_then(|counts| Ok((counts, sink.finish()?)));
    match loaded {
        Ok((counts, seq)) => Ok(Summary {
            header,
            seq,
            counts,
        }),
        Err(error) => {
            sink.abort();
            Err(error)
        }
    }
}

fn load_items(
    stream: &mut FrameReader<'_>,
    take: &mut dyn FnMut(Item) -> Result<(), StoreError>,
) -> Result<BTreeMap<ItemKind, u64>, StoreError> {
    let mut counts: BTreeMap<ItemKind, u64> = BTreeMap::new();
    let mut last = ItemKind::Repository;
    loop {
        let sha256 = b64(stream.digest.clone().finish().as_ref());
        let [tag] = wire::array(stream)?;
        if tag == 0 {
            let length = u32::from_le_bytes(wire::array(stream)?);
            if length > MAX_HEADER_BYTES {
                return Err(cut());
            }
            let end = wire::bytes(stream, u64::from(length))?;
            let end: End = serde_json::from_slice(&end).map_err(|_| cut())?;
            let mut more = [0];
            let rest = stream.read(&mut more).map_err(failed)?;
            if rest != 0 || !stream.ended || end.counts != counts || end.sha256 != sha256 {
                let text = "backup stream: its end does not agree with its content".to_owned();
                return Err(StoreError::Corrupt(text));
            }
            return Ok(counts);
        }
        let item = wire::read(tag, stream)?;
        let kind = item.kind();
        if kind < last {
            let text = format!("backup stream: {kind:?} after {last:?}");
            return Err(StoreError::Corrupt(text));
        }
        last = kind;
        *counts.entry(kind).or_default() += 1;
        take(item)?;
    }
}

struct FrameWriter<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    digest: Context,
}

impl FrameWriter<'_> {
    fn frame(&mut self) -> io::Result<()> {
        let packed = zstd::bulk::compress(&self.buffer, LEVEL)?;
        let lengths = [self.buffer.len(), packed.len()];
        for length in lengths {
            let length = u32::try_from(length).map_err(io::Error::other)?;
            self.out.write_all(&length.to_le_bytes())?;
        }
        self.out.write_all(&crc32c(&packed).to_le_bytes())?;
        self.out.write_all(&packed)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.frame()?;
        }
        self.out.write_all(&[0; 12])?;
        self.out.flush()
    }
}

impl Write for FrameWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FRAME_BYTES.saturating_sub(self.buffer.len());
        let (now, _) = bytes.split_at(room.min(bytes.len()));
        self.digest.update(now);
        self.buffer.extend_from_slice(now);
        if self.buffer.len() >= FRAME_BYTES {
            self.frame()?;
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct FrameReader<'a> {
    input: &'a mut dyn Read,
    frame: Vec<u8>,
    at: usize,
    ended: bool,
    digest: Context,
}

impl FrameReader<'_> {
    fn next_frame(&mut self) -> io::Result<()> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a frame is damaged");
        let mut word = || -> io::Result<u32> {
            let mut bytes = [0; 4];
            self.input.read_exact(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes))
        };
        let (raw, packed, check) = (word()?, word()?, word()?);
        if raw == 0 {
            self.ended = true;
            return if packed == 0 && check == 0 {
                Ok(())
            } else {
                Err(wrong())
            };
        }
        let raw = usize::try_from(raw)
            .ok()
            .filter(|n| *n <= FRAME_BYTES)
            .ok_or_else(wrong)?;
        if u64::from(packed) > 2 * FRAME_BYTES as u64 {
            return Err(wrong());
        }
        let mut bytes = Vec::new();
        let read = (&mut *self.input)
            .take(u64::from(packed))
            .read_to_end(&mut bytes)?;
        if read as u64 != u64::from(packed) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if crc32c(&bytes) != check {
            return Err(wrong());
        }
        self.frame = zstd::bulk::decompress(&bytes, raw).map_err(|_| wrong())?;
        self.at = 0;
        if self.frame.len() == raw {
            Ok(())
        } else {
            Err(wrong())
        }
    }
}

impl Read for FrameReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.frame.len() && !self.ended && !out.is_empty() {
            self.next_frame()?;
        }
        let left = self
            .frame
            .get(self.at..)
            .filter(|_| !self.ended)
            .unwrap_or_default();
        let n = left.len().min(out.len());
        for (to, from) in out.iter_mut().zip(left) {
            *to = *from;
        }
        if let Some(read) = left.get(..n) {
            self.digest.update(read);
        }
        self.at += n;
        Ok(n)
    }
}
