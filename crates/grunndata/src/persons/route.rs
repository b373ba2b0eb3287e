//! Addresses of the contract (spec/grunndata.md §3.2). Upper and lower case are the same, but for the id of a person.

use super::problem::Fault;
use axum::http::Method;
use trust::register::PersonGround;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `GET person/{id}`: the id as it came.
    Person(String),
    /// `POST person/get-by-nin`.
    GetByNin,
    /// `POST person/bulk-by-id`.
    BulkById,
    /// `POST person/bulk-by-nin`.
    BulkByNin,
    /// `POST search/person`.
    Search,
    /// `POST search/match-list`.
    MatchList,
    /// `POST search/paged-match-list`.
    PagedMatchList,
    /// `POST search/match-count`.
    MatchCount,
    /// `GET event/latest`.
    LatestEvent,
    /// `GET event`.
    Events,
}

impl Operation {
    /// Name in the log and in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::GetByNin => "get-by-nin",
            Self::BulkById => "bulk-by-id",
            Self::BulkByNin => "bulk-by-nin",
            Self::Search => "search-person",
            Self::MatchList => "match-list",
            Self::PagedMatchList => "paged-match-list",
            Self::MatchCount => "match-count",
            Self::LatestEvent => "event-latest",
            Self::Events => "event",
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Person(_) | Self::LatestEvent | Self::Events => "GET",
            _ => "POST",
        }
    }
}

/// Reads the path below the service's prefix.
///
/// # Errors
/// 404 for an address that the contract does not have, 405 for another method.
pub fn read(path: &str, method: &Method) -> Result<(PersonGround, Operation), Fault> {
    let unknown = || Fault::not_found_because("Not found", "The contract has no such address.");
    let mut segments = path.split('/').filter(|s| !s.is_empty());
    let mut next = || segments.next();
    let (Some(api), Some(tree), Some(group)) = (next(), next(), next()) else {
        return Err(unknown());
    };
    let is = |segment: &str, name: &str| segment.eq_ignore_ascii_case(name);
    if !is(api, "api") {
        return Err(unknown());
    }
    let ground = if is(tree, "legal-basis") {
        PersonGround::LegalBasis
    } else if is(tree, "no-legal-basis") {
        PersonGround::NoLegalBasis
    } else {
        return Err(unknown());
    };
    let (name, rest) = (next(), next());
    if rest.is_some() {
        return Err(unknown());
    }
    let named = |table: &[(&str, Operation)]| {
        let name = name?;
        let found = table.iter().find(|(known, _)| is(name, known));
        found.map(|(_, operation)| operation.clone())
    };
    let operation = if is(group, "person") {
        let named = named(&[
            ("get-by-nin", Operation::GetByNin),
            ("bulk-by-id", Operation::BulkById),
            ("bulk-by-nin", Operation::BulkByNin),
        ]);
        named.or_else(|| name.map(|id| Operation::Person(id.to_owned())))
    } else if is(group, "search") {
        named(&[
            ("person", Operation::Search),
            ("match-list", Operation::MatchList),
            ("paged-match-list", Operation::PagedMatchList),
            ("match-count", Operation::MatchCount),
        ])
    } else if is(group, "event") {
        match name {
            None => Some(Operation::Events),
            Some(_) => named(&[("latest", Operation::LatestEvent)]),
        }
    } else {
        None
    };
    let operation = operation.ok_or_else(unknown)?;
    if method.as_str() != operation.method() {
        return Err(Fault::method(operation.method()));
    }
    Ok((ground, operation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use PersonGround::{LegalBasis, NoLegalBasis};
    use proptest::prelude::*;

    #[test]
    fn every_address_of_the_contract() {
        for (path, operation) in [
            ("person/get-by-nin", Operation::GetByNin),
            ("person/bulk-by-id", Operation::BulkById),
            ("person/Bulk-By-NIN", Operation::BulkByNin),
            ("search/person", Operation::Search),
            ("search/match-list", Operation::MatchList),
            ("search/paged-match-list", Operation::PagedMatchList),
            ("SEARCH/match-count", Operation::MatchCount),
            ("event/latest", Operation::LatestEvent),
            ("event", Operation::Events),
            ("event/", Operation::Events),
            ("person/aBc", Operation::Person("aBc".to_owned())),
        ] {
            let method = Method::from_bytes(operation.method().as_bytes()).unwrap();
            for (tree, ground) in [
                ("legal-basis", LegalBasis),
                ("No-Legal-Basis", NoLegalBasis),
            ] {
                let found = read(&format!("/api/{tree}/{path}"), &method).unwrap();
                assert_eq!(found, (ground, operation.clone()), "{path}");
            }
            let other = read(&format!("/api/legal-basis/{path}"), &Method::PUT);
            assert_eq!(other.unwrap_err().status().as_u16(), 405, "{path}");
        }
    }

    #[test]
    fn other_addresses_do_not_exist() {
        for path in [
            "/",
            "/api",
            "/api/legal-basis",
            "/api/legal-basis/person",
            "/api/legal-basis/person/a/b",
            "/api/legal-basis/search/persons",
            "/api/legal-basis/event/first",
            "/api/basis/event",
            "/v2/legal-basis/event",
        ] {
            let found = read(path, &Method::GET);
            assert_eq!(found.unwrap_err().status().as_u16(), 404, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in "\\PC{0,60}") {
            let _ = read(&path, &Method::GET);
        }
    }
}
