//! How XML Schema writes simple values.

use super::contract::Builtin;
use super::value::Value;
use base64::Engine;
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{Offset, TimeZone};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The registers' own time zone, from the data built into the program.
static OSLO: LazyLock<TimeZone> = LazyLock::new(|| {
    jiff::tz::TimeZoneDatabase::bundled()
        .get("Europe/Oslo")
        .or_else(|_| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3"))
        .unwrap_or(TimeZone::UTC)
});

/// A `dateTime`. Without offset it is meant where the registers are: in Norway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// As written.
    pub written: civil::DateTime,
    /// The offset written with it.
    pub offset: Option<Offset>,
}

impl DateTime {
    /// Norwegian time without offset, as .NET writes what comes from a database.
    #[must_use]
    pub fn local(written: civil::DateTime) -> Self {
        Self {
            written,
            offset: None,
        }
    }

    /// The start of a day.
    #[must_use]
    pub fn of_day(day: civil::Date) -> Self {
        Self::local(day.to_datetime(civil::Time::midnight()))
    }

    /// An instant, in Norwegian time.
    #[must_use]
    pub fn of_instant(at: Timestamp) -> Self {
        Self::local(at.to_zoned(OSLO.clone()).datetime())
    }

    /// On the clocks of Norway.
    #[must_use]
    pub fn in_norway(self) -> civil::DateTime {
        match self.offset {
            None => self.written,
            Some(_) => self.instant().to_zoned(OSLO.clone()).datetime(),
        }
    }

    /// The instant. An hour that the clocks of Norway skip or have twice is the earlier one.
    #[must_use]
    pub fn instant(self) -> Timestamp {
        let zoned = match self.offset {
            Some(offset) => offset.to_timestamp(self.written).ok(),
            None => OSLO
                .to_ambiguous_zoned(self.written)
                .earlier()
                .ok()
                .map(|z| z.timestamp()),
        };
        zoned.unwrap_or(if self.written.year() < 1970 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }

    /// From text. `24:00:00` is the next midnight; fractions are cut to nanoseconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        let [year, month, day] = numbers::<3>(date, '-')?;
        if !shaped(date, "0000-00-00") {
            return None;
        }
        let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let (time, zone) = time.split_at_checked(zone_at)?;
        let (clock, fraction) = match time.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (time, None),
        };
        let [hour, minute, second] = numbers::<3>(clock, ':')?;
        if !shaped(clock, "00:00:00") {
            return None;
        }
        let nanos = match fraction {
            None => 0,
            Some(f) if f.is_empty() || !f.bytes().all(|b| b.is_ascii_digit()) => return None,
            Some(f) => f
                .bytes()
                .chain(std::iter::repeat(b'0'))
                .take(9)
                .fold(0i32, |sum, digit| sum * 10 + i32::from(digit - b'0')),
        };
        let day = civil::Date::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
        )
        .ok()?;
        let written = if (hour, minute, second, nanos) == (24, 0, 0, 0) {
            day.tomorrow().ok()?.to_datetime(civil::Time::midnight())
        } else {
            let (h, m, s) = (
                i8::try_from(hour).ok()?,
                i8::try_from(minute).ok()?,
                i8::try_from(second).ok()?,
            );
            day.to_datetime(civil::Time::new(h, m, s, nanos).ok()?)
        };
        let offset = match zone {
            "" => None,
            "Z" => Some(Offset::UTC),
            _ => Some(offset(zone)?),
        };
        Some(Self { written, offset })
    }
}

fn offset(zone: &str) -> Option<Offset> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let [hours, minutes] = numbers::<2>(rest, ':')?;
    if !shaped(rest, "00:00") || hours > 14 || minutes > 59 || (hours == 14 && minutes > 0) {
        return None;
    }
    Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok()
}

fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, as_in)| {
            if as_in == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == as_in
            }
        })
}

