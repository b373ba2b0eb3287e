//! Secrets: made at first start, kept in the store wrapped by a key file of the data folder (DESIGN §4).
//! Every process of a cluster is given the same key file.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use std::io::Write;
use std::path::Path;
use store::{
    Commit, CommitError, Expect, Granted, Op, Privacy, Put, PutId, RepoId, Store, StoreError, Vno,
};

/// Repository of the hub's own bookkeeping.
pub const REPOSITORY: &str = "hub";
const KEY_BYTES: usize = 32;

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The key file cannot be read or written.
    #[error("key file {path}: {why}")]
    KeyFile {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The stored secret does not open with this key file: give the process the key file the store was made with.
    #[error(
        "secret `{0}` does not open with this key file; use the key file this store was made with"
    )]
    WrongKey(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The secrets of one store.
pub struct Secrets {
    store: Store,
    repo: RepoId,
    grant: Granted,
    key: LessSafeKey,
}

impl Secrets {
    /// Opens them; makes the key file (mode 0600) when the folder has none.
    pub fn open(store: Store, grant: Granted, key_file: &Path) -> Result<Self, SecretError> {
        let bytes = read_or_make_key(key_file).map_err(|e| SecretError::KeyFile {
            path: key_file.display().to_string(),
            why: e.to_string(),
        })?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SecretError::KeyFile {
            path: key_file.display().to_string(),
            why: "not 32 bytes".to_owned(),
        })?;
        let repo = store.repo(REPOSITORY)?;
        Ok(Self {
            store,
            repo,
            grant,
            key: LessSafeKey::new(key),
        })
    }

    /// A secret by name; `make` is called once per store, whoever comes first wins.
    pub fn get_or_make(
        &self,
        name: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, SecretError> {
        if let Some(secret) = self.get(name)? {
            return Ok(secret);
        }
        let mut commit = self.commit_of(name, &make())?;
        commit.expect.push(Expect::Absent {
            repo: self.repo,
            rtype: "Secret".to_owned(),
            id: name.to_owned(),
        });
        match self.store.commit(commit) {
            Ok(_) | Err(CommitError::Refused { .. }) => {}
            Err(error) => return Err(StoreError::Unavailable(error.to_string()).into()),
        }
        self.get(name)?
            .ok_or_else(|| StoreError::Corrupt(format!("secret {name} was not kept")).into())
    }

    /// A secret by name.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, SecretError> {
        Ok(self.read(name)?.map(|(_, secret)| secret))
    }

    /// Replaces a secret if it still is the one read before; `false` when somebody else was first.
    pub fn replace(&self, name: &str, old: &[u8], secret: &[u8]) -> Result<bool, SecretError> {
        let Some((vno, found)) = self.read(name)? else {
            return Ok(false);
        };
        if found != old {
            return Ok(false);
        }
        let mut commit = self.commit_of(name, secret)?;
        commit.expect.push(Expect::Version {
            repo: self.repo,
            rtype: "Secret".to_owned(),
            id: name.to_owned(),
            vno,
        });
        match self.store.commit(commit) {
            Ok(_) => Ok(true),
            Err(CommitError::Refused { .. }) => Ok(false),
            Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
        }
    }

    fn read(&self, name: &str) -> Result<Option<(Vno, Vec<u8>)>, SecretError> {
        let record = self
            .store
            .snapshot()?
            .read(&self.grant, self.repo, "Secret", name)?;
        let Some(record) = record.filter(|r| r.head.op != Op::Delete) else {
            return Ok(None);
        };
        let wrong = || SecretError::WrongKey(name.to_owned());
        let (nonce, sealed) = record.body.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut buffer = sealed.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut buffer)
            .map_err(|_| wrong())?;
        Ok(Some((record.head.vno, plain.to_vec())))
    }

    /// Replaces a secret.
    pub fn put(&self, name: &str, secret: &[u8]) -> Result<(), SecretError> {
        let commit = self.commit_of(name, secret)?;
        self.store
            .commit(commit)
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        Ok(())
    }

    fn commit_of(&self, name: &str, secret: &[u8]) -> Result<Commit, SecretError> {
        let mut nonce = [0u8; NONCE_LEN];
        rand::fill(&mut nonce);
        let mut sealed = secret.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| SecretError::WrongKey(name.to_owned()))?;
        let mut body = nonce.to_vec();
        body.append(&mut sealed);
        Ok(Commit {
            put: vec![Put {
                repo: self.repo,
                rtype: "Secret".to_owned(),
                id: PutId::Given(name.to_owned()),
                op: Op::Update,
                body: Bytes::from(body),
                keys: Vec::new(),
                pack: 0,
                persons: Vec::new(),
                privacy: Privacy::default(),
                blobs: Vec::new(),
            }],
            ..Commit::default()
        })
    }
}

fn read_or_make_key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    use std::os::unix::fs::OpenOptionsExt;
    let invalid = || std::io::Error::new(std::io::ErrorKind::InvalidData, "must hold 32 bytes");
    match std::fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| invalid()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let mut key = [0u8; KEY_BYTES];
            rand::fill(&mut key);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(&key)?;
            file.sync_all()?;
            Ok(key)
        }
        Err(e) => Err(e),
    }
}
