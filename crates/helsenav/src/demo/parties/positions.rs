//! Training positions of the nation's hospitals: approvals, what was distributed, positions, and the doctors who hold them.

use nation::{Nation, model};
use registers::kernel::period::{Moment, Period};
use registers::personnel::Short;
use registers::positions::Positions;
use registers::positions::record::{Approval, Distribution, Employment, Position, Record};

/// Specialities (7426) that the hospitals train in: diseases of the heart, orthopaedic surgery.
const SPECIALITIES: [&str; 2] = ["195", "152"];
/// Hospitals that have positions; the rest of a large nation has none.
const MOST_HOSPITALS: usize = 50;
/// Positions of one approval.
const POSITIONS: u16 = 2;
/// Years of a position.
const YEARS: i16 = 5;

/// Writes them. The register gives numbers in order, and the nation is the same each time: an import that was broken off
/// goes on after the last number.
pub(super) fn give(opened: &hub::Opened, nation: &Nation, at: Moment) -> anyhow::Result<()> {
    let register = Positions::open(opened.store.clone(), opened.trust.hub("positions"))?;
    let start = jiff::civil::date(nation.anchor().year() - 1, 1, 1);
    let years = Period {
        from: Some(Moment::of_day(start)),
        to: Some(Moment::of_day(jiff::civil::date(
            start.year() + YEARS,
            1,
            1,
        ))),
    };
    let is_hospital = |o: &&model::Organisation| {
        o.kinds.contains(&model::OrgKind::Hospital) && o.part_of.is_none()
    };
    let (mut approvals, mut positions, mut employments) = (0, 0, 0);
    for hospital in nation
        .organisations()
        .filter(is_hospital)
        .take(MOST_HOSPITALS)
    {
        let employer = number(&hospital.orgnr.to_string());
        let unit = hospital.units.first();
        let unit = unit.map_or(employer, |unit| number(&unit.orgnr.to_string()));
        let mut doctors = nation.fixed_practitioners().iter().filter_map(|p| {
            let is_free = p.speciality.is_none()
                && p.authorisations.iter().any(|a| a.role == "LE")
                && p.workplaces.iter().any(|w| w.parent == hospital.orgnr);
            is_free.then_some(p.hpr?.0)
        });
        for code in SPECIALITIES {
            let speciality = Short::new(code).unwrap_or_default();
            approvals += 1;
            let approval = Approval {
                speciality,
                unit,
                valid: Period {
                    from: years.from,
                    to: None,
                },
                updated: at,
                ..Approval::default()
            };
            if register.approval(approvals).is_none() {
                register.put(Record::Approval(approval))?;
            }
            let distribution = Distribution {
                year: start.year(),
                employer,
                speciality,
                positions: POSITIONS,
                updated: at,
                ..Distribution::default()
            };
            if register.distribution(approvals).is_none() {
                register.put(Record::Distribution(distribution))?;
            }
            for _ in 0..POSITIONS {
                positions += 1;
                let position = Position {
                    speciality,
                    employer,
                    category: Short::new("LIS3").unwrap_or_default(),
                    approval: Some(approvals),
                    valid: years,
                    updated: at,
                    ..Position::default()
                };
                if register.position(positions).is_none() {
                    register.put(Record::Position(position))?;
                }
                let Some(hpr) = doctors.next() else { continue };
                employments += 1;
                let employment = Employment {
                    position: positions,
                    hpr,
                    valid: years,
                    percentage: 100,
                    updated: at,
                    ..Employment::default()
                };
                if register.employment(employments).is_none() {
                    register.put(Record::Employment(employment))?;
                }
            }
        }
    }
    Ok(())
}

fn number(orgnr: &str) -> u32 {
    orgnr.parse().unwrap_or(0)
}
