//! Search parameters as the caller wrote them: result parameters apart from conditions (spec/fhir-server.md §3.1, §3.4-§3.6).

use crate::outcome::{Failure, Issue};
use fhir::keys::query::split;
use std::collections::BTreeSet;

/// Entries of a page when the caller says nothing.
pub const DEFAULT_COUNT: usize = 50;
/// Most entries of a page.
pub const MAX_COUNT: usize = 1_000;
/// Most parameters of one search.
pub const MAX_PARAMETERS: usize = 100;
/// Longest parameter value, bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 10;
/// Most sort keys.
const MAX_SORT_KEYS: usize = 10;

/// A condition, not looked at yet: `name=value`, the name with its modifier or chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawCondition {
    /// Name with modifier or chain.
    pub name: String,
    /// Value, commas meaning OR.
    pub value: String,
}

impl RawCondition {
    /// By name and value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// `_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Total {
    /// Given when it costs nothing.
    #[default]
    IfCheap,
    /// Not given.
    None,
    /// Exact.
    Accurate,
}

/// `_summary`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    /// Everything.
    #[default]
    Full,
    /// Summary elements and mandatory ones.
    True,
    /// `text`, `id`, `meta`, mandatory ones.
    Text,
    /// All but `text`.
    Data,
    /// No entries.
    Count,
}

/// One `_include` or `_revinclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Source type; `*` = any.
    pub source: String,
    /// Parameter code; `*` = every reference parameter.
    pub param: String,
    /// Target type, when narrowed.
    pub target: Option<String>,
    /// Follows included resources too.
    pub iterates: bool,
    /// `_revinclude`.
    pub reverse: bool,
}

impl Include {
    /// Whether it was written as this parameter.
    pub fn was_written(&self, name: &str, value: &str) -> bool {
        include(name, value).is_ok_and(|i| i == *self)
    }
}

/// One sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Parameter code.
    pub code: String,
    /// Largest first.
    pub descending: bool,
}

/// A whole search, read but not compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchParams {
    /// Conditions in order.
    pub conditions: Vec<RawCondition>,
    /// `_type`, for searches over several types.
    pub types: Option<Vec<String>>,
    /// `_count` as wished, clamped; `None` = default.
    pub count: Option<usize>,
    /// `_count` was above [`MAX_COUNT`].
    pub was_clamped: bool,
    /// `_sort`.
    pub sort: Vec<SortKey>,
    /// `_total`.
    pub total: Total,
    /// `_summary`.
    pub summary: Summary,
    /// `_elements`.
    pub elements: Vec<String>,
    /// `_include` and `_revinclude`.
    pub includes: Vec<Include>,
    /// `_page`: a page link.
    pub page: Option<String>,
    /// The parameters as executed, for the self link.
    pub executed: Vec<(String, String)>,
    /// What was left out under lenient handling.
    pub ignored: Vec<Issue>,
}

impl SearchParams {
    /// Entries per page.
    pub fn page_size(&self) -> usize {
        self.count.unwrap_or(DEFAULT_COUNT)
    }

    /// Reads decoded parameters. `_format` and `_pretty` are not the search's business and are skipped.
    pub fn read(parameters: &[(String, String)]) -> Result<Self, Failure> {
        Self::read_as(parameters, false)
    }

    /// The same; a lenient caller gets what is not supported left out, and named.
    pub fn read_as(parameters: &[(String, String)], is_lenient: bool) -> Result<Self, Failure> {
        if parameters.len() > MAX_PARAMETERS {
            return Err(Failure::too_costly(format!(
                "more than {MAX_PARAMETERS} parameters"
            )));
        }
        let mut out = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in parameters {
            if value.len() > MAX_VALUE_BYTES {
                return Err(Failure::too_costly(format!(
                    "a parameter value is longer than {MAX_VALUE_BYTES} bytes"
                )));
            }
            if matches!(name.as_str(), "_format" | "_pretty") {
                continue;
            }
            let repeats = name.starts_with("_include") || name.starts_with("_revinclude");
            if is_result_parameter(name) && !repeats && !seen.insert(name.clone()) {
                return Err(Failure::bad(
                    "invalid",
                    format!("{name} may be given only once"),
                ));
            }
            match out.one(name, value) {
                Ok(()) => {}
                Err(failure) if is_lenient && failure.is_unsupported() => {
                    let issues = failure.issues.into_iter();
                    out.ignored
                        .extend(issues.map(|i| Issue::warning(i.code, i.text)));
                }
                Err(failure) => return Err(failure),
            }
        }
        if !out.elements.is_empty() && out.summary != Summary::Full {
            return Err(Failure::bad(
                "invalid",
                "_elements and _summary exclude each other",
            ));
        }
        // Neither has room for other resources.
        if matches!(out.summary, Summary::Count | Summary::Text) {
            out.includes.clear();
            out.executed.retain(|(name, _)| {
                !name.starts_with("_include") && !name.starts_with("_revinclude")
            });
        }
        Ok(out)
    }

