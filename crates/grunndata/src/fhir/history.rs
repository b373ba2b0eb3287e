//! Earlier versions of what is public: the registers keep every version of an entry. What a resource takes from other
//! registers (endpoints, opening hours) is as it is now in all of them.

use super::directory::Registers;
use super::elements::Elements;
use super::kinds::Kind;
use super::parties::{self, Party};
use super::refusal::Refusal;
use super::values::instant;
use super::{organisations, personnel};
use fhir::build::Json;
use registers::kernel::EntryId;
use registers::kernel::identifiers::Packed;
use registers::kernel::log::{Content, RegisterLog, Version};
use registers::kernel::period::Moment;
use registers::personnel::register::person;
use serde_json::{Value, json};
use std::sync::Arc;
use store::StoreError;

/// Most versions of one history, the newest ones.
pub(super) const MAX_VERSIONS: usize = 100;

/// A version of a resource.
pub(super) struct Past {
    pub(super) version: u32,
    pub(super) written: Moment,
    pub(super) resource: Value,
}

/// Whether resources of a type have versions. Of endpoints and places none are kept: they are made of parts of parties and
/// units.
pub(super) fn is_versioned(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Practitioner | Kind::PractitionerRole | Kind::Organization | Kind::HealthcareService
    )
}

fn past<C: Content>(
    log: &RegisterLog<C>,
    id: EntryId,
    limit: usize,
    make: impl Fn(&Version<C>) -> Option<Value>,
) -> Result<Vec<Past>, StoreError> {
    let versions = log.versions(id, limit)?;
    let made = versions.iter().filter_map(|version| {
        Some(Past {
            version: version.version,
            written: version.written,
            resource: stamped(make(version)?, version.version, version.written),
        })
    });
    Ok(made.take(limit).collect())
}

/// With version and time in `meta`.
fn stamped(mut resource: Value, version: u32, written: Moment) -> Value {
    if let Some(meta) = resource.get_mut("meta").and_then(Value::as_object_mut) {
        meta.insert("versionId".to_owned(), json!(version.to_string()));
        meta.insert("lastUpdated".to_owned(), json!(instant(written)));
    }
    resource
}

impl Registers {
    /// Versions of a resource, newest first; `None` when there is none with this id, or none are kept of it. Reads the
    /// store: for blocking threads.
    pub(super) fn versions(
        &self,
        kind: Kind,
        id: &str,
        elements: &Elements,
        (now, limit): (Moment, usize),
    ) -> Result<Option<Vec<Past>>, StoreError> {
        let found = match kind {
            Kind::Practitioner => {
                let hpr = personnel::hpr_of(id);
                let Some(held) = hpr.and_then(|hpr| self.personnel.by_hpr(hpr)) else {
                    return Ok(None);
                };
                past(self.personnel.register().log(), held.id, limit, |version| {
                    let held = Arc::new(version.entry.clone());
                    let found = person(&held).filter(|p| !p.rest.deleted)?;
                    Some(personnel::resource(found, elements, now))
                })?
            }
            Kind::Organization if id.starts_with("enh-") => {
                let orgnr = id.strip_prefix("enh-").unwrap_or_default();
                let Some(held) = self.businesses.get(orgnr) else {
                    return Ok(None);
                };
                past(
                    self.businesses.register().log(),
                    held.id,
                    limit,
                    |version| {
                        let business = &version.entry.content;
                        (business.orgnr == orgnr).then(|| self.business(business, elements, now))
                    },
                )?
            }
            Kind::Organization if id.starts_with("resh-") => {
                let number = id
                    .strip_prefix("resh-")
                    .and_then(|id| id.parse::<u32>().ok());
                let Some(held) = number.and_then(|no| self.resh.find(Packed(no.into()))) else {
                    return Ok(None);
                };
                past(self.resh.log(), held.id, limit, |version| {
                    Some(organisations::resh(&version.entry.content, elements, now))
                })?
            }
            Kind::Organization | Kind::HealthcareService | Kind::PractitionerRole => {
                let her_id = parties::her_id_of(id);
                let Some(held) = her_id.and_then(|her_id| self.parties.get(her_id)) else {
                    return Ok(None);
                };
                let parent = self.parties.parent(&held.content);
                past(self.parties.register().log(), held.id, limit, |version| {
                    let party = Party {
                        record: &version.entry.content,
                        parent: parent.as_deref().map(|entry| &entry.content),
                    };
                    match kind {
                        Kind::Organization => party.organization(elements, now),
                        Kind::PractitionerRole => self.party_role(party, elements, now),
                        _ => self.party_service(party, elements, now),
                    }
                })?
            }
            _ => return Ok(None),
        };
        Ok((!found.is_empty()).then_some(found))
    }

    /// The resource as it is now, with its version where versions are kept.
    pub(super) fn read_versioned(
        &self,
        kind: Kind,
        id: &str,
        elements: &Elements,
        now: Moment,
    ) -> Result<Option<Value>, StoreError> {
        let Some(resource) = self.read(kind, id, elements, now) else {
            return Ok(None);
        };
        let newest = self.versions(kind, id, elements, (now, 1))?;
        let newest = newest.and_then(|all| all.into_iter().next());
        Ok(Some(match newest {
            Some(past) => stamped(resource, past.version, past.written),
            None => resource,
        }))
    }
}

/// A bundle of versions. `base`: address of the service.
pub(super) fn bundle(base: &str, kind: Kind, id: &str, versions: Vec<Past>) -> Value {
    let url = format!("{}/{id}", kind.name());
    // When there may be more, nobody has counted them.
    let total = (versions.len() < MAX_VERSIONS).then_some(versions.len());
    let entries = versions.into_iter().map(|past| {
        let (method, status) = match past.version {
            1 => ("POST", "201"),
            _ => ("PUT", "200"),
        };
        let asked = if past.version == 1 { kind.name() } else { &url };
        json!({
            "fullUrl": format!("{base}/{url}"),
            "resource": past.resource,
            "request": { "method": method, "url": asked },
            "response": {
                "status": status,
                "etag": format!("W/\"{}\"", past.version),
                "lastModified": instant(past.written),
            },
        })
    });
    Json::resource("Bundle")
        .put("type", "history")
        .maybe("total", total)
        .put(
            "link",
            json!([{ "relation": "self", "url": format!("{base}/{url}/_history") }]),
        )
        .list("entry", entries)
        .build()
}

/// The version of a number.
pub(super) fn of_number(versions: Vec<Past>, number: &str) -> Result<Value, Refusal> {
    let number = number.parse::<u32>().ok();
    let found = versions.into_iter().find(|p| Some(p.version) == number);
    found.map(|past| past.resource).ok_or_else(|| {
        Refusal::not_found(format!(
            "there is no such version; the newest {MAX_VERSIONS} are in _history"
        ))
    })
}
