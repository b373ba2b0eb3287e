//! An issuer's signing keys: generated at first start, rotated through four states, each wrapped in a certificate.
//!
//! The shape follows HelseID (spec helseid §3): `kid` is the SHA-1 of a certificate in upper-case hex and `x5t` the same
//! 20 bytes, so every key has a self-signed certificate. Rotation is a pure step from values to values
//! ([`Keyring::rotate`]): a new key is published a day before its first use, the old one stays until the last token
//! signed with it has expired, then moves to the list of expired keys, where old signed documents still find it.

use serde_json::{Map, Value, json};

use crate::alg::{Alg, Curve};
use crate::der::{self, tag};
use crate::encoding::{b64, b64url, b64url_decode, hex_upper, sha1};
use crate::jwk::{KeyKind, PrivateJwk, PublicJwk, SignError};
use crate::jws;
use crate::jwt::Claims;
use crate::rs::KeySource;
use crate::strict_json;

/// Where a key stands in its life. Times are seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPhase {
    /// Published, not used before that time.
    Next {
        /// First use.
        from_s: i64,
    },
    /// Signs.
    Active {
        /// Since when.
        since_s: i64,
    },
    /// Signs no more, still published until that time.
    Retiring {
        /// Leaves the published set.
        until_s: i64,
    },
    /// Only in the list of expired keys.
    Expired,
}

/// When keys change. All in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    /// How long a key signs.
    pub active_s: i64,
    /// How long before its first use a key is published: at least the time clients cache the key set.
    pub announce_s: i64,
    /// How long a key stays published after its last use: the longest token life and skew.
    pub overlap_s: i64,
}

impl Default for RotationPolicy {
    /// Two years of use, announced two days ahead, published a day longer.
    fn default() -> Self {
        Self {
            active_s: 2 * 365 * 86_400,
            announce_s: 2 * 86_400,
            overlap_s: 86_400,
        }
    }
}

/// One signing key.
#[derive(Debug, Clone)]
pub struct SigningKey {
    private: PrivateJwk,
    public: PublicJwk,
    certificate: Vec<u8>,
    kid: String,
    x5t: String,
    phase: KeyPhase,
}

/// Why a keyring could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Making a key failed.
    #[error("{0}")]
    Sign(#[from] SignError),
    /// The kind of key cannot carry a certificate here: RSA and P-256 can.
    #[error("signing keys must be RSA or P-256")]
    UnsupportedKind,
    /// The stored keyring is damaged.
    #[error("the stored keyring is damaged at {0}; restore it from the backup of the data folder")]
    Damaged(&'static str),
    /// No key is active.
    #[error("the keyring has no active key")]
    NoActiveKey,
}

/// All keys of an issuer.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<SigningKey>,
    alg: Alg,
    kind: KeyKind,
    name: String,
}

