//! What changed about a person (`Endringslogginnslag`): versions compared field by field.

use super::{Hpr, moment, written, wrong};
use edge::soap::{Fault, Object, Value};
use registers::personnel::Personnel;
use registers::personnel::register::Step;
use serde_json::Value as Json;
use std::collections::BTreeMap;

fn flatten(value: &Json, path: &str, into: &mut BTreeMap<String, String>) {
    let deeper = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Json::Object(fields) => {
            for (key, value) in fields {
                flatten(value, &deeper(key), into);
            }
        }
        Json::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                // Parts are known by their numbers: one more in front changes no other.
                let key = value
                    .get("no")
                    .map_or_else(|| at.to_string(), Json::to_string);
                flatten(value, &deeper(&key), into);
            }
        }
        Json::Null => {}
        Json::String(text) => {
            into.insert(path.to_owned(), text.clone());
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

fn fields(person: Option<&Personnel>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Some(json) = person.and_then(|p| serde_json::to_value(p).ok()) {
        flatten(&json, "", &mut found);
    }
    for bookkeeping in ["updated", "by", "last_part"] {
        found.remove(bookkeeping);
    }
    found
}

/// (name, before, after) of everything that differs.
pub(super) fn differences(step: &Step) -> Vec<(String, Option<String>, Option<String>)> {
    let (before, after) = (fields(step.before.as_ref()), fields(Some(&step.after)));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            (
                name.clone(),
                before.get(name).cloned(),
                after.get(name).cloned(),
            )
        })
        .collect()
}

impl Hpr {
    pub(super) fn changes(&self, request: &Object) -> Result<Value, Fault> {
        let entry = self.by_hpr(request)?;
        let since = request
            .time("fra")
            .map(moment)
            .ok_or_else(|| wrong("fra må oppgis"))?;
        let steps = self.register.steps(entry.id, since).map_err(|error| {
            tracing::error!(%error, "the history of the personnel register cannot be read");
            Fault::internal()
        })?;
        let lines: Vec<Object> = steps.iter().map(line).collect();
        Ok(lines.into())
    }
}

fn line(step: &Step) -> Object {
    let values: Vec<Object> = differences(step)
        .into_iter()
        .zip(1i64..)
        .map(|((name, before, after), id)| {
            Object::new()
                .with("GammelVerdi", before)
                .with("Id", id)
                .with("NyVerdi", after)
                .with("VerdiNavn", name)
        })
        .collect();
    let what = match (&step.before, step.after.rest.deleted) {
        (None, _) => "Opprettet",
        (_, true) => "Slettet",
        _ => "Endret",
    };
    let entity = Object::new()
        .with("EndredeVerdier", values)
        .with("EndringsType", what)
        .with(
            "EntitetsIder",
            vec![Value::from(step.after.hpr.to_string())],
        )
        .with("EntitetsType", "Person")
        .with("Id", 1);
    let user = Some(step.after.by.clone()).filter(|by| !by.is_empty());
    let orgnr = user
        .as_deref()
        .and_then(|user| user.strip_prefix("OrgUsr"))
        .map(str::to_owned);
    Object::new()
        .with("BrukersVirksomhet", orgnr)
        .with("EndredeEntiteter", vec![entity])
        .with("FaktiskBruker", None::<String>)
        .with("Id", step.version)
        .with("Sporingsgruppe", None::<String>)
        .with("Sporingsveri", None::<String>)
        .with("Tidspunkt", written(step.at))
        .with("Tjenestebruker", user)
}
