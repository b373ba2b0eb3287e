//! The logical export: the resources of FHIR repositories as NDJSON, for whoever takes the data over (DESIGN §4).
//!
//! An operator never sees content (spec/privacy.md §9.2): pieces of a patient repository leave encrypted to the receiver's
//! certificate (CMS EnvelopedData, AES-256, RSA-OAEP), and each citizen finds a line in her log before the piece with her
//! resources is out. The export itself leaves a line with its reason before anything else happens.

use crate::Opened;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use store::{
    AuditEntry, Durability, Granted, HistoryScope, MicrosUtc, Op, PersonKey, PersonRef, Record,
    RepoId, Rid, Seq, Snapshot, Store,
};
use trust::class::Class;
use xmlsec::cms::{Cipher, KeyTransport, envelope};
use xmlsec::x509::Certificate;

/// A piece is closed when it holds this much, bytes of NDJSON.
const PIECE_BYTES: usize = 16 << 20;
/// Versions read at once.
const CHUNK: usize = 500;
/// Persons of one line of the log.
const PERSONS: usize = 500;

/// What is exported, why and for whom.
#[derive(Clone, Debug)]
pub struct Order {
    /// Names of the repositories; empty = all FHIR repositories.
    pub repositories: Vec<String>,
    /// Every version, not only the newest.
    pub history: bool,
    /// Why; stands in the journal.
    pub reason: String,
    /// To whom pieces with patient data are encrypted.
    pub receiver: Option<Certificate>,
}

/// One file.
pub struct Piece {
    /// Place below the folder of the export: repository, then type and number.
    pub name: String,
    /// Its bytes, encrypted where the repository holds patients.
    pub bytes: Vec<u8>,
    /// Resources in it.
    pub resources: u64,
}

struct Run<'o> {
    order: &'o Order,
    opened: &'o Opened,
    grant: Granted,
    at: MicrosUtc,
}

struct Source<'r> {
    name: &'r str,
    repo: RepoId,
    is_open: bool,
}

#[derive(Default)]
struct Filling {
    lines: Vec<u8>,
    resources: u64,
    number: u32,
    /// Whose resources these are, by the controller that answers for them.
    concerned: BTreeMap<String, Concerned>,
}

#[derive(Default)]
struct Concerned {
    persons: BTreeSet<PersonKey>,
    parts: BTreeSet<&'static str>,
}

/// Exports; `out` is given one piece after the other, and `count` the number of resources so far. Returns the numbers of
/// resources by repository, and the place of the log that they show.
///
/// # Errors
/// An unknown repository, patient data without a receiver, a store that fails, or what `out` answers.
pub fn run(
    opened: &Opened,
    order: &Order,
    out: &mut dyn FnMut(Piece) -> Result<()>,
) -> Result<(BTreeMap<String, u64>, Seq)> {
    let known = crate::fhir::targets(opened)?;
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    for name in &order.repositories {
        if !names.contains(&name.as_str()) {
            bail!(
                "there is no FHIR repository {name}; there are {}",
                names.join(", ")
            );
        }
    }
    if order.reason.trim().is_empty() {
        bail!("an export needs a reason");
    }
    let is_wanted = |name: &str| {
        order.repositories.is_empty() || order.repositories.iter().any(|wanted| wanted == name)
    };
    let sources: Vec<Source<'_>> = known
        .iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, target)| Source {
            name,
            repo: target.repo,
            is_open: *name == crate::fhir::SANDBOX,
        })
        .collect();
    if order.receiver.is_none() && sources.iter().any(|s| !s.is_open) {
        bail!(
            "patient data is exported to a receiver only: name the file with the receiver's certificate"
        );
    }
    let run = Run {
        order,
        opened,
        grant: opened.trust.hub("export"),
        at: opened.clock.now_us(),
    };
    let snapshot = opened.store.snapshot()?;
    run.announce(&sources, snapshot.seq())?;
    let mut counts = BTreeMap::new();
    for source in &sources {
        let count = run.repository(source, &snapshot, out)?;
        counts.insert(source.name.to_owned(), count);
    }
    Ok((counts, snapshot.seq()))
}

