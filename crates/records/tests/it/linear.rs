//! Law 1 (spec/privacy.md §8.2): a search is the linear scan with the reference matcher, then the filter.
//!
//! The judge knows no index: it looks at every document with `fhir::keys::matches`, which is written without byte keys.

use crate::world::*;
use fhir::pack::ParamInfo;
use fhir::refs::Target;
use fhir::{Doc, Limits, Pack};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CODES: [&str; 4] = ["718-7", "2345-7", "718-70", "A"];
const SYSTEMS: [&str; 2] = ["http://loinc.org", "urn:oid:2.16.578.1.12.4.1.1.7280"];
const UNITS: [&str; 3] = ["g", "mg", "kg"];
const PATIENTS: u8 = 4;

/// A patient; a number below [`PATIENTS`] is the id.
fn patient(id: u8) -> impl Strategy<Value = Value> {
    (
        "[A-Za-zÆØÅæøå]{1,8}",
        prop::option::of(prop::sample::select(vec!["male", "female"])),
        prop::option::of(1950..2000u16),
        prop::option::of(0..PATIENTS),
    )
        .prop_map(move |(family, gender, born, other)| {
            let mut p = json!({ "resourceType": "Patient", "id": format!("p{id}"), "name": [{ "family": family }] });
            if let Some(gender) = gender {
                p["gender"] = json!(gender);
            }
            if let Some(born) = born {
                p["birthDate"] = json!(born.to_string());
            }
            if let Some(other) = other {
                p["link"] = json!([{ "type": "seealso", "other": { "reference": format!("Patient/p{other}") } }]);
            }
            p
        })
}

fn quantity() -> impl Strategy<Value = Value> {
    (-2_000..2_000i32, 0..UNITS.len(), any::<bool>()).prop_map(|(value, unit, is_ucum)| {
        let mut q = json!({ "value": f64::from(value) / 4.0, "unit": UNITS[unit] });
        if is_ucum {
            q["system"] = json!("http://unitsofmeasure.org");
            q["code"] = json!(UNITS[unit]);
        }
        q
    })
}

fn coded() -> impl Strategy<Value = Value> {
    prop::collection::vec((0..CODES.len(), prop::option::of(0..SYSTEMS.len())), 1..3).prop_map(
        |codings| {
            let codings: Vec<Value> = codings
                .into_iter()
                .map(|(code, system)| match system {
                    Some(system) => json!({ "system": SYSTEMS[system], "code": CODES[code], "display": format!("Kode {}", CODES[code]) }),
                    None => json!({ "code": CODES[code] }),
                })
                .collect();
            json!({ "coding": codings })
        },
    )
}

fn observation() -> impl Strategy<Value = Value> {
    (
        coded(),
        prop::option::of(quantity()),
        prop::option::of((1..13u8, 1..28u8, prop::option::of(0..24u8), any::<bool>())),
        prop::option::of((0..PATIENTS + 1, any::<bool>())),
        prop::option::of("[A-Za-zÆØÅæøå ]{1,12}"),
        any::<bool>(),
        prop::collection::vec((coded(), quantity()), 0..3),
    )
        .prop_map(|(code, value, date, patient, text, is_final, components)| {
            let mut o = json!({
                "resourceType": "Observation",
                "status": if is_final { "final" } else { "amended" },
                "code": code,
            });
            if let Some(value) = value {
                o["valueQuantity"] = value;
            } else if let Some(text) = text {
                o["valueString"] = json!(text);
            }
            if let Some((month, day, hour, is_open)) = date {
                match (hour, is_open) {
                    (Some(hour), _) => {
                        o["effectiveDateTime"] =
                            json!(format!("2026-{month:02}-{day:02}T{hour:02}:30:00+01:00"))
                    }
                    (None, false) => {
                        o["effectiveDateTime"] = json!(format!("2026-{month:02}-{day:02}"))
                    }
                    (None, true) => {
                        o["effectivePeriod"] =
                            json!({ "start": format!("2026-{month:02}-{day:02}") })
                    }
                }
            }
            if let Some((patient, is_absolute)) = patient {
                let base = if is_absolute {
                    format!("{BASE}/sandbox/")
                } else {
                    String::new()
                };
                o["subject"] = json!({ "reference": format!("{base}Patient/p{patient}") });
            }
            if !components.is_empty() {
                // obs-7: a value stands at the code or at a component with the code, not at both.
                let members = o.as_object_mut().unwrap();
                members.remove("valueQuantity");
                members.remove("valueString");
                o["component"] = components
                    .into_iter()
                    .map(|(code, value)| json!({ "code": code, "valueQuantity": value }))
                    .collect();
            }
            o
        })
}

