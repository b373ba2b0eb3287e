//! The claims of access tokens, ID tokens and UserInfo, in the JSON shapes real tokens have (spec §9, §12).

use jiff::civil::Date;
use jose::encoding::{b64, hmac_sha256};
use jose::{Claims, names};
use registers::directory::{Directory, PersonName, Practitioner};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::levels::Level;
use super::organisation::Organisations;
use super::scopes::Chosen;
use crate::config::{Client, Wanted};

/// A login, as it is kept with codes, refresh families and sessions.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// National identity number.
    pub pid: String,
    /// Level of the login.
    pub level: Level,
    /// Identity provider.
    pub idp: String,
    /// Methods, `["pwd"]` for the test provider.
    pub amr: Vec<String>,
    /// When the user logged in, seconds since 1970.
    pub auth_time_s: i64,
    /// Session id, 32 upper-case hex digits.
    pub sid: String,
    /// For whom the citizen acts, when not for herself: that person's national identity number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub represents: Option<String>,
}

/// What the registers say about the user at the time of issue.
pub struct User {
    /// Name in the person register.
    pub name: PersonName,
    /// Entry in the register of health personnel.
    pub practitioner: Option<Practitioner>,
}

impl User {
    /// Looks a user up; `None` when the person register does not have them (any more).
    #[must_use]
    pub fn find(pid: &str, directory: &dyn Directory) -> Option<Self> {
        let practitioner = directory.practitioner_by_nin(pid);
        let name = match (directory.person(pid), &practitioner) {
            (Some(person), _) => person.name,
            (None, Some(practitioner)) => practitioner.name.clone(),
            (None, None) => return None,
        };
        Some(Self { name, practitioner })
    }

    /// Number in the register of health personnel.
    #[must_use]
    pub fn hpr_number(&self) -> Option<&str> {
        self.practitioner.as_ref()?.hpr.as_deref()
    }
}

/// The public pseudonym of a user: HMAC of the pid, the same for all clients, 44 characters (spec §9 `sub`).
#[must_use]
pub fn subject(pid: &str, secret: &[u8]) -> String {
    b64(&hmac_sha256(secret, pid.as_bytes()))
}

/// Everything an access token is made of.
pub struct AccessTokenParts<'a> {
    /// Issuer.
    pub issuer: &'a str,
    /// Now, seconds since 1970.
    pub now_s: i64,
    /// Life, seconds.
    pub life_s: i64,
    /// Token id, 32 upper-case hex digits.
    pub jti: &'a str,
    /// Client.
    pub client: &'a Client,
    /// APIs and scopes.
    pub chosen: &'a Chosen<'a>,
    /// Organisations.
    pub organisations: &'a Organisations,
    /// Key the token is bound to.
    pub jkt: Option<&'a str>,
    /// Login, user and pseudonym; absent in machine tokens.
    pub user: Option<(&'a Login, &'a User, &'a str)>,
    /// SFM instance.
    pub journal_id: Option<&'a str>,
    /// Enriched attest.
    pub attest: Option<&'a Map<String, Value>>,
}

