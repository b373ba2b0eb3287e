//! The second place: purges and settings, appended with the commit to a folder elsewhere (DESIGN §3.10), so that a
//! restore of an older backup neither brings back what was erased nor forgets what a citizen has blocked.
//!
//! One entry per commit that purges or is marked `mirror`. Entries are numbered without gaps. How an engine keeps the
//! mirror exact over crashes: it numbers the entry and stores it in the commit's own transaction (an outbox row), then
//! appends it here and flushes *before* it answers, then drops the row; at open it appends the rows that
//! [`Mirror::last`] shows missing.

use crate::journal::chain::b64;
use crate::journal::groups;
use crate::{
    Alias, Commit, Committed, IndexKey, MicrosUtc, Op, PersonKey, PersonRef, Privacy, Purge, Put,
    PutId, RepoId, Seq, StoreError,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use uuid::Uuid;

/// One mirrored commit, with names that mean the same in every store.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MirrorEntry {
    /// Number, gapless from 1, over all incarnations that used this mirror.
    pub n: u64,
    /// Incarnation that wrote it.
    pub incarnation: Uuid,
    /// Last place in the log of the commit.
    pub seq: Seq,
    /// Commit time.
    pub at: MicrosUtc,
    /// New versions (only of commits marked `mirror`).
    pub puts: Vec<MirrorPut>,
    /// Purges: repository name, type, id.
    pub purges: Vec<(String, String, String)>,
    /// Raised persons.
    pub raise: Vec<PersonRef>,
    /// Rules epoch raised.
    pub raise_rules: bool,
    /// Merges and splits.
    pub aliases: Vec<MirrorAlias>,
}

/// National ids and settings never reach a log through `{:?}`.
impl std::fmt::Debug for MirrorEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MirrorEntry({})", self.n)
    }
}

/// A mirrored version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MirrorPut {
    /// Repository name.
    pub repo: String,
    /// Type.
    pub rtype: String,
    /// Id.
    pub id: String,
    /// What was done.
    pub op: Op,
    /// Body, base64url.
    pub body: String,
    /// Keys.
    pub keys: Vec<IndexKey>,
    /// Definition pack.
    pub pack: u32,
    /// Persons by identifier.
    pub persons: Vec<PersonRef>,
    /// Privacy columns, persons by identifier.
    pub privacy: Privacy,
}

/// A mirrored merge or split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MirrorAlias {
    /// `from` leads to `to`.
    Merge {
        /// Ends.
        from: PersonRef,
        /// Stays.
        to: PersonRef,
    },
    /// Stands alone again.
    Split {
        /// Was merged.
        from: PersonRef,
    },
    /// One more identifier.
    AlsoKnownAs {
        /// Person.
        person: PersonRef,
        /// System.
        system: String,
        /// Value.
        value: String,
    },
}

/// What a mirror asks of the engine to give names.
pub trait Names {
    /// Name of a repository.
    fn repository(&self, repo: RepoId) -> Option<String>;
    /// Some identifier of a person.
    fn identifier(&self, person: PersonKey) -> Option<(String, String)>;
}

impl MirrorEntry {
    /// The entry of a commit; `None` when there is nothing to mirror. `n` is the next number. Blobs are not mirrored
    /// (settings have none). A person without any identifier cannot be named elsewhere: `Invalid`.
    pub fn of(
        n: u64,
        incarnation: Uuid,
        commit: &Commit,
        committed: &Committed,
        names: &dyn Names,
    ) -> Result<Option<Self>, StoreError> {
        if !commit.mirror && commit.purge.is_empty() {
            return Ok(None);
        }
        let repository = |repo: RepoId| {
            names
                .repository(repo)
                .ok_or_else(|| StoreError::Invalid(format!("unknown repository {}", repo.0)))
        };
        let mut entry = Self {
            n,
            incarnation,
            seq: committed.snapshot,
            at: committed.at,
            puts: Vec::new(),
            purges: Vec::new(),
            raise: Vec::new(),
            raise_rules: false,
            aliases: Vec::new(),
        };
        for purge in &commit.purge {
            let name = (
                repository(purge.repo)?,
                purge.rtype.clone(),
                purge.id.clone(),
            );
            entry.purges.push(name);
        }
        if !commit.mirror {
            return Ok(Some(entry));
        }
        let person = |p: &PersonRef| by_identifier(p, names);
        let persons = |list: &[PersonRef]| list.iter().map(person).collect::<Result<Vec<_>, _>>();
        for (put, receipt) in commit.put.iter().zip(&committed.puts) {
            let mut privacy = put.privacy.clone();
            privacy.author_person = privacy.author_person.as_ref().map(person).transpose()?;
            privacy.owner = privacy.owner.as_ref().map(person).transpose()?;
            entry.puts.push(MirrorPut {
                repo: repository(put.repo)?,
                rtype: put.rtype.clone(),
                id: receipt.id.clone(),
                op: put.op,
                body: b64(&put.body),
                keys: put.keys.clone(),
                pack: put.pack,
                persons: persons(&put.persons)?,
                privacy,
            });
        }
        entry.raise = persons(&commit.raise)?;
        entry.raise_rules = commit.raise_rules;
        for alias in &commit.alias {
            entry.aliases.push(match alias {
                Alias::Merge { from, to } => MirrorAlias::Merge {
                    from: person(from)?,
                    to: person(to)?,
                },
                Alias::Split { from } => MirrorAlias::Split {
                    from: person(from)?,
                },
                Alias::AlsoKnownAs {
                    person: p,
                    system,
                    value,
                } => MirrorAlias::AlsoKnownAs {
                    person: person(p)?,
                    system: system.clone(),
                    value: value.clone(),
                },
            });
        }
        Ok(Some(entry))
    }

