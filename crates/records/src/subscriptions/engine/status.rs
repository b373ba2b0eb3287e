//! The status of a subscription: what begins with it, and new versions of the resource when the server turns it.

use super::{Engine, Trouble, lost};
use crate::outcome::Failure;
use crate::render::Members;
use crate::subscriptions::Running;
use crate::subscriptions::definition::{Channel, Definition, Status};
use crate::subscriptions::hook::{Control, Hook};
use crate::write::prepare_doc;
use bytes::Bytes;
use fhir::{Doc, Limits};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Commit, CommitError, Expect, Op, Put, PutId, Record, Vno};

impl Engine {
    /// Starts what a subscription's status asks for: the handshake, or its deliverer.
    pub(super) fn begin(&mut self, id: &str) {
        let Some(sub) = self.subs.get_mut(id) else {
            return;
        };
        if let Some(task) = sub.task.take() {
            task.abort();
        }
        let Some(definition) = sub.definition.clone() else {
            return;
        };
        let is_hook = matches!(definition.channel, Channel::Hook { .. });
        let hook = Hook {
            repository: self.repository.clone(),
            config: self.shared.config.clone(),
            ledger: self.ledger.clone(),
            client: self.client.clone(),
            permits: self.permits.clone(),
            running: Arc::new(Running {
                definition: definition.clone(),
                count: sub.count.clone(),
            }),
            vno: sub.state.vno,
            control: self.sender.clone(),
        };
        match definition.status {
            Status::Requested if is_hook && definition.is_topic() => {
                sub.task = Some(self.runtime.spawn(hook.shake_hands()).abort_handle());
            }
            Status::Requested => {
                let message = Control::Ready {
                    id: id.to_owned(),
                    vno: sub.state.vno,
                };
                let _ = self.sender.send(message);
            }
            Status::Active if is_hook => {
                sub.task = Some(self.runtime.spawn(hook.deliver()).abort_handle());
            }
            _ => {}
        }
    }

    pub(super) fn control(&mut self, message: Control) -> Result<(), Trouble> {
        match message {
            Control::Ready { id, vno } => self.turn(&id, vno, Status::Active, None),
            Control::Failed { id, vno, why } => {
                tracing::info!(%id, %why, "a subscription goes into error");
                self.turn(&id, vno, Status::Error, Some(&why))
            }
        }
    }

    /// Turns subscriptions off whose time is over.
    pub(super) fn ends(&mut self) -> Result<(), Trouble> {
        if self.looked_at_ends.elapsed() < Duration::from_secs(1) {
            return Ok(());
        }
        self.looked_at_ends = Instant::now();
        let now = edge::clock::real_now_us();
        let over: Vec<(String, u32)> = self
            .subs
            .iter()
            .filter(|(_, s)| {
                s.definition.as_ref().is_some_and(|d| {
                    d.end.is_some_and(|end| end <= now)
                        && matches!(d.status, Status::Active | Status::Requested)
                })
            })
            .map(|(id, s)| (id.clone(), s.state.vno))
            .collect();
        for (id, vno) in over {
            self.turn(&id, vno, Status::Off, None)?;
        }
        Ok(())
    }

    /// Writes a new version of the Subscription with another status. Nothing happens when it was changed meanwhile: the
    /// feed brings that.
    fn turn(
        &mut self,
        id: &str,
        vno: u32,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), Trouble> {
        let Some(sub) = self.subs.get(id).filter(|s| s.state.vno == vno) else {
            return Ok(());
        };
        let repository = self.repository.clone();
        let repo = repository.config.repo;
        let grant = repository.config.gate.hub_grant();
        let snapshot = repository.snapshot()?;
        let found = snapshot.read(&grant, repo, "Subscription", id)?;
        let Some(record) = found.filter(|r| r.head.vno.0 == vno && r.head.op != Op::Delete) else {
            return Ok(());
        };
        let is_so_already = sub.definition.as_ref().is_some_and(|d| d.status == status);
        if is_so_already {
            return Ok(());
        }
        let mut state = sub.state.clone();
        state.vno = vno + 1;
        state.is_on = status == Status::Active;
        state.since = match status {
            Status::Off => None,
            _ => state.since.or(Some(snapshot.seq().0)),
        };
        if status == Status::Error && sub.state.since.is_none() {
            // It never began; there is nothing to count.
            state.since = None;
        }
        let put = self.with_status(&record, status, error)?;
        let mut expect = vec![Expect::Version {
            repo,
            rtype: "Subscription".to_owned(),
            id: id.to_owned(),
            vno: Vno(vno),
        }];
        self.ledger
            .set_state(id, sub.raw.as_deref(), &state, &mut expect);
        if status == Status::Active && self.ledger.sent(&snapshot, id)?.is_none() {
            self.ledger.set_sent(id, None, state.count, &mut expect);
        }
        let commit = Commit {
            expect,
            put: vec![put],
            ..Commit::default()
        };
        match repository.config.store.commit(commit) {
            Ok(_) => {}
            Err(CommitError::Refused {
                refusal: store::Refusal::Version { .. },
                ..
            }) => return Ok(()),
            Err(error) => return Err(lost(error)),
        }
        if let Some(sub) = self.subs.get_mut(id) {
            sub.raw = serde_json::to_vec(&state).ok();
            sub.state = state;
            if let Some(old) = sub.definition.take() {
                sub.definition = Some(Arc::new(Definition {
                    status,
                    ..(*old).clone()
                }));
            }
        }
        self.begin(id);
        self.show();
        Ok(())
    }

    /// The resource with another status and error; everything else stays as written.
    fn with_status(
        &self,
        record: &Record,
        status: Status,
        error: Option<&str>,
    ) -> Result<Put, Failure> {
        let raw = |text: &str| {
            serde_json::to_string(text)
                .and_then(RawValue::from_string)
                .map_err(|_| Failure::internal())
        };
        let Members(mut members) =
            serde_json::from_slice(&record.body).map_err(|_| Failure::internal())?;
        members.retain(|(name, _)| !matches!(name.as_str(), "error" | "_error"));
        for (name, value) in &mut members {
            if name == "status" {
                *value = raw(status.code())?;
            }
        }
        if let Some(error) = error {
            let at = members
                .iter()
                .position(|(name, _)| name == "channel")
                .unwrap_or(members.len());
            members.insert(at, ("error".to_owned(), raw(error)?));
        }
        let mut body = Vec::with_capacity(record.body.len() + 64);
        for (index, (name, value)) in members.iter().enumerate() {
            body.push(if index == 0 { b'{' } else { b',' });
            body.extend_from_slice(
                serde_json::Value::from(name.as_str())
                    .to_string()
                    .as_bytes(),
            );
            body.push(b':');
            body.extend_from_slice(value.get().as_bytes());
        }
        body.push(b'}');
        let doc = Doc::parse_json(Bytes::from(body), &Limits::default())
            .map_err(|findings| Failure::findings(&findings))?;
        let mut put = prepare_doc(
            self.repository.config.repo,
            "Subscription",
            PutId::Given(record.head.id.clone()),
            Op::Update,
            &doc,
            Some(&self.repository.options),
        )
        .map_err(|findings| Failure::findings(&findings))?;
        put.privacy = record.head.privacy.clone();
        Ok(put)
    }
}
