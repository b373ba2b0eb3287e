//! The address register in a process of its own, on the hub's listener with the hub's store: SOAP and REST.

use super::parties;
use crate::served::Where;
use anyhow::{Context, Result};
use edge::listen::{Limits, Shutdown, serve as listen};
use edge::soap::{Host, User, Users};
use grunndata::ar::{self, AddressRegister, NowFn, Places};
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::rs::ResourceServer;
use jose::{Alg, Claims, MemoryState, names, system_clock};
use registers::RegisterTable;
use registers::organisations::resh::Resh;
use registers::personnel::PersonnelRegister;
use registers::persons::register::Options as RegisterOptions;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use store::{Filter, Seq, Store};

const ISSUER: &str = "https://localhost:8444";
/// Tokens: a client has few, a service meets many.
const TOKENS: usize = 64;
/// The system user who asks, and its password.
pub(crate) const USER: (&str, &str) = ("OrgUsr315900077", "et-langt-tilfeldig-passord");

/// Answers until killed, on a register of so many organisations with their services.
///
/// # Errors
/// When it cannot start.
pub(crate) fn serve(
    folder: &Path,
    place: &Where,
    organisations: u32,
    thumbprint: &str,
) -> Result<()> {
    let mut declared = registers::repositories();
    declared.extend(grunndata::repositories());
    let (store, mint) = Store::open(place.store(folder, declared)?)?;
    let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let now: NowFn = Arc::new(edge::clock::real_now_us);
    let options = RegisterOptions::new(crate::served::read_forms(folder));
    let table = Arc::new(RegisterTable::open_in(
        store.clone(),
        grant.clone(),
        options,
        now.clone(),
    )?);
    // As in a hub: answers that show health persons are kept until one of these changes.
    let forms = crate::served::read_forms(folder);
    let staff = PersonnelRegister::open_in(store.clone(), grant.clone(), Some(&forms))?;
    table.attach_personnel(Arc::new(staff));
    parties::load(&table, organisations)?;
    let asked = parties::asked(&table);
    let register = Arc::new(AddressRegister {
        parties: table.parties().clone(),
        businesses: table.businesses().clone(),
        resh: Arc::new(Resh::open(store, grant)?),
        directory: table,
        now,
        places: Places::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let now_s = edge::clock::real_now_us() / 1_000_000;
    let ring = Keyring::generate(KeyKind::Rsa2048, Alg::Rs256, "bench", now_s)?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let token = |n: usize| -> Result<String> {
            let claims = json!({"iss": ISSUER, "aud": ar::rest::AUDIENCE, "iat": now_s, "nbf": now_s,
                "exp": now_s + 36_000, "client_id": format!("bench-{n}"), "scope": [ar::rest::SCOPE],
                "jti": uuid::Uuid::new_v4(), names::ORGNR_PARENT: "315900077", "cnf": {"jkt": thumbprint}});
            let claims = claims.as_object().context("claims")?.clone();
            Ok(ring.sign("at+jwt", &Claims(claims))?)
        };
        let bound = (0..TOKENS).map(token).collect::<Result<Vec<_>>>()?;
        let word = json!({"origin": origin, "bound": bound, "asked": asked});
        let replay = Arc::new(MemoryState::new(system_clock(), 4_000_000));
        let origins = [origin.clone()];
        let server =
            ResourceServer::new(ISSUER, ar::rest::AUDIENCE, &origins, Arc::new(ring.clone()), replay);
        let (name, password) = USER;
        let user = User { name: name.to_owned(), roles: vec!["ArRead".to_owned()] };
        let users = Users::new([(user, edge::soap::users::hash_random(password))]);
        let mut host = Host::new(Arc::new(users), vec![origin]);
        for mount in ar::service::mounts(&register)? {
            host.mount(mount);
        }
        let clock = Arc::new(|| edge::clock::real_now_us() / 1_000_000);
        let router = ar::rest::router(register, server, clock)
            .merge(host.router())
            .layer(axum::middleware::from_fn(edge::headers::request_id));
        println!("{word}");
        listen(listener, None, router, Limits::default(), Shutdown::default()).await;
        Ok(())
    })
}
