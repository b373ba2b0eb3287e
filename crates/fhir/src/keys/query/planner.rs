//! One condition → forms of ranges, per parameter kind.

use super::bounds::Bounds;
use super::{
    At, KeyFilter, MAX_OR, Prefix, Query, QueryError, QueryRange, moment, near, split, unescape,
    widened,
};
use crate::keys::Options;
use crate::keys::encode::{self, after_prefix, sub};
use crate::keys::values::BOOLEANS;
use crate::pack::{Pack, ParamInfo, ParamKind};
use crate::refs::{self, Target};
use crate::ucum::Unit;

pub(super) struct Planner<'p> {
    pub(super) pack: &'static Pack,
    pub(super) param: &'p ParamInfo,
    pub(super) options: &'p Options,
}

/// Ranges of one form, before the parameter number is set.
pub(super) struct Form {
    pub(super) sub: u32,
    pub(super) from: Vec<u8>,
    pub(super) to: Option<Vec<u8>>,
    pub(super) filter: Option<KeyFilter>,
}

impl Form {
    fn exact(sub: u32, bytes: Vec<u8>) -> Form {
        let mut to = bytes.clone();
        to.push(0);
        Form {
            sub,
            from: bytes,
            to: Some(to),
            filter: None,
        }
    }

    fn prefix(sub: u32, bytes: Vec<u8>) -> Form {
        Form {
            sub,
            to: after_prefix(&bytes),
            from: bytes,
            filter: None,
        }
    }

    fn whole(sub: u32) -> Form {
        Form {
            sub,
            from: Vec::new(),
            to: None,
            filter: None,
        }
    }

    pub(super) fn with(mut self, filter: KeyFilter) -> Form {
        self.filter = Some(match self.filter.take() {
            None => filter,
            Some(f) => KeyFilter::All(vec![f, filter]),
        });
        self
    }

    fn is_exact(&self) -> bool {
        self.filter.is_none()
            && self.to.as_ref().is_some_and(|t| {
                t.len() == self.from.len() + 1 && t.starts_with(&self.from) && t.last() == Some(&0)
            })
    }
}

struct Forms {
    list: Vec<Form>,
    recheck: bool,
}

impl Forms {
    fn of(list: Vec<Form>) -> Forms {
        Forms {
            list,
            recheck: false,
        }
    }

    fn check(list: Vec<Form>) -> Forms {
        Forms {
            list,
            recheck: true,
        }
    }

    /// Texts that contain this one. A stored text longer than the key may hold it behind the cut.
    fn containing(key: Vec<u8>) -> Forms {
        let hit = KeyFilter::Any(vec![
            KeyFilter::Contains(key),
            KeyFilter::Within {
                at: At::Byte(encode::MAX_TEXT - 4),
                from: vec![1],
                to: None,
                then: None,
            },
        ]);
        Forms::check(vec![Form::whole(sub::MAIN).with(hit)])
    }
}

