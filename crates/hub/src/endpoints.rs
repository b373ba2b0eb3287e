//! Where the services of a running hub are, by name, for facts.json.

use crate::Addresses;
use serde_json::{Value, json};

/// facts.json's `endpoints`.
pub fn endpoints(addresses: &Addresses) -> Value {
    let base = &addresses.base;
    json!({
        "health-live": format!("{base}/health/live"),
        "ocsp": format!("{base}{}", crate::pki::OCSP),
        "health-ready": format!("{base}/health/ready"),
        "metrics": format!("{base}/metrics"),
        "log-jwks": format!("{base}/log/jwks"),
        "log-heads": format!("{base}/log/heads"),
        "selvbetjening": format!("{base}{}", helseid::self_service::PREFIX),
        "persontjenesten": format!("{base}{}", grunndata::persons::PREFIX),
        "grunndata-fhir": format!("{base}{}", grunndata::fhir::PREFIX),
        "communicationparty": format!("{base}{}", grunndata::ar::rest::PREFIX),
        "cppa": format!("{base}{}", grunndata::cppa::rest::PREFIX),
        "ebxml": format!("{base}{}", meldinger::edge::ebxml::PATH),
        "meldingstjener": format!("{base}{}", meldinger::edge::rest::PREFIX),
        "meldingsteller": format!("{base}{}", meldinger::edge::rest::counter::PREFIX),
        "samsvar": format!("{base}{}", meldinger::edge::rest::approval::PREFIX),
        "meldingsvalidator": format!("{base}{}", meldinger::edge::rest::validator::PREFIX),
        "ar-soap": format!("{base}/v1/AR?wsdl"),
        "ar-export-soap": format!("{base}/v1/ARExport?wsdl"),
        "cppa-soap": format!("{base}/v1/CPPA?wsdl"),
        "lsr-soap": format!("{base}/v1/LSR?wsdl"),
        "servicebusmanager-soap": format!("{base}/v2/servicebusmanager?wsdl"),
        "citizen-sts": format!("{base}{}/.well-known/openid-configuration", helseid::citizen::path::ISSUER),
        "demo-clients": format!("{base}/demo/clients"),
        "demo-clock": format!("{base}/demo/clock"),
        "demo-story": format!("{base}/demo/story"),
        "citizen-portal": format!("{base}/"),
        "personnel-portal": format!("{base}/helsepersonell"),
        "operator-portal": format!("{base}/drift"),
    })
}
