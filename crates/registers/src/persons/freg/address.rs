//! Addresses of the population register.

use super::tree::Tree;
use super::{Wrong, code, date, needed_code, number};
use crate::persons::codes::{AddressForm, ProtectionLevel, StayElsewhere};
use crate::persons::document::{Abroad, Address};

/// Gradings by their names upstream.
pub(super) const GRADINGS: &[(&str, ProtectionLevel)] = &[
    ("ugradert", ProtectionLevel::Unclassified),
    ("klientadresse", ProtectionLevel::ClientAddress),
    ("fortrolig", ProtectionLevel::Confidential),
    ("strengtFortrolig", ProtectionLevel::StrictlyConfidential),
];
const ELSEWHERE: &[(&str, StayElsewhere)] = &[
    ("militaer", StayElsewhere::Military),
    ("utenriks", StayElsewhere::Abroad),
    ("paaSvalbard", StayElsewhere::OnSvalbard),
    ("pendler", StayElsewhere::Commuter),
];

fn blank(grading: ProtectionLevel) -> Address {
    Address {
        form: AddressForm::UnknownResidence,
        street: String::new(),
        number: String::new(),
        letter: String::new(),
        unit: String::new(),
        care_of: String::new(),
        postcode: 0,
        place: String::new(),
        municipality: 0,
        district: None,
        basic_unit: None,
        moved: None,
        grading,
        abroad: None,
        elsewhere: None,
    }
}

/// A residential, present or shared address.
pub(super) fn read(tree: &Tree) -> Result<Address, Wrong> {
    let grading = needed_code(tree, "adressegradering", GRADINGS)?;
    let mut address = if let Some(street) = tree.one("vegadresse") {
        street_address(street, grading)?
    } else if let Some(cadastral) = tree.one("matrikkeladresse") {
        cadastral_address(cadastral, grading)?
    } else if let Some(foreign) = tree.one("utenlandskAdresse") {
        foreign_address(foreign, grading)?
    } else {
        let mut address = blank(grading);
        if let Some(unknown) = tree.one("ukjentBosted") {
            address.municipality = number(unknown, "bostedskommune")?.unwrap_or(0);
        }
        address
    };
    address.moved = match date(tree, "flyttedato")? {
        Some(day) => Some(day),
        None => date(tree, "oppholdsadressedato")?,
    };
    address.basic_unit = number(tree, "grunnkrets")?;
    address.elsewhere = code(tree, "oppholdAnnetSted", ELSEWHERE)?;
    Ok(address)
}

fn foreign_address(tree: &Tree, grading: ProtectionLevel) -> Result<Address, Wrong> {
    let country = tree.text("landkode").ok_or(Wrong::Missing("landkode"))?;
    if !(2..=3).contains(&country.len()) || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Wrong::Value("landkode"));
    }
    let mut address = blank(grading);
    address.form = AddressForm::Foreign;
    address.street = text(tree, "adressenavn");
    address.place = text(tree, "byEllerStedsnavn");
    address.care_of = text(tree, "coAdressenavn");
    address.abroad = Some(Box::new(Abroad {
        building: text(tree, "bygning"),
        floor: text(tree, "etasjenummer"),
        unit: text(tree, "boenhet"),
        post_box: text(tree, "postboks"),
        postcode: text(tree, "postkode"),
        district: text(tree, "distriktsnavn"),
        region: text(tree, "region"),
        country: country.to_owned(),
    }));
    Ok(address)
}

fn street_address(tree: &Tree, grading: ProtectionLevel) -> Result<Address, Wrong> {
    let mut address = blank(grading);
    address.form = AddressForm::Street;
    address.municipality = number(tree, "kommunenummer")?.unwrap_or(0);
    address.street = text(tree, "adressenavn");
    if let Some(house) = tree.one("adressenummer") {
        address.number = text(house, "husnummer");
        address.letter = text(house, "husbokstav");
    }
    common(&mut address, tree)?;
    Ok(address)
}

fn cadastral_address(tree: &Tree, grading: ProtectionLevel) -> Result<Address, Wrong> {
    let mut address = blank(grading);
    address.form = AddressForm::Cadastral;
    address.street = text(tree, "adressetilleggsnavn");
    let property = tree
        .one("matrikkelnummer")
        .ok_or(Wrong::Missing("matrikkelnummer"))?;
    address.municipality = number(property, "kommunenummer")?.unwrap_or(0);
    let part = |name| number::<u32>(property, name).map(|n| n.unwrap_or(0));
    address.number = format!(
        "{}/{}/{}/{}",
        part("gaardsnummer")?,
        part("bruksnummer")?,
        part("festenummer")?,
        number::<u32>(tree, "undernummer")?.unwrap_or(0)
    );
    common(&mut address, tree)?;
    Ok(address)
}

fn common(address: &mut Address, tree: &Tree) -> Result<(), Wrong> {
    address.unit = text(tree, "bruksenhetsnummer");
    address.care_of = text(tree, "coAdressenavn");
    if let Some(place) = tree.one("poststed") {
        address.place = text(place, "poststedsnavn");
        address.postcode = number(place, "postnummer")?.unwrap_or(0);
    }
    Ok(())
}

fn text(tree: &Tree, name: &str) -> String {
    tree.text(name).unwrap_or_default().to_owned()
}
