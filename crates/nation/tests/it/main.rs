//! The promises of the nation: the story's tables to the letter, and the statistical nation in the large.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod background;
mod cast;
mod population;
mod story;
