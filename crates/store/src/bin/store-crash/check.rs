//! The rules: what must be true of the store after any crash.

use crate::dump::Dump;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use store::{FeedEvent, Filter, Granted, KeyRange, Op, Seq, Snapshot, Store};

/// Something is wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub what: String,
    /// Whether it is the loss of something acknowledged.
    pub lost: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

pub fn broken(what: impl Into<String>) -> Failure {
    Failure {
        what: what.into(),
        lost: false,
    }
}

fn lost(what: impl Into<String>) -> Failure {
    Failure {
        what: what.into(),
        lost: true,
    }
}

type Checked = Result<(), Failure>;

/// Everything acknowledged in the life of one store.
#[derive(Default)]
pub struct Expected {
    creates: BTreeSet<String>,
    versions: BTreeMap<String, u32>,
    deleted: BTreeSet<String>,
    purged: BTreeSet<String>,
    conditions: BTreeMap<String, String>,
    races: BTreeMap<String, String>,
    audits: BTreeSet<String>,
    blobs: BTreeSet<String>,
    settings: BTreeSet<String>,
    effects: BTreeSet<String>,
    dead: BTreeSet<String>,
    position: u64,
    /// Acts whose outcome the child did not learn, per cycle.
    unknown: BTreeMap<String, usize>,
}

impl Expected {
    /// Takes in one acknowledgement; two that contradict each other are a failure by themselves.
    pub fn take(&mut self, ack: Ack) -> Checked {
        match ack {
            Ack::Ready => {}
            Ack::Create { act } => {
                self.versions.insert(format!("a-{act}"), 1);
                self.creates.insert(act);
            }
            Ack::Update { record, vno } => {
                self.versions.insert(record, vno);
            }
            Ack::Delete { record, vno } => {
                self.versions.insert(record.clone(), vno);
                self.deleted.insert(record);
            }
            Ack::Purge { record } => {
                self.purged.insert(record);
            }
            Ack::Condition { key, act } => {
                if let Some(other) = self.conditions.insert(key, act.clone()) {
                    return Err(broken(format!(
                        "conditional creates {other} and {act} both won"
                    )));
                }
                self.audits.insert(act);
            }
            Ack::Race { key, act } => {
                if let Some(other) = self.races.insert(key, act.clone()) {
                    return Err(broken(format!("claims {other} and {act} both won")));
                }
            }
            Ack::Refused { act } | Ack::Audit { act } => {
                self.audits.insert(act);
            }
            Ack::Blob { act } => {
                self.blobs.insert(act);
            }
            Ack::Setting { act } => {
                self.audits.insert(act.clone());
                self.settings.insert(act);
            }
            Ack::Effect { act } => {
                if !self.effects.insert(act.clone()) {
                    return Err(broken(format!(
                        "the effect of {act} was acknowledged twice"
                    )));
                }
            }
            Ack::Dead { act } => {
                self.dead.insert(act);
            }
            Ack::Position { to } => self.position = self.position.max(to),
            Ack::Unknown { act } => {
                *self.unknown.entry(cycle_of(&act).to_owned()).or_default() += 1;
            }
        }
        Ok(())
    }
}

fn cycle_of(act: &str) -> &str {
    let act = act.trim_start_matches("q-");
    act.split('t').next().unwrap_or(act)
}

/// Checks an opened store.
pub fn store(store: &Store, grant: &Granted, expected: &Expected, mirror: &Path) -> Checked {
    let read = |e: store::StoreError| broken(e.to_string());
    store.seal().map_err(read)?;
    store.maintain().map_err(read)?;
    store
        .verify_journal()
        .map_err(|e| broken(format!("journal: {e}")))?;
    store
        .verify_index()
        .map_err(|e| broken(format!("index differs from log: {e}")))?;
    let snapshot = store.snapshot().map_err(read)?;
    let dump = Dump::of(store).map_err(|e| broken(format!("backup: {e}")))?;
    let look = Look::of(&dump);
    look.feed(store, &dump)?;
    look.contents(&dump, expected)?;
    look.mirror(expected, mirror)?;
    look.reads(store, grant, &snapshot, expected)
}

