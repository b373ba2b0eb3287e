//! JWT claims (RFC 7519): typed access and the checks on time, issuer and audience, one error per reason.

use serde_json::{Map, Value};

use crate::strict_json::{self, JsonError};

/// Why claims were refused. All are the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// The payload is not one strict JSON object.
    #[error("the claims are {0}")]
    Json(#[from] JsonError),
    /// A required claim is missing.
    #[error("the claim {0} is missing")]
    Missing(&'static str),
    /// A claim has the wrong JSON type.
    #[error("the claim {0} has the wrong type")]
    WrongType(&'static str),
    /// `iss` is another issuer.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `aud` does not contain the expected audience.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `aud` has more values than the one expected.
    #[error("the token is for several audiences")]
    SeveralAudiences,
    /// `exp` has passed, by seconds.
    #[error("the token expired {0} s ago")]
    Expired(i64),
    /// `nbf` lies in the future, by seconds.
    #[error("the token is not valid before {0} s from now")]
    NotYetValid(i64),
    /// `iat` lies in the future, by seconds.
    #[error("the token was issued {0} s in the future")]
    IssuedInFuture(i64),
}

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims(pub Map<String, Value>);

impl Claims {
    /// Reads claims strictly.
    ///
    /// # Errors
    /// [`JwtError::Json`].
    pub fn parse(payload: &[u8]) -> Result<Self, JwtError> {
        Ok(Self(strict_json::object(payload)?))
    }

    /// Sets a claim.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// A claim as text; `None` when it is absent.
    ///
    /// # Errors
    /// [`JwtError::WrongType`] when it is there and no text.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, JwtError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwtError::WrongType(name)),
        }
    }

    /// A claim as text that must be there and not be empty.
    ///
    /// # Errors
    /// [`JwtError::Missing`], [`JwtError::WrongType`].
    pub fn required_text(&self, name: &'static str) -> Result<&str, JwtError> {
        match self.text(name)? {
            None | Some("") => Err(JwtError::Missing(name)),
            Some(text) => Ok(text),
        }
    }

    /// A time in seconds since 1970 (`NumericDate`); fractions are cut off. `None` when absent.
    ///
    /// # Errors
    /// [`JwtError::WrongType`] when it is no number, or one beyond the year 9999.
    pub fn time(&self, name: &'static str) -> Result<Option<i64>, JwtError> {
        const YEAR_10000: i64 = 253_402_300_800;
        let seconds = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => {
                #[allow(clippy::cast_possible_truncation)]
                let cut = || number.as_f64().map(|seconds| seconds as i64);
                number.as_i64().or_else(cut)
            }
            Some(_) => None,
        };
        match seconds {
            Some(seconds) if (0..YEAR_10000).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(JwtError::WrongType(name)),
        }
    }

    /// Like [`Claims::time`], but a string of digits counts too: several HelseID samples write `iat` that way
    /// (spec helseid §4).
    ///
    /// # Errors
    /// [`JwtError::WrongType`].
    pub fn time_or_digits(&self, name: &'static str) -> Result<Option<i64>, JwtError> {
        match self.0.get(name) {
            Some(Value::String(digits)) => {
                let plain = (1..=12).contains(&digits.len())
                    && digits.bytes().all(|byte| byte.is_ascii_digit());
                let seconds = digits.parse().ok().filter(|_| plain);
                seconds.map(Some).ok_or(JwtError::WrongType(name))
            }
            _ => self.time(name),
        }
    }

    /// A claim that is a string or an array of strings (`aud`), or, for `scope`, an array. Empty when absent.
    ///
    /// # Errors
    /// [`JwtError::WrongType`].
    pub fn text_list(&self, name: &'static str) -> Result<Vec<&str>, JwtError> {
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(elements)) => elements
                .iter()
                .map(|element| element.as_str().ok_or(JwtError::WrongType(name)))
                .collect(),
            Some(_) => Err(JwtError::WrongType(name)),
        }
    }
}

/// What a token must satisfy. Times are seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Validation<'a> {
    /// Now.
    pub now_s: i64,
    /// Clock difference forgiven in both directions.
    pub leeway_s: i64,
    /// Exact issuer.
    pub issuer: &'a str,
    /// Audience that must be among the token's; `None` skips the check.
    pub audience: Option<&'a str>,
    /// Whether it must be the only one.
    pub only_audience: bool,
}

