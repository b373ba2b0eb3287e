//! A transaction: identities, plans, one commit, the answer in the order of the request (spec/fhir-server.md §4).
//!
//! Conditions are decided on the state before the transaction. Reads are answered after it; a read that cannot be
//! understood fails the whole before anything is written, one that finds nothing says so in its own entry.

use super::identity::Identities;
use super::rewrite::Rewriter;
use super::{Item, Verb, failed_entry, inner_call, inner_doc, response_entry, status_text};
use crate::carry::{ATTEMPTS, location};
use crate::change::{Change, Write};
use crate::gate::Caller;
use crate::http::{Answer, Call, Return, dispatch};
use crate::outcome::{Failure, Issue, outcome};
use crate::params;
use crate::patch::Patch;
use crate::plan::{Lost, Plan, learn, stale};
use crate::read::etag;
use crate::render::{self, Entry, Subset};
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::build::Json;
use std::collections::{BTreeMap, HashMap, HashSet};
use store::{Commit, CommitError, Committed, Expect, Op, PutId, PutReceipt, Vno};
use trust::Action;

/// Bundles of fewer writes are prepared on one thread.
const MIN_PARALLEL: usize = 32;
/// Most threads that prepare one Bundle.
const MAX_THREADS: usize = 8;

/// A transaction that can be carried out.
struct Planned {
    identities: Identities,
    /// By entry.
    changes: BTreeMap<usize, Change>,
}

