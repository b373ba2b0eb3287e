//! Conditions on the store: sets of record numbers, and tests on the keys of few candidates.

mod canonicals;
mod hops;
mod rows;

use super::cond::accepts;
use super::{Cond, MAX_ROWS};
use crate::outcome::Failure;
use fhir::keys::Options;
use fhir::keys::query::QueryRange;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;
use store::{Granted, IndexKey, KeyRange, RepoId, Rid, Snapshot, StoreError};

/// Estimates are counted up to here; beyond, a leg is wide.
pub(super) const WIDE: u64 = 1_000;
/// Most records that a condition on `_lastUpdated` leads with.
const RECENT: usize = 1_000;
/// How many records a hop is guessed to lead back to.
const FAN: u64 = 16;
/// Records whose keys one search remembers.
const REMEMBERED: usize = 10_000;
/// Up to so many candidates are tested one by one rather than intersected with a range.
const FEW: usize = 200;
/// Rows per scan call.
const CHUNK: usize = 4_096;

/// Evaluates conditions at one snapshot under one grant.
pub struct Evaluator<'a> {
    /// Where.
    pub snapshot: &'a Snapshot,
    /// What may be seen.
    pub granted: &'a Granted,
    /// Of which repository.
    pub repo: RepoId,
    /// Key options.
    pub options: &'a Options,
    left: Cell<usize>,
    keys: RefCell<HashMap<Rid, Rc<Vec<IndexKey>>>>,
    steps: RefCell<Option<Vec<Step>>>,
}

/// One step of a search, for `$explain`. Names parameters and counts, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// Guess made beforehand, when there was one; capped at a few thousand.
    pub estimate: Option<u64>,
    /// Records it left.
    pub records: usize,
    /// Index rows it looked at.
    pub rows: usize,
    /// Time, µs.
    pub took_us: u64,
}

impl<'a> Evaluator<'a> {
    /// With the whole row budget.
    pub fn new(
        snapshot: &'a Snapshot,
        granted: &'a Granted,
        repo: RepoId,
        options: &'a Options,
    ) -> Self {
        Self {
            snapshot,
            granted,
            repo,
            options,
            left: Cell::new(MAX_ROWS),
            keys: RefCell::default(),
            steps: RefCell::new(None),
        }
    }

    /// Keeps the steps from here on.
    pub fn traced(self) -> Self {
        *self.steps.borrow_mut() = Some(Vec::new());
        self
    }

