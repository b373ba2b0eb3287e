//! Connections: one small runtime of the engine's own, a pool for reads, cached statements, errors.

use super::tls::{self, Tls};
use crate::StoreError;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Row, Socket, Statement};

/// Longest wait for a pooled connection.
const POOL_WAIT: Duration = Duration::from_secs(30);
/// A connection that was in use a moment ago is taken to be in order.
const FRESH: Duration = Duration::from_secs(1);
/// Longest statement of a read.
const STATEMENT_TIMEOUT: &str = "60s";
/// No limit, for housekeeping, backups and loads.
pub(super) const NO_TIMEOUT: &str = "0";

/// How far an idle connection is believed to stand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trust {
    /// It was in use a moment ago. For reads, which are tried again.
    Recent,
    /// What the server has sent meanwhile is looked at first.
    Nothing,
}

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A failed call as the store's error. Never carries values: only the server's message and code.
pub(super) fn down(error: tokio_postgres::Error) -> StoreError {
    StoreError::Unavailable(describe(&error))
}

/// What went wrong, without any value of a row.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("postgresql: {} ({})", db.message(), db.code().code()),
        None => {
            let source = std::error::Error::source(error);
            let source = source.map(|s| format!(": {s}")).unwrap_or_default();
            format!("postgresql: {error}{source}")
        }
    }
}

/// A connection with its prepared statements.
pub(super) struct Conn {
    pub(super) client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    own: Option<Own>,
}

/// The socket's side of a connection.
type Driven = Pin<Box<Connection<Socket, tls::Stream>>>;

/// A connection that no task drives: whoever waits for an answer reads the socket, without a hop to another thread.
struct Own {
    runtime: Option<Runtime>,
    connection: Mutex<Option<Driven>>,
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Conn {
    /// Runs a future that speaks over this connection, on the calling thread, until it is done. Only for connections
    /// made by [`Link::connect_here`] (the pool's too); any thread may call, one at a time.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let Some((own, runtime)) = self
            .own
            .as_ref()
            .and_then(|o| Some((o, o.runtime.as_ref()?)))
        else {
            return futures_util::future::FutureExt::now_or_never(future).unwrap_or_else(|| {
                unreachable!("a driven connection is awaited, never blocked on")
            });
        };
        let mut connection = own
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut future = std::pin::pin!(future);
        runtime.block_on(std::future::poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(value);
            }
            let ended = connection
                .as_mut()
                .is_some_and(|c| c.as_mut().poll(cx).is_ready());
            if ended {
                // the client sees it as closed from here on
                *connection = None;
            }
            future.as_mut().poll(cx)
        }))
    }

    /// Whether the connection still stands, after a look at what the server has sent while it was idle.
    fn alive(&self) -> bool {
        self.block_on(tokio::task::yield_now());
        !self.client.is_closed()
    }

    /// The statement, prepared once per connection.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Ok(cache) = self.statements.lock()
            && let Some(found) = cache.get(sql)
        {
            return Ok(found.clone());
        }
        let made = self.client.prepare(sql).await?;
        if let Ok(mut cache) = self.statements.lock() {
            cache.insert(sql.to_owned(), made.clone());
        }
        Ok(made)
    }

    /// All rows.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql).await.map_err(down)?;
        self.client.query(&statement, params).await.map_err(down)
    }

    /// One row or none.
    pub(super) async fn query_opt(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Number of rows changed.
    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        let statement = self.prepare(sql).await.map_err(down)?;
        self.client.execute(&statement, params).await.map_err(down)
    }

    /// Statements without parameters.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.client.batch_execute(sql).await.map_err(down)
    }
}

/// What a listening connection tells.
pub(super) enum Heard<'a> {
    /// It listens from now on: there may have been anything before.
    Anything,
    /// A notification of a server process.
    Note { sender: i32, payload: &'a str },
}

/// Where the database is and how it is spoken to.
pub(super) struct Link {
    config: Config,
    tls: Tls,
    /// Schema of the tables, checked to be a plain name.
    pub(super) schema: String,
    pub(super) handle: tokio::runtime::Handle,
    pool: Mutex<Pool>,
    freed: Condvar,
    most: usize,
}

/// Settings of every session. All access paths are index look-ups, so the planner is kept from others; from worker
/// processes too, which it starts for a page of a search once a table is large: that takes tens of milliseconds.
const SESSION: &str =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan;
SET max_parallel_workers_per_gather = 0;
SET lock_timeout = '20s'; SET idle_in_transaction_session_timeout = '60s';
SET client_min_messages = warning; SET bytea_output = hex;";

