//! The promises of the nation: the story's tables to the letter, and the statistical nation in the large.

mod background;
mod cast;
mod story;
