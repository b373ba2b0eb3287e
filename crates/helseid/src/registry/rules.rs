//! The rules of registrations, as functions from values to values (spec §14, §3, attack A36).

use std::collections::BTreeSet;

use jose::PublicJwk;
use jose::alg::HELSEID_CLIENT_ALGS;
use registers::directory::Directory;
use serde_json::{Map, Value};

use super::model::{
    ApiOwner, Claim, Configuration, ConfigurationState, KEY_LIFE_S, Key, OVERLAP_S, Origin, Roles,
    Scope, ScopeState, System, SystemTenancy, SystemUsers,
};
use crate::citizen;
use crate::config::Api;
use crate::rules::redirect;
use crate::rules::scopes::{api_of, is_identity};

/// The API of this page itself: its scope is granted to whoever asks, so that every client can renew its key.
pub const SELF_SERVICE: &str = "nhn:selvbetjening";
/// The scope with which a client works on its own registration.
pub const SELF_SERVICE_SCOPE: &str = "nhn:selvbetjening/client";
/// What the rights of citizens' clients belong to; the operator decides on them.
pub const CITIZENS: &str = "nhn:helsenorge";

const MAX_NAME_CHARS: usize = 100;
const MAX_URIS: usize = 50;
const MAX_SCOPES: usize = 100;
const MAX_CLAIMS: usize = 50;
const MAX_CHILDREN: usize = 1_000;
const MAX_AUDIENCES: usize = 10;
/// Keys that may be valid at the same time.
pub const MAX_LIVE_KEYS: usize = 10;
/// How long an expired key is still listed, seconds.
const SHOWN_AFTER_EXPIRY_S: i64 = 30 * 86_400;

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An operator at the pages.
    Operator {
        /// Name shown at the pages.
        name: String,
    },
    /// Whoever runs the program's commands.
    Console,
    /// Somebody of an organisation.
    Organisation {
        /// Its organisation number.
        orgnr: String,
        /// HPR number of the person, if any.
        hpr: Option<String>,
    },
    /// The client itself, by its token.
    Client {
        /// Client id.
        client_id: String,
    },
    /// An installation, by the API key of its system.
    ApiKey {
        /// Id of the system.
        system: String,
    },
}

impl Actor {
    /// Operators and the console may do everything.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        matches!(self, Self::Operator { .. } | Self::Console)
    }

    /// The organisation acted for.
    #[must_use]
    pub fn orgnr(&self) -> Option<&str> {
        match self {
            Self::Organisation { orgnr, .. } => Some(orgnr),
            _ => None,
        }
    }
}

/// Why something about a registration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Not there, or not for the caller.
    #[error("no such registration, or it is not yours")]
    NotFound,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Something sent is not right.
    #[error("{place}: {what}")]
    Invalid {
        /// Member of the request.
        place: &'static str,
        /// What is wrong with it and what to do.
        what: String,
    },
    /// The key was registered before.
    #[error("publicJwk: this key was registered before, by this client or another; make a new key")]
    KeyUsed,
    /// Somebody else changed the registration at the same time.
    #[error("the registration was changed by somebody else in the meantime; read it and try again")]
    Conflict,
    /// The store cannot be reached; the text is for the operator's log.
    #[error("the registrations cannot be reached now; try again in a moment")]
    Unavailable(String),
}

fn invalid(place: &'static str, what: impl Into<String>) -> RegistryError {
    RegistryError::Invalid {
        place,
        what: what.into(),
    }
}

/// Whether a registration is the caller's: the organisation that uses it, or its supplier.
#[must_use]
pub fn may_change(actor: &Actor, configuration: &Configuration, system: &System) -> bool {
    match actor {
        Actor::Operator { .. } | Actor::Console => true,
        Actor::Organisation { orgnr, .. } => {
            *orgnr == configuration.organisation || *orgnr == system.supplier
        }
        Actor::Client { client_id } => *client_id == configuration.client_id,
        Actor::ApiKey { .. } => false,
    }
}

/// Whether the caller decides on the scopes of an API.
#[must_use]
pub fn may_decide(actor: &Actor, owner: Option<&ApiOwner>) -> bool {
    actor.is_operator()
        || actor
            .orgnr()
            .is_some_and(|orgnr| owner.and_then(|o| o.organisation.as_deref()) == Some(orgnr))
}

/// A name as pages show it.
///
/// # Errors
/// Empty, too long, or with control characters.
pub fn check_name(name: &str) -> Result<String, RegistryError> {
    let name = name.trim();
    let is_right = !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(char::is_control);
    if is_right {
        Ok(name.to_owned())
    } else {
        Err(invalid("name", "give a name of 1 to 100 characters"))
    }
}

