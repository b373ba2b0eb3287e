//! The claims of a test token.

use jose::{Claims, PublicJwk, names};
use serde_json::{Value, json};

use super::{Fields, Refusal, attest};
use crate::config::Api;

/// Life of a test token unless the request says otherwise, seconds.
const LIFE_S: i64 = 600;
/// Longest life, days.
const MAX_DAYS: i64 = 3_650;
/// Most API-specific claims.
const MAX_API_CLAIMS: usize = 50;
const DEFAULT_AUDIENCE: &str = "nhn:some:api";
const DEFAULT_CLIENT: &str = "5f1b2c9e-6f0a-4a53-9d0c-3f6f1f6b7a11";
const GENERATION: [&str; 4] = [
    "None",
    "Default",
    "ParameterValues",
    "DefaultWithParameterValues",
];
const TENANCIES: [&str; 3] = ["MultiTenant", "SingleTenant", "None"];
const ENVIRONMENTS: [&str; 3] = ["Test", "IntTest", "Development"];

/// A person as the registers know them.
#[derive(Debug, Clone)]
pub struct Person {
    /// National identity number.
    pub pid: String,
    /// Given, middle and family name.
    pub names: (String, Option<String>, String),
    /// Number in the register of health personnel.
    pub hpr: Option<String>,
}

/// What the token stands on.
pub struct Ground<'a> {
    /// Issuer.
    pub issuer: &'a str,
    /// Now, seconds since 1970.
    pub now_s: i64,
    /// APIs, for the default scopes.
    pub apis: &'a [Api],
    /// Pseudonym of a person.
    pub subject: &'a dyn Fn(&str) -> String,
    /// Looks a person up.
    pub person: &'a dyn Fn(&str) -> Option<Person>,
    /// The person of tokens whose request names none.
    pub anybody: Option<Person>,
    /// The organisation of such tokens.
    pub organisation: Option<String>,
    /// Fresh ids: `jti`, `sid`.
    pub ids: [String; 2],
}

/// A token to be signed.
#[derive(Debug)]
pub struct Made {
    /// Its claims.
    pub claims: Claims,
    /// Its `typ`.
    pub typ: String,
    /// Whether it is to be signed with a key that nobody publishes.
    pub wrong_key: bool,
}

/// Makes the claims a request asks for. `jkt` is the thumbprint of the key of the DPoP proof, when one is made too.
///
/// # Errors
/// A text that says which member cannot be fulfilled.
pub fn make(request: Fields<'_>, ground: &Ground<'_>, jkt: Option<&str>) -> Result<Made, Refusal> {
    let client = request.part("clientClaimsParameters")?;
    let mut claims = Claims::default();
    set_frame(&mut claims, request, ground)?;
    set_binding(&mut claims, client, jkt)?;
    let audience = claims.text("aud").ok().flatten().unwrap_or_default();
    let asked_audience = request
        .text("audience")?
        .unwrap_or_else(|| audience.to_owned());
    set_client(&mut claims, request, client, ground, &asked_audience)?;
    let user = set_user(&mut claims, request, ground)?;
    if request.flag("createTillitsrammeverkClaims")? {
        let parameters = request.part("tillitsrammeverkClaimsParameters")?;
        let claim = attest::claim(parameters, user.as_ref(), ground)?;
        claims.set(names::ATTEST, claim);
    }
    if request.flag("createTokenExchangeClaims")? {
        set_exchange(
            &mut claims,
            request.part("tokenExchangeParameters")?,
            ground,
        )?;
    }
    let specific = request.parts("apiSpecificClaims")?;
    if specific.len() > MAX_API_CLAIMS {
        return Err(format!(
            "apiSpecificClaims has more than {MAX_API_CLAIMS} entries"
        ));
    }
    for one in specific {
        let (Some(kind), Some(value)) = (one.text("type")?, one.text("value")?) else {
            continue;
        };
        claims.set(&kind, value);
    }
    claims.set(
        "jti",
        client
            .text("jti")?
            .unwrap_or_else(|| ground.ids.first().cloned().unwrap_or_default()),
    );
    let typ = match request.part("headerParameters")?.text("typ")? {
        None => "at+jwt".to_owned(),
        Some(typ) if typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt") => typ,
        Some(_) => return Err("headerParameters.typ must be jwt or at+jwt".to_owned()),
    };
    Ok(Made {
        claims,
        typ,
        wrong_key: request.flag("signJwtWithInvalidSigningKey")?,
    })
}

