//! What the resource scopes of a token leave of a grant, and of a write.
//!
//! Searches in scopes are answered first, under the grant of the decision; their ids become part of its filter. They are
//! judged on current versions: the history of a resource is open when its current version passes.

use super::scope::{Context, Launch, Permissions, Scope, Scopes};
use crate::gate::{Caller, Gated};
use crate::http::Call;
use crate::outcome::Failure;
use crate::params::RawCondition;
use crate::planner::{Compiler, Cond, Evaluator};
use crate::repository::{Repository, is_closed};
use axum::http::{StatusCode, header};
use fhir::Doc;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Filter, Granted, Op, PersonKey, PersonRef, Pred, Put, PutId, Snapshot, TypeRule};
use trust::Action;

/// Most resources of a type that the search of a scope may find.
pub const MAX_MATCHES: usize = 20_000;

/// Operations whose every read runs under the grant of a decision about their caller.
const READING: [&str; 12] = [
    "$everything",
    "$lastn",
    "$meta",
    "$document",
    "$match",
    "$graphql",
    "$expand",
    "$lookup",
    "$validate-code",
    "$subsumes",
    "$translate",
    "$docref",
];

fn refused() -> Failure {
    Failure::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "the scopes of the token do not permit this interaction on this resource type",
    )
}

/// What the interactions of an action need.
fn wanted(scopes: &Scopes, rtype: &str, action: Action) -> Permissions {
    let reading = Permissions::READ.or(Permissions::SEARCH);
    let or_reading = |permission| {
        if scopes.permits(rtype, permission) {
            permission
        } else {
            reading
        }
    };
    match action {
        Action::Read => Permissions::READ,
        Action::List | Action::Count | Action::Export | Action::Subscribe => Permissions::SEARCH,
        Action::Update => or_reading(Permissions::UPDATE),
        Action::Delete | Action::Retract => or_reading(Permissions::DELETE),
        _ => reading,
    }
}

/// Looks at the address before anything else does: 403 when no scope permits the interaction on the type. What remains of
/// the caller goes on: interactions over many resources take scopes with `s` only.
pub(crate) fn admit<'c>(call: &Call, caller: &'c Caller) -> Result<Cow<'c, Caller>, Failure> {
    let Some(scopes) = &caller.smart else {
        return Ok(Cow::Borrowed(caller));
    };
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let searching = || {
        let mut caller = caller.clone();
        caller.smart = Some(Arc::new(scopes.only(Permissions::SEARCH)));
        Cow::Owned(caller)
    };
    let is_conditional = call
        .headers
        .contains_key(header::HeaderName::from_static("if-none-exist"))
        || call.method == "POST" && crate::change::has_criteria(&call.query);
    if let Some(name) = segments.last().filter(|s| s.starts_with('$')) {
        admit_operation(scopes, segments.as_slice(), name)?;
        let is_one = segments.len() == 3 && *name != "$graphql";
        return Ok(if is_one {
            Cow::Borrowed(caller)
        } else {
            searching()
        });
    }
    let over_all = match segments.as_slice() {
        [] => call.method == "GET",
        ["_search" | "_history"] => true,
        _ => false,
    };
    if over_all {
        if !scopes.permits_somewhere(Permissions::SEARCH) {
            return Err(refused());
        }
        return Ok(searching());
    }
    if segments.is_empty() {
        // The entries of a bundle are looked at one by one.
        return Ok(Cow::Borrowed(caller));
    }
    admit_address(scopes, call.method.as_str(), &segments, is_conditional)?;
    match segments.as_slice() {
        [_, "_history"] => Ok(searching()),
        _ => Ok(Cow::Borrowed(caller)),
    }
}