/// A store's records as histories.
struct Look {
    /// By id: versions in order (number, seq, what, body).
    histories: BTreeMap<String, Vec<Version>>,
    purged: BTreeSet<String>,
    journal: BTreeSet<uuid::Uuid>,
}

struct Version {
    vno: u32,
    op: Op,
    at: i64,
    body: serde_json::Value,
    keys: Vec<store::IndexKey>,
    blobs: usize,
}

impl Look {
    fn of(dump: &Dump) -> Self {
        let mut look = Self {
            histories: BTreeMap::new(),
            purged: dump.purged.clone(),
            journal: dump.journal.keys().copied().collect(),
        };
        for v in &dump.versions {
            if v.op == Op::Purge {
                look.purged.insert(v.id.clone());
                continue;
            }
            let body = serde_json::from_slice(&v.body).unwrap_or(serde_json::Value::Null);
            look.histories
                .entry(v.id.clone())
                .or_default()
                .push(Version {
                    vno: v.vno.0,
                    op: v.op,
                    at: v.at,
                    body,
                    keys: v.keys.clone(),
                    blobs: v.blobs.len(),
                });
        }
        look
    }

    /// Everything that the dump alone can show.
    fn contents(&self, dump: &Dump, expected: &Expected) -> Checked {
        self.records(expected)?;
        self.acts(dump, expected)?;
        self.queue(dump, expected)?;
        self.position(dump, expected)?;
        self.races(dump, expected)?;
        self.journal(dump, expected)
    }

    fn newest(&self, id: &str) -> Option<&Version> {
        self.histories.get(id).and_then(|h| h.last())
    }

    fn live(&self, id: &str) -> bool {
        !self.purged.contains(id) && self.newest(id).is_some_and(|v| v.op != Op::Delete)
    }

    fn exists(&self, id: &str) -> bool {
        self.purged.contains(id) || self.histories.contains_key(id)
    }

