//! The table of bad cases.

use actors::bad::{CASES, Expected};
use std::collections::BTreeSet;

/// The ones that must be there; what they answer is tried against a running hub.
const NEEDED: [&str; 31] = [
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B14",
    "B15", "B16", "B17", "B18", "B21", "B22", "B23", "B24", "B25", "B26", "B26b", "B28", "B30",
    "B31", "B32", "B33", "B34", "B35",
];

#[test]
fn every_needed_case_is_in_the_table_once_and_in_order() {
    let ids: Vec<&str> = CASES.iter().map(|c| c.id).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len());
    assert!(ids.is_sorted());
    for id in NEEDED {
        assert!(unique.contains(id), "{id}");
    }
}

#[test]
fn codes_and_conditions_exist() {
    for case in CASES {
        match case.expected {
            Expected::ErrorQueue { condition, .. } => {
                assert!(
                    edi::errorqueue::ErrorCondition::parse(condition).is_some(),
                    "{condition}"
                );
            }
            Expected::Rejected { code } => {
                assert!(edi::apprec::ErrorCode::parse(code).is_some(), "{code}");
            }
            _ => {}
        }
        assert!(!case.wrong.is_empty() && !case.wrong_en.is_empty());
    }
}

#[tokio::test]
async fn an_unknown_case_or_an_absent_hub_is_an_error() {
    let facts = &crate::nation_of::GIVEN.facts;
    assert!(actors::bad::run(facts, "B99").await.is_err());
    assert!(actors::bad::run(facts, "B01").await.is_err());
}