fn set_frame(claims: &mut Claims, request: Fields<'_>, ground: &Ground<'_>) -> Result<(), Refusal> {
    let environment = request
        .choice("issuerEnvironment", &ENVIRONMENTS)?
        .unwrap_or(0);
    let issuer = match environment {
        _ if request.flag("setInvalidIssuer")? => "https://invalid-issuer.example".to_owned(),
        0 => ground.issuer.to_owned(),
        // There is one environment here; tokens of the others are, as nationally, of another issuer.
        1 => ground.issuer.replacen("https://", "https://inttest.", 1),
        _ => ground.issuer.replacen("https://", "https://utvikling.", 1),
    };
    let audience = if request.flag("setInvalidAudience")? {
        "invalid:audience".to_owned()
    } else {
        request
            .text("audience")?
            .unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned())
    };
    let expiration = request.part("expirationParameters")?;
    let (seconds, days) = (
        expiration.number("expirationTimeInSeconds")?,
        expiration.number("expirationTimeInDays")?,
    );
    if !(0..=MAX_DAYS * 86_400).contains(&seconds) || !(0..=MAX_DAYS).contains(&days) {
        return Err(format!(
            "expirationParameters must lie between 0 and {MAX_DAYS} days"
        ));
    }
    let life_s = match (days, seconds) {
        (0, 0) => LIFE_S,
        (0, seconds) => seconds,
        (days, _) => days * 86_400,
    };
    let issued_s = if expiration.flag("setExpirationTimeAsExpired")? {
        ground.now_s - life_s - 3_600
    } else {
        ground.now_s
    };
    claims
        .set("iss", issuer)
        .set("nbf", issued_s)
        .set("iat", issued_s)
        .set("exp", issued_s + life_s)
        .set("aud", audience);
    Ok(())
}

fn set_binding(claims: &mut Claims, client: Fields<'_>, jkt: Option<&str>) -> Result<(), Refusal> {
    let of_key = client
        .text("cnfPublicKey")?
        .map(|jwk| {
            PublicJwk::from_slice(jwk.as_bytes())
                .map(|key| key.thumbprint().to_owned())
                .map_err(|error| format!("clientClaimsParameters.cnfPublicKey: {error}"))
        })
        .transpose()?;
    let given = client.text("cnfJkt")?;
    if let Some(jkt) = jkt.map(str::to_owned).or(given).or(of_key) {
        claims.set("cnf", json!({ "jkt": jkt }));
    }
    Ok(())
}

/// How claims of one group come about.
struct Generation {
    default: bool,
    given: bool,
}

fn generation(request: Fields<'_>, name: &str, without: &str) -> Result<Generation, Refusal> {
    let mode = match request.choice(name, &GENERATION)? {
        Some(mode) => mode,
        None if request.flag(without)? => 2,
        None => 3,
    };
    let without = request.flag(without)?;
    Ok(Generation {
        default: matches!(mode, 1 | 3) && !without,
        given: matches!(mode, 2 | 3),
    })
}

impl Generation {
    /// The given value, else the default one, as far as each counts.
    fn pick<T>(&self, given: Option<T>, default: impl FnOnce() -> Option<T>) -> Option<T> {
        given
            .filter(|_| self.given)
            .or_else(|| if self.default { default() } else { None })
    }
}

