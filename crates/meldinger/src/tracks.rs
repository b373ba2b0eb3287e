//! Tracks in the store: one record each in the repository `meldinger`, found through index keys of our own.

use bytes::Bytes;
use store::{
    Direction, Expect, FeedEvent, Granted, HistoryScope, IndexKey, KeyRange, Op, Privacy, Put,
    PutId, Rekey, RepoId, Rid, Seq, Snapshot, Store, StoreError, Vno,
};

use crate::counter::Told;
use crate::rules::track::Track;

pub(crate) const RTYPE: &str = "MessageTrack";
/// What makes the keys below. 2: those that need a human by party, and by state. 3: hours in place of moments.
pub(crate) const PACK: u32 = 3;
/// Room for most tracks and envelopes as JSON.
pub(crate) const TRACK_BYTES: usize = 1_536;
/// Records of one batch of [`Tracks::renew_keys`].
const RENEWED: usize = 500;
/// What stands for every party where a key begins with one.
pub(crate) const ANYBODY: u32 = 0;

/// Index parameters of this repository. Stable: they stand in stored keys.
pub(crate) mod param {
    /// AMQP message-id.
    pub const MESSAGE_ID: u32 = 1;
    /// MsgId, lower case.
    pub const MSG_ID: u32 = 2;
    /// Level-1 HER-id of a party, then hour ([`super::hour_key`]).
    pub const PARTY: u32 = 3;
    /// Hour.
    pub const ALL: u32 = 4;
    /// Second at which the next reminder is due ([`super::second_key`]), while a receipt is awaited.
    pub const REMINDER: u32 = 6;
    /// Hour, of security events.
    pub const ALERT: u32 = 7;
    /// Id of the track that a receipt or error is about.
    pub const ABOUT: u32 = 8;
    /// MsgId of the first message of the thread, lower case.
    pub const CONVERSATION: u32 = 9;
    /// When the hub's message handler looks at it next.
    pub const OUTGOING: u32 = 10;
    /// HER-id of an API user, then time and track: what it has not read.
    pub const INBOX: u32 = 11;
    /// Level-1 HER-id of a party or [`super::ANYBODY`], then hour: those that need a human.
    pub const HUMAN: u32 = 12;
    /// Level-1 HER-id of a party or [`super::ANYBODY`], code of the state, zero, then hour: those on the way ([`super::is_found_by_state`]).
    pub const STATE: u32 = 13;
}

/// Time in an order-preserving form.
pub(crate) fn time_key(at_us: i64) -> [u8; 8] {
    ((at_us as u64) ^ (1 << 63)).to_be_bytes()
}

/// The hour that a moment lies in, in an order-preserving form. Records of one key stand in the order they came, so lists by
/// hour are lists by time; and a busy hour's thousands of records share one key, which the index then keeps once.
pub(crate) fn hour_key(at_us: i64) -> [u8; 4] {
    let hours = at_us.div_euclid(3_600_000_000);
    let from_lowest = hours.clamp(i32::MIN.into(), i32::MAX.into()) - i64::from(i32::MIN);
    (from_lowest as u32).to_be_bytes()
}

/// The second that a moment lies in, likewise.
pub(crate) fn second_key(at_us: i64) -> [u8; 8] {
    time_key(at_us.div_euclid(1_000_000))
}

/// How the keys of one state begin.
pub(crate) fn state_key(organisation: u32, state: &str) -> Vec<u8> {
    [&organisation.to_be_bytes()[..], state.as_bytes(), &[0]].concat()
}

/// Whether messages in a state have a key of it. The ends that most messages come to have none: the newest of all are such.
pub(crate) fn is_found_by_state(state: &str) -> bool {
    !matches!(state, "accepted" | "done")
}

