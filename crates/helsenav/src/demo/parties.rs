//! Organisations and communication parties of the nation as their registers hold them.

mod positions;

use super::seed::Certificates;
use codes::places::Municipality;
use grunndata::ar::Places;
use jiff::Timestamp;
use nation::Nation;
use nation::model;
use registers::directory::{PartyKind, ServiceCode};
use registers::kernel::EntryId;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::{Moment, Period};
use registers::organisations::resh::Resh;
use registers::organisations::{Business, Coordinates, OpeningHours, ReshUnit};
use registers::parties::{
    CertificateLine, CertificateUse, ElectronicAddress, PartyRecord, PhysicalAddress,
};
use registers::table::Row;

/// From when the nation's parties and units are valid, 1 January 2000: the story may play on any day, and its clock may
/// stand before the hour at which the demo was first started.
const LONG_SINCE: Period = Period {
    from: Some(Moment(946_684_800_000)),
    to: None,
};

/// Everything of one organisation: main unit, sub units, parties.
pub(super) fn rows(
    nation: &Nation,
    o: &model::Organisation,
    certificates: &dyn Fn(&str) -> Option<Certificates>,
) -> Vec<Row> {
    let at = Moment::from(Timestamp::now());
    let place = codes::places::municipality(o.municipality);
    let physical = addresses(o, place, at);
    let mut rows = Vec::new();
    // AMK is a unit of the hospital, not an organisation number of its own.
    if o.part_of.is_none() {
        let orgnr = o.orgnr.to_string();
        let main = Business {
            kinds: o.kinds.iter().map(|k| k.word().to_owned()).collect(),
            type_code: Some(o.type_code.to_owned()),
            her_id: Some(o.her_id.0),
            industry: industry(o).map(str::to_owned).into_iter().collect(),
            municipality: Some(o.municipality.to_owned()),
            physical: physical.clone(),
            hours: hours(o),
            coordinates: coordinates(o, place),
            approved: true,
            story: o.key.map(str::to_owned),
            ..Business::new(&orgnr, &o.name, at)
        };
        let units = units(nation, o).map(|unit| Business {
            parent: Some(orgnr.clone()),
            municipality: Some(o.municipality.to_owned()),
            coordinates: coordinates(o, place),
            ..Business::new(&unit.orgnr.to_string(), &unit.name, at)
        });
        let all = std::iter::once(main.clone()).chain(units);
        rows.extend(all.map(|b| Row::Business(Box::new(b))));
    }
    let top = top(o, certificates, physical, at);
    let below: Vec<PartyRecord> = o.parties.iter().map(|p| below(o, p, at)).collect();
    let all = std::iter::once(top).chain(below);
    rows.extend(all.map(|p| Row::CommunicationParty(Box::new(p))));
    rows
}

fn top(
    o: &model::Organisation,
    certificates: &dyn Fn(&str) -> Option<Certificates>,
    physical: Vec<PhysicalAddress>,
    at: Moment,
) -> PartyRecord {
    let orgnr = o.orgnr.to_string();
    let mut top = PartyRecord::new(o.her_id.0, PartyKind::Organisation, &o.name, &orgnr, at);
    top.valid = LONG_SINCE;
    top.business_type = Some(o.type_code.to_owned());
    top.industry = industry(o).map(str::to_owned).into_iter().collect();
    top.municipality = Some(o.municipality.to_owned());
    top.physical = physical;
    top.hub_run = o.kind() == model::OrgKind::Hub;
    top.electronic.push(ElectronicAddress {
        code: "E_EDI".to_owned(),
        address: o.edi_address.clone(),
        changed: at,
        from: None,
    });
    let places = Places::default();
    let base = format!(
        "{}/{}/{}",
        places.bus_host, places.bus_namespace, o.her_id.0
    );
    grunndata::ar::with_queues(&mut top, &base, at);
    if let Some(own) = certificates(o.key.unwrap_or_default()) {
        let lines = [
            (CertificateUse::Encryption, &own.encryption),
            (CertificateUse::Signing, &own.signing),
        ];
        top.certificates = lines
            .into_iter()
            .filter_map(|(purpose, der)| CertificateLine::read(purpose, der, at))
            .collect();
    }
    top
}

fn below(o: &model::Organisation, p: &model::Party, at: Moment) -> PartyRecord {
    let orgnr = o.orgnr.to_string();
    let kind = match p.kind {
        model::PartyKind::Service { .. } => PartyKind::Service,
        model::PartyKind::Person { .. } => PartyKind::Person,
    };
    let mut party = PartyRecord::new(p.her_id.0, kind, &p.name, &orgnr, at);
    party.parent = Some(o.her_id.0);
    party.valid = LONG_SINCE;
    party.hub_run = o.kind() == model::OrgKind::Hub;
    match &p.kind {
        model::PartyKind::Service { list, code, .. } => {
            party.service = Some(ServiceCode {
                list: list.to_string(),
                code: (*code).to_owned(),
            });
        }
        model::PartyKind::Person { hpr } => party.hpr = Some(hpr.0.to_string()),
    }
    party
}

/// Units of an organisation, those of its parts included.
fn units<'n>(
    nation: &'n Nation,
    o: &'n model::Organisation,
) -> impl Iterator<Item = &'n model::Unit> {
    let parts = nation
        .fixed_organisations()
        .iter()
        .filter(|part| part.part_of.is_some() && part.part_of == o.key);
    o.units.iter().chain(parts.flat_map(|part| &part.units))
}

