//! The nation as register rows.

use super::parties;
use nation::Nation;
use nation::model;
use registers::table::Row;
use registers::{Authorisation, PersonName, Practitioner, Workplace};

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
        .flat_map(|o| parties::rows(nation, o, certificates));
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
