use xmlsec::pki::pkcs12::{self, Pkcs12Error};

use crate::WORLD;

#[test]
fn round_trip_and_wrong_password() {
    let file = pkcs12::write(
        &WORLD.sender,
        &[WORLD.ca.certificate().clone()],
        "sender signering",
        "pæssord",
    )
    .unwrap();
    let (identity, others) = pkcs12::read(&file, "pæssord").unwrap();
    assert_eq!(identity.certificate(), WORLD.sender.certificate());
    assert_eq!(identity.key().pkcs8_der(), WORLD.sender.key().pkcs8_der());
    assert_eq!(others, [WORLD.ca.certificate().clone()]);
    assert_eq!(
        pkcs12::read(&file, "feil").unwrap_err(),
        Pkcs12Error::Password
    );
    let mut changed = file.clone();
    changed[60] ^= 1;
    assert!(pkcs12::read(&changed, "pæssord").is_err());
}
