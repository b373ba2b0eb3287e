//! `helsenav client …`: registrations of clients, of HelseID and of the citizens' issuer, from the command line, and `helsenav demo add-client`.
//!
//! Keys are made here, on the machine of whoever asks; the store is given the public half only. On the embedded engine
//! the hub must be stopped; beside PostgreSQL it may run, and takes changes over within a second.

use crate::cli::StoreArgs;
use crate::demo::{CA_FILE, FACTS_FILE, write_private};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use helseid::citizen::{RIGHT_NAME, RIGHT_PID};
use helseid::registry::model::{ApiOwner, Origin, Rules, SystemTenancy, SystemUsers};
use helseid::registry::rules::SELF_SERVICE_SCOPE;
use helseid::registry::{Actor, NewClient, NewSystem, Registry, RegistryParts};
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Registrations of HelseID clients.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ClientCommand {
    /// Register a client, with a new key unless one is given.
    Add(AddArgs),
    /// List the clients.
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show one client.
    Show {
        /// Client id.
        client_id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Remove a client; its tokens run out by themselves.
    Remove {
        /// Client id.
        client_id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Add or remove a key of a client.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Ask for a scope, or decide on one.
    Scope {
        /// Client id.
        client_id: String,
        /// The scope.
        scope: String,
        /// What to do.
        #[arg(value_enum)]
        what: ScopeAct,
        /// Why, for those who asked.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Let a client exchange tokens sent to APIs, say where it is told of logouts, and for whom the tokens of a citizens'
    /// client are; replaces what was there.
    Roles {
        /// Client id.
        client_id: String,
        /// Audience of an API it calls other APIs for; may be given several times.
        #[arg(long = "acts-for")]
        acts_for: Vec<String>,
        /// Address framed in the browser when a login ends.
        #[arg(long)]
        frontchannel_logout_uri: Option<String>,
        /// Address that gets a logout token when a login ends.
        #[arg(long)]
        backchannel_logout_uri: Option<String>,
        /// Audience of the access tokens of a citizens' client; may be given several times.
        #[arg(long = "audience")]
        audiences: Vec<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Say who decides on the scopes of an API.
    Owner {
        /// Audience of the API.
        audience: String,
        /// Organisation number of its owner; without one the operator decides.
        #[arg(long)]
        organisation: Option<String>,
        /// Approve its scopes as soon as they are asked for.
        #[arg(long)]
        automatic: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// What to do with a scope.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ScopeAct {
    Request,
    Approve,
    Reject,
    Remove,
}

/// Keys of a client.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeyCommand {
    /// Add a key: a new one, or a public JWK.
    Add {
        /// Client id.
        client_id: String,
        #[command(flatten)]
        key: KeyArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Remove a key at once.
    Remove {
        /// Client id.
        client_id: String,
        /// Its thumbprint, as `client show` prints it.
        thumbprint: String,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Kinds of keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// EC P-256, ES256.
    P256,
    /// EC P-384, ES384.
    P384,
    /// EC P-521, ES512.
    P521,
    /// RSA 2048, PS256.
    Rsa2048,
    /// RSA 3072, PS256.
    Rsa3072,
    /// RSA 4096, PS256.
    Rsa4096,
}

/// Which key.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyArgs {
    /// File with a public JWK; without one a key is made.
    #[arg(long, conflicts_with_all = ["kind", "out"])]
    pub jwk: Option<PathBuf>,
    /// Kind of the key made.
    #[arg(long, value_enum, default_value = "p256")]
    pub kind: Kind,
    /// File for the private key made (mode 0600); it must not exist.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Which issuer a client is of.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct IssuerArgs {
    /// It logs citizens in, at their issuer; its scopes are rights (oidcnavn, oidcfodselsnummer, …).
    #[arg(long, conflicts_with = "user")]
    pub citizens: bool,
    /// An application without a key: each instance shows a certificate of its own.
    #[arg(long, requires = "citizens", conflicts_with_all = ["jwk", "kind"])]
    pub app: bool,
}

impl IssuerArgs {
    const fn users(self) -> SystemUsers {
        match (self.citizens, self.app) {
            (false, _) => SystemUsers::Personnel,
            (true, false) => SystemUsers::Citizens,
            (true, true) => SystemUsers::CitizensApp,
        }
    }
}

/// A client to be registered.
#[derive(Debug, Clone, Args)]
pub(crate) struct AddArgs {
    /// Name of the client.
    #[arg(long)]
    pub name: String,
    /// Organisation number of the legal entity that uses it (single-tenant), or of the supplier (multi-tenant).
    #[arg(long)]
    pub organisation: String,
    /// Client id; a GUID is made when absent.
    #[arg(long)]
    pub client_id: Option<String>,
    /// Users log in with it (besides machine tokens, with which it renews its key).
    #[arg(long)]
    pub user: bool,
    /// For all organisations that delegate to it.
    #[arg(long)]
    pub multi_tenant: bool,
    /// Native application: any port on loopback redirect URIs, private schemes.
    #[arg(long)]
    pub native: bool,
    /// Take what stock OAuth libraries send.
    #[arg(long)]
    pub compatible: bool,
    /// A scope; may be given several times.
    #[arg(long = "scope")]
    pub scopes: Vec<String>,
    /// Approve the scopes at once.
    #[arg(long)]
    pub approve: bool,
    /// A redirect URI; may be given several times.
    #[arg(long = "redirect-uri")]
    pub redirect_uris: Vec<String>,
    /// Sub-unit the client may name; may be given several times.
    #[arg(long = "child")]
    pub children: Vec<String>,
    #[command(flatten)]
    pub issuer: IssuerArgs,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// A client of a running demo.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoClientArgs {
    /// Data folder of the demo.
    #[arg(long, default_value = "./data")]
    pub data: PathBuf,
    /// Organisation number, or an organisation's key in facts.json.
    #[arg(long, default_value = "fjordglott")]
    pub organisation: String,
    /// Name of the client.
    #[arg(long)]
    pub name: Option<String>,
    /// Client id; a GUID is made when absent.
    #[arg(long)]
    pub client_id: Option<String>,
    /// A scope (with --citizens a right), approved at once; may be given several times. Without one: results and core
    /// record, or name and national identity number.
    #[arg(long = "scope")]
    pub scopes: Vec<String>,
    /// Users log in with it.
    #[arg(long)]
    pub user: bool,
    /// A redirect URI (any port on loopback addresses); may be given several times.
    #[arg(long = "redirect-uri")]
    pub redirect_uris: Vec<String>,
    /// Strict rules, as in production; else stock OAuth libraries pass.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// File with a public JWK; without one a key is made.
    #[arg(long)]
    pub jwk: Option<PathBuf>,
    /// Kind of the key.
    #[arg(long, value_enum, default_value = "p256")]
    pub kind: Kind,
    /// File for everything the client needs, private key included (mode 0600).
    #[arg(long, default_value = "client.json")]
    pub out: PathBuf,
}

/// What a client of the demo may do when nothing is asked for.
const DEMO_SCOPES: [&str; 2] = ["nhn:pps/provesvar-read", "nhn:kjernejournal/api"];
const DEMO_RIGHTS: [&str; 2] = [RIGHT_NAME, RIGHT_PID];

/// Runs one command.
pub(crate) fn run(command: &ClientCommand) -> Result<ExitCode> {
    match command {
        ClientCommand::Add(args) => add(args),
        ClientCommand::List { store } => list(store),
        ClientCommand::Show { client_id, store } => show(client_id, store),
        ClientCommand::Remove { client_id, store } => {
            on(store, |registry| {
                Ok(registry.remove(&Actor::Console, client_id)?)
            })?;
            println!("Removed {client_id}");
            Ok(ExitCode::SUCCESS)
        }
        ClientCommand::Key { command } => key(command),
        ClientCommand::Scope {
            client_id,
            scope,
            what,
            reason,
            store,
        } => decide(client_id, scope, *what, reason.as_deref(), store),
        ClientCommand::Roles {
            client_id,
            acts_for,
            frontchannel_logout_uri,
            backchannel_logout_uri,
            audiences,
            store,
        } => {
            let roles = helseid::registry::model::Roles {
                acts_for: acts_for.iter().cloned().collect(),
                frontchannel_logout_uri: frontchannel_logout_uri.clone(),
                backchannel_logout_uri: backchannel_logout_uri.clone(),
                audiences: audiences.iter().cloned().collect(),
            };
            on(store, |registry| {
                Ok(registry.set_roles(&Actor::Console, client_id, &roles)?)
            })?;
            println!("Changed {client_id}");
            Ok(ExitCode::SUCCESS)
        }
        ClientCommand::Owner {
            audience,
            organisation,
            automatic,
            store,
        } => {
            let owner = ApiOwner {
                audience: audience.clone(),
                organisation: organisation.clone(),
                automatic: *automatic,
                terms: None,
            };
            on(store, |registry| {
                Ok(registry.set_owner(&Actor::Console, &owner)?)
            })?;
            println!("Changed {audience}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Opens the registrations of a store, works on them and closes the store.
fn on<T>(args: &StoreArgs, work: impl FnOnce(&Registry) -> Result<T>) -> Result<T> {
    let apis = hub::apis::read(args.configuration()?.helseid.apis.as_deref())?;
    let opened = args.opened()?;
    let records =
        hub::registry::RegistryRecords::new(opened.store.clone(), opened.trust.hub("client"))?;
    let registry = Registry::open(RegistryParts {
        store: Arc::new(records),
        directory: opened.registers.clone(),
        apis,
        clock: jose::system_clock(),
    })?;
    let done = work(&registry);
    drop(registry);
    opened.store.close();
    done
}

fn make_key(kind: Kind) -> Result<PrivateJwk> {
    let (kind, alg) = match kind {
        Kind::P256 => (KeyKind::P256, Alg::Es256),
        Kind::P384 => (KeyKind::P384, Alg::Es384),
        Kind::P521 => (KeyKind::P521, Alg::Es512),
        Kind::Rsa2048 => (KeyKind::Rsa2048, Alg::Ps256),
        Kind::Rsa3072 => (KeyKind::Rsa3072, Alg::Ps256),
        Kind::Rsa4096 => (KeyKind::Rsa4096, Alg::Ps256),
    };
    Ok(PrivateJwk::generate(kind, Some(alg))?)
}

/// The public key to register, and the private one when it was made here.
fn public_key(args: &KeyArgs) -> Result<(Value, Option<PrivateJwk>)> {
    let Some(path) = &args.jwk else {
        let key = make_key(args.kind)?;
        return Ok((Value::Object(key.public().to_members()), Some(key)));
    };
    Ok((read_jwk(path)?, None))
}

fn read_jwk(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} holds no JWK", path.display()))
}

/// Refuses to write over a file before anything is registered.
fn check_free(path: &Path) -> Result<()> {
    if path.exists() {
        bail!(
            "{} exists already; a private key is not written over",
            path.display()
        );
    }
    Ok(())
}

fn hand_out(key: Option<&PrivateJwk>, client_id: &str, out: Option<&Path>) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let private = Value::Object(key.to_secret_members());
    match out {
        Some(path) => {
            let content = json!({ "client_id": client_id, "private_jwk": private });
            write_private(path, serde_json::to_string_pretty(&content)?.as_bytes())?;
            println!("Private key: {}", path.display());
        }
        None => println!("Private key (shown this once): {private}"),
    }
    Ok(())
}

/// The scopes asked for; clients of HelseID also get the one with which they renew their keys.
fn with_self_service(asked: &[String], users: SystemUsers) -> Vec<String> {
    let mut scopes = asked.to_vec();
    if users.is_personnel() && !scopes.iter().any(|scope| scope == SELF_SERVICE_SCOPE) {
        scopes.push(SELF_SERVICE_SCOPE.to_owned());
    }
    scopes
}

fn add(args: &AddArgs) -> Result<ExitCode> {
    if let Some(out) = &args.key.out {
        check_free(out)?;
    }
    let users = args.issuer.users();
    let (public, private) = match users {
        SystemUsers::CitizensApp => (None, None),
        _ => public_key(&args.key).map(|(public, private)| (Some(public), private))?,
    };
    let system = NewSystem {
        name: args.name.clone(),
        supplier: args.organisation.clone(),
        users,
        tenancy: if args.multi_tenant {
            SystemTenancy::Multi
        } else {
            SystemTenancy::Single
        },
        user_login: args.user || args.issuer.citizens,
        machine: !args.issuer.citizens,
        refresh: args.user || args.issuer.citizens,
        native: args.native,
        rules: args.compatible.then_some(Rules::Compatible),
        scopes: None,
        redirect_uris: None,
        customers: None,
    };
    let client_id = on(&args.store, |registry| {
        let actor = Actor::Console;
        let system = registry.create_system(&actor, &system)?;
        let new = NewClient {
            client_id: args.client_id.clone(),
            system,
            name: args.name.clone(),
            organisation: args.organisation.clone(),
            children: args.children.clone(),
            key: public,
            scopes: with_self_service(&args.scopes, users),
            redirect_uris: args.redirect_uris.clone(),
            post_logout_redirect_uris: Vec::new(),
        };
        let client_id = registry.create(&actor, &new)?;
        if args.approve {
            for scope in &args.scopes {
                registry.decide(&actor, &client_id, scope, true, None)?;
            }
        }
        Ok(client_id)
    })?;
    println!("Client {client_id}");
    if !args.approve && !args.scopes.is_empty() {
        println!(
            "The scopes wait for whoever decides on them (helsenav client scope {client_id} SCOPE approve)"
        );
    }
    hand_out(private.as_ref(), &client_id, args.key.out.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

fn list(store: &StoreArgs) -> Result<ExitCode> {
    let overview = on(store, |registry| Ok(registry.overview(&Actor::Console)))?;
    for client in &overview.clients {
        println!(
            "{}  {:8}  {} keys  {} scopes, {} wait  {} ({})",
            client.client_id,
            client.state,
            client.keys,
            client.scopes[0],
            client.scopes[1],
            client.name,
            client.organisation.orgnr,
        );
    }
    if overview.clients.is_empty() {
        println!("No client is registered.");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(client_id: &str, store: &StoreArgs) -> Result<ExitCode> {
    let view = on(store, |registry| {
        Ok(registry.client_view(&Actor::Console, client_id)?)
    })?;
    println!("{}", serde_json::to_string_pretty(&view)?);
    Ok(ExitCode::SUCCESS)
}

fn key(command: &KeyCommand) -> Result<ExitCode> {
    match command {
        KeyCommand::Add {
            client_id,
            key,
            store,
        } => {
            if let Some(out) = &key.out {
                check_free(out)?;
            }
            let (public, private) = public_key(key)?;
            let expires_s = on(store, |registry| {
                Ok(registry.add_key(&Actor::Console, client_id, &public, Origin::Gui)?)
            })?;
            println!("Valid until {}", helseid::registry::view::time(expires_s));
            hand_out(private.as_ref(), client_id, key.out.as_deref())?;
        }
        KeyCommand::Remove {
            client_id,
            thumbprint,
            store,
        } => {
            on(store, |registry| {
                Ok(registry.remove_key(&Actor::Console, client_id, thumbprint)?)
            })?;
            println!("Removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn decide(
    client_id: &str,
    scope: &str,
    what: ScopeAct,
    reason: Option<&str>,
    store: &StoreArgs,
) -> Result<ExitCode> {
    let actor = Actor::Console;
    on(store, |registry| {
        match what {
            ScopeAct::Request => registry.request_scopes(&actor, client_id, &[scope.to_owned()]),
            ScopeAct::Approve => registry.decide(&actor, client_id, scope, true, reason),
            ScopeAct::Reject => registry.decide(&actor, client_id, scope, false, reason),
            ScopeAct::Remove => registry.remove_scope(&actor, client_id, scope),
        }?;
        Ok(())
    })?;
    println!("Done");
    Ok(ExitCode::SUCCESS)
}

/// Registers a client at a running demo and writes everything it needs to one file.
pub(crate) fn demo_add(args: &DemoClientArgs) -> Result<ExitCode> {
    check_free(&args.out)?;
    let facts = args.data.join(FACTS_FILE);
    let text = std::fs::read(&facts).with_context(|| {
        format!(
            "{} does not exist: start the demo, or give its folder with --data",
            facts.display()
        )
    })?;
    let facts: Value = serde_json::from_slice(&text).context("facts.json is damaged")?;
    let text_of = |pointer: &str| {
        facts
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let users = args.issuer.users();
    let asked = match (args.scopes.is_empty(), args.issuer.citizens) {
        (false, _) => args.scopes.clone(),
        (true, false) => DEMO_SCOPES.map(str::to_owned).into(),
        (true, true) => DEMO_RIGHTS.map(str::to_owned).into(),
    };
    let scopes = with_self_service(&asked, users);
    let logs_in = args.user || args.issuer.citizens;
    let redirect_uris = if logs_in && args.redirect_uris.is_empty() {
        vec!["http://localhost:3000/callback".to_owned()]
    } else {
        args.redirect_uris.clone()
    };
    let key = match (args.issuer.app, &args.jwk) {
        (false, None) => Some(make_key(args.kind)?),
        _ => None,
    };
    let public = match (&key, &args.jwk) {
        (Some(key), _) => Some(Value::Object(key.public().to_members())),
        (None, Some(path)) => Some(read_jwk(path)?),
        (None, None) => None,
    };
    let wanted = json!({
        "client_id": args.client_id,
        "name": args.name,
        "organisation": args.organisation,
        "user": args.user,
        "scopes": scopes,
        "redirect_uris": redirect_uris,
        "strict": args.strict,
        "users": users,
        "public_jwk": public,
    });
    let mut made = post(text_of("/base"), "/demo/clients", &wanted)?;
    let client_id = made
        .get("client_id")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let ca_file = std::fs::canonicalize(args.data.join(CA_FILE)).unwrap_or_default();
    // Over TLS: client libraries refuse plain addresses unless told otherwise.
    let (base, base_tls) = (text_of("/base"), text_of("/base_tls"));
    let over_tls = |address: &str| address.replacen(base, base_tls, 1);
    let fhir: serde_json::Map<String, Value> = facts
        .get("fhir")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, address)| Some((name.clone(), json!(over_tls(address.as_str()?)))))
        .collect();
    let issuer = text_of(match users {
        SystemUsers::Personnel => "/helseid/issuer",
        _ => "/citizen_sts/issuer",
    });
    let mut own = vec![("issuer", json!(issuer)), ("ca_file", json!(ca_file))];
    match users {
        SystemUsers::Personnel => own.extend([
            ("fhir", Value::Object(fhir)),
            (
                "selvbetjening",
                json!(over_tls(text_of("/endpoints/selvbetjening"))),
            ),
        ]),
        SystemUsers::Citizens => {}
        SystemUsers::CitizensApp => own.push(("mtls", json!(text_of("/citizen_sts/mtls")))),
    }
    if let Some(key) = &key {
        own.push(("private_jwk", Value::Object(key.to_secret_members())));
    }
    if let Some(members) = made.as_object_mut() {
        members.extend(
            own.into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    write_private(&args.out, serde_json::to_string_pretty(&made)?.as_bytes())?;
    println!(
        "Client {client_id} at {issuer}\nScopes {}\nEverything it needs{}: {}\nTrust the demo CA: {}",
        scopes.join(" "),
        if key.is_some() {
            ", private key included"
        } else {
            ""
        },
        args.out.display(),
        ca_file.display(),
    );
    Ok(ExitCode::SUCCESS)
}

const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Posts JSON to a hub on plain HTTP.
pub(crate) fn post(base: &str, path: &str, body: &Value) -> Result<Value> {
    let url: url::Url = base.parse().context("facts.json names no base address")?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        bail!("facts.json names no base address")
    };
    let body = body.to_string();
    let mut stream = std::net::TcpStream::connect((host, port))
        .context("the demo does not answer; is it running with this data folder?")?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut text)?;
    let (head, answer) = text
        .split_once("\r\n\r\n")
        .context("the demo did not answer")?;
    let answer: Value = serde_json::from_str(answer).context("the demo's answer is no JSON")?;
    if !head.starts_with("HTTP/1.1 200") {
        let said = answer
            .get("detail")
            .or(answer.get("title"))
            .and_then(Value::as_str);
        bail!("the demo refused: {}", said.unwrap_or("no reason given"));
    }
    Ok(answer)
}
