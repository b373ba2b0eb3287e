//! A fact and its history: every value with the period in which it is valid and when the register learnt of it.
//!
//! Nothing is ever taken out: a value that turns out wrong keeps its line with an empty period or marked as annulled.

use super::period::{Moment, Period};
use serde::{Deserialize, Serialize};

/// Where a fact comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// When the register learnt of it (ajourholdstidspunkt).
    #[serde(rename = "r")]
    pub registered: Moment,
    /// Who said so (kilde).
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why it changed (årsak).
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Origin {
    /// Known since this instant, nothing more.
    #[must_use]
    pub fn at(registered: Moment) -> Self {
        Self {
            registered,
            ..Self::default()
        }
    }
}

/// One value of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held<T> {
    /// The value.
    #[serde(rename = "v")]
    pub value: T,
    /// When it holds.
    #[serde(flatten)]
    pub valid: Period,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Declared wrong: holds at no time.
    #[serde(rename = "x", default, skip_serializing_if = "is_false")]
    pub annulled: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl<T> Held<T> {
    /// Whether it holds at an instant.
    #[must_use]
    pub fn holds_at(&self, at: Moment) -> bool {
        !self.annulled && self.valid.contains(at)
    }
}

/// Whether a call changed anything. The same content again is no change: no version, no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Changed {
    /// Something is different now.
    Yes,
    /// All is as it was.
    No,
}

/// All values of one fact, in the order in which the register learnt of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline<T>(Vec<Held<T>>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Timeline<T> {
    /// Whether there never was a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All values, history and annulled ones included.
    pub fn all(&self) -> impl Iterator<Item = &Held<T>> {
        self.0.iter()
    }

    /// What holds at an instant.
    pub fn at(&self, at: Moment) -> impl Iterator<Item = &Held<T>> {
        self.0.iter().filter(move |h| h.holds_at(at))
    }

    /// The one value at an instant of a fact that has one at a time: of several, the one learnt last.
    #[must_use]
    pub fn one_at(&self, at: Moment) -> Option<&T> {
        self.0
            .iter()
            .rev()
            .find(|h| h.holds_at(at))
            .map(|h| &h.value)
    }

    /// Values that hold at `now` or may hold later: what a reader without history needs.
    pub fn from_now(&self, now: Moment) -> impl Iterator<Item = &Held<T>> {
        self.0.iter().filter(move |h| {
            !h.annulled && !h.valid.is_empty() && h.valid.to.is_none_or(|to| now < to)
        })
    }

    /// Adds a line as it came (imports that carry their own history).
    pub fn push(&mut self, held: Held<T>) {
        self.0.push(held);
    }
}

impl<T> FromIterator<Held<T>> for Timeline<T> {
    fn from_iter<I: IntoIterator<Item = Held<T>>>(lines: I) -> Self {
        Self(lines.into_iter().collect())
    }
}

impl<T: PartialEq> Timeline<T> {
    /// The fact has this value from `from` on, and no other. What was to hold then ends at `from`; what held before
    /// stays as it was.
    pub fn set(&mut self, value: T, from: Moment, origin: Origin) -> Changed {
        let later = Period::since(from);
        let mut rest = self
            .0
            .iter()
            .filter(|h| !h.annulled && h.valid.overlaps(&later));
        if let (Some(only), None) = (rest.next(), rest.next())
            && only.value == value
            && only.valid.contains(from)
            && only.valid.to.is_none()
        {
            return Changed::No;
        }
        let _ = self.end(from);
        self.0.push(Held {
            value,
            valid: later,
            origin,
            annulled: false,
        });
        Changed::Yes
    }

    /// Nothing holds from `at` on.
    pub fn end(&mut self, at: Moment) -> Changed {
        self.end_where(at, |_| true)
    }

    /// These values do not hold from `at` on.
    pub fn end_where(&mut self, at: Moment, which: impl Fn(&T) -> bool) -> Changed {
        let later = Period::since(at);
        let mut changed = Changed::No;
        for held in &mut self.0 {
            if !held.annulled && held.valid.overlaps(&later) && which(&held.value) {
                held.valid = held.valid.ended(at);
                changed = Changed::Yes;
            }
        }
        changed
    }

