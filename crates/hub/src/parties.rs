//! What `/drift` shows of the address register: search, one party with its organisation's tree, certificates, a place on
//! the map, the last changes.

use edge::Problem;
use meldinger::counter::{Origin, Origins};
use portal::drift::PartyQuery;
use registers::RegisterTable;
use registers::directory::PartyKind;
use registers::kernel::period::Moment;
use registers::parties::CertificateLine;
use registers::parties::record::{CertificateUse, PartyRecord};
use registers::parties::register::Held;
use registers::parties::rules::{self, Expiry};
use registers::parties::search::{Facet, Query, kind_name};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parties on a page.
const PAGE: usize = 50;
/// Values of a facet.
const MAX_FACET: usize = 20;
/// Parties shown below an organisation.
const MAX_BELOW: usize = 500;
/// Versions shown of a party.
const MAX_VERSIONS: usize = 20;

fn micros(at: Moment) -> i64 {
    at.0.saturating_mul(1_000)
}

fn text(list: u32, code: &str) -> String {
    let known = if list == 3402 {
        codes::places::municipality(code).map(|m| m.name)
    } else {
        codes::lists::display(&codes::oid::list(list), code)
    };
    known.unwrap_or(code).to_owned()
}

fn service(party: &PartyRecord) -> Option<String> {
    let code = party.service.as_ref()?;
    Some(text(code.list.parse().ok()?, &code.code))
}

