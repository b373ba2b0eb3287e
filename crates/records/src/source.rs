//! Cross-service views: every service offers its records of one person as a [`RecordSource`], each with its own decision,
//! its own log line and its own state; one source down never takes a view down (DESIGN §3.9).

use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Direction, MicrosUtc, PersonKey, Record, RepoId, Snapshot, StoreError};
use trust::gather::SubjectRef;
use trust::{
    Access, Ask, Basis, Class, Controller, Decided, Decision, DenyClass, Flags, Interface, Part,
    Principal, Trust,
};

/// Most records a view reads from one source; beyond it the newest are shown and the view says so.
pub const VIEW_LIMIT: usize = 2_000;

/// Who looks at whose data, on what ground, through which service.
#[derive(Clone)]
pub struct ViewContext {
    /// The decision maker.
    pub trust: Arc<Trust>,
    /// One snapshot for the whole view.
    pub snapshot: Snapshot,
    /// Who looks.
    pub principal: Principal,
    /// At whom.
    pub subject: SubjectRef,
    /// Through which door.
    pub interface: Interface,
    /// On what ground.
    pub basis: Basis,
    /// Part that an elevated basis opens; `None` = every part asked for.
    pub elevated_part: Option<Part>,
    /// Name of the service in the log.
    pub service: &'static str,
    /// Page or API in the log.
    pub api: String,
    /// Event id of the request.
    pub event_id: uuid::Uuid,
}

impl ViewContext {
    /// The access to decide on for one controller and some of its classes.
    pub fn access(
        &self,
        controller: Controller,
        classes: impl IntoIterator<Item = Class>,
    ) -> Access {
        let ask = Ask::read(self.interface, controller, self.basis)
            .with_classes(classes)
            .with_elevated_part(self.elevated_part);
        let mut access = Access::new(
            self.principal.clone(),
            Some(self.subject.clone()),
            ask,
            self.service,
        );
        access.api.clone_from(&self.api);
        access.event_id = self.event_id;
        access
    }
}

/// How a source answered. `Empty` is said explicitly: "nothing known" is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Records are shown.
    Ok,
    /// There is nothing (that this reader may see).
    Empty,
    /// The source did not answer in time, or failed.
    Error,
    /// The decision was no; the class decides the page.
    Denied,
    /// The part is restricted by the citizen and stays closed (padlock).
    Closed,
}

/// What a source has for a view.
#[derive(Clone, Debug)]
pub struct SourceView {
    /// Key of the source.
    pub key: &'static str,
    /// How it answered.
    pub state: SourceState,
    /// Class of the denial, when denied.
    pub denied: Option<DenyClass>,
    /// Settings that the answer may tell of.
    pub flags: Flags,
    /// Records, newest service day first.
    pub records: Vec<Record>,
    /// There are more than [`VIEW_LIMIT`].
    pub is_truncated: bool,
    /// State of the source: commit time of the snapshot.
    pub as_of: MicrosUtc,
}

impl SourceView {
    /// A source that failed.
    pub fn error(key: &'static str, as_of: MicrosUtc) -> Self {
        Self {
            key,
            state: SourceState::Error,
            denied: None,
            flags: Flags::default(),
            records: Vec::new(),
            is_truncated: false,
            as_of,
        }
    }

    /// Bodies parsed as JSON; a damaged one is left out and logged.
    pub fn json(&self) -> Vec<(store::Head, serde_json::Value)> {
        self.records
            .iter()
            .filter_map(|record| match serde_json::from_slice(&record.body) {
                Ok(value) => Some((record.head.clone(), value)),
                Err(error) => {
                    tracing::error!(rid = record.head.rid.0, %error, "stored body is not JSON");
                    None
                }
            })
            .collect()
    }
}

/// A decimal of a stored resource as it was written (`12.60`), by a dotted path of JSON names: a float would lose the zero.
pub fn decimal_text(body: &bytes::Bytes, path: &str) -> Option<String> {
    let doc = fhir::Doc::parse_json(body.clone(), &fhir::Limits::default()).ok()?;
    doc.root().at(path)?.as_decimal_text().map(str::to_owned)
}

/// One service's records of a person.
pub trait RecordSource: Send + Sync {
    /// Key in views (`results`, `documents`, `critical`, …).
    fn key(&self) -> &'static str;
    /// Whose settings count.
    fn controller(&self) -> Controller;
    /// Decides, queries, writes the log line. Blocking.
    fn view(&self, context: &ViewContext) -> Result<SourceView, StoreError>;
}

