//! Which elements of a resource are shown (`_elements`), and which parts of the person register they need: nothing else is
//! read, and the access journal names them.

use super::kinds::Kind;
use crate::persons::parts::{Part, Parts};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most names in `_elements`.
const MAX_NAMES: usize = 50;

/// Elements asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elements {
    kind: Kind,
    /// `None` = all.
    names: Option<BTreeSet<String>>,
}

impl Elements {
    /// From the values of `_elements`; `Type.name` is the same as `name`.
    pub(super) fn read<'a>(kind: Kind, values: impl Iterator<Item = &'a str>) -> Self {
        let prefix = format!("{}.", kind.name());
        let mut names: BTreeSet<String> = values
            .flat_map(|value| value.split(','))
            .map(|name| {
                let name = name.trim();
                name.strip_prefix(&prefix).unwrap_or(name)
            })
            .filter(|name| !name.is_empty())
            .take(MAX_NAMES)
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            match kind.shown_unasked() {
                None => return Self { kind, names: None },
                Some(usual) => names.extend(usual.iter().map(|name| (*name).to_owned())),
            }
        }
        names.extend(kind.always().iter().map(|name| (*name).to_owned()));
        Self {
            kind,
            names: Some(names),
        }
    }

    /// Everything; of a personal type what is shown unasked.
    pub(super) fn whole(kind: Kind) -> Self {
        Self::read(kind, std::iter::empty())
    }

    /// Whether an element is shown.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }

    /// The resource with the elements asked for only, marked as a part of the whole.
    pub(super) fn of(&self, mut resource: Value) -> Value {
        let (Some(_), Some(members)) = (&self.names, resource.as_object_mut()) else {
            return resource;
        };
        members.retain(|name, _| {
            let plain = name.strip_prefix('_').unwrap_or(name);
            matches!(plain, "resourceType" | "id" | "meta") || self.has(plain)
        });
        let meta = members.entry("meta").or_insert_with(|| json!({}));
        meta["tag"] = json!([{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "SUBSETTED",
        }]);
        resource
    }

    /// Parts of the person register that are needed. The protection always is.
    pub(super) fn parts(&self, with_confidential: bool) -> Parts {
        let by_element: &[(&str, &[Part])] = match self.kind {
            Kind::RelatedPerson => &[(
                "relationship",
                &[
                    Part::FamilyRelation,
                    Part::ParentalResponsibility,
                    Part::MaritalStatus,
                    Part::GuardianshipOrFuturePowerOfAttorney,
                ],
            )],
            _ => &[
                ("gender", &[Part::Gender]),
                ("birthDate", &[Part::Birth]),
                ("deceased", &[Part::Death]),
                ("deceasedDateTime", &[Part::Death]),
                (
                    "address",
                    &[
                        Part::ResidentialAddress,
                        Part::PresentAddress,
                        Part::SharedResidence,
                        Part::PostalAddress,
                        Part::ForeignPostalAddress,
                        Part::PreferredContactAddress,
                    ],
                ),
                (
                    "extension",
                    &[
                        Part::Status,
                        Part::Death,
                        Part::Birth,
                        Part::BirthInNorway,
                        Part::ImmigrationToNorway,
                        Part::EmigrationFromNorway,
                        Part::Citizenship,
                        Part::ResidencePermit,
                    ],
                ),
            ],
        };
        let mut parts: Parts = [Part::AddressProtection, Part::NorwegianIdentificationNumber]
            .into_iter()
            .collect();
        if self.has("name") {
            parts.insert(Part::Name);
        }
        if self.kind == Kind::Person && with_confidential {
            parts.insert(Part::ImmigrationAuthoritiesIdentificationNumber);
            parts.insert(Part::ForeignPersonIdentificationNumber);
        }
        for (_, needed) in by_element.iter().filter(|(name, _)| self.has(name)) {
            let wanted = needed
                .iter()
                .filter(|part| with_confidential || !part.is_confidential());
            wanted.for_each(|part| parts.insert(*part));
        }
        if self.kind == Kind::RelatedPerson {
            // Without them it is not known who is related.
            let relations = by_element.iter().flat_map(|(_, needed)| needed.iter());
            relations.for_each(|part| parts.insert(*part));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, text: &str) -> Elements {
        Elements::read(kind, std::iter::once(text))
    }

    #[test]
    fn a_person_shows_identifiers_unless_more_is_asked_for() {
        let usual = read(Kind::Person, "");
        assert!(usual.has("identifier") && !usual.has("name"));
        let asked = read(Kind::Person, "name, Person.address");
        assert!(asked.has("identifier") && asked.has("name") && asked.has("address"));
        assert!(read(Kind::Patient, "").has("name"));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let whole = json!({"resourceType": "Person", "id": "1", "gender": "male", "_gender": {}, "name": [1]});
        let part = read(Kind::Person, "name").of(whole.clone());
        let mut names: Vec<&String> = part.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["id", "meta", "name", "resourceType"]);
        assert_eq!(part["meta"]["tag"][0]["code"], "SUBSETTED");
        assert_eq!(read(Kind::Patient, "").of(whole.clone()), whole);
    }

    #[test]
    fn confidential_parts_are_not_even_read_without_a_basis() {
        let all = read(Kind::Person, "name,gender,birthDate,address,extension");
        let open = all.parts(false);
        assert!(open.iter().all(|part| !part.is_confidential()));
        assert!(all.parts(true).contains(Part::ResidencePermit));
        assert!(
            !read(Kind::Person, "name")
                .parts(true)
                .contains(Part::ResidentialAddress)
        );
    }
}