fn keys(track: &Track) -> Vec<IndexKey> {
    let text = |param, text: &str| IndexKey {
        param,
        value: text.bytes().take(200).collect(),
    };
    let (received, hour) = (
        time_key(track.received_at_us),
        hour_key(track.received_at_us),
    );
    let mut keys = vec![
        text(param::MESSAGE_ID, &track.message_id),
        IndexKey {
            param: param::ALL,
            value: hour.to_vec(),
        },
    ];
    keys.extend(
        track
            .msg_id
            .as_deref()
            .map(|id| text(param::MSG_ID, &id.to_lowercase())),
    );
    keys.extend(track.about.as_deref().map(|id| text(param::ABOUT, id)));
    keys.extend(
        track
            .conversation
            .as_deref()
            .map(|id| text(param::CONVERSATION, &id.to_lowercase())),
    );
    let mut parties = vec![track.from_organisation, track.to_organisation];
    parties.dedup();
    parties.retain(|party| *party != ANYBODY);
    for party in &parties {
        keys.push(IndexKey {
            param: param::PARTY,
            value: [party.to_be_bytes(), hour].concat(),
        });
    }
    let state = track.state.code();
    for seer in std::iter::once(ANYBODY).chain(parties) {
        if track.state.needs_human() {
            keys.push(IndexKey {
                param: param::HUMAN,
                value: [seer.to_be_bytes(), hour].concat(),
            });
        }
        if is_found_by_state(state) {
            keys.push(IndexKey {
                param: param::STATE,
                value: [&state_key(seer, state)[..], &hour].concat(),
            });
        }
    }
    let reminder = track
        .next_reminder_us
        .filter(|_| track.state.awaits_receipt());
    keys.extend(reminder.map(|due| IndexKey {
        param: param::REMINDER,
        value: second_key(due).to_vec(),
    }));
    keys.extend(track.next_attempt_us.map(|due| IndexKey {
        param: param::OUTGOING,
        value: time_key(due).to_vec(),
    }));
    if track.is_unread {
        keys.push(IndexKey {
            param: param::INBOX,
            value: [&track.to.to_be_bytes()[..], &received, track.id.as_bytes()].concat(),
        });
    }
    if track.alert.is_some() {
        keys.push(IndexKey {
            param: param::ALERT,
            value: hour.to_vec(),
        });
    }
    keys
}

/// A track as read, with the version it had.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub track: Track,
    pub vno: Vno,
}

/// Reads and prepares writes of tracks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tracks {
    store: Store,
    grant: Granted,
    repo: RepoId,
}

impl Tracks {
    pub fn new(store: Store, grant: Granted) -> Result<Self, StoreError> {
        let repo = store.repo(crate::REPOSITORY)?;
        Ok(Self { store, grant, repo })
    }

    /// The right to read and write them.
    pub fn grant(&self) -> &Granted {
        &self.grant
    }

    /// The repository.
    pub fn repo(&self) -> RepoId {
        self.repo
    }

    /// Whether a place of the feed is about a track.
    pub fn is_track(&self, repo: RepoId, rtype: &str) -> bool {
        repo == self.repo && rtype == RTYPE
    }

    /// One version of a track.
    pub fn version(&self, id: &str, vno: Vno) -> Result<Option<Track>, StoreError> {
        let record = self
            .store
            .snapshot()?
            .vread(&self.grant, self.repo, RTYPE, id, vno)?;
        Ok(record.and_then(|record| decode(&record)).map(|s| s.track))
    }

    /// A record of another type in the same repository: body and version.
    pub fn other(&self, rtype: &str, id: &str) -> Result<Option<(Bytes, Vno)>, StoreError> {
        let record = self
            .store
            .snapshot()?
            .read(&self.grant, self.repo, rtype, id)?;
        Ok(record
            .filter(|record| record.head.op != Op::Delete)
            .map(|record| (record.body, record.head.vno)))
    }

    /// A new track's record.
    pub fn create(&self, track: &Track) -> Put {
        self.put(track, Op::Create)
    }

    /// A changed track's record, and the condition that nobody else changed it meanwhile.
    pub fn update(&self, stored: &Stored) -> (Expect, Put) {
        let id = stored.track.id.clone();
        let expect = Expect::Version {
            repo: self.repo,
            rtype: RTYPE.to_owned(),
            id,
            vno: stored.vno,
        };
        (expect, self.put(&stored.track, Op::Update))
    }

    fn put(&self, track: &Track, op: Op) -> Put {
        let kept = [&track.original, &track.answer, &track.prepared];
        let mut blobs: Vec<_> = kept
            .into_iter()
            .filter_map(|hash| blob_hash(hash.as_deref()?))
            .collect();
        blobs.dedup();
        Put {
            repo: self.repo,
            rtype: RTYPE.to_owned(),
            id: PutId::Given(track.id.clone()),
            op,
            body: json(track, TRACK_BYTES),
            keys: keys(track),
            pack: PACK,
            persons: Vec::new(),
            privacy: Privacy {
                controller: "MELDINGER".to_owned(),
                ..Privacy::default()
            },
            blobs,
        }
    }

    pub fn get(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        let record = self
            .store
            .snapshot()?
            .read(&self.grant, self.repo, RTYPE, id)?;
        Ok(record
            .filter(|record| record.head.op != Op::Delete)
            .and_then(|record| decode(&record)))
    }

