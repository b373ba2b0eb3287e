//! Which scopes a request may have and which APIs they choose (spec §1, §7.1, §12.1).

use std::collections::BTreeSet;

use crate::config::{Api, Client};
use crate::error::{Code, OAuthError};

/// Most scopes in one request.
pub const MAX_SCOPES: usize = 100;

/// Identity scopes of users: they make no sense in a machine token (attack A19).
const USER_SCOPES: [&str; 11] = [
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/pid_pseudonym",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/identity/assurance_level",
    "helseid://scopes/identity/network",
    "helseid://scopes/identity/all",
    "helseid://scopes/hpr/hpr_number",
    "helseid://scopes/hpr",
];

/// Scopes that belong to no API and to no user.
const OTHER_SCOPES: [&str; 4] = [
    "helseid://scopes/client/info",
    "helseid://scopes/client/client_name",
    "nhn:tillitsrammeverk:parameters",
    "nhn:sfm:journal-id",
];

/// What discovery lists under `scopes_supported`: everything but old aliases.
pub const SUPPORTED: [&str; 13] = [
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/client/info",
    "helseid://scopes/client/client_name",
    "helseid://scopes/identity/assurance_level",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/pid_pseudonym",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/identity/network",
    "nhn:tillitsrammeverk:parameters",
    "nhn:sfm:journal-id",
    "helseid://scopes/hpr/hpr_number",
];

/// Splits a `scope` parameter, keeping order, dropping repetitions.
///
/// # Errors
/// `invalid_scope` for too many.
pub fn split(scope: &str) -> Result<Vec<String>, OAuthError> {
    let mut scopes: Vec<String> = Vec::new();
    for one in scope.split_ascii_whitespace() {
        if !scopes.iter().any(|known| known == one) {
            scopes.push(one.to_owned());
        }
    }
    if scopes.len() > MAX_SCOPES {
        return Err(OAuthError::new(Code::InvalidScope, "too many scopes"));
    }
    Ok(scopes)
}

/// Whether a scope is about the user or the client and not about an API.
#[must_use]
pub fn is_identity(scope: &str) -> bool {
    USER_SCOPES.contains(&scope) || OTHER_SCOPES.contains(&scope)
}

/// Whether a scope is one of SMART App Launch 2 on FHIR resources (`user/Observation.rs?category=laboratory`, `patient/*.read`).
#[must_use]
pub fn is_narrowing(scope: &str) -> bool {
    let Some((context, rest)) = scope.split_once('/') else {
        return false;
    };
    let (what, _) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((rtype, permissions)) = what.rsplit_once('.') else {
        return false;
    };
    let mut letters = "cruds".chars();
    let is_set = !permissions.is_empty() && permissions.chars().all(|c| letters.any(|l| l == c));
    matches!(context, "patient" | "user" | "system")
        && (rtype == "*"
            || rtype.starts_with(|c: char| c.is_ascii_uppercase())
                && rtype.bytes().all(|b| b.is_ascii_alphabetic()))
        && (is_set || matches!(permissions, "read" | "write" | "*"))
        && scope.len() <= 2_048
        && scope
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

/// The API that owns a scope.
#[must_use]
pub fn api_of<'a>(scope: &str, apis: &'a [Api]) -> Option<&'a Api> {
    apis.iter().find(|api| api.scopes.contains(scope))
}

/// Checks that every scope exists and is granted to the client. Descriptions name the scope: it is the client's own
/// word and shortened.
///
/// # Errors
/// `invalid_scope`.
pub fn check_granted(scopes: &[String], client: &Client, apis: &[Api]) -> Result<(), OAuthError> {
    for scope in scopes {
        // Scopes on resources narrow what an API scope opens, and open nothing by themselves.
        if is_narrowing(scope) {
            continue;
        }
        let known = is_identity(scope) || api_of(scope, apis).is_some();
        let shown = shown(scope);
        if !known {
            return Err(OAuthError::new(
                Code::InvalidScope,
                format!("no API has the scope {shown}"),
            ));
        }
        let granted = client.scopes.contains(scope)
            || scope == "openid" && client.user_login
            || scope == "offline_access" && client.refresh;
        if !granted {
            return Err(OAuthError::new(
                Code::InvalidScope,
                format!("the client has not been granted the scope {shown}"),
            ));
        }
    }
    Ok(())
}

