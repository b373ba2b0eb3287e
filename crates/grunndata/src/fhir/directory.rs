//! Reads and searches of what is public: personnel, organisations, parties, GP contracts.

use super::elements::Elements;
use super::kinds::Kind;
use super::lists;
use super::organisations::{self, RESH_MISSPELT, RESH_SYSTEM, resh_id, unit_id};
use super::parties::{self, Party, has_words};
use super::personnel;
use super::query::{Query, Token};
use super::refusal::Refusal;
use codes::fold::words;
use registers::directory::PartyKind;
use registers::gplists::record::DoctorCycle;
use registers::gplists::{GpContract, GpLists};
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::organisations::resh::Resh;
use registers::organisations::{Business, Businesses, ReshUnit};
use registers::parties::{Parties, PartyRecord};
use registers::personnel::PersonnelRegister;
use registers::personnel::register::person;
use registers::personnel::search::Search;
use registers::{HER_SYSTEM, HPR_SYSTEM, ORGNR_SYSTEM};
use serde_json::Value;
use std::sync::Arc;

/// Letters that the name of a practitioner needs.
const LETTERS: usize = 2;

/// The registers behind the public views.
pub(super) struct Registers {
    pub(super) personnel: Arc<PersonnelRegister>,
    pub(super) lists: Arc<GpLists>,
    pub(super) businesses: Arc<Businesses>,
    pub(super) parties: Arc<Parties>,
    pub(super) resh: Arc<Resh>,
}

/// A page of what was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) resources: Vec<Value>,
    pub(super) total: usize,
}

/// Collects the page asked for, and counts the rest without making it.
pub(super) struct Page {
    skip: usize,
    room: usize,
    pub(super) found: Found,
}

impl Page {
    pub(super) fn of(query: &Query) -> Self {
        Self {
            skip: query.offset,
            room: query.count,
            found: Found::default(),
        }
    }

    pub(super) fn offer(&mut self, make: impl FnOnce() -> Option<Value>) {
        let at = self.found.total;
        if at >= self.skip && self.found.resources.len() < self.room {
            self.found.resources.extend(make());
        }
        self.found.total += 1;
    }
}

/// What resources are chosen by, beside who they are.
pub(super) struct Filter<'a> {
    name: Vec<String>,
    above: Option<Vec<&'a str>>,
    kinds: Option<Vec<Token<'a>>>,
}

impl<'a> Filter<'a> {
    pub(super) fn read(query: &'a Query, above: &str, kinds: &str) -> Result<Self, Refusal> {
        Ok(Self {
            name: words(query.one("name")?.unwrap_or_default()),
            above: query.references(above, &["Organization"])?,
            kinds: query.tokens(kinds)?,
        })
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        has_words(name, &self.name)
    }

    pub(super) fn is_below(&self, id: Option<String>) -> bool {
        self.above
            .as_ref()
            .is_none_or(|above| id.is_some_and(|id| above.contains(&id.as_str())))
    }

    fn is_of_kind<'c>(&self, codings: impl Iterator<Item = (u32, Option<&'c str>)>) -> bool {
        let Some(kinds) = &self.kinds else {
            return true;
        };
        let mut codings = codings.filter_map(|(list, code)| Some((list, code?)));
        codings.any(|(list, code)| {
            let oid = codes::oid::list(list);
            let system = codes::oid::to_fhir_uri(&oid);
            kinds.iter().any(|kind| kind.fits(&system, code))
        })
    }

    fn fits_business(&self, business: &Business, unit: Option<&ReshUnit>) -> bool {
        let named = |name: &str| has_words(name, &self.name);
        (named(&business.name) || business.display_name.as_deref().is_some_and(named))
            && self.is_below(business.parent.as_deref().map(unit_id))
            && self.is_of_kind(
                [
                    (9040, business.type_code.as_deref()),
                    (8628, unit.and_then(|u| u.level.as_deref())),
                    (8624, unit.and_then(|u| u.designation.as_deref())),
                ]
                .into_iter(),
            )
    }

    fn fits_resh(&self, unit: &ReshUnit) -> bool {
        has_words(&unit.name, &self.name)
            && self.is_below(unit.parent.map(resh_id))
            && self.is_of_kind(
                [
                    (8628, unit.level.as_deref()),
                    (8624, unit.designation.as_deref()),
                ]
                .into_iter(),
            )
    }

    fn fits_service(&self, party: &PartyRecord) -> bool {
        let code = party.service.as_ref().and_then(|service| {
            Some((
                service.list.parse::<u32>().ok()?,
                Some(service.code.as_str()),
            ))
        });
        Party {
            record: party,
            parent: None,
        }
        .is_named(&self.name)
            && self.is_below(Some(unit_id(&party.orgnr)))
            && self.is_of_kind(code.into_iter())
    }
}

