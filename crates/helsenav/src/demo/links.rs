//! What the demo prints: four links, and how to trust its CA.

use super::{CA_FILE, FACTS_FILE};
use crate::cli::DemoArgs;
use anyhow::{Result, bail};
use hub::Addresses;
use nation::Nation;
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Prints where to go.
pub(crate) fn print(
    args: &DemoArgs,
    addresses: &Addresses,
    facts: &Value,
    nation: &Nation,
    began: Instant,
) {
    let base = &addresses.base;
    let password = facts
        .pointer("/operator_login/password")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let persons = nation.params().population;
    println!(
        "
Helsenav is ready after {:.1} s: {persons} inhabitants, story day {}.

  Citizen    {base}/                    log in as Kari Lunde: results, letters, who has looked
  Personnel  {base}/helsepersonell      log in as Ragnhild Sæther, find Kari Lunde, choose «samtykket»
  Operator   {base}/drift               user drift, password {password}
  Vendor     {base}/fhir/sandbox/metadata
             HelseID {}   AMQP {} (TLS {})
             everything else: {}

The story plays by itself; see {base}/drift/tidslinje. Browsers need no certificate for these links;
`helsenav demo trust-ca` says how clients trust the https addresses. Ctrl-C stops.
",
        began.elapsed().as_secs_f64(),
        nation.anchor(),
        addresses.issuer,
        addresses.amqp,
        addresses.amqp_tls.port(),
        args.data.join(FACTS_FILE).display(),
    );
}

/// Prints how Java, Node, Python, .NET and browsers trust the demo CA.
pub(crate) fn trust_ca(data: &Path) -> Result<ExitCode> {
    let file = data.join(CA_FILE);
    if !file.exists() {
        bail!(
            "{} does not exist: start the demo once, or give its folder with --data",
            file.display()
        );
    }
    let file = std::fs::canonicalize(&file)?;
    let path = file.display();
    println!(
        "The demo CA is {path}. It was made on this machine and signs for localhost only.

  Node      NODE_EXTRA_CA_CERTS={path} node app.js
  Python    REQUESTS_CA_BUNDLE={path} SSL_CERT_FILE={path} python app.py
  Java      keytool -importcert -noprompt -alias helsenav-demo -file {path} -keystore demo.p12 -storepass changeit
            java -Djavax.net.ssl.trustStore=demo.p12 -Djavax.net.ssl.trustStorePassword=changeit …
  .NET      SSL_CERT_FILE={path} dotnet run            (Linux)
  curl      curl --cacert {path} https://localhost:8444/.well-known/openid-configuration
  Debian    sudo cp {path} /usr/local/share/ca-certificates/helsenav-demo.crt && sudo update-ca-certificates
  Firefox   Settings › Certificates › Authorities › Import
  Chromium  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n helsenav-demo -i {path}

Take it away again when you are done."
    );
    Ok(ExitCode::SUCCESS)
}
