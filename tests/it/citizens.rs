//! The citizens' issuer in a running hub: a login that a restart interrupts, and its tokens at every API.

use super::{on_both_engines, shared};
use anyhow::{Context as _, Result, ensure};
use blackbox::demo::Folder;
use blackbox::epj::{self, Clinician};
use blackbox::facts::Facts;
use blackbox::http::{Call, Reply, Web, form};
use blackbox::{Demo, Engine};
use jose::assertion::{JWT_BEARER, make_client_assertion};
use jose::{PrivateJwk, pkce};
use reqwest::Method;
use serde_json::{Map, Value};

on_both_engines!(
    a_login_survives_a_restart,
    citizens_and_personnel_stay_apart_at_every_api,
);

const TOOL: &str = "demo-verktoy";

/// A tool of citizens with its key.
struct Tool<'a> {
    web: &'a Web,
    issuer: String,
    metadata: Value,
    client: Value,
}

impl<'a> Tool<'a> {
    async fn of(web: &'a Web, facts: &Facts) -> Result<Self> {
        let sts = &facts.0["citizen_sts"];
        let issuer = sts["issuer"].as_str().context("no issuer")?.to_owned();
        let url = format!("{issuer}/.well-known/openid-configuration");
        let metadata = web.get(&url).await?.expect(200)?.json();
        ensure!(metadata["issuer"] == issuer.as_str(), "{metadata}");
        let clients = sts["clients"].as_array().context("no clients")?;
        let client = clients.iter().find(|c| c["client_id"] == TOOL);
        Ok(Self {
            web,
            issuer,
            metadata,
            client: client.context("no such client")?.clone(),
        })
    }

    /// Posts a form to an endpoint of the metadata, authenticated.
    async fn post(&self, endpoint: &str, fields: &[(&str, &str)]) -> Result<Reply> {
        let key = self.client["private_jwk"].as_object().context("no key")?;
        let now_s = (jose::system_clock())();
        let key = PrivateJwk::from_members(key)?;
        let assertion = make_client_assertion(&key, TOOL, &self.issuer, &Map::new(), now_s)?;
        let mut fields = fields.to_vec();
        fields.extend([
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
        ]);
        let url = self.metadata[endpoint].as_str().context("no endpoint")?;
        let call = Call {
            body: Some((
                "application/x-www-form-urlencoded",
                form(&fields).into_bytes(),
            )),
            ..Call::default()
        };
        self.web.send(Method::POST, url, call).await
    }