    /// One more value holds from `from` on, beside the others.
    pub fn add(&mut self, value: T, from: Moment, origin: Origin) -> Changed {
        let there = |h: &Held<T>| {
            !h.annulled && h.value == value && h.valid.contains(from) && h.valid.to.is_none()
        };
        if self.0.iter().any(there) {
            return Changed::No;
        }
        self.0.push(Held {
            value,
            valid: Period::since(from),
            origin,
            annulled: false,
        });
        Changed::Yes
    }

    /// These values were never true.
    pub fn annul_where(&mut self, which: impl Fn(&T) -> bool) -> Changed {
        let mut changed = Changed::No;
        for held in &mut self.0 {
            if !held.annulled && which(&held.value) {
                held.annulled = true;
                changed = Changed::Yes;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(sets: &[(u8, i64)]) -> Timeline<u8> {
        let mut t = Timeline::default();
        for (value, from) in sets {
            let _ = t.set(*value, Moment(*from), Origin::at(Moment(*from)));
        }
        t
    }

    #[test]
    fn as_of_reads() {
        let t = line(&[(1, 0), (2, 10), (3, 20)]);
        for (at, value) in [
            (-1, None),
            (0, Some(1)),
            (9, Some(1)),
            (10, Some(2)),
            (20, Some(3)),
            (99, Some(3)),
        ] {
            assert_eq!(t.one_at(Moment(at)).copied(), value, "{at}");
        }
    }

    #[test]
    fn the_same_again_is_no_change() {
        let mut t = line(&[(1, 0)]);
        let before = t.clone();
        assert_eq!(t.set(1, Moment(5), Origin::at(Moment(7))), Changed::No);
        assert_eq!(t.add(1, Moment(5), Origin::at(Moment(7))), Changed::No);
        assert_eq!(t, before);
        assert_eq!(t.set(2, Moment(5), Origin::at(Moment(7))), Changed::Yes);
        assert_eq!(
            t.set(1, Moment(6), Origin::at(Moment(8))),
            Changed::Yes,
            "back again is a change"
        );
    }

    #[test]
    fn a_correction_backwards_keeps_the_wrong_line_with_an_empty_period() {
        let mut t = line(&[(1, 0), (2, 10)]);
        assert_eq!(t.set(3, Moment(10), Origin::at(Moment(30))), Changed::Yes);
        assert_eq!(t.one_at(Moment(10)), Some(&3));
        assert_eq!(t.all().count(), 3, "nothing is forgotten");
        assert_eq!(t.from_now(Moment(40)).count(), 1);
    }

    #[test]
    fn annulled_values_never_held() {
        let mut t = line(&[(1, 0)]);
        assert_eq!(t.annul_where(|v| *v == 1), Changed::Yes);
        assert_eq!(t.one_at(Moment(3)), None);
        assert_eq!(t.annul_where(|v| *v == 1), Changed::No);
    }

    #[test]
    fn the_written_form_is_stable() {
        let mut t: Timeline<u8> = Timeline::default();
        let _ = t.set(
            7,
            Moment(5),
            Origin {
                registered: Moment(6),
                source: Some("KILDE".into()),
                reason: None,
            },
        );
        let text = serde_json::to_string(&t).unwrap();
        assert_eq!(text, r#"[{"v":7,"f":5,"r":6,"s":"KILDE"}]"#);
        assert_eq!(serde_json::from_str::<Timeline<u8>>(&text).unwrap(), t);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, i64),
        End(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..4, 0i64..20).prop_map(|(v, at)| Step::Set(v, at)),
            (0i64..20).prop_map(Step::End),
        ]
    }

    proptest! {
        // Against a plain array of instants.
        #[test]
        fn one_value_at_a_time(steps in proptest::collection::vec(step(), 0..12)) {
            let mut t: Timeline<u8> = Timeline::default();
            let mut model = [None; 24];
            for step in steps {
                let (value, from, changed) = match step {
                    Step::Set(v, at) => (Some(v), at, t.set(v, Moment(at), Origin::at(Moment(at)))),
                    Step::End(at) => (None, at, t.end(Moment(at))),
                };
                let before = model;
                model[usize::try_from(from).unwrap()..].fill(value);
                if changed == Changed::No {
                    prop_assert_eq!(before, model);
                }
                for (at, expected) in model.iter().enumerate() {
                    let at = Moment(i64::try_from(at).unwrap());
                    prop_assert!(t.at(at).count() <= 1);
                    prop_assert_eq!(t.one_at(at), expected.as_ref());
                }
            }
        }
    }
}
