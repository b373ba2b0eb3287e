//! The history of the eight people of the story, as the story's timelines state it ("Before D").

use codes::ident::{HerId, HprNumber, Orgnr};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, ToSpan as _};

use super::{
    Analysis, Critical, CriticalKind, History, LabReport, Letter, LogLine, Measurement, Medicine,
    Note, Vaccination, days_before, months_before, result,
};
use crate::Nation;
use crate::model::Person;

/// HER-ids of the story's laboratories and of the heart department.
const ISBRE: HerId = HerId(8_900_401);
const HOSPITAL_LAB: HerId = HerId(8_900_307);
const HEART: HerId = HerId(8_900_301);
const ENDOCRINOLOGY: HerId = HerId(8_900_302);

pub(super) fn of(nation: &Nation, person: &Person) -> Option<History> {
    let hub = nation.organisation_by_key("navet")?;
    let teller = Teller {
        nation,
        d: nation.anchor(),
        nobody: (hub.orgnr, hub.child()),
    };
    Some(match person.story? {
        "blokk" => teller.blokk(),
        "hjerte" => teller.hjerte(),
        "allergi" => teller.allergi(),
        "seksten" => teller.seksten(),
        "barn" => teller.barn(),
        "skjult" => History::default(),
        "diabetes" => teller.diabetes(),
        "reise" => teller.reise(),
        _ => return None,
    })
}

struct Teller<'a> {
    nation: &'a Nation,
    d: Date,
    /// Stands in where a key names nobody with a place of work; no row does.
    nobody: (Orgnr, Orgnr),
}

