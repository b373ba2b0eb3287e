//! GP lists as the table knows them, and how much it holds.

use super::RegisterTable;
use crate::directory::GpRelation;

impl RegisterTable {
    /// GP lists with the national ids (as numbers) of those on them, in the order of the relations.
    pub fn gp_lists(&self) -> Vec<(GpRelation, Vec<u64>)> {
        let tables = self.read();
        let relations = tables.gp_relations.iter();
        let mut lists: Vec<_> = relations.map(|r| (r.clone(), Vec::new())).collect();
        let mut patients: Vec<_> = tables.gp_of.iter().collect();
        patients.sort_unstable();
        for (patient, list) in patients {
            if let Some((_, on)) = lists.get_mut(*list as usize) {
                on.push(*patient);
            }
        }
        lists
    }

    /// Numbers for the health page: (persons, personnel, organisations, parties).
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        let tables = self.read();
        (
            self.persons.len() as usize,
            tables.practitioners.len(),
            self.businesses.mains(),
            self.parties.len(),
        )
    }
}
