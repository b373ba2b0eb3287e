//! Messages made and judged by other people's programs: `xmlsec1`, `openssl cms` and Python's `email`. Each test skips with a
//! line on stderr where its program is missing.

use std::path::Path;
use std::process::Command;

use ebxml::payload;

use crate::{DOCUMENT, WORLD, fields, outgoing};

fn run(program: &str, arguments: &[&str], dir: &Path) -> Option<std::process::Output> {
    match Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .output()
    {
        Ok(output) => Some(output),
        Err(_) => {
            eprintln!("SKIPPED: {program} is not installed");
            None
        }
    }
}

fn receiver_key(dir: &Path) -> bool {
    let p12 = xmlsec::pki::pkcs12::write(&WORLD.receiver, &[], "receiver", "secret").unwrap();
    std::fs::write(dir.join("key.p12"), p12).unwrap();
    let made = run(
        "openssl",
        &[
            "pkcs12",
            "-in",
            "key.p12",
            "-nodes",
            "-passin",
            "pass:secret",
            "-out",
            "key.pem",
        ],
        dir,
    );
    std::fs::write(
        dir.join("receiver.pem"),
        WORLD.receiver.certificate().to_pem(),
    )
    .unwrap();
    made.is_some_and(|output| output.status.success())
}

#[test]
fn openssl_makes_payloads_and_reads_ours() {
    let dir = tempfile::tempdir().unwrap();
    if !receiver_key(dir.path()) {
        return;
    }
    std::fs::write(dir.path().join("document.xml"), DOCUMENT).unwrap();
    let keys = [WORLD.receiver.clone()];
    for cipher in ["-aes256", "-aes128", "-des3"] {
        let made = run(
            "openssl",
            &[
                "cms",
                "-encrypt",
                "-binary",
                cipher,
                "-in",
                "document.xml",
                "-outform",
                "DER",
                "-out",
                "made.der",
                "receiver.pem",
            ],
            dir.path(),
        );
        assert!(made.unwrap().status.success(), "{cipher}");
        let sealed = std::fs::read(dir.path().join("made.der")).unwrap();
        let opened = payload::open(&sealed, &keys).unwrap();
        assert_eq!(opened.content, DOCUMENT.as_bytes(), "{cipher}");
        // Padding and key faults of 3DES are one and the same error.
        if cipher == "-des3" {
            let mut damaged = sealed.clone();
            let last = damaged.len() - 1;
            damaged[last] ^= 1;
            let error = payload::open(&damaged, &keys).map(|opened| opened.content);
            assert_ne!(error.ok().as_deref(), Some(DOCUMENT.as_bytes()));
            assert!(
                xmlsec::cms::open_envelope(&sealed, &keys, xmlsec::asn1::Limits::default())
                    .is_err()
            );
        }
    }
    std::fs::write(
        dir.path().join("ours.der"),
        crate::sealed(payload::Form::Bare),
    )
    .unwrap();
    let read = run(
        "openssl",
        &[
            "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "ours.der", "-inkey", "key.pem",
            "-recip", "key.pem",
        ],
        dir.path(),
    );
    assert_eq!(read.unwrap().stdout, DOCUMENT.as_bytes());
}

#[test]
fn python_sees_the_same_parts() {
    let dir = tempfile::tempdir().unwrap();
    let sent = outgoing();
    std::fs::write(dir.path().join("mail.eml"), sent.mail(&fields())).unwrap();
    let script = "import email,sys\nm=email.message_from_binary_file(open('mail.eml','rb'))\nfor p in m.get_payload(): sys.stdout.buffer.write(p.get_payload(decode=True)); sys.stdout.buffer.write(b'\\n==\\n')\n";
    let Some(output) = run("python3", &["-c", script], dir.path()) else {
        return;
    };
    assert!(output.status.success());
    let mut expected = sent.soap().as_bytes().to_vec();
    expected.extend_from_slice(b"\n==\n");
    assert!(output.stdout.starts_with(&expected));
    let received = crate::read(&sent.mail(&fields()));
    expected.extend_from_slice(&received.attachments[0].content);
    expected.extend_from_slice(b"\n==\n");
    assert_eq!(output.stdout, expected);
}

/// The references to attachments are not files, so xmlsec1 judges a signal, which has none.
#[test]
fn xmlsec1_accepts_our_signals() {
    let dir = tempfile::tempdir().unwrap();
    let received = crate::read(&outgoing().mail(&fields()));
    let checked = received
        .check_signature(xmlsec::dsig::Signer::Carried)
        .unwrap();
    let signal = ebxml::signal::acknowledgment(
        &received.envelope.header,
        checked.references,
        "a@b",
        crate::NOW_US,
    );
    let signed = ebxml::package::Outgoing::sign(&signal, Vec::new(), &WORLD.stranger).unwrap();
    std::fs::write(dir.path().join("signal.xml"), signed.soap()).unwrap();
    let Some(version) = run("xmlsec1", &["--version"], dir.path()) else {
        return;
    };
    let mut arguments = vec![
        "--verify",
        "--insecure",
        "--node-xpath",
        "/*/*/*[local-name()='Signature']",
    ];
    if !String::from_utf8_lossy(&version.stdout).contains("xmlsec1 1.2") {
        arguments.push("--lax-key-search");
    }
    arguments.push("signal.xml");
    let verdict = run("xmlsec1", &arguments, dir.path()).unwrap();
    assert!(
        verdict.status.success(),
        "{}",
        String::from_utf8_lossy(&verdict.stderr)
    );
}
