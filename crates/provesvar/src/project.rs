//! Svarrapport → DiagnosticReport and Observations (spec/nilar.md §2.3-§2.6, §3). Pure: values in, values out.

use crate::json::decimal;
use crate::rules::{comparator, discipline, interpretation, observation_status, report_status};
use codes::lab;
use edi::svarrapport::{Message, Patient, ResultItem, ServReport};
use edi::value::{Coded, Ts};
use serde_json::{Value, json};
use trust::Class;

const NILAR: &str = "http://nhn.no/fhir/nilar";
const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
/// Deepest nesting of result items that is followed.
const MAX_DEPTH: usize = 8;
/// Most result items of one report.
pub const MAX_RESULTS: usize = 2_000;

/// A report as records.
#[derive(Clone, Debug)]
pub struct Projection {
    /// Record id of the report: one per (laboratory, ServProvId).
    pub report_id: String,
    /// The report.
    pub report: Value,
    /// Observations with their ids.
    pub observations: Vec<(String, Value)>,
    /// Class of the report.
    pub report_class: Class,
    /// Class of its observations.
    pub observation_class: Class,
    /// Cancelled as a whole.
    pub is_cancelled: bool,
    /// Report type (8202).
    pub discipline: String,
    /// Day of the sample.
    pub service_day: Option<jiff::civil::Date>,
    /// When the message was made; decides which version is newer.
    pub gen_date: String,
}

/// Whose results, and from where, as the hub's registers know them.
#[derive(Clone, Debug)]
pub struct Parties {
    /// Current national id of the patient, with its system.
    pub patient: (String, String),
    /// HER-id of the laboratory's organisation: half of the report's key.
    pub laboratory_her_id: u32,
    /// Name of the laboratory.
    pub laboratory: String,
}

/// Record id of a report.
pub fn report_id(laboratory_her_id: u32, serv_prov_id: &str) -> String {
    hash(&format!("report|{laboratory_her_id}|{serv_prov_id}"))
}

