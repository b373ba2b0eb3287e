//! `Patient` in clinical repositories: a view from the register, not a record (spec/fhir-server.md §8.1).
//!
//! Its id is a keyed permutation of the person key, another key per repository: one AES block, reversible by the hub
//! only, so that ids of two repositories cannot be joined.

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use fhir::build::Json;
use registers::{Person, Protection, Sex};
use serde_json::{Value, json};
use store::PersonKey;

const TAG: u64 = 0x6865_6c73_656e_6176;

/// Makes and reads the Patient ids of one repository.
pub struct PatientIds {
    seal: EncryptingKey,
    open: DecryptingKey,
}

impl PatientIds {
    /// From the repository's 32-byte key; `None` when it is not 32 bytes.
    pub fn new(key: &[u8]) -> Option<Self> {
        let unbound = || UnboundCipherKey::new(&AES_256, key).ok();
        Some(Self {
            seal: EncryptingKey::ecb(unbound()?).ok()?,
            open: DecryptingKey::ecb(unbound()?).ok()?,
        })
    }

    /// Id of a person in this repository: 32 hexadecimal digits.
    pub fn id(&self, person: PersonKey) -> Option<String> {
        let mut block: Vec<u8> = TAG
            .to_be_bytes()
            .into_iter()
            .chain(person.0.to_be_bytes())
            .collect();
        self.seal
            .less_safe_encrypt(&mut block, EncryptionContext::None)
            .ok()?;
        Some(block.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// The person behind an id of this repository; `None` for anything else.
    pub fn person(&self, id: &str) -> Option<PersonKey> {
        let mut block = Vec::with_capacity(16);
        let mut digits = id.bytes();
        while let Some(high) = digits.next() {
            let nibble = |c: u8| match c {
                b'0'..=b'9' => Some(c - b'0'),
                b'a'..=b'f' => Some(c - b'a' + 10),
                _ => None,
            };
            block.push(nibble(high)? << 4 | nibble(digits.next()?)?);
            if block.len() > 16 {
                return None;
            }
        }
        if block.len() != 16 {
            return None;
        }
        let plain = self
            .open
            .decrypt(&mut block, DecryptionContext::None)
            .ok()?;
        let (tag, key) = plain.split_at_checked(8)?;
        (u64::from_be_bytes(tag.try_into().ok()?) == TAG)
            .then_some(PersonKey(u64::from_be_bytes(key.try_into().ok()?)))
    }
}

/// The register's person as R4 Patient (no-basis shape), without what the reader may not see.
pub fn view(id: &str, person: &Person, hide_address: bool) -> Value {
    let hides = hide_address || person.protection > Protection::Unclassified;
    let address = person.address.as_ref().filter(|_| !hides).map(|address| {
        json!([{
            "use": "home",
            "line": [address.street],
            "city": address.place,
            "postalCode": address.postcode,
            "country": "NO",
        }])
    });
    Json::resource("Patient")
        .put("id", id)
        .put(
            "meta",
            json!({ "profile": ["http://hl7.no/fhir/StructureDefinition/no-basis-Patient"] }),
        )
        .put(
            "identifier",
            json!([{ "system": registers::FNR_SYSTEM, "value": person.nin }]),
        )
        .put(
            "name",
            json!([{ "use": "official", "family": person.name.family, "given": given(person) }]),
        )
        .put(
            "gender",
            match person.sex {
                Sex::Female => "female",
                Sex::Male => "male",
            },
        )
        .maybe("birthDate", person.born.map(|d| d.to_string()))
        .maybe("deceasedDateTime", person.died.map(|d| d.to_string()))
        .maybe("address", address)
        .build()
}

fn given(person: &Person) -> Vec<&str> {
    std::iter::once(person.name.given.as_str())
        .chain(person.name.middle.as_deref())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_reversible_and_differ_between_repositories() {
        let (a, b) = (
            PatientIds::new(&[1; 32]).unwrap(),
            PatientIds::new(&[2; 32]).unwrap(),
        );
        let id = a.id(PersonKey(42)).unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(a.person(&id), Some(PersonKey(42)));
        assert_ne!(b.id(PersonKey(42)).unwrap(), id);
        assert_eq!(b.person(&id), None);
    }

    #[test]
    fn anything_else_is_nobody() {
        let ids = PatientIds::new(&[1; 32]).unwrap();
        for text in [
            "",
            "42",
            "zz",
            &"0".repeat(31),
            &"0".repeat(32),
            &"0".repeat(64),
            "ÆØÅ",
        ] {
            assert_eq!(ids.person(text), None, "{text}");
        }
    }
}
