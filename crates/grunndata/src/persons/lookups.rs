//! The access journal of look-ups (spec/privacy.md §9.1): one line per request, with its list of persons.
//!
//! Look-ups come many thousand times a second. The lines of one caller that come within [`GATHER`] stand together in one
//! entry of the journal, which is durable at the latest half a second later: within a second after the answer. Persons
//! stand in a line by their entry numbers in the register, four bytes each; national ids are not repeated. Look-ups of
//! persons with a protected address are entries of their own, durable before the answer, in those persons' lines.
//!
//! A look-up that found nobody leaves a line without persons; what was refused for want of a right stands in entries of
//! its own, with the outcome `deny`.
//!
//! When the journal cannot be written, nothing is answered any more: [`Lookups::add`] refuses.

use super::access::Who;
use super::parts::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registers::kernel::EntryNo;
use registers::{Directory, FNR_SYSTEM};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use store::{AuditEntry, Durability, MicrosUtc, PersonRef, StoreError};
use trust::register::PersonGround;

/// How long lines of one caller are gathered.
pub const GATHER: Duration = Duration::from_millis(200);
/// An entry is closed when its lines have so many bytes: below the journal's limit for members.
const MAX_LINES_BYTES: usize = 128 * 1024;
/// Lines that wait while the journal refuses; beyond, look-ups are refused.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Controller of the person register.
const CONTROLLER: &str = "PT";
/// Name of the service in the journal.
pub const SERVICE: &str = "persontjenesten";
/// Member that holds the lines.
pub const LINES: &str = "lookups";

/// Appends an entry to the access journal.
pub type Append = Arc<dyn Fn(AuditEntry, Durability) -> Result<(), StoreError> + Send + Sync>;

/// One look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// When, on the rules' clock.
    pub at: MicrosUtc,
    /// Operation, as in the contract (`get-by-nin`, …).
    pub operation: String,
    /// On what ground.
    pub ground: PersonGround,
    /// Parts asked for, as bits ([`Parts::bits`]).
    pub parts: u64,
    /// How many persons were found; lists of ids name only this.
    pub count: u64,
    /// Persons shown.
    pub persons: Vec<EntryNo>,
}

/// What the work of a request found.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Persons shown.
    pub persons: Vec<EntryNo>,
    /// National ids of those among them with a protected address.
    pub protected: Vec<String>,
    /// Found but not shown (lists of ids).
    pub counted: u64,
}

struct Group {
    first_at: MicrosUtc,
    lines: String,
    requests: u64,
    persons: u64,
}

/// Lines of one entry: of one caller, and all answered or all refused.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Heading {
    who: Who,
    is_denied: bool,
}

#[derive(Default)]
struct Waiting {
    groups: HashMap<Heading, Group>,
    /// Closed entries: full ones, and those that the journal did not take.
    closed: Vec<(Heading, Group)>,
    bytes: usize,
    failing: bool,
    ended: bool,
}

struct Inner {
    append: Append,
    directory: Arc<dyn Directory>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

/// The journal of look-ups of one process.
pub struct Lookups {
    inner: Arc<Inner>,
    writer: Option<JoinHandle<()>>,
}

impl Lookups {
    /// Over a journal; `directory` names the organisations.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(append: Append, directory: Arc<dyn Directory>) -> Result<Self, StoreError> {
        let inner = Arc::new(Inner {
            append,
            directory,
            waiting: Mutex::default(),
            wake: Condvar::new(),
        });
        let background = Arc::clone(&inner);
        let writer = std::thread::Builder::new()
            .name("lookups".to_owned())
            .spawn(move || background.run())
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        Ok(Self {
            inner,
            writer: Some(writer),
        })
    }

    /// Adds the line of a request that is about to be answered.
    ///
    /// # Errors
    /// When the journal cannot be written: the answer must not go out.
    pub fn add(&self, who: &Who, lookup: &Lookup) -> Result<(), StoreError> {
        self.line(who, false, lookup)
    }