/// `name[:modifier]` and value, on Observation.
fn condition() -> impl Strategy<Value = (String, String)> {
    let prefix = prop::sample::select(vec![
        "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap",
    ]);
    let unit = prop::sample::select(vec![
        "",
        "||mg",
        "|http://unitsofmeasure.org|g",
        "|http://unitsofmeasure.org|mg",
    ]);
    let on_patient = prop_oneof![
        ("[a-zæøå]{1,2}").prop_map(|v| ("name".to_owned(), v)),
        prop::sample::select(vec!["gender", "gender:not"])
            .prop_map(|n| (n.to_owned(), "female".to_owned())),
        Just(("gender:missing".to_owned(), "true".to_owned())),
        (1950..2000u16).prop_map(|y| ("birthdate".to_owned(), format!("lt{y}"))),
        (1950..2000u16).prop_map(|y| ("link.birthdate".to_owned(), format!("ge{y}"))),
    ];
    prop_oneof![
        (
            prop::sample::select(CODES.to_vec()),
            prop::sample::select(vec!["code", "code:not", "combo-code", "component-code"])
        )
            .prop_map(|(c, n)| (n.to_owned(), c.to_owned())),
        (0..CODES.len(), 0..SYSTEMS.len())
            .prop_map(|(c, s)| ("code".to_owned(), format!("{}|{}", SYSTEMS[s], CODES[c]))),
        (0..CODES.len()).prop_map(|c| ("code".to_owned(), format!("|{},{}", CODES[c], CODES[0]))),
        (0..SYSTEMS.len()).prop_map(|s| ("code".to_owned(), format!("{}|", SYSTEMS[s]))),
        Just(("code:text".to_owned(), "kode 7".to_owned())),
        (prefix.clone(), 1..13u8).prop_map(|(p, m)| ("date".to_owned(), format!("{p}2026-{m:02}"))),
        (prefix.clone(), 1..13u8, 1..28u8)
            .prop_map(|(p, m, d)| ("date".to_owned(), format!("{p}2026-{m:02}-{d:02}"))),
        (prefix.clone(), -500..500i32, unit.clone())
            .prop_map(|(p, n, u)| ("value-quantity".to_owned(), format!("{p}{n}{u}"))),
        (
            prefix,
            -500..500i32,
            unit,
            0..CODES.len(),
            prop::sample::select(vec![
                "component-code-value-quantity",
                "code-value-quantity",
                "combo-code-value-quantity"
            ])
        )
            .prop_map(|(p, n, u, c, name)| (name.to_owned(), format!("{}${p}{n}{u}", CODES[c]))),
        (0..PATIENTS + 1).prop_map(|n| ("subject".to_owned(), format!("Patient/p{n}"))),
        (0..PATIENTS + 1).prop_map(|n| ("patient".to_owned(), format!("p{n}"))),
        prop::sample::select(vec!["true", "false"]).prop_flat_map(|v| prop::sample::select(vec![
            "date:missing",
            "subject:missing",
            "value-string:missing",
            "value-quantity:missing",
            "component-code-value-quantity:missing",
        ])
        .prop_map(move |n| (n.to_owned(), v.to_owned()))),
        (
            "[a-zæøå]{1,3}",
            prop::sample::select(vec![
                "value-string",
                "value-string:contains",
                "value-string:exact",
                "value-string:text",
            ])
        )
            .prop_map(|(v, n)| (n.to_owned(), v)),
        prop::sample::select(vec!["final", "amended", "final,amended", "x"])
            .prop_map(|v| ("status".to_owned(), v.to_owned())),
        on_patient.prop_map(|(n, v)| (format!("patient.{n}"), v)),
    ]
}

/// Knows all live documents and no index.
struct Judge {
    docs: BTreeMap<String, Doc>,
    options: fhir::keys::Options,
}

