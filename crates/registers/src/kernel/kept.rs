//! The kept form of a register in memory: its entries in one file, so that a start does not ask the log for each of them.
//!
//! ```text
//! head 112 bytes | blocks of items (length, bytes) | table of the blocks (start, length, checksum)
//! ```
//!
//! A register has two such files in a folder that only its owner may enter: `<name>.kept` with everything at one place of
//! the feed, and `<name>.since` with what changed after it, written anew now and then. Both are derived from the log: one
//! that is missing, torn, rotten, of another store, of another version or of a history that the log no longer has is not
//! used, and made again. A file is written beside the old one, flushed, given its head last, and moved into place.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

const MAGIC: &[u8; 8] = b"HNKEPT01";
const HEAD_BYTES: usize = 112;
/// A block is closed when it has reached this length.
const BLOCK_BYTES: usize = 256 << 10;
/// Most threads that read a file.
const READERS: usize = 4;

/// Which state of which store a file was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Incarnation of the store.
    pub incarnation: u128,
    /// Place in the feed up to which everything is in the file.
    pub seq: u64,
    /// When that place was committed: a store that was put back and went on otherwise has another time there.
    pub at: i64,
    /// Number of the register's last event then.
    pub events: u64,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptError {
    /// Not there, or not readable.
    #[error("kept form: {0}")]
    Io(#[from] io::Error),
    /// Another program's, another version's, torn or rotten.
    #[error("kept form: {0}")]
    Unfit(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Block {
    start: u64,
    length: u64,
    checksum: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    form: u32,
    mark: u128,
    place: Place,
    items: u64,
    blocks: u64,
    table_start: u64,
    table_sum: u64,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&u64::from(self.form).to_le_bytes());
        bytes.extend_from_slice(&self.mark.to_le_bytes());
        bytes.extend_from_slice(&self.place.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.place.seq.to_le_bytes());
        bytes.extend_from_slice(&self.place.at.to_le_bytes());
        bytes.extend_from_slice(&self.place.events.to_le_bytes());
        for number in [self.items, self.blocks, self.table_start, self.table_sum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD_BYTES], form: u32) -> Result<Self, KeptError> {
        let mut rest: &[u8] = bytes;
        fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], KeptError> {
            let cut = KeptError::Unfit("the head is cut short");
            let (first, after) = rest.split_first_chunk::<N>().ok_or(cut)?;
            *rest = after;
            Ok(*first)
        }
        if &fixed::<8>(&mut rest)? != MAGIC {
            return Err(KeptError::Unfit("no head: it was not finished"));
        }
        let (content, sum) = bytes
            .split_last_chunk::<8>()
            .ok_or(KeptError::Unfit("the head is cut short"))?;
        if checksum(content) != u64::from_le_bytes(*sum) {
            return Err(KeptError::Unfit("the head is damaged"));
        }
        if u64::from_le_bytes(fixed(&mut rest)?) != u64::from(form) {
            return Err(KeptError::Unfit("it was made by another version"));
        }
        Ok(Self {
            form,
            mark: u128::from_le_bytes(fixed(&mut rest)?),
            place: Place {
                incarnation: u128::from_le_bytes(fixed(&mut rest)?),
                seq: u64::from_le_bytes(fixed(&mut rest)?),
                at: i64::from_le_bytes(fixed(&mut rest)?),
                events: u64::from_le_bytes(fixed(&mut rest)?),
            },
            items: u64::from_le_bytes(fixed(&mut rest)?),
            blocks: u64::from_le_bytes(fixed(&mut rest)?),
            table_start: u64::from_le_bytes(fixed(&mut rest)?),
            table_sum: u64::from_le_bytes(fixed(&mut rest)?),
        })
    }
}

/// An open file.
pub struct Kept {
    file: File,
    head: Head,
    blocks: Vec<Block>,
}