/// Whether a system is RESH's, in either spelling.
fn is_resh(token: &Token<'_>) -> bool {
    token.is_of(RESH_SYSTEM) || token.is_of(RESH_MISSPELT)
}

impl Registers {
    /// A resource by its logical id.
    pub(super) fn read(
        &self,
        kind: Kind,
        id: &str,
        elements: &Elements,
        now: Moment,
    ) -> Option<Value> {
        match kind {
            Kind::Practitioner => self.practitioner(personnel::hpr_of(id)?, elements, now),
            Kind::PractitionerRole => match lists::role_of(id) {
                Some((contract, part)) => {
                    let contract = self.lists.contract(contract)?;
                    let doctor = contract.doctors.iter().find(|d| d.no == part)?;
                    Some(self.contract_role(&contract, doctor, elements, now))
                }
                None => self.with_party(parties::her_id_of(id)?, |p| {
                    self.party_role(p, elements, now)
                })?,
            },
            Kind::Organization => self.organization(id, elements, now),
            Kind::HealthcareService => match lists::contract_of(id) {
                Some(contract) => {
                    let contract = self.lists.contract(contract)?;
                    Some(self.contract_service(&contract, elements, now))
                }
                None => self.service(parties::her_id_of(id)?, elements, now),
            },
            Kind::Endpoint => {
                let (her_id, code) = parties::endpoint_of(id)?;
                self.with_party(her_id, |p| p.endpoint_at(&code, elements, now))?
            }
            Kind::Location => self.place(id, elements, now),
            Kind::Person | Kind::Patient | Kind::RelatedPerson => None,
        }
    }

    /// A page of a search.
    pub(super) fn search(&self, query: &Query, now: Moment) -> Result<Found, Refusal> {
        if let Some(ids) = query.any_of("_id")? {
            if !query.is_only("_id") {
                return Err(Refusal::unsupported(
                    "_id stands alone in searches of this type",
                ));
            }
            let mut page = Page::of(query);
            for id in ids {
                if let Some(found) = self.read(query.kind, id, &query.elements, now) {
                    page.offer(|| Some(found));
                }
            }
            return Ok(page.found);
        }
        match query.kind {
            Kind::Practitioner => self.practitioners(query, now),
            Kind::PractitionerRole => self.roles(query, now),
            Kind::Organization => self.organizations(query, now),
            Kind::HealthcareService => self.services(query, now),
            Kind::Endpoint => self.endpoints(query, now),
            Kind::Location => self.places(query, now),
            Kind::Person | Kind::Patient | Kind::RelatedPerson => Ok(Found::default()),
        }
    }

    fn practitioner(&self, hpr: u32, elements: &Elements, now: Moment) -> Option<Value> {
        let entry = self.personnel.by_hpr(hpr)?;
        let found = person(&entry).filter(|p| !p.rest.deleted)?;
        Some(personnel::resource(found, elements, now))
    }