/// A number that stays the same for an organisation and differs between them.
fn spread(o: &model::Organisation, of: u32) -> u32 {
    o.her_id.0.wrapping_mul(2_654_435_761).rotate_left(11) % of.max(1)
}

fn addresses(
    o: &model::Organisation,
    place: Option<&Municipality>,
    at: Moment,
) -> Vec<PhysicalAddress> {
    let Some(place) = place else {
        return Vec::new();
    };
    let streets = codes::names::streets();
    let count = u32::try_from(streets.len()).unwrap_or(1);
    let street = streets.get(spread(o, count) as usize);
    let postcodes = place.postcodes();
    let count = u32::try_from(postcodes.len()).unwrap_or(1);
    let postcode = postcodes.get(spread(o, count) as usize);
    let (Some(street), Some(postcode)) = (street, postcode) else {
        return Vec::new();
    };
    ["RES", "PST"]
        .into_iter()
        .map(|code| PhysicalAddress {
            code: code.to_owned(),
            street: Some(format!("{street} {}", 1 + spread(o, 90))),
            postbox: None,
            postcode: Some(postcode.code.to_owned()),
            city: Some(postcode.place.to_owned()),
            country: Some("NO".to_owned()),
            description: None,
            changed: at,
        })
        .collect()
}

/// Somewhere near the middle of the county: good for a map of a synthetic nation.
fn coordinates(o: &model::Organisation, place: Option<&Municipality>) -> Option<Coordinates> {
    let county = place?.county()?;
    let micro = |degrees: f64, spread: u32| {
        // Degrees are below 180: the product fits.
        let base = (degrees * 1_000_000.0) as i32;
        base + i32::try_from(spread).unwrap_or(0) - 300_000
    };
    Some(Coordinates {
        latitude_udeg: micro(county.latitude, spread(o, 600_000)),
        longitude_udeg: micro(county.longitude, spread(o, 599_999)),
    })
}

fn hours(o: &model::Organisation) -> Option<OpeningHours> {
    match o.kind() {
        model::OrgKind::GpOffice => OpeningHours::weekdays(8 * 60, 15 * 60 + 30).ok(),
        model::OrgKind::Pharmacy => OpeningHours::weekdays(9 * 60, 17 * 60).ok(),
        model::OrgKind::Laboratory => OpeningHours::weekdays(7 * 60 + 30, 15 * 60).ok(),
        _ => None,
    }
}

/// Industry codes of SN2007.
fn industry(o: &model::Organisation) -> Option<&'static str> {
    match o.kind() {
        model::OrgKind::GpOffice => Some("86.211"),
        model::OrgKind::Hospital => Some("86.101"),
        model::OrgKind::Laboratory => Some("86.906"),
        model::OrgKind::Pharmacy => Some("47.730"),
        model::OrgKind::Municipality => Some("84.110"),
        model::OrgKind::Hub => None,
    }
}

/// Gives every party of the story below an organisation a profile of the usual processes.
pub(super) fn give_profiles(opened: &hub::Opened, nation: &Nation) -> anyhow::Result<()> {
    let cppa = grunndata::cppa::Cppa::open(
        opened.store.clone(),
        opened.trust.hub("cppa"),
        opened.registers.parties().clone(),
        opened.clock.as_fn(),
    )?;
    let roles = grunndata::cppa::usual_roles();
    for organisation in nation.fixed_organisations() {
        for party in &organisation.parties {
            cppa.set_roles(party.her_id.0, roles.clone())?;
        }
    }
    Ok(())
}

/// Gives the services of hospitals their units in RESH, and hospitals their training positions.
pub(super) fn give_units(opened: &hub::Opened, nation: &Nation) -> anyhow::Result<()> {
    /// Units of one commit.
    const AT_ONCE: usize = 1_000;
    let register = Resh::open(opened.store.clone(), opened.trust.hub("resh"))?;
    let at = Moment::from(Timestamp::now());
    let register = &register;
    let units = nation.organisations().flat_map(|o| {
        o.parties.iter().filter_map(move |p| {
            let model::PartyKind::Service { resh, .. } = &p.kind else {
                return None;
            };
            let unit = ReshUnit {
                id: resh.as_ref()?.0,
                name: p.name.clone(),
                parent: None,
                orgnr: Some(o.orgnr.to_string()),
                level: None,
                designation: None,
                her_id: Some(p.her_id.0),
                valid: LONG_SINCE,
                changed: at,
            };
            // An import that was broken off begins anew: the unit may be there.
            let there = register.find(Packed(unit.id.into()));
            Some((there.map_or_else(EntryId::random, |e| e.id), unit))
        })
    });
    let units: Vec<(EntryId, ReshUnit)> = units.collect();
    for some in units.chunks(AT_ONCE) {
        register.change(some)?;
    }
    positions::give(opened, nation, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use registers::parties::rules;

    #[test]
    fn every_party_is_there_before_the_demo_was_first_started() {
        let nation = Nation::generate(&nation::Params::default()).unwrap();
        let yesterday = Moment(Moment::from(Timestamp::now()).0 - 86_400_000);
        let mut parties = 0;
        for row in nation
            .organisations()
            .flat_map(|o| rows(&nation, o, &|_| None))
        {
            if let Row::CommunicationParty(party) = row {
                assert!(rules::is_active(&party, yesterday), "{}", party.her_id);
                parties += 1;
            }
        }
        assert!(parties > 50);
    }
}
