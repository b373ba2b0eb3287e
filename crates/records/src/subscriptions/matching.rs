//! Does a change fire? Criteria are evaluated on the version that was written, not on what it became later.
//!
//! Conditions on the resource itself are answered from its own values. Chains, `_has` and the like need other records:
//! those are searched at the end of the commit that made the change, so that a notification tells what a search of that
//! instant would have found.

use super::topic::{Interaction, Query, Topic, Trigger};
use crate::outcome::Failure;
use crate::params::{SearchParams, decode};
use crate::planner::{Compiler, Cond, Evaluator};
use crate::repository::Repository;
use fhir::path::{Env, Item};
use fhir::{Doc, Limits, Node, Pack};
use std::cell::OnceCell;
use store::{Granted, IndexKey, Op, Rid, Seq, Snapshot, Vno};

/// Most conditions of one filter.
const MAX_CONDITIONS: usize = 50;
/// Steps that one FHIRPath criterion may take.
const MAX_STEPS: u64 = 100_000;

/// Conditions on one type.
#[derive(Clone, Debug)]
pub(crate) struct Criteria {
    pub rtype: String,
    conds: Vec<Cond>,
    /// Names of the parameters, without modifiers and chains.
    pub names: Vec<String>,
}

impl Criteria {
    /// Compiles `name=value&…` for a type.
    pub fn compile(repository: &Repository, rtype: &str, query: &str) -> Result<Self, Failure> {
        let params = SearchParams::read(&decode(query.as_bytes()))?;
        let has_results = !params.includes.is_empty()
            || !params.sort.is_empty()
            || params.count.is_some()
            || params.types.is_some()
            || params.page.is_some();
        if has_results {
            return Err(Failure::bad(
                "not-supported",
                "criteria take search conditions only; _sort, _count, _include, _type do not belong there",
            ));
        }
        if params.conditions.len() > MAX_CONDITIONS {
            return Err(Failure::too_costly(format!(
                "more than {MAX_CONDITIONS} conditions"
            )));
        }
        let has_type = |t: &str| repository.has_type(t);
        let compiler = Compiler {
            options: &repository.options,
            has_type: &has_type,
            patient: None,
        };
        let conds = params
            .conditions
            .iter()
            .map(|raw| compiler.compile(rtype, raw))
            .collect::<Result<Vec<_>, _>>()?;
        let names = params
            .conditions
            .iter()
            .map(|raw| {
                let name = raw.name.split([':', '.']).next().unwrap_or_default();
                name.to_owned()
            })
            .collect();
        Ok(Self {
            rtype: rtype.to_owned(),
            conds,
            names,
        })
    }

    /// Records for which they hold.
    pub fn search(&self, evaluator: &Evaluator<'_>) -> Result<Vec<Rid>, Failure> {
        evaluator.matching(&self.rtype, &self.conds)
    }

    /// All conditions are answered by the resource alone.
    pub fn is_local(&self) -> bool {
        self.conds.iter().all(is_local)
    }
}

fn is_local(cond: &Cond) -> bool {
    match cond {
        Cond::Query { .. } | Cond::Id(_) | Cond::Coded(_) => true,
        Cond::Any(list) | Cond::All(list) => list.iter().all(is_local),
        Cond::Not(inner) => is_local(inner),
        _ => false,
    }
}

fn items(node: Option<Node<'_>>) -> Vec<Item<'_>> {
    node.map(Item::Node).into_iter().collect()
}

/// What a subscription listens to.
#[derive(Clone, Debug)]
pub(crate) enum Watch {
    /// R4 criteria: every new version that matches.
    Criteria(Criteria),
    /// A topic with the subscriber's filters, by type.
    Topic {
        topic: std::sync::Arc<Topic>,
        filters: Vec<Criteria>,
    },
}

impl Watch {
    /// May a change of this type fire at all?
    pub fn concerns(&self, rtype: &str) -> bool {
        match self {
            Self::Criteria(criteria) => criteria.rtype == rtype,
            Self::Topic { topic, .. } => topic.triggers.iter().any(|t| t.rtype == rtype),
        }
    }
}

/// One change, with what must be looked at to judge it; loaded when first needed.
pub(crate) struct Change<'a> {
    pub repository: &'a Repository,
    pub snapshot: &'a Snapshot,
    pub granted: &'a Granted,
    pub rtype: &'a str,
    pub id: &'a str,
    pub rid: Rid,
    pub vno: Vno,
    pub op: Op,
    /// Last place of the commit.
    pub end: Seq,
    current: OnceCell<Option<Loaded>>,
    previous: OnceCell<Option<Loaded>>,
}

struct Loaded {
    doc: Doc,
    keys: Vec<IndexKey>,
}

impl<'a> Change<'a> {
    #[allow(clippy::too_many_arguments, reason = "the parts of a feed entry")]
    pub fn new(
        repository: &'a Repository,
        snapshot: &'a Snapshot,
        granted: &'a Granted,
        (rtype, id): (&'a str, &'a str),
        rid: Rid,
        vno: Vno,
        op: Op,
        end: Seq,
    ) -> Self {
        Self {
            repository,
            snapshot,
            granted,
            rtype,
            id,
            rid,
            vno,
            op,
            end,
            current: OnceCell::new(),
            previous: OnceCell::new(),
        }
    }

