//! What a write comes down to: the planning of create, update, patch and delete, against one snapshot
//! (spec/fhir-server.md §2.2-§2.6).
//!
//! A plan writes nothing. Its conditions travel with the commit, so a decision made on an old state is never carried out.

use crate::change::{Change, Criteria, Preconditions, Write};
use crate::gate::Caller;
use crate::outcome::Failure;
use crate::params;
use crate::patch::Patch;
use crate::planner::Cond;
use crate::read::{etag, etags, is_deleted, is_id};
use crate::repository::Repository;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::Doc;
use fhir::json::value::Value;
use std::collections::HashMap;
use store::{
    Claim, CommitError, Expect, Granted, IndexKey, Op, PersonRef, PutId, Record, Refusal, Snapshot,
    Vno,
};

/// How long a conditional create without exact keys keeps others of the same criteria out that have not seen it.
const CONDITIONAL_CLAIM_US: i64 = 60_000_000;

/// Values of claims that stopped earlier attempts, by claim key. Their holders' writes are in every later snapshot.
pub(crate) type Lost = HashMap<Vec<u8>, Vec<u8>>;

/// What planning looks at.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub snapshot: &'a Snapshot,
    pub caller: &'a Caller,
    pub granted: &'a Granted,
    pub lost: &'a Lost,
}

/// Learns from a refusal, so that the next attempt can pass by a claim whose holder it now sees.
pub(crate) fn learn(lost: &mut Lost, expect: &[Expect], error: &CommitError) {
    let CommitError::Refused { index, refusal } = error else {
        return;
    };
    match (expect.get(*index), refusal) {
        (Some(Expect::Claim(claim)), Refusal::ClaimTaken { value }) => {
            lost.insert(claim.key.clone(), value.clone());
        }
        (Some(Expect::ClaimHeld { key, .. }), _) => {
            lost.remove(key);
        }
        _ => {}
    }
}

impl Repository {
    /// `fixed_id`: the id to give (open repositories), else the store makes one.
    pub(crate) fn plan_create(
        &self,
        at: Plan<'_>,
        rtype: &str,
        doc: &Doc,
        preconditions: &Preconditions,
        fixed_id: Option<&str>,
    ) -> Result<Change, Failure> {
        let mut expect = Vec::new();
        if let Some(text) = &preconditions.if_none_exist {
            let criteria = params::criteria(text);
            let (records, conds) =
                self.matching_criteria(at.snapshot, at.granted, rtype, &criteria)?;
            match records.as_slice() {
                [] => expect.extend(self.nobody_else(at, rtype, &criteria, &conds)),
                [one] => return Ok(Change::Kept(Box::new(one.clone()))),
                _ => return Err(multiple_matches()),
            }
        }
        let id = match fixed_id {
            Some(id) => PutId::Given(id.to_owned()),
            // A Patient of the sandbox is its own person, so its id must be known when its keys are made.
            None if rtype == "Patient" && !self.is_clinical() => {
                PutId::Given(uuid::Uuid::now_v7().to_string())
            }
            None => PutId::New,
        };
        let (put, warnings) = self.put(at.caller, rtype, id, Op::Create, doc)?;
        Ok(Change::Write(Box::new(Write {
            put,
            also: Vec::new(),
            expect,
            status: StatusCode::CREATED,
            version: Vno(1),
            is_guarded: false,
            warnings,
        })))
    }

    /// The conditions that keep two racing conditional writes from both creating: exact keys where the criteria are exact,
    /// else a claim of the criteria.
    fn nobody_else(
        &self,
        at: Plan<'_>,
        rtype: &str,
        criteria: &Criteria,
        conds: &[Cond],
    ) -> Vec<Expect> {
        let keys: Option<Vec<IndexKey>> = conds.iter().map(exact_key).collect();
        if let Some(keys) = keys {
            return vec![Expect::NoMatch {
                repo: self.config.repo,
                keys,
                author_org: None,
                filter: at.granted.filter().clone(),
            }];
        }
        let space = format!("if-none-exist/{}", self.config.name);
        // However the criteria are written, in a header or an address: the same conditions are the same claim.
        let mut conditions = criteria.to_vec();
        conditions.sort_unstable();
        conditions.dedup();
        let key = format!("{rtype}?{}", params::encode(&conditions));
        let key = store::sha256(key.as_bytes()).to_vec();
        let mut out = Vec::with_capacity(2);
        if let Some(value) = at.lost.get(&key) {
            out.push(Expect::ClaimHeld {
                space: space.clone(),
                key: key.clone(),
                value: Some(value.clone()),
                release: true,
            });
        }
        out.push(Expect::Claim(Claim {
            space,
            key,
            value: uuid::Uuid::new_v4().as_bytes().to_vec(),
            until: Some(edge::clock::real_now_us() + CONDITIONAL_CLAIM_US),
        }));
        out
    }