/// A client id that somebody chose.
///
/// # Errors
/// Not 3 to 100 of the characters that are safe everywhere.
pub fn check_client_id(client_id: &str) -> Result<(), RegistryError> {
    let is_right = (3..=100).contains(&client_id.len())
        && client_id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    // A national id has no place in a client id, from where it would reach logs and tokens.
    let is_number = client_id.bytes().filter(u8::is_ascii_digit).count() == 11
        && client_id.bytes().all(|b| b.is_ascii_digit());
    if is_right && !is_number {
        Ok(())
    } else {
        Err(invalid(
            "client_id",
            "3 to 100 letters, digits, hyphens, dots and underscores, or leave it out",
        ))
    }
}

/// The legal entity behind a number, and its name.
///
/// # Errors
/// Nine digits, known to the register, not the number of a unit.
pub fn check_organisation(orgnr: &str, directory: &dyn Directory) -> Result<String, RegistryError> {
    let place = "organizationNumber";
    if orgnr.len() != 9 || !orgnr.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(place, "an organisation number has nine digits"));
    }
    match directory.organisation(orgnr) {
        Some(found) if found.orgnr == orgnr => Ok(found.name),
        Some(_) => Err(invalid(
            place,
            "this is the number of a sub-unit; give the number of the legal entity",
        )),
        None => Err(invalid(place, "the register has no such organisation")),
    }
}

/// Sub-units that a client may name: each must belong to the organisation.
///
/// # Errors
/// Names the place of the first that does not.
pub fn check_children(
    children: &[String],
    organisation: &str,
    directory: &dyn Directory,
) -> Result<BTreeSet<String>, RegistryError> {
    let place = "childOrganizationNumbers";
    if children.len() > MAX_CHILDREN {
        return Err(invalid(place, "too many numbers"));
    }
    for (i, child) in children.iter().enumerate() {
        let is_unit = child == organisation
            || child.len() == 9
                && directory
                    .organisation(child)
                    .is_some_and(|found| found.orgnr == organisation);
        if !is_unit {
            return Err(invalid(
                place,
                format!("number {} is not a sub-unit of the organisation", i + 1),
            ));
        }
    }
    Ok(children.iter().cloned().collect())
}

/// Redirect URIs as they may be registered.
///
/// # Errors
/// Names the place of the first that may not, and why.
pub fn check_uris(
    place: &'static str,
    uris: &[String],
    native: bool,
) -> Result<Vec<String>, RegistryError> {
    if uris.len() > MAX_URIS {
        return Err(invalid(place, "at most 50 addresses"));
    }
    let mut kept: Vec<String> = Vec::with_capacity(uris.len());
    for (i, uri) in uris.iter().enumerate() {
        if let Err(why) = redirect::check_registrable(uri, native) {
            return Err(invalid(place, format!("address {} {why}", i + 1)));
        }
        if !kept.contains(uri) {
            kept.push(uri.clone());
        }
    }
    Ok(kept)
}

/// Reads a public key: a JWK object, or a string that holds one.
///
/// # Errors
/// Private or symmetric keys, weak keys, algorithms that HelseID does not take.
pub fn read_key(value: &Value) -> Result<PublicJwk, RegistryError> {
    let place = "publicJwk";
    let parsed;
    let members = match value {
        Value::Object(members) => members,
        Value::String(text) => {
            parsed = jose::strict_json::object(text.as_bytes())
                .map_err(|error| invalid(place, format!("the key is {error}")))?;
            &parsed
        }
        _ => return Err(invalid(place, "give the public key as a JWK")),
    };
    // .NET writes every member of its JWK class, the empty ones too.
    let members: Map<String, Value> = members
        .iter()
        .filter(|(_, member)| {
            !member.is_null() && member.as_array().is_none_or(|list| !list.is_empty())
        })
        .map(|(name, member)| (name.clone(), member.clone()))
        .collect();
    let key =
        PublicJwk::from_members(&members).map_err(|error| invalid(place, error.to_string()))?;
    if !HELSEID_CLIENT_ALGS.iter().any(|alg| key.accepts(*alg)) {
        return Err(invalid(
            place,
            "use RSA of at least 2048 bits (RS or PS) or EC P-256, P-384 or P-521 (ES)",
        ));
    }
    if key.kid().is_some_and(|kid| kid.len() > 200) {
        return Err(invalid(place, "kid is longer than 200 characters"));
    }
    Ok(key)
}

