//! The test-token service (spec §15): what a request asks for, and the claims and the DPoP proof made of it.
//!
//! Two kinds of clients exist: one sends camelCase, enums as names and leaves defaults out; the other PascalCase, enums
//! as numbers and every member. So names are compared without case, and null, the empty text and what is missing mean
//! the same.

mod attest;
mod claims;
mod proof;

pub use claims::{Ground, Made, Person, make};
pub use proof::{Flaw, make_proof};

use serde_json::{Map, Value};

/// Why a request cannot be fulfilled; the text is for its sender.
pub type Refusal = String;

/// A part of the request; one that is missing reads as empty.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(Option<&'a Map<String, Value>>);

/// Brings all member names into lower case.
///
/// # Errors
/// When two names of one object differ in case only.
pub fn lower_case(value: Value) -> Result<Value, Refusal> {
    match value {
        Value::Object(map) => {
            let mut lower = Map::new();
            for (name, value) in map {
                let name = name.to_lowercase();
                if lower.insert(name.clone(), lower_case(value)?).is_some() {
                    let name: String = name.chars().take(60).collect();
                    return Err(format!("the member {name} is there twice"));
                }
            }
            Ok(Value::Object(lower))
        }
        Value::Array(elements) => elements
            .into_iter()
            .map(lower_case)
            .collect::<Result<_, _>>()
            .map(Value::Array),
        other => Ok(other),
    }
}

impl<'a> Fields<'a> {
    /// The whole request, its names in lower case already.
    #[must_use]
    pub fn new(request: &'a Map<String, Value>) -> Self {
        Self(Some(request))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0?
            .get(&name.to_lowercase())
            .filter(|value| !value.is_null())
    }

    /// A part.
    ///
    /// # Errors
    /// When it is no object.
    pub fn part(&self, name: &str) -> Result<Self, Refusal> {
        match self.get(name) {
            None => Ok(Self(None)),
            Some(Value::Object(map)) => Ok(Self(Some(map))),
            Some(_) => Err(format!("{name} must be an object")),
        }
    }

