//! `facts.json` as a vendor reads it (DESIGN §4.1): by name, failing with the name of what is missing.

use anyhow::{Context, Result};
use serde_json::Value;

/// The file.
#[derive(Clone, Debug)]
pub struct Facts(pub Value);

impl Facts {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not JSON, or has no base.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(bytes)?;
        value["base"].as_str().context("no base")?;
        Ok(Self(value))
    }

    /// A text by JSON pointer.
    ///
    /// # Panics
    /// When it is not there.
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.0.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("facts.json has no text at {pointer}"))
    }

    /// Origin of the main listener.
    pub fn base(&self) -> &str {
        self.text("/base")
    }

    /// Issuer of HelseID.
    pub fn issuer(&self) -> &str {
        self.text("/helseid/issuer")
    }

    /// Base of a FHIR repository.
    pub fn fhir(&self, repository: &str) -> &str {
        self.text(&format!("/fhir/{repository}"))
    }

    fn find(&self, list: &str, key: &str, value: &str) -> &Value {
        let rows = self.0.pointer(list).and_then(Value::as_array);
        let found = rows.into_iter().flatten().find(|row| row[key] == value);
        found.unwrap_or_else(|| panic!("facts.json: nothing in {list} with {key} = {value}"))
    }

    /// A client of HelseID.
    ///
    /// # Panics
    /// When it is not there; so with all of these.
    pub fn client(&self, client_id: &str) -> &Value {
        self.find("/helseid/clients", "client_id", client_id)
    }

    /// A person of the story.
    pub fn person(&self, story: &str) -> Person {
        let row = self.find("/persons", "story", story);
        Person {
            pid: row["pid"].as_str().unwrap_or_default().to_owned(),
            name: row["name"].as_str().unwrap_or_default().to_owned(),
            fhir_id: row["fhir_id"].clone(),
        }
    }

    /// Health personnel by the story's key.
    pub fn personnel(&self, key: &str) -> &Value {
        self.find("/personnel", "key", key)
    }

    /// National id of health personnel.
    pub fn pid_of(&self, key: &str) -> &str {
        self.personnel(key)["pid"].as_str().unwrap_or_default()
    }

    /// An organisation by the story's key.
    pub fn organisation(&self, key: &str) -> &Value {
        self.find("/organisations", "key", key)
    }

    /// An organisation by a HER-id of itself or of a party below it.
    pub fn organisation_of(&self, her_id: u32) -> &Value {
        let rows = self.0["organisations"].as_array();
        let is_it = |row: &&Value| {
            let parties = row["parties"].as_array();
            row["her_id"] == her_id || parties.into_iter().flatten().any(|p| p["her_id"] == her_id)
        };
        let found = rows.into_iter().flatten().find(is_it);
        found.unwrap_or_else(|| panic!("facts.json: no organisation of {her_id}"))
    }
}

/// A person of the story.
#[derive(Clone, Debug)]
pub struct Person {
    /// National id.
    pub pid: String,
    /// Name.
    pub name: String,
    /// Id of Patient per repository.
    pub fhir_id: Value,
}

impl Person {
    /// Id of Patient in a repository.
    ///
    /// # Panics
    /// When there is none.
    pub fn id(&self, repository: &str) -> &str {
        let id = self.fhir_id[repository].as_str();
        id.unwrap_or_else(|| panic!("facts.json: no fhir_id in {repository}"))
    }
}
