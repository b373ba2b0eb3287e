//! FHIR and FHIRPath dates, times and their precision; ranges on the UTC line.
//!
//! Rules: R4 datatypes (date, dateTime, instant, time) and R4 search §date: every value is a half-open range at its own
//! precision. A time without zone, and a date met by an instant, lie in the server's zone (Europe/Oslo by default).

use jiff::civil;
use jiff::tz::TimeZone;

/// How far a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// `2020`
    Year,
    /// `2020-06`
    Month,
    /// `2020-06-15`
    Day,
    /// `T10` (FHIRPath and search only)
    Hour,
    /// `T10:30` (FHIRPath and search only)
    Minute,
    /// `T10:30:00`
    Second,
    /// With a fraction of the given number of digits.
    Fraction(u8),
}

/// A time of day as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// 0-23
    pub hour: u8,
    /// 0-59
    pub minute: u8,
    /// 0-60: R4 allows a leap second, which counts as the first second after
    pub second: u8,
    /// Microseconds; finer digits are cut.
    pub micro: u32,
    /// From `Hour` to `Fraction`.
    pub precision: Precision,
}

/// A date, with or without time and zone, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// 1-9999
    pub year: i16,
    /// 1-12; 1 when not written
    pub month: u8,
    /// 1-31; 1 when not written
    pub day: u8,
    /// `Year`, `Month` or `Day`: how far the date is written.
    pub date_precision: Precision,
    /// Time of day when written.
    pub clock: Option<Clock>,
    /// Offset from UTC in minutes when written.
    pub offset_min: Option<i16>,
}

