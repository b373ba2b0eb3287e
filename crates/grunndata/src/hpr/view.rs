//! Entries of the register in the words of the contract.

use super::codes::{code, short};
use super::written;
use edge::soap::{DateTime, Object, Value};
use registers::directory::Sex;
use registers::kernel::EntryNo;
use registers::kernel::period::{Moment, Period};
use registers::personnel::register::{Held, person};
use registers::personnel::{
    Approval, Competence, Condition, Education, Institution, OtherId, Personnel, PersonnelRegister,
    PostalAddress, Reaction, Requisition, Speciality, Suspension,
};

/// How much of a person is written, as seen from a time.
pub struct View<'a> {
    /// The register, for institutions.
    pub register: &'a PersonnelRegister,
    /// The entry the person stands in.
    pub no: EntryNo,
    /// When the codes are looked at.
    pub at: Moment,
    /// Addresses too.
    pub addresses: bool,
    /// Approvals and educations too.
    pub details: bool,
    /// The person's version.
    pub etag: String,
}

/// The version of a person.
#[must_use]
pub fn etag(person: &Personnel) -> String {
    format!("{:x}-{}", person.updated.0, person.last_part)
}

fn period(period: &Period) -> Value {
    if *period == Period::ALWAYS {
        return Value::Nil;
    }
    Object::new()
        .with("Fra", period.from.map(written))
        .with("Til", period.to.map(written))
        .into()
}

/// An address.
fn address(address: &PostalAddress, at: Moment) -> Object {
    Object::new()
        .with("Arvet", false)
        .with("Beskrivelse", address.description.clone())
        .with("Gateadresse", address.street.clone())
        .with("Land", short(9043, address.country, at))
        .with("Postboks", address.postbox.clone())
        .with("Postkode", address.postcode.clone())
        .with("Poststed", address.place.clone())
        .with("Type", short(3401, address.kind, at))
}

fn all<T>(items: &[T], write: impl Fn(&T) -> Object) -> Value {
    Value::List(
        items
            .iter()
            .map(|item| Value::Object(write(item)))
            .collect(),
    )
}

impl<'a> View<'a> {
    /// Everything of an entry.
    #[must_use]
    pub fn of(register: &'a PersonnelRegister, entry: &Held, at: Moment) -> Self {
        Self {
            register,
            no: entry.no,
            at,
            addresses: true,
            details: true,
            etag: person(entry).map(etag).unwrap_or_default(),
        }
    }

    fn id(&self, part: u16) -> i64 {
        PersonnelRegister::part_number(self.no, part)
    }

    /// A person.
    #[must_use]
    pub fn person(&self, p: &Personnel) -> Object {
        let details = |value: &dyn Fn() -> Value| {
            if self.details { value() } else { Value::Nil }
        };
        let rest = &p.rest;
        let sex = match p.sex {
            Some(Sex::Male) => "1",
            Some(Sex::Female) => "2",
            None => "",
        };
        Object::new()
            .with(
                "AdministrativeReaksjoner",
                details(&|| all(&rest.reactions, |r| self.reaction(r))),
            )
            .with(
                "AlternativeIder",
                details(&|| all(&rest.other_ids, |id| self.other_id(id))),
            )
            .with("Dødsdato", p.died.map(DateTime::of_day))
            .with("ETag", self.etag.clone())
            .with("ErstattetAvHprNummer", rest.replaced_by)
            .with("Etternavn", p.name.family.clone())
            .with("Fornavn", p.name.given.clone())
            .with(
                "FysiskeAdresser",
                if self.addresses {
                    all(&rest.addresses, |a| address(a, self.at))
                } else {
                    Value::Nil
                },
            )
            .with("Fødselsdato", p.born.map(DateTime::of_day))
            .with(
                "Godkjenninger",
                details(&|| all(&p.approvals, |a| self.approval(a, p))),
            )
            .with("HPRNummer", p.hpr)
            .with("Kjønn", code(3101, sex, self.at))
            .with("ManglerNIN", p.nin.is_none())
            .with("Mellomnavn", p.name.middle.clone())
            .with("NIN", p.nin_text())
            .with("SistOppdatert", written(p.updated))
            .with("Statsborgerskap", short(9043, p.citizenship, self.at))
            .with(
                "Utdannelser",
                details(&|| all(&rest.educations, |e| self.education(e))),
            )
    }

