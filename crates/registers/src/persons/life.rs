//! How a person document changes: which events a new version brings, and how two persons become one and two again.

use super::codes::{IdentifierKind, OtherPart, PersonEvent, PersonStatus};
use super::document::{Identifier, PersonDocument};
use crate::kernel::EntryId;
use crate::kernel::identifiers::{Claims, Packed};
use crate::kernel::log::Content;
use crate::kernel::period::Moment;
use crate::kernel::timeline::{Origin, Timeline};
use store::{Alias, PersonRef};

/// Repository of the person register.
pub const REPOSITORY: &str = "persons";

impl Content for PersonDocument {
    type Kind = PersonEvent;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        Claims {
            identifiers: self
                .identifiers
                .all()
                .filter(|h| !h.annulled)
                .map(|h| (h.value.number, h.value.in_use, h.valid))
                .collect(),
            merged_into: self.merged_into,
        }
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<PersonEvent> {
        match before {
            None => created(after),
            Some(before) => changed(before, after),
        }
    }

    /// Once a person is strictly confidential, no earlier version may keep an address.
    fn erases(before: &Self, after: &Self) -> bool {
        after.is_bare() && !before.is_bare()
    }

    fn aliases(before: Option<&Self>, after: &Self, merged_into: Option<&Self>) -> Vec<Alias> {
        let mut aliases = Vec::new();
        let mine = leading(after).map(reference);
        match (before.and_then(|b| b.merged_into), after.merged_into) {
            (None, Some(_)) => {
                let to = merged_into.and_then(leading).map(reference);
                if let (Some(from), Some(to)) = (mine.clone(), to) {
                    aliases.push(Alias::Merge { from, to });
                }
            }
            (Some(_), None) => aliases.extend(mine.clone().map(|from| Alias::Split { from })),
            _ => {}
        }
        // Numbers that came through a merge are joined by the merge itself, so that a split can take them apart.
        if after.absorbed.is_empty()
            && let Some(person) = mine
        {
            for held in after.identifiers.all().filter(|h| !h.annulled) {
                let number = held.value.number;
                let known = |d: &Self| d.identifiers.all().any(|h| h.value.number == number);
                if leading(after) != Some(number) && !before.is_some_and(known) {
                    aliases.push(Alias::AlsoKnownAs {
                        person: person.clone(),
                        system: crate::FNR_SYSTEM.to_owned(),
                        value: held.value.text(),
                    });
                }
            }
            let renumbered = before
                .and_then(leading)
                .filter(|old| leading(after) != Some(*old));
            if let Some(old) = renumbered {
                aliases.push(Alias::AlsoKnownAs {
                    person,
                    system: crate::FNR_SYSTEM.to_owned(),
                    value: old.text(11),
                });
            }
        }
        aliases
    }
}

fn reference(number: Packed) -> PersonRef {
    PersonRef::id(crate::FNR_SYSTEM, number.text(11))
}

/// The identifier under which the person is known today: in use before discontinued; fødselsnummer, D-number,
/// help number in this order; of equals the one learnt last.
#[must_use]
pub fn leading(document: &PersonDocument) -> Option<Packed> {
    best(
        document
            .identifiers
            .all()
            .filter(|h| !h.annulled)
            .map(|h| &h.value),
    )
}

/// The best of some identifiers, by the same order.
pub fn best<'a>(identifiers: impl Iterator<Item = &'a Identifier>) -> Option<Packed> {
    identifiers
        .filter(|i| i.kind != IdentifierKind::ImmigrationAuthoritiesNumber)
        .max_by_key(|i| (i.in_use, std::cmp::Reverse(i.kind.code())))
        .map(|i| i.number)
}

fn has_help_number(document: &PersonDocument) -> bool {
    let kind = IdentifierKind::AlternateIdentificationNumber;
    document.identifiers.all().any(|h| h.value.kind == kind)
}

fn created(after: &PersonDocument) -> Vec<PersonEvent> {
    let mut events = vec![PersonEvent::PersonIsCreated];
    if has_help_number(after) {
        events.push(PersonEvent::CreatedAlternateIdentificationNumber);
    }
    events
}

