//! Records of the hub's own repository that people at a console change: one commit each, with its line in the access journal
//! (spec/privacy.md §2.1).

use bytes::Bytes;
use serde_json::json;
use std::collections::BTreeMap;
use store::{
    AuditEntry, Commit, CommitError, Expect, Op, Privacy, Put, PutId, RepoId, Store, StoreError,
    Vno,
};

/// Controller of the journal's lines: they are about no citizen.
const CONTROLLER: &str = "HUB";

/// A change of one record.
pub(crate) struct Change<'a> {
    /// What the journal calls it.
    pub what: &'static str,
    pub rtype: &'a str,
    pub id: &'a str,
    /// The version that was looked at; none for a new record.
    pub was: Option<Vno>,
    /// Nothing takes the record away.
    pub body: Option<Vec<u8>>,
}

/// Writes a change. False when somebody else has changed the record meanwhile, or it is there already.
pub(crate) fn write(store: &Store, repo: RepoId, change: Change<'_>) -> Result<bool, StoreError> {
    let (rtype, id) = (change.rtype.to_owned(), change.id.to_owned());
    let commit = Commit {
        expect: vec![match change.was {
            None => Expect::Absent { repo, rtype, id },
            Some(vno) => Expect::Version {
                repo,
                rtype,
                id,
                vno,
            },
        }],
        put: vec![Put {
            repo,
            rtype: change.rtype.to_owned(),
            id: PutId::Given(change.id.to_owned()),
            op: match change.body {
                Some(_) => Op::Update,
                None => Op::Delete,
            },
            body: Bytes::from(change.body.unwrap_or_default()),
            keys: Vec::new(),
            pack: 0,
            persons: Vec::new(),
            privacy: Privacy::default(),
            blobs: Vec::new(),
        }],
        audit: vec![line(change.what, change.id)],
        ..Commit::default()
    };
    match store.commit(commit) {
        Ok(_) => Ok(true),
        Err(CommitError::Refused { .. }) => Ok(false),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}

fn line(what: &'static str, id: &str) -> AuditEntry {
    AuditEntry {
        id: uuid::Uuid::now_v7(),
        persons: Vec::new(),
        controller: CONTROLLER.to_owned(),
        occurred_at: edge::clock::real_now_us(),
        imported: false,
        citizen_visible: false,
        members: BTreeMap::from([
            ("actor.kind".to_owned(), json!("console")),
            ("action".to_owned(), json!(what)),
            ("item_ids".to_owned(), json!([id])),
        ]),
    }
}
