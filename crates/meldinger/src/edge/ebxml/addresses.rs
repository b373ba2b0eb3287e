//! Which organisation's mailbox an EDI address leads to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use registers::directory::{Directory, Party};

use crate::edge::rest::SERVICE_ADDRESS;
use crate::rules::envelope::organisation_of;

/// How often an address that is not known makes us look through the register again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// EDI address → level-1 HER-id, from the address register. What was found is checked against the register at every use.
///
/// The address of the message service stands at many parties and leads to the hub. One that several organisations have leads nowhere:
/// mail would come to the wrong one.
pub(super) struct Addresses {
    directory: Arc<dyn Directory>,
    hub: u32,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Address → the party that has it; nothing when several organisations have it.
    by_address: Arc<HashMap<String, Option<u32>>>,
    looked_at: Option<Instant>,
}

impl Addresses {
    pub fn new(directory: Arc<dyn Directory>, hub: u32) -> Self {
        Self {
            directory,
            hub,
            known: Mutex::default(),
        }
    }

    /// Level-1 HER-id of the organisation whose mailbox it is.
    pub fn organisation(&self, address: &str) -> Option<u32> {
        let address = plain(address);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (map, looked_at) = (known.by_address.clone(), known.looked_at);
        drop(known);
        let still = |map: &HashMap<String, Option<u32>>| {
            let party = self.directory.party((*map.get(&address)?)?)?;
            let is_service = address.starts_with(SERVICE_ADDRESS);
            (plain(&party.edi_address) == address).then(|| {
                if is_service {
                    self.hub
                } else {
                    organisation_of(&party)
                }
            })
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

    fn read(&self) -> HashMap<String, Option<u32>> {
        let mut map: HashMap<String, Option<u32>> = HashMap::new();
        let mut owners: HashMap<String, u32> = HashMap::new();
        for top in self.directory.top_parties() {
            let below = self.directory.parties_of(&top.orgnr);
            // The organisation itself first: an address that is inherited is its own.
            for party in std::iter::once(top).chain(below) {
                let address = plain(&party.edi_address);
                if address.is_empty() {
                    continue;
                }
                let owner = organisation_of(&party);
                let first = *owners.entry(address.clone()).or_insert(owner);
                let is_shared = first != owner && !address.starts_with(SERVICE_ADDRESS);
                let entry = map.entry(address).or_insert(Some(party.her_id));
                if is_shared {
                    *entry = None;
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
