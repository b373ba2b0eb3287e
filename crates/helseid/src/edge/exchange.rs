//! Token exchange at the token endpoint (RFC 8693, spec §11). The rules are [`crate::rules::exchange`].

use jose::{Claims, names};
use serde_json::{Map, Value};

use super::token::TokenRequest;
use crate::config::Wanted;
use crate::error::{Code, OAuthError};
use crate::issue::new_id;
use crate::rules::attest;
use crate::rules::claims::{self, AccessTokenParts, Login};
use crate::rules::exchange::{self, Judged};
use crate::rules::organisation::{self, Organisations};
use crate::rules::scopes::{self, Chosen};
use crate::rules::structures;

impl TokenRequest<'_> {
    /// A token for the next API, for whoever the subject token is about.
    pub(super) async fn token_exchange(&self) -> Result<Map<String, Value>, OAuthError> {
        let (inner, form) = (&self.helseid.inner, self.form);
        let has_actor = form.get("actor_token").is_some() || form.get("actor_token_type").is_some();
        exchange::check_types(
            form.get("subject_token_type"),
            form.get("requested_token_type"),
            has_actor,
        )?;
        let now_s = inner.now_s();
        let subject = inner
            .own_checker()
            .verify_token(form.required("subject_token")?, now_s, false)
            .map_err(|error| OAuthError::grant(format!("subject_token: {error}")))?;
        let expires_s = exchange::check_subject(&subject.claims, self.client, now_s)?;
        let login = self.login_of(&subject.claims).await?;

        let apis = &inner.config.apis;
        let mut resources = form.all("resource");
        // `audience` is the name RFC 8693 gives to the logical name of the target.
        resources.extend(form.get("audience").map(str::to_owned));
        let requested = exchange::target_scopes(form.get("scope"), &resources, self.client, apis)?;
        let mut chosen = scopes::choose(&requested, &[], &resources, apis)?;
        let rejected = self.leave_out_by_terms(&subject.claims, &mut chosen)?;
        self.check_binding(&chosen)?;

        let of_actor = organisation::resolve(
            self.client,
            self.structures.get(structures::ORGANISATION),
            inner.directory.as_ref(),
        )?;
        let life_s = inner
            .access_token_life_s(self.client, &chosen.apis)
            .min(expires_s - now_s);
        let mut made = self.claims(&subject.claims, login.as_ref(), &chosen, life_s)?;
        let act = exchange::act(
            &inner.config.issuer,
            self.client,
            &of_actor,
            &subject.claims,
        );
        made.set("act", act);
        if let Some(original) = exchange::original_client(&subject.claims) {
            made.set(names::ORIGINAL_CLIENT_ID, original);
        }
        let mut body = Map::new();
        let token_type = if self.jkt.is_some() { "DPoP" } else { "Bearer" };
        for (name, value) in [
            ("access_token", inner.sign("at+jwt", &made)?.into()),
            ("issued_token_type", exchange::ACCESS_TOKEN.into()),
            ("token_type", token_type.into()),
            ("expires_in", life_s.into()),
            ("scope", chosen.scopes.join(" ").into()),
        ] {
            body.insert(name.to_owned(), value);
        }
        if !rejected.is_empty() {
            body.insert("rejected_scope".to_owned(), rejected.join(" ").into());
        }
        Ok(body)
    }

    /// Takes the scopes out whose API's terms the organisation of the subject has not accepted; gives them.
    fn leave_out_by_terms(
        &self,
        subject: &Claims,
        chosen: &mut Chosen<'_>,
    ) -> Result<Vec<String>, OAuthError> {
        let original = exchange::original_client(subject).and_then(|id| self.helseid.client(id));
        let kept = exchange::kept_organisations(subject);
        let judged = exchange::judged_by_terms(&kept, original.as_deref(), self.client);
        let inner = &self.helseid.inner;
        match judged {
            Judged::Nobody => Ok(Vec::new()),
            Judged::Organisation(orgnr) => {
                let terms = inner.terms();
                terms.apply(chosen, Some(&orgnr), &inner.config.apis, true)
            }
            Judged::Unknown => inner.terms().apply(chosen, None, &inner.config.apis, true),
        }
    }

    /// The login behind a user's token; `None` for a machine's. Neither token nor login may have been ended.
    async fn login_of(&self, subject: &Claims) -> Result<Option<Login>, OAuthError> {
        let inner = &self.helseid.inner;
        let ended =
            || OAuthError::grant("the subject_token has been revoked or its login has ended");
        let text = |name| subject.text(name).ok().flatten();
        if let Some(jti) = text("jti")
            && inner.is_revoked(jti).await?
        {
            return Err(ended());
        }
        if !subject.0.contains_key("sub") {
            return Ok(None);
        }
        let sid = text("sid").ok_or_else(ended)?;
        if inner.session_ended(sid).await? {
            return Err(ended());
        }
        let login: Option<Login> = inner.grants().get(&format!("login-of/{sid}")).await?;
        let login = login.ok_or_else(ended)?;
        if text("sub") != Some(&inner.subject(&login.pid)) {
            return Err(ended());
        }
        Ok(Some(login))
    }

    /// User and organisations stay those of the subject; the user is looked up anew.
    fn claims(
        &self,
        subject: &Claims,
        login: Option<&Login>,
        chosen: &Chosen<'_>,
        life_s: i64,
    ) -> Result<Claims, OAuthError> {
        let inner = &self.helseid.inner;
        let organisations = exchange::kept_organisations(subject);
        let user = login.map(|login| inner.user(login)).transpose()?;
        let pseudonym = login.map(|login| inner.subject(&login.pid));
        let user = match (login, &user, &pseudonym) {
            (Some(login), Some(user), Some(pseudonym)) => Some((login, user, pseudonym.as_str())),
            _ => None,
        };
        let attest = self.attest(
            subject,
            user.map(|(login, user, _)| (login, user)),
            &organisations,
            chosen,
        )?;
        let sent = self.structures.journal_id()?;
        let kept = subject.text(names::SFM_JOURNAL_ID).ok().flatten();
        if sent.is_some() && kept.is_some() {
            return Err(twice(structures::JOURNAL_ID));
        }
        Ok(claims::access_token(&AccessTokenParts {
            issuer: &inner.config.issuer,
            now_s: inner.now_s(),
            life_s,
            jti: &new_id()?,
            client: self.client,
            chosen,
            organisations: &organisations,
            jkt: self.jkt,
            user,
            journal_id: sent.as_deref().or(kept),
            attest: attest.as_ref(),
        }))
    }

    /// The attest of the subject token, or one that the actor sends: never two.
    fn attest(
        &self,
        subject: &Claims,
        user: Option<(&Login, &claims::User)>,
        organisations: &Organisations,
        chosen: &Chosen<'_>,
    ) -> Result<Option<Map<String, Value>>, OAuthError> {
        let kept = subject.0.get(names::ATTEST).and_then(Value::as_object);
        let inner = &self.helseid.inner;
        match (kept, self.structures.get(structures::ATTEST), user) {
            (Some(_), Some(_), _) => Err(twice(structures::ATTEST)),
            (Some(kept), None, _) => Ok(Some(kept.clone())),
            (None, Some(sent), Some((login, user)))
                if chosen
                    .apis
                    .iter()
                    .any(|api| api.wants.contains(&Wanted::Attest)) =>
            {
                let context = attest::Context {
                    login,
                    user,
                    organisations,
                    directory: inner.directory.as_ref(),
                    today: inner.today(),
                    received_s: inner.now_s(),
                };
                attest::enrich(sent, &context).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn twice(kind: &str) -> OAuthError {
    OAuthError::new(
        Code::AccessDenied,
        format!(
            "HID-DOUBLE-STRUCTURE: {kind} is in the subject_token and came again with the assertion"
        ),
    )
}
