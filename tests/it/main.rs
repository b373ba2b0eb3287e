//! Black-box stories over real protocols, and the checks of the house itself.

mod bad_cases;
mod bulk;
mod citizens;
mod clients;
mod command_line;
mod crash;
mod facts;
mod house;
mod letters;
mod login;
mod messages;
mod newcomers;
mod official;
mod older_bus;
mod operations;
mod privacy;
mod results;
mod sandbox;
mod story;
mod subscriptions;
mod system_users;

use anyhow::Result;
use blackbox::http::Web;
use blackbox::{Demo, Engine};

/// Makes each story a test per engine.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::$name(blackbox::Engine::Sqlite).await
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::$name(blackbox::Engine::Postgres).await
            })+
        }
    };
}
pub(crate) use on_both_engines;

/// One story at a time may take from the queues of «Din EPJ AS» of a shared demo.
async fn queue_of_ours(engine: Engine) -> tokio::sync::MutexGuard<'static, ()> {
    static SQLITE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    static POSTGRES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    match engine {
        Engine::Sqlite => SQLITE.lock().await,
        Engine::Postgres => POSTGRES.lock().await,
    }
}

/// The shared demo of an engine with a client that trusts it; `None` when the engine is not to be had.
fn shared(engine: Engine) -> Result<Option<(&'static Demo, Web)>> {
    let Some(demo) = engine.shared() else {
        return Ok(None);
    };
    Ok(Some((demo, Web::new(demo.facts.text("/ca_pem"))?)))
}
