//! Security levels and `acr_values` (spec §6.1, §12.2).

/// The level of a login.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[allow(missing_docs)]
pub enum Level {
    Low = 2,
    Substantial = 3,
    High = 4,
}

impl Level {
    /// The claim value of `security_level`.
    #[must_use]
    pub const fn security_level(self) -> &'static str {
        match self {
            Self::Low => "2",
            Self::Substantial => "3",
            Self::High => "4",
        }
    }

    /// The claim value of `assurance_level`.
    #[must_use]
    pub const fn assurance_level(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Substantial => "substantial",
            Self::High => "high",
        }
    }

    /// The level of a `security_level` value.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Low, Self::Substantial, Self::High]
            .into_iter()
            .find(|level| level.security_level() == text)
    }
}

/// What a login request demands of the identity provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acr<'a> {
    /// Preselected identity provider.
    pub idp: Option<&'a str>,
    /// Lowest level.
    pub level: Option<Level>,
}

/// Reads `acr_values`; what is not known is passed over, as an unknown provider shows the chooser.
#[must_use]
pub fn read_acr(values: &str) -> Acr<'_> {
    let mut acr = Acr::default();
    for value in values.split_ascii_whitespace() {
        if let Some(idp) = value.strip_prefix("idp:") {
            acr.idp = acr.idp.or(Some(idp));
        } else if let Some(level) = level_of(value) {
            acr.level = acr.level.max(Some(level));
        }
    }
    acr
}

fn level_of(value: &str) -> Option<Level> {
    match value {
        "Level4" | "High" | "idporten-loa-high" => Some(Level::High),
        "Level3" | "Substantial" | "idporten-loa-substantial" => Some(Level::Substantial),
        _ => None,
    }
}

/// The first requested value that the login satisfied, for the ID token's `acr` (spec §12).
#[must_use]
pub fn satisfied_acr(values: &str, idp: &str, level: Level) -> Option<String> {
    values
        .split_ascii_whitespace()
        .find(|value| {
            value.strip_prefix("idp:") == Some(idp)
                || level_of(value).is_some_and(|wanted| level >= wanted)
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acr_values_combine() {
        let table = [
            ("", None, None),
            ("idp:testidp-oidc", Some("testidp-oidc"), None),
            (
                "Level4 idp:idporten-oidc amr:bankid",
                Some("idporten-oidc"),
                Some(Level::High),
            ),
            ("Level3 Level4", None, Some(Level::High)),
            ("Level9 bp:amr:sc", None, None),
        ];
        for (values, idp, level) in table {
            assert_eq!(read_acr(values), Acr { idp, level }, "{values}");
        }
    }

    #[test]
    fn the_first_satisfied_value_is_named() {
        let satisfied = |values, level| satisfied_acr(values, "testidp-oidc", level);
        assert_eq!(
            satisfied("Level4 Level3", Level::Substantial).as_deref(),
            Some("Level3")
        );
        assert_eq!(
            satisfied("idp:x idp:testidp-oidc", Level::Low).as_deref(),
            Some("idp:testidp-oidc")
        );
        assert_eq!(satisfied("Level4", Level::Low), None);
    }
}
