//! Compiled conditions, and what each says about a record at hand.

use super::text::Words;
use fhir::keys::Options;
use fhir::keys::encode;
use fhir::keys::query::Query;
use fhir::pack::ParamInfo;
use fhir::{Doc, Pack};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use store::{IndexKey, KeyRange, Rid};

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Cond {
    /// Index work of one parameter.
    Query {
        /// Parameter.
        param: &'static ParamInfo,
        /// Modifier as written.
        modifier: Option<String>,
        /// Value as written.
        value: String,
        /// Ranges.
        query: Query,
    },
    /// One of these ids.
    Id(BTreeSet<String>),
    /// Commit time inside one of these.
    LastUpdated(Vec<Span>),
    /// One of these holds.
    Any(Vec<Cond>),
    /// `param` refers to a record of `target` for which `inner` holds.
    Chain {
        /// Reference parameter.
        param: &'static ParamInfo,
        /// Type at its other end.
        target: String,
        /// What holds there.
        inner: Box<Cond>,
    },
    /// A record of `source` refers here by `param`, and `inner` holds for it.
    Has {
        /// Type of the referring record.
        source: String,
        /// Its reference parameter.
        param: &'static ParamInfo,
        /// What holds for it.
        inner: Box<Cond>,
    },
    /// All of these hold.
    All(Vec<Cond>),
    /// This does not hold.
    Not(Box<Cond>),
    /// A code of a value set, or above or below a code; filled in by [`Cond::resolve`].
    Coded(Coded),
    /// Stands in this List.
    List(String),
    /// Has these words (`_text`: in the narrative, `_content`: anywhere).
    Text(Words),
    /// One of these records (the compartment).
    Rids(Vec<Rid>),
    /// Nothing.
    Nothing,
}

/// `_lastUpdated` as a half-open range of microseconds, possibly excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: i64,
    to: i64,
    is_excluded: bool,
}

impl Span {
    pub(super) fn new(from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            is_excluded: false,
        }
    }

    pub(super) fn excluded(self) -> Self {
        Self {
            is_excluded: true,
            ..self
        }
    }

    /// First instant inside; none when it also holds for anything old.
    pub(super) fn since(self) -> Option<i64> {
        (!self.is_excluded && self.from > i64::MIN).then_some(self.from)
    }

    pub(super) fn holds(self, at: i64) -> bool {
        (self.from <= at && at < self.to) != self.is_excluded
    }
}

impl Cond {
    /// Can lead a search: names records rather than excluding some.
    pub(super) fn leads(&self) -> bool {
        match self {
            Self::Query { query, .. } => !query.negate,
            Self::LastUpdated(_) | Self::Not(_) | Self::Text(_) => false,
            Self::Coded(coded) => !coded.how.excludes() && coded.ranges().is_some(),
            Self::Any(list) => list.iter().all(Self::leads),
            Self::All(list) => list.iter().any(Self::leads),
            _ => true,
        }
    }

    /// The one value that it asks for, when it comes down to one.
    pub(crate) fn only_value(&self) -> Option<KeyRange> {
        let Self::Query { query, .. } = self else {
            return None;
        };
        let [range] = query.ranges.as_slice() else {
            return None;
        };
        let is_exact = !query.negate
            && range.filter.is_none()
            && range
                .to
                .as_ref()
                .is_some_and(|to| to.split_last() == Some((&0, range.from.as_slice())));
        is_exact.then(|| super::evaluate::key_range(range))
    }

    /// Name for `$explain`: parameters, never values.
    pub(super) fn named(&self) -> String {
        match self {
            Self::Query {
                param, modifier, ..
            } => match modifier {
                Some(modifier) => format!("{}:{modifier}", param.code),
                None => param.code.to_string(),
            },
            Self::Id(_) => "_id".to_owned(),
            Self::LastUpdated(_) => "_lastUpdated".to_owned(),
            Self::Any(list) => joined(list, " or "),
            Self::All(list) => joined(list, " and "),
            Self::Not(inner) => format!("not ({})", inner.named()),
            Self::Coded(coded) => format!("{} over a set of codes", coded.param.code),
            Self::List(_) => "_list".to_owned(),
            Self::Text(_) => "words".to_owned(),
            Self::Chain {
                param,
                target,
                inner,
            } => format!("{}:{target}.({})", param.code, inner.named()),
            Self::Has {
                source,
                param,
                inner,
            } => format!("_has:{source}:{}:({})", param.code, inner.named()),
            Self::Rids(_) => "given records".to_owned(),
            Self::Nothing => "nothing".to_owned(),
        }
    }

    /// Its records are of one type without looking.
    pub(super) fn is_typed(&self) -> bool {
        match self {
            Self::Query { param, .. } => {
                !matches!(param.base.as_ref(), "Resource" | "DomainResource")
            }
            Self::Coded(coded) => {
                !matches!(coded.param.base.as_ref(), "Resource" | "DomainResource")
            }
            Self::Any(list) => list.iter().all(Self::is_typed),
            Self::Rids(_) => false,
            _ => true,
        }
    }

    /// Whether it holds for a record that is not stored (the Patient view).
    pub fn holds_for(&self, id: &str, keys: &[IndexKey], doc: &Doc, options: &Options) -> bool {
        match self {
            Self::Query {
                param,
                modifier,
                value,
                query,
            } => {
                if query.recheck {
                    return fhir::keys::matches::matches(
                        Pack::r4(),
                        param,
                        modifier.as_deref(),
                        value,
                        doc,
                        options,
                    )
                    .unwrap_or(false);
                }
                accepts(query, keys) != query.negate
            }
            Self::Id(ids) => ids.contains(id),
            Self::Any(list) => list.iter().any(|c| c.holds_for(id, keys, doc, options)),
            Self::All(list) => list.iter().all(|c| c.holds_for(id, keys, doc, options)),
            Self::Not(inner) => !inner.holds_for(id, keys, doc, options),
            Self::Coded(coded) => coded.holds(keys),
            _ => false,
        }
    }
}

