//! Clients of the citizens' issuer in the demo, and the powers of attorney of the cast.

use anyhow::{Context, Result};
use helseid::citizen::{CitizenClient, RIGHT_ATTORNEY, RIGHT_BIRTH_DATE, RIGHT_NAME, RIGHT_PID};
use helseid::{ClientKey, Mode};
use hub::secrets::Secrets;
use hub::{Addresses, Opened};
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use nation::Nation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::CommitError;
use trust::settings::{ChangedBy, Setting, change};

const NAME: &str = "demo-citizen-clients";
/// A tool with every right, one that learns nobody's number, an application of phones, an API that asks about tokens.
const CLIENTS: [(&str, &str, &str, &[&str]); 4] = [
    (
        "demo-verktoy",
        "Verktøy (demo)",
        "confidential",
        &[RIGHT_NAME, RIGHT_BIRTH_DATE, RIGHT_PID, RIGHT_ATTORNEY],
    ),
    (
        "demo-verktoy-liten",
        "Lite verktøy (demo)",
        "confidential",
        &[RIGHT_NAME],
    ),
    ("demo-app", "App (demo)", "public", &[RIGHT_NAME, RIGHT_PID]),
    ("demo-innbygger-api", "API (demo)", "api", &[]),
];
/// Where they are called back; applications at any port.
const REDIRECT_URIS: [&str; 2] = [
    "http://127.0.0.1:8766/callback",
    "http://localhost:8766/callback",
];
const SIGNED_OUT_URI: &str = "http://localhost:8766/signed-out";
const AUDIENCE: &str = "nhn:helsenorge";

/// Private keys by client id; applications have none.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Logins(BTreeMap<String, Value>);

impl Logins {
    /// Made at first start.
    pub(crate) fn load(secrets: &Secrets) -> Result<Self> {
        let bytes = match secrets.get(NAME)? {
            Some(bytes) => bytes,
            None => {
                let made = serde_json::to_vec(&Self::make()?)?;
                secrets.get_or_make(NAME, || made)?
            }
        };
        serde_json::from_slice(&bytes)
            .context("the stored keys of the citizens' clients are damaged")
    }

    fn make() -> Result<Self> {
        let keys = CLIENTS
            .into_iter()
            .filter(|(_, _, kind, _)| *kind != "public");
        keys.map(|(id, ..)| {
            let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256))?;
            Ok((id.to_owned(), Value::Object(key.to_secret_members())))
        })
        .collect::<Result<_>>()
        .map(Self)
    }

    /// As the issuer registers them.
    pub(crate) fn registrations(&self) -> Result<Vec<CitizenClient>> {
        CLIENTS
            .into_iter()
            .map(|(id, name, kind, rights)| {
                let mut made = match kind {
                    "public" => CitizenClient::public(id, name),
                    _ => CitizenClient::confidential(id, name),
                };
                let client = &mut made.client;
                if let Some(jwk) = self.0.get(id) {
                    let key = PrivateJwk::from_slice(jwk.to_string().as_bytes())
                        .map_err(|e| anyhow::anyhow!("the key of {id} is damaged: {e}"))?;
                    client.keys.push(ClientKey {
                        key: key.public().clone(),
                        expires_s: None,
                    });
                }
                // Stock OAuth libraries pass in compatible mode.
                client.mode = Some(Mode::Compatible);
                client.scopes = rights.iter().map(|right| (*right).to_owned()).collect();
                client.introspects = kind == "api";
                client.user_login = kind != "api";
                client.refresh = client.user_login;
                client.native = client.user_login;
                if client.user_login {
                    client.redirect_uris = REDIRECT_URIS.map(str::to_owned).into();
                    client.post_logout_redirect_uris = vec![SIGNED_OUT_URI.to_owned()];
                    made.audiences = vec![AUDIENCE.to_owned()];
                }
                Ok(made)
            })
            .collect()
    }

    /// facts.json's part.
    pub(crate) fn facts(&self, addresses: &Addresses, nation: &Nation) -> Value {
        let mut facts = hub::citizens::facts(addresses);
        let clients: Vec<Value> = CLIENTS
            .into_iter()
            .map(|(id, _, kind, rights)| {
                let logs_in = kind != "api";
                json!({
                    "client_id": id,
                    "use": kind,
                    "rights": rights,
                    "redirect_uris": if logs_in { json!(REDIRECT_URIS) } else { json!([]) },
                    "post_logout_redirect_uris": if logs_in { json!([SIGNED_OUT_URI]) } else { json!([]) },
                    "private_jwk": self.0.get(id),
                })
            })
            .collect();
        if let Some(members) = facts.as_object_mut() {
            members.insert("clients".to_owned(), clients.into());
            members.insert("representatives".to_owned(), representatives(nation).into());
        }
        facts
    }
}

/// Who acts for whom by power of attorney; parents are found on the page.
fn representatives(nation: &Nation) -> Vec<Value> {
    let given = nation.story_persons().flat_map(|giver| {
        giver.powers.iter().map(|power| {
            json!({
                "pid": power.nin.as_str(),
                "represents": giver.nin.as_str(),
                "relation": "fullmakt",
            })
        })
    });
    given.collect()
}

/// The powers of attorney that the people of the cast have given.
pub(crate) fn give_powers(opened: &Opened, nation: &Nation) -> Result<()> {
    let trust = &opened.trust;
    for person in nation.story_persons() {
        for power in &person.powers {
            let nin = person.nin.as_str();
            let key = opened.store.intern_person(registers::FNR_SYSTEM, nin)?;
            let setting = Setting::PowerOfAttorney {
                giver: nin.to_owned(),
                attorney: power.nin.as_str().to_owned(),
                areas: power.areas.iter().copied().collect(),
                is_assigned: false,
            };
            let by = ChangedBy {
                channel: "import".to_owned(),
                performer: "Du selv".to_owned(),
            };
            let commit = change(
                trust.settings_repository(),
                key,
                &[],
                &[(setting, true)],
                &by,
                trust.now(),
                Vec::new(),
            );
            match opened.store.commit(commit) {
                // Given already.
                Ok(_) | Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
