//! Walks the whole sealed journal and recomputes everything.

use super::chain;
use super::head::{self, Head};
use super::merkle::Builder;
use super::seal::DayTree;
use super::{DayStream, Hash, HeadRow, Member, SealedRow, Tables, merkle};
use crate::{PersonKey, StoreError};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

const PAGE: usize = 500;

fn broken<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::Corrupt(format!("access journal: {what}")))
}

/// Recomputes members, commits, leaves, chains, trees, person lines and heads; `Corrupt` names the first entry or head that
/// does not verify. Signatures are not checked here (the store holds no keys): see [`super::proof::signed_head`].
/// Returns how many entries were walked.
pub fn walk(tables: &mut dyn Tables) -> Result<u64, StoreError> {
    let heads = check_heads(tables)?;
    let mut lines = Lines::default();
    let mut total = 0;
    for stream in tables.streams()? {
        let mut state = StreamWalk::new(stream);
        loop {
            let rows = tables.rows(&state.stream, state.seq + 1, PAGE)?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                state.step(tables, row, &heads)?;
                lines.step(row)?;
                total += 1;
            }
        }
        state.end_day(tables)?;
        let end = tables.stream_state(&state.stream)?.map_or(0, |s| s.seq);
        if end != state.seq {
            return broken(format!(
                "stream {} ends at {}, not {end}",
                state.stream, state.seq
            ));
        }
    }
    lines.end()?;
    Ok(total)
}

type StreamHeads = BTreeMap<(String, String), BTreeMap<u64, head::HeadStream>>;

/// Checks that closed heads link; returns what all heads say, by (day, stream) and size.
fn check_heads(tables: &mut dyn Tables) -> Result<StreamHeads, StoreError> {
    let mut all: Vec<(HeadRow, Head)> = Vec::new();
    for row in tables.heads(None, usize::MAX)? {
        let read = head::read(&row)?;
        all.push((row, read));
    }
    all.reverse();
    let log = tables.log_id()?;
    let mut previous: Option<(Hash, String)> = None;
    let mut by_stream = StreamHeads::new();
    for (row, head) in all {
        let linked = head.prev_head == previous.as_ref().map(|p| p.0);
        let later = previous.as_ref().is_none_or(|p| p.1 < head.day);
        if head.log != log || head.day != row.day || !linked || !later {
            return broken(format!(
                "head {} of {} does not follow the one before",
                row.n, row.day
            ));
        }
        if row.closed {
            previous = Some((head::hash_of(&row.jws), row.day.clone()));
            for DayStream { stream, size, .. } in tables.day_streams(&row.day)? {
                if !head
                    .streams
                    .iter()
                    .any(|s| s.id == stream && s.size == size)
                {
                    return broken(format!(
                        "closed day {} has other entries than its head",
                        row.day
                    ));
                }
            }
        }
        for stream in head.streams {
            let of = by_stream
                .entry((head.day.clone(), stream.id.clone()))
                .or_default();
            of.insert(stream.size, stream);
        }
    }
    Ok(by_stream)
}

struct StreamWalk {
    stream: String,
    seq: u64,
    chain: Hash,
    day: String,
    tree: Builder,
    leaves: u64,
}

impl StreamWalk {
    fn new(stream: String) -> Self {
        Self {
            stream,
            seq: 0,
            chain: chain::CHAIN_START,
            day: String::new(),
            tree: Builder::default(),
            leaves: 0,
        }
    }

