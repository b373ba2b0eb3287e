//! The suite that both engines must pass: the store's contract as executable sentences.
//!
//! It deliberately knows no engine: it gets a function that makes the configuration of a fresh, empty store, and uses
//! nothing but the public interface. Like any test it panics with a message when a sentence does not hold.
//! Compiled only for tests (feature `conformance`).
//!
//! Read first: [`CASES`], [`run_all`], [`kit`].
//!
//! Sentences that the interface leaves open and that this suite decides, for both engines:
//! - `Update` with a given, unknown id creates the record and is stored as `Op::Create` (so is the first version after
//!   a deletion); `Update` with `PutId::New` is refused or invalid; `Delete` of what does not live is refused with
//!   `Refusal::Version { newest: None }`; `Create` of what lives with `Refusal::Exists`.
//! - Several puts of one record in one commit are versions of their own, in order.
//! - Expectations of one commit are checked in order and see the claims and releases of the earlier ones of the same
//!   commit: `ClaimHeld { release }` followed by `Claim` swaps a value.
//! - A commit with `raise` (or an alias) and no version takes one seq and shows as `FeedEvent::Epoch`; with versions,
//!   the epoch is the last seq of the commit and the feed has no entry of its own. Raising persons and rules in one
//!   such commit gives two entries: persons, then rules.
//! - Both identities of a merge or split get the raised epoch; `AlsoKnownAs` of a free identifier raises nothing.
//! - A merge joins the ends of both chains; merging what is one already changes nothing but the epochs.
//! - `history` and `vread` return a version when the record's newest version **and** that version pass the filter.
//! - After an erasure the feed keeps its places: entries of the erased versions name no persons.
//! - A settled, lost or expired lease is `Refusal::LeaseLost`, also when nobody else has leased the message since.
//! - `snapshot_at` beyond the end is `Invalid`.
//!
//! Rules: DESIGN §3, spec/privacy.md §8.2 (laws 1, 2, 5, 8), §9.3, §10.4, spec/fhir-server.md §15.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod backup;
mod blobs;
mod bulk;
mod commits;
mod expects;
mod feeds;
mod filters;
mod journals;
pub mod kit;
mod mirrors;
mod newest;
mod persons;
mod purges;
mod queues;
mod reads;
mod rekeys;
mod snapshots;

pub use backup::backup_to;

use crate::StoreConfig;

/// Makes the configuration of a fresh, empty store; called once per store that a case needs. What it stands on (a
/// folder, a schema) must live until the case is over. The suite sets `repositories` itself.
pub type Make<'a> = &'a dyn Fn() -> StoreConfig;

/// One sentence of the contract: a name and a function that panics when it does not hold.
pub type Case = (&'static str, fn(Make<'_>));

/// All cases, by name.
pub const CASES: &[Case] = &[
    ("commit_receipts", commits::receipts),
    ("commit_atomic", commits::atomic),
    ("commit_invalid_is_alone", commits::invalid_is_alone),
    ("commit_time_increases", commits::time_increases),
    ("commit_group_64_threads", commits::group_64_threads),
    ("commit_limits", commits::limits),
    ("commit_hostile_names", commits::hostile_names),
    ("commit_same_record_twice", commits::same_record_twice),
    ("reopen_keeps_everything", commits::reopen_keeps_everything),
    ("expect_version", expects::version),
    ("expect_absent", expects::absent),
    ("expect_no_match", expects::no_match),
    ("expect_no_match_race", expects::no_match_race),
    ("expect_claims", expects::claims),
    ("expect_claim_expiry", expects::claim_expiry),
    ("expect_claim_race", expects::claim_race),
    ("expect_position", expects::position),
    ("expect_implied", expects::implied),
    ("expect_first_refusal_is_named", expects::first_refusal),
    ("version_race", expects::version_race),
    ("read_versions", reads::versions),
    ("read_deletions", reads::deletions),
    ("read_all_is_read_for_each", reads::all_is_read_for_each),
    ("read_range_scan", reads::range_scan),
    ("read_long_keys", reads::long_keys),
    ("read_estimate", reads::estimate),
    ("read_newest_first", newest::first),
    ("read_several", newest::several),
    ("read_type_rids_and_fetch", reads::type_rids_and_fetch),
    ("read_history_scopes", reads::history_scopes),
    (
        "read_not_across_repositories",
        reads::not_across_repositories,
    ),
    ("snapshot_isolation", snapshots::isolation),
    ("snapshot_for_a_record", snapshots::for_a_record),
    ("snapshot_for_under_load", snapshots::for_under_load),
    ("snapshot_paging", snapshots::paging),
    ("snapshot_bounds", snapshots::bounds),
    ("snapshot_under_load", snapshots::under_load),
    ("filter_every_pred", filters::every_pred),
    ("filter_random_scan", filters::random_scan),
    (
        "filter_hidden_changes_nothing",
        filters::hidden_changes_nothing,
    ),
    ("filter_history", filters::history),
    ("person_compartments", persons::compartments),
    ("person_merge_split", persons::merge_split),
    ("person_identifiers", persons::identifiers),
    ("person_epochs", persons::epochs),
    ("person_stricter_raises", persons::stricter_raises),
    ("queue_order_and_settle", queues::order_and_settle),
    ("queue_lease_lost", queues::lease_lost),
    ("queue_timers", queues::timers),
    ("queue_expiry", queues::expiry),
    ("queue_dead_letters", queues::dead_letters),
    ("queue_settle_with_effect", queues::settle_with_effect),
    ("queue_many_consumers", queues::many_consumers),
    ("queue_wait", queues::wait),
    ("queue_payloads", queues::payloads),
    ("feed_gapless", feeds::gapless),
    ("feed_exactly_once", feeds::exactly_once),
    ("feed_wait", feeds::wait),
    ("blob_life", blobs::life),
    ("purge_nothing_left", purges::nothing_left),
    ("bulk_load", bulk::load),
    ("journal_append_and_read", journals::append_and_read),
    ("journal_in_commits", journals::in_commits),
    ("journal_line_and_proof", journals::line_and_proof),
    ("journal_reopen", journals::reopen),
    ("journal_after_a_number", journals::after_a_number),
    ("backup_restore", backup::restore_same_engine),
    ("backup_refusals", backup::refusals),
    ("mirror_replay", mirrors::replay),
    ("rekey_replaces", rekeys::replaces),
    ("rekey_under_load", rekeys::under_load),
    ("random_model", commits::random_model),
];

/// Runs every case, one after the other; panics at the first that fails.
pub fn run_all(make: Make<'_>) {
    for (name, case) in CASES {
        println!("conformance: {name}");
        case(make);
    }
}

/// Runs every case whose name contains `part`, catches failures and returns `(name, message)` of those.
pub fn failures(make: Make<'_>, part: &str) -> Vec<(&'static str, String)> {
    let mut failed = Vec::new();
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(part)) {
        let started = std::time::Instant::now();
        let run = std::panic::AssertUnwindSafe(|| case(make));
        let result = std::panic::catch_unwind(run);
        let took = started.elapsed().as_millis();
        match result {
            Ok(()) => println!("conformance: {name} ok ({took} ms)"),
            Err(panic) => {
                let message = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                    .unwrap_or_default();
                println!("conformance: {name} FAILED ({took} ms): {message}");
                failed.push((*name, message));
            }
        }
    }
    failed
}
