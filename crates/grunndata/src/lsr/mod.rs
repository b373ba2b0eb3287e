//! The register of doctors' training positions (LSR) on the wire: SOAP `ILsrService` (`/v1/LSR`, `/v1/LSR/Basic`), and its
//! events for subscribers (source `Lsr`).
//!
//! The national service is SOAP, but only its namespaces and the names of its events are published: operations and types
//! are the house's own (`contract.txt`), with faults, codes and periods as in the published contracts.
//!
//! Rules: spec/grunndata.md §1, §6, §9; `registers::positions`.

mod events;
#[cfg(test)]
mod tests;

use crate::hpr::{NowFn, moment, written, wrong};
use edge::soap::contract::ContractError;
use edge::soap::{
    Call, Contract, DateTime, Fault, Mount, Object, Ports, Reply, RequestLimits, Service, Value,
};
use jiff::Timestamp;
use registers::kernel::period::{Moment, Period};
use registers::personnel::Short;
use registers::positions::{
    Approval, Distribution, Employment, Position, Positions, Record, Wanted, WriteError,
};
use std::sync::Arc;

/// Facts of the service.
pub const CONTRACT: &str = include_str!("contract.txt");
/// Roles that may read.
pub const READ: [&str; 3] = ["LsrRead", "LsrWrite", "Administrator"];
/// Roles of the register's owner.
pub const WRITE: [&str; 2] = ["LsrWrite", "Administrator"];

const SPECIALITIES: u32 = 7426;
const MOST_PAGES: i64 = 100_000;
const MOST_OF_PAGE: i64 = 1_000;

type Answer = Result<Value, Fault>;

/// The service.
pub struct Lsr {
    /// The register.
    pub register: Arc<Positions>,
    /// The clock of rules.
    pub now: NowFn,
}

impl Service for Lsr {
    fn call(self: Arc<Self>, call: Call) -> Reply {
        Box::pin(async move {
            let done = edge::blocking(move || self.answer(&call)).await;
            done.unwrap_or_else(|_| Err(Fault::internal()))
        })
    }
}

impl Lsr {
    /// The service at its paths.
    ///
    /// # Errors
    /// When the contract's text is wrong.
    pub fn mount(self: Arc<Self>) -> Result<Mount, ContractError> {
        Ok(Mount {
            contract: Arc::new(Contract::parse(CONTRACT)?),
            ports: Ports {
                v12: Some("/v1/LSR".to_owned()),
                v11: Some("/v1/LSR/Basic".to_owned()),
                mtom: false,
            },
            limits: RequestLimits::default(),
            service: self,
        })
    }

    fn now(&self) -> Moment {
        let now = Timestamp::from_microsecond((self.now)()).unwrap_or_default();
        moment(DateTime::of_instant(now))
    }

    fn answer(&self, call: &Call) -> Answer {
        if !call.user.has_any(&READ) {
            return Err(Fault::denied());
        }
        if let Some(answer) = self.read(&call.operation, &call.request) {
            return answer;
        }
        if !call.user.has_any(&WRITE) {
            return Err(Fault::denied());
        }
        self.write(&call.operation, &call.request)
    }

    fn read(&self, operation: &str, request: &Object) -> Option<Answer> {
        let register = &self.register;
        let one = |found: Option<Object>| found.map(Value::from).ok_or_else(missing);
        Some(match operation {
            "Ping" => Ok(Value::from("pong")),
            "GetPosition" => one(number(request, "positionId")
                .and_then(|n| register.position(n))
                .map(|p| position(&p))),
            "SearchPositions" => self.search(request.object("searchParameters")),
            "GetEmployment" => one(number(request, "employmentId")
                .and_then(|n| register.employment(n))
                .map(|e| employment(&e))),
            "GetEmploymentsForPerson" => {
                let hpr = number(request, "hprNumber").unwrap_or(0);
                if hpr == 0 {
                    return Some(Err(wrong("HPR-nummer må oppgis")));
                }
                Ok(list(&register.of_person(hpr), employment))
            }
            "GetEmploymentsInPosition" => {
                let found = number(request, "positionId").and_then(|n| register.position(n));
                match found {
                    None => Err(missing()),
                    Some(position) => Ok(list(&register.in_position(position.id), employment)),
                }
            }
            "GetApproval" => one(number(request, "approvalId")
                .and_then(|n| register.approval(n))
                .map(|a| approval(&a))),
            "GetApprovals" => {
                let unit = number(request, "organizationNumber");
                Ok(list(&register.approvals(unit), approval))
            }
            "GetDistribution" => one(number(request, "distributionId")
                .and_then(|n| register.distribution(n))
                .filter(|d| !d.deleted)
                .map(|d| distribution(&d))),
            "GetDistributions" => {
                let year = request.int("year").and_then(|y| i16::try_from(y).ok());
                let found = year.map(|year| register.distributions(year));
                Ok(list(&found.unwrap_or_default(), distribution))
            }
            _ => return None,
        })
    }

