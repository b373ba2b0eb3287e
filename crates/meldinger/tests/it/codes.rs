//! Every error code of spec/messaging.md has a test that reaches it: which one stands here, and that it exists is checked. What has no test
//! of its own elsewhere is reached here.

use std::path::Path;

use edi::apprec::{AppRec, ErrorCode};
use edi::errorqueue::ErrorCondition;
use meldinger::rules::track::State;
use meldinger::{HandleError, Outcome};
use xmlsec::asn1::Limits;
use xmlsec::cms;
use xmlsec::pki::{DemoCa, Names, Purpose, Revoked, RsaKey, Validity};
use xmlsec::x509::TrustStore;

use crate::world::*;

/// Code, file below the crates, test.
type Row = (&'static str, &'static str, &'static str);

const CONDITIONS: &str = "meldinger/tests/it/conditions.rs";
const EACH: &str = "each_condition_is_reached_and_tells_which_message";
const REFUSED: &str = "meldinger/tests/it/ebxml/refused.rs";
const EACH_FAULT: &str = "each_fault_is_told_with_its_code_and_nothing_is_handled";
const HERE: &str = "meldinger/tests/it/codes.rs";
const RECEIPTS: &str = "every_receipt_code_reaches_the_sender";
const BAD_CASES: &str = "edi/tests/it/bad_cases.rs";
const DECIDED: &str = "bad_cases_answer_with_their_code";

/// §4.5: the error queue of the message bus.
const ERROR_QUEUE: &[Row] = &[
    ("transport:required-field-missing", CONDITIONS, EACH),
    ("transport:invalid-field-value", CONDITIONS, EACH),
    ("transport:missing-certificate", CONDITIONS, EACH),
    ("transport:expired-certificate", CONDITIONS, EACH),
    ("transport:invalid-certificate", CONDITIONS, EACH),
    ("transport:revoked-certificate", CONDITIONS, EACH),
    ("transport:unverified-certificate", CONDITIONS, EACH),
    ("transport:invalid-cms-pkcs", CONDITIONS, EACH),
    ("transport:decryption-failed", CONDITIONS, EACH),
    ("transport:invalid-signature", CONDITIONS, EACH),
    ("transport:invalid-encoding", CONDITIONS, EACH),
    ("transport:xml-not-interpretable", CONDITIONS, EACH),
    ("transport:not-well-formed-xml", CONDITIONS, EACH),
    ("transport:unsupported-message", CONDITIONS, EACH),
    ("transport:internal-error", CONDITIONS, EACH),
    ("abuse:spoofing-attack", CONDITIONS, EACH),
    // Defined and never sent: the message is tried again instead.
    (
        "transport:revoked-certificate-offline",
        HERE,
        "without_a_revocation_list_the_message_waits",
    ),
];

/// §5.3: error lists of ebXML.
const ERROR_LISTS: &[Row] = &[
    ("ValueNotRecognized", REFUSED, EACH_FAULT),
    ("NotSupported", REFUSED, EACH_FAULT),
    ("Inconsistent", REFUSED, EACH_FAULT),
    ("OtherXml", REFUSED, EACH_FAULT),
    ("TimeToLiveExpired", REFUSED, EACH_FAULT),
    ("SecurityFailure", REFUSED, EACH_FAULT),
    ("MimeProblem", REFUSED, EACH_FAULT),
    (
        "DeliveryFailure",
        "meldinger/tests/it/ebxml/http.rs",
        "what_is_for_others_goes_by_mail",
    ),
    // Only received: nothing here is so unknown.
    (
        "Unknown",
        "meldinger/tests/it/ebxml/between.rs",
        "every_code_of_an_error_list_fails_the_message",
    ),
];

/// §2: receipts (code list 8221). What rules of content decide has its case there; that each code comes through is tested here.
const APPREC: &[Row] = &[
    ("E10", BAD_CASES, DECIDED),
    ("E30", BAD_CASES, DECIDED),
    ("E31", BAD_CASES, DECIDED),
    ("E36", BAD_CASES, DECIDED),
    ("E53", BAD_CASES, DECIDED),
    ("T01", BAD_CASES, DECIDED),
    ("T02", BAD_CASES, DECIDED),
    ("T10", BAD_CASES, DECIDED),
    ("T99", BAD_CASES, DECIDED),
    ("E10", HERE, RECEIPTS),
    ("E20", HERE, RECEIPTS),
    ("E21", HERE, RECEIPTS),
    ("E30", HERE, RECEIPTS),
    ("E31", HERE, RECEIPTS),
    ("E32", HERE, RECEIPTS),
    ("E33", HERE, RECEIPTS),
    ("E34", HERE, RECEIPTS),
    ("E35", HERE, RECEIPTS),
    ("E36", HERE, RECEIPTS),
    ("E53", HERE, RECEIPTS),
    ("E54", HERE, RECEIPTS),
    ("S01", HERE, RECEIPTS),
    ("S02", HERE, RECEIPTS),
    ("S03", HERE, RECEIPTS),
    ("S99", HERE, RECEIPTS),
    ("T01", HERE, RECEIPTS),
    ("T02", HERE, RECEIPTS),
    ("T10", HERE, RECEIPTS),
    ("T99", HERE, RECEIPTS),
    ("X99", HERE, RECEIPTS),
];

/// Not codes but kinds of hostile or broken input (issue 6, "Bad input").
const HOSTILE: &[Row] = &[
    (
        "broken CMS",
        "meldinger/tests/it/ebxml/hostile.rs",
        "payloads_that_are_no_envelope_for_us",
    ),
    (
        "signature wrapping",
        "meldinger/tests/it/ebxml/hostile.rs",
        "wrapped_signatures_are_refused_in_every_variant",
    ),
    (
        "entities",
        "meldinger/tests/it/ebxml/hostile.rs",
        "entities_are_refused_outside_and_inside",
    ),
    (
        "MIME bombs",
        "meldinger/tests/it/ebxml/hostile.rs",
        "bombs_do_not_go_off",
    ),
    (
        "clock skew",
        "meldinger/tests/it/ebxml/hostile.rs",
        "clocks_that_are_wrong_lose_nothing",
    ),
    (
        "half-sent over HTTP",
        "meldinger/tests/it/ebxml/hostile.rs",
        "half_a_message_over_http_is_none",
    ),
    (
        "half-sent by mail",
        "mail/tests/it/dropped.rs",
        "a_mail_is_kept_whole_or_not_at_all",
    ),
    (
        "dropped while fetching",
        "mail/tests/it/dropped.rs",
        "what_was_not_removed_by_quit_is_there_again",
    ),
    (
        "slow readers",
        "mail/tests/it/dropped.rs",
        "a_peer_that_does_not_read_is_let_go",
    ),
    (
        "slow senders",
        "mail/tests/it/sending.rs",
        "a_mail_that_never_ends_is_let_go",
    ),
    (
        "no handshake",
        "mail/tests/it/tls.rs",
        "a_handshake_that_does_not_come_ends_the_connection",
    ),
];

fn source(file: &str) -> String {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(crates.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_code_has_its_test() {
    let families: [(&[Row], Vec<&str>); 3] = [
        (
            ERROR_QUEUE,
            ErrorCondition::ALL.iter().map(|c| c.as_str()).collect(),
        ),
        (
            ERROR_LISTS,
            ::ebxml::Code::ALL.iter().map(|c| c.as_str()).collect(),
        ),
        (APPREC, ErrorCode::ALL.iter().map(|c| c.as_str()).collect()),
    ];
    for (rows, codes) in families {
        for code in &codes {
            assert!(
                rows.iter().any(|(known, ..)| known == code),
                "{code} has no test"
            );
        }
        for (code, ..) in rows {
            assert!(codes.contains(code), "{code} is no code");
        }
    }
    for (what, file, test) in [ERROR_QUEUE, ERROR_LISTS, APPREC, HOSTILE].concat() {
        assert!(
            source(file).contains(&format!("fn {test}(")),
            "{what}: there is no test {test} in {file}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_receipt_code_reaches_the_sender() {
    let world = world().await;
    for code in ErrorCode::ALL {
        world.decide(move |_| Ok(Outcome::rejected(code, "våre ord")));
        let message = result_message(&new_id(), "x");
        let id = message.properties.message_id.as_ref().unwrap().as_text();
        world.send("vaar-epj", "8900000_async", message).await;
        assert_eq!(world.work(), 1);
        let receipts = world.drain("vaar-epj", "8900900_async").await;
        let [receipt] = receipts.as_slice() else {
            panic!("{code:?}: {} receipts", receipts.len())
        };
        let keys = std::slice::from_ref(&PKI.epj.encryption);
        let opened = cms::open(&receipt.body, keys, Limits::default()).unwrap();
        let read = AppRec::read_doc(&edi::xml::XmlDoc::parse(&opened.content).unwrap()).unwrap();
        assert_eq!(
            (read.status.code(), read.errors[0].code()),
            ("2", code.as_str())
        );
        assert_eq!(read.errors[0].display.as_deref(), Some(code.label()));
        assert_eq!(read.errors[0].other.as_deref(), Some("våre ord"));
        let tracks = world.view(|exchange| exchange.by_transport_id(&id).unwrap());
        let codes = vec![code.as_str().to_owned()];
        assert_eq!(tracks[0].state, State::Rejected { codes });
    }
}

/// The server that would say whether the certificate is revoked is away: nothing is decided, nobody is told, and the message is there when the
/// list is.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_revocation_list_the_message_waits() {
    let without = || TrustStore::new(vec![PKI.ca.certificate().clone()]);
    let world = world_with(move |parts| {
        parts.config.retry_ms = 0;
        parts.trust = without();
    })
    .await;
    world.decide(|_| Err(HandleError::Retry("not to be reached".to_owned())));
    let id = new_id();
    world
        .send("vaar-epj", "8900000_async", result_message(&id, "x"))
        .await;
    world.work();
    assert!(world.drain("vaar-epj", "8900900_error").await.is_empty());
    assert!(world.drain("vaar-epj", "8900900_async").await.is_empty());
    assert!(world.results.seen.lock().unwrap().is_empty());
    world.exchange.set_trust(trust());
    world.decide(|_| Ok(Outcome::accepted(store::Commit::default())));
    world.work();
    assert_eq!(*world.results.seen.lock().unwrap(), [id]);
    assert_eq!(world.drain("vaar-epj", "8900900_async").await.len(), 1);
    assert!(world.drain("vaar-epj", "8900900_error").await.is_empty());
}

/// A party with a certificate of another authority: refused while nobody has named it, waiting while its list is not known, then as any other.
#[tokio::test(flavor = "multi_thread")]
async fn another_authority_counts_when_it_is_named_and_its_list_is_known() {
    let ca = DemoCa::new("Another authority", PKI.now_s).unwrap();
    let names = Names {
        name: "Din EPJ AS",
        organisation_number: "315900239",
    };
    let validity = Validity::days_around(PKI.now_s, 10, 300);
    let key = RsaKey::generate().unwrap();
    let signer = ca
        .issue_organisation(&key, names, Purpose::Signing, validity)
        .unwrap();
    let world = world_with(|parts| parts.config.retry_ms = 0).await;
    let send = async |msg_id: &str| {
        let sealed = seal(&document(msg_id, "x"), &signer);
        let message = message("DIALOG_NOTAT", RESULTS, sealed);
        world.send("vaar-epj", "8900000_async", message).await;
        world.work();
        let errors = world.drain("vaar-epj", "8900900_error").await;
        errors.first().map(|message| error_of(message).0)
    };
    let seen = || world.results.seen.lock().unwrap().len();
    let refused = Some("transport:invalid-certificate".to_owned());
    assert_eq!(send(&new_id()).await, refused);

    let mut named = trust();
    named.add_root(ca.certificate().clone());
    world.exchange.set_trust(named.clone());
    world.decide(|_| Err(HandleError::Retry("not to be reached".to_owned())));
    assert_eq!(send(&new_id()).await, None);
    assert_eq!(seen(), 0, "it waits");

    let until = PKI.now_s + 86_400;
    let list = |revoked: &[Revoked], number| {
        let list = ca.crl(revoked, number, PKI.now_s - 60, until).unwrap();
        let mut trust = named.clone();
        trust.add_crl(list);
        trust
    };
    world.exchange.set_trust(list(&[], 1));
    world.decide(|_| Ok(Outcome::accepted(store::Commit::default())));
    assert_eq!(send(&new_id()).await, None);
    assert_eq!(seen(), 2, "the one that waited, and the new one");

    let entry = Revoked {
        certificate: signer.certificate().clone(),
        at_unix_s: PKI.now_s - 120,
    };
    world.exchange.set_trust(list(&[entry], 2));
    let revoked = Some("transport:revoked-certificate".to_owned());
    assert_eq!(send(&new_id()).await, revoked);
    assert_eq!(seen(), 2);
}