/// The common source: some classes of one repository.
#[derive(Clone, Debug)]
pub struct StoreSource {
    /// Key in views.
    pub key: &'static str,
    /// Data controller.
    pub controller: Controller,
    /// Repository.
    pub repo: RepoId,
    /// Classes; all of one part.
    pub classes: Vec<Class>,
}

impl RecordSource for StoreSource {
    fn key(&self) -> &'static str {
        self.key
    }

    fn controller(&self) -> Controller {
        self.controller
    }

    fn view(&self, context: &ViewContext) -> Result<SourceView, StoreError> {
        let decided = context.trust.decide(
            &context.snapshot,
            &context.access(self.controller, self.classes.iter().copied()),
        )?;
        let (records, is_truncated) = of_person(&context.snapshot, &decided, self.repo)?;
        let items: Vec<String> = records
            .iter()
            .map(|r| format!("{}/{}", r.head.rtype, r.head.id))
            .collect();
        context.trust.record(&decided, &items)?;
        let flags = decided.flags();
        let parts: BTreeSet<Part> = self.classes.iter().map(|c| c.part()).collect();
        let state = match &decided.decision {
            Decision::Deny { .. } => SourceState::Denied,
            Decision::Allow { .. } if !parts.is_empty() && parts.is_subset(&flags.closed_parts) => {
                SourceState::Closed
            }
            Decision::Allow { .. } if records.is_empty() => SourceState::Empty,
            Decision::Allow { .. } => SourceState::Ok,
        };
        Ok(SourceView {
            key: self.key,
            state,
            denied: decided.decision.denied(),
            flags,
            records,
            is_truncated,
            as_of: context.snapshot.at(),
        })
    }
}

/// Records of the decided subject under the decision's grant, newest service day first. Runs the same query for a denial
/// (its filter is `Closed`) and for a person without key.
pub fn of_person(
    snapshot: &Snapshot,
    decided: &Decided,
    repo: RepoId,
) -> Result<(Vec<Record>, bool), StoreError> {
    let persons: BTreeSet<PersonKey> = decided.person.into_iter().collect();
    let mut rids = snapshot.compartment(&decided.granted, repo, &persons, usize::MAX)?;
    let is_truncated = rids.len() > VIEW_LIMIT;
    if is_truncated {
        rids.drain(..rids.len() - VIEW_LIMIT);
    }
    let mut records = snapshot.fetch(&decided.granted, &rids)?;
    records.sort_by_key(|r| std::cmp::Reverse((r.head.privacy.service_day, r.head.seq)));
    Ok((records, is_truncated))
}

/// Asks all sources in parallel, each on its own thread, and waits at most `deadline`: late and failed ones are `Error`.
pub fn read_all(
    sources: &[Arc<dyn RecordSource>],
    context: &ViewContext,
    deadline: Duration,
) -> Vec<SourceView> {
    let (sender, receiver) = std::sync::mpsc::channel();
    for (index, source) in sources.iter().enumerate() {
        let (source, context, sender) = (source.clone(), context.clone(), sender.clone());
        std::thread::spawn(move || {
            let view = source.view(&context).unwrap_or_else(|error| {
                tracing::error!(source = source.key(), %error, "source failed");
                SourceView::error(source.key(), context.snapshot.at())
            });
            // The view may have gone on without us.
            let _ = sender.send((index, view));
        });
    }
    drop(sender);
    let end = std::time::Instant::now() + deadline;
    let mut views: Vec<Option<SourceView>> = sources.iter().map(|_| None).collect();
    while let Ok((index, view)) =
        receiver.recv_timeout(end.saturating_duration_since(std::time::Instant::now()))
    {
        if let Some(place) = views.get_mut(index) {
            *place = Some(view);
        }
    }
    views
        .into_iter()
        .zip(sources)
        .map(|(view, source)| {
            view.unwrap_or_else(|| SourceView::error(source.key(), context.snapshot.at()))
        })
        .collect()
}

/// Values in a range of an ordered parameter, for views that need an order other than the service day.
pub fn newest_by(
    snapshot: &Snapshot,
    decided: &Decided,
    repo: RepoId,
    param: u32,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let range = store::KeyRange::whole(param);
    let rows = snapshot.scan(
        &decided.granted,
        repo,
        &range,
        Direction::Descending,
        None,
        limit,
    )?;
    let rids: Vec<store::Rid> = rows.iter().map(|r| r.rid).collect();
    snapshot.fetch(&decided.granted, &rids)
}
