//! The values of a row. Optional members are announced by a byte of flags.

use super::codec::{In, Out, Packs};
use crate::kernel::identifiers::Packed;
use crate::persons::codes::{
    AddressForm, FamilyRole, Gender, GuardianshipScope, GuardianshipType, IdentifierKind,
    MaritalStatusType, PersonStatus, ProtectionLevel, ResponsibilityType, StayElsewhere,
};
use crate::persons::document::{
    Abroad, Address, Birth, FamilyRelation, Guardianship, Identifier, Marital, Name, Responsibility,
};
use jiff::civil::Date;

macro_rules! by_code {
    ($($name:ident),+ $(,)?) => {$(
        impl Packs for $name {
            fn pack(&self, out: &mut Out) {
                out.byte(self.code());
            }

            fn unpack(input: &mut In<'_>) -> Option<Self> {
                Self::from_code(input.byte()?)
            }
        }
    )+};
}

by_code!(
    AddressForm,
    FamilyRole,
    Gender,
    GuardianshipScope,
    GuardianshipType,
    IdentifierKind,
    MaritalStatusType,
    PersonStatus,
    ProtectionLevel,
    ResponsibilityType,
    StayElsewhere,
);

fn flags<const N: usize>(there: [bool; N]) -> u8 {
    there
        .iter()
        .enumerate()
        .fold(0, |all, (bit, there)| all | (u8::from(*there) << bit))
}

fn optional<T>(flags: u8, bit: u8, read: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
    if flags & (1 << bit) == 0 {
        Some(None)
    } else {
        read().map(Some)
    }
}

impl Packs for Packed {
    fn pack(&self, out: &mut Out) {
        out.varint(self.0);
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        input.varint().map(Self)
    }
}

impl Packs for Date {
    fn pack(&self, out: &mut Out) {
        out.day(*self);
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        input.day()
    }
}

impl Packs for String {
    fn pack(&self, out: &mut Out) {
        out.text(self);
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        input.text()
    }
}

impl Packs for serde_json::Value {
    fn pack(&self, out: &mut Out) {
        out.text(&self.to_string());
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        serde_json::from_str(input.str()?).ok()
    }
}

impl Packs for Identifier {
    fn pack(&self, out: &mut Out) {
        out.byte(self.kind.code() << 1 | u8::from(self.in_use));
        self.number.pack(out);
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        let head = input.byte()?;
        Some(Self {
            kind: IdentifierKind::from_code(head >> 1)?,
            in_use: head & 1 == 1,
            number: Packed::unpack(input)?,
        })
    }
}

