//! A party as the register's answers show it, with what it inherits.

use super::codes::code;
use super::{AddressRegister, Dialect, time};
use edge::soap::{DateTime, Object, Value};
use jiff::civil::date;
use jiff::tz::{Offset, TimeZone};
use registers::directory::{PartyKind, Practitioner, Sex};
use registers::kernel::period::{Moment, Period};
use registers::parties::record::PartyRecord;
use registers::parties::rules::{self, Effective};
use registers::parties::search::kind_name;
use registers::parties::{CertificateUse, ElectronicAddress};

/// How much of what belongs to a party comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The party alone.
    Alone,
    /// With services and people of an organisation, with the organisation of a person.
    Whole,
}

/// Name of the type on the wire.
pub(super) fn type_name(kind: PartyKind) -> &'static str {
    match kind {
        PartyKind::Organisation => "Organization",
        PartyKind::Service => "Service",
        PartyKind::Person => "OrganizationPerson",
    }
}

/// An instant with the offset of Norway.
pub(super) fn with_offset(at: Moment) -> DateTime {
    let local = DateTime::of_instant(at.timestamp());
    let as_utc = local.written.to_zoned(TimeZone::UTC);
    let ahead_s = as_utc.map_or(0, |z| {
        z.timestamp().as_second() - at.timestamp().as_second()
    });
    let offset = i32::try_from(ahead_s)
        .ok()
        .and_then(|s| Offset::from_seconds(s).ok());
    DateTime {
        written: local.written,
        offset,
    }
}

/// A period: an open end is the last day of the year 9999.
pub(super) fn period(valid: &Period, created: Moment) -> Object {
    let end = DateTime::of_day(date(9999, 12, 31));
    Object::new()
        .with("From", time(valid.from.unwrap_or(created)))
        .with("To", valid.to.map_or(end, time))
}

impl AddressRegister {
    /// A party in SOAP; its type stands in the object.
    #[must_use]
    pub fn object(&self, party: &PartyRecord, dialect: Dialect, depth: Depth) -> Object {
        let now = self.moment();
        let parent = self.parent(party);
        let parent = parent.as_ref().map(|p| &p.content);
        let mut object = Object::of(type_name(party.kind));
        self.common(&mut object, party, parent, dialect, now);
        self.own(&mut object, party, dialect, depth);
        object
    }

    /// The certificates in use as the address of a directory; none where there are none.
    pub(super) fn directory_address(
        &self,
        party: &PartyRecord,
        parent: Option<&PartyRecord>,
        now: Moment,
    ) -> Option<(String, bool, Moment)> {
        let found: Vec<_> = [CertificateUse::Encryption, CertificateUse::Signing]
            .into_iter()
            .filter_map(|purpose| rules::certificate(party, parent, purpose, now))
            .collect();
        let first = found.first()?;
        let serials: String = found
            .iter()
            .map(|c| format!("(certificateSerialNumber={})", c.value.serial))
            .collect();
        let address = format!(
            "ldap://{}/dc=Helsenav,dc=no?usercertificate;binary?sub?(|{serials})",
            self.places.ldap_host
        );
        let changed = found.iter().map(|c| c.value.since).max();
        Some((
            address,
            first.inherited,
            changed.unwrap_or(first.value.since),
        ))
    }

