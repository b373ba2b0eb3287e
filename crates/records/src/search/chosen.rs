//! A search whose matches an operation chooses among before the answer is made (`$lastn`).

use super::{Found, Ready, shown_items};
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::params::{SearchParams, SortKey};
use crate::planner::Evaluator;
use crate::render::Subset;
use crate::repository::Repository;
use std::collections::BTreeMap;
use store::{Granted, Rid, Snapshot};

impl Repository {
    /// Searches one type, gives all matches in the wished order to `choose`, and answers with what it returns.
    pub(crate) fn search_chosen(
        &self,
        call: &Call,
        caller: &Caller,
        rtype: &str,
        params: SearchParams,
        sort: SortKey,
        choose: impl FnOnce(&Snapshot, &Granted, &[Rid]) -> Result<Vec<Rid>, Failure>,
    ) -> Result<Answer, Failure> {
        let types = [rtype.to_owned()];
        let now = self.snapshot()?;
        let (named, gated, scope) =
            self.decide_search(&now, caller, &types, &params, None, None)?;
        let mut ready = Ready::new(now, gated, scope, params);
        self.compile(call, &types, &None, named, &mut ready)?;
        let evaluator = Evaluator::new(
            &ready.snapshot,
            &ready.granted,
            self.config.repo,
            &self.options,
        );
        let conds = ready
            .conds
            .get(rtype)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let matches = evaluator.matching(rtype, conds)?;
        let of_type = BTreeMap::from([(rtype.to_owned(), matches)]);
        let sorted = evaluator.sorted(&of_type, &[sort])?;
        let chosen = choose(&ready.snapshot, &ready.granted, &sorted)?;
        let records = ready.snapshot.fetch(&ready.granted, &chosen)?;
        let included = self.included(
            &evaluator,
            &ready.scope,
            &ready.params.includes,
            &records,
            false,
        )?;
        let items = shown_items(&ready, &records, &included, false);
        self.record(&ready.gated, &items)?;
        let found = Found {
            total: Some(chosen.len() as u64),
            rids: chosen,
            ..Found::default()
        };
        let subset = Subset {
            summary: ready.params.summary,
            elements: ready.params.elements.clone(),
        };
        self.answer(call, caller, &ready, &found, &records, &included, &subset)
    }
}
