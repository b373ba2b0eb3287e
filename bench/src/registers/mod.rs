//! The person register at national size, in this process: import with generation, opening, look-ups, bulk, searches, a day's
//! changes, a new read form. Raw loop: the same rows in one piece of memory behind one sorted array, bytes copied out, nothing
//! read from them.

pub mod people;
mod place;

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;
use nation::{Nation, Params};
use place::{Engine, FIRST, Place};
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::kernel::timeline::Origin;
use registers::kernel::{EntryId, EntryNo};
use registers::persons::document::Name;
use registers::persons::freg::import::{Importer, TOGETHER};
use registers::persons::freg::source;
use registers::persons::row::tag;
use registers::persons::search::{Query, Raw};
use registers::persons::{PersonRegister, life};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Persons of the synthetic nation.
    #[arg(long, default_value_t = 1_000_000)]
    population: usize,
    /// Seed of the nation.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Look-ups per thread.
    #[arg(long, default_value_t = 1_000_000)]
    reads: u64,
    /// Searches of each kind.
    #[arg(long, default_value_t = 2_000)]
    searches: usize,
    /// Changes of a day.
    #[arg(long, default_value_t = 20_000)]
    changes: u32,
    /// Where the files are made (a temporary folder inside); default: the system's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The data folder of a stopped demo hub: its persons are measured, and a day's changes made to them.
    #[arg(long, conflicts_with_all = ["folder", "engine", "population", "seed"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    hub: crate::served::Where,
    /// Where the log stands.
    #[arg(long, value_enum, default_value = "sqlite")]
    engine: Engine,
}

pub(crate) const ANCHOR: Date = Date::constant(2026, 11, 23);

/// Runs everything and prints it.
///
/// # Errors
/// When something fails or answers wrongly.
pub fn run(options: &Options) -> Result<()> {
    let folder = match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let place = match &options.data {
        Some(data) => Place::of_hub(data, options.hub.clone()),
        None => Place::new(options.engine, folder.path())?,
    };
    let nation = Nation::generate(&of_whom(options)?)?;
    println!("registers: {} persons", nation.params().population);
    if options.data.is_none() {
        let persons = place.open(FIRST, false)?;
        import(&persons, &nation)?;
        memory("after the import");
    }
    let began = Instant::now();
    let persons = place.open(FIRST, false)?;
    println!("  opened with its read form: {:.2?}", began.elapsed());
    memory("after opening");
    let size = std::fs::metadata(place.read_form(FIRST))?.len();
    let count = persons.len();
    let rows: u64 = (0..count)
        .step_by(97)
        .map(|n| persons.with(EntryNo(n), |row| row.bytes().len() as u64))
        .map(|length| length.ok().flatten().unwrap_or(0))
        .sum();
    println!(
        "  read form: {} MB, {} bytes a row",
        size >> 20,
        rows / u64::from(count.div_ceil(97))
    );
    let numbers = numbers(&persons)?;
    reads(&persons, &numbers, options, "rows in the file")?;
    drop(persons);
    let persons = place.open(FIRST, true)?;
    let began = Instant::now();
    persons.maintain()?;
    println!("  first maintenance: {:.2?}", began.elapsed());
    memory("after it");
    // At national size the rows stay in the file: then this is the same once more.
    reads(&persons, &numbers, options, "rows as a hub has them")?;
    raw(&persons, &numbers, options)?;
    searches(&persons, options)?;
    day(&persons, options)?;
    feed(&persons, &nation, options)?;
    memory("at the end");
    if place.is_shared() {
        place::step(&place, &persons)?;
    }
    Ok(())
}

/// The nation to be made, or the one that is there.
fn of_whom(options: &Options) -> Result<Params> {
    let Some(data) = &options.data else {
        return Ok(Params {
            seed: options.seed,
            anchor: ANCHOR,
            population: options.population,
        });
    };
    let text = std::fs::read(data.join("nation.json")).context("no demo hub's data folder")?;
    let kept: serde_json::Value = serde_json::from_slice(&text)?;
    let number = |name: &str| kept[name].as_u64().context("nation.json");
    Ok(Params {
        seed: number("seed")?,
        anchor: serde_json::from_value(kept["anchor"].clone())?,
        population: usize::try_from(number("population")?)?,
    })
}

fn now() -> Moment {
    Moment::of_day(ANCHOR)
}

