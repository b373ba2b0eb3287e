//! Topics: what kinds of change there are to listen to (Subscriptions R5 Backport 1.1).
//!
//! Every type has topics without being asked: `urn:helsenav:topic:Observation` (each change), and the same followed by
//! `:create`, `:update` or `:delete`. Others are stored as `Basic` resources with code `SubscriptionTopic` and the
//! cross-version extensions of R5's SubscriptionTopic, as R4 carries them.

use super::matching::Criteria;
use crate::outcome::{Failure, Issue};
use crate::planner::Evaluator;
use crate::repository::Repository;
use fhir::path::Expr;
use fhir::{Doc, Limits, Node};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Granted, Snapshot};

/// Begin of the canonicals of built-in topics.
pub(crate) const BUILT_IN: &str = "urn:helsenav:topic:";
/// Code of `Basic` resources that are topics.
const CODE: &str = "SubscriptionTopic";
/// Most stored topics of one repository.
const MAX_TOPICS: usize = 500;
/// Most triggers of one topic.
const MAX_TRIGGERS: usize = 100;
/// Longest FHIRPath criterion, bytes.
const MAX_PATH: usize = 4_096;

/// What was done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interaction {
    Create,
    Update,
    Delete,
}

/// A topic.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub url: String,
    pub triggers: Vec<Trigger>,
    /// Parameters by which a subscriber may filter, with the type they are for; empty = the topic names none, and every
    /// search parameter may be used.
    pub filters: Vec<(Option<String>, String)>,
}

/// A kind of change of one type.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    pub rtype: String,
    pub interactions: Vec<Interaction>,
    pub query: Option<Query>,
    pub path: Option<Arc<Expr>>,
}

/// Criteria on the version before and the version after.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub previous: Option<Criteria>,
    pub passes_on_create: bool,
    pub current: Option<Criteria>,
    pub passes_on_delete: bool,
    pub requires_both: bool,
}

/// The topics of a repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics {
    stored: BTreeMap<String, Arc<Topic>>,
}

impl Topics {
    /// Reads the stored ones. One that cannot be read is left out: its subscribers are told.
    pub fn load(
        repository: &Repository,
        snapshot: &Snapshot,
        granted: &Granted,
    ) -> Result<Self, Failure> {
        let mut stored = BTreeMap::new();
        if !repository.has_type("Basic") {
            return Ok(Self { stored });
        }
        let repo = repository.config.repo;
        let is_topic = Criteria::compile(repository, "Basic", &format!("code={CODE}"))?;
        let evaluator = Evaluator::new(snapshot, granted, repo, &repository.options);
        let mut rids = is_topic.search(&evaluator)?;
        rids.truncate(MAX_TOPICS);
        for record in snapshot.fetch(granted, &rids)? {
            let Ok(doc) = Doc::parse_json(record.body, &Limits::default()) else {
                continue;
            };
            match Topic::read(repository, &doc) {
                Ok(topic) => {
                    stored.insert(topic.url.clone(), Arc::new(topic));
                }
                Err(_) => tracing::info!(id = %record.head.id, "a stored topic cannot be used"),
            }
        }
        Ok(Self { stored })
    }

    /// The topic of a canonical; a version after `|` is not looked at.
    pub fn find(&self, repository: &Repository, canonical: &str) -> Option<Arc<Topic>> {
        let url = canonical.split('|').next().unwrap_or_default();
        if let Some(topic) = self.stored.get(url) {
            return Some(topic.clone());
        }
        let rest = url.strip_prefix(BUILT_IN)?;
        let (rtype, interactions) = match rest.split_once(':') {
            None => (
                rest,
                vec![
                    Interaction::Create,
                    Interaction::Update,
                    Interaction::Delete,
                ],
            ),
            Some((rtype, name)) => (rtype, vec![interaction(name)?]),
        };
        repository.has_type(rtype).then(|| {
            Arc::new(Topic {
                url: url.to_owned(),
                triggers: vec![Trigger {
                    rtype: rtype.to_owned(),
                    interactions,
                    query: None,
                    path: None,
                }],
                filters: Vec::new(),
            })
        })
    }
}

/// Whether a `Basic` resource is a topic.
pub(crate) fn is_topic(doc: &Doc) -> bool {
    doc.resource_type() == "Basic"
        && doc
            .root()
            .get("code")
            .is_some_and(|c| c.all("coding").any(|c| c.str_at("code") == Some(CODE)))
}

fn interaction(name: &str) -> Option<Interaction> {
    match name {
        "create" => Some(Interaction::Create),
        "update" => Some(Interaction::Update),
        "delete" => Some(Interaction::Delete),
        _ => None,
    }
}

/// Extensions of a node whose URL ends with a name, whichever R5 release it was taken from.
fn extensions<'d>(node: Node<'d>, name: &str) -> Vec<Node<'d>> {
    let long = format!("extension-SubscriptionTopic.{name}");
    node.all("extension")
        .chain(node.all("modifierExtension"))
        .filter(|e| {
            let url = e.str_at("url").unwrap_or_default();
            url == name || (url.starts_with("http://hl7.org/fhir/") && url.ends_with(&long))
        })
        .collect()
}

