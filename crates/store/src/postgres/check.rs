//! What can be said of a commit without looking at the store: limits and forms.

use crate::{
    Alias, AuditEntry, Commit, CommitError, Expect, MAX_BODY_BYTES, MAX_CLAIM_KEY_BYTES,
    MAX_CLAIM_VALUE_BYTES, MAX_COMMIT_PARTS, MAX_INLINE_BLOB_BYTES, MAX_KEY_BYTES, MAX_KEYS,
    PersonRef, Put, PutId, RepoId, StoreError, journal,
};
use std::collections::HashMap;

const MAX_NAME_BYTES: usize = 128;
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_PERSONS: usize = 1_000;
const MAX_BLOBS: usize = 1_000;
const MAX_IDENTIFIER_BYTES: usize = 512;

/// Index parameters from here on belong to the engines; callers may not use them.
pub(super) const RESERVED_PARAMS: u32 = 0xFFFF_FF00;

fn invalid(what: impl Into<String>) -> CommitError {
    CommitError::Invalid(what.into())
}

fn most(what: &str, is: usize, limit: usize) -> Result<(), CommitError> {
    if is > limit {
        return Err(invalid(format!("{what}: {is}, the limit is {limit}")));
    }
    Ok(())
}

/// Checks limits and forms.
pub(super) fn commit(
    commit: &Commit,
    repositories: &HashMap<RepoId, String>,
) -> Result<(), CommitError> {
    let parts = commit.expect.len()
        + commit.put.len()
        + commit.blob.len()
        + commit.enqueue.len()
        + commit.settle.len()
        + commit.purge.len()
        + commit.position.len()
        + commit.raise.len()
        + commit.alias.len()
        + commit.audit.len();
    most("parts of one commit", parts, MAX_COMMIT_PARTS)?;
    let known = |repo: &RepoId| match repositories.contains_key(repo) {
        true => Ok(()),
        false => Err(invalid(format!("repository {} is not declared", repo.0))),
    };
    for part in &commit.put {
        known(&part.repo)?;
        put(part)?;
    }
    for expect in &commit.expect {
        check_expect(expect, &known)?;
    }
    for purge in &commit.purge {
        known(&purge.repo)?;
        name(&purge.rtype, &purge.id)?;
    }
    commit.raise.iter().try_for_each(person)?;
    for alias in &commit.alias {
        check_alias(alias)?;
    }
    for blob in &commit.blob {
        most(
            "bytes of an inline blob",
            blob.bytes.len(),
            MAX_INLINE_BLOB_BYTES,
        )?;
        if crate::sha256(&blob.bytes) != blob.hash {
            return Err(invalid("a blob's hash is not the SHA-256 of its bytes"));
        }
    }
    for message in &commit.enqueue {
        if message.queue.is_empty() {
            return Err(invalid("a message without a queue"));
        }
        text("queue name", &message.queue)?;
        most(
            "bytes of message headers",
            message.headers.len(),
            MAX_HEADER_BYTES,
        )?;
        most("bytes of a message", message.body.len(), MAX_BODY_BYTES)?;
    }
    for position in &commit.position {
        text("consumer name", &position.consumer)?;
        if i64::try_from(position.to.0).is_err() {
            return Err(invalid("a position beyond every log"));
        }
    }
    for entry in &commit.audit {
        audit(entry).map_err(|e| invalid(e.to_string()))?;
    }
    Ok(())
}

/// Whether PostgreSQL can look for a text: a NUL cannot be in any.
pub(super) fn askable(value: &str) -> bool {
    !value.contains('\0')
}

/// PostgreSQL cannot keep a NUL in text.
fn text(what: &str, value: &str) -> Result<(), CommitError> {
    most(&format!("bytes of a {what}"), value.len(), MAX_NAME_BYTES)?;
    if value.contains('\0') {
        return Err(invalid(format!("a {what} contains NUL")));
    }
    Ok(())
}

/// Type and id as somebody asks for them: they need not be well formed, but PostgreSQL must be able to look for them.
fn name(rtype: &str, id: &str) -> Result<(), CommitError> {
    text("type", rtype)?;
    text("record id", id)
}

