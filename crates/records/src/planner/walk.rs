//! Matches in record order, as many as are wanted and no more: a page reads about a page of index rows.
//!
//! One condition leads, the others are tested on what it gives. A condition that few records satisfy leads with all of
//! them; one that names exact values leads row by row, since rows of one value stand in record order. When nothing
//! selective leads, the type's own order does, and gives way to the widest-looking condition when little matches.

use super::Cond;
use super::evaluate::{Evaluator, WIDE, costly, key_range, reads_documents};
use crate::outcome::Failure;
use fhir::keys::encode;
use fhir::keys::query::Query;
use std::collections::VecDeque;
use store::{Direction, IndexKey, IndexRow, KeyRange, Rid};

/// Up to so many index rows a leg is read whole, and its total is cheap.
pub const CHEAP: u64 = 100;
/// Most values of a leg that are walked side by side.
const MAX_LEGS: usize = 16;
/// Most values that a range is looked through for.
const MAX_VALUES: usize = 8;
/// Candidates tested at a time: first and at most.
const CHUNK: (usize, usize) = (64, 1_024);
/// After so many candidates with few hits another leg takes over.
const PATIENCE: usize = 1_000;
/// Of so many candidates fewer than one hit is few.
const FEW_HITS: usize = 50;

/// Rows of one value, in record order.
struct Leg {
    range: KeyRange,
    value: Vec<u8>,
    buffer: VecDeque<Rid>,
    after: Rid,
    more: bool,
}

enum Driver {
    /// All records of the type.
    Type,
    /// These.
    Listed(VecDeque<Rid>),
    /// Legs merged.
    Legs(Vec<Leg>),
}

/// A walk over the matches of one type.
pub struct Walk<'c> {
    rtype: String,
    driver: Driver,
    /// Leads to records of other types too.
    mixed: bool,
    rest: Vec<&'c Cond>,
    /// Leads instead when the type's order gives little.
    wide: Option<&'c Cond>,
    ready: VecDeque<Rid>,
    last: Rid,
    tested: usize,
    hits: usize,
    chunk: usize,
    over: bool,
}

impl<'c> Walk<'c> {
    /// Begins after a record.
    pub fn open(
        evaluator: &Evaluator<'_>,
        rtype: &str,
        conds: &'c [Cond],
        after: Rid,
    ) -> Result<Self, Failure> {
        let mut walk = Self {
            rtype: rtype.to_owned(),
            driver: Driver::Type,
            mixed: false,
            rest: conds.iter().collect(),
            wide: None,
            ready: VecDeque::new(),
            last: after,
            tested: 0,
            hits: 0,
            chunk: CHUNK.0,
            over: false,
        };
        walk.choose(evaluator, conds)?;
        walk.rest.sort_by_key(|c| {
            let hops = matches!(c, Cond::Chain { .. } | Cond::Has { .. });
            (reads_documents(c), hops)
        });
        Ok(walk)
    }

