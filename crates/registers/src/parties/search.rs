//! Searching the address register: constraints as clients of the SOAP service send them, pages, facets.
//!
//! Values of the same key are alternatives, different keys narrow each other (as stock clients use it).

use super::record::PartyRecord;
use super::register::{Held, Parties};
use super::rules;
use crate::directory::PartyKind;
use crate::kernel::period::Moment;
use std::collections::{BTreeMap, BTreeSet};

/// Most parties on a page.
pub const MAX_PAGE: usize = 5_000;
/// Most constraints of one search.
pub const MAX_CONSTRAINTS: usize = 100;
/// Longest value of a constraint, in characters.
const MAX_VALUE: usize = 200;

/// A constraint that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadConstraint(pub String);

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    her_ids: BTreeSet<u32>,
    parents: BTreeSet<u32>,
    orgnrs: BTreeSet<String>,
    hprs: BTreeSet<String>,
    by_kind: bool,
    kinds: Vec<PartyKind>,
    business_types: BTreeSet<String>,
    municipalities: BTreeSet<String>,
    service_codes: Vec<(Option<String>, String)>,
    postcodes: BTreeSet<String>,
    cities: Vec<String>,
    words: Vec<String>,
    active: Option<bool>,
}

/// A facet: how many of the hits have which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// Name of the facet: the key that narrows by it.
    pub name: &'static str,
    /// (value, hits), most hits first.
    pub entries: Vec<(String, usize)>,
}

/// A page of hits.
#[derive(Debug)]
pub struct Found {
    /// Hits on this page.
    pub results: Vec<Held>,
    /// Hits altogether.
    pub total: usize,
    /// Facets over all hits.
    pub facets: Vec<Facet>,
}