fn set_client(
    claims: &mut Claims,
    request: Fields<'_>,
    client: Fields<'_>,
    ground: &Ground<'_>,
    audience: &str,
) -> Result<(), Refusal> {
    let mode = generation(
        request,
        "clientClaimsParametersGeneration",
        "withoutDefaultClientClaims",
    )?;
    let scopes = Some(client.texts("scope")?).filter(|scopes| !scopes.is_empty());
    let default_scopes = || {
        let api = ground.apis.iter().find(|api| api.audience == audience);
        Some(match api {
            Some(api) => api.scopes.iter().cloned().collect(),
            None => vec![format!("{audience}/api")],
        })
    };
    if let Some(scopes) = mode.pick(scopes, default_scopes) {
        claims.set("scope", scopes);
    }
    let texts: [(&str, &str, Option<&str>); 6] = [
        ("clientId", "client_id", Some(DEFAULT_CLIENT)),
        (
            "clientAuthenticationMethodsReferences",
            "client_amr",
            Some("private_key_jwt"),
        ),
        (
            "orgnrParent",
            names::ORGNR_PARENT,
            ground.organisation.as_deref(),
        ),
        ("orgnrChild", names::ORGNR_CHILD, None),
        ("orgnrSupplier", names::ORGNR_SUPPLIER, None),
        ("clientName", names::CLIENT_NAME, Some("Testklient")),
    ];
    for (member, claim, default) in texts {
        if let Some(value) = mode.pick(client.text(member)?, || default.map(str::to_owned)) {
            claims.set(claim, value);
        }
    }
    if mode.given {
        if let Some(id) = client.text("sfmJournalId")? {
            claims.set(names::SFM_JOURNAL_ID, id);
        }
        let amr = client.texts("authenticationMethodsReferences")?;
        match amr.as_slice() {
            [] => {}
            [one] => {
                claims.set("helseid://claims/client/amr", one.as_str());
            }
            several => {
                claims.set("helseid://claims/client/amr", several.to_vec());
            }
        }
        if client.flag("clientTenancy")? {
            let tenancy = client.choice("clientTenancyType", &TENANCIES)?.unwrap_or(1);
            let text = ["multi-tenant", "single-tenant", "none"]
                .get(tenancy)
                .copied()
                .unwrap_or("none");
            claims.set(names::CLIENT_TENANCY, text);
        }
    }
    Ok(())
}

