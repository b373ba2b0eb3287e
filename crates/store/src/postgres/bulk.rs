//! Bulk load: one long transaction beside the commit path. Its versions carry `-generation` as place; the load becomes
//! visible when the generation gets its place in the log, under the lock of the feed row.

use super::check;
use super::link::{Conn, NO_TIMEOUT};
use super::load::begin_locked;
use super::pack::{self, Meta};
use super::shared::Shared;
use super::world::{
    EVENT_GENERATION, HeadRow, IdxRow, Packed, VersionRow, compartment_key, key, place,
};
use super::write::{self, Script};
use crate::{
    Alias, BulkWriter, Commit, CommitError, Op, Pending, PersonKey, PersonRef, Privacy, Put, PutId,
    RepoId, Rid, Seq, StoreError, Vno,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Records written at a time.
const GROUP: usize = 1_000;

/// Hands a commit to the committer.
pub(super) type Submit = Arc<dyn Fn(Commit) -> Pending + Send + Sync>;

/// A running load.
pub(super) struct Load {
    shared: Arc<Shared>,
    submit: Submit,
    conn: Conn,
    repo: RepoId,
    generation: i64,
    waiting: Vec<Put>,
    persons: HashMap<(String, String), PersonKey>,
    types: HashMap<String, i32>,
    failed: bool,
}

/// Begins a load into an empty repository.
pub(super) fn begin(
    shared: &Arc<Shared>,
    submit: Submit,
    repo: RepoId,
) -> Result<Load, StoreError> {
    shared.open()?;
    let Some(target) = shared.repositories.get(&repo) else {
        return Err(StoreError::Invalid(format!(
            "repository {} is not declared",
            repo.0
        )));
    };
    let conn = shared.link.connect_here(NO_TIMEOUT)?;
    let generation = conn.block_on(async {
        if occupied(&conn, repo, i64::MIN).await? {
            let what = "a bulk load needs an empty repository".to_owned();
            return Err(StoreError::Invalid(what));
        }
        let sql = "INSERT INTO generation (number, target) SELECT coalesce(max(number), 0) + 1, $1 FROM generation RETURNING number";
        let row = conn.query_opt(sql, &[target]).await?;
        let number = row.map_or(1, |r| r.get::<_, i64>(0));
        conn.batch("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        Ok(number)
    })?;
    Ok(Load {
        shared: shared.clone(),
        submit,
        conn,
        repo,
        generation,
        waiting: Vec::with_capacity(GROUP),
        persons: HashMap::new(),
        types: HashMap::new(),
        failed: false,
    })
}

/// Whether the repository holds anything but this generation.
async fn occupied(conn: &Conn, repo: RepoId, own: i64) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM version WHERE repo = $1 AND seq > $2) OR
        EXISTS (SELECT 1 FROM version WHERE repo = $1 AND seq < $2)";
    let row = conn.query_opt(sql, &[&(repo.0 as i16), &own]).await?;
    Ok(row.is_some_and(|r| r.get(0)))
}

impl Load {
    fn flush(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let puts = std::mem::take(&mut self.waiting);
        let result = self.write(&puts);
        self.failed |= result.is_err();
        result
    }

    fn write(&mut self, puts: &[Put]) -> Result<(), StoreError> {
        self.intern(puts)?;
        self.name_types(puts)?;
        self.check_blobs(puts)?;
        let shared = self.shared.clone();
        // numbers are given out in blocks, so that the feed row is locked only for a moment
        let taken = puts.len() as i64;
        let sql = "UPDATE clock SET rid = rid + $1 RETURNING rid";
        let last = shared.once(async |conn| conn.query_opt(sql, &[&taken]).await)?;
        let first = last.map_or(0, |r| r.get::<_, i64>(0)) - taken + 1;
        let (mut versions, mut heads, mut idx) = (Vec::new(), Vec::new(), Vec::new());
        for (rid, put) in (first as u64..).zip(puts) {
            self.rows(rid, put, &mut versions, &mut heads, &mut idx)?;
        }
        let mut script = Script::default();
        write::versions(&versions, &mut script);
        write::references(&versions, &mut script);
        write::new_heads(&heads, &mut script);
        write::index(idx, &mut script);
        self.conn
            .block_on(script.run(&self.conn))
            .map_err(|e| match e {
                StoreError::Unavailable(what) if what.contains("23505") => {
                    StoreError::Invalid("two records of the load have the same id".to_owned())
                }
                other => other,
            })
    }

