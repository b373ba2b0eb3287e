//! Communication parties (spec/grunndata.md §7.4): a service is a messaging party (`Organization` after
//! kommunikasjonspart, the only resource with a HER-id as identifier) and a `HealthcareService`; a person is a
//! `PractitionerRole`; each address for machines an `Endpoint`.

use super::elements::Elements;
use super::kinds::{Kind, NO_BASIS};
use super::organisations::{addresses, telecom, unit_id};
use super::values::{day, listed, meta, period, reference};
use codes::fold::fold;
use fhir::build::{Json, concept};
use registers::HER_SYSTEM;
use registers::directory::{PartyKind, ServiceCode};
use registers::kernel::period::Moment;
use registers::organisations::OpeningHours;
use registers::parties::PartyRecord;
use registers::parties::record::ElectronicAddress;
use registers::parties::register::list_number;
use registers::parties::rules::{Effective, electronic, is_active, physical};
use serde_json::{Value, json};

const NATIONAL_TRANSPORT: &str = "http://hl7.no/fhir/CodeSystem/no-basis-connection-type";
const TRANSPORT: &str = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type";
const PAYLOAD: &str = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type";
/// Lists that have a slice of their own in `HealthcareService.specialty`.
const SPECIALTY_LISTS: [u32; 4] = [8655, 8654, 9151, 8451];

/// A party with the one above it.
#[derive(Clone, Copy)]
pub(super) struct Party<'a> {
    pub(super) record: &'a PartyRecord,
    pub(super) parent: Option<&'a PartyRecord>,
}

/// Id of a party's resources.
pub(super) fn id_of(her_id: u32) -> String {
    format!("her-{her_id}")
}

/// The HER-id of an id.
pub(super) fn her_id_of(id: &str) -> Option<u32> {
    id.strip_prefix("her-")?.parse().ok()
}

/// The party and the type of address (9044) of an endpoint's id. Ids have no underscores.
pub(super) fn endpoint_of(id: &str) -> Option<(u32, String)> {
    let (her_id, code) = id.strip_prefix("her-")?.split_once('-')?;
    Some((her_id.parse().ok()?, code.replace('.', "_")))
}

fn endpoint_id(her_id: u32, code: &str) -> String {
    format!("her-{her_id}-{}", code.replace('_', "."))
}

/// System, code and text of the transport behind a type of address; `None` for addresses for people.
fn transport(code: &str) -> Option<(&'static str, &'static str, &'static str)> {
    match code {
        "E_EDI" => Some((NATIONAL_TRANSPORT, "no-ebxml-2", "ebXML 2.0")),
        "E_SB_ASYNC" | "E_SB_SYNC" | "E_SB_SYNCREPLY" | "E_SB_ERROR" => {
            Some((NATIONAL_TRANSPORT, "no-amqp", "AMQP"))
        }
        "E_FHIR" => Some((TRANSPORT, "hl7-fhir-rest", "HL7 FHIR")),
        _ => None,
    }
}

