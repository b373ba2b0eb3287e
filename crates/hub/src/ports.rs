//! Listener addresses: a taken default port moves to a free one and is remembered, because the HelseID issuer contains
//! its port (DESIGN §4).

use edge::listen::bind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

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
            && let Ok(listener) = TcpListener::bind(*earlier).await
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
