//! The nation as the population register would deliver it: person documents and a feed of events, in the XML of the
//! published schemas (namespaces `folkeregisteret:tilgjengeliggjoering:person:v1` and `…:hendelse:v1`), a document on each line.
//!
//! The fixed people of the story appear in the persons but never in the events: their lives are told elsewhere.

use crate::model::{
    Address, EndReason, Guardianship, Marital, Person, Protection, RelationKind, Status,
};
use crate::rng::{Kind, Stream};
use crate::{Cell, Nation};
use codes::ident::{MonthOffset, NinBuilder, NinKind, Sex};
use jiff::ToSpan as _;
use jiff::civil::Date;
use std::fmt::Write as _;

const PERSON: &str = "folkeregisteret:tilgjengeliggjoering:person:v1";
const EVENT: &str = "folkeregisteret:tilgjengeliggjoering:hendelse:v1";
const SOURCE: &str = "KILDE_SYNTETISK";
/// Numbers of one sex that every date has for certain.
const NUMBERS_A_DAY: u64 = 350;

/// One person document. `None` for visitors with nothing but a help number: the population register does not know them.
#[must_use]
pub fn person(person: &Person, anchor: Date) -> Option<String> {
    if person.nin.kind() == NinKind::Fhn {
        return None;
    }
    let mut xml = format!("<folkeregisterperson xmlns=\"{PERSON}\">");
    entry(
        &mut xml,
        "identifikasjonsnummer",
        Some(person.born),
        None,
        &identifier(person.nin, true),
    );
    let historic = person.historic.iter();
    for old in historic.filter(|old| old.nin.kind() != NinKind::Fhn) {
        let content = identifier(old.nin, false);
        let reason = match old.reason {
            EndReason::Replaced => "Ny identitet",
            EndReason::Merged => "Sammenslåing",
        };
        entry(
            &mut xml,
            "identifikasjonsnummer",
            Some(old.ended),
            Some(reason),
            &content,
        );
    }
    let status = element("status", status(person.status));
    entry(
        &mut xml,
        "status",
        Some(person.died.unwrap_or(person.born)),
        None,
        &status,
    );
    if let Some(day) = person.died {
        entry(
            &mut xml,
            "doedsfall",
            Some(day),
            None,
            &element("doedsdato", &day.to_string()),
        );
    }
    let mut marital = element("sivilstand", marital(person.marital));
    if let Some(spouse) = person.related(RelationKind::Spouse).next() {
        marital += &element("relatertVedSivilstand", spouse.nin.as_str());
    }
    entry(&mut xml, "sivilstand", Some(person.born), None, &marital);
    for relation in &person.relations {
        let role = match relation.kind {
            RelationKind::Mother => "mor",
            RelationKind::Father => "far",
            RelationKind::Child => "barn",
            RelationKind::Sibling => "soesken",
            RelationKind::Spouse | RelationKind::Partner => "ektefelleEllerPartner",
            _ => continue,
        };
        let content = element("relatertPerson", relation.nin.as_str())
            + &element("relatertPersonsRolle", role);
        entry(
            &mut xml,
            "familierelasjon",
            Some(person.born),
            None,
            &content,
        );
    }
    if let Some(home) = person
        .address
        .as_ref()
        .filter(|_| person.protection < Protection::StrictlyConfidential)
    {
        let since = anchor.saturating_sub(3.years());
        let content = residence(home, person.protection, since);
        entry(&mut xml, "bostedsadresse", Some(since), None, &content);
    }
    let level = element("graderingsnivaa", protection(person.protection));
    entry(
        &mut xml,
        "adressebeskyttelse",
        person.protected_since,
        None,
        &level,
    );
    entry(
        &mut xml,
        "kjoenn",
        Some(person.born),
        None,
        &element("kjoenn", sex(person.sex)),
    );
    let citizenship = element("statsborgerskap", "NOR");
    entry(
        &mut xml,
        "statsborgerskap",
        Some(person.born),
        None,
        &citizenship,
    );
    for relation in &person.relations {
        let kind = match relation.kind {
            RelationKind::ResponsibleJoint => "felles",
            RelationKind::ResponsibleAlone => "andre",
            _ => continue,
        };
        let content = element("ansvar", kind) + &element("ansvarlig", relation.nin.as_str());
        entry(
            &mut xml,
            "foreldreansvar",
            Some(person.born),
            None,
            &content,
        );
    }
    let birth = element("foedselsdato", &person.born.to_string())
        + &element("foedselsaar", &person.born.year().to_string())
        + &element("foedeland", "NOR");
    entry(&mut xml, "foedsel", Some(person.born), None, &birth);
    let name = name(
        &person.name.given,
        person.name.middle.as_deref(),
        &person.name.family,
    );
    entry(&mut xml, "navn", Some(person.born), None, &name);
    for guardian in &person.guardianships {
        entry(
            &mut xml,
            "vergemaalEllerFremtidsfullmakt",
            Some(guardian.from),
            None,
            &guardianship(guardian),
        );
    }
    xml.push_str("</folkeregisterperson>");
    Some(xml)
}

