//! Making the tokens of one answer: organisations, user, attest, claims, signatures.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jose::Claims;
use jose::encoding::{hex_upper, random};
use serde_json::{Map, Value};

use crate::Inner;
use crate::config::{Api, Client, Tenancy, Wanted};
use crate::error::{Code, OAuthError};
use crate::rules::attest;
use crate::rules::claims::{self, AccessTokenParts, IdTokenParts, Login, User};
use crate::rules::organisation::{self, Organisations};
use crate::rules::scopes::Chosen;
use crate::rules::structures::{self, Structures};

/// What an access token is issued for.
pub(crate) struct Issue<'a> {
    pub client: &'a Client,
    pub chosen: &'a Chosen<'a>,
    /// Structures of the session and of this request together.
    pub structures: &'a Structures,
    /// When the attest among them reached us.
    pub attest_received_s: i64,
    pub jkt: Option<&'a str>,
    pub login: Option<&'a Login>,
    pub jti: &'a str,
}

/// A signed access token.
pub(crate) struct Issued {
    pub token: String,
    pub life_s: i64,
}

impl Inner {
    /// Signs an access token.
    pub(crate) fn issue(&self, issue: &Issue<'_>) -> Result<Issued, OAuthError> {
        let now_s = self.now_s();
        let wants = |wanted| {
            issue
                .chosen
                .apis
                .iter()
                .any(|api: &&Api| api.wants.contains(&wanted))
        };
        let user = issue.login.map(|login| self.user(login)).transpose()?;
        let organisations = self.organisations(issue.client, issue.structures)?;
        if wants(Wanted::OrgnrParent)
            && organisations.parent.is_none()
            && matches!(issue.client.tenancy, Tenancy::Multi { .. })
        {
            return Err(OAuthError::new(
                Code::AccessDenied,
                "the API needs an organisation number: a multi-tenant client names it in assertion_details (helseid_authorization)",
            ));
        }
        let journal_id = issue.structures.journal_id()?;
        let attest = match (issue.login, &user, issue.structures.get(structures::ATTEST)) {
            (Some(login), Some(user), Some(attest)) if wants(Wanted::Attest) => {
                let context = attest::Context {
                    login,
                    user,
                    organisations: &organisations,
                    directory: self.directory.as_ref(),
                    today: self.today(),
                    received_s: issue.attest_received_s,
                };
                Some(attest::enrich(attest, &context)?)
            }
            _ => None,
        };
        let subject = issue.login.map(|login| self.subject(&login.pid));
        let life_s = self.access_token_life_s(issue.client, &issue.chosen.apis);
        let user = match (issue.login, &user, &subject) {
            (Some(login), Some(user), Some(subject)) => Some((login, user, subject.as_str())),
            _ => None,
        };
        let claims = claims::access_token(&AccessTokenParts {
            issuer: &self.config.issuer,
            now_s,
            life_s,
            jti: issue.jti,
            client: issue.client,
            chosen: issue.chosen,
            organisations: &organisations,
            jkt: issue.jkt,
            user,
            journal_id: journal_id.as_deref(),
            attest: attest.as_ref(),
        });
        Ok(Issued {
            token: self.sign("at+jwt", &claims)?,
            life_s,
        })
    }

    pub(crate) fn organisations(
        &self,
        client: &Client,
        sent: &Structures,
    ) -> Result<Organisations, OAuthError> {
        let structure = sent.get(structures::ORGANISATION);
        let directory = self.directory.as_ref();
        let organisations = organisation::resolve(client, structure, directory)?;
        let Tenancy::Multi { delegations, .. } = &client.tenancy else {
            return Ok(organisations);
        };
        // A multi-tenant client that sends the attest only acts for the attest's legal entity (tillitsrammeverk §3).
        let named = sent.get(structures::ATTEST).and_then(legal_entity);
        match (organisations.parent.is_some(), named) {
            (false, Some(named)) if delegations.contains(named) => Ok(Organisations {
                parent: Some(named.to_owned()),
                ..organisations
            }),
            (false, Some(_)) => Err(OAuthError::new(
                Code::AccessDenied,
                "HID-1001: the attest's legal entity has not delegated to the supplier of this client",
            )),
            _ => Ok(organisations),
        }
    }

    pub(crate) fn access_token_life_s(&self, client: &Client, apis: &[&Api]) -> i64 {
        let of_apis = apis.iter().filter_map(|api| api.access_token_s).min();
        client
            .access_token_s
            .or(of_apis)
            .unwrap_or(self.config.access_token_s)
    }

    /// The user in the registers, as of now.
    pub(crate) fn user(&self, login: &Login) -> Result<User, OAuthError> {
        User::find(&login.pid, self.directory.as_ref())
            .ok_or_else(|| OAuthError::grant("the user is no longer in the person register"))
    }

    /// Signs an ID token.
    pub(crate) fn issue_id_token(
        &self,
        client_id: &str,
        granted: &crate::grants::Granted,
        access_token: &str,
        state: Option<&str>,
    ) -> Result<String, OAuthError> {
        let user = self.user(&granted.login)?;
        let subject = self.subject(&granted.login.pid);
        let claims = claims::id_token(&IdTokenParts {
            issuer: &self.config.issuer,
            now_s: self.now_s(),
            client_id,
            user: (&granted.login, &user, &subject),
            scopes: &granted.scopes,
            nonce: granted.nonce.as_deref(),
            at_hash: claims::half_hash(access_token),
            s_hash: state.map(claims::half_hash),
            acr: granted.acr.as_deref(),
        });
        self.sign("JWT", &claims)
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Claims) -> Result<String, OAuthError> {
        self.secrets.sign(typ, claims).map_err(|error| {
            tracing::error!(%error, "helseid: a token could not be signed");
            OAuthError::internal()
        })
    }

    /// What a client knows the person of a login by: health personnel are the same for all, citizens differ by client.
    pub(crate) fn subject_for(&self, login: &Login, client_id: &str) -> String {
        match &self.citizens {
            None => self.subject(&login.pid),
            Some(_) => {
                let pid = login.represents.as_ref().unwrap_or(&login.pid);
                crate::citizen::tokens::pairwise(&self.secrets.subject_key, client_id, pid)
            }
        }
    }

    /// The public pseudonym of a person.
    pub(crate) fn subject(&self, pid: &str) -> String {
        claims::subject(pid, &self.secrets.subject_key)
    }

    /// The current day, for validity in the registers.
    pub(crate) fn today(&self) -> Date {
        Timestamp::from_second(self.now_s())
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_zoned(TimeZone::UTC)
            .date()
    }
}

fn legal_entity(attest: &Map<String, Value>) -> Option<&str> {
    attest
        .get("practitioner")?
        .get("legal_entity")?
        .get("id")?
        .as_str()
}

/// A token or session id: 32 upper-case hex digits.
pub(crate) fn new_id() -> Result<String, OAuthError> {
    Ok(hex_upper(&random::<16>()?))
}
