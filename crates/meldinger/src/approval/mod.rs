//! Test and approval ("Test og godkjenning", spec/messaging.md §9.3): a vendor's system is tried against the hub, message standard by
//! message standard, and the hub says by itself what it saw.
//!
//! **Receiving.** The hub sends a battery of messages ([`battery`]) through the exchange itself to the vendor's HER-id, over the transport
//! chosen, and judges what comes back ([`judge`]). **Sending.** The vendor sends to the hub's test party; each message is judged by the
//! validator's rules and by what it shows. What the hub cannot see is self-declared, and marked as such.
//!
//! **Read first.** [`criteria::CRITERIA`] (what is asked), [`judge::expect`] (what a case must be answered with), [`Approvals`].
//!
//! **Invariants.** A run and what was seen in it are one record; a message is noted in the commit that answers it, once. Content of messages
//! is not kept here. Persons of the battery are synthetic persons of the register. What is approved stays as it was when it was approved.

pub mod battery;
pub mod criteria;
pub mod judge;
pub mod model;
pub mod report;
pub mod standard;

mod receiver;
mod records;
mod sending;

use std::sync::Arc;

use edi::check::{Checked, Envelope};
use registers::directory::Party;
use serde::Deserialize;
use store::{CommitError, StoreError};
use uuid::Uuid;

use crate::exchange::{Exchange, ExchangeError};
use crate::port::Transport;
use crate::receivers::HubReceiver;
use crate::rules::envelope::organisation_of;
use crate::view::Viewer;
use battery::TestPatient;
use model::{Approved, Declared, Run, Status, System};
use records::Records;
use report::Report;
use serde_json::Value;
use standard::{Case, Direction, Standard};

/// Name of the repository that holds systems and runs, of kind `Internal`.
pub const REPOSITORY: &str = "meldingsgodkjenning";

/// Systems that one organisation may register.
const MAX_SYSTEMS: usize = 50;
/// Open runs that one organisation may have.
const MAX_OPEN_RUNS: usize = 50;
/// How often a case may be sent in one run.
const MAX_ATTEMPTS: u32 = 50;
/// Longest name or version.
const MAX_NAME_CHARS: usize = 80;
/// Longest remark of a self-declaration.
const MAX_REMARK_CHARS: usize = 1_000;

/// Reads a document by all rules of the validator, within an envelope or without.
pub type Check = dyn Fn(&[u8], Option<Envelope>) -> Checked + Send + Sync;

/// Switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalConfig {
    /// HER-id of the test party (service code 8658/6 of the hub).
    pub her_id: u32,
    /// Size of the attachment that is too big, bytes; the norm warns above 10 MB (HIS 1036).
    pub too_big_bytes: usize,
}

impl Default for ApprovalConfig {
    fn default() -> Self {
        Self {
            her_id: 8_900_004,
            too_big_bytes: 10_500_000,
        }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Not there, or not the caller's.
    #[error("it does not exist, or is not yours")]
    NotFound,
    /// What was sent is not right.
    #[error("{0}")]
    Invalid(String),
    /// Not now.
    #[error("{0}")]
    NotNow(String),
    /// Somebody else was first, again and again.
    #[error("changed by somebody else in the meantime; try again")]
    Conflict,
    /// Ours.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

impl From<StoreError> for ApprovalError {
    fn from(error: StoreError) -> Self {
        Self::Exchange(error.into())
    }
}

impl From<CommitError> for ApprovalError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused { .. } => Self::Conflict,
            error => Self::Exchange(error.into()),
        }
    }
}

/// A system to register.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSystem {
    /// HER-id under which it is tried.
    pub her_id: u32,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Message handler.
    pub msh_name: String,
    /// Its version.
    pub msh_version: String,
}

/// A run to begin.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// Registered system.
    pub system: String,
    /// Standard and version.
    pub standard: Standard,
    /// Direction.
    pub direction: Direction,
    /// Transport.
    pub transport: Transport,
}

/// Test and approval. Cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    records: Records,
    check: Arc<Check>,
    config: ApprovalConfig,
}

impl Approvals {
    /// Over an exchange. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store lacks the repository.
    pub fn new(
        exchange: &Exchange,
        check: Arc<Check>,
        config: ApprovalConfig,
    ) -> Result<Self, StoreError> {
        let records = Records::new(
            exchange.inner.store.clone(),
            exchange.inner.tracks.grant().clone(),
        )?;
        Ok(Self {
            inner: Arc::new(Inner {
                exchange: exchange.clone(),
                records,
                check,
                config,
            }),
        })
    }

    /// The test party, for the workers.
    #[must_use]
    pub fn receiver(&self) -> Arc<dyn HubReceiver> {
        Arc::new(receiver::TestParty(self.clone()))
    }

    /// HER-id of the test party.
    #[must_use]
    pub fn her_id(&self) -> u32 {
        self.inner.config.her_id
    }

