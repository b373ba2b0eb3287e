//! What happened before the story's day, as plain values: laboratory reports, notes, letters, critical information,
//! medicines, vaccines, home measurements, look-ups. Turning them into messages and records is for others.
//!
//! All times are local civil times in Norway. Numbers are decimal text with a point, as laboratories send them.
//! [`of`] gives the fixed people their own history, everybody else what [`background`] makes from chronic states.

use codes::ident::{HerId, HprNumber, Orgnr, Sex};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use serde::Serialize;

use crate::Nation;
use crate::model::Person;
use crate::rng::{Kind, Stream};

mod fixed;

/// Everything recorded about one person before the story's day, oldest first in each list.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct History {
    /// Notes of general practice.
    pub notes: Vec<Note>,
    /// Laboratory reports.
    pub reports: Vec<LabReport>,
    /// Letters of hospitals.
    pub letters: Vec<Letter>,
    /// Look-ups by personnel that stand in the log already.
    pub log: Vec<LogLine>,
    /// Critical information.
    pub critical: Vec<Critical>,
    /// Medicines in use.
    pub medicines: Vec<Medicine>,
    /// Vaccinations.
    pub vaccinations: Vec<Vaccination>,
    /// Values measured at home.
    pub measurements: Vec<Measurement>,
}

/// A note.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Note {
    /// When it was written.
    pub written: DateTime,
    /// Who wrote it.
    pub author: HprNumber,
    /// Main and sub unit.
    pub organisation: (Orgnr, Orgnr),
    /// ICPC-2 code.
    pub icpc: Option<&'static str>,
    /// ICD-10 code.
    pub icd: Option<&'static str>,
    /// Text, bokmål.
    pub text: &'static str,
    /// Restriction of list 9603.
    pub restriction: Option<&'static str>,
}

/// A laboratory report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LabReport {
    /// The laboratory's own number of the report.
    pub number: String,
    /// When the sample was taken.
    pub collected: DateTime,
    /// When the report was issued.
    pub issued: DateTime,
    /// HER-id of the laboratory.
    pub laboratory: HerId,
    /// Who ordered it.
    pub ordered_by: Option<HprNumber>,
    /// Sub unit of the one who ordered it.
    pub ordered_at: Option<Orgnr>,
    /// Who signed it.
    pub signed_by: Option<HprNumber>,
    /// Results.
    pub analyses: Vec<Analysis>,
}

/// One result.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Analysis {
    /// NLK code; `codes::lab::analyte` knows name, unit and range.
    pub code: &'static str,
    /// The value.
    pub value: Value,
    /// Deviation marker of list 8244: 1 above, 2 below.
    pub deviation: Option<&'static str>,
}

/// A result's value.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum Value {
    /// A number with decimal point, and the comparator of list 8239 (`GT`, `LT`) if there is one.
    Number(String, Option<&'static str>),
    /// Words.
    Text(&'static str),
}

/// A letter.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Letter {
    /// When it was written.
    pub written: DateTime,
    /// Who wrote it.
    pub author: HprNumber,
    /// HER-id of the sender.
    pub sender: HerId,
    /// Document type of list 9602.
    pub kind: &'static str,
    /// ICD-10 codes, the main one first.
    pub icd: &'static [&'static str],
    /// Text, bokmål.
    pub text: &'static str,
}

/// A look-up that stands in the person's log.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LogLine {
    /// When (`occurred_at`).
    pub when: DateTime,
    /// Who.
    pub actor: HprNumber,
    /// Category of list 9060 under which they acted.
    pub role: &'static str,
    /// Main and sub unit.
    pub organisation: (Orgnr, Orgnr),
    /// Department in words.
    pub department: Option<&'static str>,
    /// Access basis.
    pub basis: &'static str,
    /// Part that was opened.
    pub part: &'static str,
}

/// Critical information.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Critical {
    /// When it was registered.
    pub registered: DateTime,
    /// Who registered it; absent for what the citizen wrote.
    pub author: Option<HprNumber>,
    /// What it is.
    pub kind: CriticalKind,
    /// Whether it is confirmed.
    pub confirmed: bool,
    /// Remark.
    pub note: Option<&'static str>,
}

/// Kinds of critical information that the story needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum CriticalKind {
    /// Other allergy, code of list 7514.
    Allergy(&'static str),
    /// Reaction to a medicine, ATC code.
    Medicine(&'static str),
    /// Implant or device (category 7).
    Device(&'static str),
    /// Treatment clarification (category 8), valid until a day.
    Clarification(Date),
}

/// A medicine in use.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Medicine {
    /// ATC code.
    pub atc: &'static str,
    /// Strength and dose as printed.
    pub dose: &'static str,
    /// First prescribed.
    pub since: Date,
    /// Prescriber.
    pub prescriber: HprNumber,
}

/// A vaccination.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Vaccination {
    /// ATC code.
    pub atc: &'static str,
    /// Day.
    pub given: Date,
}

