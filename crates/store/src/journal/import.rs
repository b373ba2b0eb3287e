//! The sealed journal out of a backup, back into tables: rows come whole, trees are grown anew.

use super::merkle::Builder;
use super::{LineState, Node, SealedRow, Tables};
use crate::backup::Item;
use crate::{PersonKey, StoreError};
use std::collections::BTreeMap;

const BATCH: usize = 1_000;

/// Takes journal items one by one, in the order a backup gives them. The caller sets the log's id
/// ([`Item::JournalLog`]), which engines keep in their own way, and commits at the end.
#[derive(Default)]
pub struct Import {
    rows: Vec<SealedRow>,
    nodes: Vec<Node>,
    lines: BTreeMap<(PersonKey, String), LineState>,
    tree: Option<(String, String, Builder)>,
}

impl Import {
    /// The next item; other kinds than journal items are `Invalid`.
    pub fn item(&mut self, tables: &mut dyn Tables, item: Item) -> Result<(), StoreError> {
        match item {
            Item::JournalLog(_) => {}
            Item::JournalRow(row) => {
                self.grow(&row)?;
                self.rows.push(*row);
            }
            Item::JournalLine(person, controller, state) => {
                self.lines.insert((person, controller), state);
            }
            Item::JournalHead(head) => {
                self.flush(tables)?;
                tables.put_head(&head)?;
            }
            _ => return Err(StoreError::Invalid("not an item of the journal".to_owned())),
        }
        if self.rows.len() + self.lines.len() >= BATCH {
            self.flush(tables)?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(mut self, tables: &mut dyn Tables) -> Result<(), StoreError> {
        self.flush(tables)
    }

    fn grow(&mut self, row: &SealedRow) -> Result<(), StoreError> {
        let same = self
            .tree
            .as_ref()
            .is_some_and(|(s, d, _)| *s == row.stream && *d == row.day);
        if !same {
            self.tree = Some((row.stream.clone(), row.day.clone(), Builder::default()));
        }
        let Some((stream, day, tree)) = &mut self.tree else {
            return Ok(());
        };
        if tree.size() != row.index {
            return Err(StoreError::Corrupt(format!(
                "backup: journal entry {}/{} is out of order",
                row.stream, row.seq
            )));
        }
        tree.push(row.leaf, &mut |level, index, hash| {
            let (stream, day) = (stream.clone(), day.clone());
            self.nodes.push(Node {
                stream,
                day,
                level,
                index,
                hash,
            });
        });
        Ok(())
    }

    fn flush(&mut self, tables: &mut dyn Tables) -> Result<(), StoreError> {
        tables.append(&std::mem::take(&mut self.rows))?;
        tables.put_nodes(&std::mem::take(&mut self.nodes))?;
        tables.put_lines(&std::mem::take(&mut self.lines))
    }
}