    fn now_us(&self) -> i64 {
        self.inner.exchange.inner.clock.now_us()
    }

    /// Registered systems, newest first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn systems(&self, viewer: Viewer) -> Result<Vec<System>, ApprovalError> {
        Ok(self.inner.records.systems(organisation(viewer))?)
    }

    /// HER-ids of an organisation under which a system can be tried. Blocks.
    #[must_use]
    pub fn parties(&self, organisation: u32) -> Vec<Party> {
        let directory = &self.inner.exchange.inner.directory;
        let Some(own) = directory.party(organisation) else {
            return Vec::new();
        };
        let mut parties = directory.parties_of(&own.orgnr);
        parties.retain(|party| organisation_of(party) == organisation);
        parties.sort_by_key(|party| (party.parent_her_id.is_none(), party.her_id));
        parties.truncate(200);
        parties
    }

    /// Registers a system of an organisation (level-1 HER-id). Blocks.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn register(&self, organisation: u32, new: &NewSystem) -> Result<System, ApprovalError> {
        let directory = &self.inner.exchange.inner.directory;
        let named = |what: &str, text: &str| {
            let text = text.trim();
            let is_right = !text.is_empty()
                && text.chars().count() <= MAX_NAME_CHARS
                && !text.chars().any(char::is_control);
            is_right.then(|| text.to_owned()).ok_or_else(|| {
                ApprovalError::Invalid(format!(
                    "{what}: between 1 and {MAX_NAME_CHARS} characters are needed"
                ))
            })
        };
        let own = directory
            .party(organisation)
            .ok_or(ApprovalError::NotFound)?;
        let party = directory.party(new.her_id);
        if party.is_none_or(|party| organisation_of(&party) != organisation) {
            return Err(ApprovalError::Invalid(
                "her_id: it is no communication party of your organisation".to_owned(),
            ));
        }
        if self.inner.records.systems(Some(organisation))?.len() >= MAX_SYSTEMS {
            return Err(ApprovalError::NotNow(format!(
                "no more than {MAX_SYSTEMS} systems can be registered"
            )));
        }
        let system = System {
            id: Uuid::now_v7().to_string(),
            organisation,
            organisation_name: own.name,
            her_id: new.her_id,
            name: named("name", &new.name)?,
            version: named("version", &new.version)?,
            msh_name: named("msh_name", &new.msh_name)?,
            msh_version: named("msh_version", &new.msh_version)?,
            registered_at_us: self.now_us(),
        };
        self.inner.records.create_system(&system)?;
        Ok(system)
    }

    /// Begins a run; the battery of a receiving one is sent at once. Blocks, within a runtime.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn start(&self, organisation: u32, new: &NewRun) -> Result<Value, ApprovalError> {
        let records = &self.inner.records;
        let system = records
            .system(&new.system)?
            .filter(|system| system.organisation == organisation)
            .ok_or(ApprovalError::NotFound)?;
        if new.transport == Transport::Hub {
            return Err(ApprovalError::Invalid(
                "transport: amqp, ebxml or rest".to_owned(),
            ));
        }
        let of_organisation = records.runs(Some(organisation))?;
        let open = of_organisation.iter().filter(|run| run.is_open());
        let is_same = |run: &&Run| {
            run.system.her_id == system.her_id
                && run.standard == new.standard
                && run.direction == new.direction
                && run.transport == new.transport
        };
        if open.clone().any(|run| is_same(&run)) {
            return Err(ApprovalError::NotNow(
                "such a run is open already under this HER-id; go on with it".to_owned(),
            ));
        }
        if open.count() >= MAX_OPEN_RUNS {
            return Err(ApprovalError::NotNow(format!(
                "no more than {MAX_OPEN_RUNS} runs can be open"
            )));
        }
        let mut run = Run {
            id: Uuid::now_v7().to_string(),
            system,
            standard: new.standard,
            direction: new.direction,
            transport: new.transport,
            status: Status::Testing,
            started_at_us: self.now_us(),
            finished_at_us: None,
            cases: Vec::new(),
            strays: Vec::new(),
            judged: Vec::new(),
            declared: std::collections::BTreeMap::new(),
            report: None,
        };
        if new.direction == Direction::Receive {
            run.cases = self.plan(&run)?;
        }
        records.create_run(&run)?;
        for case in run.cases.iter().map(|run| run.case) {
            self.send(&run, case)?;
        }
        self.report(Viewer::Party { organisation }, &run.id)
    }

    /// Sends a case once more, as a new message; what came before about it no longer counts. Blocks, within a runtime.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn send_again(
        &self,
        organisation: u32,
        run: &str,
        case: Case,
    ) -> Result<Value, ApprovalError> {
        let fresh = self.inner.records.update_run(run, |run| {
            own_and_open(run, organisation)?;
            self.plan_again(run, case)?;
            Ok(run.clone())
        })?;
        self.send(&fresh, case)?;
        self.report(Viewer::Party { organisation }, run)
    }

    /// What the vendor says of a criterion that the hub cannot see. Blocks.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn declare(
        &self,
        organisation: u32,
        run: &str,
        criterion: &str,
        declared: &Declared,
    ) -> Result<Value, ApprovalError> {
        let known = criteria::find(criterion)
            .filter(|known| known.kind == criteria::Kind::Declared)
            .ok_or_else(|| {
                ApprovalError::Invalid("the criterion is none that is self-declared".to_owned())
            })?;
        if declared.remark.chars().count() > MAX_REMARK_CHARS {
            return Err(ApprovalError::Invalid(format!(
                "remark: at most {MAX_REMARK_CHARS} characters"
            )));
        }
        let now = self.now_us();
        self.inner.records.update_run(run, |run| {
            own_and_open(run, organisation)?;
            if known.direction != run.direction || !known.belongs_to(run.standard, |_| true) {
                return Err(ApprovalError::Invalid(
                    "the criterion is not one of this run".to_owned(),
                ));
            }
            let declared = Declared {
                at_us: now,
                ..declared.clone()
            };
            run.declared.insert(known.id.to_owned(), declared);
            Ok(())
        })?;
        self.report(Viewer::Party { organisation }, run)
    }

    /// Approves a run when every criterion is met; otherwise the error says that something is missing. Blocks.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn finish(&self, organisation: u32, run: &str) -> Result<Value, ApprovalError> {
        let now = self.now_us();
        self.inner.records.update_run(run, |run| {
            own_and_open(run, organisation)?;
            let report = self.report_of(run);
            if !report.passed {
                return Err(ApprovalError::NotNow(
                    "not every criterion is met yet; the report says what is missing".to_owned(),
                ));
            }
            run.status = Status::Ok;
            run.finished_at_us = Some(now);
            run.report = Some(as_value(&self.report_of(run))?);
            Ok(())
        })?;
        self.report(Viewer::Party { organisation }, run)
    }

    /// The runs somebody may see, newest first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn runs(&self, viewer: Viewer) -> Result<Vec<report::RunLine>, ApprovalError> {
        let runs = self.inner.records.runs(organisation(viewer))?;
        Ok(runs.iter().map(|run| self.line_of(run)).collect())
    }

    /// The report of a run: for its organisation and the operator. Blocks.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn report(&self, viewer: Viewer, run: &str) -> Result<Value, ApprovalError> {
        let stored = self
            .inner
            .records
            .run(run)?
            .filter(|stored| {
                organisation(viewer).is_none_or(|own| stored.value.system.organisation == own)
            })
            .ok_or(ApprovalError::NotFound)?;
        let run = stored.value;
        match &run.report {
            Some(kept) => Ok(kept.clone()),
            None => as_value(&self.report_of(&run)),
        }
    }

    /// The published list of approved systems, newest first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn approved(&self) -> Result<Vec<Approved>, ApprovalError> {
        let runs = self.inner.records.approved()?;
        Ok(runs
            .into_iter()
            .filter(|run| run.status == Status::Ok)
            .map(|run| Approved {
                system: run.system.name,
                version: run.system.version,
                msh: format!("{} {}", run.system.msh_name, run.system.msh_version),
                vendor: run.system.organisation_name,
                standard: run.standard.name(),
                direction: run.direction,
                transport: run.transport,
                approved_at_us: run.finished_at_us.unwrap_or(run.started_at_us),
            })
            .collect())
    }

    /// Synthetic persons for the battery: two with fødselsnummer, one with a D-number if the register has one.
    #[must_use]
    pub fn patients(&self) -> Vec<TestPatient> {
        let directory = &self.inner.exchange.inner.directory;
        let all: Vec<TestPatient> = directory
            .story_persons()
            .iter()
            .filter(|person| person.protection == registers::directory::Protection::default())
            .filter_map(TestPatient::of)
            .collect();
        let of = |kind: &str, most: usize| {
            let kind = kind.to_owned();
            let found = all.iter().filter(move |patient| patient.kind == kind);
            found.take(most).cloned().collect::<Vec<_>>()
        };
        [of("FNR", 1), of("DNR", 1)].concat()
    }
}

fn as_value(report: &Report) -> Result<Value, ApprovalError> {
    serde_json::to_value(report)
        .map_err(|error| StoreError::Invalid(format!("report: {error}")).into())
}

fn organisation(viewer: Viewer) -> Option<u32> {
    match viewer {
        Viewer::Operator => None,
        Viewer::Party { organisation } => Some(organisation),
    }
}

fn own_and_open(run: &Run, organisation: u32) -> Result<(), ApprovalError> {
    if run.system.organisation != organisation {
        return Err(ApprovalError::NotFound);
    }
    if !run.is_open() {
        return Err(ApprovalError::NotNow(
            "the run is approved and stays as it is".to_owned(),
        ));
    }
    Ok(())
}
