//! Reading the numbers: sums, a curve, and who, what and why; as values for a page and as CSV.

use std::collections::{BTreeMap, HashMap};

use edi::catalogue::Described;
use serde::Serialize;
use store::{Direction, KeyRange};

use super::places::{Origin, group, region_code};
use super::tally::{Counts, Kind, Row, Sheet, add_condition, local, ordered};
use super::{Counter, OSLO, param};
use crate::exchange::ExchangeError;
use crate::port::Transport;
use crate::rules::envelope::organisation_of;
use crate::view::{PartyView, Viewer};

/// Longest time asked for, days.
pub const MAX_DAYS: i64 = 800;
/// Records read for one answer; beyond it is cut, and says so.
const MAX_SHEETS: usize = 60_000;
/// Rows of each list in a report.
const MAX_LIST: usize = 50;
/// Rows of a CSV file.
const MAX_CSV_ROWS: usize = 100_000;
/// Records read at once.
const BATCH: usize = 500;
const HOUR_US: i64 = 3_600_000_000;

/// What is asked for. Days are Norwegian days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountQuery {
    /// First day, days since 1970.
    pub first_day: i64,
    /// Last day, included.
    pub last_day: i64,
    /// Messages from or to this HER-id, any level.
    pub her_id: Option<u32>,
    /// Message function (8279); empty text: uncategorised.
    pub function: Option<String>,
    /// Transport.
    pub transport: Option<Transport>,
}

impl CountQuery {
    /// The days, in bounds.
    fn days(&self) -> (i64, i64) {
        let first = self.first_day.clamp(-30_000, 200_000);
        (first, self.last_day.clamp(first, first + MAX_DAYS))
    }

    fn admits(&self, kind: &Kind) -> bool {
        let function = self
            .function
            .as_ref()
            .is_none_or(|wanted| *wanted == kind.function);
        function && self.transport.is_none_or(|wanted| wanted == kind.transport)
    }
}

/// Width of one point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// One hour.
    Hour,
    /// One day.
    Day,
    /// One month.
    Month,
}

/// One point of the curve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Clock time of Norway: `yyyy-mm-ddThh`, `yyyy-mm-dd` or `yyyy-mm`.
    pub at: String,
    /// Messages.
    pub messages: u64,
    /// Errors.
    pub errors: u64,
}

/// Numbers of one type, version, transport, system or party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountRow {
    /// Code, namespace or name; empty: uncategorised.
    pub key: String,
    /// Party, in lists of parties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyView>,
    /// What the namespace is and how its version stands, in the list of versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Described>,
    /// Norwegian name of a place or type of organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Errors of the numbers.
    pub errors: u64,
    /// Numbers.
    #[serde(flatten)]
    pub counts: Counts,
}

impl CountRow {
    pub(super) fn of(key: String, counts: Counts) -> Self {
        Self {
            key,
            party: None,
            schema: None,
            name: None,
            errors: counts.errors(),
            counts,
        }
    }
}

/// Everything a page of numbers shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountReport {
    /// First day, `yyyy-mm-dd`.
    pub from: String,
    /// Last day, included.
    pub to: String,
    /// Width of the points.
    pub bucket: Bucket,
    /// Sums.
    pub totals: Counts,
    /// Errors of the sums.
    pub errors: u64,
    /// Sums of as many days before.
    pub before: Counts,
    /// Errors of these.
    pub errors_before: u64,
    /// The curve; hours, days or months without messages stand in it with zero.
    pub series: Vec<Point>,
    /// By message function (8279), most first.
    pub by_function: Vec<CountRow>,
    /// By namespace and version of the document, most first; empty: the envelope does not say.
    pub by_version: Vec<CountRow>,
    /// By transport.
    pub by_transport: Vec<CountRow>,
    /// By sender's system, most first; empty: the envelope does not say.
    pub by_system: Vec<CountRow>,
    /// By sending organisation or unit, most first.
    pub by_sender: Vec<CountRow>,
    /// By receiving organisation or unit, most first.
    pub by_receiver: Vec<CountRow>,
    /// By the sender's health region (`nord`, `midt`, `vest`, `sor-ost`), most first; empty: the register does not say.
    pub by_region: Vec<CountRow>,
    /// By the sender's municipality (3402), most first.
    pub by_municipality: Vec<CountRow>,
    /// By the sender's type of organisation (9040), most first.
    pub by_kind: Vec<CountRow>,
    /// Conditions and AppRec codes, how often.
    pub conditions: BTreeMap<String, u64>,
    /// There was more than could be read for one answer: choose a shorter time, or a party.
    pub cut: bool,
}

