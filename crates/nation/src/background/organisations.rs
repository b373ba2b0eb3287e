//! Generated organisations: GP offices with their lists, municipalities, hospitals, laboratories, pharmacies, others.

use std::collections::HashMap;

use codes::ident::{AkoNumber, HerId, HprNumber, ReshId};
use codes::places::{Municipality, Region};
use jiff::civil::Date;

use super::plan::{Demography, Places, Slice};
use super::staff::Staff;
use crate::NationError;
use crate::cast::organisations::{OrgnrSeries, edi_address};
use crate::model::{GpList, OrgKind, Organisation, Party, PartyKind, Unit};
use crate::rng::{Kind, Stream};

const FIRST_ORGNR: u32 = 31_600_000;
const FIRST_HER: u32 = 9_000_000;
const FIRST_RESH: u32 = 7_100_000;
const FIRST_AKO: u32 = 2_001;
/// Population for which the story gives the counts.
const NATIONAL: usize = 5_550_000;

/// Generated organisations, and where to find which.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) organisations: Vec<Organisation>,
    pub(crate) lists: Vec<GpList>,
    /// List of each cell, where the cell has one.
    pub(crate) list_of_cell: Vec<Option<usize>>,
    /// Municipality organisations by number.
    pub(crate) municipal: HashMap<&'static str, usize>,
    pub(crate) hospitals: HashMap<Region, Vec<usize>>,
    pub(crate) laboratories: Vec<usize>,
    pub(crate) pharmacies: Vec<usize>,
    pub(crate) dentists: Vec<usize>,
    pub(crate) others: Vec<usize>,
}

/// Hands out numbers in ascending order.
struct Numbers {
    orgnr: OrgnrSeries,
    her: u32,
    resh: u32,
    ako: u32,
}

impl Numbers {
    fn her(&mut self) -> HerId {
        self.her += 1;
        HerId(self.her - 1)
    }

    fn resh(&mut self) -> ReshId {
        self.resh += 1;
        ReshId(self.resh - 1)
    }
}

pub(crate) struct Builder<'a> {
    pub(crate) seed: u64,
    pub(crate) anchor: Date,
    pub(crate) population: usize,
    pub(crate) demography: &'a Demography,
    pub(crate) places: &'a Places,
    pub(crate) staff: &'a Staff,
}

