//! The OCSP responder against `openssl ocsp`. Skipped with a line on stderr where `openssl` is not installed.

use std::path::Path;
use std::process::Command;

use xmlsec::pki::ocsp::Responder;
use xmlsec::pki::{DemoCa, Names, Purpose, Revoked, RsaKey, Validity};

use crate::places;

/// What `openssl` says, on both of its channels.
fn openssl(dir: &Path, command: &str) -> (bool, String) {
    let output = Command::new("openssl")
        .args(command.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn openssl_asks_and_believes_the_answers() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: openssl is not installed, so OCSP was not checked against it");
        return;
    }
    // openssl judges answers by the real clock.
    let now_s = jiff::Timestamp::now().as_second();
    let ca = DemoCa::new("Test authority", now_s)
        .unwrap()
        .with_places(places());
    let key = RsaKey::generate().unwrap();
    let issue = |name| {
        let holder = Names {
            name,
            organisation_number: "315900239",
        };
        let validity = Validity::days_around(now_s, 1, 30);
        let identity = ca.issue_organisation(&key, holder, Purpose::Signing, validity);
        identity.unwrap().certificate().clone()
    };
    let (good, revoked, never) = (issue("Good AS"), issue("Revoked AS"), issue("Forgotten AS"));
    let entry = Revoked {
        certificate: revoked.clone(),
        at_unix_s: now_s - 3_600,
    };
    let crl = ca.crl(&[entry], 1, now_s - 60, now_s + 60).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("ca.pem", ca.certificate().to_pem().as_bytes());
    for (name, certificate) in [("good", &good), ("revoked", &revoked), ("never", &never)] {
        write(&format!("{name}.pem"), certificate.to_pem().as_bytes());
    }
    let responder = Responder::new(ca, [&good, &revoked], crl);

    for (hash, nonce) in [("sha1", ""), ("sha256", " -no_nonce"), ("sha512", "")] {
        let certificates = "-cert good.pem -cert revoked.pem -cert never.pem";
        let made = format!("ocsp -issuer ca.pem -{hash} {certificates} -reqout request{nonce}");
        assert!(openssl(dir.path(), &made).0);
        let request = std::fs::read(dir.path().join("request")).unwrap();
        let answer = responder.answer(&request, now_s);
        assert_eq!(answer.fresh_until_unix_s.is_some(), !nonce.is_empty());
        write("answer", &answer.der);
        let read = "ocsp -respin answer -no_nonce -CAfile ca.pem -issuer ca.pem";
        let asked = format!("{read} -{hash} {certificates}");
        let (is_ok, said) = openssl(dir.path(), &asked);
        assert!(is_ok, "{hash}: {said}");
        for expected in [
            "Response verify OK",
            "good.pem: good",
            "revoked.pem: revoked",
            "never.pem: unknown",
        ] {
            assert!(said.contains(expected), "{hash}: {expected}: {said}");
        }
        assert!(!said.contains("WARNING"), "{hash}: {said}");
        // Beside the request its nonce is compared; an answer to another question is not an answer to this one.
        let with_request = format!("{read} -reqin request");
        let (is_ok, said) = openssl(dir.path(), &with_request);
        assert!(
            is_ok && said.contains("Response verify OK"),
            "{hash}: {said}"
        );
        if nonce.is_empty() {
            assert!(openssl(dir.path(), &made).0);
            let (_, said) = openssl(dir.path(), &with_request);
            assert!(said.contains("Nonce Verify error"), "{hash}: {said}");
        }
    }

    let uri = openssl(dir.path(), "x509 -in good.pem -noout -ocsp_uri");
    assert_eq!(uri, (true, "http://127.0.0.1:8080/pki/ocsp\n".to_owned()));
    let (_, text) = openssl(dir.path(), "x509 -in good.pem -noout -text");
    assert!(
        text.contains("CA Issuers - URI:http://127.0.0.1:8080/pki/cer"),
        "{text}"
    );
}
