//! Operators of `/drift`: who they are, their roles, and their passwords as argon2id hashes, as records of the hub's own
//! repository; one commit per change, with its line in the access journal (DESIGN §4, spec/privacy.md §2.1).
//!
//! Every process reads the record at each login and each request, so a block works at once and everywhere. A password is
//! never kept, logged or shown again.

use crate::own_records::{self, Change};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use store::{Granted, Op, RepoId, Rid, Store, StoreError, Vno};

const TYPE: &str = "Operator";
/// Shortest password, characters.
pub const MIN_PASSWORD: usize = 12;
/// Longest password, bytes: hashing is made to be slow.
pub const MAX_PASSWORD: usize = 256;
/// Longest user name and longest name, characters.
const MAX_NAME: usize = 64;
/// Most operators.
const MAX_OPERATORS: usize = 1_000;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees flows, queues and health, registers clients; never content.
    Operator,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Login.
    #[serde(skip)]
    pub username: String,
    /// Name shown.
    pub name: String,
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// May not log in now.
    pub is_blocked: bool,
    /// Argon2id.
    hash: String,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The user name is not one.
    #[error("a user name is 1 to {MAX_NAME} of the signs a-z 0-9 . _ -")]
    Username,
    /// The name is not one.
    #[error("a name has 1 to {MAX_NAME} characters")]
    Name,
    /// The password is too short or too long.
    #[error("a password has at least {MIN_PASSWORD} characters and at most {MAX_PASSWORD} bytes")]
    Password,
    /// The user name is taken.
    #[error("there is an operator of that user name already")]
    Taken,
    /// Nobody has that user name.
    #[error("there is no operator of that user name")]
    Unknown,
    /// There are too many.
    #[error("there are {MAX_OPERATORS} operators already; remove one first")]
    TooMany,
    /// Somebody else changed the same operator.
    #[error("the operator was changed by somebody else just now; look and try again")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The operators of one store.
pub struct Operators {
    store: Store,
    repo: RepoId,
    grant: Granted,
}

impl Operators {
    /// Over a store; `grant` is the hub's own right to its repository.
    ///
    /// # Errors
    /// The store does not declare the repository.
    pub fn new(store: Store, grant: Granted) -> Result<Self, StoreError> {
        let repo = store.repo(crate::secrets::REPOSITORY)?;
        Ok(Self { store, repo, grant })
    }