fn joined(list: &[Cond], with: &str) -> String {
    let mut names: Vec<String> = list.iter().map(Cond::named).collect();
    names.dedup();
    let more = names.len().saturating_sub(8);
    names.truncate(8);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    format!("({})", names.join(with))
}

/// Whether some key lies in some range.
pub(super) fn accepts(query: &Query, keys: &[IndexKey]) -> bool {
    query
        .ranges
        .iter()
        .any(|r| keys.iter().any(|k| r.accepts(k.param, &k.value)))
}

/// How a set of codes is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// `:in`: members of a value set.
    In,
    /// `:not-in`.
    NotIn,
    /// `:above`: the code and what it is a kind of.
    Above,
    /// `:below`: the code and its kinds.
    Below,
}

impl Codes {
    /// By modifier.
    pub fn by_modifier(modifier: &str) -> Option<Self> {
        Some(match modifier {
            "in" => Self::In,
            "not-in" => Self::NotIn,
            "above" => Self::Above,
            "below" => Self::Below,
            _ => return None,
        })
    }

    /// Records without any such value match too.
    pub fn excludes(self) -> bool {
        self == Self::NotIn
    }
}

/// A token condition over a set of codes that terminology knows.
#[derive(Clone, Debug)]
pub struct Coded {
    /// Parameter.
    pub param: &'static ParamInfo,
    /// What the value names.
    pub how: Codes,
    /// Value as written: value sets, or `system|code`, commas meaning OR.
    pub value: String,
    /// The codes, once they are known.
    pub set: Option<Arc<CodeSet>>,
}

/// Up to so many codes are looked up in the index one by one; more are tested on each candidate.
const FEW_CODES: usize = 400;

/// Codes in the form that keys have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CodeSet {
    /// Whole keys.
    pub tokens: HashSet<Vec<u8>>,
    /// Codes of any system.
    pub codes: HashSet<Vec<u8>>,
    /// Digests of systems of which every code counts.
    pub systems: HashSet<[u8; 8]>,
    /// Beginnings of codes, with the digest of their system: everything that goes on from there counts.
    pub below: Vec<(Vec<u8>, [u8; 8])>,
}

impl CodeSet {
    /// Adds a code; without a system: of any.
    pub fn add(&mut self, system: &str, code: &str, folds: bool) {
        if system.is_empty() {
            self.codes.insert(encode::token_code(code, folds));
        } else {
            self.tokens.insert(encode::token(system, code, folds));
        }
    }

    /// Adds every code of a system.
    pub fn add_system(&mut self, system: &str) {
        self.systems.insert(encode::digest(&[system]).to_be_bytes());
    }

    /// Adds every code of a system that begins so.
    pub fn add_below(&mut self, system: &str, code: &str, folds: bool) {
        let mut start = encode::token_code(code, folds);
        // Without the end mark, so that longer codes begin with it.
        start.pop();
        self.below
            .push((start, encode::digest(&[system]).to_be_bytes()));
    }

    fn holds(&self, key: &[u8]) -> bool {
        if self.tokens.contains(key) {
            return true;
        }
        let Some((code, system)) = key
            .len()
            .checked_sub(8)
            .and_then(|at| key.split_at_checked(at))
        else {
            return false;
        };
        self.codes.contains(code)
            || self.systems.contains(system)
            || self
                .below
                .iter()
                .any(|(start, of)| of == system && code.starts_with(start))
    }
}

impl Coded {
    /// Whether the record with these keys matches.
    pub(super) fn holds(&self, keys: &[IndexKey]) -> bool {
        let Some(set) = &self.set else { return false };
        let hit = keys
            .iter()
            .any(|k| k.param == self.param.id && set.holds(&k.value));
        hit != self.how.excludes()
    }

    /// Ranges of the index, when there are few codes.
    pub(super) fn ranges(&self) -> Option<Vec<KeyRange>> {
        let set = self.set.as_ref()?;
        if !set.systems.is_empty() || set.tokens.len() + set.codes.len() > FEW_CODES {
            return None;
        }
        let exact = set.tokens.iter().map(|value| {
            KeyRange::exact(&IndexKey {
                param: self.param.id,
                value: value.clone(),
            })
        });
        let open = set
            .codes
            .iter()
            .map(|value| KeyRange::prefix(self.param.id, value));
        let below = set
            .below
            .iter()
            .map(|(start, _)| KeyRange::prefix(self.param.id, start));
        Some(exact.chain(open).chain(below).collect())
    }

    /// Its ranges hold codes of other systems too: keys decide.
    pub(super) fn is_wide(&self) -> bool {
        self.set.as_ref().is_some_and(|set| !set.below.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_sets_know_their_members() {
        let mut set = CodeSet::default();
        set.add("http://a", "x", false);
        set.add("", "y", false);
        set.add_system("http://all");
        for (system, code, expected) in [
            ("http://a", "x", true),
            ("http://b", "x", false),
            ("http://b", "y", true),
            ("", "y", true),
            ("http://all", "anything", true),
            ("", "x", false),
            ("http://a", "X", false),
        ] {
            let key = encode::token(system, code, false);
            assert_eq!(set.holds(&key), expected, "{system}|{code}");
        }
        assert!(!set.holds(b"short"));
    }
}
