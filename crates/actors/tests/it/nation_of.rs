//! facts.json of a nation with keys made for the test.

use actors::Facts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nation::{Nation, Params};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use xmlsec::pki::pkcs12;
use xmlsec::pki::{DemoCa, Names, Purpose, RsaKey, Validity};

const PASSWORD: &str = "prøve";

pub struct Given {
    pub facts: Arc<Facts>,
    pub nation: Arc<Nation>,
    pub json: Value,
}

/// Made once: RSA keys are slow in a debug build.
pub static GIVEN: LazyLock<Given> = LazyLock::new(|| {
    let nation = Nation::generate(&Params {
        population: 1_000,
        ..Params::default()
    })
    .unwrap();
    let now_s = jiff::Timestamp::now().as_second();
    let ca = DemoCa::new("Prøve-CA", now_s).unwrap();
    let key = RsaKey::generate().unwrap();
    let organisations: Vec<Value> = nation
        .fixed_organisations()
        .iter()
        .filter(|o| o.key.is_some())
        .map(|o| organisation(o, &ca, &key, now_s))
        .collect();
    let json = json!({
        "base": "http://127.0.0.1:1",
        "anchor": nation.anchor().to_string(),
        "seed": 1,
        "ca_pem": ca.certificate().to_pem(),
        "helseid": { "issuer": "https://localhost:1", "browser_http": "http://127.0.0.1:1", "clients": [] },
        "amqp": { "host": "127.0.0.1", "port": 1, "users": [
            { "her_id": 8_900_100, "username": "fjordglott", "password": "hemmelig-ord" }
        ] },
        "organisations": organisations,
        "personnel": [],
        "persons": nation.story_persons().map(|p| json!({
            "story": p.story, "name": p.name.full(), "pid": p.nin.as_str(), "born": p.born.to_string(),
        })).collect::<Vec<_>>(),
    });
    Given {
        facts: Arc::new(Facts::from_value(&json).unwrap()),
        nation: Arc::new(nation),
        json,
    }
});

fn organisation(o: &nation::Organisation, ca: &DemoCa, key: &RsaKey, now_s: i64) -> Value {
    let orgnr = o.orgnr.to_string();
    let issue = |purpose| {
        let names = Names {
            name: &o.name,
            organisation_number: &orgnr,
        };
        let validity = Validity::days_around(now_s, 200, 900);
        ca.issue_organisation(key, names, purpose, validity)
            .unwrap()
    };
    let (signing, encryption) = (issue(Purpose::Signing), issue(Purpose::Encryption));
    let file = |identity: &xmlsec::key::Identity| {
        STANDARD.encode(pkcs12::write(identity, &[], "prøve", PASSWORD).unwrap())
    };
    json!({
        "name": o.name,
        "orgnr": orgnr,
        "her_id": o.her_id.0,
        "kind": o.kind().word(),
        "parties": o.parties.iter().map(|p| json!({
            "her_id": p.her_id.0,
            "name": p.name,
            "type": if matches!(p.kind, nation::model::PartyKind::Person { .. }) { "person" } else { "service" },
            "code": null,
            "queue": format!("{}_async", o.her_id.0),
        })).collect::<Vec<_>>(),
        "encryption_cert_pem": encryption.certificate().to_pem(),
        "signing_p12_base64": file(&signing),
        "encryption_p12_base64": file(&encryption),
        "p12_password": PASSWORD,
    })
}