    /// Adds an operator.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn add(
        &self,
        username: &str,
        name: &str,
        roles: BTreeSet<Role>,
        password: &str,
    ) -> Result<(), OperatorError> {
        if !is_username(username) {
            return Err(OperatorError::Username);
        }
        if name.trim().is_empty() || name.chars().count() > MAX_NAME {
            return Err(OperatorError::Name);
        }
        if self.list()?.len() >= MAX_OPERATORS {
            return Err(OperatorError::TooMany);
        }
        let operator = Operator {
            username: username.to_owned(),
            name: name.trim().to_owned(),
            roles,
            is_blocked: false,
            hash: hashed(password)?,
        };
        match self.write("user.add", username, None, Some(&operator)) {
            Err(OperatorError::Conflict) => Err(OperatorError::Taken),
            other => other,
        }
    }

    /// All operators, by user name.
    ///
    /// # Errors
    /// The store failed.
    pub fn list(&self) -> Result<Vec<Operator>, OperatorError> {
        let snapshot = self.store.snapshot()?;
        let rids = snapshot.type_rids(&self.grant, self.repo, TYPE, Rid(0), MAX_OPERATORS + 1)?;
        let mut all = Vec::with_capacity(rids.len());
        for record in snapshot.fetch(&self.grant, &rids)? {
            all.push(read(&record.head.id, &record.body)?);
        }
        all.sort_by(|a, b| a.username.cmp(&b.username));
        Ok(all)
    }

    /// Blocks an operator, or lets her in again; sessions end with their next request.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn block(&self, username: &str, is_blocked: bool) -> Result<(), OperatorError> {
        let what = if is_blocked {
            "user.block"
        } else {
            "user.unblock"
        };
        self.change(what, username, |operator| {
            operator.is_blocked = is_blocked;
            Ok(())
        })
    }

    /// Gives another password.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn set_password(&self, username: &str, password: &str) -> Result<(), OperatorError> {
        let hash = hashed(password)?;
        self.change("user.password", username, |operator| {
            operator.hash = hash;
            Ok(())
        })
    }

    /// Takes an operator away.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn remove(&self, username: &str) -> Result<(), OperatorError> {
        let (vno, _) = self.find(username)?.ok_or(OperatorError::Unknown)?;
        self.write("user.remove", username, Some(vno), None)
    }

    /// The operator, when the password is right and she is not blocked. Takes as long for a name that nobody has.
    ///
    /// # Errors
    /// The store failed.
    pub fn log_in(
        &self,
        username: &str,
        password: &str,
    ) -> Result<Option<Operator>, OperatorError> {
        let found = self.find(username)?.map(|(_, operator)| operator);
        let hash = found.as_ref().map_or_else(|| nobody(), |o| o.hash.as_str());
        let is_right = password.len() <= MAX_PASSWORD
            && PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            });
        Ok(found.filter(|operator| is_right && !operator.is_blocked))
    }

    /// Whether somebody who has logged in may go on.
    ///
    /// # Errors
    /// The store failed.
    pub fn may_go_on(&self, username: &str) -> Result<bool, OperatorError> {
        Ok(self.find(username)?.is_some_and(|(_, o)| !o.is_blocked))
    }

    fn find(&self, username: &str) -> Result<Option<(Vno, Operator)>, OperatorError> {
        if !is_username(username) {
            return Ok(None);
        }
        let snapshot = self.store.snapshot()?;
        let record = snapshot.read(&self.grant, self.repo, TYPE, username)?;
        record
            .filter(|r| r.head.op != Op::Delete)
            .map(|r| Ok((r.head.vno, read(&r.head.id, &r.body)?)))
            .transpose()
    }

    fn change(
        &self,
        what: &'static str,
        username: &str,
        change: impl FnOnce(&mut Operator) -> Result<(), OperatorError>,
    ) -> Result<(), OperatorError> {
        let (vno, mut operator) = self.find(username)?.ok_or(OperatorError::Unknown)?;
        change(&mut operator)?;
        self.write(what, username, Some(vno), Some(&operator))
    }

    fn write(
        &self,
        what: &'static str,
        username: &str,
        was: Option<Vno>,
        operator: Option<&Operator>,
    ) -> Result<(), OperatorError> {
        let body = operator
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|_| StoreError::Invalid("operator".to_owned()))?;
        let change = Change {
            what,
            rtype: TYPE,
            id: username,
            was,
            body,
        };
        if own_records::write(&self.store, self.repo, change)? {
            Ok(())
        } else {
            Err(OperatorError::Conflict)
        }
    }
}

fn is_username(text: &str) -> bool {
    let is_sign = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_sign)
}

fn read(username: &str, body: &[u8]) -> Result<Operator, OperatorError> {
    let operator: Operator = serde_json::from_slice(body)
        .map_err(|_| StoreError::Corrupt("an operator's record cannot be read".to_owned()))?;
    Ok(Operator {
        username: username.to_owned(),
        ..operator
    })
}

fn hashed(password: &str) -> Result<String, OperatorError> {
    if password.chars().count() < MIN_PASSWORD || password.len() > MAX_PASSWORD {
        return Err(OperatorError::Password);
    }
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|_| OperatorError::Password)?;
    Ok(hash.to_string())
}

