//! `helsenav demo add-person` and `helsenav demo add-organisation`: another valid one at the running demo, printed as JSON.

use super::FACTS_FILE;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Sex in the register.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sex {
    Female,
    Male,
}

/// Add a person to the running demo: a number that nobody has, a name, an address, on request a GP.
#[derive(Clone, Debug, Args)]
pub(crate) struct AddPersonArgs {
    /// Data folder of the demo.
    #[arg(long, default_value = "./data")]
    data: PathBuf,
    /// Given names and family name; drawn when absent.
    #[arg(long)]
    name: Option<String>,
    /// Birth date (YYYY-MM-DD); forty years ago when absent.
    #[arg(long)]
    born: Option<jiff::civil::Date>,
    /// Sex.
    #[arg(long, value_enum, default_value = "female")]
    sex: Sex,
    /// Give a D-number instead of a fødselsnummer.
    #[arg(long)]
    d_number: bool,
    /// Address protection: ugradert, klientadresse, fortrolig (kode 7) or strengtFortrolig (kode 6).
    #[arg(long)]
    protection: Option<String>,
    /// Municipality, four digits.
    #[arg(long)]
    municipality: Option<String>,
    /// National id of somebody whose GP the person has too, and whose address where no municipality is given.
    #[arg(long)]
    like: Option<String>,
}

/// Add an organisation to the running demo: organisation number, HER-id, queues and an address.
#[derive(Clone, Debug, Args)]
pub(crate) struct AddOrganisationArgs {
    /// Data folder of the demo.
    #[arg(long, default_value = "./data")]
    data: PathBuf,
    /// Name.
    #[arg(long)]
    name: String,
    /// Type of code list 9040 (101 hospital, 102 municipality, 103 GP and other private practice, …).
    #[arg(long = "type")]
    type_code: Option<String>,
    /// Municipality, four digits.
    #[arg(long)]
    municipality: Option<String>,
}

fn ask(data: &Path, path: &str, wanted: &Value) -> Result<ExitCode> {
    let facts = data.join(FACTS_FILE);
    let text = std::fs::read(&facts).with_context(|| {
        format!(
            "{} does not exist: start the demo, or give its folder with --data",
            facts.display()
        )
    })?;
    let facts: Value = serde_json::from_slice(&text).context("facts.json is damaged")?;
    let base = facts.get("base").and_then(Value::as_str);
    let made = crate::client::post(base.unwrap_or_default(), path, wanted)?;
    println!("{}", serde_json::to_string_pretty(&made)?);
    Ok(ExitCode::SUCCESS)
}

/// Adds a person.
pub(crate) fn person(args: &AddPersonArgs) -> Result<ExitCode> {
    let sex = match args.sex {
        Sex::Female => "female",
        Sex::Male => "male",
    };
    let wanted = json!({
        "name": args.name,
        "born": args.born,
        "sex": sex,
        "d_number": args.d_number,
        "protection": args.protection,
        "municipality": args.municipality,
        "like": args.like,
    });
    ask(&args.data, "/demo/persons", &wanted)
}

/// Adds an organisation.
pub(crate) fn organisation(args: &AddOrganisationArgs) -> Result<ExitCode> {
    let wanted = json!({
        "name": args.name,
        "type_code": args.type_code,
        "municipality": args.municipality,
    });
    ask(&args.data, "/demo/organisations", &wanted)
}
