//! Instants and half-open periods: from is inside, to is outside (spec/grunndata.md §13.7).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// An instant, milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Moment(pub i64);

impl Moment {
    /// Midnight at the start of a day in UTC. Register dates have no hour: they are kept as this.
    #[must_use]
    pub fn of_day(day: Date) -> Self {
        day.to_zoned(TimeZone::UTC)
            .map_or(Self(0), |z| Self(z.timestamp().as_millisecond()))
    }

    /// As a timestamp; beyond jiff's years it is the nearest one.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at.as_millisecond())
    }
}

/// A period of validity: `from` inclusive, `to` exclusive; an absent end is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Period {
    /// First instant inside; absent = since always.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// First instant outside; absent = until further notice.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Moment>,
}

impl Period {
    /// Open to both sides.
    pub const ALWAYS: Self = Self {
        from: None,
        to: None,
    };

    /// From an instant on.
    #[must_use]
    pub fn since(from: Moment) -> Self {
        Self {
            from: Some(from),
            to: None,
        }
    }

    /// Between two instants.
    #[must_use]
    pub fn between(from: Moment, to: Moment) -> Self {
        Self {
            from: Some(from),
            to: Some(to),
        }
    }

    /// Whether the instant is inside.
    #[must_use]
    pub fn contains(&self, at: Moment) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    /// Whether no instant is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if to <= from)
            || self.to == Some(Moment(i64::MIN))
    }

    /// Whether some instant is inside both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.common(other).is_empty()
    }

    /// What is inside both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self {
            from: self.from.max(other.from),
            to: match (self.to, other.to) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    /// Cut off at an instant: nothing from `at` on is inside. A period that begins at `at` or later becomes empty.
    #[must_use]
    pub fn ended(&self, at: Moment) -> Self {
        Self {
            from: self.from.map(|from| from.min(at)),
            to: Some(self.to.map_or(at, |to| to.min(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn period() -> impl Strategy<Value = Period> {
        let end = || proptest::option::of((0i64..20).prop_map(Moment));
        (end(), end()).prop_map(|(from, to)| Period { from, to })
    }

    #[test]
    fn from_is_inside_and_to_is_outside() {
        let p = Period::between(Moment(10), Moment(20));
        for (at, inside) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(p.contains(Moment(at)), inside, "{at}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!(Moment::of_day(Date::constant(1970, 1, 2)).0, 86_400_000);
        assert_eq!(Moment::of_day(Date::constant(1969, 12, 31)).0, -86_400_000);
    }

    proptest! {
        #[test]
        fn common_and_ended_mean_what_they_say(a in period(), b in period(), cut in 0i64..20) {
            for at in (-2..24).map(Moment) {
                prop_assert_eq!(a.common(&b).contains(at), a.contains(at) && b.contains(at));
                let ended = a.ended(Moment(cut));
                prop_assert_eq!(ended.contains(at), a.contains(at) && at < Moment(cut));
            }
            let shared = (-2..24).map(Moment).any(|at| a.contains(at) && b.contains(at));
            prop_assert_eq!(a.overlaps(&b), shared);
        }
    }
}
