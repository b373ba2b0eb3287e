//! `POST /demo/persons` and `POST /demo/organisations`: another valid person or organisation at once, for whoever tries the
//! demo (DESIGN §4, demo helpers). Synthetic numbers that nobody has. Absent outside demo mode.

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use codes::ident::{MonthOffset, NinBuilder, Orgnr};
use codes::names::{first_names, surnames};
use edge::{Clock, Problem};
use jiff::civil::Date;
use registers::directory::{Address, Directory, PartyKind, Protection, Sex};
use registers::kernel::period::{Moment, Period};
use registers::organisations::Business;
use registers::parties::{ElectronicAddress, PartyRecord, PhysicalAddress};
use registers::table::Row;
use registers::{Person, PersonName, RegisterTable};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const MAX_BODY_BYTES: usize = 16 * 1024;
/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// Age of whoever comes without a birth date, years.
const USUAL_AGE: i16 = 40;
/// Numbers tried for one organisation.
const MOST_TRIES: usize = 1_000;
/// First of the organisation numbers that newcomers get; synthetic ones begin with 2 or 3.
const FIRST_ORGNR: u32 = 31_700_000;

/// What the routes need.
#[derive(Clone)]
pub struct Newcomers {
    /// The registers.
    pub registers: Arc<RegisterTable>,
    /// The rules' clock.
    pub clock: Clock,
}

