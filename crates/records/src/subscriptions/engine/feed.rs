//! What an entry of the feed does: it fires subscriptions, or changes subscriptions and topics themselves.

use super::{Batch, Engine, Sub, Trouble};
use crate::outcome::Failure;
use crate::subscriptions::definition::{Channel, Definition, Status};
use crate::subscriptions::hook::Control;
use crate::subscriptions::ledger::{Event, State};
use crate::subscriptions::matching::Change;
use crate::subscriptions::notify::{self, Kind, Notice};
use crate::subscriptions::topic::Topics;
use bytes::Bytes;
use std::sync::Arc;
use store::{Enqueue, FeedEntry, FeedEvent, Granted, Op, Seq, Snapshot, Vno};
use tokio::sync::watch;

impl Engine {
    pub(super) fn entry(
        &mut self,
        snapshot: &Snapshot,
        granted: &Granted,
        entry: &FeedEntry,
        end: Seq,
        batch: &mut Batch,
    ) -> Result<(), Trouble> {
        let FeedEvent::Version {
            repo,
            rtype,
            rid,
            id,
            vno,
            op,
            ..
        } = &entry.event
        else {
            return Ok(());
        };
        if *repo != self.repository.config.repo {
            return Ok(());
        }
        match rtype.as_str() {
            "Subscription" => self.defined(snapshot, id, *vno, *op, batch)?,
            "Basic" => self.topics_changed(snapshot)?,
            _ => {}
        }
        let repository = self.repository.clone();
        let change = Change::new(
            &repository,
            snapshot,
            granted,
            (rtype, id),
            *rid,
            *vno,
            *op,
            end,
        );
        let mut fired = Vec::new();
        for (sub_id, sub) in &self.subs {
            let Some(definition) = &sub.definition else {
                continue;
            };
            let counts = sub.state.since.is_some_and(|since| entry.seq.0 > since);
            if !counts || !definition.watch.concerns(rtype) {
                continue;
            }
            match change.fires(&definition.watch) {
                Ok(false) => {}
                Ok(true) => fired.push(sub_id.clone()),
                Err(failure) if failure.status.is_server_error() => return Err(failure.into()),
                Err(failure) if definition.status != Status::Error => {
                    let why = failure.issues.first().map_or("", |i| i.text.as_str());
                    self.fail(sub_id, sub.state.vno, format!("criteria: {why}"));
                }
                Err(_) => {}
            }
        }
        for sub_id in fired {
            self.count(snapshot, granted, &sub_id, &change, entry.at, batch)?;
        }
        Ok(())
    }

    fn fail(&self, id: &str, vno: u32, why: String) {
        let message = Control::Failed {
            id: id.to_owned(),
            vno,
            why,
        };
        let _ = self.sender.send(message);
    }

    /// Gives the change its number.
    pub(super) fn count(
        &mut self,
        snapshot: &Snapshot,
        granted: &Granted,
        sub_id: &str,
        change: &Change<'_>,
        at: i64,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        let Some(sub) = self.subs.get_mut(sub_id) else {
            return Ok(());
        };
        sub.state.count += 1;
        let event = Event {
            number: sub.state.count,
            at,
            rtype: change.rtype.to_owned(),
            id: change.id.to_owned(),
            vno: change.vno.0,
            op: change.op,
        };
        self.ledger.push(
            snapshot,
            sub_id,
            &event,
            &mut batch.taken,
            &mut batch.expect,
        )?;
        batch.dirty.insert(sub_id.to_owned());
        metrics::counter!("helsenav_subscription_events_total").increment(1);
        let (definition, vno) = (sub.definition.clone(), sub.state.vno);
        if let Some(definition) = definition
            && let Channel::Queue(queue) = &definition.channel
            && definition.status == Status::Active
        {
            let stats = change.repository.config.store.queue_stats(queue)?;
            let waiting = stats.ready + stats.delayed + stats.leased + stats.dead;
            let here = batch.enqueue.iter().filter(|e| &e.queue == queue).count() as u64;
            if waiting + here >= self.shared.config.max_queued {
                self.fail(sub_id, vno, "the queue is full".to_owned());
                return Ok(());
            }
            let message = self.message(snapshot, granted, &definition, queue, &event)?;
            batch.enqueue.push(message);
        }
        Ok(())
    }

