//! Notices in the citizen's inbox (spec/privacy.md §9.4), as FHIR `Communication`. A notice is written in the commit of
//! what it tells of.

use crate::{Citizen, Helsenorge};
use bytes::Bytes;
use edge::Problem;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{MicrosUtc, Op, PersonKey, PersonRef, Privacy, Put, PutId};
use trust::{Action, Class, Controller};

const KIND_SYSTEM: &str = "urn:helsenav:cs:notice";
const INBOX_LIMIT: usize = 1_000;

/// What a notice tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A person was blocked.
    Blocked,
    /// A block was lifted.
    BlockLifted,
    /// Something was restricted.
    Restricted,
    /// A restriction was lifted.
    RestrictionLifted,
    /// Opted out.
    Reserved,
    /// Opted in again.
    ReservationLifted,
    /// Somebody opened what was restricted.
    ElevatedAccess,
    /// A referral was sent for the citizen.
    Referral,
}

impl NoticeKind {
    const ALL: [Self; 8] = [
        Self::Blocked,
        Self::BlockLifted,
        Self::Restricted,
        Self::RestrictionLifted,
        Self::Reserved,
        Self::ReservationLifted,
        Self::ElevatedAccess,
        Self::Referral,
    ];

    fn code(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::BlockLifted => "block-lifted",
            Self::Restricted => "restricted",
            Self::RestrictionLifted => "restriction-lifted",
            Self::Reserved => "reserved",
            Self::ReservationLifted => "reservation-lifted",
            Self::ElevatedAccess => "elevated-access",
            Self::Referral => "referral",
        }
    }
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it tells of.
    pub kind: NoticeKind,
    /// Name, part or organisation, for the sentence.
    pub what: Option<String>,
    /// When (rules' clock).
    pub at: MicrosUtc,
}

impl Notice {
    /// A notice.
    pub fn new(kind: NoticeKind, what: Option<String>, at: MicrosUtc) -> Self {
        Self { kind, what, at }
    }
}

impl Helsenorge {
    /// The notice as a record of the person's inbox.
    pub fn notice_put(&self, person: PersonKey, notice: &Notice) -> Put {
        let mut body = json!({
            "resourceType": "Communication",
            "status": "completed",
            "category": [{ "coding": [{ "system": KIND_SYSTEM, "code": notice.kind.code() }] }],
            "sent": jiff::Timestamp::from_microsecond(notice.at).map(|t| t.to_string()).unwrap_or_default(),
        });
        if let (Some(what), Some(members)) = (&notice.what, body.as_object_mut()) {
            members.insert("payload".to_owned(), json!([{ "contentString": what }]));
        }
        Put {
            repo: self.repo,
            rtype: "Communication".to_owned(),
            id: PutId::New,
            op: Op::Create,
            body: Bytes::from(body.to_string()),
            keys: Vec::new(),
            pack: 0,
            persons: vec![PersonRef::Key(person)],
            privacy: Privacy {
                controller: Controller::HN.code().to_owned(),
                class: Class::Inbox.code(),
                ..Privacy::default()
            },
            blobs: Vec::new(),
        }
    }

    /// The citizen's notices, newest first.
    pub fn notices(&self, citizen: &Citizen) -> Result<Vec<Notice>, Problem> {
        let snapshot = self.store().snapshot()?;
        let decided = self.decide(&snapshot, citizen, Action::List, Class::Inbox, "innboks")?;
        let persons = BTreeSet::from([citizen.key]);
        let rids = snapshot.compartment(&decided.granted, self.repo, &persons, INBOX_LIMIT)?;
        let records = snapshot.fetch(&decided.granted, &rids)?;
        self.trust.record(&decided, &[])?;
        let mut notices: Vec<Notice> = records.iter().filter_map(|r| decode(&r.body)).collect();
        notices.sort_by_key(|n| std::cmp::Reverse(n.at));
        Ok(notices)
    }
}

fn decode(body: &[u8]) -> Option<Notice> {
    let communication: Value = serde_json::from_slice(body).ok()?;
    let code = communication
        .pointer("/category/0/coding/0/code")?
        .as_str()?;
    Some(Notice {
        kind: NoticeKind::ALL.into_iter().find(|k| k.code() == code)?,
        what: communication
            .pointer("/payload/0/contentString")
            .and_then(Value::as_str)
            .map(str::to_owned),
        at: communication
            .get("sent")?
            .as_str()?
            .parse::<jiff::Timestamp>()
            .ok()?
            .as_microsecond(),
    })
}
