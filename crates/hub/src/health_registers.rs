//! Wiring of the registers of personnel, GP lists and training positions: opened, the first two filled from the nation while
//! they are empty, and their SOAP services.

use anyhow::{Context, Result};
use edge::Clock;
use edge::soap::{DateTime, Mount};
use grunndata::flr::events::ListEvents;
use grunndata::flr::{self, Flr, FlrParts};
use grunndata::hpr::Hpr;
use grunndata::lsr::Lsr;
use registers::gplists::GpLists;
use registers::kernel::period::Moment;
use registers::personnel::PersonnelRegister;
use registers::positions::Positions;
use registers::{Directory, RegisterTable};
use std::sync::Arc;
use trust::Trust;

/// The registers of one process.
pub struct HealthRegisters {
    /// Personnel.
    pub personnel: Arc<PersonnelRegister>,
    /// GP lists.
    pub lists: Arc<GpLists>,
    /// Training positions.
    pub positions: Arc<Positions>,
}

/// What is served of them.
pub struct HealthEdges {
    /// The registers.
    pub registers: Arc<HealthRegisters>,
    /// SOAP services.
    pub mounts: Vec<Mount>,
    /// Events of the GP lists for subscribers.
    pub list_events: Arc<ListEvents>,
}

/// Opens the registers and makes their services. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn open(
    trust: &Arc<Trust>,
    registers: &Arc<RegisterTable>,
    clock: &Clock,
) -> Result<HealthEdges> {
    let store = trust.store().clone();
    // At national size both take seconds to read: side by side.
    let (personnel, lists) = std::thread::scope(|scope| {
        let kept = registers.folder();
        let personnel = scope.spawn(move || {
            PersonnelRegister::open_in(trust.store().clone(), trust.hub("personnel"), kept)
        });
        let lists = GpLists::open_in(store.clone(), trust.hub("gplists"), kept);
        (personnel.join(), lists)
    });
    let personnel = personnel.map_err(|_| anyhow::anyhow!("reading personnel died"))??;
    let lists = lists?;
    let now = moment_of(clock);
    personnel
        .load_from(&**registers, now)
        .context("cannot fill the personnel register")?;
    let municipality_of = |orgnr: &str| {
        let business = registers.businesses().get(orgnr);
        let municipality = business.and_then(|b| b.content.municipality.clone());
        municipality.unwrap_or_default()
    };
    flr::import::load(&lists, registers.gp_lists(), municipality_of, now)
        .context("cannot fill the register of GP lists")?;
    let opened = Arc::new(HealthRegisters {
        personnel: Arc::new(personnel),
        lists: Arc::new(lists),
        positions: Arc::new(Positions::open(store.clone(), trust.hub("positions"))?),
    });
    registers.attach_personnel(opened.personnel.clone());
    registers.attach_gp_lists(opened.lists.clone());
    let hpr = Arc::new(Hpr {
        register: opened.personnel.clone(),
        now: clock.as_fn(),
    });
    let flr = Flr::new(FlrParts {
        lists: opened.lists.clone(),
        directory: registers.clone() as Arc<dyn Directory>,
        businesses: registers.businesses().clone(),
        now: clock.as_fn(),
        journal: Arc::new(move |entry, durability| store.audit(entry, durability)),
    });
    let mut mounts = flr.mounts().context("contracts of FLR")?;
    mounts.push(hpr.mount().context("contract of HPR")?);
    let lsr = Arc::new(Lsr {
        register: opened.positions.clone(),
        now: clock.as_fn(),
    });
    mounts.push(lsr.mount().context("contract of LSR")?);
    let list_events = Arc::new(ListEvents::new(flr).context("contract of FLR")?);
    Ok(HealthEdges {
        registers: opened,
        mounts,
        list_events,
    })
}

fn moment_of(clock: &Clock) -> Moment {
    let now = jiff::Timestamp::from_microsecond(clock.now_us()).unwrap_or_default();
    // Registers keep the day; the lists of an import begin with it.
    Moment::of_day(DateTime::of_instant(now).written.date())
}

impl HealthRegisters {
    /// Takes over what other processes wrote.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<()> {
        self.personnel.follow()?;
        self.lists.follow()?;
        self.positions.follow()?;
        Ok(())
    }
}
