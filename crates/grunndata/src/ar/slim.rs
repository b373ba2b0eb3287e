//! Parties, certificates and events as version 1 of the CommunicationParty API describes them.
//!
//! What is not there is left out, never null: most of its objects and times are not nullable in the description, and
//! clients made from it are strict.

use super::{AddressRegister, codes};
use base64::Engine;
use registers::directory::PartyKind;
use registers::kernel::events::Event;
use registers::kernel::period::Moment;
use registers::parties::record::{PartyEvent, PartyRecord};
use registers::parties::register::Held;
use registers::parties::rules;
use registers::parties::search::{BadConstraint, Query, kind_name};
use registers::parties::{CertificateLine, CertificateUse};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Earlier pairs of certificates that are shown.
const EARLIER_PAIRS: usize = 2;

/// Electronic addresses that have a name of their own, by type of list 9044.
const ADDRESSES: [(&str, &str); 6] = [
    ("email", "E_EPO"),
    ("homepageUrl", "E_URL"),
    ("phoneNumber", "E_TLF"),
    ("faxNumber", "E_FAX"),
    ("ediAddress", "E_EDI"),
    ("fhirAddress", "E_FHIR"),
];

/// Queues, by type of list 9044.
const QUEUES: [(&str, &str); 4] = [
    ("amqpSyncQueue", "E_SB_SYNC"),
    ("amqpSyncReplyQueue", "E_SB_SYNCREPLY"),
    ("amqpAsyncQueue", "E_SB_ASYNC"),
    ("amqpErrorQueue", "E_SB_ERROR"),
];

