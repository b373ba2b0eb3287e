//! AMQP 0.9.1 on the bus's own port, spoken in bytes: the hub has it, with the users and rights of AMQP 1.0.

use super::{on_both_engines, shared};
use anyhow::{Context, Result, ensure};
use blackbox::Engine;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

on_both_engines!(
    the_port_speaks_the_older_version_too,
    a_wrong_password_is_refused,
);

const PATIENCE: Duration = Duration::from_secs(60);

struct Older(TcpStream);

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

impl Older {
    async fn open(engine: Engine) -> Result<Option<(Self, String, String)>> {
        let Some((demo, _)) = shared(engine)? else {
            return Ok(None);
        };
        let facts = &demo.facts;
        let organisation = facts.organisation("vaar-epj");
        let users = facts.0["amqp"]["users"].as_array().context("no users")?;
        let user = users.iter().find(|u| u["her_id"] == organisation["her_id"]);
        let user = user.context("no bus user")?;
        let text = |name: &str| user[name].as_str().map(str::to_owned).context("no text");
        let port = facts.0["amqp"]["port"].as_u64().context("no port")?;
        let address = format!("{}:{port}", facts.text("/amqp/host"));
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        let opened = (Self(stream), text("username")?, text("password")?);
        Ok(Some(opened))
    }

    async fn call(&mut self, channel: u8, id: (u8, u8), arguments: &[u8]) -> Result<()> {
        let payload = [&[0, id.0, 0, id.1], arguments].concat();
        let size = u32::try_from(payload.len())?.to_be_bytes();
        let frame = [&[1, 0, channel][..], &size, &payload, &[0xce]].concat();
        Ok(self.0.write_all(&frame).await?)
    }

    /// The arguments of this method, which comes next.
    async fn expect(&mut self, id: (u8, u8)) -> Result<Vec<u8>> {
        let read = async {
            loop {
                let mut head = [0; 7];
                self.0.read_exact(&mut head).await?;
                let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
                let mut payload = vec![0; usize::try_from(size)? + 1];
                self.0.read_exact(&mut payload).await?;
                // Heartbeats may come in between.
                if head[0] != 8 {
                    return anyhow::Ok(payload);
                }
            }
        };
        let payload = tokio::time::timeout(PATIENCE, read).await??;
        let text = String::from_utf8_lossy(&payload);
        ensure!(payload.starts_with(&[0, id.0, 0, id.1]), "{id:?}: {text}");
        Ok(payload[4..].to_vec())
    }

    async fn log_in(&mut self, user: &str, password: &str) -> Result<()> {
        self.expect((10, 10)).await?;
        let capability = [&short("authentication_failure_close")[..], b"t\x01"].concat();
        let size = |bytes: &[u8]| (bytes.len() as u32).to_be_bytes();
        let table = [
            &short("capabilities")[..],
            b"F",
            &size(&capability),
            &capability,
        ]
        .concat();
        let response = format!("\0{user}\0{password}").into_bytes();
        let start_ok = [
            &size(&table)[..],
            &table,
            &short("PLAIN"),
            &size(&response),
            &response,
            &short("en_US"),
        ];
        self.call(0, (10, 11), &start_ok.concat()).await
    }
}

async fn the_port_speaks_the_older_version_too(engine: Engine) -> Result<()> {
    let Some((mut older, user, password)) = Older::open(engine).await? else {
        return Ok(());
    };
    older.log_in(&user, &password).await?;
    older.expect((10, 30)).await?;
    older.call(0, (10, 31), &[0; 8]).await?;
    let open = [&short("RegisterEvents")[..], &[0, 0]].concat();
    older.call(0, (10, 40), &open).await?;
    older.expect((10, 41)).await?;
    older.call(1, (20, 10), &[0]).await?;
    older.expect((20, 11)).await?;
    // One's own queue is there, another's is another's.
    for (queue, answer) in [("8900900_async", (50, 11)), ("8900300_async", (20, 40))] {
        let passive = [&[0, 0][..], &short(queue), &[1], &[0; 4]].concat();
        older.call(1, (50, 10), &passive).await?;
        let said = older.expect(answer).await?;
        if answer == (20, 40) {
            assert_eq!(u16::from_be_bytes([said[0], said[1]]), 403);
        }
    }
    older.call(0, (10, 50), &[0, 200, 0, 0, 0, 0, 0]).await?;
    older.expect((10, 51)).await?;
    Ok(())
}

async fn a_wrong_password_is_refused(engine: Engine) -> Result<()> {
    let Some((mut older, user, _)) = Older::open(engine).await? else {
        return Ok(());
    };
    older.log_in(&user, "feil").await?;
    let said = older.expect((10, 50)).await?;
    assert_eq!(u16::from_be_bytes([said[0], said[1]]), 403);
    Ok(())
}
