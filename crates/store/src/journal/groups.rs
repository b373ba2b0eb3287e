//! Files that are only appended to, in groups: `"hnGR" | series u64 | number u64 | length u32 | crc32c(payload) u32 |
//! crc32c(first 28 bytes) u32 | payload`, little-endian, numbered from 0. A group is what one flush wrote, and is valid
//! whole or not at all; a group is only begun when the one before is flushed. So a bad group at the end is a torn tail
//! (nobody was answered), while a bad group with a good one after it is damage.

use std::io;

const MAGIC: &[u8; 4] = b"hnGR";
const HEADER: usize = 32;
/// Longest payload of a group, bytes.
pub(crate) const MAX_GROUP_BYTES: usize = 64 << 20;

/// CRC-32C (Castagnoli), as RFC 3720 appendix B.4 has it.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        let at = usize::from((crc as u8) ^ byte);
        (crc >> 8) ^ TABLE.get(at).copied().unwrap_or(0)
    })
}

static TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut n = 0u32;
    let mut rest: &mut [u32] = &mut table;
    while let Some((slot, tail)) = rest.split_first_mut() {
        let mut crc = n;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
            bit += 1;
        }
        *slot = crc;
        rest = tail;
        n += 1;
    }
    table
};

/// The bytes of a group.
pub(crate) fn frame(series: u64, number: u64, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|n| (*n as usize) <= MAX_GROUP_BYTES)
        .ok_or_else(|| io::Error::other("too much for one flush"))?;
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&series.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c(payload).to_le_bytes());
    let check = crc32c(&out);
    out.extend_from_slice(&check.to_le_bytes());
    out.extend_from_slice(payload);
    Ok(out)
}

/// What a file held.
#[derive(Debug, PartialEq)]
pub(crate) struct Groups<'a> {
    /// Payloads in order.
    pub(crate) payloads: Vec<&'a [u8]>,
    /// Where the last whole group ends.
    pub(crate) end: usize,
    /// Whether bytes of an unfinished flush follow there.
    pub(crate) torn: bool,
}

/// Reads a file. `Err` = damage before the tail; says where.
pub(crate) fn read(bytes: &[u8], series: u64) -> Result<Groups<'_>, String> {
    let mut groups = Groups {
        payloads: Vec::new(),
        end: 0,
        torn: false,
    };
    while groups.end < bytes.len() {
        let (at, number) = (groups.end, groups.payloads.len() as u64);
        let Some((payload, next)) = group_at(bytes, at, series, Some(number)) else {
            let later = (at + 1..bytes.len().saturating_sub(HEADER - 1)).any(|later| {
                bytes.get(later..).is_some_and(|b| b.starts_with(MAGIC))
                    && group_at(bytes, later, series, None).is_some()
            });
            if later {
                return Err(format!("group {number} at byte {at} is damaged"));
            }
            groups.torn = true;
            break;
        };
        groups.payloads.push(payload);
        groups.end = next;
    }
    Ok(groups)
}

/// A valid group at this place: its payload and where it ends.
fn group_at(bytes: &[u8], at: usize, series: u64, number: Option<u64>) -> Option<(&[u8], usize)> {
    let header = bytes.get(at..at.checked_add(HEADER)?)?;
    let mut cursor = Cursor(header);
    if cursor.take(4)? != MAGIC || cursor.u64()? != series {
        return None;
    }
    let found = cursor.u64()?;
    if number.is_some_and(|n| n != found) {
        return None;
    }
    let length = usize::try_from(cursor.u32()?).ok()?;
    let payload_crc = cursor.u32()?;
    if cursor.u32()? != crc32c(header.get(..HEADER - 4)?) || length > MAX_GROUP_BYTES {
        return None;
    }
    let start = at + HEADER;
    let payload = bytes.get(start..start.checked_add(length)?)?;
    (crc32c(payload) == payload_crc).then_some((payload, start + length))
}

/// Bytes being read; every step checks what is left.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[b]: [u8; 1]| b)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length or count of at most `limit`.
    pub(crate) fn count(&mut self, limit: usize) -> Option<usize> {
        usize::try_from(self.u32()?).ok().filter(|n| *n <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn crc_of_the_standard_check_string() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let file: Vec<u8> = (0..3)
            .flat_map(|n| frame(3, n, &[n as u8; 10]).unwrap())
            .collect();
        for cut in 0..=file.len() {
            let groups = read(&file[..cut], 3).unwrap();
            assert_eq!(
                (groups.payloads.len(), groups.torn),
                (cut / 42, cut % 42 != 0)
            );
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x40;
            match read(&damaged, 3) {
                Err(_) => assert!(at < 84),
                Ok(groups) => assert!(at >= 84 && groups.torn && groups.end == 84),
            }
        }
        assert!(
            read(&file, 4).unwrap().payloads.is_empty(),
            "another series"
        );
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, 3);
            let framed = frame(3, 0, &bytes).unwrap();
            prop_assert_eq!(read(&framed, 3).unwrap().payloads, vec![bytes.as_slice()]);
        }
    }
}