    pub(crate) fn plan_update(
        &self,
        at: Plan<'_>,
        rtype: &str,
        id: &str,
        doc: &Doc,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        require_id(id)?;
        if doc.id() != Some(id) {
            return Err(
                Failure::bad("invalid", "the resource must carry the id of the address")
                    .on(format!("{rtype}.id")),
            );
        }
        let found = at.snapshot.read(at.granted, self.config.repo, rtype, id)?;
        let current = found.as_ref().filter(|r| !is_deleted(r));
        if_match(preconditions, current)?;
        if_none_match(preconditions, current)?;
        self.require_guard(rtype, preconditions, current)?;
        let given = PutId::Given(id.to_owned());
        let (op, expect, status) = match current {
            Some(record) => {
                if doc.resource_type() == rtype && is_same(record, doc) {
                    return Ok(Change::Kept(Box::new(record.clone())));
                }
                (
                    Op::Update,
                    self.expect_version(rtype, id, record.head.vno),
                    StatusCode::OK,
                )
            }
            None if self.is_clinical() => return Err(Failure::not_found()),
            None if !self.config.update_create => {
                return Err(Failure::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "not-supported",
                    "a resource with an id of the client's choice cannot be created here; POST it to its type",
                )
                .with(header::ALLOW, "GET, HEAD"));
            }
            None => (
                Op::Create,
                Expect::Absent {
                    repo: self.config.repo,
                    rtype: rtype.to_owned(),
                    id: id.to_owned(),
                },
                StatusCode::CREATED,
            ),
        };
        let (put, warnings) = self.put(at.caller, rtype, given, op, doc)?;
        Ok(Change::Write(Box::new(Write {
            put,
            also: Vec::new(),
            expect: vec![expect],
            status,
            version: Vno(found.map_or(0, |r| r.head.vno.0) + 1),
            is_guarded: preconditions.if_match.is_some(),
            warnings,
        })))
    }

    pub(crate) fn plan_update_matching(
        &self,
        at: Plan<'_>,
        rtype: &str,
        criteria: &Criteria,
        doc: &Doc,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        let (records, conds) = self.matching_criteria(at.snapshot, at.granted, rtype, criteria)?;
        match records.as_slice() {
            [] => {
                if preconditions.if_match.is_some() {
                    return Err(stale(None));
                }
                let change = match doc.id() {
                    Some(id) => {
                        let taken = at.snapshot.read(at.granted, self.config.repo, rtype, id)?;
                        if taken.is_some_and(|r| !is_deleted(&r)) {
                            return Err(Failure::new(
                                StatusCode::CONFLICT,
                                "conflict",
                                "nothing matches, but the resource's id is taken",
                            ));
                        }
                        self.plan_update(at, rtype, id, doc, &Preconditions::default())?
                    }
                    None => self.plan_create(at, rtype, doc, &Preconditions::default(), None)?,
                };
                Ok(match change {
                    Change::Write(mut write) => {
                        write
                            .expect
                            .extend(self.nobody_else(at, rtype, criteria, &conds));
                        Change::Write(write)
                    }
                    other => other,
                })
            }
            [one] => {
                let id = one.head.id.clone();
                let same_id;
                let doc = match doc.id() {
                    Some(given) if given != id => {
                        return Err(Failure::bad(
                            "invalid",
                            "the resource's id is not that of the match",
                        )
                        .on(format!("{rtype}.id")));
                    }
                    Some(_) => doc,
                    None => {
                        same_id = crate::change::with_id(doc, &id)?;
                        &same_id
                    }
                };
                self.plan_update(at, rtype, &id, doc, preconditions)
            }
            _ => Err(multiple_matches()),
        }
    }

    /// `rewritten`: what is done to the patched document before it is checked (references inside a transaction).
    pub(crate) fn plan_patch(
        &self,
        at: Plan<'_>,
        rtype: &str,
        id: &str,
        patch: &Patch,
        preconditions: &Preconditions,
        rewritten: impl FnOnce(Doc) -> Result<Doc, Failure>,
    ) -> Result<Change, Failure> {
        require_id(id)?;
        let record = at
            .snapshot
            .read(at.granted, self.config.repo, rtype, id)?
            .ok_or_else(Failure::not_found)?;
        if is_deleted(&record) {
            return Err(Failure::gone());
        }
        if_match(preconditions, Some(&record))?;
        self.require_guard(rtype, preconditions, Some(&record))?;
        let doc = rewritten(patch.apply(&record)?)?;
        self.plan_update(at, rtype, id, &doc, preconditions)
    }

    /// The record that a conditional patch means: none is 404, several are 412.
    pub(crate) fn patch_target(
        &self,
        at: Plan<'_>,
        rtype: &str,
        criteria: &Criteria,
    ) -> Result<String, Failure> {
        let (records, _) = self.matching_criteria(at.snapshot, at.granted, rtype, criteria)?;
        match records.as_slice() {
            [] => Err(Failure::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "the criteria match nothing",
            )),
            [one] => Ok(one.head.id.clone()),
            _ => Err(multiple_matches()),
        }
    }

    pub(crate) fn plan_delete(
        &self,
        at: Plan<'_>,
        rtype: &str,
        id: &str,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        require_id(id)?;
        let found = at.snapshot.read(at.granted, self.config.repo, rtype, id)?;
        let current = found.as_ref().filter(|r| !is_deleted(r));
        if_match(preconditions, current)?;
        let Some(record) = current else {
            return Ok(Change::Nothing);
        };
        let is_guarded = preconditions.if_match.is_some();
        self.deletion(record, is_guarded)
            .map(|write| Change::Write(Box::new(write)))
    }

    /// One match is deleted; several only where the configuration allows so many, all or none.
    pub(crate) fn plan_delete_matching(
        &self,
        at: Plan<'_>,
        rtype: &str,
        criteria: &Criteria,
        preconditions: &Preconditions,
    ) -> Result<Change, Failure> {
        let most = self.config.conditional_delete_max.max(1);
        let (records, _) =
            self.matching_up_to(at.snapshot, at.granted, rtype, criteria, most + 1)?;
        match records.as_slice() {
            [] => Ok(Change::Nothing),
            [one] => self.plan_delete(at, rtype, &one.head.id, preconditions),
            many if many.len() <= most && preconditions.if_match.is_none() => many
                .iter()
                .map(|record| self.deletion(record, false))
                .collect::<Result<_, _>>()
                .map(Change::Deletes),
            _ => Err(multiple_matches()),
        }
    }

    fn deletion(&self, record: &Record, is_guarded: bool) -> Result<Write, Failure> {
        let head = &record.head;
        let put = crate::write::prepare(
            self.config.repo,
            &head.rtype,
            PutId::Given(head.id.clone()),
            Op::Delete,
            Bytes::new(),
            head.persons.iter().copied().map(PersonRef::Key).collect(),
            head.privacy.clone(),
            Vec::new(),
        )
        .map_err(|findings| Failure::findings(&findings))?;
        Ok(Write {
            put,
            also: Vec::new(),
            expect: vec![self.expect_version(&head.rtype, &head.id, head.vno)],
            status: StatusCode::NO_CONTENT,
            version: Vno(head.vno.0 + 1),
            is_guarded,
            warnings: Vec::new(),
        })
    }

    pub(crate) fn expect_version(&self, rtype: &str, id: &str, vno: Vno) -> Expect {
        Expect::Version {
            repo: self.config.repo,
            rtype: rtype.to_owned(),
            id: id.to_owned(),
            vno,
        }
    }

    /// Types of `versioned-update` are changed with `If-Match` only.
    fn require_guard(
        &self,
        rtype: &str,
        preconditions: &Preconditions,
        current: Option<&Record>,
    ) -> Result<(), Failure> {
        if current.is_some()
            && preconditions.if_match.is_none()
            && self.config.versioned_update.contains(rtype)
        {
            return Err(Failure::bad(
                "required",
                "changes of this type need If-Match with the version that was read",
            ));
        }
        Ok(())
    }
}