/// Event `number` of the feed on a day after the anchor: who and what follow from seed and number alone, so that any part of
/// the feed can be made by itself. Numbers begin at 1. `None` when the nation has nobody to whom it could happen.
///
/// `cells` keeps the cell of the last event: neighbouring numbers are about neighbours.
#[must_use]
pub fn event(
    nation: &Nation,
    number: u64,
    day: Date,
    cells: &mut Option<(u64, Cell)>,
) -> Option<String> {
    /// Events in a row that are about the same cell.
    const IN_A_CELL: u64 = 40;
    let cell_number = (number / IN_A_CELL).wrapping_mul(0x9e37_79b9) % nation.cell_count().max(1);
    if cells
        .as_ref()
        .is_none_or(|(known, _)| *known != cell_number)
    {
        *cells = Some((cell_number, nation.cell(cell_number)));
    }
    let (_, cell) = cells.as_ref()?;
    let mut random = Stream::new(nation.params().seed, Kind::Feed, number);
    let living: Vec<&Person> = cell.persons.iter().filter(|p| p.is_resident()).collect();
    let person = *random.pick(&living)?;
    let neighbour = *random.pick(&living)?;
    // Moves, names, births, deaths, marriages, guardians, protection.
    let kind = random.weighted(&[60, 6, 12, 8, 8, 4, 2]);
    Some(match kind {
        0 => moved(number, person, neighbour, day),
        1 => {
            let name = name(
                &person.name.given,
                person.name.middle.as_deref(),
                &neighbour.name.family,
            );
            feed(
                number,
                person.nin.as_str(),
                "endringINavn",
                day,
                &[("navn", name)],
            )
        }
        2 => born(nation.anchor(), number, person, neighbour, day)?,
        3 => {
            let date = element("doedsdato", &day.to_string());
            let status = element("status", "doed");
            let entries = [("doedsfall", date), ("status", status)];
            feed(number, person.nin.as_str(), "personErDoed", day, &entries)
        }
        4 => {
            let status = element("sivilstand", "gift")
                + &element("sivilstandsdato", &day.to_string())
                + &element("relatertVedSivilstand", neighbour.nin.as_str());
            feed(
                number,
                person.nin.as_str(),
                "endringISivilstand",
                day,
                &[("sivilstand", status)],
            )
        }
        5 => {
            let guardian = Guardianship {
                guardian: neighbour.id,
                nin: neighbour.nin,
                personal: random.chance(7_000),
                financial: true,
                from: day,
            };
            let entries = [("vergemaalEllerFremtidsfullmakt", guardianship(&guardian))];
            feed(
                number,
                person.nin.as_str(),
                "endringIVergemaal",
                day,
                &entries,
            )
        }
        _ => {
            let level = if random.chance(2_000) {
                "strengtFortrolig"
            } else {
                "fortrolig"
            };
            let entries = [("adressebeskyttelse", element("graderingsnivaa", level))];
            feed(
                number,
                person.nin.as_str(),
                "endringIAdressebeskyttelse",
                day,
                &entries,
            )
        }
    })
}

