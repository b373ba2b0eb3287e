//! What actors make and read, without a hub.

mod bad;
mod documents;
mod facts;
mod nation_of;
mod parcels;
