//! A link on which the client sends.

use std::sync::Arc;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::link::{DispositionError, RecvError};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use super::connection::Peer;
use super::convert::{WireBody, disposition_to_wire, from_wire, wire_error};
use crate::port::{Disposition, Node};

async fn answer_all(
    receiver: &Receiver,
    done: Vec<(DeliveryInfo, Disposition)>,
) -> Result<(), DispositionError> {
    let (accepted, others): (Vec<_>, Vec<_>) = done
        .into_iter()
        .partition(|(_, disposition)| *disposition == Disposition::Accepted);
    if !accepted.is_empty() {
        receiver
            .accept_all(accepted.into_iter().map(|(info, _)| info))
            .await?;
    }
    for (info, disposition) in others {
        receiver
            .dispose(info, disposition_to_wire(disposition))
            .await?;
    }
    Ok(())
}

/// Takes messages until the link ends; several may be in the broker's hands at once, bounded by the credit given.
pub(super) async fn run(peer: &Arc<Peer>, mut receiver: Receiver, node: Node) {
    let mut working: FuturesUnordered<BoxFuture<'static, (DeliveryInfo, Disposition)>> =
        FuturesUnordered::new();
    let stopping = peer.shared.shutdown.wait();
    tokio::pin!(stopping);
    let end = loop {
        tokio::select! {
            Some(first) = working.next(), if !working.is_empty() => {
                // One flush of the store answers many; those in a row go out in one frame.
                let mut done = vec![first];
                while let Some(Some(next)) = working.next().now_or_never() {
                    done.push(next);
                }
                if answer_all(&receiver, done).await.is_err() {
                    break None;
                }
            }
            received = receiver.recv::<WireBody>() => match received {
                Ok(delivery) => {
                    let (info, message) = delivery.into_parts();
                    match from_wire(message) {
                        Ok(message) => {
                            let answer = peer.shared.broker.on_message(&peer.who, &node, message);
                            working.push(Box::pin(async move { (info, answer.await) }));
                        }
                        Err(reason) => {
                            let refused = Disposition::Rejected { condition: "amqp:decode-error".to_owned(), description: reason.to_owned() };
                            if receiver.dispose(info, disposition_to_wire(refused)).await.is_err() {
                                break None;
                            }
                        }
                    }
                }
                // The delivery cannot be named any more, so the link ends; the client learns why and sends again.
                Err(RecvError::MessageDecode(_)) => break Some(wire_error("amqp:decode-error", "a message could not be decoded")),
                Err(_) => break None,
            },
            () = &mut stopping => break Some(wire_error("amqp:link:detach-forced", "the hub is stopping")),
        }
    };
    // What the broker has in hand is finished; its answer reaches the client only if the link still stands.
    while let Some((info, disposition)) = working.next().await {
        let _ = receiver
            .dispose(info, disposition_to_wire(disposition))
            .await;
    }
    let _ = match end {
        Some(error) => receiver.close_with_error(error).await,
        None => receiver.close().await,
    };
}