    fn choose(&mut self, evaluator: &Evaluator<'_>, conds: &'c [Cond]) -> Result<(), Failure> {
        let leading: Vec<&'c Cond> = conds.iter().filter(|c| c.leads()).collect();
        for most in [CHEAP, WIDE] {
            // Nothing to choose between: its rows in their order are the answer, however many there are.
            if most > CHEAP
                && let [only] = conds
                && self.walk_rows(evaluator, only)?
            {
                return Ok(());
            }
            let mut best: Option<(&'c Cond, u64)> = None;
            for cond in &leading {
                let bound = best.map_or(most, |(_, rows)| rows);
                let rows = evaluator.estimate(cond, bound)?;
                if rows < bound {
                    best = Some((cond, rows));
                }
            }
            if let Some((cond, rows)) = best {
                // What a hop leads back to is a guess: its rows are counted before they are all taken.
                let is_sure = most == CHEAP && !matches!(cond, Cond::Chain { .. });
                if !is_sure && self.walk_rows(evaluator, cond)? {
                    return Ok(());
                }
                return self.take_all(evaluator, cond, Some(rows));
            }
        }
        let all: Vec<&Cond> = conds.iter().collect();
        if let Some(rids) = evaluator.recent(&self.rtype, &all)? {
            let last = self.last;
            self.driver = Driver::Listed(rids.into_iter().filter(|rid| *rid > last).collect());
            return Ok(());
        }
        for cond in &leading {
            if self.walk_rows(evaluator, cond)? {
                return Ok(());
            }
        }
        self.wide = leading
            .iter()
            .find(|c| matches!(c, Cond::Query { .. }))
            .or(leading.first())
            .copied();
        Ok(())
    }

    /// Leads with everything that a condition gives.
    fn take_all(
        &mut self,
        evaluator: &Evaluator<'_>,
        cond: &'c Cond,
        estimate: Option<u64>,
    ) -> Result<(), Failure> {
        let last = self.last;
        let rids = evaluator.lead(&self.rtype, cond, estimate)?;
        self.driver = Driver::Listed(rids.into_iter().filter(|rid| *rid > last).collect());
        self.rest.retain(|c| !std::ptr::eq(*c, cond));
        Ok(())
    }

    /// Leads row by row, when the condition names exact values; whether it does.
    fn walk_rows(&mut self, evaluator: &Evaluator<'_>, cond: &'c Cond) -> Result<bool, Failure> {
        let Some(keys) = evaluator.exact_keys(cond)? else {
            return Ok(false);
        };
        if matches!(cond, Cond::Chain { .. }) {
            let mut rows = 0;
            for key in &keys {
                rows += evaluator.estimate_range(&KeyRange::exact(key), CHEAP - rows)?;
                if rows >= CHEAP {
                    break;
                }
            }
            if rows < CHEAP {
                return Ok(false);
            }
        }
        let after = self.last;
        self.driver = Driver::Legs(
            keys.into_iter()
                .map(|key| Leg {
                    range: KeyRange::exact(&key),
                    value: key.value,
                    buffer: VecDeque::new(),
                    after,
                    more: true,
                })
                .collect(),
        );
        self.mixed = !cond.is_typed();
        if !reads_documents(cond) {
            self.rest.retain(|c| !std::ptr::eq(*c, cond));
        }
        evaluator.step(
            || format!("lead by {}, row by row", cond.named()),
            None,
            || Ok(Vec::new()),
        )?;
        Ok(true)
    }

    /// The next candidates, ascending; fewer than asked for means the end.
    fn candidates(&mut self, evaluator: &Evaluator<'_>, most: usize) -> Result<Vec<Rid>, Failure> {
        match &mut self.driver {
            Driver::Listed(rids) => {
                let n = most.min(rids.len());
                Ok(rids.drain(..n).collect())
            }
            Driver::Type => evaluator.some(&self.rtype, self.last, most),
            Driver::Legs(legs) => {
                let mut out = Vec::with_capacity(most);
                while out.len() < most {
                    let mut lowest: Option<Rid> = None;
                    for leg in legs.iter_mut() {
                        leg.fill(evaluator, most - out.len())?;
                        if let Some(rid) = leg.buffer.front() {
                            lowest = Some(lowest.map_or(*rid, |low| low.min(*rid)));
                        }
                    }
                    let Some(rid) = lowest else { break };
                    for leg in legs.iter_mut() {
                        if leg.buffer.front() == Some(&rid) {
                            leg.buffer.pop_front();
                        }
                    }
                    out.push(rid);
                }
                Ok(out)
            }
        }
    }

    /// Has `want` matches ready, unless the walk ends before.
    pub fn fill(&mut self, evaluator: &Evaluator<'_>, want: usize) -> Result<(), Failure> {
        while self.ready.len() < want && !self.over {
            let most = if self.rest.is_empty() && !self.mixed {
                (want - self.ready.len()).min(CHUNK.1 * 4)
            } else {
                self.chunk.max(want.min(CHUNK.1))
            };
            let mut rids = self.candidates(evaluator, most)?;
            self.over = rids.len() < most;
            if let Some(last) = rids.last() {
                self.last = *last;
            }
            self.tested += rids.len();
            if self.mixed {
                rids = evaluator.of_type(&self.rtype, &rids)?;
            }
            for cond in &self.rest {
                if rids.is_empty() {
                    break;
                }
                rids = evaluator.step(
                    || format!("test {}", cond.named()),
                    None,
                    || evaluator.apply(&self.rtype, rids, cond, u64::MAX),
                )?;
            }
            self.hits += rids.len();
            self.ready.extend(rids);
            self.chunk = (self.chunk * 2).min(CHUNK.1);
            if !self.over
                && self.tested >= PATIENCE
                && self.hits.saturating_mul(FEW_HITS) < self.tested
                && let Some(wide) = self.wide.take()
            {
                self.take_all(evaluator, wide, None)?;
            }
        }
        Ok(())
    }

    /// The next matches, at most `most`; none at the end.
    pub fn next(&mut self, evaluator: &Evaluator<'_>, most: usize) -> Result<Vec<Rid>, Failure> {
        self.fill(evaluator, most)?;
        let n = most.min(self.ready.len());
        Ok(self.ready.drain(..n).collect())
    }

    fn front(&self) -> Option<Rid> {
        self.ready.front().copied()
    }
}

impl Leg {
    fn fill(&mut self, evaluator: &Evaluator<'_>, want: usize) -> Result<(), Failure> {
        if !self.buffer.is_empty() || !self.more {
            return Ok(());
        }
        let want = want.clamp(1, CHUNK.1 * 4);
        let after = IndexRow {
            value: self.value.clone(),
            rid: self.after,
        };
        let rows = evaluator
            .snapshot
            .scan(
                evaluator.granted,
                evaluator.repo,
                &self.range,
                Direction::Ascending,
                Some(&after),
                want,
            )
            .map_err(costly)?;
        evaluator.spend(rows.len().max(1))?;
        self.more = rows.len() == want;
        if let Some(row) = rows.last() {
            self.after = row.rid;
        }
        self.buffer.extend(rows.into_iter().map(|row| row.rid));
        Ok(())
    }
}

impl Evaluator<'_> {
    /// Some visible records of a type, ascending, after one.
    fn some(&self, rtype: &str, after: Rid, most: usize) -> Result<Vec<Rid>, Failure> {
        let rids = self
            .snapshot
            .type_rids(self.granted, self.repo, rtype, after, most)
            .map_err(costly)?;
        self.spend(rids.len().max(1))?;
        Ok(rids)
    }

