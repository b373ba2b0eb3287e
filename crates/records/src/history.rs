//! History of a resource, a type, the repository (spec/fhir-server.md §2.7).
//!
//! Pages go by place in the log, so writes that happen meanwhile neither repeat nor hide a version. Visibility comes first:
//! the store's filter runs on every version before anything is counted (spec/privacy.md §4.2).

use crate::gate::{Caller, Gated};
use crate::http::{Answer, Call};
use crate::outcome::{Failure, expired_page};
use crate::paging::{Page, Position, as_of};
use crate::params::{DEFAULT_COUNT, MAX_COUNT};
use crate::read::{etag, is_deleted, is_id};
use crate::render::{self, Entry, Sight, Subset};
use crate::repository::{Repository, is_closed};
use axum::http::StatusCode;
use fhir::datetime::{Moment, Precision};
use serde_json::json;
use store::{Granted, HistoryScope, MicrosUtc, Op, Record, Seq, Snapshot, Vno};
use trust::Action;
use trust::gather::SubjectRef;

/// Most versions counted for `total`; a history of more has none.
const MAX_TOTAL: usize = 10_000;
/// Most versions looked at for one page.
const MAX_LOOKED_AT: usize = 100_000;
/// Versions read at once while counting.
const CHUNK: usize = 500;

impl Repository {
    pub(crate) fn history(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
        id: &str,
    ) -> Result<Answer, Failure> {
        if !is_id(id) {
            return Err(Failure::not_found());
        }
        let wish = self.history_wish(call, Some(rtype))?;
        let snapshot = self.snapshot()?;
        let gated = self.decide_by_id(&snapshot, caller, rtype, id, Action::History)?;
        let scope = HistoryScope::Instance {
            repo: self.config.repo,
            rtype: rtype.to_owned(),
            id: id.to_owned(),
        };
        let answer = self.history_page(call, caller, &gated, &snapshot, &scope, &wish)?;
        answer.ok_or_else(Failure::not_found)
    }

    pub(crate) fn history_of_all(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: Option<&str>,
    ) -> Result<Answer, Failure> {
        let wish = self.history_wish(call, rtype)?;
        let snapshot = self.snapshot()?;
        let subject = self.subject_of_page(caller, &wish)?;
        let gated = self.decide(
            &snapshot,
            caller,
            subject,
            Action::History,
            &self.config.classes,
        )?;
        let repo = self.config.repo;
        let scope = match rtype {
            Some(rtype) => HistoryScope::Type {
                repo,
                rtype: rtype.to_owned(),
            },
            None => HistoryScope::Repository { repo },
        };
        let answer = self.history_page(call, caller, &gated, &snapshot, &scope, &wish)?;
        Ok(answer.unwrap_or_else(|| {
            let links = [("self", self_link(call, &wish))];
            Answer::resource(
                StatusCode::OK,
                render::bundle("history", Some(0), &links, &[]),
            )
        }))
    }

    /// Parameters of a history; of a page link: those of the first page.
    fn history_wish(&self, call: &Call, rtype: Option<&str>) -> Result<Wish, Failure> {
        let mut wish = Wish::read(&call.query)?;
        if let Some(token) = wish.page.take() {
            let page = self.pages.open(&token, edge::clock::real_now_us())?;
            wish = Wish {
                page: Some(token),
                ..Wish::read(&page.parameters)?
            };
        }
        wish.subset = self.subset_of(&wish.shape, call.is_lenient, rtype.unwrap_or_default())?;
        Ok(wish)
    }

    /// A page link carries its subject, so that it can be followed without repeating the header.
    fn subject_of_page(&self, caller: &Caller, wish: &Wish) -> Result<Option<SubjectRef>, Failure> {
        let Some(token) = wish.page.as_ref().filter(|_| self.is_clinical()) else {
            return Ok(None);
        };
        let page = self.pages.open(token, edge::clock::real_now_us())?;
        Ok(match caller.named {
            Some(_) => None,
            None => page.person.map(|p| SubjectRef::Key(store::PersonKey(p))),
        })
    }