/// A value measured at home.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Measurement {
    /// When.
    pub when: DateTime,
    /// LOINC code.
    pub loinc: &'static str,
    /// Value with decimal point.
    pub value: String,
    /// Unit, UCUM.
    pub ucum: &'static str,
}

/// The history of a person: the story's for the eight, generated for the rest.
#[must_use]
pub fn of(nation: &Nation, person: &Person) -> History {
    fixed::of(nation, person).unwrap_or_else(|| background(nation, person))
}

/// A number as a value, with its marker.
pub(crate) fn result(
    code: &'static str,
    value: impl Into<String>,
    deviation: Option<&'static str>,
) -> Analysis {
    Analysis {
        code,
        value: Value::Number(value.into(), None),
        deviation,
    }
}

/// The day so many months before the anchor.
pub(crate) fn months_before(anchor: Date, months: i32) -> Date {
    anchor.checked_sub(months.months()).unwrap_or(anchor)
}

pub(crate) fn days_before(anchor: Date, days: i32) -> Date {
    anchor.checked_sub(days.days()).unwrap_or(anchor)
}

/// Chronic states of general practice, ICPC-2, that a person of the background has.
#[must_use]
pub fn chronic(nation: &Nation, person: &Person) -> Vec<&'static str> {
    let mut random = Stream::new(nation.params().seed, Kind::History, u64::from(person.id.0));
    let age = person.age_on(nation.anchor());
    // (code, share of 10 000 at this age); children have asthma or type 1 diabetes at most
    let shares: [(&'static str, u64); 6] = [
        ("K86", if age >= 40 { 1_800 } else { 0 }),
        ("T90", if age >= 30 { 900 } else { 0 }),
        ("T89", 60),
        (
            "K78",
            match age {
                80.. => 1_300,
                55.. => 400,
                _ => 20,
            },
        ),
        ("K77", if age >= 60 { 700 } else { 10 }),
        ("R96", 600),
    ];
    let mut found = Vec::new();
    for (code, share) in shares {
        // draw for every code, so that a birthday does not change the ones after it
        if random.chance(share) {
            found.push(code);
        }
    }
    found
}

/// Laboratory history of a background person over the last year: about 1 result a year for children, 4 for the young, 9
/// from fifty, 22 from seventy, more of what a chronic state asks for.
#[must_use]
pub fn background(nation: &Nation, person: &Person) -> History {
    let age = person.age_on(nation.anchor());
    let wanted = match age {
        ..18 => 1,
        18..50 => 4,
        50..70 => 9,
        _ => 22,
    };
    let states = chronic(nation, person);
    let mut random = Stream::new(
        nation.params().seed,
        Kind::History,
        u64::from(person.id.0) | 1 << 40,
    );
    let ordered_by = person
        .gp
        .as_ref()
        .and_then(|g| g.hpr.or(g.substitutes.first().map(|s| s.hpr)));
    let ordered_at = person.gp.as_ref().map(|g| g.office);
    let (laboratory, signed_by) = laboratory(nation, person);
    let mut history = History::default();
    let mut made = 0;
    let mut number = 0_u32;
    // each report has two to six results; the last one may go a little over
    while made < wanted && person.is_resident() {
        let size = 2 + random.index(5);
        // half of the people have none this year, others twice as many
        if age < 50 && random.chance(5_000) {
            break;
        }
        let day = days_before(
            nation.anchor(),
            1 + i32::try_from(random.below(364)).unwrap_or(0),
        );
        let panel = panel(&states, size, &mut random);
        number += 1;
        let hour = i8::try_from(8 + random.below(6)).unwrap_or(8);
        let collected = day.at(hour, 15, 0, 0);
        made += panel.len();
        history.reports.push(LabReport {
            number: format!("LAB-{}-{:07}-{number}", day.year(), person.id.0),
            collected,
            issued: collected.checked_add(5.hours()).unwrap_or(collected),
            laboratory,
            ordered_by,
            ordered_at,
            signed_by,
            analyses: panel
                .into_iter()
                .map(|code| draw(code, person.sex, &states, &mut random))
                .collect(),
        });
    }
    history.reports.sort_by_key(|r| r.collected);
    history
}

