//! What the table holds in memory, and its kept form: 350 000 rows that a start need not ask the store for one by one.

use super::rows::{BESIDE, Beside, Row, decode};
use super::{PAGE, REPOSITORY};
use crate::directory::{GpRelation, Person, Practitioner};
use crate::gplists;
use crate::kernel::identifiers::Packed;
use crate::kernel::keeping::{Due, Keeping, Standing, place};
use crate::kernel::log::entries_counter;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use store::{Granted, RepoId, Rid, Seq, Store, StoreError};

/// Version of the kept form.
const KEPT_FORM: u32 = 1;
/// First byte of a kept row: JSON of a practitioner follows.
const PRACTITIONER: u8 = b'P';
/// First byte of a kept row: JSON of national id and story follows.
const STORY: u8 = b'S';

#[derive(Default)]
pub(super) struct Tables {
    pub gp_relations: Vec<GpRelation>,
    pub gp_number: HashMap<GpRelation, u32>,
    pub gp_of: HashMap<u64, u32>,
    /// The register of GP lists has them: the rows of the import are passed over.
    pub ignores_lists: bool,
    /// Story → national id.
    pub stories: BTreeMap<String, String>,
    pub by_hpr: HashMap<String, String>,
    pub practitioners: BTreeMap<String, Arc<Practitioner>>,
    /// How often a row of personnel was taken in.
    pub employed: u64,
    /// National ids of personnel of the story.
    pub story_staff: BTreeSet<String>,
    /// The file with everything that these rows go on from, and what changed since.
    base: Option<u128>,
    changed: BTreeMap<String, Seq>,
}

impl Tables {
    pub fn insert(&mut self, row: Row) {
        match row {
            // The person register has them.
            Row::Person(_) => {}
            Row::Practitioner(practitioner) => self.employ(*practitioner),
            // Their registers have them.
            Row::Organisation(_)
            | Row::Party(_)
            | Row::Business(_)
            | Row::CommunicationParty(_) => {}
        }
    }

    fn employ(&mut self, practitioner: Practitioner) {
        let nin = practitioner.nin.clone();
        if let Some(hpr) = &practitioner.hpr {
            self.by_hpr.insert(hpr.clone(), nin.clone());
        }
        if practitioner.story.is_some() {
            self.story_staff.insert(nin.clone());
        } else {
            self.story_staff.remove(&nin);
        }
        self.employed += 1;
        self.practitioners.insert(nin, Arc::new(practitioner));
    }

    /// Takes in a row of the store that was written at a place of the feed; none when all rows are read.
    pub fn take(&mut self, rtype: &str, body: &[u8], at: Option<Seq>) -> Result<(), StoreError> {
        if rtype == BESIDE {
            if self.ignores_lists && Beside::is_list(body) {
                return Ok(());
            }
            let row = serde_json::from_slice(body)
                .map_err(|e| StoreError::Corrupt(format!("register row, column {}", e.column())))?;
            self.learn(row);
        } else {
            let row = decode(rtype, body)?;
            if let (Row::Practitioner(practitioner), Some(at)) = (&row, at) {
                self.changed.insert(practitioner.nin.clone(), at);
            }
            self.insert(row);
        }
        Ok(())
    }

    pub fn learn(&mut self, beside: Beside) {
        match beside {
            Beside::GpList { .. } if self.ignores_lists => {}
            Beside::GpList { relation, patients } => {
                let list = relation.map(|relation| {
                    let next = u32::try_from(self.gp_relations.len()).unwrap_or(u32::MAX);
                    let known = self.gp_number.entry(relation);
                    *known.or_insert_with_key(|relation| {
                        self.gp_relations.push(relation.clone());
                        next
                    })
                });
                for patient in patients {
                    match list {
                        Some(list) => self.gp_of.insert(patient, list),
                        None => self.gp_of.remove(&patient),
                    };
                }
            }
            Beside::Story { nin, story } => {
                self.stories.insert(story, nin);
            }
        }
    }

    /// From now on the register of GP lists is asked; five million places need not stand here as well.
    pub fn leave_lists(&mut self) {
        self.ignores_lists = true;
        self.gp_of = HashMap::new();
        self.gp_relations = Vec::new();
        self.gp_number = HashMap::new();
    }

    pub fn gp(&self, person: &Person) -> Option<GpRelation> {
        let numbers = std::iter::once(&person.nin).chain(&person.historic);
        let list = numbers
            .filter_map(|nin| Packed::digits(nin))
            .find_map(|number| self.gp_of.get(&number.0))?;
        self.gp_relations.get(*list as usize).cloned()
    }

    pub fn story(&self, person: &Person) -> Option<String> {
        let mut stories = self.stories.iter();
        let own = stories.find(|(_, nin)| **nin == person.nin || person.historic.contains(nin));
        own.map(|(story, _)| story.clone())
    }

    /// Personnel, those of the story first.
    pub fn staff(&self) -> impl Iterator<Item = &Arc<Practitioner>> {
        let story = self.story_staff.iter();
        let first = story.filter_map(|nin| self.practitioners.get(nin));
        let others = self.practitioners.values();
        first.chain(others.filter(|p| p.story.is_none()))
    }
}