fn set_user(
    claims: &mut Claims,
    request: Fields<'_>,
    ground: &Ground<'_>,
) -> Result<Option<Person>, Refusal> {
    let user = request.part("userClaimsParameters")?;
    let mode = generation(
        request,
        "userClaimsParametersGeneration",
        "withoutDefaultUserClaims",
    )?;
    let from_register = request.flag("getPersonFromPersontjenesten")?;
    let hpr_from_register = request.flag("getHprNumberFromHprregisteret")?;
    let given_pid = user.text("pid")?.filter(|_| mode.given);
    let default_person = || match &given_pid {
        Some(pid) => (ground.person)(pid),
        None => ground.anybody.clone(),
    };
    let person = if mode.default || from_register || hpr_from_register {
        default_person()
    } else {
        None
    };
    if (from_register || hpr_from_register) && person.is_none() {
        return Err(
            "the registers have nobody with the pid of userClaimsParameters; name one they have"
                .to_owned(),
        );
    }
    let pid = given_pid.or_else(|| person.as_ref().map(|person| person.pid.clone()));
    let pid = pid.filter(|_| mode.default || mode.given);
    if let Some(pid) = &pid {
        claims.set(names::PID, pid.as_str());
    }
    set_names(claims, request, user, &mode, person.as_ref())?;
    let hpr = person.as_ref().and_then(|person| person.hpr.clone());
    let hpr = if hpr_from_register {
        hpr
    } else {
        mode.pick(user.text("hprNumber")?, || hpr)
    };
    if let Some(hpr) = hpr {
        claims.set(names::HPR_NUMBER, hpr);
    }
    let sid = ground.ids.get(1).cloned();
    let texts: [(&str, &str, Option<String>); 6] = [
        ("identityProvider", "idp", Some("testidp-oidc".to_owned())),
        ("securityLevel", names::SECURITY_LEVEL, Some("4".to_owned())),
        (
            "assuranceLevel",
            names::ASSURANCE_LEVEL,
            Some("high".to_owned()),
        ),
        ("network", names::NETWORK, Some("internett".to_owned())),
        ("sid", "sid", sid),
        ("pidPseudonym", names::PID_PSEUDONYM, None),
    ];
    for (member, claim, default) in texts {
        if let Some(value) = mode.pick(user.text(member)?, || default) {
            claims.set(claim, value);
        }
    }
    let amr = user.texts("amr")?;
    let amr = Some(amr).filter(|amr| !amr.is_empty());
    if let Some(amr) = mode.pick(amr, || Some(vec!["pwd".to_owned()])) {
        claims.set("amr", amr);
    }
    if mode.default {
        claims.set("auth_time", ground.now_s);
    }
    let pseudonym = pid.as_deref().map(ground.subject);
    if request.flag("setPidPseudonym")? {
        let pseudonym = pseudonym
            .clone()
            .ok_or("setPidPseudonym needs userClaimsParameters.pid")?;
        claims.set(names::PID_PSEUDONYM, pseudonym);
    }
    let wanted = mode.default || request.flag("setSubject")?;
    let subject = user.text("subject")?.filter(|_| mode.given);
    if let Some(subject) = subject.or_else(|| pseudonym.filter(|_| wanted)) {
        claims.set("sub", subject);
    }
    Ok(person.or_else(|| {
        pid.map(|pid| Person {
            pid,
            names: (String::new(), None, String::new()),
            hpr: None,
        })
    }))
}

fn set_names(
    claims: &mut Claims,
    request: Fields<'_>,
    user: Fields<'_>,
    mode: &Generation,
    person: Option<&Person>,
) -> Result<(), Refusal> {
    let of_person = |part: usize| {
        let (given, middle, family) = &person?.names;
        Some(match part {
            0 => full_name(given, middle.as_deref(), family),
            1 => given.clone(),
            2 => middle.clone().unwrap_or_default(),
            _ => family.clone(),
        })
    };
    let from_register = request.flag("getPersonFromPersontjenesten")?;
    let only_name = request.flag("onlySetNameForPerson")?;
    for (part, (member, claim)) in [
        ("name", "name"),
        ("givenName", "given_name"),
        ("middleName", "middle_name"),
        ("familyName", "family_name"),
    ]
    .into_iter()
    .enumerate()
    {
        if from_register && only_name && part > 0 {
            continue;
        }
        let value = if from_register {
            of_person(part)
        } else {
            mode.pick(user.text(member)?, || of_person(part))
        };
        if let Some(value) = value {
            claims.set(claim, value);
        }
    }
    Ok(())
}

pub(super) fn full_name(given: &str, middle: Option<&str>, family: &str) -> String {
    [Some(given), middle, Some(family)]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn set_exchange(
    claims: &mut Claims,
    parameters: Fields<'_>,
    ground: &Ground<'_>,
) -> Result<(), Refusal> {
    let issuer = parameters.text("issuer")?;
    let mut act = json!({ "iss": issuer.unwrap_or_else(|| ground.issuer.to_owned()) });
    let members = act.as_object_mut();
    if let Some(members) = members {
        let client = parameters.text("clientId")?;
        members.insert(
            "client_id".to_owned(),
            Value::String(client.unwrap_or_else(|| DEFAULT_CLIENT.to_owned())),
        );
        let parent = parameters.text("orgnrParent")?;
        if let Some(parent) = parent.or_else(|| ground.organisation.clone()) {
            members.insert(names::ORGNR_PARENT.to_owned(), Value::String(parent));
        }
    }
    claims.set("act", act);
    Ok(())
}