    /// Tracks that carry exactly this key, at most `limit`.
    pub fn find(&self, param: u32, value: &[u8], limit: usize) -> Result<Vec<Stored>, StoreError> {
        let key = IndexKey {
            param,
            value: value.iter().copied().take(200).collect(),
        };
        let snapshot = self.store.snapshot()?;
        let exact = KeyRange::exact(&key);
        // Mostly there is none, and to count none is cheaper than to walk to it.
        if self.store.reads_are_quick() && snapshot.estimate_up_to(self.repo, &exact, 1)? == 0 {
            return Ok(Vec::new());
        }
        let mut rows = snapshot.scan(
            &self.grant,
            self.repo,
            &exact,
            Direction::Descending,
            None,
            limit,
        )?;
        rows.truncate(limit);
        self.fetch(
            &snapshot,
            &rows.into_iter().map(|row| row.rid).collect::<Vec<_>>(),
        )
    }

    /// Tracks in a range of one parameter, in order, after `after`.
    pub fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        after: Option<&store::IndexRow>,
        limit: usize,
    ) -> Result<Vec<(store::IndexRow, Stored)>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let rows = snapshot.scan(&self.grant, self.repo, range, direction, after, limit)?;
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(stored) = self.fetch(&snapshot, &[row.rid])?.pop() {
                out.push((row, stored));
            }
        }
        Ok(out)
    }

    /// Versions of tracks between two places of the log, as they were written: what the counter reads.
    pub fn versions(
        &self,
        snapshot: &Snapshot,
        after: Seq,
        up_to: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, Told)>, StoreError> {
        let scope = HistoryScope::Type {
            repo: self.repo,
            rtype: RTYPE.to_owned(),
        };
        let before = Some(Seq(up_to.0.saturating_add(1)));
        let records = snapshot.history(&self.grant, &scope, before, limit)?;
        Ok(records
            .into_iter()
            .filter(|record| record.head.seq > after)
            .filter_map(|record| {
                let told = serde_json::from_slice(&record.body).ok()?;
                Some((record.head.seq, told))
            })
            .collect())
    }

    /// Whether this place of the log is a version of a track.
    pub fn is_version(&self, event: &FeedEvent) -> bool {
        matches!(event, FeedEvent::Version { repo, rtype, op, .. }
            if *repo == self.repo && rtype == RTYPE && matches!(op, Op::Create | Op::Update))
    }

    /// Makes the keys of some tracks anew that an earlier version of the program has written: those after `after`. Returns where to go on;
    /// nothing when it came to the end. Blocks.
    pub fn renew_keys(&self, after: Rid) -> Result<Option<Rid>, StoreError> {
        let rids = self.store.outdated(self.repo, PACK, after, RENEWED)?;
        let Some(last) = rids.last() else {
            return Ok(None);
        };
        let snapshot = self.store.snapshot()?;
        let mut changes = Vec::with_capacity(rids.len());
        for record in snapshot.fetch(&self.grant, &rids)? {
            let keys = match decode(&record).filter(|_| record.head.rtype == RTYPE) {
                Some(stored) => keys(&stored.track),
                None => snapshot.keys(&self.grant, record.head.rid)?,
            };
            changes.push(Rekey {
                rid: record.head.rid,
                vno: record.head.vno,
                keys,
                pack: PACK,
            });
        }
        // Whatever changed meanwhile was written with keys of today.
        self.store.rekey(self.repo, &changes)?;
        Ok(Some(*last))
    }

    fn fetch(&self, snapshot: &Snapshot, rids: &[Rid]) -> Result<Vec<Stored>, StoreError> {
        let records = snapshot.fetch(&self.grant, rids)?;
        Ok(records.iter().filter_map(decode).collect())
    }
}

fn decode(record: &store::Record) -> Option<Stored> {
    let mut track: Track = serde_json::from_slice(&record.body).ok()?;
    track.id.clone_from(&record.head.id);
    // What that version added has been counted with it.
    track.news.clear();
    Some(Stored {
        track,
        vno: record.head.vno,
    })
}

/// A value as JSON, in a buffer of about the right size.
pub(crate) fn json(value: &impl serde::Serialize, about_bytes: usize) -> Bytes {
    let mut out = Vec::with_capacity(about_bytes);
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => out.into(),
        Err(_) => Bytes::new(),
    }
}

/// A SHA-256 from its hexadecimal form.
pub(crate) fn blob_hash(hex: &str) -> Option<store::BlobHash> {
    let bytes = hex.as_bytes();
    let mut out = [0u8; 32];
    if bytes.len() != 64 {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let text = std::str::from_utf8(pair).ok()?;
        *to = u8::from_str_radix(text, 16).ok()?;
    }
    Some(out)
}

/// The hexadecimal form of a SHA-256.
pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