    /// The exact keys that a condition comes down to, when they are few.
    fn exact_keys(&self, cond: &Cond) -> Result<Option<Vec<IndexKey>>, Failure> {
        Ok(match cond {
            Cond::Query { query, .. } => self.values(query)?,
            Cond::Any(list) if list.len() <= MAX_LEGS => {
                let mut keys = Vec::new();
                for cond in list {
                    if !matches!(cond, Cond::Query { .. }) {
                        return Ok(None);
                    }
                    match self.exact_keys(cond)? {
                        Some(more) => keys.extend(more),
                        None => return Ok(None),
                    }
                }
                (keys.len() <= MAX_LEGS).then_some(keys)
            }
            Cond::Chain {
                param,
                target,
                inner,
            } if inner.leads() => {
                let few = MAX_LEGS as u64;
                if self.estimate(inner, few + 1)? > few {
                    return Ok(None);
                }
                let between = self.matching(target, std::slice::from_ref(inner))?;
                if between.len() > MAX_LEGS {
                    return Ok(None);
                }
                let heads = self.snapshot.heads(self.granted, &between)?;
                Some(
                    heads
                        .iter()
                        .map(|head| IndexKey {
                            param: param.id | encode::sub::MAIN,
                            value: encode::reference_local(&head.id, Some(target)),
                        })
                        .collect(),
                )
            }
            _ => None,
        })
    }

