use xmlsec::key::{Identity, KeyError, PrivateKey};
use xmlsec::pki::{DemoCa, Names, PkiError, Purpose, RsaKey, Validity};
use xmlsec::x509::{Certificate, CertificateFault, Crl, RevocationPolicy, TrustStore, Usage};

use crate::{NOW, WORLD};

#[test]
fn a_certificate_says_who_and_what_for() {
    let certificate = WORLD.receiver.certificate();
    assert_eq!(certificate.common_name(), Some("Mottaker Ørsta AS"));
    assert_eq!(certificate.organisation_number(), Some("315900239"));
    assert!(
        certificate.subject().contains("Ørsta") || certificate.subject().contains("rsta"),
        "{}",
        certificate.subject()
    );
    assert!(certificate.issuer().contains("Test authority"));
    let usage = certificate.key_usage().unwrap();
    assert!(
        usage.key_encipherment
            && usage.data_encipherment
            && !usage.non_repudiation
            && !usage.digital_signature
    );
    let usage = WORLD.sender.certificate().key_usage().unwrap();
    assert!(usage.non_repudiation && !usage.key_encipherment);
    assert_eq!(certificate.not_before_unix_s(), NOW - 200 * 86_400);
    assert_eq!(certificate.crl_urls(), ["http://127.0.0.1:8080/pki/crl"]);
    assert_eq!(certificate.serial().len(), 16);
    assert!(!certificate.is_ca() && WORLD.ca.certificate().is_ca());
    assert_eq!(
        Certificate::from_pem(&certificate.to_pem()).unwrap(),
        *certificate
    );
    assert_eq!(format!("{:?}", WORLD.receiver.key()), "PrivateKey(RSA)");
}

#[test]
fn faults_and_their_conditions() {
    let check = |identity: &Identity, usage, at| {
        WORLD
            .trust
            .check(
                identity.certificate(),
                usage,
                &[],
                at,
                RevocationPolicy::Required,
            )
            .map_err(|faults| (faults.condition(), faults.all().len()))
    };
    use Usage::{Any, MessageEncryption, MessageSignature};
    let day = 86_400;
    let table = [
        (&WORLD.sender, MessageSignature, NOW, Ok(())),
        (&WORLD.receiver, MessageEncryption, NOW, Ok(())),
        (&WORLD.sender, Any, NOW, Ok(())),
        (
            &WORLD.expired,
            MessageSignature,
            NOW,
            Err(("transport:expired-certificate", 1)),
        ),
        (
            &WORLD.sender,
            MessageSignature,
            NOW - 201 * day,
            Err(("transport:invalid-certificate", 2)),
        ),
        (
            &WORLD.revoked,
            MessageSignature,
            NOW,
            Err(("transport:revoked-certificate", 1)),
        ),
        (
            &WORLD.sender,
            MessageEncryption,
            NOW,
            Err(("transport:invalid-certificate", 1)),
        ),
        (
            &WORLD.expired,
            MessageEncryption,
            NOW,
            Err(("transport:invalid-certificate", 2)),
        ),
        // The list is a day old by then: unknown counts as revoked where revocation is required.
        (
            &WORLD.sender,
            MessageSignature,
            NOW + 2 * day,
            Err(("transport:revoked-certificate", 1)),
        ),
    ];
    for (index, (identity, usage, at, expected)) in table.into_iter().enumerate() {
        assert_eq!(check(identity, usage, at), expected, "row {index}");
    }
    let bare = TrustStore::new(WORLD.trust.roots().to_vec());
    let certificate = WORLD.sender.certificate();
    assert!(
        bare.check(
            certificate,
            Usage::Any,
            &[],
            NOW,
            RevocationPolicy::WhenKnown
        )
        .is_ok()
    );
    assert!(
        bare.check(
            certificate,
            Usage::Any,
            &[],
            NOW,
            RevocationPolicy::Required
        )
        .unwrap_err()
        .is_only_revocation_unknown()
    );

    let faults = TrustStore::default()
        .check(
            certificate,
            Usage::Any,
            &[],
            NOW,
            RevocationPolicy::WhenKnown,
        )
        .unwrap_err();
    assert!(matches!(
        faults.all(),
        [CertificateFault::UntrustedIssuer { .. }]
    ));
}

#[test]
fn a_leaf_cannot_issue_and_a_namesake_is_not_trusted() {
    let impostor = DemoCa::new("Test authority", NOW).unwrap();
    let names = Names {
        name: "Falsk AS",
        organisation_number: "315900239",
    };
    let key = RsaKey::generate().unwrap();
    let forged = impostor
        .issue_organisation(
            &key,
            names,
            Purpose::Signing,
            Validity::days_around(NOW, 1, 1),
        )
        .unwrap();
    let extra = [
        impostor.certificate().clone(),
        WORLD.sender.certificate().clone(),
    ];
    let faults = WORLD
        .trust
        .check(
            forged.certificate(),
            Usage::MessageSignature,
            &extra,
            NOW,
            RevocationPolicy::WhenKnown,
        )
        .unwrap_err();
    assert_eq!(faults.condition(), "transport:invalid-certificate");

    let list = impostor.crl(&[], 1, NOW, NOW + 60).unwrap();
    assert!(Crl::from_der(list.der(), WORLD.ca.certificate()).is_err());
    assert!(list.is_empty());
}

#[test]
fn a_stored_authority_goes_on_issuing() {
    let loaded = DemoCa::load(&WORLD.ca.certificate().to_pem(), WORLD.ca.key_pem()).unwrap();
    let names = Names {
        name: "Ny AS",
        organisation_number: "315900239",
    };
    let issued = loaded
        .issue_organisation(
            &RsaKey::generate().unwrap(),
            names,
            Purpose::Signing,
            Validity::days_around(NOW, 1, 1),
        )
        .unwrap();
    assert!(
        WORLD
            .trust
            .check(
                issued.certificate(),
                Usage::MessageSignature,
                &[],
                NOW,
                RevocationPolicy::Required
            )
            .is_ok()
    );

    let other = WORLD.sender.key().to_pem();
    assert_eq!(
        DemoCa::load(&WORLD.ca.certificate().to_pem(), &other).err(),
        Some(PkiError::Mismatch)
    );
    let mixed = Identity::new(
        WORLD.sender.certificate().clone(),
        WORLD.receiver.key().clone(),
    );
    assert!(matches!(mixed, Err(KeyError::Mismatch { .. })));
    assert!(PrivateKey::from_pem(&WORLD.sender.certificate().to_pem()).is_err());
}