impl<'a> Party<'a> {
    fn transports(self, now: Moment) -> Vec<Effective<'a, ElectronicAddress>> {
        let mut found = electronic(self.record, self.parent, now);
        found.retain(|a| transport(&a.value.code).is_some() && !a.value.address.is_empty());
        found
    }

    /// Ids of its endpoints: an inherited one is its own, with the address of the organisation.
    pub(super) fn endpoint_ids(self, now: Moment) -> Vec<String> {
        let found = self.transports(now);
        found
            .iter()
            .map(|a| endpoint_id(self.record.her_id, &a.value.code))
            .collect()
    }

    /// Its endpoints.
    pub(super) fn endpoints(self, elements: &Elements, now: Moment) -> Vec<Value> {
        let found = self.transports(now);
        found
            .iter()
            .map(|a| self.endpoint(a.value, elements, now))
            .collect()
    }

    /// The endpoint of one type of address.
    pub(super) fn endpoint_at(self, code: &str, elements: &Elements, now: Moment) -> Option<Value> {
        let found = self.transports(now);
        let found = found.iter().find(|a| a.value.code == code)?;
        Some(self.endpoint(found.value, elements, now))
    }

    fn endpoint(self, address: &ElectronicAddress, elements: &Elements, now: Moment) -> Value {
        let (system, code, text) = transport(&address.code).unwrap_or((TRANSPORT, "", ""));
        let is_usable =
            is_active(self.record, now) && self.parent.is_none_or(|p| is_active(p, now));
        elements.of(Json::resource("Endpoint")
            .put("id", endpoint_id(self.record.her_id, &address.code))
            .put("meta", meta(&Kind::Endpoint.profiles(), None))
            .put("status", if is_usable { "active" } else { "off" })
            .put("connectionType", fhir::build::coding(system, code, text))
            .put(
                "name",
                format!("{}: {}", self.record.shown_name(), address.code),
            )
            .put("managingOrganization", self.manager())
            .put("period", period(self.record.valid, day))
            .list("payloadType", Some(concept(PAYLOAD, "any", "Any")))
            .put("address", uri(address))
            .build())
    }

    /// A service is a messaging party of its own; people and organisations are reached through the unit.
    fn manager(self) -> Value {
        match self.record.kind {
            PartyKind::Service => reference("Organization", &id_of(self.record.her_id)),
            _ => reference("Organization", &unit_id(&self.record.orgnr)),
        }
    }

    pub(super) fn telecom(self, now: Moment) -> Vec<Value> {
        let found = electronic(self.record, self.parent, now);
        telecom(found.iter().map(|a| a.value))
    }

    fn endpoint_references(self, now: Moment) -> Vec<Value> {
        let ids = self.endpoint_ids(now);
        ids.iter().map(|id| reference("Endpoint", id)).collect()
    }

    /// A service as messaging party. `None` for other parties.
    pub(super) fn organization(self, elements: &Elements, now: Moment) -> Option<Value> {
        let record = self.record;
        let service = record.service.as_ref()?;
        let endpoints = self.endpoint_references(now);
        // The profile asks for an endpoint: a party without one is shown without claiming it.
        let profiles = if endpoints.is_empty() {
            vec![format!("{NO_BASIS}no-basis-Organization")]
        } else {
            vec![format!("{NO_BASIS}kommunikasjonspart-Organization")]
        };
        let physical = physical(record, self.parent);
        Some(
            elements.of(Json::resource("Organization")
                .put("id", id_of(record.her_id))
                .put("meta", meta(&profiles, None))
                .list(
                    "identifier",
                    Some(json!({ "system": HER_SYSTEM, "value": record.her_id.to_string() })),
                )
                .put("active", is_active(record, now))
                .list(
                    "type",
                    code(service).map(|coding| json!({ "coding": [coding] })),
                )
                .put("name", record.shown_name())
                .put("telecom", self.telecom(now))
                .put("address", addresses(physical.iter().map(|a| a.value)))
                .put("partOf", reference("Organization", &unit_id(&record.orgnr)))
                .put("endpoint", endpoints)
                .build()),
        )
    }

    /// A service as what it offers: when, and at which place. `None` for other parties.
    pub(super) fn service(
        self,
        (hours, location): (Option<&OpeningHours>, Option<&str>),
        elements: &Elements,
        now: Moment,
    ) -> Option<Value> {
        let record = self.record;
        let service = record.service.as_ref()?;
        let coding = code(service);
        let list = list_number(service);
        let is_specialty = list.is_some_and(|list| SPECIALTY_LISTS.contains(&list));
        let category = self
            .parent
            .and_then(|parent| parent.business_type.as_deref())
            .map(|kind| json!({ "coding": [listed(9040, kind)] }));
        let typed = coding.map(|coding| json!({ "coding": [coding] }));
        Some(
            elements.of(Json::resource("HealthcareService")
                .put("id", id_of(record.her_id))
                .put("meta", meta(&Kind::HealthcareService.profiles(), None))
                .put("active", is_active(record, now))
                .put(
                    "providedBy",
                    reference("Organization", &unit_id(&record.orgnr)),
                )
                .list("category", category)
                .list("type", typed.clone())
                .list("specialty", typed.filter(|_| is_specialty))
                .list("location", location.map(|id| reference("Location", id)))
                .put("name", record.shown_name())
                .maybe("comment", record.description.as_deref())
                .put("telecom", self.telecom(now))
                .put("availableTime", hours.map(available).unwrap_or_default())
                .put("endpoint", self.endpoint_references(now))
                .build()),
        )
    }

    /// A person as a role. `location`: id of the place of the unit. `None` for other parties.
    pub(super) fn role(
        self,
        location: Option<&str>,
        elements: &Elements,
        now: Moment,
    ) -> Option<Value> {
        let record = self.record;
        if record.kind != PartyKind::Person {
            return None;
        }
        let hpr = record.hpr.as_deref();
        let title = record.title.as_deref().filter(|title| !title.is_empty());
        Some(
            elements.of(Json::resource("PractitionerRole")
                .put("id", id_of(record.her_id))
                .put("meta", meta(&Kind::PractitionerRole.profiles(), None))
                .put("active", is_active(record, now))
                .put("period", period(record.valid, day))
                .maybe(
                    "practitioner",
                    hpr.map(|hpr| reference("Practitioner", &format!("hpr-{hpr}"))),
                )
                .put(
                    "organization",
                    reference("Organization", &unit_id(&record.orgnr)),
                )
                .list("code", title.map(|title| json!({ "text": title })))
                .list("location", location.map(|id| reference("Location", id)))
                .put("telecom", self.telecom(now))
                .put("endpoint", self.endpoint_references(now))
                .build()),
        )
    }

    /// Whether the words are all beginnings of words of its name.
    pub(super) fn is_named(self, words: &[String]) -> bool {
        has_words(self.record.shown_name(), words)
    }
}

