//! The access log as values: the entry of an act, and what the citizen reads of it (spec/privacy.md §9.1, §9.2).

use crate::facts::*;
use crate::gather::{Access, Principal, oslo_date};
use crate::settings::{Setting, SettingRow};
use crate::{Basis, Part};
use registers::{Directory, Person};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{AuditEntry, JournalEntry, MicrosUtc, PersonRef, Seq};

/// Most item ids kept in an entry.
const MAX_ITEMS: usize = 1_000;

/// The entry of one decision.
pub(crate) fn entry(
    directory: &dyn Directory,
    access: &Access,
    facts: &Facts,
    decision: &Decision,
    register: Option<&Person>,
    epochs: (Seq, Seq, Seq),
) -> AuditEntry {
    let mut members = BTreeMap::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            members.insert(name.to_owned(), value);
        }
    };
    set("service", json!(access.service));
    set("api", json!(access.api));
    set("interface", json!(format!("{:?}", access.ask.interface)));
    set("action", json!(format!("{:?}", access.ask.action)));
    set("basis", json!(access.ask.basis.code()));
    set("purpose", json!(facts.purpose.map(|p| format!("{p:?}"))));
    set("event_id", json!(access.event_id));
    set("epochs", json!([epochs.0.0, epochs.1.0, epochs.2.0]));
    let parts: BTreeSet<&str> = access.ask.classes.iter().map(|c| c.part().code()).collect();
    set("parts", json!(parts));
    if let Some(part) = access.ask.elevated_part {
        set("elevated_part", json!(part.code()));
    }
    match &access.principal {
        Principal::Personnel {
            nin,
            client_id,
            orgnr_parent,
            orgnr_child,
            ..
        } => {
            set("actor.kind", json!("personnel"));
            set("client_id", json!(client_id));
            let practitioner = directory.practitioner_by_nin(nin);
            let name = practitioner
                .as_ref()
                .map(|p| p.name.full())
                .or_else(|| directory.person(nin).map(|p| p.name.full()));
            set("actor.name", json!(name));
            if let Actor::Personnel(p) = &facts.actor {
                set("actor.hpr", json!(p.hpr));
                set("actor.role", json!(p.role));
                set("actor.person", json!(p.person.0));
            }
            set(
                "actor.organisation",
                json!(organisation_name(directory, orgnr_parent)),
            );
            set("actor.orgnr_parent", json!(orgnr_parent));
            set("actor.orgnr_child", json!(orgnr_child));
            let workplace = practitioner
                .as_ref()
                .and_then(|p| p.workplaces.iter().find(|w| w.orgnr_child == *orgnr_child))
                .and_then(|w| w.department.clone());
            set("actor.department", json!(workplace));
        }
        Principal::Citizen { acting, nin } => {
            set(
                "actor.kind",
                json!(if acting.is_some() {
                    "representative"
                } else {
                    "self"
                }),
            );
            let who = acting.as_ref().unwrap_or(nin);
            set(
                "actor.name",
                json!(directory.person(who).map(|p| p.name.full())),
            );
        }
        Principal::System {
            client_id,
            orgnr_parent,
        } => {
            set("actor.kind", json!("system"));
            set("client_id", json!(client_id));
            set(
                "actor.organisation",
                json!(organisation_name(directory, orgnr_parent)),
            );
            set("actor.orgnr_parent", json!(orgnr_parent));
        }
        Principal::Operator { .. } => set("actor.kind", json!("operator")),
        Principal::Anonymous => set("actor.kind", json!("anonymous")),
    }
    match decision {
        Decision::Allow {
            reason,
            filter,
            duties,
            flags,
        } => {
            set("outcome", json!("allow"));
            set("rule", json!(reason));
            set("filter", json!(format!("{:032x}", filter.fingerprint())));
            set("review", json!(duties.review.map(|r| format!("{r:?}"))));
            set("notify", json!(duties.notify));
            let opened: Vec<&str> = flags.opened_parts.iter().map(|p| p.code()).collect();
            if !opened.is_empty() {
                set("opened_parts", json!(opened));
            }
        }
        Decision::Deny { class, reason } => {
            set("outcome", json!("deny"));
            set("deny_class", json!(class.code()));
            set("rule", json!(reason));
        }
    }
    AuditEntry {
        id: uuid::Uuid::now_v7(),
        persons: subject_refs(access, facts, register),
        controller: access.ask.controller.code().to_owned(),
        occurred_at: facts.at,
        imported: false,
        citizen_visible: true,
        members,
    }
}