/// One day in microseconds.
pub const DAY_US: i64 = 86_400_000_000;

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, b: u8) -> bool {
        match self.0.split_first() {
            Some((f, rest)) if *f == b => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn number(&mut self, len: usize) -> Option<u32> {
        let (head, rest) = self.0.split_at_checked(len)?;
        if !head.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(head.iter().fold(0u32, |a, b| a * 10 + u32::from(b - b'0')))
    }

    fn clock(&mut self) -> Option<Clock> {
        let mut c = Clock {
            hour: u8::try_from(self.number(2)?).ok()?,
            minute: 0,
            second: 0,
            micro: 0,
            precision: Precision::Hour,
        };
        if c.hour > 23 {
            return None;
        }
        if self.eat(b':') {
            c.minute = u8::try_from(self.number(2)?).ok()?;
            c.precision = Precision::Minute;
            if self.eat(b':') {
                c.second = u8::try_from(self.number(2)?).ok()?;
                c.precision = Precision::Second;
                if self.eat(b'.') {
                    let len = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
                    if len == 0 || len > 100 {
                        return None;
                    }
                    let (head, rest) = self.0.split_at_checked(len)?;
                    self.0 = rest;
                    c.micro = (0..6).fold(0, |a, i| {
                        a * 10 + head.get(i).map_or(0, |b| u32::from(b - b'0'))
                    });
                    c.precision = Precision::Fraction(u8::try_from(len).ok()?);
                }
            }
        }
        (c.minute < 60 && c.second <= 60).then_some(c)
    }

    /// `Some(None)` when no zone is written.
    fn zone(&mut self) -> Option<Option<i16>> {
        if self.eat(b'Z') {
            return Some(Some(0));
        }
        let sign = match self.0.first() {
            None => return Some(None),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.0 = self.0.get(1..)?;
        let h = i16::try_from(self.number(2)?).ok()?;
        if !self.eat(b':') {
            return None;
        }
        let m = i16::try_from(self.number(2)?).ok()?;
        (h <= 14 && m < 60 && (h < 14 || m == 0)).then_some(Some(sign * (h * 60 + m)))
    }
}

impl Moment {
    /// Reads a date or date-time at any precision. Impossible dates (`1973-02-30`) and `24:00` are refused.
    /// A trailing `T` without time (FHIRPath partial literal) is accepted when `fhirpath` is set.
    pub fn parse(text: &str, fhirpath: bool) -> Option<Moment> {
        let mut c = Cursor(text.as_bytes());
        let mut m = Moment {
            year: i16::try_from(c.number(4)?).ok()?,
            month: 1,
            day: 1,
            date_precision: Precision::Year,
            clock: None,
            offset_min: None,
        };
        if c.eat(b'-') {
            m.month = u8::try_from(c.number(2)?).ok()?;
            m.date_precision = Precision::Month;
            if c.eat(b'-') {
                m.day = u8::try_from(c.number(2)?).ok()?;
                m.date_precision = Precision::Day;
            }
        }
        if c.eat(b'T') {
            if c.0.is_empty() {
                if !fhirpath {
                    return None;
                }
            } else {
                if m.date_precision != Precision::Day {
                    return None;
                }
                m.clock = Some(c.clock()?);
                m.offset_min = c.zone()?;
            }
        }
        let legal = (1..=9999).contains(&m.year)
            && (1..=12).contains(&m.month)
            && m.day >= 1
            && m.day <= days_in_month(m.year, m.month);
        (legal && c.0.is_empty()).then_some(m)
    }

    /// How far the whole value is written.
    pub fn precision(&self) -> Precision {
        self.clock.map_or(self.date_precision, |c| c.precision)
    }

    /// Microseconds since 1970-01-01T00:00 on the value's own wall clock.
    pub fn wall_us(&self) -> i64 {
        let days = days_from_civil(
            i64::from(self.year),
            i64::from(self.month),
            i64::from(self.day),
        );
        let time = self.clock.map_or(0, |c| {
            (i64::from(c.hour) * 3600 + i64::from(c.minute) * 60 + i64::from(c.second)) * 1_000_000
                + i64::from(c.micro)
        });
        days * DAY_US + time
    }

    /// Half-open range [low, high) in UTC microseconds that the value stands for. Without a written offset, in `zone`.
    pub fn range_us(&self, zone: &TimeZone) -> (i64, i64) {
        let wall = self.wall_us();
        match (self.clock, self.offset_min) {
            (Some(c), Some(offset)) => {
                let low = wall - i64::from(offset) * 60_000_000;
                (low, low + clock_width_us(c.precision))
            }
            (Some(c), None) => {
                let low = wall_to_utc(wall, zone);
                (low, low + clock_width_us(c.precision))
            }
            (None, _) => (
                wall_to_utc(wall, zone),
                wall_to_utc(self.next_wall_us(), zone),
            ),
        }
    }

    /// Wall time of the first moment after a date at its precision.
    fn next_wall_us(&self) -> i64 {
        let (y, m) = (i64::from(self.year), i64::from(self.month));
        let days = match self.date_precision {
            Precision::Year => days_from_civil(y + 1, 1, 1),
            Precision::Month if m == 12 => days_from_civil(y + 1, 1, 1),
            Precision::Month => days_from_civil(y, m + 1, 1),
            _ => days_from_civil(y, m, i64::from(self.day)) + 1,
        };
        days * DAY_US
    }
}

impl Clock {
    /// Reads a time of day (`10:30`, `10:30:00.5`); no zone.
    pub fn parse(text: &str) -> Option<Clock> {
        let mut c = Cursor(text.as_bytes());
        let clock = c.clock()?;
        c.0.is_empty().then_some(clock)
    }

    /// Microseconds since midnight.
    pub fn micros(&self) -> i64 {
        (i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second))
            * 1_000_000
            + i64::from(self.micro)
    }
}

/// Width of a time at its precision, at least one microsecond.
fn clock_width_us(p: Precision) -> i64 {
    match p {
        Precision::Hour => 3_600_000_000,
        Precision::Minute => 60_000_000,
        Precision::Fraction(n) => 10i64.pow(u32::from(6u8.saturating_sub(n))),
        _ => 1_000_000,
    }
}

fn wall_to_utc(wall_us: i64, zone: &TimeZone) -> i64 {
    let (days, in_day) = (wall_us.div_euclid(DAY_US), wall_us.rem_euclid(DAY_US));
    let (y, m, d) = civil_from_days(days);
    let build = || {
        let date = civil::Date::new(
            i16::try_from(y).ok()?,
            i8::try_from(m).ok()?,
            i8::try_from(d).ok()?,
        )
        .ok()?;
        let s = in_day / 1_000_000;
        let time = civil::Time::new(
            i8::try_from(s / 3600).ok()?,
            i8::try_from(s / 60 % 60).ok()?,
            i8::try_from(s % 60).ok()?,
            0,
        )
        .ok()?;
        let ts = zone
            .to_ambiguous_timestamp(date.to_datetime(time))
            .compatible()
            .ok()?;
        Some(ts.as_second() * 1_000_000 + in_day % 1_000_000)
    };
    build().unwrap_or(wall_us)
}

/// Days in a month of the Gregorian calendar.
pub fn days_in_month(year: i16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Gregorian date of a day number.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// Europe/Oslo from the time zone data built into the program, so that keys do not depend on the host.
pub fn oslo() -> TimeZone {
    jiff::tz::TimeZoneDatabase::bundled()
        .get("Europe/Oslo")
        .or_else(|_| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3"))
        .unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> (i64, i64) {
        Moment::parse(text, false).unwrap().range_us(&oslo())
    }

    fn utc(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn ranges_at_written_precision() {
        for (text, low, high) in [
            (
                "2020-06-15T10:30:00Z",
                "2020-06-15T10:30:00Z",
                "2020-06-15T10:30:01Z",
            ),
            (
                "2020-06-15T10:30:00.5+02:00",
                "2020-06-15T08:30:00.5Z",
                "2020-06-15T08:30:00.6Z",
            ),
            (
                "2020-06-15T10:30+02:00",
                "2020-06-15T08:30:00Z",
                "2020-06-15T08:31:00Z",
            ),
            ("2020-06-15", "2020-06-14T22:00:00Z", "2020-06-15T22:00:00Z"),
            ("2020-01", "2019-12-31T23:00:00Z", "2020-01-31T23:00:00Z"),
            ("2020", "2019-12-31T23:00:00Z", "2020-12-31T23:00:00Z"),
            // A Norwegian day has 23 hours in March and 25 in October.
            ("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            (
                "2026-07-01T12:00:00",
                "2026-07-01T10:00:00Z",
                "2026-07-01T10:00:01Z",
            ),
        ] {
            assert_eq!(range(text), (utc(low), utc(high)), "{text}");
        }
    }

    #[test]
    fn impossible_dates() {
        for text in [
            "1973-02-30",
            "2020-13-01",
            "2020-00-01",
            "0000-01-01",
            "2020-1-1",
            "2020-01-01T24:00:00Z",
            "2020-01-01T10:00:61Z",
            "2020-01-01T10:00:00+15:00",
            "2020-06T10:00",
            "***",
            "",
            "2020-01-01T",
            "2020-01-01T10:00:00.Z",
            "2020-01-01T10:00:00.12x4Z",
        ] {
            assert!(Moment::parse(text, false).is_none(), "{text}");
        }
        assert!(Moment::parse("2015T", true).is_some());
    }

    #[test]
    fn civil_round_trip() {
        for days in [-719_162, -1, 0, 59, 60, 18_321, 2_932_896] {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
    }
}