fn moved(number: u64, person: &Person, neighbour: &Person, day: Date) -> String {
    let entries: Vec<(&str, String)> = match &neighbour.address {
        Some(home) => vec![(
            "bostedsadresse",
            residence(home, Protection::Unclassified, day),
        )],
        // Nobody lives anywhere known here: the person leaves the country.
        None => vec![
            ("utflytting", element("tilflyttingsland", "SWE")),
            ("status", element("status", "utflyttet")),
        ],
    };
    feed(
        number,
        person.nin.as_str(),
        "endringIBostedsadresse",
        day,
        &entries,
    )
}

/// A child of two neighbours. Identity numbers of days after the anchor are nobody's yet; the event's own number chooses
/// among them, so a child's number rarely shows the day of birth.
fn born(anchor: Date, number: u64, mother: &Person, home: &Person, day: Date) -> Option<String> {
    let (child_sex, at) = if number.is_multiple_of(2) {
        (Sex::Female, number / 2)
    } else {
        (Sex::Male, number / 2)
    };
    let later = i64::try_from(at / NUMBERS_A_DAY).ok()?;
    let builder = NinBuilder {
        born: anchor.checked_add((later + 1).days()).ok()?,
        sex: child_sex,
        offset: MonthOffset::Plus80,
        dnr: false,
    };
    let nin = builder.nth(usize::try_from(at % NUMBERS_A_DAY).ok()?)?;
    let birth = element("foedselsdato", &day.to_string())
        + &element("foedselsaar", &day.year().to_string())
        + &element("foedeland", "NOR");
    let mut entries = vec![
        ("identifikasjonsnummer", identifier(nin, true)),
        ("status", element("status", "bosatt")),
        ("kjoenn", element("kjoenn", sex(child_sex))),
        ("foedsel", birth),
        (
            "navn",
            name(
                if child_sex == Sex::Female {
                    "Jente"
                } else {
                    "Gutt"
                },
                None,
                &mother.name.family,
            ),
        ),
        (
            "familierelasjon",
            element("relatertPerson", mother.nin.as_str())
                + &element("relatertPersonsRolle", "mor")
                + &element("minRolleForPerson", "barn"),
        ),
        (
            "foreldreansvar",
            element("ansvar", "mor") + &element("ansvarlig", mother.nin.as_str()),
        ),
    ];
    if let Some(home) = &home.address {
        entries.push((
            "bostedsadresse",
            residence(home, Protection::Unclassified, day),
        ));
    }
    Some(feed(
        number,
        nin.as_str(),
        "personErOpprettet",
        day,
        &entries,
    ))
}

/// A feed entry: the number beside the event document.
fn feed(number: u64, nin: &str, kind: &str, day: Date, entries: &[(&str, String)]) -> String {
    let mut xml = format!(
        "<feedhendelse><sekvensnummer>{number}</sekvensnummer><dokumentForHendelse xmlns=\"{EVENT}\">\
         <dokumentidentifikator>{number:032x}</dokumentidentifikator><skjemaversjon>1.4</skjemaversjon><hendelse>"
    );
    xml += &element("folkeregisteridentifikator", nin);
    xml += &element("hendelsestype", kind);
    xml += &element("ajourholdstidspunkt", &instant(day));
    for (name, content) in entries {
        xml.push_str("<egenskapshendelse>");
        entry(&mut xml, name, Some(day), None, content);
        xml += &element("entitet", name);
        xml += &element("entitetsendring", "registrereNy");
        xml.push_str("</egenskapshendelse>");
    }
    xml.push_str("</hendelse></dokumentForHendelse></feedhendelse>");
    xml
}

