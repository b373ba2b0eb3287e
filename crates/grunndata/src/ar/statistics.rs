//! Counts, the list of hospitals' parties, and what differs between two versions of a party.

use super::AddressRegister;
use super::time;
use edge::soap::{Fault, Object, Value};
use registers::directory::PartyKind;
use registers::kernel::period::Moment;
use registers::parties::PartyEventKind;
use registers::parties::record::PartyRecord;
use registers::parties::search::kind_name;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Most changes of a statistic, and events looked at for it.
const MAX_UPDATES: usize = 10_000;
/// Longest value in a change log, in characters.
const MAX_VALUE: usize = 500;

impl AddressRegister {
    pub(super) fn counts(&self) -> Value {
        let mut by_type: BTreeMap<String, [i64; 3]> = BTreeMap::new();
        for top in self.parties.organisations() {
            let of = top.content.business_type.clone().unwrap_or_default();
            let counts = by_type.entry(of).or_default();
            let [persons, services, units] = counts;
            *units += 1;
            for child in self.parties.children(top.content.her_id) {
                match child.content.kind {
                    PartyKind::Person => *persons += 1,
                    PartyKind::Service => *services += 1,
                    PartyKind::Organisation => *units += 1,
                }
            }
        }
        let rows: Vec<Object> = by_type
            .into_iter()
            .map(|(of, [persons, services, units])| {
                let text = super::codes::text(9040, &of).map(str::to_owned);
                Object::new()
                    .with("BusinessType", text.unwrap_or(of))
                    .with("NumberOfPersons", persons)
                    .with("NumberOfServices", services)
                    .with("NumberOfUnits", units)
            })
            .collect();
        Object::new().with("BusinessTypeStatistics", rows).into()
    }

    /// Organisations changed between two instants, by the register's events.
    pub(super) fn updates(&self, request: &Object, is_2016: bool) -> Result<Value, Fault> {
        let moment = |name: &str| request.time(name).map(|t| Moment::from(t.instant()));
        let from = moment("fromDate").unwrap_or(Moment(i64::MIN));
        let to = moment("toDate").unwrap_or(Moment(i64::MAX));
        let last = self.parties.last_event().map_err(unreadable)?;
        let last = last.map_or(0, |e| e.number);
        let begin = last.saturating_sub(MAX_UPDATES as u64) + 1;
        let events = self
            .parties
            .events(begin, MAX_UPDATES)
            .map_err(unreadable)?;
        let rows: Vec<Object> = events
            .iter()
            .filter(|e| from <= e.kind.at && e.kind.at < to)
            .filter(|e| e.kind.kind != PartyEventKind::TransportEnabled)
            .filter_map(|e| {
                let party = self.parties.get(e.kind.her_id)?;
                if party.content.kind != PartyKind::Organisation {
                    return None;
                }
                let mut row = Object::new()
                    .with("CreatedDate", time(e.kind.at))
                    .with("DisplayName", party.content.shown_name().to_owned())
                    .with("HerId", e.kind.her_id)
                    .with("IPAddress", None::<String>);
                if !is_2016 {
                    row.set("UserId", None::<String>);
                }
                row.set("Username", party.content.by.clone());
                Some(row)
            })
            .collect();
        Ok(Object::new().with("Statistics", rows).into())
    }

    /// Parties of hospital trusts as lines with semicolons.
    pub(super) fn hospitals_csv(&self) -> Value {
        let mut out = String::from("HerId;ParentHerId;OrganizationNumber;Type;Name\r\n");
        for top in self.parties.organisations() {
            if top.content.business_type.as_deref() != Some("101") {
                continue;
            }
            let children = self.parties.children(top.content.her_id);
            for party in std::iter::once(&top).chain(&children) {
                let p = &party.content;
                out.push_str(&format!(
                    "{};{};{};{};{}\r\n",
                    p.her_id,
                    p.parent.map_or(-1, i64::from),
                    p.orgnr,
                    kind_name(p.kind),
                    cell(&p.name)
                ));
            }
        }
        out.into()
    }
}

/// A cell that no spreadsheet takes for a formula or for two cells.
fn cell(text: &str) -> String {
    let quoted = text.replace('"', "\"\"");
    match text.chars().next() {
        Some('=' | '+' | '-' | '@') => format!("\"'{quoted}\""),
        _ if text.contains([';', '"', '\r', '\n']) => format!("\"{quoted}\""),
        _ => text.to_owned(),
    }
}

fn unreadable(error: store::StoreError) -> Fault {
    tracing::error!(%error, "events of the address register could not be read");
    Fault::internal()
}

/// What differs, field by field, as texts.
pub(super) fn differences(before: Option<&PartyRecord>, after: &PartyRecord) -> Vec<Object> {
    let fields = |record: &PartyRecord| match serde_json::to_value(record) {
        Ok(Json::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (before.map(fields).unwrap_or_default(), fields(after));
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |value: Option<&Json>| {
        value.map(|v| {
            let text = match v {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            text.chars().take(MAX_VALUE).collect::<String>()
        })
    };
    names
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "changed" | "created" | "by"))
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| {
            Object::new()
                .with("Name", name.clone())
                .with("NewValue", text(new.get(name)))
                .with("OldValue", text(old.get(name)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_are_neither_formulas_nor_several() {
        for (text, written) in [
            ("Legekontoret", "Legekontoret"),
            ("a;b", "\"a;b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=1+1", "\"'=1+1\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }
}