    /// A message for a queue of the hub: the notification, with its number in the headers.
    pub(super) fn message(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        definition: &Definition,
        queue: &str,
        event: &Event,
    ) -> Result<Enqueue, Failure> {
        let notice = Notice::of(definition, Kind::Event, event.number);
        let events = std::slice::from_ref(event);
        let body = notify::bundle(&self.repository, snapshot, granted, &notice, events)?;
        let body = match definition.mime {
            Some(mime) => notify::in_form(body, mime),
            None => body,
        };
        let headers = serde_json::json!({
            "subscription": definition.id,
            "topic": definition.topic,
            "event-number": event.number,
            "content-type": definition.mime.map_or("application/fhir+json", |m| m.media()),
        });
        Ok(Enqueue {
            queue: queue.to_owned(),
            headers: Bytes::from(headers.to_string()),
            body,
            ..Enqueue::default()
        })
    }

    /// A Subscription resource was written, deleted or erased.
    fn defined(
        &mut self,
        snapshot: &Snapshot,
        id: &str,
        vno: Vno,
        op: Op,
        batch: &mut Batch,
    ) -> Result<(), Trouble> {
        if matches!(op, Op::Delete | Op::Purge) {
            return self.forget(id, batch);
        }
        if self.subs.get(id).is_some_and(|s| s.state.vno >= vno.0) {
            // Our own write, known already.
            return Ok(());
        }
        let repo = self.repository.config.repo;
        let grant = self.repository.config.gate.hub_grant();
        let Some(record) = snapshot.vread(&grant, repo, "Subscription", id, vno)? else {
            return Ok(());
        };
        let read = self.read(&record);
        let (mut state, raw, count) = match self.subs.remove(id) {
            Some(mut sub) => (
                std::mem::take(&mut sub.state),
                sub.raw.take(),
                sub.count.clone(),
            ),
            None => (State::default(), None, watch::channel(0).0),
        };
        state.vno = vno.0;
        state.is_on = false;
        let is_on = matches!(
            read.as_ref().map(|d| d.status),
            Ok(Status::Requested | Status::Active)
        );
        if !is_on {
            state.since = None;
        }
        let definition = match read {
            // Active is the server's word: a client that writes it asks for it.
            Ok(mut definition) => {
                if is_on {
                    definition.status = Status::Requested;
                }
                Some(Arc::new(definition))
            }
            Err(failure) => {
                let why = failure.issues.first().map_or("", |i| i.text.as_str());
                self.fail(id, vno.0, why.to_owned());
                None
            }
        };
        let sub = Sub {
            state,
            raw,
            definition,
            count,
            task: None,
        };
        self.subs.insert(id.to_owned(), sub);
        batch.dirty.insert(id.to_owned());
        batch.begin.insert(id.to_owned());
        Ok(())
    }

    /// Frees what is kept of a subscription that is gone.
    fn forget(&mut self, id: &str, batch: &mut Batch) -> Result<(), Trouble> {
        // What this batch has gathered must be in the store before it can be undone.
        self.commit(batch)?;
        self.subs.remove(id);
        let now = self.repository.snapshot()?;
        self.ledger.forget(&now, id, &mut batch.expect)?;
        batch.ends_here = true;
        self.show();
        Ok(())
    }

    fn topics_changed(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        let repository = self.repository.clone();
        let grant = repository.config.gate.hub_grant();
        self.topics = Topics::load(&repository, snapshot, &grant)?;
        let ids: Vec<(String, u32)> = self
            .subs
            .iter()
            .filter(|(_, s)| s.definition.as_ref().is_none_or(|d| d.is_topic()))
            .map(|(id, s)| (id.clone(), s.state.vno))
            .collect();
        for (id, vno) in ids {
            let repo = repository.config.repo;
            let found = snapshot.vread(&grant, repo, "Subscription", &id, Vno(vno))?;
            let Some(record) = found else { continue };
            let read = self.read(&record);
            let Some(sub) = self.subs.get_mut(&id) else {
                continue;
            };
            match read {
                Ok(mut definition) => {
                    if let Some(old) = &sub.definition {
                        definition.status = old.status;
                    }
                    sub.definition = Some(Arc::new(definition));
                }
                Err(_) if sub.state.is_on => {
                    self.fail(&id, vno, "its topic is not there any more".to_owned());
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}
