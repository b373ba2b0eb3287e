//! A running demo, stopped at the end whatever happens.

use crate::Facts;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Story day of every demo here.
pub const ANCHOR: &str = "2026-11-23";
/// Enough inhabitants for every rule, few enough for a quick start.
const POPULATION: &str = "500";
const START_TIMEOUT: Duration = Duration::from_secs(180);
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// Which store a demo stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded.
    Sqlite,
    /// A server; only when `HELSENAV_PG_URL` is set.
    Postgres,
}

impl Engine {
    /// The demo shared by all tests of this binary on this engine; `None` (and a line that says so) when the engine is
    /// not to be had.
    ///
    /// # Panics
    /// When the demo does not start: every test of the engine is red then.
    pub fn shared(self) -> Option<&'static Demo> {
        type Started = OnceLock<Option<Result<Demo, String>>>;
        static SQLITE: Started = OnceLock::new();
        static POSTGRES: Started = OnceLock::new();
        let place = match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
        };
        let started = place.get_or_init(|| {
            let folder = Folder::new(self)?;
            Some(Demo::start(folder).map_err(|error| format!("{error:#}")))
        });
        match started.as_ref()? {
            Ok(demo) => Some(demo),
            Err(error) => panic!("the demo does not start: {error}"),
        }
    }
}

/// A data folder with its engine; outlives the processes that run on it.
pub struct Folder {
    /// Removed at the end of the test.
    dir: TempDir,
    /// Settings of the engine, as environment.
    engine: Vec<(&'static str, String)>,
}

impl Folder {
    /// A new one; `None` when the engine is not to be had.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn new(engine: Engine) -> Option<Self> {
        let dir = TempDir::with_prefix("helsenav-blackbox-").expect("a temporary folder");
        let engine = match engine {
            Engine::Sqlite => Vec::new(),
            Engine::Postgres => {
                let url = std::env::var("HELSENAV_PG_URL")
                    .ok()
                    .filter(|u| !u.is_empty());
                let Some(url) = url else {
                    crate::passed_over("no PostgreSQL (set HELSENAV_PG_URL)");
                    return None;
                };
                let schema = format!("bb_{}", uuid::Uuid::new_v4().simple());
                vec![
                    ("HELSENAV_STORE_ENGINE", "postgres".to_owned()),
                    ("HELSENAV_STORE_URL", url),
                    ("HELSENAV_STORE_SCHEMA", schema),
                ]
            }
        };
        let folder = Self { dir, engine };
        folder.reserve_ports().expect("a place for the ports");
        Some(folder)
    }