    /// One page of a history; `None` when the scope has no visible version at all.
    fn history_page(
        &self,
        call: &Call,
        caller: &Caller,
        gated: &Gated,
        now: &Snapshot,
        scope: &HistoryScope,
        wish: &Wish,
    ) -> Result<Option<Answer>, Failure> {
        let page = match &wish.page {
            Some(token) => Some(self.resume(token, call, caller, gated)?),
            None => None,
        };
        let (snapshot, before, granted) = match page.as_ref().filter(|_| !is_closed(gated)) {
            Some(page) => (
                self.config.store.snapshot_at(Seq(page.seq))?,
                match page.position {
                    Position::Before(seq) => Some(Seq(seq)),
                    _ => return Err(expired_page()),
                },
                match as_of(gated.granted.filter(), page.decided_at) {
                    Some(more) => gated.granted.narrowed(more),
                    None => gated.granted.clone(),
                },
            ),
            None => (now.clone(), None, gated.granted.clone()),
        };
        let mut walk = Walk {
            snapshot: &snapshot,
            granted: &granted,
            scope,
            wish,
            before,
            is_done: false,
            looked_at: 0,
        };
        let mut records = Vec::new();
        while records.len() <= wish.count && !walk.is_done {
            records.extend(walk.next((wish.count + 1 - records.len()).max(16))?);
        }
        let is_nothing = walk.looked_at == 0 && (page.is_none() || is_closed(gated));
        let total = match &page {
            Some(page) => page.total,
            None => walk.total(records.len())?,
        };
        let has_more = records.len() > wish.count && wish.count > 0;
        records.truncate(wish.count);
        let items: Vec<String> = records
            .iter()
            .map(|r| format!("{}/{}/_history/{}", r.head.rtype, r.head.id, r.head.vno.0))
            .collect();
        self.record(gated, &items)?;
        if is_nothing {
            return Ok(None);
        }
        let patient = self.scope_for(now, gated)?;
        let entries = self.with_sight(now, &gated.granted, caller, &patient, |sight| {
            records
                .iter()
                .map(|record| self.history_entry(call, record, sight, &wish.subset))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let mut links = vec![("self", self_link(call, wish))];
        if let (true, Some(last)) = (has_more, records.last()) {
            let next = Page {
                position: Position::Before(last.head.seq.0),
                parameters: wish.executed(),
                total,
                ..self.page(call, caller, gated, &snapshot, page.as_ref())
            };
            links.push(("next", self.page_url(call, &next)?));
        }
        Ok(Some(Answer::resource(
            StatusCode::OK,
            render::bundle("history", total, &links, &entries),
        )))
    }

    fn history_entry(
        &self,
        call: &Call,
        record: &Record,
        sight: Option<&Sight<'_>>,
        subset: &Subset,
    ) -> Result<Entry, Failure> {
        let head = &record.head;
        let address = format!("{}/{}", head.rtype, head.id);
        let (method, url, status) = match head.op {
            Op::Create if is_put(record) => ("PUT", address.clone(), "201"),
            Op::Create => ("POST", head.rtype.clone(), "201"),
            Op::Update => ("PUT", address.clone(), "200"),
            Op::Delete | Op::Purge => ("DELETE", address.clone(), "204"),
        };
        let resource = if is_deleted(record) {
            None
        } else {
            Some(self.rendered(record, sight, subset)?)
        };
        Ok(Entry {
            full_url: Some(format!("{}/{address}", call.base)),
            resource,
            search_mode: None,
            request: Some(json!({ "method": method, "url": url })),
            response: Some(json!({
                "status": status,
                "etag": etag(head.vno),
                "lastModified": render::instant(head.at),
            })),
        })
    }
}

/// Whether a creation came with its id (`PUT`): such a body carries it, while a body that is posted cannot know the id
/// that it is going to get. What was deleted is made again by `PUT` only.
fn is_put(record: &Record) -> bool {
    #[derive(serde::Deserialize)]
    struct Named<'b> {
        #[serde(borrow)]
        id: Option<std::borrow::Cow<'b, str>>,
    }
    record.head.vno > Vno(1)
        || serde_json::from_slice::<Named<'_>>(&record.body)
            .is_ok_and(|named| named.id.as_deref() == Some(record.head.id.as_str()))
}

/// Versions that a history asks for, newest first.
struct Walk<'w> {
    snapshot: &'w Snapshot,
    granted: &'w Granted,
    scope: &'w HistoryScope,
    wish: &'w Wish,
    before: Option<Seq>,
    is_done: bool,
    /// Visible versions met.
    looked_at: usize,
}

impl Walk<'_> {
    /// Looks at so many versions more; those that are asked for.
    fn next(&mut self, most: usize) -> Result<Vec<Record>, Failure> {
        let most = most.min(CHUNK.max(self.wish.count + 1));
        let met = self
            .snapshot
            .history(self.granted, self.scope, self.before, most)?;
        self.looked_at += met.len();
        self.is_done = met.len() < most;
        if self.looked_at > MAX_LOOKED_AT {
            return Err(Failure::too_costly(format!(
                "more than {MAX_LOOKED_AT} versions would be looked at; ask for one resource, or a later time"
            )));
        }
        self.before = met.last().map(|r| r.head.seq).or(self.before);
        let mut out = Vec::with_capacity(met.len());
        for record in met {
            if self.wish.since.is_some_and(|since| record.head.at < since) {
                // Commit time only falls from here on.
                self.is_done = true;
                break;
            }
            if self.was_current(&record)? {
                out.push(record);
            }
        }
        Ok(out)
    }

    /// Whether a version was the current one at some instant of `_at`.
    fn was_current(&self, record: &Record) -> Result<bool, Failure> {
        let Some((from, to)) = self.wish.at else {
            return Ok(true);
        };
        let head = &record.head;
        if head.at >= from {
            return Ok(head.at < to);
        }
        if is_deleted(record) {
            return Ok(false);
        }
        let next = Vno(head.vno.0.saturating_add(1));
        let next = self
            .snapshot
            .vread(self.granted, head.repo, &head.rtype, &head.id, next)?;
        Ok(next.is_none_or(|next| next.head.at > from))
    }

    /// Number of versions when so many have been found: counted to the end, unless there are too many.
    fn total(&mut self, found: usize) -> Result<Option<u64>, Failure> {
        let mut total = found;
        while !self.is_done {
            if self.looked_at + CHUNK > MAX_TOTAL {
                return Ok(None);
            }
            total += self.next(CHUNK)?.len();
        }
        Ok(Some(total as u64))
    }
}