    fn one(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "_count" => self.read_count(value)?,
            "_sort" => {
                self.sort = sort_keys(value)?;
                self.did(name, value);
            }
            "_total" => {
                self.total = match value {
                    "none" => Total::None,
                    "estimate" | "accurate" => Total::Accurate,
                    _ => {
                        return Err(Failure::bad(
                            "value",
                            "_total must be none, estimate or accurate",
                        ));
                    }
                };
                self.did(name, value);
            }
            // fhirpy's word for `_total`, from another server.
            "_totalMethod" => {
                let total = match value {
                    "count" => "accurate",
                    "estimate" | "none" => value,
                    _ => {
                        return Err(Failure::bad(
                            "value",
                            "_totalMethod must be count, estimate or none",
                        ));
                    }
                };
                self.one("_total", total)?;
            }
            "_summary" => {
                self.summary = match value {
                    "false" => Summary::Full,
                    "true" => Summary::True,
                    "text" => Summary::Text,
                    "data" => Summary::Data,
                    "count" => Summary::Count,
                    _ => {
                        return Err(Failure::bad(
                            "value",
                            "_summary must be true, text, data, count or false",
                        ));
                    }
                };
                self.did(name, value);
            }
            "_elements" => {
                self.elements = split(value, ',')
                    .into_iter()
                    .map(str::trim)
                    .filter(|e| !e.is_empty())
                    .map(str::to_owned)
                    .collect();
                self.did(name, value);
            }
            "_type" => {
                let types: Vec<String> = value
                    .split(',')
                    .filter(|t| !t.is_empty())
                    .map(str::to_owned)
                    .collect();
                if types.is_empty() {
                    return Err(Failure::bad("value", "_type is empty").on("_type"));
                }
                self.types = Some(types);
                self.did(name, value);
            }
            "_page" => self.page = Some(value.to_owned()),
            "_contained" if value == "false" => {}
            "_contained" | "_containedType" | "_score" | "_query" => {
                return Err(Failure::bad(
                    "not-supported",
                    format!("{name} is not supported"),
                ));
            }
            _ if name.starts_with("_include") || name.starts_with("_revinclude") => {
                self.includes.push(include(name, value)?);
                self.did(name, value);
            }
            _ if name.is_empty() => {
                return Err(Failure::bad("invalid", "a parameter has no name"));
            }
            _ => {
                self.conditions.push(RawCondition::new(name, value));
                self.did(name, value);
            }
        }
        Ok(())
    }

    fn read_count(&mut self, value: &str) -> Result<(), Failure> {
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Failure::bad("value", "_count must be a number from 0 on"));
        }
        // More digits than a number holds are more than the limit.
        let count = value.parse::<usize>().unwrap_or(usize::MAX);
        if count == 0 {
            self.summary = Summary::Count;
        }
        self.was_clamped = count > MAX_COUNT;
        self.count = Some(count.min(MAX_COUNT));
        self.did("_count", &count.min(MAX_COUNT).to_string());
        Ok(())
    }

    fn did(&mut self, name: &str, value: &str) {
        self.executed.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a condition out of what was executed (lenient handling).
    pub fn ignore(&mut self, condition: &RawCondition, why: Issue) {
        self.conditions.retain(|c| c != condition);
        self.executed
            .retain(|(n, v)| *n != condition.name || *v != condition.value);
        self.ignored.push(why);
    }
}

/// Parameters that steer the result rather than select.
pub fn is_result_parameter(name: &str) -> bool {
    matches!(
        name,
        "_count"
            | "_sort"
            | "_total"
            | "_totalMethod"
            | "_summary"
            | "_elements"
            | "_type"
            | "_page"
            | "_contained"
            | "_containedType"
            | "_score"
            | "_query"
            | "_format"
            | "_pretty"
    ) || name.starts_with("_include")
        || name.starts_with("_revinclude")
}

fn sort_keys(value: &str) -> Result<Vec<SortKey>, Failure> {
    let keys: Vec<SortKey> = value
        .split(',')
        .map(str::trim)
        .map(|key| match key.strip_prefix('-') {
            Some(code) => SortKey {
                code: code.to_owned(),
                descending: true,
            },
            None => SortKey {
                code: key.to_owned(),
                descending: false,
            },
        })
        .collect();
    if keys.len() > MAX_SORT_KEYS || keys.iter().any(|k| k.code.is_empty()) {
        return Err(Failure::bad(
            "value",
            format!("_sort takes 1 to {MAX_SORT_KEYS} parameter names"),
        ));
    }
    Ok(keys)
}

