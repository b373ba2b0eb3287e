//! Order of a result (spec/fhir-server.md §3.5): by any number of parameters; records without a value last in both
//! directions; ties by record number (falling with a falling first key, so that an index read backwards is in order).
//!
//! Few matches are sorted in memory. When many may match, one key and the index of its parameter give the page: rows in
//! order, each record tested, until the page is full; then the records without a value.

use super::cond::Cond;
use super::evaluate::{Evaluator, WIDE, costly};
use super::walk::{CHEAP, Walk};
use crate::outcome::Failure;
use crate::params::SortKey;
use fhir::Pack;
use fhir::keys::encode::{self, sub};
use fhir::pack::{ParamInfo, ParamKind};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use store::{Direction, IndexKey, IndexRow, KeyRange, Rid, Seq};

/// From so many records on values are read off the index in order instead of from each record's keys.
const MANY: usize = 4_000;
/// After so many rows of an index with few hits, all matches are sorted instead.
const PATIENCE: usize = 5_000;
/// Of so many rows fewer than one hit is few.
const FEW_HITS: usize = 100;
/// Rows read at a time: first and at most.
const CHUNK: (usize, usize) = (64, 1_024);

/// Where a sorted result goes on: sort values and number of the last record shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// One per sort key; `None` = the record has no value.
    pub keys: Vec<Option<Vec<u8>>>,
    /// Record.
    pub rid: u64,
}

/// A page of a sorted result.
#[derive(Debug, Default)]
pub struct Sorted {
    /// The page.
    pub rids: Vec<Rid>,
    /// Where the next page begins; `None` = there is none.
    pub next: Option<Place>,
    /// All matches, when they were counted.
    pub total: Option<u64>,
}

#[derive(Clone, Copy)]
enum By {
    Id,
    Time,
    Param(&'static ParamInfo),
}

fn by(rtype: &str, key: &SortKey) -> Result<By, Failure> {
    match key.code.as_str() {
        "_id" => return Ok(By::Id),
        "_lastUpdated" => return Ok(By::Time),
        _ => {}
    }
    let refuse = || {
        Failure::bad(
            "not-supported",
            format!("results of type {rtype} cannot be sorted by that parameter"),
        )
        .on("_sort")
    };
    let param = Pack::r4()
        .param(rtype, &key.code)
        .filter(|p| p.expr.is_some())
        .ok_or_else(refuse)?;
    match param.kind {
        ParamKind::Composite | ParamKind::Special => Err(refuse()),
        _ => Ok(By::Param(param)),
    }
}

/// Whether a type can be sorted so.
pub fn check_keys(rtype: &str, keys: &[SortKey]) -> Result<(), Failure> {
    for key in keys {
        by(rtype, key)?;
    }
    Ok(())
}

/// Index forms whose values order the parameter in a direction; the first form that a record has counts.
fn forms(param: &ParamInfo, descending: bool) -> &'static [u32] {
    match (param.kind, descending) {
        (ParamKind::Date, true) => &[sub::HIGH_FIRST],
        (ParamKind::Quantity, false) => &[
            sub::CANONICAL,
            sub::CANONICAL_LOW,
            sub::MAIN,
            sub::RANGE_LOW,
        ],
        (ParamKind::Quantity, true) => &[
            sub::CANONICAL,
            sub::CANONICAL_HIGH,
            sub::MAIN,
            sub::RANGE_HIGH,
        ],
        (ParamKind::Number, false) => &[sub::MAIN, sub::RANGE_LOW],
        (ParamKind::Number, true) => &[sub::MAIN, sub::RANGE_HIGH],
        _ => &[sub::MAIN],
    }
}

