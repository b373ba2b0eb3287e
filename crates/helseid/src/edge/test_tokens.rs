//! `POST /v2/create-test-token-with-key` (spec §15): tokens for testing APIs, signed with this environment's real key, with
//! any claims and with purposely broken variants. Exists in the sandbox only, and only for whom has an API key.

use std::sync::OnceLock;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use jose::encoding::{b64url, b64url_decode, equal_secret, random_b64url};
use jose::jwk::KeyKind;
use jose::{PrivateJwk, jws, strict_json};
use serde_json::{Value, json};

use super::{header_values, json_answer};
use crate::Helseid;
use crate::error::OAuthError;
use crate::issue::new_id;
use crate::rules::test_tokens::{
    Fields, Flaw, Ground, Made, Person, Refusal, lower_case, make, make_proof,
};

/// Longest request, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest text of an address or method in a proof.
const MAX_TEXT: usize = 2_000;

/// A token and the proof that goes with it.
struct TestToken {
    token: String,
    proof: Option<String>,
}

/// The handler.
pub async fn create(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    let sent = header_values(request.headers(), "X-Auth-Key");
    let known = match sent.as_slice() {
        [sent] => helseid
            .inner
            .config
            .test_token_keys
            .iter()
            .any(|key| equal_secret(key.as_bytes(), sent.as_bytes())),
        _ => false,
    };
    if !known {
        let refusal = "the header X-Auth-Key must carry an API key of this test environment";
        return answer(StatusCode::UNAUTHORIZED, Err(refusal.to_owned()));
    }
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await else {
        let refusal = format!("the request is longer than {MAX_BODY_BYTES} bytes or broke off");
        return answer(StatusCode::BAD_REQUEST, Err(refusal));
    };
    match token_for(&helseid, &body) {
        Ok(made) => {
            metrics::counter!("helseid_tokens_total", "grant" => "test_token").increment(1);
            answer(StatusCode::OK, Ok(made))
        }
        Err(refusal) => answer(StatusCode::BAD_REQUEST, Err(refusal)),
    }
}

fn answer(status: StatusCode, made: Result<TestToken, Refusal>) -> Response<Body> {
    let body = match made {
        Ok(made) => json!({
            "isError": false,
            "successResponse": { "accessTokenJwt": made.token, "dPoPProof": made.proof },
            "errorResponse": null,
        }),
        Err(message) => json!({
            "isError": true,
            "successResponse": null,
            "errorResponse": { "errorMessage": message },
        }),
    };
    json_answer(status, &body)
}

fn token_for(helseid: &Helseid, body: &[u8]) -> Result<TestToken, Refusal> {
    let inner = &helseid.inner;
    let request = strict_json::object(body).map_err(|error| format!("the request is {error}"))?;
    let request = lower_case(Value::Object(request))?;
    let request = Fields::new(request.as_object().ok_or("the request is no object")?);
    let binding = Binding::read(request)?;
    let internal = |_: OAuthError| "the server could not make an id".to_owned();
    let person = |pid: &str| person(helseid, pid);
    let directory = inner.directory.as_ref();
    let ground = Ground {
        issuer: &inner.config.issuer,
        now_s: inner.now_s(),
        apis: &inner.config.apis,
        subject: &|pid| inner.subject(pid),
        person: &person,
        anybody: directory
            .practitioners(1)
            .first()
            .and_then(|one| person(&one.nin)),
        organisation: directory
            .organisations(1)
            .first()
            .map(|one| one.orgnr.clone()),
        ids: [new_id().map_err(internal)?, new_id().map_err(internal)?],
    };
    let jkt = binding.as_ref().map(Binding::jkt).transpose()?;
    let made = make(request, &ground, jkt.as_deref())?;
    let token = sign(helseid, &made)?;
    let proof = binding
        .map(|binding| binding.proof(&token, ground.now_s))
        .transpose()?;
    Ok(TestToken { token, proof })
}