    /// A text; `None` when it is empty. Numbers are taken as they are written.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{name} must be a text")),
        }
    }

    /// A switch, off when missing.
    ///
    /// # Errors
    /// When it is no boolean.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("{name} must be true or false")),
        }
    }

    /// A whole number, zero when missing.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, name: &str) -> Result<i64, Refusal> {
        match self.get(name) {
            None => Ok(0),
            Some(value) => value
                .as_i64()
                .ok_or_else(|| format!("{name} must be a whole number")),
        }
    }

    /// An enum by name or number.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn choice(&self, name: &str, names: &[&str]) -> Result<Option<usize>, Refusal> {
        let found = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => names
                .iter()
                .position(|known| known.eq_ignore_ascii_case(text)),
            Some(value) => value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number < names.len()),
        };
        found
            .map(Some)
            .ok_or_else(|| format!("{name} must be one of {}", names.join(", ")))
    }

    /// A list of texts; one text counts as a list of one, and blanks part it.
    ///
    /// # Errors
    /// When it is something else.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let wrong = || format!("{name} must be a list of texts");
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => {
                Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
            }
            Some(Value::Array(elements)) => elements
                .iter()
                .map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// A list of objects.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parts(&self, name: &str) -> Result<Vec<Self>, Refusal> {
        let wrong = || format!("{name} must be a list of objects");
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(elements)) => elements
                .iter()
                .map(|one| one.as_object().map(|map| Self(Some(map))).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_read_the_same() {
        for request in [
            json!({"Audience":"nhn:x","Mode":2,"On":true,"Empty":"","Part":{"A":1},"List":["a"]}),
            json!({"audience":"nhn:x","mode":"Two","on":true,"part":{"a":"1"},"list":"a","empty":null}),
        ] {
            let request = lower_case(request).unwrap();
            let fields = Fields::new(request.as_object().unwrap());
            assert_eq!(fields.text("audience").unwrap().as_deref(), Some("nhn:x"));
            assert_eq!(fields.text("empty").unwrap(), None);
            assert_eq!(
                fields.choice("mode", &["Zero", "One", "Two"]).unwrap(),
                Some(2)
            );
            assert!(fields.flag("On").unwrap());
            assert!(!fields.flag("off").unwrap());
            let part = fields.part("part").unwrap();
            assert_eq!(part.text("A").unwrap().as_deref(), Some("1"));
            assert_eq!(fields.texts("list").unwrap(), ["a"]);
            assert!(fields.part("none").unwrap().text("x").unwrap().is_none());
        }
    }

    #[test]
    fn refusals_name_the_member() {
        let request = json!({"a":1,"b":"x","c":[1],"d":{}});
        let fields = Fields::new(request.as_object().unwrap());
        for refused in [
            fields.part("a").err(),
            fields.flag("b").err(),
            fields.number("b").err(),
            fields.text("d").err(),
            fields.texts("c").err(),
            fields.parts("c").err(),
            fields.choice("b", &["y"]).err(),
            fields.choice("a", &["y"]).err(),
        ] {
            assert!(refused.is_some_and(|text| text.contains(" must be ")));
        }
        assert!(lower_case(json!({"A":1,"a":2})).is_err());
    }

    /// Members of the request, some as one client writes them and some as the other does, and names it does not know.
    const NAMES: [&str; 40] = [
        "audience",
        "Audience",
        "clientClaimsParametersGeneration",
        "userClaimsParametersGeneration",
        "withoutDefaultClientClaims",
        "WithoutDefaultUserClaims",
        "issuerEnvironment",
        "setInvalidIssuer",
        "SetInvalidAudience",
        "signJwtWithInvalidSigningKey",
        "getPersonFromPersontjenesten",
        "setSubject",
        "setPidPseudonym",
        "createTillitsrammeverkClaims",
        "createTokenExchangeClaims",
        "tokenExchangeParameters",
        "expirationParameters",
        "setExpirationTimeAsExpired",
        "expirationTimeInSeconds",
        "expirationTimeInDays",
        "headerParameters",
        "typ",
        "clientClaimsParameters",
        "scope",
        "clientTenancyType",
        "orgnrParent",
        "cnfJkt",
        "cnfPublicKey",
        "userClaimsParameters",
        "pid",
        "securityLevel",
        "amr",
        "tillitsrammeverkClaimsParameters",
        "practitionerAuthorization",
        "careRelationshipDecisionRefUserSelected",
        "patients",
        "apiSpecificClaims",
        "type",
        "value",
        "nothing known",
    ];

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (0i64..5).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "(nhn:pps|Default|MultiTenant|06828399789|4|1e400)".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 60, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                any_object(inner),
            ]
        })
    }

    fn any_object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        let member = (proptest::sample::select(NAMES.as_slice()), values);
        proptest::collection::vec(member, 0..8).prop_map(|members| {
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        })
    }

    /// What the handler does with a body, up to the claims.
    fn read(body: &[u8]) -> Result<Made, Refusal> {
        let apis = crate::config::national_apis();
        let person = |pid: &str| {
            (pid == "06828399789").then(|| Person {
                pid: pid.to_owned(),
                names: ("Kvart".to_owned(), None, "Grevling".to_owned()),
                hpr: Some("565505933".to_owned()),
            })
        };
        let ground = Ground {
            issuer: "https://issuer.example",
            now_s: 1_760_000_000,
            apis: &apis,
            subject: &|pid| format!("sub-{}", pid.len()),
            person: &person,
            anybody: person("06828399789"),
            organisation: Some("981275721".to_owned()),
            ids: ["A".repeat(32), "B".repeat(32)],
        };
        let request = jose::strict_json::object(body).map_err(|error| error.to_string())?;
        let request = lower_case(Value::Object(request))?;
        make(
            Fields::new(request.as_object().ok_or("no object")?),
            &ground,
            Some("jkt"),
        )
    }

    proptest! {
        #[test]
        fn any_request_is_made_or_refused(request in any_object(any_value())) {
            match read(request.to_string().as_bytes()) {
                Ok(made) => {
                    let life_s = |from: i64| made.claims.time("exp").map(|to| to.map(|to| to - from));
                    prop_assert!(made.claims.0.contains_key("iss") && made.claims.0.contains_key("aud"));
                    // What the request itself sets as an API's claim is its own business.
                    if !request.to_string().contains("apiSpecificClaims") {
                        prop_assert!(matches!(life_s(1_760_000_000), Ok(Some(life_s)) if life_s <= 3_650 * 86_400));
                    }
                }
                Err(refusal) => prop_assert!(!refusal.is_empty() && refusal.chars().count() < 2_000, "{}", refusal),
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
