//! What the service's users have set up for their HER-ids: one record each.

use serde::{Deserialize, Serialize};
use store::{Commit, CommitError, Expect, Op, Privacy, Put, PutId, Vno};

use crate::exchange::{ATTEMPTS, Exchange, ExchangeError};
use crate::tracks::PACK;

const RTYPE: &str = "MshConfiguration";

/// What is set up for a HER-id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Configuration {
    /// HER-id.
    pub her_id: u32,
    /// Only the client that set it up may use it.
    pub client_locked: bool,
    /// Whether messages that a filter refused are told of.
    pub receive_refused_message_notices: bool,
    /// Functions (8279) of messages that are refused.
    pub refused_functions: Vec<String>,
    /// Client that set it up.
    pub client: String,
    /// Set up by asking for messages in version 2, not by version 3.
    pub is_implicit: bool,
}

impl Configuration {
    /// Whether a message of this function is refused before it is taken.
    pub fn refuses(&self, function: &str) -> bool {
        self.refused_functions
            .iter()
            .any(|refused| refused.eq_ignore_ascii_case(function))
    }
}

/// The records.
#[derive(Clone)]
pub(crate) struct Settings {
    exchange: Exchange,
}

impl Settings {
    pub fn new(exchange: &Exchange) -> Self {
        Self {
            exchange: exchange.clone(),
        }
    }

    fn read(&self, her_id: u32) -> Result<Option<(Configuration, Vno)>, ExchangeError> {
        let tracks = &self.exchange.inner.tracks;
        let found = tracks.other(RTYPE, &her_id.to_string())?;
        Ok(found.and_then(|(body, vno)| {
            let mut configuration: Configuration = serde_json::from_slice(&body).ok()?;
            configuration.her_id = her_id;
            Some((configuration, vno))
        }))
    }

    pub fn get(&self, her_id: u32) -> Result<Option<Configuration>, ExchangeError> {
        Ok(self.read(her_id)?.map(|found| found.0))
    }

    /// Keeps a configuration; `allowed` looks at what is there.
    pub fn put(
        &self,
        configuration: &Configuration,
        allowed: impl Fn(Option<&Configuration>) -> bool,
    ) -> Result<bool, ExchangeError> {
        self.change(configuration.her_id, |found| {
            allowed(found).then(|| Some(configuration.clone()))
        })
    }

    /// The same for one that is there only because its user reads.
    pub fn put_first(&self, her_id: u32, client: &str) -> Result<(), ExchangeError> {
        self.change(her_id, |found| {
            found.is_none().then(|| {
                Some(Configuration {
                    her_id,
                    client: client.to_owned(),
                    is_implicit: true,
                    ..Configuration::default()
                })
            })
        })?;
        Ok(())
    }

    /// Takes a configuration away.
    pub fn remove(
        &self,
        her_id: u32,
        allowed: impl Fn(Option<&Configuration>) -> bool,
    ) -> Result<bool, ExchangeError> {
        self.change(her_id, |found| allowed(found).then_some(None))
    }

    /// `decide` gives what there shall be (`None` = nothing), or nothing to do.
    fn change(
        &self,
        her_id: u32,
        decide: impl Fn(Option<&Configuration>) -> Option<Option<Configuration>>,
    ) -> Result<bool, ExchangeError> {
        let inner = &self.exchange.inner;
        for _ in 0..ATTEMPTS {
            let found = self.read(her_id)?;
            let Some(wanted) = decide(found.as_ref().map(|f| &f.0)) else {
                return Ok(false);
            };
            let (repo, rtype, id) = (inner.tracks.repo(), RTYPE.to_owned(), her_id.to_string());
            let expect = match &found {
                None => Expect::Absent {
                    repo,
                    rtype: rtype.clone(),
                    id: id.clone(),
                },
                Some((_, vno)) => Expect::Version {
                    repo,
                    rtype: rtype.clone(),
                    id: id.clone(),
                    vno: *vno,
                },
            };
            let op = match (&found, &wanted) {
                (None, None) => return Ok(true),
                (None, Some(_)) => Op::Create,
                (Some(_), Some(_)) => Op::Update,
                (Some(_), None) => Op::Delete,
            };
            let body = wanted
                .as_ref()
                .and_then(|w| serde_json::to_vec(w).ok())
                .unwrap_or_default();
            let put = Put {
                repo,
                rtype,
                id: PutId::Given(id),
                op,
                body: body.into(),
                keys: Vec::new(),
                pack: PACK,
                persons: Vec::new(),
                privacy: Privacy {
                    controller: "MELDINGER".to_owned(),
                    ..Privacy::default()
                },
                blobs: Vec::new(),
            };
            let commit = Commit {
                expect: vec![expect],
                put: vec![put],
                ..Commit::default()
            };
            match inner.store.commit(commit) {
                Ok(_) => return Ok(true),
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ExchangeError::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_refuse_what_they_name() {
        let of = Configuration {
            refused_functions: vec!["epikrise".to_owned()],
            ..Configuration::default()
        };
        assert!(of.refuses("EPIKRISE"));
        assert!(!of.refuses("SVAR_LAB"));
        assert!(!Configuration::default().refuses("EPIKRISE"));
    }
}
