//! Referential integrity, where a repository wants it (spec/fhir-server.md §2.5, §5): references lead to live resources,
//! and what is referred to is not deleted.
//!
//! The decision travels with the commit: targets stay at the version that was seen, and nobody new refers to what goes.

use crate::change::Write;
use crate::outcome::Failure;
use crate::params::RawCondition;
use crate::plan::{Plan, exact_key};
use crate::planner::{Compiler, Evaluator};
use crate::read::is_deleted;
use crate::repository::Repository;
use axum::http::StatusCode;
use fhir::pack::ParamKind;
use fhir::refs::{Target, targets};
use fhir::{Doc, Limits, Pack};
use std::collections::{BTreeSet, HashSet};
use store::{Expect, Op, PutId};

/// Referrers that a refusal names.
const MAX_NAMED: usize = 5;

/// Type and id.
type Address = (String, String);

impl Repository {
    /// Checks one write under the repository's policy and adds what the commit must hold to. `made`, `gone`: what the same
    /// transaction writes and deletes.
    pub(crate) fn require_integrity(
        &self,
        at: Plan<'_>,
        write: &mut Write,
        made: &HashSet<Address>,
        gone: &HashSet<Address>,
    ) -> Result<(), Failure> {
        let policy = self.config.references;
        let more = match write.put.op {
            Op::Delete if policy.on_delete => self.require_unreferred(at, write, made, gone)?,
            Op::Create | Op::Update if policy.on_write => {
                self.require_targets(at, write, made, gone)?
            }
            _ => Vec::new(),
        };
        write.expect.extend(more);
        Ok(())
    }

    fn require_targets(
        &self,
        at: Plan<'_>,
        write: &Write,
        made: &HashSet<Address>,
        gone: &HashSet<Address>,
    ) -> Result<Vec<Expect>, Failure> {
        let doc = Doc::parse_json(write.put.body.clone(), &Limits::default())
            .map_err(|_| Failure::internal())?;
        let reference_type = Pack::r4().known.reference;
        let mut expect: Vec<Expect> = Vec::new();
        let mut found = Vec::new();
        for node in doc.nodes().filter(|n| n.type_id() == reference_type) {
            targets(node, &self.options.own_bases, &mut found);
            for target in found.drain(..) {
                let Target::Local {
                    resource_type, id, ..
                } = target
                else {
                    continue;
                };
                let address = (resource_type, id);
                let itself = matches!(&write.put.id, PutId::Given(own)
                    if (write.put.rtype.as_str(), own.as_str()) == (&address.0, &address.1));
                if itself || made.contains(&address) {
                    continue;
                }
                let (rtype, id) = &address;
                let record = at
                    .snapshot
                    .read(at.granted, self.config.repo, rtype, id)?
                    .filter(|r| !is_deleted(r) && !gone.contains(&address));
                let Some(record) = record else {
                    return Err(Failure::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "not-found",
                        "the reference leads to no resource of this repository",
                    )
                    .on(node.path()));
                };
                let condition = self.expect_version(rtype, id, record.head.vno);
                if !expect.contains(&condition) {
                    expect.push(condition);
                }
            }
        }
        Ok(expect)
    }

    fn require_unreferred(
        &self,
        at: Plan<'_>,
        write: &Write,
        made: &HashSet<Address>,
        gone: &HashSet<Address>,
    ) -> Result<Vec<Expect>, Failure> {
        let PutId::Given(id) = &write.put.id else {
            return Ok(Vec::new());
        };
        let rtype = write.put.rtype.as_str();
        let has_type = |t: &str| self.has_type(t);
        let compiler = Compiler {
            options: &self.options,
            has_type: &has_type,
            patient: None,
        };
        let pack = Pack::r4();
        let evaluator = Evaluator::new(at.snapshot, at.granted, self.config.repo, &self.options);
        let (mut expect, mut referrers) = (Vec::new(), BTreeSet::new());
        let mut is_changing = false;
        for source in self.types() {
            let Some(ty) = pack.type_id(source) else {
                continue;
            };
            for param in pack.params(ty) {
                let leads = param.kind == ParamKind::Reference
                    && param.expr.is_some()
                    && (param.targets.is_empty()
                        || param
                            .targets
                            .iter()
                            .any(|t| t.as_ref() == rtype || t.as_ref() == "Resource"));
                if !leads {
                    continue;
                }
                let raw = RawCondition::new(param.code.as_ref(), format!("{rtype}/{id}"));
                let Ok(cond) = compiler.compile(source, &raw) else {
                    continue;
                };
                let conds = [cond];
                let rids = evaluator.matching(source, &conds)?;
                for head in at.snapshot.heads(at.granted, &rids)? {
                    let address = (head.rtype, head.id);
                    if gone.contains(&address) || made.contains(&address) {
                        is_changing = true;
                    } else {
                        referrers.insert(address);
                    }
                }
                if let Some(key) = conds.first().and_then(exact_key) {
                    expect.push(Expect::NoMatch {
                        repo: self.config.repo,
                        keys: vec![key],
                        author_org: None,
                        filter: at.granted.filter().clone(),
                    });
                }
            }
        }
        if referrers.is_empty() {
            // Referrers that the same commit takes away still stand when its conditions are looked at.
            return Ok(if is_changing { Vec::new() } else { expect });
        }
        let named: Vec<String> = referrers
            .iter()
            .take(MAX_NAMED)
            .map(|(rtype, id)| format!("{rtype}/{id}"))
            .collect();
        let more = referrers.len().saturating_sub(MAX_NAMED);
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Err(Failure::new(
            StatusCode::CONFLICT,
            "conflict",
            format!("others refer to the resource: {}{rest}", named.join(", ")),
        ))
    }
}