fn subject_refs(access: &Access, facts: &Facts, register: Option<&Person>) -> Vec<PersonRef> {
    match (
        facts.subject.as_ref().and_then(|s| s.person),
        register,
        &access.subject,
    ) {
        (Some(key), _, _) => vec![PersonRef::Key(key)],
        (None, Some(person), _) => vec![PersonRef::id(registers::FNR_SYSTEM, &person.nin)],
        (None, None, Some(crate::gather::SubjectRef::Nin(nin))) if !nin.is_empty() => {
            vec![PersonRef::id(registers::FNR_SYSTEM, nin)]
        }
        _ => Vec::new(),
    }
}

fn organisation_name(directory: &dyn Directory, orgnr: &str) -> Option<String> {
    let organisation = directory.organisation(orgnr)?;
    // "Nordlys universitetssykehus HF / Breivika" reads better without the sub unit.
    Some(organisation.name)
}

/// Adds what was shown: ids up to 1 000, then a count.
pub(crate) fn with_items(mut entry: AuditEntry, items: &[String]) -> AuditEntry {
    if !items.is_empty() {
        let kept: Vec<&String> = items.iter().take(MAX_ITEMS).collect();
        entry.members.insert("item_ids".to_owned(), json!(kept));
    }
    entry.members.insert("shown".to_owned(), json!(items.len()));
    entry
}

/// One line as the citizen reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Entry id: proof and details.
    pub id: uuid::Uuid,
    /// Time of the act.
    pub occurred_at: MicrosUtc,
    /// Time it was recorded.
    pub recorded_at: MicrosUtc,
    /// Overført fra tidligere logg.
    pub imported: bool,
    /// `personnel`, `self`, `representative`, `system`.
    pub actor_kind: String,
    /// Name; absent until it may be shown, or for systems.
    pub name: Option<String>,
    /// From when the name is shown, when it is not yet.
    pub name_shown_from: Option<jiff::civil::Date>,
    /// The name is hidden because the citizen blocked a person whose name she had not seen.
    pub is_blocked_person: bool,
    /// HPR number, for the block button (never printed).
    #[serde(skip)]
    pub hpr: Option<String>,
    /// Role (9060).
    pub role: Option<String>,
    /// Organisation.
    pub organisation: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// Access basis code.
    pub basis: String,
    /// Service through which the look-up was made.
    pub service: String,
    /// Page or API.
    pub api: String,
    /// Parts seen.
    pub parts: Vec<String>,
    /// Controller.
    pub controller: String,
    /// Action.
    pub action: String,
    /// Denied, with the class in the log's words.
    pub denied: Option<String>,
    /// Event id.
    pub event_id: Option<String>,
    /// Whether it stands in the sealed chain yet.
    pub sealed: bool,
}

/// What the citizen may see of the entries of her line at `now` (spec/privacy.md §9.2).
pub fn citizen_lines(
    entries: &[JournalEntry],
    blocks: &[SettingRow],
    now: MicrosUtc,
    name_delay_days: i64,
) -> Vec<LogLine> {
    entries
        .iter()
        .filter(|e| e.entry.citizen_visible)
        .map(|e| citizen_line(e, blocks, now, name_delay_days))
        .collect()
}