fn numbers<const N: usize>(text: &str, between: char) -> Option<[u16; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn whole(text: &str, least: i128, most: i128) -> Option<Value> {
    let digits = text.trim_start_matches(['+', '-']);
    if digits.is_empty() || text.len() - digits.len() > 1 || digits.len() > 25 {
        return None;
    }
    let number: i128 = text.parse().ok()?;
    if number < least || number > most {
        return None;
    }
    i64::try_from(number).ok().map(Value::Int)
}

/// A simple value from the text of its element; `None` when the text is none of the type.
pub(super) fn read(of: Builtin, text: String) -> Option<Value> {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
    match of {
        Builtin::String | Builtin::AnyUri | Builtin::AnyType => Some(Value::Text(Cow::Owned(text))),
        Builtin::Boolean => match trimmed {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Builtin::Byte => whole(trimmed, i8::MIN.into(), i8::MAX.into()),
        Builtin::UnsignedByte => whole(trimmed, 0, u8::MAX.into()),
        Builtin::Short => whole(trimmed, i16::MIN.into(), i16::MAX.into()),
        Builtin::UnsignedShort | Builtin::Char => whole(trimmed, 0, u16::MAX.into()),
        Builtin::Int => whole(trimmed, i32::MIN.into(), i32::MAX.into()),
        Builtin::UnsignedInt => whole(trimmed, 0, u32::MAX.into()),
        Builtin::Long => whole(trimmed, i64::MIN.into(), i64::MAX.into()),
        Builtin::UnsignedLong => whole(trimmed, 0, i64::MAX.into()),
        Builtin::Decimal | Builtin::Float | Builtin::Double => {
            let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
            if trimmed.len() > 64 || !trimmed.chars().all(plain) {
                return None;
            }
            trimmed
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite())
                .map(Value::Number)
        }
        Builtin::DateTime => DateTime::parse(trimmed).map(Value::Time),
        Builtin::Base64Binary => {
            let mut packed = text;
            packed.retain(|c| !c.is_ascii_whitespace());
            base64::engine::general_purpose::STANDARD
                .decode(packed)
                .ok()
                .map(Value::Bytes)
        }
        Builtin::Guid => {
            let shape = "00000000-0000-0000-0000-000000000000";
            let fits = trimmed.len() == shape.len()
                && trimmed.bytes().zip(shape.bytes()).all(|(byte, as_in)| {
                    if as_in == b'0' {
                        byte.is_ascii_hexdigit()
                    } else {
                        byte == b'-'
                    }
                });
            fits.then(|| Value::Text(Cow::Owned(trimmed.to_ascii_lowercase())))
        }
        Builtin::Duration => {
            let fits = trimmed.len() <= 64
                && trimmed.trim_start_matches('-').starts_with('P')
                && trimmed.parse::<jiff::Span>().is_ok();
            fits.then(|| Value::Text(Cow::Owned(trimmed.to_owned())))
        }
    }
}

/// What .NET writes for a value that is not set and cannot be nil.
pub(super) fn unset(of: Builtin) -> &'static str {
    match of {
        Builtin::Boolean => "false",
        Builtin::DateTime => "0001-01-01T00:00:00",
        Builtin::Guid => "00000000-0000-0000-0000-000000000000",
        Builtin::Duration => "PT0S",
        Builtin::String | Builtin::AnyUri | Builtin::AnyType | Builtin::Base64Binary => "",
        _ => "0",
    }
}

/// Writes a `dateTime` as .NET does: a fraction only where there is one, without zeros at its end.
/// A time as answers have it.
#[must_use]
pub fn time_text(time: DateTime) -> String {
    let mut out = String::with_capacity(40);
    write_time(&mut out, time);
    out
}

pub(super) fn write_time(out: &mut String, time: DateTime) {
    let t = time.written;
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    );
    // .NET counts in steps of 100 nanoseconds.
    let ticks = t.subsec_nanosecond() / 100;
    if ticks > 0 {
        let fraction = format!("{ticks:07}");
        let _ = write!(out, ".{}", fraction.trim_end_matches('0'));
    }
    match time.offset {
        None => {}
        Some(offset) if offset == Offset::UTC => out.push('Z'),
        Some(offset) => {
            let seconds = offset.seconds();
            let sign = if seconds < 0 { '-' } else { '+' };
            let minutes = seconds.abs() / 60;
            let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
    }
}

