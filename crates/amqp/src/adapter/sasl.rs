//! SASL PLAIN for many users. One acceptor per socket, so that it can tell who logged in.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use fe2o3_amqp::acceptor::sasl_acceptor::{SaslAcceptor, SaslServerFrame};
use fe2o3_amqp_types::primitives::{Array, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslOutcome, SaslResponse};

use crate::port::{Broker, Identity, plain_credentials};

const PLAIN: &str = "PLAIN";

/// Checks the one log-in of one socket. Clones share the result.
#[derive(Clone)]
pub(super) struct PlainLogin {
    broker: Arc<dyn Broker>,
    peer: IpAddr,
    who: Arc<OnceLock<Identity>>,
}

impl PlainLogin {
    pub fn new(broker: Arc<dyn Broker>, peer: IpAddr) -> Self {
        Self {
            broker,
            peer,
            who: Arc::new(OnceLock::new()),
        }
    }

    /// Who logged in, once somebody has.
    pub fn identity(&self) -> Option<Identity> {
        self.who.get().cloned()
    }

    fn check(&self, init: &SaslInit) -> Option<Identity> {
        if init.mechanism.as_str() != PLAIN {
            return None;
        }
        let response = init.initial_response.as_ref()?;
        let (user, password) = plain_credentials(response)?;
        self.broker.authenticate(self.peer, user, password)
    }
}

fn outcome(code: SaslCode) -> SaslServerFrame {
    SaslServerFrame::Outcome(SaslOutcome {
        code,
        additional_data: None,
    })
}

impl SaslAcceptor for PlainLogin {
    fn mechanisms(&self) -> Array<Symbol> {
        Array::from(vec![Symbol::from(PLAIN)])
    }

    fn on_init(&mut self, init: SaslInit) -> SaslServerFrame {
        let known = self
            .check(&init)
            .is_some_and(|identity| self.who.set(identity).is_ok());
        outcome(if known { SaslCode::Ok } else { SaslCode::Auth })
    }

    fn on_response(&mut self, _response: SaslResponse) -> SaslServerFrame {
        outcome(SaslCode::Sys)
    }
}
