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
        }
    }
}
