//! Places: where a unit of Enhetsregisteret or a service with an address of its own is visited, as `Location`
//! (spec/grunndata.md §8).

use super::directory::{Filter, Found, Page, Registers};
use super::elements::Elements;
use super::kinds::Kind;
use super::organisations::{addresses, telecom, unit_id};
use super::parties::{self, Party, times};
use super::query::Query;
use super::refusal::Refusal;
use super::values::{meta, reference};
use codes::fold::fold;
use fhir::build::Json;
use registers::directory::PartyKind;
use registers::kernel::period::Moment;
use registers::organisations::business::Coordinates;
use registers::organisations::{Business, OpeningHours};
use registers::parties::record::PhysicalAddress;
use registers::parties::rules::is_active;
use serde_json::{Value, json};

/// Farthest that `near` looks, kilometres.
const MAX_KM: f64 = 500.0;
/// How far it looks when no distance is given.
const USUAL_KM: f64 = 10.0;
/// Mean radius of the Earth.
const EARTH_KM: f64 = 6_371.0;

/// The address where people come.
fn visited(addresses: &[PhysicalAddress]) -> Option<&PhysicalAddress> {
    let of = |code: &str| addresses.iter().find(|a| a.code == code);
    of("RES").or_else(|| of("FLO_RES"))
}

/// Id of the place of a unit; `None` when it is not known where it is.
pub(super) fn of_unit(business: &Business) -> Option<String> {
    let is_known = visited(&business.physical).is_some() || business.coordinates.is_some();
    is_known.then(|| unit_id(&business.orgnr))
}

fn position(at: Coordinates) -> Value {
    let degrees = |millionths: i32| f64::from(millionths) / 1e6;
    json!({ "longitude": degrees(at.longitude_udeg), "latitude": degrees(at.latitude_udeg) })
}

fn opened(hours: &OpeningHours) -> Vec<Value> {
    let written = times(hours).into_iter().map(|(day, time)| match time {
        None => json!({ "daysOfWeek": [day], "allDay": true }),
        Some((from, to)) => {
            json!({ "daysOfWeek": [day], "openingTime": from, "closingTime": to })
        }
    });
    written.collect()
}

/// What a place is made of.
struct Place<'a> {
    id: String,
    is_active: bool,
    name: &'a str,
    telecom: Vec<Value>,
    address: Option<&'a PhysicalAddress>,
    coordinates: Option<Coordinates>,
    manager: String,
    hours: Option<OpeningHours>,
}

impl Place<'_> {
    fn resource(&self, elements: &Elements) -> Value {
        elements.of(Json::resource("Location")
            .put("id", self.id.as_str())
            .put("meta", meta(&Kind::Location.profiles(), None))
            .put("status", if self.is_active { "active" } else { "inactive" })
            .put("name", self.name)
            .put("mode", "instance")
            .put("telecom", self.telecom.clone())
            .maybe(
                "address",
                self.address
                    .and_then(|address| addresses(std::iter::once(address)).into_iter().next()),
            )
            .maybe("position", self.coordinates.map(position))
            .put(
                "managingOrganization",
                reference("Organization", &self.manager),
            )
            .put(
                "hoursOfOperation",
                self.hours.as_ref().map(opened).unwrap_or_default(),
            )
            .build())
    }
}

/// What a search for places asks.
struct Where<'a> {
    filter: Filter<'a>,
    city: Option<String>,
    postcode: Option<&'a str>,
    near: Option<Near>,
}

/// A point and how far from it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Near {
    latitude: f64,
    longitude: f64,
    km: f64,
}

impl Near {
    /// `latitude|longitude|distance|unit`; distance and unit may be left out.
    fn read(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::invalid(
                "near is latitude|longitude|distance|unit, decimal degrees, the unit km or m",
            )
        };
        let mut words = text.split('|');
        let mut number = || {
            let word = words.next().map(str::trim).filter(|word| !word.is_empty());
            word.map(str::parse::<f64>)
        };
        let (latitude, longitude, distance) = (number(), number(), number());
        let latitude = latitude.ok_or_else(wrong)?.map_err(|_| wrong())?;
        let longitude = longitude.ok_or_else(wrong)?.map_err(|_| wrong())?;
        let distance = distance.transpose().map_err(|_| wrong())?;
        let unit = words.next().unwrap_or("km").trim();
        let km = match (distance, unit) {
            (None, _) => USUAL_KM,
            (Some(far), "km" | "") => far,
            (Some(far), "m") => far / 1_000.0,
            _ => return Err(wrong()),
        };
        let is_point = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        // Written so that no number at all is refused too.
        if !is_point || !(0.0..=MAX_KM).contains(&km) || words.next().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            latitude,
            longitude,
            km,
        })
    }

    fn reaches(self, at: Coordinates) -> bool {
        let rad = |millionths: i32| (f64::from(millionths) / 1e6).to_radians();
        let (a, b) = (self.latitude.to_radians(), rad(at.latitude_udeg));
        let (dlat, dlon) = (b - a, rad(at.longitude_udeg) - self.longitude.to_radians());
        let h = (dlat / 2.0).sin().powi(2) + a.cos() * b.cos() * (dlon / 2.0).sin().powi(2);
        2.0 * EARTH_KM * h.sqrt().min(1.0).asin() <= self.km
    }
}

impl<'a> Where<'a> {
    fn read(query: &'a Query) -> Result<Self, Refusal> {
        Ok(Self {
            filter: Filter::read(query, "organization", "type")?,
            city: query.one("address-city")?.map(fold),
            postcode: query.one("address-postalcode")?,
            near: query.one("near")?.map(Near::read).transpose()?,
        })
    }

