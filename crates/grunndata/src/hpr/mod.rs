//! The register of health personnel on the wire: SOAP `IHPR2Service` (`/v2/HPR`, `/v2/HPR/Basic`).
//!
//! Everybody with [`READ`] may look up, with history and as of a time; only the owner of the register ([`WRITE`])
//! changes it. Faults carry the texts that clients compare with (spec/grunndata.md §1).
//!
//! Read first: [`Hpr`], [`view`]. Rules: spec/grunndata.md §4.

mod changes;
mod codes;
mod events;
mod input;
mod reads;
mod search;
#[cfg(test)]
mod tests;
pub mod view;
mod writes;

use edge::soap::contract::ContractError;
use edge::soap::{
    Call, Contract, DateTime, Fault, Mount, Object, Ports, Reply, RequestLimits, Service, Value,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use registers::kernel::period::{Moment, Period};
use registers::personnel::PersonnelRegister;
use registers::personnel::register::WriteError;
use std::sync::Arc;

/// Facts of the service.
pub const CONTRACT: &str = include_str!("contract.txt");
/// Roles that may read.
pub const READ: [&str; 3] = ["HprRead", "HprWrite", "Administrator"];
/// Roles of the register's owner.
pub const WRITE: [&str; 2] = ["HprWrite", "Administrator"];

/// Now on the clock of rules, microseconds since 1970 UTC.
pub type NowFn = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The service.
pub struct Hpr {
    /// The register.
    pub register: Arc<PersonnelRegister>,
    /// The clock of rules.
    pub now: NowFn,
}

/// Operations that look up one entry in memory.
const QUICK: [&str; 5] = [
    "HentPerson",
    "HentPersonMedHistorikk",
    "HentPersonMedPersonnummer",
    "HentGodkjenning",
    "Ping",
];

impl Service for Hpr {
    fn call(self: Arc<Self>, call: Call) -> Reply {
        Box::pin(async move {
            let is_quick = QUICK.contains(&call.operation.as_str());
            let work = move || self.answer(&call);
            let done = if is_quick {
                edge::quick(work).await
            } else {
                edge::blocking(work).await
            };
            done.unwrap_or_else(|_| Err(Fault::internal()))
        })
    }
}

impl Hpr {
    /// The service at its paths.
    ///
    /// # Errors
    /// When the contract's text is wrong.
    pub fn mount(self: Arc<Self>) -> Result<Mount, ContractError> {
        Ok(Mount {
            contract: Arc::new(Contract::parse(CONTRACT)?),
            ports: Ports {
                v12: Some("/v2/HPR".to_owned()),
                v11: Some("/v2/HPR/Basic".to_owned()),
                mtom: false,
            },
            limits: RequestLimits {
                max_bytes: 2 << 20,
                max_items: 1_000,
                ..RequestLimits::default()
            },
            service: self,
        })
    }

    fn answer(&self, call: &Call) -> Result<Value, Fault> {
        if !call.user.has_any(&READ) {
            return Err(Fault::denied());
        }
        if let Some(answer) = self.read(&call.operation, &call.request) {
            return answer;
        }
        if !call.user.has_any(&WRITE) {
            return Err(Fault::denied());
        }
        self.write(&call.operation, &call.request, &call.user.name)
    }

    /// Now, on the clocks of Norway.
    fn now(&self) -> Moment {
        let now = Timestamp::from_microsecond((self.now)()).unwrap_or_default();
        moment(DateTime::of_instant(now))
    }
}

/// A fault of the service with the text that .NET puts before its messages.
pub(crate) fn wrong(message: impl std::fmt::Display) -> Fault {
    Fault::generic("Feil", format!("ArgumentException: {message}"))
}

impl From<Refused> for Fault {
    fn from(Refused(error): Refused) -> Self {
        match error {
            WriteError::NotFound => wrong("Objektet finnes ikke i registeret"),
            WriteError::Taken => wrong("HPR-nummer eller personnummer er allerede i bruk"),
            WriteError::Stale => wrong("Objektet er endret siden det ble lest"),
            WriteError::Invalid(what) => wrong(what),
            other => {
                tracing::error!(error = %other, "the personnel register cannot be written");
                Fault::internal()
            }
        }
    }
}

/// A refusal of the register on its way to a fault.
pub(crate) struct Refused(pub(crate) WriteError);

/// A point in time as the register keeps it.
pub(crate) fn moment(time: DateTime) -> Moment {
    time.in_norway()
        .to_zoned(TimeZone::UTC)
        .map_or(Moment(0), |z| Moment(z.timestamp().as_millisecond()))
}

/// A point in time as it is written.
pub(crate) fn written(at: Moment) -> DateTime {
    DateTime::local(at.timestamp().to_zoned(TimeZone::UTC).datetime())
}

/// A period of a request.
pub(crate) fn period(object: &Object) -> Period {
    Period {
        from: object.time("Fra").map(moment),
        to: object.time("Til").map(moment),
    }
}
