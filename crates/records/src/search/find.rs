//! From a compiled search to the records of a page.

use super::{Found, Ready};
use crate::outcome::Failure;
use crate::paging::Position;
use crate::params::{Summary, Total};
use crate::planner::{Cond, Evaluator, Merged, Place, Walk};
use crate::repository::Repository;
use fhir::Pack;
use store::Rid;

impl Repository {
    /// The page's records, in order.
    pub(super) fn find(&self, ready: &Ready, evaluator: &Evaluator<'_>) -> Result<Found, Failure> {
        let size = match ready.params.summary {
            Summary::Count => 0,
            _ => ready.params.page_size(),
        };
        let mut types: Vec<(String, &[Cond])> = Vec::new();
        let mut patient_matches = false;
        let is_single = ready.conds.len() == 1;
        for (rtype, conds) in &ready.conds {
            if self.is_clinical() && rtype == "Patient" {
                patient_matches = self.patient_matches(ready, evaluator, conds)?;
                continue;
            }
            // Most types of a system search hold nothing; one row tells.
            if !is_single
                && evaluator
                    .snapshot
                    .type_rids(evaluator.granted, self.config.repo, rtype, Rid(0), 1)?
                    .is_empty()
            {
                continue;
            }
            types.push((rtype.clone(), conds));
        }
        if size == 0 {
            return Ok(Found {
                total: Some(self.counted(evaluator, &types, patient_matches)?),
                ..Found::default()
            });
        }
        // The view, when it matches, is the first match of the first page.
        let has_patient = patient_matches && ready.page.is_none();
        let room = size - usize::from(has_patient).min(size);
        let mut found = if ready.params.sort.is_empty() {
            self.in_record_order(ready, evaluator, &types, room)?
        } else {
            in_sort_order(ready, evaluator, &types, room)?
        };
        found.has_patient = has_patient;
        found.total = match (&ready.page, ready.params.total) {
            (Some(page), _) => page.total,
            (None, _) if found.total.is_some() => {
                found.total.map(|n| n + u64::from(patient_matches))
            }
            (None, Total::Accurate) => Some(self.counted(evaluator, &types, patient_matches)?),
            (None, Total::IfCheap | Total::None) => None,
        };
        Ok(found)
    }

    fn counted(
        &self,
        evaluator: &Evaluator<'_>,
        types: &[(String, &[Cond])],
        patient_matches: bool,
    ) -> Result<u64, Failure> {
        let mut total = u64::from(patient_matches);
        for (rtype, conds) in types {
            total += evaluator.matching(rtype, conds)?.len() as u64;
        }
        Ok(total)
    }

    /// A page in record order: only as much is read as the page needs.
    fn in_record_order(
        &self,
        ready: &Ready,
        evaluator: &Evaluator<'_>,
        types: &[(String, &[Cond])],
        room: usize,
    ) -> Result<Found, Failure> {
        let after = match ready.page.as_ref().map(|p| &p.position) {
            Some(Position::After(rid)) => Rid(*rid),
            Some(_) => return Err(crate::outcome::expired_page()),
            None => Rid(0),
        };
        let mut walks = Vec::with_capacity(types.len());
        for (rtype, conds) in types {
            walks.push(Walk::open(evaluator, rtype, conds, after)?);
        }
        let mut merged = Merged(walks);
        let mut rids = evaluator.step(
            || "page in record order".to_owned(),
            None,
            || merged.take(evaluator, room + 1),
        )?;
        let has_more = rids.len() > room;
        let total = if has_more && ready.page.is_none() {
            let read = rids.len() as u64;
            merged.left(evaluator)?.map(|left| read + left)
        } else {
            (ready.page.is_none()).then_some(rids.len() as u64)
        };
        rids.truncate(room);
        Ok(Found {
            next: has_more.then(|| Position::After(rids.last().map_or(after.0, |rid| rid.0))),
            rids,
            has_patient: false,
            total,
        })
    }

    /// Whether the Patient view matches: conditions are tested on the view, `_has` on her records.
    fn patient_matches(
        &self,
        ready: &Ready,
        evaluator: &Evaluator<'_>,
        conds: &[Cond],
    ) -> Result<bool, Failure> {
        let (Some(view), Some(id)) = (&ready.scope.view, &ready.scope.id) else {
            return Ok(false);
        };
        let keys = crate::write::keys_of(view).map_err(|f| Failure::findings(&f))?;
        for cond in conds {
            let holds = match cond {
                Cond::Has {
                    source,
                    param,
                    inner,
                } => {
                    let value = ready.scope.identifier_value().unwrap_or_default();
                    let query = fhir::keys::query::plan(
                        Pack::r4(),
                        param,
                        Some("identifier"),
                        &value,
                        &self.options,
                    )?;
                    let refers = Cond::Query {
                        param,
                        modifier: Some("identifier".to_owned()),
                        value,
                        query,
                    };
                    !evaluator
                        .matching(source, &[refers, inner.as_ref().clone()])?
                        .is_empty()
                }
                other => other.holds_for(id, &keys, view, &self.options),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn in_sort_order(
    ready: &Ready,
    evaluator: &Evaluator<'_>,
    types: &[(String, &[Cond])],
    room: usize,
) -> Result<Found, Failure> {
    let place: Option<&Place> = match ready.page.as_ref().map(|p| &p.position) {
        Some(Position::Sorted(place)) => Some(place),
        Some(Position::After(0)) | None => None,
        Some(_) => return Err(crate::outcome::expired_page()),
    };
    let sorted = evaluator.sorted_page(types, &ready.params.sort, place, room)?;
    // A page with room for the Patient view only goes on at its beginning.
    let next = match sorted.next {
        Some(place) => Some(Position::Sorted(place)),
        None if room == 0 && sorted.total.is_some_and(|n| n > 0) => Some(Position::After(0)),
        None => None,
    };
    Ok(Found {
        rids: sorted.rids,
        has_patient: false,
        total: sorted.total.filter(|_| ready.page.is_none()),
        next,
    })
}
