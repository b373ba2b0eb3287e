//! The kernel against a small contract of its own.

use super::contract::{Contract, XSI};
use super::fault::Fault;
use super::read::{ADDRESSING, RequestLimits, SOAP11, SOAP12, Version, envelope};
use super::serve::{Call, Host, Mount, Reply, Service};
use super::users::{User, Users, hash};
use super::value::{Object, Value};
use super::wsdl::{Describe, Ports};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use base64::Engine;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use tower::ServiceExt;

const TEXT: &str = "\
service Dyrehage IDyr
namespace dyr http://example.org/dyr
namespace felles http://example.org/felles
namespace common http://register.nhn.no/Common

operation Finn !common:GenericFault
  nummer int
  påTidspunkt dateTime?
  slag felles:ArrayOfKode?
  -> Dyr?
operation Slipp
  dyr Dyr?
operation Søk !common:GenericFault
  navn string?
  -> string?
operation Tell !common:GenericFault
  -> int

in dyr
type Dyr
  Født dateTime?
  Mat felles:ArrayOfKode?
  Navn string?
  Nummer int
type Fugl : Dyr
  Vingespenn int?
enum Dag Man Tir

in felles
type Kode
  Aktiv boolean
  Verdi string?
list ArrayOfKode Kode Kode?

in common
type GenericFault
  ErrorCode string?
  Message string?
";

fn contract() -> Arc<Contract> {
    static CONTRACT: LazyLock<Arc<Contract>> =
        LazyLock::new(|| Arc::new(Contract::parse(TEXT).unwrap()));
    CONTRACT.clone()
}

struct Zoo;

impl Service for Zoo {
    fn call(self: Arc<Self>, call: Call) -> Reply {
        Box::pin(async move {
            if !call.user.has_any(&["Dyrepasser"]) {
                return Err(Fault::denied());
            }
            match (call.operation.as_str(), call.request.int("nummer")) {
                ("Finn", None | Some(0)) => Err(Fault::generic(
                    "Feil",
                    "ArgumentException: nummer må oppgis",
                )),
                ("Finn", Some(1)) => Ok(Object::of("Fugl")
                    .with("Navn", "Ørn & <co>")
                    .with("Vingespenn", 2)
                    .with("Nummer", 1)
                    .with(
                        "Mat",
                        vec![Object::new().with("Aktiv", true).with("Verdi", "fisk")],
                    )
                    .into()),
                ("Finn", Some(2)) => Ok(Object::new().with("Finnes ikke", 1).into()),
                ("Tell", _) => Ok(Value::Int(2)),
                _ => Ok(Value::Nil),
            }
        })
    }
}

fn host() -> axum::Router {
    static USERS: LazyLock<Arc<Users>> = LazyLock::new(|| {
        let user = |name: &str, role: &str| {
            let user = User {
                name: name.into(),
                roles: vec![role.into()],
            };
            (user, hash("pw").unwrap())
        };
        Arc::new(Users::new([
            user("OrgUsr999977775", "Dyrepasser"),
            user("OrgUsr999977776", "Gjest"),
        ]))
    });
    let mut host = Host::new(USERS.clone(), vec!["https://hub.example".into()]);
    host.mount(Mount {
        contract: contract(),
        ports: Ports {
            v12: Some("/v2/Dyr".into()),
            v11: Some("/v2/Dyr/Basic".into()),
            mtom: false,
        },
        limits: RequestLimits {
            max_bytes: 20_000,
            max_items: 3,
            ..RequestLimits::default()
        },
        service: Arc::new(Zoo),
    });
    host.router()
}