impl Planner<'_> {
    fn bad<T>(&self, text: &str) -> Result<T, QueryError> {
        Err(QueryError::Value {
            param: self.param.code.to_string(),
            text: text.to_owned(),
        })
    }

    fn no_modifier<T>(&self, modifier: &str) -> Result<T, QueryError> {
        Err(QueryError::Modifier {
            param: self.param.code.to_string(),
            modifier: crate::finding::safe_name(modifier),
        })
    }

    pub(super) fn missing(&self, value: &str) -> Result<Query, QueryError> {
        let negate = match value {
            "true" => true,
            "false" => false,
            _ => return self.bad(":missing takes true or false"),
        };
        let subs: &[u32] = match self.param.kind {
            ParamKind::Reference => &[sub::MAIN, sub::IDENTIFIER, sub::PRESENT],
            ParamKind::Number | ParamKind::Quantity => &[sub::MAIN, sub::RANGE_LOW, sub::PRESENT],
            ParamKind::Composite => &[
                sub::MAIN,
                sub::RANGE_LOW,
                sub::CANONICAL,
                sub::CANONICAL_LOW,
            ],
            _ => &[sub::MAIN, sub::PRESENT],
        };
        Ok(Query {
            ranges: subs.iter().map(|s| self.range(Form::whole(*s))).collect(),
            negate,
            recheck: false,
        })
    }

    fn range(&self, f: Form) -> QueryRange {
        QueryRange {
            param: self.param.id | f.sub,
            from: f.from,
            to: f.to,
            filter: f.filter,
        }
    }

    pub(super) fn alternatives(
        &self,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Query, QueryError> {
        let mut out = Query::default();
        let parts = split(value, ',');
        if parts.len() > MAX_OR {
            return Err(QueryError::TooMany(self.param.code.to_string()));
        }
        for part in parts {
            let forms = self.one(
                self.param.kind,
                self.param.folds_case(self.pack),
                modifier,
                part,
            )?;
            out.recheck |= forms.recheck;
            out.ranges
                .extend(forms.list.into_iter().map(|f| self.range(f)));
        }
        Ok(out)
    }

    fn one(
        &self,
        kind: ParamKind,
        folds: bool,
        modifier: Option<&str>,
        value: &str,
    ) -> Result<Forms, QueryError> {
        if value.is_empty() {
            return self.bad("the value is empty");
        }
        match kind {
            ParamKind::String => self.string(modifier, value),
            ParamKind::Token => self.token(folds, modifier, value),
            ParamKind::Reference => self.reference(modifier, value),
            ParamKind::Uri => self.uri(modifier, value),
            _ if modifier.is_some() => self.no_modifier(modifier.unwrap_or_default()),
            ParamKind::Date => self.date(value),
            ParamKind::Number => self.number(value),
            ParamKind::Quantity => self.quantity(value),
            ParamKind::Composite => self.composite(value),
            ParamKind::Special => self.near(value),
        }
    }

    fn string(&self, modifier: Option<&str>, value: &str) -> Result<Forms, QueryError> {
        let text = unescape(value);
        let key = encode::string(&text);
        let long = key.len() >= encode::MAX_TEXT - 4;
        match modifier {
            None | Some("contains") if text.trim().is_empty() => {
                self.bad("the value has nothing to search for")
            }
            // Signs alone are no part of the folded text: the documents decide.
            None if key.is_empty() => Ok(Forms::check(vec![Form::whole(sub::MAIN)])),
            None => Ok(Forms {
                list: vec![Form::prefix(sub::MAIN, key)],
                recheck: long,
            }),
            // The folded text narrows down; the document decides.
            Some("exact") => Ok(Forms::check(vec![if long {
                Form::prefix(sub::MAIN, key)
            } else {
                Form::exact(sub::MAIN, key)
            }])),
            Some("contains") => Ok(Forms::containing(key)),
            Some("text") => self.by_text(&[sub::MAIN], &text),
            Some(m) => self.no_modifier(m),
        }
    }

    /// `:text`: the keys say only that there is something; the document decides.
    fn by_text(&self, forms: &[u32], text: &str) -> Result<Forms, QueryError> {
        if encode::string(text).is_empty() {
            return self.bad("the value has no letters or digits to search for");
        }
        Ok(Forms::check(
            forms.iter().map(|s| Form::whole(*s)).collect(),
        ))
    }

    fn token(&self, folds: bool, modifier: Option<&str>, value: &str) -> Result<Forms, QueryError> {
        match modifier {
            None => {}
            Some("text") => {
                return self.by_text(&[sub::MAIN, sub::PRESENT], &unescape(value));
            }
            Some("of-type") => {
                let parts: Vec<String> = split(value, '|').into_iter().map(unescape).collect();
                return match parts.as_slice() {
                    [system, code, id] if !code.is_empty() && !id.is_empty() => Ok(Forms::of(
                        vec![Form::exact(sub::OF_TYPE, encode::of_type(system, code, id))],
                    )),
                    _ => self.bad(":of-type takes system|code|value"),
                };
            }
            Some(m) => return self.no_modifier(m),
        }
        let form = self.token_form(folds, sub::MAIN, value)?;
        Ok(match self.without_system(folds, value) {
            None => Forms::of(vec![form]),
            // Of the values that stand in the index without a system, the document says which are meant.
            Some(more) => Forms::check(vec![form, more]),
        })
    }

    /// Where values that the index holds without a system are when a query names one: booleans, which have an implicit
    /// one, and contact points, told apart by their system or use (`phone|…`, `home|…`).
    fn without_system(&self, folds: bool, value: &str) -> Option<Form> {
        let parts = split(value, '|');
        let [system, code] = parts.as_slice() else {
            return None;
        };
        let k = &self.pack.known;
        let has_some = self.param.yields(k.contact_point)
            || (self.param.yields(k.boolean) && unescape(system) == BOOLEANS);
        (has_some && !system.is_empty()).then(|| match unescape(code) {
            code if code.is_empty() => Form::whole(sub::MAIN),
            code => Form::exact(sub::MAIN, encode::token("", &code, folds)),
        })
    }

    fn token_form(&self, folds: bool, form: u32, value: &str) -> Result<Form, QueryError> {
        let parts: Vec<String> = split(value, '|').into_iter().map(unescape).collect();
        Ok(match parts.as_slice() {
            [code] => Form::prefix(form, encode::token_code(code, folds)),
            [system, code] if code.is_empty() && !system.is_empty() => {
                Form::whole(form).with(KeyFilter::Has(
                    At::FromEnd(8),
                    encode::digest(&[system]).to_be_bytes().to_vec(),
                ))
            }
            [system, code] if !code.is_empty() => {
                Form::exact(form, encode::token(system, code, folds))
            }
            _ => return self.bad("a token is code, system|code, |code or system|"),
        })
    }

    fn reference(&self, modifier: Option<&str>, value: &str) -> Result<Forms, QueryError> {
        if modifier == Some("identifier") {
            return Ok(Forms::of(vec![self.token_form(
                true,
                sub::IDENTIFIER,
                value,
            )?]));
        }
        if modifier == Some("text") {
            let forms = [sub::MAIN, sub::IDENTIFIER, sub::PRESENT];
            return self.by_text(&forms, &unescape(value));
        }
        let text = unescape(value);
        if let Some(ty) = modifier {
            if self.pack.resource_type(ty).is_none() {
                return self.no_modifier(ty);
            }
            if !self.param.targets.is_empty()
                && !self
                    .param
                    .targets
                    .iter()
                    .any(|t| t.as_ref() == ty || t.as_ref() == "Resource")
            {
                return self.bad("the type in the modifier is not a target of this parameter");
            }
            let id = match refs::split(&text, self.pack) {
                Some((base, t, id, _)) if t == ty => {
                    if !base.is_empty() && !self.options.own_bases.iter().any(|b| b == base) {
                        let url = encode::reference_url(&text, None);
                        return Ok(Forms::of(vec![Form::prefix(sub::MAIN, url)]));
                    }
                    id
                }
                Some(_) => {
                    return self.bad("the type in the modifier differs from the type in the value");
                }
                None => &text,
            };
            return Ok(Forms::of(vec![Form::exact(
                sub::MAIN,
                encode::reference_local(id, Some(ty)),
            )]));
        }
        Ok(Forms::of(vec![
            match refs::parse(&text, &self.options.own_bases, self.pack) {
                Target::Local {
                    resource_type, id, ..
                } => Form::exact(
                    sub::MAIN,
                    encode::reference_local(&id, Some(&resource_type)),
                ),
                Target::Absolute {
                    url,
                    version: Some(v),
                } => Form::exact(sub::MAIN, encode::reference_url(&url, Some(&v))),
                Target::Absolute { url, version: None }
                    if url.contains(':') || url.contains('/') =>
                {
                    Form::prefix(sub::MAIN, encode::reference_url(&url, None))
                }
                Target::Absolute { url, .. } => {
                    Form::prefix(sub::MAIN, encode::reference_local(&url, None))
                }
                // A contained resource has no identity outside its container: never a match.
                _ => return Ok(Forms::of(Vec::new())),
            },
        ]))
    }

    fn uri(&self, modifier: Option<&str>, value: &str) -> Result<Forms, QueryError> {
        let text = unescape(value);
        let canonical = self.param.yields(self.pack.known.canonical);
        let (url, version) = match text.split_once('|') {
            Some((u, v)) if canonical => (u, Some(v)),
            _ => (text.as_str(), None),
        };
        let long = url.len() > encode::MAX_TEXT;
        let any_version = |u: &str| {
            let mut list = vec![Form::exact(sub::MAIN, encode::uri(u, None))];
            if canonical {
                let mut head = encode::uri(u, None);
                head.push(0);
                list.push(Form::prefix(sub::MAIN, head));
            }
            list
        };
        let hierarchical = url.contains("://");
        match modifier {
            None => Ok(Forms::of(match version {
                Some(_) => vec![Form::exact(sub::MAIN, encode::uri(url, version))],
                None => any_version(url),
            })),
            Some("below") if canonical && version.is_some() => {
                let head = encode::uri(url, version);
                let mut dotted = head.clone();
                dotted.push(b'.');
                Ok(Forms::of(vec![
                    Form::exact(sub::MAIN, head),
                    Form::prefix(sub::MAIN, dotted),
                ]))
            }
            Some("below") if !hierarchical => Ok(Forms::of(Vec::new())),
            Some("below") => {
                let base = url.trim_end_matches('/');
                let mut under = encode::uri(base, None);
                under.truncate(encode::MAX_TEXT);
                if !long {
                    under.push(b'/');
                }
                let mut list = any_version(base);
                list.push(Form::prefix(sub::MAIN, under));
                // Keys of long URLs are cut, so the document decides there.
                Ok(Forms {
                    list,
                    recheck: long,
                })
            }
            Some("above") if !hierarchical => Ok(Forms::of(Vec::new())),
            Some("above") => {
                let mut list = Vec::new();
                let mut rest = url.trim_end_matches('/');
                list.extend(any_version(rest));
                list.extend(any_version(&format!("{rest}/")));
                while let Some((head, _)) = rest.rsplit_once('/') {
                    if head.ends_with('/') || head.ends_with(':') {
                        break;
                    }
                    list.extend(any_version(head));
                    list.extend(any_version(&format!("{head}/")));
                    rest = head;
                }
                Ok(Forms::of(list))
            }
            Some("contains") => {
                let mut needle = url.as_bytes().to_vec();
                needle.truncate(encode::MAX_TEXT);
                Ok(Forms::containing(needle))
            }
            Some(m) => self.no_modifier(m),
        }
    }

    fn date(&self, value: &str) -> Result<Forms, QueryError> {
        let Some((p, m)) = moment(value) else {
            return self.bad("a date is YYYY, YYYY-MM, YYYY-MM-DD or a date-time with at least minutes, with an optional prefix");
        };
        let (s, e) = m.range_us(&self.options.zone);
        let low = |from: i64, to: Option<i64>| Form {
            sub: sub::MAIN,
            from: encode::instant(from).to_vec(),
            to: to.map(|t| encode::instant(t).to_vec()),
            filter: None,
        };
        let high = |from: i64, to: Option<i64>| Form {
            sub: sub::HIGH_FIRST,
            ..low(from, to)
        };
        let second = |from: i64, to: Option<i64>| KeyFilter::Within {
            at: At::Byte(8),
            from: encode::instant(from).to_vec(),
            to: to.map(|t| encode::instant(t).to_vec()),
            then: None,
        };
        let inside = || low(s, Some(e)).with(second(i64::MIN, Some(e + 1)));
        Ok(Forms::of(match p {
            Prefix::Eq => vec![inside()],
            Prefix::Ne => vec![
                low(i64::MIN, Some(s)),
                low(s, None).with(second(e + 1, None)),
            ],
            Prefix::Gt => vec![high(e + 1, None)],
            Prefix::Lt => vec![low(i64::MIN, Some(s))],
            Prefix::Ge => vec![high(e + 1, None), inside()],
            Prefix::Le => vec![low(i64::MIN, Some(s)), inside()],
            Prefix::Sa => vec![low(e, None)],
            Prefix::Eb => vec![high(i64::MIN, Some(s + 1))],
            Prefix::Ap => {
                let (s, e) = widened(&m, s, e);
                vec![low(i64::MIN, Some(e)).with(second(s + 1, None))]
            }
        }))
    }

    fn number(&self, value: &str) -> Result<Forms, QueryError> {
        let Some(bounds) = Bounds::read(value) else {
            return self.bad("a number is expected, with an optional prefix and at most 34 digits");
        };
        Ok(Forms::of(bounds.forms(
            sub::MAIN,
            sub::RANGE_LOW,
            sub::RANGE_HIGH,
            &[],
            None,
        )))
    }

    fn quantity(&self, value: &str) -> Result<Forms, QueryError> {
        let parts: Vec<String> = split(value, '|').into_iter().map(unescape).collect();
        let (number, system, code) = match parts.as_slice() {
            [n] => (n, "", ""),
            [n, s, c] => (n, s.as_str(), c.as_str()),
            _ => return self.bad("a quantity is number, number|system|code or number||unit"),
        };
        let Some(bounds) = Bounds::read(number) else {
            return self.bad("a number is expected, with an optional prefix and at most 34 digits");
        };
        if system == encode::UCUM
            && let Some(unit) = Unit::parse(code)
            && let Some(scaled) = bounds.scaled(&unit)
        {
            let head = encode::canonical_head(&unit.canonical());
            return Ok(Forms::of(scaled.forms(
                sub::CANONICAL,
                sub::CANONICAL_LOW,
                sub::CANONICAL_HIGH,
                &head,
                None,
            )));
        }
        let filter = if code.is_empty() {
            if !system.is_empty() {
                // The key holds system and code as one: the document tells them apart.
                return Ok(Forms::check(bounds.forms(
                    sub::MAIN,
                    sub::RANGE_LOW,
                    sub::RANGE_HIGH,
                    &[],
                    None,
                )));
            }
            None
        } else if system.is_empty() {
            let d = encode::unit_digest(code).to_vec();
            Some(KeyFilter::Any(vec![
                KeyFilter::Has(At::FromEnd(8), d.clone()),
                KeyFilter::Has(At::FromEnd(4), d),
            ]))
        } else {
            Some(KeyFilter::Has(
                At::FromEnd(16),
                encode::digest(&[system, code]).to_be_bytes().to_vec(),
            ))
        };
        Ok(Forms::of(bounds.forms(
            sub::MAIN,
            sub::RANGE_LOW,
            sub::RANGE_HIGH,
            &[],
            filter,
        )))
    }

    fn composite(&self, value: &str) -> Result<Forms, QueryError> {
        let values = split(value, '$');
        if values.len() != self.param.parts.len() {
            return self.bad("a composite takes one value per part, joined with $");
        }
        let mut heads: Vec<Form> = vec![Form::exact(sub::MAIN, Vec::new())];
        let mut recheck = false;
        for (i, (part, text)) in self.param.parts.iter().zip(values).enumerate() {
            let last = i + 1 == self.param.parts.len();
            let mut forms = self.one(part.kind, part.folds_case, None, text)?;
            recheck |= forms.recheck;
            if !last && forms.list.iter().any(|f| f.sub != sub::MAIN) {
                forms.list.retain(|f| f.sub == sub::MAIN);
                recheck = true;
            }
            let mut joined = Vec::new();
            for head in &heads {
                for f in &forms.list {
                    match join(head, f) {
                        Some(j) => joined.push(j),
                        None => {
                            recheck = true;
                            joined.push(Form {
                                sub: f.sub,
                                from: head.from.clone(),
                                to: if head.is_exact() {
                                    after_prefix(&head.from)
                                } else {
                                    head.to.clone()
                                },
                                filter: None,
                            });
                        }
                    }
                }
            }
            heads = joined;
        }
        Ok(Forms {
            list: heads,
            recheck,
        })
    }

    fn near(&self, value: &str) -> Result<Forms, QueryError> {
        let Some((latitude, longitude, metres)) = near(value) else {
            return self
                .bad("near is latitude|longitude|distance|units; units are km, m or [mi_i]");
        };
        let span = metres / 111_194.0 + 0.001;
        let form = Form {
            sub: sub::MAIN,
            from: encode::axis(latitude - span).to_vec(),
            to: after_prefix(&encode::axis(latitude + span)),
            filter: None,
        };
        Ok(Forms::of(vec![form.with(KeyFilter::Near {
            latitude,
            longitude,
            metres,
        })]))
    }
}

