//! Filters and grants (spec/privacy.md §8.1): which records an answer may be made of.
//!
//! A filter is evaluated before anything is counted, on every record, every hop and every include.
//! There is no "empty means all": an empty conjunction cannot be built.

use crate::{BlobHash, Head, MicrosUtc, PersonKey, RepoId, Seq};
use serde::{Deserialize, Serialize};
use sha2_fingerprint::fingerprint128;
use std::collections::{BTreeMap, BTreeSet};

/// What a record of a type must be for [`Pred::TypeRules`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TypeRule {
    /// She is among its persons.
    pub person: Option<PersonKey>,
    /// The search that `ids` is the answer of, as written; it says nothing by itself.
    pub query: String,
    /// Its id is one of these.
    pub ids: Option<BTreeSet<String>>,
}

impl TypeRule {
    fn admits(&self, head: &Head) -> bool {
        self.person.is_none_or(|p| head.persons.contains(&p))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&head.id))
    }
}

/// One condition on a record's [`Head`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Pred {
    /// Some person of the record is in the set.
    Compartment(BTreeSet<PersonKey>),
    /// No person of the record is in the set.
    NotCompartment(BTreeSet<PersonKey>),
    /// The record is in one of these repositories.
    RepoIn(BTreeSet<RepoId>),
    /// The data controller is one of these codes.
    ControllerIn(BTreeSet<String>),
    /// The resource class (spec/privacy.md §2.5) is one of these codes.
    ClassIn(BTreeSet<u16>),
    /// The resource class is none of these codes.
    ClassNotIn(BTreeSet<u16>),
    /// None of these label bits (spec/privacy.md §2.6) is set.
    LabelsClear(u64),
    /// HL7 confidentiality is one of these (bit 0 N, 1 R, 2 V).
    ConfIn(u8),
    /// `disclose_at` is absent or not after this instant.
    Disclosed(MicrosUtc),
    /// Records of this class have a service day on or after this day (days since 1970-01-01); others pass.
    DateFrom {
        /// Resource class the window is for.
        class: u16,
        /// First day inside the window.
        day: i32,
    },
    /// The author organisation is one of these.
    AuthorOrgIn(BTreeSet<String>),
    /// The author organisation is none of these.
    AuthorOrgNotIn(BTreeSet<String>),
    /// The author is not this person.
    AuthorPersonNot(PersonKey),
    /// The record was written by this client.
    SourceClientIs(String),
    /// The record id is one of these.
    IdIn(BTreeSet<String>),
    /// The record id is none of these.
    IdNotIn(BTreeSet<String>),
    /// Some business key is in the set.
    BusinessKeyIn(BTreeSet<String>),
    /// The 7618 area is one of these.
    AreaIn(BTreeSet<u8>),
    /// The status is none of these.
    StatusNotIn(BTreeSet<String>),
    /// The owner is this person.
    OwnerIs(PersonKey),
    /// One of the rules of the record's type holds; a type without rules does not pass (SMART scopes).
    TypeRules(BTreeMap<String, BTreeSet<TypeRule>>),
    /// Fields of this class that are removed on render and whose index rows do not count (parameter ids).
    Mask {
        /// Resource class.
        class: u16,
        /// FHIRPath-like element paths removed on render.
        paths: BTreeSet<String>,
    },
}

impl Pred {
    /// Whether the record passes. `Mask` always passes: it acts on content.
    pub fn admits(&self, head: &Head) -> bool {
        match self {
            Self::Compartment(set) => head.persons.iter().any(|p| set.contains(p)),
            Self::NotCompartment(set) => !head.persons.iter().any(|p| set.contains(p)),
            Self::RepoIn(set) => set.contains(&head.repo),
            Self::ControllerIn(set) => set.contains(&head.privacy.controller),
            Self::ClassIn(set) => set.contains(&head.privacy.class),
            Self::ClassNotIn(set) => !set.contains(&head.privacy.class),
            Self::LabelsClear(mask) => head.privacy.labels & mask == 0,
            Self::ConfIn(bits) => 1u8
                .checked_shl(u32::from(head.privacy.conf))
                .is_some_and(|bit| bits & bit != 0),
            Self::Disclosed(at) => head.privacy.disclose_at.is_none_or(|t| t <= *at),
            Self::DateFrom { class, day } => {
                head.privacy.class != *class || head.privacy.service_day.is_some_and(|d| d >= *day)
            }
            Self::AuthorOrgIn(set) => head
                .privacy
                .author_org
                .as_ref()
                .is_some_and(|o| set.contains(o)),
            Self::AuthorOrgNotIn(set) => head
                .privacy
                .author_org
                .as_ref()
                .is_none_or(|o| !set.contains(o)),
            Self::AuthorPersonNot(key) => head.author_person != Some(*key),
            Self::SourceClientIs(client) => head.privacy.source_client.as_ref() == Some(client),
            Self::IdIn(set) => set.contains(&head.id),
            Self::IdNotIn(set) => !set.contains(&head.id),
            Self::BusinessKeyIn(set) => head.privacy.business_keys.iter().any(|k| set.contains(k)),
            Self::AreaIn(set) => head.privacy.area.is_some_and(|a| set.contains(&a)),
            Self::StatusNotIn(set) => head
                .privacy
                .status
                .as_ref()
                .is_none_or(|s| !set.contains(s)),
            Self::OwnerIs(key) => head.owner == Some(*key),
            Self::TypeRules(rules) => rules
                .get(&head.rtype)
                .is_some_and(|rules| rules.iter().any(|r| r.admits(head))),
            Self::Mask { .. } => true,
        }
    }
}

