//! The exchange as post office: who may send where, and the mailboxes.

use std::net::IpAddr;
use std::time::Duration;

use amqp::port::{Lease, Settlement};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mail::port::{Delivered, Identity, Letter, Post, Refusal};

use super::MessageHandler;

/// Most mails and bytes of one session.
const MAX_LETTERS: usize = 200;
const MAX_BYTES: usize = 96 << 20;
/// Mails taken from the queue at a time.
const STEP: usize = 10;

/// The mailboxes of all organisations, each of which has one user.
#[derive(Clone)]
pub struct PostOffice {
    handler: MessageHandler,
}

impl PostOffice {
    /// The post office in front of a handler.
    #[must_use]
    pub fn new(handler: MessageHandler) -> Self {
        Self { handler }
    }

    fn organisation(&self, who: &Identity) -> Option<u32> {
        self.handler.exchange().inner.users.her_id(&who.user)
    }

    fn take(&self, organisation: u32) -> Vec<Letter> {
        let exchange = self.handler.exchange();
        let mut letters: Vec<Letter> = Vec::new();
        let mut bytes = 0;
        while letters.len() < MAX_LETTERS && bytes < MAX_BYTES {
            let taken = exchange.take_mail(organisation, STEP.min(MAX_LETTERS - letters.len()));
            if taken.is_empty() {
                break;
            }
            for delivery in taken {
                bytes += delivery.message.body.len();
                letters.push(Letter {
                    id: delivery.lease.id,
                    token: delivery.lease.token,
                    mail: delivery.message.body,
                });
            }
        }
        letters.sort_by_key(|letter| letter.id);
        letters
    }
}

fn lease((id, token): (u64, u64)) -> Lease {
    Lease { id, token }
}

impl Post for PostOffice {
    fn authenticate(&self, _peer: IpAddr, user: &str, password: &str) -> Option<Identity> {
        let known = self.handler.exchange().inner.users.log_in(user, password);
        let outcome = if known.is_some() { "ok" } else { "refused" };
        metrics::counter!("meldinger_mail_logins_total", "outcome" => outcome).increment(1);
        known.map(|user| Identity {
            user: user.username,
        })
    }

    /// Anybody sends to a party of the address register (the signature says who it was); who has logged in, only from an own address.
    fn accepts(
        &self,
        who: Option<&Identity>,
        sender: &str,
        recipient: &str,
    ) -> Result<(), Refusal> {
        let addresses = &self.handler.inner.addresses;
        if addresses.organisation(recipient).is_none() {
            return Err(Refusal::UnknownRecipient);
        }
        let is_own = match who {
            None => true,
            Some(who) => {
                sender.is_empty() || addresses.organisation(sender) == self.organisation(who)
            }
        };
        if is_own {
            Ok(())
        } else {
            Err(Refusal::NotAllowed(
                "the sender's address is not one of the organisation that logged in",
            ))
        }
    }

    fn deliver(
        &self,
        _who: Option<&Identity>,
        _sender: &str,
        recipient: &str,
        mail: Bytes,
    ) -> BoxFuture<'static, Delivered> {
        let handler = self.handler.clone();
        let recipient = recipient.to_owned();
        async move {
            let work = move || handler.take_mail(&recipient, &mail);
            let delivered = tokio::task::spawn_blocking(work).await;
            let delivered = delivered.unwrap_or(Delivered::TryLater);
            let outcome = match delivered {
                Delivered::Kept => "kept",
                Delivered::TryLater => "later",
                Delivered::Refused(_) => "refused",
            };
            metrics::counter!("meldinger_mails_total", "outcome" => outcome).increment(1);
            delivered
        }
        .boxed()
    }

    fn open(&self, who: &Identity) -> BoxFuture<'static, Vec<Letter>> {
        let (office, organisation) = (self.clone(), self.organisation(who));
        async move {
            let Some(organisation) = organisation else {
                return Vec::new();
            };
            tokio::task::spawn_blocking(move || office.take(organisation))
                .await
                .unwrap_or_default()
        }
        .boxed()
    }

    fn renew(&self, letters: Vec<(u64, u64)>) -> BoxFuture<'static, ()> {
        let exchange = self.handler.exchange().clone();
        async move {
            let leases: Vec<Lease> = letters.into_iter().map(lease).collect();
            let _ = tokio::task::spawn_blocking(move || exchange.renew_mail(&leases)).await;
        }
        .boxed()
    }

    fn close(&self, removed: Vec<(u64, u64)>, kept: Vec<(u64, u64)>) -> BoxFuture<'static, bool> {
        let exchange = self.handler.exchange().clone();
        async move {
            let work = move || {
                for letter in removed {
                    exchange.settle_mail(lease(letter), &Settlement::Accepted);
                }
                for letter in kept {
                    exchange.settle_mail(lease(letter), &Settlement::Released);
                }
            };
            tokio::task::spawn_blocking(work).await.is_ok()
        }
        .boxed()
    }

    fn renew_every(&self) -> Duration {
        Duration::from_millis(self.handler.exchange().inner.config.lock_ms / 3)
    }
}