/// Head bytes followed by the ranges of the next part; `None` when the head does not fix its bytes.
fn join(head: &Form, next: &Form) -> Option<Form> {
    if !head.is_exact() {
        // `code` without a system fixes all but the digest behind it; the next part then stands at a known place.
        let token = head.filter.is_none() && head.from.last() == Some(&0);
        if !token || head.from.len() > encode::MAX_TEXT {
            return None;
        }
        let inner = KeyFilter::Within {
            at: At::Byte(head.from.len() + 8),
            from: next.from.clone(),
            to: next.to.clone(),
            then: next.filter.clone().map(Box::new),
        };
        return Some(Form {
            sub: next.sub,
            from: head.from.clone(),
            to: head.to.clone(),
            filter: Some(inner),
        });
    }
    if head.from.len() > 100 {
        return None;
    }
    let glue = |b: &[u8]| [head.from.as_slice(), b].concat();
    let filter = next.filter.as_ref().map(|f| shift(f, head.from.len()));
    Some(Form {
        sub: next.sub,
        from: glue(&next.from),
        to: next
            .to
            .as_ref()
            .map_or_else(|| after_prefix(&head.from), |t| Some(glue(t))),
        filter,
    })
}

/// The filter for keys that have `by` more bytes in front.
fn shift(f: &KeyFilter, by: usize) -> KeyFilter {
    if by == 0 {
        f.clone()
    } else {
        KeyFilter::Within {
            at: At::Byte(by),
            from: Vec::new(),
            to: None,
            then: Some(Box::new(f.clone())),
        }
    }
}