impl Builder<'_> {
    /// Makes the generated organisations. `fixed` gets the services that its municipalities lack.
    pub(crate) fn build(&self, fixed: &mut [Organisation]) -> Result<Directory, NationError> {
        let mut numbers = Numbers {
            orgnr: OrgnrSeries::from(FIRST_ORGNR),
            her: FIRST_HER,
            resh: FIRST_RESH,
            ako: FIRST_AKO,
        };
        let mut directory = Directory::default();
        self.municipalities(&mut numbers, &mut directory, fixed)?;
        self.response_centres(&mut numbers, &mut directory)?;
        self.hospitals(&mut numbers, &mut directory)?;
        self.offices(&mut numbers, &mut directory)?;
        self.by_population(&mut numbers, &mut directory)?;
        Ok(directory)
    }

    /// A count at full size, scaled down; nothing that must exist goes below `least`.
    fn scaled(&self, national: usize, least: usize) -> usize {
        let exact = (national * self.population * 2 + NATIONAL) / (NATIONAL * 2);
        exact.max(least)
    }

    fn random(&self, index: u64) -> Stream {
        Stream::new(self.seed, Kind::Organisations, index)
    }

    fn municipalities(
        &self,
        n: &mut Numbers,
        d: &mut Directory,
        fixed: &mut [Organisation],
    ) -> Result<(), NationError> {
        const SERVICES: &[(&str, &str)] = &[
            ("KP02", "Sykepleietjeneste"),
            ("KA02", "Legevakt"),
            ("KF01", "Helsestasjons- og skolehelsetjeneste"),
            ("KA01", "Fastlegetjeneste"),
        ];
        for m in self.places.inhabited() {
            let own = fixed
                .iter_mut()
                .find(|o| o.municipality == m.number && o.type_code == "102");
            if let Some(organisation) = own {
                for (code, name) in SERVICES {
                    if organisation.service(8663, code).is_none() {
                        organisation
                            .parties
                            .push(service(n.her(), name, 8663, code, None));
                    }
                }
                continue;
            }
            let mut units = vec![("hjemmetjenesten".to_owned())];
            // one more unit per 4 000 inhabitants of the nation that is being made
            let share = u64::from(m.population) * self.population as u64 / NATIONAL as u64;
            for number in 0..share / 4_000 {
                units.push(format!("sone {}", number + 1));
            }
            let name = format!("{} kommune", m.name);
            let mut parties: Vec<(&str, u32, &'static str, bool)> = SERVICES
                .iter()
                .map(|(c, s)| (*s, 8663, *c, false))
                .collect();
            if share > 2_000 {
                parties.push(("Helsestasjon for ungdom", 8663, "KF0103", false));
                parties.push(("Smittevern", 8663, "KA0301", false));
                parties.push(("Øyeblikkelig hjelp døgntilbud", 8663, "KX05", false));
                parties.push(("Kreftkoordinator", 8663, "KX06", false));
            }
            let at = self.organisation(
                n,
                d,
                &name,
                OrgKind::Municipality,
                "102",
                m,
                &units,
                &parties,
            )?;
            d.municipal.insert(m.number, at);
        }
        Ok(())
    }

    /// One response centre per county with inhabitants; the fixed one serves Troms and Finnmark.
    fn response_centres(&self, n: &mut Numbers, d: &mut Directory) -> Result<(), NationError> {
        let mut counties: Vec<&Municipality> = Vec::new();
        for m in self.places.inhabited() {
            if matches!(m.county_number(), "55" | "56")
                || counties
                    .iter()
                    .any(|c| c.county_number() == m.county_number())
            {
                continue;
            }
            counties.push(m);
        }
        for m in counties {
            let name = format!("Responssenteret {} IKS", m.county().map_or("", |c| c.name));
            let parties = [("Responssentertjeneste", 8666, "KX14", false)];
            self.organisation(
                n,
                d,
                &name,
                OrgKind::Municipality,
                "114",
                m,
                &["responssenteret".to_owned()],
                &parties,
            )?;
        }
        Ok(())
    }

    fn hospitals(&self, n: &mut Numbers, d: &mut Directory) -> Result<(), NationError> {
        const NAMES: &[&str] = &[
            "Fjellheim",
            "Sundvik",
            "Storelva",
            "Lyngdalen",
            "Nordskar",
            "Havgløtt",
            "Skogmo",
            "Solhavn",
            "Bjørkedal",
            "Tindheim",
            "Strandvik",
            "Fossheim",
            "Åsmark",
            "Vårli",
            "Høgmyr",
            "Brattfjell",
            "Lauvøya",
            "Granheim",
            "Elvestad",
            "Morgensol",
        ];
        /// Larger trusts have more of these.
        const DEPARTMENTS: &[(&str, u32, &str)] = &[
            ("Indremedisin", 8668, "S03"),
            ("Kirurgi", 8668, "S02"),
            ("Fellesfaglig avsenderadresse", 8668, "4"),
            ("PLO innleggelse somatikk", 8668, "1"),
            ("Medisinsk biokjemi", 8660, "L03"),
            ("Bildediagnostikk", 8660, "B"),
            ("Fødselshjelp og kvinnesykdommer", 8668, "S04"),
            ("Psykisk helsevern for voksne", 8668, "PV"),
            ("Barnesykdommer", 8668, "S06"),
            ("Ortopedisk kirurgi", 8668, "S0208"),
            ("Hjertesykdommer", 8668, "S0306"),
            ("Lungesykdommer", 8668, "S0307"),
            ("Nevrologi", 8668, "S07"),
            ("Psykisk helsevern for barn og unge", 8668, "PB"),
            ("Øre-nese-halssykdommer", 8668, "S09"),
            ("Øyesykdommer", 8668, "S10"),
            ("Onkologi", 8668, "S11"),
            ("Revmatologi", 8668, "S12"),
            ("Medisinsk mikrobiologi", 8660, "L04"),
            ("Geriatri", 8668, "S0303"),
            ("Endokrinologi", 8668, "S0301"),
            ("Fordøyelsessykdommer", 8668, "S0302"),
            ("Nyresykdommer", 8668, "S0308"),
            ("Infeksjonsmedisin", 8668, "S0305"),
            ("Blodsykdommer", 8668, "S0304"),
            ("Urologi", 8668, "S0211"),
            ("Hud- og veneriske sykdommer", 8668, "S05"),
            ("Patologi", 8660, "L06"),
            ("Gynekologi", 8668, "S0401"),
            ("Fysikalsk medisin og rehabilitering", 8668, "S16"),
            ("Anestesiologi/smertebehandling", 8668, "S08"),
            ("Transfusjonsmedisin og immunologi", 8660, "L02"),
            ("Palliativ medisin", 8668, "S14"),
            ("Alderspsykiatri", 8668, "PV04"),
            ("Karkirurgi", 8668, "S0205"),
            ("Gastroenterologisk kirurgi", 8668, "S0204"),
        ];
        let mut by_region: HashMap<Region, Vec<&'static Municipality>> = HashMap::new();
        for m in self.places.inhabited() {
            if let Some(county) = m.county() {
                by_region.entry(county.region).or_default().push(m);
            }
        }
        let national: u64 = self
            .places
            .inhabited()
            .map(|m| u64::from(m.population))
            .sum();
        let trusts = self.scaled(20, 1);
        let mut used = 0;
        for region in Region::ALL {
            let Some(towns) = by_region.get_mut(&region) else {
                continue;
            };
            towns.sort_by_key(|m| std::cmp::Reverse(m.population));
            let people: u64 = towns.iter().map(|m| u64::from(m.population)).sum();
            let mut count = usize::try_from(people * trusts as u64 / national.max(1)).unwrap_or(0);
            if region == Region::Nord {
                // Nordlys is one of them
                count = count.saturating_sub(1);
            } else {
                count = count.max(1);
            }
            for number in 0..count {
                let Some(town) = towns.get(number % towns.len().max(1)).copied() else {
                    continue;
                };
                let Some(name) = NAMES.get(used % NAMES.len()) else {
                    continue;
                };
                used += 1;
                let sites = if count > 1 || self.population > 1_000_000 {
                    1 + self.random(used as u64).index(6)
                } else {
                    1
                };
                let units: Vec<String> = (0..sites)
                    .map(|s| {
                        towns
                            .get((number + s * count) % towns.len())
                            .map_or("Sykehuset".to_owned(), |t| format!("sykehuset {}", t.name))
                    })
                    .collect();
                let size = 8 + self
                    .random(1_000 + used as u64)
                    .index(DEPARTMENTS.len() - 8);
                let departments: Vec<(&str, u32, &'static str, bool)> = DEPARTMENTS
                    .iter()
                    .take(size)
                    .map(|(n, l, c)| (*n, *l, *c, true))
                    .collect();
                let at = self.organisation(
                    n,
                    d,
                    &format!("{name} sykehus HF"),
                    OrgKind::Hospital,
                    "101",
                    town,
                    &units,
                    &departments,
                )?;
                d.hospitals.entry(region).or_default().push(at);
            }
        }
        Ok(())
    }

    /// GP lists, one per cell (4.5 % of the cells use their neighbour's), gathered into offices.
    fn offices(&self, n: &mut Numbers, d: &mut Directory) -> Result<(), NationError> {
        let cells = self.demography.cells();
        d.list_of_cell = vec![None; usize::try_from(cells).unwrap_or(0)];
        let mut office: Option<(usize, usize)> = None;
        let mut previous_had_list = false;
        for cell in 0..cells {
            let mut random = Stream::new(self.seed, Kind::Offices, cell);
            let Some(town) = self.main_municipality(cell) else {
                continue;
            };
            if previous_had_list && random.chance(450) {
                previous_had_list = false;
                continue;
            }
            previous_had_list = true;
            let at = match office {
                Some((at, left))
                    if left > 0
                        && d.organisations
                            .get(at)
                            .is_some_and(|o| o.municipality == town.number) =>
                {
                    office = Some((at, left - 1));
                    at
                }
                _ => {
                    let at = self.new_office(n, d, town, &mut random)?;
                    let size = match random.below(100) {
                        0..25 => 1,
                        25..60 => 2 + random.index(2),
                        60..90 => 4 + random.index(3),
                        _ => 7 + random.index(4),
                    };
                    office = Some((at, size - 1));
                    at
                }
            };
            self.new_list(n, d, cell, at, &mut random);
        }
        Ok(())
    }

    /// The municipality with most of the cell's persons.
    fn main_municipality(&self, cell: u64) -> Option<&'static Municipality> {
        let from = self.demography.start(cell);
        let slices = self.places.slices(from, from + self.demography.size(cell));
        slices
            .iter()
            .max_by_key(|s: &&Slice| (s.persons, std::cmp::Reverse(s.municipality.number)))
            .map(|s| s.municipality)
    }

    fn new_office(
        &self,
        n: &mut Numbers,
        d: &mut Directory,
        town: &'static Municipality,
        random: &mut Stream,
    ) -> Result<usize, NationError> {
        let street = random
            .pick(codes::names::streets())
            .copied()
            .unwrap_or("Torget");
        let stem = street
            .trim_end_matches("veien")
            .trim_end_matches("stien")
            .trim_end_matches("bakken")
            .trim_end_matches("gata");
        let name = format!("{stem} legekontor {}", town.name);
        self.organisation(
            n,
            d,
            &name,
            OrgKind::GpOffice,
            "103",
            town,
            &["legekontoret".to_owned()],
            &[],
        )
    }

    fn new_list(
        &self,
        n: &mut Numbers,
        d: &mut Directory,
        cell: u64,
        office: usize,
        random: &mut Stream,
    ) {
        let Some(organisation) = d.organisations.get_mut(office) else {
            return;
        };
        let doctor = self.staff.doctor_of(cell).filter(|_| !random.chance(400));
        let doctor_her = doctor.map(|(hpr, _)| {
            let her_id = n.her();
            organisation.parties.push(person(her_id, "Fastlege", hpr));
            her_id
        });
        if doctor.is_none() && organisation.service(8663, "KX17").is_none() {
            let her_id = n.her();
            organisation.parties.push(service(
                her_id,
                "Fastlege, liste uten fast lege",
                8663,
                "KX17",
                None,
            ));
        }
        let max = random.normal(1_240.0, 280.0).clamp(500.0, 2_500.0);
        let years = i16::try_from(random.below(18)).unwrap_or(0);
        let list = GpList {
            id: 2_000 + u32::try_from(d.lists.len()).unwrap_or(0),
            organisation: organisation.orgnr,
            office: organisation.child(),
            municipality: organisation.municipality,
            doctor: doctor.map(|(hpr, _)| hpr),
            doctor_her,
            substitutes: Vec::new(),
            no_doctor_her: organisation.service(8663, "KX17").map(|p| p.her_id),
            max_patients: max as u16,
            closed: random.chance(3_600),
            since: Date::new(self.anchor.year() - 1 - years, 1, 1).unwrap_or(self.anchor),
        };
        if let Some(slot) = usize::try_from(cell)
            .ok()
            .and_then(|c| d.list_of_cell.get_mut(c))
        {
            *slot = Some(d.lists.len());
        }
        d.lists.push(list);
    }

    /// Pharmacies, laboratories, dentists and other private services, spread by population.
    fn by_population(&self, n: &mut Numbers, d: &mut Directory) -> Result<(), NationError> {
        const KINDS: &[(&str, usize, OrgKind, &str, &str, u32, &str)] = &[
            (
                "Apotek",
                1_050,
                OrgKind::Pharmacy,
                "108",
                "Reseptmottak",
                8664,
                "PR",
            ),
            (
                "Laboratorium",
                5,
                OrgKind::Laboratory,
                "105",
                "Medisinsk biokjemi",
                8660,
                "L03",
            ),
            (
                "Tannlegene",
                3_000,
                OrgKind::GpOffice,
                "110",
                "Allmenn tannhelse",
                8669,
                "1",
            ),
            (
                "Helsehuset",
                14_200,
                OrgKind::GpOffice,
                "116",
                "Meldingsmottak",
                8666,
                "02",
            ),
        ];
        /// What is done in a house of health, beside taking in messages (list 8666).
        const PRACTICES: &[(&str, &str)] = &[
            ("Fysioterapi", "A03"),
            ("Psykologtjeneste", "KP05"),
            ("Manuellterapi", "11"),
            ("Ergoterapi", "A02"),
            ("Kiropraktikk", "A04"),
            ("Bedriftshelsetjeneste", "01"),
            ("Optikertjeneste", "9"),
        ];
        let towns: Vec<&'static Municipality> = self
            .places
            .inhabited()
            .filter(|m| m.population >= 1_500)
            .collect();
        let weights: Vec<u32> = towns.iter().map(|m| m.population).collect();
        for (kind_at, (stem, national, kind, type_code, service_name, list, code)) in
            KINDS.iter().enumerate()
        {
            // the story's pharmacy and laboratory are there already
            let fixed = usize::from(matches!(kind, OrgKind::Pharmacy | OrgKind::Laboratory));
            for number in fixed..self.scaled(*national, fixed) {
                let mut random = self.random((kind_at as u64 + 1) * 1_000_000 + number as u64);
                let Some(town) = towns.get(random.weighted(&weights)).copied() else {
                    continue;
                };
                let street = random
                    .pick(codes::names::streets())
                    .copied()
                    .unwrap_or("Torget");
                let name = format!("{stem} {street} {}", town.name);
                let mut parties = vec![(*service_name, *list, *code, false)];
                if *stem == "Helsehuset" {
                    let practice = PRACTICES.get(number % PRACTICES.len()).copied();
                    parties.extend(practice.map(|(name, code)| (name, 8666, code, false)));
                }
                let at = self.organisation(
                    n,
                    d,
                    &name,
                    *kind,
                    type_code,
                    town,
                    &[String::new()],
                    &parties,
                )?;
                if *kind == OrgKind::Pharmacy {
                    if let Some(o) = d.organisations.get_mut(at) {
                        o.ako = Some(AkoNumber(n.ako));
                    }
                    n.ako += 1;
                }
                match *stem {
                    "Apotek" => d.pharmacies.push(at),
                    "Laboratorium" => d.laboratories.push(at),
                    "Tannlegene" => d.dentists.push(at),
                    _ => d.others.push(at),
                }
            }
        }
        Ok(())
    }

    fn organisation(
        &self,
        n: &mut Numbers,
        d: &mut Directory,
        name: &str,
        kind: OrgKind,
        type_code: &'static str,
        town: &'static Municipality,
        units: &[String],
        parties: &[(&str, u32, &'static str, bool)],
    ) -> Result<usize, NationError> {
        let orgnr = n.orgnr.draw()?;
        let mut children = Vec::new();
        for unit in units {
            children.push(Unit {
                orgnr: n.orgnr.draw()?,
                name: if unit.is_empty() {
                    name.to_owned()
                } else {
                    format!("{name}, {unit}")
                },
            });
        }
        let her_id = n.her();
        let parties = parties
            .iter()
            .map(|(name, list, code, resh)| {
                let resh = resh.then(|| n.resh());
                service(n.her(), name, *list, code, resh)
            })
            .collect();
        d.organisations.push(Organisation {
            key: None,
            name: name.to_owned(),
            kinds: vec![kind],
            type_code,
            orgnr,
            units: children,
            her_id,
            edi_address: edi_address(&format!("her{her_id}")),
            municipality: town.number,
            ako: None,
            part_of: None,
            parties,
        });
        Ok(d.organisations.len() - 1)
    }
}

fn service(
    her_id: HerId,
    name: &str,
    list: u32,
    code: &'static str,
    resh: Option<ReshId>,
) -> Party {
    Party {
        her_id,
        name: name.to_owned(),
        kind: PartyKind::Service { list, code, resh },
    }
}

fn person(her_id: HerId, name: &str, hpr: HprNumber) -> Party {
    Party {
        her_id,
        name: name.to_owned(),
        kind: PartyKind::Person { hpr },
    }
}
