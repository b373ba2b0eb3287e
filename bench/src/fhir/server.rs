//! The measured server: started for the run, or one that is there already; what it uses of memory, processor and disk.

use crate::link::{Base, Link};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server to be ready.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server with an empty sandbox.
pub struct Server {
    /// Where the sandbox is.
    pub base: Base,
    child: Option<Child>,
    data: PathBuf,
}

impl Server {
    /// One that runs already; memory and disk are not seen.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn at(url: &str) -> Result<Self> {
        Ok(Self {
            base: Base::parse(url)?,
            child: None,
            data: PathBuf::new(),
        })
    }

    /// Starts a demo hub on free ports. `postgres`: connection string, else SQLite in `data`.
    ///
    /// # Errors
    /// When it is not ready in time.
    pub fn start(program: &Path, data: &Path, postgres: Option<(&str, &str)>) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args([
                "demo",
                "--no-story",
                "--listen",
                "127.0.0.1:0",
                "--anchor",
                "2026-11-23",
            ])
            .args(["--population", "1000", "--data"])
            .arg(data)
            .env("HELSENAV_LOG", "warn")
            .stdout(Stdio::null());
        Self::wait_for(command, data, postgres)
    }

    /// Starts a sandbox without a hub, out of this program.
    ///
    /// # Errors
    /// When it is not ready in time.
    pub fn alone(
        data: &Path,
        postgres: Option<(&str, &str)>,
        through_router: bool,
    ) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(crate::own_arguments("fhir"))
            .args(through_router.then_some("--through-router"))
            .arg("--sandbox-server")
            .arg(data)
            .stdout(Stdio::null());
        Self::wait_for(command, data, postgres)
    }

    fn wait_for(mut command: Command, data: &Path, postgres: Option<(&str, &str)>) -> Result<Self> {
        if let Some((url, schema)) = postgres {
            command
                .env("HELSENAV_STORE_ENGINE", "postgres")
                .env("HELSENAV_STORE_URL", url)
                .env("HELSENAV_STORE_SCHEMA", schema);
        }
        let facts = data.join("facts.json");
        let _ = std::fs::remove_file(&facts);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let began = Instant::now();
        let base = loop {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended: {status}");
            }
            if let Some(base) = ready(&facts) {
                break base;
            }
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                bail!("the server is not ready after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        Ok(Self {
            base,
            child: Some(child),
            data: data.to_owned(),
        })
    }

    /// Resident memory now and at most, MB.
    #[must_use]
    pub fn memory_mb(&self) -> Option<(f64, f64)> {
        let pid = self.child.as_ref()?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let of = |name: &str| -> Option<f64> {
            let line = status.lines().find(|l| l.starts_with(name))?;
            let kb: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kb / 1_024.0)
        };
        Some((of("VmRSS:")?, of("VmHWM:")?))
    }

    /// Processor time used so far, microseconds.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        self.child
            .as_ref()
            .map_or(0.0, |c| crate::store::cpu_us_of(&c.id().to_string()))
    }

    /// Bytes of the store's files, write-ahead logs apart.
    #[must_use]
    pub fn disk_bytes(&self) -> Vec<(String, u64)> {
        let mut files: Vec<(String, u64)> = std::fs::read_dir(self.data.join("store"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|file| {
                let length = file.metadata().ok().filter(|m| m.is_file())?.len();
                Some((file.file_name().to_string_lossy().into_owned(), length))
            })
            .filter(|(_, length)| *length > 0)
            .collect();
        files.sort();
        files
    }

    /// Stops the server as an operator would, and waits.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let _ = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The sandbox's base, once facts are written and it answers.
fn ready(facts: &Path) -> Option<Base> {
    let facts: serde_json::Value = serde_json::from_slice(&std::fs::read(facts).ok()?).ok()?;
    let base = Base::parse(&sandbox(&facts)?).ok()?;
    let (status, _) = Link::new(&base).send("GET", "/metadata", None).ok()?;
    (status == 200).then_some(base)
}

/// Address of the sandbox in facts.json.
#[must_use]
pub fn sandbox(facts: &serde_json::Value) -> Option<String> {
    let base = facts.get("base")?.as_str()?;
    Some(format!("{base}/fhir/sandbox"))
}