/// 400: ids of addresses that are written to are FHIR ids.
fn require_id(id: &str) -> Result<(), Failure> {
    if is_id(id) {
        return Ok(());
    }
    Err(Failure::bad(
        "value",
        "the id in the address is not a FHIR id: 1 to 64 of A-Z, a-z, 0-9, '-' and '.'",
    ))
}

/// The one index key that a condition asks for, when it asks for exactly one.
pub(crate) fn exact_key(cond: &Cond) -> Option<IndexKey> {
    let Cond::Query { query, param, .. } = cond else {
        return None;
    };
    let is_shared = matches!(param.base.as_ref(), "Resource" | "DomainResource");
    match query.ranges.as_slice() {
        [range] if !query.negate && !query.recheck && range.filter.is_none() && !is_shared => {
            let mut end = range.from.clone();
            end.push(0);
            (range.to.as_ref() == Some(&end)).then(|| IndexKey {
                param: range.param,
                value: range.from.clone(),
            })
        }
        _ => None,
    }
}

fn if_match(preconditions: &Preconditions, current: Option<&Record>) -> Result<(), Failure> {
    let Some(text) = &preconditions.if_match else {
        return Ok(());
    };
    let tags = etags(text)?;
    match (current, tags) {
        (Some(_), None) => Ok(()),
        (Some(record), Some(tags)) if tags.contains(&record.head.vno.0.to_string()) => Ok(()),
        (current, _) => Err(stale(current.map(|r| r.head.vno))),
    }
}

