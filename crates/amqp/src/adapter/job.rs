//! What the broker is asked, as futures of one kind for one queue: nothing is boxed again, nothing is spawned.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;

use super::link::LinkId;
use crate::performative::State;
use crate::port::{Delivery, Disposition, Node};

/// A message that the broker has in hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct InHand {
    pub link: LinkId,
    pub delivery_id: u32,
    /// The client wants no answer.
    pub is_settled: bool,
    pub bytes: usize,
}

/// A settlement under way.
#[derive(Debug)]
pub(super) struct Settling {
    pub link: LinkId,
    pub bytes: usize,
    /// For a receiver that settles second: what it is told when it is done.
    pub answer: Option<(u32, State)>,
}

/// Asked of the broker.
pub(super) enum Job {
    Message(Option<InHand>, BoxFuture<'static, Disposition>),
    Settle(Option<Settling>, BoxFuture<'static, ()>),
    Renew(BoxFuture<'static, ()>),
}

/// Its answer.
pub(super) enum Done {
    Message(InHand, Disposition),
    Settle(Settling),
    Renew,
    /// Polled after its end, which nobody does.
    Nothing,
}

impl Future for Job {
    type Output = Done;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        Poll::Ready(match self.get_mut() {
            Self::Message(about, asked) => {
                let disposition = ready!(asked.as_mut().poll(cx));
                about
                    .take()
                    .map_or(Done::Nothing, |about| Done::Message(about, disposition))
            }
            Self::Settle(about, asked) => {
                ready!(asked.as_mut().poll(cx));
                about.take().map_or(Done::Nothing, Done::Settle)
            }
            Self::Renew(asked) => {
                ready!(asked.as_mut().poll(cx));
                Done::Renew
            }
        })
    }
}

/// A look for messages.
pub(super) struct Look {
    pub link: LinkId,
    pub node: Arc<Node>,
    pub asked: BoxFuture<'static, Vec<Delivery>>,
}

/// A look that has ended.
pub(super) struct Found {
    pub link: LinkId,
    pub node: Arc<Node>,
    pub deliveries: Vec<Delivery>,
}

impl Future for Look {
    type Output = Found;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Found> {
        let this = self.get_mut();
        let deliveries = ready!(this.asked.as_mut().poll(cx));
        Poll::Ready(Found {
            link: this.link,
            node: this.node.clone(),
            deliveries,
        })
    }
}