/// The region's hospital laboratory in the south, Isbre in the north.
fn laboratory(nation: &Nation, person: &Person) -> (HerId, Option<HprNumber>) {
    let isbre = nation.organisation_by_key("isbre");
    let fixed = isbre
        .and_then(|o| o.service(8660, "L03"))
        .map_or(HerId(8_900_401), |p| p.her_id);
    let lien = nation.practitioner_by_key("lien").and_then(|p| p.hpr);
    let town = person.address.as_ref().map_or("5501", |a| a.municipality);
    let region = |m: &str| {
        codes::places::municipality(m)
            .and_then(|m| m.county())
            .map(|c| c.region)
    };
    if region(town) == Some(codes::places::Region::Nord) {
        return (fixed, lien);
    }
    let hospital = nation
        .directory
        .organisations
        .iter()
        .filter(|o| region(o.municipality) == region(town))
        .find_map(|o| o.service(8660, "L03"));
    hospital.map_or((fixed, lien), |p| (p.her_id, None))
}

/// Which analyses are ordered.
fn panel(states: &[&'static str], size: usize, random: &mut Stream) -> Vec<&'static str> {
    let mut codes: Vec<&'static str> = Vec::new();
    for state in states {
        codes.extend_from_slice(match *state {
            "T90" | "T89" => &["NPU27300", "NOR15260", "NPU04998"],
            "K77" => &["NPU21571", "NPU03230", "NPU04998"],
            "K78" => &["NPU03230", "NPU27547"],
            "K86" => &["NPU04998", "NPU03230", "NPU03429"],
            _ => &[],
        });
    }
    const COMMON: [&str; 10] = [
        "NOR05172", "NPU19748", "NPU04998", "NOR25909", "NPU27300", "NPU01568", "NPU27547",
        "NPU19763", "NPU03429", "NPU03230",
    ];
    while codes.len() < size {
        codes.push(random.pick(&COMMON).copied().unwrap_or("NOR05172"));
    }
    let mut unique: Vec<&'static str> = Vec::new();
    for code in codes {
        if !unique.contains(&code) {
            unique.push(code);
        }
    }
    unique.truncate(size);
    unique
}

/// Value, limits and spread of an analysis, in units of its last decimal.
struct Spread {
    decimals: usize,
    mean: f64,
    sd: f64,
    low: Option<f64>,
    high: Option<f64>,
}

fn spread(code: &str, sex: Sex, states: &[&'static str]) -> Spread {
    let man = sex == Sex::Male;
    let diabetic = states.iter().any(|s| matches!(*s, "T89" | "T90"));
    let failing = states.contains(&"K77");
    let (decimals, mean, sd, low, high) = match code {
        "NOR05172" if man => (1, 15.0, 1.0, Some(13.4), Some(17.0)),
        "NOR05172" => (1, 13.3, 1.0, Some(11.7), Some(15.3)),
        "NPU19748" => (0, 2.5, 2.5, None, Some(4.0)),
        "NPU04998" if man => (0, 82.0, 13.0, Some(60.0), Some(105.0)),
        "NPU04998" => (0, 66.0, 12.0, Some(45.0), Some(90.0)),
        "NOR25909" => (0, 88.0, 14.0, Some(60.0), None),
        "NPU27300" => (
            0,
            if diabetic { 56.0 } else { 36.0 },
            if diabetic { 10.0 } else { 3.5 },
            Some(20.0),
            Some(42.0),
        ),
        "NPU01568" => (1, 3.2, 0.8, Some(1.2), Some(4.3)),
        "NPU27547" => (1, 1.9, 0.9, Some(0.3), Some(4.5)),
        "NPU19763" => (0, 80.0, 40.0, Some(15.0), Some(200.0)),
        "NPU03429" => (0, 140.0, 2.0, Some(137.0), Some(144.0)),
        "NPU03230" => (1, 4.0, 0.3, Some(3.5), Some(4.4)),
        "NPU21571" => (
            0,
            if failing { 1_400.0 } else { 110.0 },
            if failing { 700.0 } else { 60.0 },
            None,
            Some(300.0),
        ),
        "NOR15260" => (1, 1.6, 1.2, None, Some(3.0)),
        _ => (1, 1.0, 0.1, None, None),
    };
    Spread {
        decimals,
        mean,
        sd,
        low,
        high,
    }
}

fn draw(code: &'static str, sex: Sex, states: &[&'static str], random: &mut Stream) -> Analysis {
    let s = spread(code, sex, states);
    let floor = if s.decimals == 0 { 1.0 } else { 0.1 };
    let value = random.normal(s.mean, s.sd).max(floor);
    let text = format!("{value:.*}", s.decimals);
    // the marker belongs to the printed value
    let printed: f64 = text.parse().unwrap_or(value);
    let deviation = if s.high.is_some_and(|h| printed > h) {
        Some("1")
    } else if s.low.is_some_and(|l| printed < l) {
        Some("2")
    } else {
        None
    };
    result(code, text, deviation)
}
