//! Waiting messages, headers and payload, in files beside the log.
//!
//! Most messages are taken within moments. In a table a message would be written three times: into the write-ahead log,
//! back into the table, and over with zeros when it is taken. Here it is appended once to a *segment*, flushed before the
//! commit whose row names its [`Place`], and a segment that nothing waits in any more is removed as a whole. At a place
//! stand the length of the headers (four bytes, big-endian), the headers, the payload.
//!
//! Invariants: a row never names a place that is not durable; what no row names is erased within [`ERASE_AFTER`] and a
//! tick of the janitor, or when the store is opened again; nothing is erased while somebody who began to read rows
//! earlier may still read a place of theirs ([`Bodies::reading`]).

use super::shared::locked;
use crate::StoreError;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// Messages from this size on stand here; smaller ones stay in their row.
pub(super) const FROM_BYTES: usize = 1 << 10;
/// Before the headers: their length.
const PREFIX: usize = 4;
/// A segment is not begun anew before it has this length.
const SEGMENT_BYTES: u32 = 64 << 20;
/// What was taken is erased after this time, if its segment still holds others.
const ERASE_AFTER: Duration = Duration::from_secs(2);
/// Bytes of messages kept in memory because they came just now.
const RECENT_BYTES: usize = 32 << 20;
/// Messages written with one call, three slices each: the system takes 1 024.
const MESSAGES_AT_ONCE: usize = 300;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    segment: u32,
    offset: u32,
    pub(super) len: u32,
}

impl Place {
    /// As rows have it.
    pub(super) fn pack(self) -> [u8; 12] {
        let mut out = [0; 12];
        let (fields, _) = out.as_chunks_mut::<4>();
        for (to, from) in fields.iter_mut().zip([self.segment, self.offset, self.len]) {
            *to = from.to_be_bytes();
        }
        out
    }

    pub(super) fn unpack(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.as_chunks::<4>() {
            ([segment, offset, len], []) => Ok(Self {
                segment: u32::from_be_bytes(*segment),
                offset: u32::from_be_bytes(*offset),
                len: u32::from_be_bytes(*len),
            }),
            _ => Err(super::codec::damaged("place of a message")),
        }
    }

    fn end(self) -> u32 {
        self.offset.saturating_add(self.len)
    }
}

/// Messages of a batch on their way into the segments.
#[derive(Default)]
pub(super) struct Fresh {
    messages: Vec<Message>,
}

struct Message {
    id: u64,
    place: Place,
    /// Length of the headers.
    prefix: [u8; PREFIX],
    headers: Bytes,
    body: Bytes,
}

struct Segment {
    file: Arc<File>,
    len: u32,
    /// Messages that rows name.
    live: usize,
    /// Stretches that no row names any more, not erased yet; and since when.
    dead: Vec<(u32, u32)>,
    dead_since: Option<Instant>,
}

#[derive(Default)]
struct State {
    segments: BTreeMap<u32, Segment>,
    /// The one that is being written.
    current: Option<u32>,
    next: u32,
    recent: Recent,
}

/// Messages that came just now.
#[derive(Default)]
struct Recent {
    by_id: HashMap<u64, (Bytes, Bytes)>,
    order: VecDeque<u64>,
    bytes: usize,
}

/// The segments of a store.
pub(super) struct Bodies {
    folder: PathBuf,
    sync: bool,
    state: Mutex<State>,
    readers: RwLock<()>,
}

/// As long as it lives, nothing is erased that rows named when it was made.
pub(super) struct Reading<'a> {
    bodies: &'a Bodies,
    _held: RwLockReadGuard<'a, ()>,
}

fn failed(what: &str, e: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("waiting messages: {what}: {e}"))
}