    /// Remembers listener addresses below the range from which the system gives ports to connections: a port of a hub
    /// that is started again is then not somebody else's meanwhile. A taken one moves, as everywhere.
    fn reserve_ports(&self) -> std::io::Result<()> {
        const LISTENERS: [&str; 11] = [
            "listen",
            "listen_tls",
            "listen_helseid",
            "listen_helseid_tls",
            "listen_citizen_mtls",
            "listen_amqp",
            "listen_amqp_tls",
            "listen_smtp",
            "listen_pop3",
            "listen_smtp_tls",
            "listen_pop3_tls",
        ];
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let first = 15_000 + (std::process::id() % 1_000) as u16 * 10;
        let mut places = serde_json::Map::new();
        for name in LISTENERS {
            let free = (0..1_000u16).find_map(|_| {
                let port = first.saturating_add(NEXT.fetch_add(1, Ordering::Relaxed));
                let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                TcpListener::bind(place).is_ok().then_some(place)
            });
            if let Some(place) = free {
                places.insert(name.to_owned(), place.to_string().into());
            }
        }
        std::fs::create_dir_all(self.data())?;
        std::fs::write(
            self.data().join("ports.json"),
            serde_json::Value::Object(places).to_string(),
        )
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where its processes write: `HELSENAV_BLACKBOX_LOGS` keeps that beyond the test.
    pub fn log(&self) -> PathBuf {
        match std::env::var_os("HELSENAV_BLACKBOX_LOGS") {
            Some(kept) => {
                let own = self.dir.path().file_name().unwrap_or_default();
                Path::new(&kept).join(own).with_extension("log")
            }
            None => self.beside("output.log"),
        }
    }

    /// A place beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command of the binary with the environment of this folder's engine.
    pub fn command(&self) -> Command {
        let mut command = crate::cli::helsenav();
        command.envs(self.engine.iter().map(|(k, v)| (*k, v.as_str())));
        command
    }
}

/// One running hub.
pub struct Demo {
    /// What it says of itself.
    pub facts: Facts,
    /// From the start of the process to ready.
    pub took: Duration,
    process: Process,
    folder: Option<Folder>,
}

impl Demo {
    /// Starts one on a folder, with `--no-story`, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the last lines of its output stand in the error.
    pub fn start(folder: Folder) -> Result<Self> {
        let began = Instant::now();
        let facts_file = folder.data().join("facts.json");
        let _ = std::fs::remove_file(&facts_file);
        let log = folder.log();
        let mut process = Process::spawn(&folder, &log)?;
        let deadline = began + START_TIMEOUT;
        let facts = loop {
            if let Some(code) = process.ended() {
                bail!("it ended ({code}):\n{}", tail(&log));
            }
            // Written once every listener answers.
            if let Ok(bytes) = std::fs::read(&facts_file)
                && let Ok(facts) = Facts::from_slice(&bytes)
                && is_ready(&facts)
            {
                break facts;
            }
            if Instant::now() > deadline {
                bail!("not ready after {START_TIMEOUT:?}:\n{}", tail(&log));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ok(Self {
            facts,
            took: began.elapsed(),
            process,
            folder: Some(folder),
        })
    }

    /// The folder it runs on.
    ///
    /// # Panics
    /// Never: the folder leaves only with the demo.
    pub fn folder(&self) -> &Folder {
        self.folder.as_ref().expect("a running demo has its folder")
    }

    /// Ctrl-C; waits for the end. The folder can be started again.
    ///
    /// # Errors
    /// When it does not end by itself, or not with exit code 0.
    pub fn stop(mut self) -> Result<Folder> {
        self.process.signal("INT")?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        let code = loop {
            if let Some(code) = self.process.ended() {
                break code;
            }
            if Instant::now() > deadline {
                bail!("it does not stop:\n{}", tail(&self.folder().log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if code != 0 {
            bail!(
                "it stopped with exit code {code}:\n{}",
                tail(&self.folder().log())
            );
        }
        self.folder.take().context("no folder")
    }

    /// SIGKILL, as the power goes. The folder can be started again.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> Result<Folder> {
        self.process.signal("KILL")?;
        while self.process.ended().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.folder.take().context("no folder")
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder().log()).unwrap_or_default()
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(30)..)
        .unwrap_or_default()
        .join("\n")
}

/// A plain request without a runtime: ready means 200.
fn is_ready(facts: &Facts) -> bool {
    use std::io::Read;
    let Some(host) = facts.base().strip_prefix("http://") else {
        return false;
    };
    let Ok(mut stream) = std::net::TcpStream::connect(host) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// The hub's process under a shell that outlives the test by a breath: its standard input is a pipe from the test, so
/// that the hub is ended when the test ends in any way at all, a panic or a kill included.
struct Process {
    shell: Child,
    pid: u32,
    _pipe: Option<ChildStdin>,
}

const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- & pid=$!
echo "$pid" >"$HUB_PID_FILE"
(
  cat <&3 >/dev/null 2>&1
  kill -INT "$pid" 2>/dev/null
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null
  rm -rf "$HUB_FOLDER"
) & guard=$!
exec 3<&-
wait "$pid"; code=$?
kill "$guard" 2>/dev/null
exit "$code"
"#;

impl Process {
    fn spawn(folder: &Folder, log: &Path) -> Result<Self> {
        let pid_file = folder.beside("pid");
        let _ = std::fs::remove_file(&pid_file);
        let out = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?;
        let binary = crate::cli::binary();
        let template = folder.command();
        let mut command = Command::new("bash");
        command.env_clear();
        // The environment of the folder, the hub's own settings of the caller taken out.
        command.envs(std::env::vars().filter(|(k, _)| !k.starts_with("HELSENAV_")));
        for (key, value) in template.get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        command
            .env("HUB_PID_FILE", &pid_file)
            .env("HUB_FOLDER", folder.dir.path());
        command
            .args(["-c", GUARD, "guard"])
            .arg(&binary)
            .arg("demo")
            .arg("--data")
            .arg(folder.data());
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--anchor",
            ANCHOR,
            "--population",
            POPULATION,
            "--no-story",
        ]);
        command
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out);
        let mut shell = command.spawn().context("bash does not start")?;
        let pipe = shell.stdin.take();
        let deadline = Instant::now() + START_TIMEOUT;
        let pid = loop {
            let written = std::fs::read_to_string(&pid_file).ok();
            if let Some(pid) = written.and_then(|t| t.trim().parse().ok()) {
                break pid;
            }
            if Instant::now() > deadline {
                bail!("{} does not start", binary.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ok(Self {
            shell,
            pid,
            _pipe: pipe,
        })
    }

    fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid.to_string())
            .status()?;
        if !sent.success() {
            bail!("the process is gone");
        }
        Ok(())
    }

    fn ended(&mut self) -> Option<i32> {
        let status = self.shell.try_wait().ok().flatten()?;
        Some(status.code().unwrap_or(-1))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.signal("KILL");
            let _ = self.shell.wait();
        }
    }
}
