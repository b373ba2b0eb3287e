//! Reading operations on single parties and their relations.

use super::codes;
use super::view::{Depth, with_offset};
use super::{AddressRegister, Dialect, time};
use edge::soap::{Fault, Object, Value};
use registers::kernel::identifiers::Packed;
use registers::parties::register::Held;

/// Most HER-ids of one question.
const MAX_HER_IDS: usize = 1_000;
/// Most versions of a party in its change log.
const MAX_VERSIONS: usize = 200;

impl AddressRegister {
    fn list(&self, parties: &[Held], dialect: Dialect) -> Value {
        let objects: Vec<Object> = parties
            .iter()
            .map(|p| self.object(&p.content, dialect, Depth::Alone))
            .collect();
        objects.into()
    }

    /// Of one declared type: no `i:type` on the items.
    fn organisations(&self, parties: &[Held], dialect: Dialect) -> Value {
        self.list(parties, dialect)
    }

    /// By HER-id, organisation number, HPR number or RESH id, whichever the text is.
    pub(super) fn search_by_id(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let id = request.text("id").unwrap_or_default();
        let mut found: Vec<Held> = Vec::new();
        if !id.is_empty() && id.len() <= 12 && id.bytes().all(|b| b.is_ascii_digit()) {
            found.extend(id.parse().ok().and_then(|her_id| self.parties.get(her_id)));
            found.extend(self.parties.of_organisation(id));
            found.extend(self.parties.of_hpr(id));
            let unit = Packed::digits(id).and_then(|id| self.resh.find(id));
            let of_unit = unit.and_then(|u| self.parties.get(u.content.her_id?));
            found.extend(of_unit);
            let of_unit = self
                .businesses
                .get(id)
                .and_then(|b| b.content.parent.clone());
            if let Some(main) = of_unit {
                found.extend(self.parties.of_organisation(&main));
            }
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|p| seen.insert(p.content.her_id));
        Ok(self.list(&found, dialect))
    }

    pub(super) fn changed_info(&self, request: &Object) -> Result<Value, Fault> {
        let her_ids: Vec<i64> = request.ints("herIds").collect();
        if her_ids.len() > MAX_HER_IDS {
            return Err(Fault::generic(
                "TooManyHerIds",
                format!("Det kan spørres om høyst {MAX_HER_IDS} HER-id-er om gangen."),
            ));
        }
        let objects: Vec<Object> = her_ids
            .into_iter()
            .filter_map(|her_id| self.get(her_id).ok())
            .map(|party| {
                Object::new()
                    .with("HerId", party.content.her_id)
                    .with("LastUpdated", time(party.content.changed))
            })
            .collect();
        Ok(objects.into())
    }

    /// Organisations of this type, or with a service of this code.
    pub(super) fn having_code(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let Some((list, value)) = codes::read(request.object("code")) else {
            return Err(Fault::generic(
                "InvalidCode",
                "Koden må ha CodeValue og OID.",
            ));
        };
        let list_text = list.to_string();
        let has = |party: &Held| {
            let own = list == 9040 && party.content.business_type.as_deref() == Some(&value);
            let property = |p: &Held| {
                p.content
                    .properties
                    .iter()
                    .any(|c| c.list == list_text && c.code == value)
            };
            own || property(party)
                || self.parties.children(party.content.her_id).iter().any(|c| {
                    let service = c.content.service.as_ref();
                    service.is_some_and(|s| s.list == list_text && s.code == value)
                })
        };
        let found: Vec<Held> = self
            .parties
            .organisations()
            .into_iter()
            .filter(has)
            .collect();
        Ok(self.organisations(&found, dialect))
    }

    pub(super) fn owned_by(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let owner = self.get(request.int("herId").unwrap_or(0))?.content.her_id;
        let found: Vec<Held> = self
            .parties
            .organisations()
            .into_iter()
            .filter(|p| p.content.owner == Some(owner))
            .collect();
        Ok(self.organisations(&found, dialect))
    }

    /// Organisations that take part in this inter-municipal body.
    pub(super) fn iks_children(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let body = self.get(request.int("herId").unwrap_or(0))?.content.her_id;
        let found: Vec<Held> = self
            .parties
            .organisations()
            .into_iter()
            .filter(|p| p.content.iks.contains(&body))
            .collect();
        Ok(self.organisations(&found, dialect))
    }

    /// Inter-municipal bodies that this organisation takes part in.
    pub(super) fn iks_parents(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let party = self.get(request.int("herId").unwrap_or(0))?;
        let found: Vec<Held> = party
            .content
            .iks
            .iter()
            .filter_map(|h| self.parties.get(*h))
            .collect();
        Ok(self.organisations(&found, dialect))
    }

    pub(super) fn attributes(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let her_ids: Vec<i64> = request.ints("herIds").take(MAX_HER_IDS).collect();
        let objects: Vec<Object> = her_ids
            .into_iter()
            .filter_map(|her_id| self.get(her_id).ok())
            .map(|party| {
                let codes: Vec<Object> = party
                    .content
                    .attributes
                    .iter()
                    .filter_map(|c| Some(codes::code(c.list.parse().ok()?, &c.code, dialect)))
                    .collect();
                Object::new()
                    .with("key", party.content.her_id)
                    .with("value", codes)
            })
            .collect();
        Ok(objects.into())
    }

    /// Entries of the change log of a party, newest first: what differed between two versions.
    pub(super) fn change_log(&self, request: &Object, dialect: Dialect) -> Result<Value, Fault> {
        let party = self.get(request.int("herId").unwrap_or(0))?;
        let versions = self
            .parties
            .versions(party.content.her_id, MAX_VERSIONS)
            .map_err(|error| {
                tracing::error!(%error, "the change log of a party could not be read");
                Fault::internal()
            })?;
        let mut entries: Vec<Object> = Vec::new();
        for (at, version) in versions.iter().enumerate() {
            let older = versions.get(at + 1).map(|v| &v.entry.content);
            let changes = super::statistics::differences(older, &version.entry.content);
            let what = if older.is_none() {
                "Opprettet"
            } else {
                "Endret"
            };
            let mut entry = Object::new().with("ByUser", version.entry.content.by.clone());
            if dialect != Dialect::Soap2016 {
                entry.set("ByUserId", None::<String>);
            }
            entry.set("Changes", changes);
            entry.set("Description", what);
            entry.set("Time", with_offset(version.written));
            entries.push(entry);
        }
        Ok(entries.into())
    }
}