impl Keyring {
    /// A new ring with one active key. `name` becomes the common name of the certificates.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn generate(kind: KeyKind, alg: Alg, name: &str, now_s: i64) -> Result<Self, KeyringError> {
        let mut ring = Self {
            keys: Vec::new(),
            alg,
            kind,
            name: name.to_owned(),
        };
        ring.keys
            .push(ring.make(now_s, KeyPhase::Active { since_s: now_s })?);
        Ok(ring)
    }

    fn make(&self, now_s: i64, phase: KeyPhase) -> Result<SigningKey, KeyringError> {
        let private = PrivateJwk::generate(self.kind, Some(self.alg))?;
        let certificate = self_signed(&private, &self.name, now_s)?;
        SigningKey::new(&private, certificate, phase).ok_or(KeyringError::Sign(SignError::Crypto))
    }

    /// One step of rotation; says whether anything changed and the ring must be saved.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn rotate(&mut self, now_s: i64, policy: &RotationPolicy) -> Result<bool, KeyringError> {
        let mut changed = false;
        let due = |phase| matches!(phase, KeyPhase::Active { since_s } if now_s >= since_s + policy.active_s - policy.announce_s);
        let waiting = |key: &SigningKey| matches!(key.phase, KeyPhase::Next { .. });
        if self.keys.iter().any(|key| due(key.phase)) && !self.keys.iter().any(waiting) {
            let phase = KeyPhase::Next {
                from_s: now_s + policy.announce_s,
            };
            self.keys.push(self.make(now_s, phase)?);
            changed = true;
        }
        let ready =
            |key: &SigningKey| matches!(key.phase, KeyPhase::Next { from_s } if from_s <= now_s);
        if self.keys.iter().any(ready) {
            for key in &mut self.keys {
                if matches!(key.phase, KeyPhase::Active { .. }) {
                    key.phase = KeyPhase::Retiring {
                        until_s: now_s + policy.overlap_s,
                    };
                } else if ready(key) {
                    key.phase = KeyPhase::Active { since_s: now_s };
                }
            }
            changed = true;
        }
        for key in &mut self.keys {
            if matches!(key.phase, KeyPhase::Retiring { until_s } if until_s <= now_s) {
                key.phase = KeyPhase::Expired;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// The key that signs now.
    ///
    /// # Errors
    /// [`KeyringError::NoActiveKey`].
    pub fn active(&self) -> Result<&SigningKey, KeyringError> {
        self.keys
            .iter()
            .find(|key| matches!(key.phase, KeyPhase::Active { .. }))
            .ok_or(KeyringError::NoActiveKey)
    }

    /// The phases of all keys by kid, oldest first; for the operator's page.
    #[must_use]
    pub fn phases(&self) -> Vec<(&str, KeyPhase)> {
        self.keys
            .iter()
            .map(|key| (key.kid.as_str(), key.phase))
            .collect()
    }

    /// Signs claims as a JWT of that `typ`, header `alg, kid, x5t, typ` as HelseID writes it.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn sign(&self, typ: &str, claims: &Claims) -> Result<String, KeyringError> {
        let key = self.active()?;
        let mut header = Map::new();
        header.insert("kid".to_owned(), key.kid.as_str().into());
        header.insert("x5t".to_owned(), key.x5t.as_str().into());
        header.insert("typ".to_owned(), typ.into());
        let payload = claims.to_json();
        Ok(jws::sign(
            &header,
            payload.as_bytes(),
            &key.private,
            self.alg,
        )?)
    }

    /// The published key set: every key but the expired ones.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.set(|phase| phase != KeyPhase::Expired)
    }

    /// The set of expired keys, without which documents signed long ago could not be verified.
    #[must_use]
    pub fn expired_jwks(&self) -> Value {
        self.set(|phase| phase == KeyPhase::Expired)
    }

    fn set(&self, wanted: impl Fn(KeyPhase) -> bool) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .filter(|key| wanted(key.phase))
            .map(SigningKey::to_entry)
            .collect();
        json!({ "keys": keys })
    }

    /// The whole ring, **secrets included**: to be wrapped by the caller before it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| {
                let (phase, at_s) = match key.phase {
                    KeyPhase::Next { from_s } => ("next", from_s),
                    KeyPhase::Active { since_s } => ("active", since_s),
                    KeyPhase::Retiring { until_s } => ("retiring", until_s),
                    KeyPhase::Expired => ("expired", 0),
                };
                json!({
                    "jwk": key.private.to_secret_members(),
                    "certificate": b64url(&key.certificate),
                    "phase": phase,
                    "at": at_s,
                })
            })
            .collect();
        let ring = json!({
            "version": 1,
            "name": self.name,
            "alg": self.alg.name(),
            "kind": kind_name(self.kind),
            "keys": keys,
        });
        ring.to_string().into_bytes()
    }

    /// Reads what [`Keyring::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyringError> {
        use KeyringError::Damaged;
        let map = strict_json::object(bytes).map_err(|_| Damaged("its beginning"))?;
        if map.get("version") != Some(&json!(1)) {
            return Err(Damaged("version"));
        }
        let text = |name| map.get(name).and_then(Value::as_str).ok_or(Damaged(name));
        let keys = map.get("keys").and_then(Value::as_array);
        let keys = keys
            .ok_or(Damaged("keys"))?
            .iter()
            .map(|entry| SigningKey::from_stored(entry).ok_or(Damaged("a key")))
            .collect::<Result<Vec<_>, _>>()?;
        let ring = Self {
            keys,
            alg: Alg::from_name(text("alg")?).ok_or(Damaged("alg"))?,
            kind: kind_from_name(text("kind")?).ok_or(Damaged("kind"))?,
            name: text("name")?.to_owned(),
        };
        ring.active()?;
        Ok(ring)
    }

    /// The public key of that kid, in any phase but expired.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&PublicJwk> {
        self.keys
            .iter()
            .find(|key| key.kid == kid && key.phase != KeyPhase::Expired)
            .map(|key| &key.public)
    }
}

