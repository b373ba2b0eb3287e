//! `$explain`: how a search was planned, what led, what each step cost. For operators, in open repositories.
//!
//! The same parameters as the search itself. The answer names parameters, counts and times (µs), never a value: neither
//! what was asked for nor what was found.

use super::Target;
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    repository.explain(call, caller, target.rtype())
}
