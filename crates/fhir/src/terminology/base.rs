//! R4's own code systems, value sets and concept maps, as the specification publishes them.
