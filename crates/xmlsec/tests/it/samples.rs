//! Signatures of other systems: the public samples, which are not in this repository. Skipped with a line on stderr
//! where they are absent (`../shared`, or `HELSENAV_SHARED`).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xmlsec::dsig::{self, External, Rules, Signer};
use xmlsec::xml::{Document, Limits, NodeId};

use crate::xmlsec1::{accepted_by_xmlsec1, xmlsec1};

pub fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    if root.join("data").is_dir() {
        return Some(root.join("data"));
    }
    eprintln!("SKIPPED: the public samples are absent, so their signatures were not checked");
    None
}

fn old_rules() -> Rules<'static> {
    let mut rules = Rules::new(Signer::Carried);
    rules.allow_sha1 = true;
    rules
}

fn verdict(file: &Path) -> Result<(), String> {
    let bytes = std::fs::read(file).unwrap();
    let document =
        Document::from_utf8(&bytes, &Limits::default()).map_err(|error| error.to_string())?;
    let signature = document
        .subtree(NodeId::DOCUMENT)
        .find(|node| document.is(*node, dsig::NAMESPACE, "Signature"))
        .ok_or("no signature")?;
    dsig::verify(&document, signature, &old_rules())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[test]
fn prescriptions_hold_or_not_as_xmlsec1_says() {
    let Some(data) = shared() else { return };
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join("eresept/messages/sfm-2021"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("<Signature")))
        .collect();
    files.push(
        data.join("eresept/messages/Utleverer_sender_oppgjorskrav_til_Helfo/M23_Utbetaling.xml"),
    );
    files.sort();
    let holding = files.iter().filter(|file| verdict(file).is_ok()).count();
    assert_eq!((files.len(), holding), (63, 50));
    let Some(options) = xmlsec1() else { return };
    for file in &files {
        let there = accepted_by_xmlsec1(&options, file);
        let here = verdict(file);
        assert_eq!(here.is_ok(), there.is_ok(), "{}: {here:?}", file.display());
    }
}

/// Headers and decoded content of the parts of a mail.
fn parts(mail: &str) -> Vec<(String, Vec<u8>)> {
    let mail = mail.replace("\r\n", "\n");
    let boundary = mail
        .split_once("boundary=")
        .map(|(_, after)| after.trim_start_matches('"'))
        .and_then(|after| after.split(['"', '\n', ';']).next())
        .unwrap();
    mail.split(&format!("--{boundary}"))
        .skip(1)
        .filter_map(|part| part.trim_start_matches('\n').split_once("\n\n"))
        .map(|(headers, body)| {
            let compact: String = body.split_ascii_whitespace().collect();
            let content = if headers.to_ascii_lowercase().contains("base64") {
                STANDARD.decode(compact).unwrap()
            } else {
                body.trim_end_matches('\n').as_bytes().to_vec()
            };
            (headers.to_owned(), content)
        })
        .collect()
}

#[test]
fn ebxml_mails_hold_with_their_attachments() {
    let Some(data) = shared() else { return };
    for name in [
        "acknowledgment",
        "inbox_acknowledgment",
        "egenandelforesporsel",
        "inbox_EgenAndelForespoersel",
    ] {
        let file = data.join(format!("messaging/samples/nav-smtp/{name}.eml"));
        let mail = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        let (envelope, attachments) = match mail.contains("boundary=") {
            true => {
                let mut parts = parts(&mail);
                let envelope = parts.remove(0).1;
                (envelope, parts)
            }
            false => {
                let mail = mail.replace("\r\n", "\n");
                let (headers, body) = mail.split_once("\n\n").unwrap();
                let compact: String = body.split_ascii_whitespace().collect();
                let content = if headers.to_ascii_lowercase().contains("base64") {
                    STANDARD.decode(compact).unwrap()
                } else {
                    body.as_bytes().to_vec()
                };
                (content, Vec::new())
            }
        };
        let document = Document::from_utf8(&envelope, &Limits::default()).unwrap();
        let signature = document
            .subtree(NodeId::DOCUMENT)
            .find(|node| document.is(*node, dsig::NAMESPACE, "Signature"))
            .unwrap();
        let uris: Vec<String> = document
            .subtree(signature)
            .filter_map(|node| document.attribute(node, "", "URI"))
            .filter(|uri| uri.starts_with("cid:"))
            .map(str::to_owned)
            .collect();
        let external: Vec<External<'_>> = uris
            .iter()
            .zip(&attachments)
            .map(|(uri, (_, content))| External { uri, content })
            .collect();
        let mut rules = old_rules();
        rules.external = &external;
        let verified = dsig::verify(&document, signature, &rules);
        assert!(verified.is_ok(), "{name}: {:?}", verified.err());
        assert!(
            verified.unwrap().covers(&document, document.root()),
            "{name}"
        );
    }
}
