use super::*;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use xmlsec::pki::{DemoCa, Names, Purpose, Revoked, RsaKey, Validity};
use xmlsec::x509::{CertificateFault, RevocationPolicy, Usage};

const NOW_S: i64 = 1_795_435_200;
const DAY_S: i64 = 86_400;

/// A server that gives these answers, one for each connection, and then no more.
fn server(answers: Vec<Vec<u8>>) -> url::Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(&answer);
        }
    });
    format!("http://{address}/list.crl").parse().unwrap()
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn written(folder: &Path, ca: &Certificate, crl: &str) -> PathBuf {
    std::fs::write(folder.join("ca.pem"), ca.to_pem()).unwrap();
    let file = folder.join("authorities.toml");
    let text = format!("[[authority]]\ncertificate = \"ca.pem\"\ncrl = \"{crl}\"\n");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn a_list_is_fetched_used_kept_and_never_replaced_by_a_worse_one() {
    let folder = tempfile::tempdir().unwrap();
    let ca = DemoCa::new("Fremmed utsteder", NOW_S).unwrap();
    let other = DemoCa::new("En annen", NOW_S).unwrap();
    let names = Names {
        name: "Din EPJ AS",
        organisation_number: "315900239",
    };
    let validity = Validity::days_around(NOW_S, 10, 300);
    let key = RsaKey::generate().unwrap();
    let signer = ca
        .issue_organisation(&key, names, Purpose::Signing, validity)
        .unwrap();
    let entry = Revoked {
        certificate: signer.certificate().clone(),
        at_unix_s: NOW_S - 60,
    };
    let until = NOW_S + 2 * DAY_S;
    let empty = ca.crl(&[], 1, NOW_S - DAY_S, until).unwrap();
    let revoking = ca.crl(&[entry], 2, NOW_S - 60, until).unwrap();
    let over = ca.crl(&[], 3, NOW_S - 30, NOW_S - 1).unwrap();
    let foreign = other.crl(&[], 4, NOW_S - 30, until).unwrap();
    let large = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
    let large = [large, vec![b'x'; MAX_BYTES + 1]].concat();
    let moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let url = server(vec![
        b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
        ok(empty.der()),
        ok(revoking.to_pem().as_bytes()),
        ok(empty.der()),
        ok(over.der()),
        ok(foreign.der()),
        ok(b"<html>"),
        moved.to_vec(),
        large,
    ]);
    let file = written(folder.path(), ca.certificate(), url.as_str());
    let read = || Authorities::read(Some(&file), folder.path(), NOW_S).unwrap();
    let authorities = read();
    let state = |authorities: &Authorities| authorities.view(NOW_S)[0].clone();
    let check = |authorities: &Authorities| {
        let mut trust = TrustStore::new(Vec::new());
        authorities.add_to(&mut trust);
        let required = RevocationPolicy::Required;
        let usage = Usage::MessageSignature;
        let checked = trust.check(signer.certificate(), usage, &[], NOW_S, required);
        checked.map_err(|faults| faults.all().to_vec())
    };
    // Before there is a list, and while the server is away: unknown, which lets messages wait.
    assert_eq!(
        check(&authorities),
        Err(vec![CertificateFault::RevocationUnknown])
    );
    assert!(!authorities.round(NOW_S).await);
    assert_eq!(
        (
            &state(&authorities)["state"],
            &state(&authorities)["failures"]
        ),
        (&json!("missing"), &json!(1))
    );
    assert!(!authorities.round(NOW_S).await, "not due yet");
    assert!(authorities.round(NOW_S + 30).await);
    assert_eq!(check(&authorities), Ok(()));
    assert_eq!(state(&authorities)["state"], "ok");
    // Half of what is left is a day, and six hours are the longest.
    assert!(!authorities.round(NOW_S + 6 * 3_600).await);
    let later = NOW_S + 7 * 3_600;
    assert!(authorities.round(later).await);
    let revoked = vec![CertificateFault::Revoked {
        revoked_at_unix_s: NOW_S - 60,
    }];
    assert_eq!(check(&authorities), Err(revoked.clone()));
    // An older one, one that is over, another's, none, a way elsewhere, one without end: what is known stays.
    let mut at = later + 7 * 3_600;
    for why in [
        "the list is older than the one that is known",
        "the list is over, or of a time to come",
        "what came is no revocation list of this authority",
        "what came is no revocation list of this authority",
        "it answered with another status than 200",
        "the list is larger than 32 MiB",
    ] {
        assert!(!authorities.round(at).await);
        assert_eq!(state(&authorities)["why"], why);
        assert_eq!(check(&authorities), Err(revoked.clone()));
        at += 3_600;
    }
    // The next start knows what this run knew, without the network.
    assert_eq!(check(&read()), Err(revoked));
    assert_eq!(authorities.view(until + 1)[0]["state"], "over");
}

#[test]
fn what_is_wrong_with_the_file_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let read = |file: &Path| Authorities::read(Some(file), folder.path(), NOW_S);
    let why = |file: &Path| format!("{:#}", read(file).err().unwrap());
    let ca = DemoCa::new("Utsteder", NOW_S).unwrap();
    let good = written(folder.path(), ca.certificate(), "http://crl.example/a.crl");
    assert_eq!(read(&good).unwrap().all.len(), 1);
    let text = std::fs::read_to_string(&good).unwrap();
    let file = folder.path().join("changed.toml");
    for (from, to, said) in [
        ("ca.pem", "none.pem", "cannot read"),
        ("http://", "ldap://", "http or https"),
        ("http://", "", "crl is no address"),
        ("crl =", "url =", "not understood"),
        ("ca.pem", "authorities.toml", "holds no certificate"),
    ] {
        std::fs::write(&file, text.replace(from, to)).unwrap();
        assert!(why(&file).contains(said), "{}", why(&file));
    }
    std::fs::write(&file, text.repeat(MAX_AUTHORITIES + 1)).unwrap();
    assert!(why(&file).contains("the most"));
    let nobody = Authorities::read(None, folder.path(), NOW_S).unwrap();
    assert_eq!(nobody.view(NOW_S), json!([]));
}

#[test]
fn waiting_grows_and_ends() {
    let waits: Vec<i64> = [1, 2, 3, 6, 7, 100].map(wait_after).to_vec();
    assert_eq!(waits, [30, 60, 120, 900, 900, 900]);
    for (left, expected) in [
        (Some(3_600), 1_800),
        (Some(10 * DAY_S), 21_600),
        (Some(0), 60),
        (Some(i64::MIN), 60),
        (None, 1_800),
    ] {
        let next = left.map(|left| NOW_S.saturating_add(left));
        assert_eq!(next_look(NOW_S, next) - NOW_S, expected, "{left:?}");
    }
}
