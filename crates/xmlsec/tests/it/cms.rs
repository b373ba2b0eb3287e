use proptest::prelude::*;
use xmlsec::asn1::{Limits, to_der};
use xmlsec::cms::{self, Cipher, CmsError, KeyTransport};
use xmlsec::x509::Certificate;

use crate::{NOW, WORLD};

const CONTENT: &[u8] =
    "<MsgHead xmlns=\"urn:test\"><Navn>Ærlig Øystein Ås</Navn></MsgHead>".as_bytes();

fn sealed() -> Vec<u8> {
    cms::seal(CONTENT, &WORLD.sender, WORLD.receiver.certificate(), NOW).unwrap()
}

fn keys() -> [xmlsec::key::Identity; 1] {
    [WORLD.receiver.clone()]
}

#[test]
fn what_is_sealed_opens() {
    let opened = cms::open(
        &sealed(),
        &[WORLD.stranger.clone(), WORLD.receiver.clone()],
        Limits::default(),
    )
    .unwrap();
    assert_eq!(opened.content, CONTENT);
    assert_eq!(opened.key_index, 1);
    assert_eq!(opened.cipher, Cipher::Aes256Cbc);
    assert_eq!(
        opened.signer_certificate().unwrap(),
        WORLD.sender.certificate()
    );
    assert_eq!(opened.signers[0].signing_time_unix_s, Some(NOW));
}

#[test]
fn every_cipher_and_key_transport_opens() {
    let signed = cms::sign(CONTENT, &WORLD.sender, None).unwrap();
    for cipher in [Cipher::Aes128Cbc, Cipher::Aes192Cbc, Cipher::Aes256Cbc] {
        for transport in [KeyTransport::Pkcs1, KeyTransport::OaepSha256] {
            let both = [WORLD.stranger.certificate(), WORLD.receiver.certificate()];
            let bytes = cms::envelope(&signed, &both, cipher, transport).unwrap();
            let opened = cms::open(&bytes, &keys(), Limits::default()).unwrap();
            assert_eq!(
                (opened.content.as_slice(), opened.cipher),
                (CONTENT, cipher)
            );
            assert_eq!(opened.signers[0].signing_time_unix_s, None);
        }
    }
}

#[test]
fn each_fault_has_its_condition() {
    let limits = Limits::default();
    let receiver = WORLD.receiver.certificate();
    let open = |bytes: &[u8]| cms::open(bytes, &keys(), limits).unwrap_err();
    let envelope = |inner: &[u8]| {
        cms::envelope(inner, &[receiver], Cipher::Aes256Cbc, KeyTransport::Pkcs1).unwrap()
    };

    let not_cms = open(b"<xml/>");
    assert_eq!(not_cms.condition(), "transport:invalid-cms-pkcs");
    assert!(not_cms.to_string().contains("not CMS"), "{not_cms}");

    let for_other = cms::seal(CONTENT, &WORLD.sender, WORLD.stranger.certificate(), NOW).unwrap();
    assert_eq!(open(&for_other), CmsError::DecryptionFailed);

    let mut damaged = sealed();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(open(&damaged).condition(), "transport:decryption-failed");

    assert_eq!(
        open(&envelope(CONTENT)),
        CmsError::DecryptionFailed,
        "enveloped but not signed"
    );

    for signing_time in [None, Some(NOW)] {
        let mut signed = cms::sign(CONTENT, &WORLD.sender, signing_time).unwrap();
        let at = signed
            .windows(CONTENT.len())
            .position(|window| window == CONTENT)
            .unwrap();
        signed[at + 20] ^= 0x01;
        let error = open(&envelope(&signed));
        assert_eq!(error.condition(), "transport:invalid-signature");
        assert!(
            error.to_string().contains("changed after it was signed"),
            "{error}"
        );
    }

    let signed_only = cms::sign(CONTENT, &WORLD.sender, Some(NOW)).unwrap();
    assert!(matches!(
        open(&signed_only),
        CmsError::UnexpectedType { .. }
    ));

    let small = Limits {
        max_bytes: 100,
        ..limits
    };
    assert_eq!(
        cms::open(&sealed(), &keys(), small).unwrap_err(),
        CmsError::TooLarge { max_bytes: 100 }
    );
}