impl Repository {
    pub(super) fn transaction(
        &self,
        call: &Call,
        caller: &Caller,
        items: &[Item<'_>],
    ) -> Result<Answer, Failure> {
        for item in items {
            let is_conditional = item.preconditions.if_none_exist.is_some();
            crate::smart::admit_entry(caller, item.method(), &item.segments, is_conditional)
                .map_err(|f| f.within(&item.place()))?;
        }
        let gated = self.decide(&self.snapshot()?, caller, None, Action::Update, &[])?;
        self.try_reads(call, caller, items)?;
        let mut lost = Lost::default();
        for attempt in 1.. {
            let snapshot = self.snapshot()?;
            let at = Plan {
                snapshot: &snapshot,
                caller,
                granted: &gated.granted,
                lost: &lost,
            };
            let planned = self.plan_transaction(at, items)?;
            let (commit, places) = join(&planned.changes);
            if commit.put.is_empty() {
                return self.answer_transaction(call, caller, items, &planned, None, &places);
            }
            let expect: Vec<Expect> = commit.expect.clone();
            let is_guarded = planned
                .changes
                .values()
                .any(|c| matches!(c, Change::Write(w) if w.is_guarded));
            match self.config.store.commit(commit) {
                Ok(done) => {
                    return self.answer_transaction(
                        call,
                        caller,
                        items,
                        &planned,
                        Some(&done),
                        &places,
                    );
                }
                Err(error @ CommitError::Refused { .. }) if attempt < ATTEMPTS => {
                    learn(&mut lost, &expect, &error);
                }
                Err(CommitError::Refused { .. }) if is_guarded => return Err(stale(None)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::internal())
    }

    /// Reads that can never be answered fail the transaction.
    fn try_reads(&self, call: &Call, caller: &Caller, items: &[Item<'_>]) -> Result<(), Failure> {
        for item in items {
            let verb = item.verb()?;
            if !verb.reads() {
                continue;
            }
            if let Err(failure) = inner_call(call, item).and_then(|c| dispatch(self, &c, caller))
                && matches!(failure.status.as_u16(), 400 | 405 | 406 | 415)
            {
                return Err(failure.within(&item.place()));
            }
        }
        Ok(())
    }

    fn plan_transaction(&self, at: Plan<'_>, items: &[Item<'_>]) -> Result<Planned, Failure> {
        let identities = Identities::of(self, at, items)?;
        let rewriter = Rewriter::new(self, at, items, &identities);
        let writes: Vec<&Item<'_>> = items
            .iter()
            .filter(|i| {
                !i.verb.is_some_and(Verb::reads) && !identities.repeats.contains_key(&i.index)
            })
            .collect();
        let plan = |item: &Item<'_>| {
            self.plan_item(at, item, &rewriter)
                .map(|change| (item.index, change))
                .map_err(|f| f.within(&item.place()))
        };
        // Beside others, threads of its own would only take turns with theirs.
        let threads = edge::free_cores().min(MAX_THREADS);
        let planned: Vec<Result<(usize, Change), Failure>> =
            if writes.len() < MIN_PARALLEL || threads < 2 {
                writes.into_iter().map(plan).collect()
            } else {
                in_parallel(&writes, threads, &plan)
            };
        let mut changes = BTreeMap::new();
        for planned in planned {
            let (index, change) = planned?;
            changes.insert(index, change);
        }
        require_distinct(items, &identities, &changes)?;
        drop(rewriter);
        let mut planned = Planned {
            identities,
            changes,
        };
        self.require_references(at, &mut planned)?;
        Ok(planned)
    }

    fn plan_item(
        &self,
        at: Plan<'_>,
        item: &Item<'_>,
        rewriter: &Rewriter<'_, '_>,
    ) -> Result<Change, Failure> {
        let rtype = item.rtype();
        let criteria = params::decode(item.query.as_bytes());
        let preconditions = &item.preconditions;
        let id = rewriter.identities.ids.get(&item.index).map(String::as_str);
        let body = || inner_doc(item.body()?.raw_json()).and_then(|d| rewriter.rewritten(d, item));
        match (item.verb()?, item.id()) {
            (Verb::Delete, Some(id)) => self.plan_delete(at, rtype, id, preconditions),
            (Verb::Delete, None) => self.plan_delete_matching(at, rtype, &criteria, preconditions),
            (Verb::Post, _) => self.plan_create(at, rtype, &body()?, preconditions, id),
            (Verb::Put, Some(id)) => self.plan_update(at, rtype, id, &body()?, preconditions),
            (Verb::Put, None) => {
                let doc = body()?;
                let doc = match (doc.id(), id) {
                    (None, Some(id)) => crate::change::with_id(&doc, id)?,
                    _ => doc,
                };
                self.plan_update_matching(at, rtype, &criteria, &doc, preconditions)
            }
            (Verb::Patch, _) => {
                let patch = Patch::of_entry(item.body()?)?;
                let id = id.ok_or_else(Failure::internal)?;
                self.plan_patch(at, rtype, id, &patch, preconditions, |doc| {
                    rewriter.rewritten(doc, item)
                })
            }
            (Verb::Get | Verb::Head, _) => Err(Failure::internal()),
        }
    }

    /// The repository's policy on references, over the whole transaction.
    fn require_references(&self, at: Plan<'_>, planned: &mut Planned) -> Result<(), Failure> {
        let policy = self.config.references;
        if !policy.on_write && !policy.on_delete {
            return Ok(());
        }
        let mut made = HashSet::new();
        let mut gone = HashSet::new();
        for write in planned.changes.values().flat_map(writes) {
            let PutId::Given(id) = &write.put.id else {
                continue;
            };
            let target = (write.put.rtype.clone(), id.clone());
            if write.put.op == Op::Delete {
                gone.insert(target);
            } else {
                made.insert(target);
            }
        }
        for (index, change) in &mut planned.changes {
            for write in writes_mut(change) {
                self.require_integrity(at, write, &made, &gone)
                    .map_err(|f| f.within(&format!("Bundle.entry[{index}]")))?;
            }
        }
        Ok(())
    }

    fn answer_transaction(
        &self,
        call: &Call,
        caller: &Caller,
        items: &[Item<'_>],
        planned: &Planned,
        done: Option<&Committed>,
        places: &HashMap<usize, usize>,
    ) -> Result<Answer, Failure> {
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            if item.verb()?.reads() {
                let result = inner_call(call, item).and_then(|c| dispatch(self, &c, caller));
                entries.push(match result {
                    Err(failure) => failed_entry(&failure.within(&item.place())),
                    answer => response_entry(call, item, answer),
                });
                continue;
            }
            let first = planned.identities.repeats.get(&item.index);
            let index = *first.unwrap_or(&item.index);
            let receipt = places
                .get(&index)
                .and_then(|at| Some((done?.puts.get(*at)?, done?.at)));
            entries.push(match planned.changes.get(&index) {
                Some(Change::Nothing | Change::Deletes(_)) => {
                    self.written(call, StatusCode::NO_CONTENT, None)?
                }
                Some(Change::Kept(record)) => {
                    let head = &record.head;
                    let body = self.rendered(record, None, &Subset::default())?;
                    let made = (
                        head.rtype.as_str(),
                        head.id.as_str(),
                        head.vno,
                        head.at,
                        body,
                    );
                    self.written(call, StatusCode::OK, Some(made))?
                }
                Some(Change::Write(write)) => {
                    let (receipt, at) = receipt.ok_or_else(Failure::internal)?;
                    // The second of two equal conditional creates found what the first one made.
                    let status = match first {
                        Some(_) => StatusCode::OK,
                        None => write.status,
                    };
                    let wants = call.has_return && call.returns == Return::Representation;
                    self.written(call, status, Some(made(write, receipt, at, wants)?))?
                }
                None => return Err(Failure::internal()),
            });
        }
        Ok(Answer::resource(
            StatusCode::OK,
            render::bundle("transaction-response", None, &[], &entries),
        ))
    }

    /// The entry of a write.
    fn written(
        &self,
        call: &Call,
        status: StatusCode,
        made: Option<(&str, &str, Vno, i64, Bytes)>,
    ) -> Result<Entry, Failure> {
        let mut response = Json::new().put("status", status_text(status));
        let mut resource = None;
        let is_deletion = status == StatusCode::NO_CONTENT;
        if let Some((rtype, id, vno, at, body)) = made {
            if !is_deletion {
                response = response.put("location", location(&call.base, rtype, id, vno));
            }
            response = response
                .put("etag", etag(vno))
                .put("lastModified", render::instant(at));
            if call.has_return && call.returns == Return::Representation && !is_deletion {
                resource = Some(body);
            }
        }
        if call.has_return && call.returns == Return::Outcome {
            let issue = Issue {
                severity: "information",
                ..Issue::error("informational", "done")
            };
            response = response.put("outcome", outcome(&[issue]));
        }
        Ok(Entry {
            resource,
            response: Some(response.build()),
            ..Entry::default()
        })
    }
}

/// What a put became; its body only when it is wanted.
fn made<'w>(
    write: &'w Write,
    receipt: &'w PutReceipt,
    at: i64,
    wants: bool,
) -> Result<(&'w str, &'w str, Vno, i64, Bytes), Failure> {
    let body = if write.put.op == Op::Delete || !wants {
        Bytes::new()
    } else {
        fhir::build::splice_meta(
            &write.put.body,
            &receipt.id,
            &receipt.vno.0.to_string(),
            &render::instant(at),
        )
        .map_err(|_| Failure::internal())?
    };
    Ok((&write.put.rtype, &receipt.id, receipt.vno, at, body))
}

/// Plans entries on several threads; results in the order of the entries.
fn in_parallel<'i, 'd, T: Send>(
    items: &[&'i Item<'d>],
    threads: usize,
    plan: &(impl Fn(&Item<'d>) -> T + Sync),
) -> Vec<T> {
    let share = items.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(share.max(1))
            .map(|part| scope.spawn(move || part.iter().map(|item| plan(item)).collect::<Vec<T>>()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| match part.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

fn writes(change: &Change) -> &[Write] {
    match change {
        Change::Write(write) => std::slice::from_ref(write.as_ref()),
        Change::Deletes(writes) => writes,
        Change::Kept(_) | Change::Nothing => &[],
    }
}

fn writes_mut(change: &mut Change) -> &mut [Write] {
    match change {
        Change::Write(write) => std::slice::from_mut(write.as_mut()),
        Change::Deletes(writes) => writes,
        Change::Kept(_) | Change::Nothing => &mut [],
    }
}

/// 400 when two entries touch one resource, even if one of them changes nothing; a conditional create that found its
/// resource goes with all but its deletion.
fn require_distinct(
    items: &[Item<'_>],
    identities: &Identities,
    changes: &BTreeMap<usize, Change>,
) -> Result<(), Failure> {
    let mut touched: HashMap<(&str, &str), (usize, bool)> = HashMap::new();
    let mut found: Vec<(usize, &str, &str)> = Vec::new();
    let clash = |index: usize, other: usize| {
        Failure::bad(
            "invalid",
            format!("Bundle.entry[{other}] and Bundle.entry[{index}] change the same resource"),
        )
        .on(format!("Bundle.entry[{index}]"))
    };
    for item in items {
        let Some(change) = changes.get(&item.index) else {
            continue;
        };
        let named = item
            .id()
            .or_else(|| identities.ids.get(&item.index).map(String::as_str));
        let ids: Vec<(&str, &str)> = match (change, named) {
            (Change::Kept(record), _) if item.verb == Some(Verb::Post) => {
                found.push((item.index, &record.head.rtype, &record.head.id));
                continue;
            }
            (Change::Kept(_) | Change::Nothing, Some(id)) => vec![(item.rtype(), id)],
            _ => writes(change)
                .iter()
                .filter_map(|w| match &w.put.id {
                    PutId::Given(id) => Some((w.put.rtype.as_str(), id.as_str())),
                    PutId::New => None,
                })
                .collect(),
        };
        let deletes = item.verb == Some(Verb::Delete);
        for id in ids {
            if let Some((other, _)) = touched.insert(id, (item.index, deletes)) {
                return Err(clash(item.index, other));
            }
        }
    }
    for (index, rtype, id) in found {
        if let Some((other, true)) = touched.get(&(rtype, id)) {
            return Err(clash(index, *other));
        }
    }
    Ok(())
}

/// All writes as one commit, deletes first, then creates, then updates; and where each entry's put stands in it.
fn join(changes: &BTreeMap<usize, Change>) -> (Commit, HashMap<usize, usize>) {
    let mut commit = Commit::default();
    let mut places = HashMap::new();
    let order = |write: &Write| match write.put.op {
        Op::Delete | Op::Purge => 0,
        Op::Create => 1,
        Op::Update => 2,
    };
    let mut all: Vec<(u8, usize, &Write)> = changes
        .iter()
        .flat_map(|(index, change)| writes(change).iter().map(move |w| (order(w), *index, w)))
        .collect();
    all.sort_by_key(|(order, index, _)| (*order, *index));
    for (_, index, write) in all {
        commit.expect.extend(write.expect.iter().cloned());
        places.insert(index, commit.put.len());
        commit.put.extend(write.puts().cloned());
    }
    (commit, places)
}
