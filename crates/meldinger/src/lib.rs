//! (being built)
//!
//! NOTE from the lead: services never import each other, so the trait for hub-run receivers is NOT made here: it is
//! `records::intake::{Receiver, OpenedMessage, Intake}` (crates/records/src/intake.rs). `meldinger` is given
//! `Vec<Arc<dyn records::intake::Receiver>>` by the hub, merges `Intake::commit` with its own parts (MsgId claim, sealed
//! AppRec enqueue, settle, tracking) into ONE commit, and handles B24/B25 by the claim on (receiver, MsgId) with the
//! content's SHA-256 as value.