/// Writes text with what XML reserves escaped; what XML cannot hold is left out.
pub(super) fn write_text(out: &mut String, text: &str) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let instead = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\r' => "&#xD;",
            0..=8 | 11 | 12 | 14..=31 => "",
            _ => continue,
        };
        out.push_str(text.get(plain..at).unwrap_or_default());
        out.push_str(instead);
        plain = at + 1;
    }
    let rest = text.get(plain..).unwrap_or_default();
    if rest.contains(['\u{fffe}', '\u{ffff}']) {
        out.extend(
            rest.chars()
                .filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')),
        );
    } else {
        out.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Option<String> {
        DateTime::parse(text).map(|time| {
            let mut out = String::new();
            write_time(&mut out, time);
            out
        })
    }

    #[test]
    fn times_are_written_as_they_were_read() {
        for (text, again) in [
            ("2016-11-14T09:27:45.13", Some("2016-11-14T09:27:45.13")),
            ("1970-01-01T00:00:00", Some("1970-01-01T00:00:00")),
            ("2026-03-01T12:00:00Z", Some("2026-03-01T12:00:00Z")),
            (
                "2026-03-01T12:00:00+01:00",
                Some("2026-03-01T12:00:00+01:00"),
            ),
            ("2026-03-01T24:00:00", Some("2026-03-02T00:00:00")),
            ("0001-01-01T00:00:00", Some("0001-01-01T00:00:00")),
            (
                "9999-12-31T23:59:59.9999999",
                Some("9999-12-31T23:59:59.9999999"),
            ),
            ("2026-02-30T00:00:00", None),
            ("2026-03-01", None),
            ("2026-03-01T12:00", None),
            ("2026-3-1T12:00:00", None),
            ("2026-03-01T12:00:00+1:00", None),
            ("2026-03-01T12:00:00+15:00", None),
            ("2026-03-01T12:00:00.", None),
            ("", None),
        ] {
            assert_eq!(written(text).as_deref(), again, "{text}");
        }
    }

    #[test]
    fn the_clocks_of_norway() {
        let at = |text: &str| DateTime::parse(text).unwrap().in_norway().to_string();
        assert_eq!(at("2026-07-01T10:00:00Z"), "2026-07-01T12:00:00");
        assert_eq!(at("2026-01-01T10:00:00Z"), "2026-01-01T11:00:00");
        assert_eq!(at("2026-01-01T10:00:00"), "2026-01-01T10:00:00");
        // Beyond what an instant can be: still no panic.
        at("9999-12-31T23:59:59-14:00");
        at("0001-01-01T00:00:00+14:00");
    }

    #[test]
    fn simple_values() {
        for (of, text, fits) in [
            (Builtin::Int, " 12 ", true),
            (Builtin::Int, "+12", true),
            (Builtin::Int, "2147483648", false),
            (Builtin::Int, "1e3", false),
            (Builtin::Int, "", false),
            (Builtin::Int, "--1", false),
            (Builtin::Long, "9223372036854775807", true),
            (Builtin::Long, "9223372036854775808", false),
            (Builtin::UnsignedByte, "-1", false),
            (Builtin::Boolean, "1", true),
            (Builtin::Boolean, "True", false),
            (Builtin::Double, "NaN", false),
            (Builtin::Double, "59.9", true),
            (Builtin::Base64Binary, "aGVp\n", true),
            (Builtin::Base64Binary, "aGV", false),
            (Builtin::Guid, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", true),
            (Builtin::Guid, "A0EEBC99", false),
            (Builtin::Duration, "PT8H30M", true),
            (Builtin::Duration, "P1DT8H", true),
            (Builtin::Duration, "8 hours", false),
        ] {
            assert_eq!(read(of, text.to_owned()).is_some(), fits, "{of:?} {text:?}");
        }
    }

    #[test]
    fn text_is_escaped() {
        let mut out = String::new();
        write_text(&mut out, "a<b>&\"\u{1}\r\u{ffff}æ");
        assert_eq!(out, "a&lt;b&gt;&amp;&quot;&#xD;æ");
    }
}