/// Checks how a person is named.
fn person(person: &PersonRef) -> Result<(), CommitError> {
    match person {
        PersonRef::Key(_) => Ok(()),
        PersonRef::Id { system, value } => identifier(system, value),
    }
}

fn identifier(system: &str, value: &str) -> Result<(), CommitError> {
    for part in [system, value] {
        most(
            "bytes of a person's identifier",
            part.len(),
            MAX_IDENTIFIER_BYTES,
        )?;
        if part.contains('\0') {
            return Err(invalid("a person's identifier contains NUL"));
        }
    }
    Ok(())
}

fn check_alias(alias: &Alias) -> Result<(), CommitError> {
    match alias {
        Alias::Merge { from, to } => {
            person(from)?;
            person(to)
        }
        Alias::Split { from } => person(from),
        Alias::AlsoKnownAs {
            person: known,
            system,
            value,
        } => {
            person(known)?;
            identifier(system, value)
        }
    }
}

/// Checks an entry of the access journal: what is appended must be sealable.
pub(super) fn audit(entry: &AuditEntry) -> Result<(), StoreError> {
    journal::seal::check(entry)?;
    let nul = entry.controller.contains('\0');
    let persons = entry.persons.iter().try_for_each(person);
    match persons {
        Ok(()) if !nul => Ok(()),
        Ok(()) => Err(StoreError::Invalid(
            "journal entry: NUL in the controller".to_owned(),
        )),
        Err(error) => Err(StoreError::Invalid(format!("journal entry: {error}"))),
    }
}

/// Checks one put.
pub(super) fn put(put: &Put) -> Result<(), CommitError> {
    most("bytes of a body", put.body.len(), MAX_BODY_BYTES)?;
    most("keys of a version", put.keys.len(), MAX_KEYS)?;
    most("persons of a version", put.persons.len(), MAX_PERSONS)?;
    most("blobs of a version", put.blobs.len(), MAX_BLOBS)?;
    for key in &put.keys {
        most("bytes of a key", key.value.len(), MAX_KEY_BYTES)?;
        if key.param >= RESERVED_PARAMS {
            return Err(invalid(format!("parameter {} is reserved", key.param)));
        }
    }
    if put.rtype.is_empty() {
        return Err(invalid("a record without a type"));
    }
    text("type", &put.rtype)?;
    if let PutId::Given(id) = &put.id {
        let fits = (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !fits {
            return Err(invalid("an id must match [A-Za-z0-9\\-\\.]{1,64}"));
        }
    }
    let privacy = &put.privacy;
    let people = put.persons.iter().chain(&privacy.author_person);
    people.chain(&privacy.owner).try_for_each(person)?;
    if put.op == crate::Op::Purge {
        return Err(invalid("a put cannot purge; use Commit::purge"));
    }
    Ok(())
}

fn check_expect(
    expect: &Expect,
    known: &dyn Fn(&RepoId) -> Result<(), CommitError>,
) -> Result<(), CommitError> {
    match expect {
        Expect::Version {
            repo, rtype, id, ..
        }
        | Expect::Absent { repo, rtype, id } => {
            known(repo)?;
            name(rtype, id)
        }
        Expect::NoMatch { repo, keys, .. } => {
            known(repo)?;
            if keys.is_empty() {
                return Err(invalid("a conditional expectation without keys"));
            }
            most("keys of a conditional expectation", keys.len(), MAX_KEYS)
        }
        Expect::Claim(claim) => {
            text("claim's name space", &claim.space)?;
            most(
                "bytes of a claim's key",
                claim.key.len(),
                MAX_CLAIM_KEY_BYTES,
            )?;
            most(
                "bytes of a claim's value",
                claim.value.len(),
                MAX_CLAIM_VALUE_BYTES,
            )
        }
        Expect::ClaimHeld { space, key, .. } => {
            text("claim's name space", space)?;
            most("bytes of a claim's key", key.len(), MAX_CLAIM_KEY_BYTES)
        }
        Expect::Position { consumer, .. } => text("consumer name", consumer),
        Expect::Lease { .. } => Ok(()),
    }
}
