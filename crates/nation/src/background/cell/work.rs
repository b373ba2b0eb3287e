//! Work: which adults of a cell are health personnel, and where they work.

use jiff::ToSpan as _;

use super::Maker;
use crate::Nation;
use crate::model::{
    Authorisation, OrgKind, Organisation, Person, Practitioner, Speciality, Workplace,
};
use crate::rng::{Kind, Stream};

impl Maker<'_> {
    /// Gives the cell's posts to adults of working age.
    pub(super) fn staff(&self, persons: &mut [Person]) -> Vec<Practitioner> {
        let anchor = self.nation.params.anchor;
        let mut random = Stream::new(self.nation.params.seed, Kind::Personnel, self.cell);
        let mut able: Vec<usize> = persons
            .iter()
            .enumerate()
            .filter(|(_, p)| {
                p.is_resident()
                    && (27..68).contains(&p.age_on(anchor))
                    && p.guardianships.is_empty()
            })
            .map(|(i, _)| i)
            .collect();
        random.shuffle(&mut able);
        let own_list = usize::try_from(self.cell)
            .ok()
            .and_then(|c| self.nation.directory.list_of_cell.get(c).copied().flatten());
        let own_list = own_list.and_then(|l| self.nation.directory.lists.get(l));
        let mut out = Vec::new();
        for (post, at) in self.nation.staff.posts(self.cell).into_iter().zip(able) {
            let Some(person) = persons.get_mut(at) else {
                continue;
            };
            person.hpr = Some(post.hpr);
            let gp = own_list.filter(|l| l.doctor == Some(post.hpr));
            if gp.is_some() && person.gp.as_ref().is_some_and(|g| g.hpr == Some(post.hpr)) {
                // nobody is on a list of his own
                let other = self.nation.cast.lists.first();
                person.gp = other.map(|l| l.relation(self.days_ago(700), anchor));
            }
            let from = person
                .born
                .checked_add((26.years()).months(random.below(40) as i32))
                .unwrap_or(anchor)
                .min(self.days_ago(90));
            let fate = random.below(1_000);
            out.push(Practitioner {
                key: None,
                hpr: Some(post.hpr),
                person: person.id,
                nin: person.nin,
                name: person.name.clone(),
                born: person.born,
                authorisations: vec![Authorisation {
                    role: post.role,
                    from,
                    to: (gp.is_none() && fate < 12).then(|| self.days_ago(30)),
                    suspended_from: (gp.is_none() && (12..20).contains(&fate))
                        .then(|| self.days_ago(45)),
                }],
                speciality: gp.map(|_| Speciality {
                    code: Some("1"),
                    name: "Allmennmedisin",
                }),
                workplaces: match gp {
                    Some(list) => vec![Workplace {
                        parent: list.organisation,
                        child: list.office,
                        department: None,
                        her_id: list.doctor_her,
                    }],
                    None => self.workplace(
                        post.role,
                        person.address.as_ref().map_or("", |a| a.municipality),
                        &mut random,
                    ),
                },
                what: None,
            });
        }
        out
    }

    fn workplace(&self, role: &str, town: &str, random: &mut Stream) -> Vec<Workplace> {
        let d = &self.nation.directory;
        let region = codes::places::municipality(town)
            .and_then(|m| m.county())
            .map(|c| c.region);
        let hospital = |random: &mut Stream| {
            region
                .and_then(|r| d.hospitals.get(&r))
                .and_then(|h| random.pick(h))
                .copied()
        };
        let municipal = || d.municipal.get(town).copied();
        let kind = random.below(100);
        let at = match role {
            "SP" | "HF" | "VP" | "HP" if kind < 45 => municipal(),
            "FT" | "ET" if kind < 40 => municipal(),
            "FT" | "ET" | "PS" if kind < 85 => random.pick(&d.others).copied(),
            "TL" | "TH" | "TP" => random.pick(&d.dentists).copied(),
            "FA1" | "FA2" | "AT" => random.pick(&d.pharmacies).copied(),
            "BI" if kind < 15 => random.pick(&d.laboratories).copied(),
            _ => hospital(random),
        };
        let found = at
            .and_then(|at| d.organisations.get(at))
            .or_else(|| self.nation.fixed_workplace(town, role));
        found
            .map(|o| Workplace {
                parent: o.orgnr,
                child: random.pick(&o.units).map_or(o.orgnr, |u| u.orgnr),
                department: None,
                her_id: None,
            })
            .into_iter()
            .collect()
    }
}

impl Nation {
    /// Where fixed organisations stand in for generated ones in their own towns.
    fn fixed_workplace(&self, town: &str, role: &str) -> Option<&Organisation> {
        let kind = match role {
            "SP" | "HF" | "VP" | "HP" | "FT" | "ET" => OrgKind::Municipality,
            "FA1" | "FA2" | "AT" => OrgKind::Pharmacy,
            "BI" => OrgKind::Laboratory,
            _ => OrgKind::Hospital,
        };
        let county = town.get(..2)?;
        let northern = matches!(county, "55" | "56" | "18");
        let near = |o: &&Organisation| {
            o.municipality == town || (northern && kind != OrgKind::Municipality)
        };
        self.cast
            .organisations
            .iter()
            .filter(|o| o.kinds.contains(&kind) && o.type_code != "114")
            .find(near)
    }
}
