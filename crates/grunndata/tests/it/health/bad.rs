//! Bad input at the SOAP edges of persons' registers: numbers of the wrong kind, bulks over the limit, XML that attacks. The
//! national faults, nothing told back, nothing half done.

use super::{HPR, OFFICE, PATIENT, USER, World, everywhere};
use axum::http::StatusCode;
use std::fmt::Write as _;

const FLR: (&str, &str) = (
    "/v2/flr",
    "http://schemas.nhn.no/reg/flr/IFlrReadOperations",
);
const PERSONNEL: (&str, &str) = ("/v2/HPR", "http://schemas.nhn.no/reg/HPRv2/IHPR2Service");

/// A list of `count` elements.
fn many(name: &str, element: &str, value: &str, count: usize) -> String {
    let mut out = format!("<{name}>");
    for _ in 0..count {
        let _ = write!(out, "<arr:{element}>{value}</arr:{element}>");
    }
    let _ = write!(out, "</{name}>");
    out
}

#[test]
fn numbers_of_the_wrong_kind_and_bulks_over_the_limit() {
    everywhere(async |world: World| {
        super::flr::filled(&world).await;
        let nin = |of: &str| format!("<patientNin>{of}</patientNin>");
        let invalid = "ArgumentException: patientNin er ugyldig";
        for ((path, contract), operation, parameters, code, message) in [
            // An organisation, a doctor's number, a wrong control digit where a national id belongs.
            (FLR, "GetPatientGPDetails", nin(OFFICE), "Feil", invalid),
            (FLR, "GetPatientGPDetails", nin(HPR), "Feil", invalid),
            (
                FLR,
                "GetPatientGPDetails",
                nin("13116900217"),
                "Feil",
                invalid,
            ),
            // A national id where a number of personnel belongs does not fit into it.
            (
                PERSONNEL,
                "HentPersonMedHistorikk",
                format!("<hprNummer>{PATIENT}</hprNummer>"),
                "DeserializationFailed",
                "hprNummer",
            ),
            (
                FLR,
                "GetPatientsGPDetails",
                many("patientNins", "string", PATIENT, 1_001),
                "Feil",
                "Høyst 1000 pasienter",
            ),
            (
                PERSONNEL,
                "HentPersoner",
                many("hprNummer", "int", HPR, 1_001),
                "DeserializationFailed",
                "flere enn 1000",
            ),
        ] {
            let (status, text) = world
                .call(path, contract, operation, &parameters, USER)
                .await;
            assert_eq!(
                status,
                StatusCode::INTERNAL_SERVER_ERROR,
                "{operation}: {text}"
            );
            assert!(text.contains(code), "{operation}: {code} is not in {text}");
            assert!(
                text.contains(message),
                "{operation}: {message} is not in {text}"
            );
            for number in [PATIENT, "13116900217"] {
                assert!(!text.contains(number), "{operation} tells {number} back");
            }
        }
    });
}

#[test]
fn xml_that_attacks_is_not_read() {
    everywhere(async |world: World| {
        let whole = r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>"#;
        let close = "</s:Body></s:Envelope>";
        let mut bombs = String::from("<!DOCTYPE x [<!ENTITY a0 \"ha\">");
        for i in 1..20 {
            let _ = write!(bombs, "<!ENTITY a{i} \"&a{};&a{};\">", i - 1, i - 1);
        }
        let attacks = [
            format!("{bombs}]>{whole}<x>&a19;</x>{close}"),
            format!(r#"<!DOCTYPE x SYSTEM "file:///etc/passwd">{whole}<x/>{close}"#),
            format!(
                r#"<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:1/x">]>{whole}<x>&e;</x>{close}"#
            ),
            format!("{whole}{}{}{close}", "<x>".repeat(500), "</x>".repeat(500)),
            format!("{whole}<x>"),
            format!("{whole}<x a='1' a='2'/>{close}"),
            String::from_utf8_lossy(&[0xff, 0xfe, 0x00]).into_owned(),
            String::new(),
        ];
        for path in [
            "/v2/HPR/Basic",
            "/v2/flr/Basic",
            "/v2/flrwrite/Basic",
            "/v2/flrexport",
        ] {
            for attack in &attacks {
                let (status, text) = world.post(path, attack.clone(), USER).await;
                assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {text}");
                assert!(text.contains("Fault"), "{path}: {text}");
                assert!(
                    !text.contains("root:") && !text.contains("haha"),
                    "{path}: {text}"
                );
            }
        }
        let (status, _) = world.post("/v2/HPR/Basic", "x".repeat(3 << 20), USER).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    });
}