fn citizen_line(
    e: &JournalEntry,
    blocks: &[SettingRow],
    now: MicrosUtc,
    name_delay_days: i64,
) -> LogLine {
    let text = |name: &str| {
        e.entry
            .members
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let list = |name: &str| -> Vec<String> {
        e.entry
            .members
            .get(name)
            .and_then(Value::as_array)
            .map(|v| {
                v.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default()
    };
    let actor_kind = text("actor.kind").unwrap_or_default();
    let basis = text("basis").unwrap_or_default();
    let service = text("service").unwrap_or_default();
    let denied = text("deny_class");
    let hpr = text("actor.hpr");
    // Organisation, time and ground at once; the name after the delay of the service through which it was made.
    let delay_days = if service == "kjernejournal" {
        name_delay_days
    } else {
        0
    };
    let due = e
        .entry
        .occurred_at
        .saturating_add(delay_days.saturating_mul(86_400_000_000));
    let block = blocks.iter().find_map(|row| match &row.setting {
        Setting::Block {
            hpr: blocked,
            hidden_name,
            ..
        } if Some(blocked) == hpr.as_ref() => Some(*hidden_name),
        _ => None,
    });
    let is_urgent = Basis::parse(&basis).is_some_and(|b| b.is_emergency() || b.is_elevated());
    let is_refused_block = denied.as_deref() == Some(DenyClass::Block.code());
    let chosen_by_name = is_refused_block && block == Some(false);
    let is_shown = actor_kind != "personnel"
        || now >= due
        || chosen_by_name
        || (is_urgent && !is_refused_block);
    LogLine {
        id: e.entry.id,
        occurred_at: e.entry.occurred_at,
        recorded_at: e.recorded_at,
        imported: e.entry.imported,
        name: if is_shown { text("actor.name") } else { None },
        name_shown_from: (!is_shown).then(|| oslo_date(due)),
        is_blocked_person: is_refused_block && !is_shown,
        hpr,
        role: text("actor.role"),
        organisation: text("actor.organisation"),
        department: text("actor.department"),
        basis,
        service,
        api: text("api").unwrap_or_default(),
        parts: list("parts"),
        controller: e.entry.controller.clone(),
        action: text("action").unwrap_or_default(),
        denied,
        event_id: text("event_id"),
        sealed: e.sealed.is_some(),
        actor_kind,
    }
}

/// Look-ups by the same person within 30 minutes: one visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visit {
    /// Its lines, newest first.
    pub lines: Vec<LogLine>,
    /// Union of the parts seen.
    pub parts: BTreeSet<String>,
    /// All of it was refused.
    pub is_denied: bool,
    /// Number of requests.
    pub count: usize,
}

/// Groups lines (newest first) into visits (spec/portals.md §3.4): same actor, same outcome, within 30 minutes.
pub fn visits(lines: Vec<LogLine>) -> Vec<Visit> {
    const WINDOW_US: i64 = 30 * 60 * 1_000_000;
    let mut visits: Vec<Visit> = Vec::new();
    for line in lines {
        let same = |v: &&mut Visit| {
            v.is_denied == line.denied.is_some()
                && v.lines.last().is_some_and(|last| {
                    last.hpr == line.hpr
                        && last.actor_kind == line.actor_kind
                        && last.organisation == line.organisation
                        && last.imported == line.imported
                        // A name that is due must not tell the one behind a line whose name is not.
                        && last.name == line.name
                        && last.occurred_at.abs_diff(line.occurred_at) <= WINDOW_US as u64
                })
        };
        let parts: BTreeSet<String> = line.parts.iter().cloned().collect();
        match visits.iter_mut().rev().take(64).find(same) {
            Some(visit) => {
                visit.count += 1;
                visit.parts.extend(parts);
                visit.lines.push(line);
            }
            None => visits.push(Visit {
                parts,
                is_denied: line.denied.is_some(),
                count: 1,
                lines: vec![line],
            }),
        }
    }
    visits
}

/// Parts by their codes, for pages.
pub fn part_codes() -> Vec<&'static str> {
    Part::ALL.iter().map(|p| p.code()).collect()
}