impl Bodies {
    /// Opens the folder, made when absent. `named`: every place that a row names, sorted. Segments that no row names go.
    pub(super) fn open(folder: &Path, sync: bool, named: &[Place]) -> Result<Self, StoreError> {
        let cannot =
            |e: std::io::Error| StoreError::CannotOpen(format!("{}: {e}", folder.display()));
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let mut state = State::default();
        for entry in std::fs::read_dir(folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(number_of) else {
                continue;
            };
            state.next = state.next.max(number.saturating_add(1));
            let from = named.partition_point(|p| p.segment < number);
            let to = named.partition_point(|p| p.segment <= number);
            let named = named.get(from..to).unwrap_or_default();
            if named.is_empty() {
                std::fs::remove_file(entry.path()).map_err(cannot)?;
                continue;
            }
            let file = File::options()
                .read(true)
                .write(true)
                .open(entry.path())
                .map_err(cannot)?;
            let len = u32::try_from(file.metadata().map_err(cannot)?.len()).unwrap_or(u32::MAX);
            let dead = gaps(named, len);
            let segment = Segment {
                file: Arc::new(file),
                len,
                live: named.len(),
                dead_since: (!dead.is_empty()).then(Instant::now),
                dead,
            };
            state.segments.insert(number, segment);
        }
        Ok(Self {
            folder: folder.to_owned(),
            sync,
            state: Mutex::new(state),
            readers: RwLock::default(),
        })
    }

    /// To be made before the rows are looked at.
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading {
            bodies: self,
            _held: self.readers.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Gives a message its place; it stands there when [`Self::write`] has come back.
    pub(super) fn place(
        &self,
        fresh: &mut Fresh,
        id: u64,
        headers: &Bytes,
        body: &Bytes,
    ) -> Result<Place, StoreError> {
        let too_large = |_| StoreError::Invalid("a message of more than 4 GiB".to_owned());
        let len = u32::try_from(PREFIX + headers.len() + body.len()).map_err(too_large)?;
        let prefix = u32::try_from(headers.len()).map_err(too_large)?;
        let state = &mut *locked(&self.state);
        let full = |s: &Segment| s.len >= SEGMENT_BYTES;
        let current = state
            .current
            .filter(|n| state.segments.get(n).is_some_and(|s| !full(s)));
        let number = match current {
            Some(number) => number,
            None => self.begin(state)?,
        };
        let Some(segment) = state.segments.get_mut(&number) else {
            return Err(StoreError::Corrupt("a segment is missing".to_owned()));
        };
        let place = Place {
            segment: number,
            offset: segment.len,
            len,
        };
        segment.len = segment.len.saturating_add(len);
        segment.live += 1;
        fresh.messages.push(Message {
            id,
            place,
            prefix: prefix.to_be_bytes(),
            headers: headers.clone(),
            body: body.clone(),
        });
        Ok(place)
    }

    fn begin(&self, state: &mut State) -> Result<u32, StoreError> {
        let number = state.next;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path(number))
            .map_err(|e| failed("cannot begin a segment", e))?;
        if self.sync {
            File::open(&self.folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|e| failed("cannot flush the folder", e))?;
        }
        let segment = Segment {
            file: Arc::new(file),
            len: 0,
            live: 0,
            dead: Vec::new(),
            dead_since: None,
        };
        state.segments.insert(number, segment);
        state.current = Some(number);
        state.next = number.saturating_add(1);
        Ok(number)
    }

    /// Writes and flushes the messages of a batch.
    pub(super) fn write(&self, fresh: &Fresh) -> Result<(), StoreError> {
        let runs = fresh
            .messages
            .chunk_by(|a, b| a.place.segment == b.place.segment);
        for run in runs {
            let Some(first) = run.first() else {
                continue;
            };
            let file = self.file(first.place.segment)?;
            write_run(&file, run).map_err(|e| failed("cannot write", e))?;
            if self.sync {
                file.sync_data().map_err(|e| failed("cannot flush", e))?;
            }
        }
        Ok(())
    }

    /// The batch did not happen: its places are named by nobody.
    pub(super) fn discard(&self, fresh: Fresh) {
        if fresh.messages.is_empty() {
            return;
        }
        let mut state = locked(&self.state);
        for message in &fresh.messages {
            state.free(message.place);
        }
        // Where the file ends after a write that failed is not known.
        state.current = None;
    }

