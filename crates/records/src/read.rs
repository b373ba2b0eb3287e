//! read and vread (spec/fhir-server.md §2.1), and what pages of results share.
//!
//! Visibility comes first: preconditions are looked at only for what the caller may see (spec/privacy.md §4.2).

use crate::gate::{Caller, Gated};
use crate::http::{Answer, Call, Content};
use crate::outcome::{Failure, expired_page};
use crate::paging::{LIFETIME_US, Page, Position, shape};
use crate::params::{DEFAULT_COUNT, SearchParams, Summary};
use crate::planner::PatientScope;
use crate::render::{self, Sight, Subset};
use crate::repository::{Repository, is_closed};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use store::{Granted, Op, Record, Snapshot, Vno};
use trust::Action;
use trust::gather::SubjectRef;

/// Longest id (spec/fhir-server.md §1).
pub(crate) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

pub(crate) fn etag(vno: Vno) -> String {
    format!("W/\"{}\"", vno.0)
}

pub(crate) fn is_deleted(record: &Record) -> bool {
    matches!(record.head.op, Op::Delete | Op::Purge)
}

/// Versions named by an `If-Match` or `If-None-Match` header; `None` for `*`.
pub(crate) fn etags(text: &str) -> Result<Option<Vec<String>>, Failure> {
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    let tags: Option<Vec<String>> = text
        .split(',')
        .map(|tag| {
            let tag = tag.trim();
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
            (!tag.contains('"')).then(|| tag.to_owned())
        })
        .collect();
    tags.map(Some).ok_or_else(|| {
        Failure::bad(
            "value",
            "an ETag is written W/\"1\"; give one or more, or *",
        )
    })
}

/// Whether a conditional read may answer 304.
fn is_unchanged(call: &Call, record: &Record) -> Result<bool, Failure> {
    if let Some(text) = call.header(header::IF_NONE_MATCH) {
        let version = record.head.vno.0.to_string();
        // What is no ETag at all is compared as it stands: some clients send the bare version.
        let tags = etags(text).unwrap_or_else(|_| Some(vec![text.trim().to_owned()]));
        return Ok(tags.is_none_or(|tags| tags.contains(&version)));
    }
    Ok(call
        .header(header::IF_MODIFIED_SINCE)
        .and_then(render::parse_http_date)
        .is_some_and(|since| record.head.at.div_euclid(1_000_000) <= since.div_euclid(1_000_000)))
}

impl Repository {
    pub(crate) fn subset(&self, call: &Call, rtype: &str) -> Result<Subset, Failure> {
        self.subset_of(&call.query, call.is_lenient, rtype)
    }

    /// The same, of given parameters.
    pub(crate) fn subset_of(
        &self,
        query: &[(String, String)],
        is_lenient: bool,
        rtype: &str,
    ) -> Result<Subset, Failure> {
        let params = SearchParams::read(query)?;
        if params.summary == Summary::Count {
            return Err(Failure::bad("value", "_summary=count is for searches"));
        }
        let subset = Subset {
            summary: params.summary,
            elements: params.elements.clone(),
        };
        let is_other = |name: &str| !matches!(name, "_summary" | "_elements");
        if !is_lenient && params.executed.iter().any(|(name, _)| is_other(name)) {
            return Err(Failure::bad(
                "not-supported",
                "a read takes _summary, _elements, _format and _pretty only",
            ));
        }
        if !is_lenient {
            subset.check(rtype)?;
        }
        Ok(subset)
    }

    /// A stored version as the caller gets it. `sight` is given in clinical repositories.
    pub(crate) fn rendered(
        &self,
        record: &Record,
        sight: Option<&Sight<'_>>,
        subset: &Subset,
    ) -> Result<Bytes, Failure> {
        let mut body = render::resource(record)?;
        if let Some(sight) = sight {
            body = render::references(body, record, sight)?;
        }
        subset.apply(body)
    }