impl KeySource for Keyring {
    fn key(&self, kid: &str) -> Option<PublicJwk> {
        self.find(kid).cloned()
    }
}

impl SigningKey {
    fn new(unnamed: &PrivateJwk, certificate: Vec<u8>, phase: KeyPhase) -> Option<Self> {
        let thumbprint = sha1(&certificate);
        let kid = hex_upper(&thumbprint);
        let mut members = unnamed.to_secret_members();
        members.insert("kid".to_owned(), kid.as_str().into());
        let private = PrivateJwk::from_members(&members).ok()?;
        Some(Self {
            public: private.public().clone(),
            private,
            certificate,
            x5t: b64url(&thumbprint),
            kid,
            phase,
        })
    }

    fn from_stored(entry: &Value) -> Option<Self> {
        let private = PrivateJwk::from_members(entry.get("jwk")?.as_object()?).ok()?;
        let certificate = b64url_decode(entry.get("certificate")?.as_str()?)?;
        let at_s = entry.get("at")?.as_i64()?;
        let phase = match entry.get("phase")?.as_str()? {
            "next" => KeyPhase::Next { from_s: at_s },
            "active" => KeyPhase::Active { since_s: at_s },
            "retiring" => KeyPhase::Retiring { until_s: at_s },
            "expired" => KeyPhase::Expired,
            _ => return None,
        };
        Self::new(&private, certificate, phase)
    }

    /// Exactly the members of HelseID's own entries: `kty use kid x5t e n x5c alg` (for P-256 `crv x y`).
    fn to_entry(&self) -> Value {
        let values = self.public.to_members();
        let mut entry = Map::new();
        for name in ["kty", "use", "kid"] {
            if let Some(value) = values.get(name) {
                entry.insert(name.to_owned(), value.clone());
            }
        }
        entry.insert("x5t".to_owned(), self.x5t.as_str().into());
        for name in ["crv", "x", "y", "e", "n"] {
            if let Some(value) = values.get(name) {
                entry.insert(name.to_owned(), value.clone());
            }
        }
        entry.insert("x5c".to_owned(), json!([b64(&self.certificate)]));
        if let Some(value) = values.get("alg") {
            entry.insert("alg".to_owned(), value.clone());
        }
        Value::Object(entry)
    }
}

const KINDS: [(KeyKind, &str); 4] = [
    (KeyKind::P256, "P-256"),
    (KeyKind::Rsa2048, "RSA-2048"),
    (KeyKind::Rsa3072, "RSA-3072"),
    (KeyKind::Rsa4096, "RSA-4096"),
];

fn kind_name(kind: KeyKind) -> &'static str {
    let found = KINDS.iter().find(|(one, _)| *one == kind);
    found.map_or("RSA-2048", |(_, name)| name)
}

fn kind_from_name(name: &str) -> Option<KeyKind> {
    let found = KINDS.iter().find(|(_, one)| *one == name);
    found.map(|(kind, _)| *kind)
}

