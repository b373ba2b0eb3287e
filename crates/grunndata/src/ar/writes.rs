//! Writing operations: parties are made and changed by their own organisation, or by the register's owner.

use super::codes;
use super::view::Depth;
use super::{AddressRegister, Dialect, unknown_her_id};
use edge::soap::{Fault, Object, User, Value};
use registers::directory::{PartyKind, ServiceCode};
use registers::kernel::period::{Moment, Period};
use registers::parties::record::PartyRecord;
use registers::parties::register::{Held, WriteError};
use registers::parties::rules;
use registers::parties::{ElectronicAddress, PhysicalAddress};

/// Roles that may change every party.
pub const OWNER_ROLES: &[&str] = &["Administrator", "ARWrite"];
/// Longest text of a field, in characters.
const MAX_TEXT: usize = 500;
/// Most addresses, properties or areas of a party.
const MAX_ITEMS: usize = 200;
const COMMON: &str = "http://register.nhn.no/Common";

/// What is wrong with what came in.
#[derive(Debug, Default)]
struct Errors(Vec<Object>);

impl Errors {
    fn add(&mut self, property: &'static str, shown: &'static str, message: impl Into<String>) {
        let error = Object::new()
            .with("DisplayName", shown)
            .with("Message", message.into())
            .with("PropertyName", property)
            .with("Value", None::<String>);
        if self.0.len() < MAX_ITEMS {
            self.0.push(error);
        }
    }

    fn finish(self) -> Result<(), Fault> {
        if self.0.is_empty() {
            return Ok(());
        }
        let object = Object::new().with("Errors", self.0).with("HasErrors", true);
        Err(Fault::typed(
            COMMON,
            "ValidationFault",
            object,
            "Kommunikasjonsparten er ikke gyldig.",
        ))
    }
}

fn refused(error: WriteError) -> Fault {
    match error {
        WriteError::Unknown => unknown_her_id(),
        WriteError::Change(error) => {
            tracing::error!(%error, "the address register could not be written");
            Fault::internal()
        }
        _ => Fault::internal(),
    }
}

/// Fields that every write has, read and checked.
struct Given {
    electronic: Option<Vec<ElectronicAddress>>,
    physical: Option<Vec<PhysicalAddress>>,
    properties: Option<Vec<ServiceCode>>,
    valid: Option<Period>,
}

fn read_period(object: Option<&Object>, errors: &mut Errors) -> Option<Period> {
    let object = object?;
    let moment = |name: &str| object.time(name).map(|t| Moment::from(t.instant()));
    // .NET writes an open end as the last day of the year 9999, an absent start as the first of the year 1.
    let from = moment("From").filter(|_| object.time("From").is_some_and(|t| t.written.year() > 1));
    let to = moment("To").filter(|_| {
        object
            .time("To")
            .is_some_and(|t| (2..9999).contains(&t.written.year()))
    });
    let period = Period { from, to };
    if period.is_empty() {
        errors.add(
            "Valid",
            "Gyldig",
            "Gyldighetsperioden slutter før den begynner.",
        );
    }
    Some(period)
}

fn text(object: &Object, name: &'static str, errors: &mut Errors) -> Option<String> {
    let text = object.text(name)?;
    if text.chars().count() > MAX_TEXT {
        errors.add(name, name, format!("Teksten kan ha høyst {MAX_TEXT} tegn."));
        return None;
    }
    Some(text.to_owned())
}

fn address_code(object: &Object, list: u32) -> Option<String> {
    let given = object.text("TypeCodeValue").map(str::to_owned);
    given
        .or_else(|| codes::read(object.object("Type")).map(|(_, value)| value))
        .filter(|value| codes::is_known(list, value))
}

fn read_electronic(
    object: &Object,
    now: Moment,
    errors: &mut Errors,
) -> Option<Vec<ElectronicAddress>> {
    if !object.has("ElectronicAddresses") && !object.has("FutureElectronicAddresses") {
        return None;
    }
    let mut all = Vec::new();
    let items = object
        .objects("ElectronicAddresses")
        .chain(object.objects("FutureElectronicAddresses"));
    for item in items.take(MAX_ITEMS) {
        if item.flag("Inherited") {
            continue;
        }
        let Some(code) = address_code(item, 9044) else {
            errors.add(
                "ElectronicAddresses",
                "Elektroniske adresser",
                "Ukjent type elektronisk adresse.",
            );
            continue;
        };
        // The register gives queues their names itself.
        if code.starts_with("E_SB_") {
            continue;
        }
        let Some(address) = text(item, "Address", errors) else {
            errors.add(
                "ElectronicAddresses",
                "Elektroniske adresser",
                "En elektronisk adresse mangler.",
            );
            continue;
        };
        if matches!(code.as_str(), "E_EDI" | "E_EPO") && !is_mail(&address) {
            errors.add(
                "ElectronicAddresses",
                "Elektroniske adresser",
                "Adressen er ikke en gyldig e-postadresse.",
            );
            continue;
        }
        all.push(ElectronicAddress {
            code,
            address,
            changed: now,
            from: item.time("ValidFrom").map(|t| Moment::from(t.instant())),
        });
    }
    Some(all)
}