/// Says of a certificate, DER, whether it is on a revocation list that is known here.
pub type IsRevoked<'a> = &'a (dyn Fn(&[u8]) -> bool + 'a);

fn state_word(line: &CertificateLine, now: Moment, is_revoked: IsRevoked<'_>) -> &'static str {
    match rules::expiry(line, now) {
        _ if is_revoked(&line.der) => "revoked",
        Expiry::Fine => "ok",
        Expiry::Soon => "soon",
        Expiry::Late => "late",
        Expiry::Expired => "expired",
    }
}

struct Browser<'a> {
    registers: &'a RegisterTable,
    now: Moment,
    is_revoked: IsRevoked<'a>,
}

impl Browser<'_> {
    fn row(&self, party: &Held) -> Value {
        let content = &party.content;
        let above = self.registers.parties().parent(content);
        let parent = above.as_ref().map(|p| &p.content);
        let in_use: Vec<&CertificateLine> = [CertificateUse::Encryption, CertificateUse::Signing]
            .into_iter()
            .filter_map(|purpose| rules::certificate(content, parent, purpose, self.now))
            .map(|c| c.value)
            .collect();
        let revoked = in_use.iter().find(|line| (self.is_revoked)(&line.der));
        let worst = revoked.or_else(|| in_use.iter().min_by_key(|line| line.not_after_s));
        json!({
            "her_id": content.her_id,
            "name": content.shown_name(),
            "kind": kind_name(content.kind),
            "orgnr": content.orgnr,
            "service": service(content),
            "parent": parent.map(|p| json!({ "her_id": p.her_id, "name": p.shown_name() })),
            "is_valid": rules::is_valid_party(content, parent, self.now),
            "certificate": worst.map(|line| state_word(line, self.now, self.is_revoked)),
        })
    }

    fn facet(facet: &Facet) -> Value {
        let list = match facet.name {
            "BusinessTypeCode" => Some(9040),
            "MunicipalityCode" => Some(3402),
            _ => None,
        };
        let entries: Vec<Value> = facet
            .entries
            .iter()
            .take(MAX_FACET)
            .map(|(value, hits)| {
                let text = list.map_or_else(|| value.clone(), |l| text(l, value));
                json!({ "value": value, "text": text, "hits": hits })
            })
            .collect();
        json!({ "name": facet.name, "entries": entries })
    }

    fn list(&self, query: &PartyQuery) -> Result<Value, Problem> {
        let given = [
            ("FullText", &query.text),
            ("Type", &query.kind),
            ("BusinessTypeCode", &query.business_type),
            ("MunicipalityCode", &query.municipality),
        ];
        let mut constraints: Vec<(&str, &str)> = given
            .iter()
            .filter_map(|(key, value)| Some((*key, value.as_deref().filter(|v| !v.is_empty())?)))
            .collect();
        // A number is a HER-id or an organisation number, not a name.
        let number = query.text.as_deref().map(str::trim).unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            let key = if number.len() == 9 {
                "OrganizationNumber"
            } else {
                "HerId"
            };
            constraints.retain(|(k, _)| *k != "FullText");
            constraints.push((key, number));
        }
        let read = Query::read(constraints).map_err(|bad| Problem::bad_request(bad.to_string()))?;
        let page = query.page.unwrap_or(1).max(1);
        let found = read.run(self.registers.parties(), page, PAGE, self.now);
        Ok(json!({
            "total": found.total,
            "page": page,
            "pages": found.total.div_ceil(PAGE),
            "rows": found.results.iter().map(|p| self.row(p)).collect::<Vec<_>>(),
            "facets": found.facets.iter().map(Self::facet).collect::<Vec<_>>(),
        }))
    }

    fn certificates(&self, party: &PartyRecord, parent: Option<&PartyRecord>) -> Vec<Value> {
        let own = party.certificates.iter().map(|line| (line, false));
        let above = parent
            .filter(|_| party.certificates.is_empty())
            .into_iter()
            .flat_map(|p| &p.certificates)
            .map(|line| (line, true));
        own.chain(above)
            .map(|(line, inherited)| {
                let in_use = rules::certificate(party, parent, line.purpose, self.now)
                    .is_some_and(|c| c.value.serial == line.serial);
                json!({
                    "purpose": match line.purpose {
                        CertificateUse::Encryption => "encryption",
                        CertificateUse::Signing => "signing",
                    },
                    "name": line.name,
                    "serial": line.serial,
                    "thumbprint": line.thumbprint,
                    "valid_from": line.not_before_s.saturating_mul(1_000_000),
                    "valid_to": line.not_after_s.saturating_mul(1_000_000),
                    "state": state_word(line, self.now, self.is_revoked),
                    "in_use": in_use,
                    "inherited": inherited,
                })
            })
            .collect()
    }

    fn place(&self, party: &PartyRecord) -> Value {
        let business = self.registers.businesses().get(&party.orgnr);
        let coordinates = business.and_then(|b| b.content.coordinates);
        coordinates.map_or(Value::Null, |c| {
            json!({
                "latitude": f64::from(c.latitude_udeg) / 1_000_000.0,
                "longitude": f64::from(c.longitude_udeg) / 1_000_000.0,
            })
        })
    }

    fn one(&self, her_id: u32) -> Result<Value, Problem> {
        let parties = self.registers.parties();
        let party = parties.get(her_id).ok_or_else(Problem::not_found)?;
        let content = &party.content;
        let above = parties.parent(content);
        let parent = above.as_ref().map(|p| &p.content);
        let top = above.clone().unwrap_or_else(|| party.clone());
        let below = parties.children(top.content.her_id);
        let electronic: Vec<Value> = rules::electronic(content, parent, self.now)
            .into_iter()
            .map(|a| {
                json!({
                    "code": a.value.code,
                    "address": a.value.address,
                    "inherited": a.inherited,
                })
            })
            .collect();
        let physical: Vec<Value> = rules::physical(content, parent)
            .into_iter()
            .map(|a| {
                json!({
                    "kind": text(3401, &a.value.code),
                    "street": a.value.street,
                    "postbox": a.value.postbox,
                    "postcode": a.value.postcode,
                    "city": a.value.city,
                    "inherited": a.inherited,
                })
            })
            .collect();
        let versions = parties.versions(her_id, MAX_VERSIONS)?;
        let changes: Vec<Value> = versions
            .iter()
            .map(|v| {
                json!({
                    "version": v.version,
                    "at": micros(v.entry.content.changed),
                    "by": v.entry.content.by,
                })
            })
            .collect();
        let business_type = top.content.business_type.as_deref();
        let municipality = content
            .municipality
            .as_deref()
            .or(top.content.municipality.as_deref());
        Ok(json!({
            "row": self.row(&party),
            "business_type": business_type.map(|b| text(9040, b)),
            "municipality": municipality.map(|m| text(3402, m)),
            "hpr": content.hpr,
            "description": content.description,
            "location": content.location,
            "valid_from": micros(content.valid.from.unwrap_or(content.created)),
            "valid_to": content.valid.to.map(micros),
            "electronic": electronic,
            "physical": physical,
            "certificates": self.certificates(content, parent),
            "place": self.place(content),
            "tree": {
                "top": self.row(&top),
                "below": below.iter().take(MAX_BELOW).map(|p| self.row(p)).collect::<Vec<_>>(),
                "persons": below.iter().filter(|p| p.content.kind == PartyKind::Person).count(),
                "services": below.iter().filter(|p| p.content.kind == PartyKind::Service).count(),
            },
            "changes": changes,
        }))
    }
}

