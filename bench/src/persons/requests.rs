//! Requests to the person service, made and signed ahead of their sending.

use super::People;
use crate::served::Word;
use anyhow::{Context, Result};
use grunndata::persons::PREFIX;
use jose::dpop::make_proof;
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bearer,
    Dpop,
    BulkNames,
    BulkAddresses,
    Search,
}

/// In the order in which they are measured.
pub(crate) const KINDS: &[Kind] = &[
    Kind::Bearer,
    Kind::Dpop,
    Kind::BulkNames,
    Kind::BulkAddresses,
    Kind::Search,
];

const NAMES: &str = "informationParts=Name&informationParts=NorwegianIdentificationNumber";
const BULK: usize = 100;

impl Kind {
    /// As it is printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bearer => "get-by-nin, name and numbers, Bearer",
            Self::Dpop => "the same with DPoP",
            Self::BulkNames => "bulk-by-nin of 100, name and numbers, Bearer",
            Self::BulkAddresses => "the same with addresses",
            Self::Search => "search by name and birth date, Bearer",
        }
    }

    /// Persons in an answer.
    pub(crate) fn persons(self) -> u64 {
        match self {
            Self::BulkNames | Self::BulkAddresses => BULK as u64,
            _ => 1,
        }
    }

    /// Whether a raw loop of its shape is measured beside it.
    pub(crate) fn has_raw(self) -> bool {
        matches!(self, Self::Bearer | Self::BulkNames)
    }

    /// Requests of this kind are so many times fewer.
    fn share(self) -> u64 {
        match self {
            Self::Bearer => 1,
            Self::Dpop | Self::Search => 4,
            Self::BulkNames | Self::BulkAddresses => 20,
        }
    }
}

/// Makes them.
pub(crate) struct Requests {
    people: People,
    key: PrivateJwk,
    word: Word,
    at: usize,
}

impl Requests {
    /// With a key of its own.
    pub(crate) fn new(people: People) -> Result<Self> {
        Ok(Self {
            people,
            key: PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256))?,
            word: Word::default(),
            at: 7,
        })
    }

    /// Thumbprint of the key.
    pub(crate) fn thumbprint(&self) -> String {
        self.key.public().thumbprint().to_owned()
    }

    /// Takes over the tokens.
    pub(crate) fn meet(&mut self, word: &Word) -> Result<()> {
        self.word = word.clone();
        self.word.bearer.first().context("no tokens").map(drop)
    }

    /// Requests of a kind.
    pub(crate) fn make(&mut self, kind: Kind, count: u64) -> Result<Vec<Vec<u8>>> {
        (0..(count / kind.share()).max(8))
            .map(|n| self.one(kind, n))
            .collect()
    }

    fn place(&mut self, below: usize) -> usize {
        // A walk over all of them that does not follow their order.
        self.at = self
            .at
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.at >> 33) % below.max(1)
    }

    fn nin(&mut self) -> String {
        let place = self.place(self.people.numbers.len());
        let number = self.people.numbers.get(place);
        number.map(|n| n.text(11)).unwrap_or_default()
    }

    fn one(&mut self, kind: Kind, n: u64) -> Result<Vec<u8>> {
        let (target, form) = match kind {
            Kind::Bearer | Kind::Dpop => (
                format!("person/get-by-nin?{NAMES}"),
                format!("nin={}", self.nin()),
            ),
            Kind::BulkNames | Kind::BulkAddresses => {
                let nins: Vec<String> = (0..BULK).map(|_| format!("nins={}", self.nin())).collect();
                let more = if kind == Kind::BulkAddresses {
                    "&informationParts=ResidentialAddress"
                } else {
                    ""
                };
                (format!("person/bulk-by-nin?{NAMES}{more}"), nins.join("&"))
            }
            Kind::Search => {
                let place = self.place(self.people.names.len());
                let (given, family, born) = self.people.names.get(place).context("a name")?;
                let name = encode(&format!("{given} {family}"));
                (
                    format!("search/person?{NAMES}"),
                    format!("FullName={name}&BirthDate={born}"),
                )
            }
        };
        let path = format!("{PREFIX}/api/legal-basis/{target}");
        let pick = |tokens: &[String]| -> Result<String> {
            let at = n as usize % tokens.len().max(1);
            tokens.get(at).cloned().context("no token")
        };
        let authorization = if kind == Kind::Dpop {
            let token = pick(&self.word.bound)?;
            let plain = path.split('?').next().unwrap_or_default();
            let url = format!("{}{plain}", self.word.origin);
            let proof = make_proof(&self.key, "POST", &url, Some(&token), None, super::now_s())?;
            format!("DPoP {token}\r\nDPoP: {proof}")
        } else {
            format!("Bearer {}", pick(&self.word.bearer)?)
        };
        Ok(format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\napi-version: 2\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.word.origin.trim_start_matches("http://"),
            form.len()
        )
        .into_bytes())
    }
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    text.bytes()
        .map(|b| match b {
            b' ' => "+".to_owned(),
            b if plain(b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
