//! The whole store as plain values, through its own backup stream; and a signer for journal heads.

use crate::model::act_of;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use std::collections::{BTreeMap, BTreeSet};
use store::backup::{Header, Item, Sink, VersionItem};
use store::journal::{chain::b64, head};
use store::{BlobHash, HeadSigner, Seq, Store, StoreError};

/// What a store holds.
#[derive(Default)]
pub struct Dump {
    pub seq: u64,
    pub versions: Vec<VersionItem>,
    /// Ids of purged records.
    pub purged: BTreeSet<String>,
    /// Waiting messages by content.
    pub messages: BTreeMap<String, u32>,
    pub dead: BTreeMap<String, u32>,
    /// (space, key) → value.
    pub claims: BTreeMap<(String, String), String>,
    pub positions: BTreeMap<String, u64>,
    pub blobs: Vec<BlobHash>,
    /// Sealed entries by id.
    pub journal: BTreeMap<uuid::Uuid, u32>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Dump {
    /// Takes a backup and reads it.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        let mut stream = Vec::new();
        store.backup(&mut stream)?;
        let mut dump = Self::default();
        store::backup::read(&mut stream.as_slice(), &mut dump)?;
        Ok(dump)
    }
}

impl Sink for Dump {
    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn begin(&mut self, header: &Header) -> Result<(), StoreError> {
        self.seq = header.seq.0;
        Ok(())
    }

    fn item(&mut self, item: Item) -> Result<(), StoreError> {
        match item {
            Item::Version(version) => self.versions.push(*version),
            Item::Purge(p) => {
                self.purged.insert(p.id);
            }
            Item::Message(m) => *self.messages.entry(act_of(&m.body)).or_default() += 1,
            Item::DeadLetter(m, _, _) => *self.dead.entry(act_of(&m.body)).or_default() += 1,
            Item::Claim(c) => {
                self.claims.insert((c.space, text(&c.key)), text(&c.value));
            }
            Item::Position(consumer, seq) => {
                self.positions.insert(consumer, seq.0);
            }
            Item::Blob(hash, _) => self.blobs.push(hash),
            Item::JournalRow(row) => *self.journal.entry(row.id).or_default() += 1,
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Seq, StoreError> {
        Ok(Seq(self.seq))
    }

    fn abort(&mut self) {}
}

/// Signs heads with a key of its own.
pub struct Signer(EcdsaKeyPair);

impl Signer {
    pub fn new() -> Result<Self, String> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(Self)
            .map_err(|_| "no key".to_owned())
    }
}

impl HeadSigner for Signer {
    fn sign(&self, payload: &serde_json::Value) -> Result<String, String> {
        let header = serde_json::json!({"alg": "ES256", "typ": head::TYP, "kid": "crash"});
        let part = |v: &serde_json::Value| b64(v.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(payload));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| "not signed".to_owned())?;
        Ok(format!("{signed}.{}", b64(signature.as_ref())))
    }
}
