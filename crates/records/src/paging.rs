//! Page links: a sealed token instead of an open database snapshot (DESIGN §3.8, spec/fhir-server.md §3.3).
//!
//! The token is encrypted and authenticated: search criteria are health data, and positions must not be made up. It holds
//! no right: whoever shows it is decided on again (spec/privacy.md §10.4).

use crate::outcome::{Failure, expired_page};
use crate::planner::Place;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use store::{Filter, MicrosUtc, Pred, TypeRule};

/// How long a link holds: as long as the store keeps superseded index rows.
pub const LIFETIME_US: i64 = 3_600 * 1_000_000;
/// Longest token; longer search criteria cannot be paged.
pub const MAX_TOKEN: usize = 48 << 10;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// After so many records.
    Offset(u64),
    /// After this record, in record order.
    After(u64),
    /// After this place of a sorted result.
    Sorted(Place),
    /// Before this place of a history.
    Before(u64),
}

/// Content of a page link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Store it belongs to.
    pub incarnation: uuid::Uuid,
    /// Snapshot of the first page.
    pub seq: u64,
    /// Instant of the first page's decision.
    pub decided_at: MicrosUtc,
    /// [`shape`] of the filter of the first page.
    pub filter: u128,
    /// Privacy epochs of that decision (actor, subject, rules); none in open repositories.
    pub epochs: Option<[u64; 3]>,
    /// Who asked.
    pub actor: u128,
    /// About whom.
    pub person: Option<u64>,
    /// What was asked: path below the base.
    pub path: String,
    /// Parameters as executed.
    pub parameters: Vec<(String, String)>,
    /// Total as told on the first page.
    pub total: Option<u64>,
    /// Where to go on.
    pub position: Position,
    /// Until when it holds, real clock.
    pub expires_at: MicrosUtc,
}

/// Seals and opens page links of one repository.
pub struct Pages {
    key: RandomizedNonceKey,
    name: String,
}

impl Pages {
    /// With the repository's 32-byte key; `None` when it is not 32 bytes.
    pub fn new(key: &[u8], repository: &str) -> Option<Self> {
        Some(Self {
            key: RandomizedNonceKey::new(&AES_256_GCM, key).ok()?,
            name: repository.to_owned(),
        })
    }

    /// The token.
    pub fn seal(&self, page: &Page) -> Result<String, Failure> {
        let mut text = serde_json::to_vec(page).map_err(|_| Failure::internal())?;
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(self.name.as_bytes()), &mut text)
            .map_err(|_| Failure::internal())?;
        let mut token = nonce.as_ref().to_vec();
        token.extend_from_slice(&text);
        let token = URL_SAFE_NO_PAD.encode(token);
        if token.len() > MAX_TOKEN {
            return Err(Failure::too_costly(
                "the search parameters are too long to be paged; ask for less at once",
            ));
        }
        Ok(token)
    }

    /// What was sealed: 400 when it is not ours, 410 when it is too old.
    pub fn open(&self, token: &str, now: MicrosUtc) -> Result<Page, Failure> {
        let refuse = || Failure::bad("invalid", "this is not a page link of this repository");
        if token.len() > MAX_TOKEN {
            return Err(refuse());
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refuse())?;
        let (nonce, sealed) = bytes.split_at_mut_checked(12).ok_or_else(refuse)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refuse())?;
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(self.name.as_bytes()), sealed)
            .map_err(|_| refuse())?;
        let page: Page = serde_json::from_slice(plain).map_err(|_| refuse())?;
        if page.expires_at < now {
            return Err(expired_page());
        }
        Ok(page)
    }
}

/// Fingerprint of a filter without the decision's instant, so that the same decision later has the same shape.
pub fn shape(filter: &Filter) -> u128 {
    match filter {
        Filter::All(preds) => {
            let mut rest = preds.iter().map(|p| match p {
                Pred::Disclosed(_) => Pred::Disclosed(0),
                Pred::TypeRules(rules) => Pred::TypeRules(without_ids(rules)),
                other => other.clone(),
            });
            match rest.next() {
                Some(first) => Filter::all(first, rest).fingerprint(),
                None => filter.fingerprint(),
            }
        }
        other => other.fingerprint(),
    }
}

/// Rules of types by their searches: what those find changes with the data, not with the right.
fn without_ids(
    rules: &BTreeMap<String, BTreeSet<TypeRule>>,
) -> BTreeMap<String, BTreeSet<TypeRule>> {
    let bare = |rule: &TypeRule| TypeRule {
        ids: rule.ids.as_ref().map(|_| BTreeSet::new()),
        ..rule.clone()
    };
    rules
        .iter()
        .map(|(rtype, rules)| (rtype.clone(), rules.iter().map(bare).collect()))
        .collect()
}

/// Narrows a filter to what was disclosed at the first page already, so that pages join to one result.
pub fn as_of(filter: &Filter, decided_at: MicrosUtc) -> Option<Filter> {
    match filter {
        Filter::All(preds) if preds.iter().any(|p| matches!(p, Pred::Disclosed(_))) => {
            Some(Filter::all(Pred::Disclosed(decided_at), []))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::PersonKey;

    fn page() -> Page {
        Page {
            incarnation: uuid::Uuid::from_u128(7),
            seq: 9,
            decided_at: 1,
            filter: 2,
            epochs: Some([1, 2, 3]),
            actor: 3,
            person: Some(4),
            path: "Observation".to_owned(),
            parameters: vec![("code".to_owned(), "x".to_owned())],
            total: Some(5),
            position: Position::Offset(50),
            expires_at: 1_000,
        }
    }

    #[test]
    fn a_link_reads_back_and_shows_nothing() {
        let pages = Pages::new(&[1; 32], "provesvar").unwrap();
        let token = pages.seal(&page()).unwrap();
        assert_eq!(pages.open(&token, 999).unwrap(), page());
        assert!(!token.contains("Observation"));
        assert_ne!(token, pages.seal(&page()).unwrap());
    }

    #[test]
    fn foreign_old_and_broken_links_are_refused() {
        let pages = Pages::new(&[1; 32], "provesvar").unwrap();
        let token = pages.seal(&page()).unwrap();
        assert_eq!(pages.open(&token, 1_001).unwrap_err().status, 410);
        let other = Pages::new(&[1; 32], "dokumenter").unwrap();
        assert_eq!(other.open(&token, 0).unwrap_err().status, 400);
        for at in 0..token.len() {
            let mut broken = token.clone().into_bytes();
            broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
            let broken = String::from_utf8(broken).unwrap();
            // The last digit of the text carries unused bits.
            if at + 1 < token.len() {
                assert!(pages.open(&broken, 0).is_err(), "{at}");
            }
        }
        for text in ["", "x", "ÆØÅ", "AAAA"] {
            assert_eq!(pages.open(text, 0).unwrap_err().status, 400);
        }
    }

    #[test]
    fn the_instant_is_not_part_of_the_shape() {
        let filter = |at, person| {
            Filter::all(
                Pred::Compartment(BTreeSet::from([PersonKey(person)])),
                [Pred::Disclosed(at)],
            )
        };
        assert_eq!(shape(&filter(1, 1)), shape(&filter(2, 1)));
        assert_ne!(shape(&filter(1, 1)), shape(&filter(1, 2)));
        assert_ne!(shape(&filter(1, 1)), shape(&Filter::Closed));
    }
}