    /// The steps kept.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.borrow().clone().unwrap_or_default()
    }

    /// Index rows looked at.
    pub fn rows(&self) -> usize {
        MAX_ROWS - self.left()
    }

    /// Runs a step, and notes it when steps are kept.
    pub(crate) fn step(
        &self,
        what: impl FnOnce() -> String,
        estimate: Option<u64>,
        run: impl FnOnce() -> Result<Vec<Rid>, Failure>,
    ) -> Result<Vec<Rid>, Failure> {
        if self.steps.borrow().is_none() {
            return run();
        }
        let (began, left) = (Instant::now(), self.left());
        let found = run()?;
        let step = Step {
            what: what(),
            estimate,
            records: found.len(),
            rows: left - self.left(),
            took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        if let Some(steps) = self.steps.borrow_mut().as_mut() {
            steps.push(step);
        }
        Ok(found)
    }

    pub fn spend(&self, rows: usize) -> Result<(), Failure> {
        match self.left.get().checked_sub(rows) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(too_many_rows()),
        }
    }

    fn left(&self) -> usize {
        self.left.get()
    }

    /// Records of a type for which all conditions hold, ascending. Without conditions: every visible record of the type.
    pub fn matching(&self, rtype: &str, conds: &[Cond]) -> Result<Vec<Rid>, Failure> {
        let all: Vec<&Cond> = conds.iter().collect();
        self.narrow(rtype, None, &all)
    }

    /// The same, among `lead` (all of that type) when given.
    fn narrow(
        &self,
        rtype: &str,
        lead: Option<Vec<Rid>>,
        conds: &[&Cond],
    ) -> Result<Vec<Rid>, Failure> {
        let mut rest: Vec<(u64, &Cond)> = Vec::with_capacity(conds.len());
        let is_single = conds.len() == 1 && lead.is_none();
        for cond in conds {
            let cost = if is_single {
                0
            } else {
                self.estimate(cond, WIDE)?
            };
            rest.push((cost, cond));
        }
        rest.sort_by_key(|(cost, cond)| (!cond.leads(), reads_documents(cond), *cost));
        let mut rest = rest.into_iter();
        let mut rids = match lead {
            Some(rids) => rids,
            None if conds.iter().any(|c| c.leads()) => match rest.next() {
                Some((cost, first)) => self.lead(rtype, first, (!is_single).then_some(cost))?,
                None => Vec::new(),
            },
            None => match self.recent(rtype, conds)? {
                Some(rids) => rids,
                None => self.step(|| "all of the type".to_owned(), None, || self.all(rtype))?,
            },
        };
        for (cost, cond) in rest {
            if rids.is_empty() {
                break;
            }
            rids = self.step(
                || format!("filter by {}", cond.named()),
                Some(cost),
                || self.apply(rtype, rids, cond, cost),
            )?;
        }
        Ok(rids)
    }

    /// All records of a type for which a leading condition holds.
    pub(super) fn lead(
        &self,
        rtype: &str,
        cond: &Cond,
        estimate: Option<u64>,
    ) -> Result<Vec<Rid>, Failure> {
        self.step(
            || format!("lead by {}", cond.named()),
            estimate,
            || {
                let rids = self.set(rtype, cond)?;
                if cond.is_typed() {
                    Ok(rids)
                } else {
                    self.of_type(rtype, &rids)
                }
            },
        )
    }

    /// Records changed lately enough for one of the conditions on `_lastUpdated`, when they are few and all known.
    pub(super) fn recent(&self, rtype: &str, conds: &[&Cond]) -> Result<Option<Vec<Rid>>, Failure> {
        let since = conds.iter().filter_map(|c| match c {
            Cond::LastUpdated(spans) => spans
                .iter()
                .map(|s| s.since())
                .collect::<Option<Vec<i64>>>()
                .and_then(|list| list.into_iter().min()),
            _ => None,
        });
        let Some(since) = since.max() else {
            return Ok(None);
        };
        let heads = self
            .snapshot
            .newest(self.granted, self.repo, rtype, None, RECENT)
            .map_err(costly)?;
        let Some(heads) = heads else { return Ok(None) };
        self.spend(heads.len().max(1))?;
        let is_all = heads.len() < RECENT || heads.last().is_some_and(|h| h.at < since);
        if !is_all {
            return Ok(None);
        }
        let mut rids: Vec<Rid> = heads
            .into_iter()
            .filter(|h| h.at >= since)
            .map(|h| h.rid)
            .collect();
        rids.sort_unstable();
        Ok(Some(rids))
    }

    /// Every visible record of a type.
    pub fn all(&self, rtype: &str) -> Result<Vec<Rid>, Failure> {
        let limit = self.left().saturating_add(1);
        let rids = self
            .snapshot
            .type_rids(self.granted, self.repo, rtype, Rid(0), limit)
            .map_err(costly)?;
        self.spend(rids.len())?;
        Ok(rids)
    }

    /// Those of a type.
    pub(super) fn of_type(&self, rtype: &str, rids: &[Rid]) -> Result<Vec<Rid>, Failure> {
        self.spend(rids.len())?;
        Ok(self
            .snapshot
            .heads(self.granted, rids)?
            .into_iter()
            .filter(|h| h.rtype == rtype)
            .map(|h| h.rid)
            .collect())
    }

    /// Rough number of records, no more than `most`; for choosing only.
    pub(super) fn estimate(&self, cond: &Cond, most: u64) -> Result<u64, Failure> {
        let mut rows = 0u64;
        match cond {
            Cond::Query { query, .. } if query.negate => return Ok(most),
            Cond::Query { query, .. } => {
                for range in query.ranges.iter().map(key_range) {
                    rows += self.estimate_range(&range, most - rows)?;
                    if rows >= most {
                        break;
                    }
                }
            }
            Cond::Coded(coded) => match coded.ranges() {
                Some(ranges) if !coded.how.excludes() => {
                    for range in ranges {
                        rows += self.estimate_range(&range, most - rows)?;
                        if rows >= most {
                            break;
                        }
                    }
                }
                _ => rows = most,
            },
            Cond::Id(ids) => rows = ids.len() as u64,
            Cond::Rids(rids) => rows = rids.len() as u64,
            Cond::List(_) => rows = 100,
            Cond::Any(list) => {
                for cond in list {
                    rows += self.estimate(cond, most - rows)?;
                    if rows >= most {
                        break;
                    }
                }
            }
            Cond::All(list) => {
                rows = most;
                for cond in list.iter().filter(|c| c.leads()) {
                    rows = rows.min(self.estimate(cond, rows)?);
                }
            }
            Cond::Nothing => rows = 0,
            Cond::LastUpdated(_) | Cond::Not(_) | Cond::Text(_) => rows = most,
            Cond::Chain { inner, .. } => {
                let hops = self.estimate(inner, most / FAN + 1)?;
                rows = hops.saturating_mul(FAN);
            }
            Cond::Has { inner, .. } => rows = self.estimate(inner, most)?,
        }
        Ok(rows.min(most))
    }

    pub(super) fn estimate_range(&self, range: &KeyRange, most: u64) -> Result<u64, Failure> {
        self.spend(1)?;
        Ok(self.snapshot.estimate_up_to(self.repo, range, most)?)
    }

    /// Narrows candidates by one more condition.
    pub(super) fn apply(
        &self,
        rtype: &str,
        rids: Vec<Rid>,
        cond: &Cond,
        cost: u64,
    ) -> Result<Vec<Rid>, Failure> {
        let is_few = rids.len() <= FEW || (rids.len() as u64).saturating_mul(4) < cost;
        match cond {
            Cond::LastUpdated(spans) => {
                self.spend(rids.len())?;
                Ok(self
                    .snapshot
                    .heads(self.granted, &rids)?
                    .into_iter()
                    .filter(|h| spans.iter().any(|s| s.holds(h.at)))
                    .map(|h| h.rid)
                    .collect())
            }
            // Hits are only candidates: the document decides.
            Cond::Query { query, .. } if query.negate && query.recheck => self.recheck(rids, cond),
            Cond::Query { query, .. } if is_few => {
                self.remember(&rids)?;
                let mut kept = Vec::with_capacity(rids.len());
                for rid in rids {
                    if accepts(query, &self.keys(rid)?) != query.negate {
                        kept.push(rid);
                    }
                }
                self.recheck(kept, cond)
            }
            Cond::Query { query, .. } => {
                let hits: HashSet<Rid> = self.ranges(query)?.into_iter().collect();
                let kept = rids
                    .into_iter()
                    .filter(|rid| hits.contains(rid) != query.negate)
                    .collect();
                self.recheck(kept, cond)
            }
            Cond::Coded(coded) => {
                self.remember(&rids)?;
                let mut kept = Vec::with_capacity(rids.len());
                for rid in rids {
                    if coded.holds(&self.keys(rid)?) {
                        kept.push(rid);
                    }
                }
                Ok(kept)
            }
            Cond::All(list) => {
                let mut rids = rids;
                for cond in list {
                    rids = self.apply(rtype, rids, cond, cost)?;
                }
                Ok(rids)
            }
            Cond::Not(inner) => {
                let hits: HashSet<Rid> = self
                    .apply(rtype, rids.clone(), inner, cost)?
                    .into_iter()
                    .collect();
                Ok(rids.into_iter().filter(|rid| !hits.contains(rid)).collect())
            }
            Cond::Text(words) => self.read_through(rids, |doc| Ok(words.hold_in(doc))),
            Cond::Has {
                source,
                param,
                inner,
            } if is_few => self.has_from(rids, source, param, inner),
            Cond::Chain {
                param,
                target,
                inner,
            } if is_few => self.chain_from(rids, param, target, inner),
            Cond::Any(list) if !list.iter().all(Cond::leads) || is_few => {
                let mut kept = BTreeSet::new();
                for cond in list {
                    kept.extend(self.apply(rtype, rids.clone(), cond, cost)?);
                }
                Ok(kept.into_iter().collect())
            }
            other => {
                let hits: HashSet<Rid> = self.set(rtype, other)?.into_iter().collect();
                Ok(rids.into_iter().filter(|rid| hits.contains(rid)).collect())
            }
        }
    }

    /// All records for which a leading condition may hold, ascending.
    fn set(&self, rtype: &str, cond: &Cond) -> Result<Vec<Rid>, Failure> {
        match cond {
            Cond::Query { query, .. } if query.negate => {
                self.apply(rtype, self.all(rtype)?, cond, 0)
            }
            Cond::Query { query, .. } => self.recheck(self.ranges(query)?, cond),
            Cond::Coded(coded) => match coded.ranges() {
                Some(ranges) if !coded.how.excludes() => {
                    let mut rids = Vec::new();
                    for range in &ranges {
                        rids.extend(self.rows_of(range)?);
                    }
                    rids.sort_unstable();
                    rids.dedup();
                    if coded.is_wide() {
                        return self.apply(rtype, rids, cond, 0);
                    }
                    Ok(rids)
                }
                _ => self.apply(rtype, self.all(rtype)?, cond, 0),
            },
            Cond::All(list) => {
                let list: Vec<&Cond> = list.iter().collect();
                self.narrow(rtype, None, &list)
            }
            Cond::List(id) => self.listed(rtype, id),
            Cond::Id(ids) => {
                let mut rids = Vec::new();
                self.spend(ids.len())?;
                for id in ids {
                    rids.extend(self.rid_of(rtype, id)?);
                }
                rids.sort_unstable();
                Ok(rids)
            }
            Cond::Any(list) => {
                let mut rids = BTreeSet::new();
                for cond in list {
                    rids.extend(self.set(rtype, cond)?);
                }
                Ok(rids.into_iter().collect())
            }
            Cond::Rids(rids) => Ok(rids.clone()),
            Cond::Nothing => Ok(Vec::new()),
            Cond::LastUpdated(_) | Cond::Not(_) | Cond::Text(_) => {
                self.apply(rtype, self.all(rtype)?, cond, 0)
            }
            Cond::Chain {
                param,
                target,
                inner,
            } => {
                let between = self.between(target, inner)?;
                let mut rids = BTreeSet::new();
                for head in self.snapshot.heads(self.granted, &between)? {
                    rids.extend(self.referring(param, target, &head.id)?);
                }
                Ok(rids.into_iter().collect())
            }
            Cond::Has {
                source,
                param,
                inner,
            } => {
                let mut ids = BTreeSet::new();
                for rid in self.between(source, inner)? {
                    ids.extend(self.referred(rid, param, rtype)?);
                }
                let mut rids = BTreeSet::new();
                for id in ids {
                    rids.extend(self.rid_of(rtype, &id)?);
                }
                Ok(rids.into_iter().collect())
            }
        }
    }
}

