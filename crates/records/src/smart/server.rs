//! Where tokens come from, as clients of a repository ask for it (SMART App Launch 2, section Conformance).

use serde_json::{Value, json};

/// The authorization server of a repository, as its clients need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationServer {
    /// Issuer.
    pub issuer: String,
    /// Where browsers are sent.
    pub authorize: String,
    /// Token endpoint.
    pub token: String,
    /// The issuer's public keys.
    pub jwks: String,
    /// Token introspection (RFC 7662).
    pub introspect: String,
    /// Token revocation (RFC 7009).
    pub revoke: String,
    /// Signature algorithms of client assertions.
    pub algorithms: Vec<String>,
    /// National scopes that open the repository; empty where no token is needed.
    pub scopes: Vec<String>,
}

impl AuthorizationServer {
    /// Names and values of the `oauth-uris` extension.
    pub(crate) fn uris(&self) -> [(&'static str, &str); 4] {
        [
            ("authorize", &self.authorize),
            ("token", &self.token),
            ("introspect", &self.introspect),
            ("revoke", &self.revoke),
        ]
    }

    /// The `.well-known/smart-configuration` document.
    pub(crate) fn configuration(&self) -> Value {
        let mut scopes = self.scopes.clone();
        scopes.extend(["user/*.cruds", "system/*.cruds", "patient/*.cruds"].map(str::to_owned));
        json!({
            "issuer": self.issuer,
            "jwks_uri": self.jwks,
            "authorization_endpoint": self.authorize,
            "token_endpoint": self.token,
            "introspection_endpoint": self.introspect,
            "revocation_endpoint": self.revoke,
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": self.algorithms,
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": scopes,
            "capabilities": [
                "client-confidential-asymmetric",
                "permission-patient",
                "permission-user",
                "permission-v1",
                "permission-v2",
            ],
        })
    }
}