fn instant(day: Date) -> String {
    format!("{day}T00:00:00Z")
}

/// An entry: metadata first, then what it says.
fn entry(xml: &mut String, name: &str, since: Option<Date>, reason: Option<&str>, content: &str) {
    let _ = write!(xml, "<{name}>");
    if let Some(day) = since {
        xml.push_str(&element("ajourholdstidspunkt", &instant(day)));
    }
    xml.push_str(&element("kilde", SOURCE));
    if let Some(reason) = reason {
        xml.push_str(&element("aarsak", reason));
    }
    if let Some(day) = since {
        xml.push_str(&element("gyldighetstidspunkt", &instant(day)));
    }
    let _ = write!(xml, "{content}</{name}>");
}

fn element(name: &str, text: &str) -> String {
    let mut xml = format!("<{name}>");
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            c => xml.push(c),
        }
    }
    let _ = write!(xml, "</{name}>");
    xml
}

fn group(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

fn identifier(nin: codes::ident::Nin, in_use: bool) -> String {
    let kind = match nin.kind() {
        NinKind::Dnr => "dNummer",
        _ => "foedselsnummer",
    };
    element("status", if in_use { "iBruk" } else { "opphoert" })
        + &element("foedselsEllerDNummer", nin.as_str())
        + &element("identifikatortype", kind)
}

fn name(given: &str, middle: Option<&str>, family: &str) -> String {
    element("fornavn", given)
        + &middle.map_or_else(String::new, |m| element("mellomnavn", m))
        + &element("etternavn", family)
}

fn residence(home: &Address, level: Protection, since: Date) -> String {
    let (street, house) = match home.street.rsplit_once(' ') {
        Some((street, house)) if house.starts_with(|c: char| c.is_ascii_digit()) => (street, house),
        _ => (home.street.as_str(), ""),
    };
    let letter = house.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = house.strip_suffix(letter).unwrap_or(house);
    let mut number = String::new();
    if !digits.is_empty() {
        let mut content = element("husnummer", digits);
        if !letter.is_empty() {
            content += &element("husbokstav", letter);
        }
        number = group("adressenummer", &content);
    }
    let place = element("poststedsnavn", home.place) + &element("postnummer", home.postcode);
    let address = element("kommunenummer", home.municipality)
        + &element("bruksenhetsnummer", "H0101")
        + &element("adressenavn", street)
        + &number
        + &group("poststed", &place);
    group("vegadresse", &address)
        + &element("adressegradering", protection(level))
        + &element("flyttedato", &since.to_string())
}

fn guardianship(guardian: &Guardianship) -> String {
    let scope = match (guardian.personal, guardian.financial) {
        (true, true) => "personligeOgOekonomiskeInteresser",
        (true, false) => "personligeInteresser",
        _ => "oekonomiskeInteresser",
    };
    let content =
        element("foedselsEllerDNummer", guardian.nin.as_str()) + &element("omfang", scope);
    element("vergemaaltype", "voksen")
        + &element("embete", "Statsforvalteren")
        + &group("verge", &content)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Resident => "bosatt",
        Status::Emigrated => "utflyttet",
        Status::Deceased => "doed",
        Status::Temporary => "midlertidig",
        Status::NotResident => "ikkeBosatt",
    }
}

fn marital(marital: Marital) -> &'static str {
    match marital {
        Marital::Unmarried => "ugift",
        Marital::Married => "gift",
        Marital::Widowed => "enkeEllerEnkemann",
        Marital::Divorced => "skilt",
    }
}

fn protection(level: Protection) -> &'static str {
    match level {
        Protection::Unclassified => "ugradert",
        Protection::ClientAddress => "klientadresse",
        Protection::Confidential => "fortrolig",
        Protection::StrictlyConfidential => "strengtFortrolig",
    }
}

fn sex(sex: Sex) -> &'static str {
    match sex {
        Sex::Female => "kvinne",
        Sex::Male => "mann",
    }
}
