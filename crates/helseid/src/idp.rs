//! Identity providers. This issuer has no login of its own (spec §1 rule 5): people come from the test provider, or from
//! providers outside that speak OpenID Connect as ID-porten does (spec §6.2).

mod id_token;
mod logout_token;
mod metadata;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;

use jose::PrivateJwk;

use crate::rules::levels::Level;

pub(crate) use upstream::{Attempt, Begin, LoggedIn, Upstream, UpstreamError};

/// Ids under which the test provider is known.
pub const TEST_IDS: [&str; 2] = ["testidp-oidc", "testidpnew-oidc"];
/// The id that stands in tokens of test logins.
pub const TEST_ID: &str = "testidp-oidc";

/// Whether an id means the test provider.
#[must_use]
pub fn is_test(id: &str) -> bool {
    TEST_IDS.contains(&id)
}

/// How this server proves who it is to a provider.
#[derive(Clone)]
pub enum IdpAuth {
    /// Signed assertions (`private_key_jwt`), as the federation profile demands. The key is registered at the provider.
    PrivateKeyJwt(PrivateJwk),
    /// A shared secret in the form (`client_secret_post`), for providers that know nothing better.
    Secret(String),
}

impl fmt::Debug for IdpAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PrivateKeyJwt(_) => "PrivateKeyJwt(…)",
            Self::Secret(_) => "Secret(…)",
        })
    }
}

/// One provider outside.
#[derive(Debug, Clone)]
pub struct IdpConfig {
    /// Id in `acr_values=idp:…` and in tokens: lower-case letters, digits and hyphens.
    pub id: String,
    /// Name on the page where users choose.
    pub name: String,
    /// Issuer, byte-equal to what its metadata and ID tokens say.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// Our authentication there.
    pub auth: IdpAuth,
    /// Scopes to ask for, `openid` included.
    pub scopes: Vec<String>,
    /// Claim of the ID token with the national identity number.
    pub pid_claim: String,
    /// Claim of the ID token with the level, normally `acr`.
    pub level_claim: String,
    /// What its values mean (spec §12.2).
    pub levels: BTreeMap<String, Level>,
    /// The level when the claim is missing or says something else; `None` refuses such logins.
    pub otherwise: Option<Level>,
    /// Highest level it gives. A request for more does not offer it.
    pub highest: Level,
    /// `acr_values` to send when a level is demanded.
    pub acr_values: BTreeMap<Level, String>,
    /// Parameter and value to send for `amr:…` of the request, which preselects a method there (spec §6.1).
    pub methods: BTreeMap<String, (String, String)>,
    /// Parameter that names the contracting party (`on_behalf_of` of the request).
    pub on_behalf_of_parameter: Option<String>,
    /// Whether pushing the request is demanded, as the federation profile does; otherwise only if the provider can.
    pub require_par: bool,
}

impl IdpConfig {
    /// A provider as ID-porten is one: `pid`, `acr` with its level names, pushed requests.
    #[must_use]
    pub fn idporten(id: &str, name: &str, issuer: &str, client_id: &str, auth: IdpAuth) -> Self {
        let level = |pairs: &[(&str, Level)]| {
            pairs
                .iter()
                .map(|(value, level)| ((*value).to_owned(), *level))
                .collect()
        };
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            auth,
            scopes: vec!["openid".to_owned(), "profile".to_owned()],
            pid_claim: "pid".to_owned(),
            level_claim: "acr".to_owned(),
            levels: level(&[
                ("idporten-loa-high", Level::High),
                ("Level4", Level::High),
                ("idporten-loa-substantial", Level::Substantial),
                ("Level3", Level::Substantial),
                ("idporten-loa-low", Level::Low),
            ]),
            otherwise: None,
            highest: Level::High,
            acr_values: [
                (Level::High, "idporten-loa-high".to_owned()),
                (Level::Substantial, "idporten-loa-substantial".to_owned()),
            ]
            .into(),
            methods: BTreeMap::new(),
            on_behalf_of_parameter: Some("onbehalfof".to_owned()),
            require_par: true,
        }
    }

    /// Whether the id can stand in an address and is not the test provider's.
    #[must_use]
    pub fn has_usable_id(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=64).contains(&self.id.len()) && self.id.bytes().all(plain) && !is_test(&self.id)
    }

    /// The level of a login from the value of the level claim.
    #[must_use]
    pub fn level_of(&self, value: Option<&str>) -> Option<Level> {
        let known = value.and_then(|value| self.levels.get(value).copied());
        known
            .or(self.otherwise)
            .map(|level| level.min(self.highest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_an_idporten_shaped_provider() {
        let mut idp = IdpConfig::idporten(
            "idporten-oidc",
            "ID-porten",
            "https://i",
            "c",
            IdpAuth::Secret(String::new()),
        );
        let table = [
            (Some("idporten-loa-high"), Some(Level::High)),
            (Some("Level4"), Some(Level::High)),
            (Some("idporten-loa-substantial"), Some(Level::Substantial)),
            (Some("Level3"), Some(Level::Substantial)),
            (Some("idporten-loa-low"), Some(Level::Low)),
            (Some("4"), None),
            (Some(""), None),
            (None, None),
        ];
        for (value, level) in table {
            assert_eq!(idp.level_of(value), level, "{value:?}");
        }
        idp.highest = Level::Substantial;
        assert_eq!(idp.level_of(Some("Level4")), Some(Level::Substantial));
        idp.otherwise = Some(Level::Low);
        assert_eq!(idp.level_of(None), Some(Level::Low));
    }

    #[test]
    fn ids_stand_in_addresses() {
        let usable = |id: &str| {
            IdpConfig::idporten(id, "", "https://i", "c", IdpAuth::Secret(String::new()))
                .has_usable_id()
        };
        assert!(usable("idporten-oidc"));
        for id in [
            "",
            "testidp-oidc",
            "a/b",
            "A",
            "a b",
            "a?b",
            &"a".repeat(65),
        ] {
            assert!(!usable(id), "{id}");
        }
    }
}
