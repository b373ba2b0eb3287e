//! `helsenav user …`: the operators of `/drift`, from the command line.
//!
//! A password never stands on a command line, where every user of the machine could read it: it comes from standard input
//! or is made here and shown once. On the embedded engine the hub must be stopped; beside PostgreSQL it may run, and asks
//! for the operator at every request, so that changes hold at once.

use crate::cli::StoreArgs;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use hub::operators::{MAX_PASSWORD, Operators, Role};
use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::process::ExitCode;

/// Operators of `/drift`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum UserCommand {
    /// Add an operator; her password is made and shown once, unless it comes from standard input.
    Add {
        /// User name: a-z 0-9 . _ -
        username: String,
        /// Name shown.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the operators.
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Keep an operator out; her sessions end with their next request.
    Block {
        /// User name.
        username: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Let a blocked operator in again.
    Unblock {
        /// User name.
        username: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Give another password.
    Password {
        /// User name.
        username: String,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Take an operator away.
    Remove {
        /// User name.
        username: String,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Where a password comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from the first line of standard input instead of making one.
    #[arg(long)]
    pub password_stdin: bool,
}

impl PasswordArgs {
    /// The password, and whether it was made here.
    fn get(&self) -> Result<(String, bool)> {
        if !self.password_stdin {
            return Ok((edge::cookie::random_token(), true));
        }
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .take(MAX_PASSWORD as u64 + 2)
            .read_line(&mut line)
            .context("the password on standard input cannot be read")?;
        let password = line.trim_end_matches(['\n', '\r']).to_owned();
        if password.is_empty() {
            bail!("standard input holds no password");
        }
        Ok((password, false))
    }
}

/// Runs one command.
pub(crate) fn run(command: &UserCommand) -> Result<ExitCode> {
    match command {
        UserCommand::Add {
            username,
            name,
            password,
            store,
        } => {
            let (password, is_made) = password.get()?;
            let roles = BTreeSet::from([Role::Operator]);
            on(store, |all| Ok(all.add(username, name, roles, &password)?))?;
            println!("Added {username}");
            show(&password, is_made);
        }
        UserCommand::List { store } => {
            for operator in on(store, |all| Ok(all.list()?))? {
                let state = if operator.is_blocked {
                    "blocked"
                } else {
                    "active"
                };
                println!("{:<24} {state:<8} {}", operator.username, operator.name);
            }
        }
        UserCommand::Block { username, store } => {
            on(store, |all| Ok(all.block(username, true)?))?;
            println!("Blocked {username}");
        }
        UserCommand::Unblock { username, store } => {
            on(store, |all| Ok(all.block(username, false)?))?;
            println!("Unblocked {username}");
        }
        UserCommand::Password {
            username,
            password,
            store,
        } => {
            let (password, is_made) = password.get()?;
            on(store, |all| Ok(all.set_password(username, &password)?))?;
            println!("Changed {username}");
            show(&password, is_made);
        }
        UserCommand::Remove { username, store } => {
            on(store, |all| Ok(all.remove(username)?))?;
            println!("Removed {username}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(password: &str, is_made: bool) {
    if is_made {
        println!("Password (shown this once): {password}");
    }
}

/// Opens a stopped hub, works on its operators and closes the store.
fn on<T>(args: &StoreArgs, work: impl FnOnce(&Operators) -> Result<T>) -> Result<T> {
    let opened = args.opened()?;
    let operators = Operators::new(opened.store.clone(), opened.trust.hub("user"))?;
    let done = work(&operators);
    drop(operators);
    opened.store.close();
    done
}