    /// The exact keys that a query comes down to, when they are few.
    fn values(&self, query: &Query) -> Result<Option<Vec<IndexKey>>, Failure> {
        if query.negate
            || query.ranges.len() > MAX_LEGS
            || query.ranges.iter().any(|r| r.filter.is_some())
        {
            return Ok(None);
        }
        let mut keys = Vec::new();
        for range in query.ranges.iter().map(key_range) {
            let is_exact = range
                .to
                .as_ref()
                .is_some_and(|to| to.split_last() == Some((&0, range.from.as_slice())));
            if is_exact {
                keys.push(IndexKey {
                    param: range.param,
                    value: range.from,
                });
                continue;
            }
            let mut after = None;
            for n in 0..=MAX_VALUES {
                let rows = self
                    .snapshot
                    .scan(
                        self.granted,
                        self.repo,
                        &range,
                        Direction::Ascending,
                        after.as_ref(),
                        1,
                    )
                    .map_err(costly)?;
                self.spend(1)?;
                let Some(row) = rows.into_iter().next() else {
                    break;
                };
                if n == MAX_VALUES {
                    return Ok(None);
                }
                keys.push(IndexKey {
                    param: range.param,
                    value: row.value.clone(),
                });
                after = Some(IndexRow {
                    rid: Rid(u64::MAX),
                    ..row
                });
            }
        }
        keys.sort_by(|a, b| (a.param, &a.value).cmp(&(b.param, &b.value)));
        keys.dedup();
        Ok((keys.len() <= MAX_LEGS).then_some(keys))
    }
}

/// Walks over several types as one, in record order.
pub struct Merged<'c>(pub Vec<Walk<'c>>);

impl Merged<'_> {
    /// The next matches, at most `most`.
    pub fn take(&mut self, evaluator: &Evaluator<'_>, most: usize) -> Result<Vec<Rid>, Failure> {
        let mut out = Vec::with_capacity(most.min(1_024));
        let ahead = if self.0.len() == 1 { most } else { CHUNK.0 };
        while out.len() < most {
            for walk in &mut self.0 {
                if walk.ready.is_empty() {
                    walk.fill(evaluator, ahead.min(most - out.len()))?;
                }
            }
            let Some(lowest) = self.0.iter().filter_map(Walk::front).min() else {
                break;
            };
            for walk in &mut self.0 {
                if walk.front() == Some(lowest) {
                    walk.ready.pop_front();
                }
            }
            out.push(lowest);
        }
        Ok(out)
    }

    /// How many more there are, when that is cheap to tell.
    pub fn left(&mut self, evaluator: &Evaluator<'_>) -> Result<Option<u64>, Failure> {
        let cheap = usize::try_from(CHEAP).unwrap_or(usize::MAX);
        let mut left = 0;
        for walk in &mut self.0 {
            if !walk.over {
                match (&walk.driver, walk.rest.is_empty()) {
                    (Driver::Listed(rids), true) => left += rids.len() as u64,
                    (Driver::Listed(rids), false) if rids.len() <= cheap => {
                        walk.fill(evaluator, usize::MAX)?;
                    }
                    (Driver::Type, true) => {
                        walk.fill(evaluator, cheap + 1)?;
                        if walk.ready.len() > cheap {
                            return Ok(None);
                        }
                    }
                    (Driver::Type, false) if walk.tested <= cheap => {
                        // Few records of the type: test them all; many: one look tells.
                        if evaluator.some(&walk.rtype, walk.last, cheap + 1)?.len() > cheap {
                            return Ok(None);
                        }
                        walk.fill(evaluator, usize::MAX)?;
                    }
                    _ => return Ok(None),
                }
            }
            left += walk.ready.len() as u64;
        }
        Ok(Some(left))
    }
}