/// The routes.
pub fn router(newcomers: Newcomers) -> Router {
    Router::new()
        .route("/demo/persons", post(person))
        .route("/demo/organisations", post(organisation))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(newcomers)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WantedPerson {
    /// Given names and, last, the family name.
    name: Option<String>,
    born: Option<Date>,
    /// `female` or `male`.
    sex: Option<String>,
    /// A D-number instead of a fødselsnummer.
    d_number: bool,
    /// `klientadresse`, `fortrolig` (kode 7) or `strengtFortrolig` (kode 6).
    protection: Option<String>,
    /// Four digits.
    municipality: Option<String>,
    /// National id of somebody who has the same GP and, without a municipality, the same address.
    like: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedOrganisation {
    name: String,
    /// Type of list 9040; 103, a GP or other private practice, when not said.
    #[serde(default)]
    type_code: Option<String>,
    #[serde(default)]
    municipality: Option<String>,
}

async fn person(
    State(newcomers): State<Newcomers>,
    Json(wanted): Json<WantedPerson>,
) -> Result<Json<Value>, Problem> {
    edge::blocking(move || newcomers.person(&wanted).map(Json)).await?
}

async fn organisation(
    State(newcomers): State<Newcomers>,
    Json(wanted): Json<WantedOrganisation>,
) -> Result<Json<Value>, Problem> {
    edge::blocking(move || newcomers.organisation(&wanted).map(Json)).await?
}

fn name(text: &str) -> Result<String, Problem> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_name = |c: char| c.is_alphanumeric() || " -'.,&".contains(c);
    if text.is_empty() || text.chars().count() > MAX_NAME || !text.chars().all(is_name) {
        return Err(Problem::bad_request(format!(
            "a name has 1 to {MAX_NAME} letters, digits, spaces and -'.,&"
        )));
    }
    Ok(text)
}

fn visiting(municipality: &str) -> Result<Address, Problem> {
    let found = codes::places::municipality(municipality);
    let postcode = found.and_then(|m| m.postcodes().first());
    let street = codes::names::streets()
        .first()
        .copied()
        .unwrap_or("Testveien");
    let postcode = postcode.ok_or_else(|| {
        Problem::bad_request("municipality: give the four digits of a Norwegian municipality")
    })?;
    Ok(Address {
        street: format!("{street} 1"),
        postcode: postcode.code.to_owned(),
        place: postcode.place.to_owned(),
        municipality: municipality.to_owned(),
    })
}

fn drawn(of: usize) -> usize {
    usize::try_from(rand::random::<u32>())
        .unwrap_or_default()
        .checked_rem(of)
        .unwrap_or_default()
}

fn unavailable(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a newcomer cannot be written");
    Problem::unavailable()
}

impl Newcomers {
    fn now(&self) -> Moment {
        Moment(self.clock.now_us().div_euclid(1_000))
    }

    fn today(&self) -> Date {
        let offset = jiff::tz::Offset::UTC;
        offset.to_datetime(self.now().timestamp()).date()
    }

    fn person(&self, wanted: &WantedPerson) -> Result<Value, Problem> {
        let sex = match wanted.sex.as_deref() {
            None | Some("female") => Sex::Female,
            Some("male") => Sex::Male,
            Some(_) => return Err(Problem::bad_request("sex: female or male")),
        };
        let protection = match wanted.protection.as_deref() {
            None | Some("ugradert") => Protection::Unclassified,
            Some("klientadresse") => Protection::ClientAddress,
            Some("fortrolig") => Protection::Confidential,
            Some("strengtFortrolig") => Protection::StrictlyConfidential,
            Some(_) => {
                return Err(Problem::bad_request(
                    "protection: ugradert, klientadresse, fortrolig or strengtFortrolig",
                ));
            }
        };
        let today = self.today();
        let usual = || Date::new(today.year() - USUAL_AGE, today.month(), 1).unwrap_or(today);
        let born = wanted.born.unwrap_or_else(usual);
        if !(1900..=2039).contains(&born.year()) || born > today {
            return Err(Problem::bad_request("born: a day from 1900 until today"));
        }
        let like = match &wanted.like {
            None => None,
            Some(nin) => Some(self.registers.person(nin).ok_or_else(|| {
                Problem::bad_request("like: nobody in the register has this number")
            })?),
        };
        let address = match (&wanted.municipality, &like) {
            (Some(municipality), _) => visiting(municipality)?,
            (None, Some(like)) if like.address.is_some() => {
                like.address.clone().unwrap_or_default()
            }
            (None, _) => visiting("5501")?,
        };
        let builder = NinBuilder {
            born,
            sex: match sex {
                Sex::Female => codes::ident::Sex::Female,
                Sex::Male => codes::ident::Sex::Male,
            },
            offset: MonthOffset::Plus80,
            dnr: wanted.d_number,
        };
        let nin = builder
            .numbers()
            .map(|nin| nin.as_str().to_owned())
            .find(|nin| self.registers.person(nin).is_none())
            .ok_or_else(|| Problem::bad_request("born: all numbers of this day are taken"))?;
        let made = Person {
            nin: nin.clone(),
            historic: Vec::new(),
            name: self.name_of(wanted, builder.sex)?,
            born: Some(born),
            sex,
            // Of the strictly confidential the population register gives no address away.
            address: (protection != Protection::StrictlyConfidential).then_some(address),
            protection,
            died: None,
            language: None,
            relations: Vec::new(),
            gp: like.and_then(|like| like.gp),
            story: None,
        };
        let gp = made.gp.as_ref().and_then(|gp| gp.hpr.clone());
        let answer = json!({
            "pid": nin,
            "name": made.name.full(),
            "born": born,
            "sex": match sex { Sex::Female => "female", Sex::Male => "male" },
            "address": made.address,
            "protection": wanted.protection.as_deref().unwrap_or("ugradert"),
            "gp_hpr_number": gp,
        });
        self.registers
            .import(vec![Row::Person(Box::new(made))])
            .map_err(|error| unavailable(&error))?;
        Ok(answer)
    }

    fn name_of(
        &self,
        wanted: &WantedPerson,
        sex: codes::ident::Sex,
    ) -> Result<PersonName, Problem> {
        if let Some(text) = &wanted.name {
            let text = name(text)?;
            let (given, family) = text
                .rsplit_once(' ')
                .ok_or_else(|| Problem::bad_request("name: a given name and a family name"))?;
            return Ok(PersonName {
                given: given.to_owned(),
                middle: None,
                family: family.to_owned(),
            });
        }
        let of_sex: Vec<_> = first_names().iter().filter(|n| n.sex == sex).collect();
        let given = of_sex.get(drawn(of_sex.len())).map_or("Vakker", |n| n.name);
        let family = surnames().get(drawn(surnames().len()));
        Ok(PersonName {
            given: given.to_owned(),
            middle: None,
            family: family.map_or("Blomst", |n| n.form(sex)).to_owned(),
        })
    }

    fn organisation(&self, wanted: &WantedOrganisation) -> Result<Value, Problem> {
        let name = name(&wanted.name)?;
        let type_code = wanted.type_code.as_deref().unwrap_or("103");
        let known = codes::lists::display(&codes::oid::list(9040), type_code);
        let Some(type_name) = known else {
            return Err(Problem::bad_request("type_code: a code of list 9040"));
        };
        let municipality = wanted.municipality.as_deref().unwrap_or("5501");
        let place = visiting(municipality)?;
        let orgnr = (0..MOST_TRIES)
            .map(|_| FIRST_ORGNR + u32::try_from(drawn(99_999)).unwrap_or_default())
            .filter_map(Orgnr::build)
            .map(|orgnr| orgnr.value().to_string())
            .find(|orgnr| self.registers.businesses().get(orgnr).is_none())
            .ok_or_else(Problem::unavailable)?;
        let at = self.now();
        let physical = ["RES", "PST"].map(|code| PhysicalAddress {
            code: code.to_owned(),
            street: Some(place.street.clone()),
            postbox: None,
            postcode: Some(place.postcode.clone()),
            city: Some(place.place.clone()),
            country: Some("NO".to_owned()),
            description: None,
            changed: at,
        });
        let make = |her_id: u32| {
            let mut party = PartyRecord::new(her_id, PartyKind::Organisation, &name, &orgnr, at);
            party.valid = Period::since(at);
            party.business_type = Some(type_code.to_owned());
            party.municipality = Some(municipality.to_owned());
            party.physical = physical.to_vec();
            party.electronic = vec![ElectronicAddress {
                code: "E_EDI".to_owned(),
                address: format!("{her_id}@edi.demo.invalid"),
                changed: at,
                from: None,
            }];
            grunndata::ar::with_queues(&mut party, &format!("localhost/Helsenav/{her_id}"), at);
            party
        };
        let her_id = self
            .registers
            .parties()
            .create(make)
            .map_err(|error| unavailable(&error))?;
        let business = Business {
            type_code: Some(type_code.to_owned()),
            her_id: Some(her_id),
            municipality: Some(municipality.to_owned()),
            physical: physical.to_vec(),
            approved: true,
            ..Business::new(&orgnr, &name, at)
        };
        self.registers
            .import(vec![Row::Business(Box::new(business))])
            .map_err(|error| unavailable(&error))?;
        Ok(json!({
            "orgnr": orgnr,
            "name": name,
            "her_id": her_id,
            "type": { "code": type_code, "name": type_name },
            "address": place,
        }))
    }
}
