//! The message service over HTTP, version 2 as a client of the national OpenAPI document meets it, and version 3.

mod counting;
mod exchange;
mod refusals;
mod version_3;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edi::apprec::AppRec;
use edi::xml::XmlDoc;
use http_body_util::BodyExt;
use jose::Alg;
use jose::dpop::make_proof;
use jose::jwk::{KeyKind, PrivateJwk};
use jose::jwt::Claims;
use jose::keyring::Keyring;
use jose::names;
use jose::rs::ResourceServer;
use jose::state::MemoryState;
use meldinger::counter::Counter;
use meldinger::edge::rest::counter::PREFIX as COUNTER;
use meldinger::edge::rest::{self, AUDIENCE, PREFIX, RestParts, Roads, SCOPE};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{
    self, EPJ, EPJ_SERVICE, GP, GP_DOCTOR, HEART, HOSPITAL, RESULTS, World, new_id,
};

const NOW_S: i64 = 1_795_435_200;
const ISSUER: &str = "https://issuer.example";
const BASE: &str = "https://hub.example";
const EPJ_NO: &str = "315900239";
const HOSPITAL_NO: &str = "315900050";
const GP_NO: &str = "315900018";

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

struct Service {
    world: World,
    counter: Counter,
    caller: Caller,
}

impl std::ops::Deref for Service {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// A client of the message service with a token.
pub struct Caller {
    router: Router,
    ring: Keyring,
    key: PrivateJwk,
}

/// Who asks, and with what headers beside the usual ones.
#[derive(Clone, Copy)]
pub struct By<'a> {
    orgnr: &'a str,
    client: &'a str,
    scope: &'a str,
    version: Option<&'a str>,
    system: Option<&'a str>,
}

pub const fn by(orgnr: &str) -> By<'_> {
    By {
        orgnr,
        client: "epj",
        scope: SCOPE,
        version: Some("2"),
        system: Some("Test EPJ, v1"),
    }
}

const fn by_3(orgnr: &str) -> By<'_> {
    By {
        version: Some("3"),
        ..by(orgnr)
    }
}

async fn service_with(has_handler: bool) -> Service {
    let world = world::world().await;
    let (caller, counter) = Caller::on(&world, has_handler);
    Service {
        world,
        counter,
        caller,
    }
}

async fn service() -> Service {
    service_with(false).await
}

impl Caller {
    /// A client of a service over this world.
    pub fn on(world: &World, has_handler: bool) -> (Self, Counter) {
        let ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW_S).unwrap();
        let replay = Arc::new(MemoryState::new(Arc::new(|| NOW_S), 10_000));
        let origins = [BASE.to_owned()];
        let server =
            ResourceServer::new(ISSUER, AUDIENCE, &origins, Arc::new(ring.clone()), replay);
        let parts = RestParts {
            exchange: world.exchange.clone(),
            server,
            now_s: Arc::new(|| NOW_S),
            roads: Roads::new(&world.exchange, has_handler),
        };
        let counter = world.view(Counter::new).unwrap();
        let counting = rest::counter::router(parts.clone(), counter.clone());
        let caller = Self {
            router: rest::router(parts).merge(counting),
            ring,
            key: PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap(),
        };
        (caller, counter)
    }

    pub async fn call(&self, by: By<'_>, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_text(by, method, path, body.map(|b| b.to_string()))
            .await
    }

    async fn call_text(
        &self,
        by: By<'_>,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Answer {
        let path = match path.starts_with(COUNTER) {
            true => path.to_owned(),
            false => format!("{PREFIX}{path}"),
        };
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 600,
            "client_id": by.client, "scope": [by.scope], "jti": new_id(),
            "cnf": {"jkt": self.key.public().thumbprint()}, names::ORGNR_PARENT: by.orgnr});
        let Value::Object(claims) = claims else {
            panic!()
        };
        let token = self.ring.sign("at+jwt", &Claims(claims)).unwrap();
        let url = format!("{BASE}{}", path.split('?').next().unwrap());
        let proof = make_proof(&self.key, method, &url, Some(&token), None, NOW_S).unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
            .header("content-type", "application/json");
        if let Some(version) = by.version {
            request = request.header("api-version", version);
        }
        if let Some(system) = by.system {
            request = request.header("nhn-source-system", system);
        }
        let body = body.map_or_else(Body::empty, Body::from);
        self.send(request.body(body).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// Posts a document, which must be taken; the message's id.
    pub async fn post(&self, by: By<'_>, document: &str) -> String {
        let answer = self
            .call(by, "POST", "/Messages", Some(request_of(document)))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let id = answer.body.as_str().unwrap().to_owned();
        let location = answer.headers["location"].to_str().unwrap();
        assert_eq!(location, format!("{PREFIX}/Messages/{id}"));
        id
    }

    pub async fn get(&self, by: By<'_>, path: &str) -> Value {
        let answer = self.call(by, "GET", path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }
}

fn xml(document: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{document}")
}

fn request_of(document: &str) -> Value {
    json!({
        "businessDocument": BASE64_STANDARD.encode(document),
        "contentType": "application/xml",
        "contentTransferEncoding": "base64",
        "ebXmlOverrides": null,
        "receiverHerIdsSubset": null,
    })
}

/// From the EPJ to the hospital's heart department.
fn note(msg_id: &str) -> String {
    xml(&world::document_between(
        msg_id,
        "x",
        (EPJ, EPJ_SERVICE),
        (HOSPITAL, HEART),
    ))
}

/// The same with a copy to the GP.
fn note_with_copy(msg_id: &str) -> String {
    let copy = world::document_between(msg_id, "x", (EPJ, EPJ_SERVICE), (GP, GP_DOCTOR));
    let start = copy.find("<Receiver>").unwrap() + "<Receiver>".len();
    let end = copy.find("</Receiver>").unwrap();
    let other = format!(
        "<OtherReceiver><RoleReceiver V=\"COP\" DN=\"Kopimottaker\"/>{}</OtherReceiver></MsgInfo>",
        &copy[start..end]
    );
    note(msg_id).replace("</MsgInfo>", &other)
}