/// Made on one thread, taken in on another.
pub(crate) fn import(persons: &PersonRegister, nation: &Nation) -> Result<()> {
    let (began, before_s) = (Instant::now(), processor_s());
    let count = std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::sync_channel(8);
        scope.spawn(move || {
            let fixed = nation.fixed_persons().to_vec();
            let cells = std::iter::once(fixed).chain(nation.cells().map(|cell| cell.persons));
            for cell in cells {
                let made: Vec<_> = cell
                    .iter()
                    .map(|p| (EntryId::random(), people::document(p, ANCHOR)))
                    .collect();
                if send.send(made).is_err() {
                    return;
                }
            }
        });
        persons.load(receive.into_iter().flatten(), now(), |_| {})
    })?;
    let took = began.elapsed();
    println!(
        "  import with generation: {count} persons in {took:.1?}, {:.0}/s; processor {:.0} s, written {} MB",
        f64::from(count) / took.as_secs_f64(),
        processor_s() - before_s,
        written_mb()
    );
    Ok(())
}

/// Every identifier that leads to somebody today.
fn numbers(persons: &PersonRegister) -> Result<Vec<Packed>> {
    (0..persons.len())
        .map(|n| {
            persons
                .with(EntryNo(n), |row| {
                    let list: Vec<_> = row.identifiers().map(|h| h.value).collect();
                    life::best(list.iter())
                })?
                .flatten()
                .context("a row without identifier")
        })
        .collect()
}

/// A cheap sequence of places.
struct Places(u64);

impl Places {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

fn timed(threads: u64, each: u64, work: impl Fn(u64) -> Result<u64> + Sync) -> Result<f64> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|t| {
                scope.spawn({
                    let work = &work;
                    move || work(t)
                })
            })
            .collect();
        for thread in running {
            let done = thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            ensure!(done >= each, "only {done} of {each} were found");
        }
        Ok(())
    })?;
    Ok((threads * each) as f64 / began.elapsed().as_secs_f64())
}

fn reads(persons: &PersonRegister, numbers: &[Packed], options: &Options, how: &str) -> Result<()> {
    for threads in [1, 2] {
        let rate = timed(threads, options.reads, |thread| {
            let mut places = Places(0x9e37_79b9 + thread);
            let mut found = 0;
            for _ in 0..options.reads {
                let number = numbers[places.next(numbers.len())];
                if let Some(no) = persons.find(number)? {
                    let name = persons.with(no, |row| row.names().next())?;
                    found += u64::from(name.flatten().is_some());
                }
            }
            Ok(found)
        })?;
        println!("  {how}: look-ups by identifier with name, {threads} thread(s): {rate:.0}/s");
    }
    let rate = timed(2, options.reads, |thread| {
        let mut places = Places(77 + thread);
        let mut found = 0;
        for _ in 0..options.reads {
            found += u64::from(persons.find(numbers[places.next(numbers.len())])?.is_some());
        }
        Ok(found)
    })?;
    println!("  {how}: look-ups by identifier alone, 2 threads: {rate:.0}/s");
    for (what, addresses) in [("name and identifiers", false), ("and addresses", true)] {
        let rate = timed(2, options.reads, |thread| {
            let mut places = Places(5 + thread);
            let mut found = 0;
            for _ in 0..options.reads {
                let no = EntryNo(places.next(numbers.len()) as u32);
                let length = persons.with(no, |row| {
                    let name = row.names().next().map_or(0, |h| h.value.family.len());
                    let ids = row.identifiers().count();
                    let homes = if addresses {
                        row.addresses(tag::RESIDENTIAL, now())
                            .map(|h| h.value.street.len())
                            .sum()
                    } else {
                        0
                    };
                    name + ids + homes
                })?;
                found += u64::from(length.unwrap_or(0) > 0);
            }
            Ok(found)
        })?;
        println!("  {how}: bulk by entry, {what}, 2 threads: {rate:.0} persons/s");
    }
    Ok(())
}

