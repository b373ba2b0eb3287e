//! The actors as a process of their own, against any running demo hub:
//!
//! ```text
//! cargo run -p actors --example live -- data/facts.json play blokk.13 0
//! cargo run -p actors --example live -- data/facts.json bad B01 B15     (no ids: all cases)
//! ```

use actors::{Facts, Options};
use anyhow::{Context, Result, bail};
use nation::{Nation, Params};
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let file = args.next().context("give the path of facts.json")?;
    let facts = Facts::from_slice(&std::fs::read(file)?)?;
    match args.next().as_deref() {
        Some("play") => {
            let until = args.next().unwrap_or_else(|| "end".to_owned());
            let pace = args.next().map_or(Ok(0.0), |p| p.parse())?;
            let params = Params {
                seed: facts.seed,
                anchor: facts.anchor,
                ..Params::default()
            };
            let nation = Arc::new(Nation::generate(&params)?);
            let handle = actors::run(facts, nation, Options::default()).await?;
            let answer = handle.play(&until, pace).await;
            println!("{:#}", answer.map_err(anyhow::Error::msg)?);
            handle.stop().await;
        }
        Some("bad") => {
            let mut ids: Vec<String> = args.collect();
            if ids.is_empty() {
                ids = actors::bad::CASES.iter().map(|c| c.id.to_owned()).collect();
            }
            let mut wrong = 0;
            for id in ids {
                let seen = actors::bad::run(&facts, &id).await?;
                let mark = if seen.is_as_expected {
                    "ok"
                } else {
                    "NOT AS EXPECTED"
                };
                wrong += usize::from(!seen.is_as_expected);
                println!("{id} {mark} ({} ms): {}", seen.took_ms, seen.answer.words());
            }
            if wrong > 0 {
                bail!("{wrong} cases were answered otherwise");
            }
        }
        _ => bail!("say play or bad"),
    }
    Ok(())
}