/// What a system of citizens' clients cannot be (spec §18).
///
/// # Errors
/// It logs citizens in and does nothing else; it acts for no organisation but its own.
pub fn check_users(
    users: SystemUsers,
    tenancy: SystemTenancy,
    logs_in: bool,
    machine: bool,
) -> Result<(), RegistryError> {
    if users.is_personnel() {
        return Ok(());
    }
    if !logs_in || machine {
        return Err(invalid(
            "users",
            "a client of citizens logs them in and gets no tokens of its own",
        ));
    }
    if tenancy == SystemTenancy::Multi {
        return Err(invalid(
            "users",
            "a client of citizens acts for no organisation; register the system as single-tenant",
        ));
    }
    Ok(())
}

/// Whether a key may be given to the configurations of a system.
///
/// # Errors
/// Applications of citizens have none.
pub fn check_has_keys(system: &System) -> Result<(), RegistryError> {
    if system.has_keys() {
        return Ok(());
    }
    Err(invalid(
        "publicJwk",
        "this application has no key: each of its instances shows a certificate of its own",
    ))
}

/// What an operator may give the configurations of a system besides.
///
/// # Errors
/// Token exchange to a client of citizens, audiences to one of personnel (their scopes say those), audiences that are none.
pub fn check_roles(system: &System, roles: &Roles) -> Result<(), RegistryError> {
    if !system.users.is_personnel() && !roles.acts_for.is_empty() {
        return Err(invalid(
            "actsFor",
            "a client of citizens exchanges no tokens",
        ));
    }
    if system.users.is_personnel() && !roles.audiences.is_empty() {
        return Err(invalid(
            "audiences",
            "only tokens of citizens' clients have audiences of their own; elsewhere the scopes say them",
        ));
    }
    let is_word = |one: &String| {
        (3..=100).contains(&one.len()) && one.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if roles.audiences.len() > MAX_AUDIENCES || !roles.audiences.iter().all(is_word) {
        return Err(invalid(
            "audiences",
            "at most ten, each of 3 to 100 characters without spaces",
        ));
    }
    Ok(())
}

/// Adds a key. A key that the client itself sends replaces the old ones, which live on for a day.
///
/// # Errors
/// Too many keys, or one it has.
pub fn add_key(
    configuration: &mut Configuration,
    key: &PublicJwk,
    origin: Origin,
    now_s: i64,
) -> Result<i64, RegistryError> {
    let thumbprint = key.thumbprint();
    if configuration
        .keys
        .iter()
        .any(|k| k.thumbprint == thumbprint)
    {
        return Err(RegistryError::KeyUsed);
    }
    configuration
        .keys
        .retain(|k| now_s <= k.expires_s + SHOWN_AFTER_EXPIRY_S);
    if configuration
        .keys
        .iter()
        .filter(|k| k.is_live(now_s))
        .count()
        >= MAX_LIVE_KEYS
    {
        return Err(invalid(
            "publicJwk",
            "the client has ten keys already; remove one first",
        ));
    }
    if origin == Origin::Api {
        for old in &mut configuration.keys {
            old.expires_s = old.expires_s.min(now_s + OVERLAP_S);
        }
    }
    let expires_s = now_s + KEY_LIFE_S;
    configuration.keys.push(Key {
        jwk: key.to_members(),
        thumbprint: thumbprint.to_owned(),
        origin,
        created_s: now_s,
        expires_s,
    });
    Ok(expires_s)
}

/// Removes a key at once.
///
/// # Errors
/// The client has no such key.
pub fn remove_key(
    configuration: &mut Configuration,
    thumbprint: &str,
) -> Result<(), RegistryError> {
    let before = configuration.keys.len();
    configuration.keys.retain(|k| k.thumbprint != thumbprint);
    if configuration.keys.len() == before {
        return Err(RegistryError::NotFound);
    }
    Ok(())
}

/// What decides how a scope begins.
pub struct ScopeRules<'a> {
    /// Registered APIs.
    pub apis: &'a [Api],
    /// Whether scopes of an audience are approved at once.
    pub automatic: &'a dyn Fn(&str) -> bool,
}

