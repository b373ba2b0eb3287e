//! The client's end: connect, send and wait for the outcome, receive and settle. For actors and tests.
//!
//! A task owns the connection; what is open of it (a [`Client`], its senders and receivers) tells the task what to do. It ends when
//! the last of them is dropped.

mod connection;
mod link;

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::performative::Role;
use crate::port::{Message, Settlement};

/// What went wrong at the client's end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The server refused user or password.
    #[error("log-in refused")]
    Login,
    /// The link or session ended, with the server's reason if it gave one.
    #[error("link ended: {0}")]
    Link(String),
    /// A message that cannot be read.
    #[error("message not readable: {0}")]
    Message(String),
}

/// How to connect over TLS.
pub struct Tls {
    /// Connector with the trusted roots.
    pub connector: TlsConnector,
    /// Name the server's certificate must carry.
    pub server_name: ServerName<'static>,
}

/// A link, as the task numbers it.
type LinkNumber = u64;

/// What the task is told to do.
enum Command {
    Attach {
        role: Role,
        address: String,
        name: String,
        /// Of a receiver: messages that it holds at most.
        credit: u32,
        done: oneshot::Sender<Result<Attached, ClientError>>,
    },
    Send {
        link: LinkNumber,
        message: Box<Message>,
        done: oneshot::Sender<Result<Settlement, ClientError>>,
    },
    Settle {
        link: LinkNumber,
        delivery_id: u32,
        settlement: Settlement,
    },
    Detach {
        link: LinkNumber,
        done: Option<oneshot::Sender<()>>,
    },
    Close {
        done: oneshot::Sender<Result<(), ClientError>>,
    },
}

/// A link that stands.
struct Attached {
    link: LinkNumber,
    /// Why it has ended, once it has.
    ended: watch::Receiver<Option<ClientError>>,
    messages: mpsc::UnboundedReceiver<Result<Received, ClientError>>,
}

fn gone() -> ClientError {
    ClientError::Link("the connection has ended".to_owned())
}

