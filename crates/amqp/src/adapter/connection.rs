//! One connection: log-in, then sessions, then links.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerConnectionHandle,
    ListenerSessionHandle, SessionAcceptor, SupportedSenderSettleModes,
};
use fe2o3_amqp::connection::OpenError;
use fe2o3_amqp::link::DEFAULT_CREDIT;
use fe2o3_amqp_types::definitions::{
    ConnectionError, Error as WireError, ReceiverSettleMode, Role, SenderSettleMode,
};
use fe2o3_amqp_types::messaging::{DistributionMode, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::Attach;
use tokio::io::{AsyncRead, AsyncWrite};

use super::convert::wire_error;
use super::sasl::PlainLogin;
use super::tap::{Credits, LinkCredit, Tap};
use super::{Shared, incoming, outgoing};
use crate::port::{AttachError, Identity, Node};

/// Frames buffered between the library's tasks, per connection and session; with the frame size this bounds memory.
const BUFFERED_FRAMES: usize = 512;

/// What the tasks of one connection share.
pub(super) struct Peer {
    pub shared: Arc<Shared>,
    pub who: Identity,
    credits: Arc<Mutex<Credits>>,
    links: AtomicUsize,
}

pub(super) async fn run<Io>(shared: Arc<Shared>, stream: Io, ip: IpAddr)
where
    Io: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
{
    let (stream, credits) = Tap::new(stream);
    let login = PlainLogin::new(shared.broker.clone(), ip);
    let limits = shared.limits;
    let acceptor = ConnectionAcceptor::builder()
        .container_id(shared.container_id.as_str())
        .max_frame_size(limits.max_frame_bytes)
        .channel_max(limits.channel_max)
        .idle_time_out(limits.idle_ms)
        .buffer_size(BUFFERED_FRAMES)
        .sasl_acceptor(login.clone())
        .build();
    let opened = tokio::time::timeout(limits.handshake, acceptor.accept(stream)).await;
    let connection = match opened {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            if matches!(error, OpenError::SaslError { .. }) {
                tracing::info!(peer = %ip, "AMQP log-in refused");
                tokio::time::sleep(limits.failed_login_delay).await;
            } else {
                tracing::debug!(%error, "AMQP connection not opened");
            }
            return;
        }
        Err(_) => {
            tracing::debug!("AMQP handshake timed out");
            return;
        }
    };
    // Whatever the library says: nobody without an identity goes further.
    let Some(who) = login.identity() else { return };
    let peer = Arc::new(Peer {
        shared,
        who,
        credits,
        links: AtomicUsize::new(0),
    });
    serve_sessions(peer, connection).await;
}

