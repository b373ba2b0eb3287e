//! "Hvem har sett på opplysningene mine": the log as its citizen reads it (spec/privacy.md §9.2, spec/portals.md §3.4).

use crate::{Citizen, Helsenorge};
use edge::Problem;
use serde::Serialize;
use store::MicrosUtc;
use trust::counted::{CountedMonth, counted_until, of_person};
use trust::log::{LogLine, Visit, citizen_lines, visits};
use trust::{Action, Basis, Class};

/// Lines read at a time.
pub const PAGE_LINES: usize = 500;

/// The ground of a look-up; pages turn it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The citizen herself.
    Yourself,
    /// Somebody with a power of attorney, or a parent.
    Representative,
    /// SAMTYKKE: "oppga at du samtykket".
    Consent,
    /// AKUTT.
    Emergency,
    /// UNNTAK: the GP, or a rule.
    Exception,
    /// FORHOYET_SAMTYKKE.
    OpenedWithConsent,
    /// FORHOYET_AKUTT.
    OpenedInEmergency,
    /// A system.
    Automatic,
    /// None known.
    Unknown,
}

/// Reason of a line.
pub fn reason(line: &LogLine) -> Reason {
    match (line.actor_kind.as_str(), Basis::parse(&line.basis)) {
        ("self", _) => Reason::Yourself,
        ("representative", _) => Reason::Representative,
        ("system", _) => Reason::Automatic,
        (_, Some(Basis::Consent)) => Reason::Consent,
        (_, Some(Basis::Emergency)) => Reason::Emergency,
        (_, Some(Basis::Exception)) => Reason::Exception,
        (_, Some(Basis::ElevatedConsent)) => Reason::OpenedWithConsent,
        (_, Some(Basis::ElevatedEmergency)) => Reason::OpenedInEmergency,
        _ => Reason::Unknown,
    }
}

/// One visit on the page.
#[derive(Clone, Debug, Serialize)]
pub struct VisitView {
    /// Its newest line: time, who, organisation.
    pub head: LogLine,
    /// Ground.
    pub reason: Reason,
    /// Union of the parts seen.
    pub parts: Vec<String>,
    /// Refused wholly.
    pub is_denied: bool,
    /// Number of requests.
    pub count: usize,
    /// The person can be blocked from this line (personnel, not blocked yet).
    pub can_block: bool,
    /// All lines, for *Mer*.
    pub lines: Vec<LogLine>,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub struct LogView {
    /// Visits, newest first.
    pub visits: Vec<VisitView>,
    /// More lines are older than this; pass it as `before`.
    pub next_before: Option<MicrosUtc>,
}

/// Look-ups in the base registers, which come in numbers and are counted (spec/privacy.md §9.1).
#[derive(Clone, Debug, Serialize)]
pub struct RegisterLooks {
    /// Everything up to this instant is counted; `None` before the first count.
    pub counted_until: Option<MicrosUtc>,
    /// Newest first; months without look-ups are left out.
    pub months: Vec<CountedMonth>,
}

impl Helsenorge {
    /// How often organisations looked the citizen up in the base registers, by month. Reading it is a line, as that of the
    /// log is.
    pub fn register_looks(&self, citizen: &Citizen) -> Result<RegisterLooks, Problem> {
        let snapshot = self.store().snapshot()?;
        let decided = self.decide(&snapshot, citizen, Action::List, Class::UsageLog, "innsyn")?;
        let looks = RegisterLooks {
            counted_until: counted_until(&self.trust, &snapshot)?,
            months: of_person(&self.trust, &snapshot, &decided.granted, citizen.key)?,
        };
        self.trust.record(&decided, &[])?;
        Ok(looks)
    }

    /// The log of the citizen, newest first, `before` an instant. Reading it is a line too.
    pub fn log_view(
        &self,
        citizen: &Citizen,
        before: Option<MicrosUtc>,
    ) -> Result<LogView, Problem> {
        let snapshot = self.store().snapshot()?;
        let decided = self.decide(&snapshot, citizen, Action::List, Class::UsageLog, "innsyn")?;
        let entries = self.store().journal_of(citizen.key, before, PAGE_LINES)?;
        let next_before = (entries.len() >= PAGE_LINES)
            .then(|| entries.last().map(|e| e.recorded_at))
            .flatten();
        let blocks = self.trust.setting_rows(&snapshot, citizen.key)?;
        let mut lines = citizen_lines(
            &entries,
            &blocks,
            self.trust.now(),
            self.trust.config().log_name_delay_days,
        );
        // Pages go by the time of the act; imported history was recorded later than it happened.
        lines.sort_by_key(|l| std::cmp::Reverse(l.occurred_at));
        // Looking at this page is not worth a line on it.
        lines.retain(|l| !(l.actor_kind == "self" && l.api == "innsyn"));
        let is_blocked = |hpr: &str| {
            blocks.iter().any(|row| {
                row.is_active && matches!(&row.setting, trust::settings::Setting::Block { hpr: h, .. } if h == hpr)
            })
        };
        let views = visits(lines)
            .into_iter()
            .filter_map(
                |Visit {
                     lines,
                     parts,
                     is_denied,
                     count,
                 }| {
                    let head = lines.first()?.clone();
                    Some(VisitView {
                        reason: reason(&head),
                        parts: parts.into_iter().collect(),
                        is_denied,
                        count,
                        can_block: head.actor_kind == "personnel"
                            && head.hpr.as_deref().is_some_and(|h| !is_blocked(h)),
                        lines,
                        head,
                    })
                },
            )
            .collect();
        self.trust.record(&decided, &[])?;
        Ok(LogView {
            visits: views,
            next_before,
        })
    }
}