fn person(helseid: &Helseid, pid: &str) -> Option<Person> {
    let directory = helseid.inner.directory.as_ref();
    let practitioner = directory.practitioner_by_nin(pid);
    let name = match (directory.person(pid), &practitioner) {
        (Some(person), _) => person.name,
        (None, Some(practitioner)) => practitioner.name.clone(),
        (None, None) => return None,
    };
    Some(Person {
        pid: pid.to_owned(),
        names: (name.given, name.middle, name.family),
        hpr: practitioner.and_then(|practitioner| practitioner.hpr),
    })
}

/// The key of a proof and what is wrong with it.
struct Binding {
    key: PrivateJwk,
    method: String,
    address: String,
    flaw: Flaw,
}

impl Binding {
    fn read(request: Fields<'_>) -> Result<Option<Self>, Refusal> {
        if !request.flag("createDPoPTokenWithDPoPProof")? {
            return Ok(None);
        }
        let parameters = request.part("dPoPProofParameters")?;
        let flaw = parameters
            .choice("invalidDPoPProofParameters", &Flaw::NAMES)?
            .and_then(|number| Flaw::ALL.get(number).copied())
            .unwrap_or(Flaw::None);
        let text = |name: &str, left_out: Flaw| match parameters.text(name)? {
            Some(text) if text.len() > MAX_TEXT => Err(format!("{name} is too long")),
            Some(text) => Ok(text),
            None if flaw == left_out => Ok(String::new()),
            None => Err(format!(
                "dPoPProofParameters.{name} is needed for a DPoP proof"
            )),
        };
        let key = match parameters.text("privateKeyForProofCreation")? {
            Some(jwk) => PrivateJwk::from_slice(jwk.as_bytes())
                .map_err(|error| format!("privateKeyForProofCreation: {error}"))?,
            None => PrivateJwk::generate(KeyKind::P256, None).map_err(|error| error.to_string())?,
        };
        Ok(Some(Self {
            method: text("htmClaimValue", Flaw::NoHtm)?,
            address: text("htuClaimValue", Flaw::NoHtu)?,
            key,
            flaw,
        }))
    }

    /// What the token says about the key.
    fn jkt(&self) -> Result<String, Refusal> {
        if self.flaw == Flaw::WrongJkt {
            return random_b64url::<32>().map_err(|error| error.to_string());
        }
        Ok(self.key.public().thumbprint().to_owned())
    }

    fn proof(&self, token: &str, now_s: i64) -> Result<String, Refusal> {
        let request = (self.method.as_str(), self.address.as_str());
        make_proof(&self.key, request, token, self.flaw, now_s).map_err(|error| error.to_string())
    }
}

fn sign(helseid: &Helseid, made: &Made) -> Result<String, Refusal> {
    let inner = &helseid.inner;
    let token = inner
        .sign(&made.typ, &made.claims)
        .map_err(|_| "the token could not be signed".to_owned())?;
    if made.wrong_key {
        let kind = inner.config.signing_key.kind();
        return sign_anew(&token, kind).ok_or_else(|| "the token could not be signed".to_owned());
    }
    Ok(token)
}

/// The same header and claims signed by a key that is published nowhere.
fn sign_anew(token: &str, kind: KeyKind) -> Option<String> {
    static NOBODYS: OnceLock<Option<PrivateJwk>> = OnceLock::new();
    let key = NOBODYS.get_or_init(|| PrivateJwk::generate(kind, None).ok());
    let (header, rest) = token.split_once('.')?;
    let (payload, _) = rest.split_once('.')?;
    let header = strict_json::object(&b64url_decode(header)?).ok()?;
    let alg = jose::Alg::from_name(header.get("alg")?.as_str()?)?;
    let signed = jws::sign(&header, &b64url_decode(payload)?, key.as_ref()?, alg);
    // Two issuers of one process may have keys of different kinds: then a signature that fits none will do.
    signed
        .ok()
        .or_else(|| Some(format!("{}.{}", rest_of(token)?, b64url(&[1; 64]))))
}

fn rest_of(token: &str) -> Option<&str> {
    token.rsplit_once('.').map(|(signed, _)| signed)
}