    /// Elements that every party has, in the order of the contract.
    pub(super) fn common(
        &self,
        object: &mut Object,
        party: &PartyRecord,
        parent: Option<&PartyRecord>,
        dialect: Dialect,
        now: Moment,
    ) {
        let is_2016 = dialect == Dialect::Soap2016;
        object.set("Active", rules::is_active(party, now));
        if !is_2016 {
            let nothing = None::<Object>;
            object.set("CoverageAreaType", nothing);
        }
        object.set("DisplayName", party.display_name.clone());
        object.set(
            "ElectronicAddresses",
            self.electronic(party, parent, dialect, now),
        );
        if !is_2016 {
            let future: Vec<Object> = rules::future(party, now)
                .map(|address| {
                    let of = Effective {
                        value: address,
                        inherited: false,
                    };
                    let from = address.from.unwrap_or(address.changed);
                    let mut object = electronic(of, dialect);
                    object.set("ValidFrom", time(from));
                    object
                })
                .collect();
            object.set("FutureElectronicAddresses", future);
        }
        object.set("HerId", party.her_id);
        object.set(
            "IsValidCommunicationParty",
            rules::is_valid_party(party, parent, now),
        );
        object.set("LastChanged", time(party.changed));
        let municipality = party
            .municipality
            .as_deref()
            .or_else(|| parent.and_then(|p| p.municipality.as_deref()));
        object.set("Municipality", municipality.map(|m| code(3402, m, dialect)));
        object.set("Name", party.name.clone());
        let business_type = parent.and_then(|p| p.business_type.as_deref());
        object.set(
            "ParentBusinessType",
            business_type.map(|b| code(9040, b, dialect)),
        );
        object.set("ParentHerId", parent.map_or(-1, |p| i64::from(p.her_id)));
        object.set("ParentName", parent.map(|p| p.name.clone()));
        object.set(
            "ParentOrganizationNumber",
            parent.map_or(-1, |p| number(&p.orgnr)),
        );
        let physical: Vec<Object> = rules::physical(party, parent)
            .into_iter()
            .map(|a| {
                Object::new()
                    .with("City", a.value.city.clone())
                    .with(
                        "Country",
                        a.value.country.as_deref().map(|c| code(9043, c, dialect)),
                    )
                    .with("Description", a.value.description.clone())
                    .with("Inherited", a.inherited)
                    .with("LastChanged", time(a.value.changed))
                    .with(
                        "PostalCode",
                        number(a.value.postcode.as_deref().unwrap_or("0")),
                    )
                    .with("Postbox", a.value.postbox.clone())
                    .with("StreetAddress", a.value.street.clone())
                    .with("Type", code(3401, &a.value.code, dialect))
                    .with("TypeCodeValue", a.value.code.clone())
            })
            .collect();
        object.set("PhysicalAddresses", physical);
        object.set("ServerTime", with_offset(now));
        object.set("Type", kind_name(party.kind));
        object.set("Valid", period(&party.valid, party.created));
    }

    fn electronic(
        &self,
        party: &PartyRecord,
        parent: Option<&PartyRecord>,
        dialect: Dialect,
        now: Moment,
    ) -> Vec<Object> {
        let all = rules::electronic(party, parent, now);
        let has_directory = all.iter().any(|a| a.value.code == "E_DS");
        let mut objects: Vec<Object> = all.into_iter().map(|a| electronic(a, dialect)).collect();
        if !has_directory
            && let Some((address, inherited, changed)) = self.directory_address(party, parent, now)
        {
            let value = ElectronicAddress {
                code: "E_DS".to_owned(),
                address,
                changed,
                from: None,
            };
            let of = Effective {
                value: &value,
                inherited,
            };
            objects.push(electronic(of, dialect));
        }
        objects
    }

    /// Elements of the party's type, in the order of the contract.
    pub(super) fn own(
        &self,
        object: &mut Object,
        party: &PartyRecord,
        dialect: Dialect,
        depth: Depth,
    ) {
        let properties = || -> Vec<Object> {
            party
                .properties
                .iter()
                .filter_map(|p| Some(code(p.list.parse().ok()?, &p.code, dialect)))
                .collect()
        };
        match party.kind {
            PartyKind::Organisation => {
                object.set(
                    "BusinessType",
                    party
                        .business_type
                        .as_deref()
                        .map(|b| code(9040, b, dialect)),
                );
                if dialect == Dialect::Soap2016 {
                    object.set("Departments", Vec::<Object>::new());
                }
                let industry: Vec<Object> =
                    party.industry.iter().map(|i| code(0, i, dialect)).collect();
                object.set("IndustryCodes", industry);
                object.set("OrganizationNumber", number(&party.orgnr));
                let below = match depth {
                    Depth::Alone => Vec::new(),
                    Depth::Whole => self.parties.children(party.her_id),
                };
                let of_kind = |kind| -> Vec<Object> {
                    below
                        .iter()
                        .filter(|child| child.content.kind == kind)
                        .map(|child| {
                            let mut object = self.object(&child.content, dialect, Depth::Alone);
                            object.type_name = None;
                            object
                        })
                        .collect()
                };
                object.set("People", of_kind(PartyKind::Person));
                object.set("Properties", properties());
                object.set("Services", of_kind(PartyKind::Service));
            }
            PartyKind::Person => {
                if dialect == Dialect::Soap2016 {
                    object.set("Departments", Vec::<Object>::new());
                }
                let above = match depth {
                    Depth::Alone => None,
                    Depth::Whole => self.parent(party),
                };
                let organisations: Vec<Object> = above
                    .iter()
                    .map(|above| {
                        let mut object = self.object(&above.content, dialect, Depth::Alone);
                        object.says_type = true;
                        object
                    })
                    .collect();
                object.set("Organizations", organisations);
                object.set("Person", self.person(party, dialect));
                object.set("Properties", properties());
                object.set("Title", party.title.clone());
            }
            PartyKind::Service => {
                let of = party.service.as_ref();
                object.set(
                    "Code",
                    of.and_then(|s| Some(code(s.list.parse().ok()?, &s.code, dialect))),
                );
                if dialect != Dialect::Soap2016 {
                    object.set("CoverageAreas", or_nil(self.coverage(party), dialect));
                }
                object.set("Description", party.description.clone());
                object.set("LocationDescription", party.location.clone());
                object.set("Properties", or_nil(properties(), dialect));
            }
        }
    }