fn raw(persons: &PersonRegister, numbers: &[Packed], options: &Options) -> Result<()> {
    let mut keys: Vec<(u64, u32)> = numbers.iter().zip(0..).map(|(n, at)| (n.0, at)).collect();
    keys.sort_unstable();
    let mut bytes: Vec<u8> = Vec::new();
    let mut ends = vec![0usize];
    for n in 0..persons.len() {
        persons.with(EntryNo(n), |row| bytes.extend_from_slice(row.bytes()))?;
        ends.push(bytes.len());
    }
    for threads in [1, 2] {
        let rate = timed(threads, options.reads, |thread| {
            let mut places = Places(0x9e37_79b9 + thread);
            let mut copy = vec![0u8; 64 << 10];
            let mut found = 0;
            for _ in 0..options.reads {
                let number = numbers[places.next(numbers.len())].0;
                if let Ok(at) = keys.binary_search_by_key(&number, |k| k.0) {
                    let row = keys[at].1 as usize;
                    let from = &bytes[ends[row]..ends[row + 1]];
                    copy[..from.len()].copy_from_slice(from);
                    found += u64::from(std::hint::black_box(&copy)[0] < 255) | 1;
                }
            }
            Ok(found)
        })?;
        println!("  raw loop, {threads} thread(s): {rate:.0}/s");
    }
    Ok(())
}

fn searches(persons: &PersonRegister, options: &Options) -> Result<()> {
    let mut places = Places(4_711);
    let mut sample = Vec::new();
    while sample.len() < options.searches {
        let no = EntryNo(places.next(persons.len() as usize) as u32);
        let person = persons.with(no, |row| row.document())?.context("no row")?;
        let home = person
            .residential
            .one_at(now())
            .map(|a| (a.municipality, a.street.clone()));
        let names = (
            person.name.one_at(now()),
            person.birth.one_at(now()).and_then(|b| b.date),
        );
        if let (Some(name), Some(born), Some(home)) = (names.0, names.1, home)
            && person.merged_into.is_none()
            && home.1.chars().all(|c| c.is_alphanumeric() || c == ' ')
            && person.protection_at(now())
                == registers::persons::codes::ProtectionLevel::Unclassified
        {
            sample.push((no, name.clone(), born, home));
        }
    }
    let kinds = [
        "name + birth date",
        "name + birth year",
        "name + municipality",
        "name + street",
        "three beginnings + year",
    ];
    for kind in kinds {
        let mut took = Vec::with_capacity(sample.len());
        let (mut hits, mut most) = (0, 0);
        for (no, name, born, (municipality, street)) in &sample {
            let (day, year) = (born.to_string(), born.year().to_string());
            let municipality = format!("{municipality:04}");
            let beginning = |text: &str| text.chars().take(1).collect::<String>();
            let three = format!(
                "{} {} {}",
                beginning(&name.given),
                beginning(&name.family),
                &name.family
            );
            let raw = Raw {
                given_name: (kind != kinds[4]).then_some(name.given.as_str()),
                family_name: (kind != kinds[4]).then_some(name.family.as_str()),
                full_name: (kind == kinds[4]).then_some(three.as_str()),
                birth_date: match kind {
                    "name + birth date" => Some(day.as_str()),
                    "name + birth year" | "three beginnings + year" => Some(year.as_str()),
                    _ => None,
                },
                municipality_number: (kind == kinds[2]).then_some(municipality.as_str()),
                street_address: (kind == kinds[3]).then_some(street.as_str()),
                ..Raw::default()
            };
            let began = Instant::now();
            // Some names the service does not search by, such as those with an apostrophe.
            let Ok(query) = Query::search(&raw) else {
                continue;
            };
            let found = persons.search(&query, now(), EntryNo(0), 100)?;
            took.push(began.elapsed());
            hits += found.entries.len();
            most = most.max(found.entries.len());
            ensure!(
                found.entries.contains(no) || found.next.is_some(),
                "somebody is not found by {kind}"
            );
        }
        println!(
            "  search {kind}: {}, {:.1} hits, at most {most}",
            spread(&mut took),
            hits as f64 / sample.len() as f64
        );
    }
    Ok(())
}