    /// The commits that play the entry again, in order: what is new first, then each deletion and each purge on its own
    /// (one of them may find nothing to do). `Invalid` when this build lacks a repository that the entry names.
    pub fn to_commits(
        &self,
        repository: &dyn Fn(&str) -> Option<RepoId>,
    ) -> Result<Vec<Commit>, StoreError> {
        let number = |name: &str| {
            repository(name).ok_or_else(|| {
                StoreError::Invalid(format!("mirror entry {} names repository {name}", self.n))
            })
        };
        let mut first = Commit {
            raise: self.raise.clone(),
            raise_rules: self.raise_rules,
            alias: self.aliases.iter().cloned().map(Alias::from).collect(),
            ..Commit::default()
        };
        let mut rest = Vec::new();
        for put in &self.puts {
            let body = URL_SAFE_NO_PAD
                .decode(&put.body)
                .map_err(|_| StoreError::Corrupt(format!("mirror entry {}: body", self.n)))?;
            let again = Put {
                repo: number(&put.repo)?,
                rtype: put.rtype.clone(),
                id: PutId::Given(put.id.clone()),
                // An update with a given id also creates, whatever the backup holds.
                op: if put.op == Op::Delete {
                    Op::Delete
                } else {
                    Op::Update
                },
                body: body.into(),
                keys: put.keys.clone(),
                pack: put.pack,
                persons: put.persons.clone(),
                privacy: put.privacy.clone(),
                blobs: Vec::new(),
            };
            if put.op == Op::Delete {
                rest.push(Commit {
                    put: vec![again],
                    ..Commit::default()
                });
            } else {
                first.put.push(again);
            }
        }
        for (repo, rtype, id) in &self.purges {
            let purge = Purge {
                repo: number(repo)?,
                rtype: rtype.clone(),
                id: id.clone(),
            };
            rest.push(Commit {
                purge: vec![purge],
                ..Commit::default()
            });
        }
        let mut all = Vec::with_capacity(rest.len() + 1);
        if first != Commit::default() {
            all.push(first);
        }
        all.extend(rest);
        Ok(all)
    }
}

impl From<MirrorAlias> for Alias {
    fn from(alias: MirrorAlias) -> Self {
        match alias {
            MirrorAlias::Merge { from, to } => Self::Merge { from, to },
            MirrorAlias::Split { from } => Self::Split { from },
            MirrorAlias::AlsoKnownAs {
                person,
                system,
                value,
            } => Self::AlsoKnownAs {
                person,
                system,
                value,
            },
        }
    }
}

fn by_identifier(person: &PersonRef, names: &dyn Names) -> Result<PersonRef, StoreError> {
    match person {
        PersonRef::Id { .. } => Ok(person.clone()),
        PersonRef::Key(key) => names
            .identifier(*key)
            .map(|(system, value)| PersonRef::Id { system, value })
            .ok_or_else(|| {
                StoreError::Invalid(format!("person {} has no identifier to mirror", key.0))
            }),
    }
}

const FILE: &str = "mirror.hnm";
const SERIES: u64 = u64::from_be_bytes(*b"mirror-1");

