//! "Hvem kan se opplysningene mine": settings, shown and changed (spec/privacy.md §2.7, §10; spec/portals.md §3.5).

use crate::notices::{Notice, NoticeKind};
use crate::{Citizen, Helsenorge};
use axum::http::StatusCode;
use edge::Problem;
use registers::Practitioner;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{CommitError, MicrosUtc};
use trust::log::citizen_lines;
use trust::settings::{ChangedBy, Setting, SettingRow, change};
use trust::{Action, Class, Controller, Part};

/// Controllers that "everywhere" means (spec/privacy.md §2.7).
pub const EVERYWHERE: [Controller; 4] = [
    Controller::KJ,
    Controller::PPS,
    Controller::PJD,
    Controller::RF,
];
const MAX_HITS: usize = 20;

/// A blocked person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockedPerson {
    /// Names the person in requests, is not shown: the HPR number, or, while the name is hidden, a handle that tells
    /// nothing (the personnel register is open: a number is a name).
    pub hpr: String,
    /// Name; absent when the citizen chose from a line whose name was hidden and is still not due.
    pub name: Option<String>,
    /// Workplace; absent as the name is: the log line tells where the look-up was made.
    pub organisation: Option<String>,
    /// Role (9060); absent as the name is.
    pub role: Option<String>,
    /// Since when.
    pub since: MicrosUtc,
}

/// A block as its citizen may see it now.
struct ShownBlock<'r> {
    handle: String,
    hpr: &'r str,
    name: Option<&'r str>,
}

/// The block of a row, its name shown or not. A line looked at is older than the block set from it, so the name is due
/// at the latest when the delay has passed since the block.
fn shown_block(row: &SettingRow, now: MicrosUtc, delay_days: i64) -> Option<ShownBlock<'_>> {
    let Setting::Block {
        hpr,
        name,
        hidden_name,
        ..
    } = &row.setting
    else {
        return None;
    };
    let due = row
        .date_time
        .saturating_add(delay_days.saturating_mul(DAY_US));
    let is_hidden = *hidden_name && now < due;
    Some(ShownBlock {
        handle: if is_hidden {
            format!("hidden-{}", row.date_time)
        } else {
            hpr.clone()
        },
        hpr,
        name: (!is_hidden).then_some(name.as_str()),
    })
}

const DAY_US: i64 = 86_400_000_000;

/// One change in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    pub at: MicrosUtc,
    /// Setting code: `block`, `restrict`, `restrict_all`, `reserve`, `visits_off`, `self_off`, `fast_results`.
    pub kind: &'static str,
    /// Part or name.
    pub what: Option<String>,
    /// Controller.
    pub controller: &'static str,
    /// Switched on or off.
    pub is_on: bool,
    /// By whom.
    pub by: String,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub struct AccessView {
    /// Blocked persons.
    pub blocked: Vec<BlockedPerson>,
    /// The whole core record is restricted.
    pub is_restricted_wholly: bool,
    /// Parts, whether restricted.
    pub parts: BTreeMap<&'static str, bool>,
    /// Opted out of the core record.
    pub is_reserved_kj: bool,
    /// Opted out of stored results.
    pub is_reserved_results: bool,
    /// History of changes, newest first.
    pub changes: Vec<Change>,
}

/// A hit of the search for somebody to block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PractitionerHit {
    /// HPR number.
    pub hpr: String,
    /// Name.
    pub name: String,
    /// Role (9060).
    pub role: Option<String>,
    /// Workplace.
    pub organisation: Option<String>,
}

/// Whom to block.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Whom {
    /// By HPR number, from the search.
    Hpr(String),
    /// From a line of the log, whether its name is shown or not.
    LogLine(uuid::Uuid),
}

/// What to restrict.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// The whole core record.
    Everything,
    /// One part, by its code.
    Part(String),
}

impl Helsenorge {
    /// The state of all settings.
    pub fn access_view(&self, citizen: &Citizen) -> Result<AccessView, Problem> {
        let snapshot = self.store().snapshot()?;
        let decided = self.decide(&snapshot, citizen, Action::List, Class::Settings, "tilgang")?;
        let rows = self.trust.setting_rows(&snapshot, citizen.key)?;
        self.trust.record(&decided, &[])?;
        Ok(view_of(
            &rows,
            |row| self.shown(row),
            |hpr| self.trust.directory().practitioner_by_hpr(hpr),
            |o| self.organisation(o),
        ))
    }

    /// Searches personnel by name and workplace, for the block dialog. At most 20 hits.
    pub fn search_practitioners(&self, query: &str) -> Vec<PractitionerHit> {
        let folded = codes::fold::fold(query);
        let words: Vec<&str> = folded.split_whitespace().take(8).collect();
        if words.is_empty() || folded.len() < 3 {
            return Vec::new();
        }
        let found = self.trust.directory().find_practitioners(&words, MAX_HITS);
        found.iter().filter_map(|p| self.hit(p)).collect()
    }

