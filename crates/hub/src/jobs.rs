//! Background jobs: sealing the access journal, signing its heads, following the registers, store maintenance.

use edge::listen::Shutdown;
use grunndata::persons::counted::CountedLooks;
use jose::keyring::Keyring;
use registers::RegisterTable;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{CommitError, HeadSigner, Store};
use trust::Trust;
use trust::counted::{CountError, Counting};

/// Signs log heads with the hub's key.
pub struct LogSigner {
    keys: Arc<Mutex<Keyring>>,
}

impl LogSigner {
    /// A signer over a keyring.
    pub fn new(keys: Arc<Mutex<Keyring>>) -> Self {
        Self { keys }
    }
}

impl HeadSigner for LogSigner {
    fn sign(&self, payload: &serde_json::Value) -> Result<String, String> {
        let serde_json::Value::Object(claims) = payload else {
            return Err("a head is an object".to_owned());
        };
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.sign("helsenav-log-head+jwt", &jose::jwt::Claims(claims.clone()))
            .map_err(|e| e.to_string())
    }
}

/// What the jobs need.
pub struct Jobs {
    /// The store.
    pub store: Store,
    /// Registers to follow.
    pub registers: Arc<RegisterTable>,
    /// Signer of heads.
    pub signer: Arc<LogSigner>,
    /// Where signed heads are also written.
    pub witness: Option<PathBuf>,
    /// HelseID, whose signing keys rotate.
    pub helseid: helseid::Helseid,
    /// The citizens' issuer, whose signing keys rotate.
    pub citizens: helseid::citizen::Citizens,
    /// Registrations of HelseID clients to follow.
    pub clients: Arc<helseid::registry::Registry>,
    /// Counts look-ups of registers for the citizens' pages.
    pub counts: CountLooks,
    /// The end.
    pub shutdown: Shutdown,
}

/// The job that counts look-ups of registers (spec/privacy.md §9.1).
pub struct CountLooks {
    trust: Arc<Trust>,
    is_constant: bool,
}

const SEAL_EVERY: Duration = Duration::from_secs(2);
const HEAD_EVERY: Duration = Duration::from_secs(600);
const FIRST_HEAD: Duration = Duration::from_secs(3);
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);
const ROTATE_EVERY: Duration = Duration::from_secs(3_600);
const COUNT_EVERY: Duration = Duration::from_secs(60);
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// The read form of persons is made anew when much has changed; looking whether costs nothing.
const READ_FORM_EVERY: Duration = Duration::from_secs(2);

impl Jobs {
    /// Starts them as threads; they end at shutdown.
    pub fn start(self) -> Vec<tokio::task::JoinHandle<()>> {
        let Self {
            store,
            registers,
            signer,
            witness,
            helseid,
            citizens,
            clients,
            counts,
            shutdown,
        } = self;
        let (sealing, heads, maintaining) = (store.clone(), store.clone(), store);
        let (persons, kept) = (registers.persons().clone(), registers.clone());
        vec![
            every("seal", SEAL_EVERY, &shutdown, move || {
                sealing.seal().map(|_| ()).map_err(|e| e.to_string())
            }),
            // The first one soon: what was imported or recovered at start can be proven from then on.
            every_from("heads", FIRST_HEAD, HEAD_EVERY, &shutdown, move || {
                sign_heads(&heads, &signer, witness.as_deref())
            }),
            every("maintain", MAINTAIN_EVERY, &shutdown, move || {
                maintaining.maintain().map_err(|e| e.to_string())
            }),
            every("helseid-keys", ROTATE_EVERY, &shutdown, move || {
                helseid
                    .rotate_keys(&jose::keyring::RotationPolicy::default())
                    .map(|_| ())
                    .map_err(|e| e.to_string())
            }),
            every("citizen-keys", ROTATE_EVERY, &shutdown, move || {
                citizens
                    .rotate_keys(&jose::keyring::RotationPolicy::default())
                    .map(|_| ())
                    .map_err(|e| e.to_string())
            }),
            every("clients", FOLLOW_EVERY, &shutdown, move || {
                clients.follow().map_err(|e| match e {
                    helseid::registry::RegistryError::Unavailable(why) => why,
                    other => other.to_string(),
                })
            }),
            every("read-form", READ_FORM_EVERY, &shutdown, move || {
                persons.maintain().map(|_| ()).map_err(|e| e.to_string())
            }),
            // What the next start reads instead of the log.
            every("kept-registers", READ_FORM_EVERY, &shutdown, move || {
                kept.keep().map(|_| ()).map_err(|e| e.to_string())
            }),
            counts.start(&registers, &shutdown),
            every("registers", FOLLOW_EVERY, &shutdown, move || {
                registers.follow().map(|_| ()).map_err(|e| e.to_string())
            }),
        ]
    }
}