/// The mirror's file, open for appending. One writer. Form: [`crate::journal`]'s groups of JSON lines, one entry each.
#[derive(Debug)]
pub struct Mirror {
    file: File,
    groups: u64,
    end: u64,
    last: u64,
    sync: bool,
}

impl Mirror {
    /// Opens (and makes, when absent) the mirror in `folder`; cuts a torn tail (its commit was never answered; the engine
    /// appends it again from its outbox). Damage before the tail is `Corrupt`.
    pub fn open(folder: &Path, unsafe_no_sync: bool) -> Result<Self, StoreError> {
        let cannot = |e: std::io::Error| StoreError::CannotOpen(format!("mirror: {e}"));
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(folder.join(FILE)).map_err(cannot)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(cannot)?;
        let (entries, groups) = parse(&bytes)?;
        let end = groups.end as u64;
        if groups.torn {
            file.set_len(end).map_err(cannot)?;
        }
        file.seek(SeekFrom::Start(end)).map_err(cannot)?;
        if !unsafe_no_sync {
            file.sync_all().map_err(cannot)?;
            File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(cannot)?;
        }
        Ok(Self {
            file,
            groups: groups.payloads.len() as u64,
            end,
            last: entries.last().map_or(0, |e| e.n),
            sync: !unsafe_no_sync,
        })
    }

    /// Number of the newest entry; 0 = none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Appends entries (numbers following [`Mirror::last`], or any where there is none yet; older ones are skipped) and flushes them. After an error the
    /// file is as before, as far as the disk allows; the same entries may be appended again.
    pub fn append(&mut self, entries: &[MirrorEntry]) -> Result<(), StoreError> {
        let mut payload = Vec::new();
        let mut last = self.last;
        for entry in entries.iter().filter(|e| e.n > self.last) {
            // A new file goes on where a lost one ended: what it lacks is seen by its first number.
            if entry.n != last + 1 && last != 0 {
                let text = format!("mirror: entry {} after {last}", entry.n);
                return Err(StoreError::Invalid(text));
            }
            last = entry.n;
            serde_json::to_writer(&mut payload, entry)
                .map_err(|e| StoreError::Invalid(format!("mirror entry {}: {e}", entry.n)))?;
            payload.push(b'\n');
        }
        if payload.is_empty() {
            return Ok(());
        }
        let failed = |e: std::io::Error| StoreError::Unavailable(format!("mirror: {e}"));
        let group = groups::frame(SERIES, self.groups, &payload).map_err(failed)?;
        let sync = self.sync;
        let written = self
            .file
            .write_all(&group)
            .and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            let _ = self.file.set_len(self.end);
            let _ = self.file.seek(SeekFrom::Start(self.end));
            return Err(failed(error));
        }
        self.groups += 1;
        self.end += group.len() as u64;
        self.last = last;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<(Vec<MirrorEntry>, groups::Groups<'_>), StoreError> {
    let corrupt = |what: String| StoreError::Corrupt(format!("mirror: {what}"));
    let groups = groups::read(bytes, SERIES).map_err(corrupt)?;
    let mut entries: Vec<MirrorEntry> = Vec::new();
    for line in groups
        .payloads
        .iter()
        .flat_map(|p| p.split(|b| *b == b'\n'))
    {
        if line.is_empty() {
            continue;
        }
        let entry: MirrorEntry = serde_json::from_slice(line)
            .map_err(|_| corrupt(format!("the entry after {} is damaged", entries.len())))?;
        if entries.last().is_some_and(|last| entry.n != last.n + 1) {
            return Err(corrupt(format!("entry {} is out of order", entry.n)));
        }
        entries.push(entry);
    }
    Ok((entries, groups))
}

/// Entries with `n > after`, ascending, read-only. `Corrupt` when one is missing between `after` and the newest, when the
/// mirror ends before `after`, or when it is damaged; `Unavailable` when there is none.
pub fn read_after(folder: &Path, after: u64) -> Result<Vec<MirrorEntry>, StoreError> {
    let bytes = std::fs::read(folder.join(FILE))
        .map_err(|e| StoreError::Unavailable(format!("mirror: {e}")))?;
    let (mut entries, _) = parse(&bytes)?;
    let last = entries.last().map_or(0, |e| e.n);
    entries.retain(|e| e.n > after);
    if last < after || entries.first().is_some_and(|e| e.n != after + 1) {
        return Err(StoreError::Corrupt(format!(
            "mirror: it holds entries up to {last} and lacks some after {after}, which the backup knows of"
        )));
    }
    Ok(entries)
}
