//! What a schema takes of a PostgreSQL server's disk, and its removal after the run.

use anyhow::Result;
use tokio_postgres::{Client, NoTls};

fn with<T>(url: &str, work: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let driver = tokio::spawn(connection);
        let out = work(&client).await;
        drop(client);
        let _ = driver.await;
        out
    })
}

/// Bytes of each table with its indexes and long values; tables below 64 kB are left out.
///
/// # Errors
/// When the server cannot be asked.
pub fn table_bytes(url: &str, schema: &str) -> Result<Vec<(String, u64)>> {
    with(url, async |client| {
        let rows = client
            .query(
                "SELECT c.relname::text, pg_total_relation_size(c.oid) FROM pg_class c
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = $1 AND c.relkind = 'r' ORDER BY 1",
                &[&schema],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                let length: i64 = row.get(1);
                (row.get(0), u64::try_from(length).unwrap_or(0))
            })
            .filter(|(_, length)| *length > 64 << 10)
            .collect())
    })
}

/// Removes the schema with all that is in it.
///
/// # Errors
/// When the server cannot do so.
pub fn remove(url: &str, schema: &str) -> Result<()> {
    let name = format!("\"{}\"", schema.replace('"', "\"\""));
    with(url, async |client| {
        client
            .batch_execute(&format!("DROP SCHEMA IF EXISTS {name} CASCADE"))
            .await?;
        Ok(())
    })
}