impl Teller<'_> {
    fn month(&self, months: i32) -> Date {
        months_before(self.d, months)
    }

    fn hpr(&self, key: &str) -> HprNumber {
        self.nation
            .practitioner_by_key(key)
            .and_then(|p| p.hpr)
            .unwrap_or(HprNumber(0))
    }

    fn workplace(&self, key: &str) -> (Orgnr, Orgnr) {
        let place = self
            .nation
            .practitioner_by_key(key)
            .and_then(|p| p.workplaces.first());
        place.map(|w| (w.parent, w.child)).unwrap_or(self.nobody)
    }

    fn note(
        &self,
        author: &str,
        written: DateTime,
        icpc: Option<&'static str>,
        text: &'static str,
    ) -> Note {
        Note {
            written,
            author: self.hpr(author),
            organisation: self.workplace(author),
            icpc,
            icd: None,
            text,
            restriction: None,
        }
    }

    fn report(
        &self,
        number: &str,
        day: Date,
        laboratory: HerId,
        ordered_by: &str,
        analyses: Vec<Analysis>,
    ) -> LabReport {
        let collected = day.at(8, 40, 0, 0);
        LabReport {
            number: number.replace("{year}", &day.year().to_string()),
            collected,
            issued: collected
                .checked_add(SignedDuration::from_hours(4))
                .unwrap_or(collected),
            laboratory,
            ordered_by: Some(self.hpr(ordered_by)),
            ordered_at: Some(self.workplace(ordered_by).1),
            signed_by: (laboratory == ISBRE).then(|| self.hpr("lien")),
            analyses,
        }
    }

    fn look_up(&self, actor: &str, when: DateTime, basis: &'static str) -> LogLine {
        let practitioner = self.nation.practitioner_by_key(actor);
        LogLine {
            when,
            actor: self.hpr(actor),
            role: practitioner
                .and_then(|p| p.authorisations.first())
                .map_or("LE", |a| a.role),
            organisation: self.workplace(actor),
            department: practitioner
                .and_then(|p| p.workplaces.first())
                .and_then(|w| w.department),
            basis,
            part: "Kjernejournal",
        }
    }

    /// Kari: palpitations nine months ago, two normal results, and two look-ups that nobody asked for.
    fn blokk(&self) -> History {
        History {
            notes: vec![self.note(
                "solberg",
                self.month(9).at(10, 20, 0, 0),
                Some("K04"),
                "Anfall med hjertebank siste uker, varer noen minutter. EKG: sinusrytme, normalt. Tar kontakt ved nye anfall.",
            )],
            reports: vec![self.report(
                "ISB-{year}-000102",
                self.month(3),
                ISBRE,
                "solberg",
                vec![result("NOR05172", "12.9", None), result("NPU27547", "2.1", None)],
            )],
            log: vec![
                self.look_up("moen", days_before(self.d, 12).at(21, 47, 0, 0), "SAMTYKKE"),
                self.look_up("moen", days_before(self.d, 5).at(22, 13, 0, 0), "SAMTYKKE"),
            ],
            ..History::default()
        }
    }

    /// Solveig: a year of INR, NT-proBNP on the way up, ten days of weight.
    fn hjerte(&self) -> History {
        const INR: [(i32, &str, Option<&str>); 12] = [
            (12, "2.4", Some("1")),
            (11, "2.6", Some("1")),
            (10, "2.2", Some("1")),
            (9, "2.9", Some("1")),
            (8, "3.4", Some("1")),
            (7, "2.7", Some("1")),
            (6, "2.5", Some("1")),
            (5, "2.1", Some("1")),
            (4, "1.8", Some("1")),
            (3, "2.4", Some("1")),
            (2, "2.6", Some("1")),
            (1, "2.8", Some("1")),
        ];
        let reports = INR
            .into_iter()
            .map(|(month, value, marker)| {
                let mut analyses = vec![result("NPU01685", value, marker)];
                match month {
                    12 => analyses.push(result("NPU21571", "1450", Some("1"))),
                    6 => analyses.push(result("NPU21571", "2100", Some("1"))),
                    1 => analyses.push(result("NPU21571", "3900", Some("1"))),
                    _ => {}
                }
                self.report(
                    &format!("ISB-{{year}}-0002{month:02}"),
                    self.month(month),
                    ISBRE,
                    "solberg",
                    analyses,
                )
            })
            .collect();
        History {
            notes: vec![self.note(
                "solberg",
                self.month(1).at(9, 30, 0, 0),
                Some("K77"),
                "Kontroll. Stabil, men mer sliten. Vekt følges hjemme. INR i målområdet.",
            )],
            reports,
            letters: vec![Letter {
                written: self.month(40).at(14, 0, 0, 0),
                author: self.hpr("saether"),
                sender: HEART,
                kind: "A03-2",
                icd: &["I482", "I509", "Z950"],
                text: "Permanent atrieflimmer med langsom ventrikkelfrekvens. Pacemaker innlagt uten komplikasjoner, MR-betinget.",
            }],
            log: vec![self.look_up("nygard", self.month(2).at(8, 5, 0, 0), "SAMTYKKE")],
            critical: vec![
                Critical {
                    registered: self.month(40).at(15, 0, 0, 0),
                    author: Some(self.hpr("saether")),
                    kind: CriticalKind::Device("Pacemaker"),
                    confirmed: true,
                    note: Some("MR-betinget"),
                },
                Critical {
                    registered: self.month(6).at(13, 15, 0, 0),
                    author: Some(self.hpr("saether")),
                    kind: CriticalKind::Clarification(
                        self.d.checked_add(300.days()).unwrap_or(self.d),
                    ),
                    confirmed: true,
                    note: Some("Behandlingsavklaring gjort i samråd med pasienten"),
                },
            ],
            medicines: vec![
                self.medicine("B01AA03", "2,5 mg etter INR", 48, "solberg"),
                self.medicine("C07AB02", "50 mg x 1", 48, "saether"),
                self.medicine("C03CA01", "40 mg x 1", 36, "saether"),
                self.medicine("C03DA01", "25 mg x 1", 20, "saether"),
                self.medicine("C09AA05", "5 mg x 1", 36, "saether"),
            ],
            vaccinations: vec![Vaccination {
                atc: "J07BB02",
                given: self.month(1),
            }],
            measurements: (1..=20)
                .rev()
                .map(|days| {
                    // 68.0 kg until ten days ago, then 0.4 kg a day; the morning of D makes it 71.8 or so
                    let gained = i32::max(0, 10 - days) * 4;
                    let grams = 680 + gained;
                    self.measurement(
                        days_before(self.d, days).at(7, 30, 0, 0),
                        "29463-7",
                        grams,
                        "kg",
                    )
                })
                .collect(),
        }
    }

    /// Ida: anaphylaxis twice; her own entries confirmed by the GP; an old, unconfirmed penicillin allergy.
    fn allergi(&self) -> History {
        let own = self.month(8).at(20, 10, 0, 0);
        let confirmed = self.month(7).at(11, 0, 0, 0);
        let entry = |registered, author, kind, confirmed, note| Critical {
            registered,
            author,
            kind,
            confirmed,
            note,
        };
        let child = Date::constant(2001, 4, 17).at(12, 0, 0, 0);
        History {
            notes: vec![self.note(
                "amundsen",
                confirmed,
                Some("A92"),
                "Anafylaksi etter vepsestikk som 14-åring og etter peanøtt som 19-åring. Bekreftes som kritisk informasjon. Har adrenalinpenn.",
            )],
            critical: vec![
                entry(child, None, CriticalKind::Medicine("J01CE02"), false, Some("Utslett som barn")),
                entry(own, None, CriticalKind::Allergy("13"), false, Some("Registrert av pasienten selv, har adrenalinpenn")),
                entry(own, None, CriticalKind::Allergy("10"), false, Some("Registrert av pasienten selv")),
                entry(confirmed, Some(self.hpr("amundsen")), CriticalKind::Allergy("13"), true, Some("Anafylaksi")),
                entry(confirmed, Some(self.hpr("amundsen")), CriticalKind::Allergy("10"), true, Some("Anafylaksi")),
            ],
            medicines: vec![self.medicine("C01CA24", "0,3 mg autoinjektor ved behov", 90, "amundsen")],
            ..History::default()
        }
    }

    /// Sunniva: a vaccine at 12, a broken wrist at 11, a note that parents must not see.
    fn seksten(&self) -> History {
        let birthday = self
            .nation
            .person_by_key("seksten")
            .map_or(self.d, |p| p.born);
        let at_age = |years: i16| birthday.checked_add(years.years()).unwrap_or(self.d);
        let wrist = at_age(11).checked_add(100.days()).unwrap_or(self.d);
        History {
            notes: vec![Note {
                icd: None,
                restriction: Some("NORN_FORANS"),
                ..self.note(
                    "moe",
                    self.month(3).at(13, 0, 0, 0),
                    Some("P74"),
                    "Samtale om uro og søvn. Ønsker at foreldrene ikke får innsyn i samtalene.",
                )
            }],
            letters: vec![Letter {
                written: wrist.at(16, 0, 0, 0),
                author: self.hpr("knutsen"),
                sender: HerId(8_900_311),
                kind: "A03-2",
                icd: &["S525"],
                text: "Falt på ski. Brudd i distale radius, gipset. Kontroll om to uker.",
            }],
            medicines: vec![self.medicine("G03AA07", "1 tablett daglig", 2, "henriksen")],
            vaccinations: vec![Vaccination {
                atc: "J07BM03",
                given: at_age(12).checked_add(60.days()).unwrap_or(self.d),
            }],
            ..History::default()
        }
    }

    /// Emil: asthma, peanut.
    fn barn(&self) -> History {
        History {
            notes: vec![self.note(
                "eide",
                self.month(4).at(9, 0, 0, 0),
                Some("R96"),
                "Astma, god kontroll på budesonid.",
            )],
            critical: vec![Critical {
                registered: self.month(30).at(10, 30, 0, 0),
                author: Some(self.hpr("pedersen")),
                kind: CriticalKind::Allergy("10"),
                confirmed: true,
                note: Some("Peanøtt"),
            }],
            medicines: vec![
                self.medicine("R03BA02", "100 mikrog x 2", 24, "pedersen"),
                self.medicine("R03AC02", "ved behov", 24, "pedersen"),
            ],
            vaccinations: vec![Vaccination {
                atc: "J07BD52",
                given: Date::constant(2019, 6, 11),
            }],
            ..History::default()
        }
    }

    /// Máhtto: type 1 diabetes found ten months ago, HbA1c on the way down, two weeks of sensor values.
    fn diabetes(&self) -> History {
        let onset = vec![
            result("NPU02192", "31.2", Some("1")),
            result("NPU02424", "5.8", Some("1")),
            result("NPU27300", "86", Some("1")),
        ];
        let follow_up = |month: i32, hba1c: &'static str| {
            let mut analyses = vec![result("NPU27300", hba1c, Some("1"))];
            if month == 1 {
                analyses.push(result("NPU01568", "2.6", None));
                analyses.push(result("NOR15260", "2.1", None));
            }
            self.report(
                &format!("ISB-{{year}}-0007{month:02}"),
                self.month(month),
                ISBRE,
                "somby",
                analyses,
            )
        };
        let first = self.report(
            "NLY-{year}-004410",
            self.month(10),
            HOSPITAL_LAB,
            "iversen",
            onset,
        );
        let start = days_before(self.d, 14).at(0, 0, 0, 0);
        History {
            reports: vec![
                first,
                follow_up(7, "72"),
                follow_up(4, "63"),
                follow_up(1, "58"),
            ],
            letters: vec![Letter {
                written: self.month(10).at(15, 0, 0, 0),
                author: self.hpr("iversen"),
                sender: ENDOCRINOLOGY,
                kind: "A03-2",
                icd: &["E101"],
                text: "Nyoppdaget diabetes type 1 med ketoacidose. Insulin startet. Opplæring gitt på norsk med samisk tolk.",
            }],
            medicines: vec![
                self.medicine("A10AB05", "til måltid", 10, "iversen"),
                self.medicine("A10AE06", "18 E kveld", 10, "iversen"),
                self.medicine("H04AA01", "ved lavt blodsukker", 10, "iversen"),
            ],
            measurements: (0..1_344)
                .map(|quarter| {
                    let when = start
                        .checked_add(SignedDuration::from_mins(15 * quarter))
                        .unwrap_or(start);
                    self.measurement(when, "15074-8", glucose(quarter), "mmol/L")
                })
                .collect(),
            ..History::default()
        }
    }

    /// Amina: her time under the D-number, the birth of Sumaya.
    fn reise(&self) -> History {
        History {
            notes: vec![self.note(
                "henriksen",
                self.month(47).at(10, 0, 0, 0),
                Some("A98"),
                "Tuberkuloseundersøkelse etter ankomst, negativ.",
            )],
            reports: vec![
                self.report(
                    "ISB-{year}-000801",
                    self.month(46),
                    ISBRE,
                    "henriksen",
                    vec![
                        result("NOR05172", "12.4", None),
                        result("NPU19748", "1", None),
                    ],
                ),
                self.report(
                    "ISB-{year}-000802",
                    self.month(32),
                    ISBRE,
                    "henriksen",
                    vec![
                        result("NPU19763", "18", None),
                        result("NOR05172", "12.1", None),
                    ],
                ),
            ],
            letters: vec![Letter {
                written: days_before(self.d, 172).at(12, 0, 0, 0),
                author: self.hpr("lie"),
                sender: HerId(8_900_311),
                kind: "A03-2",
                icd: &[],
                text: "Normal fødsel, frisk jente. Hjem etter to døgn.",
            }],
            ..History::default()
        }
    }

    fn medicine(
        &self,
        atc: &'static str,
        dose: &'static str,
        months: i32,
        prescriber: &str,
    ) -> Medicine {
        Medicine {
            atc,
            dose,
            since: self.month(months),
            prescriber: self.hpr(prescriber),
        }
    }

    fn measurement(
        &self,
        when: DateTime,
        loinc: &'static str,
        tenths: i32,
        ucum: &'static str,
    ) -> Measurement {
        Measurement {
            when,
            loinc,
            value: format!("{}.{}", tenths / 10, tenths % 10),
            ucum,
        }
    }
}

/// A day's glucose in tenths of mmol/L: three meals, quiet nights, a slow drift from day to day. Integers only.
fn glucose(quarter: i64) -> i32 {
    let of_day = quarter % 96;
    let day = quarter / 96;
    let base = 62 + i32::try_from((day * 7) % 11).unwrap_or(0);
    // meals at 07:30, 12:00 and 18:00 raise for three hours
    let meal = [30, 48, 72]
        .into_iter()
        .filter_map(|start| {
            let since = of_day - start;
            (0..12)
                .contains(&since)
                .then(|| i32::try_from(since * (12 - since) * 2).unwrap_or(0))
        })
        .sum::<i32>();
    let ripple = i32::try_from((quarter * 37) % 9).unwrap_or(0) - 4;
    base + meal + ripple
}