fn self_link(call: &Call, wish: &Wish) -> String {
    format!(
        "{}/{}?{}",
        call.base,
        call.path.trim_end_matches('/'),
        crate::params::encode(&wish.executed())
    )
}

/// Parameters of a history.
#[derive(Debug, Default)]
struct Wish {
    count: usize,
    since: Option<MicrosUtc>,
    /// `_at` as a half-open range.
    at: Option<(MicrosUtc, MicrosUtc)>,
    /// `_since` and `_at` as written.
    times: Vec<(String, String)>,
    /// `_summary` and `_elements` as written.
    shape: Vec<(String, String)>,
    subset: Subset,
    page: Option<String>,
}

impl Wish {
    fn read(query: &[(String, String)]) -> Result<Self, Failure> {
        let mut wish = Self {
            count: DEFAULT_COUNT,
            ..Self::default()
        };
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in query {
            let name = name.as_str();
            if seen.contains(&name) {
                return Err(Failure::bad(
                    "invalid",
                    "a parameter of a history may be given only once",
                ));
            }
            seen.push(name);
            // An unescaped `+` of an offset arrives as a space.
            let moment = |value: &str| Moment::parse(&value.replace(' ', "+"), false);
            match name {
                "_count" => {
                    wish.count = value
                        .parse::<usize>()
                        .ok()
                        .filter(|_| value.bytes().all(|b| b.is_ascii_digit()))
                        .ok_or_else(|| {
                            Failure::bad("value", "_count must be a number from 0 on").on(name)
                        })?
                        .min(MAX_COUNT);
                }
                "_since" => {
                    let moment = moment(value)
                        .filter(|m| m.precision() > Precision::Minute && m.offset_min.is_some())
                        .ok_or_else(|| {
                            Failure::bad(
                                "value",
                                "_since must be an instant: date, time to the second, zone",
                            )
                            .on(name)
                        })?;
                    wish.since = Some(moment.range_us(&fhir::datetime::oslo()).0);
                    wish.times.push((name.to_owned(), value.clone()));
                }
                "_at" => {
                    let moment = moment(value).ok_or_else(|| {
                        Failure::bad("value", "_at must be a date or date-time").on(name)
                    })?;
                    let (from, to) = moment.range_us(&fhir::datetime::oslo());
                    wish.at = Some((from, to.max(from + 1)));
                    wish.times.push((name.to_owned(), value.clone()));
                }
                "_summary" if value == "count" => wish.count = 0,
                "_summary" | "_elements" => wish.shape.push((name.to_owned(), value.clone())),
                "_page" => wish.page = Some(value.clone()),
                "_format" | "_pretty" => {}
                _ => {
                    return Err(Failure::bad(
                        "not-supported",
                        "a history takes _count, _since, _at, _summary, _elements, _format and _pretty only",
                    ));
                }
            }
        }
        Ok(wish)
    }

    /// What is carried out, for links.
    fn executed(&self) -> Vec<(String, String)> {
        let mut out = vec![("_count".to_owned(), self.count.to_string())];
        out.extend(self.times.iter().cloned());
        out.extend(self.shape.iter().cloned());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_history() {
        let read = |query: &str| Wish::read(&crate::params::decode(query.as_bytes()));
        let wish =
            read("_count=5000&_since=2026-01-01T00:00:00Z&_at=2026-01&_elements=id").unwrap();
        assert_eq!(wish.count, MAX_COUNT);
        assert_eq!(wish.since, Some(1_767_225_600_000_000));
        assert_eq!(wish.executed().len(), 4);
        // `+` is a space in a query.
        assert!(read("_since=2026-01-01T00:00:00+01:00").is_ok());
        assert_eq!(read("_summary=count").unwrap().count, 0);
        for query in [
            "_count=-1",
            "_count=x",
            "_count=%2B1",
            "_since=2026-01-01",
            "_since=2026-01-01T00:00:00",
            "_since=yesterday",
            "_at=never",
            "_list=x",
            "_sort=_lastUpdated",
            "code=x",
            "_count=1&_count=2",
        ] {
            let failure = read(query).unwrap_err();
            assert_eq!(failure.status.as_u16(), 400, "{query}");
        }
    }
}
