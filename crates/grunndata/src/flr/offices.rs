//! GP offices: what the organisation register says, with what the one writer of this register has set beside it.

use super::writes::{code, given, number, text};
use super::{Flr, refused};
use crate::flr::codes::{code as coded, short};
use crate::hpr::{written, wrong};
use edge::soap::{Call, Fault, Object, Value};
use registers::gplists::{GpContract, OfficeFacts};
use registers::kernel::period::Moment;
use registers::organisations::register::Held;
use registers::parties::{ElectronicAddress, PhysicalAddress};

/// Electronic addresses of an office.
const MOST_ADDRESSES: usize = 20;

impl Flr {
    /// An office as contracts show it.
    pub(super) fn office(&self, contract: &GpContract) -> Option<Object> {
        let orgnr = contract.office.to_string();
        let found = self.parts.directory.organisation(&orgnr)?;
        let unit = found.units.iter().find(|unit| unit.orgnr == orgnr);
        let own = unit.map_or(found.name.as_str(), |unit| unit.name.as_str());
        let set = self.parts.lists.office(contract.office).unwrap_or_default();
        let shown = set.display_name.as_deref().unwrap_or(own);
        let changed = written(contract.updated.max(set.updated));
        let places = self.places(contract.office);
        let mut physical = visiting(&set);
        physical.extend(
            places
                .iter()
                .flat_map(|b| &b.content.physical)
                .map(registered),
        );
        let mut electronic = electronic(&set);
        let set_here = |code: &str| set.electronic.iter().any(|(kind, _)| kind.as_str() == code);
        let of_unit = places.iter().flat_map(|b| &b.content.electronic);
        electronic.extend(of_unit.filter(|a| !set_here(&a.code)).map(reached));
        Some(
            Object::of("GPOffice")
                .with("DisplayName", shown.to_owned())
                .with("ElectronicAddresses", electronic)
                .with("LastChanged", changed)
                .with("Municipality", short(3402, contract.municipality))
                .with("Name", own.to_owned())
                .with("OrganizationNumber", contract.office)
                .with("ParentOrganizationName", unit.map(|_| found.name.clone()))
                .with(
                    "ParentOrganizationNumber",
                    unit.and_then(|_| found.orgnr.parse::<u32>().ok()),
                )
                .with("PhysicalAddresses", physical)
                .with("UpdatedOn", changed)
                .with("District", short(3403, set.district))
                .with("IsGroupOffice", set.is_group)
                .with("PrimaryHealthCareTeamId", contract.team),
        )
    }

    /// The entry of the organisation register whose addresses are the office's: its own, the main unit's where it has none.
    pub(super) fn places(&self, office: u32) -> Option<Held> {
        let unit = self.parts.businesses.get(&format!("{office:09}"))?;
        if unit.content.physical.is_empty() {
            let main = unit.content.parent.as_deref();
            return main.and_then(|orgnr| self.parts.businesses.get(orgnr));
        }
        Some(unit)
    }

    /// What the one writer sets of an office; `None`: another operation.
    pub(super) fn write_office(&self, call: &Call, now: Moment) -> Option<Result<Value, Fault>> {
        let request = &call.request;
        Some(match call.operation.as_str() {
            "SetDisplayNameOnGPOffice" => {
                let name = Some(text(request, "displayName")).filter(|n| !n.is_empty());
                self.set(request, now, |office| {
                    office.display_name.clone_from(&name);
                })
            }
            "SetDistrictAndIsGroupOffice" => code(request, "district").and_then(|district| {
                let is_group = request.flag("isGroupOffice");
                self.set(request, now, |office| {
                    office.district = district;
                    office.is_group = is_group;
                })
            }),
            "SetElectronicAddresses" => addresses(request).and_then(|all| {
                self.set(request, now, |office| office.electronic.clone_from(&all))
            }),
            "SetCustomFloAddress" => address(request).and_then(|address| {
                self.set(request, now, |office| {
                    office.visiting = Some(address.clone())
                })
            }),
            "DeleteCustomFloAddress" => self.set(request, now, |office| office.visiting = None),
            _ => return None,
        })
    }

    fn set(
        &self,
        request: &Object,
        now: Moment,
        edit: impl Fn(&mut OfficeFacts),
    ) -> Result<Value, Fault> {
        let orgnr = number(request, "organizationNumber")?;
        let lists = &self.parts.lists;
        lists.edit_office(orgnr, now, edit).map_err(refused)?;
        Ok(Value::Nil)
    }
}

fn addresses(request: &Object) -> Result<Vec<(registers::personnel::Short, String)>, Fault> {
    let all = request.objects("electronicAddresses");
    let all: Vec<_> = all
        .map(|one| {
            let kind = match one.text("TypeCodeValue") {
                Some(value) => registers::personnel::Short::new(value)
                    .ok_or_else(|| wrong("TypeCodeValue har en ukjent kode"))?,
                None => code(one, "Type")?,
            };
            let address = text(one, "Address");
            if kind.is_empty() || address.is_empty() {
                return Err(wrong("Type og Address må oppgis"));
            }
            Ok((kind, address))
        })
        .collect::<Result<_, _>>()?;
    if all.len() > MOST_ADDRESSES {
        return Err(wrong(format!("Høyst {MOST_ADDRESSES} adresser")));
    }
    Ok(all)
}

fn address(request: &Object) -> Result<(String, String, String), Fault> {
    let from = given(request, "address")?;
    let postcode: u16 = number(from, "PostalCode")?;
    if postcode > 9_999 {
        return Err(wrong("PostalCode er ugyldig"));
    }
    let place = text(from, "City");
    Ok((text(from, "StreetAddress"), format!("{postcode:04}"), place))
}

fn electronic(set: &OfficeFacts) -> Vec<Object> {
    let addresses = set.electronic.iter();
    addresses
        .map(|(kind, address)| {
            Object::new()
                .with("Address", address.clone())
                .with("Inherited", false)
                .with("LastChanged", written(set.updated))
                .with("Type", short(9044, *kind))
                .with("TypeCodeValue", kind.as_str().to_owned())
        })
        .collect()
}

fn reached(address: &ElectronicAddress) -> Object {
    Object::new()
        .with("Address", address.address.clone())
        .with("Inherited", false)
        .with("LastChanged", written(address.changed))
        .with("Type", coded(9044, &address.code))
        .with("TypeCodeValue", address.code.clone())
}

/// An address of the organisation register.
fn registered(address: &PhysicalAddress) -> Object {
    let postcode = address.postcode.as_deref().unwrap_or_default();
    let country = address.country.as_deref().unwrap_or_default();
    Object::new()
        .with("City", address.city.clone())
        .with("Country", coded(9043, country))
        .with("Description", address.description.clone())
        .with("Inherited", false)
        .with("LastChanged", written(address.changed))
        .with("PostalCode", postcode.parse::<u32>().unwrap_or(0))
        .with("Postbox", address.postbox.clone())
        .with("StreetAddress", address.street.clone())
        .with("Type", coded(3401, &address.code))
}

/// The office's own visiting address, of a type of its own (list 3401).
fn visiting(set: &OfficeFacts) -> Vec<Object> {
    let address = set.visiting.iter();
    address
        .map(|(street, postcode, place)| {
            Object::new()
                .with("City", place.clone())
                .with("Inherited", false)
                .with("LastChanged", written(set.updated))
                .with("PostalCode", postcode.parse::<u32>().unwrap_or(0))
                .with("StreetAddress", street.clone())
                .with("Type", coded(3401, "FLO_RES"))
        })
        .collect()
}