/// An open connection.
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`ClientError::Connect`], [`ClientError::Login`].
    pub async fn connect(
        address: SocketAddr,
        user: &str,
        password: &str,
        tls: Option<Tls>,
    ) -> Result<Self, ClientError> {
        let connect = |error: std::io::Error| ClientError::Connect(error.to_string());
        let stream = TcpStream::connect(address).await.map_err(connect)?;
        let _ = stream.set_nodelay(true);
        match tls {
            None => Self::open(stream, user, password).await,
            Some(tls) => {
                let stream = tls
                    .connector
                    .connect(tls.server_name, stream)
                    .await
                    .map_err(connect)?;
                Self::open(stream, user, password).await
            }
        }
    }

    async fn open<Io>(stream: Io, user: &str, password: &str) -> Result<Self, ClientError>
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connection = connection::Connection::open(stream, user, password).await?;
        let (commands, told) = mpsc::unbounded_channel();
        tokio::spawn(connection.run(told));
        Ok(Self { commands })
    }

    /// Opens a link to send to `address`, in a session of its own.
    ///
    /// # Errors
    /// [`ClientError::Link`] with the server's reason.
    pub async fn sender(
        &mut self,
        address: &str,
        link_name: &str,
    ) -> Result<ClientSender, ClientError> {
        let attached = self.attach(Role::Sender, address, link_name, 0).await?;
        Ok(ClientSender {
            handle: Handle {
                link: attached.link,
                commands: self.commands.clone(),
            },
            ended: attached.ended,
        })
    }

    /// Opens a link to receive from `address`, in a session of its own, with this much credit at a time.
    ///
    /// # Errors
    /// [`ClientError::Link`] with the server's reason.
    pub async fn receiver(
        &mut self,
        address: &str,
        link_name: &str,
        credit: u32,
    ) -> Result<ClientReceiver, ClientError> {
        let attached = self
            .attach(Role::Receiver, address, link_name, credit)
            .await?;
        Ok(ClientReceiver {
            handle: Handle {
                link: attached.link,
                commands: self.commands.clone(),
            },
            ended: attached.ended,
            messages: attached.messages,
        })
    }

    async fn attach(
        &mut self,
        role: Role,
        address: &str,
        name: &str,
        credit: u32,
    ) -> Result<Attached, ClientError> {
        let (done, answer) = oneshot::channel();
        let attach = Command::Attach {
            role,
            address: address.to_owned(),
            name: name.to_owned(),
            credit,
            done,
        };
        self.commands.send(attach).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Closes the connection in order.
    ///
    /// # Errors
    /// [`ClientError::Connect`] when the server had something to say against it.
    pub async fn close(self) -> Result<(), ClientError> {
        let (done, answer) = oneshot::channel();
        // A connection that has ended is closed.
        if self.commands.send(Command::Close { done }).is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

/// A link's number, and the way to its task. The link ends with it.
struct Handle {
    link: LinkNumber,
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    async fn close(&self) {
        let (done, answer) = oneshot::channel();
        let detach = Command::Detach {
            link: self.link,
            done: Some(done),
        };
        if self.commands.send(detach).is_ok() {
            let _ = answer.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Detach {
            link: self.link,
            done: None,
        });
    }
}

/// A link to send on.
pub struct ClientSender {
    handle: Handle,
    ended: watch::Receiver<Option<ClientError>>,
}

impl ClientSender {
    /// Sends one message and waits for its outcome.
    ///
    /// # Errors
    /// [`ClientError::Link`] when the link ended first.
    pub async fn send(&mut self, message: Message) -> Result<Settlement, ClientError> {
        let answer = self.begin(message)?;
        self.outcome(answer).await
    }

    /// Sends many messages at once and waits for all outcomes, in order.
    ///
    /// # Errors
    /// [`ClientError::Link`] when the link ended first.
    pub async fn send_all(
        &mut self,
        messages: Vec<Message>,
    ) -> Result<Vec<Settlement>, ClientError> {
        let mut pending = Vec::with_capacity(messages.len());
        for message in messages {
            pending.push(self.begin(message)?);
        }
        let mut outcomes = Vec::with_capacity(pending.len());
        for answer in pending {
            outcomes.push(self.outcome(answer).await?);
        }
        Ok(outcomes)
    }

    fn begin(
        &self,
        message: Message,
    ) -> Result<oneshot::Receiver<Result<Settlement, ClientError>>, ClientError> {
        let (done, answer) = oneshot::channel();
        let send = Command::Send {
            link: self.handle.link,
            message: Box::new(message),
            done,
        };
        let told = self.handle.commands.send(send);
        told.map_err(|_| reason(&self.ended))?;
        Ok(answer)
    }

    async fn outcome(
        &self,
        answer: oneshot::Receiver<Result<Settlement, ClientError>>,
    ) -> Result<Settlement, ClientError> {
        answer.await.unwrap_or_else(|_| Err(reason(&self.ended)))
    }

    /// Waits until the server ends the link; its reason.
    pub async fn ended(&mut self) -> ClientError {
        match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }

    /// Closes link and session in order.
    pub async fn close(self) {
        self.handle.close().await;
    }
}

/// A message received and not yet settled.
pub struct Received {
    /// The message.
    pub message: Message,
    delivery_id: u32,
}

/// A link to receive on.
pub struct ClientReceiver {
    handle: Handle,
    ended: watch::Receiver<Option<ClientError>>,
    messages: mpsc::UnboundedReceiver<Result<Received, ClientError>>,
}

impl ClientReceiver {
    /// Waits for the next message. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Link`] when the link ended, [`ClientError::Message`] for a message without data section.
    pub async fn recv(&mut self) -> Result<Received, ClientError> {
        match self.messages.recv().await {
            Some(received) => received,
            None => Err(reason(&self.ended)),
        }
    }

    /// Settles a message.
    ///
    /// # Errors
    /// [`ClientError::Link`].
    pub async fn settle(
        &self,
        received: &Received,
        settlement: Settlement,
    ) -> Result<(), ClientError> {
        if self.ended.borrow().is_some() {
            return Err(reason(&self.ended));
        }
        let settle = Command::Settle {
            link: self.handle.link,
            delivery_id: received.delivery_id,
            settlement,
        };
        let told = self.handle.commands.send(settle);
        told.map_err(|_| reason(&self.ended))
    }

    /// Settles a message as handled.
    ///
    /// # Errors
    /// [`ClientError::Link`].
    pub async fn accept(&self, received: &Received) -> Result<(), ClientError> {
        self.settle(received, Settlement::Accepted).await
    }

    /// Closes link and session in order.
    pub async fn close(self) {
        self.handle.close().await;
    }
}

/// Why a link has ended, as far as it is known.
fn reason(ended: &watch::Receiver<Option<ClientError>>) -> ClientError {
    ended.borrow().clone().unwrap_or_else(gone)
}