/// A minimal self-signed X.509 v3 certificate (RFC 5280 §4.1) of three years, as the national ones run.
fn self_signed(key: &PrivateJwk, name: &str, now_s: i64) -> Result<Vec<u8>, KeyringError> {
    const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let values = key.public().to_members();
    let bytes = |member| {
        let text = values.get(member).and_then(Value::as_str);
        text.and_then(b64url_decode).unwrap_or_default()
    };
    let null = der::write(tag::NULL, &[]);
    let is_rsa = values.get("kty").and_then(Value::as_str) == Some("RSA");
    let is_p256 = values.get("crv").and_then(Value::as_str) == Some(Curve::P256.name());
    let (spki, signature_alg) = if is_rsa {
        let public = der::write(
            tag::SEQUENCE,
            &[
                &der::write_unsigned(&bytes("n")),
                &der::write_unsigned(&bytes("e")),
            ],
        );
        let alg = der::write(
            tag::SEQUENCE,
            &[&der::write(tag::OID, &[RSA_ENCRYPTION]), &null],
        );
        let spki = der::write(tag::SEQUENCE, &[&alg, &der::write_bits(&public)]);
        let oid = der::write(tag::OID, &[SHA256_WITH_RSA]);
        (spki, der::write(tag::SEQUENCE, &[&oid, &null]))
    } else if is_p256 {
        let point = [&[4_u8][..], &bytes("x"), &bytes("y")].concat();
        let alg = der::write(
            tag::SEQUENCE,
            &[
                &der::write(tag::OID, &[EC_PUBLIC_KEY]),
                &der::write(tag::OID, &[PRIME256V1]),
            ],
        );
        let spki = der::write(tag::SEQUENCE, &[&alg, &der::write_bits(&point)]);
        let oid = der::write(tag::OID, &[ECDSA_WITH_SHA256]);
        (spki, der::write(tag::SEQUENCE, &[&oid]))
    } else {
        return Err(KeyringError::UnsupportedKind);
    };
    let mut serial = sha1(&spki).to_vec();
    serial.truncate(16);
    let name = distinguished_name(name);
    let validity = der::write(
        tag::SEQUENCE,
        &[&time(now_s - 3_600), &time(now_s + 3 * 365 * 86_400)],
    );
    let version = der::write(tag::CONTEXT_0, &[&der::write_unsigned(&[2])]);
    let to_be_signed = der::write(
        tag::SEQUENCE,
        &[
            &version,
            &der::write_unsigned(&serial),
            &signature_alg,
            &name,
            &validity,
            &name,
            &spki,
        ],
    );
    let signature = sign_certificate(key, is_rsa, &to_be_signed)?;
    Ok(der::write(
        tag::SEQUENCE,
        &[&to_be_signed, &signature_alg, &der::write_bits(&signature)],
    ))
}

/// Certificates are signed with SHA-256 whatever the tokens use, so a PS256 ring still has ordinary certificates.
fn sign_certificate(
    key: &PrivateJwk,
    is_rsa: bool,
    to_be_signed: &[u8],
) -> Result<Vec<u8>, KeyringError> {
    let mut members = key.to_secret_members();
    members.remove("alg");
    let unpinned =
        PrivateJwk::from_members(&members).map_err(|_| KeyringError::Sign(SignError::Crypto))?;
    if is_rsa {
        return Ok(unpinned.sign(Alg::Rs256, to_be_signed)?);
    }
    let fixed = unpinned.sign(Alg::Es256, to_be_signed)?;
    let (r, s) = fixed
        .split_at_checked(Curve::P256.coordinate_bytes())
        .ok_or(KeyringError::UnsupportedKind)?;
    Ok(der::write(
        tag::SEQUENCE,
        &[&der::write_unsigned(r), &der::write_unsigned(s)],
    ))
}