    /// The feed has every place once, up to the end of the log, and names the versions that the log holds.
    fn feed(&self, store: &Store, dump: &Dump) -> Checked {
        let mut after = 0;
        let mut at = i64::MIN;
        loop {
            let page = store
                .feed(Seq(after), 1_000)
                .map_err(|e| broken(e.to_string()))?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                if entry.seq.0 != after + 1 {
                    return Err(broken(format!(
                        "the feed goes from {after} to {}",
                        entry.seq.0
                    )));
                }
                if entry.at < at {
                    return Err(broken(format!("commit time goes back at {}", entry.seq.0)));
                }
                (after, at) = (entry.seq.0, entry.at);
                let FeedEvent::Version { id, vno, op, .. } = entry.event else {
                    continue;
                };
                let known = self.histories.get(&id);
                let kept = known.is_some_and(|h| h.iter().any(|v| v.vno == vno.0 && v.op == op));
                if op != Op::Purge && !kept && !self.purged.contains(&id) {
                    return Err(broken(format!(
                        "the feed names {id}/{}, the log does not",
                        vno.0
                    )));
                }
            }
        }
        if after < dump.seq {
            return Err(lost(format!(
                "the feed ends at {after}, the log at {}",
                dump.seq
            )));
        }
        Ok(())
    }

    /// Versions have no gap and each holds what was written as that version; acknowledged ones are there.
    fn records(&self, expected: &Expected) -> Checked {
        for (id, history) in &self.histories {
            if self.purged.contains(id) {
                if history.iter().any(|v| !v.body.is_null()) {
                    return Err(broken(format!("{id} was purged and still has a body")));
                }
                continue;
            }
            for (i, version) in history.iter().enumerate() {
                let number = version.body.get("n").and_then(serde_json::Value::as_u64);
                if version.vno as usize != i + 1 {
                    return Err(broken(format!(
                        "{id} has version {} after {i}",
                        version.vno
                    )));
                }
                let written = version.op == Op::Delete || number == Some(u64::from(version.vno));
                if id != COUNTER && !written {
                    return Err(broken(format!("{id}/{} holds {number:?}", version.vno)));
                }
            }
        }
        for (record, vno) in &expected.versions {
            if expected.purged.contains(record) {
                continue;
            }
            let newest = self.newest(record).map_or(0, |v| v.vno);
            if newest < *vno && !self.purged.contains(record) {
                return Err(lost(format!(
                    "{record}/{vno} was acknowledged; newest is {newest}"
                )));
            }
        }
        for record in &expected.deleted {
            if self.live(record) {
                return Err(lost(format!(
                    "the deletion of {record} was acknowledged; it lives"
                )));
            }
        }
        for record in &expected.purged {
            if !self.purged.contains(record) {
                return Err(lost(format!(
                    "the purge of {record} was acknowledged; no tombstone"
                )));
            }
        }
        Ok(())
    }

    /// Acts are there whole or not at all, and whole when acknowledged; what is there without an acknowledgement is what
    /// was under way at the kill.
    fn acts(&self, dump: &Dump, expected: &Expected) -> Checked {
        let made = |prefix: &str| -> BTreeSet<String> {
            let all = self.histories.keys().chain(&self.purged);
            all.filter_map(|id| id.strip_prefix(prefix))
                .map(str::to_owned)
                .collect()
        };
        let mut unasked: BTreeMap<String, usize> = BTreeMap::new();
        let created: BTreeSet<String> = made("a-")
            .into_iter()
            .chain(made("b-"))
            .chain(expected.creates.clone())
            .collect();
        for act in &created {
            let claimed = dump.claims.get(&("act".to_owned(), act.clone())) == Some(act);
            let a = format!("a-{act}");
            let blob = !has_blob(act)
                || self.purged.contains(&a)
                || self.first(&a).is_some_and(|v| v.blobs == 1);
            let parts = [
                ("first record", self.exists(&a)),
                ("second record", self.exists(&format!("b-{act}"))),
                ("claim", claimed),
                ("blob", blob),
                ("journal entry", self.journal.contains(&audit_id(act))),
                ("same instant", self.same_instant(act)),
            ];
            let missing: Vec<&str> = parts.iter().filter(|p| !p.1).map(|p| p.0).collect();
            let acknowledged = expected.creates.contains(act);
            if !missing.is_empty() {
                let what = format!("act {act} lacks {}", missing.join(", "));
                return Err(if acknowledged {
                    lost(what)
                } else {
                    broken(what)
                });
            }
            if !acknowledged {
                *unasked.entry(cycle_of(act).to_owned()).or_default() += 1;
            }
        }
        for (cycle, n) in unasked {
            let unknown = expected.unknown.get(&cycle).copied().unwrap_or(0);
            if n > IN_FLIGHT + unknown {
                return Err(broken(format!(
                    "{n} acts of {cycle} were never acknowledged"
                )));
            }
        }
        for (prefix, acts) in [
            ("l-", &expected.blobs),
            ("s-", &expected.settings),
            ("e-", &expected.effects),
        ] {
            if let Some(act) = acts
                .iter()
                .find(|act| !self.live(&format!("{prefix}{act}")))
            {
                return Err(lost(format!(
                    "{prefix}{act} was acknowledged and is not there"
                )));
            }
        }
        Ok(())
    }

    fn first(&self, id: &str) -> Option<&Version> {
        self.histories.get(id).and_then(|h| h.first())
    }

    fn same_instant(&self, act: &str) -> bool {
        let of = |prefix: &str| self.first(&format!("{prefix}{act}")).map(|v| v.at);
        self.purged.contains(&format!("a-{act}")) || of("a-") == of("b-")
    }

    /// Each message is in exactly one place: waiting, dead, or turned into its effect.
    fn queue(&self, dump: &Dump, expected: &Expected) -> Checked {
        let sent = self
            .histories
            .keys()
            .chain(&self.purged)
            .filter_map(|id| id.strip_prefix("a-"));
        for act in sent {
            let waiting = dump.messages.get(act).copied().unwrap_or(0);
            let dead = dump.dead.get(act).copied().unwrap_or(0);
            let effect = u32::from(self.exists(&format!("e-{act}")));
            match waiting + dead + effect {
                1 => {}
                0 => return Err(lost(format!("the message of {act} is gone without effect"))),
                _ => {
                    return Err(broken(format!(
                        "the message of {act}: {waiting} waiting, {dead} dead, {effect} done"
                    )));
                }
            }
        }
        if let Some(act) = expected
            .dead
            .iter()
            .find(|act| !dump.dead.contains_key(*act))
        {
            return Err(lost(format!(
                "the dead letter of {act} was acknowledged; it is not there"
            )));
        }
        Ok(())
    }

    /// The consumer has counted each place of the feed once.
    fn position(&self, dump: &Dump, expected: &Expected) -> Checked {
        let at = dump.positions.get(CONSUMER).copied().unwrap_or(0);
        let counted = self
            .newest(COUNTER)
            .and_then(|v| v.body.get("n")?.as_u64())
            .unwrap_or(0);
        if at < expected.position {
            return Err(lost(format!(
                "position {} was acknowledged; it is {at}",
                expected.position
            )));
        }
        if at != counted {
            return Err(broken(format!(
                "the consumer stands at {at} and has counted {counted}"
            )));
        }
        Ok(())
    }

    /// Conditional creates and claims have one winner, the acknowledged one.
    fn races(&self, dump: &Dump, expected: &Expected) -> Checked {
        let mut holders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (id, history) in &self.histories {
            let Some(act) = id.strip_prefix("c-").filter(|_| self.live(id)) else {
                continue;
            };
            let keys = history
                .last()
                .map(|v| v.keys.as_slice())
                .unwrap_or_default();
            for key in keys.iter().filter(|k| k.param == BY_CONDITION) {
                let key = String::from_utf8_lossy(&key.value).into_owned();
                holders.entry(key).or_default().push(act);
            }
        }
        if let Some((key, acts)) = holders.iter().find(|(_, acts)| acts.len() > 1) {
            return Err(broken(format!(
                "conditional create {key} was won by {}",
                acts.join(" and ")
            )));
        }
        for (key, act) in &expected.conditions {
            if holders
                .get(key)
                .is_none_or(|h| h.as_slice() != [act.as_str()])
            {
                return Err(lost(format!(
                    "conditional create {act} was acknowledged and is gone"
                )));
            }
        }
        for (key, act) in &expected.races {
            if dump.claims.get(&("race".to_owned(), key.clone())) != Some(act) {
                return Err(lost(format!(
                    "the claim of {act} was acknowledged and is not held"
                )));
            }
        }
        for ((space, _), act) in &dump.claims {
            if space == "race" && !self.live(&format!("r-{act}")) {
                return Err(broken(format!(
                    "the claim of {act} is held without its record"
                )));
            }
        }
        let claimed: BTreeSet<&String> = dump
            .claims
            .iter()
            .filter(|(k, _)| k.0 == "race")
            .map(|(_, v)| v)
            .collect();
        let winners = self.histories.keys().filter_map(|id| id.strip_prefix("r-"));
        match winners
            .into_iter()
            .find(|act| !claimed.contains(&(*act).to_owned()))
        {
            Some(act) => Err(broken(format!(
                "the record of {act} is there without its claim"
            ))),
            None => Ok(()),
        }
    }

    /// Acknowledged entries are in the journal, and every entry is there once.
    fn journal(&self, dump: &Dump, expected: &Expected) -> Checked {
        if let Some(act) = expected
            .audits
            .iter()
            .find(|act| !self.journal.contains(&audit_id(act)))
        {
            return Err(lost(format!(
                "the journal entry of {act} was acknowledged and is gone"
            )));
        }
        match dump.journal.iter().find(|(_, n)| **n > 1) {
            Some((id, n)) => Err(broken(format!("journal entry {id} is there {n} times"))),
            None => Ok(()),
        }
    }

    /// The second place has every setting and purge once.
    fn mirror(&self, expected: &Expected, folder: &Path) -> Checked {
        let entries = store::backup::mirror::read_after(folder, 0)
            .map_err(|e| broken(format!("mirror: {e}")))?;
        let mut mirrored: BTreeMap<String, u32> = BTreeMap::new();
        for entry in &entries {
            let puts = entry.puts.iter().map(|p| &p.id);
            for id in puts.chain(entry.purges.iter().map(|p| &p.2)) {
                *mirrored.entry(id.clone()).or_default() += 1;
            }
        }
        let settings = self.histories.keys().filter(|id| id.starts_with("s-"));
        let must: BTreeSet<&String> = settings
            .chain(&self.purged)
            .chain(&expected.purged)
            .collect();
        for id in must {
            match mirrored.remove(id) {
                Some(1) => {}
                None => return Err(lost(format!("{id} is not in the mirror"))),
                Some(n) => return Err(broken(format!("{id} is {n} times in the mirror"))),
            }
        }
        match mirrored.keys().next() {
            Some(id) => Err(broken(format!(
                "{id} is in the mirror and not in the store"
            ))),
            None => Ok(()),
        }
    }

    /// What readers are given agrees with the log.
    fn reads(
        &self,
        store: &Store,
        grant: &Granted,
        snapshot: &Snapshot,
        expected: &Expected,
    ) -> Checked {
        let failed = |e: store::StoreError| broken(e.to_string());
        let repo = store.repo(RECORDS).map_err(failed)?;
        for (record, vno) in &expected.versions {
            let read = snapshot.read(grant, repo, TYPE, record).map_err(failed)?;
            let newest = self
                .newest(record)
                .filter(|_| !self.purged.contains(record));
            let found = read.as_ref().map(|r| (r.head.vno.0, r.head.op));
            if found != newest.map(|v| (v.vno, v.op)) {
                return Err(broken(format!(
                    "{record} reads as {found:?}, acknowledged was {vno}"
                )));
            }
        }
        for record in &expected.purged {
            if store
                .purge_state(repo, TYPE, record)
                .map_err(failed)?
                .is_none()
            {
                return Err(lost(format!("the purge of {record} is not known")));
            }
        }
        for act in &expected.creates {
            let key = store::IndexKey {
                param: BY_ACT,
                value: act.as_bytes().to_vec(),
            };
            let range = KeyRange::exact(&key);
            let found = snapshot
                .range(grant, repo, &range, 100)
                .map_err(failed)?
                .len();
            let ids = ["a-", "b-", "e-"].map(|p| format!("{p}{act}"));
            let live = ids.iter().filter(|id| self.live(id)).count();
            if found != live {
                return Err(broken(format!(
                    "search finds {found} records of {act}, {live} live"
                )));
            }
            if has_blob(act) && self.live(&format!("a-{act}")) {
                self.blob(store, act, 2_000)?;
            }
        }
        expected
            .blobs
            .iter()
            .try_for_each(|act| self.blob(store, act, STAGED))
    }

    fn blob(&self, store: &Store, act: &str, size: usize) -> Checked {
        let bytes = blob_of(act, size);
        let first = self.first(&format!("a-{act}"));
        if size != STAGED
            && first.is_some()
            && self.newest(&format!("a-{act}")).is_some_and(|v| v.vno > 1)
        {
            // A later version no longer refers to it; an engine may keep it for the history or not.
            return Ok(());
        }
        let kept = store
            .blob(&store::sha256(&bytes))
            .map_err(|e| broken(e.to_string()))?;
        if kept.is_none_or(|k| k != bytes) {
            return Err(lost(format!("the blob of {act} is gone or changed")));
        }
        Ok(())
    }
}

/// The grant that the checker reads with.
pub fn grant(mint: &store::Mint) -> Granted {
    mint.grant(Filter::Open, Seq(0), 0)
}

#[cfg(test)]
mod tests;