/// Sums under way.
#[derive(Default)]
struct Sums {
    totals: Counts,
    points: BTreeMap<(i64, u8), (u64, u64)>,
    functions: HashMap<String, Counts>,
    versions: HashMap<String, Counts>,
    transports: HashMap<String, Counts>,
    systems: HashMap<String, Counts>,
    senders: HashMap<u32, Counts>,
    receivers: HashMap<u32, Counts>,
    /// Sending organisations, for where they are.
    origins: HashMap<u32, Counts>,
    conditions: BTreeMap<String, u64>,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        let kind = &row.kind;
        self.totals.add(&row.counts);
        let version = match (&kind.namespace, &kind.version) {
            (Some(namespace), Some(version)) => format!("{namespace} {version}"),
            (Some(namespace), None) => namespace.clone(),
            (None, _) => String::new(),
        };
        let lists = [
            (&mut self.functions, kind.function.clone()),
            (&mut self.versions, version),
            (&mut self.transports, kind.transport.code().to_owned()),
            (&mut self.systems, kind.system.clone().unwrap_or_default()),
        ];
        for (list, key) in lists {
            list.entry(key).or_default().add(&row.counts);
        }
        for (condition, n) in &row.conditions {
            add_condition(&mut self.conditions, condition, *n);
        }
    }

    fn point(&mut self, day: i64, hour: u8, messages: u64, errors: u64) {
        let point = self.points.entry((day, hour)).or_default();
        point.0 = point.0.saturating_add(messages);
        point.1 = point.1.saturating_add(errors);
    }
}

