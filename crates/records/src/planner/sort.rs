//! Order of a result (spec/fhir-server.md §3.5): by any number of parameters; records without a value last in both
//! directions; ties by record number.

use super::Evaluator;
use crate::outcome::Failure;
use crate::params::SortKey;
use fhir::Pack;
use fhir::keys::encode::sub;
use fhir::pack::{ParamInfo, ParamKind};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use store::{Direction, KeyRange, Rid};

/// From so many records on values are read off the index in order instead of from each record's keys.
const MANY: usize = 4_000;

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
        if keys.is_empty() {
            return Ok(all);
        }
        let mut columns: Vec<(HashMap<Rid, Vec<u8>>, bool)> = Vec::with_capacity(keys.len());
        for key in keys {
            let mut column = HashMap::new();
            for (rtype, rids) in of_type {
                self.column(rtype, key, rids, &mut column)?;
            }
            columns.push((column, key.descending));
        }
        all.sort_by(|a, b| {
            for (column, descending) in &columns {
                let order = match (column.get(a), column.get(b)) {
                    (Some(a), Some(b)) if *descending => b.cmp(a),
                    (Some(a), Some(b)) => a.cmp(b),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => Ordering::Equal,
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
            a.cmp(b)
        });
        Ok(all)
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
        let forms = forms(param, key.descending);
        if rids.len() < MANY {
            for rid in rids {
                let keys = self.keys(*rid)?;
                let best = forms.iter().find_map(|form| {
                    let values = keys
                        .iter()
                        .filter(|k| k.param == (param.id | form))
                        .map(|k| &k.value);
                    if key.descending {
                        values.max()
                    } else {
                        values.min()
                    }
                });
                if let Some(value) = best {
                    out.insert(*rid, value.clone());
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
        for form in forms {
            // The first row met of a record is its smallest (or largest) value; an earlier form's value stays.
            self.scan(&KeyRange::whole(param.id | form), direction, |row| {
                if wanted.contains(&row.rid) {
                    out.entry(row.rid).or_insert_with(|| row.value.clone());
                }
                true
            })?;
        }
        Ok(())
    }
}
