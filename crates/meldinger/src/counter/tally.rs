//! The numbers as values: what a version of a track adds, and how numbers are added up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use codes::oid::LIST_MESSAGE_FUNCTION;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::told::Told;
use crate::port::Transport;
use crate::rules::track::Counted;

/// Most rows of one sheet; what comes beyond is counted in one row without parties and names.
const MAX_ROWS: usize = 20_000;
/// Most different conditions of one row.
const MAX_CONDITIONS: usize = 40;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Numbers of messages and of what became of them.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Counts {
            $($(#[$doc])* #[serde(skip_serializing_if = "is_zero")] pub $name: u64,)+
        }

        impl Counts {
            /// Names, in the order of the columns.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// The numbers, in the order of the columns.
            #[must_use]
            pub fn values(&self) -> Vec<u64> {
                vec![$(self.$name),+]
            }

            /// Adds.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)+
            }
        }
    };
}

counts! {
    /// Messages, receipts and repetitions included.
    messages,
    /// Their bytes.
    bytes,
    /// Of these, the same again.
    duplicates,
    /// Taken by their receivers.
    delivered,
    /// Positive transport receipts.
    acknowledged,
    /// Negative transport receipts.
    transport_refused,
    /// AppRec: accepted.
    receipts_ok,
    /// AppRec: accepted in part.
    receipts_in_part,
    /// AppRec: rejected.
    receipts_rejected,
    /// AppRec that only the sender can read.
    receipts_sealed,
    /// Without AppRec after 96 hours.
    overdue,
    /// Refused by a check, here or at the receiver.
    refused,
    /// Given up: dead letters, expired, resends used up.
    undeliverable,
}

impl Counts {
    /// Everything that somebody has to look at.
    #[must_use]
    pub fn errors(&self) -> u64 {
        [
            self.transport_refused,
            self.receipts_rejected,
            self.overdue,
            self.refused,
            self.undeliverable,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

// The signature serde asks for.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What a row counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kind {
    /// How it came.
    #[serde(rename = "t")]
    pub transport: Transport,
    /// Function (8279); empty: uncategorised.
    #[serde(rename = "f")]
    pub function: String,
    /// Namespace of the document.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Version, as the envelope says it.
    #[serde(rename = "v", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Sender's system.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Sender, level 2; 0 in sheets of hours.
    #[serde(rename = "a")]
    pub from: u32,
    /// Receiver, level 2; 0 in sheets of hours, or unknown.
    #[serde(rename = "b")]
    pub to: u32,
    /// Receiver, level 1.
    #[serde(rename = "o")]
    pub to_organisation: u32,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    #[serde(flatten)]
    pub kind: Kind,
    #[serde(rename = "c")]
    pub counts: Counts,
    /// Conditions and codes, how often.
    #[serde(rename = "e", skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, u64>,
    /// Messages and errors by clock hour, in sheets of days.
    #[serde(rename = "h", skip_serializing_if = "BTreeMap::is_empty")]
    pub hours: BTreeMap<u8, (u64, u64)>,
}

/// The numbers of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sheet {
    /// Sender, level 1, in sheets of days.
    #[serde(rename = "a", default)]
    pub from_organisation: u32,
    /// Rows.
    #[serde(rename = "r")]
    pub rows: Vec<Row>,
}

/// Which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Page {
    /// Hours since 1970, UTC.
    Hour { hour: i64 },
    /// Days since 1970, clock time of Norway.
    Day { day: i64, from_organisation: u32 },
}

impl Page {
    /// Id of the record.
    pub fn id(self, generation: u32) -> String {
        match self {
            Self::Hour { hour } => format!("{generation}.h.{hour}"),
            Self::Day {
                day,
                from_organisation,
            } => format!("{generation}.d.{day}.{from_organisation}"),
        }
    }
}

