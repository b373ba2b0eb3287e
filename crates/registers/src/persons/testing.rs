//! Persons for tests, made from small numbers. Synthetic: their identifiers need not pass any check.

use super::codes::{
    AddressForm, FamilyRole, Gender, IdentifierKind, MaritalStatusType, OtherPart, PersonStatus,
    ProtectionLevel, ResponsibilityType, StayElsewhere,
};
use super::document::{
    Abroad, Address, Birth, FamilyRelation, Identifier, Marital, Name, PersonDocument,
    Responsibility,
};
use crate::kernel::EntryId;
use crate::kernel::identifiers::Packed;
use crate::kernel::period::Moment;
use crate::kernel::timeline::{Origin, Timeline};
use jiff::civil::Date;
use proptest::prelude::*;

/// The present of these tests.
pub const NOW: Moment = Moment(1_000 * 86_400_000);
const GIVEN: [&str; 6] = ["Kari", "Kari Anne", "Ola", "Åse", "Øystein", "Zoë-Marie"];
const MIDDLE: [&str; 3] = ["", "Berg", "Li"];
const FAMILY: [&str; 5] = ["Hansen", "Berg", "Bergan", "Ås", "Nordmann-Olsen"];
const STREETS: [&str; 4] = ["Storgata", "Store Ringvei", "Ås vei", "Øvre Slottsgate"];

fn pick<T: Copy>(of: &[T], n: u8) -> T {
    of[usize::from(n) % of.len()]
}

/// Public id of the n-th person.
pub fn id(n: u32) -> EntryId {
    EntryId((u128::from(n) + 7).wrapping_mul(0x9e37_79b9_7f4a_7c15_0123_4567_89ab_cdef))
}

/// What a made person is made from.
#[derive(Clone, Copy, Debug)]
pub struct Seed(pub [u8; 12]);

pub fn seeds() -> impl Strategy<Value = Seed> {
    any::<[u8; 12]>().prop_map(Seed)
}

pub fn address(a: u8, b: u8, grading: ProtectionLevel) -> Address {
    Address {
        form: AddressForm::Street,
        street: pick(&STREETS, a).to_owned(),
        number: (b % 30 + 1).to_string(),
        letter: if b & 1 == 0 {
            String::new()
        } else {
            "B".to_owned()
        },
        unit: if b & 2 == 0 {
            String::new()
        } else {
            "H0101".to_owned()
        },
        care_of: String::new(),
        postcode: 100 + u16::from(a % 5),
        place: "OSLO".to_owned(),
        municipality: pick(&[301, 5001, 4601], a / 4),
        district: (b & 4 != 0).then_some(30101),
        basic_unit: (b & 8 != 0).then_some(3_010_101),
        moved: (b & 16 != 0).then_some(Date::constant(2020, 5, 17)),
        grading,
        abroad: (b & 32 != 0).then(|| {
            Box::new(Abroad {
                building: "Blk 3".to_owned(),
                post_box: "17".to_owned(),
                postcode: "SW1A".to_owned(),
                region: "Scania".to_owned(),
                country: "SE".to_owned(),
                ..Abroad::default()
            })
        }),
        elsewhere: (b & 64 != 0).then_some(StayElsewhere::Commuter),
    }
}