/// A hash that no password has been given for, so that a wrong user name takes as long as a wrong password.
fn nobody() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let mut bytes = [0u8; 32];
        rand::fill(&mut bytes);
        Argon2::default()
            .hash_password(&bytes)
            .map(|hash| hash.to_string())
            .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Filter, RepoKind, RepositoryDecl, Seq, StoreConfig};

    const PASSWORD: &str = "korrekt hest batteri";

    fn world(folder: &std::path::Path) -> (Store, Operators) {
        let declared = vec![RepositoryDecl::new(
            crate::secrets::REPOSITORY,
            RepoKind::Internal,
        )];
        let mut config = StoreConfig::sqlite(folder, declared);
        config.unsafe_no_sync = true;
        let (store, mint) = Store::open(config).unwrap();
        let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
        let operators = Operators::new(store.clone(), grant).unwrap();
        (store, operators)
    }

    #[test]
    fn a_life_of_an_operator() {
        let folder = tempfile::tempdir().unwrap();
        let (store, operators) = world(folder.path());
        let roles = BTreeSet::from([Role::Operator]);
        operators
            .add("kari", " Kari N ", roles.clone(), PASSWORD)
            .unwrap();
        let taken = operators.add("kari", "Other", roles.clone(), PASSWORD);
        assert!(matches!(taken, Err(OperatorError::Taken)));
        let name = |username: &str, password: &str| {
            operators
                .log_in(username, password)
                .unwrap()
                .map(|o| o.name)
        };
        assert_eq!(name("kari", PASSWORD).as_deref(), Some("Kari N"));
        for (username, password) in [
            ("kari", "korrekt hest batteri "),
            ("kari", ""),
            ("Kari", PASSWORD),
            ("ola", PASSWORD),
            ("", ""),
            ("../kari", PASSWORD),
        ] {
            assert_eq!(name(username, password), None, "{username}");
        }
        assert!(operators.may_go_on("kari").unwrap());
        operators.block("kari", true).unwrap();
        assert_eq!(name("kari", PASSWORD), None);
        assert!(!operators.may_go_on("kari").unwrap());
        operators.block("kari", false).unwrap();
        operators
            .set_password("kari", "et helt annet passord")
            .unwrap();
        assert_eq!(name("kari", PASSWORD), None);
        assert_eq!(
            name("kari", "et helt annet passord").as_deref(),
            Some("Kari N")
        );
        assert_eq!(operators.list().unwrap().len(), 1);
        operators.remove("kari").unwrap();
        assert!(!operators.may_go_on("kari").unwrap() && operators.list().unwrap().is_empty());
        assert!(matches!(
            operators.block("kari", true),
            Err(OperatorError::Unknown)
        ));
        operators
            .add("kari", "Kari again", roles, PASSWORD)
            .unwrap();
        // Every change left its line, the refused addition's too; some may have been sealed meanwhile.
        store.seal().unwrap();
        let lines = |stream: &String| store.journal_after(stream, 0, 100).unwrap().len();
        let streams = store.journal_streams().unwrap();
        assert_eq!(streams.iter().map(lines).sum::<usize>(), 7);
        store.close();
    }

    #[test]
    fn what_is_no_operator() {
        let folder = tempfile::tempdir().unwrap();
        let (store, operators) = world(folder.path());
        for username in ["", "Kari", "k ari", "å", "a/b", &"x".repeat(65)] {
            let refused = operators.add(username, "N", BTreeSet::new(), PASSWORD);
            assert!(
                matches!(refused, Err(OperatorError::Username)),
                "{username}"
            );
        }
        for name in ["", "  ", &"x".repeat(65)] {
            let refused = operators.add("a", name, BTreeSet::new(), PASSWORD);
            assert!(matches!(refused, Err(OperatorError::Name)), "{name}");
        }
        for password in ["elleve tegn", &"x".repeat(257)] {
            let refused = operators.add("a", "N", BTreeSet::new(), password);
            assert!(matches!(refused, Err(OperatorError::Password)));
        }
        let long = operators.log_in("a", &"x".repeat(100_000)).unwrap();
        assert!(long.is_none());
        store.close();
    }
}
