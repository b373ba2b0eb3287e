//! The command line.

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use hub::{Config, Opened};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// A whole national e-health hub in one program.
#[derive(Debug, Parser)]
#[command(name = "helsenav", version, about, long_about = None, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub by its configuration file.
    Serve(ServeArgs),
    /// Run the hub with a synthetic nation and actors that live its story.
    Demo(Box<DemoArgs>),
    /// Measure: the store, or the FHIR server under load.
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Explain a message: what it is, what is right, what is wrong (line, element, rule).
    Validate(crate::validate::ValidateArgs),
    /// Show the decision trace of a refused or empty answer of a running demo.
    Explain {
        /// Event id: header `x-event-id` of the answer, or a line of the log.
        event: uuid::Uuid,
        #[command(flatten)]
        hub: crate::admin::HubArgs,
    },
    /// Import official material at run time.
    Import {
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// The access log: verify an extract offline.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Make the search keys of a stopped hub's FHIR records anew, where other definitions made them.
    Reindex {
        /// Of every record, not only of those that other definitions made.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        index: crate::index::IndexArgs,
    },
    /// Check a stopped hub's store.
    Check {
        #[command(subcommand)]
        command: CheckCommand,
    },
    /// Write the resources of a stopped hub as NDJSON files; patient data encrypted to a receiver.
    Export(crate::export::ExportArgs),
    /// Write the logical backup of a stopped hub's store.
    Backup {
        /// File to write.
        file: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Fill an empty store from a backup.
    Restore {
        /// File to read.
        file: PathBuf,
        /// Restore also when the mirror of the backup's store is gone: what was blocked or erased since comes back.
        #[arg(long)]
        accept_lost_settings: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Operators of /drift: add, list, block, unblock, password, remove.
    User {
        #[command(subcommand)]
        command: crate::user::UserCommand,
    },
    /// Users of the message bus, the mailboxes and the SOAP services: add, list, password, remove.
    SystemUser {
        #[command(subcommand)]
        command: crate::system_user::SystemUserCommand,
    },
    /// Registrations of HelseID clients: add, list, show, remove, keys, scopes.
    Client {
        #[command(subcommand)]
        command: crate::client::ClientCommand,
    },
    /// The configuration: check it, or show it with all defaults.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// Resources, one per line (NDJSON), into the sandbox.
    Ndjson(crate::import::NdjsonArgs),
    /// Persons, events and notices of birth and death of the population register, into the person register of a stopped hub.
    Persons(crate::persons::PersonsArgs),
    /// Official schemas (XSD) for the validator: kept in the store; every running process of the hub uses them at once.
    Standards {
        /// Folder with the schemas.
        folder: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, Subcommand)]
enum CheckCommand {
    /// The search index: is it what the log says, and do the stored search keys follow from the content?
    Index(crate::index::IndexArgs),
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Check the proof that a citizen was handed, offline.
    Verify {
        /// The downloaded file.
        file: PathBuf,
        /// Keys of the log (`<base>/log/jwks`), when the file does not carry them.
        #[arg(long)]
        jwks: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check a configuration file and the environment.
    Check {
        /// The file.
        file: Option<PathBuf>,
    },
    /// Print the configuration with all defaults.
    Show {
        /// The file.
        file: Option<PathBuf>,
    },
}

/// Which store.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// Configuration file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Data folder (overrides the configuration).
    #[arg(long)]
    pub data: Option<PathBuf>,
}

impl StoreArgs {
    /// The configuration that they name.
    pub(crate) fn configuration(&self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok(config)
    }

    /// A stopped hub's store and what stands before anything else; on PostgreSQL the hub may run.
    pub(crate) fn opened(&self) -> Result<Opened> {
        Opened::open(self.configuration()?).context("is the hub still running?")
    }
}

/// Addresses; a default port that is taken moves to a free one.
#[derive(Debug, Clone, Args, Default)]
pub(crate) struct ListenArgs {
    /// Main listener. Alone, it moves all others to free ports.
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// Main listener over TLS.
    #[arg(long)]
    pub listen_tls: Option<SocketAddr>,
    /// HelseID over TLS (its address is the issuer).
    #[arg(long)]
    pub listen_helseid_tls: Option<SocketAddr>,
    /// HelseID over HTTP, for browsers without the demo CA.
    #[arg(long)]
    pub listen_helseid: Option<SocketAddr>,
    /// The citizens' issuer over TLS for applications that show a certificate.
    #[arg(long)]
    pub listen_citizen_mtls: Option<SocketAddr>,
    /// AMQP.
    #[arg(long)]
    pub listen_amqp: Option<SocketAddr>,
    /// AMQP over TLS.
    #[arg(long)]
    pub listen_amqp_tls: Option<SocketAddr>,
    /// Mail in: SMTP.
    #[arg(long)]
    pub listen_smtp: Option<SocketAddr>,
    /// Mail out: POP3.
    #[arg(long)]
    pub listen_pop3: Option<SocketAddr>,
    /// Mail in over TLS.
    #[arg(long)]
    pub listen_smtp_tls: Option<SocketAddr>,
    /// Mail out over TLS.
    #[arg(long)]
    pub listen_pop3_tls: Option<SocketAddr>,
}

/// Run the hub by its configuration file.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file; without one, the defaults and `HELSENAV_…` variables count.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Data folder.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Start only these services, separated by commas (not in this version: all are started).
    #[arg(long, value_delimiter = ',')]
    pub roles: Vec<String>,
    #[command(flatten)]
    pub listen: ListenArgs,
}

/// Run the demo nation.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
    /// Configuration file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Data folder.
    #[arg(long, default_value = "./data")]
    pub data: PathBuf,
    /// Number of inhabitants.
    #[arg(long, default_value_t = 2_000)]
    pub population: usize,
    /// Seed of the nation.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Story day (YYYY-MM-DD); without it the date of the first start.
    #[arg(long)]
    pub anchor: Option<jiff::civil::Date>,
    /// Pace of the story: 60 = a minute a second, 1 = real time, 0 = as fast as possible.
    #[arg(long, default_value_t = 60.0)]
    pub pace: f64,
    /// Do not play the story by itself.
    #[arg(long)]
    pub no_story: bool,
    /// Throw the data away and begin anew; asks first.
    #[arg(long)]
    pub fresh: bool,
    /// Answer yes to questions.
    #[arg(long)]
    pub yes: bool,
    /// Allow addresses that other machines can reach. Everything in the demo has known passwords.
    #[arg(long)]
    pub expose_demo: bool,
    /// Folder with official schemas for the validator.
    #[arg(long)]
    pub schemas: Option<PathBuf>,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DemoCommand {
    /// Print how Java, Node, Python, .NET and browsers trust the demo CA.
    TrustCa {
        /// Data folder of the demo.
        #[arg(long, default_value = "./data")]
        data: PathBuf,
    },
    /// Register a client at the running demo: key, scopes and a file with everything it needs.
    AddClient(crate::client::DemoClientArgs),
    /// Add a person to the running demo.
    AddPerson(crate::demo::AddPersonArgs),
    /// Add an organisation to the running demo.
    AddOrganisation(crate::demo::AddOrganisationArgs),
    /// Make FHIR resources of a whole population: files, or straight into a running sandbox.
    Generate(crate::demo::GenerateArgs),
    /// Make the nation's persons and a feed of events as the population register would deliver them.
    Folkeregister(crate::demo::FolkeregisterArgs),
}

/// Runs one command.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => crate::serve::serve(args),
        Command::Demo(args) => match args.command.clone() {
            Some(DemoCommand::TrustCa { data }) => crate::demo::trust_ca(&data),
            Some(DemoCommand::AddClient(args)) => crate::client::demo_add(&args),
            Some(DemoCommand::AddPerson(args)) => crate::demo::add_person(&args),
            Some(DemoCommand::AddOrganisation(args)) => crate::demo::add_organisation(&args),
            Some(DemoCommand::Generate(args)) => crate::demo::generate(&args),
            Some(DemoCommand::Folkeregister(args)) => crate::demo::folkeregister(&args),
            None => crate::demo::run(*args),
        },
        Command::Validate(args) => crate::validate::run(args),
        Command::Bench { bench } => {
            let program = std::env::current_exe()?;
            bench::run(&bench, Some(&program)).map(|()| ExitCode::SUCCESS)
        }
        Command::Explain { event, hub } => crate::admin::explain(event, &hub),
        Command::Log {
            command: LogCommand::Verify { file, jwks },
        } => crate::log_verify::run(&file, jwks.as_deref()),
        Command::Import {
            command: ImportCommand::Ndjson(args),
        } => crate::import::ndjson(&args),
        Command::Import {
            command: ImportCommand::Persons(args),
        } => crate::persons::run(&args),
        Command::Import {
            command: ImportCommand::Standards { folder, store },
        } => crate::admin::import_standards(&folder, &store),
        Command::Reindex { all, index } => crate::index::reindex(&index, all),
        Command::Check {
            command: CheckCommand::Index(args),
        } => crate::index::check_index(&args),
        Command::Backup { file, store } => crate::admin::backup(&file, &store),
        Command::Restore {
            file,
            accept_lost_settings,
            store,
        } => crate::admin::restore(&file, accept_lost_settings, &store),
        Command::Export(args) => crate::export::run(&args),
        Command::User { command } => crate::user::run(&command),
        Command::SystemUser { command } => crate::system_user::run(&command),
        Command::Client { command } => crate::client::run(&command),
        Command::Config { command } => crate::admin::config(match command {
            ConfigCommand::Check { file } => (file, false),
            ConfigCommand::Show { file } => (file, true),
        }),
    }
}