impl Judge {
    fn param(doc: &Doc, code: &str) -> &'static ParamInfo {
        Pack::r4().param(doc.resource_type(), code).unwrap()
    }

    fn holds(&self, doc: &Doc, name: &str, value: &str) -> bool {
        if let Some(rest) = name.strip_prefix("_has:") {
            let parts: Vec<&str> = rest.splitn(3, ':').collect();
            let own = format!("{}/{}", doc.resource_type(), doc.id().unwrap());
            return self.docs.values().any(|other| {
                other.resource_type() == parts[0]
                    && self.leads_to(other, parts[1]).contains(&own)
                    && self.holds(other, parts[2], value)
            });
        }
        if let Some((code, rest)) = name.split_once('.') {
            return self
                .leads_to(doc, code)
                .iter()
                .filter(|target| target.starts_with("Patient/"))
                .filter_map(|target| self.docs.get(target))
                .any(|target| self.holds(target, rest, value));
        }
        let (code, modifier) = match name.split_once(':') {
            Some((code, modifier)) => (code, Some(modifier)),
            None => (name, None),
        };
        let param = Self::param(doc, code);
        fhir::keys::matches::matches(Pack::r4(), param, modifier, value, doc, &self.options)
            .unwrap()
    }

    fn leads_to(&self, doc: &Doc, code: &str) -> Vec<String> {
        fhir::refs::param_targets(Self::param(doc, code), doc, &self.options.own_bases)
            .into_iter()
            .filter_map(|t| match t {
                Target::Local {
                    resource_type, id, ..
                } => Some(format!("{resource_type}/{id}")),
                _ => None,
            })
            .collect()
    }

    fn matching(&self, rtype: &str, conditions: &[(String, String)]) -> Vec<String> {
        self.docs
            .iter()
            .filter(|(_, doc)| doc.resource_type() == rtype)
            .filter(|(_, doc)| conditions.iter().all(|(n, v)| self.holds(doc, n, v)))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

/// Puts, deletes, and what is there afterwards.
async fn load(world: &World, patients: &[Value], observations: &[Value]) -> Judge {
    send(&world.sandbox, "DELETE", "$reset", &[], "").await;
    let mut docs = BTreeMap::new();
    for body in patients.iter().chain(observations) {
        let rtype = body["resourceType"].as_str().unwrap();
        let (method, address) = match body["id"].as_str() {
            Some(id) => ("PUT", format!("{rtype}/{id}")),
            None => ("POST", rtype.to_owned()),
        };
        let reply = send(&world.sandbox, method, &address, &[], &body.to_string()).await;
        assert!(reply.status < 300, "{}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let doc = Doc::parse_json(reply.bytes.clone(), &Limits::default()).unwrap();
        docs.insert(format!("{rtype}/{id}"), doc);
    }
    // Some are gone again: they match nothing and lead nowhere.
    let gone: Vec<String> = docs.keys().step_by(7).cloned().collect();
    for id in gone {
        send(&world.sandbox, "DELETE", &id, &[], "").await;
        docs.remove(&id);
    }
    Judge {
        docs,
        options: fhir::keys::Options {
            own_bases: vec![format!("{BASE}/sandbox")],
            ..fhir::keys::Options::default()
        },
    }
}

fn encoded(conditions: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(conditions)
        .finish()
}

#[test]
fn searches_equal_linear_scans() {
    equal_linear_scans(&World::new(), 12);
}

#[test]
fn searches_equal_linear_scans_on_postgres() {
    if let Some(world) = World::on_postgres() {
        equal_linear_scans(&world, 4);
    }
}

fn equal_linear_scans(world: &World, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(cases));
    let patients: Vec<_> = (0..PATIENTS).map(patient).collect();
    let queries = prop::collection::vec(prop::collection::vec(condition(), 1..4), 12);
    let input = (
        patients,
        prop::collection::vec(observation(), 1..40),
        queries,
        prop::sample::select(vec![
            "",
            "_sort=date",
            "_sort=-date,status",
            "_sort=-value-quantity",
            "_sort=subject,-_id",
            "_sort=code",
        ]),
    );
    runner
        .run(&input, |(patients, observations, queries, sort)| {
            runtime.block_on(async {
                let judge = load(world, &patients, &observations).await;
                for conditions in &queries {
                    let query = encoded(conditions);
                    let expected = judge.matching("Observation", conditions);
                    // Whole, and page by page.
                    for count in [1_000, 5] {
                        let mut found = Vec::new();
                        let mut next = Some(format!(
                            "Observation?{query}&_count={count}&_total=accurate&{sort}"
                        ));
                        while let Some(address) = next {
                            let reply = get(&world.sandbox, &address).await;
                            prop_assert_eq!(reply.status, 200, "{}: {}", query, reply.text());
                            prop_assert_eq!(
                                reply.json()["total"].as_u64(),
                                Some(expected.len() as u64),
                                "{}",
                                query
                            );
                            found.extend(reply.ids("match"));
                            next = reply.link("next");
                        }
                        found.sort();
                        prop_assert_eq!(&found, &expected, "{} {}", query, sort);
                    }
                    // The other way round: whose observations these are.
                    let by_has: Vec<(String, String)> = conditions
                        .iter()
                        .map(|(n, v)| (format!("_has:Observation:patient:{n}"), v.clone()))
                        .collect();
                    let mut found = get(&world.sandbox, &format!("Patient?{}", encoded(&by_has)))
                        .await
                        .ids("match");
                    found.sort();
                    prop_assert_eq!(
                        found,
                        judge.matching("Patient", &by_has),
                        "{}",
                        encoded(&by_has)
                    );
                }
                Ok(())
            })
        })
        .unwrap();
}
