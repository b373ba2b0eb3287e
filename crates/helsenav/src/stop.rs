//! How a running hub is asked to stop: Ctrl-C or the supervisor's SIGTERM.
//!
//! It listens before anything says that the hub is there, so whoever reads that it is ready can stop it in order from that moment.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Exit code of what Ctrl-C has cut short, as shells have it: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// One wish may reach us twice: by the terminal, and by a script that passes it on.
const ECHO: Duration = Duration::from_secs(1);

/// The wish to stop. While the hub starts, it ends the process at once: nothing has been promised to anybody yet.
pub(crate) struct Stop {
    is_ready: Arc<AtomicBool>,
    asked: Arc<Notify>,
}

impl Stop {
    /// Listens from now on. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = Self {
            is_ready: Arc::default(),
            asked: Arc::default(),
        };
        let (is_ready, asked) = (stop.is_ready.clone(), stop.asked.clone());
        tokio::spawn(async move {
            let mut stopping_since: Option<Instant> = None;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                // Again: whoever asks does not want to wait. What was acknowledged is on disk.
                let is_impatient = stopping_since.is_some_and(|since| since.elapsed() > ECHO);
                if is_impatient || !is_ready.load(Ordering::Acquire) {
                    exit(INTERRUPTED);
                }
                stopping_since.get_or_insert_with(Instant::now);
                asked.notify_one();
            }
        });
        Ok(stop)
    }

    /// From here on the hub is stopped in order.
    pub fn ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}