    fn practitioners(&self, query: &Query, now: Moment) -> Result<Found, Refusal> {
        let mut page = Page::of(query);
        if let Some(tokens) = query.tokens("identifier")? {
            if !query.is_only("identifier") {
                return Err(Refusal::unsupported(
                    "identifier stands alone in this search",
                ));
            }
            if tokens.iter().any(|token| !token.is_of(HPR_SYSTEM)) {
                return Err(Refusal::unsupported(format!(
                    "personnel are found by their HPR number ({HPR_SYSTEM})"
                )));
            }
            for token in tokens {
                let hpr = token.code.parse().ok();
                let found = hpr.and_then(|hpr| self.practitioner(hpr, &query.elements, now));
                if let Some(found) = found {
                    page.offer(|| Some(found));
                }
            }
            return Ok(page.found);
        }
        let text = |name| query.one(name).map(|text| text.map(str::to_owned));
        let search = Search {
            name: text("name")?,
            given: text("given")?,
            family: text("family")?,
            ..Search::default()
        };
        let all = [&search.name, &search.given, &search.family];
        let letters = all.into_iter().flatten().flat_map(|text| text.chars());
        if letters.filter(|c| c.is_alphabetic()).count() < LETTERS {
            return Err(Refusal::required(format!(
                "search by identifier, or by name, given or family with {LETTERS} letters"
            )));
        }
        let found = self.personnel.search(&search, query.offset, query.count);
        let shown = found.page.iter().filter_map(person);
        Ok(Found {
            resources: shown
                .map(|p| personnel::resource(p, &query.elements, now))
                .collect(),
            total: found.total,
        })
    }

    fn roles(&self, query: &Query, now: Moment) -> Result<Found, Refusal> {
        let doctors = query.references("practitioner", &["Practitioner"])?;
        let units = query.references("organization", &["Organization"])?;
        let (mut records, mut contracts): (Vec<Arc<_>>, Vec<GpContract>) = Default::default();
        let hprs: Option<Vec<u32>> =
            doctors.map(|ids| ids.iter().filter_map(|id| personnel::hpr_of(id)).collect());
        match (&hprs, &units) {
            (Some(hprs), _) => {
                for hpr in hprs {
                    records.extend(self.parties.of_hpr(&hpr.to_string()));
                    contracts.extend(self.lists.of_doctor(*hpr));
                }
            }
            (None, Some(units)) => {
                for orgnr in units.iter().filter_map(|id| id.strip_prefix("enh-")) {
                    records.extend(self.parties.of_organisation(orgnr));
                    contracts.extend(self.lists.of_office(orgnr.parse().unwrap_or(0)));
                }
            }
            (None, None) => {
                return Err(Refusal::required(
                    "search by practitioner, organization or _id",
                ));
            }
        }
        let is_there = |orgnr: &str| {
            let id = unit_id(orgnr);
            units
                .as_ref()
                .is_none_or(|units| units.contains(&id.as_str()))
        };
        let is_one = |hpr: u32| hprs.as_ref().is_none_or(|hprs| hprs.contains(&hpr));
        let mut page = Page::of(query);
        for entry in &records {
            let record: &PartyRecord = &entry.content;
            if record.kind == PartyKind::Person && is_there(&record.orgnr) {
                page.offer(|| {
                    let make = |p: Party<'_>| self.party_role(p, &query.elements, now);
                    self.with_party(record.her_id, make)?
                });
            }
        }
        for contract in &contracts {
            for doctor in contract.doctors.iter().filter(|d| is_one(d.hpr)) {
                if is_there(&contract.office.to_string()) {
                    page.offer(|| Some(self.contract_role(contract, doctor, &query.elements, now)));
                }
            }
        }
        Ok(page.found)
    }

    fn organization(&self, id: &str, elements: &Elements, now: Moment) -> Option<Value> {
        if let Some(orgnr) = id.strip_prefix("enh-") {
            let entry = self.businesses.get(orgnr)?;
            let business = &entry.content;
            return (business.orgnr == orgnr).then(|| self.business(business, elements, now));
        }
        if let Some(resh) = id.strip_prefix("resh-") {
            let unit = self.resh.find(Packed(resh.parse::<u32>().ok()?.into()))?;
            return Some(organisations::resh(&unit.content, elements, now));
        }
        self.with_party(parties::her_id_of(id)?, |p| p.organization(elements, now))?
    }