fn spread(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    format!(
        "p50 {:.2?}, p99 {:.2?}, worst {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

/// A day's changes in batches, then a new read form.
fn day(persons: &PersonRegister, options: &Options) -> Result<()> {
    let step = (persons.len() / options.changes.max(1)).max(1);
    let (began, before_s, queued_s) = (Instant::now(), processor_s(), queued_s());
    let mut changed = 0;
    let all: Vec<u32> = (0..options.changes)
        .map(|n| n * step % persons.len())
        .collect();
    for batch in all.chunks(1_000) {
        let mut changes = Vec::with_capacity(batch.len());
        let mut ids = Vec::with_capacity(batch.len());
        for no in batch {
            let id = persons.with(EntryNo(*no), |row| row.id())?.flatten();
            ids.push(id.context("no id")?);
        }
        let entries = persons.log().entries(&ids)?;
        ensure!(entries.len() == ids.len(), "no entry");
        for entry in entries {
            let (id, mut content) = (entry.id, entry.content);
            let name = Name {
                given: "Ny".to_owned(),
                middle: None,
                family: "Navnesen".to_owned(),
            };
            let _ = content.name.set(name, now(), Origin::at(now()));
            changes.push((id, content));
        }
        changed += persons.change(changes, now())?.len();
    }
    println!(
        "  a day's {changed} changes: {:.2?}, processor {:.1} s, waited for a processor {:.1} s",
        began.elapsed(),
        processor_s() - before_s,
        self::queued_s() - queued_s
    );
    let began = Instant::now();
    let query = Query {
        family: Some("navnesen".to_owned()),
        birth: Some((19_800_000, 19_809_999)),
        ..Query::default()
    };
    let found = persons
        .search(&query, now(), EntryNo(0), 100)?
        .entries
        .len();
    println!(
        "  search over {} changed entries: {:.2?}, {found} hits",
        persons.changed(),
        began.elapsed()
    );
    memory("before the new read form");
    let began = Instant::now();
    persons.rebuild()?;
    println!("  new read form: {:.1?}", began.elapsed());
    memory("after it, rows in the file");
    // As in a hub: the next look comes two seconds later.
    std::thread::sleep(Duration::from_secs(2));
    persons.follow()?;
    persons.maintain()?;
    memory("after the new read form");
    Ok(())
}

/// A day of the population register's feed, as XML: read, decided and written.
fn feed(persons: &PersonRegister, nation: &Nation, options: &Options) -> Result<()> {
    let day = ANCHOR.tomorrow()?;
    let mut cell = None;
    let events: Vec<String> = (1..=u64::from(options.changes))
        .filter_map(|number| nation::folkeregister::event(nation, number, day, &mut cell))
        .collect();
    let (began, before_s) = (Instant::now(), processor_s());
    let mut importer = Importer::new(persons, now())?;
    let numbered: Vec<(u64, &String)> = (1..).zip(&events).collect();
    for part in numbered.chunks(TOGETHER) {
        let items = part.iter().map(|(place, text)| {
            let item = source::of_text(text).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
            anyhow::Ok((*place, item))
        });
        importer.take_all(items.collect::<Result<_>>()?)?;
    }
    importer.finish()?;
    let report = importer.report();
    ensure!(
        // A second run on the same folder has followed them before.
        report.events + report.duplicates == events.len() as u64,
        "not every event was followed"
    );
    println!(
        "  a day's feed of {} events from XML: {:.2?}, processor {:.1} s, {} new, {} changed",
        report.events,
        began.elapsed(),
        processor_s() - before_s,
        report.created,
        report.changed
    );
    Ok(())
}

/// Processor time of this process so far, all threads, seconds.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|n| n.parse::<f64>().ok());
    // The kernel counts in hundredths of a second.
    (ticks().unwrap_or(0.0) + ticks().unwrap_or(0.0)) / 100.0
}

/// How long the threads of this process have waited for a processor that others had, seconds.
fn queued_s() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task");
    let waited = threads.into_iter().flatten().flatten().map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let nanoseconds = text.split_whitespace().nth(1);
        nanoseconds.and_then(|n| n.parse::<f64>().ok())
    });
    waited.flatten().sum::<f64>() / 1e9
}

/// Sent to disks by this process so far.
fn written_mb() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|l| l.strip_prefix("write_bytes: "));
    line.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) >> 20
}

fn memory(when: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name));
        let kb = line
            .and_then(|l| l.split_whitespace().nth(1))
            .and_then(|n| n.parse::<u64>().ok());
        kb.unwrap_or(0) >> 10
    };
    println!(
        "  memory {when}: {} MB now, {} MB at most since the line before",
        of("VmRSS:"),
        of("VmHWM:")
    );
    // The kernel forgets the peak so far (man 5 proc_pid_clear_refs).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