/// What the search of version 1 takes; each part narrows to parties of its kind.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SearchParameters {
    name: Option<String>,
    organization_search_parameters: Option<OrganizationParameters>,
    person_search_parameters: Option<PersonParameters>,
    service_search_parameters: Option<ServiceParameters>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OrganizationParameters {
    business_type_code_list_id: Option<String>,
    business_type_code_value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PersonParameters {
    hpr_number: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceParameters {
    service_type_code_list_id: Option<String>,
    service_type_code_value: Option<String>,
}

impl SearchParameters {
    /// The search in the words of the register; `None` when nothing is searched for.
    pub(super) fn query(&self) -> Result<Option<Query>, BadConstraint> {
        let given = |text: &Option<String>| {
            let text = text.as_deref().map(str::trim)?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let mut constraints: Vec<(&str, String)> = Vec::new();
        if let Some(name) = given(&self.name) {
            constraints.push(("Name", name));
        }
        let mut kinds = 0;
        if let Some(of) = &self.organization_search_parameters {
            let list = given(&of.business_type_code_list_id);
            let value = given(&of.business_type_code_value);
            if list.as_deref().is_some_and(|list| list != "9040") {
                return Err(BadConstraint(
                    "businessTypeCodeListId must be 9040.".to_owned(),
                ));
            }
            if list.is_some() || value.is_some() {
                constraints.push(("Type", "Organization".to_owned()));
                kinds += 1;
            }
            constraints.extend(value.map(|value| ("BusinessTypeCode", value)));
        }
        if let Some(hpr) = self
            .person_search_parameters
            .as_ref()
            .and_then(|of| of.hpr_number)
        {
            constraints.push(("HprNumber", hpr.to_string()));
            kinds += 1;
        }
        if let Some(of) = &self.service_search_parameters {
            let list = given(&of.service_type_code_list_id);
            let value = given(&of.service_type_code_value);
            let code = match (list, value) {
                (Some(list), value) => Some(format!("{list}:{}", value.unwrap_or_default())),
                (None, value) => value,
            };
            if let Some(code) = code {
                constraints.push(("ServiceCode", code));
                kinds += 1;
            }
        }
        if kinds > 1 {
            return Err(BadConstraint(
                "Search for organizations, persons or services, one kind at a time.".to_owned(),
            ));
        }
        if constraints.is_empty() {
            return Ok(None);
        }
        let pairs = constraints
            .iter()
            .map(|(key, value)| (*key, value.as_str()));
        Query::read(pairs).map(Some)
    }
}

impl AddressRegister {
    /// The certificate in use, inherited where the party has none.
    pub(super) fn certificate_line(
        &self,
        party: &PartyRecord,
        purpose: CertificateUse,
    ) -> Option<CertificateLine> {
        let parent = self.parent(party);
        let parent = parent.as_ref().map(|p| &p.content);
        rules::certificate(party, parent, purpose, self.moment()).map(|c| c.value.clone())
    }

    /// All certificates of one use, the party's own and those above it, newest first.
    pub(super) fn certificate_lines(
        &self,
        party: &PartyRecord,
        purpose: CertificateUse,
    ) -> Vec<CertificateLine> {
        let above = self.parent(party);
        let inherited = above.iter().flat_map(|p| &p.content.certificates);
        let mut lines: Vec<CertificateLine> = party
            .certificates
            .iter()
            .chain(inherited)
            .filter(|line| line.purpose == purpose)
            .cloned()
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse((line.since, line.not_after_s)));
        lines
    }

    /// The pair in use, and on request the two before it.
    pub(super) fn certificate_pairs(&self, party: &PartyRecord, with_earlier: bool) -> Value {
        let pair = |is_current: bool, signing: Option<&CertificateLine>, encryption| {
            let mut map = Map::new();
            map.insert("isCurrent".to_owned(), is_current.into());
            let both = [
                ("signingCertificate", signing),
                ("encryptionCertificate", encryption),
            ];
            for (name, line) in both {
                if let Some(line) = line {
                    map.insert(name.to_owned(), certificate(line));
                }
            }
            Value::Object(map)
        };
        let signing = self.certificate_line(party, CertificateUse::Signing);
        let encryption = self.certificate_line(party, CertificateUse::Encryption);
        let mut pairs = Vec::new();
        if signing.is_some() || encryption.is_some() {
            pairs.push(pair(true, signing.as_ref(), encryption.as_ref()));
        }
        if with_earlier {
            let earlier = |purpose, current: Option<&CertificateLine>| {
                let mut lines = self.certificate_lines(party, purpose);
                lines.retain(|line| current.is_none_or(|c| c.serial != line.serial));
                lines.truncate(EARLIER_PAIRS);
                lines
            };
            let old_signing = earlier(CertificateUse::Signing, signing.as_ref());
            let old_encryption = earlier(CertificateUse::Encryption, encryption.as_ref());
            for at in 0..old_signing.len().max(old_encryption.len()) {
                pairs.push(pair(false, old_signing.get(at), old_encryption.get(at)));
            }
        }
        pairs.into()
    }

    /// A party.
    pub(super) fn slim(&self, party: &Held) -> Value {
        let content = &party.content;
        let now = self.moment();
        let above = self.parent(content);
        let parent = above.as_ref().map(|p| &p.content);
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                map.insert(name.to_owned(), value);
            }
        };
        put("herId", content.her_id.into());
        put("name", content.name.clone().into());
        put("displayName", content.shown_name().into());
        put("type", kind_name(content.kind).into());
        put(details_name(content.kind), self.details(content, parent));
        let shown = |purpose| {
            self.certificate_line(content, purpose)
                .map_or(Value::Null, |line| certificate(&line))
        };
        put("currentSigningCertificate", shown(CertificateUse::Signing));
        put(
            "currentEncryptionCertificate",
            shown(CertificateUse::Encryption),
        );
        let address = |code| rules::address(content, parent, code, now);
        for (name, code) in ADDRESSES {
            put(name, address(code).into());
        }
        put("postalAddress", postal(content, parent));
        put("amqpTransportStatus", transport(content, parent).into());
        let queues: Map<String, Value> = QUEUES
            .into_iter()
            .filter_map(|(name, code)| Some((name.to_owned(), address(code)?.into())))
            .collect();
        if !queues.is_empty() {
            put("amqpAddress", queues.into());
        }
        let from = content.valid.from.unwrap_or(content.created);
        put("validFrom", instant(from).into());
        put("validTo", content.valid.to.map(instant).into());
        Value::Object(map)
    }

    fn details(&self, content: &PartyRecord, parent: Option<&PartyRecord>) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                map.insert(name.to_owned(), value);
            }
        };
        let above = parent.map_or(
            Value::Null,
            |p| json!({ "name": p.name, "herId": p.her_id, "organizationNumber": p.orgnr }),
        );
        match content.kind {
            PartyKind::Organisation => {
                let below = self.parties.children(content.her_id);
                let of = |kind| -> Value {
                    let of_kind = below.iter().filter(|c| c.content.kind == kind);
                    of_kind.map(|c| c.content.her_id).collect()
                };
                let kind = content.business_type.as_deref();
                put("organizationNumber", content.orgnr.clone().into());
                put(
                    "businessType",
                    kind.map_or(Value::Null, |b| coded("9040", b)),
                );
                put("persons", of(PartyKind::Person));
                put("services", of(PartyKind::Service));
            }
            PartyKind::Service => {
                let code = content.service.as_ref();
                put(
                    "serviceType",
                    code.map_or(Value::Null, |s| coded(&s.list, &s.code)),
                );
                if !content.coverage.is_empty() {
                    let area = json!({ "municipalityHerIds": content.coverage });
                    put("interMunicipalityCoverageArea", area);
                }
                put("serviceSpecification", content.description.clone().into());
                put("parentOrganization", above);
            }
            PartyKind::Person => {
                let hpr = content.hpr.as_deref().and_then(|h| h.parse::<u32>().ok());
                put("hprNumber", hpr.into());
                put("parentOrganization", above);
            }
        }
        Value::Object(map)
    }
}

