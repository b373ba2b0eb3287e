//! The registers as FHIR: what each ground may see, how things are found, refusals, the journal, and the profiles.

mod along;
mod persons;
mod profiles;
mod public;
mod world;

use world::World;

/// Runs a test on a world of each engine.
fn on_worlds<F: Future<Output = ()>>(test: impl Fn(World) -> F) {
    crate::wire::on_worlds(World::new, test);
}