/// One `@` with something on both sides, no spaces: enough to catch a telephone number in the wrong field.
fn is_mail(address: &str) -> bool {
    let parts = address.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
        && !address.contains(char::is_whitespace)
}

fn read_physical(
    object: &Object,
    now: Moment,
    errors: &mut Errors,
) -> Option<Vec<PhysicalAddress>> {
    if !object.has("PhysicalAddresses") {
        return None;
    }
    let mut all = Vec::new();
    for item in object.objects("PhysicalAddresses").take(MAX_ITEMS) {
        if item.flag("Inherited") {
            continue;
        }
        let Some(code) = address_code(item, 3401) else {
            errors.add("PhysicalAddresses", "Adresser", "Ukjent type adresse.");
            continue;
        };
        let postcode = item.int("PostalCode").filter(|p| *p != 0);
        if postcode.is_some_and(|p| !(1..=9_999).contains(&p)) {
            errors.add(
                "PhysicalAddresses",
                "Adresser",
                "Postnummeret må ha fire sifre.",
            );
            continue;
        }
        all.push(PhysicalAddress {
            code,
            street: text(item, "StreetAddress", errors),
            postbox: text(item, "Postbox", errors),
            postcode: postcode.map(|p| format!("{p:04}")),
            city: text(item, "City", errors),
            country: codes::read(item.object("Country")).map(|(_, value)| value),
            description: text(item, "Description", errors),
            changed: now,
        });
    }
    Some(all)
}

impl Given {
    fn read(object: &Object, now: Moment, errors: &mut Errors) -> Self {
        let properties = object.has("Properties").then(|| {
            object
                .objects("Properties")
                .take(MAX_ITEMS)
                .filter_map(|code| codes::read(Some(code)))
                .map(|(list, code)| ServiceCode {
                    list: list.to_string(),
                    code,
                })
                .collect()
        });
        Self {
            electronic: read_electronic(object, now, errors),
            physical: read_physical(object, now, errors),
            properties,
            valid: read_period(object.object("Valid"), errors),
        }
    }

    /// Puts it on a party. An address that stays the same keeps its date; queues stay.
    fn put(&self, party: &mut PartyRecord) {
        if let Some(mut electronic) = self.electronic.clone() {
            for address in &mut electronic {
                let same = |old: &&ElectronicAddress| {
                    old.code == address.code
                        && old.address == address.address
                        && old.from == address.from
                };
                if let Some(old) = party.electronic.iter().find(same) {
                    address.changed = old.changed;
                }
            }
            let queues = party.electronic.iter();
            let queues: Vec<ElectronicAddress> = queues
                .filter(|a| a.code.starts_with("E_SB_"))
                .cloned()
                .collect();
            electronic.extend(queues);
            party.electronic = electronic;
        }
        if let Some(mut physical) = self.physical.clone() {
            for address in &mut physical {
                let mut as_before = address.clone();
                let old = party.physical.iter().find(|old| {
                    as_before.changed = old.changed;
                    **old == as_before
                });
                if let Some(old) = old {
                    address.changed = old.changed;
                }
            }
            party.physical = physical;
        }
        if let Some(properties) = &self.properties {
            party.properties.clone_from(properties);
        }
        if let Some(valid) = self.valid {
            party.valid = valid;
        }
    }
}

/// A new party below an organisation, as far as every kind has it.
fn below(top: &PartyRecord, kind: PartyKind, name: &str, user: &User, now: Moment) -> PartyRecord {
    PartyRecord {
        parent: Some(top.her_id),
        by: Some(user.name.clone()),
        ..PartyRecord::new(0, kind, name, &top.orgnr, now)
    }
}

impl AddressRegister {
    /// Whether the user may change parties of this organisation.
    fn may_change(user: &User, orgnr: &str) -> bool {
        user.has_any(OWNER_ROLES) || user.orgnr().is_some_and(|own| own == orgnr)
    }

    fn owned(&self, user: &User, her_id: i64) -> Result<Held, Fault> {
        let party = self.get(her_id)?;
        if Self::may_change(user, &party.content.orgnr) {
            Ok(party)
        } else {
            Err(Fault::denied())
        }
    }