impl Counter {
    /// The numbers a viewer may see: all for the operator, a party's own for the party. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn report(&self, viewer: Viewer, query: &CountQuery) -> Result<CountReport, ExchangeError> {
        let (first, last) = query.days();
        let length = last - first + 1;
        let organisation = self.organisation(viewer, query);
        let mut sums = Sums::default();
        let mut cut = false;
        let mut before = Counts::default();
        if organisation.is_none() {
            // The sheets of hours hold everything but the parties.
            cut |= self.hours(first - length, last, |hour, row| {
                if !query.admits(&row.kind) {
                    return;
                }
                let (day, clock_hour) = local(hour * HOUR_US, &OSLO);
                if day < first {
                    before.add(&row.counts);
                } else {
                    sums.add(row);
                    sums.point(day, clock_hour, row.counts.messages, row.counts.errors());
                }
            })?;
        }
        let her_id = query.her_id;
        cut |= self.days(organisation, first - length, last, |day, from, row| {
            let kind = &row.kind;
            if !query.admits(kind) || !concerns(organisation, her_id, from, kind, self) {
                return;
            }
            if organisation.is_some() {
                if day < first {
                    before.add(&row.counts);
                    return;
                }
                sums.add(row);
                for (hour, (messages, errors)) in &row.hours {
                    sums.point(day, *hour, *messages, *errors);
                }
            }
            if day >= first {
                if organisation.is_none() {
                    let system = kind.system.clone().unwrap_or_default();
                    sums.systems.entry(system).or_default().add(&row.counts);
                }
                let (sender, receiver) = match organisation {
                    // Among all, organisations; for one of them, the units.
                    None => (from, kind.to_organisation),
                    Some(_) => (kind.from, kind.to),
                };
                sums.origins.entry(from).or_default().add(&row.counts);
                sums.senders.entry(sender).or_default().add(&row.counts);
                sums.receivers.entry(receiver).or_default().add(&row.counts);
            }
        })?;
        if organisation.is_none() {
            // Systems stand in the sheets of days only.
            sums.systems.retain(|name, _| !name.is_empty());
        }
        Ok(self.finish(sums, before, first, last, cut))
    }

    fn finish(&self, sums: Sums, before: Counts, first: i64, last: i64, cut: bool) -> CountReport {
        let exchange = &self.inner.exchange;
        let parties = |list: HashMap<u32, Counts>| {
            let rows = list.into_iter().map(|(her_id, counts)| CountRow {
                party: Some(exchange.party(her_id)),
                ..CountRow::of(her_id.to_string(), counts)
            });
            most_first(rows.collect())
        };
        let named = |list: HashMap<String, Counts>| {
            let rows = list
                .into_iter()
                .map(|(key, counts)| CountRow::of(key, counts));
            most_first(rows.collect())
        };
        let grouped = group(&sums.origins, &self.inner.origins);
        let mut by_version = named(sums.versions);
        for row in &mut by_version {
            let namespace = row.key.split(' ').next().unwrap_or_default();
            row.schema = edi::catalogue::describe(namespace);
        }
        let bucket = match last - first {
            ..3 => Bucket::Hour,
            3..100 => Bucket::Day,
            _ => Bucket::Month,
        };
        CountReport {
            from: date(first).to_string(),
            to: date(last).to_string(),
            bucket,
            errors: sums.totals.errors(),
            totals: sums.totals,
            errors_before: before.errors(),
            before,
            series: series(&sums.points, bucket, first, last),
            by_function: named(sums.functions),
            by_version,
            by_transport: named(sums.transports),
            by_system: named(sums.systems),
            by_sender: parties(sums.senders),
            by_receiver: parties(sums.receivers),
            by_region: grouped.regions,
            by_municipality: grouped.municipalities,
            by_kind: grouped.kinds,
            conditions: sums.conditions,
            cut,
        }
    }

    /// The numbers by day, type, version, transport, system and parties with where these are, as CSV: semicolons, UTF-8 with mark, header row, `\r\n`. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn csv(&self, viewer: Viewer, query: &CountQuery) -> Result<String, ExchangeError> {
        let (first, last) = query.days();
        let organisation = self.organisation(viewer, query);
        let mut names: HashMap<u32, String> = HashMap::new();
        let mut name = |her_id: u32| {
            names
                .entry(her_id)
                .or_insert_with(|| self.inner.exchange.party(her_id).name.unwrap_or_default())
                .clone()
        };
        let mut places: HashMap<u32, Origin> = HashMap::new();
        let mut lines = Vec::new();
        self.days(organisation, first, last, |day, from, row| {
            let kind = &row.kind;
            if lines.len() >= MAX_CSV_ROWS
                || !query.admits(kind)
                || !concerns(organisation, query.her_id, from, kind, self)
            {
                return;
            }
            let mut cells = vec![
                date(day).to_string(),
                kind.transport.code().to_owned(),
                kind.function.clone(),
                kind.namespace.clone().unwrap_or_default(),
                kind.version.clone().unwrap_or_default(),
                kind.system.clone().unwrap_or_default(),
                kind.from.to_string(),
                name(kind.from),
                kind.to.to_string(),
                name(kind.to),
            ];
            cells.extend(row.counts.values().iter().map(u64::to_string));
            for organisation in [from, kind.to_organisation] {
                let origin = places
                    .entry(organisation)
                    .or_insert_with(|| (self.inner.origins)(organisation));
                cells.push(
                    origin
                        .region()
                        .map(region_code)
                        .unwrap_or_default()
                        .to_owned(),
                );
                cells.push(origin.municipality.clone().unwrap_or_default());
                cells.push(origin.kind.clone().unwrap_or_default());
            }
            lines.push(csv_line(&cells));
        })?;
        lines.sort_unstable();
        let mut head: Vec<String> = [
            "date",
            "transport",
            "function",
            "namespace",
            "version",
            "system",
            "from_her_id",
            "from_name",
            "to_her_id",
            "to_name",
        ]
        .map(str::to_owned)
        .to_vec();
        head.extend(Counts::NAMES.iter().map(|name| (*name).to_owned()));
        for side in ["from", "to"] {
            head.extend(["region", "municipality", "type"].map(|name| format!("{side}_{name}")));
        }
        Ok(format!("\u{feff}{}{}", csv_line(&head), lines.concat()))
    }

    /// The level-1 party the answer is about, if it is about one.
    fn organisation(&self, viewer: Viewer, query: &CountQuery) -> Option<u32> {
        match viewer {
            Viewer::Party { organisation } => Some(organisation),
            Viewer::Operator => query.her_id.map(|her_id| {
                let party = self.inner.exchange.inner.directory.party(her_id);
                party.as_ref().map_or(her_id, organisation_of)
            }),
        }
    }

    fn hours(
        &self,
        first: i64,
        last: i64,
        mut look: impl FnMut(i64, &Row),
    ) -> Result<bool, ExchangeError> {
        let generation = self.generation()?.to_be_bytes();
        // A day in Norway begins one or two hours before the day in UTC.
        let range = KeyRange {
            param: param::HOUR,
            from: [&generation[..], &ordered(first * 24 - 2)].concat(),
            to: Some([&generation[..], &ordered((last + 1) * 24)].concat()),
        };
        self.sheets(&range, |key, sheet| {
            let hour = number(key.get(4..12));
            let (day, _) = local(hour * HOUR_US, &OSLO);
            if (first..=last).contains(&day) {
                sheet.rows.iter().for_each(|row| look(hour, row));
            }
        })
    }

    fn days(
        &self,
        organisation: Option<u32>,
        first: i64,
        last: i64,
        mut look: impl FnMut(i64, u32, &Row),
    ) -> Result<bool, ExchangeError> {
        let generation = self.generation()?.to_be_bytes();
        let Some(organisation) = organisation else {
            let range = KeyRange {
                param: param::DAY,
                from: [&generation[..], &ordered(first)].concat(),
                to: Some([&generation[..], &ordered(last + 1)].concat()),
            };
            return self.sheets(&range, |key, sheet| {
                let day = number(key.get(4..12));
                sheet
                    .rows
                    .iter()
                    .for_each(|row| look(day, sheet.from_organisation, row));
            });
        };
        let own = organisation.to_be_bytes();
        let mut cut = false;
        for param in [param::FROM, param::TO] {
            let range = KeyRange {
                param,
                from: [&generation[..], &own, &ordered(first)].concat(),
                to: Some([&generation[..], &own, &ordered(last + 1)].concat()),
            };
            cut |= self.sheets(&range, |key, sheet| {
                // What it sent to itself stands under both.
                if param == param::TO && sheet.from_organisation == organisation {
                    return;
                }
                let day = number(key.get(8..16));
                sheet
                    .rows
                    .iter()
                    .for_each(|row| look(day, sheet.from_organisation, row));
            })?;
        }
        Ok(cut)
    }

    /// Every sheet in a range; true when there were too many.
    fn sheets(
        &self,
        range: &KeyRange,
        mut look: impl FnMut(&[u8], &Sheet),
    ) -> Result<bool, ExchangeError> {
        let inner = &self.inner;
        let snapshot = inner.store.snapshot()?;
        let (mut after, mut read) = (None, 0);
        loop {
            let rows = snapshot.scan(
                &inner.grant,
                inner.repo,
                range,
                Direction::Ascending,
                after.as_ref(),
                BATCH,
            )?;
            let rids: Vec<_> = rows.iter().map(|row| row.rid).collect();
            let records = snapshot.fetch(&inner.grant, &rids)?;
            let by_rid: HashMap<_, _> = records
                .iter()
                .map(|record| (record.head.rid, record))
                .collect();
            for row in &rows {
                let sheet = by_rid
                    .get(&row.rid)
                    .and_then(|record| serde_json::from_slice::<Sheet>(&record.body).ok());
                if let Some(sheet) = sheet {
                    look(&row.value, &sheet);
                }
            }
            read += rows.len();
            let is_last = rows.len() < BATCH;
            after = rows.into_iter().next_back();
            if is_last {
                return Ok(false);
            }
            if read >= MAX_SHEETS {
                return Ok(true);
            }
        }
    }
}

