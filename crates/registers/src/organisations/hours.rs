//! Opening hours: periods of the week, written as durations from Monday 00:00 (spec/grunndata.md §8).

use serde::{Deserialize, Serialize};

/// Minutes of a week.
pub const WEEK_MIN: u16 = 7 * 24 * 60;
/// Most periods of a week.
pub const MAX_PERIODS: usize = 70;

/// When it is open, as (from, to) minutes after Monday 00:00: in order, apart, within the week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u16, u16)>", into = "Vec<(u16, u16)>")]
pub struct OpeningHours(Vec<(u16, u16)>);

/// The periods are out of order, overlap, are empty, or leave the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("opening hours: periods must be in order, apart, and within Monday 00:00 to Sunday 24:00")]
pub struct BadHours;

impl TryFrom<Vec<(u16, u16)>> for OpeningHours {
    type Error = BadHours;

    fn try_from(periods: Vec<(u16, u16)>) -> Result<Self, BadHours> {
        let mut last = 0;
        for (at, (from, to)) in periods.iter().enumerate() {
            if (at > 0 && *from < last) || to <= from || *to > WEEK_MIN {
                return Err(BadHours);
            }
            last = *to;
        }
        if periods.len() > MAX_PERIODS {
            return Err(BadHours);
        }
        Ok(Self(periods))
    }
}

impl From<OpeningHours> for Vec<(u16, u16)> {
    fn from(hours: OpeningHours) -> Self {
        hours.0
    }
}

impl OpeningHours {
    /// The periods.
    #[must_use]
    pub fn periods(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Monday to Friday between two minutes of the day.
    ///
    /// # Errors
    /// When the two are out of order or leave the day.
    pub fn weekdays(from: u16, to: u16) -> Result<Self, BadHours> {
        if to > 24 * 60 {
            return Err(BadHours);
        }
        (0..5u16)
            .map(|day| (day * 1_440 + from, day * 1_440 + to))
            .collect::<Vec<_>>()
            .try_into()
    }

    /// Whether it is open at a minute of the week.
    #[must_use]
    pub fn is_open(&self, minute: u16) -> bool {
        self.0
            .iter()
            .any(|(from, to)| (*from..*to).contains(&minute))
    }
}

/// Minutes as an ISO 8601 duration: `PT8H30M`, `P1DT8H`, `PT0S`.
#[must_use]
pub fn duration(minutes: u16) -> String {
    let (days, hours, rest) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    let mut text = String::from("P");
    if days > 0 {
        text.push_str(&format!("{days}D"));
    }
    if hours > 0 || rest > 0 {
        text.push('T');
    }
    if hours > 0 {
        text.push_str(&format!("{hours}H"));
    }
    if rest > 0 {
        text.push_str(&format!("{rest}M"));
    }
    if minutes == 0 {
        text.push_str("T0S");
    }
    text
}

/// Reads such a duration of days, hours and minutes; `None` for anything else or beyond a week.
#[must_use]
pub fn read_duration(text: &str) -> Option<u16> {
    let rest = text.strip_prefix('P')?;
    if rest.is_empty() || rest.len() > 16 {
        return None;
    }
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    let mut total: u32 = 0;
    let mut add = |part: &str, units: &[(char, u32)]| -> Option<()> {
        let mut units = units.iter();
        let mut digits = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let (_, factor) = units.find(|(unit, _)| *unit == c)?;
            let count: u32 = digits.parse().ok()?;
            total = total.checked_add(count.checked_mul(*factor)?)?;
            digits.clear();
        }
        digits.is_empty().then_some(())
    };
    add(date, &[('D', 1_440)])?;
    add(time, &[('H', 60), ('M', 1), ('S', 0)])?;
    u16::try_from(total).ok().filter(|m| *m <= WEEK_MIN)
}