    pub(super) fn business(&self, business: &Business, elements: &Elements, now: Moment) -> Value {
        let unit = business
            .resh
            .and_then(|id| self.resh.find(Packed(id.into())));
        let endpoints = business
            .her_id
            .and_then(|her_id| self.with_party(her_id, |party| party.endpoint_ids(now)));
        organisations::business(
            business,
            unit.as_deref().map(|entry| &entry.content),
            endpoints.unwrap_or_default(),
            elements,
            now,
        )
    }

    fn organizations(&self, query: &Query, now: Moment) -> Result<Found, Refusal> {
        let filter = Filter::read(query, "partof", "type")?;
        let mut page = Page::of(query);
        if let Some(tokens) = query.tokens("identifier")? {
            for token in &tokens {
                self.by_identifier(token, &filter, &mut page, &query.elements, now);
            }
            return Ok(page.found);
        }
        self.each_business(|business| {
            let unit = business
                .resh
                .and_then(|id| self.resh.find(Packed(id.into())));
            if filter.fits_business(business, unit.as_deref().map(|entry| &entry.content)) {
                page.offer(|| Some(self.business(business, &query.elements, now)));
            }
        });
        self.each_resh(|unit| {
            if !self.is_business(unit) && filter.fits_resh(unit) {
                page.offer(|| Some(organisations::resh(unit, &query.elements, now)));
            }
        });
        self.each_party(|record| {
            if record.kind == PartyKind::Service && filter.fits_service(record) {
                page.offer(|| {
                    self.with_party(record.her_id, |p| p.organization(&query.elements, now))?
                });
            }
        });
        Ok(page.found)
    }

    fn by_identifier(
        &self,
        token: &Token<'_>,
        filter: &Filter<'_>,
        page: &mut Page,
        elements: &Elements,
        now: Moment,
    ) {
        let code = token.code;
        if token.is_of(ORGNR_SYSTEM)
            && let Some(entry) = self.businesses.get(code)
            && entry.content.orgnr == code
        {
            let business = &entry.content;
            let unit = business
                .resh
                .and_then(|id| self.resh.find(Packed(id.into())));
            if filter.fits_business(business, unit.as_deref().map(|entry| &entry.content)) {
                page.offer(|| Some(self.business(business, elements, now)));
            }
        }
        if is_resh(token)
            && let Ok(number) = code.parse::<u32>()
            && let Some(unit) = self.resh.find(Packed(number.into()))
        {
            let unit = &unit.content;
            let business = unit.orgnr.as_deref().filter(|_| self.is_business(unit));
            match business.and_then(|orgnr| self.businesses.get(orgnr)) {
                Some(entry) if filter.fits_business(&entry.content, Some(unit)) => {
                    page.offer(|| Some(self.business(&entry.content, elements, now)));
                }
                None if filter.fits_resh(unit) => {
                    page.offer(|| Some(organisations::resh(unit, elements, now)));
                }
                _ => {}
            }
        }
        if token.is_of(HER_SYSTEM)
            && let Ok(her_id) = code.parse::<u32>()
            && let Some(entry) = self.parties.get(her_id)
            && entry.content.kind == PartyKind::Service
            && filter.fits_service(&entry.content)
        {
            page.offer(|| self.with_party(her_id, |p| p.organization(elements, now))?);
        }
    }

    fn service(&self, her_id: u32, elements: &Elements, now: Moment) -> Option<Value> {
        self.with_party(her_id, |p| self.party_service(p, elements, now))?
    }

    pub(super) fn party_service(
        &self,
        party: Party<'_>,
        elements: &Elements,
        now: Moment,
    ) -> Option<Value> {
        let business = self.businesses.get(&party.record.orgnr);
        let hours = business.and_then(|b| self.businesses.hours(&b.content));
        let place = self.place_of_party(party);
        party.service((hours.as_ref(), place.as_deref()), elements, now)
    }

    pub(super) fn party_role(
        &self,
        party: Party<'_>,
        elements: &Elements,
        now: Moment,
    ) -> Option<Value> {
        let place = self.place_of(&party.record.orgnr);
        party.role(place.as_deref(), elements, now)
    }

