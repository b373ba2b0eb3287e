//! Choosing and changing GP, as a citizen or the office does it: a place when there is one, otherwise the waiting list.

use super::record::Record;
use super::register::{GpLists, WriteError, changed_contract};
use super::rules::places;
use crate::kernel::EntryId;
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

type Changes = Vec<(EntryId, Record)>;

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
    /// Chooses a list: the place, the lines of the lists left and the waiting lists change together.
    ///
    /// # Errors
    /// [`Refused`]; nothing is changed then.
    pub fn choose(&self, choice: Choice) -> Result<Chosen, Refused> {
        let mut chosen = Chosen::Already;
        self.write(|| {
            let (changes, becomes) = self.chosen(&choice)?;
            chosen = becomes;
            Ok::<_, Refused>(changes)
        })?;
        Ok(chosen)
    }

    fn chosen(&self, choice: &Choice) -> Result<(Changes, Chosen), Refused> {
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
            return Ok((Vec::new(), Chosen::Already));
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
            let mut changes = self.left_waiting(choice.nin, None)?;
            let draft = self.moved(&[choice.nin], choice.contract, at, choice.begin)?;
            changes.extend(draft.changes());
            return Ok((changes, Chosen::OnList(at)));
        }
        if !choice.may_wait {
            return Err(Refused::Full);
        }
        let mut changes = self.left_waiting(choice.nin, Some(choice.contract))?;
        let mut waited = contract.clone();
        waited.waiting.retain(|waiting| *waiting != choice.nin);
        waited.waiting.push(choice.nin);
        let before = waited.waiting.len().saturating_sub(1);
        changes.extend(changed_contract(&contract, &mut waited, at)?);
        Ok((changes, Chosen::Waits(before)))
    }

    /// Takes somebody off every waiting list: one may wait for one list only.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn leave_waiting(&self, nin: u64) -> Result<(), WriteError> {
        self.write(|| self.left_waiting(nin, None))
    }

    fn left_waiting(&self, nin: u64, but: Option<i64>) -> Result<Changes, WriteError> {
        let mut changes = Vec::new();
        for id in self.contracts_with_waiting() {
            let contract = self.contract(id).filter(|_| but != Some(id));
            if let Some(before) = contract.filter(|c| c.waiting.contains(&nin)) {
                let mut after = before.clone();
                after.waiting.retain(|waiting| *waiting != nin);
                changes.extend(changed_contract(&before, &mut after, Moment(0))?);
            }
        }
        Ok(changes)
    }

    /// Gives free places to those who wait, first come first; says how many got one.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn fill_from_waiting(&self, contract: i64, at: Moment) -> Result<usize, WriteError> {
        let mut given = 0;
        self.write(|| {
            let held = self.contract(contract).ok_or(WriteError::NotFound)?;
            let free = places(&held, self.active_count(contract, at), at);
            let next: Vec<u64> = held
                .waiting
                .iter()
                .copied()
                .take(usize::try_from(free).unwrap_or(usize::MAX))
                .collect();
            given = next.len();
            if next.is_empty() {
                return Ok(Vec::new());
            }
            let draft = self.moved(&next, contract, at, Short::default())?;
            let mut after = held.clone();
            after.waiting.retain(|nin| !next.contains(nin));
            let mut changes = draft.changes();
            changes.extend(changed_contract(&held, &mut after, at)?);
            Ok::<_, WriteError>(changes)
        })?;
        Ok(given)
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
