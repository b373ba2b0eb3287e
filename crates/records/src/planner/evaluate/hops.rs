//! Chains, `_has` and lists: from records to those that refer to them, and back.

use super::{Evaluator, local_target};
use crate::outcome::Failure;
use crate::planner::{Cond, DOCUMENT_ROWS, MAX_BETWEEN};
use fhir::keys::encode::{self, sub};
use fhir::pack::ParamInfo;
use fhir::{Doc, Limits};
use std::collections::{BTreeSet, HashMap, HashSet};
use store::{IndexKey, KeyRange, Rid};

impl Evaluator<'_> {
    /// Records of the other end of a hop.
    pub(super) fn between(&self, rtype: &str, inner: &Cond) -> Result<Vec<Rid>, Failure> {
        let rids = self.narrow(rtype, None, &[inner])?;
        if rids.len() > MAX_BETWEEN {
            return Err(Failure::too_costly(format!(
                "a chain passes more than {MAX_BETWEEN} resources; narrow it"
            )));
        }
        self.spend(rids.len())?;
        Ok(rids)
    }

    /// Few candidates: follow their references and test the other end.
    pub(super) fn chain_from(
        &self,
        rids: Vec<Rid>,
        param: &ParamInfo,
        target: &str,
        inner: &Cond,
    ) -> Result<Vec<Rid>, Failure> {
        let mut ids_of: Vec<(Rid, Vec<String>)> = Vec::new();
        let mut others: HashMap<String, Option<Rid>> = HashMap::new();
        for rid in rids {
            let ids = self.referred(rid, param, target)?;
            for id in &ids {
                if !others.contains_key(id) {
                    let other = self.rid_of(target, id)?;
                    others.insert(id.clone(), other);
                }
            }
            ids_of.push((rid, ids));
        }
        let mut lead: Vec<Rid> = others.values().flatten().copied().collect();
        lead.sort_unstable();
        lead.dedup();
        let hits: HashSet<Rid> = self
            .narrow(target, Some(lead), &[inner])?
            .into_iter()
            .collect();
        Ok(ids_of
            .into_iter()
            .filter(|(_, ids)| {
                ids.iter().any(|id| {
                    others
                        .get(id)
                        .copied()
                        .flatten()
                        .is_some_and(|r| hits.contains(&r))
                })
            })
            .map(|(rid, _)| rid)
            .collect())
    }

    /// Few candidates: look who refers to them, and test those.
    pub(super) fn has_from(
        &self,
        rids: Vec<Rid>,
        source: &str,
        param: &ParamInfo,
        inner: &Cond,
    ) -> Result<Vec<Rid>, Failure> {
        let mut kept = Vec::new();
        self.spend(rids.len())?;
        for head in self.snapshot.heads(self.granted, &rids)? {
            let lead = self.referring(param, &head.rtype, &head.id)?;
            if !lead.is_empty() && !self.narrow(source, Some(lead), &[inner])?.is_empty() {
                kept.push(head.rid);
            }
        }
        Ok(kept)
    }

    /// Records of a type that stand in a List, removed entries apart.
    pub(super) fn listed(&self, rtype: &str, id: &str) -> Result<Vec<Rid>, Failure> {
        self.spend(DOCUMENT_ROWS)?;
        let list = self.snapshot.read(self.granted, self.repo, "List", id)?;
        let Some(list) = list.filter(|r| !crate::read::is_deleted(r)) else {
            return Ok(Vec::new());
        };
        let Ok(doc) = Doc::parse_json(list.body, &Limits::default()) else {
            return Ok(Vec::new());
        };
        let mut targets = Vec::new();
        for entry in doc.root().all("entry") {
            if entry.get("deleted").and_then(|d| d.as_bool()) == Some(true) {
                continue;
            }
            if let Some(item) = entry.get("item") {
                fhir::refs::targets(item, &self.options.own_bases, &mut targets);
            }
        }
        let mut rids = BTreeSet::new();
        for target in targets {
            if let fhir::refs::Target::Local {
                resource_type, id, ..
            } = target
                && resource_type == rtype
            {
                rids.extend(self.rid_of(rtype, &id)?);
            }
        }
        Ok(rids.into_iter().collect())
    }

    /// Visible live records whose `param` refers to this record.
    pub fn referring(&self, param: &ParamInfo, rtype: &str, id: &str) -> Result<Vec<Rid>, Failure> {
        let key = IndexKey {
            param: param.id | sub::MAIN,
            value: encode::reference_local(id, Some(rtype)),
        };
        let mut rids = self.rows_of(&KeyRange::exact(&key))?;
        rids.extend(self.referring_by_url(param, rtype, id)?);
        Ok(rids)
    }

    /// Ids of type `rtype` that a record's `param` refers to.
    pub(super) fn referred(
        &self,
        rid: Rid,
        param: &ParamInfo,
        rtype: &str,
    ) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        for key in self.keys(rid)?.iter() {
            if key.param != (param.id | sub::MAIN) {
                continue;
            }
            if let Some((id, key_type)) = local_target(&key.value)
                && key_type == rtype
            {
                ids.push(id.to_owned());
            }
        }
        ids.extend(self.referred_by_url(rid, param, rtype)?);
        Ok(ids)
    }

    /// Number of a live visible record.
    pub fn rid_of(&self, rtype: &str, id: &str) -> Result<Option<Rid>, Failure> {
        self.spend(1)?;
        Ok(self
            .snapshot
            .read(self.granted, self.repo, rtype, id)?
            .filter(|r| !matches!(r.head.op, store::Op::Delete | store::Op::Purge))
            .map(|r| r.head.rid))
    }
}
