//! What differs between the two issuers in the code that both use: the name on pages, cookies, where endpoints lie.

use crate::citizen;
use crate::edge::path;

/// Names and paths of one issuer.
pub(crate) struct Realm {
    /// Name on pages.
    pub brand: &'static str,
    /// Path of the issuer.
    pub issuer_path: &'static str,
    /// Path before the pages of an open login and before the way back from identity providers.
    pub pages: &'static str,
    /// Endpoints that clients authenticate at.
    pub posted: &'static [&'static str],
    /// All paths under which the endpoint of a path is reached.
    pub aliases: fn(&str) -> Vec<String>,
    /// Pushed requests.
    pub par: &'static str,
    /// Tokens.
    pub token: &'static str,
    /// Logout.
    pub end_session: &'static str,
    /// Back from a logout at an identity provider.
    pub signed_out: &'static str,
    /// Name of the login pages in counters.
    pub login_endpoint: &'static str,
    /// Cookie of the browser session. Cookies do not know ports: each issuer has its own names.
    pub session_cookie: &'static str,
    /// Cookie that binds a login page to its browser; one per page, by its path.
    pub login_cookie: &'static str,
    /// Beginning of the cookies of logins that are away at a provider.
    pub away_cookie: &'static str,
}

/// Health personnel.
pub(crate) static PERSONNEL: Realm = Realm {
    brand: "HelseID",
    issuer_path: "",
    pages: "",
    posted: &[
        path::PAR,
        path::TOKEN,
        path::INTROSPECTION,
        path::REVOCATION,
    ],
    aliases: |one| vec![one.to_owned()],
    par: path::PAR,
    token: path::TOKEN,
    end_session: path::END_SESSION,
    signed_out: path::SIGNED_OUT,
    login_endpoint: "login",
    session_cookie: "helseid.session",
    login_cookie: "helseid.login",
    away_cookie: "helseid.at.",
};

/// Citizens.
pub(crate) static CITIZENS: Realm = Realm {
    brand: "Helsenorge",
    issuer_path: citizen::path::ISSUER,
    pages: "/sts/oidcprov",
    posted: &[
        citizen::path::PAR,
        citizen::path::TOKEN,
        citizen::path::INTROSPECT,
        citizen::path::REVOKE,
        citizen::path::EXTEND,
    ],
    aliases: citizen::path::versions,
    par: citizen::path::PAR,
    token: citizen::path::TOKEN,
    end_session: citizen::path::LOGOUT,
    signed_out: "/sts/oidcprov/signout/done",
    login_endpoint: "citizen-login",
    session_cookie: "helsenorge.session",
    login_cookie: "helsenorge.login",
    away_cookie: "helsenorge.at.",
};

impl Realm {
    /// The origin of an issuer of this realm: the citizens' has a path.
    pub(crate) fn origin<'a>(&self, issuer: &'a str) -> &'a str {
        issuer.strip_suffix(self.issuer_path).unwrap_or(issuer)
    }

    /// The path of an open login.
    pub(crate) fn login_path(&self, id: &str) -> String {
        format!("{}/login/{id}", self.pages)
    }

    /// Path below which providers send browsers back.
    pub(crate) fn callback_path(&self) -> String {
        format!("{}/signin", self.pages)
    }
}