/// The n-th person.
pub fn person(n: u32, seed: Seed) -> PersonDocument {
    let Seed([a, b, c, d, e, f, g, h, i, j, k, l]) = seed;
    let mut p = PersonDocument::default();
    let then = |days: u8| Moment(i64::from(days) * 86_400_000);
    let origin = |days: u8| Origin {
        registered: Moment(i64::from(days) * 86_400_000 + i64::from(days % 3)),
        source: days.is_multiple_of(2).then(|| "KILDE".to_owned()),
        reason: days.is_multiple_of(5).then(|| "Patch".to_owned()),
    };
    let kind = if a % 10 == 0 {
        IdentifierKind::AlternateIdentificationNumber
    } else {
        IdentifierKind::NationalIdentityNumber
    };
    let own = Identifier {
        number: Packed(10_000_000_000 + u64::from(n)),
        kind,
        in_use: true,
    };
    let _ = p.identifiers.add(own, then(a), origin(a));
    if a % 4 == 0 {
        let old = Identifier {
            number: Packed(40_000_000_000 + u64::from(n)),
            kind: IdentifierKind::DNumber,
            in_use: false,
        };
        let _ = p.identifiers.add(old, then(b), origin(b));
    }
    let middle = pick(&MIDDLE, b);
    let name = Name {
        given: pick(&GIVEN, a).to_owned(),
        middle: (!middle.is_empty()).then(|| middle.to_owned()),
        family: pick(&FAMILY, c).to_owned(),
    };
    let _ = p.name.set(name.clone(), then(c), origin(c));
    if c % 3 == 0 {
        let later = Name {
            family: pick(&FAMILY, d).to_owned(),
            ..name
        };
        let _ = p.name.set(later, then(d), origin(d));
    }
    let birth = Birth {
        date: (e % 9 != 0).then(|| {
            Date::constant(
                1980 + i16::from(e % 3),
                i8::try_from(f % 12 + 1).unwrap(),
                5,
            )
        }),
        year: (e % 18 == 9).then_some(1981),
        place: (e % 7 == 0).then(|| "Lund".to_owned()),
        municipality: (e % 2 == 0).then_some(301),
        country: (e % 7 == 0).then(|| "SWE".to_owned()),
    };
    let _ = p.birth.set(birth, then(e), origin(e));
    let _ = p.gender.set(pick(Gender::ALL, f), then(f), origin(f));
    let _ = p.status.set(pick(PersonStatus::ALL, g), then(g), origin(g));
    if g % 10 == 3 {
        let _ = p.death.set(Date::constant(2020, 2, 29), then(g), origin(g));
    }
    let level = if h % 3 == 0 {
        pick(ProtectionLevel::ALL, h / 3)
    } else {
        ProtectionLevel::Unclassified
    };
    let _ = p.protection.set(level, then(h), origin(h));
    let grading = if i % 6 == 0 {
        ProtectionLevel::ClientAddress
    } else {
        ProtectionLevel::Unclassified
    };
    let _ = p
        .residential
        .set(address(i, j, grading), then(i), origin(i));
    if j % 3 == 0 {
        let _ = p.present.set(
            address(j, i, ProtectionLevel::Unclassified),
            then(j),
            origin(j),
        );
    }
    let _ = p.marital.set(
        Marital {
            status: pick(MaritalStatusType::ALL, k),
            since: (k % 2 == 0).then_some(Date::constant(2001, 1, 1)),
            spouse: (k % 3 == 0).then_some(Packed(10_000_000_999)),
        },
        then(k),
        origin(k),
    );
    for child in 0..(l % 4) {
        let relation = FamilyRelation {
            person: Some(Packed(10_000_000_500 + u64::from(child))),
            role: FamilyRole::Child,
            mine: Some(FamilyRole::Mother),
        };
        let _ = p.family.add(relation, then(l), origin(l));
        let responsibility = Responsibility {
            kind: ResponsibilityType::Joint,
            responsible: None,
            subject: Some(Packed(10_000_000_500 + u64::from(child))),
        };
        let _ = p.parental.add(responsibility, then(l), origin(l));
    }
    let _ = p.citizenship.add("NOR".to_owned(), then(k), origin(k));
    if l % 5 == 0 {
        let mut line = Timeline::default();
        let _ = line.set(
            serde_json::json!({"email": "x@example.org"}),
            then(l),
            origin(l),
        );
        p.other
            .insert(OtherPart::CommonContactRegisterInformation, line);
    }
    p.obey_protection(NOW);
    p
}
