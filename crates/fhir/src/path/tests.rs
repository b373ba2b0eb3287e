use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Doc, Limits};

fn doc() -> Doc {
    let text = r##"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"s","code":"a"},{"system":"s","code":"b"}]},
        "subject":{"reference":"Patient/1"},"hasMember":[{"reference":"#c"},{"reference":"http://else/Observation/7"}],"contained":[{"resourceType":"Observation","id":"c","status":"final"}],
        "valueQuantity":{"value":5.0,"unit":"mg","system":"http://unitsofmeasure.org","code":"mg"},"effectiveDateTime":"2020-01-01"}"##;
    Doc::parse_json(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn eval(text: &str) -> Vec<String> {
    let d = doc();
    let e = Expr::compile(text).unwrap_or_else(|e| panic!("{e}"));
    let found = e
        .eval(d.root(), 0)
        .unwrap_or_else(|e| panic!("{text}: {e}"));
    found
        .iter()
        .map(|i| {
            to_text(&i.system())
                .unwrap_or_else(|| i.node().map(|n| n.path()).unwrap_or_else(|| "?".into()))
        })
        .collect()
}

#[test]
fn what_the_definitions_ask_for() {
    for (text, want) in [
        ("Observation.code.coding.code", &["a", "b"][..]),
        ("Observation.value.as(Quantity).value", &["5.0"]),
        ("(Observation.value as CodeableConcept).text", &[]),
        ("Observation.value > 4999 'ug'", &["true"]),
        (
            "Observation.subject.where(resolve() is Patient).reference",
            &["Patient/1"],
        ),
        ("Observation.subject.where(resolve() is Device)", &[]),
        ("Observation.hasMember.resolve().id", &["c"]),
        (
            "Observation.hasMember.where(resolve() is Observation).count()",
            &["2"],
        ),
        ("Patient.name", &[]),
        ("Resource.status | DomainResource.status", &["final"]),
        ("status.exists() and value.exists().not()", &["false"]),
        ("contained[0].status", &["final"]),
        ("contained.select(%resource.id)", &[]),
        (
            "defineVariable('c', code.coding.code).select(%c.first() & %c.last())",
            &["ab"],
        ),
        ("effective + 1 month", &["2020-02-01"]),
        ("descendants().where($this is code).count()", &["5"]),
        ("code.coding.select($index)", &["0", "1"]),
        ("code.coding.aggregate($total & $this.code, '')", &["ab"]),
    ] {
        assert_eq!(eval(text), want, "{text}");
    }
}

#[test]
fn faults_name_the_place() {
    for (text, offset) in [
        ("a.", 2),
        ("a..b", 2),
        ("nope()", 0),
        ("a +", 3),
        ("(a", 2),
        ("'x", 2),
        ("1 2", 2),
        ("a.first(1)", 2),
        ("@2020-13-01", 11),
        ("a b", 2),
    ] {
        let e = Expr::compile(text).unwrap_err();
        assert_eq!(e.offset, offset, "{text}: {e}");
    }
}

#[test]
fn long_and_deep_expressions_fit_the_stack_or_are_refused() {
    let d = doc();
    let run = |text: String| match Expr::compile(&text) {
        Ok(e) => {
            let _ = e.eval(d.root(), 0);
            true
        }
        Err(_) => false,
    };
    assert!(run(format!("a{}", ".a".repeat(390))));
    assert!(!run(format!("a{}", ".a".repeat(500))));
    assert!(run(format!("1{}", "+1".repeat(190))));
    assert!(run(format!("a{}", "|a".repeat(190))));
    assert!(run(format!("{}a{}", "(".repeat(50), ")".repeat(50))));
    assert!(run(format!(
        "{}true{}",
        "where(".repeat(50),
        ")".repeat(50)
    )));
    assert!(run(format!(
        "{}true{}",
        "iif(true,".repeat(50),
        ")".repeat(50)
    )));
    assert!(run(format!("{}1", "-".repeat(50))));
    assert!(!run(format!("{}1", "-".repeat(5000))));
    assert!(!run(format!("{}a", "(".repeat(20_000))));
    assert!(!run("a".repeat(40_000)));
}

#[test]
fn evaluation_is_bounded() {
    let d = doc();
    for text in [
        "descendants().select(%resource.descendants()).select(%resource.descendants()).select(%resource.descendants()).select(%resource.descendants())",
        "(1 | 2).repeat($this + 1)",
        "'abcdefgh'.replace('', 'xxxxxxxx').replace('', 'xxxxxxxxxxxxxxxx').replace('', 'xxxxxxxxxxxxxxxxxxxxxxxx').replace('', 'xxxxxxxxxxxxxxxxxxxxxxxxxxx').replace('', 'xxxxxxxxxxxxxxxxxxxxxxxxxxx')",
    ] {
        let e = Expr::compile(text).unwrap();
        assert_eq!(
            e.eval(d.root(), 0).unwrap_err(),
            EvalError::Budget,
            "{text}"
        );
    }
}

#[test]
fn texts_that_double_are_bounded() {
    let d = doc();
    for text in [
        "descendants().aggregate($total & $total, 'aaaaaaaaaaaaaaaa')",
        "descendants().aggregate($total + $total, 'aaaaaaaaaaaaaaaa')",
        "('a' | 'b' | 'c').aggregate((1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22).aggregate($total & $total, 'aaaaaaaaaaaaa'))",
        "defineVariable('x', (1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18).aggregate($total & $total, 'aaaaaaaaaaaaa')).descendants().select(%resource.descendants().select(%x))",
    ] {
        let e = Expr::compile(text).unwrap();
        assert_eq!(
            e.eval(d.root(), 0).unwrap_err(),
            EvalError::Budget,
            "{text}"
        );
    }
}

#[test]
fn many_texts_are_told_apart_in_few_steps() {
    let codes: Vec<String> = (0..5000)
        .map(|i| format!("{{\"code\":\"c{i}\"}}"))
        .collect();
    let text = format!(
        "{{\"resourceType\":\"CodeSystem\",\"status\":\"draft\",\"content\":\"complete\",\"concept\":[{},{{\"code\":\"c7\"}}]}}",
        codes.join(",")
    );
    let d = Doc::parse_json(Bytes::from(text), &Limits::default()).unwrap();
    let e = Expr::compile("concept.code.isDistinct()").unwrap();
    let env = Env::new(d.root(), 0).steps(200_000);
    assert_eq!(e.test(&env), Ok(Some(false)));
    let e = Expr::compile("concept.code.distinct().count() = 5000").unwrap();
    let env = Env::new(d.root(), 0).steps(200_000);
    assert_eq!(e.test(&env), Ok(Some(true)));
}

/// A world with one patient, one code system and one profile.
struct World;

impl crate::terminology::Terminology for World {
    fn members(
        &self,
        url: &str,
        _: usize,
    ) -> Result<std::sync::Arc<crate::terminology::Members>, crate::terminology::TerminologyError>
    {
        Err(crate::terminology::TerminologyError::Unknown {
            kind: "ValueSet",
            url: url.to_owned(),
        })
    }
    fn contains(
        &self,
        set: &str,
        system: Option<&str>,
        code: &str,
    ) -> Result<Option<bool>, crate::terminology::TerminologyError> {
        Ok((set == "http://set").then(|| system.is_none_or(|s| s == "s") && code == "a"))
    }
    fn descendants(
        &self,
        _: &str,
        code: &str,
        _: usize,
    ) -> Result<std::sync::Arc<[Box<str>]>, crate::terminology::TerminologyError> {
        Ok(std::sync::Arc::from(vec![Box::from(code)]))
    }
    fn ancestors(
        &self,
        _: &str,
        code: &str,
        _: usize,
    ) -> Result<std::sync::Arc<[Box<str>]>, crate::terminology::TerminologyError> {
        let mut list = vec![Box::from(code)];
        if code == "b" {
            list.push(Box::from("a"));
        }
        Ok(std::sync::Arc::from(list))
    }
    fn case_sensitive(&self, _: &str) -> Option<bool> {
        None
    }
}

impl Host for World {
    fn resolve(&self, reference: &str) -> Option<Doc> {
        (reference == "Patient/1").then(|| {
            Doc::parse_json(
                Bytes::from_static(b"{\"resourceType\":\"Patient\",\"id\":\"1\",\"active\":true}"),
                &Limits::default(),
            )
            .unwrap()
        })
    }
    fn conforms(&self, _: crate::Node<'_>, profile: &str) -> Option<bool> {
        (profile == "http://profile").then_some(true)
    }
    fn terminology(&self) -> Option<&dyn crate::terminology::Terminology> {
        Some(self)
    }
}

#[test]
fn the_world_outside_the_document() {
    let d = doc();
    let docs = Docs::default();
    let world = World;
    for (text, want) in [
        ("subject.resolve().active", Some(true)),
        ("subject.resolve() is Patient", Some(true)),
        ("subject.resolve().resolve().empty()", Some(true)),
        ("conformsTo('http://profile')", Some(true)),
        (
            "conformsTo('http://hl7.org/fhir/StructureDefinition/Patient')",
            Some(false),
        ),
        ("code.memberOf('http://set')", Some(true)),
        ("code.coding.last().memberOf('http://set')", Some(false)),
        ("code.memberOf('http://nowhere')", None),
        (
            "status.memberOf('http://hl7.org/fhir/ValueSet/observation-status')",
            Some(true),
        ),
        (
            "code.coding.first().subsumes(%context.code.coding.last())",
            Some(true),
        ),
        (
            "code.coding.last().subsumes(%context.code.coding.first())",
            Some(false),
        ),
        (
            "code.coding.last().subsumedBy(%context.code.coding.first())",
            Some(true),
        ),
        ("code.subsumes(%context.code.coding.last())", Some(true)),
        (
            "status.elementDefinition().path = 'Observation.status'",
            Some(true),
        ),
        ("value.elementDefinition().type.count() = 11", Some(true)),
        ("checkModifiers('http://m').exists()", Some(true)),
    ] {
        let e = Expr::compile(text).unwrap();
        let env = Env::new(d.root(), 0).outside(&world, &docs);
        assert_eq!(e.test(&env), Ok(want), "{text}");
    }
    for text in [
        "conformsTo('http://other')",
        "identifier.slice('http://x', 'y')",
        "code.slice('http://x', 'y')",
    ] {
        let e = Expr::compile(text).unwrap();
        let env = Env::new(d.root(), 0).outside(&world, &docs);
        assert_eq!(
            e.test(&env).is_err(),
            !text.starts_with("identifier"),
            "{text}"
        );
    }
}

#[test]
fn modifiers_that_are_not_understood_stop_an_expression() {
    let d = Doc::parse_json(
        Bytes::from_static(b"{\"resourceType\":\"Patient\",\"modifierExtension\":[{\"url\":\"http://m\",\"valueBoolean\":true}]}"),
        &Limits::default(),
    )
    .unwrap();
    let run = |text: &str| Expr::compile(text).unwrap().eval(d.root(), 0).is_ok();
    assert!(run("checkModifiers('http://m')"));
    assert!(!run("checkModifiers('http://other')"));
    assert!(!run("checkModifiers()"));
}

#[test]
fn static_check_knows_what_cannot_be() {
    let pack = Pack::r4();
    let patient = pack.type_id("Patient").unwrap();
    let observation = pack.type_id("Observation").unwrap();
    for (ty, text, good) in [
        (patient, "Patient.name.given.first()", true),
        (patient, "name.where(use = 'official').family", true),
        (patient, "name.given1", false),
        (patient, "Observation.status", false),
        (patient, "Resource.id", true),
        (patient, "birthDate.extension.url", true),
        (patient, "contained.anything", true),
        (patient, "name.as(HumanName)", false),
        (patient, "name.ofType(HumanName).given", true),
        (patient, "children().skip(1)", false),
        (patient, "children().where(id.exists())", true),
        (patient, "link.other.resolve().whatever", true),
        (
            patient,
            "contact.where(relationship.coding.cod = 'x')",
            false,
        ),
        (observation, "value.as(Quantity).unit", true),
        (observation, "(value as Period).unit", false),
        (observation, "valueQuantity", false),
        (observation, "component.value.ofType(string).length()", true),
        (observation, "iif('x', 1, 2)", false),
    ] {
        let e = Expr::compile(text).unwrap();
        assert_eq!(
            e.check(pack, ty).is_ok(),
            good,
            "{text}: {:?}",
            e.check(pack, ty)
        );
    }
}

#[test]
fn compiled_expressions_are_shared() {
    let a = compiled("name.given").unwrap();
    let b = compiled("name.given").unwrap();
    assert!(std::sync::Arc::ptr_eq(&a, &b));
    assert!(compiled("name.").is_err());
}

/// Search parameters and invariants of the definitions: what the static check says against them is known to be so.
#[test]
fn the_definitions_own_expressions_pass_the_static_check() {
    let pack = Pack::r4();
    let mut against = Vec::new();
    for (id, t) in pack.types() {
        for r in &t.rules {
            if let Some(Err(e)) = r.expr.as_ref().map(|x| x.check(pack, id)) {
                against.push(format!("{} {}: {e}", t.name, r.key));
            }
        }
        for e in t.elements.iter().filter_map(|e| pack.element(*e)) {
            for (r, ty) in e
                .rules
                .iter()
                .flat_map(|r| e.types.iter().map(move |t| (r, *t)))
            {
                if let Some(Err(x)) = r.expr.as_ref().map(|x| x.check(pack, ty)) {
                    against.push(format!("{}.{} {}: {x}", t.name, e.name, r.key));
                }
            }
        }
    }
    // A rule of SimpleQuantity on a choice is for its quantities; two rules of R4 name elements that are not there.
    against.retain(|a| {
        !a.contains(" sqty-1: ")
            && !a.starts_with("ChargeItemDefinition cid-0: ")
            && !a.starts_with("RiskAssessment.prediction.probability ras-1: ")
    });
    assert!(against.is_empty(), "{}", against.join("\n"));
}

#[test]
fn every_search_parameter_compiles_to_the_types_it_names() {
    let pack = Pack::r4();
    let mut n = 0;
    for ty in pack.resource_types() {
        for p in pack.params(pack.type_id(ty).unwrap()) {
            n += 1;
            assert!(p.expr.is_none() || !p.types.is_empty(), "{ty}.{}", p.code);
        }
    }
    assert!(n > 2000, "{n}");
}

proptest! {
    #[test]
    fn compiler_never_panics(text in "\\PC{0,60}") {
        let _ = Expr::compile(&text);
    }

    #[test]
    fn evaluation_never_panics(text in "(value|code|%resource|'a'|1|2.5|@2020|@2020-01-01T10:00|\\{\\})(\\.(coding|first\\(\\)|count\\(\\)|toString\\(\\)|lowBoundary\\(\\)|substring\\(1,-1\\)|power\\(99\\)|matches\\('\\('\\)|abs\\(\\)|children\\(\\)))?( ?(=|~|<|\\+|-|\\*|/|div|mod|and|in|\\||&|is) ?(value|'b'|0|-1|3 'mg'|1 year|true|code|Quantity)){0,3}") {
        if let Ok(e) = Expr::compile(&text) {
            let d = doc();
            let _ = e.eval(d.root(), 0);
            let _ = e.check(Pack::r4(), d.root().type_id());
        }
    }
}