/// Whether a row is about the organisation and the party asked for.
fn concerns(
    organisation: Option<u32>,
    her_id: Option<u32>,
    from_organisation: u32,
    kind: &Kind,
    counter: &Counter,
) -> bool {
    let Some(organisation) = organisation else {
        return true;
    };
    let own = from_organisation == organisation || kind.to_organisation == organisation;
    let wanted = her_id.is_none_or(|her_id| {
        let directory = &counter.inner.exchange.inner.directory;
        // An organisation stands for its units.
        let is_above = directory
            .party(her_id)
            .is_some_and(|party| party.parent_her_id.is_none());
        her_id == kind.from
            || her_id == kind.to
            || (is_above && (her_id == from_organisation || her_id == kind.to_organisation))
    });
    own && wanted
}

pub(super) fn most_first(mut rows: Vec<CountRow>) -> Vec<CountRow> {
    rows.sort_by(|a, b| {
        b.counts
            .messages
            .cmp(&a.counts.messages)
            .then_with(|| a.key.cmp(&b.key))
    });
    rows.truncate(MAX_LIST);
    rows
}

fn number(bytes: Option<&[u8]>) -> i64 {
    let bytes: [u8; 8] = bytes.and_then(|b| b.try_into().ok()).unwrap_or_default();
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

fn date(day: i64) -> jiff::civil::Date {
    let epoch = jiff::civil::date(1970, 1, 1);
    let span = jiff::Span::new()
        .try_days(day)
        .unwrap_or_else(|_| jiff::Span::new());
    epoch.checked_add(span).unwrap_or(epoch)
}

fn series(
    points: &BTreeMap<(i64, u8), (u64, u64)>,
    bucket: Bucket,
    first: i64,
    last: i64,
) -> Vec<Point> {
    let label = |day: i64, hour: u8| match bucket {
        Bucket::Hour => format!("{}T{hour:02}", date(day)),
        Bucket::Day => date(day).to_string(),
        Bucket::Month => date(day).strftime("%Y-%m").to_string(),
    };
    let hours = if bucket == Bucket::Hour { 0..24 } else { 0..1 };
    let mut all: BTreeMap<String, (u64, u64)> = (first..=last)
        .flat_map(|day| hours.clone().map(move |hour| (day, hour)))
        .map(|(day, hour)| (label(day, hour), (0, 0)))
        .collect();
    for ((day, hour), (messages, errors)) in points {
        let point = all.entry(label(*day, *hour)).or_default();
        point.0 = point.0.saturating_add(*messages);
        point.1 = point.1.saturating_add(*errors);
    }
    all.into_iter()
        .map(|(at, (messages, errors))| Point {
            at,
            messages,
            errors,
        })
        .collect()
}

/// One line. A cell that a spreadsheet would take for a formula gets a mark before it.
fn csv_line(cells: &[String]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| {
            let is_formula =
                cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<i64>().is_err();
            let cell = if is_formula {
                format!("'{cell}")
            } else {
                cell.clone()
            };
            if cell.contains([';', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell
            }
        })
        .collect();
    format!("{}\r\n", cells.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_are_quoted_and_never_formulas() {
        let cells = ["a", "b;c", "say \"no\"", "=1+1", "-5", "-x", ""].map(str::to_owned);
        assert_eq!(
            csv_line(&cells),
            "a;\"b;c\";\"say \"\"no\"\"\";'=1+1;-5;'-x;\r\n"
        );
    }

    #[test]
    fn the_curve_has_no_holes() {
        let points = BTreeMap::from([((20_000, 5), (3, 1)), ((20_001, 7), (2, 0))]);
        let hours = series(&points, Bucket::Hour, 20_000, 20_001);
        assert_eq!(hours.len(), 48);
        assert_eq!(
            hours[5],
            Point {
                at: "2024-10-04T05".to_owned(),
                messages: 3,
                errors: 1
            }
        );
        let days = series(&points, Bucket::Day, 19_999, 20_001);
        let numbers: Vec<u64> = days.iter().map(|point| point.messages).collect();
        assert_eq!(numbers, [0, 3, 2]);
        let months = series(&points, Bucket::Month, 19_990, 20_030);
        assert_eq!(
            months
                .iter()
                .map(|point| (point.at.as_str(), point.messages))
                .collect::<Vec<_>>(),
            [("2024-09", 0), ("2024-10", 5), ("2024-11", 0)]
        );
    }

    #[test]
    fn wild_times_are_bounded() {
        for (first, last) in [(i64::MIN, i64::MAX), (5, 1), (i64::MAX, i64::MAX)] {
            let query = CountQuery {
                first_day: first,
                last_day: last,
                ..CountQuery::default()
            };
            let (from, to) = query.days();
            assert!(from <= to && to - from <= MAX_DAYS);
            let _ = (date(from), date(to));
        }
        assert_eq!(number(Some(&ordered(-5))), -5);
        assert_eq!(number(Some(&[1, 2])), number(None));
    }
}