impl CountLooks {
    /// Over the store of `trust`. `is_constant`: all day, as in the demo, not at night only: each run writes the months of
    /// everybody who was looked up.
    pub fn new(trust: Arc<Trust>, is_constant: bool) -> Self {
        Self { trust, is_constant }
    }

    fn start(self, registers: &RegisterTable, shutdown: &Shutdown) -> tokio::task::JoinHandle<()> {
        let reading = CountedLooks::new(registers.persons().clone());
        let ending = shutdown.clone();
        every("counts-of-look-ups", COUNT_EVERY, shutdown, move || {
            if !self.is_constant && !is_night(edge::clock::real_now_us()) {
                return Ok(());
            }
            let counting = Counting::new(&self.trust, &reading).map_err(|e| e.to_string())?;
            match counting.run(&|| ending.is_triggered()) {
                Ok(_) => Ok(()),
                // Another process of this hub was at it.
                Err(CountError::Commit(CommitError::Refused { .. })) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// Between one and five in Norway.
fn is_night(now_us: i64) -> bool {
    let now = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    (1..5).contains(&now.to_zoned(trust::gather::oslo()).hour())
}

fn every(
    name: &'static str,
    period: Duration,
    shutdown: &Shutdown,
    work: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> tokio::task::JoinHandle<()> {
    every_from(name, period, period, shutdown, work)
}

fn every_from(
    name: &'static str,
    first: Duration,
    period: Duration,
    shutdown: &Shutdown,
    work: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> tokio::task::JoinHandle<()> {
    let shutdown = shutdown.clone();
    let work = Arc::new(work);
    tokio::spawn(async move {
        let mut wait = first;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.wait() => break,
            }
            wait = period;
            let work = work.clone();
            match tokio::task::spawn_blocking(move || work()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(job = name, %error, "job failed, will try again"),
                Err(_) => tracing::error!(job = name, "job panicked, will try again"),
            }
        }
    })
}

/// An interim head of the running day; closes the day before, five minutes past midnight Oslo (spec/privacy.md §9.3).
pub fn sign_heads(
    store: &Store,
    signer: &LogSigner,
    witness: Option<&std::path::Path>,
) -> Result<(), String> {
    let text = |e: store::StoreError| e.to_string();
    store.seal().map_err(text)?;
    let now = edge::clock::real_now_us();
    let today = trust::gather::oslo_date(now);
    let settled = trust::gather::oslo_date(now - 5 * 60 * 1_000_000);
    let heads = store.heads(64).map_err(text)?;
    let mut made = Vec::new();
    if let Ok(yesterday) = settled.yesterday() {
        let day = yesterday.to_string();
        let is_open =
            heads.iter().any(|h| h.day == day) && !heads.iter().any(|h| h.day == day && h.closed);
        if settled == today && is_open {
            made.push(store.sign_head(signer, &day, true).map_err(text)?);
        }
    }
    made.push(
        store
            .sign_head(signer, &today.to_string(), false)
            .map_err(text)?,
    );
    if let Some(path) = witness {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| format!("witness: {e}"))?;
        for head in made {
            writeln!(file, "{}", head.jws).map_err(|e| format!("witness: {e}"))?;
        }
    }
    Ok(())
}
