//! The citizen's settings as FHIR `Consent` in repository `personvern` (spec/privacy.md §2.7, §10).
//!
//! Rows are never changed, only superseded: lifting a setting writes a new version with `status: inactive`. Every change
//! raises the privacy epoch of the citizen (and of a blocked person) in the same commit.

use crate::{Controller, Part, SettingsInForce};
use bytes::Bytes;
use registers::{FNR_SYSTEM, HPR_SYSTEM};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{
    AuditEntry, Commit, Expect, MicrosUtc, Op, PersonKey, PersonRef, Privacy, Put, PutId, Record,
    RepoId, Vno,
};

/// Repository of the settings.
pub const REPOSITORY: &str = "personvern";
const SETTING_SYSTEM: &str = "urn:helsenav:cs:privacy-setting";
const CONTROLLER_SYSTEM: &str = "urn:helsenav:cs:controller";
const PART_SYSTEM: &str = "urn:helsenav:cs:part";
/// Service areas of a power of attorney.
const AREA_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.1.7618";
/// How the change came in.
const CHANNEL_URL: &str = "urn:helsenav:ext:channel";
/// Marks a block that was set from a log line whose name was still hidden (spec/privacy.md §9.2).
const HIDDEN_NAME_URL: &str = "urn:helsenav:ext:chosen-with-hidden-name";

/// One setting of a citizen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// RES_KJ, RES_PPS.
    Reservation(Controller),
    /// RESTR_ALL.
    RestrictWholly(Controller),
    /// RESTR_PART.
    RestrictPart(Controller, Part),
    /// BLOCK at one controller of the person with this HPR number.
    Block {
        /// Controller; one row each.
        controller: Controller,
        /// HPR number of the blocked person.
        hpr: String,
        /// Name as shown when it was chosen.
        name: String,
        /// The citizen did not see the name when she chose.
        hidden_name: bool,
    },
    /// VISITS_OFF.
    VisitsOff,
    /// SELF_OFF_KJ.
    SelfOffKj,
    /// SELF_OFF_JOURNAL.
    SelfOffJournal,
    /// FAST_RESULTS.
    FastResults,
    /// POA, POA_ASSIGNED: somebody may act for the citizen.
    PowerOfAttorney {
        /// National id of the citizen.
        giver: String,
        /// National id of who may act.
        attorney: String,
        /// Service areas (code list 7618); an assigned one is not limited by them.
        areas: BTreeSet<u8>,
        /// Assigned because the citizen cannot consent.
        is_assigned: bool,
    },
}

impl Setting {
    fn code(&self) -> &'static str {
        match self {
            Self::Reservation(Controller::PPS) => "RES_PPS",
            Self::Reservation(_) => "RES_KJ",
            Self::RestrictWholly(_) => "RESTR_ALL",
            Self::RestrictPart(..) => "RESTR_PART",
            Self::Block { .. } => "BLOCK",
            Self::VisitsOff => "VISITS_OFF",
            Self::SelfOffKj => "SELF_OFF_KJ",
            Self::SelfOffJournal => "SELF_OFF_JOURNAL",
            Self::FastResults => "FAST_RESULTS",
            Self::PowerOfAttorney {
                is_assigned: true, ..
            } => "POA_ASSIGNED",
            Self::PowerOfAttorney { .. } => "POA",
        }
    }

    fn controller(&self) -> Controller {
        match self {
            Self::Reservation(c) | Self::RestrictWholly(c) | Self::RestrictPart(c, _) => *c,
            Self::Block { controller, .. } => *controller,
            Self::FastResults => Controller::PPS,
            Self::SelfOffJournal => Controller::PJD,
            Self::PowerOfAttorney { .. } => Controller::HN,
            Self::VisitsOff | Self::SelfOffKj => Controller::KJ,
        }
    }

    /// Record id: one row per (citizen, setting, scope), so that switching on and off is one history.
    fn record_id(&self, subject: PersonKey) -> String {
        let scope = match self {
            Self::RestrictPart(_, part) => part.code().to_owned(),
            Self::Block { hpr, .. } => hpr.clone(),
            Self::PowerOfAttorney { attorney, .. } => attorney.clone(),
            _ => String::new(),
        };
        let name = format!(
            "{}|{}|{}|{scope}",
            subject.0,
            self.code(),
            self.controller().code()
        );
        store::sha256(name.as_bytes())
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect()
    }
}

/// Who recorded a change, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedBy {
    /// `helsenorge`, `personnel`, `helpline`, `owner`, `import`.
    pub channel: String,
    /// Who gave it, in words for the history of changes (`Du selv`).
    pub performer: String,
}

/// A stored setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// Record id in `personvern`.
    pub id: String,
    /// Version.
    pub vno: Vno,
    /// The setting.
    pub setting: Setting,
    /// In force.
    pub is_active: bool,
    /// The citizen's time.
    pub date_time: MicrosUtc,
    /// How it was set.
    pub by: ChangedBy,
    /// Whose setting.
    pub subject: Option<PersonKey>,
}

