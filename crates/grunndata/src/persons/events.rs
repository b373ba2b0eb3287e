//! The feed of changes (spec/grunndata.md §3.5): thin events, read from a number on.

use super::json::Json;
use super::problem::Fault;
use registers::kernel::events::Event;
use registers::persons::PersonRegister;
use registers::persons::codes::PersonEvent;

/// Most events of an answer.
const MAX_EVENTS: usize = 1_000;
/// Events read at a time.
const STEP: usize = 4_000;
/// A filter is looked for in at most so many events once something was found.
const MAX_LOOKED_AT: u64 = 100_000;

/// Writes the last event.
///
/// # Errors
/// 404 when there is none.
pub(super) fn latest(register: &PersonRegister) -> Result<Json, Fault> {
    let event = register
        .log()
        .last_event()?
        .ok_or_else(|| Fault::not_found("Event document not found"))?;
    let mut json = Json::with_capacity(160);
    write(&mut json, &event);
    Ok(json)
}

/// Writes the events from a number on, of these kinds only (none named: all). `endIndex` is the last number looked at, so
/// that a reader with a filter can go on after it.
///
/// # Errors
/// 404 for a number that lies more than one ahead of the last event: it belongs to another register.
pub(super) fn from(
    register: &PersonRegister,
    number: u64,
    kinds: &[PersonEvent],
) -> Result<Json, Fault> {
    let mut found: Vec<Event<PersonEvent>> = Vec::new();
    let mut next = number;
    let mut is_end = false;
    while !is_end && found.len() < MAX_EVENTS {
        if !found.is_empty() && next.saturating_sub(number) > MAX_LOOKED_AT {
            break;
        }
        let step = register.log().events(next, STEP)?;
        is_end = step.len() < STEP;
        for event in step {
            if found.len() == MAX_EVENTS {
                break;
            }
            next = event.number.saturating_add(1);
            if kinds.is_empty() || kinds.contains(&event.kind) {
                found.push(event);
            }
        }
    }
    if next == number && number > 1 {
        let last = register.log().last_event()?.map_or(0, |e| e.number);
        if number > last.saturating_add(1) {
            return Err(Fault::not_found_because(
                "Event not found",
                format!(
                    "The last event has number {last}. A number that lies ahead of it is from another \
                     register: make the local copy anew."
                ),
            ));
        }
    }
    let mut json = Json::with_capacity(64 + found.len() * 120);
    json.object(|json| {
        json.key("results");
        json.array(|json| found.iter().for_each(|event| write(json, event)));
        json.field_number("startIndex", Some(index(number)));
        json.field_number("endIndex", Some(index(next.saturating_sub(1))));
    });
    Ok(json)
}

/// The contract has 32 bits for an index.
fn index(number: u64) -> i64 {
    i32::try_from(number).unwrap_or(i32::MAX).into()
}

fn write(json: &mut Json, event: &Event<PersonEvent>) {
    json.object(|json| {
        json.field("sequenceNumber", &event.number.to_string());
        json.field("personId", &event.entry.to_string());
        json.field("eventType", event.kind.name());
    });
}
