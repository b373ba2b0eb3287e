//! The places of the registers' own tests, with the repositories of both crates.

#[allow(dead_code, reason = "the registers' tests use more of it")]
#[path = "../../../registers/tests/it/place.rs"]
mod shared;

pub use shared::{Node, Place, everywhere};

impl Place {
    /// Starts a process here.
    pub fn start_hub(&self) -> Node {
        let mut declared = registers::repositories();
        declared.extend(grunndata::repositories());
        self.open(declared)
    }
}