    fn search(&self, wanted: Option<&Object>) -> Answer {
        let within = |name: &str, most| {
            let number = wanted.and_then(|w| w.int(name)).unwrap_or(0);
            if (1..=most).contains(&number) {
                usize::try_from(number).map_err(|_| Fault::internal())
            } else {
                Err(wrong(format!("{name} må være 1 til {most}")))
            }
        };
        let (page, size) = (
            within("Page", MOST_PAGES)?,
            within("PageSize", MOST_OF_PAGE)?,
        );
        let speciality = wanted.map(speciality).transpose()?;
        let asked = Wanted {
            employer: wanted.and_then(|w| number(w, "OrganizationNumber")),
            speciality: speciality.filter(|code| !code.is_empty()),
            at: wanted.and_then(|w| w.time("AtTime")).map(moment),
        };
        let (found, total) = self.register.search(&asked, (page - 1) * size, size);
        Ok(Object::new()
            .with("Results", list(&found, position))
            .with("Total", i64::try_from(total).unwrap_or(i64::from(i32::MAX)))
            .into())
    }

    fn write(&self, operation: &str, request: &Object) -> Answer {
        let now = self.now();
        let (verb, what) = ["Create", "Update", "Delete"]
            .into_iter()
            .find_map(|verb| Some((verb, operation.strip_prefix(verb)?)))
            .ok_or_else(Fault::internal)?;
        if verb == "Delete" {
            let found =
                number(request, "distributionId").and_then(|n| self.register.distribution(n));
            let found = found.filter(|d| !d.deleted).ok_or_else(missing)?;
            let gone = Distribution {
                deleted: true,
                updated: now,
                ..found
            };
            self.put(Record::Distribution(gone))?;
            return Ok(Value::Nil);
        }
        let is_new = verb == "Create";
        let given = |name: &'static str| {
            let given = request.object(name);
            given.ok_or_else(|| wrong(format!("{name} må oppgis")))
        };
        let record = match what {
            "Position" => Record::Position(read_position(given("position")?, is_new, now)?),
            "Employment" => Record::Employment(read_employment(given("employment")?, is_new, now)?),
            "Approval" => Record::Approval(read_approval(given("approval")?, is_new, now)?),
            "Distribution" => {
                let wanted = read_distribution(given("distribution")?, is_new, now)?;
                let is_gone = |number| {
                    self.register
                        .distribution(number)
                        .is_some_and(|d| d.deleted)
                };
                if !is_new && is_gone(wanted.id) {
                    return Err(missing());
                }
                Record::Distribution(wanted)
            }
            _ => return Err(Fault::internal()),
        };
        let number = self.put(record)?;
        Ok(if is_new {
            Value::from(i64::from(number))
        } else {
            Value::Nil
        })
    }

    fn put(&self, record: Record) -> Result<u32, Fault> {
        self.register.put(record).map_err(|error| match error {
            WriteError::NotFound => missing(),
            WriteError::Broken(rule) => wrong(rule),
            other => {
                tracing::error!(error = %other, "the register of positions cannot be written");
                Fault::internal()
            }
        })
    }
}

fn missing() -> Fault {
    wrong("Objektet finnes ikke i registeret")
}

fn number(object: &Object, name: &str) -> Option<u32> {
    u32::try_from(object.int(name)?).ok()
}

/// The number of what is changed; 0 of what is made.
fn id(object: &Object, is_new: bool) -> Result<u32, Fault> {
    if is_new {
        return Ok(0);
    }
    number(object, "Id")
        .filter(|id| *id > 0)
        .ok_or_else(missing)
}

fn speciality(object: &Object) -> Result<Short, Fault> {
    let code = object
        .object("Speciality")
        .and_then(|code| code.text("CodeValue"));
    Short::new(code.unwrap_or_default()).ok_or_else(|| wrong("Speciality har en ukjent kode"))
}