    /// Adds the line of a request that is about to be refused because the caller has no right to it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn deny(&self, who: &Who, lookup: &Lookup) -> Result<(), StoreError> {
        self.line(who, true, lookup)
    }

    fn line(&self, who: &Who, is_denied: bool, lookup: &Lookup) -> Result<(), StoreError> {
        let heading = Heading {
            who: who.clone(),
            is_denied,
        };
        let mut waiting = self.inner.lock();
        if waiting.failing || waiting.ended || waiting.bytes > MAX_WAITING_BYTES {
            return Err(StoreError::Unavailable(
                "the journal of look-ups cannot be written".to_owned(),
            ));
        }
        let is_first = waiting.groups.is_empty() && waiting.closed.is_empty();
        let group = match waiting.groups.get_mut(&heading) {
            Some(group) => group,
            None => waiting
                .groups
                .entry(heading.clone())
                .or_insert_with(|| Group {
                    first_at: lookup.at,
                    lines: String::with_capacity(256),
                    requests: 0,
                    persons: 0,
                }),
        };
        let before = group.lines.len();
        write_line(&mut group.lines, group.first_at, lookup);
        group.requests += 1;
        group.persons += lookup.count;
        let (added, is_full) = (
            group.lines.len() - before,
            group.lines.len() > MAX_LINES_BYTES,
        );
        waiting.bytes += added;
        if is_full && let Some(closed) = waiting.groups.remove(&heading) {
            waiting.closed.push((heading, closed));
        }
        if is_first || is_full {
            self.inner.wake.notify_one();
        }
        Ok(())
    }

    /// Writes the entry of a look-up of protected persons, durable on return. `protected`: their national ids.
    ///
    /// # Errors
    /// When the journal cannot be written: the answer must not go out.
    pub fn record_first(
        &self,
        who: &Who,
        lookup: &Lookup,
        protected: &[String],
    ) -> Result<(), StoreError> {
        let mut entry = self.inner.entry(who, false, lookup.at);
        entry.persons = protected
            .iter()
            .map(|nin| PersonRef::id(FNR_SYSTEM, nin))
            .collect();
        let ground = ground_name(lookup.ground);
        let parts = part_names(lookup.parts);
        for (name, value) in [
            ("operation", json!(lookup.operation)),
            ("purpose", json!(ground)),
            ("parts_asked", json!(parts)),
            ("protected", json!(true)),
        ] {
            entry.members.insert(name.to_owned(), value);
        }
        (self.inner.append)(entry, Durability::BeforeAnswer)
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.inner.lock().ended = true;
        self.inner.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut waiting = self.lock();
            while waiting.groups.is_empty() && waiting.closed.is_empty() && !waiting.ended {
                waiting = self
                    .wake
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            // Others join the first; a full entry or the end does not wait.
            if waiting.closed.is_empty() && !waiting.ended {
                (waiting, _) = self
                    .wake
                    .wait_timeout_while(waiting, GATHER, |w| w.closed.is_empty() && !w.ended)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let ended = waiting.ended;
            let mut ready = std::mem::take(&mut waiting.closed);
            ready.extend(waiting.groups.drain());
            drop(waiting);
            let failed = self.write(ready);
            let mut waiting = self.lock();
            waiting.failing = !failed.is_empty();
            waiting.bytes = failed.iter().map(|(_, g)| g.lines.len()).sum::<usize>()
                + waiting
                    .groups
                    .values()
                    .map(|g| g.lines.len())
                    .sum::<usize>();
            waiting.closed.splice(0..0, failed);
            if ended {
                return;
            }
            if waiting.failing {
                let _ = self
                    .wake
                    .wait_timeout_while(waiting, GATHER, |w| !w.ended)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Writes entries; gives back those that the journal did not take.
    fn write(&self, ready: Vec<(Heading, Group)>) -> Vec<(Heading, Group)> {
        let mut failed = Vec::new();
        for (heading, group) in ready {
            let mut entry = self.entry(&heading.who, heading.is_denied, group.first_at);
            for (name, value) in [
                ("requests", json!(group.requests)),
                ("shown", json!(group.persons)),
                (LINES, json!(group.lines)),
            ] {
                entry.members.insert(name.to_owned(), value);
            }
            if let Err(error) = (self.append)(entry, Durability::WithinOneSecond) {
                tracing::error!(%error, "look-ups cannot be written to the access journal");
                failed.push((heading, group));
            }
        }
        failed
    }

    fn entry(&self, who: &Who, is_denied: bool, at: MicrosUtc) -> AuditEntry {
        let outcome = if is_denied { "deny" } else { "allow" };
        let kind = if who.hpr.is_some() {
            "personnel"
        } else {
            "system"
        };
        let organisation = self.directory.organisation(&who.orgnr_parent);
        let members: BTreeMap<String, Value> = [
            ("service", json!(SERVICE)),
            ("api", json!("persontjenesten/2")),
            ("action", json!("LookUp")),
            ("outcome", json!(outcome)),
            ("actor.kind", json!(kind)),
            ("actor.hpr", json!(who.hpr)),
            ("client_id", json!(who.client_id)),
            ("actor.orgnr_parent", json!(who.orgnr_parent)),
            ("actor.orgnr_child", json!(who.orgnr_child)),
            ("actor.organisation", json!(organisation.map(|o| o.name))),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        AuditEntry {
            id: uuid::Uuid::now_v7(),
            persons: Vec::new(),
            controller: CONTROLLER.to_owned(),
            occurred_at: at,
            imported: false,
            citizen_visible: false,
            members,
        }
    }
}

fn ground_name(ground: PersonGround) -> &'static str {
    match ground {
        PersonGround::LegalBasis => "legal-basis",
        PersonGround::NoLegalBasis => "no-legal-basis",
    }
}

fn part_names(bits: u64) -> Vec<&'static str> {
    super::parts::Part::ALL
        .iter()
        .filter(|part| bits & Parts::from_iter([**part]).bits() != 0)
        .map(|part| part.name())
        .collect()
}

/// `milliseconds operation ground parts count persons`, a line each; persons as entry numbers of four bytes, base64url.
fn write_line(out: &mut String, first_at: MicrosUtc, lookup: &Lookup) {
    let after_ms = lookup.at.saturating_sub(first_at) / 1_000;
    let _ = write!(
        out,
        "{after_ms} {} {} {:x} {} ",
        lookup.operation,
        ground_name(lookup.ground),
        lookup.parts,
        lookup.count
    );
    let numbers: Vec<u8> = lookup
        .persons
        .iter()
        .flat_map(|no| no.0.to_be_bytes())
        .collect();
    URL_SAFE_NO_PAD.encode_string(numbers, out);
    out.push('\n');
}

/// The look-ups of an entry of the journal; `None` for an entry of another kind. Lines that cannot be read are left out.
#[must_use]
pub fn read(entry: &AuditEntry) -> Option<Vec<Lookup>> {
    let lines = entry.members.get(LINES)?.as_str()?;
    Some(
        lines
            .lines()
            .filter_map(|line| read_line(line, entry.occurred_at))
            .collect(),
    )
}

fn read_line(line: &str, first_at: MicrosUtc) -> Option<Lookup> {
    let mut words = line.split(' ');
    let after_ms: i64 = words.next()?.parse().ok()?;
    let operation = words.next()?.to_owned();
    let ground = match words.next()? {
        "legal-basis" => PersonGround::LegalBasis,
        "no-legal-basis" => PersonGround::NoLegalBasis,
        _ => return None,
    };
    let parts = u64::from_str_radix(words.next()?, 16).ok()?;
    let count = words.next()?.parse().ok()?;
    let numbers = URL_SAFE_NO_PAD.decode(words.next()?).ok()?;
    let persons = numbers
        .as_chunks::<4>()
        .0
        .iter()
        .map(|number| EntryNo(u32::from_be_bytes(*number)))
        .collect();
    Some(Lookup {
        at: first_at.saturating_add(after_ms.saturating_mul(1_000)),
        operation,
        ground,
        parts,
        count,
        persons,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup() -> impl Strategy<Value = Lookup> {
        (
            0i64..1_000,
            prop_oneof![Just("get-by-nin"), Just("bulk-by-id")],
            any::<bool>(),
            any::<u64>(),
            prop::collection::vec(any::<u32>(), 0..120),
        )
            .prop_map(|(ms, operation, legal, parts, persons)| Lookup {
                at: 1_000_000 + ms * 1_000,
                operation: operation.to_owned(),
                ground: if legal {
                    PersonGround::LegalBasis
                } else {
                    PersonGround::NoLegalBasis
                },
                parts,
                count: persons.len() as u64,
                persons: persons.into_iter().map(EntryNo).collect(),
            })
    }

    proptest! {
        #[test]
        fn lines_are_read_back(lookups in prop::collection::vec(lookup(), 0..5)) {
            let mut lines = String::new();
            lookups.iter().for_each(|l| write_line(&mut lines, 1_000_000, l));
            let read: Vec<Lookup> = lines.lines().filter_map(|l| read_line(l, 1_000_000)).collect();
            prop_assert_eq!(read, lookups);
        }

        #[test]
        fn any_line_is_read_without_panic(line in "\\PC{0,60}") {
            let _ = read_line(&line, 0);
        }
    }
}