impl ScopeRules<'_> {
    fn begin(&self, scope: &str, system: &System, now_s: i64) -> Result<Scope, RegistryError> {
        let of_citizens = !system.users.is_personnel();
        if of_citizens && !citizen::RIGHTS.contains(&scope) {
            return Err(invalid(
                "apiScopes",
                format!(
                    "a client of citizens asks for rights: {}",
                    citizen::RIGHTS.join(", ")
                ),
            ));
        }
        let api = api_of(scope, self.apis);
        if api.is_none() && !is_identity(scope) && !of_citizens {
            let shown: String = if scope.bytes().filter(u8::is_ascii_digit).count() > 8 {
                "(not shown)".to_owned()
            } else {
                scope
                    .chars()
                    .filter(char::is_ascii_graphic)
                    .take(100)
                    .collect()
            };
            return Err(invalid(
                "apiScopes",
                format!("no API has the scope {shown}"),
            ));
        }
        let is_own = api.is_some_and(|api| api.audience == SELF_SERVICE);
        if !is_own
            && (api.is_some() || of_citizens)
            && system
                .scopes
                .as_ref()
                .is_some_and(|allowed| !allowed.contains(scope))
        {
            return Err(invalid(
                "apiScopes",
                "a scope is not part of what the client system may ask for",
            ));
        }
        let is_free =
            !of_citizens && (is_own || api.is_none_or(|api| (self.automatic)(&api.audience)));
        Ok(Scope {
            scope: scope.to_owned(),
            state: if is_free {
                ScopeState::Approved
            } else {
                ScopeState::Requested
            },
            reason: None,
            requested_s: now_s,
            decided_s: is_free.then_some(now_s),
        })
    }

    /// Asks for scopes. Those it has stay as they are; a rejected one is asked for anew.
    ///
    /// # Errors
    /// Scopes that do not exist, or that the system may not ask for.
    pub fn request(
        &self,
        configuration: &mut Configuration,
        system: &System,
        wanted: &[String],
        now_s: i64,
    ) -> Result<(), RegistryError> {
        for scope in wanted {
            let new = self.begin(scope, system, now_s)?;
            match configuration.scopes.iter_mut().find(|s| s.scope == *scope) {
                Some(known) if known.state == ScopeState::Rejected => *known = new,
                Some(_) => {}
                None => configuration.scopes.push(new),
            }
        }
        if configuration.scopes.len() > MAX_SCOPES {
            return Err(invalid("apiScopes", "at most 100 scopes"));
        }
        Ok(())
    }

    /// Replaces all scopes of APIs, as a client does for itself: what is not named goes, what was decided stays decided.
    /// Scopes about the user stay: they follow from how the client logs in.
    ///
    /// # Errors
    /// As for [`ScopeRules::request`].
    pub fn replace(
        &self,
        configuration: &mut Configuration,
        system: &System,
        wanted: &[String],
        now_s: i64,
    ) -> Result<(), RegistryError> {
        if wanted.len() > MAX_SCOPES {
            return Err(invalid("apiScopes", "at most 100 scopes"));
        }
        let mut next: Vec<Scope> = configuration
            .scopes
            .iter()
            .filter(|s| is_identity(&s.scope))
            .cloned()
            .collect();
        for scope in wanted {
            if next.iter().any(|s| s.scope == *scope) {
                continue;
            }
            let known = configuration.scopes.iter().find(|s| s.scope == *scope);
            next.push(match known {
                Some(known) => known.clone(),
                None => self.begin(scope, system, now_s)?,
            });
        }
        configuration.scopes = next;
        Ok(())
    }

    /// Replaces the API-specific claims: a new value waits for the owner of the API unless it approves by itself.
    ///
    /// # Errors
    /// Claims of an API that the client has no scope of.
    pub fn replace_claims(
        &self,
        configuration: &mut Configuration,
        wanted: &[(String, String)],
    ) -> Result<(), RegistryError> {
        let place = "audienceSpecificClientClaims";
        if wanted.len() > MAX_CLAIMS {
            return Err(invalid(place, "at most 50 claims"));
        }
        let audiences: BTreeSet<&str> = configuration
            .scopes
            .iter()
            .filter_map(|s| api_of(&s.scope, self.apis))
            .map(|api| api.audience.as_str())
            .filter(|audience| *audience != SELF_SERVICE)
            .collect();
        let mut next: Vec<Claim> = Vec::with_capacity(wanted.len());
        for (i, (key, value)) in wanted.iter().enumerate() {
            let (audience, claim_type) =
                match (key.split_once("/client/claims/"), audiences.first()) {
                    (Some((audience, _)), _) => (audience, key.clone()),
                    // A short key is the API's own when there is only one API.
                    (None, Some(only)) if audiences.len() == 1 => {
                        (*only, format!("{only}/client/claims/{key}"))
                    }
                    _ => {
                        return Err(invalid(
                            place,
                            format!(
                                "claim {} needs the form <audience>/client/claims/<key>",
                                i + 1
                            ),
                        ));
                    }
                };
            if !audiences.contains(audience) {
                return Err(invalid(
                    place,
                    format!(
                        "claim {} belongs to an API that no scope is asked for",
                        i + 1
                    ),
                ));
            }
            let is_text = |text: &str, most| {
                !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
            };
            let tail = claim_type.rsplit('/').next().unwrap_or_default();
            let is_key = is_text(tail, 100) && tail.bytes().all(|b| b.is_ascii_graphic());
            if !is_key || !is_text(value, 1_000) {
                return Err(invalid(
                    place,
                    format!(
                        "claim {} needs a key and a value of 1 to 1000 characters",
                        i + 1
                    ),
                ));
            }
            if next.iter().any(|claim| claim.claim_type == claim_type) {
                return Err(invalid(place, format!("claim {} is there twice", i + 1)));
            }
            let active = configuration
                .claims
                .iter()
                .find(|claim| claim.claim_type == claim_type)
                .and_then(|claim| claim.active.clone());
            let is_now = active.as_ref() == Some(value) || (self.automatic)(audience);
            next.push(Claim {
                claim_type,
                active: if is_now { Some(value.clone()) } else { active },
                pending: (!is_now).then(|| value.clone()),
            });
        }
        configuration.claims = next;
        Ok(())
    }
}