    fn fits(&self, place: &Place<'_>) -> bool {
        let text = |of: fn(&PhysicalAddress) -> Option<&str>| place.address.and_then(of);
        self.filter.is_named(place.name)
            && self.filter.is_below(Some(place.manager.clone()))
            && self.city.as_ref().is_none_or(|city| {
                text(|a| a.city.as_deref()).is_some_and(|own| fold(own).starts_with(city.as_str()))
            })
            && self.postcode.is_none_or(|code| {
                text(|a| a.postcode.as_deref()).is_some_and(|own| own.starts_with(code))
            })
            && self
                .near
                .is_none_or(|near| place.coordinates.is_some_and(|at| near.reaches(at)))
    }
}

impl Registers {
    /// Id of the place of a unit.
    pub(super) fn place_of(&self, orgnr: &str) -> Option<String> {
        of_unit(&self.businesses.get(orgnr)?.content)
    }

    /// Id of the place of a service: its own, else the unit's.
    pub(super) fn place_of_party(&self, party: Party<'_>) -> Option<String> {
        if party.record.kind == PartyKind::Service && visited(&party.record.physical).is_some() {
            return Some(parties::id_of(party.record.her_id));
        }
        self.place_of(&party.record.orgnr)
    }

    fn unit_place<'a>(&self, business: &'a Business, now: Moment) -> Option<Place<'a>> {
        Some(Place {
            id: of_unit(business)?,
            is_active: business.valid.contains(now),
            name: business.display_name.as_deref().unwrap_or(&business.name),
            telecom: telecom(business.electronic.iter()),
            address: visited(&business.physical),
            coordinates: business.coordinates,
            manager: unit_id(&business.orgnr),
            hours: self.businesses.hours(business),
        })
    }

    fn service_place<'a>(&self, party: Party<'a>, now: Moment) -> Option<Place<'a>> {
        let record = party.record;
        let address = visited(&record.physical)?;
        let business = self.businesses.get(&record.orgnr);
        (record.kind == PartyKind::Service).then(|| Place {
            id: parties::id_of(record.her_id),
            is_active: is_active(record, now),
            name: record.shown_name(),
            telecom: party.telecom(now),
            address: Some(address),
            coordinates: None,
            manager: unit_id(&record.orgnr),
            hours: business.and_then(|b| self.businesses.hours(&b.content)),
        })
    }

    /// A place by its id.
    pub(super) fn place(&self, id: &str, elements: &Elements, now: Moment) -> Option<Value> {
        if let Some(orgnr) = id.strip_prefix("enh-") {
            let entry = self.businesses.get(orgnr)?;
            let business = &entry.content;
            let place = self.unit_place(business, now).filter(|p| p.id == id)?;
            return Some(place.resource(elements));
        }
        self.with_party(parties::her_id_of(id)?, |party| {
            Some(self.service_place(party, now)?.resource(elements))
        })?
    }

    /// A page of places.
    pub(super) fn places(&self, query: &Query, now: Moment) -> Result<Found, Refusal> {
        let wanted = Where::read(query)?;
        let mut page = Page::of(query);
        self.each_business(|business| {
            if let Some(place) = self.unit_place(business, now).filter(|p| wanted.fits(p)) {
                page.offer(|| Some(place.resource(&query.elements)));
            }
        });
        self.each_party(|record| {
            let party = Party {
                record,
                parent: None,
            };
            let place = self.service_place(party, now);
            if place.is_some_and(|place| wanted.fits(&place)) {
                page.offer(|| self.place(&parties::id_of(record.her_id), &query.elements, now));
            }
        });
        Ok(page.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_point_and_how_far() {
        let read = |text: &str| {
            Near::read(text)
                .ok()
                .map(|n| (n.latitude, n.longitude, n.km))
        };
        assert_eq!(read("59.9|10.7|5|km"), Some((59.9, 10.7, 5.0)));
        assert_eq!(read("59.9|10.7|500|m"), Some((59.9, 10.7, 0.5)));
        assert_eq!(read("-1|10.7"), Some((-1.0, 10.7, USUAL_KM)));
        for bad in [
            "",
            "59.9",
            "59.9|",
            "x|10",
            "91|10",
            "59|181",
            "59|10|501|km",
            "59|10|-1|km",
            "59|10|5|mi",
            "NaN|10",
            "59|10|inf",
            "59|10|5|km|x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let at = |latitude: f64, longitude: f64| Coordinates {
            latitude_udeg: (latitude * 1e6) as i32,
            longitude_udeg: (longitude * 1e6) as i32,
        };
        // From Oslo to Drammen it is about 35 km, to Bergen about 305.
        let oslo = |km| Near {
            latitude: 59.913,
            longitude: 10.752,
            km,
        };
        let (drammen, bergen) = (at(59.744, 10.204), at(60.392, 5.324));
        assert!(oslo(40.0).reaches(drammen) && !oslo(30.0).reaches(drammen));
        assert!(oslo(310.0).reaches(bergen) && !oslo(300.0).reaches(bergen));
    }

    proptest! {
        #[test]
        fn any_point_is_read_or_refused(text in "[0-9.|km e-]{0,40}", latitude in any::<i32>(), longitude in any::<i32>()) {
            if let Ok(near) = Near::read(&text) {
                let at = Coordinates { latitude_udeg: latitude, longitude_udeg: longitude };
                let _ = near.reaches(at);
                prop_assert!(near.km <= MAX_KM);
            }
        }
    }
}