    /// The batch is durable: what it brought is at hand, what it took goes.
    pub(super) fn flushed(&self, fresh: Fresh, freed: &[(u64, Option<Place>)]) {
        if fresh.messages.is_empty() && freed.is_empty() {
            return;
        }
        let mut state = locked(&self.state);
        for message in fresh.messages {
            state.recent.put(message.id, message.headers, message.body);
        }
        for (id, place) in freed {
            state.recent.take(*id);
            if let Some(place) = place {
                state.free(*place);
            }
        }
    }

    /// Removes segments that nothing waits in, and erases in the others what was taken some time ago.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let now = Instant::now();
        let (mut gone, mut erase) = (Vec::new(), Vec::new());
        {
            // Who reads has looked at rows of before: later. Who begins after this sees what is named now.
            let Ok(_nobody) = self.readers.try_write() else {
                return Ok(());
            };
            let mut state = locked(&self.state);
            let State {
                segments, current, ..
            } = &mut *state;
            segments.retain(|number, segment| {
                let is_due = segment
                    .dead_since
                    .is_some_and(|since| now - since >= ERASE_AFTER);
                if segment.live == 0 && (*current != Some(*number) || is_due) {
                    current.take_if(|n| n == number);
                    gone.push(*number);
                    return false;
                }
                if is_due {
                    segment.dead_since = None;
                    let dead = std::mem::take(&mut segment.dead);
                    erase.push((Arc::clone(&segment.file), dead));
                }
                true
            });
        }
        for (file, dead) in erase {
            erase_in(&file, dead).map_err(|e| failed("cannot erase", e))?;
        }
        for number in gone {
            std::fs::remove_file(self.path(number)).map_err(|e| failed("cannot remove", e))?;
        }
        Ok(())
    }

    /// Segments, and the bytes in them.
    pub(super) fn size(&self) -> (u64, u64) {
        let state = locked(&self.state);
        let bytes = state.segments.values().map(|s| u64::from(s.len)).sum();
        (state.segments.len() as u64, bytes)
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:010}.bodies"))
    }

    fn file(&self, number: u32) -> Result<Arc<File>, StoreError> {
        let state = locked(&self.state);
        let segment = state.segments.get(&number).ok_or_else(|| {
            StoreError::Corrupt(format!("segment {number} of waiting messages is missing"))
        })?;
        Ok(Arc::clone(&segment.file))
    }
}

impl Reading<'_> {
    /// Headers and payload of a message that came just now.
    pub(super) fn recent(&self, id: u64) -> Option<(Bytes, Bytes)> {
        locked(&self.bodies.state).recent.by_id.get(&id).cloned()
    }

    /// Headers and payload at a place.
    pub(super) fn read(&self, place: Place) -> Result<(Bytes, Bytes), StoreError> {
        let file = self.bodies.file(place.segment)?;
        let mut all = vec![0; place.len as usize];
        file.read_exact_at(&mut all, place.offset.into())
            .map_err(|e| StoreError::Corrupt(format!("a waiting message: {e}")))?;
        let mut all = Bytes::from(all);
        let prefix = all.first_chunk::<PREFIX>().copied().unwrap_or_default();
        let headers = u32::from_be_bytes(prefix) as usize;
        if PREFIX.saturating_add(headers) > all.len() {
            return Err(super::codec::damaged("waiting message"));
        }
        let mut rest = all.split_off(PREFIX);
        let body = rest.split_off(headers);
        Ok((rest, body))
    }
}

impl State {
    fn free(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live = segment.live.saturating_sub(1);
            segment.dead.push((place.offset, place.end()));
            segment.dead_since.get_or_insert_with(Instant::now);
        }
    }
}

impl Recent {
    fn put(&mut self, id: u64, headers: Bytes, body: Bytes) {
        self.bytes += headers.len() + body.len();
        self.by_id.insert(id, (headers, body));
        self.order.push_back(id);
        while self.bytes > RECENT_BYTES {
            // Ids of messages that were taken stand here as well.
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.take(oldest);
        }
        if self.order.len() > 2 * self.by_id.len() + 1_024 {
            self.order.retain(|id| self.by_id.contains_key(id));
        }
    }