/// The part of an index value that orders.
fn ordering_part(kind: ParamKind, form: u32, value: &[u8]) -> Vec<u8> {
    let number = |value: &[u8]| {
        let end = encode::after_number(value, 0);
        value.get(..end).unwrap_or(value).to_vec()
    };
    match kind {
        // The canonical unit stands in front.
        ParamKind::Quantity if form >= sub::CANONICAL => number(value.get(8..).unwrap_or_default()),
        ParamKind::Quantity | ParamKind::Number => number(value),
        // Code alone, without the digest of its system.
        ParamKind::Token => value
            .get(..value.len().saturating_sub(9))
            .unwrap_or_default()
            .to_vec(),
        ParamKind::Reference => match super::evaluate::local_target(value) {
            Some((id, rtype)) => format!("{rtype}/{id}").into_bytes(),
            None => value.get(1..).unwrap_or_default().to_vec(),
        },
        _ => value.to_vec(),
    }
}

/// What a record is sorted by: its smallest value, or its largest.
fn best(param: &ParamInfo, descending: bool, keys: &[IndexKey]) -> Option<Vec<u8>> {
    forms(param, descending).iter().find_map(|form| {
        let values = keys
            .iter()
            .filter(|k| k.param == (param.id | form))
            .map(|k| ordering_part(param.kind, *form, &k.value));
        if descending {
            values.max()
        } else {
            values.min()
        }
    })
}

/// Sort values of records, one column per key.
struct Columns {
    columns: Vec<(HashMap<Rid, Vec<u8>>, bool)>,
    /// Ties fall with a falling first key.
    ties_fall: bool,
}

/// Whether records of one first value fall by number: as the index is read. Commit times are read otherwise.
fn ties_fall(keys: &[SortKey]) -> bool {
    keys.first()
        .is_some_and(|k| k.descending && k.code != "_lastUpdated")
}

impl Columns {
    fn values(&self, rid: Rid) -> Vec<Option<Vec<u8>>> {
        self.columns
            .iter()
            .map(|(column, _)| column.get(&rid).cloned())
            .collect()
    }

    fn order(&self, a: Rid, b: Rid) -> Ordering {
        let pair = |(column, descending): &(HashMap<Rid, Vec<u8>>, bool)| {
            by_value(
                column.get(&a).map(Vec::as_slice),
                column.get(&b).map(Vec::as_slice),
                *descending,
            )
        };
        let by_values = self
            .columns
            .iter()
            .map(pair)
            .find(|o| *o != Ordering::Equal);
        by_values.unwrap_or_else(|| {
            let has_first = self
                .columns
                .first()
                .is_some_and(|(column, _)| column.contains_key(&a));
            by_rid(a, b, self.ties_fall && has_first)
        })
    }

    /// Whether a record stands behind a place.
    fn is_behind(&self, rid: Rid, place: &Place) -> bool {
        for ((column, descending), key) in self.columns.iter().zip(&place.keys) {
            match by_value(
                column.get(&rid).map(Vec::as_slice),
                key.as_deref(),
                *descending,
            ) {
                Ordering::Equal => {}
                order => return order == Ordering::Greater,
            }
        }
        let falls = self.ties_fall && place.keys.first().is_some_and(Option::is_some);
        by_rid(rid, Rid(place.rid), falls) == Ordering::Greater
    }
}