impl Kept {
    /// Opens a file of this form.
    ///
    /// # Errors
    /// [`KeptError`] when it cannot be used.
    pub fn open(path: &Path, form: u32) -> Result<Self, KeptError> {
        let file = File::open(path)?;
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0)
            .map_err(|_| KeptError::Unfit("the head is cut short"))?;
        let head = Head::decode(&bytes, form)?;
        let short = || KeptError::Unfit("it is cut short");
        let end = file.metadata()?.len();
        let length = end.checked_sub(head.table_start).ok_or_else(short)?;
        if head.blocks.checked_mul(24) != Some(length) {
            return Err(short());
        }
        let mut table = vec![0; usize::try_from(length).map_err(|_| short())?];
        file.read_exact_at(&mut table, head.table_start)?;
        if checksum(&table) != head.table_sum {
            return Err(KeptError::Unfit("its table is damaged"));
        }
        let (numbers, _) = table.as_chunks::<8>();
        let blocks = numbers
            .as_chunks::<3>()
            .0
            .iter()
            .map(|[start, length, checksum]| Block {
                start: u64::from_le_bytes(*start),
                length: u64::from_le_bytes(*length),
                checksum: u64::from_le_bytes(*checksum),
            })
            .collect::<Vec<_>>();
        let fits = |b: &Block| b.start.checked_add(b.length).is_some_and(|to| to <= end);
        if blocks.iter().all(fits) {
            Ok(Self { file, head, blocks })
        } else {
            Err(short())
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn place(&self) -> Place {
        self.head.place
    }

    /// What names this very file, or the file that this one goes on from.
    #[must_use]
    pub fn mark(&self) -> u128 {
        self.head.mark
    }

    /// Every item, in order, as `decode` makes it. Several threads work on it.
    ///
    /// # Errors
    /// When a block is damaged or `decode` cannot read an item: nothing of the file is good then.
    pub fn read<T: Send>(
        &self,
        decode: impl Fn(&[u8]) -> Option<T> + Sync,
    ) -> Result<Vec<T>, KeptError> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Vec<T>)>> = Mutex::new(Vec::new());
        let work = || -> Result<(), KeptError> {
            let mut bytes = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(block) = self.blocks.get(at) else {
                    return Ok(());
                };
                let items = self.block(block, &mut bytes, &decode)?;
                done.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((at, items));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(READERS).min(self.blocks.len()).max(1);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for other in others {
                let ended = other.join();
                result =
                    result.and(ended.unwrap_or(Err(KeptError::Unfit("reading it was broken off"))));
            }
            result
        })?;
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(at, _)| *at);
        let all: Vec<T> = done.into_iter().flat_map(|(_, items)| items).collect();
        if u64::try_from(all.len()).ok() == Some(self.head.items) {
            Ok(all)
        } else {
            Err(KeptError::Unfit("its items do not add up"))
        }
    }

    fn block<T>(
        &self,
        block: &Block,
        bytes: &mut Vec<u8>,
        decode: &impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, KeptError> {
        let damaged = || KeptError::Unfit("a block is damaged");
        bytes.clear();
        bytes.resize(usize::try_from(block.length).map_err(|_| damaged())?, 0);
        self.file.read_exact_at(bytes, block.start)?;
        if checksum(bytes) != block.checksum {
            return Err(damaged());
        }
        let mut items = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
            let (item, after) = after.split_at_checked(length).ok_or_else(damaged)?;
            items.push(decode(item).ok_or(KeptError::Unfit("an item cannot be read"))?);
            rest = after;
        }
        Ok(items)
    }
}