fn changed(before: &PersonDocument, after: &PersonDocument) -> Vec<PersonEvent> {
    use PersonEvent as E;
    let mut events = Vec::new();
    match (before.merged_into, after.merged_into) {
        (None, Some(_)) => events.push(E::PersonIsDiscontinuedAsDuplicate),
        (Some(_), None) => events.push(E::PersonIsRestoredBySplitting),
        (Some(a), Some(b)) if a != b => events.push(E::PersonIsDiscontinuedAsDuplicate),
        _ => {}
    }
    let more = |a: &PersonDocument, b: &PersonDocument| {
        b.absorbed.keys().any(|id| !a.absorbed.contains_key(id))
    };
    if more(before, after) {
        events.push(E::PersonIsContinuedAsValidUponMerger);
    }
    if more(after, before) {
        events.push(E::PersonIsChangedBySplitting);
    }
    identifier_events(before, after, &mut events);
    if before.status != after.status {
        events.push(E::ChangeInStatus);
        events.extend(status_event(before, after));
    }
    if before.residential != after.residential {
        events.push(residential_event(before, after));
    }
    let parts = [
        (before.name != after.name, E::ChangeInName),
        (before.birth != after.birth, E::ChangeInBirth),
        (before.gender != after.gender, E::ChangeInGender),
        (before.death != after.death, E::ChangeInDeath),
        (before.present != after.present, E::ChangeInPresentAddress),
        (before.shared != after.shared, E::ChangeInSharedResidence),
        (
            before.protection != after.protection,
            E::ChangeInAddressProtection,
        ),
        (before.family != after.family, E::ChangeInFamilyRelation),
        (
            before.parental != after.parental,
            E::ChangeInParentalResponsibility,
        ),
        (before.marital != after.marital, E::ChangeInMaritalStatus),
        (
            before.citizenship != after.citizenship,
            E::ChangeInCitizenship,
        ),
        (
            before.guardianship != after.guardianship,
            E::ChangeInGuardianship,
        ),
    ];
    events.extend(
        parts
            .into_iter()
            .filter(|(differs, _)| *differs)
            .map(|(_, e)| e),
    );
    for part in OtherPart::ALL {
        let nothing = Timeline::default();
        let of = |d: &PersonDocument| d.other.get(part).cloned();
        if of(before).as_ref().unwrap_or(&nothing) != of(after).as_ref().unwrap_or(&nothing) {
            events.push(other_event(*part));
        }
    }
    if events.is_empty() {
        events.push(E::ChangeInPerson);
    }
    events
}

fn identifier_events(
    before: &PersonDocument,
    after: &PersonDocument,
    events: &mut Vec<PersonEvent>,
) {
    use IdentifierKind as K;
    let of = |d: &PersonDocument, kind: &[IdentifierKind]| -> Vec<_> {
        let chosen = d.identifiers.all().filter(|h| kind.contains(&h.value.kind));
        chosen.cloned().collect()
    };
    let differs = |kind: &[IdentifierKind]| of(before, kind) != of(after, kind);
    if differs(&[K::NationalIdentityNumber, K::DNumber]) {
        events.push(PersonEvent::ChangeInNorwegianIdentificationNumber);
    }
    if differs(&[K::AlternateIdentificationNumber]) {
        events.push(if has_help_number(before) {
            PersonEvent::UpdatedAlternateIdentificationNumber
        } else {
            PersonEvent::CreatedAlternateIdentificationNumber
        });
    }
    if differs(&[K::ImmigrationAuthoritiesNumber]) {
        events.push(PersonEvent::ChangeInImmigrationAuthoritiesIdentificationNumber);
    }
}

/// The status known last, whenever it begins.
fn last_status(document: &PersonDocument) -> Option<PersonStatus> {
    let last = document
        .status
        .all()
        .filter(|h| !h.annulled && !h.valid.is_empty())
        .last();
    last.map(|h| h.value)
}

fn status_event(before: &PersonDocument, after: &PersonDocument) -> Option<PersonEvent> {
    let (old, new) = (last_status(before), last_status(after)?);
    if old == Some(new) {
        return None;
    }
    let was_out = matches!(
        old,
        Some(PersonStatus::Discontinued | PersonStatus::Inactive)
    );
    match new {
        PersonStatus::Deceased => Some(PersonEvent::PersonIsDeceased),
        PersonStatus::Resident => Some(PersonEvent::PersonIsResident),
        PersonStatus::Emigrated => Some(PersonEvent::PersonIsEmigrated),
        PersonStatus::Discontinued => Some(PersonEvent::PersonIsDiscontinued),
        _ if was_out => Some(PersonEvent::PersonIsReactivated),
        _ => None,
    }
}

