//! The second place for purges and settings: an outbox row in the commit's own transaction, appended to the mirror's
//! file before the answer, then dropped. Whoever holds the lock drains for all processes.

use super::link::Conn;
use super::schema::LOCK_MIRROR;
use super::shared::Shared;
use super::world::{Plan, World};
use crate::backup::mirror::{Mirror, MirrorEntry, Names};
use crate::{Alias, Commit, CommitError, Committed, PersonKey, PersonRef, Put, RepoId, StoreError};
use std::collections::{BTreeSet, HashMap};

struct Known<'a> {
    repositories: &'a HashMap<RepoId, String>,
    identifiers: HashMap<PersonKey, (String, String)>,
}

impl Names for Known<'_> {
    fn repository(&self, repo: RepoId) -> Option<String> {
        self.repositories.get(&repo).cloned()
    }

    fn identifier(&self, person: PersonKey) -> Option<(String, String)> {
        self.identifiers.get(&person).cloned()
    }
}

/// Adds the outbox rows of the accepted commits; whether there are any.
pub(super) async fn plan(
    shared: &Shared,
    conn: &Conn,
    world: &mut World,
    plan: &mut Plan,
    commits: &[&Commit],
    results: &[Result<Committed, CommitError>],
) -> Result<bool, StoreError> {
    if shared.mirror.is_none() {
        return Ok(false);
    }
    let wanted: Vec<(&Commit, &Committed)> = commits
        .iter()
        .zip(results)
        .filter_map(|(c, r)| Some((*c, r.as_ref().ok()?)))
        .filter(|(c, _)| c.mirror || !c.purge.is_empty())
        .collect();
    if wanted.is_empty() {
        return Ok(false);
    }
    let mut identifiers: HashMap<PersonKey, (String, String)> = world
        .idents
        .iter()
        .map(|(name, key)| (*key, name.clone()))
        .collect();
    let keys: Vec<i64> = wanted
        .iter()
        .flat_map(|(c, _)| keys(c))
        .filter(|k| !identifiers.contains_key(k))
        .map(|k| k.0 as i64)
        .collect();
    if !keys.is_empty() {
        let sql = "SELECT DISTINCT ON (person) person, system, value FROM ident WHERE person = ANY($1) ORDER BY person, system, value";
        for row in conn.query(sql, &[&keys]).await? {
            let key = PersonKey(row.get::<_, i64>(0) as u64);
            identifiers.insert(key, (row.get(1), row.get(2)));
        }
    }
    let known = Known {
        repositories: &shared.repositories,
        identifiers,
    };
    let incarnation = *shared
        .incarnation
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for (commit, committed) in wanted {
        let n = world.clock.mirror + 1;
        if let Some(entry) = MirrorEntry::of(n, incarnation, commit, committed, &known)? {
            let data = serde_json::to_vec(&entry)
                .map_err(|e| StoreError::Invalid(format!("mirror entry: {e}")))?;
            plan.mirror.push((n, data));
            world.clock.mirror = n;
        }
    }
    Ok(true)
}

fn keys(commit: &Commit) -> BTreeSet<PersonKey> {
    let of_put = |put: &Put| {
        let privacy = &put.privacy;
        let all = put
            .persons
            .iter()
            .chain(&privacy.author_person)
            .chain(&privacy.owner);
        all.cloned().collect::<Vec<_>>()
    };
    let of_alias = |alias: &Alias| match alias {
        Alias::Merge { from, to } => vec![from.clone(), to.clone()],
        Alias::Split { from } => vec![from.clone()],
        Alias::AlsoKnownAs { person, .. } => vec![person.clone()],
    };
    let puts = commit.put.iter().flat_map(of_put);
    let aliases = commit.alias.iter().flat_map(of_alias);
    puts.chain(aliases)
        .chain(commit.raise.iter().cloned())
        .filter_map(|p| match p {
            PersonRef::Key(key) => Some(key),
            PersonRef::Id { .. } => None,
        })
        .collect()
}

/// Appends what waits in the outbox to the mirror's file, flushes it, and drops the rows.
pub(super) async fn drain(shared: &Shared, conn: &Conn) -> Result<(), StoreError> {
    let Some(folder) = &shared.mirror else {
        return Ok(());
    };
    let lock = [
        &LOCK_MIRROR as &(dyn tokio_postgres::types::ToSql + Sync),
        &shared.link.schema,
    ];
    conn.execute("SELECT pg_advisory_lock($1, hashtext($2))", &lock)
        .await?;
    let result = drain_locked(shared, conn, folder).await;
    conn.execute("SELECT pg_advisory_unlock($1, hashtext($2))", &lock)
        .await?;
    result
}

async fn drain_locked(
    shared: &Shared,
    conn: &Conn,
    folder: &std::path::Path,
) -> Result<(), StoreError> {
    let rows = conn
        .query("SELECT n, data FROM mirror_outbox ORDER BY n", &[])
        .await?;
    let Some(last) = rows.last().map(|row| row.get::<_, i64>(0)) else {
        return Ok(());
    };
    let entries: Vec<MirrorEntry> = rows
        .iter()
        .map(|row| serde_json::from_slice(row.get(1)))
        .collect::<Result<_, _>>()
        .map_err(|_| {
            StoreError::Corrupt("a row of the mirror's outbox cannot be read".to_owned())
        })?;
    // a short write, and rare: purges and settings only
    Mirror::open(folder, shared.unsafe_no_sync)?.append(&entries)?;
    conn.execute("DELETE FROM mirror_outbox WHERE n <= $1", &[&last])
        .await?;
    Ok(())
}