/// Decides on a scope.
///
/// # Errors
/// The client has not asked for it.
pub fn decide(
    configuration: &mut Configuration,
    scope: &str,
    is_approved: bool,
    reason: Option<&str>,
    now_s: i64,
) -> Result<(), RegistryError> {
    let found = configuration
        .scopes
        .iter_mut()
        .find(|s| s.scope == scope)
        .ok_or(RegistryError::NotFound)?;
    found.state = if is_approved {
        ScopeState::Approved
    } else {
        ScopeState::Rejected
    };
    found.reason = reason
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| text.chars().filter(|c| !c.is_control()).take(300).collect());
    found.decided_s = Some(now_s);
    Ok(())
}

/// Decides on the value of an API-specific claim.
///
/// # Errors
/// Nothing is pending.
pub fn decide_claim(
    configuration: &mut Configuration,
    claim_type: &str,
    is_approved: bool,
) -> Result<(), RegistryError> {
    let at = configuration
        .claims
        .iter()
        .position(|claim| claim.claim_type == claim_type && claim.pending.is_some())
        .ok_or(RegistryError::NotFound)?;
    if let Some(claim) = configuration.claims.get_mut(at) {
        let pending = claim.pending.take();
        if is_approved {
            claim.active = pending;
        }
    }
    configuration
        .claims
        .retain(|claim| claim.active.is_some() || claim.pending.is_some());
    Ok(())
}

/// Whether an installation may make a draft for an organisation (spec §14, attack A36).
///
/// # Errors
/// Drafts are for single-tenant systems, and for the system's customers where it names them.
pub fn check_draft(system: &System, organisation: &str) -> Result<(), RegistryError> {
    if system.tenancy != SystemTenancy::Single {
        return Err(RegistryError::Forbidden(
            "drafts are for single-tenant client systems; a multi-tenant client is registered once by its supplier",
        ));
    }
    let is_customer = system
        .customers
        .as_ref()
        .is_none_or(|customers| customers.contains(organisation));
    if !is_customer {
        return Err(RegistryError::Forbidden(
            "this api-key belongs to a client system that is not registered for that organisation",
        ));
    }
    Ok(())
}

/// Confirms a draft.
///
/// # Errors
/// Only its own organisation may, and only while it waits.
pub fn confirm(
    configuration: &mut Configuration,
    actor: &Actor,
    now_s: i64,
) -> Result<(), RegistryError> {
    check_waiting(configuration, actor, now_s)?;
    configuration.state = ConfigurationState::Active;
    Ok(())
}

/// Whether a draft waits for this caller's word.
///
/// # Errors
/// [`RegistryError::NotFound`]: a stranger does not learn that it exists.
pub fn check_waiting(
    configuration: &Configuration,
    actor: &Actor,
    now_s: i64,
) -> Result<(), RegistryError> {
    let is_own = actor.is_operator() || actor.orgnr() == Some(configuration.organisation.as_str());
    let is_waiting =
        configuration.state == ConfigurationState::Draft && !configuration.is_stale(now_s);
    if is_own && is_waiting {
        Ok(())
    } else {
        Err(RegistryError::NotFound)
    }
}
