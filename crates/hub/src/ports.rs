//! Listener addresses: a taken default port moves to a free one and is remembered, because the HelseID issuer contains
//! its port (DESIGN §4).

use edge::listen::bind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

/// How often, and how long between, a remembered place that is taken is tried again before another is chosen: a
/// process that was killed may still be ending, and clients hold the issuer's port.
const ATTEMPTS: u32 = 20;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Remembered addresses by listener name.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered(BTreeMap<String, SocketAddr>);

/// Binds listeners and remembers where they came to stand.
pub struct Ports {
    file: PathBuf,
    remembered: Remembered,
}

impl Ports {
    /// Reads what an earlier start remembered in the data folder.
    pub fn open(folder: &Path) -> Self {
        let file = folder.join("ports.json");
        let remembered = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { file, remembered }
    }

    /// Binds one listener. `is_default`: the operator did not choose the address, so it may move; then the remembered
    /// place comes first. So it does when any free port was asked for (port 0).
    pub async fn bind(
        &mut self,
        name: &str,
        wanted: SocketAddr,
        is_default: bool,
    ) -> std::io::Result<TcpListener> {
        if (is_default || wanted.port() == 0)
            && let Some(earlier) = self.remembered.0.get(name)
            && (is_default || earlier.ip() == wanted.ip())
            && let Ok(listener) = bind_again(*earlier).await
        {
            return Ok(listener);
        }
        let listener = bind(wanted, is_default).await.map_err(|e| {
            std::io::Error::new(
                e.kind(),
                format!("cannot listen for {name} on {wanted}: {e}. Choose another address"),
            )
        })?;
        self.remembered
            .0
            .insert(name.to_owned(), listener.local_addr()?);
        Ok(listener)
    }

    /// Writes what was taken.
    pub fn save(&self) -> std::io::Result<()> {
        std::fs::write(&self.file, serde_json::to_vec_pretty(&self.remembered)?)
    }
}

async fn bind_again(place: SocketAddr) -> std::io::Result<TcpListener> {
    let mut attempt = 1;
    loop {
        match TcpListener::bind(place).await {
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_remembered_place_that_becomes_free_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Ports::open(folder.path());
        let held = first.bind("listen", ANY, false).await.unwrap();
        let place = held.local_addr().unwrap();
        first.save().unwrap();
        let ending = tokio::spawn(async move {
            tokio::time::sleep(BETWEEN_ATTEMPTS / 2).await;
            drop(held);
        });
        let mut second = Ports::open(folder.path());
        let listener = second.bind("listen", ANY, false).await.unwrap();
        assert_eq!(listener.local_addr().unwrap(), place);
        ending.await.unwrap();
    }

    #[tokio::test]
    async fn a_remembered_place_that_stays_taken_moves_and_is_remembered_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Ports::open(folder.path());
        let held = first.bind("listen", ANY, false).await.unwrap();
        first.save().unwrap();
        let mut second = Ports::open(folder.path());
        let listener = second.bind("listen", ANY, false).await.unwrap();
        let moved = listener.local_addr().unwrap();
        assert_ne!(moved, held.local_addr().unwrap());
        assert_eq!(second.remembered.0.get("listen"), Some(&moved));
    }
}
