//! Which of several processes on one store works: a claim with a lease.

use super::Engine;
use crate::outcome::Failure;
use std::time::Instant;
use store::{Claim, Commit, CommitError, Expect};

impl Engine {
    /// Whether this process is the one that works; takes or renews the claim where several share the store.
    pub(super) fn lead(&mut self) -> Result<bool, Failure> {
        let lease = self.shared.config.lease;
        let now = Instant::now();
        if self.shared.config.is_alone
            || self
                .leads_until
                .is_some_and(|until| until > now + lease / 2)
        {
            return Ok(true);
        }
        let store = &self.repository.config.store;
        let held = store.snapshot()?.claim(&self.ledger.lead, b"")?;
        if held.as_ref().is_some_and(|v| *v != self.token) {
            self.leads_until = None;
            return Ok(false);
        }
        let mut expect = Vec::new();
        if held.is_some() {
            expect.push(self.held());
        }
        let lease_us = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        expect.push(Expect::Claim(Claim {
            space: self.ledger.lead.clone(),
            key: Vec::new(),
            value: self.token.clone(),
            until: Some(edge::clock::real_now_us().saturating_add(lease_us)),
        }));
        let commit = Commit {
            expect,
            ..Commit::default()
        };
        match store.commit(commit) {
            Ok(_) => {
                self.leads_until = Some(now + lease);
                Ok(true)
            }
            Err(CommitError::Refused { .. }) => {
                self.leads_until = None;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn held(&self) -> Expect {
        Expect::ClaimHeld {
            space: self.ledger.lead.clone(),
            key: Vec::new(),
            value: Some(self.token.clone()),
            release: true,
        }
    }

    /// Lets another process work at once.
    pub(super) fn resign(&mut self) {
        self.subs.clear();
        if self.leads_until.is_some() && !self.shared.config.is_alone {
            let commit = Commit {
                expect: vec![self.held()],
                ..Commit::default()
            };
            let _ = self.repository.config.store.commit(commit);
        }
    }
}