impl Packs for Name {
    fn pack(&self, out: &mut Out) {
        out.text(&self.given);
        out.text(&self.family);
        out.byte(u8::from(self.middle.is_some()));
        if let Some(middle) = &self.middle {
            out.text(middle);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        Some(Self {
            given: input.text()?,
            family: input.text()?,
            middle: match input.byte()? {
                0 => None,
                _ => Some(input.text()?),
            },
        })
    }
}

impl Packs for Birth {
    fn pack(&self, out: &mut Out) {
        out.byte(flags([
            self.date.is_some(),
            self.year.is_some(),
            self.place.is_some(),
            self.municipality.is_some(),
            self.country.is_some(),
        ]));
        if let Some(date) = self.date {
            out.day(date);
        }
        if let Some(year) = self.year {
            out.signed(year.into());
        }
        if let Some(place) = &self.place {
            out.text(place);
        }
        if let Some(municipality) = self.municipality {
            out.varint(municipality.into());
        }
        if let Some(country) = &self.country {
            out.text(country);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        let f = input.byte()?;
        Some(Self {
            date: optional(f, 0, || input.day())?,
            year: optional(f, 1, || i16::try_from(input.signed()?).ok())?,
            place: optional(f, 2, || input.text())?,
            municipality: optional(f, 3, || input.number())?,
            country: optional(f, 4, || input.text())?,
        })
    }
}

impl Packs for Address {
    fn pack(&self, out: &mut Out) {
        out.byte(self.form.code() << 4 | self.grading.code());
        out.byte(flags([
            !self.letter.is_empty(),
            !self.unit.is_empty(),
            !self.care_of.is_empty(),
            self.district.is_some(),
            self.basic_unit.is_some(),
            self.moved.is_some(),
            self.abroad.is_some(),
            self.elsewhere.is_some(),
        ]));
        out.varint(self.postcode.into());
        out.varint(self.municipality.into());
        out.text(&self.street);
        out.text(&self.number);
        out.text(&self.place);
        for text in [&self.letter, &self.unit, &self.care_of] {
            if !text.is_empty() {
                out.text(text);
            }
        }
        for number in [self.district, self.basic_unit].into_iter().flatten() {
            out.varint(number.into());
        }
        if let Some(day) = self.moved {
            out.day(day);
        }
        if let Some(abroad) = &self.abroad {
            abroad.pack(out);
        }
        if let Some(elsewhere) = self.elsewhere {
            elsewhere.pack(out);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        let head = input.byte()?;
        let f = input.byte()?;
        Some(Self {
            form: AddressForm::from_code(head >> 4)?,
            grading: ProtectionLevel::from_code(head & 15)?,
            postcode: input.number()?,
            municipality: input.number()?,
            street: input.text()?,
            number: input.text()?,
            place: input.text()?,
            letter: optional(f, 0, || input.text())?.unwrap_or_default(),
            unit: optional(f, 1, || input.text())?.unwrap_or_default(),
            care_of: optional(f, 2, || input.text())?.unwrap_or_default(),
            district: optional(f, 3, || input.number())?,
            basic_unit: optional(f, 4, || input.number())?,
            moved: optional(f, 5, || input.day())?,
            abroad: optional(f, 6, || Abroad::unpack(input).map(Box::new))?,
            elsewhere: optional(f, 7, || StayElsewhere::unpack(input))?,
        })
    }
}

impl Packs for Abroad {
    fn pack(&self, out: &mut Out) {
        let texts = [
            &self.building,
            &self.floor,
            &self.unit,
            &self.post_box,
            &self.postcode,
            &self.district,
            &self.region,
            &self.country,
        ];
        for text in texts {
            out.text(text);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        Some(Self {
            building: input.text()?,
            floor: input.text()?,
            unit: input.text()?,
            post_box: input.text()?,
            postcode: input.text()?,
            district: input.text()?,
            region: input.text()?,
            country: input.text()?,
        })
    }
}

impl Packs for FamilyRelation {
    fn pack(&self, out: &mut Out) {
        out.byte(flags([self.person.is_some(), self.mine.is_some()]));
        self.role.pack(out);
        if let Some(person) = self.person {
            person.pack(out);
        }
        if let Some(mine) = self.mine {
            mine.pack(out);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        let f = input.byte()?;
        Some(Self {
            role: FamilyRole::unpack(input)?,
            person: optional(f, 0, || Packed::unpack(input))?,
            mine: optional(f, 1, || FamilyRole::unpack(input))?,
        })
    }
}

impl Packs for Responsibility {
    fn pack(&self, out: &mut Out) {
        out.byte(flags([self.responsible.is_some(), self.subject.is_some()]));
        self.kind.pack(out);
        for person in [self.responsible, self.subject].into_iter().flatten() {
            person.pack(out);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        let f = input.byte()?;
        Some(Self {
            kind: ResponsibilityType::unpack(input)?,
            responsible: optional(f, 0, || Packed::unpack(input))?,
            subject: optional(f, 1, || Packed::unpack(input))?,
        })
    }
}

impl Packs for Marital {
    fn pack(&self, out: &mut Out) {
        out.byte(flags([self.since.is_some(), self.spouse.is_some()]));
        self.status.pack(out);
        if let Some(day) = self.since {
            out.day(day);
        }
        if let Some(spouse) = self.spouse {
            spouse.pack(out);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        let f = input.byte()?;
        Some(Self {
            status: MaritalStatusType::unpack(input)?,
            since: optional(f, 0, || input.day())?,
            spouse: optional(f, 1, || Packed::unpack(input))?,
        })
    }
}

impl Packs for Guardianship {
    fn pack(&self, out: &mut Out) {
        out.byte(flags([
            self.guardian.is_some(),
            self.scope.is_some(),
            self.office.is_some(),
            self.personal,
        ]));
        self.kind.pack(out);
        if let Some(guardian) = self.guardian {
            guardian.pack(out);
        }
        if let Some(scope) = self.scope {
            scope.pack(out);
        }
        if let Some(office) = &self.office {
            out.text(office);
        }
    }

    fn unpack(input: &mut In<'_>) -> Option<Self> {
        let f = input.byte()?;
        Some(Self {
            kind: GuardianshipType::unpack(input)?,
            guardian: optional(f, 0, || Packed::unpack(input))?,
            scope: optional(f, 1, || GuardianshipScope::unpack(input))?,
            office: optional(f, 2, || input.text())?,
            personal: f & 8 != 0,
        })
    }
}