    fn check_blobs(&self, puts: &[Put]) -> Result<(), StoreError> {
        let wanted: BTreeSet<&[u8]> = puts.iter().flat_map(|p| &p.blobs).map(|h| &h[..]).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let wanted: Vec<&[u8]> = wanted.into_iter().collect();
        let sql = "SELECT count(*) FROM blob WHERE hash = ANY($1)";
        let row = self.conn.block_on(self.conn.query_opt(sql, &[&wanted]))?;
        if row.map_or(0, |r| r.get::<_, i64>(0)) == wanted.len() as i64 {
            return Ok(());
        }
        let what = "a record of the load refers to a blob that is not stored".to_owned();
        Err(StoreError::Invalid(what))
    }

    fn rows(
        &self,
        rid: u64,
        put: &Put,
        versions: &mut Vec<VersionRow>,
        heads: &mut Vec<HeadRow>,
        idx: &mut Vec<IdxRow>,
    ) -> Result<(), StoreError> {
        let meta = self.meta(put)?;
        let small = Packed::of(put);
        let place = place(Rid(rid), Vno(1));
        let by_key = small.keys.iter().map(|k| key(put.repo, k.param, &k.value));
        let by_person = meta.persons.iter().map(|p| compartment_key(put.repo, *p));
        let rows = by_key.chain(by_person);
        idx.extend(rows.map(|key| IdxRow { key, place }));
        let packed = pack::meta(&meta);
        let rtype = self.types.get(&put.rtype).copied();
        heads.push(HeadRow {
            rid,
            repo: put.repo.0,
            rtype: rtype.ok_or_else(|| StoreError::Corrupt("a type got no number".to_owned()))?,
            id: match &put.id {
                PutId::Given(id) => id.clone(),
                PutId::New => uuid::Uuid::now_v7().to_string(),
            },
            vno: 1,
            seq: -self.generation,
            at: 0,
            op: Op::Create,
            purged: 0,
            meta: packed.clone(),
        });
        versions.push(VersionRow {
            seq: -self.generation,
            rid,
            vno: 1,
            at: 0,
            repo: put.repo.0,
            op: Op::Create,
            pack: put.pack,
            meta: packed,
            form: small.form,
            content: small.content,
            keys: small.packed_keys,
            blobs: put.blobs.clone(),
        });
        Ok(())
    }

    fn meta(&self, put: &Put) -> Result<Meta, StoreError> {
        let one = |person: &PersonRef| match person {
            PersonRef::Key(key) => Ok(*key),
            PersonRef::Id { system, value } => self
                .persons
                .get(&(system.clone(), value.clone()))
                .copied()
                .ok_or_else(|| StoreError::Corrupt("a person of the load got no key".to_owned())),
        };
        let mut persons: Vec<PersonKey> = Vec::with_capacity(put.persons.len());
        for person in &put.persons {
            let key = one(person)?;
            if !persons.contains(&key) {
                persons.push(key);
            }
        }
        Ok(Meta {
            persons,
            author_person: put.privacy.author_person.as_ref().map(one).transpose()?,
            owner: put.privacy.owner.as_ref().map(one).transpose()?,
            privacy: Privacy {
                author_person: None,
                owner: None,
                ..put.privacy.clone()
            },
        })
    }

    /// Keys for persons not met before, by ordinary commits: identities only grow.
    fn intern(&mut self, puts: &[Put]) -> Result<(), StoreError> {
        let named = |put: &Put| {
            let privacy = &put.privacy;
            let all = put
                .persons
                .iter()
                .chain(&privacy.author_person)
                .chain(&privacy.owner);
            all.cloned().collect::<Vec<_>>()
        };
        let fresh: BTreeSet<(String, String)> = puts
            .iter()
            .flat_map(named)
            .filter_map(|p| match p {
                PersonRef::Id { system, value } => Some((system, value)),
                PersonRef::Key(_) => None,
            })
            .filter(|name| !self.persons.contains_key(name))
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let alias = fresh
            .iter()
            .map(|(system, value)| Alias::AlsoKnownAs {
                person: PersonRef::id(system, value),
                system: system.clone(),
                value: value.clone(),
            })
            .collect();
        (self.submit)(Commit {
            alias,
            ..Commit::default()
        })
        .wait()
        .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let (systems, values): (Vec<String>, Vec<String>) = fresh.into_iter().unzip();
        let sql = "SELECT i.system, i.value, i.person FROM unnest($1::text[], $2::text[]) k(system, value)
            JOIN ident i ON i.system = k.system AND i.value = k.value";
        let rows = self
            .shared
            .read(async |conn| conn.query(sql, &[&systems, &values]).await)?;
        for row in rows {
            let key = PersonKey(row.get::<_, i64>(2) as u64);
            self.persons.insert((row.get(0), row.get(1)), key);
        }
        Ok(())
    }

