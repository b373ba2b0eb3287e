//! Which organisation's mailbox an EDI address leads to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use registers::directory::{Directory, Party};

use crate::rules::envelope::organisation_of;

/// How often an address that is not known makes us look through the register again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// EDI address → level-1 HER-id, from the address register. What was found is checked against the register at every use.
pub(super) struct Addresses {
    directory: Arc<dyn Directory>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Address → the party that has it.
    by_address: Arc<HashMap<String, u32>>,
    looked_at: Option<Instant>,
}

impl Addresses {
    pub fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            known: Mutex::default(),
        }
    }

    /// Level-1 HER-id of the organisation whose mailbox it is.
    pub fn organisation(&self, address: &str) -> Option<u32> {
        let address = plain(address);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (map, looked_at) = (known.by_address.clone(), known.looked_at);
        drop(known);
        let still = |map: &HashMap<String, u32>| {
            let party = self.directory.party(*map.get(&address)?)?;
            (plain(&party.edi_address) == address).then(|| organisation_of(&party))
        };
        if let Some(found) = still(&map) {
            return Some(found);
        }
        if looked_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return None;
        }
        let map = Arc::new(self.read());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_address = map.clone();
        known.looked_at = Some(Instant::now());
        drop(known);
        still(&map)
    }

    fn read(&self) -> HashMap<String, u32> {
        let mut map = HashMap::new();
        for top in self.directory.top_parties() {
            let below = self.directory.parties_of(&top.orgnr);
            // The organisation itself first: an address that is inherited is its own.
            for party in std::iter::once(top).chain(below) {
                if !party.edi_address.is_empty() {
                    map.entry(plain(&party.edi_address)).or_insert(party.her_id);
                }
            }
        }
        map
    }
}

/// An address as it is compared.
fn plain(address: &str) -> String {
    address
        .trim()
        .trim_start_matches("mailto:")
        .to_ascii_lowercase()
}

/// The EDI address of a party; nothing when it has none that a mail can go to.
pub(super) fn address_of(party: &Party) -> Option<String> {
    let address = plain(&party.edi_address);
    let is_address = address.contains('@')
        && address.bytes().all(|byte| byte.is_ascii_graphic())
        && !address.contains(['<', '>']);
    is_address.then_some(address)
}
