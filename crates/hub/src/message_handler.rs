//! ebXML: the mail servers, the HTTP road, and the sender of what the hub's own message handler sends.

use crate::Config;
use crate::ports::Ports;
use crate::wire::Movable;
use edi::check::AgreementFacts;
use grunndata::cppa::Cppa;
use mail::{Limits, Protocol, Server, Shutdown};
use meldinger::Exchange;
use meldinger::edge::ebxml::{Agreements, MessageHandler, PostOffice, Sender};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Name of the hub in greetings and in the ids of its mails.
const HOST: &str = "helsenav.invalid";

/// The listeners of both mail servers: in the clear, and over TLS.
pub(crate) struct Listeners {
    smtp: TcpListener,
    pop3: TcpListener,
    smtp_tls: TcpListener,
    pop3_tls: TcpListener,
}

impl Listeners {
    pub async fn bind(
        ports: &mut Ports,
        config: &Config,
        movable: &Movable,
    ) -> std::io::Result<Self> {
        Ok(Self {
            smtp: ports
                .bind("listen_smtp", config.listen_smtp, movable.smtp)
                .await?,
            pop3: ports
                .bind("listen_pop3", config.listen_pop3, movable.pop3)
                .await?,
            smtp_tls: ports
                .bind("listen_smtp_tls", config.listen_smtp_tls, movable.smtp_tls)
                .await?,
            pop3_tls: ports
                .bind("listen_pop3_tls", config.listen_pop3_tls, movable.pop3_tls)
                .await?,
        })
    }

    pub fn addresses(&self) -> std::io::Result<[(&'static str, SocketAddr); 4]> {
        Ok([
            ("listen_smtp", self.smtp.local_addr()?),
            ("listen_pop3", self.pop3.local_addr()?),
            ("listen_smtp_tls", self.smtp_tls.local_addr()?),
            ("listen_pop3_tls", self.pop3_tls.local_addr()?),
        ])
    }

    /// Starts the servers and the sender. Without `tls` the listeners over TLS answer nobody.
    pub fn start(
        self,
        handler: &MessageHandler,
        tls: Option<TlsAcceptor>,
    ) -> std::io::Result<MailRoad> {
        let shutdown = Shutdown::default();
        let office = Arc::new(PostOffice::new(handler.clone()));
        let mut server = Server::new(office, HOST, Limits::default(), shutdown.clone());
        if let Some(tls) = tls {
            server = server.with_tls(tls);
        }
        let clear = [(self.smtp, Protocol::Smtp), (self.pop3, Protocol::Pop3)];
        let secured = [
            (self.smtp_tls, Protocol::Smtp),
            (self.pop3_tls, Protocol::Pop3),
        ];
        let clear = clear.into_iter().map(|(listener, protocol)| {
            let server = server.clone();
            tokio::spawn(async move { server.serve(listener, protocol).await })
        });
        let secured = secured.into_iter().map(|(listener, protocol)| {
            let server = server.clone();
            tokio::spawn(async move { server.serve_tls(listener, protocol).await })
        });
        Ok(MailRoad {
            shutdown,
            tasks: clear.chain(secured).collect(),
            sender: Sender::start(handler.clone())?,
        })
    }
}

/// The handler over an exchange, with the agreements of the CPPA registry.
pub(crate) fn handler(exchange: &Exchange, cppa: Arc<Cppa>) -> MessageHandler {
    let agreements: Agreements = Arc::new(move |id| {
        let found = cppa.agreement(uuid::Uuid::try_parse(id).ok()?)?;
        Some(AgreementFacts {
            her_ids: [found.first.her_id, found.second.her_id],
            start_s: found.created.timestamp().as_second(),
            end_s: found.ended.unwrap_or(found.end).timestamp().as_second(),
        })
    });
    MessageHandler::new(exchange.clone(), HOST, Some(agreements))
}

/// Mail servers and sender while they run.
pub(crate) struct MailRoad {
    shutdown: Shutdown,
    tasks: Vec<JoinHandle<()>>,
    sender: Sender,
}

impl MailRoad {
    /// Ends the servers; what remains is the sender, to be dropped where blocking is allowed, before the store closes.
    pub async fn stop(self) -> Sender {
        self.shutdown.set();
        for task in self.tasks {
            let _ = task.await;
        }
        self.sender
    }
}