    /// Numbers for types not met before, in a short transaction of their own.
    fn name_types(&mut self, puts: &[Put]) -> Result<(), StoreError> {
        let fresh: BTreeSet<&str> = puts
            .iter()
            .map(|p| p.rtype.as_str())
            .filter(|t| !self.types.contains_key(*t))
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let fresh: Vec<String> = fresh.into_iter().map(str::to_owned).collect();
        let numbers = self.shared.once(async |conn| {
            super::link::transaction(conn, "BEGIN", async |conn: &Conn| {
                conn.query("SELECT 1 FROM clock FOR UPDATE", &[]).await?;
                let sql = "INSERT INTO rtype (id, name) SELECT (SELECT coalesce(max(id), 0) FROM rtype) + row_number() OVER (), t
                    FROM unnest($1::text[]) u(t) WHERE NOT EXISTS (SELECT 1 FROM rtype r WHERE r.name = t)";
                conn.execute(sql, &[&fresh]).await?;
                conn.execute("UPDATE clock SET names = names + 1", &[]).await?;
                conn.query("SELECT name, id FROM rtype WHERE name = ANY($1)", &[&fresh]).await
            })
            .await
        })?;
        self.types
            .extend(numbers.iter().map(|r| (r.get(0), r.get(1))));
        Ok(())
    }

    async fn switch_in(&self) -> Result<Seq, StoreError> {
        let conn = &self.conn;
        let clock = begin_locked(conn).await?;
        if occupied(conn, self.repo, -self.generation).await? {
            let what = "somebody wrote into the repository during the load".to_owned();
            return Err(StoreError::Invalid(what));
        }
        let seq = clock.seq as i64 + 1;
        let at = clock.now.max(clock.at + 1);
        let target = self
            .shared
            .repositories
            .get(&self.repo)
            .cloned()
            .unwrap_or_default();
        let event = super::feed::Generation {
            target,
            generation: self.generation as u64,
        };
        let data = serde_json::to_vec(&event)
            .map_err(|e| StoreError::Invalid(format!("generation event: {e}")))?;
        let sql = "INSERT INTO event (seq, at, kind, data) VALUES ($1, $2, $3, $4)";
        conn.execute(sql, &[&seq, &at, &EVENT_GENERATION, &data])
            .await?;
        let sql = "UPDATE generation SET seq = $2, at = $3 WHERE number = $1";
        conn.execute(sql, &[&self.generation, &seq, &at]).await?;
        let sql = "UPDATE clock SET seq = $1, seq_at = $2, at = $2, names = names + 1";
        conn.execute(sql, &[&seq, &at]).await?;
        conn.execute("SELECT pg_notify($1, '')", &[&self.shared.channel])
            .await?;
        conn.batch("COMMIT").await?;
        Ok(Seq(seq as u64))
    }
}

impl BulkWriter for Load {
    fn put(&mut self, put: Put) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Invalid(
                "the bulk load has failed before".to_owned(),
            ));
        }
        if put.op != Op::Create || put.repo != self.repo {
            let what = "a bulk load takes creations of its own repository only".to_owned();
            return Err(StoreError::Invalid(what));
        }
        check::put(&put).map_err(|e| match e {
            CommitError::Invalid(what) => StoreError::Invalid(what),
            other => StoreError::Invalid(other.to_string()),
        })?;
        self.waiting.push(put);
        if self.waiting.len() >= GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Seq, StoreError> {
        if self.failed {
            return Err(StoreError::Invalid(
                "the bulk load has failed before".to_owned(),
            ));
        }
        self.flush()?;
        let seq = self.conn.block_on(self.switch_in())?;
        self.shared.wake.feed(Some(seq.0));
        Ok(seq)
    }
}