    fn take(&mut self, id: u64) {
        if let Some((headers, body)) = self.by_id.remove(&id) {
            self.bytes -= headers.len() + body.len();
        }
    }
}

fn number_of(name: &str) -> Option<u32> {
    name.strip_suffix(".bodies")?.parse().ok()
}

/// What lies between sorted places, up to the end of the file.
fn gaps(named: &[Place], len: u32) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    let mut at = 0;
    for place in named {
        if place.offset > at {
            out.push((at, place.offset));
        }
        at = at.max(place.end());
    }
    if len > at {
        out.push((at, len));
    }
    out
}

fn write_run(mut file: &File, run: &[Message]) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let Some(first) = run.first() else {
        return Ok(());
    };
    file.seek(SeekFrom::Start(first.place.offset.into()))?;
    for some in run.chunks(MESSAGES_AT_ONCE) {
        let mut slices = Vec::with_capacity(3 * some.len());
        for message in some {
            slices.push(IoSlice::new(&message.prefix));
            slices.push(IoSlice::new(&message.headers));
            slices.push(IoSlice::new(&message.body));
        }
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = file.write_vectored(left)?;
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
        }
    }
    Ok(())
}

/// Nothing is left of the stretches; where the file system can, they take no space either.
fn erase_in(file: &File, mut dead: Vec<(u32, u32)>) -> std::io::Result<()> {
    dead.sort_unstable();
    for run in dead.chunk_by(|a, b| a.1 == b.0) {
        if let (Some((from, _)), Some((_, to))) = (run.first(), run.last())
            && !punch(file, (*from).into(), (*to).into())
        {
            overwrite(file, (*from).into(), (*to).into())?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn punch(file: &File, from: u64, to: u64) -> bool {
    use rustix::fs::{FallocateFlags, fallocate};
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, how, from, to.saturating_sub(from)).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn punch(_: &File, _: u64, _: u64) -> bool {
    false
}

fn overwrite(file: &File, from: u64, to: u64) -> std::io::Result<()> {
    let zeros = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let n = usize::try_from(to - at)
            .unwrap_or(usize::MAX)
            .min(zeros.len());
        file.write_all_at(zeros.get(..n).unwrap_or_default(), at)?;
        at += n as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    fn file(bytes: usize) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![7; bytes], 0).unwrap();
        file.sync_all().unwrap();
        file
    }

    fn erased(file: &File, len: usize) -> Vec<(usize, usize)> {
        let mut all = vec![0; len];
        file.read_exact_at(&mut all, 0).unwrap();
        let mut at = 0;
        let mut out = Vec::new();
        for run in all.chunk_by(|a, b| a == b) {
            if run[0] == 0 {
                out.push((at, at + run.len()));
            }
            at += run.len();
        }
        out
    }

    #[test]
    fn exactly_the_dead_stretches_are_erased() {
        let file = file(300_000);
        // In any order; neighbours are one.
        let dead = vec![
            (10_000, 90_001),
            (5, 17),
            (90_001, 200_000),
            (299_999, 300_000),
        ];
        erase_in(&file, dead).unwrap();
        let expected = [(5, 17), (10_000, 200_000), (299_999, 300_000)];
        assert_eq!(erased(&file, 300_000), expected);
        overwrite(&file, 1_000, 70_000).unwrap();
        assert_eq!(erased(&file, 300_000)[1], (1_000, 200_000));
    }

    #[test]
    fn what_lies_between_places_is_named_by_nobody() {
        let place = |offset, len| Place {
            segment: 0,
            offset,
            len,
        };
        assert_eq!(gaps(&[place(0, 10), place(10, 5)], 15), []);
        let some = [place(3, 4), place(20, 10)];
        assert_eq!(gaps(&some, 40), [(0, 3), (7, 20), (30, 40)]);
        // A file that is shorter than its rows say has no gap after them.
        assert_eq!(gaps(&some, 25), [(0, 3), (7, 20)]);
        let packed = place(u32::MAX, 7).pack();
        assert_eq!(Place::unpack(&packed).unwrap(), place(u32::MAX, 7));
        assert!(Place::unpack(&packed[..11]).is_err());
    }
}