fn period(object: &Object) -> Period {
    let valid = object.object("Valid");
    Period {
        from: valid.and_then(|v| v.time("From")).map(moment),
        to: valid.and_then(|v| v.time("To")).map(moment),
    }
}

fn organisation(object: &Object) -> u32 {
    number(object, "OrganizationNumber").unwrap_or(0)
}

fn read_position(o: &Object, is_new: bool, now: Moment) -> Result<Position, Fault> {
    let category = Short::new(o.text("Category").unwrap_or_default());
    Ok(Position {
        id: id(o, is_new)?,
        speciality: speciality(o)?,
        employer: organisation(o),
        resh: number(o, "ReshId"),
        // What is too long is none of them: the rule says so.
        category: category.unwrap_or_default(),
        approval: number(o, "ApprovalId"),
        valid: period(o),
        updated: now,
    })
}

fn read_employment(o: &Object, is_new: bool, now: Moment) -> Result<Employment, Fault> {
    let percentage = o.int("Percentage").and_then(|p| u8::try_from(p).ok());
    Ok(Employment {
        id: id(o, is_new)?,
        position: number(o, "PositionId").unwrap_or(0),
        hpr: number(o, "HprNumber").unwrap_or(0),
        valid: period(o),
        percentage: percentage.unwrap_or(0),
        updated: now,
    })
}

fn read_approval(o: &Object, is_new: bool, now: Moment) -> Result<Approval, Fault> {
    Ok(Approval {
        id: id(o, is_new)?,
        speciality: speciality(o)?,
        unit: organisation(o),
        resh: number(o, "ReshId"),
        valid: period(o),
        updated: now,
    })
}

fn read_distribution(o: &Object, is_new: bool, now: Moment) -> Result<Distribution, Fault> {
    let year = o.int("Year").and_then(|y| i16::try_from(y).ok());
    let positions = o.int("Positions").and_then(|p| u16::try_from(p).ok());
    Ok(Distribution {
        id: id(o, is_new)?,
        year: year.unwrap_or(0),
        employer: organisation(o),
        speciality: speciality(o)?,
        positions: positions.unwrap_or(u16::MAX),
        deleted: false,
        updated: now,
    })
}

fn list<T>(all: &[T], write: impl Fn(&T) -> Object) -> Value {
    Value::from(all.iter().map(write).collect::<Vec<Object>>())
}

fn code(value: Short) -> Value {
    if value.is_empty() {
        return Value::Nil;
    }
    let text = ::codes::lists::display(&::codes::oid::list(SPECIALITIES), value.as_str());
    Object::new()
        .with("Active", true)
        .with("CodeText", text.unwrap_or_default())
        .with("CodeValue", value.as_str().to_owned())
        .with("OID", SPECIALITIES)
        .with(
            "SimpleType",
            "helsepersonellregisterets_hpr_klassifikasjon_av_spesialiteter",
        )
        .into()
}

fn valid(valid: &Period) -> Value {
    Object::new()
        .with("From", written(valid.from.unwrap_or_default()))
        .with("To", valid.to.map(written))
        .into()
}

fn position(p: &Position) -> Object {
    Object::new()
        .with("ApprovalId", p.approval)
        .with("Category", p.category.as_str().to_owned())
        .with("Id", p.id)
        .with("OrganizationNumber", p.employer)
        .with("ReshId", p.resh)
        .with("Speciality", code(p.speciality))
        .with("UpdatedOn", written(p.updated))
        .with("Valid", valid(&p.valid))
}

fn employment(e: &Employment) -> Object {
    Object::new()
        .with("HprNumber", e.hpr)
        .with("Id", e.id)
        .with("Percentage", u32::from(e.percentage))
        .with("PositionId", e.position)
        .with("UpdatedOn", written(e.updated))
        .with("Valid", valid(&e.valid))
}

fn approval(a: &Approval) -> Object {
    Object::new()
        .with("Id", a.id)
        .with("OrganizationNumber", a.unit)
        .with("ReshId", a.resh)
        .with("Speciality", code(a.speciality))
        .with("UpdatedOn", written(a.updated))
        .with("Valid", valid(&a.valid))
}

fn distribution(d: &Distribution) -> Object {
    Object::new()
        .with("Id", d.id)
        .with("OrganizationNumber", d.employer)
        .with("Positions", u32::from(d.positions))
        .with("Speciality", code(d.speciality))
        .with("UpdatedOn", written(d.updated))
        .with("Year", i64::from(d.year))
}