/// The changes as parts of a commit; the caller adds its notice and submits all at once.
///
/// `subject` is the citizen; `current` her stored rows at the snapshot the change was decided at: the commit expects
/// them unchanged (optimistic; a stricter change in between wins, spec/privacy.md §10.3).
pub fn change(
    repo: RepoId,
    subject: PersonKey,
    current: &[SettingRow],
    changes: &[(Setting, bool)],
    by: &ChangedBy,
    at: MicrosUtc,
    audit: Vec<AuditEntry>,
) -> Commit {
    let mut commit = Commit {
        mirror: true,
        audit,
        raise: vec![PersonRef::Key(subject)],
        ..Commit::default()
    };
    for (setting, is_active) in changes {
        let id = setting.record_id(subject);
        match current.iter().find(|row| row.id == id) {
            Some(row) => commit.expect.push(Expect::Version {
                repo,
                rtype: "Consent".to_owned(),
                id: id.clone(),
                vno: row.vno,
            }),
            None => commit.expect.push(Expect::Absent {
                repo,
                rtype: "Consent".to_owned(),
                id: id.clone(),
            }),
        }
        let mut persons = vec![PersonRef::Key(subject)];
        if let Setting::Block { hpr, .. } = setting {
            let blocked = PersonRef::id(HPR_SYSTEM, hpr);
            commit.raise.push(blocked.clone());
            persons.push(blocked);
        }
        if let Setting::PowerOfAttorney { attorney, .. } = setting {
            let attorney = registers::person_ref(attorney);
            commit.raise.push(attorney.clone());
            persons.push(attorney);
        }
        commit.put.push(Put {
            repo,
            rtype: "Consent".to_owned(),
            id: PutId::Given(id.clone()),
            op: Op::Update,
            body: Bytes::from(encode(&id, setting, *is_active, by, at).to_string()),
            keys: Vec::new(),
            pack: 0,
            persons,
            privacy: Privacy {
                controller: setting.controller().code().to_owned(),
                class: crate::Class::Settings.code(),
                ..Privacy::default()
            },
            blobs: Vec::new(),
        });
    }
    commit
}

fn encode(id: &str, setting: &Setting, is_active: bool, by: &ChangedBy, at: MicrosUtc) -> Value {
    let provision = match setting {
        Setting::Block { hpr, name, .. } => json!({
            "type": "deny",
            "actor": [{
                "role": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP" }] },
                "reference": { "identifier": { "system": HPR_SYSTEM, "value": hpr }, "display": name },
            }],
        }),
        Setting::RestrictPart(_, part) => json!({
            "type": "deny",
            "code": [{ "coding": [{ "system": PART_SYSTEM, "code": part.code() }] }],
        }),
        Setting::FastResults => json!({ "type": "permit" }),
        Setting::PowerOfAttorney {
            attorney, areas, ..
        } => json!({
            "type": "permit",
            "actor": [{
                "role": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "POWATT" }] },
                "reference": { "identifier": { "system": FNR_SYSTEM, "value": attorney } },
            }],
            "code": [{ "coding": areas.iter().map(|area| json!({ "system": AREA_SYSTEM, "code": area.to_string() })).collect::<Vec<_>>() }],
        }),
        _ => json!({ "type": "deny" }),
    };
    let mut extension = vec![json!({ "url": CHANNEL_URL, "valueCode": by.channel })];
    if let Setting::Block {
        hidden_name: true, ..
    } = setting
    {
        extension.push(json!({ "url": HIDDEN_NAME_URL, "valueBoolean": true }));
    }
    let patient = match setting {
        Setting::PowerOfAttorney { giver, .. } => {
            json!({ "identifier": { "system": FNR_SYSTEM, "value": giver } })
        }
        _ => Value::Null,
    };
    let mut consent = json!({
        "resourceType": "Consent",
        "id": id,
        "status": if is_active { "active" } else { "inactive" },
        "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
        "category": [
            { "coding": [{ "system": "http://loinc.org", "code": "59284-0" }] },
            { "coding": [{ "system": SETTING_SYSTEM, "code": setting.code() }] },
        ],
        "dateTime": jiff::Timestamp::from_microsecond(at).map(|t| t.to_string()).unwrap_or_default(),
        "performer": [{ "display": by.performer }],
        "organization": [{ "identifier": { "system": CONTROLLER_SYSTEM, "value": setting.controller().code() } }],
        "policyRule": { "coding": [{ "system": AREA_SYSTEM, "code": "PBRL5-3" }] },
        "provision": provision,
        "extension": extension,
    });
    if let (false, Some(members)) = (patient.is_null(), consent.as_object_mut()) {
        members.insert("patient".to_owned(), patient);
    }
    consent
}

