//! Connections: one small runtime of the engine's own, a pool for reads, cached statements, errors.

use crate::StoreError;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

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
}

impl Conn {
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

/// Where the database is and how it is spoken to.
pub(super) struct Link {
    config: Config,
    /// Schema of the tables, checked to be a plain name.
    pub(super) schema: String,
    handle: tokio::runtime::Handle,
    idle: Mutex<Vec<Conn>>,
    permits: Semaphore,
}

/// Settings of every session. All access paths are index look-ups, so the planner is kept from others.
const SESSION: &str =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan;
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
        let mut config: Config = url
            .parse()
            .map_err(|_| StoreError::CannotOpen("the PostgreSQL url cannot be read".to_owned()))?;
        config.connect_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(20));
        if config.get_application_name().is_none() {
            config.application_name("helsenav");
        }
        Ok(Self {
            config,
            schema: schema.to_owned(),
            handle,
            idle: Mutex::default(),
            permits: Semaphore::new(max_connections.max(1)),
        })
    }

    /// A new connection outside the pool.
    pub(super) async fn connect(&self) -> Result<Conn, StoreError> {
        let (client, connection) = self.config.connect(NoTls).await.map_err(down)?;
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
        })
    }

    /// A connection that also hands on notifications.
    pub(super) async fn listen(
        &self,
        channel: &str,
        mut heard: impl FnMut() + Send,
    ) -> Result<(), StoreError> {
        use futures_util::StreamExt as _;
        let (client, mut connection) = self.config.connect(NoTls).await.map_err(down)?;
        let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
        let sql = format!("LISTEN {channel}");
        let listen = client.batch_execute(&sql);
        futures_util::pin_mut!(listen);
        let mut listening = false;
        loop {
            tokio::select! {
                done = &mut listen, if !listening => { done.map_err(down)?; listening = true; heard(); }
                message = messages.next() => match message {
                    Some(Ok(_)) => heard(),
                    Some(Err(error)) => return Err(down(error)),
                    None => return Err(StoreError::Unavailable("the listening connection ended".to_owned())),
                },
            }
        }
    }

    /// A pooled connection; waits while all are in use.
    pub(super) async fn take(&self) -> Result<Pooled<'_>, StoreError> {
        let permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let conn = match idle.filter(|c| !c.client.is_closed()) {
            Some(conn) => conn,
            None => self.connect().await?,
        };
        Ok(Pooled {
            conn: Some(conn),
            link: self,
            _permit: permit,
        })
    }

    /// Runs a future on the engine's runtime and blocks the calling thread until it is done.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// Refuses further work and drops idle connections.
    pub(super) fn close(&self) {
        self.permits.close();
        if let Ok(mut idle) = self.idle.lock() {
            idle.clear();
        }
    }
}

/// A connection out of the pool; goes back when dropped, unless it is broken or inside a transaction.
pub(super) struct Pooled<'a> {
    conn: Option<Conn>,
    link: &'a Link,
    _permit: SemaphorePermit<'a>,
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
        if let Some(conn) = self.conn.take()
            && !conn.client.is_closed()
            && let Ok(mut idle) = self.link.idle.lock()
            && !self.link.permits.is_closed()
        {
            idle.push(conn);
        }
    }
}

/// `BEGIN … COMMIT` around a piece of work on one pooled connection; rolls back on error.
pub(super) async fn transaction<T>(
    conn: &Pooled<'_>,
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
