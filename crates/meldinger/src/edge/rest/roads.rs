//! Which road leads to a receiver (spec/messaging.md §6.3).

use registers::directory::Party;

use super::settings::Settings;
use crate::exchange::{Exchange, ExchangeError};
use crate::port::Road;
use crate::rules::envelope::organisation_of;

/// How EDI addresses of the service's own users begin, in the address register.
pub(crate) const SERVICE_ADDRESS: &str = "meldingstjener-api@";

/// Decides roads. Cheap to clone.
#[derive(Clone)]
pub struct Roads {
    settings: Settings,
    hub: u32,
    has_handler: bool,
}

impl Roads {
    /// `has_handler`: the hub runs an ebXML message handler that empties [`Road::Handler`].
    #[must_use]
    pub fn new(exchange: &Exchange, has_handler: bool) -> Self {
        Self {
            settings: Settings::new(exchange),
            hub: exchange.inner.config.hub_her_id,
            has_handler,
        }
    }

    /// Whether a party reads its messages through the REST interface: its EDI address says so, it has set itself up (version
    /// 3), or it has asked for its messages before (version 2).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_api(&self, party: &Party) -> Result<bool, ExchangeError> {
        let address = party.edi_address.trim_start_matches("mailto:");
        Ok(address.starts_with(SERVICE_ADDRESS) || self.settings.get(party.her_id)?.is_some())
    }

    /// The road to a party for a message in clear.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn to(&self, party: &Party) -> Result<Road, ExchangeError> {
        if party.hub_run || organisation_of(party) == self.hub {
            return Ok(Road::Hub);
        }
        // Without a handler what is for others waits in the box until they come for it.
        if !self.has_handler || self.is_api(party)? {
            return Ok(Road::Api);
        }
        Ok(Road::Handler)
    }

    /// Notes that a party reads through version 2.
    pub(crate) fn reads(&self, her_id: u32, client: &str) -> Result<(), ExchangeError> {
        if self.settings.get(her_id)?.is_none() {
            self.settings.put_first(her_id, client)?;
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}