/// Reads a stored row; `None` for a row this build does not understand (it then denies: see [`in_force`]).
pub fn decode(record: &Record) -> Option<SettingRow> {
    let consent: Value = serde_json::from_slice(&record.body).ok()?;
    let text = |pointer: &str| consent.pointer(pointer).and_then(Value::as_str);
    let code = text("/category/1/coding/0/code")?;
    let controller = Controller::parse(text("/organization/0/identifier/value")?)?;
    let extension = |url: &str| {
        consent
            .get("extension")?
            .as_array()?
            .iter()
            .find(|e| e.get("url").and_then(Value::as_str) == Some(url))
            .cloned()
    };
    let setting = match code {
        "RES_KJ" | "RES_PPS" => Setting::Reservation(controller),
        "RESTR_ALL" => Setting::RestrictWholly(controller),
        "RESTR_PART" => Setting::RestrictPart(
            controller,
            Part::parse(text("/provision/code/0/coding/0/code")?)?,
        ),
        "BLOCK" => Setting::Block {
            controller,
            hpr: text("/provision/actor/0/reference/identifier/value")?.to_owned(),
            name: text("/provision/actor/0/reference/display")
                .unwrap_or_default()
                .to_owned(),
            hidden_name: extension(HIDDEN_NAME_URL).is_some(),
        },
        "VISITS_OFF" => Setting::VisitsOff,
        "SELF_OFF_KJ" => Setting::SelfOffKj,
        "SELF_OFF_JOURNAL" => Setting::SelfOffJournal,
        "FAST_RESULTS" => Setting::FastResults,
        "POA" | "POA_ASSIGNED" => Setting::PowerOfAttorney {
            giver: text("/patient/identifier/value")?.to_owned(),
            attorney: text("/provision/actor/0/reference/identifier/value")?.to_owned(),
            areas: consent
                .pointer("/provision/code/0/coding")?
                .as_array()?
                .iter()
                .map(|coding| coding.get("code")?.as_str()?.parse().ok())
                .collect::<Option<_>>()?,
            is_assigned: code == "POA_ASSIGNED",
        },
        _ => return None,
    };
    Some(SettingRow {
        id: record.head.id.clone(),
        vno: record.head.vno,
        setting,
        is_active: text("/status") == Some("active"),
        date_time: text("/dateTime")?
            .parse::<jiff::Timestamp>()
            .ok()?
            .as_microsecond(),
        by: ChangedBy {
            channel: extension(CHANNEL_URL)
                .and_then(|e| Some(e.get("valueCode")?.as_str()?.to_owned()))
                .unwrap_or_default(),
            performer: text("/performer/0/display").unwrap_or_default().to_owned(),
        },
        subject: record.head.persons.first().copied(),
    })
}

/// Folds a citizen's rows into the settings in force. `records` are all Consent records in which she stands; a row that
/// cannot be read closes the record wholly (principle 6: unknown is no).
pub fn in_force(subject: PersonKey, records: &[Record]) -> SettingsInForce {
    let mut settings = SettingsInForce::default();
    for record in records
        .iter()
        .filter(|r| r.head.persons.first() == Some(&subject))
    {
        let Some(row) = decode(record) else {
            settings.restricted_wholly.extend(Controller::ALL);
            continue;
        };
        if !row.is_active {
            continue;
        }
        match row.setting {
            Setting::Reservation(c) => {
                settings.reservations.insert(c);
            }
            Setting::RestrictWholly(c) => {
                settings.restricted_wholly.insert(c);
            }
            Setting::RestrictPart(c, p) => {
                settings.restricted_parts.insert((c, p));
            }
            Setting::Block { controller, .. } => {
                // The blocked person is the record's second person key: HPR merges are followed by the store.
                if let Some(blocked) = record.head.persons.get(1) {
                    settings.blocks.insert((Some(controller), *blocked));
                } else {
                    // Citizen and blocked person are one key: she blocked herself; her own access is unaffected.
                    settings.blocks.insert((Some(controller), subject));
                }
            }
            Setting::VisitsOff => settings.visits_off = true,
            Setting::SelfOffKj => settings.self_off_kj = true,
            Setting::SelfOffJournal => settings.self_off_journal = true,
            Setting::FastResults => settings.fast_results = true,
            // Asked by whoever acts, not by who is looked at: `Trust::represented_by`.
            Setting::PowerOfAttorney { .. } => {}
        }
    }
    settings
}

/// Citizens whose active block at one of `controllers` names `actor`.
pub fn blocking_persons(
    actor: PersonKey,
    controllers: &[Controller],
    records: &[Record],
) -> std::collections::BTreeSet<PersonKey> {
    records
        .iter()
        .filter(|r| r.head.persons.get(1) == Some(&actor))
        .filter_map(decode)
        .filter(|row| row.is_active)
        .filter(|row| matches!(&row.setting, Setting::Block { controller, .. } if controllers.contains(controller)))
        .filter_map(|row| row.subject)
        .collect()
}
