//! `Search`: constraints, pages, facets.

use super::codes;
use super::view::{Depth, with_offset};
use super::{AddressRegister, Dialect};
use edge::soap::{Fault, Object, Value};
use registers::parties::search::{Facet, Query};

/// Parties on a page when the caller does not say.
const DEFAULT_PAGE: usize = 50;

impl AddressRegister {
    pub(super) fn search(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let empty = Object::new();
        let search = request.object("search").unwrap_or(&empty);
        let constraints = search.objects("SearchConstraints").map(|pair| {
            let of = |name| pair.text(name).unwrap_or_default();
            (of("key"), of("value"))
        });
        let query = Query::read(constraints)
            .map_err(|bad| Fault::generic("InvalidSearchConstraint", bad.to_string()))?;
        let count = |name: &str| search.int(name).and_then(|n| usize::try_from(n).ok());
        let page = count("Page").unwrap_or(1);
        let size = count("PageSize").filter(|s| *s > 0).unwrap_or(DEFAULT_PAGE);
        let now = self.moment();
        let found = query.run(&self.parties, page, size, now);
        let results: Vec<Object> = found
            .results
            .iter()
            .map(|p| self.object(&p.content, dialect, Depth::Alone))
            .collect();
        let facets: Vec<Object> = found.facets.iter().map(facet).collect();
        let total = i64::try_from(found.total).unwrap_or(i64::MAX);
        Ok(Object::new()
            .with("Facets", facets)
            .with("Results", results)
            .with("ServerTime", with_offset(now))
            .with("TotalResults", total)
            .into())
    }
}

fn facet(of: &Facet) -> Object {
    let list = match of.name {
        "BusinessTypeCode" => Some(9040),
        "MunicipalityCode" => Some(3402),
        _ => None,
    };
    let entries: Vec<Object> = of
        .entries
        .iter()
        .map(|(value, hits)| {
            let text = list.and_then(|l| codes::text(l, value)).map(str::to_owned);
            Object::new()
                .with("Hits", i64::try_from(*hits).unwrap_or(i64::MAX))
                .with("Text", text.unwrap_or_else(|| value.clone()))
                .with("Type", of.name)
                .with("Value", value.clone())
        })
        .collect();
    Object::new()
        .with("CodeValue", list.map(|l| l.to_string()))
        .with("Entries", entries)
        .with("Name", of.name)
}