fn hash(text: &str) -> String {
    store::sha256(text.as_bytes())
        .iter()
        .take(16)
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Projects a message. `None` when it carries no report or no patient.
pub fn project(message: &Message, parties: &Parties) -> Option<Projection> {
    let report = message.report.as_ref()?;
    let patient = report.patient.as_ref()?;
    let id = report_id(parties.laboratory_her_id, &report.report_id);
    let (category, report_class, observation_class) = discipline(report.discipline.code());
    let subject = json!({
        "type": "Patient",
        "identifier": { "system": parties.patient.0, "value": parties.patient.1 },
    });
    let issued = instant(&message.gen_date);
    let performer = performer(report, parties);
    let collected = collected(patient);
    let context = Context {
        report,
        subject: &subject,
        issued: issued.as_deref(),
        performer: &performer,
        report_id: &id,
        collected: collected.as_deref(),
    };
    let mut observations = Vec::new();
    for item in &patient.results {
        context.observation(item, &mut observations, 0);
    }
    let top: Vec<Value> = observations
        .iter()
        .filter(|o| o.is_top)
        .map(|o| reference("Observation", &o.id))
        .collect();
    let effective = observations
        .iter()
        .filter_map(|o| o.effective.clone())
        .min();
    let serv_type = report.serv_type.code();
    let mut body = json!({
        "resourceType": "DiagnosticReport",
        "meta": { "profile": [format!("{NILAR}/StructureDefinition/nilar-diagnostic-report")] },
        "identifier": [
            { "system": format!("{NILAR}/CodeSystem/IdentifierSource#ServReportId"), "value": report.report_id },
            { "system": format!("{NILAR}/CodeSystem/IdentifierSource#MsgId"), "value": message.msg_id },
        ],
        "status": report_status(report.status.code(), serv_type),
        "category": [{ "coding": [{ "system": list(8202), "code": category }] }],
        "code": { "coding": [coding(&report.discipline, 8202)] },
        "subject": subject,
        "performer": [performer.clone()],
    });
    put(
        &mut body,
        "effectiveDateTime",
        effective.clone().map(Value::from),
    );
    put(&mut body, "issued", issued.clone().map(Value::from));
    if !top.is_empty() {
        put(&mut body, "result", Some(Value::from(top)));
    }
    let mut extensions = Vec::new();
    if let Some(date) = instant(&report.issue_date).or(effective.clone()) {
        extensions.push(json!({ "url": format!("{NILAR}/StructureDefinition/nilar-report-date"), "valueDateTime": date }));
    }
    if let Some(date) = report.approved.as_ref().and_then(instant) {
        extensions.push(json!({ "url": format!("{NILAR}/StructureDefinition/nilar-approval-date"), "valueDateTime": date }));
    }
    if let Some(comment) = report.comment.as_deref().filter(|c| !c.trim().is_empty()) {
        extensions.push(json!({ "url": format!("{NILAR}/StructureDefinition/nilar-comment"), "valueString": comment }));
    }
    if !extensions.is_empty() {
        put(&mut body, "extension", Some(Value::from(extensions)));
    }
    let day = |ts: &Ts| ts.day();
    let service_day = patient
        .subjects
        .iter()
        .filter_map(|s| {
            s.sample
                .as_ref()
                .and_then(|c| c.collected.as_ref())
                .and_then(day)
        })
        .min()
        .or_else(|| day(&report.issue_date))
        .or_else(|| day(&message.gen_date));
    Some(Projection {
        report_id: id,
        report: body,
        observations: observations.into_iter().map(|o| (o.id, o.body)).collect(),
        report_class,
        observation_class,
        is_cancelled: serv_type == "C",
        discipline: report.discipline.code().to_owned(),
        service_day,
        gen_date: issued.unwrap_or_default(),
    })
}

struct Made {
    id: String,
    body: Value,
    effective: Option<String>,
    is_top: bool,
}

struct Context<'a> {
    report: &'a ServReport,
    subject: &'a Value,
    issued: Option<&'a str>,
    performer: &'a Value,
    report_id: &'a str,
    collected: Option<&'a str>,
}