impl Query {
    /// Reads constraints. Keys are compared without regard to case.
    ///
    /// # Errors
    /// The first that cannot be used, in Norwegian, without its value.
    pub fn read<'a>(
        constraints: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, BadConstraint> {
        let mut query = Self::default();
        for (count, (key, value)) in constraints.into_iter().enumerate() {
            if count >= MAX_CONSTRAINTS {
                return Err(BadConstraint(format!(
                    "Et søk kan ha høyst {MAX_CONSTRAINTS} søkekriterier."
                )));
            }
            let value = value.trim();
            if value.chars().count() > MAX_VALUE {
                return Err(BadConstraint(format!(
                    "Verdien av et søkekriterium kan ha høyst {MAX_VALUE} tegn."
                )));
            }
            query.add(key, value)?;
        }
        Ok(query)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), BadConstraint> {
        let number = |what: &str| {
            value
                .parse::<u32>()
                .map_err(|_| BadConstraint(format!("Søkekriteriet {what} må være et tall.")))
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "herid" => {
                self.her_ids.insert(number("HerId")?);
            }
            "parentherid" => {
                self.parents.insert(number("ParentHerId")?);
            }
            "organizationnumber" | "organisationnumber" | "orgnr" => {
                self.orgnrs.insert(value.to_owned());
            }
            "hprnumber" | "hprno" | "hprnr" => {
                self.hprs.insert(value.to_owned());
            }
            "type" => {
                self.by_kind = true;
                match value.to_ascii_lowercase().as_str() {
                    "organization" | "organisation" => self.kinds.push(PartyKind::Organisation),
                    "service" => self.kinds.push(PartyKind::Service),
                    "person" | "organizationperson" => self.kinds.push(PartyKind::Person),
                    // There are no departments any more, and nothing is of no type.
                    "department" | "none" => {}
                    "all" | "" => self.kinds.extend([
                        PartyKind::Organisation,
                        PartyKind::Service,
                        PartyKind::Person,
                    ]),
                    _ => {
                        return Err(BadConstraint(
                            "Søkekriteriet Type må være Organization, Service, Person eller All."
                                .to_owned(),
                        ));
                    }
                }
            }
            "businesstypecode" | "businesstype" => {
                self.business_types.insert(value.to_owned());
            }
            "municipalitycode" | "municipality" | "kommunenummer" => {
                self.municipalities
                    .insert(format!("{:0>4}", value.trim_start_matches('0')));
            }
            "servicecode" | "code" => {
                let (list, code) = match value.split_once(':') {
                    Some((list, code)) => (Some(list.to_owned()), code.to_owned()),
                    None => (None, value.to_owned()),
                };
                self.service_codes.push((list, code));
            }
            "postalcode" => {
                self.postcodes.insert(format!("{value:0>4}"));
            }
            "city" => self.cities.push(codes::fold::fold(value)),
            "name" | "displayname" | "fulltext" | "freetext" | "text" => {
                let folded = codes::fold::fold(value);
                self.words
                    .extend(folded.split_whitespace().map(str::to_owned));
            }
            "active" | "isvalidcommunicationparty" => {
                self.active = match value.to_ascii_lowercase().as_str() {
                    "true" | "1" => Some(true),
                    "false" | "0" => Some(false),
                    _ => {
                        return Err(BadConstraint(
                            "Søkekriteriet Active må være true eller false.".to_owned(),
                        ));
                    }
                };
            }
            _ => {
                return Err(BadConstraint(
                    "Ukjent søkekriterium. Kjente: HerId, ParentHerId, OrganizationNumber, \
                     HprNumber, Type, BusinessTypeCode, MunicipalityCode, ServiceCode, PostalCode, \
                     City, Name, FullText, Active."
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn matches(&self, party: &PartyRecord, parent: Option<&PartyRecord>, now: Moment) -> bool {
        let among = |set: &BTreeSet<String>, value: Option<&str>| {
            set.is_empty() || value.is_some_and(|v| set.contains(v))
        };
        let business_type = party
            .business_type
            .as_deref()
            .or_else(|| parent.and_then(|p| p.business_type.as_deref()));
        let municipality = party
            .municipality
            .as_deref()
            .or_else(|| parent.and_then(|p| p.municipality.as_deref()));
        let service = |(list, code): &(Option<String>, String)| {
            party.service.as_ref().is_some_and(|s| match list {
                // A list and no code: any of the list.
                Some(list) => *list == s.list && (code.is_empty() || *code == s.code),
                None => *code == s.code,
            })
        };
        let places = || rules::physical(party, parent).into_iter().map(|a| a.value);
        (self.her_ids.is_empty() || self.her_ids.contains(&party.her_id))
            && (self.parents.is_empty() || party.parent.is_some_and(|p| self.parents.contains(&p)))
            && among(&self.orgnrs, Some(&party.orgnr))
            && among(&self.hprs, party.hpr.as_deref())
            && (!self.by_kind || self.kinds.contains(&party.kind))
            && among(&self.business_types, business_type)
            && among(&self.municipalities, municipality)
            && (self.service_codes.is_empty() || self.service_codes.iter().any(service))
            && (self.postcodes.is_empty()
                || places().any(|a| {
                    a.postcode
                        .as_ref()
                        .is_some_and(|p| self.postcodes.contains(p))
                }))
            && (self.cities.is_empty()
                || places().any(|a| {
                    a.city
                        .as_ref()
                        .is_some_and(|c| self.cities.contains(&codes::fold::fold(c)))
                }))
            && self
                .active
                .is_none_or(|wanted| rules::is_active(party, now) == wanted)
    }

    /// The fewest parties that must be looked at.
    fn candidates(&self, parties: &Parties) -> Vec<u32> {
        let ids = |held: Vec<Held>| held.iter().map(|h| h.content.her_id).collect::<Vec<_>>();
        if !self.her_ids.is_empty() {
            self.her_ids.iter().copied().collect()
        } else if !self.orgnrs.is_empty() {
            let all = self.orgnrs.iter();
            all.flat_map(|o| ids(parties.of_organisation(o))).collect()
        } else if !self.hprs.is_empty() {
            let all = self.hprs.iter();
            all.flat_map(|h| ids(parties.of_hpr(h))).collect()
        } else if !self.parents.is_empty() {
            let all = self.parents.iter();
            all.flat_map(|p| ids(parties.children(*p))).collect()
        } else {
            parties.named(&self.words)
        }
    }

    /// Runs the search: hits by HER-id, page from 1.
    #[must_use]
    pub fn run(&self, parties: &Parties, page: usize, size: usize, now: Moment) -> Found {
        let size = size.clamp(1, MAX_PAGE);
        let skip = page.max(1).saturating_sub(1).saturating_mul(size);
        let named: Option<BTreeSet<u32>> =
            (!self.words.is_empty()).then(|| parties.named(&self.words).into_iter().collect());
        let mut found = Found {
            results: Vec::new(),
            total: 0,
            facets: Vec::new(),
        };
        let mut counts: [BTreeMap<String, usize>; 3] = Default::default();
        for her_id in self.candidates(parties) {
            if named.as_ref().is_some_and(|n| !n.contains(&her_id)) {
                continue;
            }
            let Some(party) = parties.get(her_id) else {
                continue;
            };
            let above = parties.parent(&party.content);
            let parent = above.as_ref().map(|p| &p.content);
            if !self.matches(&party.content, parent, now) {
                continue;
            }
            let content = &party.content;
            let values = [
                Some(kind_name(content.kind).to_owned()),
                content
                    .business_type
                    .clone()
                    .or_else(|| parent.and_then(|p| p.business_type.clone())),
                content
                    .municipality
                    .clone()
                    .or_else(|| parent.and_then(|p| p.municipality.clone())),
            ];
            for (count, value) in counts.iter_mut().zip(values) {
                if let Some(value) = value {
                    *count.entry(value).or_default() += 1;
                }
            }
            if found.total >= skip && found.results.len() < size {
                found.results.push(party);
            }
            found.total += 1;
        }
        let names = ["Type", "BusinessTypeCode", "MunicipalityCode"];
        found.facets = names
            .into_iter()
            .zip(counts)
            .map(|(name, count)| {
                let mut entries: Vec<(String, usize)> = count.into_iter().collect();
                entries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                Facet { name, entries }
            })
            .collect();
        found
    }
}

/// Name of a kind on the wire.
#[must_use]
pub fn kind_name(kind: PartyKind) -> &'static str {
    match kind {
        PartyKind::Organisation => "Organization",
        PartyKind::Service => "Service",
        PartyKind::Person => "Person",
    }
}