impl Link {
    /// Checks address and schema name; does not connect yet.
    pub(super) fn new(
        url: &str,
        schema: &str,
        max_connections: usize,
        handle: tokio::runtime::Handle,
    ) -> Result<Self, StoreError> {
        let plain = !schema.is_empty()
            && schema.len() <= 48
            && schema
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !schema.starts_with(|c: char| c.is_ascii_digit());
        if !plain {
            let what = "schema must match [a-z_][a-z0-9_]{0,47}".to_owned();
            return Err(StoreError::CannotOpen(what));
        }
        let (mut config, tls) = tls::of_url(url)?;
        config.connect_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(20));
        if config.get_application_name().is_none() {
            config.application_name("helsenav");
        }
        Ok(Self {
            config,
            tls,
            schema: schema.to_owned(),
            handle,
            pool: Mutex::default(),
            freed: Condvar::new(),
            most: max_connections.max(1),
        })
    }

    /// A new connection outside the pool.
    pub(super) async fn connect(&self) -> Result<Conn, StoreError> {
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(down)?;
        self.handle.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %describe(&error), "a PostgreSQL connection ended");
            }
        });
        let session = format!("{SESSION} SET search_path TO {};", self.schema);
        client.batch_execute(&session).await.map_err(down)?;
        Ok(Conn {
            client,
            statements: Mutex::default(),
            own: None,
        })
    }

    /// A connection that also hands on notifications.
    pub(super) async fn listen(
        &self,
        channel: &str,
        mut heard: impl FnMut(Heard<'_>) + Send,
    ) -> Result<(), StoreError> {
        use futures_util::StreamExt as _;
        let (client, mut connection) = self.config.connect(self.tls.clone()).await.map_err(down)?;
        let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
        let sql = format!("LISTEN {channel}");
        let listen = client.batch_execute(&sql);
        futures_util::pin_mut!(listen);
        let mut listening = false;
        loop {
            tokio::select! {
                done = &mut listen, if !listening => { done.map_err(down)?; listening = true; heard(Heard::Anything); }
                message = messages.next() => match message {
                    Some(Ok(AsyncMessage::Notification(note))) => heard(Heard::Note {
                        sender: note.process_id(),
                        payload: note.payload(),
                    }),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(down(error)),
                    None => return Err(StoreError::Unavailable("the listening connection ended".to_owned())),
                },
            }
        }
    }

    /// A new connection outside the pool that the calling thread drives.
    pub(super) fn connect_here(&self, patience: &str) -> Result<Conn, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| StoreError::Unavailable(format!("runtime of a connection: {e}")))?;
        let (client, connection) = runtime
            .block_on(self.config.connect(self.tls.clone()))
            .map_err(down)?;
        let conn = Conn {
            client,
            statements: Mutex::default(),
            own: Some(Own {
                runtime: Some(runtime),
                connection: Mutex::new(Some(Box::pin(connection))),
            }),
        };
        let session = format!(
            "{SESSION} SET statement_timeout = '{patience}'; SET search_path TO {};",
            self.schema
        );
        conn.block_on(conn.client.batch_execute(&session))
            .map_err(down)?;
        Ok(conn)
    }

    /// A pooled connection; waits while all are in use.
    pub(super) fn take(&self, trust: Trust) -> Result<Pooled<'_>, StoreError> {
        let until = Instant::now() + POOL_WAIT;
        let mut pool = self.pool();
        loop {
            if pool.closed {
                return Err(StoreError::Unavailable("the store is closed".to_owned()));
            }
            if pool.out < self.most {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = "all connections to the database are in use".to_owned();
                return Err(StoreError::Unavailable(what));
            }
            pool = self
                .freed
                .wait_timeout(pool, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        pool.out += 1;
        let idle = pool.idle.pop();
        drop(pool);
        // from here on the place is given back by the drop of `Pooled`
        let mut pooled = Pooled {
            conn: idle
                .filter(|(conn, since)| match trust {
                    Trust::Recent if since.elapsed() < FRESH => !conn.client.is_closed(),
                    _ => conn.alive(),
                })
                .map(|(conn, _)| conn),
            link: self,
        };
        if pooled.conn.is_none() {
            pooled.conn = Some(self.connect_here(STATEMENT_TIMEOUT)?);
        }
        Ok(pooled)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses further work and drops idle connections.
    pub(super) fn close(&self) {
        let mut pool = self.pool();
        pool.closed = true;
        pool.idle.clear();
        self.freed.notify_all();
    }
}

/// Connections of the pool.
#[derive(Default)]
struct Pool {
    /// And since when.
    idle: Vec<(Conn, Instant)>,
    out: usize,
    closed: bool,
}

/// A connection out of the pool; goes back when dropped, unless it is broken.
pub(super) struct Pooled<'a> {
    conn: Option<Conn>,
    link: &'a Link,
}

impl Pooled<'_> {
    /// Keeps the connection out of the pool (its session state is unknown).
    pub(super) fn discard(mut self) {
        self.conn = None;
    }
}

impl std::ops::Deref for Pooled<'_> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        match &self.conn {
            Some(conn) => conn,
            None => unreachable!("a pooled connection is only gone when it is dropped"),
        }
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut pool = self.link.pool();
        pool.out = pool.out.saturating_sub(1);
        if let Some(conn) = self.conn.take()
            && !conn.client.is_closed()
            && !pool.closed
        {
            pool.idle.push((conn, Instant::now()));
        }
        self.link.freed.notify_one();
    }
}

/// `BEGIN … COMMIT` around a piece of work on one pooled connection; rolls back on error.
pub(super) async fn transaction<T>(
    conn: &Conn,
    begin: &str,
    work: impl AsyncFnOnce(&Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    conn.batch(begin).await?;
    let result = work(conn).await;
    match result {
        Ok(value) => {
            conn.batch("COMMIT").await?;
            Ok(value)
        }
        Err(error) => {
            // when the connection is gone the server rolls back by itself
            let _ = conn.batch("ROLLBACK").await;
            Err(error)
        }
    }
}
