//! Choosing and changing GP, as a citizen or the office does it: a place when there is one, otherwise the waiting list.

use super::record::Record;
use super::register::{GpLists, WriteError};
use super::rules::places;
use crate::kernel::period::Moment;
use crate::personnel::Short;

/// What became of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// On the list from then on.
    OnList(Moment),
    /// Waits; this many stand before.
    Waits(usize),
    /// Was on the list already.
    Already,
}

/// Why a choice is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No such list, or it has ended.
    #[error("the list does not exist or has ended")]
    NoList,
    /// The list takes nobody.
    #[error("the list has no place")]
    Full,
    /// More changes in a year than allowed.
    #[error("the GP was changed {0} times within a year")]
    TooOften(usize),
    /// The register.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A citizen may change this often in twelve months (regulation on GPs §12: twice a year).
pub const CHANGES_A_YEAR: usize = 2;
const YEAR_MS: i64 = 365 * 86_400_000;

/// How somebody chooses.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// National id.
    pub nin: u64,
    /// The list.
    pub contract: i64,
    /// When it begins.
    pub from: Moment,
    /// Wait when there is no place.
    pub may_wait: bool,
    /// Code of the beginning (7754).
    pub begin: Short,
    /// Counts against the changes of the year.
    pub counts: bool,
}

impl GpLists {
    /// Chooses a list.
    ///
    /// # Errors
    /// [`Refused`]; nothing is changed then.
    pub fn choose(&self, choice: Choice) -> Result<Chosen, Refused> {
        let at = choice.from;
        let contract = self.contract(choice.contract).ok_or(Refused::NoList)?;
        if !contract.valid.contains(at) {
            return Err(Refused::NoList);
        }
        let history = self.history(choice.nin);
        if history
            .iter()
            .any(|on| on.contract == choice.contract && on.line.period().contains(at))
        {
            return Ok(Chosen::Already);
        }
        let recent = history
            .iter()
            .filter(|on| on.line.from.0 > at.0.saturating_sub(YEAR_MS))
            .filter(|on| on.line.from < at)
            .count();
        if choice.counts && recent >= CHANGES_A_YEAR {
            return Err(Refused::TooOften(recent));
        }
        if places(&contract, self.active_count(choice.contract, at), at) > 0 {
            self.move_patients(&[choice.nin], choice.contract, at, choice.begin)?;
            self.leave_waiting(choice.nin)?;
            return Ok(Chosen::OnList(at));
        }
        if !choice.may_wait {
            return Err(Refused::Full);
        }
        self.leave_waiting(choice.nin)?;
        let (_, before) = self.edit_contract(choice.contract, at, |c| {
            c.waiting.push(choice.nin);
            Ok(c.waiting.len().saturating_sub(1))
        })?;
        Ok(Chosen::Waits(before))
    }

    /// Takes somebody off every waiting list: one may wait for one list only.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn leave_waiting(&self, nin: u64) -> Result<(), WriteError> {
        for id in self.contracts_with_waiting() {
            let waits = self.contract(id).is_some_and(|c| c.waiting.contains(&nin));
            if waits {
                self.edit_contract(id, Moment(0), |c| {
                    c.waiting.retain(|waiting| *waiting != nin);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Gives free places to those who wait, first come first; says how many got one.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn fill_from_waiting(&self, contract: i64, at: Moment) -> Result<usize, WriteError> {
        let held = self.contract(contract).ok_or(WriteError::NotFound)?;
        let free = places(&held, self.active_count(contract, at), at);
        let next: Vec<u64> = held
            .waiting
            .iter()
            .copied()
            .take(usize::try_from(free).unwrap_or(usize::MAX))
            .collect();
        if next.is_empty() {
            return Ok(0);
        }
        self.move_patients(&next, contract, at, Short::default())?;
        self.edit_contract(contract, at, |c| {
            c.waiting.retain(|nin| !next.contains(nin));
            Ok(())
        })?;
        Ok(next.len())
    }

    fn contracts_with_waiting(&self) -> Vec<i64> {
        let mut found = Vec::new();
        self.each_contract(|entry| {
            if let Record::Contract(contract) = &entry.content
                && !contract.waiting.is_empty()
            {
                found.push(contract.id);
            }
        });
        found
    }
}
