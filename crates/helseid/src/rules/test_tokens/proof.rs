//! The DPoP proof of a test token, right or purposely wrong in one way.

use jose::encoding::{b64url, hmac_sha256, random_b64url, sha256};
use jose::jwk::SignError;
use jose::{Claims, PrivateJwk};
use serde_json::{Map, Value};

/// What is wrong with a proof, in the order in which the national service numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Flaw {
    None,
    NoHtu,
    NoHtm,
    IatPast,
    IatFuture,
    NoAth,
    NoAlg,
    NoJwk,
    NoJti,
    SymmetricAlg,
    PrivateKey,
    WrongTyp,
    BadSignature,
    WrongJkt,
}

impl Flaw {
    /// All of them; the position is the number.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::NoHtu,
        Self::NoHtm,
        Self::IatPast,
        Self::IatFuture,
        Self::NoAth,
        Self::NoAlg,
        Self::NoJwk,
        Self::NoJti,
        Self::SymmetricAlg,
        Self::PrivateKey,
        Self::WrongTyp,
        Self::BadSignature,
        Self::WrongJkt,
    ];
    /// Their names in requests.
    pub const NAMES: [&'static str; 14] = [
        "None",
        "DontSetHtuClaimValue",
        "DontSetHtmClaimValue",
        "SetIatValueInThePast",
        "SetIatValueInTheFuture",
        "DontSetAthClaimValue",
        "DontSetAlgHeader",
        "DontSetJwkHeader",
        "DontSetJtiClaim",
        "SetAlgHeaderToASymmetricAlgorithm",
        "SetPrivateKeyInJwkHeader",
        "SetInvalidTypHeaderValue",
        "SetAnInvalidSignature",
        "SetAnInvalidJktValueInToken",
    ];
}

/// How far a wrong `iat` lies off, seconds.
const OFF_S: i64 = 3_600;

/// Makes the proof for a request with that token. [`Flaw::WrongJkt`] is a flaw of the token, not of the proof.
///
/// # Errors
/// When the crypto library refuses.
pub fn make_proof(
    key: &PrivateJwk,
    (method, address): (&str, &str),
    token: &str,
    flaw: Flaw,
    now_s: i64,
) -> Result<String, SignError> {
    let alg = key.default_alg();
    let mut header = Map::new();
    let typ = if flaw == Flaw::WrongTyp {
        "JWT"
    } else {
        "dpop+jwt"
    };
    header.insert("typ".to_owned(), typ.into());
    match flaw {
        Flaw::NoAlg => {}
        Flaw::SymmetricAlg => {
            header.insert("alg".to_owned(), "HS256".into());
        }
        _ => {
            header.insert("alg".to_owned(), alg.name().into());
        }
    }
    match flaw {
        Flaw::NoJwk => {}
        Flaw::PrivateKey => {
            header.insert("jwk".to_owned(), key.to_secret_members().into());
        }
        _ => {
            header.insert("jwk".to_owned(), key.public().to_members().into());
        }
    }
    let mut claims = Claims::default();
    if flaw != Flaw::NoJti {
        let jti = random_b64url::<16>().map_err(|_| SignError::Crypto)?;
        claims.set("jti", jti);
    }
    if flaw != Flaw::NoHtm {
        claims.set("htm", method);
    }
    if flaw != Flaw::NoHtu {
        claims.set("htu", address);
    }
    let issued_s = match flaw {
        Flaw::IatPast => now_s - OFF_S,
        Flaw::IatFuture => now_s + OFF_S,
        _ => now_s,
    };
    claims.set("iat", issued_s);
    if flaw != Flaw::NoAth {
        claims.set("ath", b64url(&sha256(token.as_bytes())));
    }
    let header = b64url(Value::Object(header).to_string().as_bytes());
    let input = format!("{header}.{}", b64url(claims.to_json().as_bytes()));
    let signature = match flaw {
        Flaw::SymmetricAlg => hmac_sha256(b"anybody knows this key", input.as_bytes()).to_vec(),
        Flaw::BadSignature => key.sign(alg, b"something else")?,
        _ => key.sign(alg, input.as_bytes())?,
    };
    Ok(format!("{input}.{}", b64url(&signature)))
}

#[cfg(test)]
mod tests {
    use jose::alg::HELSEID_CLIENT_ALGS;
    use jose::dpop::{ProofCheck, verify_proof};
    use jose::jwk::KeyKind;

    use super::*;

    #[test]
    fn exactly_the_sound_proofs_verify() {
        let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
        let address = "https://api.example/x";
        for (flaw, name) in Flaw::ALL.into_iter().zip(Flaw::NAMES) {
            let proof = make_proof(&key, ("GET", address), "token", flaw, 10_000).unwrap();
            let verified = verify_proof(
                &proof,
                &ProofCheck {
                    method: "GET",
                    addresses: &[address.to_owned()],
                    token_hash: Some(&jose::dpop::token_hash("token")),
                    now_s: 10_000,
                    max_age_s: 60,
                    max_ahead_s: 60,
                    algs: HELSEID_CLIENT_ALGS,
                },
            );
            let sound = matches!(flaw, Flaw::None | Flaw::WrongJkt);
            assert_eq!(verified.is_ok(), sound, "{name}");
        }
    }
}