/// The same for an address below a type. `is_conditional`: criteria of a create.
fn admit_address(
    scopes: &Scopes,
    method: &str,
    segments: &[&str],
    is_conditional: bool,
) -> Result<(), Failure> {
    let permits = |rtype: &str, permission| scopes.permits(rtype, permission);
    let is_permitted = match (method, segments) {
        ("POST", [rtype]) => {
            permits(rtype, Permissions::CREATE)
                && (!is_conditional || permits(rtype, Permissions::SEARCH))
        }
        ("PUT" | "PATCH", [rtype]) => {
            permits(rtype, Permissions::UPDATE) && permits(rtype, Permissions::SEARCH)
        }
        ("DELETE", [rtype]) => {
            permits(rtype, Permissions::DELETE) && permits(rtype, Permissions::SEARCH)
        }
        (_, [rtype] | [rtype, "_search" | "_history"]) => permits(rtype, Permissions::SEARCH),
        // A PUT may create: what it does is known when the resource has been looked for.
        ("PUT", [rtype, _]) => permits(rtype, Permissions::UPDATE.or(Permissions::CREATE)),
        ("PATCH", [rtype, _]) => permits(rtype, Permissions::UPDATE),
        ("DELETE", [rtype, _]) => permits(rtype, Permissions::DELETE),
        (_, [rtype, _] | [rtype, _, "_history"] | [rtype, _, "_history", _]) => {
            permits(rtype, Permissions::READ)
        }
        (_, [_, _, "*" | "_search", ..]) => scopes.permits_somewhere(Permissions::SEARCH),
        (_, [_, _, of, ..]) => permits(of, Permissions::SEARCH),
        _ => false,
    };
    if is_permitted { Ok(()) } else { Err(refused()) }
}