/// A scope as error texts show it: short, and not at all when it might contain a person's number.
fn shown(scope: &str) -> String {
    if scope.bytes().filter(u8::is_ascii_digit).count() > 8 {
        return "(not shown)".to_owned();
    }
    let printable = scope.chars().filter(char::is_ascii_graphic);
    printable.take(100).collect()
}

/// The scopes of a machine token: those asked for, or all API scopes granted.
///
/// # Errors
/// `invalid_scope` for identity scopes, unknown scopes and scopes not granted.
pub fn for_machine(
    requested: Option<&str>,
    client: &Client,
    apis: &[Api],
) -> Result<Vec<String>, OAuthError> {
    let scopes = match requested {
        Some(scope) => split(scope)?,
        None => client
            .scopes
            .iter()
            .filter(|scope| api_of(scope, apis).is_some())
            .cloned()
            .collect(),
    };
    if scopes
        .iter()
        .any(|scope| USER_SCOPES.contains(&scope.as_str()))
    {
        return Err(OAuthError::new(
            Code::InvalidScope,
            "identity scopes need a logged-in user; leave them out of client_credentials",
        ));
    }
    check_granted(&scopes, client, apis)?;
    if !scopes.iter().any(|scope| api_of(scope, apis).is_some()) {
        return Err(OAuthError::new(
            Code::InvalidScope,
            "the client has no API scope to get a token for",
        ));
    }
    Ok(scopes)
}

/// The APIs of one token and the scopes that go into it.
#[derive(Debug, Clone)]
pub struct Chosen<'a> {
    /// APIs in the order of their first scope; empty for a token that opens UserInfo only.
    pub apis: Vec<&'a Api>,
    /// Scopes of the token, in the order they were asked for.
    pub scopes: Vec<String>,
}

