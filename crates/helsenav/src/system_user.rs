//! `helsenav system-user …`: who may use the message bus, the mailboxes and the registers' SOAP services for a party, from
//! the command line.
//!
//! Passwords are made here and shown once; nobody chooses one. On the embedded engine the hub must be stopped; beside
//! PostgreSQL it may run, and sees every change within seconds.

use crate::cli::StoreArgs;
use anyhow::Result;
use clap::Subcommand;
use hub::system_users::SystemUsers;
use std::process::ExitCode;

/// System users.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SystemUserCommand {
    /// Add the user of a communication party; its password is made and shown once.
    Add {
        /// HER-id of the organisation, or of the unit that has queues of its own.
        her_id: u32,
        /// A right beside those that everybody has (reading the registers), such as FlrWrite; may be repeated.
        #[arg(long = "role")]
        roles: Vec<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the users with their rights.
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Give another password; the old one is no longer taken.
    Password {
        /// HER-id.
        her_id: u32,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Take a user away.
    Remove {
        /// HER-id.
        her_id: u32,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Runs one command.
pub(crate) fn run(command: &SystemUserCommand) -> Result<ExitCode> {
    match command {
        SystemUserCommand::Add {
            her_id,
            roles,
            store,
        } => {
            let password = on(store, |all| Ok(all.add(*her_id, roles)?))?;
            println!("Added {her_id}");
            show(&password);
        }
        SystemUserCommand::List { store } => {
            for user in on(store, |all| Ok(all.list()?))? {
                let roles: Vec<String> = user.roles.into_iter().collect();
                println!("{:<10} {}", user.her_id, roles.join(" "));
            }
        }
        SystemUserCommand::Password { her_id, store } => {
            let password = on(store, |all| Ok(all.renew(*her_id)?))?;
            println!("Changed {her_id}");
            show(&password);
        }
        SystemUserCommand::Remove { her_id, store } => {
            on(store, |all| Ok(all.remove(*her_id)?))?;
            println!("Removed {her_id}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(password: &str) {
    println!("Password (shown this once): {password}");
}

/// Opens a stopped hub, works on its system users and closes the store.
fn on<T>(args: &StoreArgs, work: impl FnOnce(&SystemUsers) -> Result<T>) -> Result<T> {
    let opened = args.opened()?;
    let users = SystemUsers::new(opened.store.clone(), opened.trust.hub("system-user"))?;
    let done = work(&users);
    drop(users);
    opened.store.close();
    done
}
