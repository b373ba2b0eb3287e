//! Bytes of a row: numbers of variable length, text, days, instants.

use crate::kernel::period::{Moment, Period};
use crate::kernel::timeline::{Held, Origin};
use jiff::civil::Date;

const DAY_MS: i64 = 86_400_000;

/// Bytes being written.
#[derive(Default)]
pub struct Out(Vec<u8>);

impl Out {
    /// With room for some bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what comes after.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// What was written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number, seven bits to a byte.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            #[allow(clippy::cast_possible_truncation)] // the low seven bits are meant
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        #[allow(clippy::cast_possible_truncation)] // below 0x80
        self.0.push(value as u8);
    }

    /// A number that may be negative.
    pub fn signed(&mut self, value: i64) {
        self.varint((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
    }

    /// Text with its length.
    pub fn text(&mut self, text: &str) {
        self.varint(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.bytes(text.as_bytes());
    }

    /// A day.
    pub fn day(&mut self, day: Date) {
        self.signed(Moment::of_day(day).0.div_euclid(DAY_MS));
    }

    /// An instant; whole days are short.
    pub fn moment(&mut self, at: Moment) {
        if at.0.rem_euclid(DAY_MS) == 0 {
            self.signed(at.0.div_euclid(DAY_MS) << 1);
        } else {
            // The lowest bit says that milliseconds follow the day.
            self.signed(at.0.div_euclid(DAY_MS) << 1 | 1);
            self.varint(at.0.rem_euclid(DAY_MS).cast_unsigned());
        }
    }
}

/// Bytes being read. Every method is `None` when the bytes end or make no sense.
pub struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    /// Over these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Some bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A number that may be negative.
    pub fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A small number.
    pub fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.varint()?).ok()
    }

    /// Text, borrowed.
    pub fn str(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// Text.
    pub fn text(&mut self) -> Option<String> {
        self.str().map(str::to_owned)
    }

    /// A day.
    pub fn day(&mut self) -> Option<Date> {
        let days = i32::try_from(self.signed()?).ok()?;
        let epoch = Date::constant(1970, 1, 1);
        epoch
            .checked_add(jiff::Span::new().try_days(days).ok()?)
            .ok()
    }

    /// An instant.
    pub fn moment(&mut self) -> Option<Moment> {
        let days = self.signed()?;
        let start = (days >> 1).checked_mul(DAY_MS)?;
        if days & 1 == 0 {
            return Some(Moment(start));
        }
        let rest = i64::try_from(self.varint()?).ok()?;
        start.checked_add(rest).map(Moment)
    }
}

/// Values that can stand in a row.
pub trait Packs: Sized {
    /// Writes it.
    fn pack(&self, out: &mut Out);
    /// Reads it.
    fn unpack(input: &mut In<'_>) -> Option<Self>;
}

const FROM: u8 = 1;
const TO: u8 = 2;
const SOURCE: u8 = 4;
const REASON: u8 = 8;

impl<T: Packs> Held<T> {
    /// Writes a line: its periods and origin first. Annulled lines are not written at all.
    pub(super) fn pack(&self, out: &mut Out) {
        let flag = |there: bool, bit: u8| if there { bit } else { 0 };
        out.byte(
            flag(self.valid.from.is_some(), FROM)
                | flag(self.valid.to.is_some(), TO)
                | flag(self.origin.source.is_some(), SOURCE)
                | flag(self.origin.reason.is_some(), REASON),
        );
        out.moment(self.origin.registered);
        for end in [self.valid.from, self.valid.to].into_iter().flatten() {
            out.moment(end);
        }
        for text in [&self.origin.source, &self.origin.reason]
            .into_iter()
            .flatten()
        {
            out.text(text);
        }
        self.value.pack(out);
    }

    /// Reads a line.
    pub(super) fn unpack(input: &mut In<'_>) -> Option<Self> {
        let flags = input.byte()?;
        let registered = input.moment()?;
        let mut moment = |bit: u8| -> Option<Option<Moment>> {
            if flags & bit == 0 {
                return Some(None);
            }
            input.moment().map(Some)
        };
        let valid = Period {
            from: moment(FROM)?,
            to: moment(TO)?,
        };
        let mut text = |bit: u8| -> Option<Option<String>> {
            if flags & bit == 0 {
                return Some(None);
            }
            input.text().map(Some)
        };
        let origin = Origin {
            registered,
            source: text(SOURCE)?,
            reason: text(REASON)?,
        };
        Some(Self {
            value: T::unpack(input)?,
            valid,
            origin,
            annulled: false,
        })
    }
}