    fn change(
        &self,
        user: &User,
        her_id: u32,
        mut change: impl FnMut(&mut PartyRecord),
    ) -> Result<Value, Fault> {
        let by = user.name.clone();
        self.parties
            .update(her_id, self.moment(), |party| {
                let before = party.clone();
                change(party);
                if *party != before {
                    party.by = Some(by.clone());
                }
            })
            .map_err(refused)?;
        Ok(Value::Nil)
    }

    fn business_type(object: &Object, errors: &mut Errors) -> Option<String> {
        let (_, value) = codes::read(object.object("BusinessType"))?;
        if codes::is_known(9040, &value) {
            return Some(value);
        }
        errors.add("BusinessType", "Virksomhetstype", "Ukjent virksomhetstype.");
        None
    }

    /// A service's code, allowed under this organisation (HIS 1153).
    fn service_code(
        object: &Object,
        top: &PartyRecord,
        errors: &mut Errors,
    ) -> Option<ServiceCode> {
        let Some((list, value)) = codes::read(object.object("ServiceCode")) else {
            errors.add("ServiceCode", "Tjenestetype", "Tjenestetypen mangler.");
            return None;
        };
        let lists = top.business_type.as_deref().and_then(rules::allowed_lists);
        let is_allowed = lists.unwrap_or(&rules::ADDRESSING_LISTS).contains(&list);
        if !is_allowed {
            errors.add(
                "ServiceCode",
                "Tjenestetype",
                "Kodeverket er ikke tillatt for virksomheter av denne typen.",
            );
        } else if !codes::is_known(list, &value) {
            errors.add("ServiceCode", "Tjenestetype", "Ukjent tjenestetype.");
        } else {
            return Some(ServiceCode {
                list: list.to_string(),
                code: value,
            });
        }
        None
    }

    pub(super) fn create_organisation(
        &self,
        request: &Object,
        user: &User,
        dialect: Dialect,
    ) -> Result<Value, Fault> {
        let empty = Object::new();
        let given = request.object("org").unwrap_or(&empty);
        let orgnr = given.int("OrganizationNumber").unwrap_or(0).to_string();
        if !Self::may_change(user, &orgnr) {
            return Err(Fault::denied());
        }
        let (now, mut errors) = (self.moment(), Errors::default());
        let business = self
            .businesses
            .get(&orgnr)
            .filter(|b| b.content.parent.is_none());
        if business.is_none() {
            errors.add(
                "OrganizationNumber",
                "Organisasjonsnummer",
                "Organisasjonen finnes ikke i Enhetsregisteret.",
            );
        }
        let there = self.parties.of_organisation(&orgnr);
        if there.iter().any(|p| p.content.parent.is_none()) {
            errors.add(
                "OrganizationNumber",
                "Organisasjonsnummer",
                "Organisasjonen er registrert allerede.",
            );
        }
        let business_type = Self::business_type(given, &mut errors);
        let display_name = text(given, "DisplayName", &mut errors);
        let fields = Given::read(given, now, &mut errors);
        errors.finish()?;
        let name = business.map_or_else(String::new, |b| b.content.name.clone());
        let mut party = PartyRecord::new(0, PartyKind::Organisation, &name, &orgnr, now);
        party.business_type = business_type;
        party.display_name = display_name;
        party.by = Some(user.name.clone());
        fields.put(&mut party);
        self.create(party, dialect)
    }

    fn create(&self, party: PartyRecord, dialect: Dialect) -> Result<Value, Fault> {
        let her_id = self
            .parties
            .create(|her_id| PartyRecord {
                her_id,
                ..party.clone()
            })
            .map_err(refused)?;
        let made = self.get(her_id.into())?;
        Ok(self.object(&made.content, dialect, Depth::Whole).into())
    }

    fn top(&self, user: &User, given: &Object) -> Result<Held, Fault> {
        let top = self.owned(user, given.int("ParentHerId").unwrap_or(0))?;
        if top.content.kind == PartyKind::Organisation {
            Ok(top)
        } else {
            Err(unknown_her_id())
        }
    }

    pub(super) fn create_service(
        &self,
        request: &Object,
        user: &User,
        dialect: Dialect,
    ) -> Result<Value, Fault> {
        let empty = Object::new();
        let given = request.object("t").unwrap_or(&empty);
        let top = self.top(user, given)?;
        let (now, mut errors) = (self.moment(), Errors::default());
        let service = Self::service_code(given, &top.content, &mut errors);
        let description = text(given, "Description", &mut errors);
        let location = text(given, "LocationDescription", &mut errors);
        let fields = Given::read(given, now, &mut errors);
        errors.finish()?;
        let name = service
            .as_ref()
            .and_then(|s| codes::text(s.list.parse().ok()?, &s.code))
            .unwrap_or("Tjeneste");
        let mut party = below(&top.content, PartyKind::Service, name, user, now);
        party.service = service;
        party.description = description;
        party.location = location;
        fields.put(&mut party);
        self.create(party, dialect)
    }