impl Run<'_> {
    /// The line of the export itself.
    fn announce(&self, sources: &[Source<'_>], at: Seq) -> Result<()> {
        let names: Vec<&str> = sources.iter().map(|s| s.name).collect();
        let mut members = self.members();
        members.insert("item_ids".to_owned(), json!(names));
        members.insert("history".to_owned(), json!(self.order.history));
        members.insert("snapshot".to_owned(), json!(at.0));
        if let Some(receiver) = &self.order.receiver {
            let thumbprint = receiver.thumbprint_sha1();
            members.insert("receiver.certificate".to_owned(), json!(thumbprint));
        }
        self.write(Vec::new(), "HUB", false, members)
    }

    fn members(&self) -> BTreeMap<String, Value> {
        let mut members = BTreeMap::from([
            ("actor.kind".to_owned(), json!("operator")),
            ("action".to_owned(), json!("Export")),
            ("service".to_owned(), json!("eksport")),
            ("api".to_owned(), json!("helsenav export")),
            ("outcome".to_owned(), json!("allow")),
            ("reason".to_owned(), json!(self.order.reason.trim())),
        ]);
        let receiver = self.order.receiver.as_ref();
        if let Some(name) = receiver.and_then(Certificate::common_name) {
            members.insert("actor.organisation".to_owned(), json!(name));
        }
        members
    }

    fn write(
        &self,
        persons: Vec<PersonRef>,
        controller: &str,
        citizen_visible: bool,
        members: BTreeMap<String, Value>,
    ) -> Result<()> {
        let entry = AuditEntry {
            id: uuid::Uuid::now_v7(),
            persons,
            controller: controller.to_owned(),
            occurred_at: self.at,
            imported: false,
            citizen_visible,
            members,
        };
        let store: &Store = &self.opened.store;
        store.audit(entry, Durability::BeforeAnswer)?;
        Ok(())
    }

    fn repository(
        &self,
        source: &Source<'_>,
        snapshot: &Snapshot,
        out: &mut dyn FnMut(Piece) -> Result<()>,
    ) -> Result<u64> {
        let scope = HistoryScope::Repository { repo: source.repo };
        let (mut before, mut total) = (None, 0);
        let mut seen: HashSet<Rid> = HashSet::new();
        let mut filling: BTreeMap<String, Filling> = BTreeMap::new();
        loop {
            let versions = snapshot.history(&self.grant, &scope, before, CHUNK)?;
            let is_last = versions.len() < CHUNK;
            before = versions.last().map(|v| v.head.seq);
            for record in versions {
                let is_newest = seen.insert(record.head.rid);
                let is_there = !matches!(record.head.op, Op::Delete | Op::Purge);
                if !is_there || !(is_newest || self.order.history) {
                    continue;
                }
                total += 1;
                let rtype = record.head.rtype.clone();
                let piece = filling.entry(rtype.clone()).or_default();
                piece.take(&record)?;
                if piece.lines.len() >= PIECE_BYTES {
                    self.close(source, &rtype, piece, out)?;
                }
            }
            if is_last {
                break;
            }
        }
        for (rtype, piece) in &mut filling {
            if piece.resources > 0 {
                self.close(source, rtype, piece, out)?;
            }
        }
        Ok(total)
    }

    /// The persons' lines first, then the piece.
    fn close(
        &self,
        source: &Source<'_>,
        rtype: &str,
        filling: &mut Filling,
        out: &mut dyn FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        filling.number += 1;
        let number = filling.number;
        let done = std::mem::take(filling);
        filling.number = number;
        if !source.is_open {
            for (controller, concerned) in &done.concerned {
                let mut members = self.members();
                // To the citizen it is the receiver's system that has got her data.
                members.insert("actor.kind".to_owned(), json!("system"));
                members.insert("parts".to_owned(), json!(concerned.parts));
                let persons: Vec<PersonRef> = concerned
                    .persons
                    .iter()
                    .copied()
                    .map(PersonRef::Key)
                    .collect();
                for some in persons.chunks(PERSONS) {
                    self.write(some.to_vec(), controller, true, members.clone())?;
                }
            }
        }
        let bytes = match &self.order.receiver {
            Some(receiver) if !source.is_open => envelope(
                &done.lines,
                &[receiver],
                Cipher::Aes256Cbc,
                KeyTransport::OaepSha256,
            )
            .context("the receiver's certificate cannot be encrypted to; it needs an RSA key")?,
            _ => done.lines,
        };
        let ending = if source.is_open { "" } else { ".p7m" };
        out(Piece {
            name: format!("{}/{rtype}.{number:06}.ndjson{ending}", source.name),
            bytes,
            resources: done.resources,
        })
    }
}

impl Filling {
    fn take(&mut self, record: &Record) -> Result<()> {
        let head = &record.head;
        let resource = records::render::resource(record)
            .map_err(|_| anyhow::anyhow!("{} {} cannot be read", head.rtype, head.id))?;
        // A line is a resource: line ends in the text of a body are between its members only.
        self.lines.extend(
            resource
                .iter()
                .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }),
        );
        self.lines.push(b'\n');
        self.resources += 1;
        let controller = match head.privacy.controller.as_str() {
            "" => "HUB",
            controller => controller,
        };
        if !head.persons.is_empty() {
            let concerned = self.concerned.entry(controller.to_owned()).or_default();
            concerned.persons.extend(&head.persons);
            let class = Class::from_code(head.privacy.class);
            concerned.parts.extend(class.map(|c| c.part().code()));
        }
        Ok(())
    }
}
