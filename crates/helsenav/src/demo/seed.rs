//! The nation as register rows.

use nation::Nation;
use nation::model;
use registers::table::Row;
use registers::{
    Authorisation, Organisation, Party, PartyKind, PersonName, Practitioner, ServiceCode, Unit,
    Workplace,
};

/// Certificates of a level-1 organisation, DER.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    /// For sealing to the organisation.
    pub encryption: Vec<u8>,
    /// The organisation signs with.
    pub signing: Vec<u8>,
}

/// Organisations, their parties, and the fixed personnel, one row at a time.
pub(crate) fn rows<'n>(
    nation: &'n Nation,
    certificates: &'n dyn Fn(&str) -> Option<Certificates>,
) -> impl Iterator<Item = Row> + 'n {
    let organisations = nation
        .organisations()
        .flat_map(|o| organisation_rows(nation, o, certificates));
    let staff = nation
        .fixed_practitioners()
        .iter()
        .map(|p| Row::Practitioner(Box::new(practitioner(p))));
    organisations.chain(staff)
}

fn name(name: &model::PersonName) -> PersonName {
    PersonName {
        given: name.given.clone(),
        middle: name.middle.clone(),
        family: name.family.clone(),
    }
}

/// Personnel as the register has them.
pub(crate) fn practitioner(p: &model::Practitioner) -> Practitioner {
    Practitioner {
        hpr: p.hpr.map(|h| h.0.to_string()),
        nin: p.nin.as_str().to_owned(),
        name: name(&p.name),
        authorisations: p
            .authorisations
            .iter()
            .map(|a| Authorisation {
                role: a.role.to_owned(),
                from: a.from,
                to: a.to,
                suspended_from: a.suspended_from,
            })
            .collect(),
        speciality: p.speciality.map(|s| s.name.to_owned()),
        workplaces: p
            .workplaces
            .iter()
            .map(|w| Workplace {
                orgnr_parent: w.parent.to_string(),
                orgnr_child: w.child.to_string(),
                department: w.department.map(str::to_owned),
                her_id: w.her_id.map(|h| h.0),
            })
            .collect(),
        story: p.key.map(str::to_owned),
    }
}

fn organisation_rows(
    nation: &Nation,
    o: &model::Organisation,
    certificates: &dyn Fn(&str) -> Option<Certificates>,
) -> Vec<Row> {
    let orgnr = o.orgnr.to_string();
    let is_hub = o.kind() == model::OrgKind::Hub;
    let own = certificates(o.key.unwrap_or_default());
    let top = Party {
        her_id: o.her_id.0,
        parent_her_id: None,
        kind: PartyKind::Organisation,
        name: o.name.clone(),
        service: None,
        orgnr: orgnr.clone(),
        edi_address: o.edi_address.clone(),
        encryption_certificate: own.as_ref().map(|c| c.encryption.clone()),
        signing_certificate: own.map(|c| c.signing),
        hub_run: is_hub,
    };
    let below = o.parties.iter().map(|p| Party {
        her_id: p.her_id.0,
        parent_her_id: Some(o.her_id.0),
        kind: match p.kind {
            model::PartyKind::Service { .. } => PartyKind::Service,
            model::PartyKind::Person { .. } => PartyKind::Person,
        },
        name: p.name.clone(),
        service: match &p.kind {
            model::PartyKind::Service { list, code, .. } => Some(ServiceCode {
                list: list.to_string(),
                code: (*code).to_owned(),
            }),
            model::PartyKind::Person { .. } => None,
        },
        orgnr: orgnr.clone(),
        edi_address: o.edi_address.clone(),
        encryption_certificate: None,
        signing_certificate: None,
        hub_run: is_hub,
    });
    let organisation = Organisation {
        orgnr: orgnr.clone(),
        name: o.name.clone(),
        kinds: o.kinds.iter().map(|k| k.word().to_owned()).collect(),
        type_code: o.type_code.to_owned(),
        her_id: o.her_id.0,
        units: own_units(nation, o)
            .map(|u| Unit {
                orgnr: u.orgnr.to_string(),
                name: u.name.clone(),
                type_code: None,
            })
            .collect(),
        approved: true,
        story: o.key.map(str::to_owned),
    };
    let mut rows: Vec<Row> = below.map(|p| Row::Party(Box::new(p))).collect();
    rows.insert(0, Row::Party(Box::new(top)));
    // AMK is a unit of the hospital, not an organisation number of its own.
    if o.part_of.is_none() {
        rows.insert(0, Row::Organisation(Box::new(organisation)));
    }
    rows
}

/// Units of an organisation, those of its parts included.
fn own_units<'n>(
    nation: &'n Nation,
    o: &'n model::Organisation,
) -> impl Iterator<Item = &'n model::Unit> {
    let parts = nation
        .fixed_organisations()
        .iter()
        .filter(|part| part.part_of.is_some() && part.part_of == o.key);
    o.units.iter().chain(parts.flat_map(|part| &part.units))
}