fn distinguished_name(common_name: &str) -> Vec<u8> {
    const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    let short: String = common_name.chars().take(60).collect();
    let attribute = der::write(
        tag::SEQUENCE,
        &[
            &der::write(tag::OID, &[COMMON_NAME]),
            &der::write(tag::UTF8_STRING, &[short.as_bytes()]),
        ],
    );
    der::write(tag::SEQUENCE, &[&der::write(tag::SET, &[&attribute])])
}

/// UTCTime through 2049, GeneralizedTime after (RFC 5280 §4.1.2.5).
fn time(at_s: i64) -> Vec<u8> {
    let days = at_s.div_euclid(86_400);
    let second = at_s.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    let clock = format!(
        "{month:02}{day:02}{:02}{:02}{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    );
    if (1950..2050).contains(&year) {
        let text = format!("{:02}{clock}", year % 100);
        der::write(tag::UTC_TIME, &[text.as_bytes()])
    } else {
        let text = format!("{year:04}{clock}");
        der::write(tag::GENERALIZED_TIME, &[text.as_bytes()])
    }
}

/// Gregorian date of a day number since 1970, by counting 400-year eras that begin on 1 March.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
        assert_eq!(civil_from_days(20_779), (2026, 11, 22));
        assert_eq!(time(2_524_608_000)[0], tag::GENERALIZED_TIME);
        assert_eq!(&time(0)[2..], b"700101000000Z");
    }

    #[test]
    fn a_key_goes_through_its_four_phases() {
        let policy = RotationPolicy {
            active_s: 100,
            announce_s: 10,
            overlap_s: 20,
        };
        let mut ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", 0).unwrap();
        let first = ring.active().unwrap().kid.clone();
        let published = |ring: &Keyring| ring.jwks()["keys"].as_array().unwrap().len();
        assert!(!ring.rotate(89, &policy).unwrap());
        assert!(ring.rotate(90, &policy).unwrap());
        assert!(!ring.rotate(95, &policy).unwrap());
        assert_eq!((published(&ring), &ring.active().unwrap().kid), (2, &first));
        assert!(ring.rotate(100, &policy).unwrap());
        let second = ring.active().unwrap().kid.clone();
        assert_ne!(first, second);
        assert!(ring.find(&first).is_some());
        assert!(ring.rotate(120, &policy).unwrap());
        assert_eq!(published(&ring), 1);
        assert!(ring.find(&first).is_none());
        assert_eq!(ring.expired_jwks()["keys"][0]["kid"], first.as_str());
        let read_back = Keyring::from_bytes(&ring.to_bytes()).unwrap();
        assert_eq!(read_back.phases(), ring.phases());
        assert_eq!(read_back.jwks(), ring.jwks());
    }

    #[test]
    fn entries_have_the_members_real_verifiers_read() {
        let ring = Keyring::generate(KeyKind::Rsa2048, Alg::Rs256, "test", 1_700_000_000).unwrap();
        let entry = ring.jwks()["keys"][0].clone();
        let names: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(names, ["kty", "use", "kid", "x5t", "e", "n", "x5c", "alg"]);
        let kid = entry["kid"].as_str().unwrap();
        assert!(
            kid.len() == 40
                && kid
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        );
        let token = ring.sign("at+jwt", &Claims::default()).unwrap();
        let compact = jws::Compact::parse(&token, 9_999).unwrap();
        let names: Vec<&String> = compact.header.keys().collect();
        assert_eq!(names, ["alg", "kid", "x5t", "typ"]);
        compact.verify(ring.find(kid).unwrap()).unwrap();
    }

    #[test]
    fn damaged_rings_are_refused() {
        let ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", 0).unwrap();
        let bytes = ring.to_bytes();
        for broken in [&b""[..], b"{}", &bytes[..bytes.len() / 2]] {
            assert!(matches!(
                Keyring::from_bytes(broken),
                Err(KeyringError::Damaged(_))
            ));
        }
    }
}