/// Chooses the APIs of one token. `session_resources` are those named when the session began (empty: all that the
/// scopes choose), `resources` those asked for now (empty: all of the session's).
///
/// # Errors
/// `invalid_target` when a resource was not part of the session, has no scope in it, or refuses company.
pub fn choose<'a>(
    scopes: &[String],
    session_resources: &[String],
    resources: &[String],
    apis: &'a [Api],
) -> Result<Chosen<'a>, OAuthError> {
    let mut chosen: Vec<&Api> = Vec::new();
    for api in scopes.iter().filter_map(|scope| api_of(scope, apis)) {
        let in_session = session_resources.is_empty() || session_resources.contains(&api.audience);
        let asked = resources.is_empty() || resources.contains(&api.audience);
        let new = chosen.iter().all(|known| known.audience != api.audience);
        if in_session && asked && new {
            chosen.push(api);
        }
    }
    for resource in resources {
        if chosen.iter().all(|api| &api.audience != resource) {
            return Err(OAuthError::new(
                Code::InvalidTarget,
                "a resource is not one of those requested when the session began, or none of the scopes belongs to it",
            ));
        }
    }
    if chosen.len() > 1
        && let Some(alone) = chosen.iter().find(|api| api.alone)
    {
        return Err(OAuthError::new(
            Code::InvalidTarget,
            format!(
                "{} must be the only audience: name it in resource",
                alone.audience
            ),
        ));
    }
    let audiences: BTreeSet<&str> = chosen.iter().map(|api| api.audience.as_str()).collect();
    let scopes = scopes
        .iter()
        .filter(|scope| {
            api_of(scope, apis).is_none_or(|api| audiences.contains(api.audience.as_str()))
        })
        .cloned()
        .collect();
    Ok(Chosen {
        apis: chosen,
        scopes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::national_apis;

    fn client() -> Client {
        let mut client = Client::new("c", "c");
        client.user_login = true;
        client.machine = true;
        for scope in [
            "nhn:kjernejournal/api",
            "nhn:pps/provesvar-read",
            "e-helse:sfm.api/sfm.api",
            "profile",
        ] {
            client.scopes.insert(scope.to_owned());
        }
        client
    }

    #[test]
    fn machine_scopes() {
        let apis = national_apis();
        let found =
            |requested| for_machine(requested, &client(), &apis).map_err(|error| error.code);
        assert_eq!(found(None).unwrap().len(), 3);
        assert_eq!(
            found(Some("nhn:pps/provesvar-read nhn:pps/provesvar-read")).unwrap(),
            ["nhn:pps/provesvar-read"]
        );
        for refused in [
            "openid nhn:pps/provesvar-read",
            "helseid://scopes/identity/pid",
            "nhn:pps/provesvar",
            "x",
            "helseid://scopes/client/kj",
            "",
        ] {
            assert_eq!(found(Some(refused)), Err(Code::InvalidScope), "{refused}");
        }
    }

    #[test]
    fn scopes_on_resources_go_with_an_api_scope() {
        let apis = national_apis();
        let found =
            |requested| for_machine(Some(requested), &client(), &apis).map_err(|error| error.code);
        let both = "nhn:pps/provesvar-read user/Observation.rs?category=laboratory";
        let scopes = found(both).unwrap();
        assert_eq!(scopes.len(), 2);
        let chosen = choose(&scopes, &[], &[], &apis).unwrap();
        assert_eq!(chosen.apis.len(), 1);
        assert_eq!(chosen.scopes, scopes);
        for refused in [
            "user/Observation.rs",
            "nhn:pps/provesvar-read user/Observation.sr",
            "nhn:pps/provesvar-read user/observation.rs",
            "nhn:pps/provesvar-read launch/patient",
        ] {
            assert_eq!(found(refused), Err(Code::InvalidScope), "{refused}");
        }
        for (scope, expected) in [
            ("patient/*.read", true),
            ("system/Patient.cruds", true),
            ("user/Patient.c", true),
            ("user/Patient.", false),
            ("user/Patient", false),
            ("group/Patient.r", false),
            ("user/Patient.rs?x=\"", false),
        ] {
            assert_eq!(is_narrowing(scope), expected, "{scope}");
        }
    }

    #[test]
    fn one_session_many_single_audience_tokens() {
        let apis = national_apis();
        let scopes = split("openid nhn:kjernejournal/api nhn:pps/provesvar-read").unwrap();
        let both: Vec<String> = ["nhn:kjernejournal", "nhn:pps"].map(str::to_owned).into();
        let choose = |session: &[String], asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|one| (*one).to_owned()).collect();
            choose(&scopes, session, &asked, &apis)
                .map(|chosen| chosen.scopes.join(" "))
                .map_err(|error| error.code)
        };
        assert_eq!(
            choose(&both, &["nhn:pps"]).unwrap(),
            "openid nhn:pps/provesvar-read"
        );
        assert_eq!(choose(&both, &[]).unwrap(), scopes.join(" "));
        assert_eq!(
            choose(&[], &["nhn:pps"]).unwrap(),
            "openid nhn:pps/provesvar-read"
        );
        assert_eq!(
            choose(&both[..1], &[]).unwrap(),
            "openid nhn:kjernejournal/api"
        );
        assert_eq!(choose(&both[..1], &["nhn:pps"]), Err(Code::InvalidTarget));
        assert_eq!(choose(&both, &["nhn:msh"]), Err(Code::InvalidTarget));
    }

    #[test]
    fn some_apis_refuse_company() {
        let apis = national_apis();
        let scopes = split("nhn:pps/provesvar-read e-helse:sfm.api/sfm.api").unwrap();
        assert_eq!(
            choose(&scopes, &[], &[], &apis).unwrap_err().code,
            Code::InvalidTarget
        );
        let alone = ["e-helse:sfm.api".to_owned()];
        assert_eq!(
            choose(&scopes, &[], &alone, &apis).unwrap().scopes,
            ["e-helse:sfm.api/sfm.api"]
        );
    }
}
