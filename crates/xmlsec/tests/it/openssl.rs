//! The foreign oracle. Skipped with a line on stderr where `openssl` is not installed.

use std::path::Path;
use std::process::Command;

use xmlsec::asn1::Limits;
use xmlsec::cms::{self, Cipher, KeyTransport};
use xmlsec::pki::pkcs12;

use crate::{NOW, WORLD};

const CONTENT: &[u8] =
    "<?xml version=\"1.0\"?>\n<Melding>Blåbær\r\n og rømme</Melding>\n".as_bytes();

/// A scratch folder with the world's files, or nothing when `openssl` is missing.
fn scratch() -> Option<tempfile::TempDir> {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: openssl is not installed, so CMS was not checked against it");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("content", CONTENT);
    write("ca.pem", WORLD.ca.certificate().to_pem().as_bytes());
    for (name, identity) in [
        ("sender", &WORLD.sender),
        ("receiver", &WORLD.receiver),
        ("revoked", &WORLD.revoked),
    ] {
        write(
            &format!("{name}.pem"),
            identity.certificate().to_pem().as_bytes(),
        );
        write(&format!("{name}.key"), identity.key().to_pem().as_bytes());
    }
    Some(dir)
}

fn run(dir: &Path, command: &str) -> Result<Vec<u8>, String> {
    let output = Command::new("openssl")
        .args(command.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!(
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

#[test]
fn messages_made_by_openssl_open() {
    let Some(dir) = scratch() else { return };
    let sign_ways = [
        "",
        " -stream",
        " -noattr",
        " -noattr -stream",
        " -keyid",
        " -md sha384",
        " -md sha512",
        " -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:digest",
    ];
    let encrypt_ways = [
        "-aes256 receiver.pem",
        "-stream -aes256 receiver.pem",
        "-aes128 receiver.pem",
        "-aes192 -stream receiver.pem",
        "-aes256 -keyid receiver.pem",
        "-aes256 -recip receiver.pem -keyopt rsa_padding_mode:oaep",
        "-aes256 -recip receiver.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256",
    ];
    for (index, sign) in sign_ways.iter().enumerate() {
        // Message signatures without the S/MIME capability attributes as well as with them.
        let command = format!(
            "cms -sign -binary -nodetach -in content -signer sender.pem -inkey sender.key -outform DER -out signed.der{sign}"
        );
        run(dir.path(), &command).unwrap();
        for encrypt in encrypt_ways
            .iter()
            .skip(if index < 2 { 0 } else { encrypt_ways.len() - 1 })
        {
            run(
                dir.path(),
                &format!(
                    "cms -encrypt -binary -in signed.der -outform DER -out sealed.der {encrypt}"
                ),
            )
            .unwrap();
            let bytes = std::fs::read(dir.path().join("sealed.der")).unwrap();
            let opened = cms::open(
                &bytes,
                std::slice::from_ref(&WORLD.receiver),
                Limits::default(),
            )
            .unwrap_or_else(|error| panic!("sign{sign} / encrypt {encrypt}: {error}"));
            assert_eq!(opened.content, CONTENT, "sign{sign} / encrypt {encrypt}");
            assert_eq!(
                opened.signer_certificate().unwrap(),
                WORLD.sender.certificate()
            );
        }
    }
}

#[test]
fn a_large_stream_opens_and_old_ciphers_are_named() {
    let Some(dir) = scratch() else { return };
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(dir.path().join("content"), &large).unwrap();
    run(dir.path(), "cms -sign -binary -nodetach -stream -in content -signer sender.pem -inkey sender.key -outform DER -out signed.der").unwrap();
    run(dir.path(), "cms -encrypt -binary -stream -in signed.der -outform DER -out sealed.der -aes256 receiver.pem").unwrap();
    let bytes = std::fs::read(dir.path().join("sealed.der")).unwrap();
    assert_eq!(
        cms::open(
            &bytes,
            std::slice::from_ref(&WORLD.receiver),
            Limits::default()
        )
        .unwrap()
        .content,
        large
    );

    run(
        dir.path(),
        "cms -encrypt -binary -in signed.der -outform DER -out sealed.der -des3 receiver.pem",
    )
    .unwrap();
    let bytes = std::fs::read(dir.path().join("sealed.der")).unwrap();
    let error = cms::open(
        &bytes,
        std::slice::from_ref(&WORLD.receiver),
        Limits::default(),
    )
    .unwrap_err();
    assert_eq!(error.condition(), "transport:unsupported-message");
    assert!(error.to_string().contains("1.2.840.113549.3.7"), "{error}");

    run(dir.path(), "cms -sign -binary -in content -signer sender.pem -inkey sender.key -outform DER -out detached.der").unwrap();
    let bytes = std::fs::read(dir.path().join("detached.der")).unwrap();
    assert_eq!(
        cms::verify(&bytes, Limits::default())
            .unwrap_err()
            .condition(),
        "transport:invalid-signature"
    );
}

#[test]
fn openssl_opens_what_we_seal() {
    let Some(dir) = scratch() else { return };
    let signed = [
        cms::sign(CONTENT, &WORLD.sender, Some(NOW)).unwrap(),
        cms::sign(CONTENT, &WORLD.sender, None).unwrap(),
    ];
    for signed in &signed {
        for cipher in [Cipher::Aes128Cbc, Cipher::Aes256Cbc] {
            for transport in [KeyTransport::Pkcs1, KeyTransport::OaepSha256] {
                let sealed =
                    cms::envelope(signed, &[WORLD.receiver.certificate()], cipher, transport)
                        .unwrap();
                std::fs::write(dir.path().join("sealed.der"), sealed).unwrap();
                let inner = "cms -decrypt -binary -inform DER -in sealed.der -recip receiver.pem -inkey receiver.key -out signed.der";
                run(dir.path(), inner).unwrap();
                let verify = format!(
                    "cms -verify -binary -inform DER -in signed.der -CAfile ca.pem -purpose any -attime {NOW}"
                );
                assert_eq!(run(dir.path(), &verify).unwrap(), CONTENT);
            }
        }
    }
}

#[test]
fn openssl_agrees_about_chain_and_revocation() {
    let Some(dir) = scratch() else { return };
    let entry = xmlsec::pki::Revoked {
        certificate: WORLD.revoked.certificate().clone(),
        at_unix_s: NOW - 3600,
    };
    let list = WORLD.ca.crl(&[entry], 8, NOW - 60, NOW + 86_400).unwrap();
    std::fs::write(dir.path().join("crl.pem"), list.to_pem()).unwrap();
    let verify = |name: &str| {
        run(
            dir.path(),
            &format!(
                "verify -x509_strict -crl_check -CAfile ca.pem -CRLfile crl.pem -attime {NOW} {name}.pem"
            ),
        )
    };
    verify("sender").unwrap();
    verify("receiver").unwrap();
    assert!(verify("revoked").unwrap_err().contains("revoked"));

    let tls = WORLD
        .ca
        .issue_server(
            &["localhost", "127.0.0.1"],
            xmlsec::pki::Validity::days_around(NOW, 1, 90),
        )
        .unwrap();
    std::fs::write(dir.path().join("tls.pem"), tls.chain_pem).unwrap();
    for name in ["-verify_hostname localhost", "-verify_ip 127.0.0.1"] {
        run(
            dir.path(),
            &format!("verify -purpose sslserver -CAfile ca.pem {name} -attime {NOW} tls.pem"),
        )
        .unwrap();
    }
}

#[test]
fn pkcs12_both_ways() {
    let Some(dir) = scratch() else { return };
    let file = pkcs12::write(
        &WORLD.sender,
        &[WORLD.ca.certificate().clone()],
        "Sender",
        "hemmelig-æ",
    )
    .unwrap();
    std::fs::write(dir.path().join("ours.p12"), file).unwrap();
    let text = run(
        dir.path(),
        "pkcs12 -in ours.p12 -passin pass:hemmelig-æ -nodes",
    )
    .unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.contains("friendlyName: Sender")
            && text.contains("BEGIN PRIVATE KEY")
            && text.matches("BEGIN CERTIFICATE").count() == 2
    );

    run(dir.path(), "pkcs12 -export -in sender.pem -inkey sender.key -certfile ca.pem -name x -passout pass:test -out theirs.p12").unwrap();
    let theirs = std::fs::read(dir.path().join("theirs.p12")).unwrap();
    let (identity, others) = pkcs12::read(&theirs, "test").unwrap();
    assert_eq!(identity.certificate(), WORLD.sender.certificate());
    assert_eq!(others.len(), 1);
}