    /// Runs `work` with the sight of a decision; none in open repositories.
    pub(crate) fn with_sight<T>(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        caller: &Caller,
        scope: &PatientScope,
        work: impl FnOnce(Option<&Sight<'_>>) -> T,
    ) -> T {
        if !self.is_clinical() {
            return work(None);
        }
        let has_type = |t: &str| self.has_type(t);
        work(Some(&Sight {
            snapshot,
            granted,
            repo: self.config.repo,
            scope,
            organisation: organisation_of(caller),
            has_type: &has_type,
        }))
    }

    /// The identifiers and id that references to the patient are rendered with.
    pub(crate) fn scope_for(
        &self,
        snapshot: &Snapshot,
        gated: &Gated,
    ) -> Result<PatientScope, Failure> {
        if !self.is_clinical() {
            return Ok(PatientScope::default());
        }
        let subject = gated.person.map(SubjectRef::Key);
        self.patient_scope(snapshot, gated, subject.as_ref())
    }

    pub(crate) fn read(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
        id: &str,
    ) -> Result<Answer, Failure> {
        let subset = self.subset(call, rtype)?;
        if !is_id(id) {
            return Err(Failure::not_found());
        }
        let config = &self.config;
        let snapshot = match &call.ahead {
            Some(ahead) => ahead.clone(),
            None => config.store.snapshot_for(config.repo, rtype, id)?,
        };
        let gated = self.decide_by_id(&snapshot, caller, rtype, id, Action::Read)?;
        if self.is_clinical() && rtype == "Patient" {
            return self.read_patient(&snapshot, &gated, id, &subset);
        }
        if rtype == "Binary"
            && let Some(originals) = &self.config.originals
        {
            let found = originals.original(&snapshot, &gated, id)?;
            self.record(&gated, &item(&found, rtype, id))?;
            let (kind, bytes) = found.ok_or_else(Failure::not_found)?;
            return Ok(Answer {
                content: Content::Raw(kind, bytes),
                ..Answer::empty(StatusCode::OK)
            });
        }
        let found = snapshot.read(&gated.granted, self.config.repo, rtype, id)?;
        self.record(&gated, &item(&found, rtype, id))?;
        let record = found.ok_or_else(Failure::not_found)?;
        let scope = self.scope_for(&snapshot, &gated)?;
        self.with_sight(&snapshot, &gated.granted, caller, &scope, |sight| {
            self.answer_version(call, &record, sight, &subset)
        })
    }

    fn read_patient(
        &self,
        snapshot: &Snapshot,
        gated: &Gated,
        id: &str,
        subset: &Subset,
    ) -> Result<Answer, Failure> {
        let scope = self.scope_for(snapshot, gated)?;
        let view = scope.view.filter(|_| scope.id.as_deref() == Some(id));
        self.record(gated, &item(&view, "Patient", id))?;
        let view = view.ok_or_else(Failure::not_found)?;
        Ok(Answer::resource(
            StatusCode::OK,
            subset.apply(view.bytes().clone())?,
        ))
    }

    fn answer_version(
        &self,
        call: &Call,
        record: &Record,
        sight: Option<&Sight<'_>>,
        subset: &Subset,
    ) -> Result<Answer, Failure> {
        let tag = etag(record.head.vno);
        if is_deleted(record) {
            let mut failure = Failure::gone();
            if let Ok(value) = header::HeaderValue::from_str(&tag) {
                failure.headers.push((header::ETAG, value));
            }
            return Err(failure);
        }
        let answer = if is_unchanged(call, record)? {
            Answer::empty(StatusCode::NOT_MODIFIED)
        } else {
            Answer::resource(StatusCode::OK, self.rendered(record, sight, subset)?)
        };
        Ok(answer
            .with(header::ETAG, &tag)
            .with(header::LAST_MODIFIED, &render::http_date(record.head.at)))
    }

    pub(crate) fn vread(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
        id: &str,
        version: &str,
    ) -> Result<Answer, Failure> {
        let subset = self.subset(call, rtype)?;
        if !is_id(id) {
            return Err(Failure::not_found());
        }
        let snapshot = self.snapshot()?;
        let gated = self.decide_by_id(&snapshot, caller, rtype, id, Action::History)?;
        let vno = version
            .parse()
            .ok()
            .filter(|n| *n > 0 && !version.starts_with(['0', '+']));
        let found = match vno {
            Some(vno) if !(self.is_clinical() && rtype == "Patient") => {
                snapshot.vread(&gated.granted, self.config.repo, rtype, id, Vno(vno))?
            }
            _ => None,
        };
        self.record(&gated, &item(&found, rtype, id))?;
        let record = found.ok_or_else(Failure::not_found)?;
        let scope = self.scope_for(&snapshot, &gated)?;
        self.with_sight(&snapshot, &gated.granted, caller, &scope, |sight| {
            self.answer_version(call, &record, sight, &subset)
        })
    }

    /// What every page link of this call shares.
    pub(crate) fn page(
        &self,
        call: &Call,
        caller: &Caller,
        gated: &Gated,
        snapshot: &Snapshot,
        earlier: Option<&Page>,
    ) -> Page {
        let now = edge::clock::real_now_us();
        let decided = gated.decided.as_deref();
        Page {
            incarnation: self.config.store.incarnation(),
            seq: snapshot.seq().0,
            decided_at: earlier
                .map_or_else(|| decided.map_or(now, |d| d.facts.at), |p| p.decided_at),
            filter: shape(gated.granted.filter()),
            epochs: decided.map(|d| [d.epochs.0.0, d.epochs.1.0, d.epochs.2.0]),
            actor: actor_tag(caller),
            person: gated.person.map(|p| p.0),
            path: call.path.clone(),
            parameters: Vec::new(),
            total: None,
            position: Position::Offset(0),
            expires_at: earlier.map_or(now + LIFETIME_US, |p| p.expires_at),
        }
    }

    pub(crate) fn page_url(&self, call: &Call, page: &Page) -> Result<String, Failure> {
        let token = self.pages.seal(page)?;
        let path = call.path.trim_end_matches('/');
        let path = path
            .strip_suffix("_search")
            .unwrap_or(path)
            .trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        let count = page
            .parameters
            .iter()
            .find(|(name, _)| name == "_count")
            .map_or(DEFAULT_COUNT.to_string(), |(_, count)| count.clone());
        Ok(format!(
            "{}{slash}{path}?_count={count}&_page={token}",
            call.base
        ))
    }

    /// Opens a page link for a decision just made. A denial goes on to the ordinary answer; a decision that changed ends the
    /// link (spec/privacy.md §10.4).
    pub(crate) fn resume(
        &self,
        token: &str,
        call: &Call,
        caller: &Caller,
        gated: &Gated,
    ) -> Result<Page, Failure> {
        let page = self.pages.open(token, edge::clock::real_now_us())?;
        let strip = |path: &str| {
            path.trim_end_matches('/')
                .trim_end_matches("_search")
                .trim_end_matches('/')
                .to_owned()
        };
        if strip(&page.path) != strip(&call.path)
            || page.actor != actor_tag(caller)
            || page.person != gated.person.map(|p| p.0)
        {
            return Err(Failure::bad(
                "invalid",
                "this page link belongs to another request",
            ));
        }
        if page.incarnation != self.config.store.incarnation() {
            return Err(expired_page());
        }
        let epochs = gated
            .decided
            .as_deref()
            .map(|d| [d.epochs.0.0, d.epochs.1.0, d.epochs.2.0]);
        let has_changed = page.filter != shape(gated.granted.filter()) || page.epochs != epochs;
        if has_changed && !is_closed(gated) {
            return Err(expired_page());
        }
        Ok(page)
    }
}

/// Main unit of the caller.
fn organisation_of(caller: &Caller) -> Option<&str> {
    match &caller.principal {
        trust::Principal::Personnel { orgnr_parent, .. }
        | trust::Principal::System { orgnr_parent, .. } => Some(orgnr_parent),
        _ => None,
    }
}

/// Fingerprint of who asks, for page links: nobody else can use them.
pub(crate) fn actor_tag(caller: &Caller) -> u128 {
    use trust::Principal as P;
    let text = match &caller.principal {
        P::Personnel {
            nin,
            client_id,
            orgnr_parent,
            ..
        } => format!("p|{nin}|{client_id}|{orgnr_parent}|{}", caller.basis.code()),
        P::System {
            client_id,
            orgnr_parent,
        } => format!("s|{client_id}|{orgnr_parent}|{}", caller.basis.code()),
        other => format!("o|{other:?}"),
    };
    let hash = store::sha256(text.as_bytes());
    hash.iter()
        .take(16)
        .fold(0u128, |sum, b| (sum << 8) | u128::from(*b))
}

fn item<T>(found: &Option<T>, rtype: &str, id: &str) -> Vec<String> {
    found.iter().map(|_| format!("{rtype}/{id}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_read() {
        assert_eq!(etags("W/\"3\"").unwrap(), Some(vec!["3".to_owned()]));
        assert_eq!(
            etags("\"3\", W/\"4\"").unwrap(),
            Some(vec!["3".to_owned(), "4".to_owned()])
        );
        assert_eq!(etags("*").unwrap(), None);
        for bad in ["", "3", "W/3", "\"a\"b\""] {
            assert!(etags(bad).is_err(), "{bad}");
        }
    }
}