fn by_value(a: Option<&[u8]>, b: Option<&[u8]>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.cmp(a),
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

fn by_rid(a: Rid, b: Rid, falls: bool) -> Ordering {
    if falls { b.cmp(&a) } else { a.cmp(&b) }
}

impl Evaluator<'_> {
    /// Puts records, by type, into one order. Without keys: ascending by record number.
    pub fn sorted(
        &self,
        of_type: &BTreeMap<String, Vec<Rid>>,
        keys: &[SortKey],
    ) -> Result<Vec<Rid>, Failure> {
        let mut all: Vec<Rid> = of_type.values().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        if !keys.is_empty() {
            let columns = self.columns(of_type, keys)?;
            all.sort_by(|a, b| columns.order(*a, *b));
        }
        Ok(all)
    }

    fn columns(
        &self,
        of_type: &BTreeMap<String, Vec<Rid>>,
        keys: &[SortKey],
    ) -> Result<Columns, Failure> {
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            let mut column = HashMap::new();
            for (rtype, rids) in of_type {
                self.column(rtype, key, rids, &mut column)?;
            }
            columns.push((column, key.descending));
        }
        Ok(Columns {
            columns,
            ties_fall: ties_fall(keys),
        })
    }

    /// A page of the matches in order.
    pub fn sorted_page(
        &self,
        types: &[(String, &[Cond])],
        keys: &[SortKey],
        after: Option<&Place>,
        size: usize,
    ) -> Result<Sorted, Failure> {
        if let ([(rtype, conds)], [key]) = (types, keys)
            && let Some(page) = self.by_index(rtype, conds, key, after, size)?
        {
            return Ok(page);
        }
        let mut of_type = BTreeMap::new();
        for (rtype, conds) in types {
            of_type.insert(rtype.clone(), self.matching(rtype, conds)?);
        }
        let mut all: Vec<Rid> = of_type.values().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        let total = all.len() as u64;
        let mut columns = Columns {
            columns: Vec::new(),
            ties_fall: false,
        };
        self.step(
            || format!("sort in memory by {} keys", keys.len()),
            Some(total),
            || {
                columns = self.columns(&of_type, keys)?;
                Ok(Vec::new())
            },
        )?;
        if let Some(place) = after {
            all.retain(|rid| columns.is_behind(*rid, place));
        }
        all.sort_by(|a, b| columns.order(*a, *b));
        let has_more = all.len() > size;
        all.truncate(size);
        let next = all.last().filter(|_| has_more).map(|rid| Place {
            keys: columns.values(*rid),
            rid: rid.0,
        });
        Ok(Sorted {
            rids: all,
            next,
            total: Some(total),
        })
    }

    /// A page by the index of the sort key; `None` when sorting all matches is the better way.
    fn by_index(
        &self,
        rtype: &str,
        conds: &[Cond],
        key: &SortKey,
        after: Option<&Place>,
        size: usize,
    ) -> Result<Option<Sorted>, Failure> {
        let by = by(rtype, key)?;
        let has_order = match by {
            By::Param(param) => {
                let is_in_order = matches!(
                    param.kind,
                    ParamKind::Date | ParamKind::String | ParamKind::Uri
                );
                is_in_order && param.base.as_ref() == rtype
            }
            By::Time => key.descending,
            By::Id => false,
        };
        if !has_order {
            return Ok(None);
        }
        let leading: Vec<&Cond> = conds.iter().filter(|c| c.leads()).collect();
        for cond in &leading {
            if self.estimate(cond, WIDE)? < WIDE {
                return Ok(None);
            }
        }
        if leading.is_empty() {
            let few = usize::try_from(CHEAP).unwrap_or(usize::MAX);
            let found = self
                .snapshot
                .type_rids(self.granted, self.repo, rtype, Rid(0), few + 1)
                .map_err(costly)?;
            if found.len() <= few {
                return Ok(None);
            }
        }
        let By::Param(param) = by else {
            return self.by_time(rtype, conds, after, size);
        };
        let mut page = InOrder {
            rtype,
            conds,
            param,
            descending: key.descending,
            size,
            found: Vec::new(),
            tested: 0,
        };
        let last = after.and_then(|p| Some((p.keys.first()?.clone(), Rid(p.rid))));
        let from_row = match last {
            Some((None, rid)) => {
                return Ok(self.without_value(&mut page, rid)?.then(|| page.done()));
            }
            Some((Some(value), rid)) => Some(IndexRow { value, rid }),
            None => None,
        };
        if !self.with_value(&mut page, from_row)? {
            return Ok(None);
        }
        if page.found.len() <= size && !self.without_value(&mut page, Rid(0))? {
            return Ok(None);
        }
        Ok(Some(page.done()))
    }

    /// A page of the newest first; `None` when the store has no such order, or it takes too long.
    fn by_time(
        &self,
        rtype: &str,
        conds: &[Cond],
        after: Option<&Place>,
        size: usize,
    ) -> Result<Option<Sorted>, Failure> {
        let mut last = match after {
            Some(place) => {
                let seq = place.keys.first().and_then(|k| k.as_deref());
                let Some(seq) = seq.and_then(|k| <[u8; 8]>::try_from(k).ok()) else {
                    return Ok(None);
                };
                Some((Seq(u64::from_be_bytes(seq)), Rid(place.rid)))
            }
            None => None,
        };
        let mut found: Vec<(Seq, Rid)> = Vec::new();
        let (mut tested, mut chunk) = (0, CHUNK.0.max(size + 1));
        loop {
            let heads = self
                .snapshot
                .newest(self.granted, self.repo, rtype, last, chunk)
                .map_err(costly)?;
            let Some(heads) = heads else { return Ok(None) };
            self.spend(heads.len().max(1))?;
            tested += heads.len();
            let mut rids: Vec<Rid> = heads.iter().map(|h| h.rid).collect();
            rids.sort_unstable();
            for cond in conds {
                if !rids.is_empty() {
                    rids = self.apply(rtype, rids, cond, u64::MAX)?;
                }
            }
            let hits: HashSet<Rid> = rids.into_iter().collect();
            found.extend(
                heads
                    .iter()
                    .filter(|h| hits.contains(&h.rid))
                    .map(|h| (h.seq, h.rid)),
            );
            last = heads.last().map(|h| (h.seq, h.rid));
            if found.len() > size || heads.len() < chunk {
                break;
            }
            if tested >= PATIENCE && found.len().saturating_mul(FEW_HITS) < tested {
                return Ok(None);
            }
            chunk = (chunk * 2).min(CHUNK.1.max(size + 1));
        }
        let has_more = found.len() > size;
        found.truncate(size);
        Ok(Some(Sorted {
            next: found.last().filter(|_| has_more).map(|(seq, rid)| Place {
                keys: vec![Some(seq.0.to_be_bytes().to_vec())],
                rid: rid.0,
            }),
            rids: found.into_iter().map(|(_, rid)| rid).collect(),
            total: None,
        }))
    }

    /// Records with a value, in the index's order; false when it takes too long.
    fn with_value(
        &self,
        page: &mut InOrder<'_>,
        mut after: Option<IndexRow>,
    ) -> Result<bool, Failure> {
        let form = forms(page.param, page.descending)
            .first()
            .copied()
            .unwrap_or(sub::MAIN);
        let range = KeyRange::whole(page.param.id | form);
        let direction = if page.descending {
            Direction::Descending
        } else {
            Direction::Ascending
        };
        let mut chunk = CHUNK.0.max(page.size + 1).min(CHUNK.1);
        loop {
            let rows = self
                .snapshot
                .scan(
                    self.granted,
                    self.repo,
                    &range,
                    direction,
                    after.as_ref(),
                    chunk,
                )
                .map_err(costly)?;
            self.spend(rows.len().max(1))?;
            let hits = self.tested(page, rows.iter().map(|r| r.rid).collect())?;
            for row in &rows {
                if !hits.contains(&row.rid) {
                    continue;
                }
                // A record stands where its first value in this direction stands, once.
                let own = best(page.param, page.descending, &self.keys(row.rid)?);
                if own.as_ref() == Some(&row.value) {
                    page.found.push((own, row.rid));
                    if page.found.len() > page.size {
                        return Ok(true);
                    }
                }
            }
            if rows.len() < chunk {
                return Ok(true);
            }
            if page.is_slow() {
                return Ok(false);
            }
            chunk = (chunk * 2).min(CHUNK.1);
            after = rows.into_iter().next_back();
        }
    }

    /// Records without a value, in record order; false when it takes too long.
    fn without_value(&self, page: &mut InOrder<'_>, after: Rid) -> Result<bool, Failure> {
        let mut walk = Walk::open(self, page.rtype, page.conds, after)?;
        loop {
            let rids = walk.next(self, CHUNK.0.max(page.size))?;
            if rids.is_empty() {
                return Ok(true);
            }
            page.tested += rids.len();
            self.remember(&rids)?;
            for rid in rids {
                if best(page.param, page.descending, &self.keys(rid)?).is_none() {
                    page.found.push((None, rid));
                    if page.found.len() > page.size {
                        return Ok(true);
                    }
                }
            }
            if page.is_slow() {
                return Ok(false);
            }
        }
    }

    /// Those for which the conditions hold, their keys remembered.
    fn tested(&self, page: &mut InOrder<'_>, mut rids: Vec<Rid>) -> Result<HashSet<Rid>, Failure> {
        rids.sort_unstable();
        rids.dedup();
        page.tested += rids.len();
        self.remember(&rids)?;
        for cond in page.conds {
            if rids.is_empty() {
                break;
            }
            rids = self.step(
                || format!("test {}", cond.named()),
                None,
                || self.apply(page.rtype, rids, cond, u64::MAX),
            )?;
        }
        Ok(rids.into_iter().collect())
    }

    fn column(
        &self,
        rtype: &str,
        key: &SortKey,
        rids: &[Rid],
        out: &mut HashMap<Rid, Vec<u8>>,
    ) -> Result<(), Failure> {
        let param = match by(rtype, key)? {
            By::Param(param) => param,
            other => {
                self.spend(rids.len())?;
                for head in self.snapshot.heads(self.granted, rids)? {
                    let value = match other {
                        By::Id => head.id.into_bytes(),
                        _ => head.seq.0.to_be_bytes().to_vec(),
                    };
                    out.insert(head.rid, value);
                }
                return Ok(());
            }
        };
        if rids.len() < MANY {
            self.remember(rids)?;
            for rid in rids {
                if let Some(value) = best(param, key.descending, &self.keys(*rid)?) {
                    out.insert(*rid, value);
                }
            }
            return Ok(());
        }
        let wanted: HashSet<Rid> = rids.iter().copied().collect();
        let direction = if key.descending {
            Direction::Descending
        } else {
            Direction::Ascending
        };
        for form in forms(param, key.descending) {
            // An earlier form's value stays; within a form the first in order counts.
            let mut own: HashMap<Rid, Vec<u8>> = HashMap::new();
            self.scan(&KeyRange::whole(param.id | form), direction, |row| {
                if wanted.contains(&row.rid) && !out.contains_key(&row.rid) {
                    let value = ordering_part(param.kind, *form, &row.value);
                    let kept = own.entry(row.rid).or_insert_with(|| value.clone());
                    if by_value(Some(&value), Some(kept), key.descending) == Ordering::Less {
                        *kept = value;
                    }
                }
                true
            })?;
            out.extend(own);
        }
        Ok(())
    }
}

/// A page in the order of an index, as far as it is known.
struct InOrder<'a> {
    rtype: &'a str,
    conds: &'a [Cond],
    param: &'static ParamInfo,
    descending: bool,
    size: usize,
    /// One more than the page, when there are more.
    found: Vec<(Option<Vec<u8>>, Rid)>,
    tested: usize,
}

impl InOrder<'_> {
    fn is_slow(&self) -> bool {
        self.tested >= PATIENCE && self.found.len().saturating_mul(FEW_HITS) < self.tested
    }

    fn done(mut self) -> Sorted {
        let has_more = self.found.len() > self.size;
        self.found.truncate(self.size);
        let next = self
            .found
            .last()
            .filter(|_| has_more)
            .map(|(key, rid)| Place {
                keys: vec![key.clone()],
                rid: rid.0,
            });
        Sorted {
            rids: self.found.into_iter().map(|(_, rid)| rid).collect(),
            next,
            total: None,
        }
    }
}