fn include(name: &str, value: &str) -> Result<Include, Failure> {
    let (base, modifier) = match name.split_once(':') {
        Some((base, modifier)) => (base, Some(modifier)),
        None => (name, None),
    };
    let iterates = match modifier {
        None => false,
        Some("iterate" | "recurse") => true,
        Some(_) => {
            return Err(Failure::bad(
                "not-supported",
                format!("{base} takes the modifier :iterate only"),
            ));
        }
    };
    let reverse = match base {
        "_include" => false,
        "_revinclude" => true,
        _ => {
            return Err(Failure::bad(
                "not-supported",
                "an unknown parameter begins with _include",
            ));
        }
    };
    let parts: Vec<&str> = value.split(':').collect();
    let (source, param, target) = match parts.as_slice() {
        ["*"] => ("*", "*", None),
        [source, param] => (*source, *param, None),
        [source, param, target] => (*source, *param, Some(*target)),
        _ => {
            return Err(Failure::bad(
                "value",
                format!("{base} takes Source:parameter or Source:parameter:Target"),
            ));
        }
    };
    if source.is_empty() || param.is_empty() {
        return Err(Failure::bad("value", format!("{base} has an empty part")));
    }
    Ok(Include {
        source: source.to_owned(),
        param: param.to_owned(),
        target: target.filter(|t| !t.is_empty()).map(str::to_owned),
        iterates,
        reverse,
    })
}

/// A text as a search value: what would take it apart is escaped (R4 search, "Escaping Search Parameters").
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ',' | '|' | '$' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The parts of a search parameter's name: code, modifier, and what follows the first dot.
pub fn name_parts(name: &str) -> (&str, Option<&str>, Option<&str>) {
    let (head, rest) = match name.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (name, None),
    };
    match head.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier), rest),
        None => (head, None, rest),
    }
}

/// Decodes `application/x-www-form-urlencoded` text.
pub fn decode(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// Search criteria of `If-None-Exist`: parameters, with or without the address before them (HAPI's client sends it whole).
pub fn criteria(text: &str) -> Vec<(String, String)> {
    let query = match text.split_once('?') {
        Some((address, query)) if !address.contains('=') => query,
        _ => text,
    };
    decode(query.as_bytes())
        .into_iter()
        .filter(|(name, _)| !matches!(name.as_str(), "_format" | "_pretty"))
        .collect()
}

/// Encodes parameters for a link.
pub fn encode(parameters: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<SearchParams, Failure> {
        SearchParams::read(&decode(query.as_bytes()))
    }

    #[test]
    fn result_parameters_are_told_apart() {
        let p = read("code=a,b&_count=2000&_sort=-date,_id&_total=none&_include:iterate=Observation:subject:Patient&_format=json").unwrap();
        assert_eq!(p.conditions, [RawCondition::new("code", "a,b")]);
        assert_eq!(p.count, Some(MAX_COUNT));
        assert!(p.was_clamped);
        assert_eq!(p.total, Total::None);
        assert!(p.sort[0].descending && !p.sort[1].descending);
        assert!(p.includes[0].iterates);
        assert_eq!(p.includes[0].target.as_deref(), Some("Patient"));
        assert!(p.executed.iter().all(|(n, _)| n != "_format"));
    }

    #[test]
    fn wrong_result_parameters_are_refused() {
        for query in [
            "_count=-1",
            "_count=x",
            "_count=1&_count=2",
            "_sort=",
            "_sort=a,,b",
            "_total=maybe",
            "_summary=some",
            "_elements=id&_summary=true",
            "_type=",
            "_include=Observation",
            "_include=a:b:c:d",
            "_include:other=a:b",
            "_includes=a:b",
            "_contained=true",
            "=x",
        ] {
            assert_eq!(
                read(query).map(|_| ()).map_err(|f| f.status.as_u16()),
                Err(400),
                "{query}"
            );
        }
    }

    #[test]
    fn criteria_come_with_and_without_an_address() {
        let expected = [("identifier".to_owned(), "http://x|a?b".to_owned())];
        for text in [
            "identifier=http://x|a?b",
            "?identifier=http://x|a?b",
            "Patient?identifier=http://x|a?b",
            "http://127.0.0.1:8080/fhir/sandbox/Patient?_format=json&identifier=http%3A%2F%2Fx%7Ca%3Fb",
        ] {
            assert_eq!(criteria(text), expected, "{text}");
        }
        assert!(criteria("").is_empty());
    }

    #[test]
    fn totals_by_another_name() {
        assert_eq!(
            read("_count=0&_totalMethod=count").unwrap().total,
            Total::Accurate
        );
        assert!(read("_totalMethod=perhaps").is_err());
    }

    #[test]
    fn count_zero_is_summary_count() {
        assert_eq!(read("_count=0").unwrap().summary, Summary::Count);
    }

    #[test]
    fn links_read_back() {
        let p = vec![
            ("name".to_owned(), "Åse & Bjørn+".to_owned()),
            ("x:exact".to_owned(), "a,b|c".to_owned()),
        ];
        assert_eq!(decode(encode(&p).as_bytes()), p);
    }
}
