//! System users and their passwords, as HTTP Basic brings them (spec/grunndata.md §1): named `OrgUsr<orgnr>`, with rights
//! as role names.
//!
//! Passwords are kept as argon2id hashes. A password that was right once is remembered under a keyed digest, so that
//! every later request costs a digest; wrong ones cost the full hash, and few of those run at once. An unknown user costs
//! as much as a wrong password.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use axum::http::{HeaderMap, header};
use base64::Engine;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// Longest `Authorization` header that is looked at.
const MAX_HEADER: usize = 2_048;
/// Passwords remembered; beyond it all are forgotten.
const MAX_REMEMBERED: usize = 10_000;
/// Hashes computed at once.
const AT_ONCE: usize = 2;

/// A system user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `OrgUsr<orgnr>`.
    pub name: String,
    /// Role names.
    pub roles: Vec<String>,
}

impl User {
    /// Whether the user has one of the roles.
    #[must_use]
    pub fn has_any(&self, roles: &[&str]) -> bool {
        self.roles.iter().any(|role| roles.contains(&role.as_str()))
    }

    /// The organisation whose user it is.
    #[must_use]
    pub fn orgnr(&self) -> Option<&str> {
        self.name
            .strip_prefix("OrgUsr")
            .filter(|orgnr| orgnr.len() == 9 && orgnr.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// All system users.
pub struct Users {
    known: RwLock<Arc<Known>>,
    key: [u8; 32],
    right: RwLock<HashMap<[u8; 32], Arc<User>>>,
    turns: Semaphore,
}

struct Known {
    /// An organisation may have a password for each of its units that has queues, each with rights of its own.
    by_name: HashMap<String, Vec<(Arc<User>, String)>>,
    /// Compared with when the user is unknown.
    nobody: String,
}

/// The hash of a password, as [`Users::new`] takes it.
#[must_use]
pub fn hash(password: &str) -> Option<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .ok()
        .map(|hash| hash.to_string())
}

/// What [`hash_random`] begins with.
const RANDOM: &str = "sha256:";

/// The hash of a password that a machine made, long and random: nobody can try them all, so a salted SHA-256 keeps it.
#[must_use]
pub fn hash_random(password: &str) -> String {
    let salt: [u8; 16] = rand::random();
    let salt: String = salt.iter().map(|b| format!("{b:02x}")).collect();
    let digest = salted(&salt, password);
    format!("{RANDOM}{salt}:{digest}")
}

fn salted(salt: &str, password: &str) -> String {
    let digest = store::sha256(format!("{salt}{password}").as_bytes());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

impl Known {
    fn new(users: impl IntoIterator<Item = (User, String)>) -> Self {
        let mut by_name: HashMap<String, Vec<(Arc<User>, String)>> = HashMap::new();
        for (user, hash) in users {
            let of_name = by_name.entry(user.name.clone()).or_default();
            of_name.push((Arc::new(user), hash));
        }
        // An unknown user costs what the others cost.
        let mut all = by_name.values().flatten();
        let nobody = if all.all(|(_, hash)| hash.starts_with(RANDOM)) {
            hash_random("")
        } else {
            let secret: [u8; 32] = rand::random();
            Argon2::default()
                .hash_password(&secret)
                .map(|hash| hash.to_string())
                .unwrap_or_default()
        };
        Self { by_name, nobody }
    }
}

impl Users {
    /// Users with the hashes of their passwords ([`hash`], [`hash_random`]). One that comes more than once has
    /// several passwords, each with the roles that came with it.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = (User, String)>) -> Self {
        Self {
            known: RwLock::new(Arc::new(Known::new(users))),
            key: rand::random(),
            right: RwLock::new(HashMap::new()),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Takes these users in the place of those of before. Whoever is none of them can do nothing from now on.
    pub fn replace(&self, users: impl IntoIterator<Item = (User, String)>) {
        let known = Arc::new(Known::new(users));
        let mut right = self.right.write().unwrap_or_else(PoisonError::into_inner);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        right.clear();
    }

    fn known(&self) -> Arc<Known> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The user of a request. `None`: no, wrong or unreadable credentials.
    pub async fn of(self: &Arc<Self>, headers: &HeaderMap) -> Option<Arc<User>> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let header = given.next()?.as_bytes();
        if given.next().is_some() || header.len() > MAX_HEADER {
            return None;
        }
        let digest = self.digest(header);
        let remembered = self
            .right
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&digest)
            .cloned();
        if remembered.is_some() {
            return remembered;
        }
        let (name, password) = credentials(header)?;
        let _turn = self.turns.acquire().await.ok()?;
        let known = self.known();
        let asked = known.clone();
        let user = crate::blocking(move || asked.verify(&name, &password))
            .await
            .ok()??;
        let mut right = self.right.write().unwrap_or_else(PoisonError::into_inner);
        // Not of those who were replaced meanwhile: nobody would forget that.
        if Arc::ptr_eq(&known, &self.known()) {
            if right.len() >= MAX_REMEMBERED {
                right.clear();
            }
            right.insert(digest, user.clone());
        }
        Some(user)
    }

    fn digest(&self, header: &[u8]) -> [u8; 32] {
        let mut keyed = Vec::with_capacity(self.key.len() + header.len());
        keyed.extend_from_slice(&self.key);
        keyed.extend_from_slice(header);
        store::sha256(&keyed)
    }
}

impl Known {
    fn verify(&self, name: &str, password: &str) -> Option<Arc<User>> {
        let Some(of_name) = self.by_name.get(name) else {
            is_right(password, &self.nobody);
            return None;
        };
        let found = of_name.iter().find(|(_, hash)| is_right(password, hash));
        found.map(|(user, _)| user.clone())
    }
}

fn is_right(password: &str, hash: &str) -> bool {
    if let Some((salt, digest)) = hash.strip_prefix(RANDOM).and_then(|h| h.split_once(':')) {
        // Hashes are compared, so the time tells nothing about the password.
        return salted(salt, password) == digest;
    }
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

fn credentials(header: &[u8]) -> Option<(String, String)> {
    let header = std::str::from_utf8(header).ok()?;
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(rest.trim())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(text: &str) -> HeaderMap {
        let packed = base64::engine::general_purpose::STANDARD.encode(text);
        HeaderMap::from_iter([(
            header::AUTHORIZATION,
            HeaderValue::from_str(&format!("Basic {packed}")).unwrap(),
        )])
    }

    #[tokio::test]
    async fn a_password_made_by_a_machine_is_kept_as_a_digest() {
        let user = User {
            name: "OrgUsr999977775".into(),
            roles: Vec::new(),
        };
        let kept = hash_random("lang-og-tilfeldig");
        assert!(!kept.contains("lang"));
        let users = Arc::new(Users::new([(user, kept)]));
        for (text, is_in) in [
            ("OrgUsr999977775:lang-og-tilfeldig", true),
            ("OrgUsr999977775:lang-og-tilfeldi", false),
            ("OrgUsr999977775:", false),
        ] {
            assert_eq!(users.of(&headers(text)).await.is_some(), is_in, "{text}");
        }
    }

    /// A hospital has one user, and its emergency centre has queues with a password of their own.
    #[tokio::test]
    async fn an_organisation_with_several_units_has_a_password_for_each() {
        let user = |role: &str| User {
            name: "OrgUsr999977775".into(),
            roles: vec!["FlrRead".into(), role.into()],
        };
        let users = Arc::new(Users::new([
            (user("HprRead"), hash_random("sykehus")),
            (user("ArRead"), hash_random("ambulanse")),
        ]));
        for (password, role) in [("sykehus", "HprRead"), ("ambulanse", "ArRead")] {
            let headers = headers(&format!("OrgUsr999977775:{password}"));
            let found = users.of(&headers).await.unwrap();
            assert_eq!(found.roles, ["FlrRead", role]);
        }
        let wrong = headers("OrgUsr999977775:sykehusambulanse");
        assert!(users.of(&wrong).await.is_none());
    }

    #[tokio::test]
    async fn who_is_let_in() {
        let user = User {
            name: "OrgUsr999977775".into(),
            roles: vec!["FlrRead".into()],
        };
        let users = Arc::new(Users::new([(user, hash("hemme:lig").unwrap())]));
        for (text, is_in) in [
            ("OrgUsr999977775:hemme:lig", true),
            ("OrgUsr999977775:hemme:lig", true),
            ("OrgUsr999977775:hemmelig", false),
            ("OrgUsr999977775:", false),
            ("orgusr999977775:hemme:lig", false),
            ("OrgUsr1:hemme:lig", false),
            ("OrgUsr999977775", false),
        ] {
            let found = users.of(&headers(text)).await;
            assert_eq!(found.is_some(), is_in, "{text}");
            if let Some(found) = found {
                assert_eq!(found.orgnr(), Some("999977775"));
                assert!(found.has_any(&["FlrLookup", "FlrRead"]));
            }
        }
        assert!(users.of(&HeaderMap::new()).await.is_none());
        let mut twice = headers("OrgUsr999977775:hemme:lig");
        twice.append(
            header::AUTHORIZATION,
            HeaderValue::from_static("Basic eA=="),
        );
        assert!(users.of(&twice).await.is_none());
    }
}