    fn coverage(&self, party: &PartyRecord) -> Vec<Object> {
        party
            .coverage
            .iter()
            .filter_map(|her_id| self.parties.get(*her_id))
            .map(|covered| {
                Object::new()
                    .with("DisplayName", covered.content.display_name.clone())
                    .with("HerId", covered.content.her_id)
                    .with("Name", covered.content.name.clone())
                    .with("OrganizationNumber", number(&covered.content.orgnr))
            })
            .collect()
    }

    /// The health person behind a party. No national id: the register shows the type `Invalid` and an empty id.
    fn person(&self, party: &PartyRecord, dialect: Dialect) -> Option<Object> {
        let hpr = party.hpr.as_deref()?;
        let of = self.directory.practitioner_by_hpr(hpr)?;
        let person = self.directory.person(&of.nin);
        let sex = person.as_ref().map(|p| match p.sex {
            Sex::Male => "1",
            Sex::Female => "2",
        });
        let born = person.as_ref().and_then(|p| p.born);
        let citizen_id = Object::new()
            .with("CitizenIdType", "Invalid")
            .with("Id", "")
            .with("Sex", code(3101, "9", dialect));
        let information = Object::new()
            .with("Authorizations", authorisations(&of, party, dialect))
            .with("HPRNo", hpr.to_owned())
            .with("HPRNumber", number(hpr))
            .with("LastChanged", time(party.changed))
            .with("SpecialCompetences", Vec::<Object>::new());
        Some(
            Object::new()
                .with("BirthDate", born.map(DateTime::of_day))
                .with("CitizenId", citizen_id)
                .with("FirstName", of.name.given.clone())
                .with("HPRInformation", information)
                .with("LastChanged", time(party.changed))
                .with("LastName", of.name.family.clone())
                .with("MiddleName", of.name.middle.clone())
                .with("Sex", sex.map(|s| code(3101, s, dialect))),
        )
    }
}

fn authorisations(of: &Practitioner, party: &PartyRecord, dialect: Dialect) -> Vec<Object> {
    let end = DateTime::of_day(date(9999, 12, 31));
    of.authorisations
        .iter()
        .map(|a| {
            let to = a.suspended_from.or(a.to);
            let valid = Object::new()
                .with("From", DateTime::of_day(a.from))
                .with("To", to.map_or(end, DateTime::of_day));
            Object::new()
                .with("LastChanged", time(party.changed))
                .with("Profession", code(9060, &a.role, dialect))
                .with("Requisition", None::<Object>)
                .with("Specialities", Vec::<Object>::new())
                .with("Type", code(7704, "1", dialect))
                .with("Valid", valid)
        })
        .collect()
}

fn electronic(of: Effective<'_, ElectronicAddress>, dialect: Dialect) -> Object {
    Object::new()
        .with("Address", of.value.address.clone())
        .with("Inherited", of.inherited)
        .with("LastChanged", time(of.value.changed))
        .with("Type", code(9044, &of.value.code, dialect))
        .with("TypeCodeValue", of.value.code.clone())
}

/// JSON has null for what is empty in these places, SOAP an empty list.
fn or_nil(items: Vec<Object>, dialect: Dialect) -> Value {
    if items.is_empty() && dialect == Dialect::Rest {
        Value::Nil
    } else {
        items.into()
    }
}

/// Numbers that the wire carries as integers; 0 for what is no number.
pub(super) fn number(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}