impl Context<'_> {
    /// Adds the observation of a result item and, flattened, of its parts; returns its reference.
    fn observation(&self, item: &ResultItem, made: &mut Vec<Made>, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH || made.len() >= MAX_RESULTS {
            return None;
        }
        let code = item.code();
        let key = code
            .map(|c| format!("{}|{}", c.system.as_deref().unwrap_or_default(), c.code()))
            .unwrap_or_default();
        // The same analysis may stand twice (two samples): the count keeps ids apart, and equal over versions.
        let base = format!("observation|{}|{key}", self.report_id);
        let mut id = hash(&format!("{base}|0"));
        for n in 1..MAX_RESULTS {
            if made.iter().all(|m| m.id != id) {
                break;
            }
            id = hash(&format!("{base}|{n}"));
        }
        let serv_type = item
            .serv_type
            .as_ref()
            .unwrap_or(&self.report.serv_type)
            .code();
        // A correction or cancellation of the report reaches items that say "new" themselves.
        let serv_type = match self.report.serv_type.code() {
            "C" => "C",
            "M" if serv_type == "N" => "M",
            _ => serv_type,
        };
        let status = item.status.as_ref().map(Coded::code).unwrap_or_default();
        let effective = self
            .collected
            .map(str::to_owned)
            .or_else(|| item.examined.as_ref().and_then(instant))
            .or_else(|| instant(&self.report.issue_date))
            .or_else(|| self.issued.map(str::to_owned));
        let mut body = json!({
            "resourceType": "Observation",
            "meta": { "profile": [format!("{NILAR}/StructureDefinition/nilar-observation")] },
            "extension": [{
                "url": format!("{NILAR}/StructureDefinition/nilar-diagnostic-report-ref"),
                "valueReference": reference("DiagnosticReport", self.report_id),
            }],
            "status": observation_status(status, serv_type),
            "code": observation_code(item),
            "subject": self.subject,
            "performer": [self.performer],
        });
        put(
            &mut body,
            "effectiveDateTime",
            effective.clone().map(Value::from),
        );
        put(&mut body, "issued", self.issued.map(Value::from));
        if serv_type != "C" {
            value(item, &mut body);
        }
        if let Some((code, display)) = item
            .deviation
            .as_ref()
            .and_then(|d| interpretation(d.code()))
        {
            put(
                &mut body,
                "interpretation",
                Some(
                    json!([{ "coding": [{ "system": INTERPRETATION, "code": code, "display": display }] }]),
                ),
            );
        }
        let ranges: Vec<Value> = item
            .reference_ranges
            .iter()
            .filter_map(|r| r.text.as_deref())
            .map(|t| json!({ "text": t }))
            .collect();
        if !ranges.is_empty() {
            put(&mut body, "referenceRange", Some(Value::from(ranges)));
        }
        if let Some(comment) = item.comment.as_deref().filter(|c| !c.trim().is_empty()) {
            put(&mut body, "note", Some(json!([{ "text": comment }])));
        }
        if let Some(method) = item.investigations.first().and_then(|i| i.specs.first()) {
            put(
                &mut body,
                "method",
                Some(json!({ "coding": [coding(method, 8354)] })),
            );
        }
        let place = made.len();
        made.push(Made {
            id: id.clone(),
            body,
            effective,
            is_top: depth == 0,
        });
        let members: Vec<Value> = item
            .parts
            .iter()
            .filter_map(|part| self.observation(part, made, depth + 1))
            .collect();
        if !members.is_empty()
            && let Some(own) = made.get_mut(place)
        {
            put(&mut own.body, "hasMember", Some(Value::from(members)));
        }
        Some(reference("Observation", &id))
    }
}

fn observation_code(item: &ResultItem) -> Value {
    let codings: Vec<Value> = item
        .investigations
        .iter()
        .flat_map(|i| &i.ids)
        .map(|id| {
            let mut coding = coding(id, 7280);
            if coding.get("display").is_none()
                && let Some(known) = lab::analyte(id.code())
            {
                put(&mut coding, "display", Some(Value::from(known.short_name)));
            }
            coding
        })
        .collect();
    let text = item
        .code()
        .map(|c| c.label())
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .or_else(|| {
            item.code()
                .and_then(|c| lab::analyte(c.code()))
                .map(|a| a.short_name.to_owned())
        })
        .or_else(|| item.investigations.first().and_then(|i| i.comment.clone()));
    let mut code = json!({});
    if !codings.is_empty() {
        put(&mut code, "coding", Some(Value::from(codings)));
    }
    put(&mut code, "text", text.map(Value::from));
    code
}