/// A number in an order-preserving form.
pub(super) fn ordered(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

/// Day since 1970 and clock hour in a zone.
pub(super) fn local(at_us: i64, zone: &TimeZone) -> (i64, u8) {
    let at = jiff::Timestamp::from_microsecond(at_us).unwrap_or_default();
    let clock = at.to_zoned(zone.clone());
    let epoch = jiff::civil::date(1970, 1, 1);
    let day = clock
        .date()
        .since((jiff::Unit::Day, epoch))
        .map_or(0, |span| i64::from(span.get_days()));
    (day, clock.hour().unsigned_abs())
}

/// Enters what this version of a track adds.
pub(super) fn enter(sheets: &mut HashMap<Page, Sheet>, track: &Told, zone: &TimeZone) {
    for news in &track.news {
        let hour = news.at_us.div_euclid(3_600_000_000);
        let (day, clock_hour) = local(news.at_us, zone);
        let mut counts = Counts::default();
        match news.what {
            Counted::Message => {
                counts.messages = 1;
                counts.bytes = track.bytes;
            }
            Counted::Duplicate => {
                counts.messages = 1;
                counts.bytes = track.bytes;
                counts.duplicates = 1;
            }
            Counted::Refused => counts.refused = 1,
            Counted::Undeliverable => counts.undeliverable = 1,
            Counted::Delivered => counts.delivered = 1,
            Counted::Acknowledged => counts.acknowledged = 1,
            Counted::TransportRefused => counts.transport_refused = 1,
            Counted::ReceiptOk => counts.receipts_ok = 1,
            Counted::ReceiptInPart => counts.receipts_in_part = 1,
            Counted::ReceiptRejects => counts.receipts_rejected = 1,
            Counted::ReceiptSealed => counts.receipts_sealed = 1,
            Counted::Overdue => counts.overdue = 1,
        }
        let known = codes::lists::lookup(LIST_MESSAGE_FUNCTION, &track.subject).is_some();
        let kind = Kind {
            transport: track.transport,
            function: if known {
                track.subject.clone()
            } else {
                String::new()
            },
            namespace: track.schema.as_ref().map(|schema| schema.namespace.clone()),
            version: track
                .schema
                .as_ref()
                .and_then(|schema| schema.version.clone()),
            system: None,
            from: 0,
            to: 0,
            to_organisation: 0,
        };
        let conditions: BTreeMap<String, u64> = news
            .conditions
            .iter()
            .take(10)
            .map(|condition| (condition.clone(), 1))
            .collect();
        let row = Row {
            kind: kind.clone(),
            counts,
            conditions: conditions.clone(),
            hours: BTreeMap::new(),
        };
        sheets.entry(Page::Hour { hour }).or_default().add_row(row);
        let row = Row {
            kind: Kind {
                system: track.system.clone(),
                from: track.from,
                to: track.to,
                to_organisation: track.to_organisation,
                ..kind
            },
            counts,
            conditions,
            hours: BTreeMap::from([(clock_hour, (counts.messages, counts.errors()))]),
        };
        let page = Page::Day {
            day,
            from_organisation: track.from_organisation,
        };
        let sheet = sheets.entry(page).or_default();
        sheet.from_organisation = track.from_organisation;
        sheet.add_row(row);
    }
}

impl Sheet {
    /// Adds the rows of another sheet.
    pub fn add(&mut self, other: Self) {
        self.from_organisation = other.from_organisation;
        // One pass over both instead of a search per row.
        let mut places: HashMap<Kind, usize> = self
            .rows
            .iter()
            .enumerate()
            .map(|(place, row)| (row.kind.clone(), place))
            .collect();
        for mut row in other.rows {
            if !places.contains_key(&row.kind) && self.rows.len() >= MAX_ROWS {
                row.kind = Kind {
                    transport: row.kind.transport,
                    ..Kind::default()
                };
            }
            match places
                .get(&row.kind)
                .and_then(|place| self.rows.get_mut(*place))
            {
                Some(known) => known.add(&row),
                None => {
                    places.insert(row.kind.clone(), self.rows.len());
                    self.rows.push(row);
                }
            }
        }
    }

    fn add_row(&mut self, row: Row) {
        match self.rows.iter_mut().find(|known| known.kind == row.kind) {
            Some(known) => known.add(&row),
            None => self.rows.push(row),
        }
    }

    /// Organisations that received something.
    pub fn receivers(&self) -> BTreeSet<u32> {
        self.rows
            .iter()
            .map(|row| row.kind.to_organisation)
            .filter(|organisation| *organisation != 0)
            .take(10_000)
            .collect()
    }
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (condition, n) in &other.conditions {
            add_condition(&mut self.conditions, condition, *n);
        }
        for (hour, (messages, errors)) in &other.hours {
            let here = self.hours.entry(*hour).or_default();
            here.0 = here.0.saturating_add(*messages);
            here.1 = here.1.saturating_add(*errors);
        }
    }
}