    /// Whether it fires.
    pub fn fires(&self, watch: &Watch) -> Result<bool, Failure> {
        match watch {
            Watch::Criteria(criteria) => Ok(criteria.rtype == self.rtype
                && matches!(self.op, Op::Create | Op::Update)
                && self.current()?.is_some()
                && self.holds(criteria, false)?),
            Watch::Topic { topic, filters } => {
                let mut has_fired = false;
                for trigger in topic.triggers.iter().filter(|t| t.rtype == self.rtype) {
                    has_fired = has_fired || self.triggers(trigger)?;
                }
                if !has_fired {
                    return Ok(false);
                }
                let is_delete = self.op == Op::Delete;
                for filter in filters.iter().filter(|f| f.rtype == self.rtype) {
                    if !self.holds(filter, is_delete)? {
                        return Ok(false);
                    }
                }
                // Filters of other types only: this type was not asked for.
                Ok(filters.is_empty() || filters.iter().any(|f| f.rtype == self.rtype))
            }
        }
    }

    fn triggers(&self, trigger: &Trigger) -> Result<bool, Failure> {
        let interaction = match self.op {
            Op::Create => Interaction::Create,
            Op::Update => Interaction::Update,
            Op::Delete => Interaction::Delete,
            Op::Purge => return Ok(false),
        };
        if !trigger.interactions.contains(&interaction) {
            return Ok(false);
        }
        // A version that was erased since tells nobody anything.
        let is_there = match interaction {
            Interaction::Delete => true,
            _ => self.current()?.is_some(),
        };
        if !is_there {
            return Ok(false);
        }
        if let Some(query) = &trigger.query
            && !self.passes(query, interaction)?
        {
            return Ok(false);
        }
        match &trigger.path {
            None => Ok(true),
            Some(path) => {
                let current = self.current()?.map(|l| l.doc.root());
                let previous = match interaction {
                    Interaction::Create => None,
                    _ => self.previous()?.map(|l| l.doc.root()),
                };
                let Some(focus) = current.or(previous) else {
                    return Ok(false);
                };
                let env = Env::new(focus, edge::clock::real_now_us())
                    .steps(MAX_STEPS)
                    .var("current", items(current))
                    .var("previous", items(previous));
                Ok(path.test(&env).ok().flatten() == Some(true))
            }
        }
    }

    fn passes(&self, query: &Query, interaction: Interaction) -> Result<bool, Failure> {
        let previous = match &query.previous {
            None => None,
            Some(_) if interaction == Interaction::Create => Some(query.passes_on_create),
            Some(criteria) => Some(self.previous()?.is_some() && self.holds(criteria, true)?),
        };
        let current = match &query.current {
            None => None,
            Some(_) if interaction == Interaction::Delete => Some(query.passes_on_delete),
            Some(criteria) => Some(self.holds(criteria, false)?),
        };
        Ok(match (previous, current) {
            (None, None) => true,
            (Some(one), None) | (None, Some(one)) => one,
            (Some(a), Some(b)) if query.requires_both => a && b,
            (Some(a), Some(b)) => a || b,
        })
    }

    /// Whether the conditions hold for this version, or the one before.
    fn holds(&self, criteria: &Criteria, of_previous: bool) -> Result<bool, Failure> {
        let loaded = if of_previous {
            self.previous()?
        } else {
            self.current()?
        };
        let Some(loaded) = loaded else {
            return Ok(false);
        };
        let options = &self.repository.options;
        let mut rest = Vec::new();
        for cond in &criteria.conds {
            let mut cond = cond.clone();
            self.repository
                .resolve(self.snapshot, self.granted, &mut cond)?;
            if !is_local(&cond) {
                rest.push(cond);
            } else if !cond.holds_for(self.id, &loaded.keys, &loaded.doc, options) {
                return Ok(false);
            }
        }
        if rest.is_empty() {
            return Ok(true);
        }
        if of_previous {
            return Ok(false);
        }
        let store = &self.repository.config.store;
        // An hour behind, the state of that instant is gone; the newest one is the best there is.
        let at = store
            .snapshot_at(self.end)
            .unwrap_or_else(|_| self.snapshot.clone());
        let evaluator = Evaluator::new(&at, self.granted, self.repository.config.repo, options);
        rest.push(Cond::Rids(vec![self.rid]));
        Ok(!evaluator.matching(self.rtype, &rest)?.is_empty())
    }

    fn current(&self) -> Result<Option<&Loaded>, Failure> {
        self.load(&self.current, self.vno.0)
    }

    fn previous(&self) -> Result<Option<&Loaded>, Failure> {
        self.load(&self.previous, self.vno.0.saturating_sub(1))
    }

    fn load<'s>(
        &'s self,
        cell: &'s OnceCell<Option<Loaded>>,
        vno: u32,
    ) -> Result<Option<&'s Loaded>, Failure> {
        if let Some(found) = cell.get() {
            return Ok(found.as_ref());
        }
        let repo = self.repository.config.repo;
        let record = if vno == 0 {
            None
        } else {
            self.snapshot
                .vread(self.granted, repo, self.rtype, self.id, Vno(vno))?
        };
        let loaded = record
            .filter(|r| !crate::read::is_deleted(r))
            .and_then(|r| Doc::parse_json(r.body, &Limits::default()).ok())
            .map(|doc| {
                let now = edge::clock::real_now_us();
                let keys =
                    fhir::keys::extract_with(Pack::r4(), &doc, now, &self.repository.options);
                let keys = keys.unwrap_or_default().into_iter().map(|k| IndexKey {
                    param: k.param,
                    value: k.value,
                });
                Loaded {
                    keys: keys.collect(),
                    doc,
                }
            });
        Ok(cell.get_or_init(|| loaded).as_ref())
    }
}