/// The same for an entry of a transaction: `segments` of its address below the base.
pub(crate) fn admit_entry(
    caller: &Caller,
    method: &str,
    segments: &[String],
    is_conditional: bool,
) -> Result<(), Failure> {
    let Some(scopes) = &caller.smart else {
        return Ok(());
    };
    // Reads are dispatched like requests of their own.
    if matches!(method, "GET" | "HEAD") {
        return Ok(());
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    admit_address(scopes, method, &segments, is_conditional)
}

/// Operations read under the same grant; those that act beyond it are not for narrowed tokens.
fn admit_operation(scopes: &Scopes, segments: &[&str], name: &str) -> Result<(), Failure> {
    let needed = match name {
        "$validate" => return Ok(()),
        "$meta-add" | "$meta-delete" => Permissions::UPDATE,
        name if READING.contains(&name) => match segments.len() {
            3 => Permissions::READ,
            _ => Permissions::SEARCH,
        },
        _ => return Err(refused()),
    };
    let is_permitted = match segments {
        [_] => scopes.permits_somewhere(needed),
        [rtype, ..] => scopes.permits(rtype, needed),
        [] => false,
    };
    if is_permitted { Ok(()) } else { Err(refused()) }
}

impl Repository {
    /// The grant of a decision, narrowed to what the token's scopes leave of it.
    pub(crate) fn narrowed(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        mut gated: Gated,
        action: Action,
    ) -> Result<Gated, Failure> {
        let Some(scopes) = &caller.smart else {
            return Ok(gated);
        };
        if is_closed(&gated) {
            return Ok(gated);
        }
        let person = match &scopes.launch {
            Launch::Patient(id) => self.launch_person(id)?,
            Launch::Request => gated.person,
            Launch::Nobody => None,
        };
        let mut rules: BTreeMap<String, BTreeSet<TypeRule>> = BTreeMap::new();
        let mut views = Vec::new();
        for rtype in self.types() {
            let permitting: Vec<&Scope> = scopes
                .permitting(rtype, wanted(scopes, rtype, action))
                .filter(|s| s.context != Context::Patient || person.is_some())
                .collect();
            if rtype == "Patient" && self.is_clinical() {
                views = self.view_conditions(&permitting, person, &gated)?;
                continue;
            }
            let mut of_type = BTreeSet::new();
            for scope in permitting {
                of_type.extend(self.type_rule(snapshot, &gated.granted, rtype, scope, person)?);
            }
            if !of_type.is_empty() {
                rules.insert(rtype.to_owned(), of_type);
            }
        }
        let mut more = Vec::new();
        if let Some(person) = person
            && rules.values().flatten().all(|r| r.person.is_some())
        {
            // The store begins with her rows.
            more.push(Pred::Compartment(BTreeSet::from([person])));
        }
        gated.granted = gated
            .granted
            .narrowed(Filter::all(Pred::TypeRules(rules), more));
        gated.views = Some(Arc::new(views));
        Ok(gated)
    }

    /// Person of the launch: by an id of this repository.
    fn launch_person(&self, id: &str) -> Result<Option<PersonKey>, Failure> {
        if self.is_clinical() {
            return Ok(self.person_of_patient_id(id));
        }
        match self.local_patient(id) {
            PersonRef::Id { system, value } => Ok(self.config.store.person(&system, &value)?),
            PersonRef::Key(key) => Ok(Some(key)),
        }
    }

    fn type_rule(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        rtype: &str,
        scope: &Scope,
        person: Option<PersonKey>,
    ) -> Result<Option<TypeRule>, Failure> {
        let mut rule = TypeRule {
            person: person.filter(|_| scope.context == Context::Patient),
            query: scope.written.clone(),
            ids: None,
        };
        if scope.conditions.is_empty() {
            return Ok(Some(rule));
        }
        let Some(conds) = self.scope_conditions(rtype, scope) else {
            return Ok(None);
        };
        let granted = match rule.person {
            Some(person) => {
                granted.narrowed(Filter::all(Pred::Compartment(BTreeSet::from([person])), []))
            }
            None => granted.clone(),
        };
        let evaluator = Evaluator::new(snapshot, &granted, self.config.repo, &self.options);
        let rids = evaluator.matching(rtype, &conds)?;
        if rids.len() > MAX_MATCHES {
            return Err(Failure::too_costly(format!(
                "the search of a scope finds more than {MAX_MATCHES} resources"
            )));
        }
        let heads = snapshot.heads(&granted, &rids)?;
        rule.ids = Some(heads.into_iter().map(|h| h.id).collect());
        Ok(Some(rule))
    }

    /// Compiled conditions of a scope; `None` when the type has no such parameter: then the scope opens nothing.
    fn scope_conditions(&self, rtype: &str, scope: &Scope) -> Option<Vec<Cond>> {
        let has_type = |t: &str| self.has_type(t);
        let compiler = Compiler {
            options: &self.options,
            has_type: &has_type,
            patient: None,
        };
        scope
            .conditions
            .iter()
            .map(|(name, value)| {
                let raw = RawCondition::new(name.as_str(), value.as_str());
                compiler.compile(rtype, &raw).ok()
            })
            .collect()
    }

    /// Conditions under which the Patient view is shown, one list per scope that opens it.
    fn view_conditions(
        &self,
        scopes: &[&Scope],
        person: Option<PersonKey>,
        gated: &Gated,
    ) -> Result<Vec<Vec<Cond>>, Failure> {
        Ok(scopes
            .iter()
            .filter(|s| s.context != Context::Patient || person == gated.person)
            .filter_map(|s| self.scope_conditions("Patient", s))
            .collect())
    }

    /// Whether the Patient view is shown under a decision.
    pub(crate) fn shows_view(&self, gated: &Gated, id: &str, view: &Doc) -> bool {
        let Some(views) = &gated.views else {
            return true;
        };
        let Ok(keys) = crate::write::keys_of(view) else {
            return false;
        };
        views.iter().any(|conds| {
            conds
                .iter()
                .all(|c| c.holds_for(id, &keys, view, &self.options))
        })
    }

    /// 403 when the token's scopes do not permit this content to be written.
    pub(crate) fn permit_content(
        &self,
        caller: &Caller,
        put: &Put,
        doc: &Doc,
    ) -> Result<(), Failure> {
        let Some(scopes) = &caller.smart else {
            return Ok(());
        };
        // What a subscription sends is not narrowed by the token that made it.
        if put.rtype == "Subscription" {
            return Err(refused());
        }
        let wanted = match put.op {
            Op::Create => Permissions::CREATE,
            _ => Permissions::UPDATE,
        };
        let id = match &put.id {
            PutId::Given(id) => id.as_str(),
            PutId::New => "",
        };
        let is_hers = match &scopes.launch {
            Launch::Patient(id) if self.is_clinical() => self
                .person_of_patient_id(id)
                .is_some_and(|p| put.persons.contains(&PersonRef::Key(p))),
            Launch::Patient(id) => put.persons.contains(&self.local_patient(id)),
            // The decision was made about the patient of the content.
            Launch::Request => true,
            Launch::Nobody => false,
        };
        let holds = |scope: &Scope| {
            let is_hers = scope.context != Context::Patient || is_hers;
            is_hers
                && self
                    .scope_conditions(&put.rtype, scope)
                    .is_some_and(|conds| {
                        conds
                            .iter()
                            .all(|c| c.holds_for(id, &put.keys, doc, &self.options))
                    })
        };
        if scopes.permitting(&put.rtype, wanted).any(holds) {
            return Ok(());
        }
        Err(refused())
    }
}