/// One more of a condition; beyond a number of different ones they are counted together.
pub(super) fn add_condition(all: &mut BTreeMap<String, u64>, condition: &str, n: u64) {
    let name = if all.contains_key(condition) || all.len() < MAX_CONDITIONS {
        condition
    } else {
        "other"
    };
    let here = all.entry(name.to_owned()).or_default();
    *here = here.saturating_add(n);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::track::{Receipt, StepKind, Track};
    use proptest::prelude::*;

    const AT: i64 = 1_795_421_100_000_000;

    fn tracks() -> impl Strategy<Value = Vec<Track>> {
        let one = (0u8..4, 0u32..3, 0u32..3, 0i64..200, any::<bool>()).prop_map(
            |(subject, from, to, hours, is_bad)| {
                let mut track = Track {
                    subject: ["DIALOG_NOTAT", "APPREC", "EPIKRISE", "GAMMELT"]
                        .get(usize::from(subject))
                        .copied()
                        .unwrap_or_default()
                        .to_owned(),
                    from,
                    from_organisation: from,
                    to,
                    to_organisation: to,
                    bytes: 100,
                    ..Track::default()
                };
                let at = AT + hours * 3_600_000_000;
                track.step(at, StepKind::Received { bytes: 100 }, "");
                if is_bad {
                    let codes = vec!["E31".to_owned()];
                    let status = "2".to_owned();
                    track.receipt_arrived(at, Receipt::Known { status, codes });
                }
                track
            },
        );
        proptest::collection::vec(one, 0..40)
    }

    fn sums(sheets: &HashMap<Page, Sheet>, hours: bool) -> Counts {
        let mut sum = Counts::default();
        for (page, sheet) in sheets {
            if matches!(page, Page::Hour { .. }) == hours {
                sheet.rows.iter().for_each(|row| sum.add(&row.counts));
            }
        }
        sum
    }

    proptest! {
        /// However the log is cut into portions, the sums are the same, by hour and by day.
        #[test]
        fn portions_do_not_matter(tracks in tracks(), cut in 0usize..40) {
            let mut at_once = HashMap::new();
            tracks.iter().for_each(|track| enter(&mut at_once, &Told::from(track), &TimeZone::UTC));
            let mut in_parts: HashMap<Page, Sheet> = HashMap::new();
            let cut = cut.min(tracks.len());
            for part in [tracks.get(..cut), tracks.get(cut..)].into_iter().flatten() {
                let mut sheets = HashMap::new();
                part.iter().for_each(|track| enter(&mut sheets, &Told::from(track), &TimeZone::UTC));
                for (page, sheet) in sheets {
                    in_parts.entry(page).or_default().add(sheet);
                }
            }
            let sorted = |sheets: HashMap<Page, Sheet>| -> Vec<(String, Vec<Row>)> {
                let mut all: Vec<_> = sheets.into_iter().map(|(page, mut sheet)| {
                    sheet.rows.sort_by(|a, b| a.kind.cmp(&b.kind));
                    (page.id(0), sheet.rows)
                }).collect();
                all.sort_by(|a, b| a.0.cmp(&b.0));
                all
            };
            prop_assert_eq!(sums(&at_once, true), sums(&at_once, false));
            prop_assert_eq!(sums(&at_once, true).messages, tracks.len() as u64);
            prop_assert_eq!(sorted(at_once), sorted(in_parts));
        }
    }

    #[test]
    fn a_sheet_survives_storing_and_unknown_functions_stand_together() {
        let mut track = Track {
            subject: "NEVER_HEARD_OF".to_owned(),
            ..Track::default()
        };
        track.step(AT, StepKind::Received { bytes: 1 }, "");
        let what = StepKind::Refused {
            condition: "transport:unsupported-message".to_owned(),
        };
        track.step(AT, what, "");
        let mut sheets = HashMap::new();
        enter(&mut sheets, &Told::from(&track), &TimeZone::UTC);
        for sheet in sheets.values() {
            let json = serde_json::to_vec(sheet).unwrap();
            assert_eq!(&serde_json::from_slice::<Sheet>(&json).unwrap(), sheet);
            assert_eq!(sheet.rows.len(), 1);
            assert_eq!(sheet.rows[0].kind.function, "");
            assert_eq!(sheet.rows[0].counts.errors(), 1);
            assert_eq!(
                sheet.rows[0].conditions,
                BTreeMap::from([("transport:unsupported-message".to_owned(), 1)])
            );
        }
    }

    #[test]
    fn conditions_and_rows_are_bounded() {
        let mut all = BTreeMap::new();
        for n in 0..1_000 {
            add_condition(&mut all, &format!("code-{n}"), 1);
        }
        assert_eq!(all.len(), MAX_CONDITIONS + 1);
        assert_eq!(all.values().sum::<u64>(), 1_000);

        let row = |from| Row {
            kind: Kind {
                from,
                ..Kind::default()
            },
            counts: Counts {
                messages: 1,
                ..Counts::default()
            },
            ..Row::default()
        };
        let mut sheet = Sheet::default();
        let more = MAX_ROWS as u32 + 500;
        sheet.add(Sheet {
            rows: (1..=more).map(row).collect(),
            ..Sheet::default()
        });
        assert_eq!(sheet.rows.len(), MAX_ROWS + 1);
        assert_eq!(
            sheet
                .rows
                .iter()
                .map(|row| row.counts.messages)
                .sum::<u64>(),
            u64::from(more)
        );
    }

    #[test]
    fn a_day_is_a_norwegian_day() {
        let zone = &*super::super::OSLO;
        // 2026-11-22T23:30:00Z is half past midnight of the 23rd in Norway.
        let at = "2026-11-22T23:30:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_microsecond();
        let (day, hour) = local(at, zone);
        let (before, _) = local(at - 3_600_000_000, zone);
        assert_eq!((day - before, hour), (1, 0));
    }
}