/// A page of parties. `now_us` is the rules' now.
///
/// # Errors
/// 400 for a query that cannot be.
pub fn list(
    registers: &RegisterTable,
    query: &PartyQuery,
    now_us: i64,
    is_revoked: IsRevoked<'_>,
) -> Result<Value, Problem> {
    let browser = Browser {
        registers,
        now: Moment(now_us.div_euclid(1_000)),
        is_revoked,
    };
    browser.list(query)
}

/// Where organisations are and what they are, for the message counter.
#[must_use]
pub fn origins(registers: Arc<RegisterTable>) -> Origins {
    Arc::new(move |her_id| {
        let Some(party) = registers.parties().get(her_id) else {
            return Origin::default();
        };
        Origin {
            municipality: party.content.municipality.clone(),
            kind: party.content.business_type.clone(),
        }
    })
}

/// Organisations by municipality, each with the middle of where its organisations are.
#[must_use]
pub fn map(registers: &RegisterTable, now_us: i64) -> Value {
    let now = Moment(now_us.div_euclid(1_000));
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut without = 0u32;
    for party in registers.parties().organisations() {
        let content = &party.content;
        if !rules::is_active(content, now) {
            continue;
        }
        let Some(municipality) = &content.municipality else {
            without += 1;
            continue;
        };
        let business = registers.businesses().get(&content.orgnr);
        let place = places.entry(municipality.clone()).or_default();
        place.organisations += 1;
        if let Some(at) = business.and_then(|b| b.content.coordinates) {
            place.located += 1;
            place.latitude += f64::from(at.latitude_udeg) / 1_000_000.0;
            place.longitude += f64::from(at.longitude_udeg) / 1_000_000.0;
        }
    }
    let rows: Vec<Value> = places
        .iter()
        .map(|(number, place)| {
            let known = codes::places::municipality(number);
            let mean = |sum: f64| (place.located > 0).then(|| sum / f64::from(place.located));
            json!({
                "number": number,
                "name": known.map_or(number.as_str(), |m| m.name),
                "county": known.and_then(|m| m.county()).map(|c| c.name),
                "organisations": place.organisations,
                "latitude": mean(place.latitude),
                "longitude": mean(place.longitude),
            })
        })
        .collect();
    json!({ "municipalities": rows, "without_municipality": without })
}

/// What is added up for a municipality.
#[derive(Default)]
struct Place {
    organisations: u32,
    located: u32,
    latitude: f64,
    longitude: f64,
}

