//! Writing an accepted commit into the open transaction. Nothing here refuses: it can only fail as the disk fails.

use super::batch::{Batch, Plan, PlannedAlias, PlannedPurge, PlannedPut};
use super::claims;
use super::codec::{self, RawHead};
use super::db::unavailable;
use super::inbox::{Prepared, PreparedPut};
use super::lens::engine_keys;
use super::memtable::{Row, RowKey, Superseded};
use super::{RULES, blobs, bodies};
use crate::{
    AuditEntry, BlobHash, Committed, Put, PutReceipt, QueueMessageId, Rid, Seq, Settlement,
    StoreError, Vno,
};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Batch<'_> {
    /// Writes a planned commit. The receipt's snapshot is set when the batch is flushed.
    pub(super) fn apply(
        &mut self,
        prepared: &Prepared,
        mut plan: Plan,
    ) -> Result<Committed, StoreError> {
        let commit = &prepared.commit;
        let first = self.next.seq;
        // Known to the batch before anything can fail, so that a rollback takes them back.
        self.pins.append(&mut plan.pins);
        for (system, value, key) in &plan.persons {
            self.write_person(system, value, *key)?;
            self.next.person = self.next.person.max(key + 1);
        }
        for blob in &commit.blob {
            blobs::put(self.log, &blob.hash, &blob.bytes, self.at)?;
        }
        let mut committed = Committed {
            snapshot: Seq(0),
            at: self.at,
            puts: Vec::with_capacity(commit.put.len()),
            messages: Vec::with_capacity(commit.enqueue.len()),
        };
        for ((put, packed), planned) in commit
            .put
            .iter()
            .zip(&prepared.puts)
            .zip(std::mem::take(&mut plan.puts))
        {
            committed.puts.push(self.write_put(put, packed, planned)?);
        }
        for purge in &plan.purges {
            self.write_purge(purge)?;
        }
        self.write_epochs(&plan, first, commit.raise_rules)?;
        for alias in plan.aliases {
            self.write_alias(alias)?;
        }
        for (k, held) in &plan.claims {
            claims::write(self.log, k, held.as_ref())?;
        }
        for settle in &commit.settle {
            let id = settle.id.0;
            match &settle.outcome {
                Settlement::Done => self.forget(id)?,
                Settlement::Release { due_at } => self.release(id, *due_at)?,
                Settlement::DeadLetter { reason } => {
                    let deliveries = self.inner.queues.deliveries(id);
                    self.dead_letter(id, reason, deliveries)?;
                }
            }
        }
        for message in &commit.enqueue {
            committed.messages.push(self.enqueue(message)?);
        }
        for position in &commit.position {
            self.execute(
                "INSERT OR REPLACE INTO position(consumer, seq) VALUES(?1, ?2)",
                params![position.consumer, position.to.0],
            )?;
        }
        self.write_audit(&commit.audit)?;
        self.write_mirror(commit, &committed)?;
        Ok(committed)
    }

    fn take_seq(&mut self) -> u64 {
        let seq = self.next.seq;
        self.next.seq += 1;
        self.next.seq_at = self.at;
        seq
    }

    fn write_put(
        &mut self,
        put: &Put,
        packed: &PreparedPut,
        planned: PlannedPut,
    ) -> Result<PutReceipt, StoreError> {
        let PlannedPut {
            rid,
            prev_seq,
            new_record,
            head,
        } = planned;
        let seq = self.take_seq();
        let head_bytes = codec::pack_head(&head);
        self.execute(
            "INSERT INTO version(seq, rid, vno, prev_seq, repo, type, op, at, pack, head, keys, blobs, codec, body)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                seq, rid, head.vno, prev_seq, head.repo, head.rtype, head.op, head.at, put.pack,
                head_bytes, packed.keys, pack_blobs(&put.blobs), packed.codec, &*packed.body
            ],
        )?;
        if new_record {
            self.next.rid = self.next.rid.max(rid + 1);
            self.execute(
                "INSERT INTO head(rid, seq, head) VALUES(?1, ?2, ?3)",
                params![rid, seq, head_bytes],
            )?;
            self.execute(
                "INSERT INTO ident(k, rid) VALUES(?1, ?2)",
                params![codec::ident_key(head.repo, head.rtype, &head.id), rid],
            )?;
        } else {
            self.execute(
                "UPDATE head SET seq = ?2, head = ?3 WHERE rid = ?1",
                params![rid, seq, head_bytes],
            )?;
        }
        for hash in &put.blobs {
            blobs::refer(self.log, hash, 1)?;
        }
        self.note_rows(&head, rid, seq, &packed.rows);
        if prev_seq > 0 {
            self.superseded.push(Superseded {
                seq,
                at: self.at,
                rid,
                prev_seq,
                at_once: self.internal.contains(&head.repo) && !self.loads.is_load(prev_seq),
            });
        }
        Ok(PutReceipt {
            rid: Rid(rid),
            id: head.id,
            vno: Vno(head.vno),
            seq: Seq(seq),
        })
    }

    fn note_rows(&mut self, head: &RawHead, rid: u64, seq: u64, keys: &[RowKey]) {
        if !head.live() {
            return;
        }
        if let Some(overlay) = &mut self.overlay {
            for key in keys {
                overlay.entry(key.clone()).or_default().push((rid, seq));
            }
        }
        let own = engine_keys(head).map(|k| RowKey::new(&k));
        self.rows.extend(
            keys.iter()
                .cloned()
                .chain(own)
                .map(|key| Row { key, rid, seq }),
        );
    }

    /// A place of the log that is not a version of a record.
    pub(super) fn write_event(&mut self, op: u8, content: &[u8]) -> Result<u64, StoreError> {
        let seq = self.take_seq();
        self.execute(
            "INSERT INTO version(seq, rid, vno, prev_seq, repo, type, op, at, pack, head, keys, blobs, codec, body)
             VALUES(?1, 0, 0, 0, 0, 0, ?2, ?3, 0, ?4, x'', x'', 2, x'')",
            params![seq, op, self.at, content],
        )?;
        Ok(seq)
    }

    /// Epochs rise to the last place of the commit; one that took no place so far gets one for each kind of rise.
    fn write_epochs(&mut self, plan: &Plan, first: u64, rules: bool) -> Result<(), StoreError> {
        let alone = self.next.seq == first;
        if alone && !plan.raise_explicitly.is_empty() {
            let persons: Vec<u64> = plan.raise_explicitly.iter().copied().collect();
            self.write_event(codec::op::EPOCH, &codec::pack_numbers(&persons))?;
        }
        if alone && rules {
            self.write_event(codec::op::EPOCH, &codec::pack_numbers(&[]))?;
        }
        let last = self.next.seq.saturating_sub(1);
        // Under the key it leads to as well: a later split takes nothing back.
        let all: BTreeSet<u64> = plan
            .raise
            .union(&plan.raise_explicitly)
            .flat_map(|k| [*k, self.aliases.end(*k)])
            .chain(rules.then_some(RULES))
            .collect();
        for person in all {
            self.execute(
                "INSERT OR IGNORE INTO epoch(person, seq) VALUES(?1, ?2)",
                params![person, last],
            )?;
        }
        Ok(())
    }

    fn write_alias(&mut self, alias: PlannedAlias) -> Result<(), StoreError> {
        match alias {
            PlannedAlias::Merge { from, to } => {
                let aliases = Arc::make_mut(&mut self.aliases);
                let (from, to) = (aliases.end(from), aliases.end(to));
                if from == to {
                    return Ok(());
                }
                aliases.set(from, to);
                self.execute(
                    "INSERT OR REPLACE INTO alias(person, leads_to) VALUES(?1, ?2)",
                    [from, to],
                )
            }
            PlannedAlias::Split { from } => {
                Arc::make_mut(&mut self.aliases).remove(from);
                self.execute("DELETE FROM alias WHERE person = ?1", [from])
            }
            PlannedAlias::Known { system, value, key } => self.write_person(&system, &value, key),
        }
    }

    /// Number of a queue, made when new.
    pub(super) fn queue_number(&mut self, name: &str) -> Result<u32, StoreError> {
        if let Some(n) = self.queue_names.number(name) {
            return Ok(n);
        }
        let n = self.queue_names.next();
        self.execute(
            "INSERT INTO queue(id, name) VALUES(?1, ?2)",
            params![n, name],
        )?;
        Arc::make_mut(&mut self.queue_names).insert(n, name);
        Ok(n)
    }

    fn enqueue(&mut self, message: &crate::Enqueue) -> Result<QueueMessageId, StoreError> {
        let queue = self.queue_number(&message.queue)?;
        let id = self.next.message;
        self.next.message += 1;
        let (mut headers, mut body) = (&message.headers[..], &message.body[..]);
        let mut place = None;
        if headers.len() + body.len() >= bodies::FROM_BYTES {
            let (bodies, fresh) = (&self.inner.bodies, &mut self.fresh);
            place = Some(
                bodies
                    .place(fresh, id, &message.headers, &message.body)?
                    .pack(),
            );
            (headers, body) = (&[], &[]);
        }
        self.execute(
            "INSERT INTO message(id, queue, due, at, expires, max_deliveries, deliveries, headers, body, place)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9)",
            params![
                id,
                queue,
                message.due_at.unwrap_or(self.at),
                self.at,
                message.expires_at,
                message.max_deliveries,
                headers,
                body,
                place
            ],
        )?;
        self.wake.insert(queue);
        if message.due_at.is_some_and(|due| due < self.at) {
            self.lowered.insert(queue);
        }
        Ok(QueueMessageId(id))
    }

    /// A settled message goes.
    fn forget(&mut self, id: u64) -> Result<(), StoreError> {
        let place = self
            .log
            .prepare_cached("DELETE FROM message WHERE id = ?1 RETURNING place")
            .and_then(|mut s| {
                s.query_row([id], |r| r.get::<_, Option<Vec<u8>>>(0))
                    .optional()
            })
            .map_err(unavailable)?
            .flatten();
        let place = place.map(|p| bodies::Place::unpack(&p)).transpose()?;
        self.freed.push((id, place));
        Ok(())
    }

    /// Audit entries of a commit, or of one that was refused.
    pub(super) fn write_audit(&mut self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        for entry in entries {
            let n = self.next.audit;
            self.next.audit += 1;
            let bytes = serde_json::to_vec(entry)
                .map_err(|_| StoreError::Invalid("an audit entry is not JSON".to_owned()))?;
            self.execute(
                "INSERT INTO audit_pending(n, recorded_at, entry) VALUES(?1, ?2, ?3)",
                params![n, self.at, bytes],
            )?;
        }
        Ok(())
    }

    /// The tombstone: hides the record at once, everywhere. Erasure follows in steps.
    fn write_purge(&mut self, purge: &PlannedPurge) -> Result<(), StoreError> {
        let head = RawHead {
            repo: purge.repo,
            rtype: purge.rtype,
            op: codec::op::PURGE,
            vno: purge.vno,
            at: self.at,
            id: purge.id.clone(),
            ..RawHead::default()
        };
        let seq = self.take_seq();
        self.execute(
            "INSERT INTO version(seq, rid, vno, prev_seq, repo, type, op, at, pack, head, keys, blobs, codec, body)
             VALUES(?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, 0, ?8, x'', x'', 2, x'')",
            params![
                seq, purge.rid, purge.vno, purge.repo, purge.rtype, head.op, self.at,
                codec::pack_head(&head)
            ],
        )?;
        self.execute("DELETE FROM head WHERE rid = ?1", [purge.rid])?;
        self.execute(
            "DELETE FROM ident WHERE k = ?1",
            [codec::ident_key(purge.repo, purge.rtype, &purge.id)],
        )?;
        self.execute(
            "INSERT OR REPLACE INTO purge(repo, type, id, rid, seq, last_seq, state) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                purge.repo, purge.rtype, purge.id, purge.rid, seq, purge.last_seq,
                super::erase::HIDDEN
            ],
        )?;
        self.purged = true;
        Ok(())
    }
}

/// Hashes side by side.
pub(super) fn pack_blobs(hashes: &[BlobHash]) -> Vec<u8> {
    hashes.concat()
}

/// The hashes again.
pub(super) fn unpack_blobs(bytes: &[u8]) -> impl Iterator<Item = BlobHash> + '_ {
    let (hashes, _) = bytes.as_chunks::<32>();
    hashes.iter().copied()
}
