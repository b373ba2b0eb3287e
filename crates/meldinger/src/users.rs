//! Who may log in to the bus.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::tracks::{blob_hash, hex};

/// A user of the bus: one per organisation.
#[derive(Clone)]
pub struct AmqpUser {
    /// User name.
    pub username: String,
    /// Level-1 HER-id whose queues are the user's own.
    pub her_id: u32,
    salt: [u8; 16],
    hash: [u8; 32],
}

impl AmqpUser {
    /// A user with a password. Passwords are long and random, made by the hub; so a salted SHA-256 keeps them, which the log-in
    /// inside the AMQP handshake can afford.
    #[must_use]
    pub fn new(username: &str, password: &str, her_id: u32) -> Self {
        let salt = *uuid::Uuid::new_v4().as_bytes();
        Self {
            username: username.to_owned(),
            her_id,
            salt,
            hash: salted(salt, password),
        }
    }

    /// What is kept of the password: a salt and a hash.
    #[must_use]
    pub fn kept(&self) -> String {
        format!("{}:{}", hex(&self.salt), hex(&self.hash))
    }

    /// A user of whose password this is kept ([`AmqpUser::kept`]); nothing when it is no such thing.
    #[must_use]
    pub fn of_kept(username: &str, kept: &str, her_id: u32) -> Option<Self> {
        let (salt, hash) = kept.split_once(':')?;
        Some(Self {
            username: username.to_owned(),
            her_id,
            salt: u128::from_str_radix(salt, 16).ok()?.to_be_bytes(),
            hash: blob_hash(hash)?,
        })
    }

    fn knows(&self, password: &str) -> bool {
        // Hashes are compared, so the time tells nothing about the password.
        salted(self.salt, password) == self.hash
    }
}

impl std::fmt::Debug for AmqpUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AmqpUser({}, {})", self.username, self.her_id)
    }
}

fn salted(salt: [u8; 16], password: &str) -> [u8; 32] {
    store::sha256(&[&salt[..], password.as_bytes()].concat())
}

/// The users, in memory: log-in happens inside the handshake and must not wait.
#[derive(Debug, Default)]
pub struct Users {
    by_name: RwLock<HashMap<String, AmqpUser>>,
    kept: RwLock<HashMap<String, AmqpUser>>,
}

impl Users {
    /// These users.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = AmqpUser>) -> Self {
        let out = Self::default();
        for user in users {
            out.insert(user);
        }
        out
    }

    /// Adds a user, or replaces the one of that name.
    pub fn insert(&self, user: AmqpUser) {
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(user.username.clone(), user);
    }

    /// Replaces the users that are kept in a store and can come and go; those that were inserted stay, and come first.
    pub fn set_kept(&self, users: Vec<AmqpUser>) {
        let users = users.into_iter().map(|user| (user.username.clone(), user));
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = users.collect();
    }

    fn find<T>(&self, username: &str, of: impl Fn(&AmqpUser) -> Option<T>) -> Option<T> {
        [&self.by_name, &self.kept].into_iter().find_map(|users| {
            let users = users.read().unwrap_or_else(PoisonError::into_inner);
            users.get(username).and_then(&of)
        })
    }

    /// The user, if the password is right.
    #[must_use]
    pub fn log_in(&self, username: &str, password: &str) -> Option<AmqpUser> {
        self.find(username, |user| user.knows(password).then(|| user.clone()))
    }

    /// Level-1 HER-id of a user.
    #[must_use]
    pub fn her_id(&self, username: &str) -> Option<u32> {
        self.find(username, |user| Some(user.her_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_logs_in() {
        let users = Users::new([
            AmqpUser::new("a", "secret", 1),
            AmqpUser::new("b", "secret", 2),
        ]);
        assert_eq!(users.log_in("a", "secret").map(|user| user.her_id), Some(1));
        assert_eq!(users.her_id("b"), Some(2));
        for (name, password) in [("a", ""), ("a", "Secret"), ("c", "secret"), ("", "")] {
            assert!(users.log_in(name, password).is_none());
        }
        assert!(!format!("{:?}", AmqpUser::new("a", "secret", 1)).contains("secret"));
    }

    #[test]
    fn kept_users_come_and_go() {
        let users = Users::new([AmqpUser::new("a", "secret", 1)]);
        let kept = AmqpUser::new("", "other", 2).kept();
        assert!(!kept.contains("other"));
        let of = |name: &str| AmqpUser::of_kept(name, &kept, 2).unwrap();
        users.set_kept(vec![of("a"), of("b")]);
        let her_id = |name: &str, password: &str| users.log_in(name, password).map(|u| u.her_id);
        assert_eq!(
            (her_id("a", "secret"), her_id("b", "other")),
            (Some(1), Some(2))
        );
        assert_eq!((users.her_id("a"), users.her_id("b")), (Some(1), Some(2)));
        assert_eq!(her_id("b", "secret"), None);
        users.set_kept(Vec::new());
        assert_eq!(
            (her_id("a", "secret"), her_id("b", "other")),
            (Some(1), None)
        );
        assert_eq!(users.her_id("b"), None);
        for nonsense in ["", ":", "1:2", "x:y", &"0".repeat(200)] {
            assert!(AmqpUser::of_kept("a", nonsense, 1).is_none(), "{nonsense}");
        }
    }
}