    /// An approval.
    #[must_use]
    pub fn approval(&self, a: &Approval, of: &Personnel) -> Object {
        let seldom = &a.seldom;
        let educations: Vec<Object> = of
            .rest
            .educations
            .iter()
            .filter(|e| seldom.educations.contains(&e.no))
            .map(|e| self.education(e))
            .collect();
        Object::new()
            .with(
                "AdministrativeReaksjoner",
                all(&seldom.reactions, |r| self.reaction(r)),
            )
            .with("Autorisasjon", short(7704, a.authorisation, self.at))
            .with("AvsluttetStatus", short(0, a.ended, self.at))
            .with("ETag", self.etag.clone())
            .with("GodkjentTurnus", seldom.internship.map(written))
            .with("Gyldig", period(&a.valid))
            .with("Helsepersonellkategori", short(9060, a.profession, self.at))
            .with("Id", self.id(a.no))
            .with(
                "KonvertertFraLand",
                short(9043, seldom.converted_from, self.at),
            )
            .with(
                "Rekvisisjonsretter",
                all(&a.requisitions, |r| self.requisition(r)),
            )
            .with(
                "Spesialiteter",
                all(&a.specialities, |s| self.speciality(s)),
            )
            .with(
                "Suspensjonsperioder",
                all(&seldom.suspensions, |s| self.suspension(s)),
            )
            .with(
                "Tilleggskompetanser",
                all(&seldom.competences, |c| self.competence(c)),
            )
            .with("Utdannelser", educations)
            .with("Vilkår", all(&seldom.conditions, |c| self.condition(c)))
    }

    /// A right to prescribe.
    #[must_use]
    pub fn requisition(&self, r: &Requisition) -> Object {
        Object::new()
            .with(
                "AdministrativeReaksjoner",
                all(&r.reactions, |r| self.reaction(r)),
            )
            .with("AvsluttetStatus", short(0, r.ended, self.at))
            .with("ETag", self.etag.clone())
            .with("Gyldig", period(&r.valid))
            .with("Id", self.id(r.no))
            .with(
                "Suspensjonsperioder",
                all(&r.suspensions, |s| self.suspension(s)),
            )
            .with("Type", short(7701, r.kind, self.at))
    }

    /// A speciality.
    #[must_use]
    pub fn speciality(&self, s: &Speciality) -> Object {
        Object::new()
            .with(
                "AdministrativeReaksjoner",
                all(&s.reactions, |r| self.reaction(r)),
            )
            .with("AvsluttetStatus", short(0, s.ended, self.at))
            .with("ETag", self.etag.clone())
            .with("Gyldig", period(&s.valid))
            .with("Id", self.id(s.no))
            .with("KonvertertFraLand", short(9043, s.converted_from, self.at))
            .with(
                "Suspensjonsperioder",
                all(&s.suspensions, |s| self.suspension(s)),
            )
            .with("Type", short(7426, s.kind, self.at))
    }

    /// A competence.
    #[must_use]
    pub fn competence(&self, c: &Competence) -> Object {
        Object::new()
            .with("AvsluttetStatus", short(0, c.ended, self.at))
            .with("ETag", self.etag.clone())
            .with("Gyldig", period(&c.valid))
            .with("Id", self.id(c.no))
            .with("Type", short(7702, c.kind, self.at))
    }

    /// A suspension.
    #[must_use]
    pub fn suspension(&self, s: &Suspension) -> Object {
        Object::new()
            .with("ETag", self.etag.clone())
            .with("Id", self.id(s.no))
            .with("Periode", period(&s.period))
    }

    /// A reaction.
    #[must_use]
    pub fn reaction(&self, r: &Reaction) -> Object {
        Object::new()
            .with("ETag", self.etag.clone())
            .with("Id", self.id(r.no))
            .with("Periode", period(&r.period))
            .with("Type", short(0, r.kind, self.at))
    }

    /// A condition.
    #[must_use]
    pub fn condition(&self, c: &Condition) -> Object {
        Object::new()
            .with("ETag", self.etag.clone())
            .with("Fritekst", c.text.clone())
            .with("Id", self.id(c.no))
            .with("Type", short(0, c.kind, self.at))
    }

    /// Another identifier.
    #[must_use]
    pub fn other_id(&self, id: &OtherId) -> Object {
        Object::new()
            .with("ETag", self.etag.clone())
            .with("Id", self.id(id.no))
            .with("Type", short(8116, id.kind, self.at))
            .with("Verdi", id.value.clone())
    }

    /// An education.
    #[must_use]
    pub fn education(&self, e: &Education) -> Object {
        let institution = e.institution.and_then(|number| {
            let found = self.register.institution(number)?;
            Some(institution(number, &found, self.at))
        });
        Object::new()
            .with("ETag", self.etag.clone())
            .with("Id", self.id(e.no))
            .with("Institution", institution)
            .with("Land", short(9043, e.country, self.at))
            .with("Type", short(0, e.kind, self.at))
            .with("Vitnemålsdato", e.diploma.map(written))
    }
}

/// An institution.
#[must_use]
pub fn institution(number: u32, of: &Institution, at: Moment) -> Object {
    Object::new()
        .with("ETag", format!("{:x}", of.updated.0))
        .with("FysiskeAdresser", all(&of.addresses, |a| address(a, at)))
        .with("Id", number)
        .with("Navn", of.name.clone())
        .with("Organisasjonsnummer", of.orgnr)
        .with("Type", short(0, of.kind, at))
        .with("Utdanningsinstitusjonshistorikk", Vec::<Object>::new())
}
