//! CMS, certificates, PKCS #12 and XML signatures against our own rules and against `openssl` and `xmlsec1`, in both
//! directions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod certificates;
mod cms;
mod ocsp;
mod openssl;
mod pkcs12;
mod saml;
mod samples;
mod signed;
mod wrapping;
mod xmlsec1;

use std::sync::LazyLock;

use xmlsec::key::Identity;
use xmlsec::pki::{DemoCa, Names, Places, Purpose, RsaKey, Validity};
use xmlsec::x509::TrustStore;

/// 2026-11-23T08:00:00Z.
pub const NOW: i64 = 1_795_420_800;

/// One authority and a few organisations, made once for the whole binary.
pub struct World {
    pub ca: DemoCa,
    pub trust: TrustStore,
    pub sender: Identity,
    pub receiver: Identity,
    pub stranger: Identity,
    pub expired: Identity,
    pub revoked: Identity,
}

/// Where the authority's certificates send those who ask about them.
pub fn places() -> Places {
    let at = |path| Some(format!("http://127.0.0.1:8080/pki/{path}"));
    Places {
        crl: at("crl"),
        ocsp: at("ocsp"),
        authority: at("cer"),
    }
}

pub static WORLD: LazyLock<World> = LazyLock::new(|| {
    let ca = DemoCa::new("Test authority", NOW)
        .unwrap()
        .with_places(places());
    let names = |name| Names {
        name,
        organisation_number: "315900239",
    };
    let valid = Validity::days_around(NOW, 200, 900);
    let past = Validity {
        not_before_unix_s: NOW - 500 * 86_400,
        not_after_unix_s: NOW - 86_400,
    };
    let issue = |name, purpose, validity| {
        ca.issue_organisation(&RsaKey::generate().unwrap(), names(name), purpose, validity)
            .unwrap()
    };
    let revoked = issue("Revoked AS", Purpose::Signing, valid);
    let mut trust = TrustStore::new(vec![ca.certificate().clone()]);
    let entry = xmlsec::pki::Revoked {
        certificate: revoked.certificate().clone(),
        at_unix_s: NOW - 3600,
    };
    trust.add_crl(ca.crl(&[entry], 7, NOW - 60, NOW + 86_400).unwrap());
    World {
        sender: issue("Sender AS", Purpose::Signing, valid),
        receiver: issue("Mottaker Ørsta AS", Purpose::Encryption, valid),
        stranger: issue("Stranger AS", Purpose::Encryption, valid),
        expired: issue("Expired AS", Purpose::Signing, past),
        revoked,
        ca,
        trust,
    }
});