async fn serve_sessions(peer: Arc<Peer>, mut connection: ListenerConnectionHandle) {
    let sessions = SessionAcceptor::builder()
        .buffer_size(BUFFERED_FRAMES)
        .build();
    loop {
        let incoming = tokio::select! {
            () = peer.shared.shutdown.wait() => {
                let forced = WireError::new(ConnectionError::ConnectionForced, Some("the hub is stopping; connect again later".to_owned()), None);
                let _ = connection.close_with_error(forced).await;
                return;
            }
            incoming = connection.next_incoming_session() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let channel = incoming.channel;
        match sessions
            .accept_incoming_session(incoming, &mut connection)
            .await
        {
            Ok(session) => {
                tokio::spawn(serve_links(peer.clone(), session, channel));
            }
            Err(error) => tracing::debug!(%error, "AMQP session not begun"),
        }
    }
}

async fn serve_links(peer: Arc<Peer>, mut session: ListenerSessionHandle, channel: u16) {
    while let Some(attach) = session.next_incoming_attach().await {
        let handle = attach.handle.0;
        let credit = peer
            .credits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .claim(channel, handle);
        let opened = peer.open(&attach);
        let Some(place) = LinkPlace::take(&peer) else {
            let refusal = AttachError::new(
                "amqp:resource-limit-exceeded",
                format!(
                    "more than {} links on one connection",
                    peer.shared.limits.max_links
                ),
            );
            refuse(&peer, attach, &mut session, refusal).await;
            continue;
        };
        let (node, credit) = match (opened, credit) {
            (Ok(node), Some(credit)) => (node, credit),
            (Ok(_), None) => {
                let refusal = AttachError::new(
                    "amqp:resource-limit-exceeded",
                    "too many link handles in use on this connection",
                );
                refuse(&peer, attach, &mut session, refusal).await;
                continue;
            }
            (Err(refusal), _) => {
                refuse(&peer, attach, &mut session, refusal).await;
                continue;
            }
        };
        let claim = CreditClaim {
            peer: peer.clone(),
            channel,
            handle,
            credit,
        };
        accept(&peer, attach, &mut session, node, place, claim).await;
    }
    let _ = session.on_end().await;
}

async fn accept(
    peer: &Arc<Peer>,
    mut attach: Attach,
    session: &mut ListenerSessionHandle,
    node: Node,
    place: LinkPlace,
    claim: CreditClaim,
) {
    complete_termini(&mut attach);
    // In mode second we would have to settle after the receiver, which the library never does; our attach says so.
    attach.rcv_settle_mode = ReceiverSettleMode::First;
    let limits = &peer.shared.limits;
    let acceptor = LinkAcceptor::builder()
        .max_message_size(limits.max_message_bytes)
        .verify_incoming_source(false)
        .verify_incoming_target(false)
        .supported_sender_settle_modes(match attach.role {
            Role::Sender => SupportedSenderSettleModes::All,
            Role::Receiver => SupportedSenderSettleModes::UnsettledAndMixed,
        })
        .fallback_sender_settle_mode(SenderSettleMode::Mixed)
        .build();
    match acceptor.accept_incoming_attach(attach, session).await {
        Ok(LinkEndpoint::Receiver(mut receiver)) => {
            // The library has granted its own credit already. Taking some of it back would cut off who has used it.
            if limits.sender_credit > DEFAULT_CREDIT
                && receiver.set_credit(limits.sender_credit).await.is_err()
            {
                return;
            }
            let peer = peer.clone();
            tokio::spawn(async move {
                incoming::run(&peer, receiver, node).await;
                drop((place, claim));
            });
        }
        Ok(LinkEndpoint::Sender(sender)) => {
            let peer = peer.clone();
            tokio::spawn(async move {
                outgoing::run(&peer, sender, node, claim.credit.clone()).await;
                drop((place, claim));
            });
        }
        Err(error) => tracing::debug!(%error, "AMQP link not attached"),
    }
}

/// Answers with an attach without a terminus of ours, and closes with the reason (AMQP part 2 §2.6.3).
async fn refuse(
    peer: &Arc<Peer>,
    mut attach: Attach,
    session: &mut ListenerSessionHandle,
    refusal: AttachError,
) {
    tracing::info!(user = %peer.who.user, condition = %refusal.condition, description = %refusal.description, "AMQP link refused");
    complete_termini(&mut attach);
    // The library leaves out a terminus that it was asked to make dynamically and may not.
    match attach.role {
        Role::Sender => {
            attach.target = Some(Box::new(TargetArchetype::Target(Target {
                dynamic: true,
                ..Target::default()
            })))
        }
        Role::Receiver => {
            attach.source = Some(Box::new(Source {
                dynamic: true,
                ..Source::default()
            }))
        }
    }
    let acceptor = LinkAcceptor::builder()
        .verify_incoming_source(false)
        .verify_incoming_target(false)
        .build();
    let error = wire_error(&refusal.condition, &refusal.description);
    match acceptor.accept_incoming_attach(attach, session).await {
        Ok(LinkEndpoint::Receiver(receiver)) => {
            tokio::spawn(async move { receiver.close_with_error(error).await });
        }
        Ok(LinkEndpoint::Sender(sender)) => {
            tokio::spawn(async move { sender.close_with_error(error).await });
        }
        Err(error) => tracing::debug!(%error, "AMQP link not refused in form"),
    }
}

/// Clients may leave out the terminus of their own side; the library wants both.
fn complete_termini(attach: &mut Attach) {
    let source = attach.source.get_or_insert_default();
    // The answer names the filters that are in force: there are none.
    source.filter = None;
    if attach.target.is_none() {
        attach.target = Some(Box::new(TargetArchetype::Target(Target::default())));
    }
}

impl Peer {
    /// Lets the library answer the drain request of this link.
    pub(super) fn drained(&self, credit: &LinkCredit) {
        if let Some(request) = credit.drained() {
            self.credits
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .inject(&request);
        }
    }

    fn open(&self, attach: &Attach) -> Result<Node, AttachError> {
        let no_address = || {
            AttachError::new(
                "amqp:not-allowed",
                "the link has no address; give the name of a queue",
            )
        };
        match attach.role {
            Role::Sender => match attach.target.as_deref() {
                Some(TargetArchetype::Target(target)) if !target.dynamic => {
                    let address = target
                        .address
                        .as_deref()
                        .filter(|address| !address.is_empty())
                        .ok_or_else(no_address)?;
                    self.shared.broker.open_target(&self.who, address)
                }
                Some(TargetArchetype::Target(_)) => Err(AttachError::new(
                    "amqp:not-implemented",
                    "temporary queues are not offered",
                )),
                _ => Err(no_address()),
            },
            Role::Receiver => match attach.source.as_deref() {
                // Accepting what was only looked at would take it away.
                Some(source) if source.distribution_mode == Some(DistributionMode::Copy) => {
                    Err(AttachError::new(
                        "amqp:not-implemented",
                        "browsing a queue is not offered; receive from it, and release what shall stay",
                    ))
                }
                Some(source) if !source.dynamic => {
                    let address = source
                        .address
                        .as_deref()
                        .filter(|address| !address.is_empty())
                        .ok_or_else(no_address)?;
                    self.shared.broker.open_source(&self.who, address)
                }
                Some(_) => Err(AttachError::new(
                    "amqp:not-implemented",
                    "temporary queues are not offered",
                )),
                None => Err(no_address()),
            },
        }
    }
}

/// A counted place among the links of a connection.
pub(super) struct LinkPlace {
    peer: Arc<Peer>,
}

impl LinkPlace {
    fn take(peer: &Arc<Peer>) -> Option<Self> {
        let most = peer.shared.limits.max_links;
        peer.links
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |links| {
                (links < most).then_some(links + 1)
            })
            .ok()
            .map(|_| Self { peer: peer.clone() })
    }
}

impl Drop for LinkPlace {
    fn drop(&mut self) {
        self.peer.links.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Forgets the link's credit when it ends.
struct CreditClaim {
    peer: Arc<Peer>,
    channel: u16,
    handle: u32,
    credit: Arc<LinkCredit>,
}

impl Drop for CreditClaim {
    fn drop(&mut self) {
        let mut credits = self
            .peer
            .credits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        credits.forget(self.channel, self.handle, &self.credit);
    }
}