async fn send(request: Request<Body>) -> (StatusCode, String) {
    let response = host().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn request(path: &str, user: &str, content_type: &str, body: String) -> Request<Body> {
    let packed = base64::engine::general_purpose::STANDARD.encode(format!("{user}:pw"));
    Request::post(path)
        .header("authorization", format!("Basic {packed}"))
        .header("content-type", content_type)
        .body(Body::from(body))
        .unwrap()
}

fn v12(header: &str, body: &str) -> String {
    format!(
        r#"<s:Envelope xmlns:s="{SOAP12}" xmlns:a="{ADDRESSING}" xmlns:i="{XSI}"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"#
    )
}

const FINN: &str = "<a:Action s:mustUnderstand=\"1\">http://example.org/dyr/IDyr/Finn</a:Action>\
     <a:MessageID>urn:uuid:1</a:MessageID><a:ReplyTo><a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address></a:ReplyTo>\
     <a:To s:mustUnderstand=\"1\">https://annen.vert/V2/dyr</a:To>";

async fn ask12(header: &str, body: &str) -> (StatusCode, String) {
    send(request(
        "/v2/dyr",
        "OrgUsr999977775",
        "application/soap+xml; charset=UTF-8",
        v12(header, body),
    ))
    .await
}

#[tokio::test]
async fn an_answer_in_soap_12() {
    let (status, text) = ask12(
        FINN,
        r#"<Finn xmlns="http://example.org/dyr"><nummer>1</nummer></Finn>"#,
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(
        text,
        concat!(
            r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing">"#,
            r#"<s:Header><a:Action s:mustUnderstand="1">http://example.org/dyr/IDyr/FinnResponse</a:Action><a:RelatesTo>urn:uuid:1</a:RelatesTo></s:Header>"#,
            r#"<s:Body><FinnResponse xmlns="http://example.org/dyr"><FinnResult xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="Fugl">"#,
            r#"<Født i:nil="true"/><Mat xmlns:b="http://example.org/felles"><b:Kode><b:Aktiv>true</b:Aktiv><b:Verdi>fisk</b:Verdi></b:Kode></Mat>"#,
            r#"<Navn>Ørn &amp; &lt;co&gt;</Navn><Nummer>1</Nummer><Vingespenn>2</Vingespenn></FinnResult></FinnResponse></s:Body></s:Envelope>"#,
        )
    );
}

#[tokio::test]
async fn an_answer_and_a_fault_in_soap_11() {
    let ask = |nummer: &str| {
        let body = format!(
            r#"<e:Envelope xmlns:e="{SOAP11}"><e:Body><Finn xmlns="http://example.org/dyr"><nummer>{nummer}</nummer></Finn></e:Body></e:Envelope>"#
        );
        let mut request = request("/V2/Dyr/basic", "OrgUsr999977775", "text/xml", body);
        request.headers_mut().insert(
            "SOAPAction",
            "\"http://example.org/dyr/IDyr/Finn\"".parse().unwrap(),
        );
        send(request)
    };
    let (status, text) = ask("7").await;
    assert_eq!(status, 200);
    assert!(
        text.contains(
            r#"<FinnResult xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>"#
        ),
        "{text}"
    );
    let (status, text) = ask("0").await;
    assert_eq!(status, 500);
    assert!(text.contains(concat!(
        r#"<s:Fault><faultcode>s:Client</faultcode><faultstring xml:lang="nb-NO">ArgumentException: nummer må oppgis</faultstring>"#,
        r#"<detail><GenericFault xmlns="http://register.nhn.no/Common" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">"#,
        r#"<ErrorCode>Feil</ErrorCode><Message>ArgumentException: nummer må oppgis</Message></GenericFault></detail></s:Fault>"#,
    )), "{text}");
}

#[tokio::test]
async fn a_fault_in_soap_12() {
    let (status, text) = ask12(FINN, r#"<Finn xmlns="http://example.org/dyr"/>"#).await;
    assert_eq!(status, 500);
    assert!(text.contains("<a:Action s:mustUnderstand=\"1\">http://example.org/dyr/IDyr/FinnGenericFaultFault</a:Action><a:RelatesTo>urn:uuid:1</a:RelatesTo>"), "{text}");
    assert!(text.contains(concat!(
        r#"<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text xml:lang="nb-NO">ArgumentException: nummer må oppgis</s:Text></s:Reason>"#,
        r#"<s:Detail><GenericFault xmlns="http://register.nhn.no/Common" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><ErrorCode>Feil</ErrorCode>"#,
    )), "{text}");
}

/// Header, body, status, and what the fault says.
const BAD: [(&str, &str, u16, &str); 17] = [
    ("", "", 500, "ActionNotSupported"),
    (
        "",
        "<Annet xmlns='http://example.org/dyr'/>",
        500,
        "ActionNotSupported",
    ),
    (
        "<a:Action>http://example.org/dyr/IDyr/Nei</a:Action>",
        "<Finn xmlns='http://example.org/dyr'/>",
        500,
        "ActionNotSupported",
    ),
    (
        "<a:Action>http://example.org/dyr/IDyr/Tell</a:Action>",
        "<Finn xmlns='http://example.org/dyr'/>",
        500,
        "DeserializationFailed",
    ),
    (
        "<a:Action>http://example.org/dyr/IDyr/Finn</a:Action>",
        "<Finn xmlns='http://example.org/annet'/>",
        500,
        "DeserializationFailed",
    ),
    (
        "<a:To>http://x/v2/annet</a:To>",
        "<Finn xmlns='http://example.org/dyr'/>",
        500,
        "DestinationUnreachable",
    ),
    (
        "<a:To>a</a:To><a:To>b</a:To>",
        "<Finn xmlns='http://example.org/dyr'/>",
        400,
        "InvalidAddressingHeader",
    ),
    (
        "<a:ReplyTo><a:Address>http://ond/</a:Address></a:ReplyTo>",
        "<Finn xmlns='http://example.org/dyr'/>",
        400,
        "InvalidAddressingHeader",
    ),
    (
        "<ukjent s:mustUnderstand='true'/>",
        "<Finn xmlns='http://example.org/dyr'/>",
        400,
        "s:MustUnderstand",
    ),
    (
        "",
        "<Finn xmlns='http://example.org/dyr'><nummer>én</nummer></Finn>",
        500,
        "nummer er ikke av typen int (linje 1)",
    ),
    (
        "",
        "<Finn xmlns='http://example.org/dyr'><nummer>1</nummer><nummer>1</nummer></Finn>",
        500,
        "finnes flere ganger",
    ),
    (
        "",
        "<Finn xmlns='http://example.org/dyr'><nummer i:nil='true'/></Finn>",
        500,
        "kan ikke være nil",
    ),
    (
        "",
        "<Finn xmlns='http://example.org/dyr'><nummer><b/></nummer></Finn>",
        500,
        "skal være tekst",
    ),
    (
        "",
        "<Finn xmlns='http://example.org/dyr' xmlns:f='http://example.org/felles'><slag><f:Kode/><f:Kode/><f:Kode/><f:Kode/></slag></Finn>",
        500,
        "flere enn 3",
    ),
    (
        "",
        "<Slipp xmlns='http://example.org/dyr'><dyr i:type='Dag'/></Slipp>",
        500,
        "har en type som ikke kan stå der",
    ),
    (
        "",
        "<Finn xmlns='http://example.org/dyr'/><Finn xmlns='http://example.org/dyr'/>",
        500,
        "ActionNotSupported",
    ),
    (
        "",
        "<Finn xmlns='http://example.org/dyr'><nummer>2</nummer></Finn>",
        500,
        "InternalServiceFault",
    ),
];

#[tokio::test]
async fn what_is_wrong_is_a_fault() {
    for (header, body, expected, says) in BAD {
        let (status, text) = ask12(header, body).await;
        assert_eq!(status.as_u16(), expected, "{body} {text}");
        assert!(text.contains(says), "{body}: {text}");
        assert!(text.contains("<s:Fault>"), "{text}");
    }
}

#[tokio::test]
async fn xml_attacks_and_broken_envelopes() {
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    let attributes: String = (0..100).map(|n| format!(" a{n}='x'")).collect();
    let root = r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">"#;
    for (body, expected) in [
        (String::new(), 400),
        ("ikke xml".into(), 400),
        ("<Envelope/>".into(), 400),
        (root.into(), 400),
        (format!("{root}</s:Envelope>"), 400),
        (format!("{root}<s:Body/><s:Body/></s:Envelope>"), 400),
        (format!("{root}<s:Body/><annet/></s:Envelope>"), 400),
        (
            format!(r#"<!DOCTYPE x [<!ENTITY e "v">]>{root}<s:Body>&e;</s:Body></s:Envelope>"#),
            400,
        ),
        (
            format!(r#"<!DOCTYPE x SYSTEM "file:///etc/passwd">{root}<s:Body/></s:Envelope>"#),
            400,
        ),
        (format!("{root}<s:Body>&e;</s:Body></s:Envelope>"), 400),
        (format!("{root}<s:Body>{deep}</s:Body></s:Envelope>"), 400),
        (
            format!("{root}<s:Body><a{attributes}/></s:Body></s:Envelope>"),
            400,
        ),
        (
            format!("{root}<s:Body>{}</s:Body></s:Envelope>", "x".repeat(30_000)),
            413,
        ),
        (
            format!(r#"<s:Envelope xmlns:s="{SOAP11}"><s:Body/></s:Envelope>"#),
            400,
        ),
    ] {
        let start: String = body.chars().take(80).collect();
        let (status, text) = send(request(
            "/v2/Dyr",
            "OrgUsr999977775",
            "application/soap+xml",
            body,
        ))
        .await;
        assert_eq!(status.as_u16(), expected, "{start}: {text}");
        assert!(
            text.contains("<s:Fault>") && !text.contains("passwd"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn who_may_ask_and_how() {
    let body = || v12("", r#"<Tell xmlns="http://example.org/dyr"/>"#);
    let right = "application/soap+xml; charset=utf-8; action=\"http://example.org/dyr/IDyr/Tell\"";
    for (path, user, content_type, expected) in [
        ("/v2/Dyr", "OrgUsr999977775", right, 200),
        ("/v2/Dyr/", "OrgUsr999977775", right, 200),
        ("/v2/Dyr", "OrgUsr999977776", right, 500),
        ("/v2/Dyr", "OrgUsr1", right, 401),
        ("/v2/Dyr", "OrgUsr999977775", "text/xml", 415),
        (
            "/v2/Dyr",
            "OrgUsr999977775",
            "application/soap+xml; charset=utf-16",
            415,
        ),
        ("/v2/Dyr/Basic", "OrgUsr999977775", right, 415),
        ("/v2/Katt", "OrgUsr999977775", right, 404),
    ] {
        let (status, text) = send(request(path, user, content_type, body())).await;
        assert_eq!(
            status.as_u16(),
            expected,
            "{path} {user} {content_type}: {text}"
        );
        if user == "OrgUsr999977776" {
            assert!(text.contains("FailedAuthentication") && text.contains("Access is denied."));
        }
    }
    for (encoding, expected) in [("identity", 200), ("gzip", 415)] {
        let mut packed = request("/v2/Dyr", "OrgUsr999977775", right, body());
        let value = axum::http::HeaderValue::from_static(encoding);
        packed.headers_mut().insert("content-encoding", value);
        let (status, text) = send(packed).await;
        assert_eq!(status.as_u16(), expected, "{encoding}: {text}");
    }
    let (status, _) = send(Request::put("/v2/Dyr").body(Body::empty()).unwrap()).await;
    assert_eq!(status, 405);
}

/// What each alternative of the policies demands, by name.
fn alternatives(base: &str) -> Vec<Vec<String>> {
    let contract = contract();
    let ports = Ports {
        v12: Some("/x".into()),
        v11: Some("/x/Basic".into()),
        mtom: false,
    };
    let describe = Describe {
        contract: &contract,
        ports: &ports,
        base,
    };
    let single = describe.single();
    let document = xmlsec::xml::Document::parse(&single).unwrap();
    let name = |node| document.element(node).unwrap().name.local.to_string();
    let below = |node| document.elements(node).collect::<Vec<_>>();
    let policies = below(document.root()).into_iter();
    policies
        .filter(|node| name(*node) == "Policy")
        .flat_map(below)
        .flat_map(below)
        .map(|all| below(all).into_iter().map(name).collect())
        .collect()
}

/// CXF refuses to call when it can satisfy no alternative, and it does not know Microsoft's words.
#[test]
fn a_policy_has_an_alternative_in_standard_words() {
    for base in ["http://h", "https://h"] {
        let all = alternatives(base);
        assert_eq!(all.len(), 4, "{all:?}");
        assert_eq!(all[1], [] as [&str; 0]);
        assert_eq!(all[3], ["Addressing"]);
        assert_eq!(all[0][0], "BasicAuthentication");
        let has_transport = all[2].contains(&"TransportBinding".to_owned());
        assert_eq!(has_transport, base.starts_with("https:"));
    }
}

#[tokio::test]
async fn the_description_is_served() {
    let get = |query: &str| {
        send(
            Request::get(format!("/v2/Dyr{query}"))
                .header("host", "hub.example")
                .body(Body::empty())
                .unwrap(),
        )
    };
    for query in ["?wsdl", "?singleWsdl", "?xsd=xsd0", "?xsd=xsd3"] {
        let (status, text) = get(query).await;
        assert_eq!(status, 200, "{query}");
        xmlsec::xml::Document::parse(&text).unwrap();
    }
    let (status, text) = get("?singleWsdl").await;
    assert_eq!(status, 200);
    for part in [
        r#"<soap:address location="https://hub.example/v2/Dyr/Basic"/>"#,
        r#"<soap12:address location="https://hub.example/v2/Dyr"/>"#,
        r#"<xs:element minOccurs="0" name="Mat" nillable="true" type="felles:ArrayOfKode"/>"#,
        r#"<xs:extension base="tns:Dyr">"#,
        r#"wsam:Action="http://example.org/dyr/IDyr/FinnGenericFaultFault""#,
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert_eq!(get("?xsd=xsd9").await.0, 404);
}

#[test]
fn contracts_that_are_wrong() {
    for (text, says) in [
        ("", "no service"),
        ("service A B", "no namespace"),
        (
            "service A B\nnamespace a u\nin b",
            "stands for no namespace",
        ),
        (
            "service A B\nnamespace a u\nin a\ntype T\n  F Ukjent",
            "not described",
        ),
        ("service A B\nnamespace a u\nin a\ntype T\ntype T", "twice"),
        ("tull", "not understood"),
    ] {
        let error = Contract::parse(text).unwrap_err();
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
}

fn bits() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("<Finn xmlns='http://example.org/dyr'>".to_owned()),
        Just("</Finn>".to_owned()),
        Just("<nummer>".to_owned()),
        Just("</nummer>".to_owned()),
        Just("<slag xmlns:f='http://example.org/felles'><f:Kode i:nil='true'/></slag>".to_owned()),
        Just("<a:Action>".to_owned()),
        Just("</a:Action>".to_owned()),
        Just("<![CDATA[x]]>".to_owned()),
        Just("&amp;".to_owned()),
        "\\PC{0,6}".prop_map(|s| s),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_envelope_is_read_or_refused(header in bits(), body in bits(), raw in proptest::collection::vec(any::<u8>(), 0..60)) {
        let limits = RequestLimits::default();
        let _ = envelope(&raw, Version::V11, &limits);
        let text = v12(&header, &body);
        if let Ok(envelope) = envelope(text.as_bytes(), Version::V12, &limits) {
            let contract = contract();
            if let Ok(operation) = envelope.operation(&contract, Version::V12, None) {
                let _ = envelope.parameters(&contract, operation, &limits);
            }
        }
    }

    // What is written for a value can be read again as the same value.
    #[test]
    fn values_survive(navn in "[^\\x00-\\x1f\u{fffe}\u{ffff}]{0,12}", nummer in any::<i32>(), aktiv in proptest::collection::vec(any::<bool>(), 0..4)) {
        let contract = contract();
        let operation = contract.by_element("Finn").unwrap();
        let koder: Vec<Object> = aktiv.iter().map(|a| Object::new().with("Aktiv", *a)).collect();
        let dyr = Object::new().with("Mat", koder).with("Navn", navn.clone()).with("Nummer", nummer);
        let text = super::write::answer(&contract, operation, Version::V12, &Default::default(), &dyr.into()).unwrap();
        let turned = text
            .replace("<FinnResponse ", "<Slipp ").replace("</FinnResponse>", "</Slipp>")
            .replace("<FinnResult ", "<dyr ").replace("</FinnResult>", "</dyr>")
            .replace("Finn", "Slipp").replace("SlippResponse</a:Action>", "Slipp</a:Action>");
        prop_assume!(!navn.contains("Finn"));
        let read = envelope(turned.as_bytes(), Version::V12, &RequestLimits::default()).unwrap();
        let slipp = read.operation(&contract, Version::V12, None).unwrap();
        let dyr = read.parameters(&contract, slipp, &RequestLimits::default()).unwrap();
        let dyr = dyr.object("dyr").unwrap();
        prop_assert_eq!(dyr.int("Nummer"), Some(i64::from(nummer)));
        prop_assert_eq!(dyr.get("Navn"), Some(&Value::from(navn)));
        prop_assert_eq!(dyr.list("Mat").len(), aktiv.len());
    }
}

#[test]
fn both_forms_of_the_description_hold_the_same_types() {
    let contract = contract();
    let ports = Ports {
        v12: None,
        v11: Some("/x".into()),
        mtom: true,
    };
    let describe = Describe {
        contract: &contract,
        ports: &ports,
        base: "http://h",
    };
    let single = describe.single();
    assert!(single.contains("OptimizedMimeSerialization") && !single.contains("HttpsToken"));
    for name in ["Dyr", "Kode", "GenericFault", "guid"] {
        let named = format!(r#"Type name="{name}""#);
        assert!(single.contains(&named), "{name}");
        let somewhere = (0..4).filter_map(|n| describe.xsd("/x", &format!("xsd{n}")));
        assert_eq!(
            somewhere.filter(|s| s.contains(&named)).count(),
            1,
            "{name}"
        );
    }
}

#[tokio::test]
async fn norwegian_letters_in_headers() {
    let utf8 = "http://example.org/dyr/IDyr/Søk".as_bytes().to_vec();
    let latin1: Vec<u8> = "http://example.org/dyr/IDyr/Søk"
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    for (action, status) in [
        (utf8, 200),
        (latin1, 200),
        (b"http://example.org/dyr/IDyr/S%C3%B8k".to_vec(), 200),
        (b"http://example.org/dyr/IDyr/S?k".to_vec(), 200),
        (b"http://example.org/dyr/IDyr/Sok".to_vec(), 500),
        (b"http://example.org/dyr/IDyr/S%C3".to_vec(), 500),
        (b"http://example.org/dyr/IDyr/%".to_vec(), 500),
    ] {
        for is_12 in [false, true] {
            let (path, namespace) = if is_12 {
                ("/v2/Dyr", SOAP12)
            } else {
                ("/v2/Dyr/Basic", SOAP11)
            };
            let body = format!(
                r#"<s:Envelope xmlns:s="{namespace}"><s:Body><Søk xmlns="http://example.org/dyr"/></s:Body></s:Envelope>"#
            );
            let mut request = request(path, "OrgUsr999977775", "text/xml", body);
            let quoted = [b"\"".as_slice(), &action, b"\""].concat();
            if is_12 {
                let whole = [b"application/soap+xml; action=".as_slice(), &quoted].concat();
                let value = axum::http::HeaderValue::from_bytes(&whole).unwrap();
                request.headers_mut().insert("content-type", value);
            } else {
                let value = axum::http::HeaderValue::from_bytes(&quoted).unwrap();
                request.headers_mut().insert("soapaction", value);
            }
            let (found, text) = send(request).await;
            assert_eq!(found.as_u16(), status, "{is_12} {action:?}: {text}");
        }
    }
}

/// Otherwise the connection could not be used again, and the client that was just asked for credentials has to open another.
#[tokio::test]
async fn a_refused_request_is_read_to_its_end() {
    for (user, content_type, expected) in [
        ("OrgUsr1", "text/xml", 401),
        ("OrgUsr999977775", "application/json", 415),
    ] {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let body = futures_util::stream::unfold(0, move |sent| {
            let seen = seen.clone();
            async move {
                tokio::task::yield_now().await;
                if sent == 3 {
                    seen.store(true, Ordering::Relaxed);
                    return None;
                }
                Some((Ok::<_, std::convert::Infallible>("<a/>"), sent + 1))
            }
        });
        let (head, _) = request("/v2/Dyr/Basic", user, content_type, String::new()).into_parts();
        let (status, _) = send(Request::from_parts(head, Body::from_stream(body))).await;
        assert_eq!(status.as_u16(), expected);
        assert!(ended.load(Ordering::Relaxed), "{expected}");
    }
}
