//! The APIs that HelseID makes tokens for: the national ones, and those an operator writes down (`helseid.apis`).
//!
//! Which claims a token carries is the API's registration and nobody else's (spec/helseid.md §1), so it stands in a file of
//! the operator. An entry with a national audience replaces that registration.

use anyhow::{Context, Result, ensure};
use helseid::config::{Api, Wanted, national_apis};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Most APIs in a file.
const MAX_APIS: usize = 1_000;

/// The file of APIs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    api: Vec<Registered>,
}

/// One API, as an operator writes it down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registered {
    /// `prefix:name`.
    audience: String,
    /// The part after the audience and a slash.
    scopes: Vec<String>,
    /// What its tokens say.
    #[serde(default)]
    claims: BTreeSet<Wanted>,
    /// Refuses tokens that are for other APIs too.
    #[serde(default)]
    alone: bool,
    /// Takes tokens that are bound to no key.
    #[serde(default)]
    bearer: bool,
    access_token_s: Option<i64>,
}

/// All APIs: without a file the national ones.
pub fn read(file: Option<&Path>) -> Result<Vec<Api>> {
    let mut apis = national_apis();
    let Some(file) = file else {
        return Ok(apis);
    };
    let at = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {at}"))?;
    let read: File = toml::from_str(&text).with_context(|| format!("{at} is not understood"))?;
    ensure!(read.api.len() <= MAX_APIS, "{at}: at most {MAX_APIS} APIs");
    let mut seen = BTreeSet::new();
    for one in read.api {
        let audience = one.audience.clone();
        ensure!(
            seen.insert(audience.clone()),
            "{at}: {audience} is there twice"
        );
        let api = one.api();
        api.check()
            .map_err(|why| anyhow::anyhow!("{at}: {audience}: {why}"))?;
        apis.retain(|known| known.audience != audience);
        apis.push(api);
    }
    Ok(apis)
}

impl Registered {
    fn api(self) -> Api {
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let wants: Vec<Wanted> = self.claims.into_iter().collect();
        let mut api = Api::new(&self.audience, &scopes, &wants);
        api.alone = self.alone;
        api.bearer_allowed = self.bearer;
        api.access_token_s = self.access_token_s;
        api
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_are_read_from_the_operators_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("apis.toml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            super::read(Some(&file))
        };
        let good = "[[api]]\naudience = \"helsevest:booking\"\nscopes = [\"read\", \"write/own\"]\n\
            claims = [\"pid\", \"orgnr_parent\", \"tillitsrammeverk\", \"kj_orgnr\"]\naccess_token_s = 120\n";
        let apis = read(good).unwrap();
        assert_eq!(apis.len(), national_apis().len() + 1);
        let made = apis.last().unwrap();
        assert!(
            made.scopes.contains("helsevest:booking/write/own") && made.access_token_s == Some(120)
        );
        assert!(made.wants.contains(&Wanted::Attest) && made.wants.contains(&Wanted::KjOrgnr));
        // A national one is replaced, not doubled.
        let replaced = read(&good.replace("helsevest:booking", "nhn:pps")).unwrap();
        assert_eq!(replaced.len(), national_apis().len());
        let pps = replaced
            .iter()
            .find(|api| api.audience == "nhn:pps")
            .unwrap();
        assert!(pps.scopes.contains("nhn:pps/read") && pps.scopes.len() == 2);
        for (what, text) in [
            ("twice", format!("{good}{good}")),
            ("no scope", good.replace("[\"read\", \"write/own\"]", "[]")),
            (
                "a scope with a blank",
                good.replace("write/own", "write own"),
            ),
            ("an audience without prefix", good.replace("helsevest:", "")),
            (
                "an audience with a slash",
                good.replace("helsevest:", "a/b:"),
            ),
            ("an unknown claim", good.replace("\"pid\"", "\"fnr\"")),
            ("an unknown word", good.replace("claims", "claim")),
            ("too long a life", good.replace("120", "86401")),
        ] {
            assert!(read(&text).is_err(), "{what}");
        }
        assert_eq!(super::read(None).unwrap().len(), national_apis().len());
    }
}