fn residential_event(before: &PersonDocument, after: &PersonDocument) -> PersonEvent {
    let last = |d: &PersonDocument| {
        let held = d
            .residential
            .all()
            .filter(|h| !h.annulled && !h.valid.is_empty())
            .last();
        held.map(|h| h.value.moved)
    };
    match (last(before), last(after)) {
        (Some(Some(old)), Some(Some(new))) if old == new => {
            PersonEvent::ChangeInResidentialAddressWithoutRelocation
        }
        _ => PersonEvent::ChangeInResidentialAddress,
    }
}

fn other_event(part: OtherPart) -> PersonEvent {
    use {OtherPart as P, PersonEvent as E};
    match part {
        P::BirthInNorway => E::ChangeInBirthInNorway,
        P::CitizenshipRetention => E::ChangeInCitizenship,
        P::UseOfSamiLanguage => E::ChangeInUseOfSamiLanguage,
        P::SamiParliamentElectoralRegistryStatus => {
            E::ChangeInSamiParliamentElectoralRegistryStatus
        }
        P::FalseIdentity => E::ChangeInFalseIdentity,
        P::IdentityVerification => E::ChangeInIdentityVerification,
        P::ImmigrationToNorway => E::ChangeInImmigrationToNorway,
        P::EmigrationFromNorway => E::ChangeInEmigrationFromNorway,
        P::ResiduaryEstateContactInformation => E::ChangeInResiduaryEstateContactInformation,
        P::IdentificationDocument => E::ChangeInIdentificationDocument,
        P::ResidencePermit => E::ChangeInResidencePermit,
        P::StayOnSvalbard => E::ChangeInResidencyOnSvalbard,
        P::PostalAddress => E::ChangeInPostalAddress,
        P::ForeignPostalAddress => E::ChangeInForeignPostalAddress,
        P::PreferredContactAddress => E::ChangeInContactinformation,
        P::ForeignPersonIdentificationNumber => E::ChangeInForeignPersonIdentificationNumber,
        P::DeprivedLegalAuthority => E::ChangeInDeprivedLegalAuthority,
        P::CommonContactRegisterInformation => E::ChangeInCommonContactRegisterInformation,
        P::LegalAuthority => E::ChangeInLegalAuthority,
    }
}

/// Two persons were found to be one. `gone` keeps its document and leads to `stays`, which takes over its numbers as
/// discontinued.
pub fn merge(
    gone: (EntryId, &mut PersonDocument),
    stays: (EntryId, &mut PersonDocument),
    at: Moment,
) {
    for number in current(gone.1, at) {
        let ended = Identifier {
            in_use: false,
            ..number
        };
        if number.in_use {
            let _ = gone.1.identifiers.end_where(at, |i| *i == number);
            let _ = gone.1.identifiers.add(ended, at, Origin::at(at));
        }
        let _ = stays.1.identifiers.add(ended, at, Origin::at(at));
    }
    gone.1.merged_into = Some(stays.0);
    stays.1.absorbed.insert(gone.0, at);
}

/// The merge was a mistake: `gone` stands alone again and has its numbers back.
pub fn split(
    gone: (EntryId, &mut PersonDocument),
    stays: (EntryId, &mut PersonDocument),
    at: Moment,
) {
    let merged = stays.1.absorbed.remove(&gone.0);
    let lines: Vec<_> = gone.1.identifiers.at(at).cloned().collect();
    for line in lines {
        let number = line.value;
        // What ended with the merge is in use again; what had ended before stays ended.
        if !number.in_use && merged.is_some() && line.valid.from == merged {
            let again = Identifier {
                in_use: true,
                ..number
            };
            let _ = gone.1.identifiers.end_where(at, |i| *i == number);
            let _ = gone.1.identifiers.add(again, at, Origin::at(at));
        }
        let _ = stays.1.identifiers.annul_where(|i| *i == number);
    }
    gone.1.merged_into = None;
}

fn current(document: &PersonDocument, at: Moment) -> Vec<Identifier> {
    document.identifiers.at(at).map(|h| h.value).collect()
}

#[cfg(test)]
mod tests;