    /// Blocks a person everywhere: one row per controller, the notice and the log line, in one commit.
    pub fn block(&self, citizen: &Citizen, whom: &Whom) -> Result<AccessView, Problem> {
        let (hpr, hidden_name) = match whom {
            Whom::Hpr(hpr) => (hpr.clone(), false),
            Whom::LogLine(id) => self.hpr_of_line(citizen, *id)?,
        };
        let practitioner = self
            .trust
            .directory()
            .practitioner_by_hpr(&hpr)
            .ok_or_else(|| {
                Problem::new(
                    StatusCode::NOT_FOUND,
                    "no-such-person",
                    "Nobody in the personnel register has this number.",
                )
            })?;
        let name = practitioner.name.full();
        let changes: Vec<(Setting, bool)> = EVERYWHERE
            .into_iter()
            .map(|controller| {
                (
                    Setting::Block {
                        controller,
                        hpr: hpr.clone(),
                        name: name.clone(),
                        hidden_name,
                    },
                    true,
                )
            })
            .collect();
        let shown = (!hidden_name).then_some(name);
        self.change(citizen, &changes, NoticeKind::Blocked, shown)
    }

    fn shown<'r>(&self, row: &'r SettingRow) -> Option<ShownBlock<'r>> {
        shown_block(
            row,
            self.trust.now(),
            self.trust.config().log_name_delay_days,
        )
    }

    /// Lifts the block of a person everywhere. `handle`: [`BlockedPerson::hpr`].
    pub fn unblock(&self, citizen: &Citizen, handle: &str) -> Result<AccessView, Problem> {
        let rows = self
            .trust
            .setting_rows(&self.store().snapshot()?, citizen.key)?;
        let mut name = None;
        let mut changes = Vec::new();
        for row in rows.iter().filter(|row| row.is_active) {
            if let Some(block) = self.shown(row).filter(|b| b.handle == handle) {
                name = block.name.map(str::to_owned);
                changes.push((row.setting.clone(), false));
            }
        }
        if changes.is_empty() {
            return Err(Problem::not_found());
        }
        self.change(citizen, &changes, NoticeKind::BlockLifted, name)
    }

    /// Restricts a part, or everything; or lifts it.
    pub fn restrict(
        &self,
        citizen: &Citizen,
        what: &What,
        is_on: bool,
    ) -> Result<AccessView, Problem> {
        let changes: Vec<(Setting, bool)> = match what {
            What::Everything => vec![(Setting::RestrictWholly(Controller::KJ), is_on)],
            What::Part(code) => {
                let part = Part::parse(code).filter(|p| p.is_restrictable()).ok_or_else(|| {
                    Problem::bad_request("part must be one of critical, own, vaccines, medicines, results, documents, visits, plans")
                })?;
                let mut changes = vec![(Setting::RestrictPart(Controller::KJ, part), is_on)];
                // Results and documents are also reached past kjernejournal: there the whole controller is restricted.
                match part {
                    Part::Results => {
                        changes.push((Setting::RestrictWholly(Controller::PPS), is_on))
                    }
                    Part::Documents => {
                        changes.push((Setting::RestrictWholly(Controller::PJD), is_on))
                    }
                    _ => {}
                }
                changes
            }
        };
        let words = match what {
            What::Everything => "kjernejournal".to_owned(),
            What::Part(code) => code.clone(),
        };
        let kind = if is_on {
            NoticeKind::Restricted
        } else {
            NoticeKind::RestrictionLifted
        };
        self.change(citizen, &changes, kind, Some(words))
    }

    /// Opts out of the core record, or back in.
    pub fn reserve(&self, citizen: &Citizen, is_on: bool) -> Result<AccessView, Problem> {
        let kind = if is_on {
            NoticeKind::Reserved
        } else {
            NoticeKind::ReservationLifted
        };
        self.change(
            citizen,
            &[(Setting::Reservation(Controller::KJ), is_on)],
            kind,
            None,
        )
    }

    fn change(
        &self,
        citizen: &Citizen,
        changes: &[(Setting, bool)],
        kind: NoticeKind,
        what: Option<String>,
    ) -> Result<AccessView, Problem> {
        let snapshot = self.store().snapshot()?;
        let decided = self.decide(
            &snapshot,
            citizen,
            Action::ChangeSetting,
            Class::Settings,
            "tilgang",
        )?;
        let rows = self.trust.setting_rows(&snapshot, citizen.key)?;
        let now = self.trust.now();
        let by = ChangedBy {
            channel: "helsenorge".to_owned(),
            performer: "Du selv".to_owned(),
        };
        let items: Vec<String> = changes
            .iter()
            .map(|_| format!("Consent/{kind:?}"))
            .take(1)
            .collect();
        let audit = vec![decided.entry(&items)];
        let mut commit = change(
            self.trust.settings_repository(),
            citizen.key,
            &rows,
            changes,
            &by,
            now,
            audit,
        );
        commit
            .put
            .push(self.notice_put(citizen.key, &Notice::new(kind, what, now)));
        match self.store().commit(commit) {
            Ok(_) => self.access_view(citizen),
            Err(CommitError::Refused { .. }) => Err(Problem::conflict(
                "your settings were changed somewhere else at the same time; look again",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The person of a log line of this citizen, and whether her name was hidden when chosen.
    fn hpr_of_line(&self, citizen: &Citizen, id: uuid::Uuid) -> Result<(String, bool), Problem> {
        let entry = self
            .store()
            .journal_entry(id)?
            .filter(|e| e.persons.contains(&citizen.key));
        let lines = citizen_lines(
            &entry.into_iter().collect::<Vec<_>>(),
            &[],
            self.trust.now(),
            self.trust.config().log_name_delay_days,
        );
        let line = lines.first().ok_or_else(Problem::not_found)?;
        let hpr = line
            .hpr
            .clone()
            .filter(|_| line.actor_kind == "personnel")
            .ok_or_else(|| {
                Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "not-a-person",
                    "Only health personnel can be blocked.",
                )
            })?;
        Ok((hpr, line.name.is_none()))
    }

    fn organisation(&self, orgnr: &str) -> Option<String> {
        self.trust.directory().organisation(orgnr).map(|o| o.name)
    }

    fn hit(&self, practitioner: &Practitioner) -> Option<PractitionerHit> {
        Some(PractitionerHit {
            hpr: practitioner.hpr.clone()?,
            name: practitioner.name.full(),
            role: practitioner.authorisations.first().map(|a| a.role.clone()),
            organisation: practitioner
                .workplaces
                .first()
                .and_then(|w| self.organisation(&w.orgnr_parent)),
        })
    }
}

fn view_of<'r>(
    rows: &'r [SettingRow],
    shown: impl Fn(&'r SettingRow) -> Option<ShownBlock<'r>>,
    practitioner: impl Fn(&str) -> Option<Practitioner>,
    organisation: impl Fn(&str) -> Option<String>,
) -> AccessView {
    let mut blocked: BTreeMap<String, BlockedPerson> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.is_active) {
        if let Some(block) = shown(row) {
            let person = block.name.and_then(|_| practitioner(block.hpr));
            blocked
                .entry(block.handle.clone())
                .or_insert_with(|| BlockedPerson {
                    hpr: block.handle,
                    name: block.name.map(str::to_owned),
                    organisation: person
                        .as_ref()
                        .and_then(|p| p.workplaces.first())
                        .and_then(|w| organisation(&w.orgnr_parent)),
                    role: person.and_then(|p| p.authorisations.first().map(|a| a.role.clone())),
                    since: row.date_time,
                });
        }
    }
    let active = |setting: &Setting| rows.iter().any(|r| r.is_active && r.setting == *setting);
    let parts = Part::ALL
        .into_iter()
        .filter(|p| p.is_restrictable())
        .map(|p| (p.code(), active(&Setting::RestrictPart(Controller::KJ, p))))
        .collect();
    let mut changes: Vec<Change> = rows
        .iter()
        .filter_map(|row| change_of(row, shown(row)))
        .collect();
    changes.sort_by_key(|c| std::cmp::Reverse(c.at));
    AccessView {
        blocked: blocked.into_values().collect(),
        is_restricted_wholly: active(&Setting::RestrictWholly(Controller::KJ)),
        parts,
        is_reserved_kj: active(&Setting::Reservation(Controller::KJ)),
        is_reserved_results: active(&Setting::Reservation(Controller::PPS)),
        changes,
    }
}

/// A change for the history; powers of attorney have a page of their own nationally, and none here yet.
fn change_of(row: &SettingRow, block: Option<ShownBlock<'_>>) -> Option<Change> {
    let (kind, what, controller) = match &row.setting {
        Setting::Reservation(c) => ("reserve", None, *c),
        Setting::RestrictWholly(c) => ("restrict_all", None, *c),
        Setting::RestrictPart(c, p) => ("restrict", Some(p.code().to_owned()), *c),
        Setting::Block { controller, .. } => (
            "block",
            block.and_then(|b| b.name).map(str::to_owned),
            *controller,
        ),
        Setting::VisitsOff => ("visits_off", None, Controller::KJ),
        Setting::SelfOffKj => ("self_off", None, Controller::KJ),
        Setting::SelfOffJournal => ("self_off", None, Controller::PJD),
        Setting::FastResults => ("fast_results", None, Controller::PPS),
        Setting::PowerOfAttorney { .. } => return None,
    };
    Some(Change {
        at: row.date_time,
        kind,
        what,
        controller: controller.code(),
        is_on: row.is_active,
        by: row.by.performer.clone(),
    })
}
