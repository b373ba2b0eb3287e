//! What a short search will look at first: told to the store beforehand, a store behind a network sends it with the state.

use crate::http::Call;
use crate::params::{SearchParams, Summary};
use crate::planner::{CHEAP, Compiler};
use crate::repository::Repository;
use store::{FirstLook, KeyRange};

/// The rows that a search will walk first.
pub(crate) struct Expected {
    range: KeyRange,
    limit: usize,
}

impl Expected {
    /// As the store is told.
    pub fn look(&self) -> FirstLook<'_> {
        FirstLook {
            range: &self.range,
            limit: self.limit,
            estimate: CHEAP,
        }
    }
}

impl Repository {
    /// Of a search of an open repository by one exact value, in record order, for whole resources: pages of those are made of
    /// what was kept. `None` for every other, and for one that will be refused.
    pub(crate) fn expected(&self, call: &Call, rtype: &str) -> Option<Expected> {
        let params = SearchParams::read_as(&call.query, call.is_lenient).ok()?;
        let [condition] = params.conditions.as_slice() else {
            return None;
        };
        let is_plain = params.page.is_none()
            && params.types.is_none()
            && params.sort.is_empty()
            && params.elements.is_empty()
            && params.summary != Summary::Count
            && params.page_size() > 0;
        if !is_plain {
            return None;
        }
        let has_type = |t: &str| self.has_type(t);
        let compiler = Compiler {
            options: &self.options,
            has_type: &has_type,
            patient: None,
        };
        let range = compiler.compile(rtype, condition).ok()?.only_value()?;
        let limit = params.page_size() + 1;
        Some(Expected { range, limit })
    }
}
