//! A person document (`folkeregisterperson`) as the register's own, and how it takes the place of an earlier one.

use super::Wrong;
use super::fact::{self, Fact};
use super::tree::Tree;
use crate::kernel::timeline::{Held, Timeline};
use crate::persons::PersonDocument;
use crate::persons::codes::{IdentifierKind, OtherPart};

/// Most entries of one person.
const MAX_ENTRIES: usize = 10_000;

/// Reads a person document.
///
/// # Errors
/// When something in it cannot be what the schema says; nothing of it is used then.
pub fn read(tree: &Tree) -> Result<PersonDocument, Wrong> {
    let mut document = PersonDocument::default();
    for (at, (element, entry)) in tree.members().enumerate() {
        if at >= MAX_ENTRIES {
            return Err(Wrong::TooMuch("10 000 entries of one person"));
        }
        if let Some(fact) = fact::read(element, entry)? {
            put(&mut document, fact);
        }
    }
    if document.identifiers.is_empty() {
        return Err(Wrong::Missing("identifikasjonsnummer"));
    }
    Ok(document)
}

fn put(document: &mut PersonDocument, fact: Fact) {
    let d = document;
    match fact {
        Fact::Identifier(held) => d.identifiers.push(held),
        Fact::Name(held) => d.name.push(held),
        Fact::Birth(held) => d.birth.push(held),
        Fact::Gender(held) => d.gender.push(held),
        Fact::Status(held) => d.status.push(held),
        Fact::Death(held) => d.death.push(held),
        Fact::Residential(held) => d.residential.push(held),
        Fact::Present(held) => d.present.push(held),
        Fact::Shared(held) => d.shared.push(held),
        Fact::Protection(held) => d.protection.push(held),
        Fact::Family(held) => d.family.push(held),
        Fact::Parental(held) => d.parental.push(held),
        Fact::Marital(held) => d.marital.push(held),
        Fact::Citizenship(held) => d.citizenship.push(held),
        Fact::Guardianship(held) => d.guardianship.push(held),
        Fact::Other(part, held) => d.other.entry(part).or_default().push(held),
    }
}

/// The new document in place of the old one, with what the population register does not know: help numbers, the contact
/// register, merges.
#[must_use]
pub fn replacing(old: &PersonDocument, mut new: PersonDocument) -> PersonDocument {
    let help = IdentifierKind::AlternateIdentificationNumber;
    let ours = |held: &&Held<_>| {
        let held: &Held<crate::persons::document::Identifier> = held;
        held.value.kind == help || !new_has(&new, held)
    };
    let kept: Vec<_> = old.identifiers.all().filter(ours).cloned().collect();
    for mut held in kept {
        // A number that the population register does not list any more still leads here.
        held.value.in_use &= held.value.kind == help;
        new.identifiers.push(held);
    }
    let contact = OtherPart::CommonContactRegisterInformation;
    if let Some(line) = old.other.get(&contact) {
        new.other.entry(contact).or_insert_with(|| line.clone());
    }
    new.merged_into = old.merged_into;
    new.absorbed.clone_from(&old.absorbed);
    new
}

fn new_has(new: &PersonDocument, held: &Held<crate::persons::document::Identifier>) -> bool {
    let line: &Timeline<_> = &new.identifiers;
    line.all().any(|h| h.value.number == held.value.number)
}