#[test]
fn a_signature_under_another_certificate_fails() {
    // The attacker signs with an own key but puts the sender's certificate in: same issuer and serial, other key.
    let forged = cms::sign(CONTENT, &WORLD.revoked, Some(NOW)).unwrap();
    let theirs = WORLD.revoked.certificate().der();
    let ours = WORLD.sender.certificate().der();
    let at = forged
        .windows(theirs.len())
        .position(|window| window == theirs)
        .unwrap();
    if theirs.len() == ours.len() {
        let mut bytes = forged.clone();
        bytes.splice(at..at + theirs.len(), ours.iter().copied());
        assert_eq!(
            cms::verify(&bytes, Limits::default()).unwrap_err(),
            CmsError::MissingCertificate
        );
    }
    let mut bytes = forged;
    bytes[at + theirs.len() / 2] ^= 1;
    assert!(cms::verify(&bytes, Limits::default()).is_err());
}

#[test]
fn deep_or_crowded_structures_are_refused() {
    let limits = Limits {
        max_bytes: 1 << 20,
        max_depth: 24,
        max_values: 1000,
    };
    let deep: Vec<u8> = std::iter::repeat_n([0x30, 0x80], 10_000)
        .flatten()
        .collect();
    assert_eq!(
        to_der(&deep, limits).unwrap_err().what,
        "nesting deeper than allowed"
    );
    let crowded: Vec<u8> = [0x30, 0x82, 0x08, 0x00]
        .into_iter()
        .chain(std::iter::repeat_n([0x05, 0x00], 1024).flatten())
        .collect();
    assert_eq!(
        to_der(&crowded, limits).unwrap_err().what,
        "more values than allowed"
    );
}

#[test]
fn ber_becomes_der() {
    let cases: [(&[u8], &[u8]); 5] = [
        (
            &[0x30, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00],
            &[0x30, 0x03, 0x02, 0x01, 0x05],
        ),
        (
            &[0x30, 0x81, 0x03, 0x02, 0x01, 0x05],
            &[0x30, 0x03, 0x02, 0x01, 0x05],
        ),
        (
            &[0x24, 0x80, 0x04, 0x01, b'a', 0x04, 0x02, b'b', b'c', 0, 0],
            &[0x04, 0x03, b'a', b'b', b'c'],
        ),
        (
            &[0x24, 0x07, 0x24, 0x05, 0x04, 0x01, b'a', 0x04, 0x00],
            &[0x04, 0x01, b'a'],
        ),
        (
            &[0xa0, 0x80, 0x24, 0x80, 0x04, 0x01, b'a', 0, 0, 0, 0],
            &[0xa0, 0x03, 0x04, 0x01, b'a'],
        ),
    ];
    for (ber, der) in cases {
        assert_eq!(
            to_der(ber, Limits::default()).unwrap().as_ref(),
            der,
            "{ber:02x?}"
        );
    }
    for broken in [
        &[][..],
        &[0x30],
        &[0x04, 0x80, 0, 0],
        &[0x30, 0x80, 0x05, 0x00],
        &[0x05, 0x00, 0x00],
        &[0x1f, 0x01, 0x00],
        &[0x04, 0x85, 1, 1, 1, 1, 1],
    ] {
        assert!(to_der(broken, Limits::default()).is_err(), "{broken:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let limits = Limits { max_bytes: 512, max_depth: 8, max_values: 64 };
        let _ = to_der(&bytes, limits);
        let _ = cms::open(&bytes, &keys(), limits);
        let _ = cms::verify(&bytes, limits);
        let _ = Certificate::from_der(&bytes);
        let _ = xmlsec::x509::Crl::from_der(&bytes, WORLD.ca.certificate());
        let _ = xmlsec::pki::pkcs12::read(&bytes, "x");
    }

    #[test]
    fn der_stays_as_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(der) = to_der(&bytes, Limits::default()) {
            let again = to_der(&der, Limits::default()).unwrap();
            prop_assert_eq!(again.as_ref(), der.as_ref());
        }
    }

    /// Whatever is changed in a sealed or signed message: it fails, or the content is still what was signed.
    #[test]
    fn changed_messages_never_open_as_something_else(at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<bool>()) {
        static SEALED: std::sync::LazyLock<(Vec<u8>, Vec<u8>)> =
            std::sync::LazyLock::new(|| (sealed(), cms::sign(CONTENT, &WORLD.sender, Some(NOW)).unwrap()));
        for (original, is_sealed) in [(&SEALED.0, true), (&SEALED.1, false)] {
            let mut bytes = original.clone();
            let place = at.index(bytes.len());
            bytes[place] = value;
            if cut {
                bytes.truncate(place + 1);
            }
            let content = if is_sealed {
                cms::open(&bytes, &keys(), Limits::default()).map(|opened| opened.content)
            } else {
                cms::verify(&bytes, Limits::default()).map(|signed| signed.content)
            };
            if let Ok(content) = content {
                prop_assert_eq!(content.as_slice(), CONTENT);
            }
        }
    }
}