enum KeptRow {
    Practitioner(Box<Practitioner>),
    Story(String, String),
}

/// Written into the kept form.
enum ToKeep {
    Practitioner(Arc<Practitioner>),
    Story(String, String),
}

fn encode(row: ToKeep, out: &mut Vec<u8>) {
    // What cannot be written cannot be read either: the file is not used then.
    let _ = match row {
        ToKeep::Practitioner(practitioner) => {
            out.push(PRACTITIONER);
            serde_json::to_writer(out, &*practitioner)
        }
        ToKeep::Story(story, nin) => {
            out.push(STORY);
            serde_json::to_writer(out, &(story, nin))
        }
    };
}

fn decode_kept(bytes: &[u8]) -> Option<KeptRow> {
    match bytes.split_first()? {
        (&PRACTITIONER, json) => serde_json::from_slice(json).ok().map(KeptRow::Practitioner),
        (&STORY, json) => {
            let (story, nin) = serde_json::from_slice(json).ok()?;
            Some(KeptRow::Story(story, nin))
        }
        _ => None,
    }
}

pub(super) fn keeping(folder: &Path) -> Keeping {
    Keeping::new(folder, REPOSITORY, KEPT_FORM)
}

/// Reads the rows: of the kept form and the feed since, or all of the store. With the place up to which they are there.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn open(
    store: &Store,
    (repo, grant): (RepoId, &Granted),
    keeping: Option<&Keeping>,
) -> Result<(Tables, Seq), StoreError> {
    let mut tables = Tables {
        // Lists that were taken over by their register are not asked for here any more.
        ignores_lists: store.position(&entries_counter::<gplists::Record>())?.0 > 0,
        ..Tables::default()
    };
    let found = match keeping.filter(|_| tables.ignores_lists) {
        Some(keeping) => keeping.read(store, decode_kept)?,
        None => None,
    };
    if let Some(found) = found {
        tables.base = Some(found.mark);
        let seq = Seq(found.place.seq);
        for row in found.all {
            tables.take_kept(row);
        }
        for row in found.since {
            if let KeptRow::Practitioner(p) = &row {
                tables.changed.insert(p.nin.clone(), seq);
            }
            tables.take_kept(row);
        }
        return Ok((tables, seq));
    }
    let snapshot = store.snapshot()?;
    for rtype in ["Practitioner", BESIDE] {
        let mut after = Rid(0);
        loop {
            let rids = snapshot.type_rids(grant, repo, rtype, after, PAGE)?;
            let Some(last) = rids.last() else { break };
            after = *last;
            for record in snapshot.fetch(grant, &rids)? {
                tables.take(rtype, &record.body, None)?;
            }
        }
    }
    Ok((tables, snapshot.seq()))
}

impl Tables {
    fn take_kept(&mut self, row: KeptRow) {
        match row {
            KeptRow::Practitioner(practitioner) => self.employ(*practitioner),
            KeptRow::Story(story, nin) => {
                self.stories.insert(story, nin);
            }
        }
    }
}

/// Writes the kept form where much has changed since. Whether something was written. `seen`: up to where the rows are there.
///
/// # Errors
/// When the store cannot be read or a file not be written.
pub(super) fn keep(
    store: &Store,
    keeping: &Keeping,
    tables: &RwLock<Tables>,
    seen: Seq,
) -> Result<bool, StoreError> {
    let _turn = keeping.turn();
    let (due, base, rows) = {
        let tables = tables.read().unwrap_or_else(PoisonError::into_inner);
        // Before that the rows of the import are needed, which are not kept.
        if !tables.ignores_lists {
            return Ok(false);
        }
        let due = keeping.due(Standing {
            entries: tables.practitioners.len(),
            changed: tables.changed.len(),
            seq: seen,
            has_base: tables.base.is_some(),
        });
        let staff: Vec<Arc<Practitioner>> = match due {
            Due::Nothing => return Ok(false),
            Due::Everything => tables.practitioners.values().cloned().collect(),
            Due::Since => {
                let changed = tables.changed.keys();
                changed
                    .filter_map(|nin| tables.practitioners.get(nin).cloned())
                    .collect()
            }
        };
        // The stories are few: every file has them.
        let stories = tables.stories.clone().into_iter();
        let staff = staff.into_iter().map(ToKeep::Practitioner);
        let rows: Vec<ToKeep> = staff
            .chain(stories.map(|(story, nin)| ToKeep::Story(story, nin)))
            .collect();
        (due, tables.base, rows)
    };
    let place = place(store, seen, 0)?;
    if let (Due::Since, Some(mark)) = (due, base) {
        keeping.write_since((mark, place), rows, encode)?;
        return Ok(true);
    }
    let mark = keeping.write_all(place, rows, encode)?;
    let mut tables = tables.write().unwrap_or_else(PoisonError::into_inner);
    tables.base = Some(mark);
    tables.changed.retain(|_, at| *at > seen);
    Ok(true)
}
