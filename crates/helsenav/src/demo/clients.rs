//! Logins of the demo: bus users, HelseID clients, the operator. Made at first start, kept as one wrapped secret.

use anyhow::{Context, Result};
use helseid::registry::model::{ApiOwner, SystemTenancy, SystemUsers};
use helseid::registry::rules::SELF_SERVICE_SCOPE;
use helseid::registry::{Actor, NewClient, NewSystem, Registry};
use helseid::{Client, ClientKey, Mode, Tenancy};
use hub::secrets::Secrets;
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use nation::Nation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A bus user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AmqpLogin {
    /// User name: the organisation's key.
    pub username: String,
    /// Password.
    pub password: String,
    /// Level-1 HER-id.
    pub her_id: u32,
}

/// A HelseID client with its private key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClientLogin {
    /// Client id.
    pub client_id: String,
    /// `machine`, `user` or `api`.
    pub kind: String,
    /// Key of the organisation it belongs to.
    pub organisation: String,
    /// Private key.
    pub jwk: Value,
}

/// All of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Bus users.
    pub amqp: Vec<AmqpLogin>,
    /// HelseID clients.
    pub clients: Vec<ClientLogin>,
    /// Password of the operator.
    pub operator_password: String,
    /// API key of the test-token service; empty in data folders made before there was one.
    #[serde(default)]
    pub test_token_key: String,
}

const NAME: &str = "demo-credentials";
/// The API of requisitions, which no story of the demo uses.
const REQUISITIONS: &str = "nhn:parek";
/// User name of the operator.
pub(crate) const OPERATOR: &str = "drift";
const OPERATOR_NAME: &str = "Tore Andersen";
/// Where the demo's user clients are called back; any port matches on loopback.
pub(crate) const REDIRECT_URIS: [&str; 2] = [
    "http://127.0.0.1:8765/callback",
    "http://localhost:8765/callback",
];
const USER_SCOPES: [&str; 11] = [
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/hpr/hpr_number",
    "nhn:kjernejournal/api",
    "nhn:pps/provesvar-read",
    "nhn:phr/mhd/read-documentreferences",
    "nhn:phr/mhd/read-documentreferences/kjernejournalforskriften",
    "nhn:phr/mhd/read-document",
];
const MACHINE_SCOPES: [&str; 9] = [
    "nhn:kjernejournal/api",
    "nhn:pps/provesvar-read",
    "nhn:phr/mhd/read-document",
    "nhn:hgd-persontjenesten-api/read-with-legal-basis",
    "nhn:hgd-persontjenesten-api/read-no-legal-basis",
    "nhn:cp-api/access-v2-dpop",
    "nhn:cppa/access",
    "nhn:cppa/access-with-dpop",
    "nhn:msh/api",
];

const MACHINE_ACTS_FOR: [&str; 3] = ["nhn:kjernejournal", "nhn:pps", "nhn:phr"];

impl Credentials {
    /// Made at first start.
    pub(crate) fn load(secrets: &Secrets, nation: &Nation) -> Result<Self> {
        let bytes = match secrets.get(NAME)? {
            Some(bytes) => bytes,
            None => {
                let made = serde_json::to_vec(&Self::make(nation)?)?;
                secrets.get_or_make(NAME, || made)?
            }
        };
        serde_json::from_slice(&bytes).context("the stored demo credentials are damaged")
    }

    fn make(nation: &Nation) -> Result<Self> {
        let token = || {
            edge::cookie::random_token()
                .chars()
                .take(24)
                .collect::<String>()
        };
        let amqp = nation
            .fixed_organisations()
            .iter()
            .filter_map(|o| {
                Some(AmqpLogin {
                    username: o.key?.to_owned(),
                    password: token(),
                    her_id: o.her_id.0,
                })
            })
            .collect();
        let clients = [
            ("demo-epj-fjordglott", "user", "fjordglott"),
            ("demo-epj-nordlys", "user", "nordlys"),
            ("demo-epj-vaar", "user", "vaar-epj"),
            ("demo-system-fjordglott", "machine", "fjordglott"),
            ("demo-system-nordlys", "machine", "nordlys"),
            ("demo-system-vaar", "machine", "vaar-epj"),
            ("demo-api", "api", "navet"),
        ]
        .into_iter()
        .map(|(client_id, kind, organisation)| {
            let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256))?;
            Ok(ClientLogin {
                client_id: client_id.to_owned(),
                kind: kind.to_owned(),
                organisation: organisation.to_owned(),
                jwk: Value::Object(key.to_secret_members()),
            })
        })
        .collect::<Result<_>>()?;
        Ok(Self {
            amqp,
            clients,
            operator_password: token(),
            test_token_key: token(),
        })
    }

    /// (user name, name, password).
    pub(crate) fn operator(&self) -> (String, String, String) {
        (
            OPERATOR.to_owned(),
            OPERATOR_NAME.to_owned(),
            self.operator_password.clone(),
        )
    }

    /// As HelseID registers them.
    pub(crate) fn helseid_clients(&self, nation: &Nation) -> Vec<Client> {
        self.clients
            .iter()
            .filter_map(|login| client(login, nation))
            .collect()
    }
}

