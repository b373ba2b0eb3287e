//! What the cases are written with: an opened store, short builders, a signer.

use crate::{
    AuditEntry, Commit, CommitError, Committed, Enqueue, Filter, Granted, IndexKey, KeyRange, Mint,
    Op, PersonKey, PersonRef, Privacy, Put, PutId, PutReceipt, Reader, Refusal, RepoId, RepoKind,
    RepositoryDecl, Seq, Snapshot, Store, StoreConfig,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Identifier system of the suite's made-up persons.
pub const SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.1";

/// An opened store with its three repositories.
pub struct Bench {
    /// The store.
    pub store: Store,
    /// Its minting token.
    pub mint: Mint,
    /// How it was opened.
    pub config: StoreConfig,
    /// Repository of kind `Patient`.
    pub patient: RepoId,
    /// Repository of kind `Open`.
    pub open: RepoId,
    /// Repository of kind `Internal`.
    pub internal: RepoId,
}

/// The repositories of the suite.
pub fn repositories() -> Vec<RepositoryDecl> {
    vec![
        RepositoryDecl::new("provesvar", RepoKind::Patient),
        RepositoryDecl::new("sandbox", RepoKind::Open),
        RepositoryDecl::new("hub", RepoKind::Internal),
    ]
}

impl Bench {
    /// Opens a fresh store.
    pub fn fresh(make: super::Make<'_>) -> Self {
        Self::with(make())
    }

    /// Opens a store with this configuration (and the suite's repositories).
    pub fn with(mut config: StoreConfig) -> Self {
        config.repositories = repositories();
        let (store, mint) = Store::open(config.clone()).expect("the store opens");
        let number = |name: &str| store.repo(name).expect("the repository is declared");
        Self {
            patient: number("provesvar"),
            open: number("sandbox"),
            internal: number("hub"),
            store,
            mint,
            config,
        }
    }

    /// Closes the store and opens it again.
    pub fn reopen(self) -> Self {
        self.store.close();
        let Self { store, config, .. } = self;
        drop(store);
        Self::with(config)
    }

    /// A grant with this filter.
    pub fn grant(&self, filter: Filter) -> Granted {
        self.mint.grant(filter, Seq(0), 1)
    }

    /// A grant to everything.
    pub fn all(&self) -> Granted {
        self.grant(Filter::Open)
    }

    /// The newest snapshot.
    pub fn now(&self) -> Snapshot {
        self.store.snapshot().expect("snapshot")
    }

    /// Commits; must succeed.
    pub fn commit(&self, commit: Commit) -> Committed {
        self.store.commit(commit).expect("the commit is accepted")
    }

    /// Commits one put; must succeed.
    pub fn put(&self, put: Put) -> PutReceipt {
        let done = self.commit(puts([put]));
        done.puts.into_iter().next().expect("a receipt")
    }

    /// Commits; must be refused.
    pub fn refused(&self, commit: Commit) -> (usize, Refusal) {
        match self.store.commit(commit) {
            Err(CommitError::Refused { index, refusal }) => (index, refusal),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// Key of a person of [`person`]; interned when unknown.
    pub fn key(&self, number: u32) -> PersonKey {
        self.store
            .intern_person(SYSTEM, &nin(number))
            .expect("interned")
    }

    /// The whole journal and index verify.
    pub fn verify(&self) {
        self.store.verify_index().expect("the index verifies");
        self.store.verify_journal().expect("the journal verifies");
    }
}

/// A made-up person's identifier: not a valid national id.
pub fn nin(number: u32) -> String {
    format!("synthetic-{number}")
}

/// A made-up person.
pub fn person(number: u32) -> PersonRef {
    PersonRef::id(SYSTEM, nin(number))
}

/// A commit of puts.
pub fn puts(list: impl IntoIterator<Item = Put>) -> Commit {
    Commit {
        put: list.into_iter().collect(),
        ..Commit::default()
    }
}

/// A commit of messages.
pub fn messages(list: impl IntoIterator<Item = Enqueue>) -> Commit {
    Commit {
        enqueue: list.into_iter().collect(),
        ..Commit::default()
    }
}

/// A small message.
pub fn message(queue: &str, body: &str) -> Enqueue {
    Enqueue {
        queue: queue.to_owned(),
        headers: Bytes::from_static(b"{\"h\":1}"),
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..Enqueue::default()
    }
}

/// A key.
pub fn key(param: u32, value: impl AsRef<[u8]>) -> IndexKey {
    IndexKey {
        param,
        value: value.as_ref().to_vec(),
    }
}

/// A range `from..to`.
pub fn range(param: u32, from: &str, to: &str) -> KeyRange {
    KeyRange {
        param,
        from: from.as_bytes().to_vec(),
        to: Some(to.as_bytes().to_vec()),
    }
}

/// A new record.
pub fn create(repo: RepoId, rtype: &str, body: &str) -> Put {
    Put {
        repo,
        rtype: rtype.to_owned(),
        id: PutId::New,
        op: Op::Create,
        body: Bytes::copy_from_slice(body.as_bytes()),
        keys: Vec::new(),
        pack: 1,
        persons: Vec::new(),
        privacy: Privacy {
            controller: "PPS".to_owned(),
            class: 1,
            ..Privacy::default()
        },
        blobs: Vec::new(),
    }
}

/// Small changes of a put.
pub trait PutExt {
    /// With this id.
    fn id(self, id: &str) -> Self;
    /// With this operation.
    fn op(self, op: Op) -> Self;
    /// With one more key.
    fn key(self, param: u32, value: impl AsRef<[u8]>) -> Self;
    /// With one more person.
    fn person(self, number: u32) -> Self;
    /// With other privacy members.
    fn privacy(self, change: impl FnOnce(&mut Privacy)) -> Self;
}

impl PutExt for Put {
    fn id(mut self, id: &str) -> Self {
        self.id = PutId::Given(id.to_owned());
        self
    }

    fn op(mut self, op: Op) -> Self {
        self.op = op;
        self
    }

    fn key(mut self, param: u32, value: impl AsRef<[u8]>) -> Self {
        self.keys.push(key(param, value));
        self
    }

    fn person(mut self, number: u32) -> Self {
        self.persons.push(person(number));
        self
    }

    fn privacy(mut self, change: impl FnOnce(&mut Privacy)) -> Self {
        change(&mut self.privacy);
        self
    }
}

/// An update of a record.
pub fn update(repo: RepoId, rtype: &str, id: &str, body: &str) -> Put {
    create(repo, rtype, body).id(id).op(Op::Update)
}

/// A deletion of a record.
pub fn delete(repo: RepoId, rtype: &str, id: &str) -> Put {
    create(repo, rtype, "").id(id).op(Op::Delete)
}

/// Public ids of the records among `rids` that the grant sees, sorted.
pub fn ids(snapshot: &dyn Reader, grant: &Granted, rids: &[crate::Rid]) -> Vec<String> {
    let mut ids: Vec<String> = snapshot
        .heads(grant, rids)
        .expect("heads")
        .into_iter()
        .map(|h| h.id)
        .collect();
    ids.sort();
    ids
}

/// An entry about these persons.
pub fn audit(controller: &str, persons: &[u32]) -> AuditEntry {
    let text = |s: &str| serde_json::Value::String(s.to_owned());
    AuditEntry {
        id: uuid::Uuid::now_v7(),
        persons: persons.iter().map(|n| person(*n)).collect(),
        controller: controller.to_owned(),
        occurred_at: 1_700_000_000_000_000,
        imported: false,
        citizen_visible: true,
        members: BTreeMap::from([
            ("actor.name".to_owned(), text("Kari Prøve")),
            ("actor.organisation".to_owned(), text("999999999")),
            ("action".to_owned(), text("read")),
            ("count".to_owned(), serde_json::json!(3)),
        ]),
    }
}

/// Entry of the feed, short: (seq, op letter, id) for versions, (seq, `e`/`g`, name) otherwise.
pub fn short(entry: &crate::FeedEntry) -> (u64, char, String) {
    match &entry.event {
        crate::FeedEvent::Version { op, id, .. } => {
            let letter = match op {
                Op::Create => 'c',
                Op::Update => 'u',
                Op::Delete => 'd',
                Op::Purge => 'p',
            };
            (entry.seq.0, letter, id.clone())
        }
        crate::FeedEvent::Generation { target, .. } => (entry.seq.0, 'g', target.clone()),
        crate::FeedEvent::Epoch { persons } => (entry.seq.0, 'e', persons.len().to_string()),
    }
}

/// Signs heads with a key of its own, as the hub's key service would.
pub struct TestSigner {
    key: aws_lc_rs::signature::EcdsaKeyPair,
}

impl Default for TestSigner {
    fn default() -> Self {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ALG, EcdsaKeyPair};
        Self {
            key: EcdsaKeyPair::generate(&ALG).expect("a key"),
        }
    }
}

/// Base64url without padding.
pub fn b64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Back from base64url.
pub fn unb64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .expect("base64url")
}

impl TestSigner {
    /// Payload of a compact JWS that this signer made; checks the signature and the type.
    pub fn open(&self, jws: &str) -> serde_json::Value {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};
        let (signed, signature) = jws.rsplit_once('.').expect("a compact JWS");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &unb64(signature))
            .expect("the head's signature verifies");
        let (header, payload) = signed.split_once('.').expect("a compact JWS");
        let header: serde_json::Value = serde_json::from_slice(&unb64(header)).expect("JSON");
        assert_eq!(header["typ"], "helsenav-log-head+jwt");
        serde_json::from_slice(&unb64(payload)).expect("JSON")
    }
}

impl crate::HeadSigner for TestSigner {
    fn sign(&self, payload: &serde_json::Value) -> Result<String, String> {
        let header = serde_json::json!({"alg":"ES256","typ":"helsenav-log-head+jwt","kid":"t"});
        let signed = format!(
            "{}.{}",
            b64(header.to_string().as_bytes()),
            b64(payload.to_string().as_bytes())
        );
        let random = aws_lc_rs::rand::SystemRandom::new();
        let signature = self
            .key
            .sign(&random, signed.as_bytes())
            .map_err(|e| e.to_string())?;
        Ok(format!("{signed}.{}", b64(signature.as_ref())))
    }
}
