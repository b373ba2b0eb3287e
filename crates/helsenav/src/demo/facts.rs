//! facts.json: everything an outside client needs (DESIGN §4.1, fixed).

use super::Remembered;
use super::citizens::Logins;
use super::clients::{Credentials, OPERATOR, REDIRECT_URIS, audiences, scopes};
use super::keys::{DemoKeys, P12_PASSWORD};
use hub::Addresses;
use nation::Nation;
use nation::model::{OrgKind, PartyKind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// FHIR ids of the story's people: story → repository → id.
pub(crate) type FhirIds = BTreeMap<String, BTreeMap<String, String>>;

/// Makes the facts.
pub(crate) fn make(
    nation: &Nation,
    keys: &DemoKeys,
    (credentials, citizen_logins): (&Credentials, &Logins),
    remembered: Remembered,
    addresses: &Addresses,
    fhir_ids: &FhirIds,
) -> Value {
    let base = &addresses.base;
    json!({
        "base": base,
        "base_tls": addresses.base_tls,
        "anchor": remembered.anchor.to_string(),
        "seed": remembered.seed,
        "population": remembered.population,
        "ca_pem": keys.ca_pem,
        "crl_pem": keys.crl_pem,
        "endpoints": hub::endpoints::endpoints(addresses),
        "helseid": {
            "issuer": addresses.issuer,
            "browser_http": addresses.helseid_browser,
            "clients": clients(nation, credentials),
            "users": users(nation),
            "test_tokens": {
                "url": format!("{}/v2/create-test-token-with-key", addresses.issuer),
                "api_key": credentials.test_token_key,
            },
        },
        "citizen_sts": citizen_logins.facts(addresses, nation),
        "citizen_logins": nation
            .story_persons()
            .filter(|p| p.died.is_none() && p.age_on(remembered.anchor) >= 16)
            .map(|p| json!({ "pid": p.nin.as_str(), "name": p.name.full() }))
            .collect::<Vec<_>>(),
        "operator_login": { "username": OPERATOR, "password": credentials.operator_password },
        "fhir": {
            "sandbox": format!("{base}/fhir/sandbox"),
            "kjernejournal": format!("{base}/fhir/kjernejournal"),
            "provesvar": format!("{base}/fhir/provesvar"),
            "dokumenter": format!("{base}/fhir/dokumenter"),
            "grunndata": format!("{base}/fhir/grunndata"),
        },
        "grunndata": grunndata(nation, credentials, base),
        "amqp": {
            "host": addresses.amqp.ip().to_string(),
            "port": addresses.amqp.port(),
            "tls_port": addresses.amqp_tls.port(),
            "namespace": "",
            "users": credentials.amqp.iter().map(|u| json!({ "her_id": u.her_id, "username": u.username, "password": u.password })).collect::<Vec<_>>(),
        },
        "mail": {
            "smtp": addresses.smtp.to_string(),
            "pop3": addresses.pop3.to_string(),
            "smtp_tls": addresses.smtp_tls.to_string(),
            "pop3_tls": addresses.pop3_tls.to_string(),
            "users": mail_users(nation, credentials),
        },
        "organisations": nation.fixed_organisations().iter().filter(|o| o.key.is_some()).map(|o| organisation(o, keys)).collect::<Vec<_>>(),
        "personnel": nation.fixed_practitioners().iter().map(practitioner).collect::<Vec<_>>(),
        "party_logins": nation
            .fixed_practitioners()
            .iter()
            .filter_map(|p| Some(json!({ "orgnr": p.workplaces.first()?.parent.to_string(), "pid": p.nin.as_str() })))
            .collect::<Vec<_>>(),
        "persons": nation
            .story_persons()
            .map(|p| {
                let story = p.story.unwrap_or_default();
                json!({
                    "story": story,
                    "name": p.name.full(),
                    "pid": p.nin.as_str(),
                    "born": p.born.to_string(),
                    "fhir_id": fhir_ids.get(story).cloned().unwrap_or_default(),
                    "what": p.what.unwrap_or_default(),
                })
            })
            .collect::<Vec<_>>(),
    })
}

fn clients(nation: &Nation, credentials: &Credentials) -> Vec<Value> {
    credentials
        .clients
        .iter()
        .filter_map(|login| {
            let organisation = nation.organisation_by_key(&login.organisation)?;
            Some(json!({
                "client_id": login.client_id,
                "use": login.kind,
                "orgnr_parent": organisation.orgnr.to_string(),
                "orgnr_child": organisation.units.first().map(|u| u.orgnr.to_string()),
                "scopes": scopes(&login.kind),
                "audiences": audiences(&login.kind),
                "redirect_uris": if login.kind == "user" { json!(REDIRECT_URIS) } else { json!([]) },
                "private_jwk": login.jwk,
            }))
        })
        .collect()
}

fn users(nation: &Nation) -> Vec<Value> {
    nation
        .fixed_practitioners()
        .iter()
        .map(|p| {
            json!({
                "pid": p.nin.as_str(),
                "name": p.name.full(),
                "hpr_number": p.hpr.map(|h| h.0.to_string()),
                "role": p.authorisations.first().map(|a| a.role),
                "orgnr": p.workplaces.first().map(|w| w.parent.to_string()),
            })
        })
        .collect()
}

fn practitioner(p: &nation::Practitioner) -> Value {
    json!({
        "key": p.key,
        "name": p.name.full(),
        "pid": p.nin.as_str(),
        "hpr_number": p.hpr.map(|h| h.0.to_string()),
        "role": p.authorisations.first().map(|a| a.role),
        "her_id": p.workplaces.first().and_then(|w| w.her_id).map(|h| h.0),
        "orgnr": p.workplaces.first().map(|w| w.parent.to_string()),
    })
}

fn organisation(o: &nation::Organisation, keys: &DemoKeys) -> Value {
    let own = o.key.and_then(|key| keys.organisations.get(key));
    let opened = own.and_then(|k| k.open().ok());
    let mut value = Map::new();
    let mut set = |name: &str, content: Value| {
        value.insert(name.to_owned(), content);
    };
    set("key", json!(o.key));
    set("name", json!(o.name));
    set("orgnr", json!(o.orgnr.to_string()));
    set("her_id", json!(o.her_id.0));
    set("kind", json!(o.kind().word()));
    set(
        "parties",
        o.parties
            .iter()
            .map(|p| {
                let (kind, code) = match &p.kind {
                    PartyKind::Service { list, code, .. } => ("service", Some(format!("{list}/{code}"))),
                    PartyKind::Person { .. } => ("person", None),
                };
                // Parties receive on the queues of their organisation.
                json!({ "her_id": p.her_id.0, "name": p.name, "type": kind, "code": code, "queue": format!("{}_async", o.her_id.0) })
            })
            .collect(),
    );
    set(
        "encryption_cert_pem",
        json!(opened.as_ref().map(|k| k.encryption.certificate().to_pem())),
    );
    set(
        "signing_cert_pem",
        json!(opened.as_ref().map(|k| k.signing.certificate().to_pem())),
    );
    // Organisations of kind `hub` carry certificates only, never keys.
    if let Some(own) = own.filter(|_| o.kind() != OrgKind::Hub) {
        set("signing_p12_base64", json!(own.signing_p12));
        set("encryption_p12_base64", json!(own.encryption_p12));
        set("p12_password", json!(P12_PASSWORD));
        if own.expired_p12.is_some() {
            set(
                "spare_p12",
                json!({ "expired": own.expired_p12, "revoked": own.revoked_p12 }),
            );
        }
    }
    Value::Object(value)
}

/// Mailboxes: one for each organisation, with the user of its queues.
fn mail_users(nation: &Nation, credentials: &Credentials) -> Vec<Value> {
    credentials
        .amqp
        .iter()
        .filter_map(|user| {
            let organisation = nation.organisation_by_key(&user.username)?;
            Some(json!({
                "her_id": user.her_id,
                "address": organisation.edi_address,
                "username": user.username,
                "password": user.password,
            }))
        })
        .collect()
}

/// System users of the registers' SOAP services (whoever has queues on the bus), and where the descriptions are.
fn grunndata(nation: &Nation, credentials: &Credentials, base: &str) -> Value {
    let users: Vec<Value> = credentials
        .amqp
        .iter()
        .filter_map(|user| {
            let organisation = nation.organisation_by_key(&user.username)?;
            Some(json!({
                "username": format!("OrgUsr{}", organisation.orgnr),
                "password": user.password,
                "name": organisation.name,
            }))
        })
        .collect();
    let office = nation
        .organisation_by_key("fjordglott")
        .map(|o| format!("OrgUsr{}", o.orgnr));
    let first = users
        .iter()
        .find(|u| u["username"].as_str() == office.as_deref());
    let owner = nation
        .fixed_organisations()
        .iter()
        .find(|o| o.kind() == OrgKind::Hub);
    let owner = owner.map(|o| format!("OrgUsr{}", o.orgnr));
    let administrator = users
        .iter()
        .find(|u| u["username"].as_str() == owner.as_deref());
    let services = [
        "/v1/AR",
        "/v1/AR/2016",
        "/v1/ARExport",
        "/v1/CPPA",
        "/v1/LSR",
        "/v2/HPR",
        "/v2/flr",
        "/v2/flrwrite",
        "/v2/flrexport",
        "/v2/servicebusmanager",
    ];
    json!({
        "basic_auth": first,
        "administrator": administrator,
        "users": users,
        "wsdl": services.map(|path| format!("{base}{path}?wsdl")),
    })
}