fn value(item: &ResultItem, body: &mut Value) {
    if let Some(number) = &item.number {
        let text = number.value.value.as_deref().unwrap_or_default();
        let sign = comparator(
            number
                .comparator
                .as_ref()
                .map(Coded::code)
                .unwrap_or_default(),
        );
        let printed = number.value.unit.as_deref().filter(|u| !u.is_empty());
        match (decimal(text), sign) {
            (Some(decimal), Ok(sign)) => {
                let mut quantity = json!({ "value": decimal });
                put(&mut quantity, "comparator", sign.map(Value::from));
                put(&mut quantity, "unit", printed.map(Value::from));
                let known = item.code().and_then(|c| lab::analyte(c.code()));
                // UCUM only where the printed unit is the analysis's own: nothing is converted by guess.
                if let Some(ucum) = known.filter(|a| a.unit == printed).and_then(|a| a.ucum) {
                    put(
                        &mut quantity,
                        "system",
                        Some(Value::from("http://unitsofmeasure.org")),
                    );
                    put(&mut quantity, "code", Some(Value::from(ucum)));
                }
                put(body, "valueQuantity", Some(quantity));
            }
            _ => {
                let words = format!("{text} {}", printed.unwrap_or_default());
                put(body, "valueString", Some(Value::from(words.trim())));
            }
        }
    } else if let Some(text) = &item.text {
        let words = text.text.as_ref().map(|t| t.text()).unwrap_or_default();
        let codings: Vec<Value> = text.codes.iter().map(|c| coding(c, 8340)).collect();
        let mut concept = json!({});
        if !codings.is_empty() {
            put(&mut concept, "coding", Some(Value::from(codings)));
        }
        put(
            &mut concept,
            "text",
            (!words.is_empty()).then(|| Value::from(words)),
        );
        put(body, "valueCodeableConcept", Some(concept));
    } else if let Some(interval) = &item.interval {
        let end = |q: &Option<edi::value::Quantity>| {
            let q = q.as_ref()?;
            let mut quantity = json!({ "value": decimal(q.value.as_deref()?)? });
            put(&mut quantity, "unit", q.unit.as_deref().map(Value::from));
            Some(quantity)
        };
        let mut range = json!({});
        put(&mut range, "low", end(&interval.low));
        put(&mut range, "high", end(&interval.high));
        put(body, "valueRange", Some(range));
    } else if let Some(date) = item.date.as_ref().and_then(|d| instant(&d.value)) {
        put(body, "valueDateTime", Some(Value::from(date)));
    }
}

/// Department before institution, names joined (spec/nilar.md §2.2).
fn performer(report: &ServReport, parties: &Parties) -> Value {
    let hcp = report
        .performer
        .as_ref()
        .map_or(&report.provider.hcp, |p| &p.hcp);
    let inst = hcp.inst.as_ref();
    let dept = inst.and_then(|i| i.depts.first());
    let names: Vec<&str> = [
        inst.and_then(|i| i.name.as_deref()),
        dept.and_then(|d| d.name.as_deref()),
    ]
    .into_iter()
    .flatten()
    .filter(|n| !n.is_empty())
    .collect();
    let her_id = dept
        .and_then(|d| d.id.clone())
        .or_else(|| inst.and_then(|i| i.id.clone()))
        .unwrap_or_else(|| parties.laboratory_her_id.to_string());
    json!({
        "type": "Organization",
        "identifier": { "system": registers::HER_SYSTEM, "value": her_id },
        "display": if names.is_empty() { parties.laboratory.clone() } else { names.join(", ") },
    })
}

fn collected(patient: &Patient) -> Option<String> {
    patient
        .subjects
        .iter()
        .filter_map(|s| s.sample.as_ref()?.collected.as_ref())
        .filter_map(instant)
        .min()
}

/// A time as FHIR writes it, with the precision it was written with.
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

fn coding(code: &Coded, default_list: u32) -> Value {
    let system = match code.system.as_deref() {
        // National lists in the form of the implementation guide (spec/nilar.md §3.2); others as they came.
        Some(oid) if !oid.is_empty() => match codes::oid::list_number(oid) {
            Some(number) => list(number),
            None => codes::oid::to_fhir_uri(oid).into_owned(),
        },
        _ => list(default_list),
    };
    let mut coding = json!({ "system": system, "code": code.code() });
    put(
        &mut coding,
        "display",
        (!code.label().is_empty()).then(|| Value::from(code.label())),
    );
    coding
}

fn list(number: u32) -> String {
    format!("http://ehelse.no/fhir/CodeSystem/no-kodeverk-{number}")
}

fn reference(rtype: &str, id: &str) -> Value {
    json!({ "reference": format!("{rtype}/{id}") })
}

/// Sets a member of an object; nothing else is one.
pub(crate) fn put(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(value), Some(members)) = (value, object.as_object_mut()) {
        members.insert(name.to_owned(), value);
    }
}
