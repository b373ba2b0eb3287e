//! `_include` and `_revinclude` (spec/fhir-server.md §3.16): for the matches of one page, every included record read under
//! the same grant. A record of another person is outside that grant and therefore absent.

use crate::outcome::Failure;
use crate::params::Include;
use crate::planner::{Evaluator, PatientScope};
use crate::repository::Repository;
use fhir::keys::query;
use fhir::pack::{ParamInfo, ParamKind};
use fhir::refs::Target;
use fhir::{Doc, Limits, Pack};
use std::collections::BTreeSet;
use store::{Record, Rid};

/// Most included records of a page.
pub const MAX_INCLUDES: usize = 5_000;
/// Most rounds of `:iterate`.
const MAX_ROUNDS: usize = 100;

/// What was included.
#[derive(Default)]
pub(crate) struct Included {
    pub records: Vec<Record>,
    /// The Patient view belongs to the page.
    pub patient: bool,
    /// There were more than [`MAX_INCLUDES`].
    pub cut: bool,
}

struct Work<'a> {
    repository: &'a Repository,
    evaluator: &'a Evaluator<'a>,
    scope: &'a PatientScope,
    seen: BTreeSet<Rid>,
    /// Beyond the limit includes are cut rather than refused.
    may_cut: bool,
    out: Included,
}

fn reference_params(rtype: &str, code: &str) -> Vec<&'static ParamInfo> {
    let pack = Pack::r4();
    let Some(ty) = pack.type_id(rtype) else {
        return Vec::new();
    };
    pack.params(ty)
        .filter(|p| p.kind == ParamKind::Reference && p.expr.is_some())
        .filter(|p| code == "*" || p.code.as_ref() == code)
        .collect()
}

impl Repository {
    /// Refuses directives that name nothing.
    pub(crate) fn check_include(&self, include: &Include) -> Result<(), Failure> {
        let name = if include.reverse {
            "_revinclude"
        } else {
            "_include"
        };
        let is_type = |t: &str| Pack::r4().resource_type(t).is_some();
        if include.source != "*" && !is_type(&include.source) {
            return Err(Failure::bad("value", format!("{name}: unknown source type")).on(name));
        }
        if include.target.as_deref().is_some_and(|t| !is_type(t)) {
            return Err(Failure::bad("value", format!("{name}: unknown target type")).on(name));
        }
        if include.source == "*" || include.param == "*" {
            return Ok(());
        }
        let params = reference_params(&include.source, &include.param);
        if params.is_empty() {
            return Err(Failure::bad(
                "not-supported",
                format!("{name}: the source type has no such reference parameter"),
            )
            .on(name));
        }
        let leads_to = |t: &str| {
            let is_target = |x: &str| x == t || x == "Resource";
            params
                .iter()
                .any(|p| p.targets.is_empty() || p.targets.iter().any(|x| is_target(x)))
        };
        if !include.target.as_deref().is_none_or(leads_to) {
            return Err(Failure::bad(
                "value",
                format!("{name}: the parameter never refers to that target type"),
            )
            .on(name));
        }
        Ok(())
    }

    /// What the directives add to a page of matches; refused when it is too much.
    pub(crate) fn included(
        &self,
        evaluator: &Evaluator<'_>,
        scope: &PatientScope,
        includes: &[Include],
        matches: &[Record],
        patient_matches: bool,
    ) -> Result<Included, Failure> {
        self.included_up_to_limit(evaluator, scope, includes, matches, patient_matches, false)
    }

    /// The same; `may_cut`: too much is cut at the limit, and said.
    pub(crate) fn included_up_to_limit(
        &self,
        evaluator: &Evaluator<'_>,
        scope: &PatientScope,
        includes: &[Include],
        matches: &[Record],
        patient_matches: bool,
        may_cut: bool,
    ) -> Result<Included, Failure> {
        let mut work = Work {
            repository: self,
            evaluator,
            scope,
            seen: matches.iter().map(|r| r.head.rid).collect(),
            may_cut,
            out: Included::default(),
        };
        if includes.is_empty() {
            return Ok(work.out);
        }
        let mut patient_is_new = patient_matches;
        let mut frontier: Vec<Record> = matches.to_vec();
        for round in 0..MAX_ROUNDS {
            let had_patient = work.out.patient;
            let before = work.out.records.len();
            for include in includes.iter().filter(|i| round == 0 || i.iterates) {
                if include.reverse {
                    work.reverse(include, &frontier, patient_is_new)?;
                } else {
                    work.forward(include, &frontier)?;
                }
            }
            patient_is_new = work.out.patient && !had_patient && !patient_matches;
            frontier = work.out.records.get(before..).unwrap_or_default().to_vec();
            if (frontier.is_empty() && !patient_is_new) || work.out.cut {
                break;
            }
            let is_last = round + 1 == MAX_ROUNDS;
            if is_last && includes.iter().any(|i| i.iterates) {
                work.too_many(format!(
                    ":iterate would follow references further than {MAX_ROUNDS} steps"
                ))?;
            }
        }
        work.out.patient &= !patient_matches;
        Ok(work.out)
    }
}