/// The claims of an access token, in the order of the originals.
#[must_use]
pub fn access_token(parts: &AccessTokenParts<'_>) -> Claims {
    let wants = |wanted: Wanted| {
        parts
            .chosen
            .apis
            .iter()
            .any(|api| api.wants.contains(&wanted))
    };
    let mut claims = Claims::default();
    claims
        .set("iss", parts.issuer)
        .set("nbf", parts.now_s)
        .set("iat", parts.now_s)
        .set("exp", parts.now_s + parts.life_s)
        .set("aud", audience(parts));
    if let Some(jkt) = parts.jkt {
        claims.set("cnf", json!({ "jkt": jkt }));
    }
    claims.set("scope", parts.chosen.scopes.clone());
    if let Some((login, _, _)) = parts.user {
        claims.set("amr", login.amr.clone());
    }
    claims
        .set("client_id", parts.client.client_id.as_str())
        .set("client_amr", "private_key_jwt");
    set_organisations(&mut claims, parts.organisations, &wants);
    for (name, value) in &parts.client.api_claims {
        let owned = |audience: &str| {
            name.strip_prefix(audience)
                .is_some_and(|rest| rest.starts_with("/client/claims/"))
        };
        if parts.chosen.apis.iter().any(|api| owned(&api.audience)) {
            claims.set(name, value.as_str());
        }
    }
    if let Some((login, user, subject)) = parts.user {
        claims
            .set("sub", subject)
            .set("auth_time", login.auth_time_s)
            .set("idp", login.idp.as_str());
        set_user(&mut claims, login, user, subject, &wants);
    }
    if wants(Wanted::OrgnrSupplier)
        && let Some(supplier) = &parts.organisations.supplier
    {
        claims.set(names::ORGNR_SUPPLIER, supplier.as_str());
    }
    if wants(Wanted::ClientName) {
        claims.set(names::CLIENT_NAME, client_name(parts.client));
    }
    if wants(Wanted::ClientTenancy) {
        claims.set(names::CLIENT_TENANCY, parts.organisations.tenancy);
    }
    if wants(Wanted::KjOrgnr)
        && let Some(parent) = &parts.organisations.parent
    {
        claims.set(names::KJ_ORGNR, parent.as_str());
    }
    let has_rsa = |client: &Client| client.keys.iter().any(|key| key.key.rsa_bits().is_some());
    if wants(Wanted::ClientAmr) && has_rsa(parts.client) {
        claims.set(names::CLIENT_AMR_LEGACY, "rsa_private_key");
    }
    if wants(Wanted::SfmJournalId)
        && let Some(id) = parts.journal_id
    {
        claims.set(names::SFM_JOURNAL_ID, id);
    }
    if wants(Wanted::Attest)
        && let Some(attest) = parts.attest
    {
        claims.set(names::ATTEST, attest.clone());
    }
    if let Some((login, _, _)) = parts.user {
        claims.set("sid", login.sid.as_str());
    }
    claims.set("jti", parts.jti);
    claims
}

/// A string when there is one, an array when there are several; the issuer itself for a token that opens UserInfo only.
fn audience(parts: &AccessTokenParts<'_>) -> Value {
    let audiences: Vec<&str> = parts
        .chosen
        .apis
        .iter()
        .map(|api| api.audience.as_str())
        .collect();
    match audiences.as_slice() {
        [] => parts.issuer.into(),
        [one] => (*one).into(),
        several => json!(several),
    }
}

fn client_name(client: &Client) -> String {
    if client.organisation_name.is_empty() {
        client.name.clone()
    } else {
        format!("{} - {}", client.organisation_name, client.name)
    }
}

fn set_organisations(
    claims: &mut Claims,
    organisations: &Organisations,
    wants: &impl Fn(Wanted) -> bool,
) {
    if wants(Wanted::OrgnrParent)
        && let Some(parent) = &organisations.parent
    {
        claims.set(names::ORGNR_PARENT, parent.as_str());
    }
    if wants(Wanted::OrgnrChild)
        && let Some(child) = &organisations.child
    {
        claims.set(names::ORGNR_CHILD, child.as_str());
    }
}

fn set_user(
    claims: &mut Claims,
    login: &Login,
    user: &User,
    subject: &str,
    wants: &impl Fn(Wanted) -> bool,
) {
    if wants(Wanted::Pid) {
        claims.set(names::PID, login.pid.as_str());
    }
    if wants(Wanted::PidPseudonym) {
        claims.set(names::PID_PSEUDONYM, subject);
    }
    if wants(Wanted::SecurityLevel) {
        claims.set(names::SECURITY_LEVEL, login.level.security_level());
    }
    if wants(Wanted::AssuranceLevel) {
        claims.set(names::ASSURANCE_LEVEL, login.level.assurance_level());
    }
    if wants(Wanted::HprNumber)
        && let Some(number) = user.hpr_number()
    {
        claims.set(names::HPR_NUMBER, number);
    }
    if wants(Wanted::Names) {
        set_names(claims, &user.name);
    }
    if wants(Wanted::Network) {
        claims.set(names::NETWORK, "internett");
    }
}

fn set_names(claims: &mut Claims, name: &PersonName) {
    claims
        .set("name", name.full())
        .set("given_name", name.given.as_str())
        .set("middle_name", name.middle.as_deref().unwrap_or_default())
        .set("family_name", name.family.as_str());
}

