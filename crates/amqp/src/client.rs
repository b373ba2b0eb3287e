//! The client's end: connect, send and wait for the outcome, receive and settle. For actors and tests.

use std::net::SocketAddr;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{ReceiverAttachError, SenderAttachError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sendable, Sender, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::adapter::convert::{
    WireBody, from_wire, settlement_from_wire, settlement_to_wire, to_wire,
};
use crate::port::{Message, Settlement};

/// A refused link is attached without an end and then detached with the reason (AMQP 1.0 part 2, §2.6.3). The library
/// closes such a link at once and may do so before it has read the reason; then it is asked again, so many times in all.
const REASON_ATTEMPTS: u32 = 10;

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

/// An open connection.
pub struct Client {
    connection: ConnectionHandle<()>,
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
        Io: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
    {
        let profile = SaslProfile::Plain {
            username: user.to_owned(),
            password: password.to_owned(),
        };
        let opened = Connection::builder()
            .container_id(format!("client-{user}"))
            .scheme("amqp")
            .hostname("localhost")
            .max_frame_size(128u32 << 10)
            .sasl_profile(profile)
            .open_with_stream(stream)
            .await;
        match opened {
            Ok(connection) => Ok(Self { connection }),
            Err(fe2o3_amqp::connection::OpenError::SaslError { .. }) => Err(ClientError::Login),
            Err(error) => Err(ClientError::Connect(error.to_string())),
        }
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
        let mut attempt = 1;
        loop {
            let mut session = self.begin().await?;
            match Sender::attach(&mut session, link_name, address).await {
                Ok(sender) => return Ok(ClientSender { sender, session }),
                Err(SenderAttachError::IncomingTargetIsNone) if attempt < REASON_ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(link_error(error)),
            }
        }
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
        let mut attempt = 1;
        loop {
            let mut session = self.begin().await?;
            let attached = Receiver::builder()
                .name(link_name)
                .source(address)
                .credit_mode(CreditMode::Auto(credit))
                .attach(&mut session)
                .await;
            match attached {
                Ok(receiver) => return Ok(ClientReceiver { receiver, session }),
                Err(ReceiverAttachError::IncomingSourceIsNone) if attempt < REASON_ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(link_error(error)),
            }
        }
    }

    async fn begin(&mut self) -> Result<SessionHandle<()>, ClientError> {
        Session::begin(&mut self.connection)
            .await
            .map_err(|error| ClientError::Link(error.to_string()))
    }

    /// Closes the connection in order.
    ///
    /// # Errors
    /// [`ClientError::Connect`] when the server had something to say against it.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.connection
            .close()
            .await
            .map_err(|error| ClientError::Connect(error.to_string()))
    }
}

/// A link to send on.
pub struct ClientSender {
    sender: Sender,
    session: SessionHandle<()>,
}

impl ClientSender {
    /// Sends one message and waits for its outcome.
    ///
    /// # Errors
    /// [`ClientError::Link`] when the link ended first.
    pub async fn send(&mut self, message: Message) -> Result<Settlement, ClientError> {
        let sendable = Sendable::builder()
            .message(to_wire(message))
            .settled(false)
            .build();
        let outcome = self.sender.send(sendable).await.map_err(link_error)?;
        Ok(settlement_from_wire(outcome))
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
            let sendable = Sendable::builder()
                .message(to_wire(message))
                .settled(false)
                .build();
            pending.push(
                self.sender
                    .send_batchable(sendable)
                    .await
                    .map_err(link_error)?,
            );
        }
        let mut outcomes = Vec::with_capacity(pending.len());
        for outcome in pending {
            outcomes.push(settlement_from_wire(outcome.await.map_err(link_error)?));
        }
        Ok(outcomes)
    }

    /// Waits until the server ends the link; its reason.
    pub async fn ended(&mut self) -> ClientError {
        link_error(self.sender.on_detach().await)
    }

    /// Closes link and session in order.
    pub async fn close(mut self) {
        let _ = self.sender.close().await;
        let _ = self.session.end().await;
    }
}

/// A message received and not yet settled.
pub struct Received {
    /// The message.
    pub message: Message,
    info: DeliveryInfo,
}

/// A link to receive on.
pub struct ClientReceiver {
    receiver: Receiver,
    session: SessionHandle<()>,
}

impl ClientReceiver {
    /// Waits for the next message. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Link`] when the link ended, [`ClientError::Message`] for a message without data section.
    pub async fn recv(&mut self) -> Result<Received, ClientError> {
        let delivery = self.receiver.recv::<WireBody>().await.map_err(link_error)?;
        let (info, message) = delivery.into_parts();
        let message =
            from_wire(message).map_err(|reason| ClientError::Message(reason.to_owned()))?;
        Ok(Received { message, info })
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
        self.receiver
            .dispose(received.info.clone(), settlement_to_wire(settlement))
            .await
            .map_err(link_error)
    }

    /// Settles a message as handled.
    ///
    /// # Errors
    /// [`ClientError::Link`].
    pub async fn accept(&self, received: &Received) -> Result<(), ClientError> {
        self.settle(received, Settlement::Accepted).await
    }

    /// Closes link and session in order.
    pub async fn close(mut self) {
        let _ = self.receiver.close().await;
        let _ = self.session.end().await;
    }
}

fn link_error<E: std::fmt::Debug + std::fmt::Display + 'static>(error: E) -> ClientError {
    ClientError::Link(error.to_string())
}