/// Scopes of a client.
pub(crate) fn scopes(kind: &str) -> Vec<&'static str> {
    match kind {
        "user" => USER_SCOPES.to_vec(),
        "machine" => MACHINE_SCOPES.to_vec(),
        _ => Vec::new(),
    }
}

fn client(login: &ClientLogin, nation: &Nation) -> Option<Client> {
    let organisation = nation.organisation_by_key(&login.organisation)?;
    let key = PrivateJwk::from_slice(login.jwk.to_string().as_bytes()).ok()?;
    let mut client = Client::new(&login.client_id, &format!("{} (demo)", organisation.name));
    client.organisation_name.clone_from(&organisation.name);
    client.keys.push(ClientKey {
        key: key.public().clone(),
        expires_s: None,
    });
    client.scopes = scopes(&login.kind).into_iter().map(str::to_owned).collect();
    client.user_login = login.kind == "user";
    client.machine = login.kind == "machine";
    client.refresh = login.kind == "user";
    client.introspects = login.kind == "api";
    // A vendor's own backend may carry on what was sent to one of these APIs (token exchange).
    if client.machine {
        client.acts_for = MACHINE_ACTS_FOR.map(str::to_owned).into();
    }
    // Stock OAuth libraries pass in compatible mode; the strict rules stay for everybody who asks for them.
    client.mode = Some(Mode::Compatible);
    if client.user_login {
        client.redirect_uris = REDIRECT_URIS.iter().map(|u| (*u).to_owned()).collect();
        client.native = true;
    }
    client.tenancy = Tenancy::Single {
        parent: organisation.orgnr.to_string(),
        children: organisation
            .units
            .iter()
            .map(|u| u.orgnr.to_string())
            .collect::<BTreeSet<_>>(),
    };
    Some(client)
}

/// The audiences of a client's scopes.
pub(crate) fn audiences(kind: &str) -> Value {
    match kind {
        "user" => json!(["nhn:kjernejournal", "nhn:pps", "nhn:phr"]),
        "machine" => json!([
            "nhn:kjernejournal",
            "nhn:pps",
            "nhn:phr",
            "nhn:hgd-persontjenesten-api",
            "nhn:cp-api",
            "nhn:cppa",
            "nhn:msh",
        ]),
        _ => json!([]),
    }
}

/// Registrations for the first look at the pages of self-service: a vendor's two products, one installation whose
/// scope waits for an answer, one organisation that has delegated, one API whose owner has given it terms of use.
pub(crate) fn register_examples(registry: &Registry, nation: &Nation) -> Result<()> {
    let of = |key: &str| nation.organisation_by_key(key).map(|o| o.orgnr.to_string());
    let (Some(vendor), Some(office)) = (of("vaar-epj"), of("fjordglott")) else {
        return Ok(());
    };
    let actor = Actor::Console;
    let system = |name: &str, tenancy: SystemTenancy| NewSystem {
        name: name.to_owned(),
        supplier: vendor.clone(),
        users: SystemUsers::Personnel,
        tenancy,
        user_login: true,
        machine: true,
        refresh: true,
        native: tenancy == SystemTenancy::Single,
        rules: None,
        scopes: None,
        redirect_uris: None,
        customers: None,
    };
    let installed = registry.create_system(&actor, &system("Vår EPJ", SystemTenancy::Single))?;
    registry.create_system(&actor, &system("Vår EPJ i skyen", SystemTenancy::Multi))?;
    let client_id = registry.create(
        &actor,
        &NewClient {
            system: installed,
            name: "Vår EPJ – Fjordgløtt legesenter".to_owned(),
            organisation: office.clone(),
            scopes: vec![
                SELF_SERVICE_SCOPE.to_owned(),
                "nhn:kjernejournal/api".to_owned(),
                "nhn:pps/provesvar-read".to_owned(),
            ],
            redirect_uris: vec!["http://localhost:3000/callback".to_owned()],
            ..NewClient::default()
        },
    )?;
    registry.decide(&actor, &client_id, "nhn:kjernejournal/api", true, None)?;
    registry.delegate(&actor, &office, &vendor, true)?;
    if let Some(hospital) = of("nordlys") {
        let owner = ApiOwner {
            audience: REQUISITIONS.to_owned(),
            organisation: Some(hospital.clone()),
            automatic: false,
            terms: None,
        };
        registry.set_owner(&actor, &owner)?;
        let terms = "Rekvisisjoner hentes bare når det trengs for å gi helsehjelp.\nVirksomheten kontrollerer oppslagene sine jevnlig.";
        registry.set_terms(&actor, REQUISITIONS, Some(terms))?;
        registry.accept_terms(&actor, REQUISITIONS, &hospital, 1, true)?;
    }
    Ok(())
}