/// `If-None-Match` of a write: `*`, or the current version, forbids it.
fn if_none_match(preconditions: &Preconditions, current: Option<&Record>) -> Result<(), Failure> {
    let Some(text) = &preconditions.if_none_match else {
        return Ok(());
    };
    let tags = etags(text)?;
    match current {
        Some(record) if tags.is_none_or(|t| t.contains(&record.head.vno.0.to_string())) => {
            Err(Failure::precondition("conflict", "the resource exists")
                .with(header::ETAG, &etag(record.head.vno)))
        }
        _ => Ok(()),
    }
}

pub(crate) fn stale(newest: Option<Vno>) -> Failure {
    let failure = Failure::precondition(
        "conflict",
        "If-Match does not name the current version; read it again",
    );
    match newest {
        Some(vno) => failure.with(header::ETAG, &etag(vno)),
        None => failure,
    }
}

fn multiple_matches() -> Failure {
    Failure::precondition(
        "multiple-matches",
        "the criteria match more than one resource",
    )
}

/// Takes out the nulls that only fill a list up to the length of its companion (`given` and `_given`): JSON may leave
/// them out at the end, and XML has no way to say them.
fn without_filling(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(without_filling);
            let filled = items.iter().rposition(|v| !matches!(v, Value::Null));
            items.truncate(filled.map_or(0, |last| last + 1));
        }
        Value::Object(members) => members.retain_mut(|(_, member)| {
            without_filling(member);
            !matches!(member, Value::Array(items) if items.is_empty())
        }),
        _ => {}
    }
}

/// Whether the content is what is stored already, the server's own values aside. Order of members and white space mean
/// nothing; numbers count as written, since precision is content.
fn is_same(record: &Record, doc: &Doc) -> bool {
    if record.body == *doc.bytes() {
        return true;
    }
    let content = |bytes: &[u8]| {
        let mut value = Value::parse(bytes, &fhir::Limits::default()).ok()?;
        without_filling(&mut value);
        if let Value::Object(members) = &mut value {
            members.retain_mut(|(name, member)| match (name.as_str(), member) {
                ("id", _) => false,
                ("meta", Value::Object(meta)) => {
                    meta.retain(|(name, _)| {
                        !matches!(
                            name.as_str(),
                            "versionId" | "lastUpdated" | "_versionId" | "_lastUpdated"
                        )
                    });
                    !meta.is_empty()
                }
                _ => true,
            });
        }
        Some(value)
    };
    match (content(&record.body), content(doc.bytes())) {
        (Some(a), Some(b)) => is_same_value(&a, &b),
        _ => false,
    }
}

fn is_same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().enumerate().all(|(place, (name, value))| {
                    // Nearly always in the same place.
                    let there = b.get(place).filter(|(n, _)| n == name);
                    there
                        .or_else(|| b.iter().find(|(n, _)| n == name))
                        .is_some_and(|(_, other)| is_same_value(value, other))
                })
        }
        (a, b) => a.same(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let parse = |t: &str| {
            let mut value = Value::parse(t.as_bytes(), &fhir::Limits::default()).unwrap();
            without_filling(&mut value);
            value
        };
        is_same_value(&parse(a), &parse(b))
    }

    #[test]
    fn order_and_space_do_not_count_but_precision_does() {
        for (a, b, expected) in [
            (r#"{"a":1,"b":[1,2]}"#, r#"{ "b": [1, 2], "a": 1 }"#, true),
            (r#"{"a":1.0}"#, r#"{"a":1.00}"#, false),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, false),
            (r#"{"a":"\u0041"}"#, r#"{"a":"A"}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#, false),
            // Filling at the end says nothing; before a value it says which one is meant.
            (
                r#"{"g":["x","y"],"_g":[{"id":"i"}]}"#,
                r#"{"g":["x","y"],"_g":[{"id":"i"},null]}"#,
                true,
            ),
            (
                r#"{"g":["x"],"_g":[null,{"id":"i"}]}"#,
                r#"{"g":["x",null],"_g":[null,{"id":"i"}]}"#,
                true,
            ),
            (
                r#"{"g":[null],"_g":[{"id":"i"}]}"#,
                r#"{"_g":[{"id":"i"}]}"#,
                true,
            ),
            (
                r#"{"g":["x","y"],"_g":[null,{"id":"i"}]}"#,
                r#"{"g":["x","y"],"_g":[{"id":"i"}]}"#,
                false,
            ),
        ] {
            assert_eq!(same(a, b), expected, "{a} {b}");
        }
    }
}