fn details_name(kind: PartyKind) -> &'static str {
    match kind {
        PartyKind::Organisation => "organizationDetails",
        PartyKind::Service => "serviceDetails",
        PartyKind::Person => "personDetails",
    }
}

/// Postcodes are text of four digits here, unlike in SOAP.
fn postal(content: &PartyRecord, parent: Option<&PartyRecord>) -> Value {
    let of = rules::physical(content, parent);
    let Some(found) = of.into_iter().find(|a| a.value.code == "PST") else {
        return Value::Null;
    };
    let mut map = Map::new();
    let address = found.value;
    let parts = [
        ("address", address.street.as_deref()),
        ("postalBox", address.postbox.as_deref()),
        ("postalCode", address.postcode.as_deref()),
        ("city", address.city.as_deref()),
    ];
    for (name, value) in parts {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            map.insert(name.to_owned(), value.into());
        }
    }
    Value::Object(map)
}

fn transport(content: &PartyRecord, parent: Option<&PartyRecord>) -> &'static str {
    let enabled = |party: &PartyRecord| party.transports.iter().any(|t| t == "Amqp");
    if enabled(content) {
        "Enabled"
    } else if parent.is_some_and(enabled) {
        "Inherited"
    } else {
        "Disabled"
    }
}

fn coded(list: &str, value: &str) -> Value {
    let name = list.parse().ok().and_then(|list| codes::text(list, value));
    let mut coded = json!({
        "codeListId": list,
        "value": value,
        "url": format!("https://fat.kote.helsedirektoratet.no/api/code-systems/adm/codelist/{list}"),
    });
    if let (Some(map), Some(name)) = (coded.as_object_mut(), name) {
        map.insert("name".to_owned(), name.into());
    }
    coded
}

fn instant(at: Moment) -> String {
    at.timestamp()
        .strftime("%Y-%m-%dT%H:%M:%S+00:00")
        .to_string()
}

/// What a certificate is known by.
pub(super) fn certificate(line: &CertificateLine) -> Value {
    json!({
        "thumbprint": line.thumbprint,
        "validFrom": instant(Moment(line.not_before_s.saturating_mul(1_000))),
        "validTo": instant(Moment(line.not_after_s.saturating_mul(1_000))),
    })
}

/// The certificate itself.
pub(super) fn whole_certificate(line: &CertificateLine) -> Value {
    let mut value = certificate(line);
    if let Some(map) = value.as_object_mut() {
        let text = base64::engine::general_purpose::STANDARD.encode(&line.der);
        map.insert("certificateValue".to_owned(), text.into());
    }
    value
}

/// An event: who and when, nothing of what.
pub(super) fn event(event: &Event<PartyEvent>) -> Value {
    json!({
        "sequenceNumber": event.number,
        "herId": event.kind.her_id,
        "eventType": event.kind.kind.name(),
        "eventTimestamp": event.kind.at.timestamp().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::SearchParameters;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(value: &Value) -> Result<bool, String> {
        let wanted: SearchParameters =
            serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
        let query = wanted.query().map_err(|bad| bad.to_string())?;
        Ok(query.is_some())
    }

    #[test]
    fn what_is_searched_for() {
        let organisation = json!({ "businessTypeCodeListId": "9040" });
        for (wanted, expected) in [
            (json!({}), Some(false)),
            (json!({ "name": "  " }), Some(false)),
            (json!({ "name": "a", "unknown": 1 }), Some(true)),
            (json!({ "personSearchParameters": {} }), Some(false)),
            (
                json!({ "organizationSearchParameters": organisation }),
                Some(true),
            ),
            (
                json!({ "organizationSearchParameters": { "businessTypeCodeListId": "8666" } }),
                None,
            ),
            (
                json!({ "personSearchParameters": { "hprNumber": "x" } }),
                None,
            ),
            (json!({ "name": "x".repeat(1_000) }), None),
            (json!([1]), None),
        ] {
            assert_eq!(read(&wanted).ok(), expected, "{wanted}");
        }
    }

    proptest! {
        #[test]
        fn any_search_is_read_or_refused(
            name in proptest::option::of(".{0,300}"),
            list in proptest::option::of(".{0,20}"),
            value in proptest::option::of(".{0,20}"),
            hpr in proptest::option::of(any::<i64>()),
        ) {
            let said = read(&json!({
                "name": name,
                "personSearchParameters": { "hprNumber": hpr },
                "serviceSearchParameters": { "serviceTypeCodeListId": list, "serviceTypeCodeValue": value },
            }));
            // What was sent is not repeated.
            if let (Err(said), Some(name)) = (said, name) {
                prop_assert!(name.chars().count() < 30 || !said.contains(&name));
            }
        }
    }
}
