//! Epikrise → DocumentReference and Binary (spec/documents.md §2.4, §4). Pure: values in, values out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edi::epikrise::Message;
use edi::value::Ts;
use serde_json::{Value, json};
use trust::Class;

/// System of document types and classes.
pub const SYSTEM_9602: &str = "urn:oid:2.16.578.1.12.4.1.1.9602";
/// Extension that carries the SHA-256 of the original, hexadecimal.
pub const SHA256_URL: &str = "urn:helsenav:ext:sha256";

/// A letter as records.
#[derive(Clone, Debug)]
pub struct Projection {
    /// Record id of document and binary: one per (sender, letter).
    pub id: String,
    /// The document's metadata.
    pub reference: Value,
    /// The original.
    pub binary: Value,
    /// Privacy class of both.
    pub class: Class,
    /// 9603 label bits.
    pub labels: u64,
    /// Day of the service.
    pub service_day: Option<jiff::civil::Date>,
    /// When the message was made.
    pub gen_date: Option<jiff::Timestamp>,
    /// Withdrawn.
    pub is_cancelled: bool,
}

/// Whose letter, from whom, as the hub's registers know them.
#[derive(Clone, Debug)]
pub struct Parties {
    /// Current national id of the patient, with its system.
    pub patient: (String, String),
    /// HER-id of the sending organisation: half of the document's key.
    pub sender_her_id: u32,
    /// Name of the sending organisation.
    pub sender: String,
    /// Its organisation number.
    pub sender_orgnr: Option<String>,
}

/// Record id of a letter.
pub fn document_id(sender_her_id: u32, key: &str) -> String {
    let name = format!("document|{sender_her_id}|{}", key.to_lowercase());
    store::sha256(name.as_bytes())
        .iter()
        .take(16)
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Projects an epikrise. `original`: the signed bytes.
pub fn project(message: &Message, original: &[u8], parties: &Parties) -> Projection {
    let report = &message.report;
    let key = report.report_id.as_deref().unwrap_or(&message.msg_id);
    let id = document_id(parties.sender_her_id, key);
    let serv_type = report.serv_type.code();
    let is_cancelled = serv_type == "C";
    let hash = store::sha256(original);
    let sha256: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    let event = report.events.iter().find_map(|e| e.reported.as_ref());
    let start = event.map(|e| &e.start).and_then(instant);
    let end = event.and_then(|e| e.end.as_ref()).and_then(instant);
    let inst = report.provider.hcp.inst.as_ref();
    let department = inst
        .and_then(|i| i.depts.first())
        .and_then(|d| d.name.clone());
    let author = report
        .related
        .iter()
        .filter_map(|r| r.hcp.prof.as_ref())
        .chain(report.provider.hcp.prof.as_ref())
        .find_map(|p| p.name.clone());
    let mut organisation =
        json!({ "resourceType": "Organization", "id": "org", "name": parties.sender });
    if let Some(orgnr) = &parties.sender_orgnr {
        let identifier = json!([{ "system": registers::ORGNR_SYSTEM, "value": orgnr }]);
        put(&mut organisation, "identifier", identifier);
    }
    let mut contained = vec![organisation];
    let mut authors = vec![json!({ "reference": "#org", "display": parties.sender })];
    if let Some(name) = &author {
        contained.push(
            json!({ "resourceType": "Practitioner", "id": "author", "name": [{ "text": name }] }),
        );
        authors.push(json!({ "reference": "#author", "display": name }));
    }
    let mut reference = json!({
        "resourceType": "DocumentReference",
        "contained": contained,
        "masterIdentifier": { "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", message.msg_id.to_lowercase()) },
        "identifier": [{ "system": format!("urn:helsenav:letter:{}", parties.sender_her_id), "value": key }],
        "status": if is_cancelled { "entered-in-error" } else { "current" },
        "docStatus": match (serv_type, report.status.code()) {
            ("C", _) => "entered-in-error",
            ("M", _) => "amended",
            (_, "P") => "preliminary",
            _ => "final",
        },
        "type": { "coding": [{ "system": SYSTEM_9602, "code": "A03-2", "display": "Epikriser" }], "text": "Epikrise" },
        "category": [{ "coding": [{ "system": SYSTEM_9602, "code": "A00-1", "display": "Epikriser og sammenfatninger" }] }],
        "subject": {
            "type": "Patient",
            "identifier": { "system": parties.patient.0, "value": parties.patient.1 },
        },
        "author": authors,
        "custodian": { "reference": "#org", "display": department.map_or_else(|| parties.sender.clone(), |d| format!("{}, {d}", parties.sender)) },
        "description": report.description,
        "securityLabel": [{ "coding": [{ "system": trust::label::SYSTEM_9603, "code": "N" }] }],
        "content": [{
            "attachment": {
                "extension": [{ "url": SHA256_URL, "valueString": sha256 }],
                "contentType": "application/xml",
                "language": "nb-NO",
                "url": format!("Binary/{id}"),
                "size": original.len(),
                "title": report.description,
            },
            "format": { "system": "urn:oid:2.16.578.1.12.4.1.1.7124", "code": "urn:no:kith:xmlstds:epikrise:2012-02-15" },
        }],
    });
    if let Some(date) = instant(&message.gen_date) {
        put(&mut reference, "date", Value::from(date.clone()));
        if let Some(attachment) = reference.pointer_mut("/content/0/attachment") {
            put(attachment, "creation", Value::from(date));
        }
    }
    if start.is_some() || end.is_some() {
        let mut period = json!({});
        if let Some(start) = start {
            put(&mut period, "start", Value::from(start));
        }
        if let Some(end) = end {
            put(&mut period, "end", Value::from(end));
        }
        put(&mut reference, "context", json!({ "period": period }));
    }
    let service_day = event
        .and_then(|e| {
            e.end
                .as_ref()
                .and_then(|t| t.day())
                .or_else(|| e.start.day())
        })
        .or_else(|| report.issue_date.day())
        .or_else(|| message.gen_date.day());
    Projection {
        binary: json!({
            "resourceType": "Binary",
            "contentType": "application/xml",
            "data": STANDARD.encode(original),
        }),
        id,
        reference,
        class: Class::of_document_type("A03-2"),
        labels: 0,
        service_day,
        gen_date: message.gen_date.instant(),
        is_cancelled,
    }
}

/// Sets a member of an object; nothing else is one.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// A time as FHIR writes it.
fn instant(ts: &Ts) -> Option<String> {
    match ts.instant() {
        Some(at) => Some(
            at.to_zoned(edi::value::norway())
                .strftime("%Y-%m-%dT%H:%M:%S%:z")
                .to_string(),
        ),
        None => ts.day().map(|d| d.to_string()),
    }
}