    fn step(
        &mut self,
        tables: &mut dyn Tables,
        row: &SealedRow,
        heads: &StreamHeads,
    ) -> Result<(), StoreError> {
        let name = format!("entry {} ({}/{})", row.id, row.stream, row.seq);
        if row.seq != self.seq + 1 || row.stream != self.stream {
            return broken(format!("{name} does not follow number {}", self.seq));
        }
        if row.day != self.day {
            self.end_day(tables)?;
            if row.day < self.day || row.index != 0 {
                return broken(format!("{name} stands in the wrong day"));
            }
            self.day.clone_from(&row.day);
            self.tree = Builder::default();
            self.leaves = 0;
        }
        let commit = chain::commit_of(&row.members);
        let leaf = chain::leaf(row.seq, row.recorded_at, &commit);
        if leaf != row.leaf {
            return broken(format!(
                "{name} was changed: its leaf does not follow from its content"
            ));
        }
        if !columns_agree(row) {
            return broken(format!(
                "{name} was changed: its columns differ from its members"
            ));
        }
        self.chain = chain::link(&self.chain, &leaf);
        if self.chain != row.chain || row.index != self.leaves {
            return broken(format!("{name} breaks the chain"));
        }
        self.seq = row.seq;
        self.leaves += 1;
        let mut completed = Vec::new();
        self.tree.push(leaf, &mut |level, index, hash| {
            completed.push((level, index, hash))
        });
        for (level, index, hash) in completed {
            let kept = tables.nodes(&self.stream, &self.day, level, index, index + 1)?;
            if kept != [hash] {
                return broken(format!(
                    "tree node {level}/{index} of {} is wrong",
                    self.day
                ));
            }
        }
        let here = heads.get(&(self.day.clone(), self.stream.clone()));
        if let Some(signed) = here.and_then(|by_size| by_size.get(&self.leaves)) {
            let mut tree = DayTree {
                tables,
                stream: &self.stream,
                day: &self.day,
            };
            let root = merkle::root(&mut tree, self.leaves)?;
            let first = row.seq - row.index;
            if signed.root != root || signed.chain != self.chain || signed.first != first {
                return broken(format!(
                    "the head of {} at {} entries disagrees",
                    self.day, self.leaves
                ));
            }
        }
        Ok(())
    }

    /// The day's row count is what was walked.
    fn end_day(&self, tables: &mut dyn Tables) -> Result<(), StoreError> {
        if self.day.is_empty() {
            return Ok(());
        }
        let kept = tables
            .day_streams(&self.day)?
            .into_iter()
            .find(|s| s.stream == self.stream);
        match kept {
            Some(k) if k.size == self.leaves && k.chain == self.chain => Ok(()),
            _ => broken(format!(
                "the end of {} in stream {} disagrees",
                self.day, self.stream
            )),
        }
    }
}

/// Columns outside the hash agree with the members inside it.
fn columns_agree(row: &SealedRow) -> bool {
    let agrees = |name: &str, expected: Value| match row.members.get(name) {
        Some(Member::Open { value, .. }) => *value == expected,
        Some(Member::Erased { .. }) => true,
        None => expected.is_null(),
    };
    let persons: Vec<String> = row.persons.iter().map(|p| p.0.to_string()).collect();
    agrees("id", row.id.to_string().into())
        && agrees("controller", row.controller.clone().into())
        && agrees("occurred_at", chain::instant(row.occurred_at).into())
        && agrees("imported", row.imported.into())
        && agrees("citizen_visible", row.citizen_visible.into())
        && agrees("persons", persons.into())
        && agrees("pn", row.pn.map_or(Value::Null, Value::from))
        && row.pn.is_some() == row.line.is_some()
}

/// Person lines: numbers without gaps, each naming the commit before. Streams are walked one after the other, so a
/// line's entries may come out of order; what came early waits.
#[derive(Default)]
struct Lines {
    ends: HashMap<(PersonKey, String), LineEnd>,
}

#[derive(Default)]
struct LineEnd {
    pn: u64,
    commit: Option<Hash>,
    early: BTreeMap<u64, (Option<Value>, Hash)>,
}

impl Lines {
    fn step(&mut self, row: &SealedRow) -> Result<(), StoreError> {
        let (Some(line), Some(pn)) = (row.line, row.pn) else {
            return Ok(());
        };
        let end = self.ends.entry((line, row.controller.clone())).or_default();
        let pprev = row.members.get("pprev").and_then(Member::value).cloned();
        if pn <= end.pn || end.early.contains_key(&pn) {
            return broken(format!(
                "entry {} repeats number {pn} of a person's line",
                row.id
            ));
        }
        end.early
            .insert(pn, (pprev, chain::commit_of(&row.members)));
        while let Some((pprev, commit)) = end.early.remove(&(end.pn + 1)) {
            let before = end.commit.map_or(Value::Null, |h| chain::b64(&h).into());
            if pprev.is_some_and(|p| p != before) {
                return broken(format!(
                    "entry {} does not continue its person's line",
                    row.id
                ));
            }
            end.pn += 1;
            end.commit = Some(commit);
        }
        Ok(())
    }

    fn end(&self) -> Result<(), StoreError> {
        if self.ends.values().all(|e| e.early.is_empty()) {
            return Ok(());
        }
        broken("a person's line has a gap".to_owned())
    }
}
