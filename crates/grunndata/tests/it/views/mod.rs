//! The registers as FHIR: what each ground may see, how things are found, refusals, the journal, and the profiles.

mod persons;
mod profiles;
mod public;
mod world;

use crate::place::everywhere;
use world::World;

/// Runs a test on a world of each engine.
fn on_worlds<F: Future<Output = ()>>(test: impl Fn(World) -> F) {
    everywhere(|place| {
        let node = place.start_hub();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = tokio::task::block_in_place(|| World::new(&node));
            test(world).await;
        });
    });
}