    fn contract_role(
        &self,
        contract: &GpContract,
        doctor: &DoctorCycle,
        elements: &Elements,
        now: Moment,
    ) -> Value {
        let place = self.place_of(&contract.office.to_string());
        lists::role(contract, doctor, place.as_deref(), elements, now)
    }

    fn contract_service(&self, contract: &GpContract, elements: &Elements, now: Moment) -> Value {
        let place = self.place_of(&contract.office.to_string());
        lists::service(&self.lists, contract, place.as_deref(), elements, now)
    }

    fn services(&self, query: &Query, now: Moment) -> Result<Found, Refusal> {
        let filter = Filter::read(query, "organization", "service-type")?;
        let mut page = Page::of(query);
        self.each_party(|record| {
            if record.kind == PartyKind::Service && filter.fits_service(record) {
                page.offer(|| self.service(record.her_id, &query.elements, now));
            }
        });
        // A contract has no code of service-based addressing.
        if filter.kinds.is_none() {
            self.lists.each_contract(|entry| {
                if let registers::gplists::Record::Contract(contract) = &entry.content
                    && has_words(&contract.name, &filter.name)
                    && filter.is_below(Some(unit_id(&contract.office.to_string())))
                {
                    page.offer(|| Some(self.contract_service(contract, &query.elements, now)));
                }
            });
        }
        Ok(page.found)
    }

    fn endpoints(&self, query: &Query, now: Moment) -> Result<Found, Refusal> {
        let Some(units) = query.references("organization", &["Organization"])? else {
            return Err(Refusal::required("search by organization or _id"));
        };
        let transports = query.tokens("connection-type")?;
        let mut page = Page::of(query);
        for id in units {
            let of_unit = id.strip_prefix("enh-").map(|orgnr| {
                let mut all = self.parties.of_organisation(orgnr);
                all.retain(|entry| entry.content.kind != PartyKind::Service);
                all.iter().map(|entry| entry.content.her_id).collect()
            });
            let her_ids: Vec<u32> = match of_unit {
                Some(all) => all,
                None => parties::her_id_of(id)
                    .filter(|her_id| {
                        let entry = self.parties.get(*her_id);
                        entry.is_some_and(|e| e.content.kind == PartyKind::Service)
                    })
                    .into_iter()
                    .collect(),
            };
            for her_id in her_ids {
                let made = self.with_party(her_id, |p| p.endpoints(&query.elements, now));
                for endpoint in made.unwrap_or_default() {
                    let text = |name: &str| endpoint.get("connectionType")?.get(name)?.as_str();
                    let fits = transports.as_ref().is_none_or(|asked| {
                        let (system, code) = (text("system"), text("code"));
                        let pair = system.unwrap_or_default();
                        asked.iter().any(|t| t.fits(pair, code.unwrap_or_default()))
                    });
                    if fits {
                        page.offer(|| Some(endpoint));
                    }
                }
            }
        }
        Ok(page.found)
    }

    pub(super) fn with_party<T>(
        &self,
        her_id: u32,
        make: impl FnOnce(Party<'_>) -> T,
    ) -> Option<T> {
        let entry = self.parties.get(her_id)?;
        let parent = self.parties.parent(&entry.content);
        Some(make(Party {
            record: &entry.content,
            parent: parent.as_deref().map(|entry| &entry.content),
        }))
    }

    /// Whether a unit of RESH is a unit of Enhetsregisteret that says so.
    fn is_business(&self, unit: &ReshUnit) -> bool {
        let business = unit
            .orgnr
            .as_deref()
            .and_then(|orgnr| self.businesses.get(orgnr));
        business.is_some_and(|entry| entry.content.resh == Some(unit.id))
    }

    pub(super) fn each_business(&self, mut each: impl FnMut(&Business)) {
        let register = self.businesses.register();
        register.each(|entry| each(&entry.content));
    }

    fn each_resh(&self, mut each: impl FnMut(&ReshUnit)) {
        self.resh.each(|entry| each(&entry.content));
    }

    pub(super) fn each_party(&self, mut each: impl FnMut(&PartyRecord)) {
        let register = self.parties.register();
        register.each(|entry| each(&entry.content));
    }
}