    pub(super) fn create_person(
        &self,
        request: &Object,
        user: &User,
        dialect: Dialect,
    ) -> Result<Value, Fault> {
        let empty = Object::new();
        let given = request.object("p").unwrap_or(&empty);
        let top = self.top(user, given)?;
        let (now, mut errors) = (self.moment(), Errors::default());
        let hpr = given.text("HprNumber").unwrap_or_default().to_owned();
        let of = self.directory.practitioner_by_hpr(&hpr);
        if of.is_none() {
            errors.add("HprNumber", "HPR-nummer", "HPR-nummer ikke funnet.");
        }
        let there = self.parties.children(top.content.her_id);
        if there.iter().any(|p| p.content.hpr.as_deref() == Some(&hpr)) {
            errors.add(
                "HprNumber",
                "HPR-nummer",
                "Personen er registrert under organisasjonen allerede.",
            );
        }
        let title = text(given, "Title", &mut errors);
        let fields = Given::read(given, now, &mut errors);
        errors.finish()?;
        let name = of.map_or_else(String::new, |p| p.name.full());
        let mut party = below(&top.content, PartyKind::Person, &name, user, now);
        party.hpr = Some(hpr);
        party.title = title;
        fields.put(&mut party);
        self.create(party, dialect)
    }

    pub(super) fn update_organisation(
        &self,
        request: &Object,
        user: &User,
    ) -> Result<Value, Fault> {
        let empty = Object::new();
        let given = request.object("org").unwrap_or(&empty);
        let party = self.own_of(user, given, PartyKind::Organisation)?;
        let mut errors = Errors::default();
        let business_type = Self::business_type(given, &mut errors);
        let display_name = text(given, "DisplayName", &mut errors);
        let fields = Given::read(given, self.moment(), &mut errors);
        errors.finish()?;
        self.change(user, party.content.her_id, |party| {
            if given.has("DisplayName") {
                party.display_name.clone_from(&display_name);
            }
            if business_type.is_some() {
                party.business_type.clone_from(&business_type);
            }
            fields.put(party);
        })
    }

    fn own_of(&self, user: &User, given: &Object, kind: PartyKind) -> Result<Held, Fault> {
        let party = self.owned(user, given.int("HerId").unwrap_or(0))?;
        if party.content.kind == kind {
            Ok(party)
        } else {
            Err(unknown_her_id())
        }
    }

    pub(super) fn update_service(&self, request: &Object, user: &User) -> Result<Value, Fault> {
        let empty = Object::new();
        let given = request.object("t").unwrap_or(&empty);
        let party = self.own_of(user, given, PartyKind::Service)?;
        let mut errors = Errors::default();
        let top = self.parent(&party.content).ok_or_else(unknown_her_id)?;
        let service = given
            .object("ServiceCode")
            .and_then(|_| Self::service_code(given, &top.content, &mut errors));
        let description = text(given, "Description", &mut errors);
        let location = text(given, "LocationDescription", &mut errors);
        let fields = Given::read(given, self.moment(), &mut errors);
        errors.finish()?;
        self.change(user, party.content.her_id, |party| {
            if service.is_some() {
                party.service.clone_from(&service);
            }
            if given.has("Description") {
                party.description.clone_from(&description);
            }
            if given.has("LocationDescription") {
                party.location.clone_from(&location);
            }
            fields.put(party);
        })
    }

    pub(super) fn update_person(&self, request: &Object, user: &User) -> Result<Value, Fault> {
        let empty = Object::new();
        let given = request.object("p").unwrap_or(&empty);
        let party = self.own_of(user, given, PartyKind::Person)?;
        let mut errors = Errors::default();
        let title = text(given, "Title", &mut errors);
        let fields = Given::read(given, self.moment(), &mut errors);
        errors.finish()?;
        self.change(user, party.content.her_id, |party| {
            if given.has("Title") {
                party.title.clone_from(&title);
            }
            fields.put(party);
        })
    }

    pub(super) fn set_valid(&self, request: &Object, user: &User) -> Result<Value, Fault> {
        let party = self.owned(user, request.int("herId").unwrap_or(0))?;
        let mut errors = Errors::default();
        let valid = read_period(request.object("period"), &mut errors);
        if valid.is_none() {
            errors.add("period", "Gyldig", "Gyldighetsperioden mangler.");
        }
        errors.finish()?;
        self.change(user, party.content.her_id, |party| {
            if let Some(valid) = valid {
                party.valid = valid;
            }
        })
    }

