//! Connections over TLS, against the certificate that `scripts/postgres.sh` makes for its server.

use super::{make_postgres, postgres_url};
use std::path::{Path, PathBuf};
use store::conformance::kit::{Bench, PutExt as _, create, puts};
use store::{EngineConfig, Store, StoreConfig};

/// Port of the server over TCP and its authority's certificate; `None`, said aloud, without such a server.
fn server(url: &str) -> Option<(String, PathBuf)> {
    let word = |name: &str| url.split_whitespace().find_map(|w| w.strip_prefix(name));
    let folder = word("host=").and_then(|host| Path::new(host).parent());
    let authority = folder.map(|folder| folder.join("tls/ca.pem"));
    let found = word("port=").zip(authority.filter(|file| file.is_file()));
    if found.is_none() {
        println!(
            "SKIPPED: TLS, because the server was not made by scripts/postgres.sh with openssl"
        );
    }
    found.map(|(port, authority)| (port.to_owned(), authority))
}

/// The same schema form as the others, at another address.
fn at(url: &str, address: &str) -> StoreConfig {
    let mut config = make_postgres(url);
    if let EngineConfig::Postgres { url, .. } = &mut config.engine {
        *url = address.to_owned();
    }
    config
}

/// Connections of this application name: encrypted and all.
fn counted(url: &str, name: &str) -> (i64, i64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let sql = "SELECT count(*) FILTER (WHERE s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
            WHERE a.application_name = $1";
        let row = client.query_one(sql, &[&name]).await.unwrap();
        (row.get(0), row.get(1))
    })
}

#[test]
fn every_connection_is_encrypted_when_the_url_says_so() {
    let Some(url) = postgres_url() else { return };
    let Some((port, authority)) = server(&url) else {
        return;
    };
    let authority = authority.display();
    for (number, (host, tls, is_encrypted)) in [
        ("host=127.0.0.1", "sslmode=require".to_owned(), true),
        (
            "host=127.0.0.1",
            format!("sslmode=verify-full sslrootcert={authority}"),
            true,
        ),
        (
            "host=localhost",
            format!("sslmode=verify-full sslrootcert='{authority}'"),
            true,
        ),
        // The name is not the certificate's: the authority alone is asked for.
        (
            "host=elsewhere.example hostaddr=127.0.0.1",
            format!("sslmode=verify-ca sslrootcert={authority}"),
            true,
        ),
        ("host=127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("host=127.0.0.1", "sslmode=disable".to_owned(), false),
        ("host=127.0.0.1", String::new(), false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("tls-{}-{number}", std::process::id());
        let address = format!(
            "{host} port={port} user=helsenav dbname=postgres application_name={name} {tls}"
        );
        let bench = Bench::with(at(&url, &address));
        bench.commit(puts([create(bench.open, "Basic", "b").id("b").key(1, "b")]));
        let read = bench.now().read(&bench.all(), bench.open, "Basic", "b");
        assert!(read.unwrap().is_some(), "{tls}");
        let (encrypted, all) = counted(&url, &name);
        assert!(all > 1, "{tls}: {all} connections");
        assert_eq!(
            encrypted,
            if is_encrypted { all } else { 0 },
            "{host} {tls}"
        );
    }
}

#[test]
fn an_impostor_is_refused() {
    let Some(url) = postgres_url() else { return };
    let Some((port, authority)) = server(&url) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = folder.path().join("other.pem");
    std::fs::write(&other, made.cert.pem()).unwrap();
    let (authority, other) = (authority.display(), other.display());
    for (host, tls) in [
        (
            "host=elsewhere.example hostaddr=127.0.0.1",
            format!("sslmode=verify-full sslrootcert={authority}"),
        ),
        (
            "host=localhost",
            format!("sslmode=verify-full sslrootcert={other}"),
        ),
        (
            "host=localhost",
            format!("sslmode=verify-ca sslrootcert={other}"),
        ),
        // As libpq: an authority that is named is also asked.
        (
            "host=localhost",
            format!("sslmode=require sslrootcert={other}"),
        ),
    ] {
        let address = format!("{host} port={port} user=helsenav dbname=postgres {tls}");
        let refused = Store::open(at(&url, &address)).err();
        let said = refused.map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("certificate"), "{tls}: {said:?}");
    }
}