/// One party.
///
/// # Errors
/// 404 for an unknown HER-id.
pub fn one(
    registers: &RegisterTable,
    her_id: u32,
    now_us: i64,
    is_revoked: IsRevoked<'_>,
) -> Result<Value, Problem> {
    let browser = Browser {
        registers,
        now: Moment(now_us.div_euclid(1_000)),
        is_revoked,
    };
    browser.one(her_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use registers::directory::ServiceCode;
    use registers::parties::ElectronicAddress;
    use registers::table::Row;
    use store::{Filter, Seq, Store, StoreConfig};

    const NOW_US: i64 = 1_795_000_000_000_000;
    const NONE: IsRevoked<'static> = &|_| false;

    #[test]
    fn a_revoked_certificate_is_shown_as_such_whatever_its_period() {
        let now = Moment(NOW_US / 1_000);
        let line = |left_s: i64| CertificateLine {
            purpose: CertificateUse::Signing,
            der: vec![1],
            serial: "1".to_owned(),
            name: "x".to_owned(),
            not_before_s: 0,
            not_after_s: NOW_US / 1_000_000 + left_s,
            thumbprint: "x".to_owned(),
            since: now,
        };
        let day = 86_400;
        let table = [
            (90 * day, "ok"),
            (20 * day, "soon"),
            (day, "late"),
            (-1, "expired"),
        ];
        for (left_s, expected) in table {
            assert_eq!(state_word(&line(left_s), now, NONE), expected);
            assert_eq!(state_word(&line(left_s), now, &|der| der == [1]), "revoked");
        }
    }

    fn rows() -> Vec<Row> {
        let at = Moment(NOW_US / 1_000 - 1);
        let mut top = PartyRecord::new(10, PartyKind::Organisation, "Sykehuset", "315900077", at);
        top.business_type = Some("101".to_owned());
        top.municipality = Some("0301".to_owned());
        top.electronic.push(ElectronicAddress {
            code: "E_EDI".to_owned(),
            address: "a@b.no".to_owned(),
            changed: at,
            from: None,
        });
        let mut ward = PartyRecord::new(11, PartyKind::Service, "Avdelingen", "315900077", at);
        ward.parent = Some(10);
        ward.service = Some(ServiceCode {
            list: "8668".to_owned(),
            code: "02".to_owned(),
        });
        [top, ward]
            .map(|p| Row::CommunicationParty(Box::new(p)))
            .into()
    }

    #[test]
    fn parties_are_found_and_shown_with_their_organisation() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = StoreConfig::sqlite(folder.path(), registers::repositories());
        config.unsafe_no_sync = true;
        let (store, mint) = Store::open(config).unwrap();
        let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
        let registers = RegisterTable::open(store.clone(), grant).unwrap();
        registers.import(rows()).unwrap();
        let total =
            |query: PartyQuery| list(&registers, &query, NOW_US, NONE).unwrap()["total"].clone();
        let text = |text: &str| PartyQuery {
            text: Some(text.to_owned()),
            ..PartyQuery::default()
        };
        assert_eq!(total(PartyQuery::default()), 2);
        assert_eq!(total(text("avdel")), 1);
        assert_eq!(total(text("11")), 1);
        assert_eq!(total(text("315900077")), 2);
        assert_eq!(total(text("finnes ikke")), 0);
        let wrong = PartyQuery {
            kind: Some("x".to_owned()),
            ..PartyQuery::default()
        };
        assert_eq!(
            list(&registers, &wrong, NOW_US, NONE).unwrap_err().status,
            400
        );
        let ward = one(&registers, 11, NOW_US, NONE).unwrap();
        assert_eq!(ward["tree"]["top"]["her_id"], 10);
        assert_eq!(ward["electronic"][0]["inherited"], true);
        assert_eq!(ward["municipality"], "Oslo");
        let map = map(&registers, NOW_US);
        assert_eq!(map["municipalities"][0]["name"], "Oslo");
        assert_eq!(map["municipalities"][0]["organisations"], 1);
        assert!(
            map["municipalities"][0]["latitude"].is_null(),
            "no business, no place"
        );
        assert_eq!(map["without_municipality"], 0);
        assert_eq!(ward["changes"].as_array().unwrap().len(), 1);
        assert_eq!(one(&registers, 99, NOW_US, NONE).unwrap_err().status, 404);
        drop(registers);
        store.close();
    }
}