    /// Gives an organisation its queues (spec/messaging.md §4.2).
    pub(super) fn enable_transport(&self, request: &Object, user: &User) -> Result<Value, Fault> {
        let party = self.owned(user, request.int("herId").unwrap_or(0))?;
        if party.content.kind != PartyKind::Organisation {
            return Err(unknown_her_id());
        }
        let wanted = request.text("transportType").unwrap_or_default();
        if !wanted.eq_ignore_ascii_case("amqp") {
            return Err(Fault::generic(
                "InvalidTransportType",
                "Ukjent transporttype. Kjent: Amqp.",
            ));
        }
        let now = self.moment();
        let base = format!(
            "{}/{}/{}",
            self.places.bus_host, self.places.bus_namespace, party.content.her_id
        );
        self.change(user, party.content.her_id, |party| {
            with_queues(party, &base, now);
        })
    }

    pub(super) fn update_coverage(&self, request: &Object, user: &User) -> Result<Value, Fault> {
        let party = self.owned(user, request.int("herId").unwrap_or(0))?;
        let coverage: Vec<u32> = request
            .objects("coverageAreas")
            .take(MAX_ITEMS)
            .filter_map(|area| {
                let covered = self.get(area.int("HerId")?).ok()?;
                Some(covered.content.her_id)
            })
            .collect();
        self.change(user, party.content.her_id, |party| {
            party.coverage = coverage.clone()
        })
    }

    pub(super) fn update_iks(&self, request: &Object, user: &User) -> Result<Value, Fault> {
        // Misspelt in the contract.
        let party = self.owned(user, request.int("organizaitonHerId").unwrap_or(0))?;
        let mut bodies = Vec::new();
        for her_id in request.ints("herIdsForAssociatedIKS").take(MAX_ITEMS) {
            bodies.push(self.get(her_id)?.content.her_id);
        }
        self.change(user, party.content.her_id, |party| {
            party.iks.clone_from(&bodies);
        })
    }

    pub(super) fn add_attribute(
        &self,
        request: &Object,
        user: &User,
        dialect: Dialect,
    ) -> Result<Value, Fault> {
        let party = self.owned(user, request.int("herId").unwrap_or(0))?;
        let Some((list, value)) = codes::read(request.object("code")) else {
            return Err(Fault::generic(
                "InvalidCode",
                "Koden må ha CodeValue og OID.",
            ));
        };
        let attribute = ServiceCode {
            list: list.to_string(),
            code: value.clone(),
        };
        self.change(user, party.content.her_id, |party| {
            if !party.attributes.contains(&attribute) && party.attributes.len() < MAX_ITEMS {
                party.attributes.push(attribute.clone());
            }
        })?;
        Ok(codes::code(list, &value, dialect).into())
    }

    pub(super) fn remove_attribute(&self, request: &Object, user: &User) -> Result<Value, Fault> {
        let party = self.owned(user, request.int("herId").unwrap_or(0))?;
        let wanted = codes::read(request.object("code"));
        self.change(user, party.content.her_id, |party| {
            party.attributes.retain(|a| {
                wanted
                    .as_ref()
                    .is_none_or(|(list, code)| a.list != list.to_string() || a.code != *code)
            });
        })
    }
}

/// Enables the bus for an organisation: four queues named after it. `base` is `<host>/<namespace>/<HER-id>`.
pub fn with_queues(party: &mut PartyRecord, base: &str, now: Moment) {
    if !party.transports.iter().any(|t| t == "Amqp") {
        party.transports.push("Amqp".to_owned());
    }
    let kinds = [
        ("E_SB_ASYNC", "async"),
        ("E_SB_SYNC", "sync"),
        ("E_SB_SYNCREPLY", "syncreply"),
        ("E_SB_ERROR", "error"),
    ];
    for (code, suffix) in kinds {
        if !party.electronic.iter().any(|a| a.code == code) {
            party.electronic.push(ElectronicAddress {
                code: code.to_owned(),
                address: format!("{base}_{suffix}"),
                changed: now,
                from: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_mail;

    #[test]
    fn mail_addresses() {
        for (text, ok) in [
            ("a@b.no", true),
            ("24200000", false),
            ("@b.no", false),
            ("a@", false),
            ("a b@c.no", false),
            ("a@b@c", false),
        ] {
            assert_eq!(is_mail(text), ok, "{text}");
        }
    }
}