/// Whether each of the folded words begins a word of the name.
pub(super) fn has_words(name: &str, words: &[String]) -> bool {
    let name = fold(name);
    let starts = |word: &String| {
        name.split(|c: char| !c.is_alphanumeric())
            .any(|part| part.starts_with(word.as_str()))
    };
    words.iter().all(starts)
}

/// Coding of service-based addressing.
fn code(service: &ServiceCode) -> Option<Value> {
    Some(listed(list_number(service)?, &service.code))
}

fn uri(address: &ElectronicAddress) -> String {
    let text = address.address.trim();
    let is_mail = address.code == "E_EDI" && text.contains('@') && !text.starts_with("mailto:");
    if is_mail {
        format!("mailto:{text}")
    } else {
        text.to_owned()
    }
}

/// Opening hours as FHIR has them.
fn available(hours: &OpeningHours) -> Vec<Value> {
    let written = times(hours).into_iter().map(|(day, time)| match time {
        None => json!({ "daysOfWeek": [day], "allDay": true }),
        Some((from, to)) => {
            json!({ "daysOfWeek": [day], "availableStartTime": from, "availableEndTime": to })
        }
    });
    written.collect()
}

/// Day and times of it, `None`: the whole day. A period over midnight is two.
pub(super) fn times(hours: &OpeningHours) -> Vec<(&'static str, Option<(String, String)>)> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    const DAY_MIN: u16 = 24 * 60;
    let time = |minute: u16| format!("{:02}:{:02}:00", minute / 60, minute % 60);
    let mut found = Vec::new();
    for (from, to) in hours.periods() {
        let mut at = *from;
        while at < *to {
            let day = at / DAY_MIN;
            let end = (*to).min((day + 1) * DAY_MIN);
            let name = DAYS.get(usize::from(day)).copied().unwrap_or_default();
            let (start, stop) = (at - day * DAY_MIN, end - day * DAY_MIN);
            let is_whole = start == 0 && stop == DAY_MIN;
            let stop = if stop == DAY_MIN {
                "23:59:59".to_owned()
            } else {
                time(stop)
            };
            found.push((name, (!is_whole).then(|| (time(start), stop))));
            at = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_endpoints_have_no_underscore_and_are_read_back() {
        let id = endpoint_id(7, "E_SB_ASYNC");
        assert_eq!(id, "her-7-E.SB.ASYNC");
        assert_eq!(endpoint_of(&id), Some((7, "E_SB_ASYNC".to_owned())));
        assert_eq!(endpoint_of("her-7"), None);
        assert_eq!(her_id_of("her-7"), Some(7));
        assert_eq!(her_id_of("her-7-E.EDI"), None);
    }

    #[test]
    fn words_begin_words() {
        let words = |text: &str| codes::fold::words(text);
        assert!(has_words("Fjordgløtt legesenter", &words("lege fjord")));
        assert!(!has_words("Fjordgløtt legesenter", &words("senter")));
    }

    #[test]
    fn opening_hours_become_times_of_days() {
        let hours =
            OpeningHours::try_from(vec![(510, 900), (6 * 1_440 + 1_200, 7 * 1_440)]).unwrap();
        assert_eq!(
            available(&hours),
            [
                json!({"daysOfWeek": ["mon"], "availableStartTime": "08:30:00", "availableEndTime": "15:00:00"}),
                json!({"daysOfWeek": ["sun"], "availableStartTime": "20:00:00", "availableEndTime": "23:59:59"}),
            ]
        );
        let over = OpeningHours::try_from(vec![(1_400, 1_500), (2_880, 4_320)]).unwrap();
        let times = available(&over);
        assert_eq!(times.len(), 3);
        assert_eq!(times[2], json!({"daysOfWeek": ["wed"], "allDay": true}));
    }
}