/// Whether testing it means reading documents.
pub(super) fn reads_documents(cond: &Cond) -> bool {
    match cond {
        Cond::Query { query, .. } => query.recheck,
        Cond::Text(_) => true,
        Cond::Any(list) | Cond::All(list) => list.iter().any(reads_documents),
        Cond::Not(inner) => reads_documents(inner),
        _ => false,
    }
}

/// Id and type of a key made by [`encode::reference_local`].
pub(super) fn local_target(value: &[u8]) -> Option<(&str, &str)> {
    let rest = value.strip_prefix(&[1])?;
    let end = rest.iter().position(|b| *b == 0)?;
    let (id, rtype) = rest.split_at_checked(end)?;
    Some((
        std::str::from_utf8(id).ok()?,
        std::str::from_utf8(rtype.get(1..)?).ok()?,
    ))
}

pub(super) fn key_range(range: &QueryRange) -> KeyRange {
    KeyRange {
        param: range.param,
        from: range.from.clone(),
        to: range.to.clone(),
    }
}

fn too_many_rows() -> Failure {
    Failure::too_costly(format!(
        "the search would look at more than {MAX_ROWS} index rows; narrow it"
    ))
}

/// `Invalid` of a bounded read means that the bound was met.
pub(super) fn costly(error: StoreError) -> Failure {
    match error {
        StoreError::Invalid(_) => too_many_rows(),
        other => other.into(),
    }
}