    /// Pushes a headless login; the address for the browser.
    async fn push(&self, pid: &str, verifier: &str) -> Result<String> {
        let challenge = pkce::challenge(verifier);
        let redirect = self.client["redirect_uris"][0]
            .as_str()
            .context("no address")?;
        let fields = [
            ("response_type", "code"),
            ("redirect_uri", redirect),
            ("scope", "openid offline_access"),
            ("state", "state-123456"),
            ("nonce", "nonce-123456"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("test_pid", pid),
        ];
        let pushed = self.post("pushed_authorization_request_endpoint", &fields);
        let pushed = pushed.await?.expect(201)?.json();
        let uri = pushed["request_uri"].as_str().context("no request_uri")?;
        let authorize = self.metadata["authorization_endpoint"].as_str();
        let query = form(&[("client_id", TOOL), ("request_uri", uri)]);
        Ok(format!("{}?{query}", authorize.context("no authorize")?))
    }

    /// Goes there as the browser; the code.
    async fn code(&self, url: &str) -> Result<String> {
        let back = self.web.get(url).await?.expect(303)?;
        let location = back.header("location").context("no way back")?;
        let code = location
            .split(['?', '&'])
            .find_map(|p| p.strip_prefix("code="));
        Ok(code.context("no code")?.to_owned())
    }

    async fn redeem(&self, code: &str, verifier: &str) -> Result<Value> {
        let redirect = self.client["redirect_uris"][0]
            .as_str()
            .context("no address")?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        Ok(self
            .post("token_endpoint", &fields)
            .await?
            .expect(200)?
            .json())
    }

    async fn is_active(&self, token: &str) -> Result<bool> {
        let answer = self
            .post("introspection_endpoint", &[("token", token)])
            .await?;
        Ok(answer.expect(200)?.json()["active"] == true)
    }
}

fn text(answer: &Value, name: &str) -> Result<String> {
    Ok(answer[name]
        .as_str()
        .context("a token is missing")?
        .to_owned())
}

async fn a_login_survives_a_restart(engine: Engine) -> Result<()> {
    let Some(folder) = Folder::new(engine) else {
        return Ok(());
    };
    let verifier = pkce::new_verifier()?;
    let demo = Demo::start(folder)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let pid = demo.facts.text("/citizen_logins/0/pid").to_owned();
    let tool = Tool::of(&web, &demo.facts).await?;
    let url = tool.push(&pid, &verifier).await?;
    let before = tool.issuer.clone();

    let demo = Demo::start(demo.stop()?)?;
    // The connections to it ended with the process.
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let tool = Tool::of(&web, &demo.facts).await?;
    ensure!(tool.issuer == before, "the issuer keeps its place");
    let code = tool.code(&url).await?;

    let demo = Demo::start(demo.kill()?)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let tool = Tool::of(&web, &demo.facts).await?;
    let tokens = tool.redeem(&code, &verifier).await?;
    let access = text(&tokens, "access_token")?;
    ensure!(tool.is_active(&access).await?);
    let refresh = text(&tokens, "refresh_token")?;
    let fields = [("refresh_token", refresh.as_str())];
    let longer = tool.post("extend_endpoint", &fields).await?;
    let longer = longer.expect(200)?.json();
    ensure!(longer["rt_expires_in"].as_i64() > Some(600), "{longer}");
    tool.post("revocation_endpoint", &[("token", &access)])
        .await?
        .expect(200)?;

    let demo = Demo::start(demo.stop()?)?;
    let web = Web::new(demo.facts.text("/ca_pem"))?;
    let tool = Tool::of(&web, &demo.facts).await?;
    ensure!(!tool.is_active(&access).await?, "revoked stays revoked");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    tool.post("token_endpoint", &fields).await?.expect(200)?;
    demo.stop()?;
    Ok(())
}

/// Every address that facts.json names.
fn addresses(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("http") => found.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| addresses(one, found)),
        Value::Object(all) => all.values().for_each(|one| addresses(one, found)),
        _ => {}
    }
}

async fn citizens_and_personnel_stay_apart_at_every_api(engine: Engine) -> Result<()> {
    let Some((demo, web)) = shared(engine)? else {
        return Ok(());
    };
    let facts = &demo.facts;
    let verifier = pkce::new_verifier()?;
    let tool = Tool::of(&web, facts).await?;
    let url = tool
        .push(facts.text("/citizen_logins/0/pid"), &verifier)
        .await?;
    let tokens = tool.redeem(&tool.code(&url).await?, &verifier).await?;
    let access = text(&tokens, "access_token")?;

    let mut urls = Vec::new();
    addresses(&facts.0["endpoints"], &mut urls);
    for repository in ["kjernejournal", "provesvar", "dokumenter"] {
        urls.push(format!("{}/Patient", facts.fhir(repository)));
        urls.push(format!("{}/Observation/x", facts.fhir(repository)));
    }
    urls.push(format!(
        "{}/v1/client",
        facts.text("/endpoints/selvbetjening")
    ));
    urls.push(format!("{}/connect/userinfo", facts.issuer()));
    let mut asked = 0;
    for url in &urls {
        for method in [Method::GET, Method::POST] {
            let json = || Call::json(&Value::Object(Map::new()));
            // Only where a token is asked for.
            if web.send(method.clone(), url, json()).await?.status != 401 {
                continue;
            }
            asked += 1;
            for scheme in ["Bearer", "DPoP"] {
                let call = json().with("authorization", format!("{scheme} {access}"));
                let answer = web.send(method.clone(), url, call).await?;
                ensure!(
                    answer.status == 401,
                    "{method} {url} {scheme}: {}",
                    answer.status
                );
            }
        }
    }
    ensure!(asked >= 8, "only {asked} addresses ask for a token");

    let doctor =
        Clinician::log_in(&web, facts, "demo-epj-nordlys", facts.pid_of("saether")).await?;
    let machine =
        epj::machine_token(&web, facts, "demo-system-nordlys", "nhn:pps/provesvar-read").await?;
    let power = facts.text("/citizen_sts/attorney_token");
    for token in [doctor.token(), &machine.token] {
        ensure!(!tool.is_active(token).await?, "no token of citizens");
        for scheme in ["Bearer", "DPoP"] {
            let call = Call::default().with("authorization", format!("{scheme} {token}"));
            web.send(Method::POST, power, call).await?.expect(401)?;
        }
    }
    Ok(())
}
