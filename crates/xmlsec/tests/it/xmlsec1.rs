//! The foreign oracles for XML: `xmlsec1` for signatures, `xmllint` for canonical XML. Skipped with a line on stderr
//! where they are not installed (`apt-get install xmlsec1 libxml2-utils`).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use xmlsec::c14n::{Method, Scope, Selection, canonicalize};
use xmlsec::dsig::{EcKey, Hash, Place, Request, SigningKey, Target, Transform, sign};
use xmlsec::xml::{Document, NodeId};

use crate::WORLD;
use crate::signed::{MESSAGE, carried, check, ecdsa};

/// Options every call needs, or nothing when the tool is missing.
pub fn xmlsec1() -> Option<Vec<&'static str>> {
    let Ok(version) = Command::new("xmlsec1").arg("--version").output() else {
        eprintln!(
            "SKIPPED: xmlsec1 is not installed, so XML signatures were not checked against it"
        );
        return None;
    };
    let mut options = vec!["--insecure", "--id-attr:ID", "Message"];
    if !String::from_utf8_lossy(&version.stdout).contains("xmlsec1 1.2") {
        options.push("--lax-key-search");
    }
    Some(options)
}

/// Whether `xmlsec1 --verify` accepts a file.
pub fn accepted_by_xmlsec1(options: &[&str], file: &Path) -> Result<(), String> {
    let output = Command::new("xmlsec1")
        .arg("--verify")
        .args(options)
        .arg(file)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn what_is_signed_here_holds_there() {
    let Some(options) = xmlsec1() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signed.xml");
    let (p256, p256_key) = ecdsa(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (p384, p384_key) = ecdsa(&rcgen::PKCS_ECDSA_P384_SHA384);
    let p256_key = EcKey::from_pkcs8_der(&p256_key, &p256).unwrap();
    let p384_key = EcKey::from_pkcs8_der(&p384_key, &p384).unwrap();
    let rsa = SigningKey::Rsa(WORLD.sender.key());
    let sender = WORLD.sender.certificate();
    let keys = [
        (rsa, Hash::Sha256, sender),
        (rsa, Hash::Sha384, sender),
        (rsa, Hash::Sha512, sender),
        (SigningKey::Ec(&p256_key), Hash::Sha256, &p256),
        (SigningKey::Ec(&p384_key), Hash::Sha384, &p384),
    ];
    let listed = Method {
        scope: Scope::Exclusive(vec!["unused".to_owned(), String::new()]),
        comments: false,
    };
    let document = Document::parse(MESSAGE).unwrap();
    for (key, hash, certificate) in keys {
        for method in [Method::INCLUSIVE, Method::EXCLUSIVE, listed.clone()] {
            let transforms = vec![
                Transform::Enveloped,
                Transform::EbXmlActors,
                Transform::Canonicalize(method.clone()),
            ];
            let plain = vec![
                Transform::Enveloped,
                Transform::Canonicalize(method.clone()),
            ];
            for target in [
                Target::Document(transforms),
                Target::Document(plain.clone()),
                Target::Id("_1", plain),
            ] {
                let request = Request {
                    key,
                    certificates: std::slice::from_ref(certificate),
                    canonicalization: method.clone(),
                    hash,
                    targets: std::slice::from_ref(&target),
                };
                let text = sign(&document, Place::LastIn(document.root()), &request).unwrap();
                std::fs::write(&file, &text).unwrap();
                let result = accepted_by_xmlsec1(&options, &file);
                assert!(result.is_ok(), "{target:?} {hash:?}: {result:?}\n{text}");
                std::fs::write(&file, text.replace("bær", "bar")).unwrap();
                assert!(accepted_by_xmlsec1(&options, &file).is_err());
            }
        }
    }
}

const DS: &str = xmlsec::dsig::NAMESPACE;

fn template(uri: &str, c14n: &str, transforms: &str, method: &str, digest: &str) -> String {
    let signature = format!(
        "<ds:Signature xmlns:ds=\"{DS}\">\n <ds:SignedInfo><!-- of ours -->\n  <ds:CanonicalizationMethod Algorithm=\"{c14n}\"/>\n\
         <ds:SignatureMethod Algorithm=\"{method}\"/>\n  <ds:Reference URI=\"{uri}\">{transforms}<ds:DigestMethod Algorithm=\"{digest}\"/>\n\
         <ds:DigestValue/></ds:Reference>\n </ds:SignedInfo>\n <ds:SignatureValue/>\n <ds:KeyInfo><ds:X509Data/></ds:KeyInfo></ds:Signature>"
    );
    MESSAGE.replace("</m:Message>", &format!("{signature}</m:Message>"))
}

#[test]
fn what_is_signed_there_holds_here() {
    let Some(options) = xmlsec1() else { return };
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("key.pem", &WORLD.sender.key().to_pem());
    write("cert.pem", &WORLD.sender.certificate().to_pem());
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    let inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    let with_comments = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments";
    let exclusive_with_comments = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";
    let enveloped = format!("<ds:Transform Algorithm=\"{DS}enveloped-signature\"/>");
    let filter = format!(
        "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath xmlns:SOAP-ENV=\"http://schemas.xmlsoap.org/soap/envelope/\">{}</ds:XPath></ds:Transform>",
        xmlsec::dsig::EBXML_ACTOR_FILTER
    );
    let list = format!(
        "<ds:Transform Algorithm=\"{exclusive}\"><e:InclusiveNamespaces xmlns:e=\"{exclusive}\" PrefixList=\"#default unused\"/></ds:Transform>"
    );
    let more = "http://www.w3.org/2001/04/xmldsig-more#";
    let methods = [
        (format!("{DS}rsa-sha1"), format!("{DS}sha1")),
        (
            format!("{more}rsa-sha256"),
            "http://www.w3.org/2001/04/xmlenc#sha256".to_owned(),
        ),
        (format!("{more}rsa-sha384"), format!("{more}sha384")),
        (
            format!("{more}rsa-sha512"),
            "http://www.w3.org/2001/04/xmlenc#sha512".to_owned(),
        ),
    ];
    let single = |c14n: &str| format!("<ds:Transform Algorithm=\"{c14n}\"/>");
    let ways = [
        (
            "",
            inclusive,
            format!("{enveloped}{filter}{}", single(inclusive)),
        ),
        ("", with_comments, enveloped.clone()),
        (
            "",
            exclusive_with_comments,
            format!("{enveloped}{}", single(with_comments)),
        ),
        (
            "#_1",
            exclusive,
            format!("{enveloped}{}", single(exclusive)),
        ),
        ("#_1", inclusive, format!("{enveloped}{list}")),
        (
            "#_1",
            exclusive,
            format!("{enveloped}{}", single(exclusive_with_comments)),
        ),
    ];
    let mut rules = carried();
    rules.allow_sha1 = true;
    for (method, digest) in &methods {
        for (uri, c14n, transforms) in &ways {
            let transforms = format!("<ds:Transforms>{transforms}</ds:Transforms>");
            write(
                "template.xml",
                &template(uri, c14n, &transforms, method, digest),
            );
            let output = Command::new("xmlsec1")
                .args([
                    "--sign",
                    "--privkey-pem",
                    "key.pem,cert.pem",
                    "--output",
                    "signed.xml",
                ])
                .args(&options)
                .arg("template.xml")
                .current_dir(dir.path())
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() && method.ends_with("sha1") {
                // Newer builds leave SHA-1 out.
                continue;
            }
            assert!(output.status.success(), "{stderr}");
            let text = std::fs::read_to_string(dir.path().join("signed.xml")).unwrap();
            let result = check(&text, &rules);
            assert!(
                result.is_ok(),
                "{uri:?} {c14n} {transforms}: {:?}\n{text}",
                result.err()
            );
            assert!(check(&text.replace("bær", "bar"), &rules).is_err());
        }
    }
}

/// Documents out of a row of numbers, the same each time.
fn some_documents() -> Vec<String> {
    let mut state = 7_u32;
    let mut next = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let tags = ["a", "p:b", "q:c", "d"];
    let attributes = [
        "",
        " xmlns='urn:d'",
        " xmlns=''",
        " xmlns:p='urn:p'",
        " xmlns:p='urn:z' p:x='&#10;&quot;\t'",
        " q:y='2' p:x='1' z='' xmlns:s='urn:s'",
        " xml:lang='no' q:x='ø'",
        " xmlns:q='urn:q2'",
    ];
    let leaves = [
        "t&lt;\r\n&#13;<![CDATA[&]]>",
        "<!-- c\t-->",
        "<?pi some  data ?>",
        " é😀 ",
        "<e/>",
    ];
    (0..60)
        .map(|_| {
            let mut out = String::from(
                "<?go?><!-- before -->\n<r xmlns:p='urn:p' xmlns:q='urn:q' xmlns:u='urn:u'>",
            );
            let mut open = Vec::new();
            for _ in 0..next(40) {
                match next(4) {
                    0 | 1 if open.len() < 10 => {
                        let tag = tags[next(4) as usize];
                        out.push_str(&format!("<{tag}{}>", attributes[next(8) as usize]));
                        open.push(tag);
                    }
                    2 => out.push_str(leaves[next(5) as usize]),
                    _ => {
                        if let Some(tag) = open.pop() {
                            out.push_str(&format!("</{tag}>"));
                        }
                    }
                }
            }
            for tag in open.iter().rev() {
                out.push_str(&format!("</{tag}>"));
            }
            out + "</r>\n<?stop?><!-- after -->"
        })
        .collect()
}

#[test]
fn canonical_xml_is_what_xmllint_writes() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("SKIPPED: xmllint is not installed, so canonical XML was not checked against it");
        return;
    }
    for text in some_documents() {
        let document = Document::parse(&text).unwrap();
        for (option, method) in [
            ("--c14n", Method::INCLUSIVE),
            ("--exc-c14n", Method::EXCLUSIVE),
        ] {
            let method = Method {
                comments: true,
                ..method
            };
            let mut child = Command::new("xmllint")
                .args([option, "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            let there = child.wait_with_output().unwrap();
            assert!(there.status.success());
            let here =
                canonicalize(&document, &Selection::all_of(NodeId::DOCUMENT), &method).unwrap();
            assert_eq!(
                String::from_utf8(here).unwrap(),
                String::from_utf8(there.stdout).unwrap(),
                "{option}: {text}"
            );
        }
    }
}