/// Writes a file. `encode` appends the bytes of one item.
///
/// # Errors
/// When the file cannot be written, or an item is longer than 4 GiB.
pub fn write<I>(
    path: &Path,
    (form, mark, place): (u32, u128, Place),
    items: impl IntoIterator<Item = I>,
    mut encode: impl FnMut(I, &mut Vec<u8>),
) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    let part = path.with_extension("part");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&[0; HEAD_BYTES])?;
    let mut at = HEAD_BYTES as u64;
    let (mut table, mut blocks, mut count) = (Vec::new(), 0, 0);
    let mut block = Vec::with_capacity(BLOCK_BYTES * 2);
    let mut close = |block: &mut Vec<u8>, out: &mut BufWriter<File>| -> io::Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        out.write_all(block)?;
        let length = u64::try_from(block.len()).map_err(io::Error::other)?;
        for number in [at, length, checksum(block)] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        at += length;
        blocks += 1;
        block.clear();
        Ok(())
    };
    for item in items {
        let from = block.len();
        block.extend_from_slice(&[0; 4]);
        encode(item, &mut block);
        let length = u32::try_from(block.len() - from - 4).map_err(io::Error::other)?;
        if let Some(place) = block.get_mut(from..from + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        count += 1;
        if block.len() >= BLOCK_BYTES {
            close(&mut block, &mut out)?;
        }
    }
    close(&mut block, &mut out)?;
    out.write_all(&table)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let head = Head {
        form,
        mark,
        place,
        items: count,
        blocks,
        table_start: at,
        table_sum: checksum(&table),
    };
    file.write_all_at(&head.encode(), 0)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

/// A folder that only its owner may enter: what is kept names people.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// A checksum against torn and rotten bytes (not against forgery): eight bytes at a time, multiplied and folded.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::of_length(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    sum.add(bytes);
    sum.0
}

/// The same, piece by piece: every piece but the last has a length that 8 divides.
pub(crate) struct Checksum(u64);

impl Checksum {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Of so many bytes in all.
    pub(crate) fn of_length(bytes: u64) -> Self {
        Self(Self::K ^ bytes)
    }

    pub(crate) fn add(&mut self, piece: &[u8]) {
        let (words, rest) = piece.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.take(u64::from(*byte));
        }
    }

    fn take(&mut self, word: u64) {
        let sum = (self.0 ^ word).wrapping_mul(Self::K);
        self.0 = sum ^ (sum >> 29);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLACE: Place = Place {
        incarnation: 7,
        seq: 40,
        at: -3,
        events: 12,
    };

    fn written(items: &[Vec<u8>]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inner").join("some.kept");
        let encode = |item: &Vec<u8>, out: &mut Vec<u8>| out.extend_from_slice(item);
        write(&path, (3, 99, PLACE), items, encode).unwrap();
        (folder, path)
    }

    fn read(path: &Path) -> Result<Vec<Vec<u8>>, KeptError> {
        Kept::open(path, 3)?.read(|item| Some(item.to_vec()))
    }

    #[test]
    fn what_is_written_is_read_in_order_over_many_blocks() {
        let items: Vec<Vec<u8>> = (0..3_000u32).map(|n| vec![n as u8; 500]).collect();
        let (_folder, path) = written(&items);
        let kept = Kept::open(&path, 3).unwrap();
        assert_eq!((kept.place(), kept.mark()), (PLACE, 99));
        assert!(kept.blocks.len() > 4);
        assert_eq!(read(&path).unwrap(), items);
        assert!(matches!(Kept::open(&path, 4), Err(KeptError::Unfit(_))));
        assert!(kept.read(|item| (item != [9; 500]).then_some(())).is_err());
    }

    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, path) = written(&[vec![1]]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    proptest! {
        // Each case flushes a file.
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_file_with_another_byte_anywhere_is_not_used(
            items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..30),
            place in any::<prop::sample::Index>(),
            other in 1u8..,
        ) {
            let (_folder, path) = written(&items);
            prop_assert_eq!(&read(&path).unwrap(), &items);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = place.index(bytes.len());
            bytes[at] ^= other;
            std::fs::write(&path, &bytes).unwrap();
            prop_assert!(read(&path).is_err());
        }

        #[test]
        fn a_file_cut_short_or_grown_is_not_used(
            items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30),
            place in any::<prop::sample::Index>(),
        ) {
            let (_folder, path) = written(&items);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..place.index(bytes.len())]).unwrap();
            prop_assert!(read(&path).is_err());
            std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
            prop_assert!(read(&path).is_err());
        }

        #[test]
        fn anything_at_all_can_be_opened_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.kept");
            std::fs::write(&path, &bytes).unwrap();
            prop_assert!(read(&path).is_err());
        }
    }
}