/// A conjunction of conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// Everything. Only for hub actors and repositories of kind `Open`.
    Open,
    /// All of these hold. Never empty, sorted, without duplicates; build with [`Filter::all`].
    All(Preds),
    /// Nothing. Takes the same query path as any other filter.
    Closed,
}

/// A non-empty, sorted list of conditions. An empty one cannot be read from a text either.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Pred>", into = "Vec<Pred>")]
pub struct Preds(Vec<Pred>);

impl TryFrom<Vec<Pred>> for Preds {
    type Error = &'static str;

    fn try_from(mut preds: Vec<Pred>) -> Result<Self, Self::Error> {
        if preds.is_empty() {
            return Err("a conjunction of nothing would admit everything");
        }
        preds.sort();
        preds.dedup();
        Ok(Self(preds))
    }
}

impl From<Preds> for Vec<Pred> {
    fn from(preds: Preds) -> Self {
        preds.0
    }
}

impl Preds {
    /// The conditions in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = &Pred> {
        self.0.iter()
    }
}

impl Filter {
    /// The conjunction of `first` and `rest`.
    pub fn all(first: Pred, rest: impl IntoIterator<Item = Pred>) -> Self {
        let mut preds: Vec<Pred> = std::iter::once(first).chain(rest).collect();
        preds.sort();
        preds.dedup();
        Self::All(Preds(preds))
    }

    /// Both filters at once (never a replacement; spec/privacy.md §8.2 law 7).
    pub fn and(self, other: Filter) -> Self {
        match (self, other) {
            (Self::Closed, _) | (_, Self::Closed) => Self::Closed,
            (Self::Open, f) | (f, Self::Open) => f,
            (Self::All(a), Self::All(b)) => {
                let mut preds = a.0;
                preds.extend(b.0);
                preds.sort();
                preds.dedup();
                Self::All(Preds(preds))
            }
        }
    }

    /// Whether a record passes.
    pub fn admits(&self, head: &Head) -> bool {
        match self {
            Self::Open => true,
            Self::Closed => false,
            Self::All(preds) => preds.0.iter().all(|p| p.admits(head)),
        }
    }

    /// The person sets that bound the answer, when the filter has any: engines start from these rows.
    pub fn compartments(&self) -> Option<&BTreeSet<PersonKey>> {
        match self {
            Self::All(preds) => preds.0.iter().find_map(|p| match p {
                Pred::Compartment(set) => Some(set),
                _ => None,
            }),
            _ => None,
        }
    }

    /// 128-bit fingerprint of the canonical form; equal filters have equal fingerprints in every process.
    pub fn fingerprint(&self) -> u128 {
        fingerprint128(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// The right to read: what `trust::may` hands out, and nothing else can make.
///
/// Store reads on repositories of kind `Patient` and `Internal` take one; it carries the filter that the query obeys.
#[derive(Clone, Debug)]
pub struct Granted {
    filter: Filter,
    decided_at: Seq,
    decision: u128,
}

impl Granted {
    /// The filter the query obeys.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The snapshot the decision was made at.
    pub fn decided_at(&self) -> Seq {
        self.decided_at
    }

    /// Id of the decision; the audit entry of the same act carries it.
    pub fn decision(&self) -> u128 {
        self.decision
    }

    /// The same right, made narrower. A grant can never be widened.
    #[must_use]
    pub fn narrowed(&self, more: Filter) -> Self {
        Self {
            filter: self.filter.clone().and(more),
            ..self.clone()
        }
    }
}

/// The minting token. [`crate::Store`] gives it out once, at start, to `trust`.
#[derive(Debug)]
pub struct Mint(());

impl Mint {
    /// Only the store's opening code calls this.
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Makes a grant. `trust` calls this for what its decision function allowed, and for hub jobs.
    pub fn grant(&self, filter: Filter, decided_at: Seq, decision: u128) -> Granted {
        Granted {
            filter,
            decided_at,
            decision,
        }
    }
}

mod sha2_fingerprint {
    use aws_lc_rs::digest::{SHA256, digest};

    pub(super) fn fingerprint128(bytes: &[u8]) -> u128 {
        let mut out = [0u8; 16];
        for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
            *to = *from;
        }
        u128::from_be_bytes(out)
    }
}

/// SHA-256 of bytes, as used for blob addresses.
pub fn sha256(bytes: &[u8]) -> BlobHash {
    let mut out = [0u8; 32];
    for (to, from) in out
        .iter_mut()
        .zip(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
    {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_never_means_everything() {
        assert!(serde_json::from_str::<Filter>(r#"{"All":[]}"#).is_err());
        let filter = Filter::all(
            Pred::LabelsClear(4),
            [Pred::ConfIn(1), Pred::LabelsClear(4)],
        );
        let text = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter);
    }
}