/// The value of an extension as text, of whatever type.
fn value<'d>(extension: Node<'d>) -> Option<&'d str> {
    extension
        .fields()
        .find(|f| f.name().starts_with("value"))
        .and_then(|f| f.value_text())
}

fn text<'d>(node: Node<'d>, name: &str) -> Option<&'d str> {
    extensions(node, name).first().copied().and_then(value)
}

fn refuse(text: impl Into<String>) -> Failure {
    let mut failure = Failure::new(
        axum::http::StatusCode::UNPROCESSABLE_ENTITY,
        "business-rule",
        "",
    );
    failure.issues = vec![Issue::error("business-rule", text).on("Basic.extension")];
    failure
}

fn type_of(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or_default()
}

impl Topic {
    /// Reads a `Basic` resource; 422 when it cannot be used as a topic.
    pub fn read(repository: &Repository, doc: &Doc) -> Result<Self, Failure> {
        let root = doc.root();
        let artifact = root
            .all("extension")
            .find(|e| {
                e.str_at("url") == Some("http://hl7.org/fhir/StructureDefinition/artifact-url")
            })
            .and_then(value);
        let url = text(root, "url").or(artifact).ok_or_else(|| {
            refuse("a topic needs its canonical in extension …SubscriptionTopic.url")
        })?;
        if url.starts_with(BUILT_IN) || repository.has_type(type_of(url)) && !url.contains(':') {
            return Err(refuse("this canonical is the server's own"));
        }
        let mut triggers = Vec::new();
        for extension in extensions(root, "resourceTrigger") {
            triggers.push(trigger(repository, extension)?);
        }
        if triggers.is_empty() {
            return Err(refuse(
                "a topic needs an extension …SubscriptionTopic.resourceTrigger; event triggers are not known here",
            ));
        }
        if triggers.len() > MAX_TRIGGERS {
            return Err(refuse(format!("more than {MAX_TRIGGERS} triggers")));
        }
        let filters = extensions(root, "canFilterBy")
            .into_iter()
            .filter_map(|e| {
                let parameter = text(e, "filterParameter")?;
                let rtype = text(e, "resource").map(|r| type_of(r).to_owned());
                Some((rtype, parameter.to_owned()))
            })
            .collect();
        Ok(Self {
            url: url.to_owned(),
            triggers,
            filters,
        })
    }

    /// Whether subscribers may filter a type by a parameter.
    pub fn allows(&self, rtype: &str, parameter: &str) -> bool {
        self.filters.is_empty()
            || self
                .filters
                .iter()
                .any(|(of, name)| name == parameter && of.as_ref().is_none_or(|of| of == rtype))
    }
}

fn trigger(repository: &Repository, extension: Node<'_>) -> Result<Trigger, Failure> {
    let rtype = text(extension, "resource").map(type_of).unwrap_or_default();
    if !repository.has_type(rtype) {
        return Err(refuse(
            "a trigger names no resource type of this repository",
        ));
    }
    let mut interactions = Vec::new();
    for code in extensions(extension, "supportedInteraction") {
        let known = value(code).and_then(interaction);
        interactions.push(
            known.ok_or_else(|| refuse("supportedInteraction must be create, update or delete"))?,
        );
    }
    if interactions.is_empty() {
        interactions = vec![
            Interaction::Create,
            Interaction::Update,
            Interaction::Delete,
        ];
    }
    let query = match extensions(extension, "queryCriteria").first() {
        None => None,
        Some(node) => {
            let criteria = |name: &str| -> Result<Option<Criteria>, Failure> {
                text(*node, name)
                    .map(|query| Criteria::compile(repository, rtype, query))
                    .transpose()
            };
            let previous = criteria("previous")?;
            if previous.as_ref().is_some_and(|c| !c.is_local()) {
                return Err(refuse(
                    "queryCriteria.previous takes conditions on the resource itself only, no chains",
                ));
            }
            Some(Query {
                previous,
                passes_on_create: text(*node, "resultForCreate") == Some("test-passes"),
                current: criteria("current")?,
                passes_on_delete: text(*node, "resultForDelete") == Some("test-passes"),
                requires_both: text(*node, "requireBoth") == Some("true"),
            })
        }
    };
    let path = match text(extension, "fhirPathCriteria") {
        None => None,
        Some(path) if path.len() > MAX_PATH => {
            return Err(refuse(format!(
                "fhirPathCriteria is longer than {MAX_PATH} bytes"
            )));
        }
        Some(path) => Some(Arc::new(Expr::compile(path).map_err(|_| {
            refuse("fhirPathCriteria is not a FHIRPath expression that is known here")
        })?)),
    };
    Ok(Trigger {
        rtype: rtype.to_owned(),
        interactions,
        query,
        path,
    })
}