/// What identity scopes choose, for ID token and UserInfo (spec §12.1).
fn wanted_by_scopes(scopes: &[impl AsRef<str>], wanted: Wanted) -> bool {
    let has = |scope: &str| scopes.iter().any(|one| one.as_ref() == scope);
    let identity = |name: &str| {
        has("helseid://scopes/identity/all") || has(&format!("helseid://scopes/identity/{name}"))
    };
    match wanted {
        Wanted::Pid => identity("pid"),
        Wanted::PidPseudonym => identity("pid_pseudonym"),
        Wanted::SecurityLevel => identity("security_level"),
        Wanted::AssuranceLevel => identity("assurance_level"),
        Wanted::Network => identity("network"),
        Wanted::HprNumber => has("helseid://scopes/hpr/hpr_number") || has("helseid://scopes/hpr"),
        Wanted::Names => has("profile"),
        _ => false,
    }
}

/// Everything an ID token is made of.
pub struct IdTokenParts<'a> {
    /// Issuer.
    pub issuer: &'a str,
    /// Now, seconds since 1970.
    pub now_s: i64,
    /// Client.
    pub client_id: &'a str,
    /// Login, user and pseudonym.
    pub user: (&'a Login, &'a User, &'a str),
    /// Scopes granted.
    pub scopes: &'a [String],
    /// Nonce of the login request.
    pub nonce: Option<&'a str>,
    /// Half hash of the access token.
    pub at_hash: String,
    /// Half hash of the state, at the first token response only.
    pub s_hash: Option<String>,
    /// First satisfied `acr_values` entry.
    pub acr: Option<&'a str>,
}

/// Life of an ID token, seconds.
pub const ID_TOKEN_S: i64 = 300;

/// The claims of an ID token.
#[must_use]
pub fn id_token(parts: &IdTokenParts<'_>) -> Claims {
    let (login, user, subject) = parts.user;
    let mut claims = Claims::default();
    claims
        .set("iss", parts.issuer)
        .set("nbf", parts.now_s)
        .set("iat", parts.now_s)
        .set("exp", parts.now_s + ID_TOKEN_S)
        .set("aud", parts.client_id)
        .set("amr", login.amr.clone());
    if let Some(nonce) = parts.nonce {
        claims.set("nonce", nonce);
    }
    claims.set("at_hash", parts.at_hash.as_str());
    if let Some(s_hash) = &parts.s_hash {
        claims.set("s_hash", s_hash.as_str());
    }
    claims
        .set("sid", login.sid.as_str())
        .set("sub", subject)
        .set("auth_time", login.auth_time_s)
        .set("idp", login.idp.as_str());
    if let Some(acr) = parts.acr {
        claims.set("acr", acr);
    }
    set_user(&mut claims, login, user, subject, &|wanted| {
        wanted_by_scopes(parts.scopes, wanted)
    });
    claims
}

/// `at_hash` and `s_hash`: left half of SHA-256, as for RS256, PS256 and ES256 (OpenID Connect Core §3.1.3.6).
#[must_use]
pub fn half_hash(text: &str) -> String {
    let digest = jose::encoding::sha256(text.as_bytes());
    let (half, _) = digest.split_at(16);
    jose::encoding::b64url(half)
}

/// The UserInfo answer.
#[must_use]
pub fn user_info(
    login: &Login,
    user: &User,
    subject: &str,
    scopes: &[&str],
    now_s: i64,
    today: Date,
) -> Claims {
    let mut claims = Claims::default();
    claims.set("sub", subject);
    let wants = |wanted| wanted_by_scopes(scopes, wanted);
    set_user(&mut claims, login, user, subject, &wants);
    claims.set("userinfo_issued_at", now_s);
    if wants(Wanted::HprNumber)
        && let Some(practitioner) = &user.practitioner
        && let Some(number) = &practitioner.hpr
    {
        let approvals: Vec<Value> = practitioner
            .authorisations
            .iter()
            .filter(|authorisation| authorisation.is_active(today))
            .map(|authorisation| approval(&authorisation.role, practitioner))
            .collect();
        claims.set(
            names::HPR_DETAILS,
            json!({ "approvals": approvals, "hpr_number": number }),
        );
    }
    claims
}

fn approval(profession: &str, practitioner: &Practitioner) -> Value {
    // Only doctors and dentists have a full right to requisition by their authorisation alone.
    let requisition = if matches!(profession, "LE" | "TL") {
        json!([{ "value": "1", "description": "Full rekvisisjonsrett" }])
    } else {
        json!([])
    };
    let specialities: Vec<Value> = practitioner
        .speciality
        .iter()
        .map(|speciality| json!({ "value": "", "description": speciality }))
        .collect();
    json!({
        "profession": profession,
        "authorization": { "value": "1", "description": "Autorisasjon" },
        "requisition_rights": requisition,
        "specialities": specialities,
    })
}