impl Work<'_> {
    fn push(&mut self, record: Record) -> Result<(), Failure> {
        if self.out.cut || !self.seen.insert(record.head.rid) {
            return Ok(());
        }
        if self.out.records.len() >= MAX_INCLUDES {
            return self.too_many(format!(
                "a page would include more than {MAX_INCLUDES} resources; lower _count"
            ));
        }
        self.out.records.push(record);
        Ok(())
    }

    fn too_many(&mut self, text: String) -> Result<(), Failure> {
        if !self.may_cut {
            return Err(Failure::too_costly(text));
        }
        self.out.cut = true;
        Ok(())
    }

    fn forward(&mut self, include: &Include, frontier: &[Record]) -> Result<(), Failure> {
        for record in frontier {
            let rtype = record.head.rtype.as_str();
            if include.source != "*" && include.source != rtype {
                continue;
            }
            let params = reference_params(rtype, &include.param);
            if params.is_empty() {
                continue;
            }
            let Ok(doc) = Doc::parse_json(record.body.clone(), &Limits::default()) else {
                continue;
            };
            for param in params {
                let targets =
                    fhir::refs::param_targets(param, &doc, &self.evaluator.options.own_bases);
                for target in targets {
                    self.follow(include, param, &target)?;
                }
            }
        }
        Ok(())
    }

    fn follow(
        &mut self,
        include: &Include,
        param: &ParamInfo,
        target: &Target,
    ) -> Result<(), Failure> {
        let wants = |t: &str| include.target.as_deref().is_none_or(|x| x == t);
        match target {
            Target::Local {
                resource_type, id, ..
            } if wants(resource_type) && self.repository.has_type(resource_type) => {
                if self.repository.is_clinical() && resource_type == "Patient" {
                    self.out.patient |=
                        self.scope.view.is_some() && self.scope.id.as_deref() == Some(id.as_str());
                    return Ok(());
                }
                self.evaluator.spend(1)?;
                let found = self.evaluator.snapshot.read(
                    self.evaluator.granted,
                    self.evaluator.repo,
                    resource_type,
                    id,
                )?;
                if let Some(record) = found.filter(|r| !crate::read::is_deleted(r)) {
                    self.push(record)?;
                }
            }
            Target::Identifier {
                resource_type,
                system,
                value,
            } if self.repository.is_clinical()
                && wants("Patient")
                && (resource_type.is_empty() || resource_type == "Patient") =>
            {
                let is_she = self
                    .scope
                    .identifiers
                    .iter()
                    .any(|(s, v)| v == value && (s == system || system.is_empty()));
                self.out.patient |= is_she && self.scope.view.is_some();
            }
            Target::Absolute { url, version } => {
                for rtype in param.targets.iter().filter(|t| wants(t)) {
                    let version = version.as_deref();
                    let found = self.evaluator.of_url(param, rtype, url, version)?;
                    let rids: Vec<Rid> = found.into_iter().map(|(rid, _)| rid).collect();
                    for record in self
                        .evaluator
                        .snapshot
                        .fetch(self.evaluator.granted, &rids)?
                    {
                        self.push(record)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn reverse(
        &mut self,
        include: &Include,
        frontier: &[Record],
        patient_is_new: bool,
    ) -> Result<(), Failure> {
        let sources: Vec<String> = if include.source == "*" {
            self.repository
                .types()
                .into_iter()
                .map(str::to_owned)
                .collect()
        } else {
            vec![include.source.clone()]
        };
        for source in sources {
            if !self.repository.has_type(&source) {
                continue;
            }
            for param in reference_params(&source, &include.param) {
                let leads_to = |t: &str| {
                    include.target.as_deref().is_none_or(|x| x == t)
                        && (param.targets.is_empty()
                            || param
                                .targets
                                .iter()
                                .any(|x| x.as_ref() == t || x.as_ref() == "Resource"))
                };
                let mut rids = BTreeSet::new();
                for record in frontier.iter().filter(|r| leads_to(&r.head.rtype)) {
                    rids.extend(self.evaluator.referring(
                        param,
                        &record.head.rtype,
                        &record.head.id,
                    )?);
                }
                if patient_is_new && leads_to("Patient") {
                    rids.extend(self.referring_to_patient(param, &source)?);
                }
                self.push_all(&source, rids)?;
            }
        }
        Ok(())
    }

    fn referring_to_patient(
        &self,
        param: &'static ParamInfo,
        source: &str,
    ) -> Result<Vec<Rid>, Failure> {
        let Some(value) = self.scope.identifier_value() else {
            return Ok(Vec::new());
        };
        let query = query::plan(
            Pack::r4(),
            param,
            Some("identifier"),
            &value,
            self.evaluator.options,
        )?;
        let cond = crate::planner::Cond::Query {
            param,
            modifier: Some("identifier".to_owned()),
            value,
            query,
        };
        self.evaluator.matching(source, &[cond])
    }

    fn push_all(&mut self, source: &str, rids: BTreeSet<Rid>) -> Result<(), Failure> {
        let new: Vec<Rid> = rids
            .into_iter()
            .filter(|rid| !self.seen.contains(rid))
            .collect();
        self.evaluator.spend(new.len())?;
        let is_too_much = new.len() > MAX_INCLUDES;
        if is_too_much && !self.may_cut {
            return Err(Failure::too_costly(format!(
                "a page would include more than {MAX_INCLUDES} resources; narrow the search"
            )));
        }
        let new: Vec<Rid> = new.into_iter().take(MAX_INCLUDES + 1).collect();
        for record in self
            .evaluator
            .snapshot
            .fetch(self.evaluator.granted, &new)?
        {
            if record.head.rtype == source {
                self.push(record)?;
            }
        }
        Ok(())
    }
}