impl Validation<'_> {
    /// Checks issuer, audience, `exp` (required), `nbf` and `iat`.
    ///
    /// # Errors
    /// See [`JwtError`].
    pub fn check(&self, claims: &Claims) -> Result<(), JwtError> {
        if claims.required_text("iss")? != self.issuer {
            return Err(JwtError::WrongIssuer);
        }
        if let Some(expected) = self.audience {
            let audiences = claims.text_list("aud")?;
            if !audiences.contains(&expected) {
                return Err(JwtError::WrongAudience);
            }
            if self.only_audience && audiences.len() != 1 {
                return Err(JwtError::SeveralAudiences);
            }
        }
        self.check_times(claims)
    }

    /// Checks `exp` (required), `nbf` and `iat` only.
    ///
    /// # Errors
    /// See [`JwtError`].
    pub fn check_times(&self, claims: &Claims) -> Result<(), JwtError> {
        let expires = claims.time("exp")?.ok_or(JwtError::Missing("exp"))?;
        if expires.saturating_add(self.leeway_s) <= self.now_s {
            return Err(JwtError::Expired(self.now_s - expires));
        }
        if let Some(from) = claims.time("nbf")?
            && from > self.now_s.saturating_add(self.leeway_s)
        {
            return Err(JwtError::NotYetValid(from - self.now_s));
        }
        if let Some(issued) = claims.time("iat")?
            && issued > self.now_s.saturating_add(self.leeway_s)
        {
            return Err(JwtError::IssuedInFuture(issued - self.now_s));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_refusal_has_its_own_reason() {
        let validation = Validation {
            now_s: 1_000,
            leeway_s: 5,
            issuer: "https://i",
            audience: Some("a"),
            only_audience: true,
        };
        let table = [
            (json!({"iss":"https://i","aud":"a","exp":1001}), Ok(())),
            (
                json!({"iss":"https://i","aud":["a"],"exp":996,"nbf":1005}),
                Ok(()),
            ),
            (json!({"aud":"a","exp":1001}), Err(JwtError::Missing("iss"))),
            (
                json!({"iss":"https://i/","aud":"a","exp":1001}),
                Err(JwtError::WrongIssuer),
            ),
            (
                json!({"iss":"https://i","aud":"b","exp":1001}),
                Err(JwtError::WrongAudience),
            ),
            (
                json!({"iss":"https://i","exp":1001}),
                Err(JwtError::WrongAudience),
            ),
            (
                json!({"iss":"https://i","aud":["a","b"],"exp":1001}),
                Err(JwtError::SeveralAudiences),
            ),
            (
                json!({"iss":"https://i","aud":[1],"exp":1001}),
                Err(JwtError::WrongType("aud")),
            ),
            (
                json!({"iss":"https://i","aud":"a"}),
                Err(JwtError::Missing("exp")),
            ),
            (
                json!({"iss":"https://i","aud":"a","exp":"1001"}),
                Err(JwtError::WrongType("exp")),
            ),
            (
                json!({"iss":"https://i","aud":"a","exp":-1}),
                Err(JwtError::WrongType("exp")),
            ),
            (
                json!({"iss":"https://i","aud":"a","exp":1e300}),
                Err(JwtError::WrongType("exp")),
            ),
            (
                json!({"iss":"https://i","aud":"a","exp":995}),
                Err(JwtError::Expired(5)),
            ),
            (
                json!({"iss":"https://i","aud":"a","exp":1001,"nbf":1006}),
                Err(JwtError::NotYetValid(6)),
            ),
            (
                json!({"iss":"https://i","aud":"a","exp":1001,"iat":1006}),
                Err(JwtError::IssuedInFuture(6)),
            ),
        ];
        for (value, expected) in table {
            let text = value.to_string();
            assert_eq!(validation.check(&claims(value)), expected, "{text}");
        }
    }

    #[test]
    fn iat_as_digits() {
        let table = [
            (json!({"iat":"12"}), Ok(Some(12))),
            (json!({"iat":12}), Ok(Some(12))),
            (json!({"iat":12.9}), Ok(Some(12))),
            (json!({}), Ok(None)),
            (json!({"iat":"+12"}), Err(JwtError::WrongType("iat"))),
            (json!({"iat":""}), Err(JwtError::WrongType("iat"))),
            (json!({"iat":true}), Err(JwtError::WrongType("iat"))),
        ];
        for (value, expected) in table {
            assert_eq!(claims(value).time_or_digits("iat"), expected);
        }
    }
}
